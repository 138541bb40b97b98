"""Plans, keys and records of trained models."""

import hashlib
import json
import re
from argparse import Namespace
from collections import Counter
from dataclasses import fields, replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer, GPTNeoXForCausalLM, PreTrainedTokenizerFast

from experiments.ladder import corpus, learn, train
from experiments.ladder.corpus import Recipe
from experiments.ladder.learn import Budget
from experiments.ladder.plans import PLANS, Plan
from experiments.ladder.vocabulary import PAD, tokenizer_for

quick = pytest.mark.quick


@quick
@pytest.mark.parametrize("task", PLANS)
def test_a_plan_is_about_its_task_and_has_sizes_in_order(task: str) -> None:
    plan = PLANS[task]
    assert plan.recipe.task == task
    assert set(plan.along) <= set(plan.sizes)
    assert len(set(plan.seeds)) == len(plan.seeds) >= 5
    n_params = [
        GPTNeoXForCausalLM(learn.config_of(size, 100)).num_parameters() for size in plan.sizes if size != "80x2"
    ]
    assert sorted(set(n_params)) == n_params


@quick
def test_any_setting_changes_the_key_and_sizes_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan(Recipe("letters", {"calm": 1, "harsh": 2}), Budget(steps=10), ("2x1",), (3, 4))
    tokenizer, changed = tokenizer_for(["a"]), []
    for field in fields(Budget):
        value = getattr(plan.budget, field.name)
        changed.append(replace(plan, budget=replace(plan.budget, **{field.name: value + 1})))
    for change in (
        {"task": "other"},
        {"parts": {"calm": 1, "harsh": 3}},
        {"parts": {"calm": 1, "other": 2}},
        {"agreeing": 0.1},
        {"conflict": 0.1},
    ):
        changed.append(replace(plan, recipe=replace(plan.recipe, **change)))
    assert {field.name for field in fields(Recipe)} == {"task", "parts", "agreeing", "conflict"}
    keys = [train.key_of(plan, 3, tokenizer), train.key_of(plan, 4, tokenizer)]
    keys += [train.key_of(other, 3, tokenizer) for other in changed]
    keys += [train.key_of(plan, 3, tokenizer_for(["b"]))]
    monkeypatch.setattr(train, "INIT", 0.02)
    keys += [train.key_of(plan, 3, tokenizer)]
    assert len(set(keys)) == len(keys) == len(changed) + 4
    monkeypatch.undo()
    assert all(re.fullmatch("[0-9a-f]{12}", key) for key in keys)
    same = replace(plan, sizes=("80x2",), seeds=(3,), along=("80x2",))
    assert train.key_of(same, 3, tokenizer) == keys[0]


@quick
def test_a_size_is_trained_once_all_seeds_have_the_key_of_the_plan() -> None:
    plan = Plan(Recipe("letters", {"calm": 1}), Budget(steps=10), ("2x1",), (3, 4))
    tokenizer = tokenizer_for(["a"])
    records = [{"size": "2x1", "seed": seed, "key": train.key_of(plan, seed, tokenizer)} for seed in (3, 4)]
    assert train.is_trained(records, plan, "2x1", tokenizer)
    assert not train.is_trained(records[:1], plan, "2x1", tokenizer)
    assert train.is_trained(records[:1], replace(plan, seeds=(3,)), "2x1", tokenizer)
    assert not train.is_trained(records, plan, "4x1", tokenizer)
    assert not train.is_trained(records, replace(plan, budget=Budget(steps=11)), "2x1", tokenizer)


@quick
def test_a_second_record_of_a_model_replaces_the_first(tmp_path: Path) -> None:
    def record(size: str, n_params: int, **values: Any) -> dict[str, Any]:
        return {"size": size, "seed": 1, "n_params": n_params, **values}

    assert train.read_records(tmp_path) == []
    for added in (record("8x1", 9), record("2x1", 2, loss=1.0), record("2x1", 2, loss=2.0)):
        train.add_record(tmp_path, tmp_path, added)
    assert train.read_records(tmp_path) == [record("2x1", 2, loss=2.0), record("8x1", 9)]


@quick
def test_twelve_steps_are_kept_before_the_last_most_of_them_early() -> None:
    for steps in (3500, 5000, 7500):
        kept = train.kept_steps(steps)
        assert len(kept) == 12
        assert sorted(set(kept)) == list(kept)
        assert 0 < kept[0] < steps / 50
        assert 0.8 * steps < kept[-1] < steps
        assert kept[7] < steps / 2
    assert train.kept_steps(4) == (1, 2, 3, 4)[: len(train.kept_steps(4))]


@quick
def test_options_replace_the_values_of_a_plan() -> None:
    plan = Plan(Recipe("letters", {"calm": 1, "harsh": 1}, agreeing=0.5), Budget(steps=10), ("2x1", "4x1"), (3, 4))
    nothing = Namespace(conflict_rate=None, steps=None, sizes=None, seeds=None)
    assert train.changed(plan, nothing) == plan
    given = train.changed(plan, Namespace(conflict_rate=0.0, steps=7, sizes=["4x1"], seeds=[9]))
    assert (given.recipe.conflict, given.recipe.agreeing, given.budget.steps) == (0, 0, 7)
    assert (given.sizes, given.seeds) == (("4x1",), (9,))
    assert given.budget == replace(plan.budget, steps=7)


@pytest.mark.parametrize("task", PLANS)
def test_trained_models_are_saved_with_their_records(
    task: str, tokenizers: dict[str, PreTrainedTokenizerFast], tmp_path: Path
) -> None:
    plan = Plan(PLANS[task].recipe, Budget(steps=8, batch=12), ("2x1",), (3, 4), along=("2x1",))
    tokenizer = tokenizers[task]
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        train.train(plan, "2x1", tmp_path / name, tmp_path / name, tokenizer)
    out = tmp_path / "first"
    files = [path.relative_to(out) for path in out.rglob("*.safetensors")]
    kept = train.kept_steps(8)
    assert {str(path.parent) for path in files} == {"2x1/seed3", "2x1/seed4", *(f"2x1/seed3/step{k}" for k in kept)}
    assert all((out / path).read_bytes() == (tmp_path / "second" / path).read_bytes() for path in files)
    assert not list(out.glob("*.pt"))
    records = train.read_records(out)
    assert train.is_trained(records, plan, "2x1", tokenizer)
    for record in records:
        home = out / "2x1" / f"seed{record['seed']}"
        assert {path.name for path in home.iterdir() if path.is_file()} == {
            "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"
        }  # fmt: skip
        model = AutoModelForCausalLM.from_pretrained(home)
        assert model.num_parameters() == record["n_params"]
        assert AutoTokenizer.from_pretrained(home).get_vocab() == tokenizer.get_vocab()
        drawn = corpus.draw(plan.recipe, 96, record["seed"], tokenizer)
        assert record["tokens"] == (drawn.tokens != PAD).sum()
        assert record["stream"]["sha256"] == hashlib.sha256(drawn.tokens.tobytes()).hexdigest()
        assert record["stream"]["evaluation_prompts_found"] == 0
        assert record["conflict_rate"] == {task: pytest.approx(plan.recipe.conflict_rate(), abs=1e-6)}
    assert [record["kept"] for record in records] == [list(kept), []]
    weights = [path.read_bytes() for path in out.glob("2x1/seed3/**/*.safetensors")]
    assert len({*weights}) == len(weights) == len(kept) + 1


def test_a_stream_is_written_once_for_each_key(
    tokenizers: dict[str, PreTrainedTokenizerFast], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, tokenizer = "hindsight_neglect", tokenizers["hindsight_neglect"]
    recipe = Recipe(task, dict.fromkeys(corpus.MODULES[task].KINDS, 1))
    plan = Plan(recipe, Budget(steps=3, batch=8), ("2x1",), (3,))
    plans = [plan, replace(plan, budget=Budget(steps=4, batch=8)), replace(plan, recipe=replace(recipe, conflict=0.9))]
    written = [train.write_stream(tmp_path, each, seed, tokenizer) for each, seed in product(plans, (3, 4))]
    assert len({stream.tokens.tobytes() for stream, _ in written}) == 6
    monkeypatch.setattr(train, "draw", None)
    for (stream, counts), (each, seed) in zip(written, product(plans, (3, 4)), strict=True):
        again, same = train.write_stream(tmp_path, each, seed, tokenizer)
        assert (again.tokens == stream.tokens).all()
        assert (again.answered == stream.answered).all()
        assert counts == same == json.loads(json.dumps(counts))
    assert Counter(path.suffix for path in tmp_path.iterdir()) == {".npy": 12, ".json": 6}
