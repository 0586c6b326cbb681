"""The remoting protocol of RocketMQ 4.x: commands, as bytes and as objects. No descriptor is known here.

    | length, 4 | kind 0 and length of the head, 1 + 3 | the head, in JSON | the body |

The first length is of all behind it. A head has the ``code`` (of the request, or how it went), ``flag`` (1: an answer,
2: none is wanted), ``opaque`` (a number that comes back with the answer), ``remark`` (an error, in words) and
``extFields``: a request's own fields, which clients write as strings, numbers or booleans as they like. A kind of 1
would be RocketMQ's own binary head, which clients use only if they are told to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from bytebufs import CompositeBuffer, SliceBuffer

if TYPE_CHECKING:
    from bytebufs import Reader

__all__ = ["VERSION", "Command", "FieldError", "RemotingError", "decode", "encode", "json_object", "read_length"]

VERSION: Final = 121
"""Of the protocol: V3_4_9, which ali-ons sends. A broker that says more is asked for what is not here."""
_IS_RESPONSE: Final = 1
_IS_ONEWAY: Final = 2
_LENGTHS: Final = 8


class RemotingError(ValueError):
    """The bytes are no command: whoever sent them cannot even be answered."""


class FieldError(ValueError):
    """A field of a command is missing, or is not what it has to be."""


@dataclass
class Command:
    """A request or an answer."""

    code: int
    opaque: int = 0
    flag: int = 0
    remark: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    body: CompositeBuffer | SliceBuffer | bytes = b""

    @property
    def is_response(self) -> bool:
        """Whether it is an answer."""
        return bool(self.flag & _IS_RESPONSE)

    @property
    def is_oneway(self) -> bool:
        """Whether no answer is wanted."""
        return bool(self.flag & _IS_ONEWAY)

    def answer(
        self, code: int, remark: str = "", *, body: CompositeBuffer | SliceBuffer | bytes = b"", **fields: object
    ) -> Command:
        """Return an answer to this request."""
        texts = {name: str(value) for name, value in fields.items()}
        return Command(code, self.opaque, _IS_RESPONSE, remark, texts, body)

    def text(self, name: str, default: str | None = None) -> str:
        """Return a field. Raises FieldError if it is not there."""
        value = self.fields.get(name, default)
        if value is None:
            raise FieldError(f"{name} is missing")
        return value

    def number(self, name: str, default: int | None = None, *, least: int = 0, most: int = (1 << 63) - 1) -> int:
        """Return a field that is a whole number. Raises FieldError if it is not that, or out of range."""
        text = self.text(name, None if default is None else str(default))
        try:
            value = int(text)
        except ValueError:
            raise FieldError(f"{name} is no number: {text[:40]!r}") from None
        if not least <= value <= most:
            raise FieldError(f"{name} is not from {least} to {most}: {text[:40]}")
        return value

    def flag_of(self, name: str) -> bool:
        """Return a field that is true or false."""
        return self.fields.get(name, "false").lower() == "true"


def read_length(reader: Reader) -> int:
    """Read how much of a command follows."""
    return reader.u32()


def decode(frame: SliceBuffer, *, most_head: int = 64 << 10) -> Command:
    """Read a command from what follows its length. Its body is a slice of that. Raises RemotingError."""
    if len(frame) < 4:
        raise RemotingError(f"a command of {len(frame)} bytes has no head")
    [word] = frame.unpack_from(">I")
    kind, size = word >> 24, word & 0xFFFFFF
    if kind:
        raise RemotingError(f"the head is of kind {kind}: only JSON, 0, is understood")
    if size > min(most_head, len(frame) - 4):
        raise RemotingError(f"a head of {size} bytes, in a command of {len(frame)}: {most_head} are taken at most")
    head = json_object(frame[4 : 4 + size])
    body = frame[4 + size :]
    return Command(
        _number_of(head, "code"), _number_of(head, "opaque"), _number_of(head, "flag"),
        _text_of(head.get("remark")), _fields_of(head.get("extFields")), body,
    )  # fmt: skip


def json_object(part: SliceBuffer | CompositeBuffer | bytes) -> dict[str, Any]:
    """Read an object of JSON. Raises RemotingError if it is anything else."""
    try:
        value = json.loads(str(part, "utf-8") if isinstance(part, bytes) else part.decode())
    except (ValueError, RecursionError) as error:
        raise RemotingError(f"no JSON: {error}") from None
    if not isinstance(value, dict):
        raise RemotingError("no object, but other JSON")
    return value


def encode(command: Command) -> CompositeBuffer:
    """Write a command: its lengths and head, and the parts of its body behind them, as they are."""
    head = json.dumps(
        {
            "code": command.code,
            "language": "PYTHON",
            "version": VERSION,
            "opaque": command.opaque,
            "flag": command.flag,
            "remark": command.remark or None,
            "extFields": command.fields,
            "serializeTypeCurrentRPC": "JSON",
        },
        separators=(",", ":"),
    ).encode()
    buffer = CompositeBuffer()
    buffer.pack(">II", _LENGTHS - 4 + len(head) + len(command.body), len(head))
    buffer.append(head)
    if command.body:
        buffer.append(command.body)
    return buffer


def _number_of(head: Mapping[str, Any], name: str) -> int:
    value = head.get(name, 0)
    if type(value) is not int or not -(1 << 31) <= value < 1 << 31:
        raise RemotingError(f"{name} is no 32-bit number")
    return value


def _text_of(value: object) -> str:
    return value if isinstance(value, str) else ""


def _fields_of(value: object) -> dict[str, str]:
    """Return fields as strings, whatever they were written as. Nulls are as good as missing."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RemotingError("extFields is no object")
    fields = {}
    for name, item in value.items():
        if isinstance(item, (dict, list)):
            raise RemotingError(f"the field {name[:40]!r} is no plain value")
        if item is not None:
            fields[name] = item if isinstance(item, str) else str(item).lower() if isinstance(item, bool) else str(item)
    return fields
