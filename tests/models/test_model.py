"""Loading, and log-probabilities: equal to plain transformers in any batch."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from transformers import AutoModelForCausalLM, AutoTokenizer

import tiny
from conftest import Hooked, Loaded
from distractor.errors import ModelError
from distractor.models.arithmetic import is_positionwise
from distractor.models.hooks import HOOKS
from distractor.models.load import as_model, load
from distractor.models.model import Model
from distractor.models.site import Site
from distractor.probing.run import batch, observe
from distractor.scoring.encode import Encoded, encode
from distractor.scoring.score import score
from distractor.text.task import Condition, Item

EVERY = list(tiny.ARCHITECTURES)
WORDS = [name for name in EVERY if not name.startswith("qwen")]  # AutoTokenizer has its own splitting for Qwen
WITH_TOKENIZERS = [
    *((name, "bytes") for name in EVERY),
    *((name, "words_bos") for name in WORDS),
    ("gpt2", "words"),
    ("llama", "bytes_bos"),
]
PAIR = (Condition.CONFLICT, Condition.CONGRUENT)


def plain_log_prob(model: Model, text: str, answer: str) -> tuple[float, int]:
    """Return log p(answer | text) of the plain model and tokenizer, and the number of answer tokens."""
    tokenizer = AutoTokenizer.from_pretrained(model.name)
    both, before = tokenizer(text + answer).input_ids, tokenizer(text).input_ids
    assert both[: len(before)] == before
    with torch.no_grad():
        logits = tiny.plain(model.name, model.dtype)(torch.tensor([both[:-1]])).logits[0]
    log_probs = torch.log_softmax(logits, -1)
    return sum(log_probs[k - 1, both[k]].item() for k in range(len(before), len(both))), len(both) - len(before)


def encoded(model: Model, condition: Condition) -> tuple[list[Item], list[Encoded]]:
    encoding = encode(tiny.task(), model)
    pairs = [(i, r) for i, r in zip(encoding.items, encoding.rows[condition], strict=True) if r is not None]
    return [i for i, _ in pairs], [r for _, r in pairs]


@pytest.mark.parametrize(("dtype", "error"), [("float64", 1e-9), ("float32", 1e-4)])
@pytest.mark.parametrize(("architecture", "tokenizer"), WITH_TOKENIZERS)
def test_scores_are_those_of_plain_transformers(
    loaded: Loaded, architecture: str, tokenizer: str, dtype: str, error: float
) -> None:
    model = loaded(architecture, tokenizer, dtype)
    items, rows = encoded(model, Condition.CONFLICT)
    expected = [
        [plain_log_prob(model, item.prompts[Condition.CONFLICT], a) for a in item.answers] for item in items[:3]
    ]
    if architecture == "gemma2":  # plain transformers computes its softmax in float32
        error = max(error, 1e-6)
    assert_allclose(
        score(model, items, rows)[:3], [[value for value, _ in row] for row in expected], atol=error, rtol=0
    )
    assert any(count > 1 for row in expected for _, count in row) == tokenizer.startswith("bytes")


@pytest.mark.parametrize("architecture", [*EVERY, *tiny.FURTHER])
def test_restricting_the_last_mlp_leaves_the_answers_unchanged(
    loaded: Loaded, hooked: Hooked, architecture: str
) -> None:
    for model in (loaded(architecture, "bytes"), hooked(architecture, "bytes")):
        _, rows = encoded(model, Condition.CONFLICT)
        tokens = torch.tensor([row.prompt[:5] for row in rows[:2]])
        lengths: list[int] = []
        inner = model._last_mlp
        assert (inner is None) == architecture.startswith("opt"), "OPT alone has no separate module for its MLP"
        if inner is not None:
            inner.register_forward_hook(lambda _, args, __, lengths=lengths: lengths.append(args[0].shape[1]))
        with torch.inference_mode():
            every = model.log_probs(tokens, torch.arange(5))
            some = model.log_probs(tokens, torch.tensor([1, 4]))
        assert_allclose(some, every[:, [1, 4]], atol=1e-9, rtol=0)
        assert inner is None or (lengths[0], lengths[-1]) == (5, 2)


@pytest.mark.parametrize("architecture", [*EVERY, *tiny.FURTHER])
def test_a_read_switches_the_restriction_of_the_last_mlp_off(hooked: Hooked, architecture: str) -> None:
    model = hooked(architecture, "bytes")
    _, rows = encoded(model, Condition.CONFLICT)
    tokens = torch.tensor([row.prompt[:5] for row in rows[:2]])
    seen: list[torch.Tensor] = []
    site, end = Site(model.n_layers - 1, "mlp_out"), torch.tensor([4])
    with torch.inference_mode():
        every = model.log_probs(tokens, torch.arange(5))
        read = model.log_probs(tokens, end, reads={site: seen.append})
        model.log_probs(tokens, end, reads={site: seen.append}, reads_at_keep=True)
    assert_allclose(read, every[:, [4]], atol=1e-9, rtol=0)
    assert seen[0].shape[1] == 5
    assert (seen[0] != 0).all(), "a read activation was not computed"
    assert_allclose(seen[1][:, 4], seen[0][:, 4], atol=1e-9, rtol=0)
    if not architecture.startswith("opt"):
        assert (seen[1][:, :4] != seen[0][:, :4]).any(), "other positions were computed"


@pytest.mark.quick
@pytest.mark.parametrize("kind", ["mixes", "tuple", "two arguments"])
def test_an_mlp_that_mixes_positions_is_not_positionwise(kind: str) -> None:
    class Odd(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(4, 4)

        def forward(self, x: torch.Tensor, *more: torch.Tensor) -> object:
            if kind == "two arguments":
                return self.linear(x) + more[0]
            return self.linear(x + 0.1 * x.roll(1, 1)) if kind == "mixes" else (self.linear(x), None)

    assert not is_positionwise(Odd(), 4)
    assert is_positionwise(torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.GELU(), torch.nn.Linear(8, 4)), 4)


@pytest.mark.parametrize(("architecture", "tokenizer"), WITH_TOKENIZERS)
def test_a_padded_batch_gives_the_log_probabilities_of_plain_transformers(
    hooked: Hooked, architecture: str, tokenizer: str
) -> None:
    model = hooked(architecture, tokenizer)
    together = batch(encode(tiny.task(), model), model, PAIR)
    if tokenizer.startswith("bytes"):
        assert len(together.lengths.unique()) > 1, "nothing is padded"
    run = observe(model, together)
    network = tiny.plain(model.name)
    for c in range(2):
        for i, length in list(enumerate(together.lengths.tolist()))[:4]:
            with torch.no_grad():
                logits = network(together.tokens[c, i : i + 1, :length]).logits[0, -1]
            expected = torch.log_softmax(logits, -1)[together.answers[i]]
            # Gemma 2 computes its softmax in float32, so padding changes the eighth digit.
            error = 1e-5 if architecture == "gemma2" else 1e-9
            torch.testing.assert_close(run.log_probs[c, i], expected, atol=error, rtol=0)


@pytest.mark.parametrize("architecture", EVERY)
def test_scores_do_not_depend_on_batch_size_order_or_padding(loaded: Loaded, architecture: str) -> None:
    model = loaded(architecture, "bytes", "float32")
    items, rows = encoded(model, Condition.CONFLICT)
    alone = score(model, items, rows, batch_size=1)
    for size in (7, 64):
        assert_allclose(score(model, items, rows, batch_size=size), alone, atol=1e-5, rtol=0)
    order = np.random.default_rng(0).permutation(len(items))
    mixed = score(model, [items[i] for i in order], [rows[i] for i in order], batch_size=7)
    assert_allclose(mixed, alone[order], atol=1e-5, rtol=0)
    length = max(len(row.prompt) for row in rows)
    padded = torch.tensor([row.prompt + (2,) * (length - len(row.prompt)) for row in rows])
    ends = torch.tensor([len(row.prompt) - 1 for row in rows])
    together = model.log_probs(padded, torch.arange(length))[torch.arange(len(rows)), ends]
    for i, row in enumerate(rows):
        single = model.log_probs(torch.tensor([row.prompt]), ends[i : i + 1])[0, 0]
        torch.testing.assert_close(together[i], single, atol=1e-5, rtol=0)


@pytest.mark.parametrize("architecture", EVERY)
def test_only_requested_positions_are_unembedded(loaded: Loaded, architecture: str) -> None:
    model = loaded(architecture, "bytes")
    shapes: list[torch.Size] = []
    unembed = model.network.get_output_embeddings()
    handle = unembed.register_forward_hook(lambda module, given, made: shapes.append(made.shape))
    tokens = torch.arange(12).view(2, 6)
    kept = model.log_probs(tokens, torch.tensor([2, 5]))
    handle.remove()
    assert shapes == [(2, 2, model.vocab)]
    torch.testing.assert_close(kept, model.log_probs(tokens, torch.arange(6))[:, [2, 5]], atol=1e-12, rtol=0)


@pytest.mark.parametrize("architecture", [*EVERY, *tiny.FURTHER])
def test_a_model_knows_its_sizes(hooked: Hooked, architecture: str) -> None:
    model = hooked(architecture, "bytes")
    network = AutoModelForCausalLM.from_pretrained(model.name)  # unwrapped, float32
    assert model.n_params == network.num_parameters()
    assert (model.n_layers, model.n_heads, model.context) == (2, 4, tiny.CONTEXT)
    assert model.vocab == network.get_input_embeddings().weight.shape[0]


@pytest.mark.quick
def test_bos_is_the_setting_of_the_tokenizer(loaded: Loaded) -> None:
    assert loaded("gpt2", "words_bos").bos == 1
    assert loaded("gpt2", "words").bos is None
    assert loaded("gpt2", "bytes").bos is None


@pytest.mark.quick
def test_a_first_token_equal_to_the_bos_token_does_not_count_as_bos(loaded: Loaded) -> None:
    tokenizer = tiny.word_level(["b"], bos=False)
    tokenizer.bos_token = "<unk>"
    assert as_model(loaded("gpt2").network, tokenizer, name="unknown a").bos is None


@pytest.mark.parametrize("architecture", EVERY)
def test_the_residual_stream_is_the_sum_of_its_parts(hooked: Hooked, architecture: str) -> None:
    model = hooked(architecture, "bytes")
    run = observe(
        model,
        batch(encode(tiny.task(), model), model, PAIR),
        [Site(layer, part) for layer in range(2) for part in model.parts] + [Site(1, "z", head=3)],
    )
    for layer in range(2):
        parts = [run.seen[Site(layer, part)] for part in ("resid_pre", "attn_out", "mlp_out")]
        torch.testing.assert_close(sum(parts), run.seen[Site(layer, "resid_post")], atol=1e-6, rtol=1e-6)
        if "resid_mid" in model.parts:
            torch.testing.assert_close(sum(parts[:2]), run.seen[Site(layer, "resid_mid")], atol=1e-6, rtol=1e-6)
        for part in ("q", "k", "v", "z"):
            assert run.seen[Site(layer, part)].shape[3] == model.n_heads_of(part)
        mixed = run.seen[Site(layer, "v")].repeat_interleave(model.n_heads // model.n_heads_of("v"), 3)
        mixed = torch.einsum("cihqk,cikhd->ciqhd", run.seen[Site(layer, "pattern")].to(mixed), mixed)
        torch.testing.assert_close(mixed, run.seen[Site(layer, "z")], atol=1e-6, rtol=1e-6)
    assert torch.equal(run.seen[Site(1, "z", head=3)], run.seen[Site(1, "z")][..., 3, :])
    assert set(model.parts) == set(HOOKS) - ({"resid_mid"} if architecture == "gpt_neox" else set())
    assert (model.n_heads_of("k") < model.n_heads) == (architecture in tiny.GROUPED)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("site", "message"),
    [
        (Site(2, "z"), r"layers 0 to 1.*L2\.z"),
        (Site(-1, "z"), r"layers 0 to 1.*L-1\.z"),
        (Site(0, "z", head=4), r"no L0H4\.z; it has L0H0\.z to L0H3\.z"),
    ],
)
def test_a_missing_site_is_refused(hooked: Hooked, site: Site, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        hooked("gpt2").hook_name(site)


@pytest.mark.quick
def test_only_heads_have_numbers() -> None:
    with pytest.raises(ValueError, match=r"q, k, v, pattern, z .*'mlp_out'"):
        Site(0, "mlp_out", head=1)
    assert [str(Site(5, "z", head=3)), str(Site(5, "mlp_out"))] == ["L5H3.z", "L5.mlp_out"]


@pytest.mark.quick
def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no folder .*missing"):
        load(tmp_path / "missing")
    (tmp_path / "notes.txt").write_text("no model")
    with pytest.raises(ModelError, match=r"cannot load .*save_pretrained"):
        load(tmp_path, device="cpu")


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
"""The content of a large file that was not checked out."""


@pytest.mark.parametrize("content", [b"", b"{", b"not weights", POINTER])
@pytest.mark.parametrize("broken", ["model.safetensors", "pytorch_model.bin", "tokenizer.json", "config.json"])
def test_a_damaged_folder_is_refused(tmp_path: Path, broken: str, content: bytes) -> None:
    tiny.save(tmp_path, tiny.ARCHITECTURES["gpt2"], tiny.word_level(["a"]))
    if broken == "pytorch_model.bin":
        (tmp_path / "model.safetensors").unlink()
    (tmp_path / broken).write_bytes(content)
    with pytest.raises(ModelError, match=r"cannot load .*save_pretrained"):
        load(tmp_path, device="cpu")


@pytest.mark.parametrize("wrong", [{"n_layer": "12"}, {"n_head": 3}, {"model_type": "no_such"}])
def test_an_inconsistent_configuration_is_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    tiny.save(tmp_path, tiny.ARCHITECTURES["gpt2"], tiny.word_level(["a"]))
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | wrong))
    with pytest.raises(ModelError, match=r"cannot load .*save_pretrained"):
        load(tmp_path, device="cpu")


@pytest.mark.quick
def test_an_unknown_dtype_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"'int8'.* float32, float64, bfloat16, float16"):
        load(tmp_path, dtype="int8")


def test_half_precision_is_close_to_float64(loaded: Loaded) -> None:
    tokens = torch.arange(8)[None]
    exact = loaded("llama").log_probs(tokens, torch.tensor([7]))
    half = loaded("llama", dtype="bfloat16").log_probs(tokens, torch.tensor([7]))
    assert half.dtype == torch.float32
    # Machines multiply bfloat16 differently: single values differ by 0.05 to 0.2, the mean by a few hundredths.
    assert float((half.double() - exact).abs().mean()) < 0.15 * float(exact.std())
    other = loaded("llama").log_probs(tokens.flip(1), torch.tensor([7]))
    assert float((other - exact).abs().mean()) > 0.3 * float(exact.std())


@pytest.mark.quick
def test_a_slow_tokenizer_is_refused(loaded: Loaded) -> None:
    class Slow:
        is_fast = False

    with pytest.raises(ModelError, match=r"fast tokenizer .*tokenizer\.json.* Slow"):
        as_model(loaded("gpt2").network, Slow(), name="slow")
