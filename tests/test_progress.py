"""What a command did is told at its end: what it computed, and what it was spared."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import small_ladder
import tiny
from conftest import Loaded
from distractor.models import families
from distractor.models.model import Model
from distractor.probing.patching_map import PatchingMap
from distractor.probing.run import batch, observe
from distractor.progress import Work, computed, computing, counted, from_disk, passed, remark
from distractor.scoring.encode import encode
from distractor.text.task import Condition
from small_ladder import COMMAND, type_in


def test_passes_are_counted_with_their_tokens_and_time() -> None:
    passed(5)  # nobody counts
    with counted() as work:
        with computing() as inner:
            passed(100)
            passed(20)
            remark("Slowly.")
            remark("Slowly.")
        passed(3)
        from_disk(7)
        from_disk(0)
    assert (inner.passes, inner.tokens) == (2, 120)
    assert (work.passes, work.tokens, work.from_disk, work.saved) == (3, 123, 2, 7)
    assert 0 < work.seconds == inner.seconds
    assert work.sentences[1:] == ["2 results were on disk, which saved 7 forward passes.", "Slowly."]
    assert Work().sentences == []


def test_what_a_command_computed_itself_was_not_spared_and_what_it_had_twice_was_spared_once() -> None:
    computed("nobody counts")
    with counted() as work:
        computed("new")
        for name in ("new", "old", "old"):
            from_disk(7, name)
    assert (work.from_disk, work.saved) == (1, 7)


def test_every_way_through_a_model_is_counted(loaded: Loaded) -> None:
    model = loaded("gpt2")
    tokens = torch.arange(12).reshape(2, 6)
    with counted() as work:
        model.log_probs(tokens, torch.tensor([5]))
        model.next_logits(tokens, None)
        model.run_layers(tokens, model.make_cache())
    assert (work.passes, work.tokens) == (3, 36)


def test_a_model_that_cannot_be_cut_is_told_of(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    model = loaded("gpt2")
    run = observe(model, batch(encode(tiny.task(), model), model, (Condition.CONFLICT, Condition.CONGRUENT)))

    def refuse(self: Model, mask: Any) -> Any:
        raise TypeError("no masks here")

    monkeypatch.setattr(Model, "_masks", refuse)
    cells = PatchingMap.of(run, ("resid_pre",))
    with counted() as work:
        cells.exact(cells.nodes[:1])
    (told,) = work.remarks
    assert told.endswith("every exchange took a whole pass, for the model cannot be cut (TypeError: no masks here).")


def test_the_commands_say_what_they_did_and_what_they_were_spared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(families, "LADDER", small_ladder.make(tmp_path / "ladder"))
    monkeypatch.chdir(tmp_path)
    attribute = ["attribute", "--task", COMMAND[2], "--models", "ladder", "--probe", "logit_lens", "--items", "8"]
    compare = ["compare", "ladder/4x1", "ladder/8x1", "--task", COMMAND[2], "--probe", "ablation", "--items", "10"]
    for command in ([*COMMAND, "--json"], [*attribute, "--json", "--threads", "1"], [*compare, "--json"]):
        told = []
        for _ in range(2):
            assert type_in([*command, "--device", "cpu"]) == 0
            told.append(capsys.readouterr().err.strip().splitlines()[-1])
        first = re.fullmatch(
            r".*?([\d,]+) forward passes, [\d,]+ tokens in [\d.]+ s: [\d,]+ tokens a second\.", told[0]
        )
        again = re.fullmatch(r"[\d,]+ results were on disk, which saved ([\d,]+) forward passes\.", told[1])
        assert first, told
        assert again, told
        assert again[1] == first[1], command
