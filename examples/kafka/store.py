"""A data directory: a lock, and a folder for each partition, named ``topic-N`` as Kafka's are."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final, final

from .durable import sync_folder
from .errors import Error, Refused
from .log import Log
from .settings import LogSettings

__all__ = ["MOST_PARTITIONS", "Store", "StoreLockedError", "is_topic_name"]

MOST_PARTITIONS: Final = 1_000
"""Of a store. Each has a file and two maps open."""
_NAME: Final = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,249}\Z")
"""What Kafka calls a legal topic name."""
_FOLDER: Final = re.compile(r"(.+)-(\d+)\Z")


class StoreLockedError(Exception):
    """Somebody else has the data directory open."""


def is_topic_name(name: str) -> bool:
    """Whether a topic may be called that."""
    return _NAME.match(name) is not None


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000


@final
class Store:
    """All logs of a data directory. Two of them never have one directory."""

    def __init__(
        self,
        data: Path,
        settings: LogSettings | None = None,
        *,
        auto_create: bool = True,
        partitions: int = 1,
        now: Callable[[], int] = _milliseconds,
    ) -> None:
        """Open all logs. Raises StoreLockedError, OSError. Topics made at their first use have so many partitions."""
        self.data = data
        self.settings = settings or LogSettings()
        self.auto_create = auto_create
        self._partitions = partitions
        self._now = now
        data.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(data)
        self._topics: dict[str, list[Log]] = {}
        try:
            self._open_all()
        except BaseException:
            self.close()
            raise

    def _open_all(self) -> None:
        folders = [path.name for path in self.data.iterdir() if path.is_dir()]
        found = sorted((match[1], int(match[2])) for name in folders if (match := _FOLDER.match(name)))
        for topic, number in found:
            if is_topic_name(topic) and number == len(self._topics.get(topic, [])):
                self._topics.setdefault(topic, []).append(self._open(topic, number))
        sync_folder(self.data)  # a topic's folder may be there whose making a crash has ended

    def _open(self, topic: str, number: int) -> Log:
        return Log(self.data / f"{topic}-{number}", self.settings, now=self._now)

    def topics(self) -> dict[str, int]:
        """Return how many partitions each topic has."""
        return {topic: len(logs) for topic, logs in self._topics.items()}

    def logs(self) -> Iterator[tuple[str, int, Log]]:
        """Yield all partitions."""
        for topic, logs in self._topics.items():
            for number, log in enumerate(logs):
                yield topic, number, log

    def log(self, topic: str, partition: int) -> Log | None:
        """Return the log of a partition, if there is one."""
        logs = self._topics.get(topic, [])
        return logs[partition] if 0 <= partition < len(logs) else None

    def create(self, topic: str, partitions: int = -1) -> None:
        """Make a topic, by default with as many partitions as one gets at its first use.

        Raises Refused with the protocol's error, OSError; then there is no such topic.
        """
        wanted = self._partitions if partitions == -1 else partitions
        self.check_new(topic, wanted)
        logs: list[Log] = []
        folders = [self.data / f"{topic}-{number}" for number in range(wanted)]
        made = [folder for folder in folders if not folder.exists()]
        try:
            logs.extend(self._open(topic, number) for number in range(wanted))
            sync_folder(self.data)
        except BaseException:
            _take_back(logs, made)
            raise
        self._topics[topic] = logs

    def check_new(self, topic: str, partitions: int = -1) -> None:
        """Raise Refused if there can be no such new topic."""
        if not is_topic_name(topic):
            raise Refused(Error.INVALID_TOPIC_EXCEPTION)
        if topic in self._topics:
            raise Refused(Error.TOPIC_ALREADY_EXISTS)
        if partitions < 1 and partitions != -1:
            raise Refused(Error.INVALID_PARTITIONS)
        if sum(map(len, self._topics.values())) + max(partitions, 1) > MOST_PARTITIONS:
            raise Refused(Error.POLICY_VIOLATION)

    def tend(self) -> None:
        """Do what is due by the time in each log, whichever of them fails. Raises OSError, of those that have."""
        with ExitStack() as tending:
            for _, _, log in self.logs():
                tending.callback(log.tend)

    def close(self) -> None:
        """Close all logs, whichever of them fails, and give the lock back."""
        with ExitStack() as closing:
            closing.callback(self._unlock)
            for _, _, log in self.logs():
                closing.callback(log.close)
            self._topics = {}

    def _unlock(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    async def aclose(self) -> None:
        """Wait for who is at the files, and close them all."""
        try:
            for _, _, log in self.logs():
                await log.aclose()
        finally:
            self.close()


def _take_back(logs: list[Log], folders: list[Path]) -> None:
    """Close logs, whichever of them fails, and remove folders: else there would be such a topic the next time."""
    with ExitStack() as closing:
        for folder in folders:
            closing.callback(shutil.rmtree, folder, ignore_errors=True)
        for log in logs:
            closing.callback(log.close)


def _locked(data: Path) -> int:
    """Lock a directory and return the descriptor that holds the lock. Source: flock(2)."""
    descriptor = os.open(data / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StoreLockedError(f"{data} is in use by another broker") from None
    return descriptor
