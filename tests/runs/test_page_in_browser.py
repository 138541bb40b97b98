"""The page of a run in Chromium: opened from disk with the network cut, at two widths, light and dark, with and without
JavaScript.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, Route, sync_playwright

import wired
from distractor.ablation.report import write
from distractor.attribution import report as attribution_report
from distractor.command_line.report import INDEX
from distractor.comparison import report as comparison_report
from distractor.comparison.compare import compare
from distractor.curves import report as curve_report
from distractor.curves.judge_curve import judge_curve
from distractor.models.source import Source
from distractor.runs.figure_set import FigureSet
from distractor.runs.folder import RunFolder
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.statistics.curve import Curve
from planted_runs import probed, under_names
from probes import PROBES
from simulated_runs import MANIFEST, html_of, many, simulated
from small_ladder import type_in

HOSTILE = "<script>alert(1)</script>"
CHROMIUM = shutil.which("chromium")
WIDTHS = (1280, 390)
SCHEMES = ("light", "dark")
views = pytest.mark.parametrize(("width", "scheme"), [(w, s) for w in WIDTHS for s in SCHEMES])

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no page was opened: chromium is missing (apt-get install chromium)"
)

TOO_WIDE = """
() => [...document.querySelectorAll("body *")]
  .filter((element) => !element.closest(".scroll, pre") || element.matches(".scroll, pre"))
  .filter((element) => element.getBoundingClientRect().right > window.innerWidth + 0.5)
  .map((element) => element.outerHTML.slice(0, 80))
"""
SHOWN = """
() => [...document.querySelectorAll("table.items tbody tr")].filter((row) => !row.hidden)
  .map((row) => [...row.cells].map((cell) => cell.textContent))
"""
UNSEEN = """
() => [...document.querySelectorAll("details :is(table, pre, dl)")].filter((element) => !element.checkVisibility()).length
"""
SCROLLING = """
() => [...document.querySelectorAll(".scroll")].filter((element) => element.scrollWidth > element.clientWidth)
  .map((element) => element.getAttribute("aria-label"))
"""
LOADED = "() => performance.getEntriesByType('navigation')[0].domComplete / 1000"
OVERLAPPING = """
() => [...document.querySelectorAll(".drawing svg")].flatMap((svg) => {
  const frame = svg.getBoundingClientRect();
  const boxes = [...svg.querySelectorAll("text")].map((text) => [text.textContent, text.getBoundingClientRect()]);
  const cut = boxes.filter(([, a]) => a.left < frame.left - 1 || a.right > frame.right + 1
                                   || a.top < frame.top - 1 || a.bottom > frame.bottom + 1);
  const pairs = boxes.flatMap(([one, a], i) => boxes.slice(i + 1)
    .filter(([, b]) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
                    && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 2)
    .map(([other]) => `${one} / ${other}`));
  return [...cut.map(([text]) => text), ...pairs];
})
"""


@dataclass
class Opened:
    """A page in the browser, with what it asked for and what it complained about."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run whose names are hostile, with the other files of its folder."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "manifest.json").write_text(json.dumps(MANIFEST))
    ablation(folder)
    return folder / "report.html"


def open_page(context: BrowserContext, file: Path) -> Opened:
    """Open a page with the network cut; note every request and complaint."""
    context.set_offline(True)
    opened = Opened(context.new_page())

    def watch(route: Route) -> None:
        opened.requests.append(route.request.url)
        if route.request.url == file.as_uri():
            route.continue_()
        else:
            route.abort()

    context.route("**/*", watch)
    opened.page.on("console", lambda message: opened.complaints.append(message.text))
    opened.page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    opened.page.on("dialog", lambda dialog: opened.complaints.append(dialog.message))
    opened.page.goto(file.as_uri())
    return opened


@pytest.fixture
def opened(browser: Browser, report: Path, request: pytest.FixtureRequest) -> Iterator[Opened]:
    """The page in a window of the test's width and colours; 1,280 pixels and light by default."""
    chosen = getattr(request.node, "callspec", None)
    values: dict[str, Any] = chosen.params if chosen else {}
    context = browser.new_context(
        viewport={"width": values.get("width", WIDTHS[0]), "height": 900}, color_scheme=values.get("scheme", "light")
    )
    yield open_page(context, report)
    context.close()


@views
def test_a_page_loads_nothing_complains_of_nothing_and_fits_the_window(
    opened: Opened, report: Path, width: int, scheme: str, tmp_path: Path
) -> None:
    check(opened, report, width)
    opened.page.screenshot(path=tmp_path / f"{width}-{scheme}.png", full_page=True)


def check(opened: Opened, report: Path, width: int) -> None:
    """Checks that a page, with all its parts unfolded, is quiet and nothing in it is too wide or overlaps."""
    for details in opened.page.query_selector_all("summary"):
        details.click()
    assert opened.requests == [report.as_uri()]
    assert opened.complaints == []
    assert opened.page.evaluate(TOO_WIDE) == []
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    assert opened.page.evaluate(OVERLAPPING) == []


@views
def test_axe_finds_no_serious_fault(opened: Opened, width: int, scheme: str) -> None:
    for details in opened.page.query_selector_all("summary"):
        details.click()
    check_access(opened)


def check_access(opened: Opened) -> None:
    """Checks that axe finds no fault."""
    found = Axe().run(opened.page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []


def attribution(folder: Path) -> None:
    """The page of a planted model as two sizes of three seeds with hostile names."""
    sources = [
        Source(f"f{HOSTILE}", f"{size}{HOSTILE}", folder, n_params=size, seed=k)
        for size in (10**3, 10**7)
        for k in range(3)
    ]
    results = under_names(probed("mlp", folder / "model"), sources)
    refused = replace(results, refused={(f"p{HOSTILE}", "m"): HOSTILE})
    attribution_report.write(RunFolder(folder), refused, FigureSet.NONE)


def comparison(folder: Path) -> None:
    """The page of two wired models with hostile names."""
    sources = [
        replace(wired.source(folder, name, first=1.0, second=second), model=f"{name}{HOSTILE}")
        for name, second in (("strong", 2.0), ("weak", 0.5))
    ]
    settings = Settings(device="cpu", self_check=False)
    result = compare(
        wired.task(8), sources, {"ablation": PROBES["ablation"]}, store=Store(folder / "cells"), settings=settings
    )
    comparison_report.write(RunFolder(folder), [result])


def shape(folder: Path) -> None:
    """The page of a curve of three seeds with published curves and a hostile task."""
    rng = np.random.default_rng(0)
    values = np.array([0.5, 0.3, 0.1, 0.6])[:, None] + rng.normal(0, 0.1, (3, 4, 20)).clip(-0.1, 0.1)
    groups = tuple(f"g{k}" for k in range(20))
    sizes = (10**6, 10**7, 10**8, 10**9)
    curve = Curve(
        "accuracy",
        "parameters",
        sizes,
        (0, 1, 2),
        values.mean(-1),
        values=values,
        groups=groups,
        n_items=20,
        task=HOSTILE,
    )
    curve_report.write(RunFolder(folder), judge_curve(curve, references=["opt", "gpt3"], task="negation_qa"))


RUNS = {"attribute": attribution, "compare": comparison, "shape": shape}


@pytest.mark.parametrize("command", RUNS)
def test_pages_of_other_commands_fit_and_are_accessible(browser: Browser, command: str, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    RUNS[command](tmp_path)
    for width, scheme in ((1280, "light"), (390, "dark")):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        opened = open_page(context, report)
        check(opened, report, width)
        check_access(opened)
        check_links(opened, report)
        if width == 1280 and command == "attribute":
            assert opened.page.evaluate(SCROLLING) == []
        opened.page.screenshot(path=tmp_path / f"{width}-{scheme}.png", full_page=True)
        context.close()


def many_runs(home: Path) -> Path:
    """The index of a run of each command with hostile names, a run in a strange folder, an unfinished and a damaged one."""
    for command, write_run in {"ablate": ablation, **RUNS}.items():
        folder = home / command
        folder.mkdir()
        manifest = MANIFEST | {"command": ["distractor", command], "date": "2026-12-01", "format": "rank", "shots": 0}
        (folder / "manifest.json").write_text(json.dumps(manifest | {"files": [{"name": HOSTILE, "sha256": "0" * 64}]}))
        write_run(folder)
    shutil.copytree(home / "shape", home / "a:b" / "<script>alert(1)<!-- ü#%")
    for name in ("unfinished", "damaged"):
        shutil.copytree(home / "compare", home / name)
    (home / "unfinished/summary.json").unlink()
    (home / "damaged/summary.json").write_text("{")
    assert type_in(["report", str(home), "--index-only"]) == 0
    return home / INDEX


def ablation(folder: Path) -> None:
    """The page of a run whose names are hostile, with two items in each group."""
    result = simulated([0.5, 0.7, 0.8, 0.3], hostile=HOSTILE)
    items = result.task.items
    paired = tuple(replace(item, group=items[k - k % 2].group) for k, item in enumerate(items))
    write(RunFolder(folder), replace(result, task=replace(result.task, items=paired)))


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The index in a folder that was moved after it was written."""
    home = many_runs(tmp_path_factory.mktemp("runs")).parent
    return Path(shutil.move(home, home.with_name("moved"))) / INDEX


@views
def test_an_index_fits_is_accessible_and_leads_to_every_page(
    browser: Browser, index: Path, width: int, scheme: str, tmp_path: Path
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    opened = open_page(context, index)
    check(opened, index, width)
    check_access(opened)
    check_links(opened, index, 6)
    rows = opened.page.evaluate(
        "() => [...document.querySelectorAll('table.sortable tbody tr')].map((r) => r.innerText)"
    )
    assert len(rows) == len(RUNS) + 4
    assert sum("unfinished" in row for row in rows) == sum("damaged: summary.json" in row for row in rows) == 1
    assert sum(HOSTILE in row for row in rows) == len(RUNS) + 2
    opened.page.screenshot(path=tmp_path / f"{width}-{scheme}.png", full_page=True)
    opened.page.get_by_role("link", name="a:b/").click()
    assert opened.requests[-1] == (index.parent / "a:b" / "<script>alert(1)<!-- ü#%" / "report.html").as_uri()
    context.close()


def test_an_index_is_sorted_and_is_whole_without_javascript(browser: Browser, index: Path) -> None:
    context = browser.new_context()
    page = open_page(context, index).page
    heading = page.get_by_role("columnheader", name="command")
    commands = "() => [...document.querySelectorAll('table.sortable tbody tr')].map((row) => row.cells[2].textContent)"
    before = page.evaluate(commands)
    heading.get_by_role("button").click()
    assert page.evaluate(commands) == sorted(before) != before
    page.get_by_role("columnheader", name="peak").get_by_role("button").click(click_count=2)
    assert page.evaluate(commands)[:2] == ["attribute", "ablate"]  # of which alone the peak is known
    context.close()

    context = browser.new_context(java_script_enabled=False)
    page = open_page(context, index).page
    assert page.locator("table.sortable tbody tr").count() == len(before)
    assert page.locator("button").count() == 0
    context.close()


def test_the_table_of_items_is_sorted_and_filtered(opened: Opened) -> None:
    def gaps(rows: list[list[str]]) -> list[float]:
        return [float(row[3]) for row in rows]

    page = opened.page
    every = page.evaluate(SHOWN)
    assert gaps(every) == sorted(gaps(every))
    heading = page.get_by_role("columnheader", name="gap in 40")
    heading.get_by_role("button").click()
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    assert gaps(page.evaluate(SHOWN)) == sorted(gaps(every), reverse=True)
    page.get_by_role("button", name="item").click()
    assert page.get_by_role("columnheader", name="item").get_attribute("aria-sort") == "ascending"
    assert heading.get_attribute("aria-sort") is None

    page.get_by_label("Show").select_option(label="changed sides from 40 to 80")
    changed = page.evaluate(SHOWN)
    assert changed
    assert all((float(row[3]) < 0) != (float(row[4]) < 0) for row in changed)
    assert page.locator("output").inner_text() == f"{len(changed)} of {len(every)} items"

    page.get_by_label("Show").select_option(label="all items")
    groups = [row[-1] for row in every]
    group = max(groups, key=groups.count)
    assert page.get_by_label("Group").locator("option").count() == 1 + len(set(groups))
    page.get_by_label("Group").select_option(label=group)
    of_group = page.evaluate(SHOWN)
    assert [row[-1] for row in of_group] == [group] * groups.count(group)

    page.get_by_label("Item or words").fill(of_group[0][0].upper())
    assert page.evaluate(SHOWN) == of_group[:1]


def test_a_page_fits_paper_and_prints_folded_tables_and_at_most_fifty_items(browser: Browser, report: Path) -> None:
    context = browser.new_context(viewport={"width": 680, "height": 900})  # A4 within margins of 1.5 cm
    page = open_page(context, report).page
    folded = page.locator("details :is(table, pre, dl)")
    assert folded.count() > 3
    assert page.evaluate(UNSEEN) == folded.count()
    page.emulate_media(media="print")
    assert page.evaluate(UNSEEN) == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 680
    assert page.locator("table.items tbody tr:visible").count() == 50
    assert page.get_by_text("On paper: the first 50.").is_visible()
    assert not page.locator("form.filters").is_visible()
    context.close()


def test_links_lead_somewhere(opened: Opened, report: Path) -> None:
    inside = check_links(opened, report)
    opened.page.click(f"a[href='{inside[-1]}']")
    assert opened.page.url == report.as_uri() + inside[-1]


def check_links(opened: Opened, report: Path, fewest: int = 9) -> list[str]:
    """Checks that each link leads to a place of the page or to a file of the run; returns the former."""
    links = [link.get_attribute("href") or "" for link in opened.page.query_selector_all("a")]
    assert len(links) >= fewest
    inside = [link for link in links if link.startswith("#")]
    assert all(opened.page.locator(link).count() == 1 for link in inside)
    assert all((report.parent / unquote(link)).is_file() for link in set(links) - set(inside))
    return inside


def test_without_javascript_the_page_is_whole(browser: Browser, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = open_page(context, report).page
    assert page.locator("table.items tbody tr").count() == 60
    assert not page.locator("form.filters").is_visible()
    assert page.locator(".drawing svg").first.is_visible()
    context.close()


def test_ten_thousand_long_items_are_three_megabytes_at_most_and_open_in_two_seconds(
    browser: Browser, tmp_path: Path
) -> None:
    (tmp_path / "report.html").write_text(html_of(many(10_000, more="<Many> words & more. " * 40)))
    assert (tmp_path / "report.html").stat().st_size < 3e6
    seconds = []
    for _ in range(5):  # other tests use the same cores
        context = browser.new_context()
        seconds.append(open_page(context, tmp_path / "report.html").page.evaluate(LOADED))
        context.close()
    assert min(seconds) < 2
