"""examples/cat.py: every kind of file to every kind of standard output, held against the system's own cat."""

from __future__ import annotations

import errno
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Final

import pytest

from bytebufs import copy_audit
from examples import cat as program
from examples.cat import OutputError, cat, main

from .descriptors import descriptors, left_open
from .sinks import CONTENT, PATIENCE, tcp_pair

ROOT: Final = Path(__file__).parent.parent
COMMAND: Final = [sys.executable, "-m", "examples.cat"]

Output = int | IO[bytes]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with files in it, some larger than what a pipe or a socket holds."""
    (tmp_path / "a").write_bytes(b"first\n")
    (tmp_path / "b").write_bytes(CONTENT * 3)
    (tmp_path / "empty").touch()
    return tmp_path


def run(
    folder: Path, *arguments: str | Path, stdin: Output | None = None, stdout: Output = subprocess.PIPE
) -> subprocess.CompletedProcess[bytes]:
    """Run the program in a folder."""
    return subprocess.run(
        [*COMMAND, *arguments],
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL if stdin is None else stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=PATIENCE,
    )


def told(completed: subprocess.CompletedProcess[bytes]) -> list[str]:
    """Return which calls were used, in order."""
    return [line.rpartition(" ")[2] for line in completed.stderr.decode().splitlines()]


# -- every standard output


@contextmanager
def to_file(folder: Path) -> Iterator[tuple[Output, Callable[[], bytes]]]:
    with (folder / "out").open("wb") as file:
        yield file, (folder / "out").read_bytes


@contextmanager
def to_appended(folder: Path) -> Iterator[tuple[Output, Callable[[], bytes]]]:
    with (folder / "out").open("ab") as file:
        yield file, (folder / "out").read_bytes


def reading(read: Callable[[], bytes]) -> Callable[[], bytes]:
    """Read until the end in a thread. What is returned waits for that."""
    got: list[bytes] = []

    def go_on() -> None:
        try:
            while data := read():
                got.append(data)
        except OSError as error:
            if error.errno != errno.EIO:  # how a terminal ends
                raise

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()

    def all_of_it() -> bytes:
        thread.join(PATIENCE)
        assert not thread.is_alive()
        return b"".join(got)

    return all_of_it


@contextmanager
def to_pipe(folder: Path, *, blocking: bool = True) -> Iterator[tuple[Output, Callable[[], bytes]]]:
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, blocking)
    received = reading(lambda: os.read(read_end, 10_000))

    def finish() -> bytes:
        os.close(write_end)
        return received()

    try:
        yield write_end, finish
    finally:
        os.close(read_end)


@contextmanager
def to_full_pipe(folder: Path) -> Iterator[tuple[Output, Callable[[], bytes]]]:
    """It is non-blocking, as a terminal's other programs may leave it: cat has to wait."""
    with to_pipe(folder, blocking=False) as opened:
        yield opened


@contextmanager
def to_tcp(folder: Path) -> Iterator[tuple[Output, Callable[[], bytes]]]:
    left, right = tcp_pair()
    with left, right:
        received = reading(lambda: right.recv(10_000))

        def finish() -> bytes:
            left.shutdown(socket.SHUT_WR)
            return received()

        yield left.fileno(), finish


@contextmanager
def to_terminal(folder: Path) -> Iterator[tuple[Output, Callable[[], bytes]]]:
    master, slave = pty.openpty()
    received = reading(lambda: os.read(master, 10_000))

    def finish() -> bytes:
        os.close(slave)
        return received().replace(b"\r\n", b"\n")

    try:
        yield slave, finish
    finally:
        os.close(master)


OUTPUTS: Final = {
    "file": (to_file, "sendfile"),
    "appended file": (to_appended, "copy"),
    "pipe": (to_pipe, "sendfile"),
    "non-blocking pipe": (to_full_pipe, "sendfile"),
    "tcp": (to_tcp, "sendfile"),
}


@pytest.mark.parametrize("kind", OUTPUTS)
def test_files_reach_every_kind_of_output(folder: Path, kind: str) -> None:
    output, how = OUTPUTS[kind]
    with output(folder) as (sink, received):
        completed = run(folder, "-v", "a", "b", "empty", "a", stdout=sink)
        assert received() == b"first\n" + CONTENT * 3 + b"first\n"
    assert completed.returncode == 0
    assert told(completed) == [how, how, "nothing", how]


def test_files_reach_a_terminal(folder: Path) -> None:
    (folder / "text").write_text("line\n" * 5000)
    with to_terminal(folder) as (sink, received):
        completed = run(folder, "text", stdout=sink)
        assert received() == b"line\n" * 5000
    assert completed.returncode == 0


def test_appending_goes_behind_what_is_there(folder: Path) -> None:
    (folder / "out").write_bytes(b"before ")
    with to_appended(folder) as (sink, received):
        assert run(folder, "a", stdout=sink).returncode == 0
        assert received() == b"before first\n"


def test_nothing_is_where_it_goes(folder: Path) -> None:
    with Path(os.devnull).open("wb") as sink:
        assert run(folder, "a", "b", stdout=sink).returncode == 0


# -- every standard input


def test_standard_input_is_a_dash_or_nothing_at_all(folder: Path) -> None:
    with (folder / "b").open("rb") as source:
        assert run(folder, "a", "-", "a", stdin=source).stdout == b"first\n" + CONTENT * 3 + b"first\n"
    with (folder / "b").open("rb") as source:
        assert run(folder, stdin=source).stdout == CONTENT * 3


def test_a_shared_standard_input_is_taken_from_where_it_stands_to_its_end(folder: Path) -> None:
    with (folder / "a").open("rb", buffering=0) as source:
        source.read(2)
        completed = run(folder, "-v", "-", "-", stdin=source)
        assert completed.stdout == b"rst\n"
        assert told(completed) == ["sendfile", "nothing"]
        assert source.tell() == 6
        assert run(folder, "-", stdin=source).stdout == b""


def test_a_pipe_is_read_to_its_end(folder: Path) -> None:
    with subprocess.Popen(["cat", "b"], cwd=folder, stdout=subprocess.PIPE) as source:
        assert source.stdout is not None
        completed = run(folder, "-v", "-", stdin=source.stdout)
    assert completed.stdout == CONTENT * 3
    assert told(completed) == ["splice"]


def test_a_socket_is_read_to_its_end(folder: Path) -> None:
    left, right = tcp_pair()
    with left, right:
        left.sendall(b"by socket")
        left.shutdown(socket.SHUT_WR)
        assert run(folder, "-", stdin=right.fileno()).stdout == b"by socket"


def test_a_file_of_proc_has_bytes_although_it_has_no_size(folder: Path) -> None:
    assert run(folder, "/proc/version").stdout == Path("/proc/version").read_bytes()


def test_holes_are_zeros(folder: Path) -> None:
    with (folder / "sparse").open("wb") as file:
        file.truncate(1 << 20)
    assert run(folder, "sparse").stdout == bytes(1 << 20)


# -- as cat does


@pytest.mark.parametrize(
    "arguments",
    [
        ["a", "missing", "a"],
        ["missing"],
        [".", "a"],
        ["a/b", "a"],
        ["a", "--", "-v"],
        ["/dev/null", "a"],
        ["-", "a"],
    ],
)
def test_it_says_and_does_what_cat_does(folder: Path, arguments: list[str]) -> None:
    ours = run(folder, *arguments)
    theirs = subprocess.run(
        ["cat", *arguments],
        check=False,
        cwd=folder,
        env={**os.environ, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE,
    )
    assert (ours.stdout, ours.stderr, ours.returncode) == (theirs.stdout, theirs.stderr, theirs.returncode)


@pytest.mark.parametrize("mode", ["ab", "rb+"])
def test_the_output_is_no_input(folder: Path, mode: str) -> None:
    with (folder / "b").open(mode) as sink:
        completed = run(folder, "a", "b", "a", stdout=sink)
    assert completed.stderr == b"cat: b: input file is output file\n"
    assert completed.returncode == 1
    assert (folder / "b").stat().st_size <= len(CONTENT) * 3 + 12  # it has not been read into itself


def test_an_empty_output_may_be_an_input(folder: Path) -> None:
    with (folder / "empty").open("ab") as sink:
        assert run(folder, "empty", "a", stdout=sink).returncode == 0
    assert (folder / "empty").read_bytes() == b"first\n"


def test_who_goes_away_ends_it_without_a_word(folder: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        completed = run(folder, "b", "missing", stdout=write_end)
    finally:
        os.close(write_end)
    assert completed.stderr == b""
    assert completed.returncode == -signal.SIGPIPE


def test_a_full_device_ends_it(folder: Path) -> None:
    with Path("/dev/full").open("wb") as sink:
        completed = run(folder, "a", "a", stdout=sink)
    assert completed.stderr == b"cat: write error: No space left on device\n"
    assert completed.returncode == 1


def test_a_closed_output_is_reported(folder: Path) -> None:
    completed = subprocess.run(
        ["sh", "-c", f'exec "{sys.executable}" -m examples.cat a >&-'],
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        timeout=PATIENCE,
    )
    assert completed.stderr == b"cat: standard output: Bad file descriptor\n"
    assert completed.returncode == 1


# -- inside the process


@pytest.fixture
def stdout(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Let a file be the standard output, and return its path."""
    with (folder / "out").open("wb") as file:
        monkeypatch.setattr(program, "STDOUT", file.fileno())
        yield folder / "out"


def test_the_bytes_never_enter_the_process(folder: Path, stdout: Path) -> None:
    with copy_audit() as audit:
        assert main([str(folder / "a"), str(folder / "b")]) == 0
    assert audit.nbytes == 0
    assert stdout.read_bytes() == b"first\n" + CONTENT * 3


def test_what_cannot_be_read_is_passed_over(folder: Path, stdout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-v", str(folder), str(folder / "missing"), str(folder / "a")]) == 1
    assert stdout.read_bytes() == b"first\n"
    assert capsys.readouterr().err.splitlines() == [
        f"cat: {folder}: Is a directory",
        f"cat: {folder / 'missing'}: No such file or directory",
        f"cat: {folder / 'a'}: 6 bytes by sendfile",
    ]


def test_where_sigpipe_is_ignored_a_broken_pipe_is_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with ExitStack() as stack:
        stack.callback(os.close, write_end)
        with pytest.raises(OutputError, match="Broken pipe"):
            cat(str(folder / "a"), write_end)
        monkeypatch.setattr(program, "STDOUT", write_end)
        assert main([str(folder / "a"), str(folder / "a")]) == 1
    assert capsys.readouterr().err == "cat: write error: Broken pipe\n"


def test_no_descriptor_is_left_behind(folder: Path, stdout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = descriptors()
    for _ in range(100):
        main([str(folder / "a"), str(folder), str(folder / "missing"), str(folder / "empty")])
    assert left_open() == before


# -- the calls


@pytest.mark.needs("strace")
@pytest.mark.parametrize("to_pipe", [False, True])
def test_the_system_moves_the_bytes_and_nobody_reads_them(folder: Path, to_pipe: bool) -> None:
    log = folder / "log"
    sink: Output = subprocess.PIPE
    with ExitStack() as stack:
        if not to_pipe:
            sink = stack.enter_context((folder / "out").open("wb"))
        traced = subprocess.run(
            ["strace", "-f", "-y", "-o", log, *COMMAND, folder / "b"],
            check=False,
            cwd=ROOT,
            stdout=sink,
            stderr=subprocess.PIPE,
            timeout=PATIENCE,
        )
    if traced.returncode and b"ptrace" in traced.stderr:
        pytest.skip("this machine forbids tracing")
    assert traced.returncode == 0
    lines = log.read_text(errors="replace").splitlines()
    about_it = [line for line in lines if f"<{folder / 'b'}>" in line]
    calls = {line.split(maxsplit=1)[1].partition("(")[0] for line in about_it}
    assert calls <= {"openat", "fstat", "newfstatat", "lseek", "sendfile", "sendfile64", "close", "fcntl"}
    assert calls & {"sendfile", "sendfile64"}
