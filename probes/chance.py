"""A null control: random numbers that have the form of ablation effects."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from distractor.models.site import Site
from distractor.probing.probe import Probe
from distractor.text.task import Condition

if TYPE_CHECKING:
    from xarray import DataArray

    from distractor.probing.run import Run


@dataclass(frozen=True)
class Chance(Probe):
    """Random effects of each head and MLP; no activation is read.

    The reading has the dims and unit of `ablation`, [component condition item] in nats, and the spread of the items'
    gaps. So the same figures, tables and tests apply. Its true mean is 0 everywhere: each mark is a false positive.
    """

    seed: int = 0
    conditions: tuple[Condition, ...] = (Condition.CONFLICT, Condition.CONGRUENT)

    def __call__(self, run: "Run") -> "DataArray":
        """A random effect of each component on the gap of each item under each condition."""
        import numpy as np

        parts: list[str] = []
        for layer in range(run.model.n_layers):
            parts += [str(Site(layer, "z", head)) for head in range(run.model.n_heads)]
            parts.append(str(Site(layer, "mlp_out")))
        spread = float(run.gap.double().std())
        drawn = np.random.default_rng(self.seed).normal(size=(len(parts), *run.gap.shape))
        return run.reading(
            "chance",
            drawn * (spread or 1.0),
            {"component": parts},
            quantity="random numbers instead of effects",
            unit="nats",
            origin=f"chance, seed {self.seed}, for {run.model.name}",
        )
