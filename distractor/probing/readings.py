"""Probe readings: computed once, stored as cells, read back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.models.source import Source
from distractor.scoring.keys import cell_key
from distractor.scoring.settings import Settings, load_model
from distractor.scoring.store import Cell, Key, Store
from distractor.text.task import Task

if TYPE_CHECKING:
    import pyarrow as pa
    from xarray import DataArray

    from distractor.models.model import Model
    from distractor.probing.probe import Probe
    from distractor.scoring.encode import Encoding


READING = 4
"""Version of how probes read and how that is kept: other numbers under the same settings ask for a new one."""


@dataclass(frozen=True, eq=False)
class Reading:
    """What a probe read, as it is kept: `values` along the named `dims`, with quantity, unit and origin in `about`.

    `table` holds the same values with the dims as columns. `coords` are further names along dims: {name: {"dims": …,
    "values": …}}.
    """

    source: Source
    table: "pa.Table"
    values: Float[ndarray, "..."]
    dims: Mapping[str, Sequence[str]]
    about: Mapping[str, str]
    coords: Mapping[str, Any] = field(default_factory=dict)


def probe_key(task: Task, source: Source, probe: "Probe", settings: Settings) -> Key:
    """What decides a probe's reading in a model."""
    return {**cell_key(task, source, settings), "reading": READING, "probe": repr(probe)}


def read_probe(task: Task, source: Source, probe: "Probe", store: Store, settings: Settings) -> Reading:
    """What a probe reads in a model; only computed where the store does not have it. Raises as `Reader.read_probe`."""
    return Reader(task, source, store, settings).read(probe)


@dataclass(frozen=True, eq=False)
class Reader:
    """One model under several probes: loaded once, and only if the store lacks a reading."""

    task: Task
    source: Source
    store: Store
    settings: Settings

    def read(self, probe: "Probe") -> Reading:
        """What a probe reads; only computed where the store does not have it.

        Raises:
            ModelError, EncodeError, StoreError: as in `sweep`; and where the probe cannot be trusted in this model.

        """
        key = probe_key(self.task, self.source, probe, self.settings)
        cell = self.store.get_or_compute(key, self._load, partial(self._measure, probe))
        return _reading(self.source, cell)

    def _load(self) -> "tuple[Model, Encoding]":
        return self._model, self._encoding

    def _measure(self, probe: "Probe") -> Cell:
        from distractor.probing.measure import measure

        return _cell(measure(self._model, self.task, probe, self._encoding), self._model.n_params)

    @cached_property
    def _model(self) -> "Model":
        return load_model(self.source, self.settings)

    @cached_property
    def _encoding(self) -> "Encoding":
        from distractor.scoring.encode import encode

        return encode(self.task, self._model)


def _cell(reading: "DataArray", n_params: int) -> Cell:
    """A reading as it is kept: its dims as columns, what else is known of it beside."""
    import pyarrow as pa

    names = {str(d): [str(v) for v in reading.coords[d].values] for d in reading.dims}
    grid = np.meshgrid(*(np.arange(n, dtype=np.int32) for n in reading.shape), indexing="ij")
    columns = {
        d: pa.DictionaryArray.from_arrays(pa.array(i.ravel()), pa.array(names[d]))
        for d, i in zip(names, grid, strict=True)
    }
    facts = {
        "dims": list(names.items()),  # a list, for the order of a mapping is not kept
        "about": {str(k): str(v) for k, v in reading.attrs.items()},
        "coords": {
            str(name): {"dims": [str(d) for d in coord.dims], "values": coord.values.tolist()}
            for name, coord in reading.coords.items()
            if name not in reading.dims
        },
        "n_params": n_params,
    }
    return Cell(pa.table({**columns, "value": reading.values.ravel()}), facts)


def _reading(source: Source, cell: Cell) -> Reading:
    facts = cell.facts
    dims: dict[str, list[str]] = dict(facts["dims"])
    values = cell.table["value"].to_numpy().reshape([len(names) for names in dims.values()])
    placed = replace(source, n_params=facts["n_params"])
    return Reading(placed, cell.table, values, dims, facts["about"], facts["coords"])
