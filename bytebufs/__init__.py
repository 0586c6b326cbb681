"""bytebufs: composite and slice buffers that show bytes others own as one message, without copying them."""

import sys

if sys.implementation.name != "cpython":
    raise ImportError(
        f"bytebufs works on CPython alone: {sys.implementation.name} does not tell who else holds an object, "
        "nor where its memory lies"
    )

from ._core.audit import CopyAudit, copy_audit, no_copy
from ._core.numbers import COMPILED
from .base_buffer import BaseBuffer, BytesLike, Part
from .buffer_file import BufferFile
from .composite_buffer import CompositeBuffer
from .errors import (
    BrokenSink,
    BrokenSource,
    Busy,
    BytebufsError,
    ClosedError,
    CopyForbidden,
    Fragmented,
    FrameError,
    LimitExceeded,
    TextError,
    TruncatedFile,
    Underrun,
)
from .files import FileRegion, MappedFile, allocate
from .framing import Delimited, FixedLength, Framer, LengthPrefixed, Lines, VarintPrefixed
from .reader import Reader
from .receiving import Inbox, Pool
from .sending import Outbox, Transferred, flush, transfer
from .slice_buffer import SliceBuffer


def _refuse_heirs(cls: type) -> None:
    if not cls.__module__.startswith(f"{__name__}."):  # ours may come later, where imports are lazy
        raise TypeError(f"{cls.__mro__[1].__name__} is final: hold one, do not derive from it")


# Nobody can derive from these in the compiled build, so nobody may in the other. `@final` tells only type checkers.
for _final in (BaseBuffer, CopyAudit, Framer, Inbox, Pool, Reader):
    _final.__init_subclass__ = classmethod(_refuse_heirs)  # type: ignore[assignment]
del _final


def _refuse(cls: object, buffer: object = None, lease: object = None, byteorder: str = "", limit: object = None) -> Reader:  # noqa: ARG001, E501  # fmt: skip
    """Refuse: a reader is made by a buffer. (The parameters are those of the interpreted build.)"""
    raise TypeError("a Reader is made by a buffer: write SliceBuffer(data).reader()")


if COMPILED:
    Reader.__new__ = staticmethod(_refuse)  # type: ignore[method-assign, assignment]  # compiled code goes past it
else:
    Reader.__init__.__defaults__ = (None, None, "", None)  # so that it is called, and refuses

__all__ = [
    "COMPILED",
    "BaseBuffer",
    "BrokenSink",
    "BrokenSource",
    "BufferFile",
    "Busy",
    "BytebufsError",
    "BytesLike",
    "ClosedError",
    "CompositeBuffer",
    "CopyAudit",
    "CopyForbidden",
    "Delimited",
    "FileRegion",
    "FixedLength",
    "Fragmented",
    "FrameError",
    "Framer",
    "Inbox",
    "LengthPrefixed",
    "LimitExceeded",
    "Lines",
    "MappedFile",
    "Outbox",
    "Part",
    "Pool",
    "Reader",
    "SliceBuffer",
    "TextError",
    "Transferred",
    "TruncatedFile",
    "Underrun",
    "VarintPrefixed",
    "allocate",
    "copy_audit",
    "flush",
    "no_copy",
    "transfer",
]
