"""Multiple choice with one right answer and no other condition: theorems to correct, and questions that invite a falsehood.

The files name no distractor. The rules were fixed before any model was run:

- `truthful_qa`: the first false answer in the file, which is also the first in the authors' list of false answers.
- `identify_math_theorems`: the theorem as given, where it is false (copying it is the easier task). Where it is right or is
  not among the answers, the first false answer in the file.
- `identify_math_theorems.false_theorems`: only examples whose theorem as given is a false answer.

All other answers are not scored, and their probability is lost coverage. So accuracy is that of a choice between two, and
is higher than BIG-bench's own grade, which asks that the right answer beats all others.
Lin, Hilton and Evans 2022 (arXiv 2109.07958) collected the questions.
"""

from collections.abc import Callable
from dataclasses import replace

from distractor.text.task import Condition, Item, Task

from .document import Document, Example

THEOREMS = "identify_math_theorems"
FALSE_THEOREMS = f"{THEOREMS}.false_theorems"
TRUTHFUL = "truthful_qa"


def theorems(document: Document, source: str) -> Task:
    """Use every theorem."""
    return _task(document, source, THEOREMS, "Is a false theorem preferred to the right one?", _copied_or_first)


def false_theorems(document: Document, source: str) -> Task:
    """Use the theorems that are false as given: there the distractor task is to copy."""
    kept = tuple(example for example in document.examples if example.input in example.false)
    left_out = tuple(f"example {example.index}" for example in document.examples if example not in kept)
    return _task(
        replace(document, examples=kept),
        source,
        FALSE_THEOREMS,
        "Is a false theorem copied instead of corrected?",
        _copied_or_first,
        {"the theorem as given is not a false answer": left_out} if left_out else {},
    )


def truthful(document: Document, source: str) -> Task:
    """Use every question."""
    return _task(document, source, TRUTHFUL, "Is a common falsehood preferred to the truth?", _first_false)


def _copied_or_first(example: Example) -> str:
    """The theorem as given if it is false, otherwise the first false answer."""
    return example.input if example.input in example.false else _first_false(example)


def _first_false(example: Example) -> str:
    return example.false[0]


def _task(
    document: Document,
    source: str,
    name: str,
    question: str,
    distractor: Callable[[Example], str],
    left_out: dict[str, tuple[str, ...]] | None = None,
) -> Task:
    groups: dict[str, str] = {}
    return Task(
        name=name,
        question=question,
        items=tuple(
            Item(
                id=f"{name}/{example.index}",
                group=groups.setdefault(example.input, f"{name}/{example.index}"),
                true=example.right[0],
                distractor=distractor(example),
                prompts={Condition.CONFLICT: document.prompt(example)},
                more_answers=len(example.scores) - 2,
            )
            for example in document.examples
        ),
        source=source,
        left_out=left_out or {},
    )
