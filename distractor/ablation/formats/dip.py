"""The dip of accuracy over size in each format, and whether it differs between formats.

The dip is how far accuracy in `conflict` falls below that of a smaller size. Its two sizes are chosen on one half of
the item groups and its depth is measured on the other half; then the halves swap. On the same half, a dip would be deep
by chance alone.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.ablation.formats.curve import FormatResult, answered
from distractor.ablation.written.answers import MIN_PARSED
from distractor.numbers import with_interval
from distractor.statistics.curve import MIN_SIZES
from distractor.statistics.intervals import Mean, interval, known_group_means
from distractor.text.format import Format
from distractor.text.task import Condition

MIN_GROUPS = 4  # two item groups in each half


@dataclass(frozen=True, eq=False)
class Dip:
    """The depth of a format's dip for each item group, the groups' numbers of items, and the mean over items with its
    interval over groups.

    `spans` are the two choices of (size before the dip, size in the dip), by name. A depth below 0 means that accuracy
    does not fall. If the dip is at the `largest` size, accuracy falls and does not recover.
    """

    by_group: Mapping[str, float]
    items: Mapping[str, int]
    depth: Mean
    spans: tuple[tuple[str, str], ...]
    largest: str

    @property
    def recovers(self) -> bool:
        """Whether accuracy rises again after the dip."""
        return all(within != self.largest for _, within in self.spans)


def dip(result: FormatResult) -> Dip | None:
    """The dip of one format, for these weights: the interval is over item groups, seeds are averaged.

    None if fewer than three sizes have enough answers, or fewer than four groups have an answer at each of them. Also
    None if two models have the same size but are not seeds of one model, because sizes then have no order, or if the
    models are of different families.
    """
    if len(set(result.n_params)) < len(result.sizes) or result.why_mixed:
        return None
    kept = [index for index, share in enumerate(answered(result)) if share >= MIN_PARSED]
    names = [result.size_names[index] for index in kept]
    table, groups = _accuracy(result, [result.sizes[index] for index in kept])
    items = Counter(item.group for item, is_used in zip(result.task.items, result.complete, strict=True) if is_used)
    counts = np.array([items[name] for name in groups], dtype=float)
    if len(kept) < MIN_SIZES or len(groups) < MIN_GROUPS:
        return None
    first = np.zeros(len(groups), dtype=bool)
    first[Random("dip").sample(range(len(groups)), len(groups) // 2)] = True
    depth = np.empty(len(groups))
    spans: list[tuple[str, str]] = []
    for half in (first, ~first):
        before, within = _deepest(table[:, half] @ counts[half])
        depth[~half] = table[before, ~half] - table[within, ~half]
        spans.append((names[before], names[within]))
    by_group = dict(zip(groups, depth.tolist(), strict=True))
    return Dip(by_group, items, _mean(depth, counts), tuple(spans), names[-1])


def depth_difference(dip: Dip, reference: Dip) -> Mean | None:
    """Depth of `reference` minus depth of `dip`, over the item groups of both; None if there are too few."""
    shared = sorted(set(dip.by_group) & set(reference.by_group))
    if len(shared) < MIN_GROUPS:
        return None
    differences = np.array([reference.by_group[name] - dip.by_group[name] for name in shared])
    return _mean(differences, np.array([dip.items[name] for name in shared], dtype=float))


def dip_sentences(results: Sequence[FormatResult]) -> list[str]:
    """The dip of each format, and whether chains of thought flatten it."""
    dips = {result.task.format: dip(result) for result in results}
    return [*(_dip_sentence(form, each) for form, each in dips.items()), *flattening_sentences(dips)]


def flattening_sentences(dips: Mapping[Format, Dip | None]) -> list[str]:
    """Compare the dip of each chain of thought with direct answers after the same examples, and with bare ranking."""
    sentences = []
    for form in (each for each in dips if each.scoring == "cot"):
        references = [
            each for each in dips if each.scoring != "cot" and (each.shots, each.kind) == (form.shots, form.kind)
        ]
        references += [each for each in dips if each.scoring == "rank" and not each.shots and form.shots]
        sentences += [f"{form.label} against {each.label}: {_compared(dips[form], dips[each])}." for each in references]
    return sentences


def _dip_sentence(form: Format, dip: Dip | None) -> str:
    if dip is None:
        why = "too few sizes have enough answers, or two have the same number of parameters"
        return f"{form.label}: the dip is not defined ({why})."
    where = " and ".join(dict.fromkeys(f"from {before} to {within}" for before, within in dip.spans))
    fall = "falls with size" if dip.depth.low > 0 else "does not clearly fall with size"
    return (
        f"{form.label}: in these weights (level 1), accuracy in conflict {fall}; the largest fall is "
        f"{with_interval(*dip.depth)} ({where})."
    )


def _compared(dip: Dip | None, reference: Dip | None) -> str:
    shallower = None if dip is None or reference is None else depth_difference(dip, reference)
    if shallower is None or dip is None or reference is None:
        return "not comparable"
    difference = with_interval(*shallower)
    if reference.depth.low <= 0:
        return f"the second has no dip to flatten; the difference is {difference}"
    if shallower.low > 0 and dip.depth.low > 0 and not dip.recovers:
        return f"accuracy falls less, by {difference}, but it falls up to the largest size and does not recover"
    if shallower.low > 0:
        return f"the dip is flatter, by {difference}"
    if shallower.high < 0:
        return f"the dip is deeper, by {with_interval(-shallower.mean, -shallower.high, -shallower.low)}"
    return f"the dip is not clearly flatter; the difference is {difference}"


def _accuracy(
    result: FormatResult, sizes: Sequence[Sequence[int]]
) -> tuple[Float[ndarray, "size group"], tuple[str, ...]]:
    """Accuracy in `conflict` at each of these sizes, for the item groups with an answer at all of them, and their names."""
    groups = [item.group for item in result.task.items]
    names = np.unique(groups)
    table = np.full((len(sizes), len(names)), np.nan)
    for index, models in enumerate(sizes):
        rows = [result.item_values(model, "accuracy", Condition.CONFLICT) for model in models]
        values = np.where(result.complete, rows, np.nan).ravel()
        table[index] = known_group_means(values, groups * len(models))
    kept = np.isfinite(table).all(0)
    return table[:, kept], tuple(names[kept].tolist())


def _deepest(totals: Float[ndarray, " size"]) -> tuple[int, int]:
    """The smaller and the larger size between which the sum over items falls most."""
    falls = totals[:, None] - totals
    falls[np.tril_indices(len(totals))] = -np.inf
    before, within = np.unravel_index(int(falls.argmax()), falls.shape)
    return int(before), int(within)


def _mean(values: Float[ndarray, " group"], counts: Float[ndarray, " group"]) -> Mean:
    return Mean(*(float(value) for value in interval(values, counts=counts)))
