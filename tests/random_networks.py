"""Networks and streams of random tokens for the tests of training."""

import numpy as np
import torch
from torch import Tensor

from experiments.ladder.corpus import Stream
from experiments.ladder.network import Networks
from experiments.ladder.vocabulary import BOS, EOS, PAD, UNK

ROWS = 40
"""Vocabulary of the networks that learn from random tokens."""


def random_stream(seed: int, count: int, longest: int = 14) -> Stream:
    """Documents of random tokens: some without an answer, some with one or two, of different lengths."""
    rng = np.random.default_rng(seed)
    tokens = np.full((count, 20), PAD, dtype=np.uint16)
    answered = np.zeros(tokens.shape, dtype=bool)
    for row in range(count):
        length = int(rng.integers(3, longest))
        tokens[row, :length] = [BOS, *rng.integers(UNK + 1, ROWS, size=length - 2), EOS]
        if row % 5:
            answered[row, rng.integers(1, length - 1, size=2)] = True
    return Stream(tokens, answered)


def disturbed(networks: Networks) -> Networks:
    """The networks with other values for all parameters: biases and norms are no longer 0 and 1."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in networks.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return networks


def logits_of(networks: Networks, tokens: Tensor) -> Tensor:
    """Logits [seed document pos token]."""
    hidden = networks(tokens)
    return networks.logits(hidden.flatten(1, 2)).unflatten(1, hidden.shape[1:3])
