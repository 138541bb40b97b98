"""What the index says: how many runs there are, one line for each, and a small table of verdicts by task and models."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote_from_bytes

from distractor.errors import DistractorError
from distractor.models.source import EMBEDDED
from distractor.numbers import counted
from distractor.runs.index.found import FoundRun
from distractor.runs.index.row import IndexRow, Rows
from distractor.runs.page.blocks import AnswerCell, Cell, LinkCell, Page, Section, SizeCell, Table

HEADINGS = ("run", "result", "command", "task", "models", "format", "peak of preference\n(parameters)", "date (UTC)")
EVIDENCE = "Each result is about the models and items of its own run; the run's page says what it is evidence for."
CONTROL = f" Results of the family {EMBEDDED} are a positive control: no evidence about pretrained models."
Line = tuple[FoundRun, IndexRow | None]


def index_page(runs: Sequence[FoundRun], home: Path, rows_of: Mapping[str, Rows]) -> Page:
    """The page of all `runs`, which lies in the folder `home`; `rows_of` gives the rows of each command."""
    lines = [line for run in runs for line in _lines(run, rows_of)]
    found = [(run, row) for run, row in lines if row]
    verdicts = Counter(row.label for _, row in found if row.is_verdict)
    problems = [run.problem.partition(":")[0] for run, row in lines if not row]
    unusable = [f"{counted(n, 'run')} {'is' if n == 1 else 'are'} {word}." for word, n in Counter(problems).items()]
    unlinked = sum(not run.has_page for run in {run.path: run for run, _ in found}.values())
    if unlinked:
        unusable.append(f"{counted(unlinked, 'finished run')} {'has' if unlinked == 1 else 'have'} no page.")
    grid = list(_grid([row for _, row in found if row.is_verdict]))
    sections = [
        Section("runs", "Every run", (_table(lines, home),)),
        *([Section("verdicts", "Verdicts by task and models", tuple(grid))] if grid else []),
    ]
    tasks = {row.task for _, row in found}
    has_control = any(row.models.partition("/")[0] == EMBEDDED for _, row in found)
    return Page(
        title=f"Runs in the folder {home.name}",
        about=f"distractor report: {counted(len(runs), 'run')}, {counted(len(tasks), 'task')}",
        label=", ".join(f"{n} {label}" for label, n in verdicts.items()) or counted(len(runs), "run"),
        sentences=tuple(unusable),
        evidence=EVIDENCE + CONTROL * has_control,
        sections=tuple(sections),
    )


def _lines(run: FoundRun, rows_of: Mapping[str, Rows]) -> Iterator[Line]:
    """The lines of a run; a single one without a row if the run has a problem."""
    if run.problem:
        yield run, None
        return
    try:
        for row in list(rows_of[run.command](run.manifest, run.summary)):
            yield run, row
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, DistractorError):
        yield FoundRun(run.path, run.manifest, problem=f"damaged: summary.json is not that of {run.command}"), None


def _table(lines: Sequence[Line], home: Path) -> Table:
    rows: list[list[Cell]] = []
    for run, row in lines:
        name = Path(os.path.relpath(run.path.resolve(), home)).as_posix()
        command = run.command or "–"
        if row is None:
            problem = AnswerCell(run.problem, "unclear")
            rows.append([name, problem, command, "–", "–", "–", SizeCell("–", 0), run.date])
            continue
        has_page = (run.path / row.page).is_file()
        first = LinkCell(name, _link(f"{name}/{row.page}")) if has_page else name
        result = AnswerCell(row.label, row.answered)
        peak = SizeCell(f"{row.peak[0]} ({row.peak[1]:,})", row.peak[1]) if row.peak else SizeCell("–", 0)
        rows.append([first, result, command, row.task, row.models, row.form, peak, run.date])
    return Table(
        "Runs by folder",
        HEADINGS,
        rows,
        numbers=frozenset({6}),
        note="A run without a link has no page. A run of several formats or tasks has a line for each.",
        sortable=True,
    )


def _link(path: str) -> str:
    """A relative path as it stands in a link; a name with a colon is no address."""
    return quote_from_bytes(os.fsencode(path))


def _grid(rows: Sequence[IndexRow]) -> Iterator[Table]:
    """The verdicts of each task in each family; nothing without several of either."""
    tasks, models = (list(dict.fromkeys(getattr(row, name) for row in rows)) for name in ("task", "models"))
    if len(tasks) < 2 and len(models) < 2:
        return
    labels: dict[tuple[str, str], list[IndexRow]] = {}
    for row in rows:
        labels.setdefault((row.task, row.models), []).append(row)
    yield Table(
        "Verdict of each task in each family",
        ("task", *models),
        [(task, *(_verdicts(labels.get((task, one), ())) for one in models)) for task in tasks],
        note="Where there are several runs, their verdicts are counted.",
    )


def _verdicts(rows: Sequence[IndexRow]) -> Cell:
    """The verdicts of some runs; their colour is that of all, if they agree."""
    counts = Counter(row.label for row in rows)
    if not counts:
        return "–"
    text = ", ".join(f"{n} {label}" for label, n in counts.items()) if len(rows) > 1 else rows[0].label
    return AnswerCell(text, rows[0].answered if len(counts) == 1 else "unclear")
