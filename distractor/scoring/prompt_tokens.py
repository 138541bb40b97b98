"""The number of tokens of a task's prompts, without loading a model."""

from collections.abc import Callable, Mapping

from distractor.errors import EncodeError
from distractor.models.parameters import readable
from distractor.models.source import Source
from distractor.text.task import Condition, Task

CHARACTERS = 4  # of a token, where it is not counted

Lengths = Mapping[Condition, float]
"""The tokens of all prompts under each condition."""

CountTokens = Callable[[Task, Source], Lengths]


def estimate_tokens(task: Task, source: Source | None = None) -> Lengths:
    """About how many tokens all prompts have under each condition: one for four characters."""
    texts = ((c, [item.prompts[c] for item in task.items if c in item.prompts]) for c in task.conditions)
    return {c: sum(map(len, prompts)) // CHARACTERS for c, prompts in texts}


class TokenCounter:
    """Counts the tokens of all prompts under each condition, once for each tokenizer and task."""

    def __init__(self) -> None:
        self._counted: dict[tuple[str, str], Lengths] = {}

    def __call__(self, task: Task, source: Source) -> Lengths:
        """The tokens of all prompts. Without a tokenizer.json, four characters count as one token.

        Raises:
            EncodeError: the tokenizer has no token for a word.
            ModelError: the tokenizer cannot be read.
        """
        path = source.tokenizer_folder / "tokenizer.json"
        if not path.is_file():
            return estimate_tokens(task)
        with readable(path):
            text = path.read_text(encoding="utf-8")
        key = text, task.fingerprint()
        if key not in self._counted:
            self._counted[key] = _count(task, source, text)
        return self._counted[key]


def _count(task: Task, source: Source, tokenizer_text: str) -> Lengths:
    from tokenizers import Tokenizer

    with readable(source.tokenizer_folder / "tokenizer.json"):
        tokenizer = Tokenizer.from_str(tokenizer_text)
    unknown = getattr(tokenizer.model, "unk_token", None)
    counts = {}
    for condition in task.conditions:
        prompts = [item.prompts[condition] for item in task.items if condition in item.prompts]
        encodings = tokenizer.encode_batch(prompts)
        counts[condition] = sum(len(encoding.ids) for encoding in encodings)
        for text, encoding in zip(prompts, encodings, strict=True):
            if unknown not in encoding.tokens:
                continue
            for token, (start, end) in zip(encoding.tokens, encoding.offsets, strict=True):
                if token == unknown and text[start:end].strip() != unknown:
                    raise EncodeError(
                        f"{source.name}: its tokenizer has no token for {text[start:end]!r} (in {condition.value} of "
                        f"{task.name}); use a model whose vocabulary covers the task's text"
                    )
    return counts
