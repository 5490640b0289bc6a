"""Where a reader is on each partition: where it begins, what it committed, and what it could not read any more."""

import asyncio
import contextlib
from collections.abc import Collection, Iterable, Mapping, Sequence

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as NativePartition
from aiokafka.errors import IllegalStateError, KafkaError

from hookmill.log.kafka.cluster import explain
from hookmill.log.kafka.consumer import committed_positions
from hookmill.log.missed import report_beyond_end, report_missed
from hookmill.records import Span, TopicPartition
from hookmill.telemetry import get_logger

log = get_logger(__name__)


def native(partitions: Iterable[TopicPartition]) -> list[NativePartition]:
    """The partitions as aiokafka wants them. What it returns are tuples equal to ours."""
    return [NativePartition(*partition) for partition in partitions]


class Positions:
    """Positions of one reader; the calls are made on the consumer of the moment."""

    def __init__(self, *, group: str | None, from_end: bool) -> None:
        self._group = group
        self._from_end = from_end
        self._starts: dict[TopicPartition, int] = {}
        """The ends at opening, where `from_end` makes them the start of partitions without committed position."""
        self._next: dict[TopicPartition, int] = {}
        """Of a reader without group, what comes after its last span; survives its consumer."""
        self._bases: dict[TopicPartition, int] = {}
        """Of this ownership, the committed position or else the start; while a partition is ours only we commit it."""
        self._not_begun: set[TopicPartition] = set()
        """Partitions without committed position to whose start the consumer was not yet sent."""
        self._ownerships = 0

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

    async def begin(
        self, consumer: AIOKafkaConsumer, partition: TopicPartition, owned: Collection[TopicPartition]
    ) -> None:
        """The consumer is at the start of `partition`, of which the group has no committed position.

        And of all others of which it has none: asked one by one, each answer waits behind an idle fetch of 500 ms.
        """
        await self._learn_bases(consumer, {partition, *owned})
        waiting = (self._not_begun | {partition}) & self._bases.keys()
        self._not_begun -= waiting
        starts = {place: self._bases[place] for place in waiting}
        self.seek(consumer, starts)
        if not self._from_end:
            await self._keep(consumer, starts)

    async def _keep(self, consumer: AIOKafkaConsumer, starts: Mapping[TopicPartition, int]) -> None:
        """The group stands at `starts`: should it be away before its next commit, what it misses is found, and once."""
        try:
            await consumer.commit(dict(zip(native(starts), starts.values(), strict=True)))
        except (KafkaError, IllegalStateError) as error:
            log.warning("group.start_not_kept", error=explain(error))
        else:
            self.committed(starts)

    async def jump(self, consumer: AIOKafkaConsumer, partition: TopicPartition, position: int) -> None:
        """The consumer is at the first record that is left of `partition`, which has nothing at `position`."""
        first = (await self._beginnings(consumer, [partition]))[partition]
        end = (await self.ends(consumer, [partition]))[partition]
        if position < first:
            report_missed(self._group, partition, position, first)
            await self._pass_gap(consumer, partition, position, first)
        elif position > end:
            report_beyond_end(partition, position, (first, end))
        self.seek(consumer, {partition: first if not first <= position <= end else position})

    async def _pass_gap(self, consumer: AIOKafkaConsumer, partition: TopicPartition, position: int, first: int) -> None:
        """The group stands behind the gap, unless records before it are still in work."""
        if self._group is None:
            return
        await self._learn_bases(consumer, {partition})
        if self._bases.get(partition) == position:
            await self._keep(consumer, {partition: first})

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
        self._bases.update(positions)

    def forget(self) -> None:
        """Somebody else may commit from now on."""
        self._bases.clear()
        self._not_begun.clear()
        self._ownerships += 1

    async def ends(
        self, consumer: AIOKafkaConsumer, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """The offset that the next record of each partition will get."""
        return _ours(await consumer.end_offsets(native(partitions)))

    async def lag(
        self, consumer: AIOKafkaConsumer, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Offsets between the committed position, or else the start, and the end of each partition."""
        if self._group is None:
            ends = await self.ends(consumer, partitions)
            return {partition: max(0, end - self._next[partition]) for partition, end in ends.items()}
        ends, _ = await asyncio.gather(self.ends(consumer, partitions), self._learn_bases(consumer, partitions))
        return {
            partition: max(0, end - self._bases[partition])
            for partition, end in ends.items()
            if partition in self._bases
        }

    async def _learn_bases(self, consumer: AIOKafkaConsumer, partitions: Collection[TopicPartition]) -> None:
        unknown = set(partitions) - self._bases.keys()
        if not unknown:
            return
        ownership = self._ownerships
        committed = _ours(await committed_positions(consumer, native(unknown)))
        lacking = unknown - committed.keys()
        starts = {partition: self._starts[partition] for partition in lacking & self._starts.keys()}
        starts |= await self._beginnings(consumer, lacking - starts.keys())
        if ownership == self._ownerships:  # else the answers are about partitions that went away meanwhile
            self._bases = committed | starts | self._bases
            self._not_begun |= lacking

    async def _beginnings(
        self, consumer: AIOKafkaConsumer, partitions: Collection[TopicPartition]
    ) -> dict[TopicPartition, int]:
        return _ours(await consumer.beginning_offsets(native(partitions)))


def _ours(offsets: Mapping[NativePartition, int]) -> dict[TopicPartition, int]:
    return {TopicPartition(*partition): offset for partition, offset in offsets.items()}
