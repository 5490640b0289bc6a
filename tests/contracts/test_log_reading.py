"""The log contract, reading: what a reader that owns its partitions sees, and moving about in them."""

import asyncio
import time
import uuid

from hookmill.log.contract import MAX_SPAN_BYTES, MAX_SPAN_RECORDS, Log
from hookmill.records import NewRecord, Span, TopicPartition
from tests.contracts.conftest import MakeTopic
from tests.contracts.reading import (
    DEADLINE_S,
    assert_nothing_more,
    numbered,
    numbers,
    owning,
    places,
    read,
    read_all,
    send,
    until,
    values,
)


async def test_a_reader_sees_what_was_sent_before_it_came_and_after(log: Log, topic: str) -> None:
    async with log.sender() as sender:
        await sender.send(topic, numbered(range(3)))
        async with log.reader([topic], group=f"g.{topic}") as reader:
            before = await read(reader, 3)
            await sender.send(topic, numbered(range(3, 6)))
            after = await read(reader, 3)

    assert numbers(before) == [0, 1, 2]
    assert numbers(after) == [3, 4, 5]
    assert {(record.topic, record.partition) for record in before + after} == {(topic, 0)}


async def test_a_waiting_poll_returns_when_a_record_arrives(log: Log, topic: str) -> None:
    async with log.sender() as sender, log.reader([topic], group=None) as reader:
        await assert_nothing_more(reader)
        polling = asyncio.create_task(reader.poll(DEADLINE_S))
        began = time.monotonic()
        await sender.send(topic, [NewRecord(b"news")])
        (span,) = await polling

    assert values(span.records) == [b"news"]
    assert time.monotonic() - began < DEADLINE_S / 2


async def test_a_poll_without_records_is_empty_after_its_timeout(log: Log, topic: str) -> None:
    async with log.reader([topic], group=None) as reader:
        began = time.monotonic()
        spans = await reader.poll(0.3)
        took_s = time.monotonic() - began

    assert not spans
    assert 0.25 < took_s < DEADLINE_S / 2


async def test_spans_hold_500_records_at_most_and_one_partition_each(log: Log, make_topic: MakeTopic) -> None:
    topic = await make_topic(partitions=2)
    async with log.sender() as sender:
        for partition in (0, 1):
            await sender.send(topic, numbered(range(1_200), partition=partition))

    spans = await _read_spans(log, topic, 2_400)

    assert max(len(span.records) for polled in spans for span in polled) <= MAX_SPAN_RECORDS
    for polled in spans:
        assert len({span.partition for span in polled}) == len(polled)
    for place in places(topic, [0, 1]):
        records = [record for polled in spans for span in polled if span.partition == place for record in span.records]
        assert numbers(records) == list(range(1_200))


async def test_spans_hold_a_mebibyte_at_most_but_for_a_larger_record(log: Log, topic: str) -> None:
    sizes = [700_000, 700_000, 200_000, 1_500_000, 10, 10]
    async with log.sender() as sender:
        for size in sizes[:3]:
            await sender.send(topic, [NewRecord(b"x" * size)])
        await sender.send(topic, [NewRecord(b"x" * size) for size in sizes[3:]])

    spans = [span for polled in await _read_spans(log, topic, 6) for span in polled]

    assert [len(record.value or b"") for span in spans for record in span.records] == sizes
    for span in spans:
        assert len(span.records) == 1 or sum(record.size_bytes for record in span.records) <= MAX_SPAN_BYTES


async def test_one_reader_reads_several_topics(log: Log, make_topic: MakeTopic) -> None:
    first, second = await make_topic(partitions=2), await make_topic()
    await send(log, first, numbered([1, 2], partition=1))
    await send(log, second, numbered([3]))

    async with log.reader([first, second], group=f"g.{first}") as reader:
        records = await read(reader, 3)
        owned = reader.assignment()

    assert sorted((record.topic, record.value) for record in records) == sorted(
        [(first, b"1"), (first, b"2"), (second, b"3")]
    )
    assert owned == places(first, [0, 1]) | places(second, [0])


async def test_a_paused_partition_is_silent_until_resumed_and_goes_on_where_it_stopped(
    log: Log, make_topic: MakeTopic
) -> None:
    topic = await make_topic(partitions=2)
    quiet, loud = TopicPartition(topic, 0), TopicPartition(topic, 1)
    async with log.sender() as sender, log.reader([topic], group=f"g.{topic}") as reader:
        await owning(reader, 2)
        await sender.send(topic, numbered([0, 1], partition=0))
        assert numbers(await read(reader, 2)) == [0, 1]

        reader.pause([quiet])
        await sender.send(topic, numbered([2, 3], partition=0))
        await sender.send(topic, numbered([4, 5], partition=1))
        while_paused = await read(reader, 2)
        await assert_nothing_more(reader)
        owned = reader.assignment()
        reader.resume([quiet])
        resumed = await read(reader, 2)

    assert numbers(while_paused) == [4, 5]
    assert owned == {quiet, loud}
    assert numbers(resumed) == [2, 3]


async def test_resuming_what_nobody_paused_or_owns_is_ignored(log: Log, topic: str) -> None:
    await send(log, topic, numbered([0]))

    async with log.reader([topic], group=None) as reader:
        reader.resume([TopicPartition(topic, 0), TopicPartition(topic, 7), TopicPartition("contract.elsewhere", 0)])
        reader.pause([TopicPartition(topic, 7)])
        assert numbers(await read(reader, 1)) == [0]


async def test_seek_goes_on_at_the_offset(log: Log, topic: str) -> None:
    await send(log, topic, numbered(range(10)))

    async with log.reader([topic], group=f"g.{topic}") as reader:
        await read(reader, 10)
        await reader.seek({TopicPartition(topic, 0): 7, TopicPartition("contract.elsewhere", 3): 1})
        again = await read(reader, 3)
        await assert_nothing_more(reader)

    assert numbers(again) == [7, 8, 9]


async def test_reading_goes_on_at_the_first_record_of_a_time_or_later(log: Log, make_topic: MakeTopic) -> None:
    topic = await make_topic(partitions=3)
    start_ms = int(time.time() * 1_000) - 100_000
    # In partition 0 one batch, in partition 1 a batch each; partition 2 has nothing that late.
    times = [(number, start_ms + number * 1_000) for number in range(10)]
    async with log.sender() as sender:
        await sender.send(
            topic, [NewRecord(b"%d" % number, partition=0, timestamp_ms=when_ms) for number, when_ms in times]
        )
        for number, when_ms in times:
            await sender.send(topic, [NewRecord(b"%d" % number, partition=1, timestamp_ms=when_ms)])
        await sender.send(topic, [NewRecord(b"0", partition=2, timestamp_ms=start_ms)])

        async with log.reader([topic], group=None) as reader:
            await read(reader, 21)
            await reader.seek(await reader.positions_at_time(start_ms + 6_500))
            found = await read(reader, 6)
            await assert_nothing_more(reader)
            await reader.seek(await reader.positions_at_time(start_ms + 60_000))
            await assert_nothing_more(reader)
            await sender.send(topic, numbered([99], partition=2))
            (last,) = await read(reader, 1)

    assert sorted((record.partition, record.value) for record in found) == [
        (0, b"7"),
        (0, b"8"),
        (0, b"9"),
        (1, b"7"),
        (1, b"8"),
        (1, b"9"),
    ]
    assert last.value == b"99"


async def test_a_reader_from_the_end_sees_only_what_comes_after_its_opening(log: Log, make_topic: MakeTopic) -> None:
    topic = await make_topic(partitions=2)
    async with log.sender() as sender:
        await sender.send(topic, numbered(range(10), partition=0))
        for group in (None, f"g.{topic}"):
            async with log.reader([topic], group=group, from_end=True) as reader:
                await sender.send(topic, numbered([11], partition=0))
                await sender.send(topic, numbered([12], partition=1))
                assert sorted(numbers(await read(reader, 2))) == [11, 12], group


async def test_from_the_end_gives_way_to_a_committed_position(log: Log, topic: str) -> None:
    group = f"g.{topic}"
    await send(log, topic, numbered(range(5)))
    async with log.reader([topic], group=group) as reader:
        await read(reader, 5)
        await reader.commit({TopicPartition(topic, 0): 2})

    async with log.reader([topic], group=group, from_end=True) as reader:
        records = await read(reader, 3)

    assert numbers(records) == [2, 3, 4]


async def test_end_positions_and_lag_follow_sends_and_commits(log: Log, make_topic: MakeTopic) -> None:
    topic = await make_topic(partitions=2)
    first, second = TopicPartition(topic, 0), TopicPartition(topic, 1)
    async with log.sender() as sender, log.reader([topic], group=f"g.{topic}") as reader:
        await owning(reader, 2)
        assert await reader.end_positions() == {first: 0, second: 0}
        assert await reader.lag() == {first: 0, second: 0}

        await sender.send(topic, numbered(range(5), partition=0))
        assert await reader.end_positions() == {first: 5, second: 0}
        assert await reader.lag() == {first: 5, second: 0}

        await read(reader, 5)
        await reader.commit({first: 3})
        assert await reader.lag() == {first: 2, second: 0}
        await reader.commit({first: 5})
        assert await reader.lag() == {first: 0, second: 0}


async def test_a_reader_without_group_owns_everything_at_once_and_disturbs_nobody(
    log: Log, make_topic: MakeTopic
) -> None:
    topic = await make_topic(partitions=2)
    await send(log, topic, numbered([0, 1], partition=0))
    async with log.reader([topic], group=f"g.{topic}") as member:
        await owning(member, 2)
        async with log.reader([topic], group=None) as one, log.reader([topic], group=None) as other:
            assert one.assignment() == other.assignment() == places(topic, [0, 1])
            assert numbers(await read(one, 2)) == numbers(await read(other, 2)) == [0, 1]
        await until(member, lambda: member.assignment() == places(topic, [0, 1]))


async def test_a_cancelled_poll_loses_no_record(log: Log, topic: str) -> None:
    async with log.sender() as sender, log.reader([topic], group=None) as reader:
        records = []
        for number in range(20):
            polling = asyncio.create_task(reader.poll(5))
            await asyncio.sleep(0.001 * (number % 5))
            await sender.send(topic, numbered([number]))
            polling.cancel()
            for outcome in await asyncio.gather(polling, return_exceptions=True):
                if not isinstance(outcome, BaseException):
                    records += [record for span in outcome for record in span.records]
        records += await read(reader, 20 - len(records))

    assert numbers(records) == list(range(20))


async def test_groups_of_the_same_name_on_other_topics_do_not_meet(log: Log, make_topic: MakeTopic) -> None:
    one, other = await make_topic(), await make_topic()
    group = f"g.{uuid.uuid4().hex}"
    await send(log, one, numbered([1]))
    await send(log, other, numbered([2]))

    assert numbers(await read_all(log, one, 1)) == [1]
    async with log.reader([one], group=group) as reader:
        assert numbers(await read(reader, 1)) == [1]
    async with log.reader([other], group=group) as reader:
        assert numbers(await read(reader, 1)) == [2]


async def _read_spans(log: Log, topic: str, count: int) -> list[list[Span]]:
    """What each poll returned."""
    polls: list[list[Span]] = []
    async with asyncio.timeout(DEADLINE_S), log.reader([topic], group=None) as reader:
        while sum(len(span.records) for spans in polls for span in spans) < count:
            polls.append(list(await reader.poll(0.5)))
    return polls
