"""What the page of `distractor compare` says: what changed beyond noise, where, along training, and how it was judged."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from distractor.comparison.figures import changes_panel, levels_panel, panel_size
from distractor.comparison.measured_sites import measured_sites
from distractor.comparison.published_figure import own_accuracy
from distractor.comparison.result import PRIMARY, ComparisonResult, Pair
from distractor.comparison.tables import (
    behaviour_table,
    main_changes,
    maps_table,
    paths_table,
    switched_rows,
    training_table,
    transferred,
)
from distractor.numbers import number
from distractor.published.own_accuracy import page_blocks
from distractor.published.placement import QUANTITY
from distractor.published.tables import bibtex_keys
from distractor.runs.coverage import coverage_caution
from distractor.runs.page.blocks import Block, Figure, Page, Quotation, Section, Sentences, Table
from distractor.runs.page.drawing import drawing
from distractor.runs.page.evidence import evidence
from distractor.runs.page.printed import as_blocks
from distractor.runs.page.provenance import provenance
from distractor.runs.page.references import bibtex
from distractor.runs.precision import precision_caution
from distractor.runs.training_data import training_data_caution
from distractor.statistics.intervals import MIN_SEEDS

MOST_PAIRS = 5  # pairs in the first sentences, and with unfolded tables
SWITCHED = 20  # the largest number of switched items that are shown
CITED = {
    "ablation": ("chan2022",),
    "head_patching": ("wang2022", "heimersheim2024"),
    "activation_patching": ("wang2022", "heimersheim2024"),
    "attribution_patching": ("kramar2024",),
    "head_attribution_patching": ("kramar2024",),
}


def page(results: Sequence[ComparisonResult], figures: Sequence[str], manifest: Mapping[str, Any]) -> Page:
    """The page of a run, with the names of its `figures` and its `manifest`."""
    warnings = tuple(dict.fromkeys(_warnings(results)))
    sections: list[Section] = []
    for k, result in enumerate(results):
        where = f": {result.task.name}" if len(results) > 1 else ""
        contents: dict[str, tuple[str, Iterable[Block]]] = {
            "behaviour": ("Behaviour", _behaviour(result, str(k))),
            "sites": ("Sites", _sites(result)),
            "training": ("Along training", _training(result, str(k))),
        }
        sections += [
            Section(f"{name}-{k}" if where else name, f"{title}{where}", tuple(blocks))
            for name, (title, blocks) in contents.items()
        ]
    quotation = Quotation(" ".join(_method(results)), bibtex(*_references(results)))
    sections += [
        Section("warnings", "Warnings", (Sentences(warnings or ("None.",), is_list=bool(warnings)),)),
        Section("method", "Method, to quote", (quotation,)),
    ]
    shown = tuple(section for section in sections if section.blocks)
    source = provenance(manifest, _files(results, figures))
    return replace(head(results), warnings=len(warnings), sections=(*shown, *source))


def head(results: Sequence[ComparisonResult]) -> Page:
    """Title, what changed, and what it is evidence for."""
    first = results[0]
    of_items = [f"{int(one.complete.sum()):,} items of {one.task.name} in {one.n_groups:,} groups" for one in results]
    changes = [pair.rows[PRIMARY] for result in results for pair in result.pairs if PRIMARY in pair.rows]
    level = 2 if changes and all(change.seeds is not None for change in changes) else 1
    return Page(
        title=_title(results),
        about=f"distractor compare: {'; '.join(of_items)}, {len(first.sides)} sides",
        label=label(results),
        sentences=tuple(_lead(results)),
        evidence=evidence(first.sources, level),
    )


def _title(results: Sequence[ComparisonResult]) -> str:
    result = results[0]
    tasks = ", ".join(one.task.name for one in results)
    if len(result.pairs) == 1:
        return f"{tasks}: {_names(result, result.pairs[0])}"
    return f"{tasks}: {len(result.pairs)} pairs compared" if result.pairs else f"{tasks}: along training"


def _names(result: ComparisonResult, pair: Pair) -> str:
    return " → ".join(result.short(result.sides[side].name) for side in (pair.first, pair.second))


def label(results: Sequence[ComparisonResult]) -> str:
    """In a word whether preference changed, by the call of the primary row."""
    calls = [pair.rows[PRIMARY].call for result in results for pair in result.pairs]
    if len(set(calls)) == 1:
        return f"{'no change' if calls[0] == 'inside item noise' else 'changed'}: {calls[0]}"
    changed = sum(call != "inside item noise" for call in calls)
    return f"{changed} of {len(calls)} changes beyond item noise" if calls else "along training"


def _lead(results: Sequence[ComparisonResult]) -> Iterator[str]:
    """What changed: all conclusions about a single pair, else the first of each pair, the largest changes first."""
    pairs = [(result, pair) for result in results for pair in result.pairs]
    if len(pairs) == 1:
        yield from main_changes(*pairs[0])
    else:
        pairs.sort(key=lambda one: -abs(one[1].rows[PRIMARY].mean))
        for result, pair in pairs[:MOST_PAIRS]:
            task = f"{result.task.name}, " if len(results) > 1 else ""
            yield f"{task}{_names(result, pair)}: {main_changes(result, pair)[0]}"
        if len(pairs) > MOST_PAIRS:
            yield f"{len(pairs) - MOST_PAIRS} more pairs changed less."
    for result in results:
        for curves in result.training:
            shape = f"preference over steps, {curves.shape.in_words}" if curves.shape else f"{len(curves.steps)} steps"
            yield f"{curves.name} along training: {shape}."


def _behaviour(result: ComparisonResult, number_of: str) -> Iterator[Block]:
    if not result.pairs:
        return
    rows = [row for row in result.rows if row[0] == PRIMARY[0]]
    shows = ("Preference of each side under each condition.", "Change of preference of each pair under each condition.")
    drawings = (
        drawing(f"levels{number_of}", shows[0], partial(levels_panel, result=result, rows=rows), panel_size(result)),
        drawing(f"changes{number_of}", shows[1], partial(changes_panel, result=result, rows=rows), panel_size(result)),
    )
    yield Figure(
        "Preference for the distractor's answer under each condition, and its change",
        drawings,
        "Whiskers: 95 % over item groups. Filled: the change exceeds item noise, at 5 % over all differences of a pair. Grey "
        "bars: 19 of 20 random sign flips of groups.",
    )
    for pair in result.pairs:
        is_folded = len(result.pairs) > MOST_PAIRS
        yield from as_blocks(behaviour_table(result, pair), folded=is_folded)
        if len(result.pairs) > 1 and not is_folded:
            yield Sentences(tuple(main_changes(result, pair)), is_list=True)
        if pair.switched:
            yield _switched(result, pair)


def _switched(result: ComparisonResult, pair: Pair) -> Table:
    to_true = sum(item.second > 0 for item in pair.switched)
    rows = switched_rows(result, pair, SWITCHED)
    return Table(
        f"{_names(result, pair)}: {len(pair.switched):,} items switched answers in conflict, {to_true:,} to the true answer",
        ("item", "gap before\nnats", "gap after\nnats", "from", "to", "prompt in conflict"),
        [(one.item.id, number(one.first), number(one.second), one.before, one.after, one.prompt) for one in rows],
        numbers=frozenset({1, 2}),
        sentences=frozenset({5}),
        note=f"The {len(rows)} with the largest change of the gap; summary.json has all."
        if len(rows) < len(pair.switched)
        else "",
        folded=True,
    )


def _sites(result: ComparisonResult) -> Iterator[Block]:
    for pair in result.pairs:
        printed = [paths_table(result, pair)] if pair.paths else []
        printed += [maps_table(probe, maps) for probe, maps in pair.maps_by_probe.items()]
        blocks = [block for group in printed for block in as_blocks(group, folded=len(result.pairs) > MOST_PAIRS)]
        if measured := measured_sites(result, pair):
            blocks.append(Sentences(tuple(measured)))
        if sentences := transferred(result, pair):
            blocks.insert(bool(pair.paths), Sentences(tuple(sentences), is_list=True))
        yield from blocks if len(result.pairs) == 1 else (_of_pair(block, _names(result, pair)) for block in blocks)


def _of_pair(block: Block, names: str) -> Block:
    """A block that names its pair."""
    if isinstance(block, Table):
        return replace(block, caption=f"{names}: {block.caption}")
    if isinstance(block, Sentences):
        return replace(block, texts=tuple(f"{names}: {text}" for text in block.texts))
    return block


def _training(result: ComparisonResult, number_of: str) -> Iterator[Block]:
    for k, curves in enumerate(result.training):
        yield from as_blocks(training_table(curves))
        if result.published and QUANTITY in curves.curves:
            yield from page_blocks(own_accuracy(result, curves), f"{number_of}-{k}")


def _warnings(results: Sequence[ComparisonResult]) -> Iterator[str]:
    if sentence := precision_caution(results):
        yield sentence
    for result in results:
        if sentence := training_data_caution(result.task, result.sources):
            yield f"{result.task.name}: {sentence}"
        if sentence := coverage_caution(result):
            yield f"{result.task.name}: {sentence}"
        yield from result.task.cautions
        yield from (f"{probe} was skipped for {model}: {why}" for (probe, model), why in result.refused.items())


def _method(results: Sequence[ComparisonResult]) -> Iterator[str]:
    """A paragraph with the numbers of this run, which a paper can quote."""
    result = results[0]
    tasks = " and ".join(
        f"{int(one.complete.sum()):,} items of {one.task.name} ({one.n_groups:,} groups)" for one in results
    )
    seeds = [len(side.members) for side in result.sides]
    counts = (
        f"{min(seeds)} to {max(seeds)} seeds each"
        if min(seeds) < max(seeds)
        else f"{seeds[0]} seed{'s' * (seeds[0] > 1)} each"
    )
    yield f"We compared {len(seeds)} models ({counts}) on {tasks}, in {result.settings.dtype}."
    yield (
        "A difference is the mean over items of second minus first, with its 95 % interval over item groups. It exceeds item "
        "noise if its p-value by sign flips of groups, adjusted over all quantities and conditions by the largest t, is at "
        "most .05."
    )
    if max(seeds) >= MIN_SEEDS:
        yield "It exceeds seed noise if a t-test over seeds, adjusted by Holm, is at most .05."
    if len(results) > 1:
        yield "The p-value of preference in conflict is also adjusted over tasks (Holm)."
    if probes := _probes(results):
        yield (
            f"Effects of sites were measured by {' and '.join(probes)}. Sites of each task were chosen on half of the item "
            "groups and measured on the other half."
        )
    if measured := [text for one in results for pair in one.pairs for text in measured_sites(one, pair)[:2]]:
        yield from dict.fromkeys(measured)
    if any(pair.maps for one in results for pair in one.pairs):
        yield (
            "A site changed if its difference passes Benjamini and Hochberg's procedure at 5 % and reaches 5 % of the gap."
        )
    yield from _lead(results)


def _probes(results: Sequence[ComparisonResult]) -> list[str]:
    """The probes that were read, each once."""
    read = (of_model for one in results for of_model in one.probe_results if of_model is not None)
    return list(dict.fromkeys(name.partition("/")[0] for of_model in read for name in of_model.readings))


def _references(results: Sequence[ComparisonResult]) -> list[str]:
    probes = _probes(results)
    cited = [name for probe in probes for name in CITED.get(probe, ())]
    screened = ["kramar2024"] if any(one.screened for one in results) else []
    published = [key for one in results for key in bibtex_keys(one.published)]
    sites = [*screened, "benjamini1995", "transformerlens"] if probes else []
    return list(dict.fromkeys(("wei2022", *cited, *sites, *published, "distractor")))


def _files(results: Sequence[ComparisonResult], figures: Sequence[str]) -> dict[str, str]:
    return {
        "summary.json": "every difference with its interval and tests, and the sites of each map",
        **{f"figures/{name}.svg": _figure(name) for name in figures},
    }


def _figure(name: str) -> str:
    shown = {
        "behaviour": "behaviour of each side, and its changes",
        "sites": "effects of sites in both models",
        "paths": "the strength of both tasks' sites, and sites of one model in the other",
        "published": "accuracy in conflict along training with published accuracies",
        "training": "behaviour, pulls and paths along training",
    }
    return next((shows for kind, shows in shown.items() if f"-{kind}" in name), "figure")
