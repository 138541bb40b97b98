"""The main job: every condition on every model, the two pulls, the shape over size, a verdict, and what is behind it."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from distractor.errors import ScalingError
from distractor.models.source import Source, group_by_size
from distractor.probing.readings import Reading, read_probe
from distractor.progress import Advance
from distractor.scoring import quantities
from distractor.scoring.behaviour import (
    ONE_PLACE,
    PER_CONDITION,
    PULLS,
    ItemValues,
    complete_items,
    limits_of,
    refuse_steps,
    values_of,
)
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.scoring.sweep import Scores, sweep
from distractor.statistics.composed import Composed, compose
from distractor.statistics.groups import Mean, group_means, mean_intervals
from distractor.statistics.shape_test import Shape, delta_of, judge
from distractor.statistics.verdict import Evidence, Verdict, verdict
from distractor.text.task import Condition, Task

if TYPE_CHECKING:
    from distractor.probing.probe import Probe


CONSTANT = 0.95
"""A model that gives one answer on more than this share of items, where the right ones are mixed, is flagged."""


@dataclass(frozen=True, eq=False)
class AblationResult:
    """What was found: scores of each model (the smallest first), the shape of each curve, the verdict, the knock-outs.

    `unjudged` says why there is no verdict, where there is none. Items count that are posed to every model under
    every condition but `distractor_swapped` (*complete* items).
    """

    task: Task
    settings: Settings
    scores: tuple[Scores, ...]
    shapes: Mapping[str, Shape]
    verdict: Verdict | None
    unjudged: str | None = None
    knockouts: tuple[Reading, ...] = field(default=())

    @cached_property
    def complete(self) -> Bool[ndarray, " item"]:
        """Which items count."""
        return complete_items(self.task, self.scores)

    @cached_property
    def values(self) -> tuple[ItemValues, ...]:
        """Per-item values of each model, in the order of `scores`."""
        return tuple(values_of(self.task, scores) for scores in self.scores)

    def held_out(self, source: Source) -> Bool[ndarray, " item"]:
        """Which items belong to groups whose conflict was kept out of the model's training; none where unknown."""
        names = source.held_out.get(self.task.name, frozenset())
        return np.array([item.group in names for item in self.task.items])

    @cached_property
    def sizes(self) -> tuple[tuple[int, ...], ...]:
        """The models of each size, the smallest first, as places in `scores`: see `group_by_size`."""
        return group_by_size(one.source for one in self.scores)

    def mean(
        self,
        models: Sequence[int],
        quantity: str,
        condition: Condition | None = None,
        only: Bool[ndarray, " item"] | None = None,
    ) -> Mean | None:
        """Mean over models and complete items with its 95 % interval over groups of items (these weights: level 1).

        `models` are places in `scores`; `only` narrows the items. A pull has no condition. None where the quantity is
        not defined: neutral has no accuracy, a task without congruent prompts no pulls.
        """
        return self.means(models, [(quantity, condition)], only)[quantity, condition]

    def means(
        self,
        models: Sequence[int],
        wanted: Sequence[tuple[str, Condition | None]],
        only: Bool[ndarray, " item"] | None = None,
    ) -> dict[tuple[str, Condition | None], Mean | None]:
        """The same for several quantities at once, which is quicker."""
        tables = [self.values[model] for model in models]
        counted = self.complete if only is None else self.complete & only
        found: dict[tuple[str, Condition | None], Mean | None] = dict.fromkeys(wanted)
        alike: dict[tuple[bytes, tuple[float, float] | None], list[tuple[str, Condition | None]]] = {}
        rows: dict[tuple[str, Condition | None], ndarray] = {}
        for quantity, condition in wanted:
            if condition is None:
                row = np.mean([values.pulls[quantity] for values in tables], axis=0)
            else:
                place = self.task.conditions.index(condition)
                row = np.mean([values.by_condition[quantity][place] for values in tables], axis=0)
            used = counted & ~np.isnan(row) if condition is Condition.DISTRACTOR_SWAPPED else counted
            if not np.isnan(row[used]).any():
                alike.setdefault((used.tobytes(), limits_of(quantity)), []).append((quantity, condition))
                rows[quantity, condition] = row[used]
        for (used, limits), names in alike.items():
            places = np.flatnonzero(np.frombuffer(used, dtype=bool))
            groups = [self.task.items[i].group for i in places]
            if len(set(groups)) > 1:
                ends = mean_intervals(np.stack([rows[name] for name in names]), groups, limits=limits)
                found |= {name: Mean(*map(float, of_row)) for name, *of_row in zip(names, *ends, strict=True)}
        return found


def ablate(
    task: Task,
    sources: Sequence[Source],
    *,
    store: Store,
    settings: Settings | None = None,
    knockout: "Probe | None" = None,
    advance: Advance = lambda _: None,
) -> AblationResult:
    """Score `task` under all its conditions on all models, judge the curves over size, and look behind them.

    `knockout` is a probe that reads the effect of components; it is applied to `peak_and_top`. Everything is kept in
    `store` and not computed again.

    Raises:
        DistractorError: a model, the task's text under it, or the store is not what it should be.

    """
    settings = settings or Settings()
    if task.format.is_free:
        raise ScalingError(
            f"the prompts of {task.name} are put for {task.format.scoring}, in which nothing is ranked; use answer_freely"
        )
    refuse_steps(sources)
    scores = sweep(task, sources, store, settings, advance)
    scores = sorted(scores, key=lambda one: (one.source.n_params or 0, one.source.seed or 0))
    complete = complete_items(task, scores)
    if not complete.any():
        raise ScalingError(
            f"no item of {task.name} is posed to every model under every condition, so nothing can be compared"
        )
    shapes: dict[str, Shape] = {}
    ruling, unjudged = None, None
    try:
        curves = SizeCurves.over(task, scores, complete)
        shapes = {name: judge(curves.of(name), curves.sizes, delta=delta_of(name)) for name in curves.names}
        ruling = verdict(curves.evidence(task))
    except ScalingError as error:
        unjudged = str(error)
    knockouts = []
    if knockout is not None:
        for source in peak_and_top(task, scores, complete):
            knockouts.append(read_probe(task, source, knockout, store, settings))
            advance(source.name)
    return AblationResult(task, settings, tuple(scores), shapes, ruling, unjudged, tuple(knockouts))


def constant_answer(found: AblationResult, index: int) -> str | None:
    """The one answer that a model gives in `conflict` on more than 95 % of the items, where right ones are mixed."""
    gap = found.values[index].by_condition["logit_gap"][found.task.conditions.index(Condition.CONFLICT)]
    used = [(found.task.items[i], gap[i]) for i in np.flatnonzero(found.complete)]
    given = Counter(item.answers[int(ahead < 0)].strip() for item, ahead in used)
    right = {item.true.strip() for item, _ in used}
    (text, count), *_ = given.most_common(1)
    return text if len(right) > 1 and count > CONSTANT * len(used) else None


def composed_of(found: AblationResult) -> Composed | None:
    """Accuracy in `conflict` as the two tasks scored apart would compose it; None where the task has no negation curve."""
    conditions = (Condition.CONFLICT, Condition.DISTRACTOR_ONLY, Condition.TRUE_ONLY)
    if found.task.true_only_is_pure or any(c not in found.task.conditions for c in conditions):
        return None
    try:
        curves = SizeCurves.over(found.task, found.scores, found.complete)
        conflict, alone, negated = (curves.tables["accuracy", condition] for condition in conditions)
        return compose(conflict, alone, negated, curves.sizes)
    except ScalingError:  # too few sizes for a curve
        return None


def peak_and_top(task: Task, scores: Sequence[Scores], complete: Bool[ndarray, " item"]) -> list[Source]:
    """The first seed of the size at the peak, and of the largest size; one model if they are the same."""
    ends = peak(task, scores, complete), group_by_size(one.source for one in scores)[-1]
    return list(dict.fromkeys(scores[places[0]].source for places in ends))


def peak(task: Task, scores: Sequence[Scores], complete: Bool[ndarray, " item"]) -> tuple[int, ...]:
    """The models, as places in `scores`, of the size at which distractor preference in `conflict` (mean over seeds) peaks."""
    conflict = task.conditions.index(Condition.CONFLICT)
    preferred = [quantities.preference(one.log_probs[conflict][complete]).mean() for one in scores]
    sizes = group_by_size(one.source for one in scores)
    return max(sizes, key=lambda places: float(np.mean([preferred[place] for place in places])))


@dataclass(frozen=True, eq=False)
class SizeCurves:
    """Group means of each quantity over seeds and sizes; a quantity that the task does not define is missing."""

    sizes: tuple[float, ...]
    tables: Mapping[tuple[str, Condition | None], Float[ndarray, "seed size group"]]

    @classmethod
    def over(cls, task: Task, scores: Sequence[Scores], complete: Bool[ndarray, " item"]) -> "SizeCurves":
        """Lay the models out by seed and size.

        Raises:
            ScalingError: two models stand at the same place, or a seed lacks a size that another has.

        """
        seeds = sorted({one.source.seed or 0 for one in scores})
        sizes = sorted({one.source.n_params or 0 for one in scores})
        at = {(one.source.seed or 0, one.source.n_params or 0): one for one in scores}
        if len(at) < len(scores):
            raise ScalingError(ONE_PLACE)
        if len(at) < len(seeds) * len(sizes):
            raise ScalingError("not every seed has every size; name the sizes that all seeds have with --models")
        grid = [[values_of(task, at[seed, size]) for size in sizes] for seed in seeds]
        groups = [item.group for item, is_used in zip(task.items, complete, strict=True) if is_used]

        def lay(pick: Callable[[ItemValues], ndarray]) -> ndarray:
            return group_means(np.array([[pick(values)[complete] for values in row] for row in grid]), groups)

        tables: dict[tuple[str, Condition | None], ndarray] = {
            (name, condition): lay(lambda v, name=name, c=c: v.by_condition[name][c])  # type: ignore[misc]
            for name in PER_CONDITION
            for c, condition in enumerate(task.conditions)
            if condition is not Condition.DISTRACTOR_SWAPPED
        }
        tables |= {(name, None): lay(lambda v, name=name: v.pulls[name]) for name in PULLS}  # type: ignore[misc]
        return cls(tuple(map(float, sizes)), {key: table for key, table in tables.items() if not np.isnan(table).any()})

    @property
    def names(self) -> list[str]:
        """The quantities whose shape is judged: in `conflict` all but coverage, and the two pulls, where defined."""
        wanted = [*((name, Condition.CONFLICT) for name in PER_CONDITION[:3]), *((name, None) for name in PULLS)]
        return [name for name, condition in wanted if (name, condition) in self.tables]

    def of(self, name: str) -> Float[ndarray, "seed size group"]:
        """A pull, or a quantity in `conflict`."""
        return self.tables[name, None if name in PULLS else Condition.CONFLICT]

    def evidence(self, task: Task) -> Evidence:
        """What the verdict rests on.

        Raises:
            ScalingError: the task has no `congruent` prompts, so that the pulls cannot be told apart.

        """
        if any((name, None) not in self.tables for name in PULLS):
            raise ScalingError(
                f"{task.name} has no congruent prompts, so true and distractor pull cannot be told apart"
            )
        get = self.tables.get
        return Evidence(
            sizes=self.sizes,
            preference=self.of("distractor_preference"),
            accuracy=self.of("accuracy"),
            true_pull=self.of("true_pull"),
            distractor_pull=self.of("distractor_pull"),
            preference_neutral=get(("distractor_preference", Condition.NEUTRAL)),
            preference_true_only=get(("distractor_preference", Condition.TRUE_ONLY)),
            accuracy_distractor_only=get(("accuracy", Condition.DISTRACTOR_ONLY)),
            true_only_is_pure=task.true_only_is_pure,
        )
