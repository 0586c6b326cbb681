"""Who holds which bytes, as text for people: ``describe()`` and ``hexdump()``, bounded whatever the size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .owners import Map, Reserved
from .parts import Entry, LazyOwner, Memory, Owner
from .search import scratch

if TYPE_CHECKING:
    from .table import Table

__all__ = ["MAX_LINES", "MAX_WIDTH", "PREVIEW", "counted", "describe", "hexdump", "preview"]

MAX_LINES: Final = 64
"""Lines of a listing; of a longer one the first and last 32 are shown."""

MAX_WIDTH: Final = 256
"""Bytes in a line of a hexdump."""

PREVIEW: Final = 24
"""Bytes in a repr."""


def _owner_text(owner: Owner) -> str:
    if isinstance(owner, bytes):
        return f"bytes of {len(owner)}"
    if isinstance(owner, LazyOwner):
        return owner._describe()
    return _memory_text(owner)


def _memory_text(owner: Memory) -> str:
    mode = "read-only" if owner.view.readonly else "writable"
    kind = type(owner.holder)
    if kind is Map or kind is Reserved:
        kind = kind.__mro__[1]  # what everybody calls it
    return f"{kind.__name__} of {owner.view.nbytes}, {mode}"


def _entry_text(entry: Entry) -> str:
    if isinstance(entry, bytes):
        return f"[0:{len(entry)}] of {_owner_text(entry)}"
    return f"[{entry.start}:{entry.stop}] of {_owner_text(entry.owner)}"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: 1 part, 2 parts."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def describe(table: Table, start: int, stop: int) -> str:
    """Return a line a part: its range in the buffer, its range in its owner, and who that is.

    Never looks at the bytes of a lazy owner. Complexity: O(parts).
    """
    entries = table.entries(start, stop)
    lines = [f"{counted(stop - start, 'byte')} in {counted(len(entries), 'part')}"]
    half = MAX_LINES // 2
    position = 0
    for i, entry in enumerate(entries):
        end = position + len(entry)
        if i < half or i >= len(entries) - half:
            lines.append(f"{position:>10} {end:>10}  {_entry_text(entry)}")
        elif i == half:
            lines.append(f"{'...':>10} {'...':>10}  {len(entries) - 2 * half} parts left out")
        position = end
    return "\n".join(lines)


def hexdump(table: Table, start: int, stop: int, width: int) -> str:
    """Return offset, hex and ASCII, ``width`` bytes a line; the middle of a long window is left out."""
    if not 1 <= width <= MAX_WIDTH:
        raise ValueError(f"the width of a hexdump is 1 to {MAX_WIDTH} bytes, not {width}")
    total = -(-(stop - start) // width)
    half = MAX_LINES // 2
    lines = [_hex_line(table, start, stop, k, width) for k in range(min(half, total))]
    if total > MAX_LINES:
        lines.append(f"... {total - MAX_LINES} lines left out")
    lines.extend(_hex_line(table, start, stop, k, width) for k in range(max(half, total - half), total))
    return "\n".join(lines)


def _hex_line(table: Table, start: int, stop: int, k: int, width: int) -> str:
    at = start + k * width
    data = scratch(table, at, min(at + width, stop))
    text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in data)
    return f"{k * width:08x}  {data.hex(' '):<{3 * width - 1}}  {text}"


def preview(table: Table, start: int, stop: int) -> str:
    """Return the first bytes as a literal, for a repr. Empty where the first owner is lazy: a repr never maps."""
    if start == stop:
        return ""
    entries = table.entries(start, min(stop, start + PREVIEW))
    if any(not isinstance(entry, bytes) and isinstance(entry.owner, LazyOwner) for entry in entries):
        return ""
    shown = repr(scratch(table, start, min(stop, start + PREVIEW)))
    return shown + "..." if stop - start > PREVIEW else shown
