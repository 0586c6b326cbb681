"""What the two builds are asked, each in a process of its own, by tests/test_builds.py.

    PYTHONPATH=FOLDER python -P tests/build_probes.py FOLDER

Prints one JSON object: `compiled`, `documentation` by name, and `outcomes` by the name of the probe. An outcome is what
a user can see of a call: `["returned", what, how the buffer is then]` or `["raised", type, message, how the buffer is
then]`, without anything that differs from run to run.
"""

from __future__ import annotations

import array
import contextlib
import copy
import gc
import hashlib
import inspect
import io
import json
import operator
import os
import pickle
import pydoc
import random
import re
import socket
import struct
import sys
import threading
import weakref
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

import numpy as np

import bytebufs
import bytebufs.files
import bytebufs.sending
from bytebufs import (
    BaseBuffer,
    CompositeBuffer,
    CopyAudit,
    Delimited,
    FixedLength,
    Framer,
    LengthPrefixed,
    Lines,
    Reader,
    SliceBuffer,
    VarintPrefixed,
    copy_audit,
    no_copy,
)
from bytebufs.composite_buffer import load_composite
from bytebufs.slice_buffer import load_slice

Probe: TypeAlias = tuple[str, Callable[[], Any], Callable[[], Any]]
"""A name, the call, and how to look at its subject afterwards."""


# -- subjects ------------------------------------------------------------------------------------------------


def one_part() -> SliceBuffer:
    return SliceBuffer(b"hello, world\n")


def many_parts() -> SliceBuffer:
    return composite().freeze()


def composite() -> CompositeBuffer:
    return CompositeBuffer([b"hel", bytearray(b"lo, "), memoryview(b"<<wor>>")[2:5], array.array("B", b"ld\n")])


def writable() -> CompositeBuffer:
    return CompositeBuffer([bytearray(b"hello, "), bytearray(b"world\n")])


def reader() -> Reader:
    return CompositeBuffer([bytes([0x85, 1]), bytearray(b"\x02\x03\n"), bytes(range(48, 80))]).reader()


SUBJECTS: Final[dict[str, Callable[[], Any]]] = {
    "one part": one_part,
    "many parts": many_parts,
    "composite": composite,
    "writable": writable,
    "reader": reader,
    "FixedLength": lambda: FixedLength(2),
    "Delimited": lambda: Delimited(b";", b"\n", limit=20),
    "Lines": lambda: Lines(20),
    "LengthPrefixed": lambda: LengthPrefixed(1, limit=20),
    "VarintPrefixed": lambda: VarintPrefixed(20),
}

_SUB: Final = {"sub": b"o", "start": 1, "end": 11}
_FIX: Final = {"prefix": b"he", "start": 0, "end": 11}
_NONE: Final[dict[str, Any]] = {}

# Arguments that are right, by method and parameter. `*name`: keyword-only. `+name`: one of any number.
READING: Final[dict[str, dict[str, Any]]] = {
    "compact": _NONE,
    "contiguous": _NONE,
    "copy_into": {"dest": bytearray(20), "start": 1, "stop": 5},
    "count": _SUB,
    "decode": {"encoding": "utf-8", "errors": "strict"},
    "endswith": {"suffix": b"ld\n", "start": 0, "end": 13},
    "find": _SUB,
    "hex": {"sep": ":", "bytes_per_sep": 2},
    "hexdump": {"width": 8},
    "index": _SUB,
    "iter_unpack": {"fmt": ">B"},
    "layout": _NONE,
    "lstrip": {"chars": b"eh"},
    "pack_into": {"fmt": ">B", "at": 1, "+values": 200},
    "partition": {"sep": b"o"},
    "reader": {"byteorder": "little"},
    "removeprefix": {"prefix": b"he"},
    "removesuffix": {"suffix": b"\n"},
    "rfind": _SUB,
    "rindex": _SUB,
    "rpartition": {"sep": b"o"},
    "rstrip": {"chars": b"\nd"},
    "split": {"sep": b"o", "maxsplit": 1},
    "splitlines": {"keepends": True},
    "startswith": _FIX,
    "strip": {"chars": b"\nh"},
    "tobytes": _NONE,
    "unpack_from": {"fmt": ">H", "at": 2},
    "view": _NONE,
    "views": _NONE,
    "write_at": {"at": 1, "data": b"xy"},
}

_NUMBERS: Final = [
    *(f"{kind}{bits}" for kind in "ui" for bits in (8, 16, 24, 32, 64)),
    *(f"{kind}{bits}_{order}" for kind in "ui" for bits in (16, 24, 32, 64) for order in ("be", "le")),
    *(f"f{bits}{order}" for bits in (32, 64) for order in ("", "_be", "_le")),
]

BUILDING: Final[dict[str, dict[str, Any]]] = {
    **{f"pack_{name}": {"value": 77} for name in _NUMBERS},
    "append": {"part": b"abc"},
    "appendleft": {"part": b"abc"},
    "clear": _NONE,
    "consolidate": {"start": 1, "stop": 9},
    "extend": {"parts": [b"abc", b"d"]},
    "first": _NONE,
    "freeze": _NONE,
    "insert": {"at": 3, "part": b"abc"},
    "insert_varint": {"at": 3, "value": 300},
    "pack": {"fmt": ">BH", "+values": 7, "+more": 8},
    "pack_text": {"text": "abc", "encoding": "utf-16-le"},
    "pack_uint": {"value": 77, "n": 3, "byteorder": "little"},
    "pack_varint": {"value": 300},
    "parse": {"fn": Reader.u16, "*limit": 100, "*byteorder": "big"},
    "reserve": {"n": 4},
    "skip": {"n": 4},
    "skip_until": {"sep": b"o", "+seps": b"w"},
    "splice": {"start": 2, "stop": 5, "part": b"abc"},
    "take": {"n": 4},
    "take_all": _NONE,
    "take_at_most": {"n": 4},
    "take_bytes": {"n": 4},
    "take_part": _NONE,
    "take_until": {"sep": b"o", "+seps": b"w", "*limit": 100, "*keepends": False},
    "truncate": {"n": 4},
}

CURSOR: Final[dict[str, dict[str, Any]]] = {
    **dict.fromkeys([*_NUMBERS, *(f"peek_{name}" for name in _NUMBERS), "zigzag", "take_rest"], _NONE),
    "array": {"typecode": "H", "n": 2},
    "cstring": {"*limit": 30},
    "expect": {"literal": b"\x85\x01\x02"},
    "limited": {"n": 9},
    "line": {"*limit": 30},
    "peek": {"n": 3},
    "seek": {"position": 3},
    "sint": {"n": 3},
    "skip": {"n": 3},
    "sub": {"n": 3},
    "take": {"n": 3},
    "take_bytes": {"n": 3},
    "text": {"n": 1, "encoding": "latin-1"},
    "uint": {"n": 3},
    "unpack": {"fmt": ">BH"},
    "until": {"sep": b"\n", "+seps": b";", "*limit": 30},
    "varint": {"*max_bytes": 3, "*minimal": False},
}

FRAMING: Final[dict[str, dict[str, Any]]] = {
    "detach": _NONE,
    "encode": {"payload": b"ab"},
    "end": _NONE,
    "feed": {"part": b"\x02ab;d\n"},
}

METHODS: Final[dict[str, dict[str, dict[str, Any]]]] = {
    "one part": {**READING, "toreadonly": _NONE},
    "many parts": {**READING, "toreadonly": _NONE},
    "composite": {**READING, **BUILDING},
    "writable": {
        "pack_into": READING["pack_into"],
        "write_at": READING["write_at"],
        "copy_into": READING["copy_into"],
        "view": _NONE,
    },
    "reader": CURSOR,
    **{name: FRAMING for name in SUBJECTS if isinstance(SUBJECTS[name](), Framer)},
}

MADE: Final[dict[str, tuple[Callable[..., Any], dict[str, Any]]]] = {
    "SliceBuffer()": (SliceBuffer, {"obj": b"hello", "start": 1, "stop": 4}),
    "CompositeBuffer()": (CompositeBuffer, {"parts": [b"a", b"bc"], "*coalesce_below": 2}),
    "FixedLength()": (FixedLength, {"n": 3}),
    "Delimited()": (
        Delimited,
        {"+sep": b";", "+seps": b"\r\n", "*limit": 9, "*keepends": True, "*on_error": "skip"},
    ),
    "Lines()": (Lines, {"limit": 9, "*keepends": True, "*on_error": "skip"}),
    "LengthPrefixed()": (
        LengthPrefixed,
        {
            "size": 2,
            "*byteorder": "little",
            "*offset": 1,
            "*adjust": 1,
            "*includes_header": False,
            "*strip": 3,
            "*limit": 99,
            "*on_error": "skip",
        },
    ),
    "VarintPrefixed()": (VarintPrefixed, {"limit": 9, "*on_error": "skip"}),
    "load_slice()": (load_slice, {"parts": [b"a", bytearray(b"bc")]}),
    "load_composite()": (load_composite, {"parts": [b"a", bytearray(b"bc")], "coalesce_below": 2}),
    "copy_audit()": (copy_audit, {}),
    "no_copy()": (no_copy, {"*strict": True}),
}


# -- arguments that nobody expects ---------------------------------------------------------------------------


class Index:
    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def __index__(self) -> int:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer  # type: ignore[no-any-return]  # and not an int, now and then

    def __repr__(self) -> str:
        return f"Index({self.answer!r})"


class Int(int): ...


class Str(str):
    __slots__ = ()


class Bytes(bytes): ...


class Liar(bytearray):
    """Says that it is longer than it is."""

    def __len__(self) -> int:
        return 100


AWKWARD: Final[dict[str, Callable[[], Any]]] = {
    "2**63": lambda: 2**63,
    "2**63-1": lambda: 2**63 - 1,
    "2**64-1": lambda: 2**64 - 1,
    "2**70": lambda: 2**70,
    "-1": lambda: -1,
    "-2**63": lambda: -(2**63),
    "-2**70": lambda: -(2**70),
    "0": lambda: 0,
    "2**62": lambda: 2**62,  # one bit more than mypyc's short ints
    "300": lambda: 300,
    "True": lambda: True,
    "False": lambda: False,
    "numpy.int64(2)": lambda: np.int64(2),
    "numpy.int8(-1)": lambda: np.int8(-1),
    "numpy.uint8(111)": lambda: np.uint8(111),
    "numpy.uint64(2**64-1)": lambda: np.uint64(2**64 - 1),
    "numpy.float64(1)": lambda: np.float64(1),
    "numpy.bool_": lambda: np.bool_(True),
    "numpy.array": lambda: np.array([111], np.uint8),
    "numpy.array strided": lambda: np.arange(6, dtype=np.uint8)[::2],
    "Index(2)": lambda: Index(2),
    "Index(2**70)": lambda: Index(2**70),
    "Index(Int(2))": lambda: Index(2),
    "Index('2')": lambda: Index("2"),
    "Index that fails": lambda: Index(ZeroDivisionError("no index")),
    "Int(3)": lambda: Int(3),
    "1.0": lambda: 1.0,
    "nan": lambda: float("nan"),
    "1j": lambda: 1j,
    "'1'": lambda: "1",
    "''": lambda: "",
    "Str('o')": lambda: Str("o"),
    "None": lambda: None,
    "b''": lambda: b"",
    "b'o'": lambda: b"o",
    "b'none of it'": lambda: b"none of it",
    "Bytes(b'o')": lambda: Bytes(b"o"),
    "bytearray(b'o')": lambda: bytearray(b"o"),
    "Liar(b'o')": lambda: Liar(b"o"),
    "memoryview(b'o')": lambda: memoryview(b"o"),
    "memoryview strided": lambda: memoryview(b"abcdef")[::2],
    "memoryview of H": lambda: memoryview(array.array("H", [1, 2])),
    "memoryview released": lambda: _released(),
    "memoryview read-only": lambda: memoryview(bytearray(b"o")).toreadonly(),
    "array of d": lambda: array.array("d", [0.5]),
    "slice of ours": lambda: SliceBuffer(b"o"),
    "slice of ours in parts": lambda: CompositeBuffer([b"o", b","]).freeze(),
    "composite of ours": lambda: CompositeBuffer([b"o", b","]),
    "()": lambda: (),
    "(b'h', b'\\n')": lambda: (b"h", b"\n"),
    "[]": lambda: [],
    "[b'a', 'b']": lambda: [b"a", "b"],
    "{}": lambda: {},
    "object": object,
    "...": lambda: ...,
    "type": lambda: SliceBuffer,
    "function": lambda: len,
    "slice(1, 3)": lambda: slice(1, 3),
    "Struct": lambda: struct.Struct(">H"),
    "'>Q'": lambda: ">Q",
    "'@i'": lambda: "@i",
    "'skip'": lambda: "skip",
    "'big'": lambda: "big",
    "generator": lambda: (part for part in (b"x", b"y")),
    "BytesIO": lambda: io.BytesIO(b"o"),
}


def _released() -> memoryview:
    view = memoryview(b"o")
    view.release()
    return view


def mutations(wanted: dict[str, Any]) -> Iterator[tuple[str, list[Any], dict[str, Any]]]:
    """Yield ways to call something, as a name, positional and keyword arguments: one right, all others odd."""

    def build(by_name: bool, changes: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        positional, named = [], {}
        for key, right in wanted.items():
            value = changes.get(key, right)
            if key.startswith("*") or (by_name and not key.startswith("+")):
                named[key.lstrip("*")] = value
            else:
                positional.append(value)
        return positional, named

    yield "", *build(False, {})
    yield "by name", *build(True, {})
    positional, named = build(False, {})
    for count in range(len(positional)):
        yield f"{count} positional", positional[:count], named
    for name in named:
        yield f"without {name}", positional, {key: named[key] for key in named if key != name}
    yield "one too many", [*positional, 1], named
    yield "unknown keyword", positional, {**named, "nobody": 1}
    if positional and not any(key.startswith("+") for key in wanted):
        yield "twice", positional, {**named, next(iter(wanted)): 1}
    for key in wanted:
        for label, make in AWKWARD.items():
            yield f"{key.lstrip('*+')}={label}", *build(False, {key: make()})


# -- outcomes ------------------------------------------------------------------------------------------------

_ADDRESS: Final = re.compile(r"(0x|\.x)[0-9a-f]{3,}")  # reprlib may have shortened it
_CONTENT_MAX: Final = 300


def described(value: Any, depth: int = 0) -> Any:
    """Return what can be seen of a value, as JSON has it."""
    if isinstance(value, bool | None):
        return repr(value)
    if isinstance(value, BaseBuffer):
        sizes = [len(view) for view in value.views()]
        return [type(value).__name__, repr(bytes(value)[:_CONTENT_MAX]), sizes, value.readonly]
    if isinstance(value, memoryview):
        return ["memoryview", repr(bytes(value)[:_CONTENT_MAX]), value.format, value.readonly]
    if isinstance(value, Reader):
        return ["Reader", value.byteorder, value.position, value.remaining]
    if isinstance(value, Framer):
        return [type(value).__name__, value.pending, value.skipped]
    if isinstance(value, CopyAudit):
        return [repr(value), value.by_reason]
    if depth < 3 and isinstance(value, list | tuple):
        return [type(value).__name__, *[described(item, depth + 1) for item in value]]
    if depth < 3 and hasattr(value, "__next__") and not isinstance(value, io.IOBase):
        return ["iterator", *_drawn(value, depth)]
    return [type(value).__name__, _ADDRESS.sub("", repr(value))[:_CONTENT_MAX]]


def _drawn(iterator: Iterator[Any], depth: int) -> list[Any]:
    drawn: list[Any] = []
    try:
        for _, item in zip(range(20), iterator, strict=False):
            drawn.append(described(item, depth + 1))
    except Exception as error:
        drawn.append(["raised", type(error).__name__, str(error)])
    return drawn


def _chain(error: BaseException) -> list[str]:
    """Name the exceptions that a traceback shows above this one."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return [] if before is None else [type(before).__name__, *_chain(before)]


def outcome(call: Callable[[], Any], look: Callable[[], Any]) -> list[Any]:
    try:
        result = ["returned", described(call())]
    except Exception as error:
        result = ["raised", type(error).__name__, _ADDRESS.sub("", str(error)), _chain(error)]
    try:
        return [*result, described(look())]
    except Exception as error:
        return [*result, ["broken", type(error).__name__, str(error)]]


# -- families of probes --------------------------------------------------------------------------------------


def _nothing() -> None:
    return None


def _itself(subject: Any) -> Any:
    return subject


def calls() -> Iterator[Probe]:
    """Every public method, with every right and odd argument."""
    for kind, methods in METHODS.items():
        for method, wanted in methods.items():
            for label, positional, named in mutations(wanted):
                subject = SUBJECTS[kind]()
                yield (
                    f"{kind}.{method}({label})",
                    partial(getattr(subject, method), *positional, **named),
                    partial(_itself, subject),
                )
    for name, (make, wanted) in MADE.items():
        for label, positional, named in mutations(wanted):
            yield f"{name} {label}", partial(make, *positional, **named), _nothing


def _pickled(protocol: int, b: Any) -> bytes:
    return pickle.dumps(b, protocol)


def _loaded(protocol: int, b: Any) -> Any:
    with copy_audit() as audit:
        return pickle.loads(_pickled(protocol, b)), audit


def _carried(b: Any) -> Any:
    """Let the parts go beside the pickle."""
    frames: list[pickle.PickleBuffer] = []
    with no_copy(strict=True):
        packed = pickle.dumps(b, protocol=5, buffer_callback=frames.append)
        return packed, [frame.raw() for frame in frames], pickle.loads(packed, buffers=frames)


def _assign(b: Any, key: Any) -> None:
    b[key] = 1


def _delete(b: Any, key: Any) -> None:
    del b[key]


OPERATORS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "b[v]": operator.getitem,
    "b[v:]": lambda b, v: b[v:],
    "b[:v]": lambda b, v: b[:v],
    "b[::v]": lambda b, v: b[::v],
    "v in b": operator.contains,
    "b == v": operator.eq,
    "b != v": operator.ne,
    "v == b": lambda b, v: v == b,
    "b < v": operator.lt,
    "b <= v": operator.le,
    "v < b": lambda b, v: v < b,
    "v >= b": lambda b, v: v >= b,
    "b + v": operator.add,
    "v + b": lambda b, v: v + b,
    "b += v": operator.iadd,
    "b * v": operator.mul,
    "v * b": lambda b, v: v * b,
    "b *= v": operator.imul,
    "b % v": operator.mod,
    "b - v": operator.sub,
    "b | v": operator.or_,
    "b @ v": operator.matmul,
    "b[v] = 1": _assign,
    "del b[v]": _delete,
}


def operators() -> Iterator[Probe]:
    for kind in ("one part", "many parts", "composite"):
        for name, call in OPERATORS.items():
            for label, make_value in AWKWARD.items():
                if label.startswith("numpy") and name in {"v == b", "v < b", "v >= b", "v + b", "v * b"}:
                    continue  # numpy asks the buffer item by item, or not at all: its own matter
                subject = SUBJECTS[kind]()
                yield f"{kind}: {name}, v={label}", partial(call, subject, make_value()), partial(_itself, subject)


CONVERSIONS: Final[dict[str, Callable[[Any], Any]]] = {
    "bool": bool,
    "len": len,
    "repr": repr,
    "str": str,
    "format": lambda b: f"{b!r:>80}|{b!s}",
    "format with a spec": lambda b: format(b, ">80"),
    "bytes": bytes,
    "list": list,
    "reversed": lambda b: list(reversed(b)),
    "iter": iter,
    "hash": lambda b: type(hash(b)),
    "int": int,
    "float": float,
    "index": operator.index,
    "neg": operator.neg,
    "call": lambda b: b(),
    "max": max,
    "sorted": sorted,
    "set": set,
    "with": lambda b: b.__enter__(),
    "length hint": operator.length_hint,
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle {protocol}": partial(_pickled, protocol) for protocol in range(6)},
    **{f"pickle {protocol} and load": partial(_loaded, protocol) for protocol in range(6)},
    "pickle beside the parts": _carried,
    "weakref": lambda b: weakref.ref(b)() is b,
    "__dict__": lambda b: b.__dict__,
    "vars": vars,
    "dir": lambda b: [name for name in dir(b) if not name.startswith("_")],
    "json": json.dumps,
    "set an unknown attribute": lambda b: setattr(b, "colour", 1),
    "delete an unknown attribute": lambda b: delattr(b, "colour"),
    "get an unknown attribute": lambda b: b.colour,
    "tracked by gc": gc.is_tracked,
    "isinstance": lambda b: [isinstance(b, kind) for kind in (BaseBuffer, SliceBuffer, CompositeBuffer, Reader)],
    "type": lambda b: [type(b).__module__, type(b).__name__, type(b).__qualname__],
    "metaclass": lambda b: type(type(b)) is type,
    "bases": lambda b: [base.__name__ for base in type(b).__mro__],
    "equals itself": lambda b: [b == b, b != b],
}

PROTOCOLS: Final[dict[str, Callable[[Any], Any]]] = {
    "memoryview": memoryview,
    "bytearray": bytearray,
    "join": lambda b: b"".join([b"<", b, b">"]),
    "sha256": lambda b: hashlib.sha256(b).hexdigest(),
    "crc32": zlib.crc32,
    "compress": lambda b: zlib.decompress(zlib.compress(b)),
    "frombuffer": lambda b: np.frombuffer(b, np.uint8).tolist(),
    "numpy.array": lambda b: np.array(b).tolist(),
    "unpack_from": lambda b: struct.unpack_from(">H", b),
    "pack_into": lambda b: struct.pack_into(">H", b, 0, 0x4142),
    "int.from_bytes": lambda b: int.from_bytes(b[:5], "big"),
    "BytesIO": lambda b: io.BytesIO(b).getvalue(),
    "BytesIO.readinto": lambda b: io.BytesIO(b"XYZ").readinto(b),
    "BytesIO.write": lambda b: io.BytesIO().write(b),
    "array.frombytes": lambda b: array.array("B").frombytes(b),
    "bytearray.extend": lambda b: bytearray().extend(b),
    "re": lambda b: re.search(b"wor", b),
    "json.loads": json.loads,
    "str of ASCII": lambda b: str(b, "ascii"),
    "int text": lambda b: int(b[:1], 16),
    "find in bytes": lambda b: b"say hello, world\n".find(b),
    "in bytes": lambda b: b in b"say hello, world\n",
    "bytes.startswith": lambda b: b"hello, world\n!".startswith(b),
    "bytes.replace": lambda b: b"".replace(b"", b),
    "%b": lambda b: b"%b" % b,
    "open": lambda b: open(b).close(),
    "__buffer__": lambda b: b.__buffer__(0),
    "sendall": lambda b: _through_a_socket(b),
    "os.write": lambda b: _through_a_pipe(b),
    "PickleBuffer": lambda b: bytes(pickle.PickleBuffer(b)),
}


def _through_a_socket(b: Any) -> bytes:
    left, right = socket.socketpair()
    with left, right:
        left.sendall(b)
        left.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: right.recv(100), b""))


def _through_a_pipe(b: Any) -> bytes:
    reads, writes = os.pipe()
    with open(reads, "rb") as source, open(writes, "wb", buffering=0) as sink:
        os.write(sink.fileno(), b)
        sink.close()
        return source.read()


def conversions() -> Iterator[Probe]:
    for kind, make in SUBJECTS.items():
        for name, call in CONVERSIONS.items():
            subject = make()
            yield f"{kind}: {name}", partial(call, subject), partial(_itself, subject)
    for kind in ("one part", "many parts", "composite", "writable"):
        for name, call in PROTOCOLS.items():
            subject = SUBJECTS[kind]()
            yield f"{kind}: {name}", partial(call, subject), partial(_itself, subject)


CLASSES: Final[Sequence[type]] = (
    BaseBuffer, SliceBuffer, CompositeBuffer, Reader, Framer, FixedLength, Delimited, Lines, LengthPrefixed,
    VarintPrefixed, CopyAudit,
)  # fmt: skip


def classes() -> Iterator[Probe]:
    """Classes as such: who may derive from them, what can be set, what they tell of themselves."""
    right: dict[type, tuple[Any, ...]] = {SliceBuffer: (b"a",), FixedLength: (1,), Lines: (9,), VarintPrefixed: (9,)}
    for cls in CLASSES:
        name = cls.__name__
        yield f"subclass {name}", partial(_derived_from, cls), _nothing
        yield f"{name}.__new__", partial(cls.__new__, cls), _nothing
        yield f"{name}() without arguments", partial(_kind_of_made, cls), _nothing
        yield f"{name}.__module__", partial(getattr, cls, "__module__"), _nothing
        yield f"{name} gives a __dict__", partial(operator.contains, dir(cls), "__dict__"), _nothing
        for member in sorted(dir(cls)):
            if member.startswith("_"):
                continue
            found = getattr(cls, member)
            yield f"{name}.{member} is annotated", partial(_has, found, "__annotations__"), _nothing
            if callable(found):
                yield f"{name}.{member} of another", partial(found, b"another"), _nothing
                yield f"{name}.{member} is a function", partial(inspect.isfunction, found), _nothing
            elif cls in right:
                subject = cls(*right[cls])
                yield f"{name}.{member} = 1", partial(setattr, subject, member, 1), partial(_itself, subject)
                yield f"del {name}.{member}", partial(delattr, subject, member), partial(_itself, subject)
    again: Any = SliceBuffer(b"abc")
    yield "SliceBuffer.__init__ again", partial(again.__init__, b"x"), partial(_itself, again)
    yield "isgenerator(iter)", partial(inspect.isgenerator, iter(again)), _nothing
    yield "isgenerator(feed)", partial(inspect.isgenerator, Lines(9).feed(b"a\n")), _nothing


def _derived_from(cls: type) -> str:
    return type("Sub", (cls,), {}).__name__


def _kind_of_made(cls: Callable[[], Any]) -> str:
    return type(cls()).__name__


def _has(subject: Any, attribute: str) -> bool:
    return bool(getattr(subject, attribute))


# -- what is done with buffers -------------------------------------------------------------------------------


def _sliced_deep() -> Any:
    s = SliceBuffer(bytes(100_001))
    for _ in range(100_000):
        s = s[1:]
    return s


def _sliced_deep_across() -> Any:
    s = CompositeBuffer([bytes([i % 256]) for i in range(2_000)]).freeze()
    for _ in range(1_900):
        s = s[:-1]
    return s


def _nested_deep() -> Any:
    b = CompositeBuffer([b"ab", b"cd"])
    for _ in range(100_000):
        b = CompositeBuffer([b])
    return b


def _sub_deep() -> Any:
    r = SliceBuffer(bytes(5_000)).reader()
    for n in range(4_999, 0, -1):
        r = r.sub(n)
    return r


def _in_itself() -> Any:
    b = CompositeBuffer([b"a", b"b"])
    for _ in range(4):
        b.append(b)
        b.appendleft(b)
        b.splice(1, 2, b)
    b.extend([b, b])
    b += b
    return b


def _parse_in_parse() -> Any:
    b = composite()
    return b.parse(lambda r: b.parse(Reader.u8, limit=9), limit=9)


def _changed_in_parse() -> Any:
    b = composite()
    return b.parse(lambda r: b.skip(1), limit=9)


def _recursion_in_parse() -> Any:
    def deeper(r: Reader) -> object:
        return deeper(r)

    try:
        composite().parse(deeper, limit=9)
    except RecursionError:
        return "RecursionError"


def _iterated_while(change: Callable[[CompositeBuffer], object], walk: Callable[[Any], Iterator[Any]]) -> Any:
    b = composite()
    seen = []
    for i, value in enumerate(walk(b)):
        seen.append(value)
        if i == 1:
            change(b)
    return seen


def _fed_while_iterating() -> Any:
    lines = Lines(9)
    seen = []
    for frame in lines.feed(b"a\nb\nc\n"):
        seen.append(bytes(frame))
        if len(seen) < 5:
            lines.feed(b"d\n")
    return seen


def _parsed_after_underruns() -> Any:
    b = CompositeBuffer()
    seen: list[Any] = []

    def message(r: Reader) -> tuple[int, bytes, bytes]:
        seen.append(r.remaining)
        return r.u8(), bytes(r.until(b"\r\n", limit=9)), r.take_bytes(3)

    for value in b"\x01ab\r\nxyz\x02\r\n123rest":
        b.append(bytes([value]))
        seen.append(b.parse(message, limit=20))
    return [str(item) for item in seen]


def _an_error_in_a_parser() -> Any:
    return composite().parse(lambda r: r.sub(2).u32(), limit=9)


def _a_generator_parser() -> Any:
    def parser(r: Reader) -> Iterator[int]:
        yield r.u8()

    return composite().parse(parser, limit=9)


async def _coroutine(r: Reader) -> int:
    return r.u8()


def _reader_after_a_change() -> Any:
    b = composite()
    r = b.reader()
    b.append(b"more")
    before = r.remaining
    b.skip(1)
    return before, r.u8()


def _reader_after_parse() -> Any:
    def message(r: Reader) -> Reader:
        r.u8()
        return r

    r = composite().parse(message, limit=9)
    assert r is not None
    return r.u8()


def _held_open() -> Any:
    owner = bytearray(b"abc")
    b = CompositeBuffer([owner])
    with contextlib.suppress(BufferError):
        owner.append(1)
    s = b.take(2)
    b.clear()
    try:
        owner.append(1)
    except BufferError as error:
        held = str(error)
    else:
        held = "resized"
    del s
    owner.append(1)
    return held, owner


def _audited() -> Any:
    b = composite()
    with copy_audit() as audit:
        b.contiguous()
        bytes(b)
        b[2:9].decode()
        b.find(b[2:9])
        b.consolidate()
        CompositeBuffer([b"a", b"b"], coalesce_below=3)
    return audit


def _forbidden() -> Any:
    with no_copy():
        return composite().contiguous()


def _reserved() -> Any:
    b = CompositeBuffer([b"a"])
    view = b.reserve(4)
    b.append(b"b")
    s = b.take(3)
    view[:] = b"1234"
    b.consolidate()
    b.compact()
    return s, b


def _searched_by_threads() -> Any:
    """Eight threads search, index, cut and compare one slice; the answers are those of one."""
    data = random.Random(1).randbytes(20_000)
    whole = CompositeBuffer([data[i : i + 67] for i in range(0, len(data), 67)]).freeze()
    twin = CompositeBuffer([data[i : i + 101] for i in range(0, len(data), 101)]).freeze()
    answers: list[Any] = [None] * 8

    def work(number: int) -> None:
        rng = random.Random(2)
        found: list[Any] = []
        for _ in range(150):
            at = rng.randrange(len(data) - 200)
            piece = whole[at : at + 200]
            found += [whole.find(piece, at), whole[at], piece == data[at : at + 200], bytes(piece[50:60])]
            found += [whole.count(data[at : at + 1]), sum(piece), whole.rfind(data[at : at + 3]), twin == whole]
        answers[number] = found

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    digest = hashlib.sha256(repr(answers[0]).encode()).hexdigest()
    return digest, all(answer == answers[0] for answer in answers), answers[0][:8]


def _moves(b: CompositeBuffer, kept: list[SliceBuffer], rng: random.Random) -> list[Callable[[], Any]]:
    n, m = rng.randrange(30), rng.randrange(30)
    data = rng.randbytes(rng.randrange(12))
    return [
        lambda: b.append(data),
        lambda: b.append(bytearray(data)),
        lambda: b.appendleft(data),
        lambda: b.take(n),
        lambda: b.take_at_most(n),
        lambda: b.take_bytes(n),
        b.take_part,
        b.first,
        lambda: b.skip(n),
        lambda: b.splice(n, m, data),
        lambda: b.insert(n, b[m:]),
        lambda: b.truncate(m),
        lambda: b.take_until(data[:1], limit=n),
        lambda: b.take_until(data[:1], data[1:3], limit=n),
        lambda: b.skip_until(data[:2]),
        lambda: b.insert_varint(n, m),
        lambda: b.consolidate(n),
        lambda: b[n:m],
        lambda: b.append(kept[-1]),
        lambda: b.extend(kept[-3:]),
        lambda: b.pack_varint(n),
        lambda: b.parse(Reader.u24, limit=n),
        lambda: b.find(data[:2], n),
        lambda: b.split(b"\x07"),
        b.compact,
    ]


def _steps(seed: int) -> Any:
    """Two hundred random changes: the errors, the last slices, and all states on the way as one number."""
    rng = random.Random(seed)
    b = CompositeBuffer(coalesce_below=rng.choice([0, 0, 3]))
    kept: list[SliceBuffer] = []
    told: list[Any] = []
    digest = hashlib.sha256()
    for _ in range(200):
        try:
            answer = rng.choice(_moves(b, kept, rng))()
        except Exception as error:
            answer = [type(error).__name__, str(error)]
            told.append(answer)
        if isinstance(answer, SliceBuffer):
            kept.append(answer)
        digest.update(repr([described(answer), described(b)]).encode())
        if len(b) > 5_000:
            b.clear()
    return told[:20], [bytes(s)[:20] for s in kept[-5:]], digest.hexdigest()


DEEDS: Final[dict[str, Callable[[], Any]]] = {
    "a slice of a slice, 10^5 times": _sliced_deep,
    "a slice of a slice over parts": _sliced_deep_across,
    "a composite in a composite, 10^5 times": _nested_deep,
    "a reader in a reader, 5 000 times": _sub_deep,
    "a composite in itself": _in_itself,
    "parse in parse": _parse_in_parse,
    "a change in parse": _changed_in_parse,
    "recursion in parse": _recursion_in_parse,
    "underruns": _parsed_after_underruns,
    "an underrun of a child": _an_error_in_a_parser,
    "a generator as parser": _a_generator_parser,
    "a coroutine as parser": lambda: composite().parse(_coroutine, limit=9),
    "a parser that fails": lambda: composite().parse(lambda r: 1 / 0, limit=9),
    "a parser that returns None": lambda: composite().parse(lambda r: None, limit=9),
    "a reader after a change": _reader_after_a_change,
    "a reader after parse": _reader_after_parse,
    "append while iterating": lambda: _iterated_while(lambda b: b.append(b"x"), iter),
    "skip while iterating": lambda: _iterated_while(lambda b: b.skip(1), iter),
    "splice while iterating backwards": lambda: _iterated_while(lambda b: b.splice(1, 2), reversed),
    "append while unpacking": lambda: _iterated_while(lambda b: b.append(b"x"), lambda b: b.iter_unpack("<B")),
    "feed while iterating": _fed_while_iterating,
    "an owner that is shown": _held_open,
    "an audit": _audited,
    "a forbidden copy": _forbidden,
    "a reserved view": _reserved,
    "eight threads": _searched_by_threads,
    "an iterator that is closed": lambda: [it := iter(composite()), next(it), it.close(), list(it)],  # type: ignore[attr-defined]
    "an iterator into which is thrown": lambda: iter(composite()).throw(KeyError("thrown")),  # type: ignore[attr-defined]
    **{f"200 random steps, seed {seed}": partial(_steps, seed) for seed in range(60)},
}


def deeds() -> Iterator[Probe]:
    for name, deed in DEEDS.items():
        yield name, deed, _nothing


# -- what help() says ----------------------------------------------------------------------------------------


def documentation() -> dict[str, list[Any]]:
    """Return docstring, parameters and what help() says by name, for all that a user may meet.

    Of special methods whatever there is: which of them are our own, only the pure build can tell.
    """
    told: dict[str, list[Any]] = {}
    faces = [bytebufs, bytebufs.files, bytebufs.sending]
    public = {name: getattr(face, name) for face in faces for name in face.__all__}
    makers = {name: value for name, value in public.items() if inspect.isroutine(value) or inspect.isclass(value)}
    modules = {value.__module__ for value in makers.values()} | {face.__name__ for face in faces}
    for name in sorted(modules):
        told[f"module {name}"] = [sys.modules[name].__doc__, None, None]
    for name, value in makers.items():
        told[name] = _told_of(value)
        if inspect.isclass(value):
            for member in dir(value):
                if not member.startswith("_") or member.endswith("__"):
                    told[f"{name}.{member}"] = _told_of(inspect.getattr_static(value, member))
    return told


def _told_of(value: Any) -> list[Any]:
    """Return the docstring, and of what is called the parameters and as many lines at the end of what help() shows."""
    if isinstance(value, classmethod | staticmethod):
        value = value.__func__
    if not callable(value):
        return [value.__doc__, None, None]
    lines = _lines(value.__doc__ or "")
    page = _lines(pydoc.plain(pydoc.render_doc(value)))[-len(lines) :] if lines and inspect.isroutine(value) else None
    return [value.__doc__, _parameters(value), page]


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _parameters(function: Callable[..., Any]) -> list[str] | str:
    """Return kinds, names and defaults. Only `self` may be of another kind."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as error:
        return str(error)
    return [
        "self" if parameter.name == "self" else f"{parameter.kind.name} {parameter.name}: {parameter.default!r}"
        for parameter in parameters
    ]


def special() -> list[str]:
    """Return the special methods that are written in Python and documented: pure, those of our own."""
    found = [
        (f"{name}.{member}", inspect.getattr_static(value, member))
        for name in bytebufs.__all__
        if inspect.isclass(value := getattr(bytebufs, name))
        for member in dir(value)
        if member.startswith("__")
    ]
    return [name for name, value in found if inspect.isfunction(value) and value.__doc__]


def main() -> None:
    folder = sys.argv[1]
    if not bytebufs.__file__.startswith(folder):
        raise SystemExit(f"bytebufs comes from {bytebufs.__file__}, not from {folder}")
    outcomes: dict[str, list[Any]] = {}
    for family in (calls, operators, conversions, classes, deeds):
        for name, call, look in family():
            if name in outcomes:
                raise SystemExit(f"two probes are called {name}")
            outcomes[name] = outcome(call, look)
    told = {"documentation": documentation(), "special": special()}
    json.dump({"compiled": bytebufs.COMPILED, "outcomes": outcomes, **told}, sys.stdout)


if __name__ == "__main__":
    main()
