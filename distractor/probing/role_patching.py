"""Activation patching between prompts of different lengths: positions are matched by their roles."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from distractor.errors import TaskError
from distractor.models.hook_check import require_full_precision
from distractor.models.site import Part, Site
from distractor.probing.patching_map import Node, PatchingMap
from distractor.probing.positions import Positions, same_roles
from distractor.probing.run import Run, observe


def beside(run: Run, other: Run) -> tuple[Run, Run]:
    """The runs of the same items under two conditions, each padded to the longer of the two."""
    longest = max(run.batch.tokens.shape[2], other.batch.tokens.shape[2])
    return _padded(run, longest), _padded(other, longest)


def patched_by_role(
    pair: tuple[Run, Run], parts: Sequence[Part], only: Sequence[str] = ()
) -> tuple[PatchingMap, Float[Tensor, "node direction=2 item"]]:
    """The map of `parts`, and the change of the gap if a prompt gets the other's activation at each cell.

    Only positions whose role both prompts have are exchanged; with roles in `only`, only these. NaN if an item has none.

    Raises:
        TaskError: no item has a requested role, or no parts are left.
        ModelError: a log-probability is NaN, or the model is in half precision.
    """
    first, second = pair
    require_full_precision(first.model)
    if not parts:
        raise TaskError(
            "patterns cannot be exchanged between prompts of different lengths; name other parts, such as z and mlp_out"
        )
    cells = PatchingMap.of(_joined(first, second), parts, only)
    found = torch.full((len(cells.nodes), 2, len(first.batch.items)), torch.nan, dtype=torch.float64)
    of_layer: dict[Site, list[tuple[int, Node]]] = {}
    for number, node in enumerate(cells.nodes):
        of_layer.setdefault(Site(node[0].layer, node[0].part), []).append((number, node))
    positions = Positions.of(cells.run.batch)
    places = [same_roles(one.batch, other.batch) for one, other in (pair, pair[::-1])]
    for whole, nodes in of_layer.items():
        values = [observe(run.model, run.batch, [whole]).seen[whole][0] for run in pair]
        for direction, run in enumerate(pair):
            own, given, place = values[direction], values[1 - direction], places[direction]
            moved = given[torch.arange(len(place), device=place.device)[:, None], place.clamp(min=0)]
            changed = [_there(positions, direction, place, name) for _, (_, name) in nodes]
            edits = [
                {whole: _exchanged(own, moved, at, node[0].head)[None]}
                for at, (_, node) in zip(changed, nodes, strict=True)
            ]
            effects = (run.gaps_again(edits)[:, 0] - run.gap[0]).double().cpu()
            has_any = torch.stack([at.any(-1) for at in changed]).cpu()
            found[[number for number, _ in nodes], direction] = torch.where(has_any, effects, torch.nan)
    return cells, found


def _there(
    positions: Positions, row: int, place: Int[Tensor, "item pos"], name: str | None
) -> Bool[Tensor, "item pos"]:
    """The positions of a prompt of the condition `row` that a cell exchanges: those of a role, or all."""
    at = place >= 0
    return at if name is None else at & (positions.index[row] == positions.labels.index(name))


def _exchanged(
    own: Float[Tensor, "item pos *rest"],
    given: Float[Tensor, "item pos *rest"],
    at: Bool[Tensor, "item pos"],
    head: int | None,
) -> Float[Tensor, "item pos *rest"]:
    where = at.reshape(*at.shape, *(1 for _ in own.shape[2:]))
    if head is not None:
        where = where & (torch.arange(own.shape[2], device=own.device) == head)[:, None]
    return torch.where(where, given, own)


def _padded(run: Run, length: int) -> Run:
    tokens = torch.nn.functional.pad(run.batch.tokens, (0, length - run.batch.tokens.shape[2]))
    return replace(run, batch=replace(run.batch, tokens=tokens))


def _joined(first: Run, second: Run) -> Run:
    """Both runs in one, whose batch has the lengths of the first."""
    batch = replace(
        first.batch,
        conditions=first.batch.conditions + second.batch.conditions,
        tokens=torch.cat([first.batch.tokens, second.batch.tokens]),
        roles=first.batch.roles + second.batch.roles,
    )
    return Run(first.model, batch, torch.cat([first.log_probs, second.log_probs]), {})
