"""Compares, on a few prompts, what is scored with plain transformers, and a wrapped model with the plain one."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int
from torch import Tensor

from distractor.errors import ModelError
from distractor.models.memory import quiet_transformers
from distractor.models.model import Model, SelfCheck, log_softmax
from distractor.progress import count_run, record_note

PROMPTS = (
    "The capital of France is",
    "Question: which of these is not a fruit?\nA. apple\nB. stone\nAnswer:",
    "She had lent him 20 pounds, and he gave her back 5; so what he still owed her the next morning was",
)
"""Three prompts of different length."""

CLOSE = 1e-4
"""The largest difference of log-probabilities, in nats, between two ways of computing the same products.

The bound rises to 1e-5 of the largest log-probability if that is more: a model of width 4 has logits near 50 and differs by
1.7e-4. In half precision the bound is 2 % of the largest one, which is the size of its rounding error.
"""

ROUNDING = {torch.float64: 1e-5, torch.float32: CLOSE}  # between a faster computation and the plain one, by dtype

LogProbs = Sequence[Float[Tensor, "_ vocab"]]  # of every token of each prompt


@torch.inference_mode()
def choose_attention(model: Model, wanted: str = "eager") -> float:
    """Switch a model to eager attention, which hooks need, if it gives the log-probabilities of transformers' default.

    Returns the largest difference in nats. If it exceeds rounding, the default is kept: Falcon with ALiBi differs by 0.4.
    If sdpa is `wanted`, and is the default, it is kept, too.
    """
    default, prompts = model.attention, _prompts(model)
    expected = _plain(model, prompts)
    set_attention(model, "eager")
    difference = _largest_difference(_plain(model, prompts), expected)
    is_close = difference <= _close(model, expected)
    if not is_close or default == wanted:
        set_attention(model, default)
    if not is_close:
        record_note(
            f"{model.name}: scored with the default attention of transformers ({default}); eager attention differs "
            f"by up to {difference:.2g} nats."
        )
    return difference


def set_attention(model: Model, implementation: str) -> None:
    """Switch a model to another attention implementation of transformers."""
    if model.attention != implementation:
        with quiet_transformers():
            model.network.set_attn_implementation(implementation)
        if model.attention != implementation:  # Falcon ignores the call, but looks its implementation up in each pass
            model.network.config._attn_implementation = implementation


@torch.inference_mode()
def check_scores(model: Model) -> float:
    """Check scores, of single prompts and of a padded batch, against plain passes of single prompts.

    Returns the largest difference that padding makes. Raises ModelError if a difference exceeds rounding.
    """
    rows = _prompts(model)
    expected = _plain(model, rows)
    longest = max(len(row) for row in rows)
    padding = int(rows[0][0])  # any token will do: causal attention does not look ahead
    batch = torch.stack([torch.nn.functional.pad(row, (0, longest - len(row)), value=padding) for row in rows])
    alone = _scored(model, rows)
    last = _run(model, rows[-1][None], len(rows[-1]) - 1)[
        0
    ]  # the model computes less if only the last position is needed
    padded = [values[: len(row)] for values, row in zip(_run(model, batch), rows, strict=True)]
    close, rounding = _close(model, expected), _rounding(model, expected)
    for problem, difference, bound in (
        ("differ from those of plain transformers", _largest_difference(alone, expected), close),
        ("change when prompts are padded", by_padding := _largest_difference(padded, alone), rounding),
        ("change when only the last position is computed", _largest_difference([last], [alone[-1][-1:]]), rounding),
    ):
        _refuse_beyond(model, problem, difference, bound, "(--no-self-check runs it anyway)")
    return by_padding


def self_check(model: Model, attention: str = "eager") -> SelfCheck:
    """Choose the attention implementation and check scores. Raises ModelError as `check_scores`."""
    with count_run() as counter:  # these passes are no part of a result's cost
        check = SelfCheck(attention=choose_attention(model, attention), padding=check_scores(model))
    for note in counter.notes:
        record_note(note)
    return check


@contextmanager
def same_scores(plain: Model) -> Iterator[Callable[[Model], None]]:
    """Yield a check that a model, made from a plain one in this block, gives the same log-probabilities.

    It does nothing for a model without a self-check. It raises ModelError if a difference exceeds rounding.
    """
    if plain.check is None:
        yield lambda _: None
        return
    rows = _prompts(plain)
    with count_run(), torch.inference_mode():
        expected = _scored(plain, rows)

    @torch.inference_mode()
    def compare(model: Model) -> None:
        with count_run():
            difference = _largest_difference(_scored(model, rows), expected)
        problem = "differ from those of plain transformers once TransformerLens wraps it"
        _refuse_beyond(model, problem, difference, _close(model, expected), "(--no-knockout leaves hooks out)")

    yield compare


def _prompts(model: Model) -> list[Int[Tensor, " _"]]:
    """The tokens of `PROMPTS` that the model has embeddings for, within its context."""
    known = len(model.network.get_input_embeddings().weight)
    texts = [[token for token in model.tokenizer(text).input_ids if token < known] for text in PROMPTS]
    return [torch.tensor(tokens[: model.context] or [0]) for tokens in texts]


def _plain(model: Model, rows: Sequence[Int[Tensor, " _"]]) -> LogProbs:
    """Log-probabilities from the network alone, one prompt at a time."""
    return [
        log_softmax(model.network(input_ids=row[None].to(model.device), use_cache=False).logits[0]).cpu()
        for row in rows
    ]


def _scored(model: Model, rows: Sequence[Int[Tensor, " _"]]) -> LogProbs:
    """Log-probabilities as scores use them, one prompt at a time."""
    return [_run(model, row[None])[0] for row in rows]


def _run(model: Model, tokens: Int[Tensor, "row pos"], start: int = 0) -> Float[Tensor, "row kept vocab"]:
    return model.log_probs(tokens.to(model.device), torch.arange(start, tokens.shape[1], device=model.device)).cpu()


def _refuse_beyond(model: Model, problem: str, difference: float, bound: float, way_out: str) -> None:
    if not difference <= bound:
        raise ModelError(
            f"{model.name}: its log-probabilities {problem}, by up to {difference:.2g} nats; rounding explains at most "
            f"{bound:.2g}. Results of this model cannot be trusted {way_out}"
        )


def _close(model: Model, expected: LogProbs) -> float:
    """The largest difference by rounding between two ways of computing the same products: see `CLOSE`."""
    largest = _largest(expected)
    return max(CLOSE, 1e-5 * largest) if model.dtype in ROUNDING else 0.02 * largest


def _rounding(model: Model, expected: LogProbs) -> float:
    """The largest difference by rounding between a faster computation and the plain one."""
    largest = _largest(expected)
    return ROUNDING[model.dtype] * max(1.0, largest) if model.dtype in ROUNDING else 0.02 * largest


def _largest(values: LogProbs) -> float:
    return max(float(each.nan_to_num(0, 0, 0).abs().max()) for each in values)


def _largest_difference(values: LogProbs, expected: LogProbs) -> float:
    """Return the largest absolute difference; NaN in both places counts as equal."""
    largest = 0.0
    for ours, theirs in zip(values, expected, strict=True):
        is_same = (ours == theirs) | (ours.isnan() & theirs.isnan())
        difference = torch.where(is_same, 0.0, (ours - theirs).abs()).nan_to_num(math.inf)
        largest = max(largest, float(difference.max()))
    return largest
