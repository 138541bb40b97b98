"""The fenced blocks of a page, run as a reader runs them, and what they print compared with what the page shows."""

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Ran:
    """A block that was run: what it printed, its seconds, and what the page shows, if it shows anything."""

    content: str
    stdout: str
    seconds: float
    shown: str | None


def blocks(page: Path) -> list[tuple[str, str]]:
    """The fenced blocks of a page: language and content."""
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def environment(*first: Path) -> dict[str, str]:
    """The environment in which blocks run: this checkout, and a terminal of 100 columns. Programs in `first` come first."""
    path = os.pathsep.join(map(str, (*first, Path(sys.executable).parent, os.environ["PATH"])))
    return os.environ | {"PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}


def run_page(page: Path, home: Path, *first: Path) -> list[Ran]:
    """Run the blocks of a page in `home`, in their order; each must succeed. Programs in `first` come before others."""
    ran = []
    for (language, content), (next_language, expected) in pairwise([*blocks(page), ("", "")]):
        if file := re.match(r"# ([\w.-]+\.\w+)\n", content):
            held = content if file[1].endswith((".py", ".toml")) else content.split("\n", 1)[1]  # data have no comments
            (home / file[1]).write_text(held, encoding="utf-8")
            continue
        if language not in ("bash", "python"):
            continue
        code = content.split("&&")[-1].replace(".venv/bin/", "") if "pip install" in content else content
        command = ["bash", "-euo", "pipefail", "-c", code] if language == "bash" else [sys.executable, "-c", code]
        start = time.monotonic()
        done = subprocess.run(command, cwd=home, env=environment(*first), capture_output=True, text=True)
        assert done.returncode == 0, f"{content}\n{done.stdout}{done.stderr}"
        shown = expected if next_language == "text" else None
        ran.append(Ran(content, done.stdout, time.monotonic() - start, shown))
    return ran


def check_shown(ran: list[Ran]) -> None:
    """Check that the blocks print what their page shows."""
    for block in ran:
        if block.shown is not None:
            shown, printed = lines(block.shown), lines(block.stdout)
            assert is_part(shown, printed), f"{block.content}\nprints\n{block.stdout}\nthe page shows\n{block.shown}"


def lines(text: str) -> list[str]:
    """The lines of a text without space at their ends; the hash in the name of a run's folder is left out."""
    return [re.sub(r"-[0-9a-f]{8}\b", "-HASH", line.rstrip()) for line in text.strip().splitlines()]


def is_part(shown: list[str], printed: list[str]) -> bool:
    """Whether the lines shown are printed in this order; a line `…` matches any number of lines."""
    parts: list[list[str]] = [[]]
    for line in shown:
        if line.strip() in ("…", "..."):
            parts.append([])
        else:
            parts[-1].append(line)
    start = 0
    for part in parts:
        places = [i for i in range(start, len(printed) - len(part) + 1) if printed[i : i + len(part)] == part]
        if not places:
            return False
        start = places[0] + len(part)
    return len(parts) > 1 or len(shown) == len(printed)
