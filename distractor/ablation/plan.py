"""Computes `distractor ablate --plan`: cells, tokens, FLOPs and the minimum detectable dip, without loading a model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from distractor.ablation.bare import bare_task
from distractor.models.parameters import parameters_of
from distractor.models.source import Source
from distractor.numbers import flop
from distractor.probing.readings import KNOCKOUTS
from distractor.probing.steps import extent_of
from distractor.scoring.prompt_tokens import CountTokens, estimate_tokens
from distractor.scoring.requests import Request
from distractor.scoring.settings import Settings
from distractor.scoring.steps import score_steps
from distractor.scoring.store import Store
from distractor.scoring.sweep import score_requests
from distractor.scoring.written_answers import TextRequest
from distractor.statistics.curve import MIN_SIZES
from distractor.statistics.intervals import MIN_SEEDS
from distractor.statistics.power import smallest_detectable_dip
from distractor.text.task import Condition, Task
from distractor.work import Step

if TYPE_CHECKING:
    from distractor.probing.probe import Probe

PREFERENCE_SD = 0.25
"""Assumed standard deviation of preference between item groups: typical for a few items in each group."""

SHARE_SD = 0.5
"""The same for distractor share. It is the largest possible value."""

SEED_SD = 0.05  # assumed standard deviation between seeds of one size: the largest that the calibration covers


@dataclass(frozen=True)
class Plan:
    """The amount of computation of a run, and the minimum detectable dip.

    A cell is one model under one condition; `cached` cells are in the store. `tokens` and `flops` (2 × parameters ×
    tokens) count the cells that are not cached. `knockout_flops` is the cost of the knock-outs (`run_steps`).
    `dip` is the smallest fall and rise that level 1 detects with
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
            "texts" if self.is_written else f"scores, {flop(self.knockout_flops)} for knock-outs that are not cached"
        )
        lines = [
            f"models:    {self.models}",
            f"items:     {self.items} in {self.groups} groups",
            f"cells:     {self.cells} ({self.cached} cached)",
            f"tokens:    {limit}{self.tokens:,}",
            f"cost:      {limit}{flop(self.flops)} for {content}",
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


def run_steps(
    task: Task,
    sources: Sequence[Source],
    knockout: "Probe | None",
    store: Store,
    settings: Settings,
    count: CountTokens = estimate_tokens,
) -> list[Step]:
    """The steps of `ablate` or `ablate_written`, for its progress and its plan.

    Knock-outs are those in the largest model, and in one of the middle size: the one at the peak is not known yet.
    """
    steps = list(score_steps(task, sources, store, settings, count))
    if bare := bare_task(task):
        most = max(map(parameters_of, sources))
        of_largest_size = [source for source in sources if parameters_of(source) == most]
        steps += score_steps(bare, of_largest_size, store, settings, count, only=[Condition.CONFLICT])
    if knockout is not None and not task.format.is_written:
        by_size = sorted({parameters_of(source): source for source in sources}.items())
        for n_params, source in dict([by_size[len(by_size) // 2], by_size[-1]]).items():
            cost = knockout.cost(extent_of(task, source, count))
            steps.append(Step("", KNOCKOUTS, cost, n_params, len(task.items), kind="probe"))
    return steps


def score_or_text_requests(tasks: Sequence[Task], sources: Sequence[Source], settings: Settings) -> list[Request]:
    """What a run needs first: the scores, or the texts that models write, in all formats."""
    requests: list[Request] = []
    for task in tasks:
        if task.format.is_written:
            requests += [TextRequest(task, source, settings) for source in sources]
        else:
            requests += score_requests(task, sources, settings)
    return requests


def plan(task: Task, sources: Sequence[Source], steps: Sequence[Step]) -> Plan:
    """Count what the steps of a run (`run_steps`) compute, and what the run can detect."""
    is_written = task.format.is_written
    item_sd = SHARE_SD if is_written else PREFERENCE_SD
    scored = [step for step in steps if step.kind != "probe"]
    missing = [step for step in scored if not step.is_cached]
    seeds_of: dict[int | Path, set[int | None]] = {}
    for source in sources:
        seeds_of.setdefault(parameters_of(source) or source.folder, set()).add(source.seed)
    groups = len({item.group for item in task.items})
    seeds = min(map(len, seeds_of.values()), default=0)

    def detectable(n_seeds: int) -> float | None:
        if len(seeds_of) < MIN_SIZES:
            return None
        return smallest_detectable_dip(len(seeds_of), n_seeds, groups, item_sd=item_sd, seed_sd=SEED_SD)

    level_2 = detectable(seeds) if seeds >= MIN_SEEDS else None
    return Plan(
        models=len(sources),
        items=len(task.items),
        groups=groups,
        cells=len(scored),
        cached=len(scored) - len(missing),
        tokens=round(sum(step.tokens for step in missing)),
        flops=sum(step.flops for step in missing),
        knockout_flops=sum(step.flops for step in steps if step.kind == "probe"),
        dip=detectable(1),
        item_sd=item_sd,
        seeds=seeds,
        dip_level_2=level_2,
        is_written=is_written,
    )
