"""The program: see the package's docstring.

python -m examples.kafka serve --data DIR --listen [HOST:]PORT [--flush sync|async|never] [--no-auto-create]
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

from bytebufs import aio

from ..addresses import listening_address
from ..listening import serve_until_told
from .broker import Broker
from .settings import LogSettings
from .store import Store

__all__ = ["main"]

GRACE = 3.0
"""Seconds that answers have which are under way when the program is told to end."""


async def _serve(options: argparse.Namespace) -> None:
    settings = LogSettings(flush=options.flush)
    store = Store(options.data, settings, auto_create=options.auto_create)
    broker = Broker(store)
    tending = asyncio.create_task(broker.tend())
    try:
        host, port = options.listen
        async with await aio.start_server(broker.serve, host, port, connections=broker.limits.connections) as server:
            broker.address = server.sockets[0].getsockname()[:2]
            await serve_until_told(server, grace=GRACE)
    finally:
        tending.cancel()
        await broker.aclose()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kafka", description="A Kafka broker that copies no records.")
    commands = parser.add_subparsers(required=True)
    serve = commands.add_parser("serve", help="be a broker")
    serve.add_argument("--data", metavar="DIR", type=Path, required=True)
    serve.add_argument("--listen", metavar="[HOST:]PORT", type=listening_address, required=True, help="port 0 for any")
    serve.add_argument("--flush", choices=["sync", "async", "never"], default="never")
    serve.add_argument("--no-auto-create", dest="auto_create", action="store_false")
    serve.set_defaults(run=lambda options: asyncio.run(_serve(options)))
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its status."""
    options = _parser().parse_args(arguments)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        options.run(options)
    except OSError as error:
        print(f"kafka: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
