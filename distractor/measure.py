"""The whole road in a few lines: a model, a task and a probe in, a reading out."""

from xarray import DataArray

from distractor.encode import Encoding, encode
from distractor.model import Model, check_hooks
from distractor.probe import Probe
from distractor.run import batch, observe
from distractor.task import Task


def measure(model: Model, task: Task, probe: Probe, encoding: Encoding | None = None) -> DataArray:
    """What `probe` reads in `model` on the items of `task`; `encoding` saves encoding the task again.

    Raises:
        EncodeError: the task's text does not fit the model.
        ModelError: a hook that the probe writes to does nothing in this model.

    """
    together = batch(encoding or encode(task, model), model, probe.conditions)
    run = observe(model, together, probe.sites(model))
    if probe.writes:
        check_hooks(model, together.tokens[0, :1, : together.lengths[0]], probe.writes)
    return probe(run)
