"""The help of every command: short, complete with `--help-all`, with examples, and options that work when hidden."""

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from distractor.command_line.main import app

pytestmark = pytest.mark.quick

ALONE = ("tasks", "models", "data")
COMMANDS = [
    (name,) if not hasattr(command, "commands") else (name, below)
    for name, command in get_command(app).commands.items()  # type: ignore[attr-defined]
    for below in getattr(command, "commands", [""])
]


def help_page(*command: str, option: str = "--help") -> str:
    shown = CliRunner().invoke(app, [*command, option], env={"COLUMNS": "80", "TERM": "dumb", "NO_COLOR": "1"})
    assert shown.exit_code == 0
    return shown.output


@pytest.mark.parametrize("command", [(), *((name,) for name in ALONE), *COMMANDS], ids=" ".join)
def test_help_fits_60_lines_at_80_columns(command: tuple[str, ...]) -> None:
    lines = help_page(*command).rstrip().splitlines()
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_help_page_has_an_example_of_its_command(command: tuple[str, ...]) -> None:
    examples = help_page(*command).partition("Example")[2]
    assert f"distractor {' '.join(word for word in command if word != 'list')}" in examples


@pytest.mark.parametrize("command", ["ablate", "attribute", "compare", "shape"])
def test_help_all_shows_every_option_and_help_the_common_ones(command: str) -> None:
    everything = help_page(command, option="--help-all")
    common = help_page(command)  # shown after --help-all: the hidden options are hidden again
    params = get_command(app).commands[command].params  # type: ignore[attr-defined]
    options = {param.opts[0]: param.hidden for param in params if param.opts[0].startswith("--")}
    assert any(options.values())
    for option, is_hidden in options.items():
        assert f"{option} " in everything
        assert (f"{option} " in common) == (not is_hidden)


def test_options_are_in_panels_by_subject() -> None:
    common = help_page("ablate")
    titles = ["Options", "Method", "Models", "Prompt format", "Computing", "Output"]
    places = [common.index(f" {title} ─") for title in titles]
    assert places == sorted(places)


def test_without_a_command_the_help_appears() -> None:
    shown = CliRunner().invoke(app, [])
    assert "ablate" in shown.output
    assert "--version" in shown.output
