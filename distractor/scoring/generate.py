"""Greedy generation through the key/value cache: what a model writes behind each prompt, many prompts at a time.

Only prompts of equal length go through together. So nothing is padded, and what a prompt is answered does not depend on
which others are asked.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch

from distractor.errors import ModelError
from distractor.models.model import Model
from distractor.scoring.encode import Tokens
from distractor.scoring.score import rows_per_pass
from distractor.text.task import Item

End = Literal["stop", "eos", "limit"]
"""What ended a text: one of the stop strings, the model itself, or the length limit."""


STOPS = ("\n\n", "\nQuestion:")
"""Where an answer is over: at a blank line, as between worked examples, or where the model goes on to ask."""


@dataclass(frozen=True)
class Generated:
    """What a model wrote: its tokens, all of them, the text up to where it was stopped, and what ended it."""

    tokens: Tokens
    text: str
    end: End


@torch.inference_mode()
def generate(
    model: Model,
    items: Sequence[Item],
    prompts: Sequence[Tokens],
    max_tokens: int,
    stops: Sequence[str] = STOPS,
    batch_size: int | None = None,
) -> list[Generated]:
    """What the model writes behind each prompt, always taking the likeliest token, of equal ones the first.

    Raises:
        ModelError: a logit is NaN; the item is named. Or a prompt does not fit into the context with what may be written.

    """
    longest = max(map(len, prompts), default=0) + max_tokens - 1  # the last token written is never read
    if model.context is not None and longest > model.context:
        raise ModelError(
            f"{model.name}: {longest} positions are needed for a prompt and the {max_tokens} tokens that may be written "
            f"behind it, the model's context has {model.context}; shorten the prompts or lower the limit"
        )
    by_length: dict[int, list[int]] = defaultdict(list)
    for index, prompt in enumerate(prompts):
        by_length[len(prompt)].append(index)
    found: dict[int, Generated] = {}
    for length, indices in sorted(by_length.items()):
        size = rows_per_pass(length + max_tokens, 1, model.vocab, batch_size)
        for start in range(0, len(indices), size):
            together = indices[start : start + size]
            written = _continue(
                model, [items[i] for i in together], [prompts[i] for i in together], max_tokens, tuple(stops)
            )
            found.update(zip(together, written, strict=True))
    return [found[index] for index in range(len(prompts))]


def _continue(
    model: Model, items: list[Item], prompts: list[Tokens], max_tokens: int, stops: tuple[str, ...]
) -> list[Generated]:
    """Prompts of one length; a row is left out of the batch as soon as it is at its end."""
    ends = model.end_tokens
    rows: list[list[int]] = [[] for _ in prompts]
    done: dict[int, Generated] = {}
    running = list(range(len(prompts)))
    step, past = torch.tensor(prompts, device=model.device), None
    kept: list[int] | None = None
    while running:
        logits, past = model.next_logits(step, past, kept)
        if bool(logits.isnan().any()):
            broken = items[running[int(logits.isnan().any(-1).int().argmax())]].id
            raise ModelError(
                f"{model.name}: the logits behind item {broken} are not finite (NaN); the weights are damaged, or the "
                "dtype is too narrow: try --dtype float32"
            )
        chosen = logits.argmax(-1)
        for place, row in enumerate(running):
            rows[row].append(int(chosen[place]))
            text = model.tokenizer.decode(
                [token for token in rows[row] if token not in ends], clean_up_tokenization_spaces=False
            )
            end = _end(text, rows[row], ends, stops, max_tokens)
            if end is not None:
                done[row] = Generated(tuple(rows[row]), _cut(text, stops), end)
        left = [place for place, row in enumerate(running) if row not in done]
        kept = left if len(left) < len(running) else None
        running = [running[place] for place in left]
        step = chosen[left][:, None]
    return [done[row] for row in range(len(prompts))]


def _end(text: str, tokens: list[int], ends: frozenset[int], stops: tuple[str, ...], max_tokens: int) -> End | None:
    if tokens[-1] in ends:
        return "eos"
    if any(_pattern(stop).search(text) for stop in stops):
        return "stop"
    return "limit" if len(tokens) >= max_tokens else None


def _cut(text: str, stops: tuple[str, ...]) -> str:
    """The text before the first stop string."""
    found = [match.start() for stop in stops if (match := _pattern(stop).search(text))]
    return text[: min(found)] if found else text


@cache
def _pattern(stop: str) -> re.Pattern[str]:
    r"""A stop string, also where spaces stand between its signs: some tokenizers write a space between any two tokens.

    >>> bool(_pattern("\n\nQuestion:").search("B \n \n Question :"))
    True
    """
    return re.compile(r"[^\S\n]*".join(re.escape(part) for part in re.findall(r"\n|\w+|[^\w\s]| +", stop)))
