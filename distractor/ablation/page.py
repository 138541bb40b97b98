"""What the page of `distractor ablate` says: the verdict, the headline figure, the claim, items and the method."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from distractor.ablation.ablate import AblationResult
from distractor.ablation.figures import has_forces, panels
from distractor.ablation.published_figure import section
from distractor.ablation.tables import (
    ACCURACIES,
    PREFERENCE,
    VERDICT_EXPLAINED,
    claim_numbers,
    largest_knockouts,
    mean_alone,
    mean_and_interval,
    mode_sentences,
    notes,
    peak_sentence,
    screening_sentence,
    turn_sentence,
)
from distractor.numbers import counted
from distractor.published.tables import bibtex_keys
from distractor.runs.coverage import coverage_caution
from distractor.runs.page.blocks import AnswerCell, Answered, Block, Figure, Page, Quotation, Section, Sentences, Table
from distractor.runs.page.drawing import drawing
from distractor.runs.page.evidence import evidence
from distractor.runs.page.items import all_items, shown_items
from distractor.runs.page.provenance import provenance
from distractor.runs.page.references import bibtex
from distractor.scoring.behaviour import PULLS, models_at_peak
from distractor.statistics.verdict import ANSWERS, PARTS, ClaimPart
from distractor.text.format import Format
from distractor.text.task import Condition

FIGURES = {
    "curves": "the figure above in one file",
    "published": "accuracy in conflict with published accuracies",
    "conditions": "preference and accuracy under every condition",
    "distractor_alone": "accuracy in conflict and on the distractor task alone",
    "by_difficulty": "preference by difficulty of the items",
    "components": "the effect of ablating each head and MLP",
}


def head(result: AblationResult) -> Page:
    """The page of a run without its sections."""
    form = f", {result.task.format.label}" if result.task.format != Format() else ""
    sizes, seeds = len(result.sizes), len(result.sizes[0])
    level = (2 if result.verdict.shape.models else 1) if result.verdict else None
    return Page(
        title=f"{_title(result)}{form}",
        about=(
            f"distractor ablate: {int(result.complete.sum()):,} items in {result.n_groups:,} groups, "
            f"{counted(sizes, 'size')} × {counted(seeds, 'seed')}"
        ),
        label=result.verdict.label if result.verdict else "undetermined",
        sentences=tuple(_lead(result)),
        evidence=evidence(result.sources, level),
    )


def page(result: AblationResult, summary: Mapping[str, Any], manifest: Mapping[str, Any]) -> Page:
    """The page of a run, with its `summary` and its `manifest`."""
    warnings = tuple(_warnings(result))
    sections = [
        Section("curve", "Over size" if len(result.sizes) > 1 else "One size", tuple(_curve(result))),
        *section(result),
        *([Section("claim", "Each part of the claim", (_claim(result),))] if result.verdict else []),
        *(
            [Section("components", "Knocked-out components", tuple(_components(summary)))]
            if summary["knockouts"]
            else []
        ),
        Section("examples", "Three items under every condition", tuple(shown_items(result))),
        Section("items", "All items", (all_items(result),)),
        Section("warnings", "Warnings", (Sentences(warnings or ("None.",), is_list=bool(warnings)),)),
        Section(
            "method", "Method, to quote", (Quotation(_method(result, summary), bibtex(*_references(result, summary))),)
        ),
        *provenance(manifest, _files(summary)),
    ]
    return replace(head(result), warnings=len(warnings), sections=tuple(sections))


def _title(result: AblationResult) -> str:
    """The task, and the family or the only model."""
    is_alone = len(result.sources) == 1 and not result.family
    return f"{result.task.name} in {result.sources[0].name}" if is_alone else result.title


def _lead(result: AblationResult) -> Iterator[str]:
    """The verdict, and the numbers behind it."""
    yield result.verdict.sentence if result.verdict else f"No verdict: {result.unjudged}."
    if len(result.sizes) == 1:
        yield peak_sentence(result)
        return
    names = dict(zip(result.sizes, result.size_names, strict=True))
    first, last = result.sizes[0], result.sizes[-1]
    peak = models_at_peak(result.task, result.scores, result.complete)
    found = [f"{mean_and_interval(result.mean(models, *PREFERENCE))}" for models in (first, peak, last)]
    pulls = [[mean_alone(result.mean(models, pull)) for pull in PULLS] for models in (peak, last)]
    yield (
        f"Preference for the distractor's answer is {found[0]} in the smallest models ({names[first]}), {found[1]} at its "
        f"peak ({names[peak]}) and {found[2]} in the largest models ({names[last]})."
    )
    if Condition.CONGRUENT in result.task.conditions:
        yield (
            f"At the peak, T = {pulls[0][0]} and D = {pulls[0][1]} nats; in the largest models, T = {pulls[1][0]} and "
            f"D = {pulls[1][1]} nats."
        )


def _curve(result: AblationResult) -> Iterator[Block]:
    over = "over model size" if len(result.sizes) > 1 else f"in {result.size_names[0]}"
    label = f" {result.verdict.on_average}" if result.verdict else ""
    kind = "Bands" if len(result.sizes) > 1 else "Whiskers"
    dots = "; dots: single seeds" if len(result.sizes[0]) > 1 else ""
    forces = has_forces(result.task)
    shown = (
        f"Preference for the distractor's answer {over}. {peak_sentence(result)}",
        f"True pull, distractor pull and gap in distractor_only {over}." if forces else f"Accuracy {over}.",
    )
    explained = (
        " T is what the true cue moves, D the pull to the distractor's answer whatever the true cue says. A gap in "
        "distractor_only below 0 means that the model does the distractor task when it is alone."
    )
    yield Figure(
        f"Preference for the distractor's answer {over}, and {'the forces behind it' if forces else 'accuracy'}.{label}",
        tuple(
            drawing(draw.__name__.replace("_", "-"), words, partial(draw, result=result))
            for draw, words in zip(panels(result.task), shown, strict=True)
        ),
        f"{kind}: {result.interval_name}{dots}. Preference is p(distractor's answer) / p(either answer) in conflict."
        f"{explained * forces}",
    )
    yield _sizes(result)


def _sizes(result: AblationResult) -> Table:
    """The numbers of the figure."""
    accuracies = [c for c in ACCURACIES if c in result.task.conditions]
    headings = (
        "size", "parameters", "seeds", "preference in conflict", "T (nats)", "D (nats)", "gap in distractor_only (nats)",
        *(f"accuracy in {condition}" for condition in accuracies), "coverage in conflict",
    )  # fmt: skip
    rows: list[list[str]] = []
    for models, name, n_params in zip(result.sizes, result.size_names, result.n_params, strict=True):
        keys = (
            PREFERENCE, *((pull, None) for pull in PULLS), ("logit_gap", Condition.DISTRACTOR_ONLY),
            *(("accuracy", condition) for condition in accuracies), ("coverage", Condition.CONFLICT),
        )  # fmt: skip
        means = (mean_and_interval(result.mean(models, *key)) for key in keys)
        rows.append([name, f"{n_params:,}", str(len(models)), *means])
    return Table(
        "Numbers of the figure",
        headings,
        rows,
        frozenset(range(1, len(headings))),
        note=f"Means; intervals: {result.interval_name}. Coverage: p(either answer).",
        folded=True,
    )


def _claim(result: AblationResult) -> Table:
    assert result.verdict is not None
    parts = {(part.name, part.level): part for part in result.verdict.because}
    levels = (2, 1) if result.verdict.shape.models else (1,)
    rows: list[list[AnswerCell | str]] = []
    for name in dict.fromkeys(part.name for part in result.verdict.because):
        at = [parts[name, level] for level in levels]
        _, _, words = at[0].sentence.partition(": ")
        rule = at[0].criterion.short.replace(" ", "\u00a0").replace(";\u00a0", "; ")
        rows.append([PARTS[name], rule, *map(_judged, at), words[0].upper() + words[1:]])
    titles = {1: "these weights\n(level 1)", 2: "models like these\n(level 2)"}
    return Table(
        "What the hypothesis claims, and what was found",
        ("claim", "yes if", *(titles[level] for level in levels), f"in words (level {levels[0]})"),
        rows,
        sentences=frozenset({2 + len(levels)}),
        note=VERDICT_EXPLAINED.format(delta=result.verdict.delta),
    )


def _judged(part: ClaimPart) -> AnswerCell:
    """The answer of a part and its numbers."""
    answered: dict[bool | None, Answered] = {True: "yes", False: "no", None: "unclear"}
    undecided = part.seeds > 1 and part.holds is None
    answer = f"{part.seeds_yes} of {part.seeds} seeds" if undecided else ANSWERS[part.holds]
    numbers = claim_numbers(part)
    return AnswerCell("–" if numbers is None else f"{answer}: {numbers}", answered=answered[part.holds])


def _components(summary: Mapping[str, Any]) -> Iterator[Table]:
    for knockout in summary["knockouts"]:
        conditions, rows = largest_knockouts(knockout)
        note = (
            "Change of the logit gap when the component is replaced by its mean. Negative: the component supports the true "
            "answer. Positive: it supports the distractor's."
        )
        yield Table(
            f"{knockout['model']}: the largest {len(rows)} of {len(knockout['effects'])} effects in conflict",
            ("component", *(f"{condition} (nats)" for condition in conditions)),
            rows,
            frozenset(range(1, len(conditions) + 1)),
            note=f"{note} {screening_sentence(knockout)}".rstrip(),
        )


def _warnings(result: AblationResult) -> Iterator[str]:
    if sentence := coverage_caution(result):
        yield sentence
    yield from notes(result)
    yield from mode_sentences(result)
    if result.unjudged:
        yield f"No verdict: {result.unjudged}."


def _method(result: AblationResult, summary: Mapping[str, Any]) -> str:
    """A paragraph with the numbers of this run, which a paper can quote."""
    task, sizes, seeds = result.task, result.n_params, len(result.sizes[0])
    if len(sizes) > 1:
        span = f"{counted(len(sizes), 'size')} from {sizes[0]:,} to {sizes[-1]:,} parameters"
        to = f"models of {span}, {counted(seeds, 'seed')} each"
    else:
        name = result.sources[0].name if seeds == 1 else f"{seeds} seeds of {result.size_names[0]}"
        to = f"{name} ({sizes[0]:,} parameters)"
    shots = f", after {counted(task.format.shots, 'worked example')}" if task.format.shots else ""
    neutral = Condition.NEUTRAL in task.conditions
    gap = "gap(neutral)" if neutral else "0 (labels are balanced)"
    sentences = [
        f"We posed {summary['items']:,} items of {task.name} ({result.n_groups:,} groups) to {to}, in "
        f"{result.settings.dtype}. Each item was posed under the conditions "
        f"{', '.join(task.conditions)}{shots}.",
        "An answer's score is the sum of its tokens' log-probabilities after the prompt. The logit gap is log p(true answer) "
        "− log p(distractor's answer), and preference is p(distractor) / (p(true) + p(distractor)).",
    ]
    if Condition.CONGRUENT in task.conditions:
        sentences.append(
            "The true pull is T = ½ [gap(conflict) − gap(congruent)], the distractor pull D = "
            f"{gap} − ½ [gap(conflict) + gap(congruent)]."
        )
    if shape := result.shapes.get("distractor_preference"):
        sentences.append(f"The shape over size was judged at {shape.method}.")
    if result.verdict:
        sentences.append(
            f"The hypothesis of Wei, Tay and Le (2022) was judged by fixed rules with δ = {result.verdict.delta:g} and δ_D = "
            f"{result.verdict.delta_d:g} nats. {result.verdict.sentence}"
        )
    if result.knockouts:
        sentences.append(
            "Attention heads and MLPs were replaced, one at a time, by their mean over items of other groups, in "
            f"{' and '.join(reading.source.name for reading in result.knockouts)}."
        )
        sentences += [f"In {model}, {screening['sentence']}." for model, screening in _screened(summary).items()]
    sentences.append(peak_sentence(result))
    if shape and result.verdict:
        sentences.append(turn_sentence(shape))
    return " ".join(sentences)


def _references(result: AblationResult, summary: Mapping[str, Any]) -> list[str]:
    probed = ["transformerlens"] if result.knockouts else []
    screened = ["kramar2024"] if _screened(summary) else []
    cited = ["wei2022", "mckenzie2023", *bibtex_keys(result.published), *screened, *probed, "distractor"]
    return list(dict.fromkeys(cited))


def _screened(summary: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """How components were chosen in each model in which not all were knocked out."""
    return {each["model"]: each["screening"] for each in summary["knockouts"] if "screening" in each}


def _files(summary: Mapping[str, Any]) -> dict[str, str]:
    files = {
        "summary.json": "every mean with its interval, the shapes, the verdict and its sentences",
        "results.parquet": "one row per model, condition, item and quantity",
    }
    return files | {f"figures/{name}.svg": FIGURES[name] for name in summary["figures"]["names"]}
