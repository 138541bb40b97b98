"""Path patching equals hooks in plain transformers in every architecture; all paths of a sender together are the exchange."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing import assert_close

import tiny
from conftest import Hooked
from distractor.errors import ModelError
from distractor.models.hooked_model import HookedModel
from distractor.models.load import load
from distractor.models.site import Site
from distractor.probing import cached_patching, path_patching
from distractor.probing.patching import patched_gap
from distractor.probing.path_check import check_paths, every_receiver
from distractor.probing.path_patching import path_gaps
from distractor.probing.paths import LOGITS, Receiver, receiver_of, sender_of
from distractor.probing.run import Run, batch, observe
from distractor.scoring import pass_size
from distractor.scoring.encode import encode
from distractor.text.task import Condition

PAIR = (Condition.CONFLICT, Condition.CONGRUENT)
SWAPPED = (Condition.CONFLICT, Condition.DISTRACTOR_SWAPPED)
PARALLEL = ("gpt_neox",)
SHORT = ("gemma2", "gemma3", "mistral")  # their tiny models see 8 tokens, fewer than a line of cached patching


def run_of(model: HookedModel, pair: tuple[Condition, ...] = PAIR, items: int = 6) -> Run:
    return observe(model, batch(encode(tiny.task().take(items), model), model, pair))


def senders_of(model: HookedModel) -> list[Site]:
    layers = range(model.n_layers)
    return [site for n in layers for site in (*(Site(n, "z", h) for h in range(model.n_heads)), Site(n, "mlp_out"))]


# Another computation: plain transformers, one prompt and one path at a time, and forward hooks on its own modules.


@dataclass(frozen=True)
class Layer:
    """The modules of a layer: what makes q, k and v, the projection of the heads, and the two that the stream adds."""

    qkv: dict[str, tuple[Any, Callable[[int], slice]]]
    projection: Any
    attention: Any
    mlp: Any


def layer_of(network: Any, architecture: str, number: int) -> Layer:
    config = network.config
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads

    def columns(start: int, step: int) -> Callable[[int], slice]:
        return lambda head: slice(start + head * step, start + head * step + width)

    if architecture == "gpt2":
        block = network.transformer.h[number]
        parts = {p: (block.attn.c_attn, columns(i * config.n_embd, width)) for i, p in enumerate("qkv")}
        return Layer(parts, block.attn.c_proj, block.attn.c_proj, block.mlp)
    if architecture.startswith("gpt_neox"):
        block = network.gpt_neox.layers[number]
        parts = {p: (block.attention.query_key_value, columns(i * width, 3 * width)) for i, p in enumerate("qkv")}
        return Layer(parts, block.attention.dense, block.attention.dense, block.mlp)
    block = (network.model.decoder if architecture == "opt" else network.model).layers[number]
    attn = block.self_attn
    parts = {p: (getattr(attn, f"{p}_proj"), columns(0, width)) for p in "qkv"}
    if architecture == "opt":
        return Layer(parts, attn.out_proj, attn.out_proj, block.fc2)
    if architecture.startswith(("gemma", "olmo2")):
        return Layer(parts, attn.o_proj, block.post_attention_layernorm, block.post_feedforward_layernorm)
    return Layer(parts, attn.o_proj, attn.o_proj, block.mlp)


class Plain:
    """A network of plain transformers with hooks on its modules."""

    def __init__(self, network: Any, architecture: str) -> None:
        self.network = network
        self.layers = [layer_of(network, architecture, n) for n in range(network.config.num_hidden_layers)]
        self.width = self.layers[0].qkv["q"][1](0).stop - self.layers[0].qkv["q"][1](0).start

    def run(
        self,
        tokens: Sequence[int],
        written: dict[Any, Callable[[torch.Tensor], torch.Tensor]],
        inputs: dict[Any, Callable[[torch.Tensor], torch.Tensor]] | None = None,
    ) -> torch.Tensor:
        """The logits at the end, if edits apply to the outputs (`written`) and inputs of modules."""
        handles = [
            module.register_forward_hook(lambda _, __, made, edit=edit: edit(made)) for module, edit in written.items()
        ]
        handles += [
            module.register_forward_pre_hook(lambda _, given, edit=edit: (edit(given[0]), *given[1:]))
            for module, edit in (inputs or {}).items()
        ]
        with torch.no_grad():
            logits: torch.Tensor = self.network(torch.tensor([tokens])).logits[0, -1]
        for handle in handles:
            handle.remove()
        return logits

    def path(self, own: Sequence[int], other: Sequence[int], sender: Site, receiver: Receiver) -> torch.Tensor:
        """The logits of the prompt `own` if a receiver gets the sender's output in the prompt `other`."""
        sending = self.layers[sender.layer]
        heads = slice((sender.head or 0) * self.width, ((sender.head or 0) + 1) * self.width)
        # The clean prompt and the other one.
        seen: list[dict[Any, torch.Tensor]] = []
        for tokens in (own, other):
            found: dict[Any, torch.Tensor] = {}
            look = {module: partial(_keep, found, module) for n in self.layers for module in (n.attention, n.mlp)}
            self.run(tokens, look, {sending.projection: partial(_keep, found, "z")})
            seen.append(found)
        clean, partner = seen
        # All outputs are frozen; only the sender's is that of the other prompt.
        fixed: dict[Any, Callable[[torch.Tensor], torch.Tensor]] = {}
        received: dict[Any, torch.Tensor] = {}
        for layer in self.layers:
            for module in (layer.attention, layer.mlp):
                fixed[module] = partial(_keep_and_set, received, module, clean[module])
        inputs = {}
        if sender.part == "mlp_out":
            fixed[sending.mlp] = lambda _: partner[sending.mlp]
        else:
            del fixed[sending.attention]
            inputs = {sending.projection: partial(_set, partner["z"], heads)}
        if receiver.site is None:
            return self.run(own, fixed, inputs)
        receiving, part = self.layers[receiver.site.layer], receiver.site.part
        if part == "mlp_out":
            self.run(own, fixed, inputs)
            return self.run(own, {receiving.mlp: lambda _: received[receiving.mlp]})
        module, columns = receiving.qkv[part]
        self.run(own, fixed | {module: partial(_keep, received, module)}, inputs)
        return self.run(own, {module: partial(_set, received[module], columns(receiver.site.head or 0))})


def _keep(found: dict[Any, torch.Tensor], name: Any, value: torch.Tensor) -> torch.Tensor:
    found[name] = value.clone()
    return value


def _keep_and_set(found: dict[Any, torch.Tensor], name: Any, new: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    found[name] = value.clone()
    return new


def _set(new: torch.Tensor, columns: slice, value: torch.Tensor) -> torch.Tensor:
    value = value.clone()
    value[..., columns] = new[..., columns]
    return value


PATHS = [
    ("L0H1", "L1H1.q"),
    ("L0H1", "L2H0.k"),
    ("L0H2", "L1H0.v"),
    ("L1H3", "L2.mlp_in"),
    ("L0H0", "L0.mlp_in"),
    ("L0H3", "logits"),
    ("L0.mlp_out", "L2H3.q"),
    ("L0.mlp_out", "L1H0.k"),
    ("L1.mlp_out", "L2H0.v"),
    ("L0.mlp_out", "L1.mlp_in"),
    ("L2.mlp_out", "logits"),
]


def first_of(name: str) -> Receiver:
    """The receiver of this name; keys and values are head 0, also where query heads share them."""
    site = receiver_of(name).site
    return Receiver(site and replace(site, shared_by=None))


@pytest.mark.parametrize("architecture", [*tiny.ARCHITECTURES, "gemma3_wide"])
def test_paths_equal_hooks_in_plain_transformers(tmp_path: Path, architecture: str) -> None:
    config = {**tiny.ARCHITECTURES, **tiny.FURTHER}[architecture]
    layers = {"n_layer" if architecture == "gpt2" else "num_hidden_layers": 3}
    folder = tiny.save(tmp_path, partial(config, **layers), tiny.byte_level())
    model = load(folder, device="cpu", dtype="float32").hooked
    plain = Plain(tiny.plain(str(folder), torch.float32), architecture)
    run = run_of(model, items=3)
    rows, moved = run.batch.tokens, []
    why = check_paths(run, [first_of(name) for _, name in PATHS])
    assert (why != "") == (architecture in SHORT)
    for sender, receiver in ((sender_of(s), first_of(r)) for s, r in PATHS):
        found = path_gaps(run, [sender], [receiver], whole_prompts=bool(why))[0]
        if architecture in PARALLEL and receiver.site == Site(sender.layer, "mlp_out"):
            assert found.isnan().all(), "the MLP does not see the heads of its layer"
            continue
        expected = torch.zeros_like(found)
        for item, length in enumerate(run.batch.lengths.tolist()):
            for side in range(2):
                own, other = rows[side, item, :length].tolist(), rows[1 - side, item, :length].tolist()
                true, distractor = plain.path(own, other, sender, receiver)[run.batch.answers[item]]
                expected[side, item] = true - distractor
        assert_close(found, expected, atol=1e-4, rtol=0)
        moved.append(float((expected - run.gap).abs().max()))
    assert sum(size > 1e-3 for size in moved) >= 5, f"the paths change too little for a test: {moved}"


# Laws.


def model_of(hooked: Hooked, folder: Path, architecture: str) -> HookedModel:
    if architecture in tiny.ARCHITECTURES:
        return hooked(architecture, "bytes")
    return load(tiny.save(folder, tiny.FURTHER[architecture], tiny.byte_level()), device="cpu", dtype="float64").hooked


@pytest.mark.parametrize("architecture", [*tiny.ARCHITECTURES, "gemma3_wide", "olmo2"])
def test_a_path_to_every_receiver_at_once_is_the_exchange(hooked: Hooked, tmp_path: Path, architecture: str) -> None:
    model = model_of(hooked, tmp_path, architecture)
    run, senders = run_of(model), senders_of(model)
    expected = torch.stack([patched_gap(model, run.batch, sender) for sender in senders])
    assert (expected - run.gap).abs().max() > 1e-3, "the exchanges do nothing, nor does the test"
    for whole_prompts in (True, *([False] if architecture not in SHORT else [])):
        found = path_gaps(run, senders, every_receiver(model), whole_prompts=whole_prompts)
        # Many architectures round to float32 in norms or softmax.
        assert_close(found, expected, atol=1e-5 if architecture == "gemma2" else 1e-6, rtol=0)


@pytest.mark.quick
def test_a_prompt_with_its_own_output_is_unchanged_and_later_senders_have_no_path(hooked: Hooked) -> None:
    model = hooked("gpt2", "bytes")
    same = run_of(model, (Condition.CONFLICT, Condition.CONFLICT))
    receivers = [receiver_of(name) for name in ("L1H0.q", "L1.mlp_in")]
    found = path_gaps(same, [sender_of("L0H1"), sender_of("L0.mlp_out")], receivers)
    assert_close(found, same.gap.expand(2, -1, -1), atol=1e-9, rtol=0)
    after = path_gaps(run_of(model), [sender_of("L1H1"), sender_of("L1.mlp_out")], receivers[:1])
    assert after.isnan().all()


def test_several_receivers_are_more_than_the_sum_of_each(hooked: Hooked) -> None:
    """A receiver gets the change on top of what an earlier receiver made of it."""
    model = hooked("llama", "bytes")
    run = run_of(model)
    sender, one, two = sender_of("L0H1"), receiver_of("L0.mlp_in"), receiver_of("L1H0.v")
    apart = [path_gaps(run, [sender], [receiver])[0] - run.gap for receiver in (one, two)]
    together = path_gaps(run, [sender], [one, two])[0] - run.gap
    assert_close(path_gaps(run, [sender], [two, one])[0] - run.gap, together, atol=1e-12, rtol=0)
    assert (together - sum(apart)).abs().max() > 1e-3


@pytest.mark.parametrize(("line_tokens", "tokens", "clean"), [(1, 2, 1), (16, 64, 40), (10_000, 20_000, 10_000)])
def test_the_layout_of_paths_changes_no_result(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch, line_tokens: int, tokens: int, clean: int
) -> None:
    model = hooked("llama_grouped_tied", "bytes")
    run, senders = run_of(model), senders_of(model)[:5]
    for name in ("L1H2.q", "L1H2-3.k", "L1.mlp_in", "logits"):
        alone = [path_gaps(run, [sender], [receiver_of(name)], whole_prompts=True)[0] for sender in senders]
        with monkeypatch.context() as patch:
            patch.setattr(cached_patching, "LINE_TOKENS", line_tokens)
            patch.setattr(pass_size, "TOKENS_PER_PASS", tokens)
            patch.setattr(path_patching, "CLEAN_TOKENS", clean)
            assert_close(path_gaps(run, senders, [receiver_of(name)]), torch.stack(alone), atol=1e-9, rtol=0)


# What is refused.


def test_a_model_with_norms_after_its_sums_has_no_paths(hooked: Hooked, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"norm after each sum .* no component has a direct path"):
        check_paths(run_of(model_of(hooked, tmp_path, "opt_350m")), [LOGITS])


def test_a_head_whose_norm_spans_all_heads_is_no_receiver(hooked: Hooked, tmp_path: Path) -> None:
    run = run_of(model_of(hooked, tmp_path, "olmo2"))
    for part in ("q", "k"):
        with pytest.raises(ModelError, match=f"a norm spans the heads of {part}, so a path cannot end at one of them"):
            check_paths(run, [Receiver(Site(1, part, 0))])
    assert check_paths(run, [receiver_of("L1H0-1.v"), LOGITS]) == ""


def test_paths_that_break_the_law_are_refused(hooked: Hooked, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model whose heads write something else than the toolkit believes."""
    run, right = run_of(hooked("gpt2", "bytes")), HookedModel.attention_output
    monkeypatch.setattr(HookedModel, "attention_output", lambda self, layer, z: 0.9 * right(self, layer, z))
    with pytest.raises(ModelError, match=r"paths cannot be patched in this architecture .*the logit gaps were off by"):
        check_paths(run, [LOGITS])


def test_cached_patching_that_fails_gives_whole_prompts_and_the_reason(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: HookedModel, mask: Any) -> Any:
        raise TypeError("forward() got an unexpected keyword argument 'attention_mask'")

    monkeypatch.setattr(HookedModel, "_masks", refuse)
    assert check_paths(run_of(hooked("gpt2", "bytes")), [LOGITS]).startswith("TypeError: forward")


def test_nan_in_a_path_is_named_with_the_item(hooked: Hooked, monkeypatch: pytest.MonkeyPatch) -> None:
    run, right = run_of(hooked("gpt2", "bytes")), HookedModel.answer_logits

    def damaged(self: HookedModel, resid: Any, answers: Any) -> Any:
        found = right(self, resid, answers)
        found[(answers == run.batch.answers[3]).all(-1)] = torch.nan
        return found

    monkeypatch.setattr(HookedModel, "answer_logits", damaged)
    with pytest.raises(ModelError, match=rf"of 1 of 6 items are not finite .* first {run.batch.items[3].id}"):
        path_gaps(run, [sender_of("L0H1")], [receiver_of("L1H0.q")])
