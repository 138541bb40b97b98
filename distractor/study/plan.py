"""The plan of a study: its units, the time that they take side by side, and their memory."""

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from distractor.execution.unit import Unit
from distractor.models.source import Source
from distractor.runs.plan.cost import STATISTICS, Cost, RunWork, cost_of
from distractor.scoring.settings import Settings
from distractor.study.rounds import MEMORY

SIDE_BY_SIDE = 1.15  # times as long as alone: measured with two processes, which share caches and memory
STARTS = 2  # processes import more than is measured when they start


@dataclass(frozen=True)
class PlannedUnit:
    """A model with all its results that are not stored: their number, the seconds that they take, and bytes of memory."""

    unit: Unit
    results: int
    seconds: float

    @property
    def name(self) -> str:
        """The name of the model."""
        return self.unit.name


@dataclass(frozen=True)
class StudyPlan:
    """The units of a study, and the `seconds` of the whole study with so many `workers`."""

    units: tuple[PlannedUnit, ...]
    runs: int
    workers: int
    seconds: float

    @property
    def memory(self) -> int:
        """The most memory of a process that computes units and draws figures, in bytes."""
        return max([MEMORY, *(planned.unit.memory for planned in self.units)])


def plan(works: Sequence[RunWork], workers: int, fit: Callable[[Sequence[Unit]], bool]) -> StudyPlan:
    """Measure this machine for some seconds, and plan the runs of a study from what each has to do.

    `fit` says whether units can run side by side.

    Raises:
        ModelError, EncodeError: a model cannot be loaded, or cannot read a task.
    """
    alike: dict[tuple[frozenset[Source], Settings], list[RunWork]] = {}  # runs of the same models are measured together
    for work in works:
        alike.setdefault((frozenset(work.sources), work.settings), []).append(work)
    planned, commands, started = list[PlannedUnit](), 0.0, 0.0
    for group in alike.values():
        first = group[0]
        tasks = [task for work in group for task in work.tasks]
        steps = [step for work in group for step in work.steps]
        figures = sum(work.figures for work in group)
        cost = cost_of(steps, tasks, first.sources, first.settings, figures)
        planned += _units(first, cost)
        commands += sum(cost.speed.seconds(step) for step in cost.steps if not step.model)
        commands += (figures + len(group) * STATISTICS) * cost.of_figure
        started = max(started, cost.speed.started)
    planned.sort(key=lambda each: -each.seconds)
    seconds = makespan(planned, fit) + commands / workers
    if workers > 1:
        return StudyPlan(tuple(planned), len(works), workers, SIDE_BY_SIDE * seconds + STARTS * started)
    return StudyPlan(tuple(planned), len(works), workers, seconds + started)


def _units(work: RunWork, cost: Cost) -> Iterator[PlannedUnit]:
    """The models that have something to compute."""
    for source in work.sources:
        if own := [step for step in cost.steps if step.model == source.name]:
            unit = Unit(source, work.settings, ())
            seconds = sum(cost.speed.seconds(step) for step in own)
            for is_probed in {step.kind == "probe" for step in own}:  # a model is loaded to be scored, and to be probed
                seconds += cost.speed.loading(unit.n_params, hooks=is_probed)
            yield PlannedUnit(unit, len(own), seconds)


def makespan(units: Sequence[PlannedUnit], fit: Callable[[Sequence[Unit]], bool]) -> float:
    """Seconds until all units are done, if each begins as soon as it fits beside the running ones."""
    waiting, running, now, order = list(units), list[tuple[float, int, PlannedUnit]](), 0.0, count()
    while waiting or running:
        for planned in list(waiting):
            if fit([planned.unit, *(each.unit for _, _, each in running)]):
                waiting.remove(planned)
                heapq.heappush(running, (now + planned.seconds, next(order), planned))
        now, _, _ = heapq.heappop(running)
    return now
