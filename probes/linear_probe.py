"""Linear probes (Alain and Bengio 2016): what a linear map reads from the residual stream at each layer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from distractor.models.site import Part, Site
from distractor.probing.probe import Probe
from distractor.text.task import Condition

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor
    from xarray import DataArray

    from distractor.models.hooked_model import HookedModel
    from distractor.probing.run import Batch, Run

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Ridge penalties to choose from, as shares of the features' mean squared size."""


@dataclass(frozen=True)
class LinearProbe(Probe):
    """How well a linear map predicts three labels from the residual stream at the answer slot, on held-out groups.

    `conflict` and `congruent` are pooled. The label `distractor_answer` is the answer of the distractor task, and `cue`
    is the condition. `right_answer` is their exclusive or, so a map that predicts it shows that the model combined the
    two. `distractor_answer` and `right_answer` need a task with only two different answers.

    A ridge regression on ±1 is fitted at each stage and tested on items of other groups. Features are standardised, and
    the penalty is chosen by leave-one-out error, both on the fitted items alone. The reading is [label control stage
    condition item]: 1 if the label is predicted correctly, 0 if not, ½ if the score is 0. Its mean is the accuracy, .5
    by chance.

    Three controls accompany the `model`: `untrained` is the same architecture with random weights, and `bag_of_tokens`
    the counts of the prompt's tokens. `random_labels` are drawn for each group, and a group's items are in training and
    test folds. They measure how much a probe memorises about groups (Hewitt and Liang 2019).

    Raises:
        TaskError: fewer than two groups of items.
    """

    folds: int = 5
    seed: int = 0
    draws: int = 4
    conditions: tuple[Condition, ...] = (Condition.CONFLICT, Condition.CONGRUENT)
    slot_parts: ClassVar[tuple[Part, ...]] = ("resid_pre", "resid_post")

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise ValueError(f"{self.folds} folds leave no other items to fit to; use at least 2")

    def sites(self, model: "HookedModel") -> Sequence[Site]:
        """The residual stream before the first layer and after each layer."""
        return [Site(0, "resid_pre"), *(Site(layer, "resid_post") for layer in range(model.n_layers))]

    def __call__(self, run: "Run") -> "DataArray":
        """Whether each label is predicted correctly, for each item under each condition, at each stage."""
        import numpy as np
        import torch

        from distractor.probing.run import observe

        batch, sites = run.batch, self.sites(run.model)
        untrained = observe(run.model.make_untrained(self.seed), batch, sites, slot_parts=self.slot_parts)
        features = {
            "model": _features(run, sites),
            "untrained": _features(untrained, sites),
            "bag_of_tokens": _bag(batch),
        }
        labels, groups = _labels(batch), _groups(batch)
        by_group = groups % self.folds
        # For random labels, each group's rows are spread over all folds, so that every group is in training and test.
        dealt = np.array([(groups[:k] == g).sum() + g for k, g in enumerate(groups)]) % self.folds
        types = _random_labels(groups, self.draws, self.seed)
        correct: dict[str, list[Tensor]] = {name: [] for name in labels}
        for values in features.values():
            right = _are_predicted(values, torch.tensor(np.stack(list(labels.values()))), torch.tensor(by_group))
            for name, row in zip(labels, right, strict=True):
                correct[name].append(row.expand(len(sites), -1))  # one bag of tokens for all stages
        remembered = _are_predicted(features["model"], torch.tensor(types), torch.tensor(dealt)).mean(0)
        table = torch.stack([torch.stack([*correct[name], remembered]) for name in labels])
        shape = len(batch.conditions), len(batch.items)
        return run.reading(
            "linear_probe",
            table.reshape(len(labels), len(features) + 1, len(sites), *shape),
            {"label": list(labels), "control": [*features, "random_labels"], "stage": list(map(str, sites))},
            quantity="accuracy on held-out groups",
            unit="share",
            origin=f"ridge regression on the residual stream of {run.model.name} at the answer slot",
        )


def _features(run: "Run", sites: Sequence[Site]) -> "Tensor":
    """The residual stream at the slot: [stage row d_model], a row for each condition and item."""
    import torch

    from distractor.probing.stream import at_slot

    return torch.stack([at_slot(run, site).flatten(0, 1).double().cpu() for site in sites])


def _bag(batch: "Batch") -> "Tensor":
    """The count of each token in each prompt, for all tokens that occur: [1 row token]."""
    import torch

    tokens = batch.tokens.flatten(0, 1).cpu()
    lengths = batch.lengths.cpu().repeat(len(batch.conditions))
    is_real = torch.arange(tokens.shape[1]) < lengths[:, None]
    known, index = tokens.unique(return_inverse=True)
    counts = torch.zeros(len(tokens), len(known), dtype=torch.float64)
    return counts.scatter_add_(1, index, is_real.double())[None]


def _groups(batch: "Batch") -> "np.ndarray":
    """The number of each row's group, in order of appearance."""
    import numpy as np

    from distractor.errors import TaskError

    names = list(dict.fromkeys(item.group for item in batch.items))
    if len(names) < 2:
        raise TaskError(
            f"all {len(batch.items)} items are of the group {names[0]!r}, but a linear probe is tested on other groups than "
            "it is fitted to; take more items"
        )
    return np.array([names.index(item.group) for item in batch.items] * len(batch.conditions))


def _labels(batch: "Batch") -> "Mapping[str, np.ndarray]":
    """The labels of each row, as ±1; only the cue if the task has more than two different answers."""
    import numpy as np

    cue = np.repeat([1.0 if c == Condition.CONFLICT else -1.0 for c in batch.conditions], len(batch.items))
    answers = sorted({answer for item in batch.items for answer in item.answers})
    if len(answers) != 2:
        return {"cue": cue}
    distractor = np.tile(
        [1.0 if item.distractor == answers[1] else -1.0 for item in batch.items], len(batch.conditions)
    )
    return {"distractor_answer": distractor, "cue": cue, "right_answer": -distractor * cue}


def _random_labels(groups: "np.ndarray", draws: int, seed: int) -> "np.ndarray":
    """A label for each group, half of them +1: [draw row]."""
    import numpy as np

    count = int(groups.max()) + 1
    half = np.where(np.arange(count) % 2 == 0, 1.0, -1.0)
    rng = np.random.default_rng(seed)
    return np.stack([rng.permutation(half)[groups] for _ in range(draws)])


def _are_predicted(features: "Tensor", labels: "Tensor", fold: "Tensor") -> "Tensor":
    """Whether each row's label is predicted by a map fitted on the other folds: [label stage row]."""
    import torch

    correct = torch.empty(len(labels), *features.shape[:2], dtype=torch.float64)
    for out in fold.unique():
        is_out = fold == out
        score = fit(features[:, ~is_out], labels[:, ~is_out], features[:, is_out])
        correct[:, :, is_out] = torch.where(score.abs() < 1e-9, 0.5, (score * labels[:, None, is_out] > 0).double())
    return correct


def fit(features: "Tensor", labels: "Tensor", new: "Tensor") -> "Tensor":
    """Scores of `new` rows, [label stage row], by ridge regressions on `features` [stage row d] and `labels` [label row].

    One decomposition for each stage serves all labels and penalties. The penalty of each label and
    stage is the one with the least leave-one-out error, which has a closed form.
    """
    import torch
    from einops import einsum

    mean, spread = features.mean(1, keepdim=True), features.std(1, correction=0, keepdim=True)
    # A constant feature has no information, and scaling would only amplify its rounding error.
    scale = torch.where(spread > 1e-9 * features.abs().amax((1, 2), keepdim=True), 1 / spread, 0)
    x, x_new = (features - mean) * scale, (new - mean) * scale
    middle = labels.mean(1, keepdim=True)
    u, s, vh = torch.linalg.svd(x, full_matrices=False)
    seen = einsum(u, labels - middle, "stage row singular, label row -> label stage singular")
    penalties = torch.tensor(PENALTIES, dtype=torch.float64) * x.shape[1]
    shrink = s**2 / (s**2 + penalties[:, None, None])  # [penalty stage singular]
    hat = einsum(shrink, u**2, "penalty stage singular, stage row singular -> penalty stage row") + 1 / x.shape[1]
    fitted = einsum(
        u, shrink, seen, "stage row singular, penalty stage singular, label stage singular -> penalty label stage row"
    )
    fitted = fitted + middle[:, None]
    errors = (((labels[:, None] - fitted) / (1 - hat).clamp(min=1e-9)[:, None]) ** 2).mean(-1)  # [penalty label stage]
    best = errors.argmin(0)
    weight = torch.where(s > 0, shrink / torch.where(s > 0, s, 1), 0)[
        best, torch.arange(len(s))
    ]  # [label stage singular]
    scores: Tensor = einsum(
        x_new, vh, weight * seen, "stage row feature, stage singular feature, label stage singular -> label stage row"
    )
    return scores + middle[:, None]
