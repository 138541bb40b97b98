"""Any locale, terminal and pipe: numbers are printed in what the terminal knows, and a failed print is one message."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from distractor.models.families import embedded_ladder

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
CURVE = "size,mean,n\n70M,0.5,100\n160M,0.4,100\n410M,0.5,100\n"
SMALLEST = embedded_ladder("negation_qa").members[0]
TINY = ("--task", "negation_qa", "--models", f"ladder/{SMALLEST.name}", "--items", "8", "--no-knockout")
FULL = Path("/dev/full")


def run(folder: Path, *command: str, **more: object) -> subprocess.CompletedProcess[bytes]:
    """Run a command in an ASCII locale."""
    words = [sys.executable, "-m", "distractor", *command]
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    return subprocess.run(words, cwd=folder, env={**os.environ, **ASCII}, **given)  # type: ignore[call-overload, no-any-return]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a curve and a task whose names and content ASCII lacks."""
    here = tmp_path / "é"
    here.mkdir()
    (here / "ü.csv").write_text(CURVE.replace("size", "task,size").replace("\n", "\nNaïve 中,", 3), encoding="utf-8")
    rows = [{"prompt": f"Say ü {k}:", "classes": "[' é', ' e']", "answer_index": k % 2} for k in range(4)]
    (here / "ö.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return here


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (["tasks"], "negation_qa"),
        (["tasks", "show", "redefine_math"], "distractor_only"),
        (["tasks", "show", "ö.jsonl"], "Say u 0:"),
        (["tasks", "export", "ö.jsonl", "--out", "ä.jsonl"], "a.jsonl: 4 rows"),
        (["models"], "pythia"),
        (["models", "show", "ladder"], f"ladder/negation_qa/{SMALLEST.name}"),
        (["probes"], "logit_lens"),
        (["shape", "ü.csv"], "parameters: 3 sizes x 1 seed"),
        (["ablate", *TINY], SMALLEST.model),
        (["ablate", *TINY, "--plan"], "minimum detectable dip"),
        (["ablate", "--help-all"], "--task"),
    ],
    ids=lambda given: " ".join(given[:3]) if isinstance(given, list) else "",
)
def test_every_command_works_in_an_ascii_locale(folder: Path, command: list[str], shown: str) -> None:
    done = run(folder, *command)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    assert b"Traceback" not in done.stderr
    assert shown in done.stdout.decode("ascii")
    done.stderr.decode("ascii")


def test_an_error_in_an_ascii_locale_is_one_message(folder: Path) -> None:
    done = run(folder, "ablate", "--task", "ö.csv")
    assert done.returncode == 2
    assert done.stderr.decode("ascii").count("Error: ") == 1


@pytest.mark.skipif(not FULL.exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize(
    "command",
    [
        ["tasks"],
        ["tasks", "show", "negation_qa"],
        ["models"],
        ["shape", "ü.csv"],
        ["shape", "ü.csv", "--json"],
        ["--help"],
    ],
    ids=" ".join,
)
def test_a_full_stdout_is_one_message(folder: Path, command: list[str]) -> None:
    with FULL.open("wb") as full:
        done = run(folder, *command, stdout=full)
    assert done.returncode == 2
    assert done.stderr.decode("ascii").splitlines() == ["Error: the output cannot be written (No space left on device)"]


@pytest.mark.parametrize("command", [["tasks", "show", "negation_qa", "--items", "300"], ["models", "show", "ladder"]])
def test_a_closed_pipe_is_one_message(folder: Path, command: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    done = run(folder, *command, stdout=write)
    os.close(write)
    assert done.returncode == 2
    assert done.stderr.decode("ascii").splitlines() == ["Error: the output cannot be written (Broken pipe)"]
