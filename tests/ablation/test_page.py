"""The page of `distractor ablate`: its content in order, its items, and texts of users shown as text."""

import json
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from distractor.ablation.report import write
from distractor.runs.folder import RunFolder
from distractor.runs.page.items import MOST_ROWS, all_items, shown_items
from distractor.scoring.behaviour import models_at_peak
from distractor.text.task import Condition
from page_outline import Outline
from simulated_runs import MANIFEST, hand_made, html_of, many, simulated

pytestmark = pytest.mark.quick

RISES_AND_FALLS = [0.5, 0.7, 0.8, 0.3]
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def html() -> str:
    """The page of a curve that rises and falls."""
    return html_of(simulated(RISES_AND_FALLS))


def test_a_page_has_the_verdict_first_and_every_section_in_order(html: str) -> None:
    result = simulated(RISES_AND_FALLS)
    assert result.verdict is not None
    outline = Outline(html)
    ids = [attributes["id"] for attributes in outline.all("section")]
    assert ids == ["curve", "claim", "examples", "items", "warnings", "method"]
    places = [
        outline.text.index(text)
        for text in (result.verdict.sentence, "It is evidence about models like these", "Over size Preference for")
    ]
    assert places == sorted(places)
    for part in result.verdict.because:
        if part.level == 2:
            assert part.sentence.partition(": ")[2][1:] in outline.text
    links = [link["href"] for link in outline.all("a")]
    assert {f"#{name}" for name in ids} <= set(links)


def test_every_id_is_unique_and_every_reference_has_its_place(html: str) -> None:
    ids = [str(attributes["id"]) for _, attributes in Outline(html).tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    used = re.findall(r'(?:href|aria-labelledby)="#?([\w-]+)"|url\(#([^)]*)\)', html)
    inside = {first or second for first, second in used if not (first or second).startswith("figures")}
    assert inside - {"summary", "results"} <= set(ids)
    assert any(second for _, second in used)  # the drawings are clipped


def test_a_page_loads_nothing(html: str) -> None:
    outline = Outline(html)
    for tag, attributes in outline.tags:
        assert not {"src", "srcset", "poster", "action"} & set(attributes), tag
        assert not any(name.startswith("on") for name in attributes), tag
    assert [link["href"] for link in outline.all("link")] == ["data:,"]
    (policy,) = [meta["content"] for meta in outline.all("meta") if meta.get("http-equiv")]
    assert str(policy).startswith("default-src 'none'")


def test_names_and_texts_of_users_are_text() -> None:
    result = simulated(RISES_AND_FALLS, hostile=f'{HOSTILE}">[red]')
    sources = [replace(each.source, family="f", model=f"{each.source.model}{HOSTILE}") for each in result.scores]
    scores = tuple(replace(each, source=source) for each, source in zip(result.scores, sources, strict=True))
    html = html_of(replace(result, scores=scores))
    outline = Outline(html)
    assert HOSTILE not in html
    assert "\x1b" not in html
    assert len(outline.all("script")) == 1
    assert outline.text.count(HOSTILE) > 100
    assert "[red]" in outline.text


def test_three_items_are_the_median_the_most_wrong_and_one_that_changed_sides() -> None:
    gaps = [
        [0.1, 0.2, 0.3, 0.0, 0.1, 0.2, 0.3],
        [1.0, -2.0, -1.0, -5.0, -0.5, 3.0, 2.0],
        [2.0, 4.0, -3.0, -4.0, 0.5, 4.0, 2.0],
    ]
    result = hand_made(gaps)
    assert models_at_peak(result.task, result.scores, result.complete) == (1,)
    names = [item.id for item in result.task.items]
    shown = list(shown_items(result))
    assert [each.title.rpartition(": ")[2] for each in shown] == [names[4], names[3], names[1]]
    assert "median gap of all items in 20: -0.50 nats in 20, 0.50 nats in 40" in shown[0].why
    assert "lowest, for the distractor's answer: -5.00 nats" in shown[1].why
    assert "Of the 2 items that changed sides from 20 to 40, it moved most: -2.00" in shown[2].why
    for each in shown:
        assert [posed.condition for posed in each.posed] == list(map(str, result.task.conditions))
        true, distractor = each.posed[0].probabilities[0] or (0, 0)
        assert np.log(true / distractor) == pytest.approx(gaps[1][names.index(each.title.rpartition(": ")[2])])


def test_of_one_size_the_third_item_is_the_most_right() -> None:
    result = hand_made([[1.0, -2.0, -1.0, -5.0, 3.0]])
    shown = list(shown_items(result))
    assert [each.title.rpartition(":")[0] for each in shown] == [
        "A typical item",
        "The most wrong item",
        "The most right item",
    ]
    assert Outline(html_of(result)).text.count("No verdict: made by hand.") == 2


@pytest.mark.parametrize("gaps", [[[0.5]], [[0.5], [-0.5]], [[0.5], [-0.5], [0.5]]])
def test_one_item_under_conflict_alone_has_a_page(gaps: list[list[float]]) -> None:
    result = hand_made(gaps)
    only = [replace(item, prompts={Condition.CONFLICT: "Why?"}) for item in result.task.items]
    kept = [replace(each, log_probs=each.log_probs[:1]) for each in result.scores]
    outline = Outline(html_of(replace(result, task=replace(result.task, items=tuple(only)), scores=tuple(kept))))
    assert outline.text.count("Why?") == 2


def test_without_a_change_of_sides_the_page_says_so_and_one_item_is_shown_once() -> None:
    (only,) = shown_items(hand_made([[-1.0], [-2.0]]))
    assert "median" in only.why
    *_, third = shown_items(hand_made([[-1.0] * 4, [-2.0, -1.0, -1.0, -1.0]]))
    assert "No item changed sides" in third.why


def test_the_table_of_items_counts_and_marks_what_it_filters() -> None:
    gaps = [[0.1] * 4, [-2.0, 1.0, -1.0, -3.0], [1.0, 2.0, -3.0, 4.0]]
    table = all_items(hand_made(gaps))
    assert [row.values for row in table.rows] == [(-3.0, 4.0), (-2.0, 1.0), (-1.0, -3.0), (1.0, 2.0)]
    assert [sorted(row.marks) for row in table.rows] == [
        ["changed", "wrong-0"], ["changed", "wrong-0"], ["wrong-0", "wrong-1"], [],
    ]  # fmt: skip
    assert "3 in 20, 1 in 40, of 4 items. 2 changed sides" in table.caption
    assert set(table.filters) == {"changed", "wrong-0", "wrong-1"}


def test_ten_thousand_items_are_a_small_page_with_a_link_to_all() -> None:
    result = many(10_000)
    start = time.monotonic()
    html = html_of(result)
    assert time.monotonic() - start < 10
    assert len(html.encode()) < 3_000_000
    outline = Outline(html)
    assert sum("data-marks" in row for row in outline.all("tr")) == MOST_ROWS
    assert "The table has the 2,000 items with the lowest gap. All 10,000 are in results.parquet" in outline.text
    assert {"results.parquet"} <= {str(link["href"]) for link in outline.all("a")}


def test_the_same_run_gives_the_same_page(html: str) -> None:
    assert html_of(simulated(RISES_AND_FALLS)) == html


@pytest.mark.usefixtures("undrawn")
def test_a_page_is_written_again_only_if_it_or_its_content_changed(tmp_path: Path) -> None:
    result, folder, file = hand_made([[0.1, 0.2], [-1.0, 1.0]]), RunFolder(tmp_path), tmp_path / "report.html"
    write(folder, result)
    content, written = file.read_bytes(), file.stat().st_mtime_ns
    write(folder, result)
    assert file.stat().st_mtime_ns == written
    file.write_text("changed")
    write(folder, result)
    assert file.read_bytes() == content
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    write(folder, result)
    assert "distractor ablate --task" in file.read_text()
