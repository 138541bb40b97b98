"""Generated texts are those of plain transformers, token by token, and do not depend on the batch."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny
from conftest import Loaded
from distractor.errors import ModelError
from distractor.models.load import load
from distractor.models.model import Model
from distractor.scoring.encode import encode
from distractor.scoring.generate import Generated, generate
from distractor.scoring.reply import read_answer
from distractor.scoring.score import score
from distractor.text.format import Format
from distractor.text.format_task import format_task
from distractor.text.task import Item

SIX = ("gpt2", "gpt_neox", "llama_grouped_tied", "opt", "qwen3", "gemma2")
LENGTH = 8


def shown(model: Model) -> tuple[list[Item], list[tuple[int, ...]]]:
    """Every prompt of the tiny task under every condition; they have several lengths."""
    encoding = encode(tiny.task(), model)
    rows = [
        (i, r) for c in encoding.task.conditions for i, r in zip(encoding.items, encoding.rows[c], strict=True) if r
    ]
    return [item for item, _ in rows], [row.prompt for _, row in rows]


def token_by_token(plain: Any, prompt: tuple[int, ...], count: int) -> tuple[int, ...]:
    """Greedy generation without a cache: every token from the whole text."""
    tokens = list(prompt)
    with torch.inference_mode():
        for _ in range(count):
            tokens.append(int(plain(torch.tensor([tokens]), use_cache=False).logits[0, -1].argmax()))
    return tuple(tokens[len(prompt) :])


@pytest.mark.parametrize("architecture", SIX)
def test_generated_texts_equal_those_of_plain_transformers(architecture: str, tmp_path: Path) -> None:
    words = tiny.word_level(tiny.words_of(*tiny.texts_of(tiny.task())))
    tiny.save(tmp_path, tiny.ARCHITECTURES[architecture], words, seed=5)
    model = load(tmp_path, device="cpu", dtype="float64")
    items, prompts = shown(model)
    assert len(set(map(len, prompts))) > 2
    texts = generate(model, items, prompts, LENGTH, stops=())
    for prompt, text in list(zip(prompts, texts, strict=True))[::5]:
        expected = token_by_token(tiny.plain(str(tmp_path)), prompt, len(text.tokens))
        assert text.tokens == expected
    assert {len(text.tokens) for text in texts if text.end == "limit"} <= {LENGTH}


@pytest.mark.parametrize("architecture", SIX)
def test_logits_from_the_cache_equal_those_that_rank_answers(loaded: Loaded, architecture: str) -> None:
    model = loaded(architecture)
    prompt = torch.tensor(shown(model)[1][:1])
    with torch.inference_mode():
        ranked = model.log_probs(prompt, torch.tensor([prompt.shape[1] - 1]))[:, 0]
        at_once, _ = model.next_logits(prompt, None)
        _, past = model.next_logits(prompt[:, :-1], None)
        cached, _ = model.next_logits(prompt[:, -1:], past)
    close = 1e-6 if architecture == "gemma2" else 1e-12  # Gemma 2 uses a float32 softmax even in float64
    torch.testing.assert_close(at_once.log_softmax(-1), ranked, rtol=0, atol=1e-12)
    torch.testing.assert_close(cached.log_softmax(-1), ranked, rtol=0, atol=close)


@pytest.mark.parametrize("architecture", ["gpt2", "opt"])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_text_does_not_depend_on_batch_size_or_order(loaded: Loaded, architecture: str, batch_size: int) -> None:
    model = loaded(architecture)
    items, prompts = shown(model)
    together = generate(model, items, prompts, LENGTH)
    assert generate(model, items, prompts, LENGTH, batch_size=batch_size) == together
    shuffled = list(range(len(prompts)))[::-1]
    again = generate(model, [items[k] for k in shuffled], [prompts[k] for k in shuffled], LENGTH)
    assert again[::-1] == together


@pytest.mark.parametrize("architecture", ["gpt2", "opt"])
def test_texts_that_end_early_do_not_change_the_others(loaded: Loaded, architecture: str) -> None:
    model = loaded(architecture)
    items, prompts = shown(model)
    whole = generate(model, items, prompts, LENGTH, stops=())
    words = sorted({word for text in whole for word in text.text.split() if word.isalpha()})
    tried = 0
    for word in words:
        together = generate(model, items, prompts, LENGTH, stops=[word])
        ended: dict[int, list[int]] = {}
        for prompt, text, alone in zip(prompts, together, whole, strict=True):
            assert text.tokens == alone.tokens[: len(text.tokens)], (word, prompt)
            ended.setdefault(len(prompt), []).append(len(text.tokens))
        # in text batch, a text ends while a later text goes on
        tried += any(lengths != sorted(lengths, reverse=True) for lengths in ended.values())
    assert tried > 1


@pytest.mark.quick
def test_a_text_ends_at_a_stop_string_at_the_eos_or_at_the_limit(tmp_path: Path) -> None:
    words = tiny.word_level(tiny.words_of(*tiny.texts_of(tiny.task())))
    tiny.save(tmp_path, tiny.ARCHITECTURES["gpt2"], words, seed=3)
    model = load(tmp_path, device="cpu", dtype="float64")
    items, prompts = shown(model)
    free = generate(model, items, prompts, LENGTH, stops=())
    for text in free:
        assert text.end in ("limit", "eos")
        assert (len(text.tokens) == LENGTH) or text.end == "eos"
    index, words_of_text = next(
        (k, w) for k, text in enumerate(free) if len(w := text.text.split()) > 1 and w[1] != w[0]
    )
    stopped = generate(model, [items[index]], [prompts[index]], LENGTH, stops=(words_of_text[1],))[0]
    assert stopped == Generated(free[index].tokens[:2], f"{words_of_text[0]} ", "stop")
    ends = replace(model, tokenizer=_ending_in(model, free[index].tokens[1]))
    ended = generate(ends, [items[index]], [prompts[index]], LENGTH, stops=())[0]
    assert ended == Generated(free[index].tokens[:2], words_of_text[0], "eos")


def _ending_in(model: Model, token: int) -> Any:
    words = type(model.tokenizer)(
        tokenizer_object=model.tokenizer.backend_tokenizer, bos_token="<bos>", unk_token="<unk>"
    )
    words.eos_token = words.convert_ids_to_tokens(token)
    return words


@pytest.mark.quick
def test_ranked_and_generated_answers_agree_if_the_most_probable_token_is_an_answer(loaded: Loaded) -> None:
    """The two most probable words after each prompt become its answers, in alternating order."""
    model = loaded("gpt2")
    items = []
    for k, (item, prompt) in enumerate(zip(*shown(model), strict=True)):
        with torch.inference_mode():
            log_probs = model.log_probs(torch.tensor([prompt]), torch.tensor([len(prompt) - 1]))[0, 0]
        words = [model.tokenizer.decode([token]) for token in log_probs.topk(2).indices.tolist()]
        if all(word.isalpha() for word in words):
            items.append(Item(f"{k}", f"{k}", *(f" {word}" for word in words[:: 1 if k % 2 else -1]), item.prompts))
    assert len(items) > 10
    task = format_task(replace(tiny.task(), items=tuple(items)), Format("generate", limit=1))
    encoding = encode(task, model)
    agreed = 0
    for condition in task.conditions:
        rows = [(i, r) for i, r in zip(encoding.items, encoding.rows[condition], strict=True) if r]
        ranked = score(model, [i for i, _ in rows], [r for _, r in rows])
        texts = generate(model, [i for i, _ in rows], [r.prompt for _, r in rows], 1)
        for (item, row), log_probs, text in zip(rows, ranked, texts, strict=True):
            reply = read_answer(text.text, item.answers)
            answers = [answer[0] for answer in row.answers]
            if text.tokens[0] in answers:
                agreed += 1
                assert reply.given == answers.index(text.tokens[0]) == int(log_probs[1] > log_probs[0])
            else:
                assert reply.given is None
    assert agreed > 10


@pytest.mark.quick
def test_a_prompt_too_long_to_continue_is_refused(loaded: Loaded) -> None:
    model = loaded("gpt2")
    items, prompts = shown(model)
    with pytest.raises(ModelError, match=r"48 tokens.* context has 48\b"):
        generate(model, items, prompts, 48)


def test_an_item_with_nan_logits_is_named(tmp_path: Path) -> None:
    words = tiny.word_level(tiny.words_of(*tiny.texts_of(tiny.task())))
    tiny.save(tmp_path, tiny.ARCHITECTURES["gpt2"], words)
    model = load(tmp_path, device="cpu")
    with torch.no_grad():
        next(model.network.parameters()).fill_(float("nan"))
    items, prompts = shown(model)
    with pytest.raises(ModelError, match=rf"item {items[0].id}\b.*NaN"):
        generate(model, items[:1], prompts[:1], 2)
