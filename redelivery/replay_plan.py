"""What a replay takes and what it asks for: decided once, kept in its journal, the same after every resume."""

from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property

import msgspec

from hookmill import headers
from hookmill.ids import place_request_id
from hookmill.records import NewRecord, Record
from redelivery.replay_where import Condition, all_hold, parse_condition


class Mode(StrEnum):
    """What the outputs of a replay do where outputs of the same webhooks are."""

    REPAIR = "repair"
    """They only appear where something is missing."""
    RECOMPUTE = "recompute"
    """They take the place of what is there."""


class ReplayPlan(msgspec.Struct, frozen=True, dict=True):
    """One replay. Times are of receipt, epoch milliseconds, `from_ms` inclusive."""

    id: str
    created_at_ms: int
    source: str
    from_ms: int
    to_ms: int
    where: tuple[str, ...]
    mode: Mode
    function_version: str
    """Empty: what is deployed when the webhook runs."""
    to_sink: str
    """Empty: all sinks."""
    per_second: float
    """Webhooks sent in a second at most; 0: as fast as the log takes them."""
    topic: str
    log: str
    """Where `starts` and `ends` hold: `Log.description`."""
    starts: Mapping[int, int]
    ends: Mapping[int, int]
    """Offsets by partition of the topic `webhooks`: everything of the range lies between them."""

    @property
    def generation(self) -> int:
        """See `headers.GENERATION`: of two recomputes the later one wins."""
        return headers.REPAIR_GENERATION if self.mode is Mode.REPAIR else self.created_at_ms

    def takes(self, record: Record) -> bool:
        """The webhook is one of this replay."""
        return (
            self.starts.get(record.partition, record.offset + 1) <= record.offset < self.ends.get(record.partition, 0)
            and headers.text_header(record.headers, headers.SOURCE) == self.source
            and self.from_ms * 1_000 <= received_at_us(record) < self.to_ms * 1_000
            and all_hold(self._conditions, record)
        )

    def replayed(self, record: Record) -> NewRecord:
        """The webhook once more, as a first delivery with the ids and the origin that it has: its bytes unchanged."""
        changes = {
            **_identity(record),
            headers.DELIVERY_COUNT: b"1",
            headers.REPLAY_ID: self.id.encode(),
            headers.GENERATION: b"%d" % self.generation,
        }
        if self.function_version:
            changes[headers.REPLAY_VERSION] = self.function_version.encode()
        if self.to_sink:
            changes[headers.REPLAY_TO] = self.to_sink.encode()
        return record.sent_on(headers.with_headers(record.headers, changes))

    @cached_property
    def _conditions(self) -> list[Condition]:
        return [parse_condition(text) for text in self.where]


def received_at_us(record: Record) -> int:
    """The time of receipt, the record's own where a foreign producer told none."""
    return headers.int_header(record.headers, headers.RECEIVED_AT, record.timestamp_ms * 1_000)


def _identity(record: Record) -> dict[str, bytes]:
    """What the function stage would take from the record's place and time, told in headers: those are new now."""
    return {
        headers.ORIGIN: headers.header(record.headers, headers.ORIGIN) or _place(record),
        headers.REQUEST_ID: headers.header(record.headers, headers.REQUEST_ID) or place_request_id(record).encode(),
        headers.RECEIVED_AT: b"%d" % received_at_us(record),
    }


def _place(record: Record) -> bytes:
    return f"{record.topic}:{record.partition}:{record.offset}".encode()
