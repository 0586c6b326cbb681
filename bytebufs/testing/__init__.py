"""What tests of parsers need. `import bytebufs` does not load this."""

from .hostile import HOSTILE, HostileStream

__all__ = [
    "HOSTILE",
    "HostileStream",
]
