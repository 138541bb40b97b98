"""The folder of a run: opened, checked and filled, each file whole or not at all."""

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distractor.errors import StoreError
from distractor.files import write_bytes, write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def run_hash(manifest: Mapping[str, Any]) -> str:
    """What makes a run the same run: all but the wording of the command and the versions."""
    told = {name: value for name, value in manifest.items() if name not in ("command", "versions")}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def open_run(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Make `folder` the place for a run's results: its manifest is written there first, results after it.

    A folder that was begun by the same run, finished or not, is gone on with.

    Raises:
        StoreError: the folder holds another run's results or something else, or nothing can be written there.

    """
    path = folder / "manifest.json"
    try:
        there = json.loads(path.read_text()) if path.exists() else None
        is_used = folder.exists() and any(p for p in folder.iterdir() if p.suffix != ".part")
    except (OSError, ValueError) as error:
        raise StoreError(f"{folder} cannot be used for results ({error}); choose another folder with --out") from error
    if (there is None and is_used) or (there is not None and not isinstance(there, dict)):
        raise StoreError(f"{folder} is not empty and holds no run; choose another folder with --out")
    if there is not None and run_hash(there) != run_hash(manifest):
        raise StoreError(f"{folder} holds the results of another run; choose another folder with --out, or remove it")
    write_text(path, json.dumps(manifest, indent=1) + "\n")


def close_empty(folder: Path) -> None:
    """Remove a run's folder that holds nothing but its manifest."""
    with suppress(OSError):
        if [path.name for path in folder.iterdir()] == ["manifest.json"]:
            (folder / "manifest.json").unlink()
            folder.rmdir()


def figures_hash(folder: Path, told: Mapping[str, Any]) -> str:
    """What decides a run's figures: its summary, its values and all code of the package, since plots compute bands."""
    from importlib.metadata import version

    found = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    found.update((folder / "results.parquet").read_bytes())
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        found.update(path.read_bytes())
    found.update(version("matplotlib").encode())
    return found.hexdigest()[:16]


def figures_drawn(folder: Path, drawn_from: str) -> list[str] | None:
    """The figures that are there, if they are drawn from this; the summary, written last, says so."""
    try:
        told = json.loads((folder / "summary.json").read_text())["figures"]
        names: list[str] = told["names"] if told["drawn_from"] == drawn_from else []
    except (OSError, ValueError, KeyError, TypeError):
        return None
    is_there = all((folder / "figures" / f"{name}.{kind}").exists() for name in names for kind in FIGURE_KINDS)
    return names if names and is_there else None


FIGURE_KINDS = ("png", "svg")


def write_figures(folder: Path, figures: "Mapping[str, Figure]", kinds: Sequence[str] = FIGURE_KINDS) -> None:
    """Write each figure as PNG and SVG, or one of them, each whole or not at all; the same figure gives the same bytes."""
    import matplotlib as mpl

    from distractor.runs.style import STYLE

    for name, figure in figures.items():
        for kind in kinds:
            buffer = io.BytesIO()
            with mpl.rc_context(STYLE):  # the drawing's names of parts are made up while it is saved
                figure.savefig(buffer, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)
            figure.set_layout_engine("none")  # laid out once, which takes as long as drawing
            write_bytes(folder / f"{name}.{kind}", buffer.getvalue())
