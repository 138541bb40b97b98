"""Chooses the device to compute on, and imports torch only on machines with an accelerator."""

import platform
from pathlib import Path

from distractor.errors import ModelError

# Device files of the drivers of NVIDIA (also under WSL and on Jetson) and AMD.
DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/nvhost-gpu", "/dev/kfd")


def pick_device(device: str) -> str:
    """Return a named device if it is available; `auto` is the first of cuda, mps and cpu that is available.

    Without a GPU driver and an Apple processor, `auto` is `cpu` at once: importing torch takes seconds, which a cached
    run does not need. Raises ModelError if the named device is not available.
    """
    has_driver = platform.system() == "Windows" or any(Path(driver).exists() for driver in DRIVERS)
    has_apple = (platform.system(), platform.machine()) == ("Darwin", "arm64")
    if device == "cpu" or (device == "auto" and not has_driver and not has_apple):
        return "cpu"
    import torch

    cuda = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    kinds = [*(["cuda"] if cuda else []), *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]
    if device == "auto":
        return kinds[0]
    if device not in (*kinds, *cuda):
        raise ModelError(
            f"device {device!r} is not available; this machine has {', '.join((*kinds, *cuda))}; leave --device out to "
            "use the best one"
        )
    return device
