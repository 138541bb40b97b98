"""Annotations are contracts while tests run: of arrays with their shapes by jaxtyping, of all else by beartype alone.

jaxtyping remembers the shapes of each call. A function without arrays does not need that, so beartype alone checks it, which
is faster. With arrays, jaxtyping would check all arguments twice: before the call, and again with the result. So beartype
checks them once, inside the scope of jaxtyping. Only a function with annotations that are not yet known when it is made is
left to jaxtyping, which ignores them. A function inside a function is not checked: its check would be made at each call of
the outer function, which takes longer than most of them.
"""

import dataclasses
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, ForwardRef, Literal, get_args, get_origin

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
        if dataclasses.is_dataclass(made) and "__init__" in vars(made):
            made.__init__ = checked(made.__init__, typechecker)
            return made
    elif inspect.isfunction(made):
        return made if "<locals>" in made.__qualname__ else checked(made, typechecker)
    return _jaxtyped(made, typechecker=typechecker)


def checked(function: Any, typechecker: Any) -> Any:
    """A function that checks its arguments and its result."""
    annotations = list(function.__annotations__.values())
    has_arrays = any_inside(annotations, is_array)
    if any_inside(annotations, is_unknown) or (has_arrays and inspect.isgeneratorfunction(function)):
        return _jaxtyped(function, typechecker=typechecker)
    return _jaxtyped(typechecker(function), typechecker=None) if has_arrays else typechecker(function)


def any_inside(annotation: Any, is_such: Callable[[Any], bool]) -> bool:
    """Whether `is_such` holds for an annotation or a part of it."""
    if get_origin(annotation) is Literal:  # its parts are values
        return False
    parts = annotation if isinstance(annotation, list) else get_args(annotation)  # a list: the arguments of a Callable
    return is_such(annotation) or any(any_inside(part, is_such) for part in parts)


def is_unknown(annotation: Any) -> bool:
    """Whether an annotation is a name that is not yet known."""
    return isinstance(annotation, str | ForwardRef)


def is_array(annotation: Any) -> bool:
    """Whether an annotation is an array with a shape."""
    return inspect.isclass(annotation) and issubclass(annotation, jaxtyping.AbstractArray)
