"""Mean ablation equals an independent slow computation and finds a planted mechanism."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from xarray import DataArray, testing

import tiny
import wired
from conftest import Hooked
from distractor.errors import ModelError, TaskError
from distractor.models.hooked_model import HookedModel
from distractor.models.load import load
from distractor.models.site import Site, site_of
from distractor.probing import run as run_module
from distractor.probing.measure import measure
from distractor.probing.replacement_values import ReplacementValues
from distractor.probing.replacements import Replacements
from distractor.probing.run import batch, observe
from distractor.scoring.encode import Encoding, encode
from distractor.scoring.quantities import distractor_pull, logit_gap, true_pull
from distractor.scoring.score import score
from distractor.text.task import Condition
from probes import PROBES
from probes.ablation import Ablation, AblationKind, Compensation

FOLDS = 3
CONFLICT, CONGRUENT, SWAPPED = Condition.CONFLICT, Condition.CONGRUENT, Condition.DISTRACTOR_SWAPPED
PAIR = (CONFLICT, CONGRUENT)
EVERY = [Site(layer, part) for layer in (0, 1) for part in ("z", "mlp_out")]


# The slow computation: plain transformers, its own forward hooks, one prompt at a time, means in plain loops. `where` is the
# module whose input (a layer's heads, before they are mixed) or output (its MLP) is replaced.
Where = tuple[Any, slice | None]


def places(network: Any, architecture: str) -> dict[str, Where]:
    """The module of each component, and the slice of its input that belongs to a head; None: the module's output."""
    gpt2 = architecture == "gpt2"
    found: dict[str, Where] = {}
    for layer, block in enumerate(network.transformer.h if gpt2 else network.model.layers):
        mixer = block.attn.c_proj if gpt2 else block.self_attn.o_proj
        for head in range(4):
            found[f"L{layer}H{head}.z"] = mixer, slice(4 * head, 4 * head + 4)
        found[f"L{layer}.mlp_out"] = block.mlp, None
    return found


def gap_of(network: Any, row: Any, where: Where | None, edit: Callable[[torch.Tensor], torch.Tensor | None]) -> float:
    """The gap for one prompt while `edit` reads, and may replace, the activation at `where`."""

    def before(module: Any, given: Any) -> Any:
        new = edit(given[0][0][:, where[1]])
        if new is None:
            return None
        changed = given[0].clone()
        changed[0][:, where[1]] = new
        return (changed, *given[1:])

    def after(module: Any, given: Any, made: Any) -> Any:
        new = edit(made[0])
        return None if new is None else new[None]

    handle = None
    if where is not None:
        module, stretch = where
        handle = module.register_forward_pre_hook(before) if stretch else module.register_forward_hook(after)
    with torch.no_grad():
        logits = network(torch.tensor([row.prompt])).logits[0, -1]
    if handle is not None:
        handle.remove()
    true, distractor = (answer[0] for answer in row.answers)
    return float(logits[true] - logits[distractor])


def value_at(network: Any, row: Any, where: Where) -> torch.Tensor:
    """The activation at `where`: [pos d]."""
    seen: list[torch.Tensor] = []
    gap_of(network, row, where, lambda value: seen.append(value.clone()))
    return seen[0]


def slowly(
    model: HookedModel, encoding: Encoding, architecture: str, conditions: tuple[Condition, ...]
) -> dict[str, list[float]]:
    """Each component's effect on each condition and item, computed as the probe's docstring says."""
    network, items = tiny.plain(model.name), encoding.items
    groups = list(dict.fromkeys(item.group for item in items))
    fold = [groups.index(item.group) % FOLDS for item in items]
    effects: dict[str, list[float]] = {}
    for name, where in places(network, architecture).items():
        seen = {(c, i): value_at(network, encoding.rows[c][i], where) for c in conditions for i in range(len(items))}
        effects[name] = []
        for c in conditions:
            for i in range(len(items)):
                row = encoding.rows[c][i]
                mean = []
                for role in row.roles:
                    for alike in (lambda r, role=role: r == role, lambda r, role=role: r[0] == role[0], lambda r: True):
                        cells: dict[tuple[Condition, str], list[torch.Tensor]] = {}
                        for (c2, j), value in seen.items():
                            if fold[j] != fold[i]:
                                for place, r in enumerate(encoding.rows[c2][j].roles):
                                    if alike(r):
                                        cells.setdefault((c2, items[j].true), []).append(value[place])
                        if cells:
                            break
                    mean.append(sum(sum(values) / len(values) for values in cells.values()) / len(cells))
                knocked_out = gap_of(network, row, where, lambda value, mean=mean: torch.stack(mean))
                effects[name].append(knocked_out - gap_of(network, row, None, lambda value: None))
    return effects


@pytest.mark.parametrize(
    ("architecture", "tokenizer", "conditions"),
    [
        ("gpt2", "bytes", (CONFLICT, CONGRUENT)),
        ("gpt2", "words_bos", (CONFLICT, SWAPPED)),
        ("llama_grouped_tied", "bytes_bos", (CONFLICT, CONGRUENT)),
    ],
)
def test_effects_equal_an_independent_slow_computation(
    hooked: Hooked, architecture: str, tokenizer: str, conditions: tuple[Condition, ...]
) -> None:
    model = hooked(architecture, tokenizer)
    encoding = encode(uneven(), model)
    kept = encoding.complete(conditions)
    encoding = Encoding(
        replace(encoding.task, items=tuple(encoding.items[i] for i in kept)),
        {c: tuple(encoding.rows[c][i] for i in kept) for c in conditions},
        {},
    )
    assert len(kept) >= 4
    reading = Ablation(FOLDS, conditions)(observe(model, batch(encoding, model, conditions)))
    expected = slowly(model, encoding, architecture, conditions)
    assert list(reading.component.values) == [
        f"L{n}{c}" for n in (0, 1) for c in ("H0.z", "H1.z", "H2.z", "H3.z", ".mlp_out")
    ]
    for name, effects in expected.items():
        assert_allclose(reading.sel(component=name).values.ravel(), effects, atol=1e-9, rtol=0)
    assert np.abs(reading).max() > 1e-2


def uneven() -> Any:
    """A task with words of different length, some longer than all others, and with unequal frequencies of labels."""
    pairs = [("Rome", "Paris"), ("Rome", "kitten"), ("gold", "Rome"), ("gold", "Paris"), ("lamb", "gold")]
    task = tiny.task(pairs)
    return replace(task, items=task.items[:-1])


def test_a_mean_leaves_out_the_items_own_fold(hooked: Hooked) -> None:
    model = hooked("gpt2", "bytes")
    probe = Ablation(FOLDS)
    run = observe(model, batch(encode(tiny.task(), model), model, probe.conditions), EVERY)
    effect = probe(run)
    group = run.batch.items[0].group
    theirs = torch.tensor([item.group == group for item in run.batch.items])
    noise = {site: value + theirs.view(1, -1, *[1] * (value.ndim - 2)) for site, value in run.seen.items()}
    disturbed = probe(replace(run, seen=noise))
    groups = list(dict.fromkeys(item.group for item in run.batch.items))
    same_fold = np.array([groups.index(item.group) % FOLDS == 0 for item in run.batch.items])
    assert_allclose(disturbed[..., same_fold], effect[..., same_fold], atol=1e-12, rtol=0)
    assert (np.abs(disturbed - effect)[..., ~same_fold].max(("component", "condition")) > 1e-6).all()


def test_effects_do_not_depend_on_the_order_of_items_within_a_fold(hooked: Hooked) -> None:
    """One item per fold: every mean is over all other items, in any order."""
    model, task = hooked("gpt2"), tiny.task()
    task = replace(task, items=tuple(replace(item, group=item.id) for item in task.items))
    probe = Ablation(folds=len(task.items))
    turned = measure(model, replace(task, items=task.items[::-1]), probe)
    assert_allclose(turned.sel(item=[i.id for i in task.items]), measure(model, task, probe), atol=1e-10, rtol=0)


def test_means_over_no_items_are_refused(hooked: Hooked) -> None:
    with pytest.raises(ValueError, match="1 folds leave no other items"):
        Ablation(folds=1)
    with pytest.raises(TaskError, match="all 2 items are of the group 'Paris/Rome'"):
        measure(hooked("gpt2"), tiny.task().take(2), Ablation())


def test_the_reading_has_its_quantity_unit_and_labels(hooked: Hooked) -> None:
    reading = measure(hooked("gpt2"), tiny.task(), PROBES["ablation"])
    assert reading.dims == ("component", "condition", "item")
    assert reading.attrs["quantity"] == "change of the logit gap"
    assert reading.attrs["unit"] == "nats"
    assert list(reading.condition.values) == ["conflict", "congruent"]
    assert list(reading.coords["item"].values) == [item.id for item in tiny.task().items]


# A planted mechanism.


def wire(folder: Path, **strengths: float) -> HookedModel:
    folder.mkdir(exist_ok=True)
    return load(wired.save(folder, wired.Strengths(**strengths)), device="cpu", dtype="float64").hooked


def gaps(model: HookedModel) -> dict[Condition, np.ndarray]:
    encoding = encode(wired.task(), model)
    return {c: logit_gap(score(model, encoding.items, encoding.rows[c])) for c in encoding.task.conditions}


def mean_effect(reading: DataArray, condition: Condition) -> dict[str, float]:
    mean = reading.sel(condition=str(condition)).mean("item")
    return dict(zip(mean.component.values.tolist(), mean.values.tolist(), strict=True))


@pytest.mark.parametrize(("second", "first"), [(2.0, 1.0), (1.0, 2.0), (0.0, 1.0)])
def test_the_wired_model_has_the_pulls_that_were_built_in(tmp_path: Path, second: float, first: float) -> None:
    gap = gaps(wire(tmp_path, first=first, second=second))
    assert_allclose(gap[CONFLICT], second - first, atol=0.01)
    assert_allclose(gap[CONGRUENT], -second - first, atol=0.01)
    assert_allclose(gap[Condition.DISTRACTOR_ONLY], -first, atol=0.01)
    assert_allclose(gap[Condition.TRUE_ONLY], second, atol=0.01)
    assert_allclose(gap[Condition.NEUTRAL], 0, atol=1e-9)
    assert_allclose(true_pull(gap[CONFLICT], gap[CONGRUENT]), second, atol=0.01)
    assert_allclose(distractor_pull(gap[CONFLICT], gap[CONGRUENT], gap[Condition.NEUTRAL]), first, atol=0.01)


@pytest.mark.parametrize(("second", "first", "ranked"), [(2.0, 1.0, "L0H1.z"), (1.0, 2.0, "L0H0.z")])
def test_the_planted_head_is_ranked_first_with_the_planted_effect(
    tmp_path: Path, second: float, first: float, ranked: str
) -> None:
    effect = mean_effect(measure(wire(tmp_path, first=first, second=second), wired.task(), Ablation()), CONFLICT)
    assert max(effect, key=lambda name: abs(effect[name])) == ranked
    assert effect["L0H0.z"] == pytest.approx(first, abs=0.01), "without the distractor's head the gap is wider"
    assert effect["L0H1.z"] == pytest.approx(-second, abs=0.01), "without the true cue's head it is narrower"


def test_a_component_that_writes_nothing_has_no_effect(tmp_path: Path) -> None:
    reading = measure(wire(tmp_path), wired.task(), Ablation())
    for idle in ("L0H2.z", "L0H3.z", "L0.mlp_out"):
        assert (reading.sel(component=idle) == 0).all(), idle


def test_a_pure_detector_has_an_effect_that_a_mean_over_conflict_alone_would_hide(tmp_path: Path) -> None:
    model = wire(tmp_path, detector=1.0)
    ours = measure(model, wired.task(), Ablation()).sel(component="L0H2.z", condition="conflict")
    alone = measure(model, wired.task(), Ablation(conditions=(CONFLICT,))).sel(component="L0H2.z", condition="conflict")
    assert_allclose(np.abs(ours), 1.0, atol=0.02)
    assert_allclose(alone, 0, atol=1e-12)
    assert fmean(ours.values) == pytest.approx(0, abs=0.02), "it pushes to A, for the true answer in half of the items"


def test_stored_and_newly_read_activations_give_the_same_effects(hooked: Hooked) -> None:
    model = hooked("gpt2", "bytes")
    together = batch(encode(tiny.task(), model), model, PAIR)
    for probe in (Ablation(FOLDS), Ablation(FOLDS, together=(Site(1, "z", 2), Site(0, "mlp_out")))):
        assert probe.sites(model) == []
        # Passes of other sizes round in another way.
        testing.assert_allclose(probe(observe(model, together)), probe(observe(model, together, EVERY)), atol=1e-10)


def test_each_layer_is_read_once(hooked: Hooked, monkeypatch: pytest.MonkeyPatch) -> None:
    model, read = hooked("gpt2", "bytes"), []

    def spy(*args: Any, **more: Any) -> Any:
        read.append([str(site) for site in args[2]] if len(args) > 2 else [])
        return observe(*args, **more)

    together = batch(encode(tiny.task(), model), model, PAIR)
    clean = observe(model, together)
    monkeypatch.setattr(run_module, "observe", spy)
    apart = (Site(1, "z", 2), Site(0, "z", 1), Site(1, "z", 0), Site(0, "mlp_out"))
    for sites in ((), apart):
        read.clear()
        Ablation(FOLDS, together=sites)(clean)
        assert [seen for seen in read if seen] == [["L0.z", "L0.mlp_out"], ["L1.z", "L1.mlp_out"]]


# Other replacement values than the mean.


def test_zero_ablation_equals_plain_transformers(hooked: Hooked) -> None:
    model = hooked("gpt2", "bytes")
    encoding, network = encode(tiny.task(), model), tiny.plain(model.name)
    reading = measure(model, tiny.task(), Ablation(kind="zero"))
    for name, where in places(network, "gpt2").items():
        for i, row in list(enumerate(encoding.rows[CONFLICT]))[:3]:
            plain = gap_of(network, row, None, lambda value: None)
            expected = gap_of(network, row, where, torch.zeros_like) - plain
            assert reading.sel(component=name, condition="conflict")[i].item() == pytest.approx(expected, abs=1e-9)


def test_a_donor_is_in_another_fold_and_gives_a_token_of_the_same_role(hooked: Hooked) -> None:
    model = hooked("gpt2", "bytes_bos")
    together = batch(encode(uneven(), model), model, (CONFLICT, CONGRUENT))
    others = ReplacementValues.of(together, FOLDS)
    donors = others.draw(np.random.default_rng(0))
    cases: Counter[str] = Counter()
    for c, i in np.ndindex(*others.cell.shape):
        for place, (name, k) in enumerate(together.roles[c][i]):
            d, j, there = (int(x[c, i, place]) for x in (donors.condition, donors.item, donors.pos))
            assert others.fold[j] != others.fold[i]
            theirs = together.roles[d][j]
            in_part = [other for part, other in theirs if part == name]
            if k in in_part:
                cases["role"] += 1
                assert theirs[there] == (name, k)
            elif in_part:
                cases["part"] += 1
                assert theirs[there][0] == name
                assert abs(theirs[there][1] - k) == min(abs(other - k) for other in in_part)
            else:
                cases["end"] += 1
                assert len(theirs) - there == len(together.roles[c][i]) - place
    assert len(cases) == 3, "some case never comes up, and the test shows less than it says"
    again, other = (others.draw(np.random.default_rng(seed)) for seed in (0, 1))
    assert torch.equal(again.item, donors.item)
    assert not torch.equal(other.item, donors.item)


def test_donors_are_balanced_over_conditions_and_labels(hooked: Hooked) -> None:
    model = hooked("gpt2")
    together = batch(encode(uneven(), model), model, (CONFLICT, CONGRUENT))
    others, rng = ReplacementValues.of(together, FOLDS), np.random.default_rng(0)
    cells = []
    for _ in range(400):
        donors = others.draw(rng)
        cells += others.cell[donors.condition[0, 0, 0], donors.item[0, 0, 0]].reshape(1).tolist()
    other_cells = {int(c) for c in others.cell[:, others.fold != others.fold[0]].flatten()}
    shares = np.bincount(cells, minlength=max(other_cells) + 1)[sorted(other_cells)] / len(cells)
    assert_allclose(shares, 1 / len(other_cells), atol=0.08)


def test_resampling_averages_the_effects_of_the_donors_activations(hooked: Hooked) -> None:
    model = hooked("gpt2", "bytes")
    probe = Ablation(FOLDS, kind="resample", draws=2, seed=5)
    run = observe(model, batch(encode(tiny.task(), model), model, probe.conditions), EVERY)
    rng, site = np.random.default_rng(5), Site(1, "mlp_out")
    drawn = [ReplacementValues.of(run.batch, FOLDS).draw(rng) for _ in range(2)]
    expected = sum((run.again({site: donors.give(run.seen[site])}).gap - run.gap).numpy() for donors in drawn) / 2
    assert_allclose(probe(run).sel(component=str(site)), expected, atol=1e-12)
    assert np.abs(expected).max() > 1e-3


@pytest.mark.parametrize("kind", ["zero", "resample"])
def test_other_replacement_values_also_rank_the_planted_head_first(tmp_path: Path, kind: AblationKind) -> None:
    effect = mean_effect(measure(wire(tmp_path), wired.task(), Ablation(kind=kind, draws=16)), CONFLICT)
    assert max(effect, key=lambda name: abs(effect[name])) == "L0H1.z"
    assert effect["L0H1.z"] == pytest.approx(-2, abs=0.35)
    assert effect["L0H3.z"] == 0


def test_random_sets_beside_sites_are_of_the_same_kind_and_number(hooked: Hooked) -> None:
    model = hooked("gpt2", "bytes")
    clean = observe(model, batch(encode(tiny.task(), model), model, PAIR))
    sites = Site(1, "z", 2), Site(0, "mlp_out")
    reading = Ablation(FOLDS).knock_out(sites, 5)(clean)
    names = [str(name) for name in reading["component"].values]
    assert names[0] == "L1H2.z+L0.mlp_out"
    assert len(set(names)) == 6
    for name in names[1:]:
        (head,) = set(name.split("+")) - {"L1.mlp_out"}
        assert head.endswith(".z")
        assert head != "L1H2.z"
    alone = Ablation(FOLDS).knock_out(sites)(clean)
    assert_allclose(reading.isel(component=[0]).values, alone.values)
    one = Ablation(FOLDS, together=tuple(map(site_of, names[3].split("+"))))(clean)
    assert_allclose(reading.isel(component=[3]).values, one.values, atol=1e-6)


def test_sites_knocked_out_together_are_one_component(tmp_path: Path) -> None:
    model = wire(tmp_path)
    both = (Site(0, "z", 0), Site(0, "z", 1))
    reading = measure(model, wired.task(), Ablation(together=both))
    assert list(reading.component.values) == ["L0H0.z+L0H1.z"]
    apart = measure(model, wired.task(), Ablation()).sel(component=["L0H0.z", "L0H1.z"]).sum("component")
    assert_allclose(reading.squeeze("component"), apart, atol=0.01)
    with pytest.raises(ModelError, match=r"no L0H4\.z; it has L0H0\.z to L0H3\.z"):
        measure(model, wired.task(), Ablation(together=(Site(0, "z", 4),)))
    with pytest.raises(ValueError, match=r"L0\.attn_out cannot be knocked out.*: z, mlp_out"):
        Ablation(together=(Site(0, "attn_out"),))
    with pytest.raises(ValueError, match="'resample' with 0 draws"):
        Ablation(kind="resample", draws=0)


# Direct effects, and the reaction of later layers.


@pytest.mark.parametrize("architecture", ["gpt2", "gpt_neox", "opt", "llama_grouped_tied", "gemma2", "gemma3"])
def test_the_direct_effect_holds_later_layers_fixed(hooked: Hooked, architecture: str) -> None:
    model = hooked(architecture, "bytes")
    probe = Compensation(kind="zero")
    task = tiny.task().take(4)
    reading = measure(model, task, probe)
    error = 1e-5 if architecture.startswith("gemma") else 1e-9  # Gemma's norms are float32
    assert_allclose(reading.sel(path="total"), measure(model, task, Ablation(kind="zero")), atol=error)
    later = [Site(layer, part) for layer in range(2) for part in ("attn_out", "mlp_out")]
    run = observe(model, batch(encode(task, model), model, probe.conditions), [*later, Site(0, "z"), Site(1, "z")])
    for site in (Site(0, "z", 1), Site(0, "mlp_out"), Site(1, "z", 3)):
        later_sites = [s for s in later if (s.layer, s.part != "attn_out") > (site.layer, site.part != "z")]
        zero = torch.zeros_like(run.seen[Site(site.layer, site.part)])
        held = {s: run.seen[s] for s in later_sites} | {site: zero if site.head is None else zero[..., 0, :]}
        found = reading.sel(component=str(site), path="direct")
        assert_allclose(found, run.again(held).gap - run.gap, atol=error)
        assert np.abs(found).max() > 1e-3
    heads = [p for p in reading.path.values if "H" in p]
    assert bool(heads) != architecture.startswith("gemma"), "after a norm, heads have no paths of their own"


def test_only_later_layers_react_to_a_knock_out(hooked: Hooked) -> None:
    reading = np.abs(measure(hooked("gpt2"), tiny.task(), Compensation())).max(("condition", "item"))
    of_last = reading.sel(component="L1H2.z")
    assert (of_last.sel(path=[p for p in of_last.path.values if p.startswith("L0")]) == 0).all()
    assert (of_last.sel(path=["L1H0.z", "L1H1.z", "L1H2.z", "L1H3.z"]) == 0).all()
    assert of_last.sel(path="L1.mlp_out") > 0
    assert reading.sel(component="L1.mlp_out", path="later") < 1e-9
    assert reading.sel(component="L0H0.z", path="L1H0.z") > 0


@pytest.mark.parametrize("kind", ["mean", "zero"])
def test_compensation_finds_the_backup_head_and_finds_none_without_a_backup(tmp_path: Path, kind: AblationKind) -> None:
    backed = measure(wire(tmp_path / "backed", backup=1.5), wired.task(), Compensation(kind=kind))
    mean = backed.sel(condition="conflict").mean("item")
    paths = [p for p in mean.path.values if p.startswith("L")]
    reacting = np.abs(mean.sel(path=paths))
    assert reacting.where(reacting == reacting.max(), drop=True).path.values.tolist() == [wired.BACKUP]
    assert reacting.where(reacting == reacting.max(), drop=True).component.values.tolist() == ["L0H1.z"]
    of_head = mean.sel(component="L0H1.z")
    assert_allclose([of_head.sel(path=p) for p in ("direct", "later", "total")], [-2, 1.5, -0.5], atol=0.02)
    assert of_head.sel(path=wired.BACKUP) == pytest.approx(1.5, abs=0.02)
    rest = reacting.drop_sel(component="L0H1.z")
    assert rest.max() < 0.02
    # Knocking out an inactive backup has no effect, so total effects alone would not find it.
    assert abs(mean.sel(component=wired.BACKUP, path="total")) < 0.01
    alone = measure(wire(tmp_path / "alone"), wired.task(), Compensation(kind=kind))
    assert np.abs(alone.sel(path="later")).max() < 1e-9


def test_without_an_additive_stream_there_is_no_direct_path(tmp_path: Path) -> None:
    from functools import partial

    words = tiny.word_level(tiny.words_of(*tiny.texts_of(tiny.task())))
    norms_after = partial(tiny.ARCHITECTURES["opt"], do_layer_norm_before=False, word_embed_proj_dim=8)
    model = load(tiny.save(tmp_path, norms_after, words), device="cpu", dtype="float64").hooked
    assert measure(model, tiny.task(), Ablation()).sizes["component"] == 10, "knocking out needs no sum"
    with pytest.raises(ModelError, match="is not the sum of what the layers write"):
        measure(model, tiny.task(), Compensation())


def test_donors_that_the_task_lacks_are_refused_in_words(hooked: Hooked) -> None:
    model, refused = hooked("gpt2"), "come from {} prompts, which the task lacks"
    probe = Ablation(kind="cue_free", cue_free_from=(Condition.TRUE_ONLY,))
    with pytest.raises(TaskError, match=refused.format("true_only")):
        measure(model, tiny.task(), probe)
    run = observe(model, batch(encode(tiny.task(), model), model, PAIR))
    object.__setattr__(probe, "cue_free_from", ("nonsense",))  # a user's file may have plain strings
    with pytest.raises(TaskError, match=refused.format("nonsense")):
        Replacements(run, probe, ("cue_free",))
