"""What makes ``memoryview(buffer)`` work on 3.12 and newer when the buffers are compiled.

A compiled class does not wire ``__buffer__`` into its type, but inherits the slot of an interpreted base. This
one stays interpreted; its stub calls it ``object``, so that the compiler gives its heirs no ``__dict__``.
"""

from __future__ import annotations

from typing import NoReturn

__all__ = ["Exporter"]


class Exporter:
    """A base that fills the buffer slot (PEP 688). The heirs define ``__buffer__`` themselves."""

    __slots__ = ()

    # For numpy a buffer in several parts, and any before 3.12, would be a sequence of numbers in one build and an odd
    # object in the other. So its operators are ours instead, and a conversion says what to write.
    __array_ufunc__ = None

    def __array__(self, *args: object, **kwargs: object) -> NoReturn:
        name = type(self).__name__
        raise TypeError(f"numpy takes no {name} here: write numpy.frombuffer(b.contiguous(), numpy.uint8)")

    def __buffer__(self, flags: int) -> memoryview:
        raise NotImplementedError

    def __release_buffer__(self, view: memoryview) -> None:
        """Say that memory is exported for as long as somebody holds the export, and not for as long as self lives.

        There is nothing to do. But of what has no such method C code may let the export go and use the memory
        afterwards, as numpy does; that of a drained part, or of a copy, is freed by then.
        """
