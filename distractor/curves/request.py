"""What to read from a file of results: quantity, axis, rows, groups."""

from collections.abc import Sequence
from dataclasses import dataclass

from distractor.errors import ScalingError

AXES = {
    "parameters": ("n_params", "parameters", "params", "size"),
    "tokens": ("tokens", "n_tokens"),
    "flops": ("flops", "compute"),
    "step": ("step", "steps"),
}
"""The axes of a curve, and the columns that may hold each; `size` means parameters."""


@dataclass(frozen=True)
class CurveRequest:
    """What to read: quantity (None: the only one), axis, row filters (column, value), and the column that groups items."""

    quantity: str | None = None
    axis: str = "parameters"
    where: tuple[tuple[str, str], ...] = ()
    group: str | None = None
    mixed_families: bool = False

    @classmethod
    def parse(
        cls, quantity: str | None, axis: str, where: Sequence[str], group: str | None, *, mixed_families: bool
    ) -> "CurveRequest":
        """Parse the options of the command line; `where` holds `column=value`."""
        filters = [text.partition("=") for text in where]
        for text, (column, equals, _) in zip(where, filters, strict=True):
            if not equals or not column:
                raise ScalingError(f"--where takes column=value, not {text!r}")
        if axis not in AXES:
            raise ScalingError(f"--against takes {', '.join(AXES)}, not {axis!r}")
        return cls(quantity, axis, tuple((column, value) for column, _, value in filters), group, mixed_families)
