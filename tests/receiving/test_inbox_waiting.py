"""What an inbox does for who waits by it: a limit for the wait, and rest while there is nothing."""

from __future__ import annotations

import pytest

from bytebufs import Inbox, LimitExceeded, Pool


def came(inbox: Inbox, data: bytes) -> None:
    inbox.room()[: len(data)] = data
    inbox.filled(len(data))


def test_a_wait_allows_more_for_as_long_as_it_lasts() -> None:
    inbox = Inbox(limit=4)
    assert not inbox._is_full()
    came(inbox, b"abcd")
    assert inbox._is_full()
    with pytest.raises(LimitExceeded):
        inbox.room()
    assert not inbox._allow(4)
    assert inbox._allow(6)
    assert not inbox._is_full()
    came(inbox, b"ef")
    assert inbox.buffer == b"abcdef"
    assert inbox._is_full()


def test_who_waits_for_the_first_bytes_has_no_memory_to_himself() -> None:
    pool = Pool()
    one, other = Inbox(pool, limit=100), Inbox(pool, limit=100)
    for inbox in (one, other):
        came(inbox, b"abc")
        inbox.buffer.skip(3)
        assert inbox._allow(100)
        assert pool.lent == 0
    assert pool.made == 1
    came(one, b"x")
    assert one._allow(100)
    came(other, b"yz")
    assert one.buffer == b"x"
    assert other.buffer == b"yz"
