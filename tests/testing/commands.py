"""A right parser as people write them, over a bytearray, for the tests of the kit: its mutants are wrong ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

TOO_LONG: Final = "a line that is too long"


class Commands:
    """Lines of at most 4 bytes that end in CRLF; ``$n`` announces n bytes, which end in CRLF as well.

    A line that is too long is reported once, and skipped. A size that is none is an error.
    """

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.wanted: int | None = None  # bytes of the payload that was announced
        self.searched = 0  # before here no line ends
        self.is_skipping = False
        self.position = 0  # bytes that were taken

    @property
    def pending(self) -> int:
        return len(self.buffer)

    def feed(self, chunk: bytes) -> Iterator[object]:
        self.buffer += chunk
        return self.results()

    def results(self) -> Iterator[object]:
        while True:
            result = self.payload() if self.wanted is not None else self.line()
            if result is None:
                break
            yield result

    def payload(self) -> object:
        size = self.wanted or 0
        if len(self.buffer) < size + 2:
            return None
        payload = self.take(size)
        if self.take(2) != b"\r\n":
            raise ValueError(f"no CRLF before byte {self.position}")
        self.wanted = None
        return payload

    def line(self) -> object:
        stop = self.buffer.find(b"\r\n", self.searched)
        if stop < 0:
            self.searched = max(len(self.buffer) - 1, 0)
            return self.unfinished()
        line = self.take(stop)
        self.take(2)
        self.searched = 0
        if self.is_skipping:
            self.is_skipping = False
            return self.line()
        if len(line) > 4:
            return TOO_LONG
        if line[:1] == b"$":
            self.wanted = self.size(line[1:])
            return self.payload()
        return line

    def unfinished(self) -> object:
        if self.is_skipping:
            self.take(self.searched)
            self.searched = 0
        elif self.searched > 4 or (len(self.buffer) > 4 and self.buffer[4] != ord("\r")):
            self.is_skipping = True
            return TOO_LONG
        return None

    def size(self, digits: bytes) -> int:
        if not digits.isdigit():
            raise ValueError(f"no size before byte {self.position}")
        return int(digits)

    def take(self, count: int) -> bytes:
        taken = bytes(self.buffer[:count])
        del self.buffer[:count]
        self.position += count
        return taken

    def end(self) -> None:
        if self.buffer or self.wanted is not None or self.is_skipping:
            raise EOFError(f"in the middle of something at byte {self.position}")

    def detach(self) -> bytes:
        return self.take(len(self.buffer))
