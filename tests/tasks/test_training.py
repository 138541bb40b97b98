"""Training documents about every task: reproducible and short. Their content is tested in the file of each task."""

import re

import pytest
from training import documents, draw

from experiments.ladder.corpus import LONGEST, MODULES
from experiments.ladder.vocabulary import AMOUNT
from tasks import TASKS

pytestmark = pytest.mark.parametrize("name", TASKS)


def test_the_same_seed_draws_the_same_documents(name: str) -> None:
    assert draw(name, 500, seed=3) == draw(name, 500, seed=3) != draw(name, 500, seed=4)


def test_documents_fit_into_the_context_of_the_models(name: str) -> None:
    for kind, texts in documents(name).items():
        words = rf"\n|[^\W\d_]+|{AMOUNT}|\d|[^\w\s]"
        longest = max(len(re.findall(words, text)) for text in sorted(texts, key=len)[-200:])
        assert longest <= (LONGEST - 30 if kind.startswith(("several", "reasoned")) else 60), (kind, longest)


def test_groups_are_held_out(name: str) -> None:
    groups = {item.group for item in TASKS[name]().items}
    held_out = MODULES[name].held_out()
    assert held_out < groups
    assert 0.25 <= len(held_out) / len(groups) <= 0.5
