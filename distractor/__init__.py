"""Tests why language models get worse and then better with size: true task, distractor task, behaviour, mechanism.

The functions here accept names, paths and objects. Each imports what it needs when it is called.

>>> import distractor
>>> run = distractor.ablate("negation_qa", models="ladder")  # doctest: +SKIP
>>> print(run)  # doctest: +SKIP
>>> run.table, run.plot(), run.report()  # doctest: +SKIP
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distractor.version import __version__ as __version__

if TYPE_CHECKING:
    from xarray import DataArray

    from distractor.ablation.run import AblationRun
    from distractor.attribution.run import AttributionRun
    from distractor.comparison.run import ComparisonRun
    from distractor.curves.run import CurveRun
    from distractor.models.family import Family
    from distractor.models.model import Model
    from distractor.models.source import Source
    from distractor.probing.probe import Probe
    from distractor.probing.run import Batch
    from distractor.published.curves import Published
    from distractor.text.task import Task

    Names = str | Path | Source | Sequence[str | Path | Source]
    """A family, a part of it, a folder, a hub id, a family file, a `Source`, or several of these. `ladder` and its parts
    mean the embedded models of the task; without a task, name them as `ladder/negation_qa`."""

CELLS = "runs/.cells"


def ablate(
    task: "str | Task",
    models: "Names" = "ladder",
    *,
    items: int | None = None,
    knockout: bool = True,
    exact: bool = False,
    reference: str | Sequence[str] = (),
    store: str | Path = CELLS,
    **settings: Any,
) -> "AblationRun":
    """Score a task under all conditions on all models, and judge the curves over size: `distractor ablate`.

    There are 200 `items` by default, or all rows of a file. In models with many heads and MLPs, gradients choose which to
    knock out; `exact` knocks out all. `reference` names published curves to draw (`pythia`, `opt`, …). `settings` are the
    fields of `distractor.scoring.settings.Settings` (`device`, `dtype`, `batch_size`, …). Raises DistractorError if a task,
    a model or a reference does not exist or cannot be used.
    """
    from distractor.ablation.ablate import ablate as run
    from distractor.ablation.run import AblationRun
    from distractor.command_line.lookup import find_package

    chosen = _task(task, items)
    published = _published(chosen.name, reference)
    screened = find_package("probes").KNOCKOUT
    probe = None if not knockout else screened.unscreened if exact else screened
    sources = _sources(models, chosen.name)
    return AblationRun(run(chosen, sources, knockout=probe, published=published, **_common(store, settings)))


def attribute(
    task: "str | Task",
    models: "Names",
    probes: "Sequence[str] | Mapping[str, Probe] | None" = None,
    *,
    items: int | None = None,
    store: str | Path = CELLS,
    **settings: Any,
) -> "AttributionRun":
    """Read probes in models, and find the sites that produce the answers: `distractor attribute`.

    Without `probes`, those of `probes.DEFAULT` are read; `["all"]` reads every built-in one. In both cases, a probe that
    a model does not support is listed in `refused`. Raises as `ablate`.
    """
    from distractor.attribution.attribute import attribute as run
    from distractor.attribution.run import AttributionRun
    from distractor.command_line.lookup import must_work

    chosen = _task(task, items)
    sources = _sources(models, chosen.name)
    forgive = not must_work(list(probes or ()))
    return AttributionRun(run(chosen, sources, _probes(probes), forgive=forgive, **_common(store, settings)))


def compare(
    models: "Names",
    task: "str | Task",
    probes: "Sequence[str] | Mapping[str, Probe]" = ("ablation", "head_patching"),
    *,
    items: int | None = None,
    reference: str | Sequence[str] = (),
    store: str | Path = CELLS,
    **settings: Any,
) -> "ComparisonRun":
    """Compare sizes, steps or seeds, the earlier first: `distractor compare`. Raises as `ablate`.

    `reference` names published curves to draw beside a model at three steps or more.
    """
    from distractor.comparison.compare import compare as run
    from distractor.comparison.run import ComparisonRun

    chosen = _task(task, items)
    published = _published(chosen.name, reference, "step")
    sources = _sources(models, chosen.name, mixed=True)
    return ComparisonRun(run(chosen, sources, _probes(probes), published=published, **_common(store, settings)))


def shape(
    files: str | Path | Sequence[str | Path],
    *,
    quantity: str | None = None,
    against: str = "parameters",
    where: Sequence[str] = (),
    delta: float | None = None,
    reference: str | Sequence[str] = (),
    task: str | None = None,
) -> "CurveRun":
    """Judge a curve over size that is read from files: `distractor shape`.

        distractor.shape("results.csv")
        distractor.shape(glob("results_*.json"), quantity="acc_norm", where=["task=arc_easy"])

    A table with one row for each item or mean, or one column for each size; or, for each model, a results
    file or a log of lm-evaluation-harness (`docs/curves.md` lists the columns). `reference` names published curves
    (`pythia`, `opt`, …) of the table's task, or of `task`. Raises ScalingError if the files hold no
    curve, or several tasks: then choose one by `where`.
    """
    from distractor.curves.curve_file import read_curve
    from distractor.curves.judge_curve import judge_curve
    from distractor.curves.request import CurveRequest
    from distractor.curves.run import CurveRun
    from distractor.published.curves import parse_references

    names = [str(file) for file in ([files] if isinstance(files, str | Path) else files)]
    request = CurveRequest.parse(quantity, against, where, None, mixed_families=False)
    chosen = parse_references([reference] if isinstance(reference, str) else reference)
    return CurveRun(judge_curve(read_curve(names, request), delta=delta, references=chosen, task=task))


def load(model: "str | Path | Source", *, task: str | None = None, **settings: Any) -> "Model":
    """Load one model, with its TransformerLens bridge as `.bridge`.

    `task` is only needed for a short name of an embedded model, such as `ladder/80x2`. Raises ModelError if the name matches
    none or several.
    """
    from distractor.errors import ModelError
    from distractor.scoring.settings import Settings, load_model

    sources = _sources(model, task)
    if len(sources) != 1:
        raise ModelError(f"{model} means {len(sources)} models; name one, such as {sources[0].name}")
    return load_model(sources[0], Settings(**settings).for_hooks)


def probe(
    model: "str | Path | Source | Model",
    task: "str | Task",
    name: "str | Probe" = "ablation",
    *,
    items: int | None = None,
) -> "DataArray":
    """What one probe reads in one model, as an `xarray.DataArray`. Raises as `ablate`."""
    from distractor.models.model import Model
    from distractor.probing.measure import measure

    chosen = _task(task, items)
    loaded = model if isinstance(model, Model) else load(model, task=chosen.name)
    reader = next(iter(_probes([name]).values())) if isinstance(name, str) else name
    return measure(loaded, chosen, reader)


def prompts(
    task: "str | Task",
    model: "str | Path | Source | Model",
    conditions: str | Sequence[str] = "conflict",
    *,
    items: int | None = None,
) -> "Batch":
    """The prompts of a task as a model gets them, for work with plain TransformerLens.

    `tokens` is [condition item pos], padded on the right; `lengths` counts each item's tokens, and `answers` holds the
    first tokens in which the true and the distractor's answer differ. Several conditions must have prompts of equal
    length, as `conflict` and `congruent` have.

        model = distractor.load("ladder/negation_qa/80x2/seed780")
        batch = distractor.prompts("negation_qa", model)
        logits, cache = model.bridge.run_with_cache(batch.tokens[0])

    Raises as `ablate`, or EncodeError if prompts differ in length.
    """
    from distractor.errors import TaskError, nearest
    from distractor.models.model import Model
    from distractor.probing.run import batch
    from distractor.scoring.encode import encode
    from distractor.text.task import Condition

    chosen = _task(task, items)
    loaded = model if isinstance(model, Model) else load(model, task=chosen.name)
    names = [conditions] if isinstance(conditions, str) else list(conditions)
    if unknown := [name for name in names if name not in list(Condition)]:
        raise TaskError(f"there is no condition {unknown[0]!r}: {nearest(unknown[0], list(Condition))}")
    return batch(encode(chosen, loaded), loaded.hooked, [Condition(name) for name in names])


def tasks() -> "Mapping[str, Task]":
    """The tasks by name."""
    from distractor.command_line.lookup import find_package

    return {name: make() for name, make in find_package("tasks").TASKS.items()}


def families() -> "Mapping[str, Family]":
    """The model families by name."""
    from distractor.models.families import known_families

    return known_families()


def _task(task: "str | Task", items: int | None) -> "Task":
    from distractor.command_line.lookup import find_task

    return find_task(task, None, items) if isinstance(task, str) else task


def _published(task: str, reference: str | Sequence[str], axis: str = "parameters") -> "tuple[Published, ...]":
    from distractor.published.curves import find_published, parse_references

    names = parse_references([reference] if isinstance(reference, str) else reference)
    return find_published(task, names, axis) if names else ()


def _sources(models: "Names", task: str | None, *, mixed: bool = False) -> "tuple[Source, ...]":
    from distractor.models.families import find_models
    from distractor.models.source import Source

    several = [models] if isinstance(models, str | Path | Source) else list(models)
    if all(isinstance(one, Source) for one in several):
        return tuple(several)  # type: ignore[arg-type]
    return find_models([str(one) for one in several], task=task, mixed=mixed)


def _probes(probes: "Sequence[str] | Mapping[str, Probe] | None") -> "Mapping[str, Probe]":
    from distractor.command_line.lookup import find_probes

    return probes if isinstance(probes, Mapping) else find_probes(list(probes) if probes else None)


def _common(store: str | Path, settings: dict[str, Any]) -> dict[str, Any]:
    from distractor.scoring.settings import Settings
    from distractor.scoring.store import Store

    return {"store": Store(Path(store)), "settings": Settings(**settings)}
