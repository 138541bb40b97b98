"""The page of `distractor attribute`: the answer first, its sites, what limits it, and texts of users shown as text."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from distractor.attribution import report
from distractor.attribution.answer import answers
from distractor.attribution.page import page
from distractor.models.source import Source
from distractor.numbers import with_interval
from distractor.probing.overcome import how_overcome, over_sizes
from distractor.probing.probe_results import ProbeResults
from distractor.runs.folder import RunFolder
from distractor.runs.page.render import render_page
from page_outline import Outline
from planted_runs import Read, under_names

HOSTILE = "<script>alert(1)</script>"


def outline_of(results: ProbeResults) -> Outline:
    return Outline(render_page(page(results, {"figures": {"names": []}}, {})))


def ladder(results: ProbeResults, *, seeds: int = 3, hostile: str = "") -> ProbeResults:
    """The results of one model as those of two sizes with some seeds."""
    names = [(size, seed) for size in (1_000, 70_000_000) for seed in range(seeds)]
    return under_names(
        results,
        [Source(f"f{hostile}", f"{size}{hostile}", Path("of"), n_params=size, seed=seed) for size, seed in names],
    )


def test_the_page_of_one_model_has_the_answer_first_and_every_ranked_site(read: Read) -> None:
    results = read("suppression_by_scores")
    outline = outline_of(results)
    (how,) = how_overcome(results)
    (answer,) = answers(results, [how])
    assert how.latent is not None
    ids = [attributes["id"] for attributes in outline.all("section")]
    assert ids == ["overcome", "sites", "paths", "readings", "examples", "warnings", "method"]
    texts = (
        answer.verdict,
        "It is evidence about these weights alone",
        "Each model",
        how.latent.sentence[1:],
        "Sites with the largest",
    )
    places = [outline.text.index(text) for text in texts]
    assert places == sorted(places)
    assert "suppression at the source" in outline.texts
    assert len(answer.sites) >= 3
    for one in answer.sites:
        assert f"{one.does} {with_interval(*one.effect)}" in outline.text
    assert "Over size" not in outline.text, "one size has no curve"
    assert "Kramár" not in outline.text.replace("{", "").replace("}", ""), "nothing was screened"


def test_over_seeds_the_answer_of_the_size_comes_first_with_a_figure_and_a_row_for_each_size(read: Read) -> None:
    results = ladder(read("mlp"))
    outline = outline_of(results)
    first, second = over_sizes(results, how_overcome(results))
    assert f"{second.size}, over seeds: {second.found.label}." in outline.text
    assert "other seeds of the same training" in outline.text
    assert outline.text.index("over seeds:") < outline.text.index("Each size, over seeds")
    assert first.found.omega is not None
    assert outline.text.count(with_interval(*first.found.omega)) >= 2
    assert "Each of the 6 models" in outline.text
    shown = [str(each["aria-label"]) for each in outline.all("div") if each.get("role") == "img"]
    assert [re.split(r"[ ,]", one)[0] for one in shown] == ["T", "The", "Effects"]


def test_every_id_is_unique_and_nothing_is_loaded(read: Read) -> None:
    outline = outline_of(ladder(read("mlp")))
    ids = [str(attributes["id"]) for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in outline.tags:
        assert not {"src", "srcset", "poster", "action"} & set(attributes), tag


def test_names_and_refusals_of_users_are_text_and_refusals_are_warnings(read: Read) -> None:
    results = read("mlp")
    items = tuple(replace(item, true=f"{item.true}{HOSTILE}") for item in results.task.items)
    named = ladder(replace(results, task=replace(results.task, name=f"t{HOSTILE}", items=items)), hostile=HOSTILE)
    refused = {(f"p{HOSTILE}", "m"): f"has no heads{HOSTILE}"}
    html = render_page(page(replace(named, refused=refused), {"figures": {"names": [f"x{HOSTILE}"]}}, {}))
    outline = Outline(html)
    assert HOSTILE not in html
    assert len(outline.all("script")) == 1
    assert f"p{HOSTILE} was skipped for m: has no heads{HOSTILE}" in outline.text
    assert "Warnings (" in outline.text
    assert "Warnings (0)" not in outline.text


def test_without_a_reading_of_the_sites_the_page_says_so(read: Read) -> None:
    results = read("mlp")
    few = replace(results, readings={"logit_lens": results.readings["logit_lens"]}, strengths=())
    outline = outline_of(few)
    assert "not measured" in outline.texts
    assert [attributes["id"] for attributes in outline.all("section")] == [
        "overcome", "readings", "examples", "warnings", "method",
    ]  # fmt: skip
    assert "Conflict and congruent diverge at" in outline.text


@pytest.mark.usefixtures("undrawn")
def test_the_folder_of_a_run_has_the_page_and_lists_its_figures(read: Read, tmp_path: Path) -> None:
    summary = report.write(RunFolder(tmp_path), read("mlp"))
    names = summary["figures"]["names"]
    assert 1 < len(names) <= report.FIGURES
    assert all((tmp_path / "figures" / f"{name}.svg").is_file() for name in names)
    assert 'id="sites"' in (tmp_path / "report.html").read_text()
