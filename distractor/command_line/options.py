"""Options that several commands share: their types, help and panels."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

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


def hidden_option(*names: str, panel: str, **settings: Any) -> Any:
    """An option that only `--help-all` shows, in the panel of this title."""
    return typer.Option(*names, hidden=True, rich_help_panel=panel, **settings)


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
    str, typer.Option(metavar="TASK", help="Task name (`distractor tasks`), a data file, or path.py:NAME.")
]

TaskArgument = Annotated[
    str, typer.Argument(metavar="TASK", help="Task name (`distractor tasks`), a data file, or path.py:NAME.")
]

ItemCount = Annotated[int, typer.Option(min=2, metavar="N", help="Number of items, in their fixed order.")]

ItemSeed = Annotated[int, typer.Option(min=0, metavar="N", help="Random seed for the items (runs use 0).")]

OfficialFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Official file of the Inverse Scaling Prize, used instead of the task's items."),
]

Offline = Annotated[bool, hidden_option("--offline", panel=MODELS, help="Never use the network.")]

Bos = Annotated[
    YesNo | None,
    hidden_option(
        panel=PROMPT_FORMAT, help="Whether prompts begin with the BOS token. Default: the tokenizer's own setting."
    ),
]

Device = Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda or mps.", rich_help_panel=COMPUTING)]

WeightType = Annotated[Dtype, hidden_option(panel=COMPUTING, help="Type of weights and activations.")]

ProbedWeightType = Annotated[
    Dtype, hidden_option(panel=COMPUTING, help="Type of weights and activations. Probes need float32 or float64.")
]

DeviceMap = Annotated[
    str | None,
    hidden_option(
        panel=COMPUTING, metavar="NAME", help="Spread each model over all GPUs: auto, balanced or sequential."
    ),
]

Threads = Annotated[
    int | None, hidden_option(panel=COMPUTING, min=1, metavar="N", help="CPU threads. Default: torch's own number.")
]

SelfCheck = Annotated[
    bool,
    hidden_option(
        "--self-check/--no-self-check",
        panel=COMPUTING,
        help="First compare each model with plain transformers. The ladder is never checked.",
    ),
]

Out = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder for the results. Default: one in runs/.", rich_help_panel=OUTPUT),
]

AsJson = Annotated[bool, typer.Option("--json", help="Print only the summary, as JSON.", rich_help_panel=OUTPUT)]


def as_truth(answer: YesNo | None) -> bool | None:
    """Return True for yes, False for no, None where the option was not given."""
    return None if answer is None else answer is YesNo.YES
