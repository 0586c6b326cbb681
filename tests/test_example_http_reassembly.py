"""examples/http_reassembly.py: the captures of the repository, files beyond memory, and files that are no captures."""

from __future__ import annotations

import gc
import gzip
import hashlib
import io
import json
import os
import random
import re
import signal
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from itertools import accumulate, pairwise
from pathlib import Path
from types import FrameType
from typing import Any, Final, NamedTuple

import pytest

from bytebufs import CompositeBuffer, SliceBuffer, no_copy
from examples.http import captures, connections
from examples.http.capture import CaptureError, Packet, read_packets
from examples.http.captures import map_file
from examples.http.connections import Connections
from examples.http.exchange import Exchange
from examples.http.message import Leftover, Message
from examples.http.packets import Endpoint, Segment, SegmentReader, endpoints
from examples.http.reassembly import Reassembly
from examples.http.report import Wanted, printable, row_of
from examples.http.stream import Stream
from examples.http.syntax import Framing
from examples.http.tcp import Ending
from examples.http_reassembly import find_messages, main, read_capture

from .conftest import IS_QUICK, PROFILE
from .example_wire import (
    ACK,
    FIN,
    RST,
    SYN,
    Tcp,
    block,
    enhanced,
    ethernet,
    facts,
    frames,
    interface,
    ipv4,
    ipv6,
    messages_in,
    pcap,
    pcapng,
    section,
    talk,
)
from .memory import peak_while

ROOT: Final = Path(__file__).parent.parent
CAPTURES: Final = ROOT / "examples" / "captures"
WHOLE: Final = ["loopback.pcap", "mangled.pcapng"]
NOTHING: Final = hashlib.sha256(b"").hexdigest()

Json = dict[str, Any]

GET: Final = b"GET /a HTTP/1.1\r\nHost: example\r\n\r\n"
HELLO: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED: Final = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3;x=y\r\ncde\r\n0\r\nT: u\r\n\r\n"


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes], str]:
    def written(capture: bytes) -> str:
        path = tmp_path / "x.pcap"
        path.write_bytes(capture)
        return str(path)

    return written


Write = Callable[[bytes], str]


# -- the captures in the repository


def manifest(name: str) -> Json:
    loaded: Json = json.loads((CAPTURES / f"{name}.json").read_text())
    return loaded


class Read(NamedTuple):
    """What the program wrote of a capture of the repository, and where it exported the bodies."""

    messages: list[Json]
    bodies: Path


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Read]:
    """Give what reads a capture by its name, each once."""

    @cache
    def read(name: str) -> Read:
        directory = tmp_path_factory.mktemp("read")
        output, bodies = directory / "messages.json", directory / "bodies"
        assert main([str(CAPTURES / name), "--json", str(output), "--export", str(bodies)]) == 0
        return Read([json.loads(line) for line in output.read_text().splitlines()], bodies)

    return read


Reads = Callable[[str], Read]


@pytest.mark.parametrize("name", WHOLE)
def test_every_body_is_what_curl_saved(name: str, read: Reads) -> None:
    expected = []
    for each in manifest("loopback")["exchanges"]:
        asked = {"stream": each["stream"], "target": each["target"], "error": None}
        nothing = {"body_length": 0, "body_sha256": NOTHING}
        statuses = [({"status": status}, nothing) for status in each["interim"]]
        for kind, facts_, body in [
            ("request", {"method": each["method"]}, digested(each["request"])),
            *(("response", status, body) for status, body in statuses),
            ("response", {"status": each["status"]}, digested(each["response"])),
        ]:
            expected.append(asked | {"kind": kind} | facts_ | body)
    found = [*read(name).messages]
    for messages in (found, expected):  # each side in order; they come as they end
        messages.sort(key=lambda one: (one["stream"], one["kind"]))
    keys = ("stream", "target", "error", "kind", "method", "status", "body_length", "body_sha256")
    assert [{key: one[key] for key in keys if key in one} for one in found] == expected


def digested(facts_: Json) -> Json:
    return {"body_length": facts_["length"], "body_sha256": facts_["sha256"]}


@pytest.mark.parametrize("name", WHOLE)
def test_the_rest_of_the_manifest(name: str, read: Reads) -> None:
    found = read(name).messages
    streams = {one["stream"]: one for one in manifest("loopback")["streams"]}
    trailers = {one["target"]: one["response"]["trailers"] for one in manifest("loopback")["exchanges"]}
    for one in found:
        ends = [streams[one["stream"]]["client"], streams[one["stream"]]["server"]]
        assert [one["src"], one["dst"]] == (ends if one["kind"] == "request" else ends[::-1])
        final = one["kind"] == "response" and one["status"] >= 200
        assert one["trailers"] == (trailers[one["target"]] if final else [])
        assert one["complete"]


@pytest.mark.parametrize("name", [*WHOLE, "lossy.pcap"])
def test_nothing_is_copied(name: str, read: Reads) -> None:
    assert {one["copied"] for one in read(name).messages} == {0}


@pytest.mark.parametrize("name", WHOLE)
def test_every_exported_file_has_its_hash(name: str, read: Reads) -> None:
    found, bodies = read(name)
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in bodies.iterdir()}
    expected = {f"{n:06}.body": one["body_sha256"] for n, one in enumerate(found, 1) if one["body_length"]}
    assert files == expected


def test_the_capture_that_was_mangled_has_its_bodies_in_more_parts(read: Reads) -> None:
    plain, mangled = ([one["parts"] for one in read(name).messages] for name in WHOLE)
    assert sum(mangled) > 2 * sum(plain)


def test_exactly_the_damaged_messages_are_reported(read: Reads) -> None:
    lossy = manifest("lossy")
    damaged: dict[tuple[object, ...], Json] = {}
    whole: dict[tuple[object, ...], Json] = {}
    asked: dict[tuple[object, ...], list[str]] = {}  # the methods for a target, as they came
    for one in read("lossy.pcap").messages:
        if one["kind"] == "request":
            asked.setdefault((one["stream"], one["target"]), []).append(one["method"])
        elif one["status"] == 100:
            continue
        method = one["method"] if one["kind"] == "request" else asked[one["stream"], one["target"]].pop(0)
        kept = whole if one["complete"] else damaged
        kept[one["stream"], one["kind"], method, one["target"]] = one
    assert set(damaged) == {name_of(one) for one in lossy["damaged"]}
    for one in lossy["damaged"]:
        error = damaged[name_of(one)]["error"]
        assert sum(int(clause.split()[0]) for clause in error.split("; ")) == one["lost"]
        assert all("bytes missing" in clause for clause in error.split("; "))
        assert ("inside the head" in error) == (one["where"] == "head")
    expected = {name_of(one): digested(one) for one in lossy["whole"]}
    assert {name: {key: one[key] for key in digested(lossy["whole"][0])} for name, one in whole.items()} == expected


def name_of(one: Json) -> tuple[object, ...]:
    return one["stream"], one["kind"], one["method"], one["target"]


def output_of(command: Sequence[str]) -> str:
    run = subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    return run.stdout


@pytest.mark.needs("tshark")
@pytest.mark.parametrize("name", WHOLE)
def test_the_objects_that_tshark_exports_agree(name: str, tmp_path: Path, read: Reads) -> None:
    """All but those of streams that it misreads.

    It takes what follows a response to a pipelined HEAD for its body, and from 4.6 on it loses responses where segments
    overlap: it sees fewer of them then.
    """
    found, bodies = read(name)
    command = ["tshark", "-nQ", "-r", str(CAPTURES / name), "-o", "tcp.reassemble_out_of_order:TRUE"]
    command += ["--export-objects", f"http,{tmp_path}/objects"]
    seen = Counter(map(int, output_of([*command, "-Y", "http.response", "-T", "fields", "-e", "tcp.stream"]).split()))
    responses = Counter(one["stream"] for one in found if one["kind"] == "response")
    (misread,) = {one["stream"] for one in found if one.get("method") == "HEAD" and "/pipelined/" in one["target"]}
    lossy = {stream for stream in responses if seen[stream] != responses[stream]}
    assert seen.keys() <= responses.keys()
    assert len(responses.keys() - lossy) >= len(responses) // 2
    assert name == "mangled.pcapng" or lossy <= {misread}
    misreads = {misread} | lossy
    ours: Counter[str] = Counter()
    theirs: Counter[str] = Counter()
    for number, one in enumerate(found, 1):
        if one["body_length"] and one["stream"] not in misreads:
            body = (bodies / f"{number:06}.body").read_bytes()
            coded = ["Content-Encoding", "gzip"] in one["headers"]
            ours[hashlib.sha256(gzip.decompress(body) if coded else body).hexdigest()] += 1
    for path in (tmp_path / "objects").iterdir():
        theirs[hashlib.sha256(path.read_bytes()).hexdigest()] += 1
    del theirs[NOTHING]  # it writes a file for some of the bodies that are empty
    assert ours - theirs == Counter()
    assert set(theirs - ours) <= {one["body_sha256"] for one in found if one["stream"] in misreads}


class Recorder:
    """Takes in what a side of a connection sends."""

    def __init__(self) -> None:
        self.data = bytearray()

    def feed(self, part: SliceBuffer, /) -> None:
        for view in part.views():
            self.data += view

    def gap(self, nbytes: int, /) -> None:
        raise AssertionError(f"{nbytes} bytes are missing")

    def end(self, ending: Ending, /) -> None:
        assert ending is Ending.CLOSED


@cache
def halves_of(name: str) -> list[tuple[bytes, bytes]]:
    """Return the bytes that each side sent, for each stream of a capture without holes."""
    recorders: list[tuple[Recorder, Recorder]] = []

    def record(stream: Stream) -> None:
        recorders.append((Recorder(), Recorder()))
        for half, recorder in zip(stream.halves, recorders[-1], strict=True):
            half.sink = recorder

    connections = Connections(record, lambda _stream: None)
    reader = SegmentReader()
    for packet in read_packets(map_file(CAPTURES / name)):
        segment = reader.read(packet)
        assert isinstance(segment, Segment)
        connections.add(segment)
    connections.end()
    return [(bytes(one.data), bytes(other.data)) for one, other in recorders]


def parsed(asked: list[SliceBuffer], answered: list[SliceBuffer]) -> list[tuple[object, ...]]:
    return [facts(message) for message in exchanged(asked, answered)]


class Told:
    """The messages of an exchange, by side."""

    def __init__(self) -> None:
        self.messages: tuple[list[Message], list[Message]] = [], []
        self.exchange = Exchange(self.tell, joins=lambda _side: False, watch=lambda: None)

    def tell(self, side: int, what: Message | Leftover) -> None:
        assert isinstance(what, Message)
        self.messages[side].append(what)


def exchanged(asked: list[SliceBuffer], answered: list[SliceBuffer]) -> list[Message]:
    told = Told()
    for parser, parts in zip(told.exchange.parsers, (asked, answered), strict=True):
        for part in parts:
            parser.feed(part)
        parser.end(Ending.CLOSED)
    return [*told.messages[0], *told.messages[1]]


def cut(data: bytes, *offsets: int) -> list[SliceBuffer]:
    whole = SliceBuffer(data)
    return [whole[start:stop] for start, stop in pairwise([0, *offsets, len(data)])]


STREAMS: Final = range(len(manifest("loopback")["streams"]))


SYNTAX: Final = re.compile(rb"\r\n|HTTP/|[A-Z]{3,} ")


def byte_by_byte(data: bytes) -> list[SliceBuffer]:
    """Cut bytes up into single ones, but in the profile `quick` far from heads and chunk sizes into 200 at a time."""
    if not IS_QUICK:
        return cut(data, *range(1, len(data)))
    near = {at for match in SYNTAX.finditer(data) for at in range(match.start() - 30, match.end() + 30)}
    return cut(data, *(at for at in range(1, len(data)) if at % 200 == 0 or at in near))


@pytest.mark.parametrize("number", STREAMS)
def test_a_stream_fed_one_byte_at_a_time(number: int) -> None:
    asked, answered = halves_of("loopback.pcap")[number]
    whole = parsed(cut(asked), cut(answered))
    assert parsed(byte_by_byte(asked), byte_by_byte(answered)) == whole


def exchanges_of(asked: bytes, answered: bytes) -> list[tuple[bytes, bytes]]:
    """Cut the two halves of a stream into requests and what answers each: where a byte finishes a message."""
    told = Told()
    stops: list[list[int]] = [[], []]
    for side, data in enumerate((asked, answered)):
        parser, messages, found = told.exchange.parsers[side], told.messages[side], stops[side]
        pieces = byte_by_byte(data)
        for at, piece in zip(accumulate(map(len, pieces)), pieces, strict=True):
            parser.feed(piece)
            found += [at] * (len(messages) - len(found))
        parser.end(Ending.CLOSED)
        found += [len(data)] * (len(messages) - len(found))
    # An interim response belongs to what the final one answers.
    final = [stop for stop, one in zip(stops[1], told.messages[1], strict=True) if (one.status or 0) >= 200]
    ours, theirs = (pairwise([0, *found]) for found in (stops[0], final))
    return [(asked[a:b], answered[c:d]) for (a, b), (c, d) in zip(ours, theirs, strict=True)]


@pytest.mark.parametrize("number", STREAMS)
def test_a_stream_cut_at_every_offset(number: int) -> None:
    """Each exchange by itself; of the offsets deep inside a body only some, but in the long profile all of them."""
    choices = random.Random(number)
    for asked, answered in exchanges_of(*halves_of("loopback.pcap")[number]):
        whole = exchanged(cut(asked), cut(answered))
        assert all(message.error is None for message in whole)
        for offset in offsets_of(asked, choices):
            assert_same(exchanged(cut(asked, offset), cut(answered)), whole)
        for offset in offsets_of(answered, choices):
            assert_same(exchanged(cut(asked), cut(answered, offset)), whole)


def assert_same(found: list[Message], whole: list[Message]) -> None:
    """Compare all that may not depend on the cut. Bodies by ==, which is quick where they show the same memory."""
    for one, other in zip(found, whole, strict=True):
        assert one.body == other.body
        for name in ("kind", "method", "status", "target", "version", "headers", "trailers"):
            assert getattr(one, name) == getattr(other, name)
        for name in ("missing", "hole", "error", "copied"):
            assert getattr(one, name) == getattr(other, name)


FRAMING: Final = re.compile(rb"\r\n(?:[0-9a-f]{1,6}\r\n|\r\n)")


def offsets_of(data: bytes, choices: random.Random) -> list[int]:
    """Return every offset in the head and near it, around chunk sizes and near the end, and 20 others."""
    if PROFILE == "long":
        return list(range(1, len(data)))
    head = data.index(b"\r\n\r\n") + 16
    near = {at for match in FRAMING.finditer(data) for at in range(match.start() - 2, match.end() + 3)}
    chosen = {*range(head), *near, *range(len(data) - 16, len(data)), *choices.choices(range(len(data)), k=20)}
    found = [offset for offset in sorted(chosen) if 0 < offset < len(data)]
    return found[:: max(12, len(found) // 20) if IS_QUICK else 1]


def test_a_hidden_copy_is_told(
    monkeypatch: pytest.MonkeyPatch, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    framing = Exchange.framing

    def careless(self: Exchange, message: Message) -> tuple[Framing, str | None]:
        CompositeBuffer([message.head, b"!"]).contiguous()
        return framing(self, message)

    monkeypatch.setattr(Exchange, "framing", careless)
    capture = pcap(frames(talk(GET, HELLO)))
    assert [one["copied"] for one in messages_in(capture)] == [len(GET) + 1, len(HELLO) - 4]
    assert main([write(capture)]) == 0
    assert f"{len(GET) + 1} bytes copied" in capsys.readouterr().out


# -- large files


def run_measured(*arguments: str) -> tuple[str, int]:
    """Run the program in a process of its own; return its output and its largest resident size in bytes.

    VmHWM, where getrusage would do at first sight: the latter takes over what the forking process had.
    """
    script = (
        "import runpy, sys\n"
        "sys.argv[0] = 'http_reassembly'\n"
        "try: runpy.run_module('examples.http_reassembly', run_name='__main__')\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])\n"
    )
    command = [sys.executable, "-c", script, *arguments]
    run = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT, timeout=300)
    output, _, peak = run.stdout.rstrip().rpartition("\n")
    return output, int(peak) * 1024


def write_sparse(path: Path, pieces: list[bytes | int]) -> int:
    """Write bytes, and blocks of so many bytes whose inside is a hole; return the size."""
    with path.open("wb") as file:
        for piece in pieces:
            if isinstance(piece, int):
                file.write(struct.pack("<II", 0xBAD, piece))
                file.seek(piece - 12, os.SEEK_CUR)
                file.write(struct.pack("<I", piece))
            else:
                file.write(piece)
        return file.tell()


def test_a_sparse_capture_of_a_gibibyte_is_walked_in_little_memory(tmp_path: Path) -> None:
    segments = talk(*([GET, HELLO] * 125))
    packets = [enhanced(frame) for frame in frames(segments)]
    pieces: list[bytes | int] = [section(), interface()]
    for packet in packets:
        pieces += [packet, 5 << 20]
    path = tmp_path / "sparse.pcapng"
    assert write_sparse(path, pieces) > 1 << 30
    output, peak = run_measured(str(path), "--json", str(tmp_path / "out.json"))
    assert "250 messages, 0 of them incomplete" in output
    assert peak < 100 << 20


def test_messages_more_than_four_gibibytes_apart(tmp_path: Path) -> None:
    first, second, *rest = [enhanced(frame) for frame in frames(talk(GET, HELLO, GET, CHUNKED, size=20))]
    half = len(rest) // 2
    huge = 3 << 30
    pieces: list[bytes | int] = [section(), interface(), first, huge, second, *rest[:half], huge, *rest[half:]]
    path = tmp_path / "apart.pcapng"
    assert write_sparse(path, pieces) > 6 << 30
    output, peak = run_measured(str(path), "--json", str(tmp_path / "out.json"), "--export", str(tmp_path / "bodies"))
    assert "4 messages, 0 of them incomplete" in output
    assert peak < 100 << 20
    found = [json.loads(line) for line in (tmp_path / "out.json").read_text().splitlines()]
    assert [one["body_length"] for one in found] == [0, 5, 0, 5]
    assert {one["copied"] for one in found} == {0}
    assert sorted(path.read_bytes() for path in (tmp_path / "bodies").iterdir()) == [b"abcde", b"hello"]


def test_one_body_more_than_four_gibibytes_apart(tmp_path: Path) -> None:
    """A body in two parts, far from each other in the file."""
    segments = [enhanced(frame) for frame in frames(talk(GET, HELLO, size=len(HELLO) - 2))]
    huge = (4 << 30) - 4
    pieces: list[bytes | int] = [section(), interface(), *segments[:-3], huge, 1 << 20, *segments[-3:]]
    path = tmp_path / "apart.pcapng"
    write_sparse(path, pieces)
    output, peak = run_measured(str(path), "--explain", "2")
    assert "5 bytes in 2 parts" in output
    places = [int(line.split("[")[1].split(":")[0]) for line in output.splitlines()[-2:]]
    assert places[1] - places[0] > 1 << 32
    assert peak < 100 << 20


# -- the command line


def test_a_line_a_message(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([write(pcap(frames(talk(GET, HELLO, GET, CHUNKED))))]) == 0
    first, second, _, fourth, summary = capsys.readouterr().out.splitlines()
    assert first == "    1  stream 0  10.0.0.1:40000 > 10.0.0.2:80  GET /a  no body"
    assert second == "    2  stream 0  10.0.0.2:80 > 10.0.0.1:40000  200 /a  5 bytes in 1 part"
    assert fourth.endswith("5 bytes in 2 parts")
    assert summary == "4 messages, 0 of them incomplete; 1 TCP stream, 0 of them not HTTP/1; 8 packets"


def test_damaged_messages_are_told_and_change_no_status(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    segments = talk(GET, HELLO, size=len(HELLO) - 2)
    assert main([write(pcap(frames(segments[:4] + segments[5:])))]) == 0
    out = capsys.readouterr().out
    assert "incomplete: 2 bytes missing from byte 3 of the body on" in out
    assert "2 messages, 1 of them incomplete" in out


def test_what_was_left_out_is_counted(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    other = Tcp(1, b"x")
    packets = [
        *frames(talk(GET, HELLO)),
        *frames(talk(b"\x16\x03\x01\x02\x00", b"\x16\x03\x03\x02\x00", port=443)),
        *(ethernet(ipv4(other, protocol=17)), ethernet(ipv4(other, fragment=0x2000)), ethernet(b"\x45")),
        *(ethernet(ipv6(other), kind=0x88CC), ethernet(ipv6(other), kind=0x88CC)),
    ]
    assert main([write(pcap(packets))]) == 0
    summary = capsys.readouterr().out.splitlines()[-1]
    assert "2 messages, 0 of them incomplete; 2 TCP streams, 1 of them not HTTP/1 (10 bytes); 17 packets; " in summary
    for words in (
        "1 packet of UDP",
        "1 packet in IP fragments",
        "2 packets of LLDP",
        "1 packet with cut or damaged",
    ):
        assert words in summary


def test_explain_shows_where_the_bytes_lie(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    capture = pcap(frames(talk(GET, CHUNKED)))
    assert main([write(capture), "--explain", "2"]) == 0
    out = capsys.readouterr().out
    for part in (b"ab", b"cde"):
        at = capture.index(b"\r\n" + part + b"\r\n") + 2
        assert f"[{at}:{at + len(part)}] of mmap of {len(capture)}" in out
    assert "  1  stream" not in out


@pytest.mark.parametrize("number", ["0", "3", "-1"])
def test_explain_a_message_that_is_not_there(number: str, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([write(pcap(frames(talk(GET, HELLO)))), "--explain", number]) == 2
    assert f"no message {number} among 2" in capsys.readouterr().err


def test_names_of_exported_files_come_from_numbers_alone(tmp_path: Path, write: Write) -> None:
    evil = b"GET /../../../etc/passwd HTTP/1.1\r\n\r\n"
    cut_short = talk(evil, HELLO, port=9, size=len(HELLO) - 1)[:-3]
    capture = pcap(frames(talk(evil, HELLO) + cut_short))
    assert main([write(capture), "--export", str(tmp_path / "new" / "bodies")]) == 0
    files = {path.name: path.read_bytes() for path in (tmp_path / "new" / "bodies").iterdir()}
    assert files == {"000002.body": b"hello", "000004.partial": b"hell"}


def test_the_order_of_json(write: Write, tmp_path: Path) -> None:
    """By stream, and a response after its request, whatever the order of the packets."""
    one, two = talk(GET, HELLO, GET, HELLO), talk(GET, HELLO, port=2)
    mixed = [segment for pair in zip(one, reversed(two), strict=False) for segment in pair] + one[len(two) :]
    assert main([write(pcap(frames(mixed))), "--json", str(tmp_path / "out")]) == 0
    found = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert [(one["stream"], one["kind"]) for one in found] == [
        *[(0, "request"), (0, "response")] * 2,
        *[(1, "request"), (1, "response")],
    ]
    assert list(found[0]) == [
        *("stream", "src", "dst", "kind", "method", "target", "headers", "trailers"),
        *("body_length", "body_sha256", "parts", "copied", "complete", "error", "unparsed_before"),
    ]
    assert list(found[1])[4] == "status"
    assert found[0]["headers"] == [["Host", "example"]]


def test_control_characters_reach_no_terminal(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    evil = b"GET /\x9b31m\xc2\xad HTTP/1.1\r\n\r\n"
    assert main([write(pcap(frames(talk(evil, HELLO))))]) == 0
    out = capsys.readouterr().out
    assert "/\\x9b31mÂ\\xad" in out
    assert printable("a\x1b[2J\n\u202e\u2028é") == "a\\x1b[2J\\n\\u202e\\u2028é"


def test_an_ascii_terminal(write: Write) -> None:
    evil = b"GET /\xe9 HTTP/1.1\r\n\r\n"
    path = write(pcap(frames(talk(evil, HELLO))))
    run = program(path, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert run.returncode == 0
    assert b"GET /\\xe9" in run.stdout


def program(*arguments: str, **environ: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "examples.http_reassembly", *arguments]
    environment = {**os.environ, **environ}
    return subprocess.run(command, check=False, capture_output=True, cwd=ROOT, env=environment, timeout=60)


@pytest.mark.parametrize(
    ("capture", "error"),
    [
        (b"", "the file is empty"),
        (b"abc", "too short for a capture"),
        (b"no capture at all", "neither pcap nor pcapng"),
        (pcap([])[:20], "the file header is cut"),
        (section()[:20], "the file ends"),
    ],
)
def test_files_that_are_no_captures(
    capture: bytes, error: str, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([write(capture)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert error in err


def test_a_file_that_is_cut_gives_its_whole_packets_first(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([write(pcap(frames(talk(GET, HELLO)))[:-3])]) == 2
    out, err = capsys.readouterr()
    assert "2 messages" in out
    assert "the file ends in packet 6" in err


def test_a_capture_without_messages(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([write(pcap([]))]) == 0
    assert capsys.readouterr().out.startswith("0 messages")


def test_what_cannot_be_opened(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("absent", ".", "pipe"):
        assert main([str(tmp_path / name)]) == 2
    assert capsys.readouterr().err.count("\n") == 3


def test_where_nothing_can_be_written(tmp_path: Path, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(pcap(frames(talk(GET, HELLO))))
    assert main([path, "--json", str(tmp_path)]) == 2
    assert main([path, "--export", path]) == 2
    assert capsys.readouterr().err.count("\n") == 2


@pytest.mark.parametrize(
    "arguments",
    [[], ["a", "--explain", "x"], ["a", "--workers", "0"], ["a", "--workers", "2", "--scheduler", "tcp://localhost:1"]],
)
def test_wrong_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_a_reader_that_goes_away(write: Write) -> None:
    path = write(pcap(frames(talk(*[GET, HELLO] * 500))))
    with subprocess.Popen(
        [sys.executable, "-m", "examples.http_reassembly", path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    ) as process:
        assert process.stdout
        process.stdout.close()
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (1, b"")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("rich", [True, False])
def test_a_progress_bar(rich: bool, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captures, "LONG_CAPTURE", 0)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    if not rich:
        monkeypatch.setitem(sys.modules, "rich.progress", None)
    assert main([write(pcap(frames(talk(*[GET, HELLO] * 30))))]) == 0
    assert ("reading packets" in terminal.getvalue()) == rich


def test_no_progress_bar_where_nobody_looks(
    write: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(captures, "LONG_CAPTURE", 0)
    assert main([write(pcap(frames(talk(GET, HELLO))))]) == 0
    assert capsys.readouterr().err == ""


# -- roles


def test_who_asks_is_told_by_what_is_said() -> None:
    """The first packet of the capture is the server's, and the handshake is not in it."""
    segments = talk(GET, HELLO, GET, HELLO, handshake=False)
    found = messages_in(pcap(frames([Tcp(5001, from_client=False), *segments])))
    assert [one["kind"] for one in found] == ["request", "response"] * 2
    assert {one["src"] for one in found if one["kind"] == "request"} == {"10.0.0.1:40000"}


def test_a_capture_that_begins_before_a_response() -> None:
    """Its request is not there; the next one has its own response."""
    found = messages_in(pcap(frames(talk(b"", HELLO, GET, HELLO, handshake=False))))
    assert [(one["kind"], one["target"]) for one in found] == [
        ("response", None),
        ("request", "/a"),
        ("response", "/a"),
    ]


@pytest.mark.parametrize("client", [True, False])
def test_one_direction_alone(client: bool) -> None:
    segments = [segment for segment in talk(GET, HELLO, GET, HELLO) if segment.from_client == client]
    found = messages_in(pcap(frames(segments)))
    assert [one["target"] for one in found] == (["/a", "/a"] if client else [None, None])
    assert all(one["complete"] for one in found)


def test_a_reset_connection() -> None:
    segments = talk(GET, b"HTTP/1.1 200 OK\r\n\r\nall")[:-2]
    (_, response) = messages_in(pcap(frames([*segments, Tcp(101 + len(GET), b"", RST)])))
    assert response["error"] == "the connection was reset at byte 3 of the body"


def test_snapshot_lengths_cut_bodies() -> None:
    capture = pcap(
        frames(talk(GET, b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n" + bytes(900), GET, HELLO)), snap=200
    )
    _, response, _, last = messages_in(capture)
    assert str(response["error"]).startswith("794 bytes missing from byte 106 of the body on")
    assert last["complete"]


# -- one packet after the other


def test_messages_come_as_they_end() -> None:
    """Not at the end of the capture, nor of the connection."""
    read = 0

    def counted(packets: Iterator[Packet]) -> Iterator[Packet]:
        nonlocal read
        for packet in packets:
            read = packet.number
            yield packet

    capture = SliceBuffer(pcap(frames(talk(*[GET, HELLO] * 50, size=20))))
    came: list[int] = []
    for found in Reassembly().read(counted(read_packets(capture))):
        assert found.moment.number == read
        came.append(read)
    assert len(came) == 100
    assert all(after - before <= 3 for before, after in pairwise(came))


def test_connections_that_have_ended_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three times as many cost no more, if as many are open at a time."""
    monkeypatch.setattr(connections, "PATIENCE", 30)

    def read(number: int) -> None:
        reassembly = Reassembly()
        for port in range(number):
            if port % 10 == 0:
                gc.collect()  # a stream is a cycle
            capture = SliceBuffer(pcap(frames(talk(GET, HELLO, port=port + 1))))
            assert len(list(reassembly.read(read_packets(capture, reassembly.counts.packets)))) == 2
        assert list(reassembly.end()) == []
        assert reassembly.counts.http == number

    read(1)
    most = peak_while(partial(read, 30), 0) * 3 // 2
    assert peak_while(partial(read, 90), most) < most


def test_bytes_that_no_message_took_are_shown(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    segments = talk(b"\x05\1\0", b"\5\0", GET, HELLO + b"rest\x1b\n", b"GET /a b HTTP/1.1\r\n\r\n", HELLO)
    assert main([write(pcap(frames(segments)))]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "       stream 0  10.0.0.1:40000 > 10.0.0.2:80  3 bytes in no message: '\\x05\\x01\\x00'"
    assert any(line.endswith(r"6 bytes in no message: 'rest\x1b'") for line in lines)
    assert any("? ?  no body" in line for line in lines)
    assert any("incomplete: not a request line: 'GET /a b HTTP/1.1'" in line for line in lines)
    assert "13 bytes in no message; " in lines[-1]


# -- random and mutated captures: 22 000 runs, always the same

RUNS: Final = 150 if IS_QUICK else 1100
BASES: Final = [
    talk(GET, HELLO, GET, CHUNKED, size=40),
    talk(b"HEAD /h HTTP/1.1\r\n\r\n" + GET, HELLO[:-5] + CHUNKED, size=25, isn=(2**32 - 30, 2**32 - 90)),
    talk(
        b"PUT /p HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 50\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        bytes(50),
        HELLO,
    ),
    talk(b"GET /w HTTP/1.1\r\nUpgrade: x\r\n\r\n", b"HTTP/1.1 101 Go\r\n\r\nxx", b"\x01\x02", b"\x03", size=9),
    talk(b"CONNECT a:1 HTTP/1.1\r\n\r\n", HELLO, GET, b"HTTP/1.0 200 OK\r\n\r\nto the end", handshake=False),
]
TOKENS: Final = [
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b" ",
        b":",
        b";",
        b"0x",
        b"-",
        b"_",
        b"0\r\n\r\n",
        b"ffffffffffffffff\r\n",
        b"HTTP/1.1 ",
    ),
    *(
        b"Content-Length: 7\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Upgrade: x\r\n",
        b"204",
        b"101",
        b"HEAD",
        b"CONNECT",
    ),
    *(GET, HELLO, CHUNKED),
]
NUMBERS: Final = [0, 1, 2, 12, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 4, 2**32 - 1]


@cache
def excerpts() -> list[list[bytes]]:
    """Return the frames of the small streams of the captures in the repository, and of the conversations above."""
    found = [frames(base) for base in BASES]
    for name in [*WHOLE, "lossy.pcap"]:
        streams: dict[frozenset[Endpoint], list[bytes]] = {}
        for packet in read_packets(map_file(CAPTURES / name)):
            segment = SegmentReader().read(packet)
            assert isinstance(segment, Segment)
            streams.setdefault(frozenset(endpoints(segment.flow)), []).append(bytes(packet.data))
        found += [stream for stream in streams.values() if sum(map(len, stream)) < 6000]
    return found


def edited(data: bytes, choices: random.Random, tokens: list[bytes]) -> bytes:
    """Change bytes in a few places: flip, cut, repeat, insert, overwrite by a number."""
    out = bytearray(data)
    for _ in range(choices.randrange(1, 6)):
        at = choices.randrange(len(out) + 1)
        size = choices.randrange(1, 9)
        match choices.randrange(7):
            case 0:
                out[at : at + 1] = bytes([choices.randrange(256)])
            case 1:
                del out[at : at + size]
            case 2:
                out[at:at] = out[at : at + 4 * size]
            case 3:
                out[at:at] = choices.choice(tokens)
            case 4:
                out[at : at + 4] = choices.choice(NUMBERS).to_bytes(4, choices.choice(["little", "big"]))
            case 5:
                out[at:at] = choices.randbytes(size)
            case _:
                del out[max(at, len(out) // 2) :]
    return bytes(out)


def random_file(choices: random.Random) -> bytes:
    starts = [b"", pcap([]), pcapng([]), pcap([b""])[:-8], section(), section() + interface(), b"\n\r\r\n"]
    return choices.choice(starts) + choices.randbytes(choices.randrange(400))


def edited_file(choices: random.Random) -> bytes:
    packets = choices.choice(excerpts())
    write_ = choices.choice([pcap, pcapng])
    return edited(write_(packets, order=choices.choice("<>")), choices, [block(9, bytes(8)), bytes(4)])


def edited_packets(choices: random.Random) -> bytes:
    packets = list(choices.choice(excerpts()))
    for _ in range(choices.randrange(1, 4)):
        at = choices.randrange(len(packets))
        packets[at] = edited(packets[at], choices, TOKENS)
    return pcap(packets, snap=choices.choice([60, 80, 1000, 1000]))


def edited_segments(choices: random.Random) -> bytes:
    segments = list(choices.choice(BASES)) + list(choices.choice(BASES))
    for _ in range(choices.randrange(1, 6)):
        at, other = choices.randrange(len(segments)), choices.randrange(len(segments))
        one = segments[at]
        match choices.randrange(7):
            case 0:
                del segments[at : at + 1 if len(segments) > 1 else at]
            case 1:
                segments.insert(other, one)
            case 2:
                segments[at], segments[other] = segments[other], one
            case 3:
                segments[at] = one._replace(seq=one.seq + choices.choice([1, -1, 7, -20, 2**30, 2**31, -(2**30)]))
            case 4:
                segments[at] = one._replace(flags=choices.choice([SYN, FIN, RST, ACK, SYN | ACK, 0, 63]))
            case 5:
                segments[at] = one._replace(payload=edited(one.payload, choices, TOKENS))
            case _:
                segments[at] = one._replace(from_client=not one.from_client)
    return pcapng(frames(segments))


def edited_text(choices: random.Random) -> bytes:
    asked = edited(GET * 2 + choices.choice(TOKENS), choices, TOKENS)
    answered = edited(HELLO + CHUNKED + HELLO, choices, TOKENS)
    segments = talk(asked, answered, size=choices.choice([1000, 30, 7]))
    for _ in range(choices.randrange(3)):
        del segments[choices.randrange(len(segments))]
    choices.shuffle(segments)
    return pcap(frames(segments))


@contextmanager
def alarm(seconds: int) -> Iterator[None]:
    """Raise TimeoutError in a block that hangs."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"no end after {seconds} seconds")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def survive(data: bytes) -> None:
    """Do all that the program does with a capture, and hold what comes out against what went in."""
    try:
        packets = read_packets(SliceBuffer(data))
    except CaptureError:
        return
    capture = read_capture(packets)
    messages = parts = shown = 0
    for found in find_messages(capture.connections.streams):
        message = found.message
        with no_copy():
            row = row_of(found, Wanted(json=True, bodies=True, places=True))
        assert row.json
        assert row.json["copied"] == 0
        assert (row.text(1, 1) + row.places).count("\x1b") == 0
        messages += 1
        parts += message.body.part_count
        shown += len(message.body)
    assert shown <= len(data)
    assert parts <= len(data)
    assert messages <= len(data)


MAKERS: Final = [random_file, edited_file, edited_packets, edited_segments, edited_text]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("seed", range(4))
def test_whatever_the_file_holds_it_is_read_or_refused(make: Callable[[random.Random], bytes], seed: int) -> None:
    for run in range(RUNS):
        data = make(random.Random(f"{seed}, {run}"))
        with alarm(10):
            survive(data)


def test_the_mutations_reach_every_layer() -> None:
    """Or the runs above would show little."""
    reasons: Counter[str] = Counter()
    for make in MAKERS:
        for run in range(60 if IS_QUICK else 300):
            try:
                packets = read_packets(SliceBuffer(make(random.Random(f"layers, {run}"))))
            except CaptureError as error:
                reasons[error.reason] += 1
                continue
            capture = read_capture(packets)
            reasons.update(reason.value for reason in capture.skipped)
            reasons.update([capture.error.reason] if capture.error else [])
            found = [each.message.error or "whole" for each in find_messages(capture.connections.streams)]
            reasons.update(clause for error in found for clause in error.split("; "))
    kinds = {re.sub(r"0x[0-9a-f]+|\d+", "N", reason) for reason in reasons}
    assert {"whole", "with cut or damaged headers", "packet N claims N bytes", "a bad chunk size"} <= kinds
    assert len(kinds) > 30


@pytest.mark.parametrize("make", MAKERS)
def test_memory_stays_in_proportion(make: Callable[[random.Random], bytes]) -> None:
    captures = [make(random.Random(f"memory, {run}")) for run in range(10 if IS_QUICK else 60)]
    for data in captures:  # what is made once and kept is no matter
        survive(data)
    for data in captures:
        most = 100_000 + 100 * len(data)
        assert peak_while(partial(survive, data), most) < most
