"""Cue-free values in conflict, and what other sites then write, equal hooks in plain transformers."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import tiny
from conftest import Hooked
from distractor.models.site import Site
from distractor.probing.latent import Silenced
from distractor.probing.random_sets import random_sets
from distractor.probing.run import batch, observe
from distractor.scoring.encode import encode
from distractor.text.task import Condition
from plain_edits import plainly

ALIGNED = ([0, 3, 4, 5], [0, 1, 2, 3])
"""Positions of `<bos> Not red . Say :` and of `<bos> . Say :` with the same words."""

SILENCED = (Site(1, "z", 2), Site(1, "mlp_out"))
SETS = [(Site(0, "z", 1),), (Site(0, "mlp_out"),), (Site(0, "z", 0), Site(0, "z", 3), Site(0, "mlp_out")), ()]


@pytest.mark.parametrize("architecture", ["gpt2", "llama_grouped_tied"])
def test_what_silenced_sites_write_equals_hooks_in_plain_transformers(
    hooked: Hooked, tiny_folder: Any, architecture: str
) -> None:
    model, network = hooked(architecture), tiny.plain(str(tiny_folder(architecture, "words_bos")))
    encoding = encode(tiny.task(), model)
    neutral, conflict = (batch(encoding, model, (c,)) for c in (Condition.NEUTRAL, Condition.CONFLICT))
    run = replace(observe(model, neutral), others={Condition.CONFLICT: observe(model, conflict)})
    one = np.ones(len(neutral.items))
    kept = np.arange(len(one)) % 2 == 1
    found = Silenced(run, SILENCED, one, kept).written(SETS, kept)
    largest = 0.0
    for column, k in enumerate(np.flatnonzero(kept)[:3]):
        answers = neutral.answers[k]
        clean, values = plainly(network, neutral.tokens[0, k, :4], answers, {}, (), ALIGNED)
        for row, sites in enumerate(SETS):
            _, edited = plainly(network, conflict.tokens[0, k, :6], answers, values, sites, ALIGNED)
            moved, _ = plainly(network, neutral.tokens[0, k, :4], answers, edited, SILENCED, ([-1], [-1]))
            assert_allclose(found[row, column], clean - moved, atol=1e-8)
        largest = max(largest, float(np.ptp(found[:, column])))
    assert largest > 1e-2, "the sets differ"


def test_random_sets_have_the_same_number_of_each_kind() -> None:
    sites = (Site(0, "z", 0), Site(1, "z", 1), Site(0, "mlp_out"))
    others = [*(Site(layer, "z", head) for layer in (0, 1) for head in range(2, 5)), Site(1, "mlp_out")]
    few = random_sets(sites, others, np.random.default_rng(0), 99)
    assert len({frozenset(one) for one in few}) == len(few) == 15, "all pairs of six heads, with the only other MLP"
    many = random_sets(sites, [Site(5, "z", head) for head in range(40)] + others, np.random.default_rng(0), 99)
    assert len({frozenset(one) for one in many}) == len(many) == 99
    for one in (*few, *many):
        assert [site.part for site in sorted(one, key=lambda site: site.part)] == ["mlp_out", "z", "z"]
        assert not set(one) & set(sites)
    assert random_sets(sites, others[:1], np.random.default_rng(0), 99) == []
