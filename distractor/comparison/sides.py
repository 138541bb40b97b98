"""Groups the compared models into sides: a model at one step, with all its seeds."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from distractor.comparison.steps import MIN_STEPS
from distractor.models.source import Source

ALL_PAIRS = 4
"""The largest number of sides for which all pairs are compared; of more sides, each is compared with the first."""


@dataclass(frozen=True)
class Side:
    """One side of a comparison: its name and its models, one per seed, as positions in `ComparisonResult.scores`."""

    name: str
    members: tuple[int, ...]


def sides_of(sources: Sequence[Source]) -> tuple[tuple[Side, ...], dict[str, tuple[int, ...]]]:
    """Returns the sides in the given order, and the models to follow along training: {name: positions by step}.

    If all models are seeds of one model, each seed is a side. A model given at `MIN_STEPS` steps or more is followed along
    training; its first and last step are then the sides.
    """
    members: dict[tuple[Any, ...], list[int]] = {}
    for position, source in enumerate(sources):
        members.setdefault((*model_key(source), source.step), []).append(position)
    if len(members) == 1:  # only seeds of one model
        members = {(*key, position): [position] for key, positions in members.items() for position in positions}
    steps: dict[tuple[Any, ...], dict[int, tuple[Any, ...]]] = {}
    for key, positions in members.items():
        source = sources[positions[0]]
        if source.step is not None:
            steps.setdefault(model_key(source), {})[source.step] = key
    followed = {}
    for model, keys in steps.items():
        if len(keys) >= MIN_STEPS:
            ordered = [members.pop(keys[step]) for step in sorted(keys)]
            followed[_base_name(sources[ordered[0][0]])] = tuple(position for group in ordered for position in group)
            members |= {(*model, "first"): ordered[0], (*model, "last"): ordered[-1]}
    names = [_side_name(sources, positions) for positions in members.values()]
    count = Counter(names)
    sides = (
        Side(sources[positions[0]].place if count[name] > 1 else name, tuple(positions))
        for name, positions in zip(names, members.values(), strict=True)
    )
    return tuple(sides), followed


def pairs_of(n_sides: int) -> list[tuple[int, int]]:
    """The pairs of sides to compare: all pairs, or with more than four sides each with the first."""
    return [pair for pair in combinations(range(n_sides), 2) if n_sides <= ALL_PAIRS or pair[0] == 0]


def model_key(source: Source) -> tuple[Any, ...]:
    """What the seeds and steps of one model share. A folder without seed and step is a separate model."""
    has_seed_or_step = source.seed is not None or source.step is not None
    model = source.model if source.step is None else source.model.partition("@")[0]
    return source.family, model, None if has_seed_or_step else source.place


def _base_name(source: Source) -> str:
    """A model's name without its seed and step."""
    return source.name.partition("@")[0].removesuffix(f"/seed{source.seed}")


def _side_name(sources: Sequence[Source], members: Sequence[int]) -> str:
    """Adds the seed if the side has only one, and the step if the model is given at several steps."""
    source = sources[members[0]]
    if source.seed is None and source.step is None:
        return source.name
    seed = f"/seed{source.seed}" if len(members) == 1 and source.seed is not None else ""
    steps = {other.step for other in sources if model_key(other) == model_key(source)}
    step = f"@{source.step}" if source.step is not None and (len(steps) > 1 or "@" in source.name) else ""
    return f"{_base_name(source)}{seed}{step}"
