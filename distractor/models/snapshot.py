"""Model folders: which files one needs, and where the hub's cache keeps it, downloaded if necessary."""

from pathlib import Path
from typing import Literal

from distractor.errors import ModelError, first_line
from distractor.models import downloads, hub
from distractor.models.adapter import base_of, is_adapter
from distractor.models.gguf_file import SUFFIX, is_gguf, read_header
from distractor.models.source import TEXT_FILES
from distractor.models.weight_files import PRECEDENCE, weight_files

Network = Literal["use", "never", "plan"]
"""Whether models may be downloaded: if they are missing, never, or not for a plan, which can do without a known model."""


def missing_folder(hub_id: str) -> Path:
    """A folder that does not exist, for a model that is not downloaded."""
    return Path("/not downloaded") / hub_id


def check_model_folder(path: Path) -> None:
    """Raise ModelError if a folder, or a GGUF file, holds no complete model, and name what is missing."""
    if is_gguf(path):
        read_header(path)
        return
    if not path.is_dir():
        raise ModelError(f"no folder {path}; expected a model folder written by `save_pretrained`")
    if _missing_file(path) and is_adapter(path):
        raise ModelError(
            f"{path} holds an adapter without its base model; name both: --models {base_of(path)}+{path} (the base is a "
            "folder or a hub id)"
        )
    if missing := _missing_file(path):
        if inside := sorted(path.glob(f"*{SUFFIX}")):
            raise ModelError(
                f"{path} is no model folder, but it holds a GGUF file; name the file: --models {inside[0]}"
            )
        files = ", ".join(sorted(file.name for file in path.iterdir())[:5]) or "no files"
        raise ModelError(
            f"{path} is not a model folder: it lacks {missing} and has {files}; expected config.json, weights "
            "(*.safetensors) and a tokenizer, as written by `save_pretrained`"
        )


def _missing_file(path: Path) -> str | None:
    """Name what a folder lacks to be a model, or None."""
    if not (path / "config.json").is_file():
        return "config.json"
    if not (files := weight_files(path)):
        return f"weights ({PRECEDENCE[0]})"
    return next((str(file.relative_to(path)) for file in files if not file.is_file()), None)


def cached_folder(hub_id: str, revision: str | None = None) -> Path | None:
    """Return the cache's folder of a complete model, or None, without network. Raises ModelError if `hub_id` cannot be
    one.
    """
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = _download(hub_id, revision, "*.safetensors", local=True)
    except LocalEntryNotFoundError as error:
        # The missing files may be ones that are not needed here.
        folder = Path(getattr(error, "snapshot_path", "") or "/nowhere")
    except HFValidationError as error:
        raise ModelError(f"{hub_id!r} is neither a folder nor a hub id, which has the form owner/name") from error
    return None if _missing_file(folder) else folder


def find_snapshot(hub_id: str, revision: str | None, missing: str, network: Network) -> Path:
    """Return the folder of the hub's cache that holds a model; download the model if it is not there.

    Raises ModelError, which begins with `missing`, if a download is needed and is forbidden or fails.
    """
    if (folder := cached_folder(hub_id, revision)) and not downloads.is_temporary(folder):
        return folder
    texts = _cached_texts(hub_id, revision) if downloads.is_deleting() else None
    if texts and downloads.known(texts, may_download=network == "use"):
        return texts
    if network != "use" or hub.is_forbidden():
        raise ModelError(f"{missing}; downloads are forbidden (--offline, --plan or HF_HUB_OFFLINE)")
    if not hub.is_reachable():
        raise ModelError(f"{missing}; the Hugging Face hub cannot be reached: connect, or give a local folder")
    try:
        if downloads.is_deleting():
            folder = _download(hub_id, revision)
            downloads.prepare(hub_id, folder)
            return folder
        folder = _download(hub_id, revision, "*.safetensors")
        return _download(hub_id, revision, "pytorch_model*.bin") if _missing_file(folder) else folder
    except Exception as error:  # the hub's client also raises errors of its HTTP library and of the system
        raise ModelError(f"{missing}; the download failed: {first_line(error)}") from error


def _cached_texts(hub_id: str, revision: str | None) -> Path | None:
    """The cache's folder of a model whose weights may be missing, without network."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return _download(hub_id, revision, local=True)
    except LocalEntryNotFoundError as error:
        path = getattr(error, "snapshot_path", "")
        return Path(path) if path else None


def _download(hub_id: str, revision: str | None, *weights: str, local: bool = False) -> Path:
    """Return a snapshot with the text files and one kind of weights; `local` restricts the search to the cache."""
    from huggingface_hub import snapshot_download

    return Path(
        snapshot_download(
            hub_id,
            revision=revision,
            allow_patterns=[*TEXT_FILES, "*.py", *weights],
            ignore_patterns=["*/*"],
            local_files_only=local,
        )
    )
