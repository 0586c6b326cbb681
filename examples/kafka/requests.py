"""Requests and answers as they stand on the wire: headers, and which handler a request is for.

    request    length (4) │ key (2) │ version (2) │ correlation (4) │ client (2 and text, or null) │ tags │ message
    answer     length (4) │ correlation (4) │ tags │ message

Tagged fields are in the headers of flexible versions only, and never in that of an answer about versions: a client that
asks cannot know yet. A version of ApiVersions that is not known is answered with error 35 in version 0, from which
clients learn what to ask in. Other requests that are not offered have no answer that their clients could read: the
connection is closed, as Kafka does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, final

from bytebufs import BaseBuffer, FrameError, Reader

from .errors import Error
from .fields import Api, Message, encode, parse, pass_tags, read_nullable
from .messages import API_VERSIONS

__all__ = ["Context", "Handler", "Handlers", "Request", "encode_answer", "parse_request", "told_versions"]

Handler: TypeAlias = Callable[[Any, Message, Any], Awaitable[Message | None]]
"""Takes the broker, the message and its context. None: the client wants no answer."""
Handlers: TypeAlias = Mapping[int, tuple[Api, Handler]]
"""By their keys: the messages, and what answers them."""


@final
@dataclass(frozen=True, slots=True)
class Context:
    """What a handler may want to know beside the message."""

    version: int
    client: str


@final
@dataclass(frozen=True, slots=True)
class Request:
    """A request that has been understood."""

    api: Api
    handler: Handler
    correlation: int
    context: Context
    message: Message


def parse_request(frame: BaseBuffer, handlers: Handlers) -> Request:
    """Understand a request.

    Raises:
        FrameError: it is for nobody here, or is not what it says that it is.
        Underrun: it ends too early.
    """
    reader = frame.reader()
    key, version, correlation = reader.i16_be(), reader.i16_be(), reader.i32_be()
    client = read_nullable(reader) or ""
    if key not in handlers:
        raise FrameError(f"a request for API {key}, which is not offered")
    api, handler = handlers[key]
    if not api.oldest <= version <= api.newest:
        if api is not API_VERSIONS:
            raise FrameError(f"a request for API {key} in version {version}, which is not offered")
        return Request(api, _refuse_version, correlation, Context(0, client), {})
    if version >= api.request.flexible:
        pass_tags(reader)
    return Request(api, handler, correlation, Context(version, client), _parsed(api, version, reader))


def encode_answer(request: Request, message: Message) -> list[bytes | BaseBuffer]:
    """Make the parts of an answer, its length in front."""
    api, version = request.api, request.context.version
    parts = encode(api.answer, version, message)
    has_tags = version >= api.answer.flexible and api is not API_VERSIONS
    header = request.correlation.to_bytes(4, "big", signed=True) + (b"\0" if has_tags else b"")
    length = len(header) + sum(map(len, parts))
    return [length.to_bytes(4, "big") + header, *parts]


def told_versions(handlers: Handlers) -> list[Message]:
    """What is offered."""
    apis = [api for api, _ in handlers.values()]
    return [{"api_key": api.key, "min_version": api.oldest, "max_version": api.newest} for api in apis]


def _parsed(api: Api, version: int, reader: Reader) -> Message:
    message = parse(api.request, version, reader)
    if not reader.at_end:
        raise FrameError(f"{reader.remaining} bytes too many in a request for API {api.key}")
    return message


async def _refuse_version(_broker: Any, _message: Message, _context: Context) -> Message:
    """Say what may be asked instead; the one version that counts for that is our own."""
    told: Final = {"api_key": API_VERSIONS.key, "min_version": API_VERSIONS.oldest, "max_version": API_VERSIONS.newest}
    return {"error_code": Error.UNSUPPORTED_VERSION, "api_keys": [told]}
