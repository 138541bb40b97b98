"""What models show about a task: prompts that a tokenizer drops, constant answers, and items that all answer alike."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from distractor.models.source import Source
from distractor.numbers import counted
from distractor.scoring import quantities
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.scoring.sweep import Scores, sweep
from distractor.soundness.findings import LEAST_EXCESS, Finding, classes
from distractor.text.task import ALIGNED, Answer, Condition, Task

CONSTANT_SHARE = 0.95
MOST_ALIKE = 0.5  # the largest share of items that all models may answer alike
LEAST_SIZES = 3  # models of fewer sizes often answer alike
LOW_COVERAGE = 0.5


def asked(task: Task) -> list[Condition]:
    """The conditions that models are scored under: `conflict`, and those that need prompts of equal length."""
    return [Condition.CONFLICT, *(condition for condition in ALIGNED if condition in task.conditions)]


def model_findings(task: Task, sources: Sequence[Source], store: Store, settings: Settings) -> Iterator[Finding]:
    """Every check that needs models. Raises as `sweep`."""
    every = sweep(task, sources, store, settings, only=asked(task))
    for condition in asked(task)[1:]:
        yield _dropped(task, every, condition)
    yield _constant(task, every)
    yield _coverage(task, every)
    if len({scores.source.n_params for scores in every}) >= LEAST_SIZES:
        yield _alike(task, every)


def _dropped(task: Task, every: Sequence[Scores], condition: Condition) -> Finding:
    """Items whose prompt has another number of tokens than `conflict` in every wording."""
    most = max(every, key=lambda scores: scores.dropped[condition])
    share = most.dropped[condition] / len(task.items)
    return Finding(
        f"{condition}: dropped by a tokenizer",
        f"at most {share:.2f} of the items" if share else "none",
        f"under the tokenizer of {most.source.name}, {share:.0%} of the {condition} prompts have another number of tokens "
        "than conflict in every wording; add rewordings of the cue"
        if share > LEAST_EXCESS
        else "",
    )


def _preferred(task: Task, scores: Scores) -> list[str | None]:
    """The answer that a model prefers in `conflict` for each item; None where it is not shown or both are equal."""
    gap = quantities.logit_gap(scores.log_probs)[task.conditions.index(Condition.CONFLICT)]
    return [
        item.answers[Answer.TRUE if ahead > 0 else Answer.DISTRACTOR].strip() if ahead else None
        for item, ahead in zip(task.items, np.nan_to_num(gap).tolist(), strict=True)
    ]


def _constant(task: Task, every: Sequence[Scores]) -> Finding:
    """Models that give one answer to almost all items. Their accuracy is the share of items where it is right."""
    if not classes(task):
        return Finding("constant answers", "answers are open", applies=False)
    constant = []
    for scores in every:
        given = [answer for answer in _preferred(task, scores) if answer is not None]
        (answer, count), *_ = Counter(given).most_common(1) or [("", 0)]
        if count > CONSTANT_SHARE * len(task.items):
            right = float(np.mean([item.true.strip() == answer for item in task.items]))
            constant.append(f"{scores.source.name} ({answer!r}, right in {right:.2f})")
    return Finding(
        "constant answers",
        f"{len(constant)} of {counted(len(every), 'model')}",
        f"the same answer to more than {CONSTANT_SHARE:.0%} of the items comes from {', '.join(constant)}; their accuracy "
        "says nothing about the task"
        if constant
        else "",
    )


def _coverage(task: Task, every: Sequence[Scores]) -> Finding:
    """The share of probability on the two answers, which is low if models would continue otherwise."""
    row = task.conditions.index(Condition.CONFLICT)
    shares = {scores.source.name: float(np.nanmean(quantities.coverage(scores.log_probs)[row])) for scores in every}
    low = [f"{name} {share:.2f}" for name, share in shares.items() if share < LOW_COVERAGE]
    return Finding(
        "probability on the two answers",
        f"{min(shares.values()):.2f} to {max(shares.values()):.2f}",
        f"models put less than half of the probability on the two answers: {', '.join(low)}; show the answers in the "
        "prompt, or use answers that are a likely continuation"
        if low
        else "",
    )


def _alike(task: Task, every: Sequence[Scores]) -> Finding:
    """Items to which all models give the same answer: only the others tell models apart."""
    rows = [_preferred(task, scores) for scores in every]
    alike = [
        item.true.strip() == answers[0]
        for item, answers in zip(task.items, zip(*rows, strict=True), strict=True)
        if None not in answers and len(set(answers)) == 1
    ]
    share = len(alike) / len(task.items)
    found = f"{share:.2f} ({sum(alike)} right, {len(alike) - sum(alike)} wrong)"
    return Finding(
        "items that all models answer alike",
        found,
        f"all {len(every)} models give the same answer to {share:.0%} of the items; only the others tell models apart"
        if share > MOST_ALIKE
        else "",
    )
