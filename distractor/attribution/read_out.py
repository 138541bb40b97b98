"""Does the curve over size come from what the residual stream holds, or from the read-out alone?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.attribution.size_trends import mean_over_seeds
from distractor.models.source import group_by_size
from distractor.numbers import with_interval
from distractor.probing.cells import groups_of_items, kind_of, labels
from distractor.probing.probe_results import ProbeResults
from distractor.scoring.behaviour import model_at_several_steps
from distractor.statistics.curve import peak
from distractor.statistics.intervals import Mean
from distractor.statistics.split_change import Factors, split_change
from distractor.text.task import Condition

From = Literal["the stream", "the read-out", "undetermined", "no clear change"]
Rows = Float[ndarray, "seed item"]
FACTORS = ("gap", "cosine", "stream", "answers", "rest")
SHOWN = ("gap", "cosine", "largest", "stream", "answers")


@dataclass(frozen=True, eq=False)
class SizeFactors:
    """The factors of the gap in conflict at one size: values by seed and item, and their means."""

    name: str
    n_params: int
    seeds: Mapping[int | None, int]
    values: Mapping[str, Rows]
    means: Mapping[str, Mean]

    def factors(self, seeds: Sequence[int | None], *, with_width: bool = False) -> Factors:
        """The factors of these seeds, in this order; `with_width` counts the length of the stream as the stream's."""
        rows = [self.seeds[seed] for seed in seeds]
        cosine, stream, answers, rest = (self.values[name][rows] for name in ("cosine", "stream", "answers", "rest"))
        return Factors(cosine * stream, answers, rest) if with_width else Factors(cosine, stream * answers, rest)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for summary.json."""
        means = {name: mean._asdict() for name, mean in self.means.items()}
        return {"size": self.name, "n_params": self.n_params, **means}


@dataclass(frozen=True)
class PreferenceChange:
    """The change of preference in conflict between two sizes, and its two parts, which add up to it.

    The length of the normalised stream, √d_model, grows with width. It is counted as the read-out's; `stream_with_width` is
    the stream's part if it is counted as the stream's. `comes_from` is what holds in both ways of counting.
    """

    start: str
    end: str
    change: Mean
    stream: Mean
    read_out: Mean
    stream_with_width: Mean
    comes_from: From

    @property
    def sentence(self) -> str:
        """The change and its parts in words."""
        parts = (
            f"{with_interval(*self.stream)} by what the stream holds, {with_interval(*self.read_out)} by the read-out"
        )
        answer = "" if self.comes_from == "no clear change" else f": {_IN_WORDS[self.comes_from]}"
        change = f"preference changes by {with_interval(*self.change)}"
        return f"From {self.start} to {self.end}, {change} ({parts}){answer}."

    def as_dict(self) -> dict[str, Any]:
        """Plain values for summary.json."""
        means = {name: getattr(self, name)._asdict() for name in ("change", "stream", "read_out", "stream_with_width")}
        return {"from": self.start, "to": self.end, **means, "comes_from": self.comes_from}


_IN_WORDS: Mapping[From, str] = {
    "the stream": "the curve follows what the stream holds",
    "the read-out": "the curve follows the read-out",
    "undetermined": "which of them makes it is undetermined, or depends on whether width counts as read-out",
}


@dataclass(frozen=True)
class ReadOutOverSize:
    """The factors at each size, the smallest first, and the changes that can be split."""

    sizes: tuple[SizeFactors, ...]
    changes: tuple[PreferenceChange, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for summary.json."""
        return {"sizes": [one.as_dict() for one in self.sizes], "changes": [one.as_dict() for one in self.changes]}


def read_out_over_size(results: ProbeResults) -> ReadOutOverSize | None:
    """The factors and changes over the items that all models have in conflict; None without readings of `read_out`."""
    readings = [one for of in results.readings.values() for one in of if kind_of(one.data) == "factors"]
    readings = [one for one in readings if Condition.CONFLICT in labels(one.data, "condition")]
    if not readings:
        return None
    sources = [reading.source for reading in readings]
    conflict = [reading.data.sel(condition=Condition.CONFLICT.value).dropna("item") for reading in readings]
    shared = set.intersection(*(set(labels(data, "item")) for data in conflict))
    items = [item.id for item in results.task.items if item.id in shared]
    groups = groups_of_items(results.task, items)
    if len(set(groups)) < 2:
        return None
    sizes: list[SizeFactors] = []
    for models in group_by_size(sources):
        tables = [conflict[model].sel(item=items) for model in models]
        values = {name: np.array([table.sel(factor=name).values for table in tables]) for name in FACTORS}
        values["largest"] = values["stream"] * values["answers"]
        means = {name: mean_over_seeds(values[name], groups) for name in SHOWN}
        seeds = {sources[model].seed: row for row, model in enumerate(models)}
        first = sources[models[0]]
        sizes.append(SizeFactors(first.model, first.n_params or 0, seeds, values, means))
    is_curve = not results.why_mixed and model_at_several_steps(sources) is None
    return ReadOutOverSize(tuple(sizes), tuple(_changes(sizes, groups)) if is_curve else ())


def _changes(sizes: Sequence[SizeFactors], groups: Sequence[str]) -> Iterator[PreferenceChange]:
    """The changes from the smallest size to the peak of preference, and on to the largest; each over the seeds that all
    sizes have.
    """
    seeds = [seed for seed in sizes[0].seeds if all(seed in size.seeds for size in sizes)]
    if not seeds:
        return
    counted = [[size.factors(seeds, with_width=with_width) for size in sizes] for with_width in (False, True)]
    top = peak(np.array([one.preference.mean() for one in counted[0]]))
    for start, end in pairwise(sorted({0, top, len(sizes) - 1})):
        (stream, read_out), (more, less) = (split_change(factors[start], factors[end]) for factors in counted)
        change = mean_over_seeds(stream + read_out, groups)
        sign = 1 if change.mean > 0 else -1
        margins = [mean_over_seeds(sign * rows, groups) for rows in (stream - read_out, more - less)]
        yield PreferenceChange(
            sizes[start].name,
            sizes[end].name,
            change,
            stream=mean_over_seeds(stream, groups),
            read_out=mean_over_seeds(read_out, groups),
            stream_with_width=mean_over_seeds(more, groups),
            comes_from=_comes_from(change, margins),
        )


def _comes_from(change: Mean, margins: Sequence[Mean]) -> From:
    """`margins`: how much more of the change, in its direction, the stream makes than the read-out, in each counting."""
    if change.low <= 0 <= change.high:
        return "no clear change"
    if all(margin.low > 0 for margin in margins):
        return "the stream"
    return "the read-out" if all(margin.high < 0 for margin in margins) else "undetermined"
