"""The offset tracker, by example and against a naive model."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from hookmill.records import Record, Span, TopicPartition
from processors.tracker import OffsetTracker

A = TopicPartition("webhooks", 0)
B = TopicPartition("webhooks", 1)


def span(partition: TopicPartition, first: int, last: int | None = None) -> Span:
    offsets = [first] if last is None else [first, last]
    return Span(partition, tuple(Record(*partition, offset, 0, None, b"", ()) for offset in offsets))


def owner_of(*partitions: TopicPartition) -> OffsetTracker:
    tracker = OffsetTracker()
    tracker.assigned(partitions)
    return tracker


def test_a_finished_span_behind_an_unfinished_one_is_not_committed() -> None:
    tracker = owner_of(A)
    first, second = span(A, 0, 4), span(A, 5, 9)
    tracker.delivered(first)
    tracker.delivered(second)

    tracker.finished(second)
    early = tracker.committable()
    tracker.finished(first)

    assert early == {}
    assert tracker.committable() == {A: 10}


def test_partitions_do_not_wait_for_each_other() -> None:
    tracker = owner_of(A, B)
    stuck, done = span(A, 0), span(B, 7)
    tracker.delivered(stuck)
    tracker.delivered(done)

    tracker.finished(done)

    assert tracker.committable() == {B: 8}


def test_what_is_committed_is_not_offered_again() -> None:
    tracker = owner_of(A)
    first = span(A, 0)
    tracker.delivered(first)
    tracker.finished(first)

    tracker.committed({A: 1})

    assert tracker.committable() == {}


def test_a_finish_of_an_earlier_ownership_is_ignored() -> None:
    tracker = owner_of(A)
    old, new = span(A, 3), span(A, 3)
    tracker.delivered(old)
    tracker.revoked([A])
    tracker.assigned([A])
    tracker.delivered(new)

    tracker.finished(old)

    assert tracker.committable() == {}
    assert not tracker.is_pending(old)
    assert tracker.is_pending(new)


def test_a_span_of_a_partition_that_is_not_ours_does_not_count() -> None:
    tracker = owner_of(A)
    foreign = span(B, 0)

    counts = tracker.delivered(foreign)
    tracker.finished(foreign)

    assert not counts
    assert tracker.committable() == {}


def test_after_a_seek_back_the_position_moves_back() -> None:
    tracker = owner_of(A)
    first, again = span(A, 5), span(A, 2)
    tracker.delivered(first)
    tracker.finished(first)
    tracker.committed({A: 6})

    tracker.seeked([A, B])
    tracker.delivered(again)
    tracker.finished(again)

    assert tracker.committable() == {A: 3}


def test_a_late_confirmation_of_an_earlier_ownership_holds_nothing_back() -> None:
    tracker = owner_of(A)
    again = span(A, 2)
    tracker.committed({A: 50})

    tracker.delivered(again)
    tracker.finished(again)

    assert tracker.committable() == {A: 3}


PARTITIONS = st.sampled_from([A, B])


class TrackerAgainstModel(RuleBasedStateMachine):
    """The model keeps every delivery of the current ownership in a list and looks through all of it every time."""

    spans = Bundle("spans")

    def __init__(self) -> None:
        super().__init__()
        self.tracker = OffsetTracker()
        self.deliveries: dict[TopicPartition, list[Span]] = {}
        self.done: dict[int, Span] = {}
        """By identity; kept, so that no other span gets the same."""
        self.committed: dict[TopicPartition, int] = {}
        self.next_offset = {A: 0, B: 0}

    @rule(partition=PARTITIONS)
    def assign(self, partition: TopicPartition) -> None:
        if partition not in self.deliveries:
            self.tracker.assigned([partition])
            self._start_afresh(partition)
            self.next_offset[partition] = self.committed.get(partition, 0)

    @rule(partition=PARTITIONS)
    def revoke(self, partition: TopicPartition) -> None:
        self.tracker.revoked([partition])
        self.deliveries.pop(partition, None)

    @rule(partition=PARTITIONS, offset=st.integers(0, 30))
    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.tracker.seeked([partition])
        if partition in self.deliveries:
            self._start_afresh(partition)
            self.next_offset[partition] = offset

    @rule(target=spans, partition=PARTITIONS, gap=st.integers(0, 2), length=st.integers(1, 3))
    def deliver(self, partition: TopicPartition, gap: int, length: int) -> Span:
        first = self.next_offset[partition] + gap
        delivered = span(partition, first, first + length)
        assert self.tracker.delivered(delivered) == (partition in self.deliveries)
        if partition in self.deliveries:
            self.deliveries[partition].append(delivered)
            self.next_offset[partition] = delivered.next_offset
        return delivered

    @rule(finished=spans)
    def finish(self, finished: Span) -> None:
        self.tracker.finished(finished)
        self.done[id(finished)] = finished

    @rule()
    def commit(self) -> None:
        positions = self.tracker.committable()
        self.tracker.committed(positions)
        self.committed.update(positions)

    @rule(partition=PARTITIONS, offset=st.integers(0, 30))
    def commit_of_another_reader(self, partition: TopicPartition, offset: int) -> None:
        if partition not in self.deliveries:
            self.tracker.committed({partition: offset})
            self.committed[partition] = offset

    @invariant()
    def commits_the_finished_prefix_and_never_more(self) -> None:
        expected = {}
        for partition, deliveries in self.deliveries.items():
            for delivered in deliveries:
                if id(delivered) not in self.done:
                    break
                expected[partition] = delivered.next_offset
        offered = self.tracker.committable()
        assert all(expected[partition] == position for partition, position in offered.items())
        held_back = {p: position for p, position in expected.items() if p not in offered}
        assert all(self.committed.get(p) == position for p, position in held_back.items())

    def _start_afresh(self, partition: TopicPartition) -> None:
        self.deliveries[partition] = []


TrackerAgainstModel.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestTrackerAgainstModel = TrackerAgainstModel.TestCase
