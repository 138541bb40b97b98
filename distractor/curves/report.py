"""What `distractor shape` leaves behind and prints: the folder of a run, and a table with sentences for the terminal."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.text import Text

from distractor import __version__
from distractor.curves.curve_file import CurveRequest
from distractor.curves.judge_curve import JudgedCurve
from distractor.numbers import number
from distractor.runs.folder import RunFolder
from distractor.runs.tables import plain_table

COLUMNS = ("size", "mean", "low", "high", "models_low", "models_high")


def manifest(
    files: Sequence[str], paths: Sequence[Path], wanted: CurveRequest, settings: dict[str, Any], command: Sequence[str]
) -> dict[str, Any]:
    """What was judged, and how: known before anything is computed."""
    return {
        "command": [Path(command[0]).name, *command[1:]],
        "versions": {"distractor": __version__},
        "files": [
            {"name": name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
            for name, path in zip(files, paths, strict=True)
        ],
        "wanted": repr(wanted),
        **settings,
    }


def write(folder: RunFolder, judged: JudgedCurve) -> dict[str, Any]:
    """Write summary, figures and the curve's numbers, each whole or not at all; gives the summary."""
    from distractor.curves import figures as drawing
    from distractor.runs.parts_figure import parts

    told = judged.as_dict()
    figures = {"shape": drawing.shape(judged)}
    if judged.parts:
        figures["parts"] = parts(judged.curve, judged.parts)
    folder.write_figures(figures)
    seeds = [f"seed{seed}" for seed in judged.curve.seeds]
    rows = [[*(row[name] for name in COLUMNS), *row["seeds"].values()] for row in told["sizes"]]
    folder.write_csv("curve", [*COLUMNS, *seeds], rows)
    folder.write_summary(told)
    return told


def page(judged: JudgedCurve) -> Group:
    """The curve as a table, what it shows at both levels, what other procedures say, and published numbers."""
    curve, told = judged.curve, judged.as_dict()
    seeds = len(curve.seeds)
    items = "" if curve.n_items is None else f"{curve.n_items} items in {len(curve.groups)} groups, "
    title = f"{curve.quantity} against {curve.axis}: {items}{len(curve.sizes)} sizes × {seeds} seed{'s' * (seeds > 1)}"
    table = plain_table(curve.axis, "mean", "95 %, these weights (level 1)", "95 %, models like these (level 2)")
    for row in told["sizes"]:
        models = "–" if row["models_low"] is None else _between(row["models_low"], row["models_high"])
        table.add_row(f"{row['size']:,.15g}", number(row["mean"], 3), _between(row["low"], row["high"]), models)
    lines = [Text(sentence) for sentence in judged.sentences]
    lines += [Text(line) for line in (*_secondary(judged), *_references(judged))]
    if judged.parts and judged.parts.caution:
        lines.append(Text(f"Mind: {judged.parts.caution}."))
    return Group(Text(title, style="bold"), table, Text(), *lines)


def _secondary(judged: JudgedCurve) -> Iterator[str]:
    opinion = judged.shape.secondary
    told = []
    for name, one in (("two lines", opinion.two_lines), ("Lind–Mehlum", opinion.lind_mehlum)):
        told.append(f"{name}: {one if isinstance(one, str) else _turns(one.turns)}")
    told.append(f"the quadratic (no test of a turn): {_turns(opinion.quadratic.turns)}")
    yield f"Secondary: {'; '.join(told)}."


def _turns(turns: bool) -> str:
    return "turns" if turns else "no turn shown"


def _references(judged: JudgedCurve) -> Iterator[str]:
    for one in judged.references:
        points = ", ".join(f"{point.accuracy:.2f}" for point in one.points)
        yield f"Published: {one.title}: {points}."
    for source in dict.fromkeys(one.source for one in judged.references):
        yield f"Source: {source}."


def _between(low: float, high: float) -> str:
    return f"[{number(low, 3)}, {number(high, 3)}]"
