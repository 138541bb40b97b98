"""The tutorial notebook runs in an empty folder and prints what it shows."""

from pathlib import Path

from tutorial import code_cells, run_cells


def test_the_tutorial_prints_what_it_shows(tmp_path: Path) -> None:
    shown = [[one for one in cell["outputs"] if one["output_type"] == "stream"] for cell in code_cells()]
    for cell, (printed, _) in zip(shown, run_cells(tmp_path), strict=True):
        assert printed == "".join("".join(one["text"]) for one in cell)


def test_the_tutorial_has_one_figure_and_no_error() -> None:
    kinds = [one["output_type"] for cell in code_cells() for one in cell["outputs"]]
    assert kinds.count("execute_result") == 1
    assert set(kinds) == {"stream", "execute_result"}
