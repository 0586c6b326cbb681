"""A connection of a server: requests come in, answers go out, and neither outruns the other."""

from __future__ import annotations

import selectors
import socket
import struct
import termios
import time
from dataclasses import dataclass
from fcntl import ioctl
from typing import Final, Literal, TypeAlias, final

from bytebufs import Outbox

from .answer import answer_to, refusal_of
from .files import Site
from .pace import Pace
from .refused import Refused
from .request import Requests

__all__ = ["Connection", "Limits"]

HIGH: Final = 64 << 10
LOW: Final = 16 << 10
CHUNK: Final = 16 << 10
MOST_QUEUED: Final = 8
"""Answers that wait: each has a descriptor. Pipelined requests beyond them are read later."""

Phase: TypeAlias = Literal["head", "send", "idle", "linger"]


@dataclass(frozen=True)
class Limits:
    """How many connections there may be at a time, and seconds that a client may take."""

    connections: int = 1000
    head: float = 10
    """From the first byte of a request to its last."""
    send: float = 30
    """Between two looks at what it has taken of the answer. Who takes nothing more is cut off by the third."""
    rate: float = 240
    """Bytes a second that it takes from look to look: an answer lasts no longer than its size through this. Kestrel
    asks as many of who reads (MinResponseDataRate), HTTP.sys 150 (MinSendBytesPerSecond).

    Taken is what the client's system has acknowledged: what its program has read, nobody knows. While the buffer there
    is full, that is seen only once half of it has been read, or a segment (RFC 9293, section 3.8.6.2.2).
    """
    idle: float = 15
    """Between an answer and the next request."""
    linger: float = 2
    """To read the last answer and hang up. Closed earlier, with bytes unread, it would be told of a reset instead."""
    grace: float = 10
    """For what has come when the server is to stop, and what is being sent then."""
    first: float = 1
    """Of these, for who has connected and said nothing yet."""


@final
class Connection:
    """A client. Requests are answered in order, and no faster than it takes the answers."""

    def __init__(self, sock: socket.socket, site: Site, limits: Limits) -> None:
        self.sock = sock
        self.deadline = time.monotonic() + limits.head
        self._site = site
        self._limits = limits
        self._requests = Requests()
        self._outbox = Outbox(HIGH, LOW)
        self._queued = 0
        self._sent = 0  # to the system
        self._phase: Phase = "head"
        self._pace = Pace(0, 0)
        self._is_taking = True  # requests
        self._is_new = True  # it has said nothing yet
        self._is_stopping = False
        self._has_ended = False  # the client sends no more
        self._has_parted = False  # nor do we
        self._is_held = False  # the system has bytes of answers that the client has not taken, as of the last look
        self._is_stuck = False
        self.is_done = False

    @property
    def events(self) -> int:
        """What to wait for."""
        reads = self._has_parted or (self._may_take and not self._has_ended)
        return selectors.EVENT_READ * reads | selectors.EVENT_WRITE * bool(self._outbox.pending)

    @property
    def _may_take(self) -> bool:
        return self._is_taking and not self._outbox.paused and self._queued < MOST_QUEUED

    def turn(self, events: int) -> None:
        """Read once, answer what has come, and send one turn. Raises OSError if the client, or a file, has gone."""
        if events & selectors.EVENT_READ:
            self._receive()
        self._answer()
        sent = self._outbox.flush(self.sock) if self._outbox.pending else 0
        if sent:
            self._sent += sent
            self._answer()  # what had to wait for room
        if self._is_stopping:
            self._take_leave()
        if not self._is_taking and not self._outbox.pending:
            self._part()
        phase = self._phase_now()
        if phase != self._phase or (sent and phase != "send"):
            self._enter(phase, time.monotonic())

    def is_late(self, now: float) -> bool:
        """Tell whether its time is up, when the deadline has come. If not, there is a new one.

        Until the client has taken the last answer its time for other things has not begun: while it reads steadily what
        the system holds for it, megabytes sometimes, it is neither idle nor lingering.
        """
        if self._phase == "head":
            return True
        untaken = self._untaken()
        self._is_held = untaken > 0
        phase = self._phase_now()
        if phase != self._phase:
            self._enter(phase, now)
            return False
        if phase != "send":
            return True
        self._is_stuck = not self._pace.is_kept(self._sent - untaken)
        self.deadline = now + self._limits.send
        return self._is_stuck

    def _enter(self, phase: Phase, now: float) -> None:
        self._phase = phase
        self.deadline = now + getattr(self._limits, phase)
        if phase == "send":
            self._pace = Pace(int(self._limits.rate * self._limits.send), self._sent - self._untaken())

    def _untaken(self) -> int:
        """Return the bytes of answers that the client's system has not acknowledged (SIOCOUTQ, tcp(7))."""
        count: int = struct.unpack("i", ioctl(self.sock, termios.TIOCOUTQ, bytes(4)))[0]
        return count

    def _receive(self) -> None:
        try:
            data = self.sock.recv(CHUNK)
        except BlockingIOError:
            return
        if not data:
            self._has_ended = True
        elif self._is_taking:
            self._is_new = False
            self._requests.buffer.append(data)

    def _answer(self) -> None:
        while self._may_take:
            try:
                request = self._requests.take()
            except Refused as refused:
                answer = refusal_of(refused)
            else:
                if request is None:
                    self._is_taking = not self._has_ended
                    return
                request.is_last = self._is_stopping and not self._requests.buffer
                answer = answer_to(request, self._site)
            self._queued += 1
            self._outbox.put(answer.message, on_sent=self._one_sent)
            self._is_taking = not answer.closes

    def _one_sent(self) -> None:
        self._queued -= 1

    def _part(self) -> None:
        if self._has_ended:
            self.is_done = True
        elif not self._has_parted:
            self._has_parted = True
            self.sock.shutdown(socket.SHUT_WR)

    def _phase_now(self) -> Phase:
        if self._outbox.pending or self._is_held:
            return "send"
        if not self._is_taking:
            return "linger"
        return "head" if self._requests.is_within_one else "idle"

    def stop(self) -> None:
        """Answer what has come, and take no more. Raises OSError as `turn`.

        The last answer says so. Who is within a request has the time for it, and who is new a moment for his first.
        """
        self._is_stopping = True
        self.turn(0)
        if self._is_new:
            self.deadline = min(self.deadline, time.monotonic() + self._limits.first)

    def _take_leave(self) -> None:
        """Take no more, once what has come is answered, unless the client has not said anything yet."""
        if self._may_take and not self._requests.is_within_one:
            self._receive()
            self._answer()
        if self._may_take and not self._requests.is_within_one and not self._is_new:
            self._is_taking = False

    def close(self) -> None:
        """Close the connection and its files. What is on its way is sent, but not to who has not taken it in time."""
        self._outbox.close()
        if self._is_stuck:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
