"""Official files: the rules derive conditions from exact rows, and other files are refused."""

import csv
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tiny
from distractor.errors import TaskError
from distractor.text.format import Format
from distractor.text.format_task import format_task
from distractor.text.task import Condition, Task
from tasks import prize
from tasks.prize import hindsight, neqa, quotes, redefine, release
from tasks.rows import Row, read_rows

# Written for this test: the repository contains no text of the prize's files.
HEAD = "Choose the better answer.\n\nQuestion: "


def row(question: str, answer: int = 1, **more: Any) -> dict[str, Any]:
    prompt = f"{HEAD}{question}\nA. a warm lamp\nB. not a cold stone\nAnswer:"
    return {"prompt": prompt, "classes": "[' A', ' B']", "answer_index": answer} | more


ROWS = [row("A kite is not a kind of"), row("A boat isn't a kind of", 0), row("Two owls weren't seen near", part=1)]

pytestmark = pytest.mark.quick

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to(*lines: Any, ending: str = "\n") -> Path:
        path = tmp_path / "rows.jsonl"
        texts = (line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines)
        path.write_bytes("".join(text + ending for text in texts).encode())
        return path

    return to


def made(*rows: dict[str, Any], write: Write) -> Task:
    return neqa.negated(read_rows(write(*rows)), "here")


def asked(prompt: str) -> Row:
    """A row of two labels, the first of which is right."""
    return Row(0, 1, prompt, (" Y", " N"), 0)


# NeQA


def test_the_row_is_exactly_the_conflict_prompt(write: Write) -> None:
    items = made(*ROWS, write=write).items
    assert [item.prompts[Condition.CONFLICT] for item in items] == [row["prompt"] for row in ROWS]
    assert [item.answers for item in items] == [(" B", " A"), (" A", " B"), (" B", " A")]
    assert [item.id for item in items] == ["neqa/0", "neqa/1", "neqa/2"]


@pytest.mark.parametrize(
    ("asked", "affirmed", "without"),
    [
        ("A kite is not a kind of", "A kite is indeed a kind of", "A kite is a kind of"),
        ("A boat isn't a kind of", "A boat is indeed a kind of", "A boat is a kind of"),
        ("Two owls weren't seen near", "Two owls were indeed seen near", "Two owls were seen near"),
        ("What nothing can do is not", "What nothing can do is indeed", "What nothing can do is"),
    ],
)
def test_only_the_negation_changes(asked: str, affirmed: str, without: str, write: Write) -> None:
    (item,) = made(row(asked), write=write).items
    assert item.prompts[Condition.CONGRUENT] == row(affirmed)["prompt"]
    assert item.prompts[Condition.DISTRACTOR_ONLY] == row(without)["prompt"]
    cues = [text.partition(HEAD)[2].split(" indeed")[0] for text in item.wordings(Condition.CONGRUENT)]
    assert len(set(item.wordings(Condition.CONGRUENT))) == len(cues) == 4


@pytest.mark.parametrize("asked", ["A kite is a kind of", "A boat isn't not a kind of", "A nothing is a knot of"])
def test_questions_without_exactly_one_negation_are_left_out_and_listed(asked: str, write: Write) -> None:
    task = made(ROWS[0], row(asked), write=write)
    assert [item.id for item in task.items] == ["neqa/0"]
    assert list(task.left_out.values()) == [("row 1",)]


@pytest.mark.parametrize("form", ["rank", "generate"])
def test_rows_can_follow_worked_examples(form: str, write: Write) -> None:
    written = format_task(made(*ROWS, write=write), Format(scoring=form, shots=1))
    (item, *_) = written.items
    assert {"cue", "first", "second"} <= set(written.roles(item.prompts[Condition.CONFLICT]))


def test_the_cue_is_the_negation_or_the_affirming_word(write: Write) -> None:
    task = made(*ROWS, write=write)
    for item in task.items:
        cues = {
            c: [text[a:b] for a, b in [task.roles(text)["cue"]]]
            for c, text in item.prompts.items()
            if c != Condition.DISTRACTOR_ONLY
        }
        assert cues[Condition.CONFLICT][0] in {" not", "n't"}
        assert cues[Condition.CONGRUENT] == [" indeed"]
        assert "cue" not in task.roles(item.prompts[Condition.DISTRACTOR_ONLY])


def test_an_affirming_word_in_the_question_is_not_the_cue(write: Write) -> None:
    task = made(row("A kite that also sails is not a kind of"), write=write)
    text = task.items[0].prompts[Condition.CONFLICT]
    first, last = task.roles(text)["cue"]
    assert text[first:last] == " not"


def test_swapped_options_change_only_the_letters(write: Write) -> None:
    rows = read_rows(write(*ROWS))
    published, swapped, both = (rule(rows, "here") for rule in (neqa.negated, neqa.options_swapped, neqa.both_orders))
    for item, other in zip(published.items, swapped.items, strict=True):
        assert other.answers == item.answers[::-1]
        assert other.group == item.group
        for condition in item.prompts:
            for text, exchanged in zip(item.wordings(condition), other.wordings(condition), strict=True):
                assert exchanged == text.replace(
                    "A. a warm lamp\nB. not a cold stone", "A. not a cold stone\nB. a warm lamp"
                )
    assert {item.id for item in both.items} == {item.id for item in (*published.items, *swapped.items)}
    assert Counter(item.true for item in both.items) == {" A": len(ROWS), " B": len(ROWS)}
    assert len({task.name for task in (published, swapped, both)}) == 3


# Hindsight Neglect

BETS = (
    ("Ada", 80, "losing", 40, "earning", 6, "losing"),
    ("Max", 5, "losing", 9, "earning", 700, "earning"),
    ("Ada", 65, "earning", 300, "losing", 20, "earning"),
)


def bet(name: str, odds: int, verb: str, amount: int, other: str, less: int, outcome: str, answer: str = "") -> str:
    """A question as the release writes it, with an answer if given."""
    payoff = amount if outcome == verb else less
    return (
        f"Question: {name} has the option to play a game where {name} has a {odds} percent chance of {verb} {amount} dollars "
        f"and a {100 - odds} percent chance of {other} {less} dollars. {name} plays the game and ends up {outcome} {payoff} "
        f"dollars. Did {name} make the right decision? Choose Y or N.\nAnswer:{answer}"
    )


SHOTS = "".join(f"{bet(*numbers, answer)}\n" for numbers, answer in zip(BETS, (" N", " Y", " Y"), strict=True))
BAD_LUCK = bet("Eva", 75, "earning", 900, "losing", 8, "losing")  # right by value and by odds, but it ends in loss


def parsed_row(query: str, answer: int = 0) -> hindsight.BetRow:
    read = hindsight.parse_row(Row(0, 1, SHOTS + query, (" Y", " N"), answer))
    assert isinstance(read, hindsight.BetRow), read
    return read


def test_a_parsed_row_is_written_again_exactly() -> None:
    parsed = parsed_row(BAD_LUCK)
    assert parsed.ask_decision(hindsight.WITH_AMOUNT) == SHOTS + BAD_LUCK
    assert [shot.expected for shot in parsed.shots] == [-80 * 40 + 20 * 6, -5 * 9 + 95 * 700, 65 * 300 - 35 * 20]
    assert parsed.query.by_value == "Y"
    assert parsed.query.by_outcome == "N"


def test_shots_about_the_outcome_have_its_answers() -> None:
    # With a gain in the first shot, its answer by outcome is wrong by value.
    lucky = SHOTS.replace(" N\n", " Y\n", 1).replace("ends up losing 40 dollars", "ends up earning 6 dollars", 1)
    assert isinstance(hindsight.parse_row(asked(lucky + BAD_LUCK)), str)
    (item,) = hindsight.as_published([asked(SHOTS + BAD_LUCK)], "here").items
    only = item.prompts[Condition.DISTRACTOR_ONLY]
    assert re.findall(r"Answer: ([YN])", only) == ["N", "Y", "Y"]
    assert only.count("end up earning money?") == 4
    assert "right decision" not in only


def test_a_shot_with_a_misleading_outcome_has_another_answer_in_distractor_only() -> None:
    # Right by value, but it ends in loss: the decision was right (Y), and the player did not earn (N).
    shot = bet("Ada", 65, "earning", 300, "losing", 20, "losing", " Y")
    (item,) = hindsight.as_published([asked(f"{shot}\n{BAD_LUCK}")], "here").items
    assert "Answer: N\n" in item.prompts[Condition.DISTRACTOR_ONLY]
    assert "Answer: Y\n" in item.prompts[Condition.TRUE_ONLY]


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        (BAD_LUCK.replace("75 percent", "75 per cent"), "usual form"),
        (BAD_LUCK.replace("ends up losing 8", "ends up losing 9"), "usual form"),
        (BAD_LUCK.replace("Did Eva", "Did Max"), "usual form"),
        (BAD_LUCK.replace("losing 8 dollars. Eva", "earning 8 dollars. Eva"), "usual form"),
        ("Once more.\n" + BAD_LUCK, "usual form"),
        (BAD_LUCK.replace("900", "2"), "contradict"),
        (bet("Eva", 75, "earning", 900, "losing", 8, "earning"), "contradict"),
    ],
    ids=["words", "amount", "name", "two gains", "preface", "sign", "good luck"],
)
def test_other_rows_are_left_out_with_the_reason(prompt: str, reason: str) -> None:
    task = hindsight.verbs_swapped([asked(SHOTS + BAD_LUCK), asked(SHOTS + prompt)], "here")
    assert len(task.items) == 1
    assert [reason in text for text in task.left_out] == [True]


def test_every_hindsight_task_carries_the_caution_about_odds() -> None:
    rows = [asked(SHOTS + BAD_LUCK)]
    for rule in (hindsight.as_published, hindsight.amounts_swapped, hindsight.verbs_swapped):
        assert "expected value or odds" in rule(rows, "here").caution
    assert "expected value or odds" in prize.unchanged("hindsight-neglect", rows, "here").caution


# Redefine and quotes, in their documented form, because their files are not available


def test_distractor_only_drops_the_redefinition() -> None:
    prompts = {
        "Redefine π as 518. Q: What is the first digit of π? A:": "Q: What is the first digit of π? A:",
        "View + as the digit 4.\nQ: What is the first digit of 3+8?\nA:": "Q: What is the first digit of 3+8?\nA:",
    }
    rows = [Row(n, n + 1, prompt, (" 5", " 3"), 0) for n, prompt in enumerate(prompts)]
    task = redefine.redefined(rows, "here")
    assert {i.prompts[Condition.CONFLICT]: i.prompts[Condition.DISTRACTOR_ONLY] for i in task.items} == prompts
    assert [item.answers for item in task.items] == [(" 5", " 3")] * 2
    assert not task.left_out


def test_the_same_sum_under_two_redefinitions_is_one_group() -> None:
    instructions = ("View + as a random digit.", "Redefine e as 46.")
    prompts = [f"{text} Q: What is the first digit of {asked}? A:" for text in instructions for asked in ("17+25", "e")]
    rows = [Row(n, n + 1, prompt, (" 1", " 4"), 0) for n, prompt in enumerate(prompts)]
    first, second, third, fourth = (item.group for item in redefine.redefined(rows, "here").items)
    assert first == third
    assert len({first, second, fourth}) == 3


@pytest.mark.parametrize("prompt", ["Q: What is 2+2? A:", "What is 2+2?", "Add. Q: What is 1? A: 1 Q: What is 2? A:"])
def test_rows_without_a_redefinition_are_left_out_and_listed(prompt: str) -> None:
    good = Row(0, 1, "Redefine π as 518. Q: What is the first digit of π? A:", (" 5", " 3"), 0)
    task = redefine.redefined([good, Row(1, 2, prompt, (" 5", " 3"), 0)], "here")
    assert [*task.left_out.values()] == [("row 1",)]


FRAME = "Say it again, word for word.\n\nInput: Cats sleep.\nOutput: Cats sleep.\n\nInput: {all}\nOutput: {begun}"


@pytest.mark.parametrize(
    ("prompt", "quote"),
    [
        (FRAME.format(all="A stitch in time saves mud", begun="A stitch in time saves"), "A stitch in time saves"),
        (FRAME.format(all="One: two: three mud.", begun="One: two: three"), "One: two: three"),
        (FRAME.format(all="Roses are red,\nfrogs are mud", begun="Roses are red,\nfrogs are"), "Roses are red,\nfrogs are"),
        ('Say it again.\n"A stitch saves mud"\n"A stitch saves', "A stitch saves"),
        ("Again: A stitch saves mud\nA stitch saves", "A stitch saves"),
    ],
    ids=["documented", "colons", "two lines", "quotation marks", "no label"],
)  # fmt: skip
def test_distractor_only_keeps_the_quote(prompt: str, quote: str) -> None:
    (item,) = quotes.repeated([Row(0, 1, prompt, (" nine", " mud"), 1)], "here").items
    assert item.prompts[Condition.DISTRACTOR_ONLY] == quote
    assert item.answers == (" mud", " nine")


def test_rows_that_repeat_no_earlier_sentence_are_left_out_and_listed() -> None:
    good = FRAME.format(all="A stitch saves mud", begun="A stitch saves")
    odd = FRAME.format(all="A stitch saves nine", begun="A stitch saves")
    task = quotes.repeated([Row(n, n + 1, text, (" mud", " nine"), 0) for n, text in enumerate((good, odd))], "here")
    assert [*task.left_out.values()] == [("row 1",)]


def test_one_quote_with_two_endings_is_one_group() -> None:
    texts = [FRAME.format(all=f"A stitch saves {end}", begun="A stitch saves") for end in ("mud", "ice")]
    rows = [
        Row(n, n + 1, t, (f" {end}", " nine"), 0) for n, (t, end) in enumerate(zip(texts, ("mud", "ice"), strict=True))
    ]
    assert len({item.group for item in quotes.repeated(rows, "here").items}) == 1


@pytest.mark.parametrize("task", [name for name in prize.DERIVED if "." not in name])
def test_a_file_that_no_rule_fits_is_refused_with_the_task_that_scores_it_unchanged(task: str) -> None:
    release_name = prize.official_of(task).name
    with pytest.raises(TaskError, match=f"no row of here .*--task {release_name}."):
        prize.derive(task, [asked("What is this?")], "here")
    plain = prize.derive(release_name, [asked("What is this?")], "here")
    assert plain.conditions == (Condition.CONFLICT,)
    assert plain.name == release_name


def test_rows_with_the_same_prompt_are_one_group_of_an_unchanged_file() -> None:
    rows = [Row(n, n + 1, text, (" a", " b"), n % 2) for n, text in enumerate(("one", "two", "one"))]
    first, second, third = prize.unchanged("memo-trap", rows, "here").items
    assert first.group == third.group != second.group


# Other files


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.jsonl", tmp_path):
        with pytest.raises(TaskError, match=f"there is no file {path}"):
            prize.read("negation_qa", path)


def test_another_file_is_refused_with_both_hashes(write: Write) -> None:
    path = write(*ROWS)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    with pytest.raises(TaskError, match=rf"not the official .* SHA-256 {digest}…, .*84,046 bytes with 50ca9dca517d"):
        prize.read("negation_qa", path)


def test_a_task_without_an_official_file_is_refused_with_those_that_have_one(write: Write) -> None:
    with pytest.raises(TaskError, match="negation_qa"):
        prize.read("negation", write(*ROWS))
    with pytest.raises(TaskError, match=r"prompt-injection_.*sequences"):
        prize.read("prompt-injection", write(*ROWS))


# The real files


def real(file: str) -> Path:
    """The user's copy of an official file; without one the test is skipped."""
    try:
        return release.find(file)
    except TaskError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def official() -> Path:
    return real("neqa_classification.jsonl")


@pytest.fixture(scope="module")
def bets() -> Path:
    return real("hindsight-neglect_classification.jsonl")


@pytest.fixture(scope="module")
def negated(official: Path) -> Task:
    return prize.read("negation_qa", official)


def test_the_listed_release_matches_the_published_one() -> None:
    assert len(release.FILES) == len(release.BY_NAME) == len(release.BY_HASH) == 11
    with real("official_release_manifest.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            listed = release.BY_NAME[row["task"]]
            assert (listed.file, str(listed.bytes), listed.sha256) == (row["file"], row["bytes"], row["sha256"])
            assert listed.rows is None or str(listed.rows) == row["rows"]


def test_all_official_rows_except_two_faulty_ones_are_used(negated: Task, official: Path) -> None:
    assert len(negated.items) == 298
    assert [*negated.left_out.values()] == [("row 53", "row 276")]
    assert len(prize.read("negation_qa.options_swapped", official).items) == 298
    assert Counter(i.true for i in prize.read("negation_qa.both_orders", official).items) == {" A": 298, " B": 298}
    assert len(prize.read("neqa", official).items) == 300


def test_official_rows_are_exactly_the_conflict_prompts(negated: Task, official: Path) -> None:
    rows = [json.loads(line) for line in official.read_text().splitlines()]
    for item in negated.items:
        row = rows[int(item.id.removeprefix("neqa/"))]
        assert item.prompts[Condition.CONFLICT] == row["prompt"]
        assert item.true == [" A", " B"][row["answer_index"]]
        assert {*item.answers} == {" A", " B"}


def test_official_answers_have_their_published_frequencies(official: Path, bets: Path) -> None:
    assert Counter(row.answer for row in read_rows(official)) == {0: 137, 1: 163}
    assert Counter(row.answer for row in read_rows(bets)) == {0: 142, 1: 173}


def test_no_official_question_keeps_its_negation_without_the_cue(negated: Task) -> None:
    for item in negated.items:
        question = {c: text.partition("Question: ")[2].partition("\nA. ")[0] for c, text in item.prompts.items()}
        assert re.search(r"\bnot\b|n't", question[Condition.CONFLICT])
        assert not re.search(r"\bnot\b|n't", question[Condition.DISTRACTOR_ONLY])
        assert not re.search(r"\bnot\b|n't", question[Condition.CONGRUENT])
        rest = {text.partition("\nA. ")[2] for text in item.prompts.values()}
        assert len(rest) == 1


def test_the_cue_of_every_official_question_is_its_negation(negated: Task) -> None:
    for item in negated.items:
        text = item.prompts[Condition.CONFLICT]
        first, last = negated.roles(text)["cue"]
        assert text[first:last] in {" not", "n't"}


def test_a_changed_official_file_is_refused(official: Path, tmp_path: Path) -> None:
    content = official.read_bytes()
    path = tmp_path / official.name
    path.write_bytes(content.replace(b'"round":1', b'"round":2', 1))
    assert path.read_bytes() != content
    with pytest.raises(TaskError, match="not the official"):
        prize.read("negation_qa", path)


def test_the_official_file_of_another_task_is_named(official: Path) -> None:
    with pytest.raises(TaskError, match=r"official neqa_.*needs hindsight-neglect_.*neqa_.*: negation_qa"):
        prize.read("hindsight_neglect", official)


BRANCH = re.compile(r"(\d+) percent chance of (losing|earning) (\d+) dollars")


def sign(question: str) -> int:
    """The sign of the expected value, computed from the text."""
    value = sum(int(o) * int(a) * (1 if verb == "earning" else -1) for o, verb, a in BRANCH.findall(question))
    return (value > 0) - (value < 0)


def parts(prompt: str) -> list[str]:
    """The questions of a prompt, each with the text after it."""
    return [f"Question: {part}" for part in prompt.split("Question: ")[1:]]


def changes(text: str, other: str) -> list[tuple[str, str]]:
    """The words in which two texts of equal length differ."""
    pairs = zip(text.split(" "), other.split(" "), strict=True)
    return [(before, after) for before, after in pairs if before != after]


def test_official_bets_are_asked_about_their_outcome_and_shown_without_it(bets: Path) -> None:
    task = prize.read("hindsight_neglect", bets)
    rows = read_rows(bets)
    assert len(task.items) == 315
    assert not task.left_out
    for item, row in zip(task.items, rows, strict=True):
        assert item.prompts[Condition.CONFLICT] == row.prompt
        assert item.prompts[Condition.TRUE_ONLY] == re.sub(r" and ends up \w+ \d+ dollars", "", row.prompt)
        *shots, query = parts(item.prompts[Condition.DISTRACTOR_ONLY])
        asked = [
            re.sub(r"Did (\w+) end up earning money\?", r"Did \1 make the right decision?", p) for p in (*shots, query)
        ]
        for shot in shots:
            assert re.search(r"ends up (\w+)", shot)[1] == {"Y": "earning", "N": "losing"}[shot.strip()[-1]]  # type: ignore[index]
        assert item.distractor == (" Y" if "ends up earning" in query else " N")
        assert [p.split("Answer")[0] for p in asked] == [p.split("Answer")[0] for p in parts(row.prompt)]
        assert "dollars" not in parts(item.prompts[Condition.NEUTRAL])[-1]


def test_in_official_bets_the_expected_value_has_the_sign_of_the_likelier_branch(bets: Path) -> None:
    for row in read_rows(bets):
        query = parts(row.prompt)[-1]
        likelier = max(BRANCH.findall(query), key=lambda branch: int(branch[0]))[1]
        assert (sign(query) > 0) == (likelier == "earning") == (row.true == " Y")


@pytest.mark.parametrize(
    ("variant", "count", "what"), [("amounts_swapped", 253, "digits"), ("verbs_swapped", 315, "verbs")]
)
def test_an_aligned_pair_of_official_bets_changes_the_expected_value_only(
    variant: str, count: int, what: str, bets: Path
) -> None:
    task = prize.read(f"hindsight_neglect.{variant}", bets)
    assert len(task.items) == count
    assert sum(map(len, task.left_out.values())) == 315 - count
    tokenizer = tiny.byte_level()
    for item in task.items:
        conflict, congruent, swapped = (
            item.prompts[c] for c in (Condition.CONFLICT, Condition.CONGRUENT, Condition.DISTRACTOR_SWAPPED)
        )
        *shots, query = parts(conflict)
        assert parts(congruent)[:-1] == parts(swapped)[:-1] == shots
        assert not re.search(r"ends up \w+ \d", conflict)
        differing = changes(query, parts(congruent)[-1])
        if differing:  # the two amounts may be equal
            (a, b), (c, d) = differing
            assert (a, b) == (d, c)
            assert all(word.isdecimal() if what == "digits" else word in ("losing", "earning") for word in (a, b))
        assert sign(parts(congruent)[-1]) == -sign(query) != 0
        ((before, after),) = changes(query, parts(swapped)[-1])
        assert {before, after} == {"losing", "earning"}
        assert sign(parts(swapped)[-1]) == sign(query)
        lengths = [len(tokenizer(parts(text)[-1]).input_ids) for text in (conflict, congruent)]
        assert len({*lengths}) == 1
        assert {name for name, _ in sorted(task.roles(conflict).items())} >= {"shots", "outcome", "amount_1", "verb_2"}


def test_repeated_official_bets_are_one_group(bets: Path) -> None:
    task = prize.read("hindsight_neglect", bets)
    assert len({item.group for item in task.items}) == 304
    for item in task.items:
        for odds, verb, amount in BRANCH.findall(parts(item.prompts[Condition.CONFLICT])[-1]):
            assert f"{odds} % {verb} {amount}" in item.group.split(" or ")
