"""Checks a user's TOML file that describes a family; imported only then, because importing pydantic takes time."""

import reprlib
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    StrictInt,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from distractor.errors import ModelError, nearest
from distractor.files import read_file
from distractor.models.family import step_ranges

MOST_MODELS = 10_000  # seeds count each
MOST_STEPS = 100_000


def _check_printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError(f"expected text without control characters, got {text!r}")
    return text


Text = Annotated[str, Field(max_length=4096), AfterValidator(_check_printable)]
Name = Annotated[str, Field(pattern=r"^[\w.-]+$", max_length=100)]
Whole = Annotated[StrictInt, Field(ge=-(2**63), lt=2**63)]
Count = Annotated[Whole, Field(ge=0)]


class _Table(BaseModel, strict=True, extra="forbid"):
    """A TOML table without unknown keys."""


class StepRange(_Table):
    """Every `by`-th step from one step to another, both included."""

    first: Count = Field(alias="from")
    last: Count = Field(alias="to")
    by: Whole = Field(gt=0)


def _check_number_of_steps(ranges: list[StepRange]) -> list[StepRange]:
    if (count := sum(max(0, (each.last - each.first) // each.by + 1) for each in ranges)) > MOST_STEPS:
        raise ValueError(f"expected at most {MOST_STEPS:,} steps, got {count:,}")
    return ranges


Steps = Annotated[list[StepRange], BeforeValidator(step_ranges), AfterValidator(_check_number_of_steps)]


class ModelTable(_Table):
    """One model of a family. The model's own `tokens`, `steps` and `step` replace those of the family."""

    id: Text | None = None
    folder: Text | None = None
    seed: Count | None = None
    n_params: Count | None = None
    tokens: Count | None = None
    step: Count | None = None
    steps: Steps | None = None

    @model_validator(mode="after")
    def _check_location(self) -> "ModelTable":
        if (self.id is None) == (self.folder is None):
            raise ValueError("expected either `id` or `folder`")
        if self.id is not None and len(self.id.split("/")) != 2:
            raise ValueError(f"{self.id!r} is not a hub id, which has the form owner/name")
        return self


class FamilyTable(_Table):
    """A family. `step` is the final training step; `checkpoint` names the revision or the subfolder of a step, and `final`
    those of the final models, if they are not under the bare id or in the folder itself.

    `held_out` names a JSON file with the item groups of each task that training never showed in conflict. `shots` names
    one with the numbers of worked examples in training.
    """

    about: Text = ""
    checkpoint: Text | None = None
    final: Text | None = None
    steps: Steps = []
    step: Count | None = None
    tokens: Count | None = None
    tokens_a_step: Count | None = None
    seeds: list[Whole] | None = Field(None, min_length=1)
    held_out: Text | None = None
    shots: Text | None = None
    models: dict[Name, ModelTable] = Field(min_length=1)

    @model_validator(mode="after")
    def _check_seeds_and_steps(self) -> "FamilyTable":
        if self.checkpoint is not None and self.checkpoint.count("{step}") != 1:
            raise ValueError(f"checkpoint: expected a name such as step{{step}}, got {self.checkpoint!r}")
        if self.seeds and len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds: expected each seed once, got {reprlib.repr(self.seeds)}")
        if (count := len(self.models) * len(self.seeds or [None])) > MOST_MODELS:
            raise ValueError(f"expected at most {MOST_MODELS:,} models, each seed counted, got {count:,}")
        for name, model in self.models.items():
            if ("{seed}" in f"{model.id}{model.folder}") != bool(self.seeds) or (model.seed is not None and self.seeds):
                raise ValueError(
                    f"models.{name}: the family's `seeds` belong with {{seed}} in its id or folder, without `seed`"
                )
            if (self.steps if model.steps is None else model.steps) and self.checkpoint is None:
                raise ValueError(
                    "`steps` need a `checkpoint`, the name of their revision or folder, such as step{step}"
                )
        return self


JSON_FILES: dict[str, Any] = {
    "held_out": dict[str, frozenset[str]],
    "shots": dict[str, Annotated[dict[Literal["shots", "reasoned"], Count], Field(min_length=2)]],
}


def read_family_file(path: Path) -> tuple[str, dict[str, Any]]:
    """Read a TOML file with one table, named after the family; return the name and the checked table.

    The contents of JSON files replace their names. Raises ModelError if a file cannot be read, or its content is wrong.
    """
    try:
        tables = tomllib.loads(read_file(path).decode())
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read as a family file ({error})") from error
    if len(tables) != 1:
        listed = ", ".join(tables) or "none"
        raise ModelError(
            f"{path}: expected one table with the name of the family and a table `models` in it; got {listed}"
        )
    ((name, table),) = tables.items()
    where = f"{path}, family {name}: "
    try:
        TypeAdapter(Name).validate_python(name)
        FamilyTable.model_validate(table)
        for key in (key for key in JSON_FILES if key in table):
            where = f"{path}, family {name}, {key} {table[key]!r}: "
            content = read_file(path.parent / Path(table[key]).expanduser())
            table[key] = TypeAdapter(JSON_FILES[key]).validate_json(content)
    except ValidationError as error:
        raise ModelError(where + _explain(error)) from error
    except OSError as error:
        raise ModelError(f"{where}cannot be read ({error})") from error
    return name, table


def _explain(errors: ValidationError) -> str:
    """Say which key is wrong, what was expected, and what the value is."""
    error = errors.errors()[0]
    keys = [str(key) for key in error["loc"]]
    schema = ModelTable if keys[:1] == ["models"] and len(keys) > 2 else FamilyTable
    place = f"{'.'.join(keys)}: " if keys else ""
    if error["type"] == "value_error":
        return f"{place}{error['ctx']['error']}"
    if error["type"] == "extra_forbidden" and len(keys) in (1, 3):
        return f"{place}unknown key: {nearest(keys[-1], schema.model_fields)}"
    messages = {"model_type": "expected a table", "missing": "required"}
    message = messages.get(error["type"], error["msg"].replace("Input should be", "expected"))
    return f"{place}{message}, got {reprlib.repr(error['input'])}"
