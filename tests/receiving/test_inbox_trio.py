"""An inbox on trio, by hand: what is cancelled has lost nothing, and streams in both directions come whole."""

from __future__ import annotations

import hashlib
import random
import socket
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from typing import Final, TypeAlias

import pytest
import trio
import trio.testing

from bytebufs import Inbox, LengthPrefixed, Outbox, Pool, SliceBuffer

PATIENCE: Final = 60
SEED: Final = 5

Receive: TypeAlias = Callable[[trio.socket.SocketType, Inbox], Awaitable[bool]]


async def receive_into_room(sock: trio.socket.SocketType, inbox: Inbox) -> bool:
    inbox.filled(await sock.recv_into(inbox.room()))
    return not inbox.ended


async def receive_late(sock: trio.socket.SocketType, inbox: Inbox) -> bool:
    while True:
        await trio.lowlevel.wait_readable(sock)
        with suppress(BlockingIOError):
            return inbox.receive(sock.fileno()) > 0


WAYS: Final[dict[str, Receive]] = {"room": receive_into_room, "late": receive_late}
every_way = pytest.mark.parametrize("way", WAYS)


async def send(sock: trio.socket.SocketType, outbox: Outbox) -> None:
    outbox.flush(sock.fileno())
    while outbox.pending:
        await trio.lowlevel.wait_writable(sock)
        outbox.flush(sock.fileno())


def pair() -> tuple[trio.socket.SocketType, trio.socket.SocketType]:
    here, there = socket.socketpair()
    return trio.socket.from_stdlib_socket(here), trio.socket.from_stdlib_socket(there)


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        with trio.fail_after(PATIENCE):
            await main()

    trio.run(bounded)


@every_way
def test_frames_go_through_connections_that_share_a_pool(way: str) -> None:
    receive = WAYS[way]
    pool = Pool(4096, idle=4)
    chance = random.Random(SEED)
    messages = [chance.randbytes(chance.choice([0, 1, 50, 3000, 9000])) for _ in range(300)]
    kept: list[tuple[bytes, SliceBuffer]] = []

    async def write(sock: trio.socket.SocketType) -> None:
        outbox = Outbox(high=1, low=0)
        framer = LengthPrefixed(2, limit=65535)
        for message in messages:
            outbox.put(framer.encode(message))
            await send(sock, outbox)
        sock.shutdown(trio.socket.SHUT_WR)

    async def read(sock: trio.socket.SocketType) -> None:
        inbox = Inbox(pool, limit=12_000)
        came = []
        while await receive(sock, inbox):
            while (frame := inbox.buffer.parse(lambda r: r.take(r.u16()), limit=12_000)) is not None:
                came.append(hashlib.sha256(bytes(frame)).digest())
                if len(came) % 50 == 0:
                    kept.append((came[-1], frame))
            inbox.rest()
        assert came == [hashlib.sha256(message).digest() for message in messages]
        assert not inbox.buffer

    async def main() -> None:
        with ExitStack() as stack:
            async with trio.open_nursery() as nursery:
                for _ in range(4):
                    here, there = pair()
                    nursery.start_soon(write, stack.enter_context(here))
                    nursery.start_soon(read, stack.enter_context(there))

    run(main)
    assert len(kept) == 24
    assert [hashlib.sha256(bytes(frame)).digest() for _, frame in kept] == [digest for digest, _ in kept]
    assert pool.reused > 20


@every_way
def test_what_is_cancelled_has_received_nothing(way: str) -> None:
    receive = WAYS[way]

    async def main() -> None:
        here, there = pair()
        inbox = Inbox(limit=1 << 20)
        sent = b""
        with here, there:
            for number in range(50):
                with trio.move_on_after(0) as scope:
                    await receive(there, inbox)
                assert scope.cancelled_caught
                data = bytes([65 + number % 26]) * (1 + number * 37)
                await here.send(data)
                sent += data
                with trio.CancelScope() as scope:
                    if number % 3 == 0:
                        scope.cancel()
                    await receive(there, inbox)
                while len(inbox.buffer) < len(sent):
                    assert await receive(there, inbox)
                assert inbox.buffer == sent
                inbox.rest()
            here.shutdown(trio.socket.SHUT_WR)
            assert not await receive(there, inbox)
            assert inbox.buffer == sent

    run(main)


def test_two_tasks_cannot_be_given_the_same_memory_unnoticed() -> None:
    """The second room takes the first one back: whoever would write to it is told."""

    async def main() -> None:
        here, there = pair()
        inbox = Inbox()
        with here, there:
            errors: list[TypeError] = []

            async def receive() -> None:
                try:
                    assert await there.recv_into(inbox.room()) == 4
                    inbox.filled(4)
                except TypeError as error:  # what a socket says of a view that was released
                    errors.append(error)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(receive)
                await trio.testing.wait_all_tasks_blocked()
                room = inbox.room()
                await here.send(b"data")
            assert len(errors) == 1
            assert await there.recv_into(room) == 4
            inbox.filled(4)
            assert inbox.buffer == b"data"

    run(main)


def test_a_peer_that_resets_is_an_error_and_leaves_what_came() -> None:
    async def main() -> None:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        async with listener:
            here = trio.socket.socket()
            await here.connect(listener.socket.getsockname())
            stream = await listener.accept()
            await here.send(b"before")
            inbox = Inbox()
            assert await receive_into_room(stream.socket, inbox)
            here.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            here.close()
            with pytest.raises(ConnectionResetError):
                await receive_into_room(stream.socket, inbox)
            assert inbox.buffer == b"before"
            assert not inbox.ended
            await stream.aclose()

    run(main)
