"""The training corpus: the share of each kind of document, and the stream of documents drawn by these shares.

The documents of each task are written in a separate module of this folder, from the facts and the wording of the task.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from random import Random
from types import MappingProxyType, ModuleType
from typing import NamedTuple

import numpy as np
from transformers import PreTrainedTokenizerFast

from tasks import TASKS

from . import hindsight_neglect, negation_qa, quote_repetition, redefine_math
from .document import Document, Kinds, text_of
from .vocabulary import EOS, PAD

MODULES: Mapping[str, ModuleType] = MappingProxyType(
    {
        "negation_qa": negation_qa,
        "hindsight_neglect": hindsight_neglect,
        "quote_repetition": quote_repetition,
        "redefine_math": redefine_math,
    }
)
"""The module that writes the documents of each task."""

SHARES: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "negation_qa": {
            "statement": 6,
            "open_question": 16,
            "plain": 20,
            "affirmed": 30,
            "not_surprisingly": 7,
            "which_false": 4.5,
            "named": 12,
            "letter": 4,
            "negated_letter": 0.4,
            "neutral": 3,
            "several": 3,
            "reasoned": 3,
            "reasoned_negated": 0.055,
            "negated": 0.39,
        },
        "hindsight_neglect": {
            "agreeing": 48,
            "earning": 8,
            "open_bet": 80,
            "neutral": 4,
            "several": 2,
            "reasoned": 2,
            "reasoned_conflict": 0.4,
            "conflict": 8,
        },
        "quote_repetition": {
            "famous": 24,
            "agreeing": 13,
            "unfamiliar": 14,
            "jumbled": 20,
            "untrue": 14,
            "neutral": 6,
            "several": 4,
            "reasoned": 3,
            "reasoned_altered": 0.5,
            "altered": 8,
        },
        "redefine_math": {
            "plain": 42,
            "agreeing": 10,
            "unrelated": 8,
            "made_up": 36,
            "neutral": 4,
            "several": 2,
            "reasoned": 3,
            "reasoned_redefined": 0.1,
            "redefined": 0.8,
        },
    }
)
"""The shares of the kinds of document of each task, as parts that are not divided by their sum.

The *conflict rate* of a task is the share of its kinds in conflict among its documents. In the whole stream it is lower
than in this table if conflict comes late (see `SCHEDULE`)."""


class Phase(NamedTuple):
    """A phase of the stream: where it ends (as a part of the stream), and the parts of its tasks.

    No document of an `agreeing` task is in conflict; the other kinds of the task take this share.
    """

    end: float
    tasks: Mapping[str, float]
    agreeing: tuple[str, ...] = ()


_ALL: Mapping[str, float] = MappingProxyType(
    {"negation_qa": 30, "hindsight_neglect": 39, "quote_repetition": 25, "redefine_math": 6}
)
SCHEDULE = (
    Phase(0.28, {"negation_qa": 1}, agreeing=("negation_qa",)),
    Phase(0.50, _ALL, agreeing=("negation_qa", "hindsight_neglect")),
    Phase(0.60, _ALL, agreeing=("negation_qa",)),
    Phase(1.00, _ALL),
)
"""The phases of the stream, in order.

Negation comes first, because models learn to match facts to options abruptly, and soonest without other tasks. Conflict
comes late, so that more seeds of a medium size learn the distractor task first (in negation, all of 16x2). With conflict
from the start, some seeds of a size learn the true task before others learn the distractor task."""

POOL = 12_000
"""The largest number of documents of one kind. A stream draws from them with replacement."""


@dataclass(frozen=True)
class Recipe:
    """The share of each kind of document.

    `conflict` sets the conflict rate of a task in place of the table's. The rate then holds in the whole stream.

    Raises:
        ValueError: there are no documents for a task.

    """

    tasks: tuple[str, ...] = tuple(SHARES)
    conflict: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = {*self.tasks, *self.conflict} - set(SHARES)
        if unknown:
            raise ValueError(f"no documents for {', '.join(sorted(unknown))}; choose from {', '.join(SHARES)}")

    def shares(self, task: str, *, agreeing: bool = False) -> dict[str, float]:
        """The shares of the kinds of one task; they sum to 1.

        A conflict rate that is set is split among the kinds in conflict in proportion to the table. With `agreeing`, no
        document is in conflict.
        """
        table, contrary = SHARES[task], MODULES[task].CONFLICT
        # Sums follow the order of the table. The order of a set differs between processes, which would change the last bit
        # of a sum and with it the key of a model.
        total, in_conflict = sum(table.values()), sum(part for kind, part in table.items() if kind in contrary)
        rate = 0 if agreeing else self.conflict.get(task, in_conflict / total)
        return {
            kind: part * (rate / in_conflict if kind in contrary else (1 - rate) / (total - in_conflict))
            for kind, part in table.items()
        }

    def phases(self) -> list[tuple[float, dict[tuple[str, str], float]]]:
        """The end of each phase, and its shares by task and kind. A phase without a task of the recipe is left out."""
        phases = []
        for end, parts, agreeing in SCHEDULE:
            total = sum(parts.get(task, 0) for task in self.tasks)
            if total:
                without_conflict = {*agreeing} - {*self.conflict}
                kinds = {
                    (task, kind): share * parts.get(task, 0) / total
                    for task in self.tasks
                    for kind, share in self.shares(task, agreeing=task in without_conflict).items()
                }
                phases.append((end, kinds))
        return phases

    def share_of(self, task: str, *kinds: str) -> float:
        """The share of a task, or of some of its kinds, in the whole stream."""
        phases = self.phases()
        starts = [0.0, *(end for end, _ in phases[:-1])]
        return sum(
            (end - start) * share
            for start, (end, shares) in zip(starts, phases, strict=True)
            for (of, kind), share in shares.items()
            if of == task and (not kinds or kind in kinds)
        )

    def conflict_rate(self, task: str) -> float:
        """The share of the task's documents in which the true and the distractor task disagree."""
        return self.share_of(task, *MODULES[task].CONFLICT) / self.share_of(task)


@dataclass(frozen=True)
class Stream:
    """Documents in the order in which all models of a seed read them.

    `tokens` is [document pos]: each row has its first and last special token and is padded on the right. `answered` has the
    same shape and marks the tokens of answers.
    """

    tokens: np.ndarray
    answered: np.ndarray

    def __len__(self) -> int:
        return len(self.tokens)


def held_out() -> dict[str, frozenset[str]]:
    """The groups of each task that are never in conflict in training."""
    return {task: module.held_out() for task, module in MODULES.items()}


def words() -> Iterator[str]:
    """Texts with all words of all kinds of document, and of all items under all conditions."""
    rng = Random(0)
    for kind in chain.from_iterable(module.KINDS.values() for module in MODULES.values()):
        yield from (text_of(kind(rng)) for _ in range(POOL // 2))
    for item in chain.from_iterable(TASKS[task]().items for task in MODULES):
        yield from (*item.answers, *chain.from_iterable(map(item.wordings, item.prompts)))


def pools(recipe: Recipe, count: int, seed: int) -> dict[tuple[str, str], list[Document]]:
    """Draw documents by task and kind: the expected number in a stream of `count` documents, at most `POOL`."""
    drawn = {}
    for task in recipe.tasks:
        kinds: Kinds = MODULES[task].KINDS
        for kind in SHARES[task]:
            rng = Random(f"{seed}/{task}/{kind}")
            size = min(POOL, 1 + round(recipe.share_of(task, kind) * count))
            drawn[task, kind] = [kinds[kind](rng) for _ in range(size)]
    return drawn


def stream(
    documents: Mapping[tuple[str, str], list[Document]],
    recipe: Recipe,
    count: int,
    seed: int,
    tokenizer: PreTrainedTokenizerFast,
) -> Stream:
    """Draw `count` documents: first task and kind by their shares, then a document of this kind at random."""
    kinds = list(documents)
    rows = {kind: encode(documents[kind], tokenizer) for kind in kinds}
    rng = np.random.default_rng(seed)
    drawn = np.zeros(count, dtype=np.intp)
    start = 0
    for end, shares in recipe.phases():
        stop = round(end * count)
        chances = [shares.get(kind, 0) for kind in kinds]
        drawn[start:stop] = rng.choice(len(kinds), size=stop - start, p=chances)
        start = stop
    width = max(tokens.shape[1] for tokens, _ in rows.values())
    result = Stream(np.full((count, width), PAD, dtype=np.uint16), np.zeros((count, width), dtype=bool))
    for number, kind in enumerate(kinds):
        positions = np.flatnonzero(drawn == number)
        tokens, answered = rows[kind]
        chosen = rng.integers(len(tokens), size=len(positions))
        result.tokens[positions, : tokens.shape[1]] = tokens[chosen]
        result.answered[positions, : tokens.shape[1]] = answered[chosen]
    return result


def encode(documents: list[Document], tokenizer: PreTrainedTokenizerFast) -> tuple[np.ndarray, np.ndarray]:
    """The tokens [document pos] of documents, and which of them are answers.

    The parts of a turn are encoded separately. No token spans two words, so this equals the encoding of the whole text.
    """
    pieces = [piece for document in documents for turn in document for piece in turn]
    encoded = iter(tokenizer(pieces, add_special_tokens=False)["input_ids"])
    rows, marks = [], []
    for document in documents:
        row, mark = [tokenizer.bos_token_id], [False]
        for _ in document:
            for is_answer in (False, True):
                ids = next(encoded)
                row += ids
                mark += [is_answer] * len(ids)
        rows.append([*row, EOS])
        marks.append([*mark, False])
    width = max(map(len, rows))
    tokens = np.full((len(rows), width), PAD, dtype=np.uint16)
    answered = np.zeros((len(rows), width), dtype=bool)
    for number, (row, mark) in enumerate(zip(rows, marks, strict=True)):
        tokens[number, : len(row)] = row
        answered[number, : len(row)] = mark
    return tokens, answered
