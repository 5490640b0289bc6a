"""What rows share: the log they run on, and whether they run in short."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")
"""Of Linux. Containers may have little of it."""
ROOM = 1 << 30


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


@pytest.fixture
def memory_path(tmp_path: Path, is_short: bool) -> Iterator[Path]:
    """For trials that compare delays: in short, a folder in memory where the machine has one.

    On a disk one `fsync` may wait for what others write there for longer than all that is compared. The full forms have
    events enough for that not to decide, and need too much room.
    """
    if not is_short or not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < ROOM:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="hookmill-", dir=MEMORY) as folder:
        yield Path(folder)
