"""Activation patching is exact in every architecture, equals other tools, and finds planted sites."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch.testing import assert_close
from xarray import DataArray

import tiny
import wired
from conftest import Hooked
from distractor.errors import EncodeError, ModelError, TaskError
from distractor.models.hooked_model import HookedModel
from distractor.models.load import load
from distractor.models.site import HEAD_PARTS, PARTS, STREAM_PARTS, Part, Site
from distractor.probing.measure import measure
from distractor.probing.patching import patched_gap
from distractor.probing.probe import Probe
from distractor.probing.role_patching import patched_by_role
from distractor.probing.run import Run, batch, observe
from distractor.scoring import pass_size
from distractor.scoring.encode import encode
from distractor.statistics.effects import judge, why_no_recovery
from distractor.text.task import Condition
from probes.activation_patching import ActivationPatching
from probes.attribution_patching import AttributionPatching
from probes.path_patching import PathPatching

EVERY = list(tiny.ARCHITECTURES)
CONFLICT, CONGRUENT, SWAPPED = Condition.CONFLICT, Condition.CONGRUENT, Condition.DISTRACTOR_SWAPPED
PAIR = (CONFLICT, CONGRUENT)


def run_of(model: HookedModel, conditions: tuple[Condition, ...] = PAIR, sites: Any = (), items: int = 12) -> Run:
    return observe(model, batch(encode(tiny.task().take(items), model), model, conditions), sites)


# Exactness.


@pytest.mark.parametrize("architecture", EVERY)
def test_patching_a_prompt_with_itself_changes_nothing(hooked: Hooked, architecture: str) -> None:
    model = hooked(architecture, "bytes")
    run = run_of(model, (CONFLICT, CONFLICT), items=4)
    at = torch.zeros(len(run.batch.items), run.batch.tokens.shape[2], dtype=torch.bool)
    at[:, 1] = True
    for part in model.parts:
        gap = patched_gap(model, run.batch, Site(1, part), None if part == "pattern" else at)
        # A pattern is written through z: the same sum in another order (in Gemma 2 with float32 shares).
        error = {"pattern": 1e-6 if architecture == "gemma2" else 1e-9}.get(part, 1e-12)
        assert_close(gap, run.gap, atol=error, rtol=0)


@pytest.mark.parametrize("architecture", EVERY)
def test_patching_the_whole_stream_gives_the_other_prompts_gap(hooked: Hooked, architecture: str) -> None:
    model = hooked(architecture, "bytes")
    run = run_of(model, items=4)
    assert (run.gap[0] - run.gap[1]).abs().max() > 0.01, "the prompts are alike, and the test shows nothing"
    streams: list[Part] = [part for part in ("resid_pre", "resid_mid", "resid_post") if part in model.parts]
    for layer in range(model.n_layers):
        for part in streams:
            assert_close(patched_gap(model, run.batch, Site(layer, part)), run.gap.flip(0), atol=1e-9, rtol=0)


@pytest.mark.parametrize("architecture", EVERY)
def test_exchange_within_a_pass_equals_writing_stored_activations(
    hooked: Hooked, architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = hooked(architecture, "bytes")
    sites = [Site(0, part, model.n_heads_of(part) - 1) for part in HEAD_PARTS] + [
        Site(0, "attn_out"),
        Site(0, "pattern"),
    ]
    run = run_of(model, PAIR, sites, items=4)
    monkeypatch.setattr(pass_size, "TOKENS_PER_PASS", 6 * run.batch.tokens.shape[2])  # three items at a time
    for site in sites:
        expected = run.again({site: run.seen[site].flip(0)}).gap
        assert_close(
            patched_gap(model, run.batch, site), expected, atol=1e-6 if architecture == "gemma2" else 1e-9, rtol=0
        )
        assert site.part == "q" or (expected - run.gap).abs().max() > 1e-4, (
            "the exchange does nothing, nor does the test"
        )


def test_effects_of_single_positions_add_up_in_the_first_stream(hooked: Hooked) -> None:
    """If prompts differ in one token, exchanging this token exchanges everything, and exchanging others changes
    nothing.
    """
    reading = measure(hooked("llama"), tiny.task(), ActivationPatching(parts=("resid_pre",)))
    first = reading.sel(layer="0", part="resid_pre").squeeze("pair")
    gap = reading.pair_gap.values
    assert_allclose(first.sel(role="cue", direction="noising"), gap, atol=1e-9)
    assert_allclose(first.sel(role="cue", direction="denoising"), -gap, atol=1e-9)
    assert (first.drop_sel(role="cue") == 0).all()


# Another computation: plain transformers, its own forward hooks, one prompt at a time.


def stream_module(network: Any, layer: int, part: Part) -> tuple[Any, str]:
    """The module of a GPT-2 whose input or output is this part."""
    block = network.transformer.h[layer]
    return {
        "resid_pre": (block, "input"),
        "resid_mid": (block.ln_2, "input"),  # the activation is read here; the slow patch below rewrites the block
        "resid_post": (block, "output"),
        "attn_out": (block.attn, "output"),
        "mlp_out": (block.mlp, "output"),
    }[part]


def slow_gap(network: Any, row: Any, hooks: Iterator[tuple[Any, str, Callable[[torch.Tensor], torch.Tensor]]]) -> float:
    handles = []
    for module, side, edit in hooks:
        if side == "input":

            def before(module: Any, given: Any, edit: Any = edit) -> Any:
                return (edit(given[0]), *given[1:])

            handles.append(module.register_forward_pre_hook(before))
        else:

            def after(module: Any, given: Any, made: Any, edit: Any = edit) -> Any:
                return (edit(made[0]), *made[1:]) if isinstance(made, tuple) else edit(made)

            handles.append(module.register_forward_hook(after))
    with torch.no_grad():
        logits = network(torch.tensor([row.prompt])).logits[0, -1]
    for handle in handles:
        handle.remove()
    true, distractor = (answer[0] for answer in row.answers)
    return float(logits[true] - logits[distractor])


def test_effects_equal_an_independent_slow_computation(hooked: Hooked) -> None:
    model = hooked("gpt2", "bytes")
    network, encoding = tiny.plain(model.name), encode(tiny.task(), model)
    parts: tuple[Part, ...] = ("resid_pre", "attn_out", "mlp_out", "resid_post")
    reading = measure(model, tiny.task(), ActivationPatching(parts=parts, other=SWAPPED)).squeeze("pair")
    shown = encoding.complete((CONFLICT, SWAPPED))
    assert list(reading.coords["item"].values) == [encoding.items[i].id for i in shown]
    largest = 0.0
    for n, i in list(enumerate(shown))[:5]:
        rows = [encoding.rows[c][i] for c in (CONFLICT, SWAPPED)]
        for part in parts:
            module, side = stream_module(network, 1, part)
            seen: list[torch.Tensor] = []

            def look(v: torch.Tensor, seen: list[torch.Tensor] = seen) -> torch.Tensor:
                seen.append(v.clone())
                return v

            for row in rows:
                slow_gap(network, row, iter([(module, side, look)]))
            for d, direction in enumerate(("noising", "denoising")):
                here, there = rows[d], seen[1 - d]
                plain = slow_gap(network, here, iter([]))
                for place, role in enumerate(rows[0].roles):

                    def edit(v: torch.Tensor, place: int = place, there: Any = there) -> torch.Tensor:
                        v = v.clone()
                        v[:, place] = there[:, place]
                        return v

                    expected = slow_gap(network, here, iter([(module, side, edit)])) - plain
                    label = f"{role[0]}-{role[1]}" if role[1] else role[0]
                    found = reading.sel(direction=direction, part=part, layer="1", role=label)[n]
                    assert found.item() == pytest.approx(expected, abs=1e-9)
                    largest = max(largest, abs(expected))
    assert largest > 0.1
    for n, i in enumerate(shown):
        row = encoding.rows[CONFLICT][i]
        assert row is not None
        has = {f"{name}-{k}" if k else name for name, k in row.roles}
        absent = {str(r) for r in reading.role.values} - has
        assert (np.isnan(reading[..., n]).sel(role=sorted(has)) == False).all()  # noqa: E712
        assert np.isnan(reading[..., n].sel(role=sorted(absent))).all()


@pytest.mark.parametrize("architecture", ["gpt2", "gpt_neox", "llama_grouped_tied"])
def test_effects_equal_those_of_transformer_lens_if_it_is_right(hooked: Hooked, architecture: str) -> None:
    from transformer_lens import patching

    model = hooked(architecture, "words_bos", "float32")
    together = run_of(model).batch
    gap = run_of(model).gap
    receiving, giving = together.tokens
    lens = model.bridge
    _, cache = lens.run_with_cache(giving)

    def metric(logits: torch.Tensor) -> torch.Tensor:
        log_probs = logits[:, -1].gather(1, together.answers)
        return (log_probs[:, 0] - log_probs[:, 1]).mean()

    theirs: dict[Part, torch.Tensor] = {
        "resid_pre": patching.get_act_patch_resid_pre(lens, receiving, cache, metric),
        "attn_out": patching.get_act_patch_attn_out(lens, receiving, cache, metric),
        "mlp_out": patching.get_act_patch_mlp_out(lens, receiving, cache, metric),
    }
    for part, found in theirs.items():
        ours = measure(model, tiny.task(), ActivationPatching(parts=(part,))).sel(direction="noising", part=part)
        assert_allclose(ours.mean("item").squeeze("pair") + gap[0].mean().item(), found, atol=1e-4)
    found = patching.get_act_patch_attn_head_out_all_pos(lens, receiving, cache, metric)
    ours = measure(model, tiny.task(), ActivationPatching(parts=("z",))).sel(direction="noising").squeeze("pair")
    assert_allclose(ours.mean("item").values.reshape(2, 4) + gap[0].mean().item(), found, atol=1e-4)


# A planted mechanism.

PATHS = [(CONGRUENT, "L0H1", "second"), (SWAPPED, "L0H0", "first")]
"""The pair, the head that serves the task whose cue differs in it, and the role of that cue."""


def area(score: np.ndarray, planted: np.ndarray) -> float:
    """The probability that a planted site is ranked above another one (AUROC)."""
    ahead = score[planted][:, None] - score[~planted][None]
    return float(((ahead > 0) + 0.5 * (ahead == 0)).mean())


def sizes(reading: DataArray, direction: str) -> np.ndarray:
    found: np.ndarray = np.abs(reading.sel(direction=direction).mean("item")).values.ravel()
    return found


@pytest.mark.parametrize("backup", [0.0, 1.5])
@pytest.mark.parametrize(("other", "head", "cue"), PATHS)
def test_the_planted_head_and_its_path_are_ranked_first(
    tmp_path: Path, other: Condition, head: str, cue: str, backup: float
) -> None:
    model = load(wired.save(tmp_path, wired.Strengths(backup=backup)), device="cpu", dtype="float64").hooked
    heads = measure(model, wired.task(), ActivationPatching(parts=("z", "pattern"), other=other))
    planted = np.array([str(name) == f"{head}.z" for name in heads.component.values])
    stream = measure(model, wired.task(), ActivationPatching(other=other))
    # The cue's position before the head reads it, and the answer slot after that.
    on_path = np.zeros(stream.shape[2:5], dtype=bool)
    parts, roles = list(stream.part.values), list(stream.role.values)
    on_path[parts.index("resid_pre"), 0, roles.index(cue)] = True
    for part, layer in [("attn_out", 0), ("resid_mid", 0), ("resid_post", 0)]:
        on_path[parts.index(part), layer, roles.index("slot")] = True
    if backup:
        for part in ("resid_pre", "resid_mid", "resid_post"):
            on_path[parts.index(part), 1, roles.index("slot")] = True
    for direction in ("noising", "denoising"):
        assert area(sizes(heads, direction), planted) == 1
        assert area(sizes(stream, direction), on_path.ravel()) == 1
        others = heads.sel(direction=direction, component=heads.component[~planted])
        assert np.abs(others).max() < 1e-3, "what is not planted does nothing"


@pytest.mark.parametrize(("other", "head", "cue"), PATHS)
def test_only_the_planted_head_is_marked_and_it_recovers_everything(
    tmp_path: Path, other: Condition, head: str, cue: str
) -> None:
    model = load(wired.save(tmp_path, wired.Strengths()), device="cpu", dtype="float64").hooked
    reading = measure(model, wired.task(groups=12), ActivationPatching(parts=("z",), other=other)).squeeze("pair")
    gap = reading.pair_gap.values
    gap_summary = reading.attrs["denominator"]
    assert gap_summary["mean"] == pytest.approx(gap.mean())
    for direction, sign in (("noising", 1), ("denoising", -1)):
        found = judge(reading.sel(direction=direction).values, list(reading.group.values), sign * gap)
        where = list(reading.component.values).index(f"{head}.z")
        assert found.recovery[where] == pytest.approx(1, abs=1e-3)
        assert_allclose(np.delete(found.recovery, where), 0, atol=1e-3)
        assert (found.is_marked == (np.arange(4) == where)).all()


def test_if_the_distractor_wins_the_first_pair_shows_nothing_and_gives_the_reason(tmp_path: Path) -> None:
    model = load(wired.save(tmp_path, wired.Strengths(second=0.0)), device="cpu", dtype="float64").hooked
    reading = measure(model, wired.task(), ActivationPatching(parts=("z",))).squeeze("pair")
    gap, groups = reading.pair_gap.values, list(reading.group.values)
    found = judge(reading.sel(direction="noising").values, groups, gap)
    assert why_no_recovery(gap, groups) is not None
    assert not found.is_marked.any()
    swapped = measure(model, wired.task(), ActivationPatching(parts=("z",), other=SWAPPED)).squeeze("pair")
    assert np.abs(swapped.sel(component="L0H0.z")).min() > 1.9


# Labels of the reading, and errors.


def test_a_reading_has_its_quantity_unit_and_labels(hooked: Hooked) -> None:
    reading = measure(hooked("gpt2"), tiny.task(), ActivationPatching())
    assert reading.dims == ("pair", "direction", "part", "layer", "role", "item")
    assert list(reading.pair.values) == ["conflict/congruent"]
    assert list(reading.part.values) == list(STREAM_PARTS)
    assert list(reading.role.values) == ["bos", "cue", "named", "before slot-1", "before slot", "slot"]
    assert list(reading.token.values[:3]) == ["<bos>", "Not", "Paris"]
    assert (reading.attrs["quantity"], reading.attrs["unit"]) == ("change of the logit gap", "nats")
    assert list(reading.group.values) == [item.group for item in tiny.task().items]
    heads = measure(hooked("gpt2"), tiny.task(), ActivationPatching(parts=("z", "pattern"), other=SWAPPED))
    assert heads.dims == ("pair", "direction", "component", "item")
    assert list(heads.component.values)[3:9] == ["L0H3.z", "L1H0.z", "L1H1.z", "L1H2.z", "L1H3.z", "L0H0.pattern"]


def test_shared_keys_and_values_are_exchanged_once(hooked: Hooked) -> None:
    reading = measure(hooked("llama_grouped_tied"), tiny.task(), ActivationPatching(parts=("q", "k")))
    assert [str(c) for c in reading.component.values if str(c).endswith("k")] == [
        "L0H0-1.k",
        "L0H2-3.k",
        "L1H0-1.k",
        "L1H2-3.k",
    ]


def test_a_part_that_the_architecture_lacks_is_left_out(hooked: Hooked) -> None:
    reading = measure(hooked("gpt_neox"), tiny.task(), ActivationPatching(roles=("slot",)))
    assert list(reading.part.values) == [part for part in STREAM_PARTS if part != "resid_mid"]


def test_roles_restrict_the_map_and_an_unknown_role_is_refused(hooked: Hooked) -> None:
    model = hooked("gpt2")
    whole = measure(model, tiny.task(), ActivationPatching(parts=("resid_pre",)))
    some = measure(model, tiny.task(), ActivationPatching(parts=("resid_pre",), roles=("slot", "cue")))
    assert list(some.role.values) == ["cue", "slot"]
    assert_allclose(some, whole.sel(role=["cue", "slot"]), atol=1e-12)
    with pytest.raises(
        TaskError, match=r"no item has a token with the role 'quote' in conflict, so there is nothing in"
    ):
        measure(model, tiny.task(), ActivationPatching(roles=("quote",)))


@pytest.mark.parametrize("parts", [(), ("z", "resid_pre")])
def test_one_map_shows_roles_or_heads(parts: tuple[Part, ...]) -> None:
    with pytest.raises(ValueError, match="not both"):
        ActivationPatching(parts=parts)


@pytest.mark.parametrize("probe", [AttributionPatching(other=Condition.NEUTRAL), PathPatching(other=Condition.NEUTRAL)])
def test_prompts_of_different_length_are_not_replaced_by_others(hooked: Hooked, probe: Probe) -> None:
    assert probe.variants(tuple(Condition)) == {"": probe}
    with pytest.raises(EncodeError, match="prompts of different length"):
        measure(hooked("gpt2"), tiny.task(), probe)


def test_half_precision_is_refused(hooked: Hooked) -> None:
    with pytest.raises(ModelError, match=r"bfloat16 .* --dtype float32"):
        measure(hooked("llama", dtype="bfloat16"), tiny.task(), ActivationPatching())


def test_only_a_pair_can_be_exchanged(hooked: Hooked) -> None:
    model = hooked("gpt2")
    three = batch(encode(tiny.task(), model), model, (CONFLICT, CONGRUENT, SWAPPED))
    with pytest.raises(ValueError, match="between two conditions, got 3"):
        patched_gap(model, three, Site(0, "z"))
    pair = batch(encode(tiny.task(), model), model, PAIR)
    with pytest.raises(ValueError, match="it is exchanged whole"):
        patched_gap(model, pair, Site(0, "pattern"), torch.ones(12, 6, dtype=torch.bool))


def test_an_effect_that_is_not_finite_is_named(hooked: Hooked, monkeypatch: pytest.MonkeyPatch) -> None:
    model, right = hooked("gpt2"), HookedModel.log_probs
    pair = batch(encode(tiny.task(), model), model, PAIR)

    def damaged(self: HookedModel, tokens: Any, keep: Any, **more: Any) -> Any:
        found = right(self, tokens, keep, **more)
        found[(tokens == self.tokenizer.convert_tokens_to_ids("lamb")).any(1)] = torch.nan
        return found

    monkeypatch.setattr(HookedModel, "log_probs", damaged)
    with pytest.raises(ModelError, match=r"of 1 of 12 items are not finite \(NaN\), first lamb>kitten"):
        patched_gap(model, pair, Site(0, "z"))


def test_no_activation_stays_in_memory(hooked: Hooked) -> None:
    model = hooked("gpt2")
    assert all(not ActivationPatching(parts=(part,)).sites(model) for part in PARTS)
    probe = replace(ActivationPatching(), parts=("resid_mid",))
    assert probe.writes == ("resid_mid",)


@pytest.mark.parametrize("architecture", ["gpt2", "llama_grouped_tied"])
def test_patches_by_role_equal_patches_by_position_if_all_roles_match(hooked: Hooked, architecture: str) -> None:
    model = hooked(architecture)
    encoding = encode(tiny.task(), model)
    pair = tuple(observe(model, batch(encoding, model, (c,), PAIR)) for c in PAIR)
    for parts in (("z", "k", "mlp_out"), ("resid_pre", "attn_out")):
        expected = measure(model, tiny.task(), ActivationPatching(parts=parts)).squeeze("pair")
        cells, found = patched_by_role((pair[0], pair[1]), parts)
        reading = cells.reading(found.numpy(), {}, name="by role").squeeze("pair")
        assert_allclose(reading.values, expected.transpose(*reading.dims).values, atol=3e-7)
        assert np.abs(reading.values).max() > 1e-3


def test_exchange_with_a_shorter_prompt_matches_roles(hooked: Hooked) -> None:
    model, last = hooked("gpt2"), "1"
    neutral = ActivationPatching(parts=("resid_pre", "resid_post"), other=Condition.NEUTRAL)
    assert neutral.variants(tuple(Condition)) == {"": neutral}
    reading = measure(model, tiny.task(), neutral).squeeze("pair")
    pair_gap = reading["pair_gap"].values
    # The last residual stream at the answer slot is the whole answer, in both directions.
    slot = reading.sel(part="resid_post", layer=last, role="slot")
    assert_allclose(slot.sel(direction="noising"), pair_gap, atol=1e-7)
    assert_allclose(slot.sel(direction="denoising"), -pair_gap, atol=1e-7)
    assert np.abs(pair_gap).max() > 1e-3
    # The neutral prompt has no cue and no named word, so nothing is exchanged there.
    assert np.isnan(reading.sel(role=["cue", "named"])).all()
    heads = measure(model, tiny.task(), ActivationPatching(parts=("z", "pattern", "mlp_out"), other=Condition.NEUTRAL))
    assert [str(name) for name in heads["component"].values if "pattern" in str(name)] == []
    with pytest.raises(TaskError, match="patterns cannot be exchanged between prompts of different lengths"):
        measure(model, tiny.task(), ActivationPatching(parts=("pattern",), other=Condition.NEUTRAL))
