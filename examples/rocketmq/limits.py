"""How much of anything there may be, and how long anything may take."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """Sizes in bytes, numbers, and seconds. Who goes beyond one is answered an error, or is hung up on."""

    connections: int = 4096
    """At a time; fewer where the system gives the program too few descriptors for so many, and for files. Those beyond
    wait with the system, in its queue."""
    body: int = 4 << 20
    """Of a message: RocketMQ's maxMessageSize. A request may have so much and a head: a longer one ends the
    connection before any of it is received."""
    head: int = 64 << 10
    """The JSON of a request. It has a message's properties, of which RocketMQ takes 32 767 bytes."""
    small: int = 64 << 10
    """What is received of each connection whatever others send: its limit of what has come and is not taken."""
    large: int = 64 << 20
    """All requests longer than ``small`` that are being received. Others wait for their turn, for ``request_time``."""
    outstanding: int = 1024
    """Requests of one connection that are not answered yet. Beyond that nothing is read from it."""
    waiting: int = 10_000
    """Pulls that wait for messages, of all connections. Those beyond are told at once that there is nothing."""
    topics: int = 1000
    queues: int = 128
    """Of a topic."""
    groups: int = 1000
    """Of consumers that are connected."""
    members: int = 256
    """Of a group."""
    member_name: int = 255
    """Characters of what a member calls itself: ali-ons says its address and number of process."""
    offsets: int = 100_000
    """Of all groups, each of one queue: they are written as a whole."""
    name: int = 127
    """Of a topic or group, in ASCII characters: a record has one signed byte for the length of a topic's name."""
    properties: int = 32_767
    """Of a message, in bytes: a record has a signed 16-bit number for their length."""

    pull_count: int = 32
    """Messages in an answer, unless fewer are asked for: RocketMQ's maxTransferCountOnMessageInMemory."""
    pull_bytes: int = 256 << 10
    """Bytes of them, but for a first one that is longer: RocketMQ's maxTransferBytesOnMessageInMemory."""

    request_time: float = 30.0
    """From the beginning of a request to its end."""
    idle_time: float = 120.0
    """Without a request or an answer: RocketMQ's serverChannelMaxIdleTimeSeconds. Clients send heartbeats every 30."""
    pull_time: float = 30.0
    """That a pull may wait at most, whatever it asks for: clients give up after that (consumerTimeoutMillisWhenSuspend
    of their settings)."""
    member_time: float = 120.0
    """From a member's last heartbeat until it no longer counts: RocketMQ's CHANNEL_EXPIRED_TIMEOUT."""
    offsets_time: float = 5.0
    """After which offsets are written that came with pulls: RocketMQ's flushConsumerOffsetInterval. Those that are
    sent for that purpose are written at once."""
    grace_time: float = 5.0
    """For what has begun when the broker is told to end. Pulls that wait are answered before."""
