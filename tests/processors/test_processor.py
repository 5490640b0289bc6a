"""The record processor: what becomes of each webhook of a span."""

import asyncio
from collections.abc import Sequence
from typing import NoReturn

import pytest

from hookmill import headers
from hookmill.errors import LogFull, LogUnavailable, RecordTooLarge
from hookmill.records import NewRecord, Record, Span
from hookmill.registry import Registry
from hookmill.topics import Topic
from processors import hold, shares
from processors.hold import Abandoned
from processors.processor import RecordProcessor
from processors.runtimes.contract import Code, Invocation, Outcome, Status
from tests.processors.parts import (
    NAMES,
    RECEIVED_AT_US,
    SHOP,
    SHOP_CODE,
    SLOW,
    SLOW_CODE,
    KeepingSender,
    ScriptedPool,
    failed,
    ok,
    registry_of,
    slow_record,
    span_of,
    webhook_record,
)

NOW_S = 1_800_000_000.5
TRACK = {"type": "track", "event": "a", "userId": "u"}
DEAL = {"collection": "deals", "id": 1, "properties": {"a": 1}}


def processor_of(
    pool: ScriptedPool, sender: KeepingSender, registry: Registry | None = None, now_s: float = NOW_S
) -> RecordProcessor:
    known = registry or registry_of(SHOP_CODE, SHOP, SLOW_CODE, SLOW)
    return RecordProcessor(known, pool, sender, NAMES, now_s=lambda: now_s)


async def process_one(record: Record, outcome: Outcome) -> KeepingSender:
    sender = KeepingSender()
    await processor_of(ScriptedPool(lambda code, invocation: outcome), sender).process(span_of(record))
    return sender


@pytest.fixture
def no_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hold, "DELAYS_S", (0.001,))


async def test_messages_and_a_report_are_sent_for_each_webhook() -> None:
    sender = KeepingSender()
    pool = ScriptedPool(lambda code, invocation: ok([TRACK, TRACK], [DEAL]))

    await processor_of(pool, sender).process(span_of(webhook_record(0), webhook_record(1)))

    assert len(sender.of(Topic.EVENTS)) == 4
    assert len(sender.of(Topic.OBJECTS)) == 2
    assert sender.of(Topic.DEAD_LETTERS) == []
    first, second = sender.reports()
    assert (first.request_id, second.request_id) == ("shop-0", "shop-1")
    assert (first.status, first.next, first.events, first.objects) == ("ok", "delivered", 2, 1)
    assert (first.function_version, first.received_at, first.delivery_count) == ("v1", RECEIVED_AT_US, 1)
    assert sender.of(Topic.INVOCATIONS)[0].key == b"shop"


async def test_the_function_gets_the_code_and_settings_of_its_source() -> None:
    pool = ScriptedPool(lambda code, invocation: ok())

    await processor_of(pool, KeepingSender()).process(span_of(webhook_record(0), webhook_record(1)))

    assert {code.version for code, _ in pool.calls} == {"v1"}
    assert pool.calls[0][0] == Code("shop", "v1", "python", "function.py", "...", {"currency": "EUR"}, 1_000)
    assert [call.request_id for _, calls in pool.calls for call in calls] == ["shop-0", "shop-1"]


async def test_a_refused_webhook_becomes_a_dead_letter_with_its_bytes_and_key() -> None:
    record = webhook_record(4, value=b"\x00not json", key=b"k", replay_id=b"p-1")

    sender = await process_one(record, failed(Status.REJECTED))

    [letter] = sender.of(Topic.DEAD_LETTERS)
    assert (letter.value, letter.key) == (b"\x00not json", b"k")
    expected = {
        **dict(record.headers),
        "stage": b"function",
        "origin": b"hookmill.webhooks:2:4",
        "error-class": b"TypeError",
        "error": b"x is not a function",
        "first-failed-at": b"1800000000500",
        "last-failed-at": b"1800000000500",
        "function": b"function.py",
        "function-version": b"v1",
    }
    assert dict(letter.headers) == expected
    [report] = sender.reports()
    assert (report.status, report.next, report.error.kind if report.error else "") == ("rejected", "dead", "TypeError")
    assert report.retry_in_s is None


async def test_a_webhook_that_failed_before_keeps_the_time_of_its_first_failure() -> None:
    sender = await process_one(webhook_record(first_failed_at=b"1"), failed(Status.REJECTED))

    values = dict(sender.of(Topic.DEAD_LETTERS)[0].headers)
    assert (values["first-failed-at"], values["last-failed-at"]) == (b"1", b"1800000000500")


async def test_the_error_text_of_a_dead_letter_ends_at_a_kibibyte() -> None:
    sender = await process_one(webhook_record(), failed(Status.REJECTED, message="ä" * 2_000))

    assert headers.text_header(sender.of(Topic.DEAD_LETTERS)[0].headers, headers.ERROR) == "ä" * 512


@pytest.mark.parametrize(
    "status", [Status.ERROR, Status.REJECTED, Status.TIMEOUT, Status.MEMORY, Status.CRASH, Status.TOO_LARGE]
)
async def test_no_failure_is_silent_even_without_an_error(status: Status) -> None:
    sender = await process_one(webhook_record(), Outcome(status, 1.0))

    [again] = sender.of(Topic.DELAY_5S) + sender.of(Topic.DEAD_LETTERS)
    assert headers.text_header(again.headers, headers.ERROR)
    assert headers.text_header(again.headers, headers.ERROR_CLASS)
    [report] = sender.reports()
    assert report.status == status.value


async def test_a_dropped_webhook_leaves_a_report_and_no_dead_letter() -> None:
    sender = await process_one(webhook_record(), failed(Status.DROPPED, "DropEvent", "not for us"))

    assert sender.of(Topic.DEAD_LETTERS) == []
    [report] = sender.reports()
    assert (report.status, report.next) == ("dropped", "dropped")


async def test_an_invalid_message_sends_nothing_of_its_invocation() -> None:
    sender = await process_one(webhook_record(), ok([TRACK], [{"collection": "deals", "id": None}]))

    assert sender.of(Topic.EVENTS) == []
    [letter] = sender.of(Topic.DEAD_LETTERS)
    assert headers.header(letter.headers, headers.ERROR_CLASS) == b"InvalidOutput"
    [report] = sender.reports()
    assert (report.status, report.next, report.events) == ("rejected", "dead", 0)


@pytest.mark.parametrize(
    ("record", "error_class"),
    [
        (webhook_record(source="nobody"), b"UnknownSource"),
        (webhook_record(source=""), b"UnknownSource"),
        (webhook_record(format=b"2"), b"UnknownFormat"),
        (webhook_record(http=b"{"), b"MalformedHttp"),
        (Record(NAMES.full(Topic.WEBHOOKS), 0, 0, 0, None, None, ()), b"UnknownFormat"),
        (Record(NAMES.full(Topic.WEBHOOKS), 0, 0, -1, b"k", None, ()), b"UnknownFormat"),
    ],
)
async def test_a_record_that_cannot_run_is_a_dead_letter_and_reported(record: Record, error_class: bytes) -> None:
    sender = await process_one(record, ok([TRACK]))

    [letter] = sender.of(Topic.DEAD_LETTERS)
    assert headers.header(letter.headers, headers.ERROR_CLASS) == error_class
    assert letter.value == (record.value or (None if record.key else b""))
    assert [report.next for report in sender.reports()] == ["dead"]


async def test_a_source_without_its_function_is_a_dead_letter() -> None:
    sender = KeepingSender()
    pool = ScriptedPool(lambda code, invocation: ok())

    await processor_of(pool, sender, registry_of(SHOP)).process(span_of(webhook_record()))

    [letter] = sender.of(Topic.DEAD_LETTERS)
    assert headers.header(letter.headers, headers.ERROR_CLASS) == b"NoFunction"


async def test_a_fresh_webhook_waits_for_its_source_to_become_known() -> None:
    sender = KeepingSender()
    registry = Registry()
    processor = processor_of(ScriptedPool(lambda code, call: ok()), sender, registry, RECEIVED_AT_US / 1_000_000)

    work = asyncio.create_task(processor.process(span_of(webhook_record())))
    await asyncio.sleep(0.01)
    registry.sources[SHOP.id] = SHOP
    registry.functions[SHOP.id, "v1"] = SHOP_CODE
    await work

    assert [report.next for report in sender.reports()] == ["delivered"]


async def test_without_a_runner_only_what_did_not_run_is_run_again_on_the_slow_lane(no_delays: None) -> None:
    tries: dict[str, int] = {}

    def script(code: Code, invocation: Invocation) -> Outcome:
        tries[invocation.request_id] = tries.get(invocation.request_id, 0) + 1
        if invocation.request_id == "shop-1" and tries["shop-1"] < 3:
            return Outcome(Status.INFRA, 0.0)
        return ok([TRACK])

    sender = KeepingSender()

    await processor_of(ScriptedPool(script), sender).process(span_of(slow_record(0), slow_record(1)))

    assert tries == {"shop-0": 1, "shop-1": 3}
    assert len(sender.of(Topic.EVENTS)) == 2
    assert [report.status for report in sender.reports()] == ["ok", "ok"]


async def test_a_log_that_is_away_gets_the_same_records_when_it_is_back(no_delays: None) -> None:
    sender = KeepingSender([LogUnavailable("away"), LogFull("full"), LogUnavailable("away")])
    steady = KeepingSender()
    span = span_of(webhook_record())
    pool = ScriptedPool(lambda code, invocation: ok([TRACK], [DEAL]))

    await processor_of(pool, sender).process(span)
    await processor_of(pool, steady).process(span)

    assert sender.sent == steady.sent


async def test_a_stop_ends_a_hold_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hold, "DELAYS_S", (600.0,))  # longer than a test may take
    sender = KeepingSender()
    processor = processor_of(ScriptedPool(lambda code, invocation: Outcome(Status.INFRA, 0.0)), sender)
    work = asyncio.create_task(processor.process(span_of(slow_record())))
    await asyncio.sleep(0.01)

    processor.hold.abandon()

    with pytest.raises(ExceptionGroup) as raised:
        await work
    assert raised.value.subgroup(Abandoned) is not None
    assert sender.sent == {}


class LimitedSender(KeepingSender):
    """Topics take values of up to `limits` bytes, as after somebody lowered a limit of theirs."""

    def __init__(self, **limits: int) -> None:
        super().__init__()
        self.limits = limits

    async def send(self, topic: str, records: Sequence[NewRecord]) -> None:
        limit = self.limits.get(topic.removeprefix(NAMES.prefix).partition(".")[0].replace("-", "_"), 1_000_000)
        if any(len(record.value or b"") > limit for record in records):
            raise RecordTooLarge(f"Topic {topic} takes {limit} bytes.")
        await super().send(topic, records)


async def test_a_webhook_whose_message_its_topic_does_not_take_is_a_dead_letter_and_the_others_are_delivered() -> None:
    sender = LimitedSender(events=500)
    large = {**TRACK, "properties": {"x": "x" * 500}}
    pool = ScriptedPool(lambda code, invocation: ok([large if b"large" in invocation.body else TRACK]))
    bodies = [b"{}", b'"large"', b"{}"]

    await processor_of(pool, sender).process(
        span_of(*(webhook_record(offset, value=body) for offset, body in enumerate(bodies)))
    )

    (letter,) = sender.of(Topic.DEAD_LETTERS)
    said = dict(letter.headers)
    assert letter.value == b'"large"'
    assert said[headers.ERROR_CLASS] == b"OutputTooLarge"
    assert said[headers.ERROR] == b"Topic hookmill.events takes 500 bytes."
    assert {dict(event.headers)[headers.REQUEST_ID] for event in sender.of(Topic.EVENTS)} == {b"shop-0", b"shop-2"}
    assert {report.request_id for report in sender.reports() if report.next == "dead"} == {"shop-1"}


async def test_a_webhook_too_large_for_the_delay_topic_is_a_dead_letter() -> None:
    sender = LimitedSender(delay=1)
    pool = ScriptedPool(lambda code, invocation: failed(Status.ERROR))

    await processor_of(pool, sender).process(span_of(webhook_record(value=b"{}")))

    assert [letter.value for letter in sender.of(Topic.DEAD_LETTERS)] == [b"{}"]


@pytest.mark.usefixtures("no_delays")
async def test_a_dead_letter_that_is_too_large_waits_until_the_limit_is_raised() -> None:
    sender = LimitedSender(dead_letters=1)
    pool = ScriptedPool(lambda code, invocation: failed(Status.REJECTED, "ValidationError", "no id"))
    work = asyncio.create_task(processor_of(pool, sender).process(span_of(webhook_record(value=b"{}"))))
    await asyncio.sleep(0.02)
    early = work.done()

    sender.limits.clear()
    await work

    assert not early
    (letter,) = sender.of(Topic.DEAD_LETTERS)
    assert dict(letter.headers)[headers.ERROR] == b"no id"


class BlockingPool(ScriptedPool):
    """A pool in which the source `slow` waits for `released`."""

    def __init__(self) -> None:
        super().__init__(lambda code, invocation: ok([TRACK]))
        self.released = asyncio.Event()

    async def run(self, code: Code, invocations: Sequence[Invocation]) -> Sequence[Outcome]:
        if code.source == "slow":
            await self.released.wait()
        return await super().run(code, invocations)


async def test_a_slow_source_does_not_hold_back_the_others_of_its_span(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "BOUND_S", 60.0)  # its second webhook waits for the first, however busy the machine is
    sender, pool = KeepingSender(), BlockingPool()
    span = span_of(webhook_record(0, source="slow"), webhook_record(1), webhook_record(2, source="slow"))

    work = asyncio.create_task(processor_of(pool, sender).process(span))
    async with asyncio.timeout(30):
        while not sender.of(Topic.EVENTS):
            await asyncio.sleep(0)
    early = [report.source for report in sender.reports()]
    pool.released.set()
    await work

    assert early == ["shop"]
    assert sorted(report.source for report in sender.reports()) == ["shop", "slow", "slow"]


class CancelledSender(KeepingSender):
    async def send(self, topic: str, records: Sequence[NewRecord]) -> NoReturn:
        await asyncio.Event().wait()
        raise AssertionError


async def test_cancelling_ends_the_work() -> None:
    processor = processor_of(ScriptedPool(lambda code, invocation: ok([TRACK])), CancelledSender())
    span: Span = span_of(webhook_record())
    work = asyncio.create_task(processor.process(span))
    await asyncio.sleep(0.01)

    work.cancel()

    with pytest.raises(asyncio.CancelledError):
        await work
