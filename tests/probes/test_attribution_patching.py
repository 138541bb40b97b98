"""Attribution patching: gradients are slopes, exact if the model is linear, and always checked by exact patching."""

import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import tiny
import wired
from conftest import Hooked
from distractor.errors import ModelError
from distractor.models.hooked_model import HookedModel
from distractor.models.load import load
from distractor.models.site import HEAD_PARTS, STREAM_PARTS, Part, Site
from distractor.probing import patching
from distractor.probing.measure import measure
from distractor.probing.patching import first_order_effects, grad_drop, patched_gap
from distractor.probing.run import Batch, batch, observe
from distractor.scoring.encode import encode
from distractor.statistics import agreement
from distractor.text.task import Condition
from probes.activation_patching import ActivationPatching
from probes.attribution_patching import AttributionPatching

EVERY = list(tiny.ARCHITECTURES)
CONFLICT, CONGRUENT, SWAPPED = Condition.CONFLICT, Condition.CONGRUENT, Condition.DISTRACTOR_SWAPPED


def pair(model: HookedModel, items: int = 12) -> Batch:
    return batch(encode(tiny.task().take(items), model), model, (CONFLICT, CONGRUENT))


def sites_of(model: HookedModel) -> list[Site]:
    return [Site(layer, part) for part in model.parts for layer in range(model.n_layers)]


def estimates(model: HookedModel, together: Batch, **settings: Any) -> dict[Site, Tensor]:
    """Estimates for whole sites."""
    found = first_order_effects(model, together, sites_of(model), **settings)
    return {site: value[0].sum(-1) for site, value in found.items()}


# Gradients.


@pytest.mark.parametrize("architecture", EVERY)
def test_an_estimate_is_the_slope_along_the_path_to_the_other_activation(hooked: Hooked, architecture: str) -> None:
    """Estimates for stream parts, values and results; queries and keys by their gradients alone."""
    model = hooked(architecture, "bytes")
    together = pair(model, items=3)
    sites = [Site(layer, part) for part in model.parts for layer in ((0,) if part in STREAM_PARTS else (1,))]
    run = observe(model, together, sites)
    found = {s: v for s, v in estimates(model, together, through_softmax=False).items() if s in sites}
    # In most architectures, float32 norms hide small steps. OPT has no such norms; its steps are small enough that they
    # seldom cross a kink.
    step = {"gpt": 1e-5, "opt": 1e-7}.get(architecture[:3], 0.01)
    for site in sites:
        far = run.seen[site].flip(0) - run.seen[site]
        there = [run.again({site: run.seen[site] + steps * step * far}).gap for steps in (-2, -1, 1, 2)]
        slope = (there[0] - 8 * there[1] + 8 * there[2] - there[3]) / (12 * step)
        assert_allclose(found[site], slope, atol=2e-3 if architecture == "gemma2" else 5e-4)
        assert site.part == "q" or found[site].abs().max() > 1e-4


def test_estimates_do_not_depend_on_the_split_into_passes(hooked: Hooked, monkeypatch: pytest.MonkeyPatch) -> None:
    model = hooked("llama_grouped_tied", "bytes")
    together = pair(model)
    assert len(together.lengths.unique()) > 1
    whole = first_order_effects(model, together, sites_of(model), drop_layers=True)
    monkeypatch.setattr("distractor.scoring.pass_size.TOKENS_PER_PASS", 6 * together.tokens.shape[2])
    for site, value in first_order_effects(model, together, sites_of(model), drop_layers=True).items():
        torch.testing.assert_close(value, whole[site], atol=1e-9, rtol=0)
        if site.part in STREAM_PARTS:
            is_padding = torch.arange(value.shape[-1]) >= together.lengths[:, None]
            assert (value * is_padding == 0).all(), "padding has no effect"


def test_one_forward_pass_serves_all_sites(hooked: Hooked) -> None:
    model = hooked("gpt2")
    passes: list[int] = []
    unembed = model.network.get_output_embeddings()
    handle = unembed.register_forward_hook(lambda module, given, made: passes.append(len(made)))
    stream = [Site(layer, part) for layer in range(2) for part in STREAM_PARTS]
    first_order_effects(model, pair(model), stream, drop_layers=True)
    handle.remove()
    assert passes == [24]


def test_weights_have_no_gradients_afterwards(hooked: Hooked) -> None:
    model = hooked("gpt2")
    first_order_effects(model, pair(model), sites_of(model))
    assert all(weight.grad is None and not weight.requires_grad for weight in model.bridge.parameters())


@pytest.mark.parametrize("layer", [0, 1])
def test_a_dropped_layer_passes_no_gradient_on(hooked: Hooked, layer: int) -> None:
    """The reference is plain transformers, with the layer's outputs detached by separate hooks."""
    model = hooked("gpt2")
    together = pair(model)
    found = first_order_effects(model, together, [Site(0, "resid_pre"), Site(0, "mlp_out")], drop_layers=True)
    network = tiny.plain(model.name)
    block = network.transformer.h[layer]
    handles = [
        module.register_forward_hook(
            lambda m, given, made: (made[0].detach(), *made[1:]) if isinstance(made, tuple) else made.detach()
        )
        for module in (block.attn, block.mlp)
    ]
    entry: list[Tensor] = []

    def begin(module: Any, given: Any) -> Any:
        entry.append(given[0].detach().requires_grad_())
        return (entry[-1], *given[1:])

    handles.append(network.transformer.h[0].register_forward_pre_hook(begin))
    logits = network(together.tokens.flatten(0, 1)).logits[:, -1]
    for handle in handles:
        handle.remove()
    chosen = logits.gather(1, together.answers.repeat(2, 1))
    (gradient,) = torch.autograd.grad((chosen[:, 0] - chosen[:, 1]).sum(), entry[0])
    value = entry[0].detach().unflatten(0, (2, 12))
    expected = (gradient.unflatten(0, (2, 12)) * (value.flip(0) - value)).sum(-1)
    torch.testing.assert_close(found[Site(0, "resid_pre")][1 + layer], expected, atol=1e-9, rtol=0)
    own = found[Site(0, "mlp_out")][1 + layer]
    assert (own == 0).all() == (layer == 0), "what a dropped layer writes itself counts for nothing"


def test_grad_drop_is_the_mean_absolute_estimate_over_the_other_layers() -> None:
    found = torch.tensor([[3.0, -3.0], [0.0, 0.0], [1.0, -2.0], [-5.0, 4.0]], dtype=torch.float64)[:, None].expand(
        4, 2, 2
    )
    assert torch.equal(grad_drop(found, "mlp_out")[0], torch.tensor([3.0, 3.0], dtype=torch.float64))
    assert torch.equal(grad_drop(found, "resid_pre")[0], torch.tensor([2.0, 2.0], dtype=torch.float64))
    assert torch.equal(grad_drop(found[:2], "z")[0], torch.tensor([3.0, 3.0], dtype=torch.float64))


# Linear models.


def linear(folder: Path, layers: int = 1, sharp: float = 1.0) -> HookedModel:
    """With attention alone and no norm, the gap is linear in the last layer's z and output. Made in memory."""
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import AutoTokenizer, GPT2Config

    tiny.word_level(tiny.words_of(*tiny.texts_of(tiny.task()))).save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    config = TransformerBridgeConfig(
        d_model=16, d_head=4, n_heads=4, n_layers=layers, n_ctx=tiny.CONTEXT, d_vocab=len(tokenizer), attn_only=True,
        normalization_type=None, seed=0, dtype=torch.float64,
    )  # fmt: skip
    bridge = TransformerBridge.boot_native(config, tokenizer=tokenizer, device="cpu").to(torch.float64)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in bridge.named_parameters():
            weight.copy_(0.4 * torch.randn(weight.shape, generator=random, dtype=torch.float64))
            if ".q." in name or ".k." in name:
                weight.mul_(sharp)
    # Native models of TransformerLens have no configuration of transformers.
    bridge.original_model.config = GPT2Config(n_embd=16, n_layer=layers, n_head=4, n_positions=tiny.CONTEXT)
    return HookedModel(
        name="linear",
        network=bridge.original_model,
        tokenizer=tokenizer,
        n_params=int(bridge.n_params_total),
        vocab=len(tokenizer),
        context=tiny.CONTEXT,
        bos=tokenizer.bos_token_id,
        bridge=bridge.eval().requires_grad_(False),
    )


@pytest.mark.parametrize("layers", [1, 2])
def test_estimates_are_exact_if_the_model_is_linear(tmp_path: Path, layers: int) -> None:
    model = linear(tmp_path, layers)
    together = pair(model)
    run = observe(model, together)
    last: list[Part] = ["resid_post", "attn_out", "z", "v", "q", "k", "pattern"]
    found = first_order_effects(model, together, [Site(layers - 1, part) for part in last])
    for part in last:
        site = Site(layers - 1, part)
        exact = patched_gap(model, together, site) - run.gap
        together_estimated = found[site][0].sum(-1)
        if part in HEAD_PARTS:
            for head in range(4):
                one = patched_gap(model, together, Site(layers - 1, part, head)) - run.gap
                torch.testing.assert_close(found[site][0, ..., head], one, atol=1e-9, rtol=0)
        torch.testing.assert_close(together_estimated, exact, atol=1e-9, rtol=0)
        assert (part == "q" and layers == 1) or exact.abs().max() > 1e-3, part  # the slot itself is unchanged


def test_keys_are_exact_only_through_the_softmax(tmp_path: Path) -> None:
    """A plain gradient misses effects of a saturated softmax; this is the control for the correction."""
    model = linear(tmp_path, sharp=6.0)
    together = pair(model)
    exact = patched_gap(model, together, Site(0, "k")) - observe(model, together).gap
    for through, is_right in ((True, True), (False, False)):
        estimate = first_order_effects(model, together, [Site(0, "k")], through_softmax=through)[Site(0, "k")][0].sum(
            -1
        )
        assert bool((estimate - exact).abs().max() < 1e-9) == is_right


# A planted mechanism.


@pytest.mark.parametrize("backup", [0.0, 1.5])
@pytest.mark.parametrize(("other", "head"), [(CONGRUENT, "L0H1.z"), (SWAPPED, "L0H0.z")])
def test_the_planted_head_is_ranked_first(tmp_path: Path, other: Condition, head: str, backup: float) -> None:
    model = load(wired.save(tmp_path, wired.Strengths(backup=backup)), device="cpu", dtype="float64").hooked
    reading = measure(model, wired.task(), AttributionPatching(parts=("z", "pattern"), other=other)).squeeze("pair")
    assert "warning" not in reading.attrs
    for direction in ("noising", "denoising"):
        size = np.abs(reading.mean("item").sel(direction=direction))
        for estimate in ("gradient", "grad_drop"):
            ranked = size.sel(estimate=estimate).sortby(size.sel(estimate=estimate), ascending=False)
            assert ranked.component.values[0] == head
            assert ranked[0] > 1.9
            assert ranked[1] < 0.01
        assert_allclose(size.sel(estimate="gradient"), size.sel(estimate="exact"), atol=0.02)


# The self-check.


def test_every_estimate_comes_with_exact_patches(hooked: Hooked) -> None:
    model = hooked("gpt_neox")
    probe = AttributionPatching(other=SWAPPED)
    reading = measure(model, tiny.task(), probe)
    assert reading.dims == ("pair", "estimate", "direction", "part", "layer", "role", "item")
    assert list(reading.estimate.values) == ["gradient", "grad_drop", "exact"]
    exact = measure(model, tiny.task(), ActivationPatching(other=SWAPPED))
    assert_allclose(reading.sel(estimate="exact"), exact, atol=1e-9)
    assert (reading.sel(estimate="grad_drop") >= 0).all()
    checks = reading.attrs["self_check"]
    assert len(checks) == 2 * 4 * 2
    assert {(t["estimate"], t["part"], t["direction"]) for t in checks} == {
        (estimate, part, direction)
        for estimate in ("gradient", "grad_drop")
        for part in reading.part.values.tolist()
        for direction in ("noising", "denoising")
    }
    assert all(t["sites"] == t["checked"] == 12 for t in checks)
    one = next(
        t for t in checks if t["part"] == "mlp_out" and t["direction"] == "noising" and t["estimate"] == "gradient"
    )
    mean = reading.sel(part="mlp_out", direction="noising").squeeze("pair").mean("item")
    found = [mean.sel(estimate=m).values.ravel() for m in ("exact", "gradient")]
    assert one["rank_correlation"] == pytest.approx(
        agreement.rank_correlation(*(np.round(x, 7) for x in found)), abs=0.02
    )


def test_with_too_many_sites_a_random_sample_of_every_layer_is_checked(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agreement, "ALL_UP_TO", 20)
    monkeypatch.setattr(agreement, "sample", lambda strata, seed: _sample(strata, seed=seed, size=30))
    reading = measure(hooked("gpt2"), tiny.task(), AttributionPatching(grad_drop=False)).squeeze("pair")
    assert list(reading.estimate.values) == ["gradient", "exact"]
    run = ~np.isnan(reading.sel(estimate="exact", direction="noising")).all("item")
    assert run.sum() == 30
    assert (run.sum("role") == 3).all()
    checks = reading.attrs["self_check"]
    assert all((t["sites"], t["checked"]) == (12, 6) for t in checks)
    assert all(t["missed_at_most"] > t["missed"] for t in checks)
    assert "the exact patch was not run there" in reading.attrs["absent"]


_sample = agreement.sample


def test_an_estimate_that_is_wrong_is_flagged(hooked: Hooked, monkeypatch: pytest.MonkeyPatch) -> None:
    right = first_order_effects

    def blind(*given: Any, **more: Any) -> dict[Site, Tensor]:
        return {site: torch.zeros_like(value) for site, value in right(*given, **more).items()}

    monkeypatch.setattr(patching, "first_order_effects", blind)
    reading = measure(hooked("gpt2"), tiny.task(), AttributionPatching(grad_drop=False))
    assert "gradient (noising) at" in reading.attrs["warning"]
    checks = reading.attrs["self_check"]
    assert all(t["fails"] for t in checks if t["part"] == "resid_post")
    assert all(t["missed"] > 0 for t in checks if t["part"] == "resid_post")


# Memory.


class Ledger(TorchDispatchMode):
    """The largest number of bytes of tensors that exist at one time."""

    def __init__(self) -> None:
        super().__init__()
        self.live: dict[int, int] = {}
        self.now = self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for value in tree_leaves(made):
            if isinstance(value, Tensor) and (key := value.untyped_storage()._cdata) not in self.live:
                self.live[key] = value.untyped_storage().nbytes()
                self.now += self.live[key]
                weakref.finalize(value.untyped_storage(), self._gone, key)
        self.peak = max(self.peak, self.now)
        return made

    def _gone(self, key: int) -> None:
        self.now -= self.live.pop(key, 0)


@pytest.mark.parametrize("parts", [STREAM_PARTS, ("z", "q", "k", "pattern")])
def test_memory_is_at_most_one_and_a_half_times_that_of_a_forward_and_backward_pass(
    tmp_path: Path, parts: Sequence[Part]
) -> None:
    from functools import partial

    from transformers import GPT2Config

    words = tiny.word_level(tiny.words_of(*tiny.texts_of(tiny.task())))
    config = partial(GPT2Config, n_embd=64, n_layer=4, n_head=4, n_positions=tiny.CONTEXT)
    model = load(tiny.save(tmp_path, config, words, spread=0.05), device="cpu").hooked
    together = pair(model)
    sites = [Site(layer, part) for layer in range(4) for part in parts]
    run = observe(model, together)
    with Ledger() as plain, torch.enable_grad():
        entry: list[Tensor] = []
        tokens = together.tokens.flatten(0, 1)
        log_probs = model.log_probs(tokens, together.lengths[:1] - 1, taps={Site(0, "resid_pre"): entry.append})[:, 0]
        gap = log_probs.gather(1, together.answers.repeat(2, 1))
        (gap[:, 0] - gap[:, 1]).sum().backward()
        del log_probs, gap, entry
    with Ledger() as ours:
        first_order_effects(model, together, sites, drop_layers=True)
    with Ledger() as exact:
        patched_gap(model, together, sites[0])
    assert run.gap.shape == (2, 12)
    assert plain.peak > 1e6, "the ledger saw nothing"
    assert ours.peak < 1.5 * plain.peak
    assert exact.peak < 1.5 * plain.peak


# What is refused.


def test_only_whole_parts_of_a_layer_are_accepted(hooked: Hooked) -> None:
    model = hooked("gpt2")
    with pytest.raises(ValueError, match="all heads of a layer are estimated at once"):
        first_order_effects(model, pair(model), [Site(0, "z", 1)])
    with pytest.raises(ValueError, match="not both"):
        AttributionPatching(parts=("z", "resid_post"))
    with pytest.raises(ModelError, match=r"layers 0 to 1.*L2\.z"):
        first_order_effects(model, pair(model), [Site(2, "z")])
    with pytest.raises(ModelError, match="has no resid_mid"):
        first_order_effects(hooked("gpt_neox"), pair(hooked("gpt_neox")), [Site(0, "resid_mid")])


def test_half_precision_is_refused(hooked: Hooked) -> None:
    model = hooked("llama", dtype="bfloat16")
    with pytest.raises(ModelError, match="use --dtype float32"):
        first_order_effects(model, pair(model), [Site(0, "z")])


def test_a_gradient_that_is_not_finite_is_named(hooked: Hooked, monkeypatch: pytest.MonkeyPatch) -> None:
    model, right = hooked("gpt2"), patching._times

    def damaged(*given: Any) -> Tensor:
        found = right(*given)
        found[:, 3] = torch.inf
        return found

    monkeypatch.setattr(patching, "_times", damaged)
    with pytest.raises(ModelError, match=r"the gradients of 1 of 12 items are not finite \(NaN\), first gold>iron"):
        first_order_effects(model, pair(model), [Site(0, "z")])
