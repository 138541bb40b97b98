"""Writes the run folder of `distractor ablate`: results.parquet, prompts, readings, figures and summary.json."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from distractor.ablation.ablate import AblationResult, composed_of, constant_answer, seed_modes
from distractor.ablation.bare import without_examples
from distractor.ablation.references import references
from distractor.names import file_name
from distractor.probing.cells import groups_of_items, labels, mean_of, means_over
from distractor.probing.readings import Reading, labelled
from distractor.runs.coverage import coverage_record
from distractor.runs.figure_set import MOST, FigureSet, choose
from distractor.runs.folder import RunFolder
from distractor.runs.precision import half_precision_caution, precision_caution, quantisation_caution
from distractor.runs.results_table import ModelValues, results_table
from distractor.runs.training_data import training_data_record
from distractor.scoring.behaviour import PER_CONDITION, PULLS
from distractor.statistics.intervals import MIN_SEEDS
from distractor.statistics.remember import remembered
from distractor.text.task import Answer, Condition

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.figure import Figure

    from distractor.runs.page.blocks import Page


FIGURES = ("curves", "published", "conditions", "distractor_alone", "components")
"""The figures of the main set, the headline figure first. `all` also draws `FURTHER`."""
FURTHER = ("by_difficulty",)


def write(
    folder: RunFolder, result: AblationResult, figures: FigureSet = FigureSet.MAIN, most: int = MOST
) -> dict[str, Any]:
    """Write all files of a run and return the summary; the main set of figures has at most `most`."""
    content = summary(result)
    folder.write_table("results", results(result))
    if any(scores.prompts for scores in result.scores):
        folder.write_table("prompts", prompts(result))
    for reading in result.knockouts:
        folder.write_reading(file_name("ablation", reading.source.name), reading.table)
    is_drawn = {"components": bool(content["knockouts"]), "published": bool(result.published)}
    main = [name for name in FIGURES if is_drawn.get(name, True)]
    choice = choose(figures, main, FURTHER, most)
    content["figures"] = folder.keep_figures(content, choice, partial(_draw, result, content))
    content["results_sha256"] = folder.hash_of("results")
    folder.keep_page(
        partial(_page, folder, result, content), content["figures"]["drawn_from"], result.task.fingerprint()
    )
    folder.write_summary(content)
    return content


def _draw(result: AblationResult, content: Mapping[str, Any], name: str) -> "Figure | None":
    from distractor.ablation import figures as plot
    from distractor.ablation.published_figure import published
    from distractor.runs import style

    figure: Figure | None
    if name == "components":
        figure = plot.components(result, content["knockouts"])
    elif name == "published":
        figure = published(result)
    else:
        figure = getattr(plot, name)(result)
    if figure is not None:
        style.extend_headline(figure, precision_caution([result]))
    return figure


def _page(folder: RunFolder, result: AblationResult, content: Mapping[str, Any]) -> "Page":
    from distractor.ablation.page import page

    return page(result, content, folder.manifest)


def prompts(result: AblationResult) -> "pa.Table":
    """Every prompt that a model received, one row each; empty for the bare prompt format."""
    import pyarrow as pa

    names = ("family", "model", "seed", "step", "condition", "item", "prompt")
    rows = [
        (source.family, source.model, source.seed, source.step, condition.value, item, text)
        for source, scores in zip(result.sources, result.scores, strict=True)
        for condition, sent in scores.prompts.items()
        for item, text in sent.items()
    ]
    schema = pa.schema([(name, pa.int64() if name in ("seed", "step") else pa.string()) for name in names])
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema)


def results(result: AblationResult) -> "pa.Table":
    """Every value of the complete items, one row each. The pulls have no condition (null)."""
    models = []
    for model, scores in enumerate(result.scores):
        rows: dict[tuple[Condition | None, str], np.ndarray] = {}
        for index, condition in enumerate(result.task.conditions):
            rows[condition, "log_prob_true"] = scores.log_probs[index, :, Answer.TRUE]
            rows[condition, "log_prob_distractor"] = scores.log_probs[index, :, Answer.DISTRACTOR]
            rows |= {(condition, name): result.item_values(model, name, condition) for name in PER_CONDITION}
        rows |= {(None, name): result.item_values(model, name) for name in PULLS}
        models.append(ModelValues(scores.source, scores.bos, rows))
    return results_table(result.task, result.complete, models)


def summary(result: AblationResult) -> dict[str, Any]:
    """The content of summary.json and `--json`: means with intervals, shapes, the verdict and the knock-outs."""
    task = result.task
    dropped = {c.value: n for c in task.conditions if (n := max(scores.dropped[c] for scores in result.scores))}
    composed = composed_of(result)
    unjudged = {"label": "undetermined", "because": [result.unjudged]}
    return {
        "task": task.name,
        "items": int(result.complete.sum()),
        "groups": result.n_groups,
        "weighting": list(result.weighting),
        "dropped": dropped,
        "left_out": {reason: list(names) for reason, names in task.left_out.items()},
        "caution": " ".join(task.cautions),
        "mixture": result.mixture or None,
        "low_coverage": coverage_record(result),
        "dtype": result.settings.dtype,
        "half_precision": half_precision_caution([result]),
        "quantised": quantisation_caution(result.sources),
        "training_data": training_data_record(task, result.sources),
        "format": task.format.as_dict(),
        "models": [_model(result, model) for model in range(len(result.scores))],
        "sizes": [_size(result, models) for models in result.sizes],
        "shape": {name: shape.as_dict() for name, shape in result.shapes.items()},
        "composed": composed.as_dict() if composed else None,
        "without_examples": bare.as_dict() if (bare := without_examples(result)) else None,
        "verdict": result.verdict.as_dict() if result.verdict else unjudged,
        "knockouts": [knockout(result, reading) for reading in result.knockouts],
        "no_knockout": result.no_knockout or None,
        "references": references(result).as_dict(),
    }


def knockout(result: AblationResult, reading: Reading) -> dict[str, Any]:
    """The mean change of the logit gap (nats) for each ablated component under both conditions, with its interval.

    In a model with many components, `screening` says which were ablated.
    """
    source = reading.source
    facts = reading.cell.facts
    effects = _effects(groups_of_items(result.task, dict(facts["dims"])["item"]), reading.values, facts)
    return {"model": source.name, "n_params": source.n_params, **reading.attributes, "effects": effects}


@remembered
def _effects(
    groups: Sequence[str], values: np.ndarray, facts: Mapping[str, Any]
) -> dict[str, dict[str, dict[str, float]]]:
    """The mean effect of each component that was ablated under each condition, with its interval."""
    data = labelled(values, facts)
    cells = means_over(groups, data.isel(component=data.notnull().any(("condition", "item"))))
    return {
        component: {
            c: mean_of(cells.sel(component=component, condition=c))._asdict() for c in labels(cells, "condition")
        }
        for component in labels(cells, "component")
    }


def _size(result: AblationResult, models: Sequence[int]) -> dict[str, Any]:
    """One size as in the printed table: means over seeds with the intervals of `level`, and the seeds' modes."""
    source, modes = result.scores[models[0]].source, seed_modes(result, models)
    keys = [*((name, Condition.CONFLICT) for name in PER_CONDITION), *((pull, None) for pull in PULLS)]
    means = result.means(models, keys)
    return {
        "model": source.model,
        "n_params": source.n_params,
        "seeds": len(models),
        "level": result.interval_level if len(models) >= MIN_SEEDS else 1,
        **{name: mean._asdict() if (mean := means[name, condition]) else None for name, condition in keys},
        "modes": modes.as_dict() if modes else None,
    }


def _model(result: AblationResult, model: int) -> dict[str, Any]:
    scores, conditions = result.scores[model], result.task.conditions
    source = scores.source
    content: dict[str, Any] = {
        "family": source.family, "model": source.model, "n_params": source.n_params, "seed": source.seed,
        "step": source.step, "tokens": source.tokens, "bos": scores.bos, "treatment": dict(scores.treatment),
    }  # fmt: skip
    means = result.means([model], [*((q, c) for q in PER_CONDITION for c in conditions), *((q, None) for q in PULLS)])
    for quantity in PER_CONDITION:
        content[quantity] = {c.value: mean._asdict() for c in conditions if (mean := means[quantity, c])}
    pulls = {quantity: means[quantity, None] for quantity in PULLS}
    held_out = result.held_out(source)
    if held_out.any():
        conflict = "distractor_preference", Condition.CONFLICT
        pulls["distractor_preference_held_out"] = result.mean([model], *conflict, held_out)
        pulls["distractor_preference_seen"] = result.mean([model], *conflict, ~held_out)
    content |= {name: mean._asdict() if mean else None for name, mean in pulls.items()}
    content["constant_answer"] = constant_answer(result, model)
    return content
