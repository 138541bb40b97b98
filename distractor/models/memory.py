"""Frees the memory of unused models, and hides the libraries' progress bars."""

import contextlib
import gc
import weakref
from collections.abc import Iterator
from typing import Any

import torch

MIN_BYTES = 2**25  # collecting garbage takes tenths of a second: not for less weight memory

loaded_networks: "weakref.WeakSet[Any]" = weakref.WeakSet()  # the networks that are still in memory


def free_memory() -> None:
    """Free models that are no longer used. Their parts refer to each other, so reference counting does not free them."""
    if sum(weight.nbytes for network in loaded_networks for weight in network.parameters()) >= MIN_BYTES:
        gc.collect()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()


@contextlib.contextmanager
def without_progress_bars() -> Iterator[None]:
    """Hide the progress bars of transformers while a model loads, so that they do not disturb our own."""
    from transformers.utils import logging

    was_on = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_on:
            logging.enable_progress_bar()
