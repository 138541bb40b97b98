"""Limits on worked examples: how many a model saw in training, if that is known."""

from collections.abc import Mapping

from distractor.errors import ModelError
from distractor.models.source import Source
from distractor.text.format import Format


def _most_shots(counts: Mapping[str, int], form: Format) -> int:
    return counts.get("reasoned" if form.scoring == "cot" else "shots", 0)


def refuse_too_many_shots(form: Format, source: Source) -> None:
    """Raise ModelError if a format has more shots than any training document of the model, as far as known."""
    if source.shots is None or not form.shots:
        return
    most = max((_most_shots(counts, form) for counts in source.shots.values()), default=0)
    if form.shots > most:
        raise ModelError(
            f"{source.name}: you asked for {form.shots} shots with {form.scoring}, but its training documents have at most "
            f"{most}; use --format {form.scoring}:{most}, or another model"
        )


def caution(task: str, form: Format, source: Source) -> str | None:
    """A caution if the model's training had fewer shots of this task than the format has; None if not, or if unknown."""
    if source.shots is None or form.shots <= (most := _most_shots(source.shots.get(task, {}), form)):
        return None
    examples = "worked examples with reasoning" if form.scoring == "cot" else "worked examples"
    return (
        f"In the training of {source.family}, documents of {task} have at most {most} {examples}; documents of other tasks "
        f"have up to {form.shots}."
    )
