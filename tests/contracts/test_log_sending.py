"""The log contract, sending: what is stored, in which order, how exactly, and what is refused."""

import asyncio
import time

import pytest

from hookmill.errors import RecordTooLarge, TopicMissing
from hookmill.log.contract import Log
from hookmill.records import NewRecord
from hookmill.topics import DAY_MS, MAX_BODY_BYTES, TopicSpec
from tests.contracts.conftest import MakeTopic
from tests.contracts.engines import Engine
from tests.contracts.reading import numbered, numbers, read_all, send, values

EVERY_BYTE = bytes(range(256))


async def test_records_of_a_partition_keep_the_order_of_sending(log: Log, make_topic: MakeTopic) -> None:
    topic = await make_topic(partitions=2)

    async with log.sender() as sender:
        for start in range(0, 100, 10):
            await sender.send(topic, numbered(range(start, start + 10), partition=1))

    records = await read_all(log, topic, 100)
    assert numbers(records) == list(range(100))
    assert {record.partition for record in records} == {1}
    assert [record.offset for record in records] == list(range(100))


async def test_records_of_one_key_share_a_partition_in_order(log: Log, make_topic: MakeTopic) -> None:
    topic = await make_topic(partitions=4)
    keys = [b"key-%d" % number for number in range(20)]

    async with log.sender() as sender:
        for number in range(5):
            await sender.send(topic, [NewRecord(b"%d" % number, key=key) for key in keys])

    records = await read_all(log, topic, 100)
    for key in keys:
        of_key = [record for record in records if record.key == key]
        assert numbers(of_key) == [0, 1, 2, 3, 4]
        assert len({record.partition for record in of_key}) == 1
    assert len({record.partition for record in records}) > 1


async def test_keyless_records_of_one_call_keep_their_order_and_calls_spread(log: Log, make_topic: MakeTopic) -> None:
    topic = await make_topic(partitions=2)

    async with log.sender() as sender:
        for call in range(20):
            await sender.send(topic, numbered(range(50), headers=(("call", b"%d" % call),)))

    records = await read_all(log, topic, 1_000)
    assert {record.partition for record in records} == {0, 1}
    for call in range(20):
        for partition in (0, 1):
            piece = [r for r in records if r.partition == partition and r.headers == (("call", b"%d" % call),)]
            assert numbers(piece) == sorted(numbers(piece))


async def test_what_was_sent_is_there_for_another_process(log: Log, engine: Engine, topic: str) -> None:
    async with log.sender() as sender:
        await sender.send(topic, numbered(range(3)))

        records = await read_all(engine.open(), topic, 3)

    assert numbers(records) == [0, 1, 2]


@pytest.mark.parametrize(
    "record",
    [
        NewRecord(EVERY_BYTE * 3, key=EVERY_BYTE),
        NewRecord(b"", key=None),
        NewRecord(b"", key=b""),
        NewRecord(None, key=b"deleted"),
        NewRecord(b"value", key=None, headers=(("empty", b""), ("all", EVERY_BYTE))),
        NewRecord(b"value", headers=(("z", b"1"), ("a", b"2"), ("m", b"3"))),
        NewRecord(b"value", headers=tuple((f"header-{number}", b"x" * 1_000) for number in range(128))),
    ],
    ids=["bytes", "empty value", "empty key", "tombstone", "header values", "header order", "many headers"],
)
async def test_key_value_and_headers_are_kept_exactly(log: Log, topic: str, record: NewRecord) -> None:
    await send(log, topic, [record])

    (kept,) = await read_all(log, topic, 1)

    assert (kept.key, kept.value, kept.headers) == (record.key, record.value, record.headers)


async def test_the_largest_body_with_headers_is_kept(log: Log, topic: str) -> None:
    body = EVERY_BYTE * (MAX_BODY_BYTES // 256)
    headers = (("http", b"h" * 60_000), ("source", b"shop"))

    await send(log, topic, [NewRecord(body, headers=headers), NewRecord(b"next")])

    large, small = await read_all(log, topic, 2)
    assert large.value == body
    assert large.headers == headers
    assert small.value == b"next"


async def test_a_record_over_the_limit_is_refused_and_nothing_of_the_call_stored(
    log: Log, make_topic: MakeTopic
) -> None:
    topic = await make_topic(max_record_bytes=10_000)

    async with log.sender() as sender:
        with pytest.raises(RecordTooLarge, match=r"10,000|10000"):
            await sender.send(topic, [NewRecord(b"small"), NewRecord(b"x" * 20_000)])
        await sender.send(topic, [NewRecord(b"x" * 9_000), NewRecord(b"last")])

    assert values(await read_all(log, topic, 2)) == [b"x" * 9_000, b"last"]


async def test_a_given_timestamp_is_kept_and_a_missing_one_is_now(log: Log, topic: str) -> None:
    before_ms = int(time.time() * 1_000)
    given_ms = before_ms - 60_000

    await send(log, topic, [NewRecord(b"given", timestamp_ms=given_ms), NewRecord(b"now")])

    given, now = await read_all(log, topic, 2)
    assert given.timestamp_ms == given_ms
    assert before_ms <= now.timestamp_ms <= time.time() * 1_000


async def test_sending_nothing_stores_nothing(log: Log, topic: str) -> None:
    async with log.sender() as sender:
        await sender.send(topic, [])
        await sender.send(topic, [NewRecord(b"first")])

    (record,) = await read_all(log, topic, 1)
    assert (record.offset, record.value) == (0, b"first")


async def test_sends_at_the_same_time_all_arrive_each_in_order(log: Log, make_topic: MakeTopic) -> None:
    topic = await make_topic(partitions=4)

    async with log.sender() as sender:
        calls = (sender.send(topic, numbered(range(5), key=b"caller-%d" % caller)) for caller in range(100))
        await asyncio.gather(*calls)

    records = await read_all(log, topic, 500)
    for caller in range(100):
        assert numbers(record for record in records if record.key == b"caller-%d" % caller) == [0, 1, 2, 3, 4]


async def test_leaving_the_sender_waits_for_sends_in_progress(log: Log, topic: str) -> None:
    async with log.sender() as sender:
        await sender.send(topic, [NewRecord(b"0")])
        sends = [asyncio.create_task(sender.send(topic, [record])) for record in numbered(range(1, 50))]
        await asyncio.sleep(0)

    await asyncio.gather(*sends)
    assert sorted(numbers(await read_all(log, topic, 50))) == list(range(50))


async def test_a_topic_that_does_not_exist_is_missing_for_senders_and_readers_and_is_not_created(log: Log) -> None:
    async with log.sender() as sender:
        for _ in range(2):
            with pytest.raises(TopicMissing, match="contract-nowhere"):
                await sender.send("contract-nowhere", [NewRecord(b"lost")])
    for group in ("some-group", None):
        with pytest.raises(TopicMissing, match="contract-nowhere"):
            async with log.reader(["contract-nowhere"], group=group):
                pass


async def test_a_topic_can_be_sent_to_once_it_is_created(log: Log, topic: str) -> None:
    later = f"{topic}.later"
    async with log.sender() as sender:
        with pytest.raises(TopicMissing):
            await sender.send(later, [NewRecord(b"too early")])
        await log.ensure_topics([TopicSpec(later, 1, DAY_MS)])

        await sender.send(later, [NewRecord(b"in time")])

    assert values(await read_all(log, later, 1)) == [b"in time"]


async def test_topics_are_created_once_and_left_as_they_are(log: Log, topic: str) -> None:
    new = f"{topic}.new"
    await send(log, topic, [NewRecord(b"kept")])

    created = await log.ensure_topics([TopicSpec(new, 2, DAY_MS)])
    again = await log.ensure_topics([TopicSpec(new, 2, DAY_MS)])
    different = await log.ensure_topics([TopicSpec(topic, 3, DAY_MS // 2)])

    assert len(created) == 1
    assert new in created[0]
    assert again == []
    assert len(different) == 2
    assert all(topic in sentence for sentence in different)
    async with log.reader([topic], group=None) as reader:
        assert len(reader.assignment()) == 1
    assert values(await read_all(log, topic, 1)) == [b"kept"]


async def test_several_processes_may_create_the_topics_at_once(engine: Engine, topic: str) -> None:
    specs = [TopicSpec(f"{topic}.{number}", 2, DAY_MS) for number in range(3)]

    said = await asyncio.gather(*(engine.open().ensure_topics(specs) for _ in range(3)))

    assert len([sentence for sentences in said for sentence in sentences]) == 3
    await send(engine.open(), specs[2].name, [NewRecord(b"usable")])
