"""One quantity over sizes and seeds, as values of item groups or as means."""

from dataclasses import dataclass, field

from distractor.statistics.groups import GroupMeans, Means
from distractor.statistics.shape_test import Size


@dataclass(frozen=True, eq=False)
class Curve:
    """One quantity over sizes and seeds: group means of complete items, or means with their standard errors.

    `values` [seed size group] is None where only `means` and `errors` [seed size] are known. `left_out` items were not
    posed to every model. `notes` are what a reader must know (constant responders). `condition` is the one under which
    the items were posed, where the table says so.
    """

    quantity: str
    axis: str
    sizes: tuple[Size, ...]
    seeds: tuple[int, ...]
    means: Means
    errors: Means | None = None
    values: GroupMeans | None = None
    groups: tuple[str, ...] = ()
    n_items: int | None = None
    left_out: int = 0
    families: tuple[str, ...] = ()
    task: str | None = None
    notes: tuple[str, ...] = field(default=())
    condition: str | None = None
