"""Runs of `attribute` on planted models."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from distractor.attribution.attribute import attribute
from distractor.models.source import Source
from distractor.probing.probe_results import ProbeResults
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from networks import Architecture
from probes import DEFAULT, PROBES
from shelf import NOISE, PLANTED, source

Read = Callable[[str], ProbeResults]
KINDS: dict[str, tuple[Architecture, float]] = {
    "mlp": ("llama", NOISE),
    "suppression_by_scores": ("gpt_neox", 0.0),
    "suppression_downstream": ("llama", 0.0),
    "shared_mlp": ("gpt_neox", NOISE),
    "inversion": ("llama", 0.0),
    "unlearned": ("gpt_neox", 0.0),
}


def probed(name: str, folder: Path, kind: tuple[Architecture, float] | None = None) -> ProbeResults:
    """The default probes in the planted model `name`, which is saved in `folder`, of a kind; None: as in `KINDS`."""
    planted, (architecture, noise) = PLANTED[name](), kind or KINDS[name]
    of = source(folder, name, planted, architecture, noise=noise)
    probes = {probe: PROBES[probe] for probe in DEFAULT}
    settings = Settings(device="cpu", self_check=False)
    return attribute(planted.task(16), [of], probes, store=Store(folder / "cells"), settings=settings)


def under_names(results: ProbeResults, sources: Sequence[Source]) -> ProbeResults:
    """The results of one model as those of several."""
    return replace(
        results,
        scores=tuple(replace(results.scores[0], source=one) for one in sources),
        readings={
            probe: tuple(replace(readings[0], source=one) for one in sources)
            for probe, readings in results.readings.items()
        },
        strengths=tuple(replace(results.strengths[0], source=one) for one in sources if results.strengths),
    )
