"""The Outbox: order, watermarks, callbacks, turns, and what it says once a sink is broken."""

from __future__ import annotations

import contextlib
import copy
import errno
import io
import os
import pickle
import random
import reprlib
import selectors
import socket
import ssl
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytebufs import COMPILED, CompositeBuffer, FileRegion, MappedFile, Outbox, Part, SliceBuffer, copy_audit, no_copy
from bytebufs.errors import BrokenSink, Busy, ClosedError, CopyForbidden, TruncatedFile
from bytebufs.sending.outbox import _TURN
from bytebufs.testing import STALL, FakeSocket, Script

from ..disturbed import at_each_step
from ..sinks import (
    CONTENT,
    MIX_SINKS,
    MIXES,
    PAIRS,
    PATIENCE,
    SINKS,
    Peer,
    build_mix,
    nibbles,
    open_socket,
    shrink,
    tcp_pair,
    tls_contexts,
    tls_pair,
)

interpreted = pytest.mark.skipif(COMPILED, reason="no handler runs inside compiled code")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "content"
    path.write_bytes(CONTENT)
    return path


@dataclass(frozen=True)
class Frozen(Exception):
    """An error that takes no attributes."""

    code: int


def taking(*appetites: int | BaseException) -> FakeSocket:
    """Return a sink that takes as much a call as it is told, and says "not now" when it is told nothing."""
    return FakeSocket(send=chain([appetite or STALL for appetite in appetites], repeat(STALL)))


def drain(outbox: Outbox, sink: Any) -> int:
    """Flush until nothing is pending, waiting for the sink as an event loop does. Return the number of turns."""
    turns = 0
    with selectors.DefaultSelector() as selector:
        waits = False
        if hasattr(sink, "fileno"):
            try:
                selector.register(sink, selectors.EVENT_WRITE)
                waits = True
            except (OSError, ValueError):  # regular files are always ready
                pass
        while outbox.pending:
            before = outbox.pending
            try:
                assert outbox.flush(sink) == before - outbox.pending
            except ssl.SSLWantReadError:
                selector.modify(sink, selectors.EVENT_READ)
                assert selector.select(PATIENCE)
                selector.modify(sink, selectors.EVENT_WRITE)
            turns += 1
            if waits and outbox.pending:
                assert selector.select(PATIENCE)
    return turns


# -- order -----------------------------------------------------------------------------------------------------


def test_parts_go_in_order_and_at_any_byte() -> None:
    outbox, sink = Outbox(), taking(1, 2, 0, 3, 0, 0, 100)
    outbox.put(b"abc")
    outbox.put(CompositeBuffer([b"de", bytearray(b"fg")]))
    assert (outbox.flush(sink), outbox.pending, bytes(sink.sent)) == (3, 4, b"abc")
    outbox.put(b"h")
    assert (outbox.flush(sink), outbox.pending, bytes(sink.sent)) == (2, 3, b"abcde")
    sink.sends = Script(100)
    drain(outbox, sink)
    assert sink.sent == b"abcdefgh"
    assert outbox.flush(sink) == 0


def test_an_empty_outbox_calls_nothing() -> None:
    outbox = Outbox()
    outbox.put(b"")
    outbox.put(CompositeBuffer())
    assert outbox.pending == 0
    assert outbox.flush(taking(ValueError())) == 0

    class Untouched:
        def __getattribute__(self, name: str) -> object:
            raise AssertionError(f"it is asked for {name}")

    untouched: Any = Untouched()
    assert outbox.flush(untouched) == 0


@pytest.mark.parametrize("name", list(SINKS))
def test_every_sink_gets_files_and_memory_in_order(name: str, file: Path) -> None:
    region = FileRegion(file)
    outbox = Outbox()
    sent: list[int] = []
    with SINKS[name]() as (sink, received):
        for number in range(5):
            outbox.put(b"header")
            outbox.put(region[number : number + 150_000], on_sent=partial(sent.append, number))
        assert outbox.pending == 5 * 150_006
        drain(outbox, sink)
        assert received() == b"".join(b"header" + CONTENT[n : n + 150_000] for n in range(5))
    assert sent == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("pair", ["tcp", "unix", "tls"])
def test_a_peer_that_takes_a_few_bytes_at_a_time(pair: str, file: Path) -> None:
    here: socket.socket
    outbox = Outbox()
    parts: list[Part] = [b"h" * 4000, FileRegion(file)[7:9000], b"t" * 3000, FileRegion(file, stable=True)[:3000]]
    for part in parts:
        outbox.put(part)
    with tls_pair() if pair == "tls" else _sockets(pair) as (here, there):
        shrink(here)
        here.setblocking(False)
        peer = Peer(there.recv, nibbles())
        drain(outbox, here)
        here.shutdown(socket.SHUT_WR)
        assert peer.received() == CompositeBuffer(parts)


def test_a_peer_that_takes_nothing_now_is_sent_nothing() -> None:
    """Few parts go by one call, more by a plan: either way they wait, and nothing is broken."""
    for parts in ([b"abc"], [b"x"] * 2000):
        outbox = Outbox()
        with _sockets("unix") as (here, there):
            here.setblocking(False)
            filled = 0
            with contextlib.suppress(BlockingIOError):
                while True:
                    filled += here.send(bytes(1 << 16))
            for part in parts:
                outbox.put(part)
            assert (outbox.flush(here), outbox.pending) == (0, sum(map(len, parts)))
            peer = Peer(there.recv, nibbles())
            drain(outbox, here)
            here.shutdown(socket.SHUT_WR)
            assert peer.received() == bytes(filled) + b"".join(parts)


@contextmanager
def _sockets(pair: str) -> Iterator[tuple[socket.socket, socket.socket]]:
    here, there = PAIRS[pair]()
    with here, there:
        yield here, there


@pytest.mark.parametrize("name", MIX_SINKS)
@given(parts=MIXES, cuts=st.integers(0, 5), data=st.data())
def test_random_mixes_arrive_whatever_a_call_takes(
    name: str, parts: list[tuple[str, int]], cuts: int, data: st.DataObject
) -> None:
    chance = random.Random(data.draw(st.integers(0, 1000), label="appetite"))
    with (
        tempfile.NamedTemporaryFile() as place,
        pytest.MonkeyPatch.context() as patch,
        SINKS[name]() as (sink, received),
    ):
        place.write(CONTENT)
        place.flush()
        outbox, expected = Outbox(), b""
        told: list[tuple[int, int]] = []

        def tell(n: int) -> None:
            told.append((n, outbox.pending))

        writev, sendfile, sendmsg = os.writev, os.sendfile, socket.socket.sendmsg
        few: Callable[[int], int] = lambda most: chance.choice([1, chance.randint(1, most), most])

        def first(batch: list[Any]) -> list[Any]:
            if chance.random() < 0.1:
                raise BlockingIOError(errno.EAGAIN, "not now")
            return [*batch[:-1], batch[-1][: few(len(batch[-1]))]][: few(len(batch))]

        patch.setattr(os, "writev", lambda fd, batch: writev(fd, first(batch)))
        patch.setattr(os, "sendfile", lambda out, into, at, n: sendfile(out, into, at, few(n)))
        patch.setattr(socket.socket, "sendmsg", lambda self, batch, *args: sendmsg(self, first(batch), *args))
        for _ in range(cuts + 1):
            buffer, message = build_mix(parts, Path(place.name))
            expected += message
            outbox.put(buffer, on_sent=partial(tell, len(expected)))
            outbox.flush(sink)
        drain(outbox, sink)
        outbox.flush(sink)  # the last parts may have been empty
        assert received() == expected
        assert [n for n, _ in told] == sorted(n for n, _ in told)
        assert all(n + left <= len(expected) for n, left in told)
        assert len(told) == cuts + 1


def test_a_part_is_taken_as_it_is_now() -> None:
    composite = CompositeBuffer([b"abc", b"def"])
    outbox, sink = Outbox(), io.BytesIO()
    with no_copy(strict=True):
        outbox.put(composite)
    composite.clear()
    composite.append(b"other")
    outbox.flush(sink)
    assert sink.getvalue() == b"abcdef"


def test_what_is_no_part_is_refused() -> None:
    outbox = Outbox()
    for wrong in ("text", 7, None, [b"x"]):
        with pytest.raises(TypeError):
            outbox.put(wrong)  # type: ignore[arg-type]  # the mistake under test
    assert outbox.pending == 0
    outbox.put(b"x")
    with pytest.raises(TypeError, match="takes text"):
        outbox.flush(io.StringIO())  # type: ignore[arg-type]
    sink = io.BytesIO()
    assert outbox.flush(sink) == 1


def test_each_byte_goes_once_where_a_sink_takes_a_part_of_a_call_and_then_more() -> None:
    for most in (1, 2, 3, 5, 8, 11):
        got = bytearray()

        class Sink:
            def write(self, data: memoryview) -> int:
                taken = bytes(data)[:most]  # noqa: B023
                got.extend(taken)  # noqa: B023
                return len(taken)

        outbox = Outbox()
        for part in (b"abc", b"defgh", b"ij"):
            outbox.put(part)
        sent = 0
        while outbox.pending:
            sent += outbox.flush(Sink())
        assert (bytes(got), sent) == (b"abcdefghij", 10)


def test_each_byte_goes_once_where_the_system_takes_a_part_of_a_call_and_then_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    writev, write = os.writev, os.write
    monkeypatch.setattr(os, "writev", lambda fd, batch: writev(fd, [b"".join(batch)[:3]]))
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, bytes(data)[:3]))
    reader, writer = os.pipe()
    try:
        os.set_blocking(writer, False)
        outbox = Outbox()
        for part in (b"abc", b"defgh", b"ij"):
            outbox.put(part)
        assert (outbox.flush(writer), outbox.pending) == (10, 0)
        assert os.read(reader, 99) == b"abcdefghij"
    finally:
        os.close(reader)
        os.close(writer)


class Fed:
    """A file object that takes so many bytes in all, and then would block."""

    def __init__(self, most: int) -> None:
        self.most = most

    def write(self, data: memoryview) -> int:
        taken = min(self.most, len(data))
        self.most -= taken
        if not taken:
            raise BlockingIOError(errno.EAGAIN, "full")
        return taken


def test_a_watermark_is_any_integer_and_has_a_default() -> None:
    for outbox, most in ((Outbox(np.int64(4), np.int64(2)), 4), (Outbox(), 65536)):
        paused = []
        for part in (bytes(most), b"x"):
            outbox.put(part)
            paused.append(outbox.paused)
        assert paused == [False, True]
    left: list[int] = []
    by_low = Outbox(on_resume=lambda: left.append(by_low.pending))
    by_low.put(bytes(65537))
    by_low.flush(Fed(65537 - 32769))
    assert left == []
    by_low.flush(Fed(1))
    assert left == [32768]


def test_what_was_sent_is_let_go_of_at_once() -> None:
    class Exporter(bytearray):
        pass

    owner = Exporter(b"abc")
    alive = weakref.ref(owner)
    outbox = Outbox()
    outbox.put(owner)
    outbox.put(b"def")
    del owner
    outbox.flush(taking(3))
    assert alive() is None
    assert outbox.pending == 3


def test_an_outbox_that_has_sent_all_is_as_new_and_no_other_is() -> None:
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        outbox = Outbox(10, 5)
        assert outbox._is_as_new()
        outbox.put(b"abcdefghijkl")
        assert not outbox._is_as_new()
        outbox.flush(near)
        assert outbox._is_as_new()
        outbox.put(b"", on_sent=print)
        assert not outbox._is_as_new(), "somebody waits to be told"
        outbox.close()
        assert not outbox._is_as_new()
        calling = Outbox()
        meanwhile: list[bool] = []
        calling.put(b"abcd", on_sent=lambda: meanwhile.append(calling._is_as_new()))
        calling.flush(near)
        assert meanwhile == [False], "it is in the middle of a flush"
        assert calling._is_as_new()
    one_at_a_time = Outbox()
    one_at_a_time.put(b"abcd")
    one_at_a_time.flush(taking(4))
    assert not one_at_a_time._is_as_new(), "it knows what a call to that takes"


@interpreted
def test_an_outbox_that_is_broken_when_all_went_is_not_as_new() -> None:
    def fresh() -> Outbox:
        outbox = Outbox()
        outbox.put(b"abc")
        return outbox

    with tempfile.TemporaryFile() as file:
        broken = 0
        for outbox, _ in at_each_step(fresh, lambda outbox: outbox.flush(file.fileno())):
            if repr(outbox) == "<Outbox: broken, 0 bytes pending>":
                broken += 1
                assert not outbox._is_as_new()
    assert broken


def test_small_parts_go_in_one_call_and_a_slow_sink_costs_no_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []
    writev = os.writev

    def some(fd: int, batch: list[Any]) -> int:
        batches.append(len(batch))
        if len(batches) % 2:
            return writev(fd, batch[:2])
        raise BlockingIOError(errno.EAGAIN, "not now")

    monkeypatch.setattr(os, "writev", some)
    outbox = Outbox(high=1 << 20)  # or so many tiny parts would be gathered
    for _ in range(3000):
        outbox.put(b"ab")
    with tempfile.TemporaryFile() as sink:
        for _ in range(50):
            assert outbox.flush(sink.fileno()) == 4
    assert batches[0] == 1024
    assert sum(batches[2:]) <= 100 * 12


# -- turns -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stable", [False, True])
def test_a_turn_sends_2_mib_of_files(stable: bool) -> None:
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as sink:
        source.truncate(5 * _TURN)
        outbox = Outbox()
        outbox.put(FileRegion(source, stable=stable))
        assert [outbox.flush(sink) for _ in range(6)] == [_TURN] * 5 + [0]


def test_a_turn_sends_little_more_than_2_mib_of_memory() -> None:
    with tempfile.TemporaryFile() as sink:
        outbox = Outbox()
        outbox.put(CompositeBuffer([bytes(1000)] * 10_000))
        outbox.put(bytes(3 * _TURN))
        outbox.put(bytearray(3 * _TURN))
        while outbox.pending:
            assert 0 < outbox.flush(sink) < 2 * _TURN


def test_a_file_that_a_turn_cuts_holds_nothing_back() -> None:
    here, there = tcp_pair()
    with here, there, tempfile.TemporaryFile() as source:
        source.truncate(2 * _TURN)
        here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 * _TURN)
        here.setblocking(False)
        outbox = Outbox()
        outbox.put(b"header")
        outbox.put(FileRegion(source))
        outbox.put(b"trailer")
        peer = Peer(there.recv)
        drain(outbox, here)
        if hasattr(socket, "TCP_CORK"):
            assert here.getsockopt(socket.IPPROTO_TCP, socket.TCP_CORK) == 0
        here.shutdown(socket.SHUT_WR)
        assert len(peer.received()) == 2 * _TURN + 13


# -- watermarks ------------------------------------------------------------------------------------------------


def test_watermarks() -> None:
    events: list[str] = []
    outbox = Outbox(10, 4, on_pause=lambda: events.append("pause"), on_resume=lambda: events.append("resume"))
    outbox.put(b"x" * 10)
    assert (outbox.paused, events) == (False, [])
    outbox.put(b"x")
    outbox.put(b"x" * 5)
    assert (outbox.paused, events) == (True, ["pause"])
    outbox.flush(taking(10, 1))
    assert (outbox.pending, outbox.paused) == (5, True)
    outbox.flush(taking(1))
    assert (outbox.pending, outbox.paused, events) == (4, False, ["pause", "resume"])
    outbox.put(b"x" * 7)
    assert events == ["pause", "resume", "pause"]


def test_files_count(file: Path) -> None:
    outbox = Outbox()
    outbox.put(FileRegion(file))
    assert outbox.paused
    assert outbox.pending == len(CONTENT)


@pytest.mark.parametrize("wrong", [b"data", io.BytesIO(), 1.5, None], ids=lambda value: type(value).__name__)
def test_what_is_no_watermark_is_told_where_bytes_and_sinks_go(wrong: Any) -> None:
    for make in (Outbox, lambda low: Outbox(9, low)):
        with pytest.raises(TypeError) as caught:
            make(wrong)
        told = f"a watermark in bytes is wanted, not {reprlib.repr(wrong)}: write Outbox(), then put(part) and flush"
        assert str(caught.value).startswith(told)


def test_zero_is_a_watermark() -> None:
    outbox = Outbox(0, 0)
    outbox.put(b"x")
    assert outbox.paused
    outbox.flush(io.BytesIO())
    assert not outbox.paused


@pytest.mark.parametrize(("high", "low"), [(1, 2), (-1, -1), (5, -1)])
def test_watermarks_that_cannot_be(high: int, low: int) -> None:
    with pytest.raises(ValueError, match=r"watermark|negative"):
        Outbox(high, low)
    with pytest.raises(TypeError):
        Outbox(1.5)  # type: ignore[arg-type]


def test_a_producer_is_driven_by_its_callbacks() -> None:
    waiting = [bytes([n]) * 7 for n in range(50)]
    message = b"".join(waiting)

    def produce() -> None:
        while waiting and not outbox.paused:
            outbox.put(waiting.pop(0))

    most = 0
    outbox = Outbox(20, 10, on_resume=produce)
    produce()
    sink = FakeSocket()
    while outbox.pending:
        most = max(most, outbox.pending)
        sink.sends = Script([5, STALL])
        outbox.flush(sink)
    assert sink.sent == message
    assert most <= 27


# -- callbacks -------------------------------------------------------------------------------------------------


def test_callbacks_come_once_all_of_a_part_went() -> None:
    told: list[str] = []
    outbox = Outbox()
    for name in ("abc", "", "de"):
        outbox.put(name.encode(), on_sent=partial(told.append, name))
    outbox.flush(taking(2))
    assert told == []
    outbox.flush(taking(1))
    assert told == ["abc", ""]
    outbox.flush(taking(5))
    assert told == ["abc", "", "de"]


def test_an_empty_part_is_told_by_a_flush_too() -> None:
    told: list[int] = []
    outbox = Outbox()
    outbox.put(b"", on_sent=lambda: told.append(outbox.pending))
    assert told == []
    assert outbox.flush(io.BytesIO()) == 0
    assert told == [0]


def test_a_callback_may_put_more() -> None:
    outbox, sink = Outbox(), io.BytesIO()
    outbox.put(b"abc", on_sent=lambda: outbox.put(b"def", on_sent=lambda: outbox.put(b"ghi")))
    assert [outbox.flush(sink) for _ in range(4)] == [3, 3, 3, 0]
    assert sink.getvalue() == b"abcdefghi"


def test_a_sink_may_put_more_while_it_is_written_to() -> None:
    outbox = Outbox()

    class Echo(io.BytesIO):
        def write(self, data: Any) -> int:
            if len(self.getvalue()) < 6:
                outbox.put(b"+", on_sent=lambda: told.append(outbox.pending))
            return super().write(data)

    told: list[int] = []
    sink = Echo()
    outbox.put(CompositeBuffer([b"abc", b"def"]))
    assert outbox.flush(sink) == 6
    assert (sink.getvalue(), outbox.pending) == (b"abcdef", 2)
    assert outbox.flush(sink) == 2
    assert (sink.getvalue(), told) == (b"abcdef++", [0, 0])


def test_an_error_of_a_callback_leaves_the_others_for_later() -> None:
    told: list[str] = []

    def fail() -> None:
        raise LookupError("mine")

    outbox, sink = Outbox(), io.BytesIO()
    outbox.put(b"abc", on_sent=fail)
    outbox.put(b"def", on_sent=lambda: told.append("second"))
    with pytest.raises(LookupError, match="mine"):
        outbox.flush(sink)
    assert (sink.getvalue(), outbox.pending, told) == (b"abcdef", 0, [])
    assert outbox.flush(sink) == 0
    assert told == ["second"]


def test_what_went_before_an_error_is_told() -> None:
    told: list[str] = []
    outbox = Outbox(3, 3)
    outbox.put(b"abc", on_sent=lambda: told.append("first"))
    outbox.put(b"def")
    with pytest.raises(LookupError) as caught:
        outbox.flush(taking(3, 1, LookupError()))
    assert caught.value.bytes_flushed == 4  # type: ignore[attr-defined]
    assert (told, outbox.pending, outbox.paused) == (["first"], 2, False)


@pytest.mark.parametrize("breaks", [False, True])
def test_what_went_before_an_error_is_told_whatever_callbacks_raise(
    breaks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def fail(name: str) -> None:
        told.append(name)
        raise LookupError(name)

    writev = os.writev
    error = KeyboardInterrupt() if breaks else OSError(errno.EIO, "mine")
    calls: list[Callable[..., int]] = [lambda fd, batch: writev(fd, batch[:1]), _raising(error)]

    def next_call(fd: int, batch: list[bytes]) -> int:
        return calls.pop(0)(fd, batch)

    monkeypatch.setattr(os, "writev", next_call)
    outbox = Outbox(10, 10, on_resume=partial(fail, "resume"))
    outbox.put(b"abc", on_sent=partial(fail, "first"))
    outbox.put(b"", on_sent=partial(told.append, "second"))
    outbox.put(b"defgh")
    outbox.put(b"ijk", on_sent=partial(told.append, "never"))
    with tempfile.TemporaryFile() as sink, pytest.raises(type(error)) as caught:
        outbox.flush(sink.fileno())
    assert caught.value is error
    assert error.bytes_flushed == 3  # type: ignore[union-attr]
    assert told == (["first", "second"] if breaks else ["first", "second", "resume"])
    assert [name for note in error.__notes__ for name in told if f"LookupError('{name}')" in note] == [
        name for name in told if name != "second"
    ]
    assert not outbox.paused


def test_an_error_that_takes_no_notes_comes_as_it_is() -> None:
    def fail() -> None:
        raise LookupError

    outbox = Outbox()
    outbox.put(b"abc", on_sent=fail)
    outbox.put(b"def")
    with pytest.raises(Frozen):
        outbox.flush(taking(3, Frozen(7)))


def test_a_broken_outbox_wakes_nobody_who_would_put_more(file: Path) -> None:
    told: list[str] = []
    outbox = Outbox(10, 10, on_resume=lambda: outbox.put(b"more"))
    outbox.put(b"header", on_sent=partial(told.append, "header"))
    outbox.put(FileRegion(file), on_sent=partial(told.append, "file"))

    class Sink(io.BytesIO):
        def write(self, data: Any) -> int:
            os.truncate(file, 100)
            return super().write(data)

    sink = Sink()
    with pytest.raises(TruncatedFile):
        outbox.flush(sink)
    assert (told, outbox.paused) == (["header"], False)
    with pytest.raises(BrokenSink):
        outbox.flush(sink)
    outbox.close()
    assert (told, outbox.pending) == (["header"], 0)


# -- one writer ------------------------------------------------------------------------------------------------


def test_a_second_writer_is_refused() -> None:
    outbox = Outbox(1, 1)
    caught: list[str] = []

    def again() -> None:
        with pytest.raises(Busy, match="the outbox is in use"):
            outbox.flush(io.BytesIO())
        caught.append("busy")

    class Sink(io.BytesIO):
        def write(self, data: Any) -> int:
            again()
            thread = threading.Thread(target=again)
            thread.start()
            thread.join(PATIENCE)
            return super().write(data)

    outbox = Outbox(1, 1, on_resume=again)
    outbox.put(b"abc", on_sent=again)
    assert outbox.flush(Sink()) == 3
    assert caught == ["busy"] * 4
    outbox.put(b"d")
    assert outbox.flush(io.BytesIO()) == 1


# -- the end ---------------------------------------------------------------------------------------------------


def test_closing_lets_go_of_everything_once(file: Path) -> None:
    class Exporter(bytearray):
        pass

    owner = Exporter(b"abc")
    told: list[str] = []
    region = FileRegion(file)
    alive: list[Callable[[], object]] = [weakref.ref(owner), weakref.ref(region)]
    outbox = Outbox(1, 1, on_resume=lambda: told.append("resume"))
    outbox.put(owner, on_sent=lambda: told.append("sent"))
    outbox.put(region)
    del owner, region
    outbox.close()
    outbox.close()
    assert [ref() for ref in alive] == [None, None]
    assert (told, outbox.pending, outbox.paused) == ([], 0, False)
    with pytest.raises(ClosedError, match="the outbox is closed"):
        outbox.put(b"x")
    with pytest.raises(ClosedError, match="the outbox is closed"):
        outbox.flush(io.BytesIO())


def test_a_with_block_closes() -> None:
    with Outbox() as outbox:
        outbox.put(b"abc")
    assert outbox.pending == 0
    with pytest.raises(ClosedError):
        outbox.put(b"abc")


def test_a_callback_may_close() -> None:
    outbox, sink = Outbox(1, 1), io.BytesIO()
    outbox.put(b"last words", on_sent=outbox.close)
    outbox.flush(sink)
    assert sink.getvalue() == b"last words"
    with pytest.raises(ClosedError):
        outbox.put(b"x")


def test_closing_while_the_sink_writes_waits_for_the_turn() -> None:
    outbox = Outbox()
    meanwhile: list[int] = []

    class Sink(io.BytesIO):
        def write(self, data: Any) -> int:
            outbox.close()
            meanwhile.append(outbox.pending)
            return super().write(data)

    sink = Sink()
    outbox.put(CompositeBuffer([b"abc", b"def"]))
    assert outbox.flush(sink) == 6
    assert sink.getvalue() == b"abcdef"
    assert meanwhile == [6, 6]
    assert outbox.pending == 0


def test_repr() -> None:
    outbox = Outbox(5, 5)
    outbox.put(b"abc")
    assert repr(outbox) == "<Outbox: 3 bytes pending>"
    outbox.put(b"abc")
    assert repr(outbox) == "<Outbox: paused, 6 bytes pending>"
    with pytest.raises(LookupError):
        outbox.flush(taking(2, LookupError()))
    assert repr(outbox) == "<Outbox: broken, 4 bytes pending>"
    outbox.close()
    assert repr(outbox) == "<Outbox: closed, 0 bytes pending>"


# -- interrupts ------------------------------------------------------------------------------------------------


def test_an_error_that_takes_no_attributes_breaks_it_like_any_other() -> None:
    outbox, sink = Outbox(), taking(3, Frozen(7), 100)
    outbox.put(b"one")
    outbox.put(b"two")
    with pytest.raises(Frozen):
        outbox.flush(sink)
    assert outbox.pending == 3
    with pytest.raises(BrokenSink, match="Frozen"):
        outbox.flush(sink)
    assert sink.sent == b"one"


PLACES = {
    "before the first call": ("bytebufs.sending.outbox.offer", True),
    "after the first call": ("bytebufs.sending.outbox.offer", False),
    "before the plan": ("bytebufs.sending.outbox.Plan", True),
    "before more calls": ("bytebufs.sending.outbox.send_some", True),
    "after more calls": ("bytebufs.sending.outbox.send_some", False),
    "before what went is let go of": ("bytebufs.composite_buffer.CompositeBuffer.skip", True),
    "after it": ("bytebufs.composite_buffer.CompositeBuffer.skip", False),
    "before the plan lets go of it": ("bytebufs.composite_buffer.CompositeBuffer._drain_to", True),
    "after that": ("bytebufs.composite_buffer.CompositeBuffer._drain_to", False),
}


@pytest.mark.skipif(COMPILED, reason="compiled code calls itself directly: nothing can be patched to raise")
@pytest.mark.parametrize("place", list(PLACES))
def test_an_interrupt_anywhere_sends_no_byte_twice(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, before = PLACES[place]
    module, _, attribute = name.rpartition(".")
    owner: Any = CompositeBuffer if attribute in {"skip", "_drain_to"} else sys.modules[module]
    call = getattr(owner, attribute)

    def interrupted(*args: Any, **options: Any) -> None:
        if not before:
            call(*args, **options)
        raise KeyboardInterrupt

    outbox = Outbox()
    outbox.put(b"abc" if attribute in {"offer", "skip"} else bytes(_TURN))
    outbox.put(b"def")
    with tempfile.TemporaryFile() as sink:
        with monkeypatch.context() as patch:
            patch.setattr(owner, attribute, interrupted)
            with pytest.raises(KeyboardInterrupt) as caught:
                outbox.flush(sink.fileno())
        assert repr(outbox).startswith("<Outbox: broken, ")
        with pytest.raises(BrokenSink, match="KeyboardInterrupt"):
            outbox.flush(sink.fileno())
        with pytest.raises(BrokenSink, match="KeyboardInterrupt"):
            outbox.put(b"x")
        assert caught.value.bytes_flushed <= os.fstat(sink.fileno()).st_size  # type: ignore[attr-defined]


@pytest.mark.skipif(COMPILED, reason="compiled code calls itself directly: nothing can be patched to raise")
@pytest.mark.parametrize("attribute", ["skip", "_drain_to"])
@pytest.mark.parametrize("before", [True, False])
def test_a_signal_handler_with_an_error_of_the_system_sends_no_byte_twice_either(
    attribute: str, *, before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = getattr(CompositeBuffer, attribute)

    def interrupted(*args: Any) -> None:
        if not before:
            call(*args)
        raise OSError(errno.EIO, "raised by a signal handler")

    outbox = Outbox()
    outbox.put(b"abc" if attribute == "skip" else bytes(_TURN))
    outbox.put(b"def")
    with tempfile.TemporaryFile() as sink:
        with monkeypatch.context() as patch:
            patch.setattr(CompositeBuffer, attribute, interrupted)
            with pytest.raises(OSError, match="signal handler") as caught:
                outbox.flush(sink.fileno())
        sent = os.fstat(sink.fileno()).st_size
        assert caught.value.bytes_flushed == sent  # type: ignore[attr-defined]
        with pytest.raises(BrokenSink, match="signal handler"):
            outbox.flush(sink.fileno())
        assert os.fstat(sink.fileno()).st_size == sent


def interrupted_in(owner: type, name: str, interrupted: Callable[..., None]) -> tuple[Outbox, io.BytesIO]:
    """An outbox with a callback that put more in, flushed while a method was one that raises, and its sink."""
    outbox, sink = Outbox(), io.BytesIO()
    outbox.put(b"abc", on_sent=lambda: outbox.put(b"def"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, interrupted)
        with pytest.raises(KeyboardInterrupt):
            outbox.flush(sink)
    return outbox, sink


@pytest.mark.skipif(COMPILED, reason="compiled code calls itself directly: nothing can be patched to raise")
def test_an_interrupt_while_it_takes_in_what_came_late_takes_it_in() -> None:
    append = CompositeBuffer._append_within

    def interrupted(self: CompositeBuffer, part: Part) -> None:
        append(self, part)
        if isinstance(part, CompositeBuffer):
            raise KeyboardInterrupt

    outbox, sink = interrupted_in(CompositeBuffer, "_append_within", interrupted)
    assert outbox.pending == 3
    assert outbox.flush(sink) == 3
    assert sink.getvalue() == b"abcdef"


@pytest.mark.skipif(COMPILED, reason="compiled code calls itself directly: nothing can be patched to raise")
def test_an_interrupt_before_that_loses_nothing() -> None:
    def interrupted(self: Outbox) -> None:
        raise KeyboardInterrupt

    outbox, sink = interrupted_in(Outbox, "_tidy", interrupted)
    outbox.put(b"ghi")
    assert outbox.pending == 6
    assert outbox.flush(sink) == 6
    assert sink.getvalue() == b"abcdefghi"


def test_what_is_put_in_by_callbacks_goes_where_copies_are_forbidden() -> None:
    def little_of_much(n: int) -> memoryview:
        return memoryview(bytes(1 << 20))[:n]

    outbox = Outbox(1 << 16, 0)
    outbox.put(b"abc", on_sent=lambda: outbox.put(little_of_much(4)))
    outbox.put(b"def")
    outbox.put(little_of_much(5))
    sink = FakeSocket(send=[3, STALL, None])
    with no_copy():
        assert outbox.flush(sink) == 3
        assert outbox.pending == 3 + 5 + 4
        assert outbox.flush(sink) == 12
    assert sink.sent == b"abcdef" + bytes(9)


@pytest.mark.skipif(COMPILED, reason="compiled code calls itself directly: nothing can be patched to raise")
def test_what_came_late_waits_for_the_next_flush_where_there_is_no_memory_to_take_it_in() -> None:
    append = CompositeBuffer._append_within

    def without_memory(self: CompositeBuffer, part: Part) -> None:
        if isinstance(part, CompositeBuffer):
            raise MemoryError
        append(self, part)

    outbox, sink = Outbox(), io.BytesIO()
    outbox.put(b"abc", on_sent=lambda: outbox.put(b"def"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CompositeBuffer, "_append_within", without_memory)
        assert outbox.flush(sink) == 3
        assert outbox.pending == 3
        with pytest.raises(MemoryError):
            outbox.flush(sink)
        assert outbox.pending == 3
        assert sink.getvalue() == b"abc"
    outbox.put(b"ghi")
    assert outbox.flush(sink) == 6
    assert sink.getvalue() == b"abcdefghi"


@pytest.mark.skipif(COMPILED, reason="compiled code calls itself directly: nothing can be patched to raise")
def test_an_interrupt_behind_another_error_takes_in_what_came_late_once_or_says_that_it_is_broken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    append = CompositeBuffer._append_within
    sink = io.BytesIO()

    def without_memory(self: CompositeBuffer, part: Part) -> None:
        append(self, part)
        if isinstance(part, CompositeBuffer) and part:
            raise MemoryError

    def fresh() -> Outbox:
        sink.seek(0)
        sink.truncate()
        outbox = Outbox()
        outbox.put(b"abc", on_sent=lambda: outbox.put(b"def"))
        return outbox

    monkeypatch.setattr(CompositeBuffer, "_append_within", without_memory)
    broken = 0
    for outbox, _ in at_each_step(fresh, lambda outbox: outbox.flush(sink)):
        for _ in range(2):
            with contextlib.suppress(BrokenSink, MemoryError):
                outbox.flush(sink)
        assert b"abcdef".startswith(sink.getvalue())
        broken += repr(outbox).startswith("<Outbox: broken")
    assert broken > 1


def queue_of(outbox: Outbox) -> bytes:
    """Return what waits, which has to be as much as is said."""
    outbox._queue._check()
    waits = bytes(outbox._queue)
    assert len(waits) == outbox.pending
    return waits


@interpreted
@pytest.mark.parametrize("wants_to_know", [False, True])
@pytest.mark.parametrize(
    "make",
    [lambda: b"def", lambda: bytearray(b"def"), lambda: CompositeBuffer([b"d", b"ef"])],
    ids=["bytes", "bytearray", "composite"],
)
def test_a_put_that_is_interrupted_adds_all_and_a_callback_for_it_or_nothing(
    make: Callable[[], Part], *, wants_to_know: bool
) -> None:
    told: list[str] = []

    def fresh() -> Outbox:
        told.clear()
        outbox = Outbox()
        outbox.put(b"abc", on_sent=lambda: told.append("abc"))
        return outbox

    on_sent = partial(told.append, "def") if wants_to_know else None
    for outbox, found in at_each_step(fresh, lambda outbox: outbox.put(make(), on_sent=on_sent)):
        waits = queue_of(outbox)
        assert waits == b"abcdef" or (found.error and waits == b"abc")
        sink = taking(3, 0, 100, 100, 100)
        outbox.put(b"ghi", on_sent=lambda: told.append("ghi"))
        outbox.flush(sink)
        assert told == ["abc"]
        outbox.flush(sink)
        assert sink.sent == waits + b"ghi"
        assert told == ["abc", *(["def"] if wants_to_know and waits == b"abcdef" else []), "ghi"]


@interpreted
@pytest.mark.parametrize("high", [2, 3])
def test_closing_in_the_middle_of_a_put_leaves_nothing_behind(high: int) -> None:
    """As a signal handler does, or a finalizer."""
    told: list[str] = []

    def keep(outbox: Outbox) -> None:
        outbox.put(bytearray(b"def"), on_sent=lambda: told.append("def"))

    def close(outbox: Outbox) -> None:
        with contextlib.suppress(Busy):  # then who puts closes it, as the last act
            outbox.close()

    refused = done = 0
    for outbox, found in at_each_step(lambda: Outbox(high, 1), keep, close):
        if not outbox._is_closed:  # it never came
            outbox.close()
        assert found.error is None or isinstance(found.error, ClosedError)
        refused += found.error is not None
        done += found.error is None
        assert (outbox.pending, outbox.paused, told) == (0, False, [])
        assert (len(outbox._queue), outbox._callbacks or None, outbox._late) == (0, None, None)
        outbox._queue._check()
        with pytest.raises(ClosedError):
            outbox.put(b"x")
    assert refused > 10
    assert done > 10


@interpreted
@pytest.mark.parametrize("sends", ["a descriptor", "an object"])
def test_a_flush_that_is_interrupted_goes_on_with_what_came_late_or_says_that_it_is_broken(sends: str) -> None:
    told: list[str] = []
    sink = io.BytesIO()

    def fresh() -> Outbox:
        told.clear()
        sink.seek(0)
        sink.truncate()
        outbox = Outbox()

        def sent() -> None:
            told.append("abc")
            outbox.put(b"def", on_sent=lambda: told.append("def"))

        outbox.put(b"abc", on_sent=sent)
        return outbox

    with tempfile.TemporaryFile() as file:
        target: Any = file.fileno() if sends == "a descriptor" else sink

        def came() -> bytes:
            return os.pread(target, 100, 0) if isinstance(target, int) else sink.getvalue()

        def again() -> Outbox:
            file.seek(0)
            file.truncate()
            return fresh()

        broken = whole = 0
        for outbox, found in at_each_step(again, lambda outbox: outbox.flush(target)):
            if repr(outbox).startswith("<Outbox: broken"):
                broken += 1
                assert found.error
                with pytest.raises(BrokenSink):
                    outbox.flush(target)
                with pytest.raises(BrokenSink):
                    outbox.put(b"x")
                assert b"abc".startswith(came())
                continue
            whole += 1
            outbox.flush(target)
            outbox.flush(target)
            lost = found.error is not None and "def" not in told
            assert came() == (b"abc" if lost else b"abcdef")
            assert told in (["abc", "def"], ["abc"], []) if lost else told == ["abc", "def"]
            assert outbox.pending == 0
        assert broken > 10
        assert whole > 10


def test_the_timeout_of_an_alarm_is_not_the_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("send", "sendmsg"):
        call = getattr(socket.socket, name)

        def late(*args: Any, call: Callable[..., int] = call) -> int:
            call(*args)
            raise TimeoutError("of an alarm")

        monkeypatch.setattr(socket.socket, name, late)
    here, there = socket.socketpair()
    with here, there:
        here.settimeout(PATIENCE)
        outbox = Outbox()
        outbox.put(b"hello")
        with pytest.raises(TimeoutError, match="of an alarm"):
            outbox.flush(here)
        with pytest.raises(BrokenSink, match="of an alarm"):
            outbox.flush(here)
        assert there.recv(100) == b"hello"


# -- what is read ahead ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["unix", "tls"])
def test_a_slow_peer_costs_no_second_copy(name: str, file: Path) -> None:
    here: socket.socket
    outbox = Outbox()
    outbox.put(b"header")
    outbox.put(FileRegion(file, stable=True))
    outbox.put(FileRegion(file, stable=True)[5:])
    turns = 0
    with tls_pair() if name == "tls" else _sockets(name) as (here, there), copy_audit() as audit:
        shrink(here)
        here.setblocking(False)
        there.setblocking(False)
        got = bytearray()
        while len(got) < 2 * len(CONTENT) + 1:
            turns += outbox.pending > 0
            outbox.flush(here)
            with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError):
                got += there.recv(3000)
    assert got == b"header" + CONTENT + CONTENT[5:]
    assert audit.by_reason == {"stable": 2 * len(CONTENT) - 5}
    assert turns > 10


@pytest.mark.parametrize("left", [1000, 20_000, 40_000])
def test_a_file_that_shrinks_below_what_tls_was_given(left: int, file: Path) -> None:
    """TLS wants what it could not send to be offered again as it was: with less it says BAD_LENGTH."""
    with tls_pair() as (here, there):
        shrink(here)
        here.setblocking(False)
        there.setblocking(False)
        outbox = Outbox()
        outbox.put(FileRegion(file))
        went = outbox.flush(here)
        os.truncate(file, went + left)
        got = bytearray()
        with pytest.raises(TruncatedFile):  # noqa: PT012  # what was read before goes first
            while True:
                with contextlib.suppress(ssl.SSLWantReadError):
                    got += there.recv(1 << 16)
                outbox.flush(here)
        with contextlib.suppress(ssl.SSLWantReadError):
            while True:
                got += there.recv(1 << 16)
    assert len(got) >= went + left
    assert CONTENT.startswith(got)


def test_what_was_read_ahead_is_forgotten_once_a_file_goes_by_reference(file: Path) -> None:
    region = FileRegion(file)
    outbox = Outbox()
    outbox.put(region[:1000])
    outbox.flush(taking(40))
    with tempfile.TemporaryFile() as sink:
        assert outbox.flush(sink) == 960
        outbox.put(region[40:50])
        other = taking(100, 100)
        assert outbox.flush(other) == 10
        assert other.sent == CONTENT[40:50]


def test_closing_lets_go_of_what_was_read_ahead(file: Path) -> None:
    region = FileRegion(file)
    alive = weakref.ref(region)
    outbox = Outbox()
    outbox.put(region)
    del region
    assert outbox.flush(taking(10)) == 10
    outbox.close()
    assert alive() is None


@pytest.mark.parametrize("name", ["tcp socket, non-blocking", "unix socket, non-blocking", "FileIO", "BytesIO"])
def test_a_mapped_file_that_shrinks_breaks_it(name: str, file: Path) -> None:
    outbox = Outbox()
    outbox.put(b"header")
    outbox.put(MappedFile(file, offset=7)[:])
    os.truncate(file, 5000)
    with SINKS[name]() as (sink, received):
        with pytest.raises(TruncatedFile) as caught:
            outbox.flush(sink)
        assert (caught.value.expected, caught.value.found) == (len(CONTENT), 5000)
        with pytest.raises(BrokenSink, match="ends at byte 5000"):
            outbox.flush(sink)
        assert caught.value.bytes_flushed == len(received())  # type: ignore[attr-defined]


# -- errors ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [LookupError("x"), KeyboardInterrupt(), OSError(errno.EIO, "x"), TimeoutError()])
def test_an_error_of_an_object_breaks_it_for_ever(error: BaseException) -> None:
    outbox = Outbox()
    outbox.put(b"abcdef")
    sink = taking(2, error, 100, 100)
    with pytest.raises(type(error)) as caught:
        outbox.flush(sink)
    assert caught.value.bytes_flushed == 2  # type: ignore[attr-defined]
    for other in (sink, io.BytesIO()):
        with pytest.raises(BrokenSink, match=type(error).__name__):
            outbox.flush(other)
        with pytest.raises(BrokenSink, match=type(error).__name__):
            outbox.put(b"x")
    assert sink.sent == b"ab"


def test_a_count_that_cannot_be_breaks_it() -> None:
    class Sink:
        def write(self, data: memoryview) -> int:
            return 7

    outbox = Outbox()
    outbox.put(b"abc")
    for _ in range(2):
        with pytest.raises(BrokenSink, match="took 7 of 3 bytes"):
            outbox.flush(Sink())


@pytest.mark.parametrize("number", [errno.EPIPE, errno.ENOSPC, errno.EIO])
def test_an_error_of_the_system_breaks_nothing(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    writev = os.writev
    calls: list[Callable[..., int]] = [lambda fd, batch: writev(fd, batch[:1]), _failing(number), writev]

    def next_call(fd: int, batch: list[bytes]) -> int:
        return calls.pop(0)(fd, batch)

    monkeypatch.setattr(os, "writev", next_call)
    with tempfile.TemporaryFile() as sink:
        outbox = Outbox()
        outbox.put(CompositeBuffer([b"abc", b"def", b"ghi"]))
        with pytest.raises(OSError, match=os.strerror(number)) as caught:
            outbox.flush(sink.fileno())
        assert caught.value.bytes_flushed == 3  # type: ignore[attr-defined]
        assert outbox.flush(sink.fileno()) == 6
        sink.seek(0)
        assert sink.read() == b"abcdefghi"


def _failing(number: int) -> Callable[..., int]:
    return _raising(OSError(number, os.strerror(number)))


def _raising(error: BaseException) -> Callable[..., int]:
    def call(*args: object) -> int:
        raise error

    return call


@pytest.mark.parametrize("error", [KeyboardInterrupt(), TimeoutError("of an alarm"), OSError("of a handler")], ids=repr)
def test_a_handler_that_raises_in_a_call_breaks_it(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def writev(fd: int, batch: list[Any]) -> int:
        raise error

    monkeypatch.setattr(os, "writev", writev)
    outbox = Outbox()
    outbox.put(CompositeBuffer([b"abc", b"def"]))
    with pytest.raises(type(error)):
        outbox.flush(2)
    with pytest.raises(BrokenSink, match=type(error).__name__):
        outbox.flush(2)


def test_a_handler_that_closes_while_a_call_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    writev = os.writev

    def closing(fd: int, batch: list[Any]) -> int:
        outbox.close()
        return writev(fd, batch[:1])

    monkeypatch.setattr(os, "writev", closing)
    outbox = Outbox()
    outbox.put(CompositeBuffer([b"abc", b"def"]))
    with tempfile.TemporaryFile() as sink:
        assert outbox.flush(sink.fileno()) == 6
    assert outbox.pending == 0


def test_a_timeout_of_a_socket_breaks_nothing() -> None:
    here, there = socket.socketpair()
    with here, there:
        shrink(here)
        here.settimeout(0.05)
        outbox = Outbox()
        outbox.put(bytes(1 << 20))
        with pytest.raises(TimeoutError):  # noqa: PT012  # the first may fit
            while outbox.pending:
                outbox.flush(here)
        left = outbox.pending
        here.settimeout(PATIENCE)
        peer = Peer(there.recv)
        drain(outbox, here)
        here.shutdown(socket.SHUT_WR)
        assert len(peer.received()) == 1 << 20 > left > 0


def test_a_peer_that_is_gone() -> None:
    here, there = socket.socketpair()
    with here:
        there.close()
        here.setblocking(False)
        outbox = Outbox()
        outbox.put(b"abc")
        for _ in range(2):
            with pytest.raises(BrokenPipeError):
                outbox.flush(here)
        assert outbox.pending == 3


@pytest.mark.parametrize("stable", [False, True])
@pytest.mark.parametrize("name", ["tcp socket, non-blocking", "tls, non-blocking", "object with write", "FileIO"])
def test_a_file_that_shrinks_between_turns_breaks_it(name: str, stable: bool, file: Path) -> None:
    with file.open("ab") as more:
        more.truncate(5 * _TURN)
    outbox = Outbox()
    outbox.put(b"header")
    outbox.put(FileRegion(file, stable=stable))
    with SINKS[name]() as (sink, received):
        sent = 0
        while not sent:
            sent = outbox.flush(sink)
        os.truncate(file, 100)
        with pytest.raises(TruncatedFile) as caught:  # noqa: PT012  # what was read before may go first
            while True:
                sent += outbox.flush(sink)
        sent += caught.value.bytes_flushed  # type: ignore[attr-defined]
        assert (caught.value.expected, caught.value.found) == (5 * _TURN, 100)
        with pytest.raises(BrokenSink, match="ends at byte 100"):
            outbox.flush(sink)
        # A record that TLS could not send at once may have gone out after all.
        assert sent <= len(received()) <= sent + (1 << 16 if "tls" in name else 0)


def test_a_forbidden_copy_breaks_nothing(file: Path) -> None:
    outbox, sink = Outbox(), io.BytesIO()
    outbox.put(b"header")
    outbox.put(FileRegion(file))
    with no_copy(), pytest.raises(CopyForbidden) as caught:
        outbox.flush(sink)
    assert caught.value.bytes_flushed == 6  # type: ignore[attr-defined]
    with copy_audit() as audit:
        outbox.flush(sink)
    assert sink.getvalue() == b"header" + CONTENT
    assert audit.by_reason == {"fallback": len(CONTENT)}


def test_tls_that_waits_for_the_other_side() -> None:
    client, server = tls_contexts()
    here, there = socket.socketpair()
    here.setblocking(False)
    with (
        client.wrap_socket(here, server_hostname="localhost", do_handshake_on_connect=False) as sink,
        server.wrap_socket(there, server_side=True, do_handshake_on_connect=False) as far,
    ):
        outbox = Outbox()
        outbox.put(b"abc")
        with pytest.raises(ssl.SSLWantReadError):
            outbox.flush(sink)
        greeting = threading.Thread(target=far.do_handshake, daemon=True)
        greeting.start()
        drain(outbox, sink)
        greeting.join(PATIENCE)
        assert far.recv(10) == b"abc"


def test_tls_is_broken_by_an_error() -> None:
    with tls_pair() as (here, there):
        here.setblocking(False)
        there.close()
        outbox = Outbox()
        outbox.put(bytes(1 << 20))
        with pytest.raises(OSError):  # noqa: PT012  # the first may fit
            for _ in range(3):
                outbox.flush(here)
        with pytest.raises(BrokenSink):
            outbox.flush(here)


def test_no_byte_is_copied_on_the_way(file: Path) -> None:
    outbox = Outbox()
    with no_copy(strict=True), open_socket("tcp", timeout=0.0) as (sink, received):
        outbox.put(SliceBuffer(b"<header>", 1, 7))
        outbox.put(FileRegion(file)[1:])
        outbox.put(bytearray(b"trailer"))
        drain(outbox, sink)
        assert received() == b"header" + CONTENT[1:] + b"trailer"


def test_a_second_init_changes_nothing() -> None:
    outbox = Outbox(8, 4)
    outbox.put(b"abc")
    outbox.__init__(100, 50)
    assert outbox.pending == 3
    outbox.put(b"defghi")
    assert outbox.paused


@pytest.mark.skipif(COMPILED, reason="compiled code calls itself directly: nothing can be patched to raise")
def test_what_is_closed_just_as_a_flush_begins_is_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a signal handler may."""
    usable = Outbox._assert_usable

    def closed(outbox: Outbox) -> None:
        if outbox._is_busy:
            outbox.close()
        usable(outbox)

    outbox, sink = Outbox(), io.BytesIO()
    outbox.put(b"abc")
    monkeypatch.setattr(Outbox, "_assert_usable", closed)
    with pytest.raises(ClosedError):
        outbox.flush(sink)
    assert (outbox._queue._size(), sink.getvalue()) == (0, b"")


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, pickle.dumps], ids=["copy", "deepcopy", "pickle"])
def test_an_outbox_is_not_copied(again: Callable[[Outbox], object]) -> None:
    with pytest.raises(TypeError, match=r"^an Outbox is not copied or pickled: make another one$"):
        again(Outbox())
