"""The release of March 2023: its files with size and hash, and the folders with the user's copies.

The copies are in the folder DISTRACTOR_DATA, or in the cache folder of `distractor data get`.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distractor.errors import TableError, TaskError

from .. import copies
from ..copies import hash_of
from ..rows import read_rows

ADDRESS = "https://github.com/inverse-scaling/prize/tree/main/data-release"  # the address of the published files


@dataclass(frozen=True)
class ReleaseFile:
    """An official file: its task in the release, its name, size in bytes, SHA-256 and round of the prize.

    `rows` is the number of rows if known, and `hub` the organisers' public dataset of the task. Datasets exist for round
    1 only. With `is_updated` the task changed for round 2, and the dataset still has the first version.
    """

    name: str
    file: str
    bytes: int
    sha256: str
    round: int
    rows: int | None = None
    hub: str | None = None
    is_updated: bool = False

    @property
    def is_classification(self) -> bool:
        """Whether it has classes; one file of the release has sequences to predict instead."""
        return self.file.endswith("_classification.jsonl")


FILES = (
    ReleaseFile(
        "hindsight-neglect", "hindsight-neglect_classification.jsonl", 953_341,
        "1539e144e20c760cd70980ca012d3d75744b59385bdf78cffc4d02560c4b3686", 1, 315,
        hub="inverse-scaling/hindsight-neglect-10shot",
    ),
    ReleaseFile(
        "into-the-unknown", "into-the-unknown_classification.jsonl", 1_012_764,
        "74b5e1aca9e4aeedd2b6ce1686d0e5ee9cd380509d65bca37cad1ebebaecf51d", 2,
    ),
    ReleaseFile(
        "memo-trap", "memo-trap_classification.jsonl", 165_763,
        "f09aac90bf841f2eb899d23beed8c8ccad2e1d3ab4f0fd3f1ff403fd5c7e11f2", 2, 936,
    ),
    ReleaseFile(
        "modus-tollens", "modus-tollens_classification.jsonl", 426_022,
        "fdf82374d7e401902f25303428678d3b540031ec81c7a7078cb3d7f346314a7d", 2,
    ),
    ReleaseFile(
        "neqa", "neqa_classification.jsonl", 84_046,
        "50ca9dca517dcd7fcdbb6d7f750fbbdade2142c0ac2da2bd196dc27464b464e6", 1, 300,
        hub="inverse-scaling/NeQA",
    ),
    ReleaseFile(
        "pattern-matching-suppression", "pattern-matching-suppression_classification.jsonl", 338_768,
        "29ff41ccc2592ecd19c8bdf8e632a394314cb7d84d21e668d9060070d95fdad0", 2,
    ),
    ReleaseFile(
        "prompt-injection", "prompt-injection_sequence-probability.jsonl", 863_354,
        "0c8e7342a256e5ff53913e83c7477f57d5b776d77fbab2aef473e92054773e21", 2,
    ),
    ReleaseFile(
        "redefine", "redefine_classification.jsonl", 202_277,
        "4ca8573039b0f943ea773d258cea3f937a8429cf0f6f0f060c281fd8eb6d5c7c", 2,
        hub="inverse-scaling/redefine-math", is_updated=True,
    ),
    ReleaseFile(
        "repetitive-algebra", "repetitive-algebra_classification.jsonl", 740_039,
        "c2496c285bfef9e8da82dd28026aeb35f834da1c20ea410540c82698526428f3", 2,
    ),
    ReleaseFile(
        "resisting-correction", "resisting-correction_classification.jsonl", 3_572_356,
        "0c2720f095a4272e6b1462fe774704c57db0f124c4b68f35747d76e79e5352f6", 2,
        hub="inverse-scaling/quote-repetition", is_updated=True,
    ),
    ReleaseFile(
        "sig-figs", "sig-figs_classification.jsonl", 15_047_173,
        "19ca4afdd2b5d0fb2608097cf747b5a4105038ea2183750796c8bf57f23e7448", 2,
    ),
)  # fmt: skip
"""All eleven official files."""

BY_NAME: Mapping[str, ReleaseFile] = {file.name: file for file in FILES}
BY_HASH: Mapping[str, ReleaseFile] = {file.sha256: file for file in FILES}


def folders() -> tuple[Path, ...]:
    """The folders to search for official files: DISTRACTOR_DATA, then the user's cache folder."""
    return copies.folders(cache_folder())


def cache_folder() -> Path:
    """The folder in which `distractor data get` saves files."""
    return copies.cache_folder("inverse_scaling")


def find(file: str) -> Path:
    """Return the path of a file in the data folders.

    Raises:
        TaskError: no folder contains it.
    """
    if path := copies.find(file, folders()):
        return path
    raise TaskError(
        f"there is no file {file} here, nor in {' and '.join(map(str, folders()))}; get it with `distractor data get`, or "
        f"from {ADDRESS}, and set DISTRACTOR_DATA to its folder"
    )


def identify(path: Path) -> ReleaseFile | None:
    """Return the official file with exactly these bytes, under any name; None if there is none.

    Raises:
        TaskError: the file does not exist, or cannot be read.
    """
    return BY_HASH.get(hash_of(path)[1])


def difference(path: Path, expected: ReleaseFile | None = None) -> str:
    """Describe how a file differs from the `expected` one: size, hash, the first bad line.

    By default the expected file is the one of the same name. The text also says if the rows equal those of an official
    file in another encoding.
    """
    expected = expected or next((file for file in FILES if file.file == path.name), None)
    size, digest = hash_of(path)
    text = f"{size:,} bytes with SHA-256 {digest[:12]}…"
    text += (
        f", expected {expected.bytes:,} bytes with {expected.sha256[:12]}…"
        if expected
        else ", which no file of the release has"
    )
    try:
        rows = read_rows(path)
    except (TaskError, TableError) as error:
        return f"{text}; {error}"
    count = f", expected {expected.rows:,}" if expected and expected.rows not in (None, len(rows)) else ""
    text += f"; all lines are valid: {len(rows):,} rows{count}"
    records = [
        {"prompt": r.prompt, "classes": str([*r.classes]), "answer_index": r.answer, **_numbers(r.more)} for r in rows
    ]
    digests = (hashlib.sha256(content).hexdigest() for content in encodings(records))
    same = next((BY_HASH[digest] for digest in digests if digest in BY_HASH), None)
    return f"{text}, the rows of {same.file} in another encoding" if same else text


def encodings(rows: Sequence[Mapping[str, Any]]) -> Iterator[bytes]:
    """Yield the rows in the release's form, in every encoding that keeps the text.

    The form is compact JSON, one object a line, in the order prompt, classes, answer_index, round, part. Non-ASCII
    characters and slashes may be escaped, and prompts may lack their trailing spaces.
    """
    for strip in (False, True):
        records = [{**row, "prompt": row["prompt"].rstrip() if strip else row["prompt"]} for row in rows]
        for ascii_only in (True, False):
            text = "".join(json.dumps(row, separators=(",", ":"), ensure_ascii=ascii_only) + "\n" for row in records)
            for content in dict.fromkeys((text, text.replace("/", "\\/"))):
                yield content.encode(errors="surrogatepass")


def _numbers(more: Mapping[str, Any]) -> dict[str, Any]:
    """The columns `round` and `part` as numbers, if the file has them."""
    return {name: int(more[name]) for name in ("round", "part") if str(more.get(name, "")).isdecimal()}
