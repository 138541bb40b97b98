"""The linear probe equals slow computations; it finds the planted layer, and its controls do not."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from xarray import DataArray

import tiny
import wired
from conftest import Hooked
from distractor.errors import TaskError
from distractor.models.load import load
from distractor.probing.measure import measure
from distractor.probing.run import batch
from distractor.scoring.encode import encode
from distractor.text.task import Condition
from probes import linear_probe
from probes.linear_probe import PENALTIES, LinearProbe, fit

PAIR = (Condition.CONFLICT, Condition.CONGRUENT)


def data(rows: int = 30, d: int = 5, labels: int = 2, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(seed)
    x = random.normal(size=(2, rows, d)) * random.uniform(0.1, 5, d) + random.normal(size=d)
    y = np.sign(x[0] @ random.normal(size=(d, labels)) + random.normal(size=(rows, labels))).T
    return torch.tensor(x), torch.tensor(y), torch.tensor(random.normal(size=(2, 7, d)))


def by_descent(x: np.ndarray, y: np.ndarray, new: np.ndarray, penalty: float) -> np.ndarray:
    """Ridge regression on standardised features with a free intercept, by general minimisation."""
    mean, spread = x.mean(0), x.std(0)
    z, z_new = (x - mean) / spread, (new - mean) / spread

    def loss(w: np.ndarray) -> float:
        return float(((y - z @ w[1:] - w[0]) ** 2).sum() + penalty * len(x) * (w[1:] ** 2).sum())

    w = minimize(loss, np.zeros(x.shape[1] + 1), method="BFGS", options={"gtol": 1e-10}).x
    return np.asarray(z_new @ w[1:] + w[0])


@pytest.mark.parametrize("penalty", [1e-2, 1.0])
def test_the_fit_is_ridge_regression(monkeypatch: pytest.MonkeyPatch, penalty: float) -> None:
    monkeypatch.setattr(linear_probe, "PENALTIES", (penalty,))
    x, y, new = data()
    found = fit(x, y, new)
    for label in range(2):
        for stage in range(2):
            expected = by_descent(x[stage].numpy(), y[label].numpy(), new[stage].numpy(), penalty)
            assert_allclose(found[label, stage], expected, atol=1e-5)


def test_the_penalty_minimises_the_leave_one_out_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Features are standardised once for all rows, as in the closed form."""
    x, y, new = data(rows=20, labels=1, seed=3)
    z = ((x - x.mean(1, keepdim=True)) / x.std(1, correction=0, keepdim=True)).numpy()
    for stage in range(2):
        errors = []
        for penalty in PENALTIES:
            design = np.hstack([np.ones((20, 1)), z[stage]])
            size = np.diag([0.0] + [penalty * 20] * 5)
            off = []
            for out in range(20):
                rest = np.arange(20) != out
                a = design[rest]
                w = np.linalg.solve(a.T @ a + size, a.T @ y[0].numpy()[rest])
                off.append(float(y[0, out]) - design[out] @ w)
            errors.append(np.mean(np.square(off)))
        best = PENALTIES[int(np.argmin(errors))]
        chosen = fit(x, y, new)[0, stage]
        with monkeypatch.context() as patch:
            patch.setattr(linear_probe, "PENALTIES", (best,))
            assert_allclose(chosen, fit(x, y, new)[0, stage], atol=1e-9)


def test_constant_features_have_no_influence() -> None:
    x, y, new = data()
    still = torch.cat([x, torch.full_like(x[..., :1], 7.0)], -1)
    assert_allclose(fit(still, y, torch.cat([new, new[..., :1]], -1)), fit(x, y, new), atol=1e-9)
    assert_allclose(fit(torch.ones_like(x), y, new), y.mean(1)[:, None, None].expand(2, 2, 7), atol=1e-9)


def test_the_bag_of_tokens_is_fitted_once_and_gives_the_same_result_at_every_stage(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried, asked = linear_probe._are_predicted, []
    monkeypatch.setattr(linear_probe, "_are_predicted", lambda *of: asked.append(of) or tried(*of))
    reading = measure(hooked("gpt2", "words_bos"), tiny.task(), LinearProbe())
    bag = next(of for of in asked if torch.equal(of[0], of[0].round()))
    stages = reading.sizes["stage"]
    assert [len(features) for features, *_ in asked] == [stages, stages, 1, stages]
    slow = tried(bag[0].expand(stages, -1, -1), *bag[1:]).numpy()
    found = reading.sel(control="bag_of_tokens").values
    assert np.array_equal(found.reshape(slow.shape), slow)


def test_labels_are_the_distractors_answer_the_cue_and_their_exclusive_or(tmp_path: Path) -> None:
    model = load(wired.save(tmp_path, wired.Strengths()), device="cpu", dtype="float64").hooked
    together = batch(encode(wired.task(), model), model, PAIR)
    labels = linear_probe._labels(together)
    letter = {" A": -1.0, " B": 1.0}
    items = together.items
    assert labels["cue"].tolist() == [1.0] * len(items) + [-1.0] * len(items)
    assert labels["distractor_answer"].tolist() == [letter[item.distractor] for item in items] * 2
    right = [letter[item.true] for item in items] + [letter[item.distractor] for item in items]
    assert labels["right_answer"].tolist() == right


def test_answers_that_differ_between_items_are_not_decoded(hooked: Hooked) -> None:
    assert measure(hooked("gpt2", "words_bos"), tiny.task(), LinearProbe()).label.values.tolist() == ["cue"]


def test_features_that_identify_the_group_predict_nothing_in_other_groups() -> None:
    groups = np.repeat(np.arange(20), 4)
    own = torch.tensor(np.eye(20)[groups])[None]
    label = torch.tensor(np.where(groups % 2 == 0, 1.0, -1.0))[None]
    by_group, dealt = torch.tensor(groups % 5), torch.tensor(np.arange(80) % 4)
    assert linear_probe._are_predicted(own, label, dealt).mean() == 1, (
        "the same groups on both sides: all is remembered"
    )
    assert linear_probe._are_predicted(own, label, by_group).mean() <= 0.5


def test_random_labels_belong_to_groups_and_are_balanced() -> None:
    groups = np.repeat(np.arange(10), 3)
    drawn = linear_probe._random_labels(groups, 4, 0)
    assert all(len(set(row[groups == g])) == 1 for row in drawn for g in range(10))
    assert (drawn.sum(1) == 0).all()
    assert len({tuple(row) for row in drawn}) == 4


def test_one_group_is_refused(hooked: Hooked) -> None:
    with pytest.raises(TaskError, match="all 2 items are of the group 'Paris/Rome'"):
        measure(hooked("gpt2", "words_bos"), tiny.task().take(2), LinearProbe())
    with pytest.raises(ValueError, match="1 folds leave no other items"):
        LinearProbe(folds=1)


def accuracy(folder: Path, **strengths: float) -> DataArray:
    flat = wired.save(folder / "flat", wired.Strengths(**strengths))
    model = load(wired.deepen(flat, folder / "deep", at=1, layers=3), device="cpu", dtype="float64").hooked
    return measure(model, wired.task(15), LinearProbe()).mean(("condition", "item"))


def test_the_planted_layer_is_found_and_the_controls_find_nothing(tmp_path: Path) -> None:
    found = accuracy(tmp_path, first=1.0, second=2.0)
    right = found.sel(label="right_answer")
    assert right.stage.values.tolist() == ["L0.resid_pre", "L0.resid_post", "L1.resid_post", "L2.resid_post"]
    assert_allclose(right.sel(control="model"), [0.5, 0.5, 1, 1], atol=1e-12)
    assert (right.sel(control="random_labels") < 0.65).all()
    # In `A and A` the words alone give the right answer; in `A but B` they do not.
    assert (right.sel(control="bag_of_tokens") == 0.75).all()
    # In the sum of both letters, the first one is hidden by a larger value, so no line separates the four sums by it.
    assert (found.sel(label="distractor_answer", control="model") < 0.8).all()
    assert (found.sel(label="cue", control="bag_of_tokens") == 1).all()


def test_a_model_of_the_distractor_task_alone_shows_only_its_answer(tmp_path: Path) -> None:
    found = accuracy(tmp_path, first=1.0, second=0.0).sel(control="model", stage="L2.resid_post")
    assert float(found.sel(label="distractor_answer")) == 1
    assert float(found.sel(label="right_answer")) == 0.5
    assert float(found.sel(label="cue")) == 0.5


@pytest.mark.parametrize("architecture", ["gpt_neox", "llama_grouped_tied", "gemma3"])
def test_an_untrained_model_of_the_same_architecture_can_be_made(hooked: Hooked, architecture: str) -> None:
    model = hooked(architecture, "words_bos")
    before: Any = {name: value.clone() for name, value in model.bridge.state_dict().items()}
    state = torch.random.get_rng_state()
    first, again, other = model.make_untrained(0), model.make_untrained(0), model.make_untrained(1)
    assert torch.equal(torch.random.get_rng_state(), state)
    tokens, keep = torch.arange(6)[None], torch.tensor([5])
    assert first.dtype == model.dtype
    assert torch.equal(first.log_probs(tokens, keep), again.log_probs(tokens, keep))
    assert not torch.allclose(first.log_probs(tokens, keep), other.log_probs(tokens, keep))
    assert all(torch.equal(value, before[name]) for name, value in model.bridge.state_dict().items())


def test_the_reading_is_the_same_each_time(hooked: Hooked) -> None:
    model = hooked("llama", "words_bos")
    first = measure(model, tiny.task(), LinearProbe())
    assert first.identical(measure(model, tiny.task(), LinearProbe()))
    other = measure(model, tiny.task(), replace(LinearProbe(), seed=1))
    assert not np.array_equal(first.sel(control="random_labels"), other.sel(control="random_labels"))
