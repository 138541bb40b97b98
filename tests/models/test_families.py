"""From what a user writes to folders: every kind of name, every mistake, and the network left alone."""

import io
import json
import shutil
import socket
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from transformers import GPTNeoXConfig

import small_ladder
import tiny
from distractor.command_line import family_table
from distractor.errors import ModelError, ScalingError
from distractor.models import families, hub
from distractor.models.families import find_family, find_models, public_families
from distractor.models.source import Source, group_by_size
from distractor.runs.folder import run_hash
from distractor.runs.manifest import run_manifest
from distractor.runs.tables import WIDTH
from distractor.scoring.behaviour import refuse_several_steps
from distractor.scoring.settings import Settings

COMMIT = "0123456789abcdef0123456789abcdef01234567"
EARLIER = "89abcdef0123456789abcdef0123456789abcdef"
FAMILIES = (
    "ladder", "pythia", "pythia-deduped", "polypythias", "gpt2", "opt", "qwen2.5", "qwen3", "llama-3", "gemma-3", "olmo-2",
)  # fmt: skip


@pytest.fixture(scope="module")
def ladder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_ladder.make(tmp_path_factory.mktemp("ladder"))


@pytest.fixture(autouse=True)
def _here(ladder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "LADDER", ladder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(ladder: Path, tmp_path: Path) -> Path:
    """A model's folder that may be changed."""
    return shutil.copytree(ladder / "8x1/seed0", tmp_path / "models" / "mine")


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Whom somebody tried to reach. Nobody is reached."""
    tried: list[str] = []

    def refuse(*asked: Any, **_: object) -> None:
        tried.append(str(asked[-1] if len(asked) > 1 else asked[0]))
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tried


@pytest.fixture
def cached(folder: Path, tmp_path: Path) -> Path:
    """`owner/name` in a hand-made hub cache: its snapshot."""
    home = tmp_path / "cache" / "models--owner--name"
    for ref in ("main", "step1000"):
        (home / "refs").mkdir(parents=True, exist_ok=True)
        (home / "refs" / ref).write_text(COMMIT)
    return shutil.copytree(folder, home / "snapshots" / COMMIT)


@pytest.fixture
def kept(ladder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ladder whose largest model was kept at steps 5 and 10 of 20, without a tokenizer of their own: its folder."""
    copy = shutil.copytree(ladder, tmp_path / "ladder-with-steps")
    monkeypatch.setattr(families, "LADDER", copy)
    told = json.loads((copy / "ladder.json").read_text())
    told["models"][-1] |= {"steps": 20, "kept": [5, 10], "tokens": 2_000}
    (copy / "ladder.json").write_text(json.dumps(told))
    home = copy / "8x2/seed0"
    for step in (5, 10):
        (home / f"step{step}").mkdir()
        for name in ("config.json", "model.safetensors"):
            shutil.copy(ladder / ("8x1" if step == 5 else "8x2") / "seed0" / name, home / f"step{step}" / name)
    return home


@pytest.fixture(scope="module")
def neox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tiny GPT-NeoX as the hub's cache keeps two revisions of a repository: its folder."""
    home = tmp_path_factory.mktemp("hub") / "models--EleutherAI--pythia-14m"
    (home / "refs").mkdir(parents=True)
    config = partial(
        GPTNeoXConfig,
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=48,
    )
    for seed, (ref, commit) in enumerate({"main": COMMIT, "step1000": EARLIER}.items()):
        (home / "refs" / ref).write_text(commit)
        tiny.save(home / "snapshots" / commit, config, tiny.word_level(small_ladder.words()), seed=seed)
    return home


@pytest.fixture
def pythia(neox: Path, tmp_path: Path) -> Path:
    """Pythia's smallest in the cache, as training left it and at step 1,000: the folder of its snapshots."""
    return shutil.copytree(neox, tmp_path / "cache" / neox.name) / "snapshots"


def models(*names: str, offline: bool = False) -> list[str]:
    return [source.name for source in find_models(names, offline=offline)]


def test_the_ladder_is_all_of_it_the_smallest_first() -> None:
    found = find_models(["ladder"])
    assert [source.model for source in found] == list(small_ladder.SIZES)
    assert [source.n_params for source in found] == sorted(source.n_params or 0 for source in found)
    assert all(source.held_out["negation_qa"] for source in found)
    assert models("ladder/") == models("ladder")


@pytest.mark.parametrize("name", ["ladder/8x2", "ladder/8x2/", "ladder/8x2/seed0"])
def test_a_part_of_the_ladder_is_named_by_size_and_seed(name: str) -> None:
    assert models(name) == ["ladder/8x2/seed0"]


def test_what_is_named_twice_is_there_once(folder: Path) -> None:
    assert models("ladder/8x2", "ladder", "ladder/8x2/seed0") == [
        "ladder/8x2/seed0",
        "ladder/4x1/seed0",
        "ladder/8x1/seed0",
    ]
    assert models("models/mine", str(folder), "models/../models/mine/") == ["mine"]


def test_a_folder_in_the_way_does_not_hide_the_ladder(tmp_path: Path) -> None:
    (tmp_path / "ladder" / "8x2").mkdir(parents=True)
    assert models("ladder/8x2") == ["ladder/8x2/seed0"]
    assert len(models("ladder")) == len(small_ladder.SIZES)
    (tmp_path / "ladder" / "mine").mkdir()
    with pytest.raises(ModelError, match=r"given as \./ladder/mine"):
        find_models(["ladder/mine"])


@pytest.mark.parametrize("name", ["models/mine", "./models/mine", "models/mine/", "models/../models/mine"])
def test_a_folder_is_named_by_any_path(name: str, folder: Path, attempts: list[str]) -> None:
    assert models(name) == ["mine"]
    assert not attempts


def test_two_folders_of_one_name_are_told_apart(folder: Path, tmp_path: Path) -> None:
    other = shutil.copytree(folder, tmp_path / "others" / "mine")
    found = find_models(["models/mine", "others/mine"])
    assert [source.name for source in found] == [str(folder), str(other)]


def test_the_ladder_and_other_models_are_no_family(folder: Path) -> None:
    with pytest.raises(ModelError, match="one after the other"):
        find_models(["ladder", str(folder)])


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("ladder/8x3", "ladder/8x2"),
        ("ladder/8x2/seed7", "ladder/8x2/seed0"),
        ("ladder/8x2/seed0/more", "did you mean ladder/8x2/seed0"),
        ("lader", "did you mean ladder"),
        ("", "there is: gemma-3, gpt2, ladder"),
        ("models/mien", "did you mean models/mine"),
        ("./models/mien", "did you mean models/mine"),
    ],
)
def test_a_typing_error_is_told_the_nearest_names(name: str, hint: str, folder: Path, attempts: list[str]) -> None:
    with pytest.raises(ModelError) as refused:
        find_models([name])
    assert hint in str(refused.value)
    assert not attempts


@pytest.mark.parametrize(
    "name",
    [
        "./modls",
        "../x",
        "/nowhere/at/all",
        "~/nowhere",
        "a/b/c",
        "owner/name/",
        "models/typo",
        r"C:\models\mine",
        "C:/models/x",
    ],
)
def test_a_mistyped_path_is_never_looked_for_on_the_hub(name: str, folder: Path, attempts: list[str]) -> None:
    with pytest.raises(ModelError, match="there is no folder"):
        find_models([name])
    assert not attempts


def test_a_file_is_no_model(folder: Path, attempts: list[str]) -> None:
    with pytest.raises(ModelError, match="is a file; wanted is a model's whole folder"):
        find_models([str(folder / "config.json")])


def _no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _no_shard(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def _lost_link(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to("gone")


@pytest.mark.parametrize(
    ("spoil", "lacking"),
    [
        (lambda folder: (folder / "config.json").unlink(), "lacks config.json"),
        (_no_weights, "lacks weights"),
        (_lost_link, "lacks weights"),
        (_no_shard, "lacks model-00002-of-00002.safetensors"),
        (lambda folder: (folder / "x.index.json").write_text("[1]"), "lacks an index"),
        (lambda folder: [path.unlink() for path in folder.iterdir()], "has no files"),
    ],
    ids=["no config", "no weights", "dangling link", "a shard is missing", "index broken", "empty"],
)
def test_a_folder_that_is_no_model_is_told_what_it_lacks(
    spoil: Callable[[Path], Any], lacking: str, folder: Path
) -> None:
    spoil(folder)
    with pytest.raises(ModelError, match=lacking) as refused:
        find_models([str(folder)])
    assert "save_pretrained" in str(refused.value)


@pytest.mark.parametrize("name", ["owner/name", "owner/name@step1000", f"owner/name@{COMMIT}"])
@pytest.mark.parametrize("offline", [True, False])
def test_a_hub_id_in_the_cache_needs_no_network(name: str, offline: bool, cached: Path, attempts: list[str]) -> None:
    (found,) = find_models([name], offline=offline)
    assert (found.name, found.folder) == (name, cached)
    assert not attempts


def test_offline_makes_no_attempt(attempts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="forbidden"):
        find_models(["owner/name"], offline=True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match="forbidden"):
        find_models(["owner/name"])
    assert not attempts


def test_without_a_network_a_hub_id_is_one_clear_error(attempts: list[str]) -> None:
    with pytest.raises(
        ModelError, match=r"no folder 'owner/name'.* cannot be reached: connect, or give a local folder"
    ):
        find_models(["owner/name"])
    assert attempts


def test_a_network_that_swallows_everything_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hub.SECONDS <= 4
    monkeypatch.setattr(hub, "SECONDS", 0.1)
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: time.sleep(20) or socket.socket())
    begun = time.monotonic()
    with pytest.raises(ModelError, match="cannot be reached"):
        find_models(["owner/name"])
    assert time.monotonic() - begun < 5


def test_a_revision_that_is_not_in_the_cache_is_not_another(cached: Path, attempts: list[str]) -> None:
    with pytest.raises(ModelError, match="owner/name"):
        find_models(["owner/name@step2000"])


def test_half_a_model_in_the_cache_is_fetched_anew(cached: Path, attempts: list[str]) -> None:
    (cached / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot be reached"):
        find_models(["owner/name"])
    assert attempts


def test_a_whole_model_in_the_cache_is_used_though_other_files_of_it_were_never_fetched(
    cached: Path, attempts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub.errors import LocalEntryNotFoundError

    def incomplete(*_: object, **__: object) -> str:
        error = LocalEntryNotFoundError("some files are missing")
        error.snapshot_path = str(cached)  # type: ignore[attr-defined]
        raise error

    monkeypatch.setattr("huggingface_hub.snapshot_download", incomplete)
    assert models("owner/name") == ["owner/name"]


def test_a_repository_without_safetensors_gives_its_other_weights(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub.errors import LocalEntryNotFoundError

    (folder / "model.safetensors").unlink()
    asked = []

    def hub(*_: object, allow_patterns: list[str], local_files_only: bool, **__: object) -> str:
        if local_files_only:
            raise LocalEntryNotFoundError("nothing here")
        asked.append(allow_patterns[-1])
        if "bin" in allow_patterns[-1]:
            (folder / "pytorch_model.bin").touch()
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", hub)
    monkeypatch.setattr("distractor.models.hub.is_reachable", lambda: True)
    assert models("owner/name") == ["owner/name"]
    assert asked == ["*.safetensors", "pytorch_model*.bin"]


@pytest.mark.parametrize("name", ["own er/na me", "owner/na..me", "owner/" + "x" * 120])
def test_what_cannot_be_a_hub_id_is_said_to_be_none(name: str, attempts: list[str]) -> None:
    with pytest.raises(ModelError, match="neither a folder nor a hub id"):
        find_models([name])
    assert not attempts


def test_whatever_the_hub_answers_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import LocalEntryNotFoundError

    class OddError(Exception):
        pass

    def hub(*_: object, local_files_only: bool, **__: object) -> str:
        raise LocalEntryNotFoundError("nothing here") if local_files_only else OddError("401 Client Error\nmore")

    monkeypatch.setattr("huggingface_hub.snapshot_download", hub)
    monkeypatch.setattr("distractor.models.hub.is_reachable", lambda: True)
    with pytest.raises(ModelError, match=r"could not be fetched: 401 Client Error$"):
        find_models(["owner/name"])


@pytest.mark.parametrize(
    "proxy", ["http://proxy.example:3128", "proxy.example:3128", "http://user:word@proxy.example:3128"]
)
def test_a_proxy_is_knocked_at_instead_of_the_hub(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setenv("https_proxy", proxy)
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setattr(socket, "create_connection", lambda address, **_: asked.append(address) or socket.socket())
    assert hub.is_reachable()
    monkeypatch.setenv("no_proxy", "huggingface.co")
    assert hub.is_reachable()
    assert asked == [("proxy.example", 3128), ("huggingface.co", 443)]


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_changed_file_is_another_model(name: str, folder: Path) -> None:
    source = find_models([str(folder)])[0]
    before = source.fingerprint()
    assert source.fingerprint() == before
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert source.fingerprint() != before
    (folder / name).write_bytes(content)
    assert source.fingerprint() == before


def test_notes_beside_a_model_do_not_change_it(folder: Path) -> None:
    source = find_models([str(folder)])[0]
    before = source.fingerprint()
    for name in ("training.json", "README.md", "optimizer.pt"):
        (folder / name).write_text("{}")
    assert source.fingerprint() == before


def test_a_chat_template_of_its_own_file_decides_what_is_sent(folder: Path) -> None:
    (source,) = find_models([str(folder)])
    before = source.fingerprint()
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}")
    assert source.fingerprint() != before


def test_a_model_that_is_gone_has_no_fingerprint(folder: Path) -> None:
    source = find_models([str(folder)])[0]
    shutil.rmtree(folder)
    with pytest.raises(ModelError, match="any more"):
        source.fingerprint()


def test_a_step_of_the_ladder_is_named_behind_its_model(kept: Path) -> None:
    assert models("ladder/8x2@all") == ["ladder/8x2/seed0@5", "ladder/8x2/seed0@10", "ladder/8x2/seed0"]
    assert models("ladder@all") == models("ladder/8x2/seed0@all") == models("ladder/8x2@all")
    assert models("ladder@5") == models("ladder/8x2/seed0@5") == ["ladder/8x2/seed0@5"]
    assert models("ladder/8x2@20") == models("ladder/8x2") == ["ladder/8x2/seed0"]
    early, late, last = find_models(["ladder/8x2@all"])
    assert [one.step for one in (early, late, last)] == [5, 10, 20]
    assert [one.is_final for one in (early, late, last)] == [False, False, True]
    assert (early.folder, early.tokenizer_folder) == (kept / "step5", kept)
    assert (last.folder, last.tokenizer) == (kept, None)
    assert (early.tokens, last.tokens) == (None, 2_000), "nobody told the tokens of a step"
    assert early.held_out == last.held_out != {}
    assert len({one.fingerprint() for one in (early, late, last)}) == 3


def test_a_tokenizer_in_the_folder_above_belongs_to_the_model(kept: Path) -> None:
    (source,) = find_models(["ladder/8x2@5"])
    before = source.fingerprint()
    (kept / "tokenizer.json").write_text((kept / "tokenizer.json").read_text() + " ")
    assert source.fingerprint() != before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ladder/8x2@7", "step 7 is not kept; the nearest are 5 and 10, and 5, 10, 20 in all"),
        ("ladder/8x2@first", "behind the @ stands a step's number, or `all`"),
        ("ladder/8x2@", "behind the @ stands a step's number"),
        ("ladder/4x1@5", "'ladder/4x1@5': no steps of it are kept along training$"),
        ("ladder/8x3@5", "no model 'ladder/8x3': did you mean ladder/8x"),
        ("gpt2/small@5", r"no steps of it .* given as owner/name@revision"),
        (
            "pythia/14m@1001",
            r"step 1001 is not kept; the nearest are 512 and 1000, and 0, 1, 2, … 143000 \(154 of them",
        ),
        ("pythia/15m", "did you mean .*pythia/14m"),
        ("pythia/14m/seed3", "no model 'pythia/14m/seed3'"),
    ],
)
def test_a_step_or_size_that_there_is_not_is_told_the_nearest(
    name: str, message: str, kept: Path, attempts: list[str]
) -> None:
    with pytest.raises(ModelError, match=message):
        find_models([name])
    assert not attempts


def test_a_step_whose_folder_is_gone_is_told(kept: Path) -> None:
    shutil.rmtree(kept / "step5")
    with pytest.raises(ModelError, match=r"there is no folder .*step5"):
        find_models(["ladder/8x2@5"])


def test_models_of_one_size_are_seeds_of_each_other_only_where_they_say_so() -> None:
    def made(name: str, n_params: int, seed: int | None = None) -> Source:
        return Source("mine", name, Path(name), seed=seed, n_params=n_params)

    assert group_by_size([made("b", 9), made("a", 9), made("c", 2)]) == ((2,), (1,), (0,))
    assert group_by_size([made("b", 9, 1), made("a", 2, 0), made("b", 9, 0), made("a", 2, 1)]) == ((1, 3), (0, 2))
    # Two shapes of as many parameters are two models, whatever their seeds; two names with a seed each may be one size.
    assert group_by_size([made("deep", 9, 0), made("wide", 9, 0), made("wide", 9, 1)]) == ((0,), (1, 2))
    assert group_by_size([made("first", 9, 0), made("second", 9, 1)]) == ((0, 1),)


def test_a_seed_may_stand_in_the_name_of_a_checkpoint(own: Path) -> None:
    told = own.read_text().replace('checkpoint = "at-{step}"', 'checkpoint = "seed{seed}-at-{step}"')
    own.write_text(told)
    kept = own.parent / "runs" / "small-0" / "at-10"
    kept.rename(kept.with_name("seed0-at-10"))
    found = find_models([f"{own}/small@10"], offline=True)
    assert [source.folder.name for source in found] == ["seed0-at-10"]


def test_several_steps_are_no_curve_over_size(kept: Path) -> None:
    refuse_several_steps(find_models(["ladder"]))
    with pytest.raises(ScalingError, match="ladder/8x2 is there at several steps"):
        refuse_several_steps(find_models(["ladder/8x2@all"]))


def test_the_families_are_those_that_people_have() -> None:
    assert tuple(families.known_families()) == FAMILIES


@pytest.mark.parametrize("name", FAMILIES[1:])
def test_a_table_is_whole_and_in_order(name: str) -> None:
    family = public_families()[name]
    places = [member.location for member in family.members]
    assert len(set(places)) == len(places)
    assert len({member.name for member in family.members}) == len(places)
    assert all(len(str(place).split("/")) == 2 for place in places)
    known = [member.n_params for member in family.members if member.n_params is not None]
    assert known == sorted(known)
    assert family.about


def test_pythia_is_kept_at_154_steps() -> None:
    for name, members in (("pythia", 10), ("pythia-deduped", 10), ("polypythias", 45)):
        family = public_families()[name]
        assert len(family.members) == members
        for member in family.members:
            assert len(member.steps) == 154
            assert member.steps[:12] == (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)
            assert (member.steps[12], member.final_step, member.tokens) == (2000, 143_000, 299_892_736_000)
    assert {m.location for m in public_families()["polypythias"].members if m.model == "70m"} == {
        f"EleutherAI/pythia-70m-seed{seed}" for seed in range(1, 10)
    }


@pytest.mark.parametrize(
    ("name", "width", "layers", "vocab"),
    [
        ("14m", 128, 6, 50304), ("31m", 256, 6, 50304), ("70m", 512, 6, 50304), ("160m", 768, 12, 50304),
        ("410m", 1024, 24, 50304), ("1b", 2048, 16, 50304), ("1.4b", 2048, 24, 50304), ("2.8b", 2560, 32, 50304),
        ("6.9b", 4096, 32, 50432), ("12b", 5120, 36, 50688),
    ],
)  # fmt: skip
def test_pythias_counts_are_those_of_its_published_shapes(name: str, width: int, layers: int, vocab: int) -> None:
    block = 12 * width**2 + 13 * width  # attention and MLP with their biases, two norms
    (member,) = [member for member in public_families()["pythia"].members if member.model == name]
    assert member.n_params == 2 * vocab * width + layers * block + 2 * width


def test_a_cached_checkpoint_of_pythia_is_found_by_its_step(pythia: Path, attempts: list[str]) -> None:
    last, early = find_models(["pythia/14m", "pythia/14m@1000"], offline=True)
    assert [last.name, early.name] == ["pythia/14m", "pythia/14m@1000"]
    assert [last.folder, early.folder] == [pythia / COMMIT, pythia / EARLIER]
    assert (early.family, early.model, early.step, early.tokens) == ("pythia", "14m", 1000, 2_097_152_000)
    assert find_models(["pythia/14m@143000"]) == (last,)
    assert find_models(["EleutherAI/pythia-14m@step1000"])[0].folder == early.folder
    assert not attempts


def test_a_checkpoint_that_is_not_in_the_cache_is_one_clear_error(
    pythia: Path, attempts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = time.monotonic()
    with pytest.raises(ModelError, match=r"^EleutherAI/pythia-14m@step2000 is not in the cache; .* cannot be reached"):
        find_models(["pythia/14m@2000"])
    assert time.monotonic() - begun < 5
    assert attempts
    attempts.clear()
    with pytest.raises(ModelError, match=r"^EleutherAI/pythia-31m is not in the cache; fetching it was forbidden"):
        find_models(["pythia"], offline=True)
    assert not attempts


def test_a_checkpoint_is_run_and_what_was_decided_for_it_is_told(
    pythia: Path, attempts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*small_ladder.COMMAND, "--models", "pythia/14m@1000", "--offline", "--no-knockout", "--device", "cpu"]
    status = small_ladder.type_in([*command, "--bos", "no", "--json", "--out", "run"])
    shown = capsys.readouterr()
    assert status == 0, shown.err
    (told,) = json.loads(shown.out)["models"]
    assert {name: told[name] for name in ("family", "model", "seed", "step", "tokens", "bos")} == {
        "family": "pythia", "model": "14m", "seed": None, "step": 1000, "tokens": 2_097_152_000, "bos": False,
    }  # fmt: skip
    assert told["n_params"] < 100_000, "what was loaded counts, not the table"
    assert 0 <= told["treatment"]["self_check"]["bridge"] < 1e-4
    assert (told["treatment"]["bos"], told["treatment"]["left_out"]) == (None, ["<bos>"])
    kept = json.loads(Path("run/manifest.json").read_text())
    assert (kept["bos"], kept["self_check"]) == (False, True)
    assert not attempts


def test_what_was_not_checked_says_so(pythia: Path) -> None:
    usual, other = (
        run_manifest(small_ladder.task(), find_models(["pythia/14m"]), settings, None, ["distractor"])
        for settings in (Settings(device="cpu"), Settings(device="cpu", self_check=False))
    )
    assert (usual["self_check"], other["self_check"]) == (True, False)
    assert run_hash(usual) != run_hash(other)


def test_families_are_not_mixed_unless_it_is_asked_for(pythia: Path, folder: Path) -> None:
    with pytest.raises(ModelError, match="pythia and other models were asked for together"):
        find_models(["pythia/14m", str(folder)])
    assert len(find_models(["pythia/14m", str(folder), "ladder/8x2"], mixed=True)) == 3


def test_a_model_in_the_way_of_a_family_is_not_taken_for_either(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "gpt2")
    with pytest.raises(ModelError, match=r"a family's name and a model's folder here; the folder is given as \./gpt2"):
        find_models(["gpt2"])
    assert models("./gpt2") == ["gpt2"]


OWN = """
[mine]
about = "before and after"
checkpoint = "at-{step}"
steps = [1, { from = 10, to = 30, by = 10 }]
step = 40
tokens_a_step = 100
seeds = [0, 1]
[mine.models]
small = { folder = "runs/small-{seed}", n_params = 7 }
hub = { id = "EleutherAI/pythia-14m" , seed = 3, steps = [], step = 9, tokens = 5 }
"""


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Path:
    """A family of one's own: two seeds in folders beside its file, the first kept along training, and a hub id."""
    for seed in (0, 1):
        shutil.copytree(folder, tmp_path / "mine" / "runs" / f"small-{seed}")
    for step in (1, 10):
        shutil.copytree(folder, tmp_path / "mine" / "runs" / "small-0" / f"at-{step}")
    (tmp_path / "mine" / "my_family.toml").write_text(OWN.replace("seeds = [0, 1]\n", "").replace(
        'small = { folder = "runs/small-{seed}", n_params = 7 }',
        'small = { folder = "runs/small-0", n_params = 7, seed = 0 }\nlarge = { folder = "runs/small-1" }',
    ))  # fmt: skip
    return tmp_path / "mine" / "my_family.toml"


def test_a_family_of_ones_own_is_a_small_file(own: Path, pythia: Path, attempts: list[str]) -> None:
    assert models("mine/my_family.toml") == ["mine/small/seed0", "mine/large", "mine/hub/seed3"]
    small, large, other = find_models([str(own)], offline=True)
    assert (small.folder, small.n_params, small.step, small.tokens) == (own.parent / "runs/small-0", 7, 40, 4_000)
    assert (large.folder, large.n_params, large.seed) == (own.parent / "runs/small-1", None, None)
    assert (other.folder, other.step, other.tokens) == (pythia / COMMIT, 9, 5)
    (early,) = find_models(["mine/my_family.toml/small@10"])
    assert (early.name, early.folder.name, early.tokens) == ("mine/small/seed0@10", "at-10", 1_000)
    assert models("mine/my_family.toml/small/seed0") == ["mine/small/seed0"]
    assert find_family(str(own)).about == "before and after"
    assert models("mine/my_family.toml/small@40") == ["mine/small/seed0"]
    with pytest.raises(ModelError, match=r"there is no folder .*at-30"):  # the last one kept, but not where it ended
        find_models(["mine/my_family.toml/small@30"])
    with pytest.raises(ModelError, match="did you mean mine/small"):
        find_models(["mine/my_family.toml/smal"])
    assert not attempts


def test_groups_whose_conflict_was_held_out_are_told_in_a_file_beside_a_family(own: Path, pythia: Path) -> None:
    assert find_models([str(own)], offline=True)[0].held_out == {}
    (own.parent / "away.json").write_text('{"negation_qa": ["capital/France"]}')
    own.write_text(own.read_text().replace("[mine]\n", '[mine]\nheld_out = "away.json"\n'))
    assert all(s.held_out == {"negation_qa": {"capital/France"}} for s in find_models([str(own)], offline=True))
    (own.parent / "away.json").write_text('{"negation_qa": "capital/France"}')
    with pytest.raises(ModelError, match="wanted is a JSON file of task and groups \\(not lists of names"):
        find_models([str(own)], offline=True)


def test_how_many_examples_training_holds_is_told_in_a_file_beside_a_family_and_never_guessed(
    own: Path, pythia: Path
) -> None:
    (own.parent / "shots.json").write_text('{"negation_qa": {"shots": 2, "reasoned": 1}}')
    assert find_models([str(own)], offline=True)[0].shots is None
    own.write_text(own.read_text().replace("[mine]\n", '[mine]\nshots = "shots.json"\n'))
    assert all(s.shots == {"negation_qa": {"shots": 2, "reasoned": 1}} for s in find_models([str(own)], offline=True))
    for wrong in ('{"jan": {"clicks": 3}}', '{"a": {"shots": -1, "reasoned": 0}}', "[1]", "[1"):
        (own.parent / "shots.json").write_text(wrong)
        with pytest.raises(ModelError, match=r"shots is .shots\.json.; wanted is a JSON file of task and counts"):
            find_models([str(own)], offline=True)


def test_seeds_of_a_family_are_written_once(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(OWN.replace(", seed = 3, steps", ", steps").replace("pythia-14m", "p-{seed}"))
    family = find_family("own.toml")
    assert [member.name for member in family.members] == ["small/seed0", "small/seed1", "hub/seed0", "hub/seed1"]
    assert family.members[1].location == tmp_path / "runs/small-1"
    assert family.members[1].steps == (1, 10, 20, 30)
    assert family.members[3].location == "EleutherAI/p-1"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("[mine", "cannot be read as a family"),
        ("", "one table is wanted, .* it has none"),
        ("[a]\n[b]\n", "it has those of a, b"),
        ("mine = 3", "it is no table"),
        ("[ladder.models]\na = { folder = 'x' }", "cannot be called 'ladder'"),
        ("[models.models]\na = { folder = 'x' }", "cannot be called 'models'"),
        ("[mine]\n", "no table `models`"),
        ("[mine]\nstps = 3\n[mine.models]\na = { folder = 'x' }", "says 'stps', which is unknown: did you mean steps"),
        ("[mine.models]\na = { folder = 'x', id = 'o/n' }", "model a: one of id .* and folder is wanted"),
        ("[mine.models]\na = { n_params = 3 }", "one of id .* and folder is wanted"),
        ("[mine.models]\na = { id = 'name' }", "'name' is no hub id"),
        ("[mine.models]\na = { folder = 'x', n_params = '7B' }", "n_params is '7B'; wanted is a whole number"),
        ("[mine.models]\na = { folder = 'x', n_params = true }", "n_params is True"),
        ("[mine.models]\na = { folder = 'x', size = 3 }", "says 'size', which is unknown"),
        ("[mine.models]\na = { folder = 'x-{seed}' }", "stands in its id or folder where the family has seeds"),
        ("[mine]\nseeds = [1, 2]\n[mine.models]\na = { folder = 'x' }", "where the family has seeds, and only there"),
        ("[mine]\nseeds = [1, 1]\n[mine.models]\na = { folder = 'x-{seed}' }", "each is wanted once"),
        ("[mine]\nseeds = 'two'\n[mine.models]\na = { folder = 'x' }", "seeds are 'two'"),
        ("[mine.models]\na = { folder = 'x', steps = [1] }", "checkpoint is wanted"),
        ("[mine]\ncheckpoint = 'step'\n[mine.models]\na = { folder = 'x' }", r"a name with {step} in it"),
        ("[mine]\nsteps = ['x']\n[mine.models]\na = { folder = 'x' }", "'x' is no step"),
        ("[mine]\nsteps = [{ from = 1, to = 9, by = 0 }]\n[mine.models]\na = { folder = 'x' }", "is no step"),
        (
            "[mine]\nheld_out = 'no.json'\n[mine.models]\na = { folder = 'x' }",
            "held_out is 'no.json'; wanted is a JSON file",
        ),
        ("[mine]\nheld_out = 3\n[mine.models]\na = { folder = 'x' }", "held_out is 3; wanted is a JSON file"),
        ("[mine.models]\n'a/b' = { folder = 'x' }", "a model cannot be called 'a/b'"),
    ],
)
def test_a_file_that_describes_no_family_is_told_what_is_wrong(
    wrong: str, message: str, tmp_path: Path, attempts: list[str]
) -> None:
    (tmp_path / "own.toml").write_text(wrong)
    with pytest.raises(ModelError, match=message) as refused:
        find_models(["own.toml"])
    assert "own.toml" in str(refused.value)
    assert not attempts


def test_a_file_that_is_not_there_is_not_looked_for_on_the_hub(attempts: list[str]) -> None:
    for name in ("own.toml", "own.toml/small", "./own.toml", "there/own.toml"):
        with pytest.raises(ModelError, match=r"there is no (file|folder) '"):
            find_models([name])
    assert not attempts


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_shown_whole_within_a_hundred_columns(name: str, pythia: Path, attempts: list[str]) -> None:
    paper = io.StringIO()
    console = Console(file=paper, width=WIDTH, highlight=False)
    console.print(family_table.families_table(families.known_families().values()))
    family = find_family(name)
    console.print(family_table.family_table(family))
    lines = paper.getvalue().splitlines()
    assert max(len(line) for line in lines) <= 100
    shown = " ".join(" ".join(lines).split())
    assert "…" not in shown.replace("OLMo-2-…@stage1-step…-tokens…B", "")
    for member in family.members:
        assert f"{name}/{member.name} " in shown
        assert name == "ladder" or str(member.location) in shown
        assert member.n_params is None or f"{member.n_params:,}" in shown
        assert member.final_step is None or f" {member.final_step:,} " in shown
    assert (" yes " in shown) == (name in ("ladder", "pythia"))
    assert not attempts


def test_a_family_that_there_is_not_is_told_the_nearest() -> None:
    with pytest.raises(ModelError, match=r"no family 'pythias': did you mean .*pythia"):
        find_family("pythias")
