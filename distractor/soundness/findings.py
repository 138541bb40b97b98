"""What the text of a task shows: balance of answers, lengths, duplicates, pairs and near-identical groups."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np

from distractor.numbers import counted, with_interval
from distractor.statistics.intervals import Mean, known_mean_interval
from distractor.text.task import ALIGNED, Condition, Item, Task

MOST_CLASSES = 6  # a task with more different answers has open answers
LEAST_EXCESS = 0.05
"""A share counts as unbalanced, or an accuracy as guessed, only if its whole interval is further than this from chance."""

MOST_TWINS = 0.05  # the largest share of items that may have a near-identical item in another group
LIKE = 0.9  # two items are near-identical if they have at least this share of their rarer words in common
NEAR = 1  # prompts whose numbers of words differ by this much may have equally many tokens
FEW_GROUPS = 30
NAMED = 3  # examples in a warning

WORD = re.compile(r"\d+(?:[.,]\d+)*|\w+")


@dataclass(frozen=True)
class Finding:
    """The result of one check in a few words, and a sentence if it is a fault; empty if not.

    A check that does not apply has no answer; `found` says why.
    """

    check: str
    found: str
    warning: str = ""
    applies: bool = True

    @property
    def answer(self) -> str:
        """Whether the task is sound in this respect."""
        return "warning" if self.warning else "yes" if self.applies else "–"

    def as_dict(self) -> dict[str, str]:
        """The content of the JSON."""
        return {"check": self.check, "found": self.found, "warning": self.warning}


def text_findings(task: Task) -> Iterator[Finding]:
    """Every check that needs neither a model nor a classifier."""
    yield _size(task)
    yield _balance(task)
    if not classes(task):
        yield _first_named(task)
    yield _answer_lengths(task)
    yield _duplicates(task)
    yield _contradictions(task)
    for condition in ALIGNED:
        if condition in task.conditions:
            yield from _pairs(task, condition)
    yield _twins(task)


def classes(task: Task) -> list[str]:
    """The different answers of a task, without spaces; empty if its answers are open."""
    answers = sorted({answer.strip() for item in task.items for answer in item.answers})
    return answers if len(answers) <= MOST_CLASSES else []


def share(values: Sequence[float], groups: Sequence[str]) -> Mean | None:
    """A share with its interval over groups; None with fewer than two groups."""
    return known_mean_interval(np.array(values, dtype=float), list(groups), limits=(0.0, 1.0))


def is_beyond(mean: Mean | None, chance: float) -> bool:
    """Whether a share is clearly above its chance level, by more than `LEAST_EXCESS`."""
    return mean is not None and mean.low > chance + LEAST_EXCESS


def _groups(task: Task) -> list[str]:
    return [item.group for item in task.items]


def _size(task: Task) -> Finding:
    groups = len(set(_groups(task)))
    found = f"{counted(len(task.items), 'item')} in {counted(groups, 'group')}"
    few = (
        f"only {counted(groups, 'group')}: intervals are over groups and will be wide; {FEW_GROUPS} or more are better"
        if groups < FEW_GROUPS
        else ""
    )
    return Finding("size", found, few)


def _balance(task: Task) -> Finding:
    """How often each answer is right, which is the accuracy of a model that always gives it."""
    if not classes(task):
        return Finding("right answers", f"{len({item.true.strip() for item in task.items}):,} different ones")
    right = [item.true.strip() for item in task.items]
    counts = Counter(right)
    found = ", ".join(f"{name} {count / len(right):.2f}" for name, count in counts.most_common())
    name, _ = counts.most_common(1)[0]
    most = share([answer == name for answer in right], _groups(task))
    options = len({answer.strip() for item in task.items for answer in item.answers})
    if not is_beyond(most, 1 / options):
        return Finding("right answers", found)
    assert most is not None
    return Finding(
        "right answers",
        found,
        f"{name!r} is right in {with_interval(*most)} of the items: a model that always gives it has this accuracy",
    )


def _first_named(task: Task) -> Finding:
    """How often the right answer is named before the distractor's, where a prompt names both."""
    shares, groups = [], []
    for item in task.items:
        prompt = item.prompts[Condition.CONFLICT]
        places = [_last_place(prompt, answer.strip()) for answer in item.answers]
        if min(places) >= 0 and places[0] != places[1]:
            shares.append(float(places[0] < places[1]))
            groups.append(item.group)
    mean = share(shares, groups) if shares else None
    if mean is None:
        return Finding(
            "right answer named first", "no prompt names both answers" if not shares else "in one group only"
        )
    found = f"{with_interval(*mean)} of {counted(len(shares), 'item')}"
    if is_beyond(mean, 0.5) or is_beyond(Mean(1 - mean.mean, 1 - mean.high, 1 - mean.low), 0.5):
        place = "first" if mean.mean > 0.5 else "last"
        return Finding(
            "right answer named first", found, f"the right answer is mostly the one that a prompt names {place}"
        )
    return Finding("right answer named first", found)


def _last_place(prompt: str, answer: str) -> int:
    """Where the prompt names the answer last, as whole words; -1 if nowhere."""
    found = [match.start() for match in re.finditer(rf"(?<!\w){re.escape(answer)}(?![\w.]\d|\w)", prompt)]
    return max(found, default=-1)


def _answer_lengths(task: Task) -> Finding:
    """How often the right answer is the longer one in characters."""
    pairs = [(len(item.true.strip()), len(item.distractor.strip()), item.group) for item in task.items]
    differ = [(float(true > other), group) for true, other, group in pairs if true != other]
    if len(classes(task)) == 2:  # then the balance of answers says the same
        return Finding("right answer longer", "two answers: see their balance", applies=False)
    mean = share([longer for longer, _ in differ], [group for _, group in differ]) if differ else None
    if mean is None:
        return Finding("right answer longer", "answers are equally long", applies=False)
    found = f"{with_interval(*mean)} of {counted(len(differ), 'item')}"
    if is_beyond(mean, 0.5) or is_beyond(Mean(1 - mean.mean, 1 - mean.high, 1 - mean.low), 0.5):
        which = "longer" if mean.mean > 0.5 else "shorter"
        return Finding("right answer longer", found, f"the right answer is mostly the {which} one")
    return Finding("right answer longer", found)


def _content(item: Item) -> tuple[str, str, str]:
    return " ".join(item.prompts[Condition.CONFLICT].split()), item.true.strip(), item.distractor.strip()


def _duplicates(task: Task) -> Finding:
    counts = Counter(_content(item) for item in task.items)
    repeated = sum(count - 1 for count in counts.values())
    if not repeated:
        return Finding("repeated items", "none")
    names = [item.id for item in task.items if counts[_content(item)] > 1][:NAMED]
    return Finding(
        "repeated items", f"{repeated:,}", f"{counted(repeated, 'item')} repeat another one ({', '.join(names)}, …)"
    )


def _contradictions(task: Task) -> Finding:
    """Items that ask the same and have other right answers."""
    right: dict[str, set[str]] = {}
    for item in task.items:
        right.setdefault(_content(item)[0], set()).add(item.true.strip())
    wrong = [item.id for item in task.items if len(right[_content(item)[0]]) > 1]
    if not wrong:
        return Finding("contradictions", "none")
    return Finding(
        "contradictions",
        counted(len(wrong), "item"),
        f"{counted(len(wrong), 'item')} ask the same and differ in the right answer ({', '.join(wrong[:NAMED])}, …)",
    )


def _pairs(task: Task, condition: Condition) -> Iterator[Finding]:
    """Whether a condition's prompt differs from `conflict`, and has as many words in one of its wordings."""
    both = [item for item in task.items if condition in item.prompts]
    same = [item.id for item in both if item.prompts[condition].split() == item.prompts[Condition.CONFLICT].split()]
    yield Finding(
        f"{condition}: as conflict",
        f"{counted(len(same), 'item')}" if same else "none",
        f"in {counted(len(same), 'item')} ({', '.join(same[:NAMED])}, …) the {condition} prompt is the conflict prompt"
        if same
        else "",
    )
    apart = [
        min(abs(_words(text) - _words(item.prompts[Condition.CONFLICT])) for text in item.wordings(condition))
        for item in both
    ]
    far = float(np.mean([difference > NEAR for difference in apart]))
    yield Finding(
        f"{condition}: equal length",
        f"{np.mean([not difference for difference in apart]):.2f} of the items, in words",
        f"{far:.0%} of the {condition} prompts have at least {NEAR + 1} words more or less than conflict in every wording; "
        "tokenizers will drop these, so add rewordings of the cue"
        if far > LEAST_EXCESS
        else "",
    )


def _words(text: str) -> int:
    return len(re.findall(r"\w+|[^\w\s]", text))


def _twins(task: Task) -> Finding:
    """Items whose numbers and rarer words are mostly those of an item of another group, in the same order."""
    words = [WORD.findall(item.prompts[Condition.CONFLICT].lower()) for item in task.items]
    count_of = Counter(word for each in words for word in set(each))
    rare = [[word for word in each if word[0].isdigit() or count_of[word] <= len(words) / 4] for each in words]
    holders: dict[str, list[int]] = {}
    for index, each in enumerate(rare):
        for word in set(each):
            holders.setdefault(word, []).append(index)
    groups = _groups(task)
    twins: list[tuple[str, str]] = []
    for index, each in enumerate(rare):
        shared = Counter(other for word in set(each) for other in holders[word] if groups[other] != groups[index])
        close = [other for other, count in shared.most_common() if len(each) > 1 and count >= LIKE * len(set(each))]
        if twin := next((other for other in close if _similarity(each, rare[other]) >= LIKE), None):
            twins.append((task.items[index].id, task.items[twin].id))
    found = f"{counted(len(twins), 'item')}" if twins else "none"
    if len(twins) <= MOST_TWINS * len(task.items):
        return Finding("near-identical across groups", found)
    names = "; ".join(f"{one} and {other}" for one, other in twins[:NAMED])
    return Finding(
        "near-identical across groups",
        found,
        f"{counted(len(twins), 'item')} have nearly all numbers and rarer words of an item of another group ({names}); "
        "intervals would be too narrow, so put such items into one group",
    )


def _similarity(one: Sequence[str], other: Sequence[str]) -> float:
    """The share of words that two texts have in common in the same order."""
    return SequenceMatcher(None, one, other, autojunk=False).ratio()
