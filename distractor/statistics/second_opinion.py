"""Secondary tests of a U shape: two lines, Lind–Mehlum, and the quadratic fit as a foil.

All three treat the points of the curve as independent; the primary test is in `shape_test`. The first two give "too few"
below eight sizes. x is the logarithm of size throughout.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

Points = Float[ndarray, " point"]
Way = Literal["U-shaped", "inverted-U"]
ENOUGH_SIZES = 8
TOO_FEW = "too few"
CAUTION = (
    "on curves that rise to a plateau and do not turn, two lines says turn in 12 to 30 % of simulated cases, Lind–Mehlum in "
    "82 to 95 %"
)
MIDDLE = (0.1, 0.9)  # the break is searched between these quantiles of x


@dataclass(frozen=True)
class TwoLines:
    """One line below a break and one above it (Simonsohn 2018): the curve turns if both slopes are significant.

    Standard errors are heteroskedasticity-consistent, HC3 (MacKinnon and White 1985), with a normal reference as in the
    source. A line through fewer than three different sizes has no standard error, and its p is 1. `flat` are the ends
    of the region that holds the break; `way` is the kind of turn that was tested.
    """

    way: Way
    breakpoint: float
    flat: tuple[float, float]
    slope_left: float
    z_left: float
    p_left: float
    slope_right: float
    z_right: float
    p_right: float

    @property
    def turns(self) -> bool:
        """Whether the slopes have opposite signs, each at p < .05."""
        return self.slope_left * self.slope_right < 0 and max(self.p_left, self.p_right) < 0.05


@dataclass(frozen=True)
class LindMehlum:
    """A parabola's slopes at both ends of the range, and its turning point (Lind and Mehlum 2010).

    `p` is the larger of the two one-sided p-values (Sasabuchi 1980). `low` and `high` are Fieller's (1954) 95 %
    interval of the turning point, None where it is unbounded.
    """

    way: Way
    slope_left: float
    slope_right: float
    t_left: float
    t_right: float
    p: float
    turning_point: float
    low: float | None
    high: float | None

    @property
    def turns(self) -> bool:
        """Whether both slopes have the signs of the turn at p < .05."""
        return self.p < 0.05


@dataclass(frozen=True)
class Quadratic:
    """The foil: a parabola turns if its curvature has p < .05 and its extremum is within the range.

    It wrongly finds turns in up to 100 % of curves that only rise and level off (Simonsohn 2018).
    """

    curvature: float
    p: float
    turning_point: float | None
    turns: bool


Opinion = TypeVar("Opinion", TwoLines, LindMehlum, Quadratic)


@dataclass(frozen=True)
class SecondOpinion:
    """All three tests; `two_lines` and `lind_mehlum` are "too few" below eight sizes."""

    two_lines: TwoLines | str
    lind_mehlum: LindMehlum | str
    quadratic: Quadratic

    @property
    def caution(self) -> str | None:
        """How often the first two tests find a turn where none is; None where they have no result."""
        return None if self.two_lines == self.lind_mehlum == TOO_FEW else CAUTION

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers and strings for `secondary` in summary.json; sizes are in their own unit."""
        tests = {name: test if isinstance(test, str) else _plain(test) for name, test in vars(self).items()}
        return tests | {"caution": self.caution}


def second_opinion(means: Float[ndarray, "seed size"], sizes: Sequence[float | int]) -> SecondOpinion:
    """Run all three tests on each seed's mean at each size; results are in sizes, not in logarithms."""
    x = np.tile(on_log_axis(sizes), len(means))
    y = means.ravel()
    foil = _in_sizes(quadratic(x, y), sizes)
    if len(sizes) < ENOUGH_SIZES:
        return SecondOpinion(TOO_FEW, TOO_FEW, foil)
    return SecondOpinion(_in_sizes(two_lines(x, y), sizes), _in_sizes(lind_mehlum(x, y), sizes), foil)


def on_log_axis(sizes: Sequence[float | int]) -> Float[ndarray, " size"]:
    """Natural logarithms; log(1 + size) if the smallest size is 0, such as training step 0."""
    values = np.asarray(sizes, float)
    return np.log1p(values) if values.min() == 0 else np.log(values)


def two_lines(x: Points, y: Points) -> TwoLines:
    """Simonsohn's two-lines test with the Robin Hood choice of the break.

    The flat region holds all points within one standard error of the most extreme point of a smoothing spline. Two
    lines are first fitted with the break in the middle of that region. The break then moves by the ratio of the two
    absolute z, so that the weaker line gets more points.
    """
    beta = np.polynomial.polynomial.polyfit(x, y, 2)
    sign = 1 if beta[1] + 2 * beta[2] * x.min() > 0 else -1  # a curve that rises at first can only be an inverted U
    fitted, error = smooth(x, y)
    low, high = np.quantile(x, MIDDLE)
    middle = (x > low) & (x < high)
    extreme = sign * fitted[middle]
    flat = x[middle][extreme + error[middle] >= extreme.max()]
    first = slopes(x, y, float(np.median(flat)))
    strong = abs(first[1]) + abs(first[4])
    share = abs(first[4]) / strong if strong > 0 else 0.5
    chosen = float(np.quantile(flat, share))
    way: Way = "inverted-U" if sign > 0 else "U-shaped"
    return TwoLines(way, chosen, (float(flat.min()), float(flat.max())), *slopes(x, y, chosen))


def slopes(x: Points, y: Points, at: float) -> tuple[float, float, float, float, float, float]:
    """(slope, z, p) of the line up to the break and of the line from the break; both include points at the break."""
    return (*_line(x, y, x <= at), *_line(x, y, x >= at))


def _line(x: Points, y: Points, part: Bool[ndarray, " point"]) -> tuple[float, float, float]:
    from scipy.special import ndtr

    x, y = x[part], y[part]
    if len(np.unique(x)) < 2:
        return 0.0, 0.0, 1.0
    off = x - x.mean()
    slope = float(off @ y / (off @ off))
    if len(np.unique(x)) < 3:
        return slope, 0.0, 1.0
    residual = y - y.mean() - slope * off
    leverage = 1 / len(x) + off**2 / (off @ off)
    error = float(np.sqrt(((off * residual / (1 - leverage)) ** 2).sum()) / (off @ off))
    if error <= 1e-12 * np.abs(y).max():
        return slope, float(np.sign(slope)) * np.inf, 0.0 if slope else 1.0
    return slope, slope / error, float(2 * ndtr(-abs(slope / error)))


def smooth(x: Points, y: Points) -> tuple[Points, Points]:
    """A natural cubic smoothing spline and its standard error, at each point.

    With weights w (points at each x) and the roughness matrix K, the fit is (W + λK)⁻¹ W ȳ (Green and Silverman 1994,
    chapter 2). λ minimises n·RSS / (n − tr)², and the error is that of the Bayesian posterior (Wahba 1983).
    """
    knots, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    means = np.bincount(inverse, y) / counts
    roughness = _roughness(knots)
    # In the eigenbasis of W^-½ K W^-½ each λ costs only a vector product.
    root = np.sqrt(counts)
    rough, basis = np.linalg.eigh(roughness / root[:, None] / root)
    rough = np.maximum(rough, 0)
    rough[rough < 1e-10 * rough.max()] = 0
    rotated = basis.T @ (root * means)
    within = float(((y - means[inverse]) ** 2).sum())
    n = len(y)

    def at(weight: float) -> tuple[float, float, ndarray]:
        kept = 1 / (1 + weight * rough)
        return within + float((((1 - kept) * rotated) ** 2).sum()), float(kept.sum()), kept

    scale = rough.max()
    best = (np.inf, 1.0)
    for weight in np.append(np.geomspace(1e-4, 1e8, 241) / scale, np.inf if scale == 0 else 1e12 / scale):
        squares, freedom, _ = at(weight)
        if n - freedom > 0.5:
            best = min(best, (n * squares / (n - freedom) ** 2, float(weight)))
    squares, freedom, kept = at(best[1])
    fitted = basis @ (kept * rotated) / root
    noise = squares / (n - freedom)
    variance = noise * ((basis * kept) * basis).sum(1) / counts
    return fitted[inverse], np.sqrt(np.maximum(variance, 0))[inverse]


def _roughness(knots: Float[ndarray, " knot"]) -> Float[ndarray, "knot knot"]:
    """K: f'Kf is the integral of the squared second derivative of the natural cubic spline through f."""
    from scipy.linalg import solveh_banded

    gap = np.diff(knots)
    count = len(knots)
    q, r = np.zeros((count, count - 2)), np.zeros((2, count - 2))  # r: the superdiagonal, then the diagonal
    for j in range(count - 2):
        q[j : j + 3, j] = 1 / gap[j], -1 / gap[j] - 1 / gap[j + 1], 1 / gap[j + 1]
        r[1, j] = (gap[j] + gap[j + 1]) / 3
        if j:
            r[0, j] = gap[j] / 6
    return np.asarray(q @ solveh_banded(r, q.T))


def lind_mehlum(x: Points, y: Points) -> LindMehlum:
    """Lind and Mehlum's test of the slopes at the smallest and the largest x, with Fieller's interval."""
    from scipy.special import stdtr

    beta, covariance, freedom = _parabola(x, y)

    def slope(at: float) -> tuple[float, float]:
        gradient = np.array([0, 1, 2 * at])
        value, error = float(gradient @ beta), float(np.sqrt(gradient @ covariance @ gradient))
        return value, value / error if error > 0 else float(np.sign(value)) * np.inf

    (left, t_left), (right, t_right) = slope(x.min()), slope(x.max())
    sign = 1 if beta[2] < 0 else -1
    p = max(float(stdtr(freedom, -sign * t_left)), float(stdtr(freedom, sign * t_right)))
    low, high = fieller(beta, covariance, freedom)
    top = float(-beta[1] / (2 * beta[2])) if beta[2] else float("inf")
    way: Way = "inverted-U" if sign > 0 else "U-shaped"
    return LindMehlum(way, left, right, t_left, t_right, p, top, low, high)


def fieller(
    beta: Float[ndarray, "3"], covariance: Float[ndarray, "3 3"], freedom: int
) -> tuple[float | None, float | None]:
    """The 95 % interval of the turning point: where the slope b + 2cθ does not differ from 0 (Fieller 1954)."""
    from scipy.special import stdtrit

    square = float(stdtrit(freedom, 0.975)) ** 2
    _, b, c = beta
    # The ends are the roots of a quadratic in θ.
    leading = 4 * (c**2 - square * covariance[2, 2])
    linear = 4 * (b * c - square * covariance[1, 2])
    constant = b**2 - square * covariance[1, 1]
    if leading <= 0:
        return None, None
    root = np.sqrt(max(linear**2 - 4 * leading * constant, 0))
    return float((-linear - root) / (2 * leading)), float((-linear + root) / (2 * leading))


def quadratic(x: Points, y: Points) -> Quadratic:
    """The foil: the test of a parabola's curvature; p is 1 with only three points."""
    from scipy.special import stdtr

    if len(x) < 4:
        return Quadratic(0.0, 1.0, None, False)
    beta, covariance, freedom = _parabola(x, y)
    curvature, error = float(beta[2]), float(np.sqrt(covariance[2, 2]))
    p = float(2 * stdtr(freedom, -abs(curvature) / error)) if error > 0 else float(curvature == 0)
    top = float(-beta[1] / (2 * curvature)) if curvature else None
    return Quadratic(curvature, p, top, p < 0.05 and top is not None and bool(x.min() < top < x.max()))


def _parabola(x: Points, y: Points) -> tuple[Float[ndarray, "3"], Float[ndarray, "3 3"], int]:
    """Least-squares coefficients of 1, x and x², their covariance, and the degrees of freedom."""
    beta, unscaled = np.polyfit(x, y, 2, cov="unscaled")
    freedom = len(x) - 3
    noise = float(((y - np.polyval(beta, x)) ** 2).sum() / freedom) if freedom else 0.0
    return beta[::-1], noise * unscaled[::-1, ::-1], freedom


def _in_sizes(test: Opinion, sizes: Sequence[float | int]) -> Opinion:
    """The test with positions as sizes; slopes stay per unit of the logarithm."""

    def back(position: float | None) -> float | None:
        if position is None:
            return None
        with np.errstate(over="ignore"):
            return float(np.expm1(position) if min(sizes) == 0 else np.exp(position))

    positions = ("breakpoint", "turning_point", "low", "high")
    converted: dict[str, Any] = {name: back(getattr(test, name)) for name in positions if hasattr(test, name)}
    if isinstance(test, TwoLines):
        converted["flat"] = tuple(back(end) for end in test.flat)
    return replace(test, **converted)


def _plain(test: TwoLines | LindMehlum | Quadratic) -> dict[str, Any]:
    values = {"turns": test.turns} | vars(test)
    return {name: None if isinstance(v, float) and not np.isfinite(v) else v for name, v in values.items()}
