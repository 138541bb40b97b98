"""Compares a loaded model with plain transformers on a few prompts."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from distractor.errors import ModelError
from distractor.models.memory import in_memory
from distractor.models.model import Model, SelfCheck

PROMPTS = (
    "The capital of France is",
    "Question: which of these is not a fruit?\nA. apple\nB. stone\nAnswer:",
    "She had lent him 20 pounds, and he gave her back 5; so what he still owed her the next morning was",
)
"""What the start-up check asks: three prompts of different length."""


CLOSE = 1e-4
"""Up to which difference of log-probabilities, in nats, the same products give the same, or up to a hundred-thousandth of
the largest one, if that is more: the logits of a model four wide came near 50, and 1.7e-4 off. In half precision it is up
to 2 % of the largest one, which is what rounding does to them."""


AGREES = {torch.float64: 1e-5, torch.float32: CLOSE}
"""How far what a quicker way gives may be from what plain passes give, as a share of the largest, by type."""


Plain = Sequence[tuple[Sequence[int], Float[Tensor, "_ vocab"]]]
"""Prompts in tokens, each with what plain transformers says comes next: log-probabilities at every position."""


@torch.inference_mode()
def check_against(model: Model, plain: Plain) -> SelfCheck:
    """Make sure that a model, as it is run here, gives what plain transformers gave, alone and padded together.

    Raises:
        ModelError: it does not; nothing computed with it could be trusted.

    """
    rows = [torch.tensor(prompt) for prompt, _ in plain]
    longest = max(len(row) for row in rows)
    padding = int(rows[0][0])  # any token does: with causal attention nothing sees what comes after it
    together = torch.stack([torch.nn.functional.pad(row, (0, longest - len(row)), value=padding) for row in rows])

    def here(tokens: Tensor, start: int = 0) -> Tensor:
        return model.log_probs(tokens.to(model.device), torch.arange(start, tokens.shape[1], device=model.device)).cpu()

    alone = [here(row[None])[0] for row in rows]
    end = here(rows[-1][None], len(rows[-1]) - 1)[0]  # where less is computed
    padded = [values[: len(row)] for values, row in zip(here(together), rows, strict=True)]
    wanted = [values for _, values in plain]
    found = SelfCheck(_furthest(alone, wanted), _furthest(padded, alone))
    largest = max(float(values.nan_to_num(0, 0, 0).abs().max()) for values in wanted)
    close = rounded = 0.02 * largest
    if model.dtype in AGREES:  # the same products give the same; those of another size round otherwise
        close, rounded = max(CLOSE, 1e-5 * largest), AGREES[model.dtype] * max(1.0, largest)
    for what, difference, bound in (
        ("differ from those of plain transformers", found.bridge, close),
        ("change when prompts are padded", found.padding, rounded),
        ("change when only the last position is asked for", _furthest([end], [alone[-1][-1:]]), rounded),
    ):
        if not difference <= bound:
            raise ModelError(
                f"{model.name}: its log-probabilities {what}, by up to {difference:.2g} nats where {bound:.2g} is the most "
                "that rounding explains; what is computed with it cannot be trusted (--no-self-check runs it all the same)"
            )
    return found


def _furthest(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> float:
    """The largest difference; where both are no numbers alike there is none."""
    furthest = 0.0
    for one, other in zip(found, wanted, strict=True):
        is_same = (one == other) | (one.isnan() & other.isnan())
        difference = torch.where(is_same, 0.0, (one - other).abs()).nan_to_num(math.inf)
        furthest = max(furthest, float(difference.max()))
    return furthest


@torch.inference_mode()
def _plainly(folder: Path, tokenizer: Any, dtype: torch.dtype, where: Mapping[str, Any]) -> Plain:
    """What plain transformers gives, with the attention that hooks need, one prompt at a time."""
    from transformers import AutoModelForCausalLM

    spread = {"device_map": where["device_map"]} if "device_map" in where else {}
    network = AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, attn_implementation="eager", local_files_only=True, **spread
    ).eval()
    in_memory.add(network)
    if "device" in where:
        network = network.to(where["device"])
    table = network.get_input_embeddings().weight
    context = getattr(network.config.get_text_config(), "max_position_embeddings", None)
    found = []
    for text in PROMPTS:
        prompt = [one for one in tokenizer(text).input_ids if one < len(table)][:context] or [0]
        logits = network(torch.tensor([prompt], device=table.device), use_cache=False).logits[0]
        log_probs = torch.log_softmax(logits if dtype == torch.float64 else logits.float(), dim=-1)
        found.append((prompt, log_probs.cpu()))
    return found
