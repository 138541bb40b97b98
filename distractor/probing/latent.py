"""The latent distractor test: which sites silence the distractor, shown by what silenced sites write without them.

In `conflict`, candidate sites take their values from the neutral prompt of the same item, which has neither cue, at every
position whose role both prompts have. If the silenced sites then write the distractor's answer again, it comes from the
conflict prompt itself: the candidates brought none. Two passes measure one set of candidates in one item.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from distractor.models.hooks import Edit, Read, set_to
from distractor.models.site import Site
from distractor.probing.joint_choice import choose_jointly
from distractor.probing.onward import why_not_onward
from distractor.probing.patching import SLOPES
from distractor.probing.positions import same_roles
from distractor.probing.random_sets import random_sets
from distractor.probing.run import Batch, Run
from distractor.probing.screening import Screening
from distractor.probing.strengths import Half
from distractor.probing.transplants import holds, set_at, set_where
from distractor.scoring.pass_size import tokens_per_pass
from distractor.text.task import Condition

MOST = 5  # the largest number of suppressors
LEAST = 0.05  # the smallest gain of ω by which a suppressor is added
SHARE = 0.8  # no further suppressor is added once ω is this large
SETS = 99  # the largest number of random sets
SCREENED_SETS = 39  # the same in models whose sites are screened


@dataclass(frozen=True, eq=False)
class Latent:
    """The suppressors, and what the silenced sites write in `conflict` if the suppressors hold no cue, in nats.

    `random` has the ω of each random set of other candidates, of the same kind and number, on items that did not choose
    the suppressors. Without suppressors, `written` is what the sites write in the clean prompts. `screening` says which
    candidates were tried (`Picked.report`, in units of ω); None if all were.
    """

    suppressors: tuple[Site, ...]
    written: Float[np.ndarray, " item"]
    random: tuple[float, ...]
    screening: Mapping[str, Any] | None = None


@dataclass(frozen=True, eq=False)
class Silenced:
    """Sites of a run of neutral prompts that write the distractor's answer `alone`, but not in `conflict`.

    `alone` is their effect in `distractor_only`, in nats. Suppressors are chosen on the items of `half`. With `screening`
    and many candidates, only the largest gradients and a random sample are tried.
    """

    run: Run
    chosen: tuple[Site, ...]
    alone: Float[np.ndarray, " item"]
    half: Half
    screening: Screening | None = None

    @cached_property
    def is_screened(self) -> bool:
        """Whether only some candidates are tried."""
        return self.screening is not None and self.screening.is_needed(len(self.candidates))

    @cached_property
    def _is_by_layer(self) -> bool:
        """Whether passes start at the lowest layer that they need."""
        return self.is_screened and not why_not_onward(self.run)

    @property
    def candidates(self) -> list[Site]:
        """All heads and MLPs that the last of the silenced sites can depend on, except the silenced sites."""
        model = self.run.model
        last = max(self.chosen, key=lambda site: site.depth)
        # An MLP reads the heads of its own layer, unless both run in parallel.
        end = last.depth if "resid_mid" in model.parts else (last.layer, 0)
        return [site for site in model.components if site.depth < end and site not in self.chosen]

    def latent(self, seed: int) -> Latent:
        """Choose suppressors on the half, one by one by joint ω, and measure them and random sets."""
        candidates, picked, screening = self.candidates, None, None
        if self.is_screened and self.screening is not None:
            picked = self.screening.pick(self.estimates(candidates)[:, self.half].mean(-1)[None])
        tried = candidates if picked is None else [candidates[k] for k in picked.measured]
        start, rounds = float(self._omega([()], self.half)[0]), list[Float[np.ndarray, " set"]]()

        def omega_of(sets: Sequence[Sequence[Site]]) -> Float[np.ndarray, " set"]:
            rounds.append(self._omega(sets, self.half))
            return rounds[-1]

        sites, _ = choose_jointly(omega_of, tried, until=SHARE, start=start, least=LEAST, most=MOST)
        if picked is not None and rounds:
            screening = picked.report(candidates, rounds[0][None] - start, LEAST, "of ω")
        others = [site for site in candidates if site not in sites]
        most = SETS if picked is None else SCREENED_SETS
        sets = random_sets(sites, others, np.random.default_rng(seed), most) if sites else []
        random = self._omega(sets, ~self.half) if sets else np.zeros(0)
        every = np.ones(len(self.half), dtype=bool)
        return Latent(sites, self.written([sites], every)[0], tuple(random.tolist()), screening)

    def estimates(self, sites: Sequence[Site]) -> Float[np.ndarray, "site item"]:
        """First-order estimates of the change of ω if each site holds no cue, by gradients through both prompts.

        Each item's change is relative to the mean of `alone` over the half.
        """
        neutral, conflict = self.run.batch, self.run.others[Condition.CONFLICT].batch
        place, parts = same_roles(conflict, neutral), list(dict.fromkeys(Site(s.layer, s.part) for s in sites))
        found = torch.zeros(len(sites), len(neutral.items), dtype=torch.float64, device=place.device)
        longest = max(conflict.tokens.shape[2], neutral.tokens.shape[2])
        for some in torch.arange(len(neutral.items), device=place.device).split(
            max(1, tokens_per_pass() // longest // SLOPES)
        ):
            with torch.no_grad():
                given = self._values(neutral.tokens[0, some], parts)
                values = self._in_conflict(conflict, some, {})
            with torch.enable_grad():
                leaves = {part: value.clone().requires_grad_() for part, value in values.items()}
                gap = self._gap(neutral, some, leaves)
                slopes = torch.autograd.grad(gap.sum(), list(leaves.values()))
                # How much of each head's or MLP's change is there: 0 in the clean prompts.
                shares = {
                    part: torch.zeros(
                        len(some), 1, *value.shape[2:-1], 1, dtype=value.dtype, device=value.device
                    ).requires_grad_()
                    for part, value in given.items()
                }
                edits = {part: _towards(given[part], place[some], share) for part, share in shares.items()}
                ends = self._in_conflict(conflict, some, edits)
                written = torch.stack(
                    [(ends[part] * slope).sum() for part, slope in zip(leaves, slopes, strict=True)]
                ).sum()
                by_part = dict(zip(shares, torch.autograd.grad(written, list(shares.values())), strict=True))
            for k, site in enumerate(sites):
                slope = by_part[Site(site.layer, site.part)].flatten(1)
                found[k, some] = -slope[:, site.head or 0].double()
        return found.cpu().numpy() / self.alone[self.half].mean()

    def _omega(self, sets: Sequence[Sequence[Site]], kept: Half) -> Float[np.ndarray, " set"]:
        return self.written(sets, kept).mean(-1) / self.alone[kept].mean()

    @torch.inference_mode()
    def written(self, sets: Sequence[Sequence[Site]], kept: Half) -> Float[np.ndarray, "set kept"]:
        """What the silenced sites write in `conflict` if each set of other sites holds no cue there, in nats.

        It is gap(neutral) − gap(neutral with their values at the answer slot), as for any transplant.
        """
        items = np.flatnonzero(kept).tolist()
        neutral, conflict = (one.batch.take(items) for one in (self.run, self.run.others[Condition.CONFLICT]))
        clean = self.run.gap[0, items].double()
        place = same_roles(conflict, neutral)
        parts = list(dict.fromkeys(Site(site.layer, site.part) for sites in sets for site in sites))
        found = torch.zeros(len(sets), len(items), dtype=torch.float64, device=clean.device)
        rows_of_pass = max(1, tokens_per_pass() // max(conflict.tokens.shape[2], neutral.tokens.shape[2]))
        starts: dict[int, list[int]] = {}
        for number, sites in enumerate(sets):
            starts.setdefault(self._start(sites), []).append(number)
        for some in torch.arange(len(items), device=clean.device).split(rows_of_pass):
            given = self._values(neutral.tokens[0, some], parts)
            stream = [Site(layer, "resid_pre") for layer in starts if layer]
            before = self._values(conflict.tokens[0, some], stream)
            for start, numbers in starts.items():
                pairs = torch.cartesian_prod(torch.tensor(numbers, device=clean.device), some)
                for rows in pairs.split(rows_of_pass):
                    number, item = rows.unbind(-1)
                    edits = self._edits(sets, number, place[item], item - some[0], given)
                    if start:
                        site = Site(start, "resid_pre")
                        edits[site] = set_to(before[site][item - some[0]])
                    values = self._in_conflict(conflict, item, edits, start)
                    found[number, item] = clean[item] - self._gap(neutral, item, values).double()
        return found.cpu().numpy()

    def _start(self, sites: Sequence[Site]) -> int:
        """The layer at which passes of conflict prompts with these edited sites start."""
        return min(site.layer for site in (*sites, *self.chosen)) if self._is_by_layer else 0

    def _values(self, tokens: Int[Tensor, "row pos"], sites: Sequence[Site]) -> dict[Site, Tensor]:
        """The values at some sites at all positions."""
        seen: dict[Site, Tensor] = {}

        def keep(site: Site) -> Read:
            return lambda value: seen.__setitem__(site, value)

        self._run(tokens, {site: keep(site) for site in sites}, {})
        return seen

    def _edits(
        self,
        sets: Sequence[Sequence[Site]],
        number: Int[Tensor, " row"],
        place: Int[Tensor, "row pos"],
        item: Int[Tensor, " row"],
        given: Mapping[Site, Tensor],
    ) -> dict[Site, Edit]:
        """The edits that give each row's set of sites its values from the neutral prompts."""
        edits: dict[Site, Edit] = {}
        for part, value in given.items():
            heads = value.shape[2] if part.part == "z" else 1
            held = torch.tensor(
                [[holds(sites, part, head) for head in range(heads)] for sites in sets], device=item.device
            )
            where = (place >= 0)[..., None] & held[number][:, None]
            moved = value[item[:, None], place.clamp(min=0)]
            edits[part] = set_where(moved, where if part.part == "z" else where[..., 0])
        return edits

    def _in_conflict(
        self, conflict: Batch, item: Int[Tensor, " row"], edits: Mapping[Site, Edit], start: int = 0
    ) -> dict[Site, Float[Tensor, "row *rest"]]:
        """The values of the silenced sites at the answer slot of edited conflict prompts, from the layer `start` on."""
        last, every = conflict.lengths[item] - 1, torch.arange(len(item), device=item.device)
        seen: dict[Site, Tensor] = {}

        def keep(site: Site) -> Read:
            return lambda value: seen.__setitem__(site, value[every, last])

        parts = dict.fromkeys(Site(site.layer, site.part) for site in self.chosen)
        reads, model = {part: keep(part) for part in parts}, self.run.model
        if self._is_by_layer:
            stop = 1 + max(site.layer for site in self.chosen)
            here = {site: edit for site, edit in edits.items() if start <= site.layer < stop}
            model.run_layers(
                conflict.tokens[0, item], model.make_cache(), start=start, stop=stop, reads=reads, edits=here
            )
        else:
            self._run(conflict.tokens[0, item], reads, edits)
        return seen

    def _gap(
        self, neutral: Batch, item: Int[Tensor, " row"], values: Mapping[Site, Float[Tensor, "row *rest"]]
    ) -> Float[Tensor, " row"]:
        """The gap of neutral prompts with these values of the silenced sites at the answer slot."""
        last, ends = neutral.lengths[item] - 1, list[Tensor]()
        edits: dict[Site, Edit] = {}
        for part, value in values.items():
            heads = value.shape[1] if part.part == "z" else 1
            held = torch.tensor([holds(self.chosen, part, head) for head in range(heads)], device=item.device)
            where = held.expand(len(item), 1, heads)
            edits[part] = set_at(last, set_where(value[:, None], where if part.part == "z" else where[..., 0]))
        model = self.run.model
        self._run(neutral.tokens[0, item], {Site(model.n_layers - 1, "resid_post"): ends.append}, edits)
        logits = model.answer_logits(ends[0][torch.arange(len(item), device=item.device), last], neutral.answers[item])
        return logits[:, 0] - logits[:, 1]

    def _run(self, tokens: Int[Tensor, "row pos"], reads: Mapping[Site, Read], edits: Mapping[Site, Edit]) -> None:
        if reads:
            first = torch.zeros(1, dtype=torch.long, device=tokens.device)  # one position is unembedded, for nothing
            self.run.model.log_probs(tokens, first, reads=reads, edits=edits)


def _towards(given: Float[Tensor, "item from_pos *rest"], place: Int[Tensor, "item pos"], share: Tensor) -> Edit:
    """The edit that moves a share [item 1 *head 1] of the way to the given activations, where both prompts have the role."""
    moved = given[torch.arange(len(place), device=place.device)[:, None], place.clamp(min=0)]
    there = (place >= 0).reshape(*place.shape, *(1 for _ in given.shape[2:]))
    return lambda value: value + share * torch.where(there, moved - value, 0)
