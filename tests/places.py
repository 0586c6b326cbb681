"""Where bytes lie, and bytes with a search of their own: for children, without what `layouts` loads."""

from __future__ import annotations

from typing import Any

import numpy as np

from bytebufs import BaseBuffer


class BytesSubclass(bytes):
    """Bytes that could search in a way of their own, and therefore may not be asked to."""

    def find(self, *args: Any) -> int:
        raise AssertionError("a subclass's own find was trusted")

    __eq__ = rfind = startswith = count = find  # type: ignore[assignment]
    __hash__ = None  # type: ignore[assignment]


def address(memory: Any) -> int:
    """Return where the first byte of anything with a buffer lies. By numpy: not by what is tested."""
    return int(np.frombuffer(memory, np.uint8).__array_interface__["data"][0])


def addresses(buffer: BaseBuffer) -> list[int]:
    """Return where each byte of a buffer lies: two buffers with equal lists show the same memory."""
    found: list[int] = []
    for view in buffer.views():
        start = address(view)
        found.extend(range(start, start + len(view)))
    return found
