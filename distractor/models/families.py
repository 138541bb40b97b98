"""Finds the models that a user names: families, parts of families, folders and hub ids."""

import difflib
import json
import re
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from distractor.errors import ModelError, nearest
from distractor.models.adapter import check_adapter
from distractor.models.downloads import weights_of
from distractor.models.family import Family, Member
from distractor.models.gguf_file import is_gguf
from distractor.models.snapshot import Network, cached_folder, check_model_folder, find_snapshot, missing_folder
from distractor.models.source import EMBEDDED, NO_FAMILY, Source
from distractor.names import printable

LADDER = Path(__file__).parent.parent / "ladder"
PUBLIC = Path(__file__).parent / "families.toml"


def find_models(
    names: Sequence[str],
    *,
    task: str | None = None,
    offline: bool = False,
    mixed: bool = False,
    is_planned: bool = False,
) -> tuple[Source, ...]:
    """Find the models that `names` refer to, each once.

    A name is one of:

    - a family (`pythia`) or a part of one (`family/size[/seedK][@step]`, `@all` for every step),
    - the embedded ladder of `task` (`ladder`) or of another task (`ladder/TASK`), or a part of it in the same way,
    - a .toml file that describes a family, or a part of that family in the same way,
    - a folder,
    - a GGUF file,
    - a hub id (`owner/name[@revision]`),
    - one of these that means one model, and an adapter's folder: `base+folder`.

    Folders and hub ids together count as one family. A name that looks like a path never counts as a hub id. The network
    is used only for a hub id that is not in the cache, and only unless `offline`. If it `is_planned` only, models of a
    family may be missing (`Source.is_missing`), and nothing is downloaded.

    Raises:
        ModelError: a name matches no model, or the models belong to several families and `mixed` is False.
    """
    network: Network = "plan" if is_planned else "never" if offline else "use"
    sources = list(dict.fromkeys(source for name in names for source in _find(name, task, network)))
    mixture = list(dict.fromkeys(source.family for source in sources))
    if len(mixture) > 1 and not mixed:
        listed = " and ".join("other models" if family == NO_FAMILY else family for family in mixture)
        raise ModelError(f"one curve needs one family, but {listed} were asked for; run them one after the other")
    # Full paths distinguish folders of the same name.
    count = Counter(source.name for source in sources)
    return tuple(
        replace(source, model=printable(source.place))
        if source.family == NO_FAMILY and count[source.name] > 1
        else source
        for source in sources
    )


def known_families() -> dict[str, Family]:
    """Return the families that have a name, the embedded ladders first."""
    ladders = [embedded_ladder(task) for task in embedded_tasks()]
    return {**{family.name: family for family in ladders}, **public_families()}


def find_families(name: str) -> tuple[Family, ...]:
    """Return a family by its name or .toml file; `ladder` is the ladder of each task.

    Raises:
        ModelError: no family has this name.
    """
    families = known_families()
    if name == EMBEDDED:
        return tuple(family for family in families.values() if family.is_embedded)
    if name in families:
        return (families[name],)
    if name.endswith(".toml") and Path(name).expanduser().is_file():
        return (read_family(Path(name).expanduser()),)
    known = nearest(name, [EMBEDDED, *families])
    raise ModelError(f"no family is called {name!r}: {known}; to use your own, name its .toml file")


@cache
def public_families() -> dict[str, Family]:
    """Return the families of families.toml."""
    tables = tomllib.loads(PUBLIC.read_text(encoding="utf-8"))
    return {name: Family.from_table(name, table, PUBLIC.parent) for name, table in tables.items()}


def read_family(path: Path) -> Family:
    """Read a user's family file. Raises ModelError like `read_family_file`, or if the name of the family is taken."""
    from distractor.models.family_file import read_family_file

    name, table = read_family_file(path)
    if name in (EMBEDDED, *public_families(), NO_FAMILY):
        raise ModelError(f"{path}: the family name {name!r} is taken; choose another one")
    return Family.from_table(name, table, path.parent)


def embedded_tasks() -> tuple[str, ...]:
    """Return the tasks that have an embedded ladder. Raises ModelError if there are none."""
    tasks = sorted({path.parent.name for path in LADDER.glob("*/*.json")})
    if not tasks:
        raise ModelError(f"the embedded ladder in {LADDER} is damaged (it is empty); install the package again")
    return tuple(tasks)


def embedded_ladder(task: str) -> Family:
    """Return the models of a task that are installed with this package.

    Raises:
        ModelError: their files are missing or damaged.
    """
    home = LADDER / task
    try:
        files = [(home / f"{name}.json").read_text(encoding="utf-8") for name in ("ladder", "held_out", "shots")]
        models, held_out, shots = map(json.loads, files)
        members = [
            Member(
                model=model["size"],
                location=home / model["size"] / f"seed{model['seed']}",
                seed=model["seed"],
                n_params=model["n_params"],
                tokens=model.get("tokens"),
                steps=tuple(sorted(model.get("kept", ()))),
                final_step=model["steps"],
                loss=model.get("loss"),
            )
            for model in sorted(models["models"], key=lambda model: (model["n_params"], model["seed"]))
        ]
        return Family(
            name=f"{EMBEDDED}/{task}",
            members=tuple(members),
            about="tiny embedded models, trained from scratch on simple English as a positive control",
            checkpoint="step{step}",
            held_out={task: frozenset(groups) for task, groups in held_out.items()},
            shots=shots,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"the embedded ladder in {home} is damaged ({error}); install the package again") from error


def _find(name: str, task: str | None, network: Network) -> tuple[Source, ...]:
    """Find the models that one name refers to."""
    if "+" in name and not Path(name).expanduser().exists():
        return (_find_adapted(name, task, network),)
    first = re.split("[/@]", name)[0]
    if first in (EMBEDDED, *public_families()):
        if (Path(name) / "config.json").is_file():
            raise ModelError(
                f"{name!r} is both a family and the folder of a model; to use the folder, write ./{name}; to use the "
                "family, run from another folder"
            )
        if first == EMBEDDED:
            return _find_embedded(name, task, network)
        return public_families()[first].select(name.removeprefix(first), network)
    family_file = re.match(r"(.*?\.toml)(?=[/@]|$)(.*)", name, re.DOTALL)
    if family_file and Path(family_file[1]).expanduser().is_file():
        return read_family(Path(family_file[1]).expanduser()).select(family_file[2], network)
    first, *rest = name.rstrip("/").split("/")
    path = Path(name).expanduser()
    if name and (path.is_dir() or (is_gguf(path) and path.is_file())):
        return (_folder_source(path.resolve(), path.resolve().name),)
    if is_gguf(path):
        raise ModelError(f"no file is called {name!r}; expected a GGUF file (it is never looked up on the hub)")
    if name and path.exists():
        raise ModelError(
            f"{name!r} is a file; expected a whole model folder written by `save_pretrained`, a .gguf file, or a family's "
            ".toml file"
        )
    if name[:1] in tuple("./~") or name[-1:] == "/" or "\\" in name or len(rest) > 1 or (rest and Path(first).exists()):
        raise ModelError(
            f"no folder is called {name!r}{_similar_folders(path)}; expected a model folder written by `save_pretrained` "
            "(a path is never looked up on the hub)"
        )
    if family_file:
        raise ModelError(f"no file is called {family_file[1]!r}; expected a .toml file that describes a family")
    if not rest:
        known = nearest(name, [EMBEDDED, *public_families()])
        raise ModelError(f"no model is called {name!r}: {known}; name a folder by its path, a hub id as owner/name")
    hub_id, _, revision = name.partition("@")
    if network == "plan" and cached_folder(hub_id, revision or None) is None:
        members = (member for family in public_families().values() for member in family.members)
        n_params = next((member.n_params for member in members if member.location == hub_id), None)
        if n_params is not None:
            return (Source(NO_FAMILY, printable(name), missing_folder(hub_id), n_params=n_params),)
    missing = f"{hub_id!r} is not a folder, and this hub id is not in the cache"
    return (_folder_source(find_snapshot(hub_id, revision or None, missing, network), name),)


def _find_adapted(name: str, task: str | None, network: Network) -> Source:
    """Find a base model and the adapter after its last +, whose folder is never looked up on the hub."""
    base, _, folder = name.rpartition("+")
    adapter = Path(folder).expanduser().resolve()
    check_adapter(adapter)
    sources = _find(base, task, network)
    if len(sources) != 1 or sources[0].adapter is not None:
        what = f"{base} means {len(sources)} models" if len(sources) != 1 else "it names two adapters"
        raise ModelError(f"{name!r}: expected one base model and one adapter, but {what}")
    (source,) = sources
    return Source(
        family=NO_FAMILY,
        model=printable(f"{source.name}+{adapter.name}"),
        folder=source.folder,
        tokenizer=source.tokenizer,
        n_params=source.n_params,
        adapter=adapter,
        weights=source.weights,
    )


def _find_embedded(name: str, task: str | None, network: Network) -> tuple[Source, ...]:
    """Find models of an embedded ladder: that of the task in the name, otherwise that of `task`."""
    selector = name.removeprefix(EMBEDDED)
    named = re.split("[/@]", selector.removeprefix("/"))[0]
    rest = selector.removeprefix(f"/{named}")
    tasks = embedded_tasks()
    if named in tasks:
        return embedded_ladder(named).select(rest, network, called=f"{EMBEDDED}/{named}")
    if close := difflib.get_close_matches(named, tasks, n=1):
        raise ModelError(f"no model is called {name!r}: did you mean {EMBEDDED}/{close[0]}{rest}?")
    if task in tasks:
        return embedded_ladder(task).select(selector, network, called=EMBEDDED)
    if task is None:
        full = " or ".join(f"{EMBEDDED}/{known}{selector}" for known in tasks)
        raise ModelError(f"{name!r}: each task has embedded models of its own; write {full}")
    raise ModelError(
        f"{name!r}: no models are embedded for the task {task!r}, only for {', '.join(tasks)}; name other models with "
        f"--models, or one of these ladders, such as {EMBEDDED}/{tasks[0]}"
    )


def _similar_folders(path: Path) -> str:
    """List folders with a similar name in the same place, for an error message."""
    try:
        names = [folder.name for folder in path.parent.iterdir() if folder.is_dir()]
    except OSError:
        return ""
    close = difflib.get_close_matches(path.name, names, n=3)
    return f", did you mean {' or '.join(str(path.parent / name) for name in close)}?" if close else ""


def _folder_source(path: Path, model: str) -> Source:
    if not (weights := weights_of(path)):
        check_model_folder(path)
    return Source(family=NO_FAMILY, model=printable(model), folder=path, weights=weights)
