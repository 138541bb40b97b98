"""Probes by name and from a user's file: what loads, and which mistakes are named."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

import tiny
from conftest import Loaded
from distractor.attribution.report import FIGURES
from distractor.command_line.lookup import find_probes, must_work
from distractor.errors import ProbeError
from distractor.probing.measure import measure
from distractor.probing.probe import Probe
from distractor.probing.readings import probe_identity
from probes import DEFAULT, PROBES
from probes.find import MEMBERS, find_probe

pytestmark = pytest.mark.quick

OWN = """
from dataclasses import dataclass
from distractor.probing.probe import Probe

@dataclass(frozen=True)
class Own(Probe):
    scale: float = 1.0
    conditions: tuple = ("conflict",)

    def __call__(self, run):
        return run.gap

set_up = Own(scale=2.0)
number = 3

class Settingless(Probe):
    conditions = ("conflict",)
    def __call__(self, run): ...

class Unfinished(Probe):
    pass
"""


def write(folder: Path, text: str = OWN) -> str:
    (folder / "mine.py").write_text(text)
    return str(folder / "mine.py")


@pytest.mark.parametrize("name", PROBES)
def test_every_built_in_probe_is_found_and_meets_the_contract(name: str) -> None:
    assert find_probe(name) is PROBES[name]
    assert isinstance(PROBES[name], Probe)
    assert all(hasattr(PROBES[name], member) for member in MEMBERS)


def test_without_a_name_some_probes_are_read_and_all_means_all(tmp_path: Path) -> None:
    assert tuple(find_probes(None)) == DEFAULT
    assert find_probes(["all"]) == PROBES
    both = find_probes(["logit_lens", "all", f"{write(tmp_path)}:Own"])
    assert list(both) == ["logit_lens", *(name for name in PROBES if name != "logit_lens"), "Own"]
    assert not any(must_work(names) for names in (None, [], ["all"], ["attention", "all"]))
    assert must_work(["attention"])


def test_a_user_names_a_class_or_a_probe_with_settings(tmp_path: Path) -> None:
    file = write(tmp_path)
    assert repr(find_probe(f"{file}:Own")).startswith("Own(scale=1.0")
    assert repr(find_probe(f"{file}:set_up")).startswith("Own(scale=2.0")


def test_a_changed_file_is_another_probe(tmp_path: Path) -> None:
    before = probe_identity(find_probe(f"{write(tmp_path)}:Own"))
    after = probe_identity(find_probe(f"{write(tmp_path, OWN + '# changed')}:Own"))
    assert before != after
    assert probe_identity(PROBES["ablation"]) == repr(PROBES["ablation"])


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("logit_lense", ["no probe 'logit_lense'", "logit_lens", "path.py:NAME"]),
        ("mine.py:Owm", ["mine.py has no 'Owm'", "Own"]),
        ("other.py:Own", ["no file", "other.py"]),
        ("mine.py:number", ["mine.py:number is not a probe", "conditions", "sites", "Probe"]),
        ("mine.py:Settingless", ["mine.py:Settingless", "dataclass"]),
        ("mine.py:Unfinished", ["mine.py", "TypeError", "conditions"]),
    ],
)
def test_a_mistake_names_the_file_and_the_remedy(
    name: str, facts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ProbeError) as raised:
        find_probe(name)
    assert all(fact in str(raised.value) for fact in facts), raised.value


def test_a_file_that_fails_is_reported_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ProbeError, match=r"mine\.py, line 2: ZeroDivisionError"):
        find_probe(f"{write(tmp_path, 'x = 0' + chr(10) + '1 / x')}:Own")


RETURNS = """
from dataclasses import dataclass
import xarray as xr
from distractor.probing.probe import Probe
from distractor.text.task import Condition

@dataclass(frozen=True)
class Own(Probe):
    conditions: tuple = (Condition.CONFLICT,)

    def __call__(self, run):
        items = [item.id for item in run.batch.items]
        return {returned}
"""


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("1 / 0", r"mine\.py, line 13: ZeroDivisionError"),
        ("items[99]", r"mine\.py, line 13: IndexError"),
        ("xr.DataArray([[0.0] for _ in items], dims=('item', 3), coords={'item': items})", "dims' names"),
        ("xr.DataArray(items, dims='item', coords={'item': items})", "return floats"),
        ("xr.DataArray([None for _ in items], dims='item', coords={'item': items})", "return floats"),
    ],
)
def test_a_probe_that_fails_or_returns_no_reading_is_named(
    returned: str, message: str, tmp_path: Path, loaded: Loaded
) -> None:
    probe = find_probe(f"{write(tmp_path, RETURNS.replace('{returned}', returned))}:Own")
    with pytest.raises(ProbeError, match=message):
        measure(loaded("gpt2"), tiny.task(), probe)


def test_help_and_docs_name_the_default_probes() -> None:
    from distractor.command_line.main import app

    shown = CliRunner().invoke(app, ["attribute", "--help"], env={"COLUMNS": "400", "TERM": "dumb"}).output
    *first, last = DEFAULT
    named = f"Default: {', '.join(first)} and {last}."
    assert named in " ".join(shown.replace("│", " ").split())
    page = " ".join((Path(__file__).parents[2] / "docs/probes.md").read_text(encoding="utf-8").split())
    words = [f"`{name}`" for name in DEFAULT]
    assert f"reads {', '.join(words[:-1])} and {words[-1]}, and draws at most {FIGURES} figures" in page
