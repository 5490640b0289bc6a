"""The way to the slow lane and off it."""

from hookmill.records import Record
from hookmill.topics import Topic
from processors.deferral import brought_back, deferred
from processors.webhook import read_webhook
from tests.processors.parts import NAMES, webhook_record


def there_and_back(record: Record) -> Record:
    sent = deferred(read_webhook(record))
    there = Record(NAMES.full(Topic.WEBHOOKS_SLOW), 3, 77, 1_700_000_999_000, sent.key, sent.value, sent.headers)
    return brought_back(there)


def test_a_source_is_on_one_partition() -> None:
    keys = {deferred(read_webhook(webhook_record(offset, key=b"%d" % offset))).key for offset in range(5)}

    assert keys == {b"shop"}


def test_a_webhook_comes_back_with_its_key_bytes_and_count() -> None:
    record = webhook_record(4, key=b"\xff\x00", value=b"\x00\xff", delivery_count=b"3", replay_id=b"p")

    back = there_and_back(record)

    assert (back.key, back.value) == (b"\xff\x00", b"\x00\xff")
    assert dict(back.headers) == {**dict(record.headers), "origin": b"hookmill.webhooks:2:4"}


def test_a_webhook_without_a_key_comes_back_without_one() -> None:
    assert there_and_back(webhook_record(4, key=None)).key is None


def test_a_webhook_of_a_foreign_producer_keeps_what_its_place_told_of_it() -> None:
    record = Record(NAMES.full(Topic.WEBHOOKS), 2, 9, 1_700_000_000_500, None, b"1", ((("source"), b"shop"),))

    before, after = read_webhook(record), read_webhook(there_and_back(record))

    assert (after.request_id, after.origin, after.received_at_us) == (
        before.request_id,
        before.origin,
        before.received_at_us,
    )
