"""Exports a task as a task folder of lm-evaluation-harness: one harness task for each condition with a right answer."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from distractor.errors import StoreError
from distractor.files import write_text
from distractor.text.task import Condition, Task

READER = '''"""Reads the prompts of one condition; written by `distractor tasks export`."""

import json
from pathlib import Path


def documents(condition, **_):
    """The documents of a condition, as the split that the harness asks for."""
    import datasets

    text = (Path(__file__).parent / "documents.jsonl").read_text(encoding="utf-8")
    rows = [row for row in map(json.loads, text.splitlines()) if row["condition"] == condition]
    return {"test": datasets.Dataset.from_list(rows)}
'''

OF_CONDITION = """\
task: {name}_{condition}
custom_dataset: !function reader.documents
dataset_kwargs:
  condition: {condition}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{prompt}}}}"
doc_to_choice: choices
doc_to_target: target
target_delimiter: ""
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1
"""

OF_TASK = """\
group: {name}
task:
{members}
metadata:
  version: 1
"""


def documents(task: Task) -> Iterator[dict[str, Any]]:
    """One document for each item under each condition with a right answer: prompt, both answers, the right one's place.

    Answers are sorted, so their order does not reveal which one is right.
    """
    for condition in conditions(task):
        right = task.right[condition]
        assert right is not None
        for item in task.items:
            if condition in item.prompts:
                choices = sorted(item.answers)
                yield {
                    "item": item.id,
                    "group": item.group,
                    "condition": condition.value,
                    "prompt": item.prompts[condition],
                    "choices": choices,
                    "target": choices.index(item.answers[right]),
                }


def conditions(task: Task) -> list[Condition]:
    """The task's conditions with a right answer."""
    return [condition for condition in task.conditions if task.right.get(condition) is not None]


def harness_files(task: Task) -> Mapping[str, str]:
    """The files of the folder and their content."""
    name = f"distractor_{task.name}"
    members = [f"  - {name}_{condition}" for condition in conditions(task)]
    return {
        "documents.jsonl": "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in documents(task)),
        "reader.py": READER,
        f"{name}.yaml": OF_TASK.format(name=name, members="\n".join(members)),
        **{f"{name}_{c}.yaml": OF_CONDITION.format(name=name, condition=c) for c in conditions(task)},
    }


def export_harness(task: Task, folder: Path, *, force: bool = False) -> None:
    """Write a task's folder. Files with other content are replaced only with `force`.

    Raises:
        StoreError: the folder holds other files, or cannot be written.
    """
    files = harness_files(task)
    if not force and folder.exists():
        there = {file.name: file for file in folder.iterdir()} if folder.is_dir() else {folder.name: folder}
        for name, file in there.items():
            if not file.is_file() or file.read_bytes() != files.get(name, "").encode():
                raise StoreError(
                    f"{file} exists and has other content; choose another folder with --out, or add --force"
                )
    for name, text in files.items():
        write_text(folder / name, text)
