"""The output begins with the answer and the sites behind it; both are right in planted models."""

import json
import re
from itertools import product
from pathlib import Path

import pytest
from xarray import DataArray

from distractor.attribution import report
from distractor.attribution.answer import answers
from distractor.attribution.ranked_sites import AGAINST, MOST, ON_PATH, SILENCES, WRITES, WRITES_BOTH, WRITES_TRUE
from distractor.attribution.tables import tables
from distractor.probing.cells import labels
from distractor.probing.overcome import how_overcome
from distractor.probing.probe_results import ProbeResults
from networks import ARCHITECTURES, Architecture
from planted_runs import KINDS, Read, probed
from shelf import NOISE, PLANTED
from shown import check_widths, printed

EVERY = [*product(PLANTED, ARCHITECTURES, (0.0, NOISE))]


def check_claims(name: str, results: ProbeResults) -> None:
    """Every site that is named does what was planted, and every site that writes is named."""
    planted = PLANTED[name]()
    (overcome,) = how_overcome(results)
    assert overcome.found.label == planted.answer
    (answer,) = answers(results, [overcome])
    does = {site: one.does for one in answer.sites for site in one.sites}
    said = {kind: {site for site in does if does[site].startswith(kind)} for kind in (WRITES, WRITES_TRUE, WRITES_BOTH)}
    assert said[WRITES] >= planted.writers & planted.distractor - said[WRITES_BOTH]
    assert said[WRITES] <= planted.distractor
    if name != "inversion":
        assert said[WRITES_TRUE] == planted.writers & planted.true - said[WRITES_BOTH]
    assert said[WRITES_BOTH] == ({"L1.mlp_out"} if name == "shared_mlp" else set())
    is_silenced = name.startswith("suppression_by")
    assert {site for site in does if does[site] == SILENCES} == (planted.suppressors if is_silenced else set())
    assert {site for site in does if does[site] == AGAINST} == ({"L2H0.z"} if "downstream" in name else set())
    paths = {site for site in does if does[site].startswith(ON_PATH)}
    assert paths <= planted.true | planted.distractor | planted.suppressors
    (strength,) = results.strengths
    assert set(strength.chosen.true) <= planted.true | planted.distractor | planted.suppressors
    assert set(strength.chosen.distractor) <= planted.distractor
    sizes = [abs(one.effect.mean) for one in answer.sites]
    assert sizes == sorted(sizes, reverse=True)
    assert len(sizes) <= MOST


def check_separated(effects: DataArray, planted: frozenset[str], others: set[str]) -> None:
    """Each planted site has a larger effect than each site that does nothing (an AUROC of 1)."""
    size = abs(effects.mean("item"))
    of_planted, of_others = (size.sel(component=sorted(sites)).values for sites in (planted, others))
    assert of_planted.min() > of_others.max()


@pytest.mark.parametrize("name", KINDS)
def test_each_ranked_site_does_what_was_planted(name: str, read: Read) -> None:
    check_claims(name, read(name))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "architecture", "noise"), EVERY)
def test_every_claim_about_a_planted_model_is_right(
    name: str, architecture: Architecture, noise: float, tmp_path: Path
) -> None:
    planted, results = PLANTED[name](), probed(name, tmp_path, (architecture, noise))
    check_claims(name, results)
    (alone,) = results.readings["overcoming"]
    components = {one for one in labels(alone.data, "component") if "." in one}
    others = components - planted.sites
    if planted.distractor:
        writers = planted.distractor & planted.writers
        check_separated(alone.data.sel(exchange="transplant", condition="distractor_only"), writers, others)
    true, swapped = (
        results.readings[f"head_patching{end}"][0].data.sel(direction="noising").squeeze("pair", drop=True)
        for end in ("", "/distractor_swapped")
    )
    # The fact is the same in both prompts of the true task's pair; a silenced head does nothing in conflict.
    check_separated(true, planted.true - frozenset({"L0H1.z"} if name == "inversion" else ()), others)
    if planted.distractor and not name.startswith("suppression_by"):
        check_separated(swapped, planted.distractor, others)


def test_the_sentence_names_the_answer_and_its_sites(read: Read) -> None:
    results = read("suppression_by_scores")
    assert answers(results, how_overcome(results))[0].sentence == (
        "suppression_by_scores overcomes the distractor by suppression at the source: the sites no longer write the "
        "distractor's answer if there is a true cue. L1H1 writes the distractor's answer, L1H2 writes the true answer, "
        "and L0H3 silences the distractor's sites."
    )
    nothing = read("unlearned")
    assert answers(nothing, how_overcome(nothing))[0].sentence == (
        "unlearned overcomes the distractor by unlearning: nothing writes the distractor's answer. "
        "L1H2 writes the true answer."
    )


def test_the_output_begins_with_the_answer_and_the_ranked_sites(read: Read) -> None:
    results = read("mlp")
    text = printed(tables(results, brief=True), 80)
    answer = report.summary(results)["answers"][0]
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer
    title, first, *_ = (" ".join(part.split()) for part in text.split("\n\n"))
    assert title.endswith(answer["sentence"])
    assert first.startswith("Sites with the largest effects in mlp")
    row = next(line for line in text.splitlines() if line.startswith("L1H2 "))
    assert "writes the true answer" in row
    assert row.split()[-2:] == ["number", "1.00"]
    assert next(line for line in text.splitlines() if line.startswith("L1 MLP ")).split()[-1] == "–"
    for probe in ("head_patching", "ablation", "attention"):
        assert f"{probe} in mlp" not in text, "the tables of single probes are in files"
    assert len(text.splitlines()) < 70
    check_widths(lambda: tables(results, brief=True))


def test_sites_of_both_tasks_stand_beside_random_sets_or_a_sentence_says_why_not(read: Read) -> None:
    results = read("mlp")
    (strength,) = results.strengths
    assert strength.chosen.true == ("L1H2.z",)
    assert set(strength.chosen.distractor) == {"L0H1.z", "L1.mlp_out"}
    assert len(strength.random_of("true")) == 11, "the other heads"
    assert max(map(abs, strength.random_of("true"))) < 0.2
    assert strength.p("true") is None
    assert len(strength.random_of("distractor")) == 19, "a head and an MLP"
    assert strength.p("distractor") == pytest.approx(0.05)
    text = " ".join(printed(tables(results, brief=True)).split())
    assert re.search(r" mlp T L1H2 [\d.]+ \[[\d., ]+\] -?[\d.]+ to [\d.]+ – ", text), text
    assert re.search(r" mlp D \S+( MLP)? \+1 [\d.]+ \[[\d., ]+\] -?[\d.]+ to [\d.]+ 0.050 ", text), text
    assert "No p: there are too few other heads or MLPs for 19 random sets." in text
    record = report.summary(results)["strengths"][0]
    assert record["true"]["random"] == list(strength.random_of("true"))
    assert record["distractor"]["p"] == strength.p("distractor")


def test_a_single_model_has_at_most_eight_figures_and_one_answer(read: Read) -> None:
    results = read("mlp")
    assert report.plan_figures(results)
    assert report.FIGURES == 8
