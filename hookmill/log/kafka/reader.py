"""Reads partitions of Kafka topics as spans: one member of a group, or a reader on its own."""

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import CommitFailedError, IllegalStateError, NoOffsetForPartitionError, OffsetOutOfRangeError

from hookmill.errors import CommitRefused, LogUnavailable
from hookmill.log.contract import RebalanceListener
from hookmill.log.kafka.cluster import Cluster
from hookmill.log.kafka.consumer import close_consumer, has_lost_membership, is_dead, new_consumer
from hookmill.log.kafka.membership import Membership
from hookmill.log.kafka.ownership import Ownership
from hookmill.log.kafka.positions import Positions, native
from hookmill.log.kafka.spans import SpanBuffer
from hookmill.log.kafka.topics import partitions_of
from hookmill.records import Span, TopicPartition
from hookmill.telemetry import get_logger

log = get_logger(__name__)

_QUIET_S = 30.0
"""After so long without a record the cluster is asked for a sign of life: aiokafka waits for brokers for ever."""
_FETCH_GRACE_S = 0.05
"""aiokafka keeps its own deadline but for a group that settles; ours comes after it."""


class KafkaReader:
    """`RecordReader` on Kafka."""

    def __init__(
        self,
        cluster: Cluster,
        topics: Sequence[str],
        *,
        group: str | None,
        listener: RebalanceListener | None,
        from_end: bool,
        members: Path | None,
    ) -> None:
        self._cluster = cluster
        self._topics = tuple(topics)
        self._group = group
        self._membership = Membership(members, group)
        self._ownership = Ownership(listener, joined=self._announce, has_lost=self._has_lost, forget=self._forget)
        self._buffer = SpanBuffer()
        self._positions = Positions(group=group, from_end=from_end)
        self._consumer: AIOKafkaConsumer | None = None
        self._is_open = False
        self._heard_at = 0.0

    async def __aenter__(self) -> Self:
        self._is_open = True
        await self._connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._ownership.end()
        finally:
            self._is_open = False
            try:
                await self._disconnect()
            finally:
                self._membership.end()

    async def poll(self, timeout_s: float) -> Sequence[Span]:
        """See `RecordReader.poll`."""
        ends_at = time.monotonic() + timeout_s
        while True:
            self._ownership.raise_failure()
            await self._fetch(max(0.0, ends_at - time.monotonic()))
            spans = self._buffer.take(self._ownership.readable)
            if spans:
                self._heard_at = time.monotonic()
                self._positions.delivered(spans)
                return spans
            if time.monotonic() >= ends_at:
                await self._listen_for_life()
                return []

    async def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        """See `RecordReader.commit`."""
        if self._group is None:
            raise RuntimeError("A reader without group commits nothing.")
        if lost := positions.keys() - self._ownership.owned:
            raise CommitRefused(lost)
        async with self._cluster.within(self._deadline_s, "take a commit"):
            try:
                await self._live().commit(dict(zip(native(positions), positions.values(), strict=True)))
            except (CommitFailedError, IllegalStateError) as error:
                raise CommitRefused(positions) from error
        self._positions.committed(positions)

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        """See `RecordReader.pause`."""
        if known := self._ownership.pause(partitions):
            self._live().pause(*native(known))

    def resume(self, partitions: Collection[TopicPartition]) -> None:
        """See `RecordReader.resume`."""
        if known := self._ownership.resume(partitions):
            self._live().resume(*native(known))

    async def positions_at_time(self, timestamp_ms: int) -> Mapping[TopicPartition, int]:
        """See `RecordReader.positions_at_time`."""
        owned = self._ownership.owned
        async with self._cluster.within(self._deadline_s, "find a time"):
            # The ends first: a record that comes between the two answers is then read, not skipped.
            ends = await self._positions.ends(self._live(), owned)
            found = await self._live().offsets_for_times(dict.fromkeys(native(owned), max(0, timestamp_ms)))
        return {place: found[place].offset if found[place] else ends[place] for place in owned}

    async def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        """See `RecordReader.seek`."""
        owned = {place: positions[place] for place in self._ownership.owned & positions.keys()}
        self._buffer.drop(owned)
        self._positions.seek(self._live(), owned)

    def assignment(self) -> frozenset[TopicPartition]:
        """See `RecordReader.assignment`."""
        return self._ownership.owned

    async def end_positions(self) -> Mapping[TopicPartition, int]:
        """See `RecordReader.end_positions`."""
        async with self._cluster.within(self._deadline_s, "tell the ends of partitions"):
            return await self._positions.ends(self._live(), self._ownership.owned)

    async def lag(self) -> Mapping[TopicPartition, int]:
        """See `RecordReader.lag`."""
        async with self._cluster.within(self._deadline_s, "tell the committed positions"):
            return await self._positions.lag(self._live(), self._ownership.owned)

    @property
    def _deadline_s(self) -> float:
        return self._cluster.config.connect_timeout_s

    def _live(self) -> AIOKafkaConsumer:
        if not self._is_open:
            raise RuntimeError("The reader is not open.")
        if self._consumer is None:
            raise LogUnavailable(f"The reader has lost {self._cluster}; polling connects it again.")
        return self._consumer

    def _announce(self) -> None:
        """With each poll, as others may be waited for, and before the listener hears what is ours."""
        if self._consumer is not None:
            self._membership.announce(self._consumer)

    def _has_lost(self) -> bool:
        return self._group is not None and (self._consumer is None or has_lost_membership(self._consumer))

    def _forget(self) -> None:
        """Nothing is owned any more: what was fetched of it and what was committed is of no use."""
        self._buffer.clear()
        self._positions.forget()

    async def _fetch(self, timeout_s: float) -> None:
        """What came within `timeout_s`, or at once when a span waits already, is in the buffer."""
        consumer = await self._revived()
        self._announce()
        readable = self._ownership.readable
        drained = [partition for partition in readable if not self._buffer.holds(partition)]
        if len(drained) < len(readable):
            timeout_s = 0.0
            if not drained:
                return
        async with self._cluster.within(timeout_s + self._deadline_s, "answer"):
            try:
                async with asyncio.timeout(timeout_s + _FETCH_GRACE_S):
                    fetched = await consumer.getmany(*native(drained), timeout_ms=int(timeout_s * 1_000))
            except TimeoutError:
                return
            except NoOffsetForPartitionError as error:
                await self._positions.begin(consumer, TopicPartition(*error.args[0]), self._ownership.owned)
            except OffsetOutOfRangeError as error:
                for partition, position in error.args[0].items():
                    await self._positions.jump(consumer, TopicPartition(*partition), position)
            else:
                for partition, records in fetched.items():
                    self._buffer.add(TopicPartition(*partition), records)

    async def _revived(self) -> AIOKafkaConsumer:
        """The consumer, a new one if the last has died or could not be opened."""
        if self._consumer is not None and is_dead(self._consumer):
            log.error("kafka.consumer_died", topics=self._topics, group=self._group)
            self._ownership.lose()
            await self._disconnect()
        if self._consumer is None and self._is_open:
            await self._connect()
        return self._live()

    async def _connect(self) -> None:
        counts = await partitions_of(self._cluster, self._topics)
        partitions = [TopicPartition(topic, number) for topic, count in counts.items() for number in range(count)]
        consumer = new_consumer(self._cluster, self._group)
        await self._cluster.open(consumer.start, partial(close_consumer, consumer))
        self._consumer = consumer
        try:
            await self._membership.release_dead(consumer)
            async with self._cluster.within(self._deadline_s, "open a reader"):
                await self._take_up(consumer, partitions)
            await self._membership.announce_first(consumer)
        except BaseException:
            await self._disconnect()
            raise
        self._heard_at = time.monotonic()

    async def _take_up(self, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]) -> None:
        if self._group is None:
            consumer.assign(native(partitions))
            await self._positions.open_alone(consumer, partitions)
            await self._ownership.gain(partitions)
        else:
            await self._positions.open_group(consumer, partitions)
            consumer.subscribe(self._topics, listener=self._ownership)

    async def _disconnect(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await close_consumer(consumer)

    async def _listen_for_life(self) -> None:
        """Errors: `LogUnavailable` when there was no record for long and the cluster does not answer either."""
        if time.monotonic() - self._heard_at < _QUIET_S:
            return
        async with self._cluster.within(self._deadline_s, "answer"):
            if self._ownership.owned:
                await self._positions.ends(self._live(), self._ownership.owned)
            else:
                await self._live().topics()
        self._heard_at = time.monotonic()
