"""What stood in a model's training, where that is known: more worked examples than it ever read are no fair question."""

from distractor.errors import ModelError
from distractor.models.source import Source
from distractor.text.format import Format


def refuse_too_many_shots(form: Format, source: Source) -> None:
    """Refuse more examples than the longest rows of them in the model's training, where that is known.

    Raises:
        ModelError: there are more.

    """
    known = source.shots if form.shots else None
    if known is None:
        return
    kind = "reasoned" if form.scoring == "cot" else "shots"
    most = max((counts.get(kind, 0) for counts in known.values()), default=0)
    if form.shots > most:
        raise ModelError(
            f"{source.name}: {form.shots} shots were asked for with {form.scoring}, but what it was trained on holds at most "
            f"{most}; ask for {most}, as in --format {form.scoring}:{most}, or use another model"
        )


def caution(task: str, form: Format, source: Source) -> str | None:
    """What a reader must know: the task itself stood in training with fewer examples than others did."""
    known = source.shots if form.shots else None
    if known is None:
        return None
    most = known.get(task, {}).get("reasoned" if form.scoring == "cot" else "shots", 0)
    if form.shots <= most:
        return None
    worked = "worked examples with reasoning" if form.scoring == "cot" else "worked examples"
    return (
        f"No document of {task} in the training of {source.family} has more than {most} {worked}; those of other tasks "
        f"have up to {form.shots}."
    )
