"""Transplants: the logit gap if sites take their values at the answer slot from the same item under another condition.

Nothing but the answer slot has to match, so prompts may have different lengths. A transplant reaches no earlier position and
no lower layer. So the prompts run once, and each transplant computes one token from its lowest layer on.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from distractor.errors import ModelError
from distractor.models.hook_check import require_full_precision
from distractor.models.hooked_model import HookedModel
from distractor.models.hooks import Edit, Read, set_to
from distractor.models.self_check import ROUNDING
from distractor.models.site import Part, Site
from distractor.probing.cached_patching import LINE_TOKENS, longest_line_of, pack
from distractor.probing.run import Batch, Run
from distractor.scoring.pass_size import tokens_per_pass
from distractor.scoring.score import refuse_nan
from distractor.text.task import Condition

PROMPT_TOKENS = 2048  # the number of tokens whose keys and values are in memory at once
OUTPUTS: tuple[Part, ...] = ("z", "mlp_out")  # the sites that may be exchanged
KEPT_BYTES = 2**30  # prompts whose keys and values take no more memory run once for several calls


@dataclass(frozen=True)
class Transplant:
    """`sites` of prompts under the condition `into` take their values at the answer slot from the condition `source`.

    Sites are heads (`z`) and MLPs (`mlp_out`).
    """

    into: Condition
    source: Condition
    sites: tuple[Site, ...]

    @property
    def first_layer(self) -> int:
        """The lowest layer that is changed."""
        return min(site.layer for site in self.sites)


@torch.inference_mode()
def transplanted_gaps(
    model: HookedModel,
    batches: Mapping[Condition, Batch],
    transplants: Sequence[Transplant],
    *,
    whole_prompts: bool = False,
    clean: "CleanPrompts | None" = None,
    items: Sequence[int] | None = None,
) -> Float[Tensor, "transplant item"]:
    """The logit gap after each transplant, in nats. `batches` holds the same items under each condition that is named.

    `whole_prompts` computes all positions, for models without support for caches (`why_whole_prompts`). `clean` are the
    same prompts, kept from one call to the next. `items` are the items to compute; all if None.

    Raises:
        ModelError: a site does not exist, a gap is NaN, or the model is in half precision.
    """
    require_full_precision(model)
    for site in {site for one in transplants for site in one.sites}:
        model.hook_name(site)
    first = next(iter(batches.values()))
    chosen = torch.tensor(range(len(first.items)) if items is None else list(items), device=model.device)
    found = torch.full((len(transplants), len(chosen)), torch.nan, dtype=torch.float64, device=model.device)
    named = dict.fromkeys(condition for one in transplants for condition in (one.into, one.source))
    parts = list(dict.fromkeys(Site(site.layer, site.part) for one in transplants for site in one.sites))
    order = sorted(range(len(transplants)), key=lambda k: _pass_of(transplants[k]))
    longest = max(batches[condition].tokens.shape[2] for condition in named) if named else 1
    clean = clean or CleanPrompts(model, batches, parts)
    for some in torch.arange(len(chosen), device=model.device).split(max(1, PROMPT_TOKENS // longest)):
        prompts = {condition: clean.take(condition, chosen[some]) for condition in named}
        for _, numbers in groupby(order, key=lambda k: _pass_of(transplants[k])):
            together = list(numbers)
            cells = _Cells(model, prompts, [transplants[k] for k in together])
            found[torch.tensor(together, device=model.device)[:, None], some] = cells.gaps(whole_prompts).double()
    refuse_nan(model, [first.items[k] for k in chosen.tolist()], found.T.cpu().numpy())
    return found


def why_whole_prompts(model: HookedModel, batches: Mapping[Condition, Batch]) -> str:
    """Why a model does not support caches. Empty if it does.

    From its settings, and from a comparison with whole prompts on the shortest and the longest item.
    """
    longest_line = longest_line_of(max(int(batch.lengths.max()) for batch in batches.values()))
    if model.shared_length is not None and longest_line > model.shared_length:
        return f"its attention changes beyond {model.shared_length} tokens, and a line can have {longest_line}"
    into, source, *_ = batches
    by_length = batches[into].lengths.argsort(stable=True).tolist()
    ends = list(dict.fromkeys([by_length[-1], by_length[0]]))
    few = {condition: batch.take(ends) for condition, batch in batches.items()}
    layers = sorted({0, model.n_layers // 2, model.n_layers - 1})
    changed = [(Site(layer, "z", 0), Site(layer, "mlp_out")) for layer in layers]
    some = [Transplant(into, source, sites) for sites in changed]
    expected = transplanted_gaps(model, few, some, whole_prompts=True)
    copies = [some[0]] * LINE_TOKENS  # more than one line
    try:
        found = transplanted_gaps(model, few, [*some, *copies])
    except (ModelError, TypeError, AttributeError, IndexError, KeyError, ValueError, RuntimeError) as error:
        return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
    off = float((found - torch.cat([expected, expected[:1].expand(len(copies), -1)])).abs().max())
    allowed = ROUNDING.get(model.dtype, 1e-3) * max(1.0, float(expected.abs().max()))
    return "" if off <= allowed else f"the logit gaps were off by {off:.1e}"


@dataclass(frozen=True, eq=False)
class Exchanges:
    """Effects of exchanging sets of sites between the prompts of a run and those of `run.others`, in nats.

    Positive effects mean that the values from the prompts with a cue favour the distractor's answer. `why` says why whole
    prompts are needed; empty if they are not.
    """

    run: Run
    why: str
    clean: "CleanPrompts"

    @classmethod
    def of(cls, run: Run) -> "Exchanges":
        """Check which passes the model supports."""
        batches = _batches(run)
        parts = [Site(layer, part) for layer in range(run.model.n_layers) for part in OUTPUTS]
        return cls(run, why_whole_prompts(run.model, batches), CleanPrompts(run.model, batches, parts, keep=True))

    def transplant(
        self,
        sets: Sequence[Sequence[Site]],
        conditions: Sequence[Condition],
        half: Bool[np.ndarray, " item"] | None = None,
    ) -> Float[np.ndarray, "set condition kept"]:
        """gap(clean) − gap(transplanted), where sets of sites of the run's prompts get their values from each condition.

        `half` keeps only some items.
        """
        into = self.run.batch.conditions[0]
        return -self._changes(sets, [(into, condition) for condition in conditions], half)

    def knock_out(
        self, sets: Sequence[Sequence[Site]], conditions: Sequence[Condition]
    ) -> Float[np.ndarray, "set condition kept"]:
        """gap(knocked out) − gap(clean), where sets of sites under each condition get their values from the run's prompts."""
        source = self.run.batch.conditions[0]
        return self._changes(sets, [(condition, source) for condition in conditions], None)

    def _changes(
        self,
        sets: Sequence[Sequence[Site]],
        pairs: Sequence[tuple[Condition, Condition]],
        half: Bool[np.ndarray, " item"] | None,
    ) -> Float[np.ndarray, "set condition kept"]:
        runs = {self.run.batch.conditions[0]: self.run, **self.run.others}
        kept = list(range(len(self.run.batch.items))) if half is None else np.flatnonzero(half).tolist()
        changes = np.zeros((len(sets), len(pairs), len(kept)))
        exchanged = [(k, p) for k, sites in enumerate(sets) if sites for p in range(len(pairs))]
        if exchanged:
            transplants = [Transplant(*pairs[p], tuple(sets[k])) for k, p in exchanged]
            gaps = transplanted_gaps(
                self.run.model,
                _batches(self.run),
                transplants,
                whole_prompts=bool(self.why),
                clean=self.clean,
                items=kept,
            )
            for (k, p), gap in zip(exchanged, gaps.cpu().numpy(), strict=True):
                changes[k, p] = gap - runs[pairs[p][0]].gap[0, kept].double().cpu().numpy()
        return changes


def _batches(run: Run) -> dict[Condition, Batch]:
    """The prompts of a run and of its `others`, by condition."""
    return {run.batch.conditions[0]: run.batch, **{c: other.batch for c, other in run.others.items()}}


def _pass_of(one: Transplant) -> tuple[str, int]:
    """Transplants with the same key share passes."""
    return one.into.value, one.first_layer


@dataclass(frozen=True, eq=False)
class _Prompts:
    """Prompts of some items under one condition, with their keys and values, and activations at the answer slot."""

    tokens: Int[Tensor, "item pos"]
    lengths: Int[Tensor, " item"]
    answers: Int[Tensor, "item answer=2"]
    past: Sequence[tuple[Tensor, Tensor]]  # of each layer, [item head pos d_head]
    seen: Mapping[Site, Float[Tensor, "item *rest"]]

    @classmethod
    def of(cls, model: HookedModel, batch: Batch, some: Int[Tensor, " item"], parts: Sequence[Site]) -> "_Prompts":
        """Run the prompts once."""
        lengths = batch.lengths[some]
        tokens = batch.tokens[0, some, : int(lengths.max())]
        every = torch.arange(len(some), device=tokens.device)
        seen: dict[Site, Tensor] = {}

        def keep(site: Site) -> Read:
            return lambda value: seen.__setitem__(site, value[every, lengths - 1])

        stream = [Site(layer, "resid_pre") for layer in range(model.n_layers)]
        past = model.make_cache()
        model.run_layers(tokens, past, reads={site: keep(site) for site in (*stream, *parts)})
        for site in parts:
            if site not in seen:
                raise ModelError(f"{model.name}: {site} is never reached in this architecture, so it cannot be read")
        cached = [(layer.keys, layer.values) for layer in past.layers]
        return cls(tokens, lengths, batch.answers[some], cached, seen)

    def take(self, some: Int[Tensor, " item"]) -> "_Prompts":
        """The prompts of some of the items."""
        length = int(self.lengths[some].max())
        cached = [(keys[some, :, :length], values[some, :, :length]) for keys, values in self.past]
        seen = {site: value[some] for site, value in self.seen.items()}
        return _Prompts(self.tokens[some, :length], self.lengths[some], self.answers[some], cached, seen)


class CleanPrompts:
    """Prompts of the same items under several conditions, which run when they are needed.

    With `keep`, they run once, unless their keys and values take too much memory. `parts` are the sites that are read.
    """

    def __init__(
        self, model: HookedModel, batches: Mapping[Condition, Batch], parts: Sequence[Site], *, keep: bool = False
    ) -> None:
        self.model, self.batches, self.parts = model, batches, parts
        n_tokens = sum(batch.tokens.numel() for batch in batches.values())
        self.keep = keep and n_tokens * model.cache_bytes <= KEPT_BYTES
        self.kept: dict[Condition, _Prompts] = {}

    @torch.inference_mode()
    def values(self, condition: Condition) -> dict[Site, Float[Tensor, "item *rest"]]:
        """The activations at the answer slot under a condition, at the sites that are read."""
        tokens = self.batches[condition].tokens
        every = torch.arange(tokens.shape[1], device=tokens.device).split(max(1, PROMPT_TOKENS // tokens.shape[2]))
        seen = [self.take(condition, some).seen for some in every]
        return {site: torch.cat([one[site] for one in seen]) for site in self.parts}

    def take(self, condition: Condition, items: Int[Tensor, " item"]) -> "_Prompts":
        """The prompts of some items under a condition."""
        batch = self.batches[condition]
        if not self.keep:
            return _Prompts.of(self.model, batch, items, self.parts)
        if condition not in self.kept:
            every = torch.arange(len(batch.items), device=items.device)
            self.kept[condition] = _Prompts.of(self.model, batch, every, self.parts)
        return self.kept[condition].take(items)


@dataclass(frozen=True, eq=False)
class _Cells:
    """Transplants into the prompts of one condition, from the same lowest layer on. A cell is a transplant in one item."""

    model: HookedModel
    prompts: Mapping[Condition, _Prompts]
    transplants: Sequence[Transplant]

    @property
    def into(self) -> _Prompts:
        """The prompts that are changed."""
        return self.prompts[self.transplants[0].into]

    def gaps(self, whole_prompts: bool) -> Float[Tensor, "transplant item"]:
        """The gap of each cell."""
        into = self.into
        item = torch.arange(len(into.tokens), device=into.tokens.device).repeat(len(self.transplants))
        found = torch.zeros(len(item), dtype=self.model.dtype, device=item.device)
        for cells, ends in self._whole(item) if whole_prompts else self._cached(item):
            logits = self.model.answer_logits(ends, into.answers[item[cells]])
            found[cells] = logits[:, 0] - logits[:, 1]
        return found.unflatten(0, (len(self.transplants), len(into.tokens)))

    def _cached(self, item: Int[Tensor, " cell"]) -> Iterator[tuple[Tensor, Float[Tensor, "cell d_model"]]]:
        """Some cells, and their last residual stream; only the last token runs."""
        into, model, start = self.into, self.model, self.transplants[0].first_layer
        for packed in pack(item, into.lengths[item] - 1, into.lengths, tokens_per_pass()):
            rows, known = packed.rows, packed.known
            # For layers that are left out, only the length of the cache is needed.
            chosen = [rows if layer >= start else rows[:1] for layer in range(model.n_layers)]
            cached = zip(into.past, chosen, strict=True)
            entering = into.seen[Site(start, "resid_pre")][rows][:, None].expand(-1, packed.cells.shape[1], -1)
            ends: list[Tensor] = []
            model.run_layers(
                torch.zeros_like(packed.positions),
                model.make_cache([(k[some, :, :known], v[some, :, :known]) for (k, v), some in cached]),
                start=start,
                mask=packed.mask,
                reads={Site(model.n_layers - 1, "resid_post"): ends.append},
                edits={Site(start, "resid_pre"): set_to(entering), **self._edits(packed.cells)},
            )
            is_cell = packed.cells >= 0
            yield packed.cells[is_cell], ends[0][is_cell]

    def _whole(self, item: Int[Tensor, " cell"]) -> Iterator[tuple[Tensor, Float[Tensor, "cell d_model"]]]:
        """The same with all tokens of the prompts."""
        into, model = self.into, self.model
        every = torch.arange(len(item), device=item.device)
        for cells in every.split(max(1, tokens_per_pass() // into.tokens.shape[1])):
            tokens, last = into.tokens[item[cells]], into.lengths[item[cells]] - 1
            ends: list[Tensor] = []
            model.log_probs(
                tokens,
                last.unique(),
                reads={Site(model.n_layers - 1, "resid_post"): ends.append},
                edits={site: set_at(last, edit) for site, edit in self._edits(cells[:, None]).items()},
            )
            yield cells, ends[0][torch.arange(len(cells), device=item.device), last]

    def _edits(self, cells: Int[Tensor, "line place"]) -> dict[Site, Edit]:
        """The edit of each layer's heads and MLP, for activations [line place *rest] of these cells."""
        into = self.into
        number, item = (
            cells // len(into.tokens),
            cells % len(into.tokens),
        )  # padding has the number −1 and changes itself
        conditions = list(dict.fromkeys(one.source for one in self.transplants))
        source = torch.tensor([conditions.index(one.source) for one in self.transplants], device=cells.device)[number]
        edits: dict[Site, Edit] = {}
        for part in sorted({Site(site.layer, site.part) for one in self.transplants for site in one.sites}, key=str):
            given = torch.stack([self.prompts[condition].seen[part] for condition in conditions])[source, item]
            chosen = self._chosen(part, given.shape[2] if part.part == "z" else 1)[number]
            edits[part] = set_where(given, chosen if part.part == "z" else chosen[..., 0])
        return edits

    def _chosen(self, part: Site, heads: int) -> Bool[Tensor, "transplant head"]:
        """Whether a transplant changes each head of a layer, or its MLP."""
        rows = [[holds(one.sites, part, head) for head in range(heads)] for one in self.transplants]
        return torch.tensor(rows, device=self.into.tokens.device)


def holds(sites: Sequence[Site], part: Site, head: int) -> bool:
    """Whether a set of sites has a head of a layer, or its MLP."""
    return Site(part.layer, part.part, head if part.part == "z" else None) in sites or part in sites


def set_where(given: Tensor, where: Bool[Tensor, "line place *head"]) -> Edit:
    """The edit of activations [line place *head *rest] to the given ones, where it is so."""
    there = where.reshape(*where.shape, *(1 for _ in given.shape[where.ndim :]))
    return lambda value: torch.where(there, given, value)


def set_at(last: Int[Tensor, " row"], edit: Edit) -> Edit:
    """The edit at one position of each row."""

    def change(value: Tensor) -> Tensor:
        every, changed = torch.arange(len(last), device=last.device), value.clone()
        changed[every, last] = edit(value[every, last][:, None])[:, 0]
        return changed

    return change
