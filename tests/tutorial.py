"""Runs the cells of docs/tutorial.ipynb: `python -m tests.tutorial` renews its outputs."""

import ast
import base64
import contextlib
import io
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).parents[1] / "docs/tutorial.ipynb"


def code_cells() -> list[dict[str, Any]]:
    """The code cells of the notebook."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def run_cells(folder: Path) -> Iterator[tuple[str, Any]]:
    """What each cell prints, and the value of its last line, as a notebook in this folder would run them."""
    names: dict[str, Any] = {"__name__": "__main__"}
    with contextlib.chdir(folder):
        for cell in code_cells():
            body = ast.parse("".join(cell["source"])).body
            last = body.pop() if isinstance(body[-1], ast.Expr) else None
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(ast.Module(body, []), "tutorial", "exec"), names)
                value = eval(compile(ast.Expression(last.value), "tutorial", "eval"), names) if last else None
            yield printed.getvalue(), value


def main() -> None:
    """Run the notebook in an empty folder, and store what it prints and draws."""
    from distractor.runs.folder import render

    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    with tempfile.TemporaryDirectory() as folder:
        for number, (cell, (printed, value)) in enumerate(zip(cells, run_cells(Path(folder)), strict=True), 1):
            cell["execution_count"] = number
            cell["outputs"] = []
            if printed:
                text = printed.splitlines(keepends=True)
                cell["outputs"].append({"output_type": "stream", "name": "stdout", "text": text})
            if value is not None:
                png = base64.b64encode(render(value, kinds=("png",))["png"]).decode()
                data = {"image/png": png, "text/plain": [repr(value)]}
                result = {"output_type": "execute_result", "execution_count": number, "metadata": {}, "data": data}
                cell["outputs"].append(result)
    NOTEBOOK.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
