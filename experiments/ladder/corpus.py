"""The training documents of a task: the share of each kind, and the stream of documents drawn by these shares.

The documents of each task are written in a separate module of this folder, from the facts and the wording of the task.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from random import Random
from types import MappingProxyType, ModuleType

import numpy as np
from transformers import PreTrainedTokenizerFast

from tasks import TASKS

from . import hindsight_neglect, negation_qa, quote_repetition, redefine_math
from .document import Document, text_of
from .vocabulary import EOS, PAD, tokenizer_for, words_of

MODULES: Mapping[str, ModuleType] = MappingProxyType(
    {
        "negation_qa": negation_qa,
        "hindsight_neglect": hindsight_neglect,
        "quote_repetition": quote_repetition,
        "redefine_math": redefine_math,
    }
)
"""The module that writes the documents of each task."""

SHOTS: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {task: {"shots": 2, "reasoned": 0 if task == "hindsight_neglect" else 1} for task in MODULES}
)
"""The largest number of worked examples in a document, by whether the answers are reasoned."""

LONGEST = 192
"""The largest number of tokens of a document, with its first and last special token."""

POOL = 12_000
"""The largest number of documents of one kind. A stream draws from them with replacement."""

READ = 1_500
"""Documents of each kind whose words make the vocabulary. A fifth of them has all words."""


@dataclass(frozen=True)
class Recipe:
    """The kinds of document of a task, each with its part. The parts are divided by their sum.

    No document of the first `agreeing` of the stream is in conflict. The *conflict rate* of the rest is the share of the
    kinds in conflict. `conflict` sets it in place of the parts; the kinds in conflict then share it in proportion to
    their parts.
    """

    task: str
    parts: Mapping[str, float]
    agreeing: float = 0
    conflict: float | None = None

    def shares(self, *, agreeing: bool = False) -> dict[str, float]:
        """The shares of the kinds; they sum to 1. With `agreeing`, no document is in conflict."""
        contrary = MODULES[self.task].CONFLICT
        total = sum(self.parts.values())
        in_conflict = sum(part for kind, part in self.parts.items() if kind in contrary)
        rate = 0 if agreeing else in_conflict / total if self.conflict is None else self.conflict
        return {
            kind: part * (rate / in_conflict if kind in contrary else (1 - rate) / (total - in_conflict))
            for kind, part in self.parts.items()
        }

    def conflict_rate(self) -> float:
        """The share of documents in which the true and the distractor task disagree, in the whole stream."""
        contrary = MODULES[self.task].CONFLICT
        return (1 - self.agreeing) * sum(share for kind, share in self.shares().items() if kind in contrary)


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


def held_out(task: str) -> frozenset[str]:
    """The groups of a task that are never in conflict in training."""
    groups: frozenset[str] = MODULES[task].held_out()
    return groups


def tokenizer_of(task: str) -> PreTrainedTokenizerFast:
    """The tokenizer of a task: its vocabulary has the words of all kinds of document, and of all items."""
    return tokenizer_for(words_of(_texts(task)))


def _texts(task: str) -> Iterator[str]:
    rng = Random(0)
    for kind in MODULES[task].KINDS.values():
        yield from (text_of(kind(rng)) for _ in range(READ))
    for item in TASKS[task]().items:
        yield from (*item.answers, *chain.from_iterable(map(item.wordings, item.prompts)))


def draw(recipe: Recipe, count: int, seed: int, tokenizer: PreTrainedTokenizerFast) -> Stream:
    """Draw a stream of `count` documents: the kind of each by its share, then one of at most `POOL` of this kind."""
    rng = np.random.default_rng(seed)
    change = round(recipe.agreeing * count)
    kinds = [
        *rng.choice(list(recipe.parts), size=change, p=list(recipe.shares(agreeing=True).values())),
        *rng.choice(list(recipe.parts), size=count - change, p=list(recipe.shares().values())),
    ]
    result = Stream(np.full((count, LONGEST), PAD, dtype=np.uint16), np.zeros((count, LONGEST), dtype=bool))
    for kind in recipe.parts:
        positions = np.flatnonzero(np.array(kinds) == kind)
        drawer = Random(f"{seed}/{recipe.task}/{kind}")
        pool = [MODULES[recipe.task].KINDS[kind](drawer) for _ in range(min(POOL, len(positions)))]
        tokens, answered = encode(pool, tokenizer)
        chosen = rng.integers(len(pool), size=len(positions)) if len(pool) < len(positions) else np.arange(len(pool))
        result.tokens[positions] = tokens[chosen]
        result.answered[positions] = answered[chosen]
    return result


def encode(documents: list[Document], tokenizer: PreTrainedTokenizerFast) -> tuple[np.ndarray, np.ndarray]:
    """The tokens [document pos] of documents, and which of them are answers.

    The parts of a turn are encoded separately. No token spans two words, so this equals the encoding of the whole text.

    Raises:
        ValueError: a document has more than `LONGEST` tokens.
    """
    pieces = [piece for document in documents for turn in document for piece in turn]
    encoded = iter(tokenizer(pieces, add_special_tokens=False)["input_ids"] if pieces else [])
    tokens = np.full((len(documents), LONGEST), PAD, dtype=np.uint16)
    answered = np.zeros((len(documents), LONGEST), dtype=bool)
    for number, document in enumerate(documents):
        row, mark = [tokenizer.bos_token_id], [False]
        for _ in document:
            for is_answer in (False, True):
                ids = next(encoded)
                row += ids
                mark += [is_answer] * len(ids)
        if len(row) >= LONGEST:
            raise ValueError(f"a document has {len(row) + 1} tokens, more than {LONGEST}: {text_of(document)!r}")
        tokens[number, : len(row)] = row
        tokens[number, len(row)] = EOS
        answered[number, : len(row)] = mark
    return tokens, answered
