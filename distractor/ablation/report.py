"""What was found, as it is kept and passed on: the folder of a run."""

from typing import TYPE_CHECKING, Any

import numpy as np

from distractor.ablation.ablate import AblationResult, composed_of, constant_answer
from distractor.probing.readings import Reading
from distractor.runs.folder import RunFolder, file_name
from distractor.runs.results_table import ModelValues, results_table
from distractor.scoring.behaviour import PER_CONDITION, PULLS
from distractor.statistics.groups import mean_intervals
from distractor.text.task import Answer, Condition

if TYPE_CHECKING:
    import pyarrow as pa


def write(folder: RunFolder, found: AblationResult) -> dict[str, Any]:
    """Write table, figures and summary of a run, each whole or not at all; gives the summary.

    Figures that were drawn of the same numbers by the same code are left as they are: drawing takes seconds.
    """
    told = summary(found)
    folder.write_table("results", results(found))
    if any(scores.prompts for scores in found.scores):
        folder.write_table("prompts", prompts(found))
    for reading in found.knockouts:
        folder.write_reading(file_name("ablation", reading.source.name), reading.table)
    drawn_from = folder.figures_hash(told)
    names = folder.drawn_figures(drawn_from)
    if names is None:
        from distractor.ablation import figures as plot

        figures = {"curves": plot.curves(found)}
        for draw in (plot.distractor_alone, plot.pulls, plot.by_difficulty):
            if figure := draw(found):
                figures[draw.__name__] = figure
        if told["knockouts"]:
            figures["components"] = plot.components(told["knockouts"])
        folder.write_figures(figures)
        names = list(figures)
    told["figures"] = {"names": names, "drawn_from": drawn_from}
    folder.write_summary(told)
    return told


def prompts(found: AblationResult) -> "pa.Table":
    """Every prompt as it was sent to each model, one row each, where the format is another than the bare prompt."""
    import pyarrow as pa

    rows = [
        (one.source.family, one.source.model, one.source.seed, one.source.step, condition.value, item, prompt)
        for one in found.scores
        for condition, sent in one.prompts.items()
        for item, prompt in sent.items()
    ]
    types = {"seed": pa.int64(), "step": pa.int64()}
    names = ("family", "model", "seed", "step", "condition", "item", "prompt")
    columns = zip(names, zip(*rows, strict=True), strict=True)
    return pa.table({name: pa.array(column, type=types.get(name, pa.string())) for name, column in columns})


def results(found: AblationResult) -> "pa.Table":
    """Every per-item value of the complete items, one row each. The pulls have no condition (null)."""
    models = []
    for scores, values in zip(found.scores, found.values, strict=True):
        rows: dict[tuple[Condition | None, str], np.ndarray] = {}
        for c, condition in enumerate(found.task.conditions):
            rows[condition, "log_prob_true"] = scores.log_probs[c, :, Answer.TRUE]
            rows[condition, "log_prob_distractor"] = scores.log_probs[c, :, Answer.DISTRACTOR]
            rows |= {(condition, name): values.by_condition[name][c] for name in PER_CONDITION}
        rows |= {(None, name): values.pulls[name] for name in PULLS}
        models.append(ModelValues(scores.source, scores.bos, rows))
    return results_table(found.task, found.complete, models)


def summary(found: AblationResult) -> dict[str, Any]:
    """What `--json` prints and summary.json holds: means with intervals, shapes, the verdict, the knock-outs."""
    task = found.task
    dropped = {c.value: n for c in task.conditions if (n := max(one.dropped[c] for one in found.scores))}
    return {
        "task": task.name,
        "items": int(found.complete.sum()),
        "groups": len({i.group for i, is_used in zip(task.items, found.complete, strict=True) if is_used}),
        "dropped": dropped,
        "left_out": {reason: list(names) for reason, names in task.left_out.items()},
        "caution": task.caution,
        "format": task.format.as_dict(),
        "models": [_model(found, index) for index in range(len(found.scores))],
        "shape": {name: shape.as_dict() for name, shape in found.shapes.items()},
        "composed": both.as_dict() if (both := composed_of(found)) else None,
        "verdict": found.verdict.as_dict() if found.verdict else {"label": "undetermined", "because": [found.unjudged]},
        "knockouts": [knockout(found, reading) for reading in found.knockouts],
    }


def knockout(found: AblationResult, reading: Reading) -> dict[str, Any]:
    """The mean effect of each component on the gap under each condition of the pair, in nats, with its interval."""
    conditions, components = reading.dims["condition"], reading.dims["component"]
    group_of = {item.id: item.group for item in found.task.items}
    groups = [group_of[name] for name in reading.dims["item"]]
    means, lows, highs = mean_intervals(reading.values, groups)
    effects: dict[str, dict[str, dict[str, float]]] = {
        component: {
            condition: {"mean": float(means[i, c]), "low": float(lows[i, c]), "high": float(highs[i, c])}
            for c, condition in enumerate(conditions)
        }
        for i, component in enumerate(components)
    }
    return {"model": reading.source.name, "n_params": reading.source.n_params, **reading.about, "effects": effects}


def _model(found: AblationResult, index: int) -> dict[str, Any]:
    scores = found.scores[index]
    source = scores.source
    away = found.held_out(source)
    one: dict[str, Any] = {
        "family": source.family, "model": source.model, "n_params": source.n_params, "seed": source.seed,
        "step": source.step, "tokens": source.tokens, "bos": scores.bos, "treatment": dict(scores.treatment),
    }  # fmt: skip
    conditions = found.task.conditions
    means = found.means([index], [*((q, c) for q in PER_CONDITION for c in conditions), *((q, None) for q in PULLS)])
    for quantity in PER_CONDITION:
        one[quantity] = {c.value: mean._asdict() for c in conditions if (mean := means[quantity, c])}
    pulls = {quantity: means[quantity, None] for quantity in PULLS}
    if away.any():
        conflict = "distractor_preference", Condition.CONFLICT
        pulls["distractor_preference_held_out"] = found.mean([index], *conflict, away)
        pulls["distractor_preference_seen"] = found.mean([index], *conflict, ~away)
    one |= {name: mean._asdict() if mean else None for name, mean in pulls.items()}
    one["constant_answer"] = constant_answer(found, index)
    return one
