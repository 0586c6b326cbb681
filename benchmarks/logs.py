"""The logs of the examples: read by consumers, written by producers, brought to the disk.

Kafka's log and RocketMQ's store are those of ``examples``, without their brokers; last come the broker and librdkafka,
each in a process of its own.
"""

from __future__ import annotations

import asyncio
import atexit
import mmap
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import cache, partial
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, TypeAlias

from bytebufs import CompositeBuffer, flush
from examples.kafka.log import Log
from examples.kafka.records import Record, encode
from examples.kafka.settings import LogSettings
from examples.rocketmq.record import Message
from examples.rocketmq.settings import Settings
from examples.rocketmq.store import Store

from . import _sinks
from ._harness import MIB, OURS, TOLD, Action, Cell, Contender, cost_of, size_name, speed_of

__all__ = ["plan"]

ROOT: Final = Path(__file__).parent.parent
FETCH: Final = MIB
"""Bytes that a consumer asks for: max.partition.fetch.bytes of Kafka's clients."""
HEADER: Final = b"x" * 100
"""What stands in front of what is fetched, about."""
BLOCK: Final = 64 << 10

READ: Final = "Kafka's log"
SENDFILE: Final = "sendfile"
APPEND: Final = "Kafka's log"
WRITEV: Final = "os.writev"
GROUPED: Final = "group commit"
ALONE: Final = "sync, one by one"
ASYNC: Final = "async"
PRODUCE: Final = "produce"
CONSUME: Final = "consume"

BATCHES: Final = {1 << 10: "1 Ki", 16 << 10: "16 Ki", MIB - 100: "1 Mi"}
WRITERS: Final = (1, 4, 16)
MESSAGE: Final = b"m" * 1024


def plan(*, quick: bool) -> list[Callable[[], Cell]]:
    """Return the cells, to be made when their turn comes."""
    nbytes = (4 if quick else 1024) * MIB
    messages, records = (32, 100) if quick else (640, 100_000)
    return [
        *(partial(_read, receiver, nbytes) for receiver in _sinks.receivers()),
        *(partial(_append, batch) for batch in BATCHES),
        *(partial(_settle, name, writers, messages) for name in LOGS for writers in WRITERS),
        *([partial(_by_librdkafka, records)] if find_spec("confluent_kafka") else []),
    ]


def _folder(*, in_memory: bool = True) -> Path:
    """Make a folder that goes with this process: in memory, or where a disk is."""
    folder = Path(tempfile.mkdtemp(dir=_sinks.MEMORY if in_memory and _sinks.MEMORY.is_dir() else None))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _now() -> int:
    return time.time_ns() // 1_000_000


def _batch(nbytes: int) -> CompositeBuffer:
    """Return a batch of records of up to 1 KiB, as it comes out of a receive pool: in blocks of 64 KiB."""
    sizes = [1024] * (nbytes // 1024) or [nbytes]
    batch = encode([Record(0, _now(), b"key", b"v" * max(size - 20, 0)) for size in sizes]).tobytes()
    return CompositeBuffer([batch[at : at + BLOCK] for at in range(0, len(batch), BLOCK)])


# -- reading -----------------------------------------------------------------------------------------------------


@cache
def _log_of(nbytes: int) -> Log:
    log = Log(_folder(), LogSettings(segment_bytes=(1 << 31) - 1, max_message_bytes=2 * MIB), now=_now)
    atexit.register(log.close)
    batch = _batch(15 << 10)
    while log.segments[0].size < nbytes:
        log.append(batch)
    return log


def _read(receiver: str, nbytes: int) -> Cell:
    log, sink = _log_of(nbytes), _sinks.connection(receiver)
    fetches = len(_stops(log)) - 1
    ways: dict[str, tuple[str, Callable[[socket.socket, Log], int]]] = {
        READ: (OURS, _by_log),
        SENDFILE: ("rival", _by_sendfile),
        "mmap, send": ("rival", _by_map),
        "read 64 KiB, send": ("rival", _by_reading),
    }
    contenders = [
        Contender(name, group, partial(partial, way, sink, log), _sinks.processor_time_apart)
        for name, (group, way) in ways.items()
    ]
    bound = 1.05 if receiver == _sinks.receivers()[0] else None
    goals = [cost_of(READ, name, bound if name == SENDFILE else None) for name in ways if name != READ]
    at = {"receiver": receiver, "log": size_name(nbytes)}
    return Cell("log, read", at, "fetch of 1 MiB", fetches, contenders, goals, patience=_sinks.PATIENCE)


def _by_log(sink: socket.socket, log: Log) -> int:
    size, total = log.segments[0].size, 0
    while total < size:
        found = log.read(total * log.end // size, FETCH)  # all batches are alike
        total += flush(CompositeBuffer([HEADER, found]), sink) - len(HEADER)
    return total


@cache
def _stops(log: Log) -> list[int]:
    """Return where the fetches of a log end: nobody sends other ranges, since whole pages cost less than others."""
    size, stops = log.segments[0].size, [0]
    while stops[-1] < size:
        stops.append(stops[-1] + len(log.read(stops[-1] * log.end // size, FETCH)))
    return stops


def _by_sendfile(sink: socket.socket, log: Log) -> int:
    at = 0
    with log.segments[0].path.open("rb") as file:
        for stop in _stops(log)[1:]:
            sink.sendmsg([HEADER], (), socket.MSG_MORE)
            while at < stop:
                at += os.sendfile(sink.fileno(), file.fileno(), at, stop - at)
    return at


def _by_map(sink: socket.socket, log: Log) -> int:
    size = log.segments[0].size
    with (
        log.segments[0].path.open("rb") as file,
        mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as view,
    ):
        for at, stop in pairwise(_stops(log)):
            sink.sendmsg([HEADER], (), socket.MSG_MORE)
            sink.sendall(view[at:stop])
    return size


def _by_reading(sink: socket.socket, log: Log) -> int:
    with log.segments[0].path.open("rb", buffering=0) as file:
        for at, stop in pairwise(_stops(log)):
            sink.sendmsg([HEADER], (), socket.MSG_MORE)
            for left in range(stop - at, 0, -BLOCK):
                sink.sendall(file.read(min(left, BLOCK)))
        return file.tell()


# -- writing -----------------------------------------------------------------------------------------------------


def _append(nbytes: int) -> Cell:
    batch = _batch(nbytes)
    contenders = [
        Contender(APPEND, OURS, partial(_appending, batch)),
        Contender(WRITEV, "writev", partial(_writing, batch)),
    ]
    return Cell("log, append", {"batch": BATCHES[nbytes]}, "batch", 1, contenders, [speed_of(APPEND, "writev", 0.8)])


def _appending(batch: CompositeBuffer) -> Action:
    log = _emptied()

    def append() -> int:
        log.append(batch)
        return len(batch)

    return append


@cache
def _folder_to_write() -> Path:
    return _folder()


def _emptied() -> Log:
    folder = _folder_to_write()
    for log in _OPEN:
        log.close()
    _OPEN.clear()
    shutil.rmtree(folder)
    _OPEN.append(Log(folder, LogSettings(segment_bytes=(1 << 31) - 1), now=_now))
    return _OPEN[0]


_OPEN: Final[list[Log]] = []


def _writing(batch: CompositeBuffer) -> Action:
    parts, file = batch.views(), _sinks.scratch_file()
    os.ftruncate(file, 0)
    os.lseek(file, 0, os.SEEK_SET)
    return lambda: os.writev(file, parts)


# -- to the disk -------------------------------------------------------------------------------------------------

_Logged: TypeAlias = "tuple[Callable[[], Callable[[], Awaitable[None]]], Callable[[], Awaitable[None]]]"
"""Adds a message and returns what waits until that is on the disk; and closes the log."""


def _of_kafka(flushing: Any, folder: Path) -> _Logged:
    log = Log(folder, LogSettings(flush=flushing), now=_now)
    batch = encode([Record(0, _now(), None, MESSAGE)])

    def add() -> Callable[[], Awaitable[None]]:
        return partial(log.settle, log.append(batch).last_offset + 1)

    return add, log.aclose


def _of_rocketmq(flushing: Any, folder: Path) -> _Logged:
    store = Store(folder, Settings(flush=flushing))
    message = Message("topic", 0, MESSAGE)

    async def close() -> None:
        store.close()

    return lambda: partial(store.settle, store.put(message)), close


LOGS: Final = {"Kafka": _of_kafka, "RocketMQ": _of_rocketmq}


def _settle(name: str, writers: int, number: int) -> Cell:
    ways = {GROUPED: (OURS, "sync", writers), ALONE: ("alone", "sync", 1), ASYNC: (OURS, "async", writers)}
    contenders = [
        Contender(way, group, partial(partial, _time_of, LOGS[name], flushing, at_a_time, number), TOLD)
        for way, (group, flushing, at_a_time) in ways.items()
    ]
    goals = [speed_of(GROUPED, "alone", 8 if writers == max(WRITERS) else None), cost_of(GROUPED, ASYNC, None)]
    return Cell("log, flush", {"log": name, "writers": str(writers)}, "message of 1 KiB", 1, contenders, goals)


def _time_of(log: Callable[[Any, Path], _Logged], flushing: str, writers: int, number: int) -> float:
    """Return the nanoseconds that a message took, in the time that passed."""
    folder = _folder(in_memory=False)
    try:
        return asyncio.run(_time_to_settle(log(flushing, folder), writers, number))
    finally:
        shutil.rmtree(folder)


async def _time_to_settle(logged: _Logged, writers: int, number: int) -> float:
    add, close = logged

    async def write() -> None:
        for _ in range(number // writers):
            await add()()

    began = time.perf_counter_ns()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(writers):
            tasks.create_task(write())
    took = time.perf_counter_ns() - began
    await close()
    return took / number


# -- the broker --------------------------------------------------------------------------------------------------


def _by_librdkafka(number: int) -> Cell:
    contenders = [
        Contender(CONSUME, OURS, partial(partial, _time_to_consume, number), TOLD),
        Contender(PRODUCE, OURS, partial(partial, _time_to_produce, number), TOLD),
    ]
    at = {"client": "librdkafka"}
    return Cell("log, librdkafka", at, "record of 1 KiB", 1, contenders, [cost_of(CONSUME, PRODUCE, None)])


@cache
def _broker() -> str:
    """Start a broker that lives as long as we do, and return its address."""
    command = [sys.executable, "-m", "examples.kafka", "serve", "--listen", "127.0.0.1:0", "--data"]
    data = str(_folder(in_memory=False))
    broker = subprocess.Popen([*command, data], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    atexit.register(broker.wait)
    atexit.register(broker.terminate)
    assert broker.stdout is not None
    return broker.stdout.readline().split()[-1]


def _time_to_produce(number: int, topic: str = "") -> float:
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": _broker(), "queue.buffering.max.messages": number + 1})
    topic = topic or f"t{time.monotonic_ns()}"
    producer.list_topics(topic)  # made at its first use
    began = time.perf_counter_ns()
    for _ in range(number):
        producer.produce(topic, MESSAGE)
    if producer.flush(60):
        raise TimeoutError("not everything was produced in a minute")
    return (time.perf_counter_ns() - began) / number


def _time_to_consume(number: int) -> float:
    from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

    topic = f"t{time.monotonic_ns()}"
    _time_to_produce(number, topic)
    consumer = Consumer({"bootstrap.servers": _broker(), "group.id": topic})
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    count, began = 0, time.perf_counter_ns()
    while count < number:
        found = consumer.consume(min(number - count, 10_000), 30)
        if not found:
            raise TimeoutError(f"{count} of {number} were consumed, and then none for half a minute")
        count += len(found)
    took = time.perf_counter_ns() - began
    consumer.close()
    return took / number
