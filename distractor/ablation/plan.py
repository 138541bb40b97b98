"""Computes `distractor ablate --plan`: cells, tokens, FLOPs and the minimum detectable dip, without loading a model."""

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
from distractor.models.weight_files import weight_files
from distractor.probing.screening import Screening
from distractor.scoring.keys import score_keys
from distractor.scoring.settings import Settings
from distractor.scoring.store import Key, Store
from distractor.scoring.written_answers import gap_keys, text_keys
from distractor.statistics.curve import MIN_SIZES
from distractor.statistics.intervals import MIN_SEEDS
from distractor.statistics.power import smallest_detectable_dip
from distractor.text.task import Condition, Task

BUFFER = re.compile(r"\.(?:attn|attention)\.(?:bias|masked_bias)$|\.inv_freq$")
"""Causal masks and rotary frequencies, which older checkpoints store with the weights; they do not count as parameters.
"""

PREFERENCE_SD = 0.25
"""Assumed standard deviation of preference between item groups: typical for a few items in each group."""

SHARE_SD = 0.5
"""The same for distractor share. It is the largest possible value."""

SEED_SD = 0.05  # assumed standard deviation between seeds of one size: the largest that the calibration covers


GRADIENT_PASSES = 3  # a forward and a backward pass, which costs about two


@dataclass(frozen=True)
class Plan:
    """The amount of computation of a run, and the minimum detectable dip.

    A cell is one model under one condition; `cached` cells are in the store. `tokens` and `flops` (2 × parameters ×
    tokens) count the cells that are not cached. `knockout_flops` is the cost of the knock-outs in the largest model;
    those in the model at the peak cost at most the same. `dip` is the smallest fall and rise that level 1 detects with
    power 0.8 if item groups vary by `item_sd`. `dip_level_2` is the minimum detectable dip at level 2 if seeds vary by
    `SEED_SD`; it needs three seeds of every size.

    If models write (`is_written`), `tokens` is an upper limit, with every text at its greatest length. The dip is then
    that of distractor share, under the assumption that every text has an answer. Tokens added by a chat template are
    not counted.
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
    dip_level_2: float | None
    is_written: bool = False

    def lines(self) -> list[str]:
        """The plan in words, for the terminal."""
        quantity, limit = ("distractor share", "at most ") if self.is_written else ("distractor preference", "")
        content = (
            "texts" if self.is_written else f"scores, {_flops(self.knockout_flops)} for knock-outs that are not cached"
        )
        lines = [
            f"models:    {self.models}",
            f"items:     {self.items} in {self.groups} groups",
            f"cells:     {self.cells} ({self.cached} cached)",
            f"tokens:    {limit}{self.tokens:,}",
            f"cost:      {limit}{_flops(self.flops)} for {content}",
        ]
        if self.dip is None:
            return [*lines, f"minimum detectable dip: not defined, a curve needs at least {MIN_SIZES} sizes"]
        condition = ", if every text has an answer" * self.is_written
        lines.append(f"minimum detectable dip of {quantity} at power 0.8{condition}:")
        lines.append(f"  these weights (level 1): {self.dip:.2f}; one seed, SD {self.item_sd} between item groups")
        if self.dip_level_2 is not None:
            assumed = f"{self.seeds} seeds, SD {SEED_SD} between seeds"
            lines.append(f"  models like these (level 2): {self.dip_level_2:.2f}; {assumed}")
        return lines


def plan(
    task: Task,
    sources: Sequence[Source],
    store: Store,
    settings: Settings,
    *,
    knockout: bool,
    screening: Screening | None = None,
) -> Plan:
    """Count what a run would compute. Models with an unknown number of parameters count as free.

    `screening` says which components are knocked out in models with many; None knocks out all.
    """
    is_written = task.format.is_written
    item_sd = SHARE_SD if is_written else PREFERENCE_SD
    cells = cached = tokens = 0
    flops = knockout_flops = 0.0
    seeds_of: dict[int | Path, set[int | None]] = {}
    for source in sources:
        n_params = source.n_params or count_parameters(source.folder)
        seeds_of.setdefault(n_params or source.folder, set()).add(source.seed)
        lengths = _count_tokens(task, source)
        for key, length in _cells(task, source, settings, lengths):
            cells += 1
            if store.has(key):
                cached += 1
            else:
                tokens += length
                flops += 2.0 * (n_params or 0) * length
        if knockout and not is_written:
            with _readable(source.folder / "config.json"):
                layers, heads = count_layers_and_heads(source.folder)
            passes = knockout_passes(layers * (heads + 1), screening)
            pair = sum(list(lengths.values())[:2])
            knockout_flops = max(knockout_flops, 2.0 * (n_params or 0) * pair * passes)
    groups = len({item.group for item in task.items})
    seeds = min(map(len, seeds_of.values()), default=0)

    def detectable(n_seeds: int) -> float | None:
        if len(seeds_of) < MIN_SIZES:
            return None
        return smallest_detectable_dip(len(seeds_of), n_seeds, groups, item_sd=item_sd, seed_sd=SEED_SD)

    level_2 = detectable(seeds) if seeds >= MIN_SEEDS else None
    return Plan(
        len(sources), len(task.items), groups, cells, cached, tokens, flops, knockout_flops, detectable(1), item_sd,
        seeds, level_2, is_written,
    )  # fmt: skip


def knockout_passes(components: int, screening: Screening | None) -> float:
    """Passes over the prompts of a pair of conditions that knock-outs cost in a model with so many components.

    In models with many, a knock-out runs the layers above the component only: half of them, on average.
    """
    if screening is not None and screening.is_needed(components):
        return (screening.largest + screening.sample) / 2 + GRADIENT_PASSES
    return components / 2 if Screening().is_needed(components) else components


def _cells(
    task: Task, source: Source, settings: Settings, lengths: Mapping[Condition, int]
) -> Iterator[tuple[Key, int]]:
    """A model's cells and the tokens of each; `lengths` counts the tokens of all prompts under each condition."""
    if not task.format.is_written:
        yield from ((key, lengths[c]) for c, key in score_keys(task, source, settings).items())
        return
    # The last written token is never an input.
    written = task.format.max_tokens - 1
    longest = {c: lengths[c] + written * sum(c in item.prompts for item in task.items) for c in task.conditions}
    yield from ((key, longest[c]) for c, key in text_keys(task, source, settings).items())
    yield from ((key, 2 * longest[c]) for c, key in gap_keys(task, source, settings).items())


def count_parameters(folder: Path) -> int | None:
    """Parameters in a folder's safetensors weights (tied ones once), from the files' headers; None for other weights."""
    files = [path for path in weight_files(folder) if path.suffix == ".safetensors"]
    total = 0
    for path in files:
        with _readable(path), path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > path.stat().st_size:
                raise ValueError("its header is cut off")
            header: dict[str, Any] = json.loads(file.read(length))
            shapes = {name: entry["shape"] for name, entry in header.items() if name != "__metadata__"}
        total += sum(math.prod(shape) for name, shape in shapes.items() if not BUFFER.search(name))
    return total if files else None


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # tokenizers raises nothing narrower
        raise ModelError(f"{path} cannot be read ({error}); copy or download the model's files again") from error


def _count_tokens(task: Task, source: Source) -> dict[Condition, int]:
    """Tokens of all prompts under each condition. Without a tokenizer.json, four characters count as one token."""
    path = source.tokenizer_folder / "tokenizer.json"
    texts = {c: [item.prompts[c] for item in task.items if c in item.prompts] for c in task.conditions}
    if not path.is_file():
        return {c: sum(map(len, prompts)) // 4 for c, prompts in texts.items()}
    from tokenizers import Tokenizer

    with _readable(path):
        tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
    unknown = getattr(tokenizer.model, "unk_token", None)
    counts = {}
    for condition, prompts in texts.items():
        encodings = tokenizer.encode_batch(prompts)
        counts[condition] = sum(len(encoding.ids) for encoding in encodings)
        for text, encoding in zip(prompts, encodings, strict=True):
            if unknown not in encoding.tokens:
                continue
            for token, (start, end) in zip(encoding.tokens, encoding.offsets, strict=True):
                if token == unknown and text[start:end].strip() != unknown:
                    raise EncodeError(
                        f"{source.name}: its tokenizer has no token for {text[start:end]!r} (in {condition.value} of "
                        f"{task.name}); use a model whose vocabulary covers the task's text"
                    )
    return counts


def _flops(count: float) -> str:
    for power, name in ((15, "PFLOP"), (12, "TFLOP"), (9, "GFLOP"), (6, "MFLOP")):
        if count >= 10**power:
            return f"{count / 10**power:.1f} {name}"
    return "nothing" if count == 0 else f"{count:.0f} FLOP"
