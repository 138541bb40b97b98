"""MLPs are candidates for a task's sites, as heads are: also where no head takes part."""

from pathlib import Path

import pytest

from distractor.attribution.attribute import attribute
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from networks import ARCHITECTURES, Architecture
from probes import PROBES
from shelf import mlp_alone, source

pytestmark = pytest.mark.quick

STRENGTHS = (0.5, 3.0)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_distractor_in_an_mlp_alone_is_found_at_every_strength(architecture: Architecture, tmp_path: Path) -> None:
    planted = [mlp_alone(distractor=nats) for nats in STRENGTHS]
    sources = [source(tmp_path, f"{k}", one, architecture) for k, one in enumerate(planted)]
    probes = {name: PROBES[name] for name in ("ablation", "head_patching")}
    settings = Settings(device="cpu", self_check=False)
    results = attribute(planted[0].task(8), sources, probes, store=Store(tmp_path / "cells"), settings=settings)
    for strength, one, nats in zip(results.strengths, planted, STRENGTHS, strict=True):
        assert set(strength.chosen.distractor) == one.distractor
        assert set(strength.chosen.true) == one.true
        assert strength.mean("distractor").mean == pytest.approx(nats, abs=0.03)
        assert strength.mean("true").mean == pytest.approx(3.0, abs=0.03)
