"""A run's folder: opening, refusing, reusing and removing it, and the files in it."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from matplotlib.figure import Figure

from distractor.errors import ModelError, StoreError
from distractor.names import printable
from distractor.runs.figure_set import FigureSet, choose
from distractor.runs.folder import LOG, RunFolder, check_out, open_run, run_hash
from ordinary_user import as_ordinary_user

pytestmark = pytest.mark.quick

MANIFEST = {"command": ["distractor", "ablate"], "versions": {"numpy": "1"}, "task": "t", "seed": 0}
TABLE = pa.table({"item": ["a"], "value": [0.5]})


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_the_default_folder_is_named_by_the_hash_of_the_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with open_run(None, "ablate-t", MANIFEST) as folder:
        assert folder.path == Path("runs") / f"ablate-t-{run_hash(MANIFEST)[:8]}"
    assert json.loads((folder.path / "manifest.json").read_text(encoding="utf-8")) == MANIFEST


@pytest.mark.parametrize(
    ("change", "is_same"), [({"command": ["x"]}, True), ({"versions": {}}, True), ({"seed": 1}, False)]
)
def test_a_run_is_the_same_with_another_command_line_or_other_versions(
    change: dict[str, object], is_same: bool
) -> None:
    assert (run_hash(MANIFEST | change) == run_hash(MANIFEST)) == is_same


def test_every_file_has_its_place(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_table("results", TABLE)
    folder.write_reading("logit_lens-m", TABLE)
    folder.write_csv("curve", ["size", "mean"], [[1, 0.5]])
    folder.write_figures({"curves": Figure(figsize=(1, 1))})
    folder.write_summary({"a": 1})
    folder.subfolder("rank").write_summary({})
    assert files(tmp_path) == {
        "results.parquet", "readings/logit_lens-m.parquet", "curve.csv", "figures/curves.png", "figures/curves.svg",
        "summary.json", "rank/summary.json",
    }  # fmt: skip
    assert pq.read_table(tmp_path / "results.parquet").equals(TABLE)
    assert (tmp_path / "curve.csv").read_text(encoding="utf-8") == "size,mean\n1,0.5\n"


def test_equal_figures_have_equal_bytes(tmp_path: Path) -> None:
    for name in ("1", "2"):
        figure = Figure(figsize=(1, 1))
        figure.subplots().plot([1, 2])
        RunFolder(tmp_path / name).write_figures({"f": figure})
    for kind in ("png", "svg"):
        assert (tmp_path / f"1/figures/f.{kind}").read_bytes() == (tmp_path / f"2/figures/f.{kind}").read_bytes()


def test_figures_are_drawn_again_only_if_something_they_show_has_changed(tmp_path: Path) -> None:
    folder, drawn = RunFolder(tmp_path), []

    def is_drawn(summary: dict[str, int], which: FigureSet = FigureSet.MAIN) -> bool:
        def draw(name: str) -> Figure:
            drawn.append(name)
            return Figure(figsize=(1, 1))

        before = len(drawn)
        choice = choose(which, ["f"], ["g"])
        folder.write_summary({**summary, "figures": folder.keep_figures(summary, choice, draw)})
        return len(drawn) > before

    folder.write_table("results", TABLE)
    assert is_drawn({"a": 1})
    assert not is_drawn({"a": 1})
    assert is_drawn({"a": 2})
    folder.write_table("results", TABLE.slice(1))
    assert is_drawn({"a": 2})
    whole = (tmp_path / "figures/f.png").read_bytes()
    for damaged in (whole[:-1], whole[:200] + b"?" + whole[201:], b""):
        (tmp_path / "figures/f.png").write_bytes(damaged)
        assert is_drawn({"a": 2})
        assert (tmp_path / "figures/f.png").read_bytes() == whole
    assert not is_drawn({"a": 2})
    (tmp_path / "figures/f.svg").unlink()
    assert is_drawn({"a": 2})
    assert is_drawn({"a": 2}, FigureSet.ALL)
    assert (tmp_path / "figures/g.png").is_file()
    assert not is_drawn({"a": 2}, FigureSet.ALL)
    (tmp_path / "figures/mine.png").touch()
    assert is_drawn({"a": 2})
    assert files(tmp_path / "figures") == {"f.png", "f.svg", "mine.png"}
    assert not is_drawn({"a": 2}, FigureSet.NONE)
    assert files(tmp_path / "figures") == {"mine.png"}


@pytest.mark.parametrize("names", [["../kept"], [3], "f", None, [["f"]]])
def test_a_damaged_list_of_figures_removes_nothing(tmp_path: Path, names: object) -> None:
    folder = RunFolder(tmp_path)
    (tmp_path / "kept.png").touch()
    folder.write_summary({"figures": {"names": names}})
    folder.keep_figures({}, choose(FigureSet.NONE, ["f"]), lambda _: None)
    assert files(tmp_path) == {"kept.png", "summary.json"}


def test_the_main_figures_are_the_first_and_a_figure_may_turn_out_not_to_exist(tmp_path: Path) -> None:
    main, more = ["a", "b", "c"], ["d"]
    shown = {which: choose(which, main, more, most=2).names for which in FigureSet}
    assert shown == {FigureSet.MAIN: ("a", "b"), FigureSet.ALL: ("a", "b", "c", "d"), FigureSet.NONE: ()}
    record = RunFolder(tmp_path).keep_figures(
        {}, choose(FigureSet.MAIN, main, more), lambda name: None if name == "b" else Figure(figsize=(1, 1))
    )
    assert (record["set"], record["names"], record["left_out"]) == ("main", ["a", "c"], ["d"])


@pytest.mark.parametrize("name", ["$x$ and $y", "$\\frac$", "$", "\x1b[31m\x07", "中文", "[red]", "a&b<c"])
def test_any_name_can_be_drawn_and_gives_a_sound_svg(tmp_path: Path, name: str) -> None:
    figure = Figure(figsize=(2, 2), layout="constrained")
    axes = figure.subplots()
    axes.plot([1, 10**6], [1, 2], label=name)
    axes.set_xscale("log")
    axes.set_title(name)
    axes.legend()
    RunFolder(tmp_path).write_figures({"f": figure})
    svg = (tmp_path / "figures/f.svg").read_text(encoding="utf-8")
    texts = ["".join(text.itertext()) for text in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count(printable(name)) == 2
    assert "mathdefault" not in "".join(texts)


@pytest.mark.parametrize("broken", ["out", "out/readings", "out/figures"])
def test_a_folder_that_cannot_be_written_is_refused_at_once(tmp_path: Path, broken: str) -> None:
    with open_run(tmp_path / "out", "x", MANIFEST) as folder:
        folder.write_reading("m", TABLE)
        folder.write_figures({"f": Figure(figsize=(1, 1))})
    (tmp_path / broken).chmod(0o555)

    def open_again() -> None:
        with pytest.raises(StoreError, match=r"--out"), open_run(tmp_path / "out", "x", MANIFEST):
            pytest.fail("computed although nothing can be written")

    try:
        assert as_ordinary_user(open_again) == 0
    finally:
        (tmp_path / broken).chmod(0o755)


@pytest.mark.parametrize("out", ["file", "file/below", "x" * 300, "closed", "closed/below"])
def test_a_folder_that_cannot_be_made_is_refused_before_files_are_read(tmp_path: Path, out: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "closed").mkdir(mode=0o555)

    def check() -> None:
        with pytest.raises(StoreError, match=r"cannot be written .*--out"):
            check_out(tmp_path / out)

    assert as_ordinary_user(check) == 0
    check_out(tmp_path / "new" / "below")
    assert not (tmp_path / "new").exists()


def test_a_folder_in_the_place_of_a_file_is_refused_at_once(tmp_path: Path) -> None:
    with open_run(tmp_path / "out", "x", MANIFEST):
        pass
    (tmp_path / "out" / "results.parquet").mkdir()
    with pytest.raises(StoreError, match=r"results\.parquet"), open_run(tmp_path / "out", "x", MANIFEST):
        pytest.fail("computed although the results cannot be written")


@pytest.mark.parametrize("name", ["../up", "x" * 300, "a\x1b[31m", "é/ü"])
def test_any_name_gives_a_folder_in_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    with open_run(None, f"ablate-{name}", MANIFEST) as folder:
        assert folder.path.parent == Path("runs")
        assert folder.path.name.isascii()
        assert folder.path.name.isprintable()


def test_a_manifest_nested_without_end_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(StoreError, match=r"--out"), open_run(tmp_path, "x", MANIFEST):
        pass


def test_a_failed_run_leaves_its_folder_only_if_it_holds_results(tmp_path: Path) -> None:
    for name, left in (("empty", False), ("used", True)):
        with pytest.raises(ModelError), open_run(tmp_path / name, "x", MANIFEST) as folder:  # noqa: PT012
            if left:
                folder.write_summary({})
            raise ModelError("no such model")
        assert (tmp_path / name).exists() == left


def test_a_log_of_progress_is_no_result(tmp_path: Path) -> None:
    out = tmp_path / "run"

    def fail() -> None:
        with open_run(out, "x", MANIFEST) as folder:
            folder.subfolder("rank").log("12:00 half")
            raise StoreError("no")

    with pytest.raises(StoreError):
        fail()
    assert not out.exists()
    for _ in range(2):  # the folder of the same run is used again, and its log goes on
        with open_run(out, "x", MANIFEST) as folder:
            folder.log("12:00 half")
    assert (out / LOG).read_text() == 2 * "12:00 half\n"
    (out / LOG).unlink()
    (out / LOG).mkdir()
    folder.log("a log that cannot be written stops no run")


def test_a_folder_of_the_same_run_is_used_again(tmp_path: Path) -> None:
    with open_run(tmp_path / "out", "x", MANIFEST) as folder:
        folder.write_summary({})
    with open_run(tmp_path / "out", "x", MANIFEST | {"command": ["distractor", "ablate", "--json"]}):
        assert files(tmp_path / "out") == {"manifest.json", "summary.json"}


@pytest.mark.parametrize("content", ["{}", "[]", "broken", json.dumps(MANIFEST | {"seed": 1}), None])
def test_a_folder_with_other_content_is_refused_and_unchanged(tmp_path: Path, content: str | None) -> None:
    name = "notes.txt" if content is None else "manifest.json"
    (tmp_path / name).write_text(content or "mine", encoding="utf-8")
    with pytest.raises(StoreError, match=r"--out") as error, open_run(tmp_path, "x", MANIFEST):
        pass
    assert str(tmp_path) in str(error.value)
    assert (tmp_path / name).read_text(encoding="utf-8") == (content or "mine")
