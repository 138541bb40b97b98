"""The memory that activations take in a forward pass, from a model's configuration."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from distractor.models.heads import HEADS, LAYERS, usual_layers_and_heads

COPIES = 3  # of logits and of attention scores, at the same time
VECTORS = 10  # of width d_model that a layer holds at each position
MASKS = 2  # of attention, where no scores are stored
WIDTHS = ("hidden_size", "n_embd", "d_model", "n_embed")  # keys of different architectures
MLP_WIDTHS = ("intermediate_size", "ffn_dim", "n_inner", "d_ff", "ffn_hidden_size")


@dataclass(frozen=True)
class ActivationBytes:
    """Bytes of a forward pass without gradients: for each token, each pair of tokens of a text, and each logit.

    One layer is in memory at a time. `layers` and `width` are those of the model.
    """

    token: int
    pair: int
    logit: int
    layers: int
    width: int

    def of_text(self, length: int) -> int:
        """The bytes of a text of this many tokens in one layer."""
        return length * self.token + length**2 * self.pair


def activation_bytes(
    config: Mapping[str, Any], n_params: int, size: int, *, attention: str = "eager"
) -> tuple[ActivationBytes, int]:
    """The memory of activations of `size` bytes a number, and the size of the vocabulary.

    What the configuration does not state is estimated from the number of parameters. Only eager attention stores the scores
    of all pairs of tokens, for each head.
    """
    usual_layers, usual_heads = usual_layers_and_heads(n_params)
    layers, heads = _first(config, LAYERS, usual_layers), _first(config, HEADS, usual_heads)
    width = _first(config, WIDTHS, 100 * layers)
    mlp, vocab = _first(config, MLP_WIDTHS, 4 * width), _first(config, ("vocab_size",), 50_000)
    return ActivationBytes(
        token=(VECTORS * width + 2 * mlp) * size,
        pair=(COPIES * heads if attention == "eager" else MASKS) * size,
        logit=COPIES * max(size, 4),
        layers=layers,
        width=width,
    ), vocab


def _first(config: Mapping[str, Any], names: tuple[str, ...], usual: int) -> int:
    return next((value for name in names if isinstance(value := config.get(name), int) and value > 0), usual)
