"""The planted models do what they are said to do: plain passes of transformers, with and without each site's weights."""

from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from numpy import ndarray

import cues
from circuits import HEADS, LAYERS
from distractor.text.task import Condition
from later_shelf import LATER
from networks import ARCHITECTURES, D_HEAD, Architecture, build
from shelf import EDITED, NOISE, PLANTED, Planted
from tiny import word_level

pytestmark = pytest.mark.quick

MADE = {**PLANTED, **LATER}
MODELS = [
    *product(PLANTED, ARCHITECTURES, (0.0, NOISE)),
    *((name, *kind) for name in LATER for kind in (("gpt_neox", 0.0), ("llama", NOISE))),
]
EVERY = [f"L{layer}H{head}.z" for layer in range(LAYERS) for head in range(HEADS)]
EVERY += [f"L{layer}.mlp_out" for layer in range(LAYERS)]
TOKENIZER = word_level(cues.WORDS, bos=True)
TOLERANCE = {0.0: 0.02, NOISE: 0.3}
"""How far a gap may be from the rule, in nats. A clean model differs by the norms, which the outputs lengthen a little."""


@cache
def made(name: str, architecture: Architecture, noise: float) -> tuple[Planted, Any]:
    """A planted model and its network in plain transformers; a test must leave the weights as they were."""
    planted = MADE[name]()
    return planted, build(cues.WORDS, planted.circuit, architecture, noise=noise)


def gaps(network: Any, planted: Planted, groups: int = 4, *, short: bool = False) -> ndarray:
    """The logit gap at the last token of each prompt: [item condition]."""
    prompts = [
        (item, item.prompts[condition]) for item in planted.task(groups, short=short).items for condition in Condition
    ]
    tokens = [TOKENIZER(prompt)["input_ids"] for _, prompt in prompts]
    answers = torch.tensor(
        [TOKENIZER.convert_tokens_to_ids([one.strip() for one in item.answers]) for item, _ in prompts]
    )
    found = torch.empty(len(prompts))
    for length in {len(row) for row in tokens}:
        rows = [number for number, row in enumerate(tokens) if len(row) == length]
        with torch.inference_mode():
            logits = network(torch.tensor([tokens[row] for row in rows])).logits[:, -1]
        true, distractor = logits.gather(1, answers[rows]).unbind(-1)
        found[rows] = (true - distractor).float()
    return found.view(-1, len(Condition)).numpy()


def planned(planted: Planted, groups: int = 4, without: str = "") -> ndarray:
    """The gaps by the model's rule."""
    items = planted.task(groups).items
    return np.array([[planted.gap(item, condition, without) for condition in Condition] for item in items])


def output_weights(network: Any, site: str) -> torch.Tensor:
    """The weights by which a site writes to the stream, a view."""
    layer, head = int(site[1]), None if "mlp" in site else int(site[3])
    neox = getattr(network, "gpt_neox", None)
    if neox is not None:
        block = neox.layers[layer]
        whole = block.mlp.dense_4h_to_h.weight if head is None else block.attention.dense.weight
    else:
        block = network.model.layers[layer]
        whole = block.mlp.down_proj.weight if head is None else block.self_attn.o_proj.weight
    return whole.data if head is None else whole.data[:, head * D_HEAD : (head + 1) * D_HEAD]


@pytest.mark.parametrize(("name", "architecture", "noise"), MODELS)
def test_the_gap_follows_the_rule_under_every_condition(name: str, architecture: Architecture, noise: float) -> None:
    planted, network = made(name, architecture, noise)
    assert np.abs(gaps(network, planted) - planned(planted)).max() < TOLERANCE[noise]


@pytest.mark.parametrize(("name", "architecture", "noise"), MODELS)
def test_without_the_weights_of_a_site_the_gap_changes_as_the_truth_says(
    name: str, architecture: Architecture, noise: float
) -> None:
    planted, network = made(name, architecture, noise)
    for site in EVERY:
        weights = output_weights(network, site)
        kept = weights.clone()
        weights.zero_()
        try:
            found, expected = gaps(network, planted, 2), planned(planted, 2, site)
        finally:
            weights.copy_(kept)
        assert np.abs(found - expected).max() < TOLERANCE[noise], site
        acts = np.abs(expected - planned(planted, 2)).max() > 0.4
        assert acts == (site in planted.sites - planted.backups), site


@pytest.mark.parametrize("noise", [0.0, NOISE])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", EDITED)
def test_edited_models_differ_in_the_layers_of_the_edited_sites_alone(
    name: str, architecture: Architecture, noise: float
) -> None:
    pair = EDITED[name]()
    before, after = (
        build(cues.WORDS, planted.circuit, architecture, noise=noise).state_dict()
        for planted in (pair.before, pair.after)
    )
    changed = {key for key, weight in before.items() if not torch.equal(weight, after[key])}
    assert changed
    for key in changed:
        assert any(f".{site[1]}." in key and ("mlp" in site) == (".mlp." in key) for site in pair.edited), key


@pytest.mark.parametrize("name", PLANTED)
def test_prompts_without_a_cue_may_leave_its_place_out(name: str) -> None:
    planted, network = made(name, "llama", 0.0)
    found = gaps(network, planted, 2, short=True)
    if name == "position_only":
        found, expected = found[:, :3], planned(planted, 2)[:, :3]  # its head needs the same distance
    else:
        expected = planned(planted, 2)
    assert np.abs(found - expected).max() < TOLERANCE[0.0]
