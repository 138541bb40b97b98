"""What are the distractor's heads where preference for its answer is highest, and what replaces them in the largest model?

    python -m experiments.mechanism.mechanism

For each task: chooses the sites of the true task and of the distractor on half of the item groups, in every size of some
seeds of the ladder; knocks each set out as a whole, and exchanges its heads, on the other half, and there on the items whose
conflict training never held; and beside each number the same for as many other sites. Writes a page a task, with
its figures, and README.md, which lists them. Cells are kept in runs/.cells, so a run that was killed goes on where it
stopped. `--models` takes others, `--items` fewer items, `--seeds` more seeds.
"""

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from distractor.ablation import report
from distractor.ablation.ablate import peak_and_top
from distractor.attribution import figures as maps
from distractor.attribution.attribute import attribute
from distractor.attribution.report import figures
from distractor.models.families import find_models
from distractor.models.source import Source, of_each_size
from distractor.numbers import number, with_interval
from distractor.probing.examine import PAIR, Examination
from distractor.probing.readings import Reader, Reading
from distractor.probing.strengths import first_half, losses, site_of
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.statistics.effects import mean_interval
from distractor.statistics.groups import Mean
from distractor.text.task import Condition, Task
from probes import PROBES
from tasks import TASKS

ITEMS, SEEDS, DRAWS = 200, 3, 20
READ = ("ablation", "head_patching", "chance")
"""What is read in every model."""

DRAWN = ("ablation", "head_patching", f"head_patching/{Condition.DISTRACTOR_SWAPPED}", "activation_patching")
"""What is drawn of the model at the peak, and of the largest."""

PATHS = ("true", "distractor")
SAID = {"true": "the true task", "distractor": "the distractor"}
PULL = {"true": "T", "distractor": "D"}
HERE = Path(__file__).parent

ABOUT = f"""# Which sites are the distractor's, and what replaces them?

Written by `python -m experiments.mechanism.mechanism`. Each page says which models it is of.

Sites are chosen on half of the item groups (by exchanging heads between `conflict` and `congruent` for the
true task, `conflict` and `distractor_swapped` for the distractor) and weighed on the other. Held-out items are
those of the other half whose conflict was kept out of training. The null is as many other sites of the same
kind: only heads are chosen, so only heads are drawn, {DRAWS} sets at random or, where there are fewer, all.
"""


@dataclass(frozen=True)
class Check:
    """What one set of sites is worth on the items that it was not chosen on, in nats of T or D.

    `held_out` on those of them whose conflict was kept out of training; `random` the losses by as many other sites of the
    same kind (where heads were chosen, heads), each set's mean. `exchanged` is the summed effect of exchanging the heads one
    at a time, `gap` what exchanging everything does; both are None where the set has no heads.
    """

    names: tuple[str, ...]
    lost: Mean
    held_out: Mean | None
    random: tuple[float, ...]
    others: int
    exchanged: Mean | None
    gap: Mean


def checked(found: Examination, place: int, which: str, store: Store) -> Check:
    """Weigh the sites of one path of one model."""
    strength, source = found.strengths[place], found.scores[place].source
    names = tuple(getattr(strength.chosen, which))
    alone = last(found, "ablation", source)
    ids, components = list(alone.dims["item"]), list(alone.dims["component"])
    group_of = {item.id: item.group for item in found.task.items}
    groups = [group_of[name] for name in ids]
    other = ~first_half(groups, found.task.items)
    kept = [group for group, is_in in zip(groups, other, strict=True) if is_in]
    fresh = np.isin(kept, sorted(source.held_out.get(found.task.name, frozenset())))
    reader = Reader(found.task, source, store, found.settings)
    lost = without(reader, names, which, other)
    parts = {site_of(name).part for name in names}
    spare = [name for name in components if name not in names and site_of(name).part in parts]
    others = min(len(names), len(spare))
    random = tuple(float(without(reader, some, which, other).mean()) for some in sets_of(spare, others))
    patching = last(
        found, "head_patching" if which == "true" else f"head_patching/{Condition.DISTRACTOR_SWAPPED}", source
    )
    exchanged, gap = exchange(patching, names, other)
    return Check(
        names,
        mean_of(lost, kept),
        mean_of(lost[fresh], [g for g, is_in in zip(kept, fresh, strict=True) if is_in]) if fresh.sum() > 1 else None,
        random,
        others,
        None if exchanged is None else mean_of(exchanged, kept),
        mean_of(gap, kept),
    )


def sets_of(spare: Sequence[str], count: int) -> list[tuple[str, ...]]:
    """Sets of `count` of the sites: all that there are, or `DRAWS` different ones drawn at random."""
    if not count:
        return []
    if math.comb(len(spare), count) <= DRAWS:
        return list(combinations(spare, count))
    rng, found = np.random.default_rng(0), set[tuple[str, ...]]()
    while len(found) < DRAWS:
        found.add(tuple(sorted(map(str, rng.choice(spare, count, replace=False)))))
    return sorted(found)


def without(reader: Reader, names: Sequence[str], which: str, other: ndarray) -> ndarray:
    """What T or D loses, item by item, when sites are knocked out together; nothing without any."""
    if not names:
        return np.zeros(int(other.sum()))
    probe: Any = PROBES["ablation"]
    reading = reader.read(replace(probe, together=tuple(map(site_of, names))))
    places = [list(reading.dims["condition"]).index(c) for c in PAIR]
    lost: ndarray = losses(reading.values[0][places][:, other])[PATHS.index(which)]
    return lost


def exchange(patching: Reading, names: Sequence[str], other: ndarray) -> tuple[ndarray | None, ndarray]:
    """The summed effect of exchanging heads one at a time, and that of exchanging everything, item by item."""
    import json

    gap = np.array(json.loads(patching.about["pair_gap"]))[other]
    heads = [list(patching.dims["component"]).index(name) for name in names if name.endswith(".z")]
    values = np.moveaxis(patching.values, list(patching.dims).index("component"), 0)
    dims = [d for d in patching.dims if d != "component"]
    place = tuple(slice(None) if d == "item" else list(patching.dims[d]).index("noising") if d == "direction" else 0
                  for d in dims)  # fmt: skip
    return (np.array([values[h][place][other] for h in heads]).sum(0) if heads else None), gap


def mean_of(values: ndarray, groups: Sequence[str]) -> Mean | None:
    """The mean with its interval; None of fewer than two groups."""
    return Mean(*mean_interval(values, groups)) if len(set(groups)) > 1 else None


def last(found: Examination, name: str, source: Source) -> Reading:
    """What a probe read in one model."""
    return next(one for one in found.readings[name] if one.source.name == source.name)


def told(mean: Mean | None) -> str:
    """A mean with its interval."""
    return "–" if mean is None else with_interval(*mean)


def sentences(found: Examination, ends: Sequence[int], checks: dict[tuple[int, str], Check]) -> Iterator[str]:
    """What may be said of the peak and of the top, from the numbers alone."""
    for place, where in zip(ends, ("At the peak", "In the largest model"), strict=False):
        name = found.scores[place].source.name
        pulls = {which: found.behaviour(place, f"{which}_pull") for which in PATHS}
        yield f"**{where}** ({name}): T = {told(pulls['true'])}, D = {told(pulls['distractor'])} nats."
        for which in reversed(PATHS):
            check = checks[place, which]
            if not check.names:
                yield f"No site of {SAID[which]} was found."
                continue
            null = "there are none"
            few = "the only other" if check.others == 1 else f"the only {check.others} others"
            size = "as many others" if check.others == len(check.names) else few
            if check.random:
                sets = f"{len(check.random)} set{'s' * (len(check.random) > 1)}"
                null = f"{np.mean(check.random):.2f}, at most {max(check.random):.2f} ({sets})"
            is_there = check.lost.low > max(0.0, max(check.random, default=0.0))
            yield (
                f"The sites of {SAID[which]} are {', '.join(check.names)}. Knocked out together, on items that they were not "
                f"chosen on, they take {told(check.lost)} nats of {PULL[which]} ({told(check.held_out)} on held-out items); "
                f"{size}, {null}: {'beyond' if is_there else 'not told from'} the null."
            )
            if check.exchanged is not None and check.gap is not None:
                yield (
                    f"Exchanging their heads one at a time between the two prompts of the pair moves the gap by "
                    f"{told(check.exchanged)} nats in all, where the whole prompts differ by {told(check.gap)}."
                )


def seeds_table(found: Examination) -> Iterator[str]:
    """The strengths of both paths over size, a row each, averaged over seeds."""
    yield "| size | parameters | T | D | the true task's sites | the distractor's sites |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for places in of_each_size(one.source for one in found.scores):
        pulls = [np.mean([m.mean for p in places if (m := found.behaviour(p, f"{which}_pull"))]) for which in PATHS]
        paths = [np.mean([found.strengths[p].mean(which)[0] for p in places]) for which in PATHS]
        cells = " | ".join(number(float(value)) for value in (*pulls, *paths))
        source = found.scores[places[0]].source
        yield f"| {source.model} | {source.n_params:,} | {cells} |"


def page(task: Task, sources: Sequence[Source], store: Store, models: Sequence[str]) -> Iterator[str]:
    """What is said of one task; its figures are written beside the page."""
    found = attribute(
        task, sources, {name: PROBES[name] for name in READ}, store=store, settings=Settings(), weigh=True
    )
    first = [p for p, one in enumerate(found.scores) if one.source.seed == found.scores[0].source.seed]
    named = [one.name for one in peak_and_top(task, found.scores, found.complete)]
    ends = [p for p in first if found.scores[p].source.name in named]
    checks = {(place, which): checked(found, place, which, store) for place in ends for which in PATHS}
    at_ends = attribute(
        task,
        [found.scores[place].source for place in ends],
        {name: PROBES[name] for name in DRAWN if "/" not in name},
        store=store,
        settings=Settings(),
        weigh=False,
    )
    wanted = {f"{name}-{end}".replace("/", "-"): f"{name} in {end}" for end in named for name in DRAWN}
    drawn = {name: figure for name, figure in figures(at_ends).items() if name in wanted}
    if len(first) > 1:
        drawn["across"] = maps.across(found)
    report.write_figures(HERE, {f"{task.name}-{name}": figure for name, figure in drawn.items()}, kinds=("png",))
    yield f"# {task.name}: the distractor's sites at the peak, and what replaces them at the top\n"
    seeds = ", ".join(str(seed) for seed in dict.fromkeys(one.seed for one in sources) if seed is not None)
    yield (
        f"Written by `python -m experiments.mechanism.mechanism` on {', '.join(models)}: {len(task.items)} items"
        f"{', seeds ' * bool(seeds)}{seeds}; figures are of the first. What is asked stands in the [README](README.md).\n"
    )
    yield from (f"{line}\n" for line in sentences(found, ends, checks))
    marked = [int(cells.marked.sum()) for cells in found.cells["chance"] if cells.marked is not None]
    sites = sum(cells.mean.size for cells in found.cells["chance"])
    yield f"A probe that knows nothing marks {sum(marked)} of its {sites} effects over all models.\n"
    yield "## Over size\n"
    yield "Nats. T and D are behaviour; beside them what the sites of each take when knocked out, on the other half.\n"
    yield from seeds_table(found)
    yield ""
    yield from (f"- What moves first, {line}." for line in found.sentences())
    yield ""
    yield from (f"![{wanted.get(name, 'strengths over size')}]({task.name}-{name}.png)\n" for name in drawn)


def main() -> None:
    """Run everything and write the pages."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--models", nargs="*", default=["ladder"])
    asked.add_argument("--items", type=int, default=ITEMS)
    asked.add_argument("--seeds", type=int, default=SEEDS)
    asked.add_argument("--tasks", nargs="*", default=list(TASKS), choices=list(TASKS))
    told_to = asked.parse_args()
    every = find_models(told_to.models)
    seeds = list(dict.fromkeys(one.seed for one in every))[: told_to.seeds]
    sources, store = [one for one in every if one.seed in seeds], Store(Path("runs/.cells"))
    for name in told_to.tasks:
        print(name, flush=True)
        text = "\n".join(page(TASKS[name]().take(told_to.items), sources, store, told_to.models)).rstrip() + "\n"
        (HERE / f"{name}.md").write_text(text)
    there = [f"- [{name}]({name}.md)" for name in TASKS if (HERE / f"{name}.md").exists()]
    (HERE / "README.md").write_text("\n".join([ABOUT, *there]) + "\n")


if __name__ == "__main__":
    main()
