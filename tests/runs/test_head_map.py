"""Heat maps of components: where a value is drawn, and under which name."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from distractor.runs.head_map import head_grid

pytestmark = pytest.mark.quick


def test_heads_and_mlps_have_their_columns_and_nothing_else_has_one() -> None:
    names = ["embed", "L0H0.z", "L0H2.z", "L0.attn_bias", "L0.mlp_out", "L1H1.z", "final_norm.bias"]
    grid = head_grid(names, np.arange(7.0), np.arange(7) == 4)
    assert grid.columns == ["H0", "H1", "H2", "MLP"]
    assert_array_equal(grid.values, [[1, np.nan, 2, 4], [np.nan, 5, np.nan, np.nan]])
    assert grid.framed is not None
    assert_array_equal(np.argwhere(grid.framed), [[0, 3]])


def test_keys_that_query_heads_share_have_one_column_named_by_these_heads() -> None:
    grid = head_grid(["L0H0-2.k", "L0H3-5.k", "L1H0-2.k", "L1H3-5.k"], np.arange(4.0))
    assert grid.columns == ["H0-2", "H3-5"]
    assert_array_equal(grid.values, [[0, 1], [2, 3]])
