"""Greedy generation with the key/value cache, many prompts at a time.

Only prompts of equal length share a batch. So there is no padding, and a text does not depend on the other prompts.
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
from distractor.scoring.pass_size import in_parts, rows_per_pass
from distractor.text.task import Item
from distractor.work import record_share

End = Literal["stop", "eos", "limit"]  # a stop string, the EOS token, or the length limit
STOPS = ("\n\n", "\nQuestion:")  # end an answer: a blank line, which also separates worked examples, or a new question


@dataclass(frozen=True)
class Generated:
    """A generated text: all its tokens, the text before any stop string, and why it ended."""

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
    """Continue each prompt greedily. Raises ModelError if a logit is NaN (it names the item), or the context is too short."""
    longest = max(map(len, prompts), default=0) + max_tokens - 1  # the model never reads the last generated token
    if model.context is not None and longest > model.context:
        raise ModelError(
            f"{model.name}: a prompt with the {max_tokens} tokens to generate takes {longest} positions, but the model's "
            f"context has {model.context}; shorten the prompts or lower the limit"
        )
    for length in {len(prompt) for prompt in prompts}:
        model.refuse_moving_positions(length, length + max_tokens - 1)
    by_length: dict[int, list[int]] = defaultdict(list)
    for index, prompt in enumerate(prompts):
        by_length[len(prompt)].append(index)
    texts: dict[int, Generated] = {}
    for length, indices in sorted(by_length.items()):
        left = indices
        while left:
            size = rows_per_pass(length + max_tokens, 1, model.vocab, batch_size)
            batch, left = left[:size], left[size:]

            def write(some: Sequence[int]) -> list[Generated]:
                share = len(texts) / len(prompts), len(some) / len(prompts)
                return _generate(
                    model, [items[i] for i in some], [prompts[i] for i in some], max_tokens, tuple(stops), share
                )

            texts.update(zip(batch, in_parts(write, batch), strict=True))
    return [texts[index] for index in range(len(prompts))]


def _generate(
    model: Model,
    items: list[Item],
    prompts: list[Tokens],
    max_tokens: int,
    stops: tuple[str, ...],
    share: tuple[float, float],
) -> list[Generated]:
    """Continue prompts of one length; a row leaves the batch as soon as its text ends.

    `share` is the share of all texts that are done, and that of these.
    """
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
                f"{model.name}: the logits for item {broken} are not finite (NaN); the weights are damaged, or the dtype is "
                "too narrow: try --dtype float32"
            )
        chosen = logits.argmax(-1)
        for index, row in enumerate(running):
            rows[row].append(int(chosen[index]))
            visible = [token for token in rows[row] if token not in ends]
            text = model.tokenizer.decode(visible, clean_up_tokenization_spaces=False)
            matches = [match.start() for stop in stops if (match := _pattern(stop).search(text))]
            end: End | None = "limit" if len(rows[row]) >= max_tokens else None
            end = "eos" if rows[row][-1] in ends else "stop" if matches else end
            if end is not None:
                done[row] = Generated(tuple(rows[row]), text[: min(matches, default=None)], end)
        left = [index for index, row in enumerate(running) if row not in done]
        written = len(done) + len(left) * max(map(len, rows)) / max_tokens
        record_share(share[0] + share[1] * written / len(prompts))
        kept = left if len(left) < len(running) else None
        running = [running[index] for index in left]
        step = chosen[left][:, None]
    return [done[row] for row in range(len(prompts))]


@cache
def _pattern(stop: str) -> re.Pattern[str]:
    r"""Match a stop string even with spaces inside, because some tokenizers insert a space between any two tokens.

    >>> bool(_pattern("\n\nQuestion:").search("B \n \n Question :"))
    True
    """
    return re.compile(r"[^\S\n]*".join(re.escape(part) for part in re.findall(r"\n|\w+|[^\w\s]| +", stop)))
