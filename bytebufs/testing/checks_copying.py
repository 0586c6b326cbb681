"""Checks of what copies or writes bytes, and of the numbers that they stand for."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from ..errors import Underrun
from .alike import BOUNDS, DATA, FAR, NEEDLES, Argument, arguments, check, equal, raises, same

if TYPE_CHECKING:
    from .alike import Check, Make

__all__ = ["COPYING"]

COPYING: Final[dict[str, Check]] = {}


@check(COPYING, data=DATA, start=BOUNDS, stop=BOUNDS, room=st.integers(-2, 3))
def _copying(make: Make, data: bytes, start: Any, stop: Any, room: int) -> None:
    """``tobytes``, ``contiguous``, ``copy_into``, which takes all or nothing."""
    b = make(data)
    equal(b, data, "tobytes")
    equal(b, bytes, lambda buffer: type(buffer.tobytes()))
    equal(b, data, "contiguous")
    equal(b, True, lambda buffer: buffer.contiguous().readonly)  # noqa: FBT003  # what it answers
    wanted = data[start:stop]
    dest = bytearray(b"." * max(0, len(wanted) + room))
    before = bytes(dest)
    if len(dest) < len(wanted):
        raises(b, ValueError, "copy_into", dest, start, stop)
        equal(dest, before, bytes)
    else:
        equal(b, len(wanted), "copy_into", dest, start, stop)
        equal(dest, wanted + before[len(wanted) :], bytes)


@check(COPYING, data=DATA, at=st.integers(-1, 25) | FAR, new=arguments(NEEDLES))
def _writing(make: Make, data: bytes, at: Any, new: Argument) -> None:
    """``write_at``, which writes all or nothing."""
    b = make(data)
    place, size = at.__index__(), len(new.data)
    readonly = [view.readonly for view in b.views() for _ in view]
    if place < 0:
        raises(b, ValueError, "write_at", at, new)
    elif place + size > len(data):
        raises(b, IndexError, "write_at", at, new)
    elif any(readonly[place : place + size]):
        raises(b, TypeError, "write_at", at, new)
    else:
        equal(b, None, "write_at", at, new)
        data = data[:place] + new.data + data[place + size :]
    equal(b, data, bytes)


_FORMATS: Final = ("<B", ">H", "!I", "=q", "<3s", ">bh", "<0s", ">2x")


@check(COPYING, data=DATA, fmt=st.sampled_from(_FORMATS), at=st.integers(-2, 26) | FAR)
def _unpacking(make: Make, data: bytes, fmt: str, at: Any) -> None:
    """``unpack_from``: Underrun where bytes are missing, ValueError before the front; ``iter_unpack``."""
    b = make(data)
    place, size = at.__index__(), struct.calcsize(fmt)
    for form in (fmt, fmt.encode(), struct.Struct(fmt)):
        if place < 0:
            raises(b, ValueError, "unpack_from", form, at)
        elif place + size > len(data):
            raises(b, Underrun, "unpack_from", form, at)
        else:
            equal(b, struct.unpack_from(fmt, data, place), "unpack_from", form, at)
        if size and len(data) % size == 0:
            equal(b, list(struct.iter_unpack(fmt, data)), lambda buffer, form: list(buffer.iter_unpack(form)), form)
        else:
            raises(b, ValueError, "iter_unpack", form)


@check(COPYING, data=st.lists(st.sampled_from(b"0123456789 _-+.e\n\xff"), max_size=8).map(bytes))
def _numbers_as_text(make: Make, data: bytes) -> None:
    """``int``, ``float``."""
    b = make(data)
    same(b, data, int)
    same(b, data, lambda text: repr(float(text)))  # nan equals nothing
