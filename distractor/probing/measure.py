"""Runs a probe on a model and a task, and checks the reading."""

from collections.abc import Mapping
from dataclasses import replace
from weakref import WeakKeyDictionary

import numpy as np
import xarray as xr
from torch import Tensor
from xarray import DataArray

from distractor.errors import EncodeError, ModelError, ProbeError
from distractor.models.hook_check import check_hooks
from distractor.models.hooked_model import HookedModel
from distractor.models.model import Model
from distractor.probing.probe import Probe
from distractor.probing.run import Batch, Run, batch, observe
from distractor.scoring.encode import Encoding, encode
from distractor.text.task import Condition, Task
from distractor.text.user_file import user_code

ATTRIBUTES = ("quantity", "unit", "origin")  # attributes that every reading has
CHECKED_TOKENS = 8  # hooks are checked on the beginning of a prompt, in every layer

_seen: "WeakKeyDictionary[HookedModel, dict[tuple[Condition, ...], tuple[Encoding, Tensor]]]" = WeakKeyDictionary()
"""The last log-probabilities of a model under some conditions: several probes of one task begin with the same pass."""


def measure(model: Model, task: Task, probe: Probe, encoding: Encoding | None = None) -> DataArray:
    """The reading of `probe` in `model` on the items of `task`; `encoding` saves encoding the task again.

    If the probe's conditions are not aligned, each is read separately; an item is NaN under conditions that it lacks. A
    reading may hold NaN only if its attribute `absent` says what NaN means.

    Raises:
        EncodeError: the task's text does not fit the model.
        ModelError: a hook that the probe writes to has no effect in this model, or a value is not finite.
        ProbeError: the reading lacks labels or attributes.
    """
    posed = probe.posed(task)
    encoding = encoding if encoding and posed is task else encode(posed, model)
    hooked = model.hooked
    if probe.is_aligned:
        return _measure(hooked, encoding, probe, probe.conditions)
    shown = [c for c in probe.conditions if encoding.complete((c,))]
    readings = [_measure(hooked, encoding, probe, (condition,)) for condition in shown]
    joined = xr.concat(readings, "condition", join="outer", combine_attrs="override", coords="minimal", compat="equals")
    items = [item.id for item in encoding.items]
    return joined.sel(item=[name for name in items if name in joined.indexes["item"]]).transpose(*readings[0].dims)


def _measure(model: HookedModel, encoding: Encoding, probe: Probe, conditions: tuple[Condition, ...]) -> DataArray:
    every = (*conditions, *probe.others)
    prompts = batch(encoding, model, conditions, probe.others)
    module = type(probe).__module__
    with user_code(module, ProbeError):
        sites = probe.sites(model)
    run = (
        _observed(model, encoding, prompts, every)
        if not sites
        else observe(model, prompts, sites, slot_parts=probe.slot_parts)
    )
    if probe.others:
        beside = {condition: batch(encoding, model, (condition,), every) for condition in probe.others}
        _check_answers(prompts, beside)
        run = replace(run, others={c: observe(model, b, sites, slot_parts=probe.slot_parts) for c, b in beside.items()})
    run = replace(run, donors={c: batch(encoding, model, (c,)) for c in probe.donors if encoding.complete((c,))})
    if probe.writes:
        check_hooks(model, prompts.tokens[0, :1, : min(int(prompts.lengths[0]), CHECKED_TOKENS)], probe.writes)
    with user_code(module, ProbeError):
        reading = probe(run)
    _check_labels(probe, reading, [item.id for item in prompts.items])
    _check_finite(model, reading)
    return reading


def _observed(model: HookedModel, encoding: Encoding, prompts: Batch, conditions: tuple[Condition, ...]) -> Run:
    """The plain run of some prompts, whose items have all of `conditions`; computed once for an encoding."""
    seen = _seen.setdefault(model, {})
    key = (*prompts.conditions, *conditions)
    if key not in seen or seen[key][0] is not encoding:
        seen[key] = encoding, observe(model, prompts).log_probs
    return Run(model, prompts, seen[key][1], seen={})


def _check_answers(prompts: Batch, beside: Mapping[Condition, Batch]) -> None:
    for condition, other in beside.items():
        for item, first, second in zip(prompts.items, prompts.answers.tolist(), other.answers.tolist(), strict=True):
            if first != second:
                raise EncodeError(
                    f"item {item.id}: its answers begin with other tokens under {condition} than under "
                    f"{prompts.conditions[0]}; let all its prompts end in the same way"
                )


def _check_labels(probe: Probe, reading: DataArray, items: list[str]) -> None:
    name = type(probe).__name__
    if not isinstance(reading, DataArray):
        raise ProbeError(f"{name} returned a {type(reading).__name__}; return an xarray.DataArray")
    if "item" not in reading.dims or [str(v) for v in reading["item"].values] != items:
        raise ProbeError(f"{name} returned dims {reading.dims}; add the dim 'item' with the ids of run.batch.items")
    if not all(isinstance(dim, str) for dim in reading.dims) or reading.dtype.kind != "f":
        raise ProbeError(
            f"{name} returned {reading.dtype} values with dims {reading.dims}; return floats, and text as the dims' names"
        )
    if unlabelled := [str(d) for d in reading.dims if d not in reading.coords]:
        raise ProbeError(f"{name} returned dims without labels: {', '.join(unlabelled)}; add them to coords")
    if missing := [attribute for attribute in ATTRIBUTES if attribute not in reading.attrs]:
        raise ProbeError(f"{name} returned a reading without {', '.join(missing)}; add them to attrs")


def _check_finite(model: Model, reading: DataArray) -> None:
    values = reading.transpose("item", ...).values.reshape(reading.sizes["item"], -1)
    is_broken = (np.isinf(values) if "absent" in reading.attrs else ~np.isfinite(values)).any(1)
    if is_broken.any():
        first = reading["item"].values[is_broken][0]
        raise ModelError(
            f"{model.name}: {reading.name} is not a finite number (NaN) in {int(is_broken.sum())} of "
            f"{reading.sizes['item']} items, first {first}; the weights are damaged, or the dtype is too narrow"
        )
