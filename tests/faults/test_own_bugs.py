"""Row 16: the function stage itself fails on a webhook; the process ends, the third time the webhook is given up."""

import asyncio
import itertools
import sys
from pathlib import Path

from hookmill.headers import ERROR_CLASS, text_header
from hookmill.topics import Topic
from tests.faults.checker import check
from tests.faults.ledger import Ledger
from tests.faults.load import load
from tests.faults.mill import install_mill
from tests.faults.points import POISON
from tests.faults.trials import trials
from tests.faults.workload import Fate, Workload, number_of
from tests.processes import Process

SOURCES = 4
RATE = 100.0
WEBHOOKS_PER_POISON = 200
MOST_LOOP_S = 120.0


@trials("poisons", short=3, full=50, deadline_s=3_600)
async def test_a_webhook_that_ends_the_worker_three_times_is_a_dead_letter_and_all_others_are_delivered(
    tmp_path: Path, engine: str | None, seed: int, poisons: int
) -> None:
    workload, poisoned = _with_poisons(seed, poisons)
    mill = await install_mill(tmp_path, engine, workload)
    program = (sys.executable, "-m", "tests.faults.points", POISON, "0")
    worker = mill.add("process-1", "process", program=program)

    with mill.running(), Ledger(tmp_path / "ledger") as ledger:
        over = asyncio.Event()
        ends = asyncio.create_task(_start_again_until(over, worker))
        await load(mill, ledger, rate=RATE)
        loop_s = await mill.settled(ledger)
        over.set()
        codes = await ends
        await mill.stop()

    findings = await check(mill, ledger)
    letters = {
        number_of(record.value or b"")
        for record in await mill.installation.records(Topic.DEAD_LETTERS)
        if text_header(record.headers, ERROR_CLASS) == "pipeline-crash"
    }
    print(
        f"row 16: {len(poisoned)} webhooks that end the worker, {len(codes)} ends, over {loop_s:.1f} s after the last "
        f"was posted; {findings.figures}"
    )
    assert not findings.problems
    assert letters == poisoned
    assert set(codes) == {1}
    assert loop_s < MOST_LOOP_S


def _with_poisons(seed: int, poisons: int) -> tuple[Workload, set[int]]:
    """The first workload from the seed on in which so many are poisoned, and their numbers: chance may poison none."""
    webhooks, share = poisons * WEBHOOKS_PER_POISON, 1 / WEBHOOKS_PER_POISON
    workloads = (Workload(each, webhooks, sources=SOURCES, poison=share) for each in itertools.count(seed))
    found = ((each, {webhook.number for webhook in each if webhook.fate is Fate.POISON}) for each in workloads)
    return next((workload, poisoned) for workload, poisoned in found if len(poisoned) == poisons)


async def _start_again_until(over: asyncio.Event, worker: Process) -> list[int]:
    """What a supervisor does, at once; the codes with which the worker ended."""
    codes: list[int] = []
    while not over.is_set():
        code = worker.exit_code
        if code is not None:
            codes.append(code)
            await asyncio.to_thread(worker.launch_stage)
        await asyncio.sleep(0.2)
    await asyncio.to_thread(worker.until_ready)
    return codes
