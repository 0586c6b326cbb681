"""The proxy: one request of a client after another, until one side has had enough.

A client is told what went wrong as long as it has not been sent the head of an answer. Afterwards it sees the answer
end too early: fewer bytes than announced, no last chunk, and where only the end of the connection would end the answer,
a reset in place of that.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from email.utils import formatdate
from http import HTTPStatus
from typing import Final, final

from bytebufs import LimitExceeded, Reader, Underrun, aio

from ..http.syntax import Field
from ..web.refused import Refused
from .exchange import Exchange
from .fields import lines_of
from .heads import Request, read_request, take_head
from .limits import Limits, Patience
from .upstreams import Upstreams
from .waiting import GONE, Failed, Side

__all__ = ["Proxy"]

_BACKLOG: Final = 1024
_RESET: Final = struct.pack("ii", 1, 0)
"""To linger for no time: what is closed is reset (socket(7))."""


@final
class Proxy:
    """Forwards to one server behind. ``log`` gets a line for each request."""

    def __init__(
        self, upstream: tuple[str, int], limits: Limits, patience: Patience, log: Callable[[str], object]
    ) -> None:
        self.upstreams: Final = Upstreams(upstream, limits, patience)
        self._limits = limits
        self._patience = patience
        self._log = log
        self._clients = 0
        self._is_closing: Callable[[], bool] = lambda: False

    async def start(self, host: str, port: int) -> aio.Server:
        """Listen, and serve until the server is closed. Then ``close()`` the proxy, too."""
        limits = self._limits
        server = await aio.start_server(
            self._serve,
            host,
            port,
            limit=limits.window,
            high=limits.high,
            low=limits.low,
            close_timeout=self._patience.send_time,
            connections=limits.connections + limits.refused,
            backlog=_BACKLOG,
        )
        self._is_closing = lambda: not server.is_serving()
        return server

    def close(self) -> None:
        """Close the connections to the server behind that wait."""
        self.upstreams.close()

    async def _serve(self, stream: aio.Stream) -> None:
        patience = self._patience
        client = Side(
            stream, "client", sends=patience.body_time, takes=patience.send_time, cut=400, late=408, lost=GONE
        )  # fmt: skip
        self._clients += 1
        try:
            if self._clients > self._limits.connections:
                refused = Refused(503, ("Retry-After", "1"), why=f"there are {self._limits.connections} clients")
                self._tell(None, 503, await self._say(client, refused, None, keeps=False), 0.0, refused.why)
            else:
                coming = stream.messages(_begins)
                while await self._has_begun(coming) and await self._one(client):
                    pass
            await self._part(client)
        except Failed:
            pass  # the client has gone, and was told what there was to tell
        finally:
            self._clients -= 1

    async def _has_begun(self, coming: AsyncIterator[bool]) -> bool:
        """Wait for the first byte of a request. False: there is none."""
        try:
            async with asyncio.timeout(self._patience.idle_time):
                while not (first := await anext(coming, None)):
                    if first is None:
                        return False
        except (OSError, Underrun):  # it has gone, or has been here for long enough
            return False
        return True

    async def _one(self, client: Side) -> bool:
        """Serve a request that has begun. False: no other one follows."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        request: Request | None = None
        exchange: Exchange | None = None
        status, nbytes, why = 0, 0, "the proxy has ended"
        try:
            request = await self._request(client)
            exchange = Exchange(
                request, client, _address_of(client), self.upstreams, self._limits, self._patience, self._is_closing
            )  # fmt: skip
            await exchange.run()
            why = ""
            return exchange.keeps_alive
        except Refused as refused:
            status, why = refused.status, refused.why
            if status == GONE or (exchange is not None and exchange.status):
                await _cut(client, is_marked=status != GONE and exchange is not None and exchange.is_marked)
                return False
            keeps = exchange is not None and exchange.is_uploaded and exchange.may_keep
            nbytes = await self._say(client, refused, request, keeps=keeps)
            return keeps
        finally:
            if exchange is not None and exchange.status:
                status, nbytes = exchange.status, exchange.nbytes
            self._tell(request, status, nbytes, loop.time() - began, why)

    async def _request(self, client: Side) -> Request:
        limit, seconds = self._limits.head, self._patience.head_time
        try:
            async with asyncio.timeout(seconds):
                head = await take_head(client, limit, seconds=seconds)
        except TimeoutError:
            raise Refused(408, why=f"a head that takes longer than {seconds:g} s") from None
        except LimitExceeded:
            is_line = client.stream.buffer.find(b"\n", 0, limit) < 0
            raise Refused(414 if is_line else 431, why=f"a head of more than {limit} bytes") from None
        return read_request(head or "", self._limits)

    async def _say(self, client: Side, refused: Refused, request: Request | None, *, keeps: bool) -> int:
        """Answer in the name of the proxy, and return how many bytes the body has."""
        text = f"{refused.status} {HTTPStatus(refused.status).phrase}: {refused.why}\n".encode("ascii", "replace")
        fields: list[Field] = [
            ("Date", formatdate(usegmt=True)),
            *refused.fields,
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(text))),
        ]
        if not keeps:
            fields.append(("Connection", "close"))
        elif request is not None and request.version == "HTTP/1.0":
            fields.append(("Connection", "keep-alive"))
        if request is not None and request.method == "HEAD":
            text = b""
        start = f"HTTP/1.1 {refused.status} {HTTPStatus(refused.status).phrase}"
        await client.put(lines_of(fields, start) + text)
        return len(text)

    async def _part(self, client: Side) -> None:
        """End the connection: what the client still sends is thrown away, for a while, so that it reads our answer."""
        stream = client.stream
        if stream.state != "open":
            return
        await client.end()
        with suppress(OSError):
            async with asyncio.timeout(self._patience.linger_time):
                stream.buffer.clear()
                while await stream.receive():
                    stream.buffer.clear()

    def _tell(self, request: Request | None, status: int, nbytes: int, seconds: float, why: str) -> None:
        words = "- -" if request is None else f"{request.method} {request.target}"
        line = f"{words} {status or '-'} {nbytes} {seconds:.3f}{f' {why}' if why else ''}"
        self._log(line.encode("ascii", "backslashreplace").decode())


def _begins(r: Reader) -> bool:
    """Whether a request begins here: an empty line before it is passed over (RFC 9112, section 2.2)."""
    if r.peek_u8() == 0x0D and r.peek(2) == b"\r\n":
        r.skip(2)
        return False
    return True


async def _cut(client: Side, *, is_marked: bool) -> None:
    """Close a connection in the middle of an answer: by a reset, if it would look whole, or if nobody reads it."""
    stream = client.stream
    if is_marked:
        with suppress(OSError):
            await stream.aclose()
        return
    sock: socket.socket = stream.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    stream.abort()


def _address_of(client: Side) -> str:
    peer = client.stream.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) else "unknown"
