"""A sink worker as a process of its own: `python -m tests.sinks.worker_process <kind> <folder>`; made to be killed."""

import asyncio
import sys
from pathlib import Path

from hookmill.config import SinksConfig
from hookmill.lifecycle import Readiness, serve
from hookmill.log.sqlite import SqliteLog
from hookmill.log.sqlite.membership import LeaseTimes
from hookmill.registry import Sink as SinkDefinition
from hookmill.topics import TopicNames
from sinks.contract import Sink
from sinks.warehouses.duckdb.sink import DuckdbWarehouse
from sinks.warehouses.parquet.folder import Folder
from sinks.warehouses.parquet.sink import ParquetWarehouse
from sinks.warehouses.sqlite import SqliteWarehouse
from sinks.worker import SinkWorker

NAMES = TopicNames(partitions=2)
CONFIG = SinksConfig(batch_records=500, batch_timeout_s=0.02)


def log_in(folder: Path) -> SqliteLog:
    """The log of `folder`, on which a killed worker is given up within a second."""
    return SqliteLog(folder / "log", lease_times=LeaseTimes(lease_s=1.0, heartbeat_s=0.2))


def sink_in(kind: str, folder: Path) -> Sink:
    """The warehouse of `folder`."""
    match kind:
        case "duckdb":
            return DuckdbWarehouse(folder / "w.duckdb")
        case "parquet":
            (folder / "w").mkdir(exist_ok=True)
            return ParquetWarehouse(Folder(folder / "w"), merge_every_s=0.2)
        case _:
            return SqliteWarehouse(folder / "w.db")


def worker(kind: str, folder: Path) -> SinkWorker:
    """The worker on the log and the warehouse of `folder`."""
    definition = SinkDefinition(name="warehouse", kind=kind, events=True, objects=True)
    return SinkWorker(CONFIG, definition, log_in(folder), NAMES, sink_in(kind, folder))


if __name__ == "__main__":
    asyncio.run(serve([worker(sys.argv[1], Path(sys.argv[2]))], Readiness()))
