"""What the page of `distractor attribute` says: the answer, how it changes over size, the sites behind it, and readings."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from distractor.attribution.answer import ModelAnswer, answers, at_largest, in_a_word, label
from distractor.attribution.method import method, references
from distractor.attribution.overcome_over_size import SHARES, over_size
from distractor.attribution.overcoming_figure import forces_panel, goes_on, shares_panel
from distractor.attribution.ranked_figure import ranked_chart, size_of
from distractor.attribution.read_out import read_out_over_size
from distractor.attribution.tables import (
    answer_table,
    behaviour_table,
    divergence_sentence,
    explained,
    in_sentence,
    read_out_table,
    reading_table,
    strengths_table,
)
from distractor.names import file_name
from distractor.numbers import with_interval
from distractor.probing.cells import kind_of
from distractor.probing.overcome import ModelOvercome, SizeOvercome, how_overcome, over_sizes
from distractor.probing.probe_results import ProbeResults
from distractor.runs.coverage import coverage_caution
from distractor.runs.page.blocks import Block, Figure, Page, Quotation, Section, Sentences, Table
from distractor.runs.page.drawing import drawing
from distractor.runs.page.evidence import evidence
from distractor.runs.page.items import shown_items
from distractor.runs.page.printed import as_blocks
from distractor.runs.page.provenance import provenance
from distractor.runs.page.references import bibtex
from distractor.runs.precision import precision_caution
from distractor.runs.style import short_site
from distractor.runs.training_data import training_data_caution
from distractor.statistics.overcoming import Overcome
from distractor.text.format import Format

FIGURES = {
    "across": "the strength of each task's sites over size",
    "overcoming_over_size": "how the distractor is overcome over size, with the answer for each size",
}
WIDE = 60  # characters of the numbers in a row; above it, intervals are set below their means


@dataclass(frozen=True, eq=False)
class Found:
    """The results, and what follows from them for each model and each size; computed once."""

    results: ProbeResults

    @cached_property
    def models(self) -> list[ModelOvercome]:
        """How each model with a reading of `overcoming` overcomes the distractor."""
        return how_overcome(self.results)

    @cached_property
    def sizes(self) -> list[SizeOvercome]:
        """The same for each size with three seeds or more."""
        return over_sizes(self.results, self.models)

    @cached_property
    def answers(self) -> list[ModelAnswer]:
        """The answer for each model that has one, the largest last."""
        return answers(self.results, self.models)

    @property
    def answer(self) -> ModelAnswer | None:
        """The answer for the largest model that has one."""
        return self.answers[-1] if self.answers else None

    @cached_property
    def at_largest(self) -> SizeOvercome | None:
        """The answer over seeds, if it is of the largest size."""
        return at_largest(self.results, self.sizes)


def page(results: ProbeResults, summary: Mapping[str, Any], manifest: Mapping[str, Any]) -> Page:
    """The page of a run, with its `summary` and its `manifest`."""
    found = Found(results)
    warnings = tuple(dict.fromkeys(_warnings(found)))
    quotation = Quotation(method(results, _sentences(found)), bibtex(*references(results)))
    contents: dict[str, tuple[str, Iterable[Block]]] = {
        "overcome": ("How the distractor is overcome", _overcome(found)),
        "sites": ("The sites with the largest effects", _sites(found)),
        "paths": ("The sites of both tasks beside random sets", _strengths(results)),
        "readings": ("Further readings", _readings(results)),
        "examples": ("Three items under every condition", shown_items(results)),
        "warnings": ("Warnings", (Sentences(warnings or ("None.",), is_list=bool(warnings)),)),
        "method": ("Method, to quote", (quotation,)),
    }
    sections = (Section(name, title, tuple(blocks)) for name, (title, blocks) in contents.items())
    source = provenance(manifest, _files(results, summary["figures"]["names"]))
    return replace(_head(found), warnings=len(warnings), sections=(*(one for one in sections if one.blocks), *source))


def head(results: ProbeResults) -> Page:
    """Title, answer and what it is evidence for."""
    return _head(Found(results))


def _head(found: Found) -> Page:
    results, count = found.results, len(found.results.sources)
    return Page(
        title=_title(results),
        about=(
            f"distractor attribute: {int(results.complete.sum()):,} items in {results.n_groups:,} groups, "
            f"{count} model{'s' * (count != 1)}"
        ),
        label=label(found.at_largest, found.answers),
        sentences=_sentences(found),
        evidence=evidence(results.sources, 2 if found.at_largest else 1),
    )


def _title(results: ProbeResults) -> str:
    form = f", {results.task.format.label}" if results.task.format != Format() else ""
    is_alone = len(results.sources) == 1
    where = f"{results.task.name} in {results.sources[0].name}" if is_alone else results.title
    return f"How the distractor is overcome: {where}{form}"


def _sentences(found: Found) -> tuple[str, ...]:
    """The answer for the largest size and the largest model, and the model's behaviour."""
    results = found.results
    sentences = []
    if one := found.at_largest:
        sentences.append(f"{one.size}, over seeds: {in_a_word(one.found)}. {in_sentence(one.found.reason)}")
    if found.answer:
        is_the_same = found.at_largest and in_a_word(found.at_largest.found) == found.answer.label
        does = f"In {results.short(found.answer.model)}, {found.answer.does}" if found.answer.does else ""
        sentences.append(does if is_the_same else found.answer.sentence)
    elif not found.at_largest:
        sentences.append(
            "The sites of the answer were not measured; this needs the probes overcoming and head_patching."
        )
    means = [mean and with_interval(*mean) for mean in results.summary_means(len(results.sources) - 1).values()]
    name = results.short(results.sources[-1].name)
    pulls = f"; T = {means[1]} and D = {means[2]} nats" if all(means[1:]) else ""
    if means[0]:
        sentences.append(f"In {name}, preference for the distractor's answer in conflict is {means[0]}{pulls}.")
    return tuple(filter(None, sentences))


def _overcome(found: Found) -> Iterator[Block]:
    results = found.results
    points = over_size(results, found.models)
    if len({point.n_params for point in points}) > 1:
        whiskers = (
            "seeds and item groups; dots: single seeds" if any(point.seeds for point in points) else "item groups"
        )
        forces = drawing(
            "forces", "T, D and the gap in distractor_only over size.", partial(forces_panel, points=points)
        )
        shares = drawing("shares", "The shares ω, κ and ρ over size.", partial(shares_panel, points=points))
        has_shares = any(one.of(share) for point in points for one in (point, *point.seeds) for share in SHARES)
        of_shares = (
            " ω: what sites of the distractor's task alone write in conflict, as a share of what they write in "
            "distractor_only. κ: the same of what counts. ρ: the same of what sites of both tasks write. Grey: the whole "
            "interval must be inside one of these bounds." + " Triangles: the interval goes on." * goes_on(points)
        )
        yield Figure(
            "The forces over model size" + ", and what is left of the distractor's effect in conflict" * has_shares,
            (forces, shares) if has_shares else (forces,),
            f"Whiskers: 95 % over {whiskers}. Below 0 in distractor_only: the distractor's answer wins."
            + of_shares * has_shares,
        )
    if found.models:
        sizes = [(one.size, one.found) for one in found.sizes]
        models = [(results.short(one.source.name), one.found) for one in found.models]
        yield _overcome_table("Each size, over seeds" if sizes else "Each model", sizes or models)
        yield Sentences(tuple(explained(results, found.models[-1])), is_list=True)
        if sizes:
            yield _overcome_table(f"Each of the {len(models)} models", models, folded=True)
    yield from as_blocks(behaviour_table(results), folded=True)


def _overcome_table(caption: str, rows: Sequence[tuple[str, Overcome]], *, folded: bool = False) -> Table:
    means = [(found.alone, found.omega, found.kappa, found.rho, found.beta) for _, found in rows]
    numbers = [["–" if mean is None else with_interval(*mean) for mean in row] for row in means]
    if sum(max(map(len, column)) for column in zip(*numbers, strict=True)) > WIDE:
        numbers = [[text.replace(" [", "\n[") for text in row] for row in numbers]
    cells = [
        (name, in_a_word(found), *row, in_sentence(found.reason))
        for (name, found), row in zip(rows, numbers, strict=True)
    ]
    not_yet = " Not yet: the distractor's answer still wins in conflict." * any(found.cautions for _, found in rows)
    return Table(
        caption,
        ("model", "overcome by", "alone\nnats", "ω", "κ", "ρ", "β", "why"),
        cells,
        numbers=frozenset(range(2, 7)),
        sentences=frozenset({7}),
        note="alone: what the distractor's cue alone does. ω: the share of it that the sites of the distractor's task alone "
        "still write in conflict; κ: the share that still counts; ρ: the share that sites of both tasks still write; β: D as "
        "a share of alone. Sites are chosen on half of the groups and measured on the other half." + not_yet,
        folded=folded,
    )


def _sites(found: Found) -> Iterator[Block]:
    if found.answer is None or not found.answer.sites:
        return
    sites, name = found.answer.sites, found.results.short(found.answer.model)
    shows = "; ".join(f"{', '.join(map(short_site, one.sites))} {one.does}" for one in sites)
    chart = drawing(
        "ranked", f"Effects in nats, the largest first: {shows}.", partial(ranked_chart, sites=sites), size_of(sites)
    )
    yield Figure(
        f"The effect of each site of {name}",
        (chart,),
        "The sign of an effect is towards what the site serves. Bars: 95 % over item groups that did not choose sites.",
    )
    yield from (block for block in as_blocks(answer_table(found.results, found.answer)) if isinstance(block, Table))


def _strengths(results: ProbeResults) -> Iterator[Block]:
    largest = {results.sources[model].name for model in results.sizes[-1]}
    shown = [one for one in results.strengths if one.source.name in largest]
    if shown:
        yield from as_blocks(strengths_table(results, shown))
    if len(shown) < len(results.strengths):
        for block in as_blocks(strengths_table(results, results.strengths), folded=True):
            assert isinstance(block, Table)
            yield replace(block, caption=f"The same in all {len(results.strengths)} models")


def _readings(results: ProbeResults) -> Iterator[Block]:
    """What the lens says in a sentence, the read-out over size, and the top cells of each reading of the largest model."""
    of_largest = [
        (probe, reading, cells)
        for probe, readings in results.readings.items()
        for reading, cells in zip(readings, results.cells[probe], strict=True)
        if reading.source.name == results.sources[-1].name and kind_of(reading.data) not in ("exchanges", "factors")
    ]
    yield from (
        Sentences((f"{probe} in {results.short(reading.source.name)}: {divergence_sentence(results, reading)}",))
        for probe, reading, _ in of_largest
        if kind_of(reading.data) == "lens"
    )
    if over := read_out_over_size(results):
        yield from as_blocks(read_out_table(over))
    for one in of_largest:
        yield from as_blocks(reading_table(results, *one), folded=True)


def _warnings(found: Found) -> Iterator[str]:
    results = found.results
    cautions = (
        training_data_caution(results.task, results.sources),
        coverage_caution(results),
        precision_caution([results]),
        results.mixture_caution,
        *results.task.cautions,
    )
    yield from filter(None, cautions)
    for model in found.models[-1:]:
        yield from (f"{results.short(model.source.name)}: {in_sentence(caution)}" for caution in model.cautions)
    for probe, readings in results.readings.items():
        warned = [reading for reading in readings if reading.data.attrs.get("warning")]
        if warned:
            last = warned[-1]
            more = f" Warnings of {len(warned) - 1} more models: summary.json." if len(warned) > 1 else ""
            where = f"{probe} in {results.short(last.source.name)}"
            yield f"{where}: {last.data.attrs['warning']}.{more}"
        for reading in readings[-1:]:
            screened = reading.data.attrs.get("screening")
            if screened and kind_of(reading.data) != "exchanges":  # its sentence is among the cautions
                yield f"{probe} in {results.short(reading.source.name)}: {screened['sentence']}."
    yield from (f"{probe} was skipped for {model}: {why}" for (probe, model), why in results.refused.items())


def _files(results: ProbeResults, figures: Sequence[str]) -> dict[str, str]:
    """The files of the run: of readings, those of the largest model."""
    largest = results.sources[-1].name
    shown = {
        file_name(probe, reading.source.name): f"{probe} in {results.short(reading.source.name)}"
        for probe, readings in results.readings.items()
        for reading in readings
    }
    of_largest = [file_name(probe, largest) for probe in results.readings]
    return {
        "summary.json": "answers, behaviour, and the top sites or curves of each reading",
        **{f"figures/{name}.svg": FIGURES.get(name) or shown.get(name, "figure") for name in figures},
        **{f"readings/{name}.parquet": f"every item of {shown[name]}" for name in of_largest if name in shown},
    }
