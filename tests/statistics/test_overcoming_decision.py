"""The answer follows from what is written and what counts, and unclear numbers give no answer."""

from dataclasses import replace

import numpy as np
import pytest
from numpy import ndarray

from distractor.statistics.intervals import Mean
from distractor.statistics.overcoming import How, ModelEffects, Overcome, judge, label_of, not_learned, over_seeds
from grouped_items import grouped

pytestmark = pytest.mark.quick

GROUPS = 30
HELD_OUT = grouped(GROUPS // 2)
D = 2.0


def around(mean: float, noise: float, seed: int = 0) -> ndarray:
    """One value per held-out item, with this mean."""
    drawn = np.random.default_rng(seed).normal(0, noise, len(HELD_OUT))
    return mean + drawn - drawn.mean()


def written(conflict: float, congruent: float = D, noise: float = 0.1) -> dict[str, ndarray]:
    means = {"distractor_only": D, "conflict": conflict, "congruent": congruent}
    return {condition: around(mean, noise, seed) for seed, (condition, mean) in enumerate(means.items())}


def evidence(omega: float, kappa: float, *, noise: float = 0.1, norm: float = 1.0) -> ModelEffects:
    """A model whose chosen sites carry everything; in conflict the final norm divides by `norm`."""
    one = np.ones(len(HELD_OUT))
    nothing = dict.fromkeys(("distractor_only", "conflict", "congruent"), 0 * one)
    every = np.repeat(around(D, noise, 9), 2)
    return ModelEffects(
        groups=grouped(GROUPS),
        alone=every,
        pull=every,
        conflict=every,
        held_out=HELD_OUT,
        chosen=written(omega * D, noise=noise),
        unshared=written(omega * D, noise=noise),
        shared=nothing,
        all=written(D, noise=noise),
        knock_out=written(kappa * D / norm, noise=noise),
        final_norm={"distractor_only": one, "conflict": norm * one, "congruent": one},
    )


@pytest.mark.parametrize(
    ("omega", "kappa", "how"),
    [
        (1.0, 1.0, "override"),
        (0.0, 0.0, "suppression at the source"),
        (1.0, 0.0, "suppression downstream"),
        (1.0, -1.0, "inversion"),
        (-2.0, -2.0, "inversion"),
        (0.0, 1.0, "undetermined"),
        (0.5, 0.5, "undetermined"),
        (1.0, 0.5, "undetermined"),
        (1.0, 2.0, "undetermined"),
    ],
)
def test_the_answer_follows_from_what_is_written_and_what_counts(omega: float, kappa: float, how: How) -> None:
    found = judge(evidence(omega, kappa))
    assert found.label == how, found.reason
    assert found.omega is not None
    assert found.kappa is not None
    assert found.omega.mean == pytest.approx(omega, abs=0.05)
    assert found.kappa.mean == pytest.approx(kappa, abs=0.05)


@pytest.mark.parametrize(("omega", "kappa"), [(1.0, 1.0), (0.0, 0.0), (1.0, 0.0), (1.0, -1.0)])
def test_wide_intervals_give_no_answer(omega: float, kappa: float) -> None:
    found = judge(evidence(omega, kappa, noise=2.5))
    assert found.label == "undetermined"
    assert found.reason


def test_a_longer_residual_stream_in_conflict_is_no_suppression() -> None:
    found = judge(evidence(1, 1, norm=3))
    assert found.label == "override"
    assert found.kappa is not None
    assert found.kappa.mean == pytest.approx(1, abs=0.05)


def test_without_an_effect_of_the_cue_alone_the_answer_is_unlearning() -> None:
    plain = evidence(1, 1)
    assert judge(replace(plain, alone=0.02 * plain.alone)).label == "unlearning"
    assert judge(replace(plain, alone=-plain.alone)).label == "undetermined"
    unclear = judge(replace(plain, alone=0.1 * plain.alone))
    assert unclear.label != "unlearning", "0.2 nats are as much as δ_D"


def test_few_unshared_sites_give_no_answer_but_the_share_that_shared_sites_keep() -> None:
    plain = evidence(1, 1)
    little = {condition: 0.3 * effect for condition, effect in plain.chosen.items()}
    shared = replace(plain, chosen=little, unshared=little, shared=written(-1.0, 2.6))
    found = judge(shared)
    assert found.label == "shared, undetermined"
    assert found.rho is not None
    assert found.rho.mean == pytest.approx(0.4, abs=0.05)
    assert found.only_shared == pytest.approx(0.7, abs=0.02)
    negated = judge(replace(shared, cue_is_built_on_distractor=True))
    assert negated.rho is None
    assert "not identifiable" in negated.reason


def test_prompts_that_differ_by_the_question_give_no_answer() -> None:
    found = judge(replace(evidence(1, 1), impure="distractor_only asks another question than neutral"))
    assert (found.label, found.reason) == ("undetermined", "distractor_only asks another question than neutral")
    assert found.omega is not None


def test_sites_that_do_not_count_without_a_true_cue_give_no_answer() -> None:
    plain = evidence(1, 1)
    weak = {condition: 0.05 * effect for condition, effect in plain.knock_out.items()}
    found = judge(replace(plain, knock_out=weak))
    assert (found.label, found.kappa) == ("undetermined", None)
    assert "not clearly above 0.2" in found.reason


def test_a_distractor_that_still_wins_is_named() -> None:
    plain = evidence(1, 1)
    assert judge(plain).cautions == ()
    (caution,) = judge(replace(plain, conflict=-plain.conflict)).cautions
    assert "not overcome" in caution


def seed(omega: float, kappa: float) -> Overcome:
    ends = Mean(omega, omega - 0.1, omega + 0.1), Mean(kappa, kappa - 0.1, kappa + 0.1)
    alone = Mean(D, D, D)
    return Overcome(*label_of(*ends), alone=alone, omega=ends[0], kappa=ends[1], covered=0.9, lost=alone)


def test_seeds_that_agree_give_an_answer_for_such_models() -> None:
    found = over_seeds([seed(1, 1), seed(0.9, 1), seed(1, 0.95)])
    assert found is not None
    assert found.label == "override"
    assert "3 override" in found.reason
    assert over_seeds([seed(1, 1), seed(1, 1)]) is None
    split = over_seeds([seed(1, 1), seed(0, 0), seed(1, 1)])
    assert split is not None
    assert split.label == "undetermined"
    assert "1 suppression at the source" in split.reason


def test_seeds_with_prompts_that_ask_another_question_give_no_answer() -> None:
    impure = judge(replace(evidence(1, 1), impure="distractor_only asks another question"))
    found = over_seeds([impure] * 3)
    assert found is not None
    assert found.label == impure.label == "undetermined"
    assert found.reason.startswith("distractor_only asks another question")


def shared_seed(rho: float | None) -> Overcome:
    """A model nearly all of whose effect goes through sites of both tasks."""
    kept = None if rho is None else Mean(rho, rho - 0.1, rho + 0.1)
    one = Mean(1.0, 0.9, 1.1)
    return Overcome("shared, undetermined", "", Mean(D, D, D), omega=one, kappa=one, rho=kept, beta=one, covered=0.2)


def test_seeds_that_all_share_sites_say_so_with_what_the_shared_sites_keep() -> None:
    found = over_seeds([shared_seed(rho) for rho in (0.1, 0.2, 0.3)])
    assert found is not None
    assert found.label == "shared, undetermined"
    assert found.rho is not None
    assert found.rho.mean == pytest.approx(0.2)
    assert found.rho.low < 0.2 - 0.1 / 3**0.5  # seeds differ as well
    assert found.covered == pytest.approx(0.2)
    assert "ρ_D = 0.20" in found.reason
    assert "20%" in found.reason


def test_over_seeds_a_number_that_one_seed_lacks_is_left_out() -> None:
    found = over_seeds([shared_seed(0.1), shared_seed(0.2), shared_seed(None)])
    assert found is not None
    assert found.rho is None
    assert "ρ_D" not in found.reason
    assert found.beta is not None
    assert found.beta.mean == pytest.approx(1)


def test_one_seed_with_sites_of_its_own_makes_the_answer_undetermined() -> None:
    found = over_seeds([shared_seed(0.1), shared_seed(0.2), seed(1, 1)])
    assert found is not None
    assert found.label == "undetermined"
    assert "2 shared, undetermined" in found.reason


def test_over_seeds_it_is_said_that_the_distractor_still_wins() -> None:
    lost, won = (replace(seed(1, 1), conflict=Mean(gap, gap - 0.1, gap + 0.1)) for gap in (-2.0, 2.0))
    found = over_seeds([lost, lost, lost])
    assert found is not None
    assert found.conflict is not None
    assert found.conflict.mean == pytest.approx(-2)
    assert found.cautions == ("the distractor is not overcome: the gap in conflict is -2.00 nats",)
    overcome = over_seeds([won, won, won])
    assert overcome is not None
    assert overcome.cautions == ()


def test_a_model_before_the_first_that_does_the_distractor_task_has_not_unlearned_it() -> None:
    none = Overcome("unlearning", "", Mean(0.0, -0.1, 0.1))
    labels = [one.label for one in not_learned([none, seed(1, 1), none])]
    assert labels == ["not learned", "override", "unlearning"]
    assert [one.label for one in not_learned([none, none])] == ["unlearning"] * 2
