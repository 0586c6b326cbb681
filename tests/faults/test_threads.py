"""Threads that send, search and join one slice while the buffer that it was cut from is drained, filled and changed.

That they read it, and that threads which share a composite by mistake get errors, is in `tests.test_threads`.
"""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

from bytebufs import CompositeBuffer, FileRegion, Inbox, Outbox, Pool, SliceBuffer, flush

from ..conftest import IS_SHORT
from ..sinks import PATIENCE, Peer
from .trials import connected, content_of

CONTENT: Final = content_of(60_000)
ROUNDS: Final = 20 if IS_SHORT else 1000


def send(sliced: SliceBuffer) -> bytes:
    here, there = connected("unix")
    with there:
        peer = Peer(there.recv, lambda: 9000)
        with here:
            flush(sliced, here)
        return peer.received()


def put(sliced: SliceBuffer) -> bytes:
    outbox = Outbox()
    outbox.put(sliced)
    with tempfile.TemporaryFile(buffering=0) as file:
        while outbox.pending:
            outbox.flush(file)
        file.seek(0)
        return file.read()


def write(sliced: SliceBuffer) -> bytes:
    came: list[bytes] = []

    class Sink:
        def write(self, data: memoryview) -> int:
            came.append(bytes(data[:777]))
            return min(777, len(data))

    flush(sliced, Sink())
    return b"".join(came)


USES: Final[dict[str, Callable[[SliceBuffer], bytes]]] = {
    "send": send,
    "put": put,
    "write": write,
    "join": bytes,
    "append": lambda sliced: bytes(CompositeBuffer([sliced, b""])),
    "search": lambda sliced: CONTENT if sliced.find(CONTENT[-9:]) == len(CONTENT) - 9 else b"",
}


def change(b: CompositeBuffer, number: int) -> None:
    """Change whatever lies around a slice."""
    acts: list[Callable[[], Any]] = [
        lambda: b.append(b"behind"),
        lambda: b.take(len(b) // 3),
        lambda: b.appendleft(bytearray(b"in front")),
        lambda: b.skip(len(b) // 2),
        lambda: b.splice(0, len(b) // 4, b"other"),
        b.consolidate,
        b.compact,
        b.clear,
        lambda: b.append(CONTENT),
        lambda: b.truncate(len(b) // 2),
        lambda: b.reserve(100),
    ]
    acts[number % len(acts)]()
    b._check()


@pytest.mark.parametrize("use", USES)
def test_a_slice_is_the_same_whatever_becomes_of_its_buffer(use: str) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(CONTENT)
        file.flush()
        b = CompositeBuffer([CONTENT[:20_000], bytearray(CONTENT[20_000:30_000]), FileRegion(file, 30_000)])
    sliced = b[:]
    over = threading.Event()

    def change_all_the_time() -> None:
        number = 0
        while not over.is_set():
            change(b, number)
            number += 1

    with ThreadPoolExecutor(4) as threads:
        changing = threads.submit(change_all_the_time)
        using = [threads.submit(lambda: [USES[use](sliced) == CONTENT for _ in range(ROUNDS)]) for _ in range(2)]
        try:
            assert all(all(used.result(PATIENCE)) for used in using)
        finally:
            over.set()
        changing.result(PATIENCE)
    assert sliced == CONTENT


def _shows(kept: SliceBuffer, message: bytes) -> bool:
    return kept == message == bytes(kept)


def test_slices_of_a_pool_stay_while_their_inbox_receives_more() -> None:
    """What another thread still shows is not received into, however many blocks go round."""
    inbox = Inbox(Pool(4096, idle=2), limit=65536)
    here, there = socket.socketpair()
    with here, there, ThreadPoolExecutor(2) as threads:
        checks = []
        for number in range(ROUNDS * 10):
            message = number.to_bytes(4, "big") * 250
            here.sendall(message)
            while len(inbox.buffer) < len(message):
                inbox.receive(there)
            checks.append(threads.submit(_shows, inbox.buffer.take(len(message)), message))
        assert all(check.result(PATIENCE) for check in checks)
    inbox.buffer._check()
