"""Writes an attribution to the folder of a run: readings, figures, page and summary."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from distractor.attribution.answer import answers, at_largest, label
from distractor.attribution.attribute import divergence_of
from distractor.attribution.overcome_over_size import over_size, readings_of
from distractor.attribution.ranked_sites import ranked_sites
from distractor.attribution.read_out import read_out_over_size
from distractor.attribution.size_trends import orders
from distractor.attribution.tables import divergence_sentence, top
from distractor.errors import ModelError
from distractor.models.heads import head_names
from distractor.models.source import Source
from distractor.names import file_name
from distractor.numbers import finite_or_none
from distractor.probing.cells import kind_of, labels
from distractor.probing.overcome import ModelOvercome, how_overcome, over_sizes
from distractor.probing.probe_results import ProbeResults
from distractor.probing.readings import Reading
from distractor.runs.coverage import coverage_record
from distractor.runs.figure_set import FigureSet, choose
from distractor.runs.folder import RunFolder
from distractor.runs.manifest import plain_settings, run_manifest
from distractor.runs.training_data import training_data_record
from distractor.scoring.behaviour import model_at_several_steps
from distractor.scoring.settings import Settings
from distractor.statistics.curve import peak
from distractor.text.task import Condition, Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from xarray import Dataset

    from distractor.probing.probe import Probe
    from distractor.runs.page.blocks import Page

DRAWN_MODELS = 3
"""The largest number of models that all get figures; of more, only the model at the peak of preference and the largest
do.
"""

FIGURES = 8
"""The most figures of the main set."""

FIRST = (
    "logit_lens", "head_patching", "head_patching/distractor_swapped", "attention",
    "ablation", "waterfall", "activation_patching", "activation_patching/distractor_swapped", "linear_probe",
    "direct_attribution_by_role",
)  # fmt: skip
"""The probes whose figures come first; all other probes follow."""


def manifest(
    task: Task,
    sources: Sequence[Source],
    settings: Settings,
    probes: "Mapping[str, Probe]",
    command: Sequence[str],
    *,
    item: str | None = None,
    heads: Sequence[str] = (),
) -> dict[str, Any]:
    """The settings of a run, its task and its models; known before anything is computed."""
    check_heads(heads, sources)
    settings_of = {name: plain_settings(probe) for name, probe in probes.items()}
    common = run_manifest(task, sources, settings, None, command)
    return {**common, "job": "attribute", "probe": settings_of, "item": item, "heads": list(heads)}


def write(
    folder: RunFolder,
    results: ProbeResults,
    figures: FigureSet = FigureSet.MAIN,
    *,
    item: str | None = None,
    heads: Sequence[str] = (),
    is_named: bool = False,
) -> dict[str, Any]:
    """Write readings, figures, page and summary, each file completely or not at all; returns the summary.

    `item` names an item that is drawn alone, and `heads` the heads (`L1H0`) whose attention is drawn. If the user named the
    probes (`is_named`), the main set also has figures of `chance` and of readings that failed their self-check.

    Raises:
        ModelError: a model lacks one of the heads.
        TaskError: the item was not read.
    """
    plans = plan_figures(results, item=item, heads=heads)
    for probe, readings in results.readings.items():
        for reading in readings:
            folder.write_reading(file_name(probe, reading.source.name), reading.table)
    content = summary(results)
    main = [name for name, plan in plans.items() if plan.is_sound or is_named]
    choice = choose(figures, main, [name for name in plans if name not in main], FIGURES)
    shown = results.task.fingerprint(), repr((item, list(heads)))
    content["figures"] = folder.keep_figures(content, choice, lambda name: plans[name].draw(), *shown)
    folder.keep_page(partial(_page, folder, results, content), content["figures"]["drawn_from"])
    folder.write_summary(content)
    return content


def _page(folder: RunFolder, results: ProbeResults, content: Mapping[str, Any]) -> "Page":
    from distractor.attribution.page import page

    return page(results, content, folder.manifest)


def plan_figures(
    results: ProbeResults, *, item: str | None = None, heads: Sequence[str] = ()
) -> "dict[str, FigurePlan]":
    """All figures before they are drawn, by file name, in the order in which the main set takes them.

    First what `item` and `heads` ask for, then curves over size, then the largest model, in the order of `FIRST`, then the
    others. Figures of `chance` and of a reading that failed its self-check come last.
    """
    plans = sorted(_plans(results, item, heads), key=lambda plan: (not plan.is_sound, plan.rank))
    return {plan.name: plan for plan in plans}


ASKED, OVER_SIZE, OF_MODEL = range(3)
"""Kinds of figures, in their order."""


class FigurePlan(NamedTuple):
    """A figure before it is drawn: its kind, the place of its model and of its probe, and whether it is no control and no
    failed estimate.
    """

    name: str
    rank: tuple[int, int, int]
    is_sound: bool
    draw: "Callable[[], Figure]"


def _plans(results: ProbeResults, item: str | None, heads: Sequence[str]) -> Iterator[FigurePlan]:
    from distractor.attribution import figures as draw

    drawn_kinds = ("lens", "components", "positions", "sources", "decoding")  # each has a function of this name
    models = drawn_models(results)
    is_one_step = model_at_several_steps(results.sources) is None
    is_over_size = is_one_step and len({source.n_params for source in results.sources}) > 1
    if results.strengths and len(results.strengths) == len(results.scores) and is_over_size:
        yield FigurePlan("across", (OVER_SIZE, 0, 0), True, partial(draw.across, results))
    if is_over_size and len({reading.source.n_params for reading in readings_of(results)}) > 1:
        yield FigurePlan("overcoming_over_size", (OVER_SIZE, 0, 1), True, partial(_overcoming_over_size, results))
    for probe, readings in results.readings.items():
        for reading, cells in zip(readings, results.cells[probe], strict=True):
            model, kind = reading.source.name, kind_of(reading.data)
            if model not in models:
                continue
            # The warning of a reading with several replacement values is about these, not about a failed self-check.
            has_failed = bool(reading.attributes.get("warning")) and "replacements" not in reading.attributes
            is_sound = probe != "chance" and not has_failed
            which = len(models) - models.index(model)
            rank = OF_MODEL, which, _place(probe)
            if kind in drawn_kinds:
                figure = partial(getattr(draw, kind), results, reading, cells)
                yield FigurePlan(file_name(probe, model), rank, is_sound, figure)
            if kind == "attention" and "token" in reading.data.coords:
                known = [name.removesuffix(".pattern") for name in labels(reading.data, "component")]
                _check_heads_of(model, heads, known)
                shown = heads or heads_of_interest(results, reading, draw.HEADS)
                figure = partial(draw.attention, results, reading, cells, shown)
                asked = (ASKED, which, 0) if heads else rank
                yield FigurePlan(file_name(probe, model), asked, is_sound, figure)
            if probe == "direct_attribution":
                figure = partial(draw.waterfall, results, reading, cells)
                of_waterfall = OF_MODEL, which, _place("waterfall")
                yield FigurePlan(file_name("waterfall", model), of_waterfall, is_sound, figure)
                if item is not None:
                    figure = partial(draw.waterfall, results, reading, cells, item)
                    yield FigurePlan(file_name("waterfall_of_one_item", model), (ASKED, which, 0), is_sound, figure)


def _place(probe: str) -> int:
    return FIRST.index(probe) if probe in FIRST else len(FIRST)


def _overcoming_over_size(results: ProbeResults) -> "Figure":
    from distractor.attribution.overcoming_figure import overcoming_over_size

    return overcoming_over_size(results.title, over_size(results, how_overcome(results)))


def drawn_models(results: ProbeResults) -> list[str]:
    """The names of the models with figures."""
    names = [source.name for source in results.sources]
    if len(names) <= DRAWN_MODELS:
        return names
    means = [results.behaviour(i, "distractor_preference", Condition.CONFLICT) for i in range(len(names))]
    at_peak = names[peak(np.array([mean.mean if mean else 0.0 for mean in means]))]
    return list(dict.fromkeys([at_peak, names[-1]]))


def heads_of_interest(results: ProbeResults, attention: Reading, count: int) -> list[str]:
    """The heads (`L0H1`) of a model to look at: of its ranked sites, then the top heads by ablation, else by direct
    attribution, else by attention.
    """
    model = attention.source.name
    overcome = next((one for one in how_overcome(results) if one.source.name == model), None)
    ranked = [name for one in ranked_sites(results, model, overcome) for name in one.sites if name.endswith(".z")]
    first = [name.removesuffix(".z") for name in ranked]
    return list(dict.fromkeys([*first, *_top_heads(results, attention, count)]))[:count]


def _top_heads(results: ProbeResults, attention: Reading, count: int) -> list[str]:
    for probe in ("ablation", "direct_attribution"):
        for reading, cells in zip(results.readings.get(probe, ()), results.cells.get(probe, ()), strict=True):
            if reading.source.name == attention.source.name:
                size = abs(cells["mean"]).max([d for d in cells.dims if d != "component"]).values
                ranked = [labels(cells, "component")[i] for i in np.argsort(-size, kind="stable")]
                return [name.removesuffix(".z") for name in ranked if name.endswith(".z")][:count]
    cells = results.cells["attention"][results.readings["attention"].index(attention)]
    ranked = [names["component"].removesuffix(".pattern") for names in top(attention, cells, 10 * count)]
    return list(dict.fromkeys(ranked))[:count]


def check_heads(heads: Sequence[str], sources: Sequence[Source]) -> None:
    """Checks by the models' config.json that heads exist, before any model is loaded.

    With more than `DRAWN_MODELS` models, the drawn ones are not yet known, so a head passes if any model has it.
    """
    known = {source.name: head_names(source) for source in sources} if heads else {}
    for head in heads:
        lacking = [name for name, names in known.items() if names and head not in names]
        if lacking and (len(sources) <= DRAWN_MODELS or len(lacking) == len(known)):
            _check_heads_of(lacking[0], [head], known[lacking[0]])


def _check_heads_of(model: str, heads: Sequence[str], known: Sequence[str]) -> None:
    for head in heads:
        if head not in known:
            raise ModelError(f"{model} has no head {head}; it has {known[0]} to {known[-1]}")


def summary(results: ProbeResults) -> dict[str, Any]:
    """The content of summary.json and of `--json`: the answers, behaviour, and top sites or curves of each reading."""
    models = how_overcome(results)
    found, largest = answers(results, models), at_largest(results, over_sizes(results, models))
    return {
        "label": label(largest, found),
        "task": results.task.name,
        "items": int(results.complete.sum()),
        "groups": results.n_groups,
        "low_coverage": coverage_record(results),
        "training_data": training_data_record(results.task, results.sources),
        "models": [
            {
                "model": source.name,
                **{name: getattr(source, name) for name in ("family", "n_params", "seed", "step")},
                **{quantity: mean and mean._asdict() for (quantity, _), mean in results.summary_means(i).items()},
            }
            for i, source in enumerate(results.sources)
        ],
        "readings": {
            probe: [_reading(results, *pair) for pair in zip(readings, results.cells[probe], strict=True)]
            for probe, readings in results.readings.items()
        },
        "strengths": [
            {"model": each.source.name, "n_params": each.source.n_params, **each.as_dict()}
            for each in results.strengths
        ],
        "overcoming": _overcoming(results, models),
        "answers": [answer.as_dict() for answer in found],
        "read_out": (over := read_out_over_size(results)) and over.as_dict(),
        "mixture": results.mixture or None,
        "first": {
            what: {name: order.as_dict() for name, order in orders(results, of_sites=what == "sites").items()}
            for what in ("sites", "behaviour")
        },
        "refused": [{"probe": p, "model": m, "because": why} for (p, m), why in results.refused.items()],
    }


def _overcoming(results: ProbeResults, models: Sequence[ModelOvercome]) -> dict[str, Any]:
    return {
        "models": [model.as_dict() for model in models],
        "sizes": [{"size": one.size, **one.found.as_dict()} for one in over_sizes(results, models)],
        "over_size": [one.as_dict() for one in over_size(results, models)],
    }


def _reading(results: ProbeResults, reading: Reading, cells: "Dataset") -> dict[str, Any]:
    kind = kind_of(reading.data)
    entry: dict[str, Any] = {"model": reading.source.name, "n_params": reading.source.n_params, **reading.data.attrs}
    if kind == "lens":
        divergence, stages = divergence_of(results, reading), labels(reading.data, "stage")
        indices = {end: getattr(divergence, end, None) for end in ("stage", "low", "high")}
        entry["divergence"] = {
            "sentence": divergence_sentence(results, reading),
            **{end: None if i is None else stages[i] for end, i in indices.items()},
        }
    if kind in ("lens", "decoding"):
        entry["curves"] = list(_rows(cells))
        return entry
    if kind in ("exchanges", "factors"):
        return entry
    if "pair_gap" in reading.data.coords:
        entry["no_recovery"] = results.why_no_recovery(reading)
    entry["marked"] = int(cells["marked"].sum()) if "marked" in cells else None
    entry["top"] = [row for names in top(reading, cells) for row in _rows(cells.sel(names), names)]
    return entry


def _rows(cells: "Dataset", names: Mapping[str, str] | None = None) -> Iterator[dict[str, Any]]:
    """Each cell with its labels and numbers; cells without a mean are left out."""
    dims = [str(d) for d in cells["mean"].dims]
    columns = {name: table.values.ravel() for name, table in cells.items()}
    for i, cell_labels in enumerate(product(*(labels(cells, d) for d in dims))):
        cell = {name: column[i].item() for name, column in columns.items()}
        if np.isnan(cell["mean"]):
            continue
        row: dict[str, Any] = {**(names or {}), **dict(zip(dims, cell_labels, strict=True))}
        row |= {name: finite_or_none(cell[name]) for name in ("mean", "low", "high", "p") if name in cell}
        if "marked" in cell:
            row["marked"] = cell["marked"]
        if "recovery" in cell:
            share = {"mean": cell["recovery"], "low": cell["recovery_low"], "high": cell["recovery_high"]}
            row["recovery"] = None if np.isnan(share["mean"]) else share
        yield row
