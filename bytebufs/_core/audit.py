"""Copy accounting: every copy of payload is counted here, with a reason, or forbidden.

    with copy_audit() as audit:      # counts
        ...
    with no_copy():                  # raises CopyForbidden before the first hidden copy
        ...

The open blocks stand in a context variable: a task started inside a block inherits it, a thread does
not. When a block ends it is closed for good, so an heir that lives on neither counts nor forbids.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, final

from ..errors import CopyForbidden

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

__all__ = ["ASKED", "HIDDEN", "CopyAudit", "copy_audit", "count_copy", "is_audited", "no_copy"]

ASKED: Final = frozenset(["bytes", "tobytes", "take_bytes", "text", "decode", "hex", "copy_into", "array"])
"""Copies that the caller asked for by name."""

HIDDEN: Final = frozenset(
    ["contiguous", "consolidate", "compact", "coalesce", "needle", "pickle", "stable", "fallback"]
)
"""Copies made because the layout or the platform needed them."""


class CopyAudit:
    """What was copied while a ``copy_audit()`` block was open. Read it during the block or after it."""

    __slots__ = ("_open", "by_reason", "count", "nbytes")

    def __init__(self, opened_by: object = None) -> None:
        if opened_by is not _open:
            raise TypeError("a CopyAudit is made by a block: write 'with copy_audit() as audit:'")
        self.nbytes: int = 0
        """Bytes copied in all."""
        self.count: int = 0
        """How many copies that were."""
        self.by_reason: dict[str, int] = {}
        """Bytes copied, by the reason for it."""
        self._open = True

    @property
    def hidden(self) -> int:
        """Bytes copied without having been asked for by name, because the layout or the platform needed it."""
        return sum(self.by_reason[reason] for reason in self.by_reason if reason in HIDDEN)

    def __repr__(self) -> str:
        """Say how much was copied, how much of that was hidden, and why."""
        copies = "1 copy" if self.count == 1 else f"{self.count} copies"
        reasons = [f"{reason} {self.by_reason[reason]}" for reason in self.by_reason]
        why = f": {', '.join(reasons)}" if reasons else ""
        return f"<CopyAudit: {self.nbytes} bytes in {copies}, {self.hidden} of them hidden{why}>"

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
        super().__init__(_open)
        self._strict = strict

    def _forbids(self, reason: str) -> bool:
        return self._strict or reason in HIDDEN


_blocks: Final[ContextVar[tuple[CopyAudit, ...]]] = ContextVar("bytebufs_copy_blocks", default=())


@final
class _Open:
    """How many blocks are open anywhere. Mostly none, and then nobody asks the context."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


_open: Final = _Open()


@final
class _Entered:
    """The ``with`` statement of a block, of which there is one."""

    __slots__ = ("_block", "_is_entered")

    def __init__(self, block: CopyAudit) -> None:
        self._block = block
        self._is_entered = False

    def __repr__(self) -> str:
        name = "no_copy()" if isinstance(self._block, _NoCopy) else "copy_audit()"
        return f"<{name}: write 'with {name} as audit:'>"

    def __enter__(self) -> CopyAudit:
        if self._is_entered:
            raise RuntimeError("a block is entered once: call copy_audit() or no_copy() anew")
        self._is_entered = True
        # First: a block that stands in a context and is not counted would forbid nothing.
        _open.count += 1
        try:
            _blocks.set((*_blocks.get(), self._block))
        except BaseException:
            self.__exit__()
            raise
        return self._block

    def __exit__(self, *_: object) -> None:
        if not self._block._open:
            return
        self._block._open = False
        _open.count -= 1
        # Not reset(token): a block inside a generator may end after one that began later, or in another context.
        # What is closed and still stands in a tuple somewhere does nothing there.
        _blocks.set(tuple([other for other in _blocks.get() if other._open]))


def copy_audit() -> AbstractContextManager[CopyAudit]:
    """Count the payload copies made inside the ``with`` block.

    Gives a ``CopyAudit``: ``nbytes`` and ``count`` in all, ``by_reason`` in bytes, ``hidden`` bytes.
    Blocks nest, and each counts. Tasks started inside count too, threads do not.
    """
    return _Entered(CopyAudit(_open))


def no_copy(*, strict: bool = False) -> AbstractContextManager[CopyAudit]:
    """Raise CopyForbidden before the first hidden copy inside the ``with`` block.

    ``strict=True`` forbids the copies that the caller asks for by name (``bytes(b)``, ``decode()``) as well.
    """
    return _Entered(_NoCopy(strict=strict))


def is_audited() -> bool:
    """Whether a block is open, so that copies have to be counted exactly before they are made."""
    if _open.count:
        for block in _blocks.get():
            if block._open:
                return True
    return False


def count_copy(reason: str, nbytes: int) -> None:
    """Account for a copy of ``nbytes`` payload bytes that is about to be made.

    Called before every payload copy in this library, and nowhere is one made without it. Raises
    CopyForbidden inside ``no_copy()``; then nothing has been counted, in outer blocks neither.
    """
    if not _open.count or not nbytes:
        return
    blocks = _blocks.get()
    if not blocks:
        return
    if reason not in HIDDEN and reason not in ASKED:
        raise LookupError(f"{reason!r} is not a reason to copy")
    current = [block for block in blocks if block._open]
    for block in current:
        if block._forbids(reason):
            raise CopyForbidden(reason, nbytes)
    for block in current:
        block._note(reason, nbytes)
