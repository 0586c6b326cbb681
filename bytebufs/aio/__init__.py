"""Streams and servers on asyncio whose bytes are received into buffers, and sent from buffers.

stream      Stream: what handlers and clients use, and its states
waiting     how a task waits to receive, and is woken
links       how the bytes move: by the socket itself, or by a transport of asyncio's
connecting  open_connection, open_unix_connection
serving     Server, start_server, start_unix_server
writing     write: a buffer through asyncio's own StreamWriter or transport
"""

from .connecting import open_connection, open_unix_connection
from .serving import Handler, Server, start_server, start_unix_server
from .stream import State, Stream
from .writing import write

__all__ = [
    "Handler",
    "Server",
    "State",
    "Stream",
    "open_connection",
    "open_unix_connection",
    "start_server",
    "start_unix_server",
    "write",
]
