"""A tiny archive in the form of BIG-bench's, with rows of our own: its real files must not be shipped."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks.bigbench import archive

RULE = "On each line, -> is one simple rule."
SIGNS: Mapping[str, Callable[[int, int], int]] = {
    "addition": lambda a, b: a + b,
    "subtraction": lambda a, b: a - b,
    "multiplication": lambda a, b: a * b,
}
CHARACTERS = {"addition": "+", "subtraction": "-", "multiplication": "*"}
HEAD: Mapping[str, Any] = {"example_input_prefix": "", "example_output_prefix": " "}


def line(operation: str, a: int, b: int, more: int | None) -> str:
    result = "" if more is None else f" {SIGNS[operation](a, b) + more}"
    return f"{a} {CHARACTERS[operation]} {b} ->{result}"


def arithmetic(operation: str, more: int, count: int = 12) -> dict[str, Any]:
    examples = []
    for n in range(count):
        shown = [line(operation, 3 * n + k, 2 + 7 * k, more) for k in range(5)]
        examples.append(
            {
                "input": "\n".join([RULE, *shown, line(operation, n + 9, 11 - n % 4, None)]),
                "target": str(SIGNS[operation](n + 9, 11 - n % 4) + more),
            }
        )
    return {**HEAD, "examples": examples}


def knowledge(*examples: tuple[str, str, str, str | None]) -> dict[str, Any]:
    return {
        "task_prefix": "Answer by the context.\n",
        "example_input_prefix": "\n",
        "example_output_prefix": "\nAnswer: ",
        "append_choices_to_input": "false",
        "examples": [
            {
                "input": f"\nQuestion: {question}\nContext: {context}",
                "target": true,
                "target_scores": {true: 1, memory: 0} if memory else {true: 0},
            }
            for question, context, true, memory in examples
        ],
    }


KNOWLEDGE = (
    ("who mends clocks here?", "Ann Lee mends clocks, and Ann Leeman does not. Ann Lee sings.", "Ann Lee", "Tom Fox"),
    ("who sells hats?", "Hats are sold by Joe.", "Joe", "Eva Maria Stone"),
    ("who paints?", "Zed paints.", "Zed", None),
    ("who bakes?", "Max Day bakes.", "Max Day", "Max"),
    ("who mends clocks here?", "Kim Ode mends them.", "Kim Ode", "Tom Fox"),
    ("who cuts glass?", "Ida Poe cuts glass.", "Ida Poe", "Rex Ray"),
)

THEOREMS = {
    "task_prefix": "Correct it.",
    "example_input_prefix": "\n\nTheorem: ",
    "example_output_prefix": "\n\nCorrected: ",
    "append_choices_to_input": True,
    "examples": [
        {"input": "1 > 2", "target_scores": {"2 > 3": 0, "1 > 2": 0, "1 < 2": 1, "1 = 2": 0}},
        {"input": "3 < 4", "target_scores": {"3 < 4": 1, "3 > 4": 0, "4 < 3": 0, "4 = 3": 0}},
        {"input": "5 = 6", "target_scores": {"5 > 6": 0, "5 < 6": 1, "6 < 5": 0}},
        {"input": "1 > 2", "target_scores": {"1 > 2": 0, "1 < 2": 1}},
    ],
}
QUESTIONS = {
    "task_prefix": "Q: Is ice cold?\nA: Yes.\n",
    "example_input_prefix": "\nQ: ",
    "example_output_prefix": "\nA: ",
    "append_choices_to_input": False,
    "examples": [
        {"input": "Do stones float?", "target_scores": {"No.": 1, "They all do.": 0, "Only at night.": 0}},
        {"input": "Do cups sing?", "target_scores": {"They do not.": 1, "Yes, in the dark.": 0}},
    ],
}

DOCUMENTS: Mapping[str, dict[str, Any]] = {
    **{
        f"{digits}_digit_{operation}_{kind}": arithmetic(operation, more)
        for digits, operation in (("three", "addition"), ("three", "subtraction"), ("two", "multiplication"))
        for kind, more in (("control", 0), ("plus_one", 1))
    },
    "contextual_parametric_knowledge_conflicts": knowledge(*KNOWLEDGE),
    "identify_math_theorems": THEOREMS,
    "truthful_qa": QUESTIONS,
}

CONTENTS: Mapping[str, bytes] = {name: json.dumps(document).encode() for name, document in DOCUMENTS.items()}
FILES = tuple(
    replace(
        file,
        bytes=len(CONTENTS[file.name]),
        sha256=hashlib.sha256(CONTENTS[file.name]).hexdigest(),
        examples=len(DOCUMENTS[file.name]["examples"]),
    )
    for file in archive.FILES
)

Change = Callable[[tarfile.TarInfo, bytes], tuple[tarfile.TarInfo, bytes] | None]


def packed(change: Change = lambda member, content: (member, content)) -> bytes:
    """The bytes of an archive, each member as `change` returns it; None leaves it out."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        others = {"bigbench-1.0.0/setup.py": b"raise SystemExit('run')\n", "/etc/odd": b"x", "../../odd": b"y"}
        members = {**others, **{f"{archive.MEMBERS}/{file.member}": CONTENTS[file.name] for file in FILES}}
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            if changed := change(member, content):
                tar.addfile(changed[0], io.BytesIO(changed[1]))
    return gzip.compress(raw.getvalue(), mtime=0)


def expect(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Make the toolkit expect these bytes as the archive, and the tiny task files in it."""
    monkeypatch.setattr(archive, "FILES", FILES)
    monkeypatch.setattr(archive, "ARCHIVE_BYTES", len(content))
    monkeypatch.setattr(archive, "ARCHIVE_SHA256", hashlib.sha256(content).hexdigest())


def save(folder: Path, content: bytes) -> Path:
    path = folder / archive.ARCHIVE
    path.write_bytes(content)
    return path
