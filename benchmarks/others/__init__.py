"""Others' parsers, with their own buffer and with ours in the place of it.

Each parser is the one that its project ships; only the object that holds what came in is exchanged, for one that does
the same by this library's public calls, and hands out bytes, copied, where theirs does. That is no use of a library
that copies nothing; it is what trying it in a grown program costs before anything else is changed.

_place      what a place is, and how it is measured
_h11        ReceiveBuffer, below its readers of heads and bodies
_websockets StreamReader, below the frames of a Protocol
_tornado    the read buffer of an IOStream
_aiohttp    the deque in a StreamReader
_urllib3    BytesQueueBuffer, below HTTPResponse.read
_redis      SocketBuffer, below the RESP3 parser
_h2         FrameBuffer, below hyperframe
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Final

from .._harness import Cell
from . import _aiohttp, _h2, _h11, _redis, _tornado, _urllib3, _websockets
from ._place import CHUNKS, SIZES, Place, cell

__all__ = ["PLACES", "plan"]

PLACES: Final[list[Place]] = [
    _h11.PLACE, _websockets.PLACE, _tornado.PLACE, _aiohttp.PLACE, _urllib3.PLACE, _redis.PLACE, _h2.PLACE,
]  # fmt: skip


def plan(*, quick: bool) -> list[Callable[[], Cell]]:
    """Return the cells, to be made when their turn comes."""
    nbytes = 1 << 10 if quick else 1 << 20
    return [partial(cell, place, size, chunk, nbytes) for place, size, chunk in product(PLACES, SIZES, CHUNKS)]
