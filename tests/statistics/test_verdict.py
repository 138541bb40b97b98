"""The verdict on planted worlds: each part counts, at both levels."""

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from distractor.errors import ScalingError
from distractor.statistics.verdict import Evidence, Rule, Verdict, verdict
from experiments.calibration.simulate import planted

pytestmark = pytest.mark.quick


@cache
def world(name: str, seed: int = 0, seeds: int = 5, groups: int = 80) -> Evidence:
    evidence: Evidence = planted(name, np.random.default_rng(seed), n_seeds=seeds, n_groups=groups)
    return evidence


def judged(evidence: Evidence, rule: Rule | None = None) -> Verdict:
    return verdict(evidence, rule, draws=250)


def holds(found: Verdict, level: int) -> dict[str, bool | None]:
    return {part.name: part.holds for part in found.because if part.level == level}


def test_one_seed_is_judged_at_level_1_only() -> None:
    found = judged(world("distractor", seeds=1))
    assert found.label == "undetermined"
    assert found.these_weights == "supported"
    assert "undetermined for models like these (one seed: level 2 not identified)" in found.sentence
    assert "supported for these weights" in found.sentence
    assert {part.level for part in found.because} == {1}
    assert all("Level 1, these weights" in part.sentence for part in found.because)


def test_every_part_is_reported_at_both_levels_with_its_numbers() -> None:
    found = judged(world("distractor"))
    assert len(holds(found, 1)) == len(holds(found, 2)) == 9
    for part in found.because:
        assert part.number is not None
        assert part.low is not None
        assert part.high is not None
        assert part.low <= part.number <= part.high
        assert f"Level {part.level}, " in part.sentence
    summary = json.loads(json.dumps(found.as_dict()))
    assert (summary["label"], summary["delta"], summary["delta_d"]) == ("supported", 0.05, 0.2)
    assert summary["because"][0]["name"] == "rise_and_fall"


def test_supported_needs_every_part() -> None:
    full = world("distractor")
    assert judged(full).label == "supported"
    none = np.zeros_like(full.true_pull)
    changes = {
        "distractor_over_true_at_peak": {"true_pull": full.true_pull + 5},
        "distractor_pull_at_peak": {"distractor_pull": none + np.random.default_rng(0).normal(size=none.shape)},
        "distractor_only_above_chance": {"accuracy_distractor_only": 0.5 + 0 * none},
        "true_over_distractor_at_top": {"true_pull": none},
        "more_than_neutral": {"preference_neutral": full.preference - 0.001 * full.preference.mean()},
    }
    for name, change in changes.items():
        found = judged(replace(full, **change))
        assert found.label != "supported", name
        assert found.these_weights != "supported", name
        assert holds(found, 2)[name] is not True, name
        assert holds(found, 1)[name] is not True, name


def test_a_part_that_was_not_measured_supports_nothing() -> None:
    full = world("distractor")
    found = judged(replace(full, preference_neutral=None, preference_true_only=None))
    assert found.label == "undetermined"
    assert "no control" in found.reason
    found = judged(replace(full, accuracy_distractor_only=None))
    assert "distractor_only_above_chance is not measured" in found.reason
    assert judged(replace(full, preference_true_only=None)).label == "supported"
    assert judged(replace(full, preference_neutral=None)).label == "supported"


def test_true_only_counts_only_where_it_is_a_pure_control() -> None:
    spoilt = replace(world("distractor"), preference_true_only=world("distractor").preference)
    assert judged(spoilt).label == "contradicted"
    assert judged(spoilt).reason.endswith("in true_only")
    assert judged(replace(spoilt, true_only_is_pure=False)).label == "supported"
    assert judged(replace(spoilt, true_only_is_pure=False, preference_neutral=None)).label == "undetermined"


def test_contradicted_needs_the_whole_range() -> None:
    """No turn, in a range that ends before mastery or begins below chance: nothing is shown."""
    monotone = world("monotone", groups=200)
    assert judged(monotone).label == judged(monotone).these_weights == "contradicted"
    fields = list(monotone.arrays())

    def cut(part: slice) -> Evidence:
        kept = {name: getattr(monotone, name)[:, part] for name in fields}
        return replace(monotone, sizes=monotone.sizes[part], **kept)

    assert judged(cut(slice(0, 6))).label == "undetermined"
    assert judged(cut(slice(6, None))).reason == "no rise and fall, but the range does not clearly start at chance"


def test_a_range_that_ends_at_the_peak_gives_that_reason() -> None:
    assert judged(world("truncated range")).reason == "the range ends before recovery"


def test_the_unit_of_the_pulls_does_not_matter() -> None:
    full = world("distractor")
    scaled = replace(full, true_pull=7 * full.true_pull, distractor_pull=7 * full.distractor_pull)
    one, other = judged(full), judged(scaled, Rule(delta_d=7 * 0.2))
    assert [part.holds for part in one.because] == [part.holds for part in other.because]
    assert one.sentence == other.sentence


def test_a_pull_below_the_smallest_of_interest_contradicts() -> None:
    found = judged(world("distractor"), Rule(delta_d=4.0))
    assert found.label == found.these_weights == "contradicted"
    assert "below 4" in found.reason


def test_the_order_of_groups_does_not_change_the_verdict() -> None:
    full = world("distractor", seeds=3)
    order = np.random.default_rng(0).permutation(full.preference.shape[-1])
    mixed = replace(full, **{name: values[..., order] for name, values in full.arrays().items()})
    for one, other in zip(judged(full).because, judged(mixed).because, strict=True):
        assert one.holds == other.holds
        assert (one.number, one.low, one.high) == pytest.approx((other.number, other.low, other.high), abs=1e-9)


def test_seeds_that_disagree_leave_these_weights_undetermined() -> None:
    one, other = world("distractor", seeds=1, groups=200), world("monotone", seeds=1, groups=200)
    both = replace(one, **{name: np.concatenate([v, getattr(other, name)]) for name, v in one.arrays().items()})
    found = judged(both)
    assert found.these_weights == "undetermined"
    assert found.reason_these_weights == "1 of 2 seeds supported, 1 of 2 seeds contradicted"
    (rise,) = (part for part in found.because if part.name == "rise_and_fall")
    assert (rise.holds, rise.seeds_yes, rise.seeds) == (None, 1, 2)
    assert "two seeds: level 2 not identified" in found.sentence


def test_a_curve_that_turns_twice_gives_that_reason() -> None:
    one = world("distractor", seeds=1)
    peak = int(one.preference.mean((0, 2)).argmax())
    fallen = one.preference.shape[1] - 1
    # Between the peak and the last size, preference falls and then rises to the height of the peak again.
    order = [*range(peak + 1), fallen, peak, *range(peak + 1, fallen + 1)]
    again = replace(
        one, sizes=tuple(100 * 2**n for n in range(len(order))), **{n: v[:, order] for n, v in one.arrays().items()}
    )
    found = judged(again)
    assert found.these_weights == "undetermined"
    assert found.reason_these_weights.startswith("the curve turns more than once: a rise and fall of 0.")


def test_evidence_that_does_not_match_is_refused() -> None:
    full = world("distractor")
    with pytest.raises(ScalingError, match=r"true_pull has \(5, 11, 79\).* \(5, 11, 80\)"):
        replace(full, true_pull=full.true_pull[..., 1:])
    broken = full.distractor_pull.copy()
    broken[1, 2, 3] = np.nan
    with pytest.raises(ScalingError, match=r"distractor_pull at seed 1, size 5120 \(index 2\), group 3 is nan"):
        replace(full, distractor_pull=broken)
