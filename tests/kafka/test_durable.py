"""Small files are what they were or what they become, never something between."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from examples.kafka.durable import new_file, replace, write_all


@contextmanager
def files_of_at_most(nbytes: int) -> Iterator[None]:
    """The limit of a file's size stands for a disk that is full."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for text in (b"first", b"a longer one", b""):
        replace(path, text)
        assert path.read_bytes() == text
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_replaced_is_what_it_was(tmp_path: Path) -> None:
    path = tmp_path / "file"
    replace(path, b"first")
    with files_of_at_most(6), pytest.raises(OSError, match="File too large"):
        replace(path, b"a longer one")
    assert path.read_bytes() == b"first"
    replace(path, b"another one")
    assert path.read_bytes() == b"another one"


def test_a_new_file_appends(tmp_path: Path) -> None:
    file = new_file(tmp_path / "file", b"first")
    write_all(file, b", second")
    os.close(file)
    assert (tmp_path / "file").read_bytes() == b"first, second"
