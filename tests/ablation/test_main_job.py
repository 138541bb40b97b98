"""The README's first command on the embedded ladder, as a user types it: what it prints, leaves and claims."""

import hashlib
import json
import os
import re
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

ROOT = Path(__file__).parents[2]
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
    """One run of the command: what it printed, how long it took, and the folder it left."""

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
        told: dict[str, Any] = json.loads((self.folder / "summary.json").read_text())
        return told


def run(home: Path) -> Job:
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", SPY, *COMMAND],
        cwd=home,
        capture_output=True,
        text=True,
        env={**os.environ, "TERM": "dumb", "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr
    return Job(home, done.stdout, done.stderr, time.monotonic() - begun)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return run(tmp_path_factory.mktemp("main-job"))


def by_size(job: Job, quantity: str, condition: str | None = "conflict") -> tuple[list[int], np.ndarray]:
    """Sizes, and means [seed size]."""
    models = job.summary["models"]
    sizes = sorted({one["n_params"] for one in models})
    seeds = sorted({one["seed"] for one in models})
    at = {(one["seed"], one["n_params"]): one for one in models}

    def mean(one: dict[str, Any]) -> float:
        value: float = (one[quantity] if condition is None else one[quantity][condition])["mean"]
        return value

    return sizes, np.array([[mean(at[seed, size]) for size in sizes] for seed in seeds])


def test_the_ladder_has_the_sizes_that_it_should(job: Job) -> None:
    sizes, _ = by_size(job, "accuracy")
    assert len(sizes) >= 9
    assert sizes[0] <= 2_700
    assert sizes[-1] >= 200_000


def test_preference_rises_and_falls_in_every_seed(job: Job) -> None:
    _, preference = by_size(job, "distractor_preference")
    assert ((preference[:, 0] >= 0.4) & (preference[:, 0] <= 0.6)).all()
    assert (preference[:, 1:-1].max(1) >= 0.75).all()
    assert (preference[:, -1] <= 0.15).all()
    # Both legs are clear at level 1.
    for seed in job.summary["shape"]["distractor_preference"]["level_1"]["seeds"]:
        assert seed["p_left"] < 0.05
        assert seed["p_right"] < 0.05


def test_the_largest_are_right_on_facts_that_were_never_negated_in_training(job: Job) -> None:
    top = max(one["n_params"] for one in job.summary["models"])
    largest = [one for one in job.summary["models"] if one["n_params"] == top]
    assert all(one["distractor_preference_held_out"]["mean"] <= 0.15 for one in largest)
    assert all(one["accuracy"]["distractor_only"]["mean"] >= 0.95 for one in largest)


def test_the_verdict_on_the_ladder_is_supported(job: Job) -> None:
    assert job.summary["verdict"]["label"] == "supported"


def test_the_distractor_pulls_more_at_the_peak_and_less_at_the_top(job: Job) -> None:
    _, preference = by_size(job, "distractor_preference")
    _, true = by_size(job, "true_pull", None)
    _, distractor = by_size(job, "distractor_pull", None)
    peak = preference.mean(0).argmax()
    assert 0 < peak < preference.shape[1] - 1
    assert (distractor > true)[:, peak].all()
    assert (distractor < true)[:, -1].all()


def test_means_are_those_of_the_table_of_results(job: Job) -> None:
    from tasks import TASKS

    rows = pq.read_table(job.folder / "results.parquet").to_pandas()
    for one in job.summary["models"][:: len(job.summary["models"]) // 4]:
        mine = rows[(rows.model == one["model"]) & (rows.seed == one["seed"])]
        for condition in ("conflict", "neutral", "distractor_swapped"):
            posed = mine[mine.condition == condition].pivot_table(
                index="item", columns="quantity", values="value", observed=True
            )
            p_true, p_distractor = np.exp(posed.log_prob_true), np.exp(posed.log_prob_distractor)
            assert np.isclose(
                (p_distractor / (p_true + p_distractor)).mean(), one["distractor_preference"][condition]["mean"]
            )
            assert np.isclose((p_true + p_distractor).mean(), one["coverage"][condition]["mean"])
            assert np.isclose(
                (posed.log_prob_true - posed.log_prob_distractor).mean(), one["logit_gap"][condition]["mean"]
            )
        preferred = mine[(mine.condition == "conflict") & (mine.quantity == "distractor_preference")]
        assert 0 < preferred.held_out.sum() < len(preferred)
        assert np.isclose(
            preferred.value[preferred.held_out.astype(bool)].mean(), one["distractor_preference_held_out"]["mean"]
        )
        assert dict(zip(preferred.item, preferred.group, strict=True)) == {
            item.id: item.group for item in TASKS["negation_qa"]().items[:200]
        }


def test_log_probabilities_are_those_of_the_plain_model(job: Job) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from tasks import TASKS

    one = job.summary["models"][-1]
    folder = LADDER / one["model"] / f"seed{one['seed']}"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    rows = pq.read_table(job.folder / "results.parquet").to_pandas()
    rows = rows[(rows.model == one["model"]) & (rows.seed == one["seed"]) & (rows.quantity == "log_prob_true")]
    found = rows.set_index(["condition", "item"]).value
    for item in TASKS["negation_qa"]().items[:200:37]:
        for condition, prompt in item.prompts.items():
            with torch.no_grad():
                logits = model(torch.tensor([tokenizer(prompt).input_ids])).logits[0, -1]
            expected = logits.log_softmax(-1)[tokenizer.convert_tokens_to_ids(item.true.strip())]
            assert abs(found[condition, item.id] - float(expected)) < 1e-4


def test_the_second_time_is_quick_imports_no_torch_and_gives_the_same_bytes(job: Job) -> None:
    files = sorted(p for p in job.folder.rglob("*") if p.is_file())
    before = {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
    again = run(job.home)
    assert again.stdout == job.stdout
    assert again.stderr.splitlines()[-1] == "IMPORTED"
    assert {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in files} == before
    assert again.seconds < job.seconds


def test_a_figure_that_was_lost_is_drawn_again(job: Job) -> None:
    lost = job.folder / "figures" / "curves.svg"
    before = lost.read_bytes()
    lost.unlink()
    run(job.home)
    assert lost.read_bytes() == before


@pytest.mark.slow
def test_the_main_job_keeps_its_time_and_memory(tmp_path: Path) -> None:
    first, second = run(tmp_path), run(tmp_path)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert first.seconds <= 30
    assert second.seconds <= 3
    assert peak <= 1.5 * 2**20, f"{peak / 2**20:.2f} GiB"


def test_figures_are_pictures_and_drawings(job: Job) -> None:
    for name in ("curves", "components"):
        assert (job.folder / "figures" / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
        assert "<svg" in (job.folder / "figures" / f"{name}.svg").read_text()


def test_the_table_fits_the_page(job: Job) -> None:
    assert max(map(len, job.stdout.splitlines())) <= 100


def test_the_readme_shows_what_the_command_prints(job: Job) -> None:
    """Words to the letter; numbers may differ by rounding on another processor."""
    shown = re.search(r"and prints:\n\n```text\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert shown
    number = re.compile(r"-?\d+(?:\.\d+)?")

    def words(text: str) -> list[str]:
        # A component's rank may change places with its neighbour's; what it is called is no number.
        return number.sub("#", re.sub(r"L\d+(?:H\d+)?\.\w+", "component", text)).split()

    assert words(shown[1]) == words(job.stdout)
    expected, came = (
        [float(n) for n in number.findall(re.sub(r"L\d+(?:H\d+)?\.\w+|-[0-9a-f]{8}|,", "", text))]
        for text in (shown[1], job.stdout)
    )
    assert np.allclose(expected, came, atol=0.03)


def test_the_readme_s_python_runs(job: Job) -> None:
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert code
    done = subprocess.run([sys.executable, "-c", code[1]], cwd=job.home, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == job.summary["verdict"]["sentence"]
