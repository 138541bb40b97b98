"""Published numbers: shares with source and prompt format, found by the names of tasks here and in the release."""

import pytest

from distractor.errors import ScalingError
from distractor.published.curves import Point, find_published, known_references, published

N_ITEMS = {"negation_qa": 300, "hindsight_neglect": 315, "memo_trap": 936, "redefine_math": 1244}


@pytest.mark.quick
def test_published_numbers_are_shares_with_source_and_prompt_format() -> None:
    curves = published()
    assert len({(c.task, c.reference, c.series, c.prompt_format) for c in curves}) == len(curves)
    for one in curves:
        assert one.source
        assert one.prompt_format
        assert len({point.size for point in one.points}) == len(one.points)
        assert all(0 <= point.accuracy <= 1 for point in one.points)


@pytest.mark.quick
def test_published_numbers_are_found_by_task_and_reference() -> None:
    opt = find_published("negation_qa", ["opt"])
    assert {one.axis for one in opt} == {"parameters"}
    assert [point.accuracy for point in opt[0].points] == [0.466667, 0.466667, 0.526667, 0.54, 0.496667, 0.55, 0.536667]
    gpt3 = find_published("negation_qa", ["gpt3"])
    assert [one.prompt_format for one in gpt3] == ["zero-shot", "zero-shot with hint", "few-shot CoT"]
    assert {one.axis for one in gpt3} == {"rank"}
    palm = find_published("quote_repetition", ["palm"])[0]
    assert [point.accuracy for point in palm.points] == [0.86, 0.81, 1.0]


@pytest.mark.quick
def test_pythia_is_found_over_sizes_and_over_steps_under_the_names_of_the_release() -> None:
    (sizes,) = find_published("memo-trap", ["pythia"])
    assert [round(point.accuracy, 2) for point in sizes.points] == [0.87, 0.85, 0.83, 0.78, 0.77, 0.78, 0.69, 0.66]
    assert "apostrophe" in sizes.note
    steps = find_published("memo_trap", ["pythia"], "step")
    assert [one.series for one in steps] == [
        f"Pythia {size}" for size in ("70M", "160M", "410M", "1B", "1.4B", "2.8B", "6.9B", "12B")
    ]
    assert [one.points[-1].accuracy for one in steps] == [point.accuracy for point in sizes.points]
    assert [point.size for point in steps[0].points][:2] == [2000, 4000]
    assert {one.reference for one in find_published("neqa", ["pythia", "opt"], "step")} == {"pythia", "opt"}
    assert len({one.task for one in published() if one.reference == "pythia"}) == 12


@pytest.mark.quick
def test_the_standard_errors_of_pythia_are_those_of_shares_of_the_items() -> None:
    """The harness divides by n − 1."""
    for task, n in N_ITEMS.items():
        for one in find_published(task, ["pythia"], "step"):
            for point in one.points:
                expected = (point.accuracy * (1 - point.accuracy) / (n - 1)) ** 0.5
                assert point.error == pytest.approx(expected, abs=1e-5)


@pytest.mark.quick
def test_published_curves_come_in_the_order_of_their_references() -> None:
    found = find_published("neqa", ["pythia", "gpt2", "opt"])
    assert list(dict.fromkeys(curve.reference for curve in found)) == ["pythia", "gpt2", "opt"]
    assert find_published("negation_qa.options_swapped", ["pythia"]) == find_published("neqa", ["pythia"])


@pytest.mark.quick
def test_missing_published_results_name_the_known_ones() -> None:
    with pytest.raises(ScalingError, match=r"palm for the task redefine_math; .*opt"):
        find_published("redefine_math", ["opt", "palm"])
    with pytest.raises(ScalingError, match=r"that task has opt, pythia; palm has quote_repetition, hindsight_neglect$"):
        find_published("redefine_math", ["palm"])
    with pytest.raises(ScalingError, match=r"for the task chess; choose from .*memo_trap: pythia"):
        find_published("chess", ["palm"])
    with pytest.raises(ScalingError, match=r"'pithia': did you mean pythia"):
        find_published("redefine_math", ["pithia"])
    with pytest.raises(ScalingError, match=r"'pithia': did you mean pythia"):
        find_published("a task without curves", ["pithia"])
    assert "negation_qa: gpt2, opt, gpt3" in known_references()


@pytest.mark.quick
def test_the_number_of_items_follows_from_the_standard_errors() -> None:
    for task, n in N_ITEMS.items():
        assert {one.n_items for one in find_published(task, ["pythia"], "step")} == {n}
    assert {one.n_items for one in find_published("truthfulqa_mc2", ["pythia"])} == {None}


@pytest.mark.quick
def test_an_error_over_items_is_not_zero_at_the_ends() -> None:
    assert Point("a", 1, 1.0, n=98).error == pytest.approx((0.99 * 0.01 / 100) ** 0.5)
    assert (Point("a", 1, 1.0).error, Point("a", 1, 1.0, n=98, stderr=0.5).error) == (0, 0.5)
