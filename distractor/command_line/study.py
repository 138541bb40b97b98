"""`distractor study`: many tasks, models, formats and commands from one file."""

import io
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from distractor.command_line import ablate, attribute, compare
from distractor.command_line import options as opt
from distractor.command_line.progress import show_progress
from distractor.command_line.registration import command, inner_commands
from distractor.command_line.running import print_script
from distractor.command_line.terminal import say
from distractor.errors import DistractorError, StoreError, TaskError, nearest
from distractor.scratch import owning, scratch_folder

if TYPE_CHECKING:
    from distractor.study.rounds import Progress
    from distractor.study.study_file import Study, StudyRun
    from distractor.work import Step

app = typer.Typer()
IDENTITY = "study.json"
ROUNDS = {"ablate": ablate.ROUNDS, "attribute": attribute.ROUNDS, "compare": compare.ROUNDS}


@command(
    app,
    "distractor study study.toml",
    "distractor study study.toml --plan",
    "distractor study study.toml --sbatch 16 > submit.sh",
)
def study(
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The study's file (docs/cluster.md).")],
    plan: opt.Plan = False,
    workers: opt.WorkerCount = None,
    shard: opt.Shard = None,
    ray: opt.RayAddress = None,
    sbatch: opt.ShardCount = None,
    store: Annotated[
        Path, opt.hidden_option(opt.OUTPUT, "Folder of the stored results that runs share.", metavar="DIR")
    ] = (opt.CELLS),
    offline: opt.Offline = False,
    out: Annotated[
        Path | None, opt.option(opt.OUTPUT, "Folder of all runs. Default: runs/<name of the file>.", metavar="DIR")
    ] = None,
) -> None:
    """Run each command of a study on each task, format and seed; load each model once a round. Ends with an index.

    Run it again after an interruption: what is stored is not computed again.
    """
    from distractor.execution.workers import Workers
    from distractor.scoring.requests import PartDone
    from distractor.scoring.store import Store
    from distractor.study.rounds import carry_out
    from distractor.study.study_file import read_study

    content = read_study(file)
    _check_options(file, content)
    if sbatch:
        rounds = max(ROUNDS[name] for name in content.commands)
        print_script(["distractor", *sys.argv[1:]], sbatch, rounds)
        return
    home = out or Path("runs") / file.stem
    execute, here = _executors(content, workers, shard, ray)
    if plan:
        _print_plan(content, here, store, offline=offline)
        return
    runs = _with_folders(content, home, store, offline=offline)

    @contextmanager
    def following(steps: "Sequence[Step]") -> Iterator[None]:
        with show_progress(lambda: steps):
            yield

    with _claimed(home, content, is_shared=shard is not None):
        if isinstance(here, Workers):
            here.prepare()
        progress = carry_out(runs, start, here, execute, Store(store), following)
        if shard:
            raise PartDone(
                f"Shard {shard} is done, and no result is missing. Run the study without --shard for its pages."
            )
        _print_results(progress, home)
    if progress.failed:
        raise typer.Exit(2)


def _executors(content: "Study", workers: int | None, shard: str | None, ray: str | None) -> "tuple[Any, Any]":
    """What computes results, and what runs commands."""
    from distractor.scoring.settings import Settings

    options = {**content.options, **content.ablate}
    settings = Settings(device=str(options.get("device", "auto")), device_map=options.get("device_map"))  # type: ignore[arg-type]
    execute = opt.executor(workers, shard, ray, settings, always=True)
    if shard is None and ray is None:  # the same processes do both
        return execute, execute
    return execute, opt.executor(workers if shard else None, None, None, Settings(device="cpu"), always=True)


def start(words: Sequence[str]) -> None:
    """Run the words of a command in this process, quietly. Raises DistractorError as the command does."""
    from typer.main import get_command

    from distractor.command_line.main import app as every

    argv = sys.argv
    sys.argv = ["distractor", *words]
    try:
        with inner_commands(), redirect_stdout(io.StringIO()):
            get_command(every).main(list(words), prog_name="distractor")
    except SystemExit as end:
        if end.code:
            raise TaskError(f"the command was refused: distractor {' '.join(words)}") from end
    finally:
        sys.argv = argv


def _with_folders(content: "Study", home: Path, store: Path, *, offline: bool) -> "list[StudyRun]":
    """The runs, each with the words that name its folder and the store."""
    from distractor.study.study_file import StudyRun, runs_of

    more = ("--store", str(store), *(["--offline"] if offline else []))
    return [StudyRun(run.name, (*run.words, "--out", str(home / run.name), *more)) for run in runs_of(content)]


def _check_options(file: Path, content: "Study") -> None:
    """Check that each option of the study is one of its command. Raises TaskError, which names the key."""
    from typer.main import get_command

    from distractor.command_line.main import app as every
    from distractor.study.study_file import option_keys

    commands: Any = get_command(every)
    for key, name, option in option_keys(content):
        known = {
            opt.lstrip("-").replace("-", "_")
            for parameter in commands.commands[name].params
            for opt in (*parameter.opts, *parameter.secondary_opts)
            if opt.startswith("--")
        } - {"help", "help_all", "plan", "json", "out", "store", "task", "models", "items"}
        if option.replace("-", "_") not in known:
            raise TaskError(f"{file}: {key}: {name} has no such option: {nearest(option, sorted(known))}")


@contextmanager
def _claimed(home: Path, content: "Study", *, is_shared: bool) -> Iterator[None]:
    """Make the folder of a study, and own it in this block unless it `is_shared`.

    Raises StoreError if it holds another study, or if this study runs in it already.
    """
    from distractor.files import delete_unfinished, write_text
    from distractor.study.study_file import option_values

    path, identity = home / IDENTITY, json.dumps(option_values(content), indent=1, sort_keys=True) + "\n"
    try:
        known = path.read_text(encoding="utf-8") if path.exists() else None
        is_used = home.exists() and any(file for file in home.iterdir() if file != path and file.suffix != ".part")
    except OSError as error:
        raise StoreError(f"{home} cannot be read ({error.strerror}); choose another folder with --out") from error
    if is_used and known != identity:
        what = "other files" if known is None else "another study"
        raise StoreError(f"{home} holds {what}; choose another folder with --out, or remove it")
    write_text(path, identity)
    delete_unfinished(home)
    with nullcontext(True) if is_shared else owning(home) as is_own:
        if not is_own:
            raise StoreError(
                f"this study runs in {home} already; wait until that command ends, or choose another folder with --out"
            )
        yield


def _print_plan(content: "Study", here: Any, store: Path, *, offline: bool) -> None:
    """Print the units of a study with their time and memory."""
    from distractor.execution.here import Here
    from distractor.numbers import counted, duration, gigabytes
    from distractor.runs.plan.cost import RunWork, collecting_work
    from distractor.runs.tables import console, plain_table
    from distractor.scoring.store import Store
    from distractor.study.plan import plan
    from distractor.study.rounds import Progress, advance

    progress, works = Progress(), list[RunWork]()
    with scratch_folder() as home:
        runs = _with_folders(content, home, store, offline=offline)
        for run in runs:
            try:
                with collecting_work() as found:
                    start((*run.words, "--plan"))
            except DistractorError as error:
                progress.failed[run] = error
                continue
            is_here = not any(source.is_missing for work in found for source in work.sources)
            if is_here and not advance([run], start, Here(), Store(store), progress, writes=False):
                continue  # it needs no model, or fails
            works += found
    for run, reason in progress.failed.items():
        say(f"{run.name} would fail: {reason}", err=True)
    planned = plan(works, getattr(here, "count", 1), getattr(here, "fit", lambda units: len(units) < 2))
    table = plain_table("model", "results", "time", "memory")
    for each in planned.units:
        table.add_row(each.name, str(each.results), duration(each.seconds), gigabytes(each.unit.memory))
    if planned.units:
        console().print(table)
    say(f"runs:      {len(runs)}, of which {len(progress.finished)} need no model")
    say(f"units:     {counted(len(planned.units), 'model')}; results that are stored are not counted")
    processes = f"{planned.workers} processes" if planned.workers > 1 else "one process"
    say(f"time:      about {duration(planned.seconds)} with {processes}")
    say(
        f"memory:    at most {gigabytes(planned.memory)} a process, {gigabytes(planned.memory * planned.workers)} in all"
    )
    if progress.failed:
        raise typer.Exit(2)


def _print_results(progress: "Progress", home: Path) -> None:
    """Print what failed, write the index over all runs, and print its path."""
    from rich.markup import escape
    from rich.table import Table

    from distractor.command_line.report import write_index
    from distractor.names import printable
    from distractor.runs.index.found import find_runs
    from distractor.runs.tables import console

    if progress.failed:
        table = Table(box=None, show_header=True, pad_edge=False, header_style="bold")
        table.add_column("run", no_wrap=True)
        table.add_column("why it failed", overflow="fold")
        for run, error in progress.failed.items():
            table.add_row(escape(run.name), escape(printable(str(error))))
        console().print(table)
    if progress.finished:
        index = write_index(list(find_runs(home)), home)
        say(f"{len(progress.finished)} of {len(progress.finished) + len(progress.failed)} runs: {index}")
