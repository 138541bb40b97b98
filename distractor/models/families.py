"""Which models belong together, and where they are: from what a user writes to folders on disk. Text only, no torch."""

import difflib
import json
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from distractor.errors import ModelError, nearest
from distractor.models.snapshot import refuse_other, snapshot
from distractor.models.source import OWN, Shots, Source

LADDER = Path(__file__).parent.parent / "ladder"


TABLE = Path(__file__).parent / "families.toml"


TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model")
"""Files of which a tokenizer has one."""


@dataclass(frozen=True)
class Member:
    """One model of a family as its table has it: a hub id or a folder, and what is known of it beforehand.

    `steps` are kept along training, in ascending order; `last` is where training ended, `loss` the last of training, in
    nats a token.
    """

    model: str
    location: str | Path
    seed: int | None = None
    n_params: int | None = None
    tokens: int | None = None
    steps: tuple[int, ...] = ()
    final_step: int | None = None
    loss: float | None = None

    @property
    def name(self) -> str:
        """Its name within the family: `64x3/seed0`."""
        return self.model if self.seed is None else f"{self.model}/seed{self.seed}"


@dataclass(frozen=True)
class Family:
    """Models that differ in size, seed and step alone, smallest first.

    `checkpoint` is how the revision of a hub id, or the folder within a folder, is called that holds a step
    (`step{step}`); `tokens_a_step` is None where steps differ in tokens.
    """

    name: str
    members: tuple[Member, ...]
    about: str = ""
    checkpoint: str | None = None
    tokens_a_step: int | None = None
    held_out: Mapping[str, frozenset[str]] = field(default_factory=dict, compare=False)
    shots: Shots | None = field(default=None, compare=False)

    def select(self, asked: str, *, offline: bool) -> tuple[Source, ...]:
        """The models meant by what stands behind the family's name: nothing, `/64x3`, `/64x3/seed0`, each with `@step`.

        Without a step, the models as training left them; `@all` is every step that is kept, and the last. Of a step,
        models that do not keep it are left out, but for the last one some must.

        Raises:
            ModelError: there is no such model or step, or its files are not there.

        """
        part, at, step = asked.partition("@")
        parts = [name for name in part.split("/") if name]
        found = [m for m in self.members if m.name.split("/")[: len(parts)] == parts]
        if not found:
            known = {f"{self.name}/{m.model}" for m in self.members} | {f"{self.name}/{m.name}" for m in self.members}
            here = f"{self.name}{part}"
            hint = f"; the folder is given as ./{here}" if Path(here).is_dir() else ""
            raise ModelError(f"there is no model {here!r}: {nearest(here, known)}{hint}")
        if not at:
            return tuple(self._source(member, None, offline=offline) for member in found)
        return tuple(self._source(m, at_step, offline=offline) for m, at_step in self._steps(found, asked, step))

    def _steps(self, members: Sequence[Member], asked: str, step: str) -> Iterator[tuple[Member, int | None]]:
        """Each model with each step meant, None for the last one."""
        name = f"{self.name}{asked}"
        kept = sorted({one for m in members for one in (*m.steps, *([] if m.final_step is None else [m.final_step]))})
        if self.checkpoint is None or not any(m.steps for m in members):
            raise ModelError(
                f"{name!r}: no steps of it are kept along training"
                + ("; a hub id's own revision is given as owner/name@revision" if step and not self.is_local else "")
            )
        if step == "all":
            for member in (m for m in members if m.steps):
                yield from ((member, one) for one in member.steps if one != member.final_step)
                yield member, None
            return
        if not step.isdecimal():
            raise ModelError(f"{name!r}: behind the @ stands a step's number, or `all`; {_some(kept)} are kept")
        if int(step) not in kept:
            near = sorted(kept, key=lambda one: abs(one - int(step)))[:2]
            raise ModelError(
                f"{name!r}: step {step} is not kept; the nearest are {' and '.join(map(str, sorted(near)))}, "
                f"and {_some(kept)} in all"
            )
        for member in members:
            if int(step) == member.final_step:
                yield member, None
            elif int(step) in member.steps:
                yield member, int(step)

    @property
    def is_local(self) -> bool:
        """Whether all its models are folders."""
        return all(isinstance(member.location, Path) for member in self.members)

    def _source(self, member: Member, step: int | None, *, offline: bool) -> Source:
        """A model at a step, None for where training ended."""
        place = None if step is None or self.checkpoint is None else self.checkpoint.replace("{step}", str(step))
        if place is not None and member.seed is not None:
            place = place.replace("{seed}", str(member.seed))
        tokenizer = None
        if isinstance(member.location, Path):
            folder = member.location / place if place else member.location
            if place and not any((folder / name).is_file() for name in TOKENIZERS):
                tokenizer = member.location
            if self.name != "ladder" or place:  # the ladder came whole
                refuse_other(folder)
        else:
            called = f"{member.location}@{place}" if place else member.location
            folder = snapshot(member.location, place, f"{called} is not in the cache", offline=offline)
        seen = None if self.tokens_a_step is None or step is None else self.tokens_a_step * step
        return Source(
            family=self.name,
            model=member.model,
            folder=folder,
            seed=member.seed,
            step=member.final_step if step is None else step,
            n_params=member.n_params,
            held_out=self.held_out,
            tokens=member.tokens if step is None else seen,
            is_final=step is None,
            tokenizer=tokenizer,
            shots=self.shots,
        )


def find_models(names: Sequence[str], *, offline: bool = False, mixed: bool = False) -> tuple[Source, ...]:
    """The models meant by `names`, each once.

    A name is a family (`ladder`, `pythia`), a part of one (`family/size[/seedK][@step]`, `@all`), a file that describes a
    family of one's own (`my_family.toml`, and parts of it in the same way), a folder, or a hub id (`owner/name[@revision]`).
    Folders and hub ids given together are taken as one family. What looks like a path is never taken for a hub id. The
    network is touched for a hub id alone, and only where it is not in the cache and `offline` is False.

    Raises:
        ModelError: a name means nothing that is there, or, unless `mixed`, one curve would mix families.

    """
    found = list(dict.fromkeys(source for name in names for source in _find(name, offline=offline)))
    mixture = list(dict.fromkeys(source.family for source in found))
    if len(mixture) > 1 and not mixed:
        told = " and ".join("other models" if name == OWN else name for name in mixture)
        raise ModelError(
            f"{told} were asked for together, but one curve is drawn over one family; run them one after the other"
        )
    # Two folders of the same name are told apart by their whole paths.
    count = Counter(source.name for source in found)
    return tuple(replace(s, model=str(s.folder)) if s.family == OWN and count[s.name] > 1 else s for s in found)


def known_families() -> dict[str, Family]:
    """The families that are known by name, the embedded ladder first."""
    return {"ladder": embedded_ladder(), **public_families()}


def find_family(name: str) -> Family:
    """A family by name, or the one that a user's .toml file describes.

    Raises:
        ModelError: there is none.

    """
    known = known_families()
    if name in known:
        return known[name]
    if name.endswith(".toml") and Path(name).expanduser().is_file():
        return read_family(Path(name).expanduser())
    raise ModelError(f"there is no family {name!r}: {nearest(name, known)}; one's own is described in a .toml file")


@cache
def public_families() -> dict[str, Family]:
    """The families of families.toml."""
    return {name: _family(name, told, TABLE) for name, told in tomllib.loads(TABLE.read_text()).items()}


def embedded_ladder() -> Family:
    """The embedded models.

    Raises:
        ModelError: they are not there, or what is written about them is damaged.

    """
    try:
        told = json.loads((LADDER / "ladder.json").read_text())["models"]
        members = [
            Member(
                model=one["size"],
                location=LADDER / one["size"] / f"seed{one['seed']}",
                seed=one["seed"],
                n_params=one["n_params"],
                tokens=one.get("tokens"),
                steps=tuple(sorted(one.get("kept", ()))),
                final_step=one["steps"],
                loss=one.get("loss"),
            )
            for one in sorted(told, key=lambda one: (one["n_params"], one["seed"]))
        ]
        held_out, shots = _held_out(LADDER / "held_out.json"), _shots(LADDER / "shots.json")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"the embedded ladder is not whole in {LADDER} ({error}); install the package again"
        ) from error
    return Family(
        name="ladder",
        members=tuple(members),
        about="embedded: tiny models trained from scratch on a small English, a positive control",
        checkpoint="step{step}",
        held_out=held_out,
        shots=shots,
    )


def _held_out(path: Path) -> dict[str, frozenset[str]]:
    """The groups of each task whose conflict was kept out of training, from a JSON object of lists of their names."""
    told = json.loads(path.read_text())
    if not all(isinstance(names, list) for names in told.values()):
        raise TypeError("not lists of names")
    return {task: frozenset(names) for task, names in told.items()}


def _shots(path: Path) -> Shots:
    """How many worked examples in a row training holds of each task, from a JSON object of objects of counts."""
    told = json.loads(path.read_text())
    for counts in told.values():
        if set(counts) != {"shots", "reasoned"} or any(
            type(count) is not int or count < 0 for count in counts.values()
        ):
            raise TypeError('not counts of "shots" and "reasoned" for each task')
    return {str(task): dict(counts) for task, counts in told.items()}


def read_family(path: Path) -> Family:
    """The family that a user's file describes, with one table as in families.toml; folders are looked for beside it.

    Raises:
        ModelError: the file cannot be read or does not say what it should.

    """
    try:
        told = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read as a family ({error})") from error
    if len(told) != 1:
        has = f"those of {', '.join(told)}" if told else "none"
        raise ModelError(
            f"{path}: one table is wanted, named as the family, with a table `models` within; it has {has}"
        )
    ((name, table),) = told.items()
    if name in known_families() or name == OWN or not re.fullmatch(r"[\w.-]+", name):
        raise ModelError(
            f"{path}: a family cannot be called {name!r}, for that means something else; choose another name"
        )
    return _family(name, table, path)


NUMBERS = ("n_params", "tokens", "step")


FILES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "held_out": (_held_out, "task and groups"),
    "shots": (_shots, "task and counts"),
}
"""What stands in files beside a family's own: who reads it, and what it is."""


WORDS = {
    "family": {"about", "models", "checkpoint", "steps", "step", "tokens", "tokens_a_step", "seeds", *FILES},
    "model": {"id", "folder", "seed", "steps", *NUMBERS},
}
"""What a family's table, and that of each of its models, may say."""


def _family(name: str, told: Any, path: Path) -> Family:
    """A family as a TOML file tells it.

    A family's table says `about`, `checkpoint`, `steps`, `step` (where training ended: what stands under the bare id or in
    the folder itself), `tokens`, `tokens_a_step`, `seeds`, `held_out` (a JSON file of each task's groups whose conflict was
    kept out of training), `shots` (one of how many worked examples in a row training holds of each task) and `models`; a
    model's, `id` or `folder`, `n_params`, `seed`, and its own `tokens`, `steps` and `step`.
    """

    def fail(what: str) -> ModelError:
        return ModelError(f"{path}, family {name}: {what}")

    def checked(table: Any, kind: str, where: str) -> dict[str, Any]:
        if not isinstance(table, dict):
            raise fail(f"{where} is no table")
        if unknown := set(table) - WORDS[kind]:
            raise fail(f"{where} says {min(unknown)!r}, which is unknown: {nearest(min(unknown), WORDS[kind])}")
        for word in ("n_params", "tokens", "tokens_a_step", "seed", "step"):
            if word in table and (type(table[word]) is not int or table[word] < 0):
                raise fail(f"{where}: {word} is {table[word]!r}; wanted is a whole number")
        return dict(table)

    table = checked(told, "family", "it")
    checkpoint = table.get("checkpoint")
    if checkpoint is not None and (not isinstance(checkpoint, str) or checkpoint.count("{step}") != 1):
        raise fail(f"checkpoint is {checkpoint!r}; wanted is a name with {{step}} in it, as in step{{step}}")
    models = table.get("models")
    if not isinstance(models, dict) or not models:
        raise fail("it has no table `models`, with `id` or `folder` for each")
    common = _steps_of(table.get("steps", []), fail)
    seeds = table.get("seeds", [None])
    if not isinstance(seeds, list) or not seeds or any(seed is not None and type(seed) is not int for seed in seeds):
        raise fail(f"seeds are {seeds!r}; wanted is a list of whole numbers")
    if len(set(seeds)) < len(seeds):
        raise fail(f"seeds are {seeds!r}; each is wanted once")
    members = []
    for model, entry in models.items():
        one = checked(entry, "model", f"model {model}")
        if not re.fullmatch(r"[\w.-]+", model):
            raise fail(f"a model cannot be called {model!r}; its seed is told as seed")
        if ("id" in one) == ("folder" in one) or not isinstance(at := one.get("id", one.get("folder")), str):
            raise fail(f"model {model}: one of id (owner/name) and folder is wanted")
        if len({"{seed}" in at, seeds != [None]}) > 1 or ("seed" in one and seeds != [None]):
            raise fail(f"model {model}: {{seed}} stands in its id or folder where the family has seeds, and only there")
        if "id" in one and len(at.split("/")) != 2:
            raise fail(f"model {model}: {at!r} is no hub id, which has the form owner/name")
        steps = _steps_of(one["steps"], fail) if "steps" in one else common
        if steps and checkpoint is None:
            raise fail("steps are told, but not where they are: checkpoint is wanted, as in checkpoint = 'step{step}'")
        last = one.get("step", table.get("step"))
        tokens = one.get("tokens", table.get("tokens"))
        if tokens is None and last is not None and "tokens_a_step" in table:
            tokens = last * table["tokens_a_step"]
        for seed in [one["seed"]] if "seed" in one else seeds:
            place = at.replace("{seed}", str(seed))
            where = place if "id" in one else (path.parent / Path(place).expanduser()).resolve()
            members.append(Member(model, where, seed, one.get("n_params"), tokens, steps, last))
    beside = {}
    for word in FILES.keys() & table:
        read, what = FILES[word]
        try:
            beside[word] = read(path.parent / Path(table[word]).expanduser())
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise fail(f"{word} is {table[word]!r}; wanted is a JSON file of {what} ({error})") from error
    about, tokens_a_step = str(table.get("about", "")), table.get("tokens_a_step")
    return Family(name, tuple(members), about, checkpoint, tokens_a_step, **beside)


def _steps_of(told: Any, fail: Callable[[str], ModelError]) -> tuple[int, ...]:
    """Steps as a table lists them: numbers, and { from, to, by } for many."""
    steps: list[int] = []
    for one in told if isinstance(told, list) else [told]:
        match one:
            case {"from": int(first), "to": int(last), "by": int(by)} if by > 0 and len(one) == 3:
                steps += range(first, last + 1, by)
            case int() if type(one) is int and one >= 0:
                steps.append(one)
            case _:
                raise fail(f"{one!r} is no step; wanted are numbers, or {{ from = 1000, to = 9000, by = 1000 }}")
    return tuple(sorted(set(steps)))


def _some(steps: Sequence[int]) -> str:
    """Steps in few words."""
    if len(steps) < 8:
        return ", ".join(map(str, steps))
    return f"{', '.join(map(str, steps[:3]))}, … {steps[-1]} ({len(steps)} of them)"


def _find(name: str, *, offline: bool) -> tuple[Source, ...]:
    first = re.split("[/@]", name)[0]
    if first in ("ladder", *public_families()):
        if (Path(name) / "config.json").is_file():
            raise ModelError(
                f"{name!r} is a family's name and a model's folder here; the folder is given as ./{name}, and to ask for the "
                "family, go to another folder"
            )
        family = embedded_ladder() if first == "ladder" else public_families()[first]
        return family.select(name.removeprefix(first), offline=offline)
    if described := re.match(r"(.*?\.toml)(?=[/@]|$)(.*)", name, re.DOTALL):
        file = Path(described[1]).expanduser()
        if file.is_file():
            return read_family(file).select(described[2], offline=offline)
    first, *rest = name.rstrip("/").split("/")
    path = Path(name).expanduser()
    if name and path.is_dir():
        return (_folder(path.resolve(), path.resolve().name),)
    if name and path.exists():
        raise ModelError(
            f"{name!r} is a file; wanted is a model's whole folder, as written by `save_pretrained`, or a family's .toml"
        )
    if name[:1] in tuple("./~") or name[-1:] == "/" or "\\" in name or len(rest) > 1 or (rest and Path(first).exists()):
        raise ModelError(
            f"there is no folder {name!r}{_beside(path)}; wanted is one written by `save_pretrained` (what looks like a "
            "path is not looked for on the hub)"
        )
    if described:
        raise ModelError(f"there is no file {described[1]!r}; wanted is a table of a family's models")
    if not rest:
        raise ModelError(
            f"there is no model {name!r}: {nearest(name, ['ladder', *public_families()])}; a folder is given by its path, "
            "a hub id as owner/name"
        )
    hub_id, _, revision = name.partition("@")
    missing = f"there is no folder {hub_id!r}, and as a hub id it is not in the cache"
    return (_folder(snapshot(hub_id, revision or None, missing, offline=offline), name),)


def _beside(path: Path) -> str:
    """Folders of nearly that name in the same place, for a message."""
    try:
        there = [other.name for other in path.parent.iterdir() if other.is_dir()]
    except OSError:
        return ""
    close = difflib.get_close_matches(path.name, there, n=3)
    return f", did you mean {' or '.join(str(path.parent / name) for name in close)}?" if close else ""


def _folder(path: Path, model: str) -> Source:
    refuse_other(path)
    return Source(family=OWN, model=model, folder=path)
