"""Cut a stream that arrives in chunks into frames: of a fixed length, and behind a length that each declares.

Two kinds of rivals. *Buffers* are classes that somebody else wrote and that offer "append" and "take" by whatever name.
*Loops* are written out where the stream is read, around what the language has, with no call of a method in Python.
Each hands on what its users get: ``bytes``, a ``bytearray`` if it is cut from one, a SliceBuffer here. All are driven
as who wants speed would: methods are looked up once, and what is at hand is counted, not asked for.
"""

from __future__ import annotations

import asyncio
import io
import random
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from functools import cache, lru_cache, partial
from struct import Struct
from typing import Final, TypeAlias

from h11._receivebuffer import ReceiveBuffer
from tornado.iostream import _StreamBuffer
from urllib3.response import BytesQueueBuffer

from bytebufs import CompositeBuffer, LengthPrefixed, SliceBuffer

from . import _netty
from ._harness import MIB, OURS, TOLD, Cell, Contender, by_build, size_name, speed_of

__all__ = ["plan"]

CHUNKS: Final = (1460, 16 << 10, 64 << 10, 256 << 10)
FRAMES: Final = (64, 256, 4 << 10, 64 << 10, MIB)

Frame: TypeAlias = "bytes | bytearray | memoryview | SliceBuffer"
Note: TypeAlias = Callable[[Frame], int]
"""What is done with each frame: ``len`` while the clock runs, and looking at it while it does not."""
Cutter: TypeAlias = Callable[[Sequence[bytes], int, Note], int]
"""Cuts chunks into frames of a length."""
Feeder: TypeAlias = Callable[[Sequence[bytes], Note], int]
"""Cuts chunks into frames behind their length."""
Pass: TypeAlias = Callable[[Note], int]
"""One of these, over one stream."""

_U32: Final = Struct(">I")
_RARELY: Final = 64 << 10
"""Bytes that a buffer with an offset lets pile up in front before it moves the rest: a read of a socket or so."""

BUFFER: Final = "buffer"
LOOP: Final = "loop"
BYTEARRAY: Final = "loop over a bytearray"
JOINED: Final = "loop over joined bytes"
REFERENCE: Final = "reference"


def plan(*, quick: bool) -> list[Callable[[], Cell]]:
    """Return the cells of both measures, to be made when their turn comes."""
    grid = [(chunk, frame) for chunk in CHUNKS[: 1 if quick else None] for frame in FRAMES]
    return [partial(make, chunk, frame, quick=quick) for make in (_cut, _feed) for chunk, frame in grid]


def _cut(chunk: int, frame: int, *, quick: bool) -> Cell:
    count = _frames_of(frame, quick=quick)
    stream = _stream(chunk, count * frame)
    again = _passes_over(frame, quick=quick)
    # From 4 KiB: below, an interpreted library cannot win against what is written in C.
    pure = 0.5 if frame >= 4096 else None
    passes: list[tuple[str, str, Pass]] = [
        (name, group, partial(cut, stream * again, frame)) for name, (group, cut) in _CUTTERS.items()
    ]
    contenders = _contenders(passes)
    if not quick and _netty.is_available():
        ask = partial(_netty.cut, chunk, frame, count * frame * again)
        contenders.append(Contender("Netty CompositeByteBuf (Java)", REFERENCE, lambda: ask, TOLD))
    return Cell(
        "cut",
        {"chunk": size_name(chunk), "frame": size_name(frame)},
        "frame",
        count * again,
        contenders,
        [
            speed_of("CompositeBuffer", BUFFER, by_build(compiled=2, pure=pure)),
            speed_of("CompositeBuffer", LOOP, by_build(compiled=1.2, pure=pure)),
        ],
        check=partial(_check, passes, b"".join(stream) * again, frame, 0),
    )


def _feed(chunk: int, frame: int, *, quick: bool) -> Cell:
    count = _frames_of(frame, quick=quick)
    stream = _prefixed_stream(chunk, frame, count)
    again = _passes_over(frame, quick=quick)
    passes: list[tuple[str, str, Pass]] = [
        (name, group, partial(feed, stream * again)) for name, (group, feed) in _FEEDERS.items()
    ]
    return Cell(
        "feed",
        {"chunk": size_name(chunk), "frame": size_name(frame)},
        "frame",
        count * again,
        _contenders(passes),
        [
            speed_of("LengthPrefixed.feed", BYTEARRAY, by_build(compiled=2, pure=None)),
            speed_of("LengthPrefixed.feed", JOINED, by_build(compiled=1.5, pure=None)),
        ],
        check=partial(_check, passes, b"".join(stream) * again, frame, _U32.size),
    )


def _contenders(passes: list[tuple[str, str, Pass]]) -> list[Contender]:
    return [Contender(name, group, partial(partial, run, len)) for name, group, run in passes]


def _frames_of(frame: int, *, quick: bool) -> int:
    """Return how many frames a stream has: 2 MiB of small ones, 8 of the largest."""
    return 2 if quick else max(8, 2 * MIB // frame)


def _passes_over(frame: int, *, quick: bool) -> int:
    """Return how often a stream comes again: where frames are large and few, making the buffer would count for much."""
    return 8 if frame >= 64 << 10 and not quick else 1


@lru_cache(maxsize=1)
def _noise(nbytes: int) -> bytes:
    return random.Random(7).randbytes(nbytes)


def _split(stream: bytes, chunk: int) -> list[bytes]:
    return [stream[at : at + chunk] for at in range(0, len(stream), chunk)]


@lru_cache(maxsize=1)
def _stream(chunk: int, nbytes: int) -> list[bytes]:
    return _split(_noise(nbytes), chunk)


@lru_cache(maxsize=1)
def _prefixed_stream(chunk: int, frame: int, count: int) -> list[bytes]:
    noise = _noise(count * frame)
    head = _U32.pack(frame)
    return _split(b"".join([head + noise[k * frame : (k + 1) * frame] for k in range(count)]), chunk)


def _check(passes: list[tuple[str, str, Pass]], stream: bytes, frame: int, header: int) -> None:
    """Assert that every contender gives each frame, whole and in order."""
    step = header + frame
    expected = [stream[at + header : at + step] for at in range(0, len(stream), step)]
    for name, _, run in passes:
        frames: list[bytes] = []
        run(partial(_keep, frames))
        assert frames == expected, f"{name} cuts other frames"


def _keep(frames: list[bytes], frame: Frame) -> int:
    frames.append(bytes(frame))
    return len(frame)


# -- frames of a fixed length --------------------------------------------------------------------------------


def _by_composite(chunks: Sequence[bytes], size: int, note: Note) -> int:
    buffer = CompositeBuffer()
    append, take = buffer.append, buffer.take
    at_hand = total = 0
    for chunk in chunks:
        append(chunk)
        at_hand += len(chunk)
        while at_hand >= size:
            total += note(take(size))
            at_hand -= size
    return total


def _by_bytearray(chunks: Sequence[bytes], size: int, note: Note) -> int:
    buffer = bytearray()
    total = 0
    for chunk in chunks:
        buffer += chunk
        while len(buffer) >= size:
            frame = buffer[:size]
            del buffer[:size]  # moves an offset, not the bytes
            total += note(frame)
    return total


def _by_bytearray_offset(chunks: Sequence[bytes], size: int, note: Note) -> int:
    buffer = bytearray()
    at = total = 0
    for chunk in chunks:
        buffer += chunk
        stop = len(buffer) - size
        while at <= stop:
            total += note(buffer[at : at + size])
            at += size
        if at > _RARELY or at == len(buffer):
            del buffer[:at]
            at = 0
    return total


def _by_bytearray_view(chunks: Sequence[bytes], size: int, note: Note) -> int:
    buffer = bytearray()
    at = total = 0
    for chunk in chunks:
        buffer += chunk
        stop = len(buffer) - size
        if at <= stop:
            with memoryview(buffer) as view:
                while at <= stop:
                    total += note(view[at : at + size].tobytes())
                    at += size
        if at > _RARELY or at == len(buffer):
            del buffer[:at]
            at = 0
    return total


def _by_bytesio(chunks: Sequence[bytes], size: int, note: Note) -> int:
    buffer = io.BytesIO()
    read = buffer.read
    at = end = total = 0
    for chunk in chunks:
        buffer.seek(end)
        end += buffer.write(chunk)
        if end - at < size:
            continue
        buffer.seek(at)
        while end - at >= size:
            total += note(read(size))
            at += size
        if at > _RARELY or at == end:
            rest = buffer.read(end - at)
            buffer.seek(0)
            buffer.write(rest)  # over what was read: never truncated, so that its memory is used again
            at, end = 0, end - at
    return total


def _by_tornado(chunks: Sequence[bytes], size: int, note: Note) -> int:
    buffer = _StreamBuffer()
    append = buffer.append
    at_hand = total = 0
    for chunk in chunks:
        append(chunk)
        at_hand += len(chunk)
        while at_hand >= size:
            total += note(_taken_from_tornado(buffer, size))
            at_hand -= size
    return total


def _taken_from_tornado(buffer: _StreamBuffer, size: int) -> bytes:
    with buffer.peek(size) as view:
        piece = view.tobytes()
    buffer.advance(len(piece))
    if len(piece) == size:
        return piece
    pieces = [piece]
    missing = size - len(piece)
    while missing:
        with buffer.peek(missing) as view:
            piece = view.tobytes()
        buffer.advance(len(piece))
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)


def _by_urllib3(chunks: Sequence[bytes], size: int, note: Note) -> int:
    buffer = BytesQueueBuffer()
    put, get = buffer.put, buffer.get
    at_hand = total = 0
    for chunk in chunks:
        put(chunk)
        at_hand += len(chunk)
        while at_hand >= size:
            total += note(get(size))
            at_hand -= size
    return total


def _by_h11(chunks: Sequence[bytes], size: int, note: Note) -> int:
    buffer = ReceiveBuffer()
    extract = buffer.maybe_extract_at_most
    at_hand = total = 0
    for chunk in chunks:
        buffer += chunk
        at_hand += len(chunk)
        while at_hand >= size:
            frame = extract(size)
            assert frame is not None
            total += note(frame)
            at_hand -= size
    return total


def _by_stream_reader(chunks: Sequence[bytes], size: int, note: Note) -> int:
    return _finish(_over_stream(asyncio.StreamReader(loop=_idle_loop()), chunks, size, note))


async def _over_stream(reader: asyncio.StreamReader, chunks: Sequence[bytes], size: int, note: Note) -> int:
    feed, read = reader.feed_data, reader.readexactly
    at_hand = total = 0
    for chunk in chunks:
        feed(chunk)
        at_hand += len(chunk)
        while at_hand >= size:
            total += note(await read(size))
            at_hand -= size
    return total


def _by_joining(chunks: Sequence[bytes], size: int, note: Note) -> int:
    pending: list[bytes] = []
    at_hand = total = 0
    for chunk in chunks:
        pending.append(chunk)
        at_hand += len(chunk)
        if at_hand < size:
            continue
        data = b"".join(pending)
        at = 0
        while at_hand >= size:
            total += note(data[at : at + size])
            at += size
            at_hand -= size
        pending = [data[at:]] if at_hand else []
    return total


def _by_deque(chunks: Sequence[bytes], size: int, note: Note) -> int:
    queue: deque[bytes] = deque()
    at = at_hand = total = 0
    for chunk in chunks:
        queue.append(chunk)
        at_hand += len(chunk)
        while at_hand >= size:
            at_hand -= size
            first = queue[0]
            stop = at + size
            if stop <= len(first):
                total += note(first[at:stop])
            else:
                pieces = []
                while stop > len(first):
                    pieces.append(first[at:])
                    stop -= len(first)
                    at = 0
                    queue.popleft()
                    first = queue[0]
                pieces.append(first[:stop])
                total += note(b"".join(pieces))
            at = stop
            if at == len(first):
                queue.popleft()
                at = 0
    return total


_CUTTERS: Final[dict[str, tuple[str, Cutter]]] = {
    "CompositeBuffer": (OURS, _by_composite),
    "tornado _StreamBuffer": (BUFFER, _by_tornado),
    "urllib3 BytesQueueBuffer": (BUFFER, _by_urllib3),
    "h11 ReceiveBuffer": (BUFFER, _by_h11),
    "asyncio StreamReader": (BUFFER, _by_stream_reader),
    "bytearray, del": (LOOP, _by_bytearray),
    "bytearray, offset": (LOOP, _by_bytearray_offset),
    "bytearray, offset and view": (LOOP, _by_bytearray_view),
    "io.BytesIO": (LOOP, _by_bytesio),
    "list, joined": (LOOP, _by_joining),
    "deque of bytes": (LOOP, _by_deque),
}


# -- frames behind their length; a number is read in each ----------------------------------------------------


def _feed_framer(chunks: Sequence[bytes], note: Note) -> int:
    feed = LengthPrefixed(4, limit=2 * MIB).feed
    total = 0
    for chunk in chunks:
        for frame in feed(chunk):
            total += frame.reader().u32() + note(frame)
    return total


def _feed_bytearray(chunks: Sequence[bytes], note: Note) -> int:
    unpack = _U32.unpack_from
    buffer = bytearray()
    total = 0
    for chunk in chunks:
        buffer += chunk
        while len(buffer) >= 4:
            (length,) = unpack(buffer)
            if len(buffer) < 4 + length:
                break
            frame = buffer[4 : 4 + length]
            del buffer[: 4 + length]
            total += unpack(frame)[0] + note(frame)
    return total


def _feed_bytearray_offset(chunks: Sequence[bytes], note: Note) -> int:
    unpack = _U32.unpack_from
    buffer = bytearray()
    at = total = 0
    for chunk in chunks:
        buffer += chunk
        end = len(buffer)
        while end - at >= 4:
            stop = at + 4 + unpack(buffer, at)[0]
            if stop > end:
                break
            frame = buffer[at + 4 : stop]
            at = stop
            total += unpack(frame)[0] + note(frame)
        if at > _RARELY or at == end:
            del buffer[:at]
            at = 0
    return total


def _feed_bytearray_view(chunks: Sequence[bytes], note: Note) -> int:
    unpack = _U32.unpack_from
    buffer = bytearray()
    at = total = 0
    for chunk in chunks:
        buffer += chunk
        end = len(buffer)
        with memoryview(buffer) as view:
            while end - at >= 4:
                stop = at + 4 + unpack(view, at)[0]
                if stop > end:
                    break
                frame = view[at + 4 : stop].tobytes()
                at = stop
                total += unpack(frame)[0] + note(frame)
        if at > _RARELY or at == end:
            del buffer[:at]
            at = 0
    return total


def _feed_joining(chunks: Sequence[bytes], note: Note) -> int:
    unpack = _U32.unpack_from
    pending: list[bytes] = []
    at_hand = total = 0
    wanted = 4
    for chunk in chunks:
        pending.append(chunk)
        at_hand += len(chunk)
        if at_hand < wanted:
            continue
        data = b"".join(pending)
        at = 0
        wanted = 4
        while at_hand - at >= 4:
            stop = at + 4 + unpack(data, at)[0]
            if stop > at_hand:
                wanted = stop - at
                break
            frame = data[at + 4 : stop]
            at = stop
            total += unpack(frame)[0] + note(frame)
        at_hand -= at
        pending = [data[at:]] if at_hand else []
    return total


def _feed_stream_reader(chunks: Sequence[bytes], note: Note) -> int:
    return _finish(_feed_stream(asyncio.StreamReader(loop=_idle_loop()), chunks, note))


async def _feed_stream(reader: asyncio.StreamReader, chunks: Sequence[bytes], note: Note) -> int:
    unpack = _U32.unpack_from
    at_hand = total = length = 0
    for chunk in chunks:
        reader.feed_data(chunk)
        at_hand += len(chunk)
        while True:
            if length == 0:
                if at_hand < 4:
                    break
                length = unpack(await reader.readexactly(4))[0]
                at_hand -= 4
            if at_hand < length:
                break
            frame = await reader.readexactly(length)
            at_hand -= length
            length = 0
            total += unpack(frame)[0] + note(frame)
    return total


_FEEDERS: Final[dict[str, tuple[str, Feeder]]] = {
    "LengthPrefixed.feed": (OURS, _feed_framer),
    "bytearray, del": (BYTEARRAY, _feed_bytearray),
    "bytearray, offset": (BYTEARRAY, _feed_bytearray_offset),
    "bytearray, offset and view": (BYTEARRAY, _feed_bytearray_view),
    "list, joined": (JOINED, _feed_joining),
    "asyncio StreamReader": (REFERENCE, _feed_stream_reader),
}


# -- asyncio's reader without a loop that runs ---------------------------------------------------------------


@cache
def _idle_loop() -> asyncio.AbstractEventLoop:
    """Return a loop for a StreamReader to hold: only waiting would need one, and nothing here waits."""
    loop = asyncio.new_event_loop()
    loop.close()
    return loop


def _finish(work: Coroutine[object, None, int]) -> int:
    """Run a coroutine that never waits, at the cost of a generator."""
    try:
        work.send(None)
    except StopIteration as stop:
        answer: int = stop.value
        return answer
    raise AssertionError("it waited")
