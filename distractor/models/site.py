"""Sites: names for the places in a model that can be read or written."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from distractor.errors import ModelError

Part = Literal["resid_pre", "q", "k", "v", "pattern", "z", "attn_out", "resid_mid", "mlp_out", "resid_post"]
"""The parts of a layer, in the order of computation. `resid_pre`, `resid_mid` and `resid_post` are the residual stream
before the layer, between attention and MLP, and after the layer. Heads have queries, keys, values, patterns and results
`z`.
"""

PARTS: tuple[Part, ...] = get_args(Part)
HEAD_PARTS: tuple[Part, ...] = ("q", "k", "v", "pattern", "z")  # the parts that have heads

SHARED_PARTS: tuple[Part, ...] = ("k", "v")
"""The parts that several query heads share in grouped-query attention."""

STREAM_PARTS: tuple[Part, ...] = tuple(part for part in PARTS if part not in HEAD_PARTS)
"""The parts with one vector of width d_model at each position."""


SITE_NAME = re.compile(r"L(?P<layer>\d+)(?:H(?P<first>\d+)(?:-(?P<last>\d+))?)?\.(?P<part>\w+)")
NOTATION = (
    "write layer and part as in L1.mlp_out, a head as in L1H2.z, and keys or values that query heads 2 and 3 share as in "
    "L1H2-3.v"
)


@dataclass(frozen=True, order=True)
class Site:
    """A place in the model: `Site(5, "z", head=3)` prints as L5H3.z, `Site(5, "mlp_out")` as L5.mlp_out.

    Activations are [row pos d_model]. For `q`, `k`, `v` and `z` they are [row pos head d_head], for `pattern` [row head
    query key]. A site with a head number has no axis `head`. In grouped-query attention, `k` and `v` have fewer
    heads, and `head` counts these. Then `shared_by` is the number of query heads that share one of them, and the name
    has these query heads: `Site(1, "v", head=1, shared_by=2)` prints as L1H2-3.v. Sites that differ in `shared_by` alone
    are equal.
    """

    layer: int
    part: Part
    head: int | None = None
    shared_by: int | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.head is not None and self.part not in HEAD_PARTS:
            raise ValueError(f"only the parts {', '.join(HEAD_PARTS)} have heads; got {self.part!r}, head {self.head}")

    @property
    def head_name(self) -> str:
        """The name of the head, `H3` or `H2-3`; empty without a head."""
        if self.head is None:
            return ""
        size = self.shared_by or 1
        return f"H{size * self.head}" + (f"-{size * (self.head + 1) - 1}" if size > 1 else "")

    @property
    def depth(self) -> tuple[int, int]:
        """The place in the order of computation: the layer, and the part in it."""
        return self.layer, PARTS.index(self.part)

    def __str__(self) -> str:
        return f"L{self.layer}{self.head_name}.{self.part}"


def site_of(name: str) -> Site:
    """The site with a name, as it is printed.

    >>> site_of("L0H1.z"), site_of("L2.mlp_out"), site_of("L1H2-3.v")
    (Site(layer=0, part='z', head=1), Site(layer=2, part='mlp_out', head=None), Site(layer=1, part='v', head=1))

    Raises:
        ModelError: no site has this name in any model. `HookedModel.hook_name` refuses sites that a model lacks.
    """
    if (found := SITE_NAME.fullmatch(name)) and (part := found["part"]) in PARTS:
        first, last = int(found["first"] or 0), int(found["last"] or found["first"] or 0)
        size = max(1, last - first + 1)
        head = None if found["first"] is None else first // size
        if head is None or part in (SHARED_PARTS if size > 1 else HEAD_PARTS):
            size_if_shared = size if part in SHARED_PARTS and head is not None else None
            site = Site(int(found["layer"]), part, head, size_if_shared)
            if str(site) == name:
                return site
    raise ModelError(f"{name!r} is not a site; {NOTATION}; parts are {', '.join(PARTS)}")


def has_components(parts: Sequence[Part]) -> bool:
    """Whether a map of these parts shows components (heads, and MLPs beside them) at all positions, instead of roles."""
    return any(part in HEAD_PARTS for part in parts)


def require_one_kind(parts: Sequence[Part]) -> None:
    """Raise ValueError if some parts can only be shown by component and others by role: their maps have different axes."""
    is_mixed = has_components(parts) and not all(part in (*HEAD_PARTS, "mlp_out") for part in parts)
    if not parts or is_mixed:
        raise ValueError(
            f"one map shows roles ({', '.join(STREAM_PARTS)}) or components ({', '.join(HEAD_PARTS)}, mlp_out), not both; "
            f"got {', '.join(parts) or 'no part'}: use two probes"
        )
