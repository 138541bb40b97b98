"""The two options of a multiple-choice row, whose classes are the labels A and B."""

import re
from dataclasses import dataclass

from ..rows import Row

OPTIONS = re.compile(
    r"^[ \t]*\(?A[.):][ \t]*(?P<A>\S.*?)[ \t]*\n+[ \t]*\(?B[.):][ \t]*(?P<B>\S.*?)[ \t]*$", re.MULTILINE
)


@dataclass(frozen=True)
class Options:
    """The text before the options, the text from the options on, and the options of the true and the other label."""

    head: str
    tail: str
    true: str
    distractor: str


def options_of(row: Row) -> Options | None:
    r"""Return the options of a row; None unless there are exactly two, with the labels A and B.

    >>> options_of(Row(0, 1, "Which is warm?\nA. ice\nB. fire\nAnswer:", (" A", " B"), 1))
    Options(head='Which is warm?\n', tail='A. ice\nB. fire\nAnswer:', true='fire', distractor='ice')
    """
    found = list(OPTIONS.finditer(row.prompt))
    labels = row.true.strip(), row.distractor.strip()
    if len(found) != 1 or sorted(labels) != ["A", "B"]:
        return None
    start = found[0].start()
    true, distractor = (found[0][label] for label in labels)
    return Options(row.prompt[:start], row.prompt[start:], true, distractor)
