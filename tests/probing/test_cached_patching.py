"""Cached patching gives the numbers of whole passes in every architecture, with fewer tokens."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import tiny
from conftest import Hooked
from distractor.errors import ModelError
from distractor.models.hooked_model import HookedModel
from distractor.models.load import load
from distractor.models.site import HEAD_PARTS, Part, Site
from distractor.probing import cached_patching, patching
from distractor.probing.cached_patching import PATCHABLE_PARTS, pack
from distractor.probing.measure import measure
from distractor.probing.patching import Node, patched_gap, patched_gaps
from distractor.probing.run import Run, batch, observe
from distractor.scoring import pass_size
from distractor.scoring.encode import encode
from distractor.text.task import Condition
from probes.activation_patching import ActivationPatching

EVERY = [*tiny.ARCHITECTURES, *tiny.FURTHER]
PAIR = (Condition.CONFLICT, Condition.CONGRUENT)
SWAPPED = (Condition.CONFLICT, Condition.DISTRACTOR_SWAPPED)
PARTS: tuple[Part, ...] = (*PATCHABLE_PARTS, "resid_post")


@pytest.fixture(autouse=True)
def _compare_again() -> None:
    """No test relies on a comparison with whole passes in another test."""
    patching._passed.clear()


def get(hooked: Hooked, folder: Path, architecture: str) -> HookedModel:
    if architecture in tiny.ARCHITECTURES:
        return hooked(architecture, "bytes")
    made = tiny.save(folder, tiny.FURTHER[architecture], tiny.byte_level())
    return load(made, device="cpu", dtype="float64").hooked


def run_of(model: HookedModel, pair: tuple[Condition, ...] = PAIR) -> Run:
    return observe(model, batch(encode(tiny.task().take(6), model), model, pair))


def nodes_of(run: Run, parts: tuple[Part, ...] = PARTS) -> list[Node]:
    """Patches: every head at all positions; in the stream, every third position alone, two positions together, and all."""
    length = run.batch.tokens.shape[2]
    is_there = torch.arange(length) < run.batch.lengths[:, None]
    single = [one & is_there for one in torch.eye(length, dtype=torch.bool)]
    several = [single[1] | single[length - 3], is_there]
    found: list[Node] = []
    for part in (part for part in parts if part in run.model.parts):
        for layer in range(run.model.n_layers):
            if part in HEAD_PARTS:
                found += [(Site(layer, part, head), None) for head in range(run.model.n_heads_of(part))]
            else:
                found += [(Site(layer, part), at) for at in (*single[::3], single[-1], *several, None)]
    return found


def whole(run: Run, nodes: list[Node]) -> torch.Tensor:
    return torch.stack([patched_gap(run.model, run.batch, *node) for node in nodes])


@pytest.mark.parametrize("architecture", EVERY)
def test_cached_patching_equals_whole_passes(hooked: Hooked, tmp_path: Path, architecture: str) -> None:
    run = run_of(get(hooked, tmp_path, architecture))
    assert len(set(run.batch.lengths.tolist())) > 1, "all prompts are alike in length, and the test shows less"
    # TransformerLens has no stream between the halves of a layer if norms follow the sums.
    parts = tuple(part for part in PARTS if architecture != "opt_350m" or part != "resid_mid")
    nodes = nodes_of(run, parts)
    found, why = patched_gaps(run, nodes)
    is_short = run.model.shared_length is not None and run.model.shared_length < 4096
    assert why == ("its attention changes beyond 8 tokens, and a line can have 154" if is_short else "")
    expected = whole(run, nodes)
    there = ~expected.isnan()
    assert torch.equal(found.isnan(), expected.isnan())
    # Many architectures round to float32 in norms or softmax: one such step was 2.6e-8 in OLMo 2.
    error = 1e-5 if architecture == "gemma2" else 3e-7
    assert_close(found[there], expected[there], atol=error, rtol=0)
    moved = (expected - run.gap).abs()[there]
    assert (moved > 1e-3).float().mean() > 0.2, "the exchanges do nothing, nor does the test"


def test_cached_patching_is_tested_on_lines_as_long_as_its_own(hooked: Hooked, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model whose settings hide that masks fail in lines of more than 100 keys."""
    right = HookedModel._masks

    def bad(self: HookedModel, mask: Any) -> Any:
        is_short = mask.visible.shape[-1] <= 100
        return right(self, replace(mask, visible=mask.visible if is_short else torch.ones_like(mask.visible)))

    run = run_of(hooked("gpt2", "bytes"))
    nodes = nodes_of(run, ("resid_pre",))
    monkeypatch.setattr(HookedModel, "_masks", bad)
    found, why = patched_gaps(run, nodes)
    assert why.startswith("the logit gaps were off by")
    assert_close(found, whole(run, nodes), atol=1e-9, rtol=0, equal_nan=True)


@pytest.mark.quick
def test_a_few_cached_patches_equal_whole_passes(hooked: Hooked) -> None:
    run = run_of(hooked("gpt2", "bytes"))
    nodes = nodes_of(run, ("resid_pre", "z"))[::5]
    found, why = patched_gaps(run, nodes)
    assert why == ""
    assert_close(found, whole(run, nodes), atol=1e-9, rtol=0, equal_nan=True)


@pytest.mark.parametrize(("line_tokens", "tokens", "clean"), [(1, 1, 1), (16, 64, 40), (10_000, 10_000, 10_000)])
def test_the_layout_of_cells_changes_no_result(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch, line_tokens: int, tokens: int, clean: int
) -> None:
    run = run_of(hooked("llama", "bytes"))
    nodes = nodes_of(run, ("resid_pre", "mlp_out", "z"))
    expected, _ = patched_gaps(run, nodes)
    monkeypatch.setattr(cached_patching, "LINE_TOKENS", line_tokens)
    monkeypatch.setattr(pass_size, "TOKENS_PER_PASS", tokens)
    monkeypatch.setattr(patching, "CLEAN_TOKENS", clean)
    found, why = patched_gaps(run, nodes)
    assert why == ""
    assert_close(found, expected, atol=1e-9, rtol=0, equal_nan=True)


@pytest.mark.quick
def test_every_cell_occurs_once_in_a_pass_and_lines_have_similar_lengths() -> None:
    random = torch.Generator().manual_seed(0)
    lengths = torch.tensor([30, 20, 17])
    rows = torch.randint(0, 3, (200,), generator=random)
    first = (torch.rand(200, generator=random) * lengths[rows]).long()
    seen: list[int] = []
    laid, used = 0, 0
    for packed in pack(rows, first, lengths, 1000):
        assert packed.cells.numel() <= 1000
        for row, cells, positions in zip(packed.rows, packed.cells, packed.positions, strict=True):
            for cell in cells[cells >= 0].unique():
                assert row == rows[cell]
                assert positions[cells == cell].tolist() == list(range(first[cell], lengths[row]))
                seen.append(int(cell))
        laid, used = laid + packed.cells.numel(), used + int((packed.cells >= 0).sum())
    assert sorted(seen) == list(range(200))
    assert used / laid > 0.9


def tokens_through(model: HookedModel, work: Callable[[], object]) -> list[int]:
    """The number of tokens that each layer's MLP computed."""
    counts = [0] * model.n_layers
    handles = []
    for layer, block in enumerate(model.network.model.layers):

        def count(module: Any, given: Any, made: torch.Tensor, layer: int = layer) -> None:
            counts[layer] += made.shape[0] * made.shape[1]

        handles.append(block.mlp.register_forward_hook(count))
    work()
    for handle in handles:
        handle.remove()
    return counts


def test_layers_before_a_change_and_positions_before_it_are_not_run_again(hooked: Hooked) -> None:
    model = hooked("llama")  # two layers; six tokens, the third of which differs
    run = run_of(model, SWAPPED)
    length, items = run.batch.tokens.shape[2], len(run.batch.items)
    at = [one.repeat(items, 1) for one in torch.eye(length, dtype=torch.bool)]
    patching._why_not_cached(run, ["resid_pre"])
    clean = 2 * items * length

    def through(nodes: list[Node]) -> list[int]:
        found = tokens_through(model, lambda: patching._cached_gaps(run, nodes))
        return [count - clean for count in found]

    assert through([(Site(0, "resid_pre"), one) for one in at]) == [2 * items * (length - 2)] * 2
    later = sum(length - first for first in range(2, length))
    assert through([(Site(1, "resid_pre"), one) for one in at]) == [0, 2 * items * later]
    assert through([(Site(0, "resid_post"), one) for one in at]) == [0, 2 * items * later]
    assert through([(Site(1, "mlp_out"), one) for one in at]) == [0, 2 * items]
    assert through([(Site(1, "resid_post"), one) for one in at]) == [-clean, -clean]


def test_a_model_is_compared_with_whole_passes_once_and_again_for_longer_prompts(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(hooked("gpt2", "bytes"))
    short = run.take([int(run.batch.lengths.argmin())])
    compared: list[int] = []

    def compare(run: Run, parts: object) -> str:
        compared.append(int(run.batch.lengths.max()))
        return ""

    monkeypatch.setattr(patching, "_difference_from_whole_passes", compare)
    for one in (short, short, run, run, short):
        assert patched_gaps(one, [(Site(0, "z", 1), None)])[1] == ""
    assert compared == [int(short.batch.lengths.max()), int(run.batch.lengths.max())]


def test_the_last_mlp_runs_at_the_answer_slot_alone(hooked: Hooked) -> None:
    model = hooked("llama")
    run = run_of(model, SWAPPED)
    seen: list[int] = []
    inner = model._last_mlp.down_proj
    handle = inner.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[:2].numel()))
    patching._cached_gaps(run, [(Site(0, "z", head), None) for head in range(3)])
    handle.remove()
    assert sum(seen) == 2 * len(run.batch.items) * (run.batch.tokens.shape[2] + 3), "a clean pass, and three slots each"


def test_a_model_without_cached_patching_takes_whole_passes_and_gives_the_reason(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = hooked("gpt2")
    probe = ActivationPatching(parts=("resid_pre", "attn_out"))
    expected = measure(model, tiny.task(), probe)
    assert "whole_passes" not in expected.attrs

    def refuse(self: HookedModel, mask: Any) -> Any:
        raise TypeError("forward() got an unexpected keyword argument 'attention_mask'")

    def see_everything(self: HookedModel, mask: Any) -> Any:
        return torch.zeros(mask.visible.shape, dtype=self.dtype)[:, None]

    for masks, why in ((refuse, "TypeError: forward"), (see_everything, "the logit gaps were off by")):
        patching._passed.clear()
        monkeypatch.setattr(HookedModel, "_masks", masks)
        found = measure(model, tiny.task(), probe)
        assert found.attrs["whole_passes"].startswith(why)
        np.testing.assert_allclose(found.values, expected.values, atol=1e-12)


@pytest.mark.quick
def test_a_pattern_is_exchanged_in_a_whole_pass(hooked: Hooked) -> None:
    run = run_of(hooked("opt"))
    nodes: list[Node] = [(Site(0, "z", 1), None), (Site(1, "pattern", 2), None), (Site(0, "pattern"), None)]
    found, why = patched_gaps(run, nodes)
    assert why == ""
    assert_close(found, whole(run, nodes), atol=1e-9, rtol=0)


def test_no_layer_stays_disabled(hooked: Hooked) -> None:
    run = run_of(hooked("gpt_neox"))
    patched_gaps(run, nodes_of(run, ("resid_pre",)))
    assert torch.equal(observe(run.model, run.batch).log_probs, run.log_probs)


def test_nan_in_a_patched_pass_is_named_with_the_item(hooked: Hooked, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(hooked("gpt2"))
    right = HookedModel.answer_logits

    def damaged(self: HookedModel, resid: Any, answers: Any) -> Any:
        found = right(self, resid, answers)
        found[(answers == run.batch.answers[3]).all(-1)] = torch.nan
        return found

    monkeypatch.setattr(patching, "_why_not_cached", lambda run, parts: "")
    monkeypatch.setattr(HookedModel, "answer_logits", damaged)
    with pytest.raises(ModelError, match=rf"of 1 of 6 items are not finite .* first {run.batch.items[3].id}"):
        patched_gaps(run, nodes_of(run, ("attn_out",)))
