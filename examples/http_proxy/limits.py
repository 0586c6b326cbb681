"""How much of anything there may be, and how long anything may take."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits", "Patience"]


@dataclass(frozen=True)
class Limits:
    """Sizes in bytes, and numbers."""

    connections: int = 1000
    """Clients at a time. Those beyond are told so, by 503."""
    refused: int = 100
    """Clients who are being told so at a time. Those beyond wait with the system, in its queue."""
    head: int = 32 << 10
    """A head, or trailers. RFC 9112 asks for 8 000 bytes of request line (section 3); nginx takes four times 8 KiB
    (large_client_header_buffers)."""
    fields: int = 100
    """Lines of a head, or of trailers: Apache's LimitRequestFields."""
    chunk_line: int = 4096
    """The first line of a chunk, extensions included: Go's net/http."""
    body: int = 0
    """The body of a request, 0 for any: nginx's client_max_body_size, which it also spells so."""
    window: int = 64 << 10
    """What was received and not sent on, in each direction. A head has to fit in."""
    high: int = 64 << 10
    low: int = 16 << 10
    """What was sent on and has not gone: above ``high`` nothing is added until it has fallen to ``low``."""
    idle: int = 32
    """Connections to the server behind that wait for a request: the number in nginx's documentation of keepalive."""

    def __post_init__(self) -> None:
        """Refuse limits that contradict each other."""
        if self.window <= max(self.head, self.chunk_line):
            raise ValueError(
                f"{max(self.head, self.chunk_line)} bytes of a line do not come through a window of {self.window}"
            )


@dataclass(frozen=True)
class Patience:
    """Seconds."""

    head_time: float = 10.0
    """From the first byte of a request's head to its last. Apache's RequestReadTimeout begins with 20."""
    idle_time: float = 60.0
    """From an answer to the next request: nginx's keepalive_timeout is 75."""
    body_time: float = 60.0
    """Between two pieces of a body: nginx's client_body_timeout and proxy_read_timeout."""
    send_time: float = 60.0
    """In which a side takes nothing of what is sent to it: nginx's send_timeout."""
    connect_time: float = 5.0
    """To connect to the server behind. What the system does by itself, six tries, takes two minutes (tcp(7))."""
    answer_time: float = 60.0
    """From the end of a request to the head of its answer: nginx's proxy_read_timeout."""
    reuse_time: float = 15.0
    """That a connection to the server behind waits for the next request. Servers end theirs after 2 seconds (gunicorn),
    5 (Node) or 75 (nginx): a request that crosses this is repeated, if it may be."""
    tunnel_time: float = 300.0
    """In which nothing goes through a tunnel, either way."""
    linger_time: float = 2.0
    """To read the last answer while more is sent. Closed earlier, that answer is lost (RFC 9112, section 9.6)."""
    grace_time: float = 10.0
    """For what has begun when the proxy is told to end."""
