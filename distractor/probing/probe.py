"""The contract of a probe: settings, the sites that it reads, and a pure call from a run to a reading."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from distractor.models.site import STREAM_PARTS, Part, Site, require_one_kind
from distractor.text.task import ALIGNED, Condition, Task

# Stored readings are found by a probe's settings alone, so slow imports wait until a probe is called.
if TYPE_CHECKING:
    from xarray import DataArray

    from distractor.models.hooked_model import HookedModel
    from distractor.probing.run import Run
    from distractor.probing.screening import Screening


GRADIENTS = 3  # passes that a forward and a backward pass together take


@dataclass(frozen=True)
class Extent:
    """What the cost of a probe depends on: the tokens of all prompts under each condition, and the number of items, of
    sites (heads and MLPs) and of layers.
    """

    tokens: Mapping[Condition, float]
    items: int
    sites: int
    layers: int

    def under(self, *conditions: Condition) -> float:
        """The tokens of all prompts under these conditions."""
        return float(sum(self.tokens.get(condition, 0) for condition in conditions))

    @property
    def length(self) -> float:
        """The mean number of tokens of a prompt."""
        return self.under(*self.tokens) / max(1, self.items * len(self.tokens))


@runtime_checkable
class Probe(Protocol):
    """Reads a run. A probe is a frozen dataclass whose fields are its settings; it does not load, print, plot or save.

    Subclasses give `conditions` and the call; everything else has a default. Attributes may be fields or constants.
    """

    @property
    @abstractmethod
    def conditions(self) -> tuple[Condition, ...]:
        """The conditions whose prompts it compares."""

    @property
    def is_aligned(self) -> bool:
        """Whether prompts need the same length under all conditions. If not, each condition is read separately."""
        return True

    @property
    def others(self) -> tuple[Condition, ...]:
        """Further conditions of the same items, whose prompts may have other lengths: their runs are `run.others`."""
        return ()

    def posed(self, task: Task) -> Task:
        """The task as this probe poses it."""
        return task

    @property
    def writes(self) -> tuple[Part, ...]:
        """The parts that it edits. Each model is first checked for whether such edits take effect."""
        return ()

    @property
    def slot_parts(self) -> tuple[Part, ...]:
        """The parts that it needs only at the answer slot. Other positions are not kept in memory."""
        return ()

    @property
    def donors(self) -> tuple[Condition, ...]:
        """Other conditions whose prompts give activations. They may have other lengths, and the task may lack them."""
        return ()

    def sites(self, model: "HookedModel") -> Sequence[Site]:
        """The sites whose activations the run must hold."""
        return []

    def variants(self, conditions: Sequence[Condition]) -> "Mapping[str, Probe]":
        """The probes to run on a task with these conditions, by the suffix of their names."""
        return {"": self}

    @property
    def kinds(self) -> "Mapping[str, Probe]":
        """The same probe with each kind of replacement value alone, its own first; empty if it has no such kinds."""
        return {}

    @property
    def screening(self) -> "Screening | None":
        """Which sites are measured in models with many; None if all are."""
        return None

    @property
    def unscreened(self) -> "Probe":
        """The same probe, which measures every site also in models with many sites."""
        return self

    def screened(self, screening: "Screening") -> "Probe":
        """The same probe with this screening, if it can screen sites. With a `SharedScreening` that names no site, nothing
        is measured, and the attribute `estimates` [view][site] holds the mean estimates.
        """
        return self

    def knock_out(self, sites: Sequence[Site], random_sets: int = 0, groups: Sequence[str] = ()) -> "Probe | None":
        """The same probe with all `sites` knocked out together; None if it does not knock out sites.

        Up to `random_sets` further components are random sets of other sites, of the same kind and number. With `groups`,
        items of other groups need not be measured: they may be NaN.
        """
        return None

    def cost(self, extent: "Extent") -> float:
        """About how many tokens pass through the whole model; a backward pass counts as two passes.

        Plans and progress take the time of a probe from it.
        """
        return extent.under(*self.conditions, *self.others)

    @abstractmethod
    def __call__(self, run: "Run") -> "DataArray":
        """The reading: labelled dims with `item` among them, and `quantity`, `unit` and `origin` as attributes."""


@dataclass(frozen=True)
class PairProbe(Probe):
    """Settings of a probe that patches activations between `conflict` and the aligned condition `other`.

    `parts` are either all of the residual stream or all of components (heads, and MLPs beside them). `roles` selects
    positions; none selects all.
    """

    parts: tuple[Part, ...] = STREAM_PARTS
    other: Condition = Condition.CONGRUENT
    roles: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require_one_kind(self.parts)

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The pair."""
        return Condition.CONFLICT, self.other

    @property
    def writes(self) -> tuple[Part, ...]:
        """The parts whose activations are exchanged."""
        return self.parts

    def variants(self, conditions: Sequence[Condition]) -> Mapping[str, Probe]:
        """One probe for each aligned condition of the task; only this one if its other condition is not aligned."""
        if self.other not in ALIGNED:
            return {"": self}
        others = [other for other in ALIGNED if other in conditions]
        return {"" if other == self.other else f"/{other}": replace(self, other=other) for other in others}
