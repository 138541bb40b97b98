"""The composed curve: its formula, its residual, and the interval over groups."""

import numpy as np
import pytest

from distractor.errors import ScalingError
from distractor.statistics.composed import compose, composed

pytestmark = pytest.mark.quick


def test_both_tasks_right_or_both_wrong_gives_a_right_answer() -> None:
    t, s = np.array([1.0, 1.0, 0.0, 0.5, 0.9]), np.array([1.0, 0.0, 0.0, 0.3, 0.8])
    np.testing.assert_allclose(composed(t, s), [1.0, 0.0, 1.0, 0.5, 0.74])


def test_the_residual_is_the_planted_one_and_its_interval_covers_it() -> None:
    rng = np.random.default_rng(0)
    t, s = (0.7 + 0.1 * rng.normal(size=(2, 3, 60)) for _ in range(2))
    conflict = composed(t.mean(-1, keepdims=True), s.mean(-1, keepdims=True)) + 0.1 + 0.05 * rng.normal(size=t.shape)
    result = compose(conflict, t, s, (1, 2, 3))
    np.testing.assert_allclose(result.residual, 0.1, atol=0.03)
    assert ((result.low < result.residual) & (result.residual < result.high)).all()
    assert (result.high - result.low < 0.2).all()
    np.testing.assert_allclose(result.predicted + result.residual, result.measured)
    rows = result.as_dict()["sizes"]
    assert [row["size"] for row in rows] == [1, 2, 3]
    assert rows[1]["residual"] == result.residual[1]
    with pytest.raises(ScalingError, match="negated letters"):
        compose(conflict, t, s[..., 1:], (1, 2, 3))
