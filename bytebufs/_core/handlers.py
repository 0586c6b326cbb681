"""Handlers of signals, which nobody runs between two calls of the system if the loop that makes them is compiled.

This module is never compiled: an interpreter looks for signals where a function written in Python begins.
"""

from __future__ import annotations

__all__ = ["run_handlers"]


def run_handlers() -> None:
    """Have those run whose signals came, and raise what they raise.

    A call that was interrupted when it had moved some bytes says how many, and not that it was interrupted: the next
    one would wait without end for a peer that takes nothing, and a Ctrl-C would be lost.
    """
