"""Compares models on one task: behaviour, the effects of their sites, and training.

Differences are second minus first. Each difference is compared with two kinds of noise: the choice of items and the
training seed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy import ndarray

from distractor.comparison.map_changes import MapChange, map_changes
from distractor.comparison.matching import MIN_LAYERS, depth_correlation, match_of
from distractor.comparison.result import PRIMARY, ComparisonResult, Pair, QuantityKey, SwitchedItem
from distractor.comparison.screening import ESTIMATES, is_screened, only, own_kinds, screenings
from distractor.comparison.sides import model_key, pairs_of, sides_of
from distractor.comparison.steps import MIN_STEPS, PATHS, TrainingCurves, curve
from distractor.comparison.transfer import transfers
from distractor.errors import DistractorError, ModelError, ScalingError, StoreError
from distractor.models.same_run import from_same_run
from distractor.models.same_weights import same_weights
from distractor.models.source import Source
from distractor.probing.cells import EFFECTS, groups_of, kind_of, labels
from distractor.probing.probe_results import ProbeResults
from distractor.probing.read_probes import check_request, read_probes, read_requests
from distractor.probing.readings import FOREIGN_SITES
from distractor.probing.screening import Screening, SharedScreening
from distractor.probing.steps import knockout_steps, reading_steps
from distractor.probing.strengths import PAIR, Strength, estimated_strength, first_half, patching_pair
from distractor.published.curves import Published
from distractor.scoring.prompt_tokens import CountTokens, estimate_tokens
from distractor.scoring.requests import compute_first
from distractor.scoring.settings import Settings
from distractor.scoring.steps import score_steps
from distractor.scoring.store import Store
from distractor.scoring.sweep import sweep
from distractor.statistics.changes import changes
from distractor.statistics.group_values import count_items
from distractor.statistics.sign_flips import holm
from distractor.statistics.standard_errors import effective_groups
from distractor.text.task import Condition, Task
from distractor.work import Step, add_steps, skip

if TYPE_CHECKING:
    from distractor.probing.probe import Probe

PROBES = ("ablation", "head_patching")
"""The default probes: the loss without each component, and the heads and MLPs that carry each task's cue."""

WITHOUT_EFFECTS = ("logit_lens", "attention", "linear_probe", "overcoming", "read_out")
"""Probes that do not measure effects of sites, so they cannot compare models site by site."""


def compare(
    task: Task,
    sources: Sequence[Source],
    probes: "Mapping[str, Probe]",
    *,
    store: Store,
    settings: Settings | None = None,
    forgive: bool = False,
    published: Sequence[Published] = (),
) -> ComparisonResult:
    """Compare models on the items of `task`, in the order of `sources`: behaviour, and with `probes` their sites.

    `probes` maps names to probes; without any, only behaviour is compared. With `ablation` among them, the sites of
    both tasks are chosen in each model (by `head_patching`, if read). They are knocked out in both models. With
    `head_attribution_patching` instead, the strength of sites is a first-order estimate. `ablation` is read with its own
    kind of replacement value alone; the others (`Probe.kinds`) are read only if no changed site has other weights. With
    `forgive`, a probe that fails in a model is skipped and listed in `refused`. Results are cached in `store`. `published`
    curves over steps are kept beside the curves along training.

    Raises:
        DistractorError: fewer than two models; an unusable model, task text or store; a probe that reads no effects; or,
            without `forgive`, a probe that fails in a model.
    """
    settings = settings or Settings()
    check_models(sources)
    check_probes(probes)
    if published:
        check_references(sources)
    if probes:
        check_request(task, settings, halved=is_halved(probes))
    scores = tuple(sweep(task, sources, store, settings))
    sides, followed = sides_of([one.source for one in scores])
    result = ComparisonResult(task, settings, scores, sides)
    if result.n_groups < 2:
        raise ScalingError(
            f"only {int(result.complete.sum())} items of {task.name}, from {result.n_groups} groups, fit every model under "
            "every condition; at least 2 groups are needed: take more items, or compare fewer models"
        )
    if probes:
        result = _probed(result, probes, store, forgive)
    pairs = [_pair(result, *pair, probes, store) for pair in pairs_of(len(sides))]
    for one in scores:
        skip(one.source.name, FOREIGN_SITES)
    training = [_training(result, name, models) for name, models in followed.items()]
    return replace(result, pairs=tuple(pairs), training=tuple(training), published=tuple(published))


def over_tasks(results: Sequence[ComparisonResult]) -> tuple[ComparisonResult, ...]:
    """Returns the results with each pair's primary p adjusted over the tasks (Holm), if there are several."""
    if len(results) < 2:
        return tuple(results)
    by_pair = zip(*(result.pairs for result in results), strict=True)
    adjusted = [holm([pair.rows[PRIMARY].p for pair in pairs]) for pairs in by_pair]
    return tuple(
        replace(
            result,
            pairs=tuple(replace(pair, p_over_tasks=p[i]) for pair, p in zip(result.pairs, adjusted, strict=True)),
        )
        for i, result in enumerate(results)
    )


def check_models(sources: Sequence[Source]) -> None:
    """Checks that there are at least two different models, before anything is computed."""
    if len(sources) < 2:
        given = f"only {sources[0].name} was given" if sources else "none was given"
        raise ModelError(f"compare needs at least two models; {given}: add another model, step or seed")
    hashes = [source.fingerprint() for source in sources]
    for i, j in combinations(range(len(sources)), 2):
        if hashes[i] == hashes[j]:
            raise ModelError(
                f"{sources[i].name} ({sources[i].place}) and {sources[j].name} ({sources[j].place}) are the same model, "
                "weight by weight; name each model once"
            )


def check_references(sources: Sequence[Source]) -> None:
    """Checks that some model is followed along training, so that published curves over steps have a curve beside them."""
    if not sides_of(sources)[1]:
        raise ScalingError(
            f"published curves are drawn beside a model at {MIN_STEPS} steps or more, and none was named; name one, such as "
            "ladder/24x2@all, or draw them over size with `distractor ablate`"
        )


def check_probes(probes: "Mapping[str, Probe]") -> None:
    """Checks that every probe reads effects of sites, before anything is computed."""
    for name in probes:
        if name in WITHOUT_EFFECTS:
            raise ModelError(
                f"{name} reads no effect of a site in nats, so models cannot be compared by it; use "
                f"{', '.join(PROBES)}, activation_patching, head_attribution_patching or direct_attribution"
            )


def is_halved(probes: "Mapping[str, Probe]") -> bool:
    """Whether sites are chosen on half of the item groups and measured on the other half."""
    return not {"ablation", "head_attribution_patching"}.isdisjoint(probes)


def run_steps(
    task: Task,
    sources: Sequence[Source],
    probes: "Mapping[str, Probe]",
    store: Store,
    settings: Settings,
    count: CountTokens = estimate_tokens,
) -> list[Step]:
    """The steps of `compare`, for its progress and its plan."""
    steps = list(score_steps(task, sources, store, settings, count))
    own = own_kinds(probes)
    for source in sources:
        screened = [name for name, probe in probes.items() if is_screened(source, probe)]
        read = dict(own)
        for name in screened:
            read[name] = own[name].screened(probes[name].screening or Screening())
        estimated = {ESTIMATES + name: own[name].screened(SharedScreening()) for name in screened}
        steps += reading_steps(task, [source], estimated, store, settings, count, measure_strengths=False)
        steps += reading_steps(task, [source], read, store, settings, count, measure_strengths=bool(own))
    if "ablation" in own:
        members = [side.members for side in sides_of(sources)[0]]
        for pair in pairs_of(len(members)):
            both = [sources[members[side][0]] for side in pair]
            steps += knockout_steps(task, both, own["ablation"], count, FOREIGN_SITES)
    return steps


def _probed(result: ComparisonResult, probes: "Mapping[str, Probe]", store: Store, forgive: bool) -> ComparisonResult:
    """Reads the probes in each model, each with its own kind of replacement value, and the strength of its sites."""
    sources = [scores.source for scores in result.scores]
    screened = screenings(result.task, sources, probes, store, result.settings)
    own = own_kinds(probes)
    probe_results: list[ProbeResults | None] = []
    refused: dict[tuple[str, str], str] = {}
    of_model = [_with_screening(own, model, screened) for model in range(len(sources))]
    requests = [
        read_requests(result.task, [source], read, result.settings, forgive=forgive, measure_strengths=True)[0]
        for source, read in zip(sources, of_model, strict=True)
    ]
    compute_first(requests, store)
    for model, scores in enumerate(result.scores):
        try:
            read = read_probes(
                result.task,
                [scores],
                of_model[model],
                store=store,
                settings=result.settings,
                forgive=forgive,
                measure_strengths=True,
            )
        except DistractorError as error:
            if not forgive or isinstance(error, StoreError):
                raise
            refused["all", scores.source.name] = str(error)
            probe_results.append(None)
        else:
            refused |= read.refused
            probe_results.append(read)
    strengths = [None if read is None else _strength(read) for read in probe_results]
    return replace(
        result, probe_results=tuple(probe_results), strengths=tuple(strengths), refused=refused, screened=screened
    )


def _with_screening(
    probes: "Mapping[str, Probe]", model: int, screened: Mapping[tuple[int, str], Screening]
) -> "dict[str, Probe]":
    """The probes as they are read in one model."""
    return {
        name: probe.screened(screened[model, name]) if (model, name) in screened else probe
        for name, probe in probes.items()
    }


def _strength(read: ProbeResults) -> Strength | None:
    """The strength of a model's sites; a first-order estimate if nothing was knocked out and both pairs were read."""
    if read.strengths:
        return read.strengths[0]
    pair = patching_pair((readings[0] for readings in read.readings.values()), estimated=True)
    if "ablation" in read.readings or pair is None or labels(pair[0].data, "item") != labels(pair[1].data, "item"):
        return None
    groups = groups_of(read.task, pair[0].data)
    return estimated_strength(pair[0].source, pair, first_half(groups, read.task.items), groups)


def _pair(result: ComparisonResult, first: int, second: int, probes: "Mapping[str, Probe]", store: Store) -> Pair:
    """Compares two sides in behaviour and, with probes, in their sites."""
    sides = result.sides[first], result.sides[second]
    sources = [[result.scores[model].source for model in side.members] for side in sides]
    same_runs = (
        model_key(sources[0][0]) == model_key(sources[1][0])
        and [source.seed for source in sources[0]] == [source.seed for source in sources[1]]
        and sources[0][0].seed is not None
    )
    judge = partial(changes, groups=result.groups, same_runs=same_runs, are_seeds=result.are_seeds)
    tables = [np.array([result.side_values(side, row) for row in result.rows]) for side in (first, second)]
    rows = judge(*tables, counted=[row[0] == "accuracy" for row in result.rows])
    pair = Pair(first, second, dict(zip(result.rows, rows, strict=True)), {}, _switched(result, first, second))
    if not probes:
        return pair
    strengths = [np.array([[result.path_strength(m, path) for m in side.members] for path in PATHS]) for side in sides]
    used = ~np.isnan(np.concatenate(strengths, 1)).any((0, 1))
    if len({result.groups[item] for item in np.flatnonzero(used)}) >= 2:
        paths = judge(*strengths, counted=[False] * len(PATHS))
        pair = replace(pair, paths=dict(zip(PATHS, paths, strict=True)))
    return _with_sites(result, pair, probes, store)


def _switched(result: ComparisonResult, first: int, second: int) -> tuple[SwitchedItem, ...]:
    """The items whose preferred answer in `conflict` differs between two sides."""
    a, b = (result.side_values(side, ("logit_gap", Condition.CONFLICT)).mean(0) for side in (first, second))
    items = np.flatnonzero(((a > 0) != (b > 0)) & result.complete)
    return tuple(SwitchedItem(int(item), float(a[item]), float(b[item])) for item in items)


def _with_sites(result: ComparisonResult, pair: Pair, probes: "Mapping[str, Probe]", store: Store) -> Pair:
    """Adds to a pair how sites correspond, their maps, and the transfer of each model's sites to the other."""
    first, second = (
        {model: read for model in result.sides[side].members if (read := result.probe_results[model]) is not None}
        for side in (pair.first, pair.second)
    )
    models = [(a, b) for a in first for b in second]
    if not models:
        return pair
    of_one_run = [(a, b) for a, b in models if from_same_run(result.scores[a].source, result.scores[b].source)]
    matched = of_one_run or models[:1]
    read, other = first[matched[0][0]], second[matched[0][1]]
    match = match_of(read, other, same_run=bool(of_one_run))
    maps = _maps(first, second, of_one_run)
    same = [same_weights(*(result.scores[model].source for model in models)) for models in of_one_run]
    pair = replace(pair, match=match, maps=maps, same_weights=frozenset.intersection(*same) if same else frozenset())
    if pair.edited and not pair.edited_changes:  # a mean may hide what they do
        models_of_run = dict.fromkeys(model for way in of_one_run for model in way)
        read_again = ((model, _read_other_kinds(result, model, probes, pair.edited, store)) for model in models_of_run)
        again = {model: one for model, one in read_again if one is not None}
        further = tuple(again.values())
        pair = replace(pair, maps={**maps, **_maps(again, again, of_one_run)}, further=further)
    if "ablation" not in read.readings or "ablation" not in other.readings:
        return replace(pair, no_transfer="no component was knocked out, because `ablation` was not read")
    if match == "function":
        why = f"separate runs have no corresponding sites; depth matching needs at least {MIN_LAYERS} layers"
        return replace(pair, no_transfer=why)
    if match == "depth":
        ablations = read.readings["ablation"][0], other.readings["ablation"][0]
        depths = {c.value: depth_correlation(*ablations, {"condition": c.value}) for c in PAIR}
        pair = replace(pair, depths=depths)
    both_ways = [way for a, b in matched for way in ((a, b), (b, a))]
    moved = transfers(result, both_ways, match, own_kinds(probes)["ablation"], store)
    return replace(pair, transfers=tuple(moved))


def _maps(
    first: Mapping[int, ProbeResults | None],
    second: Mapping[int, ProbeResults | None],
    models: Sequence[tuple[int, int]],
) -> dict[tuple[str, int, int], tuple[MapChange, ...]]:
    """The maps of the probes that measure effects in both of two models."""
    return {
        (name, a, b): tuple(map_changes(one, other, name))
        for a, b in models
        if (one := first.get(a)) is not None and (other := second.get(b)) is not None
        for name, readings in one.readings.items()
        if kind_of(readings[0].data) in EFFECTS and name in other.readings
    }


def _read_other_kinds(
    result: ComparisonResult, model: int, probes: "Mapping[str, Probe]", edited: frozenset[str], store: Store
) -> ProbeResults | None:
    """The probes with their other kinds of replacement values in a model; None if there are none, or all fail.

    In a screened model, `edited` sites and a few others are measured.
    """
    few = {key: only(screening, edited) for key, screening in result.screened.items()}
    further = {
        f"{name}_{kind}": one
        for name, probe in probes.items()
        for kind in list(probe.kinds)[1:]
        for one in _with_screening({name: probe.kinds[kind]}, model, few).values()
    }
    if not further:
        return None
    source, settings = result.scores[model].source, result.settings
    add_steps(reading_steps(result.task, [source], further, store, settings, measure_strengths=False))
    try:
        return read_probes(
            result.task, [result.scores[model]], further, store=store, settings=result.settings, forgive=True,
            measure_strengths=False,
        )  # fmt: skip
    except ModelError:
        return None


def _training(result: ComparisonResult, name: str, models: Sequence[int]) -> TrainingCurves:
    """A model's curves along training, at the steps that all its seeds have."""
    sources = [result.scores[model].source for model in models]
    seeds = sorted({source.seed for source in sources}, key=lambda seed: -1 if seed is None else seed)
    model_at = {(source.seed, source.step or 0): model for source, model in zip(sources, models, strict=True)}
    every_step = sorted({step for _, step in model_at})
    steps = [step for step in every_step if all((seed, step) in model_at for seed in seeds)]
    if len(steps) < MIN_STEPS:
        raise ModelError(
            f"{name}: its seeds {', '.join(map(str, seeds))} share {len(steps)} steps, but curves along training need "
            f"at least {MIN_STEPS}; name one seed, as {name}/seed{seeds[0]}@all"
        )
    rows: dict[str, QuantityKey] = {
        "distractor_preference": PRIMARY,
        "accuracy": ("accuracy", Condition.CONFLICT),
        "distractor_only": ("accuracy", Condition.DISTRACTOR_ONLY),
        "true_only": ("accuracy", Condition.TRUE_ONLY),
        "true_pull": ("true_pull", None),
        "distractor_pull": ("distractor_pull", None),
    }
    value_of = {name: partial(result.row_values, row=row) for name, row in rows.items() if row in result.rows}
    if result.strengths and all(result.strengths[model] is not None for model in models):
        value_of |= {path: partial(result.path_strength, path=path) for path in PATHS}
    curves: dict[str, ndarray] = {}
    for quantity, value in value_of.items():
        values = [[value(model_at[seed, step]) for step in steps] for seed in seeds]
        if (group_curve := curve(values, result.groups)) is not None:
            curves[quantity] = group_curve
    left_out = tuple(step for step in every_step if step not in steps)
    n_effective = effective_groups(count_items(result.group_numbers))
    return TrainingCurves(name, tuple(steps), tuple(seeds), curves, left_out, n_effective)
