"""The output begins with the answer and the sites behind it; both are right in planted models."""

import json
import re

import pytest

from distractor.attribution import report
from distractor.attribution.answer import answers
from distractor.attribution.ranked_sites import AGAINST, MOST, ON_PATH, SILENCES, WRITES, WRITES_BOTH, WRITES_TRUE
from distractor.attribution.tables import tables
from distractor.probing.overcome import how_overcome
from planted_runs import KINDS, Read
from shelf import PLANTED
from shown import check_widths, printed


@pytest.mark.parametrize("name", KINDS)
def test_each_ranked_site_does_what_was_planted(name: str, read: Read) -> None:
    planted, results = PLANTED[name](), read(name)
    (answer,) = answers(results, how_overcome(results))
    does = {site: one.does for one in answer.sites for site in one.sites}
    said = {kind: {site for site in does if does[site].startswith(kind)} for kind in (WRITES, WRITES_TRUE, WRITES_BOTH)}
    assert said[WRITES] == planted.writers & planted.distractor - said[WRITES_BOTH]
    if name != "inversion":
        assert said[WRITES_TRUE] == planted.writers & planted.true - said[WRITES_BOTH]
    assert said[WRITES_BOTH] == ({"L1.mlp_out"} if name == "shared_mlp" else set())
    assert {site for site in does if does[site] == SILENCES} == (planted.suppressors if "scores" in name else set())
    assert {site for site in does if does[site] == AGAINST} == ({"L2H0.z"} if "downstream" in name else set())
    paths = {site for site in does if does[site].startswith(ON_PATH)}
    assert paths <= planted.true | planted.distractor | planted.suppressors
    sizes = [abs(one.effect.mean) for one in answer.sites]
    assert sizes == sorted(sizes, reverse=True)
    assert len(sizes) <= MOST


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
    assert 1 <= len(report.figures(results, most=report.FIGURES)) <= report.FIGURES == 8
