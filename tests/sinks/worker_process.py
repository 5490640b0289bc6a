"""A sink worker as a process of its own: `python -m tests.sinks.worker_process <folder>`; made to be killed."""

import asyncio
import sys
from pathlib import Path

from hookmill.config import SinksConfig
from hookmill.lifecycle import Readiness, serve
from hookmill.log.sqlite import SqliteLog
from hookmill.log.sqlite.membership import LeaseTimes
from hookmill.registry import Sink
from hookmill.topics import TopicNames
from sinks.warehouses.sqlite import SqliteWarehouse
from sinks.worker import SinkWorker

NAMES = TopicNames(partitions=2)
CONFIG = SinksConfig(batch_records=500, batch_timeout_s=0.02)
DEFINITION = Sink(name="warehouse", kind="sqlite", events=True, objects=True)


def log_in(folder: Path) -> SqliteLog:
    """The log of `folder`, on which a killed worker is given up within a second."""
    return SqliteLog(folder / "log", lease_times=LeaseTimes(lease_s=1.0, heartbeat_s=0.2))


def worker(folder: Path) -> SinkWorker:
    """The worker on the log and the warehouse of `folder`."""
    return SinkWorker(CONFIG, DEFINITION, log_in(folder), NAMES, SqliteWarehouse(folder / "w.db"))


if __name__ == "__main__":
    asyncio.run(serve([worker(Path(sys.argv[1]))], Readiness()))
