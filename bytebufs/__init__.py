"""bytebufs: composite and slice buffers that show bytes others own as one message, without copying them."""

from ._audit import CopyAudit, copy_audit, no_copy
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
from .flushing import flush
from .framing import Delimited, FixedLength, Framer, LengthPrefixed, Lines, VarintPrefixed
from .reader import Reader
from .slice_buffer import SliceBuffer

COMPILED = not hasattr(BaseBuffer.find, "__code__")
"""Whether the modules that matter for speed were compiled when the package was installed."""

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
    "FixedLength",
    "Fragmented",
    "FrameError",
    "Framer",
    "LengthPrefixed",
    "LimitExceeded",
    "Lines",
    "Part",
    "Reader",
    "SliceBuffer",
    "TruncatedFile",
    "Underrun",
    "VarintPrefixed",
    "copy_audit",
    "flush",
    "no_copy",
]
