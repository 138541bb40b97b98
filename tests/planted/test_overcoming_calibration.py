"""The labels of `overcoming` are right or undetermined on planted models of several strengths, with noisy weights."""

from pathlib import Path

import pytest

from experiments.overcoming.calibration import (
    CIRCUITS,
    GROUPS,
    HERE,
    OUTCOMES,
    UNDETERMINED,
    Case,
    cases,
    outcome,
    overcome,
    page_of,
    read_rows,
)
from shelf import NOISE

NOISY = 2.5 * NOISE
FEW = (
    Case("backup", "gpt_neox", NOISE, 11, 4.0, 0.5),
    Case("gate", "llama", NOISY, 12, 3.0, 2.0),
    Case("silenced_through_an_mlp", "llama", NOISE, 13, 3.0, 1.0),
    Case("cancelled_by_an_mlp", "gpt_neox", NOISE, 14, 2.5, 2.5),
    Case("inversion", "gpt_neox", NOISY, 15, 3.0, 1.5),
    Case("half_silenced", "llama", NOISE, 16, 3.0, 2.0),
)
"""Models that are not among those of the experiment."""


@pytest.mark.parametrize("case", FEW, ids=lambda case: f"{case.circuit}-{case.architecture}")
def test_the_planted_label_is_found_with_other_strengths_and_seeds(case: Case, tmp_path: Path) -> None:
    found, planted = overcome(case, tmp_path, groups=32).found, case.planted().answer
    assert outcome(planted or UNDETERMINED, found.label) == "right", found.reason


@pytest.mark.parametrize(
    ("planted", "label", "expected"),
    [
        ("override", "override", "right"),
        ("override", "suppression downstream", "wrong"),
        ("override", "undetermined", UNDETERMINED),
        ("override", "shared, undetermined", UNDETERMINED),
        (UNDETERMINED, "shared, undetermined", "right"),
        (UNDETERMINED, "override", "wrong"),
        ("unlearning", "override", "wrong"),
    ],
)
def test_a_definite_label_is_wrong_unless_it_was_planted(planted: str, label: str, expected: str) -> None:
    assert expected in OUTCOMES
    assert outcome(planted, label) == expected


def test_the_page_shows_every_model_and_its_wrong_labels_are_few() -> None:
    rows = read_rows(HERE / "labels.csv")
    assert sorted(tuple(row.values())[:6] for row in rows) == sorted(case.key for case in cases())
    page = (HERE / "README.md").read_text(encoding="utf-8")
    assert page == page_of(rows)
    assert len(page.splitlines()) <= 60
    found = [outcome(row["planted"], row["label"]) for row in rows]
    assert found.count("wrong") <= 0.05 * len(found)
    for name, make in CIRCUITS.items():
        assert {row["planted"] for row in rows if row["circuit"] == name} == {make().answer or UNDETERMINED}


@pytest.mark.slow
@pytest.mark.parametrize("circuit", CIRCUITS)
def test_the_labels_of_the_experiment_come_out_again(circuit: str, tmp_path: Path) -> None:
    rows = {tuple(row.values())[:6]: row["label"] for row in read_rows(HERE / "labels.csv")}
    for number, case in enumerate(cases([circuit])):
        assert overcome(case, tmp_path / str(number), GROUPS).found.label == rows[case.key]
