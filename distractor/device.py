"""Which device to compute on; torch is only asked where there is something to ask about."""

import platform
from pathlib import Path

from distractor.errors import ModelError


def pick_device(device: str) -> str:
    """The device meant by `auto` (the first of cuda, mps, cpu that is there), or the named one if it is there.

    Importing torch takes seconds, and a run that finds all its results on disk needs none: on a machine with neither
    an NVIDIA driver nor an Apple processor the answer to `auto` is `cpu` at once.

    Raises:
        ModelError: the named device is not there.

    """
    has_driver = Path("/dev/nvidiactl").exists() or platform.system() == "Windows"
    has_apple = (platform.system(), platform.machine()) == ("Darwin", "arm64")
    if device == "cpu" or (device == "auto" and not has_driver and not has_apple):
        return "cpu"
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return next(name for name in there if there[name])
    if not there.get(device.split(":")[0], False):
        has = ", ".join(name for name in there if there[name])
        raise ModelError(
            f"device {device!r} was asked for, but here is only {has}; leave --device out to take the best"
        )
    return device
