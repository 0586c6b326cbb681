"""Pool: blocks of writable memory to receive into, which come back by themselves.

    open      blocks with room: whoever receives takes a piece of it for himself
    waiting   full ones, shown by somebody or not: looked at when an open one is wanted, the oldest first

Nobody gives a block back. While anything shows it, a slice, a view of one, an array over that, its bytearray has a
reference more than the pool's own; once that is gone nothing can look at the bytes, and they may be others.

Rules, which keep a byte that somebody sees from being written over, whatever runs in between, in whichever thread:

1. To take a block out of a list, and to put it back, is one step each. Between them the block is nobody else's.
2. What an inbox takes of a block is counted as used first, and is the inbox's afterwards: what an exception ends in
   between is lost until the block is lent again.
3. A block is lent again only by whoever has taken it out, and has then found that nothing else refers to its memory.
   Who would get another reference needs one first: what nobody has cannot come back.
4. Whoever fills a block holds its memory: that counts as showing it.
"""

from __future__ import annotations

import sys
from collections import deque
from typing import Final, NoReturn, SupportsIndex, final

from .._core.numbers import COMPILED
from .._core.parts import Memory, shown, size_of

__all__ = ["Pool"]

_LOOKS: Final = 4
"""Waiting blocks that are looked at before another one is made."""

SLIVER: Final = 16
"""What is less than this part of what is taken at a time is not worth a read of its own."""

_TELLS: Final = bool(getattr(sys, "_is_gil_enabled", lambda: True)())
"""Whether the interpreter counts all references to an object in one place. Where it does not, no block comes back."""


@final
class _Block:
    """Memory of the pool's, of which the first ``used`` bytes belong to those who receive."""

    __slots__ = ("memory", "owner", "used")

    def __init__(self, nbytes: int) -> None:
        self.memory = bytearray(nbytes)
        self.owner: Memory | None = None  # what slices show, while there is room; then they alone hold it
        self.used = 0

    @property
    def room(self) -> int:
        """Bytes that nobody has taken."""
        return len(self.memory) - self.used

    def show(self) -> Memory:
        """Return what slices of this block refer to, until it is full."""
        owner = self.owner
        if owner is None:
            owner = self.owner = Memory(self.memory, memoryview(self.memory).toreadonly(), self.memory)
        return owner

    def is_shown(self) -> bool:
        """Whether anything but this block refers to its memory. Slices to come refer to another owner."""
        self.owner = None
        # The other one is asked last: an interpreter that has begun meanwhile to count fewer of its own references
        # would make a free block look shown, and never the other way round.
        return _references(self) > _references(_NOT_SHOWN)


def _references(block: _Block) -> int:
    # What an attribute holds is counted exactly; what a local variable holds is not, from 3.14 on.
    return sys.getrefcount(block.memory)


_NOT_SHOWN: Final = _Block(1)


@final
class Pool:
    """Blocks of writable memory, which an Inbox receives into, and which are lent again once nothing shows them.

    ``block`` is their size in bytes. Of those that are full, up to ``idle`` wait until no slice and no view shows them
    any more; others are let go of, and live as long as what shows them. So a slice that is kept keeps its block, and
    nothing else. Several inboxes may share one pool, and each other's blocks: it belongs to one thread, but slices may
    be dropped in any. Where the interpreter does not tell exactly what is shown (without a global lock), blocks are not
    lent again.

    >>> from bytebufs import Inbox
    >>> pool = Pool(4096)
    >>> inbox = Inbox(pool, limit=1 << 20)
    >>> inbox.room()[:5] = b"hello"
    >>> inbox.filled(5)
    >>> bytes(inbox.buffer), pool.made, pool.lent
    (b'hello', 1, 1)

    Raises ValueError for blocks of no byte, or of more than there is address space.
    """

    __slots__ = ("_block", "_idle", "_made", "_open", "_reused", "_waiting")

    def __init__(self, block: SupportsIndex = 65536, *, idle: SupportsIndex = 64) -> None:
        if not COMPILED and hasattr(self, "_waiting"):
            return  # called a second time, which the compiled build ignores
        self._block = size_of(block)
        if not 0 < self._block <= sys.maxsize:
            raise ValueError(f"a block has at least 1 byte and at most {sys.maxsize}, not {shown(block)}")
        self._idle = size_of(idle)
        self._made = 0
        self._reused = 0
        self._open: list[_Block] = []
        self._waiting: deque[_Block] = deque()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse: two pools would lend the same memory."""
        raise TypeError("a Pool is not copied or pickled: make another one")

    def __repr__(self) -> str:
        """Say how large its blocks are, and how many are out and wait."""
        return f"<Pool: blocks of {self._block} bytes, {self.lent} lent, {self.waiting} waiting>"

    @property
    def block(self) -> int:
        """Bytes of a block."""
        return self._block

    @property
    def lent(self) -> int:
        """Blocks that somebody fills or shows, of those that the pool has not let go of. Complexity: O(blocks)."""
        return sum([block.is_shown() for block in self._known()])

    @property
    def waiting(self) -> int:
        """Blocks that nobody fills or shows: the next ones to be lent. Complexity: O(blocks)."""
        return sum([not block.is_shown() for block in self._known()])

    @property
    def nbytes(self) -> int:
        """Bytes of memory of all blocks that are lent or waiting, but for those that the pool has let go of."""
        return self._block * len(self._known())

    @property
    def made(self) -> int:
        """How many blocks were made, ever."""
        return self._made

    @property
    def reused(self) -> int:
        """How often a block was lent again in place of making another one."""
        return self._reused

    def _known(self) -> list[_Block]:
        return [*self._open, *self._waiting]

    def trim(self) -> int:
        """Let go of every block that nobody shows, and return how many bytes they had. Complexity: O(blocks)."""
        opened = self._open
        waiting = self._waiting
        freed = 0
        kept = []
        while (block := _last_of(opened)) is not None:
            if block.is_shown():
                kept.append(block)
            else:
                freed += self._block
        opened += reversed(kept)
        for _ in range(len(waiting)):
            block = _first_of(waiting)
            if block is not None and block.is_shown():
                waiting.append(block)
            elif block is not None:
                freed += self._block
        return freed

    # -- for an Inbox

    def _goes_on_in(self, memory: bytearray | None) -> bool:
        """Whether it is this block that is lent next."""
        last = self._open[-1:]
        return len(last) > 0 and last[0].memory is memory

    def _take(self) -> _Block:
        """Take out a block that has room. Whoever takes it carves off what he wants, and puts it back."""
        block = _last_of(self._open)
        return self._fresh() if block is None else block

    def _put(self, block: _Block) -> None:
        """Put a block back: others go on behind what is used, and once it is full, it waits."""
        if block.room > self._block // SLIVER:
            self._open.append(block)
            return
        block.owner = None
        waiting = self._waiting
        if len(waiting) >= self._idle:
            if not self._idle:
                return
            _last_of(waiting)  # the one that was given back, or was looked at and shown, last
        waiting.append(block)

    def _give_back(self, memory: bytearray, used: int, stop: int) -> None:
        """Take back the end of a piece, if it was taken of a block last: the bytes from ``used`` up to ``stop``."""
        block = _last_of(self._open)
        if block is not None:
            if block.memory is memory and block.used == stop:
                block.used = used
            self._put(block)

    def _fresh(self) -> _Block:
        """Return a block that nobody shows: one of those that wait, or another one."""
        waiting = self._waiting
        for _ in range(min(_LOOKS, len(waiting)) if _TELLS else 0):
            block = _first_of(waiting)
            if block is None:
                break
            if not block.is_shown():
                self._reused += 1
                block.used = 0
                return block
            waiting.append(block)
        block = _Block(self._block)
        self._made += 1
        return block


def _last_of(blocks: list[_Block] | deque[_Block]) -> _Block | None:
    """Take out the last one; None if there is none, or another thread was quicker."""
    try:
        return blocks.pop() if blocks else None
    except IndexError:
        return None


def _first_of(blocks: deque[_Block]) -> _Block | None:
    try:
        return blocks.popleft() if blocks else None
    except IndexError:
        return None
