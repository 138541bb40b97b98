"""Clean prompts layer by layer, so that edited passes start at the edited layer.

Screened sites are measured in the order of their layers. The residual stream before the present layer is kept, and nothing
below it is computed again.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from distractor.errors import ModelError
from distractor.models.hooked_model import HookedModel
from distractor.models.hooks import Read, set_to
from distractor.models.site import Part, Site
from distractor.probing.run import Batch, Run
from distractor.probing.stream import is_close
from distractor.scoring.score import TOKENS_PER_PASS, refuse_nan


class Onward:
    """The clean prompts of a batch at a layer, which moves up."""

    def __init__(self, model: HookedModel, batch: Batch) -> None:
        self.model, self.batch = model, batch
        self.layer = 0
        self.resid: Tensor | None = None  # before the layer: [row pos d_model]; None before the first
        self.tokens = rearrange(batch.tokens, "condition item pos -> (condition item) pos")
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
            split = partial(
                rearrange, pattern="(condition item) ... -> condition item ...", condition=len(self.batch.conditions)
            )
            self.read = layer, {site: split(torch.cat(rows)) for site, rows in seen.items()}
        return self.read[1]

    @torch.inference_mode()
    def gaps(self, edits: Sequence[Mapping[Site, Tensor]]) -> Float[Tensor, "edit condition item"]:
        """The gaps with each of several edits of the same sites, as of `Run.gaps_again`."""
        model, batch = self.model, self.batch
        sites = list(edits[0])
        self._move(min(site.layer for site in sites))
        flat = {site: torch.cat([edit[site].flatten(0, 1) for edit in edits]) for site in sites}
        last = (batch.lengths - 1).repeat(len(batch.conditions))
        answers = batch.answers.repeat(len(batch.conditions), 1)
        found: list[Tensor] = []
        every = torch.arange(len(edits) * len(self.tokens), device=model.device)
        for copies in every.split(max(1, TOKENS_PER_PASS // self.tokens.shape[1])):
            rows, ends = copies % len(self.tokens), list[Tensor]()
            self._run(
                rows,
                model.n_layers,
                {Site(model.n_layers - 1, "resid_post"): ends.append},
                {site: value[copies] for site, value in flat.items()},
            )
            end = ends[0][torch.arange(len(rows), device=rows.device), last[rows]]
            logits = model.answer_logits(end, answers[rows])
            found.append(logits[:, 0] - logits[:, 1])
        gaps = torch.cat(found).reshape(len(edits), len(batch.conditions), len(batch.items))
        refuse_nan(model, batch.items, gaps.flatten(0, 1).T.double().cpu().numpy())
        return gaps

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
        for rows in torch.arange(len(self.tokens), device=self.model.device).split(
            max(1, TOKENS_PER_PASS // self.tokens.shape[1])
        ):
            self._run(rows, layer, {Site(layer - 1, "resid_post"): kept.append, **(reads or {})}, {})
        self.resid, self.layer = torch.cat(kept), layer

    def _run(self, rows: Tensor, stop: int, reads: Mapping[Site, Read], edits: Mapping[Site, Tensor]) -> None:
        """Run some rows from the present layer up to `stop`."""
        start = {} if self.resid is None else {Site(self.layer, "resid_pre"): self.resid[rows]}
        self.model.run_layers(
            self.tokens[rows],
            self.model.make_cache(),
            start=self.layer,
            stop=stop,
            reads=reads,
            edits={site: set_to(value) for site, value in {**start, **edits}.items()},
        )


def why_not_onward(run: Run) -> str:
    """Why a model cannot start at a later layer; empty if it can. Checked without edits on the first item."""
    few = run.batch.take([0])
    layer = run.model.n_layers // 2
    try:
        prompts = Onward(run.model, few)
        site = Site(layer, "mlp_out")
        found = prompts.gaps([{site: prompts.values(layer, ("mlp_out",))[site]}])[0]
    except (ModelError, TypeError, AttributeError, IndexError, KeyError, ValueError, RuntimeError) as error:
        return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
    return "" if is_close(found, run.gap[:, :1], run.model.dtype) else "the logit gaps differ"
