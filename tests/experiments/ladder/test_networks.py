"""Networks that are trained together: they equal the models of Hugging Face."""

import numpy as np
import pytest
import torch
from transformers import GPTNeoXForCausalLM

from experiments.ladder import learn
from experiments.ladder.network import Networks
from experiments.ladder.vocabulary import PAD
from random_networks import ROWS, disturbed, logits_of, random_stream

quick = pytest.mark.quick


@quick
@pytest.mark.parametrize("size", ["2x1", "4x1", "8x1", "12x2", "24x2", "20x3"])
def test_each_network_equals_its_hugging_face_model(size: str, double: None) -> None:
    networks = disturbed(Networks(learn.config_of(size, ROWS), (3, 4, 5)))
    tokens = torch.from_numpy(np.stack([random_stream(seed, 6).tokens for seed in range(3)]).astype(np.int64))
    with torch.no_grad():
        logits = logits_of(networks, tokens)
        for number in range(3):
            model = networks.model_of(number).eval()
            expected = model(tokens[number], attention_mask=(tokens[number] != PAD).long()).logits
            real = tokens[number] != PAD
            torch.testing.assert_close(logits[number][real], expected[real], atol=1e-6, rtol=1e-6)


@quick
def test_initial_weights_depend_on_the_seed_alone() -> None:
    config = learn.config_of("8x1", ROWS)
    together, alone = Networks(config, (3, 4)), Networks(config, (4,))
    torch.manual_seed(4)
    expected = dict(GPTNeoXForCausalLM(config).named_parameters())
    assert {name.replace("/", ".") for name in together.stacked} == expected.keys()
    for name, value in expected.items():
        assert torch.equal(together.parameter(name)[1], value)
        assert torch.equal(alone.parameter(name)[0], value)
    weight = together.parameter("gpt_neox.embed_in.weight")
    assert not torch.equal(weight[0], weight[1])
