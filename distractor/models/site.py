"""Sites: names for the places in a model that can be read or written."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

Part = Literal["resid_pre", "q", "k", "v", "pattern", "z", "attn_out", "resid_mid", "mlp_out", "resid_post"]
"""The parts of a layer, in the order of computation. `resid_pre`, `resid_mid` and `resid_post` are the residual stream
before the layer, between attention and MLP, and after the layer. Heads have queries, keys, values, patterns and results
`z`.
"""

PARTS: tuple[Part, ...] = get_args(Part)
HEAD_PARTS: tuple[Part, ...] = ("q", "k", "v", "pattern", "z")  # the parts that have heads

STREAM_PARTS: tuple[Part, ...] = tuple(part for part in PARTS if part not in HEAD_PARTS)
"""The parts with one vector of width d_model at each position."""


@dataclass(frozen=True, order=True)
class Site:
    """A place in the model: `Site(5, "z", head=3)` prints as L5H3.z, `Site(5, "mlp_out")` as L5.mlp_out.

    Activations are [row pos d_model]. For `q`, `k`, `v` and `z` they are [row pos head d_head], for `pattern` [row head
    query key]. A site with a head number has no axis `head`. In grouped-query attention, `k` and `v` have fewer
    heads.
    """

    layer: int
    part: Part
    head: int | None = None

    def __post_init__(self) -> None:
        if self.head is not None and self.part not in HEAD_PARTS:
            raise ValueError(f"only the parts {', '.join(HEAD_PARTS)} have heads; got {self.part!r}, head {self.head}")

    def __str__(self) -> str:
        return f"L{self.layer}{'' if self.head is None else f'H{self.head}'}.{self.part}"


def require_one_kind(parts: Sequence[Part]) -> None:
    """Raise ValueError unless all parts have heads or none has: their maps have different axes."""
    if not parts or len({part in HEAD_PARTS for part in parts}) > 1:
        raise ValueError(
            f"one map shows roles ({', '.join(STREAM_PARTS)}) or heads ({', '.join(HEAD_PARTS)}), not both; "
            f"got {', '.join(parts) or 'no part'}: use two probes"
        )
