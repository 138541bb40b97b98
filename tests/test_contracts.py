"""The import contracts of pyproject.toml hold, and each kind of violation breaks one."""

import ast
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("distractor", "probes", "tasks")


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages' code and of pyproject.toml."""
    folder = tmp_path_factory.mktemp("copy")
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            copy = folder / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    return subprocess.run([*command, "--no-cache"], cwd=folder, env=environment, capture_output=True, text=True)


def ruff(folder: Path, file: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--select", "TID251", file]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


VIOLATIONS = {
    "a lower chapter imports a higher one": (
        "distractor/models/device.py",
        "from distractor.scoring.store import Store",
    ),
    "the same from the package": ("distractor/scoring/store.py", "from distractor import ablation"),
    "the same inside a function": (
        "distractor/scoring/store.py",
        "def late() -> None:\n    from distractor.probing import run",
    ),
    "a command imports another": ("distractor/ablation/plan.py", "from distractor.curves import judge_curve"),
    "chapters of one layer import each other": ("distractor/models/device.py", "import distractor.text.task"),
    "a base module imports a chapter": ("distractor/numbers.py", "from distractor.text import task"),
    "errors import anything": ("distractor/errors.py", "from distractor import numbers"),
    "the core imports tasks": ("distractor/scoring/store.py", "import tasks"),
    "the command line imports probes": ("distractor/command_line/main.py", "from probes import PROBES"),
    "a task imports a probe": ("tasks/facts.py", "import probes.chance"),
    "a probe imports a task": ("probes/chance.py", "from tasks import facts"),
    "a probe imports another": ("probes/chance.py", "from probes.attention import Attention"),
    "a probe imports a command": ("probes/chance.py", "from distractor.ablation import plan"),
    "a task imports a command": ("tasks/facts.py", "from distractor.runs import style"),
    "another chapter imports transformers": ("distractor/text/task.py", "import transformers"),
    "a probe imports transformer_lens": ("probes/chance.py", "from transformer_lens import HookedTransformer"),
    "a package has no layer": ("distractor/another/__init__.py", ""),
}


def test_the_contracts_hold(copied: Path) -> None:
    done = lint_imports(copied)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("file", "line"), VIOLATIONS.values(), ids=VIOLATIONS.keys())
def test_a_planted_violation_breaks_a_contract(copied: Path, file: str, line: str) -> None:
    path = copied / file
    before = path.read_text(encoding="utf-8") if path.exists() else None
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{before or ''}\n{line}\n", encoding="utf-8")
    try:
        done = lint_imports(copied)
    finally:
        if before is None:
            shutil.rmtree(path.parent)
        else:
            path.write_text(before, encoding="utf-8")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "BROKEN" in done.stdout or "exhaustive" in done.stdout.lower(), done.stdout


@pytest.mark.parametrize(
    "line",
    [
        'import importlib\nimportlib.import_module("tasks")',
        'from importlib import import_module\nimport_module("tasks")',
        "from importlib.util import spec_from_file_location as found",
        "from distractor import ablate",
        "import distractor\ndistractor.shape",
    ],
)
@pytest.mark.parametrize("file", ["distractor/scoring/store.py", "probes/chance.py", "tasks/facts.py"])
def test_the_linter_bans_imports_that_the_contracts_do_not_see(copied: Path, file: str, line: str) -> None:
    path = copied / file
    before = path.read_text(encoding="utf-8")
    path.write_text(f"{before}\n{line}\n", encoding="utf-8")
    try:
        done = ruff(copied, file)
    finally:
        path.write_text(before, encoding="utf-8")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "banned-api" in done.stdout


def test_no_two_public_classes_share_a_name() -> None:
    homes = defaultdict(list)
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    homes[node.name].append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in homes.items() if len(paths) > 1} == {}


def test_no_file_is_longer_than_500_lines() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 500
    }
    assert long == {}


def test_the_wheel_holds_every_package_and_data_file(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with ZipFile(wheel) as archive:
        held = set(archive.namelist())
    tracked = subprocess.run(["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(tracked.stdout.split()) - held == set()
