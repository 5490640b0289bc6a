"""Batches: the rows of a topic's file. Many records in one row make a record cost about a microsecond to store."""

from typing import Final

import msgspec

from hookmill.records import Headers, Record, TopicPartition


class StoredRecord(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A record as stored, without its place."""

    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class StoredBatch(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The body of a row, as MessagePack."""

    records: list[StoredRecord]
    steps: list[int] | None = None
    """Offset of each record less the batch's base offset; `None` while nothing was compacted: 0, 1, 2, ..."""

    def offsets(self, base_offset: int) -> list[int]:
        """Offset of each record."""
        steps = range(len(self.records)) if self.steps is None else self.steps
        return [base_offset + step for step in steps]


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(StoredBatch)


def encode_batch(batch: StoredBatch) -> bytes:
    """The row's body."""
    return _encoder.encode(batch)


def decode_batch(body: bytes) -> StoredBatch:
    """What the row's body says."""
    return _decoder.decode(body)


def records_from(place: TopicPartition, base_offset: int, body: bytes, position: int) -> list[Record]:
    """The row's records at `position` and after it."""
    topic, partition = place
    batch = _decoder.decode(body)
    return [
        Record(topic, partition, offset, stored.timestamp_ms, stored.key, stored.value, stored.headers)
        for offset, stored in zip(batch.offsets(base_offset), batch.records, strict=True)
        if offset >= position
    ]
