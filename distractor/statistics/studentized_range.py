"""The studentized range of k means (Tukey 1949), cached: scipy's quantile takes about 0.1 s."""

from functools import lru_cache


@lru_cache(maxsize=256)
def studentized_range_tail(q: float, k: int, degrees: float | int) -> float:
    """P(range of `k` means > q standard errors), where the error is estimated with `degrees` of freedom."""
    from scipy.stats import studentized_range

    return float(studentized_range.sf(q, k, degrees))


@lru_cache(maxsize=64)
def studentized_range_quantile(share: float, k: int, degrees: float | int) -> float:
    """The `share` quantile of the studentized range of `k` means."""
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(share, k, degrees))
