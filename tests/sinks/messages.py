"""Messages and records for the tests of the sink stage."""

from typing import Any

from hookmill import headers
from hookmill.codec import ObjectWrite, encode
from hookmill.records import NewRecord
from sinks.contract import Event, SourcedObject

RECEIVED_AT = "2026-11-23T10:00:00.000Z"


def write(
    object_id: str,
    position: int,
    properties: dict[str, Any],
    *,
    collection: str = "deals",
    source: str = "pipedrive",
    received_at: str = RECEIVED_AT,
    deleted: bool = False,
) -> SourcedObject:
    """A write whose version is ordered by `position`."""
    body = ObjectWrite(
        collection=collection,
        id=object_id,
        version=(1_764_000_000_000_000 + position, 0, position, 0, 0),
        message_id=f"m-{collection}-{object_id}-{position}",
        received_at=received_at,
        properties=properties,
        deleted=deleted,
    )
    return SourcedObject(source, body, encode(body))


def deletion(object_id: str, position: int, **where: str) -> SourcedObject:
    """A write that deletes; otherwise as `write`."""
    return write(object_id, position, {}, deleted=True, **where)


def event(message_id: str, source: str = "pipedrive", **fields: Any) -> Event:
    """An event as the split makes it; a track call unless `type` says otherwise."""
    message = {
        "type": "track",
        "messageId": message_id,
        "timestamp": "2026-11-23T09:59:00.000Z",
        "receivedAt": RECEIVED_AT,
        **fields,
    }
    return Event(source, message_id, message, encode(message))


def object_record(message: SourcedObject) -> NewRecord:
    """The write as on the topic `objects`."""
    key = f"{message.source}/{message.write.collection}/{message.write.id}".encode()
    return NewRecord(message.raw, key, _headers(message.source, message.write.message_id))


def event_record(message: Event) -> NewRecord:
    """The event as on the topic `events`."""
    return NewRecord(message.raw, None, _headers(message.source, message.message_id))


def _headers(source: str, message_id: str) -> tuple[tuple[str, bytes], ...]:
    return (
        (headers.FORMAT, headers.FORMAT_VERSION),
        (headers.SOURCE, source.encode()),
        (headers.RECEIVED_AT, b"1764000000000000"),
        (headers.MESSAGE_ID, message_id.encode()),
    )
