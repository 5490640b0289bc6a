"""Sending to a real Kafka, and to one that goes away."""

import asyncio
import contextlib
import gc
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from console.broker import LocalKafka
from hookmill.config import KafkaConfig
from hookmill.errors import LogUnavailable, RecordTooLarge, TopicMissing
from hookmill.log.kafka import KafkaLog
from hookmill.log.kafka import sender as sender_module
from hookmill.log.kafka.sender import KafkaSender
from hookmill.records import NewRecord
from hookmill.topics import DAY_MS, MAX_RECORD_BYTES, TopicSpec
from tests.kafka_admin import configure_topic

DEADLINE_S = 40.0

# A connection that aiokafka 0.14 makes while its broker goes away is lost to it; the collector closes it and says so.
pytestmark = [pytest.mark.kafka, pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.fixture
def log(kafka_bootstrap: str) -> KafkaLog:
    return KafkaLog(KafkaConfig(bootstrap_servers=kafka_bootstrap))


@pytest.fixture
def name() -> str:
    return f"t.{uuid.uuid4().hex}"


@pytest.fixture(scope="module")
def mortal(kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    """A Kafka to be killed; a test that does starts it again. (`kafka_bootstrap` found out that there can be one.)"""
    broker = LocalKafka(tmp_path_factory.mktemp("mortal"), max_heap_mb=256)
    broker.start()
    yield broker
    broker.kill()
    gc.collect()  # here, where lost connections are expected


async def test_a_missing_topic_is_reported_at_once_and_not_created(log: KafkaLog, name: str) -> None:
    async with log.sender() as sender:
        began = time.monotonic()
        for _ in range(2):
            with pytest.raises(TopicMissing, match=name):
                await sender.send(name, [NewRecord(b"x")])

        assert time.monotonic() - began < 20  # aiokafka would wait for a minute
    with pytest.raises(TopicMissing):
        async with log.reader([name], group=None):
            pass


async def test_a_topic_created_after_the_first_attempt_is_found(log: KafkaLog, name: str) -> None:
    async with log.sender() as sender:
        with pytest.raises(TopicMissing):
            await sender.send(name, [NewRecord(b"x")])
        await log.ensure_topics([TopicSpec(name, 1, DAY_MS)])

        await sender.send(name, [NewRecord(b"x")])

    assert await _values(log, name, 1) == [b"x"]


async def test_the_largest_record_fits_and_one_byte_more_stores_nothing(log: KafkaLog, name: str) -> None:
    await log.ensure_topics([TopicSpec(name, 1, DAY_MS)])
    largest = NewRecord(bytes(MAX_RECORD_BYTES - 1), headers=(("h", b""),))

    async with log.sender() as sender:
        with pytest.raises(RecordTooLarge):
            await sender.send(name, [NewRecord(b"x"), NewRecord(bytes(MAX_RECORD_BYTES + 1))])
        await sender.send(name, [largest])

    assert [len(value) for value in await _values(log, name, 1)] == [MAX_RECORD_BYTES - 1]


async def test_a_limit_lowered_behind_the_senders_back_hurts_only_what_is_too_large(
    log: KafkaLog, kafka_bootstrap: str, name: str
) -> None:
    async with _limit_lowered(log, kafka_bootstrap, name) as (sender, there):
        with pytest.raises(RecordTooLarge, match=name):
            await sender.send(name, [NewRecord(bytes(20_000))])
        with pytest.raises(RecordTooLarge, match=name):
            await sender.send(name, [NewRecord(bytes(20_000))])
        await sender.send(name, [NewRecord(bytes(1_000))] * 20)

    assert len(await _values(log, name, there + 20)) == there + 20


async def test_a_batch_over_a_lowered_limit_is_sent_in_smaller_ones(
    log: KafkaLog, kafka_bootstrap: str, name: str
) -> None:
    async with _limit_lowered(log, kafka_bootstrap, name) as (sender, there):
        await sender.send(name, [NewRecord(b"%d" % number + bytes(1_000)) for number in range(20)])

    values = await _values(log, name, there + 20)
    assert len(values) == there + 20
    assert [int(value.rstrip(b"\0")) for value in values[-20:]] == list(range(20))


async def test_a_record_over_a_lowered_limit_harms_no_other_call(
    log: KafkaLog, kafka_bootstrap: str, name: str
) -> None:
    async with _limit_lowered(log, kafka_bootstrap, name) as (sender, there):
        small = [sender.send(name, [NewRecord(bytes(100))]) for _ in range(50)]
        large = sender.send(name, [NewRecord(bytes(20_000))])
        outcomes = await asyncio.gather(*small[:25], large, *small[25:], return_exceptions=True)

    assert [type(outcome) for outcome in outcomes if outcome is not None] == [RecordTooLarge]
    assert len(await _values(log, name, there + 50)) == there + 50


async def test_a_limit_raised_again_is_noticed(
    log: KafkaLog, kafka_bootstrap: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_module, "_LIMIT_TRUSTED_S", 0.1)
    await log.ensure_topics([TopicSpec(name, 1, DAY_MS, max_record_bytes=8_192)])
    async with log.sender() as sender:
        with pytest.raises(RecordTooLarge, match=name):
            await sender.send(name, [NewRecord(bytes(20_000))])
        await _set_max_message_bytes(kafka_bootstrap, name, 100_000)

        async with asyncio.timeout(DEADLINE_S):
            while True:
                try:
                    await sender.send(name, [NewRecord(bytes(20_000))])
                    break
                except RecordTooLarge:
                    await asyncio.sleep(0.1)

    assert [len(value) for value in await _values(log, name, 1)] == [20_000]


async def test_a_send_goes_on_when_its_caller_is_cancelled(log: KafkaLog, name: str) -> None:
    await log.ensure_topics([TopicSpec(name, 1, DAY_MS)])
    async with log.sender() as sender:
        call = asyncio.create_task(sender.send(name, [NewRecord(b"x")]))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    assert await _values(log, name, 1) == [b"x"]


@pytest.mark.kills
async def test_a_broker_that_went_away_costs_the_deadline_and_its_return_is_noticed(
    mortal: LocalKafka, name: str
) -> None:
    log = KafkaLog(KafkaConfig(bootstrap_servers=mortal.bootstrap_servers, send_timeout_s=1))
    await log.ensure_topics([TopicSpec(name, 1, DAY_MS)])
    async with log.sender() as sender:
        await _send_until_stored(sender, name, NewRecord(b"before"))
        mortal.kill()

        with pytest.raises(LogUnavailable, match="unknown"):
            await sender.send(name, [NewRecord(b"during")])
        await asyncio.to_thread(mortal.start)
        await _send_until_stored(sender, name, NewRecord(b"after"))

    values = await _values(log, name, 2)
    assert values[0] == b"before"
    assert b"after" in values


@pytest.mark.kills
async def test_leaving_the_sender_ends_although_the_broker_is_away(mortal: LocalKafka, name: str) -> None:
    log = KafkaLog(KafkaConfig(bootstrap_servers=mortal.bootstrap_servers, send_timeout_s=0.5))
    await log.ensure_topics([TopicSpec(name, 1, DAY_MS)])
    async with log.sender() as sender:
        await _send_until_stored(sender, name, NewRecord(b"before"))
        mortal.kill()
        with pytest.raises(LogUnavailable):
            await sender.send(name, [NewRecord(b"during")])
        began = time.monotonic()

    took_s = time.monotonic() - began
    await asyncio.to_thread(mortal.start)
    assert took_s < 15  # aiokafka would wait until the broker is back


@pytest.mark.kills
async def test_nothing_acknowledged_is_lost_when_the_broker_is_killed_under_load(mortal: LocalKafka, name: str) -> None:
    log = KafkaLog(KafkaConfig(bootstrap_servers=mortal.bootstrap_servers, send_timeout_s=3))
    await log.ensure_topics([TopicSpec(name, 4, DAY_MS)])
    acknowledged: list[bytes] = []
    is_over = asyncio.Event()

    async def keep_sending(sender_number: int) -> None:
        count = 0
        while not is_over.is_set():
            batch = [b"%d-%d" % (sender_number, count + index) for index in range(10)]
            count += 10
            try:
                await sender.send(name, [NewRecord(value) for value in batch])
            except LogUnavailable:
                continue
            acknowledged.extend(batch)

    async with log.sender() as sender, asyncio.TaskGroup() as tasks:
        for number in range(4):
            tasks.create_task(keep_sending(number))
        for _ in range(2):
            before = len(acknowledged)
            await _until(lambda before=before: len(acknowledged) > before + 500)
            mortal.kill()
            await asyncio.to_thread(mortal.start)
        before = len(acknowledged)
        await _until(lambda: len(acknowledged) > before + 500)
        is_over.set()

    stored = await _values(log, name, len(acknowledged))
    assert set(acknowledged) <= set(stored)


async def _values(log: KafkaLog, topic: str, at_least: int) -> list[bytes]:
    """Values on `topic`, all that are there and no fewer than asked for."""
    values: list[bytes] = []
    async with log.reader([topic], group=None) as reader, asyncio.timeout(DEADLINE_S):
        ends = await reader.end_positions()
        while len(values) < max(at_least, sum(ends.values())):
            for span in await reader.poll(1):
                values += [record.value or b"" for record in span.records]
    return values


async def _send_until_stored(sender: KafkaSender, topic: str, record: NewRecord) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                return await sender.send(topic, [record])
            except LogUnavailable:
                continue


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not holds():
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def _limit_lowered(log: KafkaLog, bootstrap: str, topic: str) -> AsyncIterator[tuple[KafkaSender, int]]:
    """A sender that has learnt the limit as it was before, and how many records are on the topic."""
    await log.ensure_topics([TopicSpec(topic, 1, DAY_MS)])
    async with log.sender() as sender:
        await sender.send(topic, [NewRecord(b"before")])
        yield sender, 1 + await _lower_max_message_bytes(log, bootstrap, topic)


async def _lower_max_message_bytes(log: KafkaLog, bootstrap: str, topic: str) -> int:
    """The broker refuses more than 8,192 bytes. Returns how many larger records it took before: it confirms a change
    before it acts on it."""
    await _set_max_message_bytes(bootstrap, topic, 8_192)
    async with log.sender() as sender:
        for taken in range(1_000):
            try:
                await sender.send(topic, [NewRecord(bytes(20_000))])
            except RecordTooLarge:
                return taken
    raise AssertionError("the limit never came into force")


async def _set_max_message_bytes(bootstrap: str, topic: str, size: int) -> None:
    await configure_topic(bootstrap, topic, {"max.message.bytes": str(size)})
