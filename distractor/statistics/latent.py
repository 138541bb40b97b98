"""The latent distractor test: whether silenced sites write the distractor's answer again without their suppressors.

The evidence is the change of ω. The true answer's return is none: it also happens under override.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jaxtyping import Float
from numpy import ndarray

from distractor.numbers import number, with_interval
from distractor.statistics.intervals import Mean
from distractor.statistics.overcoming import sign
from distractor.statistics.random_sets import null_sentence, random_set_p
from distractor.statistics.ratios import ratio_interval

LEVEL = 0.05

Returns = Literal["latent", "partly latent", "not shown"]
"""What the silenced sites write without their suppressors: the whole answer, a part of it, or no more than before."""


@dataclass(frozen=True)
class LatentTest:
    """ω of the silenced sites before and after `suppressors` get values without a cue, with the change.

    `random` has ω after the same in each random set of other sites, `p` its p-value; None with fewer than 19 sets.
    Without suppressors, the numbers are None.
    """

    suppressors: tuple[str, ...]
    before: Mean | None = None
    after: Mean | None = None
    change: Mean | None = None
    random: tuple[float, ...] = ()

    @property
    def p(self) -> float | None:
        """The share of random sets, with this one, whose ω is at least as large."""
        return None if self.after is None else random_set_p(self.after.mean, self.random)

    @property
    def result(self) -> Returns:
        """Whether the distractor's answer returns, by the bounds of ω."""
        if self.after is None or self.change is None or self.change.low <= 0 or (self.p or 0) > LEVEL:
            return "not shown"
        return "latent" if sign(self.after) == "positive" else "partly latent"

    @property
    def sentence(self) -> str:
        """The result in words."""
        if self.before is None or self.after is None:
            return "no head or MLP was found that silences these sites"
        omega = f"ω {number(self.before.mean)} → {with_interval(*self.after)}"
        null = null_sentence(self.after.mean, self.random)
        result = "no suppressor is shown" if self.result == "not shown" else self.result
        return f"{result}: with {', '.join(self.suppressors)} cue-free, {omega}; {null}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for summary.json."""
        means = {name: getattr(self, name) for name in ("before", "after", "change")}
        return {
            "result": self.result,
            "suppressors": list(self.suppressors),
            **{name: None if mean is None else mean._asdict() for name, mean in means.items()},
            "random": list(self.random),
            "p": self.p,
        }


def latent_test(
    suppressors: Sequence[str],
    alone: Float[ndarray, " item"],
    conflict: Float[ndarray, " item"],
    latent: Float[ndarray, " item"],
    groups: Sequence[str],
    random: Sequence[float],
) -> LatentTest:
    """The test from what silenced sites write `alone`, in `conflict`, and there without their suppressors (`latent`).

    All are effects in nats on items that did not choose sites.
    """
    if not suppressors:
        return LatentTest(())
    before, after, change = (ratio_interval(effect, alone, groups) for effect in (conflict, latent, latent - conflict))
    return LatentTest(tuple(suppressors), before, after, change, tuple(random))
