"""Formats are recorded completely, compare by their effect, and are parsed from names."""

from typing import Any

import pytest

from distractor.errors import TaskError
from distractor.text.format import Format, parse_formats

pytestmark = pytest.mark.quick


def test_settings_without_effect_make_no_other_format() -> None:
    assert Format("generate", kind="mixed", seed=3, inline=True, lead=True).plain() == Format("generate")
    assert Format("cot", shots=1, lead=True).plain() == Format("cot", shots=1)
    assert Format("cot", shots=1, limit=96).plain() == Format("cot", shots=1)
    assert Format("generate", shots=1, seed=3).plain() != Format("generate", shots=1)


def test_formats_are_parsed_from_names_without_repeats() -> None:
    assert parse_formats(["rank:0,generate", "cot:0"]) == (Format(), Format("generate", 1), Format("cot", 0))
    formats = parse_formats(["rank", "generate", "rank"], 2, limit=9)
    assert formats == (Format("rank", 2), Format("generate", 2, limit=9))


@pytest.mark.parametrize("name", ["chain", "rank:", "rank:-1", "rank:two", "", "rank,"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(TaskError, match=r"format|shots"):
        parse_formats([name])


@pytest.mark.parametrize(
    ("settings", "facts"),
    [
        ({"shots": -1}, "-1 shots"),
        ({"limit": 4}, "generate or cot"),
        ({"scoring": "cot", "limit": 0}, "limit of 0 tokens"),
        ({"hint": "a\nb"}, r"hint.*one line"),
    ],
    ids=str,
)
def test_impossible_settings_are_refused(settings: dict[str, Any], facts: str) -> None:
    with pytest.raises(TaskError, match=facts):
        Format(**settings)


def test_every_setting_is_recorded() -> None:
    changed = Format("generate", 2, "mixed", 3, True, True, False, "Mind.", True, 7)
    assert changed.as_dict() == {
        "format": "generate", "shots": 2, "kind": "mixed", "seed": 3, "inline": True, "lead": True, "options": False,
        "hint": "Mind.", "chat": True, "limit": 7,
    }  # fmt: skip
    assert Format().as_dict() == {"format": "rank", "shots": 0}


def test_the_label_gives_every_setting_that_differs_from_the_default() -> None:
    changed = Format("generate", 2, "mixed", 3, True, True, False, "Mind.", True, 7)
    assert changed.label == "generate, 2 mixed shots, inline, lead, hint, chat, no options, seed 3, limit 7"
    assert Format("cot", shots=1).slug == "cot-1-shot"
