"""What half precision changes: logit gaps of a few prompts, compared with a float32 copy of the model."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from distractor.errors import ModelError, first_line
from distractor.text.task import Answer, Condition

if TYPE_CHECKING:
    from distractor.models.model import Model
    from distractor.scoring.encode import Encoding
    from distractor.scoring.lazy_model import LazyModel

HALF = ("bfloat16", "float16")
PROMPTS = 10
ROOM = 1.25  # memory that a float32 copy and its passes need, in units of its weights


def half_precision_record(lazy: "LazyModel") -> dict[str, Any]:
    """How far logit gaps in `conflict` are from those in float32, in nats, or why this is `not_measured`.

    The prompts are the first ten of the task. The model is loaded a second time if free memory has room for it.
    """
    settings = lazy.settings
    common = {"dtype": settings.dtype}
    if settings.device_map is not None:
        return {**common, "not_measured": "the model is spread over several devices"}
    from distractor.models.memory import free_bytes
    from distractor.scoring.settings import load_model

    needed, free = ROOM * 4 * lazy.model.n_params, free_bytes(lazy.model.device)
    if needed > free:
        return {
            **common,
            "not_measured": f"a float32 copy needs {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB is free",
        }
    try:
        copy = load_model(lazy.source, replace(settings, dtype="float32", self_check=False))
        difference = np.abs(_gaps(lazy.model, lazy.encoding) - _gaps(copy, lazy.encoding))
    except (ModelError, RuntimeError) as error:  # RuntimeError: out of memory after all
        return {**common, "not_measured": first_line(error)}
    return {
        **common,
        "prompts": len(difference),
        "mean_difference": float(difference.mean()),
        "largest_difference": float(difference.max()),
    }


def _gaps(model: "Model", encoding: "Encoding") -> np.ndarray:
    from distractor.scoring.score import score

    rows = [row for row in encoding.rows[Condition.CONFLICT] if row is not None][:PROMPTS]
    items = [
        item for item, row in zip(encoding.items, encoding.rows[Condition.CONFLICT], strict=True) if row is not None
    ]
    log_probs = score(model, items[:PROMPTS], rows)
    return np.asarray(log_probs[:, Answer.TRUE] - log_probs[:, Answer.DISTRACTOR])
