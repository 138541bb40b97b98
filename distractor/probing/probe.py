"""What a probe is: settings, the sites that it needs, and a pure call from a run to a reading."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from xarray import DataArray

from distractor.models.model import Model
from distractor.models.site import Part, Site
from distractor.probing.run import Batch, Run
from distractor.text.task import Condition


@runtime_checkable
class Probe(Protocol):
    """A reader of runs. Its settings are its fields; it does not load, print, plot or save."""

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The aligned conditions that it needs side by side."""

    @property
    def writes(self) -> tuple[Part, ...]:
        """The parts that it edits: each model is checked for whether that bites before the probe may run."""

    def sites(self, model: Model) -> Sequence[Site]:
        """What it needs to see."""

    def __call__(self, run: Run) -> DataArray:
        """The reading: named dims with an `item` among them; quantity, unit and origin in its attributes."""


def names_of(batch: Batch) -> dict[str, list[str]]:
    """What the conditions and items of a batch are called in a reading."""
    return {"condition": [str(c) for c in batch.conditions], "item": [item.id for item in batch.items]}
