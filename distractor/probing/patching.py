"""Activation patching between the prompts of an aligned pair: exact, and to first order by gradients.

Both prompts of a pair run in the same pass, so that no activation is stored. The conditions of a batch are the pair.
Results are [condition item]: the first row is the first condition's prompts with the second's activations, and the second
row is the reverse.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from einops import rearrange, reduce
from jaxtyping import Bool, Float, Int
from torch import Tensor

from distractor.errors import ModelError
from distractor.models.hook_check import require_full_precision
from distractor.models.hooked_model import HookedModel
from distractor.models.hooks import Edit, Read, Tap, set_to
from distractor.models.self_check import ROUNDING
from distractor.models.site import HEAD_PARTS, PARTS, Part, Site
from distractor.probing.cached_patching import (
    LINE_TOKENS,
    PATCHABLE_PARTS,
    CachedPatching,
    Patches,
    longest_line_of,
    mixed,
)
from distractor.probing.run import Batch, Run, by_length
from distractor.scoring.pass_size import rows_per_pass, tokens_per_pass
from distractor.scoring.score import refuse_nan


@torch.inference_mode()
def patched_gap(
    model: HookedModel, batch: Batch, site: Site, at: Bool[Tensor, "item pos"] | None = None
) -> Float[Tensor, "condition=2 item"]:
    """The logit gap of each prompt with the other prompt's activation at `site`, at the positions `at` (None: all).

    NaN for an item without any of these positions.

    Raises:
        ModelError: a log-probability is NaN; the item is named. Or the site does not exist, or the model is loaded in
            half precision.
    """
    if at is not None and site.part == "pattern":
        raise ValueError("a pattern has two positions, query and key; it is exchanged whole")
    require_full_precision(model)
    gap = torch.full((2, len(batch.items)), torch.nan, dtype=torch.float64, device=model.device)
    for part in _passes(model, batch, None if at is None else at.any(-1)):
        if site.part == "pattern":
            seen: list[Tensor] = []
            part.gap(model, reads={site: seen.append})
            edit: Edit = set_to(_other(seen[0]))
        else:
            edit = _exchange(None if at is None else at[part.items, : part.tokens.shape[1]])
        gap[:, part.items] = part.gap(model, edits={site: edit}).double()
    return gap


Node = tuple[Site, Bool[Tensor, "item pos"] | None]
"""A site, and each item's positions at which it is patched; None: all."""

CLEAN_TOKENS = 2048  # the number of tokens whose keys, values and activations are in memory at once

SLOT_PARTS: tuple[Part, ...] = ("q", "pattern", "z", "attn_out", "resid_mid", "mlp_out")
"""Parts of the last layer that matter only at the answer slot, because no later layer reads other positions."""


@torch.inference_mode()
def patched_gaps(run: Run, nodes: Sequence[Node]) -> tuple[Float[Tensor, "node condition=2 item"], str]:
    """The gaps of `patched_gap` at many nodes, by cached patching.

    Patches before the first token that differs change nothing and are not run, because both prompts are equal there.
    A whole layer's pattern always uses `patched_gap`. In a model without support for cached patching, all parts use it;
    the second value is then the reason, otherwise empty.
    """
    require_full_precision(run.model)
    model, batch = run.model, run.batch
    found = torch.full((len(nodes), 2, len(batch.items)), torch.nan, dtype=torch.float64, device=model.device)
    parts = {site.part for site, _ in nodes if not _is_whole_pattern(site)} & {*PATCHABLE_PARTS, "resid_post"}
    why = _why_not_cached(run, [part for part in PARTS if part in parts]) if parts else ""
    places = [k for k, (site, _) in enumerate(nodes) if site.part in parts and not (why or _is_whole_pattern(site))]
    if places:
        found[places] = _cached_gaps(run, [nodes[k] for k in places])
    for k in sorted(set(range(len(nodes))) - set(places)):
        found[k] = patched_gap(model, batch, *nodes[k])
    return found, why


def _is_whole_pattern(site: Site) -> bool:
    return site.part == "pattern" and site.head is None


_passed: "WeakKeyDictionary[HookedModel, dict[tuple[Part, ...], int]]" = WeakKeyDictionary()
"""The longest prompt with which cached patching of some parts passed the comparison in a model."""


def _why_not_cached(run: Run, parts: Sequence[Part]) -> str:
    """The reason why a model does not support cached patching. Empty if the model supports it.

    From its settings, and from a comparison with whole passes on the longest and the shortest item. One comparison has
    as many copies of a patch as fill the longest line. A model that passed is compared again only with longer prompts.
    """
    model, longest = run.model, int(run.batch.lengths.max())
    longest_line = longest_line_of(longest)
    if model.shared_length is not None and longest_line > model.shared_length:
        return f"its attention changes beyond {model.shared_length} tokens, and a line can have {longest_line}"
    passed = _passed.setdefault(model, {})
    if longest <= passed.get(tuple(parts), 0):
        return ""
    if not (why := _difference_from_whole_passes(run, parts)):
        passed[tuple(parts)] = longest
    return why


def _difference_from_whole_passes(run: Run, parts: Sequence[Part]) -> str:
    """How cached patching differs from whole passes on the longest and the shortest item; empty if it does not."""
    model = run.model
    some = shortest_and_longest(run)
    few = some.batch
    differs = (few.tokens[0] != few.tokens[1]) & _is_token(few)
    at = differs.cumsum(-1).eq(1) & differs  # the first token that differs
    at = torch.where(at.any(-1, keepdim=True), at, _is_last(few))
    layers = sorted({0, model.n_layers // 2, model.n_layers - 1})
    nodes: list[Node] = [
        (Site(layer, part, 0 if part in HEAD_PARTS else None), None if part in HEAD_PARTS else at)
        for layer in layers
        for part in parts
        if part in model.parts
    ]
    expected = torch.stack([patched_gap(model, few, *node) for node in nodes])
    site, _ = nodes[0]
    suffix = int((few.lengths - at.int().argmax(-1)).min())
    at = torch.ones_like(at) if site.part in HEAD_PARTS else at
    copies: list[Node] = [(site, at.clone()) for _ in range(-(-LINE_TOKENS // suffix))]
    try:
        found = _cached_gaps(some, [*nodes, *copies])
        off = float((found - torch.cat([expected, expected[:1].expand(len(copies), -1, -1)])).abs().max())
    except (ModelError, TypeError, AttributeError, IndexError, KeyError, ValueError, RuntimeError) as error:
        return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
    allowed = ROUNDING.get(model.dtype, 1e-3) * max(1.0, float(expected.abs().max()))
    return "" if off <= allowed else f"the logit gaps were off by {off:.1e}"


def shortest_and_longest(run: Run) -> Run:
    """The run with its longest and its shortest item alone, and without activations."""
    by_length = run.batch.lengths.argsort(stable=True).tolist()
    return run.take(list(dict.fromkeys([by_length[-1], by_length[0]])))


def _is_token(batch: Batch) -> Bool[Tensor, "item pos"]:
    return torch.arange(batch.tokens.shape[2], device=batch.tokens.device) < batch.lengths[:, None]


def _is_last(batch: Batch) -> Bool[Tensor, "item pos"]:
    return torch.arange(batch.tokens.shape[2], device=batch.tokens.device) == batch.lengths[:, None] - 1


def _cached_gaps(run: Run, nodes: Sequence[Node]) -> Float[Tensor, "node condition=2 item"]:
    model, batch, last = run.model, run.batch, run.model.n_layers - 1
    plain = run.gap.double()
    is_token, is_last = _is_token(batch), _is_last(batch)
    differs = (batch.tokens[0] != batch.tokens[1]) & is_token
    affected = differs.cumsum(-1) > 0  # from the first differing token on
    found = plain.expand(len(nodes), -1, -1).clone()
    # Sites with the same patched positions and heads share one layout.
    alike: dict[tuple[str, tuple[tuple[int, int | None], ...]], list[Site]] = {}
    changes_at: dict[Site, dict[tuple[int, int | None], list[int]]] = {}
    masks: dict[int, Tensor] = {}
    for number, (site, at) in enumerate(nodes):
        model.hook_name(site)
        masks[id(at)] = is_token if at is None else at & is_token
        found[number, :, ~masks[id(at)].any(-1)] = torch.nan
        if site == Site(last, "resid_post"):  # only the unembedding follows
            found[number] = torch.where((masks[id(at)] & is_last).any(-1), plain.flip(0), found[number])
            continue
        same = Site(site.layer + 1, "resid_pre") if site.part == "resid_post" else Site(site.layer, site.part)
        changes_at.setdefault(same, {}).setdefault((id(at), site.head), []).append(number)
    for site, changes in changes_at.items():
        kind = (
            "first"
            if site == Site(0, "resid_pre")
            else "slot"
            if site.layer == last and site.part in SLOT_PARTS
            else ""
        )
        alike.setdefault((kind, tuple(changes)), []).append(site)
    matters = {"": affected & is_token, "first": differs, "slot": affected & is_last}
    size = max(1, min(CLEAN_TOKENS, tokens_per_pass() // 2) // (2 * batch.tokens.shape[2]))
    for items in by_length((2 * batch.lengths).tolist(), lambda _: size) if changes_at else ():
        some = torch.tensor(items, device=model.device)
        length = int(batch.lengths[some].max())
        cached = CachedPatching.of(
            model,
            rearrange(batch.tokens[:, some, :length], "condition item pos -> (condition item) pos"),
            batch.lengths[some].repeat(2),
            list(changes_at),
        )
        partners = torch.arange(2 * len(some), device=model.device).roll(len(some))
        for (kind, keys), sites in alike.items():
            at = torch.stack([masks[mask][some, :length] for mask, _ in keys]) & matters[kind][some, :length]
            key, item = at.any(-1).nonzero(as_tuple=True)
            heads = [head for _, head in keys]
            rows = torch.cat([item, item + len(some)])
            cells = Patches(
                rows,
                at[key, item].repeat(2, 1),
                None if heads[0] is None else torch.tensor(heads, device=model.device)[key].repeat(2),
            )
            gaps = cached.gaps(sites, cells, partners, batch.answers[some].repeat(2, 1), tokens_per_pass()).double()
            for site, of_site in zip(sites, gaps, strict=True):
                here = found.new_full((len(keys), 2, len(some)), torch.nan)
                here[key, 0, item], here[key, 1, item] = of_site.chunk(2)
                for k, numbers in enumerate(changes_at[site].values()):
                    for number in numbers:
                        old = found[number][:, some]
                        found[number][:, some] = torch.where(here[k].isnan() & ~at[k].any(-1), old, here[k])
    is_absent = torch.stack([~masks[id(at)].any(-1) for _, at in nodes])
    broken = rearrange(found.masked_fill(is_absent[:, None], 0), "node condition item -> item (node condition)")
    refuse_nan(model, batch.items, broken.cpu().numpy())
    return found


@dataclass(frozen=True, eq=False)
class _Pass:
    """Some items of a pair in one pass: the rows of the first condition, then the rows of the second."""

    batch: Batch
    items: Int[Tensor, " item"]
    tokens: Int[Tensor, "row pos"]

    def gap(
        self,
        model: HookedModel,
        *,
        reads: Mapping[Site, Read] | None = None,
        edits: Mapping[Site, Edit] | None = None,
        taps: Mapping[Site, Tap] | None = None,
        times: int = 1,
    ) -> Float[Tensor, "condition=2 item"]:
        """The gap of the rows; if `times` repeats the rows in the pass, the gap of the first copy."""
        last, place = (self.batch.lengths[self.items] - 1).unique(return_inverse=True)
        tokens = self.tokens.repeat(times, 1)
        log_probs = model.log_probs(tokens, last, reads=reads, edits=edits, taps=taps)[: len(self.tokens)]
        rows = torch.arange(len(self.tokens), device=tokens.device)
        answers = self.batch.answers[self.items].repeat(2, 1)
        true, distractor = log_probs[rows, place.repeat(2)].gather(1, answers).unbind(-1)
        gap = rearrange(true - distractor, "(condition item) -> condition item", condition=2)
        refuse_nan(model, [self.batch.items[i] for i in self.items.tolist()], gap.detach().double().T.cpu().numpy())
        return gap


def _passes(
    model: HookedModel, batch: Batch, which: Bool[Tensor, " item"] | None = None, times: int = 1
) -> Iterator[_Pass]:
    """The items of a pair, or those in `which`, in passes of limited size."""
    if len(batch.conditions) != 2:
        raise ValueError(f"activations are exchanged between two conditions, got {len(batch.conditions)}")
    items = torch.arange(len(batch.items), device=model.device)
    items = items if which is None else items[which]
    kept = len(batch.lengths.unique())
    most = max(1, rows_per_pass(batch.tokens.shape[2], kept, model.vocab) // (2 * times))
    for rows in by_length((2 * batch.lengths[items]).tolist(), lambda _: most):
        some = items[rows]
        length = int(batch.lengths[some].max())
        yield _Pass(
            batch, some, rearrange(batch.tokens[:, some, :length], "condition item pos -> (condition item) pos")
        )


def _other(value: Float[Tensor, "row *rest"]) -> Float[Tensor, "row *rest"]:
    """For each row of a pass, the value of the other condition."""
    first, second = value.chunk(2)
    return torch.cat([second, first])


def _exchange(at: Bool[Tensor, "item pos"] | None) -> Edit:
    def exchange(value: Tensor) -> Tensor:
        other = _other(value)
        if at is None:
            return other
        there = at.repeat(2, 1).reshape(*value.shape[:2], *(1 for _ in value.shape[2:]))
        return torch.where(there, other, value)

    return exchange


# First-order effects. A patch of a head's query, key, value or pattern is computed exactly up to the head's output z,
# because plain gradients fail where the softmax saturates. The gradient starts at z.


SLOPES = 4  # the memory of a pass with gradients, in plain passes, because every activation is stored


def first_order_effects(
    model: HookedModel, batch: Batch, sites: Sequence[Site], *, drop_layers: bool = False, through_softmax: bool = True
) -> dict[Site, Float[Tensor, "dropped condition=2 item place"]]:
    """First-order effects on the gap of patching each site, by one forward and one backward pass of the batch.

    The last axis is the position. For parts of heads it is the head, with all positions together. On the first axis,
    entry 0 is the estimate. With `drop_layers`, entry 1 + l is the estimate without the gradient through layer l's
    attention and MLP (GradDrop); this takes one more backward pass per layer. Without `through_softmax`, queries and
    keys are also estimated from their gradients alone. See Kramár et al. 2024, arXiv 2403.00745.

    Raises:
        ModelError: a gradient is not finite; the item is named. Or a site does not exist, or the model is loaded in
            half precision.
    """
    if any(site.head is not None for site in sites):
        raise ValueError("all heads of a layer are estimated at once; leave the head out")
    require_full_precision(model)
    size = (1 + drop_layers * model.n_layers, 2, len(batch.items))
    found = {
        site: torch.zeros(
            *size, model.n_heads_of(site.part) if site.part in HEAD_PARTS else batch.tokens.shape[2],
            dtype=torch.float64, device=model.device,
        )
        for site in sites
    }  # fmt: skip
    softmaxed = [s for s in sites if s.part in ("q", "k", "v", "pattern") and (through_softmax or s.part == "pattern")]
    for some in _passes(model, batch, times=SLOPES):
        moved = _moved_results(model, batch, some, softmaxed)
        for site, value in _slopes(model, some, sites, moved, drop_layers).items():
            found[site][:, :, some.items, : value.shape[-1]] = value
    for value in found.values():
        flat = rearrange(value, "dropped condition item place -> item (dropped condition place)")
        refuse_nan(model, batch.items, flat.cpu().numpy(), "gradients")
    return found


def _moved_results(
    model: HookedModel, batch: Batch, some: _Pass, sites: Sequence[Site]
) -> dict[Site, Float[Tensor, "row pos head d_head"]]:
    """The exact change of each layer's z if one site in the layer is patched and everything before it stays clean.

    For queries, keys and values, the model runs once more per part, with a copy of the rows. In every layer, the copy's
    part is patched, its z is read, and then z is restored.
    """
    moved: dict[Site, Tensor] = {}
    values: dict[int, Tensor] = {}

    def keep_values(layer: int) -> Read:
        return lambda value: values.__setitem__(layer, value)

    def mix(site: Site) -> Read:
        def look(pattern: Tensor) -> None:
            moved[site] = mixed(_other(pattern) - pattern, values.pop(site.layer))

        return look

    def restore(site: Site) -> Edit:
        """Record the difference of the patched rows from the clean ones, and restore them."""

        def edit(value: Tensor) -> Tensor:
            plain, changed = value.chunk(2)
            moved[site] = changed - plain
            return torch.cat([plain, plain])

        return edit

    with torch.inference_mode():
        patterns = [site for site in sites if site.part == "pattern"]
        if patterns:
            reads = {Site(site.layer, "v"): keep_values(site.layer) for site in patterns}
            some.gap(model, reads={**reads, **{site: mix(site) for site in patterns}})
        for part in ("q", "k", "v"):
            here = [site for site in sites if site.part == part]
            if here:
                edits: dict[Site, Edit] = dict.fromkeys(here, _exchange_beside)
                some.gap(model, edits=edits | {Site(site.layer, "z"): restore(site) for site in here}, times=2)
    return moved


def _exchange_beside(value: Tensor) -> Tensor:
    """The clean rows, and then the same rows with the other condition's activations."""
    plain, _ = value.chunk(2)
    return torch.cat([plain, _other(plain)])


def _slopes(
    model: HookedModel, some: _Pass, sites: Sequence[Site], moved: Mapping[Site, Tensor], drop_layers: bool
) -> dict[Site, Float[Tensor, "dropped condition item place"]]:
    """Gradient times change, for one pass: see `first_order_effects`."""
    found: dict[Site, list[Tensor]] = {site: [] for site in sites}
    change: dict[Site, Tensor] = dict(moved)
    here: dict[Site, list[Site]] = {}  # the site of each gradient: the sites whose effects it estimates
    for site in sites:
        # Attention only adds to the stream, so the gradient after attention is the same.
        gradient_part: Part = "z" if site in moved else "attn_out" if site.part == "resid_mid" else site.part
        here.setdefault(Site(site.layer, gradient_part), []).append(site)
    if drop_layers:
        for layer in range(model.n_layers):
            here.setdefault(Site(layer, "attn_out"), [])
            here.setdefault(Site(layer, "mlp_out"), [])
    dropped: list[int | None] = [None]

    def far(site: Site) -> Read:
        def look(value: Tensor) -> None:
            first, second = value.detach().chunk(2)
            change[site] = second - first  # the second condition has the opposite change

        return look

    def tap(place: Site) -> Tap:
        def watch(value: Tensor) -> None:
            if place in found and place not in moved:
                far(place)(value)
            value.register_hook(pull)

        def pull(gradient: Tensor) -> Tensor | None:
            is_dropped = dropped[0] == place.layer and place.part in ("attn_out", "mlp_out")
            for site in here[place]:
                # The stream bypasses a dropped layer, so the layer's own output has no effect.
                slope = torch.zeros_like(gradient) if is_dropped and site == place else gradient
                found[site].append(_times(slope, change[site], model.n_heads_of(site.part), site.part in HEAD_PARTS))
            return torch.zeros_like(gradient) if is_dropped else None

        return watch

    with torch.enable_grad():
        reads = {site: far(site) for site in sites if site.part == "resid_mid"}
        gap = some.gap(model, reads=reads, taps={place: tap(place) for place in here})
        drops: list[int | None] = [None, *(range(model.n_layers) if drop_layers else ())]
        for turn, drop in enumerate(drops):
            dropped[0] = drop
            before = {site: len(values) for site, values in found.items()}
            gap.sum().backward(retain_graph=turn + 1 < len(drops))
            for site, values in found.items():
                if len(values) == before[site]:
                    raise ModelError(f"{model.name}: no gradient reaches {site}, so its effect cannot be estimated")
    return {site: torch.stack(values) for site, values in found.items()}


def _times(
    gradient: Float[Tensor, "row pos *rest"], change: Float[Tensor, "rows pos *rest"], heads: int, is_of_heads: bool
) -> Float[Tensor, "condition item place"]:
    """Gradient times change, by position or by head; heads that share a key or value count as one."""
    if len(change) < len(gradient):
        change = torch.cat([change, -change])
    product = (gradient * change).double()
    if not is_of_heads:
        return reduce(product, "(condition item) pos d -> condition item pos", "sum", condition=2)
    return reduce(
        product, "(condition item) pos (head shared) d -> condition item head", "sum", condition=2, head=heads
    )


def grad_drop(
    found: Float[Tensor, "dropped condition=2 item *place"], part: Part
) -> Float[Tensor, "condition=2 item *place"]:
    """GradDrop (Kramár et al. 2024, arXiv 2403.00745): the mean absolute estimate over dropped layers, one at a time.

    If effects along two paths cancel, the plain estimate is small, but estimates with one path blocked are large.
    Outputs of the dropped layer itself have no estimate and are left out.
    """
    plain, each = found[0].abs(), found[1:].abs()
    layers = len(each)
    if part in ("resid_pre", "resid_mid", "resid_post"):
        return each.mean(0)
    return each.sum(0) / (layers - 1) if layers > 1 else plain
