"""From what was found to tables and sentences for the terminal, at most 100 columns wide."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.table import Table

from distractor.ablate import Ablation, Mean
from distractor.task import Condition

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

WIDTH = 100
TOP_COMPONENTS = 8


def models_table(found: Ablation) -> Table:
    """One row a size: accuracies, distractor preference, coverage and the two pulls, each a mean over the seeds."""
    seeds = len(found.sizes[0])
    groups = len({item.group for item, is_used in zip(found.task.items, found.complete, strict=True) if is_used})
    table = Table(
        title=f"{found.task.name}: {int(found.complete.sum())} items in {groups} groups, "
        f"{len(found.sizes)} sizes × {seeds} seed{'s' * (seeds > 1)}",
        caption="accuracy: share of items whose right answer is likelier; preference: for the distractor's answer in "
        "conflict,\nwith 95 % interval over item groups; T, D: true and distractor pull in nats. Means over seeds.",
        title_justify="left",
        caption_justify="left",
        box=None,
        header_style="bold",
        pad_edge=False,
    )
    has_held_out = any(found.held_out(one.source).any() for one in found.scores)
    table.add_column("size\n")
    table.add_column("parameters\n", justify="right")
    for name in ("conflict", "distr. only", "true only"):
        table.add_column("accuracy\n" + name, justify="right")
    table.add_column("preference\nin conflict", justify="right")
    if has_held_out:
        table.add_column("\nheld out", justify="right")
    for name in ("coverage\n", "T\n", "D\n"):
        table.add_column(name, justify="right")
    for models in found.sizes:
        source = found.scores[models[0]].source
        shown = found.mean(models, "distractor_preference", Condition.CONFLICT)
        row = [
            source.model if len(source.model) <= 24 else f"…{source.model[-23:]}",
            f"{source.n_params:,}",
            *(
                _number(found, models, "accuracy", c)
                for c in (Condition.CONFLICT, Condition.DISTRACTOR_ONLY, Condition.TRUE_ONLY)
            ),
            _with_interval(shown),
        ]
        if has_held_out:
            away = found.mean(models, "distractor_preference", Condition.CONFLICT, found.held_out(source))
            row.append(_plain(away))
        pulls = (_plain(found.mean(models, pull)) for pull in ("true_pull", "distractor_pull"))
        table.add_row(*row, _number(found, models, "coverage", Condition.CONFLICT), *pulls)
    return table


def sentences(found: Ablation) -> Iterator[str]:
    """What the curves say, a line each: the peak, the shape at both levels, the verdict and its parts."""
    preferred = [found.mean(models, "distractor_preference", Condition.CONFLICT) for models in found.sizes]
    place = max(range(len(preferred)), key=lambda k: preferred[k].mean if preferred[k] else 0.0)  # type: ignore[union-attr]
    models = found.sizes[place]
    source = found.scores[models[0]].source
    yield (
        f"Peak: preference for the distractor's answer is highest at {source.model} ({source.n_params:,} parameters), "
        f"{_with_interval(preferred[place])}; there T = {_plain(found.mean(models, 'true_pull'))}, "
        f"D = {_plain(found.mean(models, 'distractor_pull'))} nats."
    )
    if found.verdict is None:
        yield f"Verdict: undetermined; {found.unjudged}."
        return
    shape = found.shapes["distractor_preference"]
    told = shape.as_dict()
    one_of = ", ".join(level.label for level in shape.weights)
    yield f"Level 1, these weights: distractor preference over size is {shape.label_level_1} (by seed: {one_of})."
    yield (
        f"Level 2, models like these: {shape.models.label}, rise p = {_p(told['p_left'])}, fall p = {_p(told['p_right'])}, "
        f"turning between {told['turning_low']:,.0f} and {told['turning_high']:,.0f} parameters."
        if shape.models and told["turning_low"] is not None
        else f"Level 2, models like these: {shape.models.label if shape.models else 'not identified (fewer than 3 seeds)'}."
    )
    yield f"Smallest dip that could have been seen: {told['smallest_detectable_dip']:.2f}."
    for part in found.verdict.because:
        mark = {True: "yes", False: "no", None: "?"}[part.holds]
        yield f"  [{mark}] {part.sentence}"
    yield f"Verdict: {found.verdict.sentence}"


def components_table(knockout: "Mapping[str, Any]") -> Table:
    """The components whose knock-out moves the gap in conflict most, with the change under both conditions of the pair."""
    effects = knockout["effects"]
    order = sorted(effects, key=lambda name: -abs(effects[name]["conflict"]["mean"]))
    table = Table(
        title=f"Knocked out in {knockout['model']} ({knockout['n_params']:,} parameters): change of the logit gap in nats; "
        f"{min(TOP_COMPONENTS, len(order))} of {len(order)} components",
        title_justify="left",
        box=None,
        header_style="bold",
        pad_edge=False,
    )
    table.add_column("component")
    conditions = list(next(iter(effects.values())))
    for condition in conditions:
        table.add_column(condition, justify="right")
    for name in order[:TOP_COMPONENTS]:
        table.add_row(name, *(_with_interval(Mean(**effects[name][condition])) for condition in conditions))
    return table


def _number(found: Ablation, models: tuple[int, ...], quantity: str, condition: Condition) -> str:
    return _plain(found.mean(models, quantity, condition)) if condition in found.task.conditions else "–"


def _plain(mean: Mean | None) -> str:
    return "–" if mean is None else f"{mean.mean:.2f}".replace("-0.00", "0.00")


def _with_interval(mean: Mean | None) -> str:
    return "–" if mean is None else f"{mean.mean:.2f} [{mean.low:.2f}, {mean.high:.2f}]".replace("-0.00", "0.00")


def _p(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else "< .001"
