"""What Segment's APIs take, made of messages. Pure.

Segment answers 200 also for messages that it then drops (SEGMENT-SPEC W6), so whatever it is known to drop is found
here, where it ends as a dead letter with a reason.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from hookmill.codec import JsonValue, encode
from sinks.contract import Event, Message, SourcedObject
from sinks.flatten import Columns, Row, flatten
from sinks.merge import ObjectRow, merge
from sinks.naming import STRICT_COLLECTION, snake_case
from sinks.streams.parcels import Piece

EVENTS: Final = ""
"""The group of event pieces; those of objects are in the group of their collection."""
MAX_ITEM_BYTES: Final = 32_768
"""W4: 32 KB; the same for one value of an object (W32)."""
_MAX_ID_CHARACTERS: Final = 100
"""W8, W31."""
_NAMES: Final = {"track": ("event",), "page": ("name", "category"), "screen": ("name", "category")}
"""Of each call the fields that must be text where they are (W11)."""
_COLUMNS: Final = Columns(lambda path: path)


class _Unfit(Exception):
    """Segment would drop or refuse it; the text says why."""


def pieces_of(batch: Sequence[Message]) -> tuple[list[Piece], dict[int, str]]:
    """Events in their order, then objects by collection; and why the messages at the other indexes have none.

    The writes to one object are merged by their versions, because Segment knows none (W35).
    """
    pieces: list[Piece] = []
    rejected: dict[int, str] = {}
    writes: dict[tuple[str, str], dict[int, SourcedObject]] = {}
    for index, message in enumerate(batch):
        try:
            if isinstance(message, Event):
                item = _sized(encode(_event(message)))
                pieces.append(Piece((index,), item, f"{message.message_id}-{message.generation}", EVENTS))
            else:
                writes.setdefault(_identity(message), {})[index] = message
        except _Unfit as error:
            rejected[index] = str(error)
    for (collection, object_id), messages in sorted(writes.items()):
        try:
            pieces.append(_object_piece(collection, object_id, messages))
        except _Unfit as error:
            rejected |= dict.fromkeys(messages, str(error))
    return pieces, rejected


def _event(event: Event) -> dict[str, JsonValue]:
    """The item of a batch (W7, W8). What the server sets is left out. Errors: `_Unfit` for what W11 lists."""
    item = {name: value for name, value in event.message.items() if name != "receivedAt"}
    item["messageId"] = event.message_id
    for name in ("userId", "anonymousId", "groupId", "previousId"):
        if item.get(name, 0) in (None, ""):
            del item[name]  # an id that is empty is as bad as one that is no text
        elif name in item:
            item[name] = _id(item[name], name)
    kind = item.get("type")
    if not (item.get("userId") or item.get("anonymousId")):
        raise _Unfit("it has neither userId nor anonymousId")
    if kind == "group" and not item.get("groupId"):
        raise _Unfit("a group call needs a groupId")
    if len(event.message_id) > _MAX_ID_CHARACTERS:
        raise _Unfit(f"its messageId has more than {_MAX_ID_CHARACTERS} characters")
    if kind == "track" and "event" not in item:
        raise _Unfit("a track call needs an event")
    _check_types(kind, item)
    return item


def _check_types(kind: JsonValue, item: Mapping[str, JsonValue]) -> None:
    if kind not in ("track", "identify", "page", "screen", "group", "alias"):
        raise _Unfit("its type is none of Segment's calls")
    for name in ("properties", "traits", "context", "integrations"):
        if not isinstance(item.get(name, {}), dict):
            raise _Unfit(f"{name} must be an object")
    for name in _NAMES.get(kind, ()):
        if name in item and not (isinstance(item[name], str) and item[name]):
            raise _Unfit(f"{name} must be text that is not empty")


def _id(value: JsonValue, name: str) -> str:
    """Ids are text: the Tracking API drops numbers, which functions may use (W11)."""
    match value:
        case str():
            return value
        case bool() | dict() | list():
            raise _Unfit(f"{name} must be text")
        case float() if value.is_integer():
            return str(int(value))
        case _:
            return str(value)


def _identity(message: SourcedObject) -> tuple[str, str]:
    """Collection, as Segment names it, and id. Errors: `_Unfit`, also for a delete, which Segment has no call for."""
    if message.write.deleted:
        raise _Unfit("Segment cannot delete objects")
    collection = snake_case(message.write.collection)
    if not STRICT_COLLECTION.fullmatch(collection):
        raise _Unfit("Segment takes names of collections with letters and underscores only, 100 at most")
    if not 0 < len(message.write.id) <= _MAX_ID_CHARACTERS:
        raise _Unfit(f"its id must have 1 to {_MAX_ID_CHARACTERS} characters")
    return collection, message.write.id


def _object_piece(collection: str, object_id: str, messages: Mapping[int, SourcedObject]) -> Piece:
    """The object as the writes leave it: flat (W34), lists as JSON text (W32). Nulls stay out: Segment has none (W36).

    Errors: `_Unfit`.
    """
    merged = merge(None, [ObjectRow(message.write.version, _flat(message)) for message in messages.values()])
    columns = {} if merged is None or merged.columns is None else merged.columns
    properties = {name: value for name, value in columns.items() if value is not None}
    if merged is None or not properties:
        raise _Unfit("it has no property with a value")
    for name, value in properties.items():
        if isinstance(value, str) and len(value.encode("utf-8", "replace")) >= MAX_ITEM_BYTES:
            raise _Unfit(f"the value of {name[:100]} exceeds the limit of {MAX_ITEM_BYTES} bytes")
    item = encode({"id": object_id, "properties": properties})
    return Piece(tuple(messages), item, f"{collection}/{object_id}/{merged.versions}", collection)


def _flat(message: SourcedObject) -> Row:
    row: Row = {}
    try:
        flatten(message.write.properties, _COLUMNS, row)
    except RecursionError:
        raise _Unfit("its properties are nested too deep") from None
    return row


def _sized(item: bytes) -> bytes:
    if len(item) > MAX_ITEM_BYTES:
        raise _Unfit(f"its {len(item)} bytes exceed Segment's limit of {MAX_ITEM_BYTES} bytes for an event")
    return item
