"""A killed run continues where it stopped and writes the same bytes; cells on disk are never computed again."""

import contextlib
import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import small_ladder
from distractor.models import families
from distractor.models import load as load_module
from distractor.models.families import find_models
from distractor.models.source import Source
from distractor.scoring.keys import score_keys
from distractor.scoring.settings import Settings
from distractor.scoring.store import Cell, Key, Store
from distractor.text.task import Condition
from ordinary_user import as_ordinary_user, make_read_only
from shown import files, leave_undrawn
from small_ladder import CELLS, COMMAND, die, in_child, type_in

KNOCKOUTS = 2
FILES = {
    "manifest": 1,
    "first cell": 2,
    "later cell": 11,
    "knock-out": CELLS + 2,
    "results": CELLS + 4,
    "reading": 23,
    "page": 33,
    "summary": 34,
}
"""The number of the file, in writing order from 1, during which a run is killed."""

HEAVY = {"torch", "transformers", "transformer_lens", "scipy", "xarray"}
RUNNER = """
import sys
from pathlib import Path
from distractor.models import families
families.LADDER = Path(sys.argv.pop(1))
from distractor.command_line.main import main
from distractor.runs import folder
folder.render = lambda figure, kinds=(): {"png": b"", "svg": b"<svg/>"}
try:
    main()
finally:
    print(*sorted({"torch", "transformers", "transformer_lens", "scipy", "xarray"} & set(sys.modules)), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def ladder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_ladder.make(tmp_path_factory.mktemp("ladder"))


@pytest.fixture(scope="module")
def done(ladder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an undisturbed run, which contains `out` and `runs/.cells`."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch, contextlib.chdir(folder):
        _prepare(patch, ladder)
        assert run() == 0
    return folder


@pytest.fixture(autouse=True)
def _here(ladder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _prepare(monkeypatch, ladder)
    monkeypatch.chdir(tmp_path)


def _prepare(patch: pytest.MonkeyPatch, ladder: Path) -> None:
    patch.setattr(families, "LADDER", ladder)
    leave_undrawn(patch)  # drawing figures takes most of a small run


def run(*more: str) -> int:
    return type_in([*COMMAND, "--device", "cpu", "--json", "--out", "out", *more])


def outputs(folder: Path) -> dict[str, bytes]:
    """The files that must have the same bytes."""
    names = [
        "results.parquet",
        "summary.json",
        *(f"readings/{path.name}" for path in sorted((folder / "out/readings").glob("*.parquet"))),
    ]
    assert len(names) == 2 + KNOCKOUTS
    return {name: (folder / "out" / name).read_bytes() for name in names}


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("a model was loaded")


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[Key]:
    """The keys of all cells that are computed after this point."""
    keys: list[Key] = []
    save = Store.save

    def count(store: Store, key: Key, cell: Cell) -> None:
        keys.append(key)
        save(store, key, cell)

    monkeypatch.setattr(Store, "save", count)
    return keys


def killed_after(cells: int) -> Callable[[], None]:
    save, number = Store.save, itertools.count(1)

    def last(store: Store, key: Key, cell: Cell) -> None:
        save(store, key, cell)
        if next(number) == cells:
            die()

    def action() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Store, "save", last)
            run()

    return action


def killed_within(file: int) -> Callable[[], None]:
    write, number = Path.write_bytes, itertools.count(1)

    def half(path: Path, content: bytes) -> int:
        if next(number) == file:
            write(path, content[: len(content) // 2])
            die()
        return write(path, content)

    def action() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Path, "write_bytes", half)
            run()

    return action


@pytest.mark.parametrize("cells", [1, 7, CELLS, CELLS + KNOCKOUTS])
def test_a_run_killed_after_a_cell_continues_to_the_same_bytes(
    cells: int, done: Path, tmp_path: Path, computed: list[Key]
) -> None:
    assert in_child(killed_after(cells)) == -9
    assert not (tmp_path / "out/results.parquet").exists()
    assert run() == 0
    assert outputs(tmp_path) == outputs(done)
    assert len(computed) == CELLS + KNOCKOUTS - cells


@pytest.mark.parametrize("file", FILES.values(), ids=FILES)
def test_a_run_killed_while_it_writes_a_file_continues_to_the_same_bytes(
    file: int, done: Path, tmp_path: Path, computed: list[Key]
) -> None:
    assert in_child(killed_within(file)) == -9
    scraps = [*tmp_path.rglob("*.part")]
    assert len(scraps) == 1
    assert not scraps[0].with_name(scraps[0].name.rsplit(".", 2)[0]).exists()
    assert run() == 0
    assert outputs(tmp_path) == outputs(done)
    cells = max(0, min(file - 2, CELLS + KNOCKOUTS))
    assert len(computed) == CELLS + KNOCKOUTS - cells


def test_the_kills_hit_the_files_they_name(done: Path) -> None:
    assert len(list((done / "runs/.cells").rglob("*.parquet"))) == CELLS + KNOCKOUTS
    assert len(files(done / "out")) == FILES["summary"] - CELLS - KNOCKOUTS


def test_a_repeated_command_loads_no_model(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, computed: list[Key]
) -> None:
    shutil.copytree(done, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(load_module, "load", refuse)
    assert run() == 0
    assert outputs(tmp_path) == outputs(done)
    assert computed == []
    with pytest.raises(AssertionError, match="a model was loaded"):
        run("--dtype", "float64", "--out", "other")


def test_a_full_cache_that_is_read_only_serves(done: Path, tmp_path: Path) -> None:
    shutil.copytree(done / "runs", tmp_path / "runs")
    make_read_only(tmp_path / "runs")
    try:
        assert as_ordinary_user(run) == 0
        assert outputs(tmp_path) == outputs(done)
        assert as_ordinary_user(lambda: run("--dtype", "float64", "--out", "other")) == 2
    finally:
        for folder in (tmp_path / "runs", *(path for path in (tmp_path / "runs").rglob("*") if path.is_dir())):
            folder.chmod(0o755)
    assert not (tmp_path / "other").exists()


def test_a_damaged_cell_is_computed_again_to_the_same_bytes(
    done: Path, tmp_path: Path, computed: list[Key], capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(done / "runs", tmp_path / "runs")
    cells = sorted((tmp_path / "runs/.cells").rglob("*.parquet"))
    for cell in (cells[0], cells[-1]):
        content = bytearray(cell.read_bytes())
        content[len(content) // 2] ^= 0x80
        cell.write_bytes(content)
    assert run() == 0
    assert outputs(tmp_path) == outputs(done)
    assert len(computed) == 2
    assert "2 results in the cache were damaged" in " ".join(capsys.readouterr().err.split())


def test_a_repeated_command_imports_no_library_of_models_or_statistics(
    ladder: Path, done: Path, tmp_path: Path
) -> None:
    shutil.copytree(done / "runs", tmp_path / "runs")
    command = [sys.executable, "-c", RUNNER, str(ladder), *COMMAND, "--device", "cpu", "--json"]
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert not HEAVY & set(again.stderr.split())
    summary = json.loads(again.stdout)
    assert summary["models"] == json.loads((done / "out/summary.json").read_text())["models"]
    statistics = next(Path("runs/.cells/statistics").iterdir())
    statistics.write_bytes(statistics.read_bytes()[:-1])
    afresh = subprocess.run(command, capture_output=True, text=True)
    assert (afresh.returncode, afresh.stdout) == (0, again.stdout)
    assert "scipy" in afresh.stderr.split(), "a damaged file was read"


def test_the_batch_size_does_not_change_results(done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("--batch-size", "1", "--no-knockout") == 0
    columns = ["model", "condition", "item", "quantity", "value"]
    one, many = (
        pq.read_table(folder / "out/results.parquet", columns=columns).to_pandas() for folder in (tmp_path, done)
    )
    assert one[columns[:-1]].equals(many[columns[:-1]])
    assert abs(one["value"] - many["value"]).max() < 1e-5
    monkeypatch.setattr(load_module, "load", refuse)
    assert run("--batch-size", "7", "--no-knockout") == 0


def test_two_processes_at_once_write_the_same_results(done: Path, tmp_path: Path) -> None:
    def race() -> None:
        import os

        other = os.fork()
        status = run()
        if not other:
            os._exit(status)
        assert status == 0
        assert os.waitpid(other, 0)[1] == 0

    assert in_child(race) == 0
    assert outputs(tmp_path) == outputs(done)
    assert not [*tmp_path.rglob("*.part")]


@pytest.fixture
def source(ladder: Path, tmp_path: Path) -> Source:
    """A copy of a model's folder that a test may change."""
    return find_models([str(shutil.copytree(ladder / "negation_qa/4x1/seed0", tmp_path / "m"))])[0]


def keys(source: Source, **settings: str) -> Iterator[str]:
    for key in score_keys(small_ladder.task(), source, Settings(device="cpu", **settings)).values():  # type: ignore[arg-type]
        yield json.dumps(key, sort_keys=True)


def test_each_condition_has_its_own_cell(source: Source) -> None:
    assert len(set(keys(source))) == small_ladder.CONDITIONS


def test_the_cell_depends_on_the_dtype(source: Source) -> None:
    assert not {*keys(source)} & {*keys(source, dtype="bfloat16")}


def test_the_cell_does_not_depend_on_the_folder_or_the_name_of_a_model(source: Source, tmp_path: Path) -> None:
    before = {*keys(source)}
    moved = source.folder.rename(tmp_path / "moved")
    assert {*keys(replace(source, folder=moved, model="another name"))} == before


def test_the_cell_depends_on_the_weights(source: Source) -> None:
    before = {*keys(source)}
    weights = source.folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert not {*keys(source)} & before


def test_the_cell_depends_on_the_text(source: Source) -> None:
    task, settings = small_ladder.task(), Settings(device="cpu")
    first = task.items[0]
    reworded = replace(first, prompts={**first.prompts, Condition.NEUTRAL: "Question: Pick one"})
    other = replace(task, items=(reworded, *task.items[1:]))
    one, two = (score_keys(each, source, settings)[Condition.NEUTRAL] for each in (task, other))
    assert one != two
