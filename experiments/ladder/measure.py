"""Measures a trained model on a task, from its stored weights in float32 with plain Hugging Face models."""

from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from distractor.scoring.quantities import accuracy, coverage, distractor_pull, logit_gap, preference, true_pull
from distractor.text.task import Answer, Condition, Task

COLUMNS = ("preference", "held out", "only", "true only", "congruent", "coverage", "T", "D")
"""The quantities of `measure`: preference in `conflict` (on all and on held-out groups), accuracies, coverage and pulls."""


def measure(folder: Path, tokenizer: Path, task: Task, held_out: frozenset[str]) -> tuple[float, ...]:
    """The means of `COLUMNS` over the items of a task; `held_out` names groups that are never in conflict in training."""
    log_probs = score(folder, tokenizer, task)
    is_held_out = np.array([item.group in held_out for item in task.items])
    preferred = preference(log_probs[Condition.CONFLICT])
    gap = {condition: logit_gap(values) for condition, values in log_probs.items()}
    pair = gap[Condition.CONFLICT], gap[Condition.CONGRUENT]
    return (
        preferred.mean(),
        preferred[is_held_out].mean(),
        accuracy(log_probs[Condition.DISTRACTOR_ONLY], Answer.DISTRACTOR).mean(),
        accuracy(log_probs[Condition.TRUE_ONLY], Answer.TRUE).mean(),
        accuracy(log_probs[Condition.CONGRUENT], Answer.DISTRACTOR).mean(),
        coverage(log_probs[Condition.CONFLICT]).mean(),
        true_pull(*pair).mean(),
        distractor_pull(*pair, gap[Condition.NEUTRAL]).mean(),
    )


def score(folder: Path, tokenizer: Path, task: Task) -> dict[Condition, np.ndarray]:
    """Log-probabilities [item answer] under each condition, in nats."""
    encode = AutoTokenizer.from_pretrained(tokenizer, padding_side="right")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    answers = torch.tensor([[encode.convert_tokens_to_ids(a.strip()) for a in i.answers] for i in task.items])
    log_probs = {}
    for condition in task.conditions:
        batch = encode([item.prompts[condition] for item in task.items], padding=True, return_tensors="pt")
        last = batch["attention_mask"].sum(1) - 1
        with torch.no_grad():
            hidden = model.base_model(**batch).last_hidden_state[torch.arange(len(last)), last]
            log_prob = model.get_output_embeddings()(hidden).log_softmax(-1)
        log_probs[condition] = log_prob.gather(1, answers).numpy().astype(float)
    return log_probs
