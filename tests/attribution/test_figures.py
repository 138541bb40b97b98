"""Figures of readings that are made up: shares of attention, labels of deep models, and which figures are drawn."""

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from xarray import DataArray

import tiny
from distractor.attribution import figures as draw
from distractor.attribution import report
from distractor.attribution.report import FigurePlan
from distractor.models.source import Source
from distractor.probing.cells import means_of
from distractor.probing.probe_results import ProbeResults
from distractor.probing.readings import Reading, stored
from distractor.runs import colours
from distractor.runs.colours import CONDITIONS
from distractor.runs.figure_set import FigureSet
from distractor.runs.folder import RunFolder
from distractor.runs.page.blocks import Page
from distractor.scoring.settings import Settings
from distractor.text.task import Condition
from probes import PROBES
from shown import check_page

pytestmark = pytest.mark.quick

TASK = tiny.task()
ITEMS = [item.id for item in TASK.items]
PAIR = ["conflict", "congruent"]
CHANGE = {"quantity": "change of the logit gap", "unit": "nats", "origin": "mean ablation of deep"}
SHARE = {"quantity": "attention from the answer slot", "unit": "share", "origin": "attention patterns of deep"}
LAYERS, HEADS, GROUPS = 30, 9, 3


def reading(attrs: Mapping[str, Any], **dims: Any) -> Reading:
    """Random values between -1 and 1 for every item of the tiny task."""
    dims |= {"item": ITEMS}
    values = np.random.default_rng(0).uniform(-1, 1, size=[len(names) for names in dims.values()])
    data = DataArray(values, dims=list(dims), coords=dims, attrs=dict(attrs))
    return Reading(Source("models", "deep", Path("deep"), n_params=10), stored(data, 10))


def results_of(**readings: Reading) -> ProbeResults:
    """Results without behaviour."""
    return ProbeResults(TASK, Settings(), (), {name.replace("__", "/"): (one,) for name, one in readings.items()})


def heads(part: str, *, shared_by: int = 1) -> list[str]:
    """The components of a deep model."""
    names = [f"H{h}" if shared_by == 1 else f"H{h}-{h + shared_by - 1}" for h in range(0, HEADS, shared_by)]
    return [f"L{layer}{name}.{part}" for layer in range(LAYERS) for name in names]


def attention(shares: Mapping[str, Any], prompt: list[str]) -> Reading:
    """Attention of one head with a share, or NaN, for each role and item, and a drawn prompt of some of the roles."""
    roles = list(shares)
    one = reading(SHARE, component=["L0H0.pattern"], role=roles, condition=["conflict"])
    places = [[prompt.index(role) if role in prompt else -1 for role in roles]]
    tokens = [[role if role in prompt else "" for role in roles]]
    values = np.array([np.broadcast_to(share, len(ITEMS)) for share in shares.values()], dtype=float)
    data = one.data.copy(data=values[None, :, None, :])
    data = data.assign_coords(token=(("condition", "role"), tokens), place=(("condition", "role"), places))
    return Reading(one.source, stored(data, 10))


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_the_named_shares_of_attention_sum_to_1_and_name_roles_that_the_drawn_prompt_lacks() -> None:
    is_first = np.arange(len(ITEMS)) % 2 == 0
    shares = {
        "cue": np.where(is_first, 0.7, 0.1),
        "rare": np.where(is_first, np.nan, 0.8),  # the first item, which is drawn, lacks it
        "noun": np.where(is_first, 0.2, np.nan),
        "verb": 0.06,
        "slot": 0.04,
    }
    one = attention(shares, ["cue", "noun", "verb", "slot"])
    results = results_of(attention=one)
    figure = draw.attention(results, one, results.cells["attention"][0], ["L0H0"])
    summary = next(text for text in texts(figure) if "rare" in text)
    assert summary == "cue 0.40, rare 0.40 (not in this prompt), noun 0.10, others 0.10"
    assert sum(map(float, re.findall(r"\d\.\d\d", summary))) == pytest.approx(1)
    title = " ".join(figure.get_suptitle().split())
    assert "means over all items" in title
    assert "a role that an item lacks counts 0" in title
    assert {patch.get_facecolor()[:3] for patch in figure.axes[0].patches} == {to_rgb(colours.ATTENTION)}
    check_page(figure, "attention")


@pytest.mark.parametrize(
    ("component", "columns"),
    [
        (heads("z") + [f"L{layer}.mlp_out" for layer in range(LAYERS)], [*(f"H{h}" for h in range(HEADS)), "MLP"]),
        (heads("v", shared_by=GROUPS), ["H0-2", "H3-5", "H6-8"]),
        (heads("pattern"), [f"H{h}" for h in range(HEADS)]),
    ],
)
def test_labels_of_a_deep_model_are_shown_and_do_not_overlap(component: list[str], columns: list[str]) -> None:
    one = reading(CHANGE, component=component, condition=PAIR)
    results = results_of(ablation=one)
    figure = draw.components(results, one, means_of(TASK, one.data))
    figure.draw_without_rendering()
    for axes in figure.axes[:2]:
        assert [label.get_text() for label in axes.get_xticklabels()] == columns
        for labels, is_upright in ((axes.get_yticklabels(), True), (axes.get_xticklabels(), False)):
            boxes = sorted(
                (box.y0, box.y1) if is_upright else (box.x0, box.x1)
                for label in labels
                if label.get_visible() and label.get_text()
                for box in [label.get_window_extent()]
            )
            assert len(boxes) >= 3
            assert all(before[1] <= after[0] for before, after in pairwise(boxes))
    check_page(figure, "components")


def test_a_map_says_that_grey_cells_were_not_measured() -> None:
    component = heads("z")
    whole = reading(CHANGE, component=component, condition=PAIR)
    some = whole.data.where(whole.data["component"].isin(component[::7]))
    some.attrs |= {"absent": "not measured: its estimated effect is small"}
    screened = Reading(whole.source, stored(some, 10))
    for one, is_grey in ((whole, False), (screened, True)):
        results = results_of(ablation=one)
        figure = draw.components(results, one, means_of(TASK, one.data))
        title = " ".join(figure.get_suptitle().split())
        assert ("grey: not measured: its estimated effect is small" in title) == is_grey
        check_page(figure, "screened components")


def test_a_warning_in_a_title_has_its_words_and_no_numbers() -> None:
    warning = (
        "the estimate disagrees with exact patching: gradient (noising) at z; L0H0.z in conflict (mean 0.1, zero 2)"
    )
    one = reading({**CHANGE, "warning": warning}, component=heads("z")[:4], condition=PAIR)
    figure = draw.components(results_of(ablation=one), one, means_of(TASK, one.data))
    title = " ".join(figure.get_suptitle().split())
    assert title.endswith("exact patching: gradient (noising) at z; L0H0.z in conflict")


@pytest.mark.parametrize(("layers", "shown"), [(3, 7), (30, 10), (80, 12)])
def test_a_lens_names_whole_layers_of_a_deep_model(layers: int, shown: int) -> None:
    stages = ["L0.resid_pre", *(f"L{n}.{part}" for n in range(layers) for part in ("resid_mid", "resid_post"))]
    one = reading(
        {"quantity": "what the model would answer if it stopped there", "unit": "nats; shares", "origin": "logit lens"},
        quantity=["logit_gap", "distractor_preference"], stage=stages, condition=PAIR,
    )  # fmt: skip
    figure = draw.lens(results_of(logit_lens=one), one, means_of(TASK, one.data))
    figure.draw_without_rendering()
    for axes in figure.axes[:2]:
        names = [label.get_text() for label in axes.get_xticklabels()]
        assert (names[0], len(names)) == ("embed", shown)
        assert names[-1] == (f"{layers - 1} MLP" if layers == 3 else str(layers - 1))
        boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
        assert all(before.x1 + 4 < after.x0 for before, after in pairwise(boxes) if layers > 3)
        steps = {int(b) - int(a) for a, b in pairwise(names[1:])} if layers > 3 else {1}
        assert len(steps) == 1
    check_page(figure, "lens")


def test_maps_of_a_deep_model_by_role_fit_a_page() -> None:
    parts = ["resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post"]
    layers, roles = [str(layer) for layer in range(LAYERS)], [f"word-{n}" for n in range(12)]
    one = reading(
        CHANGE, pair=["conflict/congruent"], direction=["noising", "denoising"], part=parts, layer=layers, role=roles
    )
    figure = draw.positions(results_of(activation_patching=one), one, means_of(TASK, one.data))
    check_page(figure, "positions")
    shown = [label.get_window_extent() for label in figure.axes[0].get_yticklabels() if label.get_text()]
    assert len(shown) >= 8
    assert all(above.y0 >= below.y1 or below.y0 >= above.y1 for above, below in pairwise(shown))


def test_a_waterfall_has_blue_steps_to_the_true_answer_and_orange_ones_to_the_distractors() -> None:
    attrs = {"quantity": "contribution to the logit gap", "unit": "nats", "origin": "direct attribution of deep"}
    one = reading(attrs, component=["embed", "L0H0.z", "L0H1.z", "L0.mlp_out"], condition=PAIR)
    results = results_of(direct_attribution=one)
    figure = draw.waterfall(results, one, means_of(TASK, one.data))
    for axes, condition in zip(figure.axes, PAIR, strict=True):
        *steps, gap = axes.patches
        for bar in steps:
            expected = colours.TRUE if bar.get_width() > 0 else colours.DISTRACTOR
            assert bar.get_facecolor()[:3] == to_rgb(expected)
        assert gap.get_facecolor()[:3] == to_rgb(CONDITIONS[Condition(condition)])
    assert "true answer (blue)" in " ".join(figure.get_suptitle().split())
    assert "the distractor's (orange)" in " ".join(figure.get_suptitle().split())


def test_the_main_figures_are_few_and_have_no_control_and_no_failed_estimate_unless_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    names = [name for name in PROBES if name != "attention"] + ["head_patching__distractor_swapped"]
    failed = {"head_attribution_patching": {**CHANGE, "warning": "the estimate disagrees with exact patching"}}
    made = {name: reading(failed.get(name, CHANGE), component=heads("z")[:4], condition=PAIR) for name in names}
    results = results_of(**made)
    monkeypatch.setattr(ProbeResults, "cells_of", lambda _, one: means_of(TASK, one.data))
    monkeypatch.setattr(report, "drawn_models", lambda _: ["deep"])
    left_out = {"chance-deep", "head_attribution_patching-deep"}
    every = list(report.plan_figures(results))
    assert set(every) == {f"{name.replace('__', '.')}-deep" for name in (*names, "waterfall")}
    first = ("logit_lens", "head_patching", "head_patching.distractor_swapped", "ablation")
    assert every[:4] == [f"{name}-deep" for name in first]
    assert set(every[-2:]) == left_out
    assert next(iter(report.plan_figures(results, item=ITEMS[0]))) == "waterfall_of_one_item-deep"

    monkeypatch.setattr(report, "summary", lambda _: {})
    monkeypatch.setattr(
        "distractor.attribution.page.page",
        lambda *_: Page(title="", about="", label="", sentences=(), evidence="", warnings=0, sections=()),
    )
    monkeypatch.setattr(report, "FIGURES", 2)
    monkeypatch.setattr(FigurePlan, "draw", lambda _: Figure(figsize=(1, 1)))

    def drawn(results: ProbeResults, which: FigureSet, *, is_named: bool = False) -> list[str]:
        names: list[str] = report.write(RunFolder(tmp_path), results, which, is_named=is_named)["figures"]["names"]
        assert {file.stem for file in (tmp_path / "figures").glob("*")} == set(names)
        return names

    assert drawn(results, FigureSet.ALL) == every
    assert drawn(results, FigureSet.MAIN) == every[:2]
    assert drawn(results, FigureSet.NONE) == []
    chance = replace(results, readings={"chance": results.readings["chance"]})
    assert drawn(chance, FigureSet.MAIN) == []
    assert drawn(chance, FigureSet.MAIN, is_named=True) == ["chance-deep"]
