"""Sites: names for the places in a model that can be read or written."""

from dataclasses import dataclass
from typing import Literal

Part = Literal["resid_pre", "resid_post", "attn_out", "mlp_out", "z"]
"""Residual stream before and after a layer, the outputs of its attention and MLP, and the heads' values `z`."""


@dataclass(frozen=True, order=True)
class Site:
    """A place in the model: `Site(5, "z", head=3)` prints as L5H3.z, `Site(5, "mlp_out")` as L5.mlp_out.

    Activations at a site are [row pos d_model], for `z` [row pos head d_head], or [row pos d_head] where a head is
    named.
    """

    layer: int
    part: Part
    head: int | None = None

    def __post_init__(self) -> None:
        if self.head is not None and self.part != "z":
            raise ValueError(f"only the part 'z' has heads; {self.part!r} was asked for with head {self.head}")

    def __str__(self) -> str:
        return f"L{self.layer}{'' if self.head is None else f'H{self.head}'}.{self.part}"
