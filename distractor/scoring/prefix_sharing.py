"""Packs the prompts and answers of one item that share a prefix into one sequence."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy import ndarray
from torch import Tensor

from distractor.models.model import AttentionMask
from distractor.scoring.encode import Encoded, Tokens

SMALL_BATCH = 512  # a batch with fewer tokens than this may mix lengths: a forward pass on so few tokens wastes time
MIXED_LENGTHS = 7 / 8  # in a mixed batch, the shortest sequence has at least this share of the length of the longest
MAX_PACKED_SHARE = 0.8  # packing is used if it leaves at most this share of an item's tokens
Target = tuple[int, int, int]  # a token to score: the index of the prompt, the index of the answer, and the token


@dataclass(frozen=True, eq=False)
class PackedSequence:
    """Texts merged at shared prefixes; a text without a shared prefix is a separate sequence.

    `parents[k]` is the index of the token before token k in its text, −1 for the first. `targets[k]` are scored after
    token k. Tokens with targets are at the end, so that no other positions are unembedded.
    """

    tokens: Sequence[int]
    parents: Sequence[int]
    targets: Mapping[int, Sequence[Target]]

    @cached_property
    def is_plain(self) -> bool:
        """Whether the sequence is a single text, in which each token follows the one to its left."""
        return all(parent == k - 1 for k, parent in enumerate(self.parents))

    @cached_property
    def n_unembedded(self) -> int:
        """The number of tokens at the end that are unembedded."""
        return len(self.tokens) - min(self.targets)

    @cached_property
    def all_targets(self) -> list[Target]:
        """The targets of all positions, in order."""
        return [target for targets in self.targets.values() for target in targets]

    @property
    def mask_and_positions(self) -> tuple[Bool[ndarray, "query key"], Int[ndarray, " query"]]:
        """Which tokens each token attends to (itself and its ancestors), and its position in its text."""
        n, parents = len(self.tokens), np.array(self.parents)
        visible, positions = np.zeros((n, n), dtype=bool), np.zeros(n, dtype=np.int64)
        branches = np.flatnonzero(parents != np.arange(-1, n - 1))  # where a token does not follow the one to its left
        for start, end in pairwise([0, *branches.tolist(), n]):
            if (parent := parents[start]) >= 0:
                visible[start:end], positions[start:end] = visible[parent], positions[parent] + 1
            visible[start:end, start:end] = np.tri(end - start, dtype=bool)
            positions[start:end] += np.arange(end - start)
        return visible, positions

    @property
    def unpacked(self) -> "list[PackedSequence]":
        """For each position with targets, in order, the plain text that ends there."""
        sequences = []
        for position, targets in self.targets.items():
            path = [position]
            while self.parents[path[-1]] >= 0:
                path.append(self.parents[path[-1]])
            sequences.append(_plain([self.tokens[k] for k in reversed(path)], {len(path) - 1: targets}))
        return sequences

    @property
    def longest_texts(self) -> "list[tuple[PackedSequence, list[int]]]":
        """The plain texts that no other text continues, with all targets on their way: a long answer is one text.

        Each comes with the places of its targets in `all_targets`; every target is in one text.
        """
        found: dict[Tokens, list[tuple[Target, int]]] = {}
        place = 0
        for text, targets in zip(self.unpacked, self.targets.values(), strict=True):
            found.setdefault(tuple(text.tokens), []).extend(
                zip(targets, range(place, place + len(targets)), strict=True)
            )
            place += len(targets)
        ordered = sorted(found)
        longest = [text for text, after in zip(ordered, [*ordered[1:], ()], strict=True) if after[: len(text)] != text]
        texts = []
        for tokens in longest:
            on_way = {k - 1: found.pop(tokens[:k]) for k in range(1, len(tokens) + 1) if tokens[:k] in found}
            text = _plain(tokens, {k: [target for target, _ in of] for k, of in on_way.items()})
            texts.append((text, [number for of in on_way.values() for _, number in of]))
        return texts

    def after(self, prefix: Sequence[int]) -> "PackedSequence":
        """The same sequence with `prefix` before each of its texts."""
        shift = len(prefix)
        parents = [*range(-1, shift - 1), *(shift - 1 if parent < 0 else parent + shift for parent in self.parents)]
        return PackedSequence([*prefix, *self.tokens], parents, {k + shift: of for k, of in self.targets.items()})


def _plain(tokens: Sequence[int], targets: Mapping[int, Sequence[Target]]) -> PackedSequence:
    return PackedSequence(tokens, range(-1, len(tokens) - 1), targets)


def plain_sequences(rows: Sequence[Encoded | None]) -> list[PackedSequence]:
    """A separate sequence for each distinct text (a prompt and an answer) of an item. `rows` are the item's prompts."""
    texts: dict[Tokens, dict[int, list[Target]]] = {}
    for prompt, row in enumerate(rows):
        for answer, tokens in enumerate(row.answers if row else ()):
            assert row is not None
            targets = texts.setdefault(row.prompt + tokens[:-1], {})
            for k, token in enumerate(tokens, len(row.prompt) - 1):
                targets.setdefault(k, []).append((prompt, answer, token))
    return [_plain(text, dict(sorted(targets.items()))) for text, targets in texts.items()]


def packed_sequences(rows: Sequence[Encoded | None], limit: int | None = None) -> list[PackedSequence]:
    """All texts of an item as one packed sequence if that saves enough tokens, else `plain_sequences`.

    A packed sequence has at most `limit` tokens (None: any number).
    """
    texts = plain_sequences(rows)
    if len(texts) < 2:
        return texts
    tokens: list[int] = []
    parents: list[int] = []
    targets: dict[int, list[Target]] = {}
    children: dict[tuple[int, int], int] = {}
    for text in texts:
        position = -1
        for k, token in enumerate(text.tokens):
            step = position, token
            if step not in children:
                children[step] = len(tokens)
                tokens.append(token)
                parents.append(position)
            position = children[step]
            if k in text.targets:
                targets.setdefault(position, []).extend(text.targets[k])
    # A target that other tokens follow stays before them, and a copy of it at the end is scored: in some models (GPT-Neo),
    # no token can attend to one on its right.
    followed: set[int] = set()
    for k in reversed(range(len(tokens))):
        if k not in targets or k in followed:
            followed.add(parents[k])
    for k in sorted(followed & targets.keys()):
        targets[len(tokens)] = targets.pop(k)
        tokens.append(tokens[k])
        parents.append(parents[k])
    if len(tokens) > MAX_PACKED_SHARE * sum(len(text.tokens) for text in texts) or not may_share(len(tokens), limit):
        return texts
    order = [k for k in range(len(tokens)) if k not in targets] + sorted(targets)
    moved = {old: new for new, old in enumerate(order)} | {-1: -1}
    return [
        PackedSequence(
            [tokens[k] for k in order],
            [moved[parents[k]] for k in order],
            {moved[k]: targets[k] for k in sorted(targets)},
        )
    ]


def may_share(length: int, limit: int | None) -> bool:
    """Whether a line of this length may have a mask of its own; `limit` None: any line."""
    return limit is None or length <= limit


def to_tensors(
    sequences: Sequence[PackedSequence], device: torch.device
) -> tuple[Int[Tensor, "row position"], AttentionMask | None]:
    """The tokens of a batch, padded on the left, and its attention mask; None if ordinary causal attention is right."""
    longest = max(len(sequence.tokens) for sequence in sequences)
    tokens = np.zeros((len(sequences), longest), dtype=np.int64)
    for row, sequence in enumerate(sequences):
        tokens[row, longest - len(sequence.tokens) :] = sequence.tokens
    if all(sequence.is_plain and len(sequence.tokens) == longest for sequence in sequences):
        return torch.from_numpy(tokens).to(device), None
    positions = np.zeros_like(tokens)
    visible = np.broadcast_to(np.eye(longest, dtype=bool), (len(sequences), longest, longest)).copy()
    for row, sequence in enumerate(sequences):
        start = longest - len(sequence.tokens)
        visible[row, start:, start:], positions[row, start:] = sequence.mask_and_positions
    ids, *mask = (torch.from_numpy(array).to(device) for array in (tokens, positions, visible))
    return ids, AttentionMask(*mask)


def batches(
    sequences: Sequence[PackedSequence], max_rows: Callable[[int, int], int], *, mixed: bool, limit: int | None = None
) -> list[list[int]]:
    """Group sequences, by index, into batches for one forward pass each; the shortest come first.

    `max_rows` maps length and unembedded tokens to the size of a batch. Only `mixed` batches hold several lengths, of
    at most `limit` tokens (None: any number).
    """
    sizes = [(len(sequence.tokens), sequence.n_unembedded) for sequence in sequences]
    groups: list[list[int]] = []
    most = 0
    for index in sorted(range(len(sequences)), key=lambda k: sizes[k]):
        length, unembedded = sizes[index]
        group = groups[-1] if groups else []
        if group:
            (shortest, _), (longest, last) = sizes[group[0]], sizes[group[-1]]
            may_mix = (
                mixed
                and may_share(length, limit)
                and len(group) * longest < SMALL_BATCH
                and shortest >= MIXED_LENGTHS * length
            )
            fits = len(group) < max_rows(length, max(most, unembedded))
            if fits and (may_mix or (length, unembedded) == (longest, last)):
                group.append(index)
                most = max(most, unembedded)
                continue
        groups.append([index])
        most = unembedded
    return groups
