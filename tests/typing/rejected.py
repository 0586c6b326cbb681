"""What type checkers have to refuse: one line in each function, marked with the error that it is.

Strict mypy reports a mark that is not needed, so each of these stays an error. `test_typing.py` runs them, too:
what type checkers refuse is a TypeError when it is run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from bytebufs import BaseBuffer, CompositeBuffer, Inbox, Pool, Reader, SliceBuffer, no_copy

REJECTED: Final[list[Callable[[CompositeBuffer], Any]]] = []


def rejected(line: Callable[[CompositeBuffer], Any]) -> Callable[[CompositeBuffer], Any]:
    REJECTED.append(line)
    return line


# -- who makes a reader


@rejected
def a_reader_is_not_made_of_bytes(b: CompositeBuffer) -> None:
    Reader(b"x")  # type: ignore[arg-type, call-arg]


@rejected
def a_reader_is_made_by_a_buffer(b: CompositeBuffer) -> None:
    Reader(b, byteorder="little")  # type: ignore[call-arg]


# -- what is a part


@rejected
def append_takes_no_text(b: CompositeBuffer) -> None:
    b.append("text")  # type: ignore[arg-type]


@rejected
def append_takes_no_int(b: CompositeBuffer) -> None:
    b.append(10)  # type: ignore[arg-type]


@rejected
def append_takes_no_none(b: CompositeBuffer) -> None:
    b.append(None)  # type: ignore[arg-type]


@rejected
def append_takes_no_list(b: CompositeBuffer) -> None:
    b.append([b"one", b"two"])  # type: ignore[arg-type]


@rejected
def appendleft_takes_no_text(b: CompositeBuffer) -> None:
    b.appendleft("text")  # type: ignore[arg-type]


@rejected
def augmented_addition_takes_no_text(b: CompositeBuffer) -> None:
    b += "text"  # type: ignore[arg-type]


@rejected
def insert_takes_no_int(b: CompositeBuffer) -> None:
    b.insert(0, 10)  # type: ignore[arg-type]


@rejected
def splice_takes_no_text(b: CompositeBuffer) -> None:
    b.splice(0, 1, "text")  # type: ignore[arg-type]


@rejected
def extend_takes_no_single_part(b: CompositeBuffer) -> None:
    b.extend(b"abc")  # type: ignore[arg-type]


@rejected
def extend_takes_no_text(b: CompositeBuffer) -> None:
    b.extend("abc")  # type: ignore[arg-type]


@rejected
def extend_takes_no_texts(b: CompositeBuffer) -> None:
    b.extend([b"abc", "text"])  # type: ignore[list-item]


@rejected
def extend_takes_no_buffer(b: CompositeBuffer) -> None:
    b.extend(b)  # type: ignore[arg-type]


@rejected
def a_composite_takes_no_single_part(b: CompositeBuffer) -> None:
    CompositeBuffer(b"abc")  # type: ignore[arg-type]


@rejected
def a_composite_takes_no_size(b: CompositeBuffer) -> None:
    CompositeBuffer(10)  # type: ignore[arg-type]


@rejected
def the_options_of_a_composite_are_named(b: CompositeBuffer) -> None:
    CompositeBuffer([b"abc"], 100)  # type: ignore[call-arg]


@rejected
def a_slice_takes_no_text(b: CompositeBuffer) -> None:
    SliceBuffer("text")  # type: ignore[arg-type]


@rejected
def a_slice_takes_no_size(b: CompositeBuffer) -> None:
    SliceBuffer(10)  # type: ignore[arg-type]


# -- positions and sizes


@rejected
def an_index_is_no_text(b: CompositeBuffer) -> None:
    b["0"]  # type: ignore[call-overload]


@rejected
def an_index_is_no_float(b: CompositeBuffer) -> None:
    b[0.0]  # type: ignore[call-overload]


@rejected
def take_takes_no_float(b: CompositeBuffer) -> None:
    b.take(1.0)  # type: ignore[arg-type]


@rejected
def take_takes_no_text(b: CompositeBuffer) -> None:
    b.take("1")  # type: ignore[arg-type]


@rejected
def skip_takes_no_none(b: CompositeBuffer) -> None:
    b.skip(None)  # type: ignore[arg-type]


@rejected
def the_bounds_of_a_slice_are_no_floats(b: CompositeBuffer) -> None:
    SliceBuffer(b"abc", 0.0)  # type: ignore[arg-type]


# -- searching, comparing, cutting


@rejected
def find_takes_no_text(b: CompositeBuffer) -> None:
    b.find("a")  # type: ignore[arg-type]


@rejected
def find_takes_no_float(b: CompositeBuffer) -> None:
    b.find(97.0)  # type: ignore[arg-type]


@rejected
def count_takes_no_none(b: CompositeBuffer) -> None:
    b.count(None)  # type: ignore[arg-type]


@rejected
def in_takes_no_text(b: CompositeBuffer) -> None:
    "a" in b  # type: ignore[operator]  # noqa: B015


@rejected
def startswith_takes_no_text(b: CompositeBuffer) -> None:
    b.startswith("a")  # type: ignore[arg-type]


@rejected
def endswith_takes_no_list(b: CompositeBuffer) -> None:
    b.endswith([b"a", b"b"])  # type: ignore[arg-type]


@rejected
def an_order_with_text_there_is_none(b: CompositeBuffer) -> None:
    b < "a"  # type: ignore[operator]  # noqa: B015


@rejected
def an_order_with_an_int_there_is_none(b: CompositeBuffer) -> None:
    b >= 5  # type: ignore[operator]  # noqa: B015


@rejected
def split_takes_no_text(b: CompositeBuffer) -> None:
    b.split(",")  # type: ignore[arg-type]


@rejected
def a_separator_is_no_int(b: CompositeBuffer) -> None:
    b.partition(10)  # type: ignore[arg-type]


@rejected
def take_until_needs_a_limit(b: CompositeBuffer) -> None:
    b.take_until(b"\n")  # type: ignore[call-arg]


@rejected
def the_limit_of_take_until_is_named(b: CompositeBuffer) -> None:
    b.take_until(b"\n", 100)  # type: ignore[call-arg, arg-type]


@rejected
def take_until_takes_no_text(b: CompositeBuffer) -> None:
    b.take_until("\n", limit=100)  # type: ignore[arg-type]


# -- memory


@rejected
def write_at_takes_no_text(b: CompositeBuffer) -> None:
    b.write_at(0, "text")  # type: ignore[arg-type]


@rejected
def copy_into_takes_no_list(b: CompositeBuffer) -> None:
    b.copy_into([0, 0, 0])  # type: ignore[arg-type]


@rejected
def unpack_from_takes_no_list(b: CompositeBuffer) -> None:
    b.unpack_from([">H"])  # type: ignore[arg-type]


# -- parsing, auditing


@rejected
def parse_needs_a_limit(b: CompositeBuffer) -> None:
    b.parse(Reader.u8)  # type: ignore[call-arg]


@rejected
def a_parser_takes_a_reader(b: CompositeBuffer) -> None:
    b.parse(lambda: 5, limit=10)  # type: ignore[arg-type, misc]


@rejected
def a_reader_takes_no_text_for_a_size(b: CompositeBuffer) -> None:
    b.reader().take("2")  # type: ignore[arg-type]


@rejected
def a_reader_expects_no_text(b: CompositeBuffer) -> None:
    b.reader().expect("a")  # type: ignore[arg-type]


@rejected
def strict_is_named(b: CompositeBuffer) -> None:
    no_copy(True)  # type: ignore[call-arg]


# -- who receives


@rejected
def the_limit_of_an_inbox_is_named(_: CompositeBuffer) -> None:
    Inbox(4096)  # type: ignore[arg-type]


@rejected
def an_inbox_receives_from_no_path(_: CompositeBuffer) -> None:
    Inbox(limit=1).receive("file")  # type: ignore[arg-type]


@rejected
def an_inbox_receives_from_no_bytes(_: CompositeBuffer) -> None:
    Inbox(limit=1).receive(b"bytes")  # type: ignore[arg-type]


@rejected
def a_pool_has_no_heirs(_: CompositeBuffer) -> None:
    class Heir(Pool):  # type: ignore[misc]
        pass


@rejected
def an_inbox_has_no_heirs(_: CompositeBuffer) -> None:
    class Heir(Inbox):  # type: ignore[misc]
        pass


@rejected
def a_slice_has_no_heirs(_: CompositeBuffer) -> None:
    class Heir(SliceBuffer):  # type: ignore[misc]
        pass


@rejected
def a_composite_has_no_heirs(_: CompositeBuffer) -> None:
    class Heir(CompositeBuffer):  # type: ignore[misc]
        pass


# -- refused by type checkers alone: an interpreted class cannot say so when it is run


def a_slice_has_no_append(s: SliceBuffer) -> None:
    s.append(b"abc")  # type: ignore[attr-defined]


def a_slice_is_never_drained(s: SliceBuffer) -> None:
    s.take(1)  # type: ignore[attr-defined]


def a_buffer_is_not_bytes(s: SliceBuffer, b: CompositeBuffer) -> None:
    wanted: bytes = s  # type: ignore[assignment]
    wanted = b.take(1)  # type: ignore[assignment]
    wanted = b[0:1]  # type: ignore[assignment]
    wanted.hex()


def an_answer_that_may_not_be_there_yet_is_asked_for_first(b: CompositeBuffer) -> None:
    b.take_until(b"\n", limit=10).tobytes()  # type: ignore[union-attr]
    b.parse(Reader.u8, limit=10) + 1  # type: ignore[operator]


def a_base_buffer_neither_grows_nor_shrinks(b: BaseBuffer) -> None:
    b.append(b"")  # type: ignore[attr-defined]
    b.skip(1)  # type: ignore[attr-defined]
