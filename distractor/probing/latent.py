"""The latent distractor test: which sites silence the distractor, shown by what silenced sites write without them.

In `conflict`, candidate sites take their values from the neutral prompt of the same item, which has neither cue, at every
position whose role both prompts have. If the silenced sites then write the distractor's answer again, it comes from the
conflict prompt itself: the candidates brought none. Two passes measure one set of candidates in one item.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from math import comb

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from distractor.models.hooked_model import HookedModel
from distractor.models.hooks import Edit, Read
from distractor.models.site import Site
from distractor.probing.run import Batch, Run
from distractor.probing.strengths import Half
from distractor.probing.transplants import holds, set_at, set_where
from distractor.scoring.score import TOKENS_PER_PASS
from distractor.text.task import Condition

MOST = 5  # the largest number of suppressors
ALIKE = 0.9  # of candidates that add at least this share of what the best one adds, the last one is chosen
LEAST = 0.05  # the smallest gain of ω by which a suppressor is added
SHARE = 0.8  # no further suppressor is added once ω is this large
SETS = 99  # the largest number of random sets


@dataclass(frozen=True, eq=False)
class Latent:
    """The suppressors, and what the silenced sites write in `conflict` if the suppressors hold no cue, in nats.

    `random` has the ω of each random set of other candidates, of the same kind and number, on items that did not choose
    the suppressors. Without suppressors, `written` is what the sites write in the clean prompts.
    """

    suppressors: tuple[Site, ...]
    written: Float[np.ndarray, " item"]
    random: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Silenced:
    """Sites of a run of neutral prompts that write the distractor's answer `alone`, but not in `conflict`.

    `alone` is their effect in `distractor_only`, in nats. Suppressors are chosen on the items of `half`.
    """

    run: Run
    chosen: tuple[Site, ...]
    alone: Float[np.ndarray, " item"]
    half: Half

    @property
    def candidates(self) -> list[Site]:
        """All heads and MLPs that the last of the silenced sites can depend on, except the silenced sites."""
        model = self.run.model
        last = max(self.chosen, key=_depth)
        before = range(last.layer)
        sites = [*_heads(model, before), *(Site(layer, "mlp_out") for layer in before)]
        if last.part == "mlp_out" and "resid_mid" in model.parts:  # the MLP reads the heads of its own layer
            sites += _heads(model, [last.layer])
        return [site for site in sites if site not in self.chosen]

    def latent(self, seed: int) -> Latent:
        """Choose suppressors on the half, one by one by joint ω, and measure them and random sets."""
        candidates = self.candidates
        sites: tuple[Site, ...] = ()
        omega = float(self._omega([()], self.half)[0])
        while len(sites) < MOST and omega < SHARE and (left := [site for site in candidates if site not in sites]):
            gain = self._omega([(*sites, site) for site in left], self.half) - omega
            if gain.max() <= LEAST:
                break
            # In a chain, each site has the whole effect; the last one acts on the silenced sites.
            best = max(np.flatnonzero(gain >= ALIKE * gain.max()).tolist(), key=lambda k: _depth(left[k]))
            sites, omega = (*sites, left[best]), omega + float(gain[best])
        others = [site for site in candidates if site not in sites]
        sets = _random_sets(sites, others, np.random.default_rng(seed)) if sites else []
        random = self._omega(sets, ~self.half) if sets else np.zeros(0)
        every = np.ones(len(self.half), dtype=bool)
        return Latent(sites, self.written([sites], every)[0], tuple(random.tolist()))

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
        place = _same_roles(conflict, neutral)
        parts = list(dict.fromkeys(Site(site.layer, site.part) for sites in sets for site in sites))
        found = torch.zeros(len(sets), len(items), dtype=torch.float64, device=clean.device)
        rows_of_pass = max(1, TOKENS_PER_PASS // max(conflict.tokens.shape[2], neutral.tokens.shape[2]))
        for some in torch.arange(len(items), device=clean.device).split(rows_of_pass):
            given = self._values(neutral.tokens[0, some], parts)
            pairs = torch.cartesian_prod(torch.arange(len(sets), device=clean.device), some)
            for rows in pairs.split(rows_of_pass):
                number, item = rows.unbind(-1)
                values = self._in_conflict(
                    conflict, item, self._edits(sets, number, place[item], item - some[0], given)
                )
                found[number, item] = clean[item] - self._gap(neutral, item, values).double()
        return found.cpu().numpy()

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
        self, conflict: Batch, item: Int[Tensor, " row"], edits: Mapping[Site, Edit]
    ) -> dict[Site, Float[Tensor, "row *rest"]]:
        """The values of the silenced sites at the answer slot of edited conflict prompts."""
        last, every = conflict.lengths[item] - 1, torch.arange(len(item), device=item.device)
        seen: dict[Site, Tensor] = {}

        def keep(site: Site) -> Read:
            return lambda value: seen.__setitem__(site, value[every, last])

        parts = dict.fromkeys(Site(site.layer, site.part) for site in self.chosen)
        self._run(conflict.tokens[0, item], {part: keep(part) for part in parts}, edits)
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


def _depth(site: Site) -> tuple[int, bool]:
    return site.layer, site.part == "mlp_out"


def _heads(model: HookedModel, layers: Sequence[int]) -> list[Site]:
    return [Site(layer, "z", head) for layer in layers for head in range(model.n_heads)]


def _same_roles(prompts: Batch, others: Batch) -> Int[Tensor, "item pos"]:
    """For each token, the position of the token with the same role in the item's other prompt; −1 if there is none."""
    places = torch.full(prompts.tokens.shape[1:], -1)
    for item, (row, other) in enumerate(zip(prompts.roles[0], others.roles[0], strict=True)):
        at = {role: place for place, role in enumerate(other)}
        places[item, : len(row)] = torch.tensor([at.get(role, -1) for role in row])
    return places.to(prompts.tokens.device)


def _random_sets(sites: Sequence[Site], others: Sequence[Site], rng: np.random.Generator) -> list[tuple[Site, ...]]:
    """Random sets of as many heads and as many MLPs as `sites` has; all sets if there are few."""
    kinds = [[site for site in others if site.part == part] for part in ("z", "mlp_out")]
    counts = [sum(site.part == part for site in sites) for part in ("z", "mlp_out")]
    if np.prod([comb(len(kind), count) for kind, count in zip(kinds, counts, strict=True)], dtype=float) <= SETS:
        of_kind = (combinations(kind, count) for kind, count in zip(kinds, counts, strict=True))
        return [(*heads, *mlps) for heads, mlps in product(*of_kind)]
    drawn: dict[frozenset[Site], None] = {}
    while len(drawn) < SETS:
        picks = [rng.permutation(len(kind))[:count] for kind, count in zip(kinds, counts, strict=True)]
        drawn[frozenset(kind[k] for kind, pick in zip(kinds, picks, strict=True) for k in pick)] = None
    return [tuple(one) for one in drawn]
