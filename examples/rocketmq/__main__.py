"""The program: ``python -m examples.rocketmq serve --data DIR --listen HOST:PORT``, and what one may do with it.

serve      a name server and broker; says where it listens, and ends on SIGTERM and SIGINT, after what has begun
produce    a message for each line of its input
consume    write out the messages of a topic, a line for each
inspect    a picture of a data directory: its files, and what is in them
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import resource
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Final

from bytebufs import CompositeBuffer, flush

from ..addresses import address_of, listening_address
from ..listening import serve_until_told
from .broker import serving
from .client import Client, ClientError
from .data_folder import StoreError
from .inspect import picture
from .limits import Limits
from .settings import Settings
from .store import Store

__all__ = ["connections_of", "main"]

_IN_FLIGHT: Final = 64
"""Messages that ``produce`` has sent and that are not stored yet."""
_OTHERS: Final = 64
"""Descriptors of ``serve`` that are neither maps nor connections: some files for a moment, and what pulls hold."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its status."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (OSError, ValueError, ClientError, StoreError) as error:
        print(f"rocketmq: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rocketmq", description="A RocketMQ name server and broker.")
    commands = parser.add_subparsers(required=True, metavar="serve|produce|consume|inspect")

    serve = commands.add_parser("serve", help="be a name server and broker")
    serve.set_defaults(run=_serve)
    serve.add_argument("--data", metavar="DIR", type=Path, required=True, help="made if it is not there")
    serve.add_argument("--listen", metavar="[HOST:]PORT", type=listening_address, required=True, help="port 0 for any")
    serve.add_argument("--flush", choices=["sync", "async", "never"], default="async", help="when to write to the disk")
    serve.add_argument("--no-auto-create", action="store_true", help="no topic but those that are asked for by name")
    serve.add_argument(
        "--log-file", metavar="BYTES", type=int, default=Settings.log_file, help="size of a file of the log"
    )
    serve.add_argument("--queue-file", metavar="BYTES", type=int, default=Settings.queue_file, help="of a queue's")
    serve.add_argument("--keep-ms", type=int, default=Settings.keep_ms, help="for which messages are kept")
    for one in fields(Limits):
        name = f"--{one.name.replace('_', '-')}"
        serve.add_argument(name, type=type(one.default), default=one.default, help=f"{one.default}: see limits.py")

    produce = commands.add_parser("produce", help="send a message for each line of the input")
    produce.set_defaults(run=lambda options: asyncio.run(_produce(options)))
    produce.add_argument("--tag", default="")

    consume = commands.add_parser("consume", help="write the messages of a topic, a line for each")
    consume.set_defaults(run=lambda options: asyncio.run(_consume(options)))
    consume.add_argument("--group", default="", help="go on where it has stopped; without one, from the beginning")
    consume.add_argument("--tags", default="*", help="'a || b'")
    consume.add_argument("--follow", action="store_true", help="wait for more at the end")
    for command in (produce, consume):
        command.add_argument("--broker", metavar="HOST:PORT", type=address_of, required=True)
        command.add_argument("--topic", required=True)

    inspect = commands.add_parser("inspect", help="show what a data directory has")
    inspect.set_defaults(run=_inspect)
    inspect.add_argument("--data", metavar="DIR", type=Path, required=True)
    return parser


def _settings(options: argparse.Namespace) -> Settings:
    sizes = {"log_file": options.log_file, "queue_file": options.queue_file, "keep_ms": options.keep_ms}
    if options.flush == "never":  # but when it ends
        return Settings(flush="async", flush_least=sys.maxsize, flush_thoroughly=math.inf, **sizes)
    return Settings(flush=options.flush, **sizes)


def _serve(options: argparse.Namespace) -> int:
    limits = Limits(**{one.name: getattr(options, one.name) for one in fields(Limits)})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(_served(options, replace(limits, connections=min(limits.connections, connections_of(most)))))
    return 0


def connections_of(descriptors: int) -> int:
    """Return how many of so many descriptors connections may have: without one, the log could not be written out."""
    return max(descriptors - Settings.maps - _OTHERS, descriptors // 4)


async def _served(options: argparse.Namespace, limits: Limits) -> None:
    host, port = options.listen
    may_create = not options.no_auto_create
    with contextlib.closing(Store(options.data, _settings(options))) as store:
        async with serving(store, options.data, limits, host, port, auto_create=may_create) as server:
            await serve_until_told(server, grace=limits.grace_time)


async def _produce(options: argparse.Namespace) -> int:
    """Send the lines of the input, to one queue after the other."""
    sent = 0
    room = asyncio.Semaphore(_IN_FLIGHT)
    async with Client.connect(*options.broker) as client, asyncio.TaskGroup() as tasks:
        queues = await client.queues(options.topic)

        async def send(queue: int, line: bytes) -> None:
            try:
                await client.send(options.topic, queue, line, tag=options.tag)
            finally:
                room.release()

        while line := await asyncio.to_thread(sys.stdin.buffer.readline):
            await room.acquire()
            tasks.create_task(send(sent % queues, line.rstrip(b"\n")))
            sent += 1
    print(f"{sent} messages are stored")
    return 0


async def _consume(options: argparse.Namespace) -> int:
    """Write out all queues of a topic, each by a task of its own."""
    async with Client.connect(*options.broker) as client:
        queues = await client.queues(options.topic)
        async with asyncio.TaskGroup() as tasks:
            for queue in range(queues):
                tasks.create_task(_consume_queue(client, queue, options))
    return 0


async def _consume_queue(client: Client, queue: int, options: argparse.Namespace) -> None:
    messages = client.messages(options.group, options.topic, queue, tags=options.tags, follow=options.follow)
    async for message in messages:
        flush(CompositeBuffer([message.body, b"\n"]), sys.stdout.fileno())


def _inspect(options: argparse.Namespace) -> int:
    print(picture(options.data))
    return 0


if __name__ == "__main__":
    sys.exit(main())
