"""How an attribution was measured, in a paragraph to quote with the numbers of the run, and its references."""

from collections.abc import Iterator, Sequence

from distractor.probing.probe_results import ProbeResults
from distractor.statistics.overcoming import NEAR_0, NEGATIVE, POSITIVE
from distractor.text.task import Condition

PROBES: dict[str, tuple[str, tuple[str, ...]]] = {
    "overcoming": (
        "How the distractor is overcome was measured by transplants at the answer slot: a head or MLP of the neutral prompt "
        "takes its value from the same item under another condition, and the logit gap moves by w. Sites of the distractor's "
        "task alone were chosen jointly by w in distractor_only. ω is their w in conflict as a share of that in "
        "distractor_only, κ the same for knock-outs in place. Both intervals must lie between "
        f"{POSITIVE[0]} and {POSITIVE[1]} for override, between {NEAR_0[0]} and {NEAR_0[1]} for suppression at the source; "
        f"κ below {NEGATIVE} is inversion.",
        ("wang2022",),
    ),
    "head_patching": (
        "Outputs of heads and MLPs and attention patterns were exchanged between the conflict prompt and the aligned prompts "
        "of the same item, in both directions (activation patching).",
        ("wang2022", "heimersheim2024"),
    ),
    "activation_patching": (
        "Activations were exchanged between the conflict prompt and the aligned prompts of the same item, by role, in both "
        "directions (activation patching).",
        ("wang2022", "heimersheim2024"),
    ),
    "attribution_patching": ("Effects of activation patching were also estimated by gradients.", ("kramar2024",)),
    "head_attribution_patching": ("Effects of patched heads were also estimated by gradients.", ("kramar2024",)),
    "path_patching": ("Paths were patched one at a time.", ("wang2022", "goldowsky2023")),
    "ablation": ("Each head and MLP was replaced by its mean over items of other groups.", ("chan2022",)),
    "ablation_zero": ("Each head and MLP was replaced by zero.", ()),
    "ablation_resample": ("Each head and MLP was replaced by its value on other items.", ("chan2022",)),
    "compensation": ("How later layers make up for a knocked-out component was measured.", ("mcgrath2023",)),
    "direct_attribution": ("The logit gap was split exactly into what each component writes.", ("elhage2021",)),
    "logit_lens": ("The logit lens reads the gap that the model would show if it stopped after a layer.",
                   ("nostalgebraist2020",)),
    "attention": ("Attention is the share that each head gives from the answer slot to each part of the prompt.", ()),
    "read_out": ("The gap was split into the length and direction of the residual stream and of the read-out.", ()),
}  # fmt: skip
"""Built-in probes: how they measure, and whom to cite."""


def method(results: ProbeResults, answer: Sequence[str]) -> str:
    """The paragraph; it ends with the sentences of the answer."""
    return " ".join((*_sentences(results), *answer))


def references(results: ProbeResults) -> tuple[str, ...]:
    """The names of all works to cite (`REFERENCES`)."""
    cited = [name for probe in _known(results) for name in PROBES[probe][1]]
    screened = ["kramar2024"] if _screening(results) else []
    return tuple(dict.fromkeys(("wei2022", *cited, *screened, "benjamini1995", "transformerlens", "distractor")))


def _sentences(results: ProbeResults) -> Iterator[str]:
    task, sizes = results.task, [source.n_params or 0 for source in results.sources]
    span = f"{min(sizes):,} to {max(sizes):,} parameters" if len(set(sizes)) > 1 else f"{sizes[0]:,} parameters"
    models = f"{len(sizes)} models of {span}" if len(sizes) > 1 else f"{results.sources[0].name} ({span})"
    yield (
        f"We probed {models} in {results.settings.dtype} on {int(results.complete.sum()):,} items of {task.name} "
        f"({results.n_groups:,} groups), under the conditions {', '.join(task.conditions)}. The logit gap is log p(true "
        "answer) − log p(distractor's answer), each the sum of the answer's tokens after the prompt."
    )
    if Condition.CONGRUENT in task.conditions:
        yield "The true pull T is half of gap(conflict) − gap(congruent)."
    yield from (PROBES[probe][0] for probe in _known(results))
    if screened := _screening(results):
        yield f"Where a model has many sites, attribution patching chose which to measure: {screened}."
    yield (
        "Sites were chosen on half of the item groups and measured on the other half. Intervals are 95 % over item groups, "
        "p-values are by sign flips over groups, and sites of a map are marked at 5 % false discoveries."
    )
    if any(random for strength in results.strengths for random in strength.random):
        yield "The sites of each task were knocked out together, beside random sets of as many other heads and MLPs."


def _known(results: ProbeResults) -> list[str]:
    """The built-in probes that were read, each once."""
    named = (name.partition("/")[0].partition(":")[0] for name in results.readings)
    return [name for name in dict.fromkeys(named) if name in PROBES]


def _screening(results: ProbeResults) -> str:
    """What the first screened reading measured; empty if no model was screened."""
    attributes = (one.data.attrs for of_probe in results.readings.values() for one in of_probe)
    return next((str(one["screening"]["sentence"]) for one in attributes if "screening" in one), "")
