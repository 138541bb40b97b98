"""The command line: quick help, one message for each user error, no partial results, numbers only on stdout."""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from transformers import GPT2Config

import small_ladder
import tiny
from distractor.models import families
from distractor.models import load as load_module
from shown import files
from small_ladder import CELLS, COMMAND, type_in
from tasks import TASKS

SCRIPT = Path(sys.executable).parent / "distractor"
HEAVY = {"torch", "numpy", "pandas", "pyarrow", "jaxtyping", "scipy", "matplotlib", "transformers", "transformer_lens"}


@pytest.fixture(scope="module")
def ladder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_ladder.make(tmp_path_factory.mktemp("ladder"))


@pytest.fixture(autouse=True)
def _here(ladder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "LADDER", ladder)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if a model is loaded."""
    monkeypatch.setattr(load_module, "load", lambda *_, **__: pytest.fail("a model was loaded"))


def script(*command: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the installed command in a new process."""
    return subprocess.run([SCRIPT, *command], capture_output=True, text=True, env={**os.environ, **env})


def refused(captured: Any, *words: str) -> None:
    """Check for exactly one message, on stderr, which contains all of `words`; no traceback."""
    assert captured.out == ""
    message = " ".join(captured.err.split())
    assert message.count("Error: ") == 1
    assert "Traceback" not in message
    for word in words:
        assert word in message, message


def test_help_comes_at_once() -> None:
    taken = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        assert script("--help").returncode == 0
        taken.append(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before)
    assert min(taken) <= 0.6, taken  # 0.22 s on an idle machine; torch alone takes a second


def test_the_command_line_imports_no_heavy_library() -> None:
    code = "import sys, distractor.command_line.main; print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(shown.stdout.split())


def test_the_version_is_printed() -> None:
    from distractor import __version__

    assert script("--version").stdout.strip() == __version__
    module = subprocess.run([sys.executable, "-m", "distractor", "--version"], capture_output=True, text=True)
    assert module.stdout.strip() == __version__


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["ablate", "--task", "negation"], ["'negation'", "negation_qa?"]),
        ([*COMMAND, "--models", "ladder/8x3"], ["'ladder/8x3'", "ladder/8x2"]),
        ([*COMMAND, "--models", "ladder/negation_q"], ["'ladder/negation_q'", "ladder/negation_qa?"]),
        ([*COMMAND, "--models", "lader"], ["'lader'", "ladder?"]),
        (["ablate", "--task", "other.jsonl"], ["'other'", "only for negation_qa", "--models"]),
        (["ablate", "--task", "other.jsonl", "--models", "ladder/8x2", "--plan"], ["'other'", "ladder/negation_qa"]),
        ([*COMMAND, "--models", "./nowhere"], ["folder", "'./nowhere'"]),
        ([*COMMAND, "--models", "empty"], ["empty", "config.json", "save_pretrained"]),
        ([*COMMAND, "--models", "owner/name", "--offline"], ["owner/name", "offline"]),
        ([*COMMAND, "--models", "ladder", "--models", "mine"], ["ladder", "one family"]),
        ([*COMMAND, "--device", "cuda"], ["'cuda'", "cpu"]),
        ([*COMMAND, "--device", "cuda:0"], ["'cuda:0'", "cpu"]),
        ([*COMMAND, "--device", "gpu"], ["'gpu'", "--device"]),
        ([*COMMAND, "--data", "none.jsonl"], ["none.jsonl"]),
        ([*COMMAND, "--data", "broken.jsonl"], ["broken.jsonl, line 2:", "JSON"]),
        ([*COMMAND, "--data", "column.jsonl"], ["column.jsonl, line 1:", "answer_index"]),
        ([*COMMAND, "--data", "other.jsonl"], ["other.jsonl", "neqa_classification.jsonl", "SHA-256"]),
        ([*COMMAND, "--out", "a.file"], ["a.file", "--out"]),
        ([*COMMAND, "--out", "a.file/below"], ["a.file/below", "--out"]),
        ([*COMMAND, "--out", "full"], ["full", "not empty", "--out"]),
        ([*COMMAND, "--out", "foreign"], ["foreign", "another run", "--out"]),
    ],
    ids=lambda given: " ".join(given[-2:]) if isinstance(given, list) and "--" in "".join(given) else "",
)
@pytest.mark.usefixtures("unloaded")
def test_a_user_error_gives_one_message_and_leaves_no_files(
    command: list[str], words: list[str], ladder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = json.dumps({"prompt": "Question: x not\nA. y\nB. z\nAnswer:", "classes": "[' A', ' B']", "answer_index": 0})
    (tmp_path / "broken.jsonl").write_text(f"{sound}\n{{\n")
    (tmp_path / "column.jsonl").write_text('{"prompt": "", "classes": ""}\n')
    (tmp_path / "other.jsonl").write_text(f"{sound}\n")
    (tmp_path / "a.file").write_text("mine")
    for folder in ("empty", "full", "foreign"):
        (tmp_path / folder).mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("mine")
    (tmp_path / "foreign" / "manifest.json").write_text('{"scorer": 0}')
    shutil.copytree(ladder / "negation_qa/8x1/seed0", tmp_path / "mine")
    before = files(tmp_path)
    assert type_in(command) == 2
    refused(capsys.readouterr(), *words)
    assert files(tmp_path) == before


@pytest.mark.usefixtures("unloaded")
def test_an_unwritable_store_is_refused_before_a_model_is_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs").write_text("a file where a folder should be")
    assert type_in([*COMMAND, "--out", "results", "--device", "cpu"]) == 2
    refused(capsys.readouterr(), "runs/.cells")


def test_a_hub_id_without_a_network_is_an_error_before_torch_is_imported() -> None:
    code = (
        "import sys\nfrom distractor.command_line.main import main\n"
        "try: main()\nfinally: print('torch' in sys.modules, file=sys.stderr)"
    )
    env = {**os.environ, "HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": "cache"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run(
        [sys.executable, "-c", code, *COMMAND, "--models", "owner/name"], capture_output=True, text=True, env=env
    )
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 5
    assert done.returncode == 2
    assert done.stderr.count("Error: ") == 1
    assert "owner/name" in done.stderr
    assert "local folder" in " ".join(done.stderr.split())
    assert done.stderr.split()[-1] == "False"


def test_a_hub_id_in_the_cache_can_be_planned_offline(ladder: Path, tmp_path: Path) -> None:
    home = tmp_path / "cache" / "hub" / "models--owner--name"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("0" * 40)
    shutil.copytree(ladder / "negation_qa/8x2/seed0", home / "snapshots" / ("0" * 40))
    done = script(*COMMAND, "--models", "owner/name", "--offline", "--plan", "--device", "cpu", HF_HOME="cache")
    assert done.returncode == 0, done.stderr
    assert re.search("models: +1\n", done.stdout)


def folder_with(tmp_path: Path, tokenizer: Any = None, context: int = 48) -> Path:
    made = partial(GPT2Config, n_embd=8, n_layer=1, n_head=2, n_positions=context)
    return tiny.save(tmp_path / "model", made, tokenizer or tiny.word_level(small_ladder.words()))


def same_letters() -> Any:
    """A tokenizer that reads B as A."""
    from tokenizers import Regex, normalizers

    tokenizer = tiny.word_level(small_ladder.words())
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace(Regex(r"\bB\b"), "A")
    return tokenizer


def test_the_word_that_a_tokenizer_lacks_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder_with(tmp_path, tiny.word_level(["Question", ":", "The"]))
    assert type_in([*COMMAND, "--models", "model"]) == 2
    refused(capsys.readouterr(), "model:", "tokenizer", "no token for")


def test_answers_with_the_same_tokens_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder_with(tmp_path, same_letters())
    assert type_in([*COMMAND, "--models", "model"]) == 2
    refused(capsys.readouterr(), "' A'", "' B'")


def test_a_prompt_longer_than_the_context_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder_with(tmp_path, context=8)
    assert type_in([*COMMAND, "--models", "model"]) == 2
    refused(capsys.readouterr(), "context", "8")


def test_nan_weights_are_named_and_no_result_is_stored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from safetensors.torch import load_file, save_file

    path = folder_with(tmp_path) / "model.safetensors"
    weights = load_file(path)
    weights["transformer.h.0.mlp.c_fc.weight"][0, 0] = float("nan")
    save_file(weights, path, metadata={"format": "pt"})
    assert type_in([*COMMAND, "--models", "model"]) == 2
    refused(capsys.readouterr(), "model:", "NaN", "capital/")
    assert not [*(tmp_path / "runs/.cells").rglob("*.parquet")]
    assert not [*tmp_path.rglob("results.parquet")]


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_damaged_model_is_named(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder_with(tmp_path) / name
    path.write_bytes(path.read_bytes()[:20])
    assert type_in([*COMMAND, "--models", "model"]) == 2
    refused(capsys.readouterr(), "model:")


@pytest.mark.usefixtures("undrawn")
def test_two_models_of_one_size_get_a_row_each_and_no_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = partial(GPT2Config, n_embd=8, n_layer=1, n_head=2, n_positions=48)
    for seed, name in enumerate(("before", "tuned")):
        tiny.save(tmp_path / name, made, tiny.word_level(small_ladder.words()), seed=seed)
    assert type_in([*COMMAND, "--models", "before", "--models", "tuned"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (before,), (tuned,) = (
        [line.split()[1:] for line in lines if re.match(rf"{name} +[\d,]+ ", line)] for name in ("before", "tuned")
    )
    assert before != tuned
    assert any("no curve" in line for line in lines)


def test_a_plan_measures_the_machine_and_leaves_no_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert type_in([*COMMAND, "--plan", "--device", "cpu"]) == 0
    shown = capsys.readouterr()
    assert re.search(rf"cells: +{CELLS} \(0 ", shown.out)
    for part in ("detectable dip", "on this machine (measured: ", "most:", "memory:", "are free"):
        assert part in shown.out
    assert shown.err == ""
    assert files(tmp_path) == []


def no_nan(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def test_a_run_prints_numbers_on_stdout_and_progress_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [*COMMAND, "--device", "cpu", "--out", "out"]
    assert type_in([*command, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out, parse_constant=no_nan)
    assert summary == json.loads((tmp_path / "out/summary.json").read_text())
    assert [one["model"] for one in summary["models"]] == list(small_ladder.SIZES)
    for name in ("manifest.json", "results.parquet", "figures/curves.png", "figures/curves.svg"):
        assert (tmp_path / "out" / name).stat().st_size

    # Another run does not overwrite it; the same run does.
    monkeypatch.setattr(load_module, "load", lambda *_, **__: pytest.fail("a model was loaded"))
    before = {name: (tmp_path / "out" / name).read_bytes() for name in files(tmp_path / "out")}
    assert type_in([*command[:3], "--items", "11", *command[5:]]) == 2
    refused(capsys.readouterr(), "out", "another run", "--out")
    assert {name: (tmp_path / "out" / name).read_bytes() for name in files(tmp_path / "out")} == before
    (tmp_path / "out/figures/curves.svg").unlink()  # a missing figure is drawn again
    assert type_in(command) == 0
    assert (tmp_path / "out/figures/curves.svg").read_bytes() == before["figures/curves.svg"]
    shown = capsys.readouterr()
    assert "Verdict" in shown.out
    assert shown.out.splitlines()[-1].endswith(": out (more figures: --figures all)")
    assert all(size in shown.out for size in small_ladder.SIZES)
    assert "Verdict" not in shown.err

    # The choice of figures does not make another run.
    page = (tmp_path / "out/report.html").read_text()
    assert type_in([*command, "--figures", "none"]) == 0
    assert not [name for name in files(tmp_path / "out") if name.startswith("figures/")]
    assert "figures/curves.svg" in page
    assert "figures/curves.svg" not in (tmp_path / "out/report.html").read_text()
    capsys.readouterr()
    assert type_in([*command, "--figures", "few"]) == 2
    assert "one of 'main'" in capsys.readouterr().err


def test_a_users_files_named_like_our_packages_change_nothing(tmp_path: Path) -> None:
    for name in ("tasks.py", "probes.py"):
        (tmp_path / name).write_text("raise RuntimeError('mine')\n")
    for name in ("tasks", "ladder"):
        (tmp_path / name).mkdir()
    shown = script("tasks")
    assert shown.returncode == 0, shown.stderr
    assert "negation_qa" in shown.stdout
    planned = script(*COMMAND, "--plan", "--device", "cpu")
    assert planned.returncode == 0, planned.stderr


def test_a_users_file_that_hides_our_package_is_named(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text("TASKS = {}\n")
    shown = script("tasks", PYTHONPATH=str(tmp_path))
    assert shown.returncode == 2
    assert "Traceback" not in shown.stderr
    message = " ".join(shown.stderr.split())
    assert "tasks.py" in message
    assert "rename it" in message


def test_tasks_and_models_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert type_in(["tasks"]) == 0
    assert f"{len(TASKS['negation_qa']().items)} items in " in capsys.readouterr().out
    assert type_in(["models"]) == 0
    shown = capsys.readouterr().out.split()
    assert {"ladder/negation_qa", "pythia", "olmo-2"} <= set(shown)
    assert type_in(["models", "show", "ladder"]) == 0
    shown = capsys.readouterr().out.split()
    assert {"ladder/negation_qa:", *(f"{size}/seed0" for size in small_ladder.SIZES)} <= set(shown)
