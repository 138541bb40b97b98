"""Results of probes: which gap effects are compared with, what the cells hold, and the sites of a wired model."""

from pathlib import Path

import numpy as np
import pytest
from numpy import ndarray
from numpy.testing import assert_allclose
from xarray import DataArray

import tiny
import wired
from distractor.models.source import Source
from distractor.probing.probe_results import ProbeResults
from distractor.probing.read_probes import measures_strengths, read_probes
from distractor.probing.readings import Reading, ReadingsRequest, probe_identity, probe_key, stored
from distractor.probing.steps import reading_steps
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.scoring.sweep import Scores, sweep
from distractor.statistics.effects import judge
from distractor.statistics.intervals import mean_interval
from distractor.text.task import Condition
from distractor.work import Step
from probes.ablation import Ablation
from probes.activation_patching import ActivationPatching

pytestmark = pytest.mark.quick

TASK = tiny.task()
GROUPS = [item.group for item in TASK.items]
CPU = Settings(device="cpu")


def scores(name: str, seed: int) -> Scores:
    shape = (len(TASK.conditions), len(TASK.items), 2)
    return Scores(Source("f", name, Path(name)), np.random.default_rng(seed).uniform(-9, 0, shape), True, 0, {})


def results(*models: Scores, **readings: tuple[Reading, ...]) -> ProbeResults:
    return ProbeResults(TASK, CPU, models, readings)


def effects(source: Source, pair_gap: ndarray | None = None) -> Reading:
    """Random effects of two heads; with `pair_gap` in both directions, as of activation patching."""
    coords = {"component": ["L0H0.z", "L0H1.z"], "item": [item.id for item in TASK.items]}
    if pair_gap is not None:
        coords = {"direction": ["noising", "denoising"], **coords}
    values = np.random.default_rng(5).normal(1, 1, [len(names) for names in coords.values()])
    more = {} if pair_gap is None else {"pair_gap": ("item", pair_gap)}
    return Reading(
        source, stored(DataArray(values, dims=list(coords), coords={**coords, **more}, attrs={"unit": "nats"}))
    )


def gaps(of: Scores) -> tuple[ndarray, ndarray]:
    """The gaps under conflict and congruent."""
    conflict, congruent = (
        of.log_probs[TASK.conditions.index(c)] @ [1, -1] for c in (Condition.CONFLICT, Condition.CONGRUENT)
    )
    return conflict, congruent


def test_effects_are_compared_with_the_larger_of_both_tasks_gaps_in_the_same_model() -> None:
    first, second = scores("first", 0), scores("second", 1)
    conflict_row, congruent_row = (TASK.conditions.index(c) for c in (Condition.CONFLICT, Condition.CONGRUENT))
    second.log_probs[conflict_row, :, 1] -= 10
    second.log_probs[congruent_row, :, 0] -= (
        10  # the true task decides the second model's gaps, the distractor the first's
    )
    first.log_probs[[conflict_row, congruent_row], :, 0] -= 10
    of_second = effects(second.source)
    conflict, congruent = gaps(second)
    found = results(first, second)
    assert_allclose(found.gap_in_question(of_second, {}), conflict - congruent)
    assert_allclose(found.gap_in_question(effects(first.source), {}), -sum(gaps(first)))
    assert found.why_no_recovery(of_second) is None
    (cells,) = results(first, second, ablation=(of_second,)).cells["ablation"]
    expected = judge(of_second.data.values, GROUPS, conflict - congruent)
    for name in ("mean", "low", "high", "p"):
        assert_allclose(cells[name], getattr(expected, name))
    assert cells["marked"].values.tolist() == expected.is_marked.tolist()
    assert "recovery" not in cells


def test_patching_is_compared_with_its_pairs_gap_in_its_direction() -> None:
    pair_gap = np.random.default_rng(2).normal(4, 0.5, len(TASK.items))
    model = scores("one", 0)
    reading = effects(model.source, pair_gap)
    found = results(model, patching=(reading,))
    cells = found.cells_of(reading)
    for direction, sign in (("noising", 1), ("denoising", -1)):
        values = reading.data.sel(direction=direction)
        assert_allclose(found.gap_in_question(reading, {"direction": direction}), sign * pair_gap)
        assert_allclose(cells["recovery"].sel(direction=direction), values.mean("item") / (sign * pair_gap.mean()))
    assert found.why_no_recovery(reading) is None
    without = effects(model.source, pair_gap - pair_gap.mean())
    assert "not defined" in (found.why_no_recovery(without) or "")


def test_behaviour_is_the_mean_over_complete_items() -> None:
    model = scores("one", 0)
    model.log_probs[TASK.conditions.index(Condition.NEUTRAL), 0] = np.nan
    found = results(model).summary_means(0)
    assert list(found) == [
        ("distractor_preference", Condition.CONFLICT),
        ("true_pull", None),
        ("distractor_pull", None),
    ]
    conflict, congruent = gaps(model)
    expected = mean_interval((conflict - congruent)[1:] / 2, GROUPS[1:])
    assert_allclose(found["true_pull", None], expected)  # type: ignore[arg-type]


def test_a_reading_is_stored_under_its_probe_and_holds_a_row_for_each_value(tmp_path: Path) -> None:
    task, source, store = wired.task(2), wired.source(tmp_path, "one"), Store(tmp_path / "cells")
    reading = ReadingsRequest(task, source, CPU, (("ablation", Ablation()),)).compute(store)[0]
    assert store.has(probe_key(task, source, Ablation(), CPU))
    assert probe_identity(Ablation()) == repr(Ablation())
    table = reading.table.to_pandas()
    assert len(table) == reading.data.size
    row = table.iloc[7]
    assert row["value"] == float(reading.data.sel({dim: row[dim] for dim in reading.data.dims}))


def test_the_heads_that_were_wired_for_each_task_carry_its_pull(tmp_path: Path) -> None:
    task, store = wired.task(8), Store(tmp_path / "cells")
    source = wired.source(tmp_path, "one", first=1.0, second=2.0)
    probes, scored = {"ablation": Ablation()}, sweep(task, [source], store, CPU)
    found = read_probes(task, scored, probes, store=store, settings=CPU, measure_strengths=True)
    (strength,) = found.strengths
    assert strength.chosen == (("L0H1.z",), ("L0H0.z",))
    assert (strength.mean("true").mean, strength.mean("distractor").mean) == pytest.approx((2, 1), abs=0.05)
    summary = strength.as_dict()
    assert summary["true"]["sites"] == ["L0H1.z"]
    assert summary["distractor"]["low"] == strength.mean("distractor").low


def test_knocking_out_the_sites_of_both_tasks_together_is_two_more_steps(tmp_path: Path) -> None:
    task = wired.task(8)
    sources = [wired.source(tmp_path, str(k)) for k in range(3)]
    probes = {"ablation": Ablation(), "patching": ActivationPatching(parts=("z",))}
    n_variants = len(probes["patching"].variants(task.conditions))
    assert measures_strengths(task, sources, probes, True)
    assert measures_strengths(task, sources[:1], probes)
    assert not measures_strengths(wired.task(3), sources[:1], probes)
    assert not measures_strengths(task, sources, probes, False)
    assert not measures_strengths(task, sources, {"patching": probes["patching"]}, None)

    def steps(*, measure_strengths: bool) -> list[Step]:
        store = Store(tmp_path / "cells")
        return list(reading_steps(task, sources, probes, store, CPU, measure_strengths=measure_strengths))

    assert len(steps(measure_strengths=True)) == 3 * (1 + 2 + n_variants)
    assert len(steps(measure_strengths=False)) == 3 * (1 + n_variants)
