"""A child in whose process the system refuses the calls that move bytes past it, as a container's filter does.

    python -m tests.filtered ERRNO CALL...

has these calls answered with that error, and says how each transfer went all the same. Sources: seccomp(2),
linux/filter.h; the numbers are those of each machine's unistd.h.
"""

from __future__ import annotations

import ctypes
import os
import platform
import socket
import struct
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bytebufs import CompositeBuffer, FileRegion, copy_audit, flush, transfer

if TYPE_CHECKING:
    from collections.abc import Iterable

NO_FILTER: Final = 77
"""The status of a child that cannot have a filter here, as Automake's tests say that they were skipped."""

_NUMBERS: Final = {
    "x86_64": {"sendfile": 40, "copy_file_range": 326, "splice": 275, "writev": 20, "sendmsg": 46},
    "aarch64": {"sendfile": 71, "copy_file_range": 285, "splice": 76, "writev": 66, "sendmsg": 211},
}
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_SECCOMP: Final = 22
_MODE_FILTER: Final = 2
_ALLOW: Final = 0x7FFF0000
_ERRNO: Final = 0x00050000
_LOAD: Final = 0x20
_IF_EQUAL: Final = 0x15
_RETURN: Final = 0x06

_DATA: Final = bytes(range(256)) * 200


def refuse(calls: Iterable[str], number: int) -> str:
    """Have the system answer some calls of this process with an error from now on. Return why not, else ""."""
    numbers = _NUMBERS.get(platform.machine())
    if numbers is None or sys.platform != "linux":
        return f"no numbers of calls are known for {sys.platform} on {platform.machine()}"
    steps = [(_LOAD, 0, 0, 0)]  # the call's number is what the filter's data begin with
    for name in calls:
        steps += [(_IF_EQUAL, 0, 1, numbers[name]), (_RETURN, 0, 0, _ERRNO | number)]
    steps.append((_RETURN, 0, 0, _ALLOW))
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, program, 0, 0):
        return f"no filter can be put on here: {os.strerror(ctypes.get_errno())}"
    return ""


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def main() -> int:
    """Move bytes by each kind of call, and say by which they went."""
    if why := refuse(sys.argv[2:], int(sys.argv[1])):
        say(why)
        return NO_FILTER
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "source"), Path(folder, "target")
        source.write_bytes(_DATA)
        for name, mode in (("a file", "wb"), ("a log", "ab")):
            target.write_bytes(b"")
            with target.open(mode) as file:
                say(f"transfer to {name}: {transfer(source, file).how}")
            assert target.read_bytes() == _DATA
        _through_a_pipe(source, target)
        _flushed(source, target)
    return 0


def _through_a_pipe(source: Path, target: Path) -> None:
    reading, writing = os.pipe()
    say(f"transfer to a pipe: {transfer(source, writing, 5, 1000).how}")
    os.close(writing)
    with target.open("wb") as file:
        say(f"transfer from a pipe: {transfer(reading, file).how}")
    os.close(reading)
    assert target.read_bytes() == _DATA[5:1005]


def _flushed(source: Path, target: Path) -> None:
    message = CompositeBuffer([b"head", FileRegion(source)[:900], b"between", FileRegion(source)[900:1000], b"tail"])
    for name, mode in (("a file", "wb"), ("a log", "ab")):
        target.write_bytes(b"")
        with target.open(mode) as file, copy_audit() as audit:
            flush(message, file)
        say(f"flush to {name}: {', '.join(audit.by_reason)}")
        assert target.read_bytes() == bytes(message)
    reading, writing = os.pipe()
    with copy_audit() as audit:
        flush(message, writing)
    say(f"flush to a pipe: {', '.join(audit.by_reason)}")
    assert os.read(reading, 65536) == bytes(message)
    os.close(reading)
    os.close(writing)
    here, there = socket.socketpair()
    with here, there:
        with copy_audit() as audit:
            flush(message, here)
        say(f"flush to a socket: {', '.join(audit.by_reason)}")
        assert there.recv(65536, socket.MSG_WAITALL | socket.MSG_DONTWAIT) == bytes(message)


if __name__ == "__main__":
    sys.exit(main())
