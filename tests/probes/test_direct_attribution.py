"""The parts sum exactly to the gap in every architecture, and equal those of TransformerLens if it is right."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

import tiny
import wired
from conftest import Hooked
from distractor.errors import ModelError
from distractor.models.hooked_model import HookedModel
from distractor.models.load import load
from distractor.probing.measure import measure
from distractor.probing.run import Run, batch, observe
from distractor.scoring.encode import encode
from distractor.text.task import Condition
from probes.direct_attribution import DirectAttribution

EVERY = list(tiny.ARCHITECTURES)
PAIR = (Condition.CONFLICT, Condition.CONGRUENT)


def gap(model: HookedModel) -> np.ndarray:
    return observe(model, batch(encode(tiny.task(), model), model, PAIR)).gap.numpy()


@pytest.mark.parametrize("architecture", EVERY)
def test_parts_sum_to_the_gap_and_roles_sum_to_their_part(hooked: Hooked, architecture: str) -> None:
    model = hooked(architecture, "bytes")
    encoding = encode(tiny.task(), model)
    whole = measure(model, tiny.task(), DirectAttribution(), encoding)
    by_role = measure(model, tiny.task(), DirectAttribution(by_role=True), encoding)
    assert_allclose(whole.sum("component"), gap(model), atol=1e-9, rtol=0)
    assert_allclose(by_role.sum(("component", "role")), gap(model), atol=1e-9, rtol=0)
    assert_allclose(by_role.sum("role"), whole, atol=1e-9, rtol=0)
    heads = [name for name in whole.component.values if name.endswith(".z")]
    assert heads == [f"L{layer}H{head}.z" for layer in (0, 1) for head in range(4)]
    assert (np.abs(whole.sel(component=heads)).mean(("condition", "item")) > 1e-6).all()


def test_components_other_than_heads_count_at_the_slot(hooked: Hooked) -> None:
    by_role = measure(hooked("gpt2", "words_bos"), tiny.task(), DirectAttribution(by_role=True))
    others = [name for name in by_role.component.values if not name.endswith(".z")]
    assert {"embed", "L0.attn_bias", "L0.mlp_out", "final_norm.bias"} <= set(others)
    other_roles = [role for role in by_role.role.values if role != "slot"]
    assert (by_role.sel(component=others, role=other_roles) == 0).all()
    assert (np.abs(by_role.sel(component="L1H0.z").mean(("condition", "item"))) > 0).all(), "a head reads every role"


@pytest.mark.parametrize("architecture", ["gpt2", "gpt_neox", "llama", "gemma2", "gemma3"])
def test_float32_sums_within_its_rounding_error(hooked: Hooked, architecture: str) -> None:
    model = hooked(architecture, "words_bos", "float32")
    assert_allclose(measure(model, tiny.task(), DirectAttribution()).sum("component"), gap(model), atol=1e-4, rtol=0)


@pytest.mark.parametrize("architecture", ["gpt2", "gpt_neox", "llama", "qwen2"])
def test_parts_equal_those_of_transformer_lens(hooked: Hooked, architecture: str) -> None:
    from transformer_lens.model_bridge import TransformerBridge
    from transformer_lens.tools.analysis import direct_logit_attribution

    model = hooked(architecture, "bytes", "float32")
    ours = measure(model, tiny.task(), DirectAttribution()).sel(condition="conflict")
    other = TransformerBridge.boot_transformers(model.name, device="cpu", tokenizer=model.tokenizer)
    other.enable_compatibility_mode(no_processing=False)
    other.eval()
    together = batch(encode(tiny.task(), model), model, PAIR)
    found: dict[str, list[float]] = {}
    for tokens, length, (true, distractor) in zip(together.tokens[0], together.lengths, together.answers, strict=True):
        with torch.no_grad():
            theirs = direct_logit_attribution(other, tokens[None, :length], true[None], distractor[None])
        for name, value in zip(theirs.labels, theirs.attribution[:, 0].tolist(), strict=True):
            found.setdefault(name, []).append(value)
    for layer in (0, 1):
        heads = [name for name in ours.component.values if name.startswith((f"L{layer}H", f"L{layer}.attn"))]
        ours_attn, ours_mlp = ours.sel(component=heads).sum("component"), ours.sel(component=f"L{layer}.mlp_out")
        # Folding moves biases between components; for all items the difference is the same, up to the norm's scale.
        if architecture in ("llama", "qwen2"):
            assert_allclose(found[f"{layer}_attn_out"], ours_attn, atol=1e-4, rtol=0)
            assert_allclose(found[f"{layer}_mlp_out"], ours_mlp, atol=1e-4, rtol=0)
    embed = np.array(found["embed"]) + np.array(found.get("pos_embed", 0))
    assert_allclose(embed, ours.sel(component="embed"), atol=1e-4, rtol=0)


def capped(folder: Path, cap: float | None) -> HookedModel:
    """The Gemma of `folder` with another cap on its logits."""
    config = json.loads((folder / "config.json").read_text())
    copy = shutil.copytree(folder, folder.parent / f"cap-{cap}")
    (copy / "config.json").write_text(json.dumps({**config, "final_logit_softcapping": cap}))
    return load(copy, device="cpu", dtype="float64").hooked


def test_capping_the_logits_has_a_separate_row(tmp_path: Path) -> None:
    tokenizer = tiny.word_level(tiny.words_of(*tiny.texts_of(tiny.task())))
    gemma = tiny.save(tmp_path / "gemma", tiny.ARCHITECTURES["gemma2"], tokenizer)
    model, free = capped(gemma, 2.0), capped(gemma, None)
    parts = measure(model, tiny.task(), DirectAttribution())
    assert "soft_cap" not in measure(free, tiny.task(), DirectAttribution()).component
    assert_allclose(parts.sum("component"), gap(model), atol=1e-9, rtol=0)
    assert_allclose(parts.drop_sel(component="soft_cap").sum("component"), gap(free), atol=1e-9, rtol=0)
    assert np.abs(parts.sel(component="soft_cap")).max() > 0.1


def test_a_sum_that_differs_from_the_gap_is_refused(hooked: Hooked) -> None:
    model, probe = hooked("gpt2", "words_bos"), DirectAttribution()
    together = batch(encode(tiny.task(), model), model, PAIR)
    run: Run = observe(model, together, probe.sites(model), slot_parts=probe.slot_parts)
    assert_allclose(probe(run).sum("component"), run.gap, atol=1e-9, rtol=0)
    with pytest.raises(ModelError, match="sum to another gap than the model's"):
        probe(replace(run, log_probs=run.log_probs * 1.001))


def test_all_positions_and_the_slot_alone_give_the_same(hooked: Hooked) -> None:
    model, probe = hooked("llama_grouped_tied", "bytes"), DirectAttribution()
    together = batch(encode(tiny.task(), model), model, PAIR)
    assert together.lengths.unique().numel() > 1, "prompts are of one length, and the test shows little"
    at_slot = observe(model, together, probe.sites(model), slot_parts=probe.slot_parts)
    everywhere = observe(model, together, probe.sites(model))
    assert_allclose(probe(at_slot), probe(everywhere), atol=1e-12, rtol=0)
    site = probe.sites(model)[0]
    assert at_slot.seen[site].shape[2] == 1
    assert at_slot.seen[site].numel() * together.tokens.shape[-1] == everywhere.seen[site].numel()


def wire(folder: Path, **strengths: float) -> Any:
    model = load(wired.save(folder, wired.Strengths(**strengths)), device="cpu", dtype="float64").hooked
    return measure(model, wired.task(), DirectAttribution(by_role=True)).mean("item")


def test_the_planted_heads_have_their_output_and_its_source(tmp_path: Path) -> None:
    found = wire(tmp_path, first=1.0, second=2.0, detector=0.5)
    for condition, second in (("conflict", 2.0), ("congruent", -2.0)):
        here = found.sel(condition=condition)
        assert_allclose(here.sel(component="L0H0.z", role="first"), -1, atol=0.01)
        assert_allclose(here.sel(component="L0H1.z", role="second"), second, atol=0.02)
        rest = here.sum() - here.sel(component="L0H0.z", role="first") - here.sel(component="L0H1.z", role="second")
        assert_allclose(rest, 0, atol=1e-4)
    assert_allclose(found.sel(component="L0H3.z"), 0, atol=1e-12)
