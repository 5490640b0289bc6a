"""What the stage knows of parked webhooks, and the records by which it parks more and ends their parking."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Collection
from typing import Final

from hookmill import headers
from hookmill.parked import Spot, Why, entry_key, parked_record, read_entry, unparked_record
from hookmill.records import Headers, NewRecord, Record
from hookmill.topics import Topic, TopicNames
from processors.deferral import place_told
from processors.parked_index import ParkedIndex, queue_hash
from processors.webhook import Webhook

_PATIENCE_S: Final = 2.0
"""From the assignment of partitions on. What is parked takes longer to read only if there is much of it."""

_OURS: Final = frozenset({headers.KEY, headers.PARKED, headers.NOT_BEFORE, headers.HOLDS_ON})


class Parked:
    """The state of the topic as far as it was read, and what was sent to it since. Pure: no log.

    Whoever runs webhooks of a partition of `webhooks` follows the partition of parked webhooks that goes with it. Until
    that is known to its end, every ordering key may have parked webhooks, so all count as held.
    """

    def __init__(self, names: TopicNames) -> None:
        self.index = ParkedIndex()
        self.partitions = names.partitions
        """Of the topic of parked webhooks."""
        self._webhooks = names.full(Topic.WEBHOOKS)
        self._known: set[int] = set()
        self._has_learnt = asyncio.Event()
        self._patient_until_s = 0.0
        self._unread: dict[tuple[int, bytes], bytes] = {}
        """What was sent and not read back, by place and key: the hash of its ordering key."""
        self._unread_queues: Counter[bytes] = Counter()

    def place_of(self, partition: int) -> int:
        """The partition of parked webhooks that goes with one of `webhooks`."""
        return partition % self.partitions

    def spot_of(self, webhook: Webhook) -> Spot | None:
        """Where the webhook stands in the order of its key; `None` for one without key, or of a replay."""
        origin = webhook.origin
        if webhook.record.key is None or webhook.replay is not None or origin.topic != self._webhooks:
            return None
        return Spot(origin.partition, origin.offset)

    def known(self, places: Collection[int]) -> None:
        """The index has everything of these places that was there when their owner got them."""
        self._known.update(places)
        self._has_learnt.set()

    def assigned(self, partitions: Collection[int]) -> None:
        """Webhooks of these partitions are run here from now on. Others may have written to their places meanwhile, and
        what was sent when they were here before may be gone without having been read."""
        self._known.difference_update(map(self.place_of, partitions))
        self._patient_until_s = time.monotonic() + _PATIENCE_S
        for place, key in list(self._unread):
            if int(key.partition(b":")[0]) in partitions:
                self._read_back(place, key)

    async def until_known(self, places: Collection[int]) -> None:
        """These places are known, or that takes longer than is worth a wait: then everything is parked meanwhile."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patient_until_s - time.monotonic()):
                while not self._known.issuperset(places):
                    self._has_learnt.clear()
                    await self._has_learnt.wait()

    def is_known(self, place: int) -> bool:
        """See `known`."""
        return place in self._known

    def forget(self, place: int) -> None:
        """Nobody follows the place any more."""
        self._known.discard(place)
        self.index.forget(place)
        for key in [key for key in self._unread if key[0] == place]:
            self._read_back(*key)

    def holds(self, spot: Spot, queue: bytes) -> bool:
        """Webhooks of this ordering key are parked, or may be."""
        if not self.is_known(self.place_of(spot.partition)):
            return True
        return self._unread_queues[queue_hash(queue)] > 0 or self.index.has(queue)

    def is_settling(self, queue: bytes) -> bool:
        """Something of the queue, by its hash, was sent and not read back: what the index says of it is old."""
        return self._unread_queues[queue] > 0

    def has(self, spot: Spot) -> bool:
        """The webhook itself is parked."""
        place, key = self.place_of(spot.partition), entry_key(spot)
        return (place, key) in self._unread or self.index.has_entry(place, key)

    def read(self, record: Record, now_ms: int) -> bool:
        """The index is as the record says. False for one that nobody can read."""
        key = record.key or b""
        self._read_back(record.partition, key)
        entry = read_entry(record)
        if entry is not None:
            self.index.put(record.partition, entry, now_ms)
        else:
            self.index.remove(record.partition, key, now_ms)
        return entry is not None or record.value is None

    def park(self, webhook: Webhook, spot: Spot, why: Why, kept: Headers) -> NewRecord:
        """The record that parks the webhook, with these headers."""
        assert webhook.record.key is not None
        place = self.place_of(spot.partition)
        self.sent(place, entry_key(spot), queue_hash(webhook.record.key))
        return parked_record(spot, why, webhook.record.value, webhook.record.key, _named(webhook, kept), place)

    def give_back(self, webhook: Webhook, spot: Spot) -> NewRecord:
        """The record that hands the delivery to whoever runs the webhooks of its key."""
        record = webhook.record
        assert record.key is not None
        told_by = f"{record.partition}-{record.offset}"
        place, kept = self.place_of(spot.partition), _named(webhook, record.headers)
        return parked_record(spot, Why.RETURNED, record.value, record.key, kept, place, told_by)

    def unpark(self, place: int, key: bytes, queue: bytes, request_id: str, source: str) -> NewRecord:
        """The record that ends the entry. `queue`: the hash of the ordering key."""
        self.sent(place, key, queue)
        return unparked_record(key, place, request_id, source)

    def sent(self, place: int, key: bytes, queue: bytes) -> None:
        """A record of this key is about to be sent; `queue`: the hash of the ordering key."""
        self._read_back(place, key)
        self._unread[place, key] = queue
        self._unread_queues[queue] += 1

    def _read_back(self, place: int, key: bytes) -> None:
        hashed = self._unread.pop((place, key), None)
        if hashed is not None:
            self._unread_queues[hashed] -= 1
            if not self._unread_queues[hashed]:
                del self._unread_queues[hashed]


def brought_back(record: Record) -> Record:
    """The record of a parked webhook with the key that it had before."""
    queue = headers.header(record.headers, headers.KEY)
    kept = headers.without_headers(record.headers, _OURS)
    return Record(record.topic, record.partition, record.offset, record.timestamp_ms, queue, record.value, kept)


def _named(webhook: Webhook, kept: Headers) -> Headers:
    """What its place on the log tells of the webhook, its headers tell from now on."""
    return headers.with_headers(kept, place_told(webhook))
