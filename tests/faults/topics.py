"""What an operator does to topics: deletes them, gives them more partitions."""

import asyncio

from aiokafka.admin import NewPartitions

from hookmill.topics import Topic
from tests.kafka_admin import kafka_admin
from tests.redelivery.installation import Installation

DEADLINE_S = 30.0


async def recreate(installation: Installation, topic: Topic) -> None:
    """The topic is as `hookmill topics ensure` makes it, with nothing on it. On the embedded log no process may run."""
    servers, name = installation.config.kafka.bootstrap_servers, installation.names.full(topic)
    if servers is None:
        for file in installation.config.data_dir.rglob(f"{name}.topic*"):
            file.unlink()
    else:
        async with kafka_admin(servers) as admin:
            await admin.delete_topics([name])
            async with asyncio.timeout(DEADLINE_S):
                while name in await admin.list_topics():
                    await asyncio.sleep(0.05)
    await installation.log.ensure_topics(installation.names.specs())


async def add_partitions(installation: Installation, topic: Topic, count: int) -> None:
    """The topic has so many partitions. Kafka only."""
    async with kafka_admin(str(installation.config.kafka.bootstrap_servers)) as admin:
        await admin.create_partitions({installation.names.full(topic): NewPartitions(total_count=count)})


async def remove_topics(installation: Installation) -> None:
    """An installation that is done leaves nothing on Kafka, where its topics would slow down the next one."""
    if installation.config.kafka.bootstrap_servers:
        async with kafka_admin(installation.config.kafka.bootstrap_servers) as admin:
            await admin.delete_topics([spec.name for spec in installation.names.specs()])
