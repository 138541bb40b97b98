"""Names of models become folders: each kind of name, each mistake, and no use of the network without need."""

import io
import json
import os
import shutil
import socket
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import small_ladder
from distractor.command_line import family_table
from distractor.errors import ModelError, ScalingError
from distractor.models import families, hub
from distractor.models.families import find_families, find_models, public_families
from distractor.models.family_file import FamilyTable
from distractor.models.source import Source, group_by_size
from distractor.runs.folder import run_hash
from distractor.runs.manifest import run_manifest
from distractor.runs.tables import WIDTH
from distractor.scoring.behaviour import refuse_several_steps
from distractor.scoring.settings import Settings
from small_ladder import COMMIT, EARLIER

pytestmark = pytest.mark.quick

LADDERS = ("ladder/negation_qa", "ladder/redefine_math")
FAMILIES = (
    "pythia", "pythia-deduped", "polypythias", "parc", "gpt2", "opt", "qwen2.5", "qwen3", "llama-3", "gemma-3", "olmo-2",
    "smollm2", "olmo-3", "qwen3.5",
)  # fmt: skip


@pytest.fixture(scope="module")
def ladder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small ladder, once more as the ladder of another task."""
    made = small_ladder.make(tmp_path_factory.mktemp("ladder"))
    other = shutil.copytree(made / "negation_qa", made / "redefine_math")
    for name in ("held_out.json", "shots.json"):
        (other / name).write_text((other / name).read_text().replace("negation_qa", "redefine_math"))
    return made


@pytest.fixture(autouse=True)
def _here(ladder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "LADDER", ladder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(ladder: Path, tmp_path: Path) -> Path:
    """A model folder that may be changed."""
    return shutil.copytree(ladder / "negation_qa/8x1/seed0", tmp_path / "models" / "mine")


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses of refused connections; no connection succeeds."""
    tried: list[str] = []

    def refuse(*arguments: Any, **_: object) -> None:
        tried.append(str(arguments[-1] if len(arguments) > 1 else arguments[0]))
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tried


@pytest.fixture
def cached(folder: Path, tmp_path: Path) -> Path:
    """The snapshot of `owner/name` in a hand-made hub cache."""
    home = tmp_path / "cache" / "models--owner--name"
    for ref in ("main", "step1000"):
        (home / "refs").mkdir(parents=True, exist_ok=True)
        (home / "refs" / ref).write_text(COMMIT)
    return shutil.copytree(folder, home / "snapshots" / COMMIT)


@pytest.fixture
def kept(ladder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the largest model of a ladder that keeps steps 5 and 10 of 20 without tokenizers."""
    monkeypatch.setattr(families, "LADDER", shutil.copytree(ladder, tmp_path / "ladder-with-steps"))
    copy = families.LADDER / "negation_qa"
    table = json.loads((copy / "ladder.json").read_text())
    table["models"][-1] |= {"steps": 20, "kept": [5, 10], "tokens": 2_000}
    (copy / "ladder.json").write_text(json.dumps(table))
    home = copy / "8x2/seed0"
    for step in (5, 10):
        (home / f"step{step}").mkdir()
        for name in ("config.json", "model.safetensors"):
            shutil.copy(copy / ("8x1" if step == 5 else "8x2") / "seed0" / name, home / f"step{step}" / name)
    return home


@pytest.fixture(scope="module")
def neox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_ladder.make_hub_cache(tmp_path_factory.mktemp("hub"))


@pytest.fixture
def pythia(neox: Path, tmp_path: Path) -> Path:
    """The snapshots of the smallest Pythia in the cache: the final model and step 1,000."""
    return shutil.copytree(neox, tmp_path / "cache", dirs_exist_ok=True) / small_ladder.PYTHIA


def found(*names: str) -> tuple[Source, ...]:
    """The models that names mean in a run of negation_qa."""
    return find_models(names, task="negation_qa")


def models(*names: str) -> list[str]:
    return [source.name for source in found(*names)]


def test_ladder_means_all_models_of_the_tasks_ladder_smallest_first() -> None:
    sources = found("ladder")
    assert [source.model for source in sources] == list(small_ladder.SIZES)
    assert {(source.family, source.is_embedded) for source in sources} == {("ladder/negation_qa", True)}
    assert [source.n_params for source in sources] == sorted(source.n_params or 0 for source in sources)
    assert all(source.held_out["negation_qa"] for source in sources)
    assert models("ladder/") == models("ladder") == models("ladder/negation_qa/")


@pytest.mark.parametrize("name", ["ladder/8x2", "ladder/8x2/", "ladder/8x2/seed0", "ladder/negation_qa/8x2/seed0"])
def test_size_and_seed_select_a_part_of_the_ladder(name: str) -> None:
    assert models(name) == ["ladder/negation_qa/8x2/seed0"]


@pytest.mark.parametrize("task", ["negation_qa", "redefine_math", "mine", None])
def test_the_ladder_of_another_task_is_named_by_this_task(task: str | None, kept: Path) -> None:
    (source,) = find_models(["ladder/redefine_math/8x1"], task=task)
    assert source.folder == families.LADDER / "redefine_math/8x1/seed0"
    assert (source.name, [*source.held_out], [*(source.shots or ())]) == (
        "ladder/redefine_math/8x1/seed0", ["redefine_math"], ["redefine_math"],
    )  # fmt: skip
    assert [source.step for source in find_models(["ladder/negation_qa@all"], task=task)] == [5, 10, 20]


def test_the_ladder_of_each_task_is_its_own() -> None:
    (first,), (second,) = (find_models(["ladder/8x1"], task=task) for task in ("negation_qa", "redefine_math"))
    assert (first.family, second.family) == LADDERS
    with pytest.raises(ModelError, match=r"one family.* ladder/negation_qa and ladder/redefine_math"):
        found("ladder/8x1", "ladder/redefine_math/8x1")


@pytest.mark.parametrize("name", ["ladder", "ladder/8x2", "ladder@all"])
def test_a_task_without_a_ladder_needs_other_models(name: str) -> None:
    with pytest.raises(ModelError, match=r"'mine'.* negation_qa, redefine_math; .*--models.* ladder/negation_qa"):
        find_models([name], task="mine")


def test_without_a_task_the_ladder_is_named_by_its_task() -> None:
    with pytest.raises(ModelError, match=r"'ladder/8x2@5'.*ladder/negation_qa/8x2@5 or ladder/redefine_math/8x2@5"):
        find_models(["ladder/8x2@5"])


def test_a_ladder_without_its_records_is_damaged(kept: Path) -> None:
    (kept.parents[1] / "ladder.json").unlink()
    with pytest.raises(ModelError, match=r"damaged .*ladder\.json.*install the package again"):
        found("ladder")
    shutil.rmtree(families.LADDER)
    with pytest.raises(ModelError, match=r"damaged .*install the package again"):
        found("ladder")


def test_a_model_named_twice_appears_once(folder: Path) -> None:
    assert models("ladder/8x2", "ladder", "ladder/negation_qa/8x2/seed0") == [
        "ladder/negation_qa/8x2/seed0",
        "ladder/negation_qa/4x1/seed0",
        "ladder/negation_qa/8x1/seed0",
    ]
    assert models("models/mine", str(folder), "models/../models/mine/") == ["mine"]


def test_a_folder_called_ladder_does_not_hide_the_ladder(tmp_path: Path) -> None:
    (tmp_path / "ladder" / "8x2").mkdir(parents=True)
    assert models("ladder/8x2") == ["ladder/negation_qa/8x2/seed0"]
    assert len(models("ladder")) == len(small_ladder.SIZES)
    (tmp_path / "ladder" / "mine").mkdir()
    with pytest.raises(ModelError, match=r"\./ladder/mine"):
        found("ladder/mine")


@pytest.mark.parametrize("name", ["models/mine", "./models/mine", "models/mine/", "models/../models/mine"])
def test_any_path_to_a_folder_works(name: str, folder: Path, attempts: list[str]) -> None:
    assert models(name) == ["mine"]
    assert not attempts


def test_folders_of_the_same_name_get_their_full_paths(folder: Path, tmp_path: Path) -> None:
    other = shutil.copytree(folder, tmp_path / "others" / "mine")
    sources = find_models(["models/mine", "others/mine"])
    assert [source.name for source in sources] == [str(folder), str(other)]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("ladder/8x3", "ladder/8x2"),
        ("ladder/8x2/seed7", "ladder/8x2/seed0"),
        ("ladder/8x2/seed0/more", "did you mean ladder/8x2/seed0"),
        ("ladder/negation_qa/8x3", "did you mean ladder/negation_qa/8x2"),
        ("ladder/negation_q", "did you mean ladder/negation_qa?"),
        ("ladder/redefinemath/8x2@5", "did you mean ladder/redefine_math/8x2@5?"),
        ("lader", "did you mean ladder"),
        ("", "available: gemma-3, gpt2, ladder"),
        ("models/mien", "did you mean models/mine"),
        ("./models/mien", "did you mean models/mine"),
    ],
)
def test_a_wrong_name_brings_the_nearest_names(name: str, hint: str, folder: Path, attempts: list[str]) -> None:
    with pytest.raises(ModelError) as refused:
        found(name)
    assert hint in str(refused.value)
    assert repr(name.split("@")[0])[:-1] in str(refused.value)
    assert not attempts


@pytest.mark.parametrize(
    "name",
    ["./modls", "../x", "/nowhere/at/all", "~/nowhere", "a/b/c", "owner/name/", "models/typo", r"C:\models\mine"],
)
def test_a_wrong_path_is_never_looked_up_on_the_hub(name: str, folder: Path, attempts: list[str]) -> None:
    with pytest.raises(ModelError, match="folder") as refused:
        find_models([name])
    assert repr(name) in str(refused.value)
    assert not attempts


def test_a_file_is_not_a_model(folder: Path, attempts: list[str]) -> None:
    with pytest.raises(ModelError, match=r"config.json' is a file.*folder"):
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
        (lambda folder: [path.unlink() for path in folder.iterdir()], "has no files"),
    ],
    ids=["no config", "no weights", "dangling link", "a shard is missing", "empty"],
)
def test_an_incomplete_folder_is_refused_with_what_it_lacks(
    spoil: Callable[[Path], Any], lacking: str, folder: Path
) -> None:
    spoil(folder)
    with pytest.raises(ModelError, match=lacking) as refused:
        find_models([str(folder)])
    assert "save_pretrained" in str(refused.value)


@pytest.mark.parametrize("name", ["owner/name", "owner/name@step1000", f"owner/name@{COMMIT}"])
@pytest.mark.parametrize("offline", [True, False])
def test_a_hub_id_in_the_cache_needs_no_network(name: str, offline: bool, cached: Path, attempts: list[str]) -> None:
    (source,) = find_models([name], offline=offline)
    assert (source.name, source.folder) == (name, cached)
    assert not attempts


def test_offline_makes_no_connection(attempts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="forbidden"):
        find_models(["owner/name"], offline=True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match="forbidden"):
        find_models(["owner/name"])
    assert not attempts


def test_without_a_network_an_uncached_hub_id_is_refused(attempts: list[str]) -> None:
    with pytest.raises(ModelError, match=r"'owner/name' .*not in the cache.* cannot be reached"):
        find_models(["owner/name"])
    assert attempts


def test_a_silent_network_costs_only_the_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hub.SECONDS <= 4
    monkeypatch.setattr(hub, "SECONDS", 0.1)
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: time.sleep(20) or socket.socket())
    start = time.monotonic()
    with pytest.raises(ModelError, match="cannot be reached"):
        find_models(["owner/name"])
    assert time.monotonic() - start < 5


def test_an_uncached_revision_is_not_replaced_by_another(cached: Path, attempts: list[str]) -> None:
    with pytest.raises(ModelError, match="owner/name"):
        find_models(["owner/name@step2000"])


def test_an_incomplete_model_in_the_cache_is_downloaded_again(cached: Path, attempts: list[str]) -> None:
    (cached / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot be reached"):
        find_models(["owner/name"])
    assert attempts


def test_a_complete_model_in_the_cache_is_used_even_if_other_files_are_missing(
    cached: Path, attempts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub.errors import LocalEntryNotFoundError

    def incomplete(*_: object, **__: object) -> str:
        error = LocalEntryNotFoundError("some files are missing")
        error.snapshot_path = str(cached)  # type: ignore[attr-defined]
        raise error

    monkeypatch.setattr("huggingface_hub.snapshot_download", incomplete)
    assert models("owner/name") == ["owner/name"]


def test_a_repository_without_safetensors_gives_its_bin_weights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import LocalEntryNotFoundError

    (folder / "model.safetensors").unlink()
    patterns = []

    def hub(*_: object, allow_patterns: list[str], local_files_only: bool, **__: object) -> str:
        if local_files_only:
            raise LocalEntryNotFoundError("nothing here")
        patterns.append(allow_patterns[-1])
        if "bin" in allow_patterns[-1]:
            (folder / "pytorch_model.bin").touch()
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", hub)
    monkeypatch.setattr("distractor.models.hub.is_reachable", lambda: True)
    assert models("owner/name") == ["owner/name"]
    assert patterns == ["*.safetensors", "pytorch_model*.bin"]


@pytest.mark.parametrize("name", ["own er/na me", "owner/na..me", "owner/" + "x" * 120])
def test_a_malformed_hub_id_is_refused(name: str, attempts: list[str]) -> None:
    with pytest.raises(ModelError, match="neither a folder nor a hub id"):
        find_models([name])
    assert not attempts


def test_a_failed_download_keeps_the_first_line_of_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import LocalEntryNotFoundError

    class OddError(Exception):
        pass

    def hub(*_: object, local_files_only: bool, **__: object) -> str:
        raise LocalEntryNotFoundError("nothing here") if local_files_only else OddError("401 Client Error\nmore")

    monkeypatch.setattr("huggingface_hub.snapshot_download", hub)
    monkeypatch.setattr("distractor.models.hub.is_reachable", lambda: True)
    with pytest.raises(ModelError, match=r"download failed: 401 Client Error$"):
        find_models(["owner/name"])


@pytest.mark.parametrize(
    "proxy", ["http://proxy.example:3128", "proxy.example:3128", "http://user:word@proxy.example:3128"]
)
def test_a_proxy_is_contacted_instead_of_the_hub(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = []
    monkeypatch.setenv("https_proxy", proxy)
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setattr(socket, "create_connection", lambda address, **_: addresses.append(address) or socket.socket())
    assert hub.is_reachable()
    monkeypatch.setenv("no_proxy", "huggingface.co")
    assert hub.is_reachable()
    assert addresses == [("proxy.example", 3128), ("huggingface.co", 443)]


def test_only_files_that_decide_the_output_change_the_fingerprint(folder: Path) -> None:
    (source,) = find_models([str(folder)])
    before = source.fingerprint()
    for name in ("training.json", "README.md", "optimizer.pt"):
        (folder / name).write_text("{}")
    assert source.fingerprint() == before
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert source.fingerprint() != before
        (folder / name).write_bytes(content)
        assert source.fingerprint() == before
    (folder / "chat_template.jinja").write_text("{{ messages[0].content }}")
    assert source.fingerprint() != before
    shutil.rmtree(folder)
    with pytest.raises(ModelError, match="no longer holds a model"):
        source.fingerprint()


def test_a_step_follows_the_name_of_a_model(kept: Path) -> None:
    largest = "ladder/negation_qa/8x2/seed0"
    assert models("ladder/8x2@all") == [f"{largest}@5", f"{largest}@10", largest]
    assert models("ladder@all") == models("ladder/8x2/seed0@all") == models("ladder/8x2@all")
    assert models("ladder@5") == models("ladder/8x2/seed0@5") == [f"{largest}@5"]
    assert models("ladder/8x2@20") == models("ladder/8x2") == [largest]
    early, late, last = found("ladder/8x2@all")
    assert [source.step for source in (early, late, last)] == [5, 10, 20]
    assert [source.is_final for source in (early, late, last)] == [False, False, True]
    assert (early.folder, early.tokenizer_folder) == (kept / "step5", kept)
    assert (last.folder, last.tokenizer) == (kept, None)
    assert (early.tokens, last.tokens) == (None, 2_000), "the tokens of a step are unknown"
    assert early.held_out == last.held_out != {}
    assert len({source.fingerprint() for source in (early, late, last)}) == 3


def test_a_tokenizer_in_the_parent_folder_counts_for_the_fingerprint(kept: Path) -> None:
    (source,) = found("ladder/8x2@5")
    before = source.fingerprint()
    (kept / "tokenizer.json").write_text((kept / "tokenizer.json").read_text() + " ")
    assert source.fingerprint() != before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ladder/8x2@7", "step 7 .*5 and 10"),
        ("ladder/8x2@first", "'ladder/8x2@first': .*`all`.* 5 to 20"),
        ("ladder/8x2@", "'ladder/8x2@': .*`all`"),
        ("ladder/4x1@5", "'ladder/4x1@5': no checkpoints .*kept$"),
        ("ladder/8x3@5", "'ladder/8x3': did you mean ladder/8x"),
        ("ladder/negation_qa@7", "'ladder/negation_qa@7': step 7 .*5 and 10"),
        ("ladder/negation_qa/8x3@5", "'ladder/negation_qa/8x3': did you mean ladder/negation_qa/8x"),
        ("gpt2/small@5", "no checkpoints .* owner/name@revision"),
        ("pythia/14m@1001", "step 1001 .*512 and 1000"),
        ("pythia/15m", "did you mean .*pythia/14m"),
        ("pythia/14m/seed3", "'pythia/14m/seed3'"),
    ],
)
def test_a_wrong_step_or_size_brings_the_nearest_ones(name: str, message: str, kept: Path, attempts: list[str]) -> None:
    with pytest.raises(ModelError, match=message):
        found(name)
    assert not attempts


def test_a_missing_step_folder_is_named(kept: Path) -> None:
    shutil.rmtree(kept / "step5")
    with pytest.raises(ModelError, match=r"no folder .*step5"):
        found("ladder/8x2@5")


def test_only_models_with_seeds_are_grouped_as_replicates() -> None:
    def made(name: str, n_params: int, seed: int | None = None) -> Source:
        return Source("mine", name, Path(name), seed=seed, n_params=n_params)

    assert group_by_size([made("b", 9), made("a", 9), made("c", 2)]) == ((2,), (1,), (0,))
    assert group_by_size([made("b", 9, 1), made("a", 2, 0), made("b", 9, 0), made("a", 2, 1)]) == ((1, 3), (0, 2))
    # Two models of one seed with equal counts are two sizes; two names with different seeds are one size.
    assert group_by_size([made("deep", 9, 0), made("wide", 9, 0), made("wide", 9, 1)]) == ((0,), (1, 2))
    assert group_by_size([made("first", 9, 0), made("second", 9, 1)]) == ((0, 1),)


def test_a_checkpoint_name_may_contain_the_seed(own: Path) -> None:
    own.write_text(own.read_text().replace('checkpoint = "at-{step}"', 'checkpoint = "seed{seed}-at-{step}"'))
    checkpoint = own.parent / "runs" / "small-0" / "at-10"
    checkpoint.rename(checkpoint.with_name("seed0-at-10"))
    assert [source.folder.name for source in find_models([f"{own}/small@10"], offline=True)] == ["seed0-at-10"]


def test_several_steps_of_a_model_do_not_form_a_curve_over_size(kept: Path) -> None:
    refuse_several_steps(found("ladder"))
    with pytest.raises(ScalingError, match=r"ladder/negation_qa/8x2.* several steps"):
        refuse_several_steps(found("ladder/8x2@all"))


def test_the_known_families_are_listed_in_order() -> None:
    assert tuple(families.known_families()) == (*LADDERS, *FAMILIES)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_public_family_is_valid_complete_and_sorted(name: str) -> None:
    family = public_families()[name]
    FamilyTable.model_validate(tomllib.loads(families.PUBLIC.read_text())[name])
    assert len({member.location for member in family.members}) == len(family.members)
    assert len({member.name for member in family.members}) == len(family.members)
    known = [member.n_params for member in family.members if member.n_params is not None]
    assert known == sorted(known)
    assert family.about


def test_pythia_keeps_154_steps() -> None:
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


def test_the_final_models_of_polypythias_are_a_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str | None]] = []

    def find(hub_id: str, revision: str | None, *_: object) -> Path:
        asked.append((hub_id, revision))
        return Path(hub_id)

    monkeypatch.setattr("distractor.models.family.find_snapshot", find)
    (final,) = found("polypythias/14m/seed1")
    assert (final.name, final.step, final.is_final) == ("polypythias/14m/seed1", 143_000, True)
    found("polypythias/14m/seed1@1000")
    found("parc/160m/seed5")
    assert asked == [
        ("EleutherAI/pythia-14m-seed1", "step143000"),
        ("EleutherAI/pythia-14m-seed1", "step1000"),
        ("jmichaelov/parc-pythia-seed5", None),
    ]


def test_parc_was_trained_on_two_billion_tokens() -> None:
    family = public_families()["parc"]
    assert len(family.members) == 6
    assert {member.tokens for member in family.members} == {2_097_152_000}


@pytest.mark.parametrize(
    ("name", "width", "layers", "vocab"),
    [
        ("14m", 128, 6, 50304), ("31m", 256, 6, 50304), ("70m", 512, 6, 50304), ("160m", 768, 12, 50304),
        ("410m", 1024, 24, 50304), ("1b", 2048, 16, 50304), ("1.4b", 2048, 24, 50304), ("2.8b", 2560, 32, 50304),
        ("6.9b", 4096, 32, 50432), ("12b", 5120, 36, 50688),
    ],
)  # fmt: skip
def test_parameter_counts_of_pythia_follow_from_its_published_shapes(
    name: str, width: int, layers: int, vocab: int
) -> None:
    block = 12 * width**2 + 13 * width  # attention and MLP with their biases, two norms
    (member,) = [member for member in public_families()["pythia"].members if member.model == name]
    assert member.n_params == 2 * vocab * width + layers * block + 2 * width


def test_a_cached_checkpoint_is_found_by_its_step(pythia: Path, attempts: list[str]) -> None:
    last, early = find_models(["pythia/14m", "pythia/14m@1000"], offline=True)
    assert [last.name, early.name] == ["pythia/14m", "pythia/14m@1000"]
    assert [last.folder, early.folder] == [pythia / COMMIT, pythia / EARLIER]
    assert (early.family, early.model, early.step, early.tokens) == ("pythia", "14m", 1000, 2_097_152_000)
    assert find_models(["pythia/14m@143000"]) == (last,)
    assert find_models(["EleutherAI/pythia-14m@step1000"])[0].folder == early.folder
    assert not attempts


def test_an_uncached_checkpoint_is_refused_by_its_hub_id(
    pythia: Path, attempts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    start = time.monotonic()
    with pytest.raises(ModelError, match=r"^EleutherAI/pythia-14m@step2000 is not in the cache; .* cannot be reached"):
        find_models(["pythia/14m@2000"])
    assert time.monotonic() - start < 5
    assert attempts
    attempts.clear()
    with pytest.raises(ModelError, match=r"^EleutherAI/pythia-31m is not in the cache; downloads are forbidden"):
        find_models(["pythia"], offline=True)
    assert not attempts


def test_a_run_without_self_check_has_another_manifest(pythia: Path) -> None:
    usual, other = (
        run_manifest(small_ladder.task(), find_models(["pythia/14m"]), settings, None, ["distractor"])
        for settings in (Settings(device="cpu"), Settings(device="cpu", self_check=False))
    )
    assert (usual["self_check"], other["self_check"]) == (True, False)
    assert run_hash(usual) != run_hash(other)


def test_families_are_mixed_only_on_request(pythia: Path, folder: Path) -> None:
    with pytest.raises(ModelError, match=r"one family.* pythia and other models"):
        find_models(["pythia/14m", str(folder)])
    assert len(find_models(["pythia/14m", str(folder), "ladder/8x2"], task="negation_qa", mixed=True)) == 3


def test_a_model_folder_with_the_name_of_a_family_is_ambiguous(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "gpt2")
    with pytest.raises(ModelError, match=r"family and the folder .*\./gpt2"):
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
    """A user's family file: two seeds in folders, one of them with checkpoints, and a hub id."""
    for seed in (0, 1):
        shutil.copytree(folder, tmp_path / "mine" / "runs" / f"small-{seed}")
    for step in (1, 10):
        shutil.copytree(folder, tmp_path / "mine" / "runs" / "small-0" / f"at-{step}")
    (tmp_path / "mine" / "my_family.toml").write_text(OWN.replace("seeds = [0, 1]\n", "").replace(
        'small = { folder = "runs/small-{seed}", n_params = 7 }',
        'small = { folder = "runs/small-0", n_params = 7, seed = 0 }\nlarge = { folder = "runs/small-1" }',
    ))  # fmt: skip
    return tmp_path / "mine" / "my_family.toml"


def test_a_family_file_describes_folders_seeds_steps_and_hub_ids(own: Path, pythia: Path, attempts: list[str]) -> None:
    assert models("mine/my_family.toml") == ["mine/small/seed0", "mine/large", "mine/hub/seed3"]
    small, large, other = find_models([str(own)], offline=True)
    assert (small.folder, small.n_params, small.step, small.tokens) == (own.parent / "runs/small-0", 7, 40, 4_000)
    assert (large.folder, large.n_params, large.seed) == (own.parent / "runs/small-1", None, None)
    assert (other.folder, other.step, other.tokens) == (pythia / COMMIT, 9, 5)
    (early,) = find_models(["mine/my_family.toml/small@10"])
    assert (early.name, early.folder.name, early.tokens) == ("mine/small/seed0@10", "at-10", 1_000)
    assert models("mine/my_family.toml/small/seed0") == ["mine/small/seed0"]
    assert find_families(str(own))[0].about == "before and after"
    assert models("mine/my_family.toml/small@40") == ["mine/small/seed0"]
    with pytest.raises(ModelError, match=r"no folder .*at-30"):
        find_models(["mine/my_family.toml/small@30"])
    with pytest.raises(ModelError, match="did you mean mine/small"):
        find_models(["mine/my_family.toml/smal"])
    assert not attempts


def test_held_out_groups_and_shot_counts_come_from_json_files(own: Path, pythia: Path) -> None:
    (source, *_) = find_models([str(own)], offline=True)
    assert (source.held_out, source.shots) == ({}, None)
    groups, shots = own.parent / "away.json", own.parent / "shots.json"
    groups.write_text('{"negation_qa": ["capital/France"]}')
    shots.write_text('{"negation_qa": {"shots": 2, "reasoned": 1}}')
    own.write_text(own.read_text().replace("[mine]\n", '[mine]\nheld_out = "away.json"\nshots = "shots.json"\n'))
    for source in find_models([str(own)], offline=True):
        assert source.held_out == {"negation_qa": {"capital/France"}}
        assert source.shots == {"negation_qa": {"shots": 2, "reasoned": 1}}
    for file, wrong in (
        (shots, '{"jan": {"clicks": 3}}'),
        (shots, '{"a": {"shots": -1, "reasoned": 0}}'),
        (shots, '{"a": {"shots": 1}}'),
        (shots, "[1"),
        (groups, '{"negation_qa": "capital/France"}'),
    ):
        right = file.read_text()
        file.write_text(wrong)
        with pytest.raises(ModelError, match=rf"family mine, (shots|held_out) '{file.name}'"):
            find_models([str(own)], offline=True)
        file.write_text(right)


def test_seeds_and_step_ranges_of_a_family_file_are_expanded(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(OWN.replace(", seed = 3, steps", ", steps").replace("pythia-14m", "p-{seed}"))
    (family,) = find_families("own.toml")
    assert [member.name for member in family.members] == ["small/seed0", "small/seed1", "hub/seed0", "hub/seed1"]
    assert family.members[1].location == tmp_path / "runs/small-1"
    assert family.members[1].steps == (1, 10, 20, 30)
    assert family.members[3].location == "EleutherAI/p-1"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("[mine", "cannot be read"),
        ("", "one table.* none"),
        ("[a]\n[b]\n", "one table.* a, b"),
        ("mine = 3", "family mine: .*table.* 3"),
        ("[ladder.models]\na = { folder = 'x' }", "'ladder' is taken"),
        ("[models.models]\na = { folder = 'x' }", "'models' is taken"),
        ("['a/b'.models]\na = { folder = 'x' }", "family a/b: .*pattern"),
        ("[mine]\n", "models: .*required"),
        ("[mine]\nstps = 3\n[mine.models]\na = { folder = 'x' }", "stps: unknown key: did you mean steps"),
        ("[mine.models]\na = { folder = 'x', id = 'o/n' }", "models.a: .*either `id` or `folder`"),
        ("[mine.models]\na = { n_params = 3 }", "models.a: .*either `id` or `folder`"),
        ("[mine.models]\na = { id = 'name' }", "models.a: 'name' .*owner/name"),
        ("[mine.models]\na = { folder = 'x', n_params = '7B' }", "models.a.n_params: .*integer.* '7B'"),
        ("[mine.models]\na = { folder = 'x', n_params = true }", "models.a.n_params: .*integer.* True"),
        ("[mine.models]\na = { folder = 'x', n_params = -1 }", "models.a.n_params: .* 0.* -1"),
        ("[mine.models]\na = { folder = 'x', size = 3 }", "models.a.size: unknown key: .*step"),
        ("[mine.models]\na = { folder = 'x-{seed}' }", "models.a: .*{seed}"),
        ("[mine]\nseeds = [1, 2]\n[mine.models]\na = { folder = 'x' }", "models.a: .*{seed}"),
        ("[mine]\nseeds = [1, 1]\n[mine.models]\na = { folder = 'x-{seed}' }", r"seeds: .*once.* \[1, 1\]"),
        ("[mine]\nseeds = 'two'\n[mine.models]\na = { folder = 'x' }", "seeds: .*list.* 'two'"),
        ("[mine.models]\na = { folder = 'x', steps = [1] }", "`steps` need a `checkpoint`"),
        ("[mine]\ncheckpoint = 'step'\n[mine.models]\na = { folder = 'x' }", r"checkpoint: .*{step}.* 'step'"),
        ("[mine]\nsteps = ['x']\n[mine.models]\na = { folder = 'x' }", "steps.0.* 'x'"),
        ("[mine]\nsteps = [{ from = 1, to = 9, by = 0 }]\n[mine.models]\na = { folder = 'x' }", "steps.0.by: .* 0"),
        ("[mine]\nheld_out = 'no.json'\n[mine.models]\na = { folder = 'x' }", "held_out 'no.json': cannot be read"),
        ("[mine]\nheld_out = 3\n[mine.models]\na = { folder = 'x' }", "held_out: .* 3"),
        ("[mine.models]\n'a/b' = { folder = 'x' }", "models.a/b.*pattern"),
        ('[mine.models]\na = { folder = "x\\u0000y" }', r"models.a.folder: .*control.*x\\x00y"),
        ('[mine.models]\na = { id = "o/n\\u001b[31m" }', r"models.a.id: .*control"),
        ('[mine]\nabout = "\\u0007"\n[mine.models]\na = { folder = "x" }', "about: .*control"),
        (f"[{'m' * 101}.models]\na = {{ folder = 'x' }}", "family m+: .*100"),
        (f"[mine.models]\na = {{ folder = 'x', seed = {2**63} }}", f"models.a.seed: .*{2**63}"),
        (f"[mine]\nstep = {2**70}\n[mine.models]\na = {{ folder = 'x' }}", f"step: .*{2**63}.*{2**70}"),
        (f"[mine]\nseeds = [{2**64}]\n[mine.models]\na = {{ folder = 'x-{{seed}}' }}", "seeds.0: "),
        (
            f"[mine]\nseeds = {[*range(10_001)]}\n[mine.models]\na = {{ folder = 'x-{{seed}}' }}",
            "at most 10,000 models.* 10,001",
        ),
        (
            "[mine]\ncheckpoint = '{step}'\nsteps = [{ from = 0, to = 1000000000000, by = 1 }]\n[mine.models]\n"
            "a = { folder = 'x' }",
            "steps: .*at most 100,000 steps, got 1,000,000,000,001",
        ),
        (f"mine = {'[' * 100_000}", "cannot be read"),
        (f"mine = {'{a=' * 100_000}", "cannot be read"),
    ],
    ids=lambda given: given[:40],
)
def test_a_wrong_family_file_is_refused_by_key_and_value(
    wrong: str, message: str, tmp_path: Path, attempts: list[str]
) -> None:
    (tmp_path / "own.toml").write_text(wrong)
    with pytest.raises(ModelError, match=message) as refused:
        find_models(["own.toml"])
    assert "own.toml" in str(refused.value)
    assert len(str(refused.value)) < 500
    assert not attempts


@pytest.mark.parametrize("name", ["own.toml", "shots.json"])
def test_a_pipe_in_the_place_of_a_file_never_blocks(name: str, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("[mine]\nshots = 'shots.json'\n[mine.models]\na = { folder = 'x' }")
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    with pytest.raises(ModelError):
        find_models(["own.toml"])


def test_a_missing_family_file_is_never_looked_up_on_the_hub(attempts: list[str]) -> None:
    for name in ("own.toml", "own.toml/small", "./own.toml", "there/own.toml"):
        with pytest.raises(ModelError, match=r"no (file|folder)"):
            find_models([name])
    assert not attempts


@pytest.mark.parametrize("name", ["ladder/redefine_math", "pythia", "polypythias", "gemma-3", "olmo-2"])
def test_a_family_table_shows_every_member_in_a_hundred_columns(name: str, pythia: Path, attempts: list[str]) -> None:
    output = io.StringIO()
    console = Console(file=output, width=WIDTH, highlight=False)
    console.print(family_table.families_table(families.known_families().values()))
    (family,) = find_families(name)
    console.print(family_table.family_table(family))
    lines = output.getvalue().splitlines()
    assert max(len(line) for line in lines) <= 100
    shown = " ".join(" ".join(lines).split())
    assert "…" not in shown.replace("OLMo-2-…@stage1-step…-tokens…B", "")
    for member in family.members:
        assert f" {member.name} " in shown
        assert name in LADDERS or str(member.location) in shown
        assert member.n_params is None or f"{member.n_params:,}" in shown
        assert member.final_step is None or f" {member.final_step:,} " in shown
    assert f"Name a model as {name}/{family.members[0].name}." in shown
    assert (" yes " in shown) == (name in (*LADDERS, "pythia"))
    assert not attempts


def test_ladder_is_the_ladders_of_all_tasks() -> None:
    assert tuple(family.name for family in find_families("ladder")) == LADDERS


@pytest.mark.parametrize(
    ("name", "meant"), [("pythias", "pythia"), ("ladder/negation", "ladder/negation_qa"), ("ladders", "ladder")]
)
def test_a_wrong_family_name_brings_the_nearest_one(name: str, meant: str) -> None:
    with pytest.raises(ModelError, match=rf"'{name}': did you mean .*{meant}"):
        find_families(name)
