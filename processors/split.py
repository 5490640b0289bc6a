"""The split: from the output of one invocation to records for `events` and `objects`, with ids that repeat."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, TypeVar

import msgspec

from hookmill import headers
from hookmill.codec import JsonValue, ObjectWrite, encode
from hookmill.ids import chosen_message_id, message_id
from hookmill.records import Headers, NewRecord, size_bytes
from hookmill.registry import Function
from hookmill.topics import MAX_RECORD_BYTES
from processors.runtimes.contract import Outcome
from processors.webhook import Webhook, iso_milliseconds

EVENT_TYPES: Final = ("identify", "track", "group", "page", "screen", "alias")

MAX_COLLECTION_CHARACTERS: Final = 100
"""Ours: it becomes a table name, and the databases we know end at 63 to 128."""

MAX_OUTPUT_BYTES: Final = MAX_RECORD_BYTES - 4_096
"""Largest record made here. The rest is for the framing that an engine counts."""

_SURELY_FITS_BYTES: Final = MAX_OUTPUT_BYTES // 2
"""Of values: counting the bytes of headers takes longer than much of the rest, and nobody sends headers this large."""

_IDS: Final = ("userId", "anonymousId", "groupId", "previousId")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NULL: Final = b"null"
_TRUE: Final = b"true"
_FALSE: Final = b"false"
_QUOTE: Final = b'"'

_Fields = dict[str, msgspec.Raw]
_Plain = TypeVar("_Plain")
_decode_fields: Final = msgspec.json.Decoder(_Fields).decode
"""Takes an object apart one level deep: nested values are carried through as text, so no number loses digits."""
_decode_string: Final = msgspec.json.Decoder(str).decode


class InvalidOutput(Exception):
    """The function sent something that is no event or object; the text says which and why."""


class OutputTooLarge(Exception):
    """One message does not fit a record; the text says which."""


class Outputs(msgspec.Struct, frozen=True, gc=False):
    """What one invocation sends, in order of the calls."""

    events: list[NewRecord]
    objects: list[NewRecord]


class _PlainEvent(msgspec.Struct, gc=False, rename="camel"):
    """An event as most are: its ids are text, and what we add is not there yet, so that it can simply follow."""

    type: str
    user_id: str | None = None
    anonymous_id: str | None = None
    group_id: str | None = None
    previous_id: str | None = None
    message_id: msgspec.UnsetType = msgspec.UNSET
    timestamp: msgspec.UnsetType = msgspec.UNSET
    received_at: msgspec.UnsetType = msgspec.UNSET


class _PlainWrite(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A write as most are: to an object with text as id that is not deleted."""

    collection: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_COLLECTION_CHARACTERS)]
    id: Annotated[str, msgspec.Meta(min_length=1)]
    properties: msgspec.Raw


_decode_plain_event: Final = msgspec.json.Decoder(_PlainEvent).decode
_decode_plain_write: Final = msgspec.json.Decoder(_PlainWrite).decode


class _Common(msgspec.Struct, frozen=True, gc=False):
    """What all messages of one invocation have in common."""

    webhook: Webhook
    received_at: str
    headers: Headers
    generation: int


def split(webhook: Webhook, function: Function, outcome: Outcome) -> Outputs:
    """The records of an `ok` outcome.

    The same webhook and output give the same records, byte for byte, so a repeated delivery repeats no effect.
    Errors: `InvalidOutput`, `OutputTooLarge`; then nothing of the invocation may be sent.
    """
    generation = 0 if webhook.replay is None else webhook.replay.generation
    common = _Common(webhook, webhook.received_at, _headers(webhook, function), generation)
    return Outputs(
        [_event(common, index, raw) for index, raw in enumerate(outcome.events)],
        [_object(common, index, raw) for index, raw in enumerate(outcome.objects)],
    )


def _headers(webhook: Webhook, function: Function) -> Headers:
    shared = (
        (headers.FORMAT, headers.FORMAT_VERSION),
        (headers.REQUEST_ID, webhook.request_id.encode()),
        (headers.SOURCE, webhook.source.encode()),
        (headers.RECEIVED_AT, b"%d" % webhook.received_at_us),
        (headers.DELIVERY_COUNT, b"1"),
        (headers.ORIGIN, str(webhook.origin).encode()),
        (headers.FUNCTION, function.file_name.encode()),
        (headers.FUNCTION_VERSION, function.version.encode()),
    )
    if webhook.replay is None:
        return shared
    return (
        *shared,
        (headers.REPLAY_ID, webhook.replay.id.encode()),
        (headers.GENERATION, b"%d" % webhook.replay.generation),
    )


def _event(common: _Common, index: int, raw: msgspec.Raw) -> NewRecord:
    """The message as the helper made it, completed.

    `messageId` is ours even when the function chose one: the choice is hashed with the source, its text is not kept.
    `timestamp` is the function's in one notation, else the time of receipt; one that is no time is kept as
    `originalTimestamp`, Segment's name for what the sender said (SEGMENT-SPEC W10). `receivedAt` is ours.
    """
    what = f"Event {index}"
    source = common.webhook.source
    own_id = message_id(source, common.webhook.request_id, "event", index)
    plain = _read_plain(_decode_plain_event, raw, what)
    if plain is not None and plain.type in EVENT_TYPES:
        received_at = common.received_at
        ours = f',"messageId":"{own_id}","timestamp":"{received_at}","receivedAt":"{received_at}"}}'
        value = bytes(raw)[:-1] + ours.encode()
        who = plain.user_id or plain.anonymous_id
    else:
        fields, own_id = _completed(common, what, raw, own_id)
        value = encode(fields)
        who = _string(fields.get("userId")) or _string(fields.get("anonymousId"))
    # Without an id there is nothing to keep in order: the record goes anywhere, instead of all to one partition.
    key = f"{source}/{who}".encode() if who else None
    return _record(common, what, value, key, own_id)


def _completed(common: _Common, what: str, raw: msgspec.Raw, own_id: str) -> tuple[_Fields, str]:
    """The fields of an event and its id, which is `own_id` unless the function chose."""
    fields = _take_apart(raw, what)
    kind = _text(fields.get("type"))
    if kind not in EVENT_TYPES:
        raise InvalidOutput(f'{what}: "type" must be one of {", ".join(EVENT_TYPES)}.')
    for name in _IDS:
        if name in fields and not _became_text(fields, name):
            raise InvalidOutput(f'{what} ({kind}): "{name}" must be a string or a number.')
    chosen = _text(fields.get("messageId"))
    if chosen:
        own_id = chosen_message_id(common.webhook.source, chosen)
    given = fields.get("timestamp")
    timestamp = None if given is None else _instant(given)
    if timestamp is None and given is not None and bytes(given) != _NULL:
        fields["originalTimestamp"] = given
    fields["messageId"] = _quoted(own_id)
    fields["timestamp"] = _quoted(timestamp or common.received_at)
    fields["receivedAt"] = _quoted(common.received_at)
    return fields, own_id


def _object(common: _Common, index: int, raw: msgspec.Raw) -> NewRecord:
    what = f"Object {index}"
    webhook = common.webhook
    plain = _read_plain(_decode_plain_write, raw, what)
    if plain is not None and bytes(plain.properties)[:1] == b"{":
        collection, object_id, deleted = plain.collection, plain.id, False
        properties: JsonValue = {} if bytes(plain.properties) == b"{}" else plain.properties
    else:
        collection, object_id, properties, deleted = _read_write(raw, what)
    own_id = message_id(webhook.source, webhook.request_id, "object", index)
    write = ObjectWrite(
        collection=collection,
        id=object_id,
        version=(webhook.received_at_us, webhook.origin.partition, webhook.origin.offset, common.generation, index),
        message_id=own_id,
        received_at=common.received_at,
        properties=properties,
        deleted=deleted,
    )
    key = f"{webhook.source}/{collection}/{object_id}".encode()
    return _record(common, what, encode(write), key, own_id)


def _read_write(raw: msgspec.Raw, what: str) -> tuple[str, str, JsonValue, bool]:
    """Collection, id, properties, and whether the object is deleted."""
    fields = _take_apart(raw, what)
    collection = _string(fields.get("collection"))
    if not collection or len(collection) > MAX_COLLECTION_CHARACTERS:
        raise InvalidOutput(
            f"{what}: the collection must be a non-empty string of up to {MAX_COLLECTION_CHARACTERS} characters."
        )
    object_id = _text(fields.get("id"))
    if not object_id:
        raise InvalidOutput(f"{what} ({collection}): the id must be a non-empty string or a number.")
    given = fields.get("properties")
    properties = {} if given is None else _take_apart(given, f"{what} ({collection}): properties")
    deleted = bytes(fields.get("deleted", _FALSE))
    if deleted not in (_TRUE, _FALSE):
        raise InvalidOutput(f'{what} ({collection}): "deleted" must be true or false.')
    if deleted == _TRUE and properties:
        raise InvalidOutput(f"{what} ({collection}): an object that is deleted has no properties.")
    return collection, object_id, properties, deleted == _TRUE


def _read_plain(decode: Callable[[msgspec.Raw], _Plain], raw: msgspec.Raw, what: str) -> _Plain | None:
    """The message, if it is one of the plain ones."""
    try:
        return decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    except RecursionError:
        raise InvalidOutput(f"{what}: is nested too deep.") from None


def _record(common: _Common, what: str, value: bytes, key: bytes | None, own_id: str) -> NewRecord:
    if len(value) > _SURELY_FITS_BYTES and (size := size_bytes(key, value, common.headers)) > MAX_OUTPUT_BYTES:
        raise OutputTooLarge(f"{what} needs {size:,} bytes; a record holds {MAX_OUTPUT_BYTES:,}.")
    return NewRecord(value, key, (*common.headers, (headers.MESSAGE_ID, own_id.encode())))


def _take_apart(raw: msgspec.Raw, what: str) -> _Fields:
    try:
        return _decode_fields(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise InvalidOutput(f"{what}: must be a JSON object.") from None
    except RecursionError:
        raise InvalidOutput(f"{what}: is nested too deep.") from None


def _became_text(fields: _Fields, name: str) -> bool:
    """Whether the id is a JSON string now, or null: numbers become text digit by digit (SEGMENT-SPEC W11, note)."""
    raw = fields[name]
    if _string(raw) is not None:
        return True
    digits = _text(raw)
    if digits is not None:
        fields[name] = _quoted(digits)
    return digits is not None or bytes(raw) == _NULL


def _text(raw: msgspec.Raw | None) -> str | None:
    """A JSON string's text, or a number's digits as they were written; `None` for everything else."""
    text = _string(raw)
    if text is not None or raw is None:
        return text
    token = bytes(raw)
    return token.decode() if token[:1] in b"-0123456789" else None


def _string(raw: msgspec.Raw | None) -> str | None:
    try:
        return None if raw is None else _decode_string(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _quoted(text: str) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(text))


def _instant(raw: msgspec.Raw) -> str | None:
    """The time that the function gave, in our notation: an ISO 8601 text (UTC unless it says otherwise) or epoch
    milliseconds, which is what `Date.now()` gives; `None` for anything else."""
    text = _text(raw)
    if not text:
        return None
    try:
        if bytes(raw)[:1] == _QUOTE:
            instant = datetime.fromisoformat(text)
        else:
            instant = _EPOCH + timedelta(milliseconds=float(text))
        instant = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
        return iso_milliseconds((instant - _EPOCH) // timedelta(microseconds=1))
    except (ValueError, OverflowError):
        return None
