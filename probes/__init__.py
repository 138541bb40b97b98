"""One reader per file, on distractor's public names; none of them sees another."""

from distractor.probe import Probe

from .ablation import Ablation

PROBES: dict[str, Probe] = {"ablation": Ablation()}
"""The shelf: every probe under its name, with its default settings."""
