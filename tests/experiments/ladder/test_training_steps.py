"""A step of training: the loss and its gradients, the learning rate, and the optimizer."""

import math
from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import GPTNeoXForCausalLM

from experiments.ladder import learn, muon
from experiments.ladder.corpus import Stream
from experiments.ladder.learn import Budget
from experiments.ladder.network import Networks, take
from experiments.ladder.vocabulary import PAD
from random_networks import ROWS, disturbed, random_stream

quick = pytest.mark.quick


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
