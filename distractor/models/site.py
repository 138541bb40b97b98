"""Sites: names for the places in a model that can be read or written."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

Part = Literal["resid_pre", "q", "k", "v", "pattern", "z", "attn_out", "resid_mid", "mlp_out", "resid_post"]
"""In the order in which a layer computes them: the residual stream before it, its heads' queries, keys, values, attention
patterns and results `z`, the output of its attention, the stream between attention and MLP, the output of its MLP, and the
residual stream behind it."""


PARTS: tuple[Part, ...] = get_args(Part)


HEAD_PARTS: tuple[Part, ...] = ("q", "k", "v", "pattern", "z")
"""The parts that have heads."""


STREAM_PARTS: tuple[Part, ...] = tuple(part for part in PARTS if part not in HEAD_PARTS)
"""The parts that are as wide as the residual stream, one vector a position."""


@dataclass(frozen=True, order=True)
class Site:
    """A place in the model: `Site(5, "z", head=3)` prints as L5H3.z, `Site(5, "mlp_out")` as L5.mlp_out.

    Activations at a site are [row pos d_model]; for `q`, `k`, `v` and `z` [row pos head d_head], for `pattern` [row head
    query key], both without the axis `head` where a head is named. Where heads share keys and values (grouped-query
    attention), `k` and `v` have fewer heads than `q` and `z`.
    """

    layer: int
    part: Part
    head: int | None = None

    def __post_init__(self) -> None:
        if self.head is not None and self.part not in HEAD_PARTS:
            raise ValueError(
                f"only the parts {', '.join(HEAD_PARTS)} have heads; {self.part!r} was asked for with head {self.head}"
            )

    def __str__(self) -> str:
        return f"L{self.layer}{'' if self.head is None else f'H{self.head}'}.{self.part}"


def require_one_kind(parts: Sequence[Part]) -> None:
    """Refuse parts that cannot stand in one map: cells of a stream go by layer and role, those of heads by head.

    Raises:
        ValueError: no part, or some of either kind.

    """
    if not parts or len({part in HEAD_PARTS for part in parts}) > 1:
        raise ValueError(
            f"one map goes by role ({', '.join(STREAM_PARTS)}) or by head ({', '.join(HEAD_PARTS)}); "
            f"{', '.join(parts) or 'nothing'} was asked for: make two probes of it"
        )
