"""Every forward pass, hook and edit in the house, through what `Model` shows."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from distractor.errors import EncodeError, ModelError
from distractor.models.hooks import Read, put
from distractor.models.model import AGREES, Model
from distractor.models.site import Part, Site
from distractor.progress import remark
from distractor.scoring.encode import Encoded, Encoding, Role
from distractor.scoring.prefix_sharing import Line, batches, branching, lay, texts
from distractor.text.task import Condition, Item

TOKENS_A_PASS = 4_096


LOGITS_A_PASS = 2**25
"""What one forward pass may hold, in tokens and in logits: fixed, so that results do not depend on the machine.

Larger passes are no quicker: their activations leave a processor's cache, and with 8,192 tokens small models took half
again as long.
"""


ITEMS_AT_ONCE = 1_000
"""How many items are laid out together: as many as fill passes well, and so few that their layout takes no room."""


def rows_a_pass(length: int, kept: int, vocab: int, batch_size: int | None = None) -> int:
    """How many prompts of `length` tokens go through the model together, if `kept` positions are unembedded."""
    return batch_size or max(1, min(TOKENS_A_PASS // length, LOGITS_A_PASS // (kept * vocab)))


def score(
    model: Model, items: Sequence[Item], rows: Sequence[Encoded], batch_size: int | None = None
) -> Float[np.ndarray, "item answer=2"]:
    """Log-probability of both answers behind each prompt, in nats, summed over the answer's tokens. See `score_all`."""
    found: np.ndarray = score_all(model, items, [[row] for row in rows], batch_size)[0]
    return found


@torch.inference_mode()
def score_all(
    model: Model, items: Sequence[Item], rows: Sequence[Sequence[Encoded | None]], batch_size: int | None = None
) -> Float[np.ndarray, "condition item answer=2"]:
    """The same for several prompts of each item, one a condition; NaN where an item is not posed.

    What an item's prompts and answers share at their beginning goes through once, and where few prompts are of one length
    they go through with others: if that saves enough, and the model takes it, which is tried and compared. Else each text
    goes through whole, with others of its length, so that nothing is padded.

    Raises:
        ModelError: a log-probability is NaN; the item is named.

    """
    is_posed = np.array([[row is not None for row in of_item] for of_item in rows], dtype=bool)
    is_posed = is_posed.reshape(len(rows), -1 if rows else 1).T[:, :, None]
    found = np.where(is_posed, np.zeros(2), np.nan)
    for start in range(0, len(rows), ITEMS_AT_ONCE):
        some = slice(start, start + ITEMS_AT_ONCE)
        _add_log_probs(model, rows[some], batch_size, found[:, some])
    by_item = rearrange(np.where(is_posed, found, 0), "condition item answer -> item (condition answer)")
    refuse_nan(model, items, by_item)
    return found


def _add_log_probs(
    model: Model,
    rows: Sequence[Sequence[Encoded | None]],
    batch_size: int | None,
    found: Float[np.ndarray, "condition item answer=2"],
) -> None:
    (lines, passes), branched = _layouts(tuple(map(tuple, rows)), model.vocab, batch_size)
    if branched and not why_no_branches(model, [line for _, line in branched[0]]):
        lines, passes = branched
    for numbers in passes:
        some = [lines[number] for number in numbers]
        for (item, line), values in zip(some, _behind(model, [line for _, line in some]), strict=True):
            for (condition, answer, _), value in zip(line.questions, values, strict=True):
                found[condition, item, answer] += value


Layout = tuple[Sequence[tuple[int, Line]], Sequence[Sequence[int]]]
"""Lines, each with the place of its item, and which of them go through together."""


@lru_cache(maxsize=8)
def _layouts(
    rows: tuple[tuple[Encoded | None, ...], ...], vocab: int, batch_size: int | None
) -> tuple[Layout, Layout | None]:
    """Every text for itself, and the lines that branch, if those are less work; models of one encoding share both."""
    room = partial(rows_a_pass, vocab=vocab, batch_size=batch_size)

    def laid(lines_of: Callable[[Sequence[Encoded | None]], list[Line]], *, mixed: bool) -> Layout:
        lines = [(item, line) for item, of_item in enumerate(rows) for line in lines_of(of_item)]
        return lines, batches([line for _, line in lines], room, mixed=mixed)

    plain, branched = laid(texts, mixed=False), laid(branching, mixed=True)
    is_less = len(branched[0]) < len(plain[0]) or 2 * len(branched[1]) <= len(plain[1]) > 0
    return plain, branched if is_less else None


def _behind(model: Model, lines: Sequence[Line]) -> list[list[float]]:
    """The log-probabilities of all tokens that are asked for in each line, by one pass."""
    tokens, view = lay(lines, model.device)
    length, kept = tokens.shape[1], max(line.kept for line in lines)
    log_probs = model.log_probs(tokens, torch.arange(length - kept, length, device=model.device), view=view)
    asked = [
        (row, kept - len(line.tokens) + place, token)
        for row, line in enumerate(lines)
        for place, of_place in line.asked.items()
        for *_, token in of_place
    ]
    row, place, token = torch.tensor(asked, device=model.device).T
    values = iter(log_probs[row, place, token].double().tolist())
    return [[next(values) for _ in line.questions] for line in lines]


_no_branches: "WeakKeyDictionary[Any, str]" = WeakKeyDictionary()


def why_no_branches(model: Model, lines: Sequence[Line]) -> str:
    """Why a model cannot be told who sees whom in a pass; nothing where it can: it is tried on two lines, and compared."""
    if model.bridge not in _no_branches:
        first = next((line for line in lines if not line.is_text), lines[0])
        other = max(lines, key=lambda line: abs(len(line.tokens) - len(first.tokens)))
        wanted = [_behind(model, [text])[0] for line in (first, other) for text in line.unfolded]
        try:
            found = _behind(model, [first, other])
            off = float(np.abs(np.concatenate(found) - np.concatenate(wanted)).max())
            allowed = AGREES.get(model.dtype, 1e-3) * max(1.0, float(np.abs(np.concatenate(wanted)).max()))
            why = "" if off <= allowed else f"log-probabilities were off by {off:.1e}"
        except (TypeError, AttributeError, IndexError, KeyError, ValueError, RuntimeError) as error:
            why = f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
        _no_branches[model.bridge] = why
        if why:
            remark(f"{model.name}: every text was scored whole, for passes cannot branch in this model ({why}).")
    return _no_branches[model.bridge]


@dataclass(frozen=True, eq=False)
class Batch:
    """Prompts of the same items under aligned conditions, side by side.

    `tokens` is padded on the right to the longest item; `lengths` is the same under each condition, since the
    conditions are aligned. `answers` are the first tokens of the true and the distractor answer.
    """

    conditions: tuple[Condition, ...]
    items: tuple[Item, ...]
    tokens: Int[Tensor, "condition item pos"]
    lengths: Int[Tensor, " item"]
    answers: Int[Tensor, "item answer=2"]
    roles: tuple[tuple[tuple[Role, ...], ...], ...]  # [condition][item][pos]


def batch(encoding: Encoding, model: Model, conditions: Sequence[Condition]) -> Batch:
    """The items that are posed under all of `conditions`, aligned.

    Raises:
        EncodeError: no item is posed under all of them; prompts differ in length; an item's two answers begin with the
            same token, so that one token cannot tell them apart, or with other tokens under another condition.

    """
    kept = encoding.complete(conditions)
    if not kept:
        raise EncodeError(
            f"no item of {encoding.task.name} is posed under all of {', '.join(conditions)}; it has "
            f"{', '.join(encoding.task.conditions)}"
        )
    rows = [[encoding.rows[c][i] for i in kept] for c in conditions]
    items = tuple(encoding.items[i] for i in kept)
    table: list[list[Encoded]] = [[row for row in line if row is not None] for line in rows]
    for item, posed in zip(items, zip(*table, strict=True), strict=True):
        if len({len(row.prompt) for row in posed}) > 1:
            counts = ", ".join(f"{c} {len(row.prompt)}" for c, row in zip(conditions, posed, strict=True))
            raise EncodeError(
                f"item {item.id} has prompts of different length ({counts} tokens); they cannot be aligned"
            )
        first, second = (answer[0] for answer in posed[0].answers)
        if first == second:
            raise EncodeError(
                f"item {item.id}: {item.true!r} and {item.distractor!r} both begin with token {first}, so no single-token "
                "reading can tell them apart; choose words that differ at once"
            )
        if len({tuple(answer[0] for answer in row.answers) for row in posed}) > 1:
            raise EncodeError(
                f"item {item.id}: its answers begin with other tokens under {conditions[0]} than under another condition; "
                "let all its prompts end in the same way"
            )
    longest = max(len(row.prompt) for row in table[0])
    tokens = torch.zeros(len(conditions), len(kept), longest, dtype=torch.long)
    for c, line in enumerate(table):
        for i, row in enumerate(line):
            tokens[c, i, : len(row.prompt)] = torch.tensor(row.prompt)
    return Batch(
        conditions=tuple(conditions),
        items=items,
        tokens=tokens.to(model.device),
        lengths=torch.tensor([len(row.prompt) for row in table[0]], device=model.device),
        answers=torch.tensor([[row.answers[0][0], row.answers[1][0]] for row in table[0]], device=model.device),
        roles=tuple(tuple(row.roles for row in line) for line in table),
    )


@dataclass(frozen=True, eq=False)
class Run:
    """What a model answered to a batch, and what was seen on the way.

    `log_probs` are those of the answers' first tokens at each prompt's last position; `seen[site]` has the axes
    [condition item pos] and the site's own behind them. Padded positions hold numbers without meaning.
    """

    model: Model
    batch: Batch
    log_probs: Float[Tensor, "condition item answer=2"]
    seen: Mapping[Site, Tensor]

    @property
    def gap(self) -> Float[Tensor, "condition item"]:
        """The logit gap in nats."""
        return self.log_probs[..., 0] - self.log_probs[..., 1]

    def again(self, edits: Mapping[Site, Tensor]) -> "Run":
        """The same prompts with the activations at the sites of `edits`, shaped like `seen`, put in their place."""
        return observe(self.model, self.batch, edits=edits)


@torch.inference_mode()
def observe(
    model: Model,
    batch: Batch,
    sites: Sequence[Site] = (),
    edits: Mapping[Site, Tensor] | None = None,
    *,
    at_slot: Collection[Part] = (),
) -> Run:
    """Run a batch and look at `sites`; with `edits`, after putting other activations in place.

    Of the parts in `at_slot`, the answer slot's row alone is kept (of a pattern, the slot's as the query): its axis stays,
    with a length of 1. So to read every layer there costs little memory, whatever the prompts' length.

    Raises:
        ModelError: a log-probability is NaN; the item is named. Or a site does not exist, or is never reached.

    """
    tokens = rearrange(batch.tokens, "condition item pos -> (condition item) pos")
    last = (batch.lengths - 1).repeat(len(batch.conditions))
    answers = batch.answers.repeat(len(batch.conditions), 1)
    flat = {site: value.flatten(0, 1) for site, value in (edits or {}).items()}
    log_probs: list[Tensor] = []
    seen: dict[Site, list[Tensor]] = {site: [] for site in sites}
    every_row = torch.arange(len(tokens), device=model.device)
    for rows in every_row.split(rows_a_pass(tokens.shape[1], len(last.unique()), model.vocab)):
        keep, place = last[rows].unique(return_inverse=True)
        found = model.log_probs(
            tokens[rows],
            keep,
            reads={s: _keeper(s, values, last[rows] if s.part in at_slot else None) for s, values in seen.items()},
            edits={site: put(value[rows]) for site, value in flat.items()},
            reads_at_keep=all(site.part in at_slot for site in seen),
        )
        log_probs.append(found[torch.arange(len(rows)), place].gather(1, answers[rows]))
    for site, values in seen.items():
        if not values:
            raise ModelError(f"{model.name}: {site} is never reached in this architecture, so it cannot be read")
    split = partial(rearrange, pattern="(condition item) ... -> condition item ...", condition=len(batch.conditions))
    answered = split(torch.cat(log_probs))
    refuse_nan(model, batch.items, answered.double().sum(0).cpu().numpy())
    # One site after the other: what has been joined is not kept in pieces as well.
    return Run(model, batch, answered, {site: split(torch.cat(seen.pop(site))) for site in list(seen)})


def _keeper(site: Site, kept: list[Tensor], last: Int[Tensor, " row"] | None) -> Read:
    """Keeps what stands at a site; with `last`, at each prompt's last position alone."""

    def keep(value: Tensor) -> None:
        if last is not None:
            every = torch.arange(len(last), device=last.device)
            is_pattern = site.part == "pattern" and site.head is None  # [row head query key]
            value = value[every, :, last].unsqueeze(2) if is_pattern else value[every, last].unsqueeze(1)
        kept.append(value)

    return keep


def refuse_nan(
    model: Model, items: Sequence[Item], values: Float[np.ndarray, "item n"], what: str = "log-probabilities"
) -> None:
    """Raise ModelError, naming the first item, if any of its values is not finite."""
    broken = [item.id for item, row in zip(items, values, strict=True) if not np.isfinite(row).all()]
    if broken:
        raise ModelError(
            f"{model.name}: the {what} of {len(broken)} of {len(items)} items are not finite (NaN), first "
            f"{broken[0]}; the weights are damaged, or the dtype is too narrow: try --dtype float32"
        )
