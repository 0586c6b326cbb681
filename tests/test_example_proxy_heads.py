"""examples/http_proxy: heads as they are understood, and as they are sent on; and the program, in this process."""

from __future__ import annotations

import io
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Final

import h11
import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.addresses import Address, listening_address
from examples.http.syntax import CHUNKED, UNTIL_CLOSE, Field
from examples.http_proxy.__main__ import main
from examples.http_proxy.fields import answer_head, end_to_end, lines_of, request_head
from examples.http_proxy.heads import Answer, Request, read_answer, read_request
from examples.http_proxy.limits import Limits
from examples.web.refused import Refused

from .example_proxied import HOST, OK, get
from .sinks import PATIENCE

LIMITS: Final = Limits()


def request(*lines: str, start: str = "GET / HTTP/1.1", host: str = "h") -> Request:
    return read_request("\r\n".join([start, f"Host: {host}", *lines, "", ""]), LIMITS)


def forwarded(one: Request, client: str = "192.0.2.7") -> list[str]:
    return request_head(one, client, "up:80").decode("latin-1").split("\r\n")[:-2]


# -- requests --------------------------------------------------------------------------------------------------


def test_a_request_is_understood() -> None:
    one = request("Content-Length: 007", "X: y", start="PUT /a HTTP/1.1")
    assert (one.method, one.target, one.version, one.framing) == ("PUT", "/a", "HTTP/1.1", 7)
    assert one.fields == [("Host", "h"), ("Content-Length", "007"), ("X", "y")]
    assert one.values("content-length") == ["007"]
    assert request("Transfer-Encoding: CHUNKED").framing == CHUNKED


@pytest.mark.parametrize(
    ("line", "version", "keeps"),
    [
        ("X: y", "1.1", True),
        ("Connection: close", "1.1", False),
        ("Connection: x, Close", "1.1", False),
        ("X: y", "1.0", False),
        ("Connection: Keep-Alive", "1.0", True),
        ("Connection: keep-alive, close", "1.0", False),
        ("X: y", "1.2", True),
    ],
)
def test_who_keeps_a_connection(line: str, version: str, keeps: bool) -> None:
    assert request(line, start=f"GET / HTTP/{version}").keeps_alive == keeps


@pytest.mark.parametrize(
    ("method", "line", "repeatable"),
    [
        ("GET", "X: y", True),
        ("DELETE", "X: y", True),
        ("PUT", "Content-Length: 0", True),
        ("PUT", "Content-Length: 1", False),
        ("GET", "Transfer-Encoding: chunked", False),
        ("POST", "X: y", False),
        ("get", "X: y", False),
    ],
)
def test_what_may_be_repeated(method: str, line: str, repeatable: bool) -> None:
    assert request(line, start=f"{method} / HTTP/1.1").is_repeatable == repeatable


@pytest.mark.parametrize(
    ("start", "sent", "host"),
    [
        ("GET http://example.org/a?b HTTP/1.1", "GET /a?b HTTP/1.1", "example.org"),
        ("GET HTTP://example.org:81 HTTP/1.1", "GET / HTTP/1.1", "example.org:81"),
        ("GET http://example.org?b HTTP/1.1", "GET /?b HTTP/1.1", "example.org"),
        ("GET http://[2001:db8::1]:8/ HTTP/1.1", "GET / HTTP/1.1", "[2001:db8::1]:8"),
        ("OPTIONS http://example.org HTTP/1.1", "OPTIONS * HTTP/1.1", "example.org"),
        ("OPTIONS http://example.org/ HTTP/1.1", "OPTIONS / HTTP/1.1", "example.org"),
        ("OPTIONS * HTTP/1.1", "OPTIONS * HTTP/1.1", "h"),
        ("GET /http://example.org/ HTTP/1.1", "GET /http://example.org/ HTTP/1.1", "h"),
        ("GET /%2e%2E//a HTTP/1.1", "GET /%2e%2E//a HTTP/1.1", "h"),
    ],
)
def test_the_host_in_a_target_is_the_host(start: str, sent: str, host: str) -> None:
    lines = forwarded(request(start=start))
    assert lines[:2] == [sent, f"Host: {host}"]
    assert [line for line in lines if line.startswith("Host:")] == [f"Host: {host}"]
    assert f'Forwarded: for=192.0.2.7;host="{host}";proto=http' in lines


def test_lists_are_gone_on_with() -> None:
    one = request("Via: 1.0 a", "via: 1.1 b", "X-Forwarded-For: unknown", "Forwarded: for=_x", "Forwarded:")
    assert forwarded(one, "2001:db8::7")[2:] == [
        "X-Forwarded-For: unknown, 2001:db8::7",
        'Forwarded: for=_x, for="[2001:db8::7]";host="h";proto=http',
        "Via: 1.0 a, 1.1 b, 1.1 bytebufs",
    ]


def test_nobody_has_a_field_dropped_that_says_where_a_request_goes() -> None:
    one = request("Connection: host, content-length, via, x-forwarded-for, x", "Content-Length: 0", "X: y", "Z: z")
    assert forwarded(one)[1:] == [
        "Host: h",
        "Z: z",
        "Content-Length: 0",
        "X-Forwarded-For: 192.0.2.7",
        'Forwarded: for=192.0.2.7;host="h";proto=http',
        "Via: 1.1 bytebufs",
    ]


@pytest.mark.parametrize(
    ("method", "value", "sent"),
    [
        ("OPTIONS", "3", "2"),
        ("OPTIONS", "1", "0"),
        ("OPTIONS", "0" * 20 + "20", "19"),
        ("OPTIONS", "x", "x"),
        ("GET", "3", "3"),
        ("GET", "0", "0"),
    ],
)
def test_forwards_are_counted(method: str, value: str, sent: str) -> None:
    one = request(f"Max-Forwards: {value}", "X: y", start=f"{method} / HTTP/1.1")
    assert f"Max-Forwards: {sent}" in forwarded(one)
    with pytest.raises(Refused, match="this is the proxy"):
        forwarded(request("Max-Forwards: 00", start="OPTIONS / HTTP/1.1"))


def test_an_old_request_gets_a_host_and_expects_nothing() -> None:
    one = read_request("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n", LIMITS)
    assert not one.expects
    assert forwarded(one)[:3] == ["GET / HTTP/1.1", "Host: up:80", "X-Forwarded-For: 192.0.2.7"]
    assert forwarded(one)[-1] == "Via: 1.0 bytebufs"
    assert request("Expect: 100-Continue").expects
    assert "Expect: 100-Continue" in forwarded(request("Expect: 100-Continue"))


def test_a_refusal_shows_a_bounded_part_of_what_it_refuses() -> None:
    with pytest.raises(Refused) as caught:
        request(host="/" * 10_000)
    assert len(caught.value.why) < 200


BASES: Final = (
    "GET /a HTTP/1.1\r\nHost: h\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nX: y\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
    "PUT http://h/ HTTP/1.0\r\nHost: h\r\nContent-Length: 3\r\n\r\n",
)
SNIPPETS: Final = (
    *("\r\n", "\n", "\r", "\r\n\r\n", " ", "\t", "\0", "\x0b", "\x7f", "\xa0", ":", ",", ";", "0", "5", "+", "x", "_"),
    *(
        "Content-Length: 7\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Host: i\r\n",
        "chunked",
        "identity",
        "\r\n ",
        "\r\n\t",
    ),
    *("Connection: content-length, transfer-encoding, host\r\n", "HTTP/1.1", "Content-Length", "Transfer-Encoding"),
)
Edit = tuple[float, int, str]


@given(
    st.sampled_from(BASES),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 4), st.sampled_from(SNIPPETS)), max_size=4),
)
def test_whatever_is_sent_on_another_reader_reads_as_we_do(base: str, edits: list[Edit]) -> None:
    """h11 sees the same method, the same target and a body of the same length, before and behind the proxy."""
    head = edited(base, edits)
    try:
        one = read_request(head, LIMITS)
        sent = request_head(one, "192.0.2.7", "up:80")
    except Refused:
        return
    hypothesis.event(f"sent on, with {'chunks' if one.framing < 0 else 'a length' if one.framing else 'no body'}")
    before, behind = seen_by_h11(head.encode("latin-1"), one.framing), seen_by_h11(sent, one.framing)
    assert before.method == behind.method == one.method.encode()
    assert behind.target == one.target.encode("latin-1")
    assert before.target.endswith(behind.target) or behind.target in (b"/", b"*")


def edited(head: str, edits: list[Edit]) -> str:
    for place, dropped, snippet in edits:
        at = int(place * len(head))
        head = head[:at] + snippet + head[at + dropped :]
    return head.partition("\r\n\r\n")[0] + "\r\n\r\n"


def seen_by_h11(head: bytes, framing: int) -> h11.Request:
    """Return the request that h11 sees, which has to end where ours does."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(head + (b"0\r\n\r\n" if framing < 0 else bytes(min(framing, 100_000))))
    found = connection.next_event()
    assert isinstance(found, h11.Request)
    while isinstance(event := connection.next_event(), h11.Data):
        pass
    if framing <= 100_000:
        assert isinstance(event, h11.EndOfMessage), (head, framing)
        assert connection.trailing_data[0] == b""
    return found


# -- answers ---------------------------------------------------------------------------------------------------


def answer(*lines: str, start: str = "HTTP/1.1 200 OK", method: str = "GET") -> Answer:
    return read_answer("\r\n".join([start, *lines, "", ""]), LIMITS, method)


@pytest.mark.parametrize(
    ("start", "method", "line", "framing"),
    [
        ("HTTP/1.1 200 OK", "GET", "Content-Length: 5", 5),
        ("HTTP/1.1 200 OK", "GET", "Transfer-Encoding: chunked", CHUNKED),
        ("HTTP/1.1 200 OK", "GET", "X: y", UNTIL_CLOSE),
        ("HTTP/1.1 200 OK", "HEAD", "Transfer-Encoding: chunked", 0),
        ("HTTP/1.1 199 Soon", "GET", "X: y", 0),
        ("HTTP/1.1 204 OK", "GET", "X: y", 0),
        ("HTTP/1.1 304 OK", "GET", "Content-Length: 5", 0),
        ("HTTP/1.0 599 Hm", "GET", "X: y", UNTIL_CLOSE),
    ],
)
def test_an_answer_is_understood(start: str, method: str, line: str, framing: int) -> None:
    one = answer(line, start=start, method=method)
    assert one.framing == framing
    assert f"{one.version} {one.line}" == start
    assert str(one.status) == start.split()[1]


ANSWERS: Final = (
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
    "HTTP/1.0 404 None\r\nX: y\r\n\r\n",
    "HTTP/1.1 304 No\r\nContent-Length: 7\r\n\r\n",
)


@given(
    st.sampled_from(ANSWERS),
    st.sampled_from(["GET", "HEAD"]),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 4), st.sampled_from(SNIPPETS)), max_size=4),
)
def test_whatever_is_answered_another_reader_reads_as_we_do(base: str, method: str, edits: list[Edit]) -> None:
    head = edited(base, edits)
    try:
        one = read_answer(head, LIMITS, method)
    except Refused:
        return
    hypothesis.event(f"passed on, {method} with {one.framing}")
    sent = answer_head(one, request(start=f"{method} / HTTP/1.1"), keeps=True)
    for data in (head.encode("latin-1"), sent):
        connection = h11.Connection(h11.CLIENT)
        connection.send(h11.Request(method=method, target="/", headers=[("Host", "h")]))
        connection.send(h11.EndOfMessage())
        size = min(max(one.framing, 0), 100_000)
        connection.receive_data(data + (b"0\r\n\r\n" if one.framing == CHUNKED else bytes(size)))
        if one.framing == UNTIL_CLOSE:
            connection.receive_data(b"")
        found = connection.next_event()
        assert isinstance(found, h11.Response | h11.InformationalResponse)
        assert found.status_code == one.status
        if isinstance(found, h11.Response) and size == max(one.framing, 0):
            while isinstance(event := connection.next_event(), h11.Data):
                pass
            assert isinstance(event, h11.EndOfMessage), (data, one.framing)
            assert connection.trailing_data[0] == b""


def test_an_answer_to_head_could_mislead_too() -> None:
    for lines in (["Content-Length: 1, 1"], ["Content-Length: 1", "Content-Length: 1"], ["Content-Length: x"]):
        with pytest.raises(Refused):
            answer(*lines, method="HEAD")


def test_what_an_answer_says_of_its_connection_is_not_passed_on() -> None:
    one = answer("Connection: X-A", "X-A: 1", "Proxy-Connection: keep-alive", "Keep-Alive: 1", "Upgrade: h3", "Date: d")
    sent = answer_head(one, request(), keeps=True).decode().split("\r\n")
    assert sent == ["HTTP/1.1 200 OK", "Date: d", "Via: 1.1 bytebufs", "", ""]


@pytest.mark.parametrize("zeros", [1, 30, 5000])
def test_a_length_is_sent_on_without_the_zeros_before_it(zeros: int) -> None:
    one = request(f"Content-Length: {'0' * zeros}12", start="PUT / HTTP/1.1")
    assert one.framing == 12
    assert "Content-Length: 12" in forwarded(one)
    none = answer(f"Content-Length: {'0' * zeros}")
    assert none.framing == 0
    assert b"\r\nContent-Length: 0\r\n" in answer_head(none, request(), keeps=True)


def test_values_keep_their_bytes() -> None:
    one = answer("X: \xe4\xff\x80", "Date: d", start="HTTP/1.1 200 Sch\xf6n")
    assert answer_head(one, request(), keeps=True).startswith(b"HTTP/1.1 200 Sch\xf6n\r\nX: \xe4\xff\x80\r\n")


def test_trailers_frame_and_route_nothing() -> None:
    fields: list[Field] = [("Content-Length", "1"), ("Host", "a"), ("Trailer", "b"), ("TE", "c"), ("X", "d")]
    assert end_to_end(fields, trailers=True) == [("X", "d")]
    assert lines_of([]) == b"\r\n"
    assert lines_of([("X", "d")]) == b"X: d\r\n\r\n"


# -- the program -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "h", "h:", ":1", "h:x", "h:-1", "h:65536", "h:1.5"])
def test_what_is_no_address_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--listen", text, "--to", "h:1"])
    assert f"{text!r} is no [HOST:]PORT" in capsys.readouterr().err


def test_addresses_are_shown_as_they_are_read() -> None:
    for text, expected in {"h:1": ("h", 1), "[::1]:0": ("::1", 0), "127.0.0.1:65535": ("127.0.0.1", 65535)}.items():
        assert listening_address(text) == expected
        assert str(Address(*expected)) == text


class Told(io.StringIO):
    """A terminal that does something, in a thread, once a program says where it listens; and is away afterwards."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.answers: list[bytes] = []
        self.port = 0
        self._number = number

    def write(self, text: str) -> int:
        if text.startswith("listening on "):
            self.port = int(text.rpartition(":")[2])
            threading.Thread(target=self._act, daemon=True).start()
        elif text.startswith("GET /away"):
            raise BrokenPipeError
        return super().write(text)

    def fileno(self) -> int:
        return self.fd

    def _act(self) -> None:
        try:
            for target in ("/", "/away"):
                with socket.create_connection((HOST, self.port), timeout=PATIENCE) as sock:
                    sock.sendall(get(target, "Connection: close"))
                    self.answers.append(b"".join(iter(lambda: sock.recv(1000), b"")))
        finally:
            os.kill(os.getpid(), self._number)

    fd = -1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_program_serves_until_it_is_told(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def serve() -> None:
        for _ in range(2):
            peer, _ = server.accept()
            with peer:
                while b"\r\n\r\n" not in peer.recv(1000):
                    pass
                peer.sendall(OK.replace(b"Date", b"Connection: close\r\nDate"))

    told = Told(number)
    with socket.create_server((HOST, 0)) as server, Path(os.devnull).open("wb") as file:
        told.fd = file.fileno()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        monkeypatch.setattr(sys, "stdout", told)
        options = ["--head", "1000", "--connect-time", "60", "--linger-time", "1"]
        assert main(["--listen", f"{HOST}:0", "--to", f"{HOST}:{server.getsockname()[1]}", *options]) == 0
        thread.join(PATIENCE)
    assert [answer[:15] for answer in told.answers] == [b"HTTP/1.1 200 OK"] * 2
    first, second, *rest = told.getvalue().splitlines()
    assert first == f"listening on {HOST}:{told.port}"
    assert second.startswith("GET / 200 2 ")
    assert not rest


def test_where_nobody_can_listen_the_program_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server((HOST, 0)) as taken:
        assert main(["--listen", f"{HOST}:{taken.getsockname()[1]}", "--to", "h:1"]) == 2
    assert "Address already in use" in capsys.readouterr().err
    assert main(["--listen", f"{HOST}:0", "--to", "h:1", "--head", "100", "--window", "50"]) == 2
    assert "a window of 50" in capsys.readouterr().err
