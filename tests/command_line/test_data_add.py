"""`distractor data add`: only official files are saved, whole or not at all; the archive of BIG-bench is only read."""

import hashlib
import io
import os
import signal
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

import tiny_bigbench
from distractor import files
from small_ladder import in_child, type_in
from tasks.bigbench import archive
from tasks.prize import release

PRIZE = b'{"prompt": "Ice is not", "classes": "[\' A\', \' B\']", "answer_index": 0}\n'
OFFICIAL = release.ReleaseFile("neqa", "neqa_classification.jsonl", len(PRIZE), hashlib.sha256(PRIZE).hexdigest(), 1, 1)
NAME = archive.ARCHIVE

pytestmark = pytest.mark.quick


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(release.BY_HASH, OFFICIAL.sha256, OFFICIAL)  # type: ignore[arg-type]
    monkeypatch.setattr(release, "cache_folder", lambda: tmp_path / "cache/prize")
    monkeypatch.setattr(archive, "cache_folder", lambda: tmp_path / "cache/bigbench")
    monkeypatch.delenv("DISTRACTOR_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def expected(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The bytes of the archive that is expected."""
    content = tiny_bigbench.packed()
    tiny_bigbench.expect(monkeypatch, content)
    return content


SAVED = {f"cache/bigbench/{file.file}": tiny_bigbench.CONTENTS[file.name] for file in tiny_bigbench.FILES}


def kept() -> dict[str, bytes]:
    """All files of the cache, by their paths."""
    return {str(path): path.read_bytes() for path in Path("cache").rglob("*") if path.is_file()}


def refused(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    assert type_in(command) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    message = " ".join(shown.err.split())
    assert message.count("Error: ") == 1
    assert "Traceback" not in message
    return message


def test_the_task_files_of_the_archive_are_saved_and_nothing_else(
    expected: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("copy").write_bytes(expected)
    assert type_in(["data", "add", "copy"]) == 0
    assert kept() == SAVED
    assert {str(path) for path in Path().rglob("*") if path.is_file()} == {"copy", *SAVED}
    assert "cache/bigbench: verified and saved" in capsys.readouterr().out
    assert type_in(["data", "add", "copy"]) == 0
    assert "already there" in capsys.readouterr().out
    assert type_in(["tasks", "show", "truthful_qa"]) == 0
    assert "1 of 2 items have more than two answers (up to 3)" in " ".join(capsys.readouterr().out.split())


def test_a_damaged_or_missing_task_file_is_saved_again(expected: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    Path(NAME).write_bytes(expected)
    assert type_in(["data", "add", NAME]) == 0
    Path("cache/bigbench/truthful_qa.json").write_bytes(b"")
    Path("cache/bigbench/identify_math_theorems.json").unlink()
    assert type_in(["data", "add", NAME]) == 0
    assert "already there" not in capsys.readouterr().out
    assert kept() == SAVED


def test_the_folder_can_be_chosen(expected: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(NAME).write_bytes(expected)
    assert type_in(["data", "add", NAME, "--out", "mine"]) == 0
    assert kept() == {}
    monkeypatch.setenv("DISTRACTOR_DATA", "mine")
    assert type_in(["tasks", "show", "modified_arithmetic"]) == 0


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        (lambda content: content[:-9], ("may have ended early", "https://pypi.org")),
        (lambda content: b"", ("has 0 bytes", "may have ended early")),
        (lambda content: content + b"\0", ("it is another file",)),
        (lambda content: content[:-1] + b"\1", ("SHA-256", "damaged or changed")),
        (lambda content: b"x" * len(content), ("SHA-256", "damaged or changed")),
    ],
    ids=["truncated", "empty", "longer", "a bit", "no archive"],
)
def test_a_file_that_is_not_the_archive_is_refused_by_size_then_hash(
    change: Callable[[bytes], bytes], facts: tuple[str, ...], expected: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(NAME).write_bytes(change(expected))
    message = refused(capsys, "data", "add", NAME)
    assert [fact for fact in (*facts, NAME, "nothing was saved") if fact not in message] == []
    assert kept() == {}
    assert type_in(["data", "verify", NAME]) == 2


def test_the_size_is_compared_before_anything_is_read(
    expected: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: Path) -> tuple[int, str]:
        raise AssertionError("read")

    Path(NAME).write_bytes(expected[:-1])
    monkeypatch.setattr(archive.copies, "hash_of", fail)
    assert f"{len(expected) - 1:,} bytes" in refused(capsys, "data", "add", NAME)


def truthful(member: tarfile.TarInfo) -> bool:
    return member.name.endswith("task_mc.json")


def as_link(member: tarfile.TarInfo, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    if truthful(member):
        member.type, member.linkname, member.size = tarfile.SYMTYPE, "/etc/passwd", 0
    return member, content


def as_hard_link(member: tarfile.TarInfo, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    if truthful(member):
        member.type, member.linkname = tarfile.LNKTYPE, "bigbench-1.0.0/setup.py"
    return member, content


def as_absolute(member: tarfile.TarInfo, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    if truthful(member):
        member.name = f"/{member.name}"
    return member, content


def as_large(member: tarfile.TarInfo, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    if truthful(member):
        content += b" " * 2_000_000
        member.size = len(content)
    return member, content


def changed(member: tarfile.TarInfo, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    return member, content.replace(b"float", b"drift")


def left_out(member: tarfile.TarInfo, content: bytes) -> tuple[tarfile.TarInfo, bytes] | None:
    return None if truthful(member) else (member, content)


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        (as_link, "is not a regular file"),
        (as_hard_link, "is not a regular file"),
        (as_absolute, "lacks truthful_qa/task_mc.json"),
        (as_large, "task_mc.json has 2,000,"),
        (changed, "SHA-256"),
        (left_out, "lacks truthful_qa/task_mc.json"),
    ],
)
def test_a_member_that_is_not_the_task_file_is_refused(
    change: tiny_bigbench.Change, fact: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Even if the archive itself were the expected one."""
    content = tiny_bigbench.packed(change)
    tiny_bigbench.expect(monkeypatch, content)
    Path(NAME).write_bytes(content)
    assert fact in refused(capsys, "data", "add", NAME)
    assert kept() == {}


@pytest.mark.parametrize("content", [b"no gzip", tiny_bigbench.packed()[:-40], tiny_bigbench.packed()[:400]])
def test_what_cannot_be_unpacked_is_refused(
    content: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny_bigbench.expect(monkeypatch, content)
    Path(NAME).write_bytes(content)
    message = refused(capsys, "data", "add", NAME)
    assert "cannot be read as an archive" in message
    assert kept() == {}


def test_an_interrupted_write_leaves_only_whole_files(expected: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(NAME).write_bytes(expected)
    write = Path.write_bytes

    def interrupted(self: Path, content: bytes) -> int:
        if "subtraction" in self.name:
            write(self, content[:10])
            raise KeyboardInterrupt
        return write(self, content)

    monkeypatch.setattr(files.Path, "write_bytes", interrupted)
    assert type_in(["data", "add", NAME]) == 130
    assert kept().items() < SAVED.items()
    monkeypatch.undo()


def test_a_process_that_is_killed_leaves_no_file_under_its_name(
    expected: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(NAME).write_bytes(expected)
    with monkeypatch.context() as patch:
        patch.setattr(files.Path, "replace", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        assert in_child(lambda: type_in(["data", "add", NAME])) == -signal.SIGKILL
    assert not SAVED.keys() & kept().keys()
    assert type_in(["data", "add", NAME]) == 0
    assert SAVED.items() <= kept().items()


def test_a_folder_that_cannot_be_written_is_one_message(expected: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    Path(NAME).write_bytes(expected)
    Path("file").write_text("")
    assert "cannot be written" in refused(capsys, "data", "add", NAME, "--out", "file/folder")


def test_an_official_file_of_the_prize_is_saved_under_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    Path("copy").write_bytes(PRIZE)
    assert type_in(["data", "add", "copy"]) == 0
    assert kept() == {f"cache/prize/{OFFICIAL.file}": PRIZE}
    assert "verified and saved" in capsys.readouterr().out
    assert type_in(["data", "add", "copy"]) == 0
    assert "already there" in capsys.readouterr().out


def test_a_single_task_file_is_saved_too(expected: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    content = tiny_bigbench.CONTENTS["truthful_qa"]
    Path("task_mc.json").write_bytes(content)
    assert type_in(["data", "verify", "task_mc.json"]) == 0
    shown = capsys.readouterr().out
    assert "the task file truthful_qa of BIG-bench 1.0.0" in shown
    assert type_in(["data", "add", "task_mc.json"]) == 0
    assert kept() == {"cache/bigbench/truthful_qa.json": content}
    capsys.readouterr()
    assert type_in(["data", "verify", "cache/bigbench/truthful_qa.json"]) == 0
    shown = capsys.readouterr().out
    assert "--task truthful_qa: 2 items (conflict 2);" in shown
    assert "1 with more than two answers" in shown


def test_other_files_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.jsonl").write_bytes(PRIZE.replace(b"Ice", b"Fog"))
    assert "mine.jsonl is not an official file" in refused(capsys, "data", "add", "mine.jsonl")
    assert "there is no file none" in refused(capsys, "data", "add", "none")
    assert "there is no file" in refused(capsys, "data", "add", "bigbench-1.0.0.tar.gz")
    with tarfile.open("other.tar.gz", "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("x"), io.BytesIO(b""))
    assert "bytes, but bigbench-1.0.0.tar.gz of BIG-bench has 358,249,635" in refused(
        capsys, "data", "add", "other.tar.gz"
    )
    assert kept() == {}


def test_verify_knows_the_archive(expected: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    Path(NAME).write_bytes(expected)
    assert type_in(["data", "verify", NAME]) == 0
    assert f"`distractor data add {NAME}` saves its task files" in capsys.readouterr().out


def test_a_download_is_refused_with_how_to_get_the_archive(capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, "data", "get", "truthful_qa")
    assert f"get {NAME} from https://pypi.org" in message
    assert "distractor data add" in message
