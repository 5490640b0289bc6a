"""Fetched records of each partition, handed out as spans."""

from collections.abc import Collection, Iterable, Sequence

from aiokafka import ConsumerRecord

from hookmill.log.contract import MAX_SPAN_BYTES, MAX_SPAN_RECORDS
from hookmill.records import Record, Span, TopicPartition


class SpanBuffer:
    """What was fetched and not yet handed out, per partition in offset order."""

    def __init__(self) -> None:
        self._records: dict[TopicPartition, list[ConsumerRecord]] = {}

    def add(self, partition: TopicPartition, records: Sequence[ConsumerRecord]) -> None:
        """`records` follow what is there of `partition`."""
        self._records.setdefault(partition, []).extend(records)

    def holds(self, partition: TopicPartition) -> bool:
        """Whether a span of `partition` could be taken."""
        return partition in self._records

    def take(self, partitions: Collection[TopicPartition]) -> list[Span]:
        """The next span of each of `partitions` that has one."""
        return [self._take_one(partition) for partition in list(self._records) if partition in partitions]

    def drop(self, partitions: Iterable[TopicPartition]) -> None:
        """Nothing of `partitions` is held."""
        for partition in partitions:
            self._records.pop(partition, None)

    def clear(self) -> None:
        """Nothing is held."""
        self._records.clear()

    def _take_one(self, partition: TopicPartition) -> Span:
        waiting = self._records[partition]
        taken: list[Record] = []
        total_bytes = 0
        for fetched in waiting[:MAX_SPAN_RECORDS]:
            record = _record(fetched)
            total_bytes += record.size_bytes
            if total_bytes > MAX_SPAN_BYTES and taken:
                break
            taken.append(record)
        if len(taken) == len(waiting):
            del self._records[partition]
        else:
            del waiting[: len(taken)]
        return Span(partition, tuple(taken))


def _record(fetched: ConsumerRecord) -> Record:
    return Record(
        topic=fetched.topic,
        partition=fetched.partition,
        offset=fetched.offset,
        timestamp_ms=fetched.timestamp,
        key=fetched.key,
        value=fetched.value,
        headers=fetched.headers,
    )
