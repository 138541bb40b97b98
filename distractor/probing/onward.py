"""Clean prompts layer by layer, so that edited passes start at the edited layer.

Sites are edited in the order of their layers. The residual stream before the present layer is kept, and nothing below it is
computed again.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from distractor.errors import ModelError
from distractor.models.hooked_model import HookedModel
from distractor.models.hooks import Read, set_to
from distractor.models.model import AttentionMask
from distractor.models.site import Part, Site
from distractor.probing.lines import Lines
from distractor.probing.run import Batch, Run
from distractor.probing.stream import is_close
from distractor.scoring.pass_size import tokens_per_pass
from distractor.scoring.score import refuse_nan


class Onward:
    """The clean prompts of a batch at a layer, which moves up.

    With `share`, tokens at which an item's prompts begin alike are computed once (`Lines`). Then edits must be equal at
    these tokens.
    """

    def __init__(self, model: HookedModel, batch: Batch, *, share: bool = False) -> None:
        self.model, self.batch = model, batch
        self.lines = _lines(model, batch, share=share)
        self.layer = 0
        self.resid: Tensor | None = None  # before the layer: [line place d_model]; None before the first
        self.after: Tensor | None = None  # behind the layer that was read
        self.read: tuple[int, dict[Site, Tensor]] | None = None  # a layer that was read

    @torch.inference_mode()
    def values(self, layer: int, parts: Sequence[Part]) -> Mapping[Site, Float[Tensor, "condition item pos *rest"]]:
        """The clean activations of a layer, which is at or above the present one; the prompts move behind it."""
        if self.read is None or self.read[0] != layer:
            self._move(layer)
            before = self.resid
            seen: dict[Site, list[Tensor]] = {Site(layer, part): [] for part in parts}
            self._move(layer + 1, {site: rows.append for site, rows in seen.items()})
            self.after, self.resid, self.layer = self.resid, before, layer
            self.read = layer, {site: torch.cat(rows).flatten(0, 1)[self.lines.place] for site, rows in seen.items()}
        return self.read[1]

    @torch.inference_mode()
    def gaps(self, edits: Sequence[Mapping[Site, Tensor]]) -> Float[Tensor, "edit condition item"]:
        """The gaps with each of several edits of the same sites, as of `Run.gaps_again`."""
        model, batch, lines = self.model, self.batch, self.lines
        sites = list(edits[0])
        self._move(min(site.layer for site in sites))
        in_lines = {site: torch.cat([self._laid_out(edit[site]) for edit in edits]) for site in sites}
        conditions, items = range(len(batch.conditions)), torch.arange(len(batch.items), device=model.device)
        slots = torch.cat([lines.place[c, items, batch.lengths - 1] for c in conditions])
        line, place = slots // lines.tokens.shape[1], slots % lines.tokens.shape[1]
        answers = batch.answers.repeat(len(conditions), 1)
        found = torch.zeros(len(edits), len(slots), dtype=model.dtype, device=model.device)
        is_slot = torch.zeros_like(lines.tokens, dtype=torch.bool)
        is_slot[line, place] = True
        for copies in torch.arange(len(edits) * len(lines.tokens), device=model.device).split(self._lines_per_pass):
            ends: list[Tensor] = []
            self._run(
                copies % len(lines.tokens),
                model.n_layers,
                {Site(model.n_layers - 1, "resid_post"): ends.append},
                {site: value[copies] for site, value in in_lines.items()},
                is_slot[copies % len(lines.tokens)],
            )
            row, slot = (copies[:, None] % len(lines.tokens) == line).nonzero(as_tuple=True)
            logits = model.answer_logits(ends[0][row, place[slot]], answers[slot])
            found[copies[row] // len(lines.tokens), slot] = logits[:, 0] - logits[:, 1]
        gaps = found.unflatten(1, (len(conditions), len(items)))
        refuse_nan(model, batch.items, gaps.flatten(0, 1).T.double().cpu().numpy())
        return gaps

    @property
    def _lines_per_pass(self) -> int:
        return max(1, tokens_per_pass() // self.lines.tokens.shape[1])

    def _laid_out(self, value: Float[Tensor, "condition item pos *rest"]) -> Float[Tensor, "line place *rest"]:
        """The values of an edit at each place."""
        laid_out = value.flatten(0, 2)[self.lines.source.clamp(min=0)]
        is_token = torch.arange(value.shape[2], device=value.device) < self.batch.lengths[:, None]
        if not torch.equal(laid_out.flatten(0, 1)[self.lines.place][:, is_token], value[:, is_token]):
            raise ValueError("an item's prompts share tokens, so an edit must be equal there under all conditions")
        return laid_out

    def _move(self, layer: int, reads: Mapping[Site, Read] | None = None) -> None:
        """Compute the residual stream before a layer."""
        if layer < self.layer:
            raise ValueError(f"the prompts are at layer {self.layer} already; edit layers in ascending order")
        if layer == self.layer:
            return
        if self.read is not None and self.read[0] == self.layer and not reads:
            self.resid, self.layer, self.read = self.after, self.layer + 1, None
            self._move(layer)
            return
        kept: list[Tensor] = []
        for rows in torch.arange(len(self.lines.tokens), device=self.model.device).split(self._lines_per_pass):
            self._run(rows, layer, {Site(layer - 1, "resid_post"): kept.append, **(reads or {})}, {})
        self.resid, self.layer = torch.cat(kept), layer

    def _run(
        self,
        rows: Tensor,
        stop: int,
        reads: Mapping[Site, Read],
        edits: Mapping[Site, Tensor],
        ends: Bool[Tensor, "row place"] | None = None,
    ) -> None:
        """Run some lines from the present layer up to `stop`; `ends` are the places whose last residual stream is needed."""
        start = {} if self.resid is None else {Site(self.layer, "resid_pre"): self.resid[rows]}
        mask = self.lines.mask
        some = None if mask is None else AttentionMask(mask.positions[rows], mask.visible[rows])
        self.model.run_layers(
            self.lines.tokens[rows],
            self.model.make_cache(),
            start=self.layer,
            stop=stop,
            mask=some,
            reads=reads,
            edits={site: set_to(value) for site, value in {**start, **edits}.items()},
            ends=ends,
        )


def _lines(model: HookedModel, batch: Batch, *, share: bool) -> Lines:
    """Several prompts in a line; one prompt if the model's attention changes within such a line."""
    lines = Lines.of(batch, share=share)
    limit = model.shared_length
    return lines if limit is None or lines.tokens.shape[1] <= limit else Lines.plain(batch)


def why_not_onward(run: Run, *, share: bool = False) -> str:
    """Why a model cannot start at a later layer, or cannot have several prompts in a line; empty if it can.

    Checked without edits on the items of the first line.
    """
    items = list(_lines(run.model, run.batch, share=share).items[0])
    layer = run.model.n_layers // 2
    try:
        prompts = Onward(run.model, run.batch.take(items), share=share)
        site = Site(layer, "mlp_out")
        found = prompts.gaps([{site: prompts.values(layer, ("mlp_out",))[site]}])[0]
    except (ModelError, TypeError, AttributeError, IndexError, KeyError, ValueError, RuntimeError) as error:
        return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
    return "" if is_close(found, run.gap[:, items], run.model.dtype) else "the logit gaps differ"
