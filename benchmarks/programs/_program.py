"""What a program has to do, and how it is measured."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Final, TypeAlias

from .. import _layouts
from .._harness import OURS, Action, Cell, Contender, by_build, cost_of

__all__ = ["SMALL", "Answer", "Hands", "Program", "Values", "cell", "tasks_of"]

Values: TypeAlias = "tuple[Any, ...]"
"""What a message says, all of it str or int."""

Answer: TypeAlias = Callable[[Sequence[bytes], socket.socket], Iterator[int]]
"""Reads requests out of chunks, and tells for each chunk how many bytes were sent."""

CHUNK: Final = 16 << 10
SMALL: Final = 2048
"""Parts with fewer bytes on the average go as one piece, as the documentation says for small messages."""

BY_HAND: Final = "bytearray and struct"
LIBRARY: Final = "bytebufs"

DECODE: Final = "decode, 16 KiB a chunk"
DECODE_ALONE: Final = "decode, a message a chunk"
SEND: Final = "encode and send, each alone"
ANSWER: Final = "answer, 16 KiB a chunk"
ANSWER_ALONE: Final = "answer, a message a chunk"

_BOUNDS: Final = {DECODE: 0.9, DECODE_ALONE: 0.9, SEND: 1, ANSWER: 0.9, ANSWER_ALONE: 1}


@dataclass(frozen=True)
class Hands:
    """One of the two ways in which a program is written.

    ``decode`` returns what the messages in some chunks say. ``send`` makes a message and sends it. ``answer`` reads the
    requests in some chunks, and sends all answers to a chunk at once. The last two tell how many bytes went.
    """

    decode: Callable[[Sequence[bytes]], list[Values]]
    send: Callable[[Values, socket.socket], int]
    answer: Answer | None = None


@dataclass(frozen=True)
class Program:
    """A protocol, and both ways to speak it: ``coming`` is what is decoded, ``requests`` what is answered."""

    name: str
    coming: Callable[[int], list[bytes]]
    requests: Callable[[int], list[bytes]]
    sent: Callable[[int], list[Values]]
    ours: Hands
    by_hand: Hands


def tasks_of(program: Program) -> list[str]:
    """Return what a program does."""
    return [task for task in _BOUNDS if program.ours.answer or task not in (ANSWER, ANSWER_ALONE)]


def cell(program: Program, task: str, count: int) -> Cell:
    """Return the cell in which a program does a task for so many messages."""
    ours, theirs = (_action(program, hands, task, count) for hands in (program.ours, program.by_hand))
    return Cell(
        "program",
        {"program": program.name, "task": task},
        "message",
        count,
        [Contender(LIBRARY, OURS, lambda: ours), Contender(BY_HAND, "rival", lambda: theirs)],
        [cost_of(LIBRARY, BY_HAND, by_build(compiled=_BOUNDS[task], pure=None))],
        check=partial(_check, program, task, count),
    )


def _action(program: Program, hands: Hands, task: str, count: int) -> Action:
    """Return what does a task; its answer is all that was decoded, or how many bytes went."""
    if task == SEND:
        return partial(_send_each, hands.send, program.sent(count))
    messages = program.coming(count) if task in (DECODE, DECODE_ALONE) else program.requests(count)
    chunks = messages if task in (DECODE_ALONE, ANSWER_ALONE) else _layouts.split(b"".join(messages), CHUNK)
    if task in (DECODE, DECODE_ALONE):
        return partial(hands.decode, chunks)
    assert hands.answer is not None
    return partial(_answer_each, hands.answer, chunks)


def _check(program: Program, task: str, count: int) -> None:
    """Assert that both do the same, to the byte."""
    done = []
    for hands in (program.ours, program.by_hand):
        with _wire().kept() as sent:
            done.append((_action(program, hands, task, count)(), bytes(sent)))
    assert done[0] == done[1], f"{program.name}, {task}: {str(done[0])[:200]} is not {str(done[1])[:200]}"
    assert task not in (SEND, ANSWER, ANSWER_ALONE) or done[0][1]


# -- the other end -------------------------------------------------------------------------------------------

_AT_ONCE: Final = 32
"""What is sent before the other end reads; a socket has room for a multiple."""


class _Wire:
    """Two sockets, the far one read by ourselves: no other process, and no waiting for one, is measured."""

    def __init__(self) -> None:
        self.near, self._far = socket.socketpair()
        for end, option in ((self.near, socket.SO_SNDBUF), (self._far, socket.SO_RCVBUF)):
            end.setsockopt(socket.SOL_SOCKET, option, 1 << 20)
        self._memory = memoryview(bytearray(1 << 20))
        self._sent: bytearray | None = None

    def drain(self, nbytes: int) -> None:
        """Read what was sent."""
        while nbytes:
            came = self._far.recv_into(self._memory)
            if self._sent is not None:
                self._sent += self._memory[:came]
            nbytes -= came

    @contextmanager
    def kept(self) -> Iterator[bytearray]:
        """Keep what is sent while somebody looks."""
        self._sent = sent = bytearray()
        try:
            yield sent
        finally:
            self._sent = None


@cache
def _wire() -> _Wire:
    return _Wire()


def _send_each(send: Callable[[Values, socket.socket], int], messages: Sequence[Values]) -> int:
    near = _wire().near
    return _drained(send(message, near) for message in messages)


def _answer_each(answer: Answer, chunks: Sequence[bytes]) -> int:
    return _drained(answer(chunks, _wire().near))


def _drained(sendings: Iterable[int]) -> int:
    """Have things sent, and read what went at the other end, not each time."""
    drain = _wire().drain
    total = pending = times = 0
    for went in sendings:
        pending += went
        times += 1
        if pending > CHUNK or times == _AT_ONCE:
            drain(pending)
            total += pending
            pending = times = 0
    drain(pending)
    return total + pending
