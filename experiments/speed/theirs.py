"""The other tools' side of the races: TransformerLens and lm-evaluation-harness on the same models and inputs."""

import json
import os
import time
from ast import literal_eval
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformer_lens import patching
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.tools.analysis.attribution_patching import attribution_patch
from transformer_lens.tools.analysis.direct_logit_attribution import direct_logit_attribution
from transformer_lens.tools.analysis.logit_lens import logit_lens as their_logit_lens

from experiments.speed import inputs

TimedCall = Callable[[], np.ndarray]
BATCH_SIZES = (1, 4, 16, 64)
"""Batch sizes of lm-evaluation-harness; the fastest one takes part."""


def _bridge(folder: Path) -> Any:
    return TransformerBridge.boot_transformers(str(folder), device="cpu").eval()


def _gap(logits: torch.Tensor) -> torch.Tensor:
    first, second = inputs.ANSWERS
    return logits[0, -1, first] - logits[0, -1, second]


def _sweep(folder: Path, call: Callable[..., torch.Tensor], hook: str) -> TimedCall:
    bridge = _bridge(folder)
    (pair,) = inputs.pairs(bridge.cfg.d_vocab, 1, inputs.SWEPT)

    @torch.inference_mode()
    def compute() -> np.ndarray:
        _, cache = bridge.run_with_cache(pair[1:], names_filter=lambda name: name.endswith(hook))
        return call(bridge, pair[:1], cache, _gap).numpy()

    return compute


def residual_sweep(folder: Path) -> TimedCall:
    """`get_act_patch_resid_pre`."""
    return _sweep(folder, patching.get_act_patch_resid_pre, "hook_resid_pre")


def head_sweep(folder: Path) -> TimedCall:
    """`get_act_patch_attn_head_out_all_pos`."""
    return _sweep(folder, patching.get_act_patch_attn_head_out_all_pos, "hook_z")


def paths_into_a_head(folder: Path) -> TimedCall:
    """One hooked pass of both prompts for each path. The receiver's query is computed outside the pass, by its modules."""
    bridge = _bridge(folder)
    (pair,) = inputs.pairs(bridge.cfg.d_vocab, 1, inputs.SWEPT)
    layer = bridge.cfg.n_layers // 2
    block, first, second = bridge.blocks[layer], *inputs.ANSWERS

    def query(resid: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = block.attn.q(block.ln1(resid)).reshape(*resid.shape[:2], bridge.cfg.n_heads, -1)
        return made[:, :, 0]

    @torch.inference_mode()
    def compute() -> np.ndarray:
        found = []
        names = [f"blocks.{layer}.hook_resid_pre", *(f"blocks.{before}.attn.hook_z" for before in range(layer))]
        _, cache = bridge.run_with_cache(pair, names_filter=lambda name: name in names)
        for before in range(layer):
            z, weight = cache[f"blocks.{before}.attn.hook_z"], bridge.W_O[before]
            for head in range(bridge.cfg.n_heads):
                change = (z.flip(0) - z)[:, :, head] @ weight[head]
                new = query(cache[names[0]] + change)

                def patch(value: torch.Tensor, hook: Any, new: torch.Tensor = new) -> torch.Tensor:
                    value = value.clone()
                    value[:, :, 0] = new
                    return value

                logits = bridge.run_with_hooks(pair, fwd_hooks=[(f"blocks.{layer}.attn.hook_q", patch)])[:, -1]
                found.append(logits[:, first] - logits[:, second])
        return torch.stack(found)[..., None].numpy()

    return compute


def attribution_patching(folder: Path) -> TimedCall:
    """`attribution_patch`, which also scores the embeddings; summed over the positions of a head."""
    bridge = _bridge(folder)
    pairs = inputs.pairs(bridge.cfg.d_vocab, inputs.ATTRIBUTED, inputs.SWEPT)
    layers, heads = bridge.cfg.n_layers, bridge.cfg.n_heads

    def compute() -> np.ndarray:
        effects = np.zeros((layers, heads + inputs.SWEPT))
        for node, effect in attribution_patch(bridge, pairs[:, 0], pairs[:, 1], _gap).node_scores.items():
            if node.kind == "attn_head_out":
                effects[node.layer, node.head] += effect
            elif node.kind == "mlp_out":
                effects[node.layer, heads + node.position] += effect
        return effects

    return compute


def _harness(folder: Path, score: Callable[[Any], np.ndarray]) -> TimedCall:
    """The call of the harness at its fastest batch size."""
    from lm_eval.models.huggingface import HFLM

    seconds: dict[int, float] = {}
    harness: Any = HFLM(pretrained=str(folder), device="cpu", dtype="float32", batch_size=1)
    for size in BATCH_SIZES:
        harness.batch_size_per_gpu = size
        started = time.perf_counter()
        score(harness)
        seconds[size] = time.perf_counter() - started
    harness.batch_size_per_gpu = min(seconds, key=lambda size: seconds[size])
    return lambda: score(harness)


def neqa(folder: Path) -> TimedCall:
    """`HFLM.loglikelihood` of each class after each prompt of the official file."""
    from lm_eval.api.instance import Instance

    file = Path(os.environ["DISTRACTOR_DATA"]) / inputs.NEQA
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    requests = [
        Instance(request_type="loglikelihood", doc={}, arguments=(row["prompt"], choice), idx=k)
        for k, row in enumerate(rows)
        for choice in literal_eval(row["classes"])
    ]

    def score(harness: Any) -> np.ndarray:
        values = [value for value, _ in harness.loglikelihood(requests, disable_tqdm=True)]
        return np.sort(np.reshape(values, (-1, 2)), axis=1)

    return _harness(folder, score)


def long_answers(folder: Path) -> TimedCall:
    """The scoring of tokens by the harness."""
    vocab = json.loads((folder / "config.json").read_text())["vocab_size"]
    requests = [
        (("", str(k)), list(prompt), list(answer))
        for prompt, answers in inputs.long_answers(vocab)
        for k, answer in enumerate(answers)
    ]

    def score(harness: Any) -> np.ndarray:
        values = [value for value, _ in harness._loglikelihood_tokens(requests, disable_tqdm=True)]
        return np.reshape(values, (-1, 2))

    return _harness(folder, score)


def logit_lens(folder: Path) -> TimedCall:
    """`logit_lens` of two tokens; in parallel layers it has no stage between attention and MLP."""
    bridge = _bridge(folder)
    has_middle = "blocks.0.hook_resid_mid" in bridge.hook_dict
    tokens = inputs.pairs(bridge.cfg.d_vocab, inputs.READ, inputs.SWEPT)[:, 0]

    @torch.inference_mode()
    def compute() -> np.ndarray:
        result = their_logit_lens(bridge, tokens, incl_mid=has_middle, vocab=list(inputs.ANSWERS))
        values = result.values
        return (values[..., 0] - values[..., 1]).reshape(len(values), -1).numpy()

    return compute


def direct_attribution(folder: Path) -> TimedCall:
    """`direct_logit_attribution` by component, in compatibility mode."""
    bridge = TransformerBridge.boot_transformers(str(folder), device="cpu").eval()
    bridge.enable_compatibility_mode()
    tokens = inputs.pairs(bridge.cfg.d_vocab, inputs.READ, inputs.SWEPT)[:, 0]
    true, distractor = (torch.full((len(tokens),), answer) for answer in inputs.ANSWERS)

    @torch.inference_mode()
    def compute() -> np.ndarray:
        result = direct_logit_attribution(bridge, tokens, true, distractor)
        kept = [k for k, label in enumerate(result.labels) if label.endswith(("attn_out", "mlp_out"))]
        return result.attribution[kept].numpy()

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
