"""The answer of an attribution: how a model overcomes the distractor, and the sites behind it."""

from collections.abc import Iterator, Sequence
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
from distractor.probing.overcome import ModelOvercome
from distractor.probing.probe_results import ProbeResults
from distractor.runs.style import short_site
from distractor.statistics.overcoming import IN_WORDS
from distractor.text.task import Condition

MOST_NAMED = 3  # the largest number of sites of a kind that the sentence names


@dataclass(frozen=True)
class ModelAnswer:
    """How one model overcomes the distractor, in one or two sentences, and its ranked sites."""

    model: str
    sentence: str
    sites: tuple[RankedSite, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for summary.json."""
        return {"model": self.model, "sentence": self.sentence, "sites": [site.as_dict() for site in self.sites]}


def answers(results: ProbeResults, models: Sequence[ModelOvercome]) -> list[ModelAnswer]:
    """The answer for each model with sites to rank, the smallest model first."""
    overcome = {model.source.name: model for model in models}
    found: list[ModelAnswer] = []
    for index, source in enumerate(results.sources):
        how = overcome.get(source.name)
        sites = ranked_sites(results, source.name, how)
        if how or sites:
            sentence = " ".join(filter(None, _sentences(results, index, how, sites)))
            found.append(ModelAnswer(source.name, sentence, tuple(sites)))
    return found


def _sentences(
    results: ProbeResults, index: int, how: ModelOvercome | None, sites: Sequence[RankedSite]
) -> Iterator[str]:
    name = results.short(results.sources[index].name)
    gap = results.behaviour(index, "logit_gap", Condition.CONFLICT)
    if gap is not None and gap.high < 0:
        yield f"{name} does not overcome the distractor: the gap in conflict is {with_interval(*gap)} nats."
    elif gap is not None and gap.low <= 0:
        yield f"In conflict, neither answer clearly wins in {name}: the gap is {with_interval(*gap)} nats."
    elif how is None:
        yield f"{name} overcomes the distractor: the gap in conflict is {with_interval(*gap)} nats." if gap else ""
    elif how.found.label in IN_WORDS:
        yield f"{name} overcomes the distractor by {how.found.label}: {IN_WORDS[how.found.label]}."
    elif how.found.label == "not learned":
        yield f"{name} has not learned the distractor task: {how.found.reason}."
    else:
        yield f"How {name} overcomes the distractor is undetermined: {how.found.reason}."
    kinds = {
        "write the distractor's answer": [one for one in sites if one.does.startswith(WRITES)],
        "write the true answer": [one for one in sites if one.does == WRITES_TRUE],
        "write for both tasks": [one for one in sites if one.does == WRITES_BOTH],
        "silence the distractor's sites": [one for one in sites if one.does == SILENCES],
        "work against the distractor's answer": [one for one in sites if one.does == AGAINST],
    }
    parts = [_clause(does, of_kind) for does, of_kind in kinds.items() if of_kind]
    if parts:
        yield ", and ".join(filter(None, (", ".join(parts[:-1]), parts[-1]))) + "."


def _clause(does: str, sites: Sequence[RankedSite]) -> str:
    """Which sites do something, with the verb in the right number."""
    names = [short_site(name) for one in sites for name in one.sites]
    more = [f"{len(names) - MOST_NAMED} more"] if len(names) > MOST_NAMED else []
    *first, last = [*names[:MOST_NAMED], *more]
    verb, _, rest = does.partition(" ")
    return f"{', '.join(first)} and {last} {does}" if first else f"{last} {verb}s {rest}"
