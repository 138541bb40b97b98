"""The whole road in a few lines: a model, a task and a probe in, a reading out."""

import numpy as np
import xarray as xr
from xarray import DataArray

from distractor.errors import ModelError
from distractor.models.hook_check import check_hooks
from distractor.models.model import Model
from distractor.probing.probe import Probe
from distractor.probing.run import batch, observe
from distractor.scoring.encode import Encoding, encode
from distractor.text.task import Condition, Task


def measure(model: Model, task: Task, probe: Probe, encoding: Encoding | None = None) -> DataArray:
    """What `probe` reads in `model` on the items of `task`; `encoding` saves encoding the task again.

    A probe may say two things more of itself than the protocol asks: `at_slot`, the parts that it needs at the answer
    slot alone, and `one_by_one`, that its conditions need not be aligned: those that the task has are read one after the
    other, and an item that is not posed under one is NaN there. A reading whose attribute `absent` says what NaN means in
    it may have such values; in any other they are refused.

    Raises:
        EncodeError: the task's text does not fit the model.
        ModelError: a hook that the probe writes to does nothing in this model, or what it reads is not a number.

    """
    encoding = encoding or encode(task, model)
    if not getattr(probe, "one_by_one", False):
        return _checked(model, _measure(model, encoding, probe, probe.conditions))
    posed = [c for c in probe.conditions if encoding.complete((c,))]
    readings = [_checked(model, _measure(model, encoding, probe, (condition,))) for condition in posed]
    joined = xr.concat(readings, "condition", join="outer", combine_attrs="override", coords="minimal", compat="equals")
    items = [item.id for item in encoding.items]
    return joined.sel(item=[name for name in items if name in joined.indexes["item"]]).transpose(*readings[0].dims)


def _measure(model: Model, encoding: Encoding, probe: Probe, conditions: tuple[Condition, ...]) -> DataArray:
    together = batch(encoding, model, conditions)
    run = observe(model, together, probe.sites(model), at_slot=getattr(probe, "at_slot", ()))
    if probe.writes:
        check_hooks(model, together.tokens[0, :1, : together.lengths[0]], probe.writes)
    return probe(run)


def _checked(model: Model, reading: DataArray) -> DataArray:
    """The reading as it came, if it is whole."""
    broken = ~np.isfinite(reading.values) if "absent" not in reading.attrs else np.isinf(reading.values)
    if broken.any():
        item = list(reading.dims).index("item")
        where = np.moveaxis(broken, item, 0).reshape(reading.sizes["item"], -1).any(1)
        first = reading.coords["item"].values[where][0]
        raise ModelError(
            f"{model.name}: what {reading.name} reads is not a finite number (NaN) in {int(where.sum())} of "
            f"{len(where)} items, first {first}; the weights are damaged, or the dtype is too narrow"
        )
    return reading
