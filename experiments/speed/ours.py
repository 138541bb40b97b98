"""Our side of the races: each function prepares a model and inputs, and returns the call that is timed."""

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
from distractor.probing.path_patching import path_gaps
from distractor.probing.paths import Receiver
from distractor.probing.run import Batch, observe
from distractor.scoring.encode import Encoded, encode
from distractor.scoring.pass_size import TOKENS_PER_PASS
from distractor.scoring.score import score
from distractor.text.task import Condition, Item
from experiments.speed import inputs
from probes.direct_attribution import DirectAttribution
from probes.logit_lens import LogitLens
from tasks.find import find_task

TimedCall = Callable[[], np.ndarray]
PAIR = (Condition.CONFLICT, Condition.CONGRUENT)


def _items(count: int) -> tuple[Item, ...]:
    prompts = dict.fromkeys(PAIR, "")
    return tuple(Item(id=str(k), group=str(k), true="a", distractor="b", prompts=prompts) for k in range(count))


def _batch(tokens: torch.Tensor, answers: tuple[int, int]) -> Batch:
    """Tokens [item side pos] as a batch of conditions, with the same answers for all items."""
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


def residual_sweep(folder: Path) -> TimedCall:
    """Logit gap of one prompt, with the other prompt's residual stream patched in at each layer and position."""
    model = load(folder, device="cpu").hooked
    (pair,) = inputs.pairs(model.vocab, 1, inputs.SWEPT)
    answers = torch.tensor([inputs.ANSWERS] * 2)
    sites = [Site(layer, "resid_pre") for layer in range(model.n_layers)]
    cells = Patches(torch.zeros(len(pair[0]), dtype=torch.long), torch.eye(len(pair[0]), dtype=torch.bool))

    @torch.inference_mode()
    def compute() -> np.ndarray:
        patching = CachedPatching.of(model, pair, torch.tensor([len(pair[0])] * 2))
        return patching.gaps(sites, cells, torch.tensor([1, 0]), answers, TOKENS_PER_PASS).numpy()

    return compute


def head_sweep(folder: Path) -> TimedCall:
    """Logit gap of one prompt, with each head's output from the other prompt patched in at all positions."""
    model = load(folder, device="cpu").hooked
    (pair,) = inputs.pairs(model.vocab, 1, inputs.SWEPT)
    answers = torch.tensor([inputs.ANSWERS] * 2)
    sites = [Site(layer, "z") for layer in range(model.n_layers)]
    heads = torch.arange(model.n_heads)
    cells = Patches(torch.zeros_like(heads), torch.ones(len(heads), len(pair[0]), dtype=torch.bool), heads)

    @torch.inference_mode()
    def compute() -> np.ndarray:
        patching = CachedPatching.of(model, pair, torch.tensor([len(pair[0])] * 2), sites)
        return patching.gaps(sites, cells, torch.tensor([1, 0]), answers, TOKENS_PER_PASS).numpy()

    return compute


def paths_into_a_head(folder: Path) -> TimedCall:
    """Logit gap of both prompts, with the path from each head to one query in a middle layer patched: [sender prompt 1]."""
    model = load(folder, device="cpu").hooked
    run = observe(model, _batch(inputs.pairs(model.vocab, 1, inputs.SWEPT), inputs.ANSWERS))
    layer = model.n_layers // 2
    senders = [Site(before, "z", head) for before in range(layer) for head in range(model.n_heads)]
    return lambda: path_gaps(run, senders, [Receiver(Site(layer, "q", 0))]).numpy()


def attribution_patching(folder: Path) -> TimedCall:
    """Mean first-order effect of head and MLP outputs, patched from the first prompt into the second: [layer node]."""
    model = load(folder, device="cpu").hooked
    batch = _batch(inputs.pairs(model.vocab, inputs.ATTRIBUTED, inputs.SWEPT), inputs.ANSWERS)
    sites = [Site(layer, part) for layer in range(model.n_layers) for part in ("z", "mlp_out")]

    def compute() -> np.ndarray:
        effects = {site: value[0, 1].mean(0) for site, value in first_order_effects(model, batch, sites).items()}
        rows = [
            torch.cat([effects[Site(layer, "z")], effects[Site(layer, "mlp_out")]]) for layer in range(model.n_layers)
        ]
        return torch.stack(rows).numpy()

    return compute


def neqa(folder: Path) -> TimedCall:
    """Log-probabilities of both answers to the official questions, from their text."""
    model = load(folder, device="cpu")
    task = find_task("neqa", Path(os.environ["DISTRACTOR_DATA"]) / inputs.NEQA)

    def compute() -> np.ndarray:
        encoding = encode(task, model)
        rows = [row for row in encoding.rows[Condition.CONFLICT] if row is not None]
        return np.sort(score(model, encoding.items, rows), axis=1)  # the harness does not know which answer is true

    return compute


def long_answers(folder: Path) -> TimedCall:
    """Log-probabilities of two answers of three tokens after a prompt of sixty."""
    model = load(folder, device="cpu")
    rows = [Encoded(prompt, answers, ()) for prompt, answers in inputs.long_answers(model.vocab)]
    return lambda: score(model, _items(len(rows)), rows)


def logit_lens(folder: Path) -> TimedCall:
    """Logit gap at the last position before the first layer and after each attention and MLP: [stage item].

    In models with parallel layers the stages inside layers are computed but not returned: the other side has none.
    """
    model = load(folder, device="cpu").hooked
    step = 1 if "resid_mid" in model.parts else 2
    batch = _batch(inputs.pairs(model.vocab, inputs.READ, inputs.SWEPT)[:, :1], inputs.ANSWERS)
    probe = LogitLens()

    def compute() -> np.ndarray:
        run = observe(model, batch, probe.sites(model), slot_parts=probe.slot_parts)
        return np.asarray(probe(run).sel(quantity="logit_gap").values[::step, 0])

    return compute


def direct_attribution(folder: Path) -> TimedCall:
    """The contribution of each layer's attention and MLP to the logit gap: [component item]."""
    model = load(folder, device="cpu").hooked
    batch = _batch(inputs.pairs(model.vocab, inputs.READ, inputs.SWEPT)[:, :1], inputs.ANSWERS)
    probe = DirectAttribution()

    def compute() -> np.ndarray:
        run = observe(model, batch, probe.sites(model), slot_parts=probe.slot_parts)
        reading: Any = probe(run)[:, 0]
        names = [str(name) for name in reading.component.values]

        def total(*starts: str) -> np.ndarray:
            return np.asarray(reading.values[[name.startswith(starts) for name in names]].sum(0))

        layers = range(model.n_layers)
        return np.stack([row for n in layers for row in (total(f"L{n}H", f"L{n}.attn"), total(f"L{n}.mlp"))])

    return compute


RACES: Mapping[str, Callable[[Path], TimedCall]] = {
    "residual sweep": residual_sweep,
    "head sweep": head_sweep,
    "paths into a head": paths_into_a_head,
    "attribution patching": attribution_patching,
    "official NeQA": neqa,
    "long answers": long_answers,
    "logit lens": logit_lens,
    "direct attribution": direct_attribution,
}
