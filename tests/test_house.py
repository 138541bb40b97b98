"""The house itself: which room may see which, what the documents name, and that the code is clean."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

ROOT = Path(__file__).parent.parent
ROOMS = ("distractor", "probes", "tasks", "experiments", "tests")
MAY_SEE = {
    "distractor": {"distractor"},
    "tasks": {"distractor", "tasks"},
    "probes": {"distractor", "probes"},
    "experiments": {"distractor", "tasks", "probes", "experiments"},
}


def imports(path: Path) -> set[str]:
    """Full names of the modules that a file imports, wherever in it; relative ones resolved."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            home = ".".join(path.relative_to(ROOT).parts[: -node.level]) if node.level else ""
            found.add(".".join(part for part in (home, node.module or "") if part))
    return found


def files(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("room", MAY_SEE)
def test_a_room_sees_only_the_floors_below(room: str) -> None:
    for path in files(room):
        if path.is_relative_to(ROOT / "distractor/command_line"):
            continue
        seen = {name.split(".")[0] for name in imports(path)} & set(ROOMS)
        assert seen <= MAY_SEE[room], f"{path.relative_to(ROOT)} sees {seen - MAY_SEE[room]}"


def test_probes_do_not_see_each_other() -> None:
    for path in files("probes"):
        if path.stem != "__init__":
            assert not {name for name in imports(path) if name.startswith("probes")}, path.name


@pytest.mark.parametrize("library", ["transformer_lens", "transformers"])
def test_only_the_model_touches_the_model_libraries(library: str) -> None:
    touching = [p.name for p in files("distractor") + files("probes") + files("tasks") if library in imports_roots(p)]
    assert set(touching) <= {"model.py", "load.py", "self_check.py", "memory.py"}


def imports_roots(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


def documents() -> list[Path]:
    return [ROOT / "README.md", *sorted(p for room in ROOMS for p in (ROOT / room).rglob("*.md"))]


@pytest.mark.parametrize("page", documents(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    text = page.read_text()
    linked = {target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target}
    named = set(re.findall(r"`((?:distractor|probes|tasks|experiments|tests)/[\w./-]+)`", text))
    for target in linked:
        assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"
    for target in named:
        assert (ROOT / target).exists(), f"{page.relative_to(ROOT)} names {target}"


def test_every_heading_that_a_page_links_to_is_there() -> None:
    linked = [
        (page, (page.parent / target).resolve() if target else page, heading)
        for page in documents()
        for target, heading in re.findall(r"\]\(([^):#]*)#([^)]+)\)", page.read_text())
    ]
    assert linked
    for page, target, heading in linked:
        titles = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
        known = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
        assert heading in known, f"{page.relative_to(ROOT)} links to {heading} of {target.name}"


@pytest.mark.parametrize("page", documents(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_and_option_that_a_page_names_exists(page: Path) -> None:
    from distractor.command_line.main import app

    # To the end of the line, or of the code span in a sentence.
    for line in re.findall(
        r"distractor ((?:ablate|tasks|models|probes|attribute|compare|shape|data)\b[^`\n]*)", page.read_text()
    ):
        command, *rest = line.split()
        below = getattr(get_command(app).commands.get(command), "commands", {})
        asked = [command, *(word for word in rest[:1] if word in below), "--help"]
        shown = CliRunner().invoke(app, asked, env={"COLUMNS": "200", "TERM": "dumb"})
        assert shown.exit_code == 0, f"{page.relative_to(ROOT)} names the command {command!r}"
        for option in (word for word in rest if word.startswith("--")):
            assert option.split("=")[0] in shown.output, f"{page.relative_to(ROOT)} gives {option} to {command}"


def test_every_model_of_the_ladder_that_is_named_is_shipped() -> None:
    from distractor.models.families import find_models

    told = [
        ROOT / "distractor/command_line/main.py",
        ROOT / "distractor/command_line/options.py",
        ROOT / "distractor/models/families.py",
    ]
    pages = [page for page in documents() if "ladder" not in page.parent.name]
    named = {name for page in told + pages for name in re.findall(r"\bladder/\d+x\d+[\w/@]*", page.read_text())}
    assert named
    for name in named:
        assert find_models([name]), f"{name} is named"


@pytest.mark.parametrize(
    "command",
    [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]],
    ids=["lint", "format", "types"],
)
def test_the_code_is_clean(command: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
