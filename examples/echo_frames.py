"""Echo frames: each is four bytes that give its length, and so many bytes.

    python -m examples.echo_frames --listen HOST:PORT

What a frame holds is received into memory once, and sent from there. A client that sends without reading is waited for:
once 64 KiB of its frames are on their way back, no further one is taken, and once as much as a frame may have has come
besides, nothing more is received. SIGTERM and SIGINT end the server, after it has answered what has come, 10 seconds
later at most.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

from bytebufs import LengthPrefixed, LimitExceeded, Underrun, aio

from .addresses import listening_address
from .listening import serve_until_told

__all__ = ["echo", "main"]

LIMIT = 1 << 20
"""Bytes that a frame may have, its length included."""
GRACE = 10.0


async def echo(stream: aio.Stream) -> None:
    """Send each frame back, until the client has sent its last one, or the server is closing."""
    framer = LengthPrefixed(4, limit=LIMIT)
    try:
        async for frame in stream.frames(framer):
            await stream.send(framer.encode(frame))
    except (Underrun, LimitExceeded, OSError) as error:  # faults of the client: the others are no worse for them
        print(f"echo_frames: {stream.get_extra_info('peername')}: {error}", file=sys.stderr)


async def _serve(host: str, port: int) -> None:
    async with await aio.start_server(echo, host, port) as server:
        await serve_until_told(server, grace=GRACE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its status."""
    parser = argparse.ArgumentParser(prog="echo_frames", description="Echo frames that begin with their length.")
    parser.add_argument("--listen", metavar="[HOST:]PORT", type=listening_address, required=True, help="port 0 for any")
    options = parser.parse_args(arguments)
    try:
        asyncio.run(_serve(*options.listen))
    except OSError as error:
        print(f"echo_frames: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
