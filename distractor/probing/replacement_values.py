"""Replacement values for ablation: mean or resampled activations of other groups' items, by role.

They are balanced over conditions and answers, because a mean over `conflict` alone would keep the cue. A mean over
`conflict` and `congruent` keeps what both share, such as that there is a cue. Prompts of other conditions, such as
`neutral`, do not have it. They may have other lengths.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from distractor.errors import TaskError
from distractor.probing.run import Batch

TOKENS_AT_ONCE = 2**14  # the number of tokens that are averaged or replaced at once, which limits memory


@dataclass(frozen=True, eq=False)
class ReplacementValues:
    """The role number, fold and cell (condition × answer label) of each token of a batch.

    Padding has the role −1. Groups of items are split into folds; an item's replacement values come from the other folds.
    `givers` number the batches from which the values are taken; without any, they are taken from the batch itself.
    """

    role: Int[Tensor, "condition item pos"]
    within: Int[Tensor, " role"]  # the number of the role's part of the prompt
    fold: Int[Tensor, " item"]
    cell: Int[Tensor, "condition item"]
    givers: "tuple[ReplacementValues, ...]" = ()

    @classmethod
    def of(cls, batch: Batch, folds: int, givers: Sequence[Batch] = ()) -> "ReplacementValues":
        """Number the roles, folds and cells of a batch, and of the batches that give values.

        Raises TaskError if all items that give values are of one group.
        """
        every = (batch, *givers)
        roles = sorted({role for one in every for line in one.roles for row in line for role in row})
        labels = list(dict.fromkeys(item.true for one in every for item in one.items))
        giving = [item.group for one in givers or (batch,) for item in one.items]
        # Groups that give values come first, so that they are in several folds.
        groups = list(dict.fromkeys([*giving, *(item.group for item in batch.items)]))
        if len(set(giving)) < 2:
            raise TaskError(
                f"all {len(giving)} items are of the group {groups[0]!r}, but mean ablation averages over other groups; "
                "take more items"
            )
        parts = sorted({name for name, _ in roles})
        number = {role: n for n, role in enumerate(roles)}
        device = batch.tokens.device
        made: list[ReplacementValues] = []
        n_conditions = 0
        for one in every:
            role = np.full(tuple(one.tokens.shape), -1)
            for c, line in enumerate(one.roles):
                for i, row in enumerate(line):
                    role[c, i, : len(row)] = [number[r] for r in row]
            conditions = range(n_conditions, n_conditions + len(one.conditions))
            n_conditions += len(one.conditions)
            cell = [[c * len(labels) + labels.index(item.true) for item in one.items] for c in conditions]
            made.append(
                cls(
                    role=torch.tensor(role, device=device),
                    within=torch.tensor([parts.index(name) for name, _ in roles], device=device),
                    fold=torch.tensor([groups.index(item.group) % folds for item in one.items], device=device),
                    cell=torch.tensor(cell, device=device),
                )
            )
        return replace(made[0], givers=tuple(made[1:]))

    def mean(
        self, value: Float[Tensor, "condition item pos *rest"], given: Sequence[Tensor] = ()
    ) -> Float[Tensor, "condition item pos *rest"]:
        """For each token, the balanced mean of `value` over tokens of its role in the other folds.

        With `givers`, the mean is over `given`, the values at the same site in their batches. If no other fold has this
        role (an option longer than all others), the mean is over the role's whole part of the prompt. If none has this
        part, it is over all tokens.
        """
        return self.spread(self.means(value, given), value.shape[3:])

    def means(
        self, value: Float[Tensor, "condition item pos *rest"], given: Sequence[Tensor] = ()
    ) -> Float[Tensor, "fold role d"]:
        """The values of `mean` for each fold and role: small, so that those of many layers can be in memory at once."""
        sources = [(one, giver.tokens) for one, giver in zip(given, self.givers, strict=True)] or [(value, self.tokens)]
        exact, known = self._balanced(sources, lambda key: key, len(self.within))
        part, part_known = self._balanced(sources, lambda key: self.within[key], int(self.within.max()) + 1)
        whole, _ = self._balanced(sources, torch.zeros_like, 1)
        of_part = torch.where(part_known[..., None], part, whole)[:, self.within]
        return torch.where(known[..., None], exact, of_part)

    def spread(
        self, means: Float[Tensor, "fold role d"], rest: Sequence[int]
    ) -> Float[Tensor, "condition item pos *rest"]:
        """Each token's mean, with the last axes `rest`; 0 at padding."""
        at, out = self.tokens, means.new_zeros((*self.role.shape, *rest))
        for role, fold, place in zip(*(x.split(TOKENS_AT_ONCE) for x in (at.key, at.fold, at.places)), strict=True):
            out[tuple(place.T)] = means[fold, role].unflatten(1, rest)
        return out

    @property
    def tokens(self) -> "_Tokens":
        """The tokens of the batch; their key is the role."""
        places = (self.role >= 0).nonzero()
        condition, item, _ = places.unbind(-1)
        return _Tokens(self.role[tuple(places.T)], self.fold[item], self.cell[condition, item], places)

    def draw(self, rng: np.random.Generator) -> "Donors":
        """A random donor from another fold for each prompt: uniform over cells, then over the prompts of a cell.

        A token is replaced by the donor's token of the same role. Without such a token, the nearest token in the same
        part of the prompt is used. Without this part, the token at the same distance from the end is used.
        """
        fold, cell, role = (x.cpu().numpy() for x in (self.fold, self.cell, self.role))
        part = np.where(role >= 0, self.within.cpu().numpy()[role], -1)
        prompts = np.argwhere(cell >= 0).reshape(*cell.shape, 2)
        places = np.zeros((*role.shape, 3), dtype=np.int64)
        for c, i in np.ndindex(*cell.shape):
            cells = np.unique(cell[:, fold != fold[i]])
            donors = prompts[(cell == rng.choice(cells)) & (fold != fold[i])]
            d, j = donors[rng.integers(len(donors))]
            length, theirs = int((role[c, i] >= 0).sum()), int((role[d, j] >= 0).sum())
            for place in range(length):
                alike = np.flatnonzero(part[d, j] == part[c, i, place])
                from_end = max(0, theirs - length + place)
                nearest = alike[np.abs(role[d, j, alike] - role[c, i, place]).argmin()] if alike.size else from_end
                places[c, i, place] = d, j, nearest
        return Donors(*torch.tensor(places, device=self.role.device).unbind(-1))

    def _balanced(
        self, sources: "Sequence[tuple[Tensor, _Tokens]]", key_of: Callable[[Tensor], Tensor], keys: int
    ) -> tuple[Float[Tensor, "fold key d"], Tensor]:
        """Means by key over all other folds and over non-empty cells, and whether any cell has values."""
        folds = 1 + max(int(fold.max()) for fold in (self.fold, *(at.fold for _, at in sources)))
        cells = 1 + max(int(at.cell.max()) for _, at in sources)
        first, width = sources[0][0], sources[0][0][0, 0, 0].numel()
        total = torch.zeros(folds * cells * keys, width, dtype=torch.float64, device=first.device)
        count = torch.zeros(folds * cells * keys, 1, dtype=torch.float64, device=first.device)
        for value, at in sources:
            index = (at.fold * cells + at.cell) * keys + key_of(at.key)
            for here, place in zip(index.split(TOKENS_AT_ONCE), at.places.split(TOKENS_AT_ONCE), strict=True):
                total.index_add_(0, here, value[tuple(place.T)].flatten(1).double())
            count.index_add_(0, index, torch.ones(len(index), 1, dtype=torch.float64, device=first.device))
        total, count = total.view(folds, cells, keys, -1), count.view(folds, cells, keys, 1)
        total, count = total.sum(0) - total, count.sum(0) - count
        any_here = count > 0
        mean = (total / count.clamp(min=1)).sum(1) / any_here.sum(1).clamp(min=1)
        return mean.to(value.dtype), any_here.any(1).squeeze(-1)


class _Tokens(NamedTuple):
    """The tokens of a batch without padding: for each, the key of its average, its fold, its cell, and [condition item
    pos].
    """

    key: Int[Tensor, " token"]
    fold: Int[Tensor, " token"]
    cell: Int[Tensor, " token"]
    places: Int[Tensor, "token 3"]


@dataclass(frozen=True, eq=False)
class Donors:
    """The donor of each token: another prompt of the batch and a position in it."""

    condition: Int[Tensor, "condition item pos"]
    item: Int[Tensor, "condition item pos"]
    pos: Int[Tensor, "condition item pos"]

    def give(self, value: Float[Tensor, "condition item pos *rest"]) -> Float[Tensor, "condition item pos *rest"]:
        """The donor's activation for each token."""
        return value[self.condition, self.item, self.pos]
