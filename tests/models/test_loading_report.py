"""Weight files that do not fill the model are refused by the names of their keys; harmless differences are not."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import MixtralConfig

import tiny
from distractor.errors import ModelError
from distractor.models.load import load

Weights = dict[str, Tensor]
MIXTRAL = partial(MixtralConfig, **tiny._GATED, num_key_value_heads=2, num_local_experts=2, num_experts_per_tok=1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def get(architecture: str) -> Path:
        if architecture not in made:
            config = {**tiny.ARCHITECTURES, "mixtral": MIXTRAL}[architecture]
            made[architecture] = tiny.save(tmp_path_factory.mktemp(architecture), config, tiny.byte_level())
        return made[architecture]

    return get


def edited(folder: Path, to: Path, change: Callable[[Weights], Weights], **config: object) -> Path:
    """A copy of a model folder with other weights and settings."""
    shutil.copytree(folder, to, dirs_exist_ok=True)
    save_file(change(load_file(to / "model.safetensors")), to / "model.safetensors", metadata={"format": "pt"})
    settings = json.loads((to / "config.json").read_text(encoding="utf-8"))
    (to / "config.json").write_text(json.dumps(settings | config), encoding="utf-8")
    return to


def without(part: str) -> Callable[[Weights], Weights]:
    return lambda weights: {key: value for key, value in weights.items() if part not in key}


def prefixed(prefix: str) -> Callable[[Weights], Weights]:
    return lambda weights: {prefix + key: value for key, value in weights.items()}


def as_fp8(weights: Weights) -> Weights:
    """Weights of the layers in FP8, each with its scale."""
    layers = {key: value for key, value in weights.items() if "proj" in key}
    scales = {f"{key}_scale_inv": value.abs().max()[None, None] / 448 for key, value in layers.items()}
    eighths = {key: (value / scales[f"{key}_scale_inv"]).to(torch.float8_e4m3fn) for key, value in layers.items()}
    return weights | eighths | scales


def with_one_odd(part: str) -> Callable[[Weights], Weights]:
    """One weight with a row more than the model has."""

    def change(weights: Weights) -> Weights:
        key = next(key for key in weights if part in key)
        return weights | {key: torch.cat([weights[key], weights[key][:1]])}

    return change


@pytest.mark.parametrize(
    ("architecture", "change", "config", "message"),
    [
        ("gpt2", without(".bias"), {}, r"missing: transformer\.h\.0\.attn\.c_attn\.bias, .* and \d+ more"),
        ("llama", without("model.norm"), {}, r"missing: model\.norm\.weight\)"),
        ("llama", without("lm_head"), {}, r"missing: lm_head\.weight\)"),
        ("llama", dict, {"num_hidden_layers": 1}, r"unexpected: model\.layers\.1\.[\w.]+, .* and 5 more"),
        ("llama", dict, {"num_hidden_layers": 3}, r"missing: model\.layers\.2\."),
        ("gpt_neox", prefixed("_orig_mod."), {}, r"unexpected: _orig_mod\..*compiled model"),
        ("opt", prefixed("module."), {}, r"unexpected: module\..*parallel wrapper"),
        ("llama", as_fp8, {}, r"unexpected: .*_scale_inv.*quantization_config"),
        (
            "llama",
            lambda w: w | {"model.norm.lora_A.weight": torch.ones(1)},
            {},
            r"unexpected: model\.norm\.lora_A.*BASE\+ADAPTER_FOLDER",
        ),
        (
            "llama",
            with_one_odd("layers.1.mlp.up_proj"),
            {},
            r"of another shape: model\.layers\.1\.mlp\.up_proj\.weight\)",
        ),
        ("mixtral", with_one_odd("experts.1.w2"), {}, r"not converted: model\.layers\.0\.\S*experts\.down_proj\)"),
    ],
)
def test_weights_that_do_not_fill_the_model_are_refused_by_name(
    folders: Callable[[str], Path],
    tmp_path: Path,
    architecture: str,
    change: Callable[[Weights], Weights],
    config: dict[str, object],
    message: str,
) -> None:
    path = edited(folders(architecture), tmp_path, change, **config)
    for self_check in (False, True):
        with pytest.raises(ModelError, match=message) as refused:
            load(path, name="mine", device="cpu", self_check=self_check)
        assert str(refused.value).startswith("mine: the weight files do not match the model in config.json")


@pytest.mark.parametrize("has_peft", [False, True])
@pytest.mark.parametrize("file", ["adapter_config.json", "adapter_model.safetensors"])
def test_an_adapter_beside_the_weights_is_refused_with_and_without_peft(
    folders: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_peft: bool, file: str
) -> None:
    for module in ("transformers.integrations.peft", "transformers.models.auto.auto_factory"):
        monkeypatch.setattr(f"{module}.is_peft_available", lambda: has_peft)
    path = edited(folders("llama"), tmp_path, dict)
    (path / file).write_text("{}", encoding="utf-8")
    with pytest.raises(ModelError, match=rf"holds an adapter \({file}\) beside the weights.*\+ADAPTER_FOLDER"):
        load(path, device="cpu")


def old_masks(weights: Weights) -> Weights:
    """The attention masks that older versions of transformers stored beside the weights."""
    mask = torch.ones(1, 1, tiny.CONTEXT, tiny.CONTEXT).tril().bool()
    if any(key.startswith("gpt_neox") for key in weights):
        layer = "gpt_neox.layers.0.attention"
        more = {f"{layer}.bias": mask, f"{layer}.rotary_emb.inv_freq": torch.ones(2)}
    else:
        layer = "transformer.h.0.attn"
        more = {f"{layer}.bias": mask}
    return weights | more | {f"{layer}.masked_bias": torch.tensor(-1e9)}


def with_tied_head(weights: Weights) -> Weights:
    return weights | {"lm_head.weight": weights["model.embed_tokens.weight"].clone()}


@pytest.mark.parametrize(
    ("architecture", "change"),
    [("gpt2", old_masks), ("gpt_neox", old_masks), ("llama_grouped_tied", with_tied_head), ("mixtral", dict)],
)
def test_harmless_keys_are_accepted(
    folders: Callable[[str], Path], tmp_path: Path, architecture: str, change: Callable[[Weights], Weights]
) -> None:
    folder = folders(architecture)
    path = edited(folder, tmp_path, change)
    tokens, keep = torch.arange(6)[None], torch.tensor([5])
    values, expected = (load(each, device="cpu").log_probs(tokens, keep) for each in (path, folder))
    torch.testing.assert_close(values, expected)


def test_a_head_that_the_configuration_unties_must_be_in_the_files(
    folders: Callable[[str], Path], tmp_path: Path
) -> None:
    path = edited(folders("llama_grouped_tied"), tmp_path, dict, tie_word_embeddings=False)
    with pytest.raises(ModelError, match=r"missing: lm_head\.weight\)"):
        load(path, device="cpu")
