"""Random files never end a command in a crash: exit status 0 or 2, one message, nothing half-written, within limits.

`DISTRACTOR_FUZZ_MINUTES=60 python -m pytest tests/test_fuzz.py` draws new inputs for an hour and keeps those that fail in
`fuzz/`. Copy them into `tests/fuzz_failures/`, whose cases run in every test.
"""

import hashlib
import importlib
import os
import pkgutil
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from pkgutil import ModuleInfo
from types import ModuleType

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import distractor
import fuzz_cases
import probes
import tasks
from fuzz_cases import Case, Outcome
from small_ladder import in_child

MINUTES = float(os.environ.get("DISTRACTOR_FUZZ_MINUTES", "0"))
KINDS = ("data", "family", "table", "model")
EXAMPLES = 8
FAILURES = sorted((Path(__file__).parent / "fuzz_failures").glob("*.json"))

numbers = count()


def walk(package: ModuleType) -> Iterator[ModuleInfo]:
    """Every module of a package and its packages."""
    return pkgutil.walk_packages(package.__path__, f"{package.__name__}.")


@pytest.fixture(scope="module", autouse=True)
def _libraries() -> None:
    """Import here what each child would import; nothing runs, so that there are no threads to copy."""
    libraries = [module.name for one in (distractor, probes, tasks) for module in walk(one)]
    libraries += [
        "matplotlib.backends.backend_agg",
        "matplotlib.backends.backend_svg",
        "pyarrow.parquet",
        "scipy.stats",
    ]
    libraries += ["transformer_lens", "transformers.models.gpt2.modeling_gpt2", "pandas", "xarray"]
    for name in libraries:
        importlib.import_module(name)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, _libraries: None) -> Path:
    folder = tmp_path_factory.mktemp("models")
    assert in_child(lambda: fuzz_cases.make_models(folder)) == 0
    return folder


def cases_of(kind: str, models: Path) -> st.SearchStrategy[Case]:
    if kind == "model":
        return fuzz_cases.model_cases({path.name: path.read_bytes() for path in (models / "m0").iterdir()})
    return {"data": fuzz_cases.data_cases, "family": fuzz_cases.family_cases, "table": fuzz_cases.table_cases}[kind]()


def run(case: Case, folder: Path, models: Path) -> Outcome:
    """Run a case in a new folder, which is removed."""
    here = folder / str(next(numbers))
    try:
        return fuzz_cases.run(case, here, models)
    finally:
        shutil.rmtree(here)


def explain(case: Case, outcome: Outcome) -> str:
    return f"{outcome.complaint}: {' '.join(case.command)}\n{outcome.out}{outcome.err}\n{case.as_json()}"


@pytest.mark.parametrize("path", FAILURES, ids=lambda path: path.stem)
def test_what_once_failed_ends_well(path: Path, tmp_path: Path, models: Path) -> None:
    case = Case.from_json(path.read_text(encoding="utf-8"))
    outcome = run(case, tmp_path, models)
    assert outcome.complaint is None, explain(case, outcome)


@pytest.mark.skipif(bool(MINUTES), reason="the long search runs instead")
@pytest.mark.parametrize("kind", KINDS)
def test_any_file_gives_a_result_or_one_message(kind: str, tmp_path: Path, models: Path) -> None:
    statuses: Counter[int] = Counter()

    @settings(max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(cases_of(kind, models))
    def check(case: Case) -> None:
        outcome = run(case, tmp_path, models)
        assert outcome.complaint is None, explain(case, outcome)
        statuses[outcome.status] += 1

    check()
    assert set(statuses) == {0, 2}, statuses


@pytest.mark.skipif(not MINUTES, reason="set DISTRACTOR_FUZZ_MINUTES to search for new failures")
def test_a_long_search_finds_no_failure(tmp_path: Path, models: Path, request: pytest.FixtureRequest) -> None:
    ends = time.monotonic() + 60 * MINUTES
    kept = request.config.rootpath / "fuzz"
    kept.mkdir(exist_ok=True)
    results: Counter[tuple[str, str]] = Counter()

    def check(case: Case) -> None:
        outcome = run(case, tmp_path, models)
        results[case.kind, outcome.complaint or {0: "valid", 2: "refused"}[outcome.status]] += 1
        if outcome.complaint:
            text = case.as_json()
            (kept / f"{case.kind}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.json").write_text(
                text, encoding="utf-8"
            )
            (kept / "messages.txt").open("a", encoding="utf-8").write(f"{explain(case, outcome)}\n\n")
        counts = "".join(f"{kind} {what}: {number}\n" for (kind, what), number in sorted(results.items()))
        (kept / "counts.txt").write_text(counts, encoding="utf-8")

    while time.monotonic() < ends:
        for kind in KINDS:
            each = settings(max_examples=40, database=None, deadline=None, phases=[Phase.generate],
                            suppress_health_check=list(HealthCheck))  # fmt: skip
            each(given(cases_of(kind, models))(check))()
    failed = {key: number for key, number in results.items() if key[1] not in ("valid", "refused")}
    assert not failed, f"{failed}; see {kept}"
