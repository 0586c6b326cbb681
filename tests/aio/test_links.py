"""Links: how bytes move by a socket and by a transport, and what happens at the end."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import pytest

from bytebufs import ClosedError, CompositeBuffer, FileRegion, aio
from bytebufs.aio import links
from bytebufs.aio.links import UNLINKED, SocketLink, TransportLink

from .loops import LOOPS, WAYS, client_context, connected, raw, reset, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MUCH: Final = bytes(range(256)) * 32768


async def turns(n: int = 5) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # nobody else tells
        await asyncio.sleep(0)


def watched(stream: aio.Stream) -> int:
    """Return what a loop of asyncio's watches a stream's socket for."""
    loop: Any = asyncio.get_running_loop()
    key = loop._selector.get_map().get(raw(stream).fileno())
    return 0 if key is None else int(key.events)


def test_a_stream_that_is_being_made_moves_nothing() -> None:
    async def main() -> None:
        stream: Any = None
        with pytest.raises(NotImplementedError):
            await UNLINKED.aclose()
        for call in (
            UNLINKED.resume, UNLINKED.pause, UNLINKED.is_readable, UNLINKED.send_eof, lambda: UNLINKED.send(stream),
        ):  # fmt: skip
            with pytest.raises(NotImplementedError):
                call()
        UNLINKED.abort()
        assert UNLINKED.is_drained()
        assert not UNLINKED.is_full()
        assert UNLINKED.get_extra_info("peername", 7) == 7

    run(main)


@pytest.mark.parametrize("way", WAYS)
def test_which_link_a_stream_has(way: str) -> None:
    kind, loop = way.split("-")

    async def main() -> None:
        async with connected(kind) as (stream, peer):
            is_direct = kind != "tls" and loop != "unwatched"
            assert isinstance(stream._link, SocketLink if is_direct else TransportLink)
            names = {name: stream.get_extra_info(name) for name in ("peername", "sockname")}
            assert names["peername"] == peer.get_extra_info("sockname")
            assert (stream.get_extra_info("ssl_object") is not None) == (kind == "tls")
            await stream.send(b"x")
            assert await peer.take(1) == b"x"
            await stream.aclose()
            assert {name: stream.get_extra_info(name) for name in names} == names
            assert stream.get_extra_info("nothing", 7) == 7

    run(main, loop)


# -- receiving ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_receiving_pauses_at_the_limit_exactly(way: str) -> None:
    kind, loop = way.split("-")

    async def main() -> None:
        async with connected(kind, limit=100_000) as (stream, peer):
            sending = asyncio.ensure_future(peer.send(MUCH))
            await until(lambda: len(stream.buffer) == 100_000)
            await turns(50)
            assert len(stream.buffer) == 100_000
            assert await stream.take(len(MUCH)) == MUCH
            await sending

    run(main, loop)


def test_receiving_goes_on_where_all_is_taken_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with connected("tcp", limit=100) as (stream, peer):
            loop = asyncio.get_running_loop()
            left: list[int] = []
            remove_reader = loop.remove_reader

            def remove(fd: int) -> bool:
                left.append(fd)
                return remove_reader(fd)

            monkeypatch.setattr(loop, "remove_reader", remove)

            async def take_all() -> int:
                count = 0
                while count < 500 and await stream.receive():
                    count += len(stream.buffer)
                    stream.buffer.clear()
                return count

            taking = asyncio.ensure_future(take_all())
            await peer.send(bytes(500))
            assert await taking == 500
            assert left == []
            await peer.send(bytes(100))
            await until(lambda: len(stream.buffer) == 100)
            assert left == [raw(stream).fileno()]

    run(main)


@pytest.mark.parametrize("loop", LOOPS)
def test_who_closes_at_the_limit_waits_for_the_peer_only(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "_LINGER", 1000)

    async def main() -> None:
        async with connected("tcp", limit=100, close_timeout=1000) as (stream, peer):

            async def close() -> None:
                assert await stream.receive()
                await stream.aclose()

            closing = asyncio.ensure_future(close())
            await turns()
            await peer.send(bytes(200))
            assert not await peer.receive()
            await peer.send(bytes(300))
            await peer.send_eof()
            await closing

    run(main, loop)


def test_a_socket_that_is_not_ready_after_all_is_asked_again() -> None:
    async def main() -> None:
        async with connected("tcp") as (stream, peer):
            link = stream._link
            assert isinstance(link, SocketLink)
            link._on_readable()
            assert stream.state == "open"
            await peer.send(b"x")
            assert await stream.take(1) == b"x"
            assert link._discard()

    run(main)


@pytest.mark.parametrize("way", WAYS)
def test_pausing_and_going_on_twice_is_doing_it_once(way: str) -> None:
    kind, loop = way.split("-")

    async def main() -> None:
        async with connected(kind) as (stream, peer):
            for call in (stream._link.pause, stream._link.resume):
                call()
                call()
            await peer.send(b"x")
            assert await stream.take(1) == b"x"

    run(main, loop)


def test_a_few_reads_in_a_turn_then_others_have_theirs() -> None:
    async def main() -> None:
        async with connected("unix", limit=1 << 20) as (stream, peer):
            await peer.send(bytes(60_000))
            await peer.flush()
            link = stream._link
            assert isinstance(link, SocketLink)
            link._on_readable()
            assert len(stream.buffer) == 4096 + 8192 + 16384 + 32768 - 1440
            await stream.take(60_000)
            await peer.send(MUCH[: 128 << 10])
            await turns(1)
            link._on_readable()
            assert 0 < len(stream.buffer) <= 4 * 65536

    run(main)


@pytest.mark.parametrize("way", WAYS)
def test_whether_something_has_come(way: str) -> None:
    kind, loop = way.split("-")

    async def main() -> None:
        async with connected(kind) as (stream, peer):
            await stream.send(b"x")
            await peer.take(1)  # whatever TLS has to say at the beginning has been said
            await turns(10)
            assert not peer._link.is_readable()
            raw(stream).send(b"x")
            assert peer._link.is_readable()
            assert not peer.buffer
            await stream.aclose()
            with suppress(OSError):  # TLS is none any more
                while await peer.receive():
                    pass

    run(main, loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_reset_that_comes_with_bytes_is_told_behind_them(loop: str) -> None:
    async def main() -> None:
        for rest in (b"yy", bytes(3000)):
            async with connected("tcp", limit=1000) as (stream, peer):
                await peer.send(b"x")
                assert await stream.take(1) == b"x"
                raw(peer).send(rest)
                reset(peer)
                assert await stream.take(len(rest)) == rest
                with pytest.raises(ConnectionResetError):
                    await stream.receive()

    run(main, loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_reset_that_an_answer_meets_is_no_wait_for_ever(loop: str) -> None:
    """The system tells of it once: to who sends first, here."""

    async def main() -> None:
        async with connected("tcp") as (stream, peer):

            async def answer() -> bytes:
                request = bytes(await stream.take(2))
                await stream.send(b"answer")
                with suppress(ConnectionError):
                    assert not await stream.receive()
                with pytest.raises(ConnectionError):
                    await stream.flush()
                return request

            answering = asyncio.ensure_future(answer())
            await turns()
            raw(peer).send(b"yy")
            reset(peer)
            assert await answering == b"yy"

    run(main, loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_reset_behind_answers_is_told(loop: str) -> None:
    async def main() -> None:
        async with connected("tcp") as (stream, peer):

            async def echo() -> None:
                while await stream.receive():
                    await stream.send(stream.buffer.take(len(stream.buffer)))

            echoing = asyncio.ensure_future(echo())
            for word in (b"one", b"two", b"three"):
                await peer.send(word)
                assert await peer.take(len(word)) == word
            reset(peer)
            with pytest.raises(ConnectionResetError):
                await echoing

    run(main, loop)


# -- sending --------------------------------------------------------------------------------------------------


def test_only_a_socket_that_is_full_is_watched() -> None:
    async def main() -> None:
        async with connected("tcp") as (stream, peer):
            reading = watched(stream)
            await stream.send(b"x")
            await stream.flush()
            assert watched(stream) == reading
            sending = asyncio.ensure_future(stream.send(MUCH))
            await turns()
            assert watched(stream) != reading
            await peer.take(len(MUCH) + 1)
            await sending
            await stream.flush()
            assert watched(stream) == reading

    run(main)


def test_a_socket_that_has_failed_is_watched_no_more() -> None:
    async def main() -> None:
        async with connected("tcp") as (stream, peer):
            sending = asyncio.ensure_future(stream.send(MUCH))
            await turns()
            reset(peer)
            with pytest.raises(ConnectionError):
                await sending
            with suppress(ConnectionError):
                await stream.receive()
            assert watched(stream) == 0

    run(main)


@pytest.mark.parametrize("way", [way for way in WAYS if "tls" in way or "unwatched" in way])
def test_a_transport_is_given_few_large_pieces_and_no_more_than_it_takes(way: str, tmp_path: Path) -> None:
    kind, loop = way.split("-")
    file = tmp_path / "file"
    file.write_bytes(MUCH)

    async def main() -> None:
        async with connected(kind, high=1 << 30, low=0) as (stream, peer):
            link = stream._link
            assert isinstance(link, TransportLink)
            given: list[int] = []
            write = link._transport.write

            class Noting:
                def write(self, data: Any) -> None:
                    given.append(len(data))
                    write(data)

            assert link._sink is not None
            link._sink._transport = Noting()  # type: ignore[assignment]
            await stream.send(CompositeBuffer([b"ab"] * 1000))
            await stream.flush()
            assert given == [2000]
            assert await peer.take(2000) == b"ab" * 1000
            await stream.send(MUCH)
            await stream.send(FileRegion(file))
            await stream.send(b"end")
            taking = asyncio.ensure_future(peer.take(2 * len(MUCH) + 3))
            while stream.pending:
                before = len(given)
                await turns(1)
                assert sum(given[before:]) <= links._TURN
            await stream.flush()
            assert await taking == MUCH * 2 + b"end"

    run(main, loop)


# -- the end --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_a_peer_that_still_sends_gets_all(way: str) -> None:
    kind, loop = way.split("-")

    async def main() -> None:
        async with connected(kind, limit=1 << 16) as (stream, peer):
            said = asyncio.ensure_future(peer.send(MUCH))  # which nobody reads
            await until(lambda: len(stream.buffer) == 1 << 16)
            with suppress(TimeoutError):
                await asyncio.wait_for(stream.send(MUCH), 0)
            closing = asyncio.ensure_future(stream.aclose())
            assert await peer.take(len(MUCH)) == MUCH
            with suppress(ConnectionError):  # TLS, in asyncio, ends both ways
                await said
            with suppress(ConnectionError):
                assert not await peer.receive()
            with suppress(ConnectionError):
                await peer.aclose()
            await closing

    run(main, loop)


@pytest.mark.parametrize("way", WAYS)
def test_a_peer_that_sends_for_ever_is_left(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, loop = way.split("-")
    monkeypatch.setattr(links, "_LINGER", 0.01)
    monkeypatch.setattr(links, "_QUIET", 0.001)

    async def main() -> None:
        async def send_for_ever(peer: aio.Stream) -> None:
            while True:
                await peer.send(bytes(10_000))

        async with connected(kind) as (stream, peer):
            sending = asyncio.ensure_future(send_for_ever(peer))
            await stream.take(1)
            await stream.aclose()
            with pytest.raises((ConnectionError, ClosedError)):
                await sending

    run(main, loop)


@pytest.mark.parametrize("how", ["ends", "resets", "is aborted"])
@pytest.mark.parametrize("loop", LOOPS)
def test_how_lingering_ends(loop: str, how: str) -> None:
    async def main() -> None:
        async with connected("tcp", limit=1) as (stream, peer):
            await peer.send(b"unread")
            await stream.take(1)
            await until(stream._link.is_readable)
            closing = asyncio.ensure_future(stream.aclose())
            await turns()
            assert not closing.done()
            await peer.send(b"more")
            await turns(10)
            assert not closing.done()
            match how:
                case "ends":
                    await peer.send_eof()
                case "resets":
                    reset(peer)
                case _:
                    stream.abort()
            await closing
            assert stream.state == "closed"

    run(main, loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_closing_what_the_peer_has_reset(loop: str) -> None:
    async def main() -> None:
        async with connected("tcp") as (stream, peer):
            reset(peer)
            with pytest.raises(ConnectionResetError):
                await stream.receive()
            await stream.aclose()

    run(main, loop)


def test_a_transport_that_comes_too_late_is_aborted() -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            stream = await aio.open_unix_connection(sock=ours)
            link = TransportLink(stream, ours, asyncio.get_running_loop())
            stream.abort()

            class Late:
                aborted = False

                def abort(self) -> None:
                    self.aborted = True

            late: Any = Late()
            link.connection_made(late)
            assert late.aborted
            # Nothing of it is used, whatever asyncio still says.
            link.pause_writing()
            link.resume_writing()
            link.send(None)  # type: ignore[arg-type]
            assert link.is_drained()

    run(main)


@pytest.mark.parametrize("loop", LOOPS)
def test_what_had_come_before_sending_failed_is_received(loop: str) -> None:
    async def main() -> None:
        async with connected("tcp", limit=10) as (stream, peer):
            sending = asyncio.ensure_future(stream.send(MUCH))
            await peer.send(b"0123456789 and more than the limit")
            await until(lambda: len(stream.buffer) == 10)
            await peer.flush()
            reset(peer)
            with pytest.raises(ConnectionError):
                await sending
            assert await stream.take(20) == b"0123456789 and more "
            assert await stream.take(14) == b"than the limit"
            with suppress(ConnectionError):
                assert not await stream.receive()

    run(main, loop)


def test_a_context_of_tls_is_known() -> None:
    async def main() -> None:
        async with connected("tls") as (stream, _):
            assert stream.get_extra_info("sslcontext") is client_context()

    run(main)


@pytest.mark.parametrize("later", [0, 1], ids=["in the callback", "later"])
@pytest.mark.parametrize("way", WAYS)
def test_what_is_put_into_the_buffer_counts(way: str, later: int) -> None:
    kind, loop = way.split("-")

    async def main() -> None:
        async with connected(kind, limit=10) as (stream, peer):
            await peer.send(b"abc")
            await stream.receive()
            await turns(later)
            stream.buffer.append(bytes(20))
            await peer.send(b"def")
            await turns(20)
            assert await stream.take(23) == b"abc" + bytes(20)
            assert await stream.take(3) == b"def"

    run(main, loop)


@pytest.mark.parametrize("loop", ["asyncio", "unwatched"])
def test_a_link_may_outlive_its_loop(loop: str) -> None:
    async def main() -> aio.Stream:
        ours, theirs = socket.socketpair()
        theirs.close()
        return await aio.open_unix_connection(sock=ours)

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        stream = runner.run(main())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of asyncio's transport, which nobody closed
        stream.abort()
        del stream
        gc.collect()


def test_what_cannot_be_discarded_has_ended() -> None:
    async def main() -> None:
        async with connected("tcp") as (stream, _):
            link = stream._link
            assert isinstance(link, SocketLink)
            stream.abort()
            assert not link._discard()
            link.abort()  # again: nothing
            link.resume()

    run(main)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_peer_that_reads_slowly_and_sends_later_gets_all(loop: str) -> None:
    async def main() -> None:
        async with connected("tcp", limit=1000) as (stream, peer):
            raw(stream).setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
            raw(peer).setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            await stream.send(MUCH[: 1 << 20])
            closing = asyncio.ensure_future(stream.aclose())
            await turns(20)
            await peer.send(b"another question")
            await peer.flush()
            assert await peer.take(1 << 20) == MUCH[: 1 << 20]
            assert not await peer.receive()
            await peer.aclose()
            await closing

    run(main, loop)


def test_where_nobody_tells_what_is_on_its_way_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)

    async def main() -> None:
        async with connected("tcp") as (stream, peer):
            await stream.send(b"x")
            await stream.aclose()
            assert await peer.take(1) == b"x"

    run(main)
