"""The committed calibration: its page says what was counted, every cell was run, and the error rates are within bounds."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "experiments" / "calibration"


@pytest.fixture(scope="module")
def calibrate() -> Any:
    spec = importlib.util.spec_from_file_location("calibrate", FOLDER / "calibrate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["calibrate"] = module  # where its dataclasses look for their annotations
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def done(calibrate: Any) -> Any:
    return calibrate.read_counts(FOLDER / "counts.csv")


def test_the_page_says_what_was_counted(calibrate: Any, done: Any, tmp_path: Path) -> None:
    calibrate.write_page(tmp_path, done)
    assert (tmp_path / "README.md").read_text() == (FOLDER / "README.md").read_text()


def test_every_cell_was_run_on_a_thousand_ladders(calibrate: Any, done: Any) -> None:
    lacking = [f"{c.part}: {c.name}" for c in calibrate.cells() if (c.part, c.name) not in done]
    assert not lacking
    assert min(one.ladders for one in done.values()) >= 1000


def test_no_row_has_more_false_turns_than_may_be(done: Any) -> None:
    rates = {
        (part, cell): one.percent("turned") for (part, cell), one in done.items() if part in ("level-1", "level-2")
    }
    worst = max(rates, key=lambda place: rates[place])
    assert rates[worst] <= 6.5, worst


def test_turning_point_sets_cover_the_planted_one(done: Any) -> None:
    assert min(one.percent("held") for (part, _), one in done.items() if part == "power") >= 93


def test_a_turn_of_delta_is_not_ruled_out_more_often_than_may_be(done: Any) -> None:
    assert max(one.percent("false") for (part, _), one in done.items() if part == "no-u") <= 6.5


def test_the_verdict_is_seldom_wrong_and_with_five_seeds_mostly_right(calibrate: Any, done: Any) -> None:
    for (part, cell), one in done.items():
        if part != "verdict":
            continue
        noise, seeds, world, _ = cell.split("; ")
        right = calibrate.WORLDS[world]
        if right != "supported":
            assert max(one.percent("2 supported"), one.percent("1 supported")) <= 5, cell
        if (noise, seeds) == ("little", "5"):
            assert one.percent(f"2 {right}") >= 80, cell
