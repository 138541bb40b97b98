"""`distractor tasks contamination`: does a model know the official rows? Official beside fresh rows, and next words."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from distractor.command_line import options as opt
from distractor.command_line.lookup import find_package
from distractor.command_line.progress import show_progress
from distractor.command_line.registration import command
from distractor.command_line.running import print_json
from distractor.runs.tables import console

if TYPE_CHECKING:
    from distractor.text.task import Task

app = typer.Typer()

KNOWN = 1  # exit status if a model knows the rows


@command(
    app,
    "distractor tasks contamination negation_qa --data neqa_classification.jsonl --models smollm2",
    "distractor tasks contamination hindsight_neglect --items 40 --models EleutherAI/pythia-1b",
)
def contamination(
    *,
    task: Annotated[
        str, typer.Argument(metavar="TASK", help="negation_qa or hindsight_neglect; other official files get no label.")
    ],
    models: Annotated[list[str], opt.option(opt.MODELS, opt.MODEL_HELP, metavar="MODEL")],
    data: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The official file. Default: searched in DISTRACTOR_DATA and in the cache."),
    ] = None,
    items: Annotated[
        int | None, typer.Option(min=2, metavar="N", help="Use this number of random rows. Default: all.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Random seed for the fresh rows.")] = 0,
    offline: opt.Offline = False,
    computing: opt.Computing,
    as_json: opt.AsJson = False,
) -> None:
    """Check whether models know the official rows of a prize task: their next words, and fresh rows beside them.

    The exit status is 0 if no model knows them, 1 if one does, and 2 if the file or a model cannot be read.
    """
    from distractor.contamination import report
    from distractor.contamination.judge import EXCLUDED_LEAD, change_over_size, judge
    from distractor.contamination.measure import Rows, measure, steps_of
    from distractor.models.families import find_models
    from distractor.runs.training_data import training_data_caution, training_data_record
    from distractor.scoring.store import Store

    official, fresh = _tasks(task, data, items, seed)
    sources = find_models(models, task=official.source, offline=offline, mixed=True)
    summary: dict[str, Any] = {
        "task": official.name,
        "rows": len(official.items),
        "training_data": training_data_record(official, sources),
    }
    lines: list[Any] = [caution] if (caution := training_data_caution(official, sources)) else []
    judged = []
    if fresh is None:
        summary |= {"label": None, "because": "no fresh items"}
        lines.append(f"{official.name}: no label: no fresh items.")
    else:
        complete = find_package("tasks.prize.completion").completions
        completions = [complete(each) for each in (official, fresh)]
        both = [
            Rows(origin, each.items, after.items)
            for origin, each, after in zip(("official", "fresh"), (official, fresh), completions, strict=True)
        ]
        store, settings = Store(computing.store), computing.settings()
        with show_progress(lambda: steps_of(official, both, sources, store, settings)):
            measured, values = measure(official, both, sources, store, settings)
        ours, new = zip(*values, strict=True)
        judged, change = judge(measured, ours, new), change_over_size(measured, ours, new)
        summary |= {
            "fresh_rows": len(fresh.items),
            "excluded_lead": EXCLUDED_LEAD,
            "note": completions[0].caution or None,
            "models": [model.as_dict() for model in judged],
            "change_over_size": change
            and {"smallest": change[0].name, "largest": change[1].name, "accuracy": change[2].as_dict()},
        }
        title = (
            f"{official.name}: {len(official.items)} official and {len(fresh.items)} fresh rows "
            "(95 % intervals over item groups)"
        )
        lines = [
            title,
            "",
            report.next_words_table(judged),
            report.NEXT_WORDS_EXPLAINED,
            "",
            report.answers_table(judged),
        ]
        lines += [report.ANSWERS_EXPLAINED, "", *filter(None, [caution, completions[0].caution])]
        lines += report.conclusions(judged, change)
    if as_json:
        print_json(summary)
    else:
        for line in lines:
            console().print(line)
    if any(model.knows == "yes" for model in judged):
        raise typer.Exit(KNOWN)


def _tasks(name: str, data: Path | None, items: int | None, seed: int) -> "tuple[Task, Task | None]":
    """The official task, and its fresh items if there are any; a random sample of both."""
    prize = find_package("tasks.prize")
    official_file = prize.official_of(name)
    base = prize.BASE.get(official_file.name, name)
    official = prize.read(base, prize.locate(base, data))
    fresh = find_package("tasks.prize.fresh").fresh_items(official, seed)
    if items is None:
        return official, fresh
    return official.sample(items), fresh and fresh.sample(items)
