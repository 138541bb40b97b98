"""`distractor models`: lists the model families, shows the models of one."""

from typing import Annotated

import typer

from distractor.command_line.registration import ListingGroup, command, example_text
from distractor.runs.tables import console

app = typer.Typer(
    name="models",
    cls=ListingGroup,
    help="List the model families, or show the models of one.",
    epilog=example_text("distractor models", "distractor models show pythia", "distractor models show my_family.toml"),
    rich_markup_mode="rich",
)


@command(app, "distractor models", name="list")
def list_families() -> None:
    """List the families: number of models, smallest and largest, seeds and saved steps."""
    from distractor.command_line.family_table import families_table
    from distractor.models.families import known_families

    terminal = console()
    terminal.print(families_table(known_families().values()))
    terminal.print(
        "\nOther models: a folder, a .gguf file, a hub id owner/name[@revision], one of these with an adapter "
        "(BASE+ADAPTER_FOLDER), or your own family in a .toml file."
    )


@command(app, "distractor models show ladder/negation_qa", "distractor models show my_family.toml")
def show(
    family: Annotated[
        str,
        typer.Argument(
            metavar="FAMILY", help="Family (`distractor models`), ladder (of every task), or a family file (.toml)."
        ),
    ],
) -> None:
    """Show a family: each model's parameters, training tokens, steps and loss, and where it is stored."""
    from distractor.command_line.family_table import family_table
    from distractor.models.families import find_families

    terminal = console()
    for number, each in enumerate(find_families(family)):
        if number:
            terminal.print()
        terminal.print(family_table(each))
