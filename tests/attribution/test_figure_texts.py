"""The figures of `distractor attribute` can be read for models of any depth and width, and for any number of sizes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from xarray import DataArray

import oracles
import tiny
from distractor.attribution import figures as draw
from distractor.attribution.overcome_over_size import AtSize
from distractor.attribution.overcoming_figure import overcoming_over_size
from distractor.attribution.ranked_figure import ranked_chart, size_of
from distractor.attribution.ranked_sites import RankedSite
from distractor.models.source import Source
from distractor.probing.cells import means_of
from distractor.probing.probe_results import ProbeResults
from distractor.probing.readings import Reading, stored
from distractor.probing.strengths import ChosenSites, Strength
from distractor.runs import style
from distractor.scoring.settings import Settings
from distractor.statistics.intervals import Mean
from distractor.statistics.overcoming import Overcome
from shown import COUNTS, check_texts

pytestmark = pytest.mark.quick

TASK = tiny.task()
ITEMS = [item.id for item in TASK.items]
PAIR = ["conflict", "congruent"]
CHANGE = {"quantity": "change of the logit gap", "unit": "nats", "origin": "activation patching of deep"}
LONG = "an-organisation/a-model-with-a-long-name-70b-instruct"
NAMES = ["m", LONG]
LARGE = pytest.mark.slow
SHAPES = [(1, 1), (2, 2), (3, 11), (11, 14), (30, 9), pytest.param(80, 64, marks=LARGE)]
"""Layers and heads of the models that are drawn; 11 layers of 14 heads have 154 sites."""


def reading(attrs: Mapping[str, Any], name: str = "deep", size: float = 1.0, **dims: Any) -> Reading:
    """Random values for every item of the tiny task."""
    dims |= {"item": ITEMS}
    values = size * np.random.default_rng(0).uniform(-20, 20, size=[len(names) for names in dims.values()])
    data = DataArray(values, dims=list(dims), coords=dims, attrs=dict(attrs))
    return Reading(Source("models", name, Path("deep"), n_params=10), stored(data, 10))


def results_of(one: Reading) -> ProbeResults:
    return ProbeResults(TASK, Settings(), (), {"probe": (one,)})


def sites(layers: int, heads: int, part: str = "z", *, shared_by: int = 1) -> list[str]:
    names = [f"H{h}" if shared_by == 1 else f"H{h}-{h + shared_by - 1}" for h in range(0, heads, shared_by)]
    return [f"L{layer}{name}.{part}" for layer in range(layers) for name in names]


def mlps(layers: int) -> list[str]:
    return [f"L{layer}.mlp_out" for layer in range(layers)]


def stages(layers: int) -> list[str]:
    return ["L0.resid_pre", *(f"L{n}.{part}" for n in range(layers) for part in ("resid_mid", "resid_post"))]


@pytest.mark.parametrize("layers", [1, 2, 3, 11, 77])  # 77 layers have 154 half layers
def test_the_lens_and_linear_probes_can_be_read(layers: int) -> None:
    attrs = {"quantity": "gap", "unit": "nats; shares", "origin": "logit lens"}
    lens = reading(attrs, LONG, quantity=["logit_gap", "distractor_preference"], stage=stages(layers), condition=PAIR)
    check_texts(draw.lens(results_of(lens), lens, means_of(TASK, lens.data)))
    small = reading(attrs, LONG, 1e-3, quantity=["logit_gap", "distractor_preference"], stage=stages(2), condition=PAIR)
    low, high = draw.lens(results_of(small), small, means_of(TASK, small.data)).axes[0].get_ylim()
    assert low <= -1 < 1 <= high
    probes = reading(
        {"quantity": "accuracy", "unit": "share", "origin": "linear probe"},
        LONG,
        label=list(draw.LABELS),
        control=list(draw.CONTROLS),
        stage=[stage for stage in stages(layers) if not stage.endswith("mid")],
        condition=PAIR,
    )
    check_texts(draw.decoding(results_of(probes), probes, means_of(TASK, probes.data)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("layers", "heads"), SHAPES)
def test_maps_of_heads_can_be_read(layers: int, heads: int, name: str) -> None:
    component = [*sites(layers, heads), *mlps(layers), *sites(layers, heads, "pattern")]
    one = reading(CHANGE, name, pair=["conflict/congruent"], direction=["noising", "denoising"], component=component)
    figure = draw.components(results_of(one), one, means_of(TASK, one.data))
    check_texts(figure)
    columns = [
        {label.get_text(): round(label.get_window_extent().x0, 1) for label in axes.get_xticklabels()}
        for axes in figure.axes[: 2 * 2 : 2]
    ]
    shared = set(columns[0]) & set(columns[1])
    assert len(shared) >= min(heads, 30)
    assert all(columns[0][head] == columns[1][head] for head in shared), "heads are below each other"


def test_a_column_of_shared_keys_is_as_wide_as_its_heads() -> None:
    component = [*sites(3, 9), *mlps(3), *sites(3, 9, "v", shared_by=3)]
    one = reading(CHANGE, condition=PAIR, component=component)
    figure = draw.components(results_of(one), one, means_of(TASK, one.data))
    check_texts(figure)
    heads, _, shared, _ = figure.axes[:4]
    right = [axes.transData.transform((edge, 0))[0] for axes, edge in ((heads, 8.5), (shared, 2.5))]
    assert right[0] == pytest.approx(right[1], abs=1)


@pytest.mark.parametrize(
    ("layers", "roles"),
    [(1, 1), (2, 3), (3, 11), pytest.param(30, 20, marks=LARGE), pytest.param(80, 40, marks=LARGE)],
)
def test_maps_over_the_prompt_can_be_read(layers: int, roles: int) -> None:
    parts = ["resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post"]
    role = [f"before second_letter-{n}" for n in range(roles)]
    names = {"direction": ["noising", "denoising"], "part": parts, "layer": [str(n) for n in range(layers)]}
    one = reading(CHANGE, LONG, pair=["conflict/congruent"], **names, role=role)
    check_texts(draw.positions(results_of(one), one, means_of(TASK, one.data)))
    one = reading(CHANGE, LONG, condition=PAIR, component=sites(layers, 4), role=role)
    check_texts(draw.sources(results_of(one), one, means_of(TASK, one.data)))


@pytest.mark.parametrize("count", COUNTS)
def test_a_waterfall_can_be_read(count: int) -> None:
    component = ["embed", *sites(1 + count // 16, 16)][:count]
    one = reading(CHANGE, LONG, component=component, condition=PAIR)
    check_texts(draw.waterfall(results_of(one), one, means_of(TASK, one.data)))


@pytest.mark.parametrize("words", COUNTS)
def test_attention_on_a_prompt_can_be_read(words: int) -> None:
    role = [f"word-{n}" for n in range(words)]
    one = reading(CHANGE, LONG, component=["L0H0.pattern", "L0H1.pattern"], role=role, condition=PAIR)
    where = ("condition", "role")
    tokens = [[f"{'w' * (1 + n % 9)}" + "\n" * (n % 40 == 39) for n in range(words)] for _ in PAIR]
    places = [list(range(words)) for _ in PAIR]
    shares = abs(one.data) / 20
    shown = Reading(one.source, stored(shares.assign_coords(token=(where, tokens), place=(where, places)), 10))
    results = results_of(shown)
    check_texts(draw.attention(results, shown, means_of(TASK, shown.data), ["L0H0", "L0H1"]))


def over_sizes(count: int, seeds: int, size: float = 1.0) -> ProbeResults:
    """Behaviour and strengths of random models of so many sizes."""
    rng = np.random.default_rng(0)
    params = np.geomspace(70e6, 12e9, count).round().astype(int).tolist()
    shape = len(TASK.conditions), len(ITEMS), 2
    scores = tuple(
        oracles.scored(TASK, size * rng.normal(-3, 1, shape), params[k], seed)
        for k in range(count)
        for seed in range(seeds)
    )
    groups = tuple(item.group for item in TASK.items)
    chosen = ChosenSites(("L0H1.z",), ("L0H0.z",))
    strengths = tuple(Strength(one.source, chosen, groups, *(size * rng.random((2, len(ITEMS))))) for one in scores)
    return ProbeResults(TASK, Settings(), scores, {}, strengths=strengths)


@pytest.mark.parametrize(("count", "seeds"), [(2, 3), (3, 1), (11, 3), pytest.param(154, 1, marks=LARGE)])
def test_sites_over_size_can_be_read(count: int, seeds: int) -> None:
    figure = draw.across(over_sizes(count, seeds))
    check_texts(figure)
    legend = figure.axes[1].get_legend()
    assert legend is not None
    assert ([text.get_text() for text in legend.get_texts()][-1] == style.SEEDS) == (seeds > 1)


def test_sites_that_do_nothing_look_like_nothing() -> None:
    for axes in draw.across(over_sizes(3, 1, 1e-3)).axes:
        low, high = axes.get_ylim()
        assert low <= -1 < 1 <= high


@pytest.mark.parametrize("count", COUNTS[1:])
def test_the_answers_over_size_can_be_read(count: int) -> None:
    sizes = np.geomspace(70e6, 12e9, count).round().astype(int).tolist()
    mean = Mean(0.1, 0.0, 0.2)
    answer = Overcome("suppression at the source", "", mean, omega=mean, kappa=mean)
    points = [AtSize(f"a-model-{size}", size, answer, mean, mean, mean) for size in sizes]
    check_texts(overcoming_over_size("a_task in a_family", points))


@pytest.mark.parametrize("count", [1, 2, 3, 10])
def test_the_chart_of_ranked_sites_can_be_read(count: int) -> None:
    ranked = [
        RankedSite(tuple(sites(2, 16)[: 1 + 4 * k]), "writes the distractor's answer", Mean(1.0, 0.5, 2.0), 0.01)
        for k in range(count)
    ]
    check_texts(panel(lambda axes: ranked_chart(axes, ranked), size_of(ranked)))


def panel(draw_on: Any, size: Sequence[float]) -> Figure:
    figure = Figure(figsize=(size[0], size[1]), layout="constrained")
    axes: Axes = figure.subplots()
    draw_on(axes)
    return figure
