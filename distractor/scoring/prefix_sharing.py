"""Prompts and answers that begin alike, laid in one line: what they share stands once, and each sees its own beginning."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy import ndarray
from torch import Tensor

from distractor.models.model import AttentionMask
from distractor.scoring.encode import Encoded, Tokens

ENOUGH = 512
"""From how many tokens on a pass is worth its while: up to here lines of different length go through together."""


NEAR = 7 / 8
"""How long the shortest of them is, as a share of the longest."""


WORTH_IT = 0.8
"""What share of an item's tokens may be left when what they have in common is laid together."""


Asked = tuple[int, int, int]
"""Which of an item's prompts, which answer, and the token whose probability is asked."""


@dataclass(frozen=True, eq=False)
class Line:
    """A tree of tokens: `before[k]` is the place of the token before the k-th, −1 where there is none.

    `asked[k]` is what is asked behind the k-th token. All tokens behind which something is asked stand at the end, so that
    nothing else is unembedded.
    """

    tokens: Sequence[int]
    before: Sequence[int]
    asked: Mapping[int, Sequence[Asked]]

    @property
    def is_text(self) -> bool:
        """Whether it does not branch, so that each token simply follows the one on its left."""
        return all(place == k - 1 for k, place in enumerate(self.before))

    @property
    def kept(self) -> int:
        """How many tokens at the end have to be unembedded."""
        return len(self.tokens) - min(self.asked)

    @property
    def questions(self) -> list[Asked]:
        """All that is asked, place by place."""
        return [one for of_place in self.asked.values() for one in of_place]

    @property
    def sight(self) -> tuple[Bool[ndarray, "place place"], Int[ndarray, " place"]]:
        """What each token sees, itself and all that comes before it on its branch; and where it stands in its text."""
        before, sees = np.array(self.before), np.eye(len(self.tokens), dtype=bool)
        depth, up = np.zeros(len(self.tokens), dtype=np.int64), before
        while (inside := up >= 0).any():
            sees[inside, up[inside]] = True
            depth += inside
            up = np.where(inside, before[up], -1)
        return sees, depth

    @property
    def unfolded(self) -> "list[Line]":
        """For each token behind which something is asked, in order, the text that leads to it."""
        found = []
        for place, asked in self.asked.items():
            branch = [place]
            while self.before[branch[-1]] >= 0:
                branch.append(self.before[branch[-1]])
            shown = tuple(self.tokens[k] for k in reversed(branch))
            found.append(Line(shown, range(-1, len(shown) - 1), {len(shown) - 1: asked}))
        return found


def texts(rows: Sequence[Encoded | None]) -> list[Line]:
    """The prompts of one item with their answers, as lines that do not branch; each text is there once."""
    found: dict[Tokens, dict[int, list[Asked]]] = {}
    for number, row in enumerate(rows):
        for answer, tokens in enumerate(row.answers if row else ()):
            assert row is not None
            asked = found.setdefault(row.prompt + tokens[:-1], {})
            for k, token in enumerate(tokens, len(row.prompt) - 1):
                asked.setdefault(k, []).append((number, answer, token))
    return [Line(shown, range(-1, len(shown) - 1), dict(sorted(asked.items()))) for shown, asked in found.items()]


def branching(rows: Sequence[Encoded | None]) -> list[Line]:
    """The same as one line, if that leaves few enough tokens."""
    plain = texts(rows)
    if len(plain) < 2:
        return plain
    tokens: list[int] = []
    before: list[int] = []
    asked: dict[int, list[Asked]] = {}
    behind: dict[tuple[int, int], int] = {}
    for text in plain:
        place = -1
        for k, token in enumerate(text.tokens):
            step = place, token
            if step not in behind:
                behind[step] = len(tokens)
                tokens.append(token)
                before.append(place)
            place = behind[step]
            if k in text.asked:
                asked.setdefault(place, []).extend(text.asked[k])
    if len(tokens) > WORTH_IT * sum(len(text.tokens) for text in plain):
        return plain
    order = [place for place in range(len(tokens)) if place not in asked] + sorted(asked)
    at = {place: new for new, place in enumerate(order)} | {-1: -1}
    return [
        Line(
            [tokens[place] for place in order],
            [at[before[place]] for place in order],
            {at[place]: asked[place] for place in sorted(asked)},
        )
    ]


def lay(lines: Sequence[Line], device: torch.device) -> tuple[Int[Tensor, "row place"], AttentionMask | None]:
    """The tokens of some lines, filled up on the left, and who sees whom; None where each sees all on its left."""
    longest = max(len(line.tokens) for line in lines)
    tokens = np.zeros((len(lines), longest), dtype=np.int64)
    for row, line in enumerate(lines):
        tokens[row, longest - len(line.tokens) :] = line.tokens
    if all(line.is_text and len(line.tokens) == longest for line in lines):
        return torch.from_numpy(tokens).to(device), None
    positions = np.zeros_like(tokens)
    sees = np.broadcast_to(np.eye(longest, dtype=bool), (len(lines), longest, longest)).copy()
    for row, line in enumerate(lines):
        start = longest - len(line.tokens)
        sees[row, start:, start:], positions[row, start:] = line.sight
    tables = (tokens, positions, sees, positions[:, :, None] - positions[:, None])
    tokens_, *mask = (torch.from_numpy(table).to(device) for table in tables)
    return tokens_, AttentionMask(*mask)


def batches(lines: Sequence[Line], room: Callable[[int, int], int], *, mixed: bool) -> list[list[int]]:
    """Which lines go through together, the shortest first; those of different length only where `mixed`.

    `room` says how many lines a pass holds, from their length and how many tokens of each are unembedded.
    """
    sizes = [(len(line.tokens), line.kept) for line in lines]
    found: list[list[int]] = []
    most = 0
    for number in sorted(range(len(lines)), key=lambda k: sizes[k]):
        length, kept = sizes[number]
        here = found[-1] if found else []
        if here:
            (shortest, _), (longest, last) = sizes[here[0]], sizes[here[-1]]
            few = mixed and len(here) * longest < ENOUGH and shortest >= NEAR * length
            if (few or (length, kept) == (longest, last)) and len(here) < room(length, max(most, kept)):
                here.append(number)
                most = max(most, kept)
                continue
        found.append([number])
        most = kept
    return found
