"""Simulated ladders of a known shape, and the bounds that tests of error rates allow."""

import numpy as np
from numpy import ndarray
from scipy import stats

SIZES = (2000, 4000, 8000, 16000, 32000, 64000, 128000)


CURVES = {
    "inverted-U": (0.5, 0.6, 0.8, 0.95, 0.7, 0.3, 0.05),
    "U-shaped": (0.5, 0.3, 0.1, 0.1, 0.4, 0.8, 0.98),
    "positive": (0.5, 0.52, 0.6, 0.7, 0.8, 0.9, 0.95),
    "inverse": (0.5, 0.5, 0.5, 0.3, 0.1, 0.1, 0.1),
    "flat": (0.5,) * 7,
}


def ladder(
    curve: tuple[float, ...],
    seed: int = 0,
    *,
    seeds: int = 5,
    groups: int = 100,
    items: float = 0.1,
    noise: float = 0.0,
) -> ndarray:
    """A ladder with normal noise of groups (`items`) and of seeds at each size (`noise`)."""
    rng = np.random.default_rng(seed)
    shape = (seeds, len(curve), groups)
    return np.array(curve)[:, None] + noise * rng.normal(size=(*shape[:2], 1)) + items * rng.normal(size=shape)


def at_most(rate: float, of: int) -> int:
    """A count that a test with this error rate exceeds once in a thousand runs."""
    return int(stats.binom.ppf(0.999, of, rate))


def shared_by_seeds(difference: ndarray, *, clip: bool = True) -> float:
    """The variance of the mean of `difference` [seed group] from groups that all seeds share (two-way ANOVA)."""
    n_seeds, n_groups = difference.shape
    grand = difference.mean()
    of_group = n_seeds * sum((difference[:, g].mean() - grand) ** 2 for g in range(n_groups)) / (n_groups - 1)
    left = sum(
        (difference[s, g] - difference[s].mean() - difference[:, g].mean() + grand) ** 2
        for s, g in np.ndindex(n_seeds, n_groups)
    ) / ((n_seeds - 1) * (n_groups - 1))
    return max(float(of_group - left), 0 if clip else -np.inf) / (n_seeds * n_groups)
