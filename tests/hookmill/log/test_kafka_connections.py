"""A connection to a real Kafka that breaks between two requests."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop
from aiokafka.conn import create_conn
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from hookmill.config import KafkaConfig
from hookmill.log.kafka import KafkaLog

pytestmark = pytest.mark.kafka


@pytest.mark.parametrize("new_loop", [uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def test_a_connection_that_just_broke_is_lost_and_no_other_error(
    kafka_bootstrap: str, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """aiokafka waits for brokers that are lost; any other error ends its consumer, and with it the process."""
    KafkaLog(KafkaConfig(bootstrap_servers=kafka_bootstrap))
    host, port = kafka_bootstrap.split(":")

    async def send_while_it_breaks() -> None:
        connection = await create_conn(host, int(port))
        connection._writer.transport.abort()
        await asyncio.sleep(0)  # the loop has closed it now; aiokafka is told next
        with pytest.raises(KafkaConnectionError):
            await asyncio.wait_for(connection.send(MetadataRequest([])), 5)
        assert not connection.connected()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(send_while_it_breaks())
