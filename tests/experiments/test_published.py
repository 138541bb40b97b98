"""The committed page of published curves is the present output of its script."""

from distractor.published.curves import published
from distractor.published.label import label
from experiments.published import pythia


def test_the_page_of_pythia_is_the_output_of_its_script() -> None:
    page = pythia.page()
    assert (pythia.HERE / "pythia.md").read_text(encoding="utf-8") == page
    assert "51 of 64 accuracies are within one item of 137 of 300" in page
    assert "| constant answers | 8 constant answers |" in page


def test_the_page_says_that_labels_were_fixed_before_and_has_each_of_them() -> None:
    page = (pythia.HERE / "pythia.md").read_text(encoding="utf-8")
    assert "**The labels were fixed before the comparison.**" in page
    for curve in published():
        if curve.reference == "pythia":
            (row,) = (
                line for line in page.splitlines() if line.startswith(f"| `{curve.task}` |") and line.count("|") == 10
            )
            assert str(label(curve)) in row
    readme = (pythia.HERE / "README.md").read_text(encoding="utf-8")
    for curve in published():
        if curve.reference != "pythia" and curve.authors_label is None and label(curve):
            assert f"| `{curve.task}` | {curve.legend} |" in readme
