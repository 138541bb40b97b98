"""What the ladder reads: the share of each kind of document, one table for all tasks, and the stream drawn by it.

The documents themselves are written beside this file, a module a task, from the tasks' own facts in their own English.
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
"""Where each task's documents are written."""

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
"""Of each task's documents, how many are of which kind: parts, not yet divided by their sum.

A task's *conflict rate* is the share of its kinds of conflict in the whole stream: less than here, where they come late
(`SCHEDULE`)."""


class Phase(NamedTuple):
    """Up to which part of the stream how many of the documents are of which task: parts as well.

    Of the tasks that are `agreeing` no document is in conflict yet; their other kinds share what those leave.
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
"""The stream from its beginning to its end.

Matching facts to options is learnt abruptly, and soonest alone, so negation begins. Where conflict is there from the
beginning, some seeds of a medium size learn to weigh it before others of that size have the distractor; where it comes
late, more of them have the distractor first (in negation, all of 16x2)."""

POOL = 12_000
"""At most so many documents of a kind are written; a stream draws from them."""


@dataclass(frozen=True)
class Recipe:
    """The share of each kind of document. `conflict` sets other conflict rates than the table's, from the beginning on."""

    tasks: tuple[str, ...] = tuple(SHARES)
    conflict: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        strange = {*self.tasks, *self.conflict} - set(SHARES)
        if strange:
            raise ValueError(f"there are no documents for {', '.join(sorted(strange))}; there are: {', '.join(SHARES)}")

    def shares(self, task: str, *, agreeing: bool = False) -> dict[str, float]:
        """The kinds of one task; they add up to 1. Where a rate is set, kinds of conflict share it as in the table.

        `agreeing`: where nothing is in conflict yet.
        """
        table, contrary = SHARES[task], MODULES[task].CONFLICT
        # In the table's order: a set's hangs on the process, the last bit of a sum on the order, and a model's key on that.
        total, in_conflict = sum(table.values()), sum(part for kind, part in table.items() if kind in contrary)
        rate = 0 if agreeing else self.conflict.get(task, in_conflict / total)
        return {
            kind: part * (rate / in_conflict if kind in contrary else (1 - rate) / (total - in_conflict))
            for kind, part in table.items()
        }

    def phases(self) -> list[tuple[float, dict[tuple[str, str], float]]]:
        """Where each phase ends, and the share of each task's kinds in it. One without any task of the recipe is left out."""
        found = []
        for end, parts, agreeing in SCHEDULE:
            total = sum(parts.get(task, 0) for task in self.tasks)
            if total:
                calm = {*agreeing} - {*self.conflict}
                kinds = {
                    (task, kind): share * parts.get(task, 0) / total
                    for task in self.tasks
                    for kind, share in self.shares(task, agreeing=task in calm).items()
                }
                found.append((end, kinds))
        return found

    def share_of(self, task: str, *kinds: str) -> float:
        """The share of a task in the whole stream, or of some of its kinds."""
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
    """Documents in the order in which every size of a seed reads them.

    `tokens` are [document pos], each begun, ended and padded on the right; `answered` marks the tokens that a document
    answers with rather than tells, of the same shape.
    """

    tokens: np.ndarray
    answered: np.ndarray

    def __len__(self) -> int:
        return len(self.tokens)


def held_out() -> dict[str, frozenset[str]]:
    """The groups of each task that are never in conflict."""
    return {task: module.held_out() for task, module in MODULES.items()}


def words() -> Iterator[str]:
    """Text in which every word of every kind occurs, and every word of the tasks under all conditions."""
    rng = Random(0)
    for kind in chain.from_iterable(module.KINDS.values() for module in MODULES.values()):
        yield from (text_of(kind(rng)) for _ in range(POOL // 2))
    for item in chain.from_iterable(TASKS[task]().items for task in MODULES):
        yield from (*item.answers, *chain.from_iterable(map(item.wordings, item.prompts)))


def pools(recipe: Recipe, count: int, seed: int) -> dict[tuple[str, str], list[Document]]:
    """Documents of every kind, by task and kind: as many as a stream of `count` needs of it, or `POOL`."""
    found = {}
    for task in recipe.tasks:
        kinds: Kinds = MODULES[task].KINDS
        for kind in SHARES[task]:
            rng = Random(f"{seed}/{task}/{kind}")
            size = min(POOL, 1 + round(recipe.share_of(task, kind) * count))
            found[task, kind] = [kinds[kind](rng) for _ in range(size)]
    return found


def stream(
    found: Mapping[tuple[str, str], list[Document]],
    recipe: Recipe,
    count: int,
    seed: int,
    tokenizer: PreTrainedTokenizerFast,
) -> Stream:
    """Draw `count` documents: the task and the kind by their shares, then one of the pool of that kind evenly."""
    kinds = list(found)
    rows = {kind: encode(found[kind], tokenizer) for kind in kinds}
    rng = np.random.default_rng(seed)
    drawn = np.zeros(count, dtype=np.intp)
    start = 0
    for end, shares in recipe.phases():
        stop = round(end * count)
        chances = [shares.get(kind, 0) for kind in kinds]
        drawn[start:stop] = rng.choice(len(kinds), size=stop - start, p=chances)
        start = stop
    width = max(tokens.shape[1] for tokens, _ in rows.values())
    out = Stream(np.full((count, width), PAD, dtype=np.uint16), np.zeros((count, width), dtype=bool))
    for number, kind in enumerate(kinds):
        here = np.flatnonzero(drawn == number)
        tokens, answered = rows[kind]
        which = rng.integers(len(tokens), size=len(here))
        out.tokens[here, : tokens.shape[1]] = tokens[which]
        out.answered[here, : tokens.shape[1]] = answered[which]
    return out


def encode(documents: list[Document], tokenizer: PreTrainedTokenizerFast) -> tuple[np.ndarray, np.ndarray]:
    """Token rows [document pos], and which of them are answered.

    A turn's pieces are encoded one by one: words stand apart, so that this is the encoding of the whole.
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
