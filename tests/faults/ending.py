"""Programs that end with something unfinished: each with status 0, and says nothing but "used", where it was.

    python -m tests.faults.ending CASE

Nothing is closed on the way.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import os
import socket
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable
from typing import Any, Final

from bytebufs import (
    CompositeBuffer,
    Delimited,
    FileRegion,
    Inbox,
    LengthPrefixed,
    MappedFile,
    Outbox,
    Pool,
    allocate,
    copy_audit,
    flush,
)
from bytebufs.aio import Stream, open_connection, start_server

KEPT: Final[list[Any]] = []
"""A global of a module, which outlives everything."""


def in_a_file(content: bytes = b"bytes" * 10_000) -> Any:
    file = tempfile.TemporaryFile()
    file.write(content)
    file.flush()
    atexit.register(file.close)
    return file


def live() -> list[Any]:
    """Return one of each thing that can be unfinished."""
    file = in_a_file()
    region = FileRegion(file)
    mapped = MappedFile(file, access="write")
    composite = CompositeBuffer([b"bytes", bytearray(b"bytearray"), region, mapped[3:], allocate(5000)])
    composite.find(b"no such bytes")
    lease = composite.reserve(10)
    pool = Pool(4096)
    inbox = Inbox(pool, limit=65536)
    room = inbox.room()
    room[:3] = b"one"
    inbox.filled(3)
    again = inbox.room()
    framer = LengthPrefixed(4, limit=1000)
    list(framer.feed(b"\0\0\0\x09half"))
    delimited = Delimited(b"\r\n", limit=1000)
    list(delimited.feed(b"half a line\r"))
    outbox = Outbox(high=5, low=0, on_pause=lambda: None, on_resume=lambda: None)
    outbox.put(composite, on_sent=lambda: None)
    views = composite.views()
    pages = iter(composite)
    next(pages)
    audit = copy_audit()
    audit.__enter__()
    return [
        file, region, mapped, composite, lease, pool, inbox, room, again, framer, delimited, outbox, views, audit,
        composite[3:], mapped[:], memoryview(mapped[:].view()), pages,
    ]  # fmt: skip


def use(things: list[Any]) -> None:
    """Change and look at what `live` gave."""
    composite = things[3]
    composite._check()
    assert bytes(composite[:14]) == b"bytesbytearray"
    composite.append(b"still")
    composite.take(3)
    composite.skip(2)
    assert bytes(composite[:9]) == b"bytearray"
    things[6].buffer.clear()
    list(things[9].feed(b"more"))
    things[11].close()
    repr(things)
    os.write(1, b"used")


class Last:
    """Uses what it has when it is finalized, with much of the interpreter gone."""

    def __init__(self, things: list[Any]) -> None:
        self.things = things

    def __del__(self) -> None:
        use(self.things)


def globals_() -> None:
    KEPT.extend(live())


def a_cycle() -> None:
    KEPT.append(KEPT)
    KEPT.extend(live())
    gc.disable()


def used_at_exit() -> None:
    things = live()
    atexit.register(use, things)


def used_in_a_finalizer() -> None:
    KEPT.append(Last(live()))


def used_in_a_finalizer_of_a_cycle() -> None:
    last = Last(live())
    last.things.append(last)
    KEPT.append(last)


def kept_by_sys() -> None:
    """Some interpreters finalize that, others never."""
    sys.kept = Last(live())  # type: ignore[attr-defined]  # of what outlives all modules


def used_by_weakref_finalize() -> None:
    things = live()
    owner = threading.Event()
    KEPT.append(owner)
    weakref.finalize(owner, use, things)


def a_daemon_that_waits() -> None:
    """Threads that are in the middle of a call when the interpreter ends."""
    here, there = socket.socketpair()
    far, near = os.pipe()
    sys.kept = [here, there]  # type: ignore[attr-defined]
    atexit.register(lambda: (here.detach(), there.detach()))
    inbox = Inbox()
    begun = threading.Barrier(4)

    def then(call: Callable[[], object]) -> None:
        begun.wait()
        call()

    for call in (
        lambda: inbox.receive(here),
        lambda: flush(bytes(10 << 20), there.fileno()),
        lambda: flush(bytes(10 << 20), near),
    ):
        threading.Thread(target=then, args=(call,), daemon=True).start()
    KEPT.append(far)
    begun.wait()


def daemons_that_work() -> None:
    """Threads that change buffers of their own, and read one slice, while the interpreter ends."""
    shared = CompositeBuffer([b"abc", bytearray(b"defg")] * 100)[:]
    begun = threading.Barrier(4)

    def work() -> None:
        begun.wait()
        pool = Pool(4096)
        while True:
            b = CompositeBuffer()
            inbox = Inbox(pool)
            inbox.room()[:9] = b"\0\0\0\x05hello"
            inbox.filled(9)
            for frame in LengthPrefixed(4, limit=100).feed(inbox.buffer.take(9)):
                b.append(frame)
            b.append(shared)
            assert b.take_bytes(8) == b"helloabc"
            assert bytes(shared[:7]) == b"abcdefg"

    for _ in range(3):
        threading.Thread(target=work, daemon=True).start()
    begun.wait()


def a_server_in_the_middle() -> None:
    """A loop that is interrupted, with a server, connections and what they were about to send."""

    async def handler(stream: Stream) -> None:
        await stream.send(bytes(10 << 20))
        await stream.receive()

    async def main() -> None:
        async with await start_server(handler, "127.0.0.1", 0) as server:
            stream = await open_connection(*server.sockets[0].getsockname(), limit=1000)
            await stream.receive()
            KEPT.extend([server, stream, stream.buffer, stream.buffer[:5]])
            raise KeyboardInterrupt

    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
    KEPT[1].abort()


def a_loop_that_is_closed() -> None:
    """A server that outlives its loop."""

    async def main() -> None:
        server = await start_server(lambda stream: stream.aclose(), "127.0.0.1", 0)
        KEPT.append(server)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.run_until_complete(KEPT[0].close())
    loop.close()


CASES: Final[dict[str, Callable[[], None]]] = {
    "globals": globals_,
    "a cycle": a_cycle,
    "used at exit": used_at_exit,
    "used in a finalizer": used_in_a_finalizer,
    "used in a finalizer of a cycle": used_in_a_finalizer_of_a_cycle,
    "kept by sys": kept_by_sys,
    "used by weakref.finalize": used_by_weakref_finalize,
    "a daemon that waits": a_daemon_that_waits,
    "daemons that work": daemons_that_work,
    "a server in the middle": a_server_in_the_middle,
    "a loop that is closed": a_loop_that_is_closed,
}

if __name__ == "__main__":
    CASES[sys.argv[1]]()
