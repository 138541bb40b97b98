"""`compare` names the site whose weights were edited, also where another site's effect changes as much."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from distractor.comparison import map_changes, report
from distractor.comparison.compare import PROBES as COMPARED
from distractor.comparison.compare import compare
from distractor.comparison.result import ComparisonResult, Pair
from distractor.comparison.tables import verdict
from distractor.models.same_weights import same_weights
from distractor.models.source import Source
from distractor.runs.folder import RunFolder
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from networks import ARCHITECTURES, Architecture
from probes import PROBES
from shelf import EDITED, NOISE, source

CPU = Settings(device="cpu", self_check=False)
GROUPS = 12
CASES: list[tuple[str, Architecture, float]] = [
    ("mlp", "llama", 0.0),
    ("true_head", "gpt_neox", 0.0),
    ("suppressor", "llama", 0.0),
    ("suppressor", "gpt_neox", NOISE),
]
LONGER: list[tuple[str, Architecture, float]] = [
    ("mlp", "gpt_neox", NOISE),
    ("true_head", "llama", NOISE),
    ("suppressor", "gpt_neox", 0.0),
    ("suppressor", "llama", NOISE),
]

Compared = Callable[[str, Architecture, float], ComparisonResult]


def sides(folder: Path, name: str, architecture: Architecture, noise: float = 0.0) -> list[Source]:
    """A pair of edited models."""
    pair = EDITED[name]()
    both = (("before", pair.before), ("after", pair.after))
    return [source(folder, side, planted, architecture, noise=noise) for side, planted in both]


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compared]:
    """Compares a pair of edited models, once for all tests; with few splits of the items, which no test here reads."""

    @cache
    def comparison(name: str, architecture: Architecture, noise: float) -> ComparisonResult:
        folder = tmp_path_factory.mktemp(name)
        sources = sides(folder, name, architecture, noise)
        probes = {probe: PROBES[probe] for probe in COMPARED}
        return compare(EDITED[name]().after.task(GROUPS), sources, probes, store=Store(folder / "cells"), settings=CPU)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(map_changes, "SPLITS", 2)
        yield comparison


def named(result: ComparisonResult, pair: Pair) -> tuple[str, str, str]:
    """The site that changed most, its probe, and the sentence about it."""
    assert pair.changed_most is not None
    probe, change, i = pair.changed_most
    return change.sites[i], probe, next(line for line in verdict(result, pair) if "changed most" in line)


@pytest.mark.parametrize(
    ("name", "architecture", "noise"), [*CASES, *(pytest.param(*case, marks=pytest.mark.slow) for case in LONGER)]
)
def test_the_edited_site_is_the_one_that_changed_most(
    compared: Compared, name: str, architecture: Architecture, noise: float
) -> None:
    result = compared(name, architecture, noise)
    (pair,) = result.pairs
    site, _, sentence = named(result, pair)
    assert pair.match == "name"
    assert {site} == EDITED[name]().edited
    assert sentence.startswith(f"The site that changed most is {site} ")
    assert "weights are the same" not in sentence
    kinds = {probe for probe, *_ in pair.maps}
    assert ("ablation_zero" in kinds) == (name == "suppressor"), "other kinds are read only where they are needed"


def test_an_exchange_counts_half_as_much_as_a_knock_out(compared: Compared) -> None:
    # L0H1 brings the fact to the edited MLP. Its weights are the same, and its exchange changes by twice the MLP's knock-out.
    result = compared("mlp", "llama", 0.0)
    (pair,) = result.pairs
    exchanged, knocked_out = (
        next(abs(change.mean[i]) for probe, change, i in pair.changes if (probe, change.sites[i]) == wanted)
        for wanted in (("head_patching/distractor_swapped", "L0H1.z"), ("ablation", "L1.mlp_out"))
    )
    assert exchanged == pytest.approx(2.0, abs=0.05)
    assert knocked_out == pytest.approx(1.0, abs=0.05)
    assert named(result, pair)[:2] == ("L1.mlp_out", "ablation")
    # If all weights differ, equal changes in nats of D are named in the order of the probes.
    unknown = replace(pair, same_weights=frozenset())
    assert named(result, unknown)[1] == "ablation"
    exchanges_first = replace(unknown, maps=dict(reversed(pair.maps.items())))
    assert named(result, exchanges_first)[1].startswith("head_patching")


def test_the_sentence_says_if_the_site_was_not_edited(compared: Compared) -> None:
    result = compared("suppressor", "llama", 0.0)
    (pair,) = result.pairs
    # Ablation by a mean and exchanges do not see the suppressor.
    seen = replace(pair, maps={way: maps for way, maps in pair.maps.items() if way[0] in {"ablation", "head_patching"}})
    site, _, sentence = named(result, seen)
    assert site == "L1H1.z"
    assert sentence.endswith("Its weights are the same in both models, so the change comes from another site.")
    assert seen.edited == {"L0H0.z", "L0H1.z", "L0H2.z", "L0H3.z", *(s for s in seen.edited if s.endswith("pattern"))}


@pytest.mark.usefixtures("undrawn")
def test_readings_with_other_replacement_values_are_written(compared: Compared, tmp_path: Path) -> None:
    result = compared("suppressor", "llama", 0.0)
    summary = report.write(RunFolder(tmp_path), [result])
    most = summary["tasks"]["planted"]["pairs"][0]["changed_most"]
    assert (most["site"], most["probe"], most["has_same_weights"]) == ("L0H3.z", "ablation_zero", False)
    assert most["by"] == pytest.approx(-2.0, abs=0.05)
    assert len(list((tmp_path / "readings").glob("*ablation_zero*"))) == 2


def test_layers_with_equal_weights_are_found(tmp_path: Path) -> None:
    every = {f"L{layer}.{part}" for layer in range(3) for part in ("attn", "mlp")}
    for architecture in ARCHITECTURES:
        before, after = sides(tmp_path / architecture, "mlp", architecture)
        assert same_weights(before, after) == every - {"L1.mlp"}
        assert same_weights(before, before) == every


def test_a_changed_norm_counts_for_both_parts_of_its_layer(tmp_path: Path) -> None:
    before, after = sides(tmp_path, "mlp", "llama")
    weights = load_file(before.folder / "model.safetensors")
    name = "model.layers.2.input_layernorm.weight"
    weights[name] = weights[name] + np.float32(1e-6)
    save_file(weights, after.folder / "model.safetensors", metadata={"format": "pt"})
    assert same_weights(before, after) == {f"L{layer}.{part}" for layer in range(2) for part in ("attn", "mlp")}
