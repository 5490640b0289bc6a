"""What an operator does to topics: deletes them, gives them more partitions."""

import asyncio

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from hookmill.topics import Topic
from tests.redelivery.installation import Installation

DEADLINE_S = 30.0


async def recreate(installation: Installation, topic: Topic) -> None:
    """The topic is as `hookmill topics ensure` makes it, with nothing on it. On the embedded log no process may run."""
    servers, name = installation.config.kafka.bootstrap_servers, installation.names.full(topic)
    if servers is None:
        for file in installation.config.data_dir.rglob(f"{name}.topic*"):
            file.unlink()
    else:
        admin = AIOKafkaAdminClient(bootstrap_servers=servers)
        await admin.start()
        try:
            await admin.delete_topics([name])
            async with asyncio.timeout(DEADLINE_S):
                while name in await admin.list_topics():
                    await asyncio.sleep(0.05)
        finally:
            await admin.close()
    await installation.log.ensure_topics(installation.names.specs())


async def add_partitions(installation: Installation, topic: Topic, count: int) -> None:
    """The topic has so many partitions. Kafka only."""
    admin = AIOKafkaAdminClient(bootstrap_servers=str(installation.config.kafka.bootstrap_servers))
    await admin.start()
    try:
        await admin.create_partitions({installation.names.full(topic): NewPartitions(total_count=count)})
    finally:
        await admin.close()
