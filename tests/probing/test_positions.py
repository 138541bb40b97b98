"""Positions of prompts are matched by roles, and replacement values come from other groups' tokens of the same role."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from distractor.errors import TaskError
from distractor.probing.positions import Positions, example_tokens, label
from distractor.probing.replacement_values import Donors, ReplacementValues
from distractor.probing.run import Batch
from distractor.scoring.encode import Role
from distractor.text.task import Condition, Item

pytestmark = pytest.mark.quick

PAIR = (Condition.CONFLICT, Condition.CONGRUENT)
SHORT: tuple[Role, ...] = (("subject", 0), ("slot", 0))
LONG: tuple[Role, ...] = (("subject", 1), ("subject", 0), ("cue", 0), ("slot", 0))


def by_hand(*rows: tuple[Role, ...], groups: str = "aabb") -> Batch:
    """Items whose prompts have these roles under both conditions; the right answers alternate. Token n is number n."""
    items = [
        Item(str(k), group, f" {'xy'[k % 2]}", " z", {Condition.CONFLICT: "?"})
        for k, group in zip(range(len(rows)), groups, strict=True)
    ]
    longest = max(map(len, rows))
    return Batch(
        conditions=PAIR,
        items=tuple(items),
        tokens=torch.arange(2 * len(rows) * longest).reshape(2, len(rows), longest),
        lengths=torch.tensor([len(row) for row in rows]),
        answers=torch.zeros(len(rows), 2, dtype=torch.long),
        roles=(rows, rows),
    )


def test_roles_are_in_the_order_of_the_prompt_even_if_few_prompts_have_one() -> None:
    positions = Positions.of(by_hand((("cue", 0), *SHORT), SHORT, SHORT, SHORT))
    assert positions.labels == ("cue", "subject", "slot")
    assert positions.index[0].tolist() == [[0, 1, 2], [1, 2, -1], [1, 2, -1], [1, 2, -1]]
    assert positions.present[:, 0].tolist() == [[True, False, False, False], [True] * 4, [True] * 4]
    value = torch.arange(24.0).reshape(2, 4, 3)
    assert positions.sums(value)[:, 0].tolist() == [[0, 0, 0, 0], [1, 3, 6, 9], [2, 4, 7, 10]]
    assert Positions.of(by_hand(LONG, LONG, LONG, LONG)).labels == ("subject-1", "subject", "cue", "slot")
    assert (label(("subject", 0)), label(("subject", 2))) == ("subject", "subject-2")


def test_example_tokens_are_those_of_the_first_item() -> None:
    tokenizer = SimpleNamespace(decode=lambda ids: f"<{ids[0]}>")
    found = example_tokens(by_hand(SHORT, LONG, LONG, LONG), tokenizer, ["cue", "subject", "slot"])
    assert found["token"][1].tolist() == [["", "<0>", "<1>"], ["", "<16>", "<17>"]]
    assert found["place"][1].tolist() == [[-1, 0, 1]] * 2


def test_folds_hold_whole_groups_and_cells_are_conditions_by_answers() -> None:
    values = ReplacementValues.of(by_hand(LONG, SHORT, SHORT, SHORT), folds=2)
    assert values.fold.tolist() == [0, 0, 1, 1]
    assert values.cell.tolist() == [[0, 1, 0, 1], [2, 3, 2, 3]]
    with pytest.raises(TaskError, match=r"group 'a'"):
        ReplacementValues.of(by_hand(SHORT, SHORT, groups="aa"), folds=2)


def test_a_mean_is_over_the_role_in_other_groups_or_else_over_its_part_or_else_over_all_tokens() -> None:
    batch = by_hand(LONG, SHORT, SHORT, SHORT)
    value = torch.arange(32.0, dtype=torch.float64).reshape(2, 4, 4, 1)
    mean = ReplacementValues.of(batch, folds=2).mean(value)[0, :, :, 0]
    others = value[:, 2:, :2, 0]  # the tokens of the other group: subject, slot
    subject, slot = others[..., 0].mean(), others[..., 1].mean()
    assert_allclose(mean[0], [subject, subject, others.mean(), slot])
    assert_allclose(mean[1, :2], [subject, slot])


def test_a_mean_over_other_prompts_matches_roles_although_lengths_differ() -> None:
    batch, giver = by_hand(LONG, LONG, LONG, LONG), by_hand(SHORT, SHORT, SHORT, SHORT)
    values = ReplacementValues.of(batch, folds=2, givers=[giver])
    own = torch.full((2, 4, 4, 1), 1e6, dtype=torch.float64)
    given = torch.arange(16.0, dtype=torch.float64).reshape(2, 4, 2, 1)
    mean = values.mean(own, [given])[..., 0]
    for item, others in ((0, given[:, 2:, :, 0]), (3, given[:, :2, :, 0])):
        subject, slot = others[..., 0].mean(), others[..., 1].mean()
        assert_allclose(mean[:, item], [[subject, subject, others.mean(), slot]] * 2)
    with pytest.raises(TaskError, match=r"group 'a'"):
        ReplacementValues.of(batch, folds=2, givers=[by_hand(SHORT, SHORT, groups="aa")])


def test_a_donor_is_of_another_group_and_gives_the_token_that_matches_best() -> None:
    batch = by_hand(LONG, SHORT, SHORT, SHORT)
    donors = ReplacementValues.of(batch, folds=2).draw(np.random.default_rng(0))
    assert (donors.item[:, :2] >= 2)[..., :2].all()
    assert (donors.item[:, 2:] < 2)[..., :2].all()
    of_first = by_hand((("extra", 0), ("subject", 0), ("cue", 0), ("slot", 0)), *[(("top", 0), *SHORT)] * 3)
    drawn = ReplacementValues.of(of_first, folds=2).draw(np.random.default_rng(0))
    assert drawn.pos[:, 0].tolist() == [[0, 1, 1, 2]] * 2  # the cue is second from the end, as is the donor's subject


def test_a_donor_gives_its_own_activation() -> None:
    value = torch.arange(6.0).reshape(1, 2, 3, 1)
    item, pos = torch.tensor([[[1, 0, 1], [0, 1, 0]]]), torch.tensor([[[2, 0, 1], [1, 1, 0]]])
    assert Donors(torch.zeros_like(item), item, pos).give(value).flatten().tolist() == [5, 0, 4, 1, 4, 0]
