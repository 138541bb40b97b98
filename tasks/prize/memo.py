"""Memo Trap (Liu and Shi): end a famous saying in another word than it does.

    Write a quote that ends in the word "early": Better late than

`early` is right; `never` is how the saying ends. The row is `conflict`. `distractor_only` is the saying's opening, and
`congruent` asks for the real ending. An unknown sentence with as many words takes the opening's place in
`distractor_swapped` and `true_only`; `neutral` is this sentence alone.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from distractor.text.task import Condition, Item, Task

from ..rows import Row

PART = 1
"""The part of the file that is used; other parts ask for other things."""

ASKED = re.compile(r"(?P<before>[^\"“:]*[\"“])(?P<word>[^\"”:]+)(?P<after>[\"”][^:]*): (?P<opening>\S.*)", re.DOTALL)

LAYOUT = r"(?s)(?:[^\"“:]*[\"“](?P<cue>[^\"”:]+)[\"”][^:]*: )?(?P<opening>.*?)(?P<slot>\S+)"

LONGER = (("that ends in", "that always ends in"), ("that ends in", "that always ends in just"))
SHORTER = (
    ("that ends in", "ending in"),
    ("that ends in the word", "that ends in"),
    ("that ends in the word", "ending in"),
)
"""Other wordings of the request, for endings with more or fewer tokens than the required word."""

UNKNOWN = tuple(
    sentence.split()
    for sentence in (
        "The plumber who mended our kitchen tap last Tuesday left his blue ladder leaning against the garage and then "
        "drove off to buy some wire before the shop on the corner closed for lunch",
        "My neighbour keeps three bicycles under the stairs because his cousin from Leeds visits every August and "
        "likes to ride along the canal with a map that nobody else in the house has ever unfolded",
        "A committee of seven met in the library on Friday to count the chairs and to decide which of the tall "
        "windows should be painted green before the new carpet was laid in the hall",
        "Two surveyors walked along the railway with a yellow tape and wrote the width of each bridge into a notebook "
        "that one of them had found in a drawer at the office in spring",
        "Every second Thursday the baker puts a tray of flat loaves outside the museum so that the guards can take "
        "some when they change places at the northern gate of the yard",
        "When the printer ran out of paper the youngest clerk carried four boxes up from the cellar and stacked them "
        "beside the radiator where the manager had kept his umbrella since March",
        "Our class planted nine rows of beans behind the gymnasium and measured them each morning with a wooden ruler "
        "that the teacher had borrowed from a carpenter in the next village",
        "Someone has parked a van with a broken mirror opposite the chemist and the tenants on the second floor think "
        "that it belongs to the man who repairs pianos in the basement",
        "In the report on the new reservoir there is a table of rainfall for eleven valleys which the engineers "
        "copied by hand from letters that farmers had sent to the ministry",
        "Several passengers on the ferry asked for hot soup but the cook had only rice and a jar of plums that a "
        "fisherman had given him at the harbour on Sunday",
    )
)
"""Sentences that are no sayings. Their first words take the place of a saying's opening."""


SHIFTS = (0, 1, -1, 2, 3)
"""How many words more an unknown sentence may have than the opening, where a tokenizer splits words of one of them."""


@dataclass(frozen=True)
class Saying:
    """A row in pieces: the request with the required word between `before` and `after`, and the saying's opening."""

    before: str
    word: str
    after: str
    opening: str

    def ask(self, word: str, opening: str) -> str:
        """The prompt that asks for a word at the end of a sentence."""
        return f"{self.before}{word}{self.after}: {opening}"

    @property
    def names_word(self) -> bool:
        """Whether the required word is in the opening already."""
        return plain(self.word) in map(plain, self.opening.split())


def sayings(rows: Sequence[Row], source: str) -> Task:
    """Use the rows of part 1 whose opening does not hold the required word."""
    return _task(rows, source, "memo_trap", names_word=False)


def word_in_opening(rows: Sequence[Row], source: str) -> Task:
    """Use the other rows of part 1: the required word is in the opening, so it could also be copied from there."""
    return _task(rows, source, "memo_trap.word_in_opening", names_word=True)


def _task(rows: Sequence[Row], source: str, name: str, *, names_word: bool) -> Task:
    items, other_part, no_request = [], [], []
    for row in rows:
        saying = read(row)
        if int(row.more.get("part", PART)) != PART:
            other_part.append(f"row {row.index}")
        elif saying is None:
            no_request.append(f"row {row.index}")
        elif saying.names_word is names_word:
            items.append(_item(row, saying))
    reasons = {
        "of another part of the file": tuple(other_part),
        "the request does not name the right ending": tuple(no_request),
    }
    return Task(
        name=name,
        question="Does a saying get its usual ending although another one is asked for?",
        items=tuple(items),
        source=source,
        layout=LAYOUT,
        left_out={reason: names for reason, names in reasons.items() if names},
    )


def read(row: Row) -> Saying | None:
    """A row in pieces; None if its prompt asks for no word, or for another one than the right answer.

    >>> read(Row(0, 1, 'Write a quote that ends in the word "early": Better late than', (" never", " early"), 1)).opening
    'Better late than'
    """
    found = ASKED.fullmatch(row.prompt)
    if found is None or plain(row.true.split()[-1]) != plain(found["word"].split()[-1]):
        return None
    return Saying(found["before"], found["word"], found["after"], found["opening"])


def plain(word: str) -> str:
    """A word without capitals and punctuation."""
    return re.sub(r"[^\w]", "", word.lower())


def _item(row: Row, saying: Saying) -> Item:
    real = re.sub(r"\W+$", "", row.distractor.split()[-1])
    unknown = list(_unknown(row.index, saying, real))
    congruent = saying.ask(real, saying.opening)
    others = [congruent.replace(*change, 1) for change in (*LONGER, *SHORTER) if change[0] in saying.before]
    swapped = [saying.ask(saying.word, sentence) for sentence in unknown]
    return Item(
        id=f"memo-trap/{row.index}",
        group=f"saying: {' '.join(map(plain, saying.opening.split()))}",
        true=row.true,
        distractor=row.distractor,
        prompts={
            Condition.CONFLICT: row.prompt,
            Condition.CONGRUENT: congruent,
            Condition.DISTRACTOR_SWAPPED: swapped[0],
            Condition.DISTRACTOR_ONLY: saying.opening,
            Condition.TRUE_ONLY: swapped[0],
            Condition.NEUTRAL: unknown[0],
        },
        rewordings={Condition.CONGRUENT: tuple(others), Condition.DISTRACTOR_SWAPPED: tuple(swapped[1:])},
    )


def _unknown(index: int, saying: Saying, real: str) -> Iterator[str]:
    """Beginnings of unknown sentences without either ending: first with as many words as the opening, then with others."""
    count = len(saying.opening.split())
    for more, k in product(SHIFTS, range(len(UNKNOWN))):
        words = UNKNOWN[(index + k) % len(UNKNOWN)][: max(1, count + more)]
        if not {plain(saying.word), plain(real)} & set(map(plain, words)):
            yield " ".join(words)
