"""Models of different architectures or tokenizers form no curve with a verdict, unless the user allows it."""

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from transformers import GPT2Config, GPTNeoXConfig

import tiny
from distractor.ablation import report
from distractor.ablation.ablate import AblationResult, ablate
from distractor.ablation.tables import notes
from distractor.attribution.size_trends import order_sentences, orders
from distractor.models.families import find_models
from distractor.models.mixture import mixture
from distractor.models.source import Source
from distractor.probing.probe_results import ProbeResults
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store

NEOX = partial(GPTNeoXConfig, num_hidden_layers=1, num_attention_heads=2, max_position_embeddings=48)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("models")
    for width in (4, 8, 12):
        tiny.save(home / f"neox{width}", partial(NEOX, hidden_size=width, intermediate_size=width), tiny.byte_level())
    tiny.save(home / "gpt2", partial(GPT2Config, n_embd=8, n_layer=1, n_head=2, n_positions=48), tiny.byte_level())
    tiny.save(home / "words", partial(NEOX, hidden_size=16, intermediate_size=16), tiny.byte_level(vocab=300))
    return home


def sources(home: Path, *names: str) -> tuple[Source, ...]:
    return find_models([str(home / name) for name in names])


@pytest.mark.quick
def test_models_of_one_kind_differ_in_nothing(folders: Path) -> None:
    assert mixture(sources(folders, "neox4", "neox8", "neox12")) == ""
    assert mixture(find_models(["ladder"], task="negation_qa")) == ""


@pytest.mark.quick
def test_what_differs_is_named_with_the_models(folders: Path) -> None:
    assert mixture(sources(folders, "neox4", "gpt2")) == "architecture (gpt_neox: neox4; gpt2: gpt2)"
    assert mixture(sources(folders, "neox4", "neox8", "words")) == "tokenizer (neox4, neox8; words)"


@pytest.mark.quick
def test_one_tokenizer_in_two_forms_of_its_file_is_the_same(folders: Path, tmp_path: Path) -> None:
    other = shutil.copytree(folders / "neox8", tmp_path / "other")
    content = json.loads((other / "tokenizer.json").read_text())
    content["model"]["merges"] = [" ".join(merge) for merge in content["model"]["merges"]]
    (other / "tokenizer.json").write_text(json.dumps(content, indent=1))
    assert mixture((*sources(folders, "neox4"), *sources(tmp_path, "other"))) == ""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("cells"))


def run(store: Store, chosen: tuple[Source, ...], *, mixed: bool) -> AblationResult:
    settings = Settings(device="cpu", self_check=False, mixed_families=mixed)
    return ablate(tiny.task(), chosen, store=store, settings=settings)


def test_a_mixture_gets_no_verdict_unless_allowed(folders: Path, store: Store) -> None:
    chosen = sources(folders, "neox4", "neox8", "neox12", "gpt2")
    refused, allowed = run(store, chosen, mixed=False), run(store, chosen, mixed=True)
    assert refused.verdict is None
    assert "--mixed-families" in (refused.unjudged or "")
    assert not refused.shapes
    assert allowed.verdict is not None
    for result in (refused, allowed):
        assert any("differ in architecture (gpt_neox: neox4" in note for note in notes(result))
        assert report.summary(result)["mixture"].startswith("architecture")
    alike = run(store, chosen[:3], mixed=False)
    assert alike.verdict is not None
    assert not any("differ in" in note for note in notes(alike))
    assert report.summary(alike)["mixture"] is None


def test_a_mixture_has_no_order_of_pulls_over_size(folders: Path, store: Store) -> None:
    scores = run(store, sources(folders, "neox4", "neox8", "neox12", "gpt2"), mixed=True)
    settings = replace(scores.settings, mixed_families=False)
    results = ProbeResults(scores.task, settings, scores.scores, {})
    assert orders(results, of_sites=False) == {}
    assert "--mixed-families" in " ".join(order_sentences(results))
    assert orders(replace(results, settings=scores.settings), of_sites=False)
