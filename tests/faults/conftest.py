"""What rows share: the log they run on."""

import pytest


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def engine(request: pytest.FixtureRequest) -> str | None:
    """Bootstrap servers of the Kafka that all tests share; `None` is the embedded log."""
    if request.param == "embedded":
        return None
    address: str = request.getfixturevalue("kafka_bootstrap")
    return address
