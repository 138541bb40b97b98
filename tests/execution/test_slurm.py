"""The script for Slurm runs under bash: a fake sbatch starts each shard, two of them are killed and requeued."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_workers import cells

from distractor.execution.slurm import script
from distractor.scoring.store import Store

SBATCH = """#!/usr/bin/env bash
# Runs the shards of an array one after the other, as Slurm would side by side. Each is killed and requeued several times.
set -euo pipefail
echo "$@" >> "$LOG"
for word in "$@"; do
  case $word in
    --array=*) range=${word#--array=} ;;
    --wrap=*) wrapped=${word#--wrap=} ;;
  esac
done
if [ -n "${range-}" ]; then
  for id in $(seq "${range%-*}" "${range#*-}"); do
    export SLURM_ARRAY_TASK_ID=$id
    for seconds in $SECONDS_TO_LIVE; do
      timeout --signal=KILL "$seconds" bash -c "$wrapped" >&2 || echo "requeued $id" >> "$LOG"
    done
    bash -c "$wrapped" >&2
  done
else
  bash -c "$wrapped" >&2
fi
echo 1234
"""
SRUN = '#!/usr/bin/env bash\nexec "$@"\n'


def test_the_script_quotes_the_command_and_is_valid_bash(tmp_path: Path) -> None:
    text = script(["distractor", "ablate", "--task", "my task's.jsonl"], 8, 2)
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0
    assert "--array=0-7" in text
    assert "--shard \\$SLURM_ARRAY_TASK_ID/8" in text
    assert text.count("$(shards") == 2
    fake = tmp_path / "sbatch"
    fake.write_text('#!/usr/bin/env bash\nprintf "%s\\n" "$@" >> calls\necho 7\n')
    fake.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(
        ["bash", "-s", "--", "--partition=gpu"], input=text, text=True, check=True, cwd=tmp_path, env=environment
    )
    calls = (tmp_path / "calls").read_text(encoding="utf-8")
    assert calls.count("--partition=gpu") == 3
    assert calls.count("--dependency=afterany:7") == 2
    assert """--wrap=srun distractor ablate --task 'my task'"'"'s.jsonl' --shard $SLURM_ARRAY_TASK_ID/8""" in calls


@pytest.mark.slow
def test_the_script_of_a_study_runs_with_two_shards_killed_and_requeued(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(
        'tasks = ["negation_qa"]\nmodels = ["ladder/2x1", "ladder/16x2"]\nitems = 24\noptions = {figures = "none"}\n'
    )
    for name, content in (
        ("sbatch", SBATCH),
        ("srun", SRUN),
        ("distractor", f'#!/bin/sh\nexec "{sys.executable}" -m distractor "$@"\n'),
    ):
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(sys.path),
        "LOG": str(tmp_path / "log"),
    }

    def run(*words: str, text: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, input=text, text=True, check=True, cwd=tmp_path, env=environment, capture_output=True, timeout=900
        )

    begun = time.monotonic()
    run("distractor", "study", "study.toml", "--store", "whole", "--out", "whole-out", "--workers", "1")
    chance, whole = random.Random(0), time.monotonic() - begun
    # Two shards and two rounds: each number is the life of four jobs.
    environment["SECONDS_TO_LIVE"] = " ".join(f"{chance.uniform(0.05, 0.4) * whole:.2f}" for _ in range(10))
    printed = run("distractor", "study", "study.toml", "--sbatch", "2", "--workers", "1").stdout
    assert printed.count("job=$(shards") == 2
    done = run("bash", "-s", text=printed)
    assert (tmp_path / "log").read_text(encoding="utf-8").count("requeued") >= 20
    assert cells(Store(tmp_path / "runs" / ".cells")) == cells(Store(tmp_path / "whole"))
    for name in ("results.parquet", "summary.json"):
        (first,), (second,) = ([*(tmp_path / place).rglob(name)] for place in ("whole-out", "runs/study"))
        assert first.read_bytes() == second.read_bytes()
    assert "Ran " not in done.stderr.rpartition("1 of 1 runs")[2]
