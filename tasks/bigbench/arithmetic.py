"""Modified arithmetic: worked examples add one to each result, so the right answer is one more than plain arithmetic's.

    In these lines, -> means a simple operation.
    2 + 3 -> 6
    …
    4 + 5 ->

`10` is right, and `9` is the distractor's answer. Each query also has a control, whose examples show plain results. There
the examples agree with plain arithmetic (`congruent`), and nothing asks for the true task (`distractor_only`): one prompt
serves both. No prompt has neither cue, so there is no `neutral`.
"""

import re
from collections.abc import Mapping

from distractor.text.task import Condition, Item, Task

from .document import Document, Example

RESULT = re.compile(r"(?<=-> )-?\d+$", re.MULTILINE)
QUERY = re.compile(r"(\d+) ([-+*]) (\d+) ->")
EXAMPLES = 5

LAYOUT = (
    r"(?P<instruction>[^\n]*)\n"
    + "".join(rf"[^\n]*-> (?P<result{number}>-?\d+)\n" for number in range(1, EXAMPLES + 1))
    + r"(?P<query>[^\n]*) (?P<slot>->)"
)


def add_one(control: Document, plus_one: Document, name: str, source: str) -> Task:
    """Match each query that adds one with its control: equal but for the results, which are each one more.

    Queries without such a control are left out and listed.
    """
    controls = {_without_results(example): example for example in control.examples}
    items, left_out = [], []
    for example in plus_one.examples:
        plain = controls.get(_without_results(example))
        if plain is None or not _is_one_more(example, plain):
            left_out.append(f"example {example.index}")
            continue
        as_control = control.prompt(plain)
        items.append(
            Item(
                id=f"{name}/{example.index}",
                group=_group(example),
                true=example.target,
                distractor=plain.target,
                prompts={
                    Condition.CONFLICT: plus_one.prompt(example),
                    Condition.CONGRUENT: as_control,
                    Condition.DISTRACTOR_ONLY: as_control,
                },
            )
        )
    return Task(
        name=name,
        question="Is plain arithmetic done although the examples add one?",
        items=tuple(items),
        source=source,
        layout=LAYOUT,
        left_out=_reasons(left_out),
    )


def _reasons(left_out: list[str]) -> Mapping[str, tuple[str, ...]]:
    return {"no control with the same query and results one less": tuple(left_out)} if left_out else {}


def _without_results(example: Example) -> str:
    return RESULT.sub("", example.input)


def _is_one_more(example: Example, plain: Example) -> bool:
    """Whether every result, and the answer, is one more than in the control."""
    pairs = zip(_results(example), _results(plain), strict=True)
    return all(result == other + 1 for result, other in pairs)


def _results(example: Example) -> list[int]:
    return [int(number) for number in (*RESULT.findall(example.input), example.target)]


def _group(example: Example) -> str:
    """The query, in one order of its numbers where the order does not matter."""
    first, operation, second = QUERY.findall(example.input)[-1]
    numbers = (first, second) if operation == "-" else sorted((first, second), key=int)
    return f"query: {numbers[0]} {operation} {numbers[1]}"
