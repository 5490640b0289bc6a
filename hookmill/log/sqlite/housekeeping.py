"""What the folder forgets: records past their retention, and on compacted topics what a newer record replaced."""

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from hookmill.log.sqlite.batch import StoredBatch, decode_batch, encode_batch
from hookmill.log.sqlite.database import Execute
from hookmill.log.sqlite.topic_file import OFFSET_BITS, OpenTopic, open_topic, topic_names
from hookmill.records import TopicPartition, size_bytes
from hookmill.topics import DAY_MS, KEPT

_ROWS_PER_STEP: Final = 200
"""Rows deleted per transaction, at most 200 MiB: senders wait for the lock in between."""

_TOMBSTONE_MS: Final = DAY_MS
"""How long a tombstone stays, for readers that are behind; Kafka's `delete.retention.ms` default."""


def keep_house(folder: Path, now_ms: int, is_stopped: Callable[[], bool]) -> None:
    """Every topic of the folder holds what it must and little else; less was done if `is_stopped` meanwhile.

    Any number of processes may do it at once. Errors: `LogError`.
    """
    for name in topic_names(folder):
        topic = open_topic(folder, name, synchronous="NORMAL")
        with contextlib.closing(topic.database):
            for partition in range(topic.spec.partitions):
                if topic.spec.retention_ms is None:
                    _compact(topic, partition, now_ms - _TOMBSTONE_MS)
                elif topic.spec.retention_ms != KEPT:
                    before_ms = now_ms - topic.spec.retention_ms
                    while not is_stopped() and _expire_some(topic, partition, before_ms):
                        pass


def forget(folder: Path, positions: Mapping[TopicPartition, int]) -> None:
    """Rows that hold nothing from the positions on are gone. Errors: `TopicMissing`, `LogUnavailable`."""
    for place, position in positions.items():
        topic = open_topic(folder, place.topic, synchronous="NORMAL")
        with contextlib.closing(topic.database):
            while _forget_some(topic, place.partition, position):
                pass


def _forget_some(topic: OpenTopic, partition: int, position: int) -> bool:
    """The oldest rows that end before the position are gone; whether there may be more."""
    low = partition << OFFSET_BITS
    oldest = "SELECT id FROM batches WHERE id >= ? AND id < ? ORDER BY id LIMIT ?"
    with topic.database.reading() as execute:
        rows = execute(oldest, (low, low + position, _ROWS_PER_STEP)).fetchall()
    if rows:
        _delete_to(topic, partition, rows[-1][0])
    return len(rows) == _ROWS_PER_STEP


def _expire_some(topic: OpenTopic, partition: int, before_ms: int) -> bool:
    """The oldest rows are gone if all they hold is older; whether there may be more."""
    low = partition << OFFSET_BITS
    oldest = "SELECT id, max_timestamp_ms FROM batches WHERE id >= ? AND id < ? ORDER BY id LIMIT ?"
    bounds = (low, low + (1 << OFFSET_BITS), _ROWS_PER_STEP)
    last_expired = None
    with topic.database.reading() as execute, contextlib.closing(execute(oldest, bounds)) as rows:
        for row_id, max_timestamp_ms in rows:
            if max_timestamp_ms >= before_ms:
                break
            last_expired = row_id
    if last_expired is None:
        return False
    _delete_to(topic, partition, last_expired)
    return True


def _delete_to(topic: OpenTopic, partition: int, last_id: int) -> None:
    """The row and all before it are gone."""
    low = partition << OFFSET_BITS
    with topic.database.writing() as execute:
        execute("DELETE FROM batches WHERE id >= ? AND id <= ?", (low, last_id))
        # Another process may have gone further meanwhile.
        execute(
            "UPDATE partitions SET first_offset = max(first_offset, ?) WHERE partition = ?",
            (last_id - low + 1, partition),
        )


def _compact(topic: OpenTopic, partition: int, tombstones_before_ms: int) -> None:
    """Of each key the newest record is left, where it was.

    In one transaction: compacted topics are small (the registry), and two processes at it must not undo each other.
    """
    ends = "SELECT next_offset, compacted_to FROM partitions WHERE partition = ?"
    with topic.database.reading() as execute:
        next_offset, compacted_to = execute(ends, (partition,)).fetchone()
    if next_offset == compacted_to:
        return
    with topic.database.writing() as execute:
        low = partition << OFFSET_BITS
        query = "SELECT id, body FROM batches WHERE id >= ? AND id < ? ORDER BY id DESC"
        rows = execute(query, (low, low + (1 << OFFSET_BITS))).fetchall()
        seen: set[bytes | None] = set()
        has_tombstones = False
        for row_id, body in rows:
            batch = decode_batch(body)
            kept = _without_replaced(batch, seen, tombstones_before_ms)
            has_tombstones = has_tombstones or any(record.value is None for record in kept.records)
            if len(kept.records) < len(batch.records):
                _replace(execute, row_id, kept)
        # Tombstones go later, without a new record: then there is work left.
        done = "UPDATE partitions SET compacted_to = CASE WHEN ? THEN 0 ELSE next_offset END WHERE partition = ?"
        execute(done, (has_tombstones, partition))


def _without_replaced(batch: StoredBatch, seen: set[bytes | None], tombstones_before_ms: int) -> StoredBatch:
    """The batch less what `seen`, the keys of newer records, replaces; its own keys are added."""
    kept = []
    for step, record in zip(reversed(batch.offsets(0)), reversed(batch.records), strict=True):
        is_newest = record.key not in seen
        seen.add(record.key)
        is_spent = record.value is None and record.timestamp_ms < tombstones_before_ms
        if is_newest and not is_spent:
            kept.append((step, record))
    kept.reverse()
    return StoredBatch([record for _, record in kept], [step for step, _ in kept])


def _replace(execute: Execute, row_id: int, batch: StoredBatch) -> None:
    if not batch.records:
        execute("DELETE FROM batches WHERE id = ?", (row_id,))
        return
    size = sum(size_bytes(record.key, record.value, record.headers) for record in batch.records)
    execute(
        "UPDATE batches SET count = ?, size_bytes = ?, body = ? WHERE id = ?",
        (len(batch.records), size, encode_batch(batch), row_id),
    )
