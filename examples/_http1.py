"""HTTP/1.x messages out of both directions of a connection, sans I/O: requests, and responses that know theirs.

    requests = RequestParser()
    responses = ResponseParser(requests)
    requests.feed(part) ... requests.gap(1448) ... requests.end(Ending.CLOSED)
    responses.feed(part) ...
    requests.messages, responses.messages

How a response is framed depends on its request, so all requests are fed first. What follows a request for another
protocol depends on its response, so there the parser of requests stops by itself and goes on when that is known.

Which request a response answers is known by counting. Once a gap or an error may have hidden a message of either
side, it is not known any more, and the response is framed as the answer to a GET.
"""

from __future__ import annotations

from typing import final

from ._http1_half import HalfParser, Kind, Message, Program
from ._http1_syntax import (
    Framing,
    field_values,
    is_request_line,
    is_status_line,
    request_framing,
    request_line,
    response_framing,
    status_line,
)
from ._tcp import Ending

__all__ = ["RequestParser", "ResponseParser"]


@final
class RequestParser(HalfParser):
    """Requests. After one that asks for another protocol it waits until the response is known."""

    kind: Kind = "request"

    def __init__(self, *, mid_stream: bool = False) -> None:
        """Begin at the front of a half-stream, or, if `mid_stream`, where the capture happened to begin."""
        super().__init__(mid_stream=mid_stream)
        self._known: list[Message] = []
        self._answers: dict[int, bool] = {}
        self._unanswered = False

    def known(self, index: int) -> Message | None:
        """Return the request number `index`, if none can have been missed before it."""
        return self._known[index] if 0 <= index < len(self._known) else None

    def answered(self, index: int, *, switched: bool) -> None:
        """Take in whether the connection changes its protocol after request number `index`."""
        self._answers[index] = switched
        self._go_on()

    def unanswered(self) -> None:
        """Take in that no more answers come."""
        self._unanswered = True
        self._go_on()

    def _finish(self, message: Message, reason: str | None) -> None:
        super()._finish(message, reason)
        if self._counting:
            self._known.append(message)

    def _is_start_line(self, line: str) -> bool:
        return is_request_line(line)

    def _start(self, message: Message, line: str) -> None:
        message.method, message.target, message.version = request_line(line)

    def _framing(self, message: Message) -> Framing:
        return request_framing(message.version, message.headers)

    def _follow(self, message: Message) -> Program[bool]:
        if message.method != "CONNECT" and not field_values(message.headers, "upgrade"):
            return True
        index = len(self._known) - 1
        while index not in self._answers:
            if self._unanswered:  # then only the looks of what follows can tell
                return (yield from self._resynchronise())
            yield
        return not self._answers[index]


@final
class ResponseParser(HalfParser):
    """Responses, each framed by what its request asked for."""

    kind: Kind = "response"

    def __init__(self, requests: RequestParser, *, mid_stream: bool = False, first: int = 0) -> None:
        """Begin as any parser; the first response answers request number `first`, -1 for one before the capture."""
        super().__init__(mid_stream=mid_stream)
        self._requests = requests
        self._index = first

    def end(self, ending: Ending) -> None:
        """Take in that nothing follows, and why; requests that wait for an answer wait no longer."""
        super().end(ending)
        self._requests.unanswered()

    def _request(self) -> Message | None:
        return self._requests.known(self._index) if self._counting else None

    def _is_start_line(self, line: str) -> bool:
        return is_status_line(line)

    def _start(self, message: Message, line: str) -> None:
        message.version, message.status = status_line(line)

    def _finish(self, message: Message, reason: str | None) -> None:
        request = self._request()
        if request is not None:
            message.target = request.target
        if self._counting:
            message.answers = self._index
        super()._finish(message, reason)

    def _framing(self, message: Message) -> Framing:
        if self._switches(message):
            return 0
        request = self._request()
        method = None if request is None else request.method
        return response_framing(message.version, message.headers, message.status or 0, method)

    def _follow(self, message: Message) -> Program[bool]:
        yield from ()  # nothing to wait for
        switched = self._switches(message)
        if switched or (message.status or 0) >= 200:
            if self._counting:
                self._requests.answered(self._index, switched=switched)
            self._index += 1
        return not switched

    def _switches(self, message: Message) -> bool:
        """Say whether other bytes than HTTP/1 follow: after 101, and after a success of CONNECT."""
        request = self._request()
        tunnel = request is not None and request.method == "CONNECT" and (message.status or 0) // 100 == 2
        return tunnel or message.status == 101
