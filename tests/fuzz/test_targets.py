"""Each fuzz target over its corpus, over what once broke it, and over what hypothesis makes up; and what runs them.

All targets are gone through in one test each: the profile that is quick would leave out most of a table of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytebufs import COMPILED, SliceBuffer
from bytebufs.receiving.inbox import Inbox

from . import captures, framers, parsing, readers, streams, tables, targets, wires
from .__main__ import Result, result_of
from .inputs import Piece
from .keeping import MOST_BYTES, MOST_INPUTS, chosen
from .seeds import SEEDS
from .targets import TARGETS, Target


def run(target: Target, inputs: Iterable[bytes]) -> None:
    """Put inputs through a target, and name the one that breaks it."""
    for data in inputs:
        try:
            target.run(data)
        except Exception as error:
            error.add_note(f"TARGETS[{target.name!r}].run({data!r})")
            raise


@pytest.mark.parametrize("kind", ["corpus", "crashes"])
def test_what_is_kept_breaks_nothing(kind: str) -> None:
    for target in TARGETS.values():
        run(target, [path.read_bytes() for path in target.inputs(kind)])


@given(data=st.data())
def test_what_hypothesis_makes_up_breaks_nothing(data: st.DataObject) -> None:
    for target in TARGETS.values():
        run(target, [data.draw(st.binary(max_size=target.most))])


def test_what_a_search_begins_with_breaks_nothing() -> None:
    for name, seeds in SEEDS.items():
        found = list(seeds())
        assert found
        run(TARGETS[name], found[:: len(found) // 10 + 1])


def test_the_corpus_is_there_and_is_small() -> None:
    for target in TARGETS.values():
        sizes = [path.stat().st_size for path in target.inputs("corpus")]
        assert 0 < len(sizes) <= MOST_INPUTS, target.name
        assert max(sizes) < MOST_BYTES, target.name


def test_every_folder_belongs_to_a_target() -> None:
    for kind in ("corpus", "crashes"):
        assert {path.name for path in (targets.HERE / kind).glob("*")} <= set(TARGETS)


# -- that they can fail


def _one_byte_less(pieces: list[bytes], *_: object) -> list[Piece]:
    """Return the pieces, of which the last but one has lost a byte."""
    return [*pieces[:-2], *[piece[1:] for piece in pieces[-2:-1]], *pieces[-1:]]


def _joined_with_a_loss(pieces: list[bytes]) -> SliceBuffer:
    return SliceBuffer(b"".join([*pieces[:-2], *[piece[1:] for piece in pieces[-2:-1]], *pieces[-1:]]))


def _another(piece: bytes, _kind: int) -> Piece:
    return piece[::-1]


FAULTS: Final[dict[str, tuple[ModuleType, str, Callable[..., Any]]]] = {
    "framers": (framers, "parts_of", _one_byte_less),
    "readers": (readers, "joined", _joined_with_a_loss),
    "parsing": (parsing, "parts_of", _one_byte_less),
    "tables": (tables, "as_part", _another),
    "inboxes": (streams, "Inbox", lambda pool, limit: Inbox(pool)),
    "outboxes": (streams, "as_part", _another),
    "captures": (captures, "joined", _joined_with_a_loss),
    "replies": (wires, "parts_of", _one_byte_less),
    "websockets": (wires, "parts_of", _one_byte_less),
    "protobufs": (wires, "parts_of", _one_byte_less),
}
"""What stands for something that a target uses, and is wrong."""


def breaks(target: Target, data: bytes) -> bool:
    """Say whether an input breaks a target."""
    try:
        target.run(data)
    except AssertionError:
        return True
    return False


def test_the_corpus_finds_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, (module, attribute, wrong) in FAULTS.items():
        target = TARGETS[name]
        inputs = [path.read_bytes() for path in target.inputs("corpus")]
        with monkeypatch.context() as patch:
            patch.setattr(module, attribute, wrong)
            assert any(breaks(target, data) for data in inputs), name


# -- what runs them

TOLD: Final = """\
INFO: Seed: 1
#2\tINITED cov: 66 ft: 66 corp: 1/1b exec/s: 0 rss: 50Mb
look: 10000 runs, 190001 blocks, 18432 pages
look: 20000 runs, 190002 blocks, 18688 pages
#20480\tpulse  cov: 840 ft: 4250 corp: 922/18Kb lim: 96 exec/s: 9259 rss: 50Mb
look: 30000 runs, 190003 blocks, 18688 pages
#30001\tDONE   cov: 846 ft: 4250 corp: 922/18Kb lim: 96 exec/s: 9259 rss: 50Mb
stat::number_of_executed_units: 30001
"""


def test_what_libfuzzer_says_becomes_a_line() -> None:
    result = result_of(TOLD, failed=False, seconds=16.4)
    looks = [(10_000, 190_001, 18_432), (20_000, 190_002, 18_688), (30_000, 190_003, 18_688)]
    assert result == Result(False, 30_001, 16.4, 846, looks)
    assert " ".join(str(result).split()) == "30001 runs 16 s 846 edges 190002 blocks 73 MiB 190003 blocks 73 MiB"


def test_memory_that_was_looked_at_once_is_not_told_twice() -> None:
    for count, told in ((1, "edges"), (2, "73 MiB"), (3, "190003 blocks 73 MiB")):
        looks = [(10_000, 190_001, 18_432), (20_000, 190_002, 18_688), (30_000, 190_003, 18_688)][:count]
        line = " ".join(str(Result(False, 30_001, 16.4, 846, looks)).split())
        assert line.endswith(told)
        assert line.count("blocks") == count - 1


def test_a_search_that_ends_at_once_is_told_as_failed() -> None:
    assert " ".join(str(result_of("", failed=True, seconds=0.2)).split()) == "0 runs 0 s 0 edges FAILED"


@pytest.mark.skipif(COMPILED, reason="which lines ran is not known of compiled code")
def test_the_inputs_are_kept_that_show_the_most() -> None:
    fixed, same, lines = b"\0\0\1\0abc", b"\0\0\1\0abcdef", b"\1\0\1\0a\nb\n"
    kept = chosen(TARGETS["framers"], [fixed, same, lines])
    assert set(kept) in ({fixed, lines}, {same, lines}, {fixed, same, lines})
    assert chosen(TARGETS["framers"], [bytes(MOST_BYTES), fixed]) == [fixed]
