"""BufferFile: what an io.BytesIO of the same bytes answers, in any layout, without a copy of what is not read."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
import weakref
import zipfile
from array import array
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytebufs import BufferFile, ClosedError, CompositeBuffer, SliceBuffer, copy_audit, no_copy

from .layouts import LAYOUTS, FakeFile, Layout, chunks

SIZES: Final[st.SearchStrategy[Any]] = st.none() | st.integers(-2, 30) | st.sampled_from([np.int8(3), 2**70])
OFFSETS: Final = st.integers(-12, 30)
CALLS: Final[st.SearchStrategy[tuple[str, tuple[Any, ...]]]] = st.one_of(
    st.tuples(st.sampled_from(["read", "read1", "readline"]), st.tuples(SIZES)),
    st.tuples(st.sampled_from(["read", "readline", "readlines", "tell", "readable", "seekable"]), st.just(())),
    st.tuples(st.just("seek"), st.tuples(OFFSETS)),
    st.tuples(st.just("seek"), st.tuples(OFFSETS, st.integers(0, 2))),
    st.tuples(st.sampled_from(["readinto", "readinto1"]), st.tuples(st.integers(0, 12))),
)


def answer(file: Any, name: str, arguments: tuple[Any, ...]) -> object:
    """Return what a call gives, or the type of its error, and where the file stands then."""
    if name.startswith("readinto"):
        memory = bytearray(b"." * arguments[0])
        return getattr(file, name)(memory), bytes(memory), file.tell()
    if arguments and arguments[0] is not None and abs(int(arguments[0])) > 2**62:
        arguments = (-1,) if isinstance(file, io.BytesIO) else arguments  # which takes no number as large
    try:
        return getattr(file, name)(*arguments), file.tell()
    except ValueError as error:
        return type(error), file.tell()


@given(data=st.lists(st.sampled_from(b"ab\n"), max_size=24).map(bytes), calls=st.lists(CALLS, max_size=12))
@pytest.mark.parametrize("layout", LAYOUTS, ids=repr)
def test_it_answers_as_bytes_io_does(layout: Layout, data: bytes, calls: list[tuple[str, tuple[Any, ...]]]) -> None:
    file, model = BufferFile(layout.make(data)), io.BytesIO(data)
    for name, arguments in calls:
        assert answer(file, name, arguments) == answer(model, name, arguments), (name, arguments)
    model.seek(0)
    file.seek(0)
    assert list(file) == list(model)


def test_a_composite_is_read_as_it_was_when_it_was_opened() -> None:
    b = CompositeBuffer([b"abc", bytearray(b"def")])
    file = BufferFile(b)
    b.skip(4)
    b.append(b"more")
    assert file.read() == b"abcdef"
    assert BufferFile(bytearray(b"xyz")).read(2) == b"xy"
    assert BufferFile(FakeFile(b"xyz")).read() == b"xyz"


def test_no_more_is_copied_than_what_is_read() -> None:
    whole = b"whole"
    file = BufferFile(CompositeBuffer([whole, bytearray(b"line\nrest")]))
    with no_copy(strict=True):
        assert file.read(5) is whole
        file.seek(-4, io.SEEK_END)
        file.seek(5)
    with copy_audit() as audit:
        assert file.readline() == b"line\n"
        assert file.readinto(bytearray(2)) == 2
        assert file.read1() == b"st"
        assert file.read() == b""
    assert audit.by_reason == {"tobytes": 7, "copy_into": 2}


def test_it_fills_memory_of_any_kind_and_refuses_what_cannot_be_filled() -> None:
    file = BufferFile(b"abcdefgh")
    numbers = array("H", [0, 0])
    assert file.readinto(numbers) == 4
    assert numbers.tobytes() == b"abcd"
    for wrong, error in ((b"read-only", TypeError), ("str", TypeError), (np.zeros(4, np.uint8)[::2], TypeError)):
        given: Any = wrong
        with pytest.raises(error):
            file.readinto(given)
    with no_copy(), pytest.raises(TypeError, match="write into it by"):
        file.readinto(CompositeBuffer([bytearray(2), bytearray(2)]))
    assert file.tell() == 4


@pytest.mark.parametrize("wrong", [1.0, "1", b"1"], ids=repr)
def test_sizes_and_places_are_integers(wrong: Any) -> None:
    file = BufferFile(b"abc")
    for use in (file.read, file.read1, file.readline, file.seek, lambda n: file.seek(0, n)):
        with pytest.raises(TypeError):
            use(wrong)
    with pytest.raises(ValueError, match="whence is 0, 1 or 2, not 3"):
        file.seek(0, 3)
    with pytest.raises(ValueError, match="a position is not negative: -1"):
        file.seek(-1)
    assert file.tell() == 0


def test_it_is_not_written_to_and_has_no_descriptor() -> None:
    file = BufferFile(b"abc")
    for use in (lambda: file.write(b"x"), file.fileno, lambda: file.truncate(1), file.detach):
        with pytest.raises(io.UnsupportedOperation):
            use()
    assert not file.writable()


def test_once_closed_it_lets_go_of_the_bytes_and_refuses_everything() -> None:
    owner: Any = array("B", b"abc")
    alive = weakref.ref(owner)
    with BufferFile(owner) as file:
        assert repr(file) == "<BufferFile: at byte 0 of 3>"
        assert file.read(2) == b"ab"
        assert repr(file) == "<BufferFile: at byte 2 of 3>"
    del owner
    assert alive() is None
    assert repr(file) == "<BufferFile: closed>"
    file.close()
    uses: list[Callable[[], object]] = [
        file.read, file.read1, file.readline, file.tell, file.readable, file.seekable, lambda: file.seek(0),
        lambda: file.readinto(bytearray(1)), lambda: file.readinto1(bytearray(1)),
    ]  # fmt: skip
    for use in uses:
        with pytest.raises(ClosedError, match="the file is closed"):
            use()


def in_parts(data: bytes) -> BufferFile:
    return BufferFile(CompositeBuffer(list(chunks(data, [7] * len(data)))))


def test_what_reads_files_reads_it() -> None:
    value = {"numbers": list(range(100)), "text": "naïve"}
    assert json.load(in_parts(json.dumps(value).encode())) == value
    assert pickle.load(in_parts(pickle.dumps(value))) == value
    lines = "one\r\ntwo\nnaïve"
    assert list(io.TextIOWrapper(in_parts(lines.encode()), "utf-8", newline="")) == ["one\r\n", "two\n", "naïve"]
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("name", b"content" * 1000)
    with zipfile.ZipFile(in_parts(written.getvalue())) as archive:
        assert archive.read("name") == b"content" * 1000
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        entry = tarfile.TarInfo("name")
        entry.size = 7
        tar.addfile(entry, io.BytesIO(b"content"))
    with tarfile.open(fileobj=in_parts(written.getvalue())) as tar:
        member = tar.extractfile("name")
        assert member is not None
        assert member.read() == b"content"


def test_parts_are_written_by_writelines() -> None:
    written = io.BytesIO()
    b = CompositeBuffer([b"abc", bytearray(b"def")])
    with no_copy(strict=True):
        written.writelines(b.views())
    assert written.getvalue() == b"abcdef"
    assert SliceBuffer(b"abc") == BufferFile(SliceBuffer(b"abc")).read()
