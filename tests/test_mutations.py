"""One mistake in each public function of three chapters, one at a time: the chapter's quick tests must fail.

Run it with `python -m pytest -m slow tests/test_mutations.py -n auto`. A survivor needs a quick test.
"""

import ast
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CHAPTERS = ("statistics", "scoring", "probing")
COPIED = ("distractor", "probes", "tasks", "tests", "experiments")

SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.MatMult: ast.Add,
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
"""The replacement of each operator."""


def public_functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Public functions, and public methods of public classes."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node.name, node
        if (
            isinstance(node, ast.ClassDef)
            and not node.name.startswith("_")
            and "Protocol" not in map(name_of, node.bases)
        ):
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                    yield f"{node.name}.{method.name}", method


def name_of(node: ast.expr) -> str:
    """The last name of an expression such as `typing.Protocol`."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def mutate(function: ast.FunctionDef, random_numbers: random.Random) -> str | None:
    """Change one operator of a function in place, or a returned value where it has no operator; say which."""
    inside = [node for statement in body_of(function) for node in ast.walk(statement)]
    operators = [node for node in inside if isinstance(node, ast.BinOp | ast.BoolOp | ast.Compare)]
    operators = [node for node in operators if type(operator_of(node)) in SWAPS]
    if operators:
        node = random_numbers.choice(operators)
        old = operator_of(node)
        new = SWAPS[type(old)]()
        if isinstance(node, ast.Compare):
            node.ops[0] = new  # type: ignore[call-overload]
        else:
            node.op = new  # type: ignore[union-attr, assignment]
        return f"line {node.lineno}: {type(old).__name__} became {type(new).__name__}"
    returns = [node for node in inside if isinstance(node, ast.Return) and node.value is not None]
    if returns:
        node = random_numbers.choice(returns)
        node.value = ast.Constant(None)
        return f"line {node.lineno}: returns None"
    statements = [
        node for node in body_of(function) if isinstance(node, ast.Expr | ast.Assign | ast.AugAssign | ast.If)
    ]
    if not statements:
        return None
    node = random_numbers.choice(statements)
    function.body[function.body.index(node)] = ast.Pass()
    return f"line {node.lineno}: left out"


def operator_of(node: ast.AST) -> ast.AST:
    """The operator of an operation; of a chain of comparisons the first."""
    return node.ops[0] if isinstance(node, ast.Compare) else node.op  # type: ignore[attr-defined, no-any-return]


def body_of(function: ast.FunctionDef) -> list[ast.stmt]:
    """The statements of a function without its docstring."""
    has_docstring = ast.get_docstring(function) is not None
    return function.body[has_docstring:]


def mutated(path: Path, name: str) -> tuple[str, str]:
    """What is wrong, and the source of the file with that mistake in one function; the same in each run."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    what = mutate(dict(public_functions(tree))[name], random.Random(f"{path.parent.name} {path.name} {name}"))
    return what or "", ast.unparse(tree)


ALL = [
    pytest.param(chapter, path, name, id=f"{chapter}/{path.stem}:{name}")
    for chapter in CHAPTERS
    for path in sorted((ROOT / "distractor" / chapter).glob("*.py"))
    for name, _ in public_functions(ast.parse(path.read_text(encoding="utf-8")))
]


SERVER = """
import json, os, signal, sys
import matplotlib.figure, pandas, pyarrow.parquet, pytest, scipy.stats, torch, transformer_lens, transformers, xarray
for line in sys.stdin:
    folder, chapter, log = json.loads(line)
    child = os.fork()
    if not child:
        signal.alarm(300)  # an endless loop is a failure, too
        output = os.open(log, os.O_WRONLY | os.O_CREAT)
        os.dup2(output, 1), os.dup2(output, 2)
        os.chdir(folder)
        sys.path[:0] = [folder]
        os._exit(pytest.main(["-q", "-x", "-W", "ignore", "-m", "quick", "-p", "no:cacheprovider", f"tests/{chapter}"]))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Imports the libraries once; a copy of it runs the tests of each folder that it is given."""


@pytest.fixture(scope="module")
def server() -> Iterator[subprocess.Popen[str]]:
    environment = os.environ | {"PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-c", SERVER]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
        cwd=ROOT.anchor,
    ) as running:  # fmt: skip
        yield running
        assert running.stdin is not None
        running.stdin.close()


def exit_status(server: subprocess.Popen[str], folder: Path, chapter: str) -> int:
    """What the chapter's quick tests end with on the code in a folder; minus the signal that ended them."""
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps([str(folder), chapter, str(folder / "log.txt")]) + "\n")
    server.stdin.flush()
    return int(server.stdout.readline())


def copy_code(folder: Path) -> None:
    """Copy the code; everything else is linked."""
    for name in COPIED:
        for file in (ROOT / name).rglob("*"):
            copy = folder / file.relative_to(ROOT)
            if file.is_dir() or "__pycache__" in file.parts:
                continue
            copy.parent.mkdir(parents=True, exist_ok=True)
            if file.suffix == ".py":
                shutil.copy(file, copy)
            else:
                copy.symlink_to(file)
    shutil.copy(ROOT / "pyproject.toml", folder)


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mutated")
    copy_code(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_without_a_mistake_the_quick_tests_pass(chapter: str, copied: Path, server: subprocess.Popen[str]) -> None:
    assert exit_status(server, copied, chapter) == 0, (copied / "log.txt").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(("chapter", "path", "name"), ALL)
def test_a_mistake_in_a_public_function_fails_a_quick_test(
    chapter: str, path: Path, name: str, copied: Path, server: subprocess.Popen[str]
) -> None:
    what, source = mutated(path, name)
    if not what:
        pytest.skip("nothing in it can be changed")
    target = copied / path.relative_to(ROOT)
    before = target.read_text(encoding="utf-8")
    target.write_text(source, encoding="utf-8")
    try:
        status = exit_status(server, copied, chapter)
    finally:
        target.write_text(before, encoding="utf-8")
    assert status in (1, 2, -signal.SIGALRM), f"{what}: no quick test of {chapter} fails (exit status {status})"
