"""Gradients of the logit gap at sites, and first-order estimates of exchanges at the answer slot."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from distractor.errors import ModelError
from distractor.models.hook_check import require_full_precision
from distractor.models.hooked_model import HookedModel
from distractor.models.hooks import Tap
from distractor.models.site import Site
from distractor.probing.patching import SLOPES
from distractor.probing.run import Batch, Run
from distractor.scoring.score import refuse_nan, rows_per_pass
from distractor.text.task import Condition

Visit = Callable[[Site, Int[Tensor, " row"], Tensor, Tensor], None]
"""Receives a site (all heads), some rows of a batch (condition by condition), and their activation and gradient there."""


def visit_slopes(model: HookedModel, batch: Batch, sites: Sequence[Site], visit: Visit) -> None:
    """Pass the activation and the gradient of the logit gap at each site to `visit`: one forward and one backward pass.

    Raises ModelError if a site does not exist or no gradient reaches it, or the model is in half precision.
    """
    require_full_precision(model)
    tokens = rearrange(batch.tokens, "condition item pos -> (condition item) pos")
    last, answers = (batch.lengths - 1).repeat(len(batch.conditions)), batch.answers.repeat(len(batch.conditions), 1)
    rows_at_once = max(1, rows_per_pass(tokens.shape[1], len(last.unique()), model.vocab) // SLOPES)
    reached: set[Site] = set()

    def tap(site: Site, rows: Tensor) -> Tap:
        def watch(value: Tensor) -> None:
            def pull(gradient: Tensor) -> None:
                reached.add(site)
                visit(site, rows, value.detach(), gradient)

            value.register_hook(pull)

        return watch

    for rows in torch.arange(len(tokens), device=model.device).split(rows_at_once):
        keep, place = last[rows].unique(return_inverse=True)
        with torch.enable_grad():
            log_probs = model.log_probs(tokens[rows], keep, taps={site: tap(site, rows) for site in sites})
            true, distractor = log_probs[torch.arange(len(rows)), place].gather(1, answers[rows]).unbind(-1)
            (true - distractor).sum().backward()
    if missing := [site for site in sites if site not in reached]:
        raise ModelError(f"{model.name}: no gradient reaches {missing[0]}, so its effect cannot be estimated")


def exchange_slopes(run: Run, sites: Sequence[Site], condition: Condition) -> dict[str, Float[np.ndarray, "site item"]]:
    """First-order estimates of `transplant` and `knock_out` (`Exchanges`) between a run and one of its `others`, in nats.

    Sites are heads and MLPs; one forward and one backward pass for each of the two conditions.
    """
    parts = list(dict.fromkeys(Site(site.layer, site.part) for site in sites))
    (into, slope_into), (source, slope_source) = (
        _at_slot(run.model, batch, parts) for batch in (run.batch, run.others[condition].batch)
    )
    found: dict[str, list[Tensor]] = {"transplant": [], "knock_out": []}
    for site in sites:
        part = Site(site.layer, site.part)
        change = source[part] - into[part]
        for exchange, slope in (("transplant", slope_into), ("knock_out", slope_source)):
            product = -(slope[part] * change).double()
            found[exchange].append(product.flatten(1).sum(1) if site.head is None else product[:, site.head].sum(-1))
    estimates = {name: torch.stack(rows).cpu().numpy() for name, rows in found.items()}
    for values in estimates.values():
        refuse_nan(run.model, run.batch.items, values.T, "gradients")
    return estimates


def _at_slot(
    model: HookedModel, batch: Batch, parts: Sequence[Site]
) -> tuple[dict[Site, Float[Tensor, "item *rest"]], dict[Site, Float[Tensor, "item *rest"]]]:
    """The activations at the answer slot under a batch's only condition, and the gradients of the gap there."""
    values: dict[Site, list[Tensor]] = {part: [] for part in parts}
    slopes: dict[Site, list[Tensor]] = {part: [] for part in parts}

    def keep(site: Site, rows: Tensor, value: Tensor, gradient: Tensor) -> None:
        every, last = torch.arange(len(rows), device=rows.device), batch.lengths[rows] - 1
        values[site].append(value[every, last])
        slopes[site].append(gradient[every, last])

    visit_slopes(model, batch, parts, keep)
    return {site: torch.cat(rows) for site, rows in values.items()}, {
        site: torch.cat(rows) for site, rows in slopes.items()
    }
