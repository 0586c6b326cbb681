"""What a peer on this machine has not read yet of what was sent to it, as Linux tells: in exact numbers, no guesses.

Of a unix socket it says so at once. Of TCP it tells the sender what was acknowledged, which is another thing; but who
asks for the peer's own end of the connection (sock_diag(7)) hears how many bytes came there, and how many wait.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys
from typing import Final

__all__ = ["Unread"]

_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_HEADER: Final = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_REQUEST: Final = struct.Struct("=BBBxI")  # inet_diag_req_v2, up to its id: family, protocol, extensions, states
_PORTS: Final = struct.Struct("!HH")
_ANY: Final = struct.pack("=IQ", 0, 2**64 - 1)  # of an inet_diag_sockid: whichever interface, no cookie
_WAITING: Final = _HEADER.size + 56  # where an inet_diag_msg has idiag_rqueue
_ATTRIBUTES: Final = _HEADER.size + 72  # its end
_INFO: Final = 2  # INET_DIAG_INFO
_CAME: Final = 128  # where a tcp_info has tcpi_bytes_received


class Unread:
    """Says whether the peer of a connected socket has read all that was sent, or has gone.

    Where nobody tells (not Linux, a peer on another machine) what was acknowledged counts as read, on Windows all.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._asking = self._open()

    def _open(self) -> socket.socket | None:
        """Return what asks the system for the peer's end of a TCP connection; None where it does not tell."""
        if self._sock.family == getattr(socket, "AF_UNIX", None) or not hasattr(socket, "AF_NETLINK"):
            return None
        family = socket.AF_INET
        ends = self._sock.getpeername(), self._sock.getsockname()
        hosts = [ipaddress.ip_address(host.partition("%")[0]).packed for host, *_ in ends]
        if len(hosts[0]) == 16:
            family = socket.AF_INET6
        self._question = (
            _HEADER.pack(_HEADER.size + 56, _SOCK_DIAG_BY_FAMILY, 1, 0, 0)
            + _REQUEST.pack(family, socket.IPPROTO_TCP, 1 << (_INFO - 1), 2**32 - 1)
            + _PORTS.pack(ends[0][1], ends[1][1])
            + b"".join(host.ljust(16, b"\0") for host in hosts)
            + _ANY
        )
        try:
            asking = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG)
        except OSError:  # a sandbox may forbid it
            return None
        if self._peer(asking) is None:
            asking.close()
            return None
        return asking

    def close(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.close()

    def is_none(self, sent: int) -> bool:
        """Say whether nothing is left unread of so many bytes that were sent in all."""
        if self._asking is None:
            return self._unacknowledged() == 0
        peer = self._peer(self._asking)
        return peer is None or peer == (sent, 0)

    def _peer(self, asking: socket.socket) -> tuple[int, int] | None:
        """Return how many bytes came to the peer, and how many of them wait; None if there is no such connection."""
        asking.send(self._question)
        answer = asking.recv(4096)
        if _HEADER.unpack_from(answer)[1] != _SOCK_DIAG_BY_FAMILY:
            return None
        waiting = struct.unpack_from("=I", answer, _WAITING)[0]
        at = _ATTRIBUTES
        while at < len(answer):
            size, kind = struct.unpack_from("=HH", answer, at)
            if kind == _INFO:
                return struct.unpack_from("=Q", answer, at + 4 + _CAME)[0], waiting
            at += size + -size % 4
        return None

    def _unacknowledged(self) -> int:
        """Return the bytes that the peer has not acknowledged, on a unix socket those that it has not read."""
        try:
            import fcntl
            import termios
        except ModuleNotFoundError:
            return 0
        return int.from_bytes(fcntl.ioctl(self._sock, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
