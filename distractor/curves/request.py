"""What to read from a file of results: quantity, axis, rows, groups."""

from collections.abc import Sequence
from dataclasses import dataclass

from distractor.errors import ScalingError

AXES = {
    "parameters": (
        "n_params", "parameters", "params", "size", "model_size", "num_params", "num_parameters", "n_parameters",
        "model_num_parameters", "parameter_count", "param_count", "model_params", "model", "model_name",
    ),
    "tokens": ("tokens", "n_tokens", "num_tokens", "training_tokens"),
    "flops": ("flops", "compute", "training_flops"),
    "step": ("step", "steps", "training_step", "global_step", "checkpoint", "revision"),
}  # fmt: skip
"""The axes of a curve, and the columns that may hold each, the first first; `size` means parameters."""


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
