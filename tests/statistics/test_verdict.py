"""The verdict on planted worlds: each part counts, at both levels."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from distractor.errors import ScalingError
from distractor.statistics.verdict import Evidence, Rule, Verdict, verdict
from experiments.calibration.simulate import WORLDS, planted
from printed_rules import answer, read

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
    assert found.sentence == (
        "On average over such models: not identified (one seed; at least 3 are needed). The one seed's own curve: supported."
    )
    assert {part.level for part in found.because} == {1}
    assert all("Level 1, these weights" in part.sentence for part in found.because)


def test_every_part_is_reported_at_both_levels_with_its_numbers() -> None:
    found = judged(world("distractor"))
    assert len(holds(found, 1)) == len(holds(found, 2)) == 10
    for part in found.because:
        assert part.number is not None
        assert f"Level {part.level}, " in part.sentence
        if part.name != "turns_once":
            assert part.low is not None
            assert part.high is not None
            assert part.low <= part.number <= part.high
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
    assert "accuracy in distractor_only > 0.5 is not measured" in found.reason
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
    assert found.sentence.startswith("On average over such models: not identified (two seeds; at least 3 are needed).")


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


def with_two_turns(seeds: int, doubled: int) -> Evidence:
    """A ladder in which some seeds' curves fall and rise again after the peak."""
    full = world("distractor", seeds=seeds)
    peak = int(full.preference.mean((0, 2)).argmax())
    n_sizes = full.preference.shape[1]
    once = [*range(peak + 1), peak, peak, *range(peak + 1, n_sizes)]
    twice = [*range(peak + 1), n_sizes - 1, peak, *range(peak + 1, n_sizes)]
    orders = [twice if seed < doubled else once for seed in range(seeds)]
    arrays = {
        name: np.array([v[seed, order] for seed, order in enumerate(orders)]) for name, v in full.arrays().items()
    }
    return replace(full, sizes=tuple(100 * 2**n for n in range(n_sizes + 2)), **arrays)


def noisy(seed: int) -> Evidence:
    """A ladder in which much is close to its threshold."""
    full, rng = world("distractor", seed, 3), np.random.default_rng(seed)
    scale = rng.uniform(0.05, 1.2)
    values = {name: v.mean() + scale * (v - v.mean()) for name, v in full.arrays().items()}
    return replace(full, **{name: v + rng.normal(0, 0.3, v.shape) for name, v in values.items()})


@pytest.mark.parametrize(
    "evidence",
    [
        *(pytest.param(lambda name=name: world(name), id=name) for name in WORLDS),
        *(pytest.param(lambda seed=seed: noisy(seed), id=f"noisy {seed}") for seed in range(12)),
        pytest.param(lambda: with_two_turns(5, 2), id="two turns in two of five seeds"),
        pytest.param(lambda: world("distractor", seeds=1), id="one seed"),
        pytest.param(lambda: world("monotone", seeds=2), id="two seeds"),
    ],
)
def test_the_printed_rule_gives_the_printed_answer_from_the_printed_numbers(evidence: Callable[[], Evidence]) -> None:
    for part in judged(evidence()).because:
        if part.number is None:
            continue
        shown = re.search(
            r" is ([-\d.e]+(?: \[.*?\])?); (.*?): (\w+)(?:, in the weakest of .*\((\d) yes, (\d) no\))?\.$",
            part.sentence,
        )
        assert shown, part.sentence
        numbers, rule, printed, yes, no = shown.groups()
        assert rule == part.rule
        assert answer(rule, read(numbers)) == printed, part.sentence
        assert answer(part.criterion.short, read(numbers)) == printed, part.sentence
        if part.seeds == 1:
            assert {"yes": True, "no": False, "unclear": None}[printed] is part.holds
        else:
            assert (int(yes), part.holds) == (
                part.seeds_yes,
                {(part.seeds, 0): True, (0, part.seeds): False}.get((int(yes), int(no))),
            )
            answers = [
                answer(part.rule, [each.number] if each.low is None else [each.number, each.low, each.high])
                for each in part.by_seed
                if each.number is not None
            ]
            assert (answers.count("yes"), answers.count("no")) == (int(yes), int(no))
            assert (printed == "yes") == (part.holds is True)


@pytest.mark.parametrize("ahead", [4e-4, -4e-4, 1e-9])
def test_a_number_beside_its_threshold_is_printed_with_enough_digits(ahead: float) -> None:
    full = world("distractor", seeds=1)
    (low,) = (part.low for part in judged(full).because if part.name == "distractor_pull_at_peak")
    assert low is not None
    near = judged(replace(full, distractor_pull=full.distractor_pull - low + 0.2 + ahead))
    (part,) = (part for part in near.because if part.name == "distractor_pull_at_peak")
    numbers, printed = re.search(r" is (.*?\]); .*: (\w+)\.$", part.sentence).groups()  # type: ignore[union-attr]
    assert answer(part.rule, read(numbers)) == printed == ("yes" if ahead > 0 else "unclear")


def test_a_curve_that_turns_twice_fails_in_a_row_of_its_own() -> None:
    found = judged(with_two_turns(5, 2))
    rows = {part.name: part for part in found.because if part.level == 1}
    assert (rows["rise_and_fall"].holds, rows["rise_and_fall"].seeds_yes) == (True, 5)
    assert (rows["turns_once"].holds, rows["turns_once"].seeds_yes) == (None, 3)
    assert rows["turns_once"].number > 0.5
    assert found.of_own_curves == "Of the 5 seeds' own curves, 3 support the hypothesis; 2 turn more than once."


@pytest.mark.parametrize(
    ("evidence", "on_average", "own"),
    [
        ("distractor", "supported.", "All 5 seeds' own curves support the hypothesis."),
        (
            "incapacity everywhere",
            "contradicted (an equal rise and fall without the distractor cue, in true_only).",
            "All 5 seeds' own curves contradict the hypothesis.",
        ),
        (
            "truncated range",
            "undetermined (the range ends before recovery).",
            "end before recovery",
        ),
    ],
)
def test_the_headline_names_both_levels_as_what_they_are(evidence: str, on_average: str, own: str) -> None:
    found = judged(world(evidence))
    assert found.on_average == f"On average over such models: {on_average}"
    assert own in found.of_own_curves
    assert found.sentence == f"{found.on_average} {found.of_own_curves}"


def test_the_headline_of_one_and_of_two_seeds() -> None:
    assert judged(world("truncated range", seeds=1)).of_own_curves == (
        "The one seed's own curve: undetermined (the range ends before recovery)."
    )
    one, other = world("distractor", seeds=1), world("truncated range", seeds=1)
    both = replace(one, **{name: np.concatenate([v, getattr(other, name)]) for name, v in one.arrays().items()})
    assert judged(both).sentence == (
        "On average over such models: not identified (two seeds; at least 3 are needed). "
        "Of the 2 seeds' own curves, 1 supports the hypothesis; 1 ends before recovery."
    )
    assert [each["label"] for each in judged(both).as_dict()["by_seed"]] == ["supported", "undetermined"]


def test_evidence_that_does_not_match_is_refused() -> None:
    full = world("distractor")
    with pytest.raises(ScalingError, match=r"true_pull has \(5, 11, 79\).* \(5, 11, 80\)"):
        replace(full, true_pull=full.true_pull[..., 1:])
    broken = full.distractor_pull.copy()
    broken[1, 2, 3] = np.nan
    with pytest.raises(ScalingError, match=r"distractor_pull at seed 1, size 5,120 \(index 2\), group 3 is nan"):
        replace(full, distractor_pull=broken)


@pytest.mark.parametrize("name", [name for name in WORLDS if name.startswith("copying")])
def test_where_small_models_copy_the_range_begins_at_chance_on_the_distractor_alone(name: str) -> None:
    """Preference is low in the smallest models of every such world, and after recovery: it cannot tell them apart."""
    evidence = world(name, groups=200)
    found = judged(evidence)
    assert found.label == WORLDS[name]
    parts = holds(found, 2)
    assert "from_chance" not in parts
    assert parts["distractor_only_from_chance"] is (not name.startswith("copying, starts"))
    if name == "copying, monotone":
        assert judged(replace(evidence, starts_at_chance=True)).label == "undetermined"
        assert judged(replace(evidence, accuracy_distractor_only=None)).label == "undetermined"
