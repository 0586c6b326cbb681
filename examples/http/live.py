"""Messages as they pass: a relay of TCP connections that hands on what comes, and looks on.

    Relay      who listens, and how all of it ends
    _Passage   a client, the server it wanted, and the bytes between them: each read is a slice, sent as it is
    Watcher    what a connection says, by the parsers that captures are read with; it never waits, and may give up

What a watcher keeps is bounded, whatever comes: the front of a body beyond MOST_BODY is let go of, bytes that wait for
the other direction beyond MOST_WAITING are taken by their looks, and beyond MOST_OPEN messages it looks on no more.
Pieces of less than SMALL bytes are copied, as each would keep a block of what was received.
"""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import os
import signal
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeAlias, final

from bytebufs import SliceBuffer
from bytebufs.aio import Stream, open_connection, start_server

from ..addresses import Address
from .exchange import Exchange
from .message import Leftover, Message, Shed
from .packets import endpoints
from .reassembly import Counts, Found, Moment
from .report import Wanted
from .tcp import Ending

__all__ = ["Complain", "Relay", "Show", "Watcher"]

CONNECTIONS: Final = 1000
"""At a time; others wait with the system."""
GRACE: Final = 10.0
"""Seconds in which what is under way may end when the relay is to stop."""
FIRST: Final = 1.0
"""Of these, seconds for a client to say its first word."""
LOOK: Final = 0.5
"""Seconds between looks at whether who has said its last word is still there: nothing else tells of its reset."""
LAST: Final = 2.0
"""Seconds for one side to take what the other said before it was reset."""

MOST_BODY: Final = 64 << 10
MOST_PARTS: Final = 256
"""Bytes, and parts, of a body that are kept until the next read."""
MOST_WAITING: Final = 64 << 10
"""Bytes that wait to be understood: of a client that wants another protocol, until the server has agreed."""
MOST_OPEN: Final = 256
"""Requests without an answer, and answers to requests that have not ended: pipelines are seldom longer than 100."""
SMALL: Final = 1024
"""A sixty-fourth of a block: what is kept pins no more than that many times its size."""

Show: TypeAlias = Callable[[Found], None]
Complain: TypeAlias = Callable[[str], None]


@final
class Watcher:
    """What the two sides of a connection say."""

    def __init__(self, stream: int, flow: bytes, show: Show, shed: Callable[[], Shed] = Shed) -> None:
        """Begin. `shed` makes what takes the fronts of bodies that are not kept."""
        self.exchange = Exchange(self._tell, joins=lambda _: False, watch=self._watch)
        self._stream = stream
        self._flow = flow
        self._ends = endpoints(flow)
        self._show = show
        self._new_shed = shed
        self._waiting = [0, 0]
        self._is_asked = False
        self._ended = [False, False]
        self._place = 0
        self._left = [0, 0]
        self.given_up = ""
        """Why it looks on no more."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way: nobody waits for an answer, as far as can be told."""
        exchange = self.exchange
        return not self.given_up and not exchange.open and all(parser.is_between for parser in exchange.parsers)

    @property
    def has_begun(self) -> bool:
        """Whether any byte has come."""
        return any(parser.fed for parser in self.exchange.parsers)

    def feed(self, side: int, part: SliceBuffer) -> None:
        """Take in what a side has sent. Complexity: linear in all bytes fed."""
        if self.given_up:
            return
        parser = self.exchange.parsers[side]
        parser.feed(part if len(part) > SMALL else SliceBuffer(part.tobytes()))
        for one in self.exchange.parsers:
            self._shed(one.current)
        self._waiting[side] = self._waiting[side] + len(part) if parser.waits else 0
        if self._waiting[side] > MOST_WAITING:
            while self._is_asked and parser.waits:
                self._is_asked = False
                self.exchange.overdue()
            self._waiting[side] = 0
        if self.exchange.open > MOST_OPEN:
            self.give_up(f"more than {MOST_OPEN} messages wait for others")

    def end(self, side: int, ending: Ending) -> None:
        """Take in that a side says no more."""
        if not self._ended[side] and not self.given_up:
            self._ended[side] = True
            self.exchange.parsers[side].end(ending)

    def give_up(self, why: str) -> None:
        """Tell what there is, and look on no more."""
        for side in (0, 1):
            self.end(side, Ending.CUT)
        self.given_up = why

    def _shed(self, message: Message | None) -> None:
        if message is not None and (len(message.body) > MOST_BODY or message.body.part_count > MOST_PARTS):
            if message.shed is None:
                message.shed = self._new_shed()
            message.shed.take(message.body)

    def _watch(self) -> None:
        self._is_asked = True

    def _tell(self, side: int, what: Message | Leftover) -> None:
        self._place += 1
        src, dst = self._ends if side == 0 else self._ends[::-1]
        moment = Moment(self._place, False, (self._stream, 0), self._place)  # noqa: FBT003  # a field
        found = Found(what, self._stream, self._flow, src, dst, moment)
        if isinstance(what, Message):
            found.before, self._left[side] = self._left[side], 0
        else:
            self._left[side] += what.nbytes
        self._show(found)
        if isinstance(what, Message):  # a request is asked for by its answer, but these are not
            what.head.clear()
            what.body.clear()
            if what.shed is not None:
                what.shed.discard()


@final
class Relay:
    """Listens, and connects each client with the server that it is to have."""

    def __init__(self, to: Address, show: Show, complain: Complain, wanted: Wanted, spool: Path | None) -> None:
        """Begin. `show` is given what passes, `complain` what is wrong; `spool` is a folder for bodies, if any."""
        self.counts = Counts()
        self.is_stopping = False
        self.to = to
        self.complain = complain
        self._show = show
        self._wanted = wanted
        self._spool = spool
        self._numbers = itertools.count()
        self._files = itertools.count()
        self._passages: set[_Passage] = set()
        self._stop = asyncio.Event()
        self._failure: Exception | None = None

    async def run(self, listen: Address, announce: Callable[[Address], None]) -> None:
        """Relay until SIGTERM or SIGINT, or until nothing can be shown any more: that error is raised."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        async with await start_server(self._serve, *listen, connections=CONNECTIONS) as server:
            for sock in server.sockets:
                announce(Address(*sock.getsockname()[:2]))
            await self._stop.wait()
            for passage in self._passages:
                passage.look()
            await server.close(grace=GRACE)
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Let `run` end, once what is under way has ended."""
        self.is_stopping = True
        self._stop.set()

    def show(self, found: Found) -> None:
        """Show what has passed; if that cannot be done, end."""
        try:
            if self._failure is None:
                self._show(found)
        except Exception as error:  # noqa: BLE001  # it is raised where somebody waits for it
            self._failure = error
            self.stop()

    async def _serve(self, client: Stream) -> None:
        flow = _flow_of(client)
        if flow is None:
            return  # it has gone again
        number = next(self._numbers)
        watcher = Watcher(number, flow, self.show, self._new_shed)
        passage = _Passage(self, number, client, watcher)
        self._passages.add(passage)
        try:
            await passage.run()
        finally:
            watcher.give_up("it is over")
            self._passages.discard(passage)
            self.counts.add(Counts.of(watcher.exchange))

    def _new_shed(self) -> Shed:
        path = None if self._spool is None else self._spool / f".{next(self._files)}.passing"
        return Shed(path, digests=self._wanted.json)


@final
class _Passage:
    """A client and its server. What one says the other is told: bytes, that no more comes, and resets."""

    def __init__(self, relay: Relay, number: int, client: Stream, watcher: Watcher) -> None:
        self._relay = relay
        self._number = number
        self._client = client
        self._watcher = watcher
        self._patience: asyncio.Timeout | None = None
        self._is_over = False
        self._ended = asyncio.Event(), asyncio.Event()

    async def run(self) -> None:
        """Relay until both have ended, or one has gone."""
        try:
            server = await open_connection(*self._relay.to)
        except OSError as error:
            self._relay.complain(f"stream {self._number}: {self._relay.to}: {error}")
            _reset(self._client)
            return
        async with server:
            try:
                async with asyncio.TaskGroup() as group:
                    answers = group.create_task(self._hand_on(server, self._client, 1))
                    await self._hand_on(self._client, server, 0)
                    if self._is_over:
                        answers.cancel()
            except* OSError:
                for side in (0, 1):
                    self._watch(self._watcher.end, side, Ending.RESET)
                _reset(server)
                _reset(self._client)

    async def _hand_on(self, source: Stream, target: Stream, side: int) -> None:
        try:
            while await (self._receive() if side == 0 else source.receive()):
                part = source.buffer.take(len(source.buffer))
                self._watch(self._watcher.feed, side, part)
                await target.send(part)
                self.look()
        except OSError:
            with suppress(OSError):  # what was said before is to be heard
                async with asyncio.timeout(LAST):
                    await target.flush()
            raise
        if not self._is_over:
            self._watch(self._watcher.end, side, Ending.CLOSED)
            await target.send_eof()
            await self._until_both_ended(source, side)

    async def _until_both_ended(self, source: Stream, side: int) -> None:
        """Wait for the other side's end. Raises OSError if the one that has ended is reset before."""
        self._ended[side].set()
        other = self._ended[1 - side]
        while not other.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await other.wait()
            error = source.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, os.strerror(error))

    async def _receive(self) -> bool:
        """Wait for more from the client. False: it has ended, or the relay is to stop and nothing is under way."""
        try:
            async with asyncio.timeout(None) as self._patience:
                self.look()
                return await self._client.receive()
        except TimeoutError:
            if self._patience is None or not self._patience.expired():
                raise  # the system's
            self._is_over = not self._client.buffer
            return not self._is_over
        finally:
            self._patience = None

    def look(self) -> None:
        """If the relay is to stop, and nothing is under way, wait no longer: for a first word, a moment."""
        patience = self._patience
        if self._relay.is_stopping and patience is not None and not patience.expired() and self._watcher.is_idle:
            moment = 0 if self._watcher.has_begun else FIRST
            patience.reschedule(asyncio.get_running_loop().time() + moment)

    def _watch(self, what: Callable[..., None], *given: Any) -> None:
        """Tell the watcher, whom nobody waits for and whose failure is no one else's."""
        before = self._watcher.given_up
        try:
            what(*given)
        except Exception as error:  # noqa: BLE001  # whatever it is, bytes go on
            self._watcher.given_up = f"{type(error).__name__}: {error}"
        if self._watcher.given_up != before:
            self._relay.complain(f"stream {self._number} is not shown any further: {self._watcher.given_up}")


def _reset(stream: Stream) -> None:
    """Close a connection by a RST: with SO_LINGER at 0 seconds (socket(7))."""
    with suppress(OSError):
        sock = stream.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.abort()


def _flow_of(client: Stream) -> bytes | None:
    """Return the addresses and ports of both ends as captures have them."""
    ends = [client.get_extra_info(name) for name in ("peername", "sockname")]
    if None in ends:
        return None
    addresses = [ipaddress.ip_address(host.partition("%")[0]).packed for host, *_ in ends]
    return b"".join(addresses) + b"".join(port.to_bytes(2, "big") for _, port, *_ in ends)
