"""Shared prefixes run once and give the same log-probabilities as every text alone."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from transformers import GPTNeoConfig

import tiny
from conftest import Loaded
from distractor.errors import ModelError
from distractor.models.load import load
from distractor.models.model import Model
from distractor.scoring import score as score_module
from distractor.scoring.encode import Encoded, Tokens
from distractor.scoring.pass_size import rows_per_pass
from distractor.scoring.prefix_sharing import batches, packed_sequences, plain_sequences, to_tensors
from distractor.scoring.score import score, score_all
from distractor.text.task import Item

EVERY = [*tiny.ARCHITECTURES, *tiny.FURTHER]
Rows = list[list[Encoded | None]]


def texts_of(vocab: int, items: int = 5) -> Rows:
    """Three prompts per item, one missing; long answers, some with a common prefix, and short answers."""
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


def score_one_by_one(model: Model, rows: Rows) -> np.ndarray:
    """Scores [condition item answer] from one forward pass for each answer of each prompt."""
    scores = np.full((len(rows[0]), len(rows), 2), np.nan)
    for item, of_item in enumerate(rows):
        for condition, row in enumerate(of_item):
            for answer, tokens in enumerate(row.answers if row else ()):
                assert row is not None
                whole = row.prompt + tokens
                keep = torch.arange(len(row.prompt) - 1, len(whole) - 1)
                log_probs = model.log_probs(torch.tensor([whole[:-1]]), keep)[0]
                scores[condition, item, answer] = log_probs.gather(1, torch.tensor(tokens)[:, None]).sum()
    return scores


def items(count: int) -> tuple[Item, ...]:
    return tiny.task().items[:count]


def get(loaded: Loaded, folder: Path, architecture: str) -> Model:
    if architecture in tiny.ARCHITECTURES:
        return loaded(architecture, "bytes")
    return load(tiny.save(folder, tiny.FURTHER[architecture], tiny.byte_level()), device="cpu", dtype="float64")


@pytest.fixture(autouse=True)
def _forget_checks() -> None:
    score_module._no_prefix_sharing.clear()
    score_module._tested_length.clear()


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of tokens of each forward pass in this test."""
    counts: list[int] = []
    right = Model.log_probs

    def count(self: Model, tokens: Any, keep: Any, **more: Any) -> Any:
        counts.append(tokens.numel())
        return right(self, tokens, keep, **more)

    monkeypatch.setattr(Model, "log_probs", count)
    return counts


@pytest.mark.parametrize("architecture", EVERY)
def test_packed_texts_score_the_same_as_each_text_alone(
    loaded: Loaded, tmp_path: Path, architecture: str, passes: list[int]
) -> None:
    model = get(loaded, tmp_path, architecture)
    rows = texts_of(model.vocab)
    expected = score_one_by_one(model, rows)
    plain = sum(passes)
    assert np.ptp(expected[0]) > 0.1
    scores = score_all(model, items(5), rows)
    assert_allclose(scores, expected, atol=1e-5 if architecture == "gemma2" else 1e-9)
    if model.shared_length is not None and model.shared_length < 20:
        assert model.network not in score_module._no_prefix_sharing, "texts longer than the window were packed"
        return
    assert score_module._no_prefix_sharing[model.network] == "", "packing was not tried, or failed"
    passes.clear()
    assert_allclose(score_all(model, items(5), rows), scores, atol=0)
    assert sum(passes) < plain / 2, "nothing was saved"


@pytest.mark.parametrize("architecture", EVERY)
def test_prompts_in_a_mixed_batch_score_the_same_as_each_alone(
    loaded: Loaded, tmp_path: Path, architecture: str, passes: list[int]
) -> None:
    model = get(loaded, tmp_path, architecture)
    made = np.random.default_rng(1)
    rows = [Encoded(tuple(made.integers(4, model.vocab, 24 + k).tolist()), ((5,), (6,)), ()) for k in range(5)]
    expected = score_one_by_one(model, [[row] for row in rows])[0]
    score(model, items(5), rows)
    passes.clear()
    assert_allclose(score(model, items(5), rows), expected, atol=1e-5 if architecture == "gemma2" else 1e-9)
    is_short = model.shared_length is not None and model.shared_length < 24
    assert passes == ([24, 25, 26, 27, 28] if is_short else [4 * 27, 28]), (
        "the longest prompt must not share a batch with the shortest"
    )


@pytest.mark.parametrize("order", ["short first", "long first", "mixed"])
def test_a_window_shorter_than_a_prompt_changes_no_score_in_any_order(tmp_path: Path, order: str) -> None:
    """GPT-Neo hides tokens beyond 256 in its local layers; longer prompts share nothing."""
    config = partial(
        GPTNeoConfig, hidden_size=16, num_layers=2, num_heads=4, attention_types=[[["global", "local"], 1]]
    )
    model = load(tiny.save(tmp_path, config, tiny.byte_level()), device="cpu", dtype="float64")
    assert model.shared_length == 256
    made = np.random.default_rng(2)
    lengths = [20, 254, 30, 300, 31, 250, 420, 32]
    lengths.sort(reverse=order == "long first") if order != "mixed" else None
    rows: Rows = []
    for length in lengths:
        shared = made.integers(4, model.vocab, length)
        prompts = (shared, np.append(shared[:-3], made.integers(4, model.vocab, 3)), shared[:-5])
        rows.append([Encoded(tuple(prompt.tolist()), ((5, 7, 9), (6, 8)), ()) for prompt in prompts])
    assert_allclose(score_all(model, items(8), rows), score_one_by_one(model, rows), atol=1e-9)
    assert score_module._no_prefix_sharing[model.network] == ""


def test_masks_are_tested_again_when_a_longer_line_comes(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch, passes: list[int]
) -> None:
    """A model whose settings hide that masks fail beyond 30 tokens."""
    model = loaded("llama", "bytes")
    right = Model._masks
    bad = lambda self, mask: right(self, replace(mask, visible=mask.visible & (mask.visible.shape[-1] <= 32)))  # noqa: E731
    monkeypatch.setattr(Model, "_masks", bad)
    rows = texts_of(model.vocab)
    short, long = [rows[0]], [[row and replace(row, prompt=row.prompt[:1] * 14 + row.prompt) for row in rows[0]]]
    for some in (short, long):
        assert_allclose(score_all(model, items(1), some), score_one_by_one(model, some), atol=1e-9)
        assert bool(score_module._no_prefix_sharing[model.network]) == (some is long)


@pytest.mark.quick
def test_prompts_of_one_length_need_no_attention_mask(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Model, mask: Any) -> Any:
        raise AssertionError("a mask was made")

    monkeypatch.setattr(Model, "_masks", refuse)
    rows = [Encoded((4, 5, token), ((7,), (8,)), ()) for token in range(9, 12)]
    score(loaded("gpt2"), items(3), rows)


@pytest.mark.quick
@pytest.mark.parametrize("broken", ["refuses", "ignores"])
def test_a_model_without_custom_masks_scores_every_text_in_full(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch, broken: str, passes: list[int]
) -> None:
    model = loaded("gpt2", "bytes")
    rows = texts_of(model.vocab)
    expected = score_one_by_one(model, rows)

    def masks(self: Model, mask: Any) -> Any:
        if broken == "refuses":
            raise TypeError("an unexpected keyword argument 'attention_mask'\nand more")
        return torch.zeros(mask.visible.shape, dtype=self.dtype)[:, None]

    monkeypatch.setattr(Model, "_masks", masks)
    passes.clear()
    assert_allclose(score_all(model, items(5), rows), expected, atol=1e-9)
    why = score_module._no_prefix_sharing[model.network]
    assert why.startswith("TypeError: an unexpected" if broken == "refuses" else "log-probabilities were off by")
    assert sum(passes) > sum(len(text.tokens) for of_item in rows for text in plain_sequences(of_item))


@pytest.mark.quick
def test_a_missing_prompt_scores_nan_and_a_broken_item_is_named(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = loaded("llama", "bytes")
    rows = texts_of(model.vocab)
    scores = score_all(model, items(5), rows)
    assert np.isnan(scores).sum() == 2
    assert np.isnan(scores[2, 1]).all()
    right: Callable[..., Any] = score_module._run

    def damaged(model: Model, sequences: Any) -> Any:
        return [[np.nan if target[:2] == (2, 0) else v for target, v in zip(sequence.all_targets, values, strict=True)]
                for sequence, values in zip(sequences, right(model, sequences), strict=True)]  # fmt: skip

    monkeypatch.setattr(score_module, "_run", damaged)
    with pytest.raises(ModelError, match=r"4 of 5 items.*\bParis>Rome\b"):
        score_all(model, items(5), rows)


@pytest.mark.quick
def test_items_without_prompts_need_no_forward_pass(loaded: Loaded) -> None:
    assert np.isnan(score_all(loaded("gpt2"), items(3), [[None]] * 3)).all()


@pytest.mark.quick
def test_a_packed_sequence_holds_every_text_once() -> None:
    rows = texts_of(300)[0]
    (packed,) = packed_sequences(rows)
    visible, positions = packed.mask_and_positions
    unpacked = {tuple(text.tokens): text.targets[len(text.tokens) - 1] for text in packed.unpacked}
    for text in plain_sequences(rows):
        for k, targets in text.targets.items():
            assert set(targets) <= set(unpacked[tuple(text.tokens[: k + 1])])
    assert visible.diagonal().all()
    assert all(parent < k for k, parent in enumerate(packed.parents)), "a token attends to one on its right"
    assert (visible.sum(1) == positions + 1).all()
    assert packed.n_unembedded == len(packed.targets), "only positions with targets are unembedded"


@pytest.mark.quick
def test_the_texts_of_a_packed_sequence_are_few_and_hold_every_target_once() -> None:
    long = Encoded(tuple(range(4, 300)), (tuple(range(30, 60)), (*range(30, 45), *range(70, 85))), ())
    for rows in ([long], texts_of(300)[0]):
        (packed,) = packed_sequences(rows)
        texts = packed.longest_texts
        assert sorted(place for _, places in texts for place in places) == list(range(len(packed.all_targets)))
        for text, places in texts:
            assert text.all_targets == [packed.all_targets[place] for place in places]
        plain = plain_sequences(rows)
        longest = {tuple(text.tokens) for text, _ in texts}
        assert longest <= {tuple(text.tokens) for text in plain}
        assert all(any(text[: len(one.tokens)] == tuple(one.tokens) for text in longest) for one in plain)
    assert len(packed_sequences([long])[0].longest_texts) == 2


@pytest.mark.quick
def test_each_token_of_a_batch_is_one_position_after_its_parent() -> None:
    sequences = [packed_sequences(texts_of(300)[0])[0], plain_sequences(texts_of(300)[1])[0]]
    tokens, mask = to_tensors(sequences, torch.device("cpu"))
    assert mask is not None
    for row, sequence in enumerate(sequences):
        start = tokens.shape[1] - len(sequence.tokens)
        assert tokens[row, start:].tolist() == list(sequence.tokens)
        for k, parent in enumerate(sequence.parents):
            if parent >= 0:
                assert mask.visible[row, start + k, start + parent]
                assert mask.positions[row, start + k] == mask.positions[row, start + parent] + 1


@pytest.mark.quick
def test_texts_that_share_little_are_not_packed() -> None:
    apart = [Encoded((4, 5, 6, 7), ((8, 9), (10, 11)), ()), Encoded((12, 13, 14, 15), ((8,), (9,)), ())]
    assert len(packed_sequences([apart[1]])) == 1
    assert [sequence.is_plain for sequence in packed_sequences(apart)] == [False]
    apart[0] = Encoded((4, 5, 6, 7), ((8,), (9,)), ())
    assert [sequence.is_plain for sequence in packed_sequences(apart)] == [True, True]


@pytest.mark.quick
def test_batches_keep_to_the_limits_of_a_forward_pass() -> None:
    sequences = [
        sequence
        for k in range(40)
        for sequence in plain_sequences([Encoded((4,) * (10 + k), ((5,) * (1 + k % 3), (6,)), ())])
    ]
    for mixed in (False, True):
        groups = batches(sequences, lambda length, kept: rows_per_pass(length, kept, 1000) // 100, mixed=mixed)
        assert sorted(index for group in groups for index in group) == list(range(len(sequences)))
        for group in groups:
            sizes = [(len(sequences[k].tokens), sequences[k].n_unembedded) for k in group]
            assert len(group) <= max(1, rows_per_pass(max(sizes)[0], max(s[1] for s in sizes), 1000) // 100)
            assert mixed or len(set(sizes)) == 1
    assert len(batches(sequences, lambda length, kept: 1, mixed=True)) == len(sequences)
