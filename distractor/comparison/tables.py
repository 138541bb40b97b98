"""A comparison for the terminal, at most 100 columns wide: what changed, what did not, and what cannot be told."""

import textwrap
from collections.abc import Iterator, Sequence

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from distractor.comparison.compare import PRIMARY, ComparisonResult, Pair
from distractor.comparison.counterparts import MapChange
from distractor.comparison.steps import Course
from distractor.numbers import number, p_value, shortened, with_interval
from distractor.runs.tables import WIDTH, plain_table
from distractor.statistics.changes import Change
from distractor.text.task import Condition

ITEMS = 6
"""How many items that changed sides are shown with their text, those that changed most."""


SITES = 6


MAPS = 3
"""How many maps of a probe are shown with their sites; of the others a line each."""


LEAST = 0.005
"""Effects that would be written as 0.00 in both models are left out."""


STEPS = 16


SHORT = {
    "distractor_preference": "preference",
    "logit_gap": "gap, nats",
    "true_pull": "T, nats",
    "distractor_pull": "D, nats",
    "true_path": "true path",
    "distractor_path": "distractor's path",
}


BEYOND = {
    "inside item noise": "–",
    "beyond item noise; seed noise unknown": "items, ?",
    "beyond item noise, inside seed noise": "items only",
    "beyond item noise and seed noise": "items, seeds",
    "beyond item noise; seed noise itself": "items (seeds)",
}


MATCHES = {
    "name": "of one run: a site of one is the site of that name of the other",
    "depth": "trained apart: matched by function, and layers by relative depth",
    "function": "trained apart: matched by function alone",
}


def tables(found: ComparisonResult) -> Iterator[Group | Text]:
    """Behaviour and mechanism of each pair, then each model along training, then what could not be read."""
    for pair in found.pairs:
        yield _behaviour(found, pair)
        yield Group(*(Text(line) for line in _wrapped(verdict(found, pair))))
        if pair.switched:
            yield _switched(found, pair)
        if pair.paths:
            yield _paths(found, pair)
        shown: set[str] = set()
        for (name, _, _), maps in pair.maps.items():
            if maps and name not in shown:  # of several seeds the first
                shown.add(name)
                yield _maps(found, pair, name, maps)
    for course in found.courses:
        yield _course(course)
    for (name, model), why in found.refused.items():
        yield Group(*(Text(line) for line in _wrapped([f"{name} was left out for {model}: {why}"])))


def verdict(found: ComparisonResult, pair: Pair) -> list[str]:
    """What may be said of a pair, in sentences: behaviour, the null, the sites."""
    first, second = found.sides[pair.first].name, found.sides[pair.second].name
    change = pair.rows[PRIMARY]
    told = [f"Preference for the distractor's answer in conflict changes by {interval(change)}: {_said(change)}."]
    if pair.p_over_tasks is not None:
        told[0] = f"{told[0][:-1]} (over all tasks p {p_value(pair.p_over_tasks)})."
    shares = [(found.sides[s].name, found.halves[s]) for s in (pair.first, pair.second)]
    known = [f"{share:.1%} of halves of {name}" for name, share in shares if share is not None]
    if known:
        told.append(f"The null: {', '.join(known)} would pass for another model (5 % is as it should be).")
    most = pair.changed_most
    if most is not None:
        name, one, place = most
        told.append(
            f"The site that changed most is {one.sites[place]} ({name}, {one.name}): by "
            f"{with_interval(one.mean[place], one.low[place], one.high[place])} nats from {number(one.first[place])} to "
            f"{number(one.second[place])}."
        )
    elif pair.maps:
        told.append(f"No site's effect differs between {first} and {second} beyond item noise.")
    for part in pair.transfers:
        share = "" if part.share is None else f", {part.share:.0%} of what its own do"
        told.append(
            f"{SHORT[part.path].capitalize()}: the {len(part.sites)} sites found in {part.found_in}, knocked out in "
            f"{part.knocked_out_in}, take {with_interval(*part.foreign)} nats{share} ({with_interval(*part.own)}); "
            f"difference {_said(part.change, of_seeds=False)}."
        )
    if pair.no_transfer:
        told.append(f"No site was knocked out in the other model: {pair.no_transfer}.")
    return told


def interval(change: Change) -> str:
    """A difference with its interval."""
    return with_interval(change.mean, change.low, change.high)


def _said(change: Change, *, of_seeds: bool = True) -> str:
    if not of_seeds:
        return "beyond item noise" if change.is_beyond_items else "inside item noise"
    if change.seeds is not None and change.is_beyond_items:
        return f"{change.call} (over seeds {with_interval(change.mean, change.seeds.low, change.seeds.high)})"
    return change.call


def _behaviour(found: ComparisonResult, pair: Pair) -> Group:
    first, second = (found.sides[side] for side in (pair.first, pair.second))
    groups = len({group for group, is_used in zip(found.groups, found.complete, strict=True) if is_used})
    title = f"{found.task.name}: {first.name} → {second.name}, {int(found.complete.sum())} items in {groups} groups"
    seeds = [len(side.members) for side in (first, second)]
    if max(seeds) > 1:
        title += f", {seeds[0]} and {seeds[1]} seeds"
    table = plain_table("quantity", "condition", "first", "second", "second − first", "p", "p, family", "beyond")
    table.columns[1].justify = "left"
    table.columns[-1].justify = "left"
    last = ""
    for row, change in pair.rows.items():
        levels = [number(found.level(side, row).mean) for side in (pair.first, pair.second)]
        name = SHORT.get(row[0], row[0])
        told = [p_value(change.p), p_value(change.p_family), BEYOND[change.call]]
        table.add_row(name if name != last else "", _short(row[1]), *levels, interval(change), *told)
        last = name
    notes = [
        "beyond: – inside item noise (5 % over all rows of this table); items: beyond it; seeds: beyond what seeds of one "
        "model differ by, too (? not known: fewer than 3 seeds a side; in brackets: the sides are such seeds themselves)."
    ]
    return Group(*(Text(line, style="bold") for line in _wrapped([title])), table, *(Text(n) for n in _wrapped(notes)))


def _switched(found: ComparisonResult, pair: Pair) -> Group:
    to_true = sum(each.second > 0 for each in pair.switched)
    lines = [
        f"{len(pair.switched)} items changed sides in conflict: {to_true} to the true answer, "
        f"{len(pair.switched) - to_true} to the distractor's. Those that moved most:"
    ]
    ranked = sorted(pair.switched, key=lambda each: -abs(each.second - each.first))[:ITEMS]
    told: list[Text] = [Text(line) for line in _wrapped(lines)]
    for each in ranked:
        item = found.task.items[each.item]
        answers = item.true.strip(), item.distractor.strip()
        now = answers if each.second > 0 else answers[::-1]
        prompt = " ".join(item.prompts[Condition.CONFLICT].split())
        head = f"  {each.first:+.2f} → {each.second:+.2f}  {now[1]} → {now[0]}  "
        told.append(Text(head + shortened(prompt, WIDTH - len(head))))  # at the end is the question
    return Group(*told)


def _paths(found: ComparisonResult, pair: Pair) -> Group:
    table = plain_table("", "first", "second", "second − first", "p", "beyond")
    table.columns[-1].justify = "left"
    for name, change in pair.paths.items():
        which = "true" if name == "true_path" else "distractor"
        weighed = [
            [one.mean(which)[0] for m in found.sides[side].members if (one := found.strengths[m]) is not None]
            for side in (pair.first, pair.second)
        ]
        levels = [number(float(np.mean(each))) for each in weighed]
        table.add_row(SHORT[name], *levels, interval(change), p_value(change.p), BEYOND[change.call])
    how = "lost when its sites are knocked out" if _has_ablation(found) else "of its heads, to first order"
    match = f" ({MATCHES[pair.match]})" if pair.match else ""
    title = f"The two paths, nats {how}; sites chosen on half of the groups, weighed on the other{match}"
    lines = [Text(line, style="bold") for line in _wrapped([title])]
    depths = [
        f"Over relative depth, {condition}: rank correlation "
        + ", ".join(f"{part} {value:.2f}" for part, value in by.items())
        for condition, by in pair.depths.items()
    ]
    return Group(*lines, table, *(Text(line) for line in depths))


def _maps(found: ComparisonResult, pair: Pair, name: str, maps: Sequence[MapChange]) -> Group:
    """The sites that changed most in the maps where some did; of the other maps a line each."""
    lines: list[Text | Table] = []
    shown = [one for one in maps if one.is_marked.any()][:MAPS]
    for one in shown:
        lines.append(Text(f"{name}, {one.name}: effects of {len(one.sites)} sites, nats", style="bold"))
        table = plain_table("site", "first", "second", "second − first", "p")
        for i in one.order[:SITES]:
            if np.abs([one.first[i], one.second[i]]).max() < LEAST and not one.is_marked[i]:
                continue
            mark = "*" if one.is_marked[i] else " "
            levels = (number(value) for value in (one.first[i], one.second[i]))
            table.add_row(
                one.sites[i], *levels, with_interval(one.mean[i], one.low[i], one.high[i]) + mark, p_value(one.p[i])
            )
        lines.append(table)
        lines += [Text(part) for part in _wrapped([f"* changed: {_told(one)}"])]
    for one in maps:
        if not any(one is other for other in shown):
            lines += [Text(part) for part in _wrapped([f"{name}, {one.name}: changed {_told(one)}"])]
    return Group(*lines)


def _told(one: MapChange) -> str:
    """How many sites changed, and how much the two maps have in common, beside halves of one model."""
    both, alone_first, alone_second = one.shared
    told = f"{int(one.is_marked.sum())} of {len(one.sites)} (5\u00a0% false, and 5\u00a0% of the gap)."
    if not np.isnan(one.rank_correlation):
        alike = "no less alike" if one.is_as_alike else "less alike"
        told += (
            f" Rank correlation {one.rank_correlation:.2f}; between halves of the items {_number(one.across)}, within the "
            f"first {_number(one.within[0])}, within the second {_number(one.within[1])}: {alike} than halves of one model."
        )
    if both + alone_first + alone_second:
        told += (
            f" Stand out in both {both}, in the first alone {alone_first}, in the second alone {alone_second} (as many "
            f"shared by chance: p {p_value(one.p_shared)})."
        )
    return told


def _course(course: Course) -> Group:
    names = [name for name in ("distractor_preference", "distractor_only", "true_only") if name in course.curves]
    names += [n for n in ("true_pull", "distractor_pull", "true_path", "distractor_path") if n in course.curves]
    heads = {
        "distractor_preference": "preference\nin conflict", "distractor_only": "accuracy\ndistr. only",
        "true_only": "accuracy\ntrue only", "true_pull": "T\nnats", "distractor_pull": "D\nnats",
        "true_path": "true path\nnats", "distractor_path": "distr. path\nnats",
    }  # fmt: skip
    table = plain_table("\nstep", *(heads[name] for name in names))
    rows = {name: course.means(name) for name in names}
    last = len(course.steps) - 1
    shown = np.unique(np.linspace(0, last, min(last + 1, STEPS)).round().astype(int))
    for place in shown:
        cells = [
            with_interval(*(float(end[place]) for end in rows[name]))
            if name == names[0]
            else number(float(rows[name][0][place]))
            for name in names
        ]
        table.add_row(f"{course.steps[place]:,}", *cells)
    n_seeds = len(course.seeds)
    title = f"{course.name} along training: {last + 1} steps, {n_seeds} seed{'s' * (n_seeds > 1)}"
    if len(shown) <= last:
        title += f" ({len(shown)} steps shown; all are in summary.json)"
    notes = [f"Steps left out, as not every seed has them: {', '.join(map(str, course.left_out))}."] * bool(
        course.left_out
    )
    if course.shape is not None:
        models = course.shape.models.label if course.shape.models else "not identified (fewer than 3 seeds)"
        notes.append(
            f"Preference over steps: these weights (level 1) {course.shape.label_level_1}; models like these (level 2) "
            f"{models}."
        )
    notes += [f"What moved first, {line}." for line in course.sentences()]
    return Group(Text(title, style="bold"), table, *(Text(line) for line in _wrapped(notes)))


def _has_ablation(found: ComparisonResult) -> bool:
    return any(one is not None and "ablation" in one.readings for one in found.examined)


def _short(condition: Condition | None) -> str:
    return "" if condition is None else "swapped" if condition is Condition.DISTRACTOR_SWAPPED else condition.value


def _number(value: float) -> str:
    return "–" if np.isnan(value) else number(value)


def _wrapped(lines: Sequence[str]) -> list[str]:
    return [part for line in lines for part in textwrap.wrap(line, WIDTH)]
