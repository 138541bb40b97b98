"""Models whose makers name official rows in their training data get a caution with its source, on official rows only."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from test_fresh import questions

import tiny
from distractor.models.source import NO_FAMILY, Source
from distractor.models.training_data import known, training_data_of
from distractor.runs.training_data import training_data_caution, training_data_record
from small_ladder import type_in
from tasks import bigbench, prize
from tasks.prize import release

LLAMA = partial(tiny.ARCHITECTURES["llama"], max_position_embeddings=128)
HUB_ID = "nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-BF16"


def source(model: str, folder: Path = Path("/here"), adapter: Path | None = None) -> Source:
    return Source(NO_FAMILY, model, folder, adapter=adapter)


@pytest.mark.parametrize(
    "found",
    [
        source(HUB_ID),
        source("nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-Base-BF16@main"),
        source("mine", Path("/hub/models--nvidia--NVIDIA-Nemotron-3-Super-120B-A12B-NVFP4/snapshots/0123")),
        source("some", Path("/gguf/nvidia_Nemotron-3-Super-120B-A12B-Q4_K_M.gguf")),
    ],
    ids=["hub id", "base", "cache", "file"],
)
def test_a_model_is_known_by_its_hub_id_its_folder_or_its_file(found: Source) -> None:
    entry = training_data_of(found)
    assert entry is not None
    assert entry.source == f"https://huggingface.co/{HUB_ID}"


@pytest.mark.parametrize("name", ["pythia-70m", "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", "nemotron-3-8b-base-4k"])
def test_other_models_are_not_known(name: str) -> None:
    assert training_data_of(source(name)) is None


def test_a_local_copy_and_an_adapter_are_known_by_the_model_that_they_name(tmp_path: Path) -> None:
    copy, adapter = tmp_path / "copy", tmp_path / "adapter"
    copy.mkdir()
    adapter.mkdir()
    (copy / "config.json").write_text(json.dumps({"_name_or_path": HUB_ID}))
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": HUB_ID}))
    assert training_data_of(source("copy", copy)) is not None
    assert training_data_of(source("tuned", tmp_path, adapter)) is not None
    (copy / "config.json").write_text("[")
    assert training_data_of(source("copy", copy)) is None


def test_every_entry_says_something_and_has_an_address() -> None:
    for entry in known():
        assert entry.names == entry.names.lower()
        assert entry.source.startswith("https://")
        assert entry.says
        assert set(entry.files) <= {*release.BY_NAME, *bigbench.NAMES}


def test_only_official_rows_get_the_caution() -> None:
    official, seen = questions(), [source(HUB_ID), source("pythia-70m"), source(HUB_ID)]
    sentence = training_data_caution(official, seen)
    assert sentence is not None
    assert sentence.startswith(f"Contamination: {HUB_ID}: the model card names the train splits of nine prize tasks")
    assert sentence.count(HUB_ID) == 2  # once as the model, once in the address
    assert training_data_record(official, seen) == {
        "models": {HUB_ID: f"https://huggingface.co/{HUB_ID}"},
        "sentence": sentence,
    }
    assert training_data_caution(replace(official, official=""), seen) is None
    assert training_data_caution(replace(official, official="prompt-injection"), seen) is None
    assert training_data_caution(replace(official, official="truthful_qa"), seen) == sentence
    assert training_data_record(official, seen[1:2]) is None


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A tiny model in a folder of the known name; the commands read our own rows as the official ones."""
    rows = questions()
    monkeypatch.setattr(prize, "read", lambda task, path: rows)
    monkeypatch.setattr(prize, "locate", lambda task, data=None: Path("own"))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "NVIDIA-Nemotron-3-Super-120B-A12B-copy"
    return str(tiny.save(folder, LLAMA, tiny.word_level(words_of())))


def words_of() -> list[str]:
    return tiny.words_of(*tiny.texts_of(questions()))


@pytest.mark.parametrize(
    "command",
    [
        ("ablate", "--no-knockout"),
        ("ablate", "--format", "generate"),
        ("attribute", "--probe", "logit_lens"),
        ("compare", "--probe", "ablation"),
    ],
    ids=" ".join,
)
def test_every_command_says_it_and_records_it(
    command: tuple[str, ...], model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tiny.save(Path("other"), LLAMA, tiny.word_level(words_of()), seed=1)
    more = ("--task", "negation_qa", "--data", "own.jsonl", "--items", "8", "--out", "out")
    models = (model, str(other)) if command[0] == "compare" else ("--models", model)
    assert type_in((command[0], *models, *command[1:], *more)) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Contamination: NVIDIA-Nemotron-3-Super-120B-A12B-copy: the model card names" in said
    summary = json.loads(Path("out/summary.json").read_text())
    (record,) = summary.get("tasks", summary.get("by_format", {"": summary})).values()
    assert list(record["training_data"]["models"]) == ["NVIDIA-Nemotron-3-Super-120B-A12B-copy"]
    pages = [page.read_text(encoding="utf-8") for page in Path("out").rglob("report.html")]
    assert any("Contamination: NVIDIA-Nemotron-3" in page for page in pages)
