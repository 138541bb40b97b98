"""A task on a model: loads the model and encodes the task only if the store lacks a result."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from distractor.models.source import Source
from distractor.scoring.half_precision import HALF, half_precision_record
from distractor.scoring.pass_size import limiting_passes, with_smaller_passes
from distractor.scoring.settings import Settings, cpu_threads, load_model
from distractor.scoring.store import Cell, Key, Store
from distractor.text.task import Task
from distractor.work import computing, loading, working_on

if TYPE_CHECKING:
    from distractor.models.model import Model
    from distractor.scoring.encode import Encoding


Encodings = dict[tuple[Any, ...], "Encoding"]

_kept: "ContextVar[Encodings | None]" = ContextVar("kept", default=None)


@contextmanager
def keeping_encodings(known: Encodings | None = None) -> Iterator[None]:
    """Keep how tasks are encoded in this block: models with the same tokenizer share it. `known` is used and added to."""
    outer = _kept.get()
    token = _kept.set((known if known is not None else {}) if outer is None else outer)
    try:
        yield
    finally:
        _kept.reset(token)


@dataclass(frozen=True, eq=False)
class LazyModel:
    """A task and a model that is loaded at first use."""

    task: Task
    source: Source
    store: Store
    settings: Settings

    @cached_property
    def model(self) -> "Model":
        """The loaded model."""
        return load_model(self.source, self.settings)

    @cached_property
    def encoding(self) -> "Encoding":
        """The task in the model's tokens."""
        from distractor.scoring.encode import encode

        model = self.model
        template = str(getattr(model.tokenizer, "chat_template", None))
        tokenizer = model.tokenizer.backend_tokenizer.to_str()
        key = self.task.fingerprint(), tokenizer, model.bos, model.context, model.vocab, template
        kept = _kept.get()
        if kept is None:
            return encode(self.task, model)
        if key not in kept:
            kept[key] = encode(self.task, model)
        return kept[key]

    @cached_property
    def half_precision(self) -> "dict[str, Any] | None":
        """What half precision changes (see `half_precision_record`); None in float32 and float64."""
        return half_precision_record(self) if self.settings.dtype in HALF else None

    def cell(self, key: Key, compute: Callable[[], Cell], what: str) -> Cell:
        """The cell of `key`; computes it if the store lacks it. Task and model are named for `distractor cache`.

        `what` is its name in progress.
        """

        def load() -> None:
            loading()
            _ = self.encoding

        def compute_named() -> Cell:
            computing()
            with cpu_threads(self.source, self.settings), limiting_passes(self.model):
                cell = with_smaller_passes(compute)
            return Cell(cell.table, {**cell.facts, "task": self.task.name, "model": self.source.name})

        with working_on(self.source.name, what):
            return self.store.get_or_compute(key, load, compute_named)
