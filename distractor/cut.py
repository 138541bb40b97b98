"""Passes that begin in the middle of a model: only the layers from an edit on, and only the positions from it on.

A plain pass of the prompts is kept: the residual stream before each layer, and each layer's keys and values. What is edited
in a layer at a position changes nothing in earlier layers or at earlier positions, so neither is computed again.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from distractor.errors import ModelError
from distractor.model import Edit, Model
from distractor.site import Site


@dataclass(frozen=True, eq=False)
class Cut:
    """A plain pass of some prompts, and passes that go on from within it.

    `seen` holds what stood at the sites that were asked for, and at every layer's `resid_pre`; of the last layer also
    `resid_post`.
    """

    model: Model
    seen: Mapping[Site, Float[Tensor, "row pos *rest"]]
    past: Sequence[tuple[Tensor, Tensor]]  # keys and values of each layer, [row head pos d_head]

    @classmethod
    def of(cls, model: Model, tokens: Int[Tensor, "row pos"], sites: Sequence[Site] = ()) -> "Cut":
        """Run prompts, padded on the right where they differ in length, and keep what later passes need."""
        from transformers import DynamicCache

        stream = [Site(layer, "resid_pre") for layer in range(model.n_layers)]
        seen: dict[Site, Tensor] = {}

        def keep(site: Site) -> Any:
            return lambda value: seen.__setitem__(site, value)

        cache = DynamicCache()
        wanted = dict.fromkeys([*stream, Site(model.n_layers - 1, "resid_post"), *sites])
        model.go_through(tokens, cache, reads={site: keep(site) for site in wanted})
        return cls(model, seen, [(layer.keys, layer.values) for layer in cache.layers])

    def end(
        self, layer: int, rows: Int[Tensor, " row"], first: int, edits: Mapping[Site, Edit]
    ) -> Float[Tensor, "row pos d_model"]:
        """The last residual stream of prompts that go on from `layer` and position `first`, with `edits` from there on.

        `rows` says which of the prompts; one may come several times. What is edited, and what comes back, begins at
        position `first`.
        """
        from transformers import DynamicCache

        model = self.model
        cache = DynamicCache()
        for place, (keys, values) in enumerate(self.past):
            which = rows if place >= layer else rows[:1]  # of layers that are left out only the length is asked
            cache.update(keys[which, :, :first], values[which, :, :first], place)
        here = self.seen[Site(layer, "resid_pre")][rows, first:]
        found: list[Tensor] = []
        start = Site(layer, "resid_pre")
        given = edits.get(start)
        with _left_out(model, layer):
            model.go_through(
                torch.zeros(here.shape[:2], dtype=torch.long, device=model.device),
                cache,
                reads={Site(model.n_layers - 1, "resid_post"): found.append},
                edits={**edits, start: (lambda _: here) if given is None else (lambda _: given(here))},
            )
        return found[0]


@contextmanager
def _left_out(model: Model, layers: int) -> Iterator[None]:
    """The first layers hand on what they are given."""
    # A bridge's block hands attributes that are set on to the module within it: its own are reached by `vars`.
    spaces = [vars(block) for block in model.bridge.blocks[:layers]]
    before = [space.get("forward") for space in spaces]
    for space in spaces:
        space["forward"] = _hand_on
    try:
        yield
    finally:
        for space, old in zip(spaces, before, strict=True):
            if old is None:
                del space["forward"]
            else:
                space["forward"] = old


def _hand_on(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return hidden_states


def can_be_cut(model: Model, tokens: Int[Tensor, "row pos"]) -> str:
    """Why passes cannot begin in the middle of this model; nothing where they can: it is tried, and compared."""
    middle, first = model.n_layers // 2, tokens.shape[1] // 2
    try:
        cut = Cut.of(model, tokens)
        rows = torch.arange(len(tokens), device=model.device)
        wanted = cut.seen[Site(model.n_layers - 1, "resid_post")]
        off = max(
            float((cut.end(layer, rows, start, {}) - wanted[:, start:]).abs().max())
            for layer in (0, middle, model.n_layers - 1)
            for start in (0, first)
        )
    except (ModelError, TypeError, AttributeError, IndexError, ValueError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"
    allowed = 1e-4 * max(1.0, float(wanted.abs().max()))
    return "" if off <= allowed else f"its last residual stream was off by {off:.1e}"
