"""A connection that is sent more than there is memory for, beside one that is not: only the first one fails.

    python -m tests.faults.starved_streams {server|client}

Prints nothing.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from typing import Any, Final

from bytebufs import Pool
from bytebufs.aio import Stream, open_connection, start_server

from ..memory import address_space_for

SIZE: Final = 48 << 20
ROOM: Final = 8 << 20


async def receive_all(stream: Stream) -> int:
    while await stream.receive():
        pass
    return len(stream.buffer)


def pour(sock: socket.socket, begin: threading.Event, end: threading.Event) -> None:
    block = bytes(1 << 16)
    begin.wait()
    try:
        for _ in range(SIZE // len(block)):
            sock.sendall(block)
    except ConnectionError:
        pass
    end.wait()
    sock.close()


async def main(who: str) -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    errors: list[BaseException] = []
    begin, end = threading.Event(), threading.Event()
    failed = asyncio.Event()
    stream: Stream | None = None

    async def echo(stream: Stream) -> None:
        if (await stream.take(1)) == b"m":
            try:
                await receive_all(stream)
            except MemoryError as error:
                errors.append(error)
                stream.buffer._check()
                failed.set()
                raise
        await stream.send(b"answer")

    async with (
        asyncio.timeout(60),
        await start_server(echo, "127.0.0.1", 0, limit=SIZE + 1, pool=Pool(1 << 20)) as server,
    ):
        address = server.sockets[0].getsockname()
        if who == "server":
            greedy = socket.create_connection(address)
            greedy.send(b"m")
        else:
            with socket.create_server(("127.0.0.1", 0)) as listener:
                stream = await open_connection(*listener.getsockname(), limit=SIZE, pool=Pool(1 << 20))
                greedy, _ = listener.accept()
        pouring = threading.Thread(target=pour, args=(greedy, begin, end))
        pouring.start()
        await asyncio.sleep(0)
        try:
            with address_space_for(ROOM):
                begin.set()
                if stream is None:
                    await failed.wait()
                else:
                    await receive_all(stream)
        except MemoryError as error:
            errors.append(error)
        finally:
            begin.set()
            end.set()
        assert [type(error) for error in errors] == [MemoryError], errors
        if stream is not None:
            stream.buffer._check()
            stream.abort()
        async with await open_connection(*address) as other:
            await other.send(b"o")
            assert await other.take(6) == b"answer"
        await asyncio.to_thread(pouring.join)
    assert len(reported) == (who == "server"), reported


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
