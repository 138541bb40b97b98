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
                    "open_question": 20,
                    "plain": 20,
                    "affirmed": 30,
                    "not_surprisingly": 7,
                    "which_false": 4.5,
                    "named": 14,
                    "letter": 4,
                    "negated_letter": 0.4,
                    "neutral": 3,
                    "several": 4,
                    "several_negated": 0.02,
                    "reasoned": 2,
                    "reasoned_negated": 0.02,
                    "negated": 0.18,
                },
                agreeing=0.8,
            ),
            Budget(steps=4500),
            sizes=("2x1", "4x1", "8x1", "12x2", "16x2", "20x2", "24x2", "32x2", "40x2", "48x3"),
            seeds=(805, 806, 807, 808, 809),
            along=("16x2", "24x2", "32x2", "40x2"),
        ),
        "hindsight_neglect": Plan(
            Recipe(
                "hindsight_neglect",
                {
                    "agreeing": 48,
                    "earning": 8,
                    "outcome_alone": 4,
                    "open_bet": 80,
                    "neutral": 3,
                    "several": 3,
                    "several_conflict": 0.45,
                    "reasoned": 2,
                    "reasoned_conflict": 0.13,
                    "conflict": 4,
                },
                agreeing=0.5,
            ),
            Budget(steps=2400),
            sizes=("2x1", "4x1", "8x1", "12x1", "16x1", "16x2", "24x2", "32x2", "40x2", "48x3"),
            seeds=(815, 816, 817, 818, 819),
        ),
        "quote_repetition": Plan(
            Recipe(
                "quote_repetition",
                {
                    "famous": 30,
                    "agreeing": 13,
                    "unfamiliar": 10,
                    "jumbled": 14,
                    "neutral": 6,
                    "several": 5,
                    "several_altered": 1.2,
                    "reasoned": 3,
                    "reasoned_altered": 0.5,
                    "altered": 12,
                },
            ),
            Budget(steps=3000),
            sizes=("2x1", "4x1", "8x1", "12x1", "16x1", "16x2", "20x2", "24x2", "32x2", "40x2", "48x3"),
            seeds=(825, 826, 827, 828, 829),
            along=("12x1", "16x2", "24x2", "40x2"),
        ),
        "redefine_math": Plan(
            Recipe(
                "redefine_math",
                {
                    "plain": 42,
                    "digit": 12,
                    "agreeing": 10,
                    "unrelated": 8,
                    "made_up": 36,
                    "neutral": 4,
                    "several": 3,
                    "several_redefined": 0.35,
                    "reasoned": 2,
                    "reasoned_redefined": 0.2,
                    "redefined": 4.3,
                },
                agreeing=0.4,
            ),
            Budget(steps=6000),
            sizes=("2x1", "4x1", "8x1", "16x1", "24x1", "32x1", "40x1", "32x2", "40x2", "48x3"),
            seeds=(840, 841, 842, 843, 844),
        ),
    }
)
"""The plan of each task, fixed before its reported seeds were trained."""
