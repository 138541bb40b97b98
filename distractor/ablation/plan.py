"""What a run would do and cost, and what it could see, without doing it: no weights are loaded, torch is not imported."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distractor.errors import EncodeError, ModelError
from distractor.models.heads import count_layers_and_heads
from distractor.models.source import Source
from distractor.scoring.free_answers import gap_keys, text_keys
from distractor.scoring.keys import score_keys
from distractor.scoring.settings import Settings
from distractor.scoring.store import Key, Store
from distractor.statistics.curve import MIN_SIZES
from distractor.statistics.groups import MIN_SEEDS
from distractor.statistics.power import smallest_detectable_dip
from distractor.text.task import Condition, Task

BUFFER = re.compile(r"\.(?:attn|attention)\.(?:bias|masked_bias)$|\.inv_freq$")
"""Causal masks and rotary frequencies that older checkpoints store among the weights; no parameters."""


PREFERENCE_SD = 0.25
"""A group's spread about its own level: typical of preference with a few items a group."""


SHARE_SD = 0.5
"""The same of a share, at its largest: all texts of a group give one answer, and half of the groups the other."""


SEED_SD = 0.05
"""The spread between seeds of one size that level 2 is planned for: the largest that the calibration holds."""


@dataclass(frozen=True)
class Plan:
    """What `ablate` would do.

    `cells` of (model, condition) are in all, `cached` of them on disk; `tokens` would go through models (knock-outs
    not counted), `flops` is 2 × parameters × tokens for them, `knockout_flops` for the knock-outs in the largest model
    alone (the one at the peak is not known beforehand, and costs no more). `dip` is the smallest fall-and-rise of
    distractor preference that level 1 would see with power .8, at the spread between item groups of `item_sd`; `dip_of_many`
    that of level 2, where every size has `seeds` of at least three, at the spread between them of `SEED_SD`.

    Where models write (`is_written`), cells hold texts, and of chains of thought the gaps behind them too. Tokens are then
    the most that there can be, every text as long as it may be; and the dip is that of distractor share, if every text
    has an answer. What a chat's template puts around a prompt is not counted.
    """

    models: int
    items: int
    groups: int
    cells: int
    cached: int
    tokens: int
    flops: float
    knockout_flops: float
    dip: float | None
    item_sd: float
    seeds: int
    dip_of_many: float | None
    is_written: bool = False

    def lines(self) -> list[str]:
        """For the terminal."""
        quantity, most = ("distractor share", "at most ") if self.is_written else ("distractor preference", "")
        see = ["smallest detectable dip: none, a curve needs at least 3 sizes"]
        if self.dip is not None:
            see = [
                f"smallest detectable dip of {quantity}{', if every text has an answer' * self.is_written} (power .8):",
                f"  these weights (level 1): {self.dip:.2f}; one seed, spread between item groups {self.item_sd}",
            ]
        if self.dip_of_many is not None:
            told = f"{self.dip_of_many:.2f}; {self.seeds} seeds, spread between seeds {SEED_SD}"
            see.append(f"  models like these (level 2): {told}")
        knocked = f", {_flops(self.knockout_flops)} for knock-outs in the largest model, if not on disk"
        return [
            f"models:    {self.models}",
            f"items:     {self.items} in {self.groups} groups",
            f"cells:     {self.cells}, of which {self.cached} are on disk already",
            f"tokens:    {most}{self.tokens:,} to be run",
            f"cost:      {most}{_flops(self.flops)} for {'texts' if self.is_written else f'scores{knocked}'}",
            *see,
        ]


def plan(task: Task, sources: Sequence[Source], store: Store, settings: Settings, *, knockout: bool) -> Plan:
    """Count what a run would do. Models whose parameters cannot be counted beforehand count as free."""
    is_written = task.format.is_free
    item_sd = SHARE_SD if is_written else PREFERENCE_SD
    cells = cached = tokens = 0
    flops = knockout_flops = 0.0
    seeds_of: dict[int | Path, set[int | None]] = {}
    for source in sources:
        count = source.n_params or count_parameters(source.folder)
        seeds_of.setdefault(count or source.folder, set()).add(source.seed)
        lengths = _tokens(task, source)
        for key, length in _costs(task, source, settings, lengths):
            cells += 1
            if store.has(key):
                cached += 1
                continue
            tokens += length
            flops += 2.0 * (count or 0) * length
        if knockout and not is_written:
            pair = sum(lengths[c] for c in list(lengths)[:2])
            knockout_flops = max(knockout_flops, 2.0 * (count or 0) * pair * _components(source.folder))
    groups = len({item.group for item in task.items})
    seeds = min(map(len, seeds_of.values()), default=0)

    def seen_by(count: int) -> float | None:
        """The smallest dip that so many seeds of each size would show."""
        if len(seeds_of) < MIN_SIZES:
            return None
        return smallest_detectable_dip(len(seeds_of), count, groups, item_sd=item_sd, seed_sd=SEED_SD)

    dip, of_many = seen_by(1), seen_by(seeds) if seeds >= MIN_SEEDS else None
    return Plan(
        len(sources), len(task.items), groups, cells, cached, tokens, flops, knockout_flops, dip, item_sd, seeds,
        of_many, is_written,
    )  # fmt: skip


def _costs(
    task: Task, source: Source, settings: Settings, lengths: Mapping[Condition, int]
) -> Iterator[tuple[Key, int]]:
    """Each of a model's cells, and how many tokens go through the model for it; `lengths` are those of all prompts."""
    if not task.format.is_free:
        yield from ((key, lengths[c]) for c, key in score_keys(task, source, settings).items())
        return
    # The last token that is written is never read; behind both reasonings the same goes for the answer's.
    most = task.format.max_tokens - 1
    longest = {c: lengths[c] + most * sum(c in item.prompts for item in task.items) for c in task.conditions}
    yield from ((key, longest[c]) for c, key in text_keys(task, source, settings).items())
    yield from ((key, 2 * longest[c]) for c, key in gap_keys(task, source, settings).items())


def count_parameters(folder: Path) -> int | None:
    """Parameters as stored in *.safetensors (tied ones once), read from the files' headers; None where there are none.

    Raises:
        ModelError: a file is damaged.

    """
    files = sorted(folder.glob("*.safetensors"))
    total = 0
    for path in files:
        with _readable(path), path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > path.stat().st_size:
                raise ValueError("its header is cut off")
            header: dict[str, Any] = json.loads(file.read(length))
            stored = {name: entry["shape"] for name, entry in header.items() if name != "__metadata__"}
        total += sum(math.prod(shape) for name, shape in stored.items() if not BUFFER.search(name))
    return total if files else None


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # tokenizers raises nothing narrower
        raise ModelError(
            f"{path} cannot be read ({error}); take the model's files again from where they came"
        ) from error


def _tokens(task: Task, source: Source) -> dict[Condition, int]:
    """Tokens of all prompts under each condition; without a tokenizer.json, four characters count as one.

    Raises:
        EncodeError: the tokenizer knows only that a piece of a prompt is unknown to it.

    """
    path = source.tokenizer_folder / "tokenizer.json"
    texts = {c: [item.prompts[c] for item in task.items if c in item.prompts] for c in task.conditions}
    if not path.exists():
        return {c: sum(len(prompt) for prompt in prompts) // 4 for c, prompts in texts.items()}
    from tokenizers import Tokenizer

    with _readable(path):
        tokenizer = Tokenizer.from_str(path.read_text())
    found = {c: tokenizer.encode_batch(prompts) for c, prompts in texts.items()}
    unknown = getattr(tokenizer.model, "unk_token", None)
    for c, encoded in found.items():
        for text, one in zip(texts[c], encoded, strict=True):
            for token, (start, end) in zip(one.tokens, one.offsets, strict=True) if unknown in one.tokens else ():
                if token == unknown and text[start:end].strip() != unknown:
                    raise EncodeError(
                        f"{source.name}: its tokenizer has no token for {text[start:end]!r} (in {c.value} of {task.name}); "
                        "use a model whose vocabulary covers the task's text"
                    )
    return {c: sum(len(one.ids) for one in encoded) for c, encoded in found.items()}


def _components(folder: Path) -> int:
    """Heads and MLPs, as config.json tells."""
    with _readable(folder / "config.json"):
        layers, heads = count_layers_and_heads(folder)
    return layers * (heads + 1)


def _flops(count: float) -> str:
    for power, name in ((15, "PFLOP"), (12, "TFLOP"), (9, "GFLOP"), (6, "MFLOP")):
        if count >= 10**power:
            return f"{count / 10**power:.1f} {name}"
    return "nothing" if count == 0 else f"{count:.0f} FLOP"
