"""How well the right answer is guessed from the surface of prompts and answers, by classifiers on held-out groups."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.numbers import with_interval
from distractor.soundness.findings import Finding, classes, is_beyond, share
from distractor.text.task import Answer, Condition, Task

FOLDS = 5
FEATURES = ("words", "character n-grams", "length")
POOLED = (Condition.CONFLICT, Condition.CONGRUENT)


def surface_findings(task: Task) -> Iterator[Finding]:
    """How often each kind of surface feature gives the right answer away, on items of groups that were not fitted.

    With a small set of answers, the prompt predicts which is right, in `conflict` and `congruent` together if the task has
    both. With open answers, the two answers of an item are compared.
    """
    groups = [item.group for item in task.items]
    if len(set(groups)) < FOLDS:
        yield Finding("guessed from surface", f"needs at least {FOLDS} groups", applies=False)
        return
    guess = _from_prompts if classes(task) else _from_answers
    for name in FEATURES:
        right, of_items, chance = guess(task, name)
        mean = share(right.tolist(), [groups[k] for k in of_items])
        assert mean is not None
        found = f"{with_interval(*mean)} right, {chance:.2f} by chance"
        what = "the prompts" if classes(task) else "the answers"
        warning = (
            f"the {name} of {what} alone give the right answer in {with_interval(*mean)} of the items of other groups"
        )
        yield Finding(f"guessed from {name}", found, warning if is_beyond(mean, chance) else "")


Guesses = tuple[Float[ndarray, " text"], list[int], float]
"""Whether each guess is right, the item that it is about, and the accuracy of the best constant answer."""


def _from_prompts(task: Task, name: str) -> Guesses:
    """Guess the right answer from the prompt."""
    from sklearn.linear_model import LogisticRegression

    shown = [
        (k, item.prompts[condition], item.answers[answer].strip())
        for k, item in enumerate(task.items)
        for condition in POOLED
        if condition in item.prompts and (answer := task.right.get(condition)) is not None
    ]
    texts, labels = [text for _, text, _ in shown], np.array([label for *_, label in shown])
    right = np.zeros(len(shown))
    chance = max(float((labels == label).mean()) for label in set(labels.tolist()))
    for fitted, held_out in _folds([task.items[k].group for k, *_ in shown]):
        if len(set(labels[fitted].tolist())) < 2:
            right[held_out] = labels[held_out] == labels[fitted][0]
            continue
        vectors = _vectors(name, [texts[k] for k in fitted], texts)
        classifier = LogisticRegression(max_iter=1000).fit(vectors[fitted], labels[fitted])
        right[held_out] = classifier.predict(vectors[held_out]) == labels[held_out]
    return right, [k for k, *_ in shown], chance


def _from_answers(task: Task, name: str) -> Guesses:
    """Guess which of the two answers of an item is right. A tie counts as half."""
    from sklearn.linear_model import LogisticRegression

    texts = [answer.strip() for item in task.items for answer in item.answers]
    count = len(task.items)
    right = np.zeros(count)
    for fitted, held_out in _folds([item.group for item in task.items]):
        vectors = _vectors(name, [texts[2 * k + answer] for k in fitted for answer in Answer], texts)
        difference = vectors[0::2] - vectors[1::2]
        both = _stack(difference[fitted], -difference[fitted])
        labels = np.repeat([1, 0], len(fitted))
        classifier = LogisticRegression(max_iter=1000, fit_intercept=False).fit(both, labels)
        score = classifier.decision_function(difference[held_out])
        right[held_out] = np.where(np.abs(score) < 1e-9, 0.5, score > 0)
    return right, list(range(count)), 0.5


def _folds(groups: list[str]) -> "Iterator[tuple[ndarray, ndarray]]":
    from sklearn.model_selection import GroupKFold

    yield from GroupKFold(FOLDS, shuffle=True, random_state=0).split(groups, groups=groups)


def _vectors(name: str, fitted: list[str], texts: list[str]) -> Any:
    """Features of every text; a vocabulary comes from the `fitted` texts alone."""
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

    if name == "length":
        lengths = np.array([[len(text), len(text.split())] for text in texts], dtype=float)
        of_fitted = np.array([[len(text), len(text.split())] for text in fitted], dtype=float)
        scaled: ndarray = (lengths - of_fitted.mean(0)) / np.maximum(of_fitted.std(0), 1e-9)
        return scaled
    vectorizer: Any = (
        CountVectorizer(token_pattern=r"\w+|[^\w\s]")
        if name == FEATURES[0]
        else TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)
    )
    return vectorizer.fit(fitted).transform(texts)


def _stack(first: Any, second: Any) -> Any:
    from scipy.sparse import issparse, vstack

    return vstack([first, second]) if issparse(first) else np.vstack([first, second])  # type: ignore[list-item]
