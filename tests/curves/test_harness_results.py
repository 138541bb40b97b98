"""Results files of lm-evaluation-harness give one curve for each task; sizes come from the file or from names."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distractor.curves.curve_file import read_curve, read_curves
from distractor.curves.harness_results import results_in
from distractor.curves.request import CurveRequest
from distractor.errors import DistractorError, ScalingError

pytestmark = pytest.mark.quick

SIZES = ("70m", "160m", "410m")
COUNTS = {"70m": 70_426_624, "160m": 162_322_944, "410m": 405_334_016}


def results(tasks: dict[str, Any], size: str = "70m", **more: Any) -> dict[str, Any]:
    """The parts of a results file of version 0.4 that are read, and some others."""
    return {
        "results": tasks,
        "group_subtasks": {name: [] for name in tasks},
        "configs": {name: {"num_fewshot": 0} for name in tasks},
        "n-shot": dict.fromkeys(tasks, 0),
        "n-samples": {name: {"original": 500, "effective": 100} for name in tasks},
        "config": {
            "model": "hf",
            "model_args": f"pretrained=EleutherAI/pythia-{size},revision=step143000,dtype=float32",
            "model_num_parameters": COUNTS[size],
        },
        "model_name": f"EleutherAI/pythia-{size}",
        **more,
    }


def acc(mean: float, error: Any = 0.02, **more: Any) -> dict[str, Any]:
    return {"alias": "a task", "sample_len": 100, "acc,none": mean, "acc_stderr,none": error, **more}


def write(folder: Path, contents: list[dict[str, Any]]) -> list[str]:
    folder.mkdir(exist_ok=True)
    files = []
    for number, content in enumerate(contents):
        path = folder / f"results_2026-01-2{number}T03-44-18.123456.json"
        path.write_text(json.dumps(content, indent=2), encoding="utf-8")
        files.append(str(path))
    return files


def test_each_task_of_several_files_gives_a_curve(tmp_path: Path) -> None:
    files = write(tmp_path, [results({"arc": acc(k / 10), "piqa": acc(0.5 + k / 10)}, s) for k, s in enumerate(SIZES)])
    found = read_curves(files, CurveRequest())
    assert [curve.task for curve in found.curves] == ["arc", "piqa"]
    assert found.left_out == ()
    arc = found.curves[0]
    assert (arc.quantity, arc.sizes, arc.families) == ("accuracy", tuple(COUNTS.values()), ("pythia-*",))
    np.testing.assert_allclose(arc.means, [[0.0, 0.1, 0.2]])
    assert arc.errors is not None
    np.testing.assert_allclose(arc.errors[0, 1:], 0.02)
    assert read_curve(files, CurveRequest(where=(("task", "piqa"),))).means[0, 0] == 0.5
    with pytest.raises(ScalingError, match=r"one task, .*arc, piqa; .*--where task=arc"):
        read_curve(files, CurveRequest())


def test_every_metric_and_filter_can_be_chosen(tmp_path: Path) -> None:
    metrics = {
        "acc_norm,none": 0.6,
        "acc_norm_stderr,none": 0.03,
        "exact_match,strict-match": 0.7,
        "exact_match_stderr,strict-match": 0.04,
        "exact_match,flexible-extract": 0.8,
        "exact_match_stderr,flexible-extract": 0.05,
    }
    files = write(tmp_path, [results({"arc": acc(0.5, **metrics)}, size) for size in SIZES])
    norm = read_curve(files, CurveRequest("acc_norm"))
    assert norm.errors is not None
    assert (norm.quantity, norm.means[0, 0], norm.errors[0, 0]) == ("acc_norm", 0.6, 0.03)
    with pytest.raises(ScalingError, match=r"one filter, .*strict-match, flexible-extract; .*--where filter="):
        read_curve(files, CurveRequest("exact_match"))
    strict = read_curve(files, CurveRequest("exact_match", where=(("filter", "strict-match"),)))
    assert (strict.means[0, 0], strict.quantity) == (0.7, "exact_match")
    with pytest.raises(ScalingError, match=r"no f1; its quantities are accuracy, acc_norm, exact_match"):
        read_curve(files, CurveRequest("f1"))


def test_files_before_version_0_4_have_no_filter_and_no_model(tmp_path: Path) -> None:
    files = []
    for size, mean in zip(SIZES, (0.22, 0.18, 0.12), strict=True):
        path = tmp_path / f"results_{size}.json"
        path.write_text(json.dumps({"results": {"t": {"acc": mean, "acc_stderr": 0.04, "acc_norm": 0.5}}}, indent=1))
        files.append(str(path))
    curve = read_curve(files, CurveRequest())
    assert curve.sizes == (70_000_000, 160_000_000, 410_000_000)
    np.testing.assert_allclose(curve.means, [[0.22, 0.18, 0.12]])
    steps = tmp_path / "70m_step143000.json"
    steps.write_text(Path(files[0]).read_text(encoding="utf-8"))
    assert read_curve([str(steps)], CurveRequest(axis="step")).sizes == (143_000,)


def test_the_error_comes_from_the_number_of_items_where_there_is_none(tmp_path: Path) -> None:
    files = write(tmp_path, [results({"arc": acc(0.5, "N/A")}, size) for size in SIZES])
    errors = read_curve(files, CurveRequest()).errors
    assert errors is not None
    assert errors[0, 0] == pytest.approx((0.25 / 102) ** 0.5)


def test_an_error_of_0_at_an_accuracy_of_1_is_not_believed(tmp_path: Path) -> None:
    old = write(tmp_path, [{"results": {"t": {"acc": m, "acc_stderr": e}}} for m, e in ((0.5, 0.05), (1, 0), (0, 0))])
    named = [f"{size}={file}" for size, file in zip(SIZES, old, strict=True)]
    errors = read_curve(named, CurveRequest()).errors
    assert errors is not None
    eased = 101 / 102  # 0.05 is the error of 100 items
    np.testing.assert_allclose(errors[0, 1:], (eased * (1 - eased) / 102) ** 0.5)


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({"model_num_parameters": -1, "model_args": {"pretrained": "facebook/opt-1.3b"}}, 1_300_000_000),
        ({"model_args": "pretrained=/models/opt-1.3b,dtype=auto"}, 1_300_000_000),
        ({"model_num_parameters": True, "model_args": "model=Llama-2-7b-hf"}, 7_000_000_000),
        ({"model_num_parameters": 1_315_758_080}, 1_315_758_080),
    ],
)
def test_the_size_is_read_from_the_count_or_from_the_name(config: dict[str, Any], found: int, tmp_path: Path) -> None:
    files = write(tmp_path, [{"results": {"t": acc(0.5)}, "config": config}])
    assert read_curve(files, CurveRequest()).sizes == (found,)


def test_the_folder_names_the_model_as_the_harness_writes_it(tmp_path: Path) -> None:
    files = write(tmp_path / "EleutherAI__pythia-1.4b-seed3", [{"results": {"t": acc(0.5)}}])
    curve = read_curve(files, CurveRequest())
    assert (curve.sizes, curve.seeds) == ((1_400_000_000,), (3,))


def test_a_size_from_the_user_comes_first(tmp_path: Path) -> None:
    files = write(tmp_path, [results({"t": acc(0.5)}, size) for size in SIZES])
    named = [f"{k}B/seed2={file}" for k, file in enumerate(files, 1)]
    curve = read_curve(named, CurveRequest())
    assert (curve.sizes, curve.seeds) == ((10**9, 2 * 10**9, 3 * 10**9), (2,))
    tokens = read_curve(named, CurveRequest(axis="tokens"))
    assert tokens.sizes == (10**9, 2 * 10**9, 3 * 10**9)


def test_steps_of_one_model_are_read_from_the_revision(tmp_path: Path) -> None:
    contents = [
        results({"t": acc(step / 1e4)}, config={"model_args": f"pretrained=pythia-70m,revision=step{step}"})
        for step in (1000, 2000, 3000)
    ]
    files = write(tmp_path, contents)
    curve = read_curve(files, CurveRequest(axis="step"))
    assert curve.sizes == (1000, 2000, 3000)
    with pytest.raises(ScalingError, match=r"twice; keep the rows of one curve with --where step=1000"):
        read_curve(files, CurveRequest())


def test_tasks_without_the_metric_or_with_few_sizes_are_left_out_and_named(tmp_path: Path) -> None:
    full = {"arc": acc(0.5), "ppl": {"perplexity,none": 12.0}, "few": acc(0.4)}
    short = {"arc": acc(0.4), "ppl": {"perplexity,none": 12.0}}
    files = write(tmp_path, [results(short if size == "70m" else full, size) for size in SIZES])
    found = read_curves(files, CurveRequest())
    assert [curve.task for curve in found.curves] == ["arc"]
    assert any(text.startswith("ppl: no accuracy") for text in found.left_out)
    assert any(text.startswith("few: a shape needs at least 3 sizes") for text in found.left_out)


def test_different_shots_are_not_mixed(tmp_path: Path) -> None:
    files = write(tmp_path, [results({"t": acc(0.5)}, s, **{"n-shot": {"t": k}}) for k, s in enumerate(SIZES)])
    with pytest.raises(ScalingError, match=r"one shots, .*0, 1, 2"):
        read_curve(files, CurveRequest())


def test_families_are_not_mixed(tmp_path: Path) -> None:
    files = write(tmp_path, [results({"t": acc(0.5)}, size) for size in SIZES])
    other = results(
        {"t": acc(0.5)}, config={"model_args": "pretrained=facebook/opt-1.3b"}, model_name="facebook/opt-1.3b"
    )
    files += write(tmp_path / "opt", [other])
    with pytest.raises(ScalingError, match=r"families pythia-\*, opt-\*"):
        read_curve(files, CurveRequest())
    assert len(read_curve(files, CurveRequest(mixed_families=True)).sizes) == 4


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ([{"results": {"t": acc(0.5)}}], r"size of the model of .*unknown .*write it before the file: 70M="),
        ([results({"t": {"alias": "t"}})], "no task in it has a metric"),
        ([results({"t": acc(float("nan"))})], "t, acc,none: column value must be a number, not nan"),
        ([results({"t": acc(62.5)})], "accuracy must be between 0 and 1, not 62.5; divide percentages by 100"),
        ([results({"t": acc(0.625, 2.0)})], "value_stderr is 2, but the standard error of a share is at most .5"),
        ([results({"t": acc(0.5)})] * 2, "size 7.04266e.07, seed 0 appears twice; remove one"),
        ([results({"t": acc(0.5)}), {"results": 3}], "is not a results file of lm-evaluation-harness"),
    ],
)
def test_results_that_give_no_curve_are_refused(contents: list[dict[str, Any]], message: str, tmp_path: Path) -> None:
    with pytest.raises(DistractorError, match=message):
        read_curve(write(tmp_path, contents), CurveRequest())


def test_two_sizes_in_a_name_are_not_guessed(tmp_path: Path) -> None:
    files = write(tmp_path, [{"results": {"t": acc(0.5)}, "model_name": "me/olmo-1b-tokens-105b"}])
    with pytest.raises(ScalingError, match="its name contains several"):
        read_curve(files, CurveRequest())


def test_other_json_is_no_results_file(tmp_path: Path) -> None:
    for name, text in (("a.json", "[]"), ("b.json", '{"results": 1}'), ("c.csv", '{"results": {}}'), ("d.json", "{")):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        assert results_in(path) is None
