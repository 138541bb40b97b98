"""From text to tokens, with every check on prompts and answers.

The rule, for every model: the prompt is tokenised with the answer behind it; the answer's tokens are what follows the
prompt's own. Spaces at the end of a prompt belong to the answer. No special token is added but the model's BOS.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from distractor.errors import EncodeError
from distractor.models.model import Model
from distractor.text.chat import apply_chat_template
from distractor.text.task import ALIGNED, Condition, Item, Task

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
        absent = (None,) * len(self.items)
        return [i for i in range(len(self.items)) if all(self.rows.get(c, absent)[i] is not None for c in conditions)]


class TooLongError(EncodeError):
    """A prompt does not fit into a model's context."""


def encode(task: Task, model: Model) -> Encoding:
    """Turn every prompt of a task into tokens, as its format sends it.

    Raises:
        EncodeError: the tokenizer lacks a word or has more tokens than the model, merges across the end of a prompt,
            or cannot tell the answers apart; a prompt is empty or longer than the model's context; or no item is left.

    """
    try:
        return _encoding(task, model)
    except TooLongError as error:
        if not task.format.shots:
            raise
        raise EncodeError(f"{error}; {_fitting(task, model)}") from error


def _fitting(task: Task, model: Model) -> str:
    """How many of a task's worked examples do fit, for a message."""
    wanted = {item.id for item in task.items}
    for count in reversed(range(task.format.shots) if task.with_shots else ()):
        whole = task.with_shots(count) if task.with_shots else task
        try:
            _encoding(replace(whole, items=tuple(item for item in whole.items if item.id in wanted)), model)
        except TooLongError:
            continue
        return f"of the {task.format.shots} shots at most {count} fit"
    return "without any shots, too, it does not fit"


def _encoding(task: Task, model: Model) -> Encoding:
    task = apply_chat_template(task, model.tokenizer, model.name, adds_bos=model.bos is not None)
    prompts: list[dict[Condition, Encoded]] = []
    kept: list[Item] = []
    dropped: Counter[Condition] = Counter()
    for item in task.items:
        conflict = _encode(task, item, item.prompts[Condition.CONFLICT], model)
        fits: dict[Condition, Encoded | None] = {Condition.CONFLICT: conflict}
        for condition in (c for c in item.prompts if c is not Condition.CONFLICT):
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
    unknown = _unknown(prompt, plain, model)
    if unknown is not None:
        raise EncodeError(
            f"{model.name}: its tokenizer has no token for {unknown!r} (item {item.id} of {task.name}); "
            "use a model whose vocabulary covers the task's text"
        )
    if not ids:
        raise EncodeError(f"item {item.id} of {task.name} has an empty prompt: {text!r}; write one")
    first, second = (_answer(item, prompt, ids, spaces + answer, model) for answer in item.answers)
    if first[: len(second)] == second[: len(first)]:
        raise EncodeError(
            f"{model.name}: in item {item.id} of {task.name} the answers {item.true!r} and {item.distractor!r} have the "
            f"tokens {first} and {second}, one of which begins with the other, so they cannot be told apart; choose "
            "other words for the answers"
        )
    bos: Tokens = () if model.bos is None else (model.bos,)
    # The last token of an answer, or of what may be written, is never read.
    longest = len(bos) + len(ids) + max(len(first), len(second), task.format.max_tokens) - 1
    if model.context is not None and longest > model.context:
        behind = f"the {task.format.max_tokens} tokens that may be written" if task.format.is_free else "its answer"
        raise TooLongError(
            f"{model.name}: item {item.id} of {task.name} takes {longest} positions with {behind}, the model's context "
            f"has {model.context}; use a model with a longer context or shorter items"
        )
    if (highest := max(bos + ids + first + second)) >= model.vocab:
        raise EncodeError(
            f"{model.name}: its tokenizer has tokens that the model has not (number {highest} of {model.vocab}); "
            "the two do not belong together"
        )
    roles = _roles(task.roles(prompt), plain.offset_mapping, prompt)
    return Encoded(bos + ids, (first, second), ((("bos", 0),) if bos else ()) + roles)


def answers_behind(item: Item, text: str, model: Model) -> tuple[Tokens, Tokens]:
    """The tokens of both answers where they follow `text`, a space before each. Raises EncodeError as `encode`."""
    ids: Tokens = tuple(model.tokenizer(text, add_special_tokens=False).input_ids)
    first, second = (_answer(item, text, ids, f" {answer.strip()}", model) for answer in item.answers)
    return first, second


def _answer(item: Item, prompt: str, ids: Tokens, answer: str, model: Model) -> Tokens:
    """The tokens of `answer` behind `prompt`, whose own tokens are `ids`."""
    both = model.tokenizer(prompt + answer, add_special_tokens=False, return_offsets_mapping=True)
    if _unknown(prompt + answer, both, model) is not None:
        raise EncodeError(
            f"{model.name}: its tokenizer has no token for the answer {answer!r} of item {item.id}; "
            "use a model whose vocabulary covers the task's text"
        )
    whole: Tokens = tuple(both.input_ids)
    tokens = whole[len(ids) :]
    if whole[: len(ids)] != ids or not tokens:
        raise EncodeError(
            f"{model.name}: in item {item.id} the tokenizer merges the end of the prompt with the answer {answer!r}, so "
            "the answer has no probability of its own; let the answer begin with a space, or the prompt end in one"
        )
    return tokens


def _unknown(text: str, encoded: Any, model: Model) -> str | None:
    """The first piece of `text` that became the unknown token, or that no token covers: some tokenizers drop it silently.

    What is written as the unknown token itself is known: GPT-2's is <|endoftext|>, which chat templates write.
    """
    covered = bytearray(len(text))
    unknown, written = model.tokenizer.unk_token_id, model.tokenizer.unk_token  # looking them up takes long
    for token, (start, end) in zip(encoded.input_ids, encoded.offset_mapping, strict=True):
        if token == unknown and text[start:end].strip() != written:
            return text[start:end]
        covered[start:end] = b"\1" * (end - start)
    return next(
        (sign for sign, is_there in zip(text, covered, strict=True) if not is_there and not sign.isspace()), None
    )


def _roles(spans: Mapping[str, tuple[int, int]], offsets: Sequence[tuple[int, int]], prompt: str) -> tuple[Role, ...]:
    """Each token's role: the part of the layout that its first visible character lies in.

    What lies in no part is named by the part that comes next, `before cue`, or `rest` behind the last one: so a frame has
    the same name in prompts that lack some part further back. The last token of a prompt is always the `slot`.
    """
    parts = sorted(spans.items(), key=lambda part: part[1])
    names: list[str] = []
    for start, end in offsets:
        visible = next((k for k in range(start, end) if not prompt[k].isspace()), start)
        ahead = next(((name, first) for name, (first, last) in parts if visible < last), None)
        names.append("rest" if ahead is None else ahead[0] if ahead[1] <= visible else f"before {ahead[0]}")
    names[-1] = "slot"
    left = Counter(names)
    roles: list[Role] = []
    for name in names:
        left[name] -= 1
        roles.append((name, left[name]))
    return _once(tuple(roles))


@lru_cache(maxsize=1024)
def _once(roles: tuple[Role, ...]) -> tuple[Role, ...]:
    """The same roles as one object: most prompts of a task have them in common."""
    return roles
