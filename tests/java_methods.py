"""What Java's buffers can do: the names that `docs/from-netty.md` and `docs/from-nio.md` have to have an answer for.

`java_methods.json` beside this module holds them, so that the suite needs no Java. It was made, and is made anew, by

    apt-get install libnetty-java openjdk-17-jdk-headless
    python -m tests.java_methods "$(ls /usr/share/java/netty-*.jar | tr '\n' ':')" > tests/java_methods.json

of Netty 4.1.48.Final (Debian's libnetty-java 1:4.1.48-7+deb12u2) and OpenJDK 17.0.15. Of each class it has what is
public and declared there, with the types of the parameters; of codecs also what is protected, for that is what one
overrides, and the names of the constructors' parameters.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["CLASSES", "DATA", "JavaClass", "declared", "load"]

DATA: Final = Path(__file__).with_suffix(".json")


class _Wanted(NamedTuple):
    page: str
    package: str
    name: str
    bases: tuple[str, ...] = ()
    is_codec: bool = False


def _codec(name: str, *bases: str, package: str = "io.netty.handler.codec") -> _Wanted:
    return _Wanted("from-netty", package, name, bases, is_codec=True)


CLASSES: Final = [
    _Wanted("from-netty", "io.netty.util", "ReferenceCounted"),
    _Wanted("from-netty", "io.netty.buffer", "ByteBuf", ("ReferenceCounted",)),
    _Wanted("from-netty", "io.netty.buffer", "CompositeByteBuf", ("ByteBuf", "ReferenceCounted")),
    _Wanted("from-netty", "io.netty.buffer", "Unpooled"),
    _Wanted("from-netty", "io.netty.buffer", "ByteBufAllocator"),
    _Wanted("from-netty", "io.netty.buffer", "ByteBufUtil"),
    _Wanted("from-netty", "io.netty.buffer", "ByteBufHolder", ("ReferenceCounted",)),
    _Wanted("from-netty", "io.netty.buffer", "ByteBufInputStream"),
    _Wanted("from-netty", "io.netty.buffer", "ByteBufOutputStream"),
    _Wanted("from-netty", "io.netty.channel", "FileRegion", ("ReferenceCounted",)),
    _Wanted("from-netty", "io.netty.channel", "DefaultFileRegion", ("FileRegion", "ReferenceCounted")),
    _codec("ByteToMessageDecoder"),
    _codec("ByteToMessageDecoder$Cumulator"),
    _codec("ReplayingDecoder", "ByteToMessageDecoder"),
    _codec("LengthFieldBasedFrameDecoder", "ByteToMessageDecoder"),
    _codec("DelimiterBasedFrameDecoder", "ByteToMessageDecoder"),
    _codec("Delimiters"),
    _codec("LineBasedFrameDecoder", "ByteToMessageDecoder"),
    _codec("FixedLengthFrameDecoder", "ByteToMessageDecoder"),
    _codec("ProtobufVarint32FrameDecoder", "ByteToMessageDecoder", package="io.netty.handler.codec.protobuf"),
    _codec("JsonObjectDecoder", "ByteToMessageDecoder", package="io.netty.handler.codec.json"),
    _codec("XmlFrameDecoder", "ByteToMessageDecoder", package="io.netty.handler.codec.xml"),
    _codec("MessageToByteEncoder"),
    _codec("ByteToMessageCodec", "ByteToMessageDecoder", "MessageToByteEncoder"),
    _codec("LengthFieldPrepender"),
    _codec("ProtobufVarint32LengthFieldPrepender", "MessageToByteEncoder", package="io.netty.handler.codec.protobuf"),
    _Wanted("from-nio", "java.nio", "Buffer"),
    _Wanted("from-nio", "java.nio", "ByteBuffer", ("Buffer",)),
    _Wanted("from-nio", "java.nio", "MappedByteBuffer", ("ByteBuffer", "Buffer")),
    _Wanted("from-nio", "java.nio", "DirectByteBuffer", ("MappedByteBuffer", "ByteBuffer", "Buffer")),
    _Wanted("from-nio", "java.nio.channels", "FileChannel"),
    _Wanted("from-nio", "java.nio.channels", "FileChannel$MapMode"),
    _Wanted("from-nio", "java.nio.channels.spi", "AbstractInterruptibleChannel"),
    _Wanted("from-nio", "java.nio.channels", "FileLock"),
]
"""Which classes, each after those that it derives from."""


@dataclass(frozen=True)
class JavaClass:
    """A class: the page that answers for it, the classes it derives from, and what it declares."""

    page: str
    bases: list[str]
    members: list[str]

    @property
    def names(self) -> set[str]:
        """What a row may name: each member, with the types of its parameters and without."""
        return {*self.members, *(member.partition("(")[0] for member in self.members)}


def load() -> dict[str, JavaClass]:
    """Return the classes by name."""
    return {name: JavaClass(**facts) for name, facts in json.loads(DATA.read_text(encoding="utf-8")).items()}


# -- making it

_DECLARED: Final = re.compile(r"^  (?:[\w$.<>?,\[\] ]* )?(?P<name>[\w$.]+)(?P<parameters>\(.*?\))?(?: throws .*)?;$")
_LOCAL: Final = re.compile(r"^ +\d+ +\d+ +(?P<slot>\d+) +(?P<name>\w+) +\S+$")


def declared(text: str, name: str) -> Iterator[str]:
    """Yield what `javap` says that a class declares: methods and constructors with their parameters, and constants.

    Of an abstract class the constructor without parameters is left out, which only calls from heirs.
    """
    head, _, body = text.partition("{\n")
    is_abstract = re.search(r"\b(abstract|interface)\b", head) is not None
    for line in re.sub(r"<[^<>]*(<[^<>]*>)?[^<>]*>", "", body).splitlines():
        if found := _DECLARED.match(line):
            member = found["name"].rpartition(".")[2] + _short(found["parameters"] or "")
            if not (is_abstract and member == f"{name}()"):
                yield member


def _short(parameters: str) -> str:
    """Return parameters without the packages of their types."""
    return re.sub(r"[\w$.]*[.$](\w)", r"\1", parameters)


def parameters_of(text: str, name: str) -> Iterator[str]:
    """Yield the names of the parameters of a class's constructors, which `javap -l` has where they were compiled in."""
    head = re.compile(rf"^  (?:public|protected) [\w$.]*\b{re.escape(name)}\((.+)\)", re.MULTILINE)
    for block in text.split("\n\n"):
        if constructor := head.search(block):
            found = [row for line in block.splitlines() if (row := _LOCAL.match(line))]
            local = [row["name"] for row in sorted(found, key=lambda row: int(row["slot"]))]
            count = re.sub(r"<.*?>", "", constructor[1]).count(",") + 1
            yield from local[1 : 1 + count]  # behind `this`


def main(classpath: str) -> None:
    """Print the data, as `javap` of this machine has it."""
    classes = {}
    for wanted in CLASSES:
        options = ["-protected", "-l"] if wanted.is_codec else ["-public"]
        text = _output(["javap", "-cp", classpath, *options, f"{wanted.package}.{wanted.name}"])
        name = wanted.name.rpartition("$")[2]
        members = list(declared(text, name))
        if wanted.is_codec:
            members += parameters_of(text, name)
        classes[name] = {"page": wanted.page, "bases": wanted.bases, "members": list(dict.fromkeys(members))}
    sys.stdout.write(json.dumps(classes, indent=1) + "\n")


def _output(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main(*sys.argv[1:])
