"""What models wrote is counted as it was meant: answers by whose they are, texts without one apart."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import tiny
from distractor.ablation.formats.curve import format_curve, task_parts
from distractor.ablation.formats.dip import dip, dip_sentences
from distractor.ablation.written import answers
from distractor.ablation.written.answers import WrittenResult, ablate_written
from distractor.errors import ScalingError
from distractor.models.load import load
from distractor.models.source import Source
from distractor.scoring import free_answers as free_answers_module
from distractor.scoring import generate as generating
from distractor.scoring.encode import encode
from distractor.scoring.free_answers import Replies, Text
from distractor.scoring.generate import Generated
from distractor.scoring.score import score
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.text.format import Format
from distractor.text.shots import format_task
from distractor.text.task import Condition, Item, Task

CONDITIONS = (Condition.CONFLICT, Condition.CONGRUENT)
NUMBERS = {"true": " No", "distractor": " Yes", "another": " May"}


def many(count: int = 40, form: Format = Format("cot")) -> Task:  # noqa: B008
    """A task with so many items, each a group of its own."""
    items = [
        Item(f"part{k % 2}/{k}", f"part{k % 2}/{k}", " No", " Yes", {c: f"{c} {k}:" for c in CONDITIONS})
        for k in range(count)
    ]
    return format_task(Task("many", "?", tuple(items), "here"), form)


def replies(task: Task, given: Sequence[str | None], size: int, seed: int = 0, **gaps: Any) -> Replies:
    """What a model wrote, the same under each condition, without looking at any model."""
    row = tuple(
        Text("prompt", "text", "eos", None if g is None else NUMBERS[g].strip(), g, "no answer" if g is None else None)
        for g in given
    )
    nothing = np.full((len(task.conditions), len(task.items)), np.nan)
    both = {"own": nothing, "swapped": nothing} | gaps
    return Replies(
        Source("own", f"m{size}", Path("x"), seed, n_params=size), dict.fromkeys(CONDITIONS, row), both, False, {}
    )


def test_texts_without_an_answer_are_counted_apart_and_never_as_wrong() -> None:
    task = many(40)
    given = [*["distractor"] * 10, *["true"] * 10, *["another"] * 10, *[None] * 10]
    found = WrittenResult(task, Settings(), (replies(task, given, 10),))
    shares = {q: found.mean([0], q, Condition.CONFLICT) for q in answers.SHARES}
    assert {q: mean and round(mean.mean, 6) for q, mean in shares.items()} == {
        "distractor_share": round(1 / 3, 6), "accuracy": round(1 / 3, 6), "parsed": 0.75, "another": round(1 / 3, 6),
    }  # fmt: skip
    assert len(found.examples()) == 2 * answers.EXAMPLES
    assert {one["why"] for one in found.examples()} == {"no answer"}
    nobody = WrittenResult(task, Settings(), (replies(task, [None] * 40, 10),))
    assert nobody.mean([0], "accuracy", Condition.CONFLICT) is None
    parsed = nobody.mean([0], "parsed", Condition.CONFLICT)
    assert parsed is not None
    assert parsed.mean == 0


def test_right_in_congruent_is_what_is_the_distractors() -> None:
    task = many(20)
    found = WrittenResult(task, Settings(), (replies(task, ["distractor"] * 20, 10),))
    right = {c: found.mean([0], "accuracy", c) for c in CONDITIONS}
    assert [right[c] and right[c].mean for c in CONDITIONS] == [0, 1]  # type: ignore[union-attr]


def over_sizes(task: Task, shares: Sequence[float], parsed: Sequence[float], seed: int = 0) -> WrittenResult:
    """Models of growing size that give the distractor's answer at these rates, to all items alike."""
    count, rng = len(task.items), np.random.default_rng(seed)
    models = []
    for size, (share, read_) in enumerate(zip(shares, parsed, strict=True)):
        order = rng.random(count).argsort().argsort() / count
        kept = rng.random(count).argsort().argsort() / count < read_
        given = [("distractor" if order[k] < share else "true") if kept[k] else None for k in range(count)]
        models.append(replies(task, given, 10 ** (size + 1)))
    return WrittenResult(task, Settings(), tuple(models))


def test_a_planted_rise_and_fall_of_the_share_is_found_and_a_flat_one_is_not() -> None:
    task = many(200)
    rises = over_sizes(task, [0.1, 0.5, 0.9, 0.4, 0.1], [1] * 5).judged
    assert rises.label == "inverted-U"
    flat = over_sizes(task, [0.5] * 5, [1] * 5).judged
    assert flat.label not in ("inverted-U", "U-shaped")


def test_models_of_one_size_without_seeds_are_not_averaged_and_are_no_curve() -> None:
    task = many(200)
    made = over_sizes(task, [0.1, 0.5, 0.9, 0.4, 0.1], [1] * 5).replies
    alone = [replace(one, source=replace(one.source, seed=None, family=one.source.model)) for one in (*made, made[0])]
    alone[-1] = replace(alone[-1], source=replace(alone[-1].source, family="other", n_params=10))
    found = WrittenResult(task, Settings(), tuple(sorted(alone, key=lambda one: one.source.n_params or 0)))
    assert [len(places) for places in found.sizes] == [1] * 6
    assert found.judged.shape is None
    assert "no curve over size" in str(found.judged.why)
    assert dip(found) is None


def test_sizes_whose_texts_have_no_answer_are_left_out_and_named() -> None:
    judged = over_sizes(many(200), [0.1, 0.5, 0.9, 0.4, 0.1], [0.05, 1, 0.95, 1, 1]).judged
    assert judged.used == (100, 1000, 10_000, 100_000)
    assert_allclose(judged.left_out[10], 0.05, atol=0.01)
    few = over_sizes(many(200), [0.1, 0.5, 0.9], [0.05, 1, 1]).judged
    assert few.shape is None
    assert few.label == "undetermined"
    assert "3 are needed" in str(few.why)


def test_what_the_answer_goes_by_is_split_into_question_and_reasoning_exactly() -> None:
    task = many(30)
    rng = np.random.default_rng(1)
    base, question, reasoning = rng.normal(size=(3, 30))
    # Rows conflict, congruent; the question and the reasoning of conflict push up, those of congruent down.
    own = np.stack([base + question + reasoning, base - question - reasoning])
    swapped = np.stack([base + question - reasoning, base - question + reasoning])
    found = WrittenResult(task, Settings(), (replies(task, ["true"] * 30, 10, own=own, swapped=swapped),))
    by = found.follows([0])
    assert by["question"] is not None
    assert by["reasoning"] is not None
    assert_allclose([by["question"].mean, by["reasoning"].mean], [2 * question.mean(), 2 * reasoning.mean()])
    same = WrittenResult(task, Settings(), (replies(task, ["true"] * 30, 10, own=own, swapped=own),)).follows([0])
    assert same["reasoning"] is not None
    assert same["reasoning"].mean == 0


def test_ranked_and_written_answers_are_never_one_quantity() -> None:
    found = over_sizes(many(60), [0.1, 0.5, 0.9], [1, 1, 1])
    assert format_curve(found).quantity == "distractor_share"
    assert set(task_parts(found.task)) == {"part0", "part1"}


# Dips


DEEP, RISING, LEVEL = [0.1, 0.5, 0.9, 0.4, 0.1], [0.9, 0.7, 0.5, 0.3, 0.1], [0.1] * 5
"""The distractor's share at each size: accuracy dips, rises, or stays high."""


def test_a_planted_dip_has_its_depth_and_its_place_and_a_rising_curve_has_none() -> None:
    deep = dip(over_sizes(many(200), DEEP, [1] * 5))
    assert deep is not None
    assert_allclose(deep.depth.mean, 0.8, atol=0.1)
    assert deep.depth.low > 0.6
    assert deep.spans == (("m10", "m1000"), ("m10", "m1000"))
    rising = dip(over_sizes(many(200), RISING, [1] * 5))
    assert rising is not None
    assert rising.depth.low < 0


def test_chance_alone_makes_no_dip() -> None:
    """Taken where it was chosen, every one of these flat curves would have a dip."""
    found, naive = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        task = many(40)
        wrote = [["distractor" if rng.random() < 0.5 else "true" for _ in task.items] for _ in range(6)]
        models = tuple(replies(task, given, 10 ** (size + 1)) for size, given in enumerate(wrote))
        depth = dip(WrittenResult(task, Settings(), models))
        assert depth is not None
        found.append(depth.depth)
        right = np.array([[g == "true" for g in given] for given in wrote]).mean(1)
        naive.append(max(right[k] - right[k + 1 :].min() for k in range(5)))
    assert min(naive) > 0
    assert abs(np.mean([one.mean for one in found])) < 0.06
    assert sum(one.low > 0 for one in found) <= 3


def test_sizes_without_answers_are_no_part_of_a_dip() -> None:
    half = dip(over_sizes(many(200), [0.1, 0.9, 0.4, 0.1], [1, 0.5, 1, 1]))
    assert half is not None
    assert {name for places in half.spans for name in places}.isdisjoint({"m100"})
    assert dip(over_sizes(many(200), [0.1, 0.9, 0.1], [1, 0.5, 1])) is None


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (DEEP, LEVEL, "the dip is flatter, by 0.8"),
        (LEVEL, DEEP, "there is no dip to flatten"),
        (DEEP, DEEP, "not clearly flatter"),
        (DEEP, [0.1, 0.2, 0.3, 0.4, 0.6], "falls less, by 0.3"),
        (DEEP, [0.1, 0.2, 0.6, 0.4, 0.2], "the dip is flatter, by 0.3"),
        ([0.1, 0.2, 0.4, 0.2, 0.1], DEEP, "the dip is deeper, by 0.5"),
    ],
)
def test_whether_reasoning_flattens_the_dip_is_said(before: list[float], after: list[float], said: str) -> None:
    at_once = over_sizes(many(200, Format("generate")), before, [1] * 5)
    reasoned = over_sizes(many(200, Format("cot")), after, [1] * 5)
    first, second, verdict = dip_sentences([at_once, reasoned])
    assert first.startswith("generate: accuracy in conflict")
    assert second.startswith("cot: accuracy in conflict")
    assert verdict.startswith("cot against generate: ")
    assert said in verdict


# With a model


EXTRA = "The answer is not that ."


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    words = tiny.word_level(tiny.words_of(*tiny.texts_of(tiny.task()), EXTRA))
    folder = tiny.save(tmp_path_factory.mktemp("free"), tiny.ARCHITECTURES["gpt2"], words, seed=2)
    return Source("own", "tiny", folder, 0)


def scripted(monkeypatch: pytest.MonkeyPatch, source: Source, tell: Any) -> None:
    """Let the model write what `tell(item, place)` says."""
    words = load(source.folder, device="cpu").tokenizer

    def write(model: Any, items: Sequence[Item], prompts: Any, *rest: Any, **more: Any) -> list[Generated]:
        told = [words(tell(item), add_special_tokens=False).input_ids for item in items]
        return [Generated(tuple(ids), words.decode(ids), "eos") for ids in told]

    monkeypatch.setattr(generating, "generate", write)


SETTINGS = Settings(device="cpu", dtype="float64", self_check=False)


def test_what_was_written_is_kept_and_no_model_is_asked_again(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = format_task(tiny.task(), Format("generate", limit=3))
    first = ablate_written(task, [source], store=Store(tmp_path), settings=SETTINGS)

    def never(*_: Any) -> Any:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(free_answers_module, "load_model", never)
    again = ablate_written(task, [source], store=Store(tmp_path), settings=SETTINGS)
    assert first.replies[0].texts == again.replies[0].texts
    other = format_task(tiny.task(), Format("generate", limit=4))
    with pytest.raises(AssertionError, match="a model was loaded"):
        ablate_written(other, [source], store=Store(tmp_path), settings=SETTINGS)
    assert all(text.prompt for row in first.replies[0].texts.values() for text in row if text)


def test_the_gap_is_read_behind_ones_own_reasoning_and_behind_the_others(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = format_task(tiny.task(), Format("cot", limit=12))
    calls: list[str] = []

    def tell(item: Item) -> str:
        calls.append(item.id)
        is_conflict = calls.count(item.id) == 1  # conditions are written in their order, conflict first
        ruled_out = f"The answer is not{item.distractor} ." if is_conflict else "that ."
        return f"{ruled_out} The answer is{item.true if is_conflict else item.distractor} ."

    scripted(monkeypatch, source, tell)
    found = ablate_written(task, [source], store=Store(tmp_path), settings=SETTINGS)
    model = load(source.folder, device="cpu", dtype="float64")
    one = found.replies[0]
    for index, item in enumerate(found.task.items[:4]):
        for c in CONDITIONS:
            row = task.conditions.index(c)
            reasonings = {
                "own": f"The answer is not{item.distractor} . The answer is",
                "swapped": "that . The answer is",
            }
            if c is Condition.CONGRUENT:
                reasonings = dict(zip(reasonings, list(reasonings.values())[::-1], strict=True))
            for behind, reasoning in reasonings.items():
                text = one.texts[c][index]
                assert text is not None
                prompt = f"{text.prompt.removeprefix('<bos>').strip()} {reasoning}"
                alone = Task(
                    "alone", "?", (replace(item, prompts={Condition.CONFLICT: prompt}, rewordings={}),), "here"
                )
                rows = encode(alone, model).rows[Condition.CONFLICT]
                log_probs = score(model, [item], [r for r in rows if r is not None])
                assert_allclose(one.gaps[behind][row, index], log_probs[0, 0] - log_probs[0, 1])


def test_without_the_answers_sentence_there_is_no_gap(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch, source, lambda item: item.true.strip())
    found = ablate_written(
        format_task(tiny.task(), Format("cot", limit=12)), [source], store=Store(tmp_path), settings=SETTINGS
    )
    assert np.isnan(found.replies[0].gaps["own"]).all()
    assert found.follows([0]) == {"question": None, "reasoning": None}
    accuracy = found.mean([0], "accuracy", Condition.CONFLICT)
    assert accuracy is not None
    assert accuracy.mean == 1


def test_ranked_prompts_are_not_written_to_and_the_other_way_round(source: Source, tmp_path: Path) -> None:
    from distractor.ablation.ablate import ablate

    with pytest.raises(ScalingError, match=r"rank.*use ablate"):
        ablate_written(tiny.task(), [source], store=Store(tmp_path))
    with pytest.raises(ScalingError, match=r"generate.*ablate_written"):
        ablate(format_task(tiny.task(), Format("generate")), [source], store=Store(tmp_path))
