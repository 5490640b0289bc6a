"""Rows 4 and 5: the only broker goes away, or freezes, under load."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from console.broker import LocalKafka
from hookmill.headers import REQUEST_ID, header
from hookmill.topics import Topic
from tests.faults.checker import check
from tests.faults.ledger import Ledger
from tests.faults.mill import Mill, install_mill
from tests.faults.outages import ENDLESS, loading, settled
from tests.faults.trials import trials
from tests.faults.usage import peak_rss_mib
from tests.faults.workload import Workload
from tests.processes import or_skip

pytestmark = pytest.mark.kafka

RATE = 100.0
BETWEEN = 200
"""Webhooks accepted before each outage."""
LAST_ANSWERS_S = 0.5
"""What was acknowledged before the outage is answered within so long after its begin."""
IMPATIENT = {"HOOKMILL_INGEST__STORE_TIMEOUT_S": "2"}
"""For outages of seconds instead of a minute: a deadline of 10 s would hide them."""
OUTAGE_S = {1: 8.0, 10: 60.0}
"""By number of outages, the short and the full one."""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[LocalKafka]:
    """One of the test's own."""
    broker = LocalKafka(tmp_path / "kafka", max_heap_mb=384)
    or_skip(broker.start)
    yield broker
    broker.kill()


async def install(tmp_path: Path, broker: LocalKafka, seed: int, outages: int) -> Mill:
    """A tenth of the bodies are large, so that a receiver that keeps them shows."""
    workload = Workload(seed, ENDLESS, sources=4, objects=1_000, of_100_kb=0.1, of_2_mib=0.02)
    settings: Mapping[str, str] = IMPATIENT if outages == 1 else {}
    return await install_mill(tmp_path, broker.bootstrap_servers, workload, settings=settings)


@trials("outages", short=1, full=10, deadline_s=3_600)
async def test_while_kafka_is_down_there_is_only_503_and_soon_after_its_return_202(
    tmp_path: Path, broker: LocalKafka, seed: int, outages: int
) -> None:
    mill = await install(tmp_path, broker, seed, outages)
    ends: list[Callable[[], None]] = [broker.kill, broker.stop]
    meanwhile: Counter[str] = Counter()
    back_s = []

    with mill.running(), Ledger(tmp_path / "ledger") as ledger:
        async with loading(mill, ledger, rate=RATE) as progress:
            for number in range(outages):
                await progress.accepted(BETWEEN)
                await asyncio.to_thread(ends[number % 2])
                await asyncio.sleep(LAST_ANSWERS_S)
                before = Counter(ledger.answers)
                await asyncio.sleep(OUTAGE_S[outages])
                meanwhile += ledger.answers - before
                await asyncio.to_thread(broker.start)
                back_s.append(await progress.accepted(1))
        await settled(mill, ledger)
        peak_mib = peak_rss_mib(mill.processes["ingest"].pid)
        await mill.stop()

    findings = await check(mill, ledger)
    assert not findings.problems
    assert meanwhile.keys() == {"503"}
    assert ledger.answers.keys() == {"202", "503"}
    assert max(back_s) < 10
    assert peak_mib < 400
    print(
        f"row 4: {outages} outages of {OUTAGE_S[outages]:g} s, meanwhile {dict(meanwhile)}, 202 again after at most "
        f"{max(back_s):.1f} s, receiver at most {peak_mib:.0f} MiB; {findings.figures}"
    )


@trials("outages", short=1, full=10, deadline_s=3_600)
async def test_what_a_frozen_broker_writes_late_is_applied_once(
    tmp_path: Path, broker: LocalKafka, seed: int, outages: int
) -> None:
    mill = await install(tmp_path, broker, seed, outages)
    back_s = []

    with mill.running(), Ledger(tmp_path / "ledger") as ledger:
        async with loading(mill, ledger, rate=RATE) as progress:
            for _ in range(outages):
                await progress.accepted(BETWEEN)
                assert broker.pid is not None
                os.kill(broker.pid, signal.SIGSTOP)
                await asyncio.sleep(OUTAGE_S[outages])
                os.kill(broker.pid, signal.SIGCONT)
                back_s.append(await progress.accepted(1))
        await settled(mill, ledger)
        peak_mib = peak_rss_mib(mill.processes["ingest"].pid)
        await mill.stop()

    findings = await check(mill, ledger)
    stored = Counter(header(record.headers, REQUEST_ID) for record in await mill.installation.records(Topic.WEBHOOKS))
    late = stored.total() - len(stored)
    assert not findings.problems
    assert late > 0
    assert peak_mib < 400
    print(
        f"row 5: {outages} freezes of {OUTAGE_S[outages]:g} s, {late} late writes folded, 202 again after at most "
        f"{max(back_s):.1f} s, receiver at most {peak_mib:.0f} MiB; {findings.figures}"
    )
