"""The training documents of the built-in models, as the tests of the tasks read them."""

from collections import defaultdict
from functools import cache
from itertools import cycle, islice
from random import Random
from typing import Any

from experiments.ladder.corpus import MODULES


def draw(name: str, count: int, seed: int = 1) -> dict[str, list[str]]:
    """{kind: documents} about a task, `count` in all, equally many of each kind."""
    module: Any = MODULES[name]
    rng = Random(seed)
    documents = defaultdict(list)
    for kind in islice(cycle(module.KINDS), count):
        documents[kind].append("".join(given + answered for given, answered in module.KINDS[kind](rng)))
    return documents


@cache
def documents(name: str) -> dict[str, list[str]]:
    """50,000 documents about a task."""
    return draw(name, 50_000)
