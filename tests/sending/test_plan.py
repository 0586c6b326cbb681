"""The plan of a flush: which bytes come next, whatever a sink has taken of those before."""

from __future__ import annotations

import contextvars
import random
import weakref
from collections.abc import Callable, Sequence
from itertools import cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytebufs import COMPILED, BaseBuffer, CompositeBuffer, Part, SliceBuffer, copy_audit, no_copy
from bytebufs._core.parts import LazyOwner, Memory, Run
from bytebufs.errors import CopyForbidden
from bytebufs.sending import plan as planning
from bytebufs.sending.plan import CALL_MAX, IOV_MAX, VIEWS_MAX, Piece, Plan, assert_whole
from bytebufs.slice_buffer import cut

from ..conftest import IS_QUICK
from ..disturbed import at_each_step
from ..layouts import FakeFile
from ..memory import peak_while

interpreted = pytest.mark.skipif(COMPILED, reason="no handler runs inside compiled code")


def in_one_batch(buffer: BaseBuffer, coalesce_below: int) -> list[planning.Piece]:
    """Return what is offered of all of a buffer at once."""
    return planning.in_one_batch(buffer, coalesce_below, buffer._size())


def state_of(buffer: BaseBuffer) -> tuple[int, int]:
    """Return what a plan that goes on wants to know of its buffer."""
    return buffer._start, buffer._edit_count()


BLOCK = 1 << 16
WHOLE = 1 << 20


class File(LazyOwner):
    """A range of a file that nobody may look at: a plan only says that it comes next."""

    def __init__(self, data: bytes, fd: int = 3) -> None:
        super().__init__(len(data), fd=fd)
        self.data = data

    def _look(self) -> Memory:
        assert self._fd < 0, "a plan has looked at a file"
        return Memory(self.data, memoryview(self.data), self.data)


def shown(file: Run) -> bytes:
    assert isinstance(file.owner, File)
    return file.owner.data[file.start : file.stop]


KINDS: dict[str, Callable[[bytes], Part]] = {
    "bytes": lambda data: data,
    "clipped": lambda data: SliceBuffer(b"<" + data + b">", 1, 1 + len(data)),
    "bytearray": bytearray,
    "file": lambda data: SliceBuffer(File(b"<" + data + b">"), 1, 1 + len(data)),
    "looked at": lambda data: File(data, fd=-1),
}
"""A part that shows some data, by its kind."""


def lay_out(sizes: Sequence[int], kinds: Sequence[str] = ("bytes",)) -> tuple[CompositeBuffer, bytes]:
    """A message in parts of these sizes, of these kinds in turn, and its bytes."""
    message = random.Random(1).randbytes(sum(sizes))
    buffer = CompositeBuffer()
    at = 0
    for size, kind in zip(sizes, cycle(kinds), strict=False):
        buffer.append(KINDS[kind](message[at : at + size]))
        at += size
    return buffer, message


def offer(plan: Plan, message: bytes, iov_max: int, call_max: int) -> int:
    """Check what a plan offers: the next bytes without gaps, within the limits. Return how many."""
    batch = plan.gather()
    offered = b"".join(batch)
    ahead = message[plan.position :]
    assert plan.left == len(ahead)
    assert ahead.startswith(offered)  # defects.md O4, O5
    assert len(batch) <= iov_max
    assert all(len(piece) for piece in batch)
    assert len(offered) <= call_max
    if plan.file is not None:
        coming = shown(plan.file)
        assert coming
        assert ahead[len(offered) :].startswith(coming)
    file = plan.file
    assert list(map(bytes, plan.gather())) == list(map(bytes, batch)), "peeking moved it"
    assert (plan.file and shown(plan.file)) == (file and shown(file))
    if batch or plan.file is None:
        return len(offered)
    return len(plan.file)


def guarded(size: int, asked: list[int]) -> SliceBuffer:
    """Memory that notes how far somebody asks whether its file is whole."""
    data = bytes(size)
    return cut(Memory(data, memoryview(data), data, asked.append), 0, size)


sizes = st.lists(st.integers(0, 12), max_size=30)


@given(
    sizes=sizes,
    kinds=st.lists(st.sampled_from(list(KINDS)), min_size=1, max_size=4),
    iov_max=st.integers(1, 5),
    call_max=st.integers(1, 25),
    below=st.sampled_from([0, 0, 1, 3, 8, 100]),
    data=st.data(),
)
def test_a_plan_is_a_gapless_prefix_whatever_is_taken(
    sizes: list[int], kinds: list[str], iov_max: int, call_max: int, below: int, data: st.DataObject
) -> None:
    buffer: BaseBuffer
    buffer, message = lay_out(sizes, kinds)
    start = data.draw(st.integers(0, len(message)), label="start")
    stop = data.draw(st.integers(start, len(message)), label="stop")
    if data.draw(st.booleans(), label="a slice"):
        buffer = buffer[start:stop]
    else:
        buffer.truncate(stop)
        buffer.skip(start)
    if data.draw(st.booleans(), label="known ends"):
        assert buffer.part_count <= len(sizes)
    message = message[start:stop]
    plan = Plan(buffer, iov_max=iov_max, call_max=call_max, coalesce_below=below)
    while plan.left:
        plan.advance(data.draw(st.integers(1, offer(plan, message, iov_max, call_max)), label="taken"))
    assert plan.gather() == []
    assert plan.file is None
    assert plan.position == len(message)


@pytest.mark.parametrize("seed", range(4))
def test_many_plans_are_gapless_prefixes_whatever_is_taken(seed: int) -> None:
    """As before, always the same ones, and so many that each limit is met in each kind of part."""
    dice = random.Random(seed)
    for _ in range(400):
        kinds = dice.choices(["bytes", *KINDS], k=dice.randint(1, 3))
        sizes = dice.choices([0, 1, 1, 2, 3, 5, 12], k=dice.choice([0, 1, 2, 6, 20]))
        composite, message = lay_out(sizes, kinds)
        if dice.random() < 0.3:  # which begins below zero
            composite.appendleft(b"ahead")
            message = b"ahead" + message
        start, stop = sorted(dice.choices(range(len(message) + 1), k=2))
        if dice.random() < 0.3:
            start, stop = 0, len(message)
        if dice.random() < 0.5:
            buffer: BaseBuffer = composite[start:stop]
        else:
            composite.truncate(stop)
            composite.skip(start)
            buffer = composite
        if dice.random() < 0.5:
            assert buffer.part_count <= len(sizes) + 1
        message = message[start:stop]
        iov_max, call_max = dice.choice([1, 2, 3, 5, 1024]), dice.choice([1, 3, 8, 25, 1 << 20])
        plan = Plan(buffer, iov_max=iov_max, call_max=call_max, coalesce_below=dice.choice([0, 0, 0, 1, 3, 8, 100]))
        while plan.left:
            offered = offer(plan, message, iov_max, call_max)
            plan.advance(dice.choice([1, offered, offered, dice.randint(1, offered)]))
            assert plan.position + plan.left == len(message)
        assert plan.gather() == []
        assert plan.file is None


@pytest.mark.parametrize("kinds", [["bytes"], ["bytes", "file"], ["file", "bytearray", "clipped"]], ids="-".join)
@pytest.mark.parametrize("sizes", [[3, 1, 3], [7], [1] * 7, [0, 4, 0, 0, 3, 0]], ids=str)
@pytest.mark.parametrize("iov_max", [1, 2, 3])
@pytest.mark.parametrize(("call_max", "below"), [(1, 0), (2, 0), (3, 0), (100, 0), (100, 2), (3, 100)])
def test_a_plan_under_every_sequence_of_partial_writes(
    sizes: list[int], kinds: list[str], iov_max: int, call_max: int, below: int
) -> None:
    buffer, message = lay_out(sizes, kinds)

    def go_on(takes: list[int]) -> int:
        plan = Plan(buffer, iov_max=iov_max, call_max=call_max, coalesce_below=below)
        for taken in takes:
            assert taken <= offer(plan, message, iov_max, call_max)
            plan.advance(taken)
        if plan.position == len(message):
            assert plan.gather() == []
            return 1
        most = offer(plan, message, iov_max, call_max)
        return sum(go_on([*takes, taken]) for taken in range(1, most + 1))

    assert 1 <= go_on([]) <= 2 ** (len(message) - 1)  # defects.md O6


@pytest.mark.parametrize("kind", list(KINDS))
def test_an_empty_window_offers_nothing(kind: str) -> None:
    buffer, _ = lay_out([5], [kind])
    for empty in (buffer[2:2], CompositeBuffer(), SliceBuffer(b"")):
        for below in (0, 10):
            plan = Plan(empty, coalesce_below=below)  # defects.md O2
            assert plan.file is None
            assert (plan.gather(), plan.file, plan.left) == ([], None, 0)
            assert in_one_batch(empty, below) == []


@pytest.mark.parametrize("parts", [1, 1023, 1024, 1025, 5000])
def test_a_plan_needs_no_more_calls_than_the_limit_demands(parts: int) -> None:
    for known in (False, True):
        buffer = CompositeBuffer([b"ab"] * parts)
        if known:
            assert buffer[-1] == ord("b")
        plan = Plan(buffer)  # defects.md N14, N15, O12
        calls = 0
        while batch := plan.gather():
            assert len(batch) <= IOV_MAX
            plan.advance(2 * len(batch))
            calls += 1
        assert calls == -(-parts // IOV_MAX)
        assert plan.left == 0


def test_few_parts_before_a_file_do_not_make_the_calls_behind_it_small() -> None:
    buffer, _ = lay_out([1, 5, *[1] * 3000], ["bytes", "file", *["bytes"] * 3000])
    plan = Plan(buffer)
    offered = []
    while plan.left:
        batch = plan.gather()
        offered.append(len(batch))
        plan.advance(len(b"".join(batch)) if batch else 2 + (plan.position > 1))  # the file in two calls
    assert offered == [1, 0, 0, 1024, 1024, 952]


@pytest.mark.parametrize("kinds", [["bytes"], ["bytes", "clipped"]], ids="-".join)
@pytest.mark.parametrize("appetite", [1, 7, 100, 1000, 20_000])
def test_a_plan_offers_in_all_a_linear_number_of_entries(appetite: int, kinds: list[str]) -> None:
    parts, size = 5000, 10
    plan = Plan(lay_out([size] * parts, kinds)[0])
    calls = offered = 0
    while batch := plan.gather():
        plan.advance(min(appetite, sum(map(len, batch))))
        calls += 1
        offered += len(batch)
    assert offered <= 3 * parts + IOV_MAX + Plan.SLACK * calls


def test_a_call_takes_all_that_fits_even_a_piece_of_a_part() -> None:
    plan = Plan(CompositeBuffer([b"abc", b"defghij", b"k"]), call_max=4)
    seen = []
    while batch := plan.gather():
        seen.append([bytes(piece) for piece in batch])
        plan.advance(sum(map(len, batch)))
    assert seen == [[b"abc", b"d"], [b"efgh"], [b"ij", b"k"]]  # defects.md #7563: in order


def test_a_call_makes_a_bounded_number_of_views() -> None:
    buffer, _ = lay_out([2] * 2000, ["clipped"])
    assert len(Plan(buffer).gather()) == VIEWS_MAX


@pytest.mark.parametrize("below", [0, 1000])
def test_what_is_left_in_front_of_a_composite_is_not_offered(below: int) -> None:
    """There was no memory to let go of it: the next drain does."""
    for drained in (1, 5, 6, 9, 10, 14):
        buffer, message = lay_out([5, 4, 1, 5])
        buffer.append(SliceBuffer(b"tail.", 0, 4))
        buffer._start += drained
        buffer._check()
        message = message[drained:] + b"tail"
        plan = Plan(buffer, coalesce_below=below)
        assert plan.left == len(message)
        batch = plan.gather()
        assert b"".join(batch) == message
        assert all(len(piece) for piece in batch)
        plan.advance(2)
        assert b"".join(plan.gather()) == message[2:]


def test_files_are_named_and_not_looked_at() -> None:
    file = File(b"0123456789")
    buffer = CompositeBuffer([b"head", SliceBuffer(file, 2, 9), SliceBuffer(file, 0, 1), b"tail"])
    plan = Plan(buffer[1:-1])
    seen = []
    for taken in (3, 4, 3, 1, 3):
        batch = plan.gather()
        seen.append(([bytes(piece) for piece in batch], plan.file and (plan.file.start, plan.file.stop)))
        plan.advance(taken)
    assert seen == [([b"ead"], (2, 9)), ([], (2, 9)), ([], (6, 9)), ([], (0, 1)), ([b"tai"], None)]
    assert plan.left == 0


@pytest.mark.parametrize(("start", "stop"), [(0, 10), (3, 10), (0, 7), (3, 7)])
def test_a_file_alone_is_clipped_like_memory(start: int, stop: int) -> None:
    file = File(b"0123456789")
    for buffer in (SliceBuffer(file, start, stop), CompositeBuffer([b"<", file, b">"])[1 + start : 1 + stop]):
        plan = Plan(buffer)
        assert plan.gather() == []
        assert plan.file is not None
        assert (plan.file.start, plan.file.stop) == (start, stop)
        plan.advance(1)
        assert plan.gather() == []
        assert (plan.file.start, plan.file.stop) == (start + 1, stop)


def test_a_file_behind_memory_is_clipped_where_the_window_ends() -> None:
    plan = Plan(CompositeBuffer([b"head", File(b"0123456789")])[:8])
    assert plan.gather() == [b"head"]
    assert plan.file is not None
    assert shown(plan.file) == b"0123"


def test_a_plan_lets_go_of_what_went_when_the_buffer_does() -> None:
    class Exporter(bytearray):
        pass

    owner = Exporter(b"ab")
    alive = weakref.ref(owner)
    buffer = CompositeBuffer([owner, b"cd"])
    del owner
    plan = Plan(buffer)
    plan.gather()
    plan.advance(2)
    assert plan.gather() == [b"cd"]
    buffer.skip(2)
    assert alive() is None


def test_a_plan_copies_nothing() -> None:
    whole, array = b"abcdef", bytearray(b"ghi")
    with no_copy(strict=True):
        plan = Plan(CompositeBuffer([whole, b"jkl", array]), call_max=100)
        plan.gather()
        plan.advance(2)
        first, second, third = plan.gather()
    assert isinstance(first, memoryview)
    assert first.obj is whole
    assert bytes(first) == b"cdef"
    assert second == b"jkl"
    assert isinstance(third, memoryview)
    assert third.obj is array


def test_a_plan_tells_in_which_entry_the_next_byte_is() -> None:
    plan = Plan(CompositeBuffer([b"abc", b"defgh", b"ij"]))
    places = [plan.place]
    for taken in (2, 3, 3, 2):
        plan.gather()
        plan.advance(taken)
        places.append(plan.place)
    assert places == [(0, 0), (0, 2), (1, 2), (2, 0), (3, 0)]


def test_a_plan_builds_nothing_in_proportion_to_the_parts() -> None:
    number = 100_000 if IS_QUICK else 1_000_000
    buffer = CompositeBuffer([b"x"] * number)

    def work() -> None:
        plan = Plan(buffer)
        while batch := plan.gather():
            plan.advance(len(batch))
        assert plan.position == number

    assert peak_while(work, 64 << 10) < 64 << 10


CHANGES: dict[str, Callable[[CompositeBuffer], object]] = {
    "append": lambda buffer: buffer.append(b"x"),
    "appendleft": lambda buffer: buffer.appendleft(b"x"),
    "skip": lambda buffer: buffer.skip(1),
    "truncate": lambda buffer: buffer.truncate(9),
    "splice": lambda buffer: buffer.splice(3, 4, b"y"),
    "consolidate": lambda buffer: buffer.consolidate(),
}


@pytest.mark.parametrize("change", list(CHANGES))
@pytest.mark.parametrize("below", [0, 100])
def test_a_composite_may_not_change_meanwhile(change: str, below: int) -> None:
    buffer = CompositeBuffer([b"abcd", b"efgh", b"ijkl"])
    plan = Plan(buffer, coalesce_below=below)
    plan.gather()
    plan.advance(5)
    CHANGES[change](buffer)
    with pytest.raises(RuntimeError, match="changed while it was flushed"):
        plan.gather()


def test_a_plan_moves_past_the_end_of_what_is_left_of_a_buffer() -> None:
    """What was offered is taken, whatever somebody has dropped meanwhile; the next gather tells."""
    for left in (25, 1):  # in place, and in another table
        buffer = CompositeBuffer([b"abcd"] * 30)
        plan = Plan(buffer)
        plan.gather()
        buffer.truncate(4 * left)
        plan.advance(119)
        assert (plan.position, plan.left) == (119, 1)
        with pytest.raises(RuntimeError, match="changed while it was flushed"):
            plan.gather()


def test_a_slice_does_not_care_what_becomes_of_its_composite() -> None:
    buffer = CompositeBuffer([b"abcd", b"efgh"])
    plan = Plan(buffer.freeze())
    plan.gather()
    plan.advance(5)
    buffer.clear()
    assert [bytes(piece) for piece in plan.gather()] == [b"fgh"]


# -- one batch without a plan ----------------------------------------------------------------------------------


def test_most_messages_are_one_batch() -> None:
    whole = b"abc"
    assert in_one_batch(SliceBuffer(whole), 0) == [whole]
    assert in_one_batch(CompositeBuffer([whole, b"def"]), 0) == [b"abc", b"def"]
    drained = CompositeBuffer([b"zz", b"yy", b"xx", whole, b"def"])
    drained.skip(2)
    assert in_one_batch(drained, 0) == [b"yy", b"xx", b"abc", b"def"]
    assert in_one_batch(CompositeBuffer([whole] * IOV_MAX), 0) == [whole] * IOV_MAX
    assert in_one_batch(SliceBuffer(b"a"), 0) == [b"a"]
    large = bytes(1 << 20)
    assert in_one_batch(CompositeBuffer([large] * (CALL_MAX >> 20)), 0) == [large] * (CALL_MAX >> 20)
    known = CompositeBuffer([bytes(BLOCK), b"x"])
    assert known[-1] == ord("x")
    assert in_one_batch(known, 0) == [bytes(BLOCK), b"x"]


def test_a_few_parts_of_memory_are_one_batch() -> None:
    assert in_one_batch(SliceBuffer(b"abc", 1), 0) == [b"bc"]
    assert in_one_batch(SliceBuffer(bytearray(b"abc")), 0) == [b"abc"]
    few = CompositeBuffer([b"abc", bytearray(b"def"), memoryview(b"ghij")[1:]])
    assert in_one_batch(few, 0) == [b"abc", b"def", b"hij"]
    assert [type(piece) for piece in in_one_batch(few, 0)] == [bytes, memoryview, memoryview]
    assert in_one_batch(CompositeBuffer([bytearray(b"ab"), b"c"] * 8), 0) == [b"ab", b"c"] * 8


def test_others_take_a_plan() -> None:
    others = {
        "a file": SliceBuffer(File(b"def")),
        "more than a few": CompositeBuffer([bytearray(b"ab"), b"c"] * 9),
        "file": CompositeBuffer([b"abc", File(b"def")]),
        "clipped in front": CompositeBuffer([b"abc", b"def"])[1:],
        "clipped behind": CompositeBuffer([b"abc", b"def"])[:-1],
        "many": CompositeBuffer([b"ab"] * (IOV_MAX + 1)),
        "large": CompositeBuffer([bytes(1 << 20)] * (CALL_MAX >> 20) + [b"x"]),
    }
    for name, buffer in others.items():
        assert in_one_batch(buffer, 0) == [], name


@interpreted
@pytest.mark.parametrize("below", [0, 100])
def test_a_message_that_changes_meanwhile_is_no_batch(below: int) -> None:
    """But for one that does before it is looked at, or when all has been. Or reading it may tell."""

    def make() -> CompositeBuffer:
        return CompositeBuffer([b"abcd", b"efgh", b"ijkl"])

    def work(buffer: CompositeBuffer) -> int:
        return sum([len(piece) for piece in planning.in_one_batch(buffer, below, 12)])

    for change in CHANGES.values():
        found = [offered for _, offered in at_each_step(make, work, change)]
        assert {str(offered.error) for offered in found if offered.error} <= {"the buffer changed while it was read"}
        assert {offered.answer for offered in found if not offered.error} == {0, 12}


def test_a_plan_goes_on_behind_one_batch() -> None:
    buffer = CompositeBuffer([b"abcd", b"efgh"])
    plan = Plan(buffer)
    plan.resume(in_one_batch(buffer, 0), 5, *state_of(buffer))
    assert plan.position == 5
    assert [bytes(piece) for piece in plan.gather()] == [b"fgh"]


def test_a_plan_that_goes_on_is_where_one_is_that_has_come_there_by_itself() -> None:
    buffer = CompositeBuffer([b"gone", b"abcd", bytearray(b"efgh"), b"ijkl"])
    buffer.skip(4)
    plan, other = Plan(buffer), Plan(buffer)
    plan.resume(in_one_batch(buffer, 0), 5, *state_of(buffer))
    other.gather()
    other.advance(5)
    assert plan.place == other.place
    assert (plan.gather(), plan.file) == ([b"fgh", b"ijkl"], None)


@pytest.mark.parametrize(
    "change",
    [
        lambda buffer: buffer.append(b"x"),
        lambda buffer: buffer.skip(1),
        lambda buffer: (buffer.skip(2), buffer.append(b"xy")),
        lambda buffer: (buffer.appendleft(b"x"), buffer.skip(1)),
    ],
    ids=["append", "skip", "as long as before", "as before"],
)
def test_a_plan_does_not_go_on_in_a_buffer_that_has_changed(change: Callable[[CompositeBuffer], object]) -> None:
    buffer = CompositeBuffer([b"abcd", bytearray(b"efgh")])
    batch, state = in_one_batch(buffer, 0), state_of(buffer)
    change(buffer)
    with pytest.raises(RuntimeError, match="changed while it was flushed"):
        Plan(buffer).resume(batch, 5, *state)


# -- joining small parts ---------------------------------------------------------------------------------------


def entries(buffer: BaseBuffer, below: int, *, step: int = 1 << 40) -> list[int]:
    """The sizes of the entries that a plan offers to a sink which takes ``step`` bytes a call."""
    plan = Plan(buffer, coalesce_below=below)
    found = []
    while plan.left:
        batch = plan.gather()
        if batch:
            found += [len(piece) for piece in batch]
            plan.advance(min(step, sum(map(len, batch))))
        else:
            assert plan.file is not None
            found.append(-len(plan.file))
            plan.advance(len(plan.file))
    return found


def test_small_parts_are_joined_to_blocks() -> None:
    buffer = CompositeBuffer([bytes(100)] * 12_000)
    block = BLOCK // 100 * 100
    n, rest = divmod(1_200_000, block)
    assert entries(buffer, 101) == [block] * n + [rest]
    assert entries(buffer, 100) == [100] * 12_000
    assert entries(buffer[50:-50], 101) == [block - 50, *[block] * (n - 1), rest - 50]


def test_two_small_parts_are_joined_as_many_are() -> None:
    messages: list[list[bytes | bytearray]] = [[b"ab", b"cd"], [b"ab", bytearray(b"cd")], [b"ab", b"cd", b"e"]]
    for pieces in messages:
        assert entries(CompositeBuffer(pieces), 100) == [sum(map(len, pieces))]
        large = CompositeBuffer([*pieces, bytes(WHOLE)])
        assert entries(large, 100) == [sum(map(len, pieces)), WHOLE]
    with no_copy():
        assert entries(CompositeBuffer([bytearray(b"alone"), bytes(WHOLE)]), 100) == [5, WHOLE]


def test_tiny_parts_are_joined_to_blocks_of_few() -> None:
    assert entries(CompositeBuffer([b"ab"] * 20_000), 10) == [2 * 1024] * 19 + [2 * 544]


@pytest.mark.parametrize(("size", "count"), [(100, 2000), (1024, 1024), (64, 1 << 14), (1, 1 << 14)])
def test_a_message_that_is_finely_cut_and_not_too_long_is_joined_whole(size: int, count: int) -> None:
    buffer = CompositeBuffer([bytes(size)] * count)
    assert entries(buffer, size + 1) == [size * count]
    assert entries(buffer, size) == [size] * count


@pytest.mark.parametrize(("size", "count"), [(1024, 1025), (1, (1 << 14) + 1)])
def test_a_message_with_too_much_for_that_is_joined_by_blocks(size: int, count: int) -> None:
    found = entries(CompositeBuffer([bytes(size)] * count), size + 1)
    assert len(found) > 16
    assert sum(found) == size * count
    assert max(found) <= BLOCK


@pytest.mark.parametrize(
    "parts",
    [
        [b"x" * 100] * 3000,
        [b"y" * 600_000, *[b"x" * 10] * 300],
        [b"y" * 500_000, *[b"x" * 10] * 2000],
        [b"x" * 10] * 5000,
        [b"x"] * 20_000,
        [b"x" * 64] * 1024,
        [b"x" * 70_000, b"y" * 10, b"z" * 10],
    ],
    ids=["small", "large and few", "large and many", "tiny", "too many", "a block", "a block and more"],
)
def test_what_is_joined_is_the_same_whether_or_not_somebody_counts(parts: list[bytes]) -> None:
    buffer = CompositeBuffer(parts)
    quick = [len(piece) for piece in in_one_batch(buffer, 1000)]
    with copy_audit():
        assert in_one_batch(buffer, 1000) == []
        counted = entries(buffer, 1000)
    assert quick in ([], counted)
    assert entries(buffer, 1000) == counted


def test_what_has_been_drained_does_not_make_the_rest_too_long_to_be_joined_whole() -> None:
    buffer = CompositeBuffer([b"x" * 64] * 16_000)
    buffer.skip(64 * 6_000)
    with copy_audit():
        assert entries(buffer, 65) == [64 * 10_000]
    assert in_one_batch(buffer, 65) == [b"x" * 64 * 10_000]


def test_an_heir_of_a_block_that_has_ended_joins_as_if_nobody_counted() -> None:
    buffer = CompositeBuffer([b"ab", b"cd"])
    with no_copy():
        heir = contextvars.copy_context()
    with copy_audit() as audit:
        assert heir.run(in_one_batch, buffer, 10) == [b"abcd"]
    assert audit.count == 0


@pytest.mark.parametrize("taken", [0, 1, 99, 200_000])
def test_what_was_joined_for_a_first_call_is_not_joined_again(taken: int) -> None:
    buffer = CompositeBuffer([b"ab"] * 5_000 + [b"cd"] * 5_000)
    (block,) = in_one_batch(buffer, 10)
    plan = Plan(buffer, coalesce_below=10)
    taken = min(taken, 19_999)
    plan.resume([block], taken, *state_of(buffer))
    assert (plan.position, plan.left) == (taken, 20_000 - taken)
    (rest,) = plan.gather()
    assert rest == block[taken:]
    assert memoryview(rest).obj is block
    plan.advance(20_000 - taken)
    assert (plan.gather(), plan.file) == ([], None)
    buffer.append(b"x")
    with pytest.raises(RuntimeError, match="changed while it was flushed"):
        Plan(buffer, coalesce_below=10).resume([block], taken, *state_of(buffer))


@pytest.mark.parametrize("is_slice", [False, True])
def test_a_file_behind_what_is_offered_is_named_whole_also_when_some_has_gone(is_slice: bool) -> None:
    """How much is offered is known from where the parts end, or reckoned."""
    buffer = CompositeBuffer([*[b"ab"] * 8, File(bytes(100)), b"z"])
    plan = Plan(buffer[:] if is_slice else buffer, iov_max=4)
    for taken in (1, 3, 4, 1):
        plan.gather()
        plan.advance(taken)
    assert b"".join(plan.gather()) == b"bababab"
    assert plan.file
    assert (plan.file.start, plan.file.stop) == (0, 100)


def test_a_file_may_have_the_descriptor_zero() -> None:
    plan = Plan(CompositeBuffer([b"ab", File(b"0123", fd=0)]))
    assert plan.gather() == [b"ab"]
    assert plan.file


def test_a_large_part_is_not_copied() -> None:
    tiny, large = [b"x"] * 10, bytes(BLOCK + 1)
    buffer = CompositeBuffer([*tiny, large, *tiny])
    with copy_audit() as audit:
        assert entries(buffer, 8) == [10, BLOCK + 1, 10]
    assert audit.by_reason == {"coalesce": 20}


def test_a_call_is_offered_as_many_blocks_as_may_be_joined_for_it() -> None:
    buffer = CompositeBuffer([bytes(64)] * 20_000)
    plan = Plan(buffer, coalesce_below=65)
    assert [len(piece) for piece in plan.gather()] == [BLOCK, BLOCK]


def test_after_a_short_count_a_call_offers_twice_what_the_last_one_finished_and_a_few() -> None:
    plan = Plan(CompositeBuffer([b"ab"] * 1000))
    assert len(plan.gather()) == 1000
    for taken, offered in ((0, 8), (3, 10), (19, 28), (55, 62)):
        plan.advance(taken)
        assert len(plan.gather()) == offered


def test_a_small_part_alone_between_large_ones_is_not_copied_and_two_are() -> None:
    large = bytes(BLOCK)
    with no_copy():
        assert entries(CompositeBuffer([large, b"x", large]), 8) == [BLOCK, 1, BLOCK]
    assert entries(CompositeBuffer([large, b"x", b"y", large]), 8) == [BLOCK, 2, BLOCK]


def test_a_part_that_costs_more_than_the_entries_it_saves_is_not_copied() -> None:
    buffer = CompositeBuffer([b"x", b"y", bytes(1000)])
    with no_copy():
        assert entries(buffer, 300) == [1, 1, 1000]
    assert entries(buffer, 400) == [1002]


def test_views_are_joined_and_files_are_not() -> None:
    buffer = CompositeBuffer([bytearray(b"ab"), b"cd", File(b"file"), b"e", File(b"more"), b"f", bytearray(b"g")])
    assert entries(buffer, 100) == [4, -4, 1, -4, 2]
    with copy_audit() as audit:
        assert entries(buffer, 100) == [4, -4, 1, -4, 2]
    assert audit.by_reason == {"coalesce": 6}
    with no_copy():
        assert entries(CompositeBuffer([bytearray(b"alone"), File(b"file"), bytearray(b"too")]), 100) == [5, -4, 3]


def test_what_a_sink_did_not_take_of_a_block_is_not_joined_again() -> None:
    buffer = CompositeBuffer([b"ab"] * 100)
    with copy_audit() as audit:
        assert entries(buffer, 10, step=30) == [200, 170, 140, 110, 80, 50, 20]
    assert audit.by_reason == {"coalesce": 200}


@pytest.mark.parametrize("parts", [100, 100_000])
def test_joining_can_be_forbidden(parts: int) -> None:
    buffer = CompositeBuffer([b"ab"] * parts)
    with no_copy(), pytest.raises(CopyForbidden):
        entries(buffer, 10)
    with no_copy():
        assert in_one_batch(buffer, 10) == []


def test_one_batch_is_joined_where_nobody_counts() -> None:
    few = CompositeBuffer([b"ab", b"cd"])
    assert in_one_batch(few, 10) == [b"abcd"]
    assert in_one_batch(few, 2) == [b"ab", b"cd"]
    assert in_one_batch(CompositeBuffer([b"ab"]), 10) == [b"ab"]
    assert in_one_batch(CompositeBuffer([b"ab", bytearray(b"cd"), memoryview(b"xefx")[1:3]]), 10) == [b"abcdef"]
    assert in_one_batch(CompositeBuffer([b"ab", FakeFile(b"cd")]), 10) == []
    many = [b"ab"] * 20
    assert in_one_batch(CompositeBuffer([*many, bytearray(b"cd"), *many]), 10) == [b"ab" * 20 + b"cd" + b"ab" * 20]
    assert in_one_batch(CompositeBuffer([*many, FakeFile(b"cd"), *many]), 10) == []
    clipped = CompositeBuffer(many)
    clipped.skip(1)
    assert in_one_batch(clipped, 10) == [b"b" + b"ab" * 19]
    assert in_one_batch(CompositeBuffer([b"ab"] * WHOLE), 10) == []
    assert in_one_batch(CompositeBuffer([b"x" * 64] * 16_384), 65) == [b"x" * WHOLE]
    assert in_one_batch(CompositeBuffer([b"x" * 63] * 16_385), 65) == []
    assert in_one_batch(CompositeBuffer([b"ab"] * 2000), 2) == []
    few.appendleft(b"yz")
    assert in_one_batch(few, 10) == [b"yzabcd"]
    (alone,) = in_one_batch(CompositeBuffer([bytearray(b"ab")]), 10)
    assert isinstance(alone, memoryview)


def test_what_fits_into_one_block_and_is_not_joined_is_one_batch() -> None:
    for pieces in ([bytes(BLOCK // 2)] * 2, [bytes(10)] * 1024):
        assert in_one_batch(CompositeBuffer(pieces), 10) == pieces
        assert in_one_batch(CompositeBuffer([*pieces, bytes(10)]), 10) == []


@pytest.mark.parametrize(("size", "count"), [(64, 100_000), (1, 200_000), (1400, 5_000)])
def test_joining_is_bounded_in_memory(size: int, count: int) -> None:
    buffer = CompositeBuffer([bytes(size)] * count)
    assert buffer[-1] == 0  # so that it is known where the parts end

    def work() -> None:
        plan = Plan(buffer, coalesce_below=size + 1)
        while plan.left:
            plan.advance(sum([len(piece) for piece in plan.gather()]))  # the pieces go before the next ones are made

    assert peak_while(work, 256 << 10) < 256 << 10


def test_pieces_are_what_they_are_said_to_be() -> None:
    pieces: list[Piece] = Plan(CompositeBuffer([b"ab", bytearray(b"cd")])).gather()
    assert [type(piece) for piece in pieces] == [bytes, memoryview]


def test_a_mapped_file_is_asked_once_as_far_as_is_offered() -> None:
    asked: list[int] = []
    other: list[int] = []
    one, two = guarded(100, asked), guarded(100, other)
    buffer = CompositeBuffer([b"a", one[50:60], b"b", two[:7], one[5:10], bytearray(b"c"), one[90:]])
    plan = Plan(buffer, iov_max=6)
    plan.gather()
    assert_whole(plan.mapped)
    assert (asked, other) == ([60], [7])
    plan.advance(15)
    plan.gather()
    assert_whole(plan.mapped)
    assert (asked, other) == ([60, 100], [7, 7])
    plan.advance(plan.left - 10)
    assert plan.gather()
    assert_whole(plan.mapped)
    assert (asked, other) == ([60, 100, 100], [7, 7])
    plan.advance(plan.left)
    assert not plan.gather()
    assert not plan.mapped


def test_a_mapped_file_is_asked_before_it_is_joined() -> None:
    asked: list[int] = []
    one = guarded(100, asked)
    plan = Plan(CompositeBuffer([b"a", one[50:60], b"b", one[5:10]]), coalesce_below=100)
    assert [len(piece) for piece in plan.gather()] == [17]
    assert asked == [60]


@pytest.mark.parametrize("taken", [1, 3, 4, 9])
@pytest.mark.parametrize(
    "change",
    [CompositeBuffer.clear, lambda b: b.skip(5), lambda b: b.appendleft(b"--")],
    ids=["clear", "skip", "appendleft"],
)
def test_a_plan_survives_any_change_until_the_next_gather(
    taken: int, change: Callable[[CompositeBuffer], object]
) -> None:
    buffer = CompositeBuffer([b"abc", b"def", b"ghi"])
    plan = Plan(buffer)
    plan.gather()
    change(buffer)
    plan.advance(taken)
    with pytest.raises(RuntimeError, match="changed while it was flushed"):
        plan.gather()


def test_a_change_before_the_first_gather_is_noticed() -> None:
    buffer = CompositeBuffer([b"abc", b"def"])
    plan = Plan(buffer)
    buffer.skip(1)
    with pytest.raises(RuntimeError, match="changed while it was flushed"):
        plan.gather()
