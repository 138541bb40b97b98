"""Every page is correct: its links exist, its commands print what it shows, and its numbers are in their output.

In a page, a ```bash block is run; a ```text block that comes next holds what it prints. A ```python block is run, too.
All blocks of a page run in one empty folder, in their order. A block whose first line is a comment with a file name
(`# my_task.py`) is saved as that file instead. In a line that installs, only the last command runs. A ```sh block holds a
template with names to fill in (`path/to/model`): its commands and options must exist.
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from pages import BLOCK, ROOT, blocks, check_shown, environment, run_page
from warm import MODELS, STATISTICS, warm

FOLDERS = ("docs", "distractor", "probes", "tasks", "experiments", "tests")
PAGES = sorted({*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))})
RUN = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CONSTANTS = {".05", "0.05", ".2", "0.2", ".5", "0.5", ".9", "0.9", ".8", "0.8", ".1", "0.1", ".4", ".6", "1.4"}
"""Numbers of the rules (δ, δ_D, chance, mastery, power, ω and κ), which the tests of the statistics check."""

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@pytest.mark.quick
@each_page
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    linked = {target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target}
    named = set(re.findall(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]+)`", text))
    assert [target for target in linked if not (page.parent / target).exists()] == []
    assert [target for target in named if not (ROOT / target).exists()] == []


@pytest.mark.quick
@each_page
def test_every_heading_that_a_page_links_to_exists(page: Path) -> None:
    for target, heading in re.findall(r"\]\(([^):#]*)#([^)]+)\)", page.read_text(encoding="utf-8")):
        linked = (page.parent / target).resolve() if target else page
        titles = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
        assert heading in anchors, f"{linked.name} has no heading {heading}"


@each_page
def test_every_command_and_option_that_a_page_names_exists(page: Path) -> None:
    from distractor.command_line.main import app

    group = get_command(app)
    names = "|".join(group.commands)  # type: ignore[attr-defined]
    # To the end of the line, or of the code span in a sentence.
    for line in re.findall(rf"distractor ((?:{names})\b[^`\n]*)", page.read_text(encoding="utf-8")):
        command, *words = line.split("#")[0].split()
        subcommands = getattr(group.commands[command], "commands", {})  # type: ignore[attr-defined]
        below = [word for word in words[:1] if word in subcommands]
        help_option = "--help" if below or subcommands or command == "probes" else "--help-all"
        shown = CliRunner().invoke(app, [command, *below, help_option], env={"COLUMNS": "200", "TERM": "dumb"})
        assert shown.exit_code == 0, f"distractor {command} does not exist"
        missing = [word for word in words if word.startswith("--") and word.split("=")[0] not in shown.output]
        assert missing == [], f"distractor {command} has no such option"


def test_every_model_of_the_ladder_that_is_named_exists() -> None:
    from distractor.models.families import find_models

    lines = [
        line for file in (*RUN, *(ROOT / "distractor").rglob("*.py")) for line in file.read_text("utf-8").split("\n")
    ]
    names = {
        (name, task[1] if (task := re.search(r"--task (\w+)", line)) else "negation_qa")
        for line in lines
        for name in re.findall(r"\bladder/(?:\w+/)?\d+x\d+[\w/@]*", line)
    }
    assert names
    for name, task in names:
        assert find_models([name], task=task)


@pytest.fixture(scope="module")
def program() -> Iterator[Path]:
    """A `distractor` that starts at once."""
    with warm(environment(), (*STATISTICS, *MODELS)) as path:
        yield path


@pytest.mark.parametrize("page", RUN[1:], ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_print_what_it_shows(page: Path, program: Path, tmp_path: Path) -> None:
    """The README's are run by the tests of the main job, which is its first command."""
    check_shown(run_page(page, tmp_path, program.parent))


@pytest.mark.parametrize("command", ["tasks", "ablate --task none"])
def test_a_program_that_starts_at_once_does_the_same(command: str, program: Path, tmp_path: Path) -> None:
    at_once, ordinary = (
        subprocess.run(["distractor", *command.split()], env=given, cwd=tmp_path, capture_output=True)
        for given in (environment(program.parent), environment())
    )
    assert (at_once.returncode, at_once.stdout, at_once.stderr) == (
        ordinary.returncode,
        ordinary.stdout,
        ordinary.stderr,
    )


def prose_numbers(page: Path) -> Iterator[str]:
    """Decimal numbers in the sentences of a page, such as .93 or 0.05."""
    prose = BLOCK.sub("", page.read_text(encoding="utf-8"))
    prose = re.sub(r"`[^`]*`|\]\([^)]*\)|\d+\.\d+\.\d+|arXiv \d+\.\d+|Python \d\.\d+", " ", prose)
    yield from re.findall(r"(?<![\w.])\d*\.\d+(?![\w.]*\w)", prose)


@pytest.mark.quick
@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_numbers_of_a_page_are_printed_in_its_outputs(page: Path) -> None:
    """Or by an experiment whose page it links to."""
    linked = re.findall(r"\]\(([^)#]*experiments/[^)#]*\.md)", page.read_text(encoding="utf-8"))
    tables = [(page.parent / name).read_text(encoding="utf-8") for name in linked]
    outputs = " ".join([*(content for language, content in blocks(page) if language == "text"), *tables])
    printed = {number.lstrip("0") for number in re.findall(r"\d*\.\d+", outputs)}
    unknown = [n for n in prose_numbers(page) if n.lstrip("0") not in printed and n not in CONSTANTS]
    assert unknown == []
