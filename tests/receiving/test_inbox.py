"""The inbox by hand: rooms, limits, what is shown, what is given back, and what breaks it."""

from __future__ import annotations

import contextlib
import copy
import errno
import pickle
import re
import reprlib
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np
import pytest

from bytebufs import (
    COMPILED,
    BrokenSource,
    Busy,
    CompositeBuffer,
    Inbox,
    LimitExceeded,
    Pool,
    SliceBuffer,
    copy_audit,
    no_copy,
)

from ..conftest import IS_SHORT
from ..disturbed import Interrupt, at_each_step, interrupted, under

BLOCK: Final = 65536


class Scripted:
    """A source that gives this, piece by piece: bytes, an error to raise, or a count that it says instead."""

    def __init__(self, *script: Any) -> None:
        self.script = list(script)
        self.asked: list[int] = []

    def readinto(self, view: memoryview) -> Any:
        self.asked.append(len(view))
        given = self.script.pop(0) if self.script else b""
        if isinstance(given, BaseException):
            raise given
        if callable(given):
            given = given(view)
        if not isinstance(given, bytes):
            return given
        size = min(len(view), len(given))
        view[:size] = given[:size]
        if size < len(given):
            self.script.insert(0, given[size:])
        return size


def fill(inbox: Inbox, data: bytes) -> None:
    inbox.room()[: len(data)] = data
    inbox.filled(len(data))


# -- rooms ---------------------------------------------------------------------------------------------------


def test_what_a_room_is_filled_with_is_the_end_of_the_buffer() -> None:
    inbox = Inbox()
    fill(inbox, b"one, ")
    fill(inbox, b"two")
    assert inbox.buffer == b"one, two"
    assert inbox.buffer.part_count == 1
    assert inbox.buffer.readonly
    inbox.buffer._check()
    assert inbox.ended is False


def test_less_may_be_filled_than_there_is_room() -> None:
    inbox = Inbox()
    room = inbox.room()
    room[:5] = b"abcde"
    inbox.filled(3)
    fill(inbox, b"XY")
    assert inbox.buffer == b"abcXY"


def test_a_room_that_is_asked_for_again_is_the_same_memory() -> None:
    inbox = Inbox()
    fill(inbox, b"abc")
    inbox.room()[:3] = b"def"
    assert bytes(inbox.room()[:3]) == b"def"
    inbox.filled(3)
    assert inbox.buffer == b"abcdef"


def test_a_room_is_writable_bytes_and_never_empty() -> None:
    inbox = Inbox(limit=100_000)
    for _ in range(30):
        room = inbox.room()
        assert (room.readonly, room.format, room.ndim) == (False, "B", 1)
        assert len(room) > 0
        inbox.filled(len(room) - len(room) // 20)
        inbox.buffer.clear()


@pytest.mark.parametrize(
    "end",
    [
        lambda inbox: inbox.filled(3),
        lambda inbox: inbox.filled(0),
        lambda inbox: inbox.room(),
        lambda inbox: inbox.receive(Scripted(b"more")),
    ],
    ids=["filled", "ended", "another room", "receive"],
)
def test_a_room_is_released_once_it_is_not_his_any_more(end: Callable[[Inbox], object]) -> None:
    inbox = Inbox()
    room = inbox.room()
    room[:3] = b"abc"
    end(inbox)
    with pytest.raises(ValueError, match="released"):
        room[:3] = b"XYZ"
    assert inbox.buffer in (b"abc", b"more", b"")


@pytest.mark.parametrize("look", [pickle.PickleBuffer, lambda room: np.frombuffer(room, np.uint8)], ids=["it", "array"])
def test_a_room_that_somebody_looks_into_is_filled_all_the_same(look: Callable[[memoryview], Any]) -> None:
    """As loops do, which hold the buffer of a protocol until it has been told."""
    inbox = Inbox()
    room = inbox.room()
    room[:3] = b"abc"
    held = look(room)
    inbox.filled(3)
    fill(inbox, b"def")
    inbox.rest()
    assert inbox.buffer == b"abcdef"
    assert bytes(memoryview(held)[:6]) == b"abcdef"


def test_the_end_needs_no_room() -> None:
    inbox = Inbox()
    inbox.filled(0)
    assert inbox.ended


def test_more_than_the_room_cannot_be_filled() -> None:
    inbox = Inbox(limit=10)
    with pytest.raises(ValueError, match="1 bytes do not lie in a room of 0"):
        inbox.filled(1)
    assert len(inbox.room()) == 10
    with pytest.raises(ValueError, match="11 bytes do not lie in a room of 10"):
        inbox.filled(11)
    inbox.room()[:4] = b"abcd"
    inbox.filled(4)  # it was left as it was
    with pytest.raises(ValueError, match="1 bytes do not lie in a room of 0"):
        inbox.filled(1)
    assert inbox.buffer == b"abcd"


def test_a_room_is_not_filled_behind_what_was_received_into_it() -> None:
    inbox = Inbox()
    inbox.room()[:5] = b"aaaaa"
    assert inbox.receive(Scripted(b"came")) == 4
    with pytest.raises(ValueError, match="5 bytes do not lie in a room of 0"):
        inbox.filled(5)
    assert inbox.buffer == b"came"


def test_a_room_that_was_taken_back_is_not_filled() -> None:
    inbox = Inbox()
    inbox.room()[:5] = b"aaaaa"
    with pytest.raises(BlockingIOError):
        inbox.receive(Scripted(None))
    with pytest.raises(ValueError, match="5 bytes do not lie in a room of 0"):
        inbox.filled(5)
    assert not inbox.buffer


def test_numbers_are_numbers() -> None:
    numbers: Any = np
    inbox = Inbox(limit=numbers.int64(50))
    assert inbox.limit == 50
    inbox.room()[:2] = b"ab"
    inbox.filled(numbers.int8(2))
    assert inbox.buffer == b"ab"
    inbox.room()
    with pytest.raises(ValueError, match="not negative: -1"):
        inbox.filled(-1)
    with pytest.raises(TypeError):
        inbox.filled(1.0)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Inbox(limit="5")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not negative: -5"):
        Inbox(limit=-5)


def test_a_number_that_acts_when_it_is_asked_acts_before() -> None:
    inbox = Inbox()

    class Number:
        def __index__(self) -> int:
            inbox.receive(Scripted(b"meanwhile"))
            return 3

    inbox.room()[:3] = b"abc"
    with pytest.raises(ValueError, match="3 bytes do not lie in a room of 0"):
        inbox.filled(Number())
    assert inbox.buffer == b"meanwhile"


def test_a_limit_is_of_a_byte_at_least() -> None:
    with pytest.raises(ValueError, match="a limit has at least 1 byte, not 0"):
        Inbox(limit=0)


def test_a_pool_is_a_pool() -> None:
    with pytest.raises(
        TypeError,
        match=r"Pool or None.* expected; got int"
        if COMPILED
        else r"a Pool is wanted, not 65536: write Inbox\(Pool\(\), limit=n\)",
    ):
        Inbox(65536)  # type: ignore[arg-type]


def test_without_a_pool_it_has_its_own() -> None:
    assert Inbox()._pool is not Inbox()._pool


# -- limits --------------------------------------------------------------------------------------------------


def test_no_more_is_received_than_may_wait() -> None:
    inbox = Inbox(limit=10)
    source = Scripted(b"0123456789abcdef")
    assert inbox.receive(source) == 10
    for call in (lambda: inbox.receive(source), inbox.room):
        with pytest.raises(LimitExceeded, match="the limit of 10 bytes is exceeded"):
            call()
    assert len(source.asked) == 1
    inbox.buffer.skip(4)
    assert inbox.receive(source) == 4
    inbox.buffer.skip(10)
    assert inbox.receive(source) == 2
    assert inbox.receive(source) == 0
    assert inbox.ended
    assert source.asked == [10, 4, 10, 8]


def test_what_is_put_into_the_buffer_by_others_counts_too() -> None:
    inbox = Inbox(limit=10)
    inbox.buffer.append(b"12345678")
    assert len(inbox.room()) == 2
    inbox.buffer.append(b"9012345")
    with pytest.raises(LimitExceeded):
        inbox.room()
    inbox.buffer.clear()
    assert len(inbox.room()) == 10


def test_a_limit_of_one_byte() -> None:
    inbox = Inbox(limit=1)
    source = Scripted(b"abc")
    for letter in b"abc":
        assert inbox.receive(source) == 1
        assert inbox.buffer.take_bytes(1) == bytes([letter])
    assert inbox.receive(source) == 0


# -- how much is asked for -----------------------------------------------------------------------------------


def test_more_is_asked_for_after_full_reads_and_less_after_two_small_ones() -> None:
    inbox = Inbox(Pool(BLOCK), limit=1 << 30)
    source = Scripted(bytes(1 << 20))
    for _ in range(6):
        inbox.receive(source)
        inbox.buffer.clear()
    assert source.asked == [4096, 8192, 16384, 65536 - 28672, 65536, 65536]
    quiet = Scripted(*[b"a few"] * 60)
    for _ in range(60):
        inbox.receive(quiet)
        inbox.buffer.clear()
    assert inbox._size == 1024
    assert quiet.asked[-1] <= 65536


def test_no_more_is_taken_at_a_time_than_a_block_and_less_after_a_second_small_read() -> None:
    full = Inbox(Pool(10_000), limit=1 << 30)
    sizes = []
    for _ in range(4):
        full.receive(Scripted(bytes(1 << 20)))
        sizes.append(full._size)
    assert sizes == [8192, 10_000, 10_000, 10_000]
    for size, expected in ((1024, [4096, 4096]), (1023, [4096, 2048])):  # a quarter, and less
        inbox = Inbox()
        sizes = []
        for _ in range(2):
            inbox.receive(Scripted(bytes(size)))
            sizes.append(inbox._size)
        assert sizes == expected


def test_what_goes_on_behind_a_sliver_is_one_part() -> None:
    inbox = Inbox()
    source = Scripted(bytes(3900), bytes(1000))
    for _ in range(2):
        inbox.receive(source)
    assert source.asked == [4096, 196 + 4 * 3900]
    assert inbox.buffer.part_count == 1


def test_one_small_read_between_others_changes_nothing() -> None:
    inbox = Inbox(limit=1 << 30)
    for size in (4096, 10, 4000, 10, 4000, 10, 4000):
        inbox.receive(Scripted(bytes(size)))
    assert inbox._size == 8192


def test_what_is_left_of_a_piece_is_used_unless_it_is_a_sliver() -> None:
    inbox = Inbox(limit=1 << 30)
    other = Inbox(inbox._pool)
    source = Scripted(bytes(3800), bytes(100), b"x")
    inbox.receive(source)
    other.room()  # so that nothing lies behind it that could be had
    for _ in range(2):
        inbox.receive(source)
    assert source.asked == [4096, 296, 15600]
    assert inbox.buffer.part_count == 2


def test_whether_more_may_wait() -> None:
    inbox = Inbox(limit=5000)
    inbox.receive(Scripted(bytes(4095)))
    assert not inbox._wants_more()
    inbox.receive(Scripted(bytes(1 << 20)))
    assert inbox.buffer.take_bytes(5000) == bytes(5000)
    inbox = Inbox(limit=5000)
    inbox.receive(Scripted(bytes(4096)))
    assert inbox._wants_more()
    inbox.receive(Scripted(bytes(4096)))
    assert not inbox._wants_more()
    inbox = Inbox(limit=4096)
    inbox.receive(Scripted(bytes(4096)))
    assert not inbox._wants_more()


# -- what is given back --------------------------------------------------------------------------------------


def test_who_rests_holds_nothing() -> None:
    pool = Pool(BLOCK)
    inbox = Inbox(pool)
    inbox.rest()  # it has nothing yet
    fill(inbox, b"abc")
    assert inbox.buffer.take_bytes(3) == b"abc"
    assert pool.lent == 1
    inbox.rest()
    assert pool.lent == 0
    inbox.rest()
    fill(inbox, b"def")
    assert inbox.buffer == b"def"
    assert pool.made == 1
    tiny = Inbox(Pool(1))
    with pytest.raises(BlockingIOError):
        tiny.receive(Scripted(None))
    tiny.rest()  # nothing has come into it
    fill(tiny, b"x")
    assert tiny.buffer == b"x"


def test_who_has_something_in_the_buffer_goes_on_behind_it() -> None:
    pool = Pool(BLOCK)
    one, other = Inbox(pool), Inbox(pool)
    for number in range(200):
        for inbox in (one, other):
            fill(inbox, bytes([number]))
            inbox.rest()
    assert one.buffer == other.buffer == bytes(range(200))
    assert one.buffer.part_count == other.buffer.part_count == 1


def test_a_room_that_is_out_is_not_given_back() -> None:
    pool = Pool(BLOCK)
    one, other = Inbox(pool), Inbox(pool)
    room = one.room()
    one.rest()
    fill(other, b"other")
    room[:3] = b"one"
    one.filled(3)
    assert one.buffer == b"one"
    assert other.buffer == b"other"


# -- what is kept stays as it is -----------------------------------------------------------------------------


def test_what_was_taken_stays_as_it_is_while_others_come() -> None:
    pool = Pool(4096, idle=4)
    inbox = Inbox(pool, limit=1 << 20)
    kept: list[tuple[bytes, SliceBuffer]] = []
    for number in range(3_000):
        data = bytes([number % 256]) * (1 + number % 700)
        inbox.receive(Scripted(data))
        while len(inbox.buffer) < len(data):
            inbox.receive(Scripted(data[len(inbox.buffer) :]))
        piece = inbox.buffer.take_all()
        if number % 50 == 0:
            kept.append((data, piece))
        del piece
    assert pool.reused > 10
    for data, piece in kept:
        assert piece == data


def test_what_waits_pins_no_more_than_it_shows_and_a_block() -> None:
    inbox = Inbox(limit=1 << 22)
    for _ in range(300):
        inbox.receive(Scripted(bytes(5000)))
    waiting = len(inbox.buffer)
    assert inbox.buffer.pinned_nbytes <= 1.1 * waiting + BLOCK
    assert inbox.buffer.part_count < 40


def test_a_slow_source_shares_its_blocks_with_nobody_once_much_waits() -> None:
    """Others come and go on the same pool: what they have dropped is not kept by who waits."""
    pool = Pool(BLOCK)
    slow, busy = Inbox(pool, limit=1 << 20), Inbox(pool, limit=1 << 20)
    number = 20_000 if IS_SHORT else 100_000
    for _ in range(number):
        fill(slow, b"s")
        fill(busy, b"0123456789")
        busy.buffer.clear()
        busy.rest()
    assert slow.buffer.pinned_nbytes <= 1.1 * number + 3 * BLOCK
    assert slow.buffer.part_count < 8
    assert pool.nbytes <= number + 5 * BLOCK


def test_nothing_is_copied() -> None:
    inbox = Inbox(limit=1 << 20)
    with no_copy(strict=True), copy_audit() as audit:
        for _ in range(100):
            inbox.receive(Scripted(bytes(3000)))
            fill(inbox, b"by hand")
            inbox.buffer.take(len(inbox.buffer) // 2)
    assert audit.count == 0


# -- calls that come into the middle of others -----------------------------------------------------------------

CALLS: Final[dict[str, Callable[[Inbox], object]]] = {
    "room": lambda inbox: inbox.room(),
    "filled": lambda inbox: inbox.filled(0),
    "receive": lambda inbox: inbox.receive(Scripted(b"inner")),
    "rest": lambda inbox: inbox.rest(),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_in_the_middle_of_another_one_is_busy(name: str) -> None:
    inbox = Inbox()
    errors: list[BaseException] = []

    def act(view: memoryview) -> bytes:
        try:
            CALLS[name](inbox)
        except Busy as error:
            errors.append(error)
        assert repr(inbox) == "<Inbox: 0 of 1048576 bytes waiting>"
        return b"outer"

    assert inbox.receive(Scripted(act)) == 5
    assert [str(error) for error in errors] == ["the inbox is in use"]
    assert inbox.buffer == b"outer"
    fill(inbox, b", and on")
    assert inbox.buffer == b"outer, and on"


@pytest.mark.skipif(COMPILED, reason="no handler runs inside compiled code")
@pytest.mark.parametrize("name", ["room", "filled", "rest"])
def test_a_call_of_a_handler_in_the_middle_of_another_one_is_busy(name: str) -> None:
    def make() -> Inbox:
        inbox = Inbox()
        if name == "filled":
            inbox.room()
        elif name == "rest":
            fill(inbox, b"gone")
            inbox.buffer.clear()
        return inbox

    def call(inbox: Inbox) -> None:
        CALLS[name](inbox)

    for handler in CALLS.values():
        busy: list[str] = []

        def act(inbox: Inbox, handler: Callable[[Inbox], object] = handler, busy: list[str] = busy) -> None:
            try:
                handler(inbox)
            except Busy as error:
                busy.append(str(error))

        for inbox, found in at_each_step(make, call, act):
            assert found.error is None
            before = bytes(inbox.buffer)
            fill(inbox, b", and on")
            assert inbox.buffer == before + b", and on"
        assert {*busy} == {"the inbox is in use"}


def test_a_source_may_take_from_the_buffer() -> None:
    inbox = Inbox()
    fill(inbox, b"before")

    def act(view: memoryview) -> bytes:
        assert inbox.buffer.take_bytes(6) == b"before"
        return b"behind"

    assert inbox.receive(Scripted(act)) == 6
    assert inbox.buffer == b"behind"


def test_a_source_may_drop_the_inbox() -> None:
    holder: list[Inbox] = [Inbox()]
    buffer = holder[0].buffer

    def act(view: memoryview) -> bytes:
        holder.clear()
        return b"last"

    assert holder[0].receive(Scripted(act)) == 4
    assert buffer == b"last"


def test_in_a_parser_nothing_is_received() -> None:
    inbox = Inbox()
    fill(inbox, b"abc")
    source = Scripted(b"more")
    for call in (lambda: inbox.receive(source), inbox.room):
        with pytest.raises(RuntimeError, match="the buffer is being parsed"):
            inbox.buffer.parse(lambda r: call(), limit=10)  # noqa: B023  # called at once
    assert source.asked == []
    assert inbox.receive(source) == 4
    inbox.room()[:1] = b"!"
    with pytest.raises(RuntimeError, match="the buffer is being parsed"):
        inbox.buffer.parse(lambda r: inbox.filled(1), limit=10)
    inbox.filled(1)  # nothing was done
    assert inbox.buffer == b"abcmore!"


def test_a_parser_that_waits_goes_on_with_what_comes() -> None:
    inbox = Inbox()
    source = Scripted(*[bytes([letter]) for letter in b"\x03abc\x02de"])
    found = []
    while inbox.receive(source):
        if (message := inbox.buffer.parse(lambda r: r.take(r.u8()), limit=100)) is not None:
            found.append(message)
    assert found == [b"abc", b"de"]


# -- what breaks it ------------------------------------------------------------------------------------------


def named(count: object) -> str:
    """Name a case, in every process alike."""
    return "a function" if callable(count) else repr(count)


def assert_broken(inbox: Inbox, reason: str) -> None:
    for call in ("room", "filled", "receive"):
        with pytest.raises(BrokenSource, match=reason) as caught:
            CALLS[call](inbox)
        assert isinstance(caught.value, OSError)
        assert caught.value.errno is None
    assert repr(inbox).startswith("<Inbox: broken, ")


@pytest.mark.parametrize("count", [-1, 4097, 1 << 70, 1.5, "3", True, b"abc".find, np.int64(3)], ids=named)
def test_a_source_that_says_what_cannot_be_breaks_it(count: object) -> None:
    pool = Pool(BLOCK)
    inbox = Inbox(pool)
    fill(inbox, b"whole")
    inbox.buffer.clear()
    kept = memoryview(b"")

    def lie(view: memoryview) -> object:
        nonlocal kept
        kept = view[5:9]
        return count

    told = f"^a Scripted says that it read {re.escape(reprlib.repr(count))} bytes into 4091$"
    with pytest.raises(BrokenSource, match=told):
        inbox.receive(Scripted(lie))
    assert_broken(inbox, told)
    inbox.rest()
    other = Inbox(pool)
    fill(other, bytes(5000 - 4096))
    kept[:] = b"evil"
    fill(other, bytes(1000))
    assert bytes(other.buffer) == bytes(1904)  # what a liar may still write to is given to nobody


@pytest.mark.parametrize(
    "error",
    [KeyboardInterrupt(), ValueError("closed"), MemoryError(), OSError("no number"), TimeoutError("a handler's")],
    ids=repr,
)
def test_an_error_that_may_have_lost_bytes_breaks_it(error: BaseException) -> None:
    inbox = Inbox()
    fill(inbox, b"whole")
    with pytest.raises(type(error)) as caught:
        inbox.receive(Scripted(error))
    assert caught.value is error
    assert_broken(inbox, "an exception ended what was received")
    assert inbox.buffer == b"whole"


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(errno.ECONNRESET, "reset"),
        OSError(errno.EIO, "broken disk"),
        BlockingIOError(),
        BlockingIOError(errno.EAGAIN, "not now"),
        InterruptedError(),
        TimeoutError("timed out"),
    ],
    ids=repr,
)
def test_an_error_that_has_lost_nothing_passes(error: OSError) -> None:
    inbox = Inbox()
    fill(inbox, b"whole")
    source = Scripted(error, b", and more")
    with pytest.raises(type(error)) as caught:
        inbox.receive(source)
    assert caught.value is error
    assert not inbox.ended
    assert inbox.receive(source) == 10
    assert inbox.buffer == b"whole, and more"


def test_none_is_not_now() -> None:
    inbox = Inbox()
    source = Scripted(None, b"now")
    with pytest.raises(BlockingIOError, match=r"the source is not ready$") as caught:
        inbox.receive(source)
    assert caught.value.errno == errno.EAGAIN
    assert inbox.receive(source) == 3
    assert inbox.buffer == b"now"


def test_a_view_that_a_source_keeps_is_released() -> None:
    kept: list[memoryview] = []

    def keep(view: memoryview) -> bytes:
        kept.append(view)
        return b"abc"

    def keep_and_fail(view: memoryview) -> bytes:
        kept.append(view)
        raise BlockingIOError

    inbox = Inbox()
    inbox.receive(Scripted(keep))
    with pytest.raises(BlockingIOError):
        inbox.receive(Scripted(keep_and_fail))
    for view in kept:
        with pytest.raises(ValueError, match="released"):
            view[:3] = b"XYZ"
    assert inbox.buffer == b"abc"


def test_a_source_that_makes_something_of_the_view_is_received_from() -> None:
    held: list[object] = []

    def look(view: memoryview) -> bytes:
        held.append(pickle.PickleBuffer(view))
        return b"abc"

    inbox = Inbox()
    assert inbox.receive(Scripted(look)) == 3
    assert inbox.buffer == b"abc"


# -- exceptions between any two steps --------------------------------------------------------------------------

_interpreted = pytest.mark.skipif(COMPILED, reason="no handler runs inside compiled code")


class Two:
    """An inbox and another one on the same pool, in the middle of pieces that lie side by side."""

    def __init__(self, *, end: bool = False) -> None:
        self.pool = Pool(512, idle=2)
        self.one = Inbox(self.pool, limit=4096)
        self.other = Inbox(self.pool, limit=4096)
        self.one._size = self.other._size = 64
        self.source = Scripted(b"<first>")
        self.one.receive(self.source)
        self.other.receive(Scripted(b"(other)"))
        if end:
            self.one.room()
            self.one.filled(len(self.one.room()))
            self.one.buffer.truncate(7)
        self.source.script = [b"<second>", b"<third>"]

    def go_on(self, came: bytes) -> None:
        """See that both go on, behind what the first one has."""
        more = b"0123456789" * 9
        for at in range(0, len(more), 6):
            for inbox in (self.one, self.other):
                try:
                    fill(inbox, more[at : at + 6])
                except BrokenSource:
                    assert inbox is self.one
        got = bytes(self.one.buffer)
        assert got in (came + more, came)
        assert got == came + more or self.one._trouble
        assert self.other.buffer == b"(other)" + more
        self.one.buffer._check()
        self.other.buffer._check()


def _second_is_lost_or_told(two: Two, error: BaseException | None) -> None:
    got = bytes(two.one.buffer)
    left = b"".join(two.source.script)
    if two.one._trouble:
        assert error is not None
        assert got == b"<first>" or b"<first><second>".startswith(got)
    else:
        if got == b"<first>" and left == b"<third>":  # received, and not shown: the next call does that
            with pytest.raises(BlockingIOError):
                two.one.receive(Scripted(BlockingIOError()))
            got = bytes(two.one.buffer)
        assert got + left == b"<first><second><third>"
    two.go_on(got)


@_interpreted
@pytest.mark.parametrize("end", [False, True])
def test_an_interrupted_receive_has_lost_nothing_or_says_so(end: bool) -> None:
    for two, found in at_each_step(lambda: Two(end=end), lambda two: two.one.receive(two.source)):
        if found.error is None:
            assert found.answer == 8
        _second_is_lost_or_told(two, found.error)


@_interpreted
@pytest.mark.parametrize("kind", ["socket", "descriptor"])
def test_an_error_of_a_handler_is_not_taken_for_one_of_the_system(kind: str) -> None:
    """What it raises has a number, too, but comes when the system has received something already."""

    def fail(_: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "a handler's own")

    with contextlib.ExitStack() as stack:

        def make() -> tuple[Inbox, socket.socket]:
            here, there = socket.socketpair()
            for sock in (here, there):
                stack.enter_context(sock)
            here.send(b"<one><two>")
            there.setblocking(False)
            return Inbox(), there

        def source_of(sock: socket.socket) -> Any:
            return sock if kind == "socket" else sock.fileno()

        ends = []
        for (inbox, sock), found in at_each_step(make, lambda made: made[0].receive(source_of(made[1])), fail):
            if found.error is None:
                assert found.answer == 10
            if inbox._trouble:
                assert found.error is not None
                ends.append("broken")
            else:
                with contextlib.suppress(BlockingIOError):
                    inbox.receive(source_of(sock))
                assert inbox.buffer == b"<one><two>"
                ends.append("right")
        assert {"broken", "right"} == {*ends}


@_interpreted
def test_an_interrupted_filled_is_done_or_not() -> None:
    def make() -> Two:
        two = Two()
        two.one.room()[:8] = b"<second>"
        return two

    for two, found in at_each_step(make, lambda two: two.one.filled(8)):
        if found.error is not None:
            assert isinstance(found.error, Interrupt)
        got = bytes(two.one.buffer)
        assert got in (b"<first>", b"<first><second>")
        if got == b"<first>":
            two.one.filled(8)
        else:
            with pytest.raises(ValueError, match="do not lie in a room of 0"):
                two.one.filled(8)
        two.go_on(b"<first><second>")


@_interpreted
@pytest.mark.parametrize("end", [False, True])
@pytest.mark.parametrize("name", ["room", "rest"])
def test_whatever_else_is_interrupted_changes_nothing(name: str, end: bool) -> None:
    def make() -> Two:
        two = Two(end=end)
        if name == "rest":
            two.one.buffer.clear()
        return two

    for two, _ in at_each_step(make, lambda two: CALLS[name](two.one)):
        two.go_on(b"" if name == "rest" else b"<first>")


@_interpreted
def test_interrupts_in_a_row_let_no_two_have_the_same_bytes() -> None:
    """Whatever is interrupted, at whatever step, again and again on one pool: what is kept stays as it was."""
    kept: list[tuple[bytes, SliceBuffer]] = []
    pool = Pool(256, idle=3)

    def make() -> list[Inbox]:
        inboxes = [Inbox(pool, limit=1000) for _ in range(3)]
        for inbox in inboxes:
            fill(inbox, b"begin")
        return inboxes

    def use(inboxes: list[Inbox]) -> None:
        for inbox in inboxes:
            inbox.receive(Scripted(b"abcdefgh" * 9))
            inbox.buffer.clear()
            inbox.rest()
            inbox.receive(Scripted(b"ijkl"))

    for at in range(0, 4000, 8 if IS_SHORT else 2):
        inboxes = make()
        under(interrupted(at), partial(use, inboxes))
        for inbox in inboxes:
            piece = inbox.buffer.take_all()
            kept.append((bytes(piece), piece))
    assert pool.made > (25 if IS_SHORT else 100)
    for data, piece in kept:
        assert piece == data


# -- facts ---------------------------------------------------------------------------------------------------


def test_it_says_what_it_is() -> None:
    inbox = Inbox(limit=100)
    assert repr(inbox) == "<Inbox: 0 of 100 bytes waiting>"
    fill(inbox, b"abc")
    assert repr(inbox) == "<Inbox: 3 of 100 bytes waiting>"
    inbox.room()
    inbox.filled(0)
    assert repr(inbox) == "<Inbox: ended, 3 of 100 bytes waiting>"
    assert inbox.ended


def test_an_inbox_is_not_copied() -> None:
    inbox = Inbox()
    for make in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match=r"^an Inbox is not copied or pickled: make another one$"):
            make(inbox)


def test_a_second_init_does_nothing() -> None:
    inbox = Inbox(limit=100)
    fill(inbox, b"abc")
    inbox.__init__(limit=5)
    assert (inbox.limit, bytes(inbox.buffer)) == (100, b"abc")


def test_the_buffer_is_an_ordinary_one() -> None:
    inbox = Inbox()
    assert type(inbox.buffer) is CompositeBuffer
    fill(inbox, b"abc")
    inbox.buffer.append(b"own")
    fill(inbox, b"def")
    assert inbox.buffer == b"abcowndef"
    assert inbox.buffer.part_count == 3
    inbox.buffer = CompositeBuffer(coalesce_below=10)
    fill(inbox, b"ghi")
    assert inbox.buffer == b"ghi"
