"""The program: see the package's docstring.

python -m examples.kafka serve --data DIR --listen [HOST:]PORT [--flush sync|async|never] [--no-auto-create]
python -m examples.kafka produce BROKER TOPIC [--partition N] [--key KEY]
python -m examples.kafka consume BROKER TOPIC [--partition N] [--from OFFSET] [--follow]
python -m examples.kafka inspect DIR
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bytebufs import BytebufsError, CompositeBuffer, aio

from ..addresses import address_of, listening_address
from ..listening import serve_until_told
from .broker import Broker
from .client import Client
from .errors import Refused
from .inspect import picture
from .records import Record
from .settings import LogSettings
from .store import Store, StoreLockedError

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


async def _produce(options: argparse.Namespace) -> None:
    """A record for each line, and a batch: it is with the broker before the next line is read."""
    async with await aio.open_connection(*options.broker) as stream:
        client = Client(stream)
        await client.partitions(options.topic)
        for line in sys.stdin.buffer:
            record = Record(0, time.time_ns() // 1_000_000, options.key, line.removesuffix(b"\n"))
            print(await client.produce(options.topic, options.partition, [record]), flush=True)


async def _consume(options: argparse.Namespace) -> None:
    async with await aio.open_connection(*options.broker) as stream:
        client = Client(stream)
        start, end = await client.bounds(options.topic, options.partition)
        offset = max(start, options.start)
        if offset >= end and not options.follow:
            return
        async for record in client.records(options.topic, options.partition, offset):
            sys.stdout.buffer.writelines(CompositeBuffer([record.value or b"", b"\n"]).views())
            sys.stdout.buffer.flush()
            if record.offset + 1 >= end and not options.follow:
                return


async def _inspect(options: argparse.Namespace) -> None:
    for line in picture(options.data):
        print(line)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kafka", description="A Kafka broker that copies no records, and a client.")
    commands = parser.add_subparsers(required=True)
    _add_serve(commands.add_parser("serve", help="be a broker"))
    for name, does, run in (
        ("produce", "write a record for each line of standard input, and say its offset", _produce),
        ("consume", "write the value of each record as a line", _consume),
    ):
        command = commands.add_parser(name, help=does)
        command.add_argument("broker", metavar="HOST:PORT", type=address_of)
        command.add_argument("topic", metavar="TOPIC")
        command.add_argument("--partition", metavar="N", type=int, default=0)
        command.set_defaults(run=run)
    commands.choices["produce"].add_argument("--key", type=str.encode)
    inspect = commands.add_parser("inspect", help="show a data directory: segments, indexes, what is held")
    inspect.add_argument("data", metavar="DIR", type=Path)
    inspect.set_defaults(run=_inspect)
    consume = commands.choices["consume"]
    consume.add_argument("--from", dest="start", metavar="OFFSET", type=int, default=0)
    consume.add_argument("--follow", action="store_true", help="go on waiting for more")
    return parser


def _add_serve(serve: argparse.ArgumentParser) -> None:
    serve.add_argument("--data", metavar="DIR", type=Path, required=True)
    serve.add_argument("--listen", metavar="[HOST:]PORT", type=listening_address, required=True, help="port 0 for any")
    serve.add_argument("--flush", choices=["sync", "async", "never"], default="never")
    serve.add_argument("--no-auto-create", dest="auto_create", action="store_false")
    serve.set_defaults(run=_serve)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its status."""
    options = _parser().parse_args(arguments)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        asyncio.run(options.run(options))
    except (OSError, BytebufsError, Refused, StoreLockedError) as error:
        print(f"kafka: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
