"""A task in the official columns of the Inverse Scaling Prize: what lm-evaluation-harness and others can read."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distractor.errors import StoreError
from distractor.files import write_text
from distractor.text.task import Condition, Task


def rows(task: Task) -> Iterator[dict[str, Any]]:
    """One row an item: its `conflict` prompt, the two answers as a list in a string, and which of them is right.

    The order of the answers says nothing of which is right: that of the alphabet.
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
    """Write a task's rows as JSON lines, whole or not at all; a file that holds something else is only replaced by `force`.

    Raises:
        StoreError: there is another file, or it cannot be written.

    """
    text = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows(task))
    if not force and path.exists() and (not path.is_file() or path.read_bytes() != text.encode()):
        raise StoreError(f"{path} is there and holds something else; choose another place with --out, or give --force")
    write_text(path, text)
