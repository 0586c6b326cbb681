"""examples/_http1*.py: RFC 9112 rule by rule, the traps, the gaps, and that no answer depends on how bytes were cut."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytebufs import SliceBuffer, no_copy
from examples._http1 import RequestParser, ResponseParser
from examples._http1_half import MAX_CHUNK_LINE, MAX_HEAD, MAX_LINES, Message
from examples._tcp import Ending, Gap

from .example_wire import Event, exchange, facts, feed

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


@pytest.mark.parametrize(
    "line",
    [
        b"GET  / HTTP/1.1",
        b"GET / HTTP/1.1 ",
        b" GET / HTTP/1.1",
        b"GET\t/\tHTTP/1.1",
        b"GET / a HTTP/1.1",
        b"GET /",
        b"GET",
        b"G(T / HTTP/1.1",
        b"GET / http/1.1",
        b"GET / HTTP/2.0",
        b"GET / HTTP/1.",
        b"GET / HTTP/1.10",
        b"GET /\x00 HTTP/1.1",
        b"GET /\r HTTP/1.1",
        b"\x16\x03\x01\x02\x00",
        b"HTTP/1.1 200 OK",
    ],
)
def test_what_is_no_request_line(line: bytes) -> None:
    message = only(requests_in(line + b"\r\n\r\n" + GET))
    assert message.error == "not a request line"


@pytest.mark.parametrize(
    "line",
    [
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 020 OK",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1 +20 OK",
        b"HTTP/1.1",
        b"HTTP/2 200",
        b"ICY 200 OK",
        b"HTTP/1.1 200 a\x00b",
        b"HTTP/1.1 200 a\rb",
        b"",
        b"GET / HTTP/1.1",
    ],
)
def test_what_is_no_status_line(line: bytes) -> None:
    message = only(responses_in(line + b"\r\n\r\n" + HELLO))
    assert message.error == "not a status line"


def test_empty_lines_before_a_request_are_ignored() -> None:
    assert [m.target for m in requests_in(b"\r\n\n\r\n" + GET + b"\r\n" + GET + b"\r\n")] == ["/a", "/a"]


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
    ("line", "error"),
    [
        (b"Host : a", "white space before the colon of a field"),
        (b"Host\t: a", "white space before the colon of a field"),
        (b" : a", "white space before the first field"),
        (b": a", "a field with an invalid name"),
        (b"Ho st: a", "a field with an invalid name"),
        (b"H\xe9: a", "a field with an invalid name"),
        (b"H(: a", "a field with an invalid name"),
        (b"Host", "a field without a colon"),
        (b" folded", "white space before the first field"),
        (b"A: b\x00c", "NUL or CR in a field"),
        (b"A: b\rc", "NUL or CR in a field"),
        (b"A\r: b", "NUL or CR in a field"),
        (b"A: b\r", "NUL or CR in a field"),
    ],
)
def test_fields_that_are_traps(line: bytes, error: str) -> None:
    message = only(requests_in(b"GET /a HTTP/1.1\r\n" + line + b"\r\n\r\n" + GET))
    assert (message.error, message.method, message.target) == (error, "GET", "/a")


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
        (b"Content-Length: 5,", "a Content-Length that is no number"),
        (b"Content-Length: +5", "a Content-Length that is no number"),
        (b"Content-Length: -5", "a Content-Length that is no number"),
        (b"Content-Length: 0x5", "a Content-Length that is no number"),
        (b"Content-Length: 5 5", "a Content-Length that is no number"),
        (b"Content-Length: 5_0", "a Content-Length that is no number"),
        (b"Content-Length: \xb2", "a Content-Length that is no number"),
        (b"Content-Length:", "a Content-Length that is no number"),
        (b"Content-Length: " + b"9" * 21, "a Content-Length that is no number"),
        (b"Content-Length: " + b"9" * 5000, "a Content-Length that is no number"),
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked", "Content-Length together with Transfer-Encoding"),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 0", "Content-Length together with Transfer-Encoding"),
        (b"Transfer-Encoding: gzip\r\nContent-Length: 0", "Content-Length together with Transfer-Encoding"),
        (b"Transfer-Encoding: chunked, chunked", "chunked is not the last transfer coding, or comes twice"),
        (
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip",
            "chunked is not the last transfer coding, or comes twice",
        ),
    ],
)
@pytest.mark.parametrize("start", [b"POST /a HTTP/1.1\r\n", OK])
def test_framings_that_are_traps(start: bytes, fields: bytes, error: str) -> None:
    parse = responses_in if start == OK else requests_in
    message = only(parse(start + fields + b"\r\n\r\nhello" + GET + HELLO))
    assert (message.error, len(message.body)) == (error, 0)


@pytest.mark.parametrize(
    "coding", [b"gzip", b"identity", b"xchunked", b"chunked;q=1", b"", b'"chunked"', b"chunked\x0b"]
)
def test_a_request_whose_last_coding_is_not_chunked(coding: bytes) -> None:
    message = only(requests_in(b"POST / HTTP/1.1\r\nTransfer-Encoding: " + coding + b"\r\n\r\n0\r\n\r\n" + GET))
    assert message.error == "a request whose last transfer coding is not chunked"


def test_a_transfer_coding_in_http_1_0() -> None:
    message = only(requests_in(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"))
    assert message.error == "Transfer-Encoding in HTTP/1.0, which has none"


def test_a_response_in_another_coding_ends_with_the_connection() -> None:
    message = only(responses_in(OK + b"Transfer-Encoding: gzip\r\n\r\nzipped"))
    assert body_of(message) == b"zipped"


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
    assert [m.answers for m in found] == [0, 0, 0, 1]


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
        b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        b'1;a\r\nh\r\n4 ; a=b;c="d"\r\nello\r\n00;x\r\n\r\n',
        b"5\r\nhello\r\n0\r\nA: b\r\nC:\td\r\n\r\n",
        b"5\r\nhello\r\n0\r\nA: b\n\n",
    ],
)
def test_chunks(coded: bytes) -> None:
    first, second = responses_in(CHUNKED + coded + HELLO)
    assert (body_of(first), body_of(second)) == (b"hello", b"hello")
    assert first.trailers in ([], [("A", "b")], [("A", "b"), ("C", "d")])


def test_sizes_of_chunks_are_hexadecimal() -> None:
    message = only(responses_in(CHUNKED + b"1aF\r\n" + bytes(0x1AF) + b"\r\n0\r\n\r\n"))
    assert len(body_of(message)) == 0x1AF


def test_trailers() -> None:
    message = only(responses_in(CHUNKED + b"0\r\nA: one\r\n two\r\nB:\r\n\r\n"))
    assert message.trailers == [("A", "one two"), ("B", "")]


@pytest.mark.parametrize(
    "size",
    [
        *[b"+5", b"-5", b"0x5", b"5_0", b" 5", b"5 ", b"\t5", b"5\t", b"", b"g", b"5;\x00", b"5.", b"5,", b"\xb2"],
        *[b"00000000000000005", b"f" * 17, b"5\r", b"5\n", b"5;a\nb", b"5 5", b"5\x0b", b";a"],
    ],
)
def test_bad_sizes_of_chunks(size: bytes) -> None:
    message = only(responses_in(CHUNKED + b"2\r\nab\r\n" + size + b"\r\nhello\r\n0\r\n\r\n" + HELLO))
    assert (message.error, bytes(message.body)) == ("a bad chunk size", b"ab")


@pytest.mark.parametrize("behind", [b"hello\r\n", b"\n0\r\n\r\n", b"\r0\r\n", b"xx"])
def test_chunks_longer_than_their_size(behind: bytes) -> None:
    message = only(responses_in(CHUNKED + b"2\r\nab" + behind + HELLO))
    assert (message.error, bytes(message.body)) == ("a chunk longer than its size", b"ab")


def test_a_chunk_of_an_absurd_size_is_only_incomplete() -> None:
    message = only(responses_in(CHUNKED + b"ffffffffffffffff\r\nabc"))
    assert (message.error, bytes(message.body)) == ("the connection was closed at byte 3 of the body", b"abc")


def test_a_trap_in_trailers() -> None:
    message = only(responses_in(CHUNKED + b"2\r\nab\r\n0\r\nA : b\r\n\r\n" + HELLO))
    assert message.error == "white space before the colon of a field"


# -- limits


def head_of(size: int) -> bytes:
    """Return a head of so many bytes in front of its last line feed."""
    front, rest = b"GET / HTTP/1.1\r\nA: ", b"\r\n\r\n"
    return front + b"x" * (size - len(front + rest) + 1) + rest


@pytest.mark.parametrize("feeds", ["at once", "by one"])
def test_the_limit_of_a_head(feeds: str) -> None:
    def parse(data: bytes) -> Message:
        return only(requests_in(*([data] if feeds == "at once" else [data[i : i + 1] for i in range(len(data))])))

    assert parse(head_of(MAX_HEAD)).error is None
    assert parse(head_of(MAX_HEAD + 1)).error == f"head or trailers of more than {MAX_HEAD} bytes"


def test_the_limit_of_lines() -> None:
    lines = [b"A: b\r\n"] * MAX_LINES
    assert only(requests_in(b"GET / HTTP/1.1\r\n" + b"".join(lines) + b"\r\n")).error is None
    message = only(requests_in(b"GET / HTTP/1.1\r\n" + b"".join(lines) + b" fold\r\n\r\n"))
    assert message.error == f"more than {MAX_LINES} field lines"


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


def test_upgrade() -> None:
    asked = b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n\x81\x05hello" + GET
    answered = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x05hello" + HELLO
    requests, responses = exchange([asked], [answered])
    assert [(m.target, m.error) for m in requests] == [("/ws", None)]
    assert [(m.status, m.target, m.error, len(m.body)) for m in responses] == [(101, "/ws", None, 0)]


def test_upgrade_refused() -> None:
    asked = b"GET /ws HTTP/1.1\r\nUpgrade: h2c\r\n\r\n" + b"HEAD /h HTTP/1.1\r\n\r\n" + GET
    requests, responses = exchange([asked], [HELLO + OK + b"Content-Length: 5\r\n\r\n" + HELLO])
    assert [(m.target, m.error) for m in requests] == [("/ws", None), ("/h", None), ("/a", None)]
    assert [(m.target, m.error, len(m.body)) for m in responses] == [("/ws", None, 5), ("/h", None, 0), ("/a", None, 5)]


def test_upgrade_behind_an_interim_response() -> None:
    asked = b"PUT /ws HTTP/1.1\r\nUpgrade: x\r\nContent-Length: 2\r\n\r\nab\x00\x01"
    answered = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Go\r\n\r\n\x00\x01"
    requests, responses = exchange([asked], [answered])
    assert [m.error for m in requests] == [None]
    assert [(m.status, m.error) for m in responses] == [(100, None), (101, None)]


@pytest.mark.parametrize("fields", [b"", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_connect(fields: bytes) -> None:
    """What is in the tunnel may be HTTP itself, and still is not on this connection."""
    asked = b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n" + GET
    requests, responses = exchange([asked], [b"HTTP/1.1 200 Connected\r\n" + fields + b"\r\n" + HELLO])
    assert [m.target for m in requests] == ["a:443"]
    assert [(m.target, len(m.body), m.error) for m in responses] == [("a:443", 0, None)]


def test_connect_refused() -> None:
    asked = b"CONNECT a:443 HTTP/1.1\r\n\r\n" + GET
    requests, responses = exchange([asked], [b"HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno" + HELLO])
    assert [m.target for m in requests] == ["a:443", "/a"]
    assert [(m.target, body_of(m)) for m in responses] == [("a:443", b"no"), ("/a", b"hello")]


@pytest.mark.parametrize(
    ("behind", "targets"), [(GET, ["/ws", "/a"]), (b"\x81\x05hello\n" + GET, ["/ws"]), (b"", ["/ws"])]
)
def test_an_upgrade_without_an_answer_is_told_by_what_follows(behind: bytes, targets: list[str]) -> None:
    found = requests_in(b"GET /ws HTTP/1.1\r\nUpgrade: x\r\n\r\n" + behind)
    assert [(m.target, m.error) for m in found] == [(target, None) for target in targets]


def test_switching_protocols_that_nobody_asked_for() -> None:
    message = only(responses_in(b"HTTP/1.1 101 Go\r\n\r\n" + HELLO))
    assert (message.status, message.error) == (101, None)


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
    message = only(requests_in(data, ending=Ending.CUT))
    assert message.error == error


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
    assert (body_of(second), second.answers) == (b"hello", 1)


def test_several_gaps_in_a_body() -> None:
    first, second = responses_in(OK + b"Content-Length: 10\r\n\r\na", Gap(2), b"d", Gap(1), Gap(5), HELLO)
    assert first.error == "8 bytes missing from byte 1 of the body on"
    assert (bytes(first.body), body_of(second)) == (b"ad", b"hello")


def test_a_gap_in_the_data_of_a_chunk() -> None:
    first, second = responses_in(CHUNKED + b"5\r\nh", Gap(4), b"\r\n1\r\n!\r\n0\r\n\r\n" + HELLO)
    assert first.error == "4 bytes missing from byte 1 of the body on"
    assert (bytes(first.body), body_of(second)) == (b"h!", b"hello")


def test_a_gap_in_a_body_that_the_connection_ends() -> None:
    message = only(responses_in(OK + b"\r\nab", Gap(3), b"c", Gap(1)))
    assert message.error == "4 bytes missing from byte 2 of the body on"
    message = only(responses_in(OK + b"\r\nab", Gap(3), ending=Ending.CUT))
    assert message.error == "3 bytes missing from byte 2 of the body on; the capture ends at byte 5 of the body"


def test_a_gap_beyond_a_body_also_costs_what_follows() -> None:
    first, second, third = responses_in(OK + b"Content-Length: 4\r\n\r\nab", Gap(100), HELLO)
    assert first.error == "2 bytes missing from byte 2 of the body on"
    assert second.error == "98 bytes missing where a response should begin"
    assert (second.target, second.status) == ("/a", None)
    assert (body_of(third), third.target, third.answers) == (b"hello", None, None)


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


def test_what_does_not_begin_behind_a_gap_belongs_to_no_message() -> None:
    found = responses_in(HELLO, Gap(9), b"rest of a body\n" + HELLO, Gap(3), b"and of another", Gap(4), HELLO)
    assert [m.error for m in found] == [None, "9 bytes missing where a response should begin", None]


def test_behind_an_error_nothing_is_parsed_not_even_behind_a_gap() -> None:
    found = responses_in(b"nonsense\r\n", Gap(9), HELLO)
    assert [m.error for m in found] == ["not a status line"]


def test_a_gap_among_requests_leaves_their_responses_without_a_target() -> None:
    requests, responses = exchange([GET, Gap(40), GET], [HELLO * 3])
    assert [m.error is None for m in requests] == [True, False, True]
    assert [m.target for m in responses] == ["/a", None, None]


def test_a_gap_at_the_end() -> None:
    first, second = responses_in(HELLO, Gap(9))
    assert (first.error, second.error) == (None, "9 bytes missing where a response should begin")


# -- captures that begin in the middle


def join(asked: Iterable[Event], answered: Iterable[Event], *, first: int = 0) -> tuple[list[Message], list[Message]]:
    requests = RequestParser(mid_stream=True)
    responses = ResponseParser(requests, mid_stream=True, first=first)
    feed(requests, asked)
    feed(responses, answered)
    return requests.messages, responses.messages


def test_joining_between_messages() -> None:
    requests, responses = join([GET], [HELLO])
    assert [m.error for m in requests + responses] == [None, None]
    assert responses[0].target == "/a"


def test_joining_before_a_response_whose_request_is_not_there() -> None:
    _, responses = join([GET], [HELLO + HELLO], first=-1)
    assert [(m.target, m.answers) for m in responses] == [(None, -1), ("/a", 0)]


@pytest.mark.parametrize("front", [[b"rest of a body"], [b"a line\r\n", b"x"], [Gap(5), b"x"]])
def test_joining_inside_a_message(front: list[Event]) -> None:
    _, responses = join([], [*front, Gap(3), HELLO])
    assert [m.error for m in responses] == ["the capture begins inside it", None]


def test_joining_nothing() -> None:
    assert join([], []) == ([], [])
    requests, _ = join([Gap(5), GET], [])
    assert [m.error for m in requests] == ["the capture begins inside it", None]


def test_joining_a_line_without_end() -> None:
    requests, _ = join([b"x" * (MAX_HEAD + 10), Gap(1), GET], [])
    assert [m.error for m in requests] == ["the capture begins inside it", None]


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


def facts_of(asked: Iterable[Event], answered: Iterable[Event]) -> list[tuple[object, ...]]:
    requests, responses = exchange(asked, answered)
    return [facts(message) for message in (*requests, *responses)]


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
    whole = facts_of(asked, answered)
    assert facts_of(by_one(asked), answered) == whole
    assert facts_of(asked, by_one(answered)) == whole
    assert facts_of(by_one(asked), by_one(answered)) == whole


@pytest.mark.parametrize(("asked", "answered"), EXAMPLES)
def test_cut_at_every_offset(asked: list[Event], answered: list[Event]) -> None:
    whole = facts_of(asked, answered)
    for offset in range(1, nbytes(asked)):
        assert facts_of(cut_at(asked, offset), answered) == whole
    for offset in range(1, nbytes(answered)):
        assert facts_of(asked, cut_at(answered, offset)) == whole


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
    whole = facts_of(asked, answered)
    assert facts_of(by_one(asked), by_one(answered)) == whole
    cut_asked, cut_answered = asked, answered
    for offset in offsets:
        cut_asked, cut_answered = cut_at(cut_asked, offset), cut_at(cut_answered, offset)
    assert facts_of(cut_asked, cut_answered) == whole


# -- cost


def test_many_small_feeds_take_time_in_proportion() -> None:
    """10^5 feeds of one byte: a head, and a body; looking from the front each time would take minutes."""
    fields = b"".join(b"Field-%d: %s\r\n" % (n, b"x" * 240) for n in range(200))
    data = OK + fields + b"Content-Length: 50000\r\n\r\n" + bytes(50_000)
    message = only(responses_in(*by_one([data])))
    assert (message.error, len(message.body)) == (None, 50_000)


def test_a_body_fed_in_pieces_of_one_owner_is_one_part() -> None:
    owner = SliceBuffer(HELLO)
    requests = RequestParser()
    responses = ResponseParser(requests)
    with no_copy():
        for at in range(len(owner)):
            responses.feed(owner[at : at + 1])
    message = only(responses.messages)
    assert (message.head.part_count, message.body.part_count) == (1, 1)
    assert message.body.view().obj is owner.view().obj


def test_bodies_are_never_copied() -> None:
    choices = random.Random(3)
    owner = SliceBuffer(ANSWERED)
    requests = RequestParser()
    responses = ResponseParser(requests)
    with no_copy():
        requests.feed(SliceBuffer(ASKED))
        at = 0
        while at < len(owner):
            size = choices.randrange(1, 30)
            responses.feed(owner[at : at + size])
            at += size
        responses.end(Ending.CLOSED)
    whole = owner.view().obj
    assert all(view.obj is whole for message in responses.messages for view in message.body.views())
    assert [m.error for m in responses.messages] == [None] * 9
