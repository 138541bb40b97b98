"""The ladder: what it may read, that training repeats, and that what is shipped is whole."""

import importlib
import json
import os
import re
import subprocess
import sys
from itertools import product
from pathlib import Path
from random import Random
from types import ModuleType

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GPTNeoXForCausalLM, PreTrainedTokenizerFast

from distractor.command_line.family_table import family_table
from distractor.models.families import embedded_ladder
from distractor.runs.tables import console
from distractor.text.task import Condition
from tasks import TASKS

ROOT = Path(__file__).parents[2]
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
def tokenizer(corpus: ModuleType) -> PreTrainedTokenizerFast:
    vocabulary = importlib.import_module("experiments.ladder.vocabulary")
    return vocabulary.tokenizer_for(vocabulary.words_of(corpus.words()))


@pytest.fixture(scope="module")
def stream(corpus: ModuleType, tokenizer: PreTrainedTokenizerFast):  # type: ignore[no-untyped-def]
    recipe = corpus.Recipe()
    return corpus.stream(corpus.pools(recipe, 50_000, seed=7), recipe, 50_000, 7, tokenizer)


def planted(stream, tokenizer: PreTrainedTokenizerFast, corpus: ModuleType, text: str):  # type: ignore[no-untyped-def]
    """The first documents of a stream, one of them exchanged for `text`."""
    tokens = stream.tokens[:1000].copy()
    ids = tokenizer(text)["input_ids"]
    tokens[500] = 0
    tokens[500, : len(ids)] = ids
    return corpus.Stream(tokens, stream.answered[:1000])


def test_fifty_thousand_documents_hold_no_prompt_of_the_evaluation(
    training: ModuleType,
    stream,  # type: ignore[no-untyped-def]
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    counts = training.check(stream, tokenizer)
    assert counts["documents"] == 50_000
    assert counts["evaluation_prompts"] > 4 * 600
    assert counts["evaluation_prompts_found"] == 0


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("condition", [Condition.CONFLICT, Condition.CONGRUENT, Condition.TRUE_ONLY])
def test_a_planted_prompt_of_the_evaluation_is_found(
    training: ModuleType,
    corpus: ModuleType,
    stream,  # type: ignore[no-untyped-def]
    tokenizer: PreTrainedTokenizerFast,
    name: str,
    condition: Condition,
) -> None:
    item = TASKS[name]().items[5]
    text = f"{item.wordings(condition)[-1]}{item.true}"
    with pytest.raises(ValueError, match=r"'evaluation_prompts_found': 1"):
        training.check(planted(stream, tokenizer, corpus, text), tokenizer)


@pytest.mark.parametrize("name", TASKS)
def test_a_third_of_every_task_is_held_out_and_written_down(corpus: ModuleType, name: str) -> None:
    groups = {item.group for item in TASKS[name]().items}
    away = corpus.held_out()[name]
    assert 0.25 <= len(groups & away) / len(groups) <= 0.5
    assert json.loads((LADDER / "held_out.json").read_text())[name] == sorted(away)


def test_a_quote_that_is_held_out_is_told_but_never_to_be_repeated(corpus: ModuleType) -> None:
    module = corpus.MODULES["quote_repetition"]
    text_of = importlib.import_module("experiments.ladder.document").text_of
    rng = Random(1)
    texts = "\n".join(text_of(draw(rng)) for draw in module.KINDS.values() for _ in range(1500))
    away = [quote.beginning for quote in module.QUOTES if quote.group in module.held_out()]
    others = [quote.beginning for quote in module.QUOTES if quote.group not in module.held_out()]
    assert all(f"{beginning} " in texts for beginning in away)
    assert not any(f"Input: {beginning} " in texts for beginning in away)
    assert all(f"Input: {beginning} " in texts for beginning in others)


def test_kinds_come_as_often_as_the_table_says(
    corpus: ModuleType,
    stream,  # type: ignore[no-untyped-def]
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    recipe = corpus.Recipe()
    assert all(sum(recipe.shares(task).values()) == pytest.approx(1) for task in corpus.SHARES)
    # Every bet names dollars, except where there are neither stakes nor outcome.
    wanted = recipe.share_of("hindsight_neglect") - recipe.share_of("hindsight_neglect", "neutral")
    bets = (stream.tokens == tokenizer.convert_tokens_to_ids("dollars")).any(1).mean()
    assert bets == pytest.approx(wanted, rel=0.1)


@pytest.mark.parametrize("rate", [0.01, 0.5])
def test_a_conflict_rate_that_is_set_is_the_share_of_conflict(corpus: ModuleType, rate: float) -> None:
    recipe = corpus.Recipe(conflict={"negation_qa": rate})
    shares = recipe.shares("negation_qa")
    assert sum(shares[kind] for kind in corpus.MODULES["negation_qa"].CONFLICT) == pytest.approx(rate)
    assert sum(shares.values()) == pytest.approx(1)
    assert recipe.conflict_rate("negation_qa") == pytest.approx(rate)


@pytest.mark.parametrize("rate", [None, 0.3])
def test_bets_and_negations_are_in_conflict_late_or_all_along_where_a_rate_is_set(
    corpus: ModuleType, tokenizer: PreTrainedTokenizerFast, rate: float | None
) -> None:
    turn = importlib.import_module("experiments.ladder.document").Turn
    known = iter(tokenizer.convert_ids_to_tokens(range(100, 100 + 2 * len(corpus.SHARES))))
    words = {task: (next(known), next(known)) for task in corpus.SHARES}
    marked = {
        (task, kind): [(turn("", words[task][kind in corpus.MODULES[task].CONFLICT]),)]
        for task in corpus.SHARES
        for kind in corpus.SHARES[task]
    }
    recipe = corpus.Recipe(conflict={} if rate is None else {"hindsight_neglect": rate})
    drawn = corpus.stream(marked, recipe, 40_000, 1, tokenizer).tokens[:, 1]

    def share(task: str, start: float, end: float) -> float:
        here = drawn[round(start * len(drawn)) : round(end * len(drawn))]
        agreeing, contrary = ((here == tokenizer.convert_tokens_to_ids(word)).sum() for word in words[task])
        return float(contrary / (agreeing + contrary))

    assert share("negation_qa", 0, 0.6) == 0
    assert share("negation_qa", 0.6, 1) == pytest.approx(0.045, abs=0.01)
    assert share("hindsight_neglect", 0, 0.5) == pytest.approx(rate or 0, abs=0.03)
    assert share("hindsight_neglect", 0.5, 1) == pytest.approx(rate or 0.055, abs=0.03 if rate else 0.01)
    assert share("quote_repetition", 0, 1) == pytest.approx(0.21, abs=0.03)


def test_shares_are_the_same_to_the_last_bit_in_every_process() -> None:
    told = "from experiments.ladder.corpus import Recipe; print(Recipe().phases())"
    found = {
        subprocess.run(
            [sys.executable, "-c", told], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("0", "1", "2", "3")
    }
    assert len(found) == 1, "a model's key hangs on them: a run that was stopped would begin anew"


def test_a_rate_for_a_task_without_documents_is_refused(corpus: ModuleType) -> None:
    with pytest.raises(ValueError, match="no documents for negation"):
        corpus.Recipe(conflict={"negation": 0.1})


def test_documents_are_encoded_as_their_text_is(corpus: ModuleType, tokenizer: PreTrainedTokenizerFast) -> None:
    document = importlib.import_module("experiments.ladder.document")
    for module in corpus.MODULES.values():
        for draw in module.KINDS.values():
            drawn = draw(Random(3))
            (ids,), (answered,) = corpus.encode([drawn], tokenizer)
            assert ids[:-1].tolist() == tokenizer(document.text_of(drawn))["input_ids"]
            told = "".join(turn.answered for turn in drawn)
            assert ids[answered].tolist() == tokenizer(told, add_special_tokens=False)["input_ids"]


def test_the_loss_counts_answers_more_and_told_tokens_of_every_fourth_document(training: ModuleType) -> None:
    tokens = np.array([[1, 5, 6, 7, 2, 0]] * 6, dtype=np.uint16)
    answered = np.zeros_like(tokens, dtype=bool)
    answered[:5, 3] = True
    found = training.weights(tokens, answered, training.Budget(answer=10, read_in_full=4))
    full, part, told = [0, 1, 1, 10, 1, 0], [0, 0, 0, 10, 0, 0], [0, 1, 1, 1, 1, 0]
    assert found.tolist() == [full, part, part, part, full, told]


def test_a_batch_in_two_parts_gives_the_gradients_of_the_whole(training: ModuleType, stream) -> None:  # type: ignore[no-untyped-def]
    budget = training.Budget(answer=3)
    tokens, answered = stream.tokens[:24], stream.answered[:24]
    torch.manual_seed(0)
    model = GPTNeoXForCausalLM(training.plan("8x1")).double()
    told = training.learn(model, tokens, answered, budget, "cpu")
    got = [weight.grad.clone() for weight in model.parameters()]
    model.zero_grad()
    ids = torch.from_numpy(tokens.astype(np.int64))
    logits = model(ids, attention_mask=(ids != 0).long()).logits[:, :-1]
    weight = torch.from_numpy(training.weights(tokens, answered, budget)[:, 1:]).double()
    losses = -logits.log_softmax(-1).gather(2, ids[:, 1:, None]).squeeze(2)
    whole = (losses * weight).sum() / weight.sum()
    whole.backward()
    assert told == pytest.approx(whole.item(), abs=1e-9)
    for one, other in zip(got, model.parameters(), strict=True):
        torch.testing.assert_close(one, other.grad, atol=1e-9, rtol=1e-6)


@pytest.mark.parametrize("shape", [(24, 96), (96, 24), (16, 16)])
def test_muon_steps_as_torch_does_but_for_its_rounding(shape: tuple[int, int]) -> None:
    muon = importlib.import_module("experiments.ladder.muon")
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


def test_newton_and_schulz_find_the_nearest_orthogonal_matrix_roughly() -> None:
    muon = importlib.import_module("experiments.ladder.muon")
    torch.manual_seed(0)
    matrix = torch.randn(48, 12, dtype=torch.double)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    found = muon.orthogonal(matrix, (3.4445, -4.775, 2.0315), 5, 1e-7)
    assert torch.linalg.svdvals(found).sub(1).abs().max() < 0.4
    cosine = (found * (left @ right)).sum() / found.norm() / (left @ right).norm()
    assert cosine > 0.97


@pytest.mark.parametrize("size", ["2x1", "4x1"])
def test_training_twice_gives_the_same_weights(
    training: ModuleType,
    stream,  # type: ignore[no-untyped-def]
    tmp_path: Path,
    size: str,
) -> None:
    budget = training.Budget(steps=4, batch=16)
    torch.set_num_threads(1)
    for name in ("first", "second"):
        training.train(training.plan(size), stream, budget, 3, tmp_path / name, tmp_path / "none.pt", "cpu")
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("first", "second"))
    assert first == second


def test_training_that_was_stopped_goes_on_to_the_same_weights(
    training: ModuleType,
    stream,  # type: ignore[no-untyped-def]
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 2)
    budget = training.Budget(steps=4, batch=16)

    def trained(name: str) -> tuple[bytes, float]:
        folder, checkpoint = tmp_path / name, tmp_path / "kept.pt"
        _, seconds = training.train(training.plan("2x1"), stream, budget, 3, folder, checkpoint, "cpu", kept=(3,))
        return (folder / "model.safetensors").read_bytes(), seconds

    whole, _ = trained("whole")
    stored = torch.load(tmp_path / "kept.pt", weights_only=True)
    assert stored["step"] == 2
    torch.save({**stored, "seconds": 1000.0}, tmp_path / "kept.pt")
    resumed, seconds = trained("resumed")
    assert resumed == whole
    assert 1000 < seconds < 1100  # those before the stop count
    assert (tmp_path / "whole" / "step3" / "model.safetensors").read_bytes() != whole


def test_whatever_sets_a_stream_apart_gives_it_a_file_of_its_own(
    training: ModuleType, corpus: ModuleType, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    written = {}
    for _ in range(2):
        for task, rate, steps, seed in product(("hindsight_neglect", "negation_qa"), (0.02, 0.5), (2, 3), (3, 4)):
            recipe, budget = corpus.Recipe((task,), {task: rate}), training.Budget(steps=steps, batch=16)
            found = training.write_stream(tmp_path, recipe, budget, seed, tokenizer)
            assert (written.setdefault((task, rate, steps, seed), found.tokens.copy()) == found.tokens).all()
    assert len({tokens.tobytes() for tokens in written.values()}) == len(written) == 16


@pytest.mark.parametrize("name", TASKS)
def test_the_vocabulary_covers_every_prompt_and_answer(name: str) -> None:
    task = TASKS[name]()
    shipped = AutoTokenizer.from_pretrained(LADDER / FOLDERS[0])
    texts = [
        text for item in task.items for c in task.conditions for p in item.wordings(c) for text in (p, *item.answers)
    ]
    assert all(shipped.unk_token_id not in ids for ids in shipped(sorted(set(texts)))["input_ids"])
    assert all(len(shipped(a, add_special_tokens=False)["input_ids"]) == 1 for i in task.items for a in i.answers)


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_shipped_folder_loads_and_counts_as_told(folder: str) -> None:
    told = MODELS[FOLDERS.index(folder)]
    home = LADDER / folder
    model = AutoModelForCausalLM.from_pretrained(home)
    tokenizer = AutoTokenizer.from_pretrained(home)
    assert model.num_parameters() == told["n_params"]
    assert all(bool(torch.isfinite(weight).all()) for weight in model.parameters())
    assert tokenizer("The capital of France is")["input_ids"][0] == tokenizer.bos_token_id == model.config.bos_token_id
    weights = {"config.json", "model.safetensors"}
    steps = {f"step{step}" for step in told["kept"]}
    assert {path.name for path in home.iterdir()} == weights | {"tokenizer.json", "tokenizer_config.json"} | steps
    assert all({path.name for path in (home / step).iterdir()} == weights for step in steps)


def test_every_size_has_every_seed_and_nothing_else_is_shipped() -> None:
    sizes, seeds = ({one[part] for one in MODELS} for part in ("size", "seed"))
    assert len(sizes) >= 11
    assert sorted(FOLDERS) == sorted(f"{size}/seed{seed}" for size, seed in product(sizes, seeds))
    assert sorted(FOLDERS) == sorted(str(path.parent.relative_to(LADDER)) for path in LADDER.glob("*/*/config.json"))
    assert min(one["n_params"] for one in MODELS) <= 3_000
    assert max(one["n_params"] for one in MODELS) >= 200_000


def test_every_model_of_a_seed_read_the_same() -> None:
    seeds = {one["seed"] for one in MODELS}
    for seed in seeds:
        told = [(one["key"], one["tokens"], one["stream"]) for one in MODELS if one["seed"] == seed]
        assert all(one == told[0] for one in told)
    assert len({one["key"] for one in MODELS}) == len(seeds)


def test_models_of_the_reported_seeds_read_what_the_table_says(corpus: ModuleType, training: ModuleType) -> None:
    recipe = corpus.Recipe()
    rates = {task: pytest.approx(recipe.conflict_rate(task), abs=1e-6) for task in corpus.SHARES}
    assert {one["seed"] for one in MODELS} == set(training.SEEDS)
    assert all(one["conflict_rate"] == rates for one in MODELS)
    assert {one["steps"] for one in MODELS} == {training.Budget().steps}


def test_the_card_tells_data_and_times_of_what_is_shipped(corpus: ModuleType) -> None:
    card = importlib.import_module("experiments.ladder.card")
    text = (LADDER / "README.md").read_text()
    times, total = card.times(MODELS).split("\n\n")
    assert card.data(corpus.Recipe()).strip() in text
    assert card.streams(MODELS).count("| 17,285 | 0 |") == 5
    assert times.count("\n") == 12
    minutes = sum(one["seconds"] for one in MODELS) / 60
    assert total.strip() == f"55 models, {minutes:.0f} minutes added up."
    assert f"{minutes:.0f} minutes" in text


@pytest.mark.parametrize("task", TASKS)
def test_the_card_s_last_line_of_curves_is_that_of_the_weights(task: str) -> None:
    """Numbers may differ by rounding on another processor."""
    curves = importlib.import_module("experiments.ladder.curves")
    held_out = set(json.loads((LADDER / "held_out.json").read_text())[task])
    posed = TASKS[task]().take(600)
    away = np.array([item.group in held_out for item in posed.items])
    largest = [one for one in MODELS if one["size"] == "80x2"]
    rows = []
    for one in largest:
        home = LADDER / one["size"] / f"seed{one['seed']}"
        found = curves.numbers(curves.log_probs(home, home, posed), away)
        rows.append(curves.Row(one["size"], one["seed"], one["n_params"], found))
    came = curves.table(task, rows, "size")
    heading, *_, line = came.strip().splitlines()
    section = (LADDER / "README.md").read_text().split(f"{heading}\n", 1)[1]
    shown = next(told for told in section.splitlines() if told.startswith("| 80x2 |"))
    expected, computed = ([float(n) for n in re.findall(r"-?\d+\.\d\d", text)] for text in (shown, line))
    assert np.allclose(expected, computed, atol=0.011)


def test_steps_and_loss_of_every_model_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    console().print(family_table(embedded_ladder()))
    rows = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines() if "/seed" in line[:20]}
    for one in MODELS:
        row = rows[f"ladder/{one['size']}/seed{one['seed']}"]
        assert row[-3:] == [f"{one['loss']:.2f}", "yes", "embedded"]
        assert f"{one['steps']:,}" in row


def test_the_ladder_is_small() -> None:
    assert sum(path.stat().st_size for path in LADDER.rglob("*") if path.is_file()) < 30e6


def test_doses_are_told_as_they_were_measured_and_turns_only_of_what_rises() -> None:
    doses = importlib.import_module("experiments.ladder.doses")
    rows = doses.cells(doses.HERE / "doses.csv")
    assert len(rows) == len(doses.RATES) * len(doses.STEPS) * len(doses.SIZES) * len(doses.SEEDS)
    assert (doses.HERE / "doses.md").read_text() == f"{doses.peaks_table(rows)}\n{doses.table(rows)}"
    sizes = np.array([1e4, 2e4, 4e4, 8e4])
    assert doses.turn(np.array([0.5, 0.9, 0.7, 0.3]), sizes) == pytest.approx(4e4 * 2**0.5)
    for flat in ([0.5, 0.54, 0.5, 0.1], [0.5, 0.4, 0.3, 0.2], [0.5, 0.6, 0.8, 0.9]):
        assert doses.turn(np.array(flat), sizes) is None
