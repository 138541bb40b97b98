"""Settings for running models (device, dtype, batch size, BOS, threads), and loading a model with them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from distractor.errors import ModelError
from distractor.models.device import pick_device
from distractor.models.downloads import delete_used, fetch
from distractor.models.parameters import parameters_of
from distractor.models.source import Source

if TYPE_CHECKING:
    from distractor.models.model import Model

ATTENTION = ("eager", "sdpa")  # implementations of transformers
MOST_THREADS = 64  # or as many as the machine has processors; far more threads cannot be started


@dataclass(frozen=True)
class Settings:
    """How to run a model. Results depend on all settings but `batch_size` and `threads`.

    `device` is a torch device or `auto`; `device_map` spreads a model over several. `dtype` is the type of weights and
    activations. `batch_size` None adapts to the length of the prompts. `bos` says whether prompts begin with the BOS
    token; None follows the tokenizer. `self_check` compares each model with plain transformers first, except the embedded
    models. `threads` None depends on the size of the model (`threads_of`). `trust_remote_code` runs Python files of a
    model folder that its configuration names. `mixed_families` allows one verdict on models of different architectures or
    tokenizers; it changes no score. `attention` is eager or sdpa, which computes the same and stores no attention pattern;
    None is sdpa on a GPU, where it is faster, and eager on a CPU, where it is not. Probes always use eager attention.
    """

    device: str = "auto"
    dtype: str = "float32"
    batch_size: int | None = None
    bos: bool | None = None
    self_check: bool = True
    device_map: str | None = None
    threads: int | None = None
    trust_remote_code: bool = False
    mixed_families: bool = False
    attention: str | None = None

    def __post_init__(self) -> None:
        most = max(MOST_THREADS, os.cpu_count() or 1)
        if self.threads is not None and not 1 <= self.threads <= most:
            raise ModelError(f"asked for {self.threads} threads; use 1 to {most}, or leave out --threads")
        if self.batch_size is not None and self.batch_size < 1:
            raise ModelError(f"asked for batches of {self.batch_size} prompts; use 1 or more")

        if self.attention not in (None, *ATTENTION):
            raise ModelError(f"unknown attention {self.attention!r}; expected one of {', '.join(ATTENTION)}")

    @property
    def chosen_attention(self) -> str:
        """`attention`, chosen by the device if it is None."""
        if self.attention is not None:
            return self.attention
        return "sdpa" if self.dtype != "float64" and pick_device(self.device).startswith("cuda") else "eager"

    @property
    def for_hooks(self) -> "Settings":
        """The settings of a model whose activations are read or edited."""
        return replace(self, attention="eager")

    def identity(self) -> dict[str, Any]:
        """The part of a cell's key that depends on settings: device, dtype, and settings that differ from the default."""
        names = ("bos", "self_check", "device_map", "trust_remote_code")
        changed = {name: getattr(self, name) for name in names if getattr(self, name) != getattr(Settings(), name)}
        attention = self.chosen_attention
        changed |= {"attention": attention} if attention != "eager" else {}
        return {"device": pick_device(self.device), "dtype": self.dtype, **changed}


THREADS = ((20_000_000, 1), (200_000_000, 4), (2_000_000_000, 16))
"""(parameters, CPU threads): models with at most so many parameters use so many threads. More do not make them faster."""

_kept: "ContextVar[dict[tuple[Source, Settings], Model] | None]" = ContextVar("kept", default=None)


def count_processors() -> int:
    """The number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_of(source: Source, settings: Settings) -> int:
    """The number of CPU threads for a model, at most one for each processor.

    The last bits of sums depend on it. So it depends on the model, and not on what else runs on the machine.
    """
    processors = count_processors()
    if settings.threads is not None:
        return settings.threads
    try:
        n_params = parameters_of(source)
    except ModelError:  # loading the model says what is wrong
        return processors
    return min(processors, next((threads for most, threads in THREADS if n_params <= most), processors))


@contextmanager
def cpu_threads(source: Source, settings: Settings) -> Iterator[None]:
    """Use the number of CPU threads for a model (`threads_of`) in this block."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads_of(source, settings))
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def keeping_model() -> Iterator[None]:
    """Keep the model that was loaded last in this block, for further results of the same model.

    At the end, downloads that the block needed for a while are deleted.
    """
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)
        delete_used()


def load_model(source: Source, settings: Settings) -> "Model":
    """Load the model of a source. See also `keeping_model`."""
    kept = _kept.get()
    if kept is not None and (source, settings) in kept:
        return kept[source, settings]
    if kept is not None:
        kept.clear()
    fetch(source.weights)
    with cpu_threads(source, settings):
        try:
            model = _load(source, settings)
        except ModelError:
            if source.weights is None or source.weights.are_here:
                raise
            fetch(source.weights)  # another process has just deleted them
            model = _load(source, settings)
    if kept is not None:
        kept[source, settings] = model
    return model


def _load(source: Source, settings: Settings) -> "Model":
    from distractor.models.load import load

    return load(
        source.folder,
        name=source.name,
        tokenizer=source.tokenizer,
        adapter=source.adapter,
        device=settings.device,
        dtype=settings.dtype,
        device_map=settings.device_map,
        bos=settings.bos,
        self_check=settings.self_check and not source.is_embedded,
        trust_remote_code=settings.trust_remote_code,
        attention=settings.chosen_attention,
    )
