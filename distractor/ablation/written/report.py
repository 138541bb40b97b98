"""Writes the run folder of one format with written answers: texts, results, the figure and summary.json."""

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from distractor.ablation.bare import without_examples
from distractor.ablation.references import references
from distractor.ablation.written.answers import SHARES, WrittenResult
from distractor.runs.figure_set import MOST, FigureSet, choose
from distractor.runs.folder import RunFolder
from distractor.runs.precision import half_precision_caution, precision_caution, quantisation_caution
from distractor.runs.results_table import COLUMNS, ModelValues, is_held_out, model_columns, results_table
from distractor.runs.training_data import training_data_record
from distractor.scoring.shot_limits import caution
from distractor.scoring.written_answers import Text
from distractor.text.task import Condition

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.figure import Figure

    from distractor.runs.page.blocks import Page


def write(
    folder: RunFolder, result: WrittenResult, figures: FigureSet = FigureSet.MAIN, most: int = MOST
) -> dict[str, Any]:
    """Write all files of one format and return the summary; the main set of figures has at most `most`."""
    content = summary(result)
    folder.write_table("texts", texts(result))
    folder.write_table("results", results(result))
    names = ["curves", *["published"] * bool(result.published)]
    content["figures"] = folder.keep_figures(content, choose(figures, names, most=most), partial(_draw, result))
    content["results_sha256"] = folder.hash_of("results")
    folder.keep_page(
        partial(_page, folder, result, content), content["figures"]["drawn_from"], result.task.fingerprint()
    )
    folder.write_summary(content)
    return content


def _draw(result: WrittenResult, name: str) -> "Figure":
    from distractor.ablation.published_figure import published
    from distractor.ablation.written.figures import curves
    from distractor.runs.style import extend_headline

    figure = published(result) if name == "published" else curves(result)
    extend_headline(figure, precision_caution([result]))
    return figure


def _page(folder: RunFolder, result: WrittenResult, content: Mapping[str, Any]) -> "Page":
    from distractor.ablation.written.page import page

    return page(result, content["figures"]["names"], folder.manifest)


def summary(result: WrittenResult) -> dict[str, Any]:
    """Means with intervals, the shape, and texts without an answer: how many, why, and examples."""
    task, judged = result.task, result.judged
    sentence = caution(task.name, task.format, result.sources[0])
    return {
        "task": task.name,
        "items": int(result.complete.sum()),
        "groups": result.n_groups,
        "format": task.format.as_dict(),
        "without_examples": bare.as_dict() if (bare := without_examples(result)) else None,
        "hint": task.format.hint,
        "caution": [each for each in (*task.cautions, sentence) if each],
        "dtype": result.settings.dtype,
        "half_precision": half_precision_caution([result]),
        "quantised": quantisation_caution(result.sources),
        "training_data": training_data_record(task, result.sources),
        "mixture": result.mixture or None,
        "models": [_model(result, model) for model in range(len(result.replies))],
        "shape": {
            "distractor_share": judged.shape.as_dict() if judged.shape else {"label": judged.label, "why": judged.why},
            "sizes": list(judged.used),
            "left_out": {str(size): share for size, share in judged.left_out.items()},
            "groups": judged.groups,
        },
        "without_answer": result.examples(),
        "another_answer": result.examples("another"),
        "references": references(result).as_dict(),
    }


def texts(result: WrittenResult) -> "pa.Table":
    """Every text, one row each: prompt, text, the answer in it, and the logit gaps after the reasoning."""
    import pyarrow as pa

    rows = []
    for replies in result.replies:
        model = model_columns(result.task, replies.source, bos=replies.bos)
        held_out = is_held_out(result.task, replies.source)
        for index, (condition, row) in enumerate(replies.texts.items()):
            gaps = {f"gap_{name}": values[index].tolist() for name, values in replies.gaps.items()}
            for i, (item, text) in enumerate(zip(result.task.items, row, strict=True)):
                if text is not None and result.complete[i]:
                    rows.append(
                        {**model, "condition": condition.value, "item": item.id, "group": item.group,
                         "held_out": held_out[i], **text._asdict(),
                         **{name: None if np.isnan(values[i]) else values[i] for name, values in gaps.items()}}
                    )  # fmt: skip
    names = (*COLUMNS[: COLUMNS.index("quantity")], *Text._fields, "gap_own", "gap_swapped")
    types = dict.fromkeys(("shots", "n_params", "seed", "step"), pa.int64())
    types |= {"bos": pa.bool_(), "held_out": pa.bool_(), "gap_own": pa.float64(), "gap_swapped": pa.float64()}
    return pa.Table.from_pylist(rows, pa.schema([(name, types.get(name, pa.string())) for name in names]))


def results(result: WrittenResult) -> "pa.Table":
    """Every value of the complete items, one row each. A text without an answer has a value of `parsed` only."""
    models = []
    for model, replies in enumerate(result.replies):
        rows: dict[tuple[Condition | None, str], np.ndarray] = {}
        for index, condition in enumerate(result.task.conditions):
            rows |= {(condition, quantity): result.item_values(model, quantity, condition) for quantity in SHARES}
            rows |= {(condition, f"gap_{name}"): values[index] for name, values in replies.gaps.items()}
        models.append(ModelValues(replies.source, replies.bos, rows))
    return results_table(result.task, result.complete, models)


def _model(result: WrittenResult, model: int) -> dict[str, Any]:
    replies, conditions = result.replies[model], result.task.conditions
    source = replies.source
    content: dict[str, Any] = {
        "family": source.family, "model": source.model, "n_params": source.n_params, "seed": source.seed,
        "step": source.step, "bos": replies.bos,
    }  # fmt: skip
    for quantity in SHARES:
        content[quantity] = {c.value: mean._asdict() for c in conditions if (mean := result.mean([model], quantity, c))}
    content["why_not"] = {
        c.value: dict(Counter(text.why for text in replies.texts[c] if text is not None and text.why))
        for c in conditions
    }
    if result.task.format.scoring == "cot":
        pair = [c for c in (Condition.CONFLICT, Condition.CONGRUENT) if c in conditions]
        for name in replies.gaps:
            gaps = {c.value: result.gap([model], name, c) for c in pair}
            content[f"gap_{name}"] = {c: gap and gap._asdict() for c, gap in gaps.items()}
        content["goes_by"] = {name: mean and mean._asdict() for name, mean in result.follows([model]).items()}
    return content
