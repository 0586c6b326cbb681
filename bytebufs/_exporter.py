"""What makes ``memoryview(buffer)`` work on 3.12 and newer when the buffers are compiled.

A compiled class does not wire ``__buffer__`` into its type, but inherits the slot of an interpreted base. This
one stays interpreted; its stub calls it ``object``, so that the compiler gives its heirs no ``__dict__``.
"""

from __future__ import annotations

__all__ = ["Exporter"]


class Exporter:
    """A base that fills the buffer slot (PEP 688). The heirs define ``__buffer__`` themselves."""

    __slots__ = ()

    def __buffer__(self, flags: int) -> memoryview:
        raise NotImplementedError
