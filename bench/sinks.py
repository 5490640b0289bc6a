"""Warehouses: rows per second into one sink, in batches of the size that its worker makes; no log, no worker."""

import asyncio
import contextlib
import gc
import multiprocessing
import os
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bench import report
from console.broker import LocalKafka
from hookmill.codec import ObjectWrite, encode
from hookmill.config import SinksConfig
from hookmill.memory import rare_collections
from sinks.contract import Event, Message, Sink, SourcedObject
from sinks.flatten import OBJECT_COLUMNS, flatten
from sinks.warehouses.duckdb.sink import DuckdbWarehouse
from sinks.warehouses.parquet.folder import Folder
from sinks.warehouses.parquet.sink import ParquetWarehouse
from sinks.warehouses.postgres.sink import PostgresWarehouse
from sinks.warehouses.sqlite import SqliteWarehouse
from tests.postgres_server import PASSWORD, PASSWORD_ENV, Database, PostgresServer
from tests.processes import ROOT

ROWS = 100_000
RUNS = 3
BATCH = SinksConfig().batch_records
LOAD_DEADLINE_S = 120
DLT_PYTHON = ROOT / ".venv" / "dlt" / "bin" / "python"
"""Made by `make bench`."""
DLT_DEADLINE_S = 300
STARTED = datetime(2026, 11, 23, 10, tzinfo=UTC)


def run(_broker: LocalKafka) -> None:
    """Prints rows per second of wall time, the server's work included: a warehouse is waited for."""
    with tempfile.TemporaryDirectory() as folder:
        files = (Path(folder) / f"{number}.db" for number in range(RUNS))
        ours = compare("SQLite", lambda: SqliteWarehouse(next(files)))
        bare = [upsert_bare(Path(folder) / f"bare {number}.db") for number in range(RUNS)]
        compare_with("bare SQLite, rows that are ready, nothing asked of what is there", bare, ours)
        files = (Path(folder) / f"{number}.duckdb" for number in range(RUNS))
        compare("DuckDB", lambda: DuckdbWarehouse(next(files)))
        folders = (Path(folder) / f"parquet {number}" for number in range(RUNS))
        compare("Parquet files", lambda: _parquet(next(folders)))
    os.environ[PASSWORD_ENV] = PASSWORD
    server = PostgresServer(fsync=True)
    try:
        server.start()
        compare("PostgreSQL", lambda: PostgresWarehouse(server.empty_database().address()))
        ours = compare("PostgreSQL, two workers", lambda: PostgresWarehouse(server.empty_database().address()), 2)
        by_dlt = [merge_by_dlt(server.empty_database()) for _ in range(RUNS)]
        compare_with(
            "dlt into PostgreSQL, all in one load as it likes it best", by_dlt, ours, "  (two workers; target: 5)"
        )
    finally:
        server.stop()


def compare(name: str, new_sink: Callable[[], Sink], workers: int = 1) -> list[list[float]]:
    """A new warehouse for each run. Messages per second: of each load, of each run."""
    loads: dict[str, Sequence[Message]] = {
        "objects, first load": [object_write(number, 1) for number in range(ROWS)],
        "objects, all overwritten": [object_write(number, 2) for number in range(ROWS)],
        "events": [_event(number) for number in range(ROWS)],
    }
    gc.collect()
    gc.freeze()  # a worker has one batch in memory; looking through all of these would be measured as well
    rates: dict[str, list[float]] = {load: [] for load in loads}
    for _ in range(RUNS):
        for load, rate in zip(loads, measure(new_sink(), list(loads.values()), workers), strict=True):
            rates[load].append(rate)
    for load, runs in rates.items():
        report.line(f"{name}: {load}, 10 columns, batches of {BATCH:,}", "/s, wall time", runs)
    return list(rates.values())


def compare_with(name: str, theirs: list[list[float]], ours: list[list[float]], note: str = "") -> None:
    """Another way to bring the same objects in, a first load and an overwrite for each run, and `ours` against it."""
    for load, rates, of_ours in zip(("first load", "all overwritten"), zip(*theirs, strict=True), ours, strict=False):
        report.line(f"{name}: objects, {load}", "/s, wall time", rates)
        report.line(f"  ours against it: objects, {load}", "/s, wall time", of_ours, rates, note)


def upsert_bare(file: Path) -> list[float]:
    """Rows per second of the first load and of the one that overwrites it."""
    rates = []
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        columns = list(_row(0, 1))
        connection.execute(f"CREATE TABLE deals ({', '.join(columns)}, PRIMARY KEY (id))")
        changes = ", ".join(f"{column} = excluded.{column}" for column in columns)
        upsert = f"INSERT INTO deals VALUES ({', '.join('?' * len(columns))}) ON CONFLICT (id) DO UPDATE SET {changes}"
        for turn in (1, 2):
            rows = [tuple(_row(number, turn).values()) for number in range(ROWS)]
            began = time.monotonic()
            for first in range(0, ROWS, BATCH):
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(upsert, rows[first : first + BATCH])
                connection.execute("COMMIT")
            rates.append(ROWS / (time.monotonic() - began))
    return rates


def merge_by_dlt(database: Database) -> list[float]:
    """Rows per second of the first load and of the one that overwrites it."""
    parts = database.address().parameters
    url = f"postgresql://{parts['user']}:{quote(PASSWORD, safe='')}@{parts['host']}:{parts['port']}/{parts['dbname']}"
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for turn in (1, 2):
            file = Path(folder) / f"{turn}.jsonl"
            file.write_bytes(b"\n".join(encode(_row(number, turn)) for number in range(ROWS)))
            files.append(str(file))
        command = [str(DLT_PYTHON), str(ROOT / "bench" / "merge_by_dlt.py"), folder, *files]
        environment = {**os.environ, "DESTINATION__POSTGRES__CREDENTIALS": url}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, timeout=DLT_DEADLINE_S)
    return [ROWS / float(seconds) for seconds in done.stdout.split()]


def _row(number: int, turn: int) -> dict[str, object]:
    """The columns that the warehouse makes of the object."""
    write = object_write(number, turn).write
    row: dict[str, Any] = {"id": write.id, "received_at": write.received_at}
    flatten(write.properties, OBJECT_COLUMNS, row)
    return row


def measure(sink: Sink, loads: Sequence[Sequence[Message]], workers: int) -> list[float]:
    """Messages per second of each load, one after the other into the same warehouse; workers are processes that have
    their shares of each, as if they had their partitions."""
    context = multiprocessing.get_context("fork")
    together = context.Barrier(workers)
    answers = []
    for number in range(workers):
        answer, told = context.Pipe(duplex=False)
        context.Process(target=_work, args=(sink, [load[number::workers] for load in loads], together, told)).start()
        told.close()
        answers.append(answer)
    spans = zip(*(answer.recv() for answer in answers), strict=True)
    return [
        len(load) / (max(end for _, end in of_load) - min(began for began, _ in of_load))
        for load, of_load in zip(loads, spans, strict=True)
    ]


def _work(sink: Sink, loads: Sequence[Sequence[Message]], together: Barrier, told: Connection) -> None:
    """Tells when each load began and ended."""
    told.send(asyncio.run(_write(sink, loads, together)))


async def _write(sink: Sink, loads: Sequence[Sequence[Message]], together: Barrier) -> list[tuple[float, float]]:
    spans = []
    with rare_collections():  # as the worker has it
        async with sink:
            for messages in loads:
                together.wait(LOAD_DEADLINE_S)
                began = time.monotonic()
                for first in range(0, len(messages), BATCH):
                    await sink.write(messages[first : first + BATCH])
                spans.append((began, time.monotonic()))
    spans[-1] = (began, time.monotonic())  # a sink may leave some of its work to the end
    return spans


def _parquet(folder: Path) -> Sink:
    """Merged as often as an inbox that is large is."""
    folder.mkdir()
    return ParquetWarehouse(Folder(folder), merge_every_s=60)


def _properties(number: int, turn: int) -> dict[str, object]:
    return {
        "title": f"Deal {number} of turn {turn}",
        "value": number * 1.25 + turn,
        "currency": "EUR",
        "stage": f"stage {number % 7}",
        "owner": f"owner-{number % 50}@example.com",
        "probability": number % 100,
        "is_won": number % 3 == 0,
        "closes_at": (STARTED + timedelta(minutes=number)).isoformat(),
        "note": "Called back on Monday, wants an offer by the end of the month.",
    }


def object_write(number: int, turn: int) -> SourcedObject:
    received_at = _iso(STARTED + timedelta(milliseconds=number))
    version = (turn, 0, number, 0, 0)
    write = ObjectWrite("deals", f"deal-{number}", version, f"m{number}", received_at, _properties(number, turn))
    return SourcedObject("crm", write, b"")


def _event(number: int) -> Event:
    """A track call: a row of `tracks` and a row of its own table."""
    at = _iso(STARTED + timedelta(milliseconds=number))
    message = {
        "type": "track",
        "event": "Deal Changed",
        "userId": f"u{number % 5_000}",
        "timestamp": at,
        "receivedAt": at,
        "properties": {name: value for name, value in _properties(number, 1).items() if name in ("value", "stage")},
    }
    return Event("crm", f"message-{number}", message, b"")


def _iso(instant: datetime) -> str:
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")
