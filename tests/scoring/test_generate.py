"""What is written is what plain transformers would write token by token, whatever else is asked beside it."""

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
from distractor.text.shots import format_task
from distractor.text.task import Item

SIX = ("gpt2", "gpt_neox", "llama_grouped_tied", "opt", "qwen3", "gemma2")
LENGTH = 8


def asked(model: Model) -> tuple[list[Item], list[tuple[int, ...]]]:
    """Every prompt of the tiny task under every condition: several lengths."""
    encoding = encode(tiny.task(), model)
    rows = [
        (i, r) for c in encoding.task.conditions for i, r in zip(encoding.items, encoding.rows[c], strict=True) if r
    ]
    return [item for item, _ in rows], [row.prompt for _, row in rows]


def token_by_token(plain: Any, prompt: tuple[int, ...], count: int) -> tuple[int, ...]:
    """The likeliest token again and again, each time from the whole text: no cache, no padding."""
    tokens = list(prompt)
    with torch.inference_mode():
        for _ in range(count):
            tokens.append(int(plain(torch.tensor([tokens]), use_cache=False).logits[0, -1].argmax()))
    return tuple(tokens[len(prompt) :])


@pytest.mark.parametrize("architecture", SIX)
def test_it_is_what_plain_transformers_writes_token_by_token(architecture: str, tmp_path: Path) -> None:
    words = tiny.word_level(tiny.words_of(*tiny.texts_of(tiny.task())))
    tiny.save(tmp_path, tiny.ARCHITECTURES[architecture], words, seed=5)
    model = load(tmp_path, device="cpu", dtype="float64")
    items, prompts = asked(model)
    assert len(set(map(len, prompts))) > 2
    written = generate(model, items, prompts, LENGTH, stops=())
    for prompt, one in list(zip(prompts, written, strict=True))[::5]:
        wanted = token_by_token(tiny.plain(str(tmp_path)), prompt, len(one.tokens))
        assert one.tokens == wanted
    assert {len(one.tokens) for one in written if one.end == "limit"} <= {LENGTH}


@pytest.mark.parametrize("architecture", SIX)
def test_the_numbers_behind_the_cache_are_those_by_which_answers_are_ranked(loaded: Loaded, architecture: str) -> None:
    model = loaded(architecture)
    prompt = torch.tensor(asked(model)[1][:1])
    with torch.inference_mode():
        ranked = model.log_probs(prompt, torch.tensor([prompt.shape[1] - 1]))[:, 0]
        at_once, _ = model.next_logits(prompt, None)
        _, past = model.next_logits(prompt[:, :-1], None)
        behind, _ = model.next_logits(prompt[:, -1:], past)
    close = 1e-6 if architecture == "gemma2" else 1e-12  # its softmax is float32 in float64
    torch.testing.assert_close(at_once.log_softmax(-1), ranked, rtol=0, atol=1e-12)
    torch.testing.assert_close(behind.log_softmax(-1), ranked, rtol=0, atol=close)


@pytest.mark.parametrize("architecture", ["gpt2", "opt"])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_batch_size_and_company_change_nothing(loaded: Loaded, architecture: str, batch_size: int) -> None:
    model = loaded(architecture)
    items, prompts = asked(model)
    together = generate(model, items, prompts, LENGTH)
    assert generate(model, items, prompts, LENGTH, batch_size=batch_size) == together
    shuffled = list(range(len(prompts)))[::-1]
    again = generate(model, [items[k] for k in shuffled], [prompts[k] for k in shuffled], LENGTH)
    assert again[::-1] == together


@pytest.mark.parametrize("architecture", ["gpt2", "opt"])
def test_texts_that_end_sooner_leave_the_others_as_they_are(loaded: Loaded, architecture: str) -> None:
    model = loaded(architecture)
    items, prompts = asked(model)
    whole = generate(model, items, prompts, LENGTH, stops=())
    words = sorted({word for one in whole for word in one.text.split() if word.isalpha()})
    tried = 0
    for word in words:
        together = generate(model, items, prompts, LENGTH, stops=[word])
        ended: dict[int, list[int]] = {}
        for prompt, one, alone in zip(prompts, together, whole, strict=True):
            assert one.tokens == alone.tokens[: len(one.tokens)], (word, prompt)
            ended.setdefault(len(prompt), []).append(len(one.tokens))
        # In one batch a text ends while others behind it go on.
        tried += any(lengths != sorted(lengths, reverse=True) for lengths in ended.values())
    assert tried > 1


def test_a_text_ends_at_its_stop_string_at_the_models_own_end_or_at_the_limit(tmp_path: Path) -> None:
    words = tiny.word_level(tiny.words_of(*tiny.texts_of(tiny.task())))
    tiny.save(tmp_path, tiny.ARCHITECTURES["gpt2"], words, seed=3)
    model = load(tmp_path, device="cpu", dtype="float64")
    items, prompts = asked(model)
    free = generate(model, items, prompts, LENGTH, stops=())
    for one in free:
        assert one.end in ("limit", "eos")
        assert (len(one.tokens) == LENGTH) or one.end == "eos"
    place, said = next((k, w) for k, one in enumerate(free) if len(w := one.text.split()) > 1 and w[1] != w[0])
    stopped = generate(model, [items[place]], [prompts[place]], LENGTH, stops=(said[1],))[0]
    assert stopped == Generated(free[place].tokens[:2], f"{said[0]} ", "stop")
    ends = replace(model, tokenizer=_ending_in(model, free[place].tokens[1]))
    ended = generate(ends, [items[place]], [prompts[place]], LENGTH, stops=())[0]
    assert ended == Generated(free[place].tokens[:2], said[0], "eos")


def _ending_in(model: Model, token: int) -> Any:
    words = type(model.tokenizer)(
        tokenizer_object=model.tokenizer.backend_tokenizer, bos_token="<bos>", unk_token="<unk>"
    )
    words.eos_token = words.convert_ids_to_tokens(token)
    return words


def test_ranked_and_written_answers_agree_where_the_likeliest_token_is_an_answer(loaded: Loaded) -> None:
    """The two likeliest words behind each prompt are made its answers, the true one and the distractor's by turns."""
    model = loaded("gpt2")
    items = []
    for k, (item, prompt) in enumerate(zip(*asked(model), strict=True)):
        with torch.inference_mode():
            behind = model.log_probs(torch.tensor([prompt]), torch.tensor([len(prompt) - 1]))[0, 0]
        words = [model.tokenizer.decode([token]) for token in behind.topk(2).indices.tolist()]
        if all(word.isalpha() for word in words):
            items.append(Item(f"{k}", f"{k}", *(f" {word}" for word in words[:: 1 if k % 2 else -1]), item.prompts))
    assert len(items) > 10
    task = format_task(replace(tiny.task(), items=tuple(items)), Format("generate", limit=1))
    encoding = encode(task, model)
    agreed = 0
    for condition in task.conditions:
        rows = [(i, r) for i, r in zip(encoding.items, encoding.rows[condition], strict=True) if r]
        ranked = score(model, [i for i, _ in rows], [r for _, r in rows])
        written = generate(model, [i for i, _ in rows], [r.prompt for _, r in rows], 1)
        for (item, row), log_probs, one in zip(rows, ranked, written, strict=True):
            reply = read_answer(one.text, item.answers)
            answers = [answer[0] for answer in row.answers]
            if one.tokens[0] in answers:
                agreed += 1
                assert reply.given == answers.index(one.tokens[0]) == int(log_probs[1] > log_probs[0])
            else:
                assert reply.given is None
    assert agreed > 10


def test_a_prompt_that_leaves_no_room_to_write_is_refused(loaded: Loaded) -> None:
    model = loaded("gpt2")
    items, prompts = asked(model)
    with pytest.raises(ModelError, match=r"tokens that may be written behind it, the model's context has 48"):
        generate(model, items, prompts, 48)


def test_a_model_that_gives_nan_is_named_with_the_item(tmp_path: Path) -> None:
    words = tiny.word_level(tiny.words_of(*tiny.texts_of(tiny.task())))
    tiny.save(tmp_path, tiny.ARCHITECTURES["gpt2"], words)
    model = load(tmp_path, device="cpu")
    with torch.no_grad():
        next(model.bridge.original_model.parameters()).fill_(float("nan"))
    items, prompts = asked(model)
    with pytest.raises(ModelError, match=rf"logits behind item {items[0].id} are not finite"):
        generate(model, items[:1], prompts[:1], 2)
