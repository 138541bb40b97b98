"""The training of the ladder: its documents, reproducible weights, and the records and the card of the embedded models."""

import json
import os
import re
import subprocess
import sys
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GPTNeoXForCausalLM, PreTrainedTokenizerFast

from distractor.command_line.family_table import family_table
from distractor.models.families import embedded_ladder
from distractor.runs.tables import console
from distractor.text.task import Condition
from experiments.ladder import card, corpus, doses, muon, train
from experiments.ladder.document import Turn, text_of
from experiments.ladder.vocabulary import UNK, tokenizer_for, words_of
from tasks import TASKS

ROOT = Path(__file__).parents[2]
LADDER = ROOT / "distractor" / "ladder"
RECORDS = json.loads((LADDER / "ladder.json").read_text())["models"]
FOLDERS = [f"{record['size']}/seed{record['seed']}" for record in RECORDS]
COUNT = 20_000


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(LADDER / FOLDERS[0])


@pytest.fixture(scope="module")
def stream(tokenizer: PreTrainedTokenizerFast) -> corpus.Stream:
    recipe = corpus.Recipe()
    return corpus.stream(corpus.pools(recipe, COUNT, seed=7), recipe, COUNT, 7, tokenizer)


def test_a_stream_contains_no_prompt_of_the_evaluation_and_no_unknown_word(
    stream: corpus.Stream, tokenizer: PreTrainedTokenizerFast
) -> None:
    counts = train.check(stream, tokenizer)
    assert counts["documents"] == COUNT
    assert counts["evaluation_prompts"] > 4 * 600
    assert counts["evaluation_prompts_found"] == 0
    assert not (stream.tokens == UNK).any()


def test_planted_prompts_of_the_evaluation_are_found(stream: corpus.Stream, tokenizer: PreTrainedTokenizerFast) -> None:
    tokens = stream.tokens[:1000].copy()
    conditions = (Condition.CONFLICT, Condition.CONGRUENT, Condition.TRUE_ONLY)
    for row, (name, condition) in enumerate(product(TASKS, conditions), start=500):
        item = TASKS[name]().items[5]
        ids = tokenizer(f"{item.wordings(condition)[-1]}{item.true}")["input_ids"]
        tokens[row] = 0
        tokens[row, : len(ids)] = ids
    with pytest.raises(ValueError, match=r"'evaluation_prompts_found': 12\b"):
        train.check(corpus.Stream(tokens, stream.answered[:1000]), tokenizer)


@pytest.mark.slow
def test_the_documents_and_the_vocabulary_are_those_that_the_embedded_models_were_trained_on() -> None:
    recipe, budget, record = corpus.Recipe(), train.Budget(), RECORDS[0]
    tokenizer = tokenizer_for(words_of(corpus.words()))
    assert train.key_of(recipe, budget, record["seed"], tokenizer) == record["key"]
    count = budget.steps * budget.batch
    pools = corpus.pools(recipe, count, record["seed"])
    drawn = corpus.stream(pools, recipe, count, record["seed"], tokenizer)
    assert train.check(drawn, tokenizer) == record["stream"]


def test_the_held_out_groups_are_recorded() -> None:
    held_out = {task: sorted(groups) for task, groups in corpus.held_out().items()}
    assert json.loads((LADDER / "held_out.json").read_text()) == held_out


def test_a_held_out_quote_occurs_but_is_never_to_be_repeated() -> None:
    module = corpus.MODULES["quote_repetition"]
    rng = Random(1)
    texts = "\n".join(text_of(draw(rng)) for draw in module.KINDS.values() for _ in range(1500))
    held_out = [quote.beginning for quote in module.QUOTES if quote.group in module.held_out()]
    others = [quote.beginning for quote in module.QUOTES if quote.group not in module.held_out()]
    assert all(f"{beginning} " in texts for beginning in held_out)
    assert not any(f"Input: {beginning} " in texts for beginning in held_out)
    assert all(f"Input: {beginning} " in texts for beginning in others)


def test_the_stream_has_the_shares_of_the_table(stream: corpus.Stream, tokenizer: PreTrainedTokenizerFast) -> None:
    recipe = corpus.Recipe()
    assert all(sum(recipe.shares(task).values()) == pytest.approx(1) for task in corpus.SHARES)
    # Each bet names dollars, except in `neutral`.
    expected = recipe.share_of("hindsight_neglect") - recipe.share_of("hindsight_neglect", "neutral")
    bets = (stream.tokens == tokenizer.convert_tokens_to_ids("dollars")).any(1).mean()
    assert bets == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("rate", [0.01, 0.5])
@pytest.mark.quick
def test_a_conflict_rate_that_is_set_is_the_share_of_conflict(rate: float) -> None:
    recipe = corpus.Recipe(conflict={"negation_qa": rate})
    shares = recipe.shares("negation_qa")
    assert sum(shares[kind] for kind in corpus.MODULES["negation_qa"].CONFLICT) == pytest.approx(rate)
    assert sum(shares.values()) == pytest.approx(1)
    assert recipe.conflict_rate("negation_qa") == pytest.approx(rate)


@pytest.mark.parametrize("rate", [None, 0.3])
def test_conflict_comes_late_unless_a_rate_is_set(tokenizer: PreTrainedTokenizerFast, rate: float | None) -> None:
    unused = iter(tokenizer.convert_ids_to_tokens(range(100, 100 + 2 * len(corpus.SHARES))))
    words = {task: (next(unused), next(unused)) for task in corpus.SHARES}
    marked = {
        (task, kind): [(Turn("", words[task][kind in corpus.MODULES[task].CONFLICT]),)]
        for task in corpus.SHARES
        for kind in corpus.SHARES[task]
    }
    recipe = corpus.Recipe(conflict={} if rate is None else {"hindsight_neglect": rate})
    drawn = corpus.stream(marked, recipe, 40_000, 1, tokenizer).tokens[:, 1]

    def share(task: str, start: float, end: float) -> float:
        part = drawn[round(start * len(drawn)) : round(end * len(drawn))]
        agreeing, contrary = ((part == tokenizer.convert_tokens_to_ids(word)).sum() for word in words[task])
        return float(contrary / (agreeing + contrary))

    assert share("negation_qa", 0, 0.6) == 0
    assert share("negation_qa", 0.6, 1) == pytest.approx(0.045, abs=0.01)
    assert share("hindsight_neglect", 0, 0.5) == pytest.approx(rate or 0, abs=0.03)
    assert share("hindsight_neglect", 0.5, 1) == pytest.approx(rate or 0.055, abs=0.03 if rate else 0.01)
    assert share("quote_repetition", 0, 1) == pytest.approx(0.21, abs=0.03)


def test_shares_do_not_depend_on_the_process() -> None:
    script = "from experiments.ladder.corpus import Recipe; print(Recipe().phases())"
    printed = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=ROOT,
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert printed == {f"{corpus.Recipe().phases()}\n".encode()}, "the key of a model depends on the shares"


@pytest.mark.quick
def test_a_rate_for_a_task_without_documents_is_refused() -> None:
    with pytest.raises(ValueError, match="no documents for negation"):
        corpus.Recipe(conflict={"negation": 0.1})


def test_documents_are_encoded_like_their_text(tokenizer: PreTrainedTokenizerFast) -> None:
    for module in corpus.MODULES.values():
        for draw in module.KINDS.values():
            document = draw(Random(3))
            (ids,), (answered,) = corpus.encode([document], tokenizer)
            assert ids[:-1].tolist() == tokenizer(text_of(document))["input_ids"]
            answers = "".join(turn.answer for turn in document)
            assert ids[answered].tolist() == tokenizer(answers, add_special_tokens=False)["input_ids"]


@pytest.mark.quick
def test_the_loss_weights_answers_and_the_given_tokens_of_every_fourth_document() -> None:
    tokens = np.array([[1, 5, 6, 7, 2, 0]] * 6, dtype=np.uint16)
    answered = np.zeros_like(tokens, dtype=bool)
    answered[:5, 3] = True
    weights = train.loss_weights(tokens, answered, train.Budget(answer=10, read_in_full=4))
    in_full, answer_only, without_answer = [0, 1, 1, 10, 1, 0], [0, 0, 0, 10, 0, 0], [0, 1, 1, 1, 1, 0]
    assert weights.tolist() == [in_full, answer_only, answer_only, answer_only, in_full, without_answer]


def test_a_split_batch_gives_the_gradients_of_the_whole(stream: corpus.Stream) -> None:
    budget = train.Budget(answer=3)
    tokens, answered = stream.tokens[:24], stream.answered[:24]
    torch.manual_seed(0)
    model = GPTNeoXForCausalLM(train.config_of("8x1")).double()
    loss = train.add_gradients(model, tokens, answered, budget, "cpu")
    gradients = [weight.grad.clone() for weight in model.parameters()]
    model.zero_grad()
    ids = torch.from_numpy(tokens.astype(np.int64))
    logits = model(ids, attention_mask=(ids != 0).long()).logits[:, :-1]
    weights = torch.from_numpy(train.loss_weights(tokens, answered, budget)[:, 1:]).double()
    losses = -logits.log_softmax(-1).gather(2, ids[:, 1:, None]).squeeze(2)
    expected = (losses * weights).sum() / weights.sum()
    expected.backward()
    assert loss == pytest.approx(expected.item(), abs=1e-9)
    for gradient, parameter in zip(gradients, model.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad, atol=1e-9, rtol=1e-6)


@pytest.mark.parametrize("shape", [(24, 96), (96, 24), (16, 16)])
@pytest.mark.quick
def test_muon_steps_like_torch_up_to_rounding(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    ours = torch.randn(shape, requires_grad=True)
    theirs = ours.detach().clone().requires_grad_()
    optimizers = [
        muon.Muon([ours], lr=0.1, weight_decay=0.1),
        torch.optim.Muon([theirs], lr=0.1, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
    ]
    for _ in range(3):
        before, gradient = ours.detach().clone(), torch.randn(shape)
        ours.grad, theirs.grad = gradient, gradient.clone()
        for optimizer in optimizers:
            optimizer.step()
    assert (ours - theirs).norm() < 0.03 * (ours - before).norm()


@pytest.mark.quick
def test_newton_schulz_approximates_the_nearest_orthogonal_matrix() -> None:
    torch.manual_seed(0)
    matrix = torch.randn(48, 12, dtype=torch.double)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    result = muon.orthogonal(matrix, (3.4445, -4.775, 2.0315), 5, 1e-7)
    assert torch.linalg.svdvals(result).sub(1).abs().max() < 0.4
    cosine = (result * (left @ right)).sum() / result.norm() / (left @ right).norm()
    assert cosine > 0.97


@pytest.mark.parametrize("size", ["2x1", "4x1"])
def test_training_twice_gives_the_same_weights(stream: corpus.Stream, tmp_path: Path, size: str) -> None:
    budget = train.Budget(steps=4, batch=16)
    torch.set_num_threads(1)
    for name in ("first", "second"):
        train.train(train.config_of(size), stream, budget, 3, tmp_path / name, tmp_path / "none.pt", "cpu")
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("first", "second"))
    assert first == second


def test_resumed_training_gives_the_same_weights(
    stream: corpus.Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "CHECKPOINT_EVERY", 2)
    budget = train.Budget(steps=4, batch=16)

    def trained(name: str) -> tuple[bytes, float]:
        folder, checkpoint = tmp_path / name, tmp_path / "kept.pt"
        _, seconds = train.train(train.config_of("2x1"), stream, budget, 3, folder, checkpoint, "cpu", kept=(3,))
        return (folder / "model.safetensors").read_bytes(), seconds

    whole, _ = trained("whole")
    stored = torch.load(tmp_path / "kept.pt", weights_only=True)
    assert stored["step"] == 2
    torch.save({**stored, "seconds": 1000.0}, tmp_path / "kept.pt")
    resumed, seconds = trained("resumed")
    assert resumed == whole
    assert 1000 < seconds < 1100, "the seconds of the stopped run count"
    assert (tmp_path / "whole" / "step3" / "model.safetensors").read_bytes() != whole


def test_each_recipe_budget_and_seed_has_a_separate_stream_file(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    written = {}
    for _ in range(2):
        for task, rate, steps, seed in product(("hindsight_neglect", "negation_qa"), (0.02, 0.5), (2, 3), (3, 4)):
            recipe, budget = corpus.Recipe((task,), {task: rate}), train.Budget(steps=steps, batch=16)
            drawn = train.write_stream(tmp_path, recipe, budget, seed, tokenizer)
            assert (written.setdefault((task, rate, steps, seed), drawn.tokens.copy()) == drawn.tokens).all()
    assert len({tokens.tobytes() for tokens in written.values()}) == len(written) == 16


@pytest.mark.quick
def test_a_second_record_of_a_model_replaces_the_first(tmp_path: Path) -> None:
    def record(size: str, n_params: int, **values: Any) -> dict[str, Any]:
        return {"size": size, "seed": 1, "n_params": n_params, **values}

    for added in (record("8x1", 9), record("2x1", 2, loss=1.0), record("2x1", 2, loss=2.0)):
        train.add_record(tmp_path, tmp_path, added)
    assert train.read_records(tmp_path) == [record("2x1", 2, loss=2.0), record("8x1", 9)]


@pytest.mark.parametrize("name", TASKS)
def test_the_vocabulary_covers_all_prompts_and_answers(tokenizer: PreTrainedTokenizerFast, name: str) -> None:
    task = TASKS[name]()
    texts = [
        text for item in task.items for c in task.conditions for p in item.wordings(c) for text in (p, *item.answers)
    ]
    assert all(UNK not in ids for ids in tokenizer(sorted(set(texts)))["input_ids"])
    answers = sorted({answer for item in task.items for answer in item.answers})
    assert all(len(ids) == 1 for ids in tokenizer(answers, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_embedded_model_loads_and_matches_its_record(folder: str) -> None:
    record = RECORDS[FOLDERS.index(folder)]
    home = LADDER / folder
    model = AutoModelForCausalLM.from_pretrained(home)
    tokenizer = AutoTokenizer.from_pretrained(home)
    assert model.num_parameters() == record["n_params"]
    assert all(bool(torch.isfinite(weight).all()) for weight in model.parameters())
    assert tokenizer("The capital of France is")["input_ids"][0] == tokenizer.bos_token_id == model.config.bos_token_id
    weights = {"config.json", "model.safetensors"}
    steps = {f"step{step}" for step in record["kept"]}
    assert {path.name for path in home.iterdir()} == weights | {"tokenizer.json", "tokenizer_config.json"} | steps
    assert all({path.name for path in (home / step).iterdir()} == weights for step in steps)


@pytest.mark.quick
def test_each_size_has_all_seeds_and_no_other_model_is_embedded() -> None:
    sizes, seeds = ({record[key] for record in RECORDS} for key in ("size", "seed"))
    assert len(sizes) >= 11
    assert sorted(FOLDERS) == sorted(f"{size}/seed{seed}" for size, seed in product(sizes, seeds))
    assert sorted(FOLDERS) == sorted(str(path.parent.relative_to(LADDER)) for path in LADDER.glob("*/*/config.json"))
    assert min(record["n_params"] for record in RECORDS) <= 3_000
    assert max(record["n_params"] for record in RECORDS) >= 200_000


@pytest.mark.quick
def test_all_models_of_a_seed_read_the_same_stream() -> None:
    seeds = {record["seed"] for record in RECORDS}
    for seed in seeds:
        first, *others = [(r["key"], r["tokens"], r["stream"]) for r in RECORDS if r["seed"] == seed]
        assert all(other == first for other in others)
    assert len({record["key"] for record in RECORDS}) == len(seeds)


def test_the_embedded_models_have_the_seeds_rates_and_steps_of_the_training_script(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    recipe, budget = corpus.Recipe(), train.Budget()
    rates = {task: pytest.approx(recipe.conflict_rate(task), abs=1e-6) for task in corpus.SHARES}
    keys = {seed: train.key_of(recipe, budget, seed, tokenizer) for seed in train.SEEDS}
    assert all(record["conflict_rate"] == rates for record in RECORDS)
    assert {record["steps"] for record in RECORDS} == {budget.steps}
    assert {record["seed"]: record["key"] for record in RECORDS} == keys


@pytest.mark.quick
def test_the_card_shows_the_data_the_check_and_the_time_of_training() -> None:
    text = (LADDER / "README.md").read_text()
    assert card.data(corpus.Recipe()) in text
    stream = RECORDS[0]["stream"]
    assert f"{stream['evaluation_prompts']:,} prompts, {stream['documents']:,} documents" in text
    assert {record["stream"]["evaluation_prompts_found"] for record in RECORDS} == {0}
    assert f"{len(RECORDS)} models, {sum(record['seconds'] for record in RECORDS) / 60:.0f} minutes" in text


@pytest.mark.parametrize("size", ["16x2", pytest.param("80x2", marks=pytest.mark.slow)])
@pytest.mark.parametrize("task", TASKS)
def test_the_card_shows_the_curves_of_the_stored_weights(task: str, size: str) -> None:
    *_, line = card.curves(card.measure_ladder(LADDER, TASKS[task]().take(600), [size])).splitlines()
    section = (LADDER / "README.md").read_text().split(f"### {task}\n", 1)[1]
    shown = next(row for row in section.splitlines() if row.startswith(f"| {size} |"))
    expected, computed = ([float(n) for n in re.findall(r"-?\d+\.\d\d", row)] for row in (shown, line))
    assert len(expected) == 2 * len(train.SEEDS) + 6
    assert np.allclose(expected, computed, atol=0.011)  # other processors round differently


def test_the_list_of_models_shows_their_steps_and_loss(capsys: pytest.CaptureFixture[str]) -> None:
    console().print(family_table(embedded_ladder()))
    rows = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines() if "/seed" in line[:20]}
    for record in RECORDS:
        row = rows[f"ladder/{record['size']}/seed{record['seed']}"]
        assert row[-3:] == [f"{record['loss']:.2f}", "yes", "embedded"]
        assert f"{record['steps']:,}" in row


def test_the_ladder_is_small() -> None:
    assert sum(path.stat().st_size for path in LADDER.rglob("*") if path.is_file()) < 30e6


def test_the_page_of_doses_shows_the_rows_of_doses_csv() -> None:
    rows = doses.read_rows(doses.HERE / "doses.csv")
    assert len(rows) == len(doses.RATES) * len(doses.STEPS) * len(doses.SIZES) * len(doses.SEEDS)
    assert (doses.HERE / "doses.md").read_text() == doses.page_of(rows)


@pytest.mark.quick
def test_only_a_curve_with_a_peak_has_a_turn() -> None:
    sizes = np.array([1e4, 2e4, 4e4, 8e4])
    assert doses.turn(np.array([0.5, 0.9, 0.7, 0.3]), sizes) == pytest.approx(4e4 * 2**0.5)
    for flat in ([0.5, 0.54, 0.5, 0.1], [0.5, 0.4, 0.3, 0.2], [0.5, 0.6, 0.8, 0.9]):
        assert doses.turn(np.array(flat), sizes) is None
