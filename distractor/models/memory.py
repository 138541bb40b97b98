"""Free memory: how much there is, and that of unused models; and hides what transformers prints while it loads one."""

import contextlib
import gc
import weakref
from collections.abc import Iterator
from typing import Any

import torch

from distractor.models.machine_memory import free_machine_bytes

MIN_BYTES = 2**25  # collecting garbage takes tenths of a second: not for less weight memory

loaded_networks: "weakref.WeakSet[Any]" = weakref.WeakSet()  # the networks that are still in memory


def free_memory() -> None:
    """Free models that are no longer used. Their parts refer to each other, so reference counting does not free them."""
    if sum(weight.nbytes for network in loaded_networks for weight in network.parameters()) >= MIN_BYTES:
        release_memory()


def release_memory() -> None:
    """Give unused memory back, so that other sizes of tensors can be allocated."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def free_bytes(device: torch.device) -> int:
    """The free memory of a GPU, with what this process has reserved there and does not use; or of this machine."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + unused
    return free_machine_bytes()


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Hide the progress bars and warnings of transformers while a model loads; what matters is raised as an error."""
    from transformers.utils import logging

    had_bars, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bars:
            logging.enable_progress_bar()
