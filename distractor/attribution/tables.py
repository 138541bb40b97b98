"""Tables of attribution for the terminal: behaviour, the top sites of each reading, the strength of both tasks' sites."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Group
from rich.text import Text

from distractor.attribution.answer import ModelAnswer, answers, in_a_word
from distractor.attribution.attribute import divergence_of
from distractor.attribution.read_out import ReadOutOverSize, read_out_over_size
from distractor.attribution.size_trends import order_sentences
from distractor.numbers import number, p_value, with_interval
from distractor.probing.cells import UNSIGNED, cell_name, kind_of, labels, maps_of, mean_of, varying
from distractor.probing.overcome import ModelOvercome, how_overcome, over_sizes
from distractor.probing.probe_results import ProbeResults
from distractor.probing.readings import Reading
from distractor.probing.strengths import Strength
from distractor.runs.coverage import coverage_caution
from distractor.runs.precision import precision_caution
from distractor.runs.style import short_site
from distractor.runs.tables import FittedTable, plain_table
from distractor.runs.training_data import training_data_caution
from distractor.statistics.random_sets import ENOUGH

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

GREEK = "ωκρβ"  # quantities, which no sentence writes with a capital letter
TOP = 8  # the number of sites, heads or stages in a table
MAPS = 3  # the largest number of maps side by side
ALL_IN = "--json and the files in readings/ have them"
WHOLE_SHARES = "Shares are means over all items: a role that an item lacks counts 0, so a head's shares sum to 1."
READS = "reads"
IN_FILES = "All sites of each reading: summary.json (the largest), readings/ (all), and figures/."
SINKS = ("bos", "slot")  # roles that receive attention by default


def tables(results: ProbeResults, *, brief: bool = False) -> Iterator[Group | Text]:
    """Yields the answer for the largest model with its ranked sites, then behaviour, and one table per reading.

    `brief` has only sentences of the readings. `chance` is skipped unless it is the only probe.
    """
    models = how_overcome(results)
    yield Group(*_title(results), *(answer_table(results, one) for one in answers(results, models)[-1:]))
    yield behaviour_table(results)
    if results.strengths:
        yield strengths_table(results, results.strengths)
    if models:
        yield overcoming_table(results, models)
    if over := read_out_over_size(results):
        yield read_out_table(over)
    shown = [
        (probe, reading, cells)
        for probe, readings in results.readings.items()
        if probe != "chance" or len(results.readings) == 1
        for reading, cells in zip(readings, results.cells[probe], strict=True)
        if kind_of(reading.data) not in ("exchanges", "factors")
    ]
    if brief:
        yield _in_brief(results, shown)
    else:
        yield from (reading_table(results, *one) for one in shown)
    for (probe, model), why in results.refused.items():
        yield Text(f"{probe} was skipped for {model}: {why}")


def top(reading: Reading, cells: "Dataset", count: int = TOP) -> list[dict[str, str]]:
    """The labels of the cells with the largest absolute mean in any of the first maps, largest first."""
    maps = [one["mean"] for _, one in maps_of(cells)][:MAPS]
    size = np.max([np.abs(np.nan_to_num(one.values)) for one in maps], axis=0)
    if kind_of(reading.data) == "attention":
        size[..., [role in SINKS for role in labels(cells, "role")]] = 0
    dims = [str(d) for d in maps[0].dims]
    order = np.argsort(-size, axis=None, kind="stable")[:count]
    indices = zip(*np.unravel_index(order, size.shape), strict=True)
    return [{d: labels(cells, d)[i] for d, i in zip(dims, index, strict=True)} for index in indices]


def share_of_items(reading: Reading) -> "DataArray":
    """The share of items that have each cell; below 1 for a role that some prompts lack."""
    return reading.data.notnull().mean("item")


def divergence_sentence(results: ProbeResults, reading: Reading) -> str:
    """The stage at which the logit lens separates conflict from congruent, in words."""
    divergence, stages = divergence_of(results, reading), labels(reading.data, "stage")
    if divergence is None:
        return "No stage of divergence: it needs congruent prompts and at least two groups."
    difference = with_interval(*divergence.difference)
    if divergence.stage is None or divergence.low is None or divergence.high is None:
        return f"Conflict and congruent do not diverge: their gaps differ by {difference} nats at the end."
    stage, low, high = (stages[i] for i in (divergence.stage, divergence.low, divergence.high))
    return (
        f"Conflict and congruent diverge at {stage} [{low} to {high}]: from there on, their gaps differ by at least half of "
        f"the final {difference} nats."
    )


def _title(results: ProbeResults) -> Iterator[Text]:
    counts = f"{int(results.complete.sum())} items in {results.n_groups} groups"
    yield Text(f"{results.title}: {counts} (means with 95 % intervals over item groups, level 1)", style="bold")
    seen = training_data_caution(results.task, results.sources)
    cautions = (seen, coverage_caution(results), precision_caution([results]), results.mixture_caution)
    yield from (Text(sentence) for sentence in cautions if sentence)


def answer_table(results: ProbeResults, answer: ModelAnswer) -> Group:
    """How the largest model overcomes the distractor, and its sites with the largest effects."""
    if not answer.sites:
        return Group(Text(answer.sentence))
    table = FittedTable(
        ("site", "what it does", "nats", "p", READS), drop=(READS, "p"), wrapped=("what it does", READS),
        left=("what it does", READS), names=(), all_in="summary.json has them",
    )  # fmt: skip
    for one in answer.sites:
        reads = ", ".join(f"{role} {number(share)}" for role, share in one.reads) or "–"
        p = "–" if one.p is None else p_value(one.p)
        table.add_row("\n".join(map(short_site, one.sites)), one.does, with_interval(*one.effect), p, reads)
    return Group(
        Text(answer.sentence),
        Text(""),
        Text(f"Sites with the largest effects in {results.short(answer.model)}", style="bold"),
        table,
        Text(
            "nats: effect on the gap, on the half of the groups that did not choose sites. p: by sign flips over groups; of "
            "sites that silence others, against random sets. reads: attention from the answer slot in conflict, by role."
        ),
    )


def _in_brief(results: ProbeResults, shown: "Sequence[tuple[str, Reading, Dataset]]") -> Group:
    """What readings of the largest model say in a sentence, and their warnings."""
    sentences = []
    for probe, reading, _ in shown:
        if reading.source.name != results.sources[-1].name:
            continue
        where = f"{probe} in {results.short(reading.source.name)}"
        if kind_of(reading.data) == "lens":
            sentences.append(f"{where}: {divergence_sentence(results, reading)}")
        if screened := reading.data.attrs.get("screening"):
            sentences.append(f"{where}: {screened['sentence']}.")
        if warning := reading.data.attrs.get("warning"):
            sentences.append(f"Warning, {where}: {warning}")
    return Group(Text("Further readings", style="bold"), *map(Text, sentences), Text(IN_FILES))


def behaviour_table(results: ProbeResults) -> Group:
    """Preference in conflict, T and D of each model."""
    table = FittedTable(
        ("model", "parameters", "preference", "T\nnats", "D\nnats"), drop=("parameters", "preference"),
        all_in="--json has them",
    )  # fmt: skip
    for i, source in enumerate(results.sources):
        cells = ["–" if mean is None else with_interval(*mean) for mean in results.summary_means(i).values()]
        table.add_row(results.short(source.name), f"{source.n_params or 0:,}", *cells)
    legend = "preference: distractor preference in conflict; T, D: pull of the true task and of the distractor."
    return Group(Text("Behaviour", style="bold"), table, Text(legend))


def strengths_table(results: ProbeResults, strengths: Sequence[Strength]) -> Group:
    """The loss of T and of D in each model when its sites are knocked out, beside random sets."""
    table = FittedTable(
        ("model", "of", "sites", "loss\nnats", "random sets\nnats", "p"), drop=("sites",), left=("of", "sites"),
        all_in="--json has them",
    )  # fmt: skip
    few = False
    for strength in strengths:
        for task, pull in (("true", "T"), ("distractor", "D")):
            names, random, p = getattr(strength.chosen, task), strength.random_of(task), strength.p(task)
            sites = f"{short_site(names[0])}{f' +{len(names) - 1}' if names[1:] else ''}" if names else "–"
            null = f"{number(min(random))} to {number(max(random))}" if random else "–"
            few = few or (bool(names) and p is None)
            cells = with_interval(*strength.mean(task)) if names else "–", null, "–" if p is None else p_value(p)
            table.add_row(results.short(strength.source.name), pull, sites, *cells)
    title = "Loss of T or D when its sites are knocked out, beside random sets of as many other heads and MLPs"
    legend = "Sites are chosen on half of the groups and measured on the other half. p: share of sets with such a loss."
    too_few = [f"No p: there are too few other heads or MLPs for {ENOUGH} random sets."] * few
    order = order_sentences(results) if len(results.sizes) > 1 else []
    return Group(Text(title, style="bold"), table, *map(Text, (legend, *too_few, *order)))


def overcoming_table(results: ProbeResults, models: Sequence[ModelOvercome]) -> Group:
    """The answer for each size over seeds, or for each model; and the reason for the largest."""
    table = FittedTable(
        ("model", "alone\nnats", "ω", "κ", "overcome by"), drop=("alone\nnats", "κ", "ω"), left=("overcome by",),
        all_in="--json has them",
    )  # fmt: skip
    sizes = over_sizes(results, models)
    rows = [(one.size, one.found) for one in sizes] or [(results.short(one.source.name), one.found) for one in models]
    for name, found in rows:
        numbers = ("–" if mean is None else with_interval(*mean) for mean in (found.alone, found.omega, found.kappa))
        table.add_row(name, *numbers, in_a_word(found))
    level = "over seeds" if sizes else "these weights"
    title = f"How the distractor is overcome, {level} (sites chosen on half of the groups, measured on the other half)"
    legend = (
        "alone: what the distractor's cue alone does. ω: the share of it that its sites still write in conflict. "
        "κ: the share that still counts."
    )
    if any(found.cautions for _, found in rows):
        legend += " not yet: the distractor's answer still wins in conflict."
    of_size = [f"{one.size}, over seeds: {one.found.label}. {in_sentence(one.found.reason)}" for one in sizes[-1:]]
    notes = [f"Note: {caution}." for caution in models[-1].cautions]
    return Group(
        Text(title, style="bold"), table, *map(Text, (legend, *of_size, *explained(results, models[-1]), *notes))
    )


def explained(results: ProbeResults, model: ModelOvercome) -> Iterator[str]:
    """The answer for one model in sentences: its reason, its sites and their shares."""
    found, name = model.found, results.short(model.source.name)
    yield f"{name}: {found.label}. {in_sentence(found.reason)}"
    if model.sites:
        sites = ", ".join(f"{one.site} ({one.state}, ω {number(one.omega)}, {one.share:.0%})" for one in model.sites)
        yield f"Sites of the distractor's task alone in {name}, with their share of the effect: {sites}."
    if model.latent:
        yield in_sentence(model.latent.sentence)
    if model.shared:
        yield f"Sites that write for both tasks: {', '.join(model.shared)}."
    if model.sites or model.shared:
        shares = ", ".join(f"{share:.0%} {state}" for state, share in model.shares.items() if round(100 * share))
        congruent, beta = ("–" if one is None else with_interval(*one) for one in (found.omega_congruent, found.beta))
        yield f"Of the effect of all sites in distractor_only: {shares or '–'}."
        if any(round(100 * share) < 0 for share in model.shares.values()):
            yield "The shares add up to 100%; sites with a negative share work against the others."
        yield f"ω in congruent: {congruent}. D / alone: {beta}."


def read_out_table(over: ReadOutOverSize) -> Group:
    """The factors of the gap at each size, and whether the stream or the read-out makes the changes over size."""
    headings = {"gap": "gap\nnats", "cosine": "cosine", "largest": "largest gap\nnats", "stream": "norm of\nstream",
                "answers": "norm of\nanswers"}  # fmt: skip
    table = FittedTable(
        ("model", *headings.values()), drop=[headings[name] for name in ("stream", "answers", "gap", "largest")],
        all_in="--json has them",
    )  # fmt: skip
    for size in over.sizes:
        table.add_row(size.name, *(with_interval(*size.means[name]) for name in headings))
    title = "The gap in conflict = cosine × largest gap that the read-out can make, + biases"
    legend = (
        "cosine: of the residual stream and the read-out; its sign decides which answer wins. largest gap: norm of the "
        "normalised stream × norm of the difference of the two answers in the unembedding."
    )
    return Group(Text(title, style="bold"), table, *map(Text, (legend, *(change.sentence for change in over.changes))))


def in_sentence(text: str) -> str:
    """A clause as a sentence.

    >>> in_sentence("it counts"), in_sentence("ω = 0.53")
    ('It counts.', 'ω = 0.53.')
    """
    return f"{text}." if text[:1] in GREEK else f"{text[:1].upper()}{text[1:]}."


def reading_table(results: ProbeResults, probe: str, reading: Reading, cells: "Dataset") -> Group:
    """The largest cells of a reading, and what limits it."""
    attrs, kind = reading.data.attrs, kind_of(reading.data)
    title = Text(f"{probe} in {reading.source.name}: {attrs['quantity']} ({attrs['unit']})", style="bold")
    notes = []
    if kind == "lens":
        table = _lens(cells)
        notes.append(divergence_sentence(results, reading))
    elif kind == "decoding":
        table = _decoding(cells)
    else:
        table = _sites(reading, cells)
        if kind == "attention" and float(share_of_items(reading).min()) < 1:
            notes.append(WHOLE_SHARES)
        if "marked" in cells:
            count, size = int(cells["marked"].sum()), int(cells["mean"].count())
            notes.append(
                f"* marked: {count} of {size} (significant at 5 % false discoveries, and at least 5 % of the gap)"
            )
            if why := results.why_no_recovery(reading):
                notes.append(f"Shares and marks are not defined: {why}.")
    if screened := attrs.get("screening"):
        notes.append(f"{screened['sentence']}.")
    if warning := attrs.get("warning"):
        notes.append(f"Warning: {warning}")
    return Group(title, table, *map(Text, notes))


def _sites(reading: Reading, cells: "Dataset") -> FittedTable:
    """The top sites, with one column per map (and its recovery)."""
    sites, maps = top(reading, cells), list(maps_of(cells))
    dims = varying([outer for outer, _ in maps])
    columns: list[tuple[str, list[str]]] = []
    for outer, one in maps:
        cell_of = [one.sel(site) for site in sites]
        columns.append((", ".join(outer[d] for d in dims) or "mean", [_effect(cell) for cell in cell_of]))
        if "recovery" in cells and outer.get("direction") == "noising" and outer.get("estimate") not in UNSIGNED:
            columns.append(("as a share", [_recovery(cell) for cell in cell_of]))
    share = share_of_items(reading).sel(maps[0][0])
    shares = [float(share.sel(site)) for site in sites]
    is_attention = kind_of(reading.data) == "attention"
    names = [
        cell_name(site) + (f", {'in' if is_attention else 'of'} {has:.0%} of items" if has < 1 else "")
        for site, has in zip(sites, shares, strict=True)
    ]
    shown = columns[: 2 * MAPS]
    table = plain_table("site", *(heading for heading, _ in shown), all_in=ALL_IN)
    for row in zip(names, *(column for _, column in shown), strict=True):
        table.add_row(*row)
    return table


def _effect(cell: "Dataset") -> str:
    mark = "" if "marked" not in cell else "*" if cell["marked"] else " "
    return "–" if np.isnan(cell["mean"]) else with_interval(*mean_of(cell)) + mark


def _recovery(cell: "Dataset") -> str:
    share = [float(cell[name]) for name in ("recovery", "recovery_low", "recovery_high")]
    return "–" if np.isnan(share[0]) else with_interval(*share)


def _lens(cells: "Dataset") -> FittedTable:
    gap = cells.sel(quantity="logit_gap")
    shown = [c for c in ("conflict", "congruent", "distractor_swapped") if c in labels(gap, "condition")]
    table = plain_table("stage", *(f"gap\n{condition}" for condition in shown), all_in=ALL_IN)
    for stage in _spread(labels(gap, "stage")):
        row = (gap.sel(stage=stage, condition=condition) for condition in shown)
        table.add_row(stage, *(with_interval(*mean_of(cell)) for cell in row))
    return table


def _decoding(cells: "Dataset") -> FittedTable:
    """Each label at the stage with the best accuracy, with the controls at that stage."""
    controls, stages = labels(cells, "control"), labels(cells, "stage")
    table = plain_table("label", "best at", *(control.replace("_", " ") for control in controls), all_in=ALL_IN)
    for label in labels(cells, "label"):
        accuracy = cells["mean"].sel(label=label).mean("condition", skipna=False)
        best = int(accuracy.sel(control="model").argmax("stage"))
        table.add_row(label, stages[best], *map(number, accuracy.isel(stage=best).values))
    return table


def _spread(names: Sequence[str]) -> list[str]:
    """Choose a few names at even steps, including the last one."""
    chosen = np.unique(np.linspace(0, len(names) - 1, min(len(names), TOP + 1)).round().astype(int))
    return [names[i] for i in chosen]
