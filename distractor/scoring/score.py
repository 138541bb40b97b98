"""Log-probabilities of both answers of every prompt."""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float

from distractor.errors import ModelError
from distractor.models.model import Model
from distractor.models.self_check import AGREES
from distractor.progress import record_note
from distractor.scoring.encode import Encoded
from distractor.scoring.prefix_sharing import Line, batches, branching, lay, texts
from distractor.text.task import Item

TOKENS_PER_PASS = 4_096


LOGITS_PER_PASS = 2**25
"""What one forward pass may hold, in tokens and in logits: fixed, so that results do not depend on the machine.

Larger passes are no quicker: their activations leave a processor's cache, and with 8,192 tokens small models took half
again as long.
"""


ITEMS_AT_ONCE = 1_000
"""How many items are laid out together: as many as fill passes well, and so few that their layout takes no room."""


def rows_per_pass(length: int, kept: int, vocab: int, batch_size: int | None = None) -> int:
    """How many prompts of `length` tokens go through the model together, if `kept` positions are unembedded."""
    return batch_size or max(1, min(TOKENS_PER_PASS // length, LOGITS_PER_PASS // (kept * vocab)))


def score(
    model: Model, items: Sequence[Item], rows: Sequence[Encoded], batch_size: int | None = None
) -> Float[np.ndarray, "item answer=2"]:
    """Log-probability of both answers behind each prompt, in nats, summed over the answer's tokens. See `score_all`."""
    found: np.ndarray = score_all(model, items, [[row] for row in rows], batch_size)[0]
    return found


@torch.inference_mode()
def score_all(
    model: Model, items: Sequence[Item], rows: Sequence[Sequence[Encoded | None]], batch_size: int | None = None
) -> Float[np.ndarray, "condition item answer=2"]:
    """The same for several prompts of each item, one a condition; NaN where an item is not posed.

    What an item's prompts and answers share at their beginning goes through once, and where few prompts are of one length
    they go through with others: if that saves enough, and the model takes it, which is tried and compared. Else each text
    goes through whole, with others of its length, so that nothing is padded.

    Raises:
        ModelError: a log-probability is NaN; the item is named.

    """
    is_posed = np.array([[row is not None for row in of_item] for of_item in rows], dtype=bool)
    is_posed = is_posed.reshape(len(rows), -1 if rows else 1).T[:, :, None]
    found = np.where(is_posed, np.zeros(2), np.nan)
    for start in range(0, len(rows), ITEMS_AT_ONCE):
        some = slice(start, start + ITEMS_AT_ONCE)
        _add_log_probs(model, rows[some], batch_size, found[:, some])
    by_item = rearrange(np.where(is_posed, found, 0), "condition item answer -> item (condition answer)")
    refuse_nan(model, items, by_item)
    return found


def _add_log_probs(
    model: Model,
    rows: Sequence[Sequence[Encoded | None]],
    batch_size: int | None,
    found: Float[np.ndarray, "condition item answer=2"],
) -> None:
    (lines, passes), branched = _layouts(tuple(map(tuple, rows)), model.vocab, batch_size)
    if branched and not why_no_prefix_sharing(model, [line for _, line in branched[0]]):
        lines, passes = branched
    for numbers in passes:
        some = [lines[number] for number in numbers]
        for (item, line), values in zip(some, _behind(model, [line for _, line in some]), strict=True):
            for (condition, answer, _), value in zip(line.questions, values, strict=True):
                found[condition, item, answer] += value


Layout = tuple[Sequence[tuple[int, Line]], Sequence[Sequence[int]]]
"""Lines, each with the place of its item, and which of them go through together."""


@lru_cache(maxsize=8)
def _layouts(
    rows: tuple[tuple[Encoded | None, ...], ...], vocab: int, batch_size: int | None
) -> tuple[Layout, Layout | None]:
    """Every text for itself, and the lines that branch, if those are less work; models of one encoding share both."""
    room = partial(rows_per_pass, vocab=vocab, batch_size=batch_size)

    def laid(lines_of: Callable[[Sequence[Encoded | None]], list[Line]], *, mixed: bool) -> Layout:
        lines = [(item, line) for item, of_item in enumerate(rows) for line in lines_of(of_item)]
        return lines, batches([line for _, line in lines], room, mixed=mixed)

    plain, branched = laid(texts, mixed=False), laid(branching, mixed=True)
    is_less = len(branched[0]) < len(plain[0]) or 2 * len(branched[1]) <= len(plain[1]) > 0
    return plain, branched if is_less else None


def _behind(model: Model, lines: Sequence[Line]) -> list[list[float]]:
    """The log-probabilities of all tokens that are asked for in each line, by one pass."""
    tokens, mask = lay(lines, model.device)
    length, kept = tokens.shape[1], max(line.kept for line in lines)
    log_probs = model.log_probs(tokens, torch.arange(length - kept, length, device=model.device), mask=mask)
    asked = [
        (row, kept - len(line.tokens) + place, token)
        for row, line in enumerate(lines)
        for place, of_place in line.asked.items()
        for *_, token in of_place
    ]
    row, place, token = torch.tensor(asked, device=model.device).T
    values = iter(log_probs[row, place, token].double().tolist())
    return [[next(values) for _ in line.questions] for line in lines]


_no_prefix_sharing: "WeakKeyDictionary[Any, str]" = WeakKeyDictionary()


def why_no_prefix_sharing(model: Model, lines: Sequence[Line]) -> str:
    """Why a model cannot be told who sees whom in a pass; nothing where it can: it is tried on two lines, and compared."""
    if model.bridge not in _no_prefix_sharing:
        first = next((line for line in lines if not line.is_text), lines[0])
        other = max(lines, key=lambda line: abs(len(line.tokens) - len(first.tokens)))
        wanted = [_behind(model, [text])[0] for line in (first, other) for text in line.unfolded]
        try:
            found = _behind(model, [first, other])
            off = float(np.abs(np.concatenate(found) - np.concatenate(wanted)).max())
            allowed = AGREES.get(model.dtype, 1e-3) * max(1.0, float(np.abs(np.concatenate(wanted)).max()))
            why = "" if off <= allowed else f"log-probabilities were off by {off:.1e}"
        except (TypeError, AttributeError, IndexError, KeyError, ValueError, RuntimeError) as error:
            why = f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
        _no_prefix_sharing[model.bridge] = why
        if why:
            record_note(f"{model.name}: every text was scored whole, for passes cannot branch in this model ({why}).")
    return _no_prefix_sharing[model.bridge]


def refuse_nan(
    model: Model, items: Sequence[Item], values: Float[np.ndarray, "item n"], what: str = "log-probabilities"
) -> None:
    """Raise ModelError, naming the first item, if any of its values is not finite."""
    broken = [item.id for item, row in zip(items, values, strict=True) if not np.isfinite(row).all()]
    if broken:
        raise ModelError(
            f"{model.name}: the {what} of {len(broken)} of {len(items)} items are not finite (NaN), first "
            f"{broken[0]}; the weights are damaged, or the dtype is too narrow: try --dtype float32"
        )
