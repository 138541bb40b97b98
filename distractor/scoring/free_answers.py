"""Texts that models write, the answers read from them, and the gap after their reasoning."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from distractor.models.source import Source
from distractor.progress import Advance
from distractor.scoring.keys import score_keys
from distractor.scoring.reply import read_answer
from distractor.scoring.settings import Settings, load_model
from distractor.scoring.store import Cell, Key, Store
from distractor.text.task import Answer, Condition, Item, Task

if TYPE_CHECKING:
    from distractor.models.model import Model
    from distractor.scoring.encode import Encoded, Encoding, Tokens


WRITER = 1
"""Version of how texts are written and read, in every cell's key: other texts or answers ask for a new one."""


GIVEN = ("true", "distractor", "another")
"""Which answer a text gives, in the order of the numbers that stand for them."""


ANOTHER = 2


OTHER_REASONING: Mapping[Condition, Condition] = {
    Condition.CONFLICT: Condition.CONGRUENT,
    Condition.CONGRUENT: Condition.CONFLICT,
}
"""Whose reasoning is put in the place of an item's own."""


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
    def shown(self) -> Bool[ndarray, "condition item"]:
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
class TextGenerator:
    """One model at its work: loaded once, and only if the store lacks something."""

    task: Task
    source: Source
    store: Store
    settings: Settings

    @cached_property
    def model(self) -> "Model":
        """The model, loaded at first use."""
        return load_model(self.source, self.settings)

    @cached_property
    def encoding(self) -> "Encoding":
        """The task in the model's tokens."""
        from distractor.scoring.encode import encode

        return encode(self.task, self.model)

    def replies(self, advance: Advance) -> Replies:
        """All texts of the model, computed where the store lacks them."""
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
        return self.store.get_or_compute(key, lambda: self.encoding, make)

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
        replies = [read_answer(one.text, item.answers) for item, one in zip(items, written, strict=True)]
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

        from distractor.scoring.score import score

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
        from distractor.scoring.encode import Encoded, answers_after

        return Encoded(row.prompt + tokens, answers_after(item, text, self.model), ())
