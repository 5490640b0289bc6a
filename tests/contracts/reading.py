"""Reading in tests of the log contract: until enough is there, with a deadline."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence

from hookmill.log.contract import Log, RecordReader
from hookmill.records import NewRecord, Record, TopicPartition

DEADLINE_S = 60.0
"""Over Kafka's session timeout of a crashed member and the group's new balance, on a busy machine."""


async def read(reader: RecordReader, count: int) -> list[Record]:
    """The next records, as soon as there are `count`; fails after the deadline."""
    records: list[Record] = []
    try:
        async with asyncio.timeout(DEADLINE_S):
            while len(records) < count:
                for span in await reader.poll(0.5):
                    records += span.records
    except TimeoutError:
        raise AssertionError(f"{len(records)} of {count} records came: {values(records)[:20]}") from None
    return records


async def read_all(log: Log, topic: str, count: int) -> list[Record]:
    """The first records of the topic, as a reader without group sees them."""
    async with log.reader([topic], group=None) as reader:
        return await read(reader, count)


async def assert_nothing_more(reader: RecordReader) -> None:
    """A poll that would see what is there sees nothing."""
    assert not await reader.poll(0.5)


async def owning(reader: RecordReader, partitions: int) -> frozenset[TopicPartition]:
    """The assignment, once it has so many; records read meanwhile are dropped."""
    await until(reader, lambda: len(reader.assignment()) == partitions)
    return reader.assignment()


async def until(reader: RecordReader, holds: Callable[[], bool]) -> list[Record]:
    """What the reader reads until the condition holds."""
    records: list[Record] = []
    async with asyncio.timeout(DEADLINE_S):
        while not holds():
            for span in await reader.poll(0.1):
                records += span.records
    return records


async def send(log: Log, topic: str, records: Sequence[NewRecord]) -> None:
    """One call of a sender that comes and goes."""
    async with log.sender() as sender:
        await sender.send(topic, records)


async def eventually(holds: Callable[[], Awaitable[bool]], what: str) -> None:
    """The condition holds within the deadline."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not await holds():
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"not within {DEADLINE_S:g} s: {what}") from None


def numbered(numbers: Iterable[int], **fields: object) -> list[NewRecord]:
    """Records with the numbers as their values."""
    return [NewRecord(b"%d" % number, **fields) for number in numbers]  # type: ignore[arg-type]


def values(records: Iterable[Record]) -> list[bytes | None]:
    return [record.value for record in records]


def numbers(records: Iterable[Record]) -> list[int]:
    """What `numbered` put in."""
    return [int(record.value or b"") for record in records]


def places(topic: str, partitions: Collection[int]) -> frozenset[TopicPartition]:
    return frozenset(TopicPartition(topic, partition) for partition in partitions)
