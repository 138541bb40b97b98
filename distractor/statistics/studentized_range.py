"""The studentized range: how far the largest and the smallest of k means lie apart when nothing but noise moves them.

scipy.stats has it, but its import alone takes about a second in a cached command, and its quantile another.
"""

from functools import lru_cache

import numpy as np
from numpy import ndarray


def studentized_range_tail(q: float, k: int, degrees: float | int) -> float:
    """P(range of `k` means > q standard errors), the error estimated with `degrees` of freedom (Tukey 1949)."""
    from scipy.special import gammaln, ndtr

    width = 1 / np.sqrt(2 * degrees)
    s, ds = _nodes(max(0.0, 1 - 9 * width), 1 + 11 * width, 64)
    z, dz = _nodes(-8.5, 8.5, 100)
    log_density = (degrees - 1) * np.log(s) - degrees * s**2 / 2
    log_density += np.log(2) + degrees / 2 * np.log(degrees / 2) - gammaln(degrees / 2)
    of_error = ds * np.exp(log_density)
    of_largest = k * dz * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    inside = of_error @ ((ndtr(z) - ndtr(z - min(q, 1e4) * s[:, None])) ** (k - 1) @ of_largest)
    return float(np.clip(1 - inside, 0, 1))


@lru_cache(maxsize=64)
def studentized_range_quantile(share: float, k: int, degrees: float | int) -> float:
    """The `share` quantile of the studentized range of `k` means, to 1e-6, by bisection."""
    low, high = 0.0, 1.0
    while studentized_range_tail(high, k, degrees) > 1 - share:
        low, high = high, 2 * high
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if studentized_range_tail(middle, k, degrees) > 1 - share else (low, middle)
    return (low + high) / 2


_legendre = lru_cache(maxsize=4)(np.polynomial.legendre.leggauss)


def _nodes(low: float, high: float, count: int) -> tuple[ndarray, ndarray]:
    """Nodes and weights of Gauss–Legendre quadrature between `low` and `high`."""
    x, w = _legendre(count)
    return (low + high) / 2 + (high - low) / 2 * x, (high - low) / 2 * w
