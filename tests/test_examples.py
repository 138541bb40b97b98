"""The examples in all docstrings are right."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("distractor", "probes", "tasks")
FILES = [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]
WITH_EXAMPLES = [str(file.relative_to(ROOT)) for file in FILES if ">>> " in file.read_text(encoding="utf-8")]

pytestmark = pytest.mark.quick


@pytest.mark.parametrize("file", WITH_EXAMPLES)
def test_the_examples_of_a_module_are_right(file: str) -> None:
    name = ".".join(Path(file).with_suffix("").parts).removesuffix(".__init__")
    assert doctest.testmod(importlib.import_module(name)).failed == 0
