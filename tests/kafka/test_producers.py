"""Idempotent producers: what is sent again is written once, and what comes out of order is not written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from examples.kafka.errors import Error, Refused
from examples.kafka.producers import NOBODY, Mark, Producers, Written, unpack

LAST: Final = (1 << 31) - 1


def wrote(*marks: Mark, most: int = 10) -> Producers:
    """Producers that wrote these, at offsets 100, 200, ..."""
    producers = Producers(most)
    for offset, mark in enumerate(marks, 1):
        producers.note(mark, 100 * offset)
    return producers


def refused(producers: Producers, mark: Mark, *, is_past_deleted: bool = False) -> Error:
    with pytest.raises(Refused) as caught:
        producers.check(mark, is_past_deleted=is_past_deleted)
    return caught.value.error


def test_who_is_not_idempotent_is_neither_checked_nor_remembered() -> None:
    nobody = Mark(NOBODY, -1, -1, 5)
    producers = wrote(nobody)
    assert producers.check(nobody) is None
    assert len(producers) == 0


@pytest.mark.parametrize(
    ("mark", "written"),
    [
        pytest.param(Mark(1, 0, 30, 5), None, id="goes-on"),
        pytest.param(Mark(1, 0, 20, 10), Written(20, 29, 300), id="the-last-again"),
        pytest.param(Mark(1, 0, 0, 10), Written(0, 9, 100), id="the-first-again"),
        pytest.param(Mark(1, 1, 0, 5), None, id="newer-epoch"),
        pytest.param(Mark(2, 0, 0, 5), None, id="newcomer"),
    ],
)
def test_a_batch_is_appended_or_known(mark: Mark, written: Written | None) -> None:
    producers = wrote(Mark(1, 0, 0, 10), Mark(1, 0, 10, 10), Mark(1, 0, 20, 10))
    assert producers.check(mark) == written


@pytest.mark.parametrize(
    ("mark", "error"),
    [
        pytest.param(Mark(1, 4, 31, 5), Error.OUT_OF_ORDER_SEQUENCE_NUMBER, id="gap"),
        pytest.param(Mark(1, 4, 20, 11), Error.OUT_OF_ORDER_SEQUENCE_NUMBER, id="longer-than-written"),
        pytest.param(Mark(1, 4, 25, 5), Error.OUT_OF_ORDER_SEQUENCE_NUMBER, id="part-of-one-written"),
        pytest.param(Mark(1, 3, 30, 5), Error.INVALID_PRODUCER_EPOCH, id="old-epoch"),
        pytest.param(Mark(1, 5, 30, 5), Error.OUT_OF_ORDER_SEQUENCE_NUMBER, id="new-epoch-not-from-0"),
        pytest.param(Mark(2, 0, 1, 5), Error.OUT_OF_ORDER_SEQUENCE_NUMBER, id="newcomer-not-from-0"),
        pytest.param(Mark(2, 0, -1, 5), Error.INVALID_RECORD, id="no-sequence"),
        pytest.param(Mark(2, -1, 0, 5), Error.INVALID_RECORD, id="no-epoch"),
        pytest.param(Mark(2, 0, 0, 0), Error.INVALID_RECORD, id="no-records"),
    ],
)
def test_a_batch_is_refused(mark: Mark, error: Error) -> None:
    assert refused(wrote(Mark(1, 4, 20, 10)), mark) is error


def test_of_more_than_five_batches_the_first_are_known_to_be_duplicates_only() -> None:
    producers = wrote(*[Mark(1, 0, n, 1) for n in range(7)])
    assert producers.check(Mark(1, 0, 2, 1)) == Written(2, 2, 300)
    assert refused(producers, Mark(1, 0, 1, 1)) is Error.DUPLICATE_SEQUENCE_NUMBER
    assert refused(producers, Mark(1, 0, 1, 2)) is Error.OUT_OF_ORDER_SEQUENCE_NUMBER, "half of it"


def test_numbers_go_round() -> None:
    over = Mark(1, 0, LAST - 1, 4)
    assert over.last == 1
    producers = wrote(over)
    assert producers.check(over) == Written(LAST - 1, 1, 100)
    assert producers.check(Mark(1, 0, 2, 5)) is None
    assert refused(producers, Mark(1, 0, LAST - 5, 2)) is Error.DUPLICATE_SEQUENCE_NUMBER


def test_where_the_past_is_deleted_one_may_begin_anywhere() -> None:
    assert Producers().check(Mark(1, 0, 77, 1), is_past_deleted=True) is None


def test_no_more_are_remembered_than_the_limit_and_the_forgotten_may_go_on() -> None:
    producers = wrote(Mark(1, 0, 0, 1), Mark(2, 0, 0, 1), Mark(1, 0, 1, 1), Mark(3, 0, 0, 1), most=2)
    assert len(producers) == 2
    assert producers.check(Mark(2, 0, 1, 1)) is None, "the least recent one"
    assert producers.check(Mark(1, 0, 1, 1)) == Written(1, 1, 300)
    again = unpack(producers.pack(400), most=2)
    assert again is not None
    assert again[0].check(Mark(2, 0, 1, 1)) is None


def test_a_snapshot_that_is_not_whole_is_none() -> None:
    snapshot = wrote(Mark(1, 0, 0, 1)).pack(200)
    assert unpack(snapshot) is not None
    for cut in range(len(snapshot)):
        assert unpack(snapshot[:cut]) is None
        flipped = bytearray(snapshot)
        flipped[cut] ^= 1
        assert unpack(bytes(flipped)) is None


@dataclass
class Client:
    """An idempotent producer: what it has to send, and what it was told has been written."""

    number: int
    epoch: int = 0
    batches: list[Mark] = field(default_factory=list)
    answered: int = 0

    def next_batch(self, count: int) -> Mark:
        first = (self.batches[-1].last + 1) % (1 << 31) if self.batches else 0
        return Mark(self.number, self.epoch, first, count)


class ProducersMachine(RuleBasedStateMachine):
    """Clients send batches in order, have up to five under way, lose answers and send again; the broker restarts.

    The model is the log itself: the batches of each producer's epoch stand there once each, and in order.
    """

    @initialize()
    def begin(self) -> None:
        self.log: list[Mark] = []
        self.producers = Producers()
        self.clients = [Client(1), Client(2)]
        self.snapshot = self.producers.pack(0)

    def arrives(self, mark: Mark) -> int | None:
        """The offset that the batch is said to have, or None: refused."""
        try:
            written = self.producers.check(mark)
        except Refused as refusal:
            if mark not in self.log and refusal.error is not Error.OUT_OF_ORDER_SEQUENCE_NUMBER:
                raise  # the client would think it written
            return None
        if written is None:
            self.producers.note(mark, len(self.log))
            self.log.append(mark)
            return len(self.log) - 1
        assert self.log[written.offset] == mark
        return written.offset

    @rule(who=st.integers(0, 1), counts=st.lists(st.integers(1, 1 << 30), min_size=1, max_size=5), lost=st.booleans())
    def sends(self, who: int, counts: list[int], lost: bool) -> None:
        client = self.clients[who]
        while len(client.batches) - client.answered < len(counts):
            client.batches.append(client.next_batch(counts[len(client.batches) - client.answered]))
        for mark in client.batches[client.answered :]:
            assert self.arrives(mark) is not None
        if not lost:
            client.answered = len(client.batches)

    @precondition(lambda self: any(client.batches for client in self.clients))
    @rule(data=st.data())
    def something_arrives_again(self, data: st.DataObject) -> None:
        mark = data.draw(st.sampled_from([mark for client in self.clients for mark in client.batches]))
        is_current = any(mark in client.batches[-5:] for client in self.clients)
        assert (self.arrives(mark) is not None) == is_current

    @rule(who=st.integers(0, 1), gap=st.integers(1, 1000))
    def one_arrives_too_early(self, who: int, gap: int) -> None:
        mark = self.clients[who].next_batch(1)
        before = len(self.log)
        assert self.arrives(mark._replace(sequence=(mark.sequence + gap) % (1 << 31))) is None
        assert len(self.log) == before

    @rule(who=st.integers(0, 1))
    def begins_a_new_epoch(self, who: int) -> None:
        client = self.clients[who]
        self.clients[who] = Client(client.number, client.epoch + 1)

    @rule()
    def takes_a_snapshot(self) -> None:
        self.snapshot = self.producers.pack(len(self.log))

    @rule()
    def restarts(self) -> None:
        """What is known after a restart is the snapshot and what the log holds behind it."""
        before = self.producers.pack(len(self.log))
        unpacked = unpack(self.snapshot)
        assert unpacked is not None
        self.producers, end = unpacked
        for offset, mark in enumerate(self.log[end:], end):
            self.producers.note(mark, offset)
        assert self.producers.pack(len(self.log)) == before

    @invariant()
    def each_is_written_once_and_in_order(self) -> None:
        for client in self.clients:
            mine = [mark for mark in self.log if (mark.producer, mark.epoch) == (client.number, client.epoch)]
            assert mine == client.batches


TestProducers = ProducersMachine.TestCase
