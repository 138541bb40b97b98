"""Writes the run folder of `distractor shape` and formats its table and sentences for the terminal."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from distractor.curves.judge_curve import JudgedCurve
from distractor.curves.request import CurveRequest
from distractor.numbers import number
from distractor.published.tables import published_table
from distractor.runs.figure_set import FigureSet, choose
from distractor.runs.folder import RunFolder
from distractor.runs.manifest import origin, plain_settings
from distractor.runs.tables import FittedTable
from distractor.version import __version__

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from distractor.runs.page.blocks import Page

MOST_ROWS = 40  # of the table for the terminal
COLUMNS = ("size", "mean", "low", "high", "models_low", "models_high")


def manifest(
    files: Sequence[str], paths: Sequence[Path], request: CurveRequest, settings: dict[str, Any], command: Sequence[str]
) -> dict[str, Any]:
    """Files, their hashes and the settings of a run."""
    return {
        **origin(command),
        "versions": {"distractor": __version__},
        "files": [
            {"name": name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
            for name, path in zip(files, paths, strict=True)
        ],
        "request": plain_settings(request),
        **settings,
    }


def write(folder: RunFolder, judged: JudgedCurve, figures: FigureSet = FigureSet.MAIN) -> dict[str, Any]:
    """Write figures, the curve's numbers, the page and the summary; return the summary."""
    summary = judged.as_dict()
    seeds = [f"seed{seed}" for seed in judged.curve.seeds]
    rows = [[*(row[name] for name in COLUMNS), *row["seeds"].values()] for row in summary["sizes"]]
    folder.write_csv("curve", [*COLUMNS, *seeds], rows)
    choice = choose(figures, ["shape", *["parts"] * (judged.parts is not None)])
    summary["figures"] = folder.keep_figures(summary, choice, partial(_draw, judged))
    folder.keep_page(partial(_page, folder, judged, summary), summary["figures"]["drawn_from"])
    folder.write_summary(summary)
    return summary


def _draw(judged: JudgedCurve, name: str) -> "Figure":
    from distractor.curves import figures as plot
    from distractor.runs.parts_figure import parts

    if name == "shape":
        return plot.shape(judged)
    assert judged.parts is not None
    return parts(judged.curve, judged.parts)


def _page(folder: RunFolder, judged: JudgedCurve, summary: Mapping[str, Any]) -> "Page":
    from distractor.curves.page import page as page_of

    return page_of(judged, summary["figures"]["names"], folder.manifest)


def page(judged: JudgedCurve) -> Group:
    """The curve as a table, the result at both levels, secondary tests and published results."""
    sentences = (*judged.sentences, *secondary_sentences(judged))
    lines = [Text(sentence) for sentence in sentences]
    if judged.parts and judged.parts.caution:
        lines.append(Text(f"Note: {judged.parts.caution}."))
    published: list[RenderableType] = [Text(), published_table(judged.references)] if judged.references else []
    return Group(sizes_table(judged), Text(), *lines, *published)


def sizes_table(judged: JudgedCurve) -> Group:
    """The curve as a table."""
    curve = judged.curve
    seeds = len(curve.seeds)
    items = "" if curve.n_items is None else f"{curve.n_items} items in {len(curve.groups)} groups, "
    title = f"{curve.quantity} against {curve.axis}: {items}{len(curve.sizes)} sizes × {seeds} seed{'s' * (seeds > 1)}"
    levels = "95 %, these weights (level 1)", "95 %, models like these (level 2)"
    table = FittedTable((curve.axis, "mean", *levels), names=(), drop=levels[::-1], all_in="curve.csv has them")
    rows = judged.as_dict()["sizes"]
    for index in sorted(set(np.linspace(0, len(rows) - 1, min(len(rows), MOST_ROWS)).round().astype(int).tolist())):
        row = rows[index]
        models = "–" if row["models_low"] is None else _between(row["models_low"], row["models_high"])
        table.add_row(f"{row['size']:,.15g}", number(row["mean"], 3), _between(row["low"], row["high"]), models)
    all_in = [Text(f"{MOST_ROWS} of {len(rows):,} sizes are shown; curve.csv has all.")] * (len(rows) > MOST_ROWS)
    return Group(Text(title, style="bold"), table, *all_in)


def secondary_sentences(judged: JudgedCurve) -> Iterator[str]:
    """What the secondary tests say."""
    opinion = judged.shape.secondary
    tests = {"two lines": opinion.two_lines, "Lind–Mehlum": opinion.lind_mehlum}
    results = [f"{name}: {test if isinstance(test, str) else _turns(test.turns)}" for name, test in tests.items()]
    quadratic = f"quadratic fit (does not test for a turn): {_turns(opinion.quadratic.turns)}"
    yield f"Secondary tests: {'; '.join([*results, quadratic])}."
    if opinion.caution:
        yield f"Caution: {opinion.caution}."


def _turns(turns: bool) -> str:
    return "turn" if turns else "no turn"


def _between(low: float, high: float) -> str:
    return f"[{number(low, 3)}, {number(high, 3)}]"
