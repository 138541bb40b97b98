"""Whether the distractor's answer is still written if there is a true cue, and whether it still counts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from distractor.models.site import Part, Site
from distractor.probing.probe import GRADIENTS, Probe
from distractor.probing.screening import Screening
from distractor.text.task import Condition, Task

# Stored readings are found by a probe's settings alone, so slow imports wait until a probe is called.
if TYPE_CHECKING:
    from numpy import ndarray
    from torch import Tensor
    from xarray import DataArray

    from distractor.models.hooked_model import HookedModel
    from distractor.probing.joint_choice import JointOf
    from distractor.probing.probe import Extent
    from distractor.probing.run import Batch, Run
    from distractor.probing.screening import Picked
    from distractor.probing.strengths import Half
    from distractor.probing.transplants import Exchanges

ALONE, TRUE = Condition.DISTRACTOR_ONLY, Condition.TRUE_ONLY
PAIR = Condition.CONFLICT, Condition.CONGRUENT
CONFLICT = 2  # the number of the condition `conflict` in a reading
OBSERVED = 4  # times that each prompt runs
CHOOSING = 12  # tokens of an item for each candidate, while sites are chosen together
LEAST = 0.05  # a site with a smaller share of the effect of all sites is not looked at


@dataclass(frozen=True)
class Overcoming(Probe):
    """How the distractor is overcome: what sites write with and without the true cue, measured in neutral prompts.

    *Transplant*: a site of the neutral prompt takes its value at the answer slot from the same item under another
    condition. Its effect w = gap(neutral) − gap(neutral with the transplant), in nats, is positive towards the
    distractor's answer. *Knock-out*: a site of another condition takes its value at the answer slot from the neutral
    prompt. Its effect is gap(knocked out) − gap(clean), again positive if the site writes the distractor's answer.

    Sites are heads and MLPs. A site is *shared* if its |w| in `true_only` is at least `shared_from` of its w in
    `distractor_only`, or likewise for knock-outs. Other sites are *chosen* one by one, always the one that makes the
    joint w in `distractor_only` largest, until `share` of the w of all sites is reached. Of sites that make it equally
    large (a chain), the last one is chosen. At most `candidates` sites are considered. Sites are chosen on half of the
    item groups (coordinate `is_choosing`).

    Sites that write the true answer (`true`) are chosen in the same way, from all sites, by T as transplants show it:
    half of w in `congruent` minus w in `conflict`.

    The reading is [exchange component condition item]. Its last components are sets of sites that are exchanged together:
    `chosen`, `unshared`, `shared`, `true` and `all`. Knock-outs of single sites in `conflict` and `congruent` are not
    measured. Coordinates are `gap` and `final_norm` (the scale of the final norm) for each condition, and `neutral_gap`.

    If the chosen sites are silent in `conflict`, the component `latent` is what they write there once the attribute
    `suppressors`, other heads and MLPs, hold no cue (`distractor.probing.latent`). `random` is ω for random sets of other
    sites, drawn with the random seed `seed`.

    With `screening`, models with many sites are screened by gradients, and single sites are measured where their estimated
    effects are largest, in `distractor_only` or on T, and at a random sample of the others. The other sites are NaN, and
    belong to no set but `all`. The attribute `screening` bounds the effects that were missed.

    Raises:
        EncodeError: the task lacks a condition.
        TaskError: the items have fewer than two groups.
    """

    share: float = 0.8
    shared_from: float = 0.2
    candidates: int = 24
    seed: int = 0
    screening: Screening | None = None
    conditions: ClassVar[tuple[Condition, ...]] = (Condition.NEUTRAL,)
    others: ClassVar[tuple[Condition, ...]] = (ALONE, TRUE, Condition.CONFLICT, Condition.CONGRUENT)
    writes: ClassVar[tuple[Part, ...]] = ("z", "mlp_out")
    slot_parts: ClassVar[tuple[Part, ...]] = ("resid_post",)

    def cost(self, extent: "Extent") -> float:
        """All prompts a few times, gradients, and one token for each transplant; without the test of latent sites.

        A transplant computes the layers above its site, in small passes.
        """
        prompts = extent.under(*self.conditions, *self.others)
        is_screened = self.screening is not None and self.screening.is_needed(extent.sites)
        gradients = GRADIENTS * extent.under(*self.conditions, ALONE) if is_screened else 0
        measured = self.screening.measured if is_screened and self.screening else extent.sites
        return OBSERVED * prompts + gradients + extent.items * (3 * measured + CHOOSING * self.candidates)

    def posed(self, task: Task) -> Task:
        """The task whose `distractor_only` differs from `neutral` by the distractor's cue alone, if there is one."""
        return task.with_cue_alone()

    @property
    def unscreened(self) -> "Overcoming":
        """The same probe, which measures every site."""
        return replace(self, screening=None)

    def sites(self, model: "HookedModel") -> Sequence[Site]:
        """The last residual stream."""
        return [Site(model.n_layers - 1, "resid_post")]

    def __call__(self, run: "Run") -> "DataArray":
        """The effects of transplants and knock-outs on each item."""
        import numpy as np
        import torch
        from xarray import DataArray

        from distractor.errors import TaskError
        from distractor.probing.latent import Silenced
        from distractor.probing.stream import at_slot
        from distractor.probing.strengths import first_half
        from distractor.probing.transplants import Exchanges
        from distractor.statistics.overcoming import NEAR_0, POSITIVE

        items = run.batch.items
        if len({item.group for item in items}) < 2:
            raise TaskError(f"all {len(items)} items are of one group, but sites are chosen on half of the groups")
        exchanges = Exchanges.of(run)
        components = tuple(run.model.components)
        half = first_half([item.group for item in items], items)
        picked = self._picked(run, exchanges, components, half)
        every = components if picked is None else tuple(components[k] for k in picked.measured)
        single = {
            "transplant": exchanges.transplant([(site,) for site in every], self.others),
            "knock_out": exchanges.knock_out([(site,) for site in every], (ALONE, TRUE)),
        }
        total = float(exchanges.transplant([components], (ALONE,))[0, 0, half].mean())
        means = {name: values[:, :2, half].mean(-1) for name, values in single.items()}  # [site, alone or true]
        is_active = means["transplant"][:, 0] > LEAST * max(total, 0)
        alone, true = (np.abs(np.stack([means[exchange][:, k] for exchange in single])) for k in (0, 1))
        # A knock-out without an effect in `distractor_only` has a ratio of noise.
        is_shared = ((true >= self.shared_from * alone) & (true >= [[0.0], [LEAST * abs(total)]])).any(0)
        order = np.argsort(-means["transplant"][:, 0], kind="stable")
        unshared = tuple(every[k] for k in order if is_active[k] and not is_shared[k])

        def alone_of(sets: "Sequence[Sequence[Site]]") -> "ndarray":
            return exchanges.transplant(sets, (ALONE,), half)[:, 0].mean(-1)

        def true_of(sets: "Sequence[Sequence[Site]]") -> "ndarray":
            conflict, congruent = exchanges.transplant(sets, PAIR, half).mean(-1).T
            return (congruent - conflict) / 2

        chosen, joint = self._chosen(alone_of, unshared, total)
        total_true = float(true_of([components])[0])
        of_single = single["transplant"][..., half].mean(-1)
        true_single = (of_single[:, CONFLICT + 1] - of_single[:, CONFLICT]) / 2
        by_true = [every[k] for k in np.argsort(-true_single, kind="stable") if true_single[k] > LEAST * total_true]
        writes_true, _ = self._chosen(true_of, by_true, total_true)
        shared = tuple(every[k] for k in order if is_active[k] and is_shared[k])
        sets = {"chosen": chosen, "unshared": unshared, "shared": shared, "true": writes_true, "all": components}
        together = list(sets.values())
        screened: dict[str, Any] = {}
        if picked is not None:
            exact = np.stack([*(of_exchange[:, 0] for of_exchange in means.values()), true_single])
            screened = {"screening": picked.report(components, exact, LEAST * abs(total))}
            single = {exchange: picked.spread(of_exchange) for exchange, of_exchange in single.items()}
        absent = np.full((len(components), 2, len(items)), np.nan)
        values = np.stack(
            [
                np.concatenate([single["transplant"], exchanges.transplant(together, self.others)]),
                np.concatenate(
                    [
                        np.concatenate([single["knock_out"], absent], 1),
                        exchanges.knock_out(together, self.others),
                    ]
                ),
            ]
        )
        names = [*map(str, components), *sets]
        latent: dict[str, Any] = {}
        of_chosen = values[0, len(components)]  # [condition item]
        if chosen and NEAR_0[0] < of_chosen[CONFLICT][half].mean() / of_chosen[0][half].mean() < POSITIVE[0]:
            test = Silenced(run, chosen, of_chosen[0], half, self.screening).latent(self.seed)
            row = np.full((2, 1, *values.shape[2:]), np.nan)
            row[0, 0, CONFLICT] = test.written
            values, names = np.concatenate([values, row], 1), [*names, "latent"]
            latent = {"suppressors": [str(site) for site in test.suppressors], "random": list(test.random)}
            if test.screening is not None:
                latent["suppressor_screening"] = dict(test.screening)
        last = Site(run.model.n_layers - 1, "resid_post")
        norms = torch.stack([run.model.final_norm_scale(at_slot(run.others[c], last))[0] for c in self.others])
        gaps = torch.stack([run.others[c].gap[0] for c in self.others])
        return DataArray(
            values,
            dims=["exchange", "component", "condition", "item"],
            coords={
                "exchange": ["transplant", "knock_out"],
                "component": names,
                "condition": [str(condition) for condition in self.others],
                "item": [item.id for item in items],
                "is_choosing": ("item", half),
                "neutral_gap": ("item", run.gap[0].double().cpu().numpy()),
                "gap": (("condition", "item"), gaps.double().cpu().numpy()),
                "final_norm": (("condition", "item"), norms.double().cpu().numpy()),
            },
            name="overcoming",
            attrs={
                "quantity": "effect towards the distractor's answer",
                "unit": "nats",
                "origin": f"transplants at the answer slot of {run.model.name}",
                "absent": "not measured",
                "chosen": [str(site) for site in chosen],
                "joint": joint,
                "total": total,
                "shared": [str(site) for site in shared],
                "true": [str(site) for site in writes_true],
                "same_last_token": _share_with_same_last_token(run),
            }
            | latent
            | screened
            | ({"whole_prompts": exchanges.why} if exchanges.why else {}),
        )

    def _picked(self, run: "Run", exchanges: "Exchanges", components: Sequence[Site], half: "Half") -> "Picked | None":
        """The sites to measure, by estimates on the half; None if all are measured."""
        import numpy as np

        from distractor.probing.slopes import exchange_slopes

        if self.screening is None or not self.screening.is_needed(len(components)):
            return None
        estimates = exchange_slopes(run, components, ALONE, [exchanges.clean.values(c) for c in PAIR])
        return self.screening.pick(np.stack([of_exchange[:, half].mean(-1) for of_exchange in estimates.values()]))

    def _chosen(self, joint_of: "JointOf", sites: Sequence[Site], total: float) -> tuple[tuple[Site, ...], list[float]]:
        """The sites chosen by the joint effects of sets, up to `share` of `total`, and the joint effect after each one."""
        from distractor.probing.joint_choice import choose_jointly

        some = sites[: self.candidates] if total > 0 else ()
        return choose_jointly(joint_of, some, until=self.share * total, most=len(some))


def _share_with_same_last_token(run: "Run") -> float:
    """The share of items whose prompts end in the same token under `neutral` and `distractor_only`."""
    import torch

    def last(batch: "Batch") -> "Tensor":
        return batch.tokens[0, torch.arange(len(batch.items)), batch.lengths - 1]

    return float((last(run.batch) == last(run.others[ALONE].batch)).double().mean())
