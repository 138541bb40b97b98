"""`compare` names the site whose weights were edited, also where another site's effect changes as much."""

from pathlib import Path

import pytest

from distractor.comparison.compare import PROBES as COMPARED
from distractor.comparison.compare import compare
from distractor.comparison.result import Pair
from distractor.comparison.tables import tables
from distractor.models.same_weights import same_weights
from distractor.scoring.settings import Settings
from distractor.scoring.store import Store
from networks import ARCHITECTURES, Architecture
from probes import PROBES
from shelf import EDITED, NOISE, source
from shown import printed

pytestmark = pytest.mark.quick


def compared(folder: Path, name: str, architecture: Architecture, noise: float) -> tuple[Pair, str]:
    """The comparison of a pair of edited models, and its text."""
    pair = EDITED[name]()
    sources = [
        source(folder, side, planted, architecture, noise=noise)
        for side, planted in (("before", pair.before), ("after", pair.after))
    ]
    probes = {probe: PROBES[probe] for probe in COMPARED}
    settings = Settings(device="cpu", self_check=False)
    result = compare(pair.after.task(), sources, probes, store=Store(folder / "cells"), settings=settings)
    return result.pairs[0], " ".join(printed(tables(result)).split())


@pytest.mark.parametrize("noise", [0.0, NOISE])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", ["mlp", "true_head"])
def test_the_edited_site_is_the_one_that_changed_most(
    name: str, architecture: Architecture, noise: float, tmp_path: Path
) -> None:
    pair, text = compared(tmp_path, name, architecture, noise)
    assert pair.match == "name"
    (edited,) = EDITED[name]().edited
    assert pair.changed_most is not None
    _, change, i = pair.changed_most
    assert change.sites[i] == edited
    assert f"changed most is {edited}" in text
    assert "weights are the same" not in text


def test_layers_with_equal_weights_are_found(tmp_path: Path) -> None:
    pair = EDITED["mlp"]()
    for architecture in ARCHITECTURES:
        before, after = (
            source(tmp_path, f"{architecture}{side}", planted, architecture).folder
            for side, planted in (("before", pair.before), ("after", pair.after))
        )
        every = {f"L{layer}.{part}" for layer in range(3) for part in ("attn", "mlp")}
        assert same_weights(before, after) == every - {"L1.mlp"}
        assert same_weights(before, before) == every
