"""examples/http/: messages: RFC 9112 rule by rule, traps, gaps, and that no answer depends on how bytes were cut."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytebufs import COMPILED, CompositeBuffer, FrameError, SliceBuffer, no_copy
from examples.http import incoming
from examples.http.exchange import Exchange
from examples.http.half import MAX_CHUNK_LINE, MAX_LINES, HalfParser
from examples.http.incoming import MAX_HEAD, MAX_TEXT
from examples.http.message import Leftover, Message
from examples.http.preamble import preamble_size
from examples.http.syntax import MAX_METHOD, add_field, can_begin, request_framing, request_line, status_line
from examples.http.tcp import Ending

from .conftest import IS_QUICK
from .counting import Work, counted
from .example_wire import Event, Gap, Talk, exchange, facts

OK = b"HTTP/1.1 200 OK\r\n"
GET = b"GET /a HTTP/1.1\r\n\r\n"
HELLO = OK + b"Content-Length: 5\r\n\r\nhello"


def requests_in(*events: Event, ending: Ending = Ending.CLOSED) -> list[Message]:
    return exchange(events, [], ending)[0]


def responses_in(*events: Event, asked: bytes = GET * 9, ending: Ending = Ending.CLOSED) -> list[Message]:
    return exchange([asked], events, ending)[1]


def only(messages: Sequence[Message]) -> Message:
    assert len(messages) == 1, messages
    return messages[0]


def lines(messages: Iterable[Message]) -> list[str]:
    """Return each message in a line: what it is, how long its body is, and what is wrong."""
    return [
        f"{m.method if m.kind == 'request' else m.status} {m.target} {len(m.body)}{'' if m.complete else f' {m.error}'}"
        for m in messages
    ]


def body_of(message: Message) -> bytes:
    assert message.error is None
    return bytes(message.body)


# -- start lines and fields


def test_a_request() -> None:
    message = only(requests_in(b"GET /a?b HTTP/1.1\r\nHost: example\r\nAccept: a, b\r\n\r\n"))
    assert (message.kind, message.method, message.target, message.version) == ("request", "GET", "/a?b", "HTTP/1.1")
    assert message.headers == [("Host", "example"), ("Accept", "a, b")]
    assert (message.complete, message.has_head, message.trailers, len(message.body)) == (True, True, [], 0)
    assert message.head == b"GET /a?b HTTP/1.1\r\nHost: example\r\nAccept: a, b\r\n\r\n"


def test_a_response() -> None:
    message = only(responses_in(HELLO))
    assert (message.kind, message.status, message.version, message.target) == ("response", 200, "HTTP/1.1", "/a")
    assert body_of(message) == b"hello"


@pytest.mark.parametrize(
    "line", [b"HTTP/1.1 200\r\n", b"HTTP/1.1 200 \r\n", b"HTTP/1.0 200 a \xe9 b\r\n", b"HTTP/1.9 200 x\n"]
)
def test_status_lines(line: bytes) -> None:
    message = only(responses_in(line + b"Content-Length: 0\r\n\r\n"))
    assert (message.status, message.error) == (200, None)


@pytest.mark.parametrize("target", [b"*", b"http://a/b", b"a:443", b"/\xc3\xa9", b"/%00", b"//"])
def test_targets(target: bytes) -> None:
    message = only(requests_in(b"OPTIONS " + target + b" HTTP/1.1\r\n\r\n"))
    assert message.target == target.decode("latin-1")


REFUSED_REQUESTS = [
    *(b"GET  / HTTP/1.1", b"GET / HTTP/1.1 ", b"GET / a HTTP/1.1", b"G(T / HTTP/1.1", b"GET / HTTP/2.0"),
    *(b"GET / HTTP/1.10", b"GET /\x00 HTTP/1.1", b"GET /\r HTTP/1.1", b"GET  HTTP/1.1", b"GET / HTTP/1.1x"),
    *(b"PRI * HTTP/2.0", b"M" * (MAX_METHOD + 1) + b" / HTTP/1.1", b'{"a": 1}GET / HTTP/1.1'),
]
NO_REQUESTS = [
    *(b" GET / HTTP/1.1", b"GET\t/\tHTTP/1.1", b"GET /", b"GET", b"GET / http/1.1", b"\x16\x03\x01\x02\x00"),
    *(b"HTTP/1.1 200 OK", b"GET / HTTP/x", b"\xff / HTTP/1.1", b"x" * (MAX_HEAD + 5)),
]
REFUSED_RESPONSES = [
    *(b"HTTP/1.1 20 OK", b"HTTP/1.1 2000 OK", b"HTTP/1.1  200 OK", b"HTTP/1.1 +20 OK", b"HTTP/1.1", b"HTTP/2 200"),
    *(b"HTTP/1.1 200 a\x00b", b"HTTP/1.1 200 a\rb", b"HTTP/1.1 2\xb20", b"HTTP/1.x 200", b"HTTP/1.1 200OK"),
]
NO_RESPONSES = [b"ICY 200 OK", b"GET / HTTP/1.1", b"http/1.1 200 OK", b" HTTP/1.1 200 OK", b"HTTP", b"\x81\x05hello"]


def shown(line: bytes) -> str:
    text = line.decode("latin-1")
    return repr(text[:MAX_TEXT]) + ("..." if len(text) > MAX_TEXT else "")


@pytest.mark.parametrize("line", REFUSED_REQUESTS)
def test_a_refused_request_is_a_message_and_those_in_later_parts_are_found(line: bytes) -> None:
    talk = Talk().say(GET).hear(HELLO).say(line + b"\r\nHost: a\r\n\r\n", GET, GET).end()
    refused = f"None None 0 not a request line: {shown(line)}"
    assert lines(talk.messages(0)) == ["GET /a 0", refused, "GET /a 0", "GET /a 0"]
    assert talk.messages(0)[1].head == line + b"\r\n"
    assert talk.left() == [Leftover(11, 0, "Host: a")]


@pytest.mark.parametrize("line", NO_REQUESTS)
def test_what_does_not_look_like_a_request_is_left_and_those_in_later_parts_are_found(line: bytes) -> None:
    talk = Talk().say(GET).hear(HELLO).say(line + b"\r\n\r\n", GET, GET).end()
    assert lines(talk.messages(0)) == ["GET /a 0"] * 3
    assert talk.left() == [Leftover(len(line) + 4, 0, line[:MAX_TEXT].decode("latin-1"))]


@pytest.mark.parametrize("line", REFUSED_RESPONSES)
def test_a_refused_response_is_a_message_and_those_in_later_parts_are_found(line: bytes) -> None:
    talk = Talk().say(GET).hear(line + b"\r\nA: b\r\n\r\n").say(GET).hear(HELLO).end()
    assert lines(talk.messages(1)) == [f"None /a 0 not a response line: {shown(line)}", "200 /a 5"]
    assert talk.left() == [Leftover(8, 0, "A: b")]


@pytest.mark.parametrize("line", NO_RESPONSES)
def test_what_does_not_look_like_a_response_is_left_and_those_in_later_parts_are_found(line: bytes) -> None:
    talk = Talk().say(GET).hear(line + b"\r\n\r\n").say(GET).hear(HELLO).end()
    assert lines(talk.messages(1)) == ["200 /a 5"]
    assert talk.left(1) == [Leftover(len(line) + 4, 0, line.decode("latin-1"))]


@pytest.mark.parametrize("first", [*NO_REQUESTS[:5], *NO_RESPONSES[2:], b"\x16\x03\x01 TLS", b"SSH-2.0-x"])
def test_a_connection_without_a_start_line_has_no_messages(first: bytes) -> None:
    talk = Talk().say(first + b"\r\n", b"more").hear(b"+OK\r\n").end()
    assert (talk.messages(), talk.exchange.is_http) == ([], False)
    assert sum(left.nbytes for left in talk.left()) == len(first) + 11


@pytest.mark.parametrize("status", [0, 1, 20, 99, 600, 700, 999])
@pytest.mark.parametrize("fields", [b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b""])
def test_a_status_outside_of_100_to_599_is_like_any_final_one(status: int, fields: bytes) -> None:
    coded = b"5\r\nhello\r\n0\r\n\r\n" if b"chunked" in fields else b"hello"
    behind = HELLO if fields else b""
    answered = b"HTTP/1.1 %03d Odd\r\n" % status + fields + b"\r\n" + coded + behind
    assert lines(responses_in(answered)) == [f"{status} /a 5"] + ["200 /a 5"] * bool(behind)


@pytest.mark.parametrize("size", [1, MAX_METHOD - 1, MAX_METHOD])
def test_methods_of_any_name(size: int) -> None:
    data = b"m" * size + b" / HTTP/1.1\r\n\r\n"
    assert only(requests_in(data)).method == "m" * size
    assert only(requests_in(*by_one([data]))).method == "m" * size


def test_empty_lines_before_a_request_are_ignored() -> None:
    assert [m.target for m in requests_in(b"\r\n\n\r\n" + GET + b"\r\n" + GET + b"\r\n")] == ["/a", "/a"]


@pytest.mark.parametrize("ends", [b"\r\n", b"\n", b"\r\n\r\n", b"\r", b"\r\n" * 1000])
def test_empty_lines_before_a_response_are_ignored(ends: bytes) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    talk = Talk().say(GET + GET).hear(ends + interim + ends + HELLO + ends, HELLO + ends).end()
    assert lines(talk.messages(1)) == ["100 /a 0", "200 /a 5", "200 /a 5"]
    assert talk.left() == []


def test_lf_alone_ends_a_line() -> None:
    message = only(responses_in(b"HTTP/1.1 200 OK\nContent-Length: 2\n\nab"))
    assert body_of(message) == b"ab"


def test_obsolete_folding() -> None:
    head = b"GET / HTTP/1.1\r\nA: one\r\n  two\r\n\tthree \r\nB:\r\n four\r\n   \r\n\r\n"
    assert only(requests_in(head)).headers == [("A", "one two three"), ("B", "four")]


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (b"A:b", "b"),
        (b"A: \t b \t", "b"),
        (b"A:", ""),
        (b"A:b:c", "b:c"),
        (b"A: \xff\x01", "\xff\x01"),
        (b"A: b  c", "b  c"),
    ],
)
def test_field_values(line: bytes, value: str) -> None:
    message = only(requests_in(b"GET / HTTP/1.1\r\n" + line + b"\r\n\r\n"))
    assert message.headers == [("A", value)]


@pytest.mark.parametrize(
    ("line", "error", "kept"),
    [
        (b"Host : a", "white space before the colon of a field", [("Host", "a")]),
        (b"Host\t: a", "white space before the colon of a field", [("Host", "a")]),
        (b"Host \t : a", "white space before the colon of a field", [("Host", "a")]),
        (b" : a", "white space before the first field", []),
        (b": a", "a field with an invalid name", []),
        (b"Ho st: a", "a field with an invalid name", []),
        (b"H\xe9: a", "a field with an invalid name", []),
        (b"H(: a", "a field with an invalid name", []),
        (b"Host", "a field without a colon", []),
        (b" folded", "white space before the first field", []),
        (b"A: b\x00c", "NUL or CR in a field", [("A", "b c")]),
        (b"A: b\rc", "NUL or CR in a field", [("A", "b c")]),
        (b"A\r: b", "white space before the colon of a field", [("A", "b")]),
        (b"A: b\r", "NUL or CR in a field", [("A", "b")]),
        (b"\x00A: b", "white space before the first field", []),
    ],
)
def test_fields_that_are_wrong_cost_no_more_than_themselves(
    line: bytes, error: str, kept: list[tuple[str, str]]
) -> None:
    head = b"POST /a HTTP/1.1\r\n" + line + b"\r\nContent-Length: 2\r\n\r\n"
    for cut in ([head + b"ab" + GET], by_one([head + b"ab" + GET])):
        first, second = requests_in(*cut)
        assert (first.error, first.method, first.target, bytes(first.body)) == (error, "POST", "/a", b"ab")
        assert first.headers == [*kept, ("Content-Length", "2")]
        assert (second.error, second.target) == (None, "/a")
    with pytest.raises(FrameError, match=error):
        add_field([], line.decode("latin-1"))


@pytest.mark.parametrize("line", [b" b\x00c", b"\tb\rc"])
def test_a_continuation_that_is_wrong_is_kept_too(line: bytes) -> None:
    message = only(requests_in(b"GET / HTTP/1.1\r\nA: a\r\n" + line + b"\r\n\r\n"))
    assert (message.headers, message.error) == ([("A", "a b c")], "NUL or CR in a field")


# -- framing (RFC 9112, section 6.3)


@pytest.mark.parametrize(
    ("fields", "length"),
    [
        (b"Content-Length: 5", 5),
        (b"content-length:5", 5),
        (b"Content-Length: 5, 5", 5),
        (b"Content-Length: 5\r\nContent-Length: 5", 5),
        (b"Content-Length: 5\r\nContent-Length: 05 ,005", 5),
        (b"Content-Length: 0", 0),
        (b"X: y", 0),
    ],
)
def test_lengths_of_requests(fields: bytes, length: int) -> None:
    first, second = requests_in(b"POST / HTTP/1.1\r\n" + fields + b"\r\n\r\n" + b"hello"[:length] + GET)
    assert (body_of(first), second.target) == (b"hello"[:length], "/a")


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        (b"Content-Length: 5\r\nContent-Length: 6", "Content-Lengths that differ"),
        (b"Content-Length: 5, 6", "Content-Lengths that differ"),
        (b"Content-Length: 5, 5, , 6", "Content-Lengths that differ"),
        (b"Content-Length: 0\r\nX: y\r\nContent-Length: 50", "Content-Lengths that differ"),
        *(
            (b"Content-Length: " + value, "a Content-Length that is no number")
            for value in (b"+5", b"-5", b"0x5", b"5 5", b"5_0", b"\xb2", b"", b",", b", ,", b"5,x", b"5.0", b"9" * 21)
        ),
        (b"Content-Length: " + b"9" * 5000, "a Content-Length that is no number"),
        (b"Content-Length: 5\r\nContent-Length: five", "a Content-Length that is no number"),
    ],
)
@pytest.mark.parametrize("start", [b"POST /a HTTP/1.1\r\n", OK])
def test_lengths_that_nobody_knows_refuse_the_message(start: bytes, fields: bytes, error: str) -> None:
    parse = responses_in if start == OK else requests_in
    first, second = parse(start + fields + b"\r\n\r\nhello" + GET + HELLO, HELLO if start == OK else GET)
    assert (first.error, len(first.body)) == (error, 0)
    assert second.complete


@pytest.mark.parametrize(
    "value", [b"5,", b",5", b"5, ,5", b" , 5\t,05", b"5\r\nContent-Length:", b"5\r\nContent-Length: ,"]
)
@pytest.mark.parametrize("start", [b"POST /a HTTP/1.1\r\n", OK])
def test_lengths_with_empty_members_are_wrong_and_known(start: bytes, value: bytes) -> None:
    parse, behind = (responses_in, HELLO) if start == OK else (requests_in, GET)
    first, second = parse(start + b"Content-Length: " + value + b"\r\n\r\nhello" + behind)
    assert (first.error, bytes(first.body), second.error) == ("a Content-Length with an empty member", b"hello", None)


BOTH = "Content-Length together with Transfer-Encoding"
TWICE = "chunked is not the last transfer coding, or comes twice"


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        (b"Content-Length: 3\r\nTransfer-Encoding: chunked", BOTH),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 0", BOTH),
        (b"Transfer-Encoding: gzip, chunked\r\nContent-Length: x", BOTH),
        (b"Content-Length: 1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked", BOTH),
        (b"Transfer-Encoding: chunked, chunked", TWICE),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip, Chunked", TWICE),
        *((b"Transfer-Encoding: " + value, None) for value in (b"chunked", b"CHUNKED", b"gzip, chunked", b", chunked")),
        *((b"Transfer-Encoding: " + value, None) for value in (b"chunked,", b"chunked ,\t,", b"a,, b ,chunked")),
        (b"Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: ,", None),
    ],
)
@pytest.mark.parametrize("start", [b"POST /a HTTP/1.1\r\n", OK])
def test_the_last_transfer_coding_frames_the_body(start: bytes, fields: bytes, error: str | None) -> None:
    parse, behind = (responses_in, HELLO) if start == OK else (requests_in, GET)
    first, second = parse(start + fields + b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + behind)
    assert (first.error, bytes(first.body), second.error) == (error, b"hello", None)


@pytest.mark.parametrize(
    "coding", [b"gzip", b"identity", b"xchunked", b"chunked;q=1", b'"chunked"', b"chunked\x0b", b"chunked, gzip,"]
)
def test_a_request_whose_last_coding_is_not_chunked_is_refused(coding: bytes) -> None:
    head = b"POST / HTTP/1.1\r\nTransfer-Encoding: " + coding + b"\r\n\r\n"
    first, second = requests_in(head + b"0\r\n\r\n", GET)
    error = TWICE if b"chunked," in coding else "a request whose last transfer coding is not chunked"
    assert (first.error, second.target) == (error, "/a")


@pytest.mark.parametrize("value", [b"", b",", b" , ,"])
def test_no_transfer_coding_at_all(value: bytes) -> None:
    assert lines(requests_in(b"POST / HTTP/1.1\r\nTransfer-Encoding: " + value + b"\r\n\r\n" + GET))[1] == "GET /a 0"


def test_a_transfer_coding_in_http_1_0() -> None:
    error = "Transfer-Encoding in HTTP/1.0, which has none"
    coded = b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    assert lines(requests_in(b"POST / HTTP/1.0\r\n" + coded)) == [f"POST / 5 {error}"]
    assert lines(responses_in(b"HTTP/1.0 200 OK\r\n" + coded)) == [f"200 /a 5 {error}"]


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        (b"Transfer-Encoding: gzip", None),
        (b"Transfer-Encoding: identity", None),
        (b"Transfer-Encoding: chunked, gzip", TWICE),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: br,", TWICE),
        (b"Transfer-Encoding: gzip\r\nContent-Length: 2", BOTH),
    ],
)
def test_a_response_whose_last_coding_is_not_chunked_ends_with_the_connection(fields: bytes, error: str | None) -> None:
    message = only(responses_in(OK + fields + b"\r\n\r\n5\r\nhe", b"llo", HELLO))
    assert (message.error, bytes(message.body)) == (error, b"5\r\nhello" + HELLO)


def test_who_must_refuse_can_ask_for_errors() -> None:
    assert request_framing("HTTP/1.1", [("Content-Length", "7")]) == 7
    with pytest.raises(FrameError, match="Content-Lengths that differ"):
        request_framing("HTTP/1.1", [("Content-Length", "7, 8")])
    assert request_line("GET /a HTTP/1.0") == ("GET", "/a", "HTTP/1.0")
    with pytest.raises(FrameError, match="not a request line"):
        request_line("GET /a")
    assert status_line("HTTP/1.1 007 Bond") == ("HTTP/1.1", 7)
    with pytest.raises(FrameError, match="not a status line"):
        status_line("HTTP/1.1 7")
    fields: list[tuple[str, str]] = []
    add_field(fields, "A: b")
    assert fields == [("A", "b")]


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
@pytest.mark.parametrize("fields", [b"", b"Content-Length: 10\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_statuses_without_a_body(status: bytes, fields: bytes) -> None:
    first, second = responses_in(b"HTTP/1.1 " + status + b"\r\n" + fields + b"\r\n" + HELLO)
    assert (body_of(first), body_of(second)) == (b"", b"hello")


@pytest.mark.parametrize("fields", [b"", b"Content-Length: 10\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_responses_to_head_have_no_body(fields: bytes) -> None:
    asked = b"HEAD /h HTTP/1.1\r\n\r\n" + GET
    first, second = responses_in(OK + fields + b"\r\n" + HELLO, asked=asked)
    assert (body_of(first), first.target) == (b"", "/h")
    assert (body_of(second), second.target) == (b"hello", "/a")


def test_interim_responses_are_messages_and_answer_nothing_finally() -> None:
    asked = b"PUT /p HTTP/1.1\r\nContent-Length: 2\r\n\r\nab" + GET
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nContent-Length: 9\r\n\r\n"
    found = responses_in(interim + HELLO + HELLO, asked=asked)
    assert [(m.status, m.target) for m in found] == [(100, "/p"), (103, "/p"), (200, "/p"), (200, "/a")]


def test_pipelining() -> None:
    asked = b"".join(b"GET /%d HTTP/1.1\r\n\r\n" % n for n in range(5))
    found = responses_in(b"".join(OK + b"Content-Length: %d\r\n\r\n" % n + b"x" * n for n in range(5)), asked=asked)
    assert [(m.target, body_of(m)) for m in found] == [(f"/{n}", b"x" * n) for n in range(5)]


def test_a_body_ended_by_the_connection() -> None:
    message = only(responses_in(OK + b"\r\nall", b" the rest"))
    assert body_of(message) == b"all the rest"


@pytest.mark.parametrize(
    ("ending", "error"),
    [
        (Ending.RESET, "the connection was reset at byte 3 of the body"),
        (Ending.CUT, "the capture ends at byte 3 of the body"),
    ],
)
def test_a_body_that_the_connection_should_end_and_does_not(ending: Ending, error: str) -> None:
    message = only(responses_in(OK + b"\r\nall", ending=ending))
    assert (message.error, bytes(message.body)) == (error, b"all")


@pytest.mark.parametrize("status", [b"200", b"204", b"404"])
def test_responses_alone(status: bytes) -> None:
    """They wait for requests, which may come later in the capture, until that is over, or too much has come."""
    talk = Talk().hear(OK.replace(b"200", status) + b"Content-Length: 0\r\n\r\n" + HELLO)
    assert (talk.told, talk.watches) == ([], 1)
    talk.exchange.overdue()
    assert lines(talk.messages(1)) == [f"{status.decode()} None 0", "200 None 5"]
    talk.hear(HELLO).end()
    assert lines(talk.messages(1))[2:] == ["200 None 5"]
    assert talk.watches == 1


def test_responses_wait_for_requests_that_come_later_in_the_capture() -> None:
    talk = Talk().hear(OK + b"Content-Length: 5\r\n\r\n", HELLO).hear(Gap(3)).say(b"HEAD /h HTTP/1.1\r\n\r\n")
    assert lines(talk.messages()) == ["HEAD /h 0", "200 /h 0"]
    talk.say(GET).end()
    assert lines(talk.messages()) == [
        *("HEAD /h 0", "200 /h 0", "GET /a 0", "200 /a 5", "None None 0 3 bytes missing where a response should begin")
    ]


def test_a_response_waits_until_the_requests_end() -> None:
    talk = Talk().hear(HELLO)
    assert talk.told == []
    talk.exchange.parsers[1].end(Ending.CUT)
    assert talk.told == []
    talk.exchange.parsers[0].end(Ending.CUT)
    assert lines(talk.messages()) == ["200 None 5"]


def test_what_has_come_since_is_not_overdue() -> None:
    """Only the wait that was watched over is given up."""
    talk = Talk().hear(HELLO)
    talk.say(GET + b"HEAD /h HTTP/1.1\r\n\r\n")
    talk.exchange.overdue()
    talk.hear(OK + b"Content-Length: 5\r\n\r\n", HELLO)
    assert (talk.watches, lines(talk.messages(1))) == (2, ["200 /a 5", "200 /h 0"])
    talk.say(GET).hear(HELLO)
    assert (talk.watches, lines(talk.messages(1))[2:]) == (2, ["200 /a 5"])
    talk.exchange.overdue()
    assert (talk.watches, lines(talk.messages(1))[3:]) == (3, [])
    talk.exchange.overdue()
    assert lines(talk.messages(1))[3:] == ["200 None 5"]
    talk.end()


@pytest.mark.parametrize("front", [b"POST /p HTTP/1.1\r\nContent-Length: 4\r\n\r\nab"])
def test_an_answer_before_the_end_of_its_request_is_told_behind_it(front: bytes) -> None:
    talk = Talk().say(front).hear(b"HTTP/1.1 100 Go\r\n\r\n", HELLO)
    assert talk.told == []
    talk.say(b"cd" + GET)
    assert lines(talk.messages()) == ["POST /p 4", "100 /p 0", "200 /p 5", "GET /a 0"]
    talk.hear(HELLO).end()
    assert lines(talk.messages())[4:] == ["200 /a 5"]


def test_what_follows_on_an_early_answer_is_told_behind_it_too() -> None:
    talk = Talk().say(b"POST /p HTTP/1.1\r\nContent-Length: 4\r\n\r\nab").hear(HELLO, b"\x01trailing", HELLO)
    assert talk.told == []
    talk.say(b"cd").end()
    assert [getattr(what, "kind", "left") for _, what in talk.told] == ["request", "response", "left", "response"]
    assert lines(talk.messages(1)) == ["200 /p 5", "200 None 5"]


def test_an_answer_to_a_request_that_never_ends_is_told_in_the_end() -> None:
    talk = Talk().say(b"POST /p HTTP/1.1\r\nContent-Length: 4\r\n\r\nab").hear(HELLO).end(first=1)
    assert lines(talk.messages()) == ["POST /p 2 the connection was closed at byte 2 of the body", "200 /p 5"]


@pytest.mark.parametrize("behind", [b"x", b"</html>\n", b"\r\n\r\nabc def\r\n", bytes(100), b"HTTP/1.1 abc", b"HTTQ"])
def test_bytes_behind_the_last_response_are_told_and_are_no_message(behind: bytes) -> None:
    for cut in ([HELLO + HELLO + behind], [HELLO + HELLO, behind], by_one([HELLO + HELLO + behind])):
        talk = Talk().say(GET + GET).hear(*cut).end()
        assert lines(talk.messages(1))[:2] == ["200 /a 5"] * 2
        if cut:
            text = behind.strip(b"\r\n").partition(b"\n")[0].rstrip(b"\r").decode()
            assert only(talk.left()).text == text[:MAX_TEXT]  # type: ignore[arg-type, attr-defined]


def test_a_response_whose_request_is_not_in_the_capture() -> None:
    first, second = responses_in(HELLO + HELLO, asked=b"")
    assert (body_of(first), body_of(second), first.target) == (b"hello", b"hello", None)


def test_requests_alone() -> None:
    assert [m.target for m in requests_in(GET * 3)] == ["/a"] * 3


# -- chunks (RFC 9112, section 7.1)

CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "coded",
    [
        b"5\r\nhello\r\n0\r\n\r\n",
        b"0000000000000005\r\nhello\r\n0\r\n\r\n",
        b"0" * 200 + b"5\r\nhello\r\n" + b"0" * 100 + b"\r\n\r\n",
        b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        b"2 \r\nhe\r\n3 \t  \r\nllo\r\n0\t\r\n\r\n",
        b'1;a\r\nh\r\n4 ; a=b;c="d"\r\nello\r\n00;x\r\n\r\n',
        b"5\r\nhello\r\n0\r\nA: b\r\nC:\td\r\n\r\n",
        b"5\r\nhello\r\n0\r\nA: b\n\n",
    ],
)
def test_chunks(coded: bytes) -> None:
    talk = Talk().say(GET + GET).hear(CHUNKED + coded + HELLO).end()
    first, second = talk.messages(1)
    assert (body_of(first), body_of(second)) == (b"hello", b"hello")
    assert first.trailers in ([], [("A", "b")], [("A", "b"), ("C", "d")])
    assert (talk.left(), talk.exchange.parsers[1].unparsed) == ([], 0)


def test_sizes_of_chunks_are_hexadecimal() -> None:
    message = only(responses_in(CHUNKED + b"1aF\r\n" + bytes(0x1AF) + b"\r\n0\r\n\r\n"))
    assert len(body_of(message)) == 0x1AF


def test_trailers() -> None:
    message = only(responses_in(CHUNKED + b"0\r\nA: one\r\n two\r\nB:\r\n\r\n"))
    assert message.trailers == [("A", "one two"), ("B", "")]


@pytest.mark.parametrize(
    "size",
    [
        *[b"+5", b"-5", b"0x5", b"5_0", b" 5", b"\t5", b" ", b"", b"g", b"5;\x00", b"5.", b"5,", b"\xb2"],
        *[b"0" * 30 + b"f" * 17, b"f" * 17, b"5\r", b"5\n", b"5;a\nb", b"5 5", b"5\x0b", b";a"],
    ],
)
def test_bad_sizes_of_chunks(size: bytes) -> None:
    talk = Talk().say(GET + GET).hear(CHUNKED + b"2\r\nab\r\n" + size + b"\r\nhello\r\n0\r\n\r\n", HELLO).end()
    first, second = talk.messages(1)
    assert (first.error, bytes(first.body), bytes(second.body)) == ("a bad chunk size", b"ab", b"hello")


@pytest.mark.parametrize("behind", [b"hello\r\n", b"\n0\r\n\r\n", b"\r0\r\n", b"xx"])
def test_chunks_longer_than_their_size(behind: bytes) -> None:
    first, second = responses_in(CHUNKED + b"2\r\nab" + behind, HELLO)
    assert (first.error, bytes(first.body), bytes(second.body)) == ("a chunk longer than its size", b"ab", b"hello")


def test_a_chunk_of_an_absurd_size_is_only_incomplete() -> None:
    message = only(responses_in(CHUNKED + b"ffffffffffffffff\r\nabc"))
    assert (message.error, bytes(message.body)) == ("the connection was closed at byte 3 of the body", b"abc")


def test_a_field_that_is_wrong_in_trailers() -> None:
    first, second = responses_in(CHUNKED + b"2\r\nab\r\n0\r\nA : b\r\nC\r\n\r\n" + HELLO)
    assert first.error == "white space before the colon of a field; a field without a colon"
    assert (first.trailers, second.complete) == ([("A", "b")], True)


# -- limits


def head_of(size: int) -> bytes:
    """Return a head of so many bytes in front of its last line feed."""
    front, rest = b"GET / HTTP/1.1\r\nA: ", b"\r\n\r\n"
    return front + b"x" * (size - len(front + rest) + 1) + rest


@pytest.mark.parametrize("feeds", ["at once", "by one"])
def test_the_limit_of_a_head(feeds: str) -> None:
    def parse(data: bytes) -> Message:
        near = len(data) if feeds == "at once" else len(data) - 4_000 if IS_QUICK else 1
        return requests_in(data[:near], *[data[i : i + 1] for i in range(near, len(data))])[0]

    assert parse(head_of(MAX_HEAD)).error is None
    assert parse(head_of(MAX_HEAD + 1)).error == f"head or trailers of more than {MAX_HEAD} bytes"


def test_the_limit_of_lines() -> None:
    fields = [b"A: b\r\n"] * MAX_LINES
    assert only(requests_in(b"GET / HTTP/1.1\r\n" + b"".join(fields) + b"\r\n")).error is None
    for cut in (lambda data: [data], lambda data: by_one([data])):
        found = requests_in(*cut(b"GET / HTTP/1.1\r\n" + b"".join(fields) + b" fold\r\n\r\n"), GET)
        assert [m.error for m in found] == [f"more than {MAX_LINES} field lines", None]


def test_the_limit_of_a_line_of_chunks() -> None:
    def parse(size: int) -> Message:
        return only(responses_in(CHUNKED + b"0;" + b"x" * (size - 2) + b"\r\n\r\n"))

    assert parse(MAX_CHUNK_LINE).error is None
    assert parse(MAX_CHUNK_LINE + 1).error == f"a chunk size in more than {MAX_CHUNK_LINE} bytes"


def test_the_limit_of_trailers() -> None:
    message = only(responses_in(CHUNKED + b"0\r\n" + b"A: b\r\n" * (MAX_HEAD // 6 + 1) + b"\r\n"))
    assert message.error == f"more than {MAX_LINES} field lines"
    message = only(responses_in(CHUNKED + b"0\r\nA: " + b"b" * MAX_HEAD + b"\r\n\r\n"))
    assert message.error == f"head or trailers of more than {MAX_HEAD} bytes"


# -- other protocols on the same connection

UPGRADE = b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
CONNECT = b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"


def test_upgrade() -> None:
    talk = Talk().say(UPGRADE + b"\x81\x05hello" + GET, b"\x81\x02no").hear(SWITCH + b"\x82\x05HELLO" + HELLO).end()
    assert lines(talk.messages()) == ["GET /ws 0", "101 /ws 0"]
    assert [m.switched for m in talk.messages(0)] == [True]
    assert talk.left(0) == [Leftover(11 + len(GET), 0, "\x81\x05helloGET /a HTTP/1.1")]
    assert talk.left(1) == [Leftover(7 + len(HELLO), 0, "\x82\x05HELLOHTTP/1.1 200 OK")]


def test_upgrade_refused() -> None:
    asked = b"GET /ws HTTP/1.1\r\nUpgrade: h2c\r\n\r\n" + b"HEAD /h HTTP/1.1\r\n\r\n" + GET
    requests, responses = exchange([asked], [HELLO + OK + b"Content-Length: 5\r\n\r\n" + HELLO])
    assert lines(requests) == ["GET /ws 0", "HEAD /h 0", "GET /a 0"]
    assert lines(responses) == ["200 /ws 5", "200 /h 0", "200 /a 5"]
    assert requests[0].switched is False


def test_upgrade_behind_an_interim_response() -> None:
    asked = b"PUT /ws HTTP/1.1\r\nUpgrade: x\r\nContent-Length: 2\r\n\r\nab\x00\x01"
    talk = Talk().say(asked).hear(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert lines(talk.messages()) == ["PUT /ws 2", "100 /ws 0"]
    talk.hear(b"HTTP/1.1 101 Go\r\n\r\n\x00\x01").end()
    assert lines(talk.messages())[2:] == ["101 /ws 0"]
    assert talk.left() == [Leftover(2, 0, "\x00\x01")] * 2


@pytest.mark.parametrize("fields", [b"", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n"])
@pytest.mark.parametrize("status", [b"200", b"299"])
def test_http_in_the_tunnel_of_a_connect(status: bytes, fields: bytes) -> None:
    """A success has no body, whatever its fields say; what is in the tunnel is looked for as behind a loss."""
    talk = Talk().say(CONNECT).hear(b"HTTP/1.1 " + status + b" Connected\r\n" + fields + b"\r\n")
    for head, body in ((b"GET /in HTTP/1.1\r\n\r\n", HELLO), (b"HEAD /h HTTP/1.1\r\n\r\n", HELLO[:-5])):
        talk.say(head).hear(body)
    talk.end()
    assert lines(talk.messages(0)) == ["CONNECT a:443 0", "GET /in 0", "HEAD /h 0"]
    assert lines(talk.messages(1)) == [f"{status.decode()} a:443 0", "200 /in 5", "200 /h 0"]
    assert talk.left() == []


def test_http_in_a_tunnel_may_stand_in_the_same_parts() -> None:
    requests, responses = exchange([CONNECT + GET], [b"HTTP/1.1 200 Connected\r\n\r\n" + HELLO])
    assert lines(requests) == ["CONNECT a:443 0", "GET /a 0"]
    assert [line[:3] for line in lines(responses)] == ["200", "200"]


def test_tls_in_a_tunnel() -> None:
    hello, data = b"\x16\x03\x01\x00\x05hello", b"\x17\x03\x03\x00\x09GET / HTTP/1.1\r\n\r\n"
    talk = Talk().say(CONNECT).hear(b"HTTP/1.1 200 OK\r\n\r\n").say(hello).hear(hello).say(data, data).hear(data).end()
    assert lines(talk.messages()) == ["CONNECT a:443 0", "200 a:443 0"]
    assert [left.nbytes for left in talk.left(0)] == [len(hello) + 2 * len(data)]
    text = (hello + data).partition(b"\r")[0].decode("latin-1")
    assert talk.left(1) == [Leftover(len(hello) + len(data), 0, text)]


def test_connect_refused() -> None:
    requests, responses = exchange([CONNECT + GET], [b"HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno" + HELLO])
    assert lines(requests) == ["CONNECT a:443 0", "GET /a 0"]
    assert lines(responses) == ["407 a:443 2", "200 /a 5"]


@pytest.mark.parametrize(
    ("behind", "targets"), [(GET, ["/ws", "/a"]), (b"\x81\x05hello\n" + GET, ["/ws"]), (b"", ["/ws"])]
)
@pytest.mark.parametrize("request_for", [UPGRADE, CONNECT.replace(b"a:443", b"/ws"), b"X /ws HTTP/1.1\nupgrade: b\n\n"])
def test_what_follows_on_an_upgrade_waits_for_the_answer(request_for: bytes, behind: bytes, targets: list[str]) -> None:
    """And is told by its looks, where there is none."""
    for give_up in (
        Talk.end,
        lambda talk: talk.exchange.overdue(),
        lambda talk: talk.exchange.parsers[1].end(Ending.CUT),
    ):
        talk = Talk().say(request_for + behind)
        assert ([m.target for m in talk.messages()], talk.watches) == (["/ws"], 1)
        talk.say(b"")
        give_up(talk)
        assert [m.target for m in talk.messages(0)] == targets
        assert talk.messages(0)[0].complete


def test_an_answer_that_was_lost_is_waited_for_no_longer() -> None:
    talk = Talk().say(UPGRADE, GET).hear(Gap(90), b"\x81\x00", HELLO)
    assert lines(talk.messages(0)) == ["GET /ws 0", "GET /a 0"]
    talk.end()


@pytest.mark.parametrize("behind", [b"", b"\x81\x05hello", HELLO])
def test_switching_protocols_that_nobody_asked_for(behind: bytes) -> None:
    talk = Talk().say(GET).hear(b"HTTP/1.1 101 Go\r\n\r\n", behind).say(GET).hear(HELLO).end()
    assert lines(talk.messages(0)) == ["GET /a 0"] * 2
    assert lines(talk.messages(1))[0] == "101 /a 0"
    assert lines(talk.messages(1))[-1] == "200 /a 5"
    assert [left.nbytes for left in talk.left()] == ([7] if behind[:1] == b"\x81" else [])


# -- before the first message

PROXY_2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack("!H", 12) + bytes([192, 0, 2, 1, 192, 0, 2, 2, 1, 2, 0, 80])
PROXIES = {
    "v1": b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 80\r\n",
    "v1, unknown": b"PROXY UNKNOWN\r\n",
    "v1, the longest": b"PROXY UNKNOWN " + b"f" * (107 - 16) + b"\r\n",
    "v2": PROXY_2,
    "v2, local": PROXY_2[:12] + b"\x20\0\0\0",
    "v2, with line ends in it": PROXY_2[:12] + b"\x21\x21\0\x14" + b"\r\n" * 10,
    "v2, large": PROXY_2[:12] + b"\x21\x11" + struct.pack("!H", 3000) + b"GET / HTTP/1.1\r\n\r\n" * 166 + bytes(12),
}


@pytest.mark.parametrize("preamble", PROXIES.values(), ids=PROXIES)
@pytest.mark.parametrize(
    "cut",
    [
        lambda front: [front + GET],
        lambda front: [front, GET],
        lambda front: by_one([front + GET]),
        lambda front: [front[:1], front[1:] + GET],
        lambda front: [front[:9], front[9:] + GET],
        lambda front: [front[:-1], front[-1:] + GET],
    ],
    ids=["same part", "own part", "bytes", "behind 1", "behind 9", "before the last"],
)
def test_the_proxy_protocol(preamble: bytes, cut: Callable[[bytes], list[bytes]]) -> None:
    talk = Talk().say(*cut(preamble), GET).hear(HELLO, HELLO).end()
    assert lines(talk.messages(0)) == ["GET /a 0"] * 2
    assert lines(talk.messages(1)) == ["200 /a 5"] * 2
    text = preamble.lstrip(b"\r\n")[: 5 if preamble.startswith(b"\r") else MAX_TEXT].decode("latin-1")
    text = text.partition("\n")[0].removesuffix("\r")
    assert talk.left() == [Leftover(len(preamble), 0, text)]


@pytest.mark.parametrize(
    ("front", "left"),
    [
        (b"PROXY TCP4 192.0.2.1", 20),
        (b"P", 1),
        (b"\r\n\r", 0),
        (PROXY_2[:13], 9),  # behind the empty lines
        (PROXY_2[:-1], 23),
    ],
)
@pytest.mark.parametrize("rest", [(), (Gap(5), GET)])
def test_a_preamble_that_is_cut(front: bytes, left: int, rest: Sequence[Event]) -> None:
    talk = Talk().say(front, *rest).end()
    assert lines(talk.messages()) == ["GET /a 0"] * bool(rest)
    assert sum(one.nbytes for one in talk.left()) == left


@pytest.mark.parametrize("line", [b"PROXY / HTTP/1.1\r\n", b"PROXYING /b HTTP/1.1\r\n"])
def test_requests_that_look_like_a_preamble_at_first(line: bytes) -> None:
    talk = Talk().say(line + b"\r\n").end()
    assert len(talk.messages()) == (not line.startswith(b"PROXY "))  # which says what the line is


def test_preambles_come_first_only() -> None:
    talk = Talk().say(GET).hear(HELLO).say(PROXIES["v1"] + GET, GET).end()
    assert lines(talk.messages(0)) == ["GET /a 0"] * 2
    assert only_left(talk).text.startswith("PROXY TCP4 ")


def test_the_longest_line_of_a_preamble() -> None:
    line = PROXIES["v1, the longest"]
    assert preamble_size(CompositeBuffer([line])) == len(line) == 107
    assert preamble_size(CompositeBuffer([line[:-1]])) is None
    assert preamble_size(CompositeBuffer([line[:-2] + b"f\r\n"])) == 0
    assert preamble_size(CompositeBuffer()) is None


SOCKS_5 = [
    *((0, b"\x05\x01\x00"), (1, b"\x05\x00"), (0, b"\x05\x01\x00\x03\x0bexample.org\x00\x50")),
    (1, b"\x05\x00\x00\x01\xc0\x00\x02\x01\x00\x50"),
]
SOCKS_5_WITH_A_PASSWORD = [
    *((0, b"\x05\x02\x00\x02"), (1, b"\x05\x02"), (0, b"\x01\x04user\x04pass"), (1, b"\x01\x00")),
    *((0, b"\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50"), (1, b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")),
]
SOCKS_4 = [(0, b"\x04\x01\x00\x50\xc0\x00\x02\x01user\x00"), (1, b"\x00\x5a\x00\x50\xc0\x00\x02\x01")]
SOCKS_4A = [(0, b"\x04\x01\x00\x50\x00\x00\x00\x01\x00example.org\x00"), (1, b"\x00\x5a" + bytes(6))]


def only_left(talk: Talk) -> Leftover:
    assert len(talk.left()) == 1, talk.left()
    return talk.left()[0]


@pytest.mark.parametrize("preamble", [SOCKS_5, SOCKS_5_WITH_A_PASSWORD, SOCKS_4, SOCKS_4A])
def test_socks(preamble: list[tuple[int, bytes]]) -> None:
    talk = Talk()
    for side, part in preamble:
        talk.say(part, side=side)
    talk.say(b"HEAD /h HTTP/1.1\r\n\r\n").hear(OK + b"Content-Length: 5\r\n\r\n").say(GET).hear(HELLO).end()
    assert lines(talk.messages()) == ["HEAD /h 0", "200 /h 0", "GET /a 0", "200 /a 5"]
    for side in (0, 1):
        assert [one.nbytes for one in talk.left(side)] == [sum(len(part) for at, part in preamble if at == side)]


def test_a_request_in_the_same_part_as_socks_is_not_found_but_shown() -> None:
    talk = Talk().say(SOCKS_4[0][1] + GET).hear(SOCKS_4[1][1], HELLO).say(GET).hear(HELLO).end()
    assert lines(talk.messages()) == ["200 None 5", "GET /a 0", "200 /a 5"]
    assert talk.left(0)[0].text.endswith("user\0GET /a HTTP/1.1")


# -- the end of a stream


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"G", "the capture ends inside the head"),
        (b"GET / HTTP/1.1\r\nA: b\r\n", "the capture ends inside the head"),
        (b"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", "the capture ends at byte 0 of the body"),
        (b"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab", "the capture ends at byte 2 of the body"),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r", "the capture ends at byte 3 of the body"),
        (
            b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
            "the capture ends at byte 3 of the body",
        ),
    ],
)
def test_a_message_that_is_cut(data: bytes, error: str) -> None:
    for cut in ([GET + data], by_one([GET + data])):
        first, second = requests_in(*cut, ending=Ending.CUT)
        assert (first.error, second.error) == (None, error)


def test_the_beginning_of_a_start_line_alone_shows_no_http() -> None:
    talk = Talk().say(b"GET / HT").end()
    assert (talk.messages(), only_left(talk)) == ([], Leftover(8, 0, "GET / HT"))


def test_what_is_known_of_a_cut_head() -> None:
    message = only(requests_in(b"GET /a HTTP/1.1\r\nA: b\r\nC: ", ending=Ending.RESET))
    assert (message.method, message.target, message.headers) == ("GET", "/a", [("A", "b")])
    assert message.error == "the connection was reset inside the head"
    assert message.head == b"GET /a HTTP/1.1\r\nA: b\r\nC: "


@pytest.mark.parametrize("ending", list(Ending))
def test_nothing_is_wrong_with_a_stream_that_ends_between_messages(ending: Ending) -> None:
    assert [m.error for m in requests_in(GET + GET, ending=ending)] == [None, None]
    assert requests_in(ending=ending) == []


# -- gaps


def test_a_gap_in_a_body_of_known_length() -> None:
    first, second = responses_in(OK + b"Content-Length: 10\r\n\r\nab", Gap(3), b"fghij" + HELLO)
    assert first.error == "3 bytes missing from byte 2 of the body on"
    assert (bytes(first.body), first.missing, first.hole) == (b"abfghij", 3, 2)
    assert (body_of(second), second.target) == (b"hello", "/a")


def test_several_gaps_in_a_body() -> None:
    first, second = responses_in(OK + b"Content-Length: 10\r\n\r\na", Gap(2), b"d", Gap(1), Gap(5), HELLO)
    assert first.error == "8 bytes missing from byte 1 of the body on"
    assert (bytes(first.body), body_of(second), second.target) == (b"ad", b"hello", "/a")


def test_a_gap_in_the_data_of_a_chunk() -> None:
    first, second = responses_in(CHUNKED + b"5\r\nh", Gap(4), b"\r\n1\r\n!\r\n0\r\n\r\n" + HELLO)
    assert first.error == "4 bytes missing from byte 1 of the body on"
    assert (bytes(first.body), body_of(second), second.target) == (b"h!", b"hello", "/a")


def test_a_gap_in_a_body_that_the_connection_ends() -> None:
    message = only(responses_in(OK + b"\r\nab", Gap(3), b"c", Gap(1)))
    assert message.error == "4 bytes missing from byte 2 of the body on"
    message = only(responses_in(OK + b"\r\nab", Gap(3), ending=Ending.CUT))
    assert message.error == "3 bytes missing from byte 2 of the body on; the capture ends at byte 5 of the body"


def test_a_gap_beyond_a_body_also_costs_what_follows() -> None:
    first, second, third = responses_in(OK + b"Content-Length: 4\r\n\r\nab", Gap(100), HELLO)
    assert first.error == "2 bytes missing from byte 2 of the body on"
    assert second.error == "98 bytes missing where a response should begin"
    assert (second.target, second.status) == ("/a", None)  # it is the next that is due
    assert (body_of(third), third.target) == (b"hello", None)


@pytest.mark.parametrize("front", [b"HTT", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Le"])
def test_a_gap_inside_a_head(front: bytes) -> None:
    first, second = responses_in(front, Gap(7), HELLO)
    assert first.error == "7 bytes missing inside the head"
    assert first.head == front
    assert body_of(second) == b"hello"


@pytest.mark.parametrize("front", [b"5", b"2\r\nab\r", b"2\r\nab\r\n", b"2\r\nab", b"2\r\nab\r\n0\r\nA:"])
def test_a_gap_inside_the_framing_of_chunks(front: bytes) -> None:
    first, second = responses_in(CHUNKED + front, Gap(7), HELLO)
    assert first.error == f"7 bytes missing at byte {2 if len(front) > 1 else 0} of the body"
    assert body_of(second) == b"hello"


def test_a_gap_beyond_a_chunk() -> None:
    first, second = responses_in(CHUNKED + b"5\r\nhe", Gap(7), HELLO)
    assert first.error == "3 bytes missing from byte 2 of the body on; 4 bytes missing at byte 5 of the body"
    assert body_of(second) == b"hello"


def test_a_gap_between_messages() -> None:
    first, second, third = requests_in(GET, Gap(40), GET)
    assert [first.error, third.error] == [None, None]
    assert (second.error, second.method) == ("40 bytes missing where a request should begin", None)


def test_a_gap_at_the_end() -> None:
    first, second = responses_in(HELLO, Gap(9))
    assert (first.error, second.error) == (None, "9 bytes missing where a response should begin")


# -- behind a loss

LOSSES: dict[str, list[Event]] = {
    "a head": [Gap(60), b"lost its head"],
    "a head, and what is behind it begins like a line": [Gap(60), b"some words"],
    "half a head": [b"HTTP/1.1 200 OK\r\nServer: ", Gap(60), b"\r\n\r\nbody"],
    "the border of two chunks": [CHUNKED + b"5\r\nhel", Gap(20), b"rest\r\n0\r\n\r\n"],
    "the last chunk": [CHUNKED + b"5\r\nhello\r\n", Gap(5)],
    "a chunk size refused": [CHUNKED + b"five\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n"],
    "a length refused": [OK + b"Content-Length: five\r\n\r\n", b"hello"],
    "a start line refused": [b"HTTP/1.1 OK\r\nContent-Length: 5\r\n\r\nhello", b"more\n"],
    "too long a head": [OK + b"A: " + b"x" * MAX_HEAD, b"y" * 100 + b"\r\n\r\n"],
    "bytes of no protocol": [bytes(range(256)), bytes(300), b"\r\n"],
    "a line without end": [b"HTTP/1.1 200 " + b"x" * MAX_HEAD, b"x" * MAX_HEAD, b"x"],
    "the front of a line": [Gap(1), b"TTP/1.1 200 OK\r\n\r\n"],
}
Cut = Callable[[bytes], list[bytes]]
CUTS: dict[str, Cut] = {
    "in one part": lambda data: [data],
    "in two parts": lambda data: [data[:-3], data[-3:]],
    "with its line in two": lambda data: [data[:6], data[6:]],
    "byte by byte": lambda data: [data[at : at + 1] for at in range(len(data))],
    "behind line ends": lambda data: [b"\r\n\n" + data],
    "behind line ends of their own": lambda data: [b"\r\n", data],
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_responses_go_on_behind_a_loss(loss: list[Event], cut: Cut) -> None:
    """However often: all later messages are there, and are paired by time, so that those to HEAD have no body."""
    talk = Talk().say(GET).hear(HELLO)
    for _ in range(2):
        talk.say(GET).hear(*loss)
        talk.say(GET).hear(*cut(HELLO)).say(b"HEAD /h HTTP/1.1\r\n\r\n").hear(*cut(HELLO[:-5]))
    talk.end()
    assert [line for line in lines(talk.messages(1)) if line in ("200 /a 5", "200 /h 0")] == [
        *("200 /a 5", "200 /a 5", "200 /h 0", "200 /a 5", "200 /h 0")
    ]
    assert sum(m.complete for m in talk.messages(1)) == 5


LOST_REQUESTS: dict[str, list[Event]] = {
    "a head": [Gap(60), b"lost=its&head"],
    "half a head": [b"POST / HTTP/1.1\r\nContent-", Gap(60), b": 4\r\n\r\nbody"],
    "the border of two chunks": [
        b"PUT /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nh",
        Gap(20),
        b"t\r\n0\r\n\r\n",
    ],
    "lengths that differ": [b"PUT /c HTTP/1.1\r\nContent-Length: 5, 4\r\n\r\n", b"hello"],
    "a line refused": [b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n"],
    "a coding refused": [b"PUT /c HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n\x1f\x8b", bytes(50)],
    "too many fields": [b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 300 + b"\r\n", b"C: d\r\n\r\n"],
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize("loss", LOST_REQUESTS.values(), ids=LOST_REQUESTS)
def test_requests_go_on_behind_a_loss(loss: list[Event], cut: Cut) -> None:
    talk = Talk().say(GET).hear(HELLO)
    for _ in range(2):
        talk.say(*loss).hear(HELLO)
        talk.say(*cut(GET)).hear(HELLO).say(*cut(b"HEAD /h HTTP/1.1\r\n\r\n")).hear(HELLO[:-5])
    talk.end()
    assert [line for line in lines(talk.messages(0)) if line in ("GET /a 0", "HEAD /h 0")] == [
        *("GET /a 0", "GET /a 0", "HEAD /h 0", "GET /a 0", "HEAD /h 0")
    ]
    found = lines(talk.messages(1))
    assert [*found[2:4], *found[5:7]] == ["200 /a 5", "200 /h 0"] * 2
    assert found[1] in ("200 None 5", "200 / 5", "200 /c 5")


def test_pipelined_requests_behind_a_loss_are_those_between_which_nothing_came() -> None:
    head = b"HEAD /h HTTP/1.1\r\n\r\n"
    talk = Talk().say(GET).hear(HELLO, Gap(5), b"x").say(GET, head, GET).hear(HELLO, HELLO[:-5], HELLO).end()
    assert lines(talk.messages(1))[2:] == ["200 /a 5", "200 /h 0", "200 /a 5"]


def test_requests_behind_a_loss_while_others_are_due_are_not_paired() -> None:
    """One of those that are missing may be answered next."""
    talk = Talk().say(GET, Gap(40), b"GET /b HTTP/1.1\r\n\r\n").hear(HELLO * 3)
    assert lines(talk.messages(1)) == ["200 /a 5", "200 None 5", "200 None 5"]
    talk.say(b"HEAD /h HTTP/1.1\r\n\r\n").hear(HELLO[:-5]).say(GET).hear(HELLO).end()
    assert lines(talk.messages(1))[3:] == ["200 /h 0", "200 /a 5"]


def test_a_request_without_an_answer_behind_a_loss_is_not_answered_by_a_later_one() -> None:
    talk = Talk().say(Gap(1), GET).hear(Gap(5), b"lost").say(b"GET /b HTTP/1.1\r\n\r\n").hear(HELLO).end()
    assert lines(talk.messages(1))[1:] == ["200 /b 5"]


@pytest.mark.parametrize(
    ("said", "heard"), [([GET, b"HEAD /h HTTP/1.1\r\n\r\n"] * 3, [HELLO, HELLO[:-5]] * 3), ([GET] * 4, [HELLO] * 4)]
)
def test_pipelined_requests_are_counted_however_late_the_answers(said: list[bytes], heard: list[bytes]) -> None:
    expected = ["200 /a 5", "200 /h 0"] * 3 if len(said) == 6 else ["200 /a 5"] * 4
    assert lines(Talk().say(*said).hear(*heard).end().messages(1)) == expected
    assert lines(Talk().hear(b"".join(heard)).say(b"".join(said)).end().messages(1)) == expected
    talk = Talk().say(said[0])
    for request, response in zip([*said[1:], b""], heard, strict=True):
        talk.say(request).hear(response)
    assert lines(talk.end().messages(1)) == expected


@pytest.mark.parametrize("cut", list(CUTS.values())[:4], ids=list(CUTS)[:4])
@pytest.mark.parametrize(
    "fields", [b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"", b"Content-Length: 900\r\n"]
)
def test_responses_to_head_are_told_by_what_follows_where_their_request_is_not_known(cut: Cut, fields: bytes) -> None:
    """As when a response was lost, and nobody knew before all requests had come."""
    head = OK + fields + b"\r\n"
    talk = (
        Talk().say(GET, GET, b"HEAD /h HTTP/1.1\r\n\r\n", GET).hear(Gap(43), *cut(HELLO), *cut(head), *cut(HELLO)).end()
    )
    assert lines(talk.messages(1))[1:] == ["200 None 5", "200 None 0", "200 None 5"]
    talk = Talk().hear(*cut(head), HELLO, *cut(head), HELLO, HELLO + head).end()
    assert lines(talk.messages(1))[:5] == ["200 None 0", "200 None 5", "200 None 0", "200 None 5", "200 None 5"]


@pytest.mark.parametrize("body", [b"", b"H", b"HTTP/", b"HTTP/2.0", b"hello"])
def test_a_body_that_only_begins_like_a_status_line_is_one(body: bytes) -> None:
    head = OK + b"Content-Length: %d\r\n\r\n" % len(body)
    assert lines(Talk().hear(head + body, HELLO).end().messages()) == [f"200 None {len(body)}", "200 None 5"]
    for end in ([], [Gap(9)]):
        found = Talk().hear(OK + b"Content-Length: 9\r\n\r\n" + body, *end).end().messages()
        assert (len(found[0].body), found[0].missing) == (len(body), bool(end) * (9 - len(body)))
    asked = Talk().say(GET).hear(OK + b"Content-Length: 12\r\n\r\nHTTP/1.1 200").end()
    assert lines(asked.messages(1)) == ["200 /a 12"]


def test_a_response_that_was_lost_takes_its_request() -> None:
    other = b"GET /b HTTP/1.1\r\n\r\n"
    for lost in ([Gap(43)], [HELLO[:9], Gap(34)], [b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"]):
        talk = Talk().say(GET, other).hear(*lost, HELLO, HELLO).end()
        assert lines(talk.messages(1))[1:] == ["200 /b 5", "200 None 5"]


def test_requests_that_come_behind_a_loss_among_the_responses_are_due_too() -> None:
    talk = (
        Talk()
        .say(GET)
        .hear(b"\0junk")
        .say(b"GET /b HTTP/1.1\r\n\r\n", b"GET /c HTTP/1.1\r\n\r\n")
        .hear(HELLO * 2)
        .end()
    )
    assert lines(talk.messages(1)) == ["200 /b 5", "200 /c 5"]
    talk = Talk().say(GET).hear(HELLO[:-5] + b"hello\0junk").say(GET, b"GET /b HTTP/1.1\r\n\r\n").hear(HELLO * 2).end()
    assert lines(talk.messages(1)) == ["200 /a 5", "200 /a 5", "200 /b 5"]


def test_a_response_that_is_paired_by_time_alone_may_be_to_head_all_the_same() -> None:
    talk = Talk().say(Gap(20), GET).hear(HELLO[:-5], HELLO).end()
    assert lines(talk.messages(1)) == ["200 /a 0", "200 None 5"]


def test_a_message_in_the_middle_of_a_part_is_not_found_but_told() -> None:
    """Else any text about HTTP would be messages."""
    talk = Talk().say(GET, Gap(3), b"see:\r\n" + GET).hear(HELLO, b"bytes: " + HELLO, HELLO).end()
    assert lines(talk.messages(0)) == ["GET /a 0", "None None 0 3 bytes missing where a request should begin"]
    assert lines(talk.messages(1))[1:] == ["200 None 5"]
    assert [(one.nbytes, one.text) for one in talk.left()] == [
        (len(HELLO) + 7, "bytes: HTTP/1.1 200 OK"),
        (len(GET) + 6, "see:"),
    ]


def test_a_gap_in_what_is_left_is_told_with_it() -> None:
    talk = Talk().say(GET).hear(HELLO + b"\0rest", Gap(9), b"\0more", Gap(1), HELLO).end()
    assert talk.left() == [Leftover(10, 10, "\0rest")]
    talk = Talk().say(Gap(4), b"x y z", Gap(7)).end()
    assert (talk.messages(), talk.left()) == ([], [Leftover(5, 11, "x y z")])


def test_a_loss_before_anybody_spoke_http_is_told_as_missing() -> None:
    talk = Talk().say(Gap(4), GET).hear(Gap(5), HELLO).end()
    assert lines(talk.messages(0)) == ["GET /a 0"]
    assert talk.left() == [
        Leftover(0, 4, ""),
    ]
    assert lines(talk.messages(1)) == ["None None 0 5 bytes missing where a response should begin", "200 None 5"]


# -- captures that begin in the middle


def join(asked: Iterable[Event], answered: Iterable[Event]) -> Talk:
    return Talk(joins=(True, True)).say(*asked).hear(*answered).end()


def test_joining_between_messages() -> None:
    talk = join([GET], [HELLO])
    assert lines(talk.messages()) == ["GET /a 0", "200 /a 5"]
    assert talk.left() == []


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize(
    "front",
    [
        *([b"rest of a body"], [b"a line\r\n", b"x"], [Gap(5), b"x"], [b"x" * (MAX_HEAD + 10)], [b"Host: a\r\n\r\n"]),
        *([b"hello"], [b"GET"], [b"5\r\n", b"hello\r\n", b"0\r\n\r\n"], [b"<p>HTTP/1.1 200 OK\r\n\r\n"]),
    ],
)
def test_joining_inside_a_message(front: list[Event], cut: Cut) -> None:
    talk = join([], [*front, *cut(HELLO), *cut(HELLO)])
    assert lines(talk.messages()) == ["200 None 5"] * 2
    assert only_left(talk).nbytes >= sum(len(event) for event in front if isinstance(event, bytes))
    talk = join([*front[:-1], b"\0", *cut(GET), *cut(GET)], [])
    assert lines(talk.messages()) == ["GET /a 0"] * 2


@pytest.mark.parametrize(
    ("parts", "methods"),
    [
        ([b"GE", b"T / HTTP/1.1\r\n\r\n"], ["GET"]),
        ([b"UN", b"LOCK / HTTP/1.1\r\n\r\n"], ["UNLOCK"]),
        ([b"hello", b"GET / HTTP/1.1\r\n\r\n"], ["GET"]),
        ([b"he", b"l", b"lo", b"PUT / HTTP/1.1\r\n\r\n"], ["PUT"]),
        ([b"\r\n", b"\r\n", b"B", b"PUT / HTTP/1.1\r\n\r\n"], ["PUT"]),
        ([b"PU", b"SH / HTTP/1.1\r\n\r\n"], ["PUSH"]),
        ([b"BREW / HTTP/1.1\r\n", b"Host: a\r\n\r\n"], ["BREW"]),
        ([b"\r\nMY", b"WORD", b" /", b" HTTP/1.1\r\n\r\n"], ["MYWORD"]),
    ],
)
def test_letters_before_a_request_are_no_part_of_its_method(parts: list[bytes], methods: list[str]) -> None:
    """Of what can be the method, that is one which begins a part, and which is registered, if any is."""
    assert [m.method for m in join(parts, []).messages(0)] == methods


def test_joining_inside_a_body_on_one_side() -> None:
    talk = Talk(joins=(False, True)).hear(b"body", b"body").say(GET).hear(HELLO).say(GET + GET).hear(HELLO * 2).end()
    assert lines(talk.messages()) == ["GET /a 0", "200 /a 5", "GET /a 0", "GET /a 0", "200 /a 5", "200 /a 5"]


def test_joining_nothing() -> None:
    talk = join([], [])
    assert (talk.told, talk.exchange.is_http) == ([], False)


def test_the_server_may_be_whoever_answers() -> None:
    talk = Talk().say(HELLO, side=0).say(GET, side=1).end()
    assert [(side, what.kind) for side, what in talk.told if isinstance(what, Message)] == [
        *((1, "request"), (0, "response"))
    ]


def test_a_side_that_also_speaks_as_the_other_should() -> None:
    talk = Talk().say(GET).hear(GET, HELLO).say(HELLO, GET).end()
    assert lines(talk.messages(0)) == ["GET /a 0"] * 2
    assert lines(talk.messages(1)) == ["200 /a 5"] or lines(talk.messages(1)) == ["200 None 5"]
    assert [one.text for one in talk.left()] == ["GET /a HTTP/1.1", "HTTP/1.1 200 OK"]


@pytest.mark.parametrize(
    ("front", "can"),
    [
        *(
            ("", True),
            ("G", True),
            ("GET", True),
            ("GET ", True),
            ("GET /", True),
            ("GET / ", True),
            ("GET / HT", True),
        ),
        *(("GET / HTTP/1.", True), ("GET / HTTP/1.1", True), ("GET / HTTP/1.1\r", True), ("HTTP/1.1 2", True)),
        *(("HTTP/1.1 200", True), ("HTTP/1.1 200 any\xff", True), ("HTTP/1.1 200\r", True), ("HTTP/1.1 ", True)),
        *((" ", False), ("GET  ", False), ("GET / X", False), ("GET / HTTP/2", False), ("GET / HTTP/1.1 ", False)),
        *(("GET /\x7f", False), ("a b c", False), ("<html>", True), ("<html> b", True), ("HTTP/2", False)),
        *(("HTTP/1.1 20 ", False), ("HTTP/1.1 2000", False), ("HTTP/1.1 200 \0", False), ("\x16\x03", False)),
        *(("m" * MAX_METHOD, True), ("m" * (MAX_METHOD + 1), False), ("m" * MAX_METHOD + " " + "t" * 99, True)),
    ],
)
def test_what_can_be_the_front_of_a_start_line(front: str, can: bool) -> None:
    assert can_begin(front, None) is (can and not front.startswith("<"))
    assert can_begin(front, None) is (can_begin(front, "request") or can_begin(front, "response"))
    assert not can_begin(front, "response") or front[:5] == "HTTP/"[: len(front)]


# -- no answer depends on how the bytes were cut

ASKED = b"".join(
    [
        *(GET, b"\r\nHEAD /h HTTP/1.1\nA: b\n c\n\n", b"POST /p HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"),
        *(b"PUT /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nab\r\n0\r\nT: u\r\n\r\n", GET),
        *(b"GET /w HTTP/1.1\r\nUpgrade: x\r\n\r\n", GET, GET),
    ]
)
ANSWERED = b"".join(
    [
        *(HELLO, OK + b"Content-Length: 5\r\n\r\n", b"HTTP/1.1 100 Go\r\n\r\n", HELLO),
        *(CHUNKED + b"1\r\na\r\n2\r\nbc\r\n0\r\nA: b\r\n\r\n", b"HTTP/1.1 304 Same\n\n", HELLO, HELLO, OK, b"\r\nrest"),
    ]
)
EXAMPLES: list[tuple[list[Event], list[Event]]] = [
    ([ASKED], [ANSWERED]),
    ([ASKED[:40], Gap(4), ASKED[44:]], [ANSWERED]),
    ([ASKED], [ANSWERED[:40], Gap(4), ANSWERED[44:]]),
    ([ASKED], [OK + b"Content-Length: 9\r\n\r\nab", Gap(4), b"cde" + HELLO, Gap(30), HELLO]),
    ([ASKED], [CHUNKED + b"9\r\nab", Gap(4), b"cde\r\n1\r\nx", Gap(30), HELLO]),
    ([b"GET / HTTP/1.1\r\nA : b\r\n\r\n" + GET], [CHUNKED + b"0x\r\n\r\n"]),
    ([b"CONNECT a:1 HTTP/1.1\r\n\r\n\x16\x03\x01\n\n" + GET], [OK + b"\r\n" + HELLO]),
]


def by_one(events: Iterable[Event]) -> list[Event]:
    cut: list[Event] = []
    for event in events:
        cut += [event] if isinstance(event, Gap) else [event[at : at + 1] for at in range(len(event))]
    return cut


def cut_at(events: Sequence[Event], offset: int) -> list[Event]:
    """Cut the events at an offset that counts their bytes."""
    cut: list[Event] = []
    for event in events:
        if isinstance(event, bytes) and 0 < offset < len(event):
            cut += [event[:offset], event[offset:]]
        else:
            cut.append(event)
        offset -= 0 if isinstance(event, Gap) else len(event)
    return cut


def nbytes(events: Iterable[Event]) -> int:
    return sum(len(event) for event in events if isinstance(event, bytes))


@pytest.mark.parametrize(("asked", "answered"), EXAMPLES)
def test_one_byte_at_a_time(asked: list[Event], answered: list[Event]) -> None:
    whole = until_a_loss(asked, answered)
    assert until_a_loss(by_one(asked), answered) == whole
    assert until_a_loss(asked, by_one(answered)) == whole
    assert until_a_loss(by_one(asked), by_one(answered)) == whole


@pytest.mark.parametrize(("asked", "answered"), EXAMPLES)
def test_cut_at_every_offset(asked: list[Event], answered: list[Event]) -> None:
    whole = until_a_loss(asked, answered)
    step = 5 if IS_QUICK else 1
    for offset in range(1, nbytes(asked), step):
        assert until_a_loss(cut_at(asked, offset), answered) == whole
    for offset in range(1, nbytes(answered), step):
        assert until_a_loss(asked, cut_at(answered, offset)) == whole


_TOKENS = [
    *(GET, HELLO, CHUNKED, b"2\r\nab\r\n", b"0\r\n\r\n", b"\r\n", b"\n", b"\r", b" ", b"x", b"HEAD / HTTP/1.1\r\n\r\n"),
    *(b"HTTP/1.1 204 x\r\n\r\n", b"HTTP/1.1 100 x\r\n\r\n", b"HTTP/1.1 101 x\r\n\r\n", b"Content-Length: 3\r\n", OK),
    *(
        b"CONNECT a:1 HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nUpgrade: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
    ),
]
_events: st.SearchStrategy[list[Event]] = st.lists(
    st.one_of(st.sampled_from(_TOKENS), st.binary(min_size=1, max_size=4), st.builds(Gap, st.integers(1, 50))),
    max_size=14,
)


@given(_events, _events, st.lists(st.integers(1, 400), max_size=12))
def test_any_events_give_the_same_messages_however_they_are_cut(
    asked: list[Event], answered: list[Event], offsets: list[int]
) -> None:
    """As long as nothing has to be looked for: that depends on where parts begin."""
    whole = until_a_loss(asked, answered)
    cut_asked, cut_answered = asked, answered
    for offset in offsets:
        cut_asked, cut_answered = cut_at(cut_asked, offset), cut_at(cut_answered, offset)
    assert until_a_loss(cut_asked, cut_answered) == whole
    assert until_a_loss(by_one(asked), by_one(answered)) == whole


def until_a_loss(asked: Sequence[Event], answered: Sequence[Event]) -> list[tuple[object, ...]]:
    """Return what is told before a start line is looked for on either side, and check all that is told.

    A start line that is refused is a part of what is lost: whether it is a message is told by as much as has come.
    """
    seen: list[int] = []
    talk = Talk()
    lose = talk.exchange.lose

    def told(half: HalfParser) -> None:
        seen.append(len(talk.told))
        lose(half)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Exchange, "lose", lambda self, half: told(half))
        talk.say(*asked).hear(*answered).end()
    found = [what for _, what in talk.told[: seen[0] if seen else None] if isinstance(what, Message)]
    return [facts(message) for message in found if message.version or "not a re" not in (message.error or "")]


@given(
    st.lists(st.tuples(st.integers(0, 1), _events), max_size=12), st.booleans(), st.booleans(), st.sampled_from(Ending)
)
def test_each_byte_of_any_events_is_in_a_message_or_told(
    turns: list[tuple[int, list[Event]]], joins: bool, overdue: bool, ending: Ending
) -> None:
    """And all that waits ends, in whatever order sides speak: `Talk.end` checks it."""
    talk = Talk(joins=(joins, joins and overdue))
    for side, events in turns:
        talk.say(*events, side=side)
        if overdue and talk.watches:
            talk.exchange.overdue()
    talk.end(ending, first=len(turns) % 2)
    answered = [m.request for m in talk.messages() if m.request is not None]
    order = {id(what): at for at, (_, what) in enumerate(talk.told)}
    for response in talk.messages():
        if response.request is not None:
            assert order[id(response.request)] < order[id(response)]
            assert response.target == response.request.target
    finals = [id(m.request) for m in talk.messages() if m.request is not None and m.is_final]
    assert len(set(finals)) == len(finals) <= len(answered)


_TURNS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                b"GET /%d HTTP/1.1\r\n\r\n",
                b"HEAD /%d HTTP/1.1\r\n\r\n",
                b"PUT /%d HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
            ]
        ),
        st.sampled_from(
            [
                HELLO,
                CHUNKED + b"5 \r\nhello\r\n00\r\n\r\n",
                b"HTTP/1.1 204 No\r\n\r\n",
                b"HTTP/1.1 099 Odd\r\nContent-Length: 2,2\r\n\r\nhi",
            ]
        ),
        st.sampled_from(["", "", "lost request", "lost response", "cut response", "stray request", "stray response"]),
        st.integers(6, 60),
    ),
    max_size=12,
)


def disturbed(data: bytes, how: str, size: int) -> list[Event]:
    events: dict[str, list[Event]] = {
        "lost": [Gap(size), data[size:]],
        "cut": [data[:-size], Gap(min(size, len(data)))],
        "stray": [b"\0 x\n" * size, data],
    }
    return [event for event in events.get(how, [data]) if event]


@given(_TURNS)
def test_no_message_that_is_there_is_missing_or_invented_whatever_is_lost_before_it(
    turns: list[tuple[bytes, bytes, str, int]],
) -> None:
    """A client that does not pipeline, and losses of heads, of tails, and bytes of no protocol between messages."""
    talk = Talk()
    expected: list[list[str]] = [[], []]
    for number, (request, response, what, size) in enumerate(turns):
        asked = (request.replace(b"HEAD", b"GET") if what == "lost request" else request) % number
        answer = response.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if asked[:4] == b"HEAD" else response
        talk.say(*disturbed(asked, what.removesuffix(" request"), size))
        talk.hear(*disturbed(answer, what.removesuffix(" response"), size))
        if what != "lost request":
            expected[0].append(asked.decode().partition(" HTTP")[0])
        if what not in ("lost response", "cut response"):
            target = "None" if what == "lost request" else f"/{number}"
            expected[1].append(f"{int(answer[9:12])} {target}")
    talk.end()
    assert [f"{m.method} {m.target}" for m in talk.messages(0) if m.complete] == expected[0]
    assert [f"{m.status} {m.target}" for m in talk.messages(1) if m.complete] == expected[1]


# -- cost


def test_many_small_feeds_take_time_in_proportion() -> None:
    """10^5 feeds of one byte: a head, and a body; looking from the front each time would take minutes."""
    count = 40 if IS_QUICK else 200
    fields = b"".join(b"Field-%d: %s\r\n" % (n, b"x" * 240) for n in range(count))
    data = OK + fields + b"Content-Length: %d\r\n\r\n" % (250 * count) + bytes(250 * count)
    message = only(responses_in(*by_one([data])))
    assert (message.error, len(message.body)) == (None, 250 * count)


@contextmanager
def counted_here() -> Iterator[Work]:
    """Count lines of the package and of the example that run, and bytes that are searched or made text."""
    with counted(str(Path(incoming.__file__).parent)) as work, pytest.MonkeyPatch.context() as patch:

        def text_of(line: SliceBuffer) -> str:
            work.nbytes += len(line)
            return real(line)

        real = incoming.text_of
        patch.setattr(incoming, "text_of", text_of)
        yield work


def cut_in(size: int, data: bytes) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


HOSTILE: dict[str, Callable[[int], list[bytes]]] = {
    "text that can be start lines, byte by byte": lambda n: cut_in(1, b"a b c " * (n // 6)),
    "words, byte by byte": lambda n: cut_in(1, b"word\n" * (n // 5)),
    "a line without end, byte by byte": lambda n: cut_in(1, b"HTTP/1.1 200 " + b"x" * n),
    "a target without end, byte by byte": lambda n: cut_in(1, b"G /" + b"x" * n),
    "fronts that can be start lines": lambda n: cut_in(97, b"".join(b"m " + b"t" * 95 for _ in range(n // 12))),
    "line ends": lambda n: cut_in(3, b"\r\n" * n),
    "bytes of another protocol": lambda n: cut_in(10, bytes(range(256)) * (n // 16)),
    "status lines in requests": lambda n: cut_in(13, b"HTTP/1.1 200 " * (n // 8)),
    "status lines that are wrong at their end": lambda n: cut_in(13, b"HTTP/1.1 200 " * (n // 8) + b"\0\n"),
    "refused lines": lambda n: cut_in(17, b"GET a b HTTP/1.1\n" * (n // 8)),
}


@pytest.mark.skipif(COMPILED, reason="counts lines, and compiled code has none: run on the pure build")
@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("asked", [True, False])
def test_looking_for_a_start_line_is_linear(hostile: Callable[[int], list[bytes]], asked: bool) -> None:
    """Also where each byte begins a part, and within a line that may still be one."""
    totals = []
    sizes = (500, 1_000) if IS_QUICK else (500, 1_000, 2_000, 4_000)
    for n in sizes:
        talk = Talk().say(GET).hear(HELLO)
        parts = hostile(n)
        with counted_here() as work:
            talk.say(*parts, side=not asked)
        talk.end()
        totals.append(work.total)
    assert all(second <= 2.2 * first + 1_000 for first, second in pairwise(totals)), totals
    assert totals[-1] <= 1.1 * sizes[-1] / sizes[0] * totals[0] + 4_000, totals


@pytest.mark.skipif(COMPILED, reason="counts lines, and compiled code has none: run on the pure build")
@pytest.mark.parametrize("behind", [HELLO, b"HTTP/1.1 100 Go\r\n\r\n", b"\0junk"])
def test_many_answers_before_the_end_of_their_request_are_linear(behind: bytes) -> None:
    totals = []
    for n in (25, 200):
        talk = Talk().say(GET).hear(HELLO, b"\0").say(b"PUT /p HTTP/1.1\r\nContent-Length: 4\r\n\r\nab")
        with counted_here() as work:
            talk.hear(*[b"HTTP/1.1 100 Go\r\n\r\n"] * n, *[behind] * n)
            talk.say(b"cd")
        talk.end()
        totals.append(work.total)
    assert totals[-1] <= 8.8 * totals[0] + 4_000, totals


@pytest.mark.parametrize(
    "part",
    [b"\x17\x03\x03" + bytes(1021), b"a b c " * 170, b"x" * 1024, b"GET" * 300, b"\r\n" * 500, b"G /" + b"t" * 999],
)
@pytest.mark.parametrize("asked", [True, False])
def test_nothing_is_kept_of_another_protocol(part: bytes, asked: bool) -> None:
    """Of all of it no more than a start line may have; and what is found behind it is found at once."""
    talk = Talk().say(GET, b"\0").hear(HELLO, b"\0")
    parser = talk.exchange.parsers[not asked]
    size = (2 if IS_QUICK else 16) * MAX_HEAD
    for _ in range(size // len(part)):
        parser.feed(SliceBuffer(part))
        assert len(parser._in.data) < MAX_HEAD + len(part)
        assert not parser._in.events
        assert len(parser._in._fronts) <= MAX_HEAD // len(part) + 2
    parser.feed(SliceBuffer(b"\n"))
    parser.feed(SliceBuffer(GET if asked else HELLO))
    assert len(talk.messages(not asked)) == 2
    assert parser.unparsed >= size - len(part)


def test_a_body_fed_in_pieces_of_one_owner_is_one_part() -> None:
    owner = SliceBuffer(HELLO)
    talk = Talk().say(GET)
    with no_copy():
        for at in range(len(owner)):
            talk.exchange.parsers[1].feed(owner[at : at + 1])
    message = only(talk.messages(1))
    assert (message.head.part_count, message.body.part_count) == (1, 1)
    assert message.body.view().obj is owner.view().obj


def test_bodies_are_never_copied() -> None:
    choices = random.Random(3)
    owner = SliceBuffer(ANSWERED)
    talk = Talk()
    requests, responses = talk.exchange.parsers
    with no_copy():
        requests.feed(SliceBuffer(ASKED))
        at = 0
        while at < len(owner):
            size = choices.randrange(1, 30)
            responses.feed(owner[at : at + size])
            at += size
        responses.end(Ending.CLOSED)
    whole = owner.view().obj
    assert all(view.obj is whole for message in talk.messages(1) for view in message.body.views())
    assert [m.error for m in talk.messages(1)] == [None] * 9
