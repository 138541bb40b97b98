"""The model that a file of lm-evaluation-harness describes: size, training step and family, from the file or from names."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from distractor.curves.model_size import family_in, seed_in, sizes_in, steps_in
from distractor.curves.request import AXES
from distractor.errors import ScalingError, TableError
from distractor.statistics.curve import Size
from distractor.text.rows import parse_json, read_bytes

DATE = r"\d{4}-\d\d-\d\dT[\d.:-]+"


def model_cells(
    path: Path, content: Mapping[str, Any], axis: str, place: Size | None, seed: int | None
) -> dict[str, Any]:
    """The cells of a table that name the model of a file: size, step, seed and family, as far as they are known.

    `content` is that of the results file. A `place` on the axis and a `seed` from the user come first. Raises ScalingError
    if the place on the axis is unknown.
    """
    names = list(_names(path, content))
    sizes = next((sizes for name in names if (sizes := sizes_in(name))), ())
    count = _entry(content, "config").get("model_num_parameters")
    if isinstance(count, int) and not isinstance(count, bool) and count > 0:
        sizes = (count,)
    steps = next((steps for name in names if (steps := steps_in(name))), ())
    seeds = [number for name in names if (number := seed_in(name)) is not None]
    cells: dict[str, Any] = {"seed": seed if seed is not None else (*seeds, 0)[0]}
    cells |= {name: found[0] for name, found in (("n_params", sizes), ("step", steps)) if len(found) == 1}
    if place is not None:
        cells[AXES[axis][0]] = place
    elif AXES[axis][0] not in cells:
        what = "size" if axis == "parameters" else axis
        found = sizes if axis == "parameters" else steps
        reason = "its name contains several" if found else "neither the file nor its name contains it"
        example = f"{1000 if axis == 'step' else '70M'}={path}"
        raise ScalingError(
            f"the {what} of the model of {path} is unknown ({reason}); write it before the file: {example}"
        )
    family = next((family for name in names[:-2] if (family := family_in(name))), None)
    return cells | ({"family": family} if family else {})


def results_of_run(path: Path) -> Mapping[str, Any]:
    """The results file of the run that wrote the log `path`, next to it, with the same date; empty if there is none."""
    date = re.search(rf"_({DATE})\.jsonl(\.gz)?$", path.name)
    results = path.with_name(f"results_{date[1]}.json") if date else None
    if results is None or not results.is_file():
        return {}
    try:
        content = parse_json(read_bytes(results).decode("utf-8", "replace"), str(results))
    except TableError:
        return {}
    return content if isinstance(content, dict) else {}


def _names(path: Path, content: Mapping[str, Any]) -> Iterator[str]:
    """The names that may contain a size, the surest first; the last two are those of the file and its folder."""
    arguments = _entry(content, "config").get("model_args")
    if isinstance(arguments, str):
        arguments = dict(pair.partition("=")[::2] for pair in arguments.split(","))
    arguments = arguments if isinstance(arguments, dict) else {}
    given = [content.get("model_name"), *(arguments.get(name) for name in ("pretrained", "model", "path", "revision"))]
    yield from (name for name in given if isinstance(name, str))
    yield path.name.split(".json")[0]
    yield path.parent.name


def _entry(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    entry = content.get(name)
    return entry if isinstance(entry, dict) else {}
