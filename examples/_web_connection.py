"""A connection of a server: requests come in, answers go out, and neither outruns the other."""

from __future__ import annotations

import selectors
import socket
import struct
import time
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, final

from bytebufs import Outbox

from ._web_answer import answer_to, refusal_of
from ._web_files import Site
from ._web_request import Refused, Requests

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
    """Without taking a byte of the answer."""
    idle: float = 15
    """Between an answer and the next request."""
    linger: float = 2
    """To read the last answer and hang up. Closed earlier, with bytes unread, it would be told of a reset instead."""
    grace: float = 10
    """For what is being sent when the server is to stop."""


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
        self._phase: Phase = "head"
        self._is_taking = True  # requests
        self._has_ended = False  # the client sends no more
        self.is_done = False

    @property
    def events(self) -> int:
        """What to wait for."""
        reads = self._phase == "linger" or (self._may_take and not self._has_ended)
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
            self._answer()  # what had to wait for room
        if not self._is_taking and not self._outbox.pending:
            self._part()
        phase = self._phase_now()
        if sent or phase != self._phase:
            self._phase = phase
            self.deadline = time.monotonic() + getattr(self._limits, phase)

    def _receive(self) -> None:
        try:
            data = self.sock.recv(CHUNK)
        except BlockingIOError:
            return
        if not data:
            self._has_ended = True
        elif self._is_taking:
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
                answer = answer_to(request, self._site)
            self._queued += 1
            self._outbox.put(answer.message, on_sent=self._one_sent)
            self._is_taking = not answer.closes

    def _one_sent(self) -> None:
        self._queued -= 1

    def _part(self) -> None:
        if self._has_ended:
            self.is_done = True
        elif self._phase != "linger":
            self.sock.shutdown(socket.SHUT_WR)

    def _phase_now(self) -> Phase:
        if self._outbox.pending:
            return "send"
        if not self._is_taking:
            return "linger"
        return "head" if self._requests.is_within_one else "idle"

    def stop(self) -> None:
        """Take no more requests."""
        self._is_taking = False
        self.is_done = self.is_done or not self._outbox.pending

    def close(self, *, at_once: bool = False) -> None:
        """Close the connection and its files. ``at_once``: what is on its way to who does not read is dropped, too."""
        is_stuck = at_once and self._outbox.pending
        self._outbox.close()
        if is_stuck:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
