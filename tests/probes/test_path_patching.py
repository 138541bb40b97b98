"""The probe of path patching: its names, its reading, a planted path, and its errors on the command line."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

import small_ladder
import tiny
import wired
from conftest import Hooked
from distractor.errors import ModelError, ProbeError
from distractor.models import families
from distractor.models.load import load
from distractor.probing.measure import measure
from distractor.text.task import Condition
from probes.activation_patching import ActivationPatching
from probes.find import find_probe
from probes.path_patching import PathPatching
from small_ladder import type_in


@pytest.mark.quick
def test_a_name_gives_receivers_and_senders() -> None:
    assert find_probe("path_patching:L1H0.q,logits") == PathPatching(receivers=("L1H0.q", "logits"))
    assert find_probe("path_patching:L0H1,L0.mlp_out:L1.mlp_in") == PathPatching(("L1.mlp_in",), ("L0H1", "L0.mlp_out"))


@pytest.mark.quick
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("path_patching:L1H0", "'L1H0' is no receiver of a path; write a head's query, key or value as L3H1.q"),
        ("path_patching:L1.mlp_out", "'L1.mlp_out' is no receiver"),
        (
            "path_patching:L0H1.q:logits",
            "'L0H1.q' is no sender of a path; write a head as L0H1 or an MLP as L0.mlp_out",
        ),
        ("path_patching:", "there is no probe 'path_patching:'"),
    ],
)
def test_a_name_that_is_no_path_is_refused(name: str, message: str) -> None:
    with pytest.raises(ProbeError, match=message):
        find_probe(name)


@pytest.mark.parametrize(
    ("probe", "message"),
    [
        (PathPatching(("L7H0.q",)), r"has layers 0 to 1; got L7H0\.q"),
        (PathPatching(("L1H2.k",)), r"has no L1H2\.k; it has L1H0-1\.k to L1H2-3\.k, because 2 query heads share"),
        (PathPatching(("logits",), ("L0H9",)), r"has no L0H9\.z; it has L0H0\.z to L0H3\.z"),
    ],
)
def test_a_site_that_the_model_lacks_is_refused(hooked: Hooked, probe: PathPatching, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        measure(hooked("llama_grouped_tied"), tiny.task(), probe)


def test_a_sender_after_the_receiver_is_refused(hooked: Hooked) -> None:
    model = hooked("gpt2")
    with pytest.raises(ProbeError, match=r"L1H1\.z is not before L1H0\.q in .*, so there is no path"):
        measure(model, tiny.task(), PathPatching(("L1H0.q",), ("L0H0", "L1H1")))
    with pytest.raises(ProbeError, match=r"no head or MLP of .* is before L0H0\.q"):
        measure(model, tiny.task(), PathPatching(("L0H0.q",)))


def test_a_reading_has_a_map_of_senders_for_each_receiver(hooked: Hooked) -> None:
    reading = measure(hooked("gpt2"), tiny.task(), PathPatching(("L1H0.q", "L1.mlp_in", "logits")))
    assert reading.dims == ("pair", "direction", "receiver", "component", "item")
    assert list(reading.receiver.values) == ["L1H0.q", "L1.mlp_in", "logits"]
    assert list(reading.component.values[:6]) == ["L0H0.z", "L0H1.z", "L0H2.z", "L0H3.z", "L0.mlp_out", "L1H0.z"]
    later = reading.sel(component=["L1H0.z", "L1.mlp_out"])
    assert later.sel(receiver="L1H0.q").isnull().all()
    assert later.sel(receiver="L1.mlp_in").isnull().all("item").values.tolist() == [[[False, True]] * 2]
    assert not reading.sel(receiver="logits").isnull().any()


@pytest.mark.parametrize(("other", "head"), [(Condition.CONGRUENT, "L0H1.z"), (Condition.DISTRACTOR_SWAPPED, "L0H0.z")])
def test_the_planted_heads_act_on_the_logits_and_on_no_later_head(tmp_path: Path, other: Condition, head: str) -> None:
    model = load(wired.save(tmp_path, wired.Strengths(backup=1.5)), device="cpu", dtype="float64").hooked
    receivers = ("logits", *(f"L1H{number}.{part}" for number in range(4) for part in "qkv"))
    paths = measure(model, wired.task(), PathPatching(receivers, other=other)).squeeze("pair")
    heads = measure(model, wired.task(), ActivationPatching(parts=("z",), other=other)).squeeze("pair")
    assert_allclose(paths.sel(receiver="logits", component=head), heads.sel(component=head), atol=1e-3)
    assert np.abs(paths.sel(receiver="logits", component=head)).min() > 1.9
    others = paths.sel(receiver="logits").drop_sel(component=head)
    assert np.abs(others).max() < 1e-3
    assert np.abs(paths.sel(receiver=list(receivers[1:]))).max() < 1e-3


@pytest.mark.parametrize(
    ("probe", "words"),
    [
        ("path_patching:L1H0.x", ["'L1H0.x' is no receiver"]),
        ("path_patching:H1:logits", ["'H1' is no sender"]),
        ("path_patching:L9H0.q", ["has layers 0 to", "got L9H0.q"]),
        ("path_patching:L1H1:L0H0.q", ["L1H1.z is not before L0H0.q"]),
    ],
)
def test_an_unknown_path_gives_one_message_and_exit_status_2(
    probe: str,
    words: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(families, "LADDER", small_ladder.make(tmp_path / "ladder"))
    monkeypatch.chdir(tmp_path)
    command = ["attribute", "--task", "negation_qa", "--items", str(small_ladder.ITEMS), "--device", "cpu"]
    assert type_in([*command, "--models", "ladder/8x2", "--probe", probe]) == 2
    shown = capsys.readouterr()
    message = " ".join(shown.err.split())
    assert shown.out == ""
    assert message.count("Error: ") == 1
    assert all(word in message for word in words), message
