"""The halves on which sites are chosen and measured are balanced over answers, so a bias to one is no strength."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from xarray import DataArray

from distractor.models.source import Source
from distractor.probing.readings import Reading, stored
from distractor.probing.strengths import (
    ChosenSites,
    choose,
    estimated_strength,
    first_half,
    losses,
    patching_pair,
    strength,
)
from distractor.scoring.quantities import distractor_pull, true_pull
from distractor.text.task import ALIGNED, Condition, Item, Task
from tasks import TASKS

PAIR = (Condition.CONFLICT, Condition.CONGRUENT)
pytestmark = pytest.mark.quick

SOURCE = Source("tiny", "one", Path("one"))


def groups_of(task: Task) -> list[str]:
    return [item.group for item in task.items]


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("items", [40, 100, 200])
def test_both_halves_have_every_answer_equally_often(name: str, items: int) -> None:
    task = TASKS[name]().take(items)
    half = first_half(groups_of(task), task.items)
    assert {g for g, is_in in zip(groups_of(task), half, strict=True) if is_in}.isdisjoint(
        g for g, is_in in zip(groups_of(task), half, strict=True) if not is_in
    )
    assert abs(half.mean() - 0.5) < 0.1
    answers = np.array([item.true for item in task.items])
    for answer in set(answers):
        each = (half & (answers == answer)).sum(), (~half & (answers == answer)).sum()
        assert abs(each[0] - each[1]) <= 0.05 * items, f"{answer!r} occurs {each} times in the halves"


@pytest.mark.parametrize("name", ["negation_qa", "hindsight_neglect"])
def test_a_head_that_prefers_one_answer_serves_neither_task(name: str) -> None:
    task = TASKS[name]().take(200)
    answers = [item.true for item in task.items]
    effect = np.where(np.array(answers) == sorted(answers)[0], 1.0, -1.0)
    coords = {"component": ["L0H0.z"], "condition": list(PAIR), "item": [item.id for item in task.items]}
    reading = Reading(SOURCE, stored(DataArray(np.tile(effect, (1, 2, 1)), dims=list(coords), coords=coords)))
    groups, half = groups_of(task), first_half(groups_of(task), task.items)
    one = strength(SOURCE, choose(reading, half, groups), half, groups, reading, reading)
    assert one.mean("true")[0] == 0
    assert abs(one.mean("distractor")[0]) < 0.1


def test_a_groups_half_does_not_depend_on_the_items_of_a_model() -> None:
    task = TASKS["quote_repetition"]().take(60)
    groups = groups_of(task)
    whole = dict(zip(groups, first_half(groups, task.items), strict=True))
    for start in (1, 2, 5):
        some = groups[start::2]
        assert dict(zip(some, first_half(some, task.items), strict=True)) == {name: whole[name] for name in some}


def test_losses_decompose_into_the_two_pulls() -> None:
    random = np.random.default_rng(0)
    gap, effect, neutral = random.normal(size=(3, 2, 9))
    true, distractor = losses(effect)
    after = gap + effect
    assert_allclose(true, true_pull(*gap) - true_pull(*after))
    assert_allclose(distractor, distractor_pull(*gap, neutral[0]) - distractor_pull(*after, neutral[0]))


def test_no_sites_have_no_strength() -> None:
    groups = ["a", "b", "c", "d"]
    half = np.array([True, True, False, False])
    assert strength(SOURCE, ChosenSites((), ()), half, groups, None, None).mean("true") == (0, 0, 0)


def test_of_an_odd_number_of_groups_the_half_that_chooses_sites_has_one_more() -> None:
    items = [Item(group, group, " yes", " no", {Condition.CONFLICT: "?"}) for group in "abc"]
    assert first_half(list("abc"), items).sum() == 2


def patched(other: Condition, effects: dict[str, float], gap: float, **more: list[str]) -> Reading:
    """Effects of patching components between conflict and another condition, the same for all four items."""
    coords = {
        "pair": [f"{Condition.CONFLICT}/{other}"],
        **more,
        "direction": ["noising", "denoising"],
        "component": list(effects),
        "item": list("abcd"),
    }
    values = np.zeros([len(names) for names in coords.values()])
    values[..., 0, :, :] = np.array(list(effects.values()))[:, None]
    values[..., 1, :, :] = 99
    return Reading(
        SOURCE, stored(DataArray(values, dims=list(coords), coords={**coords, "pair_gap": ("item", [gap] * 4)}))
    )


def test_patched_heads_and_mlps_are_the_sites_of_the_task_whose_cue_differs() -> None:
    true = patched(Condition.CONGRUENT, {"L0H0.z": -3.0, "L0H1.z": 0.5, "L0H2.z": -0.1}, -4.0)
    swapped = patched(Condition.DISTRACTOR_SWAPPED, {"L0H0.z": -0.5, "L0H1.z": 2.0, "L0.mlp_out": 9.0}, 4.0)
    patterns = patched(Condition.CONGRUENT, {"L0H0.pattern": 1.0}, 4.0)
    estimates = tuple(patched(other, {"L0H0.z": 1.0}, 4.0, estimate=["gradient"]) for other in ALIGNED)
    assert patching_pair([true, patterns, swapped, *estimates]) == (true, swapped)
    assert patching_pair([true, swapped, *estimates], estimated=True) == estimates
    assert patching_pair([true]) is None
    assert patching_pair([true, swapped], estimated=True) is None
    half, groups = np.array([True, True, False, False]), list("abcd")
    chosen = choose(true, half, groups, (true, swapped))
    assert chosen == (("L0H0.z",), ("L0.mlp_out",)), "MLPs are candidates as heads are"
    assert choose(true, half, groups, (patched(Condition.CONGRUENT, {"L0H0.z": 1.0}, 0.0), swapped)).true == ()
    estimate = estimated_strength(SOURCE, (true, swapped), half, groups)
    assert (estimate.chosen, estimate.groups) == (chosen, ("c", "d"))
    assert (estimate.true.tolist(), estimate.distractor.tolist()) == ([1.5, 1.5], [4.5, 4.5])  # half of each effect


@pytest.mark.parametrize(("gap", "is_pull"), [(0.05, False), (0.2, False), (0.25, True), (-0.05, False), (-0.25, True)])
def test_a_pair_that_a_pull_hardly_moves_has_no_sites(gap: float, is_pull: bool) -> None:
    """The gap of each item is the same, so the smallest gap differs from 0."""
    pair = (patched(ALIGNED[0], {"L0H0.z": gap, "L0H1.z": 0.001}, gap), patched(ALIGNED[1], {"L0H0.z": gap}, gap))
    found = ("L0H0.z",) if is_pull else ()
    assert choose(pair[0], np.array([True, True, False, False]), list("abcd"), pair) == (found, found)


@pytest.mark.parametrize(("loss", "found"), [(0.1, ()), (0.3, ("L0H0.z", "L0H1.z"))])
def test_knock_outs_that_lose_almost_nothing_show_no_sites(loss: float, found: tuple[str, ...]) -> None:
    coords = {"component": ["L0H0.z", "L0H1.z"], "condition": list(PAIR), "item": list("abcd")}
    effects = np.broadcast_to(np.array([-loss / 2, loss / 2])[None, :, None], (2, 2, 4))  # T alone is lost
    reading = Reading(SOURCE, stored(DataArray(effects, dims=list(coords), coords=coords)))
    assert choose(reading, np.array([True, True, False, False]), list("abcd")) == (found, ())
