"""Published numbers as a table for the terminal and one for a page, with our label, caveats and sources beside them."""

from collections.abc import Iterator, Sequence
from textwrap import fill

from rich.console import Group
from rich.text import Text

from distractor.published.curves import PRIZE_FORMAT, Published
from distractor.published.label import caveats, label
from distractor.published.placement import References
from distractor.runs.page.blocks import Table
from distractor.runs.tables import FittedTable

CURVE, ACCURACY, OURS, THEIRS = "published curve", "accuracy", "our label\n(level 1)", "authors'\nlabel"
BIBTEX = {"Michaelov": "michaelov2023", "Zhang": "zhang2023", "Wei": "wei2022"}
WIDEST = 30  # letters of the first column


def published_table(references: References) -> Group:
    """One row for each published curve; then why curves are apart, caveats and sources."""
    curves = references.curves
    has_theirs = any(curve.authors_label for curve in curves)
    headings = [CURVE, ACCURACY, "drawn", OURS, *[THEIRS] * has_theirs]
    table = FittedTable(
        headings, names=(), wrapped=(CURVE, ACCURACY), drop=(THEIRS, "drawn", OURS), left=(ACCURACY, "drawn"),
        all_in="--json has them",
    )  # fmt: skip
    for curve in curves:
        theirs = [curve.authors_label or "–"] * has_theirs
        place = "with yours" if curve in references.same else "apart"
        table.add_row(
            fill(curve.legend, WIDEST), _in_lines(curve, 2 if has_theirs else 3), place, label(curve) or "–", *theirs
        )
    return Group(Text("Published accuracy", style="bold"), table, *map(Text, sentences(references)))


def sentences(references: References) -> Iterator[str]:
    """Where curves are drawn and why, then caveats and sources."""
    yield from references.sentences
    notes: dict[str, list[Published]] = {}
    for curve in references.curves:
        if curve.is_prize_format:
            notes.setdefault(PRIZE_FORMAT, []).append(curve)
        for caveat in caveats(curve):
            notes.setdefault(caveat, []).append(curve)
    yield from (f"{_series(curves, references.curves)}: {note}." for note, curves in notes.items())
    for source in dict.fromkeys(curve.source for curve in references.curves):
        yield f"Source: {source}."


def page_table(references: References) -> Table:
    """The same rows with caveats and source beside the numbers, and in the note the reason why curves are apart."""
    headings = ("published curve", "accuracy", "drawn", "our label (level 1)", "authors' label", "caveats", "source")
    rows = [
        (
            curve.title,
            ", ".join(numbers(curve)),
            "with yours" if curve in references.same else "apart",
            label(curve) or "–",
            curve.authors_label or "–",
            f"{text[:1].upper()}{text[1:]}." if (text := "; ".join(caveats(curve))) else "–",
            curve.source,
        )
        for curve in references.curves
    ]
    note = " ".join(references.sentences)
    return Table("Published accuracy", headings, rows, sentences=frozenset({0, 1, 5, 6}), note=note)


def bibtex_keys(curves: Sequence[Published]) -> list[str]:
    """The BibTeX entries of the papers with these curves."""
    return list(dict.fromkeys(key for curve in curves for name, key in BIBTEX.items() if curve.source.startswith(name)))


def numbers(curve: Published) -> list[str]:
    """The accuracy at each size or step; of models without a size, by their names."""
    from distractor.runs.style import in_units

    names = [point.model if curve.axis == "rank" else in_units(point.size) for point in curve.points]
    return [f"{name} {point.accuracy:.2f}" for name, point in zip(names, curve.points, strict=True)]


def _in_lines(curve: Published, each: int) -> str:
    """The numbers, so many in a line."""
    every = numbers(curve)
    return ",\n".join(", ".join(every[first : first + each]) for first in range(0, len(every), each))


def _series(curves: Sequence[Published], every: Sequence[Published]) -> str:
    """The names of the curves; the first and the last where they are all of one reference."""
    names = list(dict.fromkeys(curve.series for curve in curves))
    of_reference = [curve for curve in every if curve.reference == curves[0].reference]
    is_range = len(names) > 2 and list(curves) == of_reference
    return f"{names[0]} to {names[-1]}" if is_range else "; ".join(names)
