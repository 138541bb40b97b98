"""Names that users give, as text that is safe to print, and as file names."""

import hashlib
import json
import re
import unicodedata
from contextlib import suppress

LONGEST = 120
"""The most characters of a name within a file name. File systems allow 255 bytes."""

PLAIN = re.compile(r"[a-z0-9_/]+")
PLAIN_LAST = re.compile(r"[a-z0-9_./@]+")
"""What a file name can hold. Other names get a hash, since two of them may look alike, also without case."""


def printable(text: str) -> str:
    r"""Replace characters that could move the cursor, change the terminal, or cannot be written; keep line breaks.

    The name of a file that the locale cannot decode is decoded as UTF-8.

    >>> printable("a\x1b[2Jb")
    'a�[2Jb'
    >>> printable("95\u00a0%") == "95\u00a0%"
    True
    """
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    with suppress(UnicodeEncodeError):  # a lone surrogate that stands for no byte
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(character if _is_printable(character) else "�" for character in text)


def _is_printable(character: str) -> bool:
    """Python counts no space but the ASCII one as printable; others are of the category Zs."""
    return character == "\n" or character.isprintable() or unicodedata.category(character) == "Zs"


def readable(text: str) -> str:
    """A name as part of a file name: short, in ASCII, and never a path. Two names may give the same text.

    >>> readable("../résumé")
    '..-r_sum_'
    """
    return re.sub(r"[^\w.@+-]", "_", text.replace("/", "-"), flags=re.ASCII)[:LONGEST]


def file_name(*parts: str) -> str:
    """A file name made of names of models, tasks or probes; other parts, of the same number, give another file name.

    >>> file_name("logit_lens", "ladder/negation_qa/80x2/seed780")
    'logit_lens-ladder-negation_qa-80x2-seed780'
    >>> file_name("logit_lens", "x/a-b"), file_name("logit_lens", "x-a/b")
    ('logit_lens-x-a-b-84432385b7cd', 'logit_lens-x-a-b-286e58e1df03')
    """
    *first, last = parts
    name = "-".join([*(part.replace("/", ".") for part in first), last.replace("/", "-")])
    is_plain = all(map(PLAIN.fullmatch, first)) and PLAIN_LAST.fullmatch(last) and len(name) <= LONGEST
    return name if is_plain else f"{readable(name)}-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]}"
