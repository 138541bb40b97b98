"""Units of work: one model with all that it is asked, so that it is loaded once; and what a unit needs to run."""

import copyreg
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, runtime_checkable

from distractor.errors import ModelError
from distractor.models.gguf_file import is_gguf
from distractor.models.parameters import parameters_of
from distractor.models.source import Source
from distractor.scoring.requests import Request
from distractor.scoring.settings import Settings, threads_of


def _view(content: dict[Any, Any]) -> "MappingProxyType[Any, Any]":
    return MappingProxyType(content)


def _reduce(view: "MappingProxyType[Any, Any]") -> tuple[Any, ...]:
    return _view, (dict(view),)


copyreg.pickle(MappingProxyType, _reduce)  # requests hold such views of constants

OVERHEAD = 300_000_000  # bytes of a process besides its model
PASS = 500_000_000  # bytes that the activations of a pass take at most in small models
COPIES = 1.4
"""Memory of a model, over that of its weights: they are mapped from their file or converted once, and hooks on GPT-2 and
GPT-NeoX split a matrix of each layer into parts of its own (measured: 1.0 without hooks, 1.4 with them).
"""

GGUF_COPIES = 2.2  # likewise: blocks are dequantised in float32 (measured: 1.6 in float32, 2.2 in bfloat16)
BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}


@runtime_checkable
class Computable(Protocol):
    """Requests that are computed in one process, one after the other, and what they need to run."""

    @property
    def name(self) -> str:
        """The name in messages."""

    @property
    def requests(self) -> Sequence[Any]:
        """What is computed."""

    @property
    def threads(self) -> int:
        """The CPU threads that it uses."""

    @property
    def memory(self) -> int:
        """The bytes that its process needs, roughly."""

    @property
    def returns(self) -> bool:
        """Whether what the requests return is needed. Results in the store are not."""

    def with_smaller_batches(self, batch_size: int) -> "Computable":
        """The same with this number of prompts in a batch."""


@dataclass(frozen=True, eq=False)
class Unit:
    """One model with all that it is asked."""

    source: Source
    settings: Settings
    requests: tuple[Request, ...]
    returns: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """The name of the model."""
        return self.source.name

    @property
    def threads(self) -> int:
        """The CPU threads that it uses."""
        return threads_of(self.source, self.settings)

    @property
    def n_params(self) -> int:
        """The size of the model; 0 if its files are damaged, which loading it says."""
        try:
            return parameters_of(self.source)
        except ModelError:
            return 0

    @property
    def memory(self) -> int:
        """The bytes that its process needs, roughly."""
        weights = self.n_params * BYTES[self.settings.dtype]
        copies = GGUF_COPIES if is_gguf(self.source.folder) else COPIES
        return round(OVERHEAD + min(PASS, 20 * weights) + copies * weights)

    def with_smaller_batches(self, batch_size: int) -> "Unit":
        """The unit with this number of prompts in a batch."""
        return self.with_settings(replace(self.settings, batch_size=batch_size))

    def with_settings(self, settings: Settings) -> "Unit":
        """The unit with other settings."""
        requests = tuple(replace(request, settings=settings) for request in self.requests)  # type: ignore[type-var]
        return Unit(self.source, settings, requests)

    def with_source(self, source: Source) -> "Unit":
        """The unit with its model in another place."""
        requests = tuple(replace(request, source=source) for request in self.requests)  # type: ignore[type-var]
        return Unit(source, self.settings, requests)


def grouped(requests: Iterable[Request]) -> list[Unit]:
    """Group requests by model, in their order."""
    by_model: dict[tuple[Source, Settings], list[Request]] = {}
    for request in requests:
        by_model.setdefault((request.source, request.settings), []).append(request)
    return [Unit(source, settings, tuple(of_model)) for (source, settings), of_model in by_model.items()]


def units_of(requests: Iterable[Request]) -> list[Unit]:
    """Group requests by model, the largest model first: then no long unit begins late."""
    return sorted(grouped(requests), key=lambda unit: -unit.n_params * len(unit.requests))
