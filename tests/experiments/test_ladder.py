"""The training of the ladder: stacked networks, the optimizer, reproducible weights, streams of documents, and records."""

import hashlib
import json
import math
import os
import re
import subprocess
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import combinations, pairwise, product
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, GPTNeoXForCausalLM, PreTrainedTokenizerFast

from experiments.ladder import card, corpus, doses, learn, muon, train
from experiments.ladder.corpus import SHOTS, Recipe, Stream
from experiments.ladder.document import Document, Turn, text_of
from experiments.ladder.learn import Budget
from experiments.ladder.network import Networks, take
from experiments.ladder.plans import PLANS, Plan
from experiments.ladder.search import RESERVED, search
from experiments.ladder.vocabulary import BOS, EOS, PAD, UNK, tokenizer_for, words_of
from tasks import TASKS

ROOT = Path(__file__).parents[2]
ROWS = 40
"""Vocabulary of the networks that learn from random tokens."""

LADDER = ROOT / "distractor" / "ladder"
SEEDS = {task: tuple(sorted({record["seed"] for record in train.read_records(LADDER / task)})) for task in PLANS}
EMBEDDED = [task for task, plan in PLANS.items() if SEEDS[task] == plan.seeds]
"""The tasks whose own ladders are embedded. The others have the models of the joint ladder until theirs are trained."""

quick = pytest.mark.quick


@pytest.fixture
def double() -> Iterator[None]:
    """Compute in double precision, so that only a real difference is larger than rounding."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="module")
def tokenizers() -> dict[str, PreTrainedTokenizerFast]:
    return {task: corpus.tokenizer_of(task) for task in TASKS}


def random_stream(seed: int, count: int, longest: int = 14) -> Stream:
    """Documents of random tokens: some without an answer, some with one or two, of different lengths."""
    rng = np.random.default_rng(seed)
    tokens = np.full((count, 20), PAD, dtype=np.uint16)
    answered = np.zeros(tokens.shape, dtype=bool)
    for row in range(count):
        length = int(rng.integers(3, longest))
        tokens[row, :length] = [BOS, *rng.integers(UNK + 1, ROWS, size=length - 2), EOS]
        if row % 5:
            answered[row, rng.integers(1, length - 1, size=2)] = True
    return Stream(tokens, answered)


def disturbed(networks: Networks) -> Networks:
    """The networks with other values for all parameters: biases and norms are no longer 0 and 1."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in networks.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return networks


def logits_of(networks: Networks, tokens: Tensor) -> Tensor:
    """Logits [seed document pos token]."""
    hidden = networks(tokens)
    return networks.logits(hidden.flatten(1, 2)).unflatten(1, hidden.shape[1:3])


# Networks


@quick
@pytest.mark.parametrize("size", ["2x1", "4x1", "8x1", "12x2", "24x2", "20x3"])
def test_each_network_equals_its_hugging_face_model(size: str, double: None) -> None:
    networks = disturbed(Networks(learn.config_of(size, ROWS), (3, 4, 5)))
    tokens = torch.from_numpy(np.stack([random_stream(seed, 6).tokens for seed in range(3)]).astype(np.int64))
    with torch.no_grad():
        logits = logits_of(networks, tokens)
        for number in range(3):
            model = networks.model_of(number).eval()
            expected = model(tokens[number], attention_mask=(tokens[number] != PAD).long()).logits
            real = tokens[number] != PAD
            torch.testing.assert_close(logits[number][real], expected[real], atol=1e-6, rtol=1e-6)


@quick
def test_initial_weights_depend_on_the_seed_alone() -> None:
    config = learn.config_of("8x1", ROWS)
    together, alone = Networks(config, (3, 4)), Networks(config, (4,))
    torch.manual_seed(4)
    expected = dict(GPTNeoXForCausalLM(config).named_parameters())
    assert {name.replace("/", ".") for name in together.stacked} == expected.keys()
    for name, value in expected.items():
        assert torch.equal(together.parameter(name)[1], value)
        assert torch.equal(alone.parameter(name)[0], value)
    weight = together.parameter("gpt_neox.embed_in.weight")
    assert not torch.equal(weight[0], weight[1])


# A step of training


def by_documents(
    model: GPTNeoXForCausalLM, stream: Stream, rows: range, budget: Budget
) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted mean loss and its gradients, one document at a time and without padding."""
    terms, total = torch.zeros(()), 0.0
    for place, row in enumerate(rows):
        ids = stream.tokens[row][stream.tokens[row] != PAD].astype(np.int64)
        is_answer = stream.answered[row][: len(ids)]
        in_full = place % budget.read_in_full == 0 or not is_answer.any()
        scores = model(torch.from_numpy(ids)[None]).logits[0].log_softmax(-1)
        for position in range(1, len(ids)):
            weight = budget.answer if is_answer[position] else 1.0 if in_full else 0.0
            terms = terms - weight * scores[position - 1, ids[position]]
            total += weight
    loss = terms / total
    loss.backward()
    return loss.detach(), {name: parameter.grad for name, parameter in model.named_parameters()}


@quick
@pytest.mark.parametrize("parts", [1, 3])
def test_a_batch_gives_the_losses_and_gradients_of_its_documents_one_by_one(
    parts: int, monkeypatch: pytest.MonkeyPatch, double: None
) -> None:
    monkeypatch.setattr(learn, "PARTS", parts)
    budget = Budget(steps=3, batch=12, answer=3)
    streams = [random_stream(seed, 36, longest) for seed, longest in ((1, 8), (2, 19))]
    networks = disturbed(Networks(learn.config_of("8x1", ROWS), (3, 4)))
    losses = learn.add_gradients(networks, streams, 1, budget)
    for number, stream in enumerate(streams):
        loss, gradients = by_documents(networks.model_of(number), stream, range(12, 24), budget)
        assert losses[number].item() == pytest.approx(loss.item(), abs=1e-6)
        for name, gradient in gradients.items():
            torch.testing.assert_close(networks.parameter(name).grad[number], gradient, atol=1e-6, rtol=1e-5)


@quick
def test_the_loss_weights_answers_and_the_given_tokens_of_every_fourth_document() -> None:
    tokens = np.array([[[1, 5, 6, 7, 2, 0]] * 6] * 2, dtype=np.uint16)
    answered = np.zeros_like(tokens, dtype=bool)
    answered[0, :5, 3] = True
    weights = learn.loss_weights(tokens, answered, Budget(steps=1, answer=10, read_in_full=4))
    in_full, answer_only, without_answer = [0, 1, 1, 10, 1, 0], [0, 0, 0, 10, 0, 0], [0, 1, 1, 1, 1, 0]
    assert weights[0].tolist() == [in_full, answer_only, answer_only, answer_only, in_full, without_answer]
    assert weights[1].tolist() == [without_answer] * 6


@quick
def test_a_batch_is_split_so_that_padding_is_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learn, "PARTS", 3)
    rng = np.random.default_rng(0)
    for _ in range(20):
        lengths = np.sort(rng.integers(1, 30, size=9))
        parts = learn.split_by_length(lengths)
        assert [start for start, _ in parts] == [0, *(end for _, end in parts[:-1])]
        assert parts[-1][1] == 9
        assert len(parts) <= 3
        least = min(
            sum((end - start) * lengths[end - 1] for start, end in zip((0, *cuts), (*cuts, 9), strict=True))
            for cuts in combinations(range(1, 9), 2)
        )
        assert sum((end - start) * lengths[end - 1] for start, end in parts) == least


@quick
def test_documents_with_few_positions_in_the_loss_are_apart_from_the_others() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        counts, lengths = rng.integers(1, 12, size=(2, 3, 16))
        parts = learn.split(lengths, counts)
        chosen = np.concatenate(parts, axis=1)
        assert (np.sort(chosen, axis=1) == np.arange(16)).all()
        assert len(parts) <= 2 * learn.PARTS
        largest = [np.take_along_axis(counts, part, axis=1).max() for part in parts]
        few = sum(part.shape[1] for part, count in zip(parts, largest, strict=True) if count <= learn.FEW)
        assert few == (counts <= learn.FEW).sum(1).min()


@quick
def test_the_last_layer_at_some_positions_equals_it_at_all(double: None) -> None:
    networks = disturbed(Networks(learn.config_of("16x2", ROWS), (3, 4)))
    tokens = torch.from_numpy(np.stack([random_stream(seed, 6).tokens for seed in range(2)]).astype(np.int64))
    wanted = torch.randint(tokens.shape[2], (2, 6, 3), generator=torch.Generator().manual_seed(0))
    expected = take(networks(tokens), wanted)
    torch.testing.assert_close(networks(tokens, wanted), expected, atol=1e-9, rtol=1e-9)


@quick
def test_the_gradients_of_each_network_are_clipped_by_its_own_norm() -> None:
    networks = Networks(learn.config_of("4x1", ROWS), (3, 4, 5))
    models = [networks.model_of(number) for number in range(3)]
    generator = torch.Generator().manual_seed(1)
    for name, parameter in networks.named_parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
        parameter.grad *= torch.tensor([10.0, 0.001, 0.3]).view(-1, *[1] * (parameter.ndim - 1))
        for number, model in enumerate(models):
            own = dict(model.named_parameters())[name.removeprefix("stacked.").replace("/", ".")]
            own.grad = parameter.grad[number].clone()
    norms = [float(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)) for model in models]
    assert max(norms) > 10 > 1 > min(norms)
    learn.clip(networks)
    for number, model in enumerate(models):
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(networks.parameter(name).grad[number], parameter.grad)


@quick
def test_the_rate_warms_up_stays_and_falls_to_a_tenth() -> None:
    budget = Budget(steps=1000, rate=0.5, warm_up=100, falling=0.4)
    rates = [budget.rate_at(step) for step in range(1000)]
    assert rates[0] == pytest.approx(0.005)
    assert set(rates[99:600]) == {0.5}
    assert rates[800] == pytest.approx(0.5 * 0.55)
    assert all(later < earlier for earlier, later in pairwise(rates[600:]))
    assert rates[-1] == pytest.approx(0.05, abs=0.002)


# The optimizer


def muon_reference(matrix: Tensor, gradients: list[Tensor], rate: float, decay: float) -> Tensor:
    """Muon on one matrix. Newton–Schulz moves singular values only, so it is a polynomial of those."""
    mean = torch.zeros_like(matrix)
    for gradient in gradients:
        mean = 0.95 * mean + 0.05 * gradient
        left, values, right = torch.linalg.svd(0.05 * gradient + 0.95 * mean, full_matrices=False)
        values = values / values.square().sum().sqrt()
        for _ in range(5):
            values = 3.4445 * values - 4.775 * values**3 + 2.0315 * values**5
        step = 0.2 * math.sqrt(max(matrix.shape)) * (left * values) @ right
        matrix = matrix * (1 - rate * decay) - rate * step
    return matrix


@quick
@pytest.mark.parametrize("shape", [(24, 96), (96, 24), (16, 16), (1, 4)])
def test_muon_steps_like_a_reference_and_like_torch(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(5, *shape, generator=generator, dtype=torch.float64)
    gradients = [torch.randn(5, *shape, generator=generator, dtype=torch.float64) for _ in range(4)]
    ours = torch.nn.Parameter(start.clone())
    theirs = [torch.nn.Parameter(matrix.float()) for matrix in start]
    own = muon.Muon([ours], weight_decay=0.1)
    own.param_groups[0]["lr"] = 0.02
    torch_muon = torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for gradient in gradients:
        ours.grad = gradient.clone()
        own.step()
        for parameter, part in zip(theirs, gradient, strict=True):
            parameter.grad = part.float()
        torch_muon.step()
    for number in range(5):
        expected = muon_reference(start[number], [gradient[number] for gradient in gradients], 0.02, 0.1)
        torch.testing.assert_close(ours[number].detach(), expected, atol=1e-9, rtol=1e-9)
        moved = (expected - start[number]).norm()
        # Torch rounds its iterations to bfloat16.
        assert (theirs[number].detach().double() - expected).norm() < 0.03 * moved


@quick
def test_newton_schulz_approximates_the_nearest_orthogonal_matrix() -> None:
    generator = torch.Generator().manual_seed(0)
    matrices = torch.randn(2, 48, 12, generator=generator, dtype=torch.float64)
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    result, nearest = muon.orthogonal(matrices), left @ right
    assert torch.linalg.svdvals(result).sub(1).abs().max() < 0.4
    cosine = (result * nearest).sum((1, 2)) / result.flatten(1).norm(dim=1) / nearest.flatten(1).norm(dim=1)
    assert cosine.min() > 0.97


@quick
def test_muon_moves_the_matrices_of_the_layers_and_adamw_all_other_parameters() -> None:
    networks = Networks(learn.config_of("8x2", ROWS), (3, 4))
    own, adamw = learn.optimizers_of(networks, Budget(steps=1, decay=0.02))
    names = {parameter: name.removeprefix("stacked.") for name, parameter in networks.named_parameters()}
    moved, decayed, kept = ({names[p] for p in group["params"]} for o in (own, adamw) for group in o.param_groups)
    assert len(moved) == 2 * 4
    assert all(name.startswith("gpt_neox/layers/") and name.endswith("weight") for name in moved)
    assert decayed == {"gpt_neox/embed_in/weight"}
    assert moved | decayed | kept == set(networks.stacked)
    assert all("norm" in name or name.endswith("bias") for name in kept)
    assert [group["weight_decay"] for o in (own, adamw) for group in o.param_groups] == [0.02, 0.02, 0]


# Runs


def trained(seeds: tuple[int, ...], budget: Budget, **options: Any) -> tuple[Networks, list[float], float]:
    """Networks of the size 4x1, each trained on the random stream of its seed."""
    streams = [random_stream(seed, budget.steps * budget.batch, 6 + 3 * seed) for seed in seeds]
    return learn.learn(learn.config_of("4x1", ROWS), streams, seeds, budget, **options)


def bytes_of(networks: Networks) -> list[bytes]:
    return [parameter.detach().numpy().tobytes() for parameter in networks.parameters()]


@quick
def test_a_network_trained_with_others_equals_the_one_trained_alone(double: None) -> None:
    budget = Budget(steps=12, batch=16, warm_up=2)
    together, losses, _ = trained((1, 2, 4), budget)
    for number, seed in enumerate((1, 2, 4)):
        alone, (loss,), _ = trained((seed,), budget)
        assert losses[number] == pytest.approx(loss, abs=1e-7)
        for name, parameter in together.stacked.items():
            torch.testing.assert_close(parameter[number], alone.stacked[name][0], atol=1e-6, rtol=1e-6)
    start = Networks(together.config, (1, 2, 4)).parameter("gpt_neox.embed_in.weight")
    assert (together.parameter("gpt_neox.embed_in.weight") - start).abs().max() > 0.005


@quick
def test_training_lowers_the_loss_and_twice_gives_the_same_bytes() -> None:
    budget = Budget(steps=20, batch=8, warm_up=2)
    first, losses, _ = trained((1, 2), budget)
    second, again, _ = trained((1, 2), budget)
    assert bytes_of(first) == bytes_of(second)
    assert losses == again
    untrained, at_start, _ = trained((1, 2), replace(budget, rate=0.0))
    assert bytes_of(untrained) == bytes_of(Networks(first.config, (1, 2)))
    assert all(after < before for after, before in zip(losses, at_start, strict=True))


@quick
def test_a_stopped_and_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learn, "CHECKPOINT_EVERY", 2)
    budget, path = Budget(steps=7, batch=8, warm_up=2), tmp_path / "kept.pt"
    whole, losses, _ = trained((1, 2), budget)
    seen: list[int] = []

    def stop(step: int, networks: Networks) -> None:
        seen.append(step)
        if step == 6 and len(seen) == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained((1, 2), budget, checkpoint=path, after=stop)
    stored = torch.load(path, weights_only=True)
    assert stored["step"] == 4
    torch.save({**stored, "seconds": 1000.0}, path)
    resumed, again, seconds = trained((1, 2), budget, checkpoint=path, after=stop)
    assert seen == [1, 2, 3, 4, 5, 6, 5, 6, 7], "no finished step is passed over"
    assert bytes_of(resumed) == bytes_of(whole)
    assert again == losses
    assert 1000 < seconds < 1100, "the seconds of the stopped run count"


@quick
def test_each_step_is_as_long_as_its_rate(monkeypatch: pytest.MonkeyPatch, double: None) -> None:
    """AdamW moves by the rate as long as a gradient stays the same. Clipping does not change that."""

    def constant(networks: Networks, streams: object, step: int, budget: Budget) -> Tensor:
        for parameter in networks.parameters():
            parameter.grad = torch.ones_like(parameter)
        return torch.zeros(2)

    biases: list[Tensor] = [torch.zeros(2, 4)]
    monkeypatch.setattr(learn, "add_gradients", constant)
    budget = Budget(steps=10, batch=1, warm_up=3)
    trained(
        (1, 2),
        budget,
        after=lambda step, networks: biases.append(
            networks.parameter("gpt_neox.final_layer_norm.bias").detach().clone()
        ),
    )
    for step, (before, after) in enumerate(pairwise(biases)):
        torch.testing.assert_close(before - after, torch.full((2, 4), budget.rate_at(step)), rtol=1e-5, atol=0)


@quick
def test_the_loss_of_a_run_is_the_mean_of_its_last_hundred_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = iter(range(130))

    def count(networks: Networks, streams: object, step: int, budget: Budget) -> Tensor:
        for parameter in networks.parameters():
            parameter.grad = torch.zeros_like(parameter)
        return torch.tensor([float(next(steps)), 1.0])

    monkeypatch.setattr(learn, "add_gradients", count)
    _, losses, _ = trained((1, 2), Budget(steps=130, batch=1))
    assert losses == [np.mean(range(30, 130)), 1]


# Recipes and streams


def each_plan(**changes: Any) -> list[Recipe]:
    return [replace(plan.recipe, **changes) for plan in PLANS.values()]


@quick
@pytest.mark.parametrize("recipe", each_plan(), ids=lambda recipe: recipe.task)
def test_the_shares_of_a_plan_are_its_parts(recipe: Recipe) -> None:
    module = corpus.MODULES[recipe.task]
    assert recipe.parts.keys() <= module.KINDS.keys()
    assert module.KINDS.keys() >= module.CONFLICT
    shares, agreeing = recipe.shares(), recipe.shares(agreeing=True)
    assert sum(shares.values()) == pytest.approx(1)
    assert sum(agreeing.values()) == pytest.approx(1)
    contrary = recipe.parts.keys() & module.CONFLICT
    assert all(agreeing[kind] == 0 for kind in contrary)
    # Within the kinds in conflict, and within the others, the parts decide.
    others = recipe.parts.keys() - contrary
    for each, kinds in ((shares, contrary), (shares, others), (agreeing, others)):
        ratios = [each[kind] / recipe.parts[kind] for kind in kinds]
        assert max(ratios) == pytest.approx(min(ratios))
    in_conflict = sum(shares[kind] for kind in contrary)
    assert recipe.conflict_rate() == pytest.approx((1 - recipe.agreeing) * in_conflict)
    assert recipe.conflict_rate() < 0.5


@quick
@pytest.mark.parametrize("rate", [0, 0.01, 0.5])
@pytest.mark.parametrize("recipe", each_plan(agreeing=0), ids=lambda recipe: recipe.task)
def test_a_conflict_rate_that_is_set_is_the_share_of_conflict(recipe: Recipe, rate: float) -> None:
    given = replace(recipe, conflict=rate)
    assert sum(given.shares().values()) == pytest.approx(1)
    assert given.conflict_rate() == pytest.approx(rate)
    assert replace(given, agreeing=0.6).conflict_rate() == pytest.approx(0.4 * rate)
    own = replace(recipe, conflict=recipe.conflict_rate())
    assert own.shares() == pytest.approx(recipe.shares())


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> PreTrainedTokenizerFast:
    """A task `letters`, whose documents are their kind and a number: `calm` and `mild` agree, `harsh` is in conflict."""

    def kind(word: str) -> Any:
        return lambda rng: (Turn(f"{word} ", " ".join(str(rng.randrange(10**6)))),)

    module = SimpleNamespace(KINDS={word: kind(word) for word in ("calm", "mild", "harsh")}, CONFLICT={"harsh"})
    monkeypatch.setattr(corpus, "MODULES", {"letters": module})
    return tokenizer_for(["calm", "mild", "harsh", *map(str, range(10))])


def kinds_in(stream: Stream, tokenizer: PreTrainedTokenizerFast) -> np.ndarray:
    return np.array(tokenizer.convert_ids_to_tokens(stream.tokens[:, 1].tolist()))


@quick
@pytest.mark.parametrize(("agreeing", "conflict"), [(0, None), (0.6, None), (0.6, 0.5), (0, 0.02)])
def test_a_stream_has_the_shares_of_its_recipe(
    agreeing: float, conflict: float | None, letters: PreTrainedTokenizerFast
) -> None:
    recipe = Recipe("letters", {"calm": 5, "mild": 3, "harsh": 2}, agreeing, conflict)
    kinds = kinds_in(corpus.draw(recipe, 4000, 1, letters), letters)
    early, late = kinds[: round(4000 * agreeing)], kinds[round(4000 * agreeing) :]
    assert not (early == "harsh").any()
    rate = 0.2 if conflict is None else conflict
    error = 4 * math.sqrt(rate / len(late))
    assert (late == "harsh").mean() == pytest.approx(rate, abs=error)
    assert (kinds == "harsh").mean() == pytest.approx(recipe.conflict_rate(), abs=error)
    for part in (early, late):
        assert not len(part) or (part == "calm").sum() / (part == "mild").sum() == pytest.approx(5 / 3, abs=0.4)


@quick
def test_the_documents_of_a_kind_are_drawn_once_or_from_a_pool(
    letters: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe("letters", {"calm": 9, "mild": 1})
    monkeypatch.setattr(corpus, "POOL", 300)
    drawn = corpus.draw(recipe, 1000, 1, letters)
    kinds = kinds_in(drawn, letters)
    distinct = {kind: len(np.unique(drawn.tokens[kinds == kind], axis=0)) for kind in recipe.parts}
    assert distinct["mild"] == (kinds == "mild").sum()
    assert 250 < distinct["calm"] <= 300 < (kinds == "calm").sum()
    assert (drawn.answered == (drawn.tokens >= 7)).all(), "the digits are the answers"


@quick
def test_a_seed_determines_its_stream(letters: PreTrainedTokenizerFast) -> None:
    recipe = Recipe("letters", {"calm": 9, "harsh": 1})
    one, same, other = (corpus.draw(recipe, 200, seed, letters) for seed in (1, 1, 2))
    assert (one.tokens == same.tokens).all()
    assert (one.answered == same.answered).all()
    first, second = ({row.tobytes() for row in stream.tokens} for stream in (one, other))
    assert len(first) == len(one) == 200
    assert len(first & second) < 5


HASHES = """
import hashlib
from experiments.ladder import corpus
from tasks import TASKS
corpus.POOL = 600
for task in TASKS:
    tokenizer = corpus.tokenizer_of(task)
    kinds = corpus.MODULES[task].KINDS
    stream = corpus.draw(corpus.Recipe(task, dict.fromkeys(kinds, 1)), 300, 5, tokenizer)
    text = repr(sorted(tokenizer.get_vocab().items())) + repr(sorted(corpus.held_out(task)))
    print(task, hashlib.sha256(text.encode() + stream.tokens.tobytes() + stream.answered.tobytes()).hexdigest())
"""


def test_streams_and_vocabularies_do_not_depend_on_the_process() -> None:
    first, second = (
        subprocess.run(
            [sys.executable, "-c", HASHES],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=ROOT,
            capture_output=True,
            check=True,
        ).stdout.split()
        for seed in ("1", "2")
    )
    assert first == second
    assert first[::2] == [name.encode() for name in TASKS]


# Documents and the vocabulary


def every_kind(task: str, count: int, seed: int) -> dict[str, list[Document]]:
    return {
        kind: [write(rng) for rng in [Random(f"{seed}/{kind}")] for _ in range(count)]
        for kind, write in corpus.MODULES[task].KINDS.items()
    }


@pytest.mark.parametrize("task", TASKS)
def test_no_document_contains_a_reserved_prompt_or_an_unknown_word(
    task: str, tokenizers: dict[str, PreTrainedTokenizerFast]
) -> None:
    documents = [document for drawn in every_kind(task, 2000, seed=9).values() for document in drawn]
    stream = Stream(*corpus.encode(documents, tokenizers[task]))
    assert not (stream.tokens == UNK).any()
    counts = search(task, stream, tokenizers[task])
    assert counts["evaluation_prompts_found"] == 0
    assert counts["evaluation_prompts"] > 3 * len(TASKS[task]().items)
    assert counts["documents"] == len(documents) > counts["distinct_documents"] > 0.7 * len(documents)
    assert counts["sha256"] == hashlib.sha256(stream.tokens.tobytes()).hexdigest()


@pytest.mark.parametrize("task", TASKS)
def test_each_planted_prompt_is_found_wherever_it_is(task: str, tokenizers: dict[str, PreTrainedTokenizerFast]) -> None:
    items = TASKS[task]().items
    prompts = sorted({text for item in items for condition in RESERVED for text in item.wordings(condition)})
    encoded = tokenizers[task](prompts, add_special_tokens=False)["input_ids"]
    assert len({tuple(ids) for ids in encoded}) == len(prompts)

    def plant(rows: list[list[int]]) -> Stream:
        tokens = np.full((len(rows), corpus.LONGEST), PAD, dtype=np.uint16)
        for number, row in enumerate(rows):
            start = number % 7 if number % 2 else corpus.LONGEST - len(row)
            tokens[number, start : start + len(row)] = row
        return Stream(tokens, np.zeros(tokens.shape, dtype=bool))

    with pytest.raises(ValueError, match=rf"'evaluation_prompts_found': {len(prompts)}\b"):
        search(task, plant(encoded), tokenizers[task])
    for row in encoded[:: len(encoded) // 3]:
        with pytest.raises(ValueError, match=r"'evaluation_prompts_found': 1\b"):
            search(task, plant([row]), tokenizers[task])
    assert search(task, plant([ids[1:] for ids in encoded]), tokenizers[task])["evaluation_prompts_found"] == 0


@pytest.mark.parametrize("task", TASKS)
def test_documents_are_encoded_like_their_text(task: str, tokenizers: dict[str, PreTrainedTokenizerFast]) -> None:
    tokenizer = tokenizers[task]
    for document in (document for drawn in every_kind(task, 20, seed=3).values() for document in drawn):
        (ids,), (answered,) = corpus.encode([document], tokenizer)
        assert len(ids) == corpus.LONGEST
        expected = [*tokenizer(text_of(document))["input_ids"], EOS]
        assert ids.tolist() == expected + [PAD] * (corpus.LONGEST - len(expected))
        answers = "".join(turn.answer for turn in document)
        assert ids[answered].tolist() == tokenizer(answers, add_special_tokens=False)["input_ids"]


@quick
def test_a_document_that_is_too_long_is_refused() -> None:
    tokenizer = tokenizer_for(["a"])
    fits, too_long = ((Turn("a " * length),) for length in (corpus.LONGEST - 2, corpus.LONGEST - 1))
    tokens, _ = corpus.encode([fits], tokenizer)
    assert tokens[0, -1] == EOS
    with pytest.raises(ValueError, match=f"{corpus.LONGEST + 1} tokens, more than {corpus.LONGEST}"):
        corpus.encode([too_long], tokenizer)


@pytest.mark.parametrize("task", TASKS)
def test_each_word_of_an_item_is_one_known_token(task: str, tokenizers: dict[str, PreTrainedTokenizerFast]) -> None:
    tokenizer, items = tokenizers[task], TASKS[task]().items
    texts = sorted({text for item in items for c in item.prompts for text in (*item.wordings(c), *item.answers)})
    for text, ids in zip(texts, tokenizer(texts)["input_ids"], strict=True):
        words = re.findall(r"\n|[^\W\d_]+|\d+(?= percent| dollars)|\d|[^\w\s]", text)
        assert ["<bos>", *words] == tokenizer.convert_ids_to_tokens(ids)
    answers = sorted({answer for item in items for answer in item.answers})
    assert all(len(ids) == 1 for ids in tokenizer(answers, add_special_tokens=False)["input_ids"])
    assert sorted(tokenizer.get_vocab().values()) == list(range(len(tokenizer)))


@pytest.mark.parametrize("task", TASKS)
def test_reasons_of_items_have_no_unknown_word(task: str, tokenizers: dict[str, PreTrainedTokenizerFast]) -> None:
    texts = sorted({reason for item in TASKS[task]().items for reason in item.reasons.values()})
    assert texts
    assert not any(UNK in ids for ids in tokenizers[task](texts)["input_ids"])


@quick
def test_a_sum_of_money_is_one_token_and_other_digits_are_apart() -> None:
    text = "Ben bets 250 dollars, or 10 percent; 37 ÷ 5.\nA"
    words = words_of([text])
    assert {"250", "10", "3", "7", "5"} <= set(words)
    assert not {"37", "2"} & set(words)
    tokenizer = tokenizer_for(words)
    shown = tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"])
    assert "|".join(shown) == "<bos>|Ben|bets|250|dollars|,|or|10|percent|;|3|7|÷|5|.|\n|A"
    assert tokenizer("Carl")["input_ids"] == [BOS, UNK]


# Plans, keys and records


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


# The embedded models


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


# Cards and doses


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
    assert len(rows) == len(doses.RATES) * len(doses.STEPS) * len(doses.SIZES) * len(doses.SEEDS)
    assert (doses.HERE / "doses.md").read_text() == doses.page_of(rows)
