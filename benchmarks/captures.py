"""What the HTTP example costs on a large capture: ``python -m benchmarks.captures [--mib 1024] [--connections 10000]``.

A capture is made, once whole and once in ten files, of connections of two exchanges each, bodies with a length or in
chunks, a hundred open at a time, in segments as on Ethernet. Then each program runs in a process of its own:

    processor  time of the process and its children, the system's on their behalf included
    wall       time that passed
    memory     the most that the process had beside the files that it maps (RssAnon), and each child

tshark is needed for the comparison; without it there is none. All of ours have to show the same. As a part of
``python -m benchmarks`` the same is done with a smaller capture.
"""

from __future__ import annotations

import argparse
import atexit
import hashlib
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import IO, Final

import bytebufs

from ._harness import MIB, OURS, TOLD, Cell, Contender, Goal, Sample, by_build, cost_of, size_name

__all__ = ["main", "plan", "write_captures"]

MSS: Final = 1448
CHUNK: Final = 16_384
AT_ONCE: Final = 100
FILES: Final = 10
WATCH: Final = 0.02
"""Seconds between two looks at a process's memory."""

SYN: Final = 2
ACK: Final = 16
FIN_ACK: Final = 17
PSH_ACK: Final = 24
SCALED: Final = b"\x01\x03\x03\x07"


def _segment(src: bytes, dst: bytes, ports: tuple[int, int], seq: int, ack: int, flags: int, data: bytes) -> bytes:
    options = SCALED if flags & SYN else b""
    size = 40 + len(options) + len(data)
    ip = struct.pack("!BBHHHBBH", 0x45, 0, size, 1, 0, 64, 6, 0) + src + dst
    offset = (5 + len(options) // 4) << 4
    tcp = struct.pack("!HHIIBBHHH", *ports, seq % 2**32, ack % 2**32, offset, flags, 64240, 0, 0)
    return b"\2" * 12 + b"\x08\0" + ip + tcp + options + data


def _conversation(number: int, size: int, source: bytes, chance: random.Random) -> Iterator[bytes]:
    """Yield the frames of a connection whose two responses have bodies of `size` bytes."""
    client, server = struct.pack("!I", 0x0A000000 + number), b"\x0a\xff\0\1"
    port = 20_000 + number % 40_000
    asked, answered = chance.randrange(2**32), chance.randrange(2**32)

    def ask(flags: int, data: bytes = b"") -> bytes:
        return _segment(client, server, (port, 80), asked, answered, flags, data)

    def answer(flags: int, data: bytes = b"") -> bytes:
        return _segment(server, client, (80, port), answered, asked, flags, data)

    yield ask(SYN)
    asked += 1
    yield answer(SYN | ACK)
    answered += 1
    yield ask(ACK)
    for turn in range(2):
        request = b"GET /%d/%d HTTP/1.1\r\nHost: example.org\r\nAccept: */*\r\n\r\n" % (number, turn)
        yield ask(PSH_ACK, request)
        asked += len(request)
        at = chance.randrange(len(source) - size)
        body = source[at : at + size]
        if number % 2:
            message = b"HTTP/1.1 200 OK\r\nServer: s\r\nContent-Length: %d\r\n\r\n" % size + body
        else:
            chunks = [body[at : at + CHUNK] for at in range(0, size, CHUNK)]
            message = b"HTTP/1.1 200 OK\r\nServer: s\r\nTransfer-Encoding: chunked\r\n\r\n"
            message += b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
        for count, at in enumerate(range(0, len(message), MSS)):
            yield answer(ACK, message[at : at + MSS])
            answered += len(message[at : at + MSS])
            if count % 2:
                yield ask(ACK)
    yield answer(FIN_ACK)
    answered += 1
    yield ask(FIN_ACK)
    asked += 1
    yield answer(ACK)


def write_captures(folder: Path, connections: int, nbytes: int) -> tuple[Path, list[Path]]:
    """Write a capture of about so many bytes, whole and in files, and return where they are."""
    chance = random.Random(1)
    size = nbytes // connections // 2
    source = chance.randbytes(2 * size + (1 << 20))
    waiting = (_conversation(number, size, source, chance) for number in range(connections))
    live = [one for _, one in zip(range(AT_ONCE), waiting, strict=False)]
    whole, parts = folder / "whole.pcap", [folder / f"part.{number}.pcap" for number in range(FILES)]
    header = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 1)
    count = written = 0
    with whole.open("wb") as out:
        out.write(header)
        part: IO[bytes] | None = None
        while live:
            one = chance.choice(live)
            for frame in (frame for _, frame in zip(range(chance.randrange(1, 6)), one, strict=False)):
                record = struct.pack("<IIII", 10**9 + count // 10**6, count % 10**6, len(frame), len(frame)) + frame
                which = min(written * FILES // nbytes, FILES - 1)
                if part is None or part.name != str(parts[which]):
                    if part is not None:
                        part.close()
                    part = parts[which].open("wb")
                    part.write(header)
                out.write(record)
                part.write(record)
                written += len(record)
                count += 1
            if one.gi_frame is None:  # type: ignore[attr-defined]
                live.remove(one)
                live += [another for _, another in zip(range(1), waiting, strict=False)]
        if part is not None:
            part.close()
    return whole, [path for path in parts if path.exists()]


@dataclass(frozen=True)
class Cost:
    """What a command took."""

    name: str
    processor: float
    wall: float
    memory: int
    shown: str
    """A digest of its output."""


def _run(name: str, command: Sequence[str], folder: Path) -> Cost:
    before = os.times()
    began = time.monotonic()
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL, env=_environment())
        most = 0
        while process.poll() is None:
            most = max(most, _anonymous(process.pid))
            time.sleep(WATCH)
    wall = time.monotonic() - began
    after = os.times()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    processor = after.children_user + after.children_system - before.children_user - before.children_system
    return Cost(name, processor, wall, most, hashlib.sha256((folder / "out").read_bytes()).hexdigest())


def _environment() -> dict[str, str]:
    """Return one in which the examples are found, and the package of this process, whichever build that is."""
    paths = [Path(bytebufs.__file__).parent.parent, Path(__file__).parent.parent]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}


def _anonymous(pid: int) -> int:
    """Return the bytes of memory of a process that belong to no file."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:  # it has just ended
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the captures, run the programs, and say what they cost."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.captures", description=__doc__.partition("\n")[0])
    parser.add_argument("--mib", type=int, default=1024, help="how large the capture is (1024)")
    parser.add_argument("--connections", type=int, default=10_000, help="how many connections are in it (10000)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as name:
        folder = Path(name)
        whole, parts = write_captures(folder, options.connections, options.mib << 20)
        ours = [sys.executable, "-P", "-m", "examples.http_reassembly"]
        costs = [
            _run("one process", [*ours, str(whole)], folder),
            _run("one process, ten files", [*ours, *map(str, parts)], folder),
            _run("two workers, ten files", [*ours, *map(str, parts), "--workers", "2"], folder),
            _run("one process, JSON", [*ours, str(whole), "--json", str(folder / "json")], folder),
            _run("one process, exporting", [*ours, str(whole), "--export", str(folder / "ours")], folder),
        ]
        shutil.rmtree(folder / "ours")
        if len({cost.shown for cost in costs}) > 1:
            raise AssertionError("they do not show the same")
        if tshark := shutil.which("tshark"):
            theirs = [tshark, "-r", str(whole)]
            costs += [
                _run("tshark, listing", [*theirs, "-Y", "http"], folder),
                _run("tshark, exporting", [*theirs, "-q", "--export-objects", f"http,{folder / 'theirs'}"], folder),
            ]
        size = whole.stat().st_size
        print(f"{size:,} bytes, {options.connections:,} connections")
        print(f"{'':28}{'processor':>10}{'wall':>10}{'memory':>14}{'of the file':>12}")
        for cost in costs:
            print(f"{cost.name:28}{cost.processor:9.2f}s{cost.wall:9.2f}s{cost.memory:14,}{cost.memory / size:12.1%}")


# -- as a part of all benchmarks -------------------------------------------------------------------------------

ONE: Final = "one process"
WORKERS: Final = "two workers, ten files"
TSHARK: Final = "tshark"


def plan(*, quick: bool) -> list[Callable[[], Cell]]:
    """Return the cells, to be made when their turn comes."""
    size, connections = (MIB, 20) if quick else (128 * MIB, 4000)
    exporting = partial(_cell, size, connections, "export", 1 / 3)  # which lists, too
    memory = partial(_memory, size, connections)
    return [exporting, memory] if quick else [partial(_cell, size, connections, "list", None), exporting, memory]


def _cell(size: int, connections: int, task: str, bound: float | None) -> Cell:
    folder, whole, parts = _captures(size, connections)
    ours = [sys.executable, "-P", "-m", "examples.http_reassembly"]
    out = ["--export", str(folder / "ours")] if task == "export" else []
    commands = {ONE: [*ours, str(whole), *out], WORKERS: [*ours, *map(str, parts), "--workers", "2", *out]}
    goals = [cost_of(ONE, WORKERS, None)]
    if tshark := shutil.which("tshark"):
        theirs = ["-q", "--export-objects", f"http,{folder / 'theirs'}"] if task == "export" else ["-Y", "http"]
        commands[TSHARK] = [tshark, "-r", str(whole), *theirs]
        goals = [cost_of(ONE, TSHARK, by_build(compiled=bound, pure=None)), *goals]
    contenders = [
        Contender(name, TSHARK if name == TSHARK else OURS, partial(partial, _told, command, folder, "processor"), TOLD)
        for name, command in commands.items()
    ]
    at = {"capture": size_name(size), "connections": str(connections), "task": task}
    return Cell("capture", at, "run", 1, contenders, goals)


def _memory(size: int, connections: int) -> Cell:
    folder, whole, _ = _captures(size, connections)
    command = [sys.executable, "-P", "-m", "examples.http_reassembly", str(whole)]

    def share(samples: Mapping[str, Sample]) -> tuple[float, str]:
        return samples[ONE].median / size, "the file"

    contenders = [Contender(ONE, OURS, partial(partial, _told, command, folder, "memory"), TOLD)]
    at = {"capture": size_name(size), "connections": str(connections)}
    # An interpreter alone takes some MiB: of a toy that is more than all.
    goal = Goal("memory against the file", "at most", 0.05 if size >= 1024 * MIB else None, share)
    return Cell("capture, memory", at, "run", 1, contenders, [goal], unit="bytes")


def _told(command: Sequence[str], folder: Path, what: str) -> float:
    for out in ("ours", "theirs"):
        shutil.rmtree(folder / out, ignore_errors=True)
    cost = _run(command[0], command, folder)
    return cost.processor * 1e9 if what == "processor" else cost.memory


@cache
def _captures(size: int, connections: int) -> tuple[Path, Path, list[Path]]:
    folder = Path(tempfile.mkdtemp(dir=os.environ.get("TMPDIR", "/var/tmp")))
    atexit.register(shutil.rmtree, folder)
    return folder, *write_captures(folder, connections, size)


if __name__ == "__main__":
    main()
