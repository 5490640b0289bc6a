"""A batch as rows of tables: which tables a message goes to, and with which columns (SEGMENT-SPEC W38, W39).

Pure, but for a line in the log for each collection whose table is called otherwise.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from hookmill.codec import JsonValue
from hookmill.telemetry import get_logger
from sinks.contract import Event, Message, RecordRejected, SourcedObject
from sinks.flatten import CONTEXT_COLUMNS, EVENT_COLUMNS, OBJECT_COLUMNS, Row, flatten, scalar
from sinks.history import history_row
from sinks.merge import ObjectRow, Version
from sinks.naming import (
    CALL_TABLES,
    CONTEXT_PREFIX,
    STRICT_COLLECTION,
    NameCache,
    event_table,
    name_part,
    object_table,
    schema_name,
)
from sinks.rules import DEFAULT, Names, Rules
from sinks.schema import GENERATION_COLUMN, Change, SchemaLimit, SchemaPlan, TableKey, TableKind

logger = get_logger(__name__)

_STANDARD_FIELDS: Final = {
    "anonymousId": "anonymous_id",
    "userId": "user_id",
    "groupId": "group_id",
    "previousId": "previous_id",
    "timestamp": "timestamp",
    "originalTimestamp": "original_timestamp",
    "sentAt": "sent_at",
    "receivedAt": "received_at",
}
_DETAILS: Final = {
    "track": "properties",
    "identify": "traits",
    "page": "properties",
    "screen": "properties",
    "group": "traits",
    "alias": "properties",
}
"""Where each type of call keeps what becomes columns of its own."""

_LATEST: Final = {"identify": ("users", "userId"), "group": ("accounts", "groupId")}
"""Calls whose traits are also kept as one row per id (W38): the table, and the field with the id."""

_schemas: Final = NameCache(schema_name)
_event_tables: Final = NameCache(event_table)

_MAX_REPORTED: Final = 10_000
_reported: Final[set[tuple[str, str]]] = set()
"""Sources and collections whose table is known to be called otherwise."""


@dataclass(frozen=True)
class Layout:
    """A batch by table, in order of arrival. The columns of a row need not all exist: only null ones may be missing."""

    changes: tuple[Change, ...]
    events: dict[TableKey, list[Row]]
    """Rows that are inserted once, by their id: events, and the writes of histories."""
    objects: dict[TableKey, dict[str, list[ObjectRow]]]
    recomputed: dict[str, dict[str, int]]
    """By schema, the ids of events that a recompute made, and their generation: rows of a lower one, in whichever event
    table of the schema, are to go before the rows above come."""


class _Unfit(Exception):
    """The message cannot be a row; the text says why."""


def lay_out(batch: Sequence[Message], present: Mapping[TableKey, Set[str]], rules: Rules = DEFAULT) -> Layout:
    """The rows of the batch, and what must change in the schema that is `present` before they fit.

    Errors: `RecordRejected` with every message that cannot be a row.
    """
    layout = _LayoutBuilder(rules, SchemaPlan(present), _recomputed(batch))
    rejected: dict[int, str] = {}
    for index, message in enumerate(batch):
        try:
            layout.add(message)
        except (_Unfit, SchemaLimit) as error:
            rejected[index] = str(error)
        except RecursionError:
            rejected[index] = "its properties are nested too deep for columns"
    if rejected:
        raise RecordRejected(rejected)
    return Layout(layout.plan.changes(), layout.events, layout.objects, layout.recomputed)


def _recomputed(batch: Sequence[Message]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for message in batch:
        if isinstance(message, Event) and message.generation > 0:
            ids = found.setdefault(_schemas[message.source], {})
            ids[message.message_id] = max(message.generation, ids.get(message.message_id, 0))
    return found


@dataclass(frozen=True)
class _Collection:
    """What the rules make of a collection."""

    key: TableKey
    is_replaced: bool
    """A write is all of an object."""
    history: TableKey | None


@dataclass
class _LayoutBuilder:
    rules: Rules
    plan: SchemaPlan
    recomputed: dict[str, dict[str, int]]
    events: dict[TableKey, list[Row]] = field(default_factory=dict)
    objects: dict[TableKey, dict[str, list[ObjectRow]]] = field(default_factory=dict)
    collections: dict[tuple[str, str], _Collection] = field(default_factory=dict)

    def add(self, message: Message) -> None:
        match message:
            case SourcedObject():
                self._add_write(message)
            case Event():
                if not self._is_replaced(message):
                    for key, row in _event_rows(message):
                        self._insert(key, row)
                self._add_latest(message)

    def _add_write(self, message: SourcedObject) -> None:
        write = message.write
        collection = self._collection(message.source, write.collection)
        columns: Row = {}
        if write.deleted:
            self._add_object(collection.key, write.id, ObjectRow(write.version, None))
        else:
            if collection.is_replaced:
                # As if the call before it in the same invocation had deleted the object: all that is older goes.
                at, partition, offset, generation, index = write.version
                before = (at, partition, offset, generation, index - 1)
                self._add_object(collection.key, write.id, ObjectRow(before, None))
            columns["received_at"] = write.received_at
            flatten(write.properties, OBJECT_COLUMNS, columns)
            self._add_object(collection.key, write.id, ObjectRow(write.version, columns))
        if collection.history is not None:
            self._insert(collection.history, history_row(write, columns, is_replaced=collection.is_replaced))

    def _collection(self, source: str, name: str) -> _Collection:
        known = self.collections.get((source, name))
        if known is None:
            known = self.collections[source, name] = _collection(self.rules, source, name)
        return known

    def _is_replaced(self, event: Event) -> bool:
        """The batch has the event of a higher generation."""
        if not self.recomputed:
            return False
        return event.generation < self.recomputed.get(_schemas[event.source], {}).get(event.message_id, 0)

    def _insert(self, key: TableKey, row: Row) -> None:
        self.plan.admit(key, row)
        self.events.setdefault(key, []).append(row)

    def _add_object(self, key: TableKey, object_id: str, row: ObjectRow) -> None:
        self.plan.admit(key, row.columns or {})  # a table also for what was never there: its tombstones are by table
        self.objects.setdefault(key, {}).setdefault(object_id, []).append(row)

    def _add_latest(self, event: Event) -> None:
        """The row of the user or account that the event is about knows its traits.

        Events carry no version; the time of receipt orders them, and arrival those of one webhook, which is the order
        of the calls: they share a partition.
        """
        table, id_field = _LATEST.get(str(event.message["type"]), ("", ""))
        own_id = event.message.get(id_field)
        if not own_id:
            return
        received_at = event.message.get("receivedAt")
        columns: Row = {"received_at": scalar(received_at)}
        flatten(_details(event.message, "traits"), OBJECT_COLUMNS, columns)
        key = TableKey(_schemas[event.source], table, TableKind.OBJECTS)
        self._add_object(key, str(own_id), ObjectRow(_version_at(received_at, event.generation), columns))


def _collection(rules: Rules, source: str, name: str) -> _Collection:
    """Errors: `_Unfit` for a name that the rules do not allow."""
    if rules.names is Names.STRICT and not STRICT_COLLECTION.fullmatch(name):
        raise _Unfit(
            f'its collection "{name[:100]}" must be lower-case letters and underscores, not at an end, 100 at most'
        )
    table = object_table(name)
    if table != name:
        _report_renamed(source, name, table)
    schema = _schemas[source]
    history = TableKey(schema, table, TableKind.HISTORY) if rules.keeps_history(name) else None
    return _Collection(TableKey(schema, table, TableKind.OBJECTS), rules.replaces(name), history)


def _report_renamed(source: str, collection: str, table: str) -> None:
    """Said once by each process; hostile names without end are not."""
    if (source, collection) not in _reported and len(_reported) < _MAX_REPORTED:
        _reported.add((source, collection))
        logger.warning("collection.renamed", source=source, collection=collection[:100], table=table)


def _event_rows(event: Event) -> Iterator[tuple[TableKey, Row]]:
    message = event.message
    kind = message.get("type")
    if not isinstance(kind, str) or kind not in CALL_TABLES:
        raise _Unfit(f"its type is {str(kind)[:100]!r}, not one of {', '.join(CALL_TABLES)}")
    schema = _schemas[event.source]
    row = _standard_columns(event)
    if kind == "track":
        name = message.get("event")
        if not isinstance(name, str) or not name:
            raise _Unfit("it is a track call without a name of the event")
        row |= {"event": name_part(name), "event_text": name}
        yield TableKey(schema, CALL_TABLES[kind], TableKind.EVENTS), row
        table = _event_tables[name]
    else:
        table = CALL_TABLES[kind]
    details: Row = {}
    flatten(_details(message, _DETAILS[kind]), EVENT_COLUMNS, details)
    if kind in ("page", "screen"):
        details |= {name: scalar(message[name]) for name in ("name", "category") if name in message}
    own = row | {column: value for column, value in details.items() if value is not None}
    yield TableKey(schema, table, TableKind.EVENTS), own


def _standard_columns(event: Event) -> Row:
    message = event.message
    row: Row = {"id": event.message_id}
    if event.generation > 0:
        row[GENERATION_COLUMN] = event.generation
    for name, column in _STANDARD_FIELDS.items():
        value = message.get(name)
        if value is not None:
            row[column] = scalar(value)
    context = message.get("context")
    if isinstance(context, dict):
        nested: Row = {}
        flatten(context, CONTEXT_COLUMNS, nested, CONTEXT_PREFIX)
        row |= {column: value for column, value in nested.items() if value is not None}
    return row


def _details(message: dict[str, JsonValue], name: str) -> dict[str, JsonValue]:
    value = message.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _Unfit(f'its "{name}" must be an object')
    return value


def _version_at(received_at: JsonValue, generation: int) -> Version:
    """The version of a write that has none of its own; 0 for a time that nobody can read."""
    try:
        instant = datetime.fromisoformat(received_at)
    except (TypeError, ValueError):
        return (0, 0, 0, generation, 0)
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return (round(instant.timestamp() * 1_000_000), 0, 0, generation, 0)
