"""What the result on a page is evidence for, by whose models it is about."""

from collections.abc import Sequence

from distractor.models.source import Source

EMBEDDED = (
    "The embedded models are a positive control: their training text was chosen so that a rise and fall can arise. The "
    "result shows what the instrument finds in them. It is no evidence about pretrained models."
)
BY_LEVEL = {
    None: (
        "These numbers describe these weights on these items. They are no evidence for or against the hypothesis, which is "
        "about a curve over size."
    ),
    1: (
        "It is evidence about these weights alone. Without three seeds of each size, nothing is known about other models of "
        "the same training."
    ),
    2: "It is evidence about models like these: other seeds of the same training, on such items.",
}


def evidence(sources: Sequence[Source], level: int | None) -> str:
    """What a result at a level of inference is evidence for. `level` is None if nothing over size was judged."""
    return EMBEDDED if all(source.is_embedded for source in sources) else BY_LEVEL[level]
