"""No outcome depends on the cut: calls, ours and the standard library's, on the same bytes in one part and in three.

Where bytes are cut is an accident of networks. What a call gives, what it raises, with which words, and what the buffer
is afterwards must not tell. The calls are those of tests/build_probes.py, which are found in the classes.
"""

from __future__ import annotations

import array
import ast
import asyncio
import base64
import binascii
import bz2
import codecs
import ctypes
import email
import gzip
import hashlib
import hmac
import io
import ipaddress
import json
import lzma
import marshal
import mmap
import multiprocessing.connection
import operator
import os
import pickle
import plistlib
import quopri
import re
import socket
import sqlite3
import ssl
import struct
import sys
import tempfile
import urllib.parse
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from xml.etree import ElementTree as ET

import pytest

import bytebufs
from bytebufs import (
    BaseBuffer,
    BufferFile,
    CompositeBuffer,
    Delimited,
    FixedLength,
    Fragmented,
    Framer,
    LengthPrefixed,
    Lines,
    Reader,
    SliceBuffer,
    VarintPrefixed,
)

from . import build_probes
from .build_probes import AWKWARD, CONVERSIONS, METHODS, OPERATORS, PROTOCOLS, mutations, outcome

EXPORTS: Final = sys.version_info >= (3, 12)
"""Whether what takes bytes takes buffers (PEP 688)."""

TEXT: Final = b"hello, world\n"
MESSAGE: Final = bytes([0x85, 1, 2, 3, 10]) + bytes(range(48, 80))
STREAM: Final = b"\x02ab\x01c\x00\x03;d\nef\r\n;x"

Parts = Sequence[bytes] | Sequence[bytearray]


def in_three(data: bytes) -> Iterator[Parts]:
    """Yield every way to cut bytes into three parts, and into single ones."""
    for low in range(1, len(data) - 1):
        for high in range(low + 1, len(data)):
            yield data[:low], data[low:high], data[high:]
    yield [data[i : i + 1] for i in range(len(data))]


def some(data: bytes) -> Iterator[Parts]:
    """Yield two ways to cut bytes: into thirds, and into single ones."""
    third = len(data) // 3
    yield data[:third], data[third : 2 * third], data[2 * third :]
    yield [data[i : i + 1] for i in range(len(data))]


# -- subjects ------------------------------------------------------------------------------------------------


def frozen(parts: Parts) -> SliceBuffer:
    return CompositeBuffer(parts).freeze()


def fed(make: Callable[[], Framer], parts: Parts) -> Framer:
    """Return a framer that was given something, of which no frame was taken."""
    framer = make()
    for part in parts:
        framer.feed(part)
    return framer


@dataclass(frozen=True)
class Kind:
    """What is cut: how it is made of parts, of which bytes, and what is asked of it, with the right arguments."""

    make: Callable[[Parts], Any]
    data: bytes
    methods: Mapping[str, dict[str, Any]]


FRAMERS: Final[dict[str, Callable[[], Framer]]] = {
    "FixedLength": lambda: FixedLength(2),
    "Delimited": lambda: Delimited(b";", b"\r\n", b"\n", limit=20),
    "Lines": lambda: Lines(20),
    "LengthPrefixed": lambda: LengthPrefixed(1, limit=20),
    "VarintPrefixed": lambda: VarintPrefixed(20),
}

AS_A_FILE: Final[dict[str, dict[str, Any]]] = {
    "close": {},
    "read": {"+size": 4},
    "read1": {"+size": 4},
    "readable": {},
    "readinto": {"+buffer": bytearray(4)},
    "readinto1": {"+buffer": bytearray(4)},
    "readline": {"+size": 20},
    "seek": {"+offset": -3, "+whence": 2},
    "seekable": {},
    "tell": {},
}

KINDS: Final[dict[str, Kind]] = {
    "slice": Kind(frozen, TEXT, METHODS["one part"]),
    "writable slice": Kind(lambda parts: frozen([bytearray(part) for part in parts]), TEXT, METHODS["one part"]),
    "composite": Kind(CompositeBuffer, TEXT, METHODS["composite"]),
    "reader": Kind(lambda parts: frozen(parts).reader(), MESSAGE, METHODS["reader"]),
    "reader of a composite": Kind(lambda parts: CompositeBuffer(parts).reader("little"), MESSAGE, METHODS["reader"]),
    "file": Kind(lambda parts: BufferFile(CompositeBuffer(parts)), TEXT, AS_A_FILE),
    **{name: Kind(partial(fed, make), STREAM, build_probes.FRAMING) for name, make in FRAMERS.items()},
}

BUFFERS: Final = ("slice", "writable slice", "composite")

ASKS_FOR_THE_CUT: Final = {"first", "layout", "take_part", "view", "views"}
"""Calls that are there to tell it. They have tests of their own."""

FACTS: Final = ("readonly", "mapped_nbytes", "pending", "skipped", "position", "remaining", "at_end")
FACTS_OF_THE_CUT: Final = {"part_count", "is_contiguous", "pinned_nbytes"}


# -- what is compared ----------------------------------------------------------------------------------------

_PARTS: Final = re.compile(r"\bin \d+ parts?\b")


def without_the_cut(seen: Any) -> Any:
    """Leave out of an outcome what only tells how many parts a buffer has."""
    if isinstance(seen, str):
        return _PARTS.sub("in parts", seen)
    if not isinstance(seen, list):
        return seen
    if len(seen) == 4 and seen[0] in {"SliceBuffer", "CompositeBuffer"}:
        name, content, _sizes, readonly = seen
        return [name, content, readonly]
    return [without_the_cut(item) for item in seen]


def outcome_of(subject: Any, call: Callable[[Any], Any]) -> Any:
    return without_the_cut(outcome(lambda: call(subject), lambda: subject))


def assert_same(kind: Kind, call: Callable[[Any], Any], cuts: Callable[[bytes], Iterator[Parts]] = in_three) -> None:
    wanted = outcome_of(kind.make([kind.data]), call)
    for parts in cuts(kind.data):
        assert outcome_of(kind.make(parts), call) == wanted, parts


# -- our own calls -------------------------------------------------------------------------------------------


def calls(kind: str) -> list[str]:
    return sorted(KINDS[kind].methods.keys() - ASKS_FOR_THE_CUT)


EACH: Final = [pytest.param(kind, name, id=f"{kind}.{name}") for kind in KINDS for name in calls(kind)]


def rightly(method: str, wanted: Mapping[str, Any]) -> Callable[[Any], Any]:
    _, positional, named = next(mutations(dict(wanted)))
    return lambda subject: getattr(subject, method)(*positional, **named)


@pytest.mark.parametrize(("kind", "method"), EACH)
def test_a_call_does_the_same_however_its_subject_is_cut(kind: str, method: str) -> None:
    subject = KINDS[kind]
    assert_same(subject, rightly(method, subject.methods[method]))


@pytest.mark.parametrize(("kind", "method"), EACH)
def test_so_does_a_call_with_odd_arguments(kind: str, method: str) -> None:
    subject = KINDS[kind]
    whole = [subject.data]
    for label, _, _ in mutations(dict(subject.methods[method])):
        outcomes = []
        for parts in (whole, *some(subject.data)):
            # Anew for each: a generator, or a file, is used up by one.
            arguments = {name: (p, n) for name, p, n in mutations(dict(subject.methods[method]))}
            positional, named = arguments[label]
            outcomes.append(outcome_of(subject.make(parts), lambda b: getattr(b, method)(*positional, **named)))  # noqa: B023
        assert outcomes[1:] == outcomes[:1] * 2, label


def given_as(buffer: Callable[[Parts], BaseBuffer], wanted: Mapping[str, Any], cut: int) -> dict[str, Any]:
    """Return arguments in which those that are bytes are buffers of ours, in one part for 0."""
    return {
        name: buffer([value[:at], value[at:]] if (at := cut % len(value)) else [value])
        if isinstance(value, bytes)
        else value
        for name, value in wanted.items()
    }


TAKE_BYTES: Final = [
    pytest.param(kind, name, id=f"{kind}.{name}")
    for kind in KINDS
    for name in calls(kind)
    if any(isinstance(value, bytes) for value in KINDS[kind].methods[name].values())
]


@pytest.mark.parametrize(("kind", "method"), TAKE_BYTES)
@pytest.mark.parametrize("buffer", [frozen, CompositeBuffer], ids=["slice", "composite"])
def test_so_it_does_however_its_arguments_are_cut(
    kind: str, method: str, buffer: Callable[[Parts], BaseBuffer]
) -> None:
    subject = KINDS[kind]
    wanted = subject.methods[method]
    plain = outcome_of(subject.make([subject.data]), rightly(method, wanted))
    longest = max(len(value) for value in wanted.values() if isinstance(value, bytes))
    for parts in ([subject.data], *some(subject.data)):
        for cut in range(longest):
            given = rightly(method, given_as(buffer, wanted, cut))
            assert outcome_of(subject.make(parts), given) == plain, (parts, cut)


@pytest.mark.parametrize("kind", KINDS)
def test_facts_do_not_tell_the_cut(kind: str) -> None:
    subject = KINDS[kind]
    for fact in FACTS:
        assert_same(subject, lambda b, fact=fact: getattr(b, fact))  # type: ignore[misc]  # mypy infers no default's type


@pytest.mark.parametrize("kind", BUFFERS)
@pytest.mark.parametrize("name", OPERATORS)
def test_operators_do_not_tell_the_cut(kind: str, name: str) -> None:
    subject = KINDS[kind]
    for label, make_value in AWKWARD.items():
        if label.startswith("numpy") and name in {"v == b", "v < b", "v >= b", "v + b", "v * b"}:
            continue  # numpy asks the buffer item by item, or not at all: its own matter
        assert_same(subject, lambda b, v=make_value: OPERATORS[name](b, v()), some)  # type: ignore[misc]
    for value in (TEXT, TEXT[:5], TEXT + b"!", b"", TEXT.upper()):
        for given in (bytes, bytearray, memoryview, SliceBuffer, lambda data: CompositeBuffer([data[:2], data[2:]])):
            assert_same(subject, lambda b, v=value, make=given: OPERATORS[name](b, make(v)), some)  # type: ignore[misc]


TELL_THE_CUT: Final = {"format", "pickle beside the parts"} | {
    f"pickle {protocol}{load}" for protocol in range(6) for load in ("", " and load")
}
"""Conversions whose result has the parts, too, or is filled up to a width. What they load is compared instead."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", sorted(CONVERSIONS.keys() - TELL_THE_CUT))
def test_conversions_do_not_tell_the_cut(kind: str, name: str) -> None:
    assert_same(KINDS[kind], CONVERSIONS[name])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("protocol", range(6))
def test_what_is_loaded_of_a_pickle_does_not_tell_the_cut(kind: str, protocol: int) -> None:
    assert_same(KINDS[kind], lambda b: pickle.loads(pickle.dumps(b, protocol)))


@pytest.mark.parametrize("kind", BUFFERS)
def test_what_is_asked_for_the_cut_tells_nothing_else(kind: str) -> None:
    make = KINDS[kind].make
    for parts in ([TEXT], *in_three(TEXT)):
        b = make(parts)
        assert b.part_count == len(parts)
        assert b.is_contiguous == (len(parts) == 1)
        assert b.pinned_nbytes == sum({id(view.obj): len(view) for view in b.views()}.values())
        assert [bytes(view) for view in b.views()] == list(parts)
        assert b.layout().startswith(f"13 bytes in {len(parts)} part")
        if len(parts) == 1:
            assert bytes(b.view()) == TEXT
        else:
            with pytest.raises(Fragmented):
                b.view()
        if isinstance(b, CompositeBuffer):
            assert bytes(b.first()) == bytes(b.take_part()) == parts[0]
            assert b == TEXT[len(parts[0]) :]


@pytest.mark.parametrize("name", FRAMERS)
def test_frames_do_not_tell_the_cut(name: str) -> None:
    def frames(parts: Parts) -> list[Any]:
        framer = FRAMERS[name]()
        seen: list[Any] = []
        try:
            for part in parts:
                for frame in framer.feed(part):
                    seen.append(bytes(frame))  # noqa: PERF401  # those before an error, too
            framer.end()
        except (bytebufs.BytebufsError, ValueError) as error:
            seen.append((type(error), str(error)))
        return seen

    wanted = frames([STREAM])
    for parts in in_three(STREAM):
        assert frames(parts) == wanted, parts


# -- that none is forgotten

SPECIAL: Final[dict[str, str]] = {
    "__add__": "b + v",
    "__bool__": "bool",
    "__bytes__": "bytes",
    "__contains__": "v in b",
    "__copy__": "copy",
    "__deepcopy__": "deepcopy",
    "__delitem__": "del b[v]",
    "__eq__": "b == v",
    "__float__": "float",
    "__ge__": "v >= b",
    "__getitem__": "b[v]",
    "__gt__": "v < b",
    "__hash__": "hash",
    "__iadd__": "b += v",
    "__int__": "int",
    "__iter__": "iter",
    "__le__": "b <= v",
    "__len__": "len",
    "__lt__": "b < v",
    "__mul__": "b * v",
    "__ne__": "b != v",
    "__radd__": "v + b",
    "__reduce_ex__": "pickle 5",
    "__repr__": "repr",
    "__reversed__": "reversed",
    "__rmul__": "v * b",
    "__setitem__": "b[v] = 1",
    "__buffer__": "memoryview",
    "__array__": "numpy.array",
    "__array_ufunc__": "b + v",
}
"""By which case each method that is called without its name is asked."""

OF_CLASSES: Final = {
    "__annotations__", "__class_getitem__", "__dict__", "__doc__", "__final__", "__firstlineno__", "__getstate__",
    "__init__", "__init_subclass__", "__module__", "__mypyc_attrs__", "__new__", "__orig_bases__", "__reduce__",
    "__release_buffer__", "__setstate__", "__slots__", "__static_attributes__", "__subclasshook__", "__weakref__",
}  # fmt: skip
"""What is not for being called by users, or not for being called at all."""


@pytest.mark.parametrize("cls", [SliceBuffer, CompositeBuffer, Reader, *(type(make()) for make in FRAMERS.values())])
def test_every_call_has_its_case(cls: type) -> None:
    asked = {name for kind in KINDS.values() for name in kind.methods} | set(FACTS) | FACTS_OF_THE_CUT
    assert [name for name in dir(cls) if not name.startswith("_") and name not in asked | {"byteorder"}] == []
    special = {
        name
        for name in dir(cls)
        if name.startswith("__") and name.endswith("__") and getattr(cls, name, None) is not getattr(object, name, None)
    }
    assert sorted(special - SPECIAL.keys() - OF_CLASSES) == []
    assert set(SPECIAL.values()) <= OPERATORS.keys() | CONVERSIONS.keys() | PROTOCOLS.keys()


def test_every_framer_takes_part() -> None:
    framers = {value for value in vars(bytebufs).values() if isinstance(value, type) and issubclass(value, Framer)}
    assert framers - {Framer} == {type(make()) for make in FRAMERS.values()}


def test_every_call_of_a_file_has_its_case() -> None:
    own = {name for name in vars(BufferFile) if not name.startswith("_")}
    assert own == AS_A_FILE.keys()


# -- the standard library's ----------------------------------------------------------------------------------


def _through_a_pair(send: Callable[[socket.socket, Any], Any]) -> Callable[[Any], bytes]:
    def run(b: Any) -> bytes:
        left, right = socket.socketpair()
        with left, right:
            send(left, b)
            left.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: right.recv(1000), b""))

    return run


def _through_a_file(write: Callable[[Any, Any], Any], **options: Any) -> Callable[[Any], bytes]:
    def run(b: Any) -> bytes:
        with tempfile.TemporaryFile(**options) as file:
            write(file, b)
            file.flush()
            return os.pread(file.fileno(), 1000, 0)

    return run


def _received_into(b: Any) -> int:
    left, right = socket.socketpair()
    with left, right:
        left.send(b"abc")
        return right.recv_into(b)


def _through_a_connection(b: Any) -> bytes:
    left, right = multiprocessing.connection.Pipe()
    with left, right:
        left.send_bytes(b)
        return right.recv_bytes()


def _extended(b: Any) -> bytearray:
    grown = bytearray(b"<")
    grown += b
    return grown


def _assigned(target: Callable[[], Any]) -> Callable[[Any], bytes]:
    def run(b: Any) -> bytes:
        memory = target()
        memory[: len(TEXT)] = b
        return bytes(memory[:])

    return run


def _mapped(use: Callable[[mmap.mmap, Any], Any]) -> Callable[[Any], Any]:
    def run(b: Any) -> Any:
        with mmap.mmap(-1, 100) as memory:
            return use(memory, b), memory[:20]

    return run


def _streamed(b: Any) -> bytes:
    async def read() -> bytes:
        reader = asyncio.StreamReader()
        reader.feed_data(b)
        reader.feed_eof()
        return await reader.read()

    return asyncio.run(read())


def _stored(b: Any) -> object:
    connection = sqlite3.connect(":memory:")
    try:
        return connection.execute("select ?", (b,)).fetchone()
    finally:
        connection.close()


_BASE64: Final = base64.b64encode(TEXT)
_XML: Final = b"<a><b>c</b></a>"
_IP: Final = b"\x7f\x00\x00\x01"
_MAIL: Final = b"To: me\n\nyou\n"

STDLIB: Final[dict[str, tuple[bytes, Callable[[Any], Any]]]] = {
    **{f"of the probes: {name}": (TEXT, call) for name, call in PROTOCOLS.items()},
    "hashlib.md5": (TEXT, lambda b: hashlib.md5(b, usedforsecurity=False).digest()),
    "hashlib.blake2b": (TEXT, lambda b: hashlib.blake2b(b).digest()),
    "hashlib.new": (TEXT, lambda b: hashlib.new("sha3_256", b).digest()),
    "hashlib.update": (TEXT, lambda b: hashlib.sha1(usedforsecurity=False).update(b)),
    "hashlib.pbkdf2_hmac": (TEXT, lambda b: hashlib.pbkdf2_hmac("sha256", b, b, 1)),
    "hmac.new": (TEXT, lambda b: hmac.new(b"key", b, "sha256").digest()),
    "hmac.digest": (TEXT, lambda b: hmac.digest(b"key", b, "sha256")),
    "hmac.compare_digest": (TEXT, lambda b: hmac.compare_digest(b, TEXT)),
    "zlib.adler32": (TEXT, zlib.adler32),
    "zlib.decompress": (zlib.compress(TEXT), zlib.decompress),
    "zlib.decompressobj": (zlib.compress(TEXT), lambda b: zlib.decompressobj().decompress(b)),
    "bz2": (TEXT, bz2.compress),
    "bz2.decompress": (bz2.compress(b"ab"), bz2.decompress),
    "lzma": (TEXT, lambda b: lzma.decompress(lzma.compress(b, preset=0))),
    "lzma.decompress": (lzma.compress(b"ab", lzma.FORMAT_ALONE), lzma.decompress),
    "gzip.compress": (TEXT, lambda b: gzip.compress(b, mtime=0)),
    "gzip.decompress": (gzip.compress(b"ab", mtime=0), gzip.decompress),
    "binascii.hexlify": (TEXT, binascii.hexlify),
    "binascii.unhexlify": (TEXT.hex().encode(), binascii.unhexlify),
    "binascii.a2b_base64": (_BASE64, binascii.a2b_base64),
    "binascii.b2a_base64": (TEXT, binascii.b2a_base64),
    "binascii.crc_hqx": (TEXT, lambda b: binascii.crc_hqx(b, 0)),
    "base64.b64encode": (TEXT, base64.b64encode),
    "base64.b64decode": (_BASE64, base64.b64decode),
    "base64.b32encode": (TEXT, base64.b32encode),
    "base64.b85encode": (TEXT, base64.b85encode),
    "base64.a85encode": (TEXT, base64.a85encode),
    "quopri": (TEXT, quopri.encodestring),
    "codecs.decode": (TEXT, lambda b: codecs.decode(b, "utf-8")),
    "codecs.encode": (TEXT, lambda b: codecs.encode(b, "hex")),
    "incremental decoder": ("naïve".encode(), lambda b: codecs.getincrementaldecoder("utf-8")().decode(b)),
    "str that fails": (b"\xff\xfe", lambda b: str(b, "utf-8")),
    "str": ("naïve é".encode(), lambda b: str(b, "utf-8")),
    "complex": (b"12", complex),
    "int": (b" 12_34\n", int),
    "int of what is none": (TEXT, int),
    "int in another base": (b"1f2", lambda b: int(b, 16)),
    "float": (b"-1.5e3", float),
    "float of what is none": (TEXT, float),
    "int.from_bytes": (TEXT, lambda b: int.from_bytes(b, "big")),
    "eval": (b"1 + 1", eval),
    "compile": (b"1 + 1", lambda b: eval(compile(b, "name", "eval"))),
    "ast.literal_eval": (b"[1, 2]", ast.literal_eval),
    "bytes +": (TEXT, lambda b: b"<" + b),
    "bytearray +": (TEXT, lambda b: bytearray(b"<") + b),
    "bytearray +=": (TEXT, _extended),
    "bytes ==": (TEXT, lambda b: (b == TEXT, operator.eq(TEXT, b), operator.ne(TEXT, b))),
    "bytearray ==": (TEXT, lambda b: operator.eq(bytearray(TEXT), b)),
    "memoryview ==": (TEXT, lambda b: operator.eq(memoryview(TEXT), b)),
    "bytes <": (TEXT, lambda b: operator.lt(TEXT, b)),
    "bytes.count": (b"lo,", TEXT.count),
    "bytes.index": (b"lo,", TEXT.index),
    "bytes.rfind": (b"lo,", TEXT.rfind),
    "bytes.endswith": (b"ld\n", lambda b: TEXT.endswith((b"x", b))),
    "bytes.split": (b"lo,", TEXT.split),
    "bytes.partition": (b"lo,", TEXT.partition),
    "bytes.strip": (b"he\nd", TEXT.strip),
    "bytes.removeprefix": (b"hel", TEXT.removeprefix),
    "bytes.translate": (bytes(range(256))[::-1], TEXT.translate),
    "bytes.translate, delete": (b"lo,", lambda b: TEXT.translate(None, b)),
    "bytes.replace by": (b"lo,", lambda b: TEXT.replace(b"o", b)),
    "bytearray.find": (b"lo,", bytearray(TEXT).find),
    "bytearray[:] =": (TEXT, _assigned(lambda: bytearray(20))),
    "memoryview[:] =": (TEXT, _assigned(lambda: memoryview(bytearray(20)))),
    "array.array": (TEXT, lambda b: array.array("B", b)),
    "ctypes copy": (TEXT, lambda b: bytes((ctypes.c_char * 13).from_buffer_copy(b))),
    "ctypes": (TEXT, lambda b: bytes((ctypes.c_char * 13).from_buffer(b))),
    "re.match": (TEXT, lambda b: re.match(rb"(\w+), (\w+)", b).groups()),  # type: ignore[union-attr]
    "re.findall": (TEXT, lambda b: re.findall(rb"\w+", b)),
    "re.finditer": (TEXT, lambda b: [found.span() for found in re.finditer(rb"o", b)]),
    "re.split": (TEXT, lambda b: re.split(rb",", b)),
    "re.sub": (TEXT, lambda b: re.sub(rb"o", b"0", b)),
    "re.sub by": (b"lo,", lambda b: re.sub(rb"o", b, TEXT)),
    "re.compile": (b"lo,", lambda b: re.compile(b).search(TEXT)),
    "struct.unpack": (TEXT, lambda b: struct.unpack(">5sHHI", b)),
    "struct.iter_unpack": (TEXT, lambda b: list(struct.iter_unpack("B", b))),
    "struct.pack": (TEXT, lambda b: struct.pack("13s", b)),
    "BytesIO.writelines": (TEXT, lambda b: io.BytesIO().writelines([b])),
    "BytesIO.write": (TEXT, lambda b: (file := io.BytesIO(), file.write(b), file.getvalue())[1:]),
    "TextIOWrapper": (TEXT, lambda b: io.TextIOWrapper(io.BytesIO(b), "utf-8").read()),
    "BufferedWriter": (TEXT, lambda b: io.BufferedWriter(io.BytesIO()).write(b)),
    "file.write": (TEXT, _through_a_file(lambda file, b: file.write(b))),
    "file.write, unbuffered": (TEXT, _through_a_file(lambda file, b: file.write(b), buffering=0)),
    "file.writelines": (TEXT, _through_a_file(lambda file, b: file.writelines([b, b]))),
    "os.pwrite": (TEXT, _through_a_file(lambda file, b: os.pwrite(file.fileno(), b, 2))),
    "os.writev": (TEXT, _through_a_file(lambda file, b: os.writev(file.fileno(), [b, b]))),
    "mmap.find": (b"\x00\x00", _mapped(lambda memory, b: memory.find(b))),
    "mmap.write": (TEXT, _mapped(lambda memory, b: memory.write(b))),
    "mmap[] =": (TEXT, _mapped(lambda memory, b: memory.__setitem__(slice(0, 13), b))),
    "socket.send": (TEXT, _through_a_pair(lambda s, b: s.send(b))),
    "socket.sendmsg": (TEXT, _through_a_pair(lambda s, b: s.sendmsg([b, b]))),
    "socket.makefile": (TEXT, _through_a_pair(lambda s, b: s.makefile("wb", buffering=0).write(b))),
    "socket.recv_into": (TEXT, _received_into),
    "socket.inet_ntoa": (_IP, socket.inet_ntoa),
    "socket.inet_ntop": (_IP, lambda b: socket.inet_ntop(socket.AF_INET, b)),
    "Connection.send_bytes": (TEXT, _through_a_connection),
    "MemoryBIO": (TEXT, lambda b: (bio := ssl.MemoryBIO(), bio.write(b), bio.read())[1:]),
    "StreamReader": (TEXT, _streamed),
    "pickle.loads": (pickle.dumps([1, 2], 4), pickle.loads),
    "marshal.loads": (marshal.dumps([1, 2]), marshal.loads),
    "marshal.dumps": (TEXT, marshal.dumps),
    "json.loads": (b'{"a": [1]}', json.loads),
    "json.dumps": (TEXT, json.dumps),
    "plistlib.loads": (plistlib.dumps([1], fmt=plistlib.FMT_BINARY), plistlib.loads),
    "sqlite3": (TEXT, _stored),
    "email.message_from_bytes": (_MAIL, lambda b: email.message_from_bytes(b).as_string()),
    "ElementTree": (_XML, lambda b: ET.tostring(ET.fromstring(b))),
    "unquote_to_bytes": (b"a%20b", urllib.parse.unquote_to_bytes),
    "quote_from_bytes": (TEXT, urllib.parse.quote_from_bytes),
    "urlsplit": (b"http://a/b?c", urllib.parse.urlsplit),
    "ipaddress": (_IP, ipaddress.ip_address),
    "uuid": (bytes(range(16)), lambda b: uuid.UUID(bytes=b)),
    "uuid3": (TEXT, lambda b: uuid.uuid3(uuid.NAMESPACE_DNS, b)),
    "os.fsdecode": (TEXT, os.fsdecode),
    "print": (TEXT, lambda b: print(b, end="", file=io.StringIO())),
}


@pytest.mark.parametrize("kind", BUFFERS)
@pytest.mark.parametrize("name", STDLIB)
def test_what_takes_bytes_takes_a_buffer_however_it_is_cut(kind: str, name: str) -> None:
    data, call = STDLIB[name]
    assert_same(Kind(KINDS[kind].make, data, {}), call)


@pytest.mark.skipif(not EXPORTS, reason="before 3.12 only classes in C can export a buffer")
def test_most_take_it() -> None:
    """So that the same is not everywhere the same refusal."""
    took = {
        name: outcome(partial(call, CompositeBuffer([data[:1], data[1:2], data[2:]])), lambda: None)[0]
        for name, (data, call) in STDLIB.items()
    }
    assert sum(answer == "returned" for answer in took.values()) >= 100
