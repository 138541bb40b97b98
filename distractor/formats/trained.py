"""What stood in a model's training, where that is known: more worked examples than it ever read are no fair question."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from distractor.errors import ModelError
from distractor.families import Source
from distractor.format import Format

FILE = "shots.json"
"""Beside the models of a family: {task: {"shots": so many before a question, "reasoned": so many with their reasoning}}."""


def known_shots(source: Source) -> Mapping[str, Mapping[str, int]] | None:
    """What a model's training holds of each task; None where nobody says."""
    path = next((folder / FILE for folder in source.folder.parents[:3] if (folder / FILE).is_file()), None)
    return None if path is None else _read(path)


def refuse_untrained(form: Format, source: Source) -> None:
    """Refuse more examples than the longest rows of them in the model's training, where that is known.

    Raises:
        ModelError: there are more, or the file that says so is damaged.

    """
    told = known_shots(source) if form.shots else None
    if told is None:
        return
    kind = "reasoned" if form.scoring == "cot" else "shots"
    most = max((counts.get(kind, 0) for counts in told.values()), default=0)
    if form.shots > most:
        raise ModelError(
            f"{source.name}: {form.shots} shots were asked for with {form.scoring}, but what it was trained on holds at most "
            f"{most}; ask for {most}, as in --format {form.scoring}:{most}, or use another model"
        )


def caution(task: str, form: Format, source: Source) -> str | None:
    """What a reader must know: the task itself stood in training with fewer examples than others did."""
    told = known_shots(source) if form.shots else None
    if told is None:
        return None
    most = told.get(task, {}).get("reasoned" if form.scoring == "cot" else "shots", 0)
    if form.shots <= most:
        return None
    worked = "worked examples with reasoning" if form.scoring == "cot" else "worked examples"
    return (
        f"No document of {task} in the training of {source.family} has more than {most} {worked}; those of other tasks "
        f"have up to {form.shots}."
    )


@cache
def _read(path: Path) -> Mapping[str, Mapping[str, int]]:
    try:
        told = json.loads(path.read_text())
        return {str(task): {str(kind): int(count) for kind, count in counts.items()} for task, counts in told.items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ModelError(f"{path} cannot be read ({error}); take it again from where the models came") from error
