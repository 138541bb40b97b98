"""Tables and sentences that `distractor ablate` prints."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.text import Text

from distractor.ablation.ablate import (
    CONSTANT_SHARE,
    AblationResult,
    constant_answer,
    seed_levels,
    seed_modes,
)
from distractor.ablation.bare import bare_sentence
from distractor.numbers import counted, interval_against, number, number_against, p_value, with_interval
from distractor.runs.coverage import coverage_caution
from distractor.runs.precision import precision_caution
from distractor.runs.tables import FittedTable, plain_table
from distractor.runs.training_data import training_data_caution
from distractor.scoring.behaviour import TaskResult, models_at_peak
from distractor.scoring.shot_limits import caution as shot_caution
from distractor.statistics.curve import peak
from distractor.statistics.intervals import Mean
from distractor.statistics.modes import prefers_distractor
from distractor.statistics.shape_test import Shape
from distractor.statistics.verdict import PARTS, ClaimPart
from distractor.text.format import Format
from distractor.text.rows import names_text
from distractor.text.task import Condition

TOP_COMPONENTS = 8
CLAIM = "claim of the hypothesis"
LEVEL_1, LEVEL_2 = "these weights\n(level 1)", "models like these\n(level 2)"

ACCURACIES = (Condition.CONFLICT, Condition.DISTRACTOR_ONLY, Condition.TRUE_ONLY)

HELD_OUT = "held\nout"
ABOVE = "seeds\n> .5"
MODES = " >.5", " ≤.5"  # rows of the two modes of a size
PREFERENCE = "distractor_preference", Condition.CONFLICT
HEADINGS = (
    "size", "parameters", "accuracy\nconflict", "accuracy\ndistr. only", "accuracy\ntrue only", "preference\nin conflict",
    ABOVE, HELD_OUT, "coverage", "T\nnats", "D\nnats",
)  # fmt: skip
DROPPED = (
    HELD_OUT, "accuracy\ntrue only", "accuracy\ndistr. only", "accuracy\nconflict", "parameters", "coverage", "T\nnats",
    "D\nnats", ABOVE,
)  # fmt: skip
"""The columns that narrow terminals leave out, in this order."""
ALL_IN = "--json and results.parquet"

COLUMNS_EXPLAINED = (
    "preference: p(distractor's answer) / p(either answer){held_out}.{above}\n"
    "coverage: p(either answer). T, D: pull of the true task and of the distractor on the logit gap."
)

UNSCORABLE = "dropped: under this tokenizer, one answer begins with the other, or merges with the end of the prompt."

VERDICT_EXPLAINED = (
    "yes: the whole interval meets the rule; no: it is outside; unclear: neither. Level 1 shows the weakest of the seeds' "
    "own curves; n of m: yes for n of m seeds. Rise, then fall: the weaker of the two, with simultaneous bounds; no where a "
    "turn of {delta:g} is excluded. Turns once only: the depth of a fall and then rise, if it is clear and not excluded, as "
    "a share of the rise and fall. Supported needs all rows but the last two, which say whether the range is complete."
)


def models_table(result: AblationResult) -> Group:
    """One row for each size: accuracies, distractor preference, coverage and the two pulls, as means over seeds."""
    has_held_out = any(result.held_out(scores.source).any() for scores in result.scores)
    has_modes = any(seed_modes(result, models) for models in result.sizes)
    unused = {HELD_OUT: not has_held_out, ABOVE: not has_modes}
    headings = [name for name in HEADINGS if not unused.get(name)]
    table = FittedTable(headings, drop=DROPPED, all_in=f"{ALL_IN} have them")

    def add(name: str, models: Sequence[int], n_params: str, above: str, preference: str) -> None:
        held_out = result.held_out(result.scores[models[0]].source)
        cells = (
            name,
            n_params,
            *(mean_alone(result.mean(models, "accuracy", condition)) for condition in ACCURACIES),
            preference,
            above,
            mean_alone(result.mean(models, *PREFERENCE, held_out)),
            mean_alone(result.mean(models, "coverage", Condition.CONFLICT)),
            *(mean_alone(result.mean(models, pull)) for pull in ("true_pull", "distractor_pull")),
        )
        table.add_row(*(cell for heading, cell in zip(HEADINGS, cells, strict=True) if not unused.get(heading)))

    for models in result.sizes:
        source, modes = result.scores[models[0]].source, seed_modes(result, models)
        preference = mean_and_interval(result.mean(models, *PREFERENCE))
        above = f"{modes.above}/{modes.seeds}" if modes else "–"
        add(source.model, models, f"{source.n_params:,}", above, preference)
        if modes and modes.are_two:
            for name, mode in zip(MODES, _members(result, models), strict=True):
                level = result.mean(mode, *PREFERENCE)
                add(name, mode, "", str(len(mode)), mean_alone(level))
    explained = COLUMNS_EXPLAINED.format(
        held_out="; held out: on items kept out of training" * has_held_out,
        above=" seeds > .5: how many prefer the distractor." * has_modes,
    )
    low = [Text(sentence) for sentence in [coverage_caution(result)] if sentence]
    return Group(caption(result, "means"), *low, table, Text(explained, style="dim"))


def caption(result: TaskResult, cells: str) -> Text:
    """The title of a table over sizes: task, format, and the numbers of items, sizes and seeds."""
    task, n_sizes, n_seeds = result.task, len(result.sizes), len(result.sizes[0])
    form = "" if task.format == Format() else f", {task.format.label}"
    return Text(
        f"{task.name}{form}: {int(result.complete.sum())} items in {result.n_groups} groups, {n_sizes} size"
        f"{'s' * (n_sizes > 1)} × {n_seeds} seed{'s' * (n_seeds > 1)} ({cells}; intervals: {result.interval_name})",
        style="bold",
    )


def notes(result: AblationResult) -> Iterator[str]:
    """Cautions about the numbers: the task's own, omitted items, unequal groups, and models that give one answer."""
    task = result.task
    yield from task.cautions
    if sentence := training_data_caution(task, result.sources):
        yield sentence
    if half := precision_caution([result]):
        yield half
    if result.mixture_caution:
        yield result.mixture_caution
    if sentence := shot_caution(task.name, task.format, result.scores[0].source):
        yield sentence
    if sentence := bare_sentence(result):
        yield sentence
    if result.no_knockout:
        yield f"Nothing is knocked out. {result.no_knockout}."
    for reason, names in task.left_out.items():
        yield f"{len(names):,} omitted from the task ({reason}): {names_text(names)}."
    for condition in task.conditions:
        if count := max(scores.dropped[condition] for scores in result.scores):
            if condition is Condition.CONFLICT:
                yield f"{counted(count, 'item')} {UNSCORABLE}"
                continue
            what = "items" if condition is Condition.CONGRUENT else f"{condition} prompts"
            yield f"{count} {what} dropped: no wording of {condition} has as many tokens as conflict under this tokenizer."
    yield from (f"Distractor preference in conflict: {text}." for text in result.weighting)
    constant = {
        scores.source.name: text
        for model, scores in enumerate(result.scores)
        if (text := constant_answer(result, model))
    }
    if constant:
        first = ", ".join(f"{name} ({text})" for name, text in list(constant.items())[:4])
        more = f" and {len(constant) - 4} more" if len(constant) > 4 else ""
        yield (
            f"Ignore the accuracy of models with the same answer to more than {CONSTANT_SHARE:.0%} of the items in "
            f"conflict: {first}{more}."
        )


def verdict_table(result: AblationResult) -> Group:
    """The peak, the shape at both levels, each part of the claim with its estimate, and the verdict."""
    lines = [Text(peak_sentence(result)), *map(Text, mode_sentences(result))]
    if result.verdict is None:
        return Group(*lines, Text(f"Verdict: undetermined ({result.unjudged})", style="bold"))
    shape = result.shapes["distractor_preference"]
    by_seed = ", ".join(level.label for level in shape.weights)
    level_2 = shape.models.label if shape.models else "not identified (fewer than 3 seeds)"
    lines.append(Text(f"Shape of preference over size, level 1 (these weights), by seed: {by_seed}."))
    lines.append(Text(f"Shape of preference over size, level 2 (models like these): {level_2}."))
    lines.extend(Text(line) for line in (turn_sentence(shape), _interiorpeak_sentence(result, shape)) if line)
    table = FittedTable(
        (CLAIM, "yes if", LEVEL_1, LEVEL_2), names=(), wrapped=(CLAIM,),
        drop=(LEVEL_1 if shape.models else LEVEL_2, "yes if"), left=("yes if",), all_in="--json has them",
    )  # fmt: skip
    parts = {(part.name, part.level): part for part in result.verdict.because}
    for name in dict.fromkeys(part.name for part in result.verdict.because):
        cells = (_claim_cell(parts.get((name, level))) for level in (1, 2))
        table.add_row(PARTS[name], parts[name, 1].criterion.short, *cells)
    explained = Text(VERDICT_EXPLAINED.format(delta=result.verdict.delta), style="dim")
    return Group(*lines, table, explained, Text(f"Verdict. {result.verdict.sentence}", style="bold"))


def components_table(knockout: Mapping[str, Any]) -> Group:
    """The components whose knock-out changes the logit gap in conflict most, under both conditions."""
    conditions, rows = largest_knockouts(knockout)
    table = plain_table("component", *conditions, all_in="--json has them")
    for row in rows:
        table.add_row(*row)
    title = (
        f"Knock-outs in {knockout['model']} ({knockout['n_params']:,} parameters): change of the logit gap in nats, "
        f"largest {len(rows)} of {len(knockout['effects'])} in conflict"
    )
    notes = ["Negative: the component supports the true answer. Positive: it supports the distractor's."]
    if sentence := screening_sentence(knockout):
        notes.append(sentence)
    return Group(Text(title, style="bold"), table, *(Text(note, style="dim") for note in notes))


def largest_knockouts(knockout: Mapping[str, Any]) -> tuple[list[str], list[tuple[str, ...]]]:
    """The conditions, and the name and effects of each of the components whose knock-out changes the gap in conflict most."""
    effects = knockout["effects"]
    order = sorted(effects, key=lambda name: -abs(effects[name]["conflict"]["mean"]))[:TOP_COMPONENTS]
    conditions = list(next(iter(effects.values())))
    return conditions, [(name, *(with_interval(**effects[name][c]) for c in conditions)) for name in order]


def screening_sentence(knockout: Mapping[str, Any]) -> str:
    """How the knocked-out components were chosen in a model with many; empty if all were knocked out."""
    screening = knockout.get("screening")
    return f"{screening['sentence']}. Knock out all with --exact." if screening else ""


def mean_alone(mean: Mean | None) -> str:
    """A mean for a table cell; a dash if it is not defined."""
    return "–" if mean is None else number(mean.mean)


def mean_and_interval(mean: Mean | None) -> str:
    """A mean with its interval for a table cell; a dash if it is not defined."""
    return "–" if mean is None else with_interval(*mean)


def _members(result: AblationResult, models: Sequence[int]) -> tuple[list[int], list[int]]:
    """The seeds of a size that prefer the distractor, and the others."""
    is_above = prefers_distractor(seed_levels(result, models))
    above, below = (
        [model for model, kept in zip(models, chosen, strict=True) if kept] for chosen in (is_above, ~is_above)
    )
    return above, below


def mode_sentences(result: AblationResult) -> Iterator[str]:
    """Each size whose seeds are in two modes, in words."""
    for models in result.sizes:
        modes = seed_modes(result, models)
        if modes and modes.are_two:
            mean = mean_alone(result.mean(models, *PREFERENCE))
            others = modes.seeds - modes.above
            yield (
                f"Two modes at {result.scores[models[0]].source.model}: {modes.above} of {modes.seeds} seeds "
                f"{'prefers' if modes.above == 1 else 'prefer'} the "
                f"distractor (mean {modes.level_above:.2f}), {others} do{'es' * (others == 1)} not "
                f"({modes.level_below:.2f}). The mean over seeds, {mean}, is the level of neither."
            )


def peak_sentence(result: AblationResult) -> str:
    """Where preference peaks, with both pulls if the task has a pair; for a single size, its preference."""
    models = models_at_peak(result.task, result.scores, result.complete)
    preference = result.mean(models, "distractor_preference", Condition.CONFLICT)
    source = result.scores[models[0]].source
    true, distractor = (mean_alone(result.mean(models, pull)) for pull in ("true_pull", "distractor_pull"))
    pulls = f"; T = {true}, D = {distractor} nats" if Condition.CONGRUENT in result.task.conditions else ""
    what = "Peak of preference" if len(result.sizes) > 1 else "Preference for the distractor's answer"
    return (
        f"{what}: {source.model} ({source.n_params:,} parameters), "
        f"{mean_and_interval(preference)} (level {result.interval_level}){pulls}."
    )


def turn_sentence(shape: Shape) -> str:
    """P-values of rise and fall at the highest level available, the turning point, and the minimum detectable dip.

    Without the label inverted-U, no turning point exists, and the p-value of a rise and then fall is the larger of the
    two.
    """
    levels = (shape.models,) if shape.models else shape.weights
    rise, fall = (max(getattr(level.inverted_u, leg) for level in levels) for leg in ("p_left", "p_right"))
    record = shape.as_dict()
    test = f"rise and then fall: p {p_value(max(rise, fall))}; "
    if shape.label == "inverted-U":
        test = (
            f"rise p {p_value(rise)}, fall p {p_value(fall)}; turning point between {record['turning_low']:,.0f} and "
            f"{record['turning_high']:,.0f} parameters; "
        )
    return f"Level {record['level']}: {test}minimum detectable dip {record['smallest_detectable_dip']:.2f}."


def _interiorpeak_sentence(result: AblationResult, shape: Shape) -> str:
    """The peak that the verdict uses, if it differs: the smallest and the largest size are excluded."""
    models = result.sizes[peak(shape.means.mean(0), interior=True)]
    if models == models_at_peak(result.task, result.scores, result.complete):
        return ""
    return (
        "The rows below use the highest size between the smallest and the largest as the peak: "
        f"{result.scores[models[0]].source.model}, and at level 1 each seed's own."
    )


def _claim_cell(part: ClaimPart | None) -> str:
    """The numbers of a part, and the answer."""
    numbers = part and claim_numbers(part)
    if part is None or numbers is None:
        return "–"
    undecided = f"{part.seeds_yes} of {part.seeds}" if part.seeds > 1 else "unclear"
    answer = {True: "yes", False: "no", None: undecided}[part.holds]
    return f"{numbers} {answer:>7}"


def claim_numbers(part: ClaimPart) -> str | None:
    """The numbers of a part with enough digits to follow its rule; None if it was not measured in any seed."""
    if part.number is None:
        return "–" if part.seeds_yes else None
    thresholds = part.criterion.thresholds
    if part.low is None or part.high is None:
        return number_against(part.number, thresholds)
    return interval_against(part.number, part.low, part.high, thresholds)
