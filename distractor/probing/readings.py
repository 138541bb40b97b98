"""Probe readings: computed once, stored as cells, read back."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

from distractor.errors import EncodeError, ModelError, ProbeError, SingleTokenError
from distractor.models.source import Source
from distractor.scoring.keys import cell_key
from distractor.scoring.lazy_model import LazyModel
from distractor.scoring.settings import Settings, load_model
from distractor.scoring.store import Cell, Key, Store
from distractor.text.task import Task
from distractor.text.user_file import code_hash
from distractor.version import __version__
from distractor.work import expect_tokens, skip

if TYPE_CHECKING:
    import pyarrow as pa
    from xarray import DataArray

    from distractor.models.model import Model
    from distractor.probing.probe import Probe

READING = 8
"""Version of how probes read and how readings are stored. Raise it whenever either changes stored numbers or labels."""


KNOCKOUTS = "knock-outs"
CHOSEN_SITES = "chosen sites"
FOREIGN_SITES = "sites of the other model"
"""What progress calls readings that are not those of a named probe."""


@dataclass(frozen=True, eq=False)
class Reading:
    """A probe's labelled values in one model, as they are stored."""

    source: Source
    cell: Cell

    @property
    def table(self) -> "pa.Table":
        """The values as a table, with the dims as columns."""
        return self.cell.table

    @property
    def values(self) -> ndarray:
        """The values without labels, in one row."""
        return self.cell.table["value"].to_numpy()

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The attributes of `data`."""
        return self.cell.facts["attributes"]

    @cached_property
    def data(self) -> "DataArray":
        """The values with their labels; quantity, unit and origin are attributes.

        Stored readings label each dim with strings. Further coordinates belong to dims: an item's `group` and
        `pair_gap`, the example `token` of a role.
        """
        return labelled(self.values, self.cell.facts)


def probe_identity(probe: "Probe") -> str:
    """A probe's settings; for a user's probe also the hash of its file."""
    code = code_hash(type(probe).__module__)
    return f"{probe!r}, file {code}" if code else repr(probe)


def probe_key(task: Task, source: Source, probe: "Probe", settings: Settings) -> Key:
    """Everything that decides a probe's reading in a model."""
    return {
        **cell_key(probe.posed(task), source, settings.for_hooks),
        "reading": READING,
        "probe": probe_identity(probe),
    }


@dataclass(frozen=True)
class ReadingsRequest:
    """The readings of some probes in one model. Each probe follows its name in progress."""

    task: Task
    source: Source
    settings: Settings
    probes: "tuple[tuple[str, Probe], ...]"

    def compute(self, store: Store) -> list[Reading]:
        """Read the probes that are not stored. Raises as `Reader.read`."""
        reader = Reader(self.task, self.source, store, self.settings)
        return [reader.read(probe, name) for name, probe in self.probes]


IMPOSSIBLE = "impossible"
"""The fact of a stored cell that says why there is no reading."""


class Reader(LazyModel):
    """Reads one model with several probes. It loads the model once, and only if the store lacks a reading."""

    @cached_property
    def model(self) -> "Model":
        """The loaded model, which can have hooks."""
        return load_model(self.source, self.settings.for_hooks)

    def read(self, probe: "Probe", name: str, *, keep_refusal: bool = False) -> Reading:
        """A probe's reading, computed only if the store lacks it. `name` is its name in progress.

        With `keep_refusal`, the store also keeps that the probe does not work in this model, so that the model need not be
        loaded to find it out again.

        Raises:
            ModelError, EncodeError, StoreError: as in `sweep`; or the probe does not work in this model.
            SingleTokenError: answers begin with other tokens under another condition; this is stored like a reading.
            ProbeError: the reading lacks labels or attributes.
        """
        key = probe_key(self.task, self.source, probe, self.settings)
        if not keep_refusal:
            return self._read(key, probe, name)
        refusal = {**key, "refused_by": __version__}
        if self.store.has(refusal):
            skip(self.source.name, name)
            raise ModelError(self.store.get(refusal).facts["reason"])
        try:
            return self._read(key, probe, name)
        except SingleTokenError:
            raise
        except (ModelError, EncodeError, ProbeError) as error:
            self.store.save(refusal, self._refusal(str(error)))
            raise

    def _read(self, key: Key, probe: "Probe", name: str) -> Reading:
        cell = self.cell(key, partial(self._measure, probe), name)
        if IMPOSSIBLE in cell.facts:
            raise SingleTokenError(cell.facts[IMPOSSIBLE])
        return Reading(replace(self.source, n_params=cell.facts["n_params"]), cell)

    def _refusal(self, reason: str) -> Cell:
        """The stored form of a probe's refusal to read this model."""
        import pyarrow as pa

        facts = {"reason": reason, "task": self.task.name, "model": self.source.name}
        return Cell(pa.table({"reason": [reason]}), facts)

    def _measure(self, probe: "Probe") -> Cell:
        import pyarrow as pa

        from distractor.probing.measure import measure
        from distractor.probing.probe import Extent

        tokens = {c: sum(len(row.prompt) for row in rows if row) for c, rows in self.encoding.rows.items()}
        model = self.model.hooked
        expect_tokens(probe.cost(Extent(tokens, len(self.task.items), len(model.components), model.n_layers)))
        try:
            return stored(measure(self.model, self.task, probe, self.encoding), self.model.n_params)
        except SingleTokenError as error:
            return Cell(pa.table({"value": pa.array([], pa.float64())}), {IMPOSSIBLE: str(error)})


def stored(data: "DataArray", n_params: int | None = None) -> Cell:
    """The stored form of a reading: a table of values, with labels and attributes in its header."""
    facts = {
        "name": str(data.name),
        "dims": [(str(d), [str(v) for v in data[d].values]) for d in data.dims],
        "coords": {
            str(name): {"dims": [str(d) for d in coord.dims], "values": coord.values.tolist()}
            for name, coord in data.coords.items()
            if name not in data.dims
        },
        "attributes": dict(data.attrs),
        "n_params": n_params,
    }
    return Cell(_table(data), json.loads(json.dumps(facts, default=str)))


def _table(data: "DataArray") -> "pa.Table":
    import pyarrow as pa

    places = np.indices(data.shape, dtype=np.int32)
    columns = {
        str(d): pa.DictionaryArray.from_arrays(pa.array(place.ravel()), pa.array([str(v) for v in data[d].values]))
        for d, place in zip(data.dims, places, strict=True)
    }
    return pa.table({**columns, "value": data.values.ravel()})


def labelled(values: ndarray, facts: Mapping[str, Any]) -> "DataArray":
    """The values of a stored reading with the labels in its facts."""
    from xarray import DataArray

    labels: dict[str, list[str]] = dict(facts["dims"])
    return DataArray(
        values.reshape([len(names) for names in labels.values()]),
        dims=list(labels),
        coords={**labels, **{name: (coord["dims"], coord["values"]) for name, coord in facts["coords"].items()}},
        name=facts["name"],
        attrs=facts["attributes"],
    )


def over_models(readings: Sequence[Reading]) -> "DataArray":
    """Readings of one probe in several models as one, with the dim `model` first; NaN for labels that a model lacks."""
    import pandas as pd
    import xarray as xr

    names = pd.Index([reading.source.name for reading in readings], name="model")
    tables = [reading.data.drop_attrs() for reading in readings]
    joined = xr.concat(tables, names, join="outer", coords="different", compat="equals").transpose(
        "model", *tables[0].dims
    )
    shared = ("quantity", "unit")
    return joined.assign_attrs({name: readings[0].attributes[name] for name in shared})
