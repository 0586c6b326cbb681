"""Both directions of a connection: who asks and who answers, and which request each response belongs to.

Which side asks is told by the first start line. How a response is framed depends on its request, and what follows a
request for another protocol depends on its response: each waits for the other.

Which request a response answers is known by counting. Once a message may have been missed it is known by time: a
client that does not pipeline sends nothing before it has an answer. So of the requests that came since, those are due
between which the other side was silent. Where it was silent and requests may have been missed, those behind are not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeAlias, final

from .half import HalfParser
from .message import Kind, Leftover, Message
from .syntax import Framing, field_values, request_body, response_body

__all__ = ["Exchange", "Tell"]

Tell: TypeAlias = Callable[[int, "Message | Leftover"], None]
"""Takes in which side, 0 or 1, has sent what. A response comes after its request."""


@final
class Exchange:
    """The messages of a connection, whose sides are fed to `parsers`."""

    __slots__ = (
        *("_blurred", "_counts", "_due", "_ended", "_held", "_joins", "_progress", "_tell", "_waiting", "_watch"),
        *("_watched", "parsers"),
    )

    def __init__(self, tell: Tell, *, joins: Callable[[int], bool], watch: Callable[[], None]) -> None:
        """`joins` says whether the capture begins inside of what a side sends; `watch` is asked to call `overdue`."""
        self.parsers = HalfParser(self), HalfParser(self)
        self._tell = tell
        self._joins = joins
        self._watch = watch
        self._counts = True
        self._due: deque[Message] = deque()  # requests, whole or not, without a final response
        self._progress = 0  # of the side that answers, when the last of them came
        self._blurred = False  # whether requests may be missing behind those that are due
        self._held: deque[Message | Leftover] = deque()  # from the first response on to a request of which more comes
        self._ended: list[HalfParser] = []
        self._waiting: Message | None = None  # for a message of the other side
        self._watched: Message | None = None  # what waited when `watch` was called

    @property
    def is_http(self) -> bool:
        """Whether any message has come."""
        return self.parsers[0].kind is not None

    @property
    def open(self) -> int:
        """How many requests have no final response yet, and how many responses wait for the end of their requests."""
        return len(self._due) + len(self._held)

    def overdue(self) -> None:
        """Wait no longer for what was awaited when `watch` was called: it is not in the capture."""
        watched, self._watched = self._watched, None
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            return
        if waiting is not watched:
            self._wait(waiting)
            return
        self._counts = False
        for parser in self.parsers:
            parser.go_on()

    # -- what the parsers ask and tell

    def joins(self, half: HalfParser) -> bool:
        """Whether the capture begins inside of this direction."""
        return self._joins(self._side(half))

    def decide(self, half: HalfParser, kind: Kind) -> None:
        """Take in what a direction consists of."""
        half.kind = kind
        self._other(half).kind = "response" if kind == "request" else "request"

    def lose(self, half: HalfParser) -> None:
        """Take in that messages may be missing: from here on, counting does not tell what belongs together."""
        self._counts = False
        if half.kind == "request":
            if self._due and self._due[-1].complete:  # else it may be that one of which bytes are missing
                self._note_progress(half)
            self._blurred = bool(self._due)
        elif len(self._due) > 1:
            self._due.clear()  # one alone is due, if no more was lost than what stood before its answer
        self._other(half).go_on()

    def headed(self, half: HalfParser, message: Message) -> bool:
        """Take in a message whose head is there. False: the request of this response may still come."""
        other = self._other(half)
        if message.kind == "request":
            self._note_progress(half)
            if not self._blurred:
                self._due.append(message)
            other.go_on()
            return True
        if not self._due and self._counts and other not in self._ended:
            self._wait(message)
            return False
        self._waiting = None
        if self._due:
            message.request = self._due[0]
            message.target = self._due[0].target
            if message.is_final:
                self._due.popleft()
        return True

    def framing(self, message: Message) -> tuple[Framing, str | None]:
        """Return what ends the body, and what is wrong."""
        if message.kind == "request":
            return request_body(message.version, message.headers)
        if message.switches:
            return 0, None
        method = message.request.method if message.request else None
        return response_body(message.version, message.headers, message.status or 0, method)

    def is_sure(self, message: Message) -> bool:
        """Whether the body can be framed like that: it is a request's, or counting has told which one is answered."""
        return message.kind == "request" or (self._counts and message.request is not None)

    def done(self, half: HalfParser, message: Message) -> None:
        """Pass a message on, a response not before its request."""
        if message.kind == "response":
            if not message.has_head and self._due:
                request = self._due.popleft()  # of its answer no more is known
                if self._counts:
                    message.request, message.target = request, request.target
            if self._held or _is_early(message):
                self._held.append(message)
                return
        self._tell(self._side(half), message)
        while self._held and not _is_early(self._held[0]):
            self._tell(1 - self._side(half), self._held.popleft())

    def goes_on(self, half: HalfParser, message: Message) -> bool | None:
        """Whether HTTP/1 follows on a complete message; None: that is not known yet."""
        if message.kind == "response":
            if message.request is not None and message.is_final:
                message.request.switched = message.switches
                self._other(half).go_on()
            return not message.switches
        if (
            self._waiting is not message
            and message.method != "CONNECT"
            and not field_values(message.headers, "upgrade")
        ):
            return True
        if message.switched is None and self._counts and self._other(half) not in self._ended:
            self._wait(message)
            return None
        self._waiting = None
        return message.switched is False  # where nothing is known, only the looks of what follows can tell

    def left(self, half: HalfParser, leftover: Leftover) -> None:
        """Pass on what no message took."""
        if self._held and half.kind == "response":
            self._held.append(leftover)
        else:
            self._tell(self._side(half), leftover)

    def ended(self, half: HalfParser) -> None:
        """Take in that a direction has ended."""
        self._ended.append(half)
        self._other(half).go_on()

    def _note_progress(self, half: HalfParser) -> None:
        """Take in that there is more of the requests: if the other side was not silent, it has answered the others."""
        other = self._other(half)
        progress = other.fed + other.missing
        if not self._counts and progress != self._progress:
            self._due.clear()
            self._blurred = False
        self._progress = progress

    def _wait(self, message: Message) -> None:
        self._waiting = message
        if self._watched is None:
            self._watched = message
            self._watch()

    def _side(self, half: HalfParser) -> int:
        return 0 if half is self.parsers[0] else 1

    def _other(self, half: HalfParser) -> HalfParser:
        one, two = self.parsers
        return two if half is one else one


def _is_early(what: Message | Leftover) -> bool:
    """Whether it is a response to a request of which more comes."""
    return isinstance(what, Message) and what.request is not None and not what.request.is_done
