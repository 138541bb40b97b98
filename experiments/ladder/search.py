"""Searches a stream of training documents for prompts of the evaluation."""

import hashlib
from functools import cache
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerFast

from distractor.text.task import Condition
from tasks import TASKS

from .corpus import Stream

RESERVED = (Condition.CONFLICT, Condition.CONGRUENT, Condition.DISTRACTOR_SWAPPED, Condition.TRUE_ONLY)
"""Conditions whose prompts are reserved for the evaluation: no stream contains one."""


@cache
def reserved_prompts(task: str) -> tuple[str, ...]:
    """The prompts of a task that no stream contains, in alphabetical order."""
    items = TASKS[task]().items
    return tuple(sorted({text for item in items for condition in RESERVED for text in item.wordings(condition)}))


@np.errstate(over="ignore")
def search(task: str, documents: Stream, tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """Search each position of each document for reserved prompts of a task, and return counts.

    Raises:
        ValueError: the stream contains a reserved prompt.
    """
    prompts = reserved_prompts(task)
    by_length: dict[int, set[bytes]] = {}
    for ids in tokenizer(list(prompts), add_special_tokens=False)["input_ids"]:
        by_length.setdefault(len(ids), set()).add(np.array(ids, dtype=np.uint16).tobytes())
    distinct = np.unique(documents.tokens, axis=0)
    first_tokens = {int(np.frombuffer(prompt, dtype=np.uint16)[0]) for same in by_length.values() for prompt in same}
    rows, starts = np.nonzero(np.isin(distinct, list(first_tokens)))
    # Hashes of all prefixes of all documents; the hash of any window follows from two of them.
    base = np.uint64(1_000_003)
    hashes = np.zeros((len(distinct), distinct.shape[1] + 1), dtype=np.uint64)
    for position in range(distinct.shape[1]):
        hashes[:, position + 1] = hashes[:, position] * base + distinct[:, position] + np.uint64(1)
    n_found = 0
    for length, same in by_length.items():
        fits = starts + length <= distinct.shape[1]
        row, start = rows[fits], starts[fits]
        window = hashes[row, start + length] - hashes[row, start] * base ** np.uint64(length)
        expected = np.zeros(len(same), dtype=np.uint64)
        for tokens in np.frombuffer(b"".join(same), dtype=np.uint16).reshape(len(same), length).T:
            expected = expected * base + tokens + np.uint64(1)
        hits = np.flatnonzero(np.isin(window, expected))
        n_found += sum(distinct[row[hit], start[hit] : start[hit] + length].tobytes() in same for hit in hits)
    counts = {
        "documents": len(documents),
        "distinct_documents": len(distinct),
        "evaluation_prompts": len(prompts),
        "evaluation_prompts_found": n_found,
        "sha256": hashlib.sha256(np.ascontiguousarray(documents.tokens).tobytes()).hexdigest(),
    }
    if n_found:
        raise ValueError(f"the stream contains prompts that are reserved for the evaluation: {counts}")
    return counts
