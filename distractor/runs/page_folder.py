"""The folder of a finished run of which only pages are written again; every number must be the one that it holds."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distractor.errors import StoreError
from distractor.files import parquet_bytes, read_parquet, write_text
from distractor.runs.figure_set import FigureChoice
from distractor.runs.folder import ORIGIN, PAGE, RunFolder, opening_again
from distractor.runs.same_results import (
    CLOSE,
    changes,
    difference_of_summaries,
    difference_of_tables,
    other_labels,
    read_json,
)

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.figure import Figure

    from distractor.runs.page.blocks import Page


@contextmanager
def only_pages(path: Path) -> Iterator[list[Path]]:
    """A command in this block, the one of the run in `path`, writes the pages of that run and nothing else.

    Yields the paths of the pages, which is complete after the block. They are written at its end, if every table and
    summary has the numbers of the run (differences below 1e-5 are rounding). Raises StoreError if a number or a label
    differs, a file is missing, or the manifest is that of another run.
    """
    pages: dict[Path, str] = {}
    written: list[Path] = []
    with opening_again(lambda manifest: _open(path, manifest, pages)):
        yield written
    for file, html in pages.items():
        write_text(file, html)
        written.append(file)


def _open(path: Path, manifest: Mapping[str, Any], pages: dict[Path, str]) -> "PageFolder":
    """The folder, if `manifest` says of the run what its own manifest says."""
    known = {name: value for name, value in read_json(path / "manifest.json").items() if name not in ORIGIN}
    if differences := list(changes(known, {name: manifest.get(name) for name in known})):
        raise StoreError(f"the command would make another run now: {'; '.join(differences)}")
    return PageFolder(path, pages=pages)


@dataclass(frozen=True)
class PageFolder(RunFolder):
    """A run's folder that collects pages in `pages`, by path, and checks that everything else is what it holds."""

    pages: dict[Path, str] = field(default_factory=dict)

    def write_table(self, name: str, table: "pa.Table") -> None:
        """Check a table against `<name>.parquet`."""
        path = self.path / f"{name}.parquet"
        try:
            content = path.read_bytes()
            if content != parquet_bytes(table):
                self._check(path, difference_of_tables(read_parquet(content), table))
        except (OSError, ValueError) as error:
            raise StoreError(f"{path} cannot be read ({error})") from error

    def write_csv(self, name: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Check that `<name>.csv` is there; its numbers are those of the summary."""
        if not (path := self.path / f"{name}.csv").is_file():
            raise StoreError(f"{path} is missing")

    def write_figures(self, figures: "Mapping[str, Figure]") -> None:
        """Leave the figures as they are."""

    def log(self, line: str) -> None:
        """Leave `progress.log` unchanged."""

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Check the numbers and labels of a summary against `summary.json`; it may have gained some."""
        before = read_json(path := self.path / "summary.json")
        after = json.loads(json.dumps(summary))
        if labels := list(other_labels(before, after)):
            raise StoreError(f"{path} has another label: {'; '.join(labels)}")
        self._check(path, difference_of_summaries(before, after, gained=True))

    def keep_figures(
        self,
        summary: Mapping[str, Any],
        choice: FigureChoice,
        draw: "Callable[[str], Figure | None]",
        *drawn_from: str,
    ) -> dict[str, Any]:
        """The record of the figures that the folder has."""
        record = read_json(self.path / "summary.json").get("figures") or {}
        names = [name for name in record.get("names", ()) if (self.path / "figures" / f"{name}.svg").is_file()]
        return {"drawn_from": "", "left_out": [], **record, "names": names}

    def keep_page(self, make: "Callable[[], Page]", *made_from: str) -> None:
        """Collect the page, also if it has not changed."""
        self.write_page(make(), self._page_hash(made_from))

    def write_page(self, page: "Page", made_from: str = "") -> None:
        """Collect the page."""
        from distractor.runs.page.render import render_page

        self.pages[self.path / PAGE] = render_page(page, made_from)

    def _check(self, path: Path, difference: float) -> None:
        if difference > CLOSE:
            raise StoreError(f"{path} has other numbers than the command gives now")
