"""The table of a study on many GPUs."""

from pathlib import Path

import pytest

from experiments.cluster import cluster
from experiments.cluster.cluster import DISK, PEAK, READ, SHARE, START, Part, main, makespan

PAGE = Path(cluster.__file__).parent / "README.md"


def test_the_page_shows_what_the_script_prints(capsys: pytest.CaptureFixture[str]) -> None:
    main()
    counted, _, table = capsys.readouterr().out.partition("\n\n")
    assert counted in PAGE.read_text()
    assert table.strip() in PAGE.read_text()


@pytest.mark.quick
def test_the_time_is_that_of_the_gpu_that_ends_last() -> None:
    second = SHARE * PEAK["float32"]  # operations of one second
    units = [Part(3 * second, 0), Part(2 * second, 0), Part(2 * second, 0)]
    assert makespan(units, 1, "float32") == pytest.approx(START + 7)
    assert makespan(units, 2, "float32") == pytest.approx(START + 4)


@pytest.mark.quick
def test_gpus_share_the_disk() -> None:
    units = [Part(0, READ)] * 100
    assert makespan(units, 10, "float32") == pytest.approx(START + 10)
    assert makespan(units, 100, "float32") == pytest.approx(START + 100 * READ / DISK)
