"""The folder of a run: its manifest, tables, readings, figures and summary, each written in one step; and its progress."""

import hashlib
import io
import json
import os
import secrets
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distractor.errors import DistractorError, StoreError
from distractor.files import delete_unfinished, parquet_bytes, write_bytes, write_text
from distractor.names import printable, readable
from distractor.runs.figure_set import FigureChoice

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.figure import Figure

    from distractor.runs.page.blocks import Page

FIGURE_KINDS = ("png", "svg")
DPI = 150
PAGE = "report.html"
LOG = "progress.log"  # how far the run is; no part of its results
HEAD = 1000  # bytes of a page that hold the hash of its content
ORIGIN = ("command", "date", "machine", "commit", "versions")
"""Where and when a run was made. A run that was repeated has the same hash."""
SUFFIXES = (*FIGURE_KINDS, "parquet", "json", "csv", "html", "log")

OpenAgain = Callable[[Mapping[str, Any]], "RunFolder"]
_open_again: ContextVar[OpenAgain | None] = ContextVar("open_again", default=None)


@contextmanager
def opening_again(open_again: OpenAgain) -> Iterator[None]:
    """In this block, `open_run` gives what `open_again` makes of the manifest, and writes no manifest."""
    token = _open_again.set(open_again)
    try:
        yield
    finally:
        _open_again.reset(token)


@dataclass(frozen=True)
class RunFolder:
    """A folder that holds the results of one run. Every method that writes raises StoreError if it cannot.

    `inside` is the run's own folder, if this is a folder inside it.
    """

    path: Path
    inside: "RunFolder | None" = None

    def subfolder(self, name: str) -> "RunFolder":
        """A folder inside this one, with its own tables, figures and summary."""
        return replace(self, path=self.path / name, inside=self.inside or self)

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest of the run; empty if it has none."""
        try:
            content: dict[str, Any] = json.loads(self._manifest_bytes)
            return content
        except ValueError:
            return {}

    @property
    def _manifest_bytes(self) -> bytes:
        try:
            return ((self.inside or self).path / "manifest.json").read_bytes()
        except OSError:
            return b""

    def write_table(self, name: str, table: "pa.Table") -> None:
        """Write `<name>.parquet`."""
        write_bytes(self.path / f"{name}.parquet", parquet_bytes(table))

    def hash_of(self, name: str) -> str:
        """The SHA-256 of `<name>.parquet`."""
        return hashlib.sha256((self.path / f"{name}.parquet").read_bytes()).hexdigest()

    def write_reading(self, name: str, table: "pa.Table") -> None:
        """Write `readings/<name>.parquet`."""
        self.subfolder("readings").write_table(name, table)

    def write_csv(self, name: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Write `<name>.csv`."""
        import csv

        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\n").writerows([header, *rows])
        write_text(self.path / f"{name}.csv", buffer.getvalue())

    def write_figures(self, figures: "Mapping[str, Figure]") -> None:
        """Write each figure as `figures/<name>.png` and `.svg`, and remove others that the last summary lists.

        The same figure always gives the same bytes.
        """
        for name, figure in figures.items():
            for kind, content in render(figure).items():
                write_bytes(self.path / "figures" / f"{name}.{kind}", content)
        for name in set(self._last_figures.get("names", ())) - set(figures):
            for file in self._files_of([name]):
                file.unlink(missing_ok=True)

    def log(self, line: str) -> None:
        """Append a line to `progress.log`. A run does not fail because its progress cannot be written."""
        with suppress(OSError), ((self.inside or self).path / LOG).open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write `summary.json`. Write it last: it marks the run as finished."""
        write_text(self.path / "summary.json", json.dumps(summary, indent=1) + "\n")

    def keep_figures(
        self,
        summary: Mapping[str, Any],
        choice: FigureChoice,
        draw: "Callable[[str], Figure | None]",
        *drawn_from: str,
    ) -> dict[str, Any]:
        """Draw the chosen figures of a run, unless the same code drew them from the same numbers; return their record.

        `draw` gives None for a figure that does not exist. Drawing takes seconds. The numbers are those of the summary and
        of all tables; `drawn_from` are texts that also decide the figures. The record is the entry `figures` of the
        summary, by which figures are known again.
        """
        content, last = self._figures_hash(summary, choice, drawn_from), self._last_figures
        names: list[str] = last.get("names", [])
        if last.get("drawn_from") != content or last.get("sha256") != self._files_hash(names):
            figures = {name: figure for name in choice.names if (figure := draw(name)) is not None}
            self.write_figures(figures)
            names = list(figures)
        record = {"set": choice.which.value, "names": names, "left_out": list(choice.left_out)}
        return {**record, "drawn_from": content, "sha256": self._files_hash(names)}

    def keep_page(self, make: "Callable[[], Page]", *made_from: str) -> None:
        """Write `report.html`, unless the folder has the page of the same content.

        `made_from` are texts that decide the content together with the manifest, such as hashes.
        """
        content = self._page_hash(made_from)
        if not self._has_page(content):
            self.write_page(make(), content)

    def write_page(self, page: "Page", made_from: str = "") -> None:
        """Write `report.html`; `made_from` is the hash of its content, by which `keep_page` knows it again."""
        from distractor.runs.page.render import render_page

        write_text(self.path / PAGE, render_page(page, made_from))

    def _page_hash(self, made_from: Sequence[str]) -> str:
        """Hash of everything that decides a run's page: its content, the templates and the manifest."""
        from distractor.runs.page.render import templates_hash

        parts = [*(text.encode() for text in (*made_from, templates_hash())), self._manifest_bytes]
        return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:16]

    def _figures_hash(self, summary: Mapping[str, Any], choice: FigureChoice, drawn_from: Sequence[str]) -> str:
        """Hash of all that decides a run's figures: summary, tables, choice, matplotlib and the code of this package."""
        from importlib.metadata import version

        digest = hashlib.sha256(json.dumps([summary, str(choice), *drawn_from], sort_keys=True).encode())
        for path in sorted([*self.path.rglob("*.parquet"), *Path(__file__).parents[1].rglob("*.py")]):
            digest.update(path.read_bytes())
        digest.update(version("matplotlib").encode())
        return digest.hexdigest()[:16]

    def _files_of(self, figures: Sequence[str]) -> list[Path]:
        return [self.path / "figures" / f"{name}.{kind}" for name in figures for kind in FIGURE_KINDS]

    def _files_hash(self, names: Sequence[str]) -> str | None:
        """The hash of all files of these figures; None if one is missing."""
        try:
            hashes = [hashlib.sha256(file.read_bytes()).digest() for file in self._files_of(names)]
        except OSError:
            return None
        return hashlib.sha256(b"".join(hashes)).hexdigest()

    @property
    def _last_figures(self) -> dict[str, Any]:
        """What the last summary says of the figures; empty if there is none."""
        try:
            figures = json.loads((self.path / "summary.json").read_text(encoding="utf-8"))["figures"]
            names = figures["names"]
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return {}
        is_known = isinstance(names, list) and all(isinstance(name, str) and Path(name).name == name for name in names)
        return figures if is_known else {}

    def _has_page(self, content: str) -> bool:
        """Whether the folder has the page of this content, whose hash is in its head."""
        try:
            with (self.path / PAGE).open("rb") as file:
                return content.encode() in file.read(HEAD)
        except OSError:
            return False


def render(figure: "Figure", kinds: Sequence[str] = FIGURE_KINDS) -> dict[str, bytes]:
    """The content of a figure's files, by kind."""
    import matplotlib as mpl

    from distractor.runs.style import STYLE

    _take_literally(figure)
    files = {}
    # svg.hashsalt in STYLE fixes the ids that are created while an SVG is saved.
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # a name in a script the font lacks
        figure.set_dpi(DPI)
        if engine := figure.get_layout_engine():
            # Layout is slow: it is done once, and without the drawing that `savefig` would do for it.
            engine.execute(figure)
            figure.set_layout_engine("none")
        for kind in kinds:
            buffer = io.BytesIO()
            figure.savefig(buffer, format=kind, dpi=DPI, metadata={"Date": None} if kind == "svg" else None)
            files[kind] = buffer.getvalue()
    return files


def _take_literally(figure: "Figure") -> None:
    """Print users' names as they are: a dollar sign starts no formula, and no character breaks the SVG file."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        content = text.get_text()
        if "$" in content and not content.startswith(r"$\mathdefault{"):  # powers of ten on a logarithmic axis
            text.set_parse_math(False)
        text.set_text(printable(content))


@contextmanager
def open_run(out: Path | None, name: str, manifest: Mapping[str, Any]) -> Iterator[RunFolder]:
    """Open a run's folder and write its manifest; `out` is `runs/<name>-<hash>` by default.

    A folder of the same run, finished or not, is used again. A run that fails before it writes a result removes it.
    Raises StoreError if the folder holds another run or other files, or cannot be written. See also `opening_again`.
    """
    if open_again := _open_again.get():
        yield open_again(manifest)
        return
    path = out or Path("runs") / f"{readable(name)}-{run_hash(manifest)[:8]}"
    _refuse_other_content(path, manifest)
    _check_writable(path)
    delete_unfinished(path)
    write_text(path / "manifest.json", json.dumps(manifest, indent=1) + "\n")
    try:
        yield RunFolder(path)
    except DistractorError:
        with suppress(OSError):
            if {file.name for file in path.iterdir()} <= {"manifest.json", LOG}:
                (path / LOG).unlink(missing_ok=True)
                (path / "manifest.json").unlink()
                path.rmdir()
        raise


def check_out(out: Path | None) -> None:
    """Check, before files are read, that the folder of a run can be made or used. Raises StoreError if it cannot."""
    place = path = out or Path("runs")
    try:
        while not place.exists():
            place = place.parent
        reason = None if place.is_dir() else "Not a directory"
        if reason is None and not os.access(place, os.W_OK | os.X_OK):
            reason = "Permission denied"
    except OSError as error:
        reason = error.strerror
    if reason is not None:
        raise StoreError(f"{path} cannot be written ({reason}); choose another folder with --out")


def run_hash(manifest: Mapping[str, Any]) -> str:
    """Hash of a manifest without its command line and versions, so that a repeated run has the same hash."""
    identity = {name: value for name, value in manifest.items() if name not in ORIGIN}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _refuse_other_content(folder: Path, manifest: Mapping[str, Any]) -> None:
    path = folder / "manifest.json"
    try:
        old = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
        is_used = folder.exists() and any(file for file in folder.iterdir() if file.suffix != ".part")
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(f"{folder} cannot be used for results ({error}); choose another folder with --out") from error
    if (old is None and is_used) or (old is not None and not isinstance(old, dict)):
        raise StoreError(f"{folder} is not empty and holds no run; choose another folder with --out")
    if old is not None and run_hash(old) != run_hash(manifest):
        raise StoreError(f"{folder} holds the results of another run; choose another folder with --out, or remove it")


def _check_writable(folder: Path) -> None:
    """Check that every file of a run can be written, before anything is computed. Raises StoreError if one cannot."""
    for place in (folder, *(inner for inner in folder.rglob("*") if inner.is_dir())):
        if place.suffix[1:] in SUFFIXES and place != folder:
            raise StoreError(
                f"{place} is a folder, but a file goes there; remove it, or choose another folder with --out"
            )
        try:
            place.mkdir(parents=True, exist_ok=True)
            trial = place / f"trial.{secrets.token_hex(4)}.part"
            trial.touch()
            trial.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(
                f"{place} cannot be written ({error.strerror}); choose another folder with --out"
            ) from error
