"""Tables of a comparison for the terminal: what changed, what did not, and which changes noise could explain."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from rich.console import Group
from rich.text import Text

from distractor.comparison.map_changes import MapChange
from distractor.comparison.measured_sites import measured_sites
from distractor.comparison.result import PRIMARY, ComparisonResult, Pair, Transfer
from distractor.comparison.steps import TrainingCurves
from distractor.numbers import number, p_value, shortened, with_interval
from distractor.published.tables import published_table
from distractor.runs.coverage import coverage_caution
from distractor.runs.precision import precision_caution
from distractor.runs.tables import WIDTH, FittedTable, plain_table
from distractor.runs.training_data import training_data_caution
from distractor.statistics.changes import Change
from distractor.text.task import Condition, Item

ITEMS = 6  # the number of switched items that are shown with their text, largest changes first
SITES = 6  # the number of sites shown of a map
MAPS = 3  # the number of maps of a probe that are shown with their sites; the others get one line each
LEAST = 0.005  # sites whose effects print as 0.00 in both models are left out
STEPS = 16  # the number of training steps shown

NAMES = {
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

NOTE = (
    "The last column names the noise that a difference exceeds: – none (5 % over all rows of this table); items: the choice "
    "of items; seeds: also the training seed; ?: seed noise is unknown (fewer than 3 seeds per side); (seeds): the sides are "
    "seeds of one model."
)

UNEDITED = " Its weights are the same in both models, so the change comes from another site."

MATCHES = {
    "name": "one run: sites match by name",
    "depth": "separate runs: sites match by function, layers by relative depth",
    "function": "separate runs: sites match only by function",
}

HEADINGS = {
    "distractor_preference": "preference\nin conflict",
    "distractor_only": "accuracy\ndistr. only",
    "true_only": "accuracy\ntrue only",
    "true_pull": "T\nnats",
    "distractor_pull": "D\nnats",
    "true_path": "true path\nnats",
    "distractor_path": "distr. path\nnats",
}


def tables(result: ComparisonResult) -> Iterator[Group | Text]:
    """Yields behaviour and sites of each pair, then curves along training, then what could not be read."""
    if sentence := training_data_caution(result.task, result.sources):
        yield Text(f"{result.task.name}: {sentence}")
    if sentence := coverage_caution(result):
        yield Text(f"{result.task.name}: {sentence}")
    if sentence := precision_caution([result]):
        yield Text(sentence)
    for pair in result.pairs:
        yield behaviour_table(result, pair)
        yield Group(*map(Text, verdict(result, pair)))
        if pair.switched:
            yield _switched(result, pair)
        if pair.paths:
            yield paths_table(result, pair)
        for probe, maps in pair.maps_by_probe.items():
            yield maps_table(probe, maps)
        if sentences := measured_sites(result, pair):
            yield Text(" ".join(sentences))
    for curves in result.training:
        yield training_table(curves)
    if result.references:
        yield published_table(result.references)
    for (probe, model), why in result.refused.items():
        yield Text(f"{probe} was skipped for {model}: {why}")


def verdict(result: ComparisonResult, pair: Pair) -> list[str]:
    """The conclusions about a pair, in sentences: behaviour, null check, sites, and sites of one model in the other."""
    return [*main_changes(result, pair), *transferred(result, pair)]


def main_changes(result: ComparisonResult, pair: Pair) -> list[str]:
    """How far preference changed, the null check, and the site that changed most."""
    first, second = (result.short(result.sides[side].name) for side in (pair.first, pair.second))
    change = pair.rows[PRIMARY]
    adjusted = "" if pair.p_over_tasks is None else f" (adjusted over tasks: p {p_value(pair.p_over_tasks)})"
    difference = with_interval(change.mean, change.low, change.high)
    lines = [f"Distractor preference in conflict changes by {difference}: {_call(change)}{adjusted}."]
    halves = [(first, result.halves[pair.first]), (second, result.halves[pair.second])]
    shares = [f"{share:.1%} of splits of {name}" for name, share in halves if share is not None]
    if shares:
        lines.append(
            f"Null check: two random halves of a side's items differ in {' and '.join(shares)}; 5 % is expected."
        )
    if pair.changed_most is not None:
        probe, one, i = pair.changed_most
        lines.append(
            f"The site that changed most is {one.sites[i]} ({probe}, {one.name}): by "
            f"{with_interval(one.mean[i], one.low[i], one.high[i])} nats, from {number(one.first[i])} to "
            f"{number(one.second[i])}." + (UNEDITED if pair.has_same_weights(one.sites[i]) else "")
        )
    elif pair.maps:
        lines.append(f"No site's effect differs between {first} and {second} beyond item noise.")
    return lines


def transferred(result: ComparisonResult, pair: Pair) -> list[str]:
    """What the sites of one model cost in the other, or why this was not measured."""
    lines = [_transfer(result, transfer) for transfer in pair.transfers]
    if pair.no_transfer:
        lines.append(f"No sites were knocked out in the other model: {pair.no_transfer}.")
    return lines


def _transfer(result: ComparisonResult, transfer: Transfer) -> str:
    sites = f"{len(transfer.sites)} site{'s' * (len(transfer.sites) != 1)} of {result.short(transfer.found_in)}"
    share = "" if transfer.share is None else f", {transfer.share:.0%} of the loss with its own sites"
    return (
        f"{NAMES[transfer.path].capitalize()}: knocking out the {sites} in {result.short(transfer.knocked_out_in)} costs "
        f"{with_interval(*transfer.foreign)} nats{share} ({with_interval(*transfer.own)}); "
        f"difference {'beyond' if transfer.change.is_beyond_items else 'inside'} item noise."
    )


def _call(change: Change) -> str:
    if change.seeds is None or not change.is_beyond_items:
        return change.call
    return f"{change.call} (over seeds {with_interval(change.mean, change.seeds.low, change.seeds.high)})"


def behaviour_table(result: ComparisonResult, pair: Pair) -> Group:
    """Each quantity on both sides, with the difference and the noise that it exceeds."""
    first, second = (result.sides[side] for side in (pair.first, pair.second))
    n_items = int(result.complete.sum())
    title = f"{result.task.name}: {first.name} → {second.name}, {n_items} items in {result.n_groups} groups"
    seeds = [len(side.members) for side in (first, second)]
    if max(seeds) > 1:
        title += f", {seeds[0]} and {seeds[1]} seeds"
    title += "; intervals: 95 % over item groups, level 1"
    table = FittedTable(
        ("quantity", "condition", "first", "second", "second − first", "p", "adjusted p", "beyond"),
        drop=("p", "adjusted p", "second", "first", "beyond"), left=("condition", "beyond"), wrapped=("condition", "beyond"),
        all_in="--json has them",
    )  # fmt: skip
    last = ""
    for (quantity, condition), change in pair.rows.items():
        levels = [number(result.level(side, (quantity, condition)).mean) for side in (pair.first, pair.second)]
        p_values = p_value(change.p), p_value(change.p_family)
        name = NAMES.get(quantity, quantity)
        cells = (*levels, with_interval(change.mean, change.low, change.high), *p_values, BEYOND[change.call])
        table.add_row(name if name != last else "", _condition(condition), *cells)
        last = name
    return Group(Text(title, style="bold"), table, Text(NOTE))


def _switched(result: ComparisonResult, pair: Pair) -> Group:
    to_true = sum(item.second > 0 for item in pair.switched)
    lines = [
        f"{len(pair.switched)} items switched answers in conflict: {to_true} to the true answer, "
        f"{len(pair.switched) - to_true} to the distractor's. Largest changes of the gap:"
    ]
    for one in switched_rows(result, pair, ITEMS):
        start = f"  {one.first:+.2f} → {one.second:+.2f}  {one.before} → {one.after}  "
        lines.append(start + shortened(one.prompt, WIDTH - len(start)))  # keeps the end, which contains the question
    return Group(*map(Text, lines))


class SwitchedRow(NamedTuple):
    """A switched item: its gap on both sides in nats, the answer before and after, and its prompt on one line."""

    item: Item
    first: float
    second: float
    before: str
    after: str
    prompt: str


def switched_rows(result: ComparisonResult, pair: Pair, most: int) -> list[SwitchedRow]:
    """The items that switched answers, the largest changes of the gap first; at most so many."""
    rows = []
    for switched in sorted(pair.switched, key=lambda item: -abs(item.second - item.first))[:most]:
        item = result.task.items[switched.item]
        answers = item.true.strip(), item.distractor.strip()
        after, before = answers if switched.second > 0 else answers[::-1]
        prompt = " ".join(item.prompts[Condition.CONFLICT].split())
        rows.append(SwitchedRow(item, switched.first, switched.second, before, after, prompt))
    return rows


def paths_table(result: ComparisonResult, pair: Pair) -> Group:
    """The strength of the sites of both tasks on both sides."""
    table = FittedTable(
        ("path", "first", "second", "second − first", "p", "beyond"), drop=("p", "second", "first", "beyond"),
        left=("beyond",), wrapped=("beyond",), all_in="--json has them",
    )  # fmt: skip
    for path, change in pair.paths.items():
        task = "true" if path == "true_path" else "distractor"
        levels = []
        for side in (pair.first, pair.second):
            strengths = [result.strengths[model] for model in result.sides[side].members]
            levels.append(number(float(np.mean([s.mean(task)[0] for s in strengths if s is not None]))))
        table.add_row(
            NAMES[path],
            *levels,
            with_interval(change.mean, change.low, change.high),
            p_value(change.p),
            BEYOND[change.call],
        )
    has_ablation = any(read is not None and "ablation" in read.readings for read in result.probe_results)
    how = "nats lost when their sites are knocked out" if has_ablation else "first-order effects of their heads, nats"
    match = f" ({MATCHES[pair.match]})" if pair.match else ""
    title = f"The two paths: {how}; sites chosen on half of the groups, measured on the other half{match}"
    depths = (
        Text(
            f"Rank correlation over relative depth, {condition}: {', '.join(f'{p} {r:.2f}' for p, r in parts.items())}"
        )
        for condition, parts in pair.depths.items()
    )
    return Group(Text(title, style="bold"), table, *depths)


def maps_table(probe: str, maps: Sequence[MapChange]) -> Group:
    """The sites that changed most in maps with changed sites; one line for each other map."""
    parts: list[Text | FittedTable] = []
    shown = [one for one in maps if one.is_marked.any()][:MAPS]
    for one in shown:
        parts.append(Text(f"{probe}, {one.name}: effects of {len(one.sites)} sites, nats", style="bold"))
        table = FittedTable(
            ("site", "first", "second", "second − first", "p"), drop=("p", "second", "first"), all_in="--json has them"
        )
        for i in one.order[:SITES]:
            if np.abs([one.first[i], one.second[i]]).max() < LEAST and not one.is_marked[i]:
                continue
            difference = with_interval(one.mean[i], one.low[i], one.high[i]) + (" ", "*")[int(one.is_marked[i])]
            levels = (number(value) for value in (one.first[i], one.second[i]))
            table.add_row(one.sites[i], *levels, difference, p_value(one.p[i]))
        parts += [table, Text(f"* changed: {_similarity(one)}")]
    parts += [Text(f"{probe}, {one.name}: changed: {_similarity(one)}") for one in maps if one not in shown]
    return Group(*parts)


def _similarity(one: MapChange) -> str:
    """How many sites changed, and how similar the two maps are, compared with item halves of one model."""
    both, only_first, only_second = one.shared
    text = f"{int(one.is_marked.sum())} of {len(one.sites)} sites (5\u00a0% false discoveries, at least 5\u00a0% of the gap)."
    if not np.isnan(one.rank_correlation):
        similar = "as similar as" if one.is_as_alike else "less similar than"
        text += (
            f" Rank correlation {one.rank_correlation:.2f}. Between item halves: {_number(one.across)} across the models, "
            f"{_number(one.within[0])} within the first, {_number(one.within[1])} within the second; {similar} halves of "
            "one model."
        )
    if both + only_first + only_second:
        text += (
            f" Marked sites: {both} in both, {only_first} only in the first, {only_second} only in the second "
            f"(overlap by chance: p {p_value(one.p_shared)})."
        )
    return text


def training_table(curves: TrainingCurves) -> Group:
    """Behaviour, pulls and paths at steps along training, and their order in time."""
    names = [name for name in HEADINGS if name in curves.curves]
    table = plain_table("step", *(HEADINGS[name] for name in names), all_in="--json has them")
    means = {name: curves.means(name) for name in names}
    last = len(curves.steps) - 1
    shown = np.unique(np.linspace(0, last, min(last + 1, STEPS)).round().astype(int))
    for i in shown:
        first, *others = names
        cells = [number(float(means[name][0][i])) for name in others]
        table.add_row(f"{curves.steps[i]:,}", with_interval(*(float(end[i]) for end in means[first])), *cells)
    n_seeds = len(curves.seeds)
    title = (
        f"{curves.name} along training: {last + 1} steps, {n_seeds} seed{'s' * (n_seeds > 1)}; {curves.interval_name}"
    )
    if len(shown) <= last:
        title += f" ({len(shown)} steps shown; all are in summary.json)"
    notes = []
    if curves.left_out:
        notes.append(f"Left out, because some seeds lack them: steps {', '.join(map(str, curves.left_out))}.")
    if curves.shape is not None:
        notes.append(f"Preference over steps, {curves.shape.in_words}.")
    notes += [f"Order in time, {sentence}." for sentence in curves.sentences()]
    return Group(Text(title, style="bold"), table, *map(Text, notes))


def _condition(condition: Condition | None) -> str:
    return "" if condition is None else "swapped" if condition is Condition.DISTRACTOR_SWAPPED else condition.value


def _number(value: float) -> str:
    return "–" if np.isnan(value) else number(value)
