"""Maps of patched activations, first-order estimates, and the residual stream as a sum, in a tiny model."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch.testing import assert_close

import tiny
from conftest import Hooked
from distractor.errors import TaskError
from distractor.models.hooked_model import HookedModel
from distractor.models.site import Part, Site
from distractor.probing.measure import measure
from distractor.probing.patching import first_order_effects, grad_drop, patched_gap
from distractor.probing.patching_map import PatchingMap
from distractor.probing.probe import Probe
from distractor.probing.run import Run, batch, observe
from distractor.probing.stream import Stream, at_slot, is_close, sites
from distractor.scoring.encode import encode
from distractor.statistics.intervals import mean_interval
from distractor.text.task import Condition
from probes.activation_patching import ActivationPatching

pytestmark = pytest.mark.quick

PAIR = (Condition.CONFLICT, Condition.CONGRUENT)
TASK = tiny.task().take(6)


def run_of(model: HookedModel, reads: list[Site] | None = None) -> Run:
    return observe(model, batch(encode(TASK, model), model, PAIR), reads or [])


def test_the_cells_of_a_map_are_layers_by_roles_or_components(hooked: Hooked) -> None:
    run = run_of(hooked("gpt2"))
    stream = PatchingMap.of(run, ("resid_pre",), only=("named", "slot"))
    assert not stream.is_of_components
    assert stream.nodes == [(Site(layer, "resid_pre"), role) for layer in range(2) for role in ("named", "slot")]
    components = PatchingMap.of(run, ("z", "mlp_out"))
    assert components.is_of_components
    assert components.layers == [Site(layer, part) for part in ("z", "mlp_out") for layer in range(2)]
    heads = [(Site(layer, "z", head), None) for layer in range(2) for head in range(4)]
    assert components.nodes == [*heads, (Site(0, "mlp_out"), None), (Site(1, "mlp_out"), None)]
    with pytest.raises(TaskError, match=r"'named-7'.*conflict"):
        PatchingMap.of(run, ("resid_pre",), only=("named-7",))


def test_a_cell_is_the_change_of_the_gap_by_its_patch(hooked: Hooked) -> None:
    run = run_of(hooked("gpt2"))
    gap = run.gap.double()
    for patching, node, at in (
        (PatchingMap.of(run, ("resid_pre",)), (Site(1, "resid_pre"), "named"), True),
        (PatchingMap.of(run, ("z",)), (Site(1, "z", 2), None), False),
        (PatchingMap.of(run, ("z", "mlp_out")), (Site(0, "mlp_out"), None), False),
    ):
        expected = patched_gap(run.model, run.batch, node[0], patching.roles["named"] if at else None) - gap
        assert_close(patching.exact([node])[0][0], expected, atol=1e-9, rtol=0)


def test_an_estimate_at_a_cell_is_summed_over_the_tokens_of_its_role(hooked: Hooked) -> None:
    run = run_of(hooked("gpt2"))
    stream, heads = PatchingMap.of(run, ("resid_pre",)), PatchingMap.of(run, ("z",))
    value = torch.rand(2, 6, run.batch.tokens.shape[2], dtype=torch.float64)
    slot = value[..., run.batch.lengths[0] - 1]
    assert_close(stream.at((Site(0, "resid_pre"), "slot"), {Site(0, "resid_pre"): value}), slot)
    assert_close(heads.at((Site(0, "z", 3), None), {Site(0, "z"): value}), value[..., 3])
    mlps = PatchingMap.of(run, ("z", "mlp_out"))
    assert_close(mlps.at((Site(1, "mlp_out"), None), {Site(1, "mlp_out"): value}), value.sum(-1))


def test_a_reading_of_a_map_holds_the_gaps_of_its_pair(hooked: Hooked) -> None:
    run = run_of(hooked("gpt2"))
    patching = PatchingMap.of(run, ("z",))
    values = np.random.default_rng(0).normal(size=(8, 2, 6))
    reading = patching.reading(values, {}, name="patching", origin="here")
    assert reading.dims == ("pair", "direction", "component", "item")
    found = reading.sel(pair="conflict/congruent", component="L1H2.z", direction="denoising")
    assert_allclose(found, values[6, 1])
    gap = run.gap.numpy()
    assert_allclose(reading["pair_gap"], gap[1] - gap[0])
    assert reading["group"].values.tolist() == [item.group for item in run.batch.items]
    expected = mean_interval(gap[1] - gap[0], [item.group for item in run.batch.items])
    assert_allclose(list(reading.attrs["denominator"].values()), expected)


def test_a_pair_probe_has_one_variant_for_each_aligned_condition_of_the_task() -> None:
    probe = ActivationPatching(parts=("z",))
    assert (probe.conditions, probe.writes) == (PAIR, ("z",))
    variants = probe.variants(TASK.conditions)
    assert {name: variant.conditions[1] for name, variant in variants.items()} == {  # type: ignore[index]
        "": Condition.CONGRUENT,
        "/distractor_swapped": Condition.DISTRACTOR_SWAPPED,
    }


@dataclass(frozen=True)
class Gap(Probe):
    """The gap under conditions of different length."""

    conditions: tuple[Condition, ...] = (Condition.CONFLICT, Condition.DISTRACTOR_ONLY)  # type: ignore[assignment]
    is_aligned: bool = False  # type: ignore[assignment]

    def __call__(self, run: Run) -> Any:
        return run.reading("gap", run.gap, {}, {"number": ("item", range(6))}, quantity="gap", unit="nats", origin="-")


def test_conditions_of_different_length_are_read_separately(hooked: Hooked) -> None:
    model = hooked("gpt2")
    reading = measure(model, TASK, Gap())
    assert reading["item"].values.tolist() == [item.id for item in TASK.items]
    assert reading["number"].values.tolist() == list(range(6))
    for condition in Gap().conditions:
        alone = observe(model, batch(encode(TASK, model), model, [condition])).gap[0]
        assert_allclose(reading.sel(condition=condition), alone)


# First-order estimates.


def test_estimates_are_gradients_times_changes(hooked: Hooked) -> None:
    """A small change of an activation changes the gap by its share of the estimate."""
    model, site = hooked("gpt2"), Site(1, "mlp_out")
    run = run_of(model, [site])
    estimate = first_order_effects(model, run.batch, [site])[site][0].sum(-1)
    step, seen = 1e-5, run.seen[site]
    moved = run.again({site: seen + step * (seen.flip(0) - seen)}).gap
    assert_close((moved - run.gap) / step, estimate, atol=1e-3, rtol=1e-3)
    with pytest.raises(ValueError, match="heads"):
        first_order_effects(model, run.batch, [Site(0, "z", 1)])


def test_grad_drop_averages_over_the_layers_that_can_be_dropped() -> None:
    found = torch.tensor([1.0, -2.0, 0.0, 4.0])[:, None, None].repeat(1, 2, 1)  # plain, and without each of 3 layers
    assert (grad_drop(found, "resid_pre") == 2).all()
    assert (grad_drop(found, "mlp_out") == 3).all()
    assert (grad_drop(found[:2], "mlp_out") == 1).all()


# The residual stream.


def test_the_stream_at_the_answer_slot_is_the_sum_of_what_the_layers_write(hooked: Hooked) -> None:
    model = hooked("gpt2")
    run = run_of(model, sites(model))
    stream = Stream.of(run)
    parts: tuple[Part, ...] = ("attn_out", "mlp_out", "resid_post")
    assert set(run.seen) == {Site(0, "resid_pre")} | {Site(layer, part) for layer in range(2) for part in parts}
    assert list(stream.stages) == ["L0.resid_pre", "L0.resid_mid", "L0.resid_post", "L1.resid_mid", "L1.resid_post"]
    last = run.seen[Site(1, "resid_post")]
    for item, length in enumerate(run.batch.lengths):
        assert torch.equal(at_slot(run, Site(1, "resid_post"))[:, item], last[:, item, length - 1])
        assert torch.equal(stream.stages["L1.resid_post"][:, item], last[:, item, length - 1])
    assert_close(stream.embed + sum(stream.attn) + sum(stream.mlp), stream.last, atol=1e-12, rtol=0)


def test_values_are_close_up_to_rounding_of_their_scale() -> None:
    one = torch.ones(2, 2, dtype=torch.float64)
    assert is_close(1e6 * one, 1e6 * one + 1e-4, torch.float64)
    assert not is_close(one, one + 1e-4, torch.float64)
