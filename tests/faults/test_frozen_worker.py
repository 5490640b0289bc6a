"""Row 17: a worker is frozen, shorter and longer than the group waits; what it does when it wakes up harms nobody."""

import asyncio
import signal
from pathlib import Path

import pytest

from tests.faults.checker import check
from tests.faults.ledger import Ledger
from tests.faults.load import load
from tests.faults.mill import Mill, install_mill
from tests.faults.repeats import count_repeats
from tests.faults.workload import Workload

SOURCES = 4
RATE, SHORT_RATE = 100.0, 50.0
WORKERS = 2
_BETWEEN_S = 2.0

SHORT = pytest.param([5.0, 15.0, 15.0], marks=[pytest.mark.faults, pytest.mark.timeout(600)])
"""The second and third are longer than a lease of the embedded log (5 s) and a session of Kafka (12 s)."""
FULL = pytest.param([5.0, 30.0, 90.0] * 20, marks=[pytest.mark.faults_long, pytest.mark.timeout(7_200)])


@pytest.mark.parametrize("freezes_s", [SHORT, FULL])
async def test_a_worker_that_was_frozen_doubles_nothing_and_turns_no_object_back(
    tmp_path: Path, engine: str | None, seed: int, freezes_s: list[float], is_short: bool
) -> None:
    mill = await install_mill(
        tmp_path, engine, Workload(seed, webhooks=1_000_000, sources=SOURCES, objects=2_000), workers=WORKERS
    )

    with mill.running(), Ledger(tmp_path / "ledger") as ledger:
        freezing = asyncio.create_task(_freeze(mill, freezes_s))
        await load(mill, ledger, rate=SHORT_RATE if is_short else RATE, is_over=freezing.done)
        await freezing
        await mill.settled(ledger)
        refused = mill.processes["process-1"].stderr.count("commit.refused")
        await mill.stop()

    findings = await check(mill, ledger)
    repeats = await count_repeats(mill)
    print(
        f"row 17: frozen {len(freezes_s)} times for {min(freezes_s):g} to {max(freezes_s):g} s, "
        f"{refused} commits refused; {repeats}; {findings.figures}"
    )
    assert not findings.problems


async def _freeze(mill: Mill, freezes_s: list[float]) -> None:
    worker = mill.processes["process-1"]
    for freeze_s in freezes_s:
        await asyncio.sleep(_BETWEEN_S)
        worker.send(signal.SIGSTOP)
        try:
            await asyncio.sleep(freeze_s)
        finally:
            worker.send(signal.SIGCONT)
    await asyncio.sleep(_BETWEEN_S)
