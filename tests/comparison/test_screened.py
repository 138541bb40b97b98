"""In models with many sites, `compare` measures the same few in all models, and finds what all sites would show."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from distractor.comparison import map_changes
from distractor.comparison.compare import compare, run_steps
from distractor.comparison.measured_sites import measured_sites
from distractor.comparison.page import page
from distractor.comparison.result import ComparisonResult
from distractor.models.families import find_models
from distractor.models.source import Source
from distractor.probing.probe import Probe
from distractor.probing.screening import Screening, SharedScreening
from distractor.runs.page.render import render_page
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.work import Work, follow
from probes import PROBES
from tasks import TASKS

CPU = Settings(device="cpu", self_check=False)
FEW = Screening(above=10, largest=6, sample=4)
EVERY: Mapping[str, Probe] = {name: PROBES[name].unscreened for name in ("ablation", "head_patching")}
SCREENED: Mapping[str, Probe] = {name: probe.screened(FEW) for name, probe in EVERY.items()}
SITES = 22  # heads and MLPs of the ladder's largest models


def edited(folder: Path, source: Source) -> Source:
    """A copy of a model with the MLP of its last layer scaled."""
    shutil.copytree(source.folder, folder / "edited")
    path = folder / "edited" / "model.safetensors"
    weights = load_file(path)
    (name,) = (name for name in weights if name.endswith("layers.1.mlp.dense_4h_to_h.weight"))
    weights[name] = weights[name] * 0.4
    save_file(weights, path, metadata={"format": "pt"})
    return find_models([str(folder / "edited")])[0]


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[ComparisonResult, ComparisonResult]:
    """A large ladder model and its edited copy, with all sites and screened."""
    folder = tmp_path_factory.mktemp("screened")
    (source,) = find_models(["ladder/80x2/seed780"], task="negation_qa")
    shutil.copytree(source.folder, folder / "plain")
    sources = [*find_models([str(folder / "plain")]), edited(folder, source)]
    task, store = TASKS["negation_qa"]().take(20), Store(folder / "cells")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(map_changes, "SPLITS", 2)
        every = compare(task, sources, EVERY, store=store, settings=CPU)
        with follow(Work(run_steps(task, sources, SCREENED, store, CPU))) as work:
            screened = compare(task, sources, SCREENED, store=store, settings=CPU)
        assert work.left == []
    return every, screened


def test_the_largest_effects_and_changes_are_those_of_all_sites(
    compared: tuple[ComparisonResult, ComparisonResult],
) -> None:
    (every,), (screened,) = (result.pairs for result in compared)
    assert every.maps.keys() == screened.maps.keys()
    for key, maps in screened.maps.items():
        for few, whole in zip(
            maps, (one for one in every.maps[key] if one.outer.get("part") != "pattern"), strict=True
        ):
            assert set(few.sites) < set(whole.sites)
            place = [whole.sites.index(site) for site in few.sites]
            np.testing.assert_allclose(few.first, whole.first[place], atol=1e-5)
            np.testing.assert_allclose(few.mean, whole.mean[place], atol=1e-5)
            for values in (whole.mean, whole.first, whole.second):
                size = np.abs(values)
                large = {site for site, one in zip(whole.sites, size, strict=True) if one >= size.max() / 2}
                assert large <= set(few.sites), (key, few.name)
    most = [pair.changed_most for pair in (every, screened)]
    names = [(probe, change.sites[k]) for probe, change, k in (one for one in most if one is not None)]
    assert len(names) == 2
    assert names[0] == names[1]
    assert "L1.mlp_out" in screened.edited


def test_both_models_have_the_same_sites_and_the_page_says_which(
    compared: tuple[ComparisonResult, ComparisonResult],
) -> None:
    every, screened = compared
    shared = screened.screened
    for name in SCREENED:
        assert shared[0, name] == shared[1, name]
        one = shared[0, name]
        assert isinstance(one, SharedScreening)
        assert "L1.mlp_out" in one.named
        assert len(one.sampled) <= FEW.sample
    (pair,) = screened.pairs
    sentences = measured_sites(screened, pair)
    assert "Gradients chose" in sentences[0]
    assert f" of {SITES} sites. Of the " in sentences[1]
    assert "--exact" in sentences[-1]
    assert measured_sites(every, every.pairs[0]) == []
    html = render_page(page([screened], (), {}))
    assert "Gradients chose the sites" in html


def test_models_of_separate_runs_are_screened_alone(tmp_path: Path) -> None:
    sources = find_models(["ladder/80x2/seed780", "ladder/80x2/seed781"], task="negation_qa")
    probes = {"ablation": SCREENED["ablation"]}
    result = compare(TASKS["negation_qa"]().take(24), sources, probes, store=Store(tmp_path), settings=CPU)
    assert result.screened[0, "ablation"] != result.screened[1, "ablation"]
    (pair,) = result.pairs
    assert pair.match == "function"
    assert pair.maps == {}
    assert all(strength is not None for strength in result.strengths)
