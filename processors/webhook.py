"""A webhook as the function stage sees it: what its record says, and the invocation to make of it."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

import msgspec

from hookmill import headers
from hookmill.codec import decode_http
from hookmill.ids import place_request_id
from hookmill.records import Record
from processors.failure import Failure, Reason
from processors.runtimes.contract import Invocation

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_INSTANT_US: Final = 253_402_300_799_999_999
"""Last microsecond of the year 9999, where `datetime` ends: a forged header must not be an exception."""


class Origin(msgspec.Struct, frozen=True, gc=False):
    """Where the webhook was stored first, whatever topics it has passed since."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}:{self.partition}:{self.offset}"


class Replay(msgspec.Struct, frozen=True, gc=False):
    """Why the webhook comes again, and what is asked of that. Texts may be empty: nothing is asked."""

    id: str
    generation: int
    """That of everything made now (`headers.GENERATION`)."""
    function_version: str
    """The version that has to run."""
    sink: str
    """The one that gets what comes of it."""


class Webhook(msgspec.Struct, frozen=True, gc=False):
    """One record of the `webhooks` topics. Never invalid: what is missing or malformed has a defined stand-in."""

    record: Record
    source: str
    """May be empty: then nobody can run it."""
    request_id: str
    received_at_us: int
    origin: Origin
    delivery_count: int
    format: bytes | None = None
    """Header `format`."""
    http: bytes | None = None
    """Header `http`, unread."""
    replay: Replay | None = None

    @property
    def received_at(self) -> str:
        """ISO 8601, UTC, milliseconds."""
        return iso_milliseconds(self.received_at_us)


def read_webhook(record: Record) -> Webhook:
    """The webhook of a record.

    A record of a foreign producer may lack headers: request id and instant are then those of its place on the log, and
    headers tell them wherever it is sent on.
    """
    values = dict(record.headers)  # of repeated headers the last one counts, as in `headers.header`
    origin = _origin(record, values.get(headers.ORIGIN))
    received_at_us = headers.as_int(values.get(headers.RECEIVED_AT), -1)
    if not 0 <= received_at_us <= _MAX_INSTANT_US:
        received_at_us = min(max(record.timestamp_ms, 0) * 1_000, _MAX_INSTANT_US)
    return Webhook(
        record=record,
        source=headers.as_text(values.get(headers.SOURCE)),
        request_id=headers.as_text(values.get(headers.REQUEST_ID)) or place_request_id(record),
        received_at_us=received_at_us,
        origin=origin,
        delivery_count=headers.as_delivery_count(values.get(headers.DELIVERY_COUNT)),
        format=values.get(headers.FORMAT),
        http=values.get(headers.HTTP),
        replay=_replay(values) if headers.REPLAY_ID in values else None,
    )


def read_invocation(webhook: Webhook) -> Invocation | Failure:
    """What to run the function on, or why it cannot run. A webhook without body runs with an empty one."""
    if webhook.format != headers.FORMAT_VERSION:
        found = "is missing" if webhook.format is None else f"is {webhook.format[:20]!r}"
        return Failure.of(Reason.UNKNOWN_FORMAT, f"Header format {found}; this version reads format 1.")
    if webhook.http is None:
        return Failure.of(Reason.MALFORMED_HTTP, "Header http is missing.")
    try:
        request = decode_http(webhook.http)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Failure.of(Reason.MALFORMED_HTTP, f"Header http cannot be read: {error}.")
    return Invocation(webhook.request_id, request.method, request.url, request.headers, webhook.record.value or b"")


def iso_milliseconds(instant_us: int) -> str:
    """Epoch microseconds as ISO 8601 in UTC with three decimals."""
    seconds, milliseconds = divmod(instant_us // 1_000, 1_000)
    return f"{_iso_seconds(seconds)}.{milliseconds:03d}Z"


@lru_cache(maxsize=1_024)
def _iso_seconds(seconds: int) -> str:
    """Kept, because webhooks come in the order of their instants: one text serves all of a second."""
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")


def _replay(values: Mapping[str, bytes]) -> Replay | None:
    replay_id = headers.as_text(values.get(headers.REPLAY_ID))
    if not replay_id:
        return None
    return Replay(
        id=replay_id,
        generation=headers.as_generation(values.get(headers.GENERATION)),
        function_version=headers.as_text(values.get(headers.REPLAY_VERSION)),
        sink=headers.as_text(values.get(headers.REPLAY_TO)),
    )


def _origin(record: Record, header: bytes | None) -> Origin:
    if header is not None:
        topic, _, place = headers.as_text(header).rpartition(":")
        topic, _, partition = topic.rpartition(":")
        # 18 digits fit the 64 bits that every reader of a version has.
        if topic and all(part.isascii() and part.isdigit() and len(part) <= 18 for part in (partition, place)):
            return Origin(topic, int(partition), int(place))
    return Origin(record.topic, record.partition, record.offset)
