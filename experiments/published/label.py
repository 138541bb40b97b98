"""Do published labels of curves hold if each curve is judged with its error?

    python -m experiments.published.label

Zhang et al. (2023) labelled 19 of their curves by eye, from three to six points without seeds. This script judges each
curve at level 1 from its means alone. Each point counts as 100 answers, as in most of their curves. The curves of
fine-tuned GPT-2 are percentages of 872 sentences and are also judged with n = 872. Writes README.md.
"""

from pathlib import Path

import numpy as np

from distractor.published.curves import Published, published
from distractor.published.label import label
from distractor.statistics.shape_test import Shape, judge_means
from experiments.markdown import markdown_table

N, N_TUNED = 100, 872
OTHERS = ["task", "curve", "accuracy, %", "our label"]
OUR_NAMES = {"U-shape": "U-shaped"}

PAGE = """# Do published labels of curves hold if each curve is judged with its error?

Written by `python -m experiments.published.label`.

Zhang et al. 2023 (arXiv 2305.17311) labelled {total} curves by eye. Here each curve is judged at level 1 (these weights) from
its means alone, with {n} answers per point. The curves of fine-tuned GPT-2 are multiples of 1/{n_tuned} and are also judged
with n = {n_tuned} (last column).

**Answer.** {agree} of {total} curves get the same label. Most others are undetermined: three to six points of {n} answers
seldom show a shape. The p-values test a fall and a later rise, simultaneously over all pairs of sizes. Both are at most .05
exactly if a U is clear. Level 2 (models like these) is not identified, because there are no seeds.

{table}

These published curves of at least three points have no label of their authors. OPT was scored by the Hub evaluation bot;
the others are of the same paper. The labels of Pythia are on [another page](pythia.md).

{others}
"""


def judge(curve: Published, n: int) -> Shape:
    """Level 1 from means of `n` independent answers; sizes are ranks, because most parameter counts are unpublished."""
    shares = np.array([[point.accuracy for point in curve.points]])
    smoothed = (shares * n + 1) / (n + 2)
    return judge_means(shares, np.sqrt(smoothed * (1 - smoothed) / (n + 2)), [point.size + 1 for point in curve.points])


def _percent(curve: Published) -> str:
    return " ".join(f"{100 * point.accuracy:.3g}" for point in curve.points)


def main() -> None:
    """Judge all labelled curves and write the page."""
    rows, agree = [], 0
    for curve in published():
        if curve.authors_label is None:
            continue
        theirs = OUR_NAMES.get(curve.authors_label, curve.authors_label)
        ours = judge(curve, N).weights[0]
        with_872 = judge(curve, N_TUNED).weights[0].label if curve.reference == "gpt2-tuned" else "–"
        accuracy = _percent(curve)
        task = "" if curve.task == "negation_qa" else f" ({curve.task.replace('_', ' ')})"
        p_values = f"{ours.u.p_left:.3f}, {ours.u.p_right:.3f}"
        rows.append([f"{curve.title}{task}", accuracy, theirs, ours.label, p_values, with_872])
        agree += theirs == ours.label
    others = [
        [f"`{curve.task}`", curve.legend, _percent(curve), str(label(curve))]
        for curve in published()
        if curve.authors_label is None and curve.reference != "pythia" and label(curve)
    ]
    head = ["curve", "accuracy, %", "their label", f"ours, n = {N}", "p of fall, rise", f"ours, n = {N_TUNED}"]
    tables = {"table": markdown_table(head, rows), "others": markdown_table(OTHERS, others)}
    page = PAGE.format(total=len(rows), agree=agree, n=N, n_tuned=N_TUNED, **tables)
    (Path(__file__).parent / "README.md").write_text(page)


if __name__ == "__main__":
    main()
