"""The memory that a run needs: weights, and the activations of its largest pass."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distractor.execution.unit import BYTES
from distractor.models.heads import HEADS, LAYERS, read_config, usual_layers_and_heads
from distractor.models.parameters import parameters_of
from distractor.models.source import Source
from distractor.scoring.settings import Settings

BASE = 700_000_000  # bytes of Python with torch and transformers
COPIES = 3  # of logits and of attention scores, at the same time
VECTORS = 10  # of width d_model that a layer holds at each position
BACKWARD = 4  # passes with gradients take this many times fewer prompts
CGROUP = Path("/sys/fs/cgroup/memory.max")  # the limit of a container
WIDTHS = ("hidden_size", "n_embd", "d_model", "n_embed")  # keys of different architectures
MLP_WIDTHS = ("intermediate_size", "ffn_dim", "n_inner", "d_ff", "ffn_hidden_size")


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
    from distractor.scoring.score import TOKENS_PER_PASS, rows_per_pass

    config, size = _config(source), BYTES[settings.dtype]
    n_params = parameters_of(source)
    usual_layers, usual_heads = usual_layers_and_heads(n_params)
    layers, heads = _first(config, LAYERS, usual_layers), _first(config, HEADS, usual_heads)
    width = _first(config, WIDTHS, 100 * layers)
    mlp, vocab = _first(config, MLP_WIDTHS, 4 * width), int(config.get("vocab_size", 50_000))
    tokens = max(1, round(length))
    rows = rows_per_pass(tokens, 1, vocab, settings.batch_size)
    in_layer = tokens * (VECTORS * width + 2 * mlp) + COPIES * heads * tokens**2
    forward = rows * (in_layer * size + COPIES * vocab * max(size, 4))
    backward = max(1, rows // BACKWARD) * layers * in_layer * size if has_probes else 0
    kept = 2 * TOKENS_PER_PASS * layers * width * size if has_probes else 0
    return MemoryNeed(source.name, n_params * size, round(max(forward, backward) + kept), _free(settings))


def _config(source: Source) -> Mapping[str, Any]:
    try:
        return read_config(source.folder)
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _first(config: Mapping[str, Any], names: tuple[str, ...], usual: int) -> int:
    return next((value for name in names if isinstance(value := config.get(name), int) and value > 0), usual)


def _free(settings: Settings) -> int:
    """The free memory of the GPU, or of this machine and its container."""
    import torch

    from distractor.models.device import pick_device
    from distractor.models.memory import free_bytes

    free = free_bytes(torch.device(pick_device(settings.device)))
    with suppress(OSError, ValueError):
        free = min(free, int(CGROUP.read_text(encoding="utf-8")))
    return free
