"""Reading the files of topics: spans from a position on, ends, and the record of a time. Blocking; for one thread."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from hookmill.log.contract import MAX_SPAN_BYTES, MAX_SPAN_RECORDS
from hookmill.log.sqlite.batch import decode_batch, records_from
from hookmill.log.sqlite.database import Execute
from hookmill.log.sqlite.topic_file import OFFSET_BITS, OpenTopic, open_topic
from hookmill.records import Record, Span, TopicPartition


class Bounds(NamedTuple):
    """What a partition holds: offsets from `first` on, less than `end`."""

    first: int
    end: int


class Fetched(NamedTuple):
    """What was found at a position."""

    place: TopicPartition
    asked: int
    """The position that was asked for."""
    span: Span | None
    resumes_at: int
    """Where to ask next; before `asked`, if that was beyond the end."""
    bounds: Bounds
    skipped: int
    """Offsets that retention removed before they were asked for."""


class TopicFiles:
    """The files of some topics, open for reading."""

    def __init__(self, folder: Path, topics: Iterable[str]) -> None:
        """Errors: `TopicMissing`, `LogUnavailable`."""
        self._topics: dict[str, OpenTopic] = {}
        with contextlib.ExitStack() as opened:
            for name in topics:
                topic = open_topic(folder, name, synchronous="NORMAL")
                opened.callback(topic.database.close)
                topic.database.connection.execute("PRAGMA query_only=ON")
                self._topics[name] = topic
            self._opened = opened.pop_all()

    def close(self) -> None:
        """The files are closed."""
        self._opened.close()

    @property
    def partitions(self) -> dict[str, int]:
        """Number of partitions by topic."""
        return {name: topic.spec.partitions for name, topic in self._topics.items()}

    def writes(self) -> tuple[int, ...]:
        """Changes when a topic does, but for what `WriteLock.writes` says. Cheap, and for any thread."""
        return tuple(topic.database.lock.writes() for topic in self._topics.values())

    def bounds(self) -> dict[TopicPartition, Bounds]:
        """What every partition holds now."""
        found: dict[TopicPartition, Bounds] = {}
        for name, topic in self._topics.items():
            with topic.database.reading() as execute:
                for partition, *bounds in execute("SELECT partition, first_offset, next_offset FROM partitions"):
                    found[TopicPartition(name, partition)] = Bounds(*bounds)
        return found

    def fetch(self, positions: Mapping[TopicPartition, int]) -> list[Fetched]:
        """What is at the positions; nothing of partitions that are read to their end."""
        bounds = self.bounds()
        return [
            self._fetch_from(place, position, bounds[place])
            for place, position in positions.items()
            if position != bounds[place].end
        ]

    def offset_at_time(self, place: TopicPartition, timestamp_ms: int) -> int:
        """Offset of the first record with this timestamp or a later one; the end if there is none."""
        topic = self._topics[place.topic]
        query = """SELECT base_offset, body FROM batches
                   WHERE id >= ? AND id < ? AND max_timestamp_ms >= ? ORDER BY id LIMIT 1"""
        with topic.database.reading() as execute:
            end = self.bounds()[place].end
            low = place.partition << OFFSET_BITS
            row = execute(query, (low, low + (1 << OFFSET_BITS), timestamp_ms)).fetchone()
        if row is None:
            return end
        batch = decode_batch(row[1])
        timed = zip(batch.offsets(row[0]), batch.records, strict=True)
        return next((offset for offset, record in timed if record.timestamp_ms >= timestamp_ms), end)

    def _fetch_from(self, place: TopicPartition, position: int, bounds: Bounds) -> Fetched:
        if position > bounds.end:
            return Fetched(place, position, None, bounds.first, bounds, 0)
        topic = self._topics[place.topic]
        records: list[Record] = []
        with topic.database.reading() as execute:
            for base_offset, body in _rows(execute, place.partition, position):
                records += records_from(place, base_offset, body, position)
        span = Span(place, tuple(records)) if records else None
        found_at = records[0].offset if records else bounds.end
        # Only compaction leaves gaps that are no loss.
        skipped = 0 if topic.spec.is_compacted else found_at - position
        return Fetched(place, position, span, span.next_offset if span else bounds.end, bounds, skipped)


def _rows(execute: Execute, partition: int, position: int) -> Iterator[tuple[int, bytes]]:
    """Whole rows up to the bounds of a span; the first in any case, since the sender makes none larger."""
    low = partition << OFFSET_BITS
    query = "SELECT base_offset, body, count, size_bytes FROM batches WHERE id >= ? AND id < ? ORDER BY id"
    total_records = total_bytes = 0
    with contextlib.closing(execute(query, (low + position, low + (1 << OFFSET_BITS)))) as rows:
        for base_offset, body, count, size_bytes in rows:
            total_records += count
            total_bytes += size_bytes
            if total_records > count and (total_records > MAX_SPAN_RECORDS or total_bytes > MAX_SPAN_BYTES):
                return
            yield base_offset, body
