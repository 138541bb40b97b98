"""Options that several commands share: their types, help and panels."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

MODELS = "Models"
PROMPT_FORMAT = "Prompt format"
METHOD = "Method"
COMPUTING = "Computing"
OUTPUT = "Output"
"""Titles of the help panels. Options without a panel come first, under `Options`."""

MODEL_HELP = (
    "A family (`distractor models`), or part of it: ladder, ladder/80x2, ladder/80x2/seed780, pythia/70m@1000; a "
    "folder; a hub id owner/name\\[@revision]; a family file (.toml). Repeatable."
)


class Dtype(StrEnum):
    """Types of weights and activations."""

    FLOAT32 = "float32"
    FLOAT64 = "float64"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


class ShotKind(StrEnum):
    """Which worked examples precede a question."""

    CONGRUENT = "congruent"
    CONFLICT = "conflict"
    MIXED = "mixed"


class YesNo(StrEnum):
    """The value of an option that is yes, no or not given."""

    YES = "yes"
    NO = "no"


TaskName = Annotated[
    str,
    typer.Option(metavar="TASK", help="Task name (`distractor tasks`), a data file, or path.py:NAME."),
]

TaskArgument = Annotated[
    str,
    typer.Argument(metavar="TASK", help="Task name (`distractor tasks`), a data file, or path.py:NAME."),
]

ItemCount = Annotated[int, typer.Option(min=2, metavar="N", help="Number of items, in their fixed order.")]

ItemSeed = Annotated[int, typer.Option(min=0, metavar="N", help="Random seed for the items (runs use 0).")]

OfficialFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Official file of the Inverse Scaling Prize, used instead of the task's items."),
]

Offline = Annotated[bool, typer.Option("--offline", help="Never use the network.", hidden=True, rich_help_panel=MODELS)]

Bos = Annotated[
    YesNo | None,
    typer.Option(
        help="Whether prompts begin with the BOS token. Default: the tokenizer's own setting.",
        show_default=False,
        hidden=True,
        rich_help_panel=PROMPT_FORMAT,
    ),
]

Device = Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda or mps.", rich_help_panel=COMPUTING)]

WeightType = Annotated[
    Dtype, typer.Option(help="Type of weights and activations.", hidden=True, rich_help_panel=COMPUTING)
]

ProbedWeightType = Annotated[
    Dtype,
    typer.Option(
        help="Type of weights and activations. Probes need float32 or float64.", hidden=True, rich_help_panel=COMPUTING
    ),
]

DeviceMap = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Spread each model over all GPUs: auto, balanced or sequential.",
        show_default=False,
        hidden=True,
        rich_help_panel=COMPUTING,
    ),
]

Threads = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="CPU threads. Default: torch's own number.",
        show_default=False,
        hidden=True,
        rich_help_panel=COMPUTING,
    ),
]

SelfCheck = Annotated[
    bool,
    typer.Option(
        "--self-check/--no-self-check",
        help="First compare each model with plain transformers. The ladder is never checked.",
        hidden=True,
        rich_help_panel=COMPUTING,
    ),
]

Out = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder for the results. Default: one in runs/.",
        show_default=False,
        rich_help_panel=OUTPUT,
    ),
]

AsJson = Annotated[bool, typer.Option("--json", help="Print only the summary, as JSON.", rich_help_panel=OUTPUT)]


def as_truth(answer: YesNo | None) -> bool | None:
    """Return True for yes, False for no, None where the option was not given."""
    return None if answer is None else answer is YesNo.YES
