"""Tables of model families for the terminal; nothing is downloaded or loaded."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.text import Text

from distractor.models.family import Family, Member
from distractor.models.snapshot import cached_folder
from distractor.numbers import number
from distractor.runs.tables import FittedTable


def families_table(families: Iterable[Family]) -> FittedTable:
    """One row for each family: number of models, smallest and largest, number of seeds and saved steps."""
    table = FittedTable(
        ("family", "models", "smallest", "largest", "seeds", "saved steps"), names=("family", "smallest", "largest"),
        drop=("saved steps", "seeds", "models"),
    )  # fmt: skip
    for family in families:
        sizes = list(dict.fromkeys(member.model for member in family.members))
        saved = max((len(member.available_steps) for member in family.members), default=0)
        table.add_row(
            family.name,
            str(len(sizes)),
            sizes[0],
            sizes[-1],
            str(len({m.seed for m in family.members})),
            str(saved or "–"),
        )
    return table


def family_table(family: Family) -> Group:
    """One row for each model: name, parameters, training tokens and steps, saved steps, loss, and where it is stored.

    The loss is in nats; its column is left out when no model's loss is known.
    """
    losses = [member.loss for member in family.members if member.loss is not None]
    where = "hub id or folder"
    table = FittedTable(
        ("model", "parameters", "tokens", "steps", "saved", *["loss"] * bool(losses), "on disk", where), left=(where,),
        wrapped=(where,), drop=("saved", "steps", "loss", "tokens", where, "parameters"),
    )  # fmt: skip
    for member in family.members:
        loss = "–" if member.loss is None else number(member.loss)
        table.add_row(
            member.name,
            "–" if member.n_params is None else f"{member.n_params:,}",
            "–" if member.tokens is None else _large(member.tokens),
            "–" if member.final_step is None else f"{member.final_step:,}",
            str(len(member.available_steps) or "–"),
            *[loss] * bool(losses),
            "yes" if is_here(family, member) else "no",
            "embedded" if family.is_embedded else str(member.location),
        )
    lines: list[RenderableType] = [
        Text(f"{family.name}: {family.about}" if family.about else family.name, style="bold"),
        table,
    ]
    lines.append(Text(f"\nName a model as {family.name}/{family.members[0].name}."))
    with_steps = next((member for member in family.members if member.available_steps), None)
    if with_steps is not None:
        steps = ", ".join(map(str, with_steps.available_steps))
        lines.append(
            Text(f"Saved steps of {with_steps.name}, for {family.name}/{with_steps.name}@STEP or @all: {steps}")
        )
    return Group(*lines)


def is_here(family: Family, member: Member) -> bool:
    """Whether the final model is on this machine."""
    revision = family.revision(member, None)
    if isinstance(member.location, str):
        return cached_folder(member.location, revision) is not None
    return (member.location / revision if revision else member.location).exists()


def _large(count: int) -> str:
    """Format a number of tokens briefly, such as 300 B."""
    for power, name in ((12, "T"), (9, "B"), (6, "M")):
        if count >= 10**power:
            return f"{count / 10**power:.3g} {name}"
    return f"{count:,}"
