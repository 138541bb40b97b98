"""Registers functions as commands: examples in the help, `--help-all`, one message for each user error."""

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import Field, fields, is_dataclass
from typing import Annotated, Any, ParamSpec, TypeVar

import typer
from typer.core import TyperGroup, TyperOption

from distractor.command_line.terminal import print_error, say
from distractor.errors import DistractorError
from distractor.progress import count_run
from distractor.scoring.requests import PartDone

KEYWORD_ONLY = inspect.Parameter.KEYWORD_ONLY
P = ParamSpec("P")
R = TypeVar("R")

_is_inner: ContextVar[bool] = ContextVar("is_inner", default=False)


@contextmanager
def inner_commands() -> Iterator[None]:
    """Commands in this block are run by another command: they raise their errors, and their counts become its own."""
    token = _is_inner.set(True)
    try:
        yield
    finally:
        _is_inner.reset(token)


def is_inner() -> bool:
    """Whether another command runs this one."""
    return _is_inner.get()


def command(app: typer.Typer, *examples: str, name: str | None = None) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Register a function as a command of `app`; its name is the function's, unless `name` is given.

    A parameter whose type is a dataclass of options becomes one option for each field; the command runs in the block of
    its method `around`, if it has one. A DistractorError ends the command
    with one message on stderr, exit status 2 and no traceback. After a successful command, stderr says how much was
    computed and how much came from disk.
    """

    def register(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)
        groups: dict[str, Any] = {
            name: each.annotation for name, each in signature.parameters.items() if is_dataclass(each.annotation)
        }

        @functools.wraps(function)
        def run(**values: Any) -> R:
            del values["help_all"]
            for group, options in groups.items():
                values[group] = options(**{field.name: values.pop(field.name) for field in fields(options)})
            around = [values[group].around for group in groups if hasattr(values[group], "around")]
            if is_inner():
                with _nested(around):
                    return function(**values)  # type: ignore[call-arg]
            try:
                with count_run() as counter, _nested(around):
                    result: R = function(**values)  # type: ignore[call-arg]
                for sentence in counter.sentences:
                    say(sentence, err=True)
                return result
            except PartDone as done:
                say(str(done), err=True)
                raise typer.Exit(0) from done
            except (DistractorError, OSError, MemoryError, RecursionError) as error:
                print_error(error)
                raise typer.Exit(2) from error
            except KeyboardInterrupt as error:
                say("Stopped. Run the same command again to continue.", err=True)
                raise typer.Exit(130) from error

        options: list[inspect.Parameter] = []
        for each in signature.parameters.values():
            options += map(_option, fields(each.annotation)) if each.name in groups else [each]
        options.append(inspect.Parameter("help_all", KEYWORD_ONLY, default=False, annotation=HELP_ALL))
        run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [each.replace(kind=KEYWORD_ONLY) for each in options]
        )
        app.command(name, epilog=example_text(*examples))(run)
        return function

    return register


@contextmanager
def _nested(around: "Sequence[Callable[[], AbstractContextManager[None]]]") -> Iterator[None]:
    with ExitStack() as stack:
        for each in around:
            stack.enter_context(each())
        yield


def _option(field: "Field[Any]") -> inspect.Parameter:
    return inspect.Parameter(field.name, KEYWORD_ONLY, default=field.default, annotation=field.type)


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


HELP_ALL = Annotated[
    bool, typer.Option("--help-all", callback=_show_all, is_eager=True, help="Show all options and exit.")
]
