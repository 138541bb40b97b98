"""The documents of each task, the shares of their kinds, and the stream."""

import hashlib
import math
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from experiments.ladder import corpus
from experiments.ladder.corpus import Recipe, Stream
from experiments.ladder.document import Document, Turn, text_of
from experiments.ladder.plans import PLANS
from experiments.ladder.search import RESERVED, search
from experiments.ladder.vocabulary import BOS, EOS, PAD, UNK, tokenizer_for, words_of
from tasks import TASKS

ROOT = Path(__file__).parents[3]


quick = pytest.mark.quick


def each_plan(**changes: Any) -> list[Recipe]:
    return [replace(plan.recipe, **changes) for plan in PLANS.values()]


@quick
@pytest.mark.parametrize("recipe", each_plan(), ids=lambda recipe: recipe.task)
def test_the_shares_of_a_plan_are_its_parts(recipe: Recipe) -> None:
    module = corpus.MODULES[recipe.task]
    assert recipe.parts.keys() <= module.KINDS.keys()
    assert module.KINDS.keys() >= module.CONFLICT
    shares, agreeing = recipe.shares(), recipe.shares(agreeing=True)
    assert sum(shares.values()) == pytest.approx(1)
    assert sum(agreeing.values()) == pytest.approx(1)
    contrary = recipe.parts.keys() & module.CONFLICT
    assert all(agreeing[kind] == 0 for kind in contrary)
    # Within the kinds in conflict, and within the others, the parts decide.
    others = recipe.parts.keys() - contrary
    for each, kinds in ((shares, contrary), (shares, others), (agreeing, others)):
        ratios = [each[kind] / recipe.parts[kind] for kind in kinds]
        assert max(ratios) == pytest.approx(min(ratios))
    in_conflict = sum(shares[kind] for kind in contrary)
    assert recipe.conflict_rate() == pytest.approx((1 - recipe.agreeing) * in_conflict)
    assert recipe.conflict_rate() < 0.5


@quick
@pytest.mark.parametrize("rate", [0, 0.01, 0.5])
@pytest.mark.parametrize("recipe", each_plan(agreeing=0), ids=lambda recipe: recipe.task)
def test_a_conflict_rate_that_is_set_is_the_share_of_conflict(recipe: Recipe, rate: float) -> None:
    given = replace(recipe, conflict=rate)
    assert sum(given.shares().values()) == pytest.approx(1)
    assert given.conflict_rate() == pytest.approx(rate)
    assert replace(given, agreeing=0.6).conflict_rate() == pytest.approx(0.4 * rate)
    own = replace(recipe, conflict=recipe.conflict_rate())
    assert own.shares() == pytest.approx(recipe.shares())


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> PreTrainedTokenizerFast:
    """A task `letters`, whose documents are their kind and a number: `calm` and `mild` agree, `harsh` is in conflict."""

    def kind(word: str) -> Any:
        return lambda rng: (Turn(f"{word} ", " ".join(str(rng.randrange(10**6)))),)

    module = SimpleNamespace(KINDS={word: kind(word) for word in ("calm", "mild", "harsh")}, CONFLICT={"harsh"})
    monkeypatch.setattr(corpus, "MODULES", {"letters": module})
    return tokenizer_for(["calm", "mild", "harsh", *map(str, range(10))])


def kinds_in(stream: Stream, tokenizer: PreTrainedTokenizerFast) -> np.ndarray:
    return np.array(tokenizer.convert_ids_to_tokens(stream.tokens[:, 1].tolist()))


@quick
@pytest.mark.parametrize(("agreeing", "conflict"), [(0, None), (0.6, None), (0.6, 0.5), (0, 0.02)])
def test_a_stream_has_the_shares_of_its_recipe(
    agreeing: float, conflict: float | None, letters: PreTrainedTokenizerFast
) -> None:
    recipe = Recipe("letters", {"calm": 5, "mild": 3, "harsh": 2}, agreeing, conflict)
    kinds = kinds_in(corpus.draw(recipe, 4000, 1, letters), letters)
    early, late = kinds[: round(4000 * agreeing)], kinds[round(4000 * agreeing) :]
    assert not (early == "harsh").any()
    rate = 0.2 if conflict is None else conflict
    error = 4 * math.sqrt(rate / len(late))
    assert (late == "harsh").mean() == pytest.approx(rate, abs=error)
    assert (kinds == "harsh").mean() == pytest.approx(recipe.conflict_rate(), abs=error)
    for part in (early, late):
        assert not len(part) or (part == "calm").sum() / (part == "mild").sum() == pytest.approx(5 / 3, abs=0.4)


@quick
def test_the_documents_of_a_kind_are_drawn_once_or_from_a_pool(
    letters: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe("letters", {"calm": 9, "mild": 1})
    monkeypatch.setattr(corpus, "POOL", 300)
    drawn = corpus.draw(recipe, 1000, 1, letters)
    kinds = kinds_in(drawn, letters)
    distinct = {kind: len(np.unique(drawn.tokens[kinds == kind], axis=0)) for kind in recipe.parts}
    assert distinct["mild"] == (kinds == "mild").sum()
    assert 250 < distinct["calm"] <= 300 < (kinds == "calm").sum()
    assert (drawn.answered == (drawn.tokens >= 7)).all(), "the digits are the answers"


@quick
def test_a_seed_determines_its_stream(letters: PreTrainedTokenizerFast) -> None:
    recipe = Recipe("letters", {"calm": 9, "harsh": 1})
    one, same, other = (corpus.draw(recipe, 200, seed, letters) for seed in (1, 1, 2))
    assert (one.tokens == same.tokens).all()
    assert (one.answered == same.answered).all()
    first, second = ({row.tobytes() for row in stream.tokens} for stream in (one, other))
    assert len(first) == len(one) == 200
    assert len(first & second) < 5


HASHES = """
import hashlib
from experiments.ladder import corpus
from tasks import TASKS
corpus.POOL, corpus.READ = 600, 300
for task in TASKS:
    tokenizer = corpus.tokenizer_of(task)
    kinds = corpus.MODULES[task].KINDS
    stream = corpus.draw(corpus.Recipe(task, dict.fromkeys(kinds, 1)), 300, 5, tokenizer)
    text = repr(sorted(tokenizer.get_vocab().items())) + repr(sorted(corpus.held_out(task)))
    print(task, hashlib.sha256(text.encode() + stream.tokens.tobytes() + stream.answered.tobytes()).hexdigest())
"""


def test_streams_and_vocabularies_do_not_depend_on_the_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("POOL", "READ"):
        monkeypatch.setattr(corpus, name, None)  # the script sets them
    exec(HASHES, {})
    here = capsys.readouterr().out.split()
    other = "1" if os.environ.get("PYTHONHASHSEED") == "2" else "2"
    done = subprocess.run(
        [sys.executable, "-c", HASHES],
        env={**os.environ, "PYTHONHASHSEED": other},
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stdout.split() == here
    assert here[::2] == list(TASKS)


def every_kind(task: str, count: int, seed: int) -> dict[str, list[Document]]:
    return {
        kind: [write(rng) for rng in [Random(f"{seed}/{kind}")] for _ in range(count)]
        for kind, write in corpus.MODULES[task].KINDS.items()
    }


@pytest.mark.parametrize("task", TASKS)
def test_no_document_contains_a_reserved_prompt_or_an_unknown_word(
    task: str, tokenizers: dict[str, PreTrainedTokenizerFast]
) -> None:
    documents = [document for drawn in every_kind(task, 800, seed=9).values() for document in drawn]
    stream = Stream(*corpus.encode(documents, tokenizers[task]))
    assert not (stream.tokens == UNK).any()
    counts = search(task, stream, tokenizers[task])
    assert counts["evaluation_prompts_found"] == 0
    assert counts["evaluation_prompts"] > 3 * len(TASKS[task]().items)
    assert counts["documents"] == len(documents) > counts["distinct_documents"] > 0.7 * len(documents)
    assert counts["sha256"] == hashlib.sha256(stream.tokens.tobytes()).hexdigest()


@pytest.mark.parametrize("task", TASKS)
def test_each_planted_prompt_is_found_wherever_it_is(task: str, tokenizers: dict[str, PreTrainedTokenizerFast]) -> None:
    items = TASKS[task]().items
    prompts = sorted({text for item in items for condition in RESERVED for text in item.wordings(condition)})
    encoded = tokenizers[task](prompts, add_special_tokens=False)["input_ids"]
    assert len({tuple(ids) for ids in encoded}) == len(prompts)

    def plant(rows: list[list[int]]) -> Stream:
        tokens = np.full((len(rows), corpus.LONGEST), PAD, dtype=np.uint16)
        for number, row in enumerate(rows):
            start = number % 7 if number % 2 else corpus.LONGEST - len(row)
            tokens[number, start : start + len(row)] = row
        return Stream(tokens, np.zeros(tokens.shape, dtype=bool))

    with pytest.raises(ValueError, match=rf"'evaluation_prompts_found': {len(prompts)}\b"):
        search(task, plant(encoded), tokenizers[task])
    for row in encoded[:: len(encoded) // 3]:
        with pytest.raises(ValueError, match=r"'evaluation_prompts_found': 1\b"):
            search(task, plant([row]), tokenizers[task])
    assert search(task, plant([ids[1:] for ids in encoded]), tokenizers[task])["evaluation_prompts_found"] == 0


@pytest.mark.parametrize("task", TASKS)
def test_documents_are_encoded_like_their_text(task: str, tokenizers: dict[str, PreTrainedTokenizerFast]) -> None:
    tokenizer = tokenizers[task]
    for document in (document for drawn in every_kind(task, 20, seed=3).values() for document in drawn):
        (ids,), (answered,) = corpus.encode([document], tokenizer)
        assert len(ids) == corpus.LONGEST
        expected = [*tokenizer(text_of(document))["input_ids"], EOS]
        assert ids.tolist() == expected + [PAD] * (corpus.LONGEST - len(expected))
        answers = "".join(turn.answer for turn in document)
        assert ids[answered].tolist() == tokenizer(answers, add_special_tokens=False)["input_ids"]


@quick
def test_a_document_that_is_too_long_is_refused() -> None:
    tokenizer = tokenizer_for(["a"])
    fits, too_long = ((Turn("a " * length),) for length in (corpus.LONGEST - 2, corpus.LONGEST - 1))
    tokens, _ = corpus.encode([fits], tokenizer)
    assert tokens[0, -1] == EOS
    with pytest.raises(ValueError, match=f"{corpus.LONGEST + 1} tokens, more than {corpus.LONGEST}"):
        corpus.encode([too_long], tokenizer)


@pytest.mark.parametrize("task", TASKS)
def test_each_word_of_an_item_is_one_known_token(task: str, tokenizers: dict[str, PreTrainedTokenizerFast]) -> None:
    tokenizer, items = tokenizers[task], TASKS[task]().items
    texts = sorted({text for item in items for c in item.prompts for text in (*item.wordings(c), *item.answers)})
    for text, ids in zip(texts, tokenizer(texts)["input_ids"], strict=True):
        words = re.findall(r"\n|[^\W\d_]+|\d+(?= percent| dollars)|\d|[^\w\s]", text)
        assert ["<bos>", *words] == tokenizer.convert_ids_to_tokens(ids)
    answers = sorted({answer for item in items for answer in item.answers})
    assert all(len(ids) == 1 for ids in tokenizer(answers, add_special_tokens=False)["input_ids"])
    assert sorted(tokenizer.get_vocab().values()) == list(range(len(tokenizer)))


@pytest.mark.parametrize("task", TASKS)
def test_reasons_of_items_have_no_unknown_word(task: str, tokenizers: dict[str, PreTrainedTokenizerFast]) -> None:
    texts = sorted({reason for item in TASKS[task]().items for reason in item.reasons.values()})
    assert texts
    assert not any(UNK in ids for ids in tokenizers[task](texts)["input_ids"])


@quick
def test_a_sum_of_money_is_one_token_and_other_digits_are_apart() -> None:
    text = "Ben bets 250 dollars, or 10 percent; 37 ÷ 5.\nA"
    words = words_of([text])
    assert {"250", "10", "3", "7", "5"} <= set(words)
    assert not {"37", "2"} & set(words)
    tokenizer = tokenizer_for(words)
    shown = tokenizer.convert_ids_to_tokens(tokenizer(text)["input_ids"])
    assert "|".join(shown) == "<bos>|Ben|bets|250|dollars|,|or|10|percent|;|3|7|÷|5|.|\n|A"
    assert tokenizer("Carl")["input_ids"] == [BOS, UNK]
