"""`write()`: buffers through the StreamWriters and transports of asyncio itself."""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING, Any, Final

import pytest

from bytebufs import ClosedError, CompositeBuffer, FileRegion, SliceBuffer, TruncatedFile, aio
from bytebufs.aio import writing

from .loops import LOOPS, client_context, run, server_context

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

CONTENT: Final = bytes(range(251)) * 4000
OWN_LOOPS: Final = [loop for loop in LOOPS if loop != "unwatched"]  # there, asyncio's own sendfile fails half-way
WAYS: Final = [f"{kind}-{loop}" for kind in ("tcp", "tls") for loop in OWN_LOOPS]


async def turns(n: int = 5) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


async def talk(
    kind: str,
    ours: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, object]],
    theirs: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, object]],
) -> None:
    """Have two sides talk over a connection of asyncio's streams."""
    done = asyncio.get_running_loop().create_future()
    began = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        began.set()
        try:
            await theirs(reader, writer)
        except BaseException as error:  # noqa: BLE001  # whatever it is, it fails the test
            done.set_exception(error)
        else:
            done.set_result(None)
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_context() if kind == "tls" else None)
    host, port = server.sockets[0].getsockname()
    options: dict[str, Any] = {"ssl": client_context(), "server_hostname": "localhost"} if kind == "tls" else {}
    reader, writer = await asyncio.open_connection(host, port, **options)
    await began.wait()
    try:
        await ours(reader, writer)
        await done
    finally:
        writer.transport.abort()
        server.close()
        await turns(20)


def truncate(file: Path, size: int) -> None:
    file.write_bytes(CONTENT[:size])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


@pytest.mark.parametrize("by", ["writer", "transport"])
@pytest.mark.parametrize("way", WAYS)
def test_it_writes_every_kind_of_part(way: str, by: str, file: Path) -> None:
    kind, loop = way.split("-")
    whole = CompositeBuffer([b"before ", FileRegion(file), b" between ", FileRegion(file, 100, 70_000, stable=True)])
    expected = whole.tobytes() + b"buffer" + b"array" + CONTENT

    async def write(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = writer if by == "writer" else writer.transport
        await aio.write(target, whole)
        await aio.write(target, SliceBuffer(b"buffer"))
        await aio.write(target, memoryview(b"array").cast("b"))
        await aio.write(target, b"")
        await aio.write(target, FileRegion(file))
        assert await reader.readexactly(4) == b"done"

    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(len(expected)) == expected
        writer.write(b"done")
        await writer.drain()

    run(lambda: talk(kind, write, read), loop)


@pytest.mark.parametrize("loop", OWN_LOOPS)
def test_the_position_of_a_file_stays_where_it_is(loop: str, file: Path) -> None:
    with file.open("rb", buffering=0) as opened:
        opened.seek(1234)

        async def write(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await aio.write(writer, FileRegion(opened, 10, 500_000))
            assert opened.tell() == 1234

        async def read(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            assert await reader.readexactly(500_000) == CONTENT[10:500_010]

        run(lambda: talk("tcp", write, read), loop)


def test_a_buffer_is_written_as_it_is_at_the_call(file: Path) -> None:
    buffer = CompositeBuffer([FileRegion(file), b"end"])

    async def write(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writing = asyncio.ensure_future(aio.write(writer, buffer))
        await turns(1)
        buffer.clear()
        await writing

    async def read(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(len(CONTENT) + 3) == CONTENT + b"end"

    run(lambda: talk("tcp", write, read))


@pytest.mark.parametrize("what", ["open", "sendfile"])
def test_where_sendfile_is_not_to_be_had_it_reads(what: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = []

    def refuse(*_: Any, **__: Any) -> Any:
        refused.append(what)
        raise OSError(errno.EACCES, "no right") if what == "open" else asyncio.SendfileNotAvailableError

    async def write(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if what == "open":
            monkeypatch.setattr(writing, "open", refuse, raising=False)
        else:
            monkeypatch.setattr(asyncio.get_running_loop(), "sendfile", refuse)
        await aio.write(writer, FileRegion(file))
        assert refused == [what]

    async def read(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(len(CONTENT)) == CONTENT

    run(lambda: talk("tcp", write, read))


@pytest.mark.parametrize("way", WAYS)
def test_a_file_that_has_become_shorter_is_told_of(way: str, file: Path) -> None:
    kind, loop = way.split("-")

    async def write(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        region = FileRegion(file)
        truncate(file, 1000)
        with pytest.raises(TruncatedFile):
            await aio.write(writer, region)

    async def read(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        pass

    run(lambda: talk(kind, write, read), loop)


@pytest.mark.parametrize("stable", [True, False])
def test_a_file_that_becomes_shorter_meanwhile_is_told_of(
    stable: bool, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def write(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        region = FileRegion(file, stable=stable)
        monkeypatch.setattr(FileRegion, "_assert_whole", lambda *_: None, raising=True)
        truncate(file, 100_000)
        with pytest.raises(TruncatedFile, match="file"):
            await aio.write(writer, region)

    async def read(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(100_000) == CONTENT[:100_000]

    run(lambda: talk("tcp", write, read))


@pytest.mark.parametrize("way", WAYS)
def test_a_transport_that_closes_takes_nothing(way: str, file: Path) -> None:
    kind, loop = way.split("-")

    async def write(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()
        for target in (writer, writer.transport):
            for part in (b"x", FileRegion(file)):
                with pytest.raises(ClosedError, match="the transport"):
                    await aio.write(target, part)

    async def read(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        pass

    run(lambda: talk(kind, write, read), loop)


@pytest.mark.parametrize("way", WAYS)
def test_a_transport_that_is_closed_in_the_middle_takes_no_more(way: str, tmp_path: Path) -> None:
    kind, loop = way.split("-")
    large = tmp_path / "large"
    with large.open("wb") as made:
        made.truncate(64 << 20)

    async def write(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for target in (writer.transport, writer):
            waiting = asyncio.ensure_future(aio.write(target, FileRegion(large)))
            await turns(20)
            writer.transport.abort()
            with pytest.raises((ClosedError, ConnectionError, OSError)):
                await waiting

    async def read(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        pass

    run(lambda: talk(kind, write, read), loop)


@pytest.mark.parametrize("way", WAYS)
def test_it_may_be_cancelled(way: str, tmp_path: Path) -> None:
    kind, loop = way.split("-")
    large = tmp_path / "large"
    with large.open("wb") as made:
        made.truncate(64 << 20)
    released = asyncio.Event()

    async def write(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for target, stable in ((writer.transport, True), (writer.transport, False), (writer, False), (writer, True)):
            waiting = asyncio.ensure_future(aio.write(target, FileRegion(large, stable=stable)))
            await turns(100)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        released.set()

    async def read(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await released.wait()

    run(lambda: talk(kind, write, read), loop)


def test_what_is_no_part_is_refused() -> None:
    async def write(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with pytest.raises(TypeError):
            await aio.write(writer, "text")  # type: ignore[arg-type]

    async def read(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        pass

    run(lambda: talk("tcp", write, read))
