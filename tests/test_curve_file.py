"""Anyone's results are read as they are, or refused: nothing is guessed, nothing averaged away, what is left out is told."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distractor.curves.curve_file import Wanted, curve_of, parse_size, read_curve
from distractor.errors import ScalingError

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
    log_probs = [-1.0, -1.0 - gap] if target == 0 else [-1.0 - gap, -1.0]
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
    curve = read_curve([write(tmp_path / f"t.{kind}", items())], Wanted())
    assert (curve.sizes, curve.seeds, curve.groups) == (SIZES, (0, 1), ("g0", "g1", "g2"))
    assert curve.values is not None
    np.testing.assert_allclose(curve.values, np.broadcast_to(np.array([0.5, 1.5, 2.5])[:, None] / 4, (2, 3, 3)))
    assert (curve.n_items, curve.left_out, curve.notes) == (6, 0, ())


def test_rows_in_any_order_give_the_same_curve() -> None:
    rows = items()
    mixed = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    one, other = curve_of(rows, Wanted()), curve_of(mixed, Wanted())
    assert one.values is not None
    assert other.values is not None
    np.testing.assert_array_equal(one.values, other.values)
    assert (one.sizes, one.groups) == (other.sizes, other.groups)


def test_means_bring_their_errors() -> None:
    curve = curve_of(means(), Wanted())
    assert curve.values is None
    assert curve.errors is not None
    eased = 51 / 102
    assert curve.errors[0, 0] == pytest.approx((eased * (1 - eased) / 102) ** 0.5)
    given = curve_of([{**row, "se": 0.07} for row in means()], Wanted())
    assert given.errors is not None
    np.testing.assert_array_equal(given.errors, 0.07)


def test_a_share_of_0_or_1_still_has_an_error() -> None:
    curve = curve_of([{**row, "mean": 1.0} for row in means()], Wanted())
    assert curve.errors is not None
    assert (curve.errors > 0.005).all()


def test_items_missing_in_some_models_are_left_out_and_counted() -> None:
    rows = [row for row in items() if not (row["item"] == "q1" and row["size"] == 2000 and row["seed"] == 1)]
    curve = curve_of(rows, Wanted())
    assert (curve.n_items, curve.left_out) == (5, 1)
    assert curve.notes == ("1 of 6 items were not posed to every model and are left out",)


def test_without_groups_each_item_is_its_own() -> None:
    rows = [{k: v for k, v in row.items() if k != "group"} for row in items()]
    assert len(curve_of(rows, Wanted()).groups) == 6
    assert curve_of(items(topic="one"), Wanted(group="topic")).groups == ("one",)


@pytest.mark.parametrize(
    ("axis", "column"), [("parameters", "n_params"), ("tokens", "tokens"), ("flops", "flops"), ("step", "step")]
)
def test_a_curve_runs_against_any_axis(axis: str, column: str) -> None:
    rows = [{column: row.pop("size"), **row} for row in items()]
    assert curve_of(rows, Wanted(axis=axis)).sizes == SIZES


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("70M", (70_000_000, 0)),
        ("1.5B/seed2", (1_500_000_000, 2)),
        ("7e7", (70_000_000, 0)),
        ("2126", (2126, 0)),
        ("0", (0, 0)),
        ("results", None),
        ("M70", None),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, found: tuple[int, int] | None) -> None:
    assert parse_size(text) == found


def test_the_table_that_ablate_writes_is_read_at_conflict() -> None:
    rows = items(seeds=1, quantity="accuracy", condition="conflict", task="t", family="f")
    rows += items(seeds=1, quantity="accuracy", condition="neutral", task="t", family="f")
    rows += items(seeds=1, quantity="true_pull", condition=None, task="t", family="f")
    curve = curve_of(rows, Wanted("accuracy"))
    assert (curve.n_items, curve.task, curve.families) == (6, "t", ("f",))
    assert curve_of(rows, Wanted("true_pull")).quantity == "true_pull"
    neutral = curve_of(rows, Wanted("accuracy", where=(("condition", "neutral"),)))
    assert neutral.n_items == 6


# Logs


def test_logs_give_accuracy_gap_and_preference(tmp_path: Path) -> None:
    gaps = np.array([[1.0, -2.0, 0.5], [-1.0, -2.0, -0.5], [3.0, 2.0, 0.1]])
    files = logs(tmp_path, [[entry(d, g, target=d % 2) for d, g in enumerate(row)] for row in gaps])
    accuracy, gap, preference = (
        read_curve(files, Wanted(quantity)) for quantity in (None, "logit_gap", "distractor_preference")
    )
    np.testing.assert_allclose(accuracy.means[0], (gaps > 0).mean(-1))
    assert gap.values is not None
    np.testing.assert_allclose(gap.values[0], gaps)
    np.testing.assert_allclose(preference.means[0], (1 / (1 + np.exp(gaps))).mean(-1))
    assert read_curve(files, Wanted(group="part")).groups == ("0", "1")


def test_older_logs_hold_numbers(tmp_path: Path) -> None:
    old = [{**entry(d, 1.0), "filtered_resps": [[-1.0, False], [-2.0, True]], "target": 0} for d in range(3)]
    assert read_curve(logs(tmp_path, [old] * 3), Wanted("logit_gap")).means[0, 0] == pytest.approx(1)


def test_a_logs_size_is_read_from_the_results_beside_it(tmp_path: Path) -> None:
    files = []
    for size in SIZES:
        folder = tmp_path / str(size)
        folder.mkdir()
        date = "2026-01-21T03-44-18.123456"
        files.append(write(folder / f"samples_neqa_{date}.jsonl", [entry(d, 1.0) for d in range(3)]))
        (folder / f"results_{date}.json").write_text(json.dumps({"config": {"model_num_parameters": size}}))
    assert read_curve(files, Wanted()).sizes == SIZES
    with pytest.raises(ScalingError, match=r"how large is the model .* 70M="):
        read_curve([write(tmp_path / "samples_x.jsonl", [entry(0, 1.0)])], Wanted())


def test_seeds_of_logs_are_named(tmp_path: Path) -> None:
    files = [text.replace("=", f"/seed{seed}=") for seed in (0, 1) for text in logs(tmp_path, [[entry(0, 1.0)]] * 3)]
    assert read_curve(files, Wanted()).seeds == (0, 1)


def test_a_constant_responder_is_named(tmp_path: Path) -> None:
    always = [entry(d, 1.0 if d % 2 == 0 else -1.0, target=d % 2) for d in range(40)]
    mixed = [entry(d, 1.0, target=d % 2) for d in range(40)]
    notes = read_curve(logs(tmp_path, [always, mixed, mixed]), Wanted()).notes
    assert notes == ("the same answer (0) on more than 95% of the items at 1000, seed 0: its accuracy means nothing",)


# What is refused


def without(name: str) -> Rows:
    return [{k: v for k, v in row.items() if k != name} for row in items()]


def changed(number: int, **change: Any) -> Rows:
    rows = items()
    rows[number - 1] = {**rows[number - 1], **change}
    return rows


@pytest.mark.parametrize(
    ("rows", "wanted", "message"),
    [
        ([], Wanted(), "holds no rows"),
        (without("size"), Wanted(), "against parameters needs a column n_params or .*; there are: seed, item, group"),
        (without("value"), Wanted(), "no column value, mean or accuracy; there are: size, seed"),
        (without("item"), Wanted(), "a table of means needs a column n .* one of items a column item"),
        (items(), Wanted(axis="tokens", group="x"), "no column 'x' to group items by"),
        (changed(5, value=None), Wanted(), "row 5: column value should hold a number, and holds nothing"),
        (changed(5, value=float("nan")), Wanted(), "row 5: column value should hold a number, and holds nan"),
        (changed(5, value="high"), Wanted(), "row 5: .* holds 'high'"),
        (
            changed(5, value=61),
            Wanted(),
            "row 5: accuracy lies between 0 and 1; 61 came; percentages are to be divided",
        ),
        (changed(5, size="big"), Wanted(), "row 5: column size should hold a size as 70000000, 7e7 or 70M; 'big' came"),
        (changed(5, seed=0.5), Wanted(), "row 5: a seed is a whole number"),
        (changed(5, group="g9"), Wanted(), "item q4 is in group g2, before in g9; an item has one group"),
        (items() + items(), Wanted(), "row 37: item q0 stands twice at size 1000, seed 0; .*--where"),
        ([r for r in items() if (r["seed"], r["size"]) != (1, 2000)], Wanted(), "seed 1 lacks size 2000: every seed"),
        ([r for r in items() if r["item"] == f"q{r['seed']}"], Wanted(), "no item was posed to every model"),
        (items(family="a")[:18] + items(family="b")[18:], Wanted(), "mix the families a, b.*--mixed-families"),
        (items(task="a")[:18] + items(task="b")[18:], Wanted(), "one curve has one task; .*--where task=a"),
        (items(), Wanted(where=(("task", "a"),)), "--where names a column 'task'; there are: size"),
        (items(task="a"), Wanted(where=(("task", "b"),)), "no row has task = b; there are: a"),
        (items(quantity="loss"), Wanted("accuracy"), "holds no accuracy; there are: loss"),
        (items(quantity="a")[:18] + items(quantity="b")[18:], Wanted(), "several quantities; choose one .*: a, b"),
        (means()[:1] + means(), Wanted(), "row 2: size 1000, seed 0 stands twice"),
        (means(n=0), Wanted(), "row 1: n is a count of items, 1 or more; 0 came"),
        (means(), Wanted("logit_gap"), "a table of means needs a column se"),
    ],
)
def test_what_would_have_to_be_guessed_is_refused(rows: Rows, wanted: Wanted, message: str) -> None:
    with pytest.raises(ScalingError, match=message):
        curve_of([{**row} for row in rows], wanted)


def test_families_may_be_mixed_where_it_is_asked_for() -> None:
    rows = items(family="a")[:18] + items(family="b")[18:]
    assert curve_of(rows, Wanted(mixed_families=True)).families == ("a", "b")
    assert curve_of(rows, Wanted(where=(("family", "a"),))).families == ("a",)


def test_files_that_are_no_tables_are_refused(tmp_path: Path) -> None:
    for name, text, message in (
        ("none.csv", None, "there is no file"),
        ("a.txt", "x", "no table that can be read"),
        ("a.json", "{}", "a list of rows"),
        ("a.jsonl", "{\n", r"line 1: no JSON"),
        ("a.parquet", "x", "cannot be read as a table"),
        ("a.csv", "size,value\n1,2,3\n", "row 1: more values than the header has columns"),
    ):
        path = tmp_path / name
        if text is not None:
            path.write_text(text)
        with pytest.raises(ScalingError, match=message):
            read_curve([str(path)], Wanted())


@pytest.mark.parametrize(
    ("change", "quantity", "message"),
    [
        ({"doc_hash": "another"}, None, "item 0 is not the same question"),
        ({"acc": float("nan")}, None, "column value should hold a number"),
        ({"filtered_resps": [["-1", "x"]] * 3}, "logit_gap", "needs the log-probabilities of two answers"),
        ({"filter": "strict"}, None, "one curve has one filter; the rows have none, strict"),
        ({}, "true_pull", "needs matched conditions"),
    ],
)
def test_logs_that_do_not_fit_are_refused(
    change: dict[str, Any], quantity: str | None, message: str, tmp_path: Path
) -> None:
    files = logs(tmp_path, [[entry(0, 1.0)], [entry(0, 1.0)], [entry(0, 1.0, **change)]])
    with pytest.raises(ScalingError, match=message):
        read_curve(files, Wanted(quantity))


def test_logs_without_accuracy_say_what_there_is(tmp_path: Path) -> None:
    bare = {k: v for k, v in entry(0, 1.0, metrics=["exact_match"]).items() if k != "acc"}
    with pytest.raises(ScalingError, match="no metric acc is logged; there are: exact_match"):
        read_curve(logs(tmp_path, [[bare]] * 3), Wanted())
