"""From text to tokens, with every check on prompts and answers.

The rule, for every model: the prompt is tokenised with the answer behind it; the answer's tokens are what follows the
prompt's own. Spaces at the end of a prompt belong to the answer. No special token is added but the model's BOS.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from distractor.errors import EncodeError
from distractor.model import Model
from distractor.task import ALIGNED, Condition, Item, Task

Tokens = tuple[int, ...]
Role = tuple[str, int]
"""A part of the layout, and the place in it counted from its end: ("subject", 0) is the subject's last token."""


@dataclass(frozen=True)
class Encoded:
    """One item under one condition in a model's tokens: BOS and prompt, both answers, and each token's role."""

    prompt: Tokens
    answers: tuple[Tokens, Tokens]
    roles: tuple[Role, ...]


@dataclass(frozen=True)
class Encoding:
    """A task in a model's tokens: the items that are used, in order, and what was dropped.

    `rows[condition]` has one entry an item, None where the item is not posed under that condition. `dropped` counts
    items whose `congruent` prompt has no wording as long as `conflict` (left out altogether), and items whose
    `distractor_swapped` prompt has none (left out of that condition).
    """

    task: Task
    rows: Mapping[Condition, tuple[Encoded | None, ...]]
    dropped: Mapping[Condition, int]

    @property
    def items(self) -> tuple[Item, ...]:
        """The items that are used."""
        return self.task.items

    def complete(self, conditions: Sequence[Condition]) -> list[int]:
        """Indices of the items that are posed under all of `conditions`."""
        return [i for i in range(len(self.items)) if all(self.rows[c][i] is not None for c in conditions)]


def encode(task: Task, model: Model) -> Encoding:
    """Turn every prompt of a task into tokens.

    Raises:
        EncodeError: the tokenizer lacks a word, merges across the end of a prompt, cannot tell the answers apart, a
            prompt is longer than the model's context, or no item is left.

    """
    prompts: list[dict[Condition, Encoded]] = []
    kept: list[Item] = []
    dropped: Counter[Condition] = Counter()
    for item in task.items:
        conflict = _encode(task, item, item.prompts[Condition.CONFLICT], model)
        fits: dict[Condition, Encoded | None] = {Condition.CONFLICT: conflict}
        for condition in item.prompts:
            wordings = (_encode(task, item, text, model) for text in item.wordings(condition))
            fits[condition] = next(
                (e for e in wordings if condition not in ALIGNED or len(e.prompt) == len(conflict.prompt)), None
            )
        dropped.update(c for c, fit in fits.items() if fit is None)
        if fits.get(Condition.CONGRUENT, conflict) is None:
            continue
        kept.append(item)
        prompts.append({c: fit for c, fit in fits.items() if fit is not None})
    if not kept:
        raise EncodeError(
            f"{model.name}: none of the {len(task.items)} items of {task.name} has a congruent prompt as long as its "
            "conflict prompt under this tokenizer; add rewordings of the cue"
        )
    rows = {c: tuple(p.get(c) for p in prompts) for c in task.conditions}
    return Encoding(replace(task, items=tuple(kept)), rows, dict(dropped))


def _encode(task: Task, item: Item, text: str, model: Model) -> Encoded:
    prompt = text.rstrip(" ")
    spaces = text[len(prompt) :]
    plain = model.tokenizer(prompt, add_special_tokens=False, return_offsets_mapping=True)
    ids: Tokens = tuple(plain.input_ids)
    unknown = model.tokenizer.unk_token_id
    if unknown is not None and unknown in ids:
        start, end = plain.offset_mapping[ids.index(unknown)]
        raise EncodeError(
            f"{model.name}: its tokenizer has no token for {prompt[start:end]!r} (item {item.id} of {task.name}); "
            "use a model whose vocabulary covers the task's text"
        )
    first, second = (_answer(item, prompt, ids, spaces + answer, model) for answer in item.answers)
    if first[: len(second)] == second[: len(first)]:
        raise EncodeError(
            f"{model.name}: in item {item.id} of {task.name} the answers {item.true!r} and {item.distractor!r} have the "
            f"tokens {first} and {second}, one of which begins with the other, so they cannot be told apart; choose "
            "other words for the answers"
        )
    bos: Tokens = () if model.bos is None else (model.bos,)
    longest = len(bos) + len(ids) + max(len(first), len(second))
    if model.context is not None and longest > model.context:
        raise EncodeError(
            f"{model.name}: item {item.id} of {task.name} is {longest} tokens long with its answer, the model's context "
            f"{model.context}; use a model with a longer context or shorter items"
        )
    roles = _roles(task.roles(prompt), plain.offset_mapping, prompt)
    return Encoded(bos + ids, (first, second), ((("bos", 0),) if bos else ()) + roles)


def _answer(item: Item, prompt: str, ids: Tokens, answer: str, model: Model) -> Tokens:
    """The tokens of `answer` behind `prompt`, whose own tokens are `ids`."""
    whole: Tokens = tuple(model.tokenizer(prompt + answer, add_special_tokens=False).input_ids)
    tokens = whole[len(ids) :]
    if whole[: len(ids)] != ids or not tokens:
        raise EncodeError(
            f"{model.name}: in item {item.id} the tokenizer merges the end of the prompt with the answer {answer!r}, so "
            "the answer has no probability of its own; let the answer begin with a space, or the prompt end in one"
        )
    if model.tokenizer.unk_token_id in tokens:
        raise EncodeError(f"{model.name}: its tokenizer has no token for the answer {answer!r} of item {item.id}")
    return tokens


def _roles(spans: Mapping[str, tuple[int, int]], offsets: Sequence[tuple[int, int]], prompt: str) -> tuple[Role, ...]:
    """Each token's role: the part of the layout that its first visible character lies in, `frame` outside of all.

    A stretch of frame is named by how many parts come before it, frame0, frame1, …; the last token of a prompt is always the `slot`.
    """
    names: list[str] = []
    parts_before = 0
    for start, end in offsets:
        visible = next((k for k in range(start, end) if not prompt[k].isspace()), start)
        role = next((name for name, (first, last) in spans.items() if first <= visible < last), None)
        parts_before += role is not None and role not in names
        names.append(role or f"frame{parts_before}")
    names[-1] = "slot"
    left = Counter(names)
    roles: list[Role] = []
    for name in names:
        left[name] -= 1
        roles.append((name, left[name]))
    return tuple(roles)
