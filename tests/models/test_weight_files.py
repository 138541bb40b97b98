"""The weights that transformers loads are found, hashed and counted, and no others; an index stays in its folder."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

import tiny
from distractor.errors import ModelError
from distractor.models.families import find_models
from distractor.models.load import load
from distractor.models.parameters import count_parameters
from distractor.models.snapshot import check_model_folder
from distractor.models.weight_files import weight_files

pytestmark = pytest.mark.quick


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tmp_path_factory.mktemp("whole"), tiny.ARCHITECTURES["llama"], tiny.byte_level())


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "mine")


def split(folder: Path, *names: str) -> None:
    """Spread the weights over files with these names, relative to the folder, and write their index."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    place = {key: names[k % len(names)] for k, key in enumerate(weights)}
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        chosen = {key: value for key, value in weights.items() if place[key] == name}
        save_file(chosen, folder / name, metadata={"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": place}))


def stale_index(folder: Path) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "gone.safetensors"}}))


def test_whole_weights_beside_a_stale_index_are_loaded(folder: Path) -> None:
    before = count_parameters(folder)
    stale_index(folder)
    assert [path.name for path in weight_files(folder)] == ["model.safetensors"]
    check_model_folder(folder)
    assert load(folder, device="cpu").n_params == before == count_parameters(folder)


def test_weights_that_are_not_loaded_change_neither_hash_nor_count(folder: Path) -> None:
    (before,) = find_models([str(folder)])
    count, mark = count_parameters(folder), before.fingerprint()
    save_file({"x": torch.zeros(3)}, folder / "other.safetensors")
    assert (count_parameters(folder), before.fingerprint()) == (count, mark)


@pytest.mark.parametrize(
    "names",
    [("a.safetensors",), ("a.safetensors", "b.safetensors"), ("shards/a.safetensors", "shards/more/b.safetensors")],
    ids=["one file", "two files", "subfolders"],
)
def test_the_weights_of_an_index_are_loaded_and_hashed(names: tuple[str, ...], folder: Path, whole: Path) -> None:
    split(folder, *names)
    (source,) = find_models([str(folder)])
    model = load(folder, device="cpu")
    expected = AutoModelForCausalLM.from_pretrained(whole)
    assert model.n_params == expected.num_parameters() == count_parameters(folder)
    for name in names:
        before = source.fingerprint()
        weights = load_file(folder / name)
        save_file({key: value + 1 for key, value in weights.items()}, folder / name, metadata={"format": "pt"})
        assert source.fingerprint() != before, f"{name} was replaced, and the hash is the same"


def test_weights_that_trade_places_change_the_hash(folder: Path) -> None:
    split(folder, "a/1.safetensors", "b/1.safetensors")
    (source,) = find_models([str(folder)])
    before = source.fingerprint()
    (folder / "a").rename(folder / "c")
    (folder / "b").rename(folder / "a")
    (folder / "c").rename(folder / "b")
    assert source.fingerprint() != before


def escape_up(folder: Path) -> str:
    shutil.copy(folder / "model.safetensors", folder.parent / "out.safetensors")
    return "../out.safetensors"


def escape_absolute(folder: Path) -> str:
    return str(folder.parent / "mine" / "model.safetensors")


def escape_later(folder: Path) -> str:
    return "x/../../out.safetensors"


@pytest.mark.parametrize("escape", [escape_up, escape_absolute, escape_later])
def test_an_index_that_leaves_its_folder_is_refused(escape: Callable[[Path], str], folder: Path) -> None:
    name = escape(folder)
    (folder / "model.safetensors").rename(folder / "weights.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(ModelError, match="outside its folder"):
        find_models([str(folder)])


@pytest.mark.parametrize("content", ["[1]", "{", '{"weight_map": 3}', '{"weight_map": {"a": 1}}', "[" * 100_000])
def test_a_broken_index_is_named(content: str, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(content)
    with pytest.raises(ModelError, match=r"model.safetensors.index.json is no readable index"):
        find_models([str(folder)])


def test_links_to_other_folders_count_by_their_content(folder: Path, tmp_path: Path) -> None:
    """The hub's cache keeps its files under other names, and links to them."""
    (source,) = find_models([str(folder)])
    before = source.fingerprint()
    (tmp_path / "blobs").mkdir()
    for number, path in enumerate(sorted(folder.iterdir())):
        path.rename(tmp_path / "blobs" / str(number))
        path.symlink_to(tmp_path / "blobs" / str(number))
    assert source.fingerprint() == before
    assert find_models([str(folder)])


def test_only_names_that_transformers_loads_are_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    with pytest.raises(ModelError, match=r"lacks weights \(model.safetensors\)"):
        find_models([str(folder)])
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"transformers_weights": "other.safetensors"}))
    (source,) = find_models([str(folder)])
    assert [path.name for path in weight_files(source.folder)] == ["other.safetensors"]
    assert load(folder, device="cpu").n_params == count_parameters(folder)


@pytest.mark.parametrize("names", [("pytorch_model.bin",), ("pytorch_model-1-of-2.bin", "pytorch_model-2-of-2.bin")])
def test_bin_weights_whole_or_in_shards_give_the_same_log_probabilities(folder: Path, names: tuple[str, ...]) -> None:
    tokens, keep = torch.arange(8)[None], torch.arange(8)
    expected = load(folder, device="cpu").log_probs(tokens, keep)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    place = {key: names[k % len(names)] for k, key in enumerate(weights)}
    for name in names:
        torch.save({key: value for key, value in weights.items() if place[key] == name}, folder / name)
    if len(names) > 1:
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": place}))
    (source,) = find_models([str(folder)])
    torch.testing.assert_close(load(source.folder, device="cpu", self_check=True).log_probs(tokens, keep), expected)
    before = source.fingerprint()
    first = next(iter(weights))
    torch.save(
        {key: value + (key == first) for key, value in weights.items() if place[key] == names[0]}, folder / names[0]
    )
    assert source.fingerprint() != before


def test_a_missing_shard_of_bin_weights_is_named(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"a": "pytorch_model-1-of-1.bin"}}))
    with pytest.raises(ModelError, match=r"it lacks pytorch_model-1-of-1\.bin"):
        find_models([str(folder)])


def test_bin_weights_that_would_run_code_are_refused(folder: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (folder / "ran",)

    (folder / "model.safetensors").unlink()
    torch.save({"model.norm.weight": Harm()}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="cannot load a model"):
        load(folder, device="cpu")
    assert not (folder / "ran").exists()
