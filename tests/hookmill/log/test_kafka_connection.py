"""The Kafka engine where there is no Kafka to talk to."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from hookmill.config import KafkaConfig
from hookmill.errors import ConfigError, LogUnavailable
from hookmill.log.kafka import KafkaLog
from hookmill.topics import TopicSpec
from tests.processes import free_port

SPEC = TopicSpec("t", 1, 1_000)
DEFAULT_DEADLINE_S = KafkaConfig().connect_timeout_s


@pytest.fixture
def closed_port() -> str:
    """An address on which nobody listens."""
    return f"127.0.0.1:{free_port()}"


@pytest.fixture
async def silent_port() -> AsyncIterator[str]:
    """An address that accepts connections and never answers."""
    connections = []
    server = await asyncio.start_server(lambda _, writer: connections.append(writer), "127.0.0.1", 0)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    for writer in connections:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("what", ["sender", "reader", "topics"])
async def test_brokers_that_are_away_are_named_within_the_deadline(
    what: str, closed_port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The second knock is refused a second before the deadline: on a busy machine the reason is still told in time.
    monkeypatch.setattr("hookmill.log.kafka.cluster._KNOCK_PAUSE_S", 1.0)
    log = KafkaLog(KafkaConfig(bootstrap_servers=closed_port, connect_timeout_s=2))
    began = time.monotonic()

    with pytest.raises(LogUnavailable) as refusal:
        await _use(log, what)

    assert closed_port in str(refusal.value)
    assert "Connection refused" in str(refusal.value)
    assert "HOOKMILL_KAFKA__BOOTSTRAP_SERVERS" in str(refusal.value)
    assert time.monotonic() - began < DEFAULT_DEADLINE_S


@pytest.mark.parametrize("what", ["sender", "reader", "topics"])
async def test_brokers_that_do_not_answer_are_given_up_at_the_deadline(what: str, silent_port: str) -> None:
    log = KafkaLog(KafkaConfig(bootstrap_servers=silent_port, connect_timeout_s=0.5))
    began = time.monotonic()

    with pytest.raises(LogUnavailable, match=silent_port):
        await _use(log, what)

    assert time.monotonic() - began < DEFAULT_DEADLINE_S


@pytest.mark.parametrize("servers", ["kafka:nine", "127.0.0.1:99999", ":", ",,"])
async def test_servers_that_are_no_addresses_are_a_matter_of_configuration(servers: str) -> None:
    with pytest.raises(ConfigError, match=r"BOOTSTRAP_SERVERS .*expected host:port"):
        await KafkaLog(KafkaConfig(bootstrap_servers=servers)).ensure_topics([SPEC])


async def test_an_unreadable_file_of_authorities_is_a_matter_of_configuration(tmp_path: Path, closed_port: str) -> None:
    config = KafkaConfig(bootstrap_servers=closed_port, security_protocol="SSL", ssl_ca_file=tmp_path / "none.pem")

    with pytest.raises(ConfigError, match=r"SSL_CA_FILE .*none\.pem"):
        await KafkaLog(config).ensure_topics([SPEC])


async def test_credentials_are_not_shown(closed_port: str) -> None:
    config = KafkaConfig(
        bootstrap_servers=closed_port,
        security_protocol="SASL_PLAINTEXT",
        sasl_username="someone",
        sasl_password=SecretStr("canary"),
        connect_timeout_s=0.3,
    )
    log = KafkaLog(config)

    with pytest.raises(LogUnavailable) as refusal:
        await log.ensure_topics([SPEC])

    assert "canary" not in f"{log.description} {refusal.value} {refusal.value.__cause__!r}"


async def _use(log: KafkaLog, what: str) -> None:
    match what:
        case "sender":
            async with log.sender():
                pass
        case "reader":
            async with log.reader(["t"], group="g"):
                pass
        case "topics":
            await log.ensure_topics([SPEC])
