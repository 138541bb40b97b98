"""Zero, mean and cue-free replacement values disagree at planted suppressors, gates and backups, and there alone."""

from pathlib import Path
from typing import Any

import pytest
from numpy.testing import assert_allclose
from xarray import DataArray

from distractor.errors import TaskError
from distractor.models.load import load
from distractor.probing.measure import measure
from distractor.text.task import Condition, Task
from networks import Architecture
from probes import PROBES
from probes.ablation import Ablation, Compensation
from shelf import NOISE, PLANTED, Planted, source

pytestmark = pytest.mark.quick

GROUPS = 12
DISAGREE = {
    "additive": {},
    "suppression_by_scores": {"L0H3.z": (0.0, -2.0, -2.0)},
    "gate": {"L0H0.z": (0.0, 1.0, 0.0)},
    "backup": {"L0H2.z": (-3.0, -0.6, -0.6)},
}
"""The sites at which replacement values disagree in conflict, with the effect of mean, zero and cue-free values in nats."""


def read(
    folder: Path, planted: Planted, architecture: Architecture, noise: float, probe: Any, **more: bool
) -> DataArray:
    """A probe's reading in a planted model."""
    model = load(source(folder, "model", planted, architecture, noise=noise).folder, device="cpu", self_check=False)
    return measure(model, planted.task(GROUPS, **more), probe)


@pytest.mark.parametrize(
    ("architecture", "noise", "short"), [("gpt_neox", 0.0, False), ("llama", NOISE, True)], ids=["neox", "llama"]
)
@pytest.mark.parametrize("name", DISAGREE)
def test_a_warning_names_the_sites_where_replacement_values_disagree(
    name: str, architecture: Architecture, noise: float, short: bool, tmp_path: Path
) -> None:
    reading = read(tmp_path, PLANTED[name](), architecture, noise, PROBES["ablation"], short=short)
    warning = reading.attrs.get("warning", "")
    named = {site for site in map(str, reading["component"].values) if f"{site} in" in warning}
    assert named == set(DISAGREE[name]), warning
    found = {
        (row["component"], row["replacement"]): row["mean"]
        for row in reading.attrs["replacements"]
        if row["condition"] == "conflict"
    }
    for site, expected in DISAGREE[name].items():
        effects = [found[site, kind] for kind in ("mean", "zero", "cue_free")]
        assert_allclose(effects, expected, atol=0.3 if noise else 0.03)


def test_compensation_finds_the_backup_if_no_sign_of_writing_is_left(tmp_path: Path) -> None:
    reading = read(tmp_path, PLANTED["backup"](), "llama", 0.0, PROBES["compensation"])
    first = reading.sel(component="L0H2.z", condition="conflict").mean("item")
    for path, nats in (("direct", -3.0), ("later", 2.4), ("L2H0.z", 2.4), ("L1H2.z", 0.0)):
        assert float(first.sel(path=path)) == pytest.approx(nats, abs=0.03), path
    kept = read(tmp_path, PLANTED["backup"](), "llama", 0.0, Compensation()).sel(component="L0H2.z", path="later")
    assert abs(float(kept.mean())) < 0.03, "a mean keeps the sign, so it cannot show the backup"


def test_a_task_without_the_donors_condition_is_refused(tmp_path: Path) -> None:
    planted = PLANTED["additive"]()
    model = load(source(tmp_path, "model", planted, "gpt_neox").folder, device="cpu", self_check=False)
    task = _without(planted.task(4), Condition.NEUTRAL)
    with pytest.raises(TaskError, match="come from neutral, which the task lacks"):
        measure(model, task, Ablation(kind="cue_free"))
    compared = measure(model, task, PROBES["ablation"]).attrs["replacements"]
    assert {row["replacement"] for row in compared} == {"mean", "zero"}


def _without(task: Task, condition: Condition) -> Task:
    from dataclasses import replace

    items = [replace(item, prompts={c: p for c, p in item.prompts.items() if c != condition}) for item in task.items]
    return replace(task, items=tuple(items))
