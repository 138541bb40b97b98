"""Gradients of the logit gap at sites, and first-order estimates of exchanges at the answer slot."""

from collections.abc import Callable, Mapping, Sequence

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
from distractor.probing.run import Batch, Run, by_length
from distractor.scoring.pass_size import rows_per_pass
from distractor.scoring.score import refuse_nan
from distractor.text.task import Condition

Visit = Callable[[Site, Int[Tensor, " row"], Tensor, Tensor], None]
"""Receives a site (all heads), some rows of a batch (condition by condition), and their activation and gradient there."""


def visit_slopes(model: HookedModel, batch: Batch, sites: Sequence[Site], visit: Visit) -> None:
    """Pass the activation and the gradient of the logit gap at each site to `visit`: one forward and one backward pass.

    Rows of similar length are visited together, the longest first; positions behind the longest are left out.

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

    for together in by_length((last + 1).tolist(), lambda _: rows_at_once):
        rows = torch.tensor(together, device=model.device)
        keep, place = last[rows].unique(return_inverse=True)
        with torch.enable_grad():
            log_probs = model.log_probs(
                tokens[rows, : last[rows].max() + 1], keep, taps={site: tap(site, rows) for site in sites}
            )
            true, distractor = log_probs[torch.arange(len(rows)), place].gather(1, answers[rows]).unbind(-1)
            (true - distractor).sum().backward()
    if missing := [site for site in sites if site not in reached]:
        raise ModelError(f"{model.name}: no gradient reaches {missing[0]}, so its effect cannot be estimated")


def exchange_slopes(
    run: Run, sites: Sequence[Site], condition: Condition, pair: Sequence[Mapping[Site, Tensor]] = ()
) -> dict[str, Float[np.ndarray, "site item"]]:
    """First-order estimates of `transplant` and `knock_out` (`Exchanges`) between a run and one of its `others`, in nats.

    Sites are heads and MLPs; one forward and one backward pass for each of the two conditions. With the activations at the
    answer slot under a `pair` of conditions, also of `true`: half the transplant from the second minus that from the first.
    """
    parts = list(dict.fromkeys(Site(site.layer, site.part) for site in sites))
    (into, slope_into), (source, slope_source) = (
        _at_slot(run.model, batch, parts) for batch in (run.batch, run.others[condition].batch)
    )
    changes = {
        "transplant": {part: (source[part] - into[part], slope_into[part]) for part in parts},
        "knock_out": {part: (source[part] - into[part], slope_source[part]) for part in parts},
    }
    if pair:
        first, second = pair
        changes["true"] = {part: ((second[part] - first[part]) / 2, slope_into[part]) for part in parts}
    estimates: dict[str, np.ndarray] = {}
    for name, of_part in changes.items():
        products = {part: -(change * slope).double() for part, (change, slope) in of_part.items()}
        of_site = [
            product.flatten(1).sum(1) if site.head is None else product[:, site.head].sum(-1)
            for site in sites
            for product in (products[Site(site.layer, site.part)],)
        ]
        estimates[name] = torch.stack(of_site).cpu().numpy()
        refuse_nan(run.model, run.batch.items, estimates[name].T, "gradients")
    return estimates


def _at_slot(
    model: HookedModel, batch: Batch, parts: Sequence[Site]
) -> tuple[dict[Site, Float[Tensor, "item *rest"]], dict[Site, Float[Tensor, "item *rest"]]]:
    """The activations at the answer slot under a batch's only condition, and the gradients of the gap there."""
    values: dict[Site, Tensor] = {}
    slopes: dict[Site, Tensor] = {}

    def keep(site: Site, rows: Tensor, value: Tensor, gradient: Tensor) -> None:
        every, last = torch.arange(len(rows), device=rows.device), batch.lengths[rows] - 1
        for found, here in ((values, value), (slopes, gradient)):
            of_site = found.setdefault(site, here.new_zeros(len(batch.items), *here.shape[2:]))
            of_site[rows] = here[every, last]

    visit_slopes(model, batch, parts, keep)
    return values, slopes
