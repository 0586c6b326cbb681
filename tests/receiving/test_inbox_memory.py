"""What receiving much leaves in memory: no more than the pool and what is kept; and what floods of tiny reads pin."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import socket
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Final

import pytest

from bytebufs import COMPILED, CompositeBuffer, Inbox, Pool, SliceBuffer

from ..conftest import PROFILE
from ..counting import counted
from ..sinks import tcp_pair

TOTAL: Final = {"quick": 4 << 20, "short": 8 << 20, "ci": 64 << 20, "long": 1 << 30}[PROFILE]
"""Bytes that are received."""

BLOCK: Final = 65536
IDLE: Final = 64
POOL: Final = (IDLE + 4) * BLOCK
SLACK: Final = 1 << 20
"""Bytes of everything else: the bookkeeping of the test, names, caches."""
COST: Final = 1500
"""Bytes of a frame that is kept, beside what it shows: the slice, its bytes object, its hash, a list entry."""

RSS: Final = Path("/proc/self/statm")


def resident() -> int:
    """Return how many bytes of memory the process has, as the system counts."""
    return int(RSS.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if RSS.exists() else 0


@contextlib.contextmanager
def sent(frames: int, size: int) -> Iterator[socket.socket]:
    """Send numbered frames of that size from a thread."""
    here, there = tcp_pair()
    body = bytes(range(256)) * (size // 256)

    def send() -> None:
        with there, contextlib.suppress(OSError):
            for number in range(frames):
                there.sendall(number.to_bytes(8, "big") + body[8:])

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield here
    finally:
        here.close()
        thread.join(60)
    assert not thread.is_alive()


Kept = tuple[bytes, SliceBuffer]


def digest(frame: SliceBuffer) -> bytes:
    return hashlib.blake2b(frame.view() if frame.is_contiguous else bytes(frame), digest_size=16).digest()


def receive_frames(
    pool: Pool, size: int, each: Callable[[int, SliceBuffer], object], after: Callable[[int], object] = lambda _: None
) -> int:
    """Receive as many frames as make the total, and give each to a function. Returns how many there were."""
    frames = TOTAL // size
    inbox = Inbox(pool, limit=max(2 * size, 4 * BLOCK))
    buffer = inbox.buffer
    number = 0
    with sent(frames, size) as source:
        while inbox.receive(source):
            while len(buffer) >= size:
                each(number, buffer.take(size))
                number += 1
                if number == frames // 4:
                    after(number)
        assert number == frames
        assert not buffer
    return frames


def assert_unchanged(kept: list[Kept], size: int) -> None:
    for was, frame in kept:
        assert len(frame) == size
        assert digest(frame) == was


class Watch:
    """Memory at a quarter of the way, by both counts, and how much more there was at most or is now."""

    def __enter__(self) -> Watch:
        gc.collect()
        tracemalloc.start(1)
        self.begin = tracemalloc.get_traced_memory()[0]
        return self

    def mark(self, _: int) -> None:
        self.resident = resident()

    def __exit__(self, *_: object) -> None:
        self.grown = resident() - self.resident
        self.peak = tracemalloc.get_traced_memory()[1] - self.begin
        tracemalloc.stop()


@pytest.mark.parametrize("size", [1 << 10, 1 << 14, 1 << 18])
def test_frames_that_are_dropped_leave_nothing(size: int) -> None:
    pool = Pool(BLOCK, idle=IDLE)
    with Watch() as watch:
        receive_frames(pool, size, lambda number, frame: None, watch.mark)
    assert pool.made <= 2 * (size // BLOCK + 2)
    assert pool.reused + pool.made >= TOTAL // BLOCK
    assert pool.lent <= 1
    assert watch.peak < pool.made * BLOCK + SLACK
    assert watch.grown < POOL + SLACK


@pytest.mark.parametrize("size", [1 << 16, 1 << 18])
def test_large_frames_that_are_kept_keep_their_blocks_and_the_others_go_round(size: int) -> None:
    pool = Pool(BLOCK, idle=IDLE)
    kept: list[Kept] = []

    def keep(number: int, frame: SliceBuffer) -> None:
        if number % 100 == 1:
            kept.append((digest(frame), frame))

    with Watch() as watch:
        receive_frames(pool, size, keep, watch.mark)
    assert_unchanged(kept, size)
    pinned = sum(frame.pinned_nbytes for _, frame in kept)
    assert pinned <= len(kept) * (size + 2 * BLOCK)
    assert pool.reused + pool.made >= TOTAL // BLOCK
    assert pool.made <= pinned // BLOCK + IDLE + 4
    assert watch.peak < pinned + POOL + SLACK + COST * len(kept)
    assert watch.grown < pinned + POOL + SLACK + COST * len(kept)


@pytest.mark.parametrize("size", [1 << 8, 1 << 10, 1 << 14])
def test_small_frames_that_are_kept_and_compacted_keep_their_bytes(size: int) -> None:
    pool = Pool(BLOCK, idle=IDLE)
    kept: list[Kept] = []

    def keep(number: int, frame: SliceBuffer) -> None:
        if number % 100 == 1:
            kept.append((digest(frame), frame.compact()))

    with Watch() as watch:
        receive_frames(pool, size, keep, watch.mark)
    assert_unchanged(kept, size)
    held = len(kept) * (size + COST)
    assert pool.made <= 4
    assert pool.reused + pool.made >= TOTAL // BLOCK
    assert watch.peak < held + 4 * BLOCK + SLACK
    assert watch.grown < held + POOL + SLACK


def test_small_frames_that_are_kept_as_they_are_keep_a_block_each_at_most() -> None:
    """What ``compact()`` is for: blocks that nobody shows go round all the same."""
    size = 1 << 10
    pool = Pool(BLOCK, idle=IDLE)
    kept: list[Kept] = []

    def keep(number: int, frame: SliceBuffer) -> None:
        if number % 1000 == 1:
            kept.append((digest(frame), frame))

    receive_frames(pool, size, keep)
    assert_unchanged(kept, size)
    assert pool.made <= 2 * len(kept) + IDLE
    assert pool.reused + pool.made >= TOTAL // BLOCK
    assert pool.nbytes <= POOL


@pytest.mark.parametrize("size", [1 << 10, 1 << 16])
def test_frames_that_another_thread_drops_leave_nothing(size: int) -> None:
    pool = Pool(BLOCK, idle=IDLE)
    frames: SimpleQueue[SliceBuffer | None] = SimpleQueue()
    may_go_on = threading.Semaphore(256 << 10 >> (size.bit_length() - 1))
    kept: list[Kept] = []

    def drop() -> None:
        number = 0
        while (frame := frames.get(timeout=60)) is not None:
            if number % 100 == 1:
                kept.append((digest(frame), frame if size == 1 << 16 else frame.compact()))
            number += 1
            del frame
            may_go_on.release()

    def hand_over(number: int, frame: SliceBuffer) -> None:
        assert may_go_on.acquire(timeout=60)
        frames.put(frame)

    thread = threading.Thread(target=drop)
    thread.start()
    with Watch() as watch:
        receive_frames(pool, size, hand_over, watch.mark)
        frames.put(None)
        thread.join(60)
    assert not thread.is_alive()
    assert_unchanged(kept, size)
    pinned = sum(frame.pinned_nbytes for _, frame in kept)
    assert pool.made <= pinned // BLOCK + IDLE + 4
    assert pool.reused + pool.made >= TOTAL // BLOCK
    assert watch.peak < pinned + POOL + SLACK + COST * len(kept)
    assert watch.grown < pinned + POOL + SLACK + COST * len(kept)


# -- one byte at a time --------------------------------------------------------------------------------------

SENDS: Final = {"quick": 20_000, "short": 50_000, "ci": 200_000, "long": 1_000_000}[PROFILE]


def byte_of(number: int) -> bytes:
    return b"%c" % (number * 7 % 251)


def pinned_with(*inboxes: Inbox) -> int:
    """Return how much several keep alive together."""
    return CompositeBuffer([inbox.buffer for inbox in inboxes]).pinned_nbytes


@pytest.mark.parametrize("rests", [False, True])
@pytest.mark.parametrize("connections", [1, 2, 5])
def test_single_bytes_pin_little_more_than_themselves(connections: int, rests: bool) -> None:
    """Each by a call of the system's, of connections that share a pool, in turns."""
    pool = Pool(BLOCK)
    pairs = [socket.socketpair() for _ in range(connections)]
    inboxes = [Inbox(pool, limit=SENDS) for _ in pairs]
    each = SENDS // connections
    with contextlib.ExitStack() as stack:
        for here, there in pairs:
            stack.enter_context(here)
            stack.enter_context(there)
        for number in range(each):
            data = byte_of(number)
            for inbox, (here, there) in zip(inboxes, pairs, strict=True):
                there.send(data)
                assert inbox.receive(here) == 1
                if rests:
                    inbox.rest()
    content = b"".join([byte_of(number) for number in range(each)])
    for inbox in inboxes:
        assert inbox.buffer == content
        assert inbox.buffer.part_count <= 4 + 2 * each // BLOCK
        assert inbox.buffer.pinned_nbytes <= 1.1 * each + (1 if connections == 1 else 3) * BLOCK
    assert pinned_with(*inboxes) <= 1.1 * each * connections + connections * BLOCK


@pytest.mark.parametrize("rests", [False, True])
def test_single_bytes_that_are_taken_one_by_one_pin_what_they_were_received_into(rests: bool) -> None:
    """Each is a message of its own, and all are kept: they lie side by side."""
    pool = Pool(BLOCK)
    inboxes = [Inbox(pool), Inbox(pool)]
    kept = []
    for number in range(SENDS // 10):
        for inbox in inboxes:
            inbox.room()[:1] = byte_of(number)
            inbox.filled(1)
            kept.append(inbox.buffer.take(1))
            if rests:
                inbox.rest()
    assert bytes(CompositeBuffer(kept)) == b"".join([byte_of(n // 2) for n in range(len(kept))])
    assert CompositeBuffer(kept).pinned_nbytes <= 1.1 * len(kept) + 2 * BLOCK


@pytest.mark.parametrize("rests", [False, True])
def test_single_bytes_cost_the_same_however_many_there_were(rests: bool) -> None:
    if COMPILED:
        pytest.skip("inside compiled code nothing can be counted")

    def work_of(n: int) -> int:
        pool = Pool(4096)
        inboxes = [Inbox(pool, limit=n), Inbox(pool, limit=n)]
        with counted() as work:
            for number in range(n):
                for inbox in inboxes:
                    inbox.room()[:1] = byte_of(number)
                    inbox.filled(1)
                    if rests:
                        inbox.rest()
        return work.total

    few, many = work_of(1000), work_of(4000)
    assert few > 1000
    assert many < 4.4 * few


def test_an_idle_connection_holds_no_memory() -> None:
    pool = Pool(BLOCK)
    inboxes = [Inbox(pool) for _ in range(1000)]
    for inbox in inboxes:
        inbox.room()[:5] = b"hello"
        inbox.filled(5)
        assert inbox.buffer.take_bytes(5) == b"hello"
        inbox.rest()
    assert pool.made == 1
    assert (pool.lent, pool.waiting) == (0, 1)
    assert sys.getsizeof(inboxes[0]) < 500
