"""Quantities of log-probabilities whose last axis is `answer`: log p(true answer), log p(distractor answer), in nats."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.text.task import Answer

LogProbs = Float[ndarray, "*rest answer=2"]
PerPrompt = Float[ndarray, "*rest"]


def logit_gap(log_probs: LogProbs) -> PerPrompt:
    """The difference log p(true) − log p(distractor), in nats; negative if the model prefers the distractor."""
    return log_probs[..., Answer.TRUE] - log_probs[..., Answer.DISTRACTOR]


def preference(log_probs: LogProbs) -> PerPrompt:
    """Distractor preference p(distractor) / (p(true) + p(distractor)), between 0 and 1."""
    with np.errstate(invalid="ignore"):  # items that are not shown stay NaN
        share: PerPrompt = np.exp(-np.logaddexp(0, logit_gap(log_probs)))
    return share


def coverage(log_probs: LogProbs) -> PerPrompt:
    """p(true) + p(distractor): the probability of both offered answers together, between 0 and 1."""
    return np.exp(log_probs).sum(-1)


def accuracy(log_probs: LogProbs, right: Answer) -> PerPrompt:
    """1 if the right answer is more probable, 0 if it is less probable, ½ on an exact tie."""
    gap = logit_gap(log_probs)
    lead = gap if right is Answer.TRUE else -gap
    return np.where(lead == 0, 0.5, (lead > 0).astype(log_probs.dtype))


def true_pull(gap_conflict: PerPrompt, gap_congruent: PerPrompt) -> PerPrompt:
    """T = ½ [gap(conflict) − gap(congruent)]: the effect of the true cue on the gap, in nats."""
    return (gap_conflict - gap_congruent) / 2


def distractor_pull(gap_conflict: PerPrompt, gap_congruent: PerPrompt, gap_neutral: PerPrompt) -> PerPrompt:
    """D = gap(neutral) − ½ [gap(conflict) + gap(congruent)], in nats, so that gap(conflict) = gap(neutral) + T − D."""
    return gap_neutral - (gap_conflict + gap_congruent) / 2
