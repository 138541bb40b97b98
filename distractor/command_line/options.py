"""Options that several commands share: their types, help and panels."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from distractor.errors import TaskError
from distractor.runs.figure_set import FigureSet

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from distractor.scoring.requests import Execute
    from distractor.scoring.settings import Settings

MODELS = "Models"
PROMPT_FORMAT = "Prompt format"
METHOD = "Method"
COMPUTING = "Computing"
OUTPUT = "Output"
"""Titles of the help panels. Options without a panel are shown first, under `Options`."""

CELLS = Path("runs/.cells")  # the store of results that all runs share

REFERENCE = "Draw published curves: pythia, opt, …"
MODEL_HELP = (
    "A family (`distractor models`), or part of it: ladder (the task's embedded models), ladder/80x2, pythia/70m@1000; "
    "a folder; a .gguf file; a hub id owner/name\\[@revision]; BASE+ADAPTER_FOLDER; a family file (.toml). Repeatable."
)


def option(panel: str, text: str, *names: str, **settings: Any) -> Any:
    """An option with its help text, in the panel of this title."""
    return typer.Option(*names, help=text, rich_help_panel=panel, **settings)


def hidden_option(panel: str, text: str, *names: str, **settings: Any) -> Any:
    """An option that only `--help-all` shows."""
    return option(panel, text, *names, hidden=True, **settings)


class Dtype(StrEnum):
    """Types of weights and activations."""

    FLOAT32 = "float32"
    FLOAT64 = "float64"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


class AttentionKernel(StrEnum):
    """Implementations of attention in transformers."""

    EAGER = "eager"
    SDPA = "sdpa"


class ShotKind(StrEnum):
    """Which worked examples precede a question."""

    CONGRUENT = "congruent"
    CONFLICT = "conflict"
    MIXED = "mixed"


class YesNo(StrEnum):
    """The value of an option that is yes, no or not given."""

    YES = "yes"
    NO = "no"


TASK: dict[str, Any] = {"metavar": "TASK", "help": "Task name (`distractor tasks`), a data file, or path.py:NAME."}
TaskName = Annotated[str, typer.Option(**TASK)]
TaskArgument = Annotated[str, typer.Argument(**TASK)]
ITEMS: dict[str, Any] = {
    "metavar": "N",
    "help": "Number of items: the first, or of a file random rows. Default: 200, of a file all.",
}
ItemCount = Annotated[int | None, typer.Option(min=2, **ITEMS)]
ItemSeed = Annotated[int, typer.Option(min=0, metavar="N", help="Random seed for the items (runs use 0).")]

OfficialFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Official file of the Inverse Scaling Prize, used instead of the task's items."),
]

Offline = Annotated[bool, hidden_option(MODELS, "Never use the network.", "--offline")]
MixedFamilies = Annotated[
    bool, hidden_option(MODELS, "Judge one curve over different architectures or tokenizers.", "--mixed-families")
]
Plan = Annotated[
    bool,
    option(METHOD, "Print time, each part's share, memory and cost, measured in some seconds; run nothing.", "--plan"),
]
Out = Annotated[Path | None, option(OUTPUT, "Folder for the results. Default: one in runs/.", metavar="DIR")]
Figures = Annotated[FigureSet, option(OUTPUT, "Figures to draw: main, all or none.", metavar="SET")]
AsJson = Annotated[bool, option(OUTPUT, "Print only the summary, as JSON.", "--json")]


WORKERS: dict[str, Any] = {"min": 1, "metavar": "N"}
WORKERS_HELP = "Most models at a time, each in a process. Default: by processors and memory."
WorkerCount = Annotated[int | None, option(COMPUTING, WORKERS_HELP, **WORKERS)]

Shard = Annotated[
    str | None,
    hidden_option(COMPUTING, "Compute only the models of this shard, such as 0/3; write no page.", metavar="I/N"),
]
RayAddress = Annotated[
    str | None,
    hidden_option(COMPUTING, "Compute on a Ray cluster: host:port of its head, or local.", metavar="ADDRESS"),
]
ShardCount = Annotated[
    int | None,
    hidden_option(
        COMPUTING, "Print a script that submits the command to Slurm in N shards; run nothing.", min=1, metavar="N"
    ),
]


@dataclass(frozen=True)
class Computing:
    """How models are run. In the signature of a command, it adds one option for each field."""

    bos: Annotated[
        YesNo | None,
        hidden_option(PROMPT_FORMAT, "Whether prompts begin with the BOS token. Default: the tokenizer's own setting."),
    ] = None
    device: Annotated[str, option(COMPUTING, "auto, cpu, cuda or mps.", metavar="NAME")] = "auto"
    dtype: Annotated[
        Dtype,
        hidden_option(
            COMPUTING, "float32, float64, bfloat16 or float16. Probes need one of the first two.", metavar="TYPE"
        ),
    ] = Dtype.FLOAT32
    device_map: Annotated[
        str | None,
        hidden_option(COMPUTING, "Spread each model over all GPUs: auto, balanced or sequential.", metavar="NAME"),
    ] = None
    attention: Annotated[
        AttentionKernel | None,
        hidden_option(
            COMPUTING,
            "How scores compute attention: eager or sdpa. Default: sdpa on a GPU. Probes: eager.",
            metavar="NAME",
        ),
    ] = None
    threads: Annotated[
        int | None, hidden_option(COMPUTING, "CPU threads of each model. Default: by its size.", min=1, metavar="N")
    ] = None
    workers: Annotated[int | None, hidden_option(COMPUTING, WORKERS_HELP, **WORKERS)] = None
    shard: Shard = None
    ray: RayAddress = None
    sbatch: ShardCount = None
    self_check: Annotated[
        bool, hidden_option(COMPUTING, "First compare each model with plain transformers, except the ladder.")
    ] = True

    trust_remote_code: Annotated[
        bool,
        hidden_option(COMPUTING, "Run Python code that comes with a model. Read it first.", "--trust-remote-code"),
    ] = False

    delete_downloads: Annotated[
        bool,
        hidden_option(
            MODELS,
            "Download a model's weights when they are needed, and delete them when its results are stored.",
            "--delete-downloads",
        ),
    ] = False
    store: Annotated[Path, hidden_option(OUTPUT, "Folder of the stored results that runs share.", metavar="DIR")] = (
        CELLS
    )

    def around(self) -> "AbstractContextManager[None]":
        """The block in which the command runs: it deletes downloads if asked."""
        from distractor.models.downloads import deleting_downloads

        return deleting_downloads(self.store / "downloads", is_asked=self.delete_downloads)

    def executor(self) -> "Execute":
        """What computes the results of a command."""
        return executor(self.workers, self.shard, self.ray, self.settings())

    def settings(self, batch_size: int | None = None) -> "Settings":
        """The settings that these options give."""
        from distractor.scoring.settings import Settings

        bos = None if self.bos is None else self.bos is YesNo.YES
        return Settings(
            self.device,
            self.dtype.value,
            batch_size,
            bos,
            self.self_check,
            self.device_map,
            self.threads,
            self.trust_remote_code,
            attention=None if self.attention is None else self.attention.value,
        )


def executor(
    count: int | None, shard: str | None, ray: str | None, settings: "Settings", *, always: bool = False
) -> "Execute":
    """What computes the results of a command. With `always`, workers also compute what is faster in this process, and go on
    when a unit fails.

    Raises:
        TaskError: the shard or the address is not valid.
        ModelError: no Ray head answers at the address.
    """
    from distractor.execution.ray_cluster import RayCluster, check_reachable
    from distractor.execution.shards import Shard, ShardExecutor
    from distractor.execution.workers import workers

    if ray is not None and (shard is not None or count is not None):
        raise TaskError("--ray computes on its cluster; leave out --workers and --shard")
    found: Execute
    if ray is not None:
        check_reachable(ray)  # before a folder is made
        found = RayCluster(ray, _warn)
    else:
        found = workers(count, settings, _warn, stop_at_first=not always, always=always)
    return found if shard is None else ShardExecutor(Shard.parse(shard), found)


def _warn(line: str) -> None:
    from distractor.command_line.terminal import say

    say(line, err=True)
