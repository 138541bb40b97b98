"""Planted models: circuits whose mechanism is known because it was built, each with the truth about it in data.

`PLANTED` maps names to functions that return a `Planted` for given strengths in nats. `EDITED` holds pairs of models that
differ in the weights of named sites only, for `compare`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Literal

import cues
from circuits import ANSWER, ANY, ATTENDS, BOS, Circuit, Copy, Head, Look, Neuron, linear, looking_at
from cues import ANY_FACT, ANY_NUMBER, FACT, NUMBER, Cues
from distractor.models.source import Source
from distractor.text.task import Condition, Item, Task
from networks import LOUD, Architecture, build, save

How = Literal["override", "suppression at the source", "suppression downstream", "inversion", "unlearning"]
"""How a model overcomes the distractor."""

On = Callable[[str], bool]
"""Whether a site's output is there; it is not if the site is zeroed."""


@dataclass(frozen=True)
class Planted:
    """A circuit and the truth about it.

    `true` and `distractor` are all sites on the path of each task: without one of them, the task's answer is not written
    at the answer slot. `writers` are those sites of either path that write to the answer's direction themselves.
    `suppressors` silence the distractor's path if they see their cue. `gates` open a path and see no cue. `backups` write
    only if another site does not. Every other site does nothing.

    `answer` is how the model overcomes the distractor. `rule` is log p(A) − log p(B), in nats, given a prompt's cues and
    the sites that are on. `fact_last` says that the distractor's cue is the prompt's last token.
    """

    circuit: Circuit
    rule: Callable[[Cues, On], float]
    answer: How | None
    true: frozenset[str] = frozenset()
    distractor: frozenset[str] = frozenset()
    writers: frozenset[str] = frozenset()
    suppressors: frozenset[str] = frozenset()
    gates: frozenset[str] = frozenset()
    backups: frozenset[str] = frozenset()
    fact_last: bool = False

    @property
    def sites(self) -> frozenset[str]:
        """The sites that do anything."""
        return self.true | self.distractor | self.suppressors | self.gates | self.backups

    def task(self, groups: int = 8, *, short: bool = False) -> Task:
        """The task in the order of words that this model needs."""
        return cues.task(groups, short=short, fact_last=self.fact_last)

    def gap(self, item: Item, condition: Condition, without: str = "") -> float:
        """The logit gap of an item under a condition, in nats, with the output of the site `without` set to zero."""
        letter = 1 if item.true == " A" else -1
        return letter * self.rule(cues.cues_of(item.prompts[condition]), lambda site: site != without)

    def pulls(self, item: Item) -> tuple[float, float]:
        """T and D of an item, in nats."""
        conflict, congruent, neutral = (
            self.gap(item, condition) for condition in (Condition.CONFLICT, Condition.CONGRUENT, Condition.NEUTRAL)
        )
        return (conflict - congruent) / 2, neutral - (conflict + congruent) / 2


@dataclass(frozen=True)
class Edited:
    """Two models that differ in the weights of the sites `edited` only."""

    before: Planted
    after: Planted
    edited: frozenset[str]


def source(
    folder: Path, name: str, planted: Planted, architecture: Architecture, *, noise: float = 0.0, seed: int = 0
) -> Source:
    """Save a planted model; with `noise`, in a random basis and with noisy weights."""
    network = build(cues.WORDS, planted.circuit, architecture, noise=noise, seed=seed)
    return Source("models", name, save(folder / name, cues.WORDS, network))


NOISE = 0.002
"""Noise of the weights in noisy models. It changes gaps by about .1 nats, at most .3."""

PRESENT = {ANY: 1.0}
TURN_AWAY = 2 * ATTENDS  # the score of the BOS token for a head that is turned away


def _writes(nats: float) -> dict[str, float]:
    return {ANSWER: nats}


def _reader(layer: int, number: int, reads: str, *copies: Copy, more: tuple[Look, ...] = ()) -> Head:
    """A head that attends to the `fact` or to the `number`."""
    return Head(layer, number, copies, looking_at({"fact": ANY_FACT, "number": ANY_NUMBER}[reads], *more))


def _decoys() -> tuple[Head, ...]:
    """A head that reads the number and one that reads the fact; both write where nothing reads."""
    return (
        _reader(1, 0, "number", Copy(NUMBER, {"unread": 3.0})),
        _reader(2, 3, "fact", Copy(FACT, {"unread": 3.0})),
    )


def _true_head(nats: float, layer: int = 1) -> Head:
    return _reader(layer, 2, "number", Copy(NUMBER, _writes(nats)))


TRUE = "L1H2.z"


def additive(true: float = 3.0, distractor: float = 1.0) -> Planted:
    """One head for each task; their outputs add up."""
    heads = (_reader(0, 1, "fact", Copy(FACT, _writes(distractor))), _true_head(true), *_decoys())
    return Planted(
        Circuit(heads),
        lambda cue, on: distractor * cue.fact * on("L0H1.z") + true * cue.number * on(TRUE),
        answer="override",
        true=frozenset({TRUE}),
        distractor=frozenset({"L0H1.z"}),
        writers=frozenset({TRUE, "L0H1.z"}),
    )


def mlp(true: float = 3.0, distractor: float = 2.0) -> Planted:
    """A head brings the fact to the answer slot; an MLP turns it into the distractor's answer."""
    heads = (_reader(0, 1, "fact", Copy(FACT, {"fact here": 1.0})), _true_head(true), *_decoys())
    return Planted(
        Circuit(heads, linear(1, {"fact here": 1.0}, _writes(distractor))),
        lambda cue, on: distractor * cue.fact * on("L0H1.z") * on("L1.mlp_out") + true * cue.number * on(TRUE),
        answer="override",
        true=frozenset({TRUE}),
        distractor=frozenset({"L0H1.z", "L1.mlp_out"}),
        writers=frozenset({TRUE, "L1.mlp_out"}),
    )


def mlp_alone(true: float = 3.0, distractor: float = 2.0) -> Planted:
    """The fact is the last token, and an MLP turns it into the distractor's answer; no head takes part."""
    return Planted(
        Circuit((_true_head(true), _decoys()[0]), linear(1, FACT, _writes(distractor))),
        lambda cue, on: distractor * cue.fact * on("L1.mlp_out") + true * cue.number * on(TRUE),
        answer="override",
        true=frozenset({TRUE}),
        distractor=frozenset({"L1.mlp_out"}),
        writers=frozenset({TRUE, "L1.mlp_out"}),
        fact_last=True,
    )


def _suppressed(true: float, distractor: float, sees: dict[str, float], is_seen: Callable[[Cues], bool]) -> Planted:
    """A head of layer 0 that sees some words turns the distractor's head away from the fact, through scores alone."""
    suppressor = Head(0, 3, (Copy(sees, {"seen": 1.0}),), looking_at(sees))
    away = Look({"seen": 1.0}, {BOS: 1.0}, TURN_AWAY)
    reader = _reader(1, 1, "fact", Copy(FACT, _writes(distractor)), more=(away,))

    def rule(cue: Cues, on: On) -> float:
        is_away = is_seen(cue) and on("L0H3.z")
        return distractor * cue.fact * on("L1H1.z") * (not is_away) + true * cue.number * on(TRUE)

    return Planted(
        Circuit((suppressor, reader, _true_head(true), *_decoys())),
        rule,
        answer="suppression at the source",
        true=frozenset({TRUE}),
        distractor=frozenset({"L1H1.z"}),
        writers=frozenset({TRUE, "L1H1.z"}),
        suppressors=frozenset({"L0H3.z"}),
    )


def suppression_by_scores(true: float = 1.5, distractor: float = 2.0) -> Planted:
    """Any true cue silences the distractor's head, in conflict and congruent alike."""
    return _suppressed(true, distractor, {**ANY_NUMBER}, lambda cue: cue.number != 0)


def suppression_by_conflict(true: float = 1.5, distractor: float = 2.0) -> Planted:
    """The word `but` silences the distractor's head: the suppression follows the cue."""
    return _suppressed(true, distractor, {"but": 1.0}, lambda cue: cue.between == "but")


def suppression_downstream(true: float = 1.5, distractor: float = 2.0) -> Planted:
    """The distractor's head goes on writing; if there is a true cue, a later head writes the opposite of it."""
    seer = _reader(0, 3, "number", Copy(ANY_NUMBER, {"seen": 1.0}))
    writer = _reader(0, 1, "fact", Copy(FACT, {ANSWER: distractor, "fact here": 1.0}))
    # The last head attends to the answer slot if a true cue was seen, otherwise to the BOS token.
    looks = (Look(PRESENT, {BOS: 1.0}, 30.0), Look({"seen": 1.0}, {":": 1.0}, 60.0))
    canceller = Head(2, 0, (Copy({"fact here": 1.0}, _writes(-distractor)),), looks)

    def rule(cue: Cues, on: On) -> float:
        is_cancelled = cue.number != 0 and on("L0H3.z") and on("L2H0.z")
        return distractor * cue.fact * on("L0H1.z") * (not is_cancelled) + true * cue.number * on(TRUE)

    return Planted(
        Circuit((seer, writer, canceller, _true_head(true), *_decoys())),
        rule,
        answer="suppression downstream",
        true=frozenset({TRUE}),
        distractor=frozenset({"L0H1.z"}),
        writers=frozenset({TRUE, "L0H1.z", "L2H0.z"}),
        suppressors=frozenset({"L0H3.z", "L2H0.z"}),
    )


def backup(true: float = 3.0, distractor: float = 1.0, second: float = 2.4) -> Planted:
    """The true task's head also says that it has written; if it has not, a later head writes instead.

    The backup serves the true task. The distractor's head writes in conflict as it does alone: override.
    """
    first = _reader(0, 2, "number", Copy(NUMBER, _writes(true)), Copy(ANY_NUMBER, {"has written": 1.0}))
    waits = Look({"has written": 1.0}, {BOS: 1.0}, TURN_AWAY)
    later = _reader(2, 0, "number", Copy(NUMBER, _writes(second)), more=(waits,))
    heads = (first, later, _reader(0, 1, "fact", Copy(FACT, _writes(distractor))), *_decoys())

    def rule(cue: Cues, on: On) -> float:
        written = true if on("L0H2.z") else second * on("L2H0.z")
        return distractor * cue.fact * on("L0H1.z") + written * cue.number

    return Planted(
        Circuit(heads),
        rule,
        answer="override",
        true=frozenset({"L0H2.z"}),
        distractor=frozenset({"L0H1.z"}),
        writers=frozenset({"L0H2.z", "L0H1.z"}),
        backups=frozenset({"L2H0.z"}),
    )


def position_only(true: float = 3.0, distractor: float = 1.0) -> Planted:
    """The distractor's head finds the fact by its distance from the answer slot, not by its words.

    It finds the fact in every condition, and nothing silences it: override.
    """
    plain = additive(true, distractor)
    by_offset = Head(0, 1, (Copy(FACT, _writes(distractor)),), offset=3)
    return Planted(**{**vars(plain), "circuit": Circuit((by_offset, *plain.circuit.heads[1:]))})


def shared_mlp(true: float = 3.0, distractor: float = 1.0) -> Planted:
    """A head for each task brings its cue to the answer slot; one MLP turns both into answers."""
    heads = (
        _reader(0, 1, "fact", Copy(FACT, {"fact here": 1.0})),
        _reader(0, 2, "number", Copy(NUMBER, {"number here": 1.0})),
        *_decoys(),
    )
    neurons = linear(1, {"fact here": distractor, "number here": true}, _writes(1.0))

    def rule(cue: Cues, on: On) -> float:
        return (distractor * cue.fact * on("L0H1.z") + true * cue.number * on("L0H2.z")) * on("L1.mlp_out")

    return Planted(
        Circuit(heads, neurons),
        rule,
        answer="override",
        true=frozenset({"L0H2.z", "L1.mlp_out"}),
        distractor=frozenset({"L0H1.z", "L1.mlp_out"}),
        writers=frozenset({"L1.mlp_out"}),
    )


def inversion(true: float = 3.0, distractor: float = 1.0) -> Planted:
    """An MLP writes the fact's answer, and its opposite if there is a `but`; the number is not read."""
    heads = (
        _reader(0, 1, "fact", Copy(FACT, {"fact here": 1.0})),
        Head(0, 3, (Copy({"but": 1.0}, {"but here": 1.0}),), looking_at({"but": 1.0})),
        *_decoys(),
    )
    neurons = [
        neuron
        for sign in (1.0, -1.0)
        for neuron in (
            Neuron(1, {"fact here": sign, "but here": -2.0}, _writes(sign * distractor)),
            Neuron(1, {"fact here": sign, "but here": 2.0, ANY: -2.0}, _writes(-sign * true)),
        )
    ]

    def rule(cue: Cues, on: On) -> float:
        is_inverted = cue.between == "but" and on("L0H3.z")
        return (-true if is_inverted else distractor) * cue.fact * on("L0H1.z") * on("L1.mlp_out")

    return Planted(
        Circuit(heads, tuple(neurons)),
        rule,
        answer="inversion",
        true=frozenset({"L0H1.z", "L0H3.z", "L1.mlp_out"}),
        distractor=frozenset({"L0H1.z", "L1.mlp_out"}),
        writers=frozenset({"L1.mlp_out"}),
    )


def unlearned(true: float = 3.0) -> Planted:
    """Nothing writes the distractor's answer."""
    return Planted(
        Circuit((_true_head(true), *_decoys())),
        lambda cue, on: true * cue.number * on(TRUE),
        answer="unlearning",
        true=frozenset({TRUE}),
        writers=frozenset({TRUE}),
    )


def inflated_norm(true: float = 3.0, distractor: float = 2.0) -> Planted:
    """The true task's head also writes a long vector that nothing reads, so the last norm shrinks every answer."""
    twice = _reader(2, 2, "number", Copy(NUMBER, _writes(sqrt(2) * true)), Copy(ANY_NUMBER, {"long": LOUD}))
    heads = (_reader(0, 1, "fact", Copy(FACT, _writes(distractor))), twice, _decoys()[0])

    def rule(cue: Cues, on: On) -> float:
        is_long = cue.number != 0 and on("L2H2.z")
        written = distractor * cue.fact * on("L0H1.z") + sqrt(2) * true * cue.number * on("L2H2.z")
        return written / sqrt(1 + is_long)

    return Planted(
        Circuit(heads),
        rule,
        answer="override",
        true=frozenset({"L2H2.z"}),
        distractor=frozenset({"L0H1.z"}),
        writers=frozenset({"L0H1.z", "L2H2.z"}),
    )


def gate(true: float = 3.0, distractor: float = 1.0) -> Planted:
    """The distractor's head attends to the fact only if a head of layer 0 has read the question (`fact`).

    Every prompt has that word, so the gate is open in conflict as well: override.
    """
    opener = Head(0, 0, (Copy({"fact": 1.0}, {"open": 1.0}),), looking_at({"fact": 1.0}))
    looks = (Look(PRESENT, {BOS: 1.0}, ATTENDS), Look({"open": 1.0}, ANY_FACT, TURN_AWAY))
    reader = Head(1, 1, (Copy(FACT, _writes(distractor)),), looks)

    def rule(cue: Cues, on: On) -> float:
        return distractor * cue.fact * on("L1H1.z") * on("L0H0.z") + true * cue.number * on(TRUE)

    return Planted(
        Circuit((opener, reader, _true_head(true), *_decoys())),
        rule,
        answer="override",
        true=frozenset({TRUE}),
        distractor=frozenset({"L1H1.z"}),
        writers=frozenset({TRUE, "L1H1.z"}),
        gates=frozenset({"L0H0.z"}),
    )


PLANTED: Mapping[str, Callable[[], Planted]] = {
    "additive": additive,
    "mlp": mlp,
    "mlp_alone": mlp_alone,
    "suppression_by_scores": suppression_by_scores,
    "suppression_by_conflict": suppression_by_conflict,
    "suppression_downstream": suppression_downstream,
    "backup": backup,
    "position_only": position_only,
    "shared_mlp": shared_mlp,
    "inversion": inversion,
    "unlearned": unlearned,
    "inflated_norm": inflated_norm,
    "gate": gate,
}


def _without_suppressor() -> Planted:
    on = suppression_by_scores()
    return Planted(
        Circuit(tuple(head for head in on.circuit.heads if head.site not in on.suppressors), on.circuit.neurons),
        lambda cue, is_on: on.rule(cue, lambda site: site not in on.suppressors and is_on(site)),
        answer="override",
        true=on.true,
        distractor=on.distractor,
        writers=on.writers,
    )


EDITED: Mapping[str, Callable[[], Edited]] = {
    "mlp": lambda: Edited(mlp(distractor=2.0), mlp(distractor=1.0), frozenset({"L1.mlp_out"})),
    "true_head": lambda: Edited(additive(true=3.0), additive(true=1.0), frozenset({TRUE})),
    "suppressor": lambda: Edited(_without_suppressor(), suppression_by_scores(), frozenset({"L0H3.z"})),
}
