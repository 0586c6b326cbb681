"""Parsers of examples/ that take messages out of a buffer of theirs, in the shape in which the kit feeds them."""

from __future__ import annotations

from typing import Any

from bytebufs import Part


class Fed:
    def __init__(self, messages: Any) -> None:
        self._messages = messages

    def feed(self, piece: Part) -> Any:
        self._messages.buffer.append(piece)
        return self._messages

    @property
    def pending(self) -> int:
        return len(self._messages.buffer)
