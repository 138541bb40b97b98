"""What is computed from the two answers' log-probabilities: pure functions on arrays whose last axis is `answer`.

Throughout, `log_probs[..., 0]` is log p(true answer) and `log_probs[..., 1]` is log p(distractor answer), in nats.
"""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from distractor.text.task import Answer

LogProbs = Float[ndarray, "*rest answer=2"]


PerPrompt = Float[ndarray, "*rest"]


def logit_gap(log_probs: LogProbs) -> PerPrompt:
    """How far the true answer is ahead of the distractor's, in nats; negative where the distractor wins."""
    found: PerPrompt = log_probs[..., Answer.TRUE] - log_probs[..., Answer.DISTRACTOR]
    return found


def preference(log_probs: LogProbs) -> PerPrompt:
    """Distractor preference p(distractor) / (p(true) + p(distractor)), between 0 and 1."""
    with np.errstate(invalid="ignore"):  # NaN, where an item is not posed, stays NaN
        found: PerPrompt = np.exp(-np.logaddexp(0, logit_gap(log_probs)))
    return found


def coverage(log_probs: LogProbs) -> PerPrompt:
    """p(true) + p(distractor): the probability mass on any offered answer, between 0 and 1."""
    found: PerPrompt = np.exp(log_probs).sum(-1)
    return found


def accuracy(log_probs: LogProbs, right: Answer) -> PerPrompt:
    """1 where the right answer has the higher probability, 0 where it has the lower, ½ on an exact tie."""
    gap = logit_gap(log_probs)
    ahead = gap if right is Answer.TRUE else -gap
    found: PerPrompt = np.where(ahead == 0, 0.5, (ahead > 0).astype(log_probs.dtype))
    return found


def true_pull(gap_conflict: PerPrompt, gap_congruent: PerPrompt) -> PerPrompt:
    """T = ½ [gap(conflict) − gap(congruent)]: what the true cue moves, in nats."""
    found: PerPrompt = (gap_conflict - gap_congruent) / 2
    return found


def distractor_pull(gap_conflict: PerPrompt, gap_congruent: PerPrompt, gap_neutral: PerPrompt) -> PerPrompt:
    """D = gap(neutral) − ½ [gap(conflict) + gap(congruent)]: the pull to the distractor's answer, in nats.

    What pulls that way whatever the true cue says. Exactly: gap(conflict) = gap(neutral) + T − D.
    """
    found: PerPrompt = gap_neutral - (gap_conflict + gap_congruent) / 2
    return found
