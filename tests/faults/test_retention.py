"""Row 38: retention removes webhooks that the function stage, which was away, had not read."""

import asyncio
import re
import sqlite3
import time
import urllib.request
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from hookmill.log.sqlite.housekeeping import keep_house
from hookmill.topics import Topic
from tests.faults.ledger import Ledger
from tests.faults.mill import Mill, install_mill
from tests.faults.outages import ENDLESS, loading
from tests.faults.trials import trials
from tests.faults.workload import Workload
from tests.processes import Process

RATE = 100.0
BETWEEN = 100
DEADLINE_S = 90.0


@trials("times", short=1, full=10, deadline_s=1_800)
async def test_what_was_removed_before_it_was_read_is_counted_exactly(
    tmp_path: Path, engine: str | None, seed: int, times: int
) -> None:
    workload = Workload(seed, ENDLESS, sources=4, fails_once=0, always_fails=0, of_100_kb=0, of_2_mib=0)
    mill = await install_mill(tmp_path, engine, workload)
    process = mill.processes["process-1"]
    counted: list[int] = []

    with mill.running(), Ledger(tmp_path / "ledger") as ledger:
        async with loading(mill, ledger, rate=RATE) as progress:
            for _ in range(times):
                await progress.accepted(BETWEEN)
                counted.append(missed_by(process))
                await asyncio.to_thread(process.stop)
                await progress.accepted(BETWEEN)
                await remove_what_is_there(mill)
                await progress.accepted(BETWEEN)
                await asyncio.to_thread(process.start)
                await until(lambda: missed_by(process) >= BETWEEN / 2)
                await progress.accepted(BETWEEN)
        await until(lambda: mill.count_events() + sum(counted) + missed_by(process) == len(ledger.accepted))
        counted.append(missed_by(process))
        await mill.stop()

    print(
        f"row 38: retention passed the function stage {times} times, detected each time, counted {counted[1:]}; "
        f"{len(ledger.accepted):,} accepted, {mill.count_events():,} delivered"
    )


async def remove_what_is_there(mill: Mill) -> None:
    """The topic `webhooks` has a new beginning, as after records passed their age."""
    topic = mill.installation.names.full(Topic.WEBHOOKS)
    servers = mill.installation.config.kafka.bootstrap_servers
    if servers is None:
        folder = mill.installation.config.data_dir / "log"
        with closing(sqlite3.connect(folder / f"{topic}.topic", isolation_level=None)) as connection:
            (usual_ms,) = connection.execute("SELECT retention_ms FROM topic").fetchone()
            connection.execute("UPDATE topic SET retention_ms = 1")
            await asyncio.to_thread(keep_house, folder, time.time_ns() // 1_000_000, lambda: False)
            connection.execute("UPDATE topic SET retention_ms = ?", (usual_ms,))
        return
    async with mill.installation.log.reader([topic], group=None) as reader:
        ends = await reader.end_positions()
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        await admin.delete_records({TopicPartition(*place): RecordsToDelete(end) for place, end in ends.items()})
    finally:
        await admin.close()


def missed_by(process: Process) -> int:
    """What the process counts, by its metrics."""
    with urllib.request.urlopen(f"{process.admin}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return sum(
        int(float(count)) for count in re.findall(r"^hookmill_log_records_missed_total\{.*\} (\S+)$", text, re.M)
    )


async def until(holds: Callable[[], bool]) -> None:
    began = time.monotonic()
    while not await asyncio.to_thread(holds):
        assert time.monotonic() - began < DEADLINE_S
        await asyncio.sleep(0.2)
