"""What rows share: the log they run on, and whether they run in short."""

import pytest


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def engine(request: pytest.FixtureRequest) -> str | None:
    """Bootstrap servers of the Kafka that all tests share; `None` is the embedded log."""
    if request.param == "embedded":
        return None
    address: str = request.getfixturevalue("kafka_bootstrap")
    return address


@pytest.fixture
def is_short(request: pytest.FixtureRequest) -> bool:
    """Whether the test is of `make faults`: then the load may be smaller, and what is rare come more often."""
    return request.node.get_closest_marker("faults") is not None
