"""How a model overcomes the distractor is found in planted models: the right answer, or none with a reason.

The latent distractor test names the planted suppressors, and none where nothing is suppressed. Both read the same probe.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from distractor.attribution import report
from distractor.attribution.attribute import attribute
from distractor.attribution.tables import tables
from distractor.models.load import load
from distractor.models.source import Source
from distractor.probing.measure import measure
from distractor.probing.overcome import ModelOvercome, SiteShare, of_model
from distractor.probing.readings import Reading, stored
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.statistics.intervals import Mean
from distractor.statistics.overcoming import Overcome
from distractor.text.task import Condition
from later_shelf import LATER
from networks import ARCHITECTURES, Architecture
from probes import PROBES
from shelf import NOISE, PLANTED, Planted, source
from shown import printed

GROUPS = 16


MADE: dict[str, Callable[[], Planted]] = {
    **PLANTED,
    **{
        name: LATER[name]
        for name in ("both_tasks_in_one_head", "silenced_in_a_chain", "inverting_mlp", "half_silenced")
    },
}
EVERY: dict[str, Callable[[], Planted]] = {**PLANTED, **LATER}
KINDS: tuple[tuple[Architecture, float], ...] = (("gpt_neox", 0.0), ("llama", NOISE))
Found = Callable[..., ModelOvercome]
"""found("additive", "llama", 0.0)"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """The answer for a planted model."""

    @cache
    def get(name: str, architecture: Architecture, noise: float, short: bool = False) -> ModelOvercome:
        planted = EVERY[name]()
        of = source(tmp_path_factory.mktemp("planted"), name, planted, architecture, noise=noise)
        task = planted.task(GROUPS, short=short)
        reading = measure(load(of.folder, device="cpu", self_check=False), task, PROBES["overcoming"])
        return of_model(task, Reading(of, stored(reading)))

    return get


@pytest.mark.parametrize(("architecture", "noise"), KINDS)
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


# The latent distractor


@pytest.mark.parametrize("noise", [0.0, NOISE])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", ["suppression_by_scores", "suppression_by_conflict"])
def test_the_suppressor_is_named_and_the_distractor_returns(
    name: str, architecture: Architecture, noise: float, found: Found
) -> None:
    planted, latent = EVERY[name](), found(name, architecture, noise).latent
    assert latent is not None
    assert set(latent.suppressors) == planted.suppressors
    assert latent.result == "latent"
    assert latent.before is not None
    assert latent.after is not None
    assert latent.before.mean == pytest.approx(0, abs=0.15)
    assert latent.after.mean == pytest.approx(1, abs=0.15)
    assert len(latent.random) == 3, "the other heads of layer 0"
    assert max(latent.random) < 0.15
    assert latent.p is None
    assert latent.sentence.startswith(f"latent: with {latent.suppressors[0]} cue-free, ω ")
    assert latent.sentence.endswith(", too few for a p-value")


@pytest.mark.parametrize(("architecture", "noise"), KINDS)
@pytest.mark.parametrize("name", ["additive", "inversion", "unlearned"])
def test_without_suppression_no_suppressor_is_named(
    name: str, architecture: Architecture, noise: float, found: Found
) -> None:
    assert found(name, architecture, noise).latent is None


@pytest.mark.parametrize(("architecture", "noise"), KINDS)
def test_a_number_that_draws_attention_itself_has_no_suppressor(
    architecture: Architecture, noise: float, found: Found
) -> None:
    how = found("dimmed", architecture, noise)
    assert how.found.label == "suppression at the source"
    assert how.latent is not None
    assert how.latent.suppressors == ()
    assert how.latent.result == "not shown"
    assert how.latent.sentence == "no head or MLP was found that silences these sites"


@pytest.mark.parametrize(("architecture", "noise"), KINDS)
def test_the_last_site_of_a_chain_of_suppressors_is_named(
    architecture: Architecture, noise: float, found: Found
) -> None:
    how = found("silenced_through_an_mlp", architecture, noise)
    assert how.latent is not None
    assert how.latent.suppressors == ("L1.mlp_out",)
    assert how.latent.result == "latent"


def test_a_silenced_carrier_of_the_distractor_is_no_suppressor(found: Found) -> None:
    how = found("silenced_in_a_chain", "gpt_neox", 0.0)
    assert how.latent is not None
    assert how.latent.suppressors == ("L0H3.z",), "L0H1 brings the fact; without a cue it has none to bring"


def test_prompts_of_different_length_are_matched_by_role(found: Found) -> None:
    how = found("suppression_by_scores", "llama", 0.0, short=True)
    assert how.latent is not None
    assert (how.latent.suppressors, how.latent.result) == (("L0H3.z",), "latent")


def test_half_of_the_answer_returns_if_half_was_silenced(found: Found) -> None:
    how = found("half_silenced", "llama", 0.0)
    assert how.latent is not None
    assert how.latent.suppressors == ("L0H3.z",)
    assert how.latent.change is not None
    assert how.latent.change.mean == pytest.approx(0.5, abs=0.03)


def test_the_suppressor_is_printed_and_in_the_summary(tmp_path: Path) -> None:
    planted = EVERY["suppression_by_conflict"]()
    sources = [source(tmp_path, "model", planted, "gpt_neox")]
    settings, store = Settings(device="cpu", self_check=False), Store(tmp_path / "cells")
    results = attribute(planted.task(8), sources, {"overcoming": PROBES["overcoming"]}, store=store, settings=settings)
    text = " ".join(printed(tables(results)).split())
    assert "Latent: with L0H3.z cue-free, ω 0.00 → 1.00 [1.00, 1.00]; 3 random sets of the same kind" in text
    (model,) = report.summary(results)["overcoming"]["models"]
    assert (model["latent"]["result"], model["latent"]["suppressors"]) == ("latent", ["L0H3.z"])
    assert model["latent"]["after"]["mean"] == pytest.approx(1, abs=0.02)
