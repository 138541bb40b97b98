"""The lens ends at the model's output, equals Hugging Face's hidden states, and finds the planted layer."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from transformers import OPTConfig

import tiny
import wired
from conftest import Hooked
from distractor.attribution.attribute import divergence_of
from distractor.errors import ModelError
from distractor.models.hooked_model import HookedModel
from distractor.models.load import load
from distractor.probing.measure import measure
from distractor.probing.probe_results import ProbeResults
from distractor.probing.run import batch, observe
from distractor.scoring.encode import encode
from distractor.scoring.quantities import coverage, logit_gap, preference
from distractor.statistics.divergence import divergence
from distractor.text.task import Condition
from probes.logit_lens import LogitLens

EVERY = list(tiny.ARCHITECTURES)
CONFLICT, CONGRUENT = Condition.CONFLICT, Condition.CONGRUENT


def known(hooked: Hooked, architecture: str, dtype: str = "float64") -> HookedModel:
    return hooked(architecture, "bytes", dtype)


@pytest.mark.parametrize("architecture", EVERY)
def test_the_last_stage_is_the_output_of_the_plain_model(hooked: Hooked, architecture: str) -> None:
    model = known(hooked, architecture)
    encoding = encode(tiny.task(), model)
    lens = measure(model, tiny.task(), LogitLens(), encoding).isel(stage=-1)
    network: Any = tiny.plain(model.name)
    for condition in encoding.task.conditions:
        for item, row in list(zip(encoding.items, encoding.rows[condition], strict=True))[::3]:
            if row is None:
                continue
            with torch.no_grad():
                own = torch.log_softmax(network(torch.tensor([row.prompt])).logits[0, -1], -1)
            both = np.array([float(own[answer[0]]) for answer in row.answers])
            here = lens.sel(condition=str(condition), item=item.id)
            expected = [float(quantity(both[None])[0]) for quantity in (logit_gap, preference, coverage)]
            assert_allclose(here, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("architecture", ["gpt2", "llama_grouped_tied"])
def test_whole_layers_equal_the_unembedded_hidden_states_of_hugging_face(hooked: Hooked, architecture: str) -> None:
    model = known(hooked, architecture)
    encoding = encode(tiny.task(), model)
    lens = measure(model, tiny.task(), LogitLens(), encoding).sel(quantity="logit_gap", condition="congruent")
    network: Any = tiny.plain(model.name)
    norm = network.transformer.ln_f if architecture == "gpt2" else network.model.norm
    for place, row in enumerate(encoding.rows[CONGRUENT]):
        assert row is not None
        with torch.no_grad():
            states = network(torch.tensor([row.prompt]), output_hidden_states=True).hidden_states
            logits = [network.lm_head(norm(state[0, -1])) for state in states[:-1]]
        expected = [float(one[row.answers[0][0]] - one[row.answers[1][0]]) for one in logits]
        found = lens.isel(item=place).sel(stage=["L0.resid_pre", "L0.resid_post"])
        assert_allclose(found, expected, atol=1e-6, rtol=0)


def test_the_stage_between_the_halves_is_the_input_of_the_mlp(hooked: Hooked) -> None:
    model = known(hooked, "llama")
    mid = measure(model, tiny.task(), LogitLens()).sel(stage="L1.resid_mid", quantity="logit_gap", condition="conflict")
    network: Any = tiny.plain(model.name)
    encoding = encode(tiny.task(), model)
    seen: list[torch.Tensor] = []
    layer = network.model.layers[1]
    handle = layer.post_attention_layernorm.register_forward_pre_hook(lambda _, given: seen.append(given[0][0, -1]))
    for place, row in enumerate(encoding.rows[CONFLICT]):
        assert row is not None
        with torch.no_grad():
            network(torch.tensor([row.prompt]))
            logits = network.lm_head(network.model.norm(seen[-1]))
        assert float(mid[place]) == pytest.approx(
            float(logits[row.answers[0][0]] - logits[row.answers[1][0]]), abs=1e-6
        )
    handle.remove()


def test_every_condition_is_read_and_a_missing_prompt_is_absent(hooked: Hooked) -> None:
    task = tiny.task()
    first = replace(task.items[0], prompts={c: t for c, t in task.items[0].prompts.items() if c != Condition.NEUTRAL})
    reading = measure(known(hooked, "gpt2"), replace(task, items=(first, *task.items[1:])), LogitLens())
    assert list(reading.condition.values) == [str(c) for c in task.conditions]
    assert list(reading.coords["item"].values) == [item.id for item in task.items]
    absent = np.isnan(reading).all(("quantity", "stage"))
    assert absent.sel(condition="neutral").values.tolist() == [True] + [False] * 11
    assert not absent.sel(condition="conflict").any()
    assert "condition" in reading.attrs["absent"]


def test_norms_after_the_sum_are_refused(tmp_path: Path) -> None:
    make = partial(
        OPTConfig, hidden_size=16, ffn_dim=24, word_embed_proj_dim=8, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=tiny.CONTEXT, do_layer_norm_before=False,
    )  # fmt: skip
    tokenizer = tiny.word_level(tiny.words_of(*tiny.texts_of(tiny.task())))
    model = load(tiny.save(tmp_path, make, tokenizer), device="cpu", dtype="float64").hooked
    with pytest.raises(ModelError, match="norm after each sum"):
        measure(model, tiny.task(), LogitLens())


def test_half_precision_is_refused(hooked: Hooked) -> None:
    with pytest.raises(ModelError, match=r"bfloat16.*use --dtype float32"):
        measure(known(hooked, "gpt2", "bfloat16"), tiny.task(), LogitLens())


def test_a_last_stage_that_differs_from_the_model_is_refused(hooked: Hooked) -> None:
    model, probe = known(hooked, "gpt2"), LogitLens()
    together = batch(encode(tiny.task(), model), model, (CONFLICT,))
    run = observe(model, together, probe.sites(model), slot_parts=probe.slot_parts)
    with pytest.raises(ModelError, match="do not give what the model answers"):
        probe(replace(run, log_probs=run.log_probs * 2))


def planted(folder: Path, **strengths: float) -> HookedModel:
    """The mechanism in the second of three layers."""
    flat = wired.save(folder / "flat", wired.Strengths(**strengths))
    return load(wired.deepen(flat, folder / "deep", at=1, layers=3), device="cpu", dtype="float64").hooked


def test_the_lens_diverges_at_the_planted_layer(tmp_path: Path) -> None:
    reading = measure(planted(tmp_path, first=1.0, second=2.0), wired.task(), LogitLens())
    gap = reading.sel(quantity="logit_gap").mean("item")
    before = ["L0.resid_pre", "L0.resid_mid", "L0.resid_post"]
    assert_allclose(gap.sel(stage=before), 0, atol=1e-9)
    later = ["L1.resid_mid", "L1.resid_post", "L2.resid_mid", "L2.resid_post"]
    assert_allclose(gap.sel(stage=later, condition="conflict"), 1, atol=0.01)
    assert_allclose(gap.sel(stage=later, condition="congruent"), -3, atol=0.01)
    found = parting_of(reading)
    assert found.stage == found.low == found.high == 3
    assert reading.stage.values[3] == "L1.resid_mid"


def test_without_a_true_path_conflict_and_congruent_do_not_diverge(tmp_path: Path) -> None:
    found = parting_of(measure(planted(tmp_path, first=1.0, second=0.0), wired.task(), LogitLens()))
    assert (found.stage, found.low, found.high) == (None, None, None)


def parting_of(reading: Any) -> Any:
    gap = reading.sel(quantity="logit_gap").transpose("condition", "stage", "item")
    difference = (gap.sel(condition="conflict").values - gap.sel(condition="congruent").values).reshape(
        len(reading.stage), -1, 2
    )
    return divergence(difference.mean(-1), np.full(difference.shape[1], 2.0))


# Divergence of simulated curves.


def curves(step: int, stages: int = 8, groups: int = 40, noise: float = 0.3, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    rises = (np.arange(stages) >= step).astype(float)
    return 2 * rises[:, None] * (1 + 0.2 * random.normal(size=groups)) + noise * random.normal(size=(stages, groups))


@pytest.mark.parametrize("step", [1, 4, 7])
@pytest.mark.parametrize("sign", [1, -1])
def test_simulated_curves_diverge_at_the_planted_stage(step: int, sign: int) -> None:
    found = divergence(sign * curves(step), np.ones(40))
    assert found.stage == found.low == found.high == step


def test_a_short_early_difference_is_not_a_divergence() -> None:
    made = curves(5)
    made[2] += 3
    assert divergence(made, np.ones(40)).stage == 5


def test_the_interval_covers_the_stage_where_half_is_reached() -> None:
    """The mean curve is a line that reaches half of its end at stage 4; the coverage is checked over new draws of
    groups.
    """
    covered = 0
    for seed in range(60):
        random = np.random.default_rng(seed)
        slope = np.linspace(0, 2, 9)[:, None] + 0.5 * random.normal(size=(9, 40))
        found = divergence(slope, np.ones(40))
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 4 <= found.high
    assert covered >= 54


def test_curves_with_equal_ends_do_not_diverge() -> None:
    alike = sum(divergence(curves(99, seed=seed), np.ones(40)).stage is not None for seed in range(60))
    assert alike <= 9


def test_a_lens_over_too_few_groups_has_no_divergence(tmp_path: Path) -> None:
    reading = measure(planted(tmp_path), wired.task(1), LogitLens())
    from distractor.models.source import Source
    from distractor.probing.readings import Reading, stored
    from distractor.scoring.settings import Settings

    read = Reading(Source("wired", "wired", tmp_path), stored(reading))
    assert divergence_of(ProbeResults(wired.task(1), Settings(), (), {}), read) is None
