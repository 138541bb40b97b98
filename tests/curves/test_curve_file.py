"""Anyone's results are read as they are, or refused: nothing is guessed, nothing averaged away, what is left out is told."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distractor.curves.curve_file import Wanted, curve_of, read_curve
from distractor.curves.rows_file import parse_size
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


@pytest.mark.parametrize("axis", ["tokens", "flops", "step"])
def test_parameters_are_not_taken_for_another_axis(axis: str) -> None:
    with pytest.raises(ScalingError, match=f"against {axis} needs a column {axis} or .*; there are: size"):
        curve_of(items(), Wanted(axis=axis))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("70M", (70_000_000, None)),
        ("1.5B/seed2", (1_500_000_000, 2)),
        ("7e7", (70_000_000, None)),
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
    """Whole numbers beyond 64 bits, as FLOPs are, would be no numbers to numpy and could not be drawn."""
    rows = [{"flops": size, "mean": 0.5, "n": 100} for size in (1e18, 3.14e23, 1e25)]
    assert np.asarray(curve_of(rows, Wanted(axis="flops")).sizes).dtype == float
    assert all(isinstance(size, int) for size in curve_of(items(), Wanted()).sizes)


def beside(*sizes: str, **more: Any) -> Rows:
    return [{"size": size, "mean": 0.5, "n": 100, **more} for size in sizes]


def test_a_seed_beside_a_size_is_a_seed() -> None:
    names = [f"{size}M/seed{seed}" for seed in (3, 4) for size in (10, 20, 30)]
    assert curve_of(beside(*names), Wanted()).seeds == (3, 4)
    assert curve_of(beside(*names[:3], seed=3), Wanted()).seeds == (3,)
    assert curve_of(beside(*names, seed=None), Wanted()).seeds == (3, 4)
    assert curve_of(beside("10M", "20M", "30M", seed=5), Wanted()).seeds == (5,)
    with pytest.raises(ScalingError, match=r"seed 0 lacks size 2e\+07; .*: every seed must have every size"):
        curve_of(beside("10M/seed0", "20M/seed1", "30M/seed2"), Wanted())
    for seed, named in ((4, names[:3]), (1, ["10M/seed0"])):
        with pytest.raises(
            ScalingError, match=rf"row 1: the seed is {seed} by column seed, and . by column size; corr"
        ):
            curve_of(beside(*named, seed=seed), Wanted())


def test_large_seeds_keep_their_digits() -> None:
    for seed in (2**63 - 1, str(2**63 - 1)):
        assert curve_of(means(seed=seed), Wanted()).seeds == (2**63 - 1,)
    assert curve_of(means(seed="7.0"), Wanted()).seeds == (7,)


def test_items_have_a_value_even_where_a_mean_stands_beside_it() -> None:
    np.testing.assert_array_equal(curve_of(items(mean=0.5), Wanted()).means, curve_of(items(), Wanted()).means)


def test_any_column_can_be_chosen_by_and_grouped_by() -> None:
    rows = [{**row, "row": row["item"][1:]} for row in items()]
    assert curve_of(rows, Wanted(group="row")).groups == tuple("012345")
    assert curve_of(rows, Wanted(where=(("row", "3"),))).n_items == 1


def test_answers_told_as_true_and_false_count_as_1_and_0() -> None:
    told = [{**row, "value": row["value"] >= 0.5} for row in items()]
    counted = [{**row, "value": int(row["value"])} for row in told]
    np.testing.assert_array_equal(curve_of(told, Wanted()).means, curve_of(counted, Wanted()).means)


@pytest.mark.parametrize("kind", ["csv", "json", "jsonl"])
def test_a_byte_order_mark_and_ends_of_line_change_nothing(kind: str, tmp_path: Path) -> None:
    path = Path(write(tmp_path / f"t.{kind}", means()))
    plain = read_curve([str(path)], Wanted())
    for end in (b"\r\n", b"\r"):
        marked = tmp_path / f"marked.{kind}"
        marked.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", end))
        np.testing.assert_array_equal(read_curve([str(marked)], Wanted()).means, plain.means)


def test_the_row_that_is_named_is_the_files(tmp_path: Path) -> None:
    sound, wrong = items(1, quantity="coverage"), changed(1, value="high", quantity="accuracy")
    for kind in ("parquet", "json"):
        rows = [{**row, "value": str(row["value"])} for row in sound + wrong]
        with pytest.raises(ScalingError, match=rf"t.{kind}, row 19: column value .* holds 'high'"):
            read_curve([write(tmp_path / f"t.{kind}", rows)], Wanted("accuracy"))
    lines = tmp_path / "t.jsonl"
    lines.write_text("\n\n" + json.dumps({"size": 1, "mean": "high", "n": 5}))
    with pytest.raises(ScalingError, match=r"t\.jsonl, line 3: column mean"):
        read_curve([str(lines)], Wanted())


def test_the_table_that_ablate_writes_is_read_at_conflict() -> None:
    rows = items(seeds=1, quantity="accuracy", condition="conflict", task="t", family="f")
    rows += items(seeds=1, quantity="accuracy", condition="neutral", task="t", family="f")
    rows += items(seeds=1, quantity="true_pull", condition=None, task="t", family="f")
    curve = curve_of(rows, Wanted("accuracy"))
    assert (curve.n_items, curve.task, curve.families, curve.condition) == (6, "t", ("f",), "conflict")
    pull = curve_of(rows, Wanted("true_pull"))
    assert (pull.quantity, pull.condition) == ("true_pull", None)
    neutral = curve_of(rows, Wanted("accuracy", where=(("condition", "neutral"),)))
    assert (neutral.n_items, neutral.condition) == (6, "neutral")


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


@pytest.mark.parametrize("count", [True, 0, -1, "7", None, [7]])
def test_a_results_file_without_a_count_tells_no_size(count: Any, tmp_path: Path) -> None:
    date = "2026-01-21T03-44-18.123456"
    (tmp_path / f"results_{date}.json").write_text(json.dumps({"config": {"model_num_parameters": count}}))
    with pytest.raises(ScalingError, match="how large is the model"):
        read_curve([write(tmp_path / f"samples_neqa_{date}.jsonl", [entry(0, 1.0)])], Wanted())


@pytest.mark.parametrize("field", ["value", "size", "seed", "answer", "target", "family", "filter"])
def test_a_field_that_items_are_grouped_by_takes_no_columns_place(field: str, tmp_path: Path) -> None:
    plain = [{**entry(d, 1.0 if d % 2 else -1.0), "doc": {"part": d % 3}} for d in range(9)]
    named = [{**line, "doc": {field: line["doc"]["part"]}} for line in plain]
    one, other = (
        read_curve(logs(folder, [lines] * 3), Wanted(group=group))
        for group, lines, folder in (("part", plain, tmp_path), (field, named, tmp_path))
    )
    np.testing.assert_array_equal(one.means, other.means)
    assert (one.groups, one.notes, one.families) == (other.groups, other.notes, other.families)


def test_texts_in_logs_may_hold_any_character(tmp_path: Path) -> None:
    files = logs(tmp_path, [[{**entry(0, 1.0), "doc": {"prompt": "@"}}]] * 3)
    for text in files:
        path = Path(text.partition("=")[2])
        path.write_text(path.read_text().replace("@", "a\u2028b\x85c\x7f"), encoding="utf-8")
    assert read_curve(files, Wanted()).n_items == 1


def test_accuracy_needs_no_log_probabilities(tmp_path: Path) -> None:
    lines = [{**entry(d, 1.0), "filtered_resps": None, "target": "Paris"} for d in range(3)]
    del lines[1]["filtered_resps"]
    assert read_curve(logs(tmp_path, [lines] * 3), Wanted()).means[0].tolist() == [1, 1, 1]


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
        (items(), Wanted(group="x"), "no column 'x' to group items by"),
        (changed(5, value=None), Wanted(), "row 5: column value should hold a number, and holds nothing"),
        (changed(5, value=float("nan")), Wanted(), "row 5: column value should hold a number, and holds nan"),
        (changed(5, value="high"), Wanted(), "row 5: .* holds 'high'"),
        (
            changed(5, value=61),
            Wanted(),
            "row 5: accuracy lies between 0 and 1; 61 came; percentages are to be divided",
        ),
        (changed(5, size="big"), Wanted(), "row 5: column size should hold a size as 70000000, 7e7 or 70M; 'big' came"),
        (changed(5, size="1e400"), Wanted(), "row 5: column size should hold a size as 70000000, .* '1e400' came"),
        (changed(5, size=-5), Wanted(), "row 5: column size should hold a size .* -5 came"),
        (changed(5, size=0), Wanted(), "row 5: column size should hold a size .* 0 came"),
        (changed(5, size=True), Wanted(), "row 5: column size should hold a size .* True came"),
        (changed(5, seed=0.5), Wanted(), "row 5: a seed is a whole number"),
        (changed(5, seed=True), Wanted(), "row 5: column seed should hold a number, and holds True"),
        (changed(5, value=10**400), Wanted("logit_gap"), "row 5: column value should hold a number, and holds 1000"),
        (changed(5, value=1e300), Wanted("logit_gap"), r"row 5: column value should hold a number below 1e\+40"),
        (changed(5, value=True), Wanted("logit_gap"), "row 5: column value should hold a number, and holds True"),
        (changed(5, value=[1]), Wanted(), r"row 5: column value should hold a number, and holds \[1\]"),
        (changed(5, item=None), Wanted(), "row 5: column item should hold a name, and holds nothing"),
        (changed(5, item=float("nan")), Wanted(), "row 5: column item should hold a name, and holds nan"),
        (changed(5, group=""), Wanted(), "row 5: column group should hold a name, and holds nothing"),
        ([*items()[:4], {"size": 1, "value": 1}], Wanted(), "row 5: column item should hold a name"),
        (changed(5, quantity="loss"), Wanted(), "several quantities; choose one with --quantity: None, loss"),
        (changed(5, task=["a"]), Wanted(), r"one curve has one task; the rows have None, \['a'\]"),
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
        (means(n=True), Wanted(), "row 1: column n should hold a number, and holds True"),
        (means(se=-0.1), Wanted(), "row 1: se, a standard error, is 0 or more; -0.1 came"),
        (means(mean=True), Wanted(), "row 1: column mean should hold a number, and holds True"),
        (means(), Wanted("logit_gap"), "a table of means needs a column se"),
    ],
)
def test_what_would_have_to_be_guessed_is_refused(rows: Rows, wanted: Wanted, message: str) -> None:
    with pytest.raises(ScalingError, match=message):
        curve_of([{**row} for row in rows], wanted)


def test_values_that_are_no_names_are_names_all_the_same() -> None:
    """A condition that is a list, a quantity that is a number: read as what they are written as."""
    assert curve_of(items(condition=["a"]), Wanted()).condition == "['a']"
    assert curve_of(items(quantity=5), Wanted("5")).quantity == "5"


def test_families_may_be_mixed_where_it_is_asked_for() -> None:
    rows = items(family="a")[:18] + items(family="b")[18:]
    assert curve_of(rows, Wanted(mixed_families=True)).families == ("a", "b")
    assert curve_of(rows, Wanted(where=(("family", "a"),))).families == ("a",)


def test_files_that_are_no_tables_are_refused(tmp_path: Path) -> None:
    for name, text, message in (
        ("none.csv", None, "there is no file"),
        ("a.txt", "x", "no table that can be read"),
        ("a.json", "{}", "a list of rows"),
        ("a.json", "", "a.json: no JSON"),
        ("a.json", "[" * 100_000, "a.json: no JSON .*recursion"),
        ("a.json", '[{"size": 1, "value": 0, "value": 1}]', "no JSON that can be read .'value' stands twice"),
        ("a.json", '[{"size": ' + "9" * 5000 + "}]", "no JSON that can be read .Exceeds the limit"),
        ("a.json", '[{"task": "\\ud800"}]', "no JSON that can be read .*surrogates"),
        ("a.jsonl", "{\n", r"line 1: no JSON"),
        ("a.jsonl", "\n[1]\n", r"line 2: each line should be an object"),
        ("a.jsonl", "[" * 100_000, r"line 1: no JSON"),
        ("a.jsonl", "", "holds no rows"),
        ("a.parquet", "x", "cannot be read as a table"),
        ("a.csv", "", "holds no rows"),
        ("a.csv", "size,value\n1,2,3\n", "row 1: more values than the header has columns"),
        ("a.csv", "size,value\n1,2\n3\n", "row 2: fewer values than the header has columns"),
        ("a.csv", "size,value,value\n1,2,3\n", "two columns value; leave one out"),
        ("a.csv", 'size,value,item\n1,2,"a\n3,4,b\n', "cannot be read as a table: unexpected end"),
        *((f"a.{kind}", "\n\nsize\xe9", f"a.{kind}, line 3: no UTF-8") for kind in ("csv", "tsv", "json", "jsonl")),
        (f"{'a' * 5000}.csv", None, "cannot be read: File name too long"),
    ):
        path = tmp_path / name
        if text is not None:
            path.write_text(text, encoding="latin-1")
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


def test_parquet_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table([[1], [0.5], [0.7]], names=["size", "mean", "mean"]), tmp_path / "a.parquet")
    with pytest.raises(ScalingError, match="two columns mean; leave one out"):
        read_curve([str(tmp_path / "a.parquet")], Wanted())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"filtered_resps": ...}, "needs the log-probabilities of two answers, none above 0, .* none that can be read"),
        ({"filtered_resps": None}, "none that can be read"),
        ({"filtered_resps": "12"}, "none that can be read"),
        ({"filtered_resps": {"-1": 0, "-2": 0}}, "none that can be read"),
        ({"filtered_resps": ["-42", "-17"]}, "none that can be read"),
        ({"filtered_resps": [[True], [False]]}, "none that can be read"),
        ({"filtered_resps": [["nan"], ["-1"]]}, "none that can be read"),
        ({"filtered_resps": [[10**400], [-1]]}, "none that can be read"),
        ({"filtered_resps": [["4.1", "x"], ["2.3", "y"]]}, "none that can be read"),
        ({"filtered_resps": []}, "none that can be read"),
        ({"filtered_resps": [["-1", "x"]] * 3}, "of two answers, .* there are 3"),
        *(
            ({"target": target}, "needs target, which of the two answers is right")
            for target in (-1, "-1", 2, 0.7, float("inf"), "9" * 5000, [0], None, ...)
        ),
    ],
)
@pytest.mark.parametrize("quantity", ["logit_gap", "distractor_preference"])
def test_a_line_that_tells_no_two_answers_is_named(
    quantity: str, change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    line = {k: v for k, v in {**entry(1, 1.0), **change}.items() if v is not ...}
    files = logs(tmp_path, [[entry(0, 1.0), entry(1, 1.0)]] * 2 + [[entry(0, 1.0), line]])
    with pytest.raises(ScalingError, match=rf"_4000.jsonl, line 2: {quantity} .*{message}"):
        read_curve(files, Wanted(quantity))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"acc": None}, "holds nothing"),
        ({"acc": [1]}, r"holds \[1\]"),
        ({"acc": 10**400}, "holds 1000"),
        ({"acc": 5}, "lies between 0 and 1"),
        ({"doc_id": None}, "column doc_id should hold a name"),
        ({"doc_id": ...}, "column doc_id should hold a name"),
        ({"acc": ..., "metrics": None}, "no metric acc is logged; there are: none"),
        ({"acc": ..., "metrics": "em"}, "no metric acc is logged; there are: none"),
        ({"doc": None}, "its doc has no 'part' to group items by; there are: no fields at all"),
        ({"doc": {"part": None}}, "column group should hold a name"),
    ],
)
def test_a_line_that_tells_no_item_is_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    line = {k: v for k, v in {**entry(1, 1.0), **change}.items() if v is not ...}
    files = logs(tmp_path, [[entry(0, 1.0), entry(1, 1.0)]] * 2 + [[entry(0, 1.0), line]])
    with pytest.raises(ScalingError, match=f"_4000.jsonl, line 2: .*{message}"):
        read_curve(files, Wanted(group="part"))


def test_a_log_in_another_encoding_is_refused(tmp_path: Path) -> None:
    for place in (0, 1):
        files = logs(tmp_path, [[{**entry(d, 1.0), "doc": "@" * (d == place)} for d in range(2)]] * 3)
        path = Path(files[2].partition("=")[2])
        path.write_bytes(path.read_bytes().replace(b"@", b"\xe9"))
        with pytest.raises(ScalingError, match=rf"_4000.jsonl, line {place + 1}: no UTF-8 .byte 0xe9."):
            read_curve(files, Wanted())


def test_logs_without_accuracy_say_what_there_is(tmp_path: Path) -> None:
    bare = {k: v for k, v in entry(0, 1.0, metrics=["exact_match"]).items() if k != "acc"}
    with pytest.raises(ScalingError, match="no metric acc is logged; there are: exact_match"):
        read_curve(logs(tmp_path, [[bare]] * 3), Wanted())
