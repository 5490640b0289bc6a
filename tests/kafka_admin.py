"""What an operator does to a Kafka of tests."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType


@asynccontextmanager
async def kafka_admin(bootstrap_servers: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client for administration, connected."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def configure_topic(bootstrap_servers: str, topic: str, settings: Mapping[str, str]) -> None:
    """The topic has these settings, and the broker's for all others. A broker confirms it before it acts on it."""
    async with kafka_admin(bootstrap_servers) as admin:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, dict(settings))])
