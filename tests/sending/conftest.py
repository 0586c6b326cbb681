"""What the tests of sinks are given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ..sinks import CONTENT, PAIRS

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=list(PAIRS))
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    here, there = PAIRS[request.param]()
    with here, there:
        yield here, there


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "content"
    path.write_bytes(CONTENT)
    return path
