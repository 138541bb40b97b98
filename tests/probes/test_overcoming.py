"""How a model overcomes the distractor is found in planted models: the right answer, or none with a reason."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from distractor.models.load import load
from distractor.models.source import Source
from distractor.probing.measure import measure
from distractor.probing.overcome import ModelOvercome, SiteShare, of_model
from distractor.probing.readings import Reading, stored
from distractor.statistics.intervals import Mean
from distractor.statistics.overcoming import Overcome
from distractor.text.task import Condition
from later_shelf import LATER
from networks import Architecture
from probes import PROBES
from shelf import NOISE, PLANTED, Planted, source

GROUPS = 16


MADE: dict[str, Callable[[], Planted]] = {
    **PLANTED,
    **{
        name: LATER[name]
        for name in ("both_tasks_in_one_head", "silenced_in_a_chain", "inverting_mlp", "half_silenced")
    },
}
Found = Callable[[str, Architecture, float], ModelOvercome]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """The answer for a planted model."""

    @cache
    def get(name: str, architecture: Architecture, noise: float) -> ModelOvercome:
        planted = MADE[name]()
        of = source(tmp_path_factory.mktemp("planted"), name, planted, architecture, noise=noise)
        task = planted.task(GROUPS)
        reading = measure(load(of.folder, device="cpu", self_check=False), task, PROBES["overcoming"])
        return of_model(task, Reading(of, stored(reading)))

    return get


@pytest.mark.parametrize(("architecture", "noise"), [("gpt_neox", 0.0), ("llama", NOISE)])
@pytest.mark.parametrize("name", MADE)
def test_a_planted_model_gets_its_answer(name: str, architecture: Architecture, noise: float, found: Found) -> None:
    planted, how = MADE[name](), found(name, architecture, noise)
    if planted.answer is None:
        assert "undetermined" in how.found.label, how.found.reason
    else:
        assert how.found.label == planted.answer, how.found.reason
    if planted.answer == "unlearning":
        assert (how.sites, how.shared) == ((), ())
    assert {one.site for one in how.sites} <= (planted.distractor or {one.site for one in how.sites})
    if how.found.covered is None:  # no site moves the gap
        assert planted.answer == "unlearning"
        assert how.shares == {}
    else:
        assert sum(how.shares.values()) == pytest.approx(1)
    assert sum(one.share for one in how.sites) == pytest.approx(how.found.covered if how.sites else 0)


def test_sites_of_both_tasks_are_shared(found: Found) -> None:
    how = found("both_tasks_in_one_head", "gpt_neox", 0.0)
    assert (how.found.label, how.shared, how.sites) == ("shared, undetermined", ("L1H1.z",), ())
    assert how.found.rho is not None
    assert how.found.rho.mean == pytest.approx(0.5, abs=0.02), "the head attends to the fact half as much"


def test_sites_that_go_on_writing_and_sites_that_do_not_are_told_apart(found: Found) -> None:
    how = found("half_silenced", "gpt_neox", 0.0)
    assert {one.site: one.state for one in how.sites} == {"L1H0.z": "silent", "L1H1.z": "carried"}
    assert how.shares["silent"] == pytest.approx(0.5, abs=0.02)
    assert how.shares["carried"] == pytest.approx(0.5, abs=0.02)
    assert how.found.omega is not None
    assert how.found.omega.mean == pytest.approx(0.5, abs=0.02)


def test_a_longer_residual_stream_does_not_look_like_suppression(found: Found) -> None:
    how = found("inflated_norm", "gpt_neox", 0.0).found
    assert how.omega is not None
    assert how.kappa is not None
    assert how.omega.mean == pytest.approx(1, abs=0.02)
    assert how.kappa.mean == pytest.approx(1, abs=0.05)


def test_a_true_only_prompt_with_another_distractor_is_named(tmp_path: Path) -> None:
    planted = PLANTED["additive"]()
    of = source(tmp_path, "one", planted, "gpt_neox")
    plain = planted.task(4)
    items = tuple(
        replace(item, prompts={**item.prompts, Condition.TRUE_ONLY: item.prompts[Condition.DISTRACTOR_SWAPPED]})
        for item in plain.items
    )
    reading = measure(load(of.folder, device="cpu", self_check=False), plain, PROBES["overcoming"])
    how = of_model(replace(plain, items=items), Reading(of, stored(reading)))
    assert any("true_only equals distractor_swapped" in caution for caution in how.cautions)
    impure = of_model(replace(plain, distractor_only_is_pure=False), Reading(of, stored(reading)))
    assert impure.found.label == "undetermined"
    assert "another question" in impure.found.reason
    assert np.isfinite(impure.found.alone.mean)


def test_shares_add_up_to_1_also_if_some_sites_work_against_others() -> None:
    found = Overcome("shared, undetermined", "", Mean(2, 1, 3), covered=0.39, only_shared=0.76)
    sites = (SiteShare("L0H1.z", 0.35, 1.0), SiteShare("L1H0.z", 0.04, 0.0))
    how = ModelOvercome(Source("f", "m", Path()), found, sites, ("L1.mlp_out",), ())
    assert how.shares == pytest.approx(
        {"carried": 0.35, "silent": 0.04, "inverted": 0, "in between": 0, "shared": 0.76, "rest": -0.15}
    )
    assert replace(how, found=replace(found, covered=None)).shares == {}
