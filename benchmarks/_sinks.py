"""Where bytes go: a socket whose other end somebody reads and throws away, and a file in memory."""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final

from ._harness import CPU, Action

__all__ = [
    "APART",
    "LOOPBACK",
    "MEMORY",
    "PATIENCE",
    "apart",
    "connection",
    "processor_time_apart",
    "receivers",
    "scratch_file",
]

_READER: Final = """
import socket, sys
memory = memoryview(bytearray(1 << 20))
with socket.create_server(("127.0.0.1", 0)) as server:
    far = socket.create_connection(server.getsockname())
    near, _ = server.accept()
with socket.socket(fileno=int(sys.argv[1])) as channel:
    socket.send_fds(channel, [b"here"], [far.fileno()])
far.close()
while near.recv_into(memory):
    pass
"""

_STEERED: Final = """
mount -t sysfs sysfs /sys
echo "$1" >/sys/class/net/lo/queues/rx-0/rps_cpus
ip link set lo up
shift
exec "$@"
"""
"""Sets up a loopback that nobody else sees: what comes in there is worked on by the processors of the mask $1."""

PATIENCE: Final = 4
"""How much longer rounds last that a reader takes part in."""

MEMORY: Final = Path("/dev/shm")
"""A file system in memory, where there is one: a disk's noise is not what is measured."""


APART: Final = "apart"
"""Does its half of TCP itself, as on a host of its own, and takes the sender's acknowledgements, too."""
LOOPBACK: Final = "loopback"
"""Has it done by the sender, on the sender's time."""


@cache
def receivers() -> list[str]:
    """Return the kinds of receiver that this machine offers, the one most like a host of its own first."""
    try:
        connection(APART)
    except OSError:
        return [LOOPBACK]
    return [APART, LOOPBACK]


@cache
def connection(receiver: str) -> socket.socket:
    """Return a blocking TCP connection within this machine; a process of its own reads it until we end.

    It holds back nothing small until what was sent before is acknowledged. The reader is APART by receive packet
    steering, on a loopback made for this connection, so that nothing else on the machine changes. Raises OSError where
    that is not permitted, or there is but one processor.
    """
    near, far = socket.socketpair()
    with near:
        with far, apart(reader=True) as processors:
            command = [sys.executable, "-ISc", _READER, str(far.fileno())]
            if receiver == APART:
                command = [*_steered_to(processors), *command]
            reader = subprocess.Popen(command, pass_fds=[far.fileno()], stderr=subprocess.PIPE, text=True)
        _, descriptors, *_ = socket.recv_fds(near, 4, 1, socket.MSG_CMSG_CLOEXEC)
    if not descriptors:
        raise OSError(f"nobody reads: {reader.communicate()[1].strip()}")
    connection = socket.socket(fileno=descriptors[0])
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    atexit.register(reader.communicate)
    atexit.register(connection.close)
    return connection


def _steered_to(processors: set[int]) -> list[str]:
    """Return what to put in front of a command that is to have a loopback of its own, worked on by a processor."""
    if len(processors) != 1:
        raise OSError("the reader has no processor of its own")
    mask = f"{1 << min(processors):x}"
    groups = [mask[max(0, end - 8) : end] for end in range(len(mask), 0, -8)]
    return ["unshare", "--net", "--mount", "sh", "-ec", _STEERED, "sh", ",".join(reversed(groups))]


@contextmanager
def apart(*, reader: bool = False) -> Iterator[set[int]]:
    """Keep to all processors but one for a while, or to that one, which is then the reader's who is started here.

    Yields those that are kept to, none where there is no choice. A receiver has a processor of its own: where the two
    share one now and then, as the scheduler likes it, the same way to serve 64 MiB costs 7 or 16 ms.
    """
    may = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    if len(may) < 2:
        yield set()
        return
    chosen = {max(may)} if reader else may - {max(may)}
    os.sched_setaffinity(0, chosen)
    try:
        yield chosen
    finally:
        os.sched_setaffinity(0, may)


def processor_time_apart(action: Action, repeats: int) -> tuple[float, object]:
    """Measure processor time, away from the reader's processor."""
    with apart():
        return CPU(action, repeats)


@cache
def scratch_file() -> int:
    """Return a descriptor of a file that nobody else sees, open for as long as this process lives."""
    with tempfile.TemporaryFile(dir=MEMORY if MEMORY.is_dir() else None) as file:
        return os.dup(file.fileno())
