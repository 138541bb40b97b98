"""Circuits: what each head and each neuron of a planted model reads and writes, in words; no weights yet.

The residual stream has one direction for each word and one for each name that a component writes to. `ANSWER` is the
direction of log p(A) − log p(B), in nats. A `Weights` maps directions to numbers. Read by a component, it is a weighted
sum over directions, where a word counts 1 and a written direction counts as much as was written.
"""

from collections.abc import Mapping
from dataclasses import dataclass

Weights = Mapping[str, float]

ANSWER = "answer"
"""The direction of log p(A) − log p(B), in nats."""

ANY = "any word"
"""In a `Weights`, every word of the vocabulary: a constant of 1 at each position."""

BOS = "<bos>"
ATTENDS, ELSEWHERE = 60.0, 30.0  # scores of a head's own words, and of the BOS token where these are missing


@dataclass(frozen=True)
class Look:
    """One term of an attention score: `score` × what the query reads × what the key reads."""

    query: Weights
    key: Weights
    score: float


@dataclass(frozen=True)
class Copy:
    """What a head reads as a value, and where it writes that number."""

    reads: Weights
    writes: Weights


@dataclass(frozen=True)
class Head:
    """An attention head. With `offset`, it attends to the token so many places back, by rotary positions alone."""

    layer: int
    number: int
    copies: tuple[Copy, ...]
    looks: tuple[Look, ...] = ()
    offset: int | None = None

    @property
    def site(self) -> str:
        """Its name: `L0H1.z`."""
        return f"L{self.layer}H{self.number}.z"


@dataclass(frozen=True)
class Neuron:
    """A neuron of an MLP: max(0, what it reads) goes to the directions that it writes to."""

    layer: int
    reads: Weights
    writes: Weights


@dataclass(frozen=True)
class Circuit:
    """The heads and neurons of a model of `LAYERS` layers with `HEADS` heads each; all others do nothing."""

    heads: tuple[Head, ...] = ()
    neurons: tuple[Neuron, ...] = ()


LAYERS, HEADS = 3, 4


def looking_at(words: Weights, *more: Look) -> tuple[Look, ...]:
    """A head that attends to some words; to the BOS token where the prompt has none of them."""
    return (Look({ANY: 1.0}, words, ATTENDS), Look({ANY: 1.0}, {BOS: 1.0}, ELSEWHERE), *more)


def linear(layer: int, reads: Weights, writes: Weights) -> tuple[Neuron, Neuron]:
    """Two neurons that pass on what they read, with its sign."""
    return (
        Neuron(layer, reads, writes),
        Neuron(layer, {name: -x for name, x in reads.items()}, {name: -x for name, x in writes.items()}),
    )
