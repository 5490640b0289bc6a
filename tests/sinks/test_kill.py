"""A sink worker that is killed at any moment."""

import asyncio
import contextlib
import random
import sqlite3
import subprocess
import sys
from pathlib import Path

from hookmill.lifecycle import running
from hookmill.topics import Topic
from tests.processes import ROOT
from tests.sinks.database import query, rows
from tests.sinks.messages import event, event_record, object_record, write
from tests.sinks.test_worker import TOPICS, drained
from tests.sinks.worker_process import NAMES, log_in, worker

SEED = 20_261_123
KILLS = 6
RECORDS = 12_000
OBJECTS = 3_000
DEADLINE_S = 30.0


async def test_killed_workers_lose_and_double_nothing(tmp_path: Path) -> None:
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

    for kill in range(KILLS):
        await _run_until(tmp_path, RECORDS * (kill + 1) // (KILLS + 2), chance.uniform(0, 0.03))
        seen.append(_count(tmp_path / "w.db"))
    async with running([last := worker(tmp_path)]):
        await drained(last)

    assert seen == sorted(seen)
    assert 0 < seen[1] < RECORDS  # the kills came in the middle
    file = tmp_path / "w.db"
    assert query(file, "PRAGMA integrity_check") == [("ok",)]
    everything = {f"m{n}" for n in range(RECORDS)}
    assert rows(file, "pipedrive__paid").keys() == rows(file, "pipedrive__tracks").keys() == everything
    expected: dict[str, dict[str, int]] = {}
    for n in range(RECORDS):
        expected.setdefault(f"d{n % OBJECTS}", {}).update({"value": n, f"p{n % 7}": n})
    found = rows(file, "pipedrive__deals")
    assert {name: {k: v for k, v in row.items() if k not in ("id", "received_at")} for name, row in found.items()} == (
        expected
    )


async def _run_until(folder: Path, events: int, more_s: float) -> None:
    """A worker process ran until so many events were in the warehouse, and then a little, and was killed."""
    command = [sys.executable, "-m", "tests.sinks.worker_process", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        try:
            async with asyncio.timeout(DEADLINE_S):
                while _count(folder / "w.db") < events:
                    assert process.poll() is None, "the worker ended by itself"
                    await asyncio.sleep(0.005)
                await asyncio.sleep(more_s)
        finally:
            process.kill()


def _count(file: Path) -> int:
    with contextlib.suppress(sqlite3.OperationalError):  # not there yet
        return int(query(file, "SELECT count(*) FROM pipedrive__paid")[0][0])
    return 0
