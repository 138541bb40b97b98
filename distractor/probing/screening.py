"""Screening: in models with many sites, gradients estimate the effect of every site, and only some are measured.

The sites with the largest estimates are measured exactly (attribution patching: Nanda 2023; Kramár et al. 2024,
arXiv 2403.00745). So is a random sample of the other sites. It shows how many large effects the estimates may miss.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distractor.numbers import number

# Stored readings are found by a probe's settings alone, so slow imports wait until a probe is called.
if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from numpy import ndarray


@dataclass(frozen=True)
class Screening:
    """Which sites are measured in models with more than `above` sites: the `largest` estimates and a random `sample`.

    `seed` is the random seed of the sample.
    """

    above: int = 100
    largest: int = 20
    sample: int = 15
    seed: int = 0

    def __str__(self) -> str:
        return f"above {self.above} sites, the {self.largest} largest estimates and {self.sample} random sites"

    @property
    def measured(self) -> int:
        """The number of sites that are measured in a screened model."""
        return self.largest + self.sample

    def is_needed(self, sites: int) -> bool:
        """Whether a model with this number of sites is screened."""
        return sites > max(self.above, self.measured)

    def pick(self, estimates: "Float[ndarray, 'view site']", sites: Sequence[object] = ()) -> "Picked":
        """Pick the sites to measure from the mean estimate of each site in one or more views, in nats.

        Each view, such as a condition, names its largest sites in turn. `sites` are the names.
        """
        import numpy as np

        order = np.argsort(-np.abs(estimates), axis=1, kind="stable")
        largest = list(dict.fromkeys(order.T.ravel().tolist()))[: self.largest]
        others = np.setdiff1d(np.arange(estimates.shape[1]), largest)
        rng = np.random.default_rng(self.seed)
        sampled = rng.choice(others, min(self.sample, len(others)), replace=False)
        return Picked(estimates, tuple(largest), tuple(sorted(sampled.tolist())))


@dataclass(frozen=True)
class SharedScreening(Screening):
    """The sites that are measured are named, so that several models have the same ones: `named`, and a random `sampled`.

    Without any, sites are only estimated.
    """

    named: tuple[str, ...] = ()
    sampled: tuple[str, ...] = ()

    @property
    def measured(self) -> int:
        """The number of sites that are measured."""
        return len(self.named) + len(self.sampled)

    def is_needed(self, sites: int) -> bool:
        """Whether a model with this number of sites is screened: always."""
        return True

    def pick(self, estimates: "Float[ndarray, 'view site']", sites: Sequence[object] = ()) -> "Picked":
        """The named sites."""
        place = {str(site): k for k, site in enumerate(sites)}
        return Picked(estimates, *(tuple(place[name] for name in names) for names in (self.named, self.sampled)))


@dataclass(frozen=True, eq=False)
class Picked:
    """The numbers of the sites that are measured: those with the largest estimates, and a random sample of the others."""

    estimates: "Float[ndarray, 'view site']"
    largest: tuple[int, ...]
    sampled: tuple[int, ...]

    @property
    def measured(self) -> "Int[ndarray, ' measured']":
        """The numbers of all measured sites, ascending."""
        import numpy as np

        return np.sort(np.array([*self.largest, *self.sampled], dtype=int))

    @property
    def are_only_estimated(self) -> bool:
        """Whether no site is measured."""
        return not (self.largest or self.sampled)

    def spread(self, values: "Float[ndarray, 'measured *rest']") -> "Float[ndarray, 'site *rest']":
        """Values of all sites, NaN for those that are not measured."""
        import numpy as np

        every = np.full((self.estimates.shape[1], *values.shape[1:]), np.nan)
        every[self.measured] = values
        return every

    def report(
        self, sites: Sequence[object], exact: "Float[ndarray, 'view measured']", least: float, unit: str = "nats"
    ) -> dict[str, Any]:
        """What was measured, and how many effects of at least `least` the estimates may have missed.

        `exact` are the mean effects of the measured sites. `missed_at_most` bounds the number of sites that were not
        measured and have such an effect in any view, with 95 % confidence (hypergeometric, one-sided).
        """
        import numpy as np

        from distractor.statistics.agreement import most_left, rank_correlation

        size = np.abs(exact).max(0)
        in_sample = size[np.isin(self.measured, self.sampled)]
        hits = int((in_sample >= least).sum())
        left = len(sites) - len(self.measured)
        missed = most_left(hits, len(in_sample), left + len(in_sample))
        largest_in_sample = float(in_sample.max(initial=0.0))
        together = "reach" if hits != 1 else "reaches"
        sentence = (
            f"{len(sites)} sites were screened by gradients; the {len(self.largest)} largest and a random sample of "
            f"{len(in_sample)} others were measured. Of the sample, {hits} {together} {number(least)} {unit} (largest "
            f"{number(largest_in_sample)}), so at most {missed} of the {left} sites that were not measured do (95 % bound)"
        )
        return {
            "sites": len(sites),
            "largest": [str(sites[k]) for k in self.largest],
            "sampled": [str(sites[k]) for k in self.sampled],
            "least": least,
            "largest_in_sample": largest_in_sample,
            "hits_in_sample": hits,
            "missed_at_most": missed,
            "rank_correlation": rank_correlation(np.abs(self.estimates).max(0)[self.measured], size),
            "sentence": sentence,
        }
