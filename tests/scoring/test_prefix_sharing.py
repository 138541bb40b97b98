"""What prompts and answers share goes through once, and their probabilities are those of each text alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

import tiny
from conftest import Loaded
from distractor.errors import ModelError
from distractor.models.load import load
from distractor.models.model import Model
from distractor.scoring import prefix_sharing as tree
from distractor.scoring import score as score_module
from distractor.scoring.encode import Encoded, Tokens
from distractor.scoring.score import rows_per_pass, score, score_all
from distractor.text.task import Item

EVERY = [*tiny.ARCHITECTURES, *tiny.FURTHER]
Rows = list[list[Encoded | None]]


def texts_of(vocab: int, items: int = 5) -> Rows:
    """Three prompts an item, the last of them not for all: long answers, some with a beginning in common, and short ones."""
    made = np.random.default_rng(0)

    def draw(count: int) -> Tokens:
        return tuple(int(token) for token in made.integers(4, vocab, count))

    rows: Rows = []
    for number in range(items):
        shared, end = draw(12 + number), draw(2)
        first, second = draw(3), draw(3)
        rows.append(
            [
                Encoded(shared + end, (first, (*first[:1], *second[1:])), ()),
                Encoded(shared + draw(1) + end, (first, second[:1]), ()),
                None if number == 1 else Encoded(shared, (second[:2], draw(1)), ()),
            ]
        )
    return rows


def slowly(model: Model, rows: Rows) -> np.ndarray:
    """[condition item answer], each answer of each prompt in a pass of its own."""
    found = np.full((len(rows[0]), len(rows), 2), np.nan)
    for item, of_item in enumerate(rows):
        for condition, row in enumerate(of_item):
            for answer, tokens in enumerate(row.answers if row else ()):
                assert row is not None
                whole = row.prompt + tokens
                keep = torch.arange(len(row.prompt) - 1, len(whole) - 1)
                log_probs = model.log_probs(torch.tensor([whole[:-1]]), keep)[0]
                found[condition, item, answer] = log_probs.gather(1, torch.tensor(tokens)[:, None]).sum()
    return found


def items(count: int) -> tuple[Item, ...]:
    return tiny.task().items[:count]


def get(loaded: Loaded, folder: Path, architecture: str) -> Model:
    if architecture in tiny.ARCHITECTURES:
        return loaded(architecture, "bytes")
    return load(tiny.save(folder, tiny.FURTHER[architecture], tiny.byte_level()), device="cpu", dtype="float64")


@pytest.fixture(autouse=True)
def _tried_anew() -> None:
    score_module._no_prefix_sharing.clear()


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tokens each pass of a model took, from here on."""
    counts: list[int] = []
    right = Model.log_probs

    def count(self: Model, tokens: Any, keep: Any, **more: Any) -> Any:
        counts.append(tokens.numel())
        return right(self, tokens, keep, **more)

    monkeypatch.setattr(Model, "log_probs", count)
    return counts


@pytest.mark.parametrize("architecture", EVERY)
def test_branches_give_what_each_text_gives_alone(
    loaded: Loaded, tmp_path: Path, architecture: str, passes: list[int]
) -> None:
    model = get(loaded, tmp_path, architecture)
    rows = texts_of(model.vocab)
    wanted = slowly(model, rows)
    plain = sum(passes)
    assert np.ptp(wanted[0]) > 0.1
    found = score_all(model, items(5), rows)
    assert score_module._no_prefix_sharing[model.bridge] == "", "branches were not tried, or not taken"
    assert_allclose(found, wanted, atol=1e-5 if architecture == "gemma2" else 1e-9)
    passes.clear()
    assert_allclose(score_all(model, items(5), rows), found, atol=0)
    assert sum(passes) < plain / 2, "nothing was saved"


@pytest.mark.parametrize("architecture", EVERY)
def test_prompts_of_different_length_go_together_and_give_what_each_gives_alone(
    loaded: Loaded, tmp_path: Path, architecture: str, passes: list[int]
) -> None:
    model = get(loaded, tmp_path, architecture)
    made = np.random.default_rng(1)
    rows = [Encoded(tuple(made.integers(4, model.vocab, 24 + k).tolist()), ((5,), (6,)), ()) for k in range(5)]
    wanted = slowly(model, [[row] for row in rows])[0]
    score(model, items(5), rows)
    passes.clear()
    assert_allclose(score(model, items(5), rows), wanted, atol=1e-5 if architecture == "gemma2" else 1e-9)
    assert passes == [4 * 27, 28], "the longest is too long to go with the shortest"


def test_prompts_of_one_length_are_not_told_who_sees_whom(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Model, mask: Any) -> Any:
        raise AssertionError("a view was made")

    monkeypatch.setattr(Model, "_masks", refuse)
    rows = [Encoded((4, 5, token), ((7,), (8,)), ()) for token in range(9, 12)]
    score(loaded("gpt2"), items(3), rows)


@pytest.mark.parametrize("broken", ["refuses", "does not listen"])
def test_a_model_that_cannot_be_told_takes_whole_texts(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch, broken: str, passes: list[int]
) -> None:
    model = loaded("gpt2", "bytes")
    rows = texts_of(model.vocab)
    wanted = slowly(model, rows)

    def masks(self: Model, mask: Any) -> Any:
        if broken == "refuses":
            raise TypeError("an unexpected keyword argument 'attention_mask'\nand more")
        return torch.zeros(mask.visible.shape, dtype=self.dtype)[:, None]

    monkeypatch.setattr(Model, "_masks", masks)
    passes.clear()
    assert_allclose(score_all(model, items(5), rows), wanted, atol=1e-9)
    why = score_module._no_prefix_sharing[model.bridge]
    assert why.startswith("TypeError: an unexpected" if broken == "refuses" else "log-probabilities were off by")
    assert sum(passes) > sum(len(line.tokens) for of_item in rows for line in tree.texts(of_item))


def test_a_condition_that_is_not_posed_is_nan_and_one_that_is_broken_is_named(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = loaded("llama", "bytes")
    rows = texts_of(model.vocab)
    found = score_all(model, items(5), rows)
    assert np.isnan(found).sum() == 2
    assert np.isnan(found[2, 1]).all()
    right: Callable[..., Any] = score_module._behind

    def damaged(model: Model, lines: Any) -> Any:
        return [[np.nan if one[:2] == (2, 0) else v for one, v in zip(line.questions, values, strict=True)]
                for line, values in zip(lines, right(model, lines), strict=True)]  # fmt: skip

    monkeypatch.setattr(score_module, "_behind", damaged)
    with pytest.raises(ModelError, match=r"log-probabilities of 4 of 5 items are not finite .*, first Paris>Rome"):
        score_all(model, items(5), rows)


def test_where_nothing_is_posed_there_is_nothing_to_run(loaded: Loaded) -> None:
    assert np.isnan(score_all(loaded("gpt2"), items(3), [[None]] * 3)).all()


def test_a_tree_holds_every_text_once() -> None:
    rows = texts_of(300)[0]
    (line,) = tree.branching(rows)
    sees, positions = line.sight
    unfolded = {tuple(text.tokens): text.asked[len(text.tokens) - 1] for text in line.unfolded}
    for text in tree.texts(rows):
        for k, asked in text.asked.items():
            assert set(asked) <= set(unfolded[tuple(text.tokens[: k + 1])])
    assert sees.diagonal().all()
    assert (sees.sum(1) == positions + 1).all()
    assert line.kept == len(line.asked), "more is unembedded than is asked for"


def test_texts_that_share_little_are_not_laid_together() -> None:
    far = [Encoded((4, 5, 6, 7), ((8, 9), (10, 11)), ()), Encoded((12, 13, 14, 15), ((8,), (9,)), ())]
    assert len(tree.branching([far[1]])) == 1
    assert [line.is_text for line in tree.branching(far)] == [False]
    far[0] = Encoded((4, 5, 6, 7), ((8,), (9,)), ())
    assert [line.is_text for line in tree.branching(far)] == [True, True]


def test_passes_hold_no_more_than_they_may() -> None:
    lines = [line for k in range(40) for line in tree.texts([Encoded((4,) * (10 + k), ((5,) * (1 + k % 3), (6,)), ())])]
    for mixed in (False, True):
        found = tree.batches(lines, lambda length, kept: rows_per_pass(length, kept, 1000, None) // 100, mixed=mixed)
        assert sorted(number for of_pass in found for number in of_pass) == list(range(len(lines)))
        for of_pass in found:
            sizes = [(len(lines[k].tokens), lines[k].kept) for k in of_pass]
            assert len(of_pass) <= max(1, rows_per_pass(max(sizes)[0], max(s[1] for s in sizes), 1000) // 100)
            assert mixed or len(set(sizes)) == 1
    assert len(tree.batches(lines, lambda length, kept: 1, mixed=True)) == len(lines)
