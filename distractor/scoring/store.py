"""Results on disk: cells that are computed once, and the folders of runs. Whole or not at all.

A *cell* is what one model gives on one task under one condition, or what one probe reads; it is found again by the
hash of everything that decides its numbers. Cells are shared between runs.
"""

import hashlib
import json
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distractor.errors import StoreError
from distractor.files import parquet_bytes, replace_file

if TYPE_CHECKING:
    import pyarrow as pa


Key = Mapping[str, Any]
"""Everything that decides a cell's numbers, as JSON can write it."""


DAY = 86_400.0


@dataclass(frozen=True)
class Cell:
    """A table with the facts that belong to it (numbers and names, not results)."""

    table: "pa.Table"
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Store:
    """The cells below a folder. Each is a Parquet file named by the hash of its key, the key and facts in its header."""

    folder: Path

    def path(self, key: Key) -> Path:
        """Where the cell of `key` is or will be."""
        digest = hashlib.sha256(_text(key).encode()).hexdigest()
        return self.folder / digest[:2] / f"{digest[2:]}.parquet"

    def has(self, key: Key) -> bool:
        """Whether the cell has been computed."""
        return self.path(key).exists()

    def get(self, key: Key) -> Cell:
        """The cell of `key`.

        Raises:
            StoreError: its file cannot be read, is damaged, or holds another cell.

        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.path(key)
        try:
            table = pq.ParquetFile(path, page_checksum_verification=True).read()
            header = table.schema.metadata or {}
            facts = json.loads(header[b"facts"])
            if header[b"seal"].decode() != _seal(key, facts, table):
                raise ValueError("it is damaged or holds another cell")
        except (OSError, pa.ArrowException, KeyError, ValueError) as error:
            raise StoreError(
                f"the result in {path} cannot be read ({error}); delete the file to have it computed again"
            ) from error
        return Cell(table.replace_schema_metadata(None), facts)

    def put(self, key: Key, cell: Cell) -> None:
        """Keep a cell; nothing is seen of it until all of it is there.

        Raises:
            StoreError: it cannot be written.

        """
        header = {"key": _text(key), "facts": _text(cell.facts), "seal": _seal(key, cell.facts, cell.table)}
        with self._explained():
            replace_file(self.path(key), parquet_bytes(cell.table.replace_schema_metadata(header)))

    def make_ready(self) -> None:
        """Make sure that cells can be kept, before anything is computed.

        Raises:
            StoreError: they cannot.

        """
        with self._explained():
            self.folder.mkdir(parents=True, exist_ok=True)
            trial = self.folder / f"trial.{secrets.token_hex(4)}.part"
            trial.touch()
            trial.unlink()

    def clear_scraps(self) -> None:
        """Delete what killed runs left half-written more than a day ago."""
        for scrap in self.folder.rglob("*.part"):
            with suppress(OSError):
                if time.time() - scrap.stat().st_mtime > DAY:
                    scrap.unlink()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"results cannot be kept in {self.folder} ({error.strerror}); run from a folder that can be written "
                "and has room"
            ) from error


def _text(told: Mapping[str, Any]) -> str:
    """The same text for the same content."""
    return json.dumps(told, sort_keys=True)


def _seal(key: Key, facts: Mapping[str, Any], table: "pa.Table") -> str:
    """What shows that a cell's header is its own and whole; the values have Parquet's checksums."""
    told = [_text(key), _text(facts), table.schema.remove_metadata().to_string(), str(table.num_rows)]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()
