"""Sign-flip tests of means, by whole groups of items, with corrections for many tests at once.

Under the null hypothesis a group's sum is as likely to be positive as negative. Up to `EXACT_GROUPS` groups, all sign
patterns are tried. For more groups a random sample is drawn, and the observed pattern counts as one more draw.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from distractor.statistics.intervals import Groups, group_sums, two_groups
from distractor.statistics.standard_errors import ALPHA

EXACT_GROUPS = 12
DRAWS = 9_999
BLOCK = 4_096  # draws in memory at once; a map may have thousands of sites
MOST_SIGNS = 2**26  # in memory at once
Sites = Float[ndarray, "*site"]


def sign_flip_p(values: Float[ndarray, "*site item"], groups: Groups, *, seed: int = 0) -> Sites:
    """Two-sided p-value of each site's mean, from enough draws for Benjamini–Hochberg over this number of sites."""
    rows = values.reshape(-1, values.shape[-1])
    sums, _ = group_sums(rows, two_groups(groups))
    observed = _observed(sums)
    block = max(1, min(BLOCK, MOST_SIGNS // sums.shape[-1]))
    reached, draws = np.zeros(len(rows), dtype=np.int64), 0
    for signs in _sign_blocks(sums.shape[-1], max(DRAWS, int(2 * len(rows) / ALPHA)), block, seed):
        reached += (np.abs(sums @ signs) >= observed[:, None]).sum(-1)
        draws += signs.shape[1]
    return np.asarray(_p_value(reached, draws, sums.shape[-1])).reshape(values.shape[:-1])


def sign_flips_of_family(
    sums: Float[ndarray, "row group"], *, seed: int = 0, draws: int = DRAWS
) -> tuple[ndarray, ndarray, ndarray]:
    """Each row's p-value, its family-wise p-value, and the 95 % quantile of its absolute sum under the null.

    Signs are flipped in all rows at once (single-step max-t; Westfall and Young 1993).
    """
    n_groups = sums.shape[-1]
    block = max(1, min(max(draws, 2**EXACT_GROUPS), MOST_SIGNS // max(n_groups, 1)))
    flipped = np.concatenate([np.abs(sums @ signs) for signs in _sign_blocks(n_groups, draws, block, seed)], axis=1)
    # Flips do not change a row's sum of squares, so that this scale gives the same test as a t statistic.
    scale = np.sqrt((sums**2).sum(-1))
    is_nonzero = scale > 0
    scale = np.where(is_nonzero, scale, 1.0)[:, None]
    observed = _observed(sums)[:, None]
    maxima = (flipped / scale).max(0)
    reached = (flipped >= observed).sum(-1), (maxima >= observed / scale).sum(-1)
    p, p_family = (np.where(is_nonzero, _p_value(count, flipped.shape[1], n_groups), 1.0) for count in reached)
    return p, p_family, np.quantile(flipped, 1 - ALPHA, axis=-1)


def benjamini_hochberg(p: Sites) -> Bool[ndarray, "*site"]:
    """Whether each p-value of a family is significant at a false discovery rate of 5 %."""
    from scipy.stats import false_discovery_control

    adjusted = false_discovery_control(p.ravel()).reshape(p.shape)
    return np.asarray(adjusted <= ALPHA * (1 + 1e-12))  # equality counts


def holm(p: Sequence[float]) -> list[float]:
    """p-values adjusted over a family (Holm 1979).

    >>> holm([0.01, 0.04, 0.02])
    [0.03, 0.04, 0.04]
    """
    adjusted, most = [0.0] * len(p), 0.0
    for rank, index in enumerate(np.argsort(p, kind="stable")):
        most = max(most, min(1.0, (len(p) - rank) * p[index]))
        adjusted[index] = most
    return adjusted


def _observed(sums: Float[ndarray, "row group"]) -> Float[ndarray, " row"]:
    """The absolute sum over groups, lowered by the rounding error, so that ties count as reached."""
    return np.abs(sums.sum(-1)) * (1 - 1e-9)


def _sign_blocks(n_groups: int, draws: int, block: int, seed: int) -> Iterator[Float[ndarray, "group draw"]]:
    """Signs of groups in blocks of draws. A pattern's mirror image gives the same absolute sum and is left out."""
    is_exact = n_groups <= EXACT_GROUPS
    draws = 2 ** max(n_groups - 1, 0) if is_exact else draws
    rng = np.random.default_rng(seed)
    for start in range(0, draws, block):
        count = min(block, draws - start)
        if is_exact:
            bits = np.arange(start, start + count)[None] >> np.arange(n_groups)[:, None]
        else:
            bits = rng.integers(0, 2, (n_groups, count))
        yield 1.0 - 2 * (bits & 1)


def _p_value(reached: ndarray, draws: int, n_groups: int) -> ndarray:
    return reached / draws if n_groups <= EXACT_GROUPS else (1 + reached) / (1 + draws)
