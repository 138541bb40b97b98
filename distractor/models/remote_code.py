"""Python files that come with a model folder and replace classes of transformers (`auto_map`)."""

import json
from pathlib import Path

from distractor.errors import ModelError
from distractor.files import read_file

CONFIGS = ("config.json", "tokenizer_config.json")


def code_files(folder: Path) -> list[Path]:
    """The Python files of a folder whose configurations refer to code; otherwise none."""
    return sorted(folder.rglob("*.py")) if _references(folder) else []


def refuse_foreign_code(folder: Path) -> None:
    """Raise ModelError if a configuration refers to code in another repository, which no hash of the folder covers."""
    if foreign := [name for name in _references(folder) if "--" in name]:
        raise ModelError(
            f"{folder} refers to Python code in another repository ({foreign[0]}); copy its .py files into the folder and "
            f"remove {foreign[0].split('--')[0] + '--'!r} from `auto_map`"
        )


def _references(folder: Path) -> list[str]:
    """The classes that `auto_map` names, such as `modeling_mine.MineForCausalLM`."""
    names: list[str] = []
    for config in CONFIGS:
        try:
            auto_map = json.loads(read_file(folder / config))["auto_map"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue
        values = auto_map.values() if isinstance(auto_map, dict) else [auto_map]
        for value in values:
            names += [str(name) for name in (value if isinstance(value, list) else [value]) if name]
    return names
