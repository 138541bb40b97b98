"""Computes `distractor ablate`: scores under every condition, pulls, shapes over size, the verdict and knock-outs."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from distractor.ablation.bare import bare_accuracy
from distractor.errors import ScalingError, SingleTokenError
from distractor.models.mixture import mixture
from distractor.models.source import Source, group_by_size
from distractor.probing.readings import KNOCKOUTS, Reading, ReadingsRequest
from distractor.published.curves import Published
from distractor.scoring.behaviour import (
    PER_CONDITION,
    PULLS,
    SAME_SIZE_AND_SEED,
    ItemValues,
    TaskScores,
    complete_items,
    models_at_peak,
    quantity_limits,
    refuse_several_steps,
    values_of,
    why_mixed,
)
from distractor.scoring.requests import compute_first
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.scoring.sweep import Scores, sweep
from distractor.statistics.composed import Composed, compose
from distractor.statistics.group_values import count_items, weigh
from distractor.statistics.intervals import (
    MIN_SEEDS,
    Mean,
    group_means,
    known_interval_of_models,
    mean_intervals,
    number_groups,
)
from distractor.statistics.modes import Modes, modes
from distractor.statistics.shape_test import DELTA, SHARES, Shape, delta_of, judge
from distractor.statistics.standard_errors import effective_groups
from distractor.statistics.verdict import Evidence, Verdict, verdict
from distractor.statistics.weighting import weighting_notes
from distractor.text.task import Condition, Task
from distractor.work import stage

if TYPE_CHECKING:
    from distractor.probing.probe import Probe

QuantityKey = tuple[str, Condition | None]  # a quantity under a condition; the pulls have no condition
CONSTANT_SHARE = 0.95  # a model that gives the same answer to more than this share of items is flagged


@dataclass(frozen=True, eq=False)
class AblationResult(TaskScores):
    """Scores of all models (smallest first), the shape of each quantity over size, the verdict and the knock-outs.

    `unjudged` gives the reason if there is no verdict. `bare` is the accuracy of the largest models without worked examples
    (see `bare_accuracy`). `published` are the curves of other models that the user asked for. `no_knockout` gives the reason
    if nothing could be knocked out.
    """

    shapes: Mapping[str, Shape]
    verdict: Verdict | None
    unjudged: str | None = None
    knockouts: tuple[Reading, ...] = ()
    bare: Float[ndarray, " item"] | None = None
    published: tuple[Published, ...] = ()
    no_knockout: str = ""

    @cached_property
    def weighting(self) -> tuple[str, ...]:
        """Warnings about groups of unequal size, for distractor preference in `conflict`; see `weighting_notes`."""
        if not self.shapes:
            return ()
        curves = SizeCurves.over(self.task, self.scores, self.complete)
        preference = curves.of("distractor_preference")
        return tuple(weighting_notes(preference, curves.counts, curves.sizes, delta=DELTA))

    def held_out(self, source: Source) -> Bool[ndarray, " item"]:
        """Which items belong to groups that the model never saw in `conflict` during training; all False if unknown."""
        names = source.held_out.get(self.task.name, frozenset())
        return np.array([item.group in names for item in self.task.items])

    def mean(
        self,
        models: Sequence[int],
        quantity: str,
        condition: Condition | None = None,
        only: Bool[ndarray, " item"] | None = None,
    ) -> Mean | None:
        """Mean over models and complete items, with its 95 % interval.

        The interval of the three or more seeds of a size is of level 2, over seeds and item groups, if all sizes have as
        many (`interval_level`). Otherwise it is of level 1, over item groups. `models` are indices into `scores`; `only`
        restricts the items. None if the quantity is not defined: `neutral` has no accuracy, and a task without `congruent`
        no pulls.
        """
        return self.means(models, [(quantity, condition)], only)[quantity, condition]

    def means(
        self, models: Sequence[int], requested: Sequence[QuantityKey], only: Bool[ndarray, " item"] | None = None
    ) -> dict[QuantityKey, Mean | None]:
        """Means of several quantities, like `mean`, but faster."""
        counted = self.complete if only is None else self.complete & only
        means: dict[QuantityKey, Mean | None] = dict.fromkeys(requested)
        if self.interval_level == 2 and len(models) >= MIN_SEEDS:
            for key in requested:
                values = np.array([np.where(counted, self.item_values(model, *key), np.nan) for model in models])
                means[key] = known_interval_of_models(values, self.group_numbers, limits=quantity_limits(key[0]))
            return means
        for limits in {quantity_limits(quantity) for quantity, _ in requested}:
            keys = [key for key in requested if quantity_limits(key[0]) == limits]
            rows = [np.mean([self.item_values(model, *key) for model in models], axis=0) for key in keys]
            ends = mean_intervals(np.where(counted, rows, np.nan), self.group_numbers, limits=limits)
            means |= {key: Mean(*map(float, row)) for key, row in zip(keys, np.transpose(ends), strict=True)}
        return {key: mean if mean and np.isfinite(mean.mean) else None for key, mean in means.items()}


def ablate(
    task: Task,
    sources: Sequence[Source],
    *,
    store: Store,
    settings: Settings | None = None,
    knockout: "Probe | None" = None,
    published: Sequence[Published] = (),
) -> AblationResult:
    """Score `task` under all conditions on all models, judge the curves over size, and knock out components.

    `knockout` is a probe that measures the effect of each component. It runs on the models of `peak_and_largest`. Results
    are kept in `store` and reused. `published` curves are kept beside the result (see `find_published`).

    Raises:
        DistractorError: a model, the task's text or the store is invalid.
    """
    settings = settings or Settings()
    if task.format.is_written:
        raise ScalingError(
            f"the prompts of {task.name} have the format {task.format.scoring}, which has no answers to rank; "
            "use ablate_written"
        )
    refuse_several_steps(sources)
    scores = sweep(task, sources, store, settings)
    scores = sorted(scores, key=lambda each: (each.source.n_params or 0, each.source.seed or 0))
    complete = complete_items(task, scores)
    if not complete.any():
        raise ScalingError(NO_COMPLETE_ITEM.format(task=task.name))
    stage("judging the curves")
    shapes: dict[str, Shape] = {}
    judged, unjudged = None, None
    try:
        if not settings.mixed_families and (why := why_mixed(mixture(sources))):
            raise ScalingError(why)
        curves = SizeCurves.over(task, scores, complete)
        shapes = {
            name: judge(
                curves.of(name),
                curves.sizes,
                delta=delta_of(name),
                is_share=name in SHARES,
                n_effective=curves.n_effective,
            )
            for name in curves.names
        }
        judged = verdict(curves.evidence(task))
    except ScalingError as error:
        unjudged = str(error)
    knockouts, no_knockout = list[Reading](), ""
    if knockout is not None:
        requests = [
            ReadingsRequest(task, source, settings, ((KNOCKOUTS, knockout),))
            for source in peak_and_largest(task, scores, complete)
        ]
        compute_first(requests, store)
        for request in requests:
            try:
                knockouts += request.compute(store)
            except SingleTokenError as error:  # the scores are whole answers, so they count nevertheless
                no_knockout = f"{request.source.name}: {error}"
    bare = bare_accuracy(task, [each.source for each in scores], store, settings)
    return AblationResult(
        task, settings, tuple(scores), shapes, judged, unjudged, tuple(knockouts), bare, tuple(published), no_knockout
    )


NO_COMPLETE_ITEM = "no item of {task} was shown to every model under every condition, so models cannot be compared"


def seed_modes(result: AblationResult, models: Sequence[int]) -> Modes | None:
    """The modes of distractor preference in `conflict` over the seeds of a size; None with fewer than three seeds."""
    if len(models) < MIN_SEEDS:
        return None
    return modes(seed_levels(result, models))


def seed_levels(result: AblationResult, models: Sequence[int]) -> Float[ndarray, " seed"]:
    """Each model's mean distractor preference in `conflict`."""
    rows = [result.item_values(model, "distractor_preference", Condition.CONFLICT) for model in models]
    means: ndarray = np.array(rows)[:, result.complete].mean(1)
    return means


def constant_answer(result: AblationResult, model: int) -> str | None:
    """The answer that a model gives to more than 95 % of the items in `conflict`. None if answers vary, or if one
    answer is always right.
    """
    gap = result.item_values(model, "logit_gap", Condition.CONFLICT)
    used = [(result.task.items[index], gap[index]) for index in np.flatnonzero(result.complete)]
    given = Counter(item.answers[int(ahead < 0)].strip() for item, ahead in used)
    right = {item.true.strip() for item, _ in used}
    (text, count), *_ = given.most_common(1)
    return text if len(right) > 1 and count > CONSTANT_SHARE * len(used) else None


def composed_of(result: AblationResult) -> Composed | None:
    """Accuracy in `conflict` predicted from the two tasks scored separately; None if the task has no negation curve."""
    conditions = (Condition.CONFLICT, Condition.DISTRACTOR_ONLY, Condition.TRUE_ONLY)
    if result.task.true_only_is_pure or any(c not in result.task.conditions for c in conditions):
        return None
    try:
        curves = SizeCurves.over(result.task, result.scores, result.complete)
        conflict, distractor_only, true_only = (curves.tables["accuracy", condition] for condition in conditions)
        return compose(conflict, distractor_only, true_only, curves.sizes)
    except ScalingError:  # too few sizes for a curve
        return None


def peak_and_largest(task: Task, scores: Sequence[Scores], complete: Bool[ndarray, " item"]) -> list[Source]:
    """The first seed of the size at the peak and of the largest size; a single model if these sizes are the same."""
    ends = models_at_peak(task, scores, complete), group_by_size(each.source for each in scores)[-1]
    return list(dict.fromkeys(scores[models[0]].source for models in ends))


@dataclass(frozen=True, eq=False)
class SizeCurves:
    """Group values of each quantity over seeds and sizes, of groups with `counts` items; quantities that the task does not
    define are missing.
    """

    sizes: tuple[float, ...]
    tables: Mapping[QuantityKey, Float[ndarray, "seed size group"]]
    counts: Float[ndarray, " group"]

    @classmethod
    def over(cls, task: Task, scores: Sequence[Scores], complete: Bool[ndarray, " item"]) -> "SizeCurves":
        """Arrange the models by seed and size."""
        seeds = sorted({each.source.seed or 0 for each in scores})
        sizes = sorted({each.source.n_params or 0 for each in scores})
        by_seed_and_size = {(each.source.seed or 0, each.source.n_params or 0): each for each in scores}
        if len(by_seed_and_size) < len(scores):
            raise ScalingError(SAME_SIZE_AND_SEED)
        if len(by_seed_and_size) < len(seeds) * len(sizes):
            raise ScalingError("not every seed has every size; name the sizes that all seeds have with --models")
        grid = [[values_of(task, by_seed_and_size[seed, size]) for size in sizes] for seed in seeds]
        groups = number_groups([item.group for item, is_used in zip(task.items, complete, strict=True) if is_used])
        counts = count_items(groups)

        def table(select: Callable[[ItemValues], ndarray]) -> ndarray:
            per_item = np.array([[select(values)[complete] for values in row] for row in grid])
            return weigh(group_means(per_item, groups), counts)

        tables: dict[QuantityKey, ndarray] = {
            (name, condition): table(lambda v, name=name, c=c: v.by_condition[name][c])  # type: ignore[misc]
            for name in PER_CONDITION
            for c, condition in enumerate(task.conditions)
            if condition is not Condition.DISTRACTOR_SWAPPED
        }
        tables |= {(name, None): table(lambda v, name=name: v.pulls[name]) for name in PULLS}  # type: ignore[misc]
        defined = {key: values for key, values in tables.items() if not np.isnan(values).any()}
        return cls(tuple(map(float, sizes)), defined, counts)

    @property
    def n_effective(self) -> float:
        """The effective number of groups, which differ in size."""
        return effective_groups(self.counts)

    @property
    def names(self) -> list[str]:
        """The defined quantities whose shape is judged: all but coverage in `conflict`, and the two pulls."""
        keys = [*((name, Condition.CONFLICT) for name in PER_CONDITION[:3]), *((name, None) for name in PULLS)]
        return [name for name, condition in keys if (name, condition) in self.tables]

    def of(self, name: str) -> Float[ndarray, "seed size group"]:
        """A pull, or a quantity in `conflict`."""
        return self.tables[name, None if name in PULLS else Condition.CONFLICT]

    def evidence(self, task: Task) -> Evidence:
        """The evidence for the verdict."""
        if any((name, None) not in self.tables for name in PULLS):
            raise ScalingError(
                f"{task.name} has no congruent prompts, so the true and the distractor pull are not defined"
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
            starts_at_chance=task.starts_at_chance,
            n_effective=self.n_effective,
        )
