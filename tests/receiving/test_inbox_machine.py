"""A state machine: inboxes that share pools and receive from sources of all kinds, against a model made of bytes.

Each source is fed by the machine, which knows what it was fed. Whatever is kept of what came, slices, views, arrays,
rooms, is compared with what it was after each step; and what waits, what is in the source and what was taken is all
that was fed, in order.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bytebufs import Inbox, LimitExceeded, Pool, Underrun

WHICH: Final = st.integers(0, 1 << 16)
SIZES: Final = st.one_of(st.integers(0, 40), st.integers(0, 3000))


@dataclass
class Feed:
    """A source, and how to feed it: at once what fits, which it says."""

    source: Any
    feed: Callable[[bytes], int]
    close: Callable[[], object]


def _socket_feed() -> Feed:
    here, there = socket.socketpair()
    here.setblocking(False)
    there.setblocking(False)

    def close() -> None:
        here.close()
        there.close()

    return Feed(here, there.send, close)


def _pipe_feed() -> Feed:
    far, near = os.pipe()
    os.set_blocking(far, False)
    os.set_blocking(near, False)

    def close() -> None:
        os.close(far)
        os.close(near)

    return Feed(far, lambda data: os.write(near, data), close)


def _raw_pipe_feed() -> Feed:
    feed = _pipe_feed()
    file = io.FileIO(feed.source, closefd=False)
    return Feed(file, feed.feed, feed.close)


class Given:
    """Gives what it was given, a piece at a time, and None when there is none."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def feed(self, data: bytes) -> int:
        self.pieces.append(data)
        return len(data)

    def readinto(self, view: memoryview) -> int | None:
        if not self.pieces:
            return None
        piece = self.pieces.pop(0)
        size = min(len(view), len(piece))
        view[:size] = piece[:size]
        if size < len(piece):
            self.pieces.insert(0, piece[size:])
        return size


def _given_feed() -> Feed:
    given = Given()
    return Feed(given, given.feed, lambda: None)


FEEDS: Final = [_socket_feed, _pipe_feed, _raw_pipe_feed, _given_feed]


@dataclass
class Line:
    """An inbox, its source, and what was fed and not taken yet."""

    inbox: Inbox
    feed: Feed
    left: bytes = b""
    room: memoryview | None = None


@dataclass
class Kept:
    """Something that shows bytes, and what they were."""

    holder: Any
    content: Callable[[], bytes]
    digest: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.digest = hashlib.blake2b(self.content()).digest()


class Inboxes(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Line] = []
        self.kept: list[Kept] = []
        self.number = 0

    @initialize(
        blocks=st.tuples(st.sampled_from([1, 7, 64, 1000, 4096, 65536]), st.sampled_from([16, 300])),
        idle=st.integers(0, 4),
        limits=st.lists(st.sampled_from([1, 10, 100, 5000, 1 << 20]), min_size=3, max_size=3),
    )
    def begin(self, blocks: tuple[int, int], idle: int, limits: list[int]) -> None:
        self.pools = [Pool(block, idle=idle) for block in blocks]
        for number, limit in enumerate(limits):
            feed = FEEDS[(number + limit) % len(FEEDS)]()
            self.lines.append(Line(Inbox(self.pools[number // 2], limit=limit), feed))

    def teardown(self) -> None:
        for line in self.lines:
            line.feed.close()

    def line(self, which: int) -> Line:
        return self.lines[which % len(self.lines)]

    def bytes_of(self, size: int) -> bytes:
        """Return bytes that are told from all others."""
        self.number += 1
        word = b"%d," % self.number
        return (word * (size // len(word) + 1))[:size]

    # -- receiving

    @rule(which=WHICH, size=SIZES)
    def feed(self, which: int, size: int) -> None:
        line = self.line(which)
        data = self.bytes_of(size)
        if data:
            with contextlib.suppress(BlockingIOError):
                line.left += data[: line.feed.feed(data)]

    @rule(which=WHICH)
    def receive(self, which: int) -> None:
        line = self.line(which)
        inbox = line.inbox
        before = len(inbox.buffer)
        try:
            count = inbox.receive(line.feed.source)
        except BlockingIOError:
            assert len(line.left) == before
        except LimitExceeded:
            assert before >= inbox.limit
            return
        else:
            assert 0 < count <= min(inbox.limit - before, len(line.left) - before)
            assert len(inbox.buffer) == before + count
        line.room = None

    @rule(which=WHICH, size=SIZES)
    def fill(self, which: int, size: int) -> None:
        """Put in by hand what has not come through the source: all that did has to be there."""
        line = self.line(which)
        inbox = line.inbox
        if len(inbox.buffer) != len(line.left):
            return
        try:
            room = inbox.room()
        except LimitExceeded:
            assert len(inbox.buffer) >= inbox.limit
            return
        assert 0 < len(room) <= inbox.limit - len(inbox.buffer)
        data = self.bytes_of(min(size, len(room)))
        line.room = room
        if data:
            room[: len(data)] = data
            inbox.filled(len(data))
            line.left += data
            line.room = None
            assert inbox.buffer.endswith(data)

    @rule(which=WHICH)
    def ask_for_room(self, which: int) -> None:
        line = self.line(which)
        with contextlib.suppress(LimitExceeded):
            line.room = line.inbox.room()
            line.room[:] = b"?" * len(line.room)

    @rule(which=WHICH)
    def keep_what_was_made_of_a_room(self, which: int) -> None:
        """It keeps its block; what it shows is nobody's promise, so it is only held."""
        line = self.line(which)
        if line.room is not None:
            self.kept.append(Kept(np.frombuffer(line.room, np.uint8)[1:], lambda: b""))

    @rule(which=WHICH)
    def rest(self, which: int) -> None:
        self.line(which).inbox.rest()

    # -- taking

    @rule(which=WHICH, size=SIZES, how=st.sampled_from(["slice", "view", "array", "part of an array", "drop"]))
    def take(self, which: int, size: int, how: str) -> None:
        line = self.line(which)
        try:
            piece = line.inbox.buffer.take(size)
        except Underrun:
            assert size > len(line.inbox.buffer)
            return
        data, line.left = line.left[:size], line.left[size:]
        assert piece == data
        if how == "slice":
            self.kept.append(Kept(piece, lambda: bytes(piece)))
        elif how != "drop":
            for view in piece.views():
                made: Any = view if how == "view" else np.frombuffer(view, np.uint8)
                held = made[1::2] if how == "part of an array" else made
                self.kept.append(Kept(held, lambda held=held: bytes(held)))  # type: ignore[misc]

    @rule(which=WHICH)
    def clear(self, which: int) -> None:
        line = self.line(which)
        line.left = line.left[len(line.inbox.buffer) :]
        line.inbox.buffer.clear()

    @rule(which=WHICH)
    def compact(self, which: int) -> None:
        self.line(which).inbox.buffer.compact()

    @rule(which=WHICH)
    def drop(self, which: int) -> None:
        if self.kept:
            del self.kept[which % len(self.kept)]

    @rule(which=WHICH)
    def trim(self, which: int) -> None:
        pool = self.pools[which % len(self.pools)]
        waiting = pool.waiting
        assert pool.trim() == waiting * pool.block
        assert pool.waiting == 0

    @rule(which=WHICH, limit=st.sampled_from([1, 10, 5000]))
    def begin_anew(self, which: int, limit: int) -> None:
        """The connection ends; another one comes."""
        line = self.line(which)
        line.feed.close()
        pool = self.pools[which % len(self.pools)]
        self.lines[which % len(self.lines)] = Line(Inbox(pool, limit=limit), FEEDS[which % len(FEEDS)]())

    # -- after each step

    @invariant()
    def nothing_that_is_kept_has_changed(self) -> None:
        for kept in self.kept:
            assert hashlib.blake2b(kept.content()).digest() == kept.digest

    @invariant()
    def what_waits_is_what_came(self) -> None:
        for line in self.lines:
            line.inbox.buffer._check()
            assert line.left.startswith(bytes(line.inbox.buffer))

    @invariant()
    def pools_know_their_blocks(self) -> None:
        for pool in self.pools if self.lines else []:
            assert pool.lent + pool.waiting == pool.nbytes // pool.block <= pool.made
            assert len(pool._waiting) <= pool._idle
            assert all(block.used <= pool.block for block in pool._known())


TestInboxes = Inboxes.TestCase
