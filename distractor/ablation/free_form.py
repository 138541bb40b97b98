"""What models write where they answer freely: texts, the answers read from them, and the gap behind their reasoning.

Texts are kept as cells, one a condition, like scores. The quantity is the *distractor share*, the share of answers that
are the distractor's: another one than preference, which compares probabilities.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from distractor.ablation.ablate import ONE_PLACE, Mean, group_means, refuse_steps
from distractor.errors import ScalingError
from distractor.models.source import Source, of_each_size
from distractor.progress import computing, from_disk
from distractor.scoring.reply import read
from distractor.scoring.store import Cell, Key, Store
from distractor.scoring.sweep import Advance, Settings, load_model, score_keys
from distractor.statistics.groups import interval
from distractor.statistics.shape_test import Shape, delta_of, judge
from distractor.text.task import Answer, Condition, Item, Task

if TYPE_CHECKING:
    from distractor.models.model import Model
    from distractor.scoring.encode import Encoded, Encoding, Tokens


WRITER = 1
"""Version of how texts are written and read, in every cell's key: other texts or answers ask for a new one."""


GIVEN = ("true", "distractor", "another")
"""Which answer a text gives, in the order of the numbers that stand for them."""


ANOTHER = 2


SHARES = ("distractor_share", "accuracy", "parsed", "another")
"""Shares of the texts with an answer: that give the distractor's, the right one, and one that was not offered; and, of
all texts, those with an answer."""


OTHER_REASONING: Mapping[Condition, Condition] = {
    Condition.CONFLICT: Condition.CONGRUENT,
    Condition.CONGRUENT: Condition.CONFLICT,
}
"""Whose reasoning is put in the place of an item's own."""


ENOUGH = 0.8
"""A size counts for the shape if so many of its texts in `conflict` have an answer: fewer are no sample of all."""


EXAMPLES = 5


class Text(NamedTuple):
    """One item's text: what was sent, what came, what ended it, the answer read, and why where there is none."""

    prompt: str
    text: str
    end: str
    answer: str | None
    given: str | None
    why: str | None


@dataclass(frozen=True, eq=False)
class Replies:
    """What one model wrote on a task. `texts[condition]` has one entry an item, None where it is not posed.

    `gaps` are logit gaps in nats at the place of the answer behind "The answer is": `own` behind the model's own
    reasoning, `swapped` behind that of the other condition; NaN where either text does not come to it.
    """

    source: Source
    texts: Mapping[Condition, tuple[Text | None, ...]]
    gaps: Mapping[str, Float[ndarray, "condition item"]]
    bos: bool
    dropped: Mapping[Condition, int]

    @cached_property
    def posed(self) -> Bool[ndarray, "condition item"]:
        """Which items were posed under which condition."""
        return np.array([[text is not None for text in row] for row in self.texts.values()])

    @cached_property
    def given(self) -> Float[ndarray, "condition item"]:
        """The place in `GIVEN` of the answer of each text; NaN where none could be read or none was asked for."""
        return np.array(
            [
                [np.nan if text is None or text.given is None else GIVEN.index(text.given) for text in row]
                for row in self.texts.values()
            ],
            dtype=float,
        )


@dataclass(frozen=True, eq=False)
class Judged:
    """The shape of distractor share over size: of the sizes `used`, those `left_out` having too few answers.

    Groups of items count that have an answer everywhere. `why` says why there is no shape, where there is none.
    """

    shape: Shape | None
    used: tuple[int, ...]
    left_out: Mapping[int, float]
    groups: int
    why: str | None = None

    @property
    def label(self) -> str:
        """The shape's label, `undetermined` where there is none."""
        return self.shape.label if self.shape else "undetermined"


@dataclass(frozen=True, eq=False)
class FreeForm:
    """What all models wrote, the smallest first."""

    task: Task
    settings: Settings
    replies: tuple[Replies, ...] = field(default=())

    @cached_property
    def complete(self) -> Bool[ndarray, " item"]:
        """Which items every model was posed under every condition but `distractor_swapped`."""
        needed = [c is not Condition.DISTRACTOR_SWAPPED for c in self.task.conditions]
        is_complete: ndarray = np.all([one.posed[needed].all(0) for one in self.replies], axis=0)
        return is_complete

    @cached_property
    def sizes(self) -> tuple[tuple[int, ...], ...]:
        """The models of each size, the smallest first, as places in `replies`: see `of_each_size`."""
        return of_each_size(one.source for one in self.replies)

    def values(self, model: int, quantity: str, condition: Condition) -> Float[ndarray, " item"]:
        """A share's values of one model, item by item: 0 or 1, NaN where it is not defined."""
        row = self.task.conditions.index(condition)
        one, given = self.replies[model], self.replies[model].given[row]
        if quantity == "parsed":
            return np.where(one.posed[row], (~np.isnan(given)).astype(float), np.nan)
        wanted = {"distractor_share": Answer.DISTRACTOR, "another": ANOTHER, "accuracy": self.task.right.get(condition)}
        target = wanted[quantity]
        return np.where(np.isnan(given) | (target is None), np.nan, (given == target).astype(float))

    def mean(
        self,
        models: Sequence[int],
        quantity: str,
        condition: Condition,
        only: Bool[ndarray, " item"] | None = None,
    ) -> Mean | None:
        """Mean over the texts of some models with its 95 % interval over groups of items; None where none is defined."""
        rows = [self.values(model, quantity, condition) for model in models]
        return self._mean(rows, (0.0, 1.0), only)

    def gap(self, models: Sequence[int], behind: str, condition: Condition) -> Mean | None:
        """Mean logit gap behind the model's `own` or the `swapped` reasoning; of the items that have both."""
        row = self.task.conditions.index(condition)
        both = [np.isfinite(one.gaps["own"][row] + one.gaps["swapped"][row]) for one in self.replies]
        rows = [np.where(both[m], self.replies[m].gaps[behind][row], np.nan) for m in models]
        return self._mean(rows, None, None)

    def follows(self, models: Sequence[int]) -> dict[str, Mean | None]:
        """What the answer goes by, in nats, of items with all four gaps: {question, reasoning: …}, each with its interval.

        Two questions (`conflict`, `congruent`) are crossed with the two reasonings written on them. `question`: how much
        the gap is higher under the question in conflict, whatever the reasoning; `reasoning`: how much it is higher behind
        the reasoning written in conflict, whatever the question.
        """
        conditions = self.task.conditions
        if any(c not in conditions for c in OTHER_REASONING):
            return {"question": None, "reasoning": None}
        conflict, congruent = (conditions.index(c) for c in (Condition.CONFLICT, Condition.CONGRUENT))
        question, reasoning = [], []
        for model in models:
            own, swapped = (self.replies[model].gaps[name] for name in ("own", "swapped"))
            question.append((own[conflict] + swapped[conflict] - own[congruent] - swapped[congruent]) / 2)
            reasoning.append((own[conflict] - swapped[conflict] + swapped[congruent] - own[congruent]) / 2)
        return {"question": self._mean(question, None, None), "reasoning": self._mean(reasoning, None, None)}

    def _mean(
        self, rows: Sequence[ndarray], limits: tuple[float, float] | None, only: Bool[ndarray, " item"] | None
    ) -> Mean | None:
        used = self.complete if only is None else self.complete & only
        values = np.concatenate([row[used] for row in rows])
        names = [item.group for item, is_used in zip(self.task.items, used, strict=True) if is_used] * len(rows)
        there = np.isfinite(values)
        groups = np.unique(np.array(names)[there], return_inverse=True)[1]
        if len(set(groups.tolist())) < 2:
            return None
        counts = np.bincount(groups).astype(float)
        mean, low, high = interval(group_means(values[there], groups), counts=counts, limits=limits)
        return Mean(float(mean), float(low), float(high))

    @cached_property
    def judged(self) -> Judged:
        """The shape of distractor share in `conflict` over size."""
        conflict = Condition.CONFLICT
        parsed = {self._size(models): self.mean(models, "parsed", conflict) for models in self.sizes}
        kept = [m for m in self.sizes if (share := parsed[self._size(m)]) is not None and share.mean >= ENOUGH]
        used = tuple(self._size(models) for models in kept)
        left_out = {size: share.mean if share else 0.0 for size, share in parsed.items() if size not in used}
        seeds = sorted({one.source.seed or 0 for one in self.replies})
        if len(set(used)) < len(used):
            return Judged(None, used, left_out, 0, ONE_PLACE)
        if len(used) < 3:
            why = f"sizes with an answer in {ENOUGH:.0%} of the texts: {len(used)}, where 3 are needed"
            return Judged(None, used, left_out, 0, why)
        if any(sorted(self.replies[m].source.seed or 0 for m in models) != seeds for models in kept):
            return Judged(None, used, left_out, 0, "not every seed has every size")
        names = np.unique([item.group for item in self.task.items], return_inverse=True)[1]
        table = np.full((len(seeds), len(kept), names.max() + 1), np.nan)
        for s, models in enumerate(kept):
            for model in models:
                values = self.values(model, "distractor_share", conflict)
                there = np.isfinite(values) & self.complete
                counts = np.bincount(names[there], minlength=table.shape[-1])
                sums = np.bincount(names[there], weights=values[there], minlength=table.shape[-1])
                seed = seeds.index(self.replies[model].source.seed or 0)
                table[seed, s] = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
        whole = table[..., np.isfinite(table).all((0, 1))]
        try:
            shape = judge(whole, [float(size) for size in used], delta=delta_of("distractor_preference"))
        except ScalingError as error:
            return Judged(None, used, left_out, whole.shape[-1], str(error))
        return Judged(shape, used, left_out, whole.shape[-1])

    def unread(self, given: str | None = None) -> list[dict[str, Any]]:
        """Texts without an answer, or with `another`, as examples: at most five of each model and condition."""
        found: list[dict[str, Any]] = []
        for one in self.replies:
            for condition, row in one.texts.items():
                texts = [
                    (item.id, text)
                    for item, text in zip(self.task.items, row, strict=True)
                    if text is not None and text.given == given
                ]
                found += [
                    {"model": one.source.name, "condition": condition.value, "item": name, "why": text.why,
                     "answer": text.answer, "text": text.text}
                    for name, text in texts[:EXAMPLES]
                ]  # fmt: skip
        return found

    def _size(self, models: Sequence[int]) -> int:
        return self.replies[models[0]].source.n_params or 0


def answer_freely(
    task: Task,
    sources: Iterable[Source],
    *,
    store: Store,
    settings: Settings | None = None,
    advance: Advance = lambda _: None,
) -> FreeForm:
    """Let every model write its answer to every item under every condition; only what the store lacks is computed.

    The task's prompts must have been put in a format in which models write (`formats.shots.put`). Of chains of thought the
    gap is read behind the model's own reasoning and behind that of the other condition.

    Raises:
        DistractorError: a model, the task's text under it, or the store is not what it should be.

    """
    settings, sources = settings or Settings(), tuple(sources)
    if not task.format.is_free:
        raise ScalingError(f"the prompts of {task.name} are put for {task.format.scoring}, in which nothing is written")
    refuse_steps(sources)
    replies = []
    for source in sources:
        writer = _Writer(task, source, store, settings)
        replies.append(writer.replies(advance))
    replies.sort(key=lambda one: (one.source.n_params or 0, one.source.seed or 0))
    found = FreeForm(task, settings, tuple(replies))
    if not found.complete.any():
        raise ScalingError(
            f"no item of {task.name} is posed to every model under every condition, so nothing can be compared"
        )
    return found


def text_keys(task: Task, source: Source, settings: Settings) -> dict[Condition, Key]:
    """What decides the texts of each of a model's cells, one a condition."""
    return {c: {**key, "writer": WRITER} for c, key in score_keys(task, source, settings).items()}


def gap_keys(task: Task, source: Source, settings: Settings) -> dict[Condition, Key]:
    """What decides the gaps behind reasonings, of the conditions that have them: both of a pair, in chains of thought."""
    if task.format.scoring != "cot":
        return {}
    keys = text_keys(task, source, settings)
    return {c: {**keys[c], "behind": "reasoning"} for c, other in OTHER_REASONING.items() if {c, other} <= set(keys)}


@dataclass(frozen=True, eq=False)
class _Writer:
    """One model at its work: loaded once, and only if the store lacks something."""

    task: Task
    source: Source
    store: Store
    settings: Settings

    @cached_property
    def model(self) -> "Model":
        return load_model(self.source, self.settings)

    @cached_property
    def encoding(self) -> "Encoding":
        from distractor.scoring.encode import encode

        return encode(self.task, self.model)

    def replies(self, advance: Advance) -> Replies:
        keys = text_keys(self.task, self.source, self.settings)
        for condition, key in keys.items():
            self._kept(key, partial(self._write, condition))
            advance(self.source.name)
        cells = {condition: self.store.get(key) for condition, key in keys.items()}
        nothing = np.full((len(keys), len(self.task.items)), np.nan)
        gaps = {"own": nothing, "swapped": nothing.copy()}
        place = {item.id: i for i, item in enumerate(self.task.items)}
        for condition, key in gap_keys(self.task, self.source, self.settings).items():
            table = self._kept(key, partial(self._behind, condition, cells)).table
            here = [place[name] for name in table["item"].to_pylist()]
            for name, values in gaps.items():
                values[self.task.conditions.index(condition), here] = table[name].to_numpy()
        facts = next(iter(cells.values())).facts
        return Replies(
            source=replace(self.source, n_params=facts["n_params"]),
            texts={condition: self._texts(cell) for condition, cell in cells.items()},
            gaps=gaps,
            bos=facts["bos"],
            dropped={condition: cell.facts["dropped"] for condition, cell in cells.items()},
        )

    def _kept(self, key: Key, make: Callable[[], Cell]) -> Cell:
        """The cell of a key, made where the store does not have it."""
        if self.store.has(key):
            cell = self.store.get(key)
            from_disk(cell.facts.get("passes", 0), self.store.path(key))
            return cell
        self.store.make_ready()
        assert self.encoding.items  # made first: what loading takes is not counted
        with computing() as work:
            made = make()
        self.store.put(key, Cell(made.table, {**made.facts, "passes": work.passes}))
        return self.store.get(key)

    def _texts(self, cell: Cell) -> tuple[Text | None, ...]:
        rows = {row["item"]: row for row in cell.table.to_pylist()}
        return tuple(
            Text(*(rows[item.id][name] for name in Text._fields)) if item.id in rows else None
            for item in self.task.items
        )

    def _rows(self, condition: Condition) -> tuple[list[Item], "list[Encoded]"]:
        """The items that are posed under a condition, as they are sent, and their prompts in tokens."""
        rows = self.encoding.rows[condition]
        posed = [(item, row) for item, row in zip(self.encoding.items, rows, strict=True) if row is not None]
        return [item for item, _ in posed], [row for _, row in posed]

    def _write(self, condition: Condition) -> Cell:
        import pyarrow as pa

        from distractor.scoring.generate import generate

        items, rows = self._rows(condition)
        written = generate(
            self.model,
            items,
            [row.prompt for row in rows],
            self.task.format.max_tokens,
            batch_size=self.settings.batch_size,
        )
        replies = [read(one.text, item.answers) for item, one in zip(items, written, strict=True)]
        columns: dict[str, Any] = {
            "item": [item.id for item in items],
            "prompt": [self.model.tokenizer.decode(row.prompt) for row in rows],
            "text": [one.text for one in written],
            "end": [one.end for one in written],
            "answer": [reply.answer for reply in replies],
            "given": [None if r.answer is None else GIVEN[ANOTHER if r.given is None else r.given] for r in replies],
            "why": [reply.why for reply in replies],
        }
        optional = dict.fromkeys(("answer", "given", "why"), pa.string())
        columns = {name: pa.array(column, type=optional.get(name)) for name, column in columns.items()}
        tokens = pa.array([" ".join(map(str, one.tokens)) for one in written])
        slots = pa.array([reply.slot for reply in replies], type=pa.int64())
        facts = {
            "n_params": self.model.n_params,
            "bos": self.model.bos is not None,
            "dropped": self.encoding.dropped.get(condition, 0),
        }
        return Cell(pa.table({**columns, "tokens": tokens, "slot": slots}), facts)

    def _behind(self, condition: Condition, cells: Mapping[Condition, Cell]) -> Cell:
        """The gaps behind both reasonings, of items whose texts both come to "The answer is"."""
        import pyarrow as pa

        from distractor.probing.run import score

        own, other = (self._reasonings(cells[c]) for c in (condition, OTHER_REASONING[condition]))
        items, rows = self._rows(condition)
        both = [(item, row) for item, row in zip(items, rows, strict=True) if item.id in own and item.id in other]
        gaps = {}
        for name, reasonings in (("own", own), ("swapped", other)):
            behind = [self._continued(item, row, *reasonings[item.id]) for item, row in both]
            log_probs = score(self.model, [item for item, _ in both], behind, self.settings.batch_size)
            gaps[name] = log_probs[:, Answer.TRUE] - log_probs[:, Answer.DISTRACTOR]
        names = pa.array([item.id for item, _ in both], type=pa.string())
        return Cell(pa.table({"item": names, **gaps}), {"items": len(both)})

    def _reasonings(self, cell: Cell) -> "dict[str, tuple[Tokens, str]]":
        """The tokens and text of each reasoning up to "The answer is"; without those in which a token goes on behind it."""
        found: dict[str, tuple[Tokens, str]] = {}
        for row in cell.table.to_pylist():
            if row["slot"] is None:
                continue
            text = row["text"][: row["slot"]]
            tokens = tuple(map(int, row["tokens"].split()))
            for count in range(1, len(tokens) + 1):
                decoded = self.model.tokenizer.decode(tokens[:count], clean_up_tokenization_spaces=False)
                if len(decoded) >= len(text):
                    if decoded == text:
                        found[row["item"]] = tokens[:count], text
                    break
        return found

    def _continued(self, item: Item, row: "Encoded", tokens: "Tokens", text: str) -> "Encoded":
        """A prompt with a reasoning behind it, where the next that comes is the answer."""
        from distractor.scoring.encode import Encoded, answers_behind

        return Encoded(row.prompt + tokens, answers_behind(item, text, self.model), ())
