"""Prompt formats, which decide whether scaling is inverse, U-shaped or positive (Wei, Tay and Le 2022)."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from distractor.errors import TaskError

Scoring = Literal["rank", "generate", "cot"]
"""`rank` compares the log-probabilities of the two answers, as in the prize. `generate` lets the model write and reads
the answer from its text, as in the paper. `cot` does the same after worked examples with reasoning."""

ExampleKind = Literal["congruent", "conflict", "mixed"]  # shown by worked examples; `mixed` alternates
SCORINGS: tuple[Scoring, ...] = get_args(Scoring)
SHOT_KINDS: tuple[ExampleKind, ...] = get_args(ExampleKind)

DEFAULT_SHOTS = {"rank": 0, "generate": 1, "cot": 1}
"""Worked examples of a format alone: prompts of the paper have at least one, most of the prize none. Several formats have
the same number by default."""
DEFAULT_LIMIT = {"rank": 0, "generate": 24, "cot": 96}  # default number of tokens that a model may write


@dataclass(frozen=True)
class Format:
    r"""How prompts are written and how the answer is obtained.

    Each question follows `shots` worked examples of a `kind`, drawn for each item with `seed`. A blank line separates
    them; with `inline` it is a space. With `lead` they write "The answer is" before the answer; `cot` always does.
    `options` adds the two answers to the prompt or removes them; None keeps the task's own prompts. `hint` is a first
    line. `chat` applies the tokenizer's chat template. `limit` is the number of tokens that a model may write; None
    takes the default.

    >>> Format("cot", shots=1).label
    'cot, 1 shot'
    """

    scoring: Scoring = "rank"
    shots: int = 0
    kind: ExampleKind = "congruent"
    seed: int = 0
    inline: bool = False
    lead: bool = False
    options: bool | None = None
    hint: str = ""
    chat: bool = False
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.scoring not in SCORINGS:
            raise TaskError(f"unknown format {self.scoring!r}; choose from: {', '.join(SCORINGS)}")
        if self.kind not in SHOT_KINDS:
            raise TaskError(f"unknown kind of shots {self.kind!r}; choose from: {', '.join(SHOT_KINDS)}")
        if self.shots < 0:
            raise TaskError(f"asked for {self.shots} shots; ask for 0 or more")
        if "\n" in self.hint.strip():
            raise TaskError("the hint has several lines; write it on one line")
        if self.limit is not None and (self.limit < 1 or not self.is_written):
            raise TaskError(
                f"limit of {self.limit} tokens with {self.scoring}; use a limit of at least 1 with generate or cot"
            )

    @property
    def is_written(self) -> bool:
        """Whether the model writes its answer, so that no probabilities are compared."""
        return self.scoring != "rank"

    @property
    def max_tokens(self) -> int:
        """The number of tokens that a model may write; 0 with `rank`."""
        return self.limit or DEFAULT_LIMIT[self.scoring]

    @property
    def label(self) -> str:
        """The name in figures and tables: every setting that differs from the default."""
        own = self.plain()
        parts: list[str] = [self.scoring]
        if self.shots:
            kind = "" if own.kind == SHOT_KINDS[0] else f"{self.kind} "
            parts.append(f"{self.shots} {kind}shot{'s' * (self.shots > 1)}")
        parts += [name for name in ("inline", "lead", "hint", "chat") if getattr(own, name)]
        if self.options is not None:
            parts.append("options" if self.options else "no options")
        parts += [f"{name} {getattr(own, name)}" for name in ("seed", "limit") if getattr(own, name)]
        return ", ".join(parts)

    @property
    def slug(self) -> str:
        """The label as a folder name."""
        return self.label.replace(", ", "-").replace(" ", "-")

    def plain(self) -> "Format":
        """Return the format with every setting that has no effect set to its default, so that equal formats compare equal."""
        plain = replace(self, hint=self.hint.strip())
        if not self.shots:
            plain = replace(plain, kind=SHOT_KINDS[0], seed=0, inline=False, lead=False)
        if self.scoring == "cot":
            plain = replace(plain, lead=False)
        return plain if plain.limit != DEFAULT_LIMIT[self.scoring] else replace(plain, limit=None)

    def as_dict(self) -> dict[str, Any]:
        """The record of the format: scoring, shots, and every setting that differs from its default.

        >>> Format().as_dict()
        {'format': 'rank', 'shots': 0}
        >>> Format("generate", shots=2, kind="mixed", limit=8).as_dict()
        {'format': 'generate', 'shots': 2, 'kind': 'mixed', 'limit': 8}
        """
        default = asdict(Format())
        record = {
            name: value
            for name, value in asdict(self.plain()).items()
            if name not in ("scoring", "shots") and value != default[name]
        }
        limit = {"limit": self.max_tokens} if self.is_written else {}
        return {"format": self.scoring, "shots": self.shots, **record, **limit}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Format":
        """The format of a record, which may hold more than `as_dict` writes. Raises KeyError if it names no format.

        >>> Format.from_dict({"format": "generate", "shots": 1, "limit": 24, "hash": "5f"}).label
        'generate, 1 shot'
        """
        own = {each.name: record[each.name] for each in fields(cls) if each.name in record}
        return cls(record["format"], **own).plain()


def parse_formats(names: Iterable[str], shots: int | None = None, **settings: Any) -> tuple[Format, ...]:
    """Return the formats of names such as `rank`, `generate:2` or `rank,cot:1`, in order and without repeats.

    A name may give its number of shots after a colon. Otherwise it is `shots`, or the largest number or default of all
    formats: the number of examples alone can change a result. Each format takes the `settings` that apply to it.

    >>> [form.label for form in parse_formats(["rank,generate", "cot:2"])]
    ['rank, 2 shots', 'generate, 2 shots', 'cot, 2 shots']
    >>> [form.label for form in parse_formats(["rank"])], [form.label for form in parse_formats(["rank:0,generate"])]
    (['rank'], ['rank', 'generate, 1 shot'])

    Raises:
        TaskError: a name is not a format.
    """
    named: list[tuple[Scoring, int | None]] = []
    for name in (part.strip() for text in names for part in text.split(",")):
        scoring, has_count, count = name.partition(":")
        if scoring not in SCORINGS:
            raise TaskError(
                f"unknown format {name!r}; choose from: {', '.join(SCORINGS)}, each with a number of shots as in cot:2"
            )
        if has_count and not (count.isascii() and count.isdecimal() and len(count) < 10):
            raise TaskError(f"{name!r}: write the number of shots after the colon, as in {scoring}:2")
        named.append((scoring, int(count) if has_count else None))
    common = max(DEFAULT_SHOTS[scoring] if own is None else own for scoring, own in named) if shots is None else shots
    formats = []
    for scoring, own in named:
        applying = {key: value for key, value in settings.items() if scoring != "rank" or key != "limit"}
        formats.append(Format(scoring, shots=common if own is None else own, **applying).plain())
    return tuple(dict.fromkeys(formats))
