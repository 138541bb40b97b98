"""Low coverage in words: where the two answers get less than half of the probability, before preference is shown."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from distractor.models.source import Source
from distractor.scoring.behaviour import TaskScores
from distractor.text.task import Condition

LOW = 0.5
NAMED = 4  # the largest number of models that the sentence names


def low_coverage(scores: TaskScores) -> dict[str, float]:
    """The mean coverage in `conflict` of each model with less than one half, by the model's name."""
    means = {
        source.name: float(scores.item_values(model, "coverage", Condition.CONFLICT)[scores.complete].mean())
        for model, source in enumerate(scores.sources)
    }
    return {name: mean for name, mean in means.items() if mean < LOW}


def coverage_shares(scores: TaskScores) -> str | None:
    """The models with low coverage as in "23 % in 2x1 (5 seeds)", the seeds of a size together; None if there are none."""
    low = low_coverage(scores)
    by_size: dict[tuple[str, str, int | None], list[Source]] = {}
    for source in scores.sources:
        if source.name in low:
            by_size.setdefault((source.family, source.model, source.step), []).append(source)
    if not by_size:
        return None
    shares = [_share(seeds, [low[seed.name] for seed in seeds]) for seeds in by_size.values()]
    more = f" and {len(shares) - NAMED} more" if len(shares) > NAMED else ""
    return f"{', '.join(shares[:NAMED])}{more}"


def coverage_caution(scores: TaskScores) -> str | None:
    """A sentence about the models with low coverage, None if there are none."""
    shares = coverage_shares(scores)
    return shares and (
        f"Low coverage: in conflict, the two answers together get {shares}; the rest of the probability goes to other words. "
        "Preference compares the two answers within that share only."
    )


def coverage_record(scores: TaskScores) -> dict[str, Any] | None:
    """The entry `low_coverage` of summary.json; None if every model has a coverage of at least one half."""
    sentence = coverage_caution(scores)
    return {"below": LOW, "models": low_coverage(scores), "sentence": sentence} if sentence else None


def _share(seeds: Sequence[Source], coverage: Sequence[float]) -> str:
    """For example "3 % of the probability in smollm2", "23 % in 2x1 (5 seeds)"."""
    mean = float(np.mean(coverage))
    share = f"{100 * mean:.0f} %" if mean >= 0.01 else f"{100 * mean:.1g} %"
    name = seeds[0].name if len(seeds) == 1 else f"{seeds[0].model} ({len(seeds)} seeds)"
    return f"{share} in {name}"
