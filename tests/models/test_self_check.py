"""Each architecture equals plain transformers or is refused; BOS and spaces follow the tokenizer; memory is freed."""

import gc
import json
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from transformers import AutoModelForCausalLM, FalconConfig, GPT2Config, GPT2LMHeadModel

import small_ladder
import tiny
from distractor.errors import ModelError
from distractor.models import arithmetic, self_check
from distractor.models import load as load_module
from distractor.models.load import as_model, load
from distractor.models.model import WEIGHT_TREATMENT, Model, SelfCheck
from distractor.models.self_check import CLOSE, check_scores, same_scores
from distractor.models.source import Source
from distractor.probing.readings import ReadingsRequest, probe_key
from distractor.progress import count_run
from distractor.scoring.encode import encode
from distractor.scoring.keys import score_keys
from distractor.scoring.score import score
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.scoring.sweep import sweep
from distractor.text.task import Condition, Item, Task
from probes import PROBES

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
    folders: dict[tuple[str, str], Path] = {}

    def get(architecture: str, tokenizer: str) -> Path:
        key = architecture, tokenizer
        if key not in folders:
            path = tmp_path_factory.mktemp(f"{architecture}-{tokenizer}")
            folders[key] = tiny.save(
                path, ARCHITECTURES[architecture], TOKENIZERS[tokenizer](bos=tokenizer == "pieces")
            )
        return folders[key]

    return get


def spaced(task: Task, end: str, before: str) -> Task:
    """The task with prompts that end in `end`, and answers that begin with `before`."""

    def respaced(item: Item) -> Item:
        prompts = {c: text + end for c, text in item.prompts.items()}
        others = {c: tuple(text + end for text in texts) for c, texts in item.rewordings.items()}
        true, distractor = (before + answer.strip() for answer in item.answers)
        return replace(item, prompts=prompts, rewordings=others, true=true, distractor=distractor)

    return replace(task, items=tuple(respaced(item) for item in task.items))


def scored(model: Model, task: Task) -> np.ndarray:
    encoding = encode(task, model)
    rows = [row for row in encoding.rows[Condition.CONFLICT] if row is not None]
    return score(model, encoding.items, rows)


def plain_log_prob(model: Model, network: Any, prompt: str, answer: str) -> float:
    """Return log p(answer | prompt) of plain transformers for the whole text, after BOS if the model uses it."""
    tokens = partial(model.tokenizer, add_special_tokens=False)
    bos = [] if model.bos is None else [model.bos]
    before, whole = (bos + tokens(text).input_ids for text in (prompt.rstrip(" "), prompt + answer))
    assert whole[: len(before)] == before
    with torch.no_grad():
        log_probs = torch.log_softmax(network(torch.tensor([whole[:-1]])).logits[0], -1)
    return sum(log_probs[k - 1, whole[k]].item() for k in range(len(before), len(whole)))


@pytest.mark.parametrize(("architecture", "tokenizer"), KINDS)
def test_every_architecture_scores_as_plain_transformers_does(
    folder: Callable[[str, str], Path], architecture: str, tokenizer: str
) -> None:
    path = folder(architecture, tokenizer)
    model = load(path, device="cpu", self_check=True)
    assert model.check is not None
    assert 0 <= model.check.attention <= CLOSE
    assert model.attention == "eager"
    assert 0 < model.check.padding <= CLOSE, "the check padded nothing"
    network = AutoModelForCausalLM.from_pretrained(path).eval()
    assert (model.bos is not None) == (tokenizer == "pieces")
    other = as_model(model.network, model.tokenizer, name="the other BOS setting", bos=model.bos is None)
    task = tiny.task(tiny.PAIRS[:2])
    for variant in (model, other):
        with_space = scored(variant, task)
        for end, before in (("", " "), (" ", ""), ("", "")):
            respaced = spaced(task, end, before)
            scores = scored(variant, respaced)
            item = respaced.items[0]
            prompt = item.prompts[Condition.CONFLICT]
            expected = [plain_log_prob(variant, network, prompt, answer) for answer in item.answers]
            assert_allclose(scores[0], expected, atol=1e-4, rtol=0)
            is_same = np.allclose(scores, with_space, atol=1e-5, rtol=0)
            assert is_same == bool(end or before), "the space belongs to the answer, at either side of the boundary"
    assert not np.allclose(scored(model, task), scored(other, task), atol=1e-3), "BOS makes no difference"


@pytest.mark.parametrize("architecture", ["olmo2", "llama_grouped_tied"])
def test_half_precision_has_its_own_tolerance(folder: Callable[[str, str], Path], architecture: str) -> None:
    model = load(folder(architecture, "bytes"), device="cpu", dtype="bfloat16", self_check=True)
    assert model.check is not None
    assert model.check.attention < 0.5


def test_a_checkpoint_may_use_the_tokenizer_of_another_folder(
    folder: Callable[[str, str], Path], tmp_path: Path
) -> None:
    whole = folder("gpt2", "bytes")
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((whole / name).read_bytes())
    model = load(tmp_path, tokenizer=whole, device="cpu")
    assert model.tokenizer("Paris").input_ids == load(whole, device="cpu").tokenizer("Paris").input_ids


def test_a_device_map_gives_the_same_numbers(folder: Callable[[str, str], Path]) -> None:
    path = folder("gpt_neox", "bytes")
    spread, plain = load(path, device_map="auto", self_check=True), load(path, device="cpu")
    if spread.device.type == "cpu":
        assert_allclose(scored(spread, tiny.task()), scored(plain, tiny.task()), atol=0, rtol=0)
    with pytest.raises(ModelError, match=r"device map 'gpu'.* auto, balanced"):
        load(path, device_map="gpu")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_sdpa_scores_as_eager_attention_does(folder: Callable[[str, str], Path], architecture: str) -> None:
    path = folder(architecture, "pieces" if architecture.startswith("gemma") else "bytes")
    fast, plain = (load(path, device="cpu", attention=each, self_check=True) for each in ("sdpa", "eager"))
    has_sdpa = AutoModelForCausalLM.from_pretrained(path).config._attn_implementation == "sdpa"
    assert (fast.attention, plain.attention) == ("sdpa" if has_sdpa else "eager", "eager")
    assert_allclose(scored(fast, tiny.task()), scored(plain, tiny.task()), atol=CLOSE, rtol=0)
    unchecked = load(path, device="cpu", attention="sdpa")
    assert unchecked.attention == fast.attention


def test_sdpa_has_its_own_scores_but_not_its_own_readings(
    folder: Callable[[str, str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source(family="models", model="llama", folder=folder("llama_grouped_tied", "bytes"))
    fast, plain = Settings("cpu", attention="sdpa"), Settings("cpu")
    assert fast.identity() == plain.identity() | {"attention": "sdpa"}
    assert Settings("cpu", attention="eager").identity() == plain.identity()
    task, probe = tiny.task(), PROBES["ablation"]
    assert probe_key(task, source, probe, fast) == probe_key(task, source, probe, plain)
    assert not set(map(repr, score_keys(task, source, fast).values())) & set(
        map(repr, score_keys(task, source, plain).values())
    )
    (reading,) = ReadingsRequest(task, source, fast, (("ablation", probe),)).compute(Store(tmp_path))
    assert np.isfinite(reading.values).any()
    with pytest.raises(ModelError, match="unknown attention 'flash'"):
        Settings(attention="flash")


def test_a_gpu_uses_sdpa_and_a_cpu_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings("cpu").chosen_attention == "eager"
    monkeypatch.setattr("distractor.scoring.settings.pick_device", lambda device: "cuda")
    assert Settings("auto").chosen_attention == "sdpa"
    assert Settings("auto", "float64").chosen_attention == "eager"
    assert Settings("auto").for_hooks.chosen_attention == "eager"


def test_weights_go_straight_to_their_device(
    folder: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    right = load_module.load_network

    def watched(*args: Any, **more: Any) -> Any:
        asked.append(more["device_map"])
        return right(*args, **more | {"device_map": {"": "cpu"}})

    monkeypatch.setattr(load_module, "load_network", watched)
    monkeypatch.setattr(load_module, "pick_device", lambda device: "cuda" if device == "auto" else "cpu")
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, *_: self)
    load(folder("gpt2", "bytes"))
    assert asked == [{"": "cuda"}]
    load(folder("gpt2", "bytes"), device="cpu")
    assert asked[1:] == [None]


def _scale_a_parameter(model: Any) -> None:
    """Scale one parameter, as a wrongly connected architecture would."""
    with torch.no_grad():
        next(model.network.parameters()).mul_(1.01)


def _look_ahead(model: Any) -> None:
    """Let every position depend on the last one, as non-causal attention would."""
    embedding = model.network.get_input_embeddings()
    embedding.register_forward_hook(lambda _, __, value: value + 0.01 * value[:, -1:])


def _shift(monkeypatch: pytest.MonkeyPatch, by: Callable[[torch.Tensor], float]) -> None:
    """Shift the log-probabilities that scores use."""
    right = Model.log_probs

    def shifted(self: Model, tokens: torch.Tensor, keep: torch.Tensor, **more: Any) -> torch.Tensor:
        return right(self, tokens, keep, **more) + by(tokens)

    monkeypatch.setattr(Model, "log_probs", shifted)


def test_scores_that_differ_from_plain_transformers_are_refused(
    folder: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _shift(monkeypatch, lambda _: 2e-3)
    path = folder("gpt2", "bytes")
    with pytest.raises(ModelError, match=r"differ from those of plain .*, by up to 0\.002 nats.* 0\.0001") as refused:
        load(path, device="cpu", name="mine", self_check=True)
    assert str(refused.value).startswith("mine: ")
    assert "--no-self-check" in str(refused.value)
    assert load(path, device="cpu").check is None


def test_a_model_that_looks_ahead_fails_the_padding_check(folder: Callable[[str, str], Path]) -> None:
    model = load(folder("gpt2", "bytes"), device="cpu")
    _look_ahead(model)
    with pytest.raises(ModelError, match="change when prompts are padded"):
        check_scores(model)


@pytest.mark.parametrize(("largest", "alone"), [(5.0, CLOSE), (50.0, 5 * CLOSE)])
def test_tolerances_scale_with_the_largest_log_probability(
    folder: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch, largest: float, alone: float
) -> None:
    """A padded batch rounds differently: a model of width 2 differed by 1.4e-4 nats at log-probabilities near 7."""
    model = load(folder("gpt2", "bytes"), device="cpu")
    exact = self_check._plain

    def scaled(*args: Any) -> Any:
        values = exact(*args)
        factor = largest / max(float(each.abs().max()) for each in values)
        return [factor * each for each in values]

    monkeypatch.setattr(self_check, "_plain", scaled)

    def shift(padded_by: float, alone_by: float) -> None:
        expected = scaled(model, self_check._prompts(model))

        def shifted(_: Model, tokens: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
            if len(tokens) > 1:
                return (
                    torch.stack([torch.nn.functional.pad(e, (0, 0, 0, len(keep) - len(e))) for e in expected])
                    + padded_by
                )
            by_length = {len(each): each for each in expected}
            return by_length[tokens.shape[1]][None, keep] + alone_by

        monkeypatch.setattr(Model, "log_probs", shifted)

    shift(0.9 * CLOSE * largest, 0)
    assert check_scores(model) > 2 * CLOSE
    shift(1.1 * CLOSE * largest, 0)
    with pytest.raises(ModelError, match="change when prompts are padded"):
        check_scores(model)
    shift(0.9 * alone, 0.9 * alone)
    check_scores(model)
    shift(1.1 * alone, 1.1 * alone)
    with pytest.raises(ModelError, match="differ from those of plain transformers"):
        check_scores(model)


def test_a_wrong_restriction_of_the_last_mlp_fails_the_check(
    folder: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(folder("gpt2", "bytes"), device="cpu")
    check_scores(model)
    restrict = arithmetic.restrict_positions
    monkeypatch.setattr(arithmetic, "restrict_positions", lambda mlp, keep: restrict(mlp, keep - 1))
    with pytest.raises(ModelError, match="change when only the last position is computed"):
        check_scores(model)


def test_a_wrongly_wrapped_model_is_refused(folder: Callable[[str, str], Path]) -> None:
    path = folder("gpt2", "bytes")
    plain, other = load(path, device="cpu", self_check=True), load(path, device="cpu")
    with same_scores(plain) as compare:
        compare(other)
        _scale_a_parameter(other)
        with pytest.raises(ModelError, match=r"differ from .* once TransformerLens wraps it, by .*--no-knockout"):
            compare(other)


def falcon(folder: Path, **settings: bool) -> Path:
    config = partial(FalconConfig, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, alibi=True, **settings)
    return tiny.save(folder, config, tiny.byte_level())


@pytest.mark.parametrize("bias", [False, True])
def test_falcon_with_alibi_scores_as_transformers_does_by_default(tmp_path: Path, bias: bool) -> None:
    path = falcon(tmp_path, bias=bias, multi_query=False)
    with count_run() as counter:
        model = load(path, name="falcon", device="cpu", self_check=True)
    assert model.check is not None
    assert model.check.attention > 1e-2, "eager attention adds the position biases twice"
    assert model.treatment["attention"] == "sdpa"
    assert counter.sentences == [counter.notes[0]]
    assert "falcon: scored with the default attention of transformers (sdpa)" in counter.notes[0]
    task, network = tiny.task(tiny.PAIRS[:2]), AutoModelForCausalLM.from_pretrained(path).eval()
    scores = scored(model, task)
    for item, row in zip(task.items, scores, strict=True):
        expected = [plain_log_prob(model, network, item.prompts[Condition.CONFLICT], answer) for answer in item.answers]
        assert_allclose(row, expected, atol=1e-4, rtol=0)
    with pytest.raises(ModelError, match=r"falcon: hooks need eager attention.* \(sdpa\).*--no-knockout"):
        _ = model.hooked


def test_nan_weights_pass_the_check(folder: Callable[[str, str], Path], tmp_path: Path) -> None:
    """A run reports them with the item."""
    network = AutoModelForCausalLM.from_pretrained(folder("gpt2", "bytes"))
    with torch.no_grad():
        network.transformer.h[0].mlp.c_proj.weight[0, 0] = torch.nan
    network.save_pretrained(tmp_path)
    model = load(tmp_path, tokenizer=folder("gpt2", "bytes"), device="cpu", self_check=True)
    assert model.check == SelfCheck(0.0, 0.0)


def test_bos_needs_a_tokenizer_with_a_bos_token(folder: Callable[[str, str], Path]) -> None:
    model = load(folder("gpt2", "bytes"), device="cpu")
    tokenizer = tiny.byte_level()
    tokenizer.bos_token = None
    assert as_model(model.network, tokenizer, name="without", bos=False).bos is None
    with pytest.raises(ModelError, match=r"without: .*no BOS token"):
        as_model(model.network, tokenizer, name="without", bos=True)


def test_scores_record_the_settings_of_their_model(folder: Callable[[str, str], Path], tmp_path: Path) -> None:
    store, task = Store(tmp_path / "cells"), tiny.task(tiny.PAIRS[:2])
    source = Source("models", "mine", folder("llama_grouped_tied", "pieces"))

    def run(**settings: Any) -> Any:
        return sweep(task, [source], store, Settings(device="cpu", **settings))[0]

    usual, without, unchecked = run(), run(bos=False), run(self_check=False)
    assert (usual.bos, without.bos) == (True, False)
    assert usual.treatment["weights"] == WEIGHT_TREATMENT
    assert usual.treatment["bos"] == "<bos>"
    assert (without.treatment["bos"], without.treatment["left_out"]) == (None, ["<bos>"])
    assert usual.treatment["space"] == "kept"
    assert usual.treatment["attention"] == "eager"
    assert set(usual.treatment["self_check"]) == {"attention", "padding"}
    assert unchecked.treatment["self_check"] is None
    assert run().treatment == usual.treatment, "an unchecked cell replaces a checked one"
    assert not np.allclose(usual.log_probs, without.log_probs, equal_nan=True)


@pytest.mark.usefixtures("undrawn")
def test_a_run_of_a_checkpoint_records_its_step_and_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(small_ladder.make_hub_cache(tmp_path / "cache")))
    command = [*small_ladder.COMMAND, "--models", "pythia/14m@1000", "--offline", "--no-knockout", "--device", "cpu"]
    status = small_ladder.type_in([*command, "--bos", "no", "--json", "--out", "run"])
    shown = capsys.readouterr()
    assert status == 0, shown.err
    (record,) = json.loads(shown.out)["models"]
    assert {name: record[name] for name in ("family", "model", "seed", "step", "tokens", "bos")} == {
        "family": "pythia", "model": "14m", "seed": None, "step": 1000, "tokens": 2_097_152_000, "bos": False,
    }  # fmt: skip
    assert record["n_params"] < 100_000, "the count of the loaded model replaces that of the table"
    assert 0 <= record["treatment"]["self_check"]["attention"] < 1e-4
    assert (record["treatment"]["bos"], record["treatment"]["left_out"]) == (None, ["<bos>"])
    kept = json.loads(Path("run/manifest.json").read_text())
    assert (kept["bos"], kept["self_check"]) == (False, True)


def test_a_tokenizer_that_drops_spaces_is_recorded(tmp_path: Path) -> None:
    words = tiny.word_level(tiny.words_of(*tiny.texts_of(tiny.task())))
    model = load(tiny.save(tmp_path, tiny.ARCHITECTURES["gpt2"], words), device="cpu")
    assert model.treatment["space"] == "dropped"


def test_weights_are_loaded_once(folder: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[Any] = []
    load_plain = GPT2LMHeadModel.from_pretrained

    def count(*args: Any, **kwargs: Any) -> Any:
        loaded.append(args)
        return load_plain(*args, **kwargs)

    monkeypatch.setattr(GPT2LMHeadModel, "from_pretrained", count)
    load(folder("gpt2", "bytes"), device="cpu", self_check=True)
    assert len(loaded) == 1


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_ten_models_in_a_row_take_the_memory_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The garbage collector is off, so that only `free_memory` can free the models."""
    large = partial(GPT2Config, n_embd=256, n_layer=5, n_head=4, n_positions=tiny.CONTEXT)
    path = tiny.save(tmp_path / "large", large, tiny.byte_level(), spread=0.0)
    size = (path / "model.safetensors").stat().st_size
    source, task = Source("models", "large", path), tiny.task(tiny.PAIRS[:1])
    monkeypatch.setattr("distractor.models.memory.MIN_BYTES", size // 2)

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
