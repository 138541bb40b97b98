"""Rows of our own in the documented formats of official files, because their text must not be in the repository."""

import hashlib
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from transformers import GPTNeoXConfig

import tiny
from tasks.prize import release
from tasks.rows import Row

Written = tuple[str, list[str], int]

PATTERNS: tuple[Written, ...] = tuple(
    (template.format(n=2 * k, last=last.strip(), end=end.strip(), sequence=sequence), [last, end], 0)
    for last, end, k in ((" sun", " moon", 3), (" 7", " 4", 4), (" up", " down", 5))
    for sequence in [", ".join([last.strip(), end.strip()] * (k - 1) + [last.strip()]) + ","]
    for template in (
        "Write {n} words that alternate between two words ({last} {end}), but end in a surprise.\n{sequence}",
        "Make a list that ends with anything except {end}: {sequence}",
    )
)

QUOTES: tuple[Written, ...] = tuple(
    (
        "Say each line again.\n\nInput: Cats sleep.\nOutput: Cats sleep.\n\n"
        f"Input: {begun}{true}{rest}\nOutput: {begun}",
        [true, distractor],
        0,
    )
    for begun, true, distractor, rest in (
        ("A stitch in time saves", " soup", " nine", ""),
        ("The early bird catches the", " bus", " worm", "."),
        ("She did not", " recieve", " receive", " my letter from home."),
        ("We have two", " cat", " cats", " in the garden."),
        ("\"Don't count your chickens before they", " dance", " hatch", '"'),
    )
)

REDEFINED: tuple[Written, ...] = (
    ("Redefine π as 518. Q: What is the first digit of π? A:", [" 5", " 3"], 0),
    ("View + as the digit 4. Q: What is the second digit of 3+8? A:", [" 1", " 4"], 1),
    ("Redefine e as 81 mod 7.\nQuestion: What is the first digit of e?\nAnswer:", [" 4", " 2"], 0),
    ("Let the word tall mean short. Is a tower tall?", [" No", " Yes"], 0),
)

UNKNOWN: tuple[Written, ...] = tuple(
    (
        f"We know: {place} has two floors. {known}.\n\nNow, we want to infer whether {asked}. Which of the following "
        f"information would help the most?\nA. {first}.\nB. {second}.\nAnswer:",
        [" A", " B"],
        answer,
    )
    for place, known, asked, new, answer in (
        ("The shop", "Shoes are on the upper floor", "shoes sell better in winter", "It sold 300 pairs in May", 1),
        ("The school", "Music is taught upstairs", "pupils like music", "Most pupils sing at home", 0),
        ("The museum", "Coins are shown downstairs", "visitors skip the coins", "Half of the tickets are for coins", 1),
    )
    for first, second in [(known, new) if answer else (new, known)]
)

TOLLENS: tuple[Written, ...] = tuple(
    (
        f"Consider the following statements:\n1. If {name} has a {one}, then {name} has a {two}.\n2. {name} doesn't have "
        f"a {two}.\nConclusion: Therefore, {name} doesn't have a {one}.\n\nQuestion: Is the conclusion correct?\n\nAnswer:",
        [" Yes", " No"],
        0,
    )
    for name, one, two in (("Ada", "boat", "sail"), ("Max", "kitchen", "stove"), ("Eva", "violin", "bow"))
)

ALGEBRA: tuple[Written, ...] = tuple(
    (
        "".join(
            f"Q: Suppose {a} + {total - a} = {letter}. What is the value of {letter}? A: {total}\n"
            for a, total, letter in ((3, true, "k"), (40, true, "m"), (-9, true, "n"), (8, copied, "x"))
        )
        + f"Q: Suppose {one} + {true - one} = d. What is the value of d? A:",
        [f" {copied}", f" {true}"],
        1,
    )
    for one, true, copied in ((2, 71, 64), (15, 38, 25), (30, 12, 47), (6, 91, 55))
)

ROUNDED: tuple[Written, ...] = (
    ("Please round 4.7261 to 2 significant figures.\nA. 4.7\nB. 4.73\nAnswer:", [" A", " B"], 0),
    ("Please round 864 to 3 significant figures.\nA. 864.000\nB. 864\nAnswer:", [" A", " B"], 1),
    ("Please round 31.4159 to three significant figures.\nA. 31.4\nB. 31.416\nAnswer:", [" A", " B"], 0),
)

ROWS: dict[str, tuple[Written, ...]] = {
    "pattern-matching-suppression": PATTERNS,
    "resisting-correction": QUOTES,
    "redefine": REDEFINED,
    "into-the-unknown": UNKNOWN,
    "modus-tollens": TOLLENS,
    "repetitive-algebra": ALGEBRA,
    "sig-figs": ROUNDED,
}
"""{name of the official file: rows (prompt, classes, index of the right class)}."""


def rows_of(name: str) -> list[Row]:
    """The rows as they are read."""
    return [made(*row, index=index) for index, row in enumerate(ROWS[name])]


def made(prompt: str, classes: list[str], answer: int, *, index: int = 0) -> Row:
    """One row."""
    return Row(index, index + 1, prompt, tuple(classes), answer)


def register(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, more: tuple[dict[str, Any], ...] = ()) -> Path:
    """Write our rows as the official file of this name, and `more`, and make its hash the official one."""
    listed = release.BY_NAME[name]
    lines = [{"prompt": p, "classes": str(c), "answer_index": a, "round": 2, "part": 1} for p, c, a in ROWS[name]]
    path = folder / listed.file
    path.write_text("".join(json.dumps(line) + "\n" for line in (*lines, *more)), encoding="utf-8")
    content = path.read_bytes()
    official = release.ReleaseFile(name, path.name, len(content), hashlib.sha256(content).hexdigest(), 2)
    monkeypatch.setitem(release.BY_NAME, name, official)  # type: ignore[arg-type]
    monkeypatch.setitem(release.BY_HASH, official.sha256, official)  # type: ignore[arg-type]
    return path


def line(prompt: str, classes: Any, answer: Any) -> dict[str, Any]:
    return {"prompt": prompt, "classes": classes, "answer_index": answer, "round": 2, "part": 1}


BROKEN = (
    line("One?", "[' a']", 0),
    line("Two?", "[' a', ' a']", 0),
    line("Three?", "[' a', ' b', ' c']", 0),
    line("Four?", "[71, 64]", 0),
    line("Five?", "[' a', ' b']", 2),
    line("", "[' a', ' b']", 0),
)


def save_model(folder: Path, text: str) -> Path:
    """A random model whose tokenizer is trained on this text."""
    config = partial(
        GPTNeoXConfig, hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=512,
    )  # fmt: skip
    return tiny.save(folder, config, tiny.byte_level(text))
