"""Texts are generated once and stored, with the answers read from them; each kind of result has its own key."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import tiny
from conftest import Loaded
from distractor.models.source import Source
from distractor.scoring import lazy_model
from distractor.scoring.encode import answers_after, encode
from distractor.scoring.generate import generate
from distractor.scoring.reply import read_answer
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.scoring.written_answers import GIVEN, Replies, Text, TextGenerator, gap_keys, text_keys
from distractor.text.format import Format
from distractor.text.format_task import format_task
from distractor.text.task import Condition

pytestmark = pytest.mark.quick

CPU = Settings(device="cpu", dtype="float64", self_check=False)
PAIR = (Condition.CONFLICT, Condition.CONGRUENT)


def test_the_kind_of_each_answer_is_an_index_and_missing_texts_have_none() -> None:
    texts = [Text("p", "t", "stop", "w", given, None) for given in GIVEN]
    row = (*texts, Text("p", "", "stop", None, None, "empty"), None)
    replies = Replies(Source("f", "m", Path("m")), dict.fromkeys(PAIR, row), {}, True, {})
    assert_array_equal(replies.shown, [[True, True, True, True, False]] * 2)
    assert_array_equal(replies.given, [[0, 1, 2, np.nan, np.nan]] * 2)


def test_texts_of_each_condition_and_gaps_after_reasoning_have_different_keys(tmp_path: Path) -> None:
    words = tiny.word_level(tiny.words_of(*tiny.texts_of(tiny.task())))
    source = Source("models", "m", tiny.save(tmp_path, tiny.ARCHITECTURES["gpt2"], words))
    task = replace(tiny.task(), format=Format("cot"))
    texts, gaps = text_keys(task, source, CPU), gap_keys(task, source, CPU)
    assert (set(texts), set(gaps)) == (set(task.conditions), set(PAIR))
    keys = [*texts.values(), *gaps.values()]
    assert all(key not in keys[:k] for k, key in enumerate(keys))
    assert gap_keys(replace(task, format=Format("generate")), source, CPU) == {}


def test_texts_are_generated_once_and_read_from_the_store_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = tiny.word_level(tiny.words_of(*tiny.texts_of(tiny.task())))
    source = Source("models", "m", tiny.save(tmp_path / "m", tiny.ARCHITECTURES["gpt2"], words))
    task = format_task(tiny.task().take(4), Format("generate", limit=2))
    generator = TextGenerator(task, source, Store(tmp_path / "cells"), CPU)
    replies = generator.replies()
    assert replies.source.n_params == generator.model.n_params
    assert replies.shown.all()
    for k, condition in enumerate(task.conditions):
        prompts = [row.prompt for row in encode(task, generator.model).rows[condition] if row is not None]
        texts = generate(generator.model, task.items, prompts, 2)
        assert [text.text for text in replies.texts[condition] if text is not None] == [text.text for text in texts]
        kinds = [read_answer(text.text, item.answers).given for text, item in zip(texts, task.items, strict=True)]
        assert_array_equal([index if index < 2 else np.nan for index in replies.given[k]], np.array(kinds, dtype=float))
    monkeypatch.setattr(lazy_model, "load_model", None)
    again = TextGenerator(task, source, Store(tmp_path / "cells"), CPU).replies()
    assert (again.texts, again.source) == (replies.texts, replies.source)


@pytest.mark.parametrize("tokenizer", ["words_bos", "bytes"])
def test_answers_after_a_text_have_the_tokens_of_the_whole_text(loaded: Loaded, tokenizer: str) -> None:
    model, item = loaded("gpt2", tokenizer), tiny.task().items[0]

    def tokens(text: str) -> tuple[int, ...]:
        return tuple(model.tokenizer(text, add_special_tokens=False).input_ids)

    for text in ("Say:", "Not Paris. Say:"):
        after = answers_after(item, text, model)
        assert [tokens(text) + answer for answer in after] == [tokens(f"{text} Rome"), tokens(f"{text} Paris")]
