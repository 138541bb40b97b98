"""`distractor view` opens a page in the browser, or says where it is."""

import webbrowser
from pathlib import Path

import pytest

from small_ladder import type_in


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the browser was asked to open, in a folder of runs; `run` has a page and `empty` has none."""
    addresses: list[str] = []

    def note(address: str) -> bool:
        addresses.append(address)
        return True

    monkeypatch.setattr(webbrowser, "open", note)
    monkeypatch.chdir(tmp_path)
    for name in ("runs/run a", "runs/empty"):
        Path(name).mkdir(parents=True)
    for name in ("runs/run a/report.html", "runs/index.html"):
        Path(name).touch()
    return addresses


@pytest.mark.parametrize(
    ("run", "page"),
    [
        ("runs/run a", "runs/run a/report.html"),
        ("runs", "runs/index.html"),
        ("runs/run a/report.html", "runs/run a/report.html"),
    ],
)
def test_the_page_is_opened(run: str, page: str, opened: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert type_in(["view", run]) == 0
    assert opened == [Path(page).absolute().as_uri()]
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == (f"{page}\n", "")


@pytest.mark.parametrize("fault", [False, webbrowser.Error("no browser")])
@pytest.mark.usefixtures("opened")
def test_without_a_browser_the_path_is_printed(
    fault: bool | Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(address: str) -> bool:
        if isinstance(fault, Exception):
            raise fault
        return fault

    monkeypatch.setattr(webbrowser, "open", fail)
    assert type_in(["view", "runs"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "runs/index.html\n"
    assert "No browser was found" in printed.err


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ("runs/run b", "there is no folder runs/run b; did you mean run a?"),
        ("nowhere/run", "there is no folder nowhere/run; name the folder of a run"),
        ("runs/empty", "write one with `distractor report runs/empty`"),
    ],
)
def test_what_has_no_page_is_refused(
    run: str, message: str, opened: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert type_in(["view", run]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not opened
