"""Chance has the form of ablation effects and finds nothing."""

from pathlib import Path

import numpy as np
from numpy.testing import assert_allclose

import wired
from distractor.models.load import load
from distractor.probing.measure import measure
from distractor.probing.run import batch, observe
from distractor.scoring.encode import encode
from distractor.statistics.effects import judge
from probes.ablation import Ablation
from probes.chance import Chance

DRAWS = 40


def test_chance_has_the_dims_of_an_ablation_and_reads_no_site(tmp_path: Path) -> None:
    model = load(wired.save(tmp_path, wired.Strengths()), device="cpu", dtype="float64").hooked
    ours, theirs = (measure(model, wired.task(), probe) for probe in (Chance(), Ablation()))
    assert ours.dims == theirs.dims
    assert all((ours[dim].values == theirs[dim].values).all() for dim in ours.dims)
    assert Chance().sites(model) == []
    assert Chance().writes == ()
    assert ours.attrs["unit"] == theirs.attrs["unit"]
    assert not ours.equals(measure(model, wired.task(), Chance(seed=1)))


def test_chance_ranks_the_planted_head_like_any_other_and_marks_nothing(tmp_path: Path) -> None:
    model = load(wired.save(tmp_path, wired.Strengths(first=1.0, second=2.0)), device="cpu", dtype="float64").hooked
    task = wired.task(12)
    run = observe(model, batch(encode(task, model), model, Chance().conditions))
    gap = (run.gap[0] - run.gap[1]).numpy()
    groups = [item.group for item in task.items]
    firsts, marks, means = [], 0, []
    for seed in range(DRAWS):
        reading = Chance(seed)(run).sel(condition="conflict")
        effects = judge(reading.values, groups, gap)
        means.append(effects.mean)
        marks += bool(effects.is_marked.any())
        firsts.append(str(reading.component.values[int(np.argmax(np.abs(effects.mean)))]))
    # One of five components is first by chance: 8 of 40, and more than 16 in one of a thousand runs.
    assert firsts.count("L0H1.z") <= 16
    assert marks <= 7
    assert_allclose(np.mean(means), 0, atol=0.15)
    real = judge(Ablation()(observe(model, run.batch)).values[:, 0], groups, gap)
    assert real.is_marked.tolist() == [True, True, False, False, False], "where there is something, it is found"
