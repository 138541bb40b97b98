"""The ladder: what it may read, that training repeats, and that what is shipped is whole."""

import importlib
import json
import sys
from itertools import product
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from distractor.task import Condition, Task
from tasks import TASKS

ROOT = Path(__file__).parents[1]
LADDER = ROOT / "distractor" / "ladder"
MODELS = json.loads((LADDER / "ladder.json").read_text())["models"]
FOLDERS = [f"{one['size']}/seed{one['seed']}" for one in MODELS]


@pytest.fixture(scope="module", autouse=True)
def _repository_on_path() -> None:
    """Experiments are no part of the distribution: they are found from the checkout's root."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))


@pytest.fixture(scope="module")
def corpus() -> ModuleType:
    return importlib.import_module("experiments.ladder.corpus")


@pytest.fixture(scope="module")
def training() -> ModuleType:
    return importlib.import_module("experiments.ladder.train")


@pytest.fixture(scope="module")
def documents(corpus: ModuleType) -> dict[str, list[str]]:
    return corpus.documents()


@pytest.fixture(scope="module")
def tokenizer(documents: dict[str, list[str]]) -> PreTrainedTokenizerFast:
    vocabulary = importlib.import_module("experiments.ladder.vocabulary")
    return vocabulary.tokenizer_for(vocabulary.words_of(text for texts in documents.values() for text in texts))


@pytest.fixture(scope="module")
def rows(
    documents: dict[str, list[str]], tokenizer: PreTrainedTokenizerFast, training: ModuleType
) -> dict[str, np.ndarray]:
    return {kind: training.encode(texts, tokenizer) for kind, texts in documents.items()}


@pytest.fixture(scope="module")
def tokens(corpus: ModuleType, rows: dict[str, np.ndarray]) -> np.ndarray:
    return corpus.stream(rows, corpus.Recipe(), 50_000, np.random.default_rng(7))


@pytest.fixture(scope="module")
def task() -> Task:
    return TASKS["negation_qa"]()


def test_no_document_poses_what_an_item_poses(documents: dict[str, list[str]], task: Task) -> None:
    posed = {prompt for item in task.items for c in task.conditions for prompt in item.wordings(c)}
    # An answer is one letter after the prompt, and only questions have one.
    asked = {text[:-2] for kind, texts in documents.items() if kind != "statement" for text in texts}
    assert all(prompt.endswith("Answer:") for prompt in posed | asked)
    assert not posed & asked
    assert not any("Answer" in text for text in documents["statement"])


def test_no_document_with_not_names_a_held_out_fact(corpus: ModuleType, documents: dict[str, list[str]]) -> None:
    away = {word for fact in corpus.held_out() for word in (fact.subject, fact.answer)}
    negated = [set(text.replace(".", " ").split()) for texts in documents.values() for text in texts if " not" in text]
    assert len(negated) == len(documents["negated"]) + len(documents["negated_letter"]) > 0
    assert not any(words & away for words in negated)


def test_a_third_of_every_relation_is_held_out_and_written_down(corpus: ModuleType) -> None:
    facts = corpus.held_out()
    for relation in corpus.RELATIONS:
        share = sum(fact.relation == relation for fact in facts) / len(corpus.round_of(relation))
        assert 0.25 <= share <= 0.4
    told = json.loads((LADDER / "held_out.json").read_text())
    assert told == {"negation_qa": sorted(fact.group for fact in facts)}


def test_options_give_the_answer_away_neither_by_letter_nor_by_frequency(corpus: ModuleType) -> None:
    offered = list(corpus.offers())
    assert sum(letter == "A" for *_, letter in offered) * 2 == len(offered)
    for answer in {fact.answer for fact in corpus.FACTS}:
        assert sum(fact.answer == answer for fact, _, _ in offered) == sum(
            other.answer == answer for _, other, _ in offered
        )


def test_a_stream_holds_nothing_of_the_evaluation(
    training: ModuleType, tokens: np.ndarray, tokenizer: PreTrainedTokenizerFast, task: Task
) -> None:
    counts = training.check(tokens, tokenizer)
    prompts = {p for item in task.items for c in task.conditions for p in item.wordings(c)}
    assert counts["documents"] == 50_000
    assert counts["evaluation_prompts"] == len(prompts)
    assert counts["negated_documents"] > 0
    assert counts["evaluation_prompts_found"] == counts["negated_documents_on_held_out"] == 0


@pytest.mark.parametrize("condition", [Condition.CONFLICT, Condition.CONGRUENT, Condition.DISTRACTOR_SWAPPED])
def test_a_planted_evaluation_prompt_is_found(
    training: ModuleType, tokens: np.ndarray, tokenizer: PreTrainedTokenizerFast, task: Task, condition: Condition
) -> None:
    planted = tokens[:1000].copy()
    row = training.encode([task.items[5].wordings(condition)[-1] + " A"], tokenizer)
    planted[500] = 0
    planted[500, : row.shape[1]] = row
    with pytest.raises(ValueError, match=r"'evaluation_prompts_found': 1"):
        training.check(planted, tokenizer)


def test_a_planted_negation_of_a_held_out_fact_is_found(
    training: ModuleType, corpus: ModuleType, tokens: np.ndarray, tokenizer: PreTrainedTokenizerFast
) -> None:
    kept = corpus.reserved()
    fact, other = next(
        (fact, other)
        for fact, other in product(corpus.held_out(), corpus.FACTS)
        if fact.relation == other.relation
        and fact.answer != other.answer
        and frozenset({fact.answer, other.answer}) not in kept
    )
    planted = tokens[:1000].copy()
    row = training.encode([corpus.pose(fact, other, "A", " not") + " B"], tokenizer)
    planted[500] = 0
    planted[500, : row.shape[1]] = row
    with pytest.raises(ValueError, match=r"'evaluation_prompts_found': 0.*'negated_documents_on_held_out': 1"):
        training.check(planted, tokenizer)


def test_kinds_come_as_often_as_the_recipe_says(
    corpus: ModuleType, tokens: np.ndarray, tokenizer: PreTrainedTokenizerFast
) -> None:
    shares = corpus.Recipe().shares
    assert sum(shares.values()) == pytest.approx(1)
    negated = (tokens == tokenizer.convert_tokens_to_ids("not")).any(1).mean()
    assert negated == pytest.approx(shares["negated"] + shares["negated_letter"], abs=0.005)


@pytest.mark.parametrize("size", ["2x1", "4x1"])
def test_training_twice_gives_the_same_weights(
    training: ModuleType, tokens: np.ndarray, tmp_path: Path, size: str
) -> None:
    budget = training.Budget(steps=4, batch=16)
    torch.set_num_threads(1)
    first, second = (
        training.train(training.plan(size), tokens[:64], budget, 3, tmp_path / "none.pt", "cpu", size)[0].state_dict()
        for _ in range(2)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_training_that_was_stopped_goes_on_to_the_same_weights(
    training: ModuleType, tokens: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 2)
    budget = training.Budget(steps=4, batch=16)

    def weights(name: str) -> dict[str, torch.Tensor]:
        model, _ = training.train(training.plan("2x1"), tokens[:64], budget, 3, tmp_path / name, "cpu", name)
        return model.state_dict()

    whole = weights("kept.pt")
    assert torch.load(tmp_path / "kept.pt", weights_only=True)["step"] == 2
    resumed = weights("kept.pt")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_the_vocabulary_covers_every_prompt_and_answer(task: Task) -> None:
    shipped = AutoTokenizer.from_pretrained(LADDER / FOLDERS[0])
    texts = [
        text for item in task.items for c in task.conditions for p in item.wordings(c) for text in (p, *item.answers)
    ]
    assert all(shipped.unk_token_id not in ids for ids in shipped(sorted(set(texts)))["input_ids"])
    assert all(len(shipped(a, add_special_tokens=False)["input_ids"]) == 1 for i in task.items for a in i.answers)


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_shipped_folder_loads_and_counts_as_told(folder: str) -> None:
    told = MODELS[FOLDERS.index(folder)]
    model = AutoModelForCausalLM.from_pretrained(LADDER / folder)
    tokenizer = AutoTokenizer.from_pretrained(LADDER / folder)
    assert model.num_parameters() == told["n_params"]
    assert all(bool(torch.isfinite(weight).all()) for weight in model.parameters())
    assert tokenizer("The capital of France is")["input_ids"][0] == tokenizer.bos_token_id == model.config.bos_token_id
    assert {path.name for path in (LADDER / folder).iterdir()} == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }


def test_every_size_has_every_seed_and_nothing_else_is_shipped(training: ModuleType) -> None:
    assert sorted(FOLDERS) == sorted(f"{size}/seed{seed}" for size, seed in product(training.SIZES, training.SEEDS))
    assert sorted(FOLDERS) == sorted(str(path.parent.relative_to(LADDER)) for path in LADDER.glob("*/*/config.json"))
    assert min(one["n_params"] for one in MODELS) <= 2_500
    assert max(one["n_params"] for one in MODELS) >= 200_000


def test_every_model_of_a_seed_read_the_same_as_the_recipe_stands(corpus: ModuleType, training: ModuleType) -> None:
    for seed in training.SEEDS:
        told = [(one["key"], one["tokens"], one["stream"]) for one in MODELS if one["seed"] == seed]
        assert all(one == told[0] for one in told)
    assert len({one["key"] for one in MODELS}) == len(training.SEEDS)
    assert {one["conflict_rate"] for one in MODELS} == {corpus.Recipe().negated}
    assert {one["steps"] for one in MODELS} == {training.Budget().steps}


def test_the_ladder_is_small() -> None:
    assert sum(path.stat().st_size for path in LADDER.rglob("*") if path.is_file()) < 30e6
