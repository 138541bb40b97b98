"""The gap is exactly the product of its factors, and a change of stream or of read-out is found as what it is."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from transformers import GPT2LMHeadModel

import tiny
import wired
from conftest import Hooked
from distractor.attribution import report
from distractor.attribution.attribute import attribute
from distractor.attribution.read_out import SizeFactors, _changes, read_out_over_size
from distractor.attribution.tables import tables
from distractor.errors import ModelError
from distractor.models.source import Source
from distractor.probing.measure import measure
from distractor.probing.probe_results import ProbeResults
from distractor.probing.run import batch, observe
from distractor.scoring.encode import encode
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.statistics.intervals import Mean, known_interval_of_models
from distractor.statistics.split_change import Factors, split_change
from distractor.text.task import Condition
from grouped_items import grouped
from probes.read_out import ReadOut, _factors
from shown import check_widths, printed

PAIR = (Condition.CONFLICT, Condition.CONGRUENT)
TASK = wired.task(8)


@pytest.mark.parametrize("architecture", [*tiny.ARCHITECTURES, "olmo2"])
def test_the_product_of_the_factors_is_the_gap(hooked: Hooked, architecture: str) -> None:
    model, task = hooked(architecture, "bytes"), tiny.task()
    found = measure(model, task, ReadOut(PAIR))
    gap = observe(model, batch(encode(task, model), model, PAIR)).gap.numpy()
    cosine, stream, answers, rest = (found.sel(factor=name) for name in ("cosine", "stream", "answers", "rest"))
    assert_allclose(cosine * stream * answers + rest, gap, atol=1e-5, rtol=0)
    assert_allclose(found.sel(factor="gap"), gap, atol=1e-9, rtol=0)
    assert (np.abs(cosine) <= 1).all()
    assert_allclose(stream, np.sqrt(model.d_model), rtol=0.01)
    # The read-out does not depend on the prompt: two items in turn have the same answers in both orders.
    assert_allclose(answers[:, ::2], answers[:, 1::2], rtol=1e-6)
    assert float(np.abs(cosine).max()) > 0.01


def test_the_soft_cap_is_in_the_rest(hooked: Hooked) -> None:
    model, task = hooked("gemma2"), tiny.task()
    assert model.soft_cap is not None
    found = measure(model, task, ReadOut())
    assert float(np.abs(found.sel(factor="rest")).max()) > 0


def test_a_model_without_a_final_norm_is_refused(hooked: Hooked) -> None:
    with pytest.raises(ModelError, match=r"no norm before its unembedding.*leave out read_out"):
        measure(hooked("opt_350m"), tiny.task(), ReadOut())


def test_a_gap_that_is_not_the_product_is_refused(hooked: Hooked) -> None:
    model, probe = hooked("gpt_neox"), ReadOut()
    run = observe(model, batch(encode(tiny.task(), model), model, probe.conditions), probe.sites(model))
    assert_allclose(probe(run).sel(factor="gap"), run.gap, atol=1e-9)
    with pytest.raises(ModelError, match="do not give the model's gap"):
        probe(replace(run, log_probs=run.log_probs * 1.01))


@pytest.mark.quick
def test_zeros_in_the_stream_do_not_change_the_read_out() -> None:
    weights = torch.tensor([[1.0, -2.0, 3.0, 0.5]], dtype=torch.float64)
    resid = torch.tensor([[2.0, 0.0, 1.0, -1.0]], dtype=torch.float64)
    scale = resid.square().mean(-1).sqrt()
    for factor in (1.0, 0.9):  # the norm divides by a little more than the rms
        here = torch.where(resid == 0, 0, weights) / scale[:, None] * factor
        found = _factors(resid, here, weights, scale)
        assert_allclose(found["answers"], weights.norm())
        assert_allclose(found["stream"], 2 * factor)
        assert_allclose(found["cosine"] * found["stream"] * found["answers"], (resid * here).sum(-1))
    nothing = _factors(0 * resid, 0 * resid, weights, 0 * scale)
    assert_allclose(nothing["cosine"], 0)


# Changes over size.


@pytest.mark.quick
def test_the_parts_of_a_change_add_up_and_trade_places_with_the_direction() -> None:
    random = np.random.default_rng(0)
    one, other = (Factors(*random.normal(size=(3, 50))) for _ in range(2))
    stream, read_out = split_change(one, other)
    assert_allclose(stream + read_out, other.preference - one.preference, atol=1e-12)
    for there, back in zip((stream, read_out), split_change(other, one), strict=True):
        assert_allclose(there, -back, atol=1e-12)
    stream, read_out = split_change(one, replace(one, largest=3 * one.largest))
    assert_allclose(stream, 0, atol=1e-12)
    assert np.abs(read_out).max() > 0.1


GROUPS = grouped(20)


def size(name: str, cosine: float, stream: float, answers: float, seeds: int = 1) -> SizeFactors:
    """A size with these factors and a little noise of items and seeds in the cosine."""
    noise = np.random.default_rng(len(name)).normal(0, 0.02, (seeds, len(GROUPS)))
    noise -= noise.mean()
    values = {"cosine": cosine + noise, "stream": stream + 0 * noise, "answers": answers + 0 * noise, "rest": 0 * noise}
    return SizeFactors(name, 1, {seed: seed for seed in range(seeds)}, values, {})


@pytest.mark.quick
@pytest.mark.parametrize(
    ("small", "large", "comes_from"),
    [
        ((-0.3, 4, 0.1), (-0.3, 4, 2.0), "the read-out"),
        ((0.0, 4, 2.0), (-0.3, 4, 2.0), "the stream"),
        ((-0.3, 2, 0.1), (-0.3, 8, 2.0), "the read-out"),
        ((-0.3, 2, 1.0), (-0.3, 16, 1.0), "undetermined"),  # width alone: the read-out's or the stream's
        ((-0.3, 4, 1.0), (-0.3, 4, 1.0), "no clear change"),
    ],
)
def test_a_bottleneck_and_an_empty_stream_are_different(small: Any, large: Any, comes_from: str) -> None:
    (change,) = _changes([size("small", *small), size("large!", *large)], GROUPS)
    assert change.comes_from == comes_from, change.sentence
    assert change.stream.mean + change.read_out.mean == pytest.approx(change.change.mean, abs=1e-12)


@pytest.mark.quick
def test_a_rise_and_a_fall_are_split_apart_and_over_seeds() -> None:
    sizes = [size("a", -0.4, 4, 0.05, 3), size("bb", -0.4, 4, 2.0, 3), size("ccc", 0.4, 4, 2.0, 3)]
    rise, fall = _changes(sizes, GROUPS)
    assert (rise.start, rise.end, fall.start, fall.end) == ("a", "bb", "bb", "ccc")
    assert (rise.comes_from, fall.comes_from) == ("the read-out", "the stream")
    assert rise.change.mean > 0 > fall.change.mean
    before, after = (one.factors([0, 1, 2]).preference for one in sizes[1:])
    assert_allclose(fall.change, known_interval_of_models(after - before, GROUPS) or ())


def weak(folder: Path, source: Source, factor: float) -> Source:
    """The model with its unembedding scaled."""
    copy = shutil.copytree(source.folder, folder / f"{source.name}-weak")
    network = GPT2LMHeadModel.from_pretrained(copy)
    with torch.no_grad():
        network.lm_head.weight.mul_(factor)
    network.save_pretrained(copy)
    return Source("models", "a", copy)


def read(folder: Path, *sources: Source) -> ProbeResults:
    probes = {"read_out": ReadOut()}
    return attribute(TASK, sources, probes, store=Store(folder / "cells"), settings=Settings(device="cpu"))


Planted = Callable[[Path, Source], Source]
PLANTED: dict[str, Planted] = {
    "the read-out": lambda folder, full: weak(folder, full, 0.1),
    "the stream": lambda folder, _: replace(wired.source(folder, "empty", first=0.7, second=0.5), model="a"),
}


@pytest.mark.parametrize("comes_from", PLANTED)
def test_a_planted_change_is_found_as_what_it_is(tmp_path: Path, comes_from: str) -> None:
    full = replace(wired.source(tmp_path, "full", first=3.0, second=0.5), model="b")
    results = read(tmp_path, PLANTED[comes_from](tmp_path, full), full)
    found = json.loads(json.dumps(report.summary(results), allow_nan=False))["read_out"]
    (change,) = found["changes"]
    assert change["comes_from"] == comes_from
    assert change["change"]["mean"] > 0.3
    changed, kept = ("read_out", "stream")[:: 1 if comes_from == "the read-out" else -1]
    assert change[kept]["mean"] == pytest.approx(0, abs=0.01)
    assert change[changed]["mean"] == pytest.approx(change["change"]["mean"], abs=0.01)
    first, second = found["sizes"]
    ratio = {name: first[name]["mean"] / second[name]["mean"] for name in ("answers", "cosine", "largest")}
    expected = {"answers": 0.1, "cosine": 1.0} if comes_from == "the read-out" else {"answers": 1.0, "cosine": 0.08}
    assert {name: ratio[name] for name in expected} == pytest.approx(expected, rel=0.02)
    for one in found["sizes"]:
        Mean(**one["gap"])
        assert one["gap"]["mean"] == pytest.approx(one["cosine"]["mean"] * one["largest"]["mean"], abs=1e-3)
    text = " ".join(printed(tables(results)).split())
    assert "From a to b, preference changes by" in text
    assert f"the curve follows {'what the stream holds' if comes_from == 'the stream' else comes_from}" in text
    assert "largest gap" in text
    check_widths(lambda: tables(results))


def test_models_of_one_size_have_factors_and_no_change(tmp_path: Path) -> None:
    results = read(tmp_path, wired.source(tmp_path, "one"))
    over = read_out_over_size(results)
    assert over is not None
    assert [one.name for one in over.sizes] == ["one"]
    assert over.changes == ()
    assert read_out_over_size(replace(results, readings={})) is None
    assert report.summary(replace(results, readings={}))["read_out"] is None
