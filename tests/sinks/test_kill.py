"""A sink worker that is killed at any moment."""

import asyncio
import contextlib
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable
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
from tests.sinks.worker_process import CONFIG, NAMES, log_in, worker

pytestmark = pytest.mark.kills

SEED = 20_261_123
RECORDS = 12_000
OBJECTS = 3_000
BATCHES = 2 * RECORDS // CONFIG.batch_records
"""Of events and of objects, all of them full."""
PART = 2_000
DEADLINE_S = 60.0

WRITTEN = b"batch.written"

Condition = Callable[[bytes], bool]
"""About what a worker has logged."""

KINDS = ("sqlite", "duckdb", "parquet")


@pytest.mark.parametrize(
    ("kind", "kills"),
    [*((kind, 4) for kind in KINDS), *(pytest.param(kind, 40, marks=pytest.mark.nightly) for kind in KINDS)],
)
@pytest.mark.timeout(900)
async def test_killed_workers_lose_and_double_nothing(tmp_path: Path, kind: str, kills: int) -> None:
    """Processes die by SIGKILL in the middle of their batches; the last one ends the work."""
    await send(tmp_path, 0, RECORDS)
    chance = random.Random(SEED)
    seen = [0]
    written: list[int] = []

    for _ in range(kills):
        # A kill may come late, and may hide that a batch was written.
        batches_left = BATCHES - sum(written) - len(written)
        if batches_left < 1:
            break
        batches, more_s = min(chance.randrange(1, 2 + 20 // kills), batches_left), chance.uniform(0, 0.1)
        if not written:
            batches, more_s = 1, 0.0  # on a fast machine everything would be written by then
        log = await _run_until(kind, tmp_path, has_written(batches), more_s)
        written.append(log.count(WRITTEN))
        seen.append(len(rows(kind, tmp_path, "paid")))
    async with running([last := worker(kind, tmp_path)]):
        await drained(last)

    assert seen == sorted(seen)
    assert 0 < written[0] < BATCHES  # a kill came in the middle
    check(kind, tmp_path, RECORDS)


@pytest.mark.parametrize("kills", [3, pytest.param(30, marks=pytest.mark.nightly)])
@pytest.mark.timeout(900)
async def test_workers_killed_in_merges_lose_and_double_nothing(tmp_path: Path, kills: int) -> None:
    """Processes die by SIGKILL while they merge what came before."""
    chance = random.Random(SEED)
    killed_merges = 0

    for number in range(kills):
        await send(tmp_path, number * PART, (number + 1) * PART)
        await _run_until("parquet", tmp_path, merges_anew(tmp_path), chance.uniform(0, 0.03))
        killed_merges += bool(merges(tmp_path))
    async with running([last := worker("parquet", tmp_path)]):
        await drained(last)

    assert killed_merges > 0
    check("parquet", tmp_path, kills * PART)
    assert not merges(tmp_path)


def has_written(batches: int) -> Condition:
    """The worker has written so many batches."""
    return lambda log: log.count(WRITTEN) >= batches


def merges_anew(folder: Path) -> Condition:
    """A merge has begun since now."""
    before = merges(folder)
    return lambda _: not merges(folder) <= before


def merges(folder: Path) -> set[str]:
    """Names of the folders of merges: of one that is going on, and of those that were killed since the last one."""
    return {left.name for left in (folder / "w" / "_scratch").glob("*") if left.is_dir()}


async def send(folder: Path, first: int, behind: int) -> None:
    """An event and a write to an object for each number are on the log."""
    log = log_in(folder)
    await log.ensure_topics([spec for spec in NAMES.specs() if spec.name in TOPICS])
    events = [event_record(event(f"m{n}", event="Paid")) for n in range(first, behind)]
    writes = [object_record(write(f"d{n % OBJECTS}", n, {"value": n, f"p{n % 7}": n})) for n in range(first, behind)]
    async with log.sender() as sender:
        await sender.send(NAMES.full(Topic.EVENTS), events)
        await sender.send(NAMES.full(Topic.OBJECTS), writes)


def check(kind: str, folder: Path, behind: int) -> None:
    """All of them are there, once."""
    everything = {f"m{n}" for n in range(behind)}
    assert rows(kind, folder, "paid").keys() == rows(kind, folder, "tracks").keys() == everything
    expected: dict[str, dict[str, int]] = {}
    for n in range(behind):
        expected.setdefault(f"d{n % OBJECTS}", {}).update({"value": n, f"p{n % 7}": n})
    found = rows(kind, folder, "deals")
    assert {name: {k: v for k, v in row.items() if k not in ("id", "received_at")} for name, row in found.items()} == (
        expected
    )


async def _run_until(kind: str, folder: Path, condition: Condition, more_s: float) -> bytes:
    """A worker process ran until the condition held of what it had logged, and then a little, and was killed. Returns
    what it had logged by then."""
    command = [sys.executable, "-m", "tests.sinks.worker_process", kind, str(folder)]
    output = folder / "output"
    with (
        output.open("wb") as target,
        subprocess.Popen(command, cwd=ROOT, stdout=target, stderr=subprocess.STDOUT) as process,
    ):
        try:
            async with asyncio.timeout(DEADLINE_S):
                while not condition(output.read_bytes()):
                    assert process.poll() is None, output.read_text()
                    await asyncio.sleep(0.002)
                await asyncio.sleep(more_s)
        finally:
            process.kill()
    return output.read_bytes()


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
