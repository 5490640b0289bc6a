"""What rows share: the log they run on, and the seed."""

import os
import random

import pytest


@pytest.fixture
def seed() -> int:
    """Printed; `HOOKMILL_TEST_SEED` repeats a run."""
    seed = int(os.environ.get("HOOKMILL_TEST_SEED", random.randrange(1_000_000)))
    print("HOOKMILL_TEST_SEED", seed)
    return seed


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def engine(request: pytest.FixtureRequest) -> str | None:
    """Bootstrap servers of the Kafka that all tests share; `None` is the embedded log."""
    if request.param == "embedded":
        return None
    address: str = request.getfixturevalue("kafka_bootstrap")
    return address
