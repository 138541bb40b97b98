"""The two options of a multiple-choice row, whose classes are the labels A and B."""

import re
from dataclasses import dataclass

from ..rows import Row

OPTIONS = re.compile(
    r"^[ \t]*\(?A[.):][ \t]*(?P<A>\S.*?)[ \t]*\n+[ \t]*\(?B[.):][ \t]*(?P<B>\S.*?)[ \t]*$", re.MULTILINE
)


ANSWERED = re.compile(r"\s*(?:Answer|A):[^\n]*\S[ \t]*\n+")
"""The answer of a worked example."""


@dataclass(frozen=True)
class Options:
    """The worked examples, the question, the text from its options on, and the options of the true and the other label."""

    examples: str
    question: str
    tail: str
    true: str
    distractor: str


def options_of(row: Row) -> Options | None:
    r"""Return the options of a row's last question; None unless there are exactly two, with the labels A and B.

    >>> options_of(Row(0, 1, "Which is warm?\nA. ice\nB. fire\nAnswer:", (" A", " B"), 1))
    Options(examples='', question='Which is warm?\n', tail='A. ice\nB. fire\nAnswer:', true='fire', distractor='ice')
    """
    found = list(OPTIONS.finditer(row.prompt))
    labels = row.true.strip(), row.distractor.strip()
    if not found or sorted(labels) != ["A", "B"]:
        return None
    begin, start = 0, found[-1].start()
    if len(found) > 1:
        answered = ANSWERED.match(row.prompt, found[-2].end())
        if answered is None:
            return None
        begin = answered.end()
    true, distractor = (found[-1][label] for label in labels)
    return Options(row.prompt[:begin], row.prompt[begin:start], row.prompt[start:], true, distractor)
