"""The default probes in planted models, read once for all tests of what `attribute` shows."""

from functools import cache

import pytest

from planted_runs import Read, probed


@pytest.fixture(scope="session")
def read(tmp_path_factory: pytest.TempPathFactory) -> Read:
    """The default probes in a planted model of `KINDS`."""
    return cache(lambda name: probed(name, tmp_path_factory.mktemp("planted")))
