"""The split of an invocation's output into records."""

import json
import sys

import msgspec
import pytest

from hookmill import headers
from hookmill.codec import decode_object
from hookmill.ids import chosen_message_id, message_id
from hookmill.records import NewRecord
from hookmill.topics import MAX_RECORD_BYTES
from processors.runtimes.contract import Outcome, Status
from processors.split import InvalidOutput, Outputs, OutputTooLarge, split
from processors.webhook import Webhook, read_webhook
from tests.processors.parts import RECEIVED_AT, RECEIVED_AT_US, SHOP_CODE, ok, raw, webhook_record

WEBHOOK = read_webhook(webhook_record(7, request_id="r-7"))


def split_of(outcome: Outcome, webhook: Webhook = WEBHOOK) -> Outputs:
    return split(webhook, SHOP_CODE, outcome)


def event_of(message: dict[str, object]) -> dict[str, object]:
    event: dict[str, object] = json.loads(split_of(ok([message])).events[0].value or b"")
    return event


def ids_of(records: list[NewRecord]) -> list[str]:
    return [headers.text_header(record.headers, headers.MESSAGE_ID) for record in records]


def test_an_event_keeps_what_the_helper_made_and_gets_id_and_times() -> None:
    message = {"type": "track", "event": "Deal Won", "userId": "u1", "properties": {"a": [1, {"b": None}]}}

    event = event_of(message)

    expected_id = message_id("shop", "r-7", "event", 0)
    assert event == {**message, "messageId": expected_id, "timestamp": RECEIVED_AT, "receivedAt": RECEIVED_AT}


def test_the_same_webhook_gives_the_same_records() -> None:
    outcome = ok([{"type": "track", "event": "a", "userId": "u"}] * 2, [{"collection": "deals", "id": 4}] * 2)
    redelivered = read_webhook(
        webhook_record(99, request_id="r-7", origin=b"hookmill.webhooks:2:7", delivery_count=b"3")
    )

    first, again = split_of(outcome), split_of(outcome, redelivered)

    assert again == first
    assert len(set(ids_of(first.events) + ids_of(first.objects))) == 4


def test_a_chosen_message_id_is_hashed_with_the_source() -> None:
    event = event_of({"type": "track", "event": "a", "userId": "u", "messageId": "order-1"})

    assert event["messageId"] == chosen_message_id("shop", "order-1")
    assert "order-1" not in json.dumps(event)


@pytest.mark.parametrize("empty", ["", None])
def test_an_empty_message_id_is_no_choice(empty: object) -> None:
    event = event_of({"type": "track", "event": "a", "userId": "u", "messageId": empty})

    assert event["messageId"] == message_id("shop", "r-7", "event", 0)


def test_numbers_as_ids_become_text_digit_by_digit() -> None:
    outcome = Outcome(
        Status.OK, 1.0, [msgspec.Raw(b'{"type":"group","userId":12345678901234567890123,"groupId":1.50}')]
    )

    event = json.loads(split_of(outcome).events[0].value or b"")

    assert event["userId"] == "12345678901234567890123"
    assert event["groupId"] == "1.50"


def test_numbers_in_properties_keep_all_their_digits() -> None:
    outcome = Outcome(
        Status.OK, 1.0, [msgspec.Raw(b'{"type":"track","userId":"u","properties":{"n":0.10000000000000000001}}')]
    )

    assert b'{"n":0.10000000000000000001}' in (split_of(outcome).events[0].value or b"")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2024-02-29T12:00:00+02:00", "2024-02-29T10:00:00.000Z"),
        ("2024-02-29T12:00:00.123456Z", "2024-02-29T12:00:00.123Z"),
        ("2024-02-29", "2024-02-29T00:00:00.000Z"),
        (1_709_208_000_500, "2024-02-29T12:00:00.500Z"),
    ],
)
def test_a_timestamp_is_written_in_one_notation(given: object, expected: str) -> None:
    event = event_of({"type": "track", "event": "a", "userId": "u", "timestamp": given})

    assert event["timestamp"] == expected
    assert "originalTimestamp" not in event


@pytest.mark.parametrize("given", ["yesterday", "", 1e300, True, {"a": 1}])
def test_a_timestamp_that_is_none_is_kept_beside_the_time_of_receipt(given: object) -> None:
    event = event_of({"type": "track", "event": "a", "userId": "u", "timestamp": given})

    assert event["timestamp"] == RECEIVED_AT
    assert event["originalTimestamp"] == given


@pytest.mark.parametrize(
    ("message", "key"),
    [
        ({"type": "track", "userId": "u1", "anonymousId": "a1"}, b"shop/u1"),
        ({"type": "track", "anonymousId": "a1"}, b"shop/a1"),
        ({"type": "track", "userId": 5}, b"shop/5"),
        ({"type": "group", "groupId": "g"}, None),
    ],
)
def test_events_of_one_person_share_a_partition(message: dict[str, object], key: bytes | None) -> None:
    assert split_of(ok([message])).events[0].key == key


def test_an_object_gets_the_version_of_its_webhook_and_call() -> None:
    outputs = split_of(
        ok([], [{"collection": "deals", "id": 1}, {"collection": "deals", "id": 1, "properties": {"a": None}}])
    )

    write = decode_object(outputs.objects[1].value or b"")
    assert write.version == (RECEIVED_AT_US, 2, 7, 0, 1)
    assert (write.collection, write.id, write.properties) == ("deals", "1", {"a": None})
    assert write.message_id == message_id("shop", "r-7", "object", 1)
    assert write.received_at == RECEIVED_AT
    assert outputs.objects[1].key == b"shop/deals/1"


def test_a_deleted_object_is_a_write_without_properties() -> None:
    outputs = split_of(ok([], [{"collection": "deals", "id": 1, "deleted": True}]))

    write = decode_object(outputs.objects[0].value or b"")
    assert (write.deleted, write.properties, write.version) == (True, {}, (RECEIVED_AT_US, 2, 7, 0, 0))
    assert outputs.objects[0].key == b"shop/deals/1"


def test_an_object_that_is_not_deleted_says_nothing_of_it() -> None:
    marked, unmarked = split_of(
        ok([], [{"collection": "deals", "id": 1, "deleted": False}, {"collection": "deals", "id": 1}])
    ).objects

    assert b"deleted" not in (marked.value or b"")
    assert b"deleted" not in (unmarked.value or b"")


def test_every_record_says_where_it_comes_from() -> None:
    record = split_of(ok([{"type": "track", "userId": "u"}])).events[0]

    assert dict(record.headers) == {
        "format": b"1",
        "request-id": b"r-7",
        "source": b"shop",
        "received-at": b"%d" % RECEIVED_AT_US,
        "delivery-count": b"1",
        "origin": b"hookmill.webhooks:2:7",
        "function": b"function.py",
        "function-version": b"v1",
        "message-id": message_id("shop", "r-7", "event", 0).encode(),
    }


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        ({"collection": "", "id": "1"}, "collection"),
        ({"collection": 5, "id": "1"}, "collection"),
        ({"id": "1"}, "collection"),
        ({"collection": "x" * 101, "id": "1"}, "collection"),
        ({"collection": "deals"}, "id"),
        ({"collection": "deals", "id": ""}, "id"),
        ({"collection": "deals", "id": None}, "id"),
        ({"collection": "deals", "id": True}, "id"),
        ({"collection": "deals", "id": {}}, "id"),
        ({"collection": "deals", "id": "1", "properties": [1]}, "properties"),
        ({"collection": "deals", "id": "1", "deleted": "yes"}, "deleted"),
        ({"collection": "deals", "id": "1", "deleted": None}, "deleted"),
        ({"collection": "deals", "id": "1", "deleted": True, "properties": {"a": 1}}, "properties"),
        ("deals", "JSON object"),
    ],
)
def test_an_invalid_object_is_refused_by_what_is_wrong(bad: object, complaint: str) -> None:
    with pytest.raises(InvalidOutput, match=f"^Object 1.*{complaint}"):
        split_of(ok([], [{"collection": "deals", "id": "1"}, bad]))


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        ({"type": "purchase", "userId": "u"}, "type"),
        ({"userId": "u"}, "type"),
        ({"type": 5, "userId": "u"}, "type"),
        ({"type": "track", "userId": True}, "userId"),
        ({"type": "track", "userId": "u", "anonymousId": []}, "anonymousId"),
        ([1], "JSON object"),
    ],
)
def test_an_invalid_event_is_refused_by_what_is_wrong(bad: object, complaint: str) -> None:
    with pytest.raises(InvalidOutput, match=f"^Event 0.*{complaint}"):
        split_of(ok([bad]))


def test_a_message_nested_deeper_than_readers_go_is_refused() -> None:
    depth = sys.getrecursionlimit() + 1_000  # other tests may have raised it
    nested = b"[" * depth + b"]" * depth
    event = msgspec.Raw(b'{"type":"track","event":"Seen","userId":"u","properties":{"deep":' + nested + b"}}")

    with pytest.raises(InvalidOutput, match=r"^Event 0.*nested too deep"):
        split_of(Outcome(Status.OK, 1.0, [event]))


def test_an_object_nested_deeper_than_readers_go_is_refused() -> None:
    depth = sys.getrecursionlimit() + 1_000
    nested = b"[" * depth + b"]" * depth
    write = msgspec.Raw(b'{"collection":"deals","id":"1","properties":{"deep":' + nested + b"}}")

    with pytest.raises(InvalidOutput, match=r"^Object 0.*nested too deep"):
        split_of(Outcome(Status.OK, 1.0, [], [write]))


def test_text_that_no_reader_could_decode_is_refused() -> None:
    outcome = Outcome(Status.OK, 1.0, [], [msgspec.Raw(b'{"collection":"deals","id":"\\ud800"}')])

    with pytest.raises(InvalidOutput):
        split_of(outcome)


def test_a_message_that_does_not_fit_a_record_is_refused() -> None:
    with pytest.raises(OutputTooLarge, match="Event 0"):
        split_of(Outcome(Status.OK, 1.0, [raw({"type": "track", "userId": "u", "x": "x" * MAX_RECORD_BYTES})]))
