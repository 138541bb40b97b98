"""What a plan says about time and memory on this machine."""

import re
import time
from pathlib import Path

import pytest

import small_ladder
from distractor.models import families
from distractor.models.families import find_models
from distractor.models.heads import usual_layers_and_heads
from distractor.runs.plan import cost as cost_module
from distractor.runs.plan.cost import FIGURES, LOADING, SCORES, Cost, cost_of
from distractor.runs.plan.memory import BASE, MemoryNeed, memory_of
from distractor.runs.plan.speed import MeasuredModel, Speed, measure_speed
from distractor.scoring.settings import Settings
from distractor.scoring.steps import score_steps
from distractor.scoring.store import Store
from distractor.scoring.sweep import sweep
from distractor.work import Step
from small_ladder import type_in

CPU = Settings(device="cpu", self_check=False)
MILLION = 1_000_000


def measured(n_params: int, score: float, probe: float = 0.0, load: float = 0.0) -> MeasuredModel:
    return MeasuredModel(f"m{n_params}", n_params, load, 1.0, {"score": score, "probe": probe})


def test_time_is_linear_between_and_beyond_the_measured_models() -> None:
    speed = Speed((measured(MILLION, 1.0, load=2.0), measured(3 * MILLION, 2.0, load=4.0)))
    for size, expected in ((1, 1.0), (2, 1.5), (3, 2.0), (7, 4.0)):
        assert speed.seconds(Step("", "", 10, size * MILLION)) == pytest.approx(10 * expected)
        assert speed.loading(size * MILLION, hooks=False) == pytest.approx(2 * expected)
    assert speed.loading(MILLION, hooks=True) == pytest.approx(3)
    assert not speed.is_extrapolated(3 * MILLION)
    assert speed.is_extrapolated(4 * MILLION)


def test_one_measured_model_gives_time_in_proportion() -> None:
    speed = Speed((measured(100 * MILLION, 1.0),))
    assert speed.seconds(Step("", "", 1, 1000 * MILLION)) == pytest.approx(10, rel=0.02)


def test_parts_add_up_and_the_most_costly_is_named() -> None:
    steps = (
        Step("small", "conflict", 10, MILLION),
        Step("large", "conflict", 10, 3 * MILLION),
        Step("large", "ablation", 100, 3 * MILLION, kind="probe"),
    )
    speed = Speed((measured(MILLION, 1.0, 1.0), measured(3 * MILLION, 2.0, 2.0, load=5.0)), started=1.0)
    cost = Cost(steps, speed, MemoryNeed("large", 10**9, 10**9, 10**9), figures=0, of_figure=0.0)
    assert list(cost.parts) == ["ablation", SCORES, LOADING, FIGURES]
    assert cost.parts == {"ablation": 200, SCORES: 10 + 20, LOADING: 0 + 5 + 6, FIGURES: 1}
    assert cost.seconds == 242
    assert cost.costliest == "ablation, 83 % of the time; of the models large, 91 %"
    text = "\n".join(cost.lines(is_long=True))
    assert "about 4 min 2 s on this machine (measured: m1000000 and m3000000)" in text
    assert re.search(r"^  ablation +83 %  3 min 20 s$", text, re.MULTILINE)
    assert "does not fit" in text
    assert "conflict" not in text


def test_the_planned_time_of_scores_is_near_that_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In CPU time, and with a generous bound, because other processes share the machine."""
    monkeypatch.setattr(cost_module.time, "perf_counter", time.process_time)
    sources = find_models(["ladder/32x2", "ladder/80x2"], task="negation_qa")
    task, store = small_ladder.task().take(12), Store(tmp_path)
    speed = measure_speed(task, sources, ["score"], CPU)
    assert [one.name for one in speed.models] == [sources[0].name, sources[-1].name]
    planned = sum(speed.seconds(step) for step in score_steps(task, sources, store, CPU))
    planned += sum(speed.loading(source.n_params or 0, hooks=False) for source in sources)
    assert not [*tmp_path.iterdir()]
    started = time.process_time()
    sweep(task, sources, store, CPU)
    assert planned / 6 < time.process_time() - started < 6 * planned


def test_cached_results_cost_nothing(tmp_path: Path) -> None:
    sources = find_models(["ladder/4x1/seed780"], task="negation_qa")
    task, store = small_ladder.task().take(4), Store(tmp_path)
    sweep(task, sources, store, CPU)
    cost = cost_of(list(score_steps(task, sources, store, CPU)), [task], sources, CPU, figures=1)
    assert cost.steps == ()
    assert "every result is in the cache" in cost.lines()[0]


def test_models_that_are_not_downloaded_are_planned_by_their_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)
    assert type_in(["ablate", "--task", "negation_qa", "--models", "pythia", "--plan", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "extrapolated from matrix products" in said
    assert "PFLOP for knock-outs" in said
    assert "pythia/12b: weights 47.4 GB" in said
    assert type_in(["attribute", "--task", "negation_qa", "--models", "gpt2", "--plan", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "head_patching" in said
    assert not [*tmp_path.glob("runs/*")]
    assert type_in(["ablate", "--task", "negation_qa", "--models", "some/model", "--plan"]) == 2
    assert "not in the cache" in capsys.readouterr().err


@pytest.mark.parametrize(("n_params", "layers"), [(70_426_624, 6), (1_414_647_808, 24), (11_846_072_320, 36)])
def test_the_usual_number_of_layers_is_near_that_of_pythia(n_params: int, layers: int) -> None:
    assert usual_layers_and_heads(n_params)[0] == pytest.approx(layers, rel=0.4)


def test_memory_grows_with_weights_dtype_and_gradients() -> None:
    (source,) = find_models(["ladder/80x2/seed780"], task="negation_qa")
    plain = memory_of(source, CPU, 30, has_probes=False)
    assert plain.weights == 4 * (source.n_params or 0)
    assert plain.needed == BASE + plain.weights + plain.activations
    assert plain.fits
    probed = memory_of(source, CPU, 30, has_probes=True)
    assert probed.activations > plain.activations
    half = memory_of(source, Settings(device="cpu", dtype="bfloat16"), 30, has_probes=False)
    assert half.weights == plain.weights / 2


def test_a_plan_of_attribute_and_compare_names_each_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(families, "LADDER", small_ladder.make(tmp_path / "ladder"))
    monkeypatch.chdir(tmp_path)
    words = ["--task", "negation_qa", "--items", "8", "--plan", "--device", "cpu"]
    for command, parts in (
        (["attribute", "--models", "ladder"], ("logit_lens", "head_patching", "overcoming", "chosen sites")),
        (["compare", "ladder/4x1", "ladder/8x1"], ("ablation", "head_patching", "sites of the other model")),
    ):
        assert type_in([*command, *words]) == 0
        said = capsys.readouterr().out
        for part in (*parts, SCORES, LOADING, FIGURES):
            assert f"\n  {part} " in said
        assert "most:" in said
        assert "memory:" in said
    assert not [*tmp_path.glob("runs/*")]
