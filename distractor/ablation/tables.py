"""From what was found to tables and sentences for the terminal, at most 100 columns wide."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.text import Text

from distractor.ablation.ablate import CONSTANT, AblationResult, constant_answer, peak
from distractor.numbers import number, p_value, shortened, with_interval
from distractor.runs.tables import plain_table
from distractor.scoring.shot_limits import caution
from distractor.statistics.groups import Mean
from distractor.statistics.shape_test import Shape
from distractor.statistics.verdict import ClaimPart
from distractor.text.format import Format
from distractor.text.task import Condition

TOP_COMPONENTS = 8


ACCURACIES = (Condition.CONFLICT, Condition.DISTRACTOR_ONLY, Condition.TRUE_ONLY)


ASKED = {
    "rise_and_fall": "preference rises and falls",
    "distractor_pull_at_peak": "D > δ_D at the peak",
    "distractor_over_true_at_peak": "D > T at the peak",
    "more_than_neutral": "it rises δ more than in neutral",
    "more_than_true_only": "it rises δ more than in true_only",
    "distractor_only_above_chance": "distractor_only above chance",
    "true_over_distractor_at_top": "T > D in the largest",
    "from_chance": "the smallest is at chance",
    "to_mastery": "the largest masters the task",
}
"""What each part of the verdict asks, in the words of the table; the full sentences stand in summary.json."""


def models_table(found: AblationResult) -> Group:
    """One row a size: accuracies, distractor preference, coverage and the two pulls, each a mean over the seeds."""
    seeds = len(found.sizes[0])
    groups = len({item.group for item, is_used in zip(found.task.items, found.complete, strict=True) if is_used})
    put = "" if found.task.format == Format() else f", {found.task.format.label}"
    title = (
        f"{found.task.name}{put}: {int(found.complete.sum())} items in {groups} groups, {len(found.sizes)} "
        f"size{'s' * (len(found.sizes) > 1)} × {seeds} seed{'s' * (seeds > 1)} (means; 95 % intervals over groups)"
    )
    has_held_out = any(found.held_out(one.source).any() for one in found.scores)
    table = plain_table("\nsize", "\nparameters", "accuracy\nconflict", "accuracy\ndistr. only", "accuracy\ntrue only")
    table.add_column("preference\nin conflict", justify="right", no_wrap=True)
    for name in ("held\nout", "\ncoverage", "T\nnats", "D\nnats")[not has_held_out :]:
        table.add_column(name, justify="right")
    for models in found.sizes:
        source = found.scores[models[0]].source
        shown = found.mean(models, "distractor_preference", Condition.CONFLICT)
        away = found.mean(models, "distractor_preference", Condition.CONFLICT, found.held_out(source))
        table.add_row(
            shortened(source.model, 20),
            f"{source.n_params:,}",
            *(_mean_in(found, models, "accuracy", condition) for condition in ACCURACIES),
            _with_interval(shown),
            *([_plain(away)] if has_held_out else []),
            _mean_in(found, models, "coverage", Condition.CONFLICT),
            *(_plain(found.mean(models, pull)) for pull in ("true_pull", "distractor_pull")),
        )
    return Group(Text(title, style="bold"), table)


def notes(found: AblationResult) -> Iterator[str]:
    """What a reader must know of the numbers: the task's caution, items left out, models that always say the same."""
    if found.task.caution:
        yield found.task.caution
    if said := caution(found.task.name, found.task.format, found.scores[0].source):
        yield said
    for reason, names in found.task.left_out.items():
        yield f"Left out of the task ({reason}): {', '.join(names)}."
    for condition in found.task.conditions:
        if count := max(one.dropped[condition] for one in found.scores):
            what = "items" if condition is Condition.CONGRUENT else f"{condition} prompts"
            yield f"{count} {what} dropped: no wording of {condition} has as many tokens as conflict under this tokenizer."
    constant = {
        found.scores[m].source.name: text for m in range(len(found.scores)) if (text := constant_answer(found, m))
    }
    if constant:
        told = ", ".join(f"{name} ({text})" for name, text in list(constant.items())[:4])
        more = f" and {len(constant) - 4} more" if len(constant) > 4 else ""
        yield (
            f"The same answer on more than {CONSTANT:.0%} of the conflict items: {told}{more}; "
            "their accuracy means nothing."
        )


def verdict_table(found: AblationResult) -> Group:
    """The peak, the shape at both levels, each part of the claim with its number, and the verdict in one line."""
    lines = [Text(_peak(found))]
    if found.verdict is None:
        return Group(*lines, Text(f"Verdict: undetermined ({found.unjudged})", style="bold"))
    shape = found.shapes["distractor_preference"]
    level_2 = shape.models.label if shape.models else "not identified (fewer than 3 seeds)"
    by_seed = ", ".join(level.label for level in shape.weights)
    lines.append(Text(f"Shape over size: these weights (level 1, by seed): {by_seed};"))
    lines.append(Text(f"models like these (level 2): {level_2}."))
    lines.extend(Text(line) for line in (_legs(shape), _other_peak(found, shape)) if line)
    table = plain_table("what the hypothesis asks", "these weights (level 1)", "models like these (level 2)")
    parts = {(part.name, part.level): part for part in found.verdict.because}
    for name in dict.fromkeys(part.name for part in found.verdict.because):
        table.add_row(ASKED.get(name, name.replace("_", " ")), *(_part(parts.get((name, level))) for level in (1, 2)))
    return Group(*lines, table, Text(f"Verdict: {found.verdict.sentence}", style="bold"))


def components_table(knockout: Mapping[str, Any]) -> Group:
    """The components whose knock-out moves the gap in conflict most, with the change under both conditions of the pair."""
    effects = knockout["effects"]
    order = sorted(effects, key=lambda name: -abs(effects[name]["conflict"]["mean"]))[:TOP_COMPONENTS]
    conditions = list(next(iter(effects.values())))
    table = plain_table("component", *conditions)
    for name in order:
        table.add_row(name, *(_with_interval(Mean(**effects[name][condition])) for condition in conditions))
    title = (
        f"Knocked out in {knockout['model']} ({knockout['n_params']:,} parameters): change of the logit gap in nats, "
        f"the {len(order)} largest of {len(effects)}"
    )
    return Group(Text(title, style="bold"), table)


def _peak(found: AblationResult) -> str:
    models = peak(found.task, found.scores, found.complete)
    mean = found.mean(models, "distractor_preference", Condition.CONFLICT)
    source = found.scores[models[0]].source
    true, distractor = (_plain(found.mean(models, pull)) for pull in ("true_pull", "distractor_pull"))
    return (
        f"Peak: {source.model} ({source.n_params:,} parameters) prefers the distractor's answer at "
        f"{_with_interval(mean)}; T = {true}, D = {distractor} nats."
    )


def _legs(shape: Shape) -> str:
    """How sure a rise and then a fall is at the highest level there is: both legs and the turn where it is the label.

    ReplacementValues the legs have no place to be told of, but the weaker one's p-value is still that of both together.
    """
    levels = (shape.models,) if shape.models else shape.weights
    rise, fall = (max(getattr(level.inverted_u, leg) for level in levels) for leg in ("p_left", "p_right"))
    told = shape.as_dict()
    sure = f"a rise and then a fall has p {p_value(max(rise, fall))}; "
    if shape.label == "inverted-U":
        sure = (
            f"rise p {p_value(rise)}, fall p {p_value(fall)}; it turns between {told['turning_low']:,.0f} and "
            f"{told['turning_high']:,.0f} parameters; "
        )
    return f"Level {told['level']}: {sure}a dip of {told['smallest_detectable_dip']:.2f} could have been seen."


def _other_peak(found: AblationResult, shape: Shape) -> str:
    """Which size the verdict takes for the peak, where that is another: it looks between the smallest and the largest."""
    inner = found.sizes[1 + int(shape.means[:, 1:-1].mean(0).argmax())]
    if inner == peak(found.task, found.scores, found.complete):
        return ""
    return (
        "In the rows below the peak is the highest size between the smallest and the largest: "
        f"{found.scores[inner[0]].source.model}, and at level 1 each seed's own."
    )


def _part(part: ClaimPart | None) -> str:
    if part is None or part.number is None or part.low is None or part.high is None:
        return "–"
    several = f"{part.seeds_yes} of {part.seeds}" if part.seeds > 1 else "?"
    mark = {True: "yes", False: "no", None: several}[part.holds]
    return f"{_with_interval(Mean(part.number, part.low, part.high))} {mark:>3}"


def _mean_in(found: AblationResult, models: Sequence[int], quantity: str, condition: Condition) -> str:
    return _plain(found.mean(models, quantity, condition)) if condition in found.task.conditions else "–"


def _plain(mean: Mean | None) -> str:
    return "–" if mean is None else number(mean.mean)


def _with_interval(mean: Mean | None) -> str:
    return "–" if mean is None else with_interval(*mean)
