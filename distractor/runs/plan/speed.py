"""How fast this machine runs the models of a plan, from a few seconds of their own prompts.

The smallest and the largest model are measured. Time between them, and beyond, is linear in the number of parameters.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distractor.models.parameters import parameters_of
from distractor.models.source import Source
from distractor.progress import count_run
from distractor.scoring.settings import Settings, cpu_threads, load_model
from distractor.text.task import Condition, Task
from distractor.work import SMALL, Kind, Step

if TYPE_CHECKING:
    from distractor.models.model import Model
    from distractor.scoring.encode import Encoding

LARGEST = 500_000_000  # parameters of the largest model that is loaded to be measured
TOKENS = 4_096  # as many as a pass of the run has
FEW_TOKENS = 768  # of a model that is so slow that these take seconds
SLOW = 20_000_000  # parameters of such a model
WRITTEN = 6  # tokens that a measured text has
TEXTS = 16  # texts that are written at once
OF_MATRICES = 0.5
"""A forward pass reaches about this share of the speed of matrix products."""


@dataclass(frozen=True)
class MeasuredModel:
    """Seconds of one model: to load it, to prepare it for probes, and for a token of each kind of step."""

    name: str
    n_params: int
    load: float
    hooks: float
    token: Mapping[Kind, float]


@dataclass(frozen=True)
class Speed:
    """The measured models, the smallest first, and seconds for one parameter and token where no model was measured.

    `started` are the seconds until the first model can be loaded.
    """

    models: tuple[MeasuredModel, ...]
    of_matrix: float | None = None
    started: float = 0.0

    def seconds(self, step: Step) -> float:
        """How long a step takes, without loading."""
        points = [(one.n_params, one.token[step.kind]) for one in self.models if step.kind in one.token]
        if not points:
            return step.work * (self.of_matrix or 0.0)
        return step.tokens * _at(points, step.n_params)

    def loading(self, n_params: float, *, hooks: bool) -> float:
        """How long a model takes to load, and to be prepared for probes."""
        if not self.models:
            return 0.0
        points = [(one.n_params, one.load + hooks * one.hooks) for one in self.models]
        return _at(points, n_params, fixed=10 * SMALL)

    def is_extrapolated(self, n_params: float) -> bool:
        """Whether a model is more than a tenth larger than every measured one."""
        return not self.models or n_params > 1.1 * self.models[-1].n_params


def _at(points: Sequence[tuple[float, float]], n_params: float, fixed: float = SMALL) -> float:
    """The value at a size, by the line through the first and the last point, or in proportion to a single one."""
    (small, low), (large, high) = points[0], points[-1]
    if large <= small:
        return low * (n_params + fixed) / (small + fixed)
    slope = max(0.0, (high - low) / (large - small))
    return max(low + slope * (n_params - small), min(low, high) / 2)


def measure_speed(task: Task, sources: Sequence[Source], kinds: Sequence[Kind], settings: Settings) -> Speed:
    """Measure the smallest and the largest of the models that are downloaded and have at most `LARGEST` parameters.

    Raises:
        ModelError, EncodeError: a model cannot be loaded, or cannot read the task.
    """
    known = sorted((source for source in sources if not source.is_missing), key=parameters_of)
    here = [source for source in known if parameters_of(source) <= LARGEST]
    with _clock() as started:
        import torch

        from distractor.models.load import import_transformers

        import_transformers()
    if not here:
        return Speed((), _matrix_speed(torch), started[0])
    with count_run():  # these passes belong to no result
        chosen = dict.fromkeys([here[0], here[-1]])
        models = []
        for source in chosen:
            with cpu_threads(source, settings):
                models.append(_measure(task, source, kinds, settings))
        return Speed(tuple(models), started=started[0])


def _measure(task: Task, source: Source, kinds: Sequence[Kind], settings: Settings) -> MeasuredModel:
    from distractor.scoring.encode import encode

    if parameters_of(source) <= SLOW:
        load_model(source, settings)  # the first one imports its code
    with _clock() as load:
        model = load_model(source, settings)
    tokens = FEW_TOKENS if model.n_params > SLOW else TOKENS
    encoding = encode(_first_items(task, tokens), model)
    token: dict[Kind, float] = {"score": _score_seconds(model, encoding, settings)}
    if "write" in kinds:
        token["write"] = _write_seconds(model, encoding, task.format.max_tokens, token["score"])
    hooks = [0.0]
    if "probe" in kinds:
        model = model if model.attention == "eager" else load_model(source, settings.for_hooks)
        with _clock() as hooks:
            _ = model.hooked
        token["probe"] = _probe_seconds(model, encoding)
    return MeasuredModel(source.name, model.n_params, load[0], hooks[0], token)


def _first_items(task: Task, tokens: int) -> Task:
    """As many items as have about this number of tokens under one condition, at least two."""
    longest = max(len(item.prompts[Condition.CONFLICT]) for item in task.items)
    return task.take(max(2, min(len(task.items), 4 * tokens // longest)))


def _score_seconds(model: "Model", encoding: "Encoding", settings: Settings) -> float:
    """Seconds for a token of a prompt that is scored. Conditions that share worked examples are scored together."""
    from distractor.scoring.score import score_all

    conditions = encoding.task.conditions if encoding.task.format.shots else (Condition.CONFLICT,)
    rows = [list(row) for row in zip(*(encoding.rows[c] for c in conditions), strict=True)]

    def score(items: int) -> None:
        score_all(model, encoding.items[:items], rows[:items], settings.batch_size)
        _wait(model)

    score(2)
    with _clock() as seconds:
        score(len(rows))
    return seconds[0] / sum(len(row.prompt) for of_item in rows for row in of_item if row)


def _write_seconds(model: "Model", encoding: "Encoding", max_tokens: int, of_prompt: float) -> float:
    """Seconds for a token of a prompt with the longest text, one token after the other."""
    from distractor.scoring.generate import generate

    prompts = [row.prompt for row in encoding.rows[Condition.CONFLICT][:TEXTS] if row]
    most = min(WRITTEN, max_tokens)
    with _clock() as seconds:
        generate(model, encoding.items[: len(prompts)], prompts, most, stops=())
        _wait(model)
    read = sum(map(len, prompts))
    of_written = max(0.0, seconds[0] - read * of_prompt) / (len(prompts) * max(1, most - 1))
    written = len(prompts) * (max_tokens - 1)
    return (read * of_prompt + written * of_written) / (read + written)


def _probe_seconds(model: "Model", encoding: "Encoding") -> float:
    """Seconds for a token of an edited pass with hooks."""
    from distractor.models.site import Site
    from distractor.probing.run import batch, observe

    hooked, pair = model.hooked, (Condition.CONFLICT, Condition.CONGRUENT)
    prompts = batch(encoding, hooked, pair if encoding.complete(pair) else pair[:1])
    site = Site(0, "mlp_out")
    few = observe(hooked, prompts.take([0]), [site])
    with _clock() as seconds:
        run = observe(hooked, prompts, [site])
        run.again({site: run.seen[site]})
        _wait(model)
    del few
    return seconds[0] / (2 * int(prompts.lengths.sum()) * len(prompts.conditions))


def _matrix_speed(torch: Any) -> float:
    """Seconds for one parameter and token, from matrix products."""
    left, right = torch.ones(512, 1024), torch.ones(1024, 4096)
    left @ right
    times = 8
    with _clock() as seconds:
        for _ in range(times):
            left @ right
    return float(seconds[0] / times / (512 * 1024 * 4096) / OF_MATRICES)


def _wait(model: "Model") -> None:
    """Wait until a GPU is done."""
    if model.device.type == "cuda":
        import torch

        torch.cuda.synchronize(model.device)


@contextmanager
def _clock() -> Iterator[list[float]]:
    """Seconds that the block took, as the only number of the list."""
    started, seconds = time.perf_counter(), [0.0]
    yield seconds
    seconds[0] = time.perf_counter() - started
