"""Published curves share the axes of a user's curve only if quantity, axis, items and prompt format agree."""

import itertools

import pytest

from distractor.published.curves import find_published, published
from distractor.published.label import CONSTANT, caveats, constant_share, label
from distractor.published.placement import OwnCurve, References
from distractor.published.tables import bibtex_keys, numbers, page_table, published_table
from distractor.runs.page.references import REFERENCES
from distractor.text.format import Format
from shown import check_widths, printed

OFFICIAL = OwnCurve(condition="conflict", form=Format(), items="official", n_items=300)
NAMES = ["pythia", "opt", "gpt3", "palm"]


@pytest.mark.quick
def test_curves_that_agree_share_the_axes_and_all_others_have_panels_with_a_reason() -> None:
    found = References(OFFICIAL, find_published("neqa", ["pythia", "opt", "gpt3"]))
    assert {curve.reference for curve in found.same} == {"pythia", "opt"}
    (panel,) = found.panels
    assert panel.why == (
        "Apart from your curve: the sizes of these models are unpublished; these have another prompt format than yours "
        "(rank)."
    )
    assert found.sentences[0].startswith("On your axes, because quantity and prompt format agree")
    assert [each["apart"] for each in found.as_dict()] == [None, None, None, panel.why, panel.why, panel.why]


@pytest.mark.quick
@pytest.mark.parametrize(
    ("own", "reason"),
    [
        (OwnCurve("logit_gap", form=Format(), items="official"), "these are accuracies, yours is logit gap (nats)"),
        (OwnCurve(axis="step", form=Format(), items="official"), "these are over parameters"),
        (OwnCurve(form=Format(), items="changed"), "a rule changed your prompts"),
        (OwnCurve(form=Format(), items="other"), "your items are not the prize's"),
        (OwnCurve(form=Format(chat=True), items="official"), "your prompt format is rank, chat"),
        (OwnCurve(form=Format("cot", 1), items="official"), "your prompt format is cot, 1 shot"),
        (OwnCurve(condition="true_only", form=Format(), items="official"), "your condition is true_only"),
    ],
)
def test_a_curve_that_differs_in_one_thing_is_apart_and_the_reason_names_it(own: OwnCurve, reason: str) -> None:
    found = References(own, find_published("neqa", ["opt"]))
    assert found.same == ()
    assert [panel.why.startswith(f"Apart from your curve: {reason}") for panel in found.panels] == [True]


@pytest.mark.quick
def test_an_earlier_file_is_another_one() -> None:
    """OPT was scored on the files of round 1, which for two tasks are not those of the release."""
    for task, rows in {"redefine_math": "900", "quote_repetition": "300"}.items():
        found = References(OFFICIAL, find_published(task, ["opt"]))
        assert found.same == ()
        assert f"these are over the {rows}-row file of round 1" in found.panels[0].why


@pytest.mark.quick
def test_fewer_items_than_published_are_named() -> None:
    curves = find_published("neqa", ["pythia"])
    assert References(OFFICIAL, curves).fewer == ""
    own = OwnCurve(form=Format(), items="official", n_items=40)
    assert References(own, curves).fewer == "Published accuracies are over 300 items, yours over 40."


@pytest.mark.quick
def test_constant_responders_are_named_and_no_others() -> None:
    """137 of 300 is the share of one answer, in all curves of Pythia on NeQA; no other published curve is like that."""
    constant = [curve for curve in published() if constant_share(curve)]
    assert {(curve.task, curve.reference) for curve in constant} == {("negation_qa", "pythia")}
    assert len(constant) == 9
    assert {constant_share(curve)[0] for curve in constant} == {137}  # type: ignore[index]
    assert {label(curve) for curve in constant} == {CONSTANT}
    (sizes,) = find_published("neqa", ["pythia"])
    assert "6 of 8 accuracies are within one item of 137 of 300" in next(caveats(sizes))
    assert "not a flat curve" in next(caveats(sizes))


@pytest.mark.quick
def test_few_points_or_unknown_errors_have_no_label() -> None:
    palm, *_ = find_published("quote_repetition", ["palm"])
    bot, harness = find_published("negation_qa", ["opt"])
    assert [label(palm), label(harness), label(bot)] == [None, None, "undetermined"]


def test_the_table_has_each_number_its_caveat_and_its_source_at_every_width() -> None:
    tasks = {"neqa": ["pythia", "opt", "gpt3"], "memo_trap": ["pythia"], "quote_repetition": ["opt", "palm", "pythia"]}
    for (task, names), axis in itertools.product(tasks.items(), ("parameters", "step")):
        found = References(OFFICIAL, find_published(task, names, axis))
        check_widths(lambda found=found: [published_table(found)])  # type: ignore[misc]
        text = " ".join(printed([published_table(found)]).split())
        rows = page_table(found).rows
        for curve, row in zip(found.curves, rows, strict=True):
            assert curve.source in text
            assert all(number in text for number in numbers(curve))
            assert all(caveat in text for caveat in caveats(curve))
            for caveat in caveats(curve):
                assert caveat[1:] in str(row[5])
            assert row[6] == curve.source


@pytest.mark.quick
def test_every_paper_can_be_cited() -> None:
    keys = bibtex_keys(published())
    assert set(keys) == {"michaelov2023", "zhang2023", "wei2022"}
    assert set(keys) <= set(REFERENCES)
