"""A message as the log keeps it and as consumers are sent it: in RocketMQ 4.x's layout, but for the CRC.

    0   4  size of all of it         28  8  physical offset: its place      72  4  times consumed again
    4   4  magic                     36  4  system flag                     76  8  of a transaction: 0 here
    8   4  CRC                       40  8  born when (ms)                  84  4  length of the body, then that
    12  4  queue                     48  8  born where (4 IP, 4 port)           1  length of the topic, then that
    16  4  flag                      56  8  stored when                         2  length of the properties, then those
    20  8  queue offset              64  8  stored where

Consumers get the very bytes that lie in the log, so they have a say in the layout, but not in the CRC, which none of
them looks at. RocketMQ's is over the body alone, and says nothing of a record whose head is torn. Ours is CRC-32 over
all but itself, the record's place and its place in the queue with it, so what lies where it was not written is none.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from bytebufs import SliceBuffer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bytebufs import BaseBuffer

__all__ = [
    "BLANK", "BLANK_MAGIC", "HEAD", "MAGIC", "NO_HOST", "TAGS", "Head", "Message", "MessageError", "Sized",
    "crc_of", "hash_of", "head_at", "is_record", "is_whole", "message_of", "parts_of", "properties_of",
    "property_of", "size_of", "tag_hash_of", "topic_of",
]  # fmt: skip

MAGIC: Final = 0xDAA320A7
"""RocketMQ's MESSAGE_MAGIC_CODE."""
BLANK_MAGIC: Final = 0xCBD43194
"""RocketMQ's BLANK_MAGIC_CODE: from here to the end of the file there is nothing."""
BLANK: Final = Struct(">iI")
"""A blank's size and magic. A file's last bytes are always one: room for it is kept."""
HEAD: Final = Struct(">iI I ii qq i q8s q8s iqi".replace(" ", ""))
_CRC: Final = Struct(">I")
_CRC_AT: Final = 8
_AFTER_CRC: Final = _CRC_AT + _CRC.size
_PROPERTIES: Final = Struct(">H")
NO_HOST: Final = ("0.0.0.0", 0)
_MOST_TOPIC: Final = 127
"""Its length is a signed byte to clients; the properties' is a signed 16-bit number."""
_MOST_PROPERTIES: Final = 0x7FFF
TAGS: Final = b"TAGS"
"""The property that a message's tag is."""
_HASH_BITS: Final = 32


class MessageError(ValueError):
    """There can be no record of such a message."""


@dataclass(frozen=True)
class Message:
    """What a producer sends. ``properties`` are as sent: name, 1, value, 2, and so on."""

    topic: str
    queue: int
    body: BaseBuffer | bytes
    properties: bytes = b""
    flag: int = 0
    sys_flag: int = 0
    born_at: int = 0
    born_host: tuple[str, int] = NO_HOST
    store_host: tuple[str, int] = NO_HOST
    reconsume_times: int = 0


class Head(NamedTuple):
    """The fields of a fixed size, in their order."""

    size: int
    magic: int
    crc: int
    queue: int
    flag: int
    queue_offset: int
    position: int
    sys_flag: int
    born_at: int
    born_host: bytes
    stored_at: int
    store_host: bytes
    reconsume_times: int
    transaction: int
    body_size: int


@dataclass(frozen=True)
class Sized:
    """A message whose parts have been looked at: all that can be known of its record before its place is."""

    message: Message
    body: BaseBuffer
    tail: bytes
    hosts: tuple[bytes, bytes]
    size: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", HEAD.size + len(self.body) + len(self.tail))


def size_of(message: Message) -> Sized:
    """Look at a message. Raises MessageError if its topic or properties are too long, or a number is."""
    topic = message.topic.encode()
    if not 1 <= len(topic) <= _MOST_TOPIC:
        raise MessageError(f"a topic's name has 1 to {_MOST_TOPIC} bytes, not {len(topic)}")
    if message.queue < 0 or message.topic in {".", ".."} or "/" in message.topic or "\0" in message.topic:
        raise MessageError(f"there can be no queue {message.queue} of a topic {message.topic!r}")
    if len(message.properties) > _MOST_PROPERTIES:
        raise MessageError(f"properties have up to {_MOST_PROPERTIES} bytes, not {len(message.properties)}")
    tail = bytes((len(topic),)) + topic + _PROPERTIES.pack(len(message.properties)) + message.properties
    body = SliceBuffer(message.body) if isinstance(message.body, bytes) else message.body
    return Sized(message, body, tail, (_packed_host(message.born_host), _packed_host(message.store_host)))


def _packed_host(host: tuple[str, int]) -> bytes:
    """Return an address of IPv4 as records have it. Raises MessageError for any other."""
    numbers = host[0].split(".")
    try:
        return bytes(map(int, numbers)) + host[1].to_bytes(4, "big") if len(numbers) == 4 else _no_host(host)
    except (ValueError, OverflowError):
        return _no_host(host)


def _no_host(host: tuple[str, int]) -> bytes:
    raise MessageError(f"a record's hosts are addresses of IPv4, not {host}")


def parts_of(sized: Sized, *, position: int, queue_offset: int, stored_at: int) -> list[BaseBuffer]:
    """Return a record in parts: head, body, tail. Copies: nothing. Raises MessageError for numbers out of range."""
    message = sized.message
    born_host, store_host = sized.hosts
    try:
        head = bytearray(
            HEAD.pack(
                sized.size, MAGIC, 0, message.queue, message.flag, queue_offset, position, message.sys_flag,
                message.born_at, born_host, stored_at, store_host, message.reconsume_times, 0, len(sized.body),
            )
        )  # fmt: skip
    except struct.error as error:
        raise MessageError(f"a number of the message does not fit into a record: {error}") from None
    _CRC.pack_into(head, _CRC_AT, _crc(_around_crc(memoryview(head)), sized.body.views(), [memoryview(sized.tail)]))
    return [SliceBuffer(head), sized.body, SliceBuffer(sized.tail)]


def _around_crc(record: memoryview) -> list[memoryview]:
    return [record[:_CRC_AT], record[_AFTER_CRC:]]


def _crc(*runs: Iterable[memoryview]) -> int:
    crc = 0
    for run in runs:
        for view in run:
            crc = zlib.crc32(view, crc)
    return crc


def crc_of(record: memoryview) -> int:
    """Return the CRC that a record should have."""
    return _crc(_around_crc(record))


def head_at(memory: BaseBuffer, at: int) -> Head | None:
    """Return what lies at a place of the log's memory, read as a head, if there is room for one."""
    return Head(*memory.unpack_from(HEAD, at)) if 0 <= at <= len(memory) - HEAD.size else None


def is_record(head: Head, position: int, room: int) -> bool:
    """Whether a head may be that of a record that was written at a place with so much room."""
    return (
        head.magic == MAGIC
        and head.position == position
        and head.body_size >= 0
        and HEAD.size + head.body_size + 3 < head.size <= room
    )


def is_whole(record: BaseBuffer) -> bool:
    """Whether all of a record is as it was written: of the sizes in it, and by its CRC."""
    view = record.view()
    head = Head(*HEAD.unpack_from(view))
    if crc_of(view) != head.crc:
        return False
    topic = HEAD.size + head.body_size
    properties = topic + 1 + view[topic]
    return properties + 2 <= len(view) and properties + 2 + _PROPERTIES.unpack_from(view, properties)[0] == len(view)


def topic_of(record: BaseBuffer) -> str:
    """Return the topic of a record that is whole."""
    at = HEAD.size + Head(*record.unpack_from(HEAD)).body_size
    return record[at + 1 : at + 1 + record[at]].decode()


def properties_of(record: BaseBuffer) -> BaseBuffer:
    """Return the properties of a record that is whole. Copies: nothing."""
    at = HEAD.size + Head(*record.unpack_from(HEAD)).body_size
    return record[at + 3 + record[at] :]


def message_of(record: BaseBuffer) -> Message:
    """Return the message that a record, which is whole, was made of. Copies: not the body."""
    head = Head(*record.unpack_from(HEAD))
    return Message(
        topic=topic_of(record),
        queue=head.queue,
        body=record[HEAD.size : HEAD.size + head.body_size],
        properties=properties_of(record).tobytes(),
        flag=head.flag,
        sys_flag=head.sys_flag,
        born_at=head.born_at,
        born_host=_host(head.born_host),
        store_host=_host(head.store_host),
        reconsume_times=head.reconsume_times,
    )


def _host(packed: bytes) -> tuple[str, int]:
    return ".".join(map(str, packed[:4])), int.from_bytes(packed[4:], "big")


def property_of(properties: BaseBuffer | bytes, name: bytes) -> str:
    """Return the value of a property, empty if there is none."""
    for pair in SliceBuffer(properties).split(b"\x02"):
        if pair.startswith(name + b"\x01"):
            return pair[len(name) + 1 :].decode(errors="replace")
    return ""


def hash_of(tag: str) -> int:
    """Return the number that stands for a tag in consume queues: Java's ``String.hashCode``. No tag: 0."""
    value = 0
    units = tag.encode("utf-16-be", "surrogatepass")
    for high, low in zip(units[::2], units[1::2], strict=True):
        value = (value * 31 + (high << 8) + low) & ((1 << _HASH_BITS) - 1)
    return value - ((value >> (_HASH_BITS - 1)) << _HASH_BITS)


def tag_hash_of(properties: BaseBuffer | bytes) -> int:
    """Return what consume queues have of a message: the hash of its tag."""
    return hash_of(property_of(properties, TAGS))
