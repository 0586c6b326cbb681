"""How a buffer goes through a connection as its parts, and what a child of tests/test_pickling.py does with one."""

from __future__ import annotations

import pickle
from multiprocessing.connection import Connection
from typing import Any

from bytebufs import no_copy


def send(connection: Connection, subject: object) -> None:
    """Send a pickle, and behind it each of its buffers by itself."""
    frames: list[pickle.PickleBuffer] = []
    connection.send_bytes(pickle.dumps(subject, protocol=5, buffer_callback=frames.append))
    connection.send(len(frames))
    for frame in frames:
        connection.send_bytes(frame.raw())


def receive(connection: Connection) -> Any:
    """Return what ``send()`` was given."""
    data = connection.recv_bytes()
    return pickle.loads(data, buffers=[connection.recv_bytes() for _ in range(connection.recv())])


def answer(connection: Connection) -> None:
    """Send back a piece of the buffer that comes, with how it lies here."""
    with no_copy(strict=True):
        b = receive(connection)
        send(connection, (b[2:-2], type(b).__name__, b.layout()))
