"""The plan of a study: its units, the time that they take side by side, and their memory."""

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from distractor.execution.unit import Unit, units_of
from distractor.models.source import Source
from distractor.runs.plan.cost import STATISTICS, Cost, cost_of
from distractor.study.rounds import MEMORY, Needed
from distractor.study.study_file import StudyRun

FIGURES = 9  # of a run, with those of its page
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


def plan(
    needed: Mapping[StudyRun, Needed], runs: int, workers: int, fit: Callable[[Sequence[Unit]], bool]
) -> StudyPlan:
    """Measure this machine for some seconds, and plan what the runs of a study need.

    `fit` says whether units can run side by side.

    Raises:
        ModelError, EncodeError: a model cannot be loaded, or cannot read a task.
    """
    alike: dict[frozenset[Source], list[Needed]] = {}  # runs of the same models are measured together
    for wants in needed.values():
        alike.setdefault(frozenset(request.source for request in wants.requests), []).append(wants)
    planned, others, figure, started = list[PlannedUnit](), 0.0, 0.0, 0.0
    for group in alike.values():
        requests = [request for wants in group for request in wants.requests]
        tasks = list({id(task): task for request in requests if (task := getattr(request, "task", None))}.values())
        steps = [step for wants in group for step in wants.steps]
        sources = list(dict.fromkeys(request.source for request in requests))
        cost = cost_of(steps, tasks, sources, requests[0].settings, FIGURES)
        planned += [_planned(unit, cost) for unit in units_of(requests)]
        others += sum(cost.speed.seconds(step) for step in cost.steps if not step.model)
        figure, started = cost.of_figure, max(started, cost.speed.started)
    seconds = makespan(planned, fit) + (others + runs * (FIGURES + STATISTICS) * figure) / workers
    if workers > 1:
        return StudyPlan(tuple(planned), runs, workers, SIDE_BY_SIDE * seconds + STARTS * started)
    return StudyPlan(tuple(planned), runs, workers, seconds + started)


def _planned(unit: Unit, cost: Cost) -> PlannedUnit:
    own = [step for step in cost.steps if step.model == unit.name]
    seconds = sum(cost.speed.seconds(step) for step in own)
    for is_probed in {step.kind == "probe" for step in own}:  # a model is loaded to be scored, and again to be probed
        seconds += cost.speed.loading(unit.n_params, hooks=is_probed)
    return PlannedUnit(unit, len(own), seconds)


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
