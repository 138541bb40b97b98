"""Probes are read in a model that is loaded once; readings are stored exactly; bad requests fail early."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from xarray import testing

import wired
from distractor.errors import ModelError, TaskError
from distractor.models import load as load_module
from distractor.probing import run as run_module
from distractor.probing.measure import measure
from distractor.probing.read_probes import check_request
from distractor.probing.readings import Reader
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from probes import PROBES
from probes.ablation import Ablation

TASK = wired.task(8)
CPU = Settings(device="cpu")


def test_a_stored_reading_equals_a_fresh_one(tmp_path: Path) -> None:
    source = wired.source(tmp_path, "deep", at=1, layers=2)
    loaded = load_module.load(source.folder, name=source.name, device="cpu").hooked
    reader = Reader(TASK, source, Store(tmp_path / "cells"), CPU)
    for name in ("logit_lens", "attention", "linear_probe", "direct_attribution_by_role"):
        fresh, stored = measure(loaded, TASK, PROBES[name]), reader.read(PROBES[name], name)
        testing.assert_allclose(stored.data, fresh, atol=1e-5)
        assert (stored.data.name, stored.data.attrs) == (fresh.name, fresh.attrs)
        row = stored.table.slice(stored.table.num_rows // 2, 1).to_pylist()[0]
        value = fresh.sel({dim: row[dim] for dim in fresh.dims})
        assert row["value"] == pytest.approx(float(value), abs=1e-5, nan_ok=True)


@pytest.mark.quick
def test_a_model_is_loaded_once_for_all_probes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[Path] = []
    load = load_module.load
    monkeypatch.setattr(load_module, "load", lambda folder, **more: loads.append(folder) or load(folder, **more))
    reader = Reader(TASK, wired.source(tmp_path, "one"), Store(tmp_path / "cells"), CPU)
    for name in ("logit_lens", "direct_attribution", "attention"):
        reader.read(PROBES[name], name)
    assert len(loads) == 1


@pytest.mark.quick
def test_only_requested_activations_stay_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lens, attribution and attention keep only the answer slot of the stream and of the patterns."""
    seen: dict[str, int] = {}
    observe = run_module.observe

    def watch(*args: Any, **more: Any) -> Any:
        found = observe(*args, **more)
        seen.update({str(site): value.shape[3 if site.part == "pattern" else 2] for site, value in found.seen.items()})
        return found

    monkeypatch.setattr("distractor.probing.measure.observe", watch)
    loaded = load_module.load(wired.source(tmp_path, "one").folder, device="cpu").hooked
    for name in ("logit_lens", "direct_attribution", "attention"):
        measure(loaded, TASK, PROBES[name])
    assert set(seen.values()) == {1}
    assert set(seen) == {f"L0.{part}" for part in ("resid_pre", "attn_out", "mlp_out", "resid_post", "z", "pattern")}


@pytest.mark.quick
def test_a_reading_with_nan_is_refused_and_names_the_item(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Broken(Ablation):
        def __call__(self, run: Any) -> Any:
            reading = super().__call__(run)
            reading[0, 0, 5] = np.nan
            return reading

    loaded = load_module.load(wired.source(tmp_path, "one").folder, device="cpu").hooked
    with pytest.raises(ModelError, match=r"NaN.* 1 of 16 items.*2B"):
        measure(loaded, TASK, Broken())


@pytest.mark.quick
def test_bad_requests_are_refused_before_anything_is_computed() -> None:
    with pytest.raises(ModelError, match=r"bfloat16.*float32"):
        check_request(TASK, Settings(dtype="bfloat16"))
    with pytest.raises(TaskError, match=r"2 items.*'0'"):
        check_request(TASK.take(2), CPU)
    check_request(TASK.take(6), CPU)
    with pytest.raises(TaskError, match=r"6 items.* 3 groups.* 4 "):
        check_request(TASK.take(6), CPU, halved=True)
    check_request(TASK.take(8), CPU, halved=True)
    with pytest.raises(TaskError, match=r"'0C'.*16.*wired.*did you mean 0"):
        check_request(TASK, CPU, item="0C")
    with pytest.raises(ModelError, match=r"'1\.0'.*L1H0"):
        check_request(TASK, CPU, heads=["1.0"])
