"""Prints a script that submits a command to Slurm: job arrays over a shared store, then the whole command."""

import shlex
from collections.abc import Sequence

SCRIPT = """#!/usr/bin/env bash
# Submit with: bash submit.sh [options of sbatch, such as --partition=gpu --gres=gpu:1 --time=04:00:00]
# Submit it in this folder, on a disk that all nodes share. Jobs may be killed and requeued: nothing is lost.
set -euo pipefail
command={command}

shards() {{
  sbatch --parsable --requeue --array=0-{last} --job-name=distractor "$@" \\
    --wrap="srun $command --shard \\$SLURM_ARRAY_TASK_ID/{count}"
}}

{arrays}
sbatch --parsable --requeue --dependency=afterany:$job --job-name=distractor "$@" --wrap="srun $command"
"""
FIRST = 'job=$(shards "$@")'
NEXT = 'job=$(shards --dependency=afterany:$job "$@")'


def script(words: Sequence[str], count: int, rounds: int) -> str:
    """The script for a command in `count` shards.

    Some results depend on all scores, so the array runs `rounds` times. The last job computes what is still missing, and
    writes the pages.
    """
    arrays = "\n".join([FIRST, *[NEXT] * (rounds - 1)])
    return SCRIPT.format(command=shlex.quote(shlex.join(words)), last=count - 1, count=count, arrays=arrays)
