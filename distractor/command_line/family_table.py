"""Families and their models for the terminal, at most 100 columns wide; nothing is fetched or loaded."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from distractor.models.families import Family, Member
from distractor.models.snapshot import cached_folder
from distractor.numbers import number


def families_table(families: Iterable[Family]) -> Table:
    """One row a family: its models, smallest and largest, seeds, steps kept along training, and what it is."""
    table = _table("family", "models", "smallest", "largest", "seeds", "steps kept")
    for family in families:
        sizes = list(dict.fromkeys(member.model for member in family.members))
        kept = max((len(steps_of(member)) for member in family.members), default=0)
        table.add_row(
            family.name,
            str(len(sizes)),
            sizes[0],
            sizes[-1],
            str(len({m.seed for m in family.members})),
            str(kept or "–"),
        )
    return table


def family_table(family: Family) -> Group:
    """One row a model: how it is asked for, parameters, tokens and steps of training, steps kept, loss, and where it is.

    Loss has a column where any model's is known, in nats.
    """
    losses = [member.loss for member in family.members if member.loss is not None]
    table = _table("model", "parameters", "tokens", "steps", "kept", *["loss"] * bool(losses), "here")
    table.add_column("hub id or folder", overflow="fold")
    for member in family.members:
        loss = "–" if member.loss is None else number(member.loss)
        table.add_row(
            f"{family.name}/{member.name}",
            "–" if member.n_params is None else f"{member.n_params:,}",
            "–" if member.tokens is None else _large(member.tokens),
            "–" if member.final_step is None else f"{member.final_step:,}",
            str(len(steps_of(member)) or "–"),
            *[loss] * bool(losses),
            "yes" if is_here(member) else "no",
            "embedded" if family.name == "ladder" else str(member.location),
        )
    lines: list[RenderableType] = [
        Text(f"{family.name}: {family.about}" if family.about else family.name, style="bold"),
        table,
    ]
    with_steps = next((member for member in family.members if steps_of(member)), None)
    if with_steps is not None:
        steps = ", ".join(map(str, steps_of(with_steps)))
        lines.append(Text(f"\nSteps of {with_steps.name}, as {family.name}/{with_steps.name}@STEP or @all: {steps}"))
    return Group(*lines)


def steps_of(member: Member) -> tuple[int, ...]:
    """Every step at which the model can be asked for, where it was kept along training."""
    if not member.steps:
        return ()
    return tuple(sorted({*member.steps, *([] if member.final_step is None else [member.final_step])}))


def is_here(member: Member) -> bool:
    """Whether the model as training left it is on this machine."""
    return (
        member.location.is_dir() if not isinstance(member.location, str) else cached_folder(member.location) is not None
    )


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0), collapse_padding=True)
    for place, name in enumerate(columns):
        table.add_column(name, justify="right" if place else "left", no_wrap=True)
    return table


def _large(count: int) -> str:
    """A count of tokens in few signs."""
    for power, name in ((12, "T"), (9, "B"), (6, "M")):
        if count >= 10**power:
            return f"{count / 10**power:.3g} {name}"
    return f"{count:,}"
