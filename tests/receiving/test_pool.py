"""The pool: which blocks come back, when, and that none does that somebody can still see."""

from __future__ import annotations

import copy
import gc
import importlib.util
import pickle
import sys
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final

import numpy as np
import pytest

from bytebufs import COMPILED, BufferFile, CompositeBuffer, Inbox, Outbox, Pool, SliceBuffer
from bytebufs._core.parts import Memory
from bytebufs.receiving import pool as module
from bytebufs.receiving.pool import _Block

BLOCK: Final = 4096


def received(inbox: Inbox, data: bytes) -> SliceBuffer:
    """Receive this by hand, and take it."""
    fill(inbox, data)
    return inbox.buffer.take_all()


def fill(inbox: Inbox, data: bytes) -> None:
    while data:
        room = inbox.room()
        size = min(len(room), len(data))
        room[:size] = data[:size]
        inbox.filled(size)
        data = data[size:]


def whole_block(inbox: Inbox) -> SliceBuffer:
    """Receive as much as a block holds, beginning with a new one."""
    return received(inbox, b"x" * inbox._pool.block)


# -- what shows a block --------------------------------------------------------------------------------------


def _buffers_of(taken: SliceBuffer) -> list[pickle.PickleBuffer]:
    buffers: list[pickle.PickleBuffer] = []
    pickle.dumps(taken, protocol=5, buffer_callback=buffers.append)
    assert buffers
    return buffers


def _put(taken: SliceBuffer) -> Outbox:
    outbox = Outbox()
    outbox.put(taken)
    return outbox


def _in_a_cycle(taken: SliceBuffer) -> None:
    """Leave it to the collector."""
    ring: list[object] = [taken]
    ring.append(ring)


HOLDERS: Final[dict[str, Callable[[SliceBuffer], Any]]] = {
    "slice": lambda taken: taken,
    "slice of a slice": lambda taken: taken[5:9],
    "byte": lambda taken: taken[BLOCK - 1 :],
    "composite": lambda taken: CompositeBuffer([b"before", taken[3:5], b"behind"]),
    "copy of a composite": lambda taken: copy.copy(CompositeBuffer([taken])),
    "view": lambda taken: taken.view(),
    "view of a view": lambda taken: memoryview(taken.view()[7:9]),
    "cast view": lambda taken: taken.view()[:8].cast("I"),
    "views": lambda taken: taken.views(),
    "contiguous": lambda taken: taken.contiguous(),
    "object below a view": lambda taken: taken.view().obj,
    "array": lambda taken: np.frombuffer(taken.view(), np.uint8),
    "part of an array": lambda taken: np.frombuffer(taken.view(), np.uint8)[1::2],
    "reader": lambda taken: taken.reader(),
    "iterator": iter,
    "pieces": lambda taken: taken.split(b"y"),
    "file": BufferFile,
    "pickle": _buffers_of,
    "outbox": _put,
    "method": lambda taken: taken.find,
    "cycle": _in_a_cycle,
}


@pytest.mark.parametrize("kind", HOLDERS)
def test_a_block_comes_back_once_nothing_shows_it(kind: str) -> None:
    gc.collect()
    gc.disable()
    try:
        pool = Pool(BLOCK)
        inbox = Inbox(pool, limit=1 << 20)
        held = [HOLDERS[kind](whole_block(inbox))]
        fill(inbox, b"of another block")
        assert (pool.made, pool.lent, pool.waiting) == (2, 2, 0)
        kept = [whole_block(inbox)]
        assert (pool.made, pool.reused) == (3, 0)
        held.clear()
        if kind == "cycle":
            assert pool.waiting == 0
            gc.collect()
        assert pool.waiting == 1
        kept.append(whole_block(inbox))
        assert (pool.made, pool.reused) == (3, 1)
    finally:
        gc.enable()


def test_who_receives_shows_its_block() -> None:
    pool = Pool(16 * BLOCK)
    inbox = Inbox(pool)
    other = Inbox(pool)
    inbox.room()
    fill(other, b"other")
    assert (pool.made, pool.lent, pool.waiting) == (1, 1, 0)
    other.buffer.clear()
    del other
    assert pool.lent == 1
    del inbox
    assert (pool.lent, pool.waiting) == (0, 1)


def test_a_room_that_is_kept_keeps_its_block() -> None:
    pool = Pool(BLOCK)
    inbox = Inbox(pool)
    room = inbox.room()
    made_of_it = room[5:9]
    del inbox, room
    assert pool.lent == 1
    del made_of_it
    assert pool.lent == 0


def test_the_count_of_references_is_the_same_however_often_it_was_asked_for() -> None:
    """An interpreter that rewrites what runs often counts its own references as before, or the block stays shown."""
    pool = Pool(BLOCK)
    inbox = Inbox(pool, limit=1 << 20)
    kept = whole_block(inbox)
    fill(inbox, b"of another block")
    for _ in range(20_000):
        assert pool.waiting == 0
    del kept
    for _ in range(20_000):
        assert pool.waiting == 1


def test_slices_may_be_dropped_by_another_thread() -> None:
    pool = Pool(BLOCK, idle=8)
    inbox = Inbox(pool, limit=1 << 20)
    taken: SimpleQueue[tuple[bytes, SliceBuffer] | None] = SimpleQueue()
    wrong = []
    may_go_on = threading.Semaphore(6)

    def drop() -> None:
        while (given := taken.get(timeout=60)) is not None:
            if given[1] != given[0]:
                wrong.append(given[0])
            del given
            may_go_on.release()

    thread = threading.Thread(target=drop)
    thread.start()
    for number in range(2_000):
        assert may_go_on.acquire(timeout=60)
        data = bytes([number % 251]) * 1500
        taken.put((data, received(inbox, data)))
    taken.put(None)
    thread.join(60)
    assert not thread.is_alive()
    assert not wrong
    assert pool.made < 16
    assert pool.reused > 600


def test_a_pool_that_threads_use_by_mistake_gives_no_byte_twice() -> None:
    """Each has an inbox of its own; what they show stays as it is, whatever the others do."""
    pool = Pool(256, idle=4)
    wrong: list[str] = []
    before = sys.getswitchinterval()

    def use(number: int) -> None:
        inbox = Inbox(pool, limit=1 << 20)
        kept: deque[tuple[bytes, SliceBuffer]] = deque()
        try:
            for turn in range(1500):
                data = bytes([number * 40 + turn % 40]) * (1 + (turn * 7 + number) % 90)
                kept.append((data, received(inbox, data)))
                if turn % 3 == 0:
                    inbox.rest()
                if turn % 50 == 0:
                    pool.lent, pool.waiting, pool.trim(), repr(pool)
                if len(kept) > 5 + number:
                    data, piece = kept.popleft()
                    if piece != data:
                        wrong.append(f"{data!r} became {bytes(piece)!r}")
        except Exception as error:  # noqa: BLE001  # whatever it is, it is told
            wrong.append(repr(error))

    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=use, args=(number,)) for number in range(4)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
    finally:
        sys.setswitchinterval(before)
    assert not any(thread.is_alive() for thread in threads)
    assert not wrong
    assert pool.reused > 0


def test_where_another_thread_was_quicker_another_block_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    class Emptied(deque[_Block]):
        """Has something to give until it is asked for it."""

        def __bool__(self) -> bool:
            return True

        def __len__(self) -> int:
            return 1

    assert module._last_of(Emptied()) is None
    assert module._first_of(Emptied()) is None
    if not COMPILED:
        pool = Pool(BLOCK)
        pool._waiting = Emptied()
        assert isinstance(pool._take(), _Block)
        assert pool.made == 1
        monkeypatch.setattr(module, "_LOOKS", 1)
        assert isinstance(pool._fresh(), _Block)
        assert pool.trim() == 0


# -- which blocks wait ---------------------------------------------------------------------------------------


def test_full_blocks_wait_and_the_oldest_is_looked_at_first() -> None:
    pool = Pool(BLOCK)
    inbox = Inbox(pool, limit=1 << 20)
    kept = [whole_block(inbox) for _ in range(3)]
    assert pool.made == 3
    kept[0] = kept[1] = whole_block(inbox)  # two are free once it has been received
    assert (pool.made, pool.waiting) == (4, 2)
    first = whole_block(inbox)
    assert (pool.made, pool.reused) == (4, 1)
    assert first == b"x" * BLOCK


def test_beyond_idle_blocks_are_let_go_of() -> None:
    pool = Pool(BLOCK, idle=2)
    inbox = Inbox(pool, limit=1 << 20)
    kept = [whole_block(inbox) for _ in range(5)]
    assert pool.nbytes <= 3 * BLOCK
    assert pool.made == 5
    assert [piece.pinned_nbytes for piece in kept] == [BLOCK] * 5
    assert [bytes(piece) for piece in kept] == [b"x" * BLOCK] * 5


def test_a_pool_of_no_idle_block_keeps_none() -> None:
    pool = Pool(BLOCK, idle=0)
    inbox = Inbox(pool, limit=1 << 20)
    for _ in range(4):
        whole_block(inbox)
    inbox.buffer.clear()
    assert (pool.nbytes, pool.reused, pool.made) == (0, 0, 4)


def test_blocks_that_stay_shown_are_let_go_of_before_others() -> None:
    """A few of many blocks are kept for ever: the others go round all the same."""
    pool = Pool(BLOCK, idle=8)
    inbox = Inbox(pool, limit=1 << 20)
    kept = []
    for number in range(400):
        piece = whole_block(inbox)
        if number % 10 == 0:
            kept.append(piece)
    assert len(kept) == 40
    assert pool.made <= 40 + 12
    assert pool.reused >= 400 - 40 - 12
    assert pool.nbytes <= 9 * BLOCK


def test_where_the_interpreter_does_not_tell_no_block_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    if COMPILED:
        pytest.skip("a constant, in compiled code")
    monkeypatch.setattr(module, "_TELLS", False)
    pool = Pool(BLOCK, idle=4)
    inbox = Inbox(pool, limit=1 << 20)
    for _ in range(20):
        whole_block(inbox)
    assert (pool.made, pool.reused) == (20, 0)
    assert pool.nbytes <= 4 * BLOCK


def test_it_is_asked_whether_the_interpreter_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    if COMPILED:
        pytest.skip("asked when it was compiled code that was loaded")
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    spec = importlib.util.find_spec("bytebufs.receiving.pool")
    assert spec is not None
    assert spec.loader is not None
    another = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(another)
    assert another._TELLS is False


def test_trim_lets_go_of_what_nobody_shows() -> None:
    size = 16 * BLOCK
    pool = Pool(size)
    inbox = Inbox(pool, limit=1 << 20)
    kept = [whole_block(inbox) for _ in range(4)]
    other = Inbox(pool)
    fill(other, b"something")
    del kept[1:3]
    assert (pool.nbytes, pool.waiting) == (5 * size, 2)
    assert pool.trim() == 2 * size
    assert (pool.nbytes, pool.lent, pool.waiting) == (3 * size, 3, 0)
    assert pool.trim() == 0
    other.buffer.clear()
    other.rest()
    assert pool.trim() == size
    kept.clear()
    assert pool.trim() == size
    assert pool.nbytes == size
    inbox.rest()
    assert pool.trim() == size
    assert pool.nbytes == 0
    assert received(inbox, b"and on") == b"and on"


def test_after_trim_the_order_is_as_before() -> None:
    pool = Pool(16 * BLOCK)
    inbox = Inbox(pool, limit=1 << 20)
    kept = [whole_block(inbox) for _ in range(3)]
    places = [piece.view().obj for piece in kept]
    other = Inbox(pool)
    fill(other, b"a piece of an open block")
    assert pool.trim() == 0
    assert [block.memory is place for block, place in zip(pool._waiting, places, strict=True)] == [True] * 3
    assert len(pool._open) == 1


# -- facts ---------------------------------------------------------------------------------------------------


def test_it_says_what_it_has() -> None:
    pool = Pool(1000, idle=3)
    assert (pool.block, pool.lent, pool.waiting, pool.nbytes, pool.made, pool.reused) == (1000, 0, 0, 0, 0, 0)
    inbox = Inbox(pool)
    fill(inbox, b"abc")
    assert (pool.lent, pool.waiting, pool.nbytes, pool.made) == (1, 0, 1000, 1)
    assert repr(pool) == "<Pool: blocks of 1000 bytes, 1 lent, 0 waiting>"


def test_to_ask_changes_nothing() -> None:
    pool = Pool(BLOCK)
    inbox = Inbox(pool, limit=1 << 20)
    for _ in range(50):
        fill(inbox, b"ab")
        assert (pool.lent, pool.waiting) == (1, 0)
    assert inbox.buffer.part_count == 1
    assert inbox.buffer.pinned_nbytes == BLOCK


@pytest.mark.parametrize("block", [0, 1 << 70])
def test_a_block_has_bytes_and_not_too_many(block: int) -> None:
    with pytest.raises(ValueError, match=f"a block has at least 1 byte and at most {sys.maxsize}, not "):
        Pool(block)


def test_numbers_are_numbers() -> None:
    numbers: Any = np
    assert Pool(numbers.int64(5), idle=numbers.int8(2)).block == 5
    with pytest.raises(ValueError, match="not negative: -1"):
        Pool(-1)
    with pytest.raises(ValueError, match="not negative: -2"):
        Pool(5, idle=-2)
    with pytest.raises(TypeError):
        Pool(1.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Pool(5, 6)  # type: ignore[call-arg]


@pytest.mark.parametrize("block", [1, 2, 3, 15, 16, 17, 33, 100])
def test_blocks_may_be_small(block: int) -> None:
    pool = Pool(block, idle=2)
    one, other = Inbox(pool), Inbox(pool)
    data = bytes(range(256))
    for at in range(0, 256, 8):
        fill(one, data[at : at + 8])
        fill(other, data[at : at + 8])
    assert one.buffer == other.buffer == data
    assert one.room().nbytes == one.room().nbytes


def test_a_pool_is_not_copied() -> None:
    pool = Pool()
    for make in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="a Pool is not copied or pickled: make another one"):
            make(pool)


def test_a_second_init_does_nothing() -> None:
    pool = Pool(BLOCK)
    inbox = Inbox(pool)
    fill(inbox, b"abc")
    pool.__init__(99)
    assert (pool.block, pool.made, pool.lent) == (BLOCK, 1, 1)


def test_a_block_that_is_looked_at_is_shown_by_another_owner() -> None:
    block = _Block(9)
    owner = block.show()
    assert block.show() is owner
    assert isinstance(owner, Memory)
    assert owner.view.readonly
    assert block.is_shown()
    assert block.show() is not owner
    del owner
    assert not block.is_shown()
    assert block.room == 9


def test_what_is_given_back_is_lent_at_once_and_only_what_was_taken_last() -> None:
    pool = Pool(4 * BLOCK)
    one, other = Inbox(pool), Inbox(pool)
    kept = [received(one, b"one")]
    one.rest()
    kept.append(received(other, b"other"))
    addresses = [np.frombuffer(piece.view(), np.uint8).ctypes.data for piece in kept]
    assert addresses[1] - addresses[0] == 3
    kept.append(received(one, b"one"))  # behind what the other one has taken
    other.rest()
    kept.append(received(other, b"behind that of one"))
    last = np.frombuffer(kept[3].view(), np.uint8).ctypes.data
    assert last - addresses[0] == 3 + BLOCK + BLOCK
    assert [bytes(piece) for piece in kept] == [b"one", b"other", b"one", b"behind that of one"]
