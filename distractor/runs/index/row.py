"""What the index says about one run, or about one format or task of a run."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from distractor.models.source import EMBEDDED, NO_FAMILY
from distractor.runs.folder import PAGE
from distractor.runs.page.blocks import Answered

MOST_NAMED = 3  # models that are named one by one
BY_LABEL: dict[str, Answered] = {"supported": "yes", "contradicted": "no"}


@dataclass(frozen=True)
class IndexRow:
    """One line of the index. `peak` is the size at which preference peaks, by name and parameters.

    `page` is the path of the page inside the run's folder. `is_verdict` says whether `label` is a verdict about the
    hypothesis; other labels name a shape or a change.
    """

    task: str
    models: str
    form: str
    label: str
    peak: tuple[str, int] | None = None
    page: str = PAGE
    is_verdict: bool = False

    def __post_init__(self) -> None:
        names = (self.task, self.models, self.form, self.label, *(self.peak[:1] if self.peak else ()))
        if not all(isinstance(name, str) for name in names):
            raise TypeError("a name is no text")
        if self.peak and not isinstance(self.peak[1], int):
            raise TypeError("parameters are no whole number")

    @property
    def answered(self) -> Answered:
        """Which colour the label has."""
        return BY_LABEL.get(self.label, "unclear") if self.is_verdict else "unclear"


Rows = Callable[[Mapping[str, Any], Mapping[str, Any]], Iterator[IndexRow]]
"""The rows of a run from its manifest and its summary. Raises LookupError or TypeError if these are not what was written."""


def models_text(families: Iterable[str], names: Sequence[str]) -> str:
    """Models in few words: a single model or family, else their names, or only their number.

    >>> models_text(["pythia", "pythia"], ["pythia/70m", "pythia/160m"]), models_text(["models"], ["my/model"])
    ('pythia', 'my/model')
    """
    known = dict.fromkeys(map(family_text, families))
    if len(names) == 1:
        return names[0]
    if NO_FAMILY not in known and len(known) == 1:
        return next(iter(known))
    return ", ".join(names) if len(names) <= MOST_NAMED else f"{len(names):,} models"


def family_text(family: str) -> str:
    """The name of a family; one name for all embedded models, of which each task has its own."""
    return EMBEDDED if family.startswith(f"{EMBEDDED}/") else family


def peak_of(sizes: Iterable[tuple[str, int, float | None]]) -> tuple[str, int] | None:
    """The name and parameters of the size with the highest value, the first on a tie; None for fewer than two sizes."""
    known = [(name, n_params, value) for name, n_params, value in sizes if value is not None]
    if len({n_params for _, n_params, _ in known}) < 2:
        return None
    name, n_params, _ = max(known, key=lambda size: size[2])
    return name, n_params
