"""The same items in every layout give the same curve, and a missing value is missing in all of them."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from distractor.curves.curve_file import read_curve
from distractor.curves.request import CurveRequest

pytestmark = pytest.mark.quick

SIZES = (70_000_000, 160_000_000, 1_400_000_000)
NAMES = ("pythia-70m", "pythia-160m", "pythia-1.4b")
RIGHT = np.random.default_rng(0).integers(0, 2, (3, 12)).astype(float)
RIGHT[1, 4] = np.nan


def long(**columns: str) -> pd.DataFrame:
    """One row for each item; a keyword gives another header to a column."""
    rows = [
        {"size": size, "model": name, "item": f"q{i:02}", "group": f"g{i // 2}", "value": right}
        for size, name, of_model in zip(SIZES, NAMES, RIGHT, strict=True)
        for i, right in enumerate(of_model)
    ]
    return pd.DataFrame(rows).rename(columns=columns)


def wide(headers: tuple[str, ...]) -> pd.DataFrame:
    table = {"item": [f"q{i:02}" for i in range(12)], "group": [f"g{i // 2}" for i in range(12)]}
    return pd.DataFrame(table | dict(zip(headers, RIGHT, strict=True)))


def as_csv(table: pd.DataFrame, folder: Path) -> list[str]:
    table.to_csv(folder / "t.csv", index=False)
    return [str(folder / "t.csv")]


def as_packed_csv(table: pd.DataFrame, folder: Path) -> list[str]:
    (folder / "t.csv.gz").write_bytes(gzip.compress(table.to_csv(index=False).encode()))
    return [str(folder / "t.csv.gz")]


def as_tsv(table: pd.DataFrame, folder: Path) -> list[str]:
    table.to_csv(folder / "t.tsv", index=False, sep="\t")
    return [str(folder / "t.tsv")]


def as_parquet(table: pd.DataFrame, folder: Path) -> list[str]:
    table.set_index("item").to_parquet(folder / "t.parquet")
    return [str(folder / "t.parquet")]


def as_json(table: pd.DataFrame, folder: Path) -> list[str]:
    table.to_json(folder / "t.json", orient="records")
    return [str(folder / "t.json")]


def as_json_lines(table: pd.DataFrame, folder: Path) -> list[str]:
    table.to_json(folder / "t.jsonl", orient="records", lines=True)
    return [str(folder / "t.jsonl")]


TABLES = {
    "sizes": long().drop(columns="model"),
    "names of models": long(model="Model Name", value="Acc").drop(columns="size"),
    "billions": long(size="Model Size (B)", item="doc_id", value="accuracy").assign(
        **{"Model Size (B)": lambda table: table["Model Size (B)"] / 1e9}
    ),
    "percent": long(value="Accuracy (%)").assign(**{"Accuracy (%)": lambda table: table["Accuracy (%)"] * 100}),
    "a column for each size": wide(("70M", "160M", "1.4B")),
    "a column for each model": wide(NAMES),
}


@pytest.mark.parametrize("write", [as_csv, as_packed_csv, as_tsv, as_parquet, as_json, as_json_lines])
@pytest.mark.parametrize("name", TABLES)
def test_every_layout_gives_the_same_curve(
    name: str, write: Callable[[pd.DataFrame, Path], list[str]], tmp_path: Path
) -> None:
    table = TABLES[name].sample(frac=1, random_state=0)
    if write is as_parquet and "item" not in table:
        table = table.rename(columns={"doc_id": "item"})
    check(write(table, tmp_path))


def test_logs_give_the_same_curve_as_tables(tmp_path: Path) -> None:
    files = []
    for name, of_model in zip(NAMES, RIGHT, strict=True):
        folder = tmp_path / f"EleutherAI__{name}"
        folder.mkdir()
        lines = [
            json.dumps(
                {"doc_id": i, "doc": {"part": f"g{i // 2}"}, "filtered_resps": [], "metrics": ["acc"], "acc": right}
            )
            for i, right in enumerate(None if np.isnan(right) else right for right in of_model)
        ]
        path = folder / "samples_t_2026-01-21T03-44-18.123456.jsonl"
        path.write_text("\n".join(lines), encoding="utf-8")
        files.append(str(path))
    check(files, CurveRequest(group="part"))


def check(files: list[str], request: CurveRequest | None = None) -> None:
    """The curve of some files is that of RIGHT: sizes, groups, the complete sizes' means, and one missing value."""
    curve = read_curve(files, request or CurveRequest())
    assert (curve.sizes, curve.groups) == (SIZES, tuple(f"g{k}" for k in range(6)))
    np.testing.assert_allclose(curve.means[0, [0, 2]], RIGHT[[0, 2]].mean(1))
    assert "1 of 36 values are empty and count as missing" in curve.notes
    assert curve.missing == 1
