"""Finds the layers whose attention or MLP has the same weights in two models, so that it cannot be what was changed."""

import re

import numpy as np

from distractor.models.adapter import adapter_files
from distractor.models.downloads import fetch
from distractor.models.same_run import WeightTensor, stored_tensors, tensors
from distractor.models.source import Source

LAYER = re.compile(r"(?:^|\.)(?:h|layers|blocks)\.(\d+)\.(.+)")  # the number of a tensor's layer, in any architecture
NORM = re.compile(r"norm|(?:^|\.)ln_")
MLP = re.compile(r"mlp|(?:^|\.)fc\d|feed_forward|ffn|experts")


def same_weights(first: Source, second: Source) -> frozenset[str]:
    """The attention (`L1.attn`) and MLPs (`L1.mlp`) whose weights, with the norms of their layer, are equal in two models.

    What an adapter changes is different. Empty if weights are not stored as safetensors.
    """
    for source in (first, second):
        fetch(source.weights, alone=False)
    ours, theirs = dict(tensors(first.folder)), dict(tensors(second.folder))
    found: set[str] = set()
    changed: set[str] = set()
    for adapter in (source.adapter for source in (first, second) if source.adapter):
        files = adapter_files(adapter)
        if files[-1].suffix != ".safetensors":
            return frozenset()
        changed |= {owner for name, _ in stored_tensors(files[-1]) for owner in _owners(name)}
    for name in {*ours, *theirs}:
        owners = _owners(name)
        found |= owners
        if not (owners <= changed or _are_equal(ours.get(name), theirs.get(name))):
            changed |= owners
    return frozenset(found - changed)


def _owners(name: str) -> set[str]:
    """The attention and MLP that a tensor belongs to; none outside the layers."""
    if not (place := LAYER.search(name)):
        return set()
    number, rest = place.groups()
    parts = ("attn", "mlp") if NORM.search(rest) else ("mlp",) if MLP.search(rest) else ("attn",)
    return {f"L{number}.{part}" for part in parts}


def owner(site: str) -> str:
    """The attention or MLP that computes a site; empty for the residual stream, which has no weights.

    >>> owner("L1H0.z"), owner("L2.mlp_out"), owner("L0.resid_post at cue")
    ('L1.attn', 'L2.mlp', '')
    """
    where, _, part = site.partition(" at ")[0].partition(".")
    if part.startswith("resid"):
        return ""
    return f"{where.partition('H')[0]}.{'mlp' if part == 'mlp_out' else 'attn'}"


def _are_equal(first: WeightTensor | None, second: WeightTensor | None) -> bool:
    if first is None or second is None or first[1:3] != second[1:3]:
        return False
    # Bytes, so that every dtype is compared exactly.
    a, b = (np.memmap(path, mode="r", offset=start, shape=(size,)) for path, _, _, start, size in (first, second))
    return all(np.array_equal(a[some], b[some]) for some in (slice(0, 4096), slice(4096, None)))
