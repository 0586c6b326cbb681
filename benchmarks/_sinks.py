"""Where bytes go: a socket whose other end somebody reads and throws away, and a file in memory."""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

__all__ = ["MEMORY", "connect_reader", "read_socket", "scratch_file"]

_READER: Final = """
import socket, sys
memory = memoryview(bytearray(1 << 20))
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
    while connection.recv_into(memory):
        pass
"""

MEMORY: Final = Path("/dev/shm")
"""A file system in memory, where there is one: a disk's noise is not what is measured."""


@cache
def read_socket() -> socket.socket:
    """Return such a connection, the same for all."""
    return connect_reader()


def connect_reader() -> socket.socket:
    """Return a blocking TCP connection within this machine; a process of its own reads it until it is closed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        reader = subprocess.Popen([sys.executable, "-ISc", _READER, str(server.getsockname()[1])])
        connection, _ = server.accept()
    atexit.register(reader.wait)
    atexit.register(connection.close)
    return connection


@cache
def scratch_file() -> int:
    """Return a descriptor of a file that nobody else sees, open for as long as this process lives."""
    with tempfile.TemporaryFile(dir=MEMORY if MEMORY.is_dir() else None) as file:
        return os.dup(file.fileno())
