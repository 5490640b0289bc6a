"""Connections to a real Kafka that break, and that are given up."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop
from aiokafka.conn import create_conn
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from hookmill.config import KafkaConfig
from hookmill.errors import LogUnavailable
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


async def test_a_connection_to_a_broker_that_tells_nothing_of_its_cluster_is_closed(kafka_bootstrap: str) -> None:
    host, port = kafka_bootstrap.split(":")
    closed = asyncio.Event()

    async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The first request, which is for the versions, goes to Kafka; those after it nowhere."""
        broker_reader, broker_writer = await asyncio.open_connection(host, int(port))
        if request := await reader.read(65_536):
            broker_writer.write(request)
            writer.write(await broker_reader.read(65_536))
            while await reader.read(65_536):
                pass
            closed.set()
        broker_writer.close()
        writer.close()

    async with await asyncio.start_server(answer_once, "127.0.0.1", 0) as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        log = KafkaLog(KafkaConfig(bootstrap_servers=address, connect_timeout_s=2))
        with pytest.raises(LogUnavailable) as refusal:
            async with log.sender():
                pass
        await asyncio.wait_for(closed.wait(), 5)
    assert refusal.value.__traceback__ is not None  # holds what was open: nothing but a close closes it
