"""What the page of `distractor shape` says: the shape, the curve, its parts in words, the sizes, and how it was judged."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from rich.console import Group

from distractor.curves.figures import curve_panel
from distractor.curves.judge_curve import JudgedCurve, is_embedded
from distractor.curves.judge_tasks import JudgedTasks
from distractor.curves.report import secondary_sentences, sizes_table
from distractor.published.figures import panel_drawings, source_line
from distractor.published.tables import bibtex_keys, page_table
from distractor.runs.page.blocks import Block, Figure, Files, Page, Quotation, Section, Sentences
from distractor.runs.page.drawing import PANEL, drawing
from distractor.runs.page.evidence import BY_LEVEL, EMBEDDED
from distractor.runs.page.printed import as_blocks
from distractor.runs.page.provenance import provenance
from distractor.runs.page.references import bibtex
from distractor.runs.style import AXIS_TITLES, quantity_title

FIGURES = {"shape": "the figure above in one file", "parts": "curves of item subsets"}


def page(judged: JudgedCurve, figures: Sequence[str], manifest: Mapping[str, Any]) -> Page:
    """The page of one curve, with the names of its `figures` and the manifest of the run."""
    curve, seeds = judged.curve, len(judged.curve.seeds)
    items = "" if curve.n_items is None else f"{curve.n_items:,} items in {len(curve.groups):,} groups, "
    warnings = tuple(_warnings(judged))
    of_task = f"{curve.task}: " if curve.task else ""
    files = {
        "curve.csv": "the numbers of the curve",
        "summary.json": "the shape at both levels, with every test",
        **{f"figures/{name}.svg": FIGURES.get(name, "figure") for name in figures},
    }
    return Page(
        title=f"{of_task}{quantity_title(curve.quantity)} over {AXIS_TITLES[curve.axis]}",
        about=f"distractor shape: {items}{len(curve.sizes):,} sizes × {seeds} seed{'s' * (seeds > 1)}",
        label=judged.shape.label,
        sentences=tuple(reversed(judged.levels)) if judged.shape.models else tuple(judged.levels),
        evidence=_evidence(judged),
        warnings=len(warnings),
        sections=(
            Section("curve", "The curve", tuple(_curve(judged))),
            Section("tests", "What was found", (Sentences(tuple(_found(judged)), is_list=True),)),
            Section("sizes", "Each size", tuple(as_blocks(sizes_table(judged)))),
            Section("warnings", "Warnings", (Sentences(warnings or ("None.",), is_list=bool(warnings)),)),
            Section("method", "Method, to quote", (_method(judged),)),
            *provenance(manifest, files),
        ),
    )


def overview(tasks: JudgedTasks, table: Group, pages: Mapping[str, str], manifest: Mapping[str, Any]) -> Page:
    """The page of several tasks: a table of all, and links to the `pages` of each (path by task)."""
    turns = sum(tasks.turns_over_tasks)
    n = len(tasks.judged)
    left_out = tuple(f"Left out: {reason}." for reason in tasks.left_out)
    return Page(
        title=f"The shape over {AXIS_TITLES[tasks.judged[0].curve.axis]} in {n} task{'s' * (n > 1)}",
        about="distractor shape: p over tasks is adjusted by Holm",
        label=f"{turns} of {n} tasks turn",
        sentences=(),
        evidence=_evidence(tasks.judged[0]),
        warnings=len(left_out),
        sections=(
            Section("tasks", "Each task", (*as_blocks(table), Files({path: task for task, path in pages.items()}))),
            Section("warnings", "Warnings", (Sentences(left_out or ("None.",), is_list=bool(left_out)),)),
            *provenance(manifest, {"summary.json": "the judgement of each task"}),
        ),
    )


def _evidence(judged: JudgedCurve) -> str:
    if is_embedded(judged.curve):
        return EMBEDDED
    return BY_LEVEL[2 if judged.shape.models else 1]


def _curve(judged: JudgedCurve) -> Iterator[Block]:
    curve = judged.curve
    over = f"{quantity_title(curve.quantity)} over {AXIS_TITLES[curve.axis]}"
    same = judged.references.same
    size = PANEL[0], PANEL[1] + 0.35 * len(same)
    shows = "; ".join([f"{over}: {judged.shape.label}", *(one.title for one in same)])
    own = drawing("curve", f"{shows}.", partial(curve_panel, judged=judged), size)
    bars = " Bars: models like these (level 2)." if judged.shape.models else ""
    dots = " Dots: single seeds." if len(curve.seeds) > 1 else ""
    line = source_line(judged.references)
    references = f" {line[:1].upper()}{line[1:]}." if line else ""
    yield Figure(
        f"{over[:1].upper()}{over[1:]}: {judged.shape.label}",
        (own, *panel_drawings(judged.references)),
        f"Band: 95 %, these weights (level 1).{bars}{dots} Grey: where the curve may turn.{references}",
    )
    if judged.references:
        yield page_table(judged.references)


def _found(judged: JudgedCurve) -> Iterator[str]:
    yield from judged.levels
    yield from secondary_sentences(judged)


def _warnings(judged: JudgedCurve) -> Iterator[str]:
    yield from judged.notes
    if judged.parts and judged.parts.caution:
        yield f"{judged.parts.caution[:1].upper()}{judged.parts.caution[1:]}."


def _method(judged: JudgedCurve) -> Quotation:
    """A paragraph with the numbers of this run, which a paper can quote."""
    curve = judged.curve
    items = "" if curve.n_items is None else f" on {curve.n_items:,} items ({len(curve.groups):,} groups)"
    sentences = [
        f"We judged {quantity_title(curve.quantity)} over {len(curve.sizes)} sizes from {curve.sizes[0]:,.15g} to "
        f"{curve.sizes[-1]:,.15g} {AXIS_TITLES[curve.axis]}, with {len(curve.seeds)} seed{'s' * (len(curve.seeds) > 1)}"
        f"{items}.",
        f"The shape was judged at {judged.shape.method}, with δ = {judged.delta:g}.",
        *judged.levels,
    ]
    published = bibtex_keys(judged.references.curves)
    cited = "wei2022", "mckenzie2023", *published, "simonsohn2018", "lind2010", "distractor"
    return Quotation(" ".join(sentences), bibtex(*dict.fromkeys(cited)))
