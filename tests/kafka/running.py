"""A broker in a process of its own, which may be killed and started again at the same port."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

__all__ = ["RunningBroker"]

_SAYS: Final = "listening on "


class RunningBroker:
    """``python -m examples.kafka serve`` over a folder. ``address`` stays the same over restarts."""

    def __init__(self, data: Path, *options: str) -> None:
        self._data = data
        self._options = options
        self.address = "127.0.0.1:0"
        self._process: subprocess.Popen[str] | None = None
        self.start()

    def __enter__(self) -> RunningBroker:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, and wait until it listens."""
        serve = [sys.executable, "-m", "examples.kafka", "serve"]
        command = [*serve, "--data", str(self._data), "--listen", self.address, *self._options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
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
        assert self._process.stdout is not None
        status = self._process.wait(timeout=60)
        self._process.stdout.close()
        self._process = None
        return status
