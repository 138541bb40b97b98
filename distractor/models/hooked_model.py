"""A language model whose activations can be read and edited by site, with the hooks of TransformerLens."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import torch
from einops import einsum, rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor

from distractor.errors import ModelError, first_line
from distractor.models import arithmetic, hooks
from distractor.models.hooks import HOOKS, Edit, Hook, Read, Tap, recorder
from distractor.models.memory import loaded_networks, quiet_transformers
from distractor.models.model import AttentionMask, Model, log_softmax
from distractor.models.self_check import same_scores
from distractor.models.site import PARTS, SHARED_PARTS, Part, Site
from distractor.progress import record_forward_pass


def wrap(model: Model) -> "HookedModel":
    """Wrap the network of a model in place.

    Raises ModelError if TransformerLens does not support the architecture or its attention implementation, or if a model
    with a self-check gives other log-probabilities afterwards.
    """
    from transformer_lens.model_bridge import TransformerBridge

    scored_only = "the model can be scored but not probed (ablate: --no-knockout)"
    if model.attention != "eager":
        raise ModelError(
            f"{model.name}: hooks need eager attention, which in this architecture gives other log-probabilities than the "
            f"default of transformers ({model.attention}); {scored_only}"
        )
    known = {each.name: getattr(model, each.name) for each in fields(Model)}
    place = {} if getattr(model.network, "hf_device_map", None) else {"device": str(model.device)}
    trust = bool(model.tokenizer.init_kwargs.get("trust_remote_code"))
    with same_scores(model) as compare:
        try:
            # Wrapping makes parameters with random values before it sets them.
            with torch.random.fork_rng(devices=[]), quiet_transformers():
                bridge = TransformerBridge.boot_transformers(
                    model.name,
                    hf_model=model.network,
                    tokenizer=model.tokenizer,
                    dtype=model.dtype,
                    trust_remote_code=trust,
                    **place,
                )
        except Exception as error:  # of any kind, from the code of 160 architectures
            why = first_line(error)
            if getattr(model.network.config, "new_decoder_architecture", False):
                why = "Falcon with `new_decoder_architecture`, whose queries share keys and values, is not supported"
            raise ModelError(f"{model.name}: TransformerLens cannot wrap this model ({why}); {scored_only}") from error
        loaded_networks.add(bridge)
        hooked = HookedModel(**known, bridge=bridge.eval().requires_grad_(False))
        compare(hooked)
    return hooked


@dataclass(frozen=True, eq=False)
class HookedModel(Model):
    """A model with the hooks of its `TransformerBridge`."""

    bridge: Any = field(kw_only=True)

    @property
    def hooked(self) -> "HookedModel":
        """The model."""
        return self

    @property
    def n_layers(self) -> int:
        """The number of layers."""
        return int(self.bridge.cfg.n_layers)

    @property
    def n_heads(self) -> int:
        """The number of attention heads of a layer."""
        return int(self.bridge.cfg.n_heads)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts that this architecture has; no `resid_mid` if attention and MLP run in parallel or norms follow the
        sums.
        """
        return tuple(part for part in PARTS if self._has(part, 0))

    def _has(self, part: Part, layer: int) -> bool:
        return f"blocks.{layer}.{HOOKS[part]}" in self._hook_names and (part != "resid_mid" or self.is_additive)

    @cached_property
    def _hook_names(self) -> frozenset[str]:
        """The names of all hooks. The bridge gathers them anew each time it is asked, which takes longer than a pass."""
        return frozenset(self.bridge.hook_dict)

    def n_heads_of(self, part: Part) -> int:
        """Return the number of heads of a part; `k` and `v` have fewer in grouped-query attention."""
        shared = getattr(self.bridge.cfg, "n_key_value_heads", None)
        return int(shared) if shared and part in ("k", "v") else self.n_heads

    def head_sites(self, layer: int, part: Part) -> list[Site]:
        """Return a site for each head of a part; those of shared keys and values are named by their query heads."""
        heads = self.n_heads_of(part)
        shared_by = self.n_heads // heads if part in SHARED_PARTS else None
        return [Site(layer, part, head, shared_by) for head in range(heads)]

    @property
    def components(self) -> list[Site]:
        """All heads (`z`) and MLPs, in the order of computation."""
        layers = range(self.n_layers)
        return [site for n in layers for site in (*self.head_sites(n, "z"), Site(n, "mlp_out"))]

    @property
    def is_additive(self) -> bool:
        """Whether layers add their outputs to the residual stream; False if a norm follows each sum (OPT-350m)."""
        return bool(getattr(self.network.config, "do_layer_norm_before", True))

    def hook_name(self, site: Site) -> str:
        """Return the hook name of a site in TransformerLens. Raises ModelError if the model has no such site."""
        if not 0 <= site.layer < self.n_layers:
            raise ModelError(f"{self.name} has layers 0 to {self.n_layers - 1}; got {site}")
        if site.head is not None:
            heads = self.head_sites(site.layer, site.part)
            is_named_as_here = site.shared_by is None or site.shared_by == heads[0].shared_by
            if site not in heads or not is_named_as_here:
                raise ModelError(f"{self.name} has no {site}; it has {heads[0]} to {heads[-1]}{_why(heads[0])}")
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
        """Return log-probabilities of the next token at the positions `keep`, the only ones that are unembedded.

        Rows may be padded on the right, because causal attention does not look ahead. `mask` replaces the causal mask.
        `edits` apply before `reads`. With `reads_at_keep`, activations are right only at the positions `keep`, which is
        cheaper. `taps` start the gradient graph at the first of their sites; gradients must be enabled. An edit of
        `pattern` receives NaN, because some architectures compute the pattern too late; it has to return a fixed value.

        Raises ModelError like `hook_name`, and ValueError if a pattern is both read and written, or a gradient is
        requested at a site that is written through another one (`resid_mid`, `pattern`).
        """
        edits, reads, taps = edits or {}, reads or {}, taps or {}
        rewritten = {site.layer for site in edits if site.part == "pattern"}
        if any(site.part == "pattern" and site.layer in rewritten for site in reads):
            raise ValueError("one pass cannot both read and write the pattern of a layer")
        if any(site.part in ("pattern", "resid_mid") for site in taps):
            raise ValueError("gradients at pattern and resid_mid are not available")
        record_forward_pass(tokens.numel(), 3 if taps else 1)
        can_restrict = (reads_at_keep or not reads) and not (edits or taps)
        restricted = self._restrict_last_mlp(keep, tokens.shape[1]) if can_restrict else contextlib.nullcontext()
        with self._arithmetic(), restricted, self.bridge.hooks(fwd_hooks=self._hooks(reads, edits, taps)):
            return self._log_probs(self._run(tokens, mask, logits_to_keep=keep, use_cache=False), keep)

    @property
    def cache_bytes(self) -> int:
        """The memory of one token's keys and values in all layers."""
        return 2 * self.n_layers * self.n_heads_of("k") * int(self.bridge.cfg.d_head) * self.dtype.itemsize

    def make_cache(self, layers: Sequence[tuple[Tensor, Tensor]] = ()) -> Any:
        """Return a key/value cache with these keys and values of the first layers, each [row head pos d_head]."""
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
        stop: int | None = None,
        mask: AttentionMask | None = None,
        reads: Mapping[Site, Read] | None = None,
        edits: Mapping[Site, Edit] | None = None,
        ends: Bool[Tensor, "row pos"] | None = None,
    ) -> None:
        """Run the layers from `start` up to, but not including, `stop` (None: all) after the tokens of a cache.

        Their keys and values are added to the cache. After the first layer, an edit must write the input of layer `start`.
        Nothing is unembedded. With `ends`, the last layer's MLP is computed only where the last residual stream is needed.
        """
        blocks = list(self.bridge.blocks)
        left_out = blocks[:start] + (blocks[stop:] if stop is not None else [])
        nothing = torch.empty(0, dtype=torch.long, device=self.device)
        layers = (self.n_layers if stop is None else stop) - start
        record_forward_pass(tokens.numel(), layers / self.n_layers)
        restricted = contextlib.nullcontext() if ends is None else self._restrict_last_mlp(ends, tokens.shape[1])
        with (
            self._arithmetic(),
            restricted,
            hooks.skip_layers(left_out),
            self.bridge.hooks(fwd_hooks=self._hooks(reads or {}, edits or {}, {})),
        ):
            self._run(tokens, mask, past_key_values=past, use_cache=True, logits_to_keep=nothing)

    @cached_property
    def _last_mlp(self) -> Any:
        mlp: Any = getattr(self.bridge.blocks[-1], "mlp", None)
        # The wrapped module, so that hooks still see all positions.
        return mlp.original_component if getattr(mlp, "name", None) else None

    def _hooks(
        self, reads: Mapping[Site, Read], edits: Mapping[Site, Edit], taps: Mapping[Site, Tap]
    ) -> list[tuple[str, Hook]]:
        """Return hooks, edits before reads. Values move to and from the model's first device if it spans several."""
        made: list[tuple[str, Hook]] = []
        for site in sorted(edits, key=lambda site: PARTS.index(site.part)):
            made += self._writers(site, hooks.on_device(edits[site], self.device))
        made += [(self.hook_name(site), hooks.tapper(tap)) for site, tap in taps.items()]
        return made + [(self.hook_name(site), hooks.reader(site, read, self.device)) for site, read in reads.items()]

    def _writers(self, site: Site, edit: Edit) -> list[tuple[str, Hook]]:
        """Return the hooks that write to a site. Two hooks of TransformerLens do not work and are replaced.

        `hook_resid_mid` is the input of the MLP: writing there leaves the residual stream unchanged, so the difference is
        added to the attention output. OPT ignores writes to `hook_pattern`, so `z` is computed from the pattern and written.
        """
        name = self.hook_name(site)
        recorded: list[Tensor] = []
        if site.part == "resid_mid":
            return [
                (self.hook_name(Site(site.layer, "resid_pre")), recorder(recorded)),
                (self.hook_name(Site(site.layer, "attn_out")), hooks.resid_mid_writer(site, edit, recorded)),
            ]
        if site.part == "pattern":
            return [
                (self.hook_name(Site(site.layer, "v")), recorder(recorded)),
                (self.hook_name(Site(site.layer, "z")), hooks.pattern_writer(site, edit, recorded)),
            ]
        return [(name, hooks.writer(site, edit))]

    def lens_log_probs(self, resid: Float[Tensor, "row d_model"]) -> Float[Tensor, "row vocab"]:
        """Return the log-probabilities of the logit lens: final norm, unembedding and soft cap of a residual stream."""
        with self._arithmetic():
            logits = self._capped(self.bridge.unembed(self._normed(resid)[:, None])[:, 0])
        return log_softmax(logits)

    def answer_logits(
        self, resid: Float[Tensor, "row d_model"], answers: Int[Tensor, "row answer"]
    ) -> Float[Tensor, "row answer"]:
        """Return logits of a few tokens from a residual stream, computed as in `lens_log_probs`."""
        with self._arithmetic():
            normed = self._normed(resid)
        component = self.bridge.unembed.original_component
        logits = einsum(normed, component.weight[answers], "row d_model, row answer d_model -> row answer")
        bias = getattr(component, "bias", None)
        return self._capped(logits if bias is None else logits + bias[answers])

    def gap_direction(
        self, resid: Float[Tensor, "row d_model"], answers: Int[Tensor, "row answer=2"]
    ) -> tuple[Float[Tensor, "row d_model"], dict[str, Float[Tensor, " row"]]]:
        """Return the direction of the logit gap in the last residual stream, with the scale of the final norm held fixed.

        The gap is residual · direction plus the other returned terms: the biases of the final norm and the unembedding,
        and the change by the soft cap.
        """
        true, distractor = answers.unbind(-1)
        component, norm = self.bridge.unembed.original_component, self._final_norm
        weight_gap = component.weight[true] - component.weight[distractor]
        normed = resid if norm is None else norm(resid[:, None])[:, 0]
        rest: dict[str, Tensor] = {}
        if norm is None:
            direction = weight_gap
        elif norm.uses_rms_norm:
            direction = weight_gap * _gain(resid, normed)
        else:
            scale = (resid.var(-1, correction=0, keepdim=True) + norm.original_component.eps).sqrt()
            direction = weight_gap * norm.original_component.weight / scale
            direction = direction - direction.mean(-1, keepdim=True)
            rest["final_norm.bias"] = weight_gap @ norm.original_component.bias
        if component.bias is not None:
            rest["unembed.bias"] = component.bias[true] - component.bias[distractor]
        if self.soft_cap is not None:
            logits = self.bridge.unembed(normed[:, None])[:, 0].gather(1, answers)
            changed = self._capped(logits) - logits
            rest["soft_cap"] = changed[:, 0] - changed[:, 1]
        return direction, {name: value for name, value in rest.items() if bool(value.any())}

    def output_projection(self, layer: int) -> tuple[Float[Tensor, "head d_head d_model"], Float[Tensor, " d_model"]]:
        """Return the linear map from each head's `z` to the attention output of a layer, and its bias."""
        linear = self.bridge.blocks[layer].attn.o.original_component
        width = linear.weight.shape[0] * linear.weight.shape[1] // self.d_model
        bias = linear(torch.zeros(1, width, dtype=self.dtype, device=self.device))[0]
        weight = linear(torch.eye(width, dtype=self.dtype, device=self.device)) - bias
        return rearrange(weight, "(head d_head) d_model -> head d_head d_model", head=self.n_heads), bias

    def attention_output(self, layer: int, z: Float[Tensor, "row pos head d_head"]) -> Float[Tensor, "row pos d_model"]:
        """Return what a layer's heads with the results `z` add to the residual stream, with any norm after attention."""
        block = self.bridge.blocks[layer]
        with self._arithmetic():
            mixed = block.attn.o.original_component(rearrange(z, "row pos head d_head -> row pos (head d_head)"))
            norm = getattr(block, "ln1_post", None)
            return mixed if norm is None else norm(mixed)

    def post_attention_gain(
        self, layer: int, mixed: Float[Tensor, "*rest d_model"], attn_out: Float[Tensor, "*rest d_model"]
    ) -> Float[Tensor, "*rest d_model"] | None:
        """Return the factors of the norm after attention, with its scale held fixed, or None if there is no such norm.

        `mixed` is the sum over the heads of a layer, `attn_out` its attention output. Gemma 2 and 3 and OLMo 2 have the
        norm. Raises ModelError if the norm also centres, so heads have no separate contributions.
        """
        norm = getattr(self.bridge.blocks[layer], "ln1_post", None)
        if norm is None:
            return None
        if not norm.uses_rms_norm:
            raise ModelError(
                f"{self.name}: a norm centres the attention output of layer {layer}, so it is no sum over heads; leave out "
                "direct_attribution for this model"
            )
        return _gain(mixed, attn_out)

    def final_norm_scale(self, resid: Float[Tensor, "*rest d_model"]) -> Float[Tensor, "*rest"]:
        """Return the length by which the final norm divides a residual stream (rms or standard deviation); 1 without norm."""
        if self._final_norm is None:
            return torch.ones_like(resid[..., 0])
        centred = resid if self._final_norm.uses_rms_norm else resid - resid.mean(-1, keepdim=True)
        return centred.square().mean(-1).sqrt()

    def make_untrained(self, seed: int) -> "HookedModel":
        """Return a model of the same architecture with random initial weights."""
        with torch.random.fork_rng(devices=[]), quiet_transformers():
            torch.manual_seed(seed)
            network = type(self.network)(self.network.config).to(self.device, self.dtype)
        network.config.architectures = [type(network).__name__]
        known = {each.name: getattr(self, each.name) for each in fields(Model)}
        return wrap(Model(**known | {"name": f"{self.name} untrained", "network": network, "check": None}))

    def _normed(self, resid: Float[Tensor, "row d_model"]) -> Float[Tensor, "row width"]:
        """Apply the final norm. OPT-350m has none, and projects to its narrower embedding instead."""
        normed = resid[:, None] if self._final_norm is None else self._final_norm(resid[:, None])
        inner = getattr(self.network, "model", None)
        narrow = getattr(getattr(inner, "decoder", None), "project_out", None)
        return (normed if narrow is None else narrow(normed))[:, 0]

    @property
    def _final_norm(self) -> Any:
        return getattr(self.bridge, "ln_final", None)

    @property
    def has_final_norm(self) -> bool:
        """Whether a norm comes before the unembedding (OPT-350m has none)."""
        return self._final_norm is not None

    @property
    def soft_cap(self) -> float | None:
        """The cap of the logits: capped = soft_cap · tanh(logit / soft_cap). None in most models."""
        cap = float(getattr(self.bridge.cfg, "output_logits_soft_cap", None) or 0)
        return cap if cap > 0 else None

    def _capped(self, logits: Tensor) -> Tensor:
        return logits if self.soft_cap is None else self.soft_cap * torch.tanh(logits / self.soft_cap)

    def _arithmetic(self) -> contextlib.AbstractContextManager[object]:
        half = self.dtype not in (torch.float32, torch.float64)
        return arithmetic.HalfPattern() if half else super()._arithmetic()


def _why(site: Site) -> str:
    """Explain the name of a site with keys or values that several query heads share; empty for any other site."""
    shared = site.shared_by or 1
    return f", because {shared} query heads share their keys and values" if shared > 1 else ""


def _gain(before: Float[Tensor, "*rest d"], after: Float[Tensor, "*rest d"]) -> Float[Tensor, "*rest d"]:
    """Return the factors of a norm without bias from its input and output; some norms use float32 even in float64."""
    return torch.where(before == 0, 0, after / torch.where(before == 0, 1, before))
