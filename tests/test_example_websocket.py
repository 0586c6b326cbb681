"""examples/websocket_frames.py: RFC 6455 rule by rule, every cut, and the websockets package at the other end."""

from __future__ import annotations

import base64
import codecs
import hashlib
import os
import pickle
import re
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count, repeat
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.frames import Frame as TheirFrame
from websockets.frames import Opcode as TheirOpcode
from websockets.protocol import CLIENT, SERVER, Protocol, Side
from websockets.streams import StreamReader
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

from bytebufs import CompositeBuffer, FrameError, LimitExceeded, Part, SliceBuffer, copy_audit, flush, no_copy
from bytebufs.testing import HOSTILE, Outcome, check_fragmentation, fragmentations, outcome_of
from examples.websocket_frames import (
    Frame,
    Messages,
    NotUtf8,
    Opcode,
    ProtocolError,
    close_code,
    close_reason,
    encode,
    mask,
)

from .conftest import IS_QUICK, PLACES, RANDOM_CUTS
from .fed import Fed
from .layouts import addresses, chunks
from .memory import kept_by
from .sinks import PATIENCE, eventually

BIG: Final = (4 if IS_QUICK else 16) << 20
SIZES: Final = [0, 1, 125, 126, 127, 65_535, 65_536, 70_000]
KEY: Final = b"\x37\xfa\x21\x3d"


def plain(frame: Frame) -> object:
    return frame.opcode, bytes(frame.payload)


def run(pieces: Iterable[bytes], *, masked: bool = False, limit: int = 100_000) -> Outcome:
    return outcome_of(Fed(Messages(masked=masked, limit=limit)), pieces, plain=plain)


def check(data: bytes, *, masked: bool = False, limit: int = 100_000) -> Outcome:
    return check_fragmentation(
        lambda: Fed(Messages(masked=masked, limit=limit)), data, plain=plain, limit=PLACES, random_cuts=RANDOM_CUTS
    )


def messages_in(data: Part, *, masked: bool = False, limit: int = 100_000) -> list[Frame]:
    messages = Messages(masked=masked, limit=limit)
    messages.buffer.append(data)
    return list(messages)


def bytes_of(*frames: CompositeBuffer) -> bytes:
    return b"".join(map(bytes, frames))


# -- the examples of section 5.7


@pytest.mark.parametrize(
    ("data", "masked", "message"),
    [
        ("81 05 48 65 6c 6c 6f", False, (Opcode.TEXT, b"Hello")),
        ("81 85 37 fa 21 3d 7f 9f 4d 51 58", True, (Opcode.TEXT, b"Hello")),
        ("01 03 48 65 6c 80 02 6c 6f", False, (Opcode.TEXT, b"Hello")),
        ("89 05 48 65 6c 6c 6f", False, (Opcode.PING, b"Hello")),
        ("8a 85 37 fa 21 3d 7f 9f 4d 51 58", True, (Opcode.PONG, b"Hello")),
        ("82 7e 01 00" + 256 * "00", False, (Opcode.BINARY, bytes(256))),
        ("82 7f 00 00 00 00 00 01 00 00" + 65_536 * "00", False, (Opcode.BINARY, bytes(65_536))),
    ],
)
def test_the_examples_of_the_rfc(data: str, masked: bool, message: tuple[Opcode, bytes]) -> None:
    assert run([bytes.fromhex(data)], masked=masked).results == [message]


# -- payloads


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("masked", [False, True])
def test_what_is_encoded_is_parsed(size: int, masked: bool) -> None:
    payload = os.urandom(size)
    for parts in [payload], [payload[: size // 2], payload[size // 2 :]]:
        frame = encode(Opcode.BINARY, CompositeBuffer(parts), masked=masked)
        assert [plain(f) for f in messages_in(frame, masked=masked)] == [(Opcode.BINARY, payload)]


def test_a_payload_that_is_not_masked_is_never_copied() -> None:
    payload = bytes(1000)
    with no_copy(strict=True):
        frame = encode(Opcode.BINARY, payload, masked=False)
        [message] = messages_in(frame)
    assert addresses(frame)[4:] == addresses(message.payload) == addresses(SliceBuffer(payload))


def test_fragments_are_one_buffer_and_are_not_joined() -> None:
    payload = os.urandom(9)
    slices = [SliceBuffer(payload, at, at + 3) for at in (6, 0, 3)]
    frames = [
        encode(Opcode.BINARY, slices[0], fin=False, masked=False),
        encode(Opcode.PING, b"?", masked=False),
        encode(Opcode.CONTINUATION, slices[1], fin=False, masked=False),
        encode(Opcode.CONTINUATION, slices[2], masked=False),
    ]
    with no_copy(strict=True):
        [ping, message] = messages_in(CompositeBuffer(frames))
    assert (ping.opcode, message.opcode, message.fin) == (Opcode.PING, Opcode.BINARY, True)
    assert addresses(message.payload) == [a for s in slices for a in addresses(s)]


def test_text_is_looked_at_where_it_lies() -> None:
    text = "grün".encode() * 100
    slices = [SliceBuffer(text, 0, 303), SliceBuffer(text, 303)]  # in the middle of a character
    first, last = [
        encode(opcode, s, fin=opcode == 0, masked=False)
        for opcode, s in zip([Opcode.TEXT, Opcode.CONTINUATION], slices, strict=True)
    ]
    messages = Messages(masked=False, limit=1000)
    with no_copy(strict=True):
        messages.buffer.append(first[:200])
        assert list(messages) == []
        messages.buffer.extend([first[200:], last])
        [message] = messages
    assert message.payload == text
    assert addresses(message.payload) == addresses(SliceBuffer(text))


@pytest.mark.parametrize("size", [*SIZES, 3 * 65_536 + 1])
def test_masking_is_the_xor_of_section_5_3(size: int) -> None:
    payload = os.urandom(size)
    expected = bytes([byte ^ KEY[i % 4] for i, byte in enumerate(payload)])
    for step in (size or 1, size // 3 + 1):
        parts = CompositeBuffer([payload[at : at + step] for at in range(0, size, step)]).freeze()
        with no_copy(), copy_audit() as audit:
            masked = mask(parts, KEY)
        assert masked == expected
        assert mask(masked, KEY) == payload
        assert audit.by_reason == ({"copy_into": size} if size else {})
        assert max((len(view) for view in masked.views()), default=0) <= 65_536


def test_each_frame_is_masked_anew() -> None:
    frames = {bytes(encode(Opcode.TEXT, bytes(8), masked=True)) for _ in range(10)}
    assert len(frames) == 10


# -- the rules


def raw(first: int, second: int, rest: bytes = b"") -> bytes:
    return bytes([first, second]) + rest


CLOSED: Final = raw(0x88, 2, b"\x03\xe8")

BROKEN: Final[list[tuple[bytes, str, bool]]] = [
    (raw(0xC1, 0), "5.2: a reserved bit", True),
    (raw(0xA1, 0), "5.2: a reserved bit", True),
    (raw(0x91, 0), "5.2: a reserved bit", True),
    *[(raw(0x80 | n, 0), f"5.2: the reserved opcode {n}", True) for n in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)],
    (raw(0x81, 0x80, bytes(4)), "5.1: a frame that is masked", True),
    (raw(0x82, 126, b"\x00\x7d" + bytes(125)), "5.2: a length in more bytes", False),
    (raw(0x82, 127, (65_535).to_bytes(8, "big") + bytes(65_535)), "5.2: a length in more bytes", False),
    (raw(0x82, 127, (1 << 63).to_bytes(8, "big")), "5.2: a 64-bit length with its highest bit set", False),
    (raw(0x80, 0), "5.4: a continuation of nothing", True),
    (raw(0x01, 0) + raw(0x80, 0) + raw(0x80, 0), "5.4: a continuation of nothing", True),
    (raw(0x01, 0) + raw(0x82, 0), "5.4: a message inside another one", True),
    (raw(0x02, 1, b"a") + raw(0x00, 0) + raw(0x01, 0), "5.4: a message inside another one", True),
    *[(raw(n, 0), "5.5: a fragmented control frame", True) for n in (8, 9, 10)],
    *[
        (raw(n, 126, b"\x00\x7e" + bytes(126)), "5.5: a control frame of more than 125", True)
        for n in (0x88, 0x89, 0x8A)
    ],
    (raw(0x88, 1, b"\x03"), "5.5.1: half a status code", True),
    (raw(0x88, 4, b"\x03\xe8\xc3\x28"), "5.5.1: a reason that is not UTF-8", True),
    *[
        (raw(0x88, 2, n.to_bytes(2, "big")), f"7.4: the status code {n}", True)
        for n in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535)
    ],
    (raw(0x81, 3, b"a\xff!"), "8.1: a text that is not UTF-8", False),
    (raw(0x81, 100, b"\xc0"), "8.1: a text that is not UTF-8", False),
    (raw(0x01, 1, b"\xe6") + raw(0x80, 1, b"\x97"), "8.1: a text that is not UTF-8", False),
    (raw(0x01, 2, b"\xf4\x8f") + raw(0x89, 0) + raw(0x00, 0) + raw(0x80, 9, b"a"), "8.1: a text that is", False),
]


@pytest.mark.parametrize(
    ("data", "rule", "refused"),
    BROKEN,
    ids=[f"{i} {rule[:5]}" for i, (_, rule, _) in zip(count(), BROKEN, strict=False)],
)
def test_what_breaks_a_rule_is_refused_by_its_name(data: bytes, rule: str, refused: bool) -> None:
    messages = Messages(masked=False, limit=100_000)
    messages.buffer.append(raw(0x89, 1, b"!") + data)
    assert next(iter(messages)).opcode is Opcode.PING
    for _ in range(2):
        with pytest.raises(ProtocolError, match=re.escape(f"RFC 6455, {rule}")) as caught:
            list(messages)
        assert close_code(caught.value) == (1007 if "UTF-8" in str(caught.value) else 1002)
        messages.buffer.append(raw(0x8A, 0))
    # The other implementation says the same, but for a few rules that it does not hold its peers to.
    assert (their_events(CLIENT, [data])[1] is not None) == refused


def test_a_client_has_to_mask() -> None:
    assert run([raw(0x81, 0)], masked=True).error == (ProtocolError, "RFC 6455, 5.1: a frame that is not masked")


def test_each_error_has_the_code_to_close_with() -> None:
    assert close_code(LimitExceeded(10)) == 1009
    assert close_code(FrameError("of somebody else's")) == 1011
    for error in (ProtocolError("a rule"), NotUtf8("a text")):
        twin = pickle.loads(pickle.dumps(error))
        assert (type(twin), str(twin), close_code(twin)) == (type(error), str(error), close_code(error))
        assert isinstance(error, FrameError)


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1014, 3000, 4999])
def test_close_says_why(code: int) -> None:
    [message] = messages_in(raw(0x88, 7, code.to_bytes(2, "big") + "adé".encode()[:4] + b"!"))
    assert close_reason(message.payload) == (code, "adé!")


def test_close_may_say_nothing() -> None:
    [message] = messages_in(raw(0x88, 0))
    assert (message.opcode, close_reason(message.payload)) == (Opcode.CLOSE, (1005, ""))


BEHIND: Final = [
    raw(0x8A, 0),
    raw(0x81, 1, b"a"),
    raw(0x81, 1, b"\xff"),
    raw(0x82, 127, b"\xff"),
    raw(0x88, 2, b"\x03\xe9"),
    raw(0x80, 0),
    b"HTTP/1.1 200 OK\r\n\r\n",
    bytes(200_000),
]


@pytest.mark.parametrize("behind", BEHIND, ids=range(len(BEHIND)))
def test_all_behind_a_close_frame_is_dropped_unseen(behind: bytes) -> None:
    messages = Messages(masked=False, limit=100)
    messages.buffer.append(raw(0x01, 1, b"\xe2") + CLOSED + behind)
    assert list(map(plain, messages)) == [(Opcode.CLOSE, b"\x03\xe8")]
    for _ in range(2):
        messages.buffer.append(behind[:50])
        assert list(messages) == []
        assert len(messages.buffer) == 0
    assert messages.discarded == len(behind) + 2 * len(behind[:50])


def test_no_cut_changes_what_is_dropped() -> None:
    for behind in BEHIND[:-1]:
        found = check(CLOSED + behind)
        assert found == Outcome([(Opcode.CLOSE, b"\x03\xe8")], None, len(CLOSED + behind))


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1012, 1014, 3000, 4999])
def test_a_close_frame_that_may_be_sent(code: int) -> None:
    payload = code.to_bytes(2, "big") + "går".encode() + bytes(119)
    assert close_reason(messages_in(encode(Opcode.CLOSE, payload, masked=False))[0].payload)[0] == code


NOBODY_SENDS: Final = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1999, 2000, 2999, 5000, 0xFFFF]


@pytest.mark.parametrize(
    "payload",
    [b"\x03", b"\0", b"\x03\xe8\xe2\x82", b"\x0f\xa0\xed\xa0\x80", *[n.to_bytes(2, "big") for n in NOBODY_SENDS]],
    ids=bytes.hex,
)
@pytest.mark.parametrize("masked", [True, False])
def test_a_close_frame_that_nobody_may_send_is_not_encoded(payload: bytes, masked: bool) -> None:
    cut_in_two = CompositeBuffer([payload[:1], payload[1:]])
    for given_payload in (payload, cut_in_two):
        with pytest.raises(ValueError, match=r"^a close frame that nobody may send: RFC 6455, ") as caught:
            encode(Opcode.CLOSE, given_payload, masked=masked)
        assert type(caught.value) is ValueError


@pytest.mark.parametrize(("payload", "fin"), [(bytes(126), True), (b"", False)])
def test_a_control_frame_that_nobody_may_send_is_not_encoded(payload: bytes, fin: bool) -> None:
    with pytest.raises(ValueError, match=r"at most 125 bytes of payload \(RFC 6455, 5.5\)"):
        encode(Opcode.PING, payload, fin=fin, masked=False)


# -- text


def certain_at(text: bytes) -> int | None:
    """Return after how many bytes nothing can make UTF-8 of a text any more, None if it may still become some."""
    for n in range(1, len(text) + 1):
        try:
            text[:n].decode()
        except UnicodeDecodeError as error:
            if error.reason != "unexpected end of data":
                return n
    return None


def is_utf_8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


NOT_UTF_8: Final = [
    *[b"\x80", b"\xc0\x80", b"\xc1", b"\xf5", b"\xff", b"a\xfe", b"\xc3\xc3", b"\xe0\x80", b"\xe0\x9f\xbf"],
    *[b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xf0\x80\x80\x80", b"\xf0\x8f", b"\xf4\x90", b"\xe2\x82a", b"\xf0\x9f\x98!"],
    *[b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", "κόσμε".encode() + b"\xed\xa0\x80 edited"],
]
TEXTS: Final = [b"", b"a", "é€𝄞".encode(), "\0\ufeff\ufffe\U0010ffff\ud7ff\ue000".encode(), *NOT_UTF_8]


def after_bytes(frames: bytes, *, masked: bool, limit: int = 100_000) -> tuple[int, FrameError | None]:
    """Feed frames a byte at a time. Return how many it took to an error, and which it was."""
    messages = Messages(masked=masked, limit=limit)
    for n in range(len(frames)):
        messages.buffer.append(frames[n : n + 1])
        try:
            list(messages)
        except FrameError as error:
            return n + 1, error
    return len(frames), None


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("text", TEXTS, ids=bytes.hex)
def test_a_text_that_is_not_utf_8_fails_at_its_first_wrong_byte(text: bytes, masked: bool) -> None:
    for size in (len(text), len(text) + 100):  # the rest may still be under way
        head = len(bytes(encode(Opcode.TEXT, bytes(size), masked=masked))) - size
        frame = bytes(encode(Opcode.TEXT, text + b"a" * (size - len(text)), masked=masked))
        n, error = after_bytes(frame[: head + len(text)], masked=masked)
        at = certain_at(text)
        if at is not None:
            assert n == head + at
        assert isinstance(error, NotUtf8) == (at is not None or (size == len(text) and not is_utf_8(text)))
        assert error is None or close_code(error) == 1007


@given(st.lists(st.sampled_from(TEXTS) | st.binary(max_size=5), max_size=6), st.booleans(), st.data())
def test_no_frames_and_no_cuts_change_what_is_text(texts: list[bytes], masked: bool, data: st.DataObject) -> None:
    text = b"".join(texts)
    pieces = data.draw(fragmentations(text, max_pieces=5)) or [text]
    frames = [
        encode(Opcode.CONTINUATION if i else Opcode.TEXT, piece, fin=i == len(pieces) - 1, masked=masked)
        for i, piece in enumerate(pieces)
    ]
    controls = [encode(Opcode.PING, b"\xff", masked=masked) for _ in frames]
    stream = bytes_of(*[frame for both in zip(controls, frames, strict=True) for frame in both])
    whole = run([stream], masked=masked)
    assert (whole.error is None) == is_utf_8(text)
    assert [m for m in whole.results if m != (Opcode.PING, b"\xff")] == (
        [(Opcode.TEXT, text)] if is_utf_8(text) else []
    )
    assert run(data.draw(fragmentations(stream)), masked=masked) == whole
    assert run([bytes([byte]) for byte in stream], masked=masked) == whole


def test_what_is_no_text_may_hold_any_bytes() -> None:
    frames = [
        encode(Opcode.BINARY, b"\xff\xc3", fin=False, masked=False),
        encode(Opcode.CONTINUATION, b"\xff", masked=False),
    ]
    data = bytes_of(*frames, encode(Opcode.PONG, b"\xe2", masked=False), encode(Opcode.TEXT, b"text", masked=False))
    assert check(data).results[-1] == (Opcode.TEXT, b"text")


class CountingDecoder(codecs.BufferedIncrementalDecoder):
    """Counts the bytes that it is shown."""

    shown = 0

    def _buffer_decode(self, data: Any, errors: str, final: bool) -> tuple[str, int]:
        self.shown += len(data)
        return "", len(data)


@pytest.mark.parametrize("masked", [False, True])
def test_each_byte_of_a_text_is_looked_at_once(masked: bool) -> None:
    text, counting = b"a" * (40_000 if IS_QUICK else 200_000), CountingDecoder()
    messages = Messages(masked=masked, limit=len(text))
    messages._text = counting
    found: list[object] = []
    for piece in chunks(bytes(encode(Opcode.TEXT, text, masked=masked)), repeat(50)):
        messages.buffer.append(piece)
        found += list(map(plain, messages))
    assert found == [(Opcode.TEXT, text)]
    assert counting.shown == len(text)


# -- limits


def test_the_limit_of_a_message_is_inclusive() -> None:
    whole = bytes_of(encode(Opcode.TEXT, bytes(200), masked=False))
    halves = bytes_of(
        encode(Opcode.TEXT, bytes(100), fin=False, masked=False), encode(Opcode.CONTINUATION, bytes(100), masked=False)
    )
    for data in whole, halves:
        assert check(data, limit=200).results == [(Opcode.TEXT, bytes(200))]
        assert check(data, limit=199).error == (LimitExceeded, "the limit of 199 bytes is exceeded")


@pytest.mark.parametrize("head", [raw(0x82, 126, b"\x03\xe9"), raw(0x82, 127, ((1 << 63) - 1).to_bytes(8, "big"))])
def test_a_declared_length_beyond_the_limit_is_refused_at_once(head: bytes) -> None:
    assert run([head], limit=1000) == Outcome([], (LimitExceeded, "the limit of 1000 bytes is exceeded"), 0)


def test_a_message_without_an_end_is_refused_at_the_limit() -> None:
    first, more = raw(0x02, 100, bytes(100)), raw(0x00, 100, bytes(100))
    assert run([first, *[more] * 9], limit=1000).error is None
    refused = run([first, *[more] * 10], limit=1000)
    assert refused == Outcome([], (LimitExceeded, "the limit of 1000 bytes is exceeded"), 10 * 102)


def test_a_flood_of_fragments_holds_what_it_shows() -> None:
    n = 2_500 if IS_QUICK else 10_000
    tiny = raw(0x02, 1, b"a") + raw(0x00, 1, b"b") * n + raw(0x00, 0) * n + raw(0x80, 0)
    with no_copy(strict=True):
        [message] = messages_in(tiny, limit=n + 1)
    assert message.payload.part_count == n + 1
    assert message.payload == b"a" + b"b" * n


@pytest.mark.parametrize("name", ["fragments of one byte", "text byte by byte"])
def test_a_client_does_not_choose_how_much_memory_his_bytes_take(name: str) -> None:
    [stream] = [stream for stream in HOSTILE if stream.name == name]
    nbytes = 2_000 if IS_QUICK else 5_000

    def flood() -> object:
        messages = Messages(masked=True, limit=stream.LIMIT)
        for chunk in stream.make(nbytes):
            messages.buffer.append(chunk)
            assert list(messages) == []
        return messages

    most = 4 * nbytes
    _, kept = kept_by(flood, most)
    assert kept <= most


def test_control_frames_are_no_part_of_the_limit() -> None:
    data = bytes_of(encode(Opcode.PING, bytes(125), masked=True))
    assert run([data], masked=True, limit=0).results == [(Opcode.PING, bytes(125))]


# -- every cut


def conversation(*, masked: bool, closing: bool = True) -> bytes:
    frames = [
        encode(Opcode.TEXT, "naïve".encode(), masked=masked),
        encode(Opcode.BINARY, bytes(range(130)), masked=masked),
        encode(Opcode.TEXT, b"in ", fin=False, masked=masked),
        encode(Opcode.PING, b"now?", masked=masked),
        encode(Opcode.CONTINUATION, b"", fin=False, masked=masked),
        encode(Opcode.CONTINUATION, b"parts", masked=masked),
        encode(Opcode.BINARY, masked=masked),
        encode(Opcode.CLOSE, b"\x03\xe8bye", masked=masked),
    ]
    return bytes_of(*(frames if closing else frames[:-1]))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("ending", [b"", b"\x89", b"\x8a\x7d", b"\xc1", b"\x83\x00", b"\x88\x7e\x00", b"\x82\xfe\x00"])
def test_no_cut_changes_anything(ending: bytes, masked: bool) -> None:
    data = conversation(masked=masked, closing=False)
    found = check(data + ending, masked=masked)
    assert found.results == [
        (Opcode.TEXT, "naïve".encode()),
        (Opcode.BINARY, bytes(range(130))),
        (Opcode.PING, b"now?"),
        (Opcode.TEXT, b"in parts"),
        (Opcode.BINARY, b""),
    ]
    assert found.taken == len(data)
    closed = check(conversation(masked=masked) + ending, masked=masked)
    assert closed.results == [*found.results, (Opcode.CLOSE, b"\x03\xe8bye")]
    assert closed.error is None


OPCODES: Final = st.sampled_from(Opcode)
CLOSES: Final = st.just(b"") | st.tuples(st.sampled_from([1000, 1001, 1014, 3000, 4999]), st.text(max_size=30)).map(
    lambda both: both[0].to_bytes(2, "big") + both[1].encode()
)
PAYLOADS: Final = st.binary(max_size=20) | st.sampled_from([bytes(125), bytes(126), bytes(300)])


@given(st.booleans(), st.data())
def test_no_cut_changes_any_frames(masked: bool, data: st.DataObject) -> None:
    frames = data.draw(st.lists(st.tuples(OPCODES, PAYLOADS, CLOSES, st.booleans())))
    stream = bytes_of(
        *[
            encode(
                opcode,
                close if opcode is Opcode.CLOSE else payload[:125] if opcode >= 8 else payload,
                fin=fin or opcode >= 8,
                masked=masked,
            )
            for opcode, payload, close, fin in frames
        ]
    ) + data.draw(st.binary(max_size=4))
    assert run(data.draw(fragmentations(stream)), masked=masked, limit=400) == run([stream], masked=masked, limit=400)


# -- the websockets package, sans I/O


def their_events(side: Side, pieces: Iterable[bytes]) -> tuple[list[tuple[Opcode, bytes]], Exception | None]:
    """Return the frames that the other implementation gets on a side, fragments joined, and what it found wrong."""
    protocol = Protocol(side, max_size=None)
    for piece in pieces:
        protocol.receive_data(piece)
    messages: list[tuple[Opcode, bytes]] = []
    for event in protocol.events_received():
        assert isinstance(event, TheirFrame)
        if event.opcode is TheirOpcode.CONT:
            last = max(i for i, (opcode, _) in enumerate(messages) if opcode < Opcode.CLOSE)
            messages[last] = (messages[last][0], messages[last][1] + bytes(event.data))
        else:
            messages.append((Opcode(event.opcode), bytes(event.data)))
    return messages, protocol.parser_exc


def their_frame(data: bytes, *, masked: bool) -> TheirFrame:
    reader = StreamReader()
    reader.feed_data(data)
    parser = TheirFrame.parse(reader.read_exact, mask=masked)
    with pytest.raises(StopIteration) as done:
        next(parser)
    frame: TheirFrame = done.value.value
    assert reader.buffer == b""
    return frame


@given(OPCODES, PAYLOADS | st.sampled_from([bytes(65_535), bytes(65_536)]), CLOSES, st.booleans(), st.booleans())
def test_frames_are_the_same_in_both_implementations(
    opcode: Opcode, payload: bytes, close: bytes, fin: bool, masked: bool
) -> None:
    if opcode >= Opcode.CLOSE:
        payload, fin = close if opcode is Opcode.CLOSE else payload[:125], True
    theirs = TheirFrame(TheirOpcode(opcode), payload, fin)
    ours = bytes(encode(opcode, payload, fin=fin, masked=masked))
    assert their_frame(ours, masked=masked) == theirs
    if not masked:
        assert theirs.serialize(mask=False) == ours


@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_their_side_understands_ours(side: Side) -> None:
    data = conversation(masked=side is SERVER)
    messages, error = their_events(side, [data])
    assert error is None
    ours = run([data], masked=side is SERVER).results
    assert sorted(messages) == sorted(ours)  # type: ignore[type-var]  # they give a message where it began


@pytest.mark.parametrize("side", [CLIENT, SERVER])
def test_our_side_understands_theirs(side: Side) -> None:
    protocol = Protocol(side)
    protocol.send_text(b"one ", fin=False)
    protocol.send_ping(b"ping")
    protocol.send_continuation(b"message", fin=True)
    protocol.send_binary(bytes(70_000))
    protocol.send_close(1001, "off")
    data = b"".join(protocol.data_to_send())
    assert run([data], masked=side is CLIENT).results == [
        (Opcode.PING, b"ping"),
        (Opcode.TEXT, b"one message"),
        (Opcode.BINARY, bytes(70_000)),
        (Opcode.CLOSE, b"\x03\xe9off"),
    ]


# -- the websockets package, over the loopback

PATIENT: Final[dict[str, Any]] = {
    "open_timeout": PATIENCE,
    "close_timeout": PATIENCE,
    "ping_interval": None,
    "max_size": BIG,
}
"""Theirs waits, and asks for no sign of life, however slow the machine."""


class Peer:
    """Our end of a connection, the handshake done by hand (section 4)."""

    GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

    def __init__(self, sock: socket.socket, *, is_client: bool) -> None:
        sock.settimeout(PATIENCE)
        self.sock = sock
        self.is_client = is_client
        self.messages = Messages(masked=not is_client, limit=BIG)
        self.waiting: Iterator[Frame] = iter(())
        (self.ask if is_client else self.accept)()

    def ask(self) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        self.sock.sendall(
            f"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        assert self.head().startswith("HTTP/1.1 101 ")

    def accept(self) -> None:
        found = re.search(r"(?i)^Sec-WebSocket-Key: (\S+)\r$", self.head(), re.MULTILINE)
        assert found
        digest = base64.b64encode(hashlib.sha1(found[1].encode() + self.GUID).digest()).decode()
        self.sock.sendall(
            f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {digest}\r\n\r\n".encode()
        )

    def head(self) -> str:
        while (head := self.messages.buffer.take_until(b"\r\n\r\n", limit=4096, keepends=True)) is None:
            self.receive()
        return head.decode()

    def receive(self) -> None:
        chunk = self.sock.recv(65_536)
        assert chunk, "the peer has hung up"
        self.messages.buffer.append(chunk)

    def send(self, opcode: Opcode, payload: Part = b"", *, fin: bool = True) -> None:
        flush(encode(opcode, payload, fin=fin, masked=self.is_client), self.sock)

    def next(self) -> Frame:
        while (frame := next(iter(self.messages), None)) is None:
            self.receive()
        return frame


@contextmanager
def their_server(handler: Callable[[ServerConnection], None]) -> Iterator[Peer]:
    """Run a server of theirs, and give our client's end."""
    before = threading.active_count()
    with socket.create_server(("127.0.0.1", 0)) as listening, serve(handler, sock=listening, **PATIENT) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with socket.create_connection(listening.getsockname()) as sock:
                yield Peer(sock, is_client=True)
        finally:
            server.shutdown()
            assert eventually(lambda: threading.active_count() <= before)  # who serves a connection ends, too


def echo(connection: ServerConnection) -> None:
    for message in connection:
        connection.send(message)


def test_our_client_at_their_server() -> None:
    big = os.urandom(BIG)
    with their_server(echo) as peer:
        peer.send(Opcode.TEXT, b"na\xc3", fin=False)
        peer.send(Opcode.PING, b"between")
        peer.send(Opcode.CONTINUATION, b"\xafve")
        assert plain(peer.next()) == (Opcode.PONG, b"between")
        assert plain(peer.next()) == (Opcode.TEXT, "naïve".encode())
        peer.send(Opcode.BINARY, big)
        with no_copy(strict=True):
            message = peer.next()
        assert message.payload == big
        peer.send(Opcode.CLOSE, b"\x03\xe8done")
        assert close_reason(peer.next().payload) == (1000, "done")


def test_their_server_sends_fragments() -> None:
    pieces = [os.urandom(1000) for _ in range(50)]
    with their_server(lambda connection: connection.send(pieces)) as peer:
        with no_copy(strict=True):
            message = peer.next()
        assert plain(message) == (Opcode.BINARY, b"".join(pieces))
        assert close_reason(peer.next().payload)[0] == 1000
        peer.send(Opcode.CLOSE, b"\x03\xe8")


def test_their_client_at_our_server() -> None:
    big = os.urandom(BIG)
    said: list[object] = []

    def talk(port: int) -> None:
        with connect(f"ws://127.0.0.1:{port}/", compression=None, proxy=None, **PATIENT) as client:
            client.send("naïve")
            client.send([b"in ", b"parts"])
            client.ping(b"there?").wait(PATIENCE)
            client.send(big)
            said.extend([client.recv(), client.recv(), client.recv()])
        said.append((client.close_code, client.close_reason))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(PATIENCE)
        thread = threading.Thread(target=talk, args=[listening.getsockname()[1]], daemon=True)
        thread.start()
        sock, _ = listening.accept()
        with sock:
            peer = Peer(sock, is_client=False)
            while (message := peer.next()).opcode is not Opcode.CLOSE:
                peer.send(Opcode.PONG if message.opcode is Opcode.PING else message.opcode, message.payload)
            peer.send(Opcode.CLOSE, message.payload)
        thread.join(PATIENCE)
    assert said == ["naïve", b"in parts", big, (1000, "")]


@pytest.mark.parametrize(
    ("said", "code"), [(b"ab\xff", 1007), (b"\xf0\x9f\x98", 1007), (bytes(BIG + 1), 1009), ([b"\xc3", b"\xc3"], 1007)]
)
def test_their_client_hears_from_our_server_why(said: bytes | list[bytes], code: int) -> None:
    heard: list[int | None] = []

    def talk(port: int) -> None:
        with connect(f"ws://127.0.0.1:{port}/", compression=None, proxy=None, **PATIENT) as client:
            with suppress(ConnectionClosed):  # it is told, if the answer is there before the last part has gone
                client.send(said, text=True)
            with pytest.raises(ConnectionClosed):
                client.recv()
        heard.append(client.close_code)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(PATIENCE)
        thread = threading.Thread(target=talk, args=[listening.getsockname()[1]], daemon=True)
        thread.start()
        sock, _ = listening.accept()
        with sock:
            peer = Peer(sock, is_client=False)
            with pytest.raises((ProtocolError, LimitExceeded)) as caught:
                peer.next()
            peer.send(Opcode.CLOSE, close_code(caught.value).to_bytes(2, "big"))
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65_536):
                pass
        thread.join(PATIENCE)
    assert heard == [code]


@pytest.mark.parametrize("code", [1005, 1006, 1015])
def test_their_server_sends_no_code_that_nobody_may_send(code: int) -> None:
    """What they refuse to send, we do, too."""
    protocol = Protocol(SERVER)
    with pytest.raises(ValueError):
        encode(Opcode.CLOSE, code.to_bytes(2, "big"), masked=False)
    with pytest.raises(WebSocketException):
        protocol.send_close(code)
