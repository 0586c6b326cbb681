"""The offsets that consumer groups commit: kept in memory, and in a file of their own from which they rise again.

The file begins with ``MAGIC``; then follow entries, the newest of a partition counts:

    length (4) │ CRC-32 of the rest (4) │ offset (8) │ leader epoch (4) │ time in ms (8) │ partition (4) │ three times:
    length (2) and text of group, topic and metadata

A commit is one write of all its entries. What a kill has left of one at the end is cut off when the file is opened:
it was never acknowledged. So is, before the next write, what one has left that failed, and was refused. Once the file
is twice as long as what counts in it, it is written anew beside, and renamed.

Kafka keeps offsets in a topic, ``__consumer_offsets``, which it compacts. A file says the same in fewer words, and no
client has any business there.
"""

from __future__ import annotations

import os
import struct
import threading
import zlib
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, final

from .durable import new_file, sync_folder, write_all
from .errors import Error, Refused

__all__ = ["Committed", "OffsetLimits", "Offsets", "Place"]

MAGIC: Final = b"offsets1"
_FRAME: Final = struct.Struct(">II")
_ENTRY: Final = struct.Struct(">qiqiHHH")

Place = tuple[str, int]
"""A topic and a partition."""


@final
@dataclass(frozen=True, slots=True)
class OffsetLimits:
    """How much is kept."""

    size: int = 32 << 20
    """Bytes of all entries: some 400 000 of them. They are in memory, and are read again by each start."""
    metadata: int = 4096
    """Bytes that a client may put beside an offset: Kafka's offset.metadata.max.bytes."""
    name: int = 255
    """Bytes of a group's name. A topic's has 249 at most."""
    age: int = 7 * 24 * 3600 * 1000
    """Milliseconds after which an offset makes room for others, if its group has no members: Kafka's week."""
    slack: int = 1 << 20
    """Bytes that the file may have beyond twice what counts, so that few offsets are not written anew all the time."""


@final
class Committed(NamedTuple):
    """What was committed for a partition. A client that does not know the leader's epoch says -1."""

    offset: int
    leader_epoch: int
    metadata: str
    time: int


@final
class Offsets:
    """The offsets of all groups."""

    def __init__(self, path: Path, limits: OffsetLimits | None = None) -> None:
        self._path = path
        self.limits = OffsetLimits() if limits is None else limits
        self._groups: dict[str, dict[Place, Committed]] = {}
        self._is_torn = False  # whether a write has failed in the middle
        self._is_named = True  # whether its name is on the disk
        self._size = self._rewrite_at = 0
        self.written = 0
        """Bytes that have been committed since it was opened: what ``flush`` brings to the disk."""
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._renaming = threading.Lock()
        try:
            self._end = self._recover()
        except BaseException:
            os.close(self._file)
            raise

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def flush(self) -> None:
        """Have the system write to the disk what was committed. May be called by other threads."""
        with self._renaming:
            os.fdatasync(self._file)
            if not self._is_named:
                sync_folder(self._path.parent)
                self._is_named = True

    def of(self, group: str) -> Mapping[Place, Committed]:
        """What a group has committed."""
        return self._groups.get(group, {})

    def check(self, group: str, place: Place, committed: Committed) -> Error:
        """Say why this cannot be committed, if so."""
        if not 0 < len(group.encode()) <= self.limits.name:
            return Error.INVALID_GROUP_ID
        if len(committed.metadata.encode()) > self.limits.metadata:
            return Error.OFFSET_METADATA_TOO_LARGE
        if len(place[0].encode()) > self.limits.name:
            return Error.INVALID_TOPIC_EXCEPTION
        return Error.NONE

    def commit(self, group: str, entries: Mapping[Place, Committed], live: Container[str] = ()) -> None:
        """Keep all of these, which have been checked. What ``live`` groups have committed makes no room for it.

        Raises:
            Refused: there is no room. Nothing was changed.
            OSError: it could not be written. Nothing was changed.
        """
        texts = {place: _pack(group, place, committed) for place, committed in entries.items()}
        self._make_room(group, texts, max((each.time for each in entries.values()), default=0), live)
        self._append(b"".join(texts.values()))
        for place, committed in entries.items():
            self._keep(group, place, committed, len(texts[place]))
        if self._end > max(2 * self._size + self.limits.slack, self._rewrite_at):
            self._rewrite()

    # --------------------------------------------------------------------------------------------- what is kept

    def _keep(self, group: str, place: Place, committed: Committed, size: int) -> None:
        known = self._groups.setdefault(group, {})
        if (before := known.get(place)) is not None:
            self._size -= len(_pack(group, place, before))
        known[place] = committed
        self._size += size

    def _make_room(self, group: str, texts: Mapping[Place, bytes], now: int, live: Container[str]) -> None:
        if self._size_with(group, texts) > self.limits.size:
            self._forget(now - self.limits.age, live)
        if self._size_with(group, texts) > self.limits.size:
            raise Refused(Error.INVALID_COMMIT_OFFSET_SIZE)

    def _size_with(self, group: str, texts: Mapping[Place, bytes]) -> int:
        """How much it would be with these: what they take the place of makes room for them."""
        known = self.of(group)
        replaced = sum(len(_pack(group, place, known[place])) for place in texts if place in known)
        return self._size - replaced + sum(map(len, texts.values()))

    def _forget(self, before: int, live: Container[str]) -> None:
        """Forget what is older, and of groups that are not live."""
        for group in [group for group in self._groups if group not in live]:
            known = self._groups[group]
            for place in [place for place, committed in known.items() if committed.time < before]:
                self._size -= len(_pack(group, place, known.pop(place)))
            if not known:
                del self._groups[group]

    # ------------------------------------------------------------------------------------------------- the file

    def _recover(self) -> int:
        """Read the file, cut off what is not whole, and say where it ends."""
        text = self._path.read_bytes()
        if not text.startswith(MAGIC):
            if not MAGIC.startswith(text):
                raise ValueError(f"{self._path} is no file of offsets")
            os.ftruncate(self._file, 0)
            write_all(self._file, MAGIC)
            sync_folder(self._path.parent)
            return len(MAGIC)
        end = len(MAGIC)
        while (entry := _unpack(text, end)) is not None:
            group, place, committed, size = entry
            self._keep(group, place, committed, size)
            end += size
        os.ftruncate(self._file, end)
        return end

    def _append(self, text: bytes) -> None:
        """Append it, all or nothing: what an error leaves of it is cut off before anything else is written."""
        if self._is_torn:
            os.ftruncate(self._file, self._end)
        self._is_torn = True
        write_all(self._file, text)
        self._is_torn = False
        self._end += len(text)
        self.written += len(text)

    def _rewrite(self) -> None:
        """Write what counts into a new file, and put that in the place of this one."""
        beside = self._path.with_suffix(".new")
        entries = (_pack(group, *entry) for group, known in self._groups.items() for entry in known.items())
        text = MAGIC + b"".join(entries)
        try:
            file = new_file(beside, text)
        except OSError:  # no room for a second file: the one that is there holds everything
            return self._put_off(beside)
        with self._renaming:
            try:
                beside.rename(self._path)
            except OSError:
                os.close(file)
                return self._put_off(beside)
            os.close(self._file)
            self._file, self._end, self._is_named = file, len(text), False
        return None

    def _put_off(self, beside: Path) -> None:
        beside.unlink(missing_ok=True)
        self._rewrite_at = self._end + self.limits.slack


def _pack(group: str, place: Place, committed: Committed) -> bytes:
    topic, partition = place
    texts = [text.encode() for text in (group, topic, committed.metadata)]
    entry = _ENTRY.pack(committed.offset, committed.leader_epoch, committed.time, partition, *map(len, texts))
    body = entry + b"".join(texts)
    return _FRAME.pack(len(body), zlib.crc32(body)) + body


def _unpack(text: bytes, at: int) -> tuple[str, Place, Committed, int] | None:
    """The group, place, what was committed, and the size of an entry; None: there is none that is whole."""
    if len(text) - at < _FRAME.size + _ENTRY.size:
        return None
    length, check = _FRAME.unpack_from(text, at)
    body = text[at + _FRAME.size : at + _FRAME.size + length]
    if len(body) != length or length < _ENTRY.size or zlib.crc32(body) != check:
        return None
    offset, leader_epoch, time, partition, *lengths = _ENTRY.unpack_from(body)
    group, topic, metadata = _texts(body[_ENTRY.size :], lengths)
    return group, (topic, partition), Committed(offset, leader_epoch, metadata, time), _FRAME.size + length


def _texts(text: bytes, lengths: list[int]) -> Iterator[str]:
    for length in lengths:
        yield text[:length].decode()
        text = text[length:]
