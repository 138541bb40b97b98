"""Only the planted change is found, and sites are matched only if they correspond."""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import small_ladder
import tiny
import wired
from distractor.comparison import report as compare_report
from distractor.comparison import tables as compare_table
from distractor.comparison.compare import PROBES as COMPARED
from distractor.comparison.compare import compare, is_halved, over_tasks, run_steps
from distractor.comparison.matching import blocks_of, carried
from distractor.comparison.page import page
from distractor.comparison.result import ComparisonResult
from distractor.comparison.sides import pairs_of, sides_of
from distractor.comparison.tables import tables
from distractor.errors import ModelError
from distractor.models import families
from distractor.models import load as load_module
from distractor.models.same_run import from_same_run
from distractor.models.source import Source
from distractor.numbers import with_interval
from distractor.probing.strengths import ChosenSites
from distractor.runs.page.render import render_page
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.text.task import Condition
from distractor.work import Work, follow
from page_outline import Outline
from probes import PROBES
from probes.ablation import Ablation
from shown import check_page, check_widths, files, printed
from small_ladder import type_in

TASK = wired.task(8)
CPU = Settings(device="cpu", self_check=False)
BOTH = {name: PROBES[name] for name in ("ablation", "head_patching")}
ALONE = {"ablation": PROBES["ablation"]}
T, D = ("true_pull", None), ("distractor_pull", None)
UNKNOWN, INSIDE = "beyond item noise; seed noise unknown", "inside item noise"


@dataclass(frozen=True)
class Refusing(Ablation):
    """A probe that fails in every model."""

    def __call__(self, run: Any) -> Any:
        raise ModelError("no such thing here")


def compared(folder: Path, sources: Sequence[Source], probes: Mapping[str, Any]) -> ComparisonResult:
    return compare(TASK, sources, probes, store=Store(folder / "cells"), settings=CPU)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[ComparisonResult, Path]:
    """One model before and after its true-task head was weakened."""
    folder = tmp_path_factory.mktemp("compare")
    sources = [
        wired.source(folder, "strong", first=1.0, second=2.0),
        wired.source(folder, "weak", first=1.0, second=0.5),
    ]
    store = Store(folder / "cells")
    with follow(Work(run_steps(TASK, sources, BOTH, store, CPU))) as work:
        result = compare(TASK, sources, BOTH, store=store, settings=CPU)
    assert work.left == []
    return result, folder


def test_only_the_weakened_head_changed(planted: tuple[ComparisonResult, Path]) -> None:
    (pair,) = planted[0].pairs
    assert pair.match == "name"
    assert pair.changed_most is not None
    assert pair.changed_most[1].sites[pair.changed_most[2]] == "L0H1.z"
    changed = {one.sites[i] for maps in pair.maps.values() for one in maps for i in np.flatnonzero(one.is_marked)}
    assert changed == {"L0H1.z"}
    conflict, congruent = pair.maps["ablation", 0, 1]
    for one, before, by in ((conflict, -2, 1.5), (congruent, 2, -1.5)):
        i = one.order[0]
        assert one.sites[i] == "L0H1.z"
        assert one.first[i] == pytest.approx(before, abs=0.02)
        assert one.mean[i] == pytest.approx(by, abs=0.02)
        assert one.low[i] <= one.mean[i] <= one.high[i]
        assert one.shared == (2, 0, 0)


def test_only_behaviour_that_needs_the_weakened_head_changed(planted: tuple[ComparisonResult, Path]) -> None:
    rows = planted[0].pairs[0].rows
    assert rows[T].mean == pytest.approx(-1.5, abs=0.02)
    assert rows[T].call == UNKNOWN
    for row in (("accuracy", Condition.CONGRUENT), ("logit_gap", Condition.NEUTRAL)):
        assert rows[row].call == INSIDE, row
    assert rows[D].mean == pytest.approx(0, abs=0.001)  # the heads hardly change the scale of the last norm
    preference = rows["distractor_preference", Condition.CONFLICT]
    assert preference.mean == pytest.approx(1 / (1 + np.exp(-0.5)) - 1 / (1 + np.exp(1)), abs=0.01)
    assert ("accuracy", Condition.NEUTRAL) not in rows


def test_switched_items_are_listed_with_their_text(planted: tuple[ComparisonResult, Path]) -> None:
    result, _ = planted
    entries = compare_report.summary([result])["tasks"]["wired"]["pairs"][0]["changed_sides"]
    assert len(entries) == len(TASK.items)
    assert entries[0]["prompt"] == "fact A but B :"
    assert entries[0]["to"] == "distractor"
    assert (entries[0]["gap_first"], entries[0]["gap_second"]) == pytest.approx((1, -0.5), abs=0.02)


def test_the_page_says_what_changed_and_where(planted: tuple[ComparisonResult, Path]) -> None:
    result = planted[0]
    (pair,) = result.pairs
    outline = Outline(render_page(page([result], ["wired-behaviour"], {})))
    ids = [attributes["id"] for attributes in outline.all("section")]
    assert ids == ["behaviour", "sites", "warnings", "method"]
    changed = compare_table.main_changes(result, pair)
    assert len(changed) == 2
    texts = [f"changed: {UNKNOWN}", *changed, "It is evidence about these weights alone", "The two paths"]
    texts += compare_table.transferred(result, pair)
    places = [outline.text.index(text) for text in texts]
    assert places == sorted(places)
    change = pair.rows["true_pull", None]
    assert with_interval(change.mean, change.low, change.high) in outline.text
    item = TASK.items[pair.switched[0].item]
    assert f"{item.id} 1.0" in outline.text, "switched items have their gaps"
    assert "Wang, Kevin" in outline.text


def test_the_page_of_several_pairs_and_tasks_keeps_them_apart(planted: tuple[ComparisonResult, Path]) -> None:
    result = planted[0]
    (pair,) = result.pairs
    two = replace(result, pairs=(pair, replace(pair, first=pair.second, second=pair.first)))
    hostile = "<script>alert(1)</script>"
    named = replace(two, task=replace(two.task, name=f"t{hostile}"), refused={(hostile, "m"): hostile})
    html = render_page(page([two, named], [], {}))
    outline = Outline(html)
    ids = [str(attributes["id"]) for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert hostile not in html
    assert f"{hostile} was skipped for m: {hostile}" in outline.text
    assert outline.text.count("strong → weak: Distractor preference in conflict changes by") >= 2


def test_the_true_path_is_weaker_and_its_sites_transfer_both_ways(planted: tuple[ComparisonResult, Path]) -> None:
    (pair,) = planted[0].pairs
    assert pair.paths["true_path"].mean == pytest.approx(-1.5, abs=0.02)
    assert pair.paths["true_path"].p < 0.2  # the smallest possible p-value with four groups in that half
    assert pair.paths["distractor_path"].call == INSIDE
    assert {(one.found_in, one.knocked_out_in) for one in pair.transfers} == {("strong", "weak"), ("weak", "strong")}
    for one in pair.transfers:
        assert one.sites == (("L0H1.z",) if one.path == "true_path" else ("L0H0.z",))
        assert one.share == pytest.approx(1)
        assert one.change.call == INSIDE


def test_the_summary_is_json_without_nan_and_holds_the_conclusions(planted: tuple[ComparisonResult, Path]) -> None:
    summary = json.loads(json.dumps(compare_report.summary([planted[0]]), allow_nan=False))["tasks"]["wired"]
    assert [side["name"] for side in summary["sides"]] == ["strong", "weak"]
    assert summary["pairs"][0]["changed_most"]["site"] == "L0H1.z"
    assert summary["pairs"][0]["behaviour"]["true_pull"]["call"] == UNKNOWN
    assert summary["sides"][1]["paths"][0]["true"]["sites"] == ["L0H1.z"]


def test_tables_fit_the_terminal_and_name_the_planted_change(planted: tuple[ComparisonResult, Path]) -> None:
    text = " ".join(printed(tables(planted[0])).split())
    assert re.search(
        r"changed most is L0H1\.z \(ablation, conflict\): by 1\.50 \[.*\] nats, from -2\.00 to -0\.50", text
    )
    assert re.search(r"16 items .*: 0 to the true answer, 16 to the distractor's", text)
    assert re.search(r"the 1 site of strong in weak .*, 100% of the loss", text)


def test_tables_fit_every_width(planted: tuple[ComparisonResult, Path]) -> None:
    check_widths(lambda: tables(planted[0]))


def test_progress_counts_every_step_once_even_if_a_probe_fails(tmp_path: Path) -> None:
    sources = [wired.source(tmp_path, "one", second=1.0), wired.source(tmp_path, "two", second=2.0)]
    of_each = len(TASK.conditions) + 1 + 2 + 2  # ablation of each component, of chosen sites, and of the other model's
    probes = {**ALONE, "refusing": Refusing()}
    store = Store(tmp_path / "cells")
    assert len(run_steps(TASK, sources, ALONE, store, CPU)) == 2 * of_each
    with follow(Work(run_steps(TASK, sources, probes, store, CPU))) as work:
        result = compare(TASK, sources, probes, store=store, settings=CPU, forgive=True)
    assert set(result.refused) == {("refusing", "one"), ("refusing", "two")}
    assert (len(work.steps), work.left) == (2 * (of_each + 1), [])


def test_figures_stay_on_their_page(planted: tuple[ComparisonResult, Path]) -> None:
    drawn = {name: draw() for name, draw in compare_report.plan_figures([planted[0]]).items()}
    names = [
        f"{planted[0].task.name}-{kind}" for kind in ("behaviour", "paths", "sites-ablation", "sites-head_patching")
    ]
    assert set(names) <= set(drawn)
    for name in names[:3]:
        check_page(drawn[name], name)


# Which sites correspond.


def test_models_of_different_size_match_only_by_function(tmp_path: Path) -> None:
    sources = [wired.source(tmp_path, "one"), wired.source(tmp_path, "two", at=1, layers=2)]
    result = compared(tmp_path, sources, ALONE)
    (pair,) = result.pairs
    assert pair.match == "function"
    assert (pair.maps, pair.transfers) == ({}, ())
    assert pair.no_transfer is not None
    assert pair.paths["true_path"].call == INSIDE
    assert pair.paths["true_path"].mean == pytest.approx(0, abs=0.02)
    assert "separate runs" in printed(tables(result))


def test_with_six_layers_whole_blocks_match_by_relative_depth(tmp_path: Path) -> None:
    sources = [wired.source(tmp_path, "six", at=5, layers=6), wired.source(tmp_path, "seven", at=6, layers=7)]
    result = compared(tmp_path, sources, ALONE)
    (pair,) = result.pairs
    assert pair.match == "depth"
    assert pair.depths["conflict"]["z"] == pytest.approx(1)
    assert {one.share for one in pair.transfers} == {1.0}
    first = pair.transfers[0]
    assert first.sites == tuple(f"L6H{head}.z" for head in range(4)), "all heads of the layer at that depth"
    assert "relative depth, conflict: z 1.00" in printed(tables(result))


@pytest.mark.quick
def test_sites_are_carried_by_name_or_by_depth_or_not_at_all() -> None:
    names = [f"L{layer}H{head}.z" for layer in range(11) for head in range(2)] + ["L10.mlp_out"]
    chosen = ChosenSites(("L5H1.z",), ("L3H0.z", "L0.mlp_out"))
    assert carried(chosen, names, (6, 11), "name") == (("L5H1.z",), ("L3H0.z",))
    assert carried(chosen, names, (6, 11), "depth") == (("L10H0.z", "L10H1.z"), ("L6H0.z", "L6H1.z"))
    assert carried(chosen, names, (6, 11), "function") is None
    assert blocks_of(chosen, names).true == ("L5H0.z", "L5H1.z")


def test_names_or_weights_show_that_models_are_of_one_run(tmp_path: Path) -> None:
    tokenizer = tiny.word_level(["a"])
    made = [tiny.save(tmp_path / str(k), tiny.ARCHITECTURES["gpt_neox"], tokenizer, seed=k // 2, spread=spread)
            for k, spread in ((0, 0.3), (1, 0.3), (2, 0.3))]  # fmt: skip
    shutil.copytree(made[0], tmp_path / "tuned")
    from safetensors.torch import load_file, save_file

    weights = load_file(tmp_path / "tuned/model.safetensors")
    save_file({name: w + 0.05 * w.roll(1) for name, w in weights.items()}, tmp_path / "tuned/model.safetensors")
    base, tuned, other = (Source("models", f.name, f) for f in (made[0], tmp_path / "tuned", made[2]))
    assert from_same_run(base, tuned)
    assert not from_same_run(base, other)
    assert not from_same_run(base, wired.source(tmp_path, "wired"))
    # Two steps are always of one run; two seeds never are.
    steps = [Source("pythia", "70m", f, step=k, seed=0) for k, f in enumerate((made[0], made[2]))]
    assert from_same_run(*steps)
    assert not from_same_run(steps[0], replace(steps[1], seed=1))


# Seeds, steps and sizes.


def seeds_of(folder: Path, name: str, strengths: Sequence[float]) -> list[Source]:
    made = [wired.source(folder, f"{name}{k}", second=second).folder for k, second in enumerate(strengths)]
    return [Source("wired", name, at, seed=k, n_params=len(name)) for k, at in enumerate(made)]


def test_seeds_of_one_model_are_sides_and_their_difference_is_seed_noise(tmp_path: Path) -> None:
    result = compared(tmp_path, seeds_of(tmp_path, "m", (1.0, 1.5, 2.0)), {})
    assert [side.name for side in result.sides] == ["wired/m/seed0", "wired/m/seed1", "wired/m/seed2"]
    assert [(pair.first, pair.second) for pair in result.pairs] == [(0, 1), (0, 2), (1, 2)]
    for pair in result.pairs:
        assert pair.rows[T].call == "beyond item noise; seed noise itself"
        assert pair.rows["accuracy", Condition.CONGRUENT].call == INSIDE
        assert pair.match is None


@pytest.mark.parametrize(
    ("second", "call"),
    [((2.0, 2.1, 1.9), "beyond item noise and seed noise"), ((0.2, 0.9, 1.4), "beyond item noise, inside seed noise")],
)
def test_two_sides_of_three_seeds_are_judged_by_the_spread_of_seeds(
    second: tuple[float, ...], call: str, tmp_path: Path
) -> None:
    sources = [*seeds_of(tmp_path, "a", (0.5, 0.6, 0.4)), *seeds_of(tmp_path, "b", second)]
    result = compared(tmp_path, sources, {})
    assert [(side.name, len(side.members)) for side in result.sides] == [("wired/a", 3), ("wired/b", 3)]
    change = result.pairs[0].rows[T]
    assert change.call == call
    assert change.mean == pytest.approx(np.mean(second) - 0.5, abs=0.02)
    assert change.seeds is not None
    assert "3 and 3 seeds" in printed(tables(result))


def stepped(folder: Path, first: Sequence[float], second: Sequence[float]) -> list[Source]:
    made = [
        wired.source(folder, f"s{k}", first=a, second=b) for k, (a, b) in enumerate(zip(first, second, strict=True))
    ]
    last = len(made) - 1
    return [Source("wired", "m", one.folder, seed=0, step=100 * 2**k, is_final=k == last) for k, one in enumerate(made)]


def test_along_training_the_path_that_moved_first_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = stepped(tmp_path, (0, 1, 2, 1.98, 1.96, 1.94, 1.92), (0, 0, 0, 0.2, 1.5, 2.5, 2.4))
    result = compared(tmp_path, sources, ALONE)
    assert [side.name for side in result.sides] == ["wired/m/seed0@100", "wired/m/seed0@6400"]
    (curves,) = result.training
    assert curves.name == "wired/m"
    assert curves.steps == tuple(100 * 2**k for k in range(7))
    for quantity, planted in (("true_path", (0, 0, 0, 0.2, 1.5, 2.5, 2.4)), ("distractor_pull", (0, 1, 2))):
        assert curves.means(quantity)[0][: len(planted)] == pytest.approx(planted, abs=0.03)
    for what in ("sites", "behaviour"):
        assert curves.orders[what]["onset"].call == "second", curves.sentences()
    assert result.pairs[0].match == "name"
    summary = json.loads(json.dumps(compare_report.summary([result]), allow_nan=False))["tasks"]["wired"]["training"][0]
    assert summary["first"]["sites"]["onset"]["call"] == "second"
    text = printed(tables(result))
    assert "wired/m along training: 7 steps, 1 seed; " in text
    monkeypatch.setattr(compare_table, "STEPS", 4)
    assert "(4 steps shown; all are in summary.json)" in " ".join(printed(tables(result)).split())
    assert "the true path moves after the distractor's path" in text
    check_page(compare_report.plan_figures([result])["wired-training-wired-m"](), "training")


def test_two_steps_of_one_run_are_two_sides_and_match_by_name(tmp_path: Path) -> None:
    result = compared(tmp_path, stepped(tmp_path, (2, 1), (0.5, 2)), ALONE)
    assert result.training == ()
    assert [side.name for side in result.sides] == ["wired/m/seed0@100", "wired/m/seed0@200"]
    assert result.pairs[0].match == "name"
    assert not result.are_seeds
    assert result.pairs[0].rows[T].call == UNKNOWN, "training changes are not seed noise"


def test_names_in_figures_leave_out_the_family_that_all_models_share(tmp_path: Path) -> None:
    steps = stepped(tmp_path, (2, 1), (0.5, 2))
    first, second = (replace(step, family="ladder/quote_repetition", model="48x2") for step in steps)
    other = replace(second, family="a_family_with_a_very_long_name")
    for sources, beginnings in (
        ((first, second), ["48x2/seed0@1", "48x2/seed0@2", "48x2/seed0@1"]),
        ((first, other), ["ladder/qu", "a_family", "la"]),
    ):
        result = compared(tmp_path, sources, {})
        assert f"wired: {first.name} → " in printed(tables(result))
        figure = compare_report.plan_figures([result])["wired-behaviour"]()
        check_page(figure, "behaviour")
        assert ("in ladder/quote_repetition" in figure.get_suptitle()) == (second in sources)
        shown = [text.get_text() for text in figure.legends[0].get_texts()]
        assert all(name.startswith(start) for name, start in zip(shown, beginnings, strict=True)), shown


@pytest.mark.quick
def test_every_side_is_compared_with_every_other_or_with_the_first() -> None:
    assert pairs_of(3) == [(0, 1), (0, 2), (1, 2)]
    assert pairs_of(6) == [(0, k) for k in range(1, 6)]


@pytest.mark.quick
def test_sides_keep_the_given_order_and_name_steps_if_there_are_several() -> None:
    at = Path("/nowhere")
    sources = [Source("f", "big", at, seed=s, step=t, is_final=t == 9) for t in (9, 3) for s in (0, 1)]
    sources += [
        Source("f", "small", at, seed=0, step=9),
        Source("models", "x", at / "x"),
        Source("models", "x", at / "y"),
    ]
    sides, followed = sides_of(sources)
    assert [side.name for side in sides] == ["f/big@9", "f/big@3", "f/small/seed0", "/nowhere/x", "/nowhere/y"]
    assert [side.members for side in sides] == [(0, 1), (2, 3), (4,), (5,), (6,)]
    assert followed == {}


def test_over_several_tasks_the_primary_p_is_adjusted(planted: tuple[ComparisonResult, Path]) -> None:
    result, _ = planted
    assert over_tasks([result])[0].pairs[0].p_over_tasks is None
    both = over_tasks([result, result])
    p = result.pairs[0].rows["distractor_preference", Condition.CONFLICT].p
    assert [one.pairs[0].p_over_tasks for one in both] == [2 * p, 2 * p]


def test_fewer_than_two_different_models_are_refused(tmp_path: Path) -> None:
    one = wired.source(tmp_path, "one")
    shutil.copytree(one.folder, tmp_path / "copy")
    with pytest.raises(ModelError, match=r"at least two models.* one "):
        compared(tmp_path, [one], ALONE)
    with pytest.raises(ModelError, match=r"one .* copy .* same model"):
        compared(tmp_path, [one, Source("models", "copy", tmp_path / "copy")], ALONE)


@pytest.mark.quick
def test_items_are_halved_only_if_sites_are_chosen() -> None:
    assert is_halved(dict.fromkeys(COMPARED, PROBES["ablation"]))
    assert is_halved({"head_attribution_patching": PROBES["head_attribution_patching"]})
    assert not is_halved({"head_patching": PROBES["head_patching"], "direct_attribution": PROBES["direct_attribution"]})


# The command.

COMMAND = ("compare", "--task", "negation_qa", "--items", str(small_ladder.ITEMS), "--device", "cpu")


@pytest.fixture(scope="module")
def ladder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small ladder; its middle size has two seeds and two further steps."""
    whole = small_ladder.make(tmp_path_factory.mktemp("ladder"))
    made = whole / "negation_qa"
    tokenizer = tiny.word_level(small_ladder.words())
    entries = json.loads((made / "ladder.json").read_text())["models"]
    (middle,) = (one for one in entries if one["size"] == "8x1")
    middle |= {"steps": 30, "kept": [10, 20]}
    for step in middle["kept"]:
        tiny.save(made / f"8x1/seed0/step{step}", small_ladder.config(8, 1), tokenizer, seed=step)
    tiny.save(made / "8x1/seed1", small_ladder.config(8, 1), tokenizer, seed=9)
    entries.append({**middle, "seed": 1, "kept": []})
    (made / "ladder.json").write_text(json.dumps({"models": entries}))
    return whole


@pytest.fixture
def _here(ladder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "LADDER", ladder)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_here")
@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["ladder/4x1"], ["at least two models", "ladder/negation_qa/4x1/seed0"]),
        (["ladder/4x1", "ladder/9x9"], ["'ladder/9x9'"]),
        (["ladder/4x1", "ladder/8x1@15"], ["step 15"]),
        (["ladder/4x1", "ladder/8x1", "--probe", "logit_lens"], ["logit_lens", "no effect of a site", "ablation"]),
        (["ladder/4x1", "ladder/8x1", "--dtype", "bfloat16"], ["bfloat16", "--dtype float32"]),
        (
            ["ladder/4x1", "ladder/8x1", "--task", "redefine_math", "--data", "x"],
            ["--data"],
        ),
        (["ladder/4x1", "ladder/8x1", "--task", "redefine_math"], ["'ladder/4x1'", "one task only", "one by one"]),
        (["mine", "ladder/negation_qa/8x1", "--task", "redefine_math"], ["'ladder/negation_qa/8x1'", "one by one"]),
        (["ladder/4x1", "ladder/8x1", "--items", "3"], ["3 items", "3 groups", "4", "more items"]),
        (["ladder/4x1", "ladder/8x1", "--out", "full"], ["full", "--out"]),
    ],
)
def test_a_mistake_gives_one_message_and_no_files(
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


@pytest.mark.usefixtures("_here", "undrawn")
def test_a_run_leaves_readings_figures_and_summary_and_gives_the_same_bytes_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [*COMMAND, "ladder/8x1/seed0@all", "--probe", "ablation", "--out", "out"]
    assert type_in([*command, "--json"]) == 0
    shown = capsys.readouterr()
    assert re.search(r"[\d,]+ forward passes", shown.err)
    assert "on disk" not in shown.err, "nothing was cached"
    entries = json.loads(shown.out)
    assert entries == json.loads((tmp_path / "out/summary.json").read_text())
    (curves,) = entries["tasks"]["negation_qa"]["training"]
    assert curves["steps"] == [10, 20, 30]
    there = files(tmp_path / "out")
    assert "figures/negation_qa-training-ladder-negation_qa-8x1.svg" in there
    assert "readings/negation_qa-ablation-ladder-negation_qa-8x1-seed0@10.parquet" in there
    before = {name: (tmp_path / "out" / name).read_bytes() for name in there}
    shutil.rmtree(tmp_path / "out")
    monkeypatch.setattr(load_module, "load", lambda *_, **__: pytest.fail("a model was loaded"))
    assert type_in(command) == 0
    again = capsys.readouterr()
    assert "forward passes" not in again.err
    assert re.search(r"Read \d+ results from the cache", again.err)
    shown = again.out
    assert "Readings, figures and summary: out" in shown
    assert "ladder/negation_qa/8x1 along training: 3 steps, 1 seed" in shown
    for name in ("manifest.json", "report.html"):  # hold the command as typed
        before.pop(name)
    assert {name: (tmp_path / "out" / name).read_bytes() for name in before} == before
    assert type_in([*command, "--figures", "none"]) == 0
    assert not [name for name in files(tmp_path / "out") if name.startswith("figures/")]


@pytest.mark.usefixtures("_here")
def test_two_sizes_with_their_seeds_are_compared_in_behaviour_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert type_in([*COMMAND, "ladder/4x1", "ladder/8x1", "--no-mechanism", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)["tasks"]["negation_qa"]
    assert [(side["name"], len(side["models"])) for side in entries["sides"]] == [
        ("ladder/negation_qa/4x1/seed0", 1),
        ("ladder/negation_qa/8x1", 2),
    ]
    (pair,) = entries["pairs"]
    assert pair["behaviour"]["distractor_preference in conflict"]["between_seeds"] > 0
    assert (pair["match"], pair["sites"]) == (None, [])
