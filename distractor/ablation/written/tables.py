"""The table of written answers that `distractor ablate` prints, and its notes."""

from collections.abc import Iterator

from rich.console import Group

from distractor.ablation.bare import bare_sentence
from distractor.ablation.tables import ALL_IN, caption, mean_alone, mean_and_interval
from distractor.ablation.written.answers import MIN_PARSED, WrittenResult
from distractor.runs.precision import precision_caution
from distractor.runs.tables import FittedTable
from distractor.runs.training_data import training_data_caution
from distractor.scoring.shot_limits import caution as shot_caution
from distractor.text.task import Condition

EXAMPLES = 3

ACCURACIES = {
    Condition.CONFLICT: "conflict",
    Condition.CONGRUENT: "congruent",
    Condition.DISTRACTOR_ONLY: "distr. only",
}


def written_table(result: WrittenResult) -> Group:
    """One row for each size: distractor share, accuracies and share of texts with an answer."""
    is_reasoned = result.task.format.scoring == "cot"
    conditions = [c for c in ACCURACIES if not (is_reasoned and c is Condition.DISTRACTOR_ONLY)]
    last = ["follows\nquestion", "follows\nreasoning"] if is_reasoned else ["other\nanswer"]
    accuracies = [f"accuracy\n{ACCURACIES[c]}" for c in conditions]
    table = FittedTable(
        ["size", "parameters", "distr. share\nin conflict", *accuracies, "texts with\nan answer", *last],
        drop=[*accuracies[:0:-1], "parameters", *last[::-1], accuracies[0], "texts with\nan answer"],
        all_in=f"{ALL_IN} have them",
    )
    for models in result.sizes:
        source = result.sources[models[0]]
        if is_reasoned:
            last_means = [*result.follows(models).values()]
        else:
            last_means = [result.mean(models, "another", Condition.CONFLICT)]
        table.add_row(
            source.model,
            f"{source.n_params:,}",
            mean_and_interval(result.mean(models, "distractor_share", Condition.CONFLICT)),
            *(mean_alone(result.mean(models, "accuracy", c)) for c in conditions),
            mean_alone(result.mean(models, "parsed", Condition.CONFLICT)),
            *map(mean_alone, last_means),
        )
    return Group(caption(result, "of texts with an answer"), table)


def written_notes(result: WrittenResult) -> Iterator[str]:
    """What the columns mean, cautions, and examples of texts without one of the offered answers."""
    task = result.task
    yield (
        "Distractor share: share of the texts with an answer that give the distractor's answer. It differs from distractor "
        "preference, which compares probabilities."
    )
    yield from task.cautions
    if sentence := training_data_caution(task, result.sources):
        yield sentence
    if half := precision_caution([result]):
        yield half
    if result.mixture_caution:
        yield result.mixture_caution
    if sentence := shot_caution(task.name, task.format, result.sources[0]):
        yield sentence
    if sentence := bare_sentence(result):
        yield sentence
    if task.format.scoring == "cot":
        yield (
            "Follows question, follows reasoning: change of the logit gap at the answer, in nats, if only the question or "
            "only the reasoning is that of conflict instead of congruent."
        )
    kinds = {"has no readable answer": result.examples(), "gives another answer": result.examples("another")}
    for what, examples in kinds.items():
        in_conflict = [example for example in examples if example["condition"] == Condition.CONFLICT]
        for example in in_conflict[-EXAMPLES:]:
            why = f" ({example['why']})" if example["why"] else ""
            text = example["text"] if len(example["text"]) <= 70 else f"{example['text'][:70]}…"
            yield f"{example['model']}, {example['item']}: {text!r} {what}{why}."
    if result.judged.left_out:
        sizes = ", ".join(f"{size:,}" for size in result.judged.left_out)
        yield (
            f"Sizes left out of the shape, because fewer than {100 * MIN_PARSED:.0f} % of their texts have an answer: "
            f"{sizes} parameters."
        )
