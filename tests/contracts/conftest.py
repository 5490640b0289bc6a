"""What every test of the log contract starts from: a log of either engine, and topics of its own."""

import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from hookmill.log.contract import Log
from hookmill.topics import DAY_MS, MAX_RECORD_BYTES, TopicSpec
from tests.contracts.engines import Engine

MakeTopic = Callable[..., Awaitable[str]]


@pytest.fixture(params=["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    if request.param == "kafka":
        return Engine(f"kafka {request.getfixturevalue('kafka_bootstrap')}")
    return Engine(f"sqlite {tmp_path / 'log'}")


@pytest.fixture
def log(engine: Engine) -> Log:
    return engine.open()


@pytest.fixture
def make_topic(log: Log) -> MakeTopic:
    async def make(
        partitions: int = 1, retention_ms: int | None = DAY_MS, max_record_bytes: int = MAX_RECORD_BYTES
    ) -> str:
        name = f"contract.{uuid.uuid4().hex}"
        await log.ensure_topics([TopicSpec(name, partitions, retention_ms, max_record_bytes)])
        return name

    return make


@pytest.fixture
async def topic(make_topic: MakeTopic) -> str:
    """A topic of one partition."""
    return await make_topic()
