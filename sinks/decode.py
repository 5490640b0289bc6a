"""From a record of `events` or `objects` to the message in it."""

from datetime import UTC, datetime
from typing import Final

import msgspec

from hookmill import headers
from hookmill.codec import JsonValue, decode_object
from hookmill.records import Headers, Record
from sinks.contract import Event, Message, SourcedObject

_event: Final = msgspec.json.Decoder(dict[str, JsonValue])


class Undecodable(Exception):
    """The record holds no message: no other delivery of the same bytes would. The text says why."""


def decode_event(record: Record) -> Message:
    """The event of the record. `receivedAt` is the header's where the message has none. Errors: `Undecodable`."""
    source, value = _source_and_value(record)
    try:
        message = _event.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Undecodable(f"The value is not a JSON object: {error}") from None
    message_id = headers.text_header(record.headers, headers.MESSAGE_ID) or message.get("messageId")
    if not isinstance(message_id, str) or not message_id:
        raise Undecodable("The event has no message id.")
    if "receivedAt" not in message:
        _add_received_at(message, record.headers)
    return Event(source, message_id, message, value, headers.generation(record.headers))


def decode_object_write(record: Record) -> Message:
    """The object write of the record. Errors: `Undecodable`."""
    source, value = _source_and_value(record)
    try:
        return SourcedObject(source, decode_object(value), value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Undecodable(f"The value is not an object write: {error}") from None


def _source_and_value(record: Record) -> tuple[str, bytes]:
    source = headers.text_header(record.headers, headers.SOURCE)
    if not source:
        raise Undecodable("The record does not say its source.")
    if record.value is None:
        raise Undecodable("The record has no value.")
    return source, record.value


def _add_received_at(message: dict[str, JsonValue], record_headers: Headers) -> None:
    received_at_us = headers.int_header(record_headers, headers.RECEIVED_AT, 0)
    if 0 < received_at_us < _END_OF_TIME_US:
        instant = datetime.fromtimestamp(received_at_us / 1_000_000, UTC)
        message["receivedAt"] = instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


_END_OF_TIME_US: Final = 253_402_300_799_000_000
"""The year 9999, where `datetime` ends."""
