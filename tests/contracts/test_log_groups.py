"""The log contract, groups: who owns which partition, what is committed, and what is delivered again."""

import asyncio
import contextlib
from collections.abc import Collection

import pytest

from hookmill.errors import CommitRefused
from hookmill.log.contract import Log, RecordReader
from hookmill.records import NewRecord, Record, TopicPartition
from tests.contracts.conftest import MakeTopic
from tests.contracts.reading import (
    DEADLINE_S,
    assert_nothing_more,
    numbered,
    numbers,
    owning,
    places,
    read,
    send,
    until,
)


class Witness:
    """A listener that writes down what it hears, and may commit a position when asked to give something up."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, frozenset[TopicPartition]]] = []
        self.reader: RecordReader | None = None
        self.commits: dict[TopicPartition, int] = {}

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        self.heard.append(("revoked", frozenset(partitions)))
        if self.reader is not None:
            assert self.reader.assignment() >= set(partitions)
            await self.reader.commit({place: self.commits[place] for place in partitions})

    async def assigned(self, partitions: Collection[TopicPartition]) -> None:
        self.heard.append(("assigned", frozenset(partitions)))

    def sum_of(self, event: str) -> frozenset[TopicPartition]:
        return frozenset(place for name, partitions in self.heard if name == event for place in partitions)


async def test_two_readers_of_one_group_share_the_partitions(log: Log, make_topic: MakeTopic) -> None:
    topic = await make_topic(partitions=4)
    group = f"g.{topic}"

    async with log.sender() as sender, log.reader([topic], group=group) as one, log.reader([topic], group=group) as two:
        await _balanced(one, two, 2)
        for partition in range(4):
            await sender.send(topic, numbered([partition] * 10, partition=partition))
        of_one, of_two = await asyncio.gather(read(one, 20), read(two, 20))
        owned_by_one, owned_by_two = one.assignment(), two.assignment()

    assert owned_by_one | owned_by_two == places(topic, range(4))
    assert not owned_by_one & owned_by_two
    assert {place.partition for place in owned_by_one} == {record.partition for record in of_one}
    assert {place.partition for place in owned_by_two} == {record.partition for record in of_two}


async def test_two_groups_both_see_everything(log: Log, topic: str) -> None:
    async with (
        log.sender() as sender,
        log.reader([topic], group=f"a.{topic}") as one,
        log.reader([topic], group=f"b.{topic}") as two,
    ):
        await sender.send(topic, numbered(range(10)))
        of_one, of_two = await asyncio.gather(read(one, 10), read(two, 10))

    assert numbers(of_one) == numbers(of_two) == list(range(10))


async def test_a_group_resumes_at_its_committed_position(log: Log, topic: str) -> None:
    group = f"g.{topic}"
    await send(log, topic, numbered(range(10)))
    async with log.reader([topic], group=group) as reader:
        await read(reader, 10)
        await reader.commit({TopicPartition(topic, 0): 4})

    async with log.reader([topic], group=group) as reader:
        records = await read(reader, 6)
        await assert_nothing_more(reader)

    assert numbers(records) == [4, 5, 6, 7, 8, 9]


async def test_what_a_group_has_committed_is_seen_from_outside(log: Log, make_topic: MakeTopic) -> None:
    topic, other = await make_topic(partitions=2), await make_topic()
    await send(log, topic, [NewRecord(b"%d" % number, partition=number % 2) for number in range(6)])
    group = f"{topic}.group"
    assert await log.committed(group, [topic]) == {}

    async with log.reader([topic], group=group) as reader:
        await read(reader, 6)
        await reader.commit({TopicPartition(topic, 1): 3})
        seen_while_open = await log.committed(group, [topic, other])

    # The reader itself has committed where the group starts.
    assert seen_while_open == {TopicPartition(topic, 0): 0, TopicPartition(topic, 1): 3}
    assert await log.committed(group, [topic]) == seen_while_open
    assert await log.committed(group, [other]) == {}
    assert await log.committed(f"{topic}.nobody", [topic]) == {}


async def test_closing_commits_nothing(log: Log, topic: str) -> None:
    group = f"g.{topic}"
    await send(log, topic, numbered(range(5)))
    async with log.reader([topic], group=group) as reader:
        await read(reader, 5)

    async with log.reader([topic], group=group) as reader:
        assert numbers(await read(reader, 5)) == [0, 1, 2, 3, 4]


async def test_positions_may_move_back(log: Log, topic: str) -> None:
    group, place = f"g.{topic}", TopicPartition(topic, 0)
    await send(log, topic, numbered(range(10)))
    async with log.reader([topic], group=group) as reader:
        await read(reader, 10)
        await reader.commit({place: 10})
        await reader.commit({place: 3})

    async with log.reader([topic], group=group) as reader:
        assert numbers(await read(reader, 7)) == [3, 4, 5, 6, 7, 8, 9]


async def test_the_commit_of_a_partition_that_went_to_another_reader_is_refused(
    log: Log, make_topic: MakeTopic
) -> None:
    topic = await make_topic(partitions=2)
    group = f"g.{topic}"
    for partition in range(2):
        await send(log, topic, numbered(range(5), partition=partition))
    async with log.reader([topic], group=group) as one:
        await read(one, 10)
        async with log.reader([topic], group=group) as two:
            await _balanced(one, two, 1)
            (lost,) = two.assignment()

            with pytest.raises(CommitRefused) as refused:
                await one.commit({lost: 5})

            assert refused.value.partitions == {lost}
            assert lost not in one.assignment()
            (kept,) = one.assignment()
            await one.commit({kept: 5})

    async with log.reader([topic], group=group) as reader:
        records = await read(reader, 5)
        await assert_nothing_more(reader)
    assert {record.partition for record in records} == {lost.partition}


async def test_a_listener_commits_what_is_in_flight_before_the_partition_goes(log: Log, make_topic: MakeTopic) -> None:
    topic = await make_topic(partitions=2)
    group = f"g.{topic}"
    witness = Witness()
    for partition in range(2):
        await send(log, topic, numbered(range(5), partition=partition))
    async with log.reader([topic], group=group, listener=witness) as one:
        await read(one, 10)
        witness.reader, witness.commits = one, dict.fromkeys(one.assignment(), 3)
        async with log.reader([topic], group=group) as two:
            records_of_one, records_of_two = await _balanced(one, two, 1)
            records_of_two += await read(two, 2 - len(records_of_two))

    assert numbers(records_of_two) == [3, 4]
    assert not [record for record in records_of_one if record.offset < 3]
    assert witness.sum_of("assigned") == places(topic, [0, 1])
    assert witness.sum_of("revoked") == places(topic, [0, 1])


async def test_a_listener_may_commit_at_close(log: Log, topic: str) -> None:
    group, place = f"g.{topic}", TopicPartition(topic, 0)
    witness = Witness()
    await send(log, topic, numbered(range(5)))
    async with log.reader([topic], group=group, listener=witness) as reader:
        await read(reader, 5)
        witness.reader, witness.commits = reader, {place: 4}

    assert witness.heard[-1] == ("revoked", {place})
    async with log.reader([topic], group=group) as reader:
        assert numbers(await read(reader, 1)) == [4]


async def test_a_listener_hears_of_a_partition_before_its_first_record(log: Log, topic: str) -> None:
    witness = Witness()
    await send(log, topic, numbered(range(5)))

    async with log.reader([topic], group=f"g.{topic}", listener=witness) as reader:
        await until(reader, lambda: bool(witness.heard))
        assert witness.heard == [("assigned", {TopicPartition(topic, 0)})]
        assert reader.assignment() == {TopicPartition(topic, 0)}


async def test_a_pause_ends_with_the_ownership(log: Log, make_topic: MakeTopic) -> None:
    topic = await make_topic(partitions=2)
    group = f"g.{topic}"
    async with log.sender() as sender, log.reader([topic], group=group) as one:
        await owning(one, 2)
        one.pause(places(topic, [0, 1]))
        async with log.reader([topic], group=group) as two:
            await _balanced(one, two, 1)
            (lent,) = two.assignment()
        await owning(one, 2)

        await sender.send(topic, numbered([1], partition=lent.partition))

        (record,) = await read(one, 1)
        assert record.partition == lent.partition


async def test_the_partition_of_a_reader_that_closes_goes_to_the_one_that_waits(log: Log, topic: str) -> None:
    group, place = f"g.{topic}", TopicPartition(topic, 0)
    await send(log, topic, numbered(range(6)))
    async with contextlib.AsyncExitStack() as stack:
        owner = await stack.enter_async_context(log.reader([topic], group=group))
        await read(owner, 6)
        await owner.commit({place: 2})
        async with log.reader([topic], group=group) as heir:
            # An engine may give the partition to the newcomer at once; the contract has no say in that.
            records = await until(heir, lambda: bool(owner.assignment() or heir.assignment()))
            await stack.aclose()

            records += await read(heir, 4 - len(records))

    assert numbers(records) == [2, 3, 4, 5]


async def _balanced(one: RecordReader, two: RecordReader, each: int) -> tuple[list[Record], list[Record]]:
    """Both own so many partitions. Returns what each read on the way."""
    return await _poll_both(one, two, lambda: len(one.assignment()) == len(two.assignment()) == each)


async def _poll_both(one: RecordReader, two: RecordReader, holds: object) -> tuple[list[Record], list[Record]]:
    assert callable(holds)
    async with asyncio.timeout(DEADLINE_S):
        of_one, of_two = await asyncio.gather(until(one, holds), until(two, holds))
    return of_one, of_two
