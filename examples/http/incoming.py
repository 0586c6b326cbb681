"""What has come of one direction of a connection, and where a start line may stand in it.

Programs read from here as if all bytes were there: generators, which yield where there are none yet.

A start line is looked for where a part of what was fed begins: who sends a message nearly always begins a segment with
it. What cannot go on to be one is left at once, so nothing is kept of another protocol. What is left belongs to no
message, and is counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from itertools import takewhile
from typing import Final, TypeAlias, TypeVar, final

from bytebufs import CompositeBuffer, FrameError, LimitExceeded, SliceBuffer

from .message import Leftover
from .preamble import PREAMBLE_BEGINS, preamble_size
from .syntax import MAX_METHOD, METHODS
from .tcp import Ending

__all__ = ["MAX_HEAD", "MAX_TEXT", "Ended", "Incoming", "Lost", "Program", "text_of"]

MAX_HEAD: Final = 65_536
"""Bytes of a start line and its fields, or of trailers. Apache allows 8 KiB a line, h11 16 KiB in all, Go 1 MiB."""
MAX_TEXT: Final = 60
"""Characters that are shown of what is refused."""

_FRONT: Final = MAX_METHOD + 16
"""Characters that tell whether a line can be a start line."""
_NOTHING: Final = Leftover(0, 0, "")

_T = TypeVar("_T")
Program: TypeAlias = Generator[None, None, _T]
"""What yields where it needs more input, and returns a T in the end."""


class Lost(Exception):
    """``nbytes`` of the stream are missing here."""

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes

    def __str__(self) -> str:
        return f"{self.nbytes} bytes missing"


class Ended(Exception):
    """The stream ends here."""

    nbytes = 0

    def __init__(self, ending: Ending) -> None:
        self.ending = ending

    def __str__(self) -> str:
        return self.ending.value


@final
class Incoming:
    """The bytes at which a program is, and what comes behind them."""

    __slots__ = ("_came", "_can_begin", "_fronts", "_line", "_no_line_end", "data", "events", "left", "unparsed")

    def __init__(self, can_begin: Callable[[str], bool]) -> None:
        """`can_begin` says whether a line that goes on like this can be a start line."""
        self._can_begin = can_begin
        self.data = CompositeBuffer()
        self.events: deque[SliceBuffer | Lost | Ended] = deque()
        """What has come behind `data`."""
        self.unparsed = 0
        """Bytes that no message took."""
        self.left: Leftover | None = None
        """Those since this was taken, with more text than is to be told."""
        self._came = 0  # bytes that were ever put into data, so that places in it can be told
        self._fronts: deque[int] = deque()  # the places where parts begin, of those that are in data
        self._no_line_end = 0  # the place up to which data has no line end
        self._line = "", 0, -1  # the one that was searched last, with its place and that of its end

    # -- what comes next

    def more(self) -> Program[None]:
        """Wait until there is more in `data`. Raises Lost or Ended if that is what comes next."""
        while not self.events:
            yield
        event = self.events.popleft()
        if isinstance(event, Exception):
            raise event
        came, fronts = self._came, self._fronts
        place = came - len(self.data)
        while fronts and fronts[0] < place:
            fronts.popleft()
        fronts.append(came)
        self._came = came + len(event)
        self.data.append(event)

    def goes_on(self) -> Program[bool]:
        """Wait until there is more in `data`. False: that is not what comes next."""
        try:
            yield from self.more()
        except (Lost, Ended) as interruption:
            self.events.appendleft(interruption)
            return False
        return True

    def is_next(self, start: bytes) -> Program[bool]:
        """Wait until it is known whether `data` begins with something."""
        while len(self.data) < len(start) and self.data.startswith(start[: len(self.data)]):
            if not (yield from self.goes_on()):
                return False
        return self.data.startswith(start)

    def take_until(self, end: bytes, limit: int, otherwise: str) -> Program[SliceBuffer]:
        """Take a line with its end. Raises FrameError, which says `otherwise`, if it has more than `limit` bytes."""
        try:
            while (line := self.data.take_until(end, limit=limit, keepends=True)) is None:
                yield from self.more()
        except LimitExceeded:
            raise FrameError(otherwise) from None
        return line

    # -- where a message should begin

    def line(self) -> Program[str | None]:
        """Return the line that comes next. None: it is too long, or it is not all there and can be no start line.

        Empty lines are to be ignored before a request (RFC 9112, section 2.2), and do no harm before a response.
        """
        while True:
            while not self.data:
                yield from self.more()
            first = self.data[0]
            if first in PREAMBLE_BEGINS and self._came == len(self.data) and (yield from self._step_over_preamble()):
                continue
            if first not in b"\r\n":
                break
            self.data.skip(1)
        while (end := self._line_end()) < 0:
            if not self._looks_right(len(self.data)) or len(self.data) >= MAX_HEAD:
                return None
            yield from self.more()
        return text_of(self.data[: end + 1])

    def _step_over_preamble(self) -> Program[bool]:
        """Leave what stands before the first message of a connection. False: nothing does."""
        while (size := preamble_size(self.data)) is None:
            if not (yield from self.goes_on()):
                return False
        self.leave(size)
        return size > 0

    # -- where one may begin

    def search(self, begins: Callable[[str], bool]) -> Program[bool]:
        """Go to the first front of a part where a line stands that `begins` a message. False: the stream ended."""
        while True:
            try:
                while not self._fronts or self._fronts[0] < self._place:
                    if self._fronts:
                        self._fronts.popleft()
                    else:
                        self.leave(len(self.data))
                        yield from self.more()
                self.leave(self._fronts.popleft() - self._place)
                while self.data and self.data[0] in b"\r\n":
                    self.leave(1)
                line = yield from self._line_here()
                if line is not None and not self._is_joined(line) and begins(line):
                    return True
            except Lost as lost:
                self.leave(len(self.data), lost.nbytes)
            except Ended:
                self.leave(len(self.data))
                return False

    def mark(self) -> None:
        """Let what comes next count as the front of a part."""
        place = self._place
        while self._fronts and self._fronts[0] <= place:
            self._fronts.popleft()
        self._fronts.appendleft(place)

    def leave(self, nbytes: int, missing: int = 0) -> None:
        """Step over bytes that no message takes."""
        if nbytes or missing:
            before = self.left or _NOTHING
            text = before.text  # its line end may still come
            if "\n" not in text and (room := MAX_TEXT - len(text)) > 0:
                text = (text + self.data[: min(nbytes, room)].decode("latin-1")).lstrip("\r\n")
                text += "\n" if missing and text else ""
            self.left = Leftover(before.nbytes + nbytes, before.missing + missing, text)
            self.unparsed += nbytes
            self.data.skip(nbytes)

    def _line_here(self) -> Program[str | None]:
        """Return the line that comes next, if it can be a start line by its looks."""
        while True:
            end = self._line_end()
            if not self._looks_right(len(self.data) if end < 0 else end + 1):
                return None
            if end >= 0:
                return self._rest_of_line(end)
            if len(self.data) >= MAX_HEAD or not (yield from self.goes_on()):
                return None

    def _is_joined(self, line: str) -> bool:
        """Whether a line is a request's only with what ends the part before: a method that is known begins a part."""
        method = line.partition(" ")[0]
        if method in METHODS:
            return False
        ends = takewhile(lambda at: at < len(method), (front - self._place for front in self._fronts))
        return any(at > 0 and method[at:] in METHODS for at in ends)

    def _rest_of_line(self, end: int) -> str:
        """Return the line up to an end. It is read once, however many fronts it has."""
        line, place, stop = self._line
        if stop != self._place + end:
            line, place, stop = self._line = text_of(self.data[: end + 1]), self._place, self._place + end
        return line[self._place - place :]

    def _looks_right(self, size: int) -> bool:
        return self._can_begin(text_of(self.data[: min(size, _FRONT)]))

    def _line_end(self) -> int:
        """Return where the next line feed is, or -1. Each byte is looked at once, however often this is asked."""
        size = len(self.data)
        place, stop = self._came - size, min(size, MAX_HEAD)
        looked = max(self._no_line_end - place, 0)
        end = self.data.find(b"\n", looked, stop) if looked < stop else -1
        self._no_line_end = place + (end if end >= 0 else stop)
        return end

    @property
    def _place(self) -> int:
        """How many bytes were put into `data` before the one that is at its front."""
        return self._came - len(self.data)


def text_of(line: SliceBuffer) -> str:
    """Return the text of a line without its end."""
    return line.decode("latin-1").removesuffix("\n").removesuffix("\r")
