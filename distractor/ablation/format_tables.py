"""Tables of what models wrote, and of formats side by side, for the terminal."""

from collections.abc import Iterator, Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from distractor.ablation.formats import FormatCurve
from distractor.ablation.free_form import FreeForm
from distractor.numbers import number, shortened, with_interval
from distractor.runs.tables import plain_table
from distractor.scoring.shot_limits import caution
from distractor.statistics.groups import Mean
from distractor.text.task import Condition

EXAMPLES = 3


ABREAST = 3
"""So many formats stand beside each other."""


def free_table(found: FreeForm) -> Group:
    """One row a size: the share of the distractor's answers and of right ones among the texts that have one."""
    task, seeds = found.task, len(found.sizes[0])
    groups = len({item.group for item, is_used in zip(task.items, found.complete, strict=True) if is_used})
    title = (
        f"{task.name}, {task.format.label}: {int(found.complete.sum())} items in {groups} groups, {len(found.sizes)} sizes × "
        f"{seeds} seed{'s' * (seeds > 1)} (of texts with an answer; 95 % intervals over groups)"
    )
    is_reasoned = task.format.scoring == "cot"
    table = plain_table("\nsize", "\nparameters")
    table.add_column("distr. share\nin conflict", justify="right", no_wrap=True)
    shown = {Condition.CONFLICT: "conflict", Condition.CONGRUENT: "congruent", Condition.DISTRACTOR_ONLY: "distr. only"}
    conditions = [c for c in shown if not (is_reasoned and c is Condition.DISTRACTOR_ONLY)]
    last = ["goes by\nquestion", "goes by\nreasoning"] if is_reasoned else ["other\nanswer"]
    for name in [*(f"accuracy\n{shown[c]}" for c in conditions), "texts with\nan answer", *last]:
        table.add_column(name, justify="right", no_wrap=True)
    for places in found.sizes:
        source = found.replies[places[0]].source
        by = found.follows(places)
        means = (
            [by["question"], by["reasoning"]] if is_reasoned else [found.mean(places, "another", Condition.CONFLICT)]
        )
        table.add_row(
            shortened(source.model, 20),
            f"{source.n_params:,}",
            _with_interval(found.mean(places, "distractor_share", Condition.CONFLICT)),
            *(_plain(found.mean(places, "accuracy", c)) if c in task.conditions else "–" for c in conditions),
            _plain(found.mean(places, "parsed", Condition.CONFLICT)),
            *map(_plain, means),
        )
    return Group(Text(title, style="bold"), table)


def free_notes(found: FreeForm) -> Iterator[str]:
    """What must be known of the texts: what the quantity is, whose texts have no answer, with examples."""
    yield (
        "Distractor share: of the texts with an answer, how many give the distractor's; another quantity than distractor "
        "preference, which compares probabilities."
    )
    if found.task.caution:
        yield found.task.caution
    if said := caution(found.task.name, found.task.format, found.replies[0].source):
        yield said
    if found.task.format.scoring == "cot":
        yield (
            "Goes by question, by reasoning: what the logit gap at the answer moves, in nats, when the question of the other "
            "condition stands before it, and when the reasoning written on that question does."
        )
    kinds = {"has no answer that can be read": found.unread(), "gives another answer": found.unread("another")}
    for what, texts in kinds.items():
        in_conflict = [one for one in texts if one["condition"] == Condition.CONFLICT]
        for one in in_conflict[-EXAMPLES:]:
            why = f" ({one['why']})" if one["why"] else ""
            shown = one["text"] if len(one["text"]) <= 70 else f"{one['text'][:70]}…"
            yield f"{one['model']}, {one['item']}: {shown!r} {what}{why}."
    judged = found.judged
    if judged.left_out:
        yield (
            f"Left out of the shape, fewer than 80 % of the texts having an answer: "
            f"{', '.join(f'{size:,}' for size in judged.left_out)} parameters."
        )


def formats_table(curves: Sequence[FormatCurve]) -> Group:
    """One row a size, two columns a format: its own quantity, and accuracy, in `conflict`; the shape below.

    Few formats fit beside each other; the others stand below.
    """
    title = "Formats side by side, in conflict (preference and share are two quantities)"
    tables = [_some(curves[start : start + ABREAST]) for start in range(0, len(curves), ABREAST)]
    return Group(Text(title, style="bold"), *tables)


def _some(curves: Sequence[FormatCurve]) -> Table:
    labels = [one.form.label.split(", ") for one in curves]
    height = max(map(len, labels))
    table = plain_table("\n" * height + "size")
    for one, label in zip(curves, labels, strict=True):
        what = "preference" if one.quantity == "distractor_preference" else "share"
        table.add_column("\n".join([*[""] * (height - len(label)), *label, what]), justify="right")
        table.add_column("\n" * height + "accuracy", justify="right")
    for place, name in enumerate(curves[0].names):
        cells = [shortened(name, 20)]
        for one in curves:
            cells += [_plain(one.means[Condition.CONFLICT][place]), _plain(one.accuracy[Condition.CONFLICT][place])]
        table.add_row(*cells)
    table.add_row("shape", *(cell for one in curves for cell in (one.label, "")))
    return table


def _plain(mean: Mean | None) -> str:
    return "–" if mean is None else number(mean.mean)


def _with_interval(mean: Mean | None) -> str:
    return "–" if mean is None else with_interval(*mean)
