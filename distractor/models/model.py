"""A language model as the rest of the house sees it; the only module that touches transformer_lens and transformers.

Weights are used raw, through `TransformerBridge`: outputs equal the plain Hugging Face model's.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from einops import einsum, rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor

from distractor.errors import ModelError
from distractor.models.hooks import (
    HOOKS,
    DoubleSoftmax,
    Edit,
    HalfPattern,
    Read,
    Tap,
    at_home,
    is_by_position,
    left_out,
    mid_writer,
    narrowed,
    pattern_writer,
    reader,
    remember,
    tapper,
    writer,
)
from distractor.models.memory import without_progress_bars
from distractor.models.site import PARTS, Part, Site
from distractor.progress import record_forward_pass

WEIGHTS = "raw: as stored, nothing folded or centred"
"""What is done to weights before anything is computed, as it is told with results."""


@dataclass(frozen=True, eq=False)
class AttentionMask:
    """Where the tokens of a pass stand, and which keys, those in the cache first, each of them sees.

    `distances` says how many positions before the token a key stands.
    """

    positions: Int[Tensor, "row query"]
    visible: Bool[Tensor, "row query key"]
    distances: Int[Tensor, "row query key"]


@dataclass(frozen=True)
class SelfCheck:
    """What a model's start-up check found: the largest differences of log-probabilities, in nats, on a few prompts.

    `bridge` is that between the model as it is run here and plain transformers, `padding` that between prompts padded
    together and each alone.
    """

    bridge: float
    padding: float


@dataclass(frozen=True, eq=False)
class Model:
    """A loaded model: its tokenizer, its sizes, and one way to run it.

    `bos` is the token put before every prompt, or None. `n_params` counts every parameter once, embeddings included.
    `check` is None where the start-up check was not made.
    """

    name: str
    bridge: Any
    tokenizer: Any
    n_params: int
    n_layers: int
    n_heads: int
    vocab: int
    context: int | None
    bos: int | None
    check: SelfCheck | None = None

    @property
    def treatment(self) -> dict[str, Any]:
        """What was decided for this model and its tokenizer, to be kept with results.

        `bos` is the token put before prompts; `left_out` are special tokens that the tokenizer would put around a text and
        that are not used; `space` says whether an answer with a space before it has tokens of its own behind a prompt.
        """

        def tokens(text: str) -> list[int]:
            ids: list[int] = self.tokenizer(text, add_special_tokens=False).input_ids
            return ids

        name = self.tokenizer.convert_ids_to_tokens
        around = [one for one in self.tokenizer("a").input_ids if one not in tokens("a")]
        return {
            "weights": WEIGHTS,
            "bos": None if self.bos is None else name(self.bos),
            "left_out": [name(one) for one in around if one != self.bos],
            "space": "kept" if tokens("so: A") != tokens("so:A") else "dropped",
            "self_check": asdict(self.check) if self.check else None,
        }

    @property
    def device(self) -> torch.device:
        """Where the tokens have to be."""
        device: torch.device = next(self.bridge.parameters()).device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights and activations."""
        dtype: torch.dtype = next(self.bridge.parameters()).dtype
        return dtype

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts that this architecture has.

        No `resid_mid` where attention and MLP stand side by side (GPT-NeoX), or norms behind the sums (OPT-350m): what
        TransformerLens calls so there is the sum behind the MLP.
        """
        return tuple(part for part in PARTS if self._has(part, 0))

    def _has(self, part: Part, layer: int) -> bool:
        return f"blocks.{layer}.{HOOKS[part]}" in self.bridge.hook_dict and (part != "resid_mid" or self.is_additive)

    def n_heads_of(self, part: Part) -> int:
        """How many heads a part has: fewer keys and values than queries where heads share them."""
        shared = getattr(self.bridge.cfg, "n_key_value_heads", None)
        return int(shared) if shared and part in ("k", "v") else self.n_heads

    @property
    def is_additive(self) -> bool:
        """Whether a layer adds its attention and MLP to the stream: not where a norm stands behind each sum (OPT-350m)."""
        return bool(getattr(self.bridge.original_model.config, "do_layer_norm_before", True))

    def hook_name(self, site: Site) -> str:
        """TransformerLens' name of a site.

        Raises:
            ModelError: the model has no such layer, part or head.

        """
        if not 0 <= site.layer < self.n_layers:
            raise ModelError(f"{self.name} has layers 0 to {self.n_layers - 1}; {site} was asked for")
        heads = self.n_heads_of(site.part)
        if site.head is not None and not 0 <= site.head < heads:
            raise ModelError(f"{self.name} has heads 0 to {heads - 1}; {site} was asked for")
        name = f"blocks.{site.layer}.{HOOKS[site.part]}"
        if not self._has(site.part, site.layer):
            raise ModelError(f"{self.name} has no {site.part} that can be read or written (TransformerLens: {name})")
        return name

    def log_probs(
        self,
        tokens: Int[Tensor, "row pos"],
        keep: Int[Tensor, " kept"],
        *,
        reads: Mapping[Site, Read] | None = None,
        edits: Mapping[Site, Edit] | None = None,
        taps: Mapping[Site, Tap] | None = None,
        mask: AttentionMask | None = None,
        reads_at_keep: bool = False,
    ) -> Float[Tensor, "row kept vocab"]:
        """Log-probabilities of the next token at the positions `keep`, the only ones that are unembedded.

        Rows may be padded on the right: with causal attention, no position sees what comes after it. `view` says who sees
        whom where it is not each token all before it. `edits` come before `reads`, so that what is seen is what was used.
        With `reads_at_keep`, what `reads` are given is right at the positions `keep` alone, and cheaper. In half precision,
        the last softmax is taken in float32.

        `taps` make the graph of gradients begin at the first of their sites; they need gradients to be on. What an edit
        of `pattern` is given is NaN, for not every architecture knows the pattern in time: it has to be a value.

        Raises:
            ModelError: see `hook`.
            ValueError: a pattern is to be read where it is also written, or a gradient to be taken at a site that is
                written by way of another (`resid_mid`, `pattern`).

        """
        edits, reads, taps = edits or {}, reads or {}, taps or {}
        rewritten = {site.layer for site in edits if site.part == "pattern"}
        if any(site.part == "pattern" and site.layer in rewritten for site in reads):
            raise ValueError("the pattern of a layer cannot be read in the pass in which it is written")
        if any(site.part in ("pattern", "resid_mid") for site in taps):
            raise ValueError(
                "gradients are not taken at pattern and resid_mid, which are written by way of other sites"
            )
        home = self.device
        record_forward_pass(tokens.numel())
        is_spared = (reads_at_keep or not reads) and not (edits or taps) and len(keep) < tokens.shape[1]
        spared = self._last_mlp_at(keep) if is_spared else contextlib.nullcontext()
        with (
            self._arithmetic(),
            spared,
            self.bridge.hooks(fwd_hooks=self._hooks(reads, edits, taps)),
        ):
            if mask is None:
                logits = self.bridge(tokens, logits_to_keep=keep, use_cache=False).to(home)
            else:
                logits = self._network(tokens, mask, logits_to_keep=keep, use_cache=False).to(home)
        if logits.shape[1] != len(keep):  # models of TransformerLens' own give all positions
            logits = logits[:, keep]
        return torch.log_softmax(logits if logits.dtype == torch.float64 else logits.float(), dim=-1)

    def make_cache(self, layers: Sequence[tuple[Tensor, Tensor]] = ()) -> Any:
        """A key/value cache that holds these keys and values of the layers, each [row head pos d_head]."""
        from transformers import DynamicCache

        cache = DynamicCache()
        for layer, (keys, values) in enumerate(layers):
            cache.update(keys, values, layer)
        return cache

    def run_layers(
        self,
        tokens: Int[Tensor, "row pos"],
        past: Any,
        *,
        start: int = 0,
        mask: "AttentionMask | None" = None,
        reads: Mapping[Site, Read] | None = None,
        edits: Mapping[Site, Edit] | None = None,
    ) -> None:
        """Run the layers from `start` on behind the keys and values of a cache, which are added to it.

        What enters layer `start` has to be written there by an edit, if it is not the first. `view` says at which
        positions the tokens stand and what each of them sees. Nothing is unembedded.
        """
        nothing = torch.empty(0, dtype=torch.long, device=self.device)
        record_forward_pass(tokens.numel())
        with (
            self._arithmetic(),
            left_out(list(self.bridge.blocks)[:start]),
            self.bridge.hooks(fwd_hooks=self._hooks(reads or {}, edits or {}, {})),
        ):
            self._network(tokens, mask, past_key_values=past, use_cache=True, logits_to_keep=nothing)

    def _last_mlp_at(self, keep: Int[Tensor, " kept"]) -> contextlib.AbstractContextManager[object]:
        """What the last MLP gives elsewhere than at `keep` reaches no answer, so it is not computed."""
        mlp: Any = getattr(self.bridge.blocks[-1], "mlp", None)
        # The module within the bridge's own, so that hooks see positions as ever. OPT has none but the whole layer.
        inner = mlp.original_component if getattr(mlp, "name", None) else None
        is_spared = inner is not None and is_by_position(inner, self.d_model)
        return narrowed(inner, keep) if is_spared else contextlib.nullcontext()

    def _network(
        self, tokens: Int[Tensor, "row pos"], mask: AttentionMask | None, **more: Any
    ) -> Float[Tensor, "row kept vocab"]:
        """The logits of the network itself, which takes more than the bridge hands on; hooks work all the same."""
        told = {} if mask is None else {"attention_mask": self._masks(mask), "position_ids": mask.positions}
        logits: Tensor = self.bridge.original_model(input_ids=tokens, **told, **more).logits
        return logits

    def _masks(self, mask: "AttentionMask") -> Any:
        """What is added to attention scores, as the architecture takes it: one table, or one for each kind of layer."""
        config = self.bridge.original_model.config.get_text_config()
        window = getattr(config, "sliding_window", None)

        def added(sees: Bool[Tensor, "row query key"]) -> Tensor:
            nothing = torch.zeros((), dtype=self.dtype, device=sees.device)
            return torch.where(sees, nothing, torch.finfo(self.dtype).min)[:, None]

        def near() -> Tensor:
            return added(mask.visible if window is None else mask.visible & (mask.distances < window))

        kinds = getattr(config, "layer_types", None)
        if kinds is None:
            return near()
        return {kind: near() if kind == "sliding_attention" else added(mask.visible) for kind in set(kinds)}

    def _hooks(
        self, reads: Mapping[Site, Read], edits: Mapping[Site, Edit], taps: Mapping[Site, Tap]
    ) -> list[tuple[str, Callable[..., Tensor]]]:
        """Edits before reads. The layers of a model that is spread over devices meet who reads and writes on the first."""
        hooks: list[tuple[str, Callable[..., Tensor]]] = []
        for site in sorted(edits, key=lambda site: PARTS.index(site.part)):
            hooks += self._writers(site, at_home(edits[site], self.device))
        hooks += [(self.hook_name(site), tapper(tap)) for site, tap in taps.items()]
        return hooks + [(self.hook_name(site), reader(site, read, self.device)) for site, read in reads.items()]

    def _writers(self, site: Site, edit: Edit) -> list[tuple[str, Callable[..., Tensor]]]:
        """The hooks that write to a site. Two of TransformerLens' own do not do what they say, and are rewritten.

        `hook_resid_mid` is the MLP's input: a write there leaves the stream beside it as it was, so what is missing is
        added to the attention's output. `hook_pattern` is not listened to in OPT, so what the heads make of the pattern is
        written instead.
        """
        name = self.hook_name(site)
        if site.part == "resid_mid":
            before: list[Tensor] = []
            return [
                (self.hook_name(Site(site.layer, "resid_pre")), remember(before)),
                (self.hook_name(Site(site.layer, "attn_out")), mid_writer(site, edit, before)),
            ]
        if site.part == "pattern":
            values: list[Tensor] = []
            return [
                (self.hook_name(Site(site.layer, "v")), remember(values)),
                (self.hook_name(Site(site.layer, "z")), pattern_writer(site, edit, values)),
            ]
        return [(name, writer(site, edit))]

    def next_logits(
        self, tokens: Int[Tensor, "row pos"], past: Any, rows: Sequence[int] | None = None
    ) -> tuple[Float[Tensor, "row vocab"], Any]:
        """The logits behind tokens that stand behind those of a key/value cache, and the cache with them; None begins one.

        `rows` are the rows of the cache that go on, where the others are at their end. The same arithmetic as in
        `log_probs`, so that what is written and what is ranked come of the same numbers.
        """
        if rows is not None:
            past.batch_select_indices(torch.tensor(rows, device=self.device))
        record_forward_pass(tokens.numel())
        with self._arithmetic():
            told = self.bridge.original_model(input_ids=tokens, past_key_values=past, use_cache=True, logits_to_keep=1)
        return told.logits[:, -1].to(self.device), told.past_key_values

    @property
    def end_tokens(self) -> frozenset[int]:
        """The tokens by which the model says that it has finished."""
        told: Any = getattr(getattr(self.bridge.original_model, "generation_config", None), "eos_token_id", None)
        named = told if isinstance(told, list) else [told]
        return frozenset(int(token) for token in (*named, self.tokenizer.eos_token_id) if token is not None)

    def lens_log_probs(self, resid: Float[Tensor, "row d_model"]) -> Float[Tensor, "row vocab"]:
        """Log-probabilities if the model ended here: final norm, unembedding and soft-capping of a residual stream."""
        with self._arithmetic():
            logits = self._capped(self.bridge.unembed(self._normed(resid)[:, None])[:, 0])
        return torch.log_softmax(logits if logits.dtype == torch.float64 else logits.float(), dim=-1)

    def answer_logits(
        self, resid: Float[Tensor, "row d_model"], answers: Int[Tensor, "row answer"]
    ) -> Float[Tensor, "row answer"]:
        """The logits of some tokens if the model ended here: as `lens_log_probs`, without the rest of the vocabulary."""
        with self._arithmetic():
            normed = self._normed(resid)
        component = self.bridge.unembed.original_component
        logits = einsum(normed, component.weight[answers], "row d_model, row answer d_model -> row answer")
        bias = getattr(component, "bias", None)
        return self._capped(logits if bias is None else logits + bias[answers])

    def gap_direction(
        self, resid: Float[Tensor, "row d_model"], answers: Int[Tensor, "row answer=2"]
    ) -> tuple[Float[Tensor, "row d_model"], dict[str, Float[Tensor, " row"]]]:
        """The logit gap as a sum over what makes up the last residual stream, its final norm's scale held as it is there.

        The gap is residual · direction, plus what the residual has no part in, by name: the bias of the norm, that of the
        unembedding, and what soft-capping the logits changes.
        """
        true, distractor = answers.unbind(-1)
        component, norm = self.bridge.unembed.original_component, self._final_norm
        ahead = component.weight[true] - component.weight[distractor]
        normed = resid if norm is None else norm(resid[:, None])[:, 0]
        rest: dict[str, Tensor] = {}
        if norm is None:
            direction = ahead
        elif norm.uses_rms_norm:
            direction = ahead * _gain(resid, normed)
        else:
            scale = (resid.var(-1, correction=0, keepdim=True) + norm.original_component.eps).sqrt()
            direction = ahead * norm.original_component.weight / scale
            direction = direction - direction.mean(-1, keepdim=True)
            rest["final_norm.bias"] = ahead @ norm.original_component.bias
        if component.bias is not None:
            rest["unembed.bias"] = component.bias[true] - component.bias[distractor]
        if self.soft_cap is not None:
            logits = self.bridge.unembed(normed[:, None])[:, 0].gather(1, answers)
            changed = self._capped(logits) - logits
            rest["soft_cap"] = changed[:, 0] - changed[:, 1]
        return direction, {name: value for name, value in rest.items() if bool(value.any())}

    def output_projection(self, layer: int) -> tuple[Float[Tensor, "head d_head d_model"], Float[Tensor, " d_model"]]:
        """How a layer's heads are mixed into its attention output: each head's linear map, and the bias."""
        linear = self.bridge.blocks[layer].attn.o.original_component
        wide = linear.weight.shape[0] * linear.weight.shape[1] // self.d_model
        nothing = torch.zeros(1, wide, dtype=self.dtype, device=self.device)
        bias = linear(nothing)[0]
        each = linear(torch.eye(wide, dtype=self.dtype, device=self.device)) - bias
        return rearrange(each, "(head d_head) d_model -> head d_head d_model", head=self.n_heads), bias

    def post_attention_gain(
        self, layer: int, mixed: Float[Tensor, "*rest d_model"], attn_out: Float[Tensor, "*rest d_model"]
    ) -> Float[Tensor, "*rest d_model"] | None:
        """What turns the mix of a layer's heads into its attention output where a norm stands between, its scale held.

        None where there is no such norm (it is in Gemma 2 and 3, and OLMo 2).

        Raises:
            ModelError: it is no multiplication, so that heads have no parts of their own.

        """
        norm = getattr(self.bridge.blocks[layer], "ln1_post", None)
        if norm is None:
            return None
        if not norm.uses_rms_norm:
            raise ModelError(
                f"{self.name}: the attention of layer {layer} is centred after its heads are mixed, so its output is no sum "
                "over heads; leave out direct_attribution for this model"
            )
        return _gain(mixed, attn_out)

    def make_untrained(self, seed: int) -> "Model":
        """A model of the same architecture with the weights that training starts from."""
        from transformer_lens.model_bridge import TransformerBridge

        config = self.bridge.original_model.config
        with torch.random.fork_rng(devices=[]), without_progress_bars():
            torch.manual_seed(seed)
            network = type(self.bridge.original_model)(config).to(self.dtype)
            network.config.architectures = [type(network).__name__]
            bridge = TransformerBridge.boot_transformers(
                self.name, hf_model=network, tokenizer=self.tokenizer, device=str(self.device), dtype=self.dtype
            )
        return replace(self, name=f"{self.name} untrained", bridge=bridge.eval().requires_grad_(False))

    @property
    def d_model(self) -> int:
        """The width of the residual stream."""
        return int(self.bridge.cfg.d_model)

    def _normed(self, resid: Float[Tensor, "row d_model"]) -> Float[Tensor, "row width"]:
        """What is unembedded of a last residual stream: OPT-350m's has no final norm, and is made narrower."""
        normed = resid[:, None] if self._final_norm is None else self._final_norm(resid[:, None])
        inner = getattr(self.bridge.original_model, "model", None)
        narrow = getattr(getattr(inner, "decoder", None), "project_out", None)
        return (normed if narrow is None else narrow(normed))[:, 0]

    @property
    def _final_norm(self) -> Any:
        return getattr(self.bridge, "ln_final", None)

    @property
    def soft_cap(self) -> float | None:
        """Where the logits are capped, softly: capped = soft_cap · tanh(logit / soft_cap). None in most models."""
        cap = float(getattr(self.bridge.cfg, "output_logits_soft_cap", None) or 0)
        return cap if cap > 0 else None

    def _capped(self, logits: Tensor) -> Tensor:
        return logits if self.soft_cap is None else self.soft_cap * torch.tanh(logits / self.soft_cap)

    def _arithmetic(self) -> contextlib.AbstractContextManager[object]:
        """Attention in the type in which plain transformers computes it.

        In float64 where it does in its default implementation, not its eager one; in half precision throughout.
        """
        if self.dtype == torch.float64 and getattr(self.bridge.original_model, "_supports_sdpa", False):
            return DoubleSoftmax()
        return contextlib.nullcontext() if self.dtype in (torch.float32, torch.float64) else HalfPattern()


def _gain(before: Float[Tensor, "*rest d"], after: Float[Tensor, "*rest d"]) -> Float[Tensor, "*rest d"]:
    """The factors by which a norm without bias multiplied, as it computed them: in float64 some work in float32."""
    return torch.where(before == 0, 0, after / torch.where(before == 0, 1, before))
