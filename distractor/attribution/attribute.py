"""Attribution: what probes read in one or more models on the items of a task, and what of it stands out."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from distractor.models.source import Source
from distractor.probing.examine import Examination, check_request, count_readings, examine, is_weighed
from distractor.progress import Advance
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.scoring.sweep import sweep
from distractor.text.task import Task

if TYPE_CHECKING:
    from distractor.probing.probe import Probe


def attribute(
    task: Task,
    sources: Sequence[Source],
    probes: "Mapping[str, Probe]",
    *,
    store: Store,
    settings: Settings | None = None,
    forgive: bool = False,
    weigh: bool | None = None,
    advance: Advance = lambda _: None,
) -> Examination:
    """Read `probes`, by their names, in each model on the items of `task`, and its behaviour beside them.

    A probe with a field `other` compares `conflict` with that condition; it is read for every aligned condition that
    the task has (`activation_patching` also as `activation_patching/distractor_swapped`). With `forgive`, a probe that
    a model cannot be read with is left out and told in `refused`. `weigh` says whether the strengths of sites are read,
    where `ablation` is among the probes; by default with several models. Everything is kept in `store` and not computed
    again.

    Raises:
        DistractorError: a model, the task's text under it, or the store is not what it should be; the type is too
            coarse (bfloat16, float16); or, without `forgive`, a probe cannot be trusted in a model.

    """
    settings = settings or Settings()
    check_request(task, settings, halved=is_weighed(sources, probes, weigh))
    scores = sweep(task, sources, store, settings, advance)
    return examine(task, scores, probes, store=store, settings=settings, forgive=forgive, weigh=weigh, advance=advance)


def count(task: Task, sources: Sequence[Source], probes: "Mapping[str, Probe]", *, weigh: bool | None = None) -> int:
    """How often `attribute` advances."""
    return len(sources) * len(task.conditions) + count_readings(task, sources, probes, weigh=weigh)
