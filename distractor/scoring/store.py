"""The cache: each result (scores, texts or a probe reading of one model) is computed once and shared between runs.

The hash of everything that decides its numbers names the Parquet file.
"""

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from distractor.errors import StoreError
from distractor.files import DAY, delete_unfinished, parquet_bytes, read_parquet, replace_file
from distractor.progress import record_cache_hit, record_computed, record_damaged, time_computation

if TYPE_CHECKING:
    import pyarrow as pa

Key = Mapping[str, Any]  # everything that decides a cell's numbers; its values can be written as JSON

_only_stored: ContextVar[bool] = ContextVar("only_stored", default=False)


@contextmanager
def only_stored() -> Iterator[None]:
    """Compute nothing in this block: a result that is missing or damaged raises StoreError, and no model is loaded."""
    token = _only_stored.set(True)
    try:
        yield
    finally:
        _only_stored.reset(token)


def is_only_stored() -> bool:
    """Whether nothing may be computed here."""
    return _only_stored.get()


@dataclass(frozen=True)
class Cell:
    """A table of results with facts about them, such as the number of parameters."""

    table: "pa.Table"
    facts: Mapping[str, Any]


class CellFile(NamedTuple):
    """A file in the cache: the task and the model of its result, its size in bytes and its age in days.

    Results of version 0.2.0 do not name them; damaged and unfinished files cannot.
    """

    path: Path
    task: str
    model: str
    size: int
    age: float


@dataclass(frozen=True)
class Store:
    """All cells in a folder. The header of each file holds the key, the facts and a checksum of both."""

    folder: Path

    def path(self, key: Key) -> Path:
        """The file of a cell; it need not exist."""
        digest = hashlib.sha256(_json(key).encode()).hexdigest()
        return self.folder / digest[:2] / f"{digest[2:]}.parquet"

    def has(self, key: Key) -> bool:
        """Whether the cell has been computed."""
        return self.path(key).is_file()

    def get(self, key: Key) -> Cell:
        """Read a cell. Raises StoreError if the file cannot be read, is damaged, or holds another cell."""
        import pyarrow as pa

        path = self.path(key)
        try:
            table = read_parquet(path)
            header = table.schema.metadata or {}
            facts = json.loads(header[b"facts"])
            values = header[b"values"].decode() if b"values" in header else None  # version 0.2.0 wrote none
            if header[b"seal"].decode() != _checksum(key, facts, table, values):
                raise ValueError("it is damaged or holds another cell")
            if values is not None and values != _hash_values(table):
                raise ValueError("its values are damaged")
        except (OSError, pa.ArrowException, KeyError, ValueError) as error:
            raise StoreError(
                f"cannot read the result in {path} ({error}); delete the file to compute it again"
            ) from error
        return Cell(table.replace_schema_metadata(None), facts)

    def save(self, key: Key, cell: Cell) -> None:
        """Write a cell in one step. Raises StoreError if the file cannot be written."""
        values = _hash_values(cell.table)
        seal = _checksum(key, cell.facts, cell.table, values)
        header = {"key": _json(key), "facts": _json(cell.facts), "values": values, "seal": seal}
        with self._explain_errors():
            replace_file(self.path(key), parquet_bytes(cell.table.replace_schema_metadata(header)))

    def get_or_compute(self, key: Key, load: Callable[[], object], compute: Callable[[], Cell]) -> Cell:
        """Read a cell, after computing and saving it if it is missing or damaged. `load` prepares the model, and
        is not timed. Only a computed cell needs a folder that can be written. See also `only_stored`.
        """
        if self.has(key):
            try:
                cell = self.get(key)
            except StoreError:
                record_damaged()
            else:
                record_cache_hit(self.path(key))
                return cell
        if is_only_stored():
            raise StoreError(
                f"a result is missing or damaged in {self.folder} (--store names another folder), and only a model could "
                "give it again"
            )
        self.check_writable()
        load()
        with time_computation():
            cell = compute()
        self.save(key, cell)
        record_computed(self.path(key))
        return self.get(key)

    def check_writable(self) -> None:
        """Check that cells can be saved, before anything is computed. Raises StoreError if they cannot."""
        with self._explain_errors():
            self.folder.mkdir(parents=True, exist_ok=True)
            trial = self.folder / f"trial.{secrets.token_hex(4)}.part"
            trial.touch()
            trial.unlink()

    def cell_files(self) -> list[CellFile]:
        """Every file in the folder, the oldest first."""
        found = []
        for path in self.folder.rglob("*"):
            with suppress(OSError):  # another process may delete it
                if path.is_file() and path.suffix in (".parquet", ".part"):
                    stat = path.stat()
                    found.append(
                        CellFile(path, *_task_and_model(path), stat.st_size, (time.time() - stat.st_mtime) / DAY)
                    )
        return sorted(found, key=lambda file: -file.age)

    def delete(self, files: Iterable[CellFile]) -> None:
        """Delete files, and folders that are then empty. Raises StoreError if one cannot be deleted."""
        for file in files:
            try:
                file.path.unlink(missing_ok=True)
            except OSError as error:
                raise StoreError(f"cannot delete {file.path} ({error.strerror}); check its permissions") from error
            with suppress(OSError):
                file.path.parent.rmdir()

    def delete_stale_files(self) -> None:
        """Delete the unfinished files of runs that were killed more than a day ago."""
        delete_unfinished(self.folder)

    @contextmanager
    def _explain_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"cannot save results in {self.folder} ({error.strerror}); run in a folder that is writable and has "
                "free space"
            ) from error


def _task_and_model(path: Path) -> tuple[str, str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.suffix == ".part":
        return "unfinished", ""
    try:
        facts = json.loads(pq.read_metadata(path).metadata[b"facts"])
        return str(facts.get("task", "not named")), str(facts.get("model", ""))
    except (OSError, pa.ArrowException, LookupError, TypeError, ValueError, AttributeError, RecursionError):
        return "damaged", ""


def _json(content: Mapping[str, Any]) -> str:
    """JSON that does not depend on the order of the keys."""
    return json.dumps(content, sort_keys=True)


def _checksum(key: Key, facts: Mapping[str, Any], table: "pa.Table", values: str | None) -> str:
    """Checksum of a cell's key, facts, schema, length and, if they have one, the hash of its values."""
    parts = [_json(key), _json(facts), table.schema.remove_metadata().to_string(), str(table.num_rows)]
    return hashlib.sha256("\n".join([*parts, *([values] if values else [])]).encode()).hexdigest()


def _hash_values(table: "pa.Table") -> str:
    """Hash of all values: Parquet has checksums of its pages, but none of their headers."""
    import pyarrow as pa

    digest = hashlib.sha256()
    for column in table.columns:
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        is_float = pa.types.is_floating(column.type)
        digest.update(column.to_numpy().tobytes() if is_float else json.dumps(column.to_pylist()).encode())
    return digest.hexdigest()
