"""Copies are counted where they are made, and forbidden where they must not be."""

from __future__ import annotations

import asyncio
import contextvars
import re
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bytebufs
from bytebufs._core import audit as audit_module
from bytebufs._core.audit import ASKED, HIDDEN, CopyAudit, _blocks, _open, copy_audit, count_copy, is_audited, no_copy
from bytebufs.errors import CopyForbidden

patched = pytest.mark.skipif(bytebufs.COMPILED, reason="compiled code calls itself directly: nothing can be patched")


def facts(audit: CopyAudit) -> tuple[int, int, dict[str, int], int]:
    return audit.nbytes, audit.count, audit.by_reason, audit.hidden


def test_an_audit_counts_bytes_and_copies_by_reason() -> None:
    with copy_audit() as audit:
        assert facts(audit) == (0, 0, {}, 0)
        count_copy("tobytes", 10)
        count_copy("needle", 3)
        count_copy("tobytes", 1)
        assert facts(audit) == (14, 3, {"tobytes": 11, "needle": 3}, 3)
    assert facts(audit) == (14, 3, {"tobytes": 11, "needle": 3}, 3)
    assert repr(audit) == "<CopyAudit: 14 bytes in 3 copies, 3 of them hidden: tobytes 11, needle 3>"


def test_an_audit_shows_what_was_copied() -> None:
    with no_copy() as audit:
        assert repr(audit) == "<CopyAudit: 0 bytes in 0 copies, 0 of them hidden>"
        count_copy("hex", 5)
    assert repr(audit) == "<CopyAudit: 5 bytes in 1 copy, 0 of them hidden: hex 5>"


def test_a_block_shows_how_it_is_entered() -> None:
    assert repr(copy_audit()) == "<copy_audit(): write 'with copy_audit() as audit:'>"
    assert repr(no_copy(strict=True)) == "<no_copy(): write 'with no_copy() as audit:'>"


def test_a_copy_of_nothing_is_none() -> None:
    with copy_audit() as audit, no_copy(strict=True):
        count_copy("contiguous", 0)
    assert facts(audit) == (0, 0, {}, 0)


def test_outside_every_block_nothing_is_counted_or_forbidden() -> None:
    with copy_audit() as audit:
        pass
    with no_copy() as forbidding:
        pass
    count_copy("contiguous", 5)
    assert facts(audit) == facts(forbidding) == (0, 0, {}, 0)


def test_an_audit_starts_from_nothing_though_another_one_ended() -> None:
    with copy_audit():
        count_copy("hex", 5)
    with copy_audit() as second:
        count_copy("hex", 2)
    assert facts(second) == (2, 1, {"hex": 2}, 0)


def test_the_reasons_are_those_of_the_design() -> None:
    assert {"bytes", "tobytes", "take_bytes", "text", "decode", "hex", "copy_into", "array"} == ASKED
    assert {"contiguous", "consolidate", "compact", "coalesce", "needle", "pickle", "stable", "fallback"} == HIDDEN
    assert not ASKED & HIDDEN


def test_another_reason_is_refused() -> None:
    with copy_audit() as audit, pytest.raises(LookupError, match="'convenience' is not a reason"):
        count_copy("convenience", 1)
    assert facts(audit) == (0, 0, {}, 0)


def test_every_reason_that_the_package_names_is_one_of_them() -> None:
    """Outside every block a misspelt reason would go unnoticed."""
    sources = [path.read_text(encoding="utf-8") for path in Path(bytebufs.__path__[0]).rglob("*.py")]
    named = {
        reason
        for text in sources
        for reason in re.findall(r'(?:(?<!\.)\b(?:count_copy|join|_rewrite)|\._copied)\([^")]*"(\w*)"', text)
    }
    assert named == ASKED | HIDDEN


@pytest.mark.parametrize("reason", sorted(HIDDEN))
def test_no_copy_forbids_hidden_copies(reason: str) -> None:
    with no_copy() as audit:
        with pytest.raises(CopyForbidden) as caught:
            count_copy(reason, 9)
        assert (caught.value.reason, caught.value.nbytes) == (reason, 9)
    assert facts(audit) == (0, 0, {}, 0)


@pytest.mark.parametrize("reason", sorted(ASKED))
def test_no_copy_lets_pass_what_was_asked_for_unless_it_is_strict(reason: str) -> None:
    with no_copy() as audit:
        count_copy(reason, 9)
    assert facts(audit) == (9, 1, {reason: 9}, 0)
    with no_copy(strict=True) as audit, pytest.raises(CopyForbidden):
        count_copy(reason, 9)
    assert facts(audit) == (0, 0, {}, 0)


def test_strict_forbids_hidden_copies_too() -> None:
    with no_copy(strict=True), pytest.raises(CopyForbidden):
        count_copy("compact", 1)


def test_nested_audits_all_count() -> None:
    with copy_audit() as outer:
        count_copy("hex", 1)
        with copy_audit() as middle:
            count_copy("hex", 2)
            with copy_audit() as inner:
                count_copy("hex", 4)
            count_copy("hex", 8)
        count_copy("hex", 16)
    assert (outer.nbytes, middle.nbytes, inner.nbytes) == (31, 14, 4)


@pytest.mark.parametrize("forbidden_first", [True, False])
def test_a_forbidden_copy_is_counted_nowhere_however_the_blocks_nest(forbidden_first: bool) -> None:
    blocks = (no_copy, copy_audit) if forbidden_first else (copy_audit, no_copy)
    with blocks[0]() as outer, blocks[1]() as inner:
        with pytest.raises(CopyForbidden):
            count_copy("pickle", 3)
        count_copy("bytes", 2)
    assert facts(outer) == facts(inner) == (2, 1, {"bytes": 2}, 0)


def test_a_lenient_block_inside_a_strict_one_loosens_nothing() -> None:
    with no_copy(strict=True):
        with no_copy(), pytest.raises(CopyForbidden):
            count_copy("bytes", 1)
        with pytest.raises(CopyForbidden):
            count_copy("bytes", 1)


def test_an_exception_passes_through_and_ends_the_block() -> None:
    audits: list[CopyAudit] = []

    def fail_inside() -> None:
        with no_copy() as audit:
            audits.append(audit)
            count_copy("hex", 1)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fail_inside()
    count_copy("compact", 1)
    assert facts(audits[0]) == (1, 1, {"hex": 1}, 0)


def test_an_audit_is_made_by_a_block() -> None:
    for wrong in (), (b"data",):
        with pytest.raises(TypeError, match=r"^a CopyAudit is made by a block: write 'with copy_audit\(\) as audit:'$"):
            CopyAudit(*wrong)


def test_the_audit_belongs_to_the_with_block_and_not_to_the_call() -> None:
    block = no_copy()
    count_copy("compact", 1)
    with block as audit:
        pass
    assert audit.count == 0


@pytest.mark.parametrize("block", [copy_audit(), no_copy(), no_copy(strict=True)], ids=["audit", "lenient", "strict"])
def test_a_block_is_entered_once(block: AbstractContextManager[CopyAudit]) -> None:
    """A second time it would be closed, and forbid nothing."""
    with (
        block,
        pytest.raises(RuntimeError, match=r"^a block is entered once: call copy_audit\(\) or no_copy\(\) anew$"),
    ):
        block.__enter__()
    with pytest.raises(RuntimeError, match="entered once"):
        block.__enter__()
    assert (_open.count, _blocks.get()) == (0, ())


def test_a_block_ends_once() -> None:
    block, other = copy_audit(), copy_audit()
    with other:
        with block:
            pass
        block.__exit__(None, None, None)
        count_copy("hex", 1)
        assert _open.count == 1
    assert other.__exit__(None, None, None) is None
    assert _open.count == 0


class Failing:
    """A context variable that cannot be set, or that an interrupt comes behind."""

    def __init__(self, *, sets: bool) -> None:
        self.sets = sets
        self.fails = True

    def get(self) -> tuple[CopyAudit, ...]:
        return _blocks.get()

    def set(self, value: tuple[CopyAudit, ...]) -> None:
        if self.sets:
            _blocks.set(value)
        if self.fails:
            self.fails = False
            raise MemoryError


@patched
@pytest.mark.parametrize("sets", [False, True])
def test_a_block_that_cannot_be_entered_leaves_nothing_behind(sets: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(audit_module, "_blocks", Failing(sets=sets))
        with pytest.raises(MemoryError):
            no_copy(strict=True).__enter__()
    assert (_open.count, _blocks.get()) == (0, ())
    count_copy("compact", 1)


# -- tasks, threads, generators ------------------------------------------------------------------------------


def test_a_task_started_inside_counts_and_is_forbidden() -> None:
    async def copying(reason: str) -> None:
        count_copy(reason, 5)

    async def main() -> None:
        with copy_audit() as audit:
            await asyncio.create_task(copying("compact"))
        assert audit.by_reason == {"compact": 5}
        with no_copy():
            task = asyncio.create_task(copying("compact"))
            with pytest.raises(CopyForbidden):
                await task

    asyncio.run(main())


def test_a_task_that_lives_on_neither_counts_nor_is_forbidden_once_the_block_ended() -> None:
    async def main() -> None:
        ended = asyncio.Event()

        async def heir() -> None:
            count_copy("needle", 1)
            await ended.wait()
            count_copy("needle", 2)
            count_copy("compact", 4)
            with copy_audit() as own:
                count_copy("needle", 8)
            assert facts(own) == (8, 1, {"needle": 8}, 8)

        with copy_audit() as audit:
            task = asyncio.create_task(heir())
            await asyncio.sleep(0)
            forbidding = no_copy(strict=True)
            with forbidding:
                strict_heir = asyncio.create_task(heir_of_strict(ended))
                await asyncio.sleep(0)
        ended.set()
        await task
        await strict_heir
        assert facts(audit) == (1, 1, {"needle": 1}, 1)

    async def heir_of_strict(ended: asyncio.Event) -> None:
        with pytest.raises(CopyForbidden):
            count_copy("hex", 1)
        await ended.wait()
        count_copy("hex", 1)
        count_copy("fallback", 1)

    asyncio.run(main())


def test_a_block_opened_in_a_task_does_not_reach_its_parent() -> None:
    async def main() -> None:
        opened = asyncio.Event()
        leave = asyncio.Event()

        async def child() -> None:
            with no_copy(strict=True):
                opened.set()
                await leave.wait()

        task = asyncio.create_task(child())
        await opened.wait()
        count_copy("compact", 1)
        leave.set()
        await task

    asyncio.run(main())


def test_a_thread_inherits_nothing() -> None:
    seen = []

    def work() -> None:
        count_copy("compact", 5)
        with copy_audit() as own:
            count_copy("compact", 6)
        seen.append(own.nbytes)

    with no_copy() as audit:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert seen == [6]
    assert audit.count == 0


def counting_generator(reason: str) -> Iterator[CopyAudit]:
    with copy_audit() as audit:
        yield audit
        count_copy(reason, 1)
        yield audit


def test_nothing_of_a_block_stays_behind_in_its_context() -> None:
    """Else a server that audits each request would look through all of them at each copy."""
    there = contextvars.copy_context()
    steps = counting_generator("hex")
    there.run(next, steps)
    with copy_audit(), no_copy():
        list(steps)
        assert len(_blocks.get()) == 2
    assert _blocks.get() == ()
    there.run(list, counting_generator("hex"))
    assert there[_blocks] == (), "what ended elsewhere is swept out when the next block ends"


def test_a_block_in_a_generator_leaks_to_its_caller_and_ends_with_the_generator() -> None:
    steps = counting_generator("hex")
    audit = next(steps)
    count_copy("hex", 100)
    next(steps)
    assert audit.nbytes == 101
    steps.close()  # type: ignore[attr-defined]
    count_copy("hex", 1000)
    assert audit.nbytes == 101


def test_a_generator_that_ends_inside_a_later_block_does_not_end_that_one() -> None:
    steps = counting_generator("hex")
    inner = next(steps)
    with no_copy() as outer:
        list(steps)
        count_copy("hex", 10)
        with pytest.raises(CopyForbidden):
            count_copy("compact", 1)
    count_copy("compact", 5)
    assert facts(inner) == (1, 1, {"hex": 1}, 0)
    assert facts(outer) == (11, 2, {"hex": 11}, 0)


def test_a_generator_that_outlives_the_block_it_was_started_in_goes_on_counting() -> None:
    with no_copy():
        steps = counting_generator("compact")
        inner = next(steps)
    next(steps)
    count_copy("compact", 2)
    assert inner.nbytes == 3
    steps.close()  # type: ignore[attr-defined]


def test_a_generator_that_ends_in_another_context_ends_its_block_everywhere() -> None:
    steps = counting_generator("hex")
    there = contextvars.copy_context()
    audit = there.run(next, steps)
    count_copy("hex", 1)
    assert audit.nbytes == 0, "this context knows nothing of the block"
    with copy_audit() as own:
        list(steps)
        count_copy("hex", 1)
    assert own.nbytes == 2
    there.run(count_copy, "hex", 10)
    assert audit.nbytes == 0


@given(st.data())
def test_blocks_that_end_in_any_order_count_exactly_while_they_are_open(data: st.DataObject) -> None:
    """With generators every interleaving is possible; the model is a set of open blocks."""
    live: list[tuple[Iterator[CopyAudit], CopyAudit, int]] = []
    total = 0

    def end(steps: Iterator[CopyAudit], audit: CopyAudit, began: int) -> None:
        steps.close()  # type: ignore[attr-defined]
        assert audit.nbytes == total - began

    for step in data.draw(st.lists(st.sampled_from(["begin", "copy", "end"]), max_size=30)):
        if step == "begin":
            steps = counting_generator("hex")
            live.append((steps, next(steps), total))
        elif step == "copy":
            count_copy("hex", 3)
            total += 3
        elif live:
            end(*live.pop(data.draw(st.integers(0, len(live) - 1))))
        assert _open.count == len(live)
    while live:
        end(*live.pop())
    assert _open.count == 0
    with copy_audit() as last:
        count_copy("hex", 1)
    assert last.nbytes == 1


def test_whether_anybody_counts() -> None:
    assert not is_audited()
    with copy_audit():
        steps = counting_generator("hex")
        next(steps)
        assert is_audited()
    steps.close()  # type: ignore[attr-defined]
    assert not is_audited()
    context = contextvars.Context()
    with copy_audit():
        assert not context.run(is_audited)
        heir = contextvars.copy_context()
    assert not heir.run(is_audited)
    with copy_audit():
        assert not heir.run(is_audited)
