"""The answer of an attribution: how a model overcomes the distractor, and the sites behind it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from distractor.attribution.ranked_sites import (
    AGAINST,
    SILENCES,
    WRITES,
    WRITES_BOTH,
    WRITES_TRUE,
    RankedSite,
    ranked_sites,
)
from distractor.numbers import with_interval
from distractor.probing.overcome import ModelOvercome, SizeOvercome
from distractor.probing.probe_results import ProbeResults
from distractor.runs.style import short_site
from distractor.statistics.overcoming import IN_WORDS, Overcome
from distractor.text.task import Condition

MOST_NAMED = 3  # the largest number of sites of a kind that the sentence names
NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class ModelAnswer:
    """How one model overcomes the distractor, in a word and in a sentence, and what its ranked sites do."""

    model: str
    label: str
    verdict: str
    does: str
    sites: tuple[RankedSite, ...]

    @property
    def sentence(self) -> str:
        """The verdict, and what the sites do."""
        return " ".join(filter(None, (self.verdict, self.does)))

    def as_dict(self) -> dict[str, Any]:
        """Plain values for summary.json."""
        return {
            "model": self.model,
            "label": self.label,
            "sentence": self.sentence,
            "sites": [site.as_dict() for site in self.sites],
        }


def in_a_word(found: Overcome) -> str:
    """How a size or a model overcomes the distractor; "not yet" where the distractor's answer still wins."""
    return f"{found.label}; not yet" if found.cautions else found.label


def at_largest(results: ProbeResults, sizes: Sequence[SizeOvercome]) -> SizeOvercome | None:
    """The answer over seeds, if it is of the largest size."""
    return next((one for one in sizes[-1:] if one.size == results.size_names[-1]), None)


def label(largest: SizeOvercome | None, found: Sequence[ModelAnswer]) -> str:
    """The answer of a run in a word: that of the largest size over seeds, else of the largest model that has one."""
    if largest:
        return in_a_word(largest.found)
    return found[-1].label if found else NOT_MEASURED


def answers(results: ProbeResults, models: Sequence[ModelOvercome]) -> list[ModelAnswer]:
    """The answer for each model with sites to rank, the smallest model first."""
    overcome = {model.source.name: model for model in models}
    found: list[ModelAnswer] = []
    for index, source in enumerate(results.sources):
        how = overcome.get(source.name)
        sites = ranked_sites(results, source.name, how)
        if how or sites:
            found.append(ModelAnswer(source.name, *_verdict(results, index, how), _what_sites_do(sites), tuple(sites)))
    return found


def _verdict(results: ProbeResults, index: int, how: ModelOvercome | None) -> tuple[str, str]:
    """How a model overcomes the distractor, in a word and in a sentence; the sentence is empty if nothing is known."""
    name = results.short(results.sources[index].name)
    gap = results.behaviour(index, "logit_gap", Condition.CONFLICT)
    in_nats = f"{with_interval(*gap)} nats" if gap else ""
    if gap is not None and gap.high < 0:
        return "not overcome", f"{name} does not overcome the distractor: the gap in conflict is {in_nats}."
    if gap is not None and gap.low <= 0:
        return "not clearly overcome", f"In conflict, neither answer clearly wins in {name}: the gap is {in_nats}."
    if how is None:
        return "overcome", f"{name} overcomes the distractor: the gap in conflict is {in_nats}." if gap else ""
    label = how.found.label
    if label in IN_WORDS:
        return label, f"{name} overcomes the distractor by {label}: {IN_WORDS[label]}."
    if label == "not learned":
        return label, f"{name} has not learned the distractor task: {how.found.reason}."
    return label, f"How {name} overcomes the distractor is undetermined: {how.found.reason}."


def _what_sites_do(sites: Sequence[RankedSite]) -> str:
    """The sites of each kind in one sentence; empty without sites."""
    kinds = {
        "write the distractor's answer": [one for one in sites if one.does.startswith(WRITES)],
        "write the true answer": [one for one in sites if one.does == WRITES_TRUE],
        "write for both tasks": [one for one in sites if one.does == WRITES_BOTH],
        "silence the distractor's sites": [one for one in sites if one.does == SILENCES],
        "work against the distractor's answer": [one for one in sites if one.does == AGAINST],
    }
    parts = [_clause(does, of_kind) for does, of_kind in kinds.items() if of_kind]
    return ", and ".join(filter(None, (", ".join(parts[:-1]), parts[-1]))) + "." if parts else ""


def _clause(does: str, sites: Sequence[RankedSite]) -> str:
    """Which sites do something, with the verb in the right number."""
    names = [short_site(name) for one in sites for name in one.sites]
    more = [f"{len(names) - MOST_NAMED} more"] if len(names) > MOST_NAMED else []
    *first, last = [*names[:MOST_NAMED], *more]
    verb, _, rest = does.partition(" ")
    return f"{', '.join(first)} and {last} {does}" if first else f"{last} {verb}s {rest}"
