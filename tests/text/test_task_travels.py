"""A task that goes to another process."""

import pickle
from dataclasses import replace

import pytest

from distractor.text.task import Task
from tasks.find import find_task


@pytest.mark.quick
def test_what_a_task_builds_for_another_process_is_built_once() -> None:
    task, built = find_task("hindsight_neglect"), []
    other = task.cue_alone
    assert other is not None

    def cue_alone() -> Task:
        built.append(1)
        return other()

    task = replace(task, cue_alone=cue_alone)
    hashed = task.fingerprint()
    copies = [pickle.loads(pickle.dumps(task)) for _ in range(3)]
    assert len(built) == 1
    assert {copy.fingerprint() for copy in copies} == {hashed}
    assert copies[0].with_cue_alone() == other()
