"""Send a message that lies in parts to a socket and to a file.

All start from the parts and leave them as they are; nobody pays for having made the list or the buffer. The Outbox is
given the whole buffer each time, and sends it turn by turn. The file is written over again and again, so that its pages
are there.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache, partial
from itertools import product
from typing import Final

from bytebufs import CompositeBuffer, Outbox, flush
from bytebufs.sending.channels import Sink

from . import _layouts, _sinks
from ._harness import CPU, MIB, OURS, Action, Cell, Contender, Meter, cost_of, size_name

__all__ = ["plan"]

PARTS: Final = (64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10)
TOTALS: Final = (64 << 10, MIB, 64 * MIB)
IOV_MAX: Final = 1024

MOST_CALLS: Final = 1 << 14
"""A call for each part takes seconds beyond these many parts, and everybody knows how it ends."""

COALESCE_BELOW: Final = 2 << 10
"""Between 1 KiB, where joining is the cheaper way, and 4 KiB, where an entry for each part is."""

FLUSH: Final = "flush"
COALESCED: Final = "flush, coalescing"
OUTBOX: Final = "Outbox"
WRITEV: Final = "os.writev"
JOIN: Final = "join and write"
REFERENCE: Final = "reference"


def plan(*, quick: bool) -> list[Callable[[], Cell]]:
    """Return the cells, to be made when their turn comes."""
    totals = TOTALS[:1] if quick else TOTALS
    return [partial(_cell, sink, part, total) for sink, total, part in product(SINKS, totals, PARTS)]


def _cell(sink: str, part: int, total: int) -> Cell:
    parts, buffer = _message(part, total)
    contenders = SINKS[sink](parts, buffer)
    return Cell(
        "flush",
        {"sink": sink, "total": size_name(total), "part": size_name(part)},
        "part",
        len(parts),
        contenders,
        [
            cost_of(FLUSH, WRITEV, 1.05 if part >= 4096 else 2),
            cost_of(COALESCED, JOIN, 1.05),
            cost_of(OUTBOX, FLUSH, 1.05),
        ],
        patience=_sinks.PATIENCE if sink == "socket" else 1,
    )


@lru_cache(maxsize=1)
def _message(part: int, total: int) -> tuple[list[bytes], CompositeBuffer]:
    parts = _layouts.split(os.urandom(total), part)
    return parts, CompositeBuffer(parts)


def _to_socket(parts: list[bytes], buffer: CompositeBuffer) -> list[Contender]:
    sink = _sinks.connection(_sinks.receivers()[0])
    outbox = Outbox()
    batches = _batched(parts)
    contenders: dict[str, tuple[str, Action]] = {
        FLUSH: (OURS, lambda: flush(buffer, sink)),
        COALESCED: (OURS, lambda: flush(buffer, sink, coalesce_below=COALESCE_BELOW)),
        OUTBOX: (OURS, _through(outbox, buffer, sink)),
        WRITEV: ("rival", lambda: _writev(sink.fileno(), batches)),
        JOIN: ("rival", lambda: _sendall(sink.sendall, b"".join(parts))),
    }
    if len(parts) <= MOST_CALLS:
        contenders["sendall each"] = (REFERENCE, lambda: sum([_sendall(sink.sendall, part) for part in parts]))
    return _made(contenders, _sinks.processor_time_apart)


def _through(outbox: Outbox, buffer: CompositeBuffer, sink: Sink) -> Callable[[], int]:
    def send() -> int:
        outbox.put(buffer)
        total = outbox.flush(sink)
        while outbox.pending:
            total += outbox.flush(sink)
        return total

    return send


def _sendall(sendall: Callable[[bytes], None], data: bytes) -> int:
    sendall(data)
    return len(data)


def _to_file(parts: list[bytes], buffer: CompositeBuffer) -> list[Contender]:
    fd = _sinks.scratch_file()
    outbox = Outbox()
    batches = _batched(parts)

    def again(send: Callable[[], int]) -> Callable[[], int]:
        def action() -> int:
            os.lseek(fd, 0, os.SEEK_SET)
            return send()

        return action

    contenders: dict[str, tuple[str, Action]] = {
        FLUSH: (OURS, again(lambda: flush(buffer, fd))),
        COALESCED: (OURS, again(lambda: flush(buffer, fd, coalesce_below=COALESCE_BELOW))),
        OUTBOX: (OURS, again(_through(outbox, buffer, fd))),
        WRITEV: ("rival", again(lambda: _writev(fd, batches))),
        JOIN: ("rival", again(lambda: _write(fd, b"".join(parts)))),
    }
    if len(parts) <= MOST_CALLS:
        contenders["write each"] = (REFERENCE, again(lambda: sum([_write(fd, part) for part in parts])))
    return _made(contenders)


def _made(actions: dict[str, tuple[str, Action]], meter: Meter = CPU) -> list[Contender]:
    return [Contender(name, group, partial(_the, action), meter) for name, (group, action) in actions.items()]


def _the(action: Action) -> Action:
    return action


def _batched(parts: list[bytes]) -> list[tuple[list[bytes], int]]:
    """Return the parts in batches for ``writev``, with the length of each batch: the rival knows them beforehand."""
    batches = [parts[at : at + IOV_MAX] for at in range(0, len(parts), IOV_MAX)]
    return [(batch, sum(map(len, batch))) for batch in batches]


def _writev(fd: int, batches: list[tuple[list[bytes], int]]) -> int:
    """Send all batches; a call may take less than it was offered."""
    total = 0
    for batch, offered in batches:
        taken = os.writev(fd, batch)
        total += taken
        if taken < offered:
            total += _write(fd, memoryview(b"".join(batch))[taken:])  # rare: the descriptor blocks
    return total


def _write(fd: int, data: bytes | memoryview) -> int:
    taken = os.write(fd, data)
    total = taken
    while total < len(data):
        total += os.write(fd, memoryview(data)[total:])
    return total


SINKS: Final[dict[str, Callable[[list[bytes], CompositeBuffer], list[Contender]]]] = {
    "socket": _to_socket,
    "file": _to_file,
}
