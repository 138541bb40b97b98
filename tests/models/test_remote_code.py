"""Code in a model folder runs only if the user allows it, is never asked for, and is part of the cells' keys."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch

import small_ladder
import tiny
from distractor.errors import ModelError
from distractor.models.load import load
from distractor.models.remote_code import code_files, refuse_foreign_code
from distractor.models.source import Source
from distractor.scoring.keys import score_keys
from distractor.scoring.settings import Settings
from small_ladder import type_in

CODE = """
from transformers import LlamaConfig, LlamaForCausalLM
class MineConfig(LlamaConfig):
    model_type = "mine"
class MineForCausalLM(LlamaForCausalLM):
    config_class = MineConfig
    def forward(self, *args, **kwargs):
        output = super().forward(*args, **kwargs)
        output.logits = {factor} * output.logits
        return output
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("a question was asked"))
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    path = tiny.save(tmp_path / "mine", tiny.ARCHITECTURES["llama"], tiny.byte_level())
    (path / "modeling_mine.py").write_text(CODE.format(factor=2), encoding="utf-8")
    _set_config(
        path,
        auto_map={"AutoConfig": "modeling_mine.MineConfig", "AutoModelForCausalLM": "modeling_mine.MineForCausalLM"},
    )
    return path


def _set_config(path: Path, **values: object) -> None:
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"model_type": "mine"} | values))


def _source(path: Path) -> Source:
    return Source(family="models", model="mine", folder=path)


def test_code_is_refused_unasked_and_the_option_named(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    assert type_in(["ablate", "--task", "negation_qa", "--models", str(folder), "--items", "2"]) == 2
    printed = capsys.readouterr()
    assert "--trust-remote-code" in printed.err
    assert not (folder.parent / "modules").exists()


def test_a_tokenizer_with_code_is_refused_too(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    tokenizer |= {
        "auto_map": {"AutoTokenizer": [None, "modeling_mine.MineTokenizer"]},
        "tokenizer_class": "MineTokenizer",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    with pytest.raises(ModelError, match="--trust-remote-code"):
        load(folder)


def test_trusted_code_computes_the_scores(folder: Path) -> None:
    model = load(folder, device="cpu", dtype="float64", self_check=True, trust_remote_code=True)
    plain = shutil.copytree(folder, folder.parent / "plain")
    _set_config(plain, model_type="llama", auto_map={}, architectures=["LlamaForCausalLM"])
    tokens = torch.tensor([[5, 6, 7]])
    expected = torch.log_softmax(2 * tiny.plain(str(plain))(tokens).logits, -1)
    with torch.inference_mode():
        values = model.log_probs(tokens, torch.arange(3))
    torch.testing.assert_close(values, expected.detach())


def test_the_code_and_the_trust_are_part_of_the_key(folder: Path) -> None:
    def key(**settings: bool) -> object:
        return score_keys(small_ladder.task(), _source(folder), Settings(device="cpu", **settings))

    before = key(trust_remote_code=True)
    assert before != key()
    assert Settings(device="cpu").identity() == {"device": "cpu", "dtype": "float32"}
    (folder / "modeling_mine.py").write_text(CODE.format(factor=3), encoding="utf-8")
    assert key(trust_remote_code=True) != before


def test_python_files_without_use_do_not_count(tmp_path: Path) -> None:
    path = tiny.save(tmp_path / "plain", tiny.ARCHITECTURES["llama"], tiny.byte_level())
    before = _source(path).fingerprint()
    (path / "train.py").write_text("pass")
    assert _source(path).fingerprint() == before


def test_code_in_another_repository_is_refused(folder: Path) -> None:
    _set_config(folder, auto_map={"AutoConfig": "owner/other--modeling_mine.MineConfig"})
    with pytest.raises(ModelError, match=r"another repository.*owner/other--"):
        load(folder, trust_remote_code=True)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("content", "is_used"),
    [
        ("[" * 100_000, False),
        ("{", False),
        ("[]", False),
        ('{"auto_map": 3}', True),
        ('{"auto_map": {"a": [null, 4]}}', True),
    ],
    ids=["deep", "broken", "a list", "a number", "numbers"],
)
def test_an_odd_configuration_causes_no_error(content: str, is_used: bool, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("pass")
    (tmp_path / "config.json").write_text(content)
    assert [path.name for path in code_files(tmp_path)] == ["mine.py"] * is_used
    os.mkfifo(tmp_path / "tokenizer_config.json")
    refuse_foreign_code(tmp_path)
