"""Where the two answers get little of the probability, every page says so before it shows a preference."""

import numpy as np
import pytest

import oracles
import tiny
from distractor.ablation.ablate import AblationResult
from distractor.ablation.report import summary as ablation_summary
from distractor.ablation.tables import models_table
from distractor.attribution.report import summary as attribution_summary
from distractor.attribution.tables import tables as attribution_tables
from distractor.comparison.report import summary as comparison_summary
from distractor.comparison.result import ComparisonResult
from distractor.comparison.sides import Side
from distractor.comparison.tables import tables as comparison_tables
from distractor.probing.probe_results import ProbeResults
from distractor.runs.coverage import coverage_caution, low_coverage
from distractor.scoring.settings import Settings
from distractor.scoring.sweep import Scores
from shown import printed

pytestmark = pytest.mark.quick


def scores(*coverages: float, same_size: bool = False) -> tuple[Scores, ...]:
    """Models, or seeds of one size, with this coverage and a preference of one third."""
    task = tiny.task()
    shape = (len(task.conditions), len(task.items), 2)
    return tuple(
        oracles.scored(task, np.log(coverage * np.broadcast_to([2 / 3, 1 / 3], shape)), 1 if same_size else i + 1, i)
        for i, coverage in enumerate(coverages)
    )


def ablation(*coverages: float, same_size: bool = False) -> AblationResult:
    return AblationResult(tiny.task(), Settings(), scores(*coverages, same_size=same_size), {}, None, "no reason")


def test_the_page_of_ablate_says_it_before_the_table() -> None:
    text = " ".join(printed([models_table(ablation(0.03, 0.9))]).split())
    assert "get 3 % in oracles/1/seed0; the rest of the probability goes to other words" in text
    assert text.index("Low coverage") < text.index("0.33")
    record = ablation_summary(ablation(0.03, 0.9))["low_coverage"]
    assert record["models"] == {"oracles/1/seed0": pytest.approx(0.03)}
    assert "Low coverage" in record["sentence"]


def test_attribute_and_compare_say_it_first_and_write_it() -> None:
    probed = ProbeResults(tiny.task(), Settings(), scores(0.03, 0.9), {})
    compared = ComparisonResult(tiny.task(), Settings(), scores(0.03, 0.9), (Side("a", (0,)), Side("b", (1,))))
    for page in (attribution_tables(probed), comparison_tables(compared)):
        text = printed(page)
        assert "Low coverage" in text
        assert "0.33" not in text.partition("Low coverage")[0]
    assert attribution_summary(probed)["low_coverage"]["models"]
    assert comparison_summary([compared])["tasks"][tiny.task().name]["low_coverage"]["models"]


def test_half_of_the_probability_is_enough() -> None:
    assert coverage_caution(ablation(0.51, 0.9)) is None
    assert ablation_summary(ablation(0.51))["low_coverage"] is None
    assert low_coverage(ablation(0.49)) == {"oracles/1/seed0": pytest.approx(0.49)}


def test_seeds_are_named_together_and_long_lists_are_counted() -> None:
    seeds = coverage_caution(ablation(0.2, 0.4, 0.9, same_size=True))
    assert seeds is not None
    assert "30 % in 1 (2 seeds)" in seeds
    many = coverage_caution(ablation(*[0.004] * 6))
    assert many is not None
    assert "0.4 % in oracles/1/seed0" in many
    assert "and 2 more" in many
