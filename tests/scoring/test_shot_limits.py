"""Prompts must fit the model's context, and a format must not show more examples than the model was trained on."""

from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

import tiny
from conftest import Loaded
from distractor.errors import EncodeError, ModelError
from distractor.models.source import Source
from distractor.scoring.encode import encode
from distractor.scoring.shot_limits import caution, refuse_too_many_shots
from distractor.text.format import Format
from distractor.text.format_task import format_task
from distractor.text.task import Condition, Task
from experiments.ladder.corpus import MODULES
from experiments.ladder.document import text_of

pytestmark = pytest.mark.quick


def test_a_prompt_longer_than_the_context_is_refused_with_the_number_of_examples_that_fit(loaded: Loaded) -> None:
    model = loaded("gpt2", "words_bos")
    bare, with_one = (
        len(_row(format_task(tiny.task(), Format(shots=n, inline=True)), replace(model, context=None))) for n in (0, 1)
    )
    more = with_one - bare
    tight = replace(model, context=bare + more)  # one example, and the answer's first token
    encode(format_task(tiny.task(), Format(shots=1, inline=True)), tight)
    with pytest.raises(EncodeError, match=rf"takes {bare + 3 * more}.* has {bare + more}.*1 of the 3 shots") as e:
        encode(format_task(_ungrouped(tiny.task()), Format(shots=3, inline=True)), tight)
    assert "item" in str(e.value)


def test_the_tokens_that_may_be_written_must_fit_too(loaded: Loaded) -> None:
    model = loaded("gpt2", "words_bos")
    bare = len(_row(tiny.task(), model))
    free = format_task(tiny.task(), Format("generate", limit=5))
    encode(free, replace(model, context=bare + 4))
    with pytest.raises(EncodeError, match=rf"5 tokens.* {bare + 4} positions.*has {bare + 3}"):
        encode(free, replace(model, context=bare + 3))


def _row(task: Task, model: Any) -> tuple[int, ...]:
    rows = encode(_ungrouped(task) if task.format == Format() else task, model).rows[Condition.CONFLICT]
    return max((row.prompt for row in rows if row is not None), key=len)


def _ungrouped(task: Task) -> Task:
    """Return the task with each item as its own group, so that it has enough examples."""
    return replace(task, items=tuple(replace(item, group=item.id) for item in task.items))


def test_more_examples_than_in_training_are_refused_with_that_number(tmp_path: Path) -> None:
    counts = {"one": {"shots": 1, "reasoned": 0}, "two": {"shots": 2, "reasoned": 1}}
    source = Source("own", "8x1", tmp_path, shots=counts)
    for form in (Format(), Format(shots=2), Format("generate", 2), Format("cot", 1), Format("cot", 0)):
        refuse_too_many_shots(form, source)
    for form, most in ((Format(shots=3), 2), (Format("generate", 4), 2), (Format("cot", 2), 1)):
        with pytest.raises(ModelError, match=rf"at most {most}.*--format {form.scoring}:{most}"):
            refuse_too_many_shots(form, source)
    assert "documents of one " in str(caution("one", Format(shots=2), source))
    assert caution("two", Format(shots=2), source) is None


def test_other_models_have_no_limit(tmp_path: Path) -> None:
    refuse_too_many_shots(Format(shots=10), Source("own", "x", tmp_path / "a" / "b"))


def test_the_recorded_limits_of_the_embedded_models_match_their_documents() -> None:
    from distractor.models.families import embedded_ladder

    for name, module in MODULES.items():
        rng = Random(name)
        most = {"shots": 0, "reasoned": 0}
        for kind, draw in module.KINDS.items():
            limit = "reasoned" if kind.startswith("reasoned") else "shots"
            for _ in range(150):
                most[limit] = max(most[limit], text_of(draw(rng)).count("\n\n"))
        recorded = embedded_ladder(name)
        if recorded.members[0].seed != 780:  # the joint ladder had other documents
            assert recorded.shots == {name: most}, name
