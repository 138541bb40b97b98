"""Models of every family as they come: equal to plain transformers or refused, BOS and spaces by the tokenizer, memory."""

import gc
import os
import weakref
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from transformers import AutoModelForCausalLM, GPT2Config

import tiny
from distractor.errors import ModelError
from distractor.models import model as models
from distractor.models.load import load, wrap
from distractor.models.model import Model
from distractor.models.self_check import CLOSE, check_against
from distractor.models.source import Source
from distractor.scoring.encode import encode
from distractor.scoring.score import score
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.scoring.sweep import sweep
from distractor.text.task import Condition, Item, Task

ARCHITECTURES = {
    **{
        name: tiny.ARCHITECTURES[name]
        for name in ("gpt2", "gpt_neox", "opt", "llama_grouped_tied", "qwen2_grouped", "qwen3", "gemma2", "gemma3")
    },
    **tiny.FURTHER,
}
TOKENIZERS: dict[str, Callable[..., Any]] = {"bytes": tiny.byte_level, "pieces": tiny.pieces}
KINDS = [
    *((name, "bytes") for name in ARCHITECTURES if not name.startswith("gemma")),
    *((name, "pieces") for name in ("gpt_neox", "llama_grouped_tied", "gemma2", "gemma3")),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    made: dict[tuple[str, str], Path] = {}

    def get(architecture: str, tokenizer: str) -> Path:
        key = architecture, tokenizer
        if key not in made:
            place = tmp_path_factory.mktemp(f"{architecture}-{tokenizer}")
            made[key] = tiny.save(place, ARCHITECTURES[architecture], TOKENIZERS[tokenizer](bos=tokenizer == "pieces"))
        return made[key]

    return get


def spaced(task: Task, end: str, before: str) -> Task:
    """The task with prompts that end in `end`, and answers that begin with `before`."""

    def put(item: Item) -> Item:
        prompts = {c: text + end for c, text in item.prompts.items()}
        others = {c: tuple(text + end for text in texts) for c, texts in item.rewordings.items()}
        true, distractor = (before + answer.strip() for answer in item.answers)
        return replace(item, prompts=prompts, rewordings=others, true=true, distractor=distractor)

    return replace(task, items=tuple(put(item) for item in task.items))


def scored(model: Model, task: Task) -> np.ndarray:
    encoding = encode(task, model)
    rows = [row for row in encoding.rows[Condition.CONFLICT] if row is not None]
    return score(model, encoding.items, rows)


def plainly(model: Model, network: Any, prompt: str, answer: str) -> float:
    """log p(answer | prompt) by plain transformers: the whole text in tokens, BOS in front where the model has one."""
    tokens = partial(model.tokenizer, add_special_tokens=False)
    bos = [] if model.bos is None else [model.bos]
    before, whole = (bos + tokens(text).input_ids for text in (prompt.rstrip(" "), prompt + answer))
    assert whole[: len(before)] == before
    with torch.no_grad():
        log_probs = torch.log_softmax(network(torch.tensor([whole[:-1]])).logits[0], -1)
    return sum(log_probs[k - 1, whole[k]].item() for k in range(len(before), len(whole)))


@pytest.mark.parametrize(("architecture", "tokenizer"), KINDS)
def test_every_family_is_checked_and_scored_as_plain_transformers_does(
    folder: Callable[[str, str], Path], architecture: str, tokenizer: str
) -> None:
    place = folder(architecture, tokenizer)
    model = load(place, device="cpu", self_check=True)
    assert model.check is not None
    assert 0 <= model.check.bridge <= CLOSE
    assert 0 < model.check.padding <= CLOSE, "nothing was padded"
    network = AutoModelForCausalLM.from_pretrained(place).eval()
    assert model.n_params == network.num_parameters()
    assert (model.bos is not None) == (tokenizer == "pieces")
    other = wrap(model.bridge, model.tokenizer, name="bos the other way", bos=model.bos is None)
    task = tiny.task(tiny.PAIRS[:2])
    for one in (model, other):
        with_space = scored(one, task)
        for end, before in (("", " "), (" ", ""), ("", "")):
            posed = spaced(task, end, before)
            found = scored(one, posed)
            item = posed.items[0]
            wanted = [plainly(one, network, item.prompts[Condition.CONFLICT], answer) for answer in item.answers]
            assert_allclose(found[0], wanted, atol=1e-4, rtol=0)
            is_same = np.allclose(found, with_space, atol=1e-5, rtol=0)
            assert is_same == bool(end or before), "a space belongs to the answer, wherever it is written"
    assert not np.allclose(scored(model, task), scored(other, task), atol=1e-3), "BOS makes no difference"


@pytest.mark.parametrize("architecture", ["olmo2", "llama_grouped_tied"])
def test_half_precision_is_checked_by_its_own_rounding(folder: Callable[[str, str], Path], architecture: str) -> None:
    model = load(folder(architecture, "bytes"), device="cpu", dtype="bfloat16", self_check=True)
    assert model.check is not None
    assert model.check.bridge < 0.5


def test_a_model_of_an_earlier_time_may_have_its_tokenizer_elsewhere(
    folder: Callable[[str, str], Path], tmp_path: Path
) -> None:
    made = folder("gpt2", "bytes")
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((made / name).read_bytes())
    found = load(tmp_path, tokenizer=made, device="cpu")
    assert found.tokenizer("Paris").input_ids == load(made, device="cpu").tokenizer("Paris").input_ids


def test_a_map_over_devices_gives_the_same_numbers(folder: Callable[[str, str], Path]) -> None:
    place = folder("gpt_neox", "bytes")
    spread, plain = load(place, device_map="auto", self_check=True), load(place, device="cpu")
    if spread.device.type == "cpu":
        assert_allclose(scored(spread, tiny.task()), scored(plain, tiny.task()), atol=0, rtol=0)
    with pytest.raises(ModelError, match="device map 'gpu' is unknown; there is: auto, balanced"):
        load(place, device_map="gpu")


def _loud(bridge: Any) -> None:
    """What an architecture that is wired wrongly does: a part of it is a little too loud."""
    with torch.no_grad():
        next(bridge.original_model.parameters()).mul_(1.01)


def _seeing(bridge: Any) -> None:
    """What attention that is not causal does: every position sees the last one."""
    bridge.blocks[0].hook_out.add_hook(lambda value, hook: value + 0.01 * value[:, -1:])


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (_loud, r"differ from those of plain transformers, by up to [\d.e+-]+ nats where 0\.0001"),
        (_seeing, r"differ from those|change when prompts are padded"),
    ],
)
def test_a_model_that_is_run_wrongly_is_refused_with_the_numbers(
    folder: Callable[[str, str], Path],
    monkeypatch: pytest.MonkeyPatch,
    break_it: Callable[[Any], None],
    message: str,
) -> None:
    from transformer_lens.model_bridge import TransformerBridge

    boot = TransformerBridge.boot_transformers

    def broken(*given: Any, **more: Any) -> Any:
        bridge = boot(*given, **more)
        break_it(bridge)
        return bridge

    monkeypatch.setattr(TransformerBridge, "boot_transformers", broken)
    place = folder("gpt2", "bytes")
    with pytest.raises(ModelError, match=message) as refused:
        load(place, device="cpu", name="mine", self_check=True)
    assert str(refused.value).startswith("mine: ")
    assert "--no-self-check" in str(refused.value)
    assert load(place, device="cpu").check is None


def test_padding_is_looked_at_by_itself(folder: Callable[[str, str], Path]) -> None:
    place = folder("gpt2", "bytes")
    model = load(place, device="cpu")
    _seeing(model.bridge)
    rows = [
        (row, model.log_probs(torch.tensor([row]), torch.arange(len(row)))[0]) for row in ([5, 6, 7], [8, 9, 10, 11])
    ]
    with pytest.raises(ModelError, match="change when prompts are padded"):
        check_against(model, rows)


@pytest.mark.parametrize(("largest", "alone"), [(5.0, CLOSE), (50.0, 5 * CLOSE)])
def test_padding_may_round_as_far_as_the_largest_log_probability_says_and_a_model_alone_less(
    folder: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch, largest: float, alone: float
) -> None:
    """Products of another size round otherwise: two wide, a model was 1.4e-4 nats off, of log-probabilities of 7."""
    model = load(folder("gpt2", "bytes"), device="cpu")
    plain = models.Model.log_probs
    rows = [(row, plain(model, torch.tensor([row]), torch.arange(len(row)))[0]) for row in ([5, 6, 7], [8, 9, 10, 11])]
    factor = largest / max(float(values.abs().max()) for _, values in rows)
    rows = [(row, factor * values) for row, values in rows]

    def shift(of_padded: float, of_alone: float) -> None:
        def shifted(self: Any, tokens: torch.Tensor, *given: Any, **more: Any) -> torch.Tensor:
            return factor * plain(self, tokens, *given, **more) + (of_padded if len(tokens) > 1 else of_alone)

        monkeypatch.setattr(models.Model, "log_probs", shifted)

    shift(0.9 * CLOSE * largest, 0)
    assert check_against(model, rows).padding > 2 * CLOSE
    shift(1.1 * CLOSE * largest, 0)
    with pytest.raises(ModelError, match="change when prompts are padded"):
        check_against(model, rows)
    shift(0.9 * alone, 0.9 * alone)
    assert check_against(model, rows).bridge > 0.8 * alone
    shift(1.1 * alone, 1.1 * alone)
    with pytest.raises(ModelError, match="differ from those of plain transformers"):
        check_against(model, rows)


def test_what_is_spared_at_the_end_is_looked_at_by_itself(
    folder: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(folder("gpt2", "bytes"), device="cpu")
    rows = [
        (row, model.log_probs(torch.tensor([row]), torch.arange(len(row)))[0]) for row in ([5, 6, 7], [8, 9, 10, 11])
    ]
    check_against(model, rows)
    narrowed = models.narrowed
    monkeypatch.setattr(models, "narrowed", lambda mlp, keep: narrowed(mlp, keep - 1))
    with pytest.raises(ModelError, match="change when only the last position is asked for"):
        check_against(model, rows)


def test_damaged_weights_are_no_fault_of_the_bridge(folder: Callable[[str, str], Path], tmp_path: Path) -> None:
    """They are named where a run meets them, with the item."""
    network = AutoModelForCausalLM.from_pretrained(folder("gpt2", "bytes"))
    with torch.no_grad():
        network.transformer.h[0].mlp.c_proj.weight[0, 0] = torch.nan
    network.save_pretrained(tmp_path)
    model = load(tmp_path, tokenizer=folder("gpt2", "bytes"), device="cpu", self_check=True)
    assert model.check == models.SelfCheck(0.0, 0.0)


def test_a_bos_that_there_is_not_cannot_be_asked_for(folder: Callable[[str, str], Path]) -> None:
    model = load(folder("gpt2", "bytes"), device="cpu")
    tokenizer = tiny.byte_level()
    tokenizer.bos_token = None
    assert wrap(model.bridge, tokenizer, name="without", bos=False).bos is None
    with pytest.raises(ModelError, match="without: its tokenizer has no BOS token"):
        wrap(model.bridge, tokenizer, name="without", bos=True)


def test_what_was_decided_for_a_model_is_kept_with_its_scores(
    folder: Callable[[str, str], Path], tmp_path: Path
) -> None:
    store, task = Store(tmp_path / "cells"), tiny.task(tiny.PAIRS[:2])
    source = Source("models", "mine", folder("llama_grouped_tied", "pieces"))

    def told(**more: Any) -> Any:
        return sweep(task, [source], store, Settings(device="cpu", **more))[0]

    usual, without, unchecked = told(), told(bos=False), told(self_check=False)
    assert (usual.bos, without.bos) == (True, False)
    assert usual.treatment["weights"] == models.WEIGHTS
    assert usual.treatment["bos"] == "<bos>"
    assert (without.treatment["bos"], without.treatment["left_out"]) == (None, ["<bos>"])
    assert usual.treatment["space"] == "kept"
    assert set(usual.treatment["self_check"]) == {"bridge", "padding"}
    assert unchecked.treatment["self_check"] is None
    assert told().treatment == usual.treatment, "a cell that was not checked is taken for one that was"
    assert not np.allclose(usual.log_probs, without.log_probs, equal_nan=True)


def test_a_tokenizer_that_drops_spaces_is_told(tmp_path: Path) -> None:
    words = tiny.word_level(tiny.words_of(*tiny.texts_of(tiny.task())))
    model = load(tiny.save(tmp_path, tiny.ARCHITECTURES["gpt2"], words), device="cpu")
    assert model.treatment["space"] == "dropped"


def test_plain_and_hooked_weights_are_never_in_memory_together(
    folder: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformer_lens.model_bridge import TransformerBridge

    plain: list[weakref.ref[Any]] = []
    alive: list[bool] = []
    load_plainly, boot = AutoModelForCausalLM.from_pretrained, TransformerBridge.boot_transformers

    def first(*given: Any, **more: Any) -> Any:
        network = load_plainly(*given, **more)
        plain.append(weakref.ref(network))
        return network

    def second(*given: Any, **more: Any) -> Any:
        alive.append(plain[0]() is not None)
        return boot(*given, **more)

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", first)
    monkeypatch.setattr(TransformerBridge, "boot_transformers", second)
    load(folder("gpt2", "bytes"), device="cpu", self_check=True)
    assert alive == [False]


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the memory of a process is told by Linux alone")
def test_ten_models_in_a_row_take_the_memory_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the garbage collector's own rounds, which may come too late."""
    large = partial(GPT2Config, n_embd=256, n_layer=5, n_head=4, n_positions=tiny.CONTEXT)
    place = tiny.save(tmp_path / "large", large, tiny.byte_level(), spread=0.0)
    size = (place / "model.safetensors").stat().st_size
    source, task = Source("models", "large", place), tiny.task(tiny.PAIRS[:1])
    monkeypatch.setattr("distractor.models.memory.WORTH_IT", size // 2)

    def run(number: int) -> int:
        sweep(task, [source], Store(tmp_path / str(number)), Settings(device="cpu", self_check=number == 0))
        return resident()

    gc.collect()
    gc.disable()
    try:
        first, *_, last = [run(number) for number in range(11)]
    finally:
        gc.enable()
    assert last - first < size
