"""One exchange: a request goes to the server behind, and its answer to the client, both at a time.

    client --- head --->  upload, a task of its own if there is a body  ---> server behind
           <-- answer --  relayed as it comes, by the task of the client ---

1. The answer may come before the body of the request has gone: it is relayed at once, and when it ends, the rest of
   the body is not waited for. Both connections end then, as nobody knows what follows.
2. Whose turn it is has its time: the client's while a body comes, the server's behind afterwards, or while the client
   waits for 100.
3. A request that may be repeated takes a connection that waits, and a new one if nothing comes on that but its end. Any
   other gets a new one at once: so it never fails because a connection was old (RFC 9110, section 9.2.2).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import final

from bytebufs import LimitExceeded, aio

from ..http.syntax import CHUNKED, UNTIL_CLOSE
from ..web.refused import Refused
from .body import Body, relay
from .fields import answer_head, request_head
from .heads import Answer, Request, read_answer, take_head
from .limits import Limits, Patience
from .tunnel import Tunnel
from .upstreams import Upstreams
from .waiting import Failed, Side

__all__ = ["Exchange"]


class _NotHeard(Exception):
    """A connection that had waited was over."""


@final
class Exchange:
    """A request, and how far its answer is."""

    def __init__(
        self,
        request: Request,
        client: Side,
        peer: str,
        upstreams: Upstreams,
        limits: Limits,
        patience: Patience,
        is_closing: Callable[[], bool],
    ) -> None:
        self.request = request
        self.status = 0
        """Of the answer; 0 until its head has been sent."""
        self.is_marked = True
        """Whether the client sees where the answer ends, before the connection does."""
        self.is_uploaded = not request.framing
        """Whether all of the request has been taken, so that another one may follow."""
        self.keeps_alive = False
        """Whether the client's connection stays, once all has gone well."""
        self._client = client
        self._peer = peer
        self._upstreams = upstreams
        self._limits = limits
        self._patience = patience
        self._is_closing = is_closing
        self._loop = asyncio.get_running_loop()
        self._upload: Body | None = None
        self._download: Body | Tunnel | None = None
        self._is_uploading = False
        self._is_heard = False  # anything of the answer

    @property
    def nbytes(self) -> int:
        """Bytes of the answer's body that have come."""
        return 0 if self._download is None else self._download.nbytes

    @property
    def may_keep(self) -> bool:
        """Whether both sides would keep the client's connection: while the proxy closes, for requests that have come.

        The answer to the last of them says that it ends.
        """
        return self.request.keeps_alive and not (self._is_closing() and not self._client.stream.buffer)

    async def run(self) -> None:
        """Do it. Raises Refused: the answer if ``status`` is 0 yet, else the client has a part of another one."""
        head = request_head(self.request, self._peer, self._upstreams.name)
        waiting = self._upstreams.take() if self.request.is_repeatable else None
        if waiting is not None:
            try:
                return await self._use(waiting, head)
            except _NotHeard:
                pass
        try:
            await self._use(await self._upstreams.connect(), head)
        except _NotHeard:
            raise Refused(502, why="the server behind has ended without an answer") from None

    async def _use(self, stream: aio.Stream, head: bytes) -> None:
        """Send and answer by a connection, which waits for the next request then, or is closed."""
        patience = self._patience
        upstream = Side(
            stream, "server behind", sends=patience.body_time, takes=patience.send_time, cut=502, late=504, lost=502
        )
        is_reusable = False
        try:
            await upstream.put(head)
            if self.is_uploaded:
                is_reusable = await self._answer(upstream)
            else:
                async with asyncio.TaskGroup() as group:
                    upload = group.create_task(self._send_body(upstream))
                    is_reusable = await self._answer(upstream)
                    upload.cancel()
        except BaseExceptionGroup as group_of_one:
            raise group_of_one.exceptions[0] from None
        finally:
            if is_reusable and self.is_uploaded:
                self._upstreams.put(stream)
            else:
                stream.abort()

    # -- the request

    async def _send_body(self, upstream: Side) -> None:
        body = Body(
            self._client, self.request.framing, self._limits, most=self._limits.body, moved=self._others_turn
        )  # fmt: skip
        self._is_uploading = True
        try:
            await relay(body, upstream, chunked=self.request.framing == CHUNKED)
            self.is_uploaded = True
        except Failed as failed:
            if failed.side is not upstream:
                raise
            # It wants no more, which it may say in its answer.
        finally:
            self._is_uploading = False

    def _is_clients_turn(self) -> bool:
        # With the answer under way it may send no more: it need not, if it was refused.
        return self._is_uploading and not self.status and (self._is_heard or not self.request.expects)

    def _others_turn(self) -> float:
        """Go on while it is not the client's turn."""
        return 0 if self._is_clients_turn() else self._loop.time()

    def _clients_turn(self) -> float:
        """Go on while it is the client's turn."""
        return self._loop.time() if self._is_clients_turn() else 0

    # -- the answer

    async def _answer(self, upstream: Side) -> bool:
        """Relay the answer. False: the connection cannot be used again."""
        client, request = self._client, self.request
        while (answer := await self._next_head(upstream)).status < 200:
            if answer.status == 101:
                return await self._switch(answer, upstream)
            if request.version != "HTTP/1.0":  # which knows no such answers (RFC 9110, section 15.2)
                await client.put(answer_head(answer, request, keeps=True))
        self.is_marked = answer.framing != UNTIL_CLOSE and (answer.framing != CHUNKED or request.version != "HTTP/1.0")
        keeps = self.is_uploaded and self.is_marked and self.may_keep
        body = self._download = Body(upstream, answer.framing, self._limits)
        self.status = answer.status
        await client.put(answer_head(answer, request, keeps=keeps))
        await relay(body, client, chunked=answer.framing == CHUNKED and self.is_marked)
        self.keeps_alive = keeps
        return answer.keeps_alive and answer.framing != UNTIL_CLOSE

    async def _next_head(self, upstream: Side) -> Answer:
        try:
            head = await take_head(
                upstream, self._limits.head, seconds=self._patience.answer_time, moved=self._clients_turn
            )
        except LimitExceeded:
            raise Refused(502, why=f"the answer has a head of more than {self._limits.head} bytes") from None
        except Failed as failed:
            if failed.status == 502 and not self._is_heard and not upstream.stream.buffer:
                raise _NotHeard from None
            raise
        if head is None:
            if self._is_heard:
                raise upstream.cut_off("before its last answer")
            raise _NotHeard
        self._is_heard = True
        return read_answer(head, self._limits, self.request.method)

    async def _switch(self, answer: Answer, upstream: Side) -> bool:
        """Go over to another protocol (RFC 9110, section 7.8)."""
        if self.request.upgrade is None:
            raise Refused(502, why="the server behind has switched to a protocol that nobody asked for")
        self.status = 101
        self.is_marked = False
        await self._client.put(answer_head(answer, self.request, keeps=True))
        tunnel = self._download = Tunnel(self._client, upstream, self._patience.tunnel_time)
        await tunnel.run()
        return False
