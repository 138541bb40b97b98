"""The plan counts what a run computes, without loading a model."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from transformers import AutoModelForCausalLM

import small_ladder
import tiny
from distractor.ablation.plan import SEED_SD, Plan, run_steps
from distractor.ablation.plan import plan as plan_steps
from distractor.ablation.written.answers import ablate_written
from distractor.errors import EncodeError, ModelError
from distractor.models import families
from distractor.models import load as load_module
from distractor.models.families import find_models
from distractor.models.parameters import count_parameters
from distractor.models.source import Source
from distractor.probing.probe import Probe
from distractor.scoring.prompt_tokens import TokenCounter
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.scoring.sweep import sweep
from distractor.scoring.written_answers import OTHER_REASONING
from distractor.statistics.power import smallest_detectable_dip
from distractor.text.format import Format, Scoring
from distractor.text.format_task import format_task
from distractor.text.task import Task
from probes.ablation import Ablation
from small_ladder import CELLS, ITEMS

CPU = Settings(device="cpu")


def plan(
    task: Task, sources: Sequence[Source], store: Store, settings: Settings, *, knockout: Probe | None = None
) -> Plan:
    return plan_steps(task, sources, run_steps(task, sources, knockout, store, settings, TokenCounter()))


@pytest.fixture(scope="module")
def ladder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_ladder.make(tmp_path_factory.mktemp("ladder"))


@pytest.fixture
def sources(ladder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Source, ...]:
    monkeypatch.setattr(families, "LADDER", ladder)
    return find_models(["ladder"], task="negation_qa")


def test_a_plan_counts_the_cells_and_tokens_of_the_run(
    sources: tuple[Source, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, store = small_ladder.task(), Store(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(load_module, "load", lambda *_, **__: pytest.fail("a model was loaded"))
        before = plan(task, sources, store, CPU, knockout=Ablation())
    assert not [*tmp_path.iterdir()]
    scores = sweep(task, sources, store, CPU)
    after = plan(task, sources, store, CPU, knockout=Ablation())
    assert (before.models, before.items, before.groups) == (3, ITEMS, ITEMS)
    assert (before.cells, before.cached, after.cached) == (CELLS, 0, CELLS)
    assert (before.tokens, after.tokens) == (sum(each.tokens for each in scores), 0)
    assert before.flops == sum(2 * (each.source.n_params or 0) * each.tokens for each in scores)
    assert after.flops == 0
    assert before.dip is not None
    assert 0 < before.dip < 1


def test_cells_on_disk_are_not_planned(sources: tuple[Source, ...], tmp_path: Path) -> None:
    task, store = small_ladder.task(), Store(tmp_path)
    sweep(task, sources[:1], store, CPU)
    rest = plan(task, sources, store, CPU)
    assert rest.cached == small_ladder.CONDITIONS
    assert rest.tokens == plan(task, sources[1:], store, CPU).tokens


@pytest.mark.parametrize("scoring", ["generate", "cot"])
def test_a_plan_of_written_answers_is_an_upper_limit(
    scoring: Scoring, sources: tuple[Source, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, store = format_task(small_ladder.task(), Format(scoring, limit=3)), Store(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(load_module, "load", lambda *_, **__: pytest.fail("a model was loaded"))
        before = plan(task, sources, store, CPU, knockout=Ablation())
    assert not [*tmp_path.iterdir()]
    result = ablate_written(task, sources, store=store, settings=CPU)
    after = plan(task, sources, store, CPU, knockout=Ablation())
    cells = [*tmp_path.rglob("*.parquet")]
    assert (before.cells, before.cached) == (len(cells), 0)
    assert (after.cached, after.tokens, after.flops) == (len(cells), 0, 0)

    def ranked(task: Task) -> int:
        return plan(task, sources, Store(tmp_path / "none"), CPU).tokens

    bare = small_ladder.task()
    pair = replace(
        bare, items=tuple(replace(i, prompts={c: i.prompts[c] for c in OTHER_REASONING}) for i in bare.items)
    )
    shown = sum(int(each.shown.sum()) for each in result.replies)
    after_reasoning = 0 if scoring == "generate" else 2 * (ranked(pair) + 2 * 2 * ITEMS * len(sources))
    assert before.tokens == ranked(bare) + 2 * shown + after_reasoning
    written = [words for path in cells for words in _column(path, "tokens")]
    assert len(written) == shown
    assert max(len(words.split()) for words in written) == 3
    assert before.knockout_flops == 0
    assert any("distractor share" in line for line in before.lines())
    assert any(re.search(f"tokens: +at most {before.tokens:,}", line) for line in before.lines())
    assert before.dip > plan(small_ladder.task(), sources, store, CPU).dip  # type: ignore[operator]


def _column(path: Path, name: str) -> list[str]:
    table = pq.read_table(path)
    return table[name].to_pylist() if name in table.column_names else []


def test_three_seeds_of_each_size_add_the_minimum_detectable_dip_of_level_2(
    sources: tuple[Source, ...], tmp_path: Path
) -> None:
    one = plan(small_ladder.task(), sources, Store(tmp_path), CPU)
    assert one.dip_level_2 is None
    seeds = [replace(source, seed=seed) for source in sources for seed in range(4)][1:]  # one size has only three seeds
    several = plan(small_ladder.task(), seeds, Store(tmp_path), CPU)
    assert (several.seeds, several.dip) == (3, one.dip)
    assert several.dip_level_2 == smallest_detectable_dip(3, 3, ITEMS, item_sd=several.item_sd, seed_sd=SEED_SD)
    assert re.search(rf"level 2.* {several.dip_level_2:.2f}; 3 seeds", several.lines()[-1])
    assert max(map(len, several.lines())) <= 100


def test_two_sizes_have_no_detectable_dip(sources: tuple[Source, ...], tmp_path: Path) -> None:
    two = plan(small_ladder.task(), sources[:2], Store(tmp_path), CPU)
    assert two.dip is None
    assert "3 sizes" in two.lines()[-1]
    assert two.knockout_flops == 0


@pytest.mark.parametrize("name", tiny.ARCHITECTURES)
def test_parameters_are_counted_without_loading_a_model(name: str, tmp_path: Path) -> None:
    folder = tiny.save(tmp_path, tiny.ARCHITECTURES[name], tiny.word_level(["a", "b"]))
    assert count_parameters(folder) == AutoModelForCausalLM.from_pretrained(folder).num_parameters()


def test_stored_masks_and_frequencies_do_not_count_as_parameters(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    buffers = [
        "h.0.attn.bias",
        "h.0.attn.masked_bias",
        "layers.1.attention.bias",
        "layers.1.attention.rotary_emb.inv_freq",
    ]
    weights = ["h.0.attn.c_attn.bias", "layers.1.attention.dense.bias", "model.q_proj.bias"]
    save_file({name: torch.ones(3) for name in buffers + weights}, tmp_path / "model.safetensors")
    assert count_parameters(tmp_path) == 3 * len(weights)


def test_a_plan_refuses_a_text_that_the_run_refuses(sources: tuple[Source, ...], tmp_path: Path) -> None:
    task = small_ladder.task()
    strange = replace(task.items[0], prompts={c: f"{text} Zebras" for c, text in task.items[0].prompts.items()})
    changed, store = replace(task, items=(*task.items[1:], strange)), Store(tmp_path)
    for ask in (
        lambda: plan(changed, sources, store, CPU, knockout=Ablation()),
        lambda: sweep(changed, sources, store, CPU),
    ):
        with pytest.raises(EncodeError, match=r"ladder/.*no token for 'Zebras'"):
            ask()


def test_parameters_of_other_file_formats_are_unknown(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").touch()
    assert count_parameters(tmp_path) is None


@pytest.mark.parametrize(
    "content", [b"", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", b"\x04" + b"\0" * 7 + b"[1 ]"]
)
def test_damaged_weights_are_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.safetensors cannot be read"):
        count_parameters(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_damaged_file_is_named_in_a_plan(name: str, ladder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(ladder / "negation_qa/8x2/seed0", tmp_path / "m")
    (folder / name).write_text("{")
    with pytest.raises(ModelError, match=f"{name} cannot be read"):
        plan(small_ladder.task(), find_models([str(folder)]), Store(tmp_path / "cells"), CPU, knockout=Ablation())
