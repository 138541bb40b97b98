"""Runs aligned prompts through a model, and reads or edits activations."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor
from xarray import DataArray

from distractor.errors import EncodeError, ModelError, SingleTokenError
from distractor.models.hooked_model import HookedModel
from distractor.models.hooks import Read, set_to
from distractor.models.site import Part, Site
from distractor.scoring.encode import Encoded, Encoding, Role, Tokens
from distractor.scoring.pass_size import rows_per_pass
from distractor.scoring.score import refuse_nan
from distractor.text.task import Condition, Item


@dataclass(frozen=True, eq=False)
class Batch:
    """Prompts of the same items under aligned conditions, side by side.

    `tokens` is padded on the right to the longest item; `lengths` is the same under each condition, since the
    conditions are aligned. `answers` are the first tokens of the true and the distractor answer. Where both answers begin
    alike, the prompt goes on with their common tokens, and `answers` are the first tokens in which they differ.
    """

    conditions: tuple[Condition, ...]
    items: tuple[Item, ...]
    tokens: Int[Tensor, "condition item pos"]
    lengths: Int[Tensor, " item"]
    answers: Int[Tensor, "item answer=2"]
    roles: tuple[tuple[tuple[Role, ...], ...], ...]  # [condition][item][pos]

    def take(self, items: Sequence[int]) -> "Batch":
        """Return the batch with the items at these indices only."""
        return replace(
            self,
            items=tuple(self.items[i] for i in items),
            tokens=self.tokens[:, items],
            lengths=self.lengths[items],
            answers=self.answers[items],
            roles=tuple(tuple(of_condition[i] for i in items) for of_condition in self.roles),
        )

    def repeat(self, times: int) -> "Batch":
        """Return the batch with all its prompts several times, one copy after the other along the conditions."""
        return replace(
            self,
            conditions=self.conditions * times,
            tokens=self.tokens.repeat(times, 1, 1),
            roles=self.roles * times,
        )


def _why_no_single_token(encoding: Encoding, index: int, conditions: Sequence[Condition]) -> str:
    """The reason if an item's answers begin with other tokens under some condition; empty if they do not."""
    item, rows = encoding.items[index], [row for c in conditions if (row := encoding.rows[c][index])]
    if len({_first_difference(row) for row in rows}) > 1:
        return (
            f"item {item.id}: its answers begin with other tokens under {conditions[0]} than under another condition; "
            "let all its prompts end in the same way"
        )
    return ""


def batch(
    encoding: Encoding, model: HookedModel, conditions: Sequence[Condition], also: Sequence[Condition] = ()
) -> Batch:
    """The aligned prompts of all items that have every one of `conditions`, and of `also`, which the batch leaves out.

    Items of official files whose answers begin with other tokens under some condition are left out, too.

    Raises:
        ModelError: see `Model.refuse_moving_positions`.
        EncodeError: no item has all of them; or prompts differ in length.
        SingleTokenError: an answer begins with another token under another condition.
    """
    kept = encoding.complete((*conditions, *also))
    if not kept:
        raise EncodeError(
            f"no item of {encoding.task.name} has a prompt under all of {', '.join((*conditions, *also))}; the task has "
            f"{', '.join(encoding.task.conditions)}"
        )
    every = (*conditions, *also) if encoding.task.official else conditions
    why_not = {i: why for i in kept if (why := _why_no_single_token(encoding, i, every))}
    if why_not and not (encoding.task.official and len(why_not) < len(kept)):
        raise SingleTokenError(next(iter(why_not.values())))
    kept = [i for i in kept if i not in why_not]
    rows = [[encoding.rows[c][i] for i in kept] for c in conditions]
    items = tuple(encoding.items[i] for i in kept)
    table: list[list[Encoded]] = [[row for row in line if row is not None] for line in rows]
    for item, shown in zip(items, zip(*table, strict=True), strict=True):
        if len({len(row.prompt) for row in shown}) > 1:
            counts = ", ".join(f"{c} {len(row.prompt)}" for c, row in zip(conditions, shown, strict=True))
            raise EncodeError(
                f"item {item.id} has prompts of different length ({counts} tokens); they cannot be aligned"
            )
    table = [list(map(up_to_difference, line)) for line in table]
    lengths = [len(row.prompt) for row in table[0]]
    longest = max(lengths)
    model.refuse_moving_positions(min(lengths), longest)
    tokens = torch.zeros(len(conditions), len(kept), longest, dtype=torch.long)
    for c, line in enumerate(table):
        for i, row in enumerate(line):
            tokens[c, i, : len(row.prompt)] = torch.tensor(row.prompt)
    return Batch(
        conditions=tuple(conditions),
        items=items,
        tokens=tokens.to(model.device),
        lengths=torch.tensor(lengths, device=model.device),
        answers=torch.tensor([[row.answers[0][0], row.answers[1][0]] for row in table[0]], device=model.device),
        roles=tuple(tuple(row.roles for row in line) for line in table),
    )


def up_to_difference(row: Encoded) -> Encoded:
    """The prompt, continued by the tokens with which both answers begin, so that the next token tells them apart.

    The common tokens are equally probable for both answers, so they cancel in the gap. The last token remains the slot.

    >>> row = Encoded((1, 2), ((7, 8, 3), (7, 8, 4)), (("cue", 0), ("slot", 0)))
    >>> up_to_difference(row).prompt, up_to_difference(row).answers
    ((1, 2, 7, 8), ((3,), (4,)))
    >>> [name for name, _ in up_to_difference(row).roles]
    ['cue', 'prompt end', 'shared answer', 'slot']
    """
    first, second = row.answers
    count = len(_first_difference(row)[0]) - 1
    if not count:
        return row
    shared = tuple(("shared answer", before_last) for before_last in reversed(range(1, count)))
    roles = (*row.roles[:-1], ("prompt end", 0), *shared, *row.roles[-1:])
    return Encoded(row.prompt + first[:count], (first[count:], second[count:]), roles)


def _first_difference(row: Encoded) -> tuple[Tokens, Tokens]:
    """Both answers up to the first token in which they differ."""
    first, second = row.answers
    count = 1 + next(k for k, (one, other) in enumerate(zip(first, second, strict=False)) if one != other)
    return first[:count], second[:count]


LIKE = 7 / 8  # the shortest row of a pass has at least this share of the longest, so that little is padding
SMALL_PASS = 256  # smaller passes than this waste time, and may have rows of any length


def by_length(lengths: Sequence[int], most: Callable[[int], int]) -> Iterator[list[int]]:
    """The numbers of rows that share a pass, the longest first. `most` limits the number of rows by the longest length.

    >>> list(by_length([300, 100, 290], lambda longest: 9))
    [[0, 2], [1]]
    """
    left = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    while left:
        longest, count = lengths[left[0]], 1
        while count < min(len(left), most(longest)) and (
            lengths[left[count]] >= LIKE * longest or count * longest < SMALL_PASS
        ):
            count += 1
        yield left[:count]
        left = left[count:]


@dataclass(frozen=True, eq=False)
class Run:
    """A model's answers to a batch, and the activations that were read.

    `log_probs` are those of the batch's `answers` at each prompt's last position; `seen[site]` has the axes
    [condition item pos], and then the site's own. Values at padded positions have no meaning. `others` are runs of the same
    items under the probe's further conditions. `donors` are the prompts of other conditions whose activations a probe may
    use (`Probe.donors`); those that the task lacks are missing.
    """

    model: HookedModel
    batch: Batch
    log_probs: Float[Tensor, "condition item answer=2"]
    seen: Mapping[Site, Tensor]
    others: Mapping[Condition, "Run"] = field(default_factory=dict)
    donors: Mapping[Condition, Batch] = field(default_factory=dict)

    @property
    def gap(self) -> Float[Tensor, "condition item"]:
        """The logit gap in nats."""
        return self.log_probs[..., 0] - self.log_probs[..., 1]

    def take(self, items: Sequence[int]) -> "Run":
        """Return the run with the items at these indices only, without activations and other prompts."""
        return Run(self.model, self.batch.take(items), self.log_probs[:, items], seen={})

    def again(self, edits: Mapping[Site, Tensor]) -> "Run":
        """Run the same prompts again with other activations at some sites; the values of `edits` have the shapes of
        `seen`.
        """
        return observe(self.model, self.batch, edits=edits)

    def gaps_again(self, edits: Sequence[Mapping[Site, Tensor]]) -> Float[Tensor, "edit condition item"]:
        """The gaps with each of several edits of the same sites, as of `again`. The edits share passes."""
        joined = {site: torch.cat([edit[site] for edit in edits]) for site in edits[0]}
        gap = observe(self.model, self.batch.repeat(len(edits)), edits=joined).gap
        return gap.unflatten(0, (len(edits), -1))

    def reading(
        self,
        name: str,
        values: Tensor | ndarray,
        lead: Mapping[str, Sequence[str]],
        coords: Mapping[str, Any] | None = None,
        **attributes: Any,
    ) -> DataArray:
        """Label values [*lead condition item]: `lead` has the labels of the first dims. `coords` and attributes are added."""
        items = [item.id for item in self.batch.items]
        names = {**lead, "condition": self.batch.conditions, "item": items}
        labels = {dim: list(map(str, of_dim)) for dim, of_dim in names.items()}
        table = values.double().cpu().numpy() if isinstance(values, Tensor) else values
        return DataArray(table, dims=list(labels), coords={**labels, **(coords or {})}, name=name, attrs=attributes)


@torch.inference_mode()
def observe(
    model: HookedModel,
    batch: Batch,
    sites: Sequence[Site] = (),
    edits: Mapping[Site, Tensor] | None = None,
    *,
    slot_parts: Collection[Part] = (),
) -> Run:
    """Run a batch and read `sites`; `edits` replaces activations.

    For parts in `slot_parts`, only the answer slot is kept (for a pattern, the slot as the query); the axis `pos` then
    has length 1. So reading every layer there takes little memory, also with long prompts.

    Raises:
        ModelError: a log-probability is NaN; the item is named. Or a site does not exist, or is never reached.
    """
    tokens = rearrange(batch.tokens, "condition item pos -> (condition item) pos")
    last = (batch.lengths - 1).repeat(len(batch.conditions))
    answers = batch.answers.repeat(len(batch.conditions), 1)
    flat = {site: value.flatten(0, 1) for site, value in (edits or {}).items()}
    log_probs: list[Tensor] = []
    seen: dict[Site, list[Tensor]] = {site: [] for site in sites}
    at_once = rows_per_pass(tokens.shape[1], len(last.unique()), model.vocab)
    # What is read at the answer slot has the same shape in passes of any length.
    is_cut = not flat and all(site.part in slot_parts and site.part != "pattern" for site in seen)
    lengths = last + 1 if is_cut else torch.full_like(last, tokens.shape[1])
    passes = [torch.tensor(rows, device=model.device) for rows in by_length(lengths.tolist(), lambda _: at_once)]
    order = torch.cat(passes).argsort()
    for rows in passes:
        keep, place = last[rows].unique(return_inverse=True)
        scores = model.log_probs(
            tokens[rows, : int(lengths[rows].max())],
            keep,
            reads={s: _keeper(s, values, last[rows] if s.part in slot_parts else None) for s, values in seen.items()},
            edits={site: set_to(value[rows]) for site, value in flat.items()},
            reads_at_keep=all(site.part in slot_parts for site in seen),
        )
        log_probs.append(scores[torch.arange(len(rows)), place].gather(1, answers[rows]))
    for site, values in seen.items():
        if not values:
            raise ModelError(f"{model.name}: {site} is never reached in this architecture, so it cannot be read")
    split = partial(rearrange, pattern="(condition item) ... -> condition item ...", condition=len(batch.conditions))
    answered = split(torch.cat(log_probs)[order])
    refuse_nan(model, batch.items, answered.double().sum(0).cpu().numpy())
    # One site at a time, so that the pieces of a site are freed before the next one is joined.
    return Run(model, batch, answered, {site: split(torch.cat(seen.pop(site))[order]) for site in list(seen)})


def _keeper(site: Site, kept: list[Tensor], last: Int[Tensor, " row"] | None) -> Read:
    """A hook that stores the activation at a site; with `last`, only at each prompt's last position."""

    def keep(value: Tensor) -> None:
        if last is not None:
            every = torch.arange(len(last), device=last.device)
            is_pattern = site.part == "pattern" and site.head is None  # [row head query key]
            value = value[every, :, last].unsqueeze(2) if is_pattern else value[every, last].unsqueeze(1)
        kept.append(value)

    return keep
