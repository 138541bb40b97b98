"""Heads are named from config.json alone."""

from pathlib import Path

import pytest

import tiny
from conftest import Loaded
from distractor.models.heads import head_names
from distractor.models.source import Source


@pytest.mark.parametrize("architecture", [*tiny.ARCHITECTURES, *tiny.FURTHER])
def test_heads_are_known_before_the_model_is_loaded(architecture: str, loaded: Loaded) -> None:
    model = loaded(architecture).hooked
    expected = tuple(f"L{layer}H{head}" for layer in range(model.n_layers) for head in range(model.n_heads))
    assert head_names(Source("models", "own", Path(model.name))) == expected
