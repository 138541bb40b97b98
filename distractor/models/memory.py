"""Free memory: how much there is, and that of unused models; and hides what transformers prints while it loads one."""

import contextlib
import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

FULL = ("out of memory", "can't allocate memory", "cannot allocate memory")
"""What errors say, in lower case, if memory is full."""

GROUPS, HIERARCHY = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")  # of Linux
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


def is_memory_full(error: BaseException) -> bool:
    """Whether an error says that the memory of a GPU, or of this machine, is full."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in FULL)


def free_bytes(device: torch.device) -> int:
    """The free memory of a GPU, with what this process has reserved there and does not use; or of this machine.

    A container, or a job of a cluster, may have less memory than its machine.
    """
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + unused
    import psutil

    return min([int(psutil.virtual_memory().available), *_group_bytes()])


def _group_bytes() -> Iterator[int]:
    """The bytes that each control group of this process may still use (Linux)."""
    try:
        named = dict(line.split(":", 2)[1:] for line in GROUPS.read_text(encoding="utf-8").splitlines())
    except (OSError, ValueError):
        return
    for controllers, group in named.items():
        if not controllers:  # version 2
            top, names = HIERARCHY, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            top, names = HIERARCHY / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        within = top / group.lstrip("/")
        for folder in (within, *within.parents):
            if not folder.is_relative_to(top):
                break
            with contextlib.suppress(OSError, ValueError, KeyError):
                limit, used = (int((folder / name).read_text(encoding="utf-8")) for name in names[:2])
                facts = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="utf-8").splitlines())
                yield max(0, limit - used + int(facts[names[2]]))  # cached files give way


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
