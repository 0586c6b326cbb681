"""Four threads that use one composite, framer, outbox, inbox and pool by mistake: a program, since it may crash.

    python -m tests.misused SECONDS [SEED]

They get errors, or wrong answers, which is what they ask for; never a crash, and never an error from inside. Eight
others read one slice meanwhile, which is allowed: they are right; so is all that the four keep of what the inboxes have
received, which nothing writes over. Prints a line for each kind of error that came.
"""

from __future__ import annotations

import faulthandler
import random
import sys
import threading
import time
from array import array
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from bytebufs import (
    COMPILED,
    BrokenSource,
    BytebufsError,
    CompositeBuffer,
    Inbox,
    LengthPrefixed,
    Outbox,
    Part,
    Pool,
    SliceBuffer,
)

from .changes import ACTS, CHANGES, PLAIN, READS, Sink

DOCUMENTED: Final = (BytebufsError, ValueError, RuntimeError)
"""And IndexError, where the caller's own position may lie beyond the end, or where, interpreted, the bytes that are
looked at are gone meanwhile. Nobody gives anything of a wrong type."""

OPS: Final = [op for op in (CHANGES | ACTS).values() if op.name != "flush"]
"""What is done to a composite. (Flushing compares what came with what was there before.)"""

TAKES_A_POSITION: Final = {"insert", "insert_varint", "splice", "cut", "consolidate"}
"""First words of the names of calls whose position may lie beyond the end."""

LOOKS: Final = {*READS, "freeze", "copy"}
"""Names of the calls that change nothing, and therefore wait for nobody: interpreted, what they look at may go."""

MOST: Final = 3000
"""Bytes beyond which a thread makes room."""


class Given:
    """A source of these bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def readinto(self, view: memoryview) -> int:
        size = min(len(view), len(self.data))
        view[:size] = self.data[:size]
        self.data = self.data[size:]
        return size


class Misuse:
    """Five objects that all threads have, what they do to them, and what came of it."""

    def __init__(self, seconds: float, seed: int) -> None:
        self.seed = seed
        self.end = time.monotonic() + seconds
        self.errors: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.calls = 0
        parts: list[Part] = [array("B", b"abcdefg") for _ in range(50)]
        self.composite = CompositeBuffer(parts)
        self.framer = LengthPrefixed(1, limit=300, on_error="skip")
        self.outbox = Outbox()
        self.pool = Pool(128, idle=3)
        self.inbox = Inbox(self.pool, limit=500)
        owners: list[Any] = [b"0123456789" * 5, bytearray(b"abc" * 30), array("B", b"xyz|" * 10)]
        self.shown = b"".join(map(bytes, owners))
        self.slice = CompositeBuffer(owners).freeze()

    def use_composite(self, chance: random.Random) -> None:
        op = chance.choice(OPS)
        if self.composite._size() > MOST:  # len() refuses what is torn
            op = CHANGES["clear"]
        self.guarded(op.name, lambda: op.run(self.composite, PLAIN))

    def use_framer(self, chance: random.Random) -> None:
        part = bytes([chance.randrange(20)]) + chance.randbytes(chance.randrange(20))
        uses: list[Callable[[], object]] = [
            lambda: self.framer.feed(part),
            lambda: list(self.framer.feed(bytearray(part))),
            lambda: next(self.framer.feed(b""), None),
            self.framer.end,
            lambda: self.framer.pending,
        ]
        if self.framer.pending > MOST:
            self.framer = LengthPrefixed(1, limit=300, on_error="skip")
        self.guarded("framer", chance.choice(uses))

    def use_outbox(self, chance: random.Random) -> None:
        uses: list[Callable[[], object]] = [
            lambda: self.outbox.put(b"part", on_sent=lambda: None),
            lambda: self.outbox.put(bytearray(b"another part")),
            lambda: self.outbox.flush(Sink()),
            lambda: self.outbox.pending,
            lambda: self.outbox.close() if chance.randrange(50) == 0 else None,
        ]
        error = self.guarded("outbox", chance.choice(uses))
        if isinstance(error, (BytebufsError, OSError)):
            self.outbox = Outbox()

    def use_inbox(self, chance: random.Random, own: Inbox, kept: list[tuple[bytes, SliceBuffer]]) -> None:
        """Use that of all, and one that is this thread's own, on the pool of all: what that has received is right."""
        data = chance.randbytes(chance.randrange(1, 90))
        uses: list[Callable[[], object]] = [
            lambda: self.inbox.receive(Given(data)),
            self.inbox.room,
            lambda: self.inbox.filled(chance.randrange(1, 5)),
            self.inbox.rest,
            self.inbox.buffer.take_all,
            lambda: (self.pool.lent, self.pool.waiting, self.pool.nbytes, repr(self.pool)),
            self.pool.trim,
        ]
        if isinstance(self.guarded("inbox", chance.choice(uses)), BrokenSource):
            self.inbox = Inbox(self.pool, limit=500)
        given = Given(data)
        while given.data:
            own.receive(given)
        kept.append((data, own.buffer.take_all()))
        own.rest()
        for was, piece in kept:
            if piece != was:
                self.wrong.append(f"what was received has become {bytes(piece)!r}, and was {was!r}")
        if len(kept) > 9:
            del kept[chance.randrange(10)]

    def guarded(self, name: str, use: Callable[[], object]) -> Exception | None:
        self.calls += 1
        try:
            use()
        except Exception as error:  # noqa: BLE001  # whatever it is, it is judged
            has_position = name.split(maxsplit=1)[0] in TAKES_A_POSITION
            is_its_own = has_position and isinstance(error, IndexError) and "list index" not in str(error)
            is_gone = not COMPILED and name in LOOKS and isinstance(error, IndexError)
            if is_its_own or is_gone or isinstance(error, DOCUMENTED):
                self.errors[type(error).__name__] += 1
            else:
                self.wrong.append(f"{name}: {error!r}")
            return error
        return None

    def misuse(self, number: int) -> None:
        chance = random.Random(self.seed * 100 + number)
        own = Inbox(self.pool, limit=500)
        kept: list[tuple[bytes, SliceBuffer]] = []
        uses: list[Callable[[random.Random], None]] = [
            self.use_composite,
            self.use_composite,
            self.use_framer,
            self.use_outbox,
            lambda chance: self.use_inbox(chance, own, kept),
        ]
        while time.monotonic() < self.end:
            chance.choice(uses)(chance)

    def read(self, number: int) -> None:
        chance = random.Random(number)
        shown, whole = self.shown, self.slice
        while time.monotonic() < self.end:
            low = chance.randrange(len(shown))
            high = chance.randint(low, len(shown))
            if not (
                bytes(whole[low:high]) == shown[low:high]
                and whole.find(b"|", low) == shown.find(b"|", low)
                and whole[low] == shown[low]
                and whole == shown
            ):
                self.wrong.append(f"a reader of a slice: {low} to {high}")


def main(seconds: float, seed: int = 0) -> None:
    faulthandler.enable()
    sys.setswitchinterval(1e-6)
    misuse = Misuse(seconds, seed)
    threads = [threading.Thread(target=misuse.misuse, args=(number,)) for number in range(4)]
    threads += [threading.Thread(target=misuse.read, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [f"{often} {kind}" for kind, often in misuse.errors.most_common()]
    lines += [f"WRONG {line}" for line in misuse.wrong[:50]]
    lines.append(f"CALLS {misuse.calls} WRONG {len(misuse.wrong)}")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(float(sys.argv[1]), *map(int, sys.argv[2:]))
