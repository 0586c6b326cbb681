"""examples/web/pace.py, and the connection that goes by it: slow readers, steady or not, with a clock of our own."""

from __future__ import annotations

import select
import selectors
import socket
import struct
import termios
from collections.abc import Iterator
from contextlib import ExitStack
from fcntl import ioctl
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.web import connection as module
from examples.web.connection import Connection, Limits
from examples.web.files import Site
from examples.web.pace import Pace

from .sinks import PATIENCE, eventually, tcp_pair

# -- the rule ----------------------------------------------------------------------------------------------------


def looks_of(pace: Pace, taken: list[int]) -> int:
    """Return at which look a client is cut off that has taken so much at each; 0 if at none."""
    return next((i for i, n in enumerate(taken, 1) if not pace.is_kept(n)), 0)


@pytest.mark.parametrize(
    ("taken", "cut"),
    [
        ([10, 20, 30, 40, 50], 0),
        ([0, 0], 2),
        ([9, 9 + 9, 27], 0),  # it begins with ten
        ([5, 10, 15, 20], 3),
        ([1000, 1000, 1000], 3),  # a burst counts for one look more, not for a hundred
        ([20, 20, 40, 40, 60, 60], 0),
        ([20, 20, 39, 39], 4),
    ],
)
def test_ten_bytes_a_look(taken: list[int], cut: int) -> None:
    assert looks_of(Pace(10, 0), taken) == cut
    assert looks_of(Pace(10, 12345), [12345 + n for n in taken]) == cut  # whatever came before


@pytest.mark.parametrize("least", [0, -5, 1])
def test_who_takes_nothing_is_not_kept_by_any_rate(least: int) -> None:
    assert looks_of(Pace(least, 7), [7] * 10) == 2
    assert looks_of(Pace(least, 7), [8, 8, 8]) == 3
    assert looks_of(Pace(least, 7), list(range(8, 30))) == 0


@given(st.data(), st.integers(1, 100), st.integers(0, 400), st.integers(0, 100))
def test_a_steady_reader_is_never_cut_off_however_its_system_takes(
    data: st.DataObject, least: int, buffer: int, more: int
) -> None:
    """The system is anywhere between what the program has read, and that and its buffer, and never goes back."""
    reads = max(least, (least + buffer + 1) // 2) + more
    taken = data.draw(st.integers(0, buffer))
    pace = Pace(least, taken)
    for look in range(1, 30):
        taken = max(taken, look * reads + data.draw(st.sampled_from([0, buffer // 2, buffer])))
        assert pace.is_kept(taken)


@given(st.lists(st.integers(0, 50), max_size=60), st.integers(1, 20))
def test_who_is_kept_takes_the_least_on_the_average(steps: list[int], least: int) -> None:
    pace = Pace(least, 0)
    taken = 0
    for look, step in enumerate(steps, 1):
        taken += step
        if not pace.is_kept(taken):
            break
        assert taken >= (look - 1) * least


# -- connections -------------------------------------------------------------------------------------------------

SIZE = 1 << 20
LEAST = 16 << 10
"""Bytes from look to look: more than the smallest buffer of a client takes."""
LIMITS = Limits(head=7, send=10, idle=5, linger=3, rate=LEAST / 10)


def drain(sock: socket.socket) -> None:
    """Read to the end."""
    while sock.recv(SIZE):
        pass


class Clock:
    """The time of connections."""

    now = 1000.0


class Slow:
    """A connection, and its client, whose system buffers next to nothing."""

    def __init__(self, site: Site, stack: ExitStack, clock: Clock, limits: Limits = LIMITS) -> None:
        self._clock = clock
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.client = stack.enter_context(socket.socket())
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.client.settimeout(PATIENCE)
        self.client.connect(listener.getsockname())
        self.server = stack.enter_context(listener.accept()[0])
        self.server.settimeout(0)
        self.connection = Connection(self.server, site, limits)
        stack.callback(self.close)

    def close(self) -> None:
        if self.server.fileno() >= 0:
            self.connection.close()

    def ask(self, target: str, *fields: str) -> None:
        self.client.sendall("\r\n".join([f"GET {target} HTTP/1.1", "Host: h", *fields, "", ""]).encode())
        self.turn(selectors.EVENT_READ)

    def turn(self, events: int) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self.server, events)
            assert selector.select(PATIENCE)
        self.connection.turn(events)

    def untaken(self) -> int:
        return int(struct.unpack("i", ioctl(self.server, termios.TIOCOUTQ, bytes(4)))[0])

    def read(self, nbytes: int) -> bytes:
        """Let the client read so much, or all that there is, and the connection send what it can meanwhile."""
        data = b""
        while len(data) < nbytes and self.has_more():
            if not (piece := self.client.recv(nbytes - len(data))):
                assert eventually(lambda: not self.untaken())  # the end itself counts as a byte
                break
            data += piece
            if self.connection.events & selectors.EVENT_WRITE:
                self.connection.turn(selectors.EVENT_WRITE)
        return data

    def has_more(self) -> bool:
        """Wait for more to read, or for the acknowledgement of all."""
        poll = select.poll()
        poll.register(self.client, select.POLLIN)
        assert eventually(lambda: bool(poll.poll(0)) or not self.untaken())
        return bool(poll.poll(0))

    def look(self) -> bool:
        """Go to the deadline, and look whether the client has used up its time."""
        self._clock.now = self.connection.deadline
        return self.connection.is_late(self._clock.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def site(tmp_path: Path, stack: ExitStack) -> Site:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(64 * SIZE)  # a hole
    (tmp_path / "held").write_bytes(bytes(64 << 10))
    (tmp_path / "small").write_bytes(b"small")
    site = Site(tmp_path)
    stack.callback(site.close)
    return site


@pytest.fixture
def slow(site: Site, stack: ExitStack, clock: Clock) -> Slow:
    return Slow(site, stack, clock)


def test_who_reads_steadily_is_served_and_who_stops_is_cut_off(slow: Slow, clock: Clock) -> None:
    slow.ask("/large")
    assert slow.connection.deadline == clock.now + 10
    for _ in range(20):
        slow.read(LEAST)
        assert not slow.look()
        assert slow.connection.deadline == clock.now + 10
    assert True in [slow.look() for _ in range(3)]
    slow.close()
    with pytest.raises(ConnectionResetError):
        drain(slow.client)


def test_it_does_not_matter_when_the_system_took_bytes_from_the_server(slow: Slow) -> None:
    """All of the time nothing can be sent: what is behind in the system's own queue moves, and that counts."""
    slow.ask("/large")
    for _ in range(10):
        before = slow.untaken()
        slow.client.recv(4096)
        assert eventually(lambda: slow.untaken() < before)  # noqa: B023 (called at once)
    slow.look()
    assert not slow.look()


@pytest.mark.parametrize(("rate", "is_served"), [(LEAST / 10, False), (1, True), (0, True)])
def test_who_takes_little_for_ever_is_served_if_the_rate_allows_it(
    site: Site, stack: ExitStack, clock: Clock, rate: float, is_served: bool
) -> None:
    slow = Slow(site, stack, clock, Limits(send=10, rate=rate))
    slow.ask("/large")
    looks = []
    for _ in range(20):
        slow.read(4096)
        looks.append(slow.look())
    assert (True not in looks) == is_served
    assert (True not in looks[:3]) == is_served


def test_a_client_is_not_idle_while_it_takes_what_the_system_holds(slow: Slow, clock: Clock) -> None:
    slow.ask("/held")
    assert slow.untaken() > 3 * LEAST
    assert slow.connection.deadline == clock.now + LIMITS.idle
    assert not slow.look()
    while slow.connection.deadline == clock.now + LIMITS.send:
        slow.read(LEAST)
        assert not slow.look()
    assert slow.connection.deadline == clock.now + LIMITS.idle
    assert slow.look()
    slow.close()
    drain(slow.client)


def test_a_client_does_not_linger_while_it_takes_what_the_system_holds(slow: Slow, clock: Clock) -> None:
    slow.ask("/held", "Connection: close")
    assert slow.connection.deadline == clock.now + LIMITS.linger
    assert not slow.look()
    assert slow.connection.events == selectors.EVENT_READ  # it may hang up
    slow.client.sendall(b"more")
    slow.turn(selectors.EVENT_READ)  # thrown away, and buys no time
    assert slow.connection.deadline == clock.now + LIMITS.send
    while slow.connection.deadline == clock.now + LIMITS.send:
        slow.read(LEAST)
        assert not slow.look()
    assert slow.connection.deadline == clock.now + LIMITS.linger
    assert slow.look()


def test_who_neither_takes_what_the_system_holds_nor_goes_is_cut_off(slow: Slow) -> None:
    slow.ask("/held", "Connection: close")
    assert [slow.look() for _ in range(3)] == [False, False, True]
    slow.close()
    with pytest.raises(ConnectionResetError):
        drain(slow.client)


def test_a_request_that_comes_while_an_answer_is_taken_is_answered(slow: Slow, clock: Clock) -> None:
    slow.ask("/held")
    assert not slow.look()
    slow.ask("/small")
    assert slow.connection.deadline == clock.now + LIMITS.send
    data = b""
    while slow.connection.deadline == clock.now + LIMITS.send:
        data += slow.read(LEAST)
        assert not slow.look()
    assert data.count(b"HTTP/1.1 200 ") == 2
    assert data.endswith(b"\r\n\r\nsmall")
    assert slow.look()


def test_half_a_request_gets_no_more_time_for_what_is_held(slow: Slow, clock: Clock) -> None:
    slow.client.sendall(b"GET /held HTTP/1.1\r\nHost: h\r\n\r\nGET /")
    slow.turn(selectors.EVENT_READ)
    assert slow.untaken()
    assert slow.connection.deadline == clock.now + LIMITS.head
    assert slow.look()


@pytest.mark.parametrize(("rest", "limit"), [("", LIMITS.idle), ("GET /", LIMITS.head)])
def test_each_answer_begins_the_time_anew(slow: Slow, clock: Clock, rest: str, limit: float) -> None:
    """That of the next request, be it begun or not; what comes without an answer does not."""
    for begun in ("", rest, rest):
        clock.now += 1
        slow.client.sendall(f"{'GET /'[len(begun) :]}small HTTP/1.1\r\nHost: h\r\n\r\n{rest}".encode())
        slow.turn(selectors.EVENT_READ)
        assert slow.connection.deadline == clock.now + limit
        assert slow.read(SIZE).endswith(b"small")
    clock.now += 1
    slow.client.sendall(b"s" if rest else b"\r\n")
    slow.turn(selectors.EVENT_READ)
    assert slow.connection.deadline == clock.now - 1 + limit


def test_answers_that_the_system_takes_at_once_are_not_looked_at(
    site: Site, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(module, "ioctl")
    server, client = tcp_pair()
    with server, client:
        connection = Connection(server, site, LIMITS)
        for _ in range(3):
            client.sendall(b"GET /small HTTP/1.1\r\nHost: h\r\n\r\n")
            connection.turn(selectors.EVENT_READ)
            assert client.recv(SIZE).endswith(b"small")
        assert connection.deadline == clock.now + LIMITS.idle
        clock.now += 1
        server.settimeout(0)
        connection.turn(selectors.EVENT_READ)  # for nothing, as a system may wake one
        assert connection.deadline == clock.now - 1 + LIMITS.idle
        connection.close()
