"""The index of parked webhooks, by example and against a naive model."""

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hookmill.parked import Entry, Spot, Why, entry_key
from processors.parked_index import ParkedIndex, queue_hash

PLACES = 2
RANKS = {Why.DROPPED: 0, Why.RETURNED: 1}
NEVER = 1 << 50


def entry(queue: bytes, number: int, why: Why = Why.QUEUED, *, at: int = 0, place: int = 0, ready: int = 0) -> Entry:
    """Of webhook `number` of partition `place`; what is no state of its own has a key of its own."""
    told_by = "" if why not in RANKS else f"{why.value}-{at}"
    spot = Spot(place, number)
    source = queue.decode().partition("/")[0]
    return Entry(entry_key(spot, told_by), at, source, queue, spot, RANKS.get(why, 2), why, ready, 100)


def numbers(index: ParkedIndex, queue: bytes) -> list[int]:
    return [row.spot.offset for row in index.first(queue_hash(queue), 100)]


def test_the_order_of_a_key_is_that_of_receipt_whenever_its_webhooks_were_written() -> None:
    index = ParkedIndex()
    for at, number in enumerate([7, 3, 5]):
        index.put(0, entry(b"a/1", number, at=at), 0)

    assert numbers(index, b"a/1") == [3, 5, 7]


def test_a_key_whose_first_webhook_is_dead_is_not_ready_until_there_is_news_of_it() -> None:
    index = ParkedIndex()
    index.put(0, entry(b"a/1", 3, Why.DEAD, at=1, ready=NEVER), 0)
    index.put(0, entry(b"a/1", 4, at=2), 0)
    before = index.ready("a", 10, [0], 8, even_dead=False)

    index.put(0, entry(b"a/1", 3, Why.RETURNED, at=3), 10)

    assert before == (0, [])
    assert index.ready("a", 10, [0], 8, even_dead=False) == (0, [queue_hash(b"a/1")])
    assert [row.why for row in index.first(queue_hash(b"a/1"), 8)] == [Why.RETURNED, Why.DEAD, Why.QUEUED]


def test_keys_take_turns() -> None:
    """A key that goes on is behind those that have waited, though more of its webhooks come all the time."""
    index = ParkedIndex()
    for number in range(3):
        index.put(0, entry(b"a/1", number, at=number), 0)
    index.put(0, entry(b"a/2", 9, at=9), 5)

    index.remove(0, entry_key(Spot(0, 0)), 10)
    index.put(0, entry(b"a/1", 10, at=10), 11)
    index.put(0, entry(b"a/2", 11, at=11), 12)

    assert index.ready("a", 20, [0], 1, even_dead=False) == (0, [queue_hash(b"a/2")])


def test_a_place_that_is_forgotten_leaves_nothing_behind() -> None:
    index = ParkedIndex()
    index.put(0, entry(b"a/1", 1), 0)
    index.put(1, entry(b"a/2", 1, place=1), 0)

    index.forget(0)

    assert (index.records, index.queues) == ({"a": 1}, {("a", Why.QUEUED): 1})
    assert not index.has(b"a/1")
    assert index.has(b"a/2")


QUEUES = st.sampled_from([b"a/1", b"a/2", b"b/1"])


class IndexMachine(RuleBasedStateMachine):
    """Random entries of few webhooks, so that they replace each other; a queue stays on one place."""

    def __init__(self) -> None:
        super().__init__()
        self.index = ParkedIndex()
        self.entries: dict[tuple[int, bytes], Entry] = {}
        self.at = 0

    def teardown(self) -> None:
        self.index.close()

    @initialize(shift=st.integers(0, 1))
    def choose_places(self, shift: int) -> None:
        self.place_of = {queue: (number + shift) % PLACES for number, queue in enumerate([b"a/1", b"a/2", b"b/1"])}

    @rule(queue=QUEUES, number=st.integers(0, 4), why=st.sampled_from(Why), ready=st.integers(1, 50))
    def put(self, queue: bytes, number: int, why: Why, ready: int) -> None:
        self.at += 1
        place = self.place_of[queue]
        # Webhooks of a partition have one key each: the number says whose it is.
        number = number * 3 + [b"a/1", b"a/2", b"b/1"].index(queue)
        put = entry(queue, number, why, at=self.at, place=place, ready=NEVER if why is Why.DEAD else ready)
        self.index.put(place, put, 0)
        self.entries[place, put.key] = put

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        known = sorted(self.entries)
        place, key = data.draw(st.sampled_from(known)) if known else (0, b"9:9")
        self.index.remove(place, key, 0)
        self.entries.pop((place, key), None)

    @rule(place=st.integers(0, PLACES - 1))
    def forget(self, place: int) -> None:
        self.index.forget(place)
        self.entries = {each: found for each, found in self.entries.items() if each[0] != place}

    def in_order(self, queue: bytes) -> list[Entry]:
        of_queue = [each for each in self.entries.values() if each.queue == queue]
        return sorted(of_queue, key=lambda each: (each.spot, each.rank, each.offset))

    @invariant()
    def every_queue_is_in_order(self) -> None:
        for queue in (b"a/1", b"a/2", b"b/1"):
            rows = self.index.first(queue_hash(queue), 100)
            assert [(row.key, row.why) for row in rows] == [(each.key, each.why) for each in self.in_order(queue)]
            assert self.index.has(queue) == bool(rows)

    @invariant()
    def counts_are_true(self) -> None:
        assert self.index.records == Counter(each.source for each in self.entries.values())
        firsts = [in_order[0] for queue in (b"a/1", b"a/2", b"b/1") if (in_order := self.in_order(queue))]
        assert self.index.queues == Counter((each.source, each.why) for each in firsts)

    @invariant()
    def exactly_the_queues_whose_first_entry_is_due_are_ready(self) -> None:
        found = set()
        for source in ("a", "b"):
            for place in range(PLACES):
                found.update(self.index.ready(source, 25, [place], 100, even_dead=False)[1])
        firsts = {queue: in_order[0] for queue in (b"a/1", b"a/2", b"b/1") if (in_order := self.in_order(queue))}
        assert found == {queue_hash(queue) for queue, first in firsts.items() if first.ready_at_ms <= 25}


TestIndexMachine = IndexMachine.TestCase
TestIndexMachine.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
