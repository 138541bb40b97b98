"""The tables of the calibration: rates.csv, with every cell before and after, and README.md, with the worst ones."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.calibration.cells import DEPTHS, Counts
from experiments.calibration.simulate import WORLDS
from experiments.markdown import markdown_table


@dataclass(frozen=True)
class Done:
    """The counts of one cell, and its number of ladders."""

    ladders: int
    counts: Counts

    def percent(self, name: str) -> float:
        """The share of ladders, in percent."""
        return 100 * self.counts[name] / self.ladders

    def error(self, name: str) -> float:
        """The standard error of that percentage."""
        share = self.counts[name] / self.ladders
        return 100 * float(np.sqrt(share * (1 - share) / self.ladders))


AllDone = dict[tuple[str, str], Done]
MEASURES = ("width", "dip")  # of a cell, which are no counts of ladders

ERRORS = (
    ("level-2", "turned", "a turn at level 2, in a curve without one"),
    ("level-1", "turned", "a turn at level 1, in a curve without one"),
    ("no-u", "false", "a dip of δ is excluded, in a curve that has it"),
    ("power", "missed", "the planted turning point is outside the turning set"),
)
VERDICT_ERRORS = (
    ("2 supported", 'wrong "supported" at level 2'),
    ("1 supported", 'wrong "supported" at level 1'),
    ("above 0", "— with thresholds of 0 in place of δ_D and δ"),
)


def kind_of(cell: str) -> str:
    """The kind of a cell, from its name."""
    return cell.partition("; ")[0]


def with_missed(done: AllDone) -> AllDone:
    """The counts, with the planted turning points that are outside the turning set."""
    return {
        key: Done(
            one.ladders,
            one.counts | {"missed": one.ladders - one.counts["held"]} if "held" in one.counts else one.counts,
        )
        for key, one in done.items()
    }


def error_rates(done: AllDone, part: str, name: str, kind: str | None = None) -> dict[str, float]:
    """The error rate of each cell of a part, or of one kind of it, in percent."""
    return {
        cell: one.percent(name)
        for (of_part, cell), one in with_missed(done).items()
        if of_part == part and (kind is None or kind_of(cell) == kind) and name in one.counts
    }


def verdict_rates(done: AllDone, name: str) -> dict[str, float]:
    """The rate of a wrong "supported" in each world that is not to be supported, in percent."""
    rates = error_rates(done, "verdict", name)
    return {cell: rate for cell, rate in rates.items() if WORLDS[cell.partition("; ")[2]] != "supported"}


def _worst(done: AllDone, part: str, name: str, kind: str) -> tuple[str, str]:
    """The worst rate of a kind with its standard error, and its setting."""
    rates = error_rates(done, part, name, kind)
    if not rates:
        return "–", "–"
    cell = max(rates, key=lambda cell: rates[cell])
    error = with_missed(done)[part, cell].error(name)
    return f"{rates[cell]:.1f} ± {error:.1f}", cell.partition("; ")[2] if rates[cell] > 0 else "–"


def table_of_errors(done: AllDone, before: AllDone) -> str:
    """The worst cell of each kind of ladder, before and after."""
    rows = []
    for part, name, meaning in ERRORS:
        kinds = list(dict.fromkeys(kind_of(cell) for of_part, cell in done if of_part == part))
        if part == "power":
            rates = error_rates(done, part, name)
            worst = max(rates, key=lambda cell: rates[cell])
            earlier = error_rates(before, part, name)
            error = with_missed(done)[part, worst].error(name)
            was = f"{max(earlier.values()):.1f}" if earlier else "–"
            rows.append(
                [meaning, "all", was, f"{rates[worst]:.1f} ± {error:.1f}", worst.replace("; ", ", "), str(len(rates))]
            )
            continue
        for kind in kinds:
            now, where = _worst(done, part, name, kind)
            was = _worst(before, part, name, kind)[0]
            rows.append([meaning, kind, was, now, where, str(len(error_rates(done, part, name, kind)))])
    for name, meaning in VERDICT_ERRORS:
        rates, earlier = verdict_rates(done, name), verdict_rates(before, name)
        was = f"{max(earlier.values()):.1f}" if earlier else "–"
        rows.append([meaning, "planted worlds", was, f"{max(rates.values()):.1f}", "–", str(len(rates))])
    return markdown_table(["error", "ladders", "0.2.0, %", "now, %", "worst cell now", "cells"], rows)


def table_of_exclusions(done: AllDone, before: AllDone) -> str:
    """How often a turn is excluded below a ceiling, rightly and falsely."""
    rows = []
    for (part, cell), one in done.items():
        if part == "no-u" and kind_of(cell) in ("ceiling, answers", "ceiling, preference", "near a ceiling"):
            was = before.get((part, cell))
            pairs = [
                f"{was.percent(name):.1f} / {one.percent(name):.1f}" if was else f"– / {one.percent(name):.1f}"
                for name in ("false", "right")
            ]
            rows.append([kind_of(cell), cell.partition("; ")[2], *pairs])
    return markdown_table(
        ["values", "setting", "falsely excluded, before / now, %", "rightly excluded, before / now, %"], rows
    )


def table_of_power(done: AllDone, before: AllDone) -> str:
    """How often planted turns are found, and the minimum detectable dip that is printed."""
    rows = []
    for kind in dict.fromkeys(kind_of(cell) for part, cell in done if part == "power"):
        cells = {
            cell.partition("; ")[2]: one
            for (part, cell), one in done.items()
            if part == "power" and kind_of(cell) == kind
        }
        was = {depth: before.get(("power", f"{kind}; {depth}")) for depth in cells}
        shares = [
            f"{was[d].percent('found'):.0f} / {one.percent('found'):.0f}"
            if was[d]
            else f"– / {one.percent('found'):.0f}"
            for d, one in cells.items()
        ]  # type: ignore[union-attr]
        held = 100 - max(error_rates(done, "power", "missed", kind).values())
        width = np.median([one.counts["width"] for one in cells.values()])
        dip = f"{np.median([one.counts['dip'] for one in cells.values()]):.2f}"
        rows.append([kind, *shares, f"{held:.1f}", f"{width:.0f}", dip])
    head = [f"turn of {depth} found, before / now, %" for depth in ("0.05", "0.1", "0.2")]
    return markdown_table(
        ["ladders", *head, "turning set covers, %", "its median size", "minimum detectable dip"], rows
    )


def found_in_80(done: AllDone, kind: str) -> float | None:
    """The depth of a dip that is found in 80 %, interpolated between the simulated depths."""
    shares = [
        done["dips", f"{kind}; {depth:g}"].percent("found")
        for depth in DEPTHS
        if ("dips", f"{kind}; {depth:g}") in done
    ]
    if len(shares) < len(DEPTHS):
        return None
    return float(np.interp(80, np.maximum.accumulate(shares), DEPTHS))


def table_of_dips(done: AllDone, before: AllDone) -> str:
    """How often a dip is found with 8 sizes, 3 seeds and 300 answers."""
    rows = []
    for version, counts in (("0.2.0", before), ("now", done)):
        for kind in ("one size", "two sizes"):
            depth = found_in_80(counts, kind)
            if depth is not None:
                cells = [counts["dips", f"{kind}; {depth:g}"] for depth in DEPTHS]
                rows.append([version, kind, *(f"{cell.percent('found'):.0f}" for cell in cells), f"{depth:.3f}"])
    return markdown_table(["version", "the dip spans", *(f"{depth:g}" for depth in DEPTHS), "found in 80 %"], rows)


def table_of_foils(done: AllDone) -> str:
    """The false turns of two common tests, on the ordinary ladders of level 2."""
    meanings = {"naive": "pick the peak, then test both legs over items", "quadratic": "curvature of a quadratic fit"}
    rates = {name: error_rates(done, "level-2", name, "ordinary") for name in meanings}
    return markdown_table(
        ["test", "worst cell, %", "median, %"],
        [
            [meanings[name], f"{max(of.values()):.0f}", f"{np.median(list(of.values())):.0f}"]
            for name, of in rates.items()
        ],
    )


def table_of_verdicts(done: AllDone, before: AllDone) -> str:
    """How often each planted world gets the right label at level 2."""
    settings = list(dict.fromkeys(kind_of(cell) for part, cell in done if part == "verdict"))
    rows = []
    for world, right in WORLDS.items():
        shares = []
        for setting in settings:
            one, was = done["verdict", f"{setting}; {world}"], before.get(("verdict", f"{setting}; {world}"))
            earlier = f"{was.percent(f'2 {right}'):.0f}" if was else "–"
            shares.append(f"{earlier} / {one.percent(f'2 {right}'):.0f}")
        rows.append([world, right, *shares])
    return markdown_table(["world", "right label", *(f"{setting}, before / now, %" for setting in settings)], rows)


PAGE = """# How often are the shape test and the verdict wrong?

Written by `python -m experiments.calibration.calibrate`, which simulates ladders of a known shape and counts wrong
labels. [rates.csv](rates.csv) has every cell, before (version 0.2.0) and now. Each cell has {ladders} simulated ladders,
and {verdicts} of the verdict. The nominal error is 5 %. A true 5 % may show as {chance:.1f} %, and as more in the worst
of many cells. ± is the Monte Carlo standard error.

{errors}

**Answer.** With independent seeds, false turns are at most {level_2} % at level 2 and {level_1} % at level 1. A dip of δ is
falsely excluded in at most {excluded} %. The planted turning point is outside the turning set in at most {missed} %. The
verdict never calls a world without a distractor "supported".

**Seeds must be independent.** If all seeds of a size share a part of their noise, the mean over seeds varies more than
its error shows. A correlation of .25 gives up to {correlated_25} % false turns, one of .5 up to {correlated_50} %. The
numbers alone cannot show such a correlation.

- *ordinary*: groups of four answers; curves that are flat, fall or reach a plateau; seeds' noise up to .05, also unequal.
- *few groups*, *noisy sizes*, *correlated seeds*, *unequal groups*: all seeds share the items' noise. The number of items
  in unequal groups differs up to a hundredfold. Version 0.2.0 did not weight groups by their items, so there is no
  rate of it.
- *ceiling*: accuracy rises from .5 to .97, .99 or 1 and stays there.

Two common tests on the ordinary ladders of level 2:

{foils}

## Ceilings

A dip of exactly δ = .05 below 1 (answers: accuracy; preference: a skewed distribution), or no dip. Fewer than about 60
groups cannot exclude such a dip.

{exclusions}

## Power

Preference rises from .5 by the stated amount, is highest at one size, and falls to .05; groups have four answers.

{power}

A dip in a flat curve at .6: 8 sizes, 3 seeds, 300 answers, seeds' sd .03. The table has the share of ladders with a
significant dip, in percent, by depth:

{dips}

## The verdict

Planted worlds (11 sizes). Little noise: 120 groups, pulls vary by 10 % between seeds. Much noise: 40 groups, 40 %. The
table has the share of right labels at level 2. "Undetermined" is the usual wrong label: more data are needed.

{verdict}
"""


def worst_rate(done: AllDone, part: str, name: str, *, correlated: bool = False, among: Sequence[str] = ()) -> float:
    """The worst rate of a part in percent: of independent seeds, or of correlated ones whose name has one of `among`."""
    rates = {
        cell: rate
        for cell, rate in error_rates(done, part, name).items()
        if (kind_of(cell) == "correlated seeds") == correlated and (not among or any(word in cell for word in among))
    }
    return max(rates.values())


def page_of(done: AllDone, before: AllDone) -> str:
    """The content of README.md, from all cells that are done."""
    ladders = min(one.ladders for (part, _), one in done.items() if part != "verdict")
    return PAGE.format(
        ladders=f"{ladders:,}",
        verdicts=f"{min(one.ladders for (part, _), one in done.items() if part == 'verdict'):,}",
        chance=100 * (0.05 + 1.96 * np.sqrt(0.05 * 0.95 / ladders)),
        errors=table_of_errors(done, before),
        level_2=f"{worst_rate(done, 'level-2', 'turned'):.1f}",
        level_1=f"{worst_rate(done, 'level-1', 'turned'):.1f}",
        excluded=f"{worst_rate(done, 'no-u', 'false'):.1f}",
        missed=f"{worst_rate(done, 'power', 'missed'):.1f}",
        correlated_25=f"{worst_rate(done, 'level-2', 'turned', correlated=True, among=['correlation 0.25']):.0f}",
        correlated_50=f"{worst_rate(done, 'level-2', 'turned', correlated=True, among=['correlation 0.5']):.0f}",
        foils=table_of_foils(done),
        exclusions=table_of_exclusions(done, before),
        power=table_of_power(done, before),
        dips=table_of_dips(done, before),
        verdict=table_of_verdicts(done, before),
    )


def write_rates(path: Path, done: AllDone, before: AllDone) -> None:
    """Write every rate with its standard error, before and after."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["part", "ladders", "setting", "rate", "before_percent", "now_percent", "standard_error"])
        for (part, cell), one in with_missed(done).items():
            was = with_missed(before).get((part, cell))
            for name in one.counts:
                if name not in MEASURES:
                    earlier = f"{was.percent(name):.1f}" if was and name in was.counts else ""
                    row = [
                        kind_of(cell),
                        cell.partition("; ")[2],
                        name,
                        earlier,
                        f"{one.percent(name):.1f}",
                        f"{one.error(name):.1f}",
                    ]
                    writer.writerow([part, *row])
