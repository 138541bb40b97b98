"""Reads a study's file (TOML): which commands run on which tasks and models."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from distractor.errors import TaskError, nearest
from distractor.files import read_file
from distractor.names import readable

Command = Literal["ablate", "attribute", "compare"]
Option = bool | int | float | str | list[str]


class Study(BaseModel):
    """The keys of a study's file. Each combination of command, task, format and seed is one run on all models.

    `formats` are values of `ablate --format`, or tables of its prompt-format options; `seeds` are random seeds of the worked
    examples. `options` holds further options of all commands; the tables `ablate`, `attribute` and `compare` hold those of
    one command.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    tasks: list[str] = Field(min_length=1)
    models: list[str] = Field(default=["ladder"], min_length=1)
    commands: list[Command] = Field(default=["ablate"], min_length=1)
    formats: list[str | dict[str, Option]] = Field(default=["rank"], min_length=1)
    items: int | None = Field(default=None, ge=2)
    seeds: list[int] = Field(default=[0], min_length=1)
    options: dict[str, Option] = {}
    ablate: dict[str, Option] = {}
    attribute: dict[str, Option] = {}
    compare: dict[str, Option] = {}


@dataclass(frozen=True)
class StudyRun:
    """One command of a study: the name of its folder, and its words, without `--out`."""

    name: str
    words: tuple[str, ...]


def read_study(path: Path) -> Study:
    """Read a study's file.

    Raises:
        TaskError: the file cannot be read, or a key is unknown, missing or has a wrong value; the message names the key.
    """
    try:
        content = tomllib.loads(read_file(path).decode("utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise TaskError(f"{path} cannot be read as TOML ({reason}); see docs/cluster.md for an example") from error
    try:
        return Study.model_validate(content)
    except ValidationError as error:
        raise TaskError(f"{path}: {_first_problem(error)}") from error


def _first_problem(error: ValidationError) -> str:
    first = error.errors()[0]
    kinds = ("str", "dict", "list[", "bool", "int", "float")  # alternatives of a value, which are no keys
    key = ".".join(str(part) for part in first["loc"] if not str(part).startswith(kinds))
    if "." in key and len(error.errors()) > 1 and first["type"].endswith("_type"):
        return f"{key}: it is {first['input']!r:.60}; write true, false, a number, a text or a list of texts"
    if first["type"] == "extra_forbidden":
        return f"there is no key {key!r}: {nearest(key, list(Study.model_fields))}"
    if first["type"] == "missing":
        return f"the key {key!r} is missing"
    came = f"; it is {first['input']!r:.60}" if first["type"] != "too_short" else "; the list is empty"
    return f"{key}: {first['msg'][0].lower()}{first['msg'][1:]}{came}"


def runs_of(study: Study) -> list[StudyRun]:
    """The commands of a study, each with a folder name of its own."""
    runs: list[StudyRun] = []
    names: set[str] = set()
    for command, task in product(study.commands, study.tasks):
        for suffix, more in _formats(study) if command == "ablate" else [("", ())]:
            name = f"{command}-{readable(Path(task).stem)}{suffix}"
            unique = next(each for k in range(1, 10_000) if (each := name if k == 1 else f"{name}-{k}") not in names)
            names.add(unique)
            runs.append(StudyRun(unique, (*_common(study, command, task), *more)))
    return runs


def _common(study: Study, command: Command, task: str) -> Iterator[str]:
    yield command
    if command == "compare":
        yield from study.models
    yield from ("--task", task)
    if command != "compare":
        for model in study.models:
            yield from ("--models", model)
    if study.items is not None:
        yield from ("--items", str(study.items))
    yield from words_of({**study.options, **getattr(study, command)})


def _formats(study: Study) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The suffix of a run's folder, and the words of each format, once for each seed if it has worked examples."""
    for number, form in enumerate(study.formats, 1):
        if isinstance(form, str):
            words: tuple[str, ...] = ("--format", form)
            label = form
        else:
            words = tuple(words_of(form))
            label = "-".join(str(name if value is True else value) for name, value in form.items()) or str(number)
        slug = "" if len(study.formats) == 1 else f"-{readable(label)}"
        has_examples = (isinstance(form, dict) and bool(form.get("shots"))) or (
            isinstance(form, str) and form != "rank"
        )
        for seed in study.seeds if has_examples else study.seeds[:1]:
            of_seed = ("--shot-seed", str(seed)) if seed or len(study.seeds) > 1 else ()
            yield f"{slug}{f'-seed{seed}' if has_examples and len(study.seeds) > 1 else ''}", (*words, *of_seed)


def words_of(options: Mapping[str, Option]) -> Iterator[str]:
    """Options as words of the command line: `{"knockout": False, "dtype": "float64"}` as `--no-knockout --dtype float64`."""
    for name, value in options.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            yield f"--{option}" if value else f"--no-{option}"
        else:
            for one in value if isinstance(value, list) else [value]:
                yield from (f"--{option}", str(one))


def option_keys(study: Study) -> Iterator[tuple[str, Command, str]]:
    """Each key that stands for an option: the key, a command that gets it, and the option's name."""
    for command in study.commands:
        for table, options in (("options", study.options), (command, getattr(study, command))):
            for name in options:
                yield f"{table}.{name}", command, name
        if command == "ablate":
            for number, form in enumerate(study.formats):
                for name in form if isinstance(form, dict) else ():
                    yield f"formats.{number}.{name}", command, name


def option_values(study: Study) -> dict[str, Any]:
    """The study's content as plain values, which decide its folder's identity."""
    return study.model_dump()
