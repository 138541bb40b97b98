"""The items on a page: three under every condition, and all in a table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.numbers import number
from distractor.runs.page.blocks import ItemRow, ItemTable, Posed, ShownItem
from distractor.scoring.behaviour import TaskScores, models_at_peak
from distractor.text.format_task import last_question
from distractor.text.task import Answer, Condition, Item

MOST_ROWS = 2000
LONGEST = 400  # characters of a prompt in the table of all items


@dataclass(frozen=True, eq=False)
class TwoSizes:
    """Two sizes of a run, as models and names: where preference peaks, and the largest; see `two_sizes`."""

    result: TaskScores
    models: tuple[tuple[int, ...], ...]
    names: tuple[str, ...]

    @cached_property
    def gaps(self) -> Float[ndarray, "size item"]:
        """The logit gap in `conflict` of each complete item, the mean over seeds."""
        gaps = [
            np.mean([self.result.item_values(model, "logit_gap", Condition.CONFLICT) for model in models], 0)
            for models in self.models
        ]
        return np.array(gaps)[:, self.result.complete]

    @cached_property
    def items(self) -> list[Item]:
        """The complete items."""
        return [self.result.task.items[index] for index in np.flatnonzero(self.result.complete)]

    def probabilities(self, item: int, condition: Condition) -> tuple[tuple[float, float] | None, ...]:
        """p(true answer) and p(distractor's answer) at each size, the mean over seeds; None if it was not shown."""
        index = np.flatnonzero(self.result.complete)[item]
        row = self.result.task.conditions.index(condition)
        means = (
            np.exp([self.result.scores[model].log_probs[row, index] for model in models]).mean(0)
            for models in self.models
        )
        return tuple(None if np.isnan(both).any() else (float(both[0]), float(both[1])) for both in means)


def two_sizes(result: TaskScores) -> TwoSizes:
    """The size where preference peaks and the largest; the smallest and the largest if these are the same."""
    peak = models_at_peak(result.task, result.scores, result.complete)
    first = result.sizes[0] if peak == result.sizes[-1] else peak
    chosen = tuple(dict.fromkeys((first, result.sizes[-1])))
    return TwoSizes(result, chosen, tuple(result.size_names[result.sizes.index(models)] for models in chosen))


def shown_items(result: TaskScores) -> Iterator[ShownItem]:
    """Up to three different items: with the median gap, the most wrong, and one that changed sides between two sizes."""
    sizes = two_sizes(result)
    gaps, names = sizes.gaps, sizes.names
    order = np.argsort(gaps[0], kind="stable")
    chosen: dict[int, tuple[str, str]] = {}

    def choose(candidates: Sequence[int], title: str, why: str) -> None:
        for item in candidates:
            if item not in chosen:
                chosen[int(item)] = title, why
                return

    n, at, last = len(order), names[0], names[-1]
    from_middle = sorted(range(n), key=lambda rank: (abs(rank - (n - 1) // 2), rank))
    choose([order[rank] for rank in from_middle], "A typical item", f"It has the median gap of all items in {at}")
    side = "for the distractor's answer" if gaps[0][order[0]] < 0 else "for the true answer, as every item's"
    choose(order.tolist(), "The most wrong item", f"Its gap in {at} is the lowest, {side}")
    if len(gaps) == 1:
        choose(order[::-1].tolist(), "The most right item", f"Its gap in {at} is the highest")
    else:
        moved = np.argsort(-np.abs(gaps[1] - gaps[0]), kind="stable")
        changed = [item for item in moved.tolist() if (gaps[0][item] < 0) != (gaps[1][item] < 0)]
        if changed:
            why = f"Of the {len(changed):,} items that changed sides from {at} to {last}, it moved most"
            choose(changed, "An item that changed sides", why)
        else:
            why = f"No item changed sides from {at} to {last}. This one moved most"
            choose(moved.tolist(), "The item that moved most", why)
    for index, (title, why) in chosen.items():
        found = ", ".join(f"{number(gap[index])} nats in {name}" for gap, name in zip(gaps, names, strict=True))
        yield _shown(sizes, index, title, f"{why}: {found}.")


def _shown(sizes: TwoSizes, index: int, title: str, why: str) -> ShownItem:
    item, task = sizes.items[index], sizes.result.task
    posed = []
    for condition in task.conditions:
        if condition in item.prompts:
            right = task.right.get(condition)
            posed.append(
                Posed(
                    condition.value,
                    last_question(item.prompts[condition], task.format),
                    "neither" if right is None else ("the true", "the distractor's")[right],
                    sizes.probabilities(index, condition),
                )
            )
    true, distractor = (item.answers[answer].strip() for answer in Answer)
    return ShownItem(f"{title}: {item.id}", why, true, distractor, sizes.names, tuple(posed))


def all_items(result: TaskScores) -> ItemTable:
    """Every complete item with its gap at both sizes, the lowest gap first; at most `MOST_ROWS`."""
    sizes = two_sizes(result)
    gaps, names = sizes.gaps, sizes.names
    wrong = gaps < 0
    filters = {f"wrong-{k}": f"wrong in {name}" for k, name in enumerate(names)}
    is_marked = {f"wrong-{k}": wrong[k] for k in range(len(names))}
    said = ", ".join(f"{int(row.sum()):,} in {name}" for row, name in zip(wrong, names, strict=True))
    seeds = max(map(len, result.sizes))
    mean = f", by the gap averaged over {seeds} seeds" if seeds > 1 else ""
    caption = f"Wrong (the distractor's answer wins in conflict{mean}): {said}, of {len(sizes.items):,} items."
    if len(names) > 1:
        filters["changed"] = f"changed sides from {names[0]} to {names[1]}"
        is_marked["changed"] = wrong[0] != wrong[1]
        caption += f" {int(is_marked['changed'].sum()):,} changed sides between them."
    rows = []
    for index in np.argsort(gaps[0], kind="stable")[:MOST_ROWS]:
        item = sizes.items[index]
        prompt = " ".join(last_question(item.prompts[Condition.CONFLICT], result.task.format).split())
        rows.append(
            ItemRow(
                item.id,
                item.group,
                prompt if len(prompt) <= LONGEST else f"…{prompt[1 - LONGEST :]}",
                item.true.strip(),
                item.distractor.strip(),
                tuple(float(row[index]) for row in gaps),
                frozenset(mark for mark, marked in is_marked.items() if marked[index]),
            )
        )
    note = (
        "Gap: log p(true answer) − log p(distractor's answer) in conflict, in nats, the mean over seeds. Below 0 the "
        "distractor's answer wins."
    )
    return ItemTable(caption, tuple(f"gap in {name}" for name in names), rows, filters, len(sizes.items), note=note)
