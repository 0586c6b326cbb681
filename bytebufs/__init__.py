"""bytebufs: composite and slice buffers that show bytes others own as one message, without copying them."""

from ._audit import CopyAudit, copy_audit, no_copy
from ._numbers import COMPILED
from .base_buffer import BaseBuffer, BytesLike, Part
from .composite_buffer import CompositeBuffer
from .errors import (
    BrokenSink,
    Busy,
    BytebufsError,
    ClosedError,
    CopyForbidden,
    Fragmented,
    FrameError,
    LimitExceeded,
    TruncatedFile,
    Underrun,
)
from .files import FileRegion, MappedFile, allocate
from .flushing import flush
from .framing import Delimited, FixedLength, Framer, LengthPrefixed, Lines, VarintPrefixed
from .reader import Reader
from .slice_buffer import SliceBuffer

__all__ = [
    "COMPILED",
    "BaseBuffer",
    "BrokenSink",
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
    "LengthPrefixed",
    "LimitExceeded",
    "Lines",
    "MappedFile",
    "Part",
    "Reader",
    "SliceBuffer",
    "TruncatedFile",
    "Underrun",
    "VarintPrefixed",
    "allocate",
    "copy_audit",
    "flush",
    "no_copy",
]
