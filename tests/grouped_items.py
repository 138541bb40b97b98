"""Simulated values of items that agree within their groups."""

import numpy as np
from numpy import ndarray

from distractor.statistics.changes import changes

N_GROUPS, N_ITEMS, N_ROWS = 40, 2, 19
GROUPS = [str(i // N_ITEMS) for i in range(N_GROUPS * N_ITEMS)]


def grouped(n_groups: int, each: int = 2) -> list[str]:
    return [str(item // each) for item in range(n_groups * each)]


def clustered(rng: np.random.Generator, sites: int, n_groups: int, each: int = 4, mean: float = 0.0) -> np.ndarray:
    """Effects whose items agree within a group, so that there are fewer independent values than items."""
    noise = np.repeat(rng.normal(size=(sites, n_groups)), each, -1) + 0.1 * rng.normal(size=(sites, n_groups * each))
    return mean + noise


def items(rng: np.random.Generator, rows: int = N_ROWS, seeds: int = 1) -> ndarray:
    """Values of a model's items, similar within groups and between rows, and the same for all seeds."""
    size = (rows, 1, N_GROUPS)
    of_groups = rng.normal(size=(1, 1, N_GROUPS)) + rng.normal(size=size)
    return np.repeat(np.repeat(of_groups, N_ITEMS, 2) + rng.normal(size=(rows, 1, N_GROUPS * N_ITEMS)), seeds, 1)


def with_seeds(base: ndarray, rng: np.random.Generator, seeds: int, noise: float) -> ndarray:
    return np.repeat(base, seeds, 1) + noise * rng.normal(size=(len(base), seeds, 1))


def calls(first: ndarray, second: ndarray, **more: bool) -> list[str]:
    return [one.call for one in changes(first, second, GROUPS, counted=[False] * len(first), **more)]
