"""Attention by role equals Hugging Face's and sums to one; planted heads attend to the planted positions."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from transformers import AutoModelForCausalLM

import tiny
import wired
from conftest import Hooked
from distractor.models.load import load
from distractor.probing.measure import measure
from distractor.probing.positions import Positions, label
from distractor.probing.run import batch
from distractor.scoring.encode import encode
from distractor.text.task import Condition
from probes.attention import Attention

EVERY = list(tiny.ARCHITECTURES)
CONFLICT = Condition.CONFLICT


@pytest.mark.parametrize("architecture", EVERY)
def test_shares_sum_to_one(hooked: Hooked, architecture: str) -> None:
    reading = measure(hooked(architecture, "bytes"), tiny.task(), Attention())
    assert reading.dims == ("component", "role", "condition", "item")
    assert_allclose(reading.sum("role"), 1, atol=1e-6)
    assert list(reading.component.values) == [f"L{n}H{h}.pattern" for n in (0, 1) for h in range(4)]


@pytest.mark.parametrize("architecture", ["gpt2", "llama_grouped_tied"])
def test_shares_equal_the_attention_of_hugging_face_summed_by_role(hooked: Hooked, architecture: str) -> None:
    model = hooked(architecture, "bytes")
    encoding = encode(tiny.task(), model)
    reading = measure(model, tiny.task(), Attention(), encoding).sel(condition="conflict")
    network = AutoModelForCausalLM.from_pretrained(model.name, dtype=torch.float64, attn_implementation="eager").eval()
    for item, row in list(zip(reading.coords["item"].values, encoding.rows[CONFLICT], strict=True))[:3]:
        assert row is not None
        with torch.no_grad():
            layers = network(torch.tensor([row.prompt]), output_attentions=True).attentions
        for layer, found in enumerate(layers):
            for head in range(4):
                expected: dict[str, float] = {}
                for role, share in zip(row.roles, found[0, head, -1].tolist(), strict=True):
                    expected[label(role)] = expected.get(label(role), 0.0) + share
                ours = reading.sel(component=f"L{layer}H{head}.pattern", item=item)
                assert {str(r) for r in ours.role.values[~np.isnan(ours)]} == set(expected)
                for role, share in expected.items():
                    assert float(ours.sel(role=role)) == pytest.approx(share, abs=1e-6)


def test_a_role_that_a_prompt_lacks_is_absent_and_not_zero(hooked: Hooked) -> None:
    reading = measure(hooked("gpt2", "bytes"), tiny.task(), Attention())
    absent = np.isnan(reading).all("component")
    assert absent.any(), "all prompts are cut up alike, and the test shows nothing"
    assert not absent.sel(role="slot").any()
    assert "no token of the role" in reading.attrs["absent"]


def test_planted_heads_attend_to_the_planted_positions(tmp_path: Path) -> None:
    model = load(wired.save(tmp_path, wired.Strengths()), device="cpu", dtype="float64").hooked
    mean = measure(model, wired.task(), Attention()).mean("item")
    for head, role in ((0, "first"), (1, "second"), (2, "between"), (3, "first")):
        assert (mean.sel(component=f"L0H{head}.pattern", role=role) > 0.999).all()


def test_positions_are_in_the_order_of_the_prompt_and_each_token_has_one(hooked: Hooked) -> None:
    model = hooked("gpt2", "bytes_bos")
    together = batch(encode(tiny.task(), model), model, (CONFLICT, Condition.CONGRUENT))
    positions = Positions.of(together)
    assert positions.labels[0] == "bos"
    assert positions.labels[-1] == "slot"
    assert positions.labels.index("cue") < positions.labels.index("named") < positions.labels.index("slot")
    for c, line in enumerate(together.roles):
        for i, row in enumerate(line):
            index = positions.index[c, i].tolist()
            assert [positions.labels[k] for k in index[: len(row)]] == [label(role) for role in row]
            assert set(index[len(row) :]) <= {-1}
    ones = torch.ones(together.tokens.shape, dtype=torch.float64)
    assert_allclose(positions.sums(ones).sum(0), together.lengths.expand(2, -1))
    assert torch.equal(positions.present, positions.sums(ones) > 0)
