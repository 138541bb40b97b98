"""Attribution as a whole: planted sites come out on top, chance does not; it is kept, drawn, told and refused."""

import io
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from rich.console import Console
from xarray import DataArray, full_like, testing

import small_ladder
import tiny
import wired
from conftest import Loaded
from distractor.attribution import figures as maps
from distractor.attribution import report as attribute_report
from distractor.attribution.attribute import attribute, count
from distractor.attribution.tables import tables, top
from distractor.errors import ModelError, TaskError
from distractor.models import families
from distractor.models import load as load_module
from distractor.models.heads import head_names
from distractor.models.source import Source
from distractor.probing import run as run_module
from distractor.probing.cells import kind_of
from distractor.probing.measure import measure
from distractor.probing.read_probes import ProbeResults, check_request
from distractor.probing.readings import Reader, Reading
from distractor.probing.strengths import ChosenSites, choose, first_half, losses, strength
from distractor.runs.style import in_cell
from distractor.runs.tables import WIDTH
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.statistics.groups import mean_interval
from distractor.text.task import Condition
from probes import PROBES
from probes.ablation import Ablation
from small_ladder import type_in

TASK = wired.task(8)
CPU = Settings(device="cpu")
ALIKE = ("ablation_zero", "ablation_resample", "attribution_patching", "head_attribution_patching")
READ = {name: probe for name, probe in PROBES.items() if name not in ALIKE}
"""One probe of each kind: what is left out has the form of another."""


def wire(folder: Path, name: str, *, at: int = 0, layers: int = 1, **strengths: float) -> Source:
    flat = wired.save(folder / f"{name}-flat", wired.Strengths(**strengths))
    deep = wired.deepen(flat, folder / name, at=at, layers=layers) if layers > 1 else flat
    return Source("models", name, deep)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> tuple[ProbeResults, Store]:
    """The probes on two wired models: in the smaller the distractor's head is the stronger, in the larger the true one."""
    folder = tmp_path_factory.mktemp("attribute")
    sources = [
        wire(folder, "large", at=1, layers=2, first=1.0, second=2.0),
        wire(folder, "small", first=2.0, second=0.5),
    ]
    store = Store(folder / "cells")
    done: list[str] = []
    found = attribute(TASK, sources, READ, store=store, settings=CPU, advance=done.append)
    assert len(done) == count(TASK, sources, READ)
    return found, store


def test_models_come_smallest_first_and_each_probe_reads_each(everything: tuple[ProbeResults, Store]) -> None:
    found, _ = everything
    assert [scores.source.name for scores in found.scores] == ["small", "large"]
    assert set(READ) <= set(found.readings)
    assert "head_patching/distractor_swapped" in found.readings
    for name, readings in found.readings.items():
        assert [reading.source.name for reading in readings] == ["small", "large"], name
        assert all(kind_of(reading.data) != "other" for reading in readings), name
    assert found.refused == {}


def test_planted_sites_stand_out_and_nothing_else(everything: tuple[ProbeResults, Store]) -> None:
    found, _ = everything
    for name in ("ablation", "direct_attribution", "compensation"):
        cells = found.cells[name][1]
        marked = cells["marked"].sel({"condition": "conflict", **({"path": "total"} if "path" in cells.dims else {})})
        marked = set(marked["component"].values[marked.values])
        assert marked == {"L1H0.z", "L1H1.z"}, name
    cells = found.cells["ablation"][1]
    conflict = cells["mean"].sel(condition="conflict")
    assert conflict.sel(component="L1H0.z") == pytest.approx(1, abs=0.02)
    assert conflict.sel(component="L1H1.z") == pytest.approx(-2, abs=0.02)
    assert sum(int(cells["marked"].sum()) for cells in found.cells["chance"]) <= 1


def test_each_pair_shows_its_own_path(everything: tuple[ProbeResults, Store]) -> None:
    found, _ = everything
    for name, head in (("head_patching", "L1H1.z"), ("head_patching/distractor_swapped", "L1H0.z")):
        cells = found.cells[name][1]
        assert top(found.readings[name][1], cells)[0]["component"] == head
        recovery = cells["recovery"].sel(component=head, direction="noising").item()
        assert recovery == pytest.approx(1, abs=0.02), "the head carries the whole difference"


def test_what_is_kept_is_what_was_read(everything: tuple[ProbeResults, Store], tmp_path: Path) -> None:
    found, _ = everything
    source = found.scores[1].source
    loaded = load_module.load(source.folder, name=source.name, device="cpu")
    for name in ("logit_lens", "attention", "linear_probe", "direct_attribution_by_role"):
        fresh = measure(loaded, TASK, PROBES[name])
        kept = found.readings[name][1]
        testing.assert_allclose(kept.data, fresh, atol=1e-5)
        assert (kept.data.name, kept.data.attrs) == (fresh.name, fresh.attrs)
        row = kept.table.slice(kept.table.num_rows // 2, 1).to_pylist()[0]
        value = fresh.sel({dim: row[dim] for dim in fresh.dims})
        assert row["value"] == pytest.approx(float(value), abs=1e-5, nan_ok=True)


def test_a_second_time_no_model_is_loaded(
    everything: tuple[ProbeResults, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, store = everything
    monkeypatch.setattr(load_module, "load", lambda *_, **__: pytest.fail("a model was loaded"))
    again = attribute(TASK, [scores.source for scores in found.scores], READ, store=store, settings=CPU)
    for name, readings in found.readings.items():
        for one, other in zip(readings, again.readings[name], strict=True):
            assert one.data.identical(other.data), name


def test_a_model_is_loaded_once_for_all_probes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[Path] = []
    load = load_module.load
    monkeypatch.setattr(load_module, "load", lambda folder, **more: loads.append(folder) or load(folder, **more))
    reader = Reader(TASK, wire(tmp_path, "one"), Store(tmp_path / "cells"), CPU)
    for name in ("logit_lens", "direct_attribution", "attention"):
        reader.read(PROBES[name])
    assert len(loads) == 1


def test_only_what_was_asked_for_is_kept_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lens, attribution and attention keep of the stream and the patterns no more than the answer slot."""
    seen: dict[str, int] = {}
    observe = run_module.observe

    def watch(*args: Any, **more: Any) -> Any:
        found = observe(*args, **more)
        seen.update({str(site): value.shape[3 if site.part == "pattern" else 2] for site, value in found.seen.items()})
        return found

    monkeypatch.setattr("distractor.probing.measure.observe", watch)
    loaded = load_module.load(wire(tmp_path, "one").folder, device="cpu")
    for name in ("logit_lens", "direct_attribution", "attention"):
        measure(loaded, TASK, PROBES[name])
    assert set(seen.values()) == {1}
    assert set(seen) == {f"L0.{part}" for part in ("resid_pre", "attn_out", "mlp_out", "resid_post", "z", "pattern")}


def made(found: ProbeResults, effects: Mapping[str, float], estimates: tuple[str, ...]) -> Reading:
    """Patches of heads of the larger model by several estimates, with the effects as given and a little noise."""
    kept = found.readings["head_patching"][1]
    random = np.random.default_rng(0)
    shape = (1, len(estimates), 2, len(effects), len(TASK.items))
    values = np.array(list(effects.values()))[:, None] + 0.01 * random.normal(size=shape)
    of_items = {name: kept.data[name] for name in ("pair", "direction", "item", "group", "pair_gap")}
    coords = {**of_items, "estimate": list(estimates), "component": list(effects)}
    dims = ("pair", "estimate", "direction", "component", "item")
    return replace(kept, data=DataArray(values, dims=dims, coords=coords, attrs=kept.data.attrs))


def test_what_has_no_sign_is_not_tested_and_kinds_of_sites_are_families_of_their_own(
    everything: tuple[ProbeResults, Store],
) -> None:
    found, _ = everything
    effects = {"L0H0.z": -1.0, "L0H1.z": 0.0, "L0H0.pattern": -1.0, **{f"L0H{h}.pattern": 0.0 for h in range(1, 30)}}
    cells = found.cells_of(made(found, effects, ("gradient", "grad_drop", "exact")))
    assert not cells["marked"].sel(estimate="grad_drop").any()
    assert cells[["p", "recovery"]].sel(estimate="grad_drop").isnull().all().to_array().all()
    for estimate in ("gradient", "exact"):
        for direction in ("noising", "denoising"):
            marked = cells["marked"].sel(estimate=estimate, direction=direction).squeeze("pair").values
            # With the smallest p that eight groups can have, one of two is marked, and one of thirty is not.
            assert [name for name, mark in zip(effects, marked, strict=True) if mark] == ["L0H0.z"]
    drawn = maps.components(found, made(found, effects, ("gradient", "grad_drop", "exact")), cells)
    titles = [axes.get_title() for axes in drawn.axes if axes.get_title()]
    assert len(titles) == 8
    assert {title.split(", ")[0] for title in titles} == {"gradient", "exact"}
    assert {title.split(", ")[-1] for title in titles} == {"output", "pattern"}


# Strengths of sites, over models.


def test_the_sites_of_each_task_are_chosen_and_weighed_for_what_they_carry(
    everything: tuple[ProbeResults, Store],
) -> None:
    found, _ = everything
    small, large = found.strengths
    assert small.chosen == (("L0H1.z",), ("L0H0.z",))
    assert large.chosen == (("L1H1.z",), ("L1H0.z",))
    for one, true, distractor in ((small, 0.5, 2.0), (large, 2.0, 1.0)):
        assert one.mean("true")[0] == pytest.approx(true, abs=0.02)
        assert one.mean("distractor")[0] == pytest.approx(distractor, abs=0.02)
    half = first_half([item.group for item in TASK.items], TASK.items)
    assert set(small.groups) == {item.group for item, is_first in zip(TASK.items, half, strict=True) if not is_first}


def test_by_knock_out_alone_the_same_sites_are_chosen(everything: tuple[ProbeResults, Store]) -> None:
    found, _ = everything
    groups = [item.group for item in TASK.items]
    half = first_half(groups, TASK.items)
    assert choose(found.readings["ablation"][1], half, groups) == (("L1H1.z",), ("L1H0.z",))


def test_losses_are_those_of_the_two_pulls() -> None:
    from distractor.scoring.quantities import distractor_pull, true_pull

    random = np.random.default_rng(0)
    gap, effect, neutral = random.normal(size=(3, 2, 9))
    true, distractor = losses(effect)
    after = gap + effect
    assert_allclose(true, true_pull(*gap) - true_pull(*after))
    assert_allclose(distractor, distractor_pull(*gap, neutral[0]) - distractor_pull(*after, neutral[0]))


def test_over_seeds_the_interval_is_that_of_their_mean(everything: tuple[ProbeResults, Store]) -> None:
    found, _ = everything
    small, large = found.strengths
    for pull, which in (("true_pull", "true"), ("distractor_pull", "distractor")):
        one, both = found.over_seeds([1], pull, of_sites=True), found.over_seeds([0, 1], pull, of_sites=True)
        assert one is not None
        assert both is not None
        assert_allclose(one, large.mean(which))
        assert_allclose(both, mean_interval((getattr(small, which) + getattr(large, which)) / 2, small.groups))
        assert_allclose(found.over_seeds([0], pull, of_sites=False) or (), found.behaviour(0, pull) or ())


def test_shares_have_intervals_between_0_and_1_that_reach_inwards(everything: tuple[ProbeResults, Store]) -> None:
    found, _ = everything
    log_probs = found.scores[0].log_probs.copy()
    log_probs[..., 0] = -5000  # preference is 1 on every item
    made = replace(found, scores=(replace(found.scores[0], log_probs=log_probs), *found.scores[1:]))
    mean = made.behaviour(0, "distractor_preference", Condition.CONFLICT)
    assert mean is not None
    assert mean.mean == mean.high == 1
    assert mean.low == pytest.approx(0.025 ** (1 / 8))
    assert (made.behaviour(0, "logit_gap", Condition.CONFLICT) or mean).low < -1

    lens = found.readings["logit_lens"][0]
    shares = lens.data.copy()
    shares.loc[{"quantity": "distractor_preference"}] = 1
    low = found.cells_of(replace(lens, data=shares))["low"]
    assert_allclose(low.sel(quantity="distractor_preference"), 0.025 ** (1 / 8))
    assert low.sel(quantity="logit_gap").min() < -1


def test_steps_are_not_drawn_as_seeds(everything: tuple[ProbeResults, Store]) -> None:
    found, _ = everything
    assert "across" in attribute_report.figures(found)
    scores = tuple(
        replace(one, source=replace(one.source, family="mine", model="one", seed=0, step=step, is_final=False))
        for step, one in enumerate(found.scores)
    )
    readings = {
        name: tuple(replace(r, source=one.source) for r, one in zip(many, scores, strict=True))
        for name, many in found.readings.items()
        if name == "ablation"
    }
    assert "across" not in attribute_report.figures(replace(found, scores=scores, readings=readings))


def test_no_sites_have_no_strength(everything: tuple[ProbeResults, Store]) -> None:
    found, _ = everything
    groups = [item.group for item in TASK.items]
    one = strength(found.scores[0].source, ChosenSites((), ()), first_half(groups, TASK.items), groups, None, None)
    assert one.mean("true") == (0, 0, 0)


# Drawn and told.


@pytest.fixture(scope="module")
def drawn(everything: tuple[ProbeResults, Store]) -> Mapping[str, Any]:
    """All figures of the larger model."""
    found, _ = everything
    return attribute_report.figures(
        replace(found, readings={name: many[1:] for name, many in found.readings.items()}), item=TASK.items[3].id
    )


def test_every_reading_has_its_figure_and_none_stands_out_of_its_page(
    everything: tuple[ProbeResults, Store], drawn: Mapping[str, Any]
) -> None:
    found, _ = everything
    wanted = {f"{name.replace('/', '-')}-large" for name in found.readings}
    assert set(drawn) == wanted | {"across", "waterfall-large", "waterfall-of-one-item-large"}
    one_of_each = ("logit_lens", "linear_probe", "attention", "ablation", "head_patching", "chance")
    one_of_each += ("activation_patching-distractor_swapped", "direct_attribution_by_role", "waterfall")
    for name in (*(f"{kind}-large" for kind in one_of_each), "across"):
        figure = drawn[name]
        assert figure.get_suptitle(), name
        figure.draw_without_rendering()
        width, height = figure.get_size_inches()
        box = figure.get_tightbbox()
        assert box.x0 > -0.1, name
        assert box.x1 < width + 0.1, name
        assert box.y0 > -0.1, name
        assert box.y1 < height + 0.1, name
        assert height < 20, name


def test_cells_that_stand_out_are_framed(everything: tuple[ProbeResults, Store], drawn: Mapping[str, Any]) -> None:
    found, _ = everything
    cells = found.cells["ablation"][1]
    framed = sum(len(axes.patches) for axes in drawn["ablation-large"].axes[:2])
    assert framed == int(cells["marked"].sum()) == 4


def test_a_waterfall_ends_at_the_gap(everything: tuple[ProbeResults, Store], drawn: Mapping[str, Any]) -> None:
    found, _ = everything
    gap = found.readings["logit_lens"][1].data.sel(quantity="logit_gap", condition="conflict").isel(stage=-1)
    bars = drawn["waterfall-large"].axes[0].patches
    assert bars[-1].get_width() == pytest.approx(float(gap.mean()), abs=1e-4)
    assert sum(bar.get_width() for bar in bars[:-1]) == pytest.approx(bars[-1].get_width(), abs=1e-6)
    one = drawn["waterfall-of-one-item-large"].axes[0].patches
    assert one[-1].get_width() == pytest.approx(float(gap[3]), abs=1e-4)


def test_attention_is_drawn_on_the_words_of_the_prompt(drawn: Mapping[str, Any]) -> None:
    words = [text.get_text() for text in drawn["attention-large"].axes[0].texts]
    assert words[words.index("fact") :][:5] == ["fact", "A", "but", "B", ":"]
    assert any(word.startswith("L1H0, conflict") for word in words)


def test_the_summary_is_json_without_nan_and_names_what_was_planted(everything: tuple[ProbeResults, Store]) -> None:
    found, _ = everything
    told = json.loads(json.dumps(attribute_report.summary(found), allow_nan=False))
    assert told["readings"]["logit_lens"][1]["divergence"]["stage"] == "L1.resid_mid"
    top_site = told["readings"]["ablation"][1]["top"][0]
    assert top_site["component"] == "L1H1.z"
    assert top_site["marked"] is True
    assert top_site["low"] <= top_site["mean"] <= top_site["high"]
    assert told["strengths"][1]["true"]["sites"] == ["L1H1.z"]
    assert told["first"]["sites"]["onset"]["call"] == "not defined"


def printed(found: ProbeResults) -> str:
    console = Console(width=400, file=io.StringIO(), highlight=False)
    for table in tables(found):
        console.print(table)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_tables_fit_the_terminal(everything: tuple[ProbeResults, Store]) -> None:
    lines = printed(everything[0]).splitlines()
    of_tables = [
        line.rstrip() for line in lines if not line.startswith(("Conflict", "*", "sites:", "behaviour:", "MIND"))
    ]
    assert max(map(len, of_tables)) <= WIDTH, max(of_tables, key=len)
    assert any(re.search(r"L1H1\.z +-2\.\d\d \[.*\]\*", line) for line in lines)


def test_items_that_one_model_is_not_posed_are_not_counted(everything: tuple[ProbeResults, Store]) -> None:
    found, _ = everything
    log_probs = found.scores[0].log_probs.copy()
    log_probs[TASK.conditions.index(Condition.CONGRUENT), :5] = np.nan  # of three groups, the third by half
    made = replace(found, scores=(replace(found.scores[0], log_probs=log_probs), found.scores[1]), readings={})
    assert printed(made).startswith("wired: 11 items in 6 groups (means;")
    told = attribute_report.summary(made)
    assert (told["items"], told["groups"]) == (11, 6)


def test_a_word_that_few_items_have_says_so_and_does_not_stand_before_the_others(
    everything: tuple[ProbeResults, Store],
) -> None:
    found, _ = everything
    reading = found.readings["attention"][-1]
    name, other = [str(role) for role in reading.data["role"].values if role not in ("bos", "slot")][:2]
    count = reading.data.sizes["item"]

    def rows(having: int) -> list[str]:
        """Where these few look at nothing else, and everybody at all other words alike."""
        rare = replace(reading, data=full_like(reading.data, 0.3))
        rare.data.loc[{"role": name}] = np.where(np.arange(count) < having, 0.9, np.nan)
        shown = printed(replace(found, readings={"attention": (rare,)}))
        return [line for line in shown.splitlines() if " at " in line]

    assert f"at {name}, of {count // 2 / count:.0%} of items" in rows(count // 2)[0]
    assert f"at {other} " in rows(count // 4)[0]


def test_a_name_that_is_cut_is_seen_to_be_cut(everything: tuple[ProbeResults, Store]) -> None:
    found, _ = everything
    source = replace(found.scores[0].source, family="ladder", model="80x2", seed=780, step=750, is_final=False)
    long = replace(source, model="a_name_of_many_letters")
    made = replace(
        found,
        scores=(replace(found.scores[0], source=long), found.scores[1]),
        strengths=(replace(found.strengths[0], source=source), found.strengths[1]),
        readings={},
    )
    first = [line.split()[0] for line in printed(made).splitlines() if line]
    assert "…r/80x2/seed780@750" in first
    assert f"…{long.name[-29:]}" in first


def test_why_there_are_no_shares_is_told_where_the_gaps_do_not_differ(everything: tuple[ProbeResults, Store]) -> None:
    found, _ = everything
    kept = found.readings["head_patching"][1]
    level = replace(kept, data=kept.data.assign_coords(pair_gap=("item", [1.0, -1.0] * 8)))
    for reading, is_told in ((kept, False), (level, True)):
        made = replace(found, readings={"head_patching": (reading,)}, strengths=())
        why = attribute_report.summary(made)["readings"]["head_patching"][0]["no_recovery"]
        assert (why is not None) == is_told
        assert ("gaps do not differ" in printed(made)) == is_told


# Refused.


@dataclass(frozen=True)
class Refusing(Ablation):
    """A probe that no model suits."""

    def __call__(self, run: Any) -> Any:
        raise ModelError("no such thing here")


def test_a_probe_that_cannot_be_read_is_told_or_raised(tmp_path: Path) -> None:
    source, store = wire(tmp_path, "one"), Store(tmp_path / "cells")
    probes = {"refusing": Refusing(), "attention": PROBES["attention"]}
    with pytest.raises(ModelError, match="no such thing here"):
        attribute(TASK, [source], probes, store=store, settings=CPU)
    found = attribute(TASK, [source], probes, store=store, settings=CPU, forgive=True)
    assert found.refused == {("refusing", "one"): "no such thing here"}
    assert list(found.readings) == ["attention"]
    with pytest.raises(ModelError, match="no probe could be read: no such thing here"):
        attribute(TASK, [source], {"refusing": Refusing()}, store=store, settings=CPU, forgive=True)


def test_a_reading_that_is_no_number_is_refused_and_the_item_named(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Broken(Ablation):
        def __call__(self, run: Any) -> Any:
            reading = super().__call__(run)
            reading[0, 0, 5] = np.nan
            return reading

    loaded = load_module.load(wire(tmp_path, "one").folder, device="cpu")
    with pytest.raises(ModelError, match=r"NaN\) in 1 of 16 items, first 2B"):
        measure(loaded, TASK, Broken())


def test_what_cannot_be_attributed_is_refused_beforehand() -> None:
    with pytest.raises(ModelError, match="bfloat16 was asked for, too coarse"):
        check_request(TASK, Settings(dtype="bfloat16"))
    with pytest.raises(TaskError, match="all 2 items are of the group '0'"):
        check_request(TASK.take(2), CPU)
    check_request(TASK.take(6), CPU)
    with pytest.raises(TaskError, match="6 items are of 3 groups, and sites are chosen on half of the groups"):
        check_request(TASK.take(6), CPU, halved=True)
    check_request(TASK.take(8), CPU, halved=True)
    with pytest.raises(TaskError, match=r"there is no item '0C' among the 16 of wired: did you mean 0"):
        check_request(TASK, CPU, item="0C")
    with pytest.raises(ModelError, match=r"'1\.0' is no head: heads are named by layer and place, as L1H0"):
        check_request(TASK, CPU, heads=["1.0"])


def test_a_task_without_congruent_prompts_can_still_be_read_with_what_does_not_need_them(tmp_path: Path) -> None:
    items = tuple(
        replace(item, prompts={c: text for c, text in item.prompts.items() if c is not Condition.CONGRUENT})
        for item in TASK.items
    )
    task = replace(TASK, items=items)
    found = attribute(task, [wire(tmp_path, "one")], READ, store=Store(tmp_path / "cells"), settings=CPU, forgive=True)
    assert "logit_lens" in found.readings
    assert ("ablation", "one") in found.refused
    assert "congruent" in found.refused["ablation", "one"]
    json.dumps(attribute_report.summary(found), allow_nan=False)
    attribute_report.figures(found)


# The command.

COMMAND = ("attribute", "--task", "negation_qa", "--items", str(small_ladder.ITEMS), "--device", "cpu")


@pytest.fixture(scope="module")
def ladder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_ladder.make(tmp_path_factory.mktemp("ladder"))


@pytest.fixture
def _here(ladder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "LADDER", ladder)
    monkeypatch.chdir(tmp_path)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.usefixtures("_here")
@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--models", "ladder", "--probe", "logit_lense"], ["no probe 'logit_lense'", "did you mean logit_lens?"]),
        (["--models", "ladder/8x3"], ["'ladder/8x3'"]),
        (["--models", "ladder", "--dtype", "bfloat16"], ["bfloat16 was asked for", "--dtype float32"]),
        (["--models", "ladder", "--head", "H1"], ["'H1' is no head", "L1H0"]),
        (["--models", "ladder", "--head", "L7H9"], ["ladder/4x1/seed0 has no head L7H9; it has L0H0 to L0H1"]),
        (["--models", "ladder", "--head", "L1H1"], ["ladder/4x1/seed0 has no head L1H1"]),
        (["--models", "ladder", "--item", "nothing"], ["no item 'nothing'"]),
        (["--models", "ladder", "--items", "3"], ["3 items are of 3 groups", "4 are needed; take more items"]),
        (["--models", "ladder", "--out", "full"], ["full is not empty and holds no run"]),
    ],
)
def test_a_mistake_is_one_message_and_leaves_nothing(
    more: list[str],
    words: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(load_module, "load", lambda *_, **__: pytest.fail("a model was loaded"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("mine")
    before = files(tmp_path)
    assert type_in([*COMMAND, *more]) == 2
    shown = capsys.readouterr()
    message = " ".join(shown.err.split())
    assert shown.out == ""
    assert message.count("Error: ") == 1
    assert all(word in message for word in words), message
    assert files(tmp_path) == before


@pytest.mark.parametrize("architecture", [*tiny.ARCHITECTURES, *tiny.FURTHER])
def test_heads_are_known_before_the_model_is_loaded(architecture: str, loaded: Loaded) -> None:
    own = loaded(architecture)
    wanted = tuple(f"L{layer}H{head}" for layer in range(own.n_layers) for head in range(own.n_heads))
    assert head_names(Source("models", "own", Path(own.name))) == wanted


def test_of_many_models_one_that_has_the_head_is_enough_and_what_is_not_known_is_not_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = [wire(tmp_path, "flat"), wire(tmp_path, "deep", layers=2)]
    with pytest.raises(ModelError, match="flat has no head L1H0; it has L0H0 to L0H3"):
        attribute_report.refuse_absent(["L1H0"], sources)
    monkeypatch.setattr(attribute_report, "PICTURED", 1)
    attribute_report.refuse_absent(["L1H0"], sources)
    with pytest.raises(ModelError, match="flat has no head L2H0"):
        attribute_report.refuse_absent(["L1H0", "L2H0"], sources)
    attribute_report.refuse_absent(["L2H0"], [*sources, Source("models", "unknown", tmp_path)])


def test_a_head_that_a_drawn_model_turns_out_to_lack_is_refused(everything: tuple[ProbeResults, Store]) -> None:
    found, _ = everything
    alone = replace(found, readings={"attention": found.readings["attention"][:1]})
    with pytest.raises(ModelError, match="small has no head L1H0; it has L0H0 to L0H3"):
        attribute_report.figures(alone, heads=["L1H0"])


@pytest.mark.usefixtures("_here")
def test_a_run_leaves_readings_figures_and_summary_and_can_be_repeated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*COMMAND, "--models", "ladder/8x2", "--probe", "logit_lens", "--probe", "attention", "--out", "out"]
    assert type_in([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads((tmp_path / "out/summary.json").read_text())
    assert set(told["readings"]) == {"logit_lens", "attention"}
    there = files(tmp_path / "out")
    assert "readings/attention-ladder-8x2-seed0.parquet" in there
    assert "figures/logit_lens-ladder-8x2-seed0.svg" in there
    before = {name: (tmp_path / "out" / name).read_bytes() for name in there}
    shutil.rmtree(tmp_path / "out")
    assert type_in(command) == 0
    shown = capsys.readouterr()
    assert "Readings, figures and summary: out" in shown.out
    assert "logit_lens in ladder/8x2/seed0" in shown.out
    after = {name: (tmp_path / "out" / name).read_bytes() for name in there}
    after.pop("manifest.json")
    before.pop("manifest.json")  # it names the command as typed
    assert after == before


def test_probes_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert type_in(["probes"]) == 0
    shown = capsys.readouterr().out
    assert all(f"{name}\n" in shown for name in PROBES)


def test_lines_of_a_prompt_are_broken_where_it_breaks_and_where_they_are_full() -> None:
    words = [["one", "a"], ["\n", "b"], ["x" * 60, "c"], ["y" * 60, "d"], ["", "e"]]
    lines = maps._lay(words)
    assert [[text for _, text, _ in line] for line in lines] == [["one", "↵"], ["x" * 60], ["y" * 60, "␣"]]
    assert all(start + len(text) <= maps.LINE for line in lines for start, text, _ in line)


@pytest.mark.parametrize(
    ("value", "reach", "text"),
    [(0.04, 3.0, "0.0"), (-0.04, 3.0, "0.0"), (-0.06, 3.0, "-0.1"), (-0.04, 0.08, "-0.04"), (-0.004, 0.08, "0.00")],
)
def test_a_cell_has_the_digits_that_its_map_needs(value: float, reach: float, text: str) -> None:
    assert in_cell(value, reach) == text
