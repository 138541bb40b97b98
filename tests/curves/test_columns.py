"""Headers are found in any case, under usual names and with units; what could mean two things is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distractor.curves.columns import read_header
from distractor.curves.curve_file import curve_of, read_curve
from distractor.curves.model_size import family_in, parse_model
from distractor.curves.request import CurveRequest
from distractor.errors import ScalingError
from distractor.statistics.curve import Curve

pytestmark = pytest.mark.quick

MILLIONS = (70, 160, 410)
SIZES = tuple(m * 10**6 for m in MILLIONS)
MEANS = (0.31, 0.22, 0.43)


def table(size: str, value: str, *, sizes: Any = SIZES, means: Any = MEANS, **more: Any) -> list[dict[str, Any]]:
    return [{size: s, value: m, **more} for s, m in zip(sizes, means, strict=True)]


def expect(curve: Curve, error: float | None = None) -> None:
    assert curve.sizes == SIZES
    np.testing.assert_allclose(curve.means, [MEANS])
    assert curve.errors is not None
    if error is not None:
        np.testing.assert_allclose(curve.errors, error)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("acc", "acc_stderr"),
        ("accuracy", "se"),
        ("accuracy", "accuracy_se"),
        ("value", "stderr"),
        ("Accuracy", "Std Err"),
        ("ACC", "ACC_STDERR"),
        ("mean", "standard error"),
        ("score", "stderr"),
        ("acc", "stderr_acc"),
    ],
)
def test_accuracy_and_its_error_are_found_under_their_usual_names(value: str, error: str) -> None:
    expect(curve_of(table("size", value, **{error: 0.02}), CurveRequest()), 0.02)


@pytest.mark.parametrize(
    ("header", "factor"),
    [
        ("Model Size (B)", 1e9),
        ("model size [b]", 1e9),
        ("params_b", 1e9),
        ("Params (in billions)", 1e9),
        ("parameters in millions", 1e6),
        ("Size (M)", 1e6),
        ("size_in_B", 1e9),
        ("Params, M", 1e6),
        ("n_params_bn", 1e9),
        ("#Params", 1),
        ("Num Params", 1),
        ("SIZE", 1),
    ],
)
def test_a_header_may_have_a_unit(header: str, factor: float) -> None:
    expect(curve_of(table(header, "acc", sizes=[s / factor for s in SIZES], n=100), CurveRequest()))


@pytest.mark.parametrize("column", ["model", "Model Name", "size"])
def test_a_name_that_contains_a_size_is_a_size(column: str) -> None:
    names = [f"EleutherAI/pythia-{m}m-deduped" for m in MILLIONS]
    curve = curve_of(table(column, "acc", sizes=names, n=100), CurveRequest())
    expect(curve)
    assert curve.families == ("pythia-*-deduped",)


@pytest.mark.parametrize("column", ["model", "size"])
def test_names_of_several_families_are_not_mixed(column: str) -> None:
    rows = table(column, "acc", sizes=["pythia-70m", "pythia-160m", "opt-350m"], n=100)
    with pytest.raises(ScalingError, match=r"mix the families pythia-\*, opt-\*"):
        curve_of(rows, CurveRequest())
    assert len(curve_of(rows, CurveRequest(mixed_families=True)).sizes) == 3


@pytest.mark.parametrize("text", ["stablelm-2-1_6b", "Mixtral-8x7B", "Phi-3-mini-4k", "gpt2-xl", "llama-4bit", "7Bit"])
def test_what_only_looks_like_a_size_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="must be a size"):
        parse_model(text)
    assert family_in(text) is None


def test_sizes_of_one_column_agree_with_its_header() -> None:
    assert parse_model("7B", unit="b") == parse_model("7", unit="b") == (7_000_000_000, None)
    for text, unit, message in (("70M", "b", "header says billions"), ("1b-7b", "", "several sizes")):
        with pytest.raises(ValueError, match=message):
            parse_model(text, unit=unit)


@pytest.mark.parametrize("text", ["7", "0.5", "125", "999", "7e16"])
def test_a_number_that_can_be_no_number_of_parameters_is_asked_about(text: str) -> None:
    with pytest.raises(ScalingError, match=rf"row 1: column size is {text}, .*billions\? Write {text}B .*size \(B\)"):
        curve_of(table("size", "acc", sizes=[text, "13", "70"], n=100), CurveRequest())
    assert parse_model(text, "step")[0] == float(text)
    assert parse_model("1000")[0] == 1000


@pytest.mark.parametrize("name", ["llama2_7b", "Llama 2 7B", "Qwen2.5-7B-Instruct", "x/falcon-7b", "yarn-7b-128k"])
def test_a_size_is_found_in_names_of_all_kinds(name: str) -> None:
    assert parse_model(name) == (7_000_000_000, None)


def test_steps_are_read_from_names_of_checkpoints() -> None:
    for column in ("step", "Checkpoint", "revision"):
        rows = table(column, "acc", sizes=["step0", "pythia-70m-step1000", "2000"], n=100)
        assert curve_of(rows, CurveRequest(axis="step")).sizes == (0, 1000, 2000)


def test_percentages_are_read_where_they_are_marked() -> None:
    percent = [100 * mean for mean in MEANS]
    expect(curve_of(table("size", "Accuracy (%)", means=percent, **{"SE (%)": 2.0}), CurveRequest()), 0.02)
    expect(curve_of(table("size", "acc", means=[f"{p:g}%" for p in percent], n=100), CurveRequest()))
    expect(curve_of(table("size", "acc (%)", means=[f"{p:g}%" for p in percent], n=100), CurveRequest()))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (table("size", "acc", means=(62.5, 55, 70), n=100), r'row 1: .*62.5; divide .* name the column "acc \(%\)"'),
        (table("size", "acc (%)", means=(62.5, 55, 70), se=2), r"acc \(%\) and se is in %; write both in %"),
        (table("size", "acc", se=2), r"se is 2, but the standard error of a share is at most .5"),
        (
            table("size", "acc", acc_norm=0.5, stderr=0.02),
            "stderr may belong to acc or to acc_norm; call it acc_stderr",
        ),
        (table("size", "acc", std=0.02), "std is a standard deviation"),
        (table("size", "acc", Size=3, n=5), "'size' and 'Size' both mean size; remove or rename one"),
        (table("size", "acc", accuracy=0.3, n=5), "acc and accuracy both mean accuracy"),
        (table("sise", "acc", n=5), r"column n_params or .*\(is sise meant to be size\?\)"),
        (table("size", "accurcy", n=5), r"no column value.*\(is accurcy meant to be accuracy\?\).*--quantity"),
        (table("model", "arc_easy", piqa=0.3, n=5), "one column for each task, write one row for each task"),
        (table("size (%)", "acc", n=5), "holds sizes, which are no percentages"),
        (table("size", "acc", n=None), "needs a column n"),
        (table("size", "acc", se=0), "all standard errors are 0, .* n"),
    ],
)
def test_columns_that_could_mean_two_things_are_refused(rows: list[dict[str, Any]], message: str) -> None:
    # An accuracy of 1, since only there a standard error can be 0.
    if message.startswith("all"):
        rows = [row | {"acc": 1.0} for row in rows]
    with pytest.raises(ScalingError, match=message):
        curve_of(rows, CurveRequest())


def test_another_metric_has_its_own_error() -> None:
    rows = table("size", "acc", means=(0.1, 0.1, 0.1), acc_stderr=0.5)
    rows = [row | {"acc_norm": mean, "acc_norm_stderr": 0.02} for row, mean in zip(rows, MEANS, strict=True)]
    curve = curve_of(rows, CurveRequest("acc_norm"))
    expect(curve, 0.02)
    assert curve.quantity == "acc_norm"
    assert curve_of(rows, CurveRequest("Acc Norm")).quantity == "acc_norm"


def test_the_only_metric_with_an_error_needs_no_option() -> None:
    curve = curve_of(table("size", "exact_match", exact_match_stderr=0.02, epochs=3), CurveRequest())
    expect(curve, 0.02)
    assert curve.quantity == "exact_match"
    loss = curve_of(table("size", "Loss", Loss_SE=0.02), CurveRequest())
    assert loss.quantity == "loss"


def test_a_metric_column_chooses_rows() -> None:
    rows = table("model", "value", sizes=[f"{m}m" for m in MILLIONS], Metric="acc", stderr=0.02)
    rows += table("model", "value", sizes=[f"{m}m" for m in MILLIONS], means=(0, 0, 0), Metric="f1", stderr=0.02)
    expect(curve_of(rows, CurveRequest("accuracy")), 0.02)
    expect(curve_of(rows, CurveRequest("acc")), 0.02)


def test_the_table_that_the_harness_prints_is_read() -> None:
    """Its columns are Tasks, Version, Filter, n-shot, Metric, Value and Stderr; the user adds the model."""
    rows = [
        {
            "Model": f"pythia-{m}m", "Tasks": "arc_easy", "Version": 1, "Filter": "none", "n-shot": 0, "Metric": metric,
            "": "↑", "Value": mean, "Stderr": 0.02,
        }
        for m, mean in zip(MILLIONS, MEANS, strict=True)
        for metric in ("acc", "acc_norm")
    ]  # fmt: skip
    curve = curve_of(rows, CurveRequest("acc_norm"))
    expect(curve, 0.02)
    assert curve.task == "arc_easy"
    with pytest.raises(ScalingError, match=r"one shots, .*0, 5"):
        curve_of([*rows, rows[0] | {"n-shot": 5}], CurveRequest("accuracy"))


def test_filters_accept_any_case_and_any_number(tmp_path: Path) -> None:
    import pandas as pd

    rows = [
        {"Model": f"pythia-{m}m", "Step": step, "held_out": step > 1000, "acc": mean, "n": 100}
        for m, mean in zip(MILLIONS, MEANS, strict=True)
        for step in (1000, 143000)
    ]
    frame = pd.DataFrame([*rows, {"Model": "pythia-1b", "Step": None, "held_out": None, "acc": 0.5, "n": 100}])
    assert frame["Step"].dtype == float  # 143000.0, because of the empty cell
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_csv(tmp_path / "t.csv", index=False)
    for name in ("t.parquet", "t.csv"):
        for where in (("step", "143000"), ("Step", "1.43e5"), ("STEP", "143K"), ("held_out", "true")):
            expect(read_curve([str(tmp_path / name)], CurveRequest(where=(where,))))
    with pytest.raises(ScalingError, match=r"no row has step = 7; the values are 1000.0"):
        read_curve([str(tmp_path / "t.parquet")], CurveRequest(where=(("step", "7"),)))


def test_headers_are_divided_into_name_and_unit() -> None:
    for text, name, unit in (
        ("Model Size (B)", "model_size", "b"),
        ("acc_b", "acc_b", ""),
        ("Accuracy, %", "accuracy", "%"),
        ("pass@1", "pass@1", ""),
        ("(B)", "b", ""),
    ):
        assert read_header(text) == (name, unit)


# Empty cells


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_an_empty_value_is_a_missing_item_and_is_counted(kind: str, tmp_path: Path) -> None:
    import pandas as pd

    cells = [[1.0, 0, 1], [1, None, 1], [1, 0, 1]]
    rows = [
        {"size": s, "item": i, "accuracy": v} for s, row in zip(SIZES, cells, strict=True) for i, v in enumerate(row)
    ]
    frame, path = pd.DataFrame(rows), tmp_path / f"t.{kind}"
    if kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_json(path, orient="records", lines=True)
    curve = read_curve([str(path)], CurveRequest())
    assert "1 of 9 values are empty and count as missing" in curve.notes


def test_an_empty_mean_leaves_its_size_out_and_says_so() -> None:
    rows = [*table("size", "acc", n=100), {"size": "1B", "acc": None, "n": 100}]
    curve = curve_of(rows, CurveRequest())
    expect(curve)
    assert curve.notes == ("1 of 4 values are empty and count as missing", "1B has no values and is left out")


@pytest.mark.parametrize("cell", ["NA", "nan", float("nan"), "-", [1]])
def test_what_is_not_empty_must_be_a_number(cell: Any) -> None:
    rows = [*table("size", "acc", n=100), {"size": "1B", "acc": cell, "n": 100}]
    with pytest.raises(ScalingError, match=r"row 4: .*number, not .*; leave the cell empty where nothing was measured"):
        curve_of(rows, CurveRequest())


# Wide tables


def test_one_column_for_each_size_is_read(tmp_path: Path) -> None:
    (tmp_path / "wide.csv").write_text("Item,group,70M,160M,410M\na,x,1,0,1\nb,x,0,,1\nc,y,1,0,1\nd,y,1,0,1\n")
    curve = read_curve([str(tmp_path / "wide.csv")], CurveRequest())
    assert (curve.sizes, curve.groups) == (SIZES, ("x", "y"))
    assert "1 of 12 values are empty and count as missing" in curve.notes
    (tmp_path / "wide.csv").write_text("item,pythia-70m,pythia-160m,pythia-410m\na,1,0,1\nb,0,high,1\n")
    with pytest.raises(ScalingError, match=r"wide.csv, line 3, column pythia-160m: column value .*'high'"):
        read_curve([str(tmp_path / "wide.csv")], CurveRequest())


def test_one_column_for_each_model_may_have_errors_beside_it() -> None:
    row = {f"pythia-{m}m": mean for m, mean in zip(MILLIONS, MEANS, strict=True)}
    errors = {f"pythia-{m}m_stderr": 0.02 for m in MILLIONS}
    curve = curve_of([row | errors], CurveRequest())
    expect(curve, 0.02)
    assert curve.families == ("pythia-*",)
    expect(curve_of([row | {"n": 100}], CurveRequest()))
    percent = {f"{name} (%)": 100 * mean for name, mean in row.items()}
    expect(curve_of([percent | {"n": 100}], CurveRequest()))
    expect(curve_of([percent | {f"{name} (%)": 2.0 for name in errors}], CurveRequest()), 0.02)
    with pytest.raises(ScalingError, match=r"'value \(%\)' and 'value' both mean value"):
        curve_of([{"pythia-70m (%)": 31, "pythia-160m": 0.2, "pythia-410m": 0.3, "n": 100}], CurveRequest())


def test_wide_tables_may_have_steps_and_seeds() -> None:
    rows = [{"seed": seed, "step1000": 0.1, "step2000": 0.2, "step3000": 0.4, "n": 50} for seed in (1, 2)]
    curve = curve_of(rows, CurveRequest(axis="step"))
    assert (curve.sizes, curve.seeds) == ((1000, 2000, 3000), (1, 2))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"item": "a", "7": 1, "13": 1, "70": 0}, "headers 7, 13, 70 are numbers without a unit; .*write 7B"),
        (
            {"item": "a", "size": "1B", "70M": 1, "160M": 0},
            "headers 70M, 160M are sizes, but the table has a column with",
        ),
        ({"item": "a", "pythia-70m": 1, "opt-125m": 1, "opt-350m": 0}, r"mix the families pythia-\*, opt-\*"),
        ({"70M": 0.1, "160M": 0.2, "410M": 0.3}, "a table of means needs a column n"),
        ({"item": "a", "70M": 1, "70m": 0}, "item a appears twice at size 7e.07"),
    ],
)
def test_wide_tables_that_could_mean_two_things_are_refused(row: dict[str, Any], message: str) -> None:
    with pytest.raises(ScalingError, match=message):
        curve_of([row], CurveRequest())
