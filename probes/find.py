"""Finds the probe that a user names: a built-in probe, `path_patching:RECEIVERS`, or `path.py:NAME`."""

import inspect
import re
from dataclasses import is_dataclass, replace
from types import ModuleType
from typing import Any

from distractor.errors import ProbeError, nearest
from distractor.probing.probe import Probe
from distractor.text.user_file import IN_PYTHON, user_value

from . import PROBES

MEMBERS = (
    "conditions",
    "is_aligned",
    "others",
    "posed",
    "writes",
    "slot_parts",
    "donors",
    "sites",
    "variants",
    "kinds",
    "unscreened",
    "knock_out",
    "__call__",
)

PATHS = re.compile(r"path_patching:(?:(?P<senders>[^:]+):)?(?P<receivers>[^:]+)")
"""`path_patching:L3H1.q,logits` or, with senders, `path_patching:L0H1,L0.mlp_out:L3H1.q`."""


def find_probe(name: str) -> Probe:
    """Return the probe `name`; a user's NAME is a probe, or its class if all settings have defaults.

    Raises:
        ProbeError: no probe has this name; a path has an unknown sender or receiver; or the user's file fails, or its value
            is not a probe.
    """
    if name in PROBES:
        return PROBES[name]
    if paths := PATHS.fullmatch(name):
        ends = {end: tuple(names.split(",")) for end, names in paths.groupdict().items() if names}
        return replace(PROBES["path_patching"], **ends)  # type: ignore[type-var]
    if IN_PYTHON.fullmatch(name) is None:
        raise ProbeError(f"there is no probe {name!r}: {nearest(name, PROBES)} (write your own as path.py:NAME)")
    with user_value(name, ProbeError, _may_be_probe, "probes") as value:
        probe: Any = value() if inspect.isclass(value) else value
    if missing := [member for member in MEMBERS if not hasattr(probe, member)]:
        raise ProbeError(
            f"{name} is not a probe: it lacks {', '.join(missing)}; inherit from distractor.probing.probe.Probe"
        )
    if not is_dataclass(type(probe)):
        raise ProbeError(f"{name} is not a dataclass, so its settings are unknown; add @dataclass(frozen=True)")
    return probe


def _may_be_probe(value: Any, module: ModuleType) -> bool:
    if inspect.isclass(value):
        return value.__module__ == module.__name__ and hasattr(value, "conditions")
    return isinstance(value, Probe)
