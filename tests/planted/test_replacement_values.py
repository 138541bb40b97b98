"""Zero, mean and cue-free replacement values disagree at planted suppressors, gates and backups, and there alone."""

import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from xarray import DataArray

import distractor
from distractor.attribution import report
from distractor.attribution.attribute import attribute
from distractor.attribution.tables import tables
from distractor.errors import TaskError
from distractor.models.hooked_model import HookedModel
from distractor.models.load import load
from distractor.models.model import Model
from distractor.probing.measure import measure
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.text.task import Condition, Task
from networks import ARCHITECTURES, Architecture
from probes import PROBES
from probes.ablation import Ablation, Compensation
from shelf import NOISE, PLANTED, Planted, source, suppression_by_scores
from shown import printed

GROUPS = 12
HIDDEN = {"suppression without pulls": partial(suppression_by_scores, true=0.0)}
DISAGREE = {
    "additive": {},
    "suppression_by_scores": {"L0H3.z": (0.0, -2.0, -2.0)},
    "suppression without pulls": {"L0H3.z": (0.0, -2.0, -2.0)},
    "suppression_by_conflict": {"L0H3.z": (0.0, -2.0, -2.0)},
    "gate": {"L0H0.z": (0.0, 1.0, 0.0)},
    "backup": {"L0H2.z": (-3.0, -0.6, -0.6)},
}
"""The sites at which replacement values disagree in conflict, with the effect of mean, zero and cue-free values in nats."""

EVERY: list[tuple[Architecture, float]] = [
    (architecture, noise) for architecture in ARCHITECTURES for noise in (0.0, NOISE)
]
CASES = [
    (name, architecture, noise)
    for name, ways in {
        "suppression_by_scores": EVERY,
        "suppression_by_conflict": EVERY,
        "backup": EVERY,
        "gate": EVERY[1:3],
        "additive": EVERY[::3],
        "suppression without pulls": EVERY[3:],
    }.items()
    for architecture, noise in ways
]


def planted_as(name: str) -> Planted:
    """The planted model of a name; without pulls, the model prefers neither answer in conflict and congruent."""
    return {**PLANTED, **HIDDEN}[name]()


def loaded(folder: Path, planted: Planted, architecture: Architecture, noise: float = 0.0) -> Model:
    """A planted model."""
    return load(source(folder, "model", planted, architecture, noise=noise).folder, device="cpu", self_check=False)


def disagreements(reading: DataArray) -> dict[str, float]:
    """For each component, the largest difference between the mean's effect and that of another kind, in nats."""
    by_mean, *by_others = reading.attrs["replacements"].values()
    return {
        component: max(
            abs(other[component][condition]["mean"] - effect["mean"])
            for other in by_others
            for condition, effect in effects.items()
        )
        for component, effects in by_mean.items()
    }


@pytest.mark.parametrize(("name", "architecture", "noise"), CASES)
def test_a_warning_names_the_sites_where_replacement_values_disagree(
    name: str, architecture: Architecture, noise: float, tmp_path: Path
) -> None:
    planted = planted_as(name)
    # Prompts without cues are shorter in one of the two architectures.
    task = planted.task(GROUPS, short=architecture == "llama")
    reading = measure(loaded(tmp_path, planted, architecture, noise), task, PROBES["ablation"])
    warning = reading.attrs.get("warning", "")
    by = disagreements(reading)
    assert {site for site in by if f"{site} in" in warning} == set(DISAGREE[name]), warning
    assert set(DISAGREE[name]) <= planted.sites
    if DISAGREE[name]:  # AUROC 1.0: every site at which they disagree comes before every other one
        assert min(by[site] for site in DISAGREE[name]) > 3 * max(
            by[site] for site in by.keys() - DISAGREE[name].keys()
        )
    for site, expected in DISAGREE[name].items():
        effects = [effect[site]["conflict"] for effect in reading.attrs["replacements"].values()]
        assert_allclose([effect["mean"] for effect in effects], expected, atol=0.3 if noise else 0.03)
        assert all(effect["low"] <= effect["mean"] <= effect["high"] for effect in effects)


@pytest.mark.parametrize(("architecture", "noise"), EVERY)
def test_compensation_finds_the_backup_if_no_sign_of_writing_is_left(
    architecture: Architecture, noise: float, tmp_path: Path
) -> None:
    planted = PLANTED["backup"]()
    model, task, close = loaded(tmp_path, planted, architecture, noise), planted.task(GROUPS), 0.3 if noise else 0.03
    reading = measure(model, task, PROBES["compensation"]).sel(condition="conflict").mean("item")
    first = reading.sel(component="L0H2.z")
    for path, nats in (("direct", -3.0), ("later", 2.4), ("L2H0.z", 2.4)):
        assert float(first.sel(path=path)) == pytest.approx(nats, abs=close), path
    # AUROC 1.0: the backup's reaction to that head comes before all reactions of all other pairs.
    reacting = {
        (str(component), str(path)): abs(float(reading.sel(component=component, path=path)))
        for component in reading.component.values
        for path in reading.path.values
        if str(path).startswith("L")
    }
    of_backup = reacting.pop(("L0H2.z", "L2H0.z"))
    assert of_backup > 5 * max(reacting.values())
    kept = measure(model, task, Compensation(kind="mean")).sel(component="L0H2.z", path="later")
    assert abs(float(kept.mean())) < close, "a mean keeps the sign, so it cannot show the backup"


@pytest.fixture(scope="module")
def suppressed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Planted, Model]:
    """The model whose distractor is suppressed through scores."""
    planted = PLANTED["suppression_by_scores"]()
    return planted, loaded(tmp_path_factory.mktemp("suppressed"), planted, "llama")


def test_kinds_share_passes_and_have_the_effects_of_separate_ablations(
    suppressed: tuple[Planted, Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    planted, model = suppressed
    passes: list[int] = []
    log_probs = HookedModel.log_probs

    def counted(self: HookedModel, *given: Any, **more: Any) -> Any:
        passes[-1] += 1
        return log_probs(self, *given, **more)

    def reading(probe: Any) -> DataArray:
        passes.append(0)
        return measure(model, planted.task(GROUPS), probe)

    monkeypatch.setattr(HookedModel, "log_probs", counted)
    probe = PROBES["ablation"]
    reading(probe)  # before its first writes, a model's hooks are checked in passes of their own
    passes.clear()
    together = reading(probe)
    alone = {kind: reading(one) for kind, one in probe.kinds.items()}
    assert list(alone) == ["mean", "zero", "cue_free"]
    assert probe.kinds["mean"] == Ablation()
    assert_allclose(together, alone["mean"], atol=1e-4)
    for kind, of_kind in alone.items():
        for component, effects in together.attrs["replacements"][kind].items():
            means = [effect["mean"] for effect in effects.values()]
            assert_allclose(means, of_kind.sel(component=component).mean("item"), atol=1e-4)
    n_components, n_layers = together.sizes["component"], 3
    assert passes == [
        1 + n_components + 2 * n_layers,  # the activations of each layer, with and without cues
        1 + n_components + n_layers,
        1 + n_components + n_layers,
        1 + n_components + 2 * n_layers,
    ]


def test_attribute_warns_in_table_figure_and_summary(tmp_path: Path) -> None:
    planted = PLANTED["suppression_by_scores"]()
    sources = [source(tmp_path, "model", planted, "llama")]
    store, settings = Store(tmp_path / "cells"), Settings(device="cpu", self_check=False)
    probes = {"ablation": PROBES["ablation"]}
    results = attribute(planted.task(GROUPS), sources, probes, store=store, settings=settings)
    warning = "the effect depends on the replacement values: L0H3.z in conflict (mean 0.00, zero -2.00, cue-free -2.00)"
    assert f"Warning: {warning}" in " ".join(printed(tables(results)).split())
    (plan,) = report.plan_figures(results).values()
    figure = plan.draw()
    short = re.sub(r" \([^)]*\)", "", warning)  # without the numbers
    assert f"Warning: {short}" in " ".join(figure.get_suptitle().split())
    assert report.summary(results)["readings"]["ablation"][0]["warning"].startswith(warning)

    # `ablate` takes the passes of the mean alone.
    ablated = distractor.ablate(planted.task(GROUPS), sources[0], store=tmp_path / "cells", **vars(settings))
    (knockout,) = ablated.result.knockouts
    assert "replacements" not in knockout.attributes
    assert np.abs(knockout.data - results.readings["ablation"][0].data).max() < 1e-4


def test_a_task_without_prompts_without_cues_is_refused_or_compared_without_them(
    suppressed: tuple[Planted, Model],
) -> None:
    planted, model = suppressed
    task = without_neutral(planted.task(4), kept=0)
    for probe in (Ablation(kind="cue_free"), PROBES["compensation"]):
        with pytest.raises(
            TaskError, match=r"come from neutral prompts, which the task lacks; add them to its items, or"
        ):
            measure(model, task, probe)
    few = without_neutral(planted.task(4), kept=2)  # both of one group, so others have no values to take
    with pytest.raises(TaskError, match="all 2 items are of the group '0'"):
        measure(model, few, Ablation(kind="cue_free"))
    for lacking in (task, few):
        assert list(measure(model, lacking, PROBES["ablation"]).attrs["replacements"]) == ["mean", "zero"]


def without_neutral(task: Task, kept: int) -> Task:
    """The task with neutral prompts for the first few items only."""
    items = [
        replace(item, prompts={c: p for c, p in item.prompts.items() if c != Condition.NEUTRAL or number < kept})
        for number, item in enumerate(task.items)
    ]
    return replace(task, items=tuple(items))
