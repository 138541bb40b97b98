"""The cost of a run on this machine: minutes, memory, and the most costly part."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cached_property

from distractor.models.parameters import parameters_of
from distractor.models.source import Source
from distractor.numbers import counted, duration, flop, gigabytes
from distractor.runs.plan.memory import MemoryNeed, memory_of
from distractor.runs.plan.speed import Speed, measure_speed
from distractor.scoring.settings import Settings
from distractor.text.task import Condition, Task
from distractor.work import Kind, Step

SCORES, TEXTS, LOADING, FIGURES = "scores", "texts", "loading models", "start, statistics and figures"
STATISTICS = 12.0
"""Statistics take about as long as this many figures."""


@dataclass(frozen=True)
class RunWork:
    """What the cost of a run is measured and counted for; `figures` are those that it draws at most."""

    steps: tuple[Step, ...]
    tasks: tuple[Task, ...]
    sources: tuple[Source, ...]
    settings: Settings
    figures: int


_collected: "ContextVar[list[RunWork] | None]" = ContextVar("collected", default=None)


@contextmanager
def collecting_work() -> Iterator[list[RunWork]]:
    """Collect what the plans of this block are about, instead of measuring and printing each."""
    works: list[RunWork] = []
    token = _collected.set(works)
    try:
        yield works
    finally:
        _collected.reset(token)


def is_collected(work: RunWork) -> bool:
    """Whether a plan is collected, so that nothing is to be measured or printed."""
    works = _collected.get()
    if works is not None:
        works.append(work)
    return works is not None


@dataclass(frozen=True)
class Cost:
    """Seconds of each step that is not cached, of loading, and of the rest; and the memory of the largest model.

    `figures` are those that the run draws at most, and `of_figure` the seconds that one takes.
    """

    steps: tuple[Step, ...]
    speed: Speed
    memory: MemoryNeed | None
    figures: int
    of_figure: float

    @cached_property
    def parts(self) -> dict[str, float]:
        """Seconds by part, the longest first: scores, texts, each probe, loading, and figures."""
        seconds: dict[str, float] = {}
        for step in self.steps:
            name = {"score": SCORES, "write": TEXTS}.get(step.kind, step.what)
            seconds[name] = seconds.get(name, 0.0) + self.speed.seconds(step)
        seconds[LOADING] = self._loading
        seconds[FIGURES] = self.speed.started + (self.figures + STATISTICS) * self.of_figure
        return dict(sorted(seconds.items(), key=lambda part: -part[1]))

    @property
    def seconds(self) -> float:
        """The time of the whole run."""
        return sum(self.parts.values())

    @property
    def _loading(self) -> float:
        """Each model is loaded once to be scored, and once to be probed."""
        loads = {(step.model, step.n_params, step.kind == "probe") for step in self.steps}
        return sum(self.speed.loading(n_params, hooks=is_probed) for _, n_params, is_probed in loads)

    @property
    def costliest(self) -> str:
        """The most costly part, and the model that takes most of the time."""
        part, seconds = next(iter(self.parts.items()))
        of_model: dict[str, float] = {}
        for step in (step for step in self.steps if step.model):
            of_model[step.model] = of_model.get(step.model, 0.0) + self.speed.seconds(step)
        model = max(of_model, key=lambda name: of_model[name], default="")
        share = f"{100 * seconds / self.seconds:.0f} % of the time"
        if len(of_model) < 2:
            return f"{part}, {share}"
        return f"{part}, {share}; of the models {model}, {100 * of_model[model] / self.seconds:.0f} %"

    def lines(self, *, is_long: bool = False) -> list[str]:
        """The cost in words, for the terminal; if long, with FLOP and each part's time."""
        if not self.steps:
            return [f"time:      about {duration(self.seconds)}; every result is in the cache"]
        limit = "at most " if any(step.kind == "write" for step in self.steps) else "about "  # texts may end earlier
        lines = [f"time:      {limit}{duration(self.seconds)} on this machine ({self._measured})"]
        if is_long:
            flops = sum(step.flops for step in self.steps)
            lines.append(f"cost:      {flop(flops)} for {counted(len(self.steps), 'result')} that are not cached")
            shares = ((name, seconds, seconds / self.seconds) for name, seconds in self.parts.items())
            width = max(map(len, self.parts))
            lines += [
                f"  {name:<{width}}  {100 * share:3.0f} %  {duration(seconds)}" for name, seconds, share in shares
            ]
        lines.append(f"most:      {self.costliest}")
        if self.memory is not None:
            weights, activations, free = (
                gigabytes(size) for size in (self.memory.weights, self.memory.activations, self.memory.free)
            )
            lines.append(
                f"memory:    about {gigabytes(self.memory.needed)} ({self.memory.model}: weights {weights}, activations "
                f"{activations}); {free} are free"
            )
            if not self.memory.fits:
                lines.append("  Warning: this does not fit; use a smaller model, a GPU, or --device-map")
        return lines

    @property
    def _measured(self) -> str:
        names = " and ".join(one.name for one in self.speed.models)
        if not names:
            return "extrapolated from matrix products: no model is downloaded, or all are large"
        larger = {step.model or step.what for step in self.steps if self.speed.is_extrapolated(step.n_params)}
        extrapolated = f"; extrapolated for {counted(len(larger), 'larger model')}" if larger else ""
        return f"measured: {names}{extrapolated}"


def cost_of(
    steps: Sequence[Step], tasks: Sequence[Task], sources: Sequence[Source], settings: Settings, figures: int
) -> Cost:
    """Measure this machine for some seconds, and say what the steps of these tasks cost.

    Raises:
        ModelError, EncodeError: a model cannot be loaded, or cannot read a task.
    """
    missing = tuple(step for step in steps if not step.is_cached)
    of_figure = _figure_seconds()
    if not missing:
        return Cost((), Speed(()), None, figures, of_figure)
    needed = {step.model for step in missing if step.model}
    used = [source for source in sources if source.name in needed] or list(sources)
    speeds: list[Speed] = []
    for is_written in dict.fromkeys(task.format.is_written for task in tasks):
        task = next(task for task in tasks if task.format.is_written == is_written)
        kinds: list[Kind] = [step.kind for step in missing]
        of_task: list[Kind] = [
            kind for kind in dict.fromkeys(kinds) if (kind == "write") == is_written or kind == "score"
        ]
        speeds.append(measure_speed(task, used, of_task, settings))
    largest = max(used, key=parameters_of)
    length = sum(len(item.prompts[Condition.CONFLICT]) for item in tasks[0].items) / 4 / len(tasks[0].items)
    memory = memory_of(largest, settings, length, has_probes=any(step.kind == "probe" for step in missing))
    return Cost(missing, _joined(speeds), memory, figures, of_figure)


def _joined(speeds: Sequence[Speed]) -> Speed:
    """The speeds of all kinds of steps; the first is kept where several know a kind."""
    first = speeds[0]
    tokens: dict[str, Mapping[Kind, float]] = {}
    for speed in reversed(speeds):
        for one in speed.models:
            tokens[one.name] = {**tokens.get(one.name, {}), **one.token}
    return replace(first, models=tuple(replace(one, token=tokens[one.name]) for one in first.models))


def _figure_seconds() -> float:
    """Seconds of drawing a small figure as PNG and SVG."""
    from matplotlib.figure import Figure

    from distractor.runs.folder import render

    def draw() -> None:
        figure = Figure(figsize=(8, 4), layout="constrained")
        for axes in figure.subplots(1, 3):
            axes.plot(range(10), range(10), label="line")
            axes.legend()
        render(figure)

    draw()  # reads fonts
    started = time.perf_counter()
    draw()
    return time.perf_counter() - started
