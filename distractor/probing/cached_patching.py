"""Cached patching: computes only the layers and positions that a patch can reach.

A clean pass stores each layer's keys and values. A patch at a layer and position reaches no lower layer and no earlier
position, so these are not computed again. Many patches share a pass: each is a copy of its prompt's suffix, the tokens
from the patched position on. A copy attends to the clean prompt before it and to itself.
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from einops import einsum
from jaxtyping import Bool, Float, Int
from torch import Tensor

from distractor.models.hooked_model import HookedModel
from distractor.models.hooks import Edit, Read
from distractor.models.model import AttentionMask
from distractor.models.site import Part, Site
from distractor.probing.run import by_length

LINE_TOKENS = 128
"""The number of tokens in a line of a pass; a longer suffix has a longer line. Up to this length, attention is a small part
of the cost.
"""


def longest_line_of(length: int) -> int:
    """The number of keys that a line can have at most, if no prompt is longer than `length`: those of a prompt, and of
    suffixes in a line.
    """
    return 2 * length + LINE_TOKENS


PATCHABLE_PARTS: tuple[Part, ...] = ("resid_pre", "q", "k", "v", "pattern", "z", "attn_out", "resid_mid", "mlp_out")
"""The parts that cached patching supports. A pattern is exchanged as the result `z` that it gives with the head's values."""


@dataclass(frozen=True, eq=False)
class Patches:
    """Patches: for each, the prompt and the positions at which it gets another prompt's activation.

    `heads` restricts each patch to one head of the part.
    """

    rows: Int[Tensor, " cell"]
    at: Bool[Tensor, "cell pos"]
    heads: Int[Tensor, " cell"] | None = None

    @property
    def first(self) -> Int[Tensor, " cell"]:
        """The first patched position."""
        return self.at.int().argmax(-1)


@dataclass(frozen=True, eq=False)
class Packed:
    """Suffixes of prompts in lines: the prompt of each line, and the cell and position of each token.

    `cells` is −1 for padding.
    """

    rows: Int[Tensor, " line"]
    cells: Int[Tensor, "line place"]
    positions: Int[Tensor, "line place"]
    first: Int[Tensor, "line place"]

    @property
    def known(self) -> int:
        """The number of positions of the clean prompts that any token attends to."""
        return int(self.first.max())

    @property
    def mask(self) -> AttentionMask:
        """The attention mask: a token attends to the clean prompt before its suffix, and to its suffix up to itself."""
        past = torch.arange(self.known, device=self.first.device)
        before = past < self.first[:, :, None]
        together = self.cells[:, :, None] == self.cells[:, None]
        is_before = self.positions[:, :, None] >= self.positions[:, None]
        return AttentionMask(self.positions, torch.cat([before, together & is_before], -1))


def pack(
    rows: Int[Tensor, " cell"], first: Int[Tensor, " cell"], lengths: Int[Tensor, " row"], tokens_a_pass: int
) -> Iterator[Packed]:
    """Pack the suffixes of prompts from `first` on into lines of about `LINE_TOKENS` tokens, and lines into passes."""
    places = rows.tolist(), first.tolist(), lengths.tolist()
    of_row: dict[int, list[tuple[int, int]]] = {}
    for cell, (row, start) in enumerate(zip(places[0], places[1], strict=True)):
        of_row.setdefault(row, []).append((places[2][row] - start, cell))
    lines: list[list[int]] = []
    sizes: list[int] = []
    for rests in of_row.values():
        count = min(len(rests), -(-sum(size for size, _ in rests) // LINE_TOKENS))
        filled = [(0, len(lines) + k) for k in range(count)]
        lines += [[] for _ in filled]
        for size, cell in sorted(rests, key=lambda rest: -rest[0]):  # the longest suffixes first
            much, line = heapq.heappop(filled)
            lines[line].append(cell)
            heapq.heappush(filled, (much + size, line))
        sizes += [much for much, _ in sorted(filled, key=lambda one: one[1])]
    for together in by_length(sizes, lambda longest: max(1, tokens_a_pass // longest)):
        some, longest = [lines[number] for number in together], sizes[together[0]]
        cells = np.full((len(some), longest), -1)
        positions = np.zeros((len(some), longest), dtype=np.int64)
        starts = np.zeros((len(some), longest), dtype=np.int64)
        for number, line_of in enumerate(some):
            place = 0
            for cell in line_of:
                start, end = places[1][cell], places[2][places[0][cell]]
                there = slice(place, place + end - start)
                cells[number, there], starts[number, there] = cell, start
                positions[number, there] = np.arange(start, end)
                place += end - start
        made = (torch.from_numpy(table).to(rows.device) for table in (cells, positions, starts))
        yield Packed(rows[[line_of[0] for line_of in some]], *made)


@dataclass(frozen=True, eq=False)
class CachedPatching:
    """A clean pass of some prompts, and patched passes that continue from its cache.

    `seen` holds the activations at the requested sites and at every layer's `resid_pre`. `past` holds the keys and values
    of each layer, [row head pos d_head].
    """

    model: HookedModel
    lengths: Int[Tensor, " row"]
    seen: Mapping[Site, Float[Tensor, "row pos *rest"]]
    past: Sequence[tuple[Tensor, Tensor]]

    @classmethod
    def of(
        cls,
        model: HookedModel,
        tokens: Int[Tensor, "row pos"],
        lengths: Int[Tensor, " row"],
        sites: Sequence[Site] = (),
    ) -> "CachedPatching":
        """Run prompts, padded on the right, and store what later passes need."""
        seen: dict[Site, Tensor] = {}

        def keep(site: Site) -> Read:
            return lambda value: seen.__setitem__(site, value)

        stream = [Site(layer, "resid_pre") for layer in range(model.n_layers)]
        values = [Site(site.layer, "v") for site in sites if site.part == "pattern"]
        past = model.make_cache()
        model.run_layers(tokens, past, reads={site: keep(site) for site in dict.fromkeys([*stream, *sites, *values])})
        return cls(model, lengths, seen, [(layer.keys, layer.values) for layer in past.layers])

    def gaps(
        self,
        sites: Sequence[Site],
        cells: Patches,
        partners: Int[Tensor, " row"],
        answers: Int[Tensor, "row answer=2"],
        tokens_a_pass: int,
    ) -> Float[Tensor, "site cell"]:
        """The logit gap of each cell's prompt with its partner's activation at each site, at the cell's positions."""
        found = torch.zeros(len(sites), len(cells.rows), dtype=self.model.dtype, device=self.model.device)
        for packed in pack(cells.rows, cells.first, self.lengths, tokens_a_pass):
            known, rows = packed.known, packed.rows
            past = [(keys[rows, :, :known], values[rows, :, :known]) for keys, values in self.past]
            is_last = (packed.cells >= 0) & (packed.positions == self.lengths[rows][:, None] - 1)
            which = packed.cells[is_last]
            changed = cells.at[packed.cells, packed.positions] & (packed.cells >= 0)
            mask = packed.mask
            for place, site in enumerate(sites):
                given = self._given(site, partners)[rows[:, None], packed.positions]
                where = changed
                if cells.heads is not None:
                    heads = torch.arange(given.shape[2], device=given.device)
                    where = changed[:, :, None] & (cells.heads[packed.cells][:, :, None] == heads)
                resid = self._end(site, packed, mask, past, _exchange(given, where), is_last)[is_last]
                logits = self.model.answer_logits(resid, answers[cells.rows[which]])
                found[place, which] = logits[:, 0] - logits[:, 1]
        return found

    def _given(self, site: Site, partners: Int[Tensor, " row"]) -> Float[Tensor, "row pos *rest"]:
        """The activation that each prompt gets; for a pattern, the result of the partner's pattern with its own values."""
        if site.part == "pattern":
            return mixed(self.seen[site][partners], self.seen[Site(site.layer, "v")])
        return self.seen[site][partners]

    def _end(
        self,
        site: Site,
        packed: Packed,
        mask: AttentionMask,
        past: Sequence[tuple[Tensor, Tensor]],
        edit: Edit,
        ends: Bool[Tensor, "line place"],
    ) -> Float[Tensor, "line place d_model"]:
        """The last residual stream at `ends` if the activation at a site is edited."""
        model, start = self.model, Site(site.layer, "resid_pre")
        clean = self.seen[start][packed.rows[:, None], packed.positions]
        entering = edit(clean) if site == start else clean
        edits: dict[Site, Edit] = {start: lambda _: entering}
        if site != start:
            edits[Site(site.layer, "z") if site.part == "pattern" else site] = edit
        after: list[Tensor] = []
        # For layers that are left out, only the length of the cache is needed.
        cached = [(k, v) if layer >= site.layer else (k[:1], v[:1]) for layer, (k, v) in enumerate(past)]
        model.run_layers(
            torch.zeros_like(packed.positions),
            model.make_cache(cached),
            start=site.layer,
            mask=mask,
            reads={Site(model.n_layers - 1, "resid_post"): after.append},
            edits=edits,
            ends=ends,
        )
        return after[0]


def mixed(
    pattern: Float[Tensor, "row head query key"], values: Float[Tensor, "row key shared d_head"]
) -> Float[Tensor, "row query head d_head"]:
    """What heads make of values by attention patterns; heads may share values."""
    each = values.repeat_interleave(pattern.shape[1] // values.shape[2], 2)
    return einsum(pattern.to(each), each, "row head query key, row key head d -> row query head d")


def _exchange(given: Tensor, where: Bool[Tensor, "line place *head"]) -> Edit:
    there = where.reshape(*where.shape, *(1 for _ in given.shape[where.ndim :]))
    return lambda value: torch.where(there, given, value)
