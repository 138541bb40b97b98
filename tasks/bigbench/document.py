"""A task file of BIG-bench in JSON: its examples, and the prompt that BIG-bench writes for each without worked examples."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

CHOICE_SEED = 42  # BIG-bench's own seed for the order of choices in a prompt
CHOICE_PREFIX = "\n  choice: "


@dataclass(frozen=True)
class Example:
    """One example: its number from 0, the input, the target (if it has one) and the score of each answer (1 is right)."""

    index: int
    input: str
    target: str = ""
    scores: Mapping[str, int] = field(default_factory=dict)

    @property
    def right(self) -> tuple[str, ...]:
        """The answers that score 1, in the file's order."""
        return tuple(answer for answer, score in self.scores.items() if score == 1)

    @property
    def false(self) -> tuple[str, ...]:
        """The answers that score 0, in the file's order."""
        return tuple(answer for answer, score in self.scores.items() if score == 0)


@dataclass(frozen=True)
class Document:
    """The examples of a task file and the texts around them. With `lists_choices`, a prompt lists all answers."""

    examples: tuple[Example, ...]
    task_prefix: str = ""
    input_prefix: str = ""
    output_prefix: str = ""
    lists_choices: bool = False

    def prompt(self, example: Example) -> str:
        """The prompt without worked examples, as BIG-bench writes it; choices are in its order, which never changes."""
        listed = "".join(CHOICE_PREFIX + choice for choice in choice_order(example.scores)) * self.lists_choices
        return f"{self.task_prefix}{self.input_prefix}{example.input}{listed}{self.output_prefix}"


def parse(content: bytes) -> Document:
    """Read a task file, which was verified before."""
    found = json.loads(content)
    examples = tuple(
        Example(index, row["input"], row.get("target", ""), row.get("target_scores", {}))
        for index, row in enumerate(found["examples"])
    )
    return Document(
        examples,
        task_prefix=found.get("task_prefix", ""),
        input_prefix=found.get("example_input_prefix", "\nQ: "),
        output_prefix=found.get("example_output_prefix", "\nA: "),
        # One file writes it as a text.
        lists_choices=str(found.get("append_choices_to_input", True)).lower() == "true",
    )


def choice_order(scores: Mapping[str, int]) -> list[str]:
    """The answers in the order of BIG-bench's prompts: sorted, then permuted with its seed.

    >>> choice_order({"d": 0, "c": 1, "b": 0, "a": 0})
    ['b', 'd', 'a', 'c']
    """
    import numpy as np

    return [str(choice) for choice in np.random.RandomState(CHOICE_SEED).permutation(sorted(scores))]
