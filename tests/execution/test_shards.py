"""Shards over a shared store give the bytes of one process, whatever is stored already."""

import itertools
from pathlib import Path

import pytest
from test_workers import CPU, cells, sources

import small_ladder
from distractor.errors import TaskError
from distractor.execution.here import Here
from distractor.execution.shards import Shard, ShardExecutor
from distractor.execution.unit import units_of
from distractor.models import families
from distractor.scoring.requests import PartDone, executing
from distractor.scoring.store import Store
from distractor.scoring.sweep import score_requests, sweep
from small_ladder import COMMAND, type_in
from tasks.find import find_task

TASK = find_task("negation_qa", None, 8)


@pytest.mark.parametrize("text", ["3/3", "0/0", "-1/3", "1", "a/b", "1/3/5", "", "0/99999"])
def test_a_shard_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(TaskError, match="--shard is"):
        Shard.parse(text)


def test_each_model_is_in_one_shard_and_large_ones_are_spread() -> None:
    units = units_of(score_requests(TASK, sources(), CPU))
    shares = [Shard(index, 2).share(units) for index in range(2)]
    assert sorted(unit.name for share in shares for unit in share) == sorted(unit.name for unit in units)
    assert [share[0].source.model for share in shares] == ["8x1", "2x1"]
    assert [unit.name for unit in Shard(0, 2).share(units[::-1])] == [unit.name for unit in shares[0]]


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
def test_a_shard_computes_its_own_models_only_and_the_last_one_goes_on(order: tuple[int, ...], tmp_path: Path) -> None:
    whole, shared = Store(tmp_path / "whole"), Store(tmp_path / "shared")
    sweep(TASK, sources(), whole, CPU)
    for count, index in enumerate(order, 1):
        with executing(ShardExecutor(Shard(index, 3), Here())):
            if count < 3:
                with pytest.raises(PartDone, match=f"Shard {index}/3 is done: 1 model. Results of {3 - count} model"):
                    sweep(TASK, sources(), shared, CPU)
            else:
                sweep(TASK, sources(), shared, CPU)
        assert len(cells(shared)) == count * len(TASK.conditions)
    assert cells(shared) == cells(whole)


def test_shards_of_the_command_write_results_alone_and_the_command_then_computes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(families, "LADDER", small_ladder.make(tmp_path / "ladder"))
    monkeypatch.chdir(tmp_path)
    command = [*COMMAND, "--device", "cpu", "--workers", "1", "--figures", "none"]
    assert type_in([*command, "--store", "whole", "--out", "out"]) == 0
    for _ in range(2):  # knock-outs depend on the scores of all shards
        for index in range(3):
            assert type_in([*command, "--store", "shared", "--shard", f"{index}/3", "--out", "none"]) == 0
    assert "Every result is stored" in capsys.readouterr().err
    assert not Path("none").exists()
    assert cells(Store(Path("shared"))) == cells(Store(Path("whole")))
    monkeypatch.setattr("distractor.models.load.load", lambda *_, **__: pytest.fail("a model was loaded"))
    assert type_in([*command, "--store", "shared", "--out", "again"]) == 0
    assert (tmp_path / "again" / "results.parquet").read_bytes() == (tmp_path / "out" / "results.parquet").read_bytes()


def test_a_wrong_shard_is_one_message_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(families, "LADDER", small_ladder.make(tmp_path / "ladder"))
    monkeypatch.chdir(tmp_path)
    assert type_in([*COMMAND, "--shard", "5/3"]) == 2
    assert "numbers run from 0 to the count minus 1" in capsys.readouterr().err
    assert not Path("runs").exists() or not [*Path("runs").iterdir()]
