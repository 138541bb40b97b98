"""How often does the probe `overcoming` give a model the wrong label?

    python -m experiments.overcoming.calibration [--circuit NAME …] [--labels FILE]

Each model has a planted circuit (tests/planted), so the right label is known. Each one is added to labels.csv when it is
done. The script can therefore be stopped and resumed. README.md is written from labels.csv.
"""

import argparse
import csv
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "planted"))

from scipy.stats import beta

from distractor.models.load import load
from distractor.numbers import number as shown
from distractor.probing.measure import measure
from distractor.probing.overcome import ModelOvercome, of_model
from distractor.probing.readings import Reading, stored
from experiments.markdown import markdown_table
from later_shelf import LATER
from networks import ARCHITECTURES, Architecture
from probes import PROBES
from shelf import NOISE, PLANTED, Planted, source

HERE = Path(__file__).parent
GROUPS = 104  # 16 of them differ in their words
CIRCUITS = {**PLANTED, **LATER}
KINDS = (
    # noise, seed, true answer, distractor's answer
    (0.0, 0, 3.0, 1.0),
    (NOISE, 1, 1.5, 2.0),
    (NOISE, 2, 4.0, 0.5),
    (2.5 * NOISE, 3, 3.0, 2.0),
)
UNDETERMINED = "undetermined"
FIELDS = (
    "circuit",
    "architecture",
    "noise",
    "seed",
    "true",
    "distractor",
    "planted",
    "label",
    "alone",
    "omega",
    "kappa",
)
OUTCOMES = ("right", UNDETERMINED, "wrong")

PAGE = """# How often does `overcoming` give the wrong label?

Written by `python -m experiments.overcoming.calibration`, which plants {models} models and reads each one on {groups} item
groups. [labels.csv](labels.csv) has every model, and a stopped run goes on from there.

**Answer.** {wrong} of {models} labels are wrong: {share:.1%}, at most {bound:.1%} (95 % upper bound). {unsure} are
undetermined although the circuit has a label. The bounds of ω and κ were fixed before.

{table}

Strengths are in nats, those of the true answer and of the distractor's. Noise is relative to the weights' rms; noisy models
also have a random basis, and .002 moves gaps by about .1 nats.

{kinds}

- Half of the models are GPT-NeoX, half are Llama with grouped queries; all have three layers of four heads.
- The circuits are in tests/planted/shelf.py and later_shelf.py, with the reason for each label. Those from `spread` on are
  new to the code: their labels were decided before they were measured, and nothing was changed afterwards.
- "Undetermined" is right where half of the effect remains, and where one head writes for both tasks.
- Planted sites write all of their effect, most of it, half or nearly none. Trained models are less clear, so their labels
  will more often be undetermined; how often they are wrong is not known from here.
- Only 16 groups differ in their words, so intervals are too narrow. This makes wrong labels more likely, not less.
{wrong_ones}"""


@dataclass(frozen=True)
class Case:
    """A planted model: its circuit, its weights' noise, and the strength of both answers in nats."""

    circuit: str
    architecture: Architecture
    noise: float
    seed: int
    true: float
    distractor: float

    @property
    def key(self) -> tuple[str, ...]:
        """Its row's first values in the file of labels."""
        return tuple(str(value) for value in asdict(self).values())

    def planted(self) -> Planted:
        """The circuit with these strengths."""
        make = CIRCUITS[self.circuit]
        return make(self.true) if self.circuit == "unlearned" else make(self.true, self.distractor)  # type: ignore[call-arg]


def cases(circuits: Iterable[str] = CIRCUITS) -> Iterator[Case]:
    """The models: circuits in every kind, later ones in the first and the last. Architectures alternate over kinds."""
    for circuit in circuits:
        first = list(CIRCUITS).index(circuit)
        for number in range(len(KINDS)) if circuit in PLANTED else (0, len(KINDS) - 1):
            yield Case(circuit, ARCHITECTURES[(first + number) % 2], *KINDS[number])


def overcome(case: Case, folder: Path, groups: int = GROUPS) -> ModelOvercome:
    """What the probe says about a planted model."""
    planted = case.planted()
    task, of = (
        planted.task(groups),
        source(folder, "model", planted, case.architecture, noise=case.noise, seed=case.seed),
    )
    reading = measure(load(of.folder, device="cpu", self_check=False), task, PROBES["overcoming"])
    return of_model(task, Reading(of, stored(reading)))


def outcome(planted: str, label: str) -> str:
    """Whether a label is the planted one; `planted` is "undetermined" if no label is right."""
    if UNDETERMINED in label:
        return "right" if planted == UNDETERMINED else UNDETERMINED
    return "right" if label == planted else "wrong"


def row_of(case: Case, found: ModelOvercome) -> dict[str, str]:
    """A row of the file of labels."""
    numbers = {name: getattr(found.found, name) for name in ("alone", "omega", "kappa")}
    shown = {name: "" if mean is None else " ".join(f"{x:.3f}" for x in mean) for name, mean in numbers.items()}
    values = (*case.key, case.planted().answer or UNDETERMINED, found.found.label)
    return {**dict(zip(FIELDS, values, strict=False)), **shown}


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of earlier runs."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def add_row(path: Path, row: Mapping[str, str]) -> None:
    """Append one model."""
    is_new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerow(row)


def page_of(rows: Sequence[Mapping[str, str]]) -> str:
    """The page for these models."""
    outcomes = [outcome(row["planted"], row["label"]) for row in rows]
    wrong = outcomes.count("wrong")
    by_circuit = [
        (name, of[0][0]["planted"], *_counts([one for _, one in of]), _range(of, "omega"), _range(of, "kappa"))
        for name in CIRCUITS
        if (of := [(row, one) for row, one in zip(rows, outcomes, strict=True) if row["circuit"] == name])
    ]
    by_kind = [
        (f"{noise:g}", f"{true:g}, {distractor:g}", *_counts(of))
        for noise, _, true, distractor in KINDS
        if (of := [one for row, one in zip(rows, outcomes, strict=True) if _is(row, noise, true, distractor)])
    ]
    wrong_ones = [
        f"- wrong: {row['circuit']}, {row['architecture']}, noise {row['noise']}, strengths {row['true']} and "
        f"{row['distractor']}: {row['label']} (alone {row['alone']}, ω {row['omega']}, κ {row['kappa']})\n"
        for row, one in zip(rows, outcomes, strict=True)
        if one == "wrong"
    ]
    return PAGE.format(
        models=len(rows),
        groups=GROUPS,
        wrong=wrong,
        share=wrong / len(rows),
        bound=beta.ppf(0.95, wrong + 1, len(rows) - wrong),
        unsure=outcomes.count(UNDETERMINED),
        table=markdown_table(["circuit", "right label", *OUTCOMES, "ω", "κ"], by_circuit),
        kinds=markdown_table(["noise", "strengths", *OUTCOMES], by_kind),
        wrong_ones="".join(wrong_ones),
    )


def _counts(outcomes: Sequence[str]) -> list[str]:
    return [str(outcomes.count(name)) for name in OUTCOMES]


def _range(of: Sequence[tuple[Mapping[str, str], str]], name: str) -> str:
    means = [float(row[name].split()[0]) for row, _ in of if row[name]]
    return f"{shown(min(means))} to {shown(max(means))}" if means else "–"


def _is(row: Mapping[str, str], *values: float) -> bool:
    return tuple(float(row[name]) for name in ("noise", "true", "distractor")) == values


def main() -> None:
    """Read the models that are missing, then write README.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--circuit", action="append", choices=CIRCUITS)
    parser.add_argument("--labels", type=Path, default=HERE / "labels.csv")
    arguments = parser.parse_args()
    rows = read_rows(arguments.labels)
    done = {tuple(row[name] for name in FIELDS[:6]) for row in rows}
    for case in cases(arguments.circuit or CIRCUITS):
        if case.key in done:
            continue
        start = time.time()
        with TemporaryDirectory() as folder:
            row = row_of(case, overcome(case, Path(folder)))
        add_row(arguments.labels, row)
        rows.append(row)
        spent, result = time.time() - start, outcome(row["planted"], row["label"])
        print(f"{' '.join(case.key)}: {row['label']}, {result}, {spent:.0f} s", file=sys.stderr, flush=True)
    if arguments.labels == HERE / "labels.csv":
        (HERE / "README.md").write_text(page_of(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
