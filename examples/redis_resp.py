"""RESP3, the protocol of Redis: commands out, replies in, and nothing big is copied.

    python -m examples.redis_resp [--port PORT] COMMAND [ARGUMENT...]

A reply is parsed one item at a time, a scalar or the head of an aggregate: 10^5 elements are linear work, however cut.
Replies are read while commands are sent, so that no pipeline is too long: a server stops reading once nobody takes its
replies. A call that is cut short leaves replies under way, so its client serves no other one. (That of redis_aio
does, and many at a time: it has a task that reads.)

Sources: the RESP3 specification; of doubles also hiredis, read.c. Left out: its streamed types ("$?", "*?"), which no
server of Redis has sent yet.
"""

from __future__ import annotations

import argparse
import math
import re
import selectors
import socket
import ssl
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final, TypeAlias, Union

from bytebufs import BytesLike, CompositeBuffer, FrameError, LimitExceeded, Outbox, Reader, SliceBuffer

LIMIT: Final = 1 << 30  # bytes of a reply: twice what Redis lets a string have (proto-max-bulk-len)
MAX_DEPTH: Final = 32  # aggregates inside one another; hiredis stopped at 9 for long
# A str is a simple string; a SliceBuffer is a blob or a verbatim string: a slice of what was received.
Value: TypeAlias = Union[bool, int, float, str, SliceBuffer, "RedisError", "Aggregate", None]


# poll where there is one: select takes no descriptor above 1 023.
_Selector: Final = getattr(selectors, "PollSelector", selectors.SelectSelector)


class RedisError(Exception):
    """An error reply."""


class Aggregate(list[Value]):
    """An array "*", set "~", push ">", map "%" or attribute "|" (of both the keys and values in turn)."""

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


def _double(raw: SliceBuffer) -> float:
    """Read a double as the specification and hiredis do; before version 7.2 Redis sent a NaN as its libc spells it."""
    text = _text(raw, r"(?i)[+-]?(\d+(\.\d*)?(e[+-]?\d+)?|inf|nan(\(\w*\))?)")
    value = float(text.partition("(")[0])
    if math.isinf(value) and text[-1] not in "fF":
        raise FrameError(f"a double too large: {text[:40]!r}")
    return value


# Each text is matched first: int() and float() would take "1_0" and " 7", too.
_SCALARS: Final[dict[str, Callable[[SliceBuffer], Value]]] = {
    "+": lambda raw: _text(raw, "[^\r\n]*"),
    "-": lambda raw: RedisError(_text(raw, "[^\r\n]*")),
    ":": lambda raw: int(_text(raw, r"[+-]?\d{1,19}")),
    "(": lambda raw: int(_text(raw, r"[+-]?\d{1,4300}")),  # int() refuses more: its work is quadratic
    ",": _double,
    "#": lambda raw: _text(raw, "[tf]") == "t",
    "_": lambda raw: _text(raw, "") or None,
    "$": lambda raw: raw,
    "!": lambda raw: RedisError(_text(raw, ".*")),
    "=": lambda raw: _text(raw[:4], "...:") and raw[4:],  # what is behind "txt:" or "mkd:"
}


class Replies:
    """Iterating takes the whole replies out of ``buffer``; one has at most ``limit`` bytes, with all that is in it.

    Attributes are no part of a reply: those of the one that came last are in ``attributes``, each beside the value that
    it stood before, which may be an element of the reply.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.buffer = CompositeBuffer()
        self.attributes: list[tuple[Aggregate, Value]] = []
        self._open: list[Aggregate] = []  # what is not whole yet, each inside the one before
        self._limit = self._left = limit

    def __iter__(self) -> Iterator[Value]:
        while (item := self._next()) is not None:
            if not self._open:
                self.attributes = []
            self._open.append(item)
            while self._open and len(self._open[-1]) == self._open[-1].size:
                value = self._value_of(self._open.pop())
                if self._open:
                    self._open[-1].append(value)
                else:
                    self._left = self._limit
                    yield value

    def _value_of(self, whole: Aggregate) -> Value:
        if whole.kind == "|":
            value = whole.pop()
            self.attributes.append((whole, value))
            return value
        return whole if whole.kind else whole[0]

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
            # What an attribute stands before is read as the last of its items.
            size = int(_text(raw, r"\d{1,19}")) * (2 if kind in "%|" else 1) + (kind == "|")
            if 3 * size > self._left - r.position:  # the smallest item is "_\r\n"
                raise LimitExceeded(self._limit)
            if len(self._open) == MAX_DEPTH:
                raise FrameError(f"aggregates nested more than {MAX_DEPTH} deep")
            if kind == ">" and any(outer.kind != "|" or len(outer) + 1 < outer.size for outer in self._open):
                raise FrameError("a push inside another value")
            return Aggregate(kind, size)
        if kind in "$!=":
            raw = r.take(int(_text(raw, r"\d{1,19}")))
            r.expect(b"\r\n")
        return Aggregate("", 1, _SCALARS[kind](raw))


# The commands that are answered by pushes, one for each channel, and what they add to or take from.
_CONFIRMED: Final = {
    b"%s%sSUBSCRIBE" % (kind, change): kind for kind in (b"", b"P", b"S") for change in (b"", b"UN")
}  # fmt: skip

# After these no reply can be told from another one any more: some have none or many, others go back to RESP2.
_UNFIT: Final = frozenset([b"MONITOR", b"SYNC", b"PSYNC", b"RESET", b"CLIENT REPLY", b"HELLO 2"])


class Command:
    """A command that was sent, and what it waits for: a reply, or pushes that confirm it."""

    def __init__(self, sent: CompositeBuffer) -> None:
        head = sent[:64].tobytes()
        found = re.match(rb"\*[1-9]\d*\r\n\$\d+\r\n([^\r\n]*)(?:\r\n\$\d+\r\n([^\r\n]*))?", head)
        if found is None:
            raise ValueError(f"a command is what encode() returns, not {head!r}")
        self.name = found[1].upper()
        if {self.name, b"%s %s" % (self.name, (found[2] or b"").upper())} & _UNFIT:
            raise ValueError(f"replies could not be told apart after {head!r}: send it over a connection of your own")
        self.channels: Counter[bytes] = Counter()  # that are still to be confirmed; none: all that there are
        if self.name in _CONFIRMED:
            words = Replies()
            words.buffer.append(sent)
            self.channels.update(_bytes(word) for command in words if isinstance(command, list) for word in command[1:])


def is_push(value: Value) -> bool:
    """Whether the server says this unasked."""
    return isinstance(value, Aggregate) and value.kind == ">"


def unasked(value: Value) -> str:
    """Say what is wrong where a value is no push, and nobody waits for one."""
    return f"the server sent a reply that nobody had asked for: {show(value)[:40]}"


class Dialogue:
    """Which values from a server are replies, and to what: sans I/O."""

    def __init__(self) -> None:
        self.waiting: deque[Command] = deque()
        """Commands that were sent, in order."""
        self._subscribed: dict[bytes, set[bytes]] = {kind: set() for kind in _CONFIRMED.values()}

    def takes(self, value: Value) -> bool:
        """Take in what came next: True if the command in front is answered by it, which then no longer waits."""
        if isinstance(value, Aggregate) and value.kind == ">" and not self._confirms(value):
            return False
        self.waiting.popleft()
        return True

    def _confirms(self, push: Aggregate) -> bool:
        """Note a change of what is subscribed to. True if it was the last one that the command in front waits for."""
        name = _bytes(push[0]).upper() if len(push) == 3 else b""
        if (kind := _CONFIRMED.get(name)) is None:
            return False
        channel, subscribed = _bytes(push[1]), self._subscribed[kind]
        (subscribed.discard if b"UN" in name else subscribed.add)(channel)
        if not self.waiting or self.waiting[0].name != name:
            return False
        channels = self.waiting[0].channels
        if not channels:  # UNSUBSCRIBE alone means all, and is confirmed once where there is none
            return not subscribed
        channels -= Counter([channel])
        return not channels


class Client:
    """A connection that speaks RESP3. What the server says unasked is put into ``pushes``; the user empties it.

    ``attributes`` are those of the last call, as in Replies. The socket's timeout is for how long nothing may come and
    nothing go. After an error in a call, whichever, all others raise ConnectionError: what comes next belongs to that
    one. Close the socket then, and open another one.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.pushes: list[Value] = []
        self.attributes: list[tuple[Aggregate, Value]] = []
        self._sock = sock
        self._replies = Replies()
        self._dialogue = Dialogue()
        self._broken = ""
        [hello] = self.call(encode(b"HELLO", b"3"))
        if isinstance(hello, RedisError):
            raise hello

    def call(self, *commands: CompositeBuffer) -> list[Value]:
        """Send commands, all at once, and return their replies, one for each: errors too.

        That of SUBSCRIBE and its like is the last of the pushes that confirm it; they are in ``pushes``, too, as all.
        Raises ValueError for what is no command, or one that replies cannot be told apart after: nothing was sent then.
        TimeoutError, ConnectionError and other errors of the socket, FrameError and LimitExceeded of a reply: the
        client is broken then.
        """
        waiting = deque(map(Command, commands))
        outbox = Outbox()
        outbox.put(CompositeBuffer(commands))
        self._begin()
        self._dialogue.waiting, self.attributes = waiting, []
        replies: list[Value] = []
        self._exchange(outbox, replies, lambda: not self._dialogue.waiting and not outbox.pending)
        return replies

    def next_push(self) -> Value:
        """Take the first of ``pushes``, and wait for one if there is none. A TimeoutError breaks nothing here."""
        if not self.pushes:
            self._begin()
            try:
                self._exchange(Outbox(), [], lambda: bool(self.pushes))
            except TimeoutError as error:
                if error.errno is None:  # else it is the system's, and the end of the connection
                    self._broken = ""
                raise
            self._assert_usable()
        return self.pushes.pop(0)

    def _assert_usable(self) -> None:
        if self._broken:
            raise ConnectionError(f"this client is broken, make another one: {self._broken}")

    def _begin(self) -> None:
        self._assert_usable()
        self._broken = "another call is under way, or was interrupted"

    def _exchange(self, outbox: Outbox, replies: list[Value], is_done: Callable[[], bool]) -> None:
        """Send what waits and take what comes, until it is done."""
        timeout = self._sock.gettimeout()
        broken = ""
        try:
            self._sock.settimeout(0)
            with _Selector() as selector:
                key = selector.register(self._sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
                while not broken and not is_done():
                    if not outbox.pending and key.events != selectors.EVENT_READ:
                        key = selector.modify(self._sock, selectors.EVENT_READ)
                    if not (ready := selector.select(timeout or None)):
                        raise TimeoutError(f"timed out: nothing came for {timeout} s")
                    if ready[0][1] & selectors.EVENT_READ:
                        broken = self._receive(replies)
                    with suppress(ssl.SSLWantReadError):
                        outbox.flush(self._sock)
        except BaseException as error:
            broken = f"a call was cut short by {error!r}"
            raise
        finally:
            self._broken = broken or self._broken
            self._sock.settimeout(timeout)
        self._broken = broken

    def _receive(self, replies: list[Value]) -> str:
        """Take what has come. Return why replies cannot be told apart any more, "" if they can."""
        try:
            chunk = self._sock.recv(65536)  # of TLS at most a record, which has 16 KiB: nothing is left behind
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return ""
        if not chunk:
            last = f"; the last it said: {show(replies[-1])[:200]}" if replies else ""
            raise ConnectionError(f"the server has hung up with {len(self._dialogue.waiting)} replies due{last}")
        self._replies.buffer.append(chunk)
        for value in self._replies:
            self.attributes += self._replies.attributes
            if is_push(value):
                self.pushes.append(value)
            elif not self._dialogue.waiting:
                return unasked(value)
            if self._dialogue.takes(value):
                replies.append(value)
        return ""


def _bytes(value: Value) -> bytes:
    return bytes(value) if isinstance(value, SliceBuffer) else str(value).encode()


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
        client = Client(connection)
        values = client.call(encode(*map(str.encode, given.command)))
        print(*map(show, [*(attribute for attribute, _ in client.attributes), *values]))
