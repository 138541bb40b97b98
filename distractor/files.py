"""Reads regular files, and Parquet files with a check of all values; writes files in one step."""

import errno
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from distractor.errors import StoreError

if TYPE_CHECKING:
    import pyarrow as pa


def read_file(path: Path) -> bytes:
    """Read a regular file. Raises OSError, also for a pipe or a device, which could block."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return path.read_bytes()


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8. Raises StoreError like `write_bytes`."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file in one step. Raises StoreError if it cannot be written."""
    try:
        replace_file(path, content)
    except OSError as error:
        raise StoreError(f"{path} cannot be written ({error.strerror}); choose another folder with --out") from error


PASSING = (errno.ESTALE, errno.EBUSY, errno.EIO, errno.ENOENT)
"""Errors of network file systems that pass: a stale handle or listing, or a folder that another process has just removed."""

ATTEMPTS = 4
WAIT = 0.05  # seconds before the second attempt; then twice as long each time


DAY = 86_400.0
UNFINISHED = f"*.{'[0-9a-f]' * 8}.part"


def delete_unfinished(folder: Path) -> None:
    """Delete temporary files of `replace_file`, also in inner folders, whose writers were killed more than a day ago."""
    for path in folder.rglob(UNFINISHED):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > DAY:
                path.unlink()


def replace_file(path: Path, content: bytes) -> None:
    """Write a temporary file with a unique name, then rename it to `path`. Errors that pass are tried again."""
    for attempt in range(ATTEMPTS):
        part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(content)
            part.replace(path)
        except BaseException as error:  # also an interruption
            with suppress(OSError):
                part.unlink(missing_ok=True)
            if not isinstance(error, OSError) or error.errno not in PASSING or attempt == ATTEMPTS - 1:
                raise
            time.sleep(WAIT * 2**attempt)
        else:
            return


def parquet_bytes(table: "pa.Table") -> bytes:
    """The bytes of a table as a Parquet file, with checksums of its pages; equal tables give equal bytes."""
    import io

    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    return buffer.getvalue()


def read_parquet(file: Path | bytes) -> "pa.Table":
    """Read a Parquet file, or its content, and check every value: other code may crash on a damaged table.

    Raises OSError, ValueError (which includes most errors of pyarrow) or pyarrow's ArrowException.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    source = pa.BufferReader(file) if isinstance(file, bytes) else file
    table = pq.ParquetFile(source, page_checksum_verification=True).read()
    table.validate(full=True)
    return table
