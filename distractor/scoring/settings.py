"""How models are run: device, dtype, batch size, BOS, threads."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distractor.models.device import pick_device
from distractor.models.source import Source

if TYPE_CHECKING:
    from distractor.models.model import Model


@dataclass(frozen=True)
class Settings:
    """How to compute: `device` as torch names it or `auto`, `dtype` of weights and activations, prompts at a time.

    The batch size is set by the prompts' length where it is None, and is no part of a result's identity. `bos` says
    whether prompts begin with the BOS token, by the tokenizer's own rule where it is None. `self_check` compares every
    model that is not embedded with plain transformers before anything is computed. `device_map` spreads a model over
    devices. `threads` is how many of the processor's are used, torch's own choice where it is None, and no part of a
    result's identity either.
    """

    device: str = "auto"
    dtype: str = "float32"
    batch_size: int | None = None
    bos: bool | None = None
    self_check: bool = True
    device_map: str | None = None
    threads: int | None = None

    def identity(self) -> dict[str, Any]:
        """What of it belongs to a result: device and type always, the rest where it is not as usual."""
        usual, own = Settings(), ("bos", "self_check", "device_map")
        said = {name: getattr(self, name) for name in own if getattr(self, name) != getattr(usual, name)}
        return {"device": pick_device(self.device), "dtype": self.dtype, **said}


def load_model(source: Source, settings: Settings) -> "Model":
    """The model that a source means, as the settings want it."""
    from distractor.models.load import load

    if settings.threads is not None:
        import torch

        torch.set_num_threads(settings.threads)
    return load(
        source.folder,
        name=source.name,
        tokenizer=source.tokenizer,
        device=settings.device,
        dtype=settings.dtype,
        device_map=settings.device_map,
        bos=settings.bos,
        self_check=settings.self_check and not source.is_embedded,
    )
