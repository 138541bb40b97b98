"""Runs of training: equal bytes, stopped runs, and what a run reports."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from experiments.ladder import learn
from experiments.ladder.learn import Budget
from experiments.ladder.network import Networks
from random_networks import ROWS, random_stream

quick = pytest.mark.quick


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
