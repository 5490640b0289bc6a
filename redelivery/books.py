"""The books: per source and hour, received = delivered + dropped + dead + waiting + in flight, read from the log.

Reading goes in an order that makes true what is concluded: first how far the function stage and the mover have
committed, then where the topics end. Whatever a stage makes of a record is durable before the stage commits, so it is
before those ends; a record beyond the position is in flight, whatever else is not yet to be seen.
"""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

import msgspec

from hookmill import headers
from hookmill.codec import decode_report
from hookmill.errors import ConfigError
from hookmill.ids import place_request_id
from hookmill.log.contract import Log
from hookmill.parked import Why
from hookmill.records import Record, TopicPartition
from hookmill.retry import DELAY_TOPICS
from hookmill.topics import Topic, TopicNames
from redelivery.books_file import BooksFile, Fact
from redelivery.letters import LetterId, Settled, Settlement, read_letter
from redelivery.mover import GROUP as MOVER_GROUP
from redelivery.scan import CLOCK_SKEW_MS, Scan
from redelivery.stages import FUNCTION, topic_of_stage

_HOUR_MS: Final = 3_600_000
_OUTCOMES: Final = (Topic.INVOCATIONS, Topic.EVENTS, Topic.OBJECTS, Topic.DEAD_LETTERS)


@dataclass(frozen=True)
class Readers:
    """Who reads webhooks: the consumer group of the function stage, by its role, and its topics."""

    group: str
    topics: tuple[Topic, ...]


@dataclass(frozen=True)
class Range:
    """Webhooks that the log got from `since_ms` on and before `until_ms`, of one source or of all."""

    since_ms: int
    until_ms: int
    source: str | None = None


async def read_books(log: Log, names: TopicNames, readers: Readers, wanted: Range, books: BooksFile) -> None:
    """Everything that the log tells of these webhooks is in `books`, which are closed. Nobody is disturbed.

    Errors: of the log.
    """
    positions = {
        **await log.committed(names.group(readers.group), [names.full(topic) for topic in readers.topics]),
        **await log.committed(names.group(MOVER_GROUP), [names.full(topic) for topic in DELAY_TOPICS]),
    }
    topics = {names.full(topic): topic for topic in (*readers.topics, *DELAY_TOPICS, *_OUTCOMES)}
    entry = _Entry(books, wanted, positions)
    # What is parked comes to an end after its results are durable: so its topic is measured before the others.
    async with Scan(log, [names.full(Topic.WEBHOOKS_PARKED)]) as parked, Scan(log, list(topics)) as scan:
        async for span in parked.spans(await parked.starts_at(0), parked.ends):
            for record in span.records:
                if record.offset < parked.ends[span.partition]:
                    entry.parked(record, dict(record.headers))
        starts = await scan.starts_at(max(0, wanted.since_ms - CLOCK_SKEW_MS))
        async for span in scan.spans(starts, scan.ends):
            enter = entry.of(topics[span.partition.topic])
            for record in span.records:
                enter(record, dict(record.headers))
    books.close()


class _Entry:
    """Enters records into the books, by topic."""

    def __init__(self, books: BooksFile, wanted: Range, positions: Mapping[TopicPartition, int]) -> None:
        self._books = books
        self._wanted = wanted
        self._positions = positions

    def of(self, topic: Topic) -> Callable[[Record, Mapping[str, bytes]], None]:
        """How records of the topic are entered."""
        match topic:
            case Topic.WEBHOOKS:
                return self._received
            case Topic.INVOCATIONS:
                return self._report
            case Topic.EVENTS | Topic.OBJECTS:
                is_event = topic is Topic.EVENTS
                return lambda record, values: self._message(record, values, is_event=is_event)
            case Topic.DEAD_LETTERS:
                return self._letter
            case _ if topic in DELAY_TOPICS:
                return self._delayed
            case _:
                return self._came_back

    def parked(self, record: Record, values: Mapping[str, bytes]) -> None:
        """On the topic of parked webhooks, all of it: what is parked may be older than the range."""
        key = b"%d %s" % (record.partition, record.key or b"")
        request_id, source = _names(record, values)
        if record.value is None:
            self._books.unparked(key)
        elif self._is_wanted(source) and values.get(headers.PARKED) != Why.DROPPED.value.encode():
            self._books.parked(key, request_id, source)

    def _received(self, record: Record, values: Mapping[str, bytes]) -> None:
        request_id, source = _names(record, values)
        if not self._is_wanted(source):
            return
        if self._wanted.since_ms <= record.timestamp_ms < self._wanted.until_ms:
            hour_ms = record.timestamp_ms // _HOUR_MS * _HOUR_MS
            self._books.received(request_id, source, hour_ms, _place(record))
        if not self._has_passed(record):
            self._books.happened(request_id, source, Fact.IN_FLIGHT)

    def _came_back(self, record: Record, values: Mapping[str, bytes]) -> None:
        """On the topics of the function stage that are not the first."""
        request_id, source = _names(record, values)
        if not self._is_wanted(source):
            return
        redrive_of = values.get(headers.REDRIVE_OF)
        if redrive_of is not None:
            with contextlib.suppress(ConfigError):
                self._books.redriven(LetterId.parse(headers.as_text(redrive_of)), request_id, source)
        self._books.happened(request_id, source, Fact(0) if self._has_passed(record) else Fact.IN_FLIGHT)

    def _delayed(self, record: Record, values: Mapping[str, bytes]) -> None:
        request_id, source = _names(record, values)
        if self._is_wanted(source) and values.get(headers.STAGE) == FUNCTION.encode() and not self._has_passed(record):
            self._books.happened(request_id, source, Fact.WAITING)

    def _report(self, record: Record, values: Mapping[str, bytes]) -> None:
        request_id, source = _names(record, values)
        if not self._is_wanted(source):
            return
        try:
            report = decode_report(record.value or b"")
        except msgspec.DecodeError:
            return  # it tells nothing; whether that is a loss, the other records say
        match report.next:
            case "delivered":
                self._books.delivered(request_id, source, report.events, report.objects)
            case "dropped":
                self._books.happened(request_id, source, Fact.DROPPED)
            case "retry":
                self._books.happened(request_id, source, Fact.RETRIED)
            case "dead":
                self._books.happened(request_id, source, Fact.DIED)

    def _message(self, record: Record, values: Mapping[str, bytes], *, is_event: bool) -> None:
        """Only deliveries of one copy by one version must agree: copies differ in their place, versions in anything."""
        request_id, source = _names(record, values)
        if not self._is_wanted(source):
            return
        made_by = (headers.REQUEST_ID, headers.SOURCE, headers.MESSAGE_ID, headers.ORIGIN)
        code = (headers.FUNCTION_VERSION, headers.GENERATION)
        identity = b"\x00".join(values.get(name, b"") for name in (*made_by, *code))
        self._books.message(
            request_id,
            source,
            is_event=is_event,
            key=blake2b(identity, digest_size=16, person=b"event" if is_event else b"object").digest(),
            content=blake2b(record.value or b"", digest_size=8).digest(),
            place=_place(record),
        )

    def _letter(self, record: Record, values: Mapping[str, bytes]) -> None:
        request_id, source = _names(record, values)
        if not self._is_wanted(source):
            return
        found = read_letter(record)
        if isinstance(found, Settlement):
            self._books.settled(found.id)
            if found.how is Settled.DROPPED:
                self._books.happened(request_id, source, Fact.DROPPED)
        elif topic_of_stage(found.stage) in (Topic.WEBHOOKS_REDELIVERY, None):
            self._books.letter(found.id, request_id, source)

    def _is_wanted(self, source: str) -> bool:
        return self._wanted.source is None or source == self._wanted.source

    def _has_passed(self, record: Record) -> bool:
        return record.offset < self._positions.get(TopicPartition(record.topic, record.partition), 0)


def _names(record: Record, values: Mapping[str, bytes]) -> tuple[str, str]:
    """Request id and source. A webhook of a foreign producer that has no id gets the one that the function stage gives
    it (`processors.webhook`)."""
    request_id = headers.as_text(values.get(headers.REQUEST_ID)) or place_request_id(record)
    return request_id, headers.as_text(values.get(headers.SOURCE))


def _place(record: Record) -> str:
    return f"{record.topic} {record.partition}:{record.offset}"
