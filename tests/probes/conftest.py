"""Probes need models with hooks."""

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(scope="session")
def loaded(hooked: Callable[..., Any]) -> Callable[..., Any]:
    """Load a tiny model with hooks, shared by tests, which must not change it."""
    return hooked
