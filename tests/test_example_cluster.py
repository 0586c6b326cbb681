"""examples/http/cluster.py: files that are read apart give what they give together."""

from __future__ import annotations

import pickle
import random
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import dask
import pytest
from distributed import LocalCluster

from examples.http import cluster, connections
from examples.http.captures import Results, in_order, read_all
from examples.http.report import Row, Wanted, row_of
from examples.http.tasks import Submit
from examples.http_reassembly import main

from .conftest import IS_QUICK, PROFILE
from .example_wire import ACK, FIN, RST, SYN

ROOT: Final = Path(__file__).parent.parent
CAPTURE: Final = ROOT / "examples" / "captures" / "lossy.pcap"
RUNS: Final = {"quick": 32, "short": 200, "ci": 600, "long": 20_000}[PROFILE]
PATIENT: Final = 12
"""Packets that a capture of some hundred is waited for."""

GET: Final = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"
ANSWERS: Final = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n" + b"x" * 300,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n" + b"y" * 100 + b"\r\n3\r\nend\r\n0\r\n\r\n",
    b"HTTP/1.1 204 No\r\n\r\n",
]


# -- captures of chance --------------------------------------------------------------------------------------


def packet(
    side: int, port: int, seq: int, ack: int, flags: int, payload: bytes, *, tag: int, pieces: int
) -> list[bytes]:
    """Return a segment in a frame, or in several whose IP packets are fragments."""
    ends = [b"\x0a\0\0\1", b"\x0a\0\0\2"]
    ports = (port, 80) if side == 0 else (80, port)
    tcp = struct.pack("!HHIIBBHHH", *ports, seq % 2**32, ack % 2**32, 0x50, flags, 65535, 0, 0) + payload
    size = -(-len(tcp) // pieces // 8) * 8
    frames = []
    for at in range(0, len(tcp), size):
        part = tcp[at : at + size]
        fragment = at // 8 | (0x2000 if at + size < len(tcp) else 0)
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(part), seq % 65536, fragment, 64, 6, 0)
        between = struct.pack("!HH", 0x8100, tag) if tag else b""
        frames.append(bytes(12) + between + b"\x08\0" + head + ends[side] + ends[1 - side] + part)
    return frames


def conversation(chance: random.Random, port: int) -> Iterator[bytes]:
    """Yield the frames of a connection: some begin before the capture, or do not end in it."""
    tag = chance.choice([0, 0, 0, 7])
    next_ = [chance.randrange(2**32), chance.randrange(2**32)]

    def say(side: int, flags: int, payload: bytes = b"") -> list[bytes]:
        pieces = chance.choice([1, 1, 1, 3]) if len(payload) > 50 else 1
        made = packet(side, port, next_[side], next_[1 - side], flags, payload, tag=tag, pieces=pieces)
        next_[side] += len(payload) + bool(flags & (SYN | FIN))
        return made

    if chance.random() < 0.8:
        yield from say(0, SYN)
        yield from say(1, SYN | ACK)
    for number in range(chance.randrange(5)):
        yield from say(0, ACK, GET % number)
        answer = chance.choice(ANSWERS)
        for at in range(0, len(answer), 120):
            yield from say(1, ACK, answer[at : at + 120])
            if chance.random() < 0.5:
                yield from say(0, ACK)
    match chance.randrange(3):
        case 0:
            for side in (0, 1):
                yield from say(side, FIN | ACK)
            yield from say(0, ACK)
        case 1:
            yield from say(1, RST | ACK)
        case _:
            pass


def packets(chance: random.Random) -> list[bytes]:
    """Return the frames of several connections, some on the same ports, with losses, doubles and disorder."""
    live = [conversation(chance, chance.randrange(1, 5)) for _ in range(chance.randrange(2, 8))]
    frames: list[bytes] = []
    while live:
        one = chance.choice(live)
        frame = next(one, None)
        if frame is None:
            live.remove(one)
        elif chance.random() > 0.03:
            frames.append(frame)
    # Pieces of a datagram that come twice, on both sides of an edge, are put together by whoever has enough of them.
    whole = [frame for frame in frames if not is_piece(frame)]
    for _ in range(chance.randrange(8) if whole else 0):
        frames.insert(chance.randrange(len(frames) + 1), chance.choice(whole))
    return frames


def is_piece(frame: bytes) -> bool:
    at = 24 if frame[12:14] == b"\x81\0" else 20
    return bool(int.from_bytes(frame[at : at + 2], "big") & 0x3FFF)


def write(path: Path, frames: Sequence[bytes], first: int) -> None:
    out = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 18, 1)]
    for number, frame in enumerate(frames, first):
        out.append(struct.pack("<IIII", 1000 + number, 0, len(frame), len(frame)) + frame)
    path.write_bytes(b"".join(out))


def write_cut(chance: random.Random, folder: Path, frames: list[bytes]) -> list[Path]:
    """Write a capture in several files, whose names say nothing."""
    edges = sorted({0, len(frames), *(chance.randrange(len(frames) + 1) for _ in range(chance.randrange(1, 5)))})
    names = [f"{chance.random()}.pcap" for _ in edges[1:]]
    for name, start, stop in zip(names, edges, edges[1:], strict=False):
        write(folder / name, frames[start:stop], start)
    return [folder / name for name in names]


# -- the same, apart and together ----------------------------------------------------------------------------


WANTED: Final = Wanted(json=True, bodies=True, places=False)


def outcome(rows: Iterator[tuple[Row, int]], results: Results) -> tuple[list[Any], Any]:
    """Return all that would be said."""
    said = [
        (
            row.moment.number,
            row.moment.by_waiting,
            stream,
            row.line,
            row.more,
            {**row.json, "stream": 0} if row.json else None,
        )
        for row, stream in rows
    ]
    return said, results.counts


def together(paths: Sequence[Path]) -> tuple[list[Any], Any]:
    results = Results()
    return outcome(((row_of(found, WANTED), found.stream) for found in read_all(paths, results)), results)


def apart(paths: Sequence[Path]) -> tuple[list[Any], Any]:
    results = Results()
    return outcome(cluster.read_all(paths, results, WANTED, workers=1, scheduler=None), results)


@contextmanager
def here(_workers: int | None, _scheduler: str | None) -> Iterator[Submit]:
    """Call what is submitted, the last first: no result may depend on the order."""

    def submit(
        function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], done: Callable[[int], None]
    ) -> list[Any]:
        results: list[Any] = []
        for number in reversed(range(len(arguments))):
            results.insert(0, pickle.loads(pickle.dumps(function(*arguments[number]))))
            done(number)
        return results

    yield submit


@pytest.mark.parametrize("seed", range(4))
def test_files_apart_and_together_and_one_file_are_the_same(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "submitting", here)
    monkeypatch.setattr(connections, "PATIENCE", PATIENT)
    crossing = 0
    for run in range(RUNS // 4):
        chance = random.Random(f"{seed}, {run}")
        frames = packets(chance)
        write(tmp_path / "whole.pcap", frames, 0)
        paths, problems = in_order(write_cut(chance, tmp_path, frames))
        assert problems == []
        whole = together([tmp_path / "whole.pcap"])
        assert together(paths) == whole, f"{seed}, {run}"
        assert apart(paths) == whole, f"{seed}, {run}"
        crossing += len(paths) > 1
        for path in paths:
            path.unlink()
    assert crossing > RUNS // 8


# -- the program, with Dask ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rotated(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return ten files with a capture of the repository, in no order."""
    folder = tmp_path_factory.mktemp("rotated")
    data = CAPTURE.read_bytes()
    frames, at = [], 24
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at + 8)
        frames.append(data[at : at + 16 + size])
        at += 16 + size
    paths = []
    for number in range(10):
        paths.append(folder / f"{(7 * number + 3) % 10}.pcap")
        share = frames[len(frames) * number // 10 : len(frames) * (number + 1) // 10]
        paths[-1].write_bytes(data[:24] + b"".join(share))
    random.Random(0).shuffle(paths)
    return paths


def shown(folder: Path, paths: Sequence[Path], *options: str, capsys: pytest.CaptureFixture[str]) -> tuple[Any, ...]:
    """Run the program; return its output, what it wrote as JSON, and the bodies it exported."""
    out, bodies = folder / "out.json", folder / "bodies"
    assert main([*map(str, paths), "--json", str(out), "--export", str(bodies), *options]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    exported = {path.name: path.read_bytes() for path in bodies.iterdir()}
    for path in bodies.iterdir():
        path.unlink()
    return captured.out, out.read_text(), exported


def test_a_rotated_capture_is_the_same_in_any_order(
    rotated: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = shown(tmp_path, [CAPTURE], capsys=capsys)
    assert shown(tmp_path, rotated, capsys=capsys) == whole
    assert shown(tmp_path, rotated[::-1], capsys=capsys) == whole


def test_two_processes_show_the_same(rotated: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(tmp_path, rotated, "--workers", "2", capsys=capsys) == shown(tmp_path, [CAPTURE], capsys=capsys)


def test_a_cluster_shows_the_same(rotated: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workers = 1 if IS_QUICK else 2  # each imports for long; that results come in any order, the tests above show
    with LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster_:  # type: ignore[no-untyped-call]
        found = shown(tmp_path, rotated, "--scheduler", cluster_.scheduler_address, capsys=capsys)
    assert found == shown(tmp_path, [CAPTURE], capsys=capsys)


def test_a_scheduler_that_is_not_there(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with dask.config.set({"distributed.comm.timeouts.connect": "300ms"}):
        assert main([str(CAPTURE), "--scheduler", "tcp://127.0.0.1:9"]) == 2
    assert "tcp://127.0.0.1:9" in capsys.readouterr().err


@pytest.mark.parametrize("options", [(), ("--workers", "1")])
def test_files_that_cannot_be_read_are_told_and_the_others_read(
    options: tuple[str, ...], rotated: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(CAPTURE.read_bytes()[:-5])
    text = tmp_path / "text"
    text.write_bytes(b"no capture")
    assert main([str(cut), str(text), str(tmp_path / "absent"), *options]) == 2
    out, err = capsys.readouterr()
    assert "111 messages" in out
    lines = sorted(err.splitlines())
    assert [line.split(":")[1].strip() for line in lines] == sorted(map(str, [cut, text, tmp_path / "absent"]))


@pytest.mark.parametrize("option", ["--workers=2", "--scheduler=tcp://127.0.0.1:9"])
def test_without_dask(option: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dask.multiprocessing", None)
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert main([str(CAPTURE), option]) == 2
    assert "pip install 'bytebufs[cluster]'" in capsys.readouterr().err
