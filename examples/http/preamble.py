"""What may come before the first message of a connection: the preamble of the PROXY protocol, versions 1 and 2.

Source: haproxy's proxy-protocol.txt, sections 2.1 and 2.2.
"""

from __future__ import annotations

from typing import Final

from bytebufs import CompositeBuffer

__all__ = ["PREAMBLE_BEGINS", "preamble_size"]

PREAMBLE_BEGINS: Final = b"P\r"
"""The first byte of either version."""

_NAME: Final = b"PROXY "
_LONGEST_LINE: Final = 107
_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_HEADER: Final = 16
"""Bytes: the signature, version and command, family, and the size of what follows."""


def preamble_size(front: CompositeBuffer) -> int | None:
    """Return how many bytes of a preamble stand at the front, 0 if none does. None: that takes more to tell."""
    if _agree(front, _NAME):
        end = front.find(b"\r\n", 0, _LONGEST_LINE)
        if end >= 0:
            return end + 2
        return None if len(front) < _LONGEST_LINE else 0
    if _agree(front, _SIGNATURE):
        if len(front) < _HEADER:
            return None
        (size,) = front.unpack_from("!H", _HEADER - 2)
        return _HEADER + int(size) if len(front) >= _HEADER + size else None
    return 0


def _agree(front: CompositeBuffer, beginning: bytes) -> bool:
    """Whether one of them begins with the other."""
    return front.startswith(beginning[: len(front)])
