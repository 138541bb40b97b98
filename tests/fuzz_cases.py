"""Random input files and commands, about half of them valid, and a run of each in a child process with limits."""

import base64
import json
import os
import resource
import signal
import sys
import traceback
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

import tiny
from small_ladder import type_in

MEMORY = 3 * 2**30  # bytes beyond what the process has at its start
SECONDS = 20  # of the processor
WALL_SECONDS = 240  # for machines with other work

Files = Mapping[str, bytes]


@dataclass(frozen=True)
class Case:
    """Files in an otherwise empty folder, and a command that is run there."""

    kind: str
    command: tuple[str, ...]
    files: Files

    def as_json(self) -> str:
        """The case as text, for the folder of cases that once failed."""
        files = {name: base64.b64encode(content).decode() for name, content in self.files.items()}
        return json.dumps({"kind": self.kind, "command": self.command, "files": files}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> "Case":
        """The case of a text by `as_json`."""
        content = json.loads(text)
        files = {name: base64.b64decode(coded) for name, coded in content["files"].items()}
        return cls(content["kind"], tuple(content["command"]), files)


@dataclass(frozen=True)
class Outcome:
    """What a command did: its exit status (minus the signal that ended it), what it printed, and its complaint, if any."""

    status: int
    out: str
    err: str
    complaint: str | None


# Running.


def run(case: Case, folder: Path, models: Path) -> Outcome:
    """Run a case in a copy of this process; `models` is linked into its folder."""
    folder.mkdir()
    (folder / "models").symlink_to(models)
    for name, content in case.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    before = _content(folder)
    status = _in_limited_child(partial(_type_in, case), folder)
    out, err = ((folder / name).read_text(encoding="utf-8", errors="replace") for name in ("stdout", "stderr"))
    return Outcome(status, out, err, _complaint(folder, before, status, out, err))


def _type_in(case: Case) -> int:
    if zlib.crc32(case.as_json().encode()) % 4:  # drawing takes most of a small run, so that three of four draw less
        from matplotlib.figure import Figure

        from distractor.ablation import figures
        from distractor.runs.page import drawing

        figures.curves = lambda _: Figure(figsize=(1, 1))
        figures.conditions = lambda _: None
        drawing.drawing = lambda _, shows, draw: drawing.Drawing("<svg></svg>", shows)
    return type_in(case.command)


def _in_limited_child(action: Callable[[], int], folder: Path) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if not child:
        status = 1
        try:
            os.chdir(folder)
            for number, name in ((1, "stdout"), (2, "stderr")):
                os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT), number)
            sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding="utf-8") for number in (1, 2))
            size = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
            signal.alarm(WALL_SECONDS)
            status = action()
        except BaseException:
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _in_child(make: Callable[[], bytes]) -> bytes:
    """What `make` returns in a copy of this process: the threads of pyarrow must not exist where others are copied."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            os.write(write, make())
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        content = file.read()
    assert os.waitpid(child, 0)[1] == 0
    return content


def _content(folder: Path) -> dict[str, bytes]:
    paths = (
        path for path in folder.rglob("*") if path.is_file() and path.name not in ("stdout", "stderr", "progress.log")
    )
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths if "models" not in path.parts[-4:]}


def _complaint(folder: Path, before: Mapping[str, bytes], status: int, out: str, err: str) -> str | None:
    """What is wrong with the end of a command, or None."""
    after = _content(folder)
    runs = [path for path in folder.glob("runs/*") if path.name != ".cells"]
    if status not in (0, 2):
        return f"exit status {status}"
    if "Traceback" in err or "Traceback" in out:
        return "a traceback"
    if "not enough memory" in err:
        return "memory"
    if status == 2 and len([line for line in err.splitlines() if line.startswith(("Error: ", "╭─ Error"))]) != 1:
        return "not one message"
    if status == 2 and out:
        return "a refused command printed results"
    if ".py:" in err and "Warning" in err:
        return "a warning of Python"
    if parts := [name for name in after if name.endswith(".part")]:
        return f"half a file: {parts}"
    if unfinished := [path.name for path in runs if not (path / "summary.json").is_file()]:
        return f"an unfinished run: {unfinished}"
    if any(after.get(name) != content for name, content in before.items()):
        return "an input was changed"
    return None


def make_models(folder: Path) -> None:
    """Write three tiny models of growing width, with a byte-level tokenizer."""
    from transformers import GPT2Config

    tokenizer = tiny.byte_level()
    for index, width in enumerate((4, 8, 16)):
        made = partial(GPT2Config, n_embd=width, n_layer=1, n_head=2, n_positions=64)
        tiny.save(folder / f"m{index}", made, tokenizer, seed=index)


# Values and damage.

WORDS = st.sampled_from(["Say", "yes", "no", "not", "gold", "é", "中", "[red]", "$x$", "A.", "B", "1", "-0"])
ODD_TEXT = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        ["", " ", "\0", "a\0b", "\x1b[31m", "../..", "/", ".", "..", "[bold]x[/]",
         ":smile:", "$\\frac$", "\ud800", "\n", "x" * 300,
         "nan", "inf", "1e400", "9" * 5000, "true", "null", "{}", "[" * 3000, "%s", "\u202e", "CON", "a/b", "ß" * 120]
    ),
)  # fmt: skip
ODD_NUMBER = st.sampled_from(
    [
        0,
        -1,
        1,
        2,
        0.5,
        -0.0,
        1e-320,
        1e308,
        float("nan"),
        float("inf"),
        2**31,
        2**63 - 1,
        2**63,
        2**64,
        -(2**63) - 1,
        10**30,
        True,
    ]
)
ODD = st.one_of(ODD_TEXT, ODD_NUMBER, st.none(), st.just([]), st.just({}), st.just([[1], {"a": None}]))


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Content with a few bytes changed, added or lost."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.sampled_from(["flip", "cut", "insert", "lose", "twice", "nest"])):
            case "flip" if data:
                data[place] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del data[place:]
            case "insert":
                data[place:place] = draw(
                    st.sampled_from([b"\0", b"\xff", b"\n", b",", b'"', b"\\", b"\xef\xbb\xbf", b"\r", b"{", b"9"])
                )
            case "lose":
                del data[place : place + draw(st.integers(1, 40))]
            case "twice":
                data[place:place] = data[place : place + 60]
            case "nest":
                data[place:place] = b"[" * draw(st.sampled_from([10, 5_000, 200_000]))
    return bytes(data)


@st.composite
def perhaps(draw: st.DrawFn, content: bytes) -> bytes:
    """The content, damaged in one case of three."""
    return draw(damaged(content)) if draw(st.integers(0, 2)) == 0 else content


def mutate(draw: st.DrawFn, rows: list[dict[str, Any]]) -> None:
    """Change a few cells, columns or rows in place."""
    for _ in range(draw(st.integers(1, 2))):
        if not rows:
            return
        row = draw(st.sampled_from(rows))
        match draw(st.sampled_from(["cell", "column", "lose", "add", "again", "drop"])):
            case "cell" if row:
                row[draw(st.sampled_from(sorted(row)))] = draw(ODD)
            case "column" if row:
                name, value = draw(st.sampled_from(sorted(row))), draw(ODD)
                for each in rows:
                    each[name] = value
            case "lose" if row:
                del row[draw(st.sampled_from(sorted(row)))]
            case "add":
                row[draw(ODD_TEXT)] = draw(ODD)
            case "again":
                rows.append(dict(row))
            case "drop":
                rows.remove(row)


def csv_text(rows: list[dict[str, Any]], delimiter: str = ",") -> bytes:
    """Rows as CSV; the first row names the columns."""
    columns = list(rows[0]) if rows else []

    def quoted(value: Any) -> str:
        text = "" if value is None else str(value)
        return '"' + text.replace('"', '""') + '"' if set(text) & {delimiter, '"', "\n", "\r"} else text

    lines = [columns, *([row.get(name) for name in columns] for row in rows)]
    return "\n".join(delimiter.join(map(quoted, line)) for line in lines).encode("utf-8", "surrogatepass")


def jsonl_text(rows: list[dict[str, Any]]) -> bytes:
    """Rows as JSON Lines."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


# Data files.


@st.composite
def task_rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Valid rows of a user's task."""
    answers = draw(st.sampled_from([(" yes", " no"), (" A", " B"), (" gold", " é")]))
    columns = draw(
        st.lists(st.sampled_from(["congruent", "distractor_only", "true_only", "neutral"]), unique=True, max_size=3)
    )
    rows = []
    for number in range(draw(st.integers(1, 6))):
        subject = f"{draw(WORDS)} {number}"
        row = {
            "prompt": f"Not {subject}. Say:",
            "classes": repr(list(answers)),
            "answer_index": draw(st.integers(0, 1)),
        }
        rows.append(row | {column: f"{column[0]} {subject}. Say:" for column in columns})
    if draw(st.booleans()):
        for number, row in enumerate(rows):
            row["group"] = f"g{number // 2}"
    return rows


@st.composite
def data_cases(draw: st.DrawFn) -> Case:
    """A user's data file, shown, exported, planned or scored."""
    rows, is_sound = draw(task_rows()), draw(st.booleans())
    if not is_sound and draw(st.booleans()):
        mutate(draw, rows)
    suffix = draw(st.sampled_from([".jsonl", ".csv", ".json"]))
    content = csv_text(rows) if suffix == ".csv" else jsonl_text(rows)
    if suffix == ".json":
        content = json.dumps(rows).encode()
    name = draw(st.sampled_from(["own", "own", "é [red]", "$x$", "negation_qa"])) + suffix
    models = ["--models", "models/m0", "--models", "models/m1", "--models", "models/m2"]
    command = draw(
        st.sampled_from([
            ["tasks", "show", name],
            ["tasks", "show", name, "--items", "9"],
            ["tasks", "export", name, "--out", "out.jsonl"],
            ["ablate", "--task", name, *models, "--plan"],
            ["ablate", "--task", name, *models[:2], "--no-knockout", "--json"],
            ["ablate", "--task", name, *models, "--no-knockout"],
        ])
    )  # fmt: skip
    return Case("data", tuple(command), {name: content if is_sound else draw(perhaps(content))})


# Family files.


def toml_text(table: Any) -> str:
    """A value in TOML; tables are written inline."""
    if isinstance(table, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {toml_text(value)}" for key, value in table.items()) + " }"
    if isinstance(table, list):
        return "[" + ", ".join(map(toml_text, table)) + "]"
    if isinstance(table, bool | str):
        return json.dumps(table)
    return "''" if table is None else str(table)


@st.composite
def family_cases(draw: st.DrawFn) -> Case:
    """A family file, shown, planned or scored."""
    models: dict[str, Any] = {}
    is_sound = draw(st.booleans())
    for number in range(draw(st.integers(1, 3))):
        models[f"s{number}"] = {"folder": f"models/m{number}", "n_params": 1_000 * (number + 1)}
    family: dict[str, Any] = {"about": draw(st.sampled_from(["mine", "é [red] $x$", ""]))}
    if draw(st.booleans()):
        family |= {"step": draw(st.integers(1, 1000)), "tokens_a_step": 100}
    if draw(st.booleans()):
        family["checkpoint"] = "step{step}"
        family["steps"] = draw(st.sampled_from([[1], [{"from": 1, "to": 9, "by": 4}], 5]))
    if draw(st.booleans()):
        family["shots"] = "shots.json"
    family["models"] = models
    if not is_sound and draw(st.booleans()):
        place = draw(st.sampled_from([family, models, *models.values()]))
        match draw(st.sampled_from(["change", "add", "lose"])):
            case "change":
                place[draw(st.sampled_from(sorted(place)))] = draw(ODD)
            case "add":
                place[draw(st.one_of(st.sampled_from(["seeds", "seed", "id", "held_out", "tokens"]), ODD_TEXT))] = draw(
                    ODD
                )
            case "lose":
                del place[draw(st.sampled_from(sorted(place)))]
    name = "mine" if is_sound else draw(st.sampled_from(["mine", "mine", "mine", "ladder", "a b"]))
    text = f"[{json.dumps(name)}]\n" + "".join(
        f"{json.dumps(key)} = {toml_text(value)}\n" for key, value in family.items()
    )
    selector = draw(
        st.sampled_from(["", "", "/s0"] if is_sound else ["", "/s0", "/s1@1", "@all", "/none", "@" + "9" * 5000])
    )
    task = jsonl_text([{"prompt": f"Say {k}:", "classes": "[' yes', ' no']", "answer_index": k % 2} for k in range(4)])
    command = draw(
        st.sampled_from([
            ["models", "show", "own.toml"],
            ["models", "show", "own.toml"],
            ["ablate", "--task", "t.jsonl", "--models", f"own.toml{selector}", "--plan"],
            ["ablate", "--task", "t.jsonl", "--models", f"own.toml{selector}", "--no-knockout"],
        ])
    )  # fmt: skip
    shots, content = b'{"t": {"shots": 2, "reasoned": 1}}', text.encode("utf-8", "surrogatepass")
    if not is_sound:
        shots, content = draw(perhaps(shots)), draw(perhaps(content))
    files = {"own.toml": content, "t.jsonl": task, "shots.json": shots}
    return Case("family", tuple(command), files)


# Results tables.


@st.composite
def table_cases(draw: st.DrawFn) -> Case:
    """A table of results, judged by `shape`."""
    is_sound = draw(st.booleans())
    known = [100_000, 70_000_000, "160M", "1B", 7e9, "70b", "pythia-410m"]
    kinds = st.sampled_from(known if is_sound else [*known, 7, 64])
    sizes = draw(st.lists(kinds, min_size=3 if is_sound else 1, max_size=6, unique=True))
    seeds = draw(st.sampled_from([[None], [0], [0, 1, 2], [5, 2**40]]))
    share = st.floats(0, 1, allow_nan=False)
    rows: list[dict[str, Any]] = []
    is_items = draw(st.booleans())
    shares = ["accuracy", "distractor_preference"]
    quantity = draw(st.sampled_from(shares if is_sound and not is_items else [*shares, "logit_gap"]))
    for size in sizes:
        for seed in seeds:
            fixed = {"size": size} if seed is None else {"size": size, "seed": seed}
            if is_items:
                rows += [
                    {**fixed, "item": f"i{item}", "group": f"g{item // 2}", "value": draw(st.integers(0, 1))}
                    for item in range(5)
                ]
            else:
                rows.append({**fixed, "mean": draw(share), draw(st.just("n")): draw(st.integers(1, 500))})
    if not is_sound and draw(st.booleans()):
        mutate(draw, rows)
    suffix = draw(st.sampled_from([".csv", ".tsv", ".jsonl", ".json", ".parquet"]))
    content = {
        ".csv": lambda: csv_text(rows),
        ".tsv": lambda: csv_text(rows, "\t"),
        ".jsonl": lambda: jsonl_text(rows),
        ".json": lambda: json.dumps(rows).encode(),
        ".parquet": lambda: parquet(rows),
    }[suffix]()
    name = draw(st.sampled_from(["r", "r", "é [red]", "$x$"])) + suffix
    sound = [[], [], ["--json"], ["--delta", "0.1"], *([["--by", "group"], ["--group", "item"]] if is_items else [])]
    odd = [
        ["--by", "difficulty"],
        ["--where", "seed=0"],
        ["--against", "tokens"],
        ["--delta", "nan"],
        ["--task", "x", "--reference", "opt"],
    ]
    options = draw(st.sampled_from(sound if is_sound else [*sound, *odd]))
    quantities = draw(st.sampled_from([[], [], ["--quantity", quantity]]))
    return Case(
        "table", ("shape", name, *options, *quantities), {name: content if is_sound else draw(perhaps(content))}
    )


def parquet(rows: list[dict[str, Any]]) -> bytes:
    """Rows as a Parquet file; mixed columns become text."""
    import pyarrow as pa

    from distractor.files import parquet_bytes

    def column(name: str) -> Any:
        values = [row.get(name) for row in rows]
        try:
            if not any(isinstance(value, list | dict) for value in values):
                return pa.array(values)
        except (pa.ArrowException, OverflowError, UnicodeError):
            pass
        return pa.array([None if value is None else ascii(value) for value in values])

    def made() -> bytes:
        names = dict.fromkeys(name for row in rows for name in row if name.isprintable())
        return parquet_bytes(pa.table({name: column(name) for name in names}))

    return _in_child(made)


# Model folders.

CONFIG_KEYS = (
    "n_embd", "n_layer", "n_head", "n_positions", "vocab_size", "model_type", "architectures", "activation_function",
    "layer_norm_epsilon", "tie_word_embeddings", "torch_dtype", "dtype", "bos_token_id", "eos_token_id", "n_ctx",
    "quantization_config", "auto_map", "pad_token_id", "n_inner", "transformers_version", "rope_scaling",
)  # fmt: skip


@st.composite
def model_cases(draw: st.DrawFn, whole: Files) -> Case:
    """A model folder with `whole` files, perhaps edited, that scores a task."""
    files = dict(whole)
    if draw(st.booleans()):
        match draw(
            st.sampled_from(["config", "config", "missing", "damage", "weights", "index", "tokenizer", "extra"])
        ):
            case "config":
                config = json.loads(files["config.json"])
                for _ in range(draw(st.integers(1, 2))):
                    value = draw(
                        st.one_of(ODD, st.sampled_from([1, 2, 3, 8, "gpt2", "llama", ["GPT2LMHeadModel"], "float16"]))
                    )
                    config[draw(st.sampled_from(CONFIG_KEYS))] = value
                files["config.json"] = json.dumps(config).encode()
            case "missing":
                del files[draw(st.sampled_from(sorted(files)))]
            case "damage":
                name = draw(st.sampled_from(sorted(files)))
                files[name] = draw(damaged(files[name]))
            case "weights":
                files["model.safetensors"] = draw(edited_weights(files["model.safetensors"]))
            case "index":
                weight_map = draw(st.sampled_from([{}, {"a": "model.safetensors"}, {"a": "../x"}, {"a": 3}, [], None]))
                files["model.safetensors.index.json"] = json.dumps({"weight_map": weight_map}).encode()
            case "tokenizer":
                tokenizer = json.loads(files["tokenizer.json"])
                tokenizer[draw(st.sampled_from(sorted(tokenizer)))] = draw(ODD)
                files["tokenizer.json"] = json.dumps(tokenizer).encode()
            case "extra":
                name = draw(
                    st.sampled_from(
                        ["generation_config.json", "adapter_config.json", "added_tokens.json", "x.safetensors"]
                    )
                )
                files[name] = draw(st.sampled_from([b"", b"{}", b"[]", b"[" * 100_000, b"\0" * 16]))
    task = jsonl_text([{"prompt": f"Say {k}:", "classes": "[' yes', ' no']", "answer_index": k % 2} for k in range(4)])
    name = draw(st.sampled_from(["mine", "mine", "é [red]", "a$b$"]))
    command = draw(
        st.sampled_from([
            ["ablate", "--task", "t.jsonl", "--models", f"./{name}", "--no-knockout"],
            ["ablate", "--task", "t.jsonl", "--models", f"./{name}", "--no-knockout", "--json"],
            ["ablate", "--task", "t.jsonl", "--models", f"./{name}", "--plan"],
        ])
    )  # fmt: skip
    return Case(
        "model", tuple(command), {"t.jsonl": task} | {f"{name}/{file}": content for file, content in files.items()}
    )


@st.composite
def edited_weights(draw: st.DrawFn, content: bytes) -> bytes:
    """Weights with a tensor renamed, removed, of another shape or type, or not finite."""
    length = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + length]), bytearray(content[8 + length :])
    name = draw(st.sampled_from(sorted(set(header) - {"__metadata__"})))
    entry = header[name]
    match draw(st.sampled_from(["rename", "remove", "shape", "type", "nan", "offsets", "length"])):
        case "rename":
            header[draw(st.sampled_from([f"module.{name}", f"{name}_scale_inv", ""]))] = header.pop(name)
        case "remove":
            del header[name]
        case "shape":
            entry["shape"] = draw(
                st.sampled_from([[], [1], [0], entry["shape"][::-1], [*entry["shape"], 1], [2**40, 2**40]])
            )
        case "type":
            entry["dtype"] = draw(st.sampled_from(["F16", "BF16", "I32", "F8_E4M3", "F64", "X"]))
        case "nan":
            start = entry["data_offsets"][0]
            data[start : start + 4] = b"\x00\x00\xc0\x7f"
        case "offsets":
            entry["data_offsets"] = draw(st.sampled_from([[0, 0], [0, 2**50], [8, 4], [1, 5]]))
        case "length":
            return draw(st.sampled_from([0, 8, 2**40, 2**63])).to_bytes(8, "little") + content[8:]
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(data)
