"""The latent distractor test names the planted suppressors, and none where nothing is suppressed."""

from pathlib import Path

import pytest

from distractor.attribution import report
from distractor.attribution.attribute import attribute
from distractor.attribution.tables import tables
from distractor.models.load import load
from distractor.probing.measure import measure
from distractor.probing.overcome import ModelOvercome, of_model
from distractor.probing.readings import Reading, stored
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from later_shelf import LATER
from networks import ARCHITECTURES, Architecture
from probes import PROBES
from shelf import NOISE, PLANTED, source
from shown import printed

MADE = {**PLANTED, **LATER}
KINDS = (("gpt_neox", 0.0), ("llama", NOISE))


def found(name: str, architecture: Architecture, noise: float, folder: Path, *, short: bool = False) -> ModelOvercome:
    planted = MADE[name]()
    of, task = source(folder, name, planted, architecture, noise=noise), planted.task(16, short=short)
    reading = measure(load(of.folder, device="cpu", self_check=False), task, PROBES["overcoming"])
    return of_model(task, Reading(of, stored(reading)))


@pytest.mark.parametrize("noise", [0.0, NOISE])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", ["suppression_by_scores", "suppression_by_conflict"])
def test_the_suppressor_is_named_and_the_distractor_returns(
    name: str, architecture: Architecture, noise: float, tmp_path: Path
) -> None:
    planted, latent = MADE[name](), found(name, architecture, noise, tmp_path).latent
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
    name: str, architecture: Architecture, noise: float, tmp_path: Path
) -> None:
    assert found(name, architecture, noise, tmp_path).latent is None


@pytest.mark.parametrize(("architecture", "noise"), KINDS)
def test_a_number_that_draws_attention_itself_has_no_suppressor(
    architecture: Architecture, noise: float, tmp_path: Path
) -> None:
    how = found("dimmed", architecture, noise, tmp_path)
    assert how.found.label == "suppression at the source"
    assert how.latent is not None
    assert how.latent.suppressors == ()
    assert how.latent.result == "not shown"
    assert how.latent.sentence == "no head or MLP was found that silences these sites"


@pytest.mark.parametrize(("architecture", "noise"), KINDS)
def test_the_last_site_of_a_chain_of_suppressors_is_named(
    architecture: Architecture, noise: float, tmp_path: Path
) -> None:
    how = found("silenced_through_an_mlp", architecture, noise, tmp_path)
    assert how.latent is not None
    assert how.latent.suppressors == ("L1.mlp_out",)
    assert how.latent.result == "latent"


def test_a_silenced_carrier_of_the_distractor_is_no_suppressor(tmp_path: Path) -> None:
    how = found("silenced_in_a_chain", "gpt_neox", 0.0, tmp_path)
    assert how.latent is not None
    assert how.latent.suppressors == ("L0H3.z",), "L0H1 brings the fact; without a cue it has none to bring"


def test_prompts_of_different_length_are_matched_by_role(tmp_path: Path) -> None:
    how = found("suppression_by_scores", "llama", 0.0, tmp_path, short=True)
    assert how.latent is not None
    assert (how.latent.suppressors, how.latent.result) == (("L0H3.z",), "latent")


def test_half_of_the_answer_returns_if_half_was_silenced(tmp_path: Path) -> None:
    how = found("half_silenced", "llama", 0.0, tmp_path)
    assert how.latent is not None
    assert how.latent.suppressors == ("L0H3.z",)
    assert how.latent.change is not None
    assert how.latent.change.mean == pytest.approx(0.5, abs=0.03)


def test_the_suppressor_is_printed_and_in_the_summary(tmp_path: Path) -> None:
    planted = MADE["suppression_by_conflict"]()
    sources = [source(tmp_path, "model", planted, "gpt_neox")]
    settings, store = Settings(device="cpu", self_check=False), Store(tmp_path / "cells")
    results = attribute(planted.task(8), sources, {"overcoming": PROBES["overcoming"]}, store=store, settings=settings)
    text = " ".join(printed(tables(results)).split())
    assert "Latent: with L0H3.z cue-free, ω 0.00 → 1.00 [1.00, 1.00]; 3 random sets of the same kind" in text
    (model,) = report.summary(results)["overcoming"]["models"]
    assert (model["latent"]["result"], model["latent"]["suppressors"]) == ("latent", ["L0H3.z"])
    assert model["latent"]["after"]["mean"] == pytest.approx(1, abs=0.02)
