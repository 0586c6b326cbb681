"""The program: ``python -m examples.http_proxy --listen HOST:PORT --to HOST:PORT``.

Says where it listens, then a line for each request: method, target, status (499: the client had gone, -: the proxy
had), bytes of the answer's body, seconds, and what went wrong. Who starts it has to read them. Ends on SIGTERM and
SIGINT, after what it has begun.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import TypeVar

from ..addresses import address_of, listening_address
from ..listening import serve_until_told
from .limits import Limits, Patience
from .proxy import Proxy

__all__ = ["main"]

_T = TypeVar("_T", Limits, Patience)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its status."""
    parser = argparse.ArgumentParser(prog="http_proxy", description="Forward HTTP/1.1 to a server behind.")
    parser.add_argument("--listen", metavar="[HOST:]PORT", type=listening_address, required=True, help="port 0 for any")
    parser.add_argument("--to", metavar="HOST:PORT", type=address_of, required=True, help="the server behind")
    for kind in (Limits, Patience):
        group = parser.add_argument_group(kind.__name__, kind.__doc__)
        for one in fields(kind):
            name = f"--{one.name.replace('_', '-')}"
            group.add_argument(name, type=type(one.default), default=one.default, help=f"{one.default}")
    options = parser.parse_args(arguments)
    try:
        limits, patience = _made(Limits, options), _made(Patience, options)
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        asyncio.run(_serve(options.listen, Proxy(options.to, limits, patience, _log), patience.grace_time))
    except (OSError, ValueError) as error:
        print(f"http_proxy: {error}", file=sys.stderr)
        return 2
    return 0


def _made(kind: type[_T], options: argparse.Namespace) -> _T:
    return kind(**{name: value for name, value in vars(options).items() if name in kind.__annotations__})


async def _serve(listen: tuple[str, int], proxy: Proxy, grace: float) -> None:
    try:
        async with await proxy.start(*listen) as server:
            await serve_until_told(server, grace=grace)
    finally:
        proxy.close()


def _log(line: str) -> None:
    try:
        print(line, flush=True)
    except OSError:  # nobody reads any more, which is no reason to serve nobody
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
