"""Records: what travels on the topics of the log, and where on it."""

from typing import NamedTuple

import msgspec

Headers = tuple[tuple[str, bytes], ...]
"""Header pairs in the order they were sent; names are lower-case ASCII and occur once (DESIGN, "Topics")."""


def size_bytes(key: bytes | None, value: bytes | None, headers: Headers) -> int:
    """Bytes of key, value and headers: the measure of every cap on records."""
    size = len(key or b"") + len(value or b"")
    for name, content in headers:
        size += len(name) + len(content)
    return size


class TopicPartition(NamedTuple):
    """One partition of a topic, by the topic's full name (prefix included)."""

    topic: str
    partition: int


class NewRecord(msgspec.Struct, frozen=True, gc=False):
    """A record to be sent.

    `key` chooses the partition: equal keys share one, `None` spreads. `partition` overrules the key.
    `value` may be empty (`b""`); `None` is a tombstone and needs a key (aiokafka 0.14 refuses a record without either).
    `timestamp_ms` is epoch milliseconds UTC; `None` means the time of sending.
    """

    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()
    partition: int | None = None
    timestamp_ms: int | None = None


class Record(msgspec.Struct, frozen=True, gc=False):
    """A record as read: bytes and headers exactly as sent, with its place on the log.

    Offsets of a partition rise but need not be consecutive (compaction leaves gaps).
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers

    @property
    def size_bytes(self) -> int:
        """As `size_bytes`."""
        return size_bytes(self.key, self.value, self.headers)

    def sent_on(self, headers: Headers) -> NewRecord:
        """The record for another topic: key and bytes unchanged, but for one without either, which no log would take
        (see `NewRecord`) and which gets an empty value."""
        value = b"" if self.value is None and self.key is None else self.value
        return NewRecord(value, self.key, headers)


class Span(msgspec.Struct, frozen=True, gc=False):
    """Consecutive records of one partition, in order; never empty. The unit of work between reading and committing."""

    partition: TopicPartition
    records: tuple[Record, ...]

    @property
    def next_offset(self) -> int:
        """The position to commit once every record of the span is done."""
        return self.records[-1].offset + 1
