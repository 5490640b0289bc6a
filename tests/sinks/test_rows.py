"""From messages to rows: flattening, tables, columns, limits."""

import itertools
import sys
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from sinks import schema
from sinks.contract import Message, RecordRejected
from sinks.flatten import EVENT_COLUMNS, OBJECT_COLUMNS, Row, flatten
from sinks.rows import Layout, lay_out
from sinks.rules import Merge, Names, Rules
from sinks.schema import AddColumns, ColumnType, CreateTable, TableKey, TableKind, infer_type
from tests.sinks.messages import RECEIVED_AT, deletion, event, write

DEALS = TableKey("pipedrive", "deals", TableKind.OBJECTS)
DEALS_HISTORY = TableKey("pipedrive", "deals", TableKind.HISTORY)


def events_table(name: str) -> TableKey:
    return TableKey("pipedrive", name, TableKind.EVENTS)


def flat(properties: dict[str, Any]) -> Row:
    row: Row = {}
    flatten(properties, OBJECT_COLUMNS, row)
    return row


def laid_out(*batch: Message) -> Layout:
    return lay_out(batch, {})


def test_levels_are_joined_by_one_underscore() -> None:
    assert flat({"org": {"mainAddress": {"zip-code": 1}}}) == {"org_main_address_zip_code": 1}


def test_of_names_that_give_one_column_the_last_in_byte_order_wins() -> None:
    assert flat({"first_name": "c", "first": {"name": "a"}, "firstName": "b"}) == {"first_name": "c"}


def test_an_empty_object_gives_nothing_and_null_a_null() -> None:
    assert flat({"a": {}, "b": None}) == {"b": None}


def test_lists_become_json_text() -> None:
    assert flat({"products": [{"sku": 1}, "ü"]}) == {"products": '[{"sku":1},"ü"]'}


def test_integers_beyond_64_bits_become_their_digits() -> None:
    assert flat({"a": 2**63 - 1, "b": 2**63, "c": -(2**70)}) == {
        "a": 9223372036854775807,
        "b": "9223372036854775808",
        "c": "-1180591620717411303424",
    }


def test_properties_cannot_take_standard_columns() -> None:
    row: Row = {}
    flatten({"timestamp": 1, "context": {"ip": 2}, "value": 3}, EVENT_COLUMNS, row)

    assert row == {"_timestamp": 1, "_context_ip": 2, "value": 3}


def test_a_track_call_is_in_tracks_and_in_the_table_of_its_event() -> None:
    won = event("m1", event="Deal Won", userId="u1", context={"ip": "1.2.3.4"}, properties={"amount": 5, "none": None})

    layout = laid_out(won)

    standard = {
        "id": "m1",
        "user_id": "u1",
        "timestamp": "2026-11-23T09:59:00.000Z",
        "received_at": RECEIVED_AT,
        "context_ip": "1.2.3.4",
        "event": "deal_won",
        "event_text": "Deal Won",
    }
    assert layout.events == {
        events_table("tracks"): [standard],
        events_table("deal_won"): [{**standard, "amount": 5}],
    }


@pytest.mark.parametrize(
    ("kind", "table", "fields", "own"),
    [
        ("identify", "identifies", {"anonymousId": "a", "traits": {"plan": "pro"}}, {"plan": "pro"}),
        ("group", "groups", {"traits": {"size": 3}}, {"size": 3}),
        ("page", "pages", {"name": "Home", "properties": {"path": "/"}}, {"name": "Home", "path": "/"}),
        ("screen", "screens", {"name": "Main"}, {"name": "Main"}),
        ("alias", "aliases", {"previousId": "old"}, {"previous_id": "old"}),
    ],
)
def test_each_type_of_call_has_its_table(kind: str, table: str, fields: dict[str, Any], own: Row) -> None:
    layout = laid_out(event("m1", type=kind, **fields))

    [row] = layout.events[events_table(table)]
    assert own.items() <= row.items()


def test_an_identify_call_is_the_latest_of_its_user() -> None:
    layout = laid_out(event("m1", type="identify", userId="u1", traits={"plan": "pro"}))

    users = layout.objects[TableKey("pipedrive", "users", TableKind.OBJECTS)]
    assert [row.columns for row in users["u1"]] == [{"received_at": RECEIVED_AT, "plan": "pro"}]


def test_a_group_call_is_the_latest_of_its_account() -> None:
    layout = laid_out(event("m1", type="group", groupId="g1", traits={"size": 3}))

    assert set(layout.objects[TableKey("pipedrive", "accounts", TableKind.OBJECTS)]) == {"g1"}


def test_a_collection_whose_table_is_called_otherwise_is_reported_once() -> None:
    batch = [
        write("1", 1, {}, collection=collection, source="renaming")
        for collection in ("checkout-order", "deals", "checkout-order", "Checkout Order")
    ]

    with capture_logs() as lines:
        first, second = laid_out(*batch), laid_out(*batch)

    assert {key.name for key in first.objects} == {key.name for key in second.objects} == {"checkout_order", "deals"}
    assert [(line["event"], line["source"], line["collection"], line["table"]) for line in lines] == [
        ("collection.renamed", "renaming", "checkout-order", "checkout_order"),
        ("collection.renamed", "renaming", "Checkout Order", "checkout_order"),
    ]


STRICT = Rules(names=Names.STRICT)


@pytest.mark.parametrize("collection", ["deals", "a", "checkout_order", "a__b", "a" * 100])
def test_strict_names_are_those_of_the_objects_api(collection: str) -> None:
    assert lay_out([write("1", 1, {}, collection=collection)], {}, STRICT).objects


@pytest.mark.parametrize(
    "collection", ["Deals", "checkout-order", "_a", "a_", "deals2", "deals\n", "größe", "", "a" * 101, "_"]
)
def test_under_strict_names_others_are_rejected(collection: str) -> None:
    with pytest.raises(RecordRejected, match="must be lower-case letters and underscores"):
        lay_out([write("1", 1, {}, collection=collection)], {}, STRICT)


@pytest.mark.parametrize(
    ("merge", "replaced"),
    [
        (Merge.PROPERTIES, set()),
        (Merge.REPLACE, {"deals", "checkout-order"}),
        ({"checkout_order": Merge.REPLACE}, {"checkout-order"}),
        ({"Checkout-Order": Merge.REPLACE, "deals": Merge.PROPERTIES}, {"checkout-order"}),
    ],
)
def test_writes_replace_by_collection(merge: Merge | dict[str, Merge], replaced: set[str]) -> None:
    rules = Rules(merge=merge)

    assert {collection for collection in ("deals", "checkout-order") if rules.replaces(collection)} == replaced


def test_a_write_that_replaces_leaves_what_came_later_of_its_own_webhook() -> None:
    """It goes by calls, not by webhooks: a later call of the same invocation is newer."""
    layout = lay_out([write("1", 1, {"a": 1})], {}, Rules(merge=Merge.REPLACE))

    (deletion, row) = layout.objects[DEALS]["1"]
    assert deletion.columns is None
    assert deletion.version < row.version
    assert (*deletion.version[:4], deletion.version[4] + 1) == row.version


def test_traits_of_users_are_merged_where_objects_are_replaced() -> None:
    layout = lay_out([event("m1", type="identify", userId="u1", traits={"a": 1})], {}, Rules(merge=Merge.REPLACE))

    users = layout.objects[TableKey("pipedrive", "users", TableKind.OBJECTS)]
    assert [row.columns for row in users["u1"]] == [{"received_at": RECEIVED_AT, "a": 1}]


@pytest.mark.parametrize(
    ("history", "kept"),
    [
        (False, set()),
        ((), set()),
        (True, {"deals", "checkout-order"}),
        (("Checkout Order",), {"checkout-order"}),
    ],
)
def test_history_is_kept_by_collection(history: bool | tuple[str, ...], kept: set[str]) -> None:
    rules = Rules(history=history)

    assert {name for name in ("deals", "checkout-order", "Users", "accounts") if rules.keeps_history(name)} == kept


@pytest.mark.parametrize("name", ["users", "Accounts"])
def test_users_and_accounts_cannot_be_named_for_history(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Rules(history=("deals", name))


def test_a_write_is_a_row_of_the_history() -> None:
    batch = [write("d1", 1, {"title": "A", "none": None, "valid_from": None, "valid_to": 5}), deletion("d1", 2)]

    (set_, deleted) = lay_out(batch, {}, Rules(history=True)).events[DEALS_HISTORY]

    assert set_.pop("id") < deleted.pop("id")
    assert set_ == {
        "_object_id": "d1",
        "valid_from": "2025-11-24T16:00:00.000001Z",
        "_effect": "set",
        "_cleared": '["none","_valid_from"]',
        "received_at": RECEIVED_AT,
        "title": "A",
        "_valid_to": 5,
    }
    assert deleted == {"_object_id": "d1", "valid_from": "2025-11-24T16:00:00.000002Z", "_effect": "delete"}


def test_a_write_that_replaces_says_so_in_the_history() -> None:
    layout = lay_out([write("d1", 1, {"a": 1})], {}, Rules(merge=Merge.REPLACE, history=True))

    assert [row["_effect"] for row in layout.events[DEALS_HISTORY]] == ["replace"]


def test_ids_in_a_history_sort_as_versions_do() -> None:
    parts = itertools.product((0, 999, 2**53), (0, 12), (7, 2**40), (-1, 0, 1_764_000_000_000), (0, 9, 10))
    versions = list(parts)

    def row_id(version: tuple[int, int, int, int, int]) -> str:
        message = write("d1", 1, {})
        message = msgspec.structs.replace(message, write=msgspec.structs.replace(message.write, version=version))
        (row,) = lay_out([message], {}, Rules(history=True)).events[DEALS_HISTORY]
        return str(row["id"])

    assert sorted(versions, key=row_id) == sorted(versions)


def test_the_id_of_an_object_is_text_whatever_it_looks_like() -> None:
    (_, history) = lay_out([write("2026-11-23", 1, {})], {}, Rules(history=True)).changes

    assert history.key == DEALS_HISTORY
    assert history.columns["_object_id"] is ColumnType.TEXT


def test_histories_count_among_the_tables_of_a_source() -> None:
    writes = [write("x", 1, {}, collection=f"t{number}") for number in range(schema.MAX_TABLES // 2 + 1)]

    with pytest.raises(RecordRejected, match="table") as caught:
        lay_out(writes, {}, Rules(history=True))

    assert list(caught.value.rejected) == [schema.MAX_TABLES // 2]


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"type": "trace"}, "trace"),
        ({"type": ["track"]}, "type"),
        ({"event": ""}, "name of the event"),
        ({"event": "A", "properties": "text"}, "properties"),
    ],
)
def test_a_message_that_cannot_be_a_row_is_rejected_and_named(fields: dict[str, Any], word: str) -> None:
    with pytest.raises(RecordRejected) as caught:
        laid_out(event("m1", event="Fine"), event("m2", **fields))

    assert list(caught.value.rejected) == [1]
    assert word in caught.value.rejected[1]


def test_properties_nested_too_deep_are_rejected() -> None:
    properties: dict[str, Any] = {}
    deep = write("d1", 1, properties)
    for _ in range(sys.getrecursionlimit() + 1_000):  # other tests may have raised it
        properties["a"] = properties = {}

    with pytest.raises(RecordRejected, match="too deep"):
        laid_out(deep)


def test_a_column_exists_once_a_value_has_come() -> None:
    layout = laid_out(write("d1", 1, {"empty": None, "full": 1}))

    assert layout.changes == (CreateTable(DEALS, {"received_at": ColumnType.TIMESTAMP, "full": ColumnType.INTEGER}),)


def test_the_plan_adds_only_what_is_missing() -> None:
    present = {DEALS: {"id", "received_at", "title"}}

    layout = lay_out([write("d1", 1, {"title": "x", "value": 2.5}), write("d2", 2, {"value": "much"})], present)

    assert layout.changes == (AddColumns(DEALS, {"value": ColumnType.REAL}),)


def test_a_schema_that_has_everything_stays_as_it_is() -> None:
    assert lay_out([write("d1", 1, {"title": None})], {DEALS: {"id", "received_at", "title"}}).changes == ()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, ColumnType.BOOLEAN),
        (1, ColumnType.INTEGER),
        (1.0, ColumnType.REAL),
        ("x", ColumnType.TEXT),
        ("[1]", ColumnType.TEXT),
        ("2026-11-23", ColumnType.TIMESTAMP),
        ("2026-11-23T10:00:00.000Z", ColumnType.TIMESTAMP),
        ("2026-11-23T10:00:00+01:00", ColumnType.TIMESTAMP),
        ("2026-11-23 and more", ColumnType.TEXT),
        ("12026-11-23", ColumnType.TEXT),
    ],
)
def test_types_are_inferred_from_the_value(value: object, expected: ColumnType) -> None:
    assert infer_type(value) is expected  # type: ignore[arg-type]


def test_a_row_beyond_the_column_limit_is_rejected_alone() -> None:
    wide = {f"c{number}": number for number in range(schema.MAX_COLUMNS)}

    with pytest.raises(RecordRejected, match="columns") as caught:
        laid_out(write("d1", 1, {"a": 1}), write("d2", 2, wide), write("d3", 3, {"b": 1}))

    assert list(caught.value.rejected) == [1]


def test_a_source_cannot_make_tables_without_end() -> None:
    writes = [write("x", 1, {}, collection=f"t{number}") for number in range(schema.MAX_TABLES + 1)]

    with pytest.raises(RecordRejected, match="table") as caught:
        laid_out(*writes)

    assert list(caught.value.rejected) == [schema.MAX_TABLES]
    assert laid_out(*writes[:-1], write("x", 1, {}, source="other")).changes
