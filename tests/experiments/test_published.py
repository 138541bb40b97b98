"""The committed page of published curves is the present output of its script."""

from experiments.published import pythia


def test_the_page_of_pythia_is_the_output_of_its_script() -> None:
    page = pythia.page()
    assert (pythia.HERE / "pythia.md").read_text(encoding="utf-8") == page
    assert "51 of 64 accuracies are within one item of 137 of 300" in page
    assert "| constant answers | 8 constant answers |" in page
