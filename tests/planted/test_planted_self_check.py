"""The self-check of attribution patching raises no alarm where a pair's prompts have the same gap."""

from pathlib import Path

import pytest

from distractor.models.load import load
from distractor.probing.measure import measure
from distractor.text.task import Condition
from networks import Architecture
from probes.attribution_patching import AttributionPatching
from shelf import NOISE, source, unlearned

pytestmark = pytest.mark.quick


@pytest.mark.parametrize(("architecture", "noise"), [("gpt_neox", 0.0), ("llama", NOISE)])
def test_effects_of_a_pair_without_a_difference_are_not_compared(
    architecture: Architecture, noise: float, tmp_path: Path
) -> None:
    planted = unlearned()
    model = load(source(tmp_path, "model", planted, architecture, noise=noise).folder, device="cpu", self_check=False)
    for parts in (("z", "mlp_out"), ("resid_pre", "resid_post")):
        probe = AttributionPatching(parts=parts, other=Condition.DISTRACTOR_SWAPPED)
        reading = measure(model, planted.task(8), probe)
        assert "warning" not in reading.attrs, reading.attrs["self_check"]
