"""Write files whole or not at all."""

import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from distractor.errors import StoreError

if TYPE_CHECKING:
    import pyarrow as pa


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all.

    Raises:
        StoreError: it cannot be written.

    """
    try:
        replace_file(path, content)
    except OSError as error:
        raise StoreError(f"{path} cannot be written ({error.strerror}); choose another place with --out") from error


def write_table(path: Path, table: "pa.Table") -> None:
    """Write a table as Parquet, whole or not at all; the same table gives the same bytes."""
    write_bytes(path, parquet_bytes(table))


def replace_file(path: Path, content: bytes) -> None:
    """Put a file in place in one step; its name while it is written is shared with no other process or thread."""
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.replace(path)
    except OSError:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def parquet_bytes(table: "pa.Table") -> bytes:
    """The bytes of a Parquet file that holds a table."""
    import io

    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    return buffer.getvalue()
