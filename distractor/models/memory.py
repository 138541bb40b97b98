"""Frees the memory of models that are no longer used, and silences loading bars."""

import contextlib
import gc
import weakref
from collections.abc import Iterator
from typing import Any

import torch

WORTH_IT = 2**25
"""Bytes of weights without an owner from which on they are looked for, which takes some tenths of a second."""


in_memory: "weakref.WeakSet[Any]" = weakref.WeakSet()


def free_memory() -> None:
    """Give back the memory of models that nobody holds any more: their parts refer to each other in circles."""
    if sum(weight.nbytes for bridge in in_memory for weight in bridge.parameters()) >= WORTH_IT:
        gc.collect()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()


@contextlib.contextmanager
def without_progress_bars() -> Iterator[None]:
    """Keep the libraries' progress bars out of the way of ours while a model loads."""
    from transformers.utils import logging

    was_on = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_on:
            logging.enable_progress_bar()
