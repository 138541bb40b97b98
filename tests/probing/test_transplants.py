"""Transplants equal hooks in plain transformers, and need nothing but the answer slot to match."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from numpy.testing import assert_allclose
from torch.testing import assert_close

import tiny
from conftest import Hooked
from distractor.errors import EncodeError
from distractor.models.hooked_model import HookedModel
from distractor.models.site import Site
from distractor.probing import transplants
from distractor.probing.measure import measure
from distractor.probing.run import Batch, batch
from distractor.probing.transplants import Transplant, transplanted_gaps, why_whole_prompts
from distractor.scoring.encode import encode
from distractor.text.task import Condition, Task
from plain_edits import plainly
from probes.overcoming import Overcoming

NEUTRAL, ALONE = Condition.NEUTRAL, Condition.DISTRACTOR_ONLY
CONDITIONS = (NEUTRAL, *Overcoming.others)
D_HEAD = 4


def task() -> Task:
    """The tiny task with a `true_only` prompt; prompts of an item have three different lengths."""
    made = tiny.task()
    items = tuple(replace(item, prompts={**item.prompts, Condition.TRUE_ONLY: "Not. Say:"}) for item in made.items)
    return replace(made, items=items)


@pytest.mark.parametrize("architecture", ["gpt2", "gpt_neox", "llama_grouped_tied"])
def test_effects_equal_hooks_in_plain_transformers(hooked: Hooked, tiny_folder: Any, architecture: str) -> None:
    model, network = hooked(architecture), tiny.plain(str(tiny_folder(architecture, "words_bos")))
    reading = measure(model, task(), Overcoming())
    singles = [Site(n, "z", h) for n in (0, 1) for h in range(4)] + [Site(n, "mlp_out") for n in (0, 1)]
    named = {str(site): (site,) for site in singles} | {"all": tuple(singles)}
    batches = {c: batch(encode(task(), model), model, (c,)) for c in CONDITIONS}
    assert len({int(one.lengths[0]) for one in batches.values()}) >= 3
    largest = 0.0
    for k in (0, 5):
        item = batches[NEUTRAL].items[k].id
        answers = batches[NEUTRAL].answers[k]
        tokens = {c: one.tokens[0, k, : one.lengths[k]] for c, one in batches.items()}
        clean = {c: plainly(network, tokens[c], answers, {}, ()) for c in CONDITIONS}
        for name, sites in named.items():
            for condition in Overcoming.others:
                here = reading.sel(component=name, condition=str(condition), item=item)
                moved, _ = plainly(network, tokens[NEUTRAL], answers, clean[condition][1], sites)
                assert_allclose(here.sel(exchange="transplant"), clean[NEUTRAL][0] - moved, atol=1e-8)
                moved, _ = plainly(network, tokens[condition], answers, clean[NEUTRAL][1], sites)
                expected = moved - clean[condition][0]
                found = float(here.sel(exchange="knock_out"))
                is_measured = name == "all" or condition in (ALONE, Condition.TRUE_ONLY)
                assert (found == pytest.approx(expected, abs=1e-8)) if is_measured else found != found
                largest = max(largest, abs(expected))
    assert largest > 1e-2


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_one_token_gives_the_same_gaps_as_whole_prompts(hooked: Hooked, architecture: str) -> None:
    # transformers reads Qwen2 tokenizers as byte-level ones, whatever their folder says.
    model = hooked(architecture, "bytes" if architecture.startswith("qwen2") else "words_bos")
    batches = {c: batch(encode(task(), model), model, (c,)) for c in CONDITIONS}
    sets = [(Site(1, "z", 3),), (Site(0, "mlp_out"),), (Site(0, "z", 1), Site(0, "z", 2), Site(1, "mlp_out"))]
    some = [Transplant(into, source, sites) for sites in sets for into, source in ((NEUTRAL, ALONE), (ALONE, NEUTRAL))]
    whole = transplanted_gaps(model, batches, some, whole_prompts=True)
    error = 1e-6 if architecture == "gemma2" else 1e-9  # Gemma 2 uses a float32 softmax
    assert (whole[0] - whole[2]).abs().max() > 1e-4
    if why := why_whole_prompts(model, batches):
        assert "attention changes beyond 8 tokens" in why
    else:
        assert_close(transplanted_gaps(model, batches, some), whole, atol=error, rtol=0)


@pytest.mark.parametrize("architecture", ["gpt2", "gemma2"])
def test_clean_prompts_run_once_if_memory_allows(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch, architecture: str
) -> None:
    model, plain = hooked(architecture), transplants._Prompts.of
    runs: list[int] = []

    def count(model: HookedModel, batch: Batch, *given: Any) -> Any:
        runs.append(len(given[0]))
        return plain(model, batch, *given)

    monkeypatch.setattr(transplants._Prompts, "of", count)
    kept = measure(model, task(), Overcoming())
    assert runs.count(12) == len(CONDITIONS), "the check of caches takes two of the 12 items"
    n_once = len(runs)
    runs.clear()
    monkeypatch.setattr(transplants, "KEPT_BYTES", 0)
    assert_close(measure(model, task(), Overcoming()).values, kept.values, atol=1e-12, rtol=0, equal_nan=True)
    assert len(runs) > 2 * n_once


def test_a_transplant_from_the_same_condition_changes_nothing(hooked: Hooked) -> None:
    model = hooked("gpt2")
    batches = {c: batch(encode(task(), model), model, (c,)) for c in (NEUTRAL, ALONE)}
    every = tuple(Site(layer, "z", head) for layer in (0, 1) for head in range(4))
    gaps = transplanted_gaps(model, batches, [Transplant(c, c, every) for c in (NEUTRAL, ALONE)])
    runs = [model.log_probs(b.tokens[0], b.lengths[:1] - 1)[:, 0].gather(1, b.answers) for b in batches.values()]
    assert_close(gaps, torch.stack([run[:, 0] - run[:, 1] for run in runs]), atol=1e-9, rtol=0)


def test_a_task_without_the_conditions_is_refused_in_words(hooked: Hooked) -> None:
    with pytest.raises(
        EncodeError, match="no item of tiny has a prompt under all of neutral, distractor_only, true_only"
    ):
        measure(hooked("gpt2"), tiny.task(), Overcoming())
