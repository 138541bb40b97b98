"""GGUF files: their header, read without torch, and their network and tokenizer, read with transformers."""

import contextlib
import hashlib
import io
import math
import mmap
import struct
import weakref
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distractor.errors import ModelError, first_line
from distractor.scratch import scratch_folder

if TYPE_CHECKING:
    from gguf import GGMLQuantizationType

SUFFIX = ".gguf"
MAGIC = b"GGUF"
VERSIONS = (2, 3)
FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
ALIGNMENT = 32  # of the weights, where the header states none
FLOATS = ("F32", "F16", "BF16", "F64")  # types that are not quantised
ROTARY = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")
"""Tensors with factors of rotary frequencies, which transformers' reader leaves out; they do not count as parameters."""

CONFIG = {
    "num_hidden_layers": "block_count",
    "num_attention_heads": "attention.head_count",
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "vocab_size": "vocab_size",
}
"""Keys of config.json, and the keys of a header with the same numbers."""


@dataclass(frozen=True)
class GgufHeader:
    """What a GGUF file says of its model: sizes in the words of config.json, the types of its weight matrices, the most
    common one first, and a hash of its vocabulary and merges.
    """

    config: Mapping[str, Any]
    n_params: int
    types: tuple[str, ...]
    tokenizer: str
    scales_rotary: bool

    @property
    def is_quantised(self) -> bool:
        """Whether some weights are stored with fewer bits than a half-precision float."""
        return not set(self.types) <= set(FLOATS)

    @property
    def treatment(self) -> str:
        """How the weights are changed before use."""
        listed = " and ".join(self.types)
        return f"dequantised from {listed} (GGUF)" if self.is_quantised else f"read from {listed} (GGUF)"


def is_gguf(path: Path) -> bool:
    """Whether a path names a GGUF file, not a model folder."""
    return path.suffix.lower() == SUFFIX


def read_header(path: Path) -> GgufHeader:
    """Read the header of a file, and check that all its weights are there.

    Raises:
        ModelError: the file is missing, cut off or no GGUF file, one of several parts, or the package gguf is missing.
    """
    try:
        stat = path.stat()
        with path.open("rb") as file:
            magic = file.read(len(MAGIC))
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}); expected a GGUF file") from error
    if magic != MAGIC:
        raise ModelError(f"{path} is not a GGUF file (it begins with {magic!r}); copy or download it again")
    try:
        import gguf  # noqa: F401
    except ImportError as error:
        raise ModelError(f"{path}: GGUF files need the package gguf; pip install 'distractor[gguf]'") from error
    return _read(path, stat.st_ino, stat.st_size, stat.st_mtime_ns)


@cache
def _read(path: Path, *stamp: int) -> GgufHeader:
    """The stamp (inode, size, time of change) makes the cache read a file again after a change."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _parse(content)
    except (OSError, ValueError, KeyError, TypeError, struct.error, MemoryError, OverflowError) as error:
        raise ModelError(
            f"{path} cannot be read as a GGUF file ({first_line(error)}); it may be cut off: copy or download it again"
        ) from error


def _parse(content: mmap.mmap) -> GgufHeader:
    """The header of an open file. Raises ValueError and others if it is damaged."""
    reader = _Reader(content, len(MAGIC))
    (version,) = reader.take("I")
    if version not in VERSIONS:
        raise ValueError(f"version {version}; expected 2 or 3")
    n_tensors, n_entries = reader.take("QQ")
    entries: dict[str, Any] = {}
    for _ in range(n_entries):
        name = reader.text()
        entries[name] = reader.value(*reader.take("I"))
    tensors = list(_tensors(reader, n_tensors))
    _check_length(tensors, reader.position, int(entries.get("general.alignment", ALIGNMENT)), len(content))
    if int(entries.get("split.count", 1)) > 1:
        raise ValueError("it is one of several parts; join them with llama-gguf-split --merge")
    architecture = entries["general.architecture"]
    config = {
        key: entries[f"{architecture}.{name}"] for key, name in CONFIG.items() if f"{architecture}.{name}" in entries
    }
    vocabulary, merges = (entries.get(f"tokenizer.ggml.{part}") for part in ("tokens", "merges"))
    if isinstance(vocabulary, _Array):
        config.setdefault("vocab_size", vocabulary.length)
    weights = [tensor for tensor in tensors if tensor.name not in ROTARY]
    if not weights:
        raise ValueError("it holds no weights")
    sizes = Counter[str]()
    for tensor in weights:
        sizes[tensor.type.name] += tensor.size if len(tensor.shape) > 1 else 0
    scaling = entries.get(f"{architecture}.rope.scaling.type", "none")
    return GgufHeader(
        config={"model_type": architecture, **{key: value for key, value in config.items() if isinstance(value, int)}},
        n_params=sum(tensor.size for tensor in weights),
        types=tuple(name for name, size in sizes.most_common() if size),
        tokenizer=f"{vocabulary} {merges} {entries.get('tokenizer.ggml.pre')}",
        scales_rotary=len(weights) < len(tensors) or scaling != "none",
    )


@dataclass(frozen=True)
class _Tensor:
    name: str
    shape: tuple[int, ...]
    type: "GGMLQuantizationType"
    offset: int

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class _Array:
    """An array of the header: the number of its values and a hash of them."""

    length: int
    digest: str


class _Reader:
    """Reads values one after another; raises struct.error or ValueError where the content ends."""

    def __init__(self, content: mmap.mmap, position: int) -> None:
        self.content = content
        self.position = position

    def take(self, form: str) -> tuple[Any, ...]:
        values = struct.unpack_from(f"<{form}", self.content, self.position)
        self.position += struct.calcsize(f"<{form}")
        return values

    def skip(self, size: int) -> None:
        if size > len(self.content) - self.position:
            raise ValueError("its header is cut off")
        self.position += size

    def text(self) -> str:
        (length,) = self.take("Q")
        start = self.position
        self.skip(length)
        return self.content[start : self.position].decode()

    def value(self, kind: int) -> Any:
        if kind == STRING:
            return self.text()
        if kind != ARRAY:
            return self.take(FORMATS[kind])[0]
        inner, length = self.take("IQ")
        start = self.position
        if inner == STRING:
            for _ in range(length):
                self.skip(*self.take("Q"))
        else:
            self.skip(length * struct.calcsize(f"<{FORMATS[inner]}"))
        return _Array(length, hashlib.sha256(self.content[start : self.position]).hexdigest())


def _tensors(reader: _Reader, number: int) -> Iterator[_Tensor]:
    from gguf import GGMLQuantizationType

    for _ in range(number):
        name = reader.text()
        (n_dims,) = reader.take("I")
        shape = reader.take(f"{n_dims}Q")
        kind, offset = reader.take("IQ")
        yield _Tensor(name, shape, GGMLQuantizationType(kind), offset)


def _check_length(tensors: Sequence[_Tensor], end: int, alignment: int, length: int) -> None:
    """Raise ValueError if the file ends before its last weight."""
    from gguf import GGML_QUANT_SIZES

    start = -(-end // alignment) * alignment
    for tensor in tensors:
        block, size = GGML_QUANT_SIZES[tensor.type]
        if start + tensor.offset + tensor.size // block * size > length:
            raise ValueError(f"it ends before the weights {tensor.name}")


def load_gguf(path: Path, *, name: str, **settings: Any) -> tuple[Any, Any, Mapping[str, Any]]:
    """Read the tokenizer, the network and the loading report of a GGUF file with transformers; weights are dequantised.

    `settings` go to `from_pretrained`. Raises ModelError if transformers leaves out weights or the scaling of rotary
    positions, and whatever transformers raises.
    """
    import transformers

    header = read_header(path)
    open_folder = contextlib.ExitStack()
    folder = open_folder.enter_context(scratch_folder())
    try:
        # Alone, so that no other file of its folder is read.
        (folder / "model.gguf").symlink_to(path.resolve())
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file="model.gguf", local_files_only=True)
        tokenizer.save_pretrained(folder)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        if config := getattr(transformers, "GgufConfig", None):  # otherwise newer versions may leave weights quantised
            settings["quantization_config"] = config(dequantize=True)
        with contextlib.redirect_stderr(io.StringIO()):  # a progress bar that cannot be switched off
            network, report = transformers.AutoModelForCausalLM.from_pretrained(
                folder, gguf_file="model.gguf", local_files_only=True, output_loading_info=True, **settings
            )
    except BaseException:
        open_folder.close()
        raise
    # TransformerLens reads the tokenizer's folder again.
    weakref.finalize(tokenizer, open_folder.close)
    _refuse_partly_read(name, header, network)
    # An ordinary network in float, which can be moved, cast and saved.
    network.hf_quantizer = None
    network.is_quantized = False
    if hasattr(network.config, "quantization_config"):
        del network.config.quantization_config
    return tokenizer, network, report


def _refuse_partly_read(name: str, header: GgufHeader, network: Any) -> None:
    if header.scales_rotary and _rope_type(network.config) == "default":
        raise ModelError(
            f"{name}: the GGUF file scales its rotary positions, which transformers' reader leaves out; use the model's "
            "folder with safetensors weights"
        )
    sizes = {sum(each.numel() for _, each in network.named_parameters(remove_duplicate=once)) for once in (True, False)}
    if header.n_params not in sizes:
        raise ModelError(
            f"{name}: the GGUF file holds {header.n_params:,} weights, and transformers' reader filled a model of "
            f"{min(sizes):,}; use the model's folder with safetensors weights"
        )


def _rope_type(config: Any) -> str:
    return str((getattr(config, "rope_parameters", None) or {}).get("rope_type", "default"))
