"""Direct logit attribution: the logit gap as an exact sum of each component's output (Elhage et al. 2021)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from distractor.models.site import Part, Site
from distractor.probing.probe import Probe
from distractor.text.task import Condition

if TYPE_CHECKING:
    from torch import Tensor
    from xarray import DataArray

    from distractor.models.hooked_model import HookedModel
    from distractor.probing.positions import Positions
    from distractor.probing.run import Run


@dataclass(frozen=True)
class DirectAttribution(Probe):
    """The contribution of each component to the gap through the answer slot, with the final norm's scale held fixed.

    The reading is [component condition item] in nats, positive for the true answer. Its sum over components is the gap.
    Components are `embed` (token and position at the slot), heads (`L0H1.z`), the bias of a layer's heads
    (`L0.attn_bias`) and MLPs (`L0.mlp_out`). Biases of the final norm and the unembedding are components, too.
    If logits are soft-capped (Gemma 2), the parts sum to the gap before capping, and `soft_cap` is the change by capping.
    If a norm follows the heads (Gemma 2 and 3), its scale is held fixed, too.

    With `by_role`, a head's contribution is split by the role it attends to: [component role condition item]. All other
    components count at the slot, and the sum over components and roles is the gap. A direct contribution is not an effect:
    it leaves out what a component does through later layers.

    Raises:
        ModelError: the sum differs from the model's gap, or see `Stream`.
    """

    by_role: bool = False
    conditions: tuple[Condition, ...] = (Condition.CONFLICT, Condition.CONGRUENT)
    slot_parts: ClassVar[tuple[Part, ...]] = ("resid_pre", "attn_out", "mlp_out", "resid_post", "z", "pattern")

    def sites(self, model: "HookedModel") -> Sequence[Site]:
        """The layers' outputs at the slot and their heads' `z`; with `by_role` also patterns and values."""
        from distractor.probing import stream

        parts: tuple[Part, ...] = ("z", "pattern", "v") if self.by_role else ("z",)
        return stream.sites(model) + [Site(layer, part) for layer in range(model.n_layers) for part in parts]

    def __call__(self, run: "Run") -> "DataArray":
        """The contribution of each component to the gap of each item under each condition."""
        import torch
        from einops import einsum

        from distractor.probing.positions import Positions, example_tokens
        from distractor.probing.stream import Stream

        with torch.inference_mode():
            stream, positions = Stream.of(run), Positions.of(run.batch)
            rows = stream.last.flatten(0, 1)
            direction, rest = run.model.gap_direction(rows, run.batch.answers.repeat(run.gap.shape[0], 1))
            direction = direction.double().reshape(stream.last.shape)
            parts = {"embed": (stream.embed * direction).sum(-1)}
            sources: dict[str, Tensor] = {}
            for layer in range(run.model.n_layers):
                gain = run.model.post_attention_gain(layer, _mixed(run, layer), stream.attn[layer])
                weight, bias = run.model.output_projection(layer)
                here = direction if gain is None else direction * gain
                reads = einsum(
                    weight.double(), here, "head d_head d_model, condition item d_model -> head condition item d_head"
                )
                heads = (_z(run, layer) * reads).sum(-1)
                parts |= {str(Site(layer, "z", head)): heads[head] for head in range(run.model.n_heads)}
                if self.by_role:
                    contributions = _by_source(run, layer, reads, positions)
                    sources |= {str(Site(layer, "z", head)): contributions[head] for head in range(run.model.n_heads)}
                if bool(bias.any()):
                    parts[f"L{layer}.attn_bias"] = (bias * here).sum(-1)
                parts[str(Site(layer, "mlp_out"))] = (stream.mlp[layer] * direction).sum(-1)
            parts |= {name: value.double().reshape(run.gap.shape) for name, value in rest.items()}
            values = torch.stack(list(parts.values()))
            lead, coords = {"component": list(parts)}, {}
            if self.by_role:
                slot = positions.labels.index("slot")
                values = torch.stack([sources.get(n, _alone_at(slot, v, positions)) for n, v in parts.items()])
                lead["role"] = list(positions.labels)
                coords = example_tokens(run.batch, run.model.tokenizer, positions.labels)
            _check(run, values.sum(0) if not self.by_role else values.sum((0, 1)), values)
        return run.reading(
            "direct_attribution_by_role" if self.by_role else "direct_attribution",
            values,
            lead,
            coords,
            quantity="contribution to the logit gap",
            unit="nats",
            origin=f"direct attribution of {run.model.name}",
        )


def _z(run: "Run", layer: int) -> "Tensor":
    """The heads' values at the slot: [head condition item d_head]."""
    from distractor.probing.stream import at_slot

    return at_slot(run, Site(layer, "z")).double().permute(2, 0, 1, 3)


def _mixed(run: "Run", layer: int) -> "Tensor":
    """The sum of a layer's heads, before any norm: [condition item d_model]."""
    from einops import einsum

    weight, bias = run.model.output_projection(layer)
    mixed = einsum(
        weight.double(), _z(run, layer), "head d_head d_model, head condition item d_head -> condition item d_model"
    )
    return mixed + bias.double()


def _by_source(run: "Run", layer: int, reads: "Tensor", positions: "Positions") -> "Tensor":
    """Each head's contribution from the tokens of each role: [head role condition item]."""
    from einops import einsum

    pattern = run.seen[Site(layer, "pattern")][:, :, :, 0].double()
    values = run.seen[Site(layer, "v")].double()
    values = values.repeat_interleave(run.model.n_heads // values.shape[3], 3)  # heads of a group share their values
    by_key = einsum(
        pattern,
        values,
        reads,
        "condition item head key, condition item key head d_head, head condition item d_head -> head condition item key",
    )
    return positions.sums(by_key).movedim(-3, 1)


def _alone_at(slot: int, value: "Tensor", positions: "Positions") -> "Tensor":
    """The contribution of a component that reads no other token, with all of it at the slot: [role condition item]."""
    import torch

    table = torch.zeros(len(positions.labels), *value.shape, dtype=value.dtype, device=value.device)
    table[slot] = value
    return table


def _check(run: "Run", total: "Tensor", values: "Tensor") -> None:
    from distractor.errors import ModelError
    from distractor.probing.stream import TOLERANCE

    off = (total - run.gap).abs().max()
    if not off <= TOLERANCE[run.model.dtype] * max(1.0, float(values.abs().sum(0).max())):
        raise ModelError(
            f"{run.model.name}: the components' contributions sum to another gap than the model's (off by {float(off):.1e} "
            "nats), so this architecture is not supported; leave out direct_attribution for this architecture"
        )
