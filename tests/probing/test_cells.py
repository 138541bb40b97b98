"""The maps that readings form, their names, and the means of their cells."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from xarray import DataArray

import tiny
from distractor.probing.cells import (
    cell_name,
    empty_cells,
    groups_of,
    kind_of,
    labels,
    map_families,
    map_names,
    maps_of,
    mean_of,
    means_of,
    varying,
    without_far_paths,
)
from distractor.statistics.intervals import mean_interval

pytestmark = pytest.mark.quick

TASK = tiny.task()
ITEMS = [item.id for item in TASK.items]


def reading(unit: str = "nats", **dims: list[str]) -> DataArray:
    """Random values between 0 and 1 with these labels, for every item of the tiny task."""
    coords = {**dims, "item": ITEMS}
    values = np.random.default_rng(0).uniform(size=[len(names) for names in coords.values()])
    return DataArray(values, dims=list(coords), coords=coords, attrs={"unit": unit})


@pytest.mark.parametrize(
    ("unit", "dims", "kind"),
    [
        ("nats", ("quantity", "stage"), "lens"),
        ("share", ("label", "control", "stage"), "decoding"),
        ("nats", ("component", "role"), "sources"),
        ("probability", ("component", "role"), "attention"),
        ("nats", ("layer", "role"), "positions"),
        ("cosine", ("layer", "role"), "other"),
        ("nats", ("component",), "components"),
        ("cosine", ("component",), "other"),
        ("nats", ("stage",), "other"),
        ("nats", ("factor",), "factors"),
    ],
)
def test_dims_and_unit_decide_the_kind_of_a_map(unit: str, dims: tuple[str, ...], kind: str) -> None:
    assert kind_of(reading(unit, **{dim: ["a"] for dim in dims})) == kind


def test_a_cell_is_named_by_its_site_and_its_role() -> None:
    assert cell_name({"component": "L1H0.z"}) == "L1H0.z"
    assert cell_name({"component": "L1H0.pattern", "role": "cue"}) == "L1H0.pattern at cue"
    assert cell_name({"layer": "1", "part": "resid_post", "role": "cue"}) == "L1.resid_post at cue"
    assert cell_name({"layer": "1"}) == "L1"


def test_outer_labels_distinguish_maps() -> None:
    data = reading(pair=["one"], direction=["noising", "denoising"], component=["L0H0.z", "L0H0.q", "L0.mlp_out"])
    names = [{"pair": "one", "direction": "noising"}, {"pair": "one", "direction": "denoising"}]
    assert map_names(data) == names
    assert varying(names) == ["direction"]
    assert varying([]) == []
    assert labels(data, "direction") == ["noising", "denoising"]
    assert labels(data, "role") == []
    assert map_families(data) == [{"component": ["L0H0.z", "L0.mlp_out"]}, {"component": ["L0H0.q"]}]
    assert map_families(reading(part=["resid_pre", "resid_mid"])) == [{"part": ["resid_pre"]}, {"part": ["resid_mid"]}]
    for found, cells in maps_of(means_of(TASK, data)):
        assert_allclose(cells["mean"], data.sel(found).mean("item"))


def test_effects_through_single_later_components_are_left_out() -> None:
    paths = ["total", "direct", "later", "L1H0.z"]
    assert labels(without_far_paths(reading(path=paths)), "path") == paths[:3]
    assert labels(without_far_paths(reading(path=paths[:2])), "path") == paths[:2]
    assert without_far_paths(reading(component=["a"])).dims == ("component", "item")


def test_the_mean_of_a_cell_has_the_interval_of_its_items_by_groups() -> None:
    data = reading(component=["L0H0.z", "L1H0.z"])[:, ::-1]
    groups = [item.group for item in TASK.items][::-1]
    assert groups_of(TASK, data) == groups
    cells = means_of(TASK, data)
    for component in ("L0H0.z", "L1H0.z"):
        expected = mean_interval(data.sel(component=component).values, groups)
        assert_allclose(mean_of(cells.sel(component=component)), expected)
    empty = empty_cells(data)
    assert (empty.dims, empty.isnull().all()) == (("component",), True)


def test_only_shares_of_a_lens_have_limits() -> None:
    """Items that all have the value 1 leave the interval of a share below 1, but not that of a gap in nats."""
    data = reading(quantity=["accuracy", "logit_gap"], stage=["L0.resid_post"])
    data[:] = 1.0
    cells = means_of(TASK, data)
    low = cells["low"].sel(stage="L0.resid_post")
    assert_array_equal(low < 1, [True, False])


def test_mean_shares_of_attention_sum_to_1_if_items_lack_roles() -> None:
    data = reading("share", component=["L0H0.pattern"], role=["cue", "rare", "slot", "absent"], condition=["conflict"])
    rare = data.sel(role="rare")
    data.loc[{"role": "rare"}] = rare.where(np.arange(len(ITEMS)) % 3 == 0)
    data.loc[{"role": "absent"}] = np.nan
    data /= data.sum("role")
    mean = means_of(TASK, data)["mean"]
    assert_allclose(mean.sum("role"), 1)
    assert_allclose(mean.sel(role="rare"), data.sel(role="rare").sum("item") / len(ITEMS))
    assert mean.sel(role="absent").isnull().all()
    data[..., :4] = np.nan  # items that were not read have no shares, not shares of 0
    assert_allclose(means_of(TASK, data)["mean"].sum("role"), 1)
