"""Whether a peer has read what was sent to it."""

from __future__ import annotations

import builtins
import errno
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from bytebufs.testing.unread import Unread

from ..sinks import eventually, tcp_pair

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="nobody else tells what a peer has read")


@contextmanager
def pair(kind: str) -> Iterator[tuple[socket.socket, socket.socket]]:
    if kind == "unix":
        here, there = socket.socketpair()
    elif kind == "tcp":
        here, there = tcp_pair()
    else:
        with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
            here = socket.create_connection(("127.0.0.1" if kind == "mapped" else "::1", server.getsockname()[1]))
            there, _ = server.accept()
    with here, there:
        yield here, there


@pytest.mark.parametrize("kind", ["unix", "tcp", "mapped", "tcp6"])
def test_it_tells_until_the_last_byte_is_read(kind: str) -> None:
    with pair(kind) as (here, there):
        unread = Unread(here)
        assert unread.is_none(0)
        here.sendall(b"abc")
        assert not unread.is_none(3)
        there.recv(2)
        assert not unread.is_none(3)
        there.recv(2)
        assert eventually(lambda: unread.is_none(3))
        unread.close()


def test_who_has_gone_reads_no_more() -> None:
    with pair("tcp") as (here, there):
        unread = Unread(here)
        here.sendall(b"abc")
        there.close()
        assert eventually(lambda: unread.is_none(3))
        unread.close()


def test_who_has_closed_and_waits_for_late_segments_reads_no_more() -> None:
    with pair("tcp") as (here, there):
        unread = Unread(here)
        there.close()
        here.shutdown(socket.SHUT_WR)  # now that end is in TIME_WAIT, and nothing else is known of it
        assert unread.is_none(0)
        assert unread.is_none(1)
        unread.close()


def test_where_the_system_does_not_tell_what_was_acknowledged_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: object) -> socket.socket:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    with pair("tcp") as (here, _):
        monkeypatch.setattr(socket, "socket", refused)
        unread = Unread(here)
        monkeypatch.undo()
        here.sendall(b"abc")
        assert eventually(lambda: unread.is_none(3))
        unread.close()


def test_a_peer_that_the_system_does_not_know() -> None:
    with pair("tcp") as (here, there):
        there.close()
        here.recv(1)
        here.close()
    unconnected = Elsewhere()
    unread = Unread(unconnected)  # type: ignore[arg-type]
    assert unread._asking is None


class Elsewhere:
    """As a socket that is connected to another machine."""

    family = socket.AF_INET

    def getpeername(self) -> tuple[str, int]:
        return "192.0.2.1", 9

    def getsockname(self) -> tuple[str, int]:
        return "192.0.2.2", 9


def test_where_nobody_tells_all_counts_as_read(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *args: Any) -> Any:
        if name == "fcntl":
            raise ModuleNotFoundError(name)
        return real(name, *args)

    with pair("unix") as (here, _):
        here.sendall(b"abc")
        monkeypatch.setattr(builtins, "__import__", absent)
        assert Unread(here).is_none(3)
