"""Path patching: the logit gap if only some receivers get a sender's output from the other prompt of the pair.

Wang et al. 2022, arXiv 2211.00593; Goldowsky-Dill et al. 2023, arXiv 2304.05969. Everything between sender and receivers
keeps its clean value, MLPs included, so that a path is direct. Everything after a receiver is computed again.

A pass holds two copies of the prompts. The second copy has the sender's change in its residual stream. In a receiver's layer,
the first copy takes over the receiver's query, key, value or MLP output from the second one, and nothing else.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor

from distractor.models.hook_check import require_full_precision
from distractor.models.hooked_model import HookedModel
from distractor.models.hooks import Edit, set_to
from distractor.models.model import AttentionMask
from distractor.models.site import HEAD_PARTS, Site
from distractor.probing.cached_patching import CachedPatching, Packed, pack
from distractor.probing.patching import CLEAN_TOKENS
from distractor.probing.paths import LOGITS, Receiver
from distractor.probing.run import Batch, Run
from distractor.scoring.pass_size import tokens_per_pass
from distractor.scoring.score import refuse_nan


@torch.inference_mode()
def path_gaps(
    run: Run, senders: Sequence[Site], receivers: Sequence[Receiver], *, whole_prompts: bool = False
) -> Float[Tensor, "sender condition=2 item"]:
    """The logit gap of each prompt if all `receivers` get the output of one sender from the other prompt.

    A receiver gets the change on top of what receivers before it change. NaN for a sender that is before no receiver.
    `whole_prompts` computes all positions, for models without support for cached patching (`check_paths`).

    Raises:
        ModelError: a sender or a receiver does not exist, a log-probability is NaN, or the model is in half precision.
    """
    model, batch = run.model, run.batch
    require_full_precision(model)
    for site in (*senders, *(receiver.site for receiver in receivers)):
        if site is not None:
            model.hook_name(site)
    found = torch.full((len(senders), 2, len(batch.items)), torch.nan, dtype=torch.float64, device=model.device)
    is_parallel = "resid_mid" not in model.parts
    before = [k for k, s in enumerate(senders) if any(r.is_after(s, is_parallel=is_parallel) for r in receivers)]
    size = max(1, min(CLEAN_TOKENS, tokens_per_pass() // 2) // (2 * batch.tokens.shape[2]))
    for some in torch.arange(len(batch.items), device=model.device).split(size) if before else ():
        paths = _Paths.of(model, batch, some, [senders[k] for k in before], receivers, whole_prompts=whole_prompts)
        found[before, :, some[:, None]] = paths.gaps().double()
    values = rearrange(found[before], "sender condition item -> item (sender condition)")
    refuse_nan(model, batch.items, values.cpu().numpy())
    return found


def first_difference(batch: Batch) -> Int[Tensor, " item"]:
    """The first position at which the two prompts of each item differ; 0 if they are equal."""
    return (batch.tokens[0] != batch.tokens[1]).int().argmax(-1)


@dataclass(frozen=True, eq=False)
class _Paths:
    """Paths from each of some senders to all of some receivers, in a few items.

    Rows are the prompts of the first condition, then of the second. `written` is what all heads of a layer write together.
    """

    clean: CachedPatching
    tokens: Int[Tensor, "row pos"]
    first: Int[Tensor, " row"]
    answers: Int[Tensor, "row answer=2"]
    senders: Sequence[Site]
    receivers: Sequence[Receiver]
    written: Mapping[int, Float[Tensor, "row pos d_model"]]
    whole_prompts: bool

    @classmethod
    def of(
        cls,
        model: HookedModel,
        batch: Batch,
        some: Int[Tensor, " item"],
        senders: Sequence[Site],
        receivers: Sequence[Receiver],
        *,
        whole_prompts: bool,
    ) -> "_Paths":
        """Run the prompts, and store what the paths need."""
        length = int(batch.lengths[some].max())
        tokens = rearrange(batch.tokens[:, some, :length], "condition item pos -> (condition item) pos")
        lengths = batch.lengths[some]
        is_at_slot = all(_matters_at_slot_only(receiver, model.n_layers) for receiver in receivers)
        first = lengths - 1 if is_at_slot else first_difference(batch)[some]
        sites = [Site(model.n_layers - 1, "resid_post"), *(Site(sender.layer, sender.part) for sender in senders)]
        clean = CachedPatching.of(model, tokens, lengths.repeat(2), list(dict.fromkeys(sites)))
        layers = {sender.layer for sender in senders if sender.part == "z"}
        written = {layer: model.attention_output(layer, clean.seen[Site(layer, "z")]) for layer in layers}
        answers = batch.answers[some].repeat(2, 1)
        return cls(clean, tokens, first.repeat(2), answers, senders, receivers, written, whole_prompts)

    def gaps(self) -> Float[Tensor, "item sender condition=2"]:
        """The gap of each path."""
        clean, rows = self.clean, len(self.tokens)
        row = torch.arange(rows, device=self.tokens.device).repeat(len(self.senders))
        found = torch.zeros(len(row), dtype=clean.model.dtype, device=row.device)
        for packed in self._pack(row, tokens_per_pass() // 2):  # each token has two copies
            is_last = (packed.cells >= 0) & (packed.positions == clean.lengths[packed.rows][:, None] - 1)
            which = packed.cells[is_last]
            change = self._change(packed)
            end = self._end(packed, change)[is_last] + (change[is_last] if LOGITS in self.receivers else 0)
            logits = clean.model.answer_logits(end, self.answers[row[which]])
            found[which] = logits[:, 0] - logits[:, 1]
        return rearrange(
            found, "(sender condition item) -> item sender condition", sender=len(self.senders), condition=2
        )

    def _pack(self, row: Int[Tensor, " cell"], tokens_a_pass: int) -> Iterator[Packed]:
        """The paths in lines; each has one whole prompt if `whole_prompts`."""
        if not self.whole_prompts:
            yield from pack(row, self.first[row], self.clean.lengths, tokens_a_pass)
            return
        length = self.tokens.shape[1]
        for cells in torch.arange(len(row), device=row.device).split(max(1, tokens_a_pass // length)):
            positions = torch.arange(length, device=row.device).repeat(len(cells), 1)
            is_token = positions < self.clean.lengths[row[cells]][:, None]
            yield Packed(row[cells], torch.where(is_token, cells[:, None], -1), positions, torch.zeros_like(positions))

    def _change(self, packed: Packed) -> Float[Tensor, "line place d_model"]:
        """What the sender of each token's path adds to the residual stream in the other prompt, minus that in its own."""
        clean, model = self.clean, self.clean.model
        number = packed.cells // len(self.tokens)
        rows = packed.rows[:, None].expand_as(number)
        partners = torch.arange(len(self.tokens), device=rows.device).roll(len(self.tokens) // 2)
        change = torch.zeros(*number.shape, model.d_model, dtype=model.dtype, device=rows.device)
        for kind in dict.fromkeys(Site(sender.layer, sender.part) for sender in self.senders):
            is_of_kind = [(sender.layer, sender.part) == (kind.layer, kind.part) for sender in self.senders]
            here = torch.tensor([*is_of_kind, False], device=rows.device)[number]  # padding has the number −1
            row, position = rows[here], packed.positions[here]
            given = clean.seen[kind][partners[row], position]
            if kind.part == "z":
                of_path = torch.tensor([sender.head or 0 for sender in self.senders], device=rows.device)[number[here]]
                z, every = clean.seen[kind][row, position], torch.arange(len(row), device=rows.device)
                z[every, of_path] = given[every, of_path]
                change[here] = model.attention_output(kind.layer, z[:, None])[:, 0]
                change[here] -= self.written[kind.layer][row, position]
            else:
                change[here] = given - clean.seen[kind][row, position]
        return change

    def _end(self, packed: Packed, change: Float[Tensor, "line place d_model"]) -> Float[Tensor, "line place d_model"]:
        """The last residual stream, by cached patching. Only the receivers' layers run both copies."""
        clean, model = self.clean, self.clean.model
        edits = self._edits(packed, change)
        starts = sorted({site.layer for site in edits})
        start = Site(starts[0], "resid_pre") if starts else Site(model.n_layers - 1, "resid_post")
        resid = clean.seen[start][packed.rows[:, None], packed.positions]
        for layer, following in zip(starts, [*starts, model.n_layers][1:], strict=True):
            here = {site: edit for site, edit in edits.items() if site.layer == layer}
            both = here.pop(Site(layer, "resid_pre"))(torch.cat([resid, resid]))
            resid, _ = self._layers(packed, both, layer, layer + 1, here, copies=2).chunk(2)
            if layer + 1 < following:
                resid = self._layers(packed, resid, layer + 1, following)
        return resid

    def _layers(
        self,
        packed: Packed,
        resid: Float[Tensor, "line place d_model"],
        start: int,
        stop: int,
        edits: Mapping[Site, Edit] | None = None,
        copies: int = 1,
    ) -> Float[Tensor, "line place d_model"]:
        """The residual stream after layer `stop` − 1, if it is `resid` before the layer `start`."""
        model, rows, positions = self.clean.model, packed.rows.repeat(copies), packed.positions.repeat(copies, 1)
        past: list[tuple[Tensor, Tensor]] = []
        mask: AttentionMask | None = None
        if not self.whole_prompts:
            mask = AttentionMask(positions, packed.mask.visible.repeat(copies, 1, 1))
            # For layers that are left out, only the length of the cache is needed.
            chosen = [rows if start <= layer < stop else rows[:1] for layer in range(model.n_layers)]
            cached = zip(self.clean.past, chosen, strict=True)
            past = [(k[some, :, : packed.known], v[some, :, : packed.known]) for (k, v), some in cached]
        ends: list[Tensor] = []
        model.run_layers(
            self.tokens[rows[:, None], positions],
            model.make_cache(past),
            start=start,
            stop=stop,
            mask=mask,
            reads={Site(stop - 1, "resid_post"): ends.append},
            edits={Site(start, "resid_pre"): set_to(resid), **(edits or {})},
        )
        return ends[0]

    def _edits(self, packed: Packed, change: Float[Tensor, "line place d_model"]) -> dict[Site, Edit]:
        """The edits of a pass with two copies: the second gets the change, and its receivers' values go into the first."""
        is_parallel = "resid_mid" not in self.clean.model.parts
        heads: dict[Site, list[int]] = {}
        for site in (receiver.site for receiver in self.receivers if receiver.site is not None):
            heads.setdefault(Site(site.layer, site.part), []).append(site.head or 0)
        edits: dict[Site, Edit] = {}
        for site, of_site in heads.items():
            into_layer, into_mlp = (
                change * self._is_before(Receiver(Site(site.layer, part)), packed, is_parallel=is_parallel)[..., None]
                for part in ("q", "mlp_out")
            )
            edits[Site(site.layer, "resid_pre")] = _add_to_second(into_layer)
            if site.part == "mlp_out":
                edits[Site(site.layer, "attn_out")] = _add_to_second(into_mlp - into_layer)
            edits[site] = _take_over(of_site if site.part in HEAD_PARTS else None)
        return edits

    def _is_before(self, receiver: Receiver, packed: Packed, *, is_parallel: bool) -> Bool[Tensor, "line place"]:
        """Whether the sender of each token's path is before a receiver."""
        answers = [receiver.is_after(sender, is_parallel=is_parallel) for sender in self.senders]
        return torch.tensor([*answers, False], device=packed.cells.device)[packed.cells // len(self.tokens)]


def _matters_at_slot_only(receiver: Receiver, n_layers: int) -> bool:
    """Whether a change of the receiver reaches the output only at the answer slot."""
    site = receiver.site
    return site is None or (site.layer == n_layers - 1 and site.part in ("q", "mlp_out"))


def _add_to_second(change: Tensor) -> Edit:
    """The second copy gets the first one's value plus a change."""

    def add(value: Tensor) -> Tensor:
        plain, _ = value.chunk(2)
        return torch.cat([plain, plain + change])

    return add


def _take_over(heads: Sequence[int] | None) -> Edit:
    """The first copy gets the second one's value, or that of some heads."""

    def take(value: Tensor) -> Tensor:
        plain, changed = value.chunk(2)
        if heads is None:
            return torch.cat([changed, changed])
        taken = plain.clone()
        taken[:, :, heads] = changed[:, :, heads]
        return torch.cat([taken, changed])

    return take
