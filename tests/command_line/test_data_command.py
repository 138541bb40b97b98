"""`distractor data`: verifies and downloads official files; after any failure, no other file has their name."""

import csv
import hashlib
import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from distractor.errors import TaskError
from small_ladder import type_in
from tasks.prize import fetch, release

FILE = "neqa_classification.jsonl"
HUB = "inverse-scaling/NeQA"
LISTED = f"/api/datasets/{HUB}"


def question(text: str, answer: int) -> dict[str, Any]:
    prompt = f"Choose.\n\nQuestion: {text}\nA. warm/hot π\nB. cold\nAnswer:"
    return {"prompt": prompt, "classes": "[' A', ' B']", "answer_index": answer, "round": 1, "part": 1}


ROWS = [question("Ice is not", 0), question("Fire isn't", 1), question("Snow is not", 0)]
CONTENT = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in ROWS).encode()
"""The official file in this test: one that we wrote, because the real ones must not be shipped."""

OFFICIAL = release.ReleaseFile("neqa", FILE, len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), 1, len(ROWS), HUB)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(release.BY_NAME, "neqa", OFFICIAL)  # type: ignore[arg-type]
    monkeypatch.setitem(release.BY_HASH, OFFICIAL.sha256, OFFICIAL)  # type: ignore[arg-type]
    files = tuple(OFFICIAL if one.name == "neqa" else one for one in release.FILES)
    for module in (release, fetch):
        monkeypatch.setattr(module, "FILES", files)
        monkeypatch.setattr(module, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("DISTRACTOR_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


@dataclass
class Hub:
    """A hub on loopback: its answers by path, the requests it received, and the number of bytes that it withholds at
    the end.
    """

    address: str = ""
    answers: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    kept_back: int = 0
    silent: bool = False

    def offers(self, **files: bytes) -> None:
        """A dataset with these files; `__` is a dot in their names."""
        named = {name.replace("__", "."): content for name, content in files.items()}
        siblings = [{"rfilename": name} for name in ("README.md", ".gitattributes", *named)]
        self.answers[LISTED] = json.dumps({"id": HUB, "siblings": siblings}).encode()
        self.answers |= {f"/datasets/{HUB}/resolve/main/{name}": content for name, content in named.items()}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    server_state = Hub()

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server_state.asked.append(self.path)
            if server_state.silent:
                time.sleep(2)
                return
            content = server_state.answers.get(self.path)
            if content is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) - server_state.kept_back * (self.path != LISTED)])

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    server_state.address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("HF_ENDPOINT", server_state.address + "/")
    yield server_state
    server.shutdown()
    thread.join()
    server.server_close()


def lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def with_lists(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As the hub's own tools write rows: classes as a list, and neither round nor part."""
    return [
        {"prompt": row["prompt"], "classes": [" A", " B"], "answer_index": row["answer_index"], "id": n}
        for n, row in enumerate(rows)
    ]


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    buffer = io.StringIO(newline="")
    table = csv.DictWriter(buffer, list(rows[0]))
    table.writeheader()
    table.writerows(rows)
    return buffer.getvalue().encode()


def kept() -> dict[str, bytes]:
    """All remaining files, by their paths."""
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def refused(command: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert type_in(command) == 2
    shown = capsys.readouterr()
    message = " ".join(shown.err.split())
    assert message.count("Error: ") == 1
    assert "Traceback" not in message
    assert shown.out == ""
    return message


GET = ["data", "get", "negation_qa"]
KEPT = {f"cache/{FILE}": CONTENT}


@pytest.mark.parametrize(
    "files",
    [
        {"neqa__jsonl": CONTENT},
        {"neqa__jsonl": lines(ROWS)},
        {"neqa__jsonl": lines(with_lists(ROWS))},
        {"neqa__jsonl": CONTENT.replace(b"\n", b"\r\n")},
        {"neqa__json": json.dumps(with_lists(ROWS)).encode()},
        {"neqa__csv": as_csv(ROWS)},
        {"data/train-0__parquet": as_parquet(with_lists(ROWS))},
        {"an other__jsonl": b"{}\n", "neqa__jsonl": CONTENT},
    ],
    ids=["as released", "spaces", "lists", "CRLF", "one list", "CSV", "parquet", "with another"],
)
def test_the_official_file_in_any_form_is_saved_byte_by_byte(
    files: dict[str, bytes], hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.offers(**files)
    hub.answers = {path.replace(" ", "%20"): content for path, content in hub.answers.items()}
    assert type_in(GET) == 0
    assert kept() == KEPT
    assert hub.address in capsys.readouterr().out
    asked = len(hub.asked)
    assert type_in(["data", "get", "neqa"]) == 0
    assert "already there" in capsys.readouterr().out
    assert len(hub.asked) == asked


def test_trailing_spaces_of_prompts_are_corrected(hub: Hub) -> None:
    hub.offers(neqa__jsonl=lines([row | {"prompt": row["prompt"] + " "} for row in ROWS]))
    assert type_in(GET) == 0
    assert kept() == KEPT


@pytest.mark.parametrize(
    "content",
    [
        CONTENT.replace(b"Snow", b"Frost"),
        lines(ROWS[::-1]),
        lines(ROWS[:2]),
        b"<html>",
        b"",
        b"\xff\xfe",
        b'{"prompt": 1}\n',
        b"[" * 100_000,
    ],
    ids=["a word", "order", "a row", "a page", "nothing", "no text", "no row", "nested"],
)
def test_other_content_is_not_saved_and_its_address_is_named(
    content: bytes, hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.offers(neqa__jsonl=content)
    message = refused(GET, capsys)
    assert f"the copy at {hub.address}/datasets/{HUB} is not the official {FILE}" in message
    assert f"neqa.jsonl: {len(content):,} bytes with SHA-256 {hashlib.sha256(content).hexdigest()[:12]}" in message
    assert OFFICIAL.sha256[:12] in message
    assert release.ADDRESS in message
    assert kept() == {}


def test_a_task_that_changed_for_the_release_is_named(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    listed = json.dumps({"siblings": [{"rfilename": "redefine-math.jsonl"}]}).encode()
    hub.answers["/api/datasets/inverse-scaling/redefine-math"] = listed
    hub.answers["/datasets/inverse-scaling/redefine-math/resolve/main/redefine-math.jsonl"] = CONTENT
    assert "round 1" in refused(["data", "get", "redefine_math"], capsys)
    assert kept() == {}


@pytest.mark.parametrize("kept_back", [1, len(CONTENT) // 2, len(CONTENT)])
def test_an_incomplete_download_is_not_saved(kept_back: int, hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.offers(neqa__jsonl=CONTENT)
    hub.kept_back = kept_back
    assert f"{kept_back} of {len(CONTENT)} bytes" in refused(GET, capsys)
    assert kept() == {}


def test_a_missing_file_is_named_with_its_address(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"{hub.address}{LISTED} answers 404" in refused(GET, capsys)
    hub.offers(neqa__jsonl=CONTENT)
    del hub.answers[f"/datasets/{HUB}/resolve/main/neqa.jsonl"]
    assert "resolve/main/neqa.jsonl answers 404" in refused(GET, capsys)
    hub.offers()
    assert "no file with rows" in refused(GET, capsys)
    for odd in (b"<html>", b"[]", b'{"siblings": [1]}', b'{"siblings": [{"rfilename": 1}]}'):
        hub.answers[LISTED] = odd
        assert "HF_ENDPOINT" in refused(GET, capsys)
    assert kept() == {}


def test_a_silent_server_times_out(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fetch, "SECONDS", 0.2)
    hub.silent = True
    assert "cannot be read" in refused(GET, capsys)
    assert kept() == {}


@pytest.mark.parametrize(("limit", "fact"), [("LARGEST", "10 bytes"), ("TOTAL_SECONDS", "slowly")])
def test_an_endless_answer_is_refused(
    limit: str, fact: str, hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fetch, limit, 10 if limit == "LARGEST" else -1.0)
    hub.offers(neqa__jsonl=CONTENT)
    assert fact in refused(GET, capsys)
    assert kept() == {}


def test_without_a_server_the_error_comes_soon_and_before_heavy_imports(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom distractor.command_line.main import main\n"
        "try: main()\nfinally: print(*({'torch', 'pyarrow', 'numpy'} & {*sys.modules}), 'END', file=sys.stderr)"
    )
    env = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"}
    env |= {"HF_ENDPOINT": "http://127.0.0.1:9", "XDG_CACHE_HOME": str(tmp_path / "nowhere")}
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code, *GET, "--out", "here"], capture_output=True, text=True, env=env)
    assert time.monotonic() - begun < 60  # on a busy machine; the command waits for `hub.SECONDS`
    assert done.returncode == 2
    message = " ".join(done.stderr.split())
    assert f"http://127.0.0.1:9/datasets/{HUB} cannot be reached" in message
    assert FILE in message
    assert message.endswith("here END")
    assert kept() == {}


def test_the_network_can_be_forbidden(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.offers(neqa__jsonl=CONTENT)
    assert "--offline or HF_HUB_OFFLINE" in refused([*GET, "--offline"], capsys)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE" in refused(GET, capsys)
    assert hub.asked == []
    Path("cache").mkdir()
    Path("cache", FILE).write_bytes(CONTENT)
    assert type_in(GET) == 0


@pytest.mark.parametrize("endpoint", ["file:///etc", "localhost", "ftp://127.0.0.1"])
def test_an_address_without_http_is_refused(
    endpoint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    assert f"HF_ENDPOINT is '{endpoint}'" in refused(GET, capsys)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:port")
    assert "cannot be reached" in refused(GET, capsys)


@pytest.mark.parametrize("comes", [CONTENT, b"{}"], ids=["right", "wrong"])
def test_a_file_that_is_not_official_is_moved_aside(comes: bytes, hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    Path("cache").mkdir()
    Path("cache", FILE).write_bytes(CONTENT[:-9])
    hub.offers(neqa__jsonl=comes)
    assert type_in(GET) == (0 if comes == CONTENT else 2)
    aside = {f"cache/{FILE}.not-official": CONTENT[:-9]}
    assert kept() == (KEPT | aside if comes == CONTENT else aside)
    capsys.readouterr()


def test_another_folder_can_be_given_and_an_unwritable_one_is_named(
    hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.offers(neqa__jsonl=CONTENT)
    assert type_in([*GET, "--out", "mine"]) == 0
    assert kept() == {f"mine/{FILE}": CONTENT}
    capsys.readouterr()
    Path("a.file").write_text("mine")
    assert "--out" in refused([*GET, "--out", "a.file"], capsys)


@pytest.mark.parametrize(
    ("task", "fact"),
    [
        ("memo-trap", f"memo-trap has no public dataset.* memo-trap_.* from {release.ADDRESS}"),
        ("prompt-injection", "prompt-injection_.* sequences"),
        ("negation", "task 'negation': did you mean negation_qa"),
    ],
)  # fmt: skip
def test_files_without_a_public_copy_are_refused(task: str, fact: str, hub: Hub) -> None:
    with pytest.raises(TaskError, match=fact):
        fetch.get(task)
    assert hub.asked == []


# verify


def test_an_official_file_is_recognised_under_any_name(capsys: pytest.CaptureFixture[str]) -> None:
    for name in (FILE, "copy.txt"):
        Path(name).write_bytes(CONTENT)
    assert type_in(["data", "verify", FILE, "copy.txt"]) == 0
    shown = capsys.readouterr().out
    assert f"copy.txt: the official {FILE} (neqa), {len(CONTENT)} bytes, SHA-256 {OFFICIAL.sha256[:12]}" in shown
    assert shown.count("--task negation_qa: 3 items (conflict 3, congruent 3, distractor_only 3)") == 2
    assert shown.count("--task neqa: 3 items (conflict 3)") == 2


@pytest.mark.parametrize("command", [["ablate"], ["attribute", "--models", "ladder"], ["compare", "ladder"]])
def test_an_official_file_has_no_embedded_models(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path(FILE).write_bytes(CONTENT)
    assert type_in([*command, "--task", "negation_qa", "--data", FILE]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert f"no models are embedded for the task '{FILE}', only for " in " ".join(shown.err.split())


Change = Callable[[bytes], bytes]


@pytest.mark.parametrize(
    ("name", "change", "fact"),
    [
        (FILE, lambda c: c[:-20], f"{len(CONTENT)} bytes with {OFFICIAL.sha256[:12]}…; {FILE}, line 3: "),
        (FILE, lambda c: c.replace(b"Snow", b"Rain"), "3 rows"),
        (FILE, lambda c: c[: c.index(b"\n") + 1], "1 rows, expected 3"),
        ("b.jsonl", lambda c: c.replace(b"\n", b"\r\n"), f"rows of {FILE} in another encoding"),
        ("b.jsonl", lambda _: b"x\0", "b.jsonl, line 1: "),
        ("b.jsonl", lambda c: c.decode().encode("utf-16"), "line 1: "),
        ("b.jsonl", lambda c: c + c, "line 4: "),
        ("b.jsonl", lambda _: b"", "0 bytes with SHA-256 e3b0c44298fc…"),
    ],
    ids=["cut off", "a word", "rows", "line ends", "NUL", "UTF-16", "twice", "empty"],
)
def test_a_file_that_is_not_official_is_described_by_its_differences(
    name: str, change: Change, fact: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(name).write_bytes(change(CONTENT))
    Path("good").write_bytes(CONTENT)
    assert type_in(["data", "verify", name, "good"]) == 2
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{name}: not an official file")
    assert fact in first
    assert second.startswith("good: the official")


def test_a_missing_file_is_a_user_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no file none.jsonl" in refused(["data", "verify", "none.jsonl"], capsys)


def test_a_file_without_classes_is_recognised_and_not_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = b'{"prompt":"a","completion":" b"}\n'
    digest = hashlib.sha256(content).hexdigest()
    one = release.ReleaseFile("prompt-injection", "prompt-injection_sequence-probability.jsonl", 1, digest, 2)
    monkeypatch.setitem(release.BY_HASH, digest, one)  # type: ignore[arg-type]
    Path("a").write_bytes(content)
    assert type_in(["data", "verify", "a"]) == 0
    assert "sequences" in capsys.readouterr().out
