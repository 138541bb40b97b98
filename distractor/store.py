"""Results on disk: cells that are computed once, and the folders of runs. Whole or not at all.

A *cell* is what one model gives on one task under one condition, or what one probe reads; it is found again by the
hash of everything that decides its numbers. Cells are shared between runs.
"""

import hashlib
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distractor.errors import StoreError

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
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
        return self.folder / digest[:2] / f"{digest[2:]}.parquet"

    def has(self, key: Key) -> bool:
        """Whether the cell has been computed."""
        return self.path(key).exists()

    def get(self, key: Key) -> Cell:
        """The cell of `key`.

        Raises:
            StoreError: its file cannot be read.

        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.path(key)
        try:
            table = pq.ParquetFile(path).read()
        except (OSError, pa.ArrowInvalid) as error:
            raise StoreError(
                f"the result in {path} cannot be read ({error}); delete the file to have it computed again"
            ) from error
        return Cell(table.replace_schema_metadata(None), json.loads(table.schema.metadata[b"facts"]))

    def put(self, key: Key, cell: Cell) -> None:
        """Keep a cell; nothing is seen of it until all of it is there."""
        path = self.path(key)
        header = {"key": json.dumps(key, sort_keys=True), "facts": json.dumps(cell.facts, sort_keys=True)}
        write_table(path, cell.table.replace_schema_metadata(header))

    def clear_scraps(self) -> None:
        """Delete what killed runs left half-written more than a day ago."""
        for scrap in self.folder.glob("*/*.part"):
            with suppress(OSError):
                if time.time() - scrap.stat().st_mtime > DAY:
                    scrap.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all.

    Raises:
        StoreError: it cannot be written.

    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise StoreError(f"{path} cannot be written ({error.strerror}); choose another place with --out") from error


def write_table(path: Path, table: "pa.Table") -> None:
    """Write a table as Parquet, whole or not at all; the same table gives the same bytes."""
    import io

    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    write_bytes(path, buffer.getvalue())
