"""What is raced, by this toolkit: each prepares a model and inputs, and gives the work that is timed."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from distractor.models.load import load
from distractor.models.site import Site
from distractor.probing.cached_patching import CachedPatching, Patches
from distractor.probing.patching import first_order_effects
from distractor.probing.run import Batch, observe
from distractor.scoring.encode import Encoded, encode
from distractor.scoring.score import TOKENS_PER_PASS, score
from distractor.text.task import Condition, Item
from experiments.speed import inputs
from probes.direct_attribution import DirectAttribution
from probes.logit_lens import LogitLens
from tasks.find import find_task

Work = Callable[[], np.ndarray]
PAIR = (Condition.CONFLICT, Condition.CONGRUENT)


def _items(count: int) -> tuple[Item, ...]:
    prompts = dict.fromkeys(PAIR, "")
    return tuple(Item(id=str(k), group=str(k), true="a", distractor="b", prompts=prompts) for k in range(count))


def _batch(tokens: torch.Tensor, answers: tuple[int, int]) -> Batch:
    """[item side pos] as a batch of conditions; the answers are the same for all."""
    items, sides, length = tokens.shape
    roles = tuple(("token", length - 1 - k) for k in range(length))
    return Batch(
        PAIR[:sides],
        _items(items),
        tokens.transpose(0, 1).contiguous(),
        torch.full((items,), length),
        torch.tensor([answers] * items),
        tuple((roles,) * items for _ in range(sides)),
    )


def residual_sweep(folder: Path) -> Work:
    """The gap of one prompt, given at each layer and position what the other has in the stream."""
    model = load(folder, device="cpu")
    (pair,) = inputs.pairs(model.vocab, 1, inputs.SWEPT)
    answers = torch.tensor([inputs.ANSWERS] * 2)
    sites = [Site(layer, "resid_pre") for layer in range(model.n_layers)]
    cells = Patches(torch.zeros(len(pair[0]), dtype=torch.long), torch.eye(len(pair[0]), dtype=torch.bool))

    @torch.inference_mode()
    def work() -> np.ndarray:
        cut = CachedPatching.of(model, pair, torch.tensor([len(pair[0])] * 2))
        return cut.gaps(sites, cells, torch.tensor([1, 0]), answers, TOKENS_PER_PASS).numpy()

    return work


def head_sweep(folder: Path) -> Work:
    """The gap of one prompt, given what the other has at each head, at all positions."""
    model = load(folder, device="cpu")
    (pair,) = inputs.pairs(model.vocab, 1, inputs.SWEPT)
    answers = torch.tensor([inputs.ANSWERS] * 2)
    sites = [Site(layer, "z") for layer in range(model.n_layers)]
    heads = torch.arange(model.n_heads)
    cells = Patches(torch.zeros_like(heads), torch.ones(len(heads), len(pair[0]), dtype=torch.bool), heads)

    @torch.inference_mode()
    def work() -> np.ndarray:
        cut = CachedPatching.of(model, pair, torch.tensor([len(pair[0])] * 2), sites)
        return cut.gaps(sites, cells, torch.tensor([1, 0]), answers, TOKENS_PER_PASS).numpy()

    return work


def attribution_patching(folder: Path) -> Work:
    """Mean first-order effect of each head's and MLP's output, of the first prompt's in the second: [layer node]."""
    model = load(folder, device="cpu")
    batch = _batch(inputs.pairs(model.vocab, inputs.ATTRIBUTED, inputs.SWEPT), inputs.ANSWERS)
    sites = [Site(layer, part) for layer in range(model.n_layers) for part in ("z", "mlp_out")]

    def work() -> np.ndarray:
        found = {site: value[0, 1].mean(0) for site, value in first_order_effects(model, batch, sites).items()}
        rows = [torch.cat([found[Site(layer, "z")], found[Site(layer, "mlp_out")]]) for layer in range(model.n_layers)]
        return torch.stack(rows).numpy()

    return work


def neqa(folder: Path) -> Work:
    """Log-probabilities of both answers to the official questions, text first."""
    model = load(folder, device="cpu")
    task = find_task("neqa", Path(os.environ["DISTRACTOR_DATA"]) / inputs.NEQA)

    def work() -> np.ndarray:
        encoding = encode(task, model)
        rows = [row for row in encoding.rows[Condition.CONFLICT] if row is not None]
        found = score(model, encoding.items, rows)
        return np.sort(found, axis=1)  # which of the two is the true one is not the harness's business

    return work


def long_answers(folder: Path) -> Work:
    """Log-probabilities of two answers of three tokens behind a prompt of sixty."""
    model = load(folder, device="cpu")
    rows = [Encoded(prompt, answers, ()) for prompt, answers in inputs.long_answers(model.vocab)]
    return lambda: score(model, _items(len(rows)), rows)


def logit_lens(folder: Path) -> Work:
    """The gap at the last position before the first layer, behind its attention half, behind it, and so on: [stage item].

    The halves of parallel layers are read too, and left out of what is given: the rival has none.
    """
    model = load(folder, device="cpu")
    step = 1 if "resid_mid" in model.parts else 2
    batch = _batch(inputs.pairs(model.vocab, inputs.READ, inputs.SWEPT)[:, :1], inputs.ANSWERS)
    probe = LogitLens()

    def work() -> np.ndarray:
        run = observe(model, batch, probe.sites(model), slot_parts=probe.slot_parts)
        return np.asarray(probe(run).sel(quantity="logit_gap").values[::step, 0])

    return work


def direct_attribution(folder: Path) -> Work:
    """What each layer's attention and MLP add to the gap: [component item]."""
    model = load(folder, device="cpu")
    batch = _batch(inputs.pairs(model.vocab, inputs.READ, inputs.SWEPT)[:, :1], inputs.ANSWERS)
    probe = DirectAttribution()

    def work() -> np.ndarray:
        run = observe(model, batch, probe.sites(model), slot_parts=probe.slot_parts)
        reading: Any = probe(run)[:, 0]
        names = [str(name) for name in reading.component.values]

        def total(*starts: str) -> np.ndarray:
            return np.asarray(reading.values[[name.startswith(starts) for name in names]].sum(0))

        layers = range(model.n_layers)
        return np.stack([row for n in layers for row in (total(f"L{n}H", f"L{n}.attn"), total(f"L{n}.mlp"))])

    return work


RACES: Mapping[str, Callable[[Path], Work]] = {
    "residual sweep": residual_sweep,
    "head sweep": head_sweep,
    "attribution patching": attribution_patching,
    "official NeQA": neqa,
    "long answers": long_answers,
    "logit lens": logit_lens,
    "direct attribution": direct_attribution,
}
