"""How much memory it takes to put a large message together and to send it.

Each contender runs in a process of its own, ``python -m benchmarks.memory NAME NBYTES``, which prints, for each task,
the peak of its resident memory (VmHWM in /proc/self/status) less what it had before. Linux only.
"""

from __future__ import annotations

import gc
import io
import os
import subprocess
import sys
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from tornado.iostream import _StreamBuffer

from bytebufs import CompositeBuffer, flush

from . import _sinks
from ._harness import MIB, OURS, TOLD, Cell, Contender, Goal, Sample, size_name

__all__ = ["main", "plan"]

CHUNK: Final = 64 << 10
IOV_MAX: Final = 1024

WHOLE: Final = "reassemble and flush"
FLUSH: Final = "flush alone"
TASKS: Final = (WHOLE, FLUSH)

Assemble: TypeAlias = Callable[[Iterator[bytes]], Callable[[], None]]
"""Takes the chunks in, and returns what sends them all."""


def plan(*, quick: bool) -> list[Callable[[], Cell]]:
    """Return the cells, to be made when their turn comes."""
    nbytes = 4 * MIB if quick else 1024 * MIB
    return [
        partial(_cell, WHOLE, nbytes, _share_goal(nbytes)),
        partial(_cell, FLUSH, nbytes, Goal("bytes", "at most", 256 << 10, _amount, unit="bytes")),
    ]


def _cell(task: str, nbytes: int, goal: Goal) -> Cell:
    contenders = [
        Contender(name, group, partial(partial, _in_child, task, name, nbytes), TOLD)
        for name, (group, _) in ASSEMBLERS.items()
    ]
    return Cell("memory", {"task": task, "payload": size_name(nbytes)}, "run", 1, contenders, [goal], unit="bytes")


def _share_goal(nbytes: int) -> Goal:
    def share(samples: Mapping[str, Sample]) -> tuple[float, str]:
        return _amount(samples)[0] / nbytes, "payload"

    return Goal("peak against the payload", "at most", 1.02, share)


def _amount(samples: Mapping[str, Sample]) -> tuple[float, str]:
    return samples["CompositeBuffer"].median, "bytes"


_TOLD: Final[defaultdict[tuple[str, str, int], deque[int]]] = defaultdict(deque)
"""What children have told of the task that they were not asked about, until somebody asks."""


def _in_child(task: str, name: str, nbytes: int) -> int:
    told = _TOLD[task, name, nbytes]
    if not told:
        command = [sys.executable, "-m", "benchmarks.memory", name, str(nbytes)]
        run = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).resolve().parent.parent
        )
        for key, peak in zip(TASKS, run.stdout.split(), strict=True):
            _TOLD[key, name, nbytes].append(int(peak))
    return told.popleft()


# -- in the child --------------------------------------------------------------------------------------------


def main(arguments: list[str]) -> None:
    """Put a message together and send it with one contender, and print how far memory rose by all, and by sending."""
    name, nbytes = arguments
    _, assemble = ASSEMBLERS[name]
    _sinks.connection(_sinks.LOOPBACK)
    gc.collect()
    before = _restart_peak()
    send = assemble(_chunks(int(nbytes)))
    assembled = _status("VmHWM")
    kept = _restart_peak()
    send()
    sent = _status("VmHWM")
    print(max(assembled, sent) - before, max(0, sent - kept))


def _chunks(nbytes: int) -> Iterator[bytes]:
    """Yield what came in, each piece as new bytes that a system call filled."""
    source = os.open("/dev/zero", os.O_RDONLY)
    for _ in range(nbytes // CHUNK):
        yield os.read(source, CHUNK)
    os.close(source)


def _restart_peak() -> int:
    """Forget the peak so far (proc(5), clear_refs) and return what is resident now."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0]) << 10
    raise LookupError(key)


def _with_composite(chunks: Iterator[bytes]) -> Callable[[], None]:
    buffer = CompositeBuffer()
    for chunk in chunks:
        buffer.append(chunk)
    return lambda: _done(flush(buffer, _sinks.connection(_sinks.LOOPBACK)))


def _done(_: object) -> None:
    """Drop what a call returns."""


def _with_writev(chunks: Iterator[bytes]) -> Callable[[], None]:
    parts = list(chunks)

    def send() -> None:
        fd = _sinks.connection(_sinks.LOOPBACK).fileno()
        for at in range(0, len(parts), IOV_MAX):
            batch = parts[at : at + IOV_MAX]
            assert os.writev(fd, batch) == sum(map(len, batch))  # the descriptor blocks

    return send


def _with_join(chunks: Iterator[bytes]) -> Callable[[], None]:
    parts = list(chunks)

    def send() -> None:
        message = b"".join(parts)
        parts.clear()
        _sinks.connection(_sinks.LOOPBACK).sendall(message)

    return send


def _with_bytearray(chunks: Iterator[bytes]) -> Callable[[], None]:
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
    return lambda: _sinks.connection(_sinks.LOOPBACK).sendall(buffer)


def _with_bytesio(chunks: Iterator[bytes]) -> Callable[[], None]:
    buffer = io.BytesIO()
    for chunk in chunks:
        buffer.write(chunk)

    def send() -> None:
        with buffer.getbuffer() as view:
            _sinks.connection(_sinks.LOOPBACK).sendall(view)

    return send


def _with_tornado(chunks: Iterator[bytes]) -> Callable[[], None]:
    buffer = _StreamBuffer()
    for chunk in chunks:
        buffer.append(chunk)

    def send() -> None:
        sink = _sinks.connection(_sinks.LOOPBACK)
        while len(buffer):
            with buffer.peek(128 << 10) as view:  # as much as tornado offers at a time
                taken = sink.send(view)
            buffer.advance(taken)

    return send


ASSEMBLERS: Final[dict[str, tuple[str, Assemble]]] = {
    "CompositeBuffer": (OURS, _with_composite),
    "list and os.writev": ("rival", _with_writev),
    "list, joined": ("rival", _with_join),
    "bytearray": ("rival", _with_bytearray),
    "io.BytesIO": ("rival", _with_bytesio),
    "tornado _StreamBuffer": ("rival", _with_tornado),
}

if __name__ == "__main__":
    main(sys.argv[1:])
