"""Which partition each record of a send goes to, in pieces that fit a row."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from zlib import crc32

from hookmill.errors import RecordTooLarge
from hookmill.log.contract import MAX_SPAN_BYTES, MAX_SPAN_RECORDS
from hookmill.log.sqlite.batch import StoredRecord
from hookmill.records import NewRecord, size_bytes
from hookmill.topics import TopicSpec


@dataclass(slots=True)
class Piece:
    """Records for one partition, in order. At most a span's worth, so that a reader never has to cut a row."""

    partition: int
    records: list[StoredRecord] = field(default_factory=list)
    size_bytes: int = 0
    max_timestamp_ms: int = 0

    def has_room(self, count: int, added_bytes: int) -> bool:
        """Whether so much more still fits; one record always does."""
        if not self.records:
            return True
        return len(self.records) + count <= MAX_SPAN_RECORDS and self.size_bytes + added_bytes <= MAX_SPAN_BYTES

    def add(self, records: Sequence[StoredRecord], added_bytes: int, max_timestamp_ms: int) -> None:
        """The records follow those that are there."""
        self.records.extend(records)
        self.size_bytes += added_bytes
        self.max_timestamp_ms = max(self.max_timestamp_ms, max_timestamp_ms)


def place(records: Sequence[NewRecord], spec: TopicSpec, keyless_partition: int, now_ms: int) -> list[Piece]:
    """Every record in one of the pieces, those of a partition in their order.

    Errors: `RecordTooLarge`; `ValueError` for a partition the topic does not have.
    """
    pieces: list[Piece] = []
    open_pieces: dict[int, Piece] = {}
    for record in records:
        size = size_bytes(record.key, record.value, record.headers)
        if size > spec.max_record_bytes:
            raise RecordTooLarge(
                f'Record of {size:,} bytes exceeds the limit of {spec.max_record_bytes:,} bytes of topic "{spec.name}".'
            )
        partition = _partition(record, spec, keyless_partition)
        piece = open_pieces.get(partition)
        if piece is None or not piece.has_room(1, size):
            piece = open_pieces[partition] = Piece(partition)
            pieces.append(piece)
        timestamp_ms = now_ms if record.timestamp_ms is None else record.timestamp_ms
        stored = StoredRecord(timestamp_ms, record.key, record.value, record.headers)
        piece.records.append(stored)
        piece.size_bytes += size
        if timestamp_ms > piece.max_timestamp_ms:
            piece.max_timestamp_ms = timestamp_ms
    return pieces


def joined(pieces: Sequence[Piece]) -> list[Piece]:
    """The same records in as few pieces as fit, those of a partition in their order; what many small sends need."""
    if len(pieces) == 1:
        return list(pieces)
    whole: list[Piece] = []
    open_pieces: dict[int, Piece] = {}
    for piece in pieces:
        into = open_pieces.get(piece.partition)
        if into is None or not into.has_room(len(piece.records), piece.size_bytes):
            into = open_pieces[piece.partition] = Piece(piece.partition)
            whole.append(into)
        into.add(piece.records, piece.size_bytes, piece.max_timestamp_ms)
    return whole


def _partition(record: NewRecord, spec: TopicSpec, keyless_partition: int) -> int:
    if record.partition is not None:
        if not 0 <= record.partition < spec.partitions:
            raise ValueError(
                f'Topic "{spec.name}" has {spec.partitions} partitions, not a partition {record.partition}.'
            )
        return record.partition
    if record.key is not None:
        # Any stable hash does; this one must never change, or the order of a key breaks at the upgrade.
        return crc32(record.key) % spec.partitions
    return keyless_partition
