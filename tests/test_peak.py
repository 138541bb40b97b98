"""Where preference peaks is said once, for the table and for what is knocked out."""

import numpy as np

import oracles
import tiny
from distractor.ablate import Ablation, peak, peak_and_top
from distractor.sweep import Settings
from distractor.table import verdict_table


def test_the_peak_is_that_of_the_mean_over_seeds_wherever_it_is_told() -> None:
    task = tiny.task()
    preferred = {(1, 0): 0.5, (2, 0): 0.9, (3, 0): 0.8, (4, 0): 0.1, (1, 1): 0.5, (2, 1): 0.2, (3, 1): 0.8, (4, 1): 0.1}
    shares = {at: np.log([[[1 - share, share]]]) for at, share in preferred.items()}
    scores = [
        oracles.scored(task, np.broadcast_to(share, (len(task.conditions), len(task.items), 2)), *at)
        for at, share in shares.items()
    ]
    complete = np.ones(len(task.items), dtype=bool)
    assert peak(task, scores, complete) == (2, 6)
    assert [one.name for one in peak_and_top(task, scores, complete)] == ["oracles/3/seed0", "oracles/4/seed0"]
    told, _ = verdict_table(Ablation(task, Settings(), tuple(scores), {}, None, "not judged here")).renderables
    assert str(told).startswith("Peak: 3 (3 parameters) prefers the distractor's answer at 0.80")
