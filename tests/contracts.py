"""Annotations are contracts while tests run: of arrays with their shapes by jaxtyping, of all else by beartype alone.

jaxtyping makes two checks of each function and remembers shapes at each call. A function without arrays needs neither, so
beartype alone checks it, which is faster. A function inside a function is not checked: its check would be made at each call
of the outer function, which takes longer than most of them.
"""

import dataclasses
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, get_args

import jaxtyping
from beartype import BeartypeConf, beartype

check: Callable[[Any], Any] = beartype(
    conf=BeartypeConf(is_pep484_tower=True, violation_type=jaxtyping.TypeCheckError)  # an int is accepted as a float
)
_jaxtyped: Callable[..., Any] = jaxtyping.jaxtyped


def install() -> None:
    """Check the annotations of all modules of `distractor` and `probes` that are imported from now on."""
    jaxtyping.jaxtyped = jaxtyped  # type: ignore[assignment]
    jaxtyping.install_import_hook(["distractor", "probes"], "contracts.check")


def jaxtyped(made: Any = None, *, typechecker: Any = None) -> Any:
    """What the import hook puts on each function and class."""
    if made is None:
        return partial(jaxtyped, typechecker=typechecker)
    if inspect.isclass(made):
        if dataclasses.is_dataclass(made) and "__init__" in vars(made) and is_plain(made.__init__):
            made.__init__ = typechecker(made.__init__)
            return made
    elif inspect.isfunction(made):
        if "<locals>" in made.__qualname__:
            return made
        if is_plain(made):
            return typechecker(made)
    return _jaxtyped(made, typechecker=typechecker)


def is_plain(function: Any) -> bool:
    """Whether a function's annotations are all known when it is made, and name no array."""
    return not any(isinstance(each, str) or names_array(each) for each in function.__annotations__.values())


def names_array(annotation: Any) -> bool:
    """Whether an annotation is an array with a shape, has one inside, or has a name inside that is not yet known."""
    if isinstance(annotation, list | tuple):  # the arguments of a Callable
        return any(map(names_array, annotation))
    if inspect.isclass(annotation) and issubclass(annotation, jaxtyping.AbstractArray):
        return True
    return not isinstance(annotation, type) and (
        type(annotation).__name__ == "ForwardRef" or any(map(names_array, get_args(annotation)))
    )
