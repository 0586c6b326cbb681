"""Netty's CompositeByteBuf, for reference: a Java process that measures itself and takes its turn among the others.

Where Java, its compiler and Debian's libnetty-java are installed; else there is no such row.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import IO, Final

__all__ = ["cut", "is_available", "version"]

_SOURCE: Final = Path(__file__).with_name("Netty.java")
_JARS: Final = [Path("/usr/share/java") / f"netty-{name}.jar" for name in ("buffer", "common")]


def is_available() -> bool:
    """Whether what it needs is installed."""
    return all(shutil.which(program) for program in ("java", "javac")) and all(jar.exists() for jar in _JARS)


def version() -> str | None:
    """Return Netty's version, as its jar's other name has it; None where it is not installed."""
    names = sorted(jar.stem for jar in _JARS[0].parent.glob("netty-buffer-*.jar"))
    return names[-1].removeprefix("netty-buffer-") if names and is_available() else None


def cut(chunk: int, frame: int, nbytes: int) -> float:
    """Return the nanoseconds of processor time that Netty takes to cut a stream into frames once."""
    questions, answers = _pipes()
    print(chunk, frame, nbytes, file=questions, flush=True)
    return float(answers.readline())


@cache
def _pipes() -> tuple[IO[str], IO[str]]:
    """Compile and start the Java program. It ends when its questions do, which is when this process does."""
    folder = tempfile.mkdtemp(prefix="bytebufs-netty-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = os.pathsep.join(map(str, [folder, *_JARS]))
    subprocess.run(["javac", "-cp", path, "-d", folder, str(_SOURCE)], check=True)
    java = subprocess.Popen(["java", "-cp", path, "Netty"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert java.stdin is not None
    assert java.stdout is not None
    atexit.register(java.wait)
    atexit.register(java.stdin.close)
    return java.stdin, java.stdout
