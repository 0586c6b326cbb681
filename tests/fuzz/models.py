"""What readers and framers should give, in the plainest words: bytes, a position in them, and no thought of speed."""

from __future__ import annotations

from typing import Final, final

from bytebufs import FrameError, LimitExceeded, Underrun

_MOST_BITS: Final = 64


@final
class Model:
    """Bytes, and how far they have been read."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.at = 0

    @property
    def left(self) -> bytes:
        """What is still to be read."""
        return self.content[self.at :]

    def take(self, size: int) -> bytes:
        """Read so many bytes."""
        left = self.left
        if size > len(left):
            raise Underrun(size, len(left), None, self.at)
        self.at += size
        return left[:size]

    def varint(self, most: int = 10, *, minimal: bool = False) -> int:
        """Read a varint of at most so many bytes."""
        value = 0
        left = self.left
        for k in range(most):
            if k == len(left):
                raise Underrun(k + 1, k, None, self.at)
            value |= (left[k] & 0x7F) << 7 * k
            if value >> _MOST_BITS or (left[k] < 0x80 and minimal and k and not left[k]):
                break
            if left[k] < 0x80:
                self.at += k + 1
                return value
        raise FrameError("no varint")

    def until(self, seps: list[bytes], limit: int) -> bytes:
        """Read up to the separator that begins first, of those the longest; while a longer one may come, wait."""
        left = self.left
        size = len(left)
        for at in range(size + 1):
            whole = [sep for sep in seps if left.startswith(sep, at)]
            begun = [sep for sep in seps if at + len(sep) > size and sep.startswith(left[at:])]
            longest = max(map(len, whole), default=0)
            if at > limit and (whole or begun or at == size):
                raise LimitExceeded(limit)
            if whole and not any(len(sep) > longest for sep in begun):
                self.at += at + longest
                return left[:at]
            if whole or begun:
                break
        raise Underrun(size + 1, size, seps[0], self.at)
