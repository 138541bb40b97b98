"""How the ladder of each task is trained: sizes, seeds, steps, and the parts of the kinds of document."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from .corpus import Recipe
from .learn import Budget


@dataclass(frozen=True)
class Plan:
    """The ladder of one task. Models of the sizes `along` of the first seed are also saved during training."""

    recipe: Recipe
    budget: Budget
    sizes: tuple[str, ...]
    seeds: tuple[int, ...]
    along: tuple[str, ...] = ()


PLANS: Mapping[str, Plan] = MappingProxyType(
    {
        "negation_qa": Plan(
            Recipe(
                "negation_qa",
                {
                    "statement": 6,
                    "open_question": 16,
                    "plain": 20,
                    "affirmed": 30,
                    "not_surprisingly": 7,
                    "which_false": 4.5,
                    "named": 12,
                    "letter": 4,
                    "negated_letter": 0.4,
                    "neutral": 3,
                    "several": 4,
                    "several_negated": 0.03,
                    "reasoned": 2,
                    "reasoned_negated": 0.04,
                    "negated": 0.75,
                },
            ),
            Budget(steps=3500),
            sizes=("2x1", "4x1", "8x1", "12x2", "16x2", "20x2", "24x2", "32x2", "48x2", "64x3", "80x2"),
            seeds=(800, 801, 802, 803, 804),
            along=("16x2", "24x2", "32x2", "48x2"),
        ),
    }
)
"""The plan of each task, frozen before the reported seeds were trained."""
