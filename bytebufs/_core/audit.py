"""Copy accounting: every copy of payload is counted here, with a reason, or forbidden.

    with copy_audit() as audit:      # counts
        ...
    with no_copy():                  # raises CopyForbidden before the first hidden copy
        ...

The open blocks stand in a context variable: a task started inside a block inherits it, a thread does
not. When a block ends it is closed for good, so an heir that lives on neither counts nor forbids.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from ..errors import CopyForbidden

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ASKED", "HIDDEN", "CopyAudit", "copy_audit", "count_copy", "is_audited", "no_copy"]

ASKED: Final = frozenset(["bytes", "tobytes", "take_bytes", "text", "decode", "hex", "copy_into", "array"])
"""Copies that the caller asked for by name."""

HIDDEN: Final = frozenset(
    ["contiguous", "consolidate", "compact", "coalesce", "needle", "pickle", "stable", "fallback"]
)
"""Copies made because the layout or the platform needed them."""


class CopyAudit:
    """What was copied while a :func:`copy_audit` block was open. Read it during the block or after it."""

    __slots__ = ("_open", "by_reason", "count", "nbytes")

    def __init__(self) -> None:
        self.nbytes = 0
        self.count = 0
        self.by_reason: dict[str, int] = {}
        self._open = True

    @property
    def hidden(self) -> int:
        """Bytes copied without having been asked for: the sum over the reasons in ``HIDDEN``."""
        return sum(nbytes for reason, nbytes in self.by_reason.items() if reason in HIDDEN)

    def __repr__(self) -> str:
        return f"<CopyAudit: {self.nbytes} bytes in {self.count} copies, {self.hidden} of them hidden>"

    def _forbids(self, reason: str) -> bool:
        return False

    def _note(self, reason: str, nbytes: int) -> None:
        self.nbytes += nbytes
        self.count += 1
        self.by_reason[reason] = self.by_reason.get(reason, 0) + nbytes


class _NoCopy(CopyAudit):
    """A block that refuses: hidden copies, or every copy if strict."""

    __slots__ = ("_strict",)

    def __init__(self, *, strict: bool) -> None:
        super().__init__()
        self._strict = strict

    def _forbids(self, reason: str) -> bool:
        return self._strict or reason in HIDDEN


_blocks: Final[ContextVar[tuple[CopyAudit, ...]]] = ContextVar("bytebufs_copy_blocks", default=())


@contextmanager
def _entered(block: CopyAudit) -> Iterator[CopyAudit]:
    _blocks.set((*_blocks.get(), block))
    try:
        yield block
    finally:
        block._open = False
        # Not reset(token): a block inside a generator may end after one that began later, or in another context.
        # What is closed and still stands in a tuple somewhere does nothing there.
        _blocks.set(tuple(other for other in _blocks.get() if other._open))


def copy_audit() -> AbstractContextManager[CopyAudit]:
    """Count the payload copies made inside the ``with`` block.

    Gives a :class:`CopyAudit`: ``nbytes`` and ``count`` in all, ``by_reason`` in bytes, ``hidden`` bytes.
    Blocks nest, and each counts. Tasks started inside count too, threads do not.
    """
    return _entered(CopyAudit())


def no_copy(*, strict: bool = False) -> AbstractContextManager[CopyAudit]:
    """Raise CopyForbidden before the first hidden copy inside the ``with`` block.

    ``strict=True`` forbids the copies that the caller asks for by name (``bytes(b)``, ``decode()``) as well.
    """
    return _entered(_NoCopy(strict=strict))


def is_audited() -> bool:
    """Whether a block is open, so that copies have to be counted exactly before they are made."""
    for block in _blocks.get():  # noqa: SIM110  # any() over a generator costs five times as much
        if block._open:
            return True
    return False


def count_copy(reason: str, nbytes: int) -> None:
    """Account for a copy of ``nbytes`` payload bytes that is about to be made.

    Called before every payload copy in this library, and nowhere is one made without it. Raises
    CopyForbidden inside ``no_copy()``; then nothing has been counted, in outer blocks neither.
    """
    blocks = _blocks.get()
    if not blocks or not nbytes:
        return
    if reason not in HIDDEN and reason not in ASKED:
        raise LookupError(f"{reason!r} is not a reason to copy")
    current = [block for block in blocks if block._open]
    for block in current:
        if block._forbids(reason):
            raise CopyForbidden(reason, nbytes)
    for block in current:
        block._note(reason, nbytes)
