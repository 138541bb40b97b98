"""Tables and logs give the right curve; ambiguous files are refused, and items left out are counted."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distractor.curves.curve_file import curve_of, read_curve, read_curves
from distractor.curves.model_size import parse_size
from distractor.curves.request import CurveRequest
from distractor.errors import DistractorError, ScalingError
from distractor.runs.results_table import COLUMNS

pytestmark = pytest.mark.quick

SIZES = (1000, 2000, 4000)
Rows = list[dict[str, Any]]


def items(seeds: int = 2, count: int = 6, **more: Any) -> Rows:
    """A row for each item: value rises with size and differs by item; groups of two items."""
    return [
        {"size": size, "seed": seed, "item": f"q{i}", "group": f"g{i // 2}", "value": (k + i % 2) / 4, **more}
        for seed in range(seeds)
        for k, size in enumerate(SIZES)
        for i in range(count)
    ]


def means(**more: Any) -> Rows:
    return [{"size": size, "mean": mean, "n": 100, **more} for size, mean in zip(SIZES, (0.5, 0.2, 0.9), strict=True)]


def write(path: Path, rows: Rows) -> str:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0], delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    return str(path)


def entry(doc: int, gap: float, target: int = 0, **more: Any) -> dict[str, Any]:
    """One line as lm-evaluation-harness logs it: target and log-probabilities as strings, resps doubly nested."""
    log_probs = [-4.0, -4.0 - gap] if target == 0 else [-4.0 - gap, -4.0]
    return {
        "doc_id": doc,
        "doc": {"prompt": f"question {doc}", "part": doc % 2},
        "target": str(target),
        "resps": [[[str(p), "False"]] for p in log_probs],
        "filtered_resps": [[str(p), "False"] for p in log_probs],
        "filter": "none",
        "metrics": ["acc"],
        "doc_hash": f"hash {doc}",
        "acc": float(gap > 0),
        **more,
    }


def logs(folder: Path, entries: list[list[dict[str, Any]]]) -> list[str]:
    paths = []
    for size, lines in zip(SIZES, entries, strict=True):
        path = folder / f"samples_neqa_{size}.jsonl"
        paths.append(f"{size}={write(path, lines)}")
    return paths


# What is read


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "json", "jsonl"])
def test_every_kind_of_table_gives_the_same_curve(kind: str, tmp_path: Path) -> None:
    curve = read_curve([write(tmp_path / f"t.{kind}", items())], CurveRequest())
    assert (curve.sizes, curve.seeds, curve.groups) == (SIZES, (0, 1), ("g0", "g1", "g2"))
    assert curve.values is not None
    np.testing.assert_allclose(curve.values, np.broadcast_to(np.array([0.5, 1.5, 2.5])[:, None] / 4, (2, 3, 3)))
    assert (curve.n_items, curve.left_out, curve.notes) == (6, 0, ())


def test_rows_in_any_order_give_the_same_curve() -> None:
    rows = items()
    mixed = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    one, other = curve_of(rows, CurveRequest()), curve_of(mixed, CurveRequest())
    assert one.values is not None
    assert other.values is not None
    np.testing.assert_array_equal(one.values, other.values)
    assert (one.sizes, one.groups) == (other.sizes, other.groups)


def test_means_bring_their_errors() -> None:
    curve = curve_of(means(), CurveRequest())
    assert curve.values is None
    assert curve.errors is not None
    eased = 51 / 102
    assert curve.errors[0, 0] == pytest.approx((eased * (1 - eased) / 102) ** 0.5)
    given = curve_of([{**row, "se": 0.07} for row in means()], CurveRequest())
    assert given.errors is not None
    np.testing.assert_array_equal(given.errors, 0.07)


def test_a_share_of_0_or_1_still_has_an_error() -> None:
    curve = curve_of([{**row, "mean": 1.0} for row in means()], CurveRequest())
    assert curve.errors is not None
    assert (curve.errors > 0.005).all()


def test_an_item_that_some_models_lack_counts_where_it_has_a_value() -> None:
    rows = [row for row in items() if not (row["item"] == "q1" and row["size"] == 2000 and row["seed"] == 1)]
    curve = curve_of(rows, CurveRequest())
    assert (curve.n_items, curve.left_out, curve.missing) == (6, 0, 1)
    assert curve.notes == (
        "1 of 36 values are missing (most: 1 at 2,000, seed 1); sizes are compared within items, and each mean is that of "
        "all items, estimated where some are missing",
    )
    np.testing.assert_allclose(curve.means, curve_of(items(), CurveRequest()).means)


def test_an_item_that_a_seed_lacks_is_left_out_and_counted() -> None:
    rows = [row for row in items() if not (row["item"] == "q1" and row["seed"] == 1)]
    curve = curve_of(rows, CurveRequest())
    assert (curve.n_items, curve.left_out, curve.missing) == (5, 1, 0)
    assert curve.notes == ("1 of 6 items are left out, since a seed lacks them at all sizes",)


def test_of_300_items_with_5_percent_missing_none_is_lost_and_the_models_that_lack_most_are_named() -> None:
    rng = np.random.default_rng(0)
    ease = rng.normal(0, 1, 300)
    rows = [
        {"size": 1000 * size, "seed": seed, "item": item, "value": float(ease[item] + 0.1 * size + rng.normal(0, 0.01))}
        for seed in range(3)
        for size in range(1, 9)
        for item in range(300)
    ]
    # The largest model of seed 2 also lacks the easiest items.
    hardest = np.argsort(ease)[:240]
    kept = [
        row
        for row in rows
        if rng.random() > 0.05 and ((row["size"], row["seed"]) != (8000, 2) or row["item"] in hardest)
    ]
    curve = curve_of(kept, CurveRequest("logit_gap"))
    assert (curve.n_items, curve.left_out, curve.missing) == (300, 0, len(rows) - len(kept))
    assert "(most: 69 at 8,000, seed 2; 2" in curve.notes[0]
    np.testing.assert_allclose(np.diff(curve.means), 0.1, atol=0.005)


def test_sizes_that_share_few_items_are_named() -> None:
    rows = [row for row in items(count=60) if row["size"] != 2000 or int(row["item"][1:]) < 10]
    assert "sizes 1,000 and 2,000 share items of only 5 groups" in curve_of(rows, CurveRequest()).notes[1]


def test_without_groups_each_item_is_a_group() -> None:
    rows = [{k: v for k, v in row.items() if k != "group"} for row in items()]
    assert len(curve_of(rows, CurveRequest()).groups) == 6
    assert curve_of(items(topic="one"), CurveRequest(group="topic")).groups == ("one",)


@pytest.mark.parametrize(
    ("axis", "column"), [("parameters", "n_params"), ("tokens", "tokens"), ("flops", "flops"), ("step", "step")]
)
def test_a_curve_runs_against_any_axis(axis: str, column: str) -> None:
    rows = [{column: row.pop("size"), **row} for row in items()]
    assert curve_of(rows, CurveRequest(axis=axis)).sizes == SIZES


@pytest.mark.parametrize("axis", ["tokens", "flops", "step"])
def test_parameters_are_not_taken_for_another_axis(axis: str) -> None:
    with pytest.raises(ScalingError, match=f"{axis} needs a column {axis} or .* size"):
        curve_of(items(), CurveRequest(axis=axis))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("70M", (70_000_000, None)),
        ("1.5B/seed2", (1_500_000_000, 2)),
        ("7e7", (70_000_000, None)),
        ("70 M", (70_000_000, None)),
        ("70,000,000", (70_000_000, None)),
        (".07b", (70_000_000, None)),
        ("1.3 billion", (1_300_000_000, None)),
        ("7bn", (7_000_000_000, None)),
        ("125 Million parameters", (125_000_000, None)),
        ("7,5", None),
        ("7 bits", None),
        ("2126", (2126, None)),
        ("0", (0, None)),
        ("70M/seed0", (70_000_000, 0)),
        ("3.14e23", (3.14e23, None)),
        ("results", None),
        ("M70", None),
        ("-5", None),
        ("1e400", None),
        ("1e308T", None),
        ("1e-320", None),
        pytest.param(f"70M/seed{'9' * 5000}", None, id="a seed of 5000 digits"),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, found: tuple[int, int | None] | None) -> None:
    assert parse_size(text) == found


def test_a_size_is_a_whole_number_only_while_a_float_is_exact() -> None:
    """numpy has no whole numbers beyond 64 bits, such as FLOPs, and could not draw them."""
    rows = [{"flops": size, "mean": 0.5, "n": 100} for size in (1e18, 3.14e23, 1e25)]
    assert np.asarray(curve_of(rows, CurveRequest(axis="flops")).sizes).dtype == float
    assert all(isinstance(size, int) for size in curve_of(items(), CurveRequest()).sizes)


def means_at(*sizes: str, **more: Any) -> Rows:
    return [{"size": size, "mean": 0.5, "n": 100, **more} for size in sizes]


def test_a_seed_next_to_a_size_is_read() -> None:
    names = [f"{size}M/seed{seed}" for seed in (3, 4) for size in (10, 20, 30)]
    assert curve_of(means_at(*names), CurveRequest()).seeds == (3, 4)
    assert curve_of(means_at(*names[:3], seed=3), CurveRequest()).seeds == (3,)
    assert curve_of(means_at(*names, seed=None), CurveRequest()).seeds == (3, 4)
    assert curve_of(means_at("10M", "20M", "30M", seed=5), CurveRequest()).seeds == (5,)
    with pytest.raises(ScalingError, match=r"seed 0 lacks size 20,000,000; .*: every seed needs every size"):
        curve_of(means_at("10M/seed0", "20M/seed1", "30M/seed2"), CurveRequest())
    for seed, named in ((4, names[:3]), (1, ["10M/seed0"])):
        with pytest.raises(ScalingError, match=rf"row 1: the seed is {seed} in column seed, but . in column size"):
            curve_of(means_at(*named, seed=seed), CurveRequest())


def test_large_seeds_keep_their_digits() -> None:
    for seed in (2**63 - 1, str(2**63 - 1)):
        assert curve_of(means(seed=seed), CurveRequest()).seeds == (2**63 - 1,)
    assert curve_of(means(seed="7.0"), CurveRequest()).seeds == (7,)


def test_items_are_read_from_value_even_next_to_a_column_mean() -> None:
    np.testing.assert_array_equal(
        curve_of(items(mean=0.5), CurveRequest()).means, curve_of(items(), CurveRequest()).means
    )


def test_any_column_can_be_chosen_by_and_grouped_by() -> None:
    rows = [{**row, "row": row["item"][1:]} for row in items()]
    assert curve_of(rows, CurveRequest(group="row")).groups == tuple("012345")
    assert curve_of(rows, CurveRequest(where=(("row", "3"),))).n_items == 1


def test_true_and_false_count_as_1_and_0() -> None:
    answers = [{**row, "value": row["value"] >= 0.5} for row in items()]
    counted = [{**row, "value": int(row["value"])} for row in answers]
    np.testing.assert_array_equal(curve_of(answers, CurveRequest()).means, curve_of(counted, CurveRequest()).means)


def test_messages_name_the_row_of_the_file(tmp_path: Path) -> None:
    sound, wrong = items(1, quantity="coverage"), changed(1, value="high", quantity="accuracy")
    for kind in ("parquet", "json"):
        rows = [{**row, "value": str(row["value"])} for row in sound + wrong]
        with pytest.raises(ScalingError, match=rf"t.{kind}, row 19: column value .*'high'"):
            read_curve([write(tmp_path / f"t.{kind}", rows)], CurveRequest("accuracy"))
    lines = tmp_path / "t.jsonl"
    lines.write_text("\n\n" + json.dumps({"size": 1, "mean": "high", "n": 5}))
    with pytest.raises(ScalingError, match=r"t\.jsonl, line 3: column mean"):
        read_curve([str(lines)], CurveRequest())


def test_the_table_that_ablate_writes_is_read_at_conflict() -> None:
    rows = items(seeds=1, quantity="accuracy", condition="conflict", task="t", family="f")
    rows += items(seeds=1, quantity="accuracy", condition="neutral", task="t", family="f")
    rows += items(seeds=1, quantity="true_pull", condition=None, task="t", family="f")
    curve = curve_of(rows, CurveRequest("accuracy"))
    assert (curve.n_items, curve.task, curve.families, curve.condition) == (6, "t", ("f",), "conflict")
    pull = curve_of(rows, CurveRequest("true_pull"))
    assert (pull.quantity, pull.condition) == ("true_pull", None)
    neutral = curve_of(rows, CurveRequest("accuracy", where=(("condition", "neutral"),)))
    assert (neutral.n_items, neutral.condition) == (6, "neutral")


def test_parameter_counts_of_that_table_are_never_asked_about() -> None:
    """The smallest embedded models have a few hundred parameters. In other tables, 216 may mean millions."""
    sizes = {1000: 216, 2000: 800, 4000: 70_000}
    other = [{**row, "n_params": sizes[row.pop("size")]} for row in items(quantity="accuracy", condition="conflict")]
    own = [{**dict.fromkeys(COLUMNS), **row} for row in other]
    assert curve_of(own, CurveRequest("accuracy")).sizes == (216, 800, 70_000)
    with pytest.raises(ScalingError, match="does it mean billions"):
        curve_of(other, CurveRequest("accuracy"))


# Logs


def test_logs_give_accuracy_gap_and_preference(tmp_path: Path) -> None:
    gaps = np.array([[1.0, -2.0, 0.5], [-1.0, -2.0, -0.5], [3.0, 2.0, 0.1]])
    files = logs(tmp_path, [[entry(d, g, target=d % 2) for d, g in enumerate(row)] for row in gaps])
    accuracy, gap, preference = (
        read_curve(files, CurveRequest(quantity)) for quantity in (None, "logit_gap", "distractor_preference")
    )
    np.testing.assert_allclose(accuracy.means[0], (gaps > 0).mean(-1))
    assert gap.values is not None
    np.testing.assert_allclose(gap.values[0], gaps)
    np.testing.assert_allclose(preference.means[0], (1 / (1 + np.exp(gaps))).mean(-1))
    assert read_curve(files, CurveRequest(group="part")).groups == ("0", "1")


def test_older_logs_hold_numbers(tmp_path: Path) -> None:
    old = [{**entry(d, 1.0), "filtered_resps": [[-1.0, False], [-2.0, True]], "target": 0} for d in range(3)]
    assert read_curve(logs(tmp_path, [old] * 3), CurveRequest("logit_gap")).means[0, 0] == pytest.approx(1)


def test_the_size_of_a_log_is_read_from_the_results_file_next_to_it(tmp_path: Path) -> None:
    files = []
    for size in SIZES:
        folder = tmp_path / str(size)
        folder.mkdir()
        date = "2026-01-21T03-44-18.123456"
        files.append(write(folder / f"samples_neqa_{date}.jsonl", [entry(d, 1.0) for d in range(3)]))
        (folder / f"results_{date}.json").write_text(json.dumps({"config": {"model_num_parameters": size}}))
    assert read_curve(files, CurveRequest()).sizes == SIZES
    with pytest.raises(ScalingError, match=r"size .*70M="):
        read_curve([write(tmp_path / "samples_x.jsonl", [entry(0, 1.0)])], CurveRequest())


@pytest.mark.parametrize("count", [True, 0, -1, "7", None, [7]])
def test_a_results_file_without_a_parameter_count_gives_no_size(count: Any, tmp_path: Path) -> None:
    date = "2026-01-21T03-44-18.123456"
    (tmp_path / f"results_{date}.json").write_text(json.dumps({"config": {"model_num_parameters": count}}))
    with pytest.raises(ScalingError, match=r"size .*unknown"):
        read_curve([write(tmp_path / f"samples_neqa_{date}.jsonl", [entry(0, 1.0)])], CurveRequest())


@pytest.mark.parametrize("field", ["value", "size", "seed", "answer", "target", "family", "filter"])
def test_a_group_field_may_have_the_name_of_a_column(field: str, tmp_path: Path) -> None:
    plain = [{**entry(d, 1.0 if d % 2 else -1.0), "doc": {"part": d % 3}} for d in range(9)]
    named = [{**line, "doc": {field: line["doc"]["part"]}} for line in plain]
    one, other = (
        read_curve(logs(folder, [lines] * 3), CurveRequest(group=group))
        for group, lines, folder in (("part", plain, tmp_path), (field, named, tmp_path))
    )
    np.testing.assert_array_equal(one.means, other.means)
    assert (one.groups, one.notes, one.families) == (other.groups, other.notes, other.families)


def test_accuracy_needs_no_log_probabilities(tmp_path: Path) -> None:
    lines = [{**entry(d, 1.0), "filtered_resps": None, "target": "Paris"} for d in range(3)]
    del lines[1]["filtered_resps"]
    assert read_curve(logs(tmp_path, [lines] * 3), CurveRequest()).means[0].tolist() == [1, 1, 1]


def test_seeds_of_logs_are_read_from_their_names(tmp_path: Path) -> None:
    files = [text.replace("=", f"/seed{seed}=") for seed in (0, 1) for text in logs(tmp_path, [[entry(0, 1.0)]] * 3)]
    assert read_curve(files, CurveRequest()).seeds == (0, 1)


def logged(metric: str, values: list[Any], **more: Any) -> list[dict[str, Any]]:
    lines = [entry(d, 1.0, metrics=[metric], **{metric: value}, **more) for d, value in enumerate(values)]
    return [{name: value for name, value in line.items() if name != "acc"} for line in lines]


@pytest.mark.parametrize("metric", ["acc_norm", "exact_match", "mc2"])
def test_every_metric_of_a_log_is_read(metric: str, tmp_path: Path) -> None:
    entries = [logged(metric, values) for values in ([1.0, 0.0, 1], [0, 0, True], [1, 1, 1])]
    for quantity in (metric, None):  # the only metric needs no name
        curve = read_curve(logs(tmp_path, entries), CurveRequest(quantity))
        assert curve.quantity == metric
        np.testing.assert_allclose(curve.means, [[2 / 3, 1 / 3, 1]])
    bare = [[{name: value for name, value in line.items() if name != "metrics"} for line in lines] for lines in entries]
    assert read_curve(logs(tmp_path, bare), CurveRequest(metric)).quantity == metric
    with pytest.raises(ScalingError, match=rf"line 1: the metric f1 is not logged; logged metrics: {metric}"):
        read_curve(logs(tmp_path, entries), CurveRequest("f1"))


def test_the_harness_metric_of_the_published_case_is_judged(tmp_path: Path) -> None:
    """A log of 20 items with `acc_norm` alone, whose name contains the size."""
    files = [
        write(tmp_path / f"samples_t_{size}.jsonl", logged("acc_norm", [1.0] * right + [0.0] * (20 - right)))
        for size, right in (("70M", 12), ("410M", 5), ("2.8B", 15))
    ]
    curve = read_curve(files, CurveRequest("acc_norm"))
    assert curve.sizes == (70_000_000, 410_000_000, 2_800_000_000)
    np.testing.assert_allclose(curve.means, [[0.6, 0.25, 0.75]])


def test_a_metric_that_is_no_number_names_its_line(tmp_path: Path) -> None:
    entries = [logged("perplexity", [1.5, [2.0, 7], 3.0])] * 3
    with pytest.raises(ScalingError, match=r"_1000.jsonl, line 2: column value must be a number, not \[2\.0, 7\]"):
        read_curve(logs(tmp_path, entries), CurveRequest("perplexity"))


def test_logs_of_several_tasks_are_kept_apart_by_their_names(tmp_path: Path) -> None:
    date = "2026-01-21T03-44-18.123456"
    files = []
    for size in (1, 2, 4):
        (tmp_path / f"me__m-{size}b").mkdir()
        for task, gap in (("a_task", 1.0), ("b", -1.0)):
            path = tmp_path / f"me__m-{size}b" / f"samples_{task}_{date}.jsonl"
            files.append(write(path, [entry(d, gap) for d in range(3)]))
    found = read_curves(files, CurveRequest())
    assert [(curve.task, curve.sizes[0], curve.means[0, 0]) for curve in found.curves] == [
        ("a_task", 10**9, 1),
        ("b", 10**9, 0),
    ]


def test_packed_logs_are_read(tmp_path: Path) -> None:
    files = logs(tmp_path, [[entry(d, 1.0) for d in range(3)]] * 3)
    packed = []
    for text in files:
        size, _, name = text.partition("=")
        Path(f"{name}.gz").write_bytes(gzip.compress(Path(name).read_bytes()))
        packed.append(f"{size}={name}.gz")
    np.testing.assert_array_equal(read_curve(packed, CurveRequest()).means, read_curve(files, CurveRequest()).means)


def test_a_bare_number_before_a_file_is_asked_about(tmp_path: Path) -> None:
    path = write(tmp_path / "samples_x.jsonl", [entry(0, 1.0)])
    with pytest.raises(ScalingError, match=r"7=.*would be 7 parameters; does it mean billions\? Write 7B"):
        read_curve([f"7={path}", f"13={path}"], CurveRequest())


def test_a_path_with_an_equals_sign_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("70M=x.csv"), means())
    write(Path("lr=1.csv"), means())
    for name in ("70M=x.csv", "lr=1.csv"):
        assert read_curve([name], CurveRequest()).sizes == SIZES


def test_a_name_that_is_too_long_for_a_file_is_refused() -> None:
    for name in (f"1B={'x' * 5000}.csv", f"a={'x' * 5000}.csv", f"{'x' * 5000}.json"):
        with pytest.raises(DistractorError):
            read_curve([name], CurveRequest())


def test_tasks_of_a_table_give_one_curve_each() -> None:
    rows = means(Task="a") + [row | {"mean": 0.7} for row in means(Task="b")]
    table = [{"dataset" if name == "Task" else name: value for name, value in row.items()} for row in rows]
    for named in (rows, table):
        with pytest.raises(ScalingError, match=r"one task, .*a, b; choose with --where task=a"):
            curve_of(named, CurveRequest())
        assert curve_of(named, CurveRequest(where=(("task", "b"),))).means[0, 0] == 0.7


def test_a_constant_responder_gets_a_note(tmp_path: Path) -> None:
    always = [entry(d, 1.0 if d % 2 == 0 else -1.0, target=d % 2) for d in range(40)]
    mixed = [entry(d, 1.0, target=d % 2) for d in range(40)]
    notes = read_curve(logs(tmp_path, [always, mixed, mixed]), CurveRequest()).notes
    assert len(notes) == 1
    assert all(fact in notes[0] for fact in ("(0)", "95%", "at 1,000, seed 0"))


# What is refused


def without(name: str) -> Rows:
    return [{k: v for k, v in row.items() if k != name} for row in items()]


def changed(number: int, **change: Any) -> Rows:
    rows = items()
    rows[number - 1] = {**rows[number - 1], **change}
    return rows


@pytest.mark.parametrize(
    ("rows", "curve_request", "message"),
    [
        ([], CurveRequest(), "no rows"),
        (
            without("size"),
            CurveRequest(),
            "parameters needs a column n_params or .* seed, item, group",
        ),
        (without("value"), CurveRequest(), "no column value, mean or accuracy; .* size, seed"),
        (without("item"), CurveRequest(), "a table of means needs a column n .* column item"),
        (items(), CurveRequest(group="x"), "no column 'x' to group items by"),
        ([{**row, "value": None} for row in items()], CurveRequest(), "column value is empty in all rows"),
        (changed(5, value=float("nan")), CurveRequest(), "row 5: column value .* number"),
        (changed(5, value="high"), CurveRequest(), "row 5: .*'high'"),
        (
            changed(5, value=61),
            CurveRequest(),
            "row 5: accuracy .* between 0 and 1, not 61; divide percentages by 100",
        ),
        (
            changed(5, size="big"),
            CurveRequest(),
            "row 5: column size .*70M.*'big'",
        ),
        (
            changed(5, size="1e400"),
            CurveRequest(),
            "row 5: column size .*'1e400'",
        ),
        (changed(5, size=-5), CurveRequest(), "row 5: column size .*-5"),
        (changed(5, size=0), CurveRequest(), "row 5: column size .*0"),
        (changed(5, size=True), CurveRequest(), "row 5: column size .*True"),
        (changed(5, seed=0.5), CurveRequest(), "row 5: column seed .*whole number"),
        (changed(5, seed=True), CurveRequest(), "row 5: column seed .*whole number, not True"),
        (
            changed(5, value=10**400),
            CurveRequest("logit_gap"),
            "row 5: column value .*number, not 1000",
        ),
        (changed(5, value=1e300), CurveRequest("logit_gap"), r"row 5: column value .*number below 1e\+40"),
        (changed(5, value=True), CurveRequest("logit_gap"), "row 5: column value .*number, not True"),
        (changed(5, value=[1]), CurveRequest(), r"row 5: column value .*number, not \[1\]"),
        (changed(5, item=None), CurveRequest(), "row 5: column item .*name"),
        (changed(5, item=float("nan")), CurveRequest(), "row 5: column item .*name"),
        (changed(5, group=""), CurveRequest(), "row 5: column group .*name"),
        ([*items()[:4], {"size": 1000, "value": 1}], CurveRequest(), "row 5: column item .*name"),
        (changed(5, quantity="loss"), CurveRequest(), "several quantities; .*--quantity: nothing, loss"),
        (changed(5, task=["a"]), CurveRequest(), r"one task, .*nothing, \['a'\]"),
        (changed(5, group="g9"), CurveRequest(), "row 11: item q4 .*g2.*g9"),
        (items() + items(), CurveRequest(), "row 37: item q0 .*twice at size 1000, seed 0; remove one"),
        (
            items(1, filter="a", step=1) + items(1, filter="a", step=2),
            CurveRequest(),
            "row 19: item q0 .*twice .*--where step=1",
        ),
        (
            [r for r in items() if (r["seed"], r["size"]) != (1, 2000)],
            CurveRequest(),
            "seed 1 lacks size 2,000: every seed",
        ),
        ([r for r in items() if r["item"] == f"q{r['seed']}"], CurveRequest(), "no item has a value for every seed"),
        (items(family="a")[:18] + items(family="b")[18:], CurveRequest(), "mix the families a, b.*--mixed-families"),
        (items(task="a")[:18] + items(task="b")[18:], CurveRequest(), "one task, .*--where task=a"),
        (items(), CurveRequest(where=(("task", "a"),)), "--where .*'task'; .* size"),
        (items(task="a"), CurveRequest(where=(("task", "b"),)), "no row has task = b; .* a"),
        (items(quantity="loss"), CurveRequest("accuracy"), "no accuracy; .* loss"),
        (
            items(quantity="a")[:18] + items(quantity="b")[18:],
            CurveRequest(),
            "several quantities; .*: a, b",
        ),
        (means()[:1] + means(), CurveRequest(), "row 2: size 1000, seed 0 .*twice"),
        (means(n=0), CurveRequest(), "row 1: n .*1 or more, not 0"),
        (means(n=True), CurveRequest(), "row 1: column n .*not True"),
        (means(se=-0.1), CurveRequest(), "row 1: se .*0 or more, not -0.1"),
        (means(mean=True), CurveRequest(), "row 1: column mean .*not True"),
        (means(), CurveRequest("logit_gap"), "a table of means needs a column se"),
    ],
)
def test_rows_that_need_a_guess_are_refused(rows: Rows, curve_request: CurveRequest, message: str) -> None:
    with pytest.raises(ScalingError, match=message):
        curve_of([{**row} for row in rows], curve_request)


def test_lists_and_numbers_can_be_names() -> None:
    assert curve_of(items(condition=["a"]), CurveRequest()).condition == "['a']"
    assert curve_of(items(quantity=5), CurveRequest("5")).quantity == "5"


def test_families_can_be_mixed_on_request() -> None:
    rows = items(family="a")[:18] + items(family="b")[18:]
    assert curve_of(rows, CurveRequest(mixed_families=True)).families == ("a", "b")
    assert curve_of(rows, CurveRequest(where=(("family", "a"),))).families == ("a",)


def test_files_that_are_not_tables_are_refused(tmp_path: Path) -> None:
    for name, text, message in (
        ("none.csv", None, "no file .*none.csv"),
        ("a.txt", "x", "a.txt is not a table; .*csv"),
        ("a.json", "{}", "no rows"),
        ("a.json", "", "no rows"),
        ("a.jsonl", "{\n", "line 1: not JSON"),
        ("a.csv", "", "a.csv has no rows; expected a header"),
        ("a.csv", "size,value,n\n", "a.csv has no rows"),
        ("a.csv", "size,value\n1,2\n3\n", "line 3: 1 cells"),
    ):
        path = tmp_path / name
        if text is not None:
            path.write_text(text)
        with pytest.raises(DistractorError, match=message):
            read_curve([str(path)], CurveRequest())


@pytest.mark.parametrize(
    ("change", "quantity", "message"),
    [
        ({"doc_hash": "another"}, None, "item 0 .*doc_hash"),
        ({"acc": float("nan")}, None, "column value .*number"),
        ({"filtered_resps": [["-1", "x"]] * 3}, "logit_gap", "needs the log-probabilities of two answers"),
        ({"filter": "strict"}, None, "one filter, .*none, strict"),
        ({}, "true_pull", "needs matched conditions"),
    ],
)
def test_logs_that_do_not_fit_are_refused(
    change: dict[str, Any], quantity: str | None, message: str, tmp_path: Path
) -> None:
    files = logs(tmp_path, [[entry(0, 1.0)], [entry(0, 1.0)], [entry(0, 1.0, **change)]])
    with pytest.raises(ScalingError, match=message):
        read_curve(files, CurveRequest(quantity))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"filtered_resps": ...}, "two answers, none above 0, in filtered_resps"),
        ({"filtered_resps": None}, "no readable ones"),
        ({"filtered_resps": "12"}, "no readable ones"),
        ({"filtered_resps": {"-1": 0, "-2": 0}}, "no readable ones"),
        ({"filtered_resps": ["-42", "-17"]}, "no readable ones"),
        ({"filtered_resps": [[True], [False]]}, "no readable ones"),
        ({"filtered_resps": [["nan"], ["-1"]]}, "no readable ones"),
        ({"filtered_resps": [[10**400], [-1]]}, "no readable ones"),
        ({"filtered_resps": [["4.1", "x"], ["2.3", "y"]]}, "no readable ones"),
        ({"filtered_resps": []}, "no readable ones"),
        ({"filtered_resps": [["-1", "x"]] * 3}, "two answers, .* 3"),
        *(
            ({"target": target}, "needs target, .*0 or 1")
            for target in (-1, "-1", 2, 0.7, float("inf"), "9" * 5000, [0], None, ...)
        ),
    ],
)
@pytest.mark.parametrize("quantity", ["logit_gap", "distractor_preference"])
def test_a_log_line_without_two_answers_is_named(
    quantity: str, change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    line = {k: v for k, v in {**entry(1, 1.0), **change}.items() if v is not ...}
    files = logs(tmp_path, [[entry(0, 1.0), entry(1, 1.0)]] * 2 + [[entry(0, 1.0), line]])
    with pytest.raises(ScalingError, match=rf"_4000.jsonl, line 2: {quantity} .*{message}"):
        read_curve(files, CurveRequest(quantity))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"acc": "right"}, "not 'right'"),
        ({"acc": [1]}, r"not \[1\]"),
        ({"acc": 10**400}, "not 1000"),
        ({"acc": 5}, "between 0 and 1"),
        ({"doc_id": None}, "column doc_id .*name"),
        ({"doc_id": ...}, "column doc_id .*name"),
        ({"acc": ..., "metrics": None}, "acc .*not logged; .*none"),
        ({"acc": ..., "metrics": "em"}, "acc .*not logged; .*none"),
        ({"doc": None}, "doc .*'part'.* none"),
        ({"doc": {"part": None}}, "column group .*name"),
    ],
)
def test_a_log_line_without_an_item_is_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    line = {k: v for k, v in {**entry(1, 1.0), **change}.items() if v is not ...}
    files = logs(tmp_path, [[entry(0, 1.0), entry(1, 1.0)]] * 2 + [[entry(0, 1.0), line]])
    with pytest.raises(ScalingError, match=f"_4000.jsonl, line 2: .*{message}"):
        read_curve(files, CurveRequest(group="part"))


def test_logs_without_accuracy_name_their_metrics(tmp_path: Path) -> None:
    bare = {k: v for k, v in entry(0, 1.0, metrics=["exact_match", "f1"]).items() if k != "acc"}
    with pytest.raises(ScalingError, match=r"acc .*exact_match, f1.*--quantity"):
        read_curve(logs(tmp_path, [[bare]] * 3), CurveRequest())
