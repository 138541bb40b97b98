"""Matches positions of prompts with different lengths and wordings by their roles."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from distractor.probing.run import Batch
from distractor.scoring.encode import Role


@dataclass(frozen=True, eq=False)
class Positions:
    """The roles of a batch's tokens: their labels in the order of the prompt, and the index of each token's role.

    A label is the name of a part of the prompt (`cue`). If a part has several tokens, its last token has this label,
    and `subject-1` is the token before `subject`. Padding has the index −1.
    """

    labels: tuple[str, ...]
    index: Int[Tensor, "condition item pos"]

    @classmethod
    def of(cls, batch: Batch) -> "Positions":
        """Number the roles of a batch in the order of the prompt."""
        # The position of each part among the parts of a prompt, from its end.
        places: dict[str, list[int]] = defaultdict(list)
        for line in batch.roles:
            for row in line:
                for place, name in enumerate(dict.fromkeys(name for name, _ in reversed(row))):
                    places[name].append(place)
        roles = {role for line in batch.roles for row in line for role in row}
        order = sorted(roles, key=lambda role: (-sum(places[role[0]]) / len(places[role[0]]), role[0], -role[1]))
        number = {role: n for n, role in enumerate(order)}
        index = np.full(tuple(batch.tokens.shape), -1)
        for c, line in enumerate(batch.roles):
            for i, row in enumerate(line):
                index[c, i, : len(row)] = [number[role] for role in row]
        return cls(tuple(map(label, order)), torch.tensor(index, device=batch.tokens.device))

    def sums(self, value: Float[Tensor, "*rest condition item pos"]) -> Float[Tensor, "*rest role condition item"]:
        """The sum over each role's tokens; 0 if a prompt has no token of the role."""
        sums = [torch.where(self.index == role, value, 0).sum(-1) for role in range(len(self.labels))]
        return torch.stack(sums, -3)

    @property
    def present(self) -> Tensor:
        """Whether a prompt has a token of the role: [role condition item]."""
        return torch.stack([(self.index == role).any(-1) for role in range(len(self.labels))])


def same_roles(prompts: Batch, others: Batch) -> Int[Tensor, "item pos"]:
    """For each token, the position of the token with the same role in the item's other prompt; −1 if there is none."""
    places = torch.full(prompts.tokens.shape[1:], -1)
    for item, (row, other) in enumerate(zip(prompts.roles[0], others.roles[0], strict=True)):
        at = {role: place for place, role in enumerate(other)}
        places[item, : len(row)] = torch.tensor([at.get(role, -1) for role in row])
    return places.to(prompts.tokens.device)


def label(role: Role) -> str:
    """The name of a role on axes and in tables.

    >>> label(("subject", 0)), label(("subject", 2))
    ('subject', 'subject-2')
    """
    name, before_last = role
    return f"{name}-{before_last}" if before_last else name


def example_tokens(batch: Batch, tokenizer: Any, roles: Sequence[str]) -> dict[str, tuple[tuple[str, str], ndarray]]:
    """Coordinates that show the first item's prompts: the `token` of each role, and its `place` (−1: no such role).

    Both coordinates have the dims [condition role]. Figures use them as labels.
    """
    tokens = np.full((len(batch.conditions), len(roles)), "", dtype=object)
    places = np.full(tokens.shape, -1)
    for c, line in enumerate(batch.roles):
        for place, (token, role) in enumerate(zip(batch.tokens[c, 0].tolist(), line[0], strict=False)):
            number = roles.index(label(role)) if label(role) in roles else None
            if number is not None:
                tokens[c, number], places[c, number] = tokenizer.decode([token]), place
    return {"token": (("condition", "role"), tokens.astype(str)), "place": (("condition", "role"), places)}
