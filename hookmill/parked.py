"""Parked webhooks: those of ordered sources that may not run yet, as records of one topic.

Each webhook has one entry there under its place on `webhooks`, and the newest record of a key is what holds; without a
value it says that the webhook is parked no more. Deliveries that come back, and dead letters that are dropped, have
entries of their own beside it, so that no writer overwrites what it has not seen.
"""

import re
from enum import StrEnum
from typing import Final, NamedTuple

from hookmill import headers
from hookmill.records import Headers, NewRecord, Record
from hookmill.topics import DAY_MS

LETTER_KEPT_MS: Final = 30 * DAY_MS
"""How long a dead letter is there to be redriven: the retention of its topic."""

_KEY: Final = re.compile(rb"(\d{1,9}):(\d{1,18})(?:/.+)?", re.DOTALL)


class Why(StrEnum):
    """Why an entry is there."""

    QUEUED = "queued"
    """It waits for its turn, behind others of its key or for a runner."""
    FAILED = "failed"
    """It failed and is tried again at its `not-before`."""
    DEAD = "dead"
    """It is a dead letter; those behind it wait until that is settled."""
    RETURNED = "returned"
    """It is delivered again, by a retry or a redrive."""
    DROPPED = "dropped"
    """Its dead letter was dropped: no webhook, only that news."""


_BEFORE: Final = {Why.DROPPED: 0, Why.RETURNED: 1}
"""Of one webhook, what is looked at first: news go before the state that they change."""


class Spot(NamedTuple):
    """Partition and offset on `webhooks`: what webhooks of one key are ordered by, however often they are written."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"


class Entry(NamedTuple):
    """What a record of the topic says."""

    key: bytes
    offset: int
    """Where the record is on its partition of the topic."""
    source: str
    queue: bytes
    """The ordering key."""
    spot: Spot
    rank: int
    why: Why
    ready_at_ms: int
    """When it may run, or, of a dead letter, when it is there no more; 0 for at once."""
    size_bytes: int


def entry_key(spot: Spot, told_by: str = "") -> bytes:
    """Key of a webhook's entry, or of what `told_by` says of it."""
    return f"{spot}/{told_by}".encode() if told_by else str(spot).encode()


def parked_record(
    spot: Spot,
    why: Why,
    value: bytes | None,
    queue: bytes,
    kept: Headers,
    partition: int,
    told_by: str = "",
) -> NewRecord:
    """The entry of a webhook with these headers."""
    changes = {headers.KEY: queue, headers.PARKED: why.value.encode()}
    return NewRecord(value or b"", entry_key(spot, told_by), headers.with_headers(kept, changes), partition)


def unparked_record(key: bytes, partition: int, request_id: str, source: str) -> NewRecord:
    """The entry of this key is no more."""
    said = (
        (headers.FORMAT, headers.FORMAT_VERSION),
        (headers.REQUEST_ID, request_id.encode()),
        (headers.SOURCE, source.encode()),
    )
    return NewRecord(None, key, said, partition)


def read_entry(record: Record) -> Entry | None:
    """What the record says; `None` if it is none of ours, or the end of an entry."""
    values = dict(record.headers)
    parsed = _KEY.fullmatch(record.key or b"")
    queue = values.get(headers.KEY)
    try:
        why = Why(headers.as_text(values.get(headers.PARKED)))
    except ValueError:
        return None
    if record.key is None or record.value is None or parsed is None or queue is None:
        return None
    return Entry(
        key=record.key,
        offset=record.offset,
        source=headers.as_text(values.get(headers.SOURCE)),
        queue=queue,
        spot=Spot(int(parsed[1]), int(parsed[2])),
        rank=_BEFORE.get(why, 2),
        why=why,
        ready_at_ms=_ready_at_ms(why, record),
        size_bytes=record.size_bytes,
    )


def spot_of(kept: Headers, topic: str) -> Spot | None:
    """The place on `webhooks`, whose full name is `topic`, that the header `origin` tells."""
    named, _, offset = headers.text_header(kept, headers.ORIGIN).rpartition(":")
    named, _, partition = named.rpartition(":")
    parsed = _KEY.fullmatch(f"{partition}:{offset}".encode("utf-8", "replace"))
    return Spot(int(parsed[1]), int(parsed[2])) if named == topic and parsed else None


def _ready_at_ms(why: Why, record: Record) -> int:
    match why:
        case Why.FAILED:
            return headers.int_header(record.headers, headers.NOT_BEFORE, 0)
        case Why.DEAD:
            return headers.int_header(record.headers, headers.LAST_FAILED_AT, record.timestamp_ms) + LETTER_KEPT_MS
        case _:
            return 0
