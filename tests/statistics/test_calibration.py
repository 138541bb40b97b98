"""Error rates and power on freshly simulated ladders, a few for each kind of cell; and the committed page of 1,000 each."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from distractor.statistics.group_values import weigh
from distractor.statistics.pairs import labels, pairs_of_models, pairs_of_weights, turning_set, weaker_leg
from distractor.statistics.shape_test import DELTA
from distractor.statistics.verdict import verdict
from experiments.calibration import calibrate, cells, page
from experiments.calibration.simulate import NULL_CURVES, WORLDS, bump, curve_ladders, planted
from ladders import at_most

FOLDER = Path(__file__).parents[2] / "experiments" / "calibration"

FALSE = 0.05


def null_curve(name: str, sizes: int) -> np.ndarray:
    return 0.5 - 0.35 * NULL_CURVES[name](np.linspace(0, 1, sizes))


@pytest.mark.quick
@pytest.mark.parametrize("noise", ["0", ".05", ".05 unequal"])
@pytest.mark.parametrize("name", NULL_CURVES)
def test_level_2_seldom_finds_a_turn_in_a_curve_without_one(name: str, noise: str) -> None:
    sd, ratio = cells.NOISES[noise]
    for sizes, seeds in ((8, 3), (11, 5)):
        ladders = curve_ladders(null_curve(name, sizes), 60, seeds, 60, 4, sd, ratio, np.random.default_rng(5))
        assert cells.turned(pairs_of_models(ladders)).sum() <= at_most(FALSE, 60)


@pytest.mark.quick
@pytest.mark.parametrize("name", NULL_CURVES)
def test_level_1_seldom_finds_a_turn_in_a_curve_without_one(name: str) -> None:
    rng = np.random.default_rng(6)
    truth = null_curve(name, 8)
    ladders = curve_ladders(truth, 60, 1, 60, 4, 0.0, 1.0, rng)[:, 0]
    assert cells.turned(pairs_of_weights(ladders, draws=300)[0]).sum() <= at_most(FALSE, 60)
    shares = rng.binomial(240, np.broadcast_to(truth, (60, 8))) / 240
    assert cells.turned(cells.of_means(shares, 240, rng)).sum() <= at_most(FALSE, 60)


@pytest.mark.quick
@pytest.mark.parametrize(("groups", "sizes", "seeds"), [(5, 8, 3), (5, 11, 5), (12, 11, 5)])
def test_level_2_seldom_finds_a_turn_from_few_groups(groups: int, sizes: int, seeds: int) -> None:
    """All seeds share the items' noise, so that the groups alone decide."""
    rng = np.random.default_rng(12)
    items = 0.2 * rng.normal(size=(400, 1, sizes, groups))
    seed_noise = 0.01 * rng.normal(size=(400, seeds, sizes, 1))
    ladders = null_curve("step to plateau", sizes)[:, None] + items + seed_noise
    assert cells.turned(pairs_of_models(ladders)).mean() <= 0.08


@pytest.mark.quick
@pytest.mark.parametrize("seeds", [1, 3])
def test_one_large_group_among_small_ones_seldom_makes_a_turn(seeds: int) -> None:
    """Items weigh alike, so that a group with half of the items has half of the weight, and all alone."""
    rng = np.random.default_rng(14)
    means = 0.2 * rng.normal(size=(400, 1, 8, 60)) + 0.01 * rng.normal(size=(400, seeds, 8, 1))
    ladders = weigh(null_curve("step to plateau", 8)[:, None] + means, np.array([60.0, *[1.0] * 59]))
    pairs = pairs_of_models(ladders) if seeds > 1 else pairs_of_weights(ladders[:, 0], draws=300)[0]
    assert cells.turned(pairs).mean() <= 0.08


@pytest.mark.quick
@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("groups", [12, 40, 100])
def test_a_dip_of_delta_below_a_ceiling_is_seldom_excluded(groups: int, seeds: int) -> None:
    """Each item is right at every size but one, where 5 % of the items are wrong, the same for all seeds."""
    rng = np.random.default_rng(13)
    ladders = np.ones((400, seeds, 5, groups))
    ladders[:, :, 2] = rng.random((400, 1, groups)) >= DELTA
    pairs = pairs_of_models(ladders) if seeds > 1 else pairs_of_weights(ladders[:, 0], draws=300)[0]
    assert (weaker_leg(-pairs.rise + pairs.pointwise).max(-1) < DELTA).mean() <= 0.08


@pytest.mark.quick
def test_picking_the_peak_finds_turns_that_do_not_exist() -> None:
    """The control: the same ladders fool the two foils, so that the tests above can fail."""
    ladders = curve_ladders(null_curve("step to plateau", 8), 100, 3, 60, 4, 0.05, 9.0, np.random.default_rng(5))
    assert cells.naive(ladders).sum() > at_most(FALSE, 100)
    assert cells.quadratic(ladders).sum() > at_most(FALSE, 100)


@pytest.mark.quick
@pytest.mark.parametrize(("level", "seeds", "noise"), [(2, 5, 0.02), (1, 1, 0.0)])
def test_a_deep_turn_is_found_at_its_size_and_a_flat_curve_is_not_called_a_turn(
    level: int, seeds: int, noise: float
) -> None:
    rng = np.random.default_rng(8)
    truth = bump(11, 0.2)
    ladders = curve_ladders(truth, 40, seeds, 60, 4, noise, 1.0, rng)
    pairs = pairs_of_models(ladders) if level == 2 else pairs_of_weights(ladders[:, 0], draws=300)[0]
    assert (labels(pairs, DELTA) == "inverted-U").sum() >= 30
    assert turning_set(pairs, 1)[:, truth.argmax() - 1].sum() >= 36
    mirrored = pairs_of_models(1 - ladders) if level == 2 else pairs_of_weights(1 - ladders[:, 0], draws=300)[0]
    assert (labels(mirrored, DELTA) == "U-shaped").sum() >= 30
    assert np.median(turning_set(pairs, 1).sum(-1)) <= 3


@pytest.mark.quick
def test_a_turn_of_delta_is_seldom_excluded_and_no_turn_mostly_is() -> None:
    excluded = {}
    for rise in (DELTA, 0.0):
        truth = np.full(5, 0.5)
        truth[2] += rise
        ladders = curve_ladders(truth, 40, 3, 400, 4, 0.005, 1.0, np.random.default_rng(9))
        pairs = pairs_of_models(ladders)
        excluded[rise] = int((weaker_leg(pairs.rise + pairs.pointwise).max(-1) < DELTA).sum())
    assert excluded[DELTA] <= at_most(FALSE, 40)
    assert excluded[0.0] >= 20


@pytest.mark.parametrize("world", WORLDS)
def test_each_planted_world_gets_its_right_label(world: str) -> None:
    rng = np.random.default_rng(10)
    calls: Counter[str] = Counter()
    for _ in range(4):
        judged = verdict(planted(world, rng, n_seeds=5, n_groups=120), draws=250)
        calls[judged.label] += 1
        if WORLDS[world] != "supported":
            assert judged.these_weights != "supported", judged.sentence
    assert calls[WORLDS[world]] == 4


def test_with_much_noise_nothing_is_wrongly_supported() -> None:
    rng = np.random.default_rng(11)
    for world, right in WORLDS.items():
        judged = verdict(planted(world, rng, n_seeds=3, n_groups=40, seed_sd=0.4), draws=250)
        assert "supported" not in {judged.label, judged.these_weights} - {right}, (world, judged.sentence)


def test_a_cell_of_each_part_gives_the_committed_rates() -> None:
    """One cell of each part, run again with another random stream."""
    committed = calibrate.read_counts(FOLDER / "counts.csv")
    chosen = {cell.part: cell for cell in cells.cells()}  # the last of each part
    assert set(chosen) == set(cells.PARTS)
    for part, cell in chosen.items():
        ladders = 4 if part == "verdict" else 50
        counts = cell.run(ladders, np.random.default_rng(0))
        before = committed[part, cell.name]
        for name, count in counts.items():
            if name not in page.MEASURES:
                share = before.counts[name] / before.ladders
                assert at_most(share, ladders) >= count >= ladders - at_most(1 - share, ladders), (part, name)
        if "dip" in counts:
            assert counts["dip"] == pytest.approx(before.counts["dip"], abs=0.03)


# The committed counts.


def test_the_committed_rates_are_within_their_limits_and_the_page_shows_them() -> None:
    done, before = (calibrate.read_counts(FOLDER / name) for name in ("counts.csv", "before.csv"))
    assert {(cell.part, cell.name) for cell in cells.cells()} == set(done)
    for (part, _), one in done.items():
        assert one.ladders >= cells.LADDERS[part]
    assert page.page_of(done, before) == (FOLDER / "README.md").read_text(encoding="utf-8")
    for part, name in (("level-1", "turned"), ("level-2", "turned"), ("no-u", "false"), ("power", "missed")):
        assert page.worst_rate(done, part, name) <= 6.5
    for level in "12":
        assert max(page.verdict_rates(done, f"{level} supported").values()) <= 5
    for world, right in WORLDS.items():
        assert done["verdict", f"little noise, 5 seeds; {world}"].percent(f"2 {right}") >= 80
    for kind in ("one size", "two sizes"):
        depth = page.found_in_80(done, kind)
        assert depth is not None
        assert depth <= 0.16


def test_the_committed_rates_of_the_version_before_exceed_their_limits() -> None:
    """The control: the same ladders show the errors of version 0.2.0."""
    before = calibrate.read_counts(FOLDER / "before.csv")
    for part, name in (("level-2", "turned"), ("no-u", "false")):
        assert page.worst_rate(before, part, name) > 20


def test_the_table_of_rates_has_every_cell(tmp_path: Path) -> None:
    done, before = (calibrate.read_counts(FOLDER / name) for name in ("counts.csv", "before.csv"))
    page.write_rates(tmp_path / "rates.csv", done, before)
    assert (tmp_path / "rates.csv").read_text(encoding="utf-8") == (FOLDER / "rates.csv").read_text(encoding="utf-8")
