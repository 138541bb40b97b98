"""`distractor attribute`: finds where in a model, and in the prompt, the answers come from."""

import sys
from dataclasses import replace
from functools import partial
from typing import Annotated

import typer

from distractor.command_line import options as opt
from distractor.command_line.lookup import find_probes, find_task, ladder_task, must_work
from distractor.command_line.progress import FINAL_STAGE, show_progress
from distractor.command_line.registration import command
from distractor.command_line.running import print_json, print_plan, print_script, print_tables, run_folder
from distractor.runs.figure_set import FigureSet

app = typer.Typer()
ROUNDS = 2  # of a job array: results of one depend on those of the one before
CHARTS = 4  # on the page, beside figures; for the time in a plan


@command(
    app,
    "distractor attribute --task negation_qa --models ladder/16x2 --models ladder/80x2",
    "distractor attribute --task negation_qa --models path/to/model --probe logit_lens",
    "distractor attribute --task negation_qa --models ladder --probe ablation --items 100 --json",
)
def attribute(
    *,
    task: opt.TaskName,
    models: Annotated[list[str], opt.option(opt.MODELS, opt.MODEL_HELP, metavar="MODEL")],
    probe: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PROBE",
            help="Probe name (`distractor probes`), your own as path.py:NAME, or all; repeatable. Default: "
            "logit_lens, head_patching, ablation, overcoming and attention.",
        ),
    ] = None,
    items: opt.ItemCount = None,
    item: Annotated[
        str | None, typer.Option(metavar="ID", help="Also draw the attribution of this item, next to the mean.")
    ] = None,
    head: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HEAD",
            help="Draw this head's attention on a prompt, e.g. L1H0. Repeatable. Default: the heads with the largest "
            "effects.",
        ),
    ] = None,
    plan: opt.Plan = False,
    data: opt.OfficialFile = None,
    offline: opt.Offline = False,
    mixed_families: opt.MixedFamilies = False,
    computing: opt.Computing,
    figures: opt.Figures = FigureSet.MAIN,
    out: opt.Out = None,
    as_json: opt.AsJson = False,
) -> None:
    """Find where in models, and in the prompt, the answers come from: figures and tables of the top sites."""
    from distractor.attribution import report
    from distractor.attribution.attribute import attribute as run_probes
    from distractor.attribution.attribute import run_steps
    from distractor.attribution.tables import tables
    from distractor.models.families import find_models
    from distractor.probing.read_probes import check_request, measures_strengths
    from distractor.scoring.prompt_tokens import TokenCounter
    from distractor.scoring.store import Store

    chosen = find_task(task, data, items)
    probes = find_probes(probe)
    sources = find_models(models, task=ladder_task(chosen, data), offline=offline, is_planned=plan)
    settings = replace(computing.settings(), mixed_families=mixed_families)
    heads = head or ()
    check_request(chosen, settings, item=item, heads=heads, halved=measures_strengths(chosen, sources, probes))
    store = Store(computing.store)
    steps = partial(run_steps, chosen, sources, probes, store, settings)
    if plan:
        print_plan(steps(TokenCounter()), [chosen], sources, settings, report.FIGURES + CHARTS)
        return
    if computing.sbatch:
        print_script(["distractor", *sys.argv[1:]], computing.sbatch, ROUNDS)
        return
    manifest = report.manifest(chosen, sources, settings, probes, sys.argv, item=item, heads=heads)
    with (
        run_folder(computing, out, f"attribute-{chosen.name}", manifest) as folder,
        show_progress(steps, folder) as shown,
    ):
        result = run_probes(chosen, sources, probes, store=store, settings=settings, forgive=not must_work(probe))
        shown.stage(FINAL_STAGE)
        summary = report.write(folder, result, figures, item=item, heads=heads, is_named=bool(probe))
    if as_json:
        print_json(summary)
    else:
        print_tables(tables(result, brief=not probe), folder.path, summary["figures"])
