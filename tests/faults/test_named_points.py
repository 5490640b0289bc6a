"""Row 15: a stage ends exactly between two steps, or within one; nothing is lost."""

import asyncio
import random
import sys
from pathlib import Path

import pytest

from tests.faults.checker import check
from tests.faults.ledger import Ledger
from tests.faults.load import load
from tests.faults.mill import Mill, install_mill
from tests.faults.points import EXIT_CODE, POINTS
from tests.faults.repeats import count_repeats
from tests.faults.workload import Workload

SOURCES = 4
RATE = 30.0
EXIT_S = 60.0
"""For a start, the leases of the one before to end, and a few rounds of work."""
MOST_TIMES = 10
"""At the latest this often it passes the point before it ends there."""

IN_SHORT = 6
"""So many of the points, other ones with each seed."""
PARTS = 10
"""Of the full form, which takes hours: parts can run at once, or one now and one later."""
TIMES_PER_PART = 10
"""So often each part ends at each point: 100 times in all."""

OF_THE_SINK = ("before-commit", "during-commit", "after-commit", "during-write", "rows-written")
OF_THE_MOVER = ("before-send", "during-send", "after-send", "before-commit", "during-commit", "after-commit")
OF_THE_RECEIVER = ("before-send", "during-send", "after-send")
OF_THE_WORKER = tuple(point for point in POINTS if point not in {"during-write", "rows-written"})
REVOKES = ("revoke-begins", "during-revoke", "revoke-ends")

PROCESSES = {"process-1": OF_THE_WORKER, "sink": OF_THE_SINK, "mover": OF_THE_MOVER, "ingest": OF_THE_RECEIVER}


@pytest.mark.parametrize(
    ("ends", "part"),
    [
        pytest.param(IN_SHORT, 0, id="short", marks=[pytest.mark.faults, pytest.mark.timeout(600)]),
        *(
            pytest.param(
                TIMES_PER_PART * len(POINTS),
                part,
                id=f"part-{part}",
                marks=[pytest.mark.faults_long, pytest.mark.timeout(7_200)],
            )
            for part in range(PARTS)
        ),
    ],
)
async def test_nothing_is_lost_by_a_stage_that_ends_at_a_named_point(
    tmp_path: Path, engine: str | None, seed: int, ends: int, part: int
) -> None:
    """At each point as often as at the others, in a process by chance that has it."""
    mill = await install_mill(tmp_path, engine, Workload(seed, webhooks=1_000_000, sources=SOURCES))
    mill.add("process-2", "process")
    chance = random.Random(f"{seed}.{part}")
    chosen = chance.sample([*POINTS] * -(-ends // len(POINTS)), ends)
    places = [(chance.choice(processes_with(point)), point) for point in chosen]

    with mill.running(), Ledger(tmp_path / "ledger") as ledger:
        await asyncio.to_thread(mill.processes["process-2"].stop)
        ending = asyncio.create_task(_end_at_each(mill, places, chance))
        await load(mill, ledger, rate=RATE, is_over=ending.done)
        await ending
        await mill.settled(ledger)
        del mill.processes["process-2"]
        await mill.stop()

    findings = await check(mill, ledger)
    repeats = await count_repeats(mill)
    print(f"row 15: {ends} ends at {len(set(chosen))} points; {repeats}; {findings.figures}")
    assert not findings.problems


def processes_with(point: str) -> list[str]:
    return [process for process, points in PROCESSES.items() if point in points]


async def _end_at_each(mill: Mill, places: list[tuple[str, str]], chance: random.Random) -> None:
    for name, point in places:
        nth = 1 if point in {"assigned", *REVOKES} else chance.randint(1, MOST_TIMES)
        await _end_at(mill, name, point, nth)


async def _end_at(mill: Mill, name: str, point: str, nth: int) -> None:
    """The process ended at the point and another one is in its place, ready."""
    ordinary = mill.processes[name]
    await asyncio.to_thread(ordinary.stop)
    program = (sys.executable, "-m", "tests.faults.points", point, str(nth))
    doomed = mill.add(name, *ordinary.arguments, program=program)
    await asyncio.to_thread(doomed.launch_stage)
    try:
        if point in REVOKES:
            await asyncio.to_thread(doomed.until_ready)
            await asyncio.to_thread(mill.processes["process-2"].launch_stage)  # gets its share, which is revoked here
        code = await asyncio.to_thread(doomed.wait, EXIT_S)
        assert code == EXIT_CODE, f"{name} ended with {code} instead of at {point}:\n{doomed.stderr[-4_000:]}"
    finally:
        doomed.kill()
        mill.processes[name] = ordinary
    await asyncio.to_thread(ordinary.start)
    if point in REVOKES:
        await asyncio.to_thread(mill.processes["process-2"].stop)
