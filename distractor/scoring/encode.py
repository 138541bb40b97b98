"""Tokenizes prompts and answers, and checks both.

The scoring rule is the same for every model. The tokenizer gets the prompt and the answer together. The answer's tokens
are those after the prompt's own tokens. Spaces at the end of a prompt move to the answer. The only special token is the
model's BOS.
"""

import unicodedata
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
"""A part of the prompt and a token in it, counted from its end: ("subject", 0) is the subject's last token."""


@dataclass(frozen=True)
class Encoded:
    """One item under one condition: the tokens of the prompt (with BOS) and of both answers, and each prompt token's role."""

    prompt: Tokens
    answers: tuple[Tokens, Tokens]
    roles: tuple[Role, ...]


@dataclass(frozen=True)
class Encoding:
    """A task in a model's tokens. Its items are those that are used.

    `rows[condition]` has one entry per item, None if the item is not shown under that condition. `dropped` counts the
    items without a wording of the same length as `conflict`. Such an item is dropped from `distractor_swapped`, or from
    all conditions if the wording of `congruent` is missing. Under `conflict`, it counts the items whose answers this
    tokenizer cannot score apart, in a task of an official file.
    """

    task: Task
    rows: Mapping[Condition, tuple[Encoded | None, ...]]
    dropped: Mapping[Condition, int]

    @property
    def items(self) -> tuple[Item, ...]:
        """The items that are used."""
        return self.task.items

    def complete(self, conditions: Sequence[Condition]) -> list[int]:
        """Indices of the items that are shown under all of `conditions`."""
        absent = (None,) * len(self.items)
        return [i for i in range(len(self.items)) if all(self.rows.get(c, absent)[i] is not None for c in conditions)]


class TooLongError(EncodeError):
    """A prompt is longer than the model's context."""


class UnscorableError(EncodeError):
    """The answers of an item cannot be scored apart under this tokenizer."""


def encode(task: Task, model: Model) -> Encoding:
    """Tokenize every prompt of a task in its format.

    Raises:
        EncodeError: the tokenizer lacks a word, has tokens that the model lacks, or merges prompt and answer; one answer
            begins with the other; a prompt is empty or longer than the model's context; no item is left.
    """
    try:
        return _encoding(task, model)
    except TooLongError as error:
        if not task.format.shots:
            raise
        raise EncodeError(f"{error}; {_shots_that_fit(task, model)}") from error


def _shots_that_fit(task: Task, model: Model) -> str:
    """How many worked examples fit the context, for an error message."""
    kept = {item.id for item in task.items}
    for count in reversed(range(task.format.shots) if task.with_shots else ()):
        shorter = task.with_shots(count) if task.with_shots else task
        try:
            _encoding(replace(shorter, items=tuple(item for item in shorter.items if item.id in kept)), model)
        except TooLongError:
            continue
        return f"at most {count} of the {task.format.shots} shots fit"
    return "it does not fit without shots either"


def _encoding(task: Task, model: Model) -> Encoding:
    task = apply_chat_template(task, model.tokenizer, model.name, adds_bos=model.bos is not None)
    prompts: list[dict[Condition, Encoded]] = []
    kept: list[Item] = []
    dropped: Counter[Condition] = Counter()
    unscorable: UnscorableError | None = None
    for item in task.items:
        try:
            encoded, missing = _encode_item(task, item, model)
        except UnscorableError as error:
            if not task.official:
                raise
            unscorable = error
            dropped[Condition.CONFLICT] += 1
            continue
        dropped.update(missing)
        if Condition.CONGRUENT in encoded or Condition.CONGRUENT not in item.prompts:
            kept.append(item)
            prompts.append(encoded)
    if not kept and unscorable is not None:
        raise unscorable
    if not kept:
        raise EncodeError(
            f"{model.name}: for none of the {len(task.items)} items of {task.name} is the congruent prompt as long as the "
            "conflict prompt under this tokenizer; add rewordings of the cue"
        )
    rows = {condition: tuple(encoded.get(condition) for encoded in prompts) for condition in task.conditions}
    return Encoding(replace(task, items=tuple(kept)), rows, dict(dropped))


def _encode_item(task: Task, item: Item, model: Model) -> tuple[dict[Condition, Encoded], list[Condition]]:
    """One item under its conditions, and the conditions without a wording as long as `conflict`."""
    conflict = _encode(task, item, item.prompts[Condition.CONFLICT], model)
    encoded = {Condition.CONFLICT: conflict}
    missing: list[Condition] = []
    for condition in (c for c in item.prompts if c is not Condition.CONFLICT):
        wordings = (_encode(task, item, text, model) for text in item.wordings(condition))
        length = len(conflict.prompt)
        row = next((row for row in wordings if condition not in ALIGNED or len(row.prompt) == length), None)
        if row is None:
            missing.append(condition)
        else:
            encoded[condition] = row
    return encoded, missing


def _encode(task: Task, item: Item, text: str, model: Model) -> Encoded:
    prompt = text.rstrip(" ")
    encoded, spaces = _tokenize(item, prompt, model), text[len(prompt) :]
    if not (ids := tuple(encoded.input_ids)):
        raise EncodeError(f"item {item.id} of {task.name} has an empty prompt: {text!r}; write a prompt")
    first, second = (_answer(item, prompt, ids, spaces + answer, model) for answer in item.answers)
    if first[: len(second)] == second[: len(first)]:
        raise UnscorableError(
            f"{model.name}: item {item.id} of {task.name}: the tokens of the answers {item.true!r} {first} and "
            f"{item.distractor!r} {second} cannot be distinguished, because one begins with the other; choose other answers"
        )
    bos: Tokens = () if model.bos is None else (model.bos,)
    # The model never reads the last token of an answer or of a generated text.
    longest = len(bos) + len(ids) + max(len(first), len(second), task.format.max_tokens) - 1
    if model.context is not None and longest > model.context:
        rest = f"the {task.format.max_tokens} tokens to generate" if task.format.is_written else "its answer"
        raise TooLongError(
            f"{model.name}: item {item.id} of {task.name} with {rest} takes {longest} positions, but the model's context "
            f"has {model.context}; use a model with a longer context or shorter items"
        )
    if (highest := max(bos + ids + first + second)) >= model.vocab:
        raise EncodeError(
            f"{model.name}: its tokenizer has token {highest}, but the model has only {model.vocab} tokens; use the "
            "tokenizer of this model"
        )
    roles = _roles(task.roles(prompt), encoded.offset_mapping, prompt)
    return Encoded(bos + ids, (first, second), ((("bos", 0),) if bos else ()) + roles)


def answers_after(item: Item, text: str, model: Model) -> tuple[Tokens, Tokens]:
    """The tokens of both answers after `text` and a space. Raises EncodeError like `encode`."""
    ids: Tokens = tuple(model.tokenizer(text, add_special_tokens=False).input_ids)
    first, second = (_answer(item, text, ids, f" {answer.strip()}", model) for answer in item.answers)
    return first, second


def _answer(item: Item, prompt: str, ids: Tokens, answer: str, model: Model) -> Tokens:
    """The tokens of `answer` after `prompt`, whose own tokens are `ids`."""
    both: Tokens = tuple(_tokenize(item, prompt + answer, model).input_ids)
    tokens = both[len(ids) :]
    if both[: len(ids)] != ids or not tokens:
        raise UnscorableError(
            f"{model.name}: item {item.id}: the tokenizer merges the end of the prompt with the answer {answer!r}, so the "
            "answer has no probability alone; begin the answer or end the prompt with a space"
        )
    return tokens


def _tokenize(item: Item, text: str, model: Model) -> Any:
    """Tokenize `text`, and refuse it if a part becomes the unknown token or gets no token at all.

    A text may spell out the unknown token: chat templates write <|endoftext|>, the unknown token of GPT-2. A tokenizer may
    bring the text into a Unicode normal form, as Qwen's does (NFC): a letter and its accent are then one character.
    """
    encoded = model.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    lacking = _lacking(text, encoded, model.tokenizer)
    if lacking is not None and not _is_normalized(text, encoded.input_ids, model.tokenizer):
        raise EncodeError(
            f"{model.name}: item {item.id}: the tokenizer has no token for {lacking!r}; use a model whose vocabulary "
            "covers the task's text"
        )
    return encoded


def _lacking(text: str, encoded: Any, tokenizer: Any) -> str | None:
    """The first part of `text` that becomes the unknown token, or the first visible character without a token."""
    covered = bytearray(len(text))
    unknown, spelled = tokenizer.unk_token_id, tokenizer.unk_token  # these look-ups are slow
    for token, (start, end) in zip(encoded.input_ids, encoded.offset_mapping, strict=True):
        if token == unknown and text[start:end].strip() != spelled:
            return text[start:end]
        covered[start:end] = b"\1" * (end - start)
    left = (c for c, is_covered in zip(text, covered, strict=True) if not is_covered and not c.isspace())
    return next(left, None)


def _is_normalized(text: str, ids: Sequence[int], tokenizer: Any) -> bool:
    """Whether these tokens of `text` are those of one of its Unicode normal forms, which the tokenizer covers."""
    forms = {unicodedata.normalize(form, text) for form in ("NFC", "NFKC", "NFD", "NFKD")} - {text}
    for normalized in forms:
        encoded = tokenizer(normalized, add_special_tokens=False, return_offsets_mapping=True)
        if encoded.input_ids == ids and _lacking(normalized, encoded, tokenizer) is None:
            return True
    return False


def _roles(spans: Mapping[str, tuple[int, int]], offsets: Sequence[tuple[int, int]], prompt: str) -> tuple[Role, ...]:
    """Each token's role: the part of the layout that contains the token's first visible character.

    A token between parts takes its name from the next part (`before cue`), or is `rest` after the last part. So the
    token's role does not change if an earlier part is missing. The last token of a prompt is always the `slot`.
    """
    parts = sorted(spans.items(), key=lambda part: part[1])
    names: list[str] = []
    for start, end in offsets:
        visible = next((k for k in range(start, end) if not prompt[k].isspace()), start)
        name, first = next(((name, first) for name, (first, last) in parts if visible < last), ("rest", 0))
        names.append(name if first <= visible else f"before {name}")
    names[-1] = "slot"
    left = Counter(names)
    roles: list[Role] = []
    for name in names:
        left[name] -= 1
        roles.append((name, left[name]))
    return _shared(tuple(roles))


@lru_cache(maxsize=1024)
def _shared(roles: tuple[Role, ...]) -> tuple[Role, ...]:
    """Return one shared object for equal roles, to save memory: most prompts of a task have equal roles."""
    return roles
