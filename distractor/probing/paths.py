"""Names the two ends of a path: a sender (a head or an MLP) and a receiver (an input of a head or MLP, or the logits)."""

from dataclasses import dataclass

from distractor.errors import ModelError, ProbeError
from distractor.models.site import Site, site_of


@dataclass(frozen=True, order=True)
class Receiver:
    """Where a path ends: a head's query, key or value (`L3H1.q`, `.k`, `.v`), an MLP's input (`L2.mlp_in`), or `logits`.

    `site` is the site that such a path changes first: the query, key or value, or the MLP's output. None: the logits.
    In grouped-query attention, keys and values are named by the query heads that share them (`L3H2-3.k`).
    """

    site: Site | None

    def __str__(self) -> str:
        return "logits" if self.site is None else str(self.site).replace("mlp_out", "mlp_in")

    def is_after(self, sender: Site, *, is_parallel: bool) -> bool:
        """Whether the sender's output is part of this receiver's input.

        An MLP also gets it from the heads of its own layer, unless both run in parallel (`is_parallel`).
        """
        if self.site is None or self.site.layer > sender.layer:
            return True
        same_layer = self.site.layer == sender.layer and self.site.part == "mlp_out" and sender.part == "z"
        return same_layer and not is_parallel


LOGITS = Receiver(None)


def sender_of(name: str) -> Site:
    """The sender of this name. Raises ProbeError if it names no sender.

    >>> sender_of("L0H1"), sender_of("L0H1.z") == sender_of("L0H1"), str(sender_of("L2.mlp_out"))
    (Site(layer=0, part='z', head=1), True, 'L2.mlp_out')
    """
    site = _site(name if "." in name else f"{name}.z")
    if site is None or not (site.part == "mlp_out" or (site.part == "z" and site.head is not None)):
        raise ProbeError(f"{name!r} is no sender of a path; write a head as L0H1 or an MLP as L0.mlp_out")
    return site


def receiver_of(name: str) -> Receiver:
    """The receiver of this name. Raises ProbeError if it names no receiver.

    >>> [str(receiver_of(name)) for name in ("L3H1.q", "L3H2-3.k", "L2.mlp_in", "logits")]
    ['L3H1.q', 'L3H2-3.k', 'L2.mlp_in', 'logits']
    """
    if name == "logits":
        return LOGITS
    site = _site(name.replace(".mlp_in", ".mlp_out"))
    if (
        site is None
        or name.endswith(".mlp_out")
        or not (site.part == "mlp_out" or (site.part in ("q", "k", "v") and site.head is not None))
    ):
        raise ProbeError(
            f"{name!r} is no receiver of a path; write a head's query, key or value as L3H1.q, L3H1.k or L3H1.v (L3H2-3.k if "
            "query heads 2 and 3 share it), an MLP's input as L2.mlp_in, or logits"
        )
    return Receiver(site)


def _site(name: str) -> Site | None:
    try:
        return site_of(name)
    except ModelError:
        return None
