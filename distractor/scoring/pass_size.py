"""How much one forward pass takes: limited by measured free memory, and halved when memory is full after all."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from distractor.models.machine_memory import is_memory_full
from distractor.progress import record_note

if TYPE_CHECKING:
    from distractor.models.model import Model

TOKENS_PER_PASS = 4_096
LOGITS_PER_PASS = 2**25
"""The most tokens and logits in one forward pass. Larger passes are slower on a CPU, because their activations do not fit
into its cache. They do not depend on the machine unless its memory is short, so that results do not.
"""

GPU_TIMES = 16  # larger passes on a GPU, which small ones do not keep busy
SHARE = 0.5  # of the free memory that a pass may take; probes keep activations, and other processes need memory, too
LEAST = 8  # tokens: passes are not made smaller than this

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class PassLimits:
    """The most tokens, logits, and pairs of tokens (None: any number) in one pass, and how often it was halved."""

    tokens: int
    logits: int
    pairs: int | None = None
    halvings: int = 0

    def rows(self, length: int, unembedded: int, vocab: int, batch_size: int | None = None) -> int:
        """How many prompts of `length` tokens one pass takes, if it unembeds this many positions of each."""
        if batch_size is not None:
            return max(1, batch_size >> self.halvings)
        most = min(self.tokens // length, self.logits // (unembedded * vocab))
        return max(1, most if self.pairs is None else min(most, self.pairs // length**2))

    def halved(self) -> "PassLimits":
        """Passes of half the size."""
        pairs = None if self.pairs is None else self.pairs // 2
        return PassLimits(self.tokens // 2, self.logits // 2, pairs, self.halvings + 1)


class MemoryFull(MemoryError):  # noqa: N818  # an error of memory, whose text says what
    """Memory is full, and passes cannot become smaller."""


_present: "ContextVar[_Passes | None]" = ContextVar("passes", default=None)
_halvings: "WeakKeyDictionary[Any, int]" = WeakKeyDictionary()  # by network: how often memory was full


@dataclass
class _Passes:
    """The present limits of a model's passes."""

    model: "Model"
    limits: PassLimits


def pass_limits() -> PassLimits:
    """The limits of passes in this block."""
    passes = _present.get()
    return passes.limits if passes else PassLimits(TOKENS_PER_PASS, LOGITS_PER_PASS)


def tokens_per_pass() -> int:
    """The most tokens in one pass."""
    return pass_limits().tokens


def rows_per_pass(length: int, unembedded: int, vocab: int, batch_size: int | None = None) -> int:
    """How many prompts of `length` tokens one forward pass takes, if it unembeds this many positions of each."""
    return pass_limits().rows(length, unembedded, vocab, batch_size)


def limits_of(model: "Model", *, free: int | None = None) -> PassLimits:
    """The limits of a model's passes from `free` bytes of memory, by default those that its device has now.

    A limit that memory sets is a power of two, so that it seldom changes.
    """
    from distractor.models.activations import activation_bytes
    from distractor.models.memory import free_bytes

    times = GPU_TIMES if model.device.type == "cuda" else 1
    config = model.network.config.get_text_config()
    each, _ = activation_bytes(config.to_dict(), model.n_params, model.dtype.itemsize, attention=model.attention)
    room = SHARE * (free_bytes(model.device) if free is None else free) / 3
    tokens, pairs, logits = (_power_of_two(room / size) for size in (each.token, each.pair, each.logit))
    tokens, logits = min(times * TOKENS_PER_PASS, tokens), min(times * LOGITS_PER_PASS, logits)
    longest = min(model.context or tokens, tokens)
    return PassLimits(tokens, logits, None if pairs >= tokens * longest else pairs)


def _power_of_two(number: float) -> int:
    return 1 << max(0, int(number).bit_length() - 1)


@contextmanager
def limiting_passes(model: "Model") -> Iterator[None]:
    """Measure how much the passes of a model may take, and keep to that in this block."""
    limits = limits_of(model)
    for _ in range(_halvings.get(model.network, 0)):
        limits = limits.halved()
    token = _present.set(_Passes(model, limits))
    try:
        yield
    finally:
        _present.reset(token)


def _halve_passes() -> bool:
    """Make the passes of this model smaller after memory was full. False if they are small already."""
    from distractor.models.memory import release_memory

    release_memory()
    passes = _present.get()
    if passes is None or (limits := passes.limits.halved()).tokens < LEAST:
        return False
    passes.limits = limits
    _halvings[passes.model.network] = limits.halvings
    record_note(f"{passes.model.name}: memory was full, so passes were made smaller.")
    return True


def in_parts(run: Callable[[Sequence[T]], list[R]], rows: Sequence[T]) -> list[R]:
    """`run` on rows of one pass, on halves of them after memory was full, and so on.

    Raises:
        MemoryFull: a single row does not fit.
    """
    waiting, results = [rows], list[R]()
    while waiting:
        part = waiting.pop()
        try:
            results += run(part)
            continue
        except (RuntimeError, MemoryError) as error:
            if not is_memory_full(error):
                raise
            reason = _reason(error)
        # Here the error is gone, and with it the tensors in its frames.
        if len(part) == 1:
            raise MemoryFull(f"{reason}; a single text does not fit")
        _halve_passes()
        middle = (len(part) + 1) // 2
        waiting += [part[middle:], part[:middle]]
    return results


def with_smaller_passes(compute: Callable[[], T]) -> T:
    """`compute`, again with smaller passes whenever memory was full."""
    while True:
        try:
            return compute()
        except (RuntimeError, MemoryError) as error:
            if isinstance(error, MemoryFull) or not is_memory_full(error):
                raise
            reason = _reason(error)
        if not _halve_passes():
            raise MemoryFull(f"{reason}; passes cannot become smaller")


def _reason(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or "memory is full"
