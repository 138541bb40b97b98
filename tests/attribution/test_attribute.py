"""Planted sites rank first and chance does not, in results, figures, tables and summary."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from xarray import DataArray, full_like

import wired
from distractor.attribution import figures as draw
from distractor.attribution import report
from distractor.attribution.attribute import attribute, run_steps
from distractor.attribution.size_trends import mean_over_models
from distractor.attribution.tables import tables, top
from distractor.errors import ModelError
from distractor.models.source import Source
from distractor.probing.cells import kind_of
from distractor.probing.probe_results import ProbeResults
from distractor.probing.readings import Reading, stored
from distractor.probing.strengths import choose, first_half
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.statistics.group_values import group_values
from distractor.statistics.intervals import interval_of_models, mean_interval
from distractor.text.task import Condition
from distractor.work import Work, follow
from probes import PROBES
from probes.ablation import Ablation
from shown import check_page, check_widths, printed

TASK = wired.task(8)
CPU = Settings(device="cpu")
ALIKE = ("ablation_zero", "ablation_resample", "attribution_patching", "head_attribution_patching")
READ = {name: probe for name, probe in PROBES.items() if name not in ALIKE}
"""One probe of each kind; the others have the form of one of these."""

TABLES = ("overcoming", "read_out")  # probes without a figure for each model


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> ProbeResults:
    """The probes on two wired models: in the smaller the distractor's head is stronger, in the larger the true one."""
    folder = tmp_path_factory.mktemp("attribute")
    sources = [
        wired.source(folder, "large", at=1, layers=2, first=1.0, second=2.0),
        wired.source(folder, "small", first=2.0, second=0.5),
    ]
    store = Store(folder / "cells")
    with follow(Work(run_steps(TASK, sources, READ, store, CPU))) as work:
        read = attribute(TASK, sources, READ, store=store, settings=CPU)
    assert work.left == []
    assert work.models == (2, 2)
    return read


def test_models_come_smallest_first_and_each_probe_reads_each(results: ProbeResults) -> None:
    assert [scores.source.name for scores in results.scores] == ["small", "large"]
    assert set(READ) <= set(results.readings)
    assert "head_patching/distractor_swapped" in results.readings
    for name, readings in results.readings.items():
        assert [reading.source.name for reading in readings] == ["small", "large"], name
        assert all(kind_of(reading.data) != "other" for reading in readings), name
    assert results.refused == {}


def test_only_planted_sites_are_significant(results: ProbeResults) -> None:
    for name in ("ablation", "direct_attribution", "compensation"):
        cells = results.cells[name][1].sel(condition="conflict")
        cells = cells.sel(path="total") if "path" in cells.dims else cells
        assert set(cells["component"].values[cells["marked"].values]) == {"L1H0.z", "L1H1.z"}, name
    conflict = results.cells["ablation"][1]["mean"].sel(condition="conflict")
    assert conflict.sel(component="L1H0.z") == pytest.approx(1, abs=0.02)
    assert conflict.sel(component="L1H1.z") == pytest.approx(-2, abs=0.02)
    assert sum(int(cells["marked"].sum()) for cells in results.cells["chance"]) <= 1


def test_each_pair_shows_its_own_path(results: ProbeResults) -> None:
    for name, head in (("head_patching", "L1H1.z"), ("head_patching/distractor_swapped", "L1H0.z")):
        cells = results.cells[name][1]
        assert top(results.readings[name][1], cells)[0]["component"] == head
        recovery = cells["recovery"].sel(component=head, direction="noising").item()
        assert recovery == pytest.approx(1, abs=0.02), "the head carries the whole difference"


def with_data(reading: Reading, data: DataArray) -> Reading:
    """The reading with other values."""
    return replace(reading, cell=stored(data))


def estimates_of(results: ProbeResults, effects: Mapping[str, float], estimates: tuple[str, ...]) -> Reading:
    """A patching of the larger model by several estimates, with the given effects and a little noise."""
    kept = results.readings["head_patching"][1]
    random = np.random.default_rng(0)
    shape = (1, len(estimates), 2, len(effects), len(TASK.items))
    values = np.array(list(effects.values()))[:, None] + 0.01 * random.normal(size=shape)
    of_items = {name: kept.data[name] for name in ("pair", "direction", "item", "group", "pair_gap")}
    coords = {**of_items, "estimate": list(estimates), "component": list(effects)}
    dims = ("pair", "estimate", "direction", "component", "item")
    return with_data(kept, DataArray(values, dims=dims, coords=coords, attrs=kept.data.attrs))


def test_estimates_without_sign_are_not_tested_and_each_kind_of_site_is_a_family(results: ProbeResults) -> None:
    effects = {"L0H0.z": -1.0, "L0H1.z": 0.0, "L0H0.pattern": -1.0, **{f"L0H{h}.pattern": 0.0 for h in range(1, 30)}}
    reading = estimates_of(results, effects, ("gradient", "grad_drop", "exact"))
    cells = results.cells_of(reading)
    assert not cells["marked"].sel(estimate="grad_drop").any()
    assert cells[["p", "recovery"]].sel(estimate="grad_drop").isnull().all().to_array().all()
    for estimate in ("gradient", "exact"):
        for direction in ("noising", "denoising"):
            marked = cells["marked"].sel(estimate=estimate, direction=direction).squeeze("pair").values
            # With the smallest p-value of eight groups, one site of two is marked, and one site of thirty is not.
            assert [name for name, mark in zip(effects, marked, strict=True) if mark] == ["L0H0.z"]
    titles = [axes.get_title() for axes in draw.components(results, reading, cells).axes if axes.get_title()]
    assert len(titles) == 8
    assert {title.split(", ")[0] for title in titles} == {"gradient", "exact"}
    assert {title.split(", ")[-1] for title in titles} == {"output", "pattern"}


# Strength of sites.


def test_the_sites_of_each_task_are_chosen_and_measured_on_different_halves(results: ProbeResults) -> None:
    small, large = results.strengths
    assert small.chosen == (("L0H1.z",), ("L0H0.z",))
    assert large.chosen == (("L1H1.z",), ("L1H0.z",))
    for strength, true, distractor in ((small, 0.5, 2.0), (large, 2.0, 1.0)):
        assert strength.mean("true")[0] == pytest.approx(true, abs=0.02)
        assert strength.mean("distractor")[0] == pytest.approx(distractor, abs=0.02)
    groups = [item.group for item in TASK.items]
    half = first_half(groups, TASK.items)
    assert set(small.groups) == {group for group, is_first in zip(groups, half, strict=True) if not is_first}
    assert choose(results.readings["ablation"][1], half, groups) == large.chosen, (
        "ablation alone chooses the same sites"
    )


def test_over_seeds_the_interval_is_that_of_their_mean(results: ProbeResults) -> None:
    small, large = results.strengths
    for pull, task in (("true_pull", "true"), ("distractor_pull", "distractor")):
        one, both = (mean_over_models(results, models, pull, of_sites=True) for models in ([1], [0, 1]))
        assert one is not None
        assert both is not None
        assert_allclose(one, large.mean(task))
        assert_allclose(both, mean_interval((getattr(small, task) + getattr(large, task)) / 2, small.groups))
        assert_allclose(mean_over_models(results, [0], pull, of_sites=False) or (), results.behaviour(0, pull) or ())


def test_over_three_seeds_the_interval_is_of_level_2(results: ProbeResults) -> None:
    of_size = [
        replace(scores, source=replace(scores.source, family="f", model="m", n_params=9, seed=seed))
        for seed, scores in enumerate((*results.scores, results.scores[0]))
    ]
    made = replace(results, scores=tuple(of_size), readings={}, strengths=())
    assert made.interval_level == 2
    mean = mean_over_models(made, [0, 1, 2], "true_pull", of_sites=False)
    values = group_values(np.array([made.item_values(model, "true_pull") for model in range(3)])[:, None], made.groups)
    assert_allclose(mean or (), [end[0] for end in interval_of_models(values)])


def test_shares_at_a_limit_have_intervals_that_reach_inwards(results: ProbeResults) -> None:
    log_probs = results.scores[0].log_probs.copy()
    log_probs[..., 0] = -5000  # preference is 1 on every item
    made = replace(results, scores=(replace(results.scores[0], log_probs=log_probs), *results.scores[1:]))
    mean = made.behaviour(0, "distractor_preference", Condition.CONFLICT)
    assert mean is not None
    assert mean.mean == mean.high == 1
    assert mean.low == pytest.approx(0.025 ** (1 / 8))
    assert (made.behaviour(0, "logit_gap", Condition.CONFLICT) or mean).low < -1

    lens = results.readings["logit_lens"][0]
    shares = lens.data.copy()
    shares.loc[{"quantity": "distractor_preference"}] = 1
    low = results.cells_of(with_data(lens, shares))["low"]
    assert_allclose(low.sel(quantity="distractor_preference"), 0.025 ** (1 / 8))
    assert low.sel(quantity="logit_gap").min() < -1


# Figures, tables, summary.


@pytest.fixture(scope="module")
def drawn(results: ProbeResults) -> Mapping[str, Any]:
    """All figures of the larger model."""
    of_large = {name: readings[1:] for name, readings in results.readings.items()}
    plans = report.plan_figures(replace(results, readings=of_large), item=TASK.items[3].id)
    return {name: plan.draw() for name, plan in plans.items()}


def test_every_reading_has_a_figure_that_fits_its_page(results: ProbeResults, drawn: Mapping[str, Any]) -> None:
    names = {f"{name.replace('/', '.')}-large" for name in results.readings if name not in TABLES}
    assert set(drawn) == names | {"across", "waterfall-large", "waterfall_of_one_item-large"}
    one_of_each = ("logit_lens", "linear_probe", "attention", "ablation", "head_patching", "chance")
    one_of_each += ("activation_patching.distractor_swapped", "direct_attribution_by_role", "waterfall")
    for name in (*(f"{kind}-large" for kind in one_of_each), "across"):
        check_page(drawn[name], name)


def test_steps_are_not_drawn_as_seeds(results: ProbeResults) -> None:
    scores = tuple(
        replace(one, source=replace(one.source, family="mine", model="one", seed=0, step=step, is_final=False))
        for step, one in enumerate(results.scores)
    )
    ablation = zip(results.readings["ablation"], scores, strict=True)
    readings = {"ablation": tuple(replace(reading, source=one.source) for reading, one in ablation)}
    assert "across" not in report.plan_figures(replace(results, scores=scores, readings=readings))


def test_marked_cells_are_framed(results: ProbeResults, drawn: Mapping[str, Any]) -> None:
    framed = sum(len(axes.patches) for axes in drawn["ablation-large"].axes[:2])
    assert framed == int(results.cells["ablation"][1]["marked"].sum()) == 4


def test_a_waterfall_ends_at_the_gap(results: ProbeResults, drawn: Mapping[str, Any]) -> None:
    gap = results.readings["logit_lens"][1].data.sel(quantity="logit_gap", condition="conflict").isel(stage=-1)
    bars = drawn["waterfall-large"].axes[0].patches
    assert bars[-1].get_width() == pytest.approx(float(gap.mean()), abs=1e-4)
    assert sum(bar.get_width() for bar in bars[:-1]) == pytest.approx(bars[-1].get_width(), abs=1e-6)
    of_item = drawn["waterfall_of_one_item-large"].axes[0].patches
    assert of_item[-1].get_width() == pytest.approx(float(gap[3]), abs=1e-4)


def test_attention_is_drawn_on_the_words_of_the_prompt(drawn: Mapping[str, Any]) -> None:
    words = [text.get_text() for text in drawn["attention-large"].axes[0].texts]
    assert words[words.index("fact") :][:5] == ["fact", "A", "but", "B", ":"]
    assert any(word.startswith("L1H0, conflict") for word in words)


@pytest.mark.quick
def test_a_prompt_breaks_at_newlines_and_full_lines() -> None:
    words = [["one", "a"], ["\n", "b"], ["x" * 60, "c"], ["y" * 60, "d"], ["", "e"]]
    lines = draw._prompt_lines(words)
    assert [[text for _, text, _ in line] for line in lines] == [["one", "↵"], ["x" * 60], ["y" * 60, "␣"]]
    assert all(start + len(text) <= draw.LINE for line in lines for start, text, _ in line)


def test_the_summary_is_json_without_nan_and_names_what_was_planted(results: ProbeResults) -> None:
    summary = json.loads(json.dumps(report.summary(results), allow_nan=False))
    assert summary["readings"]["logit_lens"][1]["divergence"]["stage"] == "L1.resid_mid"
    first = summary["readings"]["ablation"][1]["top"][0]
    assert first["component"] == "L1H1.z"
    assert first["marked"] is True
    assert first["low"] <= first["mean"] <= first["high"]
    assert summary["strengths"][1]["true"]["sites"] == ["L1H1.z"]
    assert summary["first"]["sites"]["onset"]["call"] == "not defined"


def test_tables_fit_the_terminal_and_mark_planted_sites(results: ProbeResults) -> None:
    assert re.search(r"L1H1\.z +-2\.\d\d \[.*\]\*", printed(tables(results)))


def test_how_the_distractor_is_overcome_is_printed_with_its_reason(results: ProbeResults) -> None:
    small, large = report.summary(results)["overcoming"]["models"]
    assert (small["label"], large["label"]) == ("override", "override")
    assert large["omega"]["mean"] == pytest.approx(1, abs=0.02)
    assert large["kappa"]["mean"] == pytest.approx(1, abs=0.02)
    assert [site["site"] for site in large["sites"]] == ["L1H0.z"]
    assert "not overcome" in small["cautions"][0]
    assert large["cautions"] == []
    text = " ".join(printed(tables(results)).split())
    assert "How the distractor is overcome, these weights" in text
    assert f"large: override. {large['reason'][0].upper()}{large['reason'][1:]}." in text
    assert "L1H0.z (carried, ω 1.00, 100%)" in text


def test_tables_fit_every_width(results: ProbeResults) -> None:
    check_widths(lambda: tables(results))


def test_items_that_one_model_lacks_do_not_count(results: ProbeResults) -> None:
    log_probs = results.scores[0].log_probs.copy()
    log_probs[TASK.conditions.index(Condition.CONGRUENT), :5] = np.nan  # two whole groups, and half of a third group
    made = replace(results, scores=(replace(results.scores[0], log_probs=log_probs), results.scores[1]), readings={})
    assert printed(tables(made)).startswith("wired: 11 items in 6 groups")
    summary = report.summary(made)
    assert (summary["items"], summary["groups"]) == (11, 6)


def test_a_rare_role_is_counted_and_not_ranked_first(results: ProbeResults) -> None:
    reading = results.readings["attention"][-1]
    name, other = [str(role) for role in reading.data["role"].values if role not in ("bos", "slot")][:2]
    n_items = reading.data.sizes["item"]

    def rows(having: int) -> list[str]:
        """The table of an attention reading: `having` items have one role, and all items attend equally to the other
        roles.
        """
        data = full_like(reading.data, 0.3)
        data.loc[{"role": name}] = np.where(np.arange(n_items) < having, 0.9, np.nan)
        made = replace(results, readings={"attention": (with_data(reading, data),)}, strengths=())
        text = printed(tables(made))
        return [line for line in text.splitlines() if " at " in line]

    assert f"at {name}, in {n_items // 2 / n_items:.0%} of items" in rows(n_items // 2)[0]
    assert f"at {other} " in rows(n_items // 4)[0]


def test_a_long_model_name_is_shortened_in_the_middle_only_where_it_must(results: ProbeResults) -> None:
    source = replace(
        results.scores[0].source, family="ladder/negation_qa", model="80x2", seed=780, step=750, is_final=False
    )
    long = replace(source, model="a_name_of_many_letters")
    made = replace(
        results,
        scores=(replace(results.scores[0], source=long), results.scores[1]),
        strengths=(replace(results.strengths[0], source=source), results.strengths[1]),
        readings={},
    )
    assert long.name in printed(tables(made))
    first = [line.split()[0] for line in printed(tables(made), 60).splitlines() if line.strip()]
    assert any(re.fullmatch(r"ladder.*….*/seed780@750", name) for name in first)


def test_missing_shares_are_explained_if_the_gaps_do_not_differ(results: ProbeResults) -> None:
    kept = results.readings["head_patching"][1]
    level = with_data(kept, kept.data.assign_coords(pair_gap=("item", [1.0, -1.0] * 8)))
    for reading, has_shares in ((kept, True), (level, False)):
        made = replace(results, readings={"head_patching": (reading,)}, strengths=())
        why = report.summary(made)["readings"]["head_patching"][0]["no_recovery"]
        assert (why is None) == has_shares
        assert why is None or why in printed(tables(made))


# Refusals.


@dataclass(frozen=True)
class Refusing(Ablation):
    """A probe that fails in every model."""

    def __call__(self, run: Any) -> Any:
        raise ModelError("no such thing here")


def test_a_probe_that_fails_is_listed_or_raises(tmp_path: Path) -> None:
    source, store = wired.source(tmp_path, "one"), Store(tmp_path / "cells")
    probes = {"refusing": Refusing(), "attention": PROBES["attention"]}
    with pytest.raises(ModelError, match="no such thing here"):
        attribute(TASK, [source], probes, store=store, settings=CPU)
    read = attribute(TASK, [source], probes, store=store, settings=CPU, forgive=True)
    assert read.refused == {("refusing", "one"): "no such thing here"}
    assert list(read.readings) == ["attention"]
    with pytest.raises(ModelError, match="no such thing here"):
        attribute(TASK, [source], {"refusing": Refusing()}, store=store, settings=CPU, forgive=True)


def test_without_congruent_prompts_other_probes_are_still_read(tmp_path: Path) -> None:
    items = tuple(
        replace(item, prompts={c: text for c, text in item.prompts.items() if c is not Condition.CONGRUENT})
        for item in TASK.items
    )
    task, store = replace(TASK, items=items), Store(tmp_path / "cells")
    read = attribute(task, [wired.source(tmp_path, "one")], READ, store=store, settings=CPU, forgive=True)
    assert "logit_lens" in read.readings
    assert "congruent" in read.refused["ablation", "one"]
    json.dumps(report.summary(read), allow_nan=False)
    for plan in report.plan_figures(read).values():
        plan.draw()


def test_of_many_models_one_must_have_the_head_and_unknown_models_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = [wired.source(tmp_path, "flat"), wired.source(tmp_path, "deep", layers=2)]
    with pytest.raises(ModelError, match="flat has no head L1H0; it has L0H0 to L0H3"):
        report.check_heads(["L1H0"], sources)
    monkeypatch.setattr(report, "DRAWN_MODELS", 1)
    report.check_heads(["L1H0"], sources)
    with pytest.raises(ModelError, match="flat has no head L2H0"):
        report.check_heads(["L1H0", "L2H0"], sources)
    report.check_heads(["L2H0"], [*sources, Source("models", "unknown", tmp_path)])


def test_a_head_that_a_drawn_model_lacks_is_refused(results: ProbeResults) -> None:
    of_small = replace(results, readings={"attention": results.readings["attention"][:1]})
    with pytest.raises(ModelError, match="small has no head L1H0; it has L0H0 to L0H3"):
        report.plan_figures(of_small, heads=["L1H0"])
