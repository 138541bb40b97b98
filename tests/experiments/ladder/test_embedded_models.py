"""The embedded models, their card and the page of doses."""

import json
import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from experiments.ladder import card, corpus, doses, train
from experiments.ladder.corpus import SHOTS
from experiments.ladder.plans import PLANS
from experiments.ladder.search import search
from experiments.ladder.vocabulary import BOS
from tasks import TASKS

ROOT = Path(__file__).parents[3]


LADDER = ROOT / "distractor" / "ladder"
SEEDS = {task: tuple(sorted({record["seed"] for record in train.read_records(LADDER / task)})) for task in PLANS}
EMBEDDED = [task for task, plan in PLANS.items() if SEEDS[task] == plan.seeds]
"""The tasks whose own ladders are embedded. The others have the models of the joint ladder until theirs are trained."""


quick = pytest.mark.quick


@quick
def test_each_task_has_embedded_models() -> None:
    assert PLANS.keys() == TASKS.keys()
    assert {SEEDS[task] for task in PLANS if task not in EMBEDDED} <= {(780, 781, 782, 783, 784)}


@pytest.mark.parametrize("task", EMBEDDED)
def test_the_embedded_models_are_those_of_the_plan(task: str) -> None:
    plan, home = PLANS[task], LADDER / task
    records = train.read_records(home)
    names = {(record["size"], record["seed"]) for record in records}
    assert names == set(product(plan.sizes, plan.seeds))
    assert len(records) == len(names)
    assert {f"{size}/seed{seed}" for size, seed in names} == {
        str(path.parent.relative_to(home)) for path in home.glob("*/*/config.json")
    }
    assert json.loads((home / "held_out.json").read_text()) == {task: sorted(corpus.held_out(task))}
    assert json.loads((home / "shots.json").read_text()) == {task: SHOTS[task]}
    tokenizer = AutoTokenizer.from_pretrained(home / plan.sizes[0] / f"seed{plan.seeds[0]}")
    assert all(train.is_trained(records, plan, size, tokenizer) for size in plan.sizes)
    for record in records:
        assert record["steps"] == plan.budget.steps
        assert record["conflict_rate"] == {task: pytest.approx(plan.recipe.conflict_rate(), abs=1e-6)}
        assert record["stream"]["evaluation_prompts_found"] == 0
        is_along = record["size"] in plan.along and record["seed"] == plan.seeds[0]
        assert record["kept"] == (list(train.kept_steps(plan.budget.steps)) if is_along else [])
    # All models of a seed read the same stream.
    assert len({(record["seed"], record["tokens"], record["stream"]["sha256"]) for record in records}) == len(
        plan.seeds
    )


@pytest.mark.parametrize("task", EMBEDDED)
def test_each_embedded_model_loads_and_matches_its_record(task: str) -> None:
    for record in train.read_records(LADDER / task):
        home = LADDER / task / record["size"] / f"seed{record['seed']}"
        model, tokenizer = AutoModelForCausalLM.from_pretrained(home), AutoTokenizer.from_pretrained(home)
        assert model.num_parameters() == record["n_params"]
        assert model.config.vocab_size == len(tokenizer)
        assert all(bool(torch.isfinite(weight).all()) for weight in model.parameters())
        assert tokenizer("The capital")["input_ids"][0] == tokenizer.bos_token_id == model.config.bos_token_id == BOS
        weights = {"config.json", "model.safetensors"}
        steps = {f"step{step}" for step in record["kept"]}
        assert {path.name for path in home.iterdir()} == weights | {"tokenizer.json", "tokenizer_config.json"} | steps
        assert all({path.name for path in (home / step).iterdir()} == weights for step in steps)


@pytest.mark.slow
@pytest.mark.parametrize("task", EMBEDDED)
def test_the_documents_and_the_vocabulary_are_those_that_the_embedded_models_were_trained_on(
    task: str, tokenizers: dict[str, PreTrainedTokenizerFast]
) -> None:
    plan, tokenizer = PLANS[task], tokenizers[task]
    record = train.read_records(LADDER / task)[0]
    assert train.key_of(plan, record["seed"], tokenizer) == record["key"]
    drawn = corpus.draw(plan.recipe, plan.budget.steps * plan.budget.batch, record["seed"], tokenizer)
    assert search(task, drawn, tokenizer) == record["stream"]


def test_the_ladders_are_small() -> None:
    assert sum(path.stat().st_size for path in LADDER.rglob("*.safetensors")) < 30e6


@quick
def test_the_card_lists_the_share_of_each_kind_in_the_whole_stream() -> None:
    rows = dict(zip(PLANS, card.data().splitlines()[2:], strict=True))
    for task, row in rows.items():
        recipe, contrary = PLANS[task].recipe, corpus.MODULES[task].CONFLICT
        assert f"`{task}` | **{100 * recipe.conflict_rate():.2g} %**" in row
        shown = {kind: float(share) for kind, share in re.findall(r"\b([a-z_]+) ([\d.e+-]+)(?=,|\*| \|)", row)}
        assert shown.keys() == recipe.parts.keys()
        assert sum(shown.values()) == pytest.approx(100, abs=1.5)
        in_conflict = sum(share for kind, share in shown.items() if kind in contrary)
        assert in_conflict == pytest.approx(100 * recipe.conflict_rate(), rel=0.05)
        assert set(re.findall(r"\*\*([a-z_]+) ", row)) == contrary & recipe.parts.keys()


@quick
def test_only_a_curve_with_a_peak_has_a_turn() -> None:
    sizes = np.array([1e4, 2e4, 4e4, 8e4])
    assert doses.turn(np.array([0.5, 0.9, 0.7, 0.3]), sizes) == pytest.approx(4e4 * 2**0.5)
    for flat in ([0.5, 0.54, 0.5, 0.1], [0.5, 0.4, 0.3, 0.2], [0.5, 0.6, 0.8, 0.9]):
        assert doses.turn(np.array(flat), sizes) is None


def test_the_page_of_doses_shows_the_rows_of_doses_csv() -> None:
    rows = doses.read_rows(doses.HERE / "doses.csv")
    assert len(rows) == len(doses.RATES) * len(doses.SIZES) * len(doses.SEEDS)
    assert (doses.HERE / "doses.md").read_text() == doses.page_of(rows)
