"""Real messages to begin with: `python -m tests.fuzz.seeds FOLDER` writes them, a folder for each target."""

from __future__ import annotations

import gzip
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from bytebufs import CompositeBuffer
from examples.kafka.batch import HEADER, checksum
from examples.kafka.broker import HANDLERS
from examples.kafka.fields import encode as kafka_encode
from examples.kafka.records import Record
from examples.kafka.records import encode as batch_of
from examples.protobuf_stream import delimited
from examples.redis_resp import encode as command
from examples.rocketmq import record, remoting
from examples.websocket_frames import Opcode, encode

from ..example_layers import each_link, each_wrapper
from ..example_wire import enhanced, frames, interface, old_packet, pcap, pcapng, section, simple, talk
from .captures import LINK_TYPES

_UNCUT: Final = b"\0"
_CUT: Final = b"\x03\x10\x25\x60"
"""What a target takes of its input for cuts: none, or three."""

_MOST: Final = 256
"""Bytes of a packet: as many as its size in front can say."""

_GET: Final = b"GET /a?b HTTP/1.1\r\nHost: a\r\nRange: bytes=0-3,-1\r\n\r\n"
_ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
_CHUNKS: Final = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n"
_HEADS: Final = (
    _GET,
    b"POST http://a:80/ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc",
    b"PUT / HTTP/1.1\r\nHost: [::1]:80\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"OPTIONS * HTTP/1.0\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
    _ANSWER,
    _CHUNKS,
)


def _captures() -> Iterator[bytes]:
    packets = frames(talk(_GET, _ANSWER))
    for file in (
        pcap(packets), pcap(packets, order=">", snap=90), pcapng(packets), pcapng(packets[:3], order=">"),
        section() + interface() + b"".join(map(old_packet, packets)) + simple(packets[0]),
        section() + interface(101) + b"".join(enhanced(packet[14:]) for packet in packets),
    ):  # fmt: skip
        yield _UNCUT + file
        yield _CUT + file


def _packets() -> Iterator[bytes]:
    for frame in (*each_link(), *each_wrapper()):
        if len(frame.data) < _MOST:
            yield bytes([LINK_TYPES.index(frame.link), 0]) + _UNCUT + bytes([len(frame.data)]) + frame.data


def _exchanges() -> Iterator[bytes]:
    for number, head in enumerate(_HEADS):
        for answer in (_ANSWER, _CHUNKS, b"HTTP/1.1 101 x\r\n\r\n\x81\x02hi"):
            share = 256 * len(head) // (len(head) + len(answer))
            yield bytes([number * 4 % 32, share]) + _CUT + head + answer


def _replies() -> Iterator[bytes]:
    for reply in (
        b"+OK\r\n-ERR no\r\n:12\r\n,1.5e3\r\n,inf\r\n#t\r\n_\r\n(123\r\n",
        b"$5\r\nhello\r\n=8\r\ntxt:some\r\n!3\r\nERR\r\n",
        b"%1\r\n+a\r\n*2\r\n:1\r\n~1\r\n_\r\n",
        b"|1\r\n+ttl\r\n:3\r\n>2\r\n+message\r\n$2\r\nhi\r\n",
        command(b"SET", b"key", b"value").tobytes(),
    ):
        yield b"\xc7" + _CUT + reply


def _websockets() -> Iterator[bytes]:
    for masked in (False, True):
        stream = CompositeBuffer()
        for opcode, payload, fin in (
            (Opcode.TEXT, "hé".encode(), False), (Opcode.PING, b"?", True), (Opcode.CONTINUATION, "llö".encode(), True),
            (Opcode.BINARY, bytes(130), True), (Opcode.CLOSE, b"\x03\xe8bye", True),
        ):  # fmt: skip
            stream.append(encode(opcode, payload, fin=fin, masked=masked))
            yield bytes([2 + masked, 199]) + _CUT + stream.tobytes()


def _protobufs() -> Iterator[bytes]:
    inner = b"\x08\x96\x01\x12\x07testing"
    fixed = b"\x0d\1\2\3\4\x11" + bytes(8)
    for message in (inner, b"\x1a\x0b" + inner, b"\x0b" + inner + b"\x0c", fixed, b"\x22\x03\xff\xfe\xfd"):
        yield b"\xc7" + _CUT + delimited(message).tobytes() * 2


def _kafka_requests() -> Iterator[bytes]:
    for key, (api, _) in HANDLERS.items():
        for version in sorted({api.oldest, api.newest}):
            head = struct.pack(">hhih1s", key, version, 7, 1, b"c") + b"\0" * (version >= api.request.flexible)
            yield _UNCUT + head + CompositeBuffer(kafka_encode(api.request, version, {})).tobytes()


def _kafka_batches() -> Iterator[bytes]:
    batch = batch_of([Record(0, 5, b"key", b"value"), Record(1, 9, None, b"", [("a", b"b"), ("c", None)])]).tobytes()
    yield _UNCUT + batch
    yield _CUT + batch * 2
    zipped = gzip.compress(batch[HEADER.size :], mtime=0)
    values = list(HEADER.unpack_from(batch))
    values[1], values[5] = HEADER.size - 12 + len(zipped), 1
    values[4] = checksum(CompositeBuffer([HEADER.pack(*values), zipped]))
    yield _UNCUT + HEADER.pack(*values) + zipped


def _rocketmq() -> Iterator[bytes]:
    request = remoting.Command(10, 7, fields={"a": "topic", "e": "1"}, body=b"body")
    yield _UNCUT + remoting.encode(request)[4:].tobytes()
    yield _CUT + remoting.encode(request.answer(0, "remark", body=b"x", msgId="5"))[4:].tobytes()
    message = record.size_of(record.Message("topic", 3, b"body", b"TAGS\1a\2KEYS\1b"))
    yield _UNCUT + CompositeBuffer(record.parts_of(message, position=9, queue_offset=5, stored_at=77)).tobytes()


SEEDS: Final[dict[str, Callable[[], Iterator[bytes]]]] = {
    "captures": _captures,
    "packets": _packets,
    "exchanges": _exchanges,
    "requests": lambda: (_CUT + head for head in _HEADS),
    "replies": _replies,
    "websockets": _websockets,
    "protobufs": _protobufs,
    "kafka_requests": _kafka_requests,
    "kafka_batches": _kafka_batches,
    "rocketmq": _rocketmq,
}


def main() -> None:
    """Write them, each into a file of its own."""
    for name, seeds in SEEDS.items():
        folder = Path(sys.argv[1]) / name
        folder.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds()):
            (folder / f"seed-{number:02}").write_bytes(seed)


if __name__ == "__main__":
    main()
