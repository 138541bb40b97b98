"""What a command computes, how fast, and how long the rest takes; with a clock that the tests set."""

import re
from pathlib import Path

import pytest

from distractor.command_line.progress import ProgressLines, Shown
from distractor.runs.folder import LOG, RunFolder
from distractor.work import (
    Event,
    Step,
    Work,
    add_steps,
    expect_tokens,
    follow,
    record_share,
    record_tokens,
    stage,
    working_on,
)

pytestmark = pytest.mark.quick
LARGE = 10_000_000.0  # parameters, so many that the fixed cost of small models does not count


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def compute(work: Work, clock: Clock, step: Step, seconds: float, load: float = 0.0) -> None:
    with working_on(step.model, step.what):
        work.load()
        clock.now += load
        work.compute()
        clock.now += seconds


def steps_of(*sizes: float, cached: int = 0) -> list[Step]:
    """Two conditions in each model; those of the first `cached` models are in the store."""
    return [
        Step(f"model{k}", what, 100, size * LARGE, items=20, is_cached=k < cached)
        for k, size in enumerate(sizes)
        for what in ("conflict", "congruent")
    ]


def test_the_time_left_grows_with_parameters_and_tokens() -> None:
    clock = Clock()
    steps = steps_of(1, 1, 10)
    with follow(Work(steps, clock=clock)) as work:
        assert work.seconds_left is None
        for step in steps[:4]:
            compute(work, clock, step, 3.0)
        assert work.seconds_left == pytest.approx(2 * 3 * 10, rel=0.05)
        assert work.models == (2, 3)
        assert work.fraction == pytest.approx(4 / 24, rel=0.05)
        for step in steps[4:]:
            compute(work, clock, step, 30.0)
        assert (work.seconds_left, work.fraction, work.left) == (0, 1, [])


def test_each_kind_of_step_has_its_own_rate() -> None:
    clock = Clock()
    steps = [Step(f"model{k}", what, 100, LARGE) for k in range(3) for what in ("conflict", "ablation")]
    with follow(Work(steps, clock=clock)) as work:
        compute(work, clock, steps[0], 1.0)
        compute(work, clock, steps[1], 9.0)
        assert work.seconds_left == pytest.approx(2 * (1 + 9))


def test_cached_steps_are_done_at_once_and_do_not_count_for_the_rate() -> None:
    clock = Clock()
    steps = steps_of(1, 1, 1, cached=2)
    with follow(Work(steps, clock=clock)) as work:
        assert work.done == 4
        for step in steps[:4]:  # read from the store, at once
            with working_on(step.model, step.what):
                pass
        assert work.seconds_left is None
        compute(work, clock, steps[4], 7.0)
        assert work.seconds_left == pytest.approx(7)


def test_a_step_advances_by_batches() -> None:
    clock = Clock()
    seen: list[float] = []
    work = Work(steps_of(1), lambda work, _: seen.append(work.share), clock)
    with follow(work), working_on("model0", "conflict"):
        work.load()
        clock.now += 100  # loading is no part of the rate
        work.compute()
        for share in (0.25, 0.5, 0.4):  # a share never falls
            clock.now += 1
            record_share(share)
        assert work.rate == pytest.approx(0.5 * 20 / 2)
        assert work.fraction == pytest.approx(0.25)
        clock.now -= 1
        assert work.seconds_left == pytest.approx(2 + 4)
    assert seen[2:4] == [0.25, 0.5]


def test_a_probe_advances_by_its_tokens_and_learns_from_the_first_model() -> None:
    clock = Clock()
    steps = [Step(f"model{k}", "ablation", 100, LARGE, items=10) for k in range(2)]
    with follow(Work(steps, clock=clock)) as work:
        shares = []
        for step in steps:
            with working_on(step.model, step.what):
                work.load()
                work.compute()
                expect_tokens(100)
                for _ in range(4):  # it takes twice as many as expected
                    clock.now += 1
                    record_tokens(50)
                    shares.append(work.share)
    assert shares == pytest.approx([0.5, 0.91, 0.94, 0.955, 0.25, 0.5, 0.75, 0.91], abs=1e-9)


def test_loading_counts_once_for_each_model_and_the_first_import_does_not() -> None:
    clock = Clock()
    steps = steps_of(1, 1, 1, 1)
    with follow(Work(steps, clock=clock)) as work:
        compute(work, clock, steps[0], 1.0, load=30)
        compute(work, clock, steps[1], 1.0)
        compute(work, clock, steps[2], 1.0, load=2)
        compute(work, clock, steps[3], 1.0)
        assert work.seconds_left == pytest.approx(2 * (2 + 1 + 1))


def test_a_step_without_a_model_is_done_by_any_model() -> None:
    clock = Clock()
    steps = [Step("", "knock-outs", 10, LARGE) for _ in range(2)]
    with follow(Work(steps, clock=clock)) as work:
        compute(work, clock, Step("the peak", "knock-outs", 0, 0), 1.0)
        assert (work.done, work.models) == (1, (0, 0))
        compute(work, clock, Step("unplanned", "another", 0, 0), 1.0)
        assert work.done == 1


def refuse(work: Work, clock: Clock) -> None:
    with working_on("model0", "conflict"):
        work.load()
        work.compute()
        clock.now += 99
        raise ValueError("refused")


def test_an_error_ends_a_step_without_a_rate() -> None:
    clock = Clock()
    steps = steps_of(1)
    with follow(Work(steps, clock=clock)) as work:
        with pytest.raises(ValueError, match="refused"):
            refuse(work, clock)
        assert (work.done, work.seconds_left) == (1, None)


def written(seconds: float, models: int, begins: float = 0.0) -> list[str]:
    """The lines of a run of several models, with two conditions of this length each, in four batches."""
    clock = Clock()
    lines: list[str] = []
    steps = steps_of(*[1] * models)
    show = ProgressLines([lines.append], clock)

    def react(work: Work, event: Event) -> None:
        show(work, event)

    with follow(Work(steps, react, clock)) as work:
        clock.now = begins
        for step in steps:
            with working_on(step.model, step.what):
                work.load()
                work.compute()
                for batch in range(1, 5):
                    clock.now += seconds / 4
                    record_share(batch / 4)
        stage("figures")
    show.end()
    return lines


def test_quick_runs_write_nothing() -> None:
    assert written(0.4, models=2) == []


def test_lines_are_ten_seconds_apart_and_each_slow_model_has_one() -> None:
    lines = written(30, models=2)
    finished = [line for line in lines if "finished in" in line]
    assert finished == [
        "model0: finished in 1 min; 1 of 2 models, about 1 min left",
        "model1: finished in 1 min; 2 of 2 models",
        "finished in 2 min",
    ]
    assert len(lines) - len(finished) <= 1 + 120 / 10
    assert lines[0] == "model0: conflict, 0.7 items/s; 0 of 4 results, 6 %, about 1 min 52 s left"
    assert lines[-2] == "figures"
    assert all(line.isprintable() and len(line) < 100 for line in lines)


def test_many_quick_models_share_lines() -> None:
    lines = written(0.2, models=50)
    assert 2 <= len(lines) <= 5
    assert not [line for line in lines if line.startswith("model") and "finished" in line]


def test_lines_before_the_folder_is_known_are_logged_too(tmp_path: Path) -> None:
    lines = ProgressLines([])
    lines.started -= 60
    lines(Work([]), "stage")
    shown, folder = Shown(lines), RunFolder(tmp_path)
    shown.log_to(folder)
    lines(Work([], what="figures"), "stage")
    logged = (tmp_path / LOG).read_text().splitlines()
    assert len(logged) == 2
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  figures", logged[1])


def test_more_steps_may_be_needed() -> None:
    clock = Clock()
    first, second = steps_of(1)
    with follow(Work([first], clock=clock)) as work:
        compute(work, clock, first, 2.0)
        assert (work.fraction, work.models) == (1, (1, 1))
        add_steps([second])
        assert (work.fraction, work.seconds_left, work.models) == (0.5, 2, (0, 1))
        compute(work, clock, second, 2.0)
        assert (work.done, work.left) == (2, [])
