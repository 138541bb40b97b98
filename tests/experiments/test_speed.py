"""The races: both sides compute the same values, and the table shows the measurements."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from transformers import GPT2Config, GPTNeoXConfig

import tiny
from experiments.speed import inputs, ours, race, theirs

ENDS = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
SHAPES: dict[str, Any] = {
    "gpt2": GPT2Config(vocab_size=300, n_embd=16, n_layer=2, n_head=2, n_positions=80, **ENDS),
    "gpt_neox": GPTNeoXConfig(
        vocab_size=300, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, **ENDS
    ),
}
OF_HARNESS = ("official NeQA", "long answers")


@pytest.mark.filterwarnings("ignore")  # warnings of the other tools
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", [name for name in race.RACES if name != "official NeQA"])
def test_both_sides_of_a_race_compute_the_same_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, shape: str
) -> None:
    if name in OF_HARNESS and importlib.util.find_spec("lm_eval") is None:
        pytest.skip("lm-evaluation-harness is not installed: pip install -e '.[harness]'")
    monkeypatch.setattr(inputs, "SHAPES", SHAPES)
    monkeypatch.setattr(inputs, "ATTRIBUTED", 3)
    monkeypatch.setattr(theirs, "BATCH_SIZES", (4,))
    folder = inputs.save(shape, tmp_path / shape, tiny.OTHER_TEXT)
    values, expected = ours.RACES[name](folder)(), theirs.RACES[name](folder)()
    assert np.ptp(expected) > 1e-5, "all values are equal"
    assert_allclose(values, expected, atol=min(race.CLOSE, 0.02 * np.ptp(expected)))


@pytest.mark.quick
def test_each_race_has_two_sides_and_each_target_a_race() -> None:
    assert list(ours.RACES) == list(theirs.RACES) == list(race.RACES)
    assert {name for name, _ in race.TARGETS} <= set(race.RACES)
    assert {shape for _, shape in race.TARGETS} <= set(inputs.SHAPES)


@pytest.mark.quick
def test_the_table_shows_the_median_of_the_pairs_and_its_range() -> None:
    measured = {
        "ours": {"seconds": [1.0, 2.0, 1.0], "peak": [1024, 2048, 1024], "operations": 5e9},
        "theirs": {"seconds": [4.0, 6.0, 5.0], "peak": [1024, 1024, 1024], "operations": 2e10},
    }
    machine = {"processor": "P", "cores": 2, "threads": 2, "python": "3", "operations_a_second": 1e10}
    machine |= dict.fromkeys(("torch", "transformers", "transformer-lens", "lm-eval"), "1")
    *_, row = race.table({"machine": machine, "races": {"residual sweep / gpt2-small": measured}})
    assert row == (
        "| residual sweep | `get_act_patch_resid_pre` | gpt2-small | 1.00 | 5.00 | **4.0** (3.0 to 5.0) | 5 "
        "| 50% | 40% | 2 | 1 |"
    )


@pytest.mark.quick
def test_the_page_shows_the_measurements() -> None:
    page = (race.HERE / "README.md").read_text().splitlines()
    machine, _, *rows = race.table(json.loads((race.HERE / "results.json").read_text()))
    assert any(line.startswith(machine) for line in page)
    assert set(rows) <= set(page)
