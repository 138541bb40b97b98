"""What several commands ask for, in the same words: types of options, and the answers they can have."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

MODELS = (
    "A family (`distractor models`) or a part of it: ladder, ladder/80x2/seed780, pythia/70m@1000; a folder, a hub id "
    "owner/name\\[@revision], or a family of your own (.toml); may be repeated."
)


class Dtype(StrEnum):
    """The types that weights and activations can have."""

    FLOAT32 = "float32"
    FLOAT64 = "float64"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


class ShotKinds(StrEnum):
    """Which worked examples may stand before a question."""

    CONGRUENT = "congruent"
    CONFLICT = "conflict"
    MIXED = "mixed"


class YesNo(StrEnum):
    """An answer to a question that may be left open."""

    YES = "yes"
    NO = "no"

    @staticmethod
    def of(said: "YesNo | None") -> bool | None:
        """The answer as a truth value, None where nothing was said."""
        return None if said is None else said is YesNo.YES


TaskName = Annotated[
    str, typer.Option(help="A task by name (`distractor tasks`), or your own: a data file, or path.py:NAME.")
]


ListedTask = Annotated[str, typer.Argument(help="The task: `distractor tasks` lists them.")]


SomeItems = Annotated[int, typer.Option(min=2, help="How many of a task's items; their order is fixed.")]


OfItems = Annotated[int, typer.Option(min=0, help="Which set of items; runs use 0.")]


OfficialFile = Annotated[
    Path | None,
    typer.Option(help="An official file of the Inverse Scaling Prize, all of it, instead of the task's items."),
]


Out = Annotated[
    Path | None,
    typer.Option(help="Folder for the results. Default: one in runs/, called by its settings.", show_default=False),
]


Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]


OfWeights = Annotated[Dtype, typer.Option(help="Type of weights and activations.")]


Bos = Annotated[
    YesNo | None,
    typer.Option(
        help="Whether prompts begin with the BOS token. Default: as the tokenizer has it.", show_default=False
    ),
]


DeviceMap = Annotated[
    str | None,
    typer.Option(help="Spread a model over all GPUs: auto, balanced or sequential.", show_default=False),
]


Threads = Annotated[
    int | None,
    typer.Option(min=1, help="Threads of the processor. Default: as many as torch takes.", show_default=False),
]


SelfCheckOption = Annotated[
    bool,
    typer.Option(
        "--self-check/--no-self-check", help="Compare each model with plain transformers first; the ladder needs none."
    ),
]


Offline = Annotated[bool, typer.Option("--offline", help="Never touch the network.")]


AsJson = Annotated[bool, typer.Option("--json", help="Print the summary alone, as JSON.")]
