"""docs/reference/reader.md: the tables name every read of the Reader, what it passes and what it copies."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from bytebufs import CompositeBuffer, Reader, copy_audit

PAGE: Final = Path(__file__).parent.parent / "docs" / "reference" / "reader.md"

DATA: Final = b"\x01\x02\x03\x04\x05\x06\x07\x08\r\nmore, and more\0"

CALLS: Final[dict[str, tuple[tuple[Any, ...], dict[str, Any], int]]] = {
    "uint": ((5,), {}, 5),
    "sint": ((5,), {}, 5),
    "varint": ((), {}, 1),
    "zigzag": ((), {}, 1),
    "unpack": ((">HB",), {}, 3),
    "array": (("H", 3), {}, 6),
    "take": ((5,), {}, 5),
    "take_bytes": ((5,), {}, 5),
    "text": ((5,), {}, 5),
    "until": ((b"\n",), {"limit": 20}, 10),
    "line": ((), {"limit": 20}, 10),
    "cstring": ((), {"limit": 30}, 25),
    "expect": ((b"\x01\x02",), {}, 2),
    "skip": ((5,), {}, 5),
    "sub": ((5,), {}, 5),
    "limited": ((5,), {}, 0),
    "take_rest": ((), {}, 25),
    "peek": ((5,), {}, 0),
    "seek": ((0,), {}, 0),
}
"""A call of each read whose arguments decide how many bytes it passes, and how many that are."""


class Row(NamedTuple):
    """What a table says of a read."""

    passed: str
    copies: str


def rows() -> list[tuple[str, Row]]:
    found = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("| `"):
            reads, passed, _, _, copies = [cell.strip() for cell in line.strip("|").split("|")]
            found += [(name, Row(passed, copies)) for name in re.findall(r"`(\w+)[^`]*`", reads)]
    return found


def public(kind: type) -> list[str]:
    return sorted(name for name in dir(kind) if not name.startswith("_"))


def test_each_read_stands_in_one_row_and_nothing_else_does() -> None:
    assert sorted(name for name, _ in rows()) == public(Reader)


@pytest.mark.parametrize(("name", "row"), rows())
def test_a_read_passes_and_copies_what_its_row_says(name: str, row: Row) -> None:
    reader = CompositeBuffer([DATA[:4], DATA[4:]]).reader()
    args, options, passed = CALLS.get(name) or ((), {}, int(row.passed.partition(",")[0]))
    with copy_audit() as audit:
        value = getattr(reader, name)
        if callable(value):
            value(*args, **options)
    assert reader.position == passed
    reason = re.search('"(.*)"', row.copies)
    assert audit.by_reason == ({reason[1]: passed} if reason else {})
    assert reason or row.copies == "nothing"
    assert passed > 0 or row.passed.startswith("0")
