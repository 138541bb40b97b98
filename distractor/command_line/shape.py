"""`distractor shape`: judges the shape of a curve over size from a table or from evaluation logs."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from distractor.command_line.options import REFERENCE, AsJson, Figures, Out, hidden_option, option
from distractor.command_line.progress import FINAL_STAGE, show_progress
from distractor.command_line.registration import command
from distractor.command_line.running import print_json
from distractor.runs.figure_set import FigureSet
from distractor.runs.tables import console
from distractor.work import Step, computing, working_on

if TYPE_CHECKING:
    from distractor.curves.judge_curve import JudgedCurve
    from distractor.statistics.curve import Curve

app = typer.Typer()

ROWS = "Rows of the table"
COMPARISON = "Published results"


@command(
    app,
    "distractor shape results.csv",
    "distractor shape runs/ablate-…/results.parquet --quantity logit_gap",
    "distractor shape results_*.json --quantity acc_norm",
    "distractor shape 70M=a/samples_neqa.jsonl 160M=b/samples_neqa.jsonl …",
    "distractor shape steps.csv --against step --where family=mine",
)
def shape(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE",
            help="A table (.csv, .tsv, .parquet, .json, .jsonl, each also .gz), or one file of lm-evaluation-harness for "
            "each model (results_*.json or samples_*.jsonl): FILE, SIZE=FILE or SIZE/seedK=FILE.",
        ),
    ],
    quantity: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="accuracy, acc_norm, distractor_preference, logit_gap, …, or another column or metric (with --delta). "
            "Default: the table's only quantity, else accuracy.",
        ),
    ] = None,
    against: Annotated[
        str, typer.Option(metavar="AXIS", help="Horizontal axis: parameters, tokens, flops or step.")
    ] = "parameters",
    delta: Annotated[
        float | None,
        typer.Option(metavar="X", help="Smallest difference of interest. Default: .05 for shares, .2 for nats."),
    ] = None,
    by: Annotated[
        str | None, typer.Option(metavar="NAME", help="Also draw curves of item subsets: group or difficulty.")
    ] = None,
    where: Annotated[list[str] | None, option(ROWS, "Use only these rows. Repeatable.", metavar="COLUMN=VALUE")] = None,
    group: Annotated[
        str | None,
        option(
            ROWS,
            "Column that groups items; in a log, a field of doc. Default: group, else each item is a group.",
            metavar="COLUMN",
        ),
    ] = None,
    mixed_families: Annotated[
        bool, hidden_option(ROWS, "Allow several families in one curve.", "--mixed-families")
    ] = False,
    reference: Annotated[
        list[str] | None, option(COMPARISON, f"{REFERENCE} Repeatable; an unknown name lists all.", metavar="NAME")
    ] = None,
    task: Annotated[
        str | None, option(COMPARISON, "Task of the published results. Default: the table's task.", metavar="TASK")
    ] = None,
    figures: Figures = FigureSet.MAIN,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Judge the shape of results over size: U-shaped or not, with error bounds.

    A table has the columns size, item and value, or size, mean and n (or se), or one column for each size. It may have
    seed, group, family and task too. Each task gets its own judgement.
    """
    from distractor.curves import report, tasks_report
    from distractor.curves.curve_file import read_curves
    from distractor.curves.judge_curve import judge_curve, parse_parts
    from distractor.curves.judge_tasks import judge_tasks
    from distractor.curves.request import CurveRequest
    from distractor.curves.results_files import paths_of
    from distractor.published.curves import parse_references
    from distractor.runs.folder import check_out, open_run

    check_out(out)
    request = CurveRequest.parse(quantity, against, where or (), group, mixed_families=mixed_families)
    references = parse_references(reference or ())
    parts = parse_parts(by)
    paths = paths_of(files, against)
    curves = read_curves(files, request)

    def judge(curve: "Curve") -> "JudgedCurve":
        with working_on(curve.task or paths[0].name, "judging"):
            computing()
            return judge_curve(curve, delta=delta, references=references, task=task, by=parts)

    steps = [Step(curve.task or paths[0].name, "judging", curve.means.size, 0) for curve in curves.curves]
    with show_progress(lambda: steps, noun="task") as shown:
        tasks = judge_tasks(curves, judge)
        names = ", ".join(str(judged.curve.task) for judged in tasks.judged if judged.curve.task)
        settings = {
            "delta": tasks.judged[0].delta,
            "references": list(references),
            "task": task or names or None,
            "by": by,
        }
        manifest = report.manifest(files, paths, request, settings, sys.argv)
        with open_run(out, f"shape-{paths[0].stem}", manifest) as folder:
            shown.log_to(folder)
            shown.stage(FINAL_STAGE)
            summary = tasks_report.write(folder, tasks, figures)
    if as_json:
        print_json(summary)
        return
    terminal = console()
    terminal.print(tasks_report.page(tasks))
    terminal.print(f"\nNumbers, figures and summary: {folder.path}", soft_wrap=True)
