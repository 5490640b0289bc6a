"""Where a reader is on each partition: where it begins, what it committed, and what it could not read any more."""

import asyncio
import contextlib
from collections.abc import Collection, Iterable, Mapping, Sequence

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as NativePartition
from aiokafka.errors import IllegalStateError

from hookmill.records import Span, TopicPartition
from hookmill.telemetry import get_logger

log = get_logger(__name__)


def native(partitions: Iterable[TopicPartition]) -> list[NativePartition]:
    """The partitions as aiokafka wants them. What it returns are tuples equal to ours."""
    return [NativePartition(*partition) for partition in partitions]


class Positions:
    """Positions of one reader; the calls are made on the consumer of the moment."""

    def __init__(self, *, is_group: bool, from_end: bool) -> None:
        self._is_group = is_group
        self._from_end = from_end
        self._starts: dict[TopicPartition, int] = {}
        """The ends at opening, where `from_end` makes them the start of partitions without committed position."""
        self._next: dict[TopicPartition, int] = {}
        """Of a reader without group, what comes after its last span; survives its consumer."""
        self._committed: dict[TopicPartition, int] = {}

    async def open_group(self, consumer: AIOKafkaConsumer, partitions: Collection[TopicPartition]) -> None:
        """The start of every partition is fixed, if that is the end."""
        if self._from_end and not self._starts:
            self._starts = await self.ends(consumer, partitions)

    async def open_alone(self, consumer: AIOKafkaConsumer, partitions: Collection[TopicPartition]) -> None:
        """The consumer is at the start of every partition, or where the one before it ended."""
        if not self._next:
            ask = self.ends if self._from_end else self._beginnings
            self._next = await ask(consumer, partitions)
        self.seek(consumer, self._next)

    async def begin(self, consumer: AIOKafkaConsumer, partition: TopicPartition) -> None:
        """The consumer is at the start of `partition`, of which the group has no committed position."""
        start = self._starts.get(partition)
        if start is None:
            start = (await self._beginnings(consumer, [partition]))[partition]
        self.seek(consumer, {partition: start})

    async def jump(self, consumer: AIOKafkaConsumer, partition: TopicPartition, position: int) -> None:
        """The consumer is at the first record that is left of `partition`, which has nothing at `position`."""
        first = (await self._beginnings(consumer, [partition]))[partition]
        end = (await self.ends(consumer, [partition]))[partition]
        place = {"topic": partition.topic, "partition": partition.partition, "position": position}
        if position < first:
            log.error("log.records_missed", **place, first=first, records=first - position)
        elif position > end:  # the topic was created anew, or the cluster lost its newest records
            log.error("log.position_beyond_end", **place, end=end, first=first)
        self.seek(consumer, {partition: first if not first <= position <= end else position})

    def seek(self, consumer: AIOKafkaConsumer, positions: Mapping[TopicPartition, int]) -> None:
        """The consumer continues at `positions`, but for partitions that went away meanwhile."""
        for partition, position in positions.items():
            with contextlib.suppress(IllegalStateError):
                consumer.seek(NativePartition(*partition), position)
        self._next.update(positions)

    def delivered(self, spans: Sequence[Span]) -> None:
        """The reader has handed out `spans`."""
        for span in spans:
            self._next[span.partition] = span.next_offset

    def committed(self, positions: Mapping[TopicPartition, int]) -> None:
        """The group has `positions`."""
        self._committed.update(positions)

    def forget(self) -> None:
        """Somebody else may commit from now on."""
        self._committed.clear()

    async def ends(
        self, consumer: AIOKafkaConsumer, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """The offset that the next record of each partition will get."""
        return _ours(await consumer.end_offsets(native(partitions)))

    async def lag(
        self, consumer: AIOKafkaConsumer, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Offsets between the committed position, or else the start, and the end of each partition."""
        ends = await self.ends(consumer, partitions)
        if self._is_group:
            await self._learn_committed(consumer, partitions)
            done = self._starts | self._committed
            unread = [partition for partition in partitions if partition not in done]
            done |= await self._beginnings(consumer, unread)
        else:
            done = self._next
        return {partition: max(0, end - done[partition]) for partition, end in ends.items()}

    async def _learn_committed(self, consumer: AIOKafkaConsumer, partitions: Collection[TopicPartition]) -> None:
        """Asked once per ownership: while a partition is ours only we commit it."""
        unknown = [partition for partition in partitions if partition not in self._committed]
        answers = await asyncio.gather(*(consumer.committed(partition) for partition in native(unknown)))
        known = {partition: answer for partition, answer in zip(unknown, answers, strict=True) if answer is not None}
        self._committed = known | self._committed

    async def _beginnings(
        self, consumer: AIOKafkaConsumer, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, int]:
        return _ours(await consumer.beginning_offsets(native(partitions)))


def _ours(offsets: Mapping[NativePartition, int]) -> dict[TopicPartition, int]:
    return {TopicPartition(*partition): offset for partition, offset in offsets.items()}
