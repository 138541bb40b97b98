"""Knock-outs cost no more than a few times the scores, also in deep models, and say which components they left out."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor
from torch.nn.modules.module import register_module_forward_hook
from transformers import GPT2Config

import small_ladder
import tiny
from distractor.ablation.ablate import AblationResult, ablate
from distractor.ablation.page import page
from distractor.ablation.plan import plan, run_steps
from distractor.ablation.report import summary
from distractor.ablation.tables import components_table, notes
from distractor.models.families import find_models
from distractor.models.source import Source
from distractor.probing.probe import Probe
from distractor.runs.page.render import render_page
from distractor.scoring.prompt_tokens import TokenCounter
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store, only_stored
from distractor.text.task import Condition, Item
from probes import KNOCKOUT
from shown import printed

LAYERS, HEADS = 6, 6
CPU = Settings(device="cpu", self_check=False)


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """A model with 42 components."""
    config = partial(GPT2Config, n_embd=24, n_layer=LAYERS, n_head=HEADS, n_positions=48)
    folder = tiny.save(tmp_path_factory.mktemp("deep"), config, tiny.word_level(small_ladder.words()), spread=0.1)
    return find_models([str(folder)])[0]


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Count the positions that pass through the MLPs of a GPT-2."""
    counts: Counter[str] = Counter()

    def count(module: Any, _: Any, output: Tensor) -> None:
        if type(module).__name__ == "GPT2MLP":
            counts["positions"] += output.shape[0] * output.shape[1]

    handle = register_module_forward_hook(count)
    try:
        yield counts
    finally:
        handle.remove()


def run(source: Source, store: Path, probe: Probe | None) -> AblationResult:
    return ablate(small_ladder.task(), [source], store=Store(store), settings=CPU, knockout=probe)


def test_knock_outs_cost_at_most_five_times_the_scores(deep: Source, tmp_path: Path) -> None:
    with counted() as scores:
        run(deep, tmp_path, None)
    with counted() as default:
        run(deep, tmp_path, KNOCKOUT)
    with counted() as exact:
        run(deep, tmp_path, KNOCKOUT.unscreened)
    assert 0 < default["positions"] <= 5 * scores["positions"]
    assert exact["positions"] > 5 * scores["positions"]


def test_the_measured_effects_are_those_of_the_whole_sweep(deep: Source, tmp_path: Path) -> None:
    few, every = (summary(run(deep, tmp_path, probe))["knockouts"][0] for probe in (KNOCKOUT, KNOCKOUT.unscreened))
    assert len(every["effects"]) == LAYERS * (HEADS + 1)
    assert len(few["effects"]) == 15
    for name, by_condition in few["effects"].items():
        for condition, mean in by_condition.items():
            assert mean == pytest.approx(every["effects"][name][condition], abs=1e-5)
    assert "screening" not in every


def test_table_and_page_say_what_was_not_knocked_out(deep: Source, tmp_path: Path) -> None:
    result = run(deep, tmp_path, KNOCKOUT)
    knockout = summary(result)["knockouts"][0]
    said = f"{LAYERS * (HEADS + 1)} sites were screened by gradients"
    table = printed([components_table(knockout)])
    assert "largest 8 of 15" in table
    assert said in table
    assert "--exact" in table
    html = render_page(page(result, {"figures": {"names": []}} | summary(result), {}))
    assert html.count(said) == 2  # under the table, and in the method
    assert said not in printed([components_table(summary(run(deep, tmp_path, KNOCKOUT.unscreened))["knockouts"][0])])


def test_small_models_are_not_screened(tmp_path: Path) -> None:
    words = tiny.word_level(small_ladder.words())
    (source,) = find_models([str(tiny.save(tmp_path / "small", small_ladder.config(8, 3), words))])
    knockout = summary(run(source, tmp_path / "cells", KNOCKOUT))["knockouts"][0]
    assert len(knockout["effects"]) == 3 * (2 + 1)
    assert "screening" not in knockout


def test_the_plan_counts_the_components_that_are_knocked_out(deep: Source, tmp_path: Path) -> None:
    task, store = small_ladder.task(), Store(tmp_path)
    default, exact = (
        plan(task, [deep], run_steps(task, [deep], probe, store, CPU, TokenCounter()))
        for probe in (KNOCKOUT, KNOCKOUT.unscreened)
    )
    assert default.knockout_flops < 5 * default.flops < exact.knockout_flops


def test_answers_that_begin_alike_are_knocked_out_where_they_differ(tmp_path: Path) -> None:
    def begin_alike(item: Item) -> Item:
        return replace(item, true=f" Answer{item.true}", distractor=f" Answer{item.distractor}")

    words = tiny.word_level(small_ladder.words())
    (source,) = find_models([str(tiny.save(tmp_path / "small", small_ladder.config(8, 3), words))])
    task = replace(small_ladder.task(), items=tuple(map(begin_alike, small_ladder.task().items)))
    result = ablate(task, [source], store=Store(tmp_path / "cells"), settings=CPU, knockout=KNOCKOUT)
    assert len(summary(result)["knockouts"][0]["effects"]) == 3 * (2 + 1)
    assert not result.no_knockout


def test_items_that_no_probe_can_read_are_judged_without_knock_outs(
    deep: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distractor.probing.run._why_no_single_token", lambda *_: "item x: other tokens")
    task = small_ladder.task()
    results = [
        ablate(task, [deep], store=Store(tmp_path), settings=CPU, knockout=KNOCKOUT) for _ in range(2)
    ]  # computed, and read from the store
    with only_stored():
        results.append(ablate(task, [deep], store=Store(tmp_path), settings=CPU, knockout=KNOCKOUT))
    for result in results:
        assert not result.knockouts
        assert result.mean([0], "accuracy", Condition.CONFLICT) is not None
        assert "other tokens" in result.no_knockout
        assert summary(result)["no_knockout"] == result.no_knockout
        assert any(note.startswith(f"Nothing is knocked out. {deep.name}: item ") for note in notes(result))
