"""Tables as the card, the log and the doses show them."""

from collections.abc import Iterable, Sequence


def in_a_table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Heads and lines, a cell each, in Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *lines)) + "\n"
