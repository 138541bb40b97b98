"""Written answers: the texts that models generate, the answers read from them, and the gap after the reasoning."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from distractor.models.source import Source
from distractor.scoring.keys import cell_name, score_keys
from distractor.scoring.lazy_model import LazyModel
from distractor.scoring.reply import read_answer
from distractor.scoring.settings import Settings
from distractor.scoring.store import Cell, Key, Store
from distractor.text.task import Answer, Condition, Item, Task

if TYPE_CHECKING:
    from distractor.scoring.encode import Encoded, Tokens

WRITER = 1  # version of how texts are generated and read; increase it when texts or answers change
GIVEN = ("true", "distractor", "another")  # the kinds of answer of a text; `Replies.given` holds their indices
ANOTHER = 2
OTHER_REASONING = {Condition.CONFLICT: Condition.CONGRUENT, Condition.CONGRUENT: Condition.CONFLICT}
"""The condition whose reasoning is swapped in for the model's own."""


class Text(NamedTuple):
    """One item's text: prompt, generated text, why it ended, the answer as written, its kind, and why it is missing."""

    prompt: str
    text: str
    end: str
    answer: str | None
    given: str | None
    why: str | None


@dataclass(frozen=True, eq=False)
class Replies:
    """All texts of one model on a task. `texts[condition]` has one entry per item, None if the item is not shown.

    `gaps` are logit gaps in nats for the answer after "The answer is": `own` after the model's own reasoning, `swapped`
    after its reasoning under the other condition. They are NaN if either text does not reach "The answer is". For
    `half_precision`, see `half_precision_record`.
    """

    source: Source
    texts: Mapping[Condition, tuple[Text | None, ...]]
    gaps: Mapping[str, Float[ndarray, "condition item"]]
    bos: bool
    dropped: Mapping[Condition, int]
    half_precision: Mapping[str, Any] | None = None

    @cached_property
    def shown(self) -> Bool[ndarray, "condition item"]:
        """Which items were shown under which condition."""
        return np.array([[text is not None for text in row] for row in self.texts.values()])

    @cached_property
    def given(self) -> Float[ndarray, "condition item"]:
        """The index in `GIVEN` of the answer of each text; NaN if there is none."""
        rows = [
            [np.nan if text is None or text.given is None else GIVEN.index(text.given) for text in row]
            for row in self.texts.values()
        ]
        return np.array(rows, dtype=float)


def text_keys(task: Task, source: Source, settings: Settings) -> dict[Condition, Key]:
    """The key of each condition's texts."""
    return {c: {**key, "writer": WRITER} for c, key in score_keys(task, source, settings).items()}


def gap_keys(task: Task, source: Source, settings: Settings) -> dict[Condition, Key]:
    """The keys of the gaps after the reasoning. Only chains of thought have them, for `conflict` and `congruent`."""
    keys = text_keys(task, source, settings)
    return {c: {**keys[c], "behind": "reasoning"} for c in gap_conditions(task)}


def gap_conditions(task: Task) -> list[Condition]:
    """The conditions with gaps after the reasoning."""
    if task.format.scoring != "cot":
        return []
    return [c for c, other in OTHER_REASONING.items() if {c, other} <= set(task.conditions)]


def gap_name(task: Task, condition: Condition) -> str:
    """What progress calls the cell of the gaps after the reasoning."""
    return f"{cell_name(task, condition)} after the reasoning"


@dataclass(frozen=True)
class TextRequest:
    """The texts of a model on a task, and the gaps after its reasoning."""

    task: Task
    source: Source
    settings: Settings

    def compute(self, store: Store) -> Replies:
        """Generate the texts."""
        return TextGenerator(self.task, self.source, store, self.settings).replies()


class TextGenerator(LazyModel):
    """Generates the texts of one model."""

    def replies(self) -> Replies:
        """All texts and gaps of the model; computes what the store lacks."""
        keys = text_keys(self.task, self.source, self.settings)
        cells = {}
        for condition, key in keys.items():
            cells[condition] = self.cell(key, partial(self._generate, condition), cell_name(self.task, condition))
        gaps = {name: np.full((len(keys), len(self.task.items)), np.nan) for name in ("own", "swapped")}
        index = {item.id: k for k, item in enumerate(self.task.items)}
        for condition, key in gap_keys(self.task, self.source, self.settings).items():
            table = self.cell(key, partial(self._gaps, condition, cells), gap_name(self.task, condition)).table
            items = [index[name] for name in table["item"].to_pylist()]
            for name, values in gaps.items():
                values[self.task.conditions.index(condition), items] = table[name].to_numpy()
        facts = next(iter(cells.values())).facts
        return Replies(
            source=replace(self.source, n_params=facts["n_params"]),
            texts={condition: self._texts(cell) for condition, cell in cells.items()},
            gaps=gaps,
            bos=facts["bos"],
            dropped={condition: cell.facts["dropped"] for condition, cell in cells.items()},
            half_precision=facts.get("half_precision"),
        )

    def _texts(self, cell: Cell) -> tuple[Text | None, ...]:
        rows = {row["item"]: row for row in cell.table.to_pylist()}
        return tuple(
            Text(*(rows[item.id][name] for name in Text._fields)) if item.id in rows else None
            for item in self.task.items
        )

    def _shown(self, condition: Condition) -> "list[tuple[Item, Encoded]]":
        """The items that are shown under a condition, with their prompts in tokens."""
        rows = zip(self.encoding.items, self.encoding.rows[condition], strict=True)
        return [(item, row) for item, row in rows if row is not None]

    def _generate(self, condition: Condition) -> Cell:
        """Generate and read the texts of one condition."""
        import pyarrow as pa

        from distractor.scoring.generate import generate

        shown = self._shown(condition)
        items, prompts = [item for item, _ in shown], [row.prompt for _, row in shown]
        max_tokens, batch_size = self.task.format.max_tokens, self.settings.batch_size
        generated = generate(self.model, items, prompts, max_tokens, batch_size=batch_size)
        replies = [read_answer(each.text, item.answers) for item, each in zip(items, generated, strict=True)]
        kinds = [None if r.answer is None else GIVEN[ANOTHER if r.given is None else r.given] for r in replies]
        table = pa.table(
            {
                "item": [item.id for item in items],
                "prompt": [self.model.tokenizer.decode(prompt) for prompt in prompts],
                "text": [each.text for each in generated],
                "end": [each.end for each in generated],
                "answer": pa.array([reply.answer for reply in replies], type=pa.string()),
                "given": pa.array(kinds, type=pa.string()),
                "why": pa.array([reply.why for reply in replies], type=pa.string()),
                "tokens": [" ".join(map(str, each.tokens)) for each in generated],
                "slot": pa.array([reply.slot for reply in replies], type=pa.int64()),
            }
        )
        facts = {
            "n_params": self.model.n_params,
            "bos": self.model.bos is not None,
            "dropped": self.encoding.dropped.get(condition, 0),
            **({"half_precision": half} if (half := self.half_precision) else {}),
        }
        return Cell(table, facts)

    def _gaps(self, condition: Condition, cells: Mapping[Condition, Cell]) -> Cell:
        """The gaps after both reasonings, for items whose texts both reach "The answer is"."""
        import pyarrow as pa

        from distractor.scoring.encode import Encoded, answers_after
        from distractor.scoring.score import score

        own, swapped = (self._reasonings(cells[c]) for c in (condition, OTHER_REASONING[condition]))
        shown = [(item, row) for item, row in self._shown(condition) if item.id in own and item.id in swapped]
        items = [item for item, _ in shown]
        gaps = {}
        for name, reasonings in (("own", own), ("swapped", swapped)):
            rows = []
            for item, row in shown:
                tokens, text = reasonings[item.id]
                rows.append(Encoded(row.prompt + tokens, answers_after(item, text, self.model), ()))
            log_probs = score(self.model, items, rows, self.settings.batch_size)
            gaps[name] = log_probs[:, Answer.TRUE] - log_probs[:, Answer.DISTRACTOR]
        names = pa.array([item.id for item in items], type=pa.string())
        return Cell(pa.table({"item": names, **gaps}), {"items": len(items)})

    def _reasonings(self, cell: Cell) -> "dict[str, tuple[Tokens, str]]":
        """Tokens and text of each reasoning up to "The answer is"; None if a token extends beyond these words."""
        reasonings: dict[str, tuple[Tokens, str]] = {}
        for row in cell.table.to_pylist():
            if row["slot"] is None:
                continue
            text = row["text"][: row["slot"]]
            tokens = tuple(map(int, row["tokens"].split()))
            for count in range(1, len(tokens) + 1):
                decoded = self.model.tokenizer.decode(tokens[:count], clean_up_tokenization_spaces=False)
                if len(decoded) >= len(text):
                    if decoded == text:
                        reasonings[row["item"]] = tokens[:count], text
                    break
        return reasonings
