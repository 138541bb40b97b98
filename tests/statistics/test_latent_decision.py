"""The latent test needs the change of ω, beyond random sets where there are enough of them."""

import numpy as np
import pytest

from distractor.statistics.latent import LatentTest, latent_test
from grouped_items import grouped

pytestmark = pytest.mark.quick

GROUPS = grouped(15)


def a_test(before: float, after: float, random: list[float], noise: float = 0.05) -> LatentTest:
    drawn = np.random.default_rng(0).normal(0, noise, (2, len(GROUPS)))
    alone = np.full(len(GROUPS), 2.0)
    return latent_test(("L0H3.z",), alone, before * alone + drawn[0], after * alone + drawn[1], GROUPS, random)


@pytest.mark.parametrize(
    ("before", "after", "random", "result"),
    [
        (0.05, 0.92, [0.05] * 30, "latent"),
        (0.05, 0.92, [0.05] * 3, "latent"),
        (0.05, 0.92, [0.05] * 20 + [0.95] * 10, "not shown"),
        (0.05, 0.30, [0.05] * 30, "partly latent"),
        (0.05, 0.05, [], "not shown"),
        (0.05, -0.30, [], "not shown"),
    ],
)
def test_the_result_follows_from_omega_and_the_random_sets(
    before: float, after: float, random: list[float], result: str
) -> None:
    assert a_test(before, after, random).result == result


def test_p_counts_random_sets_and_is_missing_where_they_are_few() -> None:
    assert a_test(0, 0.9, [0.1] * 18).p is None
    assert a_test(0, 0.9, [0.1] * 19).p == pytest.approx(1 / 20)
    assert a_test(0, 0.9, [0.1] * 97 + [0.95, 1.0]).p == pytest.approx(3 / 100)


def test_the_sentence_has_omega_the_random_sets_and_p() -> None:
    text = a_test(0.05, 0.92, [0.04] * 18 + [0.10], noise=0.0).sentence
    assert text == (
        "latent: with L0H3.z cue-free, ω 0.05 → 0.92 [0.92, 0.92]; 19 random sets of the same kind 0.04 to 0.10, p = 0.050"
    )
    few = a_test(0.05, 0.92, [0.04], noise=0.0).sentence
    assert few.endswith("1 random set of the same kind 0.04 to 0.04, too few for a p-value")


def test_without_suppressors_nothing_is_shown() -> None:
    none = latent_test((), np.ones(2), np.ones(2), np.ones(2), ["a", "b"], ())
    assert (none.result, none.p, none.as_dict()["after"]) == ("not shown", None, None)
    assert none.sentence == "no head or MLP was found that silences these sites"
