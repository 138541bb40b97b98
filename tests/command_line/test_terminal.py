"""Any locale, terminal and pipe: numbers are printed in what the terminal knows, and a failed print is one message."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from distractor.models.families import embedded_ladder
from warm import STATISTICS, warm

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
CURVE = "size,mean,n\n70M,0.5,100\n160M,0.4,100\n410M,0.5,100\n"
SMALLEST = embedded_ladder("negation_qa").members[0]
TINY = ("--task", "negation_qa", "--models", f"ladder/{SMALLEST.name}", "--items", "8", "--no-knockout")
Run = Callable[..., subprocess.CompletedProcess[bytes]]
FULL = Path("/dev/full")


@pytest.fixture(scope="module")
def program() -> Iterator[Path]:
    """A `distractor` that starts at once, in an ASCII locale."""
    with warm({**os.environ, **ASCII}, STATISTICS) as path:
        yield path


@pytest.fixture
def run(program: Path, folder: Path) -> Run:
    """Run a command in an ASCII locale."""

    def run(*command: str, stdout: int | IO[bytes] = subprocess.PIPE) -> subprocess.CompletedProcess[bytes]:
        environment = {**os.environ, **ASCII}
        return subprocess.run([program, *command], cwd=folder, env=environment, stdout=stdout, stderr=subprocess.PIPE)

    return run


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
def test_every_command_works_in_an_ascii_locale(run: Run, command: list[str], shown: str) -> None:
    done = run(*command)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    assert b"Traceback" not in done.stderr
    assert shown in done.stdout.decode("ascii")
    done.stderr.decode("ascii")


def test_an_error_in_an_ascii_locale_is_one_message(run: Run) -> None:
    done = run("ablate", "--task", "ö.csv")
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
def test_a_full_stdout_is_one_message(run: Run, command: list[str]) -> None:
    with FULL.open("wb") as full:
        done = run(*command, stdout=full)
    assert done.returncode == 2
    assert done.stderr.decode("ascii").splitlines() == ["Error: the output cannot be written (No space left on device)"]


@pytest.mark.parametrize("command", [["tasks", "show", "negation_qa", "--items", "300"], ["models", "show", "ladder"]])
def test_a_closed_pipe_ends_the_command_without_a_message(run: Run, command: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    done = run(*command, stdout=write)
    os.close(write)
    assert done.returncode == 2
    assert done.stderr == b""
