"""The memory that a run needs: weights, and the activations of its largest pass."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from distractor.execution.unit import BYTES
from distractor.models.activations import activation_bytes
from distractor.models.heads import read_config
from distractor.models.parameters import parameters_of
from distractor.models.source import Source
from distractor.scoring.settings import Settings

BASE = 700_000_000  # bytes of Python with torch and transformers
BACKWARD = 4  # passes with gradients take this many times fewer prompts


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes that the largest model of a run needs, and that the machine has free."""

    model: str
    weights: int
    activations: int
    free: int

    @property
    def needed(self) -> int:
        """All bytes of the process."""
        return BASE + self.weights + self.activations

    @property
    def fits(self) -> bool:
        """Whether the machine has as much."""
        return self.needed <= self.free


def memory_of(source: Source, settings: Settings, length: float, *, has_probes: bool) -> MemoryNeed:
    """The memory of a model whose prompts have this mean length."""
    from distractor.scoring.pass_size import TOKENS_PER_PASS, rows_per_pass

    size, n_params = BYTES[settings.dtype], parameters_of(source)
    each, vocab = activation_bytes(_config(source), n_params, size)
    tokens = max(1, round(length))
    rows = rows_per_pass(tokens, 1, vocab, settings.batch_size)
    in_layer = each.of_text(tokens)
    forward = rows * (in_layer + vocab * each.logit)
    backward = max(1, rows // BACKWARD) * each.layers * in_layer if has_probes else 0
    kept = 2 * TOKENS_PER_PASS * each.layers * each.width * size if has_probes else 0
    return MemoryNeed(source.name, n_params * size, round(max(forward, backward) + kept), _free(settings))


def _config(source: Source) -> Mapping[str, Any]:
    try:
        return read_config(source.folder)
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _free(settings: Settings) -> int:
    """The free memory of the GPU, or of this machine and its container."""
    import torch

    from distractor.models.device import pick_device
    from distractor.models.memory import free_bytes

    return free_bytes(torch.device(pick_device(settings.device)))
