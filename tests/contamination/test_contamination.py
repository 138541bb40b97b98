"""A model that was trained on the rows is found, one that was trained on others is not, and chance rarely looks like it."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_fresh import bets, questions
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

import tiny
from distractor.contamination.judge import EXCLUDED_LEAD, Judged, change_over_size, judge
from distractor.contamination.measure import RowValues
from distractor.contamination.report import conclusions
from distractor.models.source import NO_FAMILY, Source
from distractor.text.task import Condition, Task
from small_ladder import type_in
from tasks import prize
from tasks.prize.completion import completions
from tasks.prize.fresh import fresh_items

TINY: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
SOURCE = Source(NO_FAMILY, "m", Path("m"), n_params=1)


def values(random: np.random.Generator, rows: int, lead: float = 0.0, *, skewed: bool = False) -> RowValues:
    """Row values of a model that leads by `lead` nats for the order of the rows; two rows are one group."""
    noise = random.standard_t(3, rows) if skewed else 2 * random.standard_normal(rows)
    order = lead + noise * random.choice([-1, 1], rows)
    flat = {Condition.CONFLICT: np.zeros(rows)}
    return RowValues(tuple(f"g{k // 2}" for k in range(rows)), flat, flat, order, np.zeros((2, rows)))


def judged(official: RowValues, fresh: RowValues) -> Judged:
    (found,) = judge([SOURCE], [official], [fresh])
    return found


@pytest.mark.parametrize("skewed", [False, True])
@pytest.mark.parametrize(("rows", "others"), [(40, 40), pytest.param(300, 140, marks=pytest.mark.slow)])
def test_a_model_that_does_not_know_the_rows_is_rarely_said_to(rows: int, others: int, skewed: bool) -> None:
    random = np.random.default_rng(rows)
    found = [judged(values(random, rows, skewed=skewed), values(random, others, skewed=skewed)) for _ in range(200)]
    assert np.mean([each.knows == "yes" for each in found]) <= 0.05


@pytest.mark.slow
def test_a_model_that_knows_the_rows_is_found_and_one_at_the_bound_is_rarely_excluded() -> None:
    random = np.random.default_rng(0)
    known = [judged(values(random, 300, 1.0), values(random, 300)).knows for _ in range(30)]
    assert known.count("yes") >= 27
    at_bound = [judged(values(random, 300, EXCLUDED_LEAD), values(random, 300)).knows for _ in range(200)]
    assert at_bound.count("no") <= 10
    free = [judged(values(random, 300), values(random, 300)).knows for _ in range(30)]
    assert free.count("no") >= 15


def test_a_lead_that_fresh_rows_share_is_no_knowledge() -> None:
    random = np.random.default_rng(0)
    assert judged(values(random, 300, 3.0), values(random, 300, 3.0)).knows != "yes"


def test_of_many_models_that_do_not_know_the_rows_hardly_one_is_said_to() -> None:
    random = np.random.default_rng(0)
    alarms = 0
    for _ in range(20):
        many = [values(random, 100) for _ in range(10)]
        alarms += any(each.knows == "yes" for each in judge([SOURCE] * 10, many, [values(random, 100) for _ in many]))
    assert alarms <= 3


Train = Callable[[Task, str], str]


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Train a tiny model on the rows of a task, to the last word; every model knows the words of all rows."""
    rows = [make(seed=seed) for make in (questions, bets) for seed in (0, 1)]
    every = [*rows, *filter(None, map(fresh_items, rows))]
    words = tiny.words_of(*(text for task in every for text in tiny.texts_of(task)))
    tokenizer = tiny.word_level(words)
    config = partial(LlamaConfig, **TINY, max_position_embeddings=256)

    def trained(task: Task, name: str) -> str:
        folder = tiny.save(tmp_path_factory.mktemp("trained") / name, config, tokenizer, spread=0.0)
        network = AutoModelForCausalLM.from_pretrained(folder)
        texts = [item.prompts[Condition.CONFLICT] + item.true for item in task.items]
        tokens = torch.tensor([tokenizer(text).input_ids for text in texts])
        optimizer = torch.optim.Adam(network.parameters(), 5e-3)
        for _ in range(120):
            loss = network(input_ids=tokens, labels=tokens).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        network.save_pretrained(folder)
        return str(folder)

    return trained


@pytest.fixture
def own_rows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The command reads our own rows as the official ones, and keeps its results in a new folder."""
    rows = {"negation_qa": questions(), "hindsight_neglect": bets()}
    monkeypatch.setattr(prize, "read", lambda task, path: rows[task])
    monkeypatch.setattr(prize, "locate", lambda task, data=None: Path("own"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("own_rows")
@pytest.mark.parametrize(("task", "make"), [("negation_qa", questions), ("hindsight_neglect", bets)])
def test_a_model_trained_on_the_rows_is_found_and_one_trained_on_other_rows_is_not(
    task: str, make: Callable[..., Task], train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    knows, other = train(make(), "knows"), train(make(seed=1), "other")
    assert type_in(("tasks", "contamination", task, "--models", knows, "--models", other, "--json")) == 1
    summary = json.loads(capsys.readouterr().out)
    seen, unseen = summary["models"]
    assert (seen["knows_official_order"], unseen["knows_official_order"] == "yes") == ("yes", False)
    assert seen["order_lead"]["difference"]["low"] > EXCLUDED_LEAD
    assert seen["greedy_next_words"]["official"] > 0.1 > seen["greedy_next_words"]["official_exchanged"]
    if make is questions:  # the bets, in longer texts, are not yet known word by word, and found all the same
        assert seen["greedy_next_words"]["official"] > 0.9
        assert seen["accuracy"]["conflict"]["official"]["mean"] > 0.9
    assert unseen["order_lead"]["official"]["mean"] < seen["order_lead"]["official"]["mean"] / 3
    rows = len(make().items)
    assert (summary["rows"], summary["fresh_rows"], summary["training_data"]) == (rows, rows, None)

    # Alone, the other model ends with 0; the results come from the store.
    assert type_in(("tasks", "contamination", task, "--models", other)) == 0
    shown = capsys.readouterr()
    assert "Ran" not in shown.err
    assert "difference alone is no evidence" in " ".join(shown.out.split())
    assert max(map(len, shown.out.splitlines())) <= 100


@pytest.fixture
def untrained(tmp_path: Path) -> str:
    """A model with random weights that knows the words of all rows in both formats."""
    every = [task for rows in (questions(), bets()) for task in (rows, fresh_items(rows))]
    words = tiny.words_of(*(text for task in every for text in tiny.texts_of(task)))
    config = partial(LlamaConfig, **TINY, max_position_embeddings=512)
    return str(tiny.save(tmp_path / "untrained", config, tiny.word_level(words)))


@pytest.mark.usefixtures("own_rows")
@pytest.mark.parametrize("task", ["negation_qa", "hindsight-neglect"])
def test_an_untrained_model_knows_no_row_and_the_answers_are_compared(
    task: str, untrained: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert type_in(("tasks", "contamination", task, "--items", "12", "--models", untrained, "--json")) == 0
    summary = json.loads(capsys.readouterr().out)
    (model,) = summary["models"]
    assert model["knows_official_order"] != "yes"
    assert (summary["rows"], summary["fresh_rows"], summary["change_over_size"]) == (12, 12, None)
    assert model["constant_answer"] in (None, "A", "B", "Y", "N")
    for quantity in ("accuracy", "gap_of_right_answer"):
        for compared in model[quantity].values():
            one, other, difference = (compared[name]["mean"] for name in ("official", "fresh", "difference"))
            assert difference == pytest.approx(one - other)
            assert compared["difference"]["low"] < difference < compared["difference"]["high"]


@pytest.mark.usefixtures("own_rows")
def test_the_order_lead_is_that_of_the_plain_model(untrained: str, capsys: pytest.CaptureFixture[str]) -> None:
    type_in(("tasks", "contamination", "negation_qa", "--models", untrained, "--json"))
    (model,) = json.loads(capsys.readouterr().out)["models"]
    network = AutoModelForCausalLM.from_pretrained(untrained).eval()
    tokenizer = AutoTokenizer.from_pretrained(untrained)

    def log_prob(text: str) -> float:
        tokens = torch.tensor([tokenizer(text).input_ids])
        return -float(network(input_ids=tokens, labels=tokens).loss) * (tokens.shape[1] - 1)

    after = completions(questions()).items
    with torch.no_grad():
        leads = [
            log_prob(item.prompts[Condition.CONFLICT] + item.true)
            - log_prob(item.prompts[Condition.CONFLICT] + item.distractor)
            for item in after
        ]
    assert model["order_lead"]["official"]["mean"] == pytest.approx(np.mean(leads), abs=1e-4)


@pytest.mark.usefixtures("own_rows")
def test_rows_without_fresh_ones_get_no_label(
    untrained: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prize, "read", lambda task, path: replace(questions(), name=task, official="memo-trap"))
    assert type_in(("tasks", "contamination", "memo_trap", "--models", untrained)) == 0
    assert capsys.readouterr().out == "memo_trap: no label: no fresh items.\n"


def test_tasks_without_an_official_file_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert type_in(("tasks", "contamination", "negation_q", "--models", "none")) == 2
    assert "no official file has a task" in capsys.readouterr().err


def test_a_model_with_one_answer_is_named_and_a_change_over_size_is_told() -> None:
    random = np.random.default_rng(0)
    first, second = ([replace(values(random, 40), constant="A"), values(random, 40)] for _ in range(2))
    second[0] = replace(second[0], accuracy={Condition.CONFLICT: np.ones(40)})
    sources = [SOURCE, replace(SOURCE, model="large", n_params=2)]
    found, change = judge(sources, first, second), change_over_size(sources, first, second)
    assert change is not None
    assert change[2].official.mean == 0
    assert change[2].fresh.mean == -1
    said = list(conclusions(found, change))
    assert "m answers A to almost all rows, so its accuracy shows nothing." in said
    assert said[-1].startswith("From m to large, accuracy in conflict changes by 0.00")
    assert "the difference is 1.00" in said[-1]
