"""`distractor compare`: compares checkpoints, in behaviour and site by site."""

import re
import sys
from collections import Counter
from itertools import chain
from typing import Annotated

import typer

from distractor.command_line import options as opt
from distractor.command_line.lookup import find_probes, find_task, ladder_task
from distractor.command_line.progress import FINAL_STAGE, show_progress
from distractor.command_line.registration import command
from distractor.command_line.running import print_json, print_plan, print_script, print_tables, run_folder
from distractor.errors import ModelError, TaskError
from distractor.runs.figure_set import FigureSet

app = typer.Typer()
ROUNDS = 4  # of a job array: results of one depend on those of the one before
FIGURES_DRAWN = 5  # with those of the page; for the time in a plan


@command(
    app,
    "distractor compare ladder/16x2 ladder/80x2 --task negation_qa",
    "distractor compare ladder/24x2@all --task negation_qa",
    "distractor compare path/to/base path/to/tuned --task negation_qa --task redefine_math --json",
)
def compare(
    *,
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL",
            help="At least two models, the earlier first: family/size\\[/seedK]\\[@step], @all for every step, a folder, "
            "a .gguf file, a hub id owner/name\\[@revision], or BASE+ADAPTER_FOLDER. A size includes all its seeds. A single "
            "size compares its seeds.",
        ),
    ],
    task: Annotated[
        list[str],
        typer.Option(metavar="TASK", help="Task name (`distractor tasks`), a data file, or path.py:NAME. Repeatable."),
    ],
    probe: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PROBE",
            help="Probe whose effects are compared site by site (`distractor probes`). Repeatable. Default: ablation and "
            "head_patching.",
        ),
    ] = None,
    mechanism: Annotated[bool, opt.option(opt.METHOD, "Compare sites too, not only behaviour.")] = True,
    plan: opt.Plan = False,
    exact: Annotated[
        bool,
        opt.option(
            opt.METHOD,
            "Measure every site. Default: in models with many, gradients estimate all, and the largest, edited ones and a "
            "random sample are measured.",
            "--exact",
        ),
    ] = False,
    items: opt.ItemCount = None,
    data: opt.OfficialFile = None,
    reference: Annotated[
        list[str] | None,
        opt.hidden_option(opt.METHOD, f"{opt.REFERENCE} Beside a model at three steps or more.", metavar="NAME"),
    ] = None,
    offline: opt.Offline = False,
    computing: opt.Computing,
    figures: opt.Figures = FigureSet.MAIN,
    out: opt.Out = None,
    as_json: opt.AsJson = False,
) -> None:
    """Compare checkpoints (sizes, steps, seeds, before and after tuning): what changed beyond noise, and where."""
    from distractor.comparison import report
    from distractor.comparison.compare import (
        PROBES,
        check_models,
        check_probes,
        check_references,
        is_halved,
        over_tasks,
        run_steps,
    )
    from distractor.comparison.compare import compare as run_comparison
    from distractor.comparison.tables import tables
    from distractor.models.families import find_models
    from distractor.models.source import EMBEDDED
    from distractor.probing.read_probes import check_request
    from distractor.published.curves import find_published, parse_references
    from distractor.scoring.prompt_tokens import TokenCounter
    from distractor.scoring.store import Store

    if repeated := [name for name, count in Counter(models).items() if count > 1]:
        raise ModelError(f"{repeated[0]!r} is named twice; name different models (a single size compares its seeds)")
    names = list(dict.fromkeys(task))
    if data is not None and len(names) > 1:
        raise TaskError(f"--data is the file of one task, but {len(names)} tasks are named; compare them one by one")
    tasks = [find_task(name, data, items) for name in names]
    if repeated := [name for name, count in Counter(each.name for each in tasks).items() if count > 1]:
        raise TaskError(f"two tasks are called {repeated[0]!r}; rename one of the files")
    references = parse_references(reference or ())
    published = {each.name: find_published(each.name, references, "step") if references else () for each in tasks}
    probes = find_probes(probe or list(PROBES)) if mechanism else {}
    if exact:
        probes = {name: one.unscreened for name, one in probes.items()}
    check_probes(probes)
    if len(tasks) > 1 and (embedded := [name for name in models if re.match(rf"{EMBEDDED}(?![^/@])", name)]):
        raise ModelError(
            f"{embedded[0]!r}: embedded models know the words of one task only; compare the tasks one by one"
        )
    sources = find_models(models, task=ladder_task(tasks[0], data), offline=offline, mixed=True, is_planned=plan)
    if not any(source.is_missing for source in sources):
        check_models(sources)
    if references:
        check_references(sources)
    settings = computing.settings()
    for chosen in tasks if probes else ():
        check_request(chosen, settings, halved=is_halved(probes))
    store = Store(computing.store)
    if plan:
        count = TokenCounter()
        steps = [step for chosen in tasks for step in run_steps(chosen, sources, probes, store, settings, count)]
        print_plan(steps, tasks, sources, settings, FIGURES_DRAWN * len(tasks))
        return
    if computing.sbatch:
        print_script(["distractor", *sys.argv[1:]], computing.sbatch, ROUNDS)
        return
    manifest = report.manifest(tasks, sources, settings, probes, sys.argv)
    manifest |= {"references": list(references)} if references else {}
    with run_folder(computing, out, f"compare-{'+'.join(chosen.name for chosen in tasks)}", manifest) as folder:
        listed = (step for chosen in tasks for step in run_steps(chosen, sources, probes, store, settings))
        with show_progress(lambda: listed, folder) as shown:
            each = [
                run_comparison(
                    chosen,
                    sources,
                    probes,
                    store=store,
                    settings=settings,
                    forgive=not probe,
                    published=published[chosen.name],
                )
                for chosen in tasks
            ]
            shown.stage(FINAL_STAGE)
            comparisons = list(over_tasks(each))
            summary = report.write(folder, comparisons, figures)
    if as_json:
        print_json(summary)
    else:
        print_tables(chain.from_iterable(map(tables, comparisons)), folder.path, summary["figures"])
