"""The source archive of BIG-bench 1.0.0, the task files in it, and the folders with the user's copies of these.

The archive is read as data: nothing in it is run, and only the files listed here are taken out.
"""

import hashlib
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from distractor.errors import TaskError
from distractor.files import read_file, write_bytes

from .. import copies

ARCHIVE = "bigbench-1.0.0.tar.gz"
ARCHIVE_BYTES = 358_249_635
ARCHIVE_SHA256 = "1bb398a5512c6d798cdebe0dfa0ac03f67f6033fa6b39c6ef71df978c7cbc5c2"
ADDRESS = "https://pypi.org/project/bigbench/1.0.0/#files"
MEMBERS = "bigbench-1.0.0/bigbench/benchmark_tasks"  # the folder of the tasks in the archive

GET = f"get {ARCHIVE} from {ADDRESS} (do not install it)"


@dataclass(frozen=True)
class TaskFile:
    """A task file: its name, its path below `MEMBERS`, size in bytes, SHA-256 and number of examples."""

    name: str
    member: str
    bytes: int
    sha256: str
    examples: int

    @property
    def file(self) -> str:
        """The name under which it is saved."""
        return f"{self.name}.json"


FILES = (
    TaskFile(
        "three_digit_addition_control", "modified_arithmetic/three_digit_addition_control/task.json", 261_412,
        "4c8dd16a505ff9c4ee46cc7724279e4915cbacc271b5e795c372902314cce29e", 1_000,
    ),
    TaskFile(
        "three_digit_addition_plus_one", "modified_arithmetic/three_digit_addition_plus_one/task.json", 261_468,
        "6a00efab3afba18edfc72d806cffcc905bbf74dac160492d852610d6c9c615b4", 1_000,
    ),
    TaskFile(
        "three_digit_subtraction_control", "modified_arithmetic/three_digit_subtraction_control/task.json", 260_108,
        "5859cb40d72150fb8ddb03ff921b904a72d0e0d5f57a82bd54d35c7365bf2c38", 1_000,
    ),
    TaskFile(
        "three_digit_subtraction_plus_one", "modified_arithmetic/three_digit_subtraction_plus_one/task.json", 260_163,
        "3549a650ac79d23c29eb34d4b60a1fdd4762223f74709085a691e55d5d504fe3", 1_000,
    ),
    TaskFile(
        "two_digit_multiplication_control", "modified_arithmetic/two_digit_multiplication_control/task.json", 249_919,
        "62450f9bf1df5ef579225f9cdf3b2b335a1be070fe68df58a4c39e68289405b1", 1_000,
    ),
    TaskFile(
        "two_digit_multiplication_plus_one", "modified_arithmetic/two_digit_multiplication_plus_one/task.json", 249_972,
        "f73c85acfa9c4c45e5eea39416e5c30f2ce2d28e37742ae8e5c60c8366dff030", 1_000,
    ),
    TaskFile(
        "contextual_parametric_knowledge_conflicts", "contextual_parametric_knowledge_conflicts/task.json", 14_595_983,
        "c8b4a4528d3530181881851f9e145d175ff41463d2742f3c73300b5c566d295a", 17_528,
    ),
    TaskFile(
        "identify_math_theorems", "identify_math_theorems/task.json", 49_531,
        "9ca9a5861c1cdcb6e77b7df0ef6008eb00e7f1ae96849aa78663a01485f486c3", 54,
    ),
    TaskFile(
        "truthful_qa", "truthful_qa/task_mc.json", 124_722,
        "89a0402a23d5873b0c2f427e851fca7ac420f8d08731e61be52e6cbf1a18a281", 299,
    ),
)  # fmt: skip
"""The task files that are used."""


def cache_folder() -> Path:
    """The folder in which `distractor data add` saves task files."""
    return copies.cache_folder("bigbench")


def identify(digest: str) -> TaskFile | None:
    """Return the task file with this SHA-256; None if there is none."""
    return next((file for file in FILES if file.sha256 == digest), None)


def read(name: str, first: Path | None = None) -> bytes:
    """Return the verified content of a task file from `first`, DISTRACTOR_DATA or the cache folder.

    Raises:
        TaskError: no folder contains the file, or it is not exactly the one of the archive.
    """
    file = next(file for file in FILES if file.name == name)
    places = (*((first,) if first else ()), *copies.folders(cache_folder()))
    path = copies.find(file.file, places)
    if path is None:
        raise TaskError(
            f"there is no file {file.file} in {' and '.join(map(str, places))}; {GET}, then `distractor data add {ARCHIVE}`"
        )
    try:
        content = read_file(path)
    except OSError as error:
        raise TaskError(f"{path} cannot be read ({error.strerror}); check its permissions") from error
    if reason := difference(file, content):
        raise TaskError(
            f"{path} is not the task file of {ARCHIVE}: {reason}; delete it, then `distractor data add {ARCHIVE}`"
        )
    return content


def add(path: Path, folder: Path | None = None) -> tuple[Path, bool]:
    """Verify the archive and save its task files in `folder` (default: the cache folder); return it, and if any was new.

    All files are verified before the first is saved, and each is written in one step. So under its name, a file always
    equals the one in the archive.

    Raises:
        TaskError: the file is not exactly the archive, or lacks a task file.
        StoreError: a file cannot be written.
    """
    verify(path)
    folder = folder or cache_folder()
    missing = [file for file in FILES if not _is_there(file, folder)]
    if missing:
        contents = _contents(path)
        for file in missing:
            write_bytes(folder / file.file, contents[file.name])
    return folder, bool(missing)


def verify(path: Path) -> None:
    """Compare size and SHA-256 of a file with those of the archive; the size first, since it costs nothing.

    Raises:
        TaskError: they differ, or the file cannot be read.
    """
    try:
        size = path.stat().st_size if path.is_file() else None
    except OSError:
        size = None
    if size is not None and size != ARCHIVE_BYTES:
        why = "the download may have ended early" if size < ARCHIVE_BYTES else "it is another file"
        raise TaskError(
            f"{path} has {size:,} bytes, but {ARCHIVE} of BIG-bench has {ARCHIVE_BYTES:,}: {why}; nothing was saved; {GET}"
        )
    _, digest = copies.hash_of(path)
    if digest != ARCHIVE_SHA256:
        raise TaskError(
            f"{path} has the size of {ARCHIVE}, but SHA-256 {digest[:12]}… (expected {ARCHIVE_SHA256[:12]}…): it is damaged "
            f"or changed; nothing was saved; {GET}"
        )


def difference(file: TaskFile, content: bytes) -> str:
    """How a content differs from a task file; empty if it does not."""
    if len(content) != file.bytes:
        return f"{len(content):,} bytes, expected {file.bytes:,}"
    digest = hashlib.sha256(content).hexdigest()
    return "" if digest == file.sha256 else f"SHA-256 {digest[:12]}…, expected {file.sha256[:12]}…"


def _is_there(file: TaskFile, folder: Path) -> bool:
    path = folder / file.file
    return path.is_file() and copies.hash_of(path)[1] == file.sha256


def _contents(path: Path) -> Mapping[str, bytes]:
    """The verified content of each task file by name. Links and members of another size are refused, unread."""
    wanted = {f"{MEMBERS}/{file.member}": file for file in FILES}
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r|gz") as archive:
            for member in archive:
                file = wanted.get(member.name)
                if file is None:
                    continue
                if not member.isreg():
                    raise TaskError(f"{path}: {member.name} is not a regular file; nothing was saved; {GET}")
                if member.size != file.bytes:
                    raise TaskError(
                        f"{path}: {member.name} has {member.size:,} bytes, expected {file.bytes:,}; nothing was saved; {GET}"
                    )
                opened = archive.extractfile(member)
                content = opened.read() if opened else b""
                if reason := difference(file, content):
                    raise TaskError(f"{path}: {member.name}: {reason}; nothing was saved; {GET}")
                contents[file.name] = content
                if len(contents) == len(FILES):
                    return contents
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise TaskError(f"{path} cannot be read as an archive ({error}); nothing was saved; {GET}") from error
    lacking = ", ".join(file.member for file in FILES if file.name not in contents)
    raise TaskError(f"{path} lacks {lacking}; nothing was saved; {GET}")
