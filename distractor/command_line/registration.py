"""Registers functions as commands: examples in the help, `--help-all`, one message for each user error."""

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, ParamSpec, TypeVar

import typer
from typer.core import TyperGroup, TyperOption

from distractor.errors import DistractorError
from distractor.progress import count_run

P = ParamSpec("P")
R = TypeVar("R")


def command(app: typer.Typer, *examples: str, name: str | None = None) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Register a function as a command of `app`; its name is the function's, unless `name` is given.

    A DistractorError ends the command with one message on stderr, exit status 2 and no traceback. After a successful
    command, stderr says how much was computed and how much came from disk.
    """

    def register(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            kwargs.pop("help_all")
            try:
                with count_run() as counter:
                    result = function(*args, **kwargs)
                for sentence in counter.sentences:
                    typer.echo(sentence, err=True)
                return result
            except DistractorError as error:
                typer.secho("Error: ", fg="red", bold=True, err=True, nl=False)
                typer.echo(str(error), err=True)
                raise typer.Exit(2) from error
            except KeyboardInterrupt as error:
                typer.echo("Stopped. Run the same command again to continue.", err=True)
                raise typer.Exit(130) from error

        signature = inspect.signature(function)
        option = inspect.Parameter("help_all", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=_HelpAll)
        run.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[*signature.parameters.values(), option]
        )
        app.command(name, epilog=example_text(*examples))(run)
        return function

    return register


def example_text(*examples: str) -> str:
    """Format example commands for the end of a help page."""
    return "\n\n".join([f"Example{'s' * (len(examples) > 1)}:", *(f"  {example}" for example in examples)])


class ListingGroup(TyperGroup):
    """A group of commands that runs `list` when no command is given."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words after the group's name."""
        return super().parse_args(ctx, args or ["list"])


def _show_all(context: Any, is_requested: bool) -> bool:
    if is_requested:
        hidden = [option for option in context.command.params if isinstance(option, TyperOption) and option.hidden]
        for option in hidden:
            option.hidden = False
        typer.echo(context.get_help())
        for option in hidden:
            option.hidden = True
        raise typer.Exit
    return is_requested


_HelpAll = Annotated[
    bool, typer.Option("--help-all", callback=_show_all, is_eager=True, help="Show all options and exit.")
]
