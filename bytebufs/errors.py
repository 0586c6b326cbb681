"""What can go wrong, as exceptions that carry the facts and write the sentence.

    BytebufsError
      Underrun (EOFError)          more bytes are wanted than have come
      LimitExceeded (ValueError)   more bytes than the caller allows
      FrameError (ValueError)      bytes that can never become right
        TextError (UnicodeDecodeError)   bytes that are no text in their encoding
      Fragmented (BufferError)     one memoryview was wanted over several parts
      CopyForbidden (RuntimeError) a copy inside no_copy()
      TruncatedFile (OSError)      a file is shorter than it was
      BrokenSink (OSError)         a sink whose position is unknown
      BrokenSource (OSError)       a source of which bytes may have been lost
      Busy (RuntimeError)          a second user of what only one may use
      ClosedError (ValueError)     used after it was closed

Each is also the builtin exception one would guess, and survives ``pickle`` and ``copy``. This module
is never compiled: a native class cannot derive from a builtin exception.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = [
    "BrokenSink",
    "BrokenSource",
    "Busy",
    "BytebufsError",
    "ClosedError",
    "CopyForbidden",
    "Fragmented",
    "FrameError",
    "LimitExceeded",
    "TextError",
    "TruncatedFile",
    "Underrun",
]


class BytebufsError(Exception):
    """The root of every error that this library defines."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Restore the sentence and the facts as they are: a subclass may have a constructor of its own."""
        return _restored, (type(self), self.args), self.__dict__


def _placed(sentence: str, at: int | None) -> str:
    return sentence if at is None else f"{sentence} (at byte {at})"


def _restored(kind: type[BytebufsError], args: tuple[Any, ...]) -> BytebufsError:
    error = kind.__new__(kind)
    error.args = args
    return error


class Underrun(BytebufsError, EOFError):
    """More bytes are wanted than are there; they may still come. Nothing was consumed.

    ``requested`` and ``available`` count bytes from the place of the read. For a search, ``separator``
    is what did not come (of several, the first), and ``requested`` the fewest bytes that could hold it. ``at`` is the
    place of a reader's read in the message, or of a framer's frame in all that it was fed; else, and where ``parse``
    waits for more, it is None.
    """

    def __init__(self, requested: int, available: int, separator: bytes | None = None, at: int | None = None) -> None:
        self.args: tuple[Any, ...] = (requested, available, separator, at)

    @property
    def requested(self) -> int:
        """How many bytes were asked for, counted from the place of the read."""
        requested: int = self.args[0]
        return requested

    @property
    def available(self) -> int:
        """How many bytes were there."""
        available: int = self.args[1]
        return available

    @property
    def separator(self) -> bytes | None:
        """What was looked for, or None."""
        separator: bytes | None = self.args[2]
        return separator

    @property
    def at(self) -> int | None:
        """The place of the read in the message, of the frame in the stream, or None."""
        at: int | None = self.args[3]
        return at

    def __str__(self) -> str:
        if self.separator is None:
            sentence = f"{self.requested} bytes were asked for, {self.available} are there"
        else:
            sentence = f"{self.separator!r} is not in the {self.available} bytes that are there"
        return _placed(sentence, self.at)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


def underrun(requested: int, available: int, separator: bytes | None = None, at: int | None = None) -> Underrun:
    """Return what ``Underrun(...)`` does, in a third of the time: one is made whenever a message is not whole yet."""
    made: Underrun = _new(Underrun, requested, available, separator, at)
    return made


_new: Final[Any] = BaseException.__new__


class LimitExceeded(BytebufsError, ValueError):
    """A message is longer than the ``limit`` in bytes that the caller set. Nothing was consumed.

    ``announced`` is how long it would be at least, counted as the limit is, where that was told beforehand: by the
    length in front of a frame, by how many bytes a parser reads at once. Else it is None. How much was seen is left out
    on purpose: it would depend on how the input was cut. ``at`` is the place of the read in the message, or of the
    frame in all that a framer was fed; None where there is none to tell.
    """

    def __init__(self, limit: int, announced: int | None = None, at: int | None = None) -> None:
        told = "" if announced is None else f" by the {announced} that are announced"
        super().__init__(_placed(f"the limit of {limit} {'byte' if limit == 1 else 'bytes'} is exceeded{told}", at))
        self.limit = limit
        self.announced = announced
        self.at = at


class FrameError(BytebufsError, ValueError):
    """Bytes that can never become right, whatever follows. Parsers of the library's users raise it too.

    ``reason`` says what is wrong, ``at`` where: a position in bytes, or None where there is none to tell. A reader
    counts it from the front of the whole message, also in a ``sub(n)``.
    """

    def __init__(self, reason: str, at: int | None = None) -> None:
        super().__init__(_placed(reason, at))
        self.reason = reason
        self.at = at


class TextError(FrameError, UnicodeDecodeError):
    """The bytes that a reader was to give as text are none in that ``encoding``.

    ``at`` is the place in the message of the first wrong byte. All else is as in every UnicodeDecodeError: ``object``
    are the bytes of the text, ``start`` and ``end`` what is wrong of them.
    """

    def __init__(self, encoding: str, data: bytes, start: int, end: int, reason: str, at: int) -> None:
        UnicodeDecodeError.__init__(self, encoding, data, start, end, reason)
        self.at = at

    def __str__(self) -> str:
        return _placed(UnicodeDecodeError.__str__(self), self.at)

    def __reduce__(self) -> tuple[Any, ...]:
        """Restore the fields, too, that only the builtin's own constructor fills."""
        return type(self), (*self.args, self.at), self.__dict__


class Fragmented(BytebufsError, BufferError):
    """One memoryview was wanted, but the bytes lie in several parts."""

    def __init__(self, parts: int) -> None:
        super().__init__(
            f"the bytes lie in {parts} parts: loop with 'for v in b.views()', or pay for one copy with b.contiguous()"
        )
        self.parts = parts


class CopyForbidden(BytebufsError, RuntimeError):
    """A copy of ``nbytes`` payload bytes for ``reason`` was about to happen inside ``no_copy()``. It did not."""

    def __init__(self, reason: str, nbytes: int) -> None:
        super().__init__(f"a copy of {nbytes} bytes ({reason}) inside no_copy()")
        self.reason = reason
        self.nbytes = nbytes


class TruncatedFile(BytebufsError, OSError):
    """``file`` should reach to byte ``expected`` and ends at byte ``found``."""

    def __init__(self, file: object, expected: int, found: int) -> None:
        super().__init__(f"{file} ends at byte {found}, expected at least {expected}")
        self.file = file
        self.expected = expected
        self.found = found


class BrokenSink(BytebufsError, OSError):
    """How many bytes the sink took is unknown, so nothing may be sent after them. ``reason`` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class BrokenSource(BytebufsError, OSError):
    """How many bytes a source gave is unknown, so what comes after them cannot be told. ``reason`` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Busy(BytebufsError, RuntimeError):
    """``what`` was in use when a second user came; nothing was done for him.

    A change was under way, below this call (a callback, a finalizer, a signal handler came into it) or in another
    thread. Once that has ended he may come again.
    """

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is in use")
        self.what = what


class ClosedError(BytebufsError, ValueError):
    """``what`` was used after it was closed."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is closed")
        self.what = what
