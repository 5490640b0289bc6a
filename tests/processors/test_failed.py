"""What becomes of webhooks whose function fails: which delay topic, which headers, and when it ends."""

import random

import pytest
from prometheus_client import REGISTRY

from hookmill import headers
from hookmill.records import NewRecord, Record, size_bytes
from hookmill.registry import Source
from hookmill.retry import DELAY_TOPICS
from hookmill.topics import MAX_WEBHOOK_BYTES, Topic
from processors.processor import RecordProcessor
from processors.runtimes.contract import Code, Invocation, Outcome, Status
from tests.processors.parts import (
    NAMES,
    SHOP,
    SHOP_CODE,
    KeepingSender,
    ScriptedPool,
    failed,
    registry_of,
    span_of,
    webhook_record,
)

NOW_MS = 1_800_000_000_500
MOST_DELIVERIES = 6


async def deliver(record: Record, status: Status = Status.ERROR, retries: int | None = None) -> KeepingSender:
    """One delivery at `NOW_MS` that ends so."""
    source = SHOP if retries is None else Source("shop", "Shop", (), "v1", retries=retries)
    sender = KeepingSender()
    pool = ScriptedPool(lambda code, invocation: failed(status))
    processor = RecordProcessor(registry_of(SHOP_CODE, source), pool, sender, NAMES, now_s=lambda: NOW_MS / 1_000)
    await processor.process(span_of(record))
    return sender


def went_to(sender: KeepingSender) -> tuple[Topic, NewRecord]:
    """Where the webhook is now, which is in one place."""
    [(topic, record)] = [
        (topic, record) for topic in (*DELAY_TOPICS, Topic.DEAD_LETTERS) for record in sender.of(topic)
    ]
    return topic, record


async def test_the_largest_webhook_that_is_received_still_fits_where_it_goes_when_it_fails() -> None:
    small = webhook_record(value=b"", request_id="r" * 36)
    largest = MAX_WEBHOOK_BYTES - small.size_bytes
    limits = {spec.name: spec.max_record_bytes for spec in NAMES.specs()}
    sender = KeepingSender()
    pool = ScriptedPool(lambda code, invocation: failed(Status.ERROR, "K" * 1_000, "\u20ac" * 10_000))
    processor = RecordProcessor(registry_of(SHOP_CODE, SHOP), pool, sender, NAMES)

    await processor.process(span_of(webhook_record(value=bytes(largest), request_id="r" * 36)))

    topic, copy = went_to(sender)
    assert limits[NAMES.full(Topic.WEBHOOKS)] == MAX_WEBHOOK_BYTES
    assert size_bytes(copy.key, copy.value, copy.headers) < limits[NAMES.full(topic)]


async def test_a_webhook_that_may_succeed_later_waits_with_its_bytes_and_key() -> None:
    record = webhook_record(4, value=b"\x00not json", key=b"k", replay_id=b"p-1")

    sender = await deliver(record)

    topic, waiting = went_to(sender)
    assert topic is Topic.DELAY_5S
    assert (waiting.value, waiting.key) == (b"\x00not json", b"k")
    assert dict(waiting.headers) == {
        **dict(record.headers),
        "delivery-count": b"2",
        "not-before": b"1800000005500",
        "stage": b"function",
        "origin": b"hookmill.webhooks:2:4",
        "error-class": b"TypeError",
        "error": b"x is not a function",
        "first-failed-at": b"1800000000500",
        "last-failed-at": b"1800000000500",
        "function": b"function.py",
        "function-version": b"v1",
    }
    [report] = sender.reports()
    assert (report.status, report.next, report.retry_in_s, report.delivery_count) == ("error", "retry", 5.0, 1)


async def test_a_webhook_of_a_foreign_producer_keeps_the_identity_that_the_log_gave_it() -> None:
    """Delivered again from another place at another time, it makes the same ids and versions."""
    _, waiting = went_to(await deliver(webhook_record(4, request_id="", received_at=None)))

    found = dict(waiting.headers)
    assert found[headers.ORIGIN] == b"hookmill.webhooks:2:4"
    assert found[headers.REQUEST_ID] == b"hookmill.webhooks:2:4:1700000000500"
    assert found[headers.RECEIVED_AT] == b"1700000000500000"


@pytest.mark.parametrize(
    ("count", "topic", "wait_s"),
    [
        (1, Topic.DELAY_5S, 5),
        (2, Topic.DELAY_25S, 25),
        (3, Topic.DELAY_125S, 125),
        (4, Topic.DELAY_625S, 625),
        (5, Topic.DELAY_3125S, 3_125),
        (6, Topic.DEAD_LETTERS, None),
        (999, Topic.DEAD_LETTERS, None),
    ],
)
@pytest.mark.parametrize("status", [Status.ERROR, Status.TIMEOUT])
async def test_failures_and_time_limits_climb_the_ladder(
    status: Status, count: int, topic: Topic, wait_s: int | None
) -> None:
    sender = await deliver(webhook_record(delivery_count=b"%d" % count, first_failed_at=b"7"), status)

    found, record = went_to(sender)
    values = dict(record.headers)
    [report] = sender.reports()
    assert (found, report.retry_in_s) == (topic, wait_s)
    assert values[headers.DELIVERY_COUNT] == b"%d" % (count + 1 if wait_s else count)
    assert values.get(headers.NOT_BEFORE) == (b"%d" % (NOW_MS + wait_s * 1_000) if wait_s else None)
    assert (values[headers.FIRST_FAILED_AT], values[headers.LAST_FAILED_AT]) == (b"7", b"%d" % NOW_MS)


@pytest.mark.parametrize("status", [Status.MEMORY, Status.CRASH])
async def test_a_webhook_may_kill_two_runners(status: Status) -> None:
    first = await deliver(webhook_record(), status)
    second = await deliver(webhook_record(delivery_count=b"2"), status)

    assert went_to(first)[0] is Topic.DELAY_5S
    assert went_to(second)[0] is Topic.DEAD_LETTERS
    assert [report.next for report in second.reports()] == ["dead"]


@pytest.mark.parametrize("status", [Status.REJECTED, Status.TOO_LARGE])
async def test_what_no_delivery_can_change_is_a_dead_letter_at_once(status: Status) -> None:
    assert went_to(await deliver(webhook_record(), status))[0] is Topic.DEAD_LETTERS


@pytest.mark.parametrize(("retries", "topic"), [(0, Topic.DEAD_LETTERS), (1, Topic.DELAY_5S)])
async def test_a_source_may_want_fewer_retries(retries: int, topic: Topic) -> None:
    assert went_to(await deliver(webhook_record(), retries=retries))[0] is topic
    last = await deliver(webhook_record(delivery_count=b"%d" % (retries + 1)), retries=retries)
    assert went_to(last)[0] is Topic.DEAD_LETTERS


async def test_the_wait_begins_when_the_delivery_failed_not_when_it_began() -> None:
    now_s = [NOW_MS / 1_000]

    def script(code: Code, invocation: Invocation) -> Outcome:
        now_s[0] += 60
        return failed(Status.TIMEOUT)

    sender = KeepingSender()
    registry = registry_of(SHOP_CODE, SHOP)
    await RecordProcessor(registry, ScriptedPool(script), sender, NAMES, now_s=lambda: now_s[0]).process(
        span_of(webhook_record())
    )

    assert headers.int_header(went_to(sender)[1].headers, headers.NOT_BEFORE, 0) == NOW_MS + 65_000


async def test_retries_and_dead_letters_are_counted_apart() -> None:
    def count(name: str) -> float:
        labels = {"source": "shop", "error_class": "timeout"}
        return REGISTRY.get_sample_value(f"hookmill_processors_{name}_total", labels) or 0.0

    before = count("retries"), count("dead_letters")

    await deliver(webhook_record(), Status.TIMEOUT)
    await deliver(webhook_record(delivery_count=b"6"), Status.TIMEOUT)

    assert (count("retries"), count("dead_letters")) == (before[0] + 1, before[1] + 1)


FORGED = (
    b"-1",
    b"0",
    b"5",
    b"6",
    b"999",
    b"1000",
    b"1001",
    b"9" * 18,
    b"9" * 19,
    b"1e3",
    b" 1",
    b"two",
    b"",
    b"\xff\xfe",
    "٣".encode(),
    b"7" * 65_536,
)


async def test_a_webhook_with_forged_headers_comes_to_its_end_all_the_same() -> None:
    """Matrix row 25: whatever the headers say, a webhook that always fails ends after at most six deliveries."""
    seed = random.randrange(1_000_000)
    chance = random.Random(seed)
    names = (
        headers.DELIVERY_COUNT,
        headers.NOT_BEFORE,
        headers.FIRST_FAILED_AT,
        headers.ORIGIN,
        headers.STAGE,
        headers.ERROR,
    )

    for _ in range(1_000):
        forged = tuple((chance.choice(names), chance.choice(FORGED)) for _ in range(chance.randint(1, 8)))
        plain = webhook_record()
        start = Record(plain.topic, 2, 0, 0, None, plain.value, plain.headers + forged)

        deliveries, letter = await deliver_until_dead(start)

        assert 1 <= deliveries <= MOST_DELIVERIES, f"seed {seed}: {forged!r}"
        assert letter.value == plain.value
        assert 1 <= headers.int_header(letter.headers, headers.DELIVERY_COUNT, 0) <= 1_000


async def deliver_until_dead(record: Record) -> tuple[int, NewRecord]:
    """How often a webhook whose function always fails is delivered, and the dead letter."""
    for deliveries in range(1, MOST_DELIVERIES + 2):
        topic, sent = went_to(await deliver(record))
        if topic is Topic.DEAD_LETTERS:
            break
        record = Record(NAMES.full(Topic.WEBHOOKS_REDELIVERY), 0, deliveries, 0, sent.key, sent.value, sent.headers)
    return deliveries, sent
