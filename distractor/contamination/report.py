"""What `distractor tasks contamination` says: two tables, and plain sentences."""

from collections.abc import Iterator, Sequence

from distractor.contamination.judge import EXCLUDED_LEAD, Compared, Judged
from distractor.models.source import Source
from distractor.numbers import number, p_value, with_interval
from distractor.runs.tables import FittedTable
from distractor.statistics.standard_errors import ALPHA
from distractor.text.task import Condition

OFFICIAL, FRESH, BY_CHANCE = "official\nnats", "fresh\nnats", "official\np"
GREEDY, GREEDY_OTHER = "greedy,\nrow's order", "greedy,\nother order"
NEXT_WORDS = ("model", OFFICIAL, BY_CHANCE, FRESH, "official − fresh\nnats", GREEDY, GREEDY_OTHER, "knows\nthe rows")
ANSWERS = (
    "model", "condition", "accuracy\nofficial", "accuracy\nfresh", "accuracy\nofficial − fresh",
    "gap, nats\nofficial − fresh",
)  # fmt: skip

NEXT_WORDS_EXPLAINED = (
    "Next words: log p(two parts of the row in its order) − log p(in the other order), after the beginning of the row. A "
    "model that never saw the rows cannot know this order: official − fresh is 0. yes: the interval is above 0, and the "
    f"official mean has p < {ALPHA:g} (sign flips, Holm over models). no: {EXCLUDED_LEAD:.2f} nats are excluded (the row's "
    "order twice as likely). unclear: neither. greedy: share of official rows whose most likely next words are these."
)
ANSWERS_EXPLAINED = (
    "Answers: official and fresh rows differ in difficulty, so a difference alone is no evidence of contamination. The "
    "difference in distractor_only shows how much of it is difficulty. gap: lead of the right answer."
)


def next_words_table(judged: Sequence[Judged]) -> FittedTable:
    """One row for each model: how well it knows the order in which rows go on."""
    table = FittedTable(NEXT_WORDS, drop=(GREEDY_OTHER, GREEDY, FRESH, OFFICIAL, BY_CHANCE), all_in="--json has them")
    for model in judged:
        lead, (official, exchanged, *_) = model.order_lead, model.is_next
        table.add_row(
            model.source.name,
            number(lead.official.mean),
            p_value(model.p_holm),
            number(lead.fresh.mean),
            with_interval(*lead.difference),
            number(official),
            number(exchanged),
            model.knows,
        )
    return table


def answers_table(judged: Sequence[Judged]) -> FittedTable:
    """Two rows for each model: accuracy and gap on official and fresh rows under both conditions."""
    table = FittedTable(
        ANSWERS, left=("condition",), drop=(ANSWERS[5], ANSWERS[3], ANSWERS[2]), all_in="--json has them"
    )
    for model in judged:
        for condition, accuracy in model.accuracy.items():
            table.add_row(
                model.source.name if condition is Condition.CONFLICT else "",
                condition.value,
                number(accuracy.official.mean),
                number(accuracy.fresh.mean),
                with_interval(*accuracy.difference),
                with_interval(*model.gap[condition].difference),
            )
    return table


def conclusions(judged: Sequence[Judged], change: tuple[Source, Source, Compared] | None) -> Iterator[str]:
    """A sentence for each answer that occurs, and one about the change over size."""
    names = {
        answer: [model.source.name for model in judged if model.knows == answer] for answer in ("yes", "no", "unclear")
    }
    if known := names["yes"]:
        yield f"{_some(known)}: knows the order of official rows, so it has seen them or their source."
    if free := names["no"]:
        yield f"{_some(free)}: no sign that the rows are known; a lead of {EXCLUDED_LEAD:.2f} nats is excluded."
    if unclear := names["unclear"]:
        yield f"{_some(unclear)}: unclear; the interval is too wide, so use more rows."
    for model in judged:
        if model.constant is not None:
            yield f"{model.source.name} answers {model.constant} to almost all rows, so its accuracy shows nothing."
    if change:
        small, large, compared = change
        yield (
            f"From {small.name} to {large.name}, accuracy in conflict changes by {with_interval(*compared.official)} on "
            f"official and {with_interval(*compared.fresh)} on fresh rows; the difference is "
            f"{with_interval(*compared.difference)}."
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
