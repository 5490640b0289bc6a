"""The log contract, forgetting: retention by age, and compacted topics as the registry uses them."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from hookmill.errors import TopicMissing
from hookmill.log.contract import Log, RecordReader
from hookmill.records import NewRecord, Record, TopicPartition
from hookmill.topics import DAY_MS, KEPT
from tests.contracts.conftest import MakeTopic
from tests.contracts.engines import Engine
from tests.contracts.reading import (
    DEADLINE_S,
    assert_nothing_more,
    eventually,
    numbered,
    numbers,
    owning,
    read,
    send,
    until,
    values,
)
from tests.kafka_admin import configure_topic

MINUTE_MS = 60_000

CompactSoon = Callable[[str], Awaitable[None]]


@pytest.fixture
def compact_soon(engine: Engine) -> CompactSoon:
    """Makes the engine compact a topic within seconds of its next records; Kafka waits for a segment of a week else."""

    async def nothing_to_do(topic: str) -> None:
        """The embedded log's housekeeping does not wait."""

    async def shorten_segments(topic: str) -> None:
        settings = {"cleanup.policy": "compact", "segment.ms": "200", "min.cleanable.dirty.ratio": "0.01"}
        await configure_topic(engine.address.split()[1], topic, settings)

    return nothing_to_do if engine.kind == "sqlite" else shorten_segments


async def test_records_older_than_the_retention_go_and_younger_ones_stay(log: Log, make_topic: MakeTopic) -> None:
    topic = await make_topic(retention_ms=10 * MINUTE_MS)
    async with log.sender() as sender:
        await _let_expire(log, topic, records=5)
        await sender.send(topic, numbered(range(5, 8)))
        records = await _read_from_start(log, topic)

    assert numbers(records) == [5, 6, 7]
    assert [record.offset for record in records] == [5, 6, 7]


async def test_a_reader_whose_position_was_removed_goes_on_at_what_is_left_and_what_it_missed_is_counted(
    log: Log, make_topic: MakeTopic
) -> None:
    topic = await make_topic(retention_ms=10 * MINUTE_MS)
    group, place = f"g.{topic}", TopicPartition(topic, 0)
    async with log.sender() as sender:
        await _stand_at(log, topic, group, 2)
        await _let_expire(log, topic, records=5)
        await sender.send(topic, numbered([5, 6]))
        async with log.reader([topic], group=group) as reader:
            records = await read(reader, 2)
            await reader.commit({place: 7})
        async with log.reader([topic], group=group) as successor:
            await owning(successor, 1)
            await assert_nothing_more(successor)

    assert numbers(records) == [5, 6]
    assert _missed(group, topic) == 3


async def test_what_a_group_missed_is_counted_before_anything_new_comes(log: Log, make_topic: MakeTopic) -> None:
    topic = await make_topic(retention_ms=10 * MINUTE_MS)
    group = f"g.{topic}"
    async with log.sender():
        await _stand_at(log, topic, group, 1)
        await _let_expire(log, topic, records=5)

        async with log.reader([topic], group=group) as reader:
            records = await until(reader, lambda: _missed(group, topic) > 0)

    assert records == []
    assert _missed(group, topic) == 4


async def test_what_a_group_missed_is_not_counted_again_by_the_next_reader(log: Log, make_topic: MakeTopic) -> None:
    topic = await make_topic(retention_ms=10 * MINUTE_MS)
    group = f"g.{topic}"
    async with log.sender() as sender:
        await _stand_at(log, topic, group, 1)
        await _let_expire(log, topic, records=5)
        async with log.reader([topic], group=group) as reader:
            await until(reader, lambda: _missed(group, topic) > 0)

        async with log.reader([topic], group=group) as successor:
            await sender.send(topic, numbered([5]))
            records = await read(successor, 1)

    assert numbers(records) == [5]
    assert _missed(group, topic) == 4


async def test_what_was_read_behind_a_gap_and_not_committed_comes_again(log: Log, make_topic: MakeTopic) -> None:
    topic = await make_topic(retention_ms=10 * MINUTE_MS)
    group = f"g.{topic}"
    async with log.sender() as sender:
        await _stand_at(log, topic, group, 1)
        await _let_expire(log, topic, records=3)
        await sender.send(topic, numbered(range(3, 6)))
        async with log.reader([topic], group=group) as reader:
            in_work = await read(reader, 3)

        async with log.reader([topic], group=group) as successor:
            records = await read(successor, 3)

    assert numbers(in_work) == numbers(records) == [3, 4, 5]
    assert _missed(group, topic) == 2


async def test_what_was_removed_before_the_first_commit_of_a_group_is_counted(log: Log, make_topic: MakeTopic) -> None:
    topic = await make_topic(retention_ms=10 * MINUTE_MS)
    group = f"g.{topic}"
    async with log.sender() as sender:
        async with log.reader([topic], group=group) as reader:
            await owning(reader, 1)
            await assert_nothing_more(reader)
        await _let_expire(log, topic, records=5)

        async with log.reader([topic], group=group) as reader:
            await sender.send(topic, numbered([5]))
            records = await read(reader, 1)

    assert numbers(records) == [5]
    assert _missed(group, topic) == 5


async def test_a_reader_without_group_misses_nothing(log: Log, make_topic: MakeTopic) -> None:
    topic = await make_topic(retention_ms=10 * MINUTE_MS)
    place = TopicPartition(topic, 0)
    async with log.sender() as sender:
        await _let_expire(log, topic, records=5)
        await sender.send(topic, numbered([5]))

        with capture_logs() as lines:
            async with log.reader([topic], group=None) as reader:
                await reader.seek({place: 0})
                records = await read(reader, 1)

    assert numbers(records) == [5]
    assert [line for line in lines if line["log_level"] != "debug"] == []


async def test_a_position_beyond_the_end_means_reading_all_again(log: Log, topic: str) -> None:
    """As when the topic was created anew or restored from an older copy, but not the positions of its readers."""
    await send(log, topic, numbered(range(10)))
    async with log.reader([topic], group=topic) as reader:
        await owning(reader, 1)
        await reader.commit({TopicPartition(topic, 0): 50})

    with capture_logs() as lines:
        async with log.reader([topic], group=topic) as reader:
            records = await read(reader, 10)

    assert numbers(records) == list(range(10))
    assert [(line["event"], line["log_level"], line["position"], line["end"]) for line in lines] == [
        ("log.position_beyond_end", "error", 50, 10)
    ]


async def test_a_compacted_topic_gives_the_latest_of_each_key_and_then_what_comes_live(
    log: Log, make_topic: MakeTopic, compact_soon: CompactSoon
) -> None:
    topic = await make_topic(retention_ms=None)
    await compact_soon(topic)
    async with log.sender() as sender, log.reader([topic], group=None) as live:
        for version in range(10):
            await sender.send(
                topic, [NewRecord(b"%s %d" % (key, version), key=key) for key in (b"kept", b"changed", b"deleted")]
            )
        await sender.send(topic, [NewRecord(b"final", key=b"changed"), NewRecord(None, key=b"deleted")])
        followed = _Table(await _read_up_to(live, offset=31))

        async def is_compacted() -> bool:
            # A segment of Kafka closes when the next record comes.
            await sender.send(topic, [NewRecord(b"tick", key=b"clock")])
            olds = [record for record in await _read_from_start(log, topic) if record.key == b"kept"]
            return len(olds) == 1

        await eventually(is_compacted, "old versions go")
        fresh = await _read_from_start(log, topic)
        await sender.send(topic, [NewRecord(b"after", key=b"kept")])
        while followed.latest.get(b"kept") != b"after":
            followed.add(await read(live, 1))

    from_start = _Table(fresh)
    assert from_start.latest == {b"kept": b"kept 9", b"changed": b"final", b"deleted": None, b"clock": b"tick"}
    assert followed.latest == {**from_start.latest, b"kept": b"after"}
    assert _Table([record for record in fresh if record.key == b"kept"]).offsets == [27]
    assert values(record for record in fresh if record.key == b"deleted")[-1:] == [None]
    offsets = [record.offset for record in fresh]
    assert offsets == sorted(set(offsets))


async def test_a_reader_in_the_middle_of_a_compacted_topic_goes_on_over_the_gaps(
    log: Log, make_topic: MakeTopic, compact_soon: CompactSoon
) -> None:
    topic = await make_topic(retention_ms=None)
    group = f"g.{topic}"
    await compact_soon(topic)
    await send(log, topic, [NewRecord(b"%d" % version, key=b"key") for version in range(20)])
    await _stand_at(log, topic, group, 5)
    async with log.sender() as sender:

        async def is_compacted() -> bool:
            await sender.send(topic, [NewRecord(b"tick", key=b"clock")])
            return len([record for record in await _read_from_start(log, topic) if record.key == b"key"]) == 1

        await eventually(is_compacted, "old versions go")

    async with log.reader([topic], group=group) as reader:
        first = (await read(reader, 1))[0]
    assert (first.offset, first.value) == (19, b"19")


async def test_what_is_kept_stays_until_it_is_forgotten(log: Log, make_topic: MakeTopic) -> None:
    topic = await make_topic(retention_ms=KEPT)
    place = TopicPartition(topic, 0)
    long_ago_ms = int(time.time() * 1_000) - 400 * DAY_MS
    async with log.sender() as sender:
        for number in range(5):
            await sender.send(topic, numbered([number], timestamp_ms=long_ago_ms))
        await log.forget({place: 3})
        await log.forget({place: 2})
        async with log.reader([topic], group=None) as reader:
            left = await read(reader, 2)
            (first,) = (await reader.positions_at_time(0)).values()
            await log.forget({place: 5})
            await sender.send(topic, numbered([5]))
            after = await read(reader, 1)

    assert numbers(left) == [3, 4]
    assert first == 3
    assert (numbers(after), after[0].offset) == ([5], 5)


async def test_forgetting_needs_a_topic(log: Log) -> None:
    with pytest.raises(TopicMissing, match=r"nowhere.*hookmill topics ensure"):
        await log.forget({TopicPartition("nowhere", 0): 1})


async def _let_expire(log: Log, topic: str, records: int) -> None:
    """So many old records came and retention has removed them; an open sender of the caller tidies up."""
    old_ms = int(time.time() * 1_000) - 20 * MINUTE_MS
    await send(log, topic, numbered(range(records), timestamp_ms=old_ms))

    async def is_gone() -> bool:
        async with log.reader([topic], group=None) as reader:
            return await reader.positions_at_time(0) == await reader.end_positions()

    await eventually(is_gone, "the old records go")


async def _stand_at(log: Log, topic: str, group: str, position: int) -> None:
    """The group has committed `position`."""
    async with log.reader([topic], group=group) as reader:
        await owning(reader, 1)
        await reader.commit({TopicPartition(topic, 0): position})


def _missed(group: str, topic: str) -> float:
    """What the metric says."""
    return REGISTRY.get_sample_value("hookmill_log_records_missed_total", {"group": group, "topic": topic}) or 0


class _Table:
    """What a reader of a compacted topic knows."""

    def __init__(self, records: list[Record]) -> None:
        self.latest: dict[bytes | None, bytes | None] = {}
        self.offsets: list[int] = []
        self.add(records)

    def add(self, records: list[Record]) -> None:
        for record in records:
            self.latest[record.key] = record.value
            self.offsets.append(record.offset)


async def _read_up_to(reader: RecordReader, offset: int) -> list[Record]:
    """The next records up to the one at `offset`, without those that are compacted away by now."""
    records = await read(reader, 1)
    while records[-1].offset < offset:
        records += await read(reader, 1)
    return records


async def _read_from_start(log: Log, topic: str) -> list[Record]:
    """What the topic's one partition holds now, read by a newcomer. Its last record is never compacted away."""
    records: list[Record] = []
    async with asyncio.timeout(DEADLINE_S), log.reader([topic], group=None) as reader:
        end = (await reader.end_positions())[TopicPartition(topic, 0)]
        while not records or records[-1].offset + 1 < end:
            records += [record for span in await reader.poll(0.5) for record in span.records]
    return records
