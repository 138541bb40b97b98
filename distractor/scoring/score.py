"""Log-probabilities of both answers of every prompt."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float

from distractor.errors import ModelError
from distractor.models.model import Model
from distractor.models.self_check import ROUNDING
from distractor.progress import record_note
from distractor.scoring.encode import Encoded
from distractor.scoring.pass_size import PassLimits, in_parts, pass_limits, rows_per_pass
from distractor.scoring.prefix_sharing import (
    PackedSequence,
    batches,
    may_share,
    packed_sequences,
    plain_sequences,
    to_tensors,
)
from distractor.text.task import Item
from distractor.work import record_share

ITEMS_AT_ONCE = 1_000  # items packed into batches at a time: enough to fill the batches, few enough to save memory


def score(
    model: Model, items: Sequence[Item], rows: Sequence[Encoded], batch_size: int | None = None
) -> Float[np.ndarray, "item answer=2"]:
    """Score one prompt of each item, as `score_all` does."""
    return score_all(model, items, [[row] for row in rows], batch_size)[0]


@torch.inference_mode()
def score_all(
    model: Model, items: Sequence[Item], rows: Sequence[Sequence[Encoded | None]], batch_size: int | None = None
) -> Float[np.ndarray, "condition item answer=2"]:
    """Log-probability of both answers after each prompt, in nats, summed over the answer's tokens.

    `rows[item]` has one prompt for each condition, None (score NaN) if the item is not shown under the condition. Texts
    that share a prefix are packed into one sequence if this saves enough tokens and the model gives the same
    log-probabilities. Raises ModelError if a log-probability is NaN; the message names the item.
    """
    is_shown = np.array([[row is not None for row in of_item] for of_item in rows], dtype=bool)
    is_shown = is_shown.reshape(len(rows), -1 if rows else 1).T[:, :, None]
    log_probs = np.where(is_shown, np.zeros(2), np.nan)
    for start in range(0, len(rows), ITEMS_AT_ONCE):
        chunk = slice(start, min(start + ITEMS_AT_ONCE, len(rows)))
        part = start / len(rows), chunk.stop / len(rows)
        _add_log_probs(model, rows[chunk], batch_size, log_probs[:, chunk], part)
    by_item = rearrange(np.where(is_shown, log_probs, 0), "condition item answer -> item (condition answer)")
    refuse_nan(model, items, by_item)
    return log_probs


def _add_log_probs(
    model: Model,
    rows: Sequence[Sequence[Encoded | None]],
    batch_size: int | None,
    log_probs: Float[np.ndarray, "condition item answer=2"],
    part: tuple[float, float],
) -> None:
    """Add the log-probability of every answer token to `log_probs`, in place; `part` is the start and end of these rows in
    the result.
    """
    layouts = _layouts(tuple(map(tuple, rows)), model.vocab, batch_size, pass_limits(), model.shared_length)
    (sequences, batched), packed = layouts
    if packed and not why_no_prefix_sharing(model, [sequence for _, sequence in packed[0]]):
        sequences, batched = packed
    done, total = 0, sum(len(sequence.tokens) for _, sequence in sequences)
    for indices in batched:
        batch = [sequences[index] for index in indices]
        for (item, sequence), values in zip(batch, _values(model, batch, batch_size), strict=True):
            for (condition, answer, _), value in zip(sequence.all_targets, values, strict=True):
                log_probs[condition, item, answer] += value
        done += sum(len(sequence.tokens) for _, sequence in batch)
        record_share(part[0] + (part[1] - part[0]) * done / total)


def _values(model: Model, batch: Sequence[tuple[int, PackedSequence]], batch_size: int | None) -> Iterator[list[float]]:
    """The log-probabilities of a batch in one pass, or in several since memory was full."""
    sequences = [sequence for _, sequence in batch]
    longest, unembedded = max(len(each.tokens) for each in sequences), max(each.n_unembedded for each in sequences)
    while sequences:
        size = rows_per_pass(longest, unembedded, model.vocab, batch_size)
        yield from in_parts(partial(_run, model), sequences[:size])
        sequences = sequences[size:]


Layout = tuple[Sequence[tuple[int, PackedSequence]], Sequence[Sequence[int]]]
"""Sequences, each with the index of its item, and the batches as indices of sequences."""


@lru_cache(maxsize=8)
def _layouts(
    rows: tuple[tuple[Encoded | None, ...], ...],
    vocab: int,
    batch_size: int | None,
    limits: PassLimits,
    limit: int | None,
) -> tuple[Layout, Layout | None]:
    """The plain layout, and the packed layout if it is cheaper. Cached for models that share an encoding.

    Lines of more than `limit` tokens are plain and have a batch for each length.
    """
    max_rows = partial(limits.rows, vocab=vocab, batch_size=batch_size)

    def layout(build: Callable[[Sequence[Encoded | None]], list[PackedSequence]], *, mixed: bool) -> Layout:
        sequences = [(item, sequence) for item, of_item in enumerate(rows) for sequence in build(of_item)]
        return sequences, batches([sequence for _, sequence in sequences], max_rows, mixed=mixed, limit=limit)

    plain = layout(plain_sequences, mixed=False)
    packed = layout(partial(packed_sequences, limit=limit), mixed=True)
    is_cheaper = len(packed[0]) < len(plain[0]) or 2 * len(packed[1]) <= len(plain[1]) > 0
    return plain, packed if is_cheaper else None


def _run(model: Model, sequences: Sequence[PackedSequence]) -> list[list[float]]:
    """The log-probabilities of all targets of each sequence, from one forward pass."""
    tokens, mask = to_tensors(sequences, model.device)
    length, unembedded = tokens.shape[1], max(sequence.n_unembedded for sequence in sequences)
    log_probs = model.log_probs(tokens, torch.arange(length - unembedded, length, device=model.device), mask=mask)
    indices = [
        (row, unembedded - len(sequence.tokens) + position, token)
        for row, sequence in enumerate(sequences)
        for position, targets in sequence.targets.items()
        for *_, token in targets
    ]
    row, position, token = torch.tensor(indices, device=model.device).T
    values = iter(log_probs[row, position, token].double().tolist())
    return [[next(values) for _ in sequence.all_targets] for sequence in sequences]


_no_prefix_sharing: "WeakKeyDictionary[Any, str]" = WeakKeyDictionary()
_tested_length: "WeakKeyDictionary[Any, int]" = WeakKeyDictionary()


def why_no_prefix_sharing(model: Model, sequences: Sequence[PackedSequence]) -> str:
    """Why custom attention masks fail in this model; empty if they work.

    Tested on a line at least as long as the longest that may have a mask, again if a longer one comes: masks that are
    right in short lines may be wrong in long ones.
    """
    sequences = [sequence for sequence in sequences if may_share(len(sequence.tokens), model.shared_length)]
    if not sequences or _no_prefix_sharing.get(model.network):
        return _no_prefix_sharing.get(model.network, "")
    by_length = sorted(sequences, key=lambda sequence: (len(sequence.tokens), not sequence.is_plain))
    if len(by_length[-1].tokens) > _tested_length.get(model.network, 0):
        longest = _lengthened(model, by_length[-1])
        packed = next((sequence for sequence in reversed(by_length) if not sequence.is_plain), longest)
        _no_prefix_sharing[model.network] = why = _why_masks_fail(model, [longest, packed, by_length[0]])
        _tested_length[model.network] = len(longest.tokens)
        if why:
            record_note(
                f"{model.name}: every prompt was scored in full, because this model does not support prefix sharing ({why})."
            )
    return _no_prefix_sharing[model.network]


def _lengthened(model: Model, sequence: PackedSequence) -> PackedSequence:
    """The sequence with more tokens at its start, up to a power of two, so that few lengths need a test."""
    length = len(sequence.tokens)
    wanted = 2 ** (length - 1).bit_length() - length
    if model.shared_length is not None:
        wanted = min(wanted, model.shared_length - length)
    if model.context is not None:
        wanted = min(wanted, model.context - max(len(text.tokens) for text in sequence.unpacked))
    return sequence.after([sequence.tokens[0]] * max(wanted, 0))


def _why_masks_fail(model: Model, batch: Sequence[PackedSequence]) -> str:
    """Compare sequences in one batch with each of their texts alone; return what differs, or nothing."""
    try:
        expected = np.concatenate([_alone(model, sequence) for sequence in batch])
        difference = float(np.abs(np.concatenate(_run(model, batch)) - expected).max())
    except (TypeError, AttributeError, IndexError, KeyError, ValueError, RuntimeError, MemoryError) as error:
        return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
    tolerance = ROUNDING.get(model.dtype, 1e-3) * max(1.0, float(np.abs(expected).max()))
    return "" if difference <= tolerance else f"log-probabilities were off by {difference:.1e}"


def _alone(model: Model, sequence: PackedSequence) -> Float[np.ndarray, " target"]:
    """The log-probabilities of all targets of a sequence, from a forward pass of each of its texts."""
    values = np.empty(len(sequence.all_targets))
    for text, places in sequence.longest_texts:
        values[places] = _run(model, [text])[0]
    return values


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
