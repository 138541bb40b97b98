"""`distractor shape`: the judgement, its sentences, figures and errors; published and composed curves."""

import csv
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distractor.curves import figures as plot
from distractor.curves import tasks_report
from distractor.curves.curve_file import Curves, curve_of
from distractor.curves.folder_name import folder_name
from distractor.curves.judge_curve import JudgedCurve, judge_curve
from distractor.curves.judge_tasks import judge_tasks
from distractor.curves.page import page as web_page
from distractor.curves.report import page
from distractor.curves.request import CurveRequest
from distractor.errors import ScalingError
from distractor.published.curves import published
from distractor.runs.folder import RunFolder
from distractor.runs.item_parts import CAUTION, parts_of
from distractor.runs.page.render import render_page
from distractor.runs.parts_figure import parts
from distractor.runs.tables import console
from distractor.statistics.composed import compose, composed
from distractor.statistics.curve import Curve
from distractor.statistics.shape_test import HARNESS_SHARES, NATS, SHARES, judge_means
from distractor.statistics.sign_flips import holm
from distractor.text.task import RIGHT, Answer
from page_outline import Outline
from shown import check_page, check_widths

SIZES = tuple(1000 * 2**k for k in range(9))
U = (0.5, 0.45, 0.3, 0.15, 0.1, 0.3, 0.6, 0.85, 0.95)
RISE = (0.5, 0.52, 0.55, 0.6, 0.66, 0.72, 0.8, 0.88, 0.95)


def curve(
    shares: tuple[float, ...], seed: int = 0, *, seeds: int = 3, groups: int = 100, quantity: str = "accuracy"
) -> Curve:
    """Normal noise of groups and of seeds about `shares`."""
    rng = np.random.default_rng(seed)
    values = np.array(shares)[:, None] + 0.1 * rng.normal(size=(seeds, len(shares), groups))
    values = np.clip(values + 0.01 * rng.normal(size=(seeds, len(shares), 1)), 0, 1)
    names = tuple(f"g{g:03}" for g in range(groups))
    return Curve(
        quantity,
        "parameters",
        SIZES[: len(shares)],
        tuple(range(seeds)),
        values.mean(-1),
        values=values,
        groups=names,
        n_items=groups,
    )


def rows(shares: tuple[float, ...], seeds: int = 3, items: int = 60, seed: int = 0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    return [
        {"size": size, "seed": s, "item": f"q{i}", "group": f"g{i // 2}", "value": int(rng.random() < share)}
        for s in range(seeds)
        for size, share in zip(SIZES, shares, strict=True)
        for i in range(items)
    ]


def write(path: Path, table: list[dict[str, Any]]) -> str:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, table[0])
        writer.writeheader()
        writer.writerows(table)
    return str(path)


def type_in(*command: str) -> int:
    from distractor.command_line.main import main

    sys.argv = ["distractor", *command]
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


# The judgement


@pytest.mark.quick
def test_a_planted_u_is_found_at_both_levels_and_a_rise_is_positive() -> None:
    found, null = judge_curve(curve(U)), judge_curve(curve(RISE))
    assert found.shape.label == found.shape.label_level_1 == "U-shaped"
    assert "Models like these (level 2): U-shaped: it falls" in found.sentences[1]
    assert null.shape.label == "positive"
    assert "Ruled out: a U and an inverted U of 0.05 or more." in null.sentences[1]
    assert found.models_low is not None
    assert (found.models_low < found.mean).all()


@pytest.mark.quick
def test_one_seed_is_judged_at_level_1_and_level_2_is_not_identified() -> None:
    found = judge_curve(curve(U[::2], seeds=1))
    assert found.sentences[0].startswith("These weights (level 1): U-shaped: it falls")
    assert "(level 2): not identified" in found.sentences[1]
    assert "at least 3" in found.sentences[1]
    assert found.models_low is None


def test_means_are_judged_with_wider_bounds_than_their_items() -> None:
    of_items = curve(U, seeds=1)
    assert of_items.values is not None
    errors = of_items.values.std(-1, ddof=1) / 100**0.5
    of_means = judge_means(of_items.means, errors, SIZES)
    assert of_means.label == "U-shaped"
    assert of_means.n_groups is None
    assert "means and their standard errors alone" in of_means.as_dict()["method"]
    three = curve(U)
    assert three.values is not None
    difficulty = 0.3 * np.random.default_rng(5).normal(size=100)  # the same at all sizes
    three = replace(three, values=three.values + difficulty - difficulty.mean())
    assert three.values is not None
    level = judge_means(three.means, three.values.std(-1, ddof=1) / 100**0.5, SIZES).models
    assert level is not None
    items_level = judge_curve(three).shape.models
    assert items_level is not None
    assert level.end[2] - level.end[1] > items_level.end[2] - items_level.end[1]


def test_the_smallest_difference_of_interest_follows_the_unit() -> None:
    assert judge_curve(curve(U)).delta == 0.05
    nats = curve(U, quantity="true_pull")
    assert judge_curve(nats).delta == 0.2
    with pytest.raises(ScalingError, match=r"'loss'.*smallest difference of interest"):
        judge_curve(curve(U, quantity="loss"))
    assert judge_curve(curve(U, quantity="loss"), delta=0.1).delta == 0.1
    for delta in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ScalingError, match=f"finite and above 0, not {delta:g}"):
            judge_curve(curve(U), delta=delta)


TIMED = """
import time

import numpy as np

from distractor.curves.curve_file import curve_of
from distractor.curves.judge_curve import judge_curve
from distractor.curves.request import CurveRequest

rng = np.random.default_rng(0)
table = [
    {"size": 1000 * 2**k, "seed": s, "item": i, "group": i // 4, "value": float(rng.random())}
    for k in range(11) for s in range(5) for i in range(600)
]
start = time.process_time()
judge_curve(curve_of(table, CurveRequest())).as_dict()
print(time.process_time() - start)
"""
"""In a process of its own, since the checks of annotations take most of the time in this one."""


@pytest.mark.slow
def test_eleven_sizes_by_five_seeds_by_600_items_are_judged_in_under_five_seconds() -> None:
    run = subprocess.run([sys.executable, "-c", TIMED], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 5


# Parts


def test_a_dollar_in_a_name_is_drawn_as_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table = [
        row | {"quantity": r"$a\foo$", "group": rf"$\foo{{{row['group']}"} for row in rows((0.5,) * len(SIZES), items=8)
    ]
    write(tmp_path / "mine.csv", table)
    assert type_in("shape", "mine.csv", "--delta", "0.1", "--by", "group") == 0


@pytest.mark.quick
def test_parts_by_difficulty_come_from_the_other_sizes() -> None:
    """In pure noise, thirds chosen by the drawn scores differ strongly; thirds chosen by the other sizes do not."""
    noise = np.random.default_rng(0).normal(size=(1, 9, 300))
    found = parts_of(Curve("logit_gap", "parameters", SIZES, (0,), noise.mean(-1), values=noise), "difficulty")
    assert found.caution == CAUTION
    assert np.abs(found.means).max() < 0.4
    own = np.sort(noise[0, 0])
    assert own[-100:].mean() > 1


@pytest.mark.quick
def test_parts_with_different_scores_are_separated() -> None:
    easy, hard = np.full((1, 9, 30), 0.9), np.full((1, 9, 30), 0.1)
    middle = np.full((1, 9, 30), 0.5)
    values = np.concatenate([easy, hard, middle], axis=-1)
    low_is_hard, high_is_hard = (0.1, 0.5, 0.9), (0.9, 0.5, 0.1)
    hard = {
        "accuracy": low_is_hard,
        **dict.fromkeys(HARNESS_SHARES, low_is_hard),
        "logit_gap": low_is_hard,
        "true_pull": low_is_hard,
        "distractor_preference": high_is_hard,
        "distractor_pull": high_is_hard,
    }
    assert set(hard) == {*SHARES, *NATS} - {"coverage"}
    for quantity, order in hard.items():
        found = parts_of(Curve(quantity, "parameters", SIZES, (0,), values.mean(-1), values=values), "difficulty")
        assert found.names == ("hard", "middle", "easy")
        np.testing.assert_allclose(found.means, np.broadcast_to(np.array(order)[:, None], (3, 9)))


@pytest.mark.parametrize("quantity", ["coverage", "loss"])
def test_a_quantity_unrelated_to_difficulty_is_divided_by_group_only(quantity: str) -> None:
    few = curve(U, groups=8, quantity=quantity)
    assert judge_curve(few, delta=0.1, by="group").parts
    with pytest.raises(ScalingError, match=f"not for {quantity}: cut by group"):
        judge_curve(few, delta=0.1, by="difficulty")


@pytest.mark.parametrize("quantity", ["distractor_preference", "logit_gap"])
def test_the_gap_measures_no_difficulty_where_the_true_answer_is_not_right(quantity: str) -> None:
    for condition, right in RIGHT.items():
        shown = replace(curve(U, quantity=quantity), condition=condition.value)
        if right is Answer.TRUE:
            assert parts_of(shown, "difficulty").names
        else:
            with pytest.raises(ScalingError, match=f"{quantity} .* under {condition.value} it is not"):
                parts_of(shown, "difficulty")
        assert parts_of(replace(shown, quantity="accuracy"), "difficulty").names


@pytest.mark.quick
def test_items_that_cannot_be_divided_are_refused() -> None:
    with pytest.raises(ScalingError, match="100 groups are too many"):
        parts_of(curve(U), "group")
    with pytest.raises(ScalingError, match="at least 6 groups of items, got 4"):
        parts_of(curve(U, groups=4), "difficulty")
    assert parts_of(curve(U, groups=4), "group").means.shape == (4, 9)
    bare = Curve("accuracy", "parameters", SIZES[:3], (0,), np.zeros((1, 3)), errors=np.ones((1, 3)))
    with pytest.raises(ScalingError, match="a table of items"):
        parts_of(bare, "difficulty")


# Published numbers


@pytest.mark.quick
def test_published_curves_need_a_task_that_has_them() -> None:
    with pytest.raises(ScalingError, match="--task"):
        judge_curve(curve(U), references=["opt"])
    with pytest.raises(ScalingError, match=r"palm for the task redefine_math; .*opt"):
        judge_curve(curve(U), references=["opt", "palm"], task="redefine_math")


@pytest.mark.quick
@pytest.mark.parametrize(
    ("own", "reason"),
    [
        ({"quantity": "true_pull"}, "these are accuracies, yours is true pull T (nats)"),
        ({"scoring": "rank", "shots": 2}, "your prompt format is rank, 2 shots"),
        ({"shots": 5}, "your prompt format is rank, 5 shots"),
        ({"scoring": "generate"}, "your prompt format is generate"),
        ({"condition": "distractor_only"}, "your condition is distractor_only"),
        ({"families": ("ladder/negation_qa",)}, "your items are not the prize's"),
        ({"axis": "step"}, "these are over parameters, yours is over training step"),
        ({}, None),
        ({"scoring": "rank", "shots": 0, "condition": "conflict"}, None),
        ({"shots": 0}, None),
    ],
)
def test_published_curves_are_on_the_axes_only_where_what_is_known_of_the_curve_agrees(
    own: dict[str, Any], reason: str | None
) -> None:
    found = judge_curve(replace(curve(U), **own), references=["opt"], task="negation_qa").references
    if reason is None:
        assert (found.same, found.panels) == (found.curves, ())
        assert "The file does not say how your prompts were written and scored." in " ".join(found.sentences)
    else:
        assert found.same == ()
        assert [panel.why.startswith(f"Apart from your curve: {reason}") for panel in found.panels] == [True]


@pytest.mark.quick
def test_the_prompt_format_of_a_curve_is_that_of_the_table() -> None:
    rows = [{"size": size, "item": item, "value": 1} for size in ("70M", "1B", "3B") for item in "ab"]
    own = [{"format": "rank", "shots": "2.0"}, {"n_shot": 3}, {}]
    found = [curve_of([row | extra for row in rows], CurveRequest()) for extra in own]
    assert [(each.scoring, each.shots) for each in found] == [("rank", 2), (None, 3), (None, None)]


def labelled() -> dict[str, str]:
    """Our level 1 label of each curve that its authors labelled, from means of 100 answers."""
    found = {}
    for one in published():
        if one.authors_label:
            shares = np.array([[point.accuracy for point in one.points]])
            eased = (shares * 100 + 1) / 102
            sizes = [point.size + 1 for point in one.points]
            found[f"{one.title}, {one.task}"] = judge_means(shares, np.sqrt(eased * (1 - eased) / 102), sizes).label
    return found


def test_only_published_curves_with_two_clear_legs_are_u_shaped() -> None:
    ours = labelled()
    assert len(ours) == 19
    us = sorted(name for name, label in ours.items() if label == "U-shaped")
    assert us == [
        "GPT-2 fine-tuned, 0.1% negated training sentences, epoch 1, negated_sentiment",
        "GPT-3 text series, zero-shot, negation_qa",
        "GPT-3, zero-shot with hint, negation_qa",
    ]
    assert ours["Jurassic-1, zero-shot, negation_qa"] == "undetermined"
    page = (Path(__file__).parents[2] / "experiments" / "published" / "README.md").read_text().splitlines()
    for name, label in ours.items():
        title, _, task = name.rpartition(", ")
        shown = title if task == "negation_qa" else f"{title} ({task.replace('_', ' ')})"
        line = next(line for line in page if line.startswith(f"| {shown} |"))
        assert line.split(" | ")[3] == label


# The composed curve


@pytest.mark.quick
def test_the_composed_curve_is_the_chance_of_both_right_or_both_wrong() -> None:
    t, s = np.meshgrid(np.linspace(0, 1, 5), np.linspace(0, 1, 5))
    np.testing.assert_allclose(composed(t, s), composed(s, t))
    np.testing.assert_allclose(composed(t, np.ones_like(t)), t)
    np.testing.assert_allclose(composed(t, np.zeros_like(t)), 1 - t)
    np.testing.assert_allclose(composed(t, np.full_like(t, 0.5)), 0.5)
    coins = np.random.default_rng(0).random((2, 200_000)) < np.array([[0.8], [0.3]])
    assert (coins[0] == coins[1]).mean() == pytest.approx(composed(np.array([0.8]), np.array([0.3]))[0], abs=0.005)


@pytest.mark.quick
def test_zhangs_predictions_for_models_that_ignore_the_negation_are_reproduced() -> None:
    """GPT-3 ada and babbage: t = .44 and .47 (published), s = 0; they predict 56 and 53 %."""
    t = np.array([0.44, 0.47])
    np.testing.assert_allclose(composed(t, np.zeros(2)), [0.56, 0.53])


def test_a_planted_residual_is_found_and_independent_tasks_have_none() -> None:
    rng = np.random.default_rng(0)
    t, s = np.linspace(0.5, 0.95, 6), np.array([0.05, 0.05, 0.2, 0.6, 0.9, 0.95])
    shape = (3, 6, 300)
    alone = (rng.random(shape) < t[:, None]).astype(float)
    letters = (rng.random(shape) < s[:, None]).astype(float)
    conflict = (rng.random(shape) < composed(t, s)[:, None]).astype(float)
    null = compose(conflict, alone, letters, SIZES[:6])
    assert ((null.low < 0) & (null.high > 0)).sum() >= 5
    np.testing.assert_allclose(null.measured - null.predicted, null.residual)
    conflict[:, 3] = 0
    found = compose(conflict, alone, letters, SIZES[:6])
    assert found.high[3] < -0.3
    mixed = rng.permutation(300)
    again = compose(conflict[..., mixed], alone[..., mixed], letters[..., mixed], SIZES[:6])
    np.testing.assert_allclose(again.low, found.low, atol=1e-12)
    json.dumps(found.as_dict(), allow_nan=False)


@pytest.mark.quick
def test_conditions_of_different_shape_are_not_composed() -> None:
    with pytest.raises(ScalingError, match=r"distractor_only has \(1, 3, 5\)"):
        compose(np.zeros((1, 3, 4)), np.zeros((1, 3, 5)), np.zeros((1, 3, 4)), SIZES[:3])


# Figures


def drawn(found: JudgedCurve) -> list[str]:
    return [text.get_text() for axes in plot.shape(found).axes for text in axes.get_legend().get_texts()]


def test_the_page_fits_every_width() -> None:
    found = judge_curve(curve(U), references=["opt", "gpt3"], task="negation_qa")
    check_widths(lambda: [page(found)])


def test_the_figure_shows_both_levels_the_turning_set_and_the_published_curves() -> None:
    found = judge_curve(curve(U), references=["opt", "gpt3"], task="negation_qa")
    words = drawn(found)
    for label in (
        "these weights (level 1)",
        "models like these (level 2)",
        "may turn here (level 2)",
        "GPT-3, zero-shot",
    ):
        assert label in words
    check_page(plot.shape(found), "shape")
    title = " ".join(plot.shape(found).get_suptitle().split())
    own = "the 3 seeds' own curves (level 1): 3 U-shaped"
    assert f"on average over such models (level 2): U-shaped; {own}" in title
    assert "may turn here" not in " ".join(drawn(judge_curve(curve(RISE, seeds=1))))


def test_a_curve_that_begins_at_step_0_can_be_drawn() -> None:
    rising = curve(RISE)
    from_0 = Curve("accuracy", "step", (0, *SIZES[1:]), rising.seeds, rising.means, values=rising.values)
    plot.shape(judge_curve(from_0)).savefig("/dev/null", format="png")


def test_parts_are_drawn_with_their_caution() -> None:
    found = judge_curve(curve(U), by="difficulty")
    assert found.parts is not None
    figure = parts(found.curve, found.parts)
    assert "regress to the mean" in " ".join(figure.get_supxlabel().split())


# The command


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_command_prints_both_levels_and_leaves_numbers_and_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    write(tmp_path / "mine.csv", rows(U))
    command = [
        "shape",
        "mine.csv",
        "--reference",
        "opt,gpt3",
        "--task",
        "negation_qa",
        "--by",
        "difficulty",
        "--out",
        "out",
    ]
    assert type_in(*command) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "60 items in 30 groups, 9 sizes × 3 seeds" in shown
    assert "These weights (level 1), by seed: " in shown
    assert "Models like these (level 2): U-shaped" in shown
    assert "Secondary tests: two lines:" in shown
    assert ("Caution: on curves that rise to a plateau" in shown) == ("two lines: too few" not in shown)
    assert "GPT-3, zero-shot ada 0.54, babbage 0.54," in shown
    for name in ("summary.json", "curve.csv", "manifest.json", "figures/shape.png", "figures/parts.svg"):
        assert (tmp_path / "out" / name).stat().st_size
    assert type_in(*command, "--figures", "none") == 0
    assert not [*(tmp_path / "out/figures").iterdir()]
    capsys.readouterr()
    assert type_in(*command, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary == json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["shape"]["label"] == "U-shaped"
    assert [row["size"] for row in summary["sizes"]] == list(SIZES)
    assert type_in(*command[:2], "--out", "out") == 2
    assert "another run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "sizes", "warning"),
    [
        ("Model Size (B),accuracy,n\n7,.3,100\n13,.4,100\n70,.5,100\n", [7e9, 13e9, 70e9], "No items"),
        ("model,accuracy,n\npythia-70m,.3,99\npythia-160m,.4,99\npythia-410m,.5,99\n", [7e7, 16e7, 41e7], "No items"),
        (
            "size,item,accuracy\n1M,1,1\n1M,2,0\n1M,3,1\n2M,1,1\n2M,2,\n2M,3,1\n4M,1,1\n4M,2,0\n4M,3,1\n",
            [1e6, 2e6, 4e6],
            "1 of 9 values are empty and count as missing",
        ),
        (
            "size,mean,n\n70M,.365,104\n160M,.365,104\n410M,.635,104\n1B,.365,104\n3B,.365,104\n",
            [7e7, 16e7, 41e7, 1e9, 3e9],
            "a model that always gives the same answer scores so",
        ),
    ],
)
def test_tables_as_people_have_them_are_judged(
    text: str, sizes: list[float], warning: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.csv").write_text(text, encoding="utf-8")
    assert type_in("shape", "mine.csv", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert [row["size"] for row in summary["sizes"]] == sizes
    assert warning in " ".join(summary["sentences"])


def test_a_size_without_a_unit_is_a_question_not_a_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.csv").write_text("size,accuracy,n\n7,.3,100\n13,.4,100\n70,.5,100\n", encoding="utf-8")
    assert type_in("shape", "mine.csv") == 2
    message = " ".join(capsys.readouterr().err.split())
    assert "mine.csv, line 2: column size is 7, which would be 7 parameters; does it mean billions?" in message
    assert 'Write 7B (M for millions, K for thousands), or name the column "size (B)"' in message


def test_several_tasks_are_judged_in_one_call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tasks = {"arc": U, "../piqa": RISE, "two sizes": RISE}
    table = [row | {"task": task} for task, shares in tasks.items() for row in rows(shares, 3, 40)]
    table = [row for row in table if row["task"] != "two sizes" or row["size"] < 4000]
    write(tmp_path / "mine.csv", table)
    assert type_in("shape", "mine.csv", "--out", "out") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "2 tasks; p over tasks is adjusted by Holm" in shown
    assert "Left out: two sizes: a shape needs at least 3 sizes" in shown
    assert "Task arc accuracy against parameters: 40 items in 20 groups" in shown
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert list(summary["tasks"]) == ["arc", "../piqa"]
    alone = [max(task["shape"]["p_left"], task["shape"]["p_right"]) for task in summary["tasks"].values()]
    assert [turn["p"] for turn in summary["turns"].values()] == alone
    assert [turn["p_over_tasks"] for turn in summary["turns"].values()] == holm(alone)
    assert [turn["turns_over_tasks"] for turn in summary["turns"].values()] == [True, False]
    assert sorted(path.name for path in (tmp_path / "out/tasks").iterdir()) == [
        folder_name("arc"),
        folder_name("../piqa"),
    ]
    assert (tmp_path / "out/tasks/arc/figures/shape.png").stat().st_size
    assert type_in("shape", "mine.csv", "--where", "task=arc", "--json") == 0
    assert json.loads(capsys.readouterr().out)["task"] == "arc"


@pytest.mark.quick
def test_a_turn_that_may_be_chance_among_many_tasks_is_no_turn_over_tasks() -> None:
    """One clear U stays a turn beside nine tasks without one, a weak U does not, and a curve of two turns is neither."""
    weak = (0.5, 0.38, 0.5, 0.6)
    tasks = {"clear": (0.5, 0.1, 0.5, 0.6), "weak": weak, "twice": (0.5, 0.1, 0.6, 0.1)}
    tasks |= {f"rise {k}": (0.1, 0.2, 0.3, 0.4) for k in range(8)}
    judged = judge_tasks(
        Curves(tuple(replace(curve_of(means_of(shares), CurveRequest()), task=name) for name, shares in tasks.items())),
        judge_curve,
    )
    found = dict(zip(tasks, judged.turns_over_tasks, strict=True))
    assert judged.judged[1].shape.label == "U-shaped"
    assert found == {name: name == "clear" for name in tasks}


def means_of(shares: tuple[float, ...]) -> list[dict[str, Any]]:
    return [{"size": 1000 * 2**k, "accuracy": share, "n": 250} for k, share in enumerate(shares)]


def test_folders_of_tasks_have_safe_and_different_names() -> None:
    names = ["arc_easy", "../a", "a", "a/b", "a-b", "x" * 300, "x" * 301, "..", "é", "mmlu (5-shot)"]
    folders = [folder_name(name) for name in names]
    assert folders[0] == "arc_easy"
    assert len(set(folders)) == len(names)
    assert all(re.fullmatch(r"[\w-][\w.-]{0,99}", folder, re.ASCII) for folder in folders)


def test_if_no_task_can_be_judged_the_reason_is_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "mine.csv", [row | {"task": task} for task in "ab" for row in rows(RISE) if row["size"] < 4000])
    assert type_in("shape", "mine.csv") == 2
    assert "no task gives a curve: a: a shape needs at least 3 sizes" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.csv"]


def test_a_user_error_gives_one_message_and_leaves_no_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sound = rows(U, items=8)
    write(tmp_path / "mine.csv", sound)
    write(tmp_path / "two.csv", [row for row in sound if row["size"] < 4000])
    write(tmp_path / "nan.csv", [{**row, "value": "nan"} for row in sound])
    write(tmp_path / "huge.csv", [{**row, "size": "1e400"} for row in sound])
    write(tmp_path / "seeds.csv", [{**row, "size": f"{row['size']}/seed7"} for row in sound])
    write(tmp_path / "loss.csv", [{**row, "quantity": "loss"} for row in sound])
    (tmp_path / "latin.csv").write_bytes(b"size,value\n70M,\xe9\n")
    line = {"doc_id": 0, "target": -1, "filtered_resps": [[-1, False], [-2, True]], "acc": 1}
    (tmp_path / "log.jsonl").write_text(json.dumps(line) + "\n" + json.dumps({"doc_id": 1, "acc": "x"}))
    (tmp_path / "latin.jsonl").write_bytes(json.dumps(line).encode() + b"\n\xe9")
    before = sorted(tmp_path.iterdir())
    for command, words in (
        (["huge.csv"], "huge.csv, line 2: column size must be a size"),
        (["seeds.csv"], "seeds.csv, line 2: the seed is 0 in column seed, but 7 in column size"),
        (["loss.csv", "--delta", "0.1", "--by", "difficulty"], "not for loss: cut by group"),
        (["latin.csv"], "latin.csv, line 2: not UTF-8"),
        (["70M=log.jsonl"], "log.jsonl, line 2: column value must be a number, not 'x'"),
        (["70M=log.jsonl", "--quantity", "logit_gap"], "log.jsonl, line 1: logit_gap needs target"),
        (["70M=latin.jsonl"], "latin.jsonl, line 2: not UTF-8"),
        (["none.csv"], "there is no file none.csv"),
        (["two.csv"], "a shape needs at least 3 sizes, better 8; got 2"),
        (["nan.csv"], "line 2: column value must be a number"),
        (["mine.csv", "mine.csv"], "several logs"),
        (["mine.csv", "--against", "age"], "parameters, tokens, flops, step"),
        (["mine.csv", "--where", "size"], "column=value"),
        (["mine.csv", "--quantity", "loss"], "'loss'"),
        (["mine.csv", "--by", "colour"], "group or difficulty, not 'colour'"),
        (["mine.csv", "--reference", "opt"], "--task"),
        (["mine.csv", "--reference", "opt", "--task", "chess"], "hindsight_neglect: opt"),
    ):
        assert type_in("shape", *command) == 2, command
        shown = capsys.readouterr()
        assert shown.out == ""
        message = " ".join(shown.err.split())
        assert words in message
        assert "Traceback" not in message
    assert sorted(tmp_path.iterdir()) == before


def test_neighbouring_sizes_where_a_curve_may_turn_are_one_span() -> None:
    assert list(plot._spans((0, 1, 4, 16, 64, 256), {1, 4, 64})) == [(0, 8), (32, 128)]
    assert list(plot._spans((1, 4, 16), set())) == []


def test_a_page_of_many_sizes_shows_some_and_names_the_file_with_all(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = range(100, 12_100, 100)
    values = np.random.default_rng(0).random((1, len(sizes), 40))
    many = Curve("accuracy", "step", tuple(sizes), (0,), values.mean(-1), values=values, groups=("g",) * 40)
    judged = judge_curve(many)
    console().print(page(judged))
    printed = capsys.readouterr().out
    rows = [
        int(line.split()[0].replace(",", "")) for line in printed.splitlines() if line[:1].isdigit() and "[" in line
    ]
    assert (len(rows), rows[0], rows[-1]) == (40, 100, 12_000)
    assert "40 of 120 sizes are shown; curve.csv has all." in printed
    assert len(plot.shape(judged).axes[0].lines[0].get_xdata()) == 120


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_web_page_has_the_shape_first_and_every_size(seeds: int) -> None:
    judged = judge_curve(curve(U, seeds=seeds), references=["opt", "gpt3"], task="negation_qa")
    outline = Outline(render_page(web_page(judged, ["shape"], {})))
    ids = [attributes["id"] for attributes in outline.all("section")]
    assert ids == ["curve", "tests", "sizes", "warnings", "method"]
    first, second = judged.levels[:: -1 if seeds > 1 else 1]
    evidence = "about models like these" if seeds > 1 else "about these weights alone"
    places = [
        outline.text.index(text) for text in ("U-shaped", first, second, evidence, "The curve", "Secondary tests")
    ]
    assert places == sorted(places)
    for size, mean in zip(SIZES, judged.mean, strict=True):
        assert f"{size:,} {mean:.3f}" in outline.text
    drawn = [str(each["aria-label"]) for each in outline.all("div") if each.get("role") == "img"]
    on_axis, by_rank = drawn
    assert "OPT" in on_axis
    assert "GPT-3" in by_rank


@pytest.mark.usefixtures("undrawn")
def test_several_tasks_have_an_overview_that_links_the_page_of_each(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>"
    curves = tuple(replace(curve(shares), task=task) for task, shares in (("a", U), (hostile, RISE)))
    tasks_report.write(RunFolder(tmp_path), judge_tasks(Curves(curves, ("b: too few sizes",)), judge_curve))
    html = (tmp_path / "report.html").read_text()
    outline = Outline(html)
    assert hostile not in html
    assert "1 of 2 tasks turn" in outline.texts
    assert "Left out: b: too few sizes." in outline.text
    links = [str(link["href"]) for link in outline.all("a") if not str(link["href"]).startswith("#")]
    assert len(links) == 2
    assert all((tmp_path / link).is_file() for link in links)
