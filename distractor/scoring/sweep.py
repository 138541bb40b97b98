"""Models × task × conditions → cells: what is not on disk yet is computed, one model in memory at a time."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.models.device import pick_device
from distractor.models.source import Source
from distractor.progress import computed, computing, from_disk
from distractor.scoring.shot_limits import refuse_untrained
from distractor.scoring.store import Cell, Key, Store
from distractor.text.format import Format
from distractor.text.task import Condition, Item, Task

if TYPE_CHECKING:
    import pyarrow as pa
    from xarray import DataArray

    from distractor.models.model import Model
    from distractor.probing.probe import Probe
    from distractor.scoring.encode import Encoded, Encoding


SCORER = 1
"""Version of the scoring rule, in every cell's key. A golden test guards it: numbers that change ask for a new one."""


READING = 4
"""Version of how probes read and how that is kept: other numbers under the same settings ask for a new one."""


Advance = Callable[[str], None]
"""Told after each cell, with the model's name."""


@dataclass(frozen=True)
class Settings:
    """How to compute: `device` as torch names it or `auto`, `dtype` of weights and activations, prompts at a time.

    The batch size is set by the prompts' length where it is None, and is no part of a result's identity. `bos` says
    whether prompts begin with the BOS token, by the tokenizer's own rule where it is None. `self_check` compares every
    model that is not embedded with plain transformers before anything is computed. `device_map` spreads a model over
    devices. `threads` is how many of the processor's are used, torch's own choice where it is None, and no part of a
    result's identity either.
    """

    device: str = "auto"
    dtype: str = "float32"
    batch_size: int | None = None
    bos: bool | None = None
    self_check: bool = True
    device_map: str | None = None
    threads: int | None = None

    def identity(self) -> dict[str, Any]:
        """What of it belongs to a result: device and type always, the rest where it is not as usual."""
        usual, own = Settings(), ("bos", "self_check", "device_map")
        said = {name: getattr(self, name) for name in own if getattr(self, name) != getattr(usual, name)}
        return {"device": pick_device(self.device), "dtype": self.dtype, **said}


@dataclass(frozen=True, eq=False)
class Scores:
    """What one model gives on a task: log-probabilities of both answers, NaN where an item is not posed.

    `tokens` counts the tokens of all prompts, `bos` says whether each began with the model's BOS token, `dropped` how
    many items were left out of each aligned condition because no wording was as long as `conflict`. `treatment` is what
    was decided for this model and its tokenizer (see `Model.treatment`). `prompts` are what was sent, by condition and
    item, where the format is another than the bare prompt.
    """

    source: Source
    log_probs: Float[ndarray, "condition item answer=2"]
    bos: bool
    tokens: int
    dropped: Mapping[Condition, int]
    treatment: Mapping[str, Any] = field(default_factory=dict)
    prompts: Mapping[Condition, Mapping[str, str]] = field(default_factory=dict)


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


def score_keys(task: Task, source: Source, settings: Settings) -> dict[Condition, Key]:
    """What decides the numbers of each of a model's cells, one a condition.

    Raises:
        ModelError: the format has more worked examples than the model was trained on, where that is known.

    """
    common = _key(task, source, settings)
    return {condition: {**common, "condition": condition.value} for condition in task.conditions}


def probe_key(task: Task, source: Source, probe: "Probe", settings: Settings) -> Key:
    """What decides a probe's reading in a model."""
    return {**_key(task, source, settings), "reading": READING, "probe": repr(probe)}


def _key(task: Task, source: Source, settings: Settings) -> dict[str, Any]:
    refuse_untrained(task.format, source)
    return {
        "scorer": SCORER,
        "model": source.fingerprint(),
        "task": task.fingerprint(),
        **task.format.as_dict(),
        **settings.identity(),
    }


def sweep(
    task: Task, sources: Iterable[Source], store: Store, settings: Settings, advance: Advance = lambda _: None
) -> list[Scores]:
    """Score every model under every condition; only what the store does not have is computed.

    Raises:
        ModelError, EncodeError, StoreError: a model, the task's text under it, or the store is not what it should be.

    """
    encodings: dict[tuple[Any, ...], Encoding] = {}
    found = []
    for source in sources:
        wanted = score_keys(task, source, settings)
        missing = [condition for condition, key in wanted.items() if not store.has(key)]
        for _ in range(len(wanted) - len(missing)):
            advance(source.name)
        if missing:
            store.make_ready()
            _score(task, source, missing, wanted, store, settings, encodings, advance)
        cells = {condition: store.get(key) for condition, key in wanted.items()}
        for condition in cells.keys() - missing:
            from_disk(cells[condition].facts.get("passes", 0), store.path(wanted[condition]))
        found.append(_gather(task, source, cells))
    return found


def read(task: Task, source: Source, probe: "Probe", store: Store, settings: Settings) -> Reading:
    """What a probe reads in a model; only computed where the store does not have it. Raises as `Reader.read`."""
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
        if not self.store.has(key):
            from distractor.probing.measure import measure

            self.store.make_ready()
            model, encoding = self._model, self._encoding
            with computing() as work:
                reading = measure(model, self.task, probe, encoding)
            self.store.put(key, _cell(reading, model.n_params, work.passes))
            computed(self.store.path(key))
            return _reading(self.source, self.store.get(key))
        cell = self.store.get(key)
        from_disk(cell.facts.get("passes", 0), self.store.path(key))
        return _reading(self.source, cell)

    @cached_property
    def _model(self) -> "Model":
        return load_model(self.source, self.settings)

    @cached_property
    def _encoding(self) -> "Encoding":
        from distractor.scoring.encode import encode

        return encode(self.task, self._model)


def _cell(reading: "DataArray", n_params: int, passes: int) -> Cell:
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
        "passes": passes,
    }
    return Cell(pa.table({**columns, "value": reading.values.ravel()}), facts)


def _reading(source: Source, cell: Cell) -> Reading:
    facts = cell.facts
    dims: dict[str, list[str]] = dict(facts["dims"])
    values = cell.table["value"].to_numpy().reshape([len(names) for names in dims.values()])
    placed = replace(source, n_params=facts["n_params"])
    return Reading(placed, cell.table, values, dims, facts["about"], facts["coords"])


def load_model(source: Source, settings: Settings) -> "Model":
    """The model that a source means, as the settings want it."""
    from distractor.models.model import load

    if settings.threads is not None:
        import torch

        torch.set_num_threads(settings.threads)
    return load(
        source.folder,
        name=source.name,
        tokenizer=source.tokenizer,
        device=settings.device,
        dtype=settings.dtype,
        device_map=settings.device_map,
        bos=settings.bos,
        self_check=settings.self_check and not source.is_embedded,
    )


def _score(
    task: Task,
    source: Source,
    missing: Sequence[Condition],
    wanted: Mapping[Condition, Key],
    store: Store,
    settings: Settings,
    encodings: dict[tuple[Any, ...], "Encoding"],
    advance: Advance,
) -> None:
    """Compute the missing cells of one model. Models that share a tokenizer share the encoding."""
    import pyarrow as pa

    from distractor.probing.run import score_all
    from distractor.scoring.encode import encode

    model = load_model(source, settings)
    template = str(getattr(model.tokenizer, "chat_template", None))
    same = (model.tokenizer.backend_tokenizer.to_str(), model.bos, model.context, model.vocab, template)
    if same not in encodings:
        encodings[same] = encode(task, model)
    encoding = encodings[same]
    # Worked examples are the same under all conditions, so these are scored together, whichever are missing: what is
    # computed in one pass does not depend on what is on disk.
    together = None
    if task.format.shots:
        with computing() as work:
            together = score_all(model, encoding.items, _rows(encoding, task.conditions), settings.batch_size)
    for condition in missing:
        if together is not None:
            found, passes = together[task.conditions.index(condition)], work.passes // len(task.conditions)
        else:
            with computing() as work:
                (found,) = score_all(model, encoding.items, _rows(encoding, (condition,)), settings.batch_size)
            passes = work.passes
        posed = [(i, r) for i, r in zip(encoding.items, encoding.rows[condition], strict=True) if r is not None]
        items: list[Item] = [item for item, _ in posed]
        log_probs = found[[row is not None for row in encoding.rows[condition]]]
        columns: dict[str, Any] = {
            "item": [item.id for item in items],
            "log_prob_true": log_probs[:, 0],
            "log_prob_distractor": log_probs[:, 1],
        }
        if task.format != Format():
            columns["prompt"] = [model.tokenizer.decode(row.prompt) for _, row in posed]
        table = pa.table(columns)
        facts = {
            "n_params": model.n_params,
            "bos": model.bos is not None,
            "treatment": model.treatment,
            "tokens": sum(len(row.prompt) for _, row in posed),
            "dropped": encoding.dropped.get(condition, 0),
            "passes": passes,
        }
        store.put(wanted[condition], Cell(table, facts))
        computed(store.path(wanted[condition]))
        advance(source.name)


def _rows(encoding: "Encoding", conditions: Sequence[Condition]) -> "list[list[Encoded | None]]":
    """Each item's prompts under some conditions."""
    return [[encoding.rows[condition][k] for condition in conditions] for k in range(len(encoding.items))]


def _gather(task: Task, source: Source, cells: Mapping[Condition, Cell]) -> Scores:
    place = {item.id: i for i, item in enumerate(task.items)}
    log_probs = np.full((len(task.conditions), len(task.items), 2), np.nan)
    for c, cell in enumerate(cells.values()):
        here = [place[name] for name in cell.table["item"].to_pylist()]
        log_probs[c, here, 0] = cell.table["log_prob_true"].to_numpy()
        log_probs[c, here, 1] = cell.table["log_prob_distractor"].to_numpy()
    facts = next(iter(cells.values())).facts
    return Scores(
        source=replace(source, n_params=facts["n_params"]),
        log_probs=log_probs,
        bos=facts["bos"],
        tokens=sum(cell.facts["tokens"] for cell in cells.values()),
        dropped={condition: cell.facts["dropped"] for condition, cell in cells.items()},
        treatment=facts.get("treatment", {}),  # cells of earlier versions do not tell it
        prompts={
            condition: dict(zip(cell.table["item"].to_pylist(), cell.table["prompt"].to_pylist(), strict=True))
            for condition, cell in cells.items()
            if "prompt" in cell.table.column_names
        },
    )
