"""How a prompt is put: a value of its own and part of every result, for a curve without its format means little.

The same task can be inverse, U-shaped or positive, depending on the prompt (Wei, Tay and Le 2022).
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from distractor.errors import TaskError

Scoring = Literal["rank", "generate", "cot"]
"""`rank`: the two answers' log-probabilities are compared, as in the prize. `generate`: the model writes freely, and the
answer is read from its text, as in the paper. `cot`: the same behind worked examples with their reasoning written out."""


ShotKind = Literal["congruent", "conflict", "mixed"]
"""Which worked examples are shown: such on which the two tasks agree, such on which they conflict, or both by turns."""


SCORINGS: tuple[Scoring, ...] = get_args(Scoring)


KINDS: tuple[ShotKind, ...] = get_args(ShotKind)


USUAL_SHOTS = {"rank": 0, "generate": 1, "cot": 1}
"""How many are shown where nothing is said: in the paper every prompt has one at least, in most of the prize's none."""


USUAL_LIMIT = {"rank": 0, "generate": 24, "cot": 96}
"""How many tokens a model may write where nothing is said."""


@dataclass(frozen=True)
class Format:
    r"""How a prompt is put and how the answer is had.

    `shots` worked examples of a `kind` stand before each question, drawn anew for each item by `seed`; a blank line
    parts them, or with `inline` a space. With `lead` they say "The answer is" before the answer; in `cot` they always do.
    `options` puts the two answers into the prompt, or takes them out; None leaves the task as it is. `hint` is a line at
    the beginning. `chat` sends the prompt through the tokenizer's chat template. `limit` is how many tokens a model may
    write; the usual number where None.

    >>> Format("cot", shots=1).label
    'cot, 1 shot'
    """

    scoring: Scoring = "rank"
    shots: int = 0
    kind: ShotKind = "congruent"
    seed: int = 0
    inline: bool = False
    lead: bool = False
    options: bool | None = None
    hint: str = ""
    chat: bool = False
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.scoring not in SCORINGS:
            raise TaskError(f"there is no format {self.scoring!r}; there is: {', '.join(SCORINGS)}")
        if self.kind not in KINDS:
            raise TaskError(f"there are no shots of kind {self.kind!r}; there is: {', '.join(KINDS)}")
        if self.shots < 0:
            raise TaskError(f"{self.shots} shots were asked for; 0 or more are wanted")
        if "\n" in self.hint.strip():
            raise TaskError("a hint is one line; write it without line ends")
        if self.limit is not None and (self.limit < 1 or not self.is_free):
            raise TaskError(
                f"at most {self.limit} tokens to be written were asked for with {self.scoring}; wanted is 1 or more, with "
                "generate or cot"
            )

    @property
    def is_free(self) -> bool:
        """Whether the model writes its answer, so that no probabilities are compared."""
        return self.scoring != "rank"

    @property
    def max_tokens(self) -> int:
        """How many tokens a model may write; 0 where it writes none."""
        return self.limit or USUAL_LIMIT[self.scoring]

    @property
    def says_lead(self) -> bool:
        """Whether worked examples say "The answer is" before their answer."""
        return self.lead or self.scoring == "cot"

    @property
    def label(self) -> str:
        """What it is called in figures and tables: all that is not as usual."""
        own, usual = self.plain(), Format(self.scoring)
        said: list[str] = [self.scoring]
        if self.shots:
            kind = "" if own.kind == usual.kind else f"{self.kind} "
            said.append(f"{self.shots} {kind}shot{'s' * (self.shots > 1)}")
        said += [name for name in ("inline", "lead", "hint", "chat") if getattr(own, name) and own != usual]
        if self.options is not None:
            said.append("options" if self.options else "no options")
        said += [f"{name} {getattr(own, name)}" for name in ("seed", "limit") if getattr(own, name)]
        return ", ".join(said)

    @property
    def slug(self) -> str:
        """The label as a folder's name, the hint's words left out."""
        return self.label.replace(", ", "-").replace(" ", "-")

    def plain(self) -> "Format":
        """The same with everything that makes no difference set to its default: two formats alike are then equal."""
        same = replace(self, hint=self.hint.strip())
        if not self.shots:
            same = replace(same, kind=KINDS[0], seed=0, inline=False, lead=False)
        if self.scoring == "cot":
            same = replace(same, lead=False)
        return same if same.limit != USUAL_LIMIT[self.scoring] else replace(same, limit=None)

    def as_dict(self) -> dict[str, Any]:
        """What is recorded of it: scoring and shots, and what is not as usual.

        >>> Format().as_dict()
        {'format': 'rank', 'shots': 0}
        >>> Format("generate", shots=2, kind="mixed", limit=8).as_dict()
        {'format': 'generate', 'shots': 2, 'kind': 'mixed', 'limit': 8}
        """
        told, usual = asdict(self.plain()), asdict(Format())
        more = {
            name: value for name, value in told.items() if name not in ("scoring", "shots") and value != usual[name]
        }
        limit = {"limit": self.max_tokens} if self.is_free else {}
        return {"format": self.scoring, "shots": self.shots, **more, **limit}


def formats_of(named: Iterable[str], shots: int | None = None, **settings: Any) -> tuple[Format, ...]:
    """The formats that a user means by names such as `rank`, `generate:2` or `rank,cot:1`, each once, in their order.

    `shots` are how many are shown where a name does not say it; without them as many as is usual with that format. Of
    `settings` each format takes what concerns it.

    >>> [one.label for one in formats_of(["rank,generate", "cot:2"])]
    ['rank', 'generate, 1 shot', 'cot, 2 shots']

    Raises:
        TaskError: a name means nothing.

    """
    found = []
    for name in (part.strip() for names in named for part in names.split(",")):
        scoring, is_counted, count = name.partition(":")
        if scoring not in SCORINGS:
            raise TaskError(
                f"there is no format {name!r}; there is: {', '.join(SCORINGS)}, each also as cot:2 with 2 shots"
            )
        if is_counted and not (count.isascii() and count.isdecimal()):
            raise TaskError(f"{name!r}: behind the colon stands the number of shots, as in {scoring}:2")
        usual = USUAL_SHOTS[scoring] if shots is None else shots
        own = dict(settings) if scoring != "rank" else {key: value for key, value in settings.items() if key != "limit"}
        found.append(Format(scoring, shots=int(count) if is_counted else usual, **own).plain())
    return tuple(dict.fromkeys(found))
