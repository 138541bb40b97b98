"""Prompts of several items side by side in lines of similar length, so that little of a pass is padding.

The prompts of an item under several conditions often begin alike. Their common tokens are computed once.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from distractor.models.model import AttentionMask
from distractor.probing.run import Batch

LINE_TOKENS = 256  # the length of a line: attention is a small part of the cost, and lines are filled evenly


@dataclass(frozen=True, eq=False)
class Lines:
    """Where each token of a batch is in some lines, and which tokens it attends to.

    `source` numbers the token of the batch [condition item pos] at each place; −1 is padding. `place` is the reverse: the
    number of the place [line place] of each token of the batch, and 0 for the batch's padding. `items` has the items of
    each line. `mask` is None if each prompt has a line of its own.
    """

    tokens: Int[Tensor, "line place"]
    source: Int[Tensor, "line place"]
    place: Int[Tensor, "condition item pos"]
    mask: AttentionMask | None
    items: tuple[tuple[int, ...], ...]

    @classmethod
    def plain(cls, batch: Batch) -> "Lines":
        """Each prompt in a line of its own, padded on the right."""
        n_conditions, n_items, width = batch.tokens.shape
        number = torch.arange(batch.tokens.numel(), device=batch.tokens.device).view(batch.tokens.shape)
        is_token = torch.arange(width, device=number.device) < batch.lengths[:, None]
        return cls(
            batch.tokens.flatten(0, 1),
            number.masked_fill(~is_token, -1).flatten(0, 1),
            number.masked_fill(~is_token, 0),
            None,
            tuple((item,) for _ in range(n_conditions) for item in range(n_items)),
        )

    @classmethod
    def of(cls, batch: Batch, *, share: bool) -> "Lines":
        """Distribute the prompts of a batch. With `share`, tokens are shared where an item's prompts begin alike.

        Prompts begin alike up to the first token, or role of a token, that differs between the conditions.
        """
        n_conditions, n_items, width = batch.tokens.shape
        numbers = np.arange(batch.tokens.numel()).reshape(batch.tokens.shape)
        blocks = [
            block
            for item in range(n_items)
            for block in (_shared_block(batch, item) if share else _blocks(n_conditions, int(batch.lengths[item])))
        ]
        of_item = [item for item in range(n_items) for _ in range(1 if share else n_conditions)]
        sizes = [len(block) for block in blocks]
        lines = _filled(sizes, max(LINE_TOKENS, *sizes))
        longest = max(sum(sizes[k] for k in line) for line in lines)
        shape = len(lines), longest
        source, position = np.full(shape, -1), np.zeros(shape, dtype=np.int64)
        text, branch = np.full(shape, -1), np.zeros(shape, dtype=np.int64)
        place = np.zeros((n_conditions, n_items, width), dtype=np.int64)
        for number, line in enumerate(lines):
            start = 0
            for k in line:
                item, here = of_item[k], slice(start, start + sizes[k])
                condition, pos = np.array(blocks[k]).T
                is_shared = condition < 0
                source[number, here] = numbers[np.where(is_shared, 0, condition), item, pos]
                position[number, here], text[number, here], branch[number, here] = pos, k, condition
                at = number * longest + np.arange(start, start + sizes[k])
                for c in range(n_conditions):
                    is_own = is_shared | (condition == c)
                    place[c, item, pos[is_own]] = at[is_own]
                start += sizes[k]
        together = text[:, :, None] == text[:, None]
        is_before = position[:, :, None] >= position[:, None]
        is_common = (branch[:, None] < 0) | (branch[:, :, None] == branch[:, None])
        every = (torch.from_numpy(x).to(batch.tokens.device) for x in (source, place, position))
        of_place, of_token, positions = every
        return cls(
            batch.tokens.flatten()[of_place.clamp(min=0)],
            of_place,
            of_token,
            AttentionMask(positions, torch.from_numpy(together & is_before & is_common).to(batch.tokens.device)),
            tuple(tuple(dict.fromkeys(of_item[k] for k in line)) for line in lines),
        )


Block = list[tuple[int, int]]
"""Tokens that attend to no others: the condition of each (−1: all) and its position in the prompt."""


def _blocks(conditions: int, length: int) -> list[Block]:
    """Each prompt of an item alone."""
    return [[(condition, pos) for pos in range(length)] for condition in range(conditions)]


def _shared_block(batch: Batch, item: int) -> list[Block]:
    """All prompts of an item together."""
    length, conditions = int(batch.lengths[item]), range(len(batch.conditions))
    tokens = batch.tokens[:, item].tolist()
    shared = 0
    while shared < length and all(
        tokens[c][shared] == tokens[0][shared] and batch.roles[c][item][shared] == batch.roles[0][item][shared]
        for c in conditions
    ):
        shared += 1
    return [[(-1, pos) for pos in range(shared)] + [(c, pos) for c in conditions for pos in range(shared, length)]]


def _filled(sizes: Sequence[int], length: int) -> list[list[int]]:
    """The numbers of the blocks in each line: as many lines of about this length as are needed, filled evenly."""
    filled = [(0, line) for line in range(-(-sum(sizes) // length))]
    lines: list[list[int]] = [[] for _ in filled]
    for k in sorted(range(len(sizes)), key=lambda k: -sizes[k]):
        much, line = heapq.heappop(filled)
        lines[line].append(k)
        heapq.heappush(filled, (much + sizes[k], line))
    return [line for line in lines if line]
