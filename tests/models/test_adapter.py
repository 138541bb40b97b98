"""An adapter of a base model gives the numbers of its merged model; one that does not fit is refused."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

import tiny
from distractor.errors import ModelError
from distractor.models.families import find_models
from distractor.models.load import load
from distractor.models.same_run import from_same_run
from distractor.models.same_weights import same_weights
from distractor.models.source import Source
from distractor.scoring.settings import Settings, load_model

peft = pytest.importorskip("peft")

pytestmark = pytest.mark.filterwarnings(  # of peft, where the tests use it
    "ignore:`is_gradient_checkpointing`:FutureWarning",
    "ignore:.*(tie_word_embeddings|save_embedding_layers):UserWarning",
)

TARGETS = ["q_proj", "v_proj", "down_proj"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tmp_path_factory.mktemp("bases") / "base", tiny.ARCHITECTURES["llama"], tiny.byte_level())


def trained(base: Path, to: Path, **settings: object) -> Path:
    """An adapter with random weights, none of them zero."""
    network = AutoModelForCausalLM.from_pretrained(base)
    known = {"r": 2, "lora_alpha": 8, "target_modules": TARGETS, "task_type": "CAUSAL_LM"}
    adapted = peft.get_peft_model(network, peft.LoraConfig(**{**known, **settings}))
    random = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_" in name:
                weight += 0.3 * torch.randn(weight.shape, generator=random)
    adapted.save_pretrained(to)
    return to


@pytest.fixture(scope="module")
def adapter(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(base, tmp_path_factory.mktemp("adapters") / "mine")


def source_of(*names: object) -> Source:
    (source,) = find_models(["+".join(map(str, names))])
    return source


def log_probs(source: Source) -> torch.Tensor:
    tokens = torch.arange(12)[None]
    return load_model(source, Settings(device="cpu")).log_probs(tokens, torch.arange(12))


def test_an_adapter_gives_the_log_probabilities_of_its_merged_model(base: Path, adapter: Path, tmp_path: Path) -> None:
    network = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), str(adapter))
    network.merge_and_unload().save_pretrained(tmp_path)
    for path in base.glob("tokenizer*"):
        shutil.copy(path, tmp_path)
    values = log_probs(source_of(base, adapter))
    torch.testing.assert_close(values, log_probs(source_of(tmp_path)), atol=1e-5, rtol=0)
    assert (values - log_probs(source_of(base))).abs().max() > 0.1


def test_it_is_named_recorded_and_can_be_probed(base: Path, adapter: Path) -> None:
    source = source_of(base, adapter)
    assert source.name == "base+mine"
    model = load_model(source, Settings(device="cpu"))
    assert model.treatment["weights"] == "adapter merged, then nothing folded or centred"
    assert model.hooked.n_layers == 2
    assert model.n_params == load(base, device="cpu").n_params


def test_its_fingerprint_covers_base_and_adapter(base: Path, adapter: Path, tmp_path: Path) -> None:
    other = shutil.copytree(adapter, tmp_path / "mine")
    marks = {source_of(base).fingerprint(), source_of(base, adapter).fingerprint()}
    assert len(marks) == 2
    assert source_of(base, other).fingerprint() in marks
    weights = load_file(other / "adapter_model.safetensors")
    save_file({key: 2 * value for key, value in weights.items()}, other / "adapter_model.safetensors")
    assert source_of(base, other).fingerprint() not in marks


def test_only_what_the_adapter_leaves_alone_has_the_same_weights(base: Path, tmp_path: Path) -> None:
    first = trained(base, tmp_path / "first", layers_to_transform=[1], target_modules=["q_proj"])
    pair = source_of(base), source_of(base, first)
    assert same_weights(*pair) == {"L0.attn", "L0.mlp", "L1.mlp"}
    assert from_same_run(*pair)


def without(part: str) -> Callable[[Path], None]:
    def change(adapter: Path) -> None:
        weights = load_file(adapter / "adapter_model.safetensors")
        kept = {key: value for key, value in weights.items() if part not in key}
        save_file(kept, adapter / "adapter_model.safetensors")

    return change


def renamed(adapter: Path) -> None:
    """An adapter for modules that the base does not have."""
    settings = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(settings | {"target_modules": ["c_attn"]}))


def cut(adapter: Path) -> None:
    path = adapter / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("layers.1"), "it lacks weights for 6 places, such as .*layers.1"),
        (renamed, "does not fit this base model .*c_attn"),
        (cut, "does not fit this base model"),
        (lambda adapter: (adapter / "adapter_config.json").unlink(), "is not an adapter .*lacks adapter_config.json"),
        (lambda adapter: (adapter / "adapter_model.safetensors").unlink(), "lacks adapter_model.safetensors"),
        (lambda adapter: (adapter / "adapter_config.json").write_text("{"), "does not fit this base model"),
    ],
)
def test_a_damaged_adapter_is_refused(
    base: Path, adapter: Path, tmp_path: Path, change: Callable[[Path], None], message: str
) -> None:
    copy = shutil.copytree(adapter, tmp_path / "mine")
    change(copy)
    with pytest.raises(ModelError, match=message):
        log_probs(source_of(base, copy))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"hidden_size": 32, "intermediate_size": 48}, "does not fit this base model .*the adapter names .*base"),
        ({"num_hidden_layers": 1}, "of its weights have no place there, such as .*layers.1"),
        ({"num_hidden_layers": 3}, "it lacks weights for 6 places, such as .*layers.2"),
    ],
)
def test_an_adapter_of_another_base_is_refused(
    adapter: Path, tmp_path: Path, sizes: dict[str, int], message: str
) -> None:
    other = tiny.save(tmp_path / "other", partial(tiny.ARCHITECTURES["llama"], **sizes), tiny.byte_level())
    with pytest.raises(ModelError, match=message):
        log_probs(source_of(other, adapter))


def test_an_adapter_that_merging_changes_is_refused(tmp_path: Path) -> None:
    tied = tiny.save(tmp_path / "tied", tiny.ARCHITECTURES["llama_grouped_tied"], tiny.byte_level())
    head = trained(tied, tmp_path / "head", target_modules=["lm_head"])
    with pytest.raises(ModelError, match="merging this adapter changes log-probabilities by up to"):
        log_probs(source_of(tied, head))


def test_prompts_cannot_be_merged(base: Path, tmp_path: Path) -> None:
    network = AutoModelForCausalLM.from_pretrained(base)
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    peft.get_peft_model(network, config).save_pretrained(tmp_path / "prompt")
    with pytest.raises(ModelError, match="an adapter of type PROMPT_TUNING cannot be merged; use LoRA"):
        log_probs(source_of(base, tmp_path / "prompt"))


def test_an_adapter_without_base_is_refused_with_the_command_that_works(base: Path, adapter: Path) -> None:
    with pytest.raises(ModelError, match=r"without its base model; name both: --models .*base\+.*mine"):
        find_models([str(adapter)])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("ladder/negation_qa/2x1", "ADAPTER"), "ladder/negation_qa/2x1 means 5 models"),
        (("BASE", "ADAPTER", "ADAPTER"), "it names two adapters"),
        (("BASE", "gone"), "gone is not an adapter .*there is no such folder"),
        (("gone", "ADAPTER"), "no model is called 'gone'"),
    ],
)
def test_wrong_names_are_refused(base: Path, adapter: Path, names: tuple[str, ...], message: str) -> None:
    places = {"BASE": base, "ADAPTER": adapter}
    with pytest.raises(ModelError, match=message):
        source_of(*(places.get(name, name) for name in names))


def test_without_the_package_the_message_names_the_extra(
    base: Path, adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    with pytest.raises(ModelError, match=r"pip install 'distractor\[peft\]'"):
        log_probs(source_of(base, adapter))
