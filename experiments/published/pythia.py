"""Which shapes have the published curves of Pythia over size and over training?

    python -m experiments.published.pythia

Judges each curve of Michaelov and Bergen (2023) at level 1 from its means and standard errors, with the rule and δ of
`distractor shape`, beside the authors' own tests. Writes pythia.md.
"""

from collections import Counter
from pathlib import Path

from distractor.published.curves import published
from distractor.published.label import label
from experiments.markdown import markdown_table

HERE = Path(__file__).parent

TESTS = {
    "truthfulqa_mc1": ("−10.90 (< .001)", "−11.45 (< .001)", "−2.97 (.010)"),
    "truthfulqa_mc2": ("−24.72 (< .001)", "−23.89 (< .001)", "−12.02 (< .001)"),
    "hindsight_neglect": ("−4.22 (< .001)", "−4.69 (< .001)", "−2.88 (.012)"),
    "memo_trap": ("−10.05 (< .001)", "−11.34 (< .001)", "−9.71 (< .001)"),
    "pattern_matching": ("−3.20 (.005)", "−9.58 (< .001)", "−6.37 (< .001)"),
    "negation_qa": ("0.79 (.559)", "−0.08 (.963)", "2.45 (.034)"),
    "into_the_unknown": ("−0.31 (.824)", "2.04 (.079)", "0.02 (.986)"),
    "modus_tollens": ("−0.16 (.927)", "−2.13 (.071)", "−1.50 (.208)"),
    "redefine_math": ("0.60 (.645)", "−0.79 (.559)", "−1.53 (.205)"),
    "repetitive_algebra": ("−0.49 (.706)", "−2.11 (.071)", "−1.00 (.443)"),
    "quote_repetition": ("5.13 (< .001)", "5.63 (< .001)", "−1.89 (.104)"),
    "sig_figs": ("−0.59 (.645)", "−0.74 (.574)", "−1.46 (.215)"),
}
"""The authors' regression of accuracy on log parameters, log tokens and their product, over all 64 means of a task: t(60) and
the p-value at 5 % false discoveries (their file statistical_analysis/statistical_tests.tsv, MIT)."""

PAGE = """# The published curves of Pythia, judged

Written by `python -m experiments.published.pythia`.

Michaelov and Bergen (2023, arXiv 2305.14681) scored Pythia 70M to 12B at eight training steps on ten tasks of the Inverse
Scaling Prize and on TruthfulQA, zero-shot, by ranking the classes. `distractor shape --reference pythia` draws these curves
under yours. Here each is judged at level 1 (these weights) from its means and standard errors, with δ = .05 and the rule of
`distractor shape`, unchanged. The errors of the sizes are taken as independent, which makes bounds wide.

**The labels were fixed before the comparison.** The rule and δ (`distractor/statistics/shape_test.py`) last changed on
29 November 2026. The numbers entered this repository on 1 December 2026. No label was chosen by hand, and the authors' tests
are no input to one. The label "constant answers" follows from the accuracies alone (`distractor/published/label.py`): most of
them are within one item of one share. That rule was written after we had seen NeQA, and it fits no other published curve.

**Answer.** Of the {total} curves over size at the last step, {over_size}.
The authors tested trends, by a regression over sizes and steps together. It has no turn, so the two say different things.

{table}

Our label of each size over training:

{training}

- *over size*: the label over the eight sizes at step 143,000. *over training*: the labels of the eight sizes over the eight
  steps.
- *t* of their regression for log parameters, log training tokens and the product, with p-values corrected for false
  discoveries.
- **NeQA is no flat curve**: {constant} of 64 accuracies are within one item of 137 of 300, the share of one answer. The
  models give the same answer throughout, so neither label nor test says anything about negation.
- There is one seed of each size, so nothing is known about models like these (level 2).
- The authors' loader cut classes at apostrophes. So some rows of Memo Trap and Resisting Correction (`quote_repetition`) were
  scored otherwise than in the prize.
"""


def page() -> str:
    """The page: every curve judged."""
    curves = [curve for curve in published() if curve.reference == "pythia"]
    rows, by_size, labels = [], list[list[str]](), Counter[str | None]()
    for task, tests in TESTS.items():
        (over_size,) = (curve for curve in curves if curve.task == task and curve.axis == "parameters")
        of_steps = [curve for curve in curves if curve.task == task and curve.axis == "step"]
        over_steps = Counter(map(label, of_steps))
        by_size.append([f"`{task}`", *(str(label(curve)) for curve in of_steps)])
        labels[label(over_size)] += 1
        accuracy = " ".join(f"{100 * point.accuracy:.0f}" for point in over_size.points)
        training = ", ".join(f"{count} {name}" for name, count in over_steps.most_common())
        rows.append([f"`{task}`", accuracy, str(label(over_size)), training, *tests])
    of_neqa = [curve for curve in curves if curve.task == "negation_qa" and curve.axis == "step"]
    accuracies = [point.accuracy for curve in of_neqa for point in curve.points]
    head = ["task", "accuracy at the last step, %", "over size", "over training", "t: size", "t: tokens", "t: both"]
    return PAGE.format(
        total=len(rows),
        over_size=", ".join(f"{count} {'are' if count > 1 else 'is'} {name}" for name, count in labels.most_common()),
        table=markdown_table(head, rows),
        training=markdown_table(["task", *(curve.series.removeprefix("Pythia ") for curve in of_steps)], by_size),
        constant=sum(abs(300 * accuracy - 137) < 1.5 for accuracy in accuracies),
    )


if __name__ == "__main__":
    (HERE / "pythia.md").write_text(page(), encoding="utf-8")
