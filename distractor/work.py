"""What a command computes: its steps, how far the present one is, and the time left."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal

SMALL = 200_000
"""A pass of a small model takes the time of this number of parameters more: each operation has a fixed cost."""

FULL = 0.9  # a step that takes more tokens than expected approaches its end from this share on

Event = Literal["progress", "model", "stage"]
"""A share of a step is done; the last step of a model (`Work.finished`); all steps, and another stage begins."""

Clock = Callable[[], float]
Kind = Literal["score", "write", "probe"]  # how tokens pass: prompts, texts token by token, with hooks


@dataclass(frozen=True)
class Step:
    """One result of a command: the scores of a model under one condition, or a probe's reading in it (`what`).

    `tokens` is the number of tokens that pass through the whole model. A step without a `model` is done by the next result
    of its name in any model.
    """

    model: str
    what: str
    tokens: float
    n_params: float
    items: int = 0
    is_cached: bool = False
    kind: Kind = "score"

    @property
    def work(self) -> float:
        """Tokens × parameters, the measure of time."""
        return self.tokens * (self.n_params + SMALL)

    @property
    def flops(self) -> float:
        """2 × parameters × tokens."""
        return 2 * self.n_params * self.tokens


@dataclass
class _Spent:
    """Seconds without loading, and the work that they took."""

    seconds: float = 0.0
    work: float = 0.0


@dataclass
class Work:
    """The steps of a command. Cached ones are done at once, and rates are those of computed steps alone.

    `show` is called whenever something changes.
    """

    steps: Sequence[Step]
    show: "Callable[[Work, Event], None]" = lambda work, event: None
    clock: Clock = time.monotonic
    model: str = ""
    what: str = ""
    step: Step | None = None  # the present one; None if it was not planned
    share: float = 0.0  # of the present step that is done
    parallel: int = 1  # the number of processes that compute
    left: list[Step] = field(init=False)
    seconds_of: dict[str, float] = field(default_factory=dict)  # time spent in each model

    def __post_init__(self) -> None:
        self.left = [step for step in self.steps if not step.is_cached]
        self.finished = ""  # the model that was done last
        self._models = {step.model for step in self.left if step.model}
        self._loads: list[float] = []
        self._rates: dict[Kind, float] = {}
        self._spent: dict[str, _Spent] = {}  # by the name of the step; "" for all
        self._started: float | None = None  # when the present step began to be computed, with loading
        self._running: float | None = None  # likewise, without loading
        self._expected = self._ran = 0.0
        self._shares: dict[int, float] = {}  # of steps in other processes, by the identity of the step
        self.taken: dict[str, float] = {}  # by the name of the step: tokens that it took, relative to those expected

    @property
    def done(self) -> int:
        """The number of steps that are done."""
        return len(self.steps) - len(self.left)

    @property
    def models(self) -> tuple[int, int]:
        """The number of models that are done, and of all models with steps to compute."""
        return len(self._models - {step.model for step in self.left}), len(self._models)

    @property
    def fraction(self) -> float:
        """The share of all work that is done."""
        total = sum(step.work for step in self.steps)
        left = sum(step.work * (1 - self._shares.get(id(step), 0.0)) for step in self.left)
        left -= self.step.work * self.share if self.step in self.left else 0
        return 1 - left / total if total else 1.0

    @property
    def rate(self) -> float | None:
        """Items a second in the present step, or in the last one of its kind before its first batch; None if unknown."""
        return None if self.step is None else self._rates.get(self.step.kind)

    @property
    def seconds_left(self) -> float | None:
        """The time that the steps left take at the rate of computed ones; None before there is one.

        The first load is not counted: it takes longer, because libraries are imported.
        """
        every = self._spent.get("", _Spent())
        now = _Spent(every.seconds, every.work)
        if self.step is not None and self._running is not None and self.share:
            now.seconds += self.clock() - self._running
            now.work += self.step.work * self.share
        if not now.work:
            return None
        loads = self._loads[1:]
        left = (
            sum(loads) / len(loads) * len({step.model for step in self.left if step.model != self.model})
            if loads
            else 0.0
        )
        for step in self.left:
            of_kind = self._spent.get(step.what)
            share = 1 - (self.share if step is self.step else self._shares.get(id(step), 0.0))
            if step is self.step and self._running is not None and self.share > 0.1:
                left += (self.clock() - self._running) * share / self.share
            else:
                spent = of_kind if of_kind and of_kind.work else now
                left += share * step.work * spent.seconds / spent.work
        return left / self.parallel

    @property
    def is_loading(self) -> bool:
        """Whether the model of the present step is loaded now."""
        return self._started is not None and self._running is None

    def begin(self, model: str, what: str) -> None:
        """Begin a result, which may be in the store."""
        self.model, self.what, self.share = model, what, 0.0
        self._started = self._running = None
        self._expected = self._ran = 0.0
        self.step = self._planned(model, what)

    def load(self) -> None:
        """The model is loaded now, because the result has to be computed."""
        self._started = self.clock()
        self.show(self, "progress")

    def compute(self) -> None:
        """The result is computed now."""
        self._running = self.clock()
        if self._started is None:
            self._started = self._running
        elif self.model not in self.seconds_of:
            self._loads.append(self._running - self._started)
        self.show(self, "progress")

    def expect(self, tokens: float) -> None:
        """Measure the share of the present step by its tokens: about so many pass through the whole model."""
        self._expected = tokens * self.taken.get(self.what, 1.0)

    def ran(self, tokens: float) -> None:
        """Tokens passed through the model."""
        self._ran += tokens
        if self._expected:
            part = self._ran / self._expected
            self.advance(part if part <= FULL else 1 - (1 - FULL) * FULL / part)

    def advance(self, share: float) -> None:
        """A share of the present step is done."""
        if self._running is not None and share > self.share:
            self.share = share
            seconds = self.clock() - self._running
            if self.step is not None and seconds > 0:
                self._rates[self.step.kind] = share * self.step.items / seconds
            self.show(self, "progress")

    def end(self, *, is_done: bool = True) -> None:
        """The present result is done, or it cannot be computed."""
        step = self.step
        if self._started is not None:
            self.seconds_of[self.model] = self.seconds_of.get(self.model, 0.0) + self.clock() - self._started
        if step is not None and is_done and self._running is not None:
            self._spend(step, self.clock() - self._running)
            if self._expected and self._ran:
                self.taken[step.what] = self.taken.get(step.what, 1.0) * self._ran / self._expected
        self._started = self._running = None
        if step is not None:
            self._remove(step)

    def at(self, model: str, what: str, share: float) -> None:
        """Another process has computed a share of a result."""
        self.model, self.what, self.step = model, what, None
        if (step := self._planned(model, what)) is not None:
            self._shares[id(step)] = share
        self.show(self, "progress")

    def did(self, model: str, what: str, seconds: float) -> None:
        """Another process has computed a result in this time."""
        self.model, self.what = model, what
        self.seconds_of[model] = self.seconds_of.get(model, 0.0) + seconds
        if (step := self._planned(model, what)) is not None:
            self._spend(step, seconds)
            self._shares.pop(id(step), None)
            self._remove(step)

    def add(self, steps: Sequence[Step]) -> None:
        """More steps are needed."""
        self.steps = [*self.steps, *steps]
        self.left = [*self.left, *(step for step in steps if not step.is_cached)]
        self._models |= {step.model for step in self.left if step.model}

    def skip(self, model: str, what: str) -> None:
        """A step is not needed after all."""
        for step in [step for step in self.left if (step.model, step.what) == (model, what)]:
            self._remove(step)

    def stage(self, what: str) -> None:
        """What follows the steps, such as figures."""
        self.begin("", what)
        self.show(self, "stage")

    def _planned(self, model: str, what: str) -> Step | None:
        return next((step for step in self.left if step.what == what and step.model in (model, "")), None)

    def _spend(self, step: Step, seconds: float) -> None:
        for name in ("", step.what):
            spent = self._spent.setdefault(name, _Spent())
            spent.seconds += seconds
            spent.work += step.work

    def _remove(self, step: Step) -> None:
        self.left = [other for other in self.left if other is not step]
        self.step, self.share = None, 0.0
        is_last = bool(step.model) and all(other.model != step.model for other in self.left)
        self.finished = step.model if is_last else self.finished
        self.show(self, "model" if is_last else "progress")


_current: ContextVar[Work | None] = ContextVar("work", default=None)


@contextmanager
def follow(work: Work) -> Iterator[Work]:
    """Report everything that is computed in this block to `work`."""
    token = _current.set(work)
    try:
        yield work
    finally:
        _current.reset(token)


@contextmanager
def working_on(model: str, what: str) -> Iterator[None]:
    """Compute or read a result in this block."""
    work = _current.get()
    if work is None:
        yield
        return
    work.begin(model, what)
    is_done = False
    try:
        yield
        is_done = True
    finally:
        work.end(is_done=is_done)


def present_work() -> Work | None:
    """The work that this block reports to."""
    return _current.get()


def loading() -> None:
    """The model of the present result is loaded."""
    if work := _current.get():
        work.load()


def computing() -> None:
    """The present result is computed."""
    if work := _current.get():
        work.compute()


def expect_tokens(tokens: float) -> None:
    """The present result takes about this number of tokens."""
    if work := _current.get():
        work.expect(tokens)


def record_tokens(tokens: float) -> None:
    """Tokens passed through the whole model."""
    if work := _current.get():
        work.ran(tokens)


def record_share(share: float) -> None:
    """A share of the present result is computed."""
    if work := _current.get():
        work.advance(share)


def skip(model: str, what: str) -> None:
    """A step is not needed."""
    if work := _current.get():
        work.skip(model, what)


def add_steps(steps: Iterable[Step]) -> None:
    """More steps are needed than were planned."""
    if work := _current.get():
        work.add(list(steps))


def stage(what: str) -> None:
    """What follows the steps."""
    if work := _current.get():
        work.stage(what)
