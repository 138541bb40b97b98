"""The front door, and the only module that opens onto every room. Heavy imports wait inside the commands."""

import functools
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar

import typer
from typer.core import TyperGroup

from distractor import __version__
from distractor.command_line.options import (
    MODELS,
    AsJson,
    Bos,
    Device,
    DeviceMap,
    Dtype,
    ListedTask,
    OfficialFile,
    Offline,
    OfItems,
    OfWeights,
    Out,
    SelfCheckOption,
    ShotKinds,
    SomeItems,
    TaskName,
    Threads,
    YesNo,
)
from distractor.errors import DistractorError, ModelError, TaskError
from distractor.progress import counted
from distractor.runs.tables import console

if TYPE_CHECKING:
    from distractor.ablation.ablate import AblationResult
    from distractor.models.source import Source
    from distractor.probing.probe import Probe
    from distractor.progress import Advance
    from distractor.runs.folder import RunFolder
    from distractor.scoring.settings import Settings
    from distractor.scoring.store import Store
    from distractor.text.task import Task


app = typer.Typer(
    help="Test why language models get worse and then better with size: is it a distractor task?",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


CELLS = Path("runs/.cells")


P = ParamSpec("P")


R = TypeVar("R")


def main() -> None:
    """The console script."""
    app()


def _door(command: Callable[P, R]) -> Callable[P, R]:
    """Errors that a user can put right are told in one message, exit status 2, without a traceback.

    At the end of a command that went well it is told, on stderr, what it did (`distractor.work`).
    """

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with counted() as work:
                made = command(*args, **kwargs)
            for sentence in work.sentences:
                typer.echo(sentence, err=True)
            return made
        except DistractorError as error:
            typer.secho("Error: ", fg="red", bold=True, err=True, nl=False)
            typer.echo(str(error), err=True)
            raise typer.Exit(2) from error
        except KeyboardInterrupt as error:
            typer.echo("Stopped. The same command goes on where this one was.", err=True)
            raise typer.Exit(130) from error

    return wrapped


def _show_version(wanted: bool) -> bool:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit
    return wanted


@app.callback()
def top(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """Test why language models get worse and then better with size: is it a distractor task?

    Start with: [bold]distractor ablate --task negation_qa[/bold]
    """


@app.command(
    epilog="Examples:\n\n"
    "  distractor ablate --task negation_qa\n\n"
    "  distractor ablate --task negation_qa --models ladder/24x2 --models ladder/80x2 --json\n\n"
    "  distractor ablate --task negation_qa --data neqa_classification.jsonl --models path/to/model\n\n"
    "  distractor ablate --task negation_qa --format rank,generate,cot"
)
@_door
def ablate(
    task: TaskName,
    models: Annotated[
        list[str] | None,
        typer.Option(
            help=f"{MODELS} Default: the whole ladder.",
            show_default=False,
        ),
    ] = None,
    items: Annotated[int, typer.Option(min=1, help="How many of the task's items; their order is fixed.")] = 200,
    data: OfficialFile = None,
    out: Out = None,
    device: Device = "auto",
    dtype: OfWeights = Dtype.FLOAT32,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Prompts at a time. Default: by their length.", show_default=False)
    ] = None,
    knockout: Annotated[
        bool, typer.Option(help="Knock out every head and MLP in the model at the peak and in the largest.")
    ] = True,
    bos: Bos = None,
    device_map: DeviceMap = None,
    threads: Threads = None,
    self_check: SelfCheckOption = True,
    form: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help="How answers are had: rank compares the probabilities of the two answers, generate reads what the model "
            "writes, cot lets it reason first. Several are put side by side: rank,generate,cot; each may name its shots: "
            "cot:1. Default: rank.",
            show_default=False,
        ),
    ] = None,
    shots: Annotated[
        int | None,
        typer.Option(
            min=0, help="Worked examples before each question. Default: 0 for rank, else 1.", show_default=False
        ),
    ] = None,
    shot_kind: Annotated[
        ShotKinds, typer.Option(help="Examples on which the two tasks agree, conflict, or both by turns.")
    ] = ShotKinds.CONGRUENT,
    shot_seed: Annotated[int, typer.Option(min=0, help="Which examples are drawn.")] = 0,
    inline: Annotated[
        bool, typer.Option("--inline", help="Part examples by a space in place of a blank line.")
    ] = False,
    lead: Annotated[
        bool, typer.Option("--lead", help='Let examples say "The answer is" before the answer; in cot they always do.')
    ] = False,
    options: Annotated[
        bool | None,
        typer.Option(
            "--options/--no-options",
            help="Offer the two answers in the prompts, or not. Default: as the task is.",
            show_default=False,
        ),
    ] = None,
    hint: Annotated[str, typer.Option(help="A line at the beginning of each prompt.", show_default=False)] = "",
    chat: Annotated[bool, typer.Option("--chat", help="Send prompts through the tokenizer's chat template.")] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, help="How many tokens a model may write. Default: 24 for generate, 96 for cot.", show_default=False
        ),
    ] = None,
    offline: Offline = False,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Print what would run, its cost and the smallest detectable dip; run nothing."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Pose a task under every condition to models of many sizes, and judge whether a distractor makes the U.

    A curve means little without its prompt format, which is recorded with every result; several may be put side by side.
    """
    from distractor.models.families import find_models
    from distractor.scoring.settings import Settings
    from distractor.scoring.shot_limits import refuse_untrained
    from distractor.scoring.store import Store
    from distractor.text.format import parse_formats
    from distractor.text.shots import format_task

    wanted = parse_formats(
        form or ["rank"], shots, kind=shot_kind.value, seed=shot_seed, inline=inline, lead=lead, options=options, hint=hint,
        chat=chat, limit=limit,
    )  # fmt: skip
    plain = _task(task, data, items)
    pool = _task(task, data) if any(one.shots for one in wanted) else plain
    chosen, *others = (format_task(plain, one, pool) for one in wanted)
    several = [chosen, *others]
    ranked = [one for one in several if not one.format.is_free]
    knockout = knockout and bool(ranked)
    if knockout and (why := _why_no_means(ranked[0])):
        knockout = False
        typer.echo(f"Nothing is knocked out: {why}.", err=True)
    sources = find_models(models or ["ladder"], offline=offline or plan)
    settings = Settings(
        device, dtype.value, batch_size, YesNo.of(bos), self_check=self_check, device_map=device_map, threads=threads
    )
    store = Store(CELLS)
    for source in sources:
        for one in several:
            refuse_untrained(one.format, source)
    if plan:
        from distractor.ablation.plan import plan as make_plan

        for one in several:
            if others:
                typer.secho(one.format.label, bold=True)
            for line in make_plan(one, sources, store, settings, knockout=knockout).lines():
                typer.echo(line)
        return

    from distractor.ablation import report
    from distractor.ablation.ablate import ablate as run
    from distractor.runs.manifest import run_manifest

    probe = _room("probes").PROBES["ablation"] if knockout else None
    if others or not ranked:
        _side_by_side(plain, several, sources, store, settings, probe, out, as_json=as_json)
        return
    manifest = run_manifest(chosen, sources, settings, probe, sys.argv)
    with _opened(store, out, f"ablate-{chosen.name}", manifest) as folder:
        with _progress(len(sources) * len(chosen.conditions) + 2 * knockout) as advance:
            found = run(chosen, sources, store=store, settings=settings, knockout=probe, advance=advance)
        told = report.write(folder, found)
    if as_json:
        typer.echo(json.dumps(told, indent=1))
    else:
        _print(found, told, folder.path)


@app.command(
    epilog="Examples:\n\n"
    "  distractor attribute --task negation_qa --models ladder/20x2 --models ladder/80x2\n\n"
    "  distractor attribute --task negation_qa --models path/to/model --probe logit_lens --probe attention\n\n"
    "  distractor attribute --task negation_qa --models ladder --probe ablation --items 100 --json"
)
@_door
def attribute(
    task: TaskName,
    models: Annotated[
        list[str],
        typer.Option(
            help=MODELS,
            show_default=False,
        ),
    ],
    probe: Annotated[
        list[str] | None,
        typer.Option(
            help="A probe by name (`distractor probes`); may be repeated. Default: all, but those that a model cannot be "
            "read with.",
            show_default=False,
        ),
    ] = None,
    items: SomeItems = 200,
    item: Annotated[
        str | None,
        typer.Option(help="An item by its id, whose attribution is drawn beside the mean.", show_default=False),
    ] = None,
    head: Annotated[
        list[str] | None,
        typer.Option(
            help="A head (L1H0) whose attention is drawn on a prompt's words; may be repeated. Default: those that matter "
            "most.",
            show_default=False,
        ),
    ] = None,
    data: OfficialFile = None,
    out: Out = None,
    device: Device = "auto",
    dtype: Annotated[Dtype, typer.Option(help="Type of weights and activations: float32 or float64.")] = Dtype.FLOAT32,
    bos: Bos = None,
    device_map: DeviceMap = None,
    threads: Threads = None,
    self_check: SelfCheckOption = True,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Read where in models, and in the prompt, the answers come from: figures and tables of the top sites."""
    from distractor.attribution import report as attribute_report
    from distractor.attribution.attribute import attribute as run
    from distractor.attribution.attribute import count
    from distractor.models.families import find_models
    from distractor.probing.read_probes import check_request, measures_strengths
    from distractor.scoring.settings import Settings
    from distractor.scoring.store import Store

    chosen = _task(task, data, items)
    probes = _probes(probe)
    sources = find_models(models, offline=offline)
    settings = Settings(
        device, dtype.value, bos=YesNo.of(bos), self_check=self_check, device_map=device_map, threads=threads
    )
    check_request(chosen, settings, item=item, heads=head or (), halved=measures_strengths(sources, probes))
    store = Store(CELLS)
    manifest = attribute_report.manifest(chosen, sources, settings, probes, sys.argv, item=item, heads=head or ())
    with _opened(store, out, f"attribute-{chosen.name}", manifest) as folder:
        with _progress(count(chosen, sources, probes)) as advance:
            found = run(chosen, sources, probes, store=store, settings=settings, forgive=not probe, advance=advance)
        told = attribute_report.write(folder, found, item=item, heads=head or ())
    if as_json:
        typer.echo(json.dumps(told, indent=1))
        return
    from distractor.attribution.tables import tables

    paper = console()
    for table in tables(found):
        paper.print(table)
        paper.print()
    paper.print(f"Readings, figures and summary: {folder.path}", markup=False)


@app.command(
    epilog="Examples:\n\n"
    "  distractor compare ladder/20x2 ladder/80x2 --task negation_qa\n\n"
    "  distractor compare ladder/80x2@all --task negation_qa\n\n"
    "  distractor compare path/to/base path/to/tuned --task negation_qa --task redefine_math --json"
)
@_door
def compare(
    models: Annotated[
        list[str],
        typer.Argument(
            help="Two models or more, the earlier first, or one size, whose seeds are compared: "
            "family/size\\[/seedK]\\[@step], @all for every step, a folder, or a hub id owner/name\\[@revision]. A size "
            "stands for all its seeds.",
            show_default=False,
        ),
    ],
    task: Annotated[
        list[str],
        typer.Option(help="A task by name, or your own: a data file, or path.py:NAME; may be repeated."),
    ],
    probe: Annotated[
        list[str] | None,
        typer.Option(
            help="A probe by name, whose effects are compared site by site; may be repeated. Default: ablation and "
            "head_patching.",
            show_default=False,
        ),
    ] = None,
    mechanism: Annotated[bool, typer.Option(help="Look behind behaviour, at the sites.")] = True,
    items: SomeItems = 200,
    data: OfficialFile = None,
    out: Out = None,
    device: Device = "auto",
    dtype: Annotated[
        Dtype, typer.Option(help="Type of weights and activations; of sites, float32 or float64.")
    ] = Dtype.FLOAT32,
    bos: Bos = None,
    device_map: DeviceMap = None,
    threads: Threads = None,
    self_check: SelfCheckOption = True,
    offline: Offline = False,
    as_json: AsJson = False,
) -> None:
    """Compare checkpoints: sizes, steps, seeds, before and after tuning; what changed beyond noise, and where."""
    from distractor.comparison import report as compare_report
    from distractor.comparison.compare import PROBES, check_models, check_probes, count_steps, is_halved, over_tasks
    from distractor.comparison.compare import compare as run
    from distractor.models.families import find_models
    from distractor.probing.read_probes import check_request
    from distractor.scoring.settings import Settings
    from distractor.scoring.store import Store

    if twice := [name for name, count in Counter(models).items() if count > 1]:
        raise ModelError(
            f"{twice[0]!r} is named twice, and nothing differs from itself; a size named once has its seeds compared"
        )
    names = list(dict.fromkeys(task))
    if data is not None and len(names) > 1:
        raise TaskError(f"--data is a file of one task, and {len(names)} were named; compare them one after the other")
    chosen = [_task(name, data, items) for name in names]
    probes = _probes(probe or list(PROBES)) if mechanism else {}
    check_probes(probes)
    sources = find_models(models, offline=offline, mixed=True)
    check_models(sources)
    settings = Settings(
        device, dtype.value, bos=YesNo.of(bos), self_check=self_check, device_map=device_map, threads=threads
    )
    for one in chosen if probes else ():
        check_request(one, settings, halved=is_halved(probes))
    store = Store(CELLS)
    manifest = compare_report.manifest(chosen, sources, settings, probes, sys.argv)
    with _opened(store, out, f"compare-{'+'.join(one.name for one in chosen)}", manifest) as folder:
        with _progress(sum(count_steps(one, sources, probes) for one in chosen)) as advance:
            each = [
                run(one, sources, probes, store=store, settings=settings, forgive=not probe, advance=advance)
                for one in chosen
            ]
        found = list(over_tasks(each))
        told = compare_report.write(folder, found)
    if as_json:
        typer.echo(json.dumps(told, indent=1))
        return
    from distractor.comparison.tables import tables

    paper = console()
    for comparison in found:
        for table in tables(comparison):
            paper.print(table)
            paper.print()
    paper.print(f"Readings, figures and summary: {folder.path}", markup=False)


@app.command("probes", epilog="Example:\n\n  distractor probes")
@_door
def list_probes() -> None:
    """List the probes: what each one reads, and its settings."""
    for name, probe in _room("probes").PROBES.items():
        first = (type(probe).__doc__ or "").strip().splitlines()[0]
        typer.secho(name, bold=True)
        typer.echo(f"  {first}")
        typer.echo(f"  {_settings(probe)}")


def _settings(probe: "Probe") -> str:
    """A probe's settings, as they can be read."""
    said = []
    for one in fields(probe):  # type: ignore[arg-type]
        value = getattr(probe, one.name)
        if value in ((), None):
            continue
        if isinstance(value, bool):
            value = "yes" if value else "no"
        elif isinstance(value, tuple):
            value = ", ".join(map(str, value))
        said.append(f"{one.name.replace('_', ' ')}: {value}")
    return "; ".join(said)


class ListsByItself(TyperGroup):
    """A group of commands that lists what there is where no command is given."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read what was typed behind the group's name; nothing there means `list`."""
        return super().parse_args(ctx, args or ["list"])


shelf = typer.Typer(
    cls=ListsByItself,
    help="List the tasks; show one, or export it.",
    epilog="Examples:\n\n"
    "  distractor tasks\n\n"
    "  distractor tasks show negation_qa\n\n"
    "  distractor tasks export negation_qa --out negation_qa.jsonl",
    rich_markup_mode="rich",
)


app.add_typer(shelf, name="tasks")


@shelf.command("list", epilog="Example:\n\n  distractor tasks")
@_door
def tasks() -> None:
    """List the tasks: name, question, items and groups, source and conditions."""
    from distractor.command_line.shown_items import about

    for name, make in _room("tasks").TASKS.items():
        task = make()
        typer.secho(name, bold=True)
        for line in (task.question, *about(task)):
            typer.echo(f"  {line}")


@shelf.command(
    epilog="Examples:\n\n  distractor tasks show negation_qa\n\n  distractor tasks show negation_qa --items 30 --seed 1"
)
@_door
def show(
    task: ListedTask,
    items: Annotated[int, typer.Option(min=1, help="How many of its items, from the first.")] = 3,
    seed: OfItems = 0,
) -> None:
    """Print items under all their conditions, with the right answers and, in colour, the words that differ."""
    from distractor.command_line.shown_items import about, legend, posed

    chosen = _drawn(task, seed)
    paper = console()
    for line in (f"{chosen.name}: {chosen.question}", *about(chosen)):
        paper.print(line, markup=False)
    if paper.is_terminal and not paper.no_color:
        paper.print(legend())
    for item in chosen.take(items).items:
        paper.print()
        paper.print(posed(chosen, item))


@shelf.command(epilog="Example:\n\n  distractor tasks export negation_qa --out negation_qa.jsonl")
@_door
def export(
    task: ListedTask,
    out: Annotated[Path, typer.Option(help="The file to write, JSON lines.", show_default=False)],
    seed: OfItems = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that holds something else.")] = False,
) -> None:
    """Write a task's conflict prompts in the official columns: prompt, classes, answer_index, round, part."""
    from distractor.command_line.export import export as write

    chosen = _drawn(task, seed)
    write(chosen, out, force=force)
    typer.echo(f"{out}: {len(chosen.items):,} rows of {chosen.name}, one for each conflict prompt")


@app.command(
    epilog="Examples:\n\n"
    "  distractor shape results.csv\n\n"
    "  distractor shape runs/ablate-negation_qa-214b7a4e/results.parquet --quantity distractor_preference\n\n"
    "  distractor shape 70M=a/samples_neqa.jsonl 160M=b/samples_neqa.jsonl 410M=c/samples_neqa.jsonl\n\n"
    "  distractor shape results.csv --task negation_qa --reference opt --reference gpt3 --by difficulty\n\n"
    "  distractor shape steps.csv --against step --where family=mine --json"
)
@_door
def shape(
    files: Annotated[
        list[str],
        typer.Argument(
            help="A table (.csv, .tsv, .parquet, .json, .jsonl), or lm-evaluation-harness logs samples_*.jsonl, one for "
            "each model, each as SIZE=FILE or SIZE/seedK=FILE.",
            show_default=False,
        ),
    ],
    quantity: Annotated[
        str | None,
        typer.Option(
            help="accuracy, distractor_preference, logit_gap, true_pull, distractor_pull, coverage, or another of the "
            "table's, then with --delta. Default: the table's only one, else accuracy.",
            show_default=False,
        ),
    ] = None,
    against: Annotated[str, typer.Option(help="parameters, tokens, flops or step.")] = "parameters",
    where: Annotated[
        list[str] | None,
        typer.Option(help="column=value: use only these rows; may be repeated.", show_default=False),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            help="Column (in a log: field of its doc) whose items belong together. Default: group, else each item.",
            show_default=False,
        ),
    ] = None,
    mixed_families: Annotated[
        bool, typer.Option("--mixed-families", help="Allow one curve through models of several families.")
    ] = False,
    delta: Annotated[
        float | None,
        typer.Option(help="Smallest difference of interest. Default: .05 for shares, .2 for nats.", show_default=False),
    ] = None,
    reference: Annotated[
        list[str] | None,
        typer.Option(
            help="Published numbers to lay underneath: opt, gpt3, palm, …; may be repeated.", show_default=False
        ),
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="Whose published numbers. Default: the table's task.", show_default=False)
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="group or difficulty: draw the items' parts, too.", show_default=False)
    ] = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Judge the shape of anyone's results over size: is it a U, how sure, for these weights and for models like these.

    A table has the columns size, item and value (and seed, group, family, task, …), or size, mean and n (or se).
    """
    from distractor.curves import report as shape_report
    from distractor.curves.curve_file import Wanted, paths_of, read_curve
    from distractor.curves.judge_curve import cut_of, judge_curve
    from distractor.runs.folder import open_run

    wanted = Wanted.of(quantity, against, where or (), group, mixed_families=mixed_families)
    references = [name.strip() for names in reference or () for name in names.split(",")]
    curve = read_curve(files, wanted)
    judged = judge_curve(curve, delta=delta, references=references, task=task, cut=cut_of(by))
    paths = paths_of(files)
    settings = {"delta": judged.delta, "references": references, "task": task or curve.task, "by": by}
    manifest = shape_report.manifest(files, paths, wanted, settings, sys.argv)
    with open_run(out, f"shape-{paths[0].stem}", manifest) as folder:
        told = shape_report.write(folder, judged)
    if as_json:
        typer.echo(json.dumps(told, indent=1))
        return
    paper = console()
    paper.print(shape_report.page(judged))
    paper.print(f"\nNumbers, figures and summary: {folder.path}", markup=False)


kinds = typer.Typer(
    cls=ListsByItself,
    help="List the model families; show the models of one.",
    epilog="Examples:\n\n"
    "  distractor models\n\n"
    "  distractor models show pythia\n\n"
    "  distractor models show my_family.toml",
    rich_markup_mode="rich",
)


app.add_typer(kinds, name="models")


@kinds.command("list", epilog="Example:\n\n  distractor models")
@_door
def models() -> None:
    """List the families: how many models, from which to which, seeds and steps."""
    from distractor.command_line.family_table import families_table
    from distractor.models.families import known_families

    paper = console()
    paper.print(families_table(known_families().values()))
    paper.print(
        "\nBeside these: a folder, a hub id owner/name[@revision], or a family of your own, described in a .toml file.",
        markup=False,
    )


@kinds.command("show", epilog="Examples:\n\n  distractor models show ladder\n\n  distractor models show my_family.toml")
@_door
def show_family(
    family: Annotated[str, typer.Argument(help="A family by name (`distractor models`), or your own: a .toml file.")],
) -> None:
    """Show a family: its models, their parameters, tokens, steps and loss of training, and where they are."""
    from distractor.command_line.family_table import family_table
    from distractor.models.families import find_family

    console().print(family_table(find_family(family)))


def _drawn(name: str, seed: int) -> "Task":
    """The task with the items of a seed."""
    room = _room("tasks")
    if name in room.TASKS:
        drawn: Task = room.TASKS[name](seed=seed)
        return drawn
    found = _task(name, None)
    if seed:
        raise TaskError(f"the items of {name!r} are what they are, and not drawn by a seed; leave --seed out")
    return found


data_commands = typer.Typer(
    help="OfficialFile files of the Inverse Scaling Prize: fetch and verify them.", no_args_is_help=True
)


app.add_typer(data_commands, name="data")


@data_commands.command(epilog="Example:\n\n  distractor data verify neqa_classification.jsonl")
@_door
def verify(files: Annotated[list[Path], typer.Argument(help="Files to be looked at.", show_default=False)]) -> None:
    """Say of each file which official one it is and what comes of it, or how it differs from it.

    Exit status 2 where any is not official.
    """
    told = [_room("tasks.prize").tell(file) for file in files]
    for _, lines in told:
        for line in lines:
            typer.echo(line)
    if not all(is_official for is_official, _ in told):
        raise typer.Exit(2)


@data_commands.command(epilog="Example:\n\n  distractor data get negation_qa")
@_door
def get(
    task: Annotated[str, typer.Argument(help="A task that comes from an official file, or the release's name of it.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the file. Default: the user's cache folder.", show_default=False)
    ] = None,
    offline: Offline = False,
) -> None:
    """Fetch an official file from the organisers' public dataset, verify it to the byte, and keep it only then."""
    path, origin = _room("tasks.prize.fetch").get(task, out, offline=offline)
    typer.echo(
        f"{path}: the official file, from {origin}" if "://" in origin else f"{path}: the official file, {origin}"
    )


def _why_no_means(task: "Task") -> str | None:
    """Why nothing can be knocked out in a task: components are put at their mean over other groups' items."""
    from distractor.text.task import Condition

    if Condition.CONGRUENT not in task.conditions:
        return f"{task.name} has no congruent prompts to take means over"
    if len({item.group for item in task.items}) < 2:
        return f"all items of {task.name} are of one group, so that there are no others to take means over"
    return None


def _task(name: str, data: Path | None = None, items: int | None = None) -> "Task":
    task: Task = _room("tasks.find").find_task(name, data, items)
    return task


def _probes(names: list[str] | None) -> "dict[str, Probe]":
    """The probes of these names, or all."""
    from distractor.errors import nearest

    shelf: dict[str, Probe] = _room("probes").PROBES
    for name in names or ():
        if name not in shelf:
            raise ModelError(f"there is no probe {name!r}: {nearest(name, shelf)}")
    return {name: shelf[name] for name in dict.fromkeys(names or shelf)}


def _room(name: str) -> ModuleType:
    """`tasks` or `probes`, the packages beside this one, and not a file of that name in the user's folder."""
    import importlib.util

    first = name.split(".")[0]
    found = importlib.util.find_spec(first)
    origin = found.origin if found else None
    if origin is None or Path(origin).resolve() != Path(__file__).resolve().parents[2] / first / "__init__.py":
        raise TaskError(
            f"{origin or first} hides this toolkit's package {first!r}; rename it, or run `distractor` from another folder"
        )
    return importlib.import_module(name)


@contextmanager
def _opened(store: "Store", out: Path | None, name: str, manifest: dict[str, Any]) -> "Iterator[RunFolder]":
    """The folder of a run, which says what it is of from the start; cells can be kept from here on.

    Where the run is refused before it has any result, nothing is left of the folder.
    """
    from distractor.runs.folder import open_run

    store.make_ready()
    store.clear_scraps()
    with open_run(out, name, manifest) as folder:
        yield folder


@contextmanager
def _progress(total: int) -> "Iterator[Advance]":
    """A bar on stderr, gone when the work is done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        row = bar.add_task("starting", total=total)
        yield lambda name: bar.update(row, advance=1, description=name)


def _side_by_side(
    plain: "Task",
    tasks: "Sequence[Task]",
    sources: "Sequence[Source]",
    store: "Store",
    settings: "Settings",
    probe: "Probe | None",
    out: Path | None,
    *,
    as_json: bool,
) -> None:
    """One task in several formats, or in one in which models write: each on its own, then all beside each other."""
    from distractor.ablation import format_report
    from distractor.ablation.ablate import ablate as rank
    from distractor.ablation.free_form import FreeForm, answer_freely

    manifest = format_report.manifest(plain, tasks, sources, settings, probe, sys.argv)
    found: list[AblationResult | FreeForm] = []
    ranked = sum(not one.format.is_free for one in tasks)
    total = len(sources) * sum(len(one.conditions) for one in tasks) + 2 * ranked * (probe is not None)
    with _opened(store, out, f"ablate-{plain.name}", manifest) as folder:
        with _progress(total) as advance:
            for posed in tasks:
                if posed.format.is_free:
                    found.append(answer_freely(posed, sources, store=store, settings=settings, advance=advance))
                else:
                    found.append(rank(posed, sources, store=store, settings=settings, knockout=probe, advance=advance))
        told = format_report.write(folder, found)
    if as_json:
        typer.echo(json.dumps(told, indent=1))
        return
    from distractor.ablation.format_tables import formats_table, free_notes, free_table
    from distractor.ablation.formats import curve

    paper = console()
    for one in found:
        place = folder.path / one.task.format.slug
        if not isinstance(one, FreeForm):
            _print(one, told["by_format"][one.task.format.label], place)
        else:
            paper.print(free_table(one))
            for note in free_notes(one):
                paper.print(note, markup=False)
            paper.print(f"\nTexts, values, figure and summary: {place}", markup=False)
        paper.print()
    paper.print(formats_table([curve(one) for one in found]))
    for sentence in told["sentences"]:
        paper.print(sentence, markup=False)
    paper.print(f"\nFormats side by side: {folder.path}", markup=False)


def _print(found: "AblationResult", told: dict[str, Any], folder: Path) -> None:
    from distractor.ablation.tables import components_table, models_table, notes, verdict_table

    paper = console()
    paper.print(models_table(found))
    for note in notes(found):
        paper.print(note, markup=False)
    paper.print()
    paper.print(verdict_table(found))
    for knockout in told["knockouts"]:
        paper.print()
        paper.print(components_table(knockout))
    paper.print(f"\nResults, figures and summary: {folder}", markup=False)
