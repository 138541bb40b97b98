"""The free memory of this machine, and which errors say that memory is full. Nothing here needs torch."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

FULL = ("out of memory", "can't allocate memory", "cannot allocate memory")
"""What errors of torch say, in lower case, if the memory of a GPU or of the machine is full."""

GROUPS, HIERARCHY = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")  # of Linux


def is_memory_full(error: BaseException) -> bool:
    """Whether an error says that the memory of a GPU, or of this machine, is full."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in FULL)


def free_machine_bytes() -> int:
    """The free memory of this machine. A container, or a job of a cluster, may have less than its machine."""
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
            with suppress(OSError, ValueError, KeyError):
                limit, used = (int((folder / name).read_text(encoding="utf-8")) for name in names[:2])
                facts = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="utf-8").splitlines())
                yield max(0, limit - used + int(facts[names[2]]))  # cached files give way
