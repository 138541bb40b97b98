"""What a probe that knows nothing would report: the null beside every finding."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from distractor.models.site import Part, Site
from distractor.text.task import Condition

if TYPE_CHECKING:
    from xarray import DataArray

    from distractor.models.model import Model
    from distractor.probing.run import Run


@dataclass(frozen=True)
class Chance:
    """An effect for each head and MLP that is drawn at random, without a look at any activation.

    The reading has the dims and the unit of `ablation`'s, [component condition item] in nats, and the spread of the
    items' own gaps, so that the same figures, tables and tests take it. Its mean is 0 everywhere: whatever it seems to
    find is found by chance.
    """

    seed: int = 0
    conditions: tuple[Condition, ...] = (Condition.CONFLICT, Condition.CONGRUENT)
    writes: tuple[Part, ...] = ()

    def sites(self, model: "Model") -> Sequence[Site]:
        """None."""
        return []

    def __call__(self, run: "Run") -> "DataArray":
        """A random effect of each component on the gap of each item under each condition."""
        import numpy as np
        from xarray import DataArray

        from distractor.probing.probe import names_of

        parts: list[str] = []
        for layer in range(run.model.n_layers):
            parts += [str(Site(layer, "z", head)) for head in range(run.model.n_heads)]
            parts.append(str(Site(layer, "mlp_out")))
        spread = float(run.gap.double().std())
        drawn = np.random.default_rng(self.seed).normal(size=(len(parts), *run.gap.shape))
        return DataArray(
            drawn * (spread or 1.0),
            dims=("component", "condition", "item"),
            coords={"component": parts, **names_of(run.batch)},
            name="chance",
            attrs={
                "quantity": "random numbers in the place of effects",
                "unit": "nats",
                "origin": f"chance, seed {self.seed}, in the place of {run.model.name}",
            },
        )
