"""The cost that a probe states for plans and progress is near the tokens that pass through the model."""

from pathlib import Path

import pytest

from distractor.models.families import find_models
from distractor.probing.readings import Reader
from distractor.probing.screening import Screening
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.work import Step, Work, follow
from probes import PROBES
from tasks import TASKS

FACTOR = 3.0
FEW = Screening(above=5, largest=3, sample=2)
PASSES = {
    **PROBES,
    "screened ablation": PROBES["ablation"].screened(FEW),
    "screened patching": PROBES["head_patching"].screened(FEW),
}
OWN_MEASURE = ("chance", "overcoming")  # runs no model; many small passes, whose time is not in proportion


@pytest.mark.parametrize("name", [name for name in PASSES if name not in OWN_MEASURE])
def test_a_probe_takes_about_the_tokens_that_it_states(name: str, tmp_path: Path) -> None:
    (source,) = find_models(["ladder/16x2/seed780"], task="negation_qa")
    task = TASKS["negation_qa"]().take(12)
    reader = Reader(task, source, Store(tmp_path), Settings(device="cpu"))
    with follow(Work([Step(source.name, name, 1, 1)])) as work:
        reader.read(PASSES[name], name)
        taken = work.taken[name]
    assert 1 / FACTOR < taken < FACTOR
