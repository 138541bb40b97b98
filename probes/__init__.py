"""One reader per file, on distractor's public names; none of them sees another."""

from typing import TYPE_CHECKING

from .ablation import Ablation

if TYPE_CHECKING:
    from distractor.probe import Probe

PROBES: "dict[str, Probe]" = {"ablation": Ablation()}
"""The shelf: every probe under its name, with its default settings."""
