"""Written answers: each text counts for its answer, and texts without an answer are counted separately."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import tiny
from distractor.ablation.ablate import ablate
from distractor.ablation.written import answers
from distractor.ablation.written.answers import WrittenResult, ablate_written
from distractor.errors import ScalingError
from distractor.models.load import load
from distractor.models.source import Source
from distractor.scoring import generate as generating
from distractor.scoring import lazy_model
from distractor.scoring.encode import encode
from distractor.scoring.generate import Generated
from distractor.scoring.score import score
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.statistics.intervals import Mean
from distractor.text.format import Format
from distractor.text.format_task import format_task
from distractor.text.task import Condition, Item, Task
from simulated_replies import CONDITIONS, many_items, over_sizes, replies


def mean(value: Mean | None) -> float:
    assert value is not None
    return value.mean


@pytest.mark.quick
def test_texts_without_an_answer_are_counted_separately_and_never_as_wrong() -> None:
    task = many_items(40)
    given = [*["distractor"] * 10, *["true"] * 10, *["another"] * 10, *[None] * 10]
    result = WrittenResult(task, Settings(), (replies(task, given, 10),))
    shares = {quantity: mean(result.mean([0], quantity, Condition.CONFLICT)) for quantity in answers.SHARES}
    third = pytest.approx(1 / 3)
    assert shares == {"distractor_share": third, "accuracy": third, "parsed": 0.75, "another": third}
    assert len(result.examples()) == 2 * answers.EXAMPLES
    assert {example["why"] for example in result.examples()} == {"no answer"}
    silent = WrittenResult(task, Settings(), (replies(task, [None] * 40, 10),))
    assert silent.mean([0], "accuracy", Condition.CONFLICT) is None
    assert mean(silent.mean([0], "parsed", Condition.CONFLICT)) == 0


@pytest.mark.quick
def test_the_distractors_answer_is_wrong_in_conflict_and_right_in_congruent() -> None:
    task = many_items(20)
    result = WrittenResult(task, Settings(), (replies(task, ["distractor"] * 20, 10),))
    assert [mean(result.mean([0], "accuracy", c)) for c in CONDITIONS] == [0, 1]


@pytest.mark.quick
def test_a_planted_rise_and_fall_of_the_share_is_found_and_a_flat_curve_is_not() -> None:
    task = many_items(200)
    assert over_sizes(task, [0.1, 0.5, 0.9, 0.4, 0.1], [1] * 5).judged.label == "inverted-U"
    assert over_sizes(task, [0.5] * 5, [1] * 5).judged.label not in ("inverted-U", "U-shaped")


@pytest.mark.quick
def test_sizes_with_too_few_answers_are_left_out_and_named() -> None:
    judged = over_sizes(many_items(200), [0.1, 0.5, 0.9, 0.4, 0.1], [0.05, 1, 0.95, 1, 1]).judged
    assert judged.used == (100, 1000, 10_000, 100_000)
    assert_allclose(judged.left_out[10], 0.05, atol=0.01)
    few = over_sizes(many_items(200), [0.1, 0.5, 0.9], [0.05, 1, 1]).judged
    assert few.shape is None
    assert few.label == "undetermined"
    assert "3 are needed" in str(few.why)


@pytest.mark.quick
def test_the_effects_of_question_and_reasoning_are_separated_exactly() -> None:
    task = many_items(30)
    rng = np.random.default_rng(1)
    base, question, reasoning = rng.normal(size=(3, 30))
    # Rows conflict, congruent: the question and the reasoning of conflict raise the gap, those of congruent lower it.
    own = np.stack([base + question + reasoning, base - question - reasoning])
    swapped = np.stack([base + question - reasoning, base - question + reasoning])
    result = WrittenResult(task, Settings(), (replies(task, ["true"] * 30, 10, own=own, swapped=swapped),))
    effects = [mean(result.follows([0])[name]) for name in ("question", "reasoning")]
    assert_allclose(effects, [2 * question.mean(), 2 * reasoning.mean()])
    same = WrittenResult(task, Settings(), (replies(task, ["true"] * 30, 10, own=own, swapped=own),))
    assert mean(same.follows([0])["reasoning"]) == 0


# With a model


SETTINGS = Settings(device="cpu", dtype="float64", self_check=False)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    words = tiny.word_level(tiny.words_of(*tiny.texts_of(tiny.task()), "The answer is not that ."))
    folder = tiny.save(tmp_path_factory.mktemp("free"), tiny.ARCHITECTURES["gpt2"], words, seed=2)
    return Source("own", "tiny", folder, 0)


def let_the_model_write(monkeypatch: pytest.MonkeyPatch, source: Source, text_of: Any) -> None:
    """Replace generation by `text_of(item)`."""
    words = load(source.folder, device="cpu").tokenizer

    def write(model: Any, items: Sequence[Item], prompts: Any, *rest: Any, **more: Any) -> list[Generated]:
        tokens = [words(text_of(item), add_special_tokens=False).input_ids for item in items]
        return [Generated(tuple(ids), words.decode(ids), "eos") for ids in tokens]

    monkeypatch.setattr(generating, "generate", write)


def test_texts_are_stored_and_not_generated_again(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = format_task(tiny.task(), Format("generate", limit=3))
    first = ablate_written(task, [source], store=Store(tmp_path), settings=SETTINGS)

    def never(*_: Any) -> Any:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(lazy_model, "load_model", never)
    again = ablate_written(task, [source], store=Store(tmp_path), settings=SETTINGS)
    assert first.replies[0].texts == again.replies[0].texts
    longer = format_task(tiny.task(), Format("generate", limit=4))
    with pytest.raises(AssertionError, match="a model was loaded"):
        ablate_written(longer, [source], store=Store(tmp_path), settings=SETTINGS)
    assert all(text.prompt for row in first.replies[0].texts.values() for text in row if text)


def test_the_gap_is_measured_after_the_own_reasoning_and_after_that_of_the_other_condition(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = format_task(tiny.task(), Format("cot", limit=12))
    calls: list[str] = []

    def text_of(item: Item) -> str:
        calls.append(item.id)
        is_conflict = calls.count(item.id) == 1  # conditions are written in their order, conflict first
        ruled_out = f"The answer is not{item.distractor} ." if is_conflict else "that ."
        return f"{ruled_out} The answer is{item.true if is_conflict else item.distractor} ."

    let_the_model_write(monkeypatch, source, text_of)
    result = ablate_written(task, [source], store=Store(tmp_path), settings=SETTINGS)
    model = load(source.folder, device="cpu", dtype="float64")
    written = result.replies[0]
    for index, item in enumerate(result.task.items[:4]):
        in_conflict, in_congruent = f"The answer is not{item.distractor} . The answer is", "that . The answer is"
        for c, own, swapped in zip(CONDITIONS, (in_conflict, in_congruent), (in_congruent, in_conflict), strict=True):
            text = written.texts[c][index]
            assert text is not None
            for name, reasoning in (("own", own), ("swapped", swapped)):
                prompt = f"{text.prompt.removeprefix('<bos>').strip()} {reasoning}"
                alone = replace(item, prompts={Condition.CONFLICT: prompt}, rewordings={})
                rows = encode(Task("alone", "?", (alone,), "here"), model).rows[Condition.CONFLICT]
                log_probs = score(model, [item], [row for row in rows if row is not None])
                gap = written.gaps[name][task.conditions.index(c), index]
                assert_allclose(gap, log_probs[0, 0] - log_probs[0, 1])


def test_a_text_without_the_answers_sentence_has_no_gap(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_the_model_write(monkeypatch, source, lambda item: item.true.strip())
    task = format_task(tiny.task(), Format("cot", limit=12))
    result = ablate_written(task, [source], store=Store(tmp_path), settings=SETTINGS)
    assert np.isnan(result.replies[0].gaps["own"]).all()
    assert result.follows([0]) == {"question": None, "reasoning": None}
    assert mean(result.mean([0], "accuracy", Condition.CONFLICT)) == 1


@pytest.mark.quick
def test_a_format_for_the_other_kind_of_answers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScalingError, match=r"rank.*use ablate"):
        ablate_written(tiny.task(), [], store=Store(tmp_path))
    with pytest.raises(ScalingError, match=r"generate.*ablate_written"):
        ablate(format_task(tiny.task(), Format("generate")), [], store=Store(tmp_path))
