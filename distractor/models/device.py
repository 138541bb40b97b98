"""Which device to compute on; torch is only asked where there is something to ask about."""

import platform
from pathlib import Path

from distractor.errors import ModelError

# What the drivers of NVIDIA (also under WSL, and on Jetson) and AMD put there.
DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/nvhost-gpu", "/dev/kfd")


def pick_device(device: str) -> str:
    """The device meant by `auto` (the first of cuda, mps, cpu that is there), or the named one if it is there.

    Importing torch takes seconds, and a run that finds all its results on disk needs none: on a machine with neither
    a GPU's driver nor an Apple processor the answer to `auto` is `cpu` at once.

    Raises:
        ModelError: the named device is not there.

    """
    has_driver = platform.system() == "Windows" or any(Path(driver).exists() for driver in DRIVERS)
    has_apple = (platform.system(), platform.machine()) == ("Darwin", "arm64")
    if device == "cpu" or (device == "auto" and not has_driver and not has_apple):
        return "cpu"
    import torch

    cuda = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    there = [*(["cuda"] if cuda else []), *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]
    if device == "auto":
        return there[0]
    if device not in (*there, *cuda):
        raise ModelError(
            f"device {device!r} was asked for, but here is only {', '.join(dict.fromkeys((*there, *cuda)))}; leave "
            "--device out to take the best"
        )
    return device
