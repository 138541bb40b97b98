"""What models that form one curve differ in besides their size: architecture and tokenizer."""

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from distractor.errors import ModelError
from distractor.files import read_file
from distractor.models.families import public_families
from distractor.models.gguf_file import is_gguf, read_header
from distractor.models.heads import read_config
from distractor.models.source import Source

TOKENIZER_PARTS = ("model", "normalizer", "pre_tokenizer", "post_processor")  # these decide the tokens of a text
OTHER_TOKENIZER_FILES = ("tokenizer.model", "spiece.model", "vocab.json", "merges.txt", "vocab.txt")


def mixture(sources: Sequence[Source]) -> str:
    """Name the architectures, and say whether tokenizers differ; empty if all models have the same, as in known families.

    What cannot be read is not compared.
    """
    own = [source for source in sources if not source.is_embedded and source.family not in public_families()]
    kinds = _groups(own, lambda source: _architecture(source.folder))
    # A vocabulary is written differently in a GGUF file, so files are compared with files, and folders with folders.
    files, folders = ([source for source in own if is_gguf(source.folder) == is_file] for is_file in (True, False))
    tokenizers = max(
        (_groups(some, lambda each: _tokenizer(each.tokenizer_folder)) for some in (files, folders)), key=len
    )
    differences = []
    if len(kinds) > 1:
        differences.append(f"architecture ({'; '.join(f'{kind}: {_names(of)}' for kind, of in kinds.items())})")
    if len(tokenizers) > 1:
        differences.append(f"tokenizer ({'; '.join(map(_names, tokenizers.values()))})")
    return " and ".join(differences)


def _groups(sources: Sequence[Source], key: Callable[[Source], str]) -> dict[str, list[Source]]:
    """The models by a key that is not empty."""
    groups: dict[str, list[Source]] = {}
    for source in sources:
        try:
            name = key(source)
        except (OSError, ValueError, TypeError, AttributeError, RecursionError, ModelError):
            continue
        if name:
            groups.setdefault(name, []).append(source)
    return groups


def _names(sources: Sequence[Source]) -> str:
    names = [source.name for source in sources]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _architecture(folder: Path) -> str:
    return str(read_config(folder).get("model_type") or "")


def _tokenizer(folder: Path) -> str:
    """A hash of what decides the tokens of a text, however the file is written."""
    path = folder / "tokenizer.json"
    if is_gguf(folder):
        return read_header(folder).tokenizer
    if path.is_file():
        stat = path.stat()
        return _hash_tokenizer(path, stat.st_ino, stat.st_size, stat.st_mtime_ns)
    files = [folder / name for name in OTHER_TOKENIZER_FILES if (folder / name).is_file()]
    return _hash(*(path.read_bytes() for path in files)) if files else ""


@cache
def _hash_tokenizer(path: Path, *stamp: int) -> str:
    """The stamp (inode, size, time of change) makes the cache read a file again after a change."""
    content: dict[str, Any] = json.loads(read_file(path))
    parts = {name: content.get(name) for name in TOKENIZER_PARTS}
    if isinstance(parts["model"], dict) and isinstance(merges := parts["model"].get("merges"), list):
        # Older files write a merge as "a b", newer ones as ["a", "b"].
        texts = [merge if isinstance(merge, str) else " ".join(merge) for merge in merges]
        parts["model"] = {"vocab": parts["model"].get("vocab"), "merges": texts}
    return _hash(json.dumps(parts, sort_keys=True).encode())


def _hash(*contents: bytes) -> str:
    return hashlib.sha256(b"\0".join(contents)).hexdigest()
