"""A family: models that differ in size, seed and training step, and the selection of some of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distractor.errors import ModelError, nearest
from distractor.models.downloads import weights_of
from distractor.models.snapshot import Network, cached_folder, check_model_folder, find_snapshot, missing_folder
from distractor.models.source import EMBEDDED, ShotCounts, Source

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model")  # a tokenizer has one of these


@dataclass(frozen=True)
class Member:
    """One model of a family: a hub id or a folder, its known sizes, kept checkpoints (`steps`, ascending) and training
    `loss`.
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
        """The model's name within the family: `80x2/seed0`."""
        return self.model if self.seed is None else f"{self.model}/seed{self.seed}"

    @property
    def available_steps(self) -> tuple[int, ...]:
        """The steps at which this model can be loaded, the final step included; none if no checkpoints are kept."""
        return tuple(
            sorted({*self.steps, *([] if self.final_step is None else [self.final_step])} if self.steps else ())
        )


@dataclass(frozen=True)
class Family:
    """Models that differ only in size, seed and training step, smallest first.

    `checkpoint` names the revision of a hub id, or the subfolder of a folder, that holds a step (`step{step}`).
    `final` names in the same way where the final models are; None is the bare id, or the folder itself. `tokens_a_step` is
    None if the number of tokens varies between steps.
    """

    name: str
    members: tuple[Member, ...]
    about: str = ""
    checkpoint: str | None = None
    final: str | None = None
    tokens_a_step: int | None = None
    held_out: Mapping[str, frozenset[str]] = field(default_factory=dict, compare=False)
    shots: ShotCounts | None = field(default=None, compare=False)

    @classmethod
    def from_table(cls, name: str, table: Mapping[str, Any], folder: Path) -> "Family":
        """Make a family from its TOML table, in the format of families.toml; paths are relative to `folder`."""
        members = []
        for model, entry in table["models"].items():
            final_step = entry.get("step", table.get("step"))
            tokens = entry.get("tokens", table.get("tokens"))
            if tokens is None and final_step is not None and "tokens_a_step" in table:
                tokens = final_step * table["tokens_a_step"]
            ranges = step_ranges(entry.get("steps", table.get("steps", [])))
            steps = sorted({step for r in ranges for step in range(r["from"], r["to"] + 1, r["by"])})
            for seed in table.get("seeds", [entry.get("seed")]):
                place = entry.get("id", entry.get("folder")).replace("{seed}", str(seed))
                location = place if "id" in entry else (folder / Path(place).expanduser()).resolve()
                members.append(Member(model, location, seed, entry.get("n_params"), tokens, tuple(steps), final_step))
        keys = {"about", "checkpoint", "final", "tokens_a_step", "held_out", "shots"} & table.keys()
        return cls(name, tuple(members), **{key: table[key] for key in keys})

    @property
    def is_embedded(self) -> bool:
        """Whether the family is installed with this package."""
        return self.name.startswith(f"{EMBEDDED}/")

    def select(self, selector: str, network: Network, *, called: str | None = None) -> tuple[Source, ...]:
        """Select models by the text after the family's name: empty, `/80x2` or `/80x2/seed0`, optionally with `@step`.

        No step means the final models, `@all` every kept step and the final model; a numbered step skips models that do
        not keep it. Messages name the family as the user `called` it. Raises ModelError if no model or step has this name,
        or its files are missing.
        """
        called = called or self.name
        path, at, step = selector.partition("@")
        parts = [part for part in path.split("/") if part]
        members = [member for member in self.members if member.name.split("/")[: len(parts)] == parts]
        if not members:
            known = {f"{called}/{name}" for member in self.members for name in (member.model, member.name)}
            requested = f"{called}{path}"
            hint = f"; to use the folder of this name, write ./{requested}" if Path(requested).is_dir() else ""
            raise ModelError(f"no model is called {requested!r}: {nearest(requested, known)}{hint}")
        if not at:
            return tuple(self._source(member, None, network) for member in members)
        chosen = self._select_steps(members, f"{called}{selector}", step)
        return tuple(self._source(member, number, network) for member, number in chosen)

    def _select_steps(self, members: list[Member], requested: str, step: str) -> Iterator[tuple[Member, int | None]]:
        """Yield each model with each selected step; None is the final step."""
        kept = sorted({number for m in members for number in (*m.steps, m.final_step) if number is not None})
        if self.checkpoint is None or not any(member.steps for member in members):
            is_on_hub = any(isinstance(member.location, str) for member in members)
            hint = "; to name a revision of a hub id, write owner/name@revision" if step and is_on_hub else ""
            raise ModelError(f"{requested!r}: no checkpoints of this model are kept{hint}")
        if step != "all" and not (step.isdecimal() and len(step) < 19):  # 64 bits
            raise ModelError(
                f"{requested!r}: expected a step number or `all` after the @; steps go from {kept[0]} to {kept[-1]}"
            )
        if step != "all" and int(step) not in kept:
            nearest_steps = sorted(sorted(kept, key=lambda other: abs(other - int(step)))[:2])
            raise ModelError(
                f"{requested!r}: step {step} is not kept; the nearest are {' and '.join(map(str, nearest_steps))}; "
                "`distractor models show FAMILY` lists all"
            )
        for member in members:
            if step == "all":
                yield from ((member, number) for number in member.steps if number != member.final_step)
            if (step == "all" and member.steps) or (step != "all" and int(step) == member.final_step):
                yield member, None
            elif step != "all" and int(step) in member.steps:
                yield member, int(step)

    def revision(self, member: Member, step: int | None) -> str | None:
        """The revision or subfolder that holds a step of a model; None is the final step, or the bare id or folder."""
        name = self.final if step is None else self.checkpoint
        return None if name is None else name.replace("{step}", str(step)).replace("{seed}", str(member.seed))

    def _source(self, member: Member, step: int | None, network: Network) -> Source:
        """Locate a model at a step; None is the final step. In a plan, it may be missing if its size is known."""
        revision = self.revision(member, step)
        tokenizer = None
        if isinstance(member.location, Path):
            folder = member.location / revision if revision else member.location
            if revision and not any((folder / name).is_file() for name in TOKENIZER_FILES):
                tokenizer = member.location
            if revision or not self.is_embedded:  # the final models of a ladder are installed with the package
                check_model_folder(folder)
        else:
            hub_id = f"{member.location}@{revision}" if revision else member.location
            is_missing = network == "plan" and member.n_params and cached_folder(member.location, revision) is None
            folder = (
                missing_folder(member.location)
                if is_missing
                else find_snapshot(member.location, revision, f"{hub_id} is not in the cache", network)
            )
        tokens = member.tokens
        if step is not None:
            tokens = None if self.tokens_a_step is None else self.tokens_a_step * step
        return Source(
            family=self.name,
            model=member.model,
            folder=folder,
            seed=member.seed,
            step=member.final_step if step is None else step,
            n_params=member.n_params,
            held_out=self.held_out,
            tokens=tokens,
            is_final=step is None,
            tokenizer=tokenizer,
            shots=self.shots,
            weights=weights_of(folder),
        )


def step_ranges(steps: Any) -> list[Any]:
    """Convert the steps of a family file (a number, a range, or a list of both) to a list of ranges."""
    steps = steps if isinstance(steps, list) else [steps]
    return [step if isinstance(step, dict) else {"from": step, "to": step, "by": 1} for step in steps]
