"""A broker in a process of its own, which may be killed and started again at the same port."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.forked import Program

__all__ = ["RunningBroker"]

_SAYS: Final = "listening on "


class RunningBroker:
    """``python -m examples.kafka serve`` over a folder. ``address`` stays the same over restarts."""

    def __init__(self, data: Path, *options: str) -> None:
        self._data = data
        self._options = options
        self.address = "127.0.0.1:0"
        self._process: Program | None = None
        self.start()

    def __enter__(self) -> RunningBroker:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, and wait until it listens."""
        where = ["--data", str(self._data), "--listen", self.address]
        self._process = Program("examples.kafka.__main__", "serve", *where, *self._options)
        said = self._process.stdout.readline().strip()
        assert said.startswith(_SAYS), f"the broker has not begun to listen: {said!r}"
        self.address = said.removeprefix(_SAYS)

    def kill(self) -> None:
        """End it as a power switch would, as far as the process is concerned."""
        if self._process is not None:
            self._process.kill()
            self._reap()

    def stop(self) -> int:
        """Tell it to end, and return its status."""
        assert self._process is not None
        self._process.terminate()
        return self._reap()

    @property
    def peak(self) -> int:
        """The most memory that it has had, in bytes. Source: proc_pid_status(5)."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024

    def restart(self) -> None:
        """Kill it, and start it again."""
        self.kill()
        self.start()

    def _reap(self) -> int:
        assert self._process is not None
        status = self._process.wait(60)
        self._process.close()
        self._process = None
        return status
