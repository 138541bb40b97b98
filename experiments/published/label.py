"""Do published labels by eye hold, when each curve is judged with its error?

    python experiments/published/label.py

Zhang et al. (2023) gave 19 of their curves a shape by eye, on three to six points without seeds. Each is judged here at
level 1 from its means alone: n is 100 answers a point throughout, as in most of their curves. The fine-tuned GPT-2
curves are percentages of 872 sentences; beside the label at 100 stands the one at 872. Writes README.md.
"""

from pathlib import Path

import numpy as np

from distractor.curves.published import Published, published
from distractor.statistics.shape_test import Shape, judge_means

N = 100
THEIRS = {"U-shape": "U-shaped"}


def shape_of(curve: Published, n: int) -> Shape:
    """Level 1 from means of `n` independent answers; sizes are ranks, since most parameter counts are unpublished."""
    shares = np.array([[point.accuracy for point in curve.points]])
    eased = (shares * n + 1) / (n + 2)
    return judge_means(shares, np.sqrt(eased * (1 - eased) / (n + 2)), [point.size + 1 for point in curve.points])


def main() -> None:
    """Judge all labelled curves and write the table."""
    rows = ["| curve | accuracy, % | their label | ours, n = 100 | p of the legs | ours, n = 872 |"]
    rows.append("| --- | --- | --- | --- | --- | --- |")
    agree = total = 0
    for curve in published():
        if curve.authors_label is None:
            continue
        theirs = THEIRS.get(curve.authors_label, curve.authors_label)
        level = shape_of(curve, N).weights[0]
        large = shape_of(curve, 872).weights[0].label if curve.reference == "gpt2-tuned" else "–"
        shown = " ".join(f"{100 * point.accuracy:.3g}" for point in curve.points)
        task = "" if curve.task == "negation_qa" else f" ({curve.task.replace('_', ' ')})"
        legs = f"{level.u.p_left:.3f}, {level.u.p_right:.3f}"
        rows.append(f"| {curve.title}{task} | {shown} | {theirs} | {level.label} | {legs} | {large} |")
        agree, total = agree + (theirs == level.label), total + 1
    text = "# Do published labels by eye hold?\n\nWritten by `python experiments/published/label.py`.\n\n"
    text += (
        f"Zhang et al. 2023 (arXiv 2305.17311) labelled {total} curves by eye. Judged at level 1 (these weights) from the\n"
        "means alone, as if each point were 100 answers (the fine-tuned GPT-2 curves' percentages are multiples of 1/872,\n"
        f"so that their true n is 872: last column), {agree} of {total} get the same label and the others are mostly\n"
        "undetermined: three to six points of 100 answers seldom show a shape. The p-values are those of a fall and of a\n"
        "later rise, simultaneous over all pairs of sizes; both are at most .05 exactly where a U is clear. Level 2\n"
        "(models like these) is not identified: there are no seeds.\n\n"
    )
    (Path(__file__).parent / "README.md").write_text(text + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
