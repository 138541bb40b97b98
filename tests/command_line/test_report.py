"""`distractor report` writes pages again from stored results, never computes or changes a number, and lists every run."""

import contextlib
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import small_ladder
from distractor.command_line import progress
from distractor.models import families
from distractor.models import load as load_module
from distractor.runs.folder import RunFolder
from shown import leave_undrawn
from small_ladder import COMMAND, type_in

TASK = COMMAND[2]
ON_CPU = ("--device", "cpu", "--json")
RUNS = {
    "ablate": (*COMMAND, "--format", "rank,generate:0", "--limit", "3", *ON_CPU),
    "attribute": ("attribute", "--task", TASK, "--models", "ladder", "--probe", "logit_lens", "--items", "8", *ON_CPU),
    "compare": ("compare", "ladder/4x1", "ladder/8x1", "--task", TASK, "--probe", "ablation", "--items", "8", *ON_CPU),
    "shape": ("shape", "curve.csv", "--json"),
}
CURVE = "size,item,value\n" + "".join(
    f"{size},{item},{int(item % 10 < right)}\n"
    for size, right in ((10**6, 5), (10**7, 2), (10**8, 9))
    for item in range(40)
)


@pytest.fixture(scope="module")
def ladder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_ladder.make(tmp_path_factory.mktemp("ladder"))


@pytest.fixture(scope="module")
def made(ladder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of each command, and the results that they share."""
    home = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch, contextlib.chdir(home):
        patch.setattr(families, "LADDER", ladder)
        leave_undrawn(patch)
        Path("curve.csv").write_text(CURVE)
        for name, command in RUNS.items():
            assert type_in([*command, "--out", f"runs/{name}"]) == 0
    return home


@pytest.fixture
def home(made: Path, ladder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, as the current folder; from here on no model can be loaded and no figure be drawn."""
    shutil.copytree(made, tmp_path / "home")
    monkeypatch.chdir(tmp_path / "home")
    monkeypatch.setattr(families, "LADDER", ladder)
    leave_undrawn(monkeypatch)
    monkeypatch.setattr(progress, "QUICK", 0.0)  # so that progress is shown at once

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a model was loaded or a figure was drawn")

    monkeypatch.setattr(load_module, "load", refuse)
    monkeypatch.setattr(RunFolder, "write_figures", refuse)
    return tmp_path / "home"


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of the runs, without the results that they share."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".cells" not in path.parts
    }


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """What was printed, in one line."""
    printed = capsys.readouterr()
    return " ".join(f"{printed.out} {printed.err}".split())


def test_lost_pages_come_back_with_the_same_bytes_and_nothing_else_changes(home: Path) -> None:
    before = contents(home)
    pages = list(home.rglob("report.html"))
    assert len(pages) == 3 + len(RUNS) - 1
    for page in pages:
        page.unlink()
    assert type_in(["report", "runs"]) == 0
    after = contents(home)
    assert after.pop("runs/index.html")
    assert after == before


def test_one_run_gets_its_page_and_no_index(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("runs/shape/report.html").unlink()
    assert type_in(["report", "runs/shape"]) == 0
    assert capsys.readouterr().out == "runs/shape/report.html\n"
    assert not list(home.rglob("index.html"))


@pytest.mark.parametrize("command", ["ablate", "attribute", "compare"])
def test_a_result_that_is_not_stored_is_refused_and_the_page_stays(
    command: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree("runs/.cells")
    before = contents(home)
    assert type_in(["report", f"runs/{command}"]) == 2
    assert "only a model could give it again. To compute it again, where the command" in said(capsys)
    assert contents(home) == before


def test_stored_results_are_found_in_another_folder(home: Path) -> None:
    shutil.move("runs/.cells", "stored")
    assert type_in(["report", "runs/attribute", "--store", "stored"]) == 0


def change_table(folder: Path) -> None:
    path = folder / "readings" / next(iter(sorted(each.name for each in (folder / "readings").iterdir())))
    table = pq.read_table(path)
    column = table.column_names.index("value") if "value" in table.column_names else table.num_columns - 1
    values = pa.array([value + 1e-3 for value in table[column].to_pylist()])
    pq.write_table(table.set_column(column, table.column_names[column], values), path)


def change_number(folder: Path) -> None:
    summary = json.loads((folder / "summary.json").read_text())
    summary["models"][0]["distractor_preference"]["mean"] += 1e-3
    (folder / "summary.json").write_text(json.dumps(summary))


def change_label(folder: Path) -> None:
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps(summary | {"label": "overcome by luck"}))


def change_models(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["models"][0]["hash"] = "0" * 64
    (folder / "manifest.json").write_text(json.dumps(manifest))


def add_option(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["command"].append("--of-another-version")
    (folder / "manifest.json").write_text(json.dumps(manifest))


def change_command(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"command": ["distractor", "cache", "prune", "--all"]}))


def lose_table(folder: Path) -> None:
    next((folder / "readings").iterdir()).unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (change_table, "has other numbers"),
        (change_number, "has other numbers"),
        (change_label, "has another label"),
        (change_models, "another run now: the files of the model"),
        (add_option, "does not accept the options of its command"),
        (change_command, "its command is none of ablate, attribute, compare, shape"),
        (lose_table, "cannot be read"),
    ],
)
def test_a_page_whose_numbers_would_change_is_refused(
    change: object, message: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(home / "runs/attribute")  # type: ignore[operator]
    before = contents(home)
    assert type_in(["report", "runs/attribute"]) == 2
    assert message in said(capsys)
    assert contents(home) == before


def test_rounding_and_further_numbers_of_a_later_version_are_accepted(home: Path) -> None:
    path = home / "runs/attribute/summary.json"
    summary = json.loads(path.read_text())
    summary["models"][0]["distractor_preference"]["mean"] += 1e-9
    del summary["label"], summary["groups"]
    path.write_text(json.dumps(summary))
    assert type_in(["report", "runs/attribute"]) == 0


def test_unfinished_and_damaged_runs_are_listed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("unfinished", "damaged", "strange"):
        shutil.copytree("runs/shape", f"runs/{name}")
    Path("runs/unfinished/summary.json").unlink()
    Path("runs/damaged/manifest.json").write_text("{")
    Path("runs/strange/summary.json").write_text("{}")
    assert type_in(["report", "runs"]) == 2
    printed = said(capsys)
    assert "runs/unfinished is unfinished" in printed
    assert "runs/damaged is damaged: manifest.json cannot be read (it is no JSON)" in printed
    index = Path("runs/index.html").read_text()
    assert "2 runs are damaged." in index
    assert "1 run is unfinished." in index
    assert "damaged: summary.json is not that of shape" in index
    assert index.count("<tr>") == 1 + 5 + 3  # a run of two formats has two lines

    for name in ("damaged", "strange"):
        shutil.rmtree(f"runs/{name}")
    assert type_in(["report", "runs"]) == 0


def test_a_changed_table_of_results_is_damage(home: Path) -> None:
    path = home / "runs/ablate/rank/results.parquet"
    shutil.copytree(home / "runs/ablate/rank", home / "alone")
    shutil.copy(home / "runs/ablate/manifest.json", home / "alone")
    (home / "alone/results.parquet").write_bytes(path.read_bytes()[:-1])
    assert type_in(["report", ".", "--index-only"]) == 0
    assert "damaged: results.parquet differs from the hash in summary.json" in (home / "index.html").read_text()


def test_an_index_of_several_folders_is_where_all_of_them_are(home: Path) -> None:
    shutil.copytree("runs", "more/runs")
    before = contents(home)
    assert type_in(["report", "runs", "more", "--index-only"]) == 0
    index = contents(home).keys() - before.keys()
    assert index == {"index.html"}
    assert 'href="more/runs/shape/report.html"' in Path("index.html").read_text()
    assert type_in(["report", "runs", "more", "--index-only", "--out", "elsewhere"]) == 0
    assert 'href="../more/runs/shape/report.html"' in Path("elsewhere/index.html").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["runs/nothing"], "there is no folder runs/nothing"),
        (["empty"], "no run in or below empty"),
        (["runs/unfinished"], "runs/unfinished is unfinished, so it has no page"),
    ],
)
def test_what_has_no_page_is_refused(
    words: list[str], message: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("empty").mkdir()
    Path("runs/unfinished").mkdir()
    shutil.copy("runs/shape/manifest.json", "runs/unfinished")
    assert type_in(["report", *words]) == 2
    assert message in said(capsys)
    assert not list(home.rglob("index.html"))
