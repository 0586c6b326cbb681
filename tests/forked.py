"""Programs in processes of their own, forked off one that has imported them.

An interpreter's start and its imports take ten times as long as the rest of a broker's start and end, and tests start
a hundred brokers and clients. That a program is one that ``python -m`` runs, a test of its command line shows.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
from functools import cache
from importlib import import_module
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from tempfile import TemporaryFile
from typing import IO, Final
from unittest import mock

__all__ = ["Program", "run_program"]

_FORKS: Final = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.imported"])


class Program:
    """A module's ``main`` that is given its arguments and returns its status, much as `subprocess.Popen` runs it.

    Its input and its output are pipes; what it complains of goes to the descriptor ``errors``.
    """

    def __init__(self, module: str, *arguments: str, errors: int = 2) -> None:
        given, write = os.pipe()
        read, said = os.pipe()
        self.stdin: IO[str] = os.fdopen(write, "w")
        self.stdout: IO[str] = os.fdopen(read)
        # Descriptors are sent to a process as connections.
        streams = [Connection(given, writable=False), Connection(said, readable=False), Connection(os.dup(errors))]
        _begin_to_fork()
        self._process = _FORKS.Process(target=_run, args=(module, arguments, streams), daemon=True)
        self._process.start()
        for stream in streams:
            stream.close()

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """Return its status, if it has ended."""
        return self._process.exitcode

    def terminate(self) -> None:
        """Tell it to end."""
        self._process.terminate()

    def kill(self) -> None:
        """End it."""
        self._process.kill()

    def wait(self, timeout: float) -> int:
        """Wait for its end, and return its status: below zero it is the signal that killed it."""
        self._process.join(timeout)
        assert self._process.exitcode is not None, "it does not end"
        return self._process.exitcode

    def close(self) -> None:
        """Kill it, if it still runs."""
        self._process.kill()
        self._process.join()
        self.stdin.close()
        self.stdout.close()


def run_program(module: str, *arguments: str, given: str = "", patience: float = 60) -> tuple[int, str, str]:
    """Run a program to its end, and return its status, and what it has said on both streams."""
    with TemporaryFile("w+") as errors, Program(module, *arguments, errors=errors.fileno()) as program:
        program.stdin.write(given)
        program.stdin.close()
        said = program.stdout.read()
        status = program.wait(patience)
        errors.seek(0)
        return status, said, errors.read()


@cache
def _begin_to_fork() -> None:
    """Start what forks, with this process's path: it imports before it is told that, and by -P has not the same."""
    with mock.patch.dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path))):
        forkserver.ensure_running()


def _run(module: str, arguments: tuple[str, ...], streams: list[Connection]) -> None:
    for number, stream in enumerate(streams):
        os.dup2(stream.fileno(), number)
        stream.close()
    sys.stdin, sys.stdout = os.fdopen(0), os.fdopen(1, "w")
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace")  # as an interpreter has it: who is killed
    try:  # has said all
        sys.exit(import_module(module).main(list(arguments)))
    finally:
        gc.collect()  # it ends without: what is left in cycles may have something to complain of
