"""Commands report their forward passes, their cache hits and the passes that these saved."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import small_ladder
import tiny
from conftest import Hooked
from distractor import progress
from distractor.command_line import progress as shown_progress
from distractor.models import families
from distractor.models.model import Model
from distractor.probing import patching
from distractor.probing.patching_map import PatchingMap
from distractor.probing.run import batch, observe
from distractor.progress import RunCounter, count_run, record_cache_hit, record_computed, time_computation
from distractor.scoring.encode import encode
from distractor.text.task import Condition
from small_ladder import COMMAND, type_in


@pytest.mark.quick
def test_forward_passes_count_with_their_tokens_and_time() -> None:
    progress.record_forward_pass(5)  # outside every counter
    with count_run() as counter:
        with time_computation() as inner:
            progress.record_forward_pass(100)
            progress.record_forward_pass(20)
            progress.record_note("Slowly.")
            progress.record_note("Slowly.")
        progress.record_forward_pass(3)
        record_cache_hit("one")
        record_cache_hit("two")
    assert (inner.forward_passes, inner.tokens) == (2, 120)
    assert (counter.forward_passes, counter.tokens, counter.cache_hits) == (3, 123, 2)
    assert 0 < counter.seconds == inner.seconds
    computed, cached, note = counter.sentences
    assert re.search(r"\b3 forward passes\b.*\b123 tokens\b", computed)
    assert cached == "Read 2 results from the cache."
    assert note == "Slowly."
    assert RunCounter().sentences == []


@pytest.mark.quick
def test_a_result_is_a_cache_hit_once_and_only_if_this_run_did_not_compute_it() -> None:
    record_computed("outside every counter")
    with count_run() as counter:
        record_computed("new")
        for name in ("new", "old", "old"):
            record_cache_hit(name)
    assert counter.cache_hits == 1


def test_every_method_that_runs_a_model_records_its_forward_passes(hooked: Hooked) -> None:
    model = hooked("gpt2")
    tokens = torch.arange(12).reshape(2, 6)
    with count_run() as counter:
        model.log_probs(tokens, torch.tensor([5]))
        model.next_logits(tokens, None)
        model.run_layers(tokens, model.make_cache())
    assert (counter.forward_passes, counter.tokens) == (3, 36)


def test_a_command_reports_why_cached_patching_fails_in_a_model(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = hooked("gpt2")
    run = observe(model, batch(encode(tiny.task(), model), model, (Condition.CONFLICT, Condition.CONGRUENT)))

    def refuse(self: Model, mask: Any) -> Any:
        raise TypeError("no masks here")

    monkeypatch.setattr(Model, "_masks", refuse)
    patching._passed.clear()  # another test may have compared this model with whole passes
    cells = PatchingMap.of(run, ("resid_pre",))
    with count_run() as counter:
        cells.exact(cells.nodes[:1])
    (note,) = counter.notes
    assert model.name in note
    assert "TypeError: no masks here" in note


@pytest.mark.usefixtures("undrawn")
def test_a_second_run_reads_every_result_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(families, "LADDER", small_ladder.make(tmp_path / "ladder"))
    monkeypatch.chdir(tmp_path)
    attribute = ["attribute", "--task", COMMAND[2], "--models", "ladder", "--probe", "logit_lens", "--items", "8"]
    compare = ["compare", "ladder/4x1", "ladder/8x1", "--task", COMMAND[2], "--probe", "ablation", "--items", "10"]
    for command in ([*COMMAND, "--json"], [*attribute, "--json", "--threads", "1"], [*compare, "--json"]):
        assert type_in([*command, "--device", "cpu"]) == 0
        assert re.search(r"Ran [\d,]+ forward passes on [\d,]+ tokens", capsys.readouterr().err)
        assert type_in([*command, "--device", "cpu"]) == 0
        assert re.search(r"Read \d+ results from the cache\.$", said := capsys.readouterr().err.strip())
        assert "forward passes" not in said


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A command whose progress is shown at once, as if it took long."""
    monkeypatch.setattr(families, "LADDER", small_ladder.make(tmp_path / "ladder"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shown_progress, "QUICK", 0.0)
    monkeypatch.setattr(shown_progress, "EVERY", 0.0)
    return [*COMMAND, "--json", "--device", "cpu", "--out", "out"]


@pytest.mark.usefixtures("undrawn")
def test_lines_and_the_log_name_model_condition_rate_and_time_left(
    slow: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert type_in(slow) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["models"]
    *lines, counted = err.strip().splitlines()
    assert counted.startswith("Ran ")
    assert all(line.isprintable() for line in lines)
    assert re.search(
        r"^ladder/negation_qa/8x1/seed0: conflict, [\d.]+ items/s; \d+ of 20 results, \d+ %, .* left$", err, re.M
    )
    assert "ladder/negation_qa/8x2/seed0: finished in " in err
    assert "8x2/seed0: knock-outs" in err
    assert lines[-2] == "figures and page"
    logged = (tmp_path / "out/progress.log").read_text().splitlines()
    assert [line.partition("  ")[2] for line in logged] == lines
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  ", line) for line in logged)
    assert type_in(slow) == 0  # the same run is read from the cache, and its log goes on
    assert len((tmp_path / "out/progress.log").read_text().splitlines()) > len(logged)


@pytest.mark.usefixtures("undrawn")
def test_a_terminal_shows_a_bar_and_the_log_has_the_lines(
    slow: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    assert type_in(slow) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["models"]
    assert "\x1b[" in err
    assert "figures and page" in err
    assert "items/s; " not in err  # no lines
    assert "items/s; " in (tmp_path / "out/progress.log").read_text()
