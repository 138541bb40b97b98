"""More planted models, made after the bounds of `overcoming` were fixed; answers follow from the definitions.

`LATER` is like `PLANTED`. The answer is None where sites keep about half of their effect, or write for both tasks:
"undetermined" is right there.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import log

from circuits import ANSWER, ANY, ATTENDS, BOS, Circuit, Copy, Head, Look, Neuron, linear, looking_at
from cues import ANY_FACT, ANY_NUMBER, FACT, NUMBER, Cues
from shelf import On, Planted, inversion

TURN_AWAY = Look({"seen": 1.0}, {BOS: 1.0}, 2 * ATTENDS)
SEES_NUMBER = Head(0, 3, (Copy(ANY_NUMBER, {"seen": 1.0}),), looking_at(ANY_NUMBER))
BRINGS_FACT = Head(0, 1, (Copy(FACT, {"fact here": 1.0}),), looking_at(ANY_FACT))


def _fact(layer: int, number: int, nats: float, *more: Look) -> Head:
    """A head that writes the fact's answer."""
    return Head(layer, number, (Copy(FACT, {ANSWER: nats}),), looking_at(ANY_FACT, *more))


def _number(nats: float) -> Head:
    return Head(1, 2, (Copy(NUMBER, {ANSWER: nats}),), looking_at(ANY_NUMBER))


def both_tasks_in_one_head(true: float = 3.0, distractor: float = 1.5) -> Planted:
    """One head reads the fact and the number, and writes the answers of both."""
    copies = Copy(FACT, {ANSWER: distractor}), Copy(NUMBER, {ANSWER: true})

    def rule(cue: Cues, on: On) -> float:
        written = distractor * cue.fact + true * cue.number
        return written * on("L1H1.z") / max(1, abs(cue.fact) + abs(cue.number))

    site = frozenset({"L1H1.z"})
    head = Head(1, 1, copies, looking_at({**ANY_FACT, **ANY_NUMBER}))
    return Planted(Circuit((head,)), rule, answer=None, true=site, distractor=site, writers=site)


def silenced_in_a_chain(true: float = 1.5, distractor: float = 2.0) -> Planted:
    """A head brings the fact to the answer slot. An MLP writes the answer, but not if there is a number."""
    neurons = tuple(Neuron(1, {"fact here": sign, "seen": -2.0}, {ANSWER: distractor * sign}) for sign in (1.0, -1.0))

    def rule(cue: Cues, on: On) -> float:
        is_silent = cue.number != 0 and on("L0H3.z")
        written = distractor * cue.fact * on("L0H1.z") * on("L1.mlp_out") * (not is_silent)
        return written + true * cue.number * on("L1H2.z")

    return Planted(
        Circuit((BRINGS_FACT, SEES_NUMBER, _number(true)), neurons),
        rule,
        answer="suppression at the source",
        true=frozenset({"L1H2.z"}),
        distractor=frozenset({"L0H1.z", "L1.mlp_out"}),
        writers=frozenset({"L1H2.z", "L1.mlp_out"}),
        suppressors=frozenset({"L0H3.z"}),
    )


def inverting_mlp(true: float = 2.5, distractor: float = 2.0) -> Planted:
    """As `inversion`, in an MLP of the last layer, without decoys."""
    plain = inversion(true, distractor)
    heads = tuple(head for head in plain.circuit.heads if head.site in plain.sites)
    later = Circuit(heads, tuple(replace(neuron, layer=2) for neuron in plain.circuit.neurons))

    def rule(cue: Cues, on: On) -> float:
        return plain.rule(cue, lambda site: on(site.replace("L1.mlp", "L2.mlp")))

    return replace(
        plain,
        circuit=later,
        rule=rule,
        true=frozenset({"L0H1.z", "L0H3.z", "L2.mlp_out"}),
        distractor=frozenset({"L0H1.z", "L2.mlp_out"}),
        writers=frozenset({"L2.mlp_out"}),
    )


def half_silenced(true: float = 2.5, distractor: float = 2.0) -> Planted:
    """Any number turns one of two equal distractor heads away, so that half of the distractor's answer is written."""
    heads = (_fact(1, 0, distractor / 2, TURN_AWAY), _fact(1, 1, distractor / 2), _number(true))

    def rule(cue: Cues, on: On) -> float:
        is_away = cue.number != 0 and on("L0H3.z")
        written = on("L1H1.z") + on("L1H0.z") * (not is_away)
        return distractor / 2 * cue.fact * written + true * cue.number * on("L1H2.z")

    return Planted(
        Circuit((SEES_NUMBER, *heads)),
        rule,
        answer=None,
        true=frozenset({"L1H2.z"}),
        distractor=frozenset({"L1H0.z", "L1H1.z"}),
        writers=frozenset({"L1H0.z", "L1H1.z", "L1H2.z"}),
        suppressors=frozenset({"L0H3.z"}),
    )


def spread(true: float = 3.0, distractor: float = 2.4) -> Planted:
    """Four heads of three layers write the distractor's answer, a quarter each; nothing silences them."""
    places = ((0, 1), (0, 3), (1, 1), (2, 1))
    heads = tuple(_fact(layer, number, distractor / 4) for layer, number in places)

    def rule(cue: Cues, on: On) -> float:
        return distractor / 4 * cue.fact * sum(on(head.site) for head in heads) + true * cue.number * on("L1H2.z")

    sites = frozenset(head.site for head in heads)
    return Planted(
        Circuit((*heads, _number(true))),
        rule,
        answer="override",
        true=frozenset({"L1H2.z"}),
        distractor=sites,
        writers=sites | {"L1H2.z"},
    )


def distractor_backup(true: float = 3.0, distractor: float = 2.0) -> Planted:
    """If the distractor's head has not written, a later head writes .6 of its answer. In conflict it writes: override."""
    first = Head(0, 1, (Copy(FACT, {ANSWER: distractor}), Copy(ANY_FACT, {"written": 1.0})), looking_at(ANY_FACT))
    later = _fact(2, 0, 0.6 * distractor, Look({"written": 1.0}, {BOS: 1.0}, 2 * ATTENDS))

    def rule(cue: Cues, on: On) -> float:
        written = 1.0 if on("L0H1.z") else 0.6 * on("L2H0.z")
        return distractor * cue.fact * written + true * cue.number * on("L1H2.z")

    return Planted(
        Circuit((first, later, _number(true))),
        rule,
        answer="override",
        true=frozenset({"L1H2.z"}),
        distractor=frozenset({"L0H1.z"}),
        writers=frozenset({"L0H1.z", "L1H2.z"}),
        backups=frozenset({"L2H0.z"}),
    )


def early_mlp(true: float = 3.0, distractor: float = 1.5) -> Planted:
    """An MLP reads the fact at the fact's own position; a head copies what it wrote to the answer slot."""
    head = Head(1, 1, (Copy({"fact read": 1.0}, {ANSWER: distractor}),), looking_at(ANY_FACT))

    def rule(cue: Cues, on: On) -> float:
        return distractor * cue.fact * on("L0.mlp_out") * on("L1H1.z") + true * cue.number * on("L1H2.z")

    return Planted(
        Circuit((head, _number(true)), linear(0, FACT, {"fact read": 1.0})),
        rule,
        answer="override",
        true=frozenset({"L1H2.z"}),
        distractor=frozenset({"L0.mlp_out", "L1H1.z"}),
        writers=frozenset({"L1H1.z", "L1H2.z"}),
    )


def silenced_by_the_true_head(true: float = 1.5, distractor: float = 2.0) -> Planted:
    """The head that writes the true answer also turns the distractor's head away."""
    head = Head(0, 2, (Copy(NUMBER, {ANSWER: true}), Copy(ANY_NUMBER, {"seen": 1.0})), looking_at(ANY_NUMBER))

    def rule(cue: Cues, on: On) -> float:
        is_away = cue.number != 0 and on("L0H2.z")
        return distractor * cue.fact * on("L1H1.z") * (not is_away) + true * cue.number * on("L0H2.z")

    return Planted(
        Circuit((head, _fact(1, 1, distractor, TURN_AWAY))),
        rule,
        answer="suppression at the source",
        true=frozenset({"L0H2.z"}),
        distractor=frozenset({"L1H1.z"}),
        writers=frozenset({"L0H2.z", "L1H1.z"}),
        suppressors=frozenset({"L0H2.z"}),
    )


def silenced_through_an_mlp(true: float = 1.5, distractor: float = 2.0) -> Planted:
    """A head sees the number, an MLP passes that on, and a head of the last layer turns away from the fact."""
    away = Look({"stop": 1.0}, {BOS: 1.0}, 2 * ATTENDS)

    def rule(cue: Cues, on: On) -> float:
        is_away = cue.number != 0 and on("L0H3.z") and on("L1.mlp_out")
        return distractor * cue.fact * on("L2H1.z") * (not is_away) + true * cue.number * on("L1H2.z")

    return Planted(
        Circuit((SEES_NUMBER, _number(true), _fact(2, 1, distractor, away)), linear(1, {"seen": 1.0}, {"stop": 1.0})),
        rule,
        answer="suppression at the source",
        true=frozenset({"L1H2.z"}),
        distractor=frozenset({"L2H1.z"}),
        writers=frozenset({"L2H1.z", "L1H2.z"}),
        suppressors=frozenset({"L0H3.z", "L1.mlp_out"}),
    )


def cancelled_by_an_mlp(true: float = 1.5, distractor: float = 2.0, by: float = 1.0) -> Planted:
    """The distractor's head goes on writing; if there is a number, an MLP writes `by` times the opposite.

    Cancelled once it no longer counts; cancelled twice it counts against the distractor's answer, which is inversion.
    """
    writer = Head(0, 1, (Copy(FACT, {ANSWER: distractor, "fact here": 1.0}),), looking_at(ANY_FACT))
    neurons = tuple(
        Neuron(1, {"fact here": sign, "seen": 2.0, ANY: -2.0}, {ANSWER: -by * distractor * sign})
        for sign in (1.0, -1.0)
    )

    def rule(cue: Cues, on: On) -> float:
        is_cancelled = cue.number != 0 and on("L0H3.z") and on("L1.mlp_out")
        return distractor * cue.fact * on("L0H1.z") * (1 - by * is_cancelled) + true * cue.number * on("L1H2.z")

    return Planted(
        Circuit((writer, SEES_NUMBER, _number(true)), neurons),
        rule,
        answer="suppression downstream" if by == 1 else "inversion",
        true=frozenset({"L1H2.z"}),
        distractor=frozenset({"L0H1.z"}),
        writers=frozenset({"L0H1.z", "L1H2.z", "L1.mlp_out"}),
        suppressors=frozenset({"L0H3.z", "L1.mlp_out"}),
    )


def cancelled_twice(true: float = 1.5, distractor: float = 1.0) -> Planted:
    """As `cancelled_by_an_mlp`, twice over."""
    return cancelled_by_an_mlp(true, distractor, by=2.0)


def cancelled_from_within(true: float = 1.5, distractor: float = 2.0) -> Planted:
    """Half of the answer comes from a head, half from an MLP that reads the head; at a `but`, the MLP writes the opposite.

    The head goes on writing, and what it writes cancels downstream.
    """
    writer = Head(0, 1, (Copy(FACT, {ANSWER: distractor / 2, "fact here": 1.0}),), looking_at(ANY_FACT))
    but = Head(0, 3, (Copy({"but": 1.0}, {"but here": 1.0}),), looking_at({"but": 1.0}))
    neurons = tuple(
        neuron
        for sign in (1.0, -1.0)
        for neuron in (
            Neuron(1, {"fact here": sign, "but here": -2.0}, {ANSWER: sign * distractor / 2}),
            Neuron(1, {"fact here": sign, "but here": 2.0, ANY: -2.0}, {ANSWER: -sign * distractor / 2}),
        )
    )

    def rule(cue: Cues, on: On) -> float:
        sign = -1 if cue.between == "but" and on("L0H3.z") else 1
        written = distractor / 2 * cue.fact * on("L0H1.z") * (1 + sign * on("L1.mlp_out"))
        return written + true * cue.number * on("L1H2.z")

    return Planted(
        Circuit((writer, but, _number(true)), neurons),
        rule,
        answer="suppression downstream",
        true=frozenset({"L1H2.z"}),
        distractor=frozenset({"L0H1.z", "L1.mlp_out"}),
        writers=frozenset({"L0H1.z", "L1H2.z", "L1.mlp_out"}),
        suppressors=frozenset({"L0H3.z"}),
    )


def dimmed(true: float = 2.0, distractor: float = 2.0, left: float = 0.2) -> Planted:
    """A number takes a part of the attention of the distractor's head; `left` is what the fact keeps."""
    also = Look({ANY: 1.0}, ANY_NUMBER, ATTENDS + log((1 - left) / left))

    def rule(cue: Cues, on: On) -> float:
        share = 1.0 if cue.number == 0 else left
        return distractor * cue.fact * on("L1H1.z") * share + true * cue.number * on("L1H2.z")

    return Planted(
        Circuit((_fact(1, 1, distractor, also), _number(true))),
        rule,
        answer="suppression at the source" if left < 0.4 else "override" if left > 0.6 else None,
        true=frozenset({"L1H2.z"}),
        distractor=frozenset({"L1H1.z"}),
        writers=frozenset({"L1H1.z", "L1H2.z"}),
    )


def dimmed_a_little(true: float = 3.0, distractor: float = 2.0) -> Planted:
    """As `dimmed`; the fact keeps four fifths, so that most of the answer is written and counts."""
    return dimmed(true, distractor, left=0.8)


LATER: Mapping[str, Callable[..., Planted]] = {
    "both_tasks_in_one_head": both_tasks_in_one_head,
    "silenced_in_a_chain": silenced_in_a_chain,
    "inverting_mlp": inverting_mlp,
    "half_silenced": half_silenced,
    "spread": spread,
    "distractor_backup": distractor_backup,
    "early_mlp": early_mlp,
    "silenced_by_the_true_head": silenced_by_the_true_head,
    "silenced_through_an_mlp": silenced_through_an_mlp,
    "cancelled_by_an_mlp": cancelled_by_an_mlp,
    "cancelled_twice": cancelled_twice,
    "cancelled_from_within": cancelled_from_within,
    "dimmed": dimmed,
    "dimmed_a_little": dimmed_a_little,
}
