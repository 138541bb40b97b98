"""Edits: writing back changes nothing, other edits have their effect, and edits without effect are detected."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch.testing import assert_close

import tiny
from conftest import Hooked
from distractor.errors import ModelError
from distractor.models import hooked_model, hooks
from distractor.models.hook_check import check_hooks
from distractor.models.hooked_model import HookedModel
from distractor.models.hooks import HOOKS
from distractor.models.load import load
from distractor.models.site import Part, Site
from distractor.probing.measure import measure
from distractor.probing.patching import first_order_effects, patched_gap
from distractor.probing.run import Batch, batch, observe
from distractor.scoring import pass_size
from distractor.scoring.encode import Encoded, encode
from distractor.scoring.pass_size import rows_per_pass
from distractor.scoring.score import score
from distractor.text.task import Condition
from probes.ablation import Ablation

EVERY = list(tiny.ARCHITECTURES)
PARTS: list[Part] = list(HOOKS)
REWRITTEN = ("pattern", "resid_mid")
"""Parts that are written through other parts, exact up to rounding."""
PAIR = (Condition.CONFLICT, Condition.CONGRUENT)


def batched(model: HookedModel) -> Batch:
    return batch(encode(tiny.task(), model), model, PAIR)


def hooks_left(model: HookedModel) -> int:
    return sum(len(point.fwd_hooks) + len(point._forward_hooks) for point in model.bridge.hook_dict.values())


@pytest.mark.parametrize("architecture", EVERY)
def test_writing_back_the_activations_that_were_read_changes_nothing(hooked: Hooked, architecture: str) -> None:
    model = hooked(architecture, "bytes")
    sites = [Site(layer, part) for layer in range(2) for part in model.parts] + [Site(0, "z", 2), Site(1, "pattern", 3)]
    run = observe(model, batched(model), sites)
    error = 1e-6 if architecture == "gemma2" else 1e-9  # Gemma 2 uses a float32 softmax
    for site in sites:
        again = run.again({site: run.seen[site]}).log_probs
        assert_close(again, run.log_probs, atol=error if site.part in REWRITTEN else 0, rtol=0)
    assert_close(run.again(run.seen).log_probs, run.log_probs, atol=error, rtol=0)


@pytest.mark.parametrize("architecture", EVERY)
def test_the_last_residual_of_the_other_condition_gives_its_gap(hooked: Hooked, architecture: str) -> None:
    model = hooked(architecture, "bytes")
    streams: list[Part] = [part for part in ("resid_pre", "resid_mid", "resid_post") if part in model.parts]
    sites = [Site(layer, part) for layer in range(2) for part in streams]
    run = observe(model, batched(model), sites)
    assert (run.gap[0] - run.gap[1]).abs().max() > 0.01, "the conditions are alike, and the test shows nothing"
    for site in sites:
        assert_close(run.again({site: run.seen[site].flip(0)}).gap, run.gap.flip(0), atol=1e-9, rtol=0)


@pytest.mark.parametrize("architecture", EVERY)
def test_every_head_and_part_has_a_different_effect(hooked: Hooked, architecture: str) -> None:
    model = hooked(architecture, "bytes")
    sites = [Site(0, "z", head=head) for head in range(4)] + [Site(0, part) for part in model.parts]
    run = observe(model, batched(model), sites)
    random = torch.Generator().manual_seed(0)
    noise = {site: torch.randn(run.seen[site].shape, generator=random, dtype=torch.float64) for site in sites}
    moved = torch.stack([run.again({site: noise[site]}).gap for site in sites] + [run.gap])
    for k, site in enumerate(sites):
        assert ((moved - moved[k]).abs().amax((1, 2)) > 1e-6).sum() == len(sites), site
    heads = sites[:4]
    whole = torch.stack([noise[site] for site in heads], -2)
    one_by_one = run.again({site: noise[site] for site in heads}).gap
    assert_close(run.again({Site(0, "z"): whole}).gap, one_by_one, atol=1e-12, rtol=0)


@pytest.mark.quick
def test_the_activations_read_are_those_used(hooked: Hooked) -> None:
    model = hooked("gpt2")
    head, whole = Site(1, "z", head=1), Site(1, "z")
    seen = observe(model, batched(model), [head, whole]).seen
    edit = {head: torch.ones_like(seen[head])}
    after = observe(model, batched(model), [head, whole], edits=edit).seen
    assert (after[head] == 1).all()
    assert (after[whole][..., 1, :] == 1).all()
    assert torch.equal(after[whole][..., 0, :], seen[whole][..., 0, :])


@pytest.mark.parametrize("site", [Site(0, "z", head=1), Site(0, "mlp_out")])
def test_an_edit_does_not_change_the_activation_it_replaces(hooked: Hooked, site: Site) -> None:
    given: list[torch.Tensor] = []

    def edit(value: torch.Tensor) -> torch.Tensor:
        given.extend([value, value.clone()])
        return torch.zeros_like(value)

    hooked("gpt2").log_probs(torch.arange(5)[None], torch.tensor([4]), edits={site: edit})
    assert given[0].any()
    assert torch.equal(*given)


@pytest.mark.parametrize("site", [Site(0, "z", head=1), Site(0, "mlp_out")])
def test_an_edit_of_another_shape_is_refused_and_not_broadcast(hooked: Hooked, site: Site) -> None:
    model = hooked("gpt2")
    run = observe(model, batched(model), [site])
    with pytest.raises(ValueError, match=r"L0.* \[24, 6, .*\].* \[24, 1, .*\]"):
        run.again({site: run.seen[site][:, :, :1]})


@pytest.mark.quick
def test_gaps_do_not_depend_on_padding_or_passes(hooked: Hooked, monkeypatch: pytest.MonkeyPatch) -> None:
    model = hooked("llama", "bytes")
    site = Site(0, "z", head=0)
    together = batched(model)
    run = observe(model, together, [site])
    edit = torch.randn(run.seen[site].shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    changed = run.again({site: edit})
    more = replace(together, tokens=torch.cat([together.tokens, together.tokens[..., :5]], -1))
    assert_close(observe(model, more).log_probs, run.log_probs, atol=1e-9, rtol=0)
    monkeypatch.setattr(pass_size, "TOKENS_PER_PASS", 5 * together.tokens.shape[-1])
    again = observe(model, together, [site])
    assert_close(again.log_probs, run.log_probs, atol=1e-9, rtol=0)
    assert_close(again.seen[site], run.seen[site], atol=1e-9, rtol=0)
    assert_close(again.again({site: edit}).log_probs, changed.log_probs, atol=1e-9, rtol=0)


def test_a_pass_keeps_to_the_limit_of_logits(hooked: Hooked, monkeypatch: pytest.MonkeyPatch) -> None:
    model = hooked("gpt2", "bytes")
    together = batched(model)
    assert len(together.lengths.unique()) > 1
    monkeypatch.setattr(pass_size, "LOGITS_PER_PASS", 10 * model.vocab)
    shapes: list[torch.Size] = []
    unembed = model.network.get_output_embeddings()
    handle = unembed.register_forward_hook(lambda module, given, made: shapes.append(made.shape))
    observe(model, together)
    handle.remove()
    assert len(shapes) > 1
    assert max(shape.numel() for shape in shapes) <= 10 * model.vocab


@pytest.mark.quick
def test_rows_per_pass_keep_tokens_and_logits_within_limits() -> None:
    assert rows_per_pass(100, 1, 50_000) == 40
    assert rows_per_pass(10, 40, 50_000) == 16
    assert rows_per_pass(100_000, 1, 10) == 1
    assert rows_per_pass(100, 1, 50_000, batch_size=7) == 7


@pytest.mark.quick
def test_scores_of_single_token_answers_equal_the_observed_log_probabilities(hooked: Hooked) -> None:
    model = hooked("opt")
    encoding = encode(tiny.task(), model)
    observed = observe(model, batched(model))
    scored = [score(model, encoding.items, encoding.rows[c]) for c in PAIR]
    assert_allclose(observed.log_probs.numpy(), np.stack(scored), atol=1e-12)
    assert_allclose(observed.gap.numpy(), np.stack(scored)[..., 0] - np.stack(scored)[..., 1], atol=1e-12)


# Hooks that fail the check.


@pytest.mark.parametrize("architecture", EVERY)
def test_the_hooks_that_are_used_pass_the_check(hooked: Hooked, architecture: str) -> None:
    model = replace(hooked(architecture, "bytes"))
    check_hooks(model, batched(model).tokens[0, :1, :7], PARTS)


def test_a_model_with_heads_that_write_nothing_is_accepted(tmp_path: Path) -> None:
    words = tiny.words_of(*tiny.texts_of(tiny.task()))
    network = tiny.plain(str(tiny.save(tmp_path, tiny.ARCHITECTURES["gpt2"], tiny.word_level(words))))
    network.transformer.h[0].attn.c_proj.weight.data.zero_()
    network.save_pretrained(tmp_path)
    model = load(tmp_path, device="cpu").hooked
    check_hooks(model, torch.arange(5)[None], ["z"])
    reading = measure(model, tiny.task(), Ablation())
    assert (reading.sel(component=[f"L0H{head}.z" for head in range(4)]) == 0).all()


@pytest.fixture
def pointed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Part, str], None]:
    """Map a part to another hook of TransformerLens."""

    def point(part: Part, hook: str) -> None:
        monkeypatch.setattr(hooked_model, "HOOKS", {**HOOKS, part: hook})

    return point


@pytest.mark.filterwarnings("ignore:A hook on self_attn.hook_pattern returned a modified tensor")
def test_a_hook_that_fires_but_whose_edits_are_ignored_is_refused(
    hooked: Hooked, pointed: Callable[[Part, str], None]
) -> None:
    pointed("attn_out", "attn.hook_pattern")  # in OPT the pattern is computed too late
    with pytest.raises(ModelError, match=r"writing to L0\.attn_out has no effect in this architecture"):
        check_hooks(replace(hooked("opt")), torch.arange(7)[None], ["attn_out"])


def test_a_hook_that_never_fires_is_refused(hooked: Hooked, pointed: Callable[[Part, str], None]) -> None:
    model = replace(hooked("gpt_neox", "bytes"))
    never = [name.removeprefix("blocks.0.") for name in model.bridge.hook_dict if "blocks.0.attn.hook_rot_q" in name]
    pointed("attn_out", never[0])
    with pytest.raises(ModelError, match="has no effect in this architecture"):
        check_hooks(model, torch.arange(7)[None], ["attn_out"])
    with pytest.raises(ModelError, match=r"L0\.attn_out is never reached"):
        observe(model, batched(model), [Site(0, "attn_out")])


def test_a_missing_hook_is_refused(hooked: Hooked, pointed: Callable[[Part, str], None]) -> None:
    pointed("mlp_out", "hook_nowhere")
    with pytest.raises(
        ModelError, match=r"has no mlp_out that can be read or written \(TransformerLens: blocks.0.hook_no"
    ):
        measure(replace(hooked("gpt2")), tiny.task(), Ablation())


def test_a_hook_that_is_not_the_identity_is_refused(hooked: Hooked, monkeypatch: pytest.MonkeyPatch) -> None:
    model, write = replace(hooked("gpt2")), hooks.writer
    monkeypatch.setattr(hooks, "writer", lambda site, edit: write(site, lambda value: 1.5 * edit(value)))
    with pytest.raises(ModelError, match=r"L0\.z changes the output"):
        check_hooks(model, torch.arange(7)[None], ["z"])


def test_heads_without_a_separate_axis_are_refused(hooked: Hooked, pointed: Callable[[Part, str], None]) -> None:
    pointed("z", "hook_attn_out")
    with pytest.raises(ModelError, match=r"L0\.z .*\[1, 7, 16\].* \[row pos head d_head\]"):
        check_hooks(replace(hooked("gpt2")), torch.arange(7)[None], ["z"])


def test_a_measurement_checks_the_hooks_it_writes_to(hooked: Hooked, monkeypatch: pytest.MonkeyPatch) -> None:
    model, read_only = replace(hooked("gpt2")), lambda site, edit: lambda value, hook: value
    monkeypatch.setattr(hooks, "writer", read_only)
    with pytest.raises(ModelError, match=r"writing to L0\.z has no effect"):
        measure(model, tiny.task(), Ablation())


def test_hooks_are_checked_once_per_model(hooked: Hooked, monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokens = replace(hooked("gpt2")), torch.arange(7)[None]
    check_hooks(model, tokens, ["z"])
    monkeypatch.setattr(hooks, "writer", lambda site, edit: lambda value, hook: value)
    check_hooks(model, tokens, ["z"])
    for other, part in ((model, "attn_out"), (replace(model), "z")):
        with pytest.raises(ModelError, match=rf"writing to L0\.{part} has no effect"):
            check_hooks(other, tokens, [part])


WAYS: dict[str, Callable[[HookedModel], object]] = {
    "score": lambda model: score(model, tiny.task().items, conflicts(model)),
    "observe": lambda model: observe(model, batched(model)),
    "measure": lambda model: measure(model, tiny.task(), Ablation()),
}


def conflicts(model: HookedModel) -> list[Encoded]:
    return [row for row in encode(tiny.task(), model).rows[Condition.CONFLICT] if row is not None]


@pytest.mark.parametrize("way", WAYS)
def test_nan_in_the_weights_is_named_with_the_item_and_never_averaged(tmp_path: Path, way: str) -> None:
    model = load(
        tiny.save(tmp_path, tiny.ARCHITECTURES["gpt2"], tiny.word_level(tiny.words_of(*tiny.texts_of(tiny.task())))),
        device="cpu",
    ).hooked
    gold = model.tokenizer.convert_tokens_to_ids("gold")
    with torch.no_grad():
        model.network.get_input_embeddings().weight[gold] = torch.nan
    with pytest.raises(ModelError, match=r"of \d+ items are not finite \(NaN\), first .*the weights are damaged"):
        WAYS[way](model)


def test_the_item_with_nan_is_the_one_named(hooked: Hooked, monkeypatch: pytest.MonkeyPatch) -> None:
    model = hooked("gpt2")
    encoding = encode(tiny.task(), model)
    right = HookedModel.log_probs

    def damaged(self: HookedModel, tokens: Any, keep: Any, **more: Any) -> Any:
        found = right(self, tokens, keep, **more)
        lamb = self.tokenizer.convert_tokens_to_ids("lamb")
        found[(tokens == lamb).any(1)] = -torch.inf
        return found

    monkeypatch.setattr(HookedModel, "log_probs", damaged)
    with pytest.raises(ModelError, match=r"of 1 of 12 items are not finite .* first lamb>kitten"):
        score(model, encoding.items, encoding.rows[Condition.CONFLICT])
    with pytest.raises(ModelError, match=r"of 1 of 12 items are not finite .* first lamb>kitten"):
        observe(model, batched(model))


# Hooks and activations after a run.


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_no_hook_remains_even_after_a_failed_edit(hooked: Hooked, architecture: str) -> None:
    model = hooked(architecture)
    before = hooks_left(model)
    run = observe(model, batched(model), [Site(0, part) for part in PARTS])
    run.again(run.seen)
    patched_gap(model, run.batch, Site(0, "pattern"))
    first_order_effects(model, run.batch, [Site(0, part) for part in PARTS], drop_layers=True)
    assert hooks_left(model) == before

    def fail(value: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("an edit that fails")

    with pytest.raises(RuntimeError, match="an edit that fails"):
        model.log_probs(torch.arange(5)[None], torch.tensor([4]), edits={Site(0, "z"): fail})
    assert hooks_left(model) == before
    assert torch.equal(observe(model, batched(model)).log_probs, run.log_probs)


def test_stored_activations_stay_unchanged(hooked: Hooked) -> None:
    """This also holds for models that continue to compute in the same memory."""
    model = hooked("gpt2")
    site = Site(0, "attn_out")

    def scribble(module: Any, given: Any, made: Any) -> None:
        made[0].add_(1) if isinstance(made, tuple) else made.add_(1)

    run = observe(model, batched(model), [site])
    handle = model.network.transformer.h[0].attn.register_forward_hook(scribble)
    try:
        seen = observe(model, batched(model), [site]).seen[site]
        given = run.seen[site].clone()
        run.again({site: given})
    finally:
        handle.remove()
    assert_close(seen, run.seen[site])
    assert torch.equal(given, run.seen[site])
