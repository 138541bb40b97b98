"""`distractor probes`: lists the probes."""

from dataclasses import fields
from typing import TYPE_CHECKING

import typer

from distractor.command_line.lookup import find_package
from distractor.command_line.registration import command
from distractor.command_line.terminal import say

if TYPE_CHECKING:
    from distractor.probing.probe import Probe

app = typer.Typer()


@command(app, "distractor probes", name="probes")
def list_probes() -> None:
    """List the probes: what each one reads, and its settings."""
    for name, probe in find_package("probes").PROBES.items():
        first_line = (type(probe).__doc__ or "").strip().splitlines()[0]
        say(name, bold=True)
        say(f"  {first_line}")
        say(f"  {settings_text(probe)}")


def settings_text(probe: "Probe") -> str:
    """Format a probe's settings as `name: value; …`; unset ones are left out."""
    settings = []
    for field in fields(probe):  # type: ignore[arg-type]
        value = getattr(probe, field.name)
        if value in ((), None):
            continue
        if isinstance(value, bool):
            value = "yes" if value else "no"
        elif isinstance(value, tuple):
            value = ", ".join(map(str, value))
        settings.append(f"{field.name.replace('_', ' ')}: {value}")
    return "; ".join(settings)
