"""Tokenizing prompts and answers: the scoring rule, what is refused, and the role of every token."""

import unicodedata
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

import tiny
from conftest import Loaded
from distractor.errors import EncodeError, SingleTokenError
from distractor.models.load import load
from distractor.models.model import Model
from distractor.models.source import Source
from distractor.probing.run import batch, observe
from distractor.scoring.encode import Encoded, encode
from distractor.scoring.quantities import logit_gap
from distractor.scoring.score import score
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.scoring.sweep import sweep
from distractor.text.task import Condition, Item, Task

pytestmark = pytest.mark.quick

PAIR = (Condition.CONFLICT, Condition.CONGRUENT)


def one(prompt: str, true: str = " A", distractor: str = " B", **more: Any) -> Task:
    """A task of a single item with a `conflict` prompt only."""
    item = Item("x", "g", true, distractor, {Condition.CONFLICT: prompt})
    return Task("one", "?", (item,), "tests", **more)


def conflict(task: Task, model: Model) -> Encoded:
    row = encode(task, model).rows[Condition.CONFLICT][0]
    assert row is not None
    return row


def with_tokenizer(model: Model, tokenizer: Any) -> Model:
    return replace(model, tokenizer=tokenizer, bos=None, vocab=len(tokenizer))


def merging() -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer that merges `:` with ` A`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    from tokenizers import trainers

    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(["x: A"] * 9, trainers.BpeTrainer(initial_alphabet=alphabet, show_progress=False))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


@pytest.mark.parametrize("tokenizer", ["words_bos", "bytes", "bytes_bos"])
def test_the_tokens_of_prompt_and_answer_are_those_of_the_whole_text(loaded: Loaded, tokenizer: str) -> None:
    model = loaded("gpt2", tokenizer)
    encoding = encode(tiny.task(), model)
    for condition, rows in encoding.rows.items():
        for item, row in zip(encoding.items, rows, strict=True):
            if row is not None:
                texts = [model.tokenizer(w + a).input_ids for w in item.wordings(condition) for a in item.answers]
                assert all(list(row.prompt + answer) in texts for answer in row.answers)
                assert row.prompt.count(1) == (model.bos is not None) == tokenizer.endswith("bos")


@pytest.mark.parametrize("tokenizer", ["words_bos", "bytes"])
def test_spaces_at_the_end_of_a_prompt_belong_to_the_answer(loaded: Loaded, tokenizer: str) -> None:
    model = loaded("gpt2", tokenizer)
    assert conflict(one("Say: ", "Rome", "Paris"), model) == conflict(one("Say:", " Rome", " Paris"), model)


def test_an_answer_may_have_many_tokens(loaded: Loaded) -> None:
    row = conflict(one("Say:", " Timbuktu", " Ouagadougou"), loaded("gpt2", "bytes"))
    assert all(len(answer) > 3 for answer in row.answers)


@pytest.mark.parametrize("true", [" A", " ABC"])
def test_a_tokenizer_that_merges_prompt_and_answer_is_refused(loaded: Loaded, true: str) -> None:
    model = with_tokenizer(loaded("gpt2", "bytes"), merging())
    with pytest.raises(EncodeError, match=r"item x\b.* merges .*' A.*begin the answer"):
        encode(one("x:", true), model)


def test_a_word_that_the_tokenizer_lacks_is_named(loaded: Loaded) -> None:
    model = loaded("gpt2")
    with pytest.raises(EncodeError, match=r"item x\b.*no token for 'Ulan'"):
        encode(one("Say Ulan :", " Rome", " Paris"), model)
    with pytest.raises(EncodeError, match=r"item x\b.*no token for 'Ulan'"):
        encode(one("Say:", " Rome", " Ulan"), model)


def test_a_tokenizer_that_drops_unknown_characters_is_refused(loaded: Loaded) -> None:
    letters = Tokenizer(models.BPE({letter: i for i, letter in enumerate(" Say:AB")}, []))
    model = with_tokenizer(loaded("gpt2"), PreTrainedTokenizerFast(tokenizer_object=letters))
    assert model.tokenizer("Say 9").input_ids == model.tokenizer("Say ").input_ids
    with pytest.raises(EncodeError, match=r"item x\b.*no token for '.'"):
        encode(one("Say 9:"), model)


def test_a_bos_that_is_also_the_unknown_token_is_accepted(loaded: Loaded) -> None:
    tokenizer = tiny.byte_level(bos=True, unk_token="<bos>")
    row = conflict(one("Say:"), replace(loaded("gpt2", "bytes_bos"), tokenizer=tokenizer))
    assert row.prompt[0] == 1


def test_a_prompt_may_spell_out_the_unknown_token(loaded: Loaded) -> None:
    """Chat templates write <|endoftext|>, which is the EOS, BOS and unknown token of GPT-2."""
    model = with_tokenizer(loaded("gpt2", "bytes"), tiny.byte_level(unk_token="<eos>"))
    row = conflict(one("A <eos> Say:"), model)
    assert row.prompt.count(2) == 1


def test_a_model_that_lacks_tokens_of_its_tokenizer_is_refused(loaded: Loaded) -> None:
    model = loaded("gpt2", "bytes")
    row = conflict(one("Say:"), model)
    highest = max(row.prompt + row.answers[0] + row.answers[1])
    with pytest.raises(EncodeError, match=rf"token {highest}\b.* {highest} tokens"):
        encode(one("Say:"), replace(model, vocab=highest))
    assert encode(one("Say:"), replace(model, vocab=highest + 1))
    with pytest.raises(EncodeError, match=rf"token {highest + 1}\b.* {highest + 1} tokens"):
        encode(one("Say:"), replace(model, vocab=highest + 1, bos=highest + 1))


def test_models_share_an_encoding_only_if_both_have_all_tokens(tmp_path: Path) -> None:
    def small(**more: Any) -> Any:
        return tiny.ARCHITECTURES["gpt2"](**{**more, "vocab_size": 20})

    words = tiny.word_level(tiny.words_of(*tiny.texts_of(tiny.task())))
    folders = [
        tiny.save(tmp_path / "whole", tiny.ARCHITECTURES["gpt2"], words),
        tiny.save(tmp_path / "few", small, words),
    ]
    sources = [Source("models", folder.name, folder) for folder in folders]
    with pytest.raises(EncodeError, match=r"few\b.*20 tokens"):
        sweep(tiny.task(), sources, Store(tmp_path / "cells"), Settings(device="cpu", self_check=False))


@pytest.mark.parametrize("distractor", [" Rome", " Rome Paris"])
def test_an_answer_that_begins_with_the_other_is_refused(loaded: Loaded, distractor: str) -> None:
    task = one("Say:", " Rome  " if distractor == " Rome" else " Rome", distractor)
    with pytest.raises(EncodeError, match=r"item x of one.*choose other answers"):
        encode(task, loaded("gpt2"))


@pytest.mark.parametrize(("more", "count"), [("", 1), (" Rome", 2)])
def test_answers_that_begin_alike_are_read_where_they_differ(more: str, count: int, loaded: Loaded) -> None:
    model = loaded("gpt2")
    prompts = {Condition.CONFLICT: "Not Rome. Say:", Condition.CONGRUENT: "Yes Rome. Say:"}
    items = (
        Item("x", "g", f" Rome{more} gold", f" Rome{more} iron", prompts),
        Item("y", "h", " Rome", " Paris", prompts),
    )
    encoding = encode(Task("two", "?", items, "tests"), model)
    alike, plain = (encoding.rows[Condition.CONFLICT][i] for i in range(2))
    assert alike is not None
    assert plain is not None
    prompt = batch(encoding, model.hooked, PAIR)
    first, second = alike.answers
    assert prompt.answers.tolist() == [[first[-1], second[-1]], [plain.answers[0][0], plain.answers[1][0]]]
    assert prompt.lengths.tolist() == [len(alike.prompt) + count, len(plain.prompt)]
    assert tuple(prompt.tokens[0, 0].tolist()) == alike.prompt + first[:-1]
    before, slot = alike.roles[:-1], alike.roles[-1]
    shared = tuple(("shared answer", n) for n in reversed(range(1, count)))
    assert prompt.roles[0][0] == (*before, ("prompt end", 0), *shared, slot)
    assert prompt.roles[0][1] == plain.roles
    # The tokens before are the same for both answers, so they cancel in the gap.
    run = observe(model.hooked, prompt)
    gaps = logit_gap(score(model, items, [alike, plain]))
    np.testing.assert_allclose(run.gap[0].numpy(), gaps, atol=1e-9)


def test_a_probe_leaves_out_the_items_of_an_official_file_whose_answers_begin_otherwise(loaded: Loaded) -> None:
    model = loaded("gpt2", "bytes")
    (good,) = aligned("Now iron. Say:").items
    bad = replace(good, id="bad", prompts={**good.prompts, Condition.CONGRUENT: "Now iron. Say: "})
    task = replace(aligned("Now iron. Say:"), items=(bad, good), official="neqa")
    encoding = encode(task, model)
    assert len(encoding.items) == 2
    assert [item.id for item in batch(encoding, model.hooked, PAIR).items] == [good.id]
    with pytest.raises(SingleTokenError, match=r"begin with other tokens"):
        batch(encode(replace(task, items=(bad,)), model), model.hooked, PAIR)


def test_an_item_one_token_longer_than_the_context_is_refused_with_both_lengths(loaded: Loaded) -> None:
    model = loaded("gpt2")
    fits = "gold " * (tiny.CONTEXT - 1)  # and the BOS
    row = conflict(one(fits, "Rome", "Paris"), model)
    assert len(row.prompt) == tiny.CONTEXT
    model.log_probs(torch.tensor([row.prompt]), torch.tensor([0]))
    with pytest.raises(EncodeError, match=r"item x of one.* 49 positions.* 48\b"):
        encode(one(fits + "gold", " Rome", " Paris"), model)
    with pytest.raises(EncodeError, match="49 positions"):
        encode(one(fits, "Rome Rome", "Paris"), model)


@pytest.mark.parametrize("prompt", ["", "   "])
def test_an_empty_prompt_is_refused(loaded: Loaded, prompt: str) -> None:
    with pytest.raises(EncodeError, match="item x of one has an empty prompt"):
        encode(one(prompt, "Rome", "Paris"), loaded("gpt2"))


def test_a_tokenizer_of_another_model_is_refused(loaded: Loaded, tmp_path: Path) -> None:
    tiny.save(tmp_path, tiny.ARCHITECTURES["gpt2"], tiny.word_level(["a"]))
    loaded("gpt2").tokenizer.save_pretrained(tmp_path)
    with pytest.raises(EncodeError, match=r"\b5 tokens"):
        encode(tiny.task(), load(tmp_path, device="cpu"))


# Aligned conditions.


def aligned(*wordings: str, true: str = "gold", **more: str) -> Task:
    """A task whose conflict prompt is `Not iron. Say:` and whose congruent prompts are `wordings`."""
    prompts = {Condition.CONFLICT: "Not iron. Say:", Condition.CONGRUENT: wordings[0]}
    prompts |= {Condition(condition): text for condition, text in more.items()}
    item = Item("x", "g", f" {true}", " iron", prompts, {Condition.CONGRUENT: wordings[1:]})
    return Task("aligned", "?", (item,), "tests")


def test_the_first_wording_that_is_as_long_as_the_conflict_prompt_is_used(loaded: Loaded) -> None:
    model = loaded("gpt2")
    encoding = encode(aligned("iron. Say:", "Yes Yes iron. Say:", "Now iron. Say:", "Yea iron. Say:"), model)
    (row,) = encoding.rows[Condition.CONGRUENT]
    assert row is not None
    assert model.tokenizer.decode(row.prompt) == model.tokenizer.decode(model.tokenizer("Now iron. Say:").input_ids)
    assert not encoding.dropped


def test_items_without_an_aligned_congruent_prompt_are_dropped_and_counted(loaded: Loaded) -> None:
    model = loaded("gpt2")
    good, bad = aligned("Now iron. Say:"), aligned("iron. Say:", "Yes Yes iron. Say:")
    task = replace(good, items=(good.items[0], replace(bad.items[0], id="y")))
    encoding = encode(task, model)
    assert [item.id for item in encoding.items] == ["x"]
    assert encoding.dropped == {Condition.CONGRUENT: 1}
    assert encoding.task == good
    with pytest.raises(EncodeError, match=r"none of the 1 items of aligned.*congruent"):
        encode(bad, model)


def test_a_swapped_prompt_of_another_length_is_dropped_alone(loaded: Loaded) -> None:
    model = loaded("gpt2")
    task = aligned("Now iron. Say:", distractor_swapped="Not gold gold. Say:", distractor_only="iron. Say:")
    encoding = encode(task, model)
    assert encoding.dropped == {Condition.DISTRACTOR_SWAPPED: 1}
    assert encoding.rows[Condition.DISTRACTOR_SWAPPED] == (None,)
    assert encoding.complete(PAIR) == [0]
    assert encoding.complete([Condition.DISTRACTOR_SWAPPED]) == []
    assert encoding.rows[Condition.DISTRACTOR_ONLY][0] is not None, "only aligned conditions need the same length"
    with pytest.raises(EncodeError, match=r"no item of aligned.*conflict, distractor_swapped"):
        batch(encoding, model.hooked, [Condition.CONFLICT, Condition.DISTRACTOR_SWAPPED])


def test_a_batch_of_a_condition_that_the_task_lacks_is_refused(loaded: Loaded) -> None:
    model = loaded("gpt2")
    with pytest.raises(EncodeError, match=r"true_only\b.*conflict, congruent"):
        batch(encode(tiny.task(), model), model.hooked, [Condition.TRUE_ONLY])


def test_a_batch_of_prompts_of_different_length_is_refused(loaded: Loaded) -> None:
    model = loaded("gpt2")
    encoding = encode(tiny.task(), model)
    with pytest.raises(EncodeError, match=r"conflict 6, distractor_only 5"):
        batch(encoding, model.hooked, [Condition.CONFLICT, Condition.DISTRACTOR_ONLY])


def test_a_batch_whose_answers_have_other_tokens_under_another_condition_is_refused(loaded: Loaded) -> None:
    model = loaded("gpt2", "bytes")
    task = aligned("Now iron. Say:")
    item = replace(task.items[0], prompts={**task.items[0].prompts, Condition.CONGRUENT: "Now iron. Say: "})
    encoding = encode(replace(task, items=(item,)), model)
    with pytest.raises(EncodeError, match=r"answers .*conflict"):
        batch(encoding, model.hooked, PAIR)


# Roles.


def test_each_word_has_the_role_of_its_part(loaded: Loaded) -> None:
    task = one("Not Paris. Say:", " Rome", " Paris", layout=r"(?P<cue>Not) (?P<named>\w+)(?P<stop>\.) Say(?P<slot>:)")
    row = conflict(task, loaded("gpt2"))
    assert row.roles == (("bos", 0), ("cue", 0), ("named", 0), ("stop", 0), ("before slot", 0), ("slot", 0))


def test_tokens_of_a_part_count_from_its_end_and_tokens_between_parts_are_named_by_the_next(loaded: Loaded) -> None:
    model = loaded("gpt2", "bytes")
    layout = r"Not (?P<named>\w+)(?: or (?P<second>\w+))?\. (?P<ask>Say): now"
    texts = ["Not Ouagadougou. Say: now", "Not Ouagadougou or Timbuktu. Say: now"]
    for text in texts:
        row = conflict(one(text, layout=layout), model)
        pieces: Counter[str] = Counter()
        offsets = model.tokenizer(text, return_offsets_mapping=True).offset_mapping
        for (name, index), (start, end) in zip(row.roles, offsets, strict=True):
            pieces[name] += 1
            inside = {"named": "Ouagadougou", "second": "Timbuktu", "ask": "Say"}.get(name)
            assert inside is None or text[start:end].strip() in inside, (name, text[start:end])
            assert index == sum(other == name for other, _ in row.roles) - pieces[name]
        assert set(pieces) == {"before named", "named", "before ask", "ask", "rest", "slot"} | (
            {"before second", "second"} if " or " in text else set()
        )
        assert row.roles[-1] == ("slot", 0)


def test_without_a_layout_tokens_count_from_the_end(loaded: Loaded) -> None:
    row = conflict(one("Not Paris. Say:", " Rome", " Paris"), loaded("gpt2"))
    assert row.roles == (("bos", 0), ("rest", 3), ("rest", 2), ("rest", 1), ("rest", 0), ("slot", 0))


@pytest.mark.parametrize("tokenizer", ["words_bos", "bytes"])
def test_aligned_prompts_have_the_same_roles(loaded: Loaded, tokenizer: str) -> None:
    encoding = encode(tiny.task(), loaded("gpt2", tokenizer))
    for condition in (Condition.CONGRUENT, Condition.DISTRACTOR_SWAPPED):
        pairs = zip(encoding.rows[Condition.CONFLICT], encoding.rows[condition], strict=True)
        together = [(a, b) for a, b in pairs if a is not None and b is not None]
        assert together
        for a, b in together:
            assert len(a.prompt) == len(b.prompt)
            assert a.roles == b.roles
            assert a.prompt != b.prompt
            assert all(r == "cue" if condition is Condition.CONGRUENT else r == "named"
                       for (r, _), s, t in zip(a.roles, a.prompt, b.prompt, strict=True) if s != t)  # fmt: skip


@pytest.mark.parametrize("form", ["NFC", "NFKC", "NFD"])
def test_text_in_another_unicode_form_gets_the_tokens_of_a_normalizing_tokenizer(loaded: Loaded, form: str) -> None:
    """Qwen's tokenizer composes letters and accents; the score is that of plain transformers on the same text."""
    tokenizer = tiny.byte_level()
    tokenizer.backend_tokenizer.normalizer = getattr(normalizers, form)()
    model = with_tokenizer(loaded("gpt2", "bytes"), tokenizer)
    composed = "The caf\u00e9 in \ud55c\uad6d is"
    for text in (composed, unicodedata.normalize("NFD", composed), "cafe\u0301 \ufb01"):
        row = conflict(one(text, " caf\u00e9", " une\u0301"), model)
        assert list(row.prompt) == tokenizer(text).input_ids
        assert [*row.prompt, *row.answers[1]] == tokenizer(f"{text} une\u0301").input_ids
        assert len(row.roles) == len(row.prompt)


def test_a_character_that_a_tokenizer_drops_is_still_refused(loaded: Loaded) -> None:
    tokenizer = tiny.byte_level()
    tokenizer.backend_tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace("x", "")])
    model = with_tokenizer(loaded("gpt2", "bytes"), tokenizer)
    with pytest.raises(EncodeError, match="no token for 'x'"):
        conflict(one("Not x in the cafe\u0301 is"), model)
