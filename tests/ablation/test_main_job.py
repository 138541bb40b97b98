"""The README's commands, run as a user runs them; the first is the main job on the embedded ladder: its output, its
files and its claims.
"""

import hashlib
import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from distractor.models.families import LADDER
from pages import ROOT, Ran, check_shown, environment, run_page
from shown import files

COMMAND = ["ablate", "--task", "negation_qa"]
SPY = """
import atexit, sys
from distractor.command_line.main import main
atexit.register(lambda: print("IMPORTED", *sorted({"torch", "transformer_lens"} & set(sys.modules)), file=sys.stderr))
sys.argv[0] = "distractor"
main()
"""


@dataclass(frozen=True)
class Job:
    """One run of the command: its output, its duration and its folder."""

    home: Path
    stdout: str
    stderr: str
    seconds: float

    @property
    def folder(self) -> Path:
        (folder,) = (self.home / "runs").glob("ablate-*")
        return folder

    @property
    def summary(self) -> dict[str, Any]:
        summary: dict[str, Any] = json.loads((self.folder / "summary.json").read_text(encoding="utf-8"))
        return summary


def run(home: Path) -> Job:
    """Run the command in `home`, at its own width; the last line on stderr names the heavy libraries it imported."""
    start = time.monotonic()
    own_width = {name: value for name, value in environment().items() if name != "COLUMNS"}
    command = [sys.executable, "-c", SPY, *COMMAND]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, env=own_width)
    assert done.returncode == 0, done.stderr
    return Job(home, done.stdout, done.stderr, time.monotonic() - start)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the README's blocks run."""
    return tmp_path_factory.mktemp("main-job")


@pytest.fixture(scope="module")
def readme(home: Path) -> list[Ran]:
    return run_page(ROOT / "README.md", home)


@pytest.fixture(scope="module")
def job(home: Path, readme: list[Ran]) -> Job:
    assert readme[0].content.split()[-len(COMMAND) :] == COMMAND
    return Job(home, readme[0].stdout, "", readme[0].seconds)


def test_the_commands_of_the_readme_print_what_it_shows(readme: list[Ran]) -> None:
    assert len(readme) == 2
    assert all(block.shown for block in readme)
    check_shown(readme)


def by_size(job: Job, quantity: str, condition: str | None = "conflict") -> np.ndarray:
    """Means of a quantity [seed size]."""
    models = {(model["seed"], model["n_params"]): model for model in job.summary["models"]}
    seeds, sizes = (sorted(set(values)) for values in zip(*models, strict=True))
    means = {key: model[quantity] if condition is None else model[quantity][condition] for key, model in models.items()}
    return np.array([[means[seed, size]["mean"] for size in sizes] for seed in seeds])


def test_the_ladder_has_at_least_nine_sizes_over_two_orders_of_magnitude(job: Job) -> None:
    sizes = sorted({model["n_params"] for model in job.summary["models"]})
    assert len(sizes) >= 9
    assert sizes[0] <= 2_700
    assert sizes[-1] >= 200_000


def test_preference_rises_and_falls_in_every_seed(job: Job) -> None:
    preference = by_size(job, "distractor_preference")
    assert ((preference[:, 0] >= 0.4) & (preference[:, 0] <= 0.6)).all()
    assert (preference[:, 1:-1].max(1) >= 0.75).all()
    assert (preference[:, -1] <= 0.15).all()
    for seed in job.summary["shape"]["distractor_preference"]["level_1"]["seeds"]:
        assert seed["p_left"] < 0.05
        assert seed["p_right"] < 0.05


def test_the_largest_models_are_right_on_facts_that_were_never_negated_in_training(job: Job) -> None:
    largest_size = max(model["n_params"] for model in job.summary["models"])
    for model in job.summary["models"]:
        if model["n_params"] == largest_size:
            assert model["distractor_preference_held_out"]["mean"] <= 0.15
            assert model["accuracy"]["distractor_only"]["mean"] >= 0.95


def test_the_verdict_on_the_ladder_is_supported(job: Job) -> None:
    assert job.summary["verdict"]["label"] == "supported"


def test_the_distractor_pulls_more_at_the_peak_and_less_at_the_largest_size(job: Job) -> None:
    preference = by_size(job, "distractor_preference")
    difference = by_size(job, "distractor_pull", None) - by_size(job, "true_pull", None)
    peak = preference.mean(0).argmax()
    assert 0 < peak < preference.shape[1] - 1
    assert (difference[:, peak] > 0).all()
    assert (difference[:, -1] < 0).all()


def test_means_in_the_summary_are_those_of_the_results_table(job: Job) -> None:
    rows = pq.read_table(job.folder / "results.parquet").to_pandas()
    for model in job.summary["models"][:: len(job.summary["models"]) // 4]:
        own = rows[(rows.model == model["model"]) & (rows.seed == model["seed"])]
        for condition in ("conflict", "neutral", "distractor_swapped"):
            shown = own[own.condition == condition]
            values = shown.pivot_table(index="item", columns="quantity", values="value", observed=True)
            p_true, p_distractor = np.exp(values.log_prob_true), np.exp(values.log_prob_distractor)
            preference, coverage = p_distractor / (p_true + p_distractor), p_true + p_distractor
            assert np.isclose(preference.mean(), model["distractor_preference"][condition]["mean"])
            assert np.isclose(coverage.mean(), model["coverage"][condition]["mean"])
            gap = values.log_prob_true - values.log_prob_distractor
            assert np.isclose(gap.mean(), model["logit_gap"][condition]["mean"])
        preferred = own[(own.condition == "conflict") & (own.quantity == "distractor_preference")]
        held_out = preferred.value[preferred.held_out.astype(bool)]
        assert 0 < len(held_out) < len(preferred)
        assert np.isclose(held_out.mean(), model["distractor_preference_held_out"]["mean"])


def test_log_probabilities_are_those_of_the_plain_model(job: Job) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from tasks import TASKS

    largest = job.summary["models"][-1]
    folder = LADDER / "negation_qa" / largest["model"] / f"seed{largest['seed']}"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    rows = pq.read_table(job.folder / "results.parquet").to_pandas()
    rows = rows[(rows.model == largest["model"]) & (rows.seed == largest["seed"]) & (rows.quantity == "log_prob_true")]
    values = rows.set_index(["condition", "item"]).value
    for item in TASKS["negation_qa"]().items[:200:37]:
        for condition, prompt in item.prompts.items():
            with torch.no_grad():
                logits = model(torch.tensor([tokenizer(prompt).input_ids])).logits[0, -1]
            expected = logits.log_softmax(-1)[tokenizer.convert_tokens_to_ids(item.true.strip())]
            assert abs(values[condition, item.id] - float(expected)) < 1e-4


def test_a_second_run_is_faster_imports_no_torch_and_writes_the_same_bytes(job: Job) -> None:
    paths = [job.folder / name for name in files(job.folder)]
    before = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    again = run(job.home)
    assert again.stdout == job.stdout
    assert again.stderr.splitlines()[-1] == "IMPORTED"
    assert {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths} == before
    assert again.seconds < job.seconds


@pytest.mark.slow
def test_the_command_keeps_its_limits_of_time_and_memory(tmp_path: Path) -> None:
    first, second = run(tmp_path), run(tmp_path)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert first.seconds <= 30
    assert second.seconds <= 3
    assert peak <= 1.5 * 2**20, f"{peak / 2**20:.2f} GiB"


def test_the_output_is_at_most_100_columns_wide(job: Job) -> None:
    assert max(map(len, job.stdout.splitlines())) <= 100
