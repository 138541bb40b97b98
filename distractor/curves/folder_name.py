"""The folder of a task in a run of `distractor shape` on several tasks."""

import hashlib
import re

LONGEST = 80  # most characters of a folder's name


def folder_name(task: str) -> str:
    """A folder name for a task; a name with other characters, or a long one, ends with its hash.

    >>> folder_name("arc_easy"), folder_name("../a")
    ('arc_easy', 'a-61b4c98b')
    """
    plain = re.sub(r"[^\w.-]+", "-", task, flags=re.ASCII).strip(".-")[:LONGEST]
    return plain if plain == task else f"{plain}-{hashlib.sha256(task.encode()).hexdigest()[:8]}".strip("-")
