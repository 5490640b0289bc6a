"""Row 36, and row 40 for local state: the disk of the log, or of the warehouse, is full for a while."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.broker import LocalKafka
from tests.disks import fill, small_file_system
from tests.faults.checker import check
from tests.faults.ledger import Ledger
from tests.faults.mill import Mill, install_mill
from tests.faults.outages import ENDLESS, loading, settled
from tests.faults.trials import trials
from tests.faults.workload import Workload
from tests.processes import or_skip

RATE = 100.0
BETWEEN = 100
FULL_S = 10.0
"""Longer than a lease of the embedded log, which cannot be kept up meanwhile."""
REFUSED_S = 60.0
DISK_MIB = 192


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_file_system(tmp_path, DISK_MIB) as mount:
        yield mount


async def install(folder: Path, bootstrap_servers: str | None, seed: int) -> Mill:
    """Impatient for Kafka's sake: the broker of a full disk is gone."""
    workload = Workload(seed, ENDLESS, sources=4, objects=1_000, of_100_kb=0.01, of_2_mib=0)
    settings = {"HOOKMILL_INGEST__STORE_TIMEOUT_S": "2"}
    return await install_mill(folder, bootstrap_servers, workload, settings=settings)


@trials("times", short=1, full=10, deadline_s=3_600)
async def test_a_full_disk_of_the_embedded_log_is_503_until_there_is_room(
    tmp_path: Path, disk: Path, seed: int, times: int
) -> None:
    (tmp_path / "data").symlink_to(disk)
    mill = await install(tmp_path, None, seed)
    back_s = []

    with mill.running(), Ledger(tmp_path / "ledger") as ledger:
        async with loading(mill, ledger, rate=RATE) as progress:
            for _ in range(times):
                await progress.accepted(BETWEEN)
                await asyncio.to_thread(fill, disk / "filler")
                await refused(ledger)
                await asyncio.sleep(FULL_S)
                (disk / "filler").unlink()
                back_s.append(await progress.accepted(1))
        await mill.settled(ledger)
        await mill.stop()

    findings = await check(mill, ledger)
    assert not findings.problems
    assert ledger.answers.keys() == {"202", "503"}
    print(f"row 36: embedded log full {times} times, 202 again after {max(back_s):.1f} s; {findings.figures}")


@pytest.mark.kafka
@trials("times", short=1, full=10, deadline_s=3_600)
async def test_a_full_disk_of_the_broker_is_503_until_it_is_started_with_room(
    tmp_path: Path, disk: Path, seed: int, times: int
) -> None:
    """A Kafka whose only log folder cannot be written ends itself: somebody makes room and starts it again."""
    broker = LocalKafka(disk / "kafka", max_heap_mb=384)
    await asyncio.to_thread(or_skip, broker.start)
    mill = await install(tmp_path, broker.bootstrap_servers, seed)
    back_s = []

    try:
        with mill.running(), Ledger(tmp_path / "ledger") as ledger:
            async with loading(mill, ledger, rate=RATE) as progress:
                for _ in range(times):
                    await progress.accepted(BETWEEN)
                    await asyncio.to_thread(fill, disk / "filler")
                    await refused(ledger)
                    await asyncio.sleep(FULL_S)
                    (disk / "filler").unlink()
                    await asyncio.to_thread(broker.kill)
                    await asyncio.to_thread(broker.start)
                    back_s.append(await progress.accepted(1))
            await settled(mill, ledger)
            await mill.stop()
        findings = await check(mill, ledger)
    finally:
        broker.kill()

    assert not findings.problems
    assert ledger.answers.keys() == {"202", "503"}
    print(f"row 36: disk of Kafka full {times} times, 202 again after {max(back_s):.1f} s; {findings.figures}")


@pytest.mark.kafka
@trials("times", short=1, full=10, deadline_s=3_600)
async def test_a_full_disk_under_the_warehouse_holds_the_sink_and_nothing_else(
    tmp_path: Path, disk: Path, kafka_bootstrap: str, seed: int, times: int
) -> None:
    (tmp_path / "data").symlink_to(disk)
    mill = await install(tmp_path, kafka_bootstrap, seed)

    with mill.running(), Ledger(tmp_path / "ledger") as ledger:
        async with loading(mill, ledger, rate=RATE) as progress:
            for _ in range(times):
                await progress.accepted(BETWEEN)
                await asyncio.to_thread(fill, disk / "filler")
                await progress.accepted(round(RATE * FULL_S))
                (disk / "filler").unlink()
        await mill.settled(ledger)
        await mill.stop()

    findings = await check(mill, ledger)
    assert not findings.problems
    assert ledger.answers.keys() == {"202"}
    print(f"row 40: disk of the warehouse full {times} times; {findings.figures}")


async def refused(ledger: Ledger) -> None:
    """Webhooks are answered 503."""
    before, began = ledger.answers["503"], time.monotonic()
    while ledger.answers["503"] == before:
        assert time.monotonic() - began < REFUSED_S, "nothing is refused"
        await asyncio.sleep(0.02)
