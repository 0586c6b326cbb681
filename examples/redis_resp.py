"""RESP3, the protocol of Redis: commands out, replies in, and nothing big is copied.

    python -m examples.redis_resp [--port PORT] COMMAND [ARGUMENT...]

A reply is parsed one item at a time, a scalar or the head of an aggregate: 10^5 elements are linear work, however cut.
Source: the RESP3 specification. Left out: its streamed types ("$?", "*?"), which no server of Redis has sent yet.
"""

import argparse
import re
import socket
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias, Union

from bytebufs import BytesLike, CompositeBuffer, FrameError, LimitExceeded, Reader, SliceBuffer, flush

LIMIT: Final = 1 << 30  # bytes of a reply: twice what Redis lets a string have (proto-max-bulk-len)
MAX_DEPTH: Final = 32  # aggregates inside one another; hiredis stops at 9
# A str is a simple string; a SliceBuffer is a blob or a verbatim string: a slice of what was received.
Value: TypeAlias = Union[bool, int, float, str, SliceBuffer, "RedisError", "Aggregate", None]


class RedisError(Exception):
    """An error reply."""


class Aggregate(list[Value]):
    """An array "*", set "~", push ">", map "%" (keys and values in turn) or attribute "|" (a map, then the value)."""

    def __init__(self, kind: str, size: int, *items: Value) -> None:
        super().__init__(items)
        self.kind, self.size = kind, size


def encode(*arguments: BytesLike) -> CompositeBuffer:
    """Return a command: an array of blob strings. Copies: nothing."""
    command = CompositeBuffer([b"*%d\r\n" % len(arguments)])
    for argument in map(SliceBuffer, arguments):
        command.extend([b"$%d\r\n" % len(argument), argument, b"\r\n"])
    return command


def _text(raw: SliceBuffer, pattern: str) -> str:
    text = raw.decode(errors="backslashreplace")
    if re.fullmatch(pattern, text, re.ASCII | re.DOTALL) is None:
        raise FrameError(f"malformed: {text[:40]!r}")
    return text


# Each text is matched first: int() and float() would take "1_0" and " 7", too.
_SCALARS: Final[dict[str, Callable[[SliceBuffer], Value]]] = {
    "+": lambda raw: _text(raw, "[^\r\n]*"),
    "-": lambda raw: RedisError(_text(raw, "[^\r\n]*")),
    ":": lambda raw: int(_text(raw, r"[+-]?\d{1,19}")),
    "(": lambda raw: int(_text(raw, r"[+-]?\d{1,4300}")),  # int() refuses more: its work is quadratic
    ",": lambda raw: float(_text(raw, r"[+-]?(\d+(\.\d*)?([eE][+-]?\d+)?|inf|nan)")),
    "#": lambda raw: _text(raw, "[tf]") == "t",
    "_": lambda raw: _text(raw, "") or None,
    "$": lambda raw: raw,
    "!": lambda raw: RedisError(_text(raw, ".*")),
    "=": lambda raw: _text(raw[:4], "...:") and raw[4:],  # what is behind "txt:" or "mkd:"
}


class Replies:
    """Iterating takes the whole replies out of ``buffer``; one has at most ``limit`` bytes, with all that is in it."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.buffer = CompositeBuffer()
        self._open: list[Aggregate] = []  # what is not whole yet, each inside the one before
        self._limit = self._left = limit

    def __iter__(self) -> Iterator[Value]:
        while (item := self._next()) is not None:
            self._open.append(item)
            while self._open and len(self._open[-1]) == self._open[-1].size:
                whole = self._open.pop()
                value = whole if whole.kind else whole[0]
                if self._open:
                    self._open[-1].append(value)
                else:
                    self._left = self._limit
                    yield value

    def _next(self) -> Aggregate | None:
        before = len(self.buffer)
        try:
            item = self.buffer.parse(self._read, limit=self._left)
        except LimitExceeded:
            raise LimitExceeded(self._limit) from None  # the reply's, not what the item had left of it
        self._left -= before - len(self.buffer)
        return item

    def _read(self, r: Reader) -> Aggregate:
        """Read the head of an aggregate; a scalar is the one item of an aggregate of no kind."""
        kind = chr(r.u8())
        if kind not in "+-:(,#_$!=*~>%|":
            raise FrameError(f"no type begins with {kind!r}")
        raw = r.until(b"\r\n", limit=self._left)
        if kind in "*~>%|":
            size = int(_text(raw, r"\d{1,19}")) * (2 if kind in "%|" else 1) + (kind == "|")
            if 3 * size > self._left - r.position:  # the smallest item is "_\r\n"
                raise LimitExceeded(self._limit)
            if len(self._open) == MAX_DEPTH or (kind == ">" and self._open):
                raise FrameError(f"aggregates nested more than {MAX_DEPTH} deep, or a push inside one")
            return Aggregate(kind, size)
        if kind in "$!=":
            raw = r.take(int(_text(raw, r"\d{1,19}")))
            r.expect(b"\r\n")
        return Aggregate("", 1, _SCALARS[kind](raw))


class Client:
    """A connection that speaks RESP3. What the server says unasked is put into ``pushes``; the user empties it."""

    def __init__(self, sock: socket.socket) -> None:
        self.pushes: list[Value] = []
        self._sock = sock
        self._replies = Replies()
        [hello] = self.call(encode(b"HELLO", b"3"))
        if isinstance(hello, RedisError):
            raise hello

    def call(self, *commands: CompositeBuffer) -> list[Value]:
        """Send commands, all at once, and return their replies: errors too."""
        flush(CompositeBuffer(commands), self._sock)
        replies: list[Value] = []
        while len(replies) < len(commands):
            if not (chunk := self._sock.recv(65536)):
                raise ConnectionError("the server has hung up")
            self._replies.buffer.append(chunk)
            for value in self._replies:
                (self.pushes if isinstance(value, Aggregate) and value.kind == ">" else replies).append(value)
        return replies


def show(value: Value) -> str:
    if isinstance(value, Aggregate):
        return f"{value.kind}[{', '.join(map(show, value))}]"
    return value.decode(errors="backslashreplace") if isinstance(value, SliceBuffer) else str(value)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description="Send a command to Redis and show the reply.")
    options.add_argument("--port", type=int, default=6379)
    options.add_argument("command", nargs=argparse.REMAINDER)
    given = options.parse_args()
    with socket.create_connection(("127.0.0.1", given.port)) as connection:
        print(*map(show, Client(connection).call(encode(*map(str.encode, given.command)))))
