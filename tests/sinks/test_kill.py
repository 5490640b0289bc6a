"""A sink worker that is killed at any moment."""

import asyncio
import contextlib
import random
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

from hookmill.lifecycle import running
from hookmill.topics import Topic
from sinks.warehouses.parquet.folder import Folder
from tests.processes import ROOT
from tests.sinks import database, duckdb_file, parquet_files
from tests.sinks.messages import event, event_record, object_record, write
from tests.sinks.test_worker import TOPICS, drained
from tests.sinks.worker_process import NAMES, log_in, worker

SEED = 20_261_123
RECORDS = 12_000
OBJECTS = 3_000
DEADLINE_S = 60.0

KINDS = ("sqlite", "duckdb", "parquet")


@pytest.mark.parametrize(
    ("kind", "kills"),
    [*((kind, 4) for kind in KINDS), *(pytest.param(kind, 40, marks=pytest.mark.nightly) for kind in KINDS)],
)
@pytest.mark.timeout(900)
async def test_killed_workers_lose_and_double_nothing(tmp_path: Path, kind: str, kills: int) -> None:
    """Processes die by SIGKILL in the middle of their batches; the last one ends the work."""
    log = log_in(tmp_path)
    await log.ensure_topics([spec for spec in NAMES.specs() if spec.name in TOPICS])
    async with log.sender() as sender:
        await sender.send(
            NAMES.full(Topic.EVENTS), [event_record(event(f"m{n}", event="Paid")) for n in range(RECORDS)]
        )
        writes = [object_record(write(f"d{n % OBJECTS}", n, {"value": n, f"p{n % 7}": n})) for n in range(RECORDS)]
        await sender.send(NAMES.full(Topic.OBJECTS), writes)
    chance = random.Random(SEED)
    seen = [0]

    for _ in range(kills):
        await _run_until(kind, tmp_path, chance.randrange(1, 2 + 20 // kills), chance.uniform(0, 0.1))
        seen.append(len(rows(kind, tmp_path, "paid")))
    async with running([last := worker(kind, tmp_path)]):
        await drained(last)

    assert seen == sorted(seen)
    assert 0 < seen[-1] < RECORDS  # the kills came in the middle
    everything = {f"m{n}" for n in range(RECORDS)}
    assert rows(kind, tmp_path, "paid").keys() == rows(kind, tmp_path, "tracks").keys() == everything
    expected: dict[str, dict[str, int]] = {}
    for n in range(RECORDS):
        expected.setdefault(f"d{n % OBJECTS}", {}).update({"value": n, f"p{n % 7}": n})
    found = rows(kind, tmp_path, "deals")
    assert {name: {k: v for k, v in row.items() if k not in ("id", "received_at")} for name, row in found.items()} == (
        expected
    )


async def _run_until(kind: str, folder: Path, batches: int, more_s: float) -> None:
    """A worker process ran until it had written so many batches, and then a little, and was killed."""
    command = [sys.executable, "-m", "tests.sinks.worker_process", kind, str(folder)]
    output = folder / "output"
    with (
        output.open("wb") as target,
        subprocess.Popen(command, cwd=ROOT, stdout=target, stderr=subprocess.STDOUT) as process,
    ):
        try:
            async with asyncio.timeout(DEADLINE_S):
                while output.read_bytes().count(b"batch.written") < batches:
                    assert process.poll() is None, output.read_text()
                    await asyncio.sleep(0.005)
                await asyncio.sleep(more_s)
        finally:
            process.kill()


def rows(kind: str, folder: Path, table: str) -> dict[str, dict[str, Any]]:
    """Rows by id; none for a table that is not there yet."""
    match kind:
        case "duckdb":
            with contextlib.suppress(duckdb.CatalogException):
                return duckdb_file.rows(folder / "w.duckdb", "pipedrive", table)
            return {}
        case "parquet":
            store = Folder(folder / "w")
            has_files = parquet_files.files(store, folder, "pipedrive", table)
            return parquet_files.rows(store, folder, "pipedrive", table) if has_files else {}
        case _:
            with contextlib.suppress(sqlite3.OperationalError):
                return database.rows(folder / "w.db", f"pipedrive__{table}")
            return {}
