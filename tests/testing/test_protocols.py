"""Protocols of asyncio's as parsers: what they are told and may do, and that wrong ones fail."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bytebufs.testing import Calls, Connected, DependsOnCuts, check_fragmentation


class Lines(asyncio.Protocol):
    """Answers each line with the same backwards."""

    def __init__(self, app: Any = None) -> None:
        self.app = app or Calls()
        self.buffer = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while b"\n" in self.buffer:
            line, _, self.buffer = self.buffer.partition(b"\n")
            self.line(line)

    def line(self, line: bytes) -> None:
        self.app.line(line, size=len(line))
        self.transport.write(line[::-1])

    def connection_lost(self, error: Exception | None) -> None:
        self.app.lost(error)


class Forgetful(Lines):
    """Looks for lines only in what has just come."""

    def data_received(self, data: bytes) -> None:
        for line in data.splitlines():
            self.line(line)


class Fixed(asyncio.BufferedProtocol):
    """Has room for three bytes a time."""

    def __init__(self) -> None:
        self.room = bytearray(3)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.room

    def buffer_updated(self, count: int) -> None:
        self.transport.write(self.room[:count])


class Scripted(Lines):
    """Does with its transport what each line says."""

    def line(self, line: bytes) -> None:
        transport = self.transport
        match line:
            case b"close":
                transport.close()
            case b"abort":
                transport.abort()
            case b"raise":
                raise ValueError("bad line")
            case b"later":
                asyncio.get_running_loop().call_soon(self.fail)
            case b"task":
                self.task = asyncio.get_running_loop().create_task(self.answer())
            case b"pause":
                transport.pause_reading()
                asyncio.get_running_loop().call_soon(transport.resume_reading)
            case b"deaf":
                transport.pause_reading()
            case b"eof":
                transport.write_eof()
            case b"upgrade":
                transport.set_protocol(Upgraded(transport))
            case b"report":
                asyncio.get_running_loop().call_exception_handler({"message": "no exception"})
            case _:
                transport.writelines([line, b"."])

    def fail(self) -> None:
        raise ValueError("later")

    async def answer(self) -> None:
        await asyncio.sleep(0)
        self.transport.write(b"from a task")


class Upgraded(asyncio.Protocol):
    def __init__(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data.upper())


def recorded(kind: type[Lines]) -> Connected:
    calls = Calls()
    return Connected(lambda: kind(calls), calls=calls)


def test_calls_and_bytes_are_the_results() -> None:
    outcome = check_fragmentation(lambda: recorded(Lines), b"ab\n\ncd")
    assert outcome.results == [
        ("line", b"ab", {"size": 2}),
        ("line", b"", {"size": 0}),
        ("lost", None),
        ("written", b"ba"),
    ]


def test_a_protocol_may_be_given_as_it_is() -> None:
    assert check_fragmentation(Lines, b"ab\nc").results == [("written", b"ba")]


def test_a_protocol_that_looks_at_pieces_fails() -> None:
    with pytest.raises(DependsOnCuts) as caught:
        check_fragmentation(lambda: recorded(Forgetful), b"one\ntwo\nthree")
    assert caught.value.pieces == (b"a", b"a")


def test_a_buffered_protocol_passes() -> None:
    assert check_fragmentation(Fixed, b"abcdefgh").results == [("written", b"abcdefgh")]


def test_bytes_alone_are_delivered() -> None:
    with recorded(Lines) as connected, pytest.raises(TypeError, match="not bytearray"):
        connected.feed(bytearray(b"ab"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("data", "written", "ends"),
    [
        (b"a\nclose\nb\n", b"a.", [("closed",)]),
        (b"a\nabort\nb\n", b"a.", [("closed",)]),
        (b"task\n", b"from a task", []),
        (b"pause\nb\n", b"b.", []),
        (b"eof\n", b"", []),
    ],
    ids=["close", "abort", "task", "pause", "eof"],
)
def test_what_a_protocol_may_do(data: bytes, written: bytes, ends: list[object]) -> None:
    outcome = check_fragmentation(Scripted, data)
    assert outcome.results == [("written", written), *ends]
    assert outcome.error is None


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"raise\na\n", (ValueError, "bad line")),
        (b"later\n", (ValueError, "later")),
        (b"report\n", (RuntimeError, "no exception")),
    ],
    ids=["raised", "raised in a callback", "reported"],
)
def test_what_a_protocol_raises_is_the_error(data: bytes, error: tuple[type[Exception], str]) -> None:
    assert check_fragmentation(Scripted, data).error == error


def test_an_error_at_the_end_counts_too() -> None:
    class Strict(Lines):
        def eof_received(self) -> None:
            if self.buffer:
                raise EOFError("in the middle of a line")

    assert check_fragmentation(Strict, b"a\nb").error == (EOFError, "in the middle of a line")


def test_who_is_told_of_the_end_may_go_on_writing() -> None:
    class Last(Lines):
        def eof_received(self) -> bool:
            asyncio.get_running_loop().call_soon(self.transport.write, b"bye")
            return True

    assert check_fragmentation(Last, b"a\n").results == [("written", b"abye")]


def test_who_does_not_read_is_told_no_more() -> None:
    with Connected(Scripted) as connected:
        connected.feed(b"deaf\n")
        connected.feed(b"a\n")
        assert list(connected.end()) == [("written", b"")]


def test_a_protocol_may_hand_over_to_another() -> None:
    with Connected(Scripted) as connected:
        for piece in (b"upgrade\n", b"ab", b""):
            connected.feed(piece)
        assert list(connected.end()) == [("written", b"AB")]


def test_a_transport_tells_what_others_tell() -> None:
    protocol = Lines()
    with Connected(lambda: protocol) as connected:
        transport = protocol.transport
        assert transport.get_protocol() is protocol
        assert transport.get_extra_info("peername")
        assert transport.get_write_buffer_size() == 0
        transport.set_write_buffer_limits(high=10)
        assert transport.can_write_eof()
        assert transport.is_reading()
        assert not transport.is_closing()
        transport.close()
        transport.write(b"too late")
        assert list(connected.end()) == [("written", b""), ("closed",)]


def test_a_recorder_is_no_more_than_it_says() -> None:
    app = Calls()
    app.called(bytearray(b"x"))
    assert list(app) == [("called", b"x")]
    assert not hasattr(app, "__array__")


def test_where_a_loop_is_running_it_says_what_to_do_instead() -> None:
    async def check() -> None:
        with pytest.raises(RuntimeError, match=r"asyncio\.to_thread"):
            check_fragmentation(asyncio.Protocol, b"ab")
        await asyncio.to_thread(check_fragmentation, asyncio.Protocol, b"ab")

    asyncio.run(check())
