"""Shows the progress of a command: a bar on a terminal, otherwise plain lines; and the same lines in the run's folder."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING

from distractor.command_line.registration import is_inner
from distractor.errors import DistractorError
from distractor.names import printable
from distractor.numbers import counted, duration, number, shortened
from distractor.scoring.requests import end_of_computing
from distractor.work import Clock, Event, Step, Work, follow, stage

if TYPE_CHECKING:
    from distractor.runs.folder import RunFolder

QUICK = 2.0  # seconds before anything is shown; a model that takes no longer gets no line of its own
EVERY = 10.0  # the least seconds between two lines
FINAL_STAGE = "figures and page"
NAME = 24  # characters of a model's name in the bar

Show = Callable[[Work, Event], None]


class Shown:
    """The progress that a command shows."""

    def __init__(self, lines: "ProgressLines") -> None:
        self._lines = lines

    def stage(self, what: str) -> None:
        """All steps are done, and another stage begins."""
        if what == FINAL_STAGE:
            end_of_computing()
        stage(what)

    def log_to(self, folder: "RunFolder") -> None:
        """Also write all lines to `progress.log` in the run's folder."""
        for when, text in self._lines.written:
            folder.log(_dated(text, when))
        self._lines.writers.append(lambda text: folder.log(_dated(text, datetime.now())))


@contextmanager
def show_progress(
    list_steps: Callable[[], Iterable[Step]], folder: "RunFolder | None" = None, noun: str = "model"
) -> Iterator[Shown]:
    """Show the progress of a command's steps while the block runs, from `QUICK` seconds on.

    On a terminal, stderr shows a bar that disappears at the end; otherwise lines without control characters. `progress.log`
    in the run's folder gets the lines, too. If another command runs this one, only the log gets them. A damaged model has no
    steps; the run itself says what is wrong with it.
    """
    steps: list[Step] = []
    with suppress(DistractorError):
        steps = list(list_steps())
    with ExitStack() as stack:
        is_quiet = is_inner()
        shows: list[Show] = [stack.enter_context(_bar())] if _is_terminal() and not is_quiet else []
        lines = ProgressLines([] if shows or is_quiet else [_print], noun=noun)
        shows.append(lines)
        shown = Shown(lines)
        if folder is not None:
            shown.log_to(folder)

        def show(work: Work, event: Event) -> None:
            for each in shows:
                each(work, event)

        with follow(Work(steps, show)):
            yield shown
        lines.end()


class ProgressLines:
    """Writes lines: one at most every `EVERY` seconds, one for each model that took a while, and one at the end."""

    def __init__(
        self, writers: list[Callable[[str], None]], clock: Clock = time.monotonic, noun: str = "model"
    ) -> None:
        self.writers, self.clock, self.noun = writers, clock, noun
        self.written: list[tuple[datetime, str]] = []
        self.started = clock()
        self.last: float | None = None

    def __call__(self, work: Work, event: Event) -> None:
        """Write a line if it is time."""
        now = self.clock()
        if now - self.started < QUICK:
            return
        seconds = work.seconds_of.get(work.finished, 0.0)
        if event == "model" and seconds >= QUICK:
            done, of = work.models
            models = f"{done} of {counted(of, self.noun)}"
            self._write(f"{work.finished}: finished in {duration(seconds)}; {models}{_left(work)}")
        elif event == "stage" or self.last is None or now - self.last >= EVERY:
            self._write(status(work))

    def end(self) -> None:
        """Write how long everything took, if anything was written before."""
        if self.last is not None:
            self._write(f"finished in {duration(self.clock() - self.started)}")

    def _write(self, text: str) -> None:
        self.last, line = self.clock(), printable(text).replace("\n", " ")
        self.written.append((datetime.now(), line))
        for write in self.writers:
            write(line)


def status(work: Work) -> str:
    """Where a command is: `pythia/1b: conflict, 12 items/s; 3 of 14 results, 21 %, about 2 min left`."""
    if not work.model:
        return work.what
    results = f"{work.done} of {counted(len(work.steps), 'result')}"
    return f"{work.model}: {doing(work)}; {results}, {100 * work.fraction:.0f} %{_left(work)}"


def doing(work: Work) -> str:
    """What is done in the present model, and how fast."""
    rate = work.rate
    if work.is_loading:
        return f"loading for {work.what}"
    return work.what if rate is None else f"{work.what}, {number(rate, 1 if rate < 10 else 0)} items/s"


def _left(work: Work) -> str:
    seconds = work.seconds_left
    if seconds is None or not work.left:
        return ""
    return f", about {duration(seconds)} left" if seconds >= 1 else f", {duration(seconds)} left"


def _dated(text: str, when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S}  {text}"


def _is_terminal() -> bool:
    from distractor.runs.tables import console

    terminal = console(stderr=True)
    return terminal.is_terminal and not terminal.is_dumb_terminal


def _print(text: str) -> None:
    from distractor.command_line.terminal import say

    say(text, err=True)
    sys.stderr.flush()


@contextmanager
def _bar() -> Iterator[Show]:
    """A bar on stderr that appears after `QUICK` seconds and disappears at the end."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from distractor.runs.tables import console

    columns = (
        BarColumn(bar_width=16),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]:<20}", markup=False),
        TextColumn("{task.description}", markup=False),
    )
    bar, started = Progress(*columns, console=console(stderr=True), transient=True), time.monotonic()
    row = bar.add_task("", total=1.0, left="")

    def show(work: Work, _: Event) -> None:
        name = f"{shortened(work.model, NAME)}: " if work.model else ""
        bar.update(
            row, completed=work.fraction, description=f"{name}{doing(work)}", left=_left(work).removeprefix(", ")
        )
        if not bar.live.is_started and time.monotonic() - started >= QUICK:
            bar.start()

    try:
        yield show
    finally:
        if bar.live.is_started:
            bar.stop()
