"""Both engines for every test that asks for an installation."""

import asyncio
from pathlib import Path

import pytest

from tests.redelivery.installation import Installation, install


@pytest.fixture(params=["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
def installation(request: pytest.FixtureRequest, tmp_path: Path) -> Installation:
    """Topics on the engine, and nothing on them; of two partitions each, since a Kafka takes 10 ms to make one."""
    bootstrap_servers = request.getfixturevalue("kafka_bootstrap") if request.param == "kafka" else None
    return asyncio.run(install(tmp_path / "data", bootstrap_servers, partitions=2))
