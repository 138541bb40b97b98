"""The steps of reading probes: one for each reading of each model, with the tokens that it takes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from distractor.models.gguf_file import is_gguf
from distractor.models.heads import count_layers_and_heads, usual_layers_and_heads
from distractor.models.parameters import parameters_of, readable
from distractor.models.site import Site
from distractor.models.source import Source
from distractor.probing.probe import Extent
from distractor.probing.read_probes import knockout_of, variants_of
from distractor.probing.readings import CHOSEN_SITES, probe_key
from distractor.scoring.prompt_tokens import CountTokens, estimate_tokens
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.text.task import Task
from distractor.work import Step

if TYPE_CHECKING:
    from distractor.probing.probe import Probe


def reading_steps(
    task: Task,
    sources: Sequence[Source],
    probes: "Mapping[str, Probe]",
    store: Store,
    settings: Settings,
    count: CountTokens = estimate_tokens,
    *,
    measure_strengths: bool | None = None,
    random_sets: int = 0,
) -> Iterator[Step]:
    """The steps of `read_probes`."""
    knockout = knockout_of(task, sources, probes, measure_strengths)
    for source in sources:
        extent, n_params = extent_of(task, source, count), parameters_of(source)
        for name, probe in variants_of(task, probes).items():
            is_cached = not source.is_missing and store.has(probe_key(task, source, probe, settings))
            yield Step(source.name, name, probe.cost(extent), n_params, len(task.items), is_cached, "probe")
        if knockout is not None:
            yield from knockout_steps(task, [source], probes[knockout], count, CHOSEN_SITES, random_sets)


def knockout_steps(
    task: Task, sources: Sequence[Source], probe: "Probe", count: CountTokens, name: str, random_sets: int = 0
) -> Iterator[Step]:
    """The steps of knocking out the sites of each task together, in half of the items of each model."""
    together = probe.knock_out([Site(0, "mlp_out")], random_sets)  # any site: the cost is that of a set
    if together is None:
        return
    for source in sources:
        tokens = together.cost(extent_of(task, source, count)) / 2
        for _ in ("true", "distractor"):
            yield Step(source.name, name, tokens, parameters_of(source), len(task.items) // 2, kind="probe")


def extent_of(task: Task, source: Source, count: CountTokens = estimate_tokens) -> Extent:
    """What the cost of a probe depends on, for a model that is not loaded."""
    layers, heads = _layers_and_heads(source)
    return Extent(count(task, source), len(task.items), layers * (heads + 1), layers)


def count_sites(source: Source) -> int:
    """The number of heads and MLPs of a model that is not loaded."""
    layers, heads = _layers_and_heads(source)
    return layers * (heads + 1)


def _layers_and_heads(source: Source) -> tuple[int, int]:
    if source.is_missing:
        return usual_layers_and_heads(parameters_of(source))
    with readable(source.folder if is_gguf(source.folder) else source.folder / "config.json"):
        return count_layers_and_heads(source.folder)
