"""Exports a task in the official columns of the Inverse Scaling Prize, which lm-evaluation-harness can read."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distractor.errors import StoreError
from distractor.files import write_text
from distractor.text.task import Condition, Task


def rows(task: Task) -> Iterator[dict[str, Any]]:
    """Yield one row for each item: its `conflict` prompt, both answers as a list in a string, and the right one's index.

    Answers are sorted, so their order does not reveal which one is right.
    """
    for item in task.items:
        classes = sorted(item.answers)
        yield {
            "prompt": item.prompts[Condition.CONFLICT],
            "classes": repr(classes),
            "answer_index": classes.index(item.true),
            "round": 1,
            "part": 1,
        }


def export(task: Task, path: Path, *, force: bool = False) -> None:
    """Write a task's rows as JSON Lines, in one step. A file with other content is replaced only with `force`.

    Raises:
        StoreError: another file has this path, or it cannot be written.
    """
    text = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows(task))
    if not force and path.exists() and (not path.is_file() or path.read_bytes() != text.encode()):
        raise StoreError(f"{path} exists and has other content; choose another path with --out, or add --force")
    write_text(path, text)
