"""Names that users give are safe to print, and different names give different files."""

from itertools import combinations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from distractor.names import file_name, printable, readable

pytestmark = pytest.mark.quick

PARTS = st.lists(st.text("aB/-.@0ü\n", min_size=1, max_size=6), min_size=2, max_size=2)


@given(PARTS, PARTS)
@example(["ablation", "x/a-b"], ["ablation", "x-a/b"])
@example(["a/b", "c"], ["a", "b/c"])
@example(["a-b", "c"], ["a", "b-c"])
@example(["a.b", "c"], ["a/b", "c"])
@example(["a", "M"], ["a", "m"])
@example(["a", "x" * 300], ["a", "x" * 301])
def test_different_parts_give_different_files_also_without_case(one: list[str], other: list[str]) -> None:
    first, second = file_name(*one), file_name(*other)
    assert (first.lower() == second.lower()) == (one == other)


@given(st.lists(st.text(min_size=1), min_size=1))
def test_a_file_name_fits_every_file_system(parts: list[str]) -> None:
    for name in (file_name(*parts), readable("-".join(parts))):
        assert name.isascii()
        assert name.isprintable()
        assert len(name) < 150
        assert not set(name) & set('/\\:*?"<>| ')


def test_names_of_the_embedded_models_have_no_hash() -> None:
    kinds = ["ablation", "activation_patching/distractor_swapped", "waterfall", "waterfall_of_one_item"]
    names = ("ladder/negation_qa/8x1/seed0", "ladder/hindsight_neglect/112x2/seed804@3062", "large")
    made = [file_name(kind, model) for kind in kinds for model in names]
    assert made[:2] == ["ablation-ladder-negation_qa-8x1-seed0", "ablation-ladder-hindsight_neglect-112x2-seed804@3062"]
    assert all(len(name) < 85 for name in made)
    assert all(a != b for a, b in combinations(made, 2))


def test_only_what_prints_is_printed() -> None:
    assert printable("a\x1b[31m\tb\r\u202e\udcff\x00é – 中\n") == "a�[31m�b����é – 中\n"
