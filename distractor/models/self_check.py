"""Compares a loaded model with plain transformers on a few prompts."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from distractor.errors import ModelError
from distractor.models.model import Model, SelfCheck

PROMPTS = (
    "The capital of France is",
    "Question: which of these is not a fruit?\nA. apple\nB. stone\nAnswer:",
    "She had lent him 20 pounds, and he gave her back 5; so what he still owed her the next morning was",
)
"""Three prompts of different length."""

CLOSE = 1e-4
"""The largest difference of log-probabilities, in nats, between two ways of computing the same products.

The bound rises to 1e-5 of the largest log-probability if that is more: a model of width 4 has logits near 50 and differs by
1.7e-4. In half precision the bound is 2 % of the largest one, which is the size of its rounding error.
"""

ROUNDING = {torch.float64: 1e-5, torch.float32: CLOSE}  # between a faster computation and the plain one, by dtype
Reference = Sequence[tuple[Sequence[int], Float[Tensor, "_ vocab"]]]  # prompts as tokens, log-probabilities


@torch.inference_mode()
def reference_log_probs(network: Any, tokenizer: Any) -> Reference:
    """Run the prompts one at a time through plain transformers, with its default attention implementation."""
    embedding = network.get_input_embeddings().weight
    context = getattr(network.config.get_text_config(), "max_position_embeddings", None)
    reference = []
    for text in PROMPTS:
        prompt = [token for token in tokenizer(text).input_ids if token < len(embedding)][:context] or [0]
        logits = network(torch.tensor([prompt], device=embedding.device), use_cache=False).logits[0]
        log_probs = torch.log_softmax(logits if logits.dtype == torch.float64 else logits.float(), dim=-1)
        reference.append((prompt, log_probs.cpu()))
    return reference


@torch.inference_mode()
def check_against(model: Model, reference: Reference) -> SelfCheck:
    """Check single and padded prompts against plain transformers. Raises ModelError beyond the differences of rounding."""
    rows = [torch.tensor(prompt) for prompt, _ in reference]
    longest = max(len(row) for row in rows)
    padding = int(rows[0][0])  # any token will do: causal attention does not look ahead
    batch = torch.stack([torch.nn.functional.pad(row, (0, longest - len(row)), value=padding) for row in rows])

    def run(tokens: Tensor, start: int = 0) -> Tensor:
        return model.log_probs(tokens.to(model.device), torch.arange(start, tokens.shape[1], device=model.device)).cpu()

    alone = [run(row[None])[0] for row in rows]
    last = run(rows[-1][None], len(rows[-1]) - 1)[0]  # the model computes less if only the last position is needed
    padded = [values[: len(row)] for values, row in zip(run(batch), rows, strict=True)]
    expected = [values for _, values in reference]
    check = SelfCheck(_largest_difference(alone, expected), _largest_difference(padded, alone))
    largest = max(float(values.nan_to_num(0, 0, 0).abs().max()) for values in expected)
    close = rounding = 0.02 * largest
    if model.dtype in ROUNDING:
        close, rounding = max(CLOSE, 1e-5 * largest), ROUNDING[model.dtype] * max(1.0, largest)
    for problem, difference, bound in (
        ("differ from those of plain transformers", check.bridge, close),
        ("change when prompts are padded", check.padding, rounding),
        ("change when only the last position is computed", _largest_difference([last], [alone[-1][-1:]]), rounding),
    ):
        if not difference <= bound:
            raise ModelError(
                f"{model.name}: its log-probabilities {problem}, by up to {difference:.2g} nats; rounding explains at most "
                f"{bound:.2g}. Results of this model cannot be trusted (--no-self-check runs it anyway)"
            )
    return check


def _largest_difference(values: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Return the largest absolute difference; NaN in both places counts as equal."""
    largest = 0.0
    for ours, theirs in zip(values, expected, strict=True):
        is_same = (ours == theirs) | (ours.isnan() & theirs.isnan())
        difference = torch.where(is_same, 0.0, (ours - theirs).abs()).nan_to_num(math.inf)
        largest = max(largest, float(difference.max()))
    return largest
