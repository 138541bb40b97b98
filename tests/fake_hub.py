"""A Hugging Face hub on this machine: it serves folders as revisions of models, and counts downloads of weights."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

WEIGHTS = (".safetensors", ".bin")


@dataclass
class Hub:
    """`revisions` maps a hub id and a revision to a folder. `before` is called before weights are sent."""

    revisions: Mapping[tuple[str, str], Path]
    before: Callable[[str], None] = lambda name: None
    downloads: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def commit(self, hub_id: str, revision: str) -> str:
        return hashlib.sha1(f"{hub_id}@{revision}".encode()).hexdigest()

    def find(self, hub_id: str, revision: str) -> tuple[str, Path] | None:
        for (known, name), folder in self.revisions.items():
            commit = self.commit(known, name)
            if known == hub_id and revision in (name, commit):
                return commit, folder
        return None


def _entry(path: Path) -> dict[str, object]:
    content = path.read_bytes()
    entry: dict[str, object] = {"type": "file", "path": path.name, "size": len(content), "oid": _etag(path)}
    if path.suffix in WEIGHTS:
        entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
    return entry


def _etag(path: Path) -> str:
    kind = hashlib.sha256 if path.suffix in WEIGHTS else hashlib.sha1
    return kind(path.read_bytes()).hexdigest()


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Serve a hub in this block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def send(self, content: bytes, status: int = 200, **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path).strip("/").split("/")
            if path[:2] == ["api", "models"]:
                hub_id, what = "/".join(path[2:4]), path[4] if len(path) > 4 else "revision"
                found = hub.find(hub_id, path[5] if len(path) > 5 else "main")
            else:
                hub_id, what = "/".join(path[:2]), "resolve"
                found = hub.find(hub_id, path[3])
            if found is None:
                self.send(b"{}", 404, X_Error_Code="RevisionNotFound")
                return
            commit, folder = found
            files = sorted(each for each in folder.iterdir() if each.is_file())
            if what == "tree":
                self.send(json.dumps([_entry(each) for each in files]).encode(), Content_Type="application/json")
            elif what == "revision":
                siblings = [{"rfilename": each.name} for each in files]
                info = {
                    "id": hub_id,
                    "modelId": hub_id,
                    "sha": commit,
                    "siblings": siblings,
                    "tags": [],
                    "private": False,
                }
                self.send(json.dumps(info).encode(), Content_Type="application/json")
            else:
                file = folder / path[4]
                if self.command == "GET" and file.suffix in WEIGHTS:
                    hub.before(commit)
                    hub.downloads.append(commit)
                content = file.read_bytes()
                self.send(content, ETag=f'"{_etag(file)}"', X_Repo_Commit=commit, X_Linked_Size=str(len(content)))

        do_HEAD = do_GET  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
