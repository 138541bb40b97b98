"""Writes and formats the judgement of several tasks: one overview, and a subfolder and a page for each task."""

from typing import Any

from rich.console import Group
from rich.text import Text

from distractor.curves import report
from distractor.curves.folder_name import folder_name
from distractor.curves.judge_tasks import JudgedTasks
from distractor.numbers import p_value
from distractor.runs.figure_set import FigureSet
from distractor.runs.folder import RunFolder
from distractor.runs.tables import FittedTable


def write(folder: RunFolder, tasks: JudgedTasks, figures: FigureSet = FigureSet.MAIN) -> dict[str, Any]:
    """Write one curve into `folder`, or each of several into `tasks/NAME`; return the summary."""
    from distractor.curves.page import overview

    if len(tasks.judged) == 1 and not tasks.left_out:
        return report.write(folder, tasks.judged[0], figures)
    summaries: dict[str, Any] = {}
    for judged in tasks.judged:
        name = str(judged.curve.task)
        summaries[name] = report.write(folder.subfolder("tasks").subfolder(folder_name(name)), judged, figures)
    turns = zip(tasks.p, tasks.p_over_tasks, tasks.turns_over_tasks, strict=True)
    summary = {
        "tasks": summaries,
        "turns": {
            name: {"p": p, "p_over_tasks": over, "turns_over_tasks": turns}
            for name, (p, over, turns) in zip(summaries, turns, strict=True)
        },
        "left_out": list(tasks.left_out),
    }
    pages = {name: f"tasks/{folder_name(name)}/report.html" for name in summaries}
    folder.write_page(overview(tasks, _overview_table(tasks), pages, folder.manifest))
    folder.write_summary(summary)
    return summary


def page(tasks: JudgedTasks) -> Group:
    """The page of one curve, or an overview of several before their pages."""
    pages = [report.page(judged) for judged in tasks.judged]
    if len(pages) == 1 and not tasks.left_out:
        return pages[0]
    described = [
        part
        for judged, shown in zip(tasks.judged, pages, strict=True)
        for part in (Text(), Text(f"Task {judged.curve.task}", style="bold"), shown)
    ]
    return Group(_overview_table(tasks), *(Text(f"Left out: {reason}.") for reason in tasks.left_out), *described)


def _overview_table(tasks: JudgedTasks) -> Group:
    table = FittedTable(
        ("task", "sizes", "label", "p of the turn", "p over tasks", "turn over tasks"),
        drop=("sizes", "turn over tasks", "p over tasks", "p of the turn"), all_in="--json has them",
    )  # fmt: skip
    rows = zip(tasks.judged, tasks.p, tasks.p_over_tasks, tasks.turns_over_tasks, strict=True)
    for judged, p, over, turns in rows:
        sizes, shown = str(len(judged.curve.sizes)), "yes" if turns else "no"
        table.add_row(str(judged.curve.task), sizes, judged.shape.label, p_value(p), p_value(over), shown)
    title = Text(
        f"{len(tasks.judged)} task{'s' * (len(tasks.judged) > 1)}; p over tasks is adjusted by Holm", style="bold"
    )
    return Group(title, table)
