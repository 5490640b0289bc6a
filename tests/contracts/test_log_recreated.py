"""The log contract, topics that are deleted and created anew under their name: nobody knows of the former one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from hookmill.log.contract import Log
from hookmill.records import TopicPartition
from hookmill.topics import DAY_MS, TopicSpec
from tests.contracts.engines import Engine
from tests.contracts.reading import DEADLINE_S, numbered, numbers, read, send

DeleteTopic = Callable[[str], Awaitable[None]]


@pytest.fixture
async def delete_topic(engine: Engine) -> AsyncIterator[DeleteTopic]:
    """As an operator does it, while no process of ours runs."""
    place = engine.address.partition(" ")[2]
    if engine.kind == "sqlite":

        async def remove_files(topic: str) -> None:
            for file in Path(place).glob(f"{topic}.topic*"):
                file.unlink()

        yield remove_files
        return
    admin = AIOKafkaAdminClient(bootstrap_servers=place)
    await admin.start()

    async def delete(topic: str) -> None:
        await admin.delete_topics([topic])
        async with asyncio.timeout(DEADLINE_S):
            while topic in await admin.list_topics():
                await asyncio.sleep(0.05)

    yield delete
    await admin.close()


@pytest.mark.parametrize("count", [5, 20])
async def test_a_group_reads_all_of_a_topic_that_was_created_anew(
    log: Log, topic: str, delete_topic: DeleteTopic, count: int
) -> None:
    """Also when by then it has more records than the former one had."""
    async with log.reader([topic], group=topic) as reader:
        await send(log, topic, numbered(range(10)))
        await read(reader, 10)
        await reader.commit({TopicPartition(topic, 0): 10})

    await delete_topic(topic)
    await log.ensure_topics([TopicSpec(topic, 1, DAY_MS)])
    before = await log.committed(topic, [topic])
    await send(log, topic, numbered(range(100, 100 + count)))
    async with log.reader([topic], group=topic) as reader:
        records = await read(reader, count)

    assert before == {}
    assert numbers(records) == list(range(100, 100 + count))
    assert [record.offset for record in records] == list(range(count))
