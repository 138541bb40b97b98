"""A model's folder: what it lacks to be one, and those of the hub's cache, fetched if need be."""

import json
from pathlib import Path

from distractor.errors import ModelError
from distractor.models import hub
from distractor.models.source import TEXTS, WEIGHTS


def refuse_other(path: Path) -> None:
    """Raise ModelError where a folder holds no model, with what it lacks."""
    if not path.is_dir():
        raise ModelError(f"there is no folder {path}; wanted is one written by `save_pretrained`")
    if lacking := _lacking(path):
        here = ", ".join(sorted(p.name for p in path.iterdir())[:5]) or "no files"
        raise ModelError(
            f"{path} is no model: it lacks {lacking} and has {here}; wanted are config.json, weights (*.safetensors) and a "
            "tokenizer, as written by `save_pretrained`"
        )


def _lacking(path: Path) -> str | None:
    """What a folder misses to be a model."""
    if not (path / "config.json").is_file():
        return "config.json"
    if not any(file.is_file() for pattern in WEIGHTS for file in path.glob(pattern)):
        return "weights"
    try:
        indices = [json.loads(index.read_text()) for index in path.glob("*.index.json")]
        wanted = [set(index["weight_map"].values()) for index in indices]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "an index of its weights that can be read"
    # There may be an index for each kind of weights, and the files of one kind only.
    lost = [[name for name in sorted(names) if not (path / name).is_file()] for names in wanted]
    return None if not lost or [] in lost else lost[0][0]


def cached_folder(hub_id: str, revision: str | None = None) -> Path | None:
    """The folder of the hub's cache that holds a whole model, None where there is none; the network is not touched.

    Raises:
        ModelError: what was given cannot be a hub id.

    """
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        there = _take(hub_id, revision, WEIGHTS[0], local=True)
    except LocalEntryNotFoundError as error:
        # What other tools left out may be nothing that is needed here.
        there = Path(getattr(error, "snapshot_path", "") or "/nowhere")
    except HFValidationError as error:
        raise ModelError(f"{hub_id!r} is neither a folder nor a hub id, which has the form owner/name") from error
    return None if _lacking(there) else there


def snapshot(hub_id: str, revision: str | None, missing: str, *, offline: bool) -> Path:
    """The folder of the hub's cache that holds a model, fetched if need be; `missing` says what it means that it is not.

    Raises:
        ModelError: it is not in the cache, and it cannot or must not be fetched.

    """
    if there := cached_folder(hub_id, revision):
        return there
    if offline or hub.is_forbidden():
        raise ModelError(f"{missing}; fetching it was forbidden (--offline, --plan or HF_HUB_OFFLINE)")
    if not hub.is_reachable():
        raise ModelError(f"{missing}; the Hugging Face hub cannot be reached: connect, or give a local folder")
    try:
        fetched = _take(hub_id, revision, WEIGHTS[0])
        return _take(hub_id, revision, "pytorch_model*.bin") if _lacking(fetched) else fetched
    except Exception as error:  # the hub's client raises its own, its HTTP library's and the system's
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{missing}; it could not be fetched: {first}") from error


def _take(hub_id: str, revision: str | None, weights: str, *, local: bool = False) -> Path:
    """A snapshot of what a model needs: its texts, and weights of one kind."""
    from huggingface_hub import snapshot_download

    patterns = [*TEXTS, weights]
    found = snapshot_download(
        hub_id, revision=revision, allow_patterns=patterns, ignore_patterns=["*/*"], local_files_only=local
    )
    return Path(found)
