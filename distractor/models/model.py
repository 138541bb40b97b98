"""A language model with tokens in and log-probabilities out: the plain network of transformers."""

import contextlib
import inspect
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from distractor.errors import ModelError
from distractor.models import arithmetic, limits
from distractor.progress import record_forward_pass

if TYPE_CHECKING:
    from distractor.models.hooked_model import HookedModel

WEIGHT_TREATMENT = "raw: as stored, nothing folded or centred"
"""How weights are changed before use; recorded with results."""


@dataclass(frozen=True, eq=False)
class AttentionMask:
    """The position of each token in a pass, and the keys it can attend to (cached first)."""

    positions: Int[Tensor, "row query"]
    visible: Bool[Tensor, "row query key"]


@dataclass(frozen=True)
class SelfCheck:
    """The largest differences of log-probabilities, in nats: of eager attention to the default implementation of
    transformers, and of a padded batch to single prompts.
    """

    attention: float
    padding: float


@dataclass(frozen=True, eq=False)
class Model:
    """A loaded model: its tokenizer, its sizes, and its forward passes.

    `network` is the model of transformers. `bos` is the token before every prompt. `n_params` counts every parameter
    once. `check` is None without a self-check. `weights` says how weights were changed before use. Activations are read
    and edited in `hooked`.
    """

    name: str
    network: Any
    tokenizer: Any
    n_params: int
    vocab: int
    context: int | None
    bos: int | None
    check: SelfCheck | None = None
    weights: str = WEIGHT_TREATMENT

    @cached_property
    def hooked(self) -> "HookedModel":
        """The model with hooks. The first use wraps the network in place, which changes later passes by rounding errors."""
        from distractor.models.hooked_model import wrap

        return wrap(self)

    @cached_property
    def bridge(self) -> Any:
        """The `TransformerBridge` of `hooked`."""
        return self.hooked.bridge

    @property
    def treatment(self) -> dict[str, Any]:
        """The settings of this model and its tokenizer, recorded with results.

        `bos` is the token before prompts. `left_out` lists special tokens that the tokenizer would add around a text and
        that are not used. `space` says whether an answer with a leading space has its own tokens after a prompt.
        """
        name, tokenize = self.tokenizer.convert_ids_to_tokens, partial(self.tokenizer, add_special_tokens=False)
        special = [token for token in self.tokenizer("a").input_ids if token not in tokenize("a").input_ids]
        return {
            "weights": self.weights,
            "attention": self.attention,
            "bos": None if self.bos is None else name(self.bos),
            "left_out": [name(token) for token in special if token != self.bos],
            "space": "kept" if tokenize("so: A").input_ids != tokenize("so:A").input_ids else "dropped",
            "self_check": asdict(self.check) if self.check else None,
        }

    @property
    def device(self) -> torch.device:
        """The device of the first weights, where input tokens must be."""
        return next(self.network.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of weights and activations."""
        return next(self.network.parameters()).dtype

    @property
    def attention(self) -> str:
        """The attention implementation of transformers that is used: `eager`, `sdpa`, …"""
        return str(self.network.config._attn_implementation)

    @property
    def shared_length(self) -> int | None:
        """The length up to which texts may share a sequence or a cache: see `limits.shared_length`."""
        return limits.shared_length(self.network.config)

    def refuse_moving_positions(self, shortest: int, longest: int) -> None:
        """Raise ModelError if the model's rotary frequencies differ between texts of these lengths in one pass."""
        limit = limits.rope_limit(self.network.config)
        if limit is not None and shortest <= limit < longest:
            raise ModelError(
                f"{self.name}: its rotary positions change if the longest text of a pass has more than {limit} tokens, "
                f"so texts of {shortest} and of {longest} tokens cannot share a pass or a cache; use texts on one side of it"
            )

    def log_probs(
        self, tokens: Int[Tensor, "row pos"], keep: Int[Tensor, " kept"], *, mask: AttentionMask | None = None
    ) -> Float[Tensor, "row kept vocab"]:
        """Return log-probabilities of the next token at the positions `keep`, the only ones that are unembedded.

        Rows may be padded on the right, because causal attention does not look ahead. `mask` replaces the causal mask.
        """
        record_forward_pass(tokens.numel())
        with self._arithmetic(), self._restrict_last_mlp(keep, tokens.shape[1]):
            return self._log_probs(self._run(tokens, mask, logits_to_keep=keep, use_cache=False), keep)

    def next_logits(
        self, tokens: Int[Tensor, "row pos"], past: Any, rows: Sequence[int] | None = None
    ) -> tuple[Float[Tensor, "row vocab"], Any]:
        """Return the logits after `tokens`, which follow the tokens of a cache (None: a new one), and the extended
        cache.

        `rows` selects the rows of the cache that continue. The arithmetic is the same as in `log_probs`.
        """
        if rows is not None:
            past.batch_select_indices(torch.tensor(rows, device=self.device))
        record_forward_pass(tokens.numel())
        with self._arithmetic():
            output = self._run(tokens, None, past_key_values=past, use_cache=True, logits_to_keep=1)
        return output.logits[:, -1].to(self.device), output.past_key_values

    @property
    def end_tokens(self) -> frozenset[int]:
        """The tokens that end a text."""
        ends: Any = getattr(getattr(self.network, "generation_config", None), "eos_token_id", None)
        listed = ends if isinstance(ends, list) else [ends]
        return frozenset(int(token) for token in (*listed, self.tokenizer.eos_token_id) if token is not None)

    def _run(self, tokens: Int[Tensor, "row pos"], mask: AttentionMask | None, **more: Any) -> Any:
        """Return the output of the network."""
        if mask is not None:
            more |= {"attention_mask": self._masks(mask), "position_ids": mask.positions}
        if not self._can_keep:
            del more["logits_to_keep"]
        return self.network(input_ids=tokens, **more)

    @cached_property
    def _can_keep(self) -> bool:
        """Whether the network can unembed chosen positions only."""
        return "logits_to_keep" in inspect.signature(self.network.forward).parameters

    def _log_probs(self, output: Any, keep: Int[Tensor, " kept"]) -> Float[Tensor, "row kept vocab"]:
        logits = getattr(output, "logits", output).to(
            self.device
        )  # native models of TransformerLens return logits alone
        return log_softmax(logits if logits.shape[1] == len(keep) else logits[:, keep])

    def _restrict_last_mlp(
        self, keep: Int[Tensor, " kept"] | Bool[Tensor, "row pos"], length: int
    ) -> contextlib.AbstractContextManager[object]:
        """Skip the last MLP at positions other than `keep`, which do not reach the output."""
        mlp = self._last_mlp
        n_kept = int(keep.sum(1).max()) if keep.dtype == torch.bool else len(keep)
        if mlp is None or n_kept >= length or not arithmetic.is_positionwise(mlp, self.d_model):
            return contextlib.nullcontext()
        return arithmetic.restrict_positions(mlp, keep)

    @cached_property
    def _last_mlp(self) -> Any:
        """The MLP of the last layer; None if the architecture has no separate module for it (OPT)."""
        lists = [module for module in self.network.modules() if isinstance(module, torch.nn.ModuleList)]
        layers = next((each for each in lists if len(each) == getattr(self._config, "num_hidden_layers", 0)), None)
        return getattr(layers[-1], "mlp", None) if layers else None

    @property
    def d_model(self) -> int:
        """The width of the residual stream."""
        return int(self._config.hidden_size)

    @property
    def _config(self) -> Any:
        return self.network.config.get_text_config()

    def _masks(self, mask: AttentionMask) -> Any:
        """Return the additive mask of attention scores in the architecture's form: one, or one per type of layer."""
        zero = torch.zeros((), dtype=self.dtype, device=mask.visible.device)
        additive = torch.where(mask.visible, zero, torch.finfo(self.dtype).min)[:, None]
        types = getattr(self._config, "layer_types", None)
        return additive if types is None else dict.fromkeys(types, additive)

    def _arithmetic(self) -> contextlib.AbstractContextManager[object]:
        """Compute attention in the dtype of plain transformers; its eager implementation does not support float64."""
        if self.dtype == torch.float64 and getattr(self.network, "_supports_sdpa", False):
            return arithmetic.DoubleSoftmax()
        return contextlib.nullcontext()


def log_softmax(logits: Float[Tensor, "*rest vocab"]) -> Float[Tensor, "*rest vocab"]:
    """Log-softmax in float32 at least."""
    return torch.log_softmax(logits if logits.dtype == torch.float64 else logits.float(), dim=-1)
