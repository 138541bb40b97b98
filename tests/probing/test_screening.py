"""Screened probes measure the sites that matter, with the numbers of the whole sweep, and bound what they miss."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from math import comb
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from test_transplants import task as with_true_only
from torch.testing import assert_close
from xarray import DataArray

import tiny
import wired
from conftest import Hooked
from distractor.models.hook_check import check_hooks
from distractor.models.hooked_model import HookedModel
from distractor.models.hooks import Edit
from distractor.models.load import load
from distractor.models.model import AttentionMask
from distractor.models.site import Site
from distractor.probing import latent, lines
from distractor.probing.latent import Silenced
from distractor.probing.lines import Lines
from distractor.probing.measure import measure
from distractor.probing.onward import Onward, why_not_onward
from distractor.probing.overcome import of_model
from distractor.probing.readings import Reading, stored
from distractor.probing.replacement_values import ReplacementValues
from distractor.probing.run import Batch, Run, batch, observe
from distractor.probing.screening import Screening
from distractor.probing.slopes import exchange_slopes
from distractor.probing.transplants import Exchanges
from distractor.scoring.encode import encode
from distractor.statistics.agreement import most_left
from distractor.text.task import Condition, Task
from networks import Architecture
from probes import PROBES
from probes.ablation import Ablation
from probes.activation_patching import ActivationPatching
from probes.overcoming import Overcoming
from shelf import NOISE, PLANTED, source

NEUTRAL, ALONE = Condition.NEUTRAL, Condition.DISTRACTOR_ONLY
PAIR = (Condition.CONFLICT, Condition.CONGRUENT)
FEW = Screening(above=3, largest=4, sample=3)
"""Screens also tiny models."""


def run_of(model: HookedModel, task: Task, condition: Condition, *others: Condition) -> Run:
    encoding = encode(task, model)
    first = observe(model, batch(encoding, model, (condition,), others))
    beside = {c: observe(model, batch(encoding, model, (c,), (condition, *others))) for c in others}
    return replace(first, others=beside)


@pytest.mark.parametrize("architecture", ["gpt2", "gpt_neox", "llama_grouped_tied"])
def test_estimates_equal_finite_differences(hooked: Hooked, architecture: str) -> None:
    run = run_of(hooked(architecture), with_true_only(), NEUTRAL, ALONE, *PAIR)
    sites = [Site(0, "z", 2), Site(1, "z", 0), Site(0, "mlp_out"), Site(1, "mlp_out")]
    exchanges = Exchanges.of(run)
    estimates = exchange_slopes(run, sites, ALONE, [exchanges.clean.values(c) for c in PAIR])
    of_pair = [exchange_slopes(run, sites, c)["transplant"] for c in PAIR]
    assert_allclose(estimates["true"], (of_pair[1] - of_pair[0]) / 2, atol=1e-5)
    assert np.abs(estimates["true"]).max() > 1e-3
    # Llama's norms round to float32, so a small step shows the rounding.
    step, error = (1e-2, 1e-3) if architecture.startswith("llama") else (1e-4, 1e-7)
    largest = 0.0
    for exchange, here, there, sign in (
        ("transplant", run, run.others[ALONE], -1),
        ("knock_out", run.others[ALONE], run, 1),
    ):
        every = torch.arange(len(here.batch.items))
        for k, site in enumerate(sites):
            own, given = (observe(one.model, one.batch, [site]).seen[site] for one in (here, there))
            change = torch.zeros_like(own)
            slots = here.batch.lengths - 1, there.batch.lengths - 1
            change[0, every, slots[0]] = given[0, every, slots[1]] - own[0, every, slots[0]]
            up, down = (here.again({site: own + way * step * change}).gap[0] for way in (1, -1))
            expected = sign * (up - down) / (2 * step)
            assert_allclose(estimates[exchange][k], expected, atol=error)
            largest = max(largest, float(expected.abs().max()))
    assert largest > 0.01


SCREENED: dict[str, Callable[[], Ablation | ActivationPatching]] = {
    "ablation": lambda: Ablation(folds=3, compared=("zero", "cue_free")),
    "ablation_resample": lambda: Ablation(folds=3, kind="resample", draws=2),
    "head_patching": lambda: ActivationPatching(parts=("z", "mlp_out", "pattern")),
}


@pytest.mark.parametrize("architecture", ["gpt2", "llama_grouped_tied", "gemma2"])
@pytest.mark.parametrize("name", SCREENED)
def test_measured_sites_have_the_numbers_of_the_whole_sweep(hooked: Hooked, architecture: str, name: str) -> None:
    model, probe = hooked(architecture), SCREENED[name]()
    whole = measure(model, tiny.task(), probe)
    some = measure(model, tiny.task(), replace(probe, screening=FEW))
    picked = [*some.attrs["screening"]["largest"], *some.attrs["screening"]["sampled"]]
    assert len(picked) == len(set(picked)) == FEW.largest + FEW.sample
    components = [str(c) for c in some["component"].values]
    assert components == [str(c) for c in whole["component"].values if not str(c).endswith(".pattern")]
    assert "absent" in some.attrs
    for component in components:
        here, expected = some.sel(component=component).values, whole.sel(component=component).values
        if component in picked:
            assert_allclose(here, expected, atol=1e-5 if architecture == "gemma2" else 1e-8)
        else:
            assert np.isnan(here).all()


def test_kinds_are_compared_at_the_largest_estimates(hooked: Hooked) -> None:
    probe = Ablation(folds=3, compared=("zero", "cue_free"))
    whole = measure(hooked("gpt2"), tiny.task(), probe).attrs["replacements"]
    reading = measure(hooked("gpt2"), tiny.task(), replace(probe, screening=FEW))
    some, largest = reading.attrs["replacements"], reading.attrs["screening"]["largest"]
    for kind, table in some.items():
        assert set(table) == set(largest)
        for component, means in table.items():
            expected = whole[kind][component]["conflict"]["mean"]
            assert means["conflict"]["mean"] == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize(("architecture", "noise"), [("gpt_neox", 0.0), ("llama", NOISE)])
@pytest.mark.parametrize("name", ["additive", "mlp", "suppression_downstream", "inversion"])
def test_screening_finds_the_sites_and_the_answer_of_the_whole_sweep(
    name: str, architecture: Architecture, noise: float, tmp_path: Path
) -> None:
    planted = PLANTED[name]()
    of = source(tmp_path, name, planted, architecture, noise=noise)
    task, model = planted.task(16), load(of.folder, device="cpu", self_check=False)
    whole, some = (measure(model, task, Overcoming(screening=s)) for s in (None, FEW))
    assert some.attrs["chosen"] == whole.attrs["chosen"]
    found = of_model(task, Reading(of, stored(some)))
    assert found.found.label == of_model(task, Reading(of, stored(whole))).found.label == planted.answer
    picked = [*some.attrs["screening"]["largest"], *some.attrs["screening"]["sampled"]]
    alike = ["chosen", "all", *picked]
    assert_allclose(some.sel(component=alike).values, whole.sel(component=alike).values, atol=1e-5)
    rest = [c for c in map(str, whole["component"].values) if "." in c and c not in picked]
    assert rest
    assert np.isnan(some.sel(component=rest).values).all()
    # The largest estimates hold the largest exact effects, also on T.
    for effects in (sweep(whole, "transplant", ALONE), sweep(whole, "transplant", *PAIR)):
        top = [str(c) for c in whole["component"].values[: len(effects)][np.argsort(-effects)[:1]]]
        assert effects.max() < 0.1 or set(top) <= set(some.attrs["screening"]["largest"])
    assert some.attrs["true"][:1] == whole.attrs["true"][:1]


def sweep(reading: DataArray, exchange: str, *conditions: Condition) -> np.ndarray:
    """The size of each single site's mean effect under a condition, or half the difference of two, where sites are chosen."""
    single = [c for c in map(str, reading["component"].values) if "." in c]
    here = reading.sel(exchange=exchange, component=single).isel(item=reading["is_choosing"].values.astype(bool))
    first, *second = (here.sel(condition=str(condition)).mean("item").values for condition in conditions)
    return np.abs((second[0] - first) / 2 if second else first)


@pytest.mark.parametrize("members", [30, 280])
def test_the_bound_holds_in_95_percent_of_samples(members: int) -> None:
    tries = 20
    bounds = [most_left(k, tries, members) for k in range(tries + 1)]
    for total in range(members + 1):
        ways = {k: comb(total, k) * comb(members - total, tries - k) for k in range(min(total, tries) + 1)}
        wrong = sum(way for k, way in ways.items() if total - k > bounds[k])
        assert wrong / comb(members, tries) <= 0.05


def test_what_estimates_miss_is_within_the_printed_bound() -> None:
    rng, names, least = np.random.default_rng(0), [f"site {k}" for k in range(300)], 1.0
    wrong = 0
    for seed in range(200):
        exact = rng.exponential(0.5, size=(2, 300))
        picked = replace(Screening(), seed=seed).pick(rng.normal(size=(2, 300)))  # estimates that say nothing
        assert len(picked.measured) == 35
        report = picked.report(names, exact[:, picked.measured], least)
        left = np.setdiff1d(np.arange(300), picked.measured)
        wrong += int((exact[:, left].max(0) >= least).sum()) > report["missed_at_most"]
        assert f"at most {report['missed_at_most']} of the 265 sites" in report["sentence"]
    assert 0 < wrong <= 18  # 5 % of 200 are 10; more than 18 have a probability of .5 %


def test_each_view_names_its_largest_sites() -> None:
    estimates = np.array([[9.0, 8, 7, 0, 0, 0], [0, 0, 0, 0.1, -0.3, 0.2]])
    picked = Screening(above=3, largest=4, sample=1).pick(estimates)
    assert picked.largest == (0, 4, 1, 5)
    assert set(picked.sampled) < {2, 3}


def test_small_models_are_measured_whole(hooked: Hooked) -> None:
    for name in ("ablation", "head_patching", "overcoming"):
        reading = measure(hooked("gpt2"), with_true_only(), PROBES[name])
        assert "screening" not in reading.attrs
        assert PROBES[name].unscreened.screening is None  # type: ignore[attr-defined]
    assert not Screening().is_needed(100)
    assert Screening().is_needed(101)


@pytest.mark.parametrize("architecture", [*tiny.ARCHITECTURES, "olmo2"])
def test_passes_from_a_later_layer_give_the_gaps_of_whole_passes(hooked: Hooked, architecture: str) -> None:
    model = hooked(architecture, "bytes")
    run = run_of_pair(model)
    assert why_not_onward(run) == ""
    prompts = Onward(model, run.batch)
    parts = ("z", "mlp_out")
    for layer in range(model.n_layers):
        for part in parts:
            site = Site(layer, part)
            plain = observe(model, run.batch, [site]).seen[site]
            there = torch.arange(plain.shape[2]) < run.batch.lengths[:, None]
            assert_close(prompts.values(layer, parts)[site][:, there], plain[:, there], atol=1e-6, rtol=0)
            edits = [{site: plain.flip(0)}, {site: torch.zeros_like(plain)}]
            assert_close(
                prompts.gaps(edits), run.gaps_again(edits), atol=1e-5 if architecture == "gemma2" else 3e-7, rtol=0
            )
    with pytest.raises(ValueError, match="edit layers in ascending order"):
        prompts.gaps([{Site(0, "z"): torch.zeros_like(plain)}])


@pytest.mark.parametrize("architecture", [*tiny.ARCHITECTURES, "olmo2"])
def test_tokens_that_prompts_share_are_computed_once(hooked: Hooked, architecture: str) -> None:
    model = hooked(architecture, "bytes")
    run = run_of_pair(model)
    assert why_not_onward(run, share=True) == ""
    prompts = Onward(model, run.batch, share=True)
    n_tokens = 2 * int(run.batch.lengths.sum())
    is_shared = bool((prompts.lines.source >= 0).sum() < n_tokens)
    assert is_shared == (model.shared_length is None), "attention with a window changes in long lines"
    values = ReplacementValues.of(run.batch, 3)
    for layer in range(model.n_layers):
        site = Site(layer, "mlp_out")
        plain = observe(model, run.batch, [site]).seen[site]
        edits = [{site: torch.zeros_like(plain)}, {site: values.mean(prompts.values(layer, ("mlp_out",))[site])}]
        expected = run.gaps_again(edits)
        assert_close(prompts.gaps(edits), expected, atol=1e-5 if architecture == "gemma2" else 3e-7, rtol=0)
        assert (expected[0] - expected[1]).abs().max() > 1e-3
    if is_shared:
        with pytest.raises(ValueError, match="must be equal there under all conditions"):
            prompts.gaps([{site: torch.stack([plain[0], plain[1] + 1])}])


def test_several_prompts_in_a_line_are_checked(hooked: Hooked, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model in which masks fail."""
    right = HookedModel._masks

    def bad(self: HookedModel, mask: AttentionMask) -> object:
        return right(self, replace(mask, visible=torch.ones_like(mask.visible)))

    run = run_of_pair(hooked("gpt2", "bytes"))
    monkeypatch.setattr(HookedModel, "_masks", bad)
    assert why_not_onward(run, share=True) == "the logit gaps differ"


@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=6),
    differ=st.lists(st.integers(0, 12), min_size=6, max_size=6),
    share=st.booleans(),
)
def test_every_token_has_a_place_and_attends_to_its_prompt_up_to_itself(
    sizes: list[int], differ: list[int], share: bool
) -> None:
    rng = np.random.default_rng(len(sizes))
    tokens = torch.tensor(rng.integers(0, 9, (1, len(sizes), max(sizes)))).repeat(2, 1, 1)
    for item, start in enumerate(differ[: len(sizes)]):
        tokens[1, item, start:] += 10
    roles = tuple(tuple(tuple(("word", k) for k in range(size)) for size in sizes) for _ in PAIR)
    items = tiny.task().items[: len(sizes)]
    prompts = Batch(PAIR, items, tokens, torch.tensor(sizes), torch.zeros(len(sizes), 2, dtype=torch.long), roles)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "LINE_TOKENS", 16)
        found = Lines.of(prompts, share=share)
    flat, (width,) = found.tokens.flatten(), found.tokens.shape[1:]
    for c, i in np.ndindex(2, len(sizes)):
        places = found.place[c, i, : sizes[i]]
        assert flat[places].tolist() == tokens[c, i, : sizes[i]].tolist()
        assert len(set((places // width).tolist())) == 1
        assert found.mask.positions.flatten()[places].tolist() == list(range(sizes[i]))
        for k, place in enumerate(places):
            seen = found.mask.visible[place // width, place % width].nonzero().flatten()
            assert sorted((seen + place // width * width).tolist()) == sorted(places[: k + 1].tolist())
    shared = sum(min(start, size) for start, size in zip(differ, sizes, strict=False))
    assert (found.source >= 0).sum() == 2 * sum(sizes) - (shared if share else 0)


def run_of_pair(model: HookedModel) -> Run:
    return observe(model, batch(encode(tiny.task().take(6), model), model, PAIR))


def test_a_screened_ablation_finds_the_wired_head(tmp_path: Path) -> None:
    model = load(wired.source(tmp_path, "wired").folder, device="cpu", self_check=False)
    reading = measure(model, wired.task(), Ablation(screening=Screening(above=2, largest=2, sample=1)))
    whole = abs(measure(model, wired.task(), Ablation()).mean("item")).max("condition")
    best = str(whole["component"].values[int(np.argmax(whole.values))])
    assert best in reading.attrs["screening"]["largest"]


def test_hooks_of_all_layers_are_checked_in_three_passes(hooked: Hooked, monkeypatch: pytest.MonkeyPatch) -> None:
    model = replace(hooked("llama"))
    tokens = run_of_pair(model).batch.tokens[0, :1, :5]
    passes = Counter[str]()
    plain = HookedModel.log_probs

    def count(self: HookedModel, *given: object, **more: object) -> torch.Tensor:
        passes["log_probs"] += 1
        return plain(self, *given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(HookedModel, "log_probs", count)
    check_hooks(model, tokens, ("z", "mlp_out"))
    assert passes["log_probs"] == 1 + 2 * 3


@pytest.mark.parametrize("architecture", ["gpt_neox", "llama"])
def test_the_suppressor_is_among_the_screened_candidates(architecture: Architecture, tmp_path: Path) -> None:
    planted = PLANTED["suppression_by_scores"]()
    of = source(tmp_path, "suppressed", planted, architecture, noise=NOISE)
    task, model = planted.task(16), load(of.folder, device="cpu", self_check=False)
    whole = measure(model, task, Overcoming())
    some = measure(model, task, Overcoming(screening=Screening(above=2, largest=2, sample=1)))
    assert set(some.attrs["suppressors"]) == planted.suppressors
    tried = some.attrs["suppressor_screening"]
    assert planted.suppressors <= set(tried["largest"])
    assert tried["sites"] > 3
    written = [one.sel(exchange="transplant", component="latent", condition="conflict").values for one in (whole, some)]
    assert some.attrs["suppressors"] == whole.attrs["suppressors"]
    assert_allclose(written[1], written[0], atol=1e-4)


def test_estimates_for_suppressors_equal_finite_differences(hooked: Hooked) -> None:
    model = hooked("gpt2")
    run = run_of(model, with_true_only(), NEUTRAL, ALONE, Condition.CONFLICT)
    half = np.arange(12) % 2 == 0
    alone = np.ones(12)
    silenced = Silenced(run, (Site(1, "z", 1), Site(1, "mlp_out")), alone, half)
    sites = [Site(0, "z", 3), Site(0, "mlp_out"), Site(1, "z", 0)]
    assert set(sites) < set(silenced.candidates)
    estimates = silenced.estimates(sites)
    step, plain = 1e-4, latent.set_where
    for k, site in enumerate(sites):
        moved = []
        for way in (1, -1):

            def a_little(given: torch.Tensor, where: torch.Tensor, way: int = way) -> Edit:
                whole = plain(given, where)
                return lambda value: value + way * step * (whole(value) - value)

            edited = replace(silenced)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Silenced, "_edits", edits_of(a_little))
                moved.append(edited.written([(site,)], np.ones(12, dtype=bool))[0])
        assert_allclose(estimates[k], (moved[0] - moved[1]) / (2 * step), atol=1e-7)
    assert np.abs(estimates).max() > 1e-3


def edits_of(where: Callable[[torch.Tensor, torch.Tensor], Edit]) -> Callable[..., dict[Site, Edit]]:
    """`Silenced._edits`, with another way to set activations."""
    plain = Silenced._edits

    def edits(self: Silenced, *given: object) -> dict[Site, Edit]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(latent, "set_where", where)
            return plain(self, *given)  # type: ignore[arg-type]

    return edits
