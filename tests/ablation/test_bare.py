"""Beside a result after worked examples stands the accuracy without them, measured on the same items."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

import small_ladder
from distractor.ablation.ablate import ablate
from distractor.ablation.bare import bare_accuracy, bare_sentence, without_examples
from distractor.ablation.formats.curve import format_curve
from distractor.ablation.formats.lead import lead
from distractor.ablation.tables import notes
from distractor.models import families
from distractor.models.families import find_models
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.statistics.intervals import mean_interval
from distractor.text.format import Format
from distractor.text.format_task import format_task
from distractor.text.task import Condition
from simulated_replies import many_items, over_sizes

CPU = Settings(device="cpu")
ONE_SHOT = Format("rank", 1, kind="conflict")


@pytest.fixture
def ladder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = small_ladder.make(tmp_path / "ladder")
    monkeypatch.setattr(families, "LADDER", home)
    return home


def test_the_bare_accuracy_is_that_of_a_run_without_examples(ladder: Path, tmp_path: Path) -> None:
    plain, store, sources = small_ladder.task(), Store(tmp_path / "cells"), find_models(["ladder"], task="negation_qa")
    shown = ablate(format_task(plain, ONE_SHOT), sources, store=store, settings=CPU)
    bare = ablate(plain, sources, store=store, settings=CPU)
    largest = len(sources) - 1
    expected = bare.item_values(largest, "accuracy", Condition.CONFLICT)
    assert shown.bare is not None
    assert_allclose(shown.bare, expected)
    assert bare.bare is None
    assert bare_sentence(bare) == ""
    found = without_examples(shown)
    assert found is not None
    own = shown.item_values(largest, "accuracy", Condition.CONFLICT)
    assert (found.here, found.bare) == (own.mean(), expected.mean())
    assert found.difference == pytest.approx(mean_interval(own - expected, shown.groups, limits=(-1.0, 1.0)))
    assert bare_sentence(shown) in list(notes(shown))
    assert "Nothing but the worked examples differs." in bare_sentence(shown)


def test_only_the_largest_models_are_scored_without_examples(ladder: Path, tmp_path: Path) -> None:
    plain, store, sources = small_ladder.task(), Store(tmp_path / "cells"), find_models(["ladder"], task="negation_qa")
    assert bare_accuracy(plain, sources, store, CPU) is None
    bare_accuracy(format_task(plain, ONE_SHOT), sources, store, CPU)
    assert len(list((tmp_path / "cells").rglob("*.parquet"))) == 1


def test_formats_say_first_where_they_differ() -> None:
    tasks = [many_items(60, Format("generate", 1)), many_items(60, Format("generate", 1, "conflict"))]
    turning, falling = over_sizes(tasks[0], [0.1, 0.5, 0.9], [1] * 3), over_sizes(tasks[1], [0.9, 0.5, 0.1], [1] * 3)
    turning = replace(turning, bare=np.ones(60))
    results = [turning, falling]
    shapes, accuracy = lead(results, [format_curve(result) for result in results])
    assert "differs between formats: generate, 1 shot: " in shapes
    assert accuracy == (
        "Accuracy in conflict of the largest models (m1000): generate, 1 shot 0.10; generate, 1 conflict shot 0.90; "
        "ranked without worked examples 1.00."
    )
    same, _ = lead([turning, turning], [format_curve(turning)] * 2)
    assert "is the same in every format" in same


def test_texts_without_an_answer_do_not_count() -> None:
    task = many_items(60, Format("generate", 1))
    result = replace(over_sizes(task, [0.5] * 3, [0.5] * 3), bare=np.arange(60) % 2.0)
    answers = result.item_values(2, "accuracy", Condition.CONFLICT)
    found = without_examples(result)
    assert found is not None
    assert found.bare == result.bare[~np.isnan(answers)].mean()
    assert found.here == np.nanmean(answers)
    assert "The way to answer differs, too." in bare_sentence(result)
    assert without_examples(replace(over_sizes(task, [0.5] * 3, [0.0] * 3), bare=np.ones(60))) is None
