"""Records of one send as batches: which partition each goes to, and cut to the size that the topic takes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aiokafka.producer.message_accumulator import BatchBuilder

from hookmill.errors import RecordTooLarge
from hookmill.log.kafka.murmur2 import hashes
from hookmill.log.kafka.topics import BATCH_HEADROOM_BYTES
from hookmill.records import NewRecord, size_bytes
from hookmill.topics import MAX_RECORD_BYTES

_FULL_BATCH_BYTES = 1_048_576
"""A partition has one batch in flight, so its throughput is this per round trip (RELIABILITY A4)."""


@dataclass(frozen=True)
class Destination:
    """A topic as the sender sees it."""

    topic: str
    partitions: int
    max_batch_bytes: int

    @property
    def max_record_bytes(self) -> int:
        """Largest record, measured as everywhere by `size_bytes`."""
        return min(MAX_RECORD_BYTES, self.max_batch_bytes - BATCH_HEADROOM_BYTES)


class Batch(BatchBuilder):  # type: ignore[misc]  # aiokafka's producer has no types
    """Records for one partition as they are sent; uncompressed."""

    def __init__(self, full_bytes: int) -> None:
        super().__init__(full_bytes, 0)
        self.records: list[NewRecord] = []

    def add(self, record: NewRecord) -> bool:
        """Whether there was room; there is always for a first one.

        aiokafka's `append` asks for serializers first, which takes longer than the rest.
        """
        added = self._builder.append(
            self._relative_offset, record.timestamp_ms, record.key, record.value, list(record.headers)
        )
        if added is None:
            return False
        self._relative_offset += 1
        self.records.append(record)
        return True


def pack(records: Sequence[NewRecord], destination: Destination, keyless_partition: int) -> list[tuple[int, Batch]]:
    """Batches with their partitions; those of one partition in the order of the records.

    Errors: `RecordTooLarge`; `ValueError` for a partition that the topic does not have, or neither key nor value.
    """
    full_bytes = min(_FULL_BATCH_BYTES, destination.max_batch_bytes)
    batches: list[tuple[int, Batch]] = []
    filling: dict[int, Batch] = {}
    by_key = partitions_of((record.key for record in records if record.key is not None), destination.partitions)
    for record in records:
        key = record.key
        partition = record.partition
        if partition is None:
            partition = keyless_partition if key is None else by_key[key]
        elif not 0 <= partition < destination.partitions:
            raise ValueError(
                f'Topic "{destination.topic}" has {destination.partitions} partitions, not a partition {partition}.'
            )
        if record.value is None and key is None:
            raise ValueError("A record without value is a tombstone and needs a key.")
        while (batch := filling.get(partition)) is None or not batch.add(record):
            filling[partition] = Batch(full_bytes)
            batches.append((partition, filling[partition]))
    if any(batch.size() > destination.max_record_bytes for _, batch in batches):
        _refuse_too_large(records, destination)
    return batches


def partitions_of(keys: Iterable[bytes], partitions: int) -> dict[bytes, int]:
    """Where Kafka's Java clients send each key, so that producers of both kinds agree."""
    different = list(set(keys))  # often few: reports of one source, messages about one person
    return {key: (value & 0x7FFFFFFF) % partitions for key, value in zip(different, hashes(different), strict=True)}


def _refuse_too_large(records: Sequence[NewRecord], destination: Destination) -> None:
    for record in records:
        size = size_bytes(record.key, record.value, record.headers)
        if size > destination.max_record_bytes:
            raise RecordTooLarge(
                f"Record of {size:,} bytes exceeds the limit of {destination.max_record_bytes:,} bytes"
                f' of topic "{destination.topic}".'
            )
